"""Who may write the catalog: an `flock` on a file beside it, held as long as the process lives.

The kernel takes it back when the process dies, however it dies, so there is nothing to clean up after a crash. What is
written in the file is for the sentence of the one who comes second. A process that is forked (not spawned) from this
one would hold it, too; ours are spawned.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from sync_cloud_storage.catalog.database import io_fault
from sync_cloud_storage.errors import CatalogBusy


class Lock:
    """The right to write one catalog.

    Args:
        catalog: Path of the catalog; the lock lies beside it.
        host: Name of this machine, for the sentence of `CatalogBusy`.
        since_utc: Now.

    Raises:
        CatalogBusy: Another process has it.
        EnvironmentFault: `CATALOG-IO`.
    """

    def __init__(self, catalog: Path, host: str, since_utc: str) -> None:
        self.path = Path(f"{catalog.resolve()}.lock")  # one lock, whatever link leads there
        try:
            self._handle = self._take(catalog)
            text = json.dumps({"pid": os.getpid(), "host": host, "since_utc": since_utc})
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, text.encode(), 0)
        except OSError as error:
            raise io_fault(self.path, error.strerror) from error

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._handle)

    def remove(self) -> None:
        """Take the file away, while it is still held: whoever waits for it looks again."""
        self.path.unlink(missing_ok=True)

    def _take(self, catalog: Path) -> int:
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_still_there(handle):
                    return handle
            except BlockingIOError:
                holder = os.pread(handle, 4096, 0)
                os.close(handle)
                raise _busy(catalog, holder) from None
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _is_still_there(self, handle: int) -> bool:
        """Say whether the file that we locked is the one with the name; `scs clean` takes it away."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


def _busy(catalog: Path, written: bytes) -> CatalogBusy:
    try:
        holder: Any = json.loads(written)
        who = f"process {holder['pid']} on {holder['host']}, since {holder['since_utc']}"
    except (ValueError, TypeError, KeyError):  # it began this very moment
        who = "another process"
    return CatalogBusy(
        "CATALOG-BUSY",
        f"Another run holds the catalog '{catalog}': {who}.",
        "Wait until it has ended, or stop it with Ctrl-C.",
    )
