"""A stream for people or for a document that never stops the run: not when it is closed, full, or knows only ASCII."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = 80


class Outlet:
    """Writes text to *stream* as long as somebody takes it, and says what the other end can show.

    Args:
        stream: Where to; None is a stream that was closed before the program began.
        environ: Tells locale, terminal and colours.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._environ = environ
        self.is_terminal = _is_terminal(stream) and environ.get("TERM", "") not in {"", "dumb"}
        self.is_unicode = _is_unicode(stream, environ)

    @property
    def is_open(self) -> bool:
        """Whether somebody still reads."""
        return self._stream is not None

    def write(self, text: str) -> None:
        r"""Write and flush. What the other end cannot show becomes `\uNNNN`; an end that is gone is left alone."""
        if self._stream is None:
            return
        try:
            self._stream.write(self.showable(text))
            self._stream.flush()
        except (OSError, ValueError):
            # `| head -1` has read enough, or the disk of a log is full: the run is worth more than its words.
            self.give_up()

    def showable(self, text: str) -> str:
        """*text* as the other end will show it, so that its width can be known before it is written."""
        encoding = "utf-8" if self.is_unicode else "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def size(self) -> tuple[int, int]:
        """Columns and rows, now: a window may change at any moment."""
        with suppress(OSError, ValueError, AttributeError):
            if self._stream is not None:
                columns, rows = os.get_terminal_size(self._stream.fileno())
                if columns and rows:
                    return columns, rows
        columns_text = self._environ.get("COLUMNS", "")
        return int(columns_text) if columns_text.isdecimal() and int(columns_text) else _COLUMNS, 24

    def give_up(self) -> None:
        """Write nothing more."""
        stream, self._stream = self._stream, None
        # Python flushes the stream once more at exit, and would complain: let that go nowhere.
        with suppress(OSError, ValueError, AttributeError):
            if stream is not None:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _is_unicode(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether the other end shows more than ASCII.

    The stream alone cannot tell: under LANG=C Python itself switches to UTF-8, and writes `LC_CTYPE=C.UTF-8` into its
    own environment (PEP 538, PEP 540). So the user's words count: LC_ALL, LC_CTYPE, LANG, in the order of setlocale(3).
    """
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    if encoding != "utf8":
        return False
    if environ.get("PYTHONIOENCODING") or environ.get("PYTHONUTF8") == "1":
        return True
    category = environ.get("LC_CTYPE", "")
    by_python = category in {"C.UTF-8", "C.utf8", "UTF-8"} and environ.get("LANG", "") in {"", "C", "POSIX"}
    word = environ.get("LC_ALL") or ("" if by_python else category) or environ.get("LANG") or "C"
    return "utf" in word.lower()
