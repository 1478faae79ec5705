"""`Nas`: one folder on one NAS, held open from the start of a run to its end."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, CatalogBusy, EnvironmentFault, Kind
from sync_cloud_storage.nas.faults import as_environment, as_fault
from sync_cloud_storage.nas.folders import let_close, open_plain, split
from sync_cloud_storage.nas.manifest import ManifestWriter, read_manifests
from sync_cloud_storage.nas.marker import Opened, open_nas
from sync_cloud_storage.nas.publish import Publication, Publisher
from sync_cloud_storage.nas.temp import READ_STEP_BYTES, Partial, Temp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sync_cloud_storage.errors import ScsError
    from sync_cloud_storage.model import Entry
    from sync_cloud_storage.nas.folders import Folder

_LOCK = ".scs/lock"


class ReadFile:
    """A file of the NAS, open for reading; a context manager. For several threads.

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
            let_close(fd)

    def __enter__(self) -> Self:
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

    def __init__(self, root: Path, opened: Opened) -> None:
        self.root = root
        self.id = opened.nas_id
        self._folders = opened.folders
        self._root_fd = opened.folders.root.fd
        self._lock = -1
        self._scratch = opened.scratch
        self._publisher = Publisher(root, self._folders, self.check_mounted)

    @classmethod
    def open(cls, root: Path, nas_id: str | None = None) -> Nas:
        """Open the NAS whose marker says *nas_id*; None or "" takes any that has a marker.

        Raises:
            EnvironmentFault: `NAS-MISSING` there is no such folder, `NAS-MARKER` it has no marker (not mounted, most
                often) or another one, and what the kernel says.
        """
        return cls(root, open_nas(root, nas_id))

    def hold(self) -> None:
        """Keep other runs away from this NAS until `close`: two that write would take each other's temporary files.

        Raises:
            CatalogBusy: `NAS-IN-USE`, another run works on it, perhaps with another catalog.
        """
        try:
            self._lock = os.open(
                _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640, dir_fd=self._root_fd
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CatalogBusy(
                "NAS-IN-USE",
                f'Another run works on the NAS "{self.root}", perhaps with another catalog or from another machine.',
                "Wait until it has ended; one NAS takes one run at a time.",
            ) from None
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.EROFS}:  # a NAS may know no locks
                raise as_environment(error, self.root / _LOCK, self._root_fd) from error

    def close(self) -> None:
        """Let go of everything."""
        if self._lock >= 0:
            let_close(self._lock)
        self._folders.close()
        let_close(self._scratch.fd)
        let_close(self._root_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------- the whole NAS

    def check_mounted(self) -> None:
        """See that the root's path still leads to what is held open; one system call.

        Raises:
            EnvironmentFault: `NAS-GONE`.
        """
        why = "something else is there now"
        try:
            now = self.root.stat()
            same = (now.st_dev, now.st_ino) == self._folders.root.identity
        except OSError as error:
            why, same = str(error.strerror), False
        if not same:
            raise EnvironmentFault(
                "NAS-GONE",
                f'The NAS is no longer mounted at "{self.root}" ({why}).',
                "Mount it again, then run again; nothing was written to what lies below.",
            )

    def free_bytes(self) -> int:
        """Bytes that this user may still write."""
        try:
            found = os.fstatvfs(self._root_fd)
        except OSError as error:
            raise as_environment(error, self.root, self._root_fd) from error
        return found.f_bavail * found.f_frsize

    def fault(self, error: OSError, nas_path: str) -> ScsError:
        """What *error*, met at *nas_path*, means."""
        return as_fault(error, self.root / nas_path, self._root_fd)

    # ------------------------------------------------------------------------------------------------------- writing

    def temp(self, row_id: int) -> Temp:
        """A new temporary file for a row; what an earlier run left of it is removed."""
        return Temp(self._scratch, row_id)

    def partial(self, row_id: int, etag: str, size_bytes: int, *, attest: bool = False) -> Partial:
        """The temporary file of a large blob, with the finished ranges of an earlier run if it was of this version.

        Those ranges are read again here, so this takes a second per gigabyte or so. With *attest* those only count
        about which the source was asked for its own checksum.
        """
        return Partial(self._scratch, row_id, etag, size_bytes, attest=attest)

    def publish(self, group: Sequence[Publication]) -> list[ScsError | None]:
        """Make written files durable and give them their places; one answer each, None when it is done.

        First the bytes (fsync, a checked close), then the names (rename), then the folders (one fsync each): after a
        power cut a file is either whole at its place or not there. Temporary files end here; only a `Partial` outlives
        a fault of the environment, for the next run.

        Faults: `NAS-EXISTS` a file is there and may not be replaced; `NAS-TYPE` something else is there; `NAS-FSYNC`
        the bytes did not reach the disk and have to be fetched again; and what the kernel says.
        """
        return self._publisher.publish(group)

    def make_durable(self, nas_path: str) -> None:
        """Flush a file that is at its place, and the way there: what a killed run left may be in memory only.

        To be called before a file that was found is taken for ours.
        """
        try:
            fd, _ = self._open_file(nas_path)
            try:
                os.fsync(fd)
            finally:
                let_close(fd)
            self._publisher.flush_way_to(nas_path)
        except OSError as error:
            raise self.fault(error, nas_path) from error

    def sweep(self, keep: Callable[[int], bool]) -> int:
        """Remove temporary files of rows that *keep* does not want; gives the number of rows. Only names of our own."""
        swept = 0
        try:
            for row_id, names in self._scratch.rows().items():
                if not keep(row_id):
                    for name in names:
                        self._scratch.remove(name)
                    swept += 1
        except OSError as error:
            raise as_environment(error, self._scratch.path, self._root_fd) from error
        return swept

    def manifest(self, began_utc: str, account: str = "") -> ManifestWriter:
        """A new manifest of an account, for a run that began then; it is made when something is added."""
        return ManifestWriter(self.root, self._root_fd, began_utc, account)

    # ------------------------------------------------------------------------------------------------------- reading

    def manifests(self, account: str = "") -> Iterator[Entry]:
        """What all manifests of an account say, the oldest first."""
        return read_manifests(self.root, self._root_fd, account)

    def size_of(self, nas_path: str) -> int | None:
        """Bytes of the file at *nas_path*; None when there is none.

        Raises:
            BlobFault: `NAS-TYPE`, something is there that is no plain file.
        """
        (size,) = self.sizes_of([nas_path])
        if isinstance(size, BlobFault):
            raise size
        return size

    def sizes_of(self, nas_paths: Sequence[str]) -> list[int | BlobFault | None]:
        """What `size_of` says of each. Neighbours in one folder share the way there: a third less work.

        Raises:
            EnvironmentFault: About the NAS itself.
        """
        try:
            ways = [split(path) for path in nas_paths]
        except BlobFault as no_path:  # one of them
            return [no_path] if len(nas_paths) == 1 else [self.sizes_of([path])[0] for path in nas_paths]
        sizes: list[int | BlobFault | None] = []
        for parent, group in groupby(ways, key=itemgetter(0)):
            leaves = [leaf for _, leaf in group]
            try:
                with self._folders.hold(parent) as folder:
                    sizes += [self._size_in(folder, parent, leaf) for leaf in leaves]
            except FileNotFoundError:
                sizes += [None] * len(leaves)
            except (OSError, BlobFault) as error:
                fault = error if isinstance(error, BlobFault) else self._of_a_file(error, parent)
                sizes += [fault] * len(leaves)
        return sizes

    def _size_in(self, folder: Folder, parent: str, leaf: bytes) -> int | BlobFault | None:
        try:
            found = os.stat(leaf, dir_fd=folder.fd, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                return found.st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._of_a_file(error, f"{parent}/{os.fsdecode(leaf)}")
        return self._of_a_file(OSError(errno.ENXIO, os.strerror(errno.ENXIO)), f"{parent}/{os.fsdecode(leaf)}")

    def _of_a_file(self, error: OSError, nas_path: str) -> BlobFault:
        fault = self.fault(error, nas_path)
        if not isinstance(fault, BlobFault):
            raise fault from error
        return fault

    def open_read(self, nas_path: str) -> ReadFile:
        """Open a file for reading.

        Raises:
            BlobFault: `NAS-LOST`, there is none; `NAS-TYPE`, something is there that is no plain file.
        """
        try:
            fd, size = self._open_file(nas_path)
        except OSError as error:
            raise self.fault(error, nas_path) from error
        return ReadFile(self, nas_path, fd, size)

    def hash_file(self, nas_path: str, pace: Callable[[int], None] = lambda _: None) -> tuple[int, int]:
        """Read the whole file: bytes read, and their CRC64NVME. From the disk, as far as this machine has a say.

        *pace* is told of the bytes of each step, and may wait.
        """
        try:
            fd, size = self._open_file(nas_path)
            try:
                # What memory holds and the disk has too is let go of, so that it is the disk that is asked.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                room = memoryview(bytearray(min(READ_STEP_BYTES, size + 1)))
                read, crc = 0, 0
                while count := os.readv(fd, [room]):
                    crc = crc64nvme(room[:count], crc)
                    read += count
                    pace(count)
            finally:
                let_close(fd)
        except OSError as error:
            raise self.fault(error, nas_path) from error
        return read, crc

    def _open_file(self, nas_path: str) -> tuple[int, int]:
        parent, leaf = split(nas_path)
        try:
            with self._folders.hold(parent) as folder:
                fd, found = open_plain(leaf, os.O_RDONLY, folder.fd)
        except FileNotFoundError:
            raise BlobFault(
                "NAS-LOST", f'The file "{self.root / nas_path}" is not there.', "Run again.", kind=Kind.REPLAN
            ) from None
        return fd, found.st_size
