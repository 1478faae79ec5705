"""Feeds: each takes one kind of work out of the catalog, bit by bit, as tasks for the workers."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sync_cloud_storage.model import Files, ListBlobs, ListContainers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.model import BlobsPage, ListObjects, ObjectsPage, Task

# What the tasks of one feed that one worker has in hand may weigh: enough for it to go on, at 6,000 small blobs a
# second, while the catalog settles a group of results. With 256 it stood still for more than half of its time.
WINDOW = 1024
WEIGHT_BYTES = 1 << 20  # a blob weighs one more for each of these
WEIGHT_MOST = 384  # so that a worker has the next large blob in hand while it works on one
LOOK_COST = 20
LISTS = 4  # containers, or parts of one, that one worker lists at once
FILES_AT_ONCE = 1_000  # looking at one takes some microseconds: to hand it out by itself would take longer
FILES_TASKS = 4
SPLIT_BELOW = 16  # with fewer to list, a large container is worth the requests that it takes to find its parts


def weight(task: Task) -> int:
    """What a task counts for in a worker's window: one, and more for large blobs, so that they are spread."""
    size = getattr(task, "size_bytes", 0)
    return 1 if size < WEIGHT_BYTES else min(1 + size // WEIGHT_BYTES, WEIGHT_MOST)


class Feed(Protocol):
    """One kind of work, taken out of the catalog bit by bit."""

    window: int  # weight of tasks of this feed that one worker may have in hand

    def take(self, room: int) -> list[Task]:
        """Tasks that are not in hand and weigh about *room*, at least one of them; [] when there are none now."""
        ...

    def back(self, task: Task) -> None:
        """The task is over, whatever came of it."""
        ...

    def look_again(self) -> None:
        """Results of any feed were committed since: what was not there a moment ago may be there now."""
        ...


class Containers:
    """Feed: the account's pages, one after the other."""

    window = 1

    def __init__(self, catalog: Catalog) -> None:
        self._next: ListContainers | None = catalog.begin_containers_pass()

    def take(self, room: int) -> list[Task]:
        """The next page."""
        if room <= 0 or self._next is None:
            return []
        task, self._next = self._next, None
        return [task]

    def back(self, task: Task) -> None:
        """Nothing is kept."""

    def look_again(self) -> None:
        """Pages are only ever announced by `go_on`."""

    def go_on(self, marker: str) -> None:
        """There is another page."""
        self._next = ListContainers(marker)


class Listings:
    """Feed: pending containers, each from where its listing stands, a large one in parts (`listing.py`)."""

    window = LISTS

    def __init__(self, catalog: Catalog, wanted: Callable[[str], bool]) -> None:
        self._catalog = catalog
        self._wanted = wanted
        self._after = ""
        self._further: dict[tuple[str, str], list[ListBlobs]] = {}  # by container and prefix, what their last page says
        self._ready: deque[ListBlobs] = deque()
        self._out = 0

    def take(self, room: int) -> list[Task]:
        """First the containers that are half listed."""
        self._look_for(max(room, SPLIT_BELOW))
        splits = self._out + len(self._ready) < SPLIT_BELOW
        out: list[Task] = []
        while len(out) < room and self._ready:
            task = self._ready.popleft()
            out.append(task._replace(may_split=splits and not (task.marker or task.prefix)))
        self._out += len(out)
        return out

    def _look_for(self, count: int) -> None:
        while len(self._ready) < count:
            found = self._catalog.pending_containers(limit=1000, after=self._after)
            if not found:
                return
            self._after = found[-1].container
            self._ready.extend(task for task in found if self._wanted(task.container))

    def page(self, page: BlobsPage) -> None:
        """A page is committed: remember where its container goes on."""
        further = [ListBlobs(page.container, page.next_marker, page.prefix)] if page.next_marker else []
        self._further[page.container, page.prefix] = further or [ListBlobs(page.container, "", p) for p in page.parts]

    def give_up(self, container: str) -> None:
        """That container cannot be listed now; a later run goes on."""
        self._further = {key: tasks for key, tasks in self._further.items() if key[0] != container}
        self._ready = deque(task for task in self._ready if task.container != container)

    def back(self, task: Task) -> None:
        """One task lists a few pages only; the container may have more."""
        self._out -= 1
        if isinstance(task, ListBlobs):
            self._ready.extendleft(reversed(self._further.pop((task.container, task.prefix), [])))

    def look_again(self) -> None:
        """Each container is taken up once in a run."""


class Objects:
    """Feed: spans of the bucket's keys."""

    window = LISTS

    def __init__(self, spans: Iterable[ListObjects]) -> None:
        self._ready = deque(spans)
        self._out = 0
        self._gave_up = False

    @property
    def is_whole(self) -> bool:
        """Whether all that the bucket holds was listed."""
        return not (self._ready or self._out or self._gave_up)

    def take(self, room: int) -> list[Task]:
        """The next spans."""
        out: list[Task] = [self._ready.popleft() for _ in range(min(max(room, 0), len(self._ready)))]
        self._out += len(out)
        return out

    def back(self, task: Task) -> None:  # noqa: ARG002
        """What there is more of a span came with its page."""
        self._out -= 1

    def look_again(self) -> None:
        """Spans are only ever announced by `page`."""

    def page(self, page: ObjectsPage) -> None:
        """A page is committed: its span may go on, or cannot."""
        self._gave_up = self._gave_up or page.gave_up
        if page.goes_on is not None:
            self._ready.appendleft(page.goes_on)


class FileSizes:
    """Feed: rows of which nothing is looked at but the file, FILES_AT_ONCE in a task.

    Args:
        fetch: (after id, limit) -> (id, container, path, size in bytes).
        wanted: Which containers.
    """

    window = FILES_TASKS

    def __init__(
        self, fetch: Callable[[int, int], Sequence[tuple[int, str, str, int]]], wanted: Callable[[str], bool]
    ) -> None:
        self._fetch = fetch
        self._wanted = wanted
        self._after: int | None = 0

    def take(self, room: int) -> list[Task]:
        """The next rows."""
        while room > 0 and self._after is not None:
            found = self._fetch(self._after, FILES_AT_ONCE)
            self._after = found[-1][0] if found else None
            rows = [(row_id, path, size) for row_id, name, path, size in found if self._wanted(name)]
            if rows:
                return [Files.of(rows)]
        return []

    def back(self, task: Task) -> None:
        """Nothing is kept."""

    def look_again(self) -> None:
        """Each row once."""


class Rows:
    """Feed: rows of `sync` in the order of their ids, again from the start until a whole round finds nothing new.

    Args:
        fetch: (after id, limit) -> tasks.
        wanted: Which containers.
        rounds: Rows that come back to pending (a blob changed, a file was found rotten) are picked up in a later round;
            with False the rows are walked through once.
        again: With False no row is taken twice, whatever became of it.
        clock: Monotonic seconds.
    """

    window = WINDOW

    def __init__(
        self,
        fetch: Callable[[int, int], Sequence[Any]],
        wanted: Callable[[str], bool],
        *,
        rounds: bool = True,
        again: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._wanted = wanted
        self._rounds = rounds
        self._again = again
        self._clock = clock
        self._look_at = 0.0
        self._after = 0
        self._in_hand: set[int] = set()
        self._ready: deque[Any] = deque()

    def take(self, room: int) -> list[Task]:
        """The next rows."""
        began = self._clock()
        if not self._ready and began < self._look_at:
            return []
        from_start = self._after == 0
        while len(self._ready) < room:
            found = self._fetch(self._after, max(room, WINDOW))
            if found:
                self._after = found[-1].id
                fresh = [task for task in found if task.id not in self._in_hand and self._wanted(task.container)]
                self._in_hand.update(task.id for task in fresh)
                self._ready.extend(fresh)
            elif from_start or not self._rounds:
                # Nothing new in a whole round: looking again may take a twentieth of the time, not all of it.
                self._look_at = self._clock() + LOOK_COST * (self._clock() - began)
                break
            else:
                self._after, from_start = 0, True
        out: list[Task] = []
        while self._ready and room > 0:
            task = self._ready.popleft()
            room -= weight(task)
            out.append(task)
        return out

    def back(self, task: Task) -> None:
        """Its result is committed: if the row is pending again, it may be taken again."""
        if self._again:
            self._in_hand.discard(task.id)  # type: ignore[union-attr]

    def look_again(self) -> None:
        """Whoever waits for nothing else need not spare the catalog."""
        self._look_at = 0.0


class Feeds(NamedTuple):
    """The work of one run; None for what it does not do. In the order in which workers are supplied."""

    containers: Containers | None = None
    looks: Rows | None = None
    listings: Listings | None = None
    objects: Objects | None = None
    uploads: Rows | None = None
    downloads: Rows | None = None
    checks: Rows | None = None
    files: FileSizes | None = None

    def all(self) -> list[Feed]:
        """Those that there are."""
        return [feed for feed in self if feed is not None]
