"""The marker `.scs/NAS-ID`: tells the NAS that a catalog belongs to from another one, and from an empty mount point.

`scs init` writes it once. A run that does not find it stops before it writes a byte: an unmounted NAS looks like an
empty folder, and would otherwise be filled up to the last byte of the system's own disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.nas.faults import as_environment
from sync_cloud_storage.nas.folders import FILE_MODE, OURS, Folders, enter, flush_folder, let_close, open_plain
from sync_cloud_storage.nas.temp import Scratch

if TYPE_CHECKING:
    from pathlib import Path

_PATH = f"{OURS}/NAS-ID"
_MARKER = _PATH.rpartition("/")[2]
_ID = re.compile(r"[!-~]{1,100}")
_HINT = "Is it mounted? If this is the right folder and was never used before: scs init."


class Opened(NamedTuple):
    """A NAS that was found to be the right one. What is open is the caller's: `folders.root.fd` and `scratch.fd`."""

    folders: Folders
    scratch: Scratch
    nas_id: str


def create_marker(root: Path, nas_id: str) -> str:
    """Make the folder *root* ours, once: marker and `.scs/tmp`. Gives the id that holds, perhaps an earlier one.

    Args:
        root: Must exist: what does not exist may be a NAS that is not mounted.
        nas_id: Printable ASCII without spaces, such as a UUID.

    Raises:
        EnvironmentFault: `NAS-MISSING`, `NAS-MARKER` (a marker that cannot be read), `NAS-READONLY`, `NAS-PERM` ...
    """
    with contextlib.ExitStack() as stack:
        root_fd = _open_root(root)
        stack.callback(let_close, root_fd)
        try:
            ours = enter(OURS.encode(), root_fd, make=True)
            stack.callback(let_close, ours)
            let_close(enter(b"tmp", ours, make=True))
            # Written aside and linked: a marker is there whole or not at all, and the first of two runs wins.
            aside = f"{_MARKER}.{os.getpid()}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside, dir_fd=ours)
            fd = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, FILE_MODE, dir_fd=ours)
            try:
                os.write(fd, f"{nas_id}\n".encode())
                os.fsync(fd)
            finally:
                os.close(fd)
            try:
                _name_marker(aside, ours)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(aside, dir_fd=ours)
            for fd in (ours, root_fd):
                flush_folder(fd)
        except OSError as error:
            raise as_environment(error, root / OURS, root_fd) from error
        return _read_marker(root, root_fd, ours)


def open_nas(root: Path, nas_id: str | None) -> Opened:
    """Open the root and our folder there, and compare the marker; None or "" takes any marker.

    Raises:
        EnvironmentFault: `NAS-MISSING`, `NAS-MARKER`, and what the kernel says.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as keep:
        root_fd = _open_root(root)
        keep.callback(let_close, root_fd)
        try:
            ours = enter(OURS.encode(), root_fd, make=False)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise EnvironmentFault("NAS-MARKER", f'"{root}" has no marker {_PATH}.', _HINT) from None
            raise as_environment(error, root / OURS, root_fd) from error
        stack.callback(let_close, ours)
        found = _read_marker(root, root_fd, ours)
        if nas_id and found != nas_id:
            raise EnvironmentFault(
                "NAS-MARKER",
                f'Another NAS is mounted at "{root}": its marker says {found}, the catalog {nas_id}.',
                "Mount the one that this catalog belongs to, or name its folder in MEDIA_FOLDER.",
            )
        try:
            folders = Folders(root_fd)
            scratch = Scratch(enter(b"tmp", ours, make=True), root / OURS / "tmp")
        except OSError as error:
            raise as_environment(error, root / OURS / "tmp", root_fd) from error
        keep.pop_all()
        return Opened(folders, scratch, found)


def _open_root(root: Path) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        raise EnvironmentFault(
            "NAS-MISSING",
            f'The NAS folder "{root}" {"does not exist" if is_missing else "is a file, or below one"}.',
            "Mount the NAS, or correct MEDIA_FOLDER; scs never makes this folder itself.",
        ) from None
    except OSError as error:
        raise as_environment(error, root, -1) from error


def _name_marker(aside: str, ours: int) -> None:
    try:
        os.link(aside, _MARKER, src_dir_fd=ours, dst_dir_fd=ours, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
    else:
        return
    # A file system without links, such as most SMB servers.
    try:
        os.stat(_MARKER, dir_fd=ours, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(aside, _MARKER, src_dir_fd=ours, dst_dir_fd=ours)


def _read_marker(root: Path, root_fd: int, ours: int) -> str:
    path = root / _PATH
    try:
        fd, _ = open_plain(_MARKER, os.O_RDONLY, ours)
        try:
            text = os.read(fd, 1024).decode("ascii", "replace").strip()
        finally:
            let_close(fd)
    except FileNotFoundError:
        raise EnvironmentFault("NAS-MARKER", f'"{root}" has no marker {_PATH}.', _HINT) from None
    except OSError as error:
        raise as_environment(error, path, root_fd) from error
    if not _ID.fullmatch(text):
        raise EnvironmentFault(
            "NAS-MARKER", f'The marker "{path}" holds no id.', "Remove that file, then run scs init."
        )
    return text
