"""`Nas`: one folder on one NAS, held open from the start of a run to its end."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind
from sync_cloud_storage.nas.faults import as_environment, as_fault
from sync_cloud_storage.nas.folders import AS_FOLDER, FILE_MODE, FOLDER_MODE, OURS, Folders, encoded, refuse_our_folder
from sync_cloud_storage.nas.temp import READ_STEP_BYTES, Partial, Scratch, Temp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sync_cloud_storage.errors import ScsError
    from sync_cloud_storage.nas.folders import Folder

_MARKER = ".scs/NAS-ID"
_MARKER_FILE = _MARKER.removeprefix(f"{OURS}/")
_ID = re.compile(r"[!-~]{1,100}")
_INIT = "Is it mounted? If this is the right folder and it was never used before: scs init."


class Publication(NamedTuple):
    """A written temporary file and the place that it is for."""

    temp: Temp
    nas_path: str
    may_replace: bool = False


class ReadFile:
    """A file of the NAS, open for reading; a context manager.

    Attributes:
        size: Bytes, when it was opened.
    """

    __slots__ = ("_fd", "_nas", "_path", "size")

    def __init__(self, nas: Nas, path: str, fd: int, size: int) -> None:
        self._nas = nas
        self._path = path
        self._fd = fd
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        """*length* bytes from *offset* on; fewer only where the file ends."""
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length and (more := os.pread(self._fd, length - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise self._nas.fault(error, self._path) from error
        return data

    def close(self) -> None:
        """Let go of it; again is nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # nothing was written
                os.close(fd)

    def __enter__(self) -> ReadFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Nas:
    """Files below one root. Paths are relative to it, with `/`, as `names.encode` makes them. For several threads.

    Open it with `Nas.open`. Faults: an `EnvironmentFault` concerns the whole NAS (gone, full, read-only, another one),
    a `BlobFault` one file; which is which stands in `faults.py`.

    Attributes:
        root: The folder, as the user named it.
        id: What its marker says.
    """

    def __init__(self, root: Path, root_fd: int, scratch: Scratch, nas_id: str) -> None:
        self.root = root
        self.id = nas_id
        self._root_fd = root_fd
        self._scratch = scratch
        self._folders = Folders(root_fd)

    @classmethod
    def open(cls, root: Path, nas_id: str | None = None) -> Nas:
        """Open the NAS whose marker says *nas_id*; None or "" takes any that has a marker.

        Raises:
            EnvironmentFault: `NAS-MISSING` there is no such folder, `NAS-MARKER` it has no marker (not mounted, most
                often) or another one, and what the kernel says.
        """
        root_fd = _open_root(root)
        try:
            ours = _open_ours(root, root_fd)
            try:
                found = _read_marker(root, ours)
                if nas_id and found != nas_id:
                    raise EnvironmentFault(
                        "NAS-MARKER",
                        f'Another NAS is mounted at "{root}": its marker says {found}, the catalog {nas_id}.',
                        "Mount the one that this catalog belongs to, or name its folder in MEDIA_FOLDER.",
                    )
                scratch = Scratch(_open_scratch(root, ours), root / OURS / "tmp")
            finally:
                os.close(ours)
        except BaseException:
            os.close(root_fd)
            raise
        return cls(root, root_fd, scratch, found)

    def close(self) -> None:
        """Let go of everything."""
        self._folders.close()
        os.close(self._scratch.fd)
        os.close(self._root_fd)

    def __enter__(self) -> Nas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- the whole NAS

    def check_mounted(self) -> None:
        """See that the root's path still leads to what is held open; two system calls.

        Raises:
            EnvironmentFault: `NAS-GONE`.
        """
        try:
            now = os.stat(self.root)
        except OSError as error:
            now, why = None, error.strerror
        else:
            why = "something else is there now"
        if now is None or (now.st_dev, now.st_ino) != self._folders.root.identity:
            raise EnvironmentFault(
                "NAS-GONE",
                f'The NAS is no longer mounted at "{self.root}" ({why}).',
                "Mount it again, then run again; nothing was written to what lies below.",
            )

    def check_writable(self) -> None:
        """Write, flush and remove one byte, so that a run need not begin in order to fail.

        Raises:
            EnvironmentFault: `NAS-READONLY`, `NAS-PERM`, `NAS-FULL` ...
        """
        name = f"probe-{os.getpid()}"
        try:
            fd = self._scratch.create(name)
            try:
                os.write(fd, b"x")
                os.fsync(fd)
            finally:
                os.close(fd)
                self._scratch.remove(name)
        except OSError as error:
            raise as_environment(error, self._scratch.path / name, self._root_fd) from error

    def free_bytes(self) -> int:
        """Bytes that this user may still write."""
        try:
            stat_fs = os.fstatvfs(self._root_fd)
        except OSError as error:
            raise as_environment(error, self.root, self._root_fd) from error
        return stat_fs.f_bavail * stat_fs.f_frsize

    def fault(self, error: OSError, nas_path: str) -> ScsError:
        """What *error*, met at *nas_path*, means."""
        return as_fault(error, self.root / nas_path, self._root_fd)

    # ------------------------------------------------------------------------------------------------ writing

    def temp(self, row_id: int) -> Temp:
        """A new temporary file for a row; what an earlier run left of it is removed."""
        return Temp(self._scratch, row_id)

    def partial(self, row_id: int, etag: str, size_bytes: int) -> Partial:
        """The temporary file of a large blob: with the finished ranges of an earlier run when it was of this version.

        Those ranges are read again here, so this takes a second per gigabyte or so.
        """
        return Partial(self._scratch, row_id, etag, size_bytes)

    def publish(self, group: Sequence[Publication]) -> list[ScsError | None]:
        """Make written files durable and give them their places; one answer each, None when it is done.

        First the bytes (fsync, a checked close), then the names (rename), then the folders (one fsync each): after a
        power cut a file is either whole at its place or not there. Temporary files end here; only a `Partial` outlives
        a fault of the environment, for the next run.

        Faults: `NAS-EXISTS` a file is there and may not be replaced; `NAS-TYPE` something else is there; `NAS-FSYNC`
        the bytes did not reach the disk and have to be fetched again; and what the kernel says.
        """
        outcomes: list[ScsError | None] = [None] * len(group)
        for index, item in enumerate(group):
            try:
                item.temp.flush()
            except ScsErrors as fault:
                outcomes[index] = _end(item.temp, fault)
        try:
            self.check_mounted()
        except EnvironmentFault as fault:
            for index, item in enumerate(group):
                outcomes[index] = outcomes[index] or _end(item.temp, fault)
            return outcomes

        places: dict[str, list[tuple[int, bytes]]] = {}
        for index, item in enumerate(group):
            if outcomes[index] is None:
                parent, _, leaf = item.nas_path.rpartition("/")
                try:
                    if not parent:
                        refuse_our_folder(leaf, item.nas_path)
                    places.setdefault(parent, []).append((index, encoded(leaf, item.nas_path)))
                except BlobFault as fault:
                    outcomes[index] = _end(item.temp, fault)
        unflushed: dict[str, list[int]] = {}
        for parent, members in places.items():
            self._place(group, parent, members, outcomes)
            moved = [index for index, _ in members if outcomes[index] is None]
            if moved:
                for path in self._unlinked(parent):
                    unflushed.setdefault(path, []).extend(moved)
        for path, members_of in unflushed.items():
            if error := self._flush_folder(path):
                for index in members_of:
                    outcomes[index] = outcomes[index] or self._take_back(group[index].nas_path, error)
        for index, item in enumerate(group):
            if outcomes[index] is None:
                item.temp.forget_journal()
        return outcomes

    def make_durable(self, nas_path: str) -> None:
        """Flush a file that is already at its place, and its way there: what a killed run left may be in memory only.

        To be called before a file that was found is taken for ours.
        """
        with self._reading(nas_path) as (fd, _):
            os.fsync(fd)
        for path in self._unlinked(nas_path.rpartition("/")[0]):
            if error := self._flush_folder(path):
                raise self.fault(error, nas_path) from error
"""
