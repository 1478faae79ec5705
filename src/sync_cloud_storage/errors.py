"""The errors of the product, as one tree. Floor 0: knows nothing of the rest.

Every error is a sentence for a person (what, why) with a way out (`hint`), a stable code for reports and scripts, and a
*kind* that says what the program does about it. Foreign errors (SQLite, the SDKs, libcurl, the kernel) are turned
into one of these at the door where they enter; none of them travels upward.

    ScsError
    ├── UsageFault         exit 2   arguments or settings; nothing was started
    ├── EnvironmentFault   exit 3   access, NAS, catalog, clock: stops the run, marks nothing failed
    ├── CatalogBusy        exit 4   another run holds the catalog, or the NAS
    ├── Mismatch           exit 5   a check found a difference
    └── BlobFault          exit 1   one blob: retry, replan or permanent, see `Kind`
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What the program does about an error."""

    RETRY = "retry"  # the same request again, after a pause
    REPLAN = "replan"  # ask the source again what this blob is, then start over
    PERMANENT = "permanent"  # this blob only: status 2 with code and sentence; the others go on
    FATAL = "fatal"  # stop the run cleanly; rows stay pending


class ScsError(Exception):
    """Base of all errors that a person may see.

    Args:
        code: Stable, upper-case, hyphenated: `AZ-403`, `NAS-FULL`.
        sentence: What happened to which thing, and why. Never holds a secret or the query of a URL.
        hint: The way out, one sentence; empty where there is none.
    """

    kind = Kind.FATAL
    exit_code = 3

    def __init__(self, code: str, sentence: str, hint: str = "") -> None:
        super().__init__(code, sentence, hint)
        self.code = code
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        """One line for people: sentence, then the way out."""
        return f"{self.sentence} {self.hint}".rstrip()


class UsageFault(ScsError):
    """Arguments or settings that cannot work."""

    exit_code = 2


class EnvironmentFault(ScsError):
    """Something around the program is not as it must be; every blob would fail for the same reason."""

    exit_code = 3


class CatalogBusy(ScsError):
    """Another process works with this catalog, or on this NAS."""

    exit_code = 4


class Mismatch(ScsError):
    """A check found that two places differ."""

    exit_code = 5


class BlobFault(ScsError):
    """One blob could not be moved."""

    exit_code = 1

    def __init__(self, code: str, sentence: str, hint: str = "", *, kind: Kind = Kind.PERMANENT) -> None:
        super().__init__(code, sentence, hint)
        self.kind = kind
