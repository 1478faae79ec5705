"""What the feeds promise: each bit of work is given out once, spread, and none is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.feeds import (
    LOOK_COST,
    SPLIT_BELOW,
    WEIGHT_MOST,
    WINDOW,
    Containers,
    Feeds,
    Listings,
    Objects,
    Rows,
    weight,
)
from sync_cloud_storage.model import BlobsPage, Download, ListBlobs, ListContainers, ListObjects, Look, ObjectsPage
from tests.unit.telling import Time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.model import Task

GIB = 1 << 30


def rows(*ids: int, container: str = "c", size: int = 1) -> list[Download]:
    """Rows that wait to be downloaded."""
    return [Download(n, container, f"b{n}", size, "e", "", f"c/b{n}") for n in ids]


class Table:
    """Stands in for a table of pending rows: may change, and counts how much of it is read.

    A reading takes *cost_s* of the clock's time.
    """

    def __init__(self, pending: Sequence[Download], clock: Time | None = None, cost_s: float = 0.0) -> None:
        self.pending = list(pending)
        self.read = 0
        self.asked = 0
        self._clock = clock
        self._cost_s = cost_s

    def __call__(self, after: int, limit: int) -> list[Download]:
        """Pending rows behind an id."""
        found = sorted(task for task in self.pending if task.id > after)[:limit]
        self.read += len(found)
        self.asked += 1
        if self._clock is not None:
            self._clock.pass_(self._cost_s)
        return found


def anyone(_: str) -> bool:
    """Every container is wanted."""
    return True


def ids(tasks: Sequence[Task]) -> list[int]:
    """Their rows."""
    return [cast("Download", task).id for task in tasks]


# ----------------------------------------------------------------------------------------------------------------- rows


def test_each_row_is_given_out_once() -> None:
    """Rows come in the order of their ids, and not again while they are in hand, however often one asks."""
    feed = Rows(Table(rows(*range(1, 1001))), anyone, clock=Time())
    given_out = [number for _ in range(50) for number in ids(feed.take(100))]
    assert given_out == list(range(1, 1001))


def test_row_that_is_pending_again_comes_again() -> None:
    """A row that came back and is still pending is taken up once more, after all others."""
    table = Table(rows(1, 2, 3))
    feed = Rows(table, anyone, clock=Time())
    first = feed.take(2)
    for task in first:
        feed.back(task)
    assert ids(first) == [1, 2]
    assert sorted(ids(feed.take(10))) == [1, 2, 3]


def test_row_that_is_done_does_not_come_again() -> None:
    """A row that came back and is no longer pending is over."""
    table = Table(rows(1, 2))
    feed = Rows(table, anyone, clock=Time())
    (first,) = feed.take(1)
    table.pending = table.pending[1:]
    feed.back(first)
    assert ids(feed.take(10)) == [2]
    assert feed.take(10) == []


def test_without_rounds_each_row_comes_once() -> None:
    """A feed without rounds never gives a row twice, pending or not: a check looks at everything once."""
    feed = Rows(Table(rows(*range(1, 601))), anyone, rounds=False, clock=Time())
    given_out: list[int] = []
    while tasks := feed.take(100):
        given_out += ids(tasks)
        for task in tasks:
            feed.back(task)
        feed.look_again()
    assert given_out == list(range(1, 601))


def test_unwanted_rows_are_not_read_for_ever() -> None:
    """A run for one small container does not read the rest of the catalog at every turn."""
    table = Table([*rows(*range(1, 5001), container="big"), *rows(9001, container="small")])
    feed = Rows(table, "small".__eq__)
    assert ids(feed.take(10)) == [9001]
    for _ in range(50):
        assert feed.take(10) == []
    assert table.read < 20_000


def test_empty_rounds_are_rare() -> None:
    """A round that finds nothing new is not repeated before LOOK_COST times its own length has passed."""
    clock = Time()
    table = Table([], clock, cost_s=1.0)
    feed = Rows(table, anyone, clock=clock)
    assert feed.take(10) == []
    asked = table.asked
    table.pending = rows(1)
    clock.pass_(LOOK_COST - 1.0)
    assert (feed.take(10), table.asked) == ([], asked)
    clock.pass_(1.0)
    assert ids(feed.take(10)) == [1]


def test_look_again() -> None:
    """Once it is told to, a feed looks at once, however lately it found nothing."""
    clock = Time()
    table = Table([], clock, cost_s=1.0)
    feed = Rows(table, anyone, clock=clock)
    assert feed.take(10) == []
    table.pending = rows(1)
    feed.look_again()
    assert ids(feed.take(10)) == [1]


def test_weights() -> None:
    """A small row weighs one, a large one more, none more than the most; what has no size weighs one."""
    small, middle, large = rows(1)[0], rows(1, size=12 << 20)[0], rows(1, size=10 * GIB)[0]
    assert [weight(task) for task in (small, middle, large)] == [1, 13, WEIGHT_MOST]
    assert (weight(ListBlobs("c")), weight(Look(1, "c", "b"))) == (1, 1)


def test_room_is_weighed() -> None:
    """Large rows fill the room sooner, but there is always at least one, and none for no room."""
    feed = Rows(Table(rows(*range(1, 100), size=GIB)), anyone, clock=Time())
    assert len(feed.take(WINDOW)) == -(-WINDOW // WEIGHT_MOST)
    assert len(feed.take(1)) == 1
    assert feed.take(0) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), max_size=60), st.integers(0, 300))
def test_nothing_is_lost_or_doubled(steps: list[tuple[int, bool, bool]], count: int) -> None:
    """Whatever comes back, done or not, in whatever steps: no row is in hand twice, and in the end all are done."""
    table = Table(rows(*range(1, count + 1)))
    feed = Rows(table, anyone, clock=Time())
    hand: dict[int, Task] = {}

    def step(room: int, *, comes_back: bool, is_done: bool) -> None:
        for task in feed.take(room):
            assert cast("Download", task).id not in hand
            hand[cast("Download", task).id] = task
        if comes_back and hand:
            number, task = hand.popitem()
            if is_done:
                table.pending = [one for one in table.pending if one.id != number]
            feed.back(task)

    for room, comes_back, is_done in steps:
        step(room, comes_back=comes_back, is_done=is_done)
    for _ in range(3 * count + 3):
        feed.look_again()
        step(50, comes_back=True, is_done=True)
    assert (table.pending, hand) == ([], {})


# ------------------------------------------------------------------------------------------------------------- listings


class Pending:
    """Stands in for the catalog: containers that wait to be listed, and the account's pass."""

    def __init__(self, *names: str, page: int = 2) -> None:
        self._names = names
        self._page = page

    def pending_containers(self, limit: int, after: str) -> list[ListBlobs]:
        """Find the next containers."""
        return [ListBlobs(name) for name in self._names if name > after][: min(limit, self._page)]

    def begin_containers_pass(self) -> ListContainers:
        """Go on in the middle of the account."""
        return ListContainers("marker")

    @property
    def catalog(self) -> Catalog:
        """As a feed takes it."""
        return cast("Catalog", self)


