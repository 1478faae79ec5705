"""Folders of the NAS, held open. The second fence behind the name map: whatever path comes, it stays below the root.

Each is reached from the root's descriptor component by component, never through a symbolic link. A folder that is held
is looked up again before each use: one that was moved away, replaced, or unmounted is not written to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections import OrderedDict
from typing import Self

from sync_cloud_storage.errors import BlobFault

OURS = ".scs"
FOLDER_MODE = 0o750
FILE_MODE = 0o640
AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_CHANGED = "Such a path is never given out: was the catalog changed by hand?"
_HELD = 256  # descriptors; far below the usual limit of 1,024 together with temporary files and sockets


class Folder:
    """A folder that stays open while somebody uses it: `with folders.hold(path) as folder`.

    Attributes:
        fd: For `dir_fd`.
        path: Relative to the root; "" is the root.
        linked: Its entry in its parent, and so on up to the root, is known to be on the disk.
    """

    __slots__ = ("_folders", "fd", "identity", "linked", "path", "retired", "users")

    def __init__(self, folders: Folders, path: str, fd: int) -> None:
        found = os.fstat(fd)
        self._folders = folders
        self.path = path
        self.fd = fd
        self.identity = (found.st_dev, found.st_ino)
        self.linked = not path
        self.retired = False
        self.users = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.let_go(self)


class Folders:
    """Opens folders below one root and keeps the latest. For several threads.

    Args:
        root_fd: The root; stays the caller's.
        limit: How many are kept open while nobody uses them.
    """

    def __init__(self, root_fd: int, limit: int = _HELD) -> None:
        self.root = Folder(self, "", root_fd)
        self._limit = limit
        self._held: OrderedDict[str, Folder] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, path: str, *, make: bool = False) -> Folder:
        """The folder at *path*, made where it is missing if *make*.

        Raises:
            OSError: It cannot be opened; `ENOTDIR` or `ELOOP` where a link or file is in the way.
            BlobFault: `NAS-NAME`, no path that this program would have made.
        """
        if not path:
            with self._lock:
                self.root.users += 1
            return self.root
        with self._lock:
            folder = self._held.get(path)
            if folder is not None:
                folder.users += 1
                self._held.move_to_end(path)
        if folder is not None:
            if self._is_still_there(folder):
                return folder
            self._forget(folder)
        fd = self._walk(path, make=make)
        try:
            fresh = Folder(self, path, fd)
        except OSError:
            let_close(fd)
            raise
        return self._keep(fresh)

    def let_go(self, folder: Folder) -> None:
        """End one use."""
        with self._lock:
            folder.users -= 1
            over = folder.retired and not folder.users
        if over:
            let_close(folder.fd)

    def is_linked(self, path: str) -> bool:
        """Whether the folder is known to be on the disk with all its parents; False when it is not held."""
        with self._lock:
            folder = self.root if not path else self._held.get(path)
            return folder is not None and folder.linked

    def close(self) -> None:
        """Let go of all folders; those in use are closed by their last user. The root stays open."""
        with self._lock:
            folders = list(self._held.values())
            self._held.clear()
            idle = [folder for folder in folders if not folder.users]
            for folder in folders:
                folder.retired = True
        for folder in idle:
            let_close(folder.fd)

    def _keep(self, fresh: Folder) -> Folder:
        surplus: list[Folder] = []
        with self._lock:
            kept = self._held.setdefault(fresh.path, fresh)
            kept.users += 1
            if kept is not fresh:  # another thread was quicker
                surplus.append(fresh)
            while len(self._held) > self._limit:
                _, oldest = self._held.popitem(last=False)
                oldest.retired = True
                if not oldest.users:
                    surplus.append(oldest)
        for folder in surplus:
            let_close(folder.fd)
        return kept

    def _forget(self, folder: Folder) -> None:
        with self._lock:
            if self._held.get(folder.path) is folder:
                del self._held[folder.path]
            folder.retired = True
        self.let_go(folder)

    def _is_still_there(self, folder: Folder) -> bool:
        try:
            found = os.stat(folder.path.encode(), dir_fd=self.root.fd, follow_symlinks=False)
        except OSError:
            return False  # the walk that follows says why
        return (found.st_dev, found.st_ino) == folder.identity

    def _walk(self, path: str, *, make: bool) -> int:
        fd = self.root.fd
        names = path.split("/")
        _refuse_our_folder(path)
        try:
            for name in names:
                deeper = enter(encoded(name, path), fd, make=make)
                if fd != self.root.fd:
                    let_close(fd)
                fd = deeper
        except BaseException:
            if fd != self.root.fd:
                let_close(fd)
            raise
        return fd


def encoded(name: str, path: str) -> bytes:
    """One component of *path* as the bytes of its name: UTF-8, whatever this machine's locale says.

    Raises:
        BlobFault: `NAS-NAME`, nothing that the name map gives out: empty, a dot segment, a slash, a NUL, no UTF-8.
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raw = b""
    if raw in (b"", b".", b"..") or b"\0" in raw or b"/" in raw:
        raise BlobFault("NAS-NAME", f"{path!a} is no path below the NAS folder.", _CHANGED)
    return raw


def split(path: str) -> tuple[str, bytes]:
    """The folder of a file's *path* ("" is the root), and the bytes of its own name.

    Raises:
        BlobFault: `NAS-NAME`, an absolute path, our own folder, or a name as in `encoded`.
    """
    parent, slash, leaf = path.rpartition("/")
    if slash and not parent:
        raise BlobFault("NAS-NAME", f"{path!a} is no path below the NAS folder.", _CHANGED)
    _refuse_our_folder(path)
    return parent, encoded(leaf, path)


def _refuse_our_folder(path: str) -> None:
    if path.partition("/")[0].lower() == OURS:
        raise BlobFault("NAS-NAME", f"{path!a} is in our own folder.", _CHANGED)


def enter(name: bytes, fd: int, *, make: bool) -> int:
    """Open the folder *name* in the folder *fd*; a link is an error (`ENOTDIR`)."""
    try:
        return os.open(name, AS_FOLDER, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):  # another thread or worker was quicker
        os.mkdir(name, FOLDER_MODE, dir_fd=fd)
    return os.open(name, AS_FOLDER, dir_fd=fd)


def open_plain(name: bytes | str, flags: int, folder_fd: int) -> tuple[int, os.stat_result]:
    """Open a plain file that is there, and say what it is.

    Raises:
        OSError: Also `ELOOP` for a link and `ENXIO` for what else is no plain file. A pipe does not hang us.
    """
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_fd)
    try:
        found = os.fstat(fd)
    except OSError:
        let_close(fd)
        raise
    if not stat.S_ISREG(found.st_mode):
        let_close(fd)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return fd, found


def flush_folder(fd: int) -> None:
    """Have a folder's entries on the disk, where the file system has such a thing; some SMB servers have not."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def let_close(fd: int) -> None:
    """Close what was only read: there is nothing to write back, so nothing that could still go wrong."""
    with contextlib.suppress(OSError):
        os.close(fd)
