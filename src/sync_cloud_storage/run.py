"""The engine: catalog -> tasks -> executor -> results -> catalog, in groups. The only writer while a run goes on.

A run has *feeds*, each of which takes one kind of work out of the catalog (containers to list, blobs to download, files
to upload, rows to check). The run keeps every worker supplied from all feeds, commits what comes back, and is over when
nothing is out and no feed has anything left. It knows nothing of requests or files.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from itertools import count, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.executors import Lost
from sync_cloud_storage.feeds import Feeds, weight
from sync_cloud_storage.model import (
    BlobsPage,
    Checked,
    ContainerFailed,
    ContainersPage,
    Downloaded,
    Failed,
    FilesSeen,
    Leg,
    ObjectsPage,
    Rotten,
    Seen,
    Stopped,
    Uploaded,
)
from sync_cloud_storage.worker import Batch, Drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.executors import Executor
    from sync_cloud_storage.feeds import Feed
    from sync_cloud_storage.model import Result, Task
    from sync_cloud_storage.tally import Tally
    from sync_cloud_storage.worker import Message, Report

    AnyPage = ContainersPage | BlobsPage | ObjectsPage | ContainerFailed

HELPINGS = 16  # a worker's window is filled in so many; fewer tasks than that are not worth a message
SETTLE_EVERY_S = 0.25
SETTLE_RESULTS = 1000
SETTLE_ROWS = 10_000  # of pages, in one transaction
# One blob's own trouble, or everybody's: the network's, the service's, a right that is missing. So many of them in a
# row, and nothing that went through on that leg, are the environment's fault.
DOUBTFUL = frozenset(
    {"S3-403", "AZ-403", "NAS-PERM", "NET", "THROTTLED", "HTTP-408", "HTTP-500", "HTTP-502", "HTTP-504"}
    | {"NAS-IO", "NAS-STALE", "NAS-BUSY"}
)
DOUBTS = 20
REPLANS = 5  # a blob that changes this often while we read it is left to a later run
DRAIN_LIMIT_S = 10.0

_LISTED = frozenset({ContainersPage, BlobsPage, ObjectsPage, ContainerFailed})
_BELIEVED = {Downloaded: Leg.AZURE, Uploaded: Leg.S3}  # what went through on a leg


class Rules(NamedTuple):
    """What a person's settings say about containers: why one is skipped ("" if not), and whether it is live."""

    skip_reason: Callable[[str], str]
    is_live: Callable[[str], bool]


