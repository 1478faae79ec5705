"""A worker: takes batches of tasks, drives their stories through one pump, gives back results.

It never opens the catalog and never decides what is to be done next. Where it lives (this process or another) is the
executor's business; it only sees messages, which are plain values.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sync_cloud_storage.arriving import RANGES_AT_ONCE
from sync_cloud_storage.azure import Azure, AzureAccess
from sync_cloud_storage.company import COMPANY, Alone
from sync_cloud_storage.download import Downloader
from sync_cloud_storage.errors import ScsError
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.listing import list_blobs, list_containers, list_objects, look
from sync_cloud_storage.model import (
    Check,
    Download,
    Files,
    ListBlobs,
    ListContainers,
    ListObjects,
    Look,
    Stopped,
    Upload,
)
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.redact import redact
from sync_cloud_storage.s3 import S3, Profile, S3Access
from sync_cloud_storage.upload import Uploader
from sync_cloud_storage.verify import Checker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync_cloud_storage.http.messages import Line, Response, Story
    from sync_cloud_storage.model import Result, Task
    from sync_cloud_storage.names import Placement

T = TypeVar("T")

STORIES_PER_LANE = 2  # while one is on the wire, another is on its way to the disk
LANES_FIRST = 16  # more are opened as answers come in well
DRAIN_S = 3.0  # small transfers may finish; large ones keep their finished ranges and parts
REPORT_EVERY_S = 0.05
REPORT_RESULTS = 256


class Setup(NamedTuple):
    """All that a worker needs to build its doors. A door whose access is None is not built."""

    placement: Placement
    azure: AzureAccess | None = None
    azure_line: Line | None = None
    profile: Profile | None = None
    s3: S3Access | None = None
    s3_line: Line | None = None
    nas_root: Path | None = None
    nas_id: str = ""
    range_bytes: int = 16 << 20
    multipart_from_bytes: int = 64 << 20
    part_bytes: int = 0
    lanes: int = 32
    rate: int = 0  # bytes a second for this worker, 0: no limit
    offline_s: float = 1800.0
    stall_s: float = 60.0
    ask_first: bool = False  # look for an object before it is sent


class Batch(NamedTuple):
    """Tasks to begin, in this order, each with a ticket by which its end is reported."""

    tasks: tuple[tuple[int, Task], ...]


class Renew(NamedTuple):
    """Fresh access to the services."""

    azure: AzureAccess | None
    s3: S3Access | None


class Rate(NamedTuple):
    """Bytes a second from now on, 0: no limit."""

    bytes_per_s: int


class Drain(NamedTuple):
    """Begin nothing new, finish what finishes soon, let go of the rest."""


Message = Batch | Renew | Rate | Drain


class Report(NamedTuple):
    """What happened since the last report: results in their order, and the tickets of tasks that are over.

    `bytes_in` and `bytes_out` crossed the network.
    """

    results: tuple[Result, ...]
    over: tuple[int, ...]
    bytes_in: int
    bytes_out: int
    lanes: int
    drained: bool = False


class Worker:
    """Drives tasks.

    Args:
        setup: What to build.
        send: Takes reports.
        clock: Monotonic seconds.
    """

    def __init__(
        self, setup: Setup, send: Callable[[Report], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._lanes = Lanes(setup.lanes, start=min(LANES_FIRST, setup.lanes), rate=setup.rate, clock=clock)
        self.pump = Pump(self._lanes, stall_s=setup.stall_s, clock=clock)
        self._placement = setup.placement
        patience = Patience(offline_s=setup.offline_s, clock=clock)
        self._nas = Nas.open(setup.nas_root, setup.nas_id) if setup.nas_root is not None else None
        self._azure = (
            Azure(setup.azure, setup.azure_line, patience, time.time) if setup.azure and setup.azure_line else None
        )
        self._s3 = (
            S3(setup.profile, setup.s3, setup.s3_line, patience)
            if setup.profile and setup.s3 and setup.s3_line
            else None
        )
        self._range_bytes = setup.range_bytes
        self._downloader = (
            Downloader(self._azure, self._nas, range_bytes=setup.range_bytes, now=_utc_now)
            if self._azure and self._nas
            else None
        )
        self._uploader = (
            Uploader(
                self._nas,
                self._s3,
                multipart_from_bytes=setup.multipart_from_bytes,
                part_bytes=setup.part_bytes,
                now=_utc_now,
                give=self._give,
                ask_first=setup.ask_first,
            )
            if self._s3 and self._nas
            else None
        )
        self._checker = Checker(self._nas, self._s3, self._lanes.pace)
        self._queue: deque[tuple[int, Task]] = deque()
        self._weight = 0
        self._results: list[Result] = []
        self._over: list[int] = []
        self._reported_at = clock()
        self._reported = (0, 0)
        self._drain_by: float | None = None
        self.drained = False

    def take(self, message: Message) -> None:
        """Obey a message."""
        match message:
            case Batch(tasks):
                if self._drain_by is None:
                    self._queue.extend(tasks)
            case Renew(azure, s3):
                if self._azure is not None and azure is not None:
                    self._azure.access = azure
                if self._s3 is not None and s3 is not None:
                    self._s3.access = s3
            case Rate(rate):
                self._lanes.rate = rate
            case Drain():
                self._drain()

    def turn(self, longest_s: float) -> None:
        """Go on for a while: begin what there is room for, let the pump turn once, report."""
        most = max(2, self._lanes.limit * STORIES_PER_LANE)
        while self._queue and self._weight < most:
            self._begin_next()
        self.pump.turn(min(longest_s, REPORT_EVERY_S) if self.pump.active else longest_s)
        if self.drained:
            return
        if self._drain_by is not None and (not self.pump.active or self._clock() >= self._drain_by):
            self.pump.cancel()
            self.drained = True
            self._report()
        elif (
            not self.pump.active  # nothing that more could come from: the run is waiting for this
            or len(self._results) >= REPORT_RESULTS
            or self._clock() - self._reported_at >= REPORT_EVERY_S
        ):
            self._report()

    def close(self) -> None:
        """Let go of everything."""
        self.pump.close()
        if self._nas is not None:
            self._nas.close()

    # ----------------------------------------------------------------------------------------------- inside

    def _begin_next(self) -> None:
        """Begin the next task, or the next few small ones of a kind in company."""
        ticket, task = self._queue.popleft()
        company = self._company_of(task)
        if company is None:
            self._begin(ticket, task)
            return
        tickets, tasks = [ticket], [task]
        most = min(COMPANY, self._lanes.limit)  # those that wait for a lane would only hold the others back
        while self._queue and len(tasks) < most and self._company_of(self._queue[0][1]) is company:
            ticket, task = self._queue.popleft()
            tickets.append(ticket)
            tasks.append(task)
        self._weight += len(tasks)

        def over(outcomes: Any, error: BaseException | None) -> None:
            self._weight -= len(tasks)
            if error is not None:
                self._stop(tasks[0], error)
                return
            for ticket, task, outcome in zip(tickets, tasks, outcomes, strict=True):
                if isinstance(outcome, Alone):
                    if self._drain_by is None:
                        self._begin(ticket, task, outcome.answer)
                else:
                    self._over.append(ticket)
                    self._give(outcome)

        self.pump.start(company.in_company(tasks), over)

    def _company_of(self, task: Task) -> Any:
        """The verb that takes several tasks like this one; None for one that goes alone."""
        if type(task) is Download and self._downloader is not None and self._downloader.may_join(task):
            return self._downloader
        if type(task) is Check and self._checker.may_join(task):
            return self._checker
        if type(task) is Upload and self._uploader is not None and self._uploader.may_join(task):
            return self._uploader
        return None

    def _begin(self, ticket: int, task: Task, first: Response | None = None) -> None:
        size = getattr(task, "size_bytes", 0)
        weight = max(1, min(RANGES_AT_ONCE, size // self._range_bytes))
        self._weight += weight

        def over(value: Any, error: BaseException | None) -> None:
            self._weight -= weight
            if error is not None:
                self._stop(task, error)
            else:
                self._over.append(ticket)
                self._give(value)

        try:
            self.pump.start(self._story(task, first), over)
        except RuntimeError as mistake:  # a task for a door that this worker was not given
            over(None, mistake)

    def _story(self, task: Task, first: Response | None) -> Story[Any]:  # noqa: PLR0911 - one for each kind
        match task:
            case Download():
                return _need(self._downloader).download(task, first)
            case Upload():
                return _need(self._uploader).upload(task, first)
            case ListBlobs():
                return list_blobs(task, _need(self._azure), self._placement, self._give)
            case ListContainers():
                return list_containers(task, _need(self._azure))
            case ListObjects():
                return list_objects(task, _need(self._s3), self._give)
            case Look():
                return look(task, _need(self._azure), _utc_now)
            case Check():
                return self._checker.check(task, first)
            case Files():
                return self._checker.files(task)

    def _give(self, result: Result) -> None:
        self._results.append(result)

    def _stop(self, task: Task, error: BaseException) -> None:
        """An error that is nobody's own ends the run, and the rows stay pending."""
        if isinstance(error, ScsError):
            self._give(Stopped(error.code, error.sentence, error.hint))
        else:
            import traceback  # noqa: PLC0415 - only a mistake of ours comes here

            place = "".join(traceback.format_exception(error)[-2:]).strip().replace("\n", " | ")
            self._give(
                Stopped(
                    "INTERNAL",
                    f"A mistake in scs itself, at {type(task).__name__}: {redact(place)}",
                    "Please report it; nothing was marked failed.",
                )
            )
        self._drain()

    def _drain(self) -> None:
        self._queue.clear()
        if self._drain_by is None:
            self._drain_by = self._clock() + DRAIN_S

    def _report(self) -> None:
        moved_in, moved_out = self.pump.bytes_in, self.pump.bytes_out
        had_in, had_out = self._reported
        results, self._results = tuple(self._results), []
        over, self._over = tuple(self._over), []
        self._reported = (moved_in, moved_out)
        self._reported_at = self._clock()
        if results or self.drained or (moved_in, moved_out) != (had_in, had_out):
            self._send(Report(results, over, moved_in - had_in, moved_out - had_out, self._lanes.limit, self.drained))


def _need(door: T | None) -> T:
    if door is None:
        raise RuntimeError("a task came for a door that this worker was not given")
    return door


def _utc_now() -> str:
    return _utc_text(int(time.time()))


@lru_cache(1)  # thousands of results share a second
def _utc_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