def test_all_wanted_containers_are_listed_once() -> None:
    """Every pending container that is wanted is given out once."""
    feed = Listings(Pending("a", "b", "c", "d", "e").catalog, lambda name: name != "c")
    taken = [task for _ in range(4) for task in feed.take(3)]
    assert [task.container for task in taken if isinstance(task, ListBlobs)] == [*"abde"]


def test_container_goes_on_where_its_page_ended() -> None:
    """A container with more pages comes again from its marker, before those that were not begun, until its end."""
    feed = Listings(Pending("a", "b").catalog, anyone)
    (first,) = feed.take(1)
    feed.page(BlobsPage.of("a", "", "m1", ()))
    feed.page(BlobsPage.of("a", "m1", "m2", ()))
    feed.back(first)
    assert feed.take(2) == [ListBlobs("a", "m2"), ListBlobs("b", may_split=True)]
    feed.page(BlobsPage.of("a", "m2", "", ()))
    feed.back(ListBlobs("a", "m2"))
    assert feed.take(2) == []


def test_container_in_parts() -> None:
    """The parts of a container come before what was not begun, each goes on from its own marker."""
    feed = Listings(Pending("a", "b").catalog, anyone)
    (first,) = feed.take(1)
    feed.page(BlobsPage.of("a", "", "", (), parts=("x", "y")))
    feed.back(first)
    assert feed.take(2) == [ListBlobs("a", prefix="x"), ListBlobs("a", prefix="y")]
    feed.page(BlobsPage.of("a", "", "m", (), prefix="y"))
    feed.page(BlobsPage.of("a", "", "", (), prefix="x"))
    feed.back(ListBlobs("a", prefix="x"))
    feed.back(ListBlobs("a", prefix="y"))
    assert feed.take(2) == [ListBlobs("a", "m", "y"), ListBlobs("b", may_split=True)]


