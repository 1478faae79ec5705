"""Ctrl-C and SIGTERM: the first time the run is asked to end cleanly, the second time it ends at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(threading.Event):
    """An event that knows who set it: `signal_name` is "", "SIGINT" or "SIGTERM"."""

    def __init__(self) -> None:
        super().__init__()
        self.signal_name = ""


@contextmanager
def stop_on_signals(told: Callable[[], None]) -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM set; *told* is called then, inside the signal handler.

    The first signal gives both back to the kernel: a second one ends the process at once, with 130 or 143 for a shell,
    even where Python has no turn, as in a long query. That is as safe as any kill: rows and files are whole at any
    moment.
    """
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        stop.signal_name = signal.Signals(number).name
        stop.set()
        told()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
