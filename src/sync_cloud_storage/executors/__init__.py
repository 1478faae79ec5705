"""Where workers live. One protocol: messages go to a worker by its number, reports come back.

`processes.py` is what runs on one machine; `here.py` keeps the worker in this process, for tests and for a debugger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.worker import Message, Report


class Lost(NamedTuple):
    """A worker ended on its own: killed, or out of memory."""

    reason: str


class Executor(Protocol):
    """A fixed number of workers."""

    workers: int

    def send(self, worker: int, message: Message) -> None:
        """Give *message* to a worker; never waits for the work to be done. A message to a lost worker is dropped."""
        ...

    def receive(self, longest_s: float) -> Sequence[tuple[int, Report | Lost]]:
        """What the workers had to say, waiting *longest_s* at most for the first word."""
        ...

    def close(self) -> None:
        """End all workers; what they had in hand is dropped."""
        ...
