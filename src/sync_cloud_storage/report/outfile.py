"""A file that a person asked for: it appears whole or not at all, and goes over nothing that must not be lost."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sync_cloud_storage.draft import Draft
from sync_cloud_storage.errors import EnvironmentFault, UsageFault

if TYPE_CHECKING:
    from types import TracebackType


class OutFile:
    """Takes text; the file is there, or replaced, when `publish` was called. A context manager.

    A link at its place stays, and the file that it leads to is written.

    Raises:
        UsageFault: `REPORT-FILE`: what is there is a folder, a device, or one of the files *kept*.
        EnvironmentFault: `REPORT-WRITE`: the disk, or the system, does not take it. Nothing half is left.
    """

    def __init__(self, path: Path, kept: tuple[Path, ...] = ()) -> None:
        self._shown = path
        self._path = Path(os.path.realpath(path))
        self._refuse_strange(kept)
        try:
            self._draft = Draft(self._path)
        except OSError as error:
            raise self._cannot(error) from None

    def write(self, text: str) -> None:
        """Write *text*, as UTF-8."""
        self.write_bytes(text.encode())

    def write_bytes(self, data: bytes) -> None:
        """Write *data*."""
        try:
            self._draft.write(data)
        except OSError as error:
            raise self._cannot(error) from None

    def publish(self) -> None:
        """Put it into its place; it is durable when this returns."""
        try:
            self._draft.publish()
        except OSError as error:
            raise self._cannot(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draft.__exit__(kind, error, trace)

    def _refuse_strange(self, kept: tuple[Path, ...]) -> None:
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._cannot(error) from None
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "a link, a device or a pipe"
            raise UsageFault("REPORT-FILE", f"{self._shown} is {what}.", "Name a file that may be written.")
        for other in kept:
            with suppress(OSError):
                if os.path.samestat(found, other.stat()):
                    raise UsageFault(
                        "REPORT-FILE", f"{self._shown} is {other}, which must not be lost.", "Name another file."
                    )

    def _cannot(self, error: OSError) -> EnvironmentFault:
        why = error.strerror or type(error).__name__
        return EnvironmentFault(
            "REPORT-WRITE", f"{self._shown} cannot be written: {why}.", "Look at the folder, its rights and its space."
        )
