"""A file that appears whole or not at all: beside its place first, then flushed to disk and renamed. Floor 1."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_GATHERED_BYTES = 1 << 18


class Draft:
    """Takes bytes; the file is there, or replaced, when `publish` was called. A context manager: nothing half is left.

    All but leaving it raise OSError, for the caller to say in the terms of what is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
        # With the rights that the user's umask gives to any new file.
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._file = os.fdopen(handle, "wb", buffering=_GATHERED_BYTES)

    def write(self, data: bytes) -> None:
        """Write *data*."""
        self._file.write(data)

    def publish(self) -> None:
        """Put it into its place; it is durable when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.rename(self._path)
        flush_folder(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what could not be flushed before, which was said already
            self._file.close()
        with suppress(OSError):  # gone, when it was published
            self._draft.unlink()


def flush_folder(folder: Path) -> None:
    """Have the names in *folder* on the disk; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
