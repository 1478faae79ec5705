"""Manifests in `.scs/manifest/`: what was downloaded, written beside the data, so that a lost catalog can be rebuilt.

One file for each run that downloads, named by its start, never changed afterwards. Its first line says of which account
it speaks: two catalogs may share a NAS, and what one brought is not the other's. Each further line is a JSON object and
tells of one blob whose bytes are durable at their place. Lines are only ever added; whoever reads believes none that is
not whole, so a torn end does no harm.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.errors import BlobFault
from sync_cloud_storage.model import Entry
from sync_cloud_storage.nas.faults import as_environment
from sync_cloud_storage.nas.folders import (
    FILE_MODE,
    OURS,
    encoded,
    enter,
    flush_folder,
    let_close,
    open_plain,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LINE_MOST_BYTES = 1 << 16  # the longest name and path that there can be take 25 KB
READ_STEP_BYTES = 1 << 20

_FOLDER = "manifest"
_FRESH = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9]{4}\.jsonl")
_CRC = re.compile(r"[A-Za-z0-9+/]{11}=")
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO})  # a link; a folder, a pipe and such
_SIZE_MOST = (1 << 63) - 1
_TYPES: dict[str, type] = {"size_bytes": int, "attested": bool}  # all others are texts
_LINE = '{"container":%s,"blob":%s,"etag":%s,"size_bytes":%d,"crc64nvme":"%s","md5":%s,"attested":%s%s,"at_utc":"%s"}\n'
_text = json.JSONEncoder().encode


class ManifestWriter:
    """Adds entries to one manifest, which appears with the first. After a fault it is of no more use.

    Args:
        root: For sentences.
        root_fd: The NAS.
        began_utc: `2026-11-23T03:18:30Z`; names the file.
        account: Whose blobs they are.
    """

    def __init__(self, root: Path, root_fd: int, began_utc: str, account: str) -> None:
        self._path = root / OURS / _FOLDER
        self._root_fd = root_fd
        self._account = account
        self._stem = re.sub(r"[-:]", "", began_utc)
        self._fd = -1
        self._is_flushed = True
        self._flusher: threading.Thread | None = None
        self._failure: OSError | None = None

    def add(self, entries: Iterable[Entry]) -> None:
        """Append *entries*, in one write; what a process writes survives its own death, `flush` a power cut as well.

        Raises:
            EnvironmentFault: As `faults.py` says, `NAS-FULL` among them.
        """
        said = lines(entries)
        try:
            if said and self._fd < 0:
                self._open()
                said = head(self._account) + said
            left = memoryview(said)
            while left:  # a disk that fills up takes what fits, and refuses the next call
                self._is_flushed = False
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            raise as_environment(error, self._path, self._root_fd) from error

    def flush_soon(self) -> None:
        """Have on the disk what was added, without waiting for it; a failure is told by a later call.

        Raises:
            EnvironmentFault: An earlier flush did not succeed.
        """
        if self._flusher is not None and self._flusher.is_alive():
            return
        self._tell()
        if not self._is_flushed:
            self._is_flushed = True
            self._flusher = threading.Thread(target=self._sync, daemon=True)
            self._flusher.start()

    def flush(self) -> None:
        """Have on the disk what was added, when this returns.

        Raises:
            EnvironmentFault: What was added may not be there.
        """
        if self._flusher is not None:
            self._flusher.join()
        if not self._is_flushed:
            self._is_flushed = True
            self._sync()
        self._tell()

    def close(self) -> None:
        """Flush, and let go of it; again is nothing.

        Raises:
            EnvironmentFault: What was added may not be there.
        """
        try:
            self.flush()
        finally:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                let_close(fd)

    def _open(self) -> None:
        ours = enter(OURS.encode(), self._root_fd, make=False)
        try:
            folder = enter(_FOLDER.encode(), ours, make=True)
            try:
                self._fd = self._create(folder)
                flush_folder(folder)
                flush_folder(ours)
            finally:
                let_close(folder)
        finally:
            let_close(ours)

    def _create(self, folder: int) -> int:
        number = 0
        while True:
            number += 1
            with contextlib.suppress(FileExistsError):
                return os.open(f"{self._stem}-{number:04}.jsonl", _FRESH, FILE_MODE, dir_fd=folder)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._failure = self._failure or error

    def _tell(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise as_environment(failure, self._path, self._root_fd) from failure


def head(account: str) -> bytes:
    """The first line of a manifest of that account."""
    return f'{{"scs_manifest":1,"account":{_text(account)}}}\n'.encode()


def lines(entries: Iterable[Entry]) -> bytes:
    """*entries* as they stand in a manifest: ASCII, so that a cut never goes through a character."""
    found = []
    for container, blob, etag, size_bytes, crc64nvme, md5, attested, nas_path, at_utc in entries:
        path = "" if nas_path == f"{container}/{blob}" else f',"nas_path":{_text(nas_path)}'
        said = "true" if attested else "false"
        values = (_text(container), _text(blob), _text(etag), size_bytes, crc64nvme, _text(md5), said, path, at_utc)
        found.append(_LINE % values)
    return "".join(found).encode()


def read_manifests(root: Path, root_fd: int, account: str) -> Iterator[Entry]:
    """All entries of all manifests of an account, oldest first. What is not ours or not whole is passed over.

    Raises:
        EnvironmentFault: A manifest, or the folder, cannot be read.
    """
    path = root / OURS / _FOLDER
    with contextlib.ExitStack() as stack:
        try:
            ours = enter(OURS.encode(), root_fd, make=False)
            stack.callback(let_close, ours)
            folder = enter(_FOLDER.encode(), ours, make=False)
            stack.callback(let_close, folder)
            with os.scandir(folder) as there:
                names = sorted(one.name for one in there if _NAME.fullmatch(one.name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise as_environment(error, path, root_fd) from error
        for name in names:
            try:
                found = _lines_of(name, folder)
                if next(found, b"") + b"\n" != head(account):
                    continue
                for line in found:
                    if (entry := parsed(line)) is not None:
                        yield entry
            except OSError as error:
                raise as_environment(error, path / name, root_fd) from error


def _lines_of(name: str, folder: int) -> Iterator[bytes]:
    """The whole lines of one file; none of what is a link, a folder or a pipe, or is too long for a line."""
    try:
        fd, _ = open_plain(name, os.O_RDONLY, folder)
    except OSError as error:
        if error.errno in _NO_FILE:
            return
        raise
    try:
        rest, is_too_long = b"", False
        while data := os.read(fd, READ_STEP_BYTES):
            *whole, rest = (rest + data).split(b"\n")
            if is_too_long and whole:
                del whole[0]
                is_too_long = False
            yield from whole
            if len(rest) > LINE_MOST_BYTES:
                rest, is_too_long = b"", True
    finally:
        let_close(fd)


def parsed(line: bytes) -> Entry | None:
    """One line; None where it is none that this program would have written."""
    try:
        found = json.loads(line)
        entry = _entry(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError, KeyError, BlobFault):  # of UnicodeError, too
        return None
    return entry


def _entry(found: dict[str, Any]) -> Entry | None:
    usual = f"{found['container']}/{found['blob']}"
    entry = Entry._make(found.get(field, usual) if field == "nas_path" else found[field] for field in Entry._fields)
    for field, value in entry._asdict().items():
        if type(value) is not _TYPES.get(field, str):
            return None
        str(value).encode()  # half a character is no text
    _check_path(entry.nas_path)
    is_ours = entry.container and entry.blob and _CRC.fullmatch(entry.crc64nvme) and _UTC.fullmatch(entry.at_utc)
    return entry if is_ours and 0 <= entry.size_bytes <= _SIZE_MOST else None


def _check_path(path: str) -> None:
    """See that it leads somewhere below the root, and not into our own folder."""
    split(path)
    for name in path.split("/"):
        encoded(name, path)
