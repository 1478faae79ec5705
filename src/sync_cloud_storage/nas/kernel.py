"""System calls that Python's `os` does not have."""

from __future__ import annotations

import ctypes
import errno
import os

_RENAME_NOREPLACE = 1  # Source: renameat2(2)
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})  # NFS, some SMB servers: there is no such rename


def rename_to_free(from_fd: int, name: bytes, to_fd: int, leaf: bytes) -> bool:
    """Rename to a place where nothing is; False when something is there, or the file system cannot promise it.

    Raises:
        OSError: As `os.rename`.
    """
    if _LIBC.renameat2(from_fd, name, to_fd, leaf, _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST or code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code))
