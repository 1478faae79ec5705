"""A single worker in this process: the same messages, no processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.executors import Lost
    from sync_cloud_storage.worker import Message, Report, Setup


class Here:
    """An executor of one worker that works while somebody waits for it."""

    workers = 1

    def __init__(self, setup: Setup) -> None:
        self._said: list[Report] = []
        self._worker = Worker(setup, self._said.append)

    def send(self, worker: int, message: Message) -> None:
        """Give *message* to the worker."""
        del worker
        self._worker.take(message)

    def receive(self, longest_s: float) -> Sequence[tuple[int, Report | Lost]]:
        """Let the worker go on once."""
        if not self._worker.drained:
            self._worker.turn(longest_s)
        said, self._said[:] = list(self._said), []
        return [(0, report) for report in said]

    def close(self) -> None:
        """End it."""
        self._worker.close()