class Run:
    """Drives *feeds* to their end.

    Args:
        catalog: Read for tasks, written with results.
        executor: Where the workers are.
        rules: About containers.
        tally: Counts what is done.
        tick: Called a few times a second with (tasks in hand, lanes of all workers); gives messages for all workers
            (fresh access, another rate), and raises an error to stop the run.
        stopping: True once a person wants it to stop.
        note: Is given row results with the tasks that are over, before they are committed; what it gives stops the run.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        catalog: Catalog,
        executor: Executor,
        rules: Rules,
        tally: Tally,
        *,
        tick: Callable[[int, int], Sequence[Message]],
        stopping: Callable[[], bool],
        note: Callable[[Sequence[Result], Sequence[tuple[Task, Feed]]], Stopped | None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._executor = executor
        self._rules = rules
        self._tally = tally
        self._tick = tick
        self._stopping = stopping
        self._note = note
        self._clock = clock
        self._tickets = count()
        self._hands: list[dict[int, tuple[Task, Feed]]] = [{} for _ in range(executor.workers)]
        self._load: list[Counter[int]] = [Counter() for _ in range(executor.workers)]
        self._lanes = [0] * executor.workers
        self._pending: list[Result] = []
        self._has_pages = False  # of blobs, among the pending results
        self._over: list[tuple[Task, Feed]] = []
        self._replans: Counter[int] = Counter()
        self._doubted: dict[int, Failed] = {}  # failures that are not written down yet
        self._settled_at = clock()
        self._drained: set[int] = set()
        self._drain_by: float | None = None
        self._stopped: Stopped | None = None

    def drive(self, feeds: Feeds) -> None:
        """Work until nothing is left, or somebody stops it.

        Raises:
            EnvironmentFault: What made every further step pointless; all results until then are in the catalog.
        """
        try:
            self._turn_until_done(feeds)
        finally:
            self._settle(feeds)  # also when a tick raises: what was done is done
            if self._stopped is None and (failures := self._believe(Leg.AZURE, Leg.S3)):
                self._catalog.settle(failures)
        if self._stopped is not None:
            raise EnvironmentFault(self._stopped.code, self._stopped.sentence, self._stopped.hint)

    def _turn_until_done(self, feeds: Feeds) -> None:
        while True:
            if self._drain_by is None and (self._stopped is not None or self._stopping()):
                self._drain()
            if self._drain_by is None:
                self._supply(feeds)
            if self._nothing_left():
                return
            for worker, report in self._executor.receive(SETTLE_EVERY_S):
                self._hear(worker, report)
            if self._has_pages and self._drain_by is None:
                self._supply_once(feeds)  # the workers go on while pages are written
            self._settle_when_due(feeds)
            for message in self._tick(sum(map(len, self._hands)), sum(self._lanes)):
                for worker in range(self._executor.workers):
                    self._executor.send(worker, message)

    def _nothing_left(self) -> bool:
        if self._drain_by is None:
            return not any(self._hands) and not self._pending
        return len(self._drained) == self._executor.workers or self._clock() > self._drain_by

    # ----------------------------------------------------------------------------------------------- down

    def _supply(self, feeds: Feeds) -> None:
        self._supply_once(feeds)
        if not any(self._hands):  # the last results may have made new work for a feed that was asked just before them
            for feed in feeds.all():
                feed.look_again()
            self._supply_once(feeds)

    def _supply_once(self, feeds: Feeds) -> None:
        for feed in feeds.all():
            helping = max(1, feed.window // HELPINGS)
            while True:  # each time to whoever has least, so that a few large blobs do not all go to the same worker
                worker = min(range(self._executor.workers), key=lambda number: self._load[number].total())
                room = feed.window - self._load[worker][id(feed)]
                if room <= feed.window // HELPINGS or not self._give(worker, feed, helping):
                    break

    def _give(self, worker: int, feed: Feed, room: int) -> bool:
        tasks = feed.take(room)
        if tasks:
            batch = tuple(zip(islice(self._tickets, len(tasks)), tasks, strict=True))
            self._load[worker][id(feed)] += sum(map(weight, tasks))
            self._hands[worker].update((ticket, (task, feed)) for ticket, task in batch)
            self._executor.send(worker, Batch(batch))
        return bool(tasks)

    def _drain(self) -> None:
        self._drain_by = self._clock() + DRAIN_LIMIT_S
        for worker in range(self._executor.workers):
            self._executor.send(worker, Drain())

    # ------------------------------------------------------------------------------------------------- up

    def _hear(self, worker: int, report: Report | Lost) -> None:
        if isinstance(report, Lost):
            self._stopped = self._stopped or Stopped(
                "WORKER-LOST",
                f"A worker process ended ({report.reason}).",
                "Most often memory ran out; run again with fewer --workers.",
            )
            self._drained.add(worker)
            return
        self._tally.bytes_in += report.bytes_in
        self._tally.bytes_out += report.bytes_out
        self._lanes[worker] = report.lanes
        for result in report.results:
            if isinstance(result, Stopped):
                self._stopped = self._stopped or result
            else:
                self._pending.append(result)
                self._has_pages = self._has_pages or isinstance(result, BlobsPage | ObjectsPage)
        hands, load = self._hands[worker], self._load[worker]
        for ticket in report.over:
            task, feed = hand = hands.pop(ticket)
            load[id(feed)] -= weight(task)
            self._over.append(hand)
        if report.drained:
            self._drained.add(worker)

    def _settle_when_due(self, feeds: Feeds) -> None:
        waited = self._clock() - self._settled_at
        is_due = self._has_pages or waited >= SETTLE_EVERY_S or not any(self._hands)
        if self._pending and (is_due or len(self._pending) >= SETTLE_RESULTS):
            self._settle(feeds)

    def _settle(self, feeds: Feeds) -> None:
        """Commit what came back: pages in groups, all else in one transaction."""
        rows: list[Any] = []
        given_up: list[Any] = []
        for kind, some in groupby(self._pending, type):
            group: list[Any] = list(some)
            if kind in _LISTED:
                self._settle_listings(group, feeds)
                continue
            if kind is Failed:
                group = self._doubt(group)
            elif kind in _BELIEVED:
                rows += self._believe(_BELIEVED[kind])
            self._tally.count(kind, group)
            given_up += filter(None, map(self._give_up, group)) if kind in {Seen, Rotten} else ()
            if kind is FilesSeen:
                group = [row for seen in group for row in seen.wrong]
                self._tally.count(Checked, group)
            rows += group
        if rows:
            self._stopped = self._note(rows, self._over) or self._stopped
            self._catalog.settle(rows)
        if given_up:  # after what they are about has its new version
            self._catalog.settle(given_up)
        self._pending.clear()
        self._has_pages = False
        for task, feed in self._over:
            if not self._doubted or getattr(task, "id", None) not in self._doubted:  # else it is tried again and again
                feed.back(task)
        self._over.clear()
        self._settled_at = self._clock()

    def _settle_listings(self, results: Sequence[AnyPage], feeds: Feeds) -> None:
        """Small pages share a transaction, since each one waits for the disk at its end."""
        left = deque(results)
        while left:
            with self._catalog.together():
                rows = 0
                while left and rows < SETTLE_ROWS:
                    result = left.popleft()
                    rows += getattr(result, "blob_count", 0) + getattr(result, "object_count", 0)
                    self._settle_listing(result, feeds)

    def _settle_listing(self, result: AnyPage, feeds: Feeds) -> None:
        match result:
            case ContainersPage():
                self._catalog.settle_containers(result, self._rules.skip_reason)
                if result.next_marker and feeds.containers is not None:
                    feeds.containers.go_on(result.next_marker)
            case BlobsPage():
                self._settle_page(result, feeds)
            case ObjectsPage():
                self._catalog.settle_objects(result)
                if feeds.objects is not None:
                    feeds.objects.page(result)
            case ContainerFailed():
                self._catalog.settle_container_failed(result)
                self._tally.failed += not result.not_found  # of a deleted one, the rows that were not copied fail
                if feeds.listings is not None:
                    feeds.listings.give_up(result.container)

    def _doubt(self, failures: list[Failed]) -> list[Failed]:
        """Hold back those that may be everybody's trouble; the others."""
        certain: list[Failed] = []
        for failed in failures:
            if failed.code not in DOUBTFUL:
                certain.append(failed)
                continue
            self._doubted[failed.id] = failed
            if len(self._doubted) >= DOUBTS and self._stopped is None:
                text = (
                    f"{DOUBTS} blobs failed in a row for a reason that may not be theirs; the last: {failed.sentence}"
                )
                hint = "Mend what is behind it, then run again; nothing was marked failed."
                self._stopped = Stopped(failed.code, text, hint)
        return certain

    def _believe(self, *legs: Leg) -> list[Failed]:
        """Something went through on a leg, or the run ends: what failed there is those blobs' own trouble."""
        if not self._doubted:
            return []
        failures = [failed for failed in self._doubted.values() if failed.leg in legs]
        for failed in failures:
            del self._doubted[failed.id]
        self._tally.failed += len(failures)
        return failures

    def _settle_page(self, page: BlobsPage, feeds: Feeds) -> None:
        outcome = self._catalog.settle_blobs_page(page, is_live=self._rules.is_live(page.container))
        self._tally.count_page(page.blob_count, outcome)
        if feeds.listings is not None:
            feeds.listings.page(page)

    def _give_up(self, result: Seen | Rotten) -> Failed | None:
        """A blob that has to be fetched anew has had its chances in this run."""
        self._replans[result.id] += 1
        if self._replans[result.id] <= REPLANS:
            return None
        self._tally.failed += 1
        etag, code = (result.blob.etag, "AZ-CHANGING") if isinstance(result, Seen) else (result.etag, result.code)
        text = f"It had to be fetched anew {REPLANS} times in this run; try again with --retry-failed."
        return Failed(result.id, Leg.AZURE, etag, code, text)
