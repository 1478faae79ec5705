"""How the bytes of a blob come into its temporary file: sinks, the MD5 that follows ranges, how many of them at once.

A range is written where it belongs, whenever it comes; only the MD5 needs an order (docs/adr/0013). Floor 2.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sync_cloud_storage.checksum import Md5, Running, crc64nvme
from sync_cloud_storage.errors import BlobFault, Kind
from sync_cloud_storage.http.messages import Aside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.model import Download
    from sync_cloud_storage.nas import Partial, Temp

RANGES_AT_ONCE = 8  # at most
BUSY_SHARE = 0.5  # who works for more than this share of the time is busy
FOLLOW_STEP_BYTES = 256 << 10  # stays in the processor's cache between reading and hashing


class Breadth:
    """How many ranges of one blob come side by side.

    Where the network thread is busy more ranges bring nothing, and a blob that comes range by range is hashed as it
    passes and need not be read again. So: half as many after each range in which the thread was busy, twice as many
    after any other.

    Args:
        ranges: To begin with.
        clock: Monotonic seconds.
        worked: Seconds for which this thread was at work.
    """

    def __init__(
        self,
        ranges: int = RANGES_AT_ONCE,
        *,
        clock: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self._ranges = ranges
        self._clock = clock
        self._worked = worked

    def __call__(self) -> int:
        """Ranges of one blob that may be in flight now."""
        return self._ranges

    def moment(self) -> tuple[float, float]:
        """A range begins: what `learn` wants to have when it ends."""
        return self._clock(), self._worked()

    def learn(self, since: tuple[float, float]) -> None:
        """A range that began at the moment *since* has ended."""
        is_busy = self._worked() - since[1] > BUSY_SHARE * (self._clock() - since[0])
        self._ranges = max(1, self._ranges // 2) if is_busy else min(RANGES_AT_ONCE, self._ranges * 2)


class WholeFile:
    """Sink: a whole blob into its temporary file, hashed as it passes. Attested, it comes as a range: all of it."""

    def __init__(self, temp: Temp, task: Download) -> None:
        self._temp = temp
        self._size_bytes = task.size_bytes
        self._md5 = bool(task.content_md5)
        self._right = {200, 206} if task.attest else {200}
        self.received = 0
        self.hashed = Running(md5=self._md5)

    @property
    def crc(self) -> int:
        """CRC64NVME so far."""
        return self.hashed.crc

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over."""
        del headers
        self.received = 0
        self.hashed = Running(md5=self._md5)
        return status in self._right

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take the next bytes; more than the blob has are counted, not kept."""
        offset = self.received
        self.received += sum(map(len, pieces))
        if self.received <= self._size_bytes:
            self._temp.write_at(offset, *pieces)
            for piece in pieces:
                self.hashed.update(piece)


class RangeOfFile:
    """Sink: one range of a large blob into its place."""

    def __init__(self, partial: Partial, span: tuple[int, int], follower: Follower | None) -> None:
        self._partial = partial
        self._follower = follower
        self._begin, self._end = span
        self.received = 0
        self.crc = 0

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over. A 200 is the whole blob and none of our business."""
        del headers
        self.received = 0
        self.crc = 0
        if self._follower is not None:
            self._follower.rewind(self._begin)
        return status == 206

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take the next bytes; more than the range has are counted, not kept."""
        offset = self._begin + self.received
        self.received += sum(map(len, pieces))
        if self._begin + self.received <= self._end:
            self._partial.write_at(offset, *pieces)
            for piece in pieces:
                self.crc = crc64nvme(piece, self.crc)
            if self._follower is not None:
                self._follower.take(self._begin, offset, pieces)


class Follower:
    """MD5 of a file whose ranges arrive in any order: hashes the range at the front as it comes.

    What came ahead of the front is read again, in a thread and out of the page cache, once the front has reached it.
    """

    def __init__(self, partial: Partial) -> None:
        self.hashed = Md5()
        self._partial = partial
        self._room = memoryview(bytearray(FOLLOW_STEP_BYTES))
        self._busy = False
        self._mark = self.hashed  # as it was where the range at the front began
        self._front = 0  # everything before it is there
        self._ahead = {offset: length for offset, length, _ in partial.done}  # what lies beyond the front
        self._advance()

    def arrived(self, offset: int, length: int) -> None:
        """A range is there."""
        self._ahead[offset] = length
        self._advance()

    def take(self, begin: int, offset: int, pieces: Sequence[bytes]) -> None:
        """Take *pieces* at *offset* of the range that begins at *begin*, if the front is just there."""
        if self._busy or offset != self.hashed.size_bytes:
            return
        if offset == begin:
            if begin != self._front:
                return  # the range before this one has all its bytes, but is not known to be right: it may come again
            self._mark = self.hashed.copy()
        for piece in pieces:
            self.hashed.update(piece)

    def rewind(self, begin: int) -> None:
        """The range that begins at *begin* is fetched anew: what was hashed of it must not count for what comes now."""
        if self.hashed.size_bytes > begin:
            self.hashed = self._mark

    def catch_up(self) -> Story[None]:
        """Hash what has become contiguous; returns at once while another story is at it."""
        if self._busy:
            return
        self._busy = True
        while self._front > self.hashed.size_bytes:
            yield Aside(self._hash_to, (self._front,))
        self._busy = False

    def _advance(self) -> None:
        while (length := self._ahead.pop(self._front, 0)) > 0:
            self._front += length

    def _hash_to(self, front: int) -> None:
        while (left := front - self.hashed.size_bytes) > 0:
            count = self._partial.read_into(self._room[:left], self.hashed.size_bytes)
            if not count:
                text = f'"{self._partial.name}" in .scs/tmp became shorter while it was written. Who else writes there?'
                raise BlobFault("NAS-SHORT", text, kind=Kind.RETRY)
            self.hashed.update(self._room[:count])


def missing(done: Sequence[tuple[int, int, int]], size_bytes: int, step: int) -> list[tuple[int, int]]:
    """The spans of *size_bytes* that no finished range covers, none longer than *step*."""
    spans: list[tuple[int, int]] = []
    at = 0
    for offset, length, _ in [*sorted(done), (size_bytes, 0, 0)]:
        while at < offset:
            end = min(at + step, offset)
            spans.append((at, end))
            at = end
        at = max(at, offset + length)
    return spans
