"""Draws a few lines at the end of a terminal again and again, in place. Survives any change of the window's size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console as Renderer
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sync_cloud_storage.console.outlet import Outlet

_UP = "\x1b[{}A"
_CLEAR_LINE = "\x1b[K"
_CLEAR_BELOW = "\x1b[J"


class Screen:
    """The lines that are being drawn, on one outlet.

    rich's own `Live` remembers how many lines it drew, and leaves rubbish when the window becomes narrower in between
    and the terminal folds them. This one remembers how wide they were, and counts the folds. One write for each
    picture: no flicker. The cursor stays visible, so that a kill leaves the terminal as it was.
    """

    def __init__(self, outlet: Outlet, environ: Mapping[str, str]) -> None:
        self._outlet = outlet
        self._renderer = _renderer(outlet, environ)
        self._drawn: list[int] = []  # cells of each line of the last picture

    def draw(self, lines: Sequence[Text]) -> None:
        """Put *lines* where the last ones were. None may be wider than the window."""
        body = f"{_CLEAR_LINE}\n".join(self.ansi(line) for line in lines)
        self._outlet.write(f"{self._to_top()}{body}{_CLEAR_LINE}{_CLEAR_BELOW}")
        self._drawn = [line.cell_len for line in lines]

    def clear(self) -> None:
        """Take the picture away; the next words stand where it was."""
        if self._drawn:
            self._outlet.write(f"{self._to_top()}{_CLEAR_BELOW}")
            self._drawn = []

    def print(self, line: Text) -> None:
        """Write *line* for good: folded between words at the window's width, going on below its own indent."""
        if not self._outlet.is_terminal:
            self._outlet.write(f"{line.plain.rstrip()}\n")
            return
        width = min(self._outlet.size()[0], 100)
        if (shown := self._outlet.showable(line.plain)) != line.plain:
            line = Text(shown, style=line.style)  # the spans no longer fit; colours are the lesser loss
        indent = len(line.plain) - len(line.plain.lstrip(" "))
        for part in line[indent:].wrap(self._renderer, max(8, width - indent)) if line.plain.strip() else [line]:
            part.rstrip()
            self._outlet.write(f"{' ' * indent}{self.ansi(part)}\n")

    def ansi(self, line: Text) -> str:
        """The line with the terminal's own colours."""
        with self._renderer.capture() as capture:
            self._renderer.print(line, end="", soft_wrap=True)
        return capture.get()

    def _to_top(self) -> str:
        if not self._drawn:
            return "\r"
        columns = max(1, self._outlet.size()[0])
        folded = sum(max(1, -(-cells // columns)) for cells in self._drawn) - 1
        return "\r" + (_UP.format(folded) if folded else "")


def _renderer(outlet: Outlet, environ: Mapping[str, str]) -> Renderer:
    return Renderer(
        file=io.StringIO(),
        force_terminal=outlet.is_terminal,
        # Known by TERM, COLORTERM and NO_COLOR; without a terminal there are none.
        no_color=None if outlet.is_terminal else True,
        _environ=dict(environ),
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
