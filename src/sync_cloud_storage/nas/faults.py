"""What the kernel's error numbers mean for a migration: one table, one function."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.units import print_bytes

if TYPE_CHECKING:
    from pathlib import Path


class _Rule(NamedTuple):
    code: str
    kind: Kind  # FATAL: an EnvironmentFault, every blob would fail for the same reason
    reason: str
    hint: str


_FATAL, _RETRY, _PERMANENT = Kind.FATAL, Kind.RETRY, Kind.PERMANENT
_ROOM = "Make room, or enlarge the NAS, then run again; nothing is lost."

_GONE = _Rule("NAS-GONE", _FATAL, "the NAS does not answer", "Bring it back and mount it, then run again.")
_BUSY = _Rule("NAS-BUSY", _RETRY, "the NAS, or this machine's memory, is busy", "Run again with less concurrency.")
_OPEN = _Rule("NAS-OPEN-FILES", _RETRY, "too many files are open", "Raise the limit (ulimit -n), or lower concurrency.")
_PERM = _Rule("NAS-PERM", _PERMANENT, "access is denied", "Give this user the right to read and write there.")
_NAME = _Rule("NAS-NAME", _PERMANENT, "the NAS does not take this name", "A rename rule can shorten or change it.")
_TYPE = _Rule(
    "NAS-TYPE",
    _PERMANENT,
    "something is in the way that is no plain file or folder, or a file where a folder has to be",
    "Move it away. Links are never followed.",
)
_MOUNT = _Rule("NAS-TYPE", _PERMANENT, "another file system is mounted inside the NAS", "Unmount it there.")
_THERE = _Rule("NAS-EXISTS", _PERMANENT, "a file is there already", "Move it away, or run with --overwrite.")
_LARGE = _Rule("NAS-TOO-BIG", _PERMANENT, "no file may be so large", "See ulimit -f, and the file system's own limit.")
_TAKEN = _Rule("NAS-VANISHED", _RETRY, "it was taken away while we worked on it", "Who else writes there?")
_STALE = _Rule("NAS-STALE", _RETRY, "the server has replaced it (stale handle)", "Run again.")
_OTHER = _Rule("NAS-IO", _RETRY, "the NAS reports an error", "Look at its health, then run again.")

_RULES = {
    errno.ENOSPC: _Rule("NAS-FULL", _FATAL, "no space is left", _ROOM),
    errno.EDQUOT: _Rule("NAS-FULL", _FATAL, "the quota is used up", _ROOM),
    errno.EROFS: _Rule("NAS-READONLY", _FATAL, "the NAS is mounted read-only", "Mount it for writing, then run again."),
    errno.ENOTCONN: _GONE,
    errno.ECONNRESET: _GONE,
    errno.ETIMEDOUT: _GONE,
    errno.EHOSTDOWN: _GONE,
    errno.EHOSTUNREACH: _GONE,
    errno.ENODEV: _GONE,
    errno.ESHUTDOWN: _GONE,
    errno.EAGAIN: _BUSY,
    errno.EBUSY: _BUSY,
    errno.ENOLCK: _BUSY,
    errno.ENOMEM: _BUSY,
    errno.ENOBUFS: _BUSY,
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.ESTALE: _STALE,
    errno.ENOENT: _TAKEN,
    errno.EIO: _OTHER,
    errno.EACCES: _PERM,
    errno.EPERM: _PERM,
    errno.ENAMETOOLONG: _NAME,
    errno.EILSEQ: _NAME,
    errno.EINVAL: _NAME,
    errno.ENOTDIR: _TYPE,
    errno.EISDIR: _TYPE,
    errno.ELOOP: _TYPE,
    errno.ENOTEMPTY: _TYPE,
    errno.ENXIO: _TYPE,  # a socket, or a pipe that nobody reads
    errno.EXDEV: _MOUNT,
    errno.EEXIST: _THERE,
    errno.EFBIG: _LARGE,
}

# In `.scs` these are no matter of one blob: the next one would meet the same.
_OURS = {"NAS-VANISHED": "NAS-GONE", "NAS-TYPE": "NAS-MARKER", "NAS-PERM": "NAS-PERM"}


def as_fault(error: OSError, path: Path | str, disk: int, *, ours: bool = False) -> ScsError:
    """The fault that *error* is, met at *path*.

    Args:
        error: From the kernel.
        path: What it was about, as people know it.
        disk: Any descriptor on the NAS, to say what is free.
        ours: It was about a file of our own in `.scs`.
    """
    rule = _RULES.get(error.errno or 0, _OTHER)
    number = errno.errorcode.get(error.errno or 0, str(error.errno))
    detail = f"{number}; {_free(disk)}" if rule.code == "NAS-FULL" else number
    sentence = f'"{path}": {rule.reason} ({detail}).'
    if ours and rule.code in _OURS:
        return EnvironmentFault(_OURS[rule.code], sentence, rule.hint)
    if rule.kind is Kind.FATAL:
        return EnvironmentFault(rule.code, sentence, rule.hint)
    return BlobFault(rule.code, sentence, rule.hint, kind=rule.kind)


def as_environment(error: OSError, path: Path | str, disk: int) -> EnvironmentFault:
    """The same for what concerns the whole NAS: always a fault of the environment."""
    fault = as_fault(error, path, disk, ours=True)
    return fault if isinstance(fault, EnvironmentFault) else EnvironmentFault(fault.code, fault.sentence, fault.hint)


def _free(disk: int) -> str:
    try:
        stat = os.fstatvfs(disk)
    except OSError:
        return "what is free is not known"
    inodes = f", {stat.f_favail} inodes" if stat.f_files else ""
    return f"free: {print_bytes(stat.f_bavail * stat.f_frsize)}{inodes}"