def test_no_container_is_split_where_there_are_many() -> None:
    """With enough to list side by side, no requests are spent on finding parts; what has begun is not split either."""
    names = [f"{number:03}" for number in range(SPLIT_BELOW + 5)]
    feed = Listings(Pending(*names).catalog, anyone)
    taken = [task for _ in names for task in feed.take(1) if isinstance(task, ListBlobs)]
    assert [task.may_split for task in taken] == [False] * len(names)
    for task in taken[:10]:
        feed.page(BlobsPage.of(task.container, "", "m" if task.container == "000" else "", ()))
        feed.back(task)
    assert feed.take(1) == [ListBlobs("000", "m")]


def test_container_that_is_given_up() -> None:
    """A container that failed after some pages does not come again in this run."""
    feed = Listings(Pending("a").catalog, anyone)
    (task,) = feed.take(1)
    feed.page(BlobsPage.of("a", "", "m1", ()))
    feed.give_up("a")
    feed.back(task)
    feed.look_again()
    assert feed.take(2) == []


def test_pages_of_the_account() -> None:
    """The account's pages come one after the other, each only when the one before is committed."""
    feed = Containers(Pending().catalog)
    assert feed.take(0) == []
    assert feed.take(1) == [ListContainers("marker")]
    assert feed.take(1) == []
    feed.go_on("next")
    feed.back(ListContainers("marker"))
    assert feed.take(1) == [ListContainers("next")]
    assert feed.take(1) == []


def test_only_the_feeds_that_there_are() -> None:
    """A run is given the feeds it has, in their order."""
    downloads, looks = Rows(Table([]), anyone), Rows(Table([]), anyone)
    assert Feeds(downloads=downloads, looks=looks).all() == [looks, downloads]


# -------------------------------------------------------------------------------------------------------------- objects

SPANS = [ListObjects("", "m"), ListObjects("m", "")]


def test_a_bucket_is_whole_when_every_span_has_ended() -> None:
    """Each span is given out once and goes on where its page says; until the last one is back, not all is listed."""
    feed = Objects(SPANS)
    assert (feed.take(0), feed.take(9), feed.take(9)) == ([], SPANS, [])
    further = ListObjects("k", "m")
    feed.page(ObjectsPage.of([("k", 1, "e")], further))
    feed.page(ObjectsPage.of([]))
    for span in SPANS:
        assert not feed.is_whole
        feed.back(span)
    assert not feed.is_whole
    assert feed.take(9) == [further]
    feed.page(ObjectsPage.of([]))
    feed.back(further)
    assert feed.is_whole


def test_a_span_that_was_given_up_is_not_forgotten() -> None:
    """A bucket of which one part could not be listed is not whole, however the others went."""
    feed = Objects(SPANS)
    tasks = feed.take(9)
    feed.page(ObjectsPage.of([], gave_up=True))
    feed.page(ObjectsPage.of([("x", 1, "e")]))
    for span in tasks:
        feed.back(span)
    assert not feed.is_whole
