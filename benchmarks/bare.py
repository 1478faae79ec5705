"""The least that a Python program with libcurl can do for a small blob: GET, MD5, CRC64NVME, file, flush, rename.

No listing, no If-Match, no checks of what came, no retries, no catalog, no proof: nobody could use it. It shows which
part of what `scs download` takes is not ours to save.

    python -m benchmarks.bare FOLDER PROCESSES [CA_FILE] < a line "address name" for each blob
"""

from __future__ import annotations

import hashlib
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pycurl
from awscrt.checksums import crc64nvme  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Sequence

LANES = 32
_WANTED = {pycurl.POLL_IN: select.EPOLLIN, pycurl.POLL_OUT: select.EPOLLOUT, pycurl.POLL_INOUT: 5}


class Lane:
    """One handle of libcurl, and the blob that is on it."""

    def __init__(self, ca_file: str) -> None:
        self.name = ""
        self.body: list[bytes] = []
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        self.curl.setopt(pycurl.NOSIGNAL, 1)
        self.curl.setopt(pycurl.PROXY, "")
        self.curl.setopt(pycurl.HTTPHEADER, ["x-ms-version: 2023-11-03"])
        self.curl.setopt(pycurl.WRITEFUNCTION, self.body.append)
        if ca_file:
            self.curl.setopt(pycurl.CAINFO, ca_file)

    def begin(self, address: str, name: str) -> None:
        """Make it ready for the next blob."""
        self.name = name
        self.body.clear()
        self.curl.setopt(pycurl.URL, address)


class Multi:
    """libcurl's multi interface over epoll, as the pump has it."""

    def __init__(self) -> None:
        self.curl = pycurl.CurlMulti()
        self.curl.setopt(pycurl.M_SOCKETFUNCTION, self._socket)
        self.curl.setopt(pycurl.M_MAXCONNECTS, LANES * 2)
        self._poll = select.epoll()
        self._known: dict[int, int] = {}

    def ended(self) -> list[pycurl.Curl]:
        """Let it go on; the handles that are through."""
        for fd, mask in self._poll.poll(0.01):
            self.curl.socket_action(
                fd, (pycurl.CSELECT_IN if mask & 1 else 0) | (pycurl.CSELECT_OUT if mask & 4 else 0)
            )
        self.curl.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        _, good, bad = self.curl.info_read()
        if bad:
            raise OSError(bad[0][2])
        return good

    def _socket(self, event: int, fd: int, _multi: object, _data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            return
        known, self._known[fd] = self._known.get(fd), _WANTED[event]
        if known is None:
            self._poll.register(fd, _WANTED[event])
        elif known != _WANTED[event]:
            self._poll.modify(fd, _WANTED[event])


def bring(blobs: Sequence[tuple[str, str]], folder: Path, ca_file: str) -> None:
    """Bring *blobs*, each an address and a name, to *folder*."""
    multi, left = Multi(), iter(blobs)
    lanes = [Lane(ca_file) for _ in range(LANES)]
    of = {lane.curl: lane for lane in lanes}
    temporary, final = (os.open(folder / name, os.O_DIRECTORY) for name in ("tmp", "files"))

    def next_on(lane: Lane) -> bool:
        blob = next(left, None)
        if blob is not None:
            lane.begin(*blob)
            multi.curl.add_handle(lane.curl)
        return blob is not None

    open_lanes = sum([next_on(lane) for lane in lanes])
    while open_lanes:
        for curl in multi.ended():
            multi.curl.remove_handle(curl)
            _keep(of[curl].name, b"".join(of[curl].body), temporary, final)
            open_lanes -= not next_on(of[curl])


def _keep(name: str, body: bytes, temporary: int, final: int) -> None:
    hashlib.md5(body, usedforsecurity=False).digest()
    crc64nvme(body)
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640, dir_fd=temporary)
    os.write(fd, body)
    os.fsync(fd)
    os.close(fd)
    os.rename(name, name, src_dir_fd=temporary, dst_dir_fd=final)


def main() -> int:
    """Share the work among processes."""
    folder, count, ca_file = Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:])
    for name in ("tmp", "files"):
        (folder / name).mkdir()
    blobs = [(address, name) for address, name in map(str.split, sys.stdin)]
    children = []
    for number in range(count):
        child = os.fork()
        if not child:
            bring(blobs[number::count], folder, ca_file)
            os._exit(0)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    sys.exit(main())
