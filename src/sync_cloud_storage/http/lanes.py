"""How many requests may be in flight, and how fast: learns from the answers, obeys a person's limits."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.messages import Response

THROTTLED = frozenset({429, 503})  # Source: Azure "Scalability targets" and Amazon S3 "503 Slow Down", read 2026-11-23


class Lanes:
    """The number of requests that one pump keeps in flight.

    Grows by one lane a round of good answers, and is cut by a third when the service says that it is too much (429 or
    503), at most once a second, since one burst brings many such answers.

    Args:
        most: Never more than this.
        start: To begin with; 0 begins with *most*.
        rate: Bytes a second for this pump; 0 is no limit.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        most: int,
        *,
        start: int = 0,
        rate: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.most = most
        self.rate = rate
        self._limit = float(min(start or most, most))
        self._clock = clock
        self._cut_at = -1.0
        self._sleep = sleep
        self._turn = threading.Lock()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now, at least 1."""
        return int(self._limit)

    def share(self, transfers: int) -> int:
        """Bytes a second for one of so many transfers; 0 is no limit."""
        return max(1024, self.rate // transfers) if self.rate else 0

    def pace(self, count: int) -> None:
        """Wait as long as *count* bytes may take: for what is read in threads, and not by transfers."""
        rate = self.rate
        if rate:
            with self._turn:  # of all threads together
                self._sleep(count / rate)

    def learn(self, answer: Response | None) -> None:
        """Take an answer into account; None for one that our own side broke off."""
        if answer is None or answer.status == 0:
            return
        if answer.status not in THROTTLED:
            self._limit = min(float(self.most), self._limit + 1 / self._limit)
            return
        now = self._clock()
        if now - self._cut_at >= 1.0:
            self._cut_at = now
            self._limit = max(1.0, self._limit * 2 / 3)
