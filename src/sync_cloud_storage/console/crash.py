"""Where a mistake of our own goes: a file for those who repair it, a sentence for those who met it."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.redact import redact
from sync_cloud_storage.safe import safe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path


def record_crash(error: BaseException, folder: Path, at_utc: datetime, secrets: Iterable[str]) -> EnvironmentFault:
    """Write the traceback of *error* into *folder*, for its owner alone and without secrets, and say so in a sentence.

    Never raises: when the file cannot be written, the sentence says that instead.
    """
    told = traceback.TracebackException.from_exception(error)
    lines = "".join(told.format()).splitlines()
    # Names and answers in it are from outside: no line of them may act on the terminal that shows the file.
    text = redact("\n".join(lines), secrets)
    file = folder / f"scs-crash-{at_utc:%Y%m%dT%H%M%SZ}.log"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write("\n".join(safe(line) for line in text.splitlines()) + "\n")
        where = f"The details are in {file}, without secrets; please send it along with a report."
    except OSError as fault:
        where = f"The details could not be written to {file}: {fault.strerror}."
    return EnvironmentFault(
        "SCS-CRASH",
        f"This is a mistake in scs itself: {type(error).__name__}{_place(error)}.",
        f"{where} The catalog is as it was after the last thing that was done; the same command can be run again.",
    )


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    return f" in {os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}"  # noqa: PTH119  (may be no path: <string>)
