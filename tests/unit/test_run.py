"""What the engine promises: all work is done once, all results are committed, and a stop loses none of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.executors import Lost
from sync_cloud_storage.feeds import Containers, Feeds, Listings, Objects, Rows
from sync_cloud_storage.model import (
    Blob,
    BlobsPage,
    Check,
    Checked,
    Container,
    ContainerFailed,
    ContainersPage,
    Download,
    Downloaded,
    Failed,
    Gone,
    Leg,
    ListBlobs,
    ListContainers,
    ListObjects,
    Look,
    ObjectsPage,
    PageOutcome,
    Place,
    Rotten,
    Seen,
    Stopped,
    Upload,
    Uploaded,
)
from sync_cloud_storage.run import DRAIN_LIMIT_S, REPLANS, SETTLE_RESULTS, SETTLE_ROWS, Rules, Run
from sync_cloud_storage.tally import TROUBLES_KEPT, Tally
from sync_cloud_storage.worker import Batch, Drain, Rate, Report
from tests.unit.telling import Time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.model import Result, Task
    from sync_cloud_storage.worker import Message

RULES = Rules(lambda name: "a person said so" if name == "skipped" else "", lambda name: name == "live")
AT = "2026-11-23T03:18:30Z"


class Books:
    """Stands in for the catalog: rows with how far they are, and everything that was committed, in order."""

    def __init__(self, *ids: int, size: int = 1) -> None:
        self.size = size
        self.step = dict.fromkeys(ids, "download")
        self.commits: list[list[Any]] = []
        self.pages: list[Any] = []
        self.groups: list[int] = []  # pages that were committed as one
        self.containers: list[str] = []

    @property
    def catalog(self) -> Catalog:
        """As a run takes it."""
        return cast("Catalog", self)

    @property
    def settled(self) -> list[Any]:
        """All committed results."""
        return [result for commit in self.commits for result in commit]

    def settle(self, results: Sequence[Any]) -> None:
        """Commit."""
        self.commits.append(list(results))
        after = {Downloaded: "upload", Uploaded: "done", Failed: "failed", Rotten: "download", Gone: "gone"}
        for result in results:
            self.step[result.id] = after.get(type(result), self.step[result.id])

    def settle_containers(self, page: ContainersPage, skip_reason: Callable[[str], str]) -> None:
        """Commit a page of the account."""
        self.pages.append(page)
        self.containers += [one.name for one in page.containers if not skip_reason(one.name)]

    def settle_blobs_page(self, page: BlobsPage, *, is_live: bool) -> PageOutcome:
        """Commit a page of a container."""
        self.pages.append((page, is_live))
        return PageOutcome(page.blob_count, 0, 0, ())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit what is settled inside as one."""
        before = len(self.pages)
        yield
        self.groups.append(len(self.pages) - before)

    def settle_container_failed(self, failed: ContainerFailed) -> None:
        """Commit a failure."""
        self.pages.append(failed)

    def settle_objects(self, page: ObjectsPage) -> None:
        """Commit a page of the bucket."""
        self.pages.append(page)

    def begin_containers_pass(self) -> ListContainers:
        """From the start."""
        return ListContainers()

    def pending_containers(self, limit: int, after: str) -> list[ListBlobs]:
        """What is to be listed."""
        return [ListBlobs(name) for name in sorted(self.containers) if name > after][:limit]

    def downloads(self, **more: Any) -> Rows:
        """What waits to be downloaded."""
        return self._rows("download", lambda n: Download(n, "c", f"b{n}", self.size, "e", "", "p"), **more)

    def uploads(self, **more: Any) -> Rows:
        """What waits to be uploaded."""
        return self._rows("upload", lambda n: Upload(n, "c", f"b{n}", "e", 1, "", "p", "k", "", ""), **more)

    def _rows(self, step: str, task: Callable[[int], Task], **more: Any) -> Rows:
        def fetch(after: int, limit: int) -> list[Any]:
            return [task(n) for n in sorted(self.step) if n > after and self.step[n] == step][:limit]

        return Rows(fetch, lambda _: True, **more)


class Crew:
    """Stands in for the workers: answers each task as it is told to, when somebody listens.

    *answers* gives the results of a task; `Stopped`, `Lost` and None (no answer at all) are understood, too.
    """

    def __init__(
        self, answers: Callable[[Task], Sequence[Any] | None], workers: int = 1, clock: Time | None = None
    ) -> None:
        self.workers = workers
        self.sent: list[tuple[int, Message]] = []
        self._answers = answers
        self._said: list[tuple[int, Report | Lost]] = []
        self._clock = clock

    def given(self, worker: int) -> list[Task]:
        """What a worker was given."""
        batches = [message for number, message in self.sent if number == worker and isinstance(message, Batch)]
        return [task for batch in batches for _, task in batch.tasks]

    def send(self, worker: int, message: Message) -> None:
        """Take a message."""
        self.sent.append((worker, message))
        if isinstance(message, Drain):
            self._said.append((worker, Report((), (), 0, 0, 0, drained=True)))
        if isinstance(message, Batch):
            for ticket, task in message.tasks:
                self._work(worker, ticket, task)

    def _work(self, worker: int, ticket: int, task: Task) -> None:
        results = self._answers(task)
        if results is None:
            return
        if any(isinstance(one, Lost) for one in results):
            self._said += [(worker, one) for one in results]
        else:
            over = () if any(isinstance(one, Stopped) for one in results) else (ticket,)
            self._said.append((worker, Report(tuple(results), over, 10, 1, 3)))

    def receive(self, longest_s: float) -> list[tuple[int, Report | Lost]]:
        """Say what there is to be said."""
        if self._clock is not None:
            self._clock.pass_(longest_s)
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        """Nothing is open."""


def nothing_to_tell(in_hand: int, lanes: int) -> Sequence[Message]:
    """A tick without a message."""
    return ()


def run(books: Books, crew: Crew, feeds: Feeds, tally: Tally | None = None, **more: Any) -> Tally:
    """Drive these feeds to their end."""
    tally = tally or Tally()
    given = {"tick": nothing_to_tell, "stopping": lambda: False} | more
    Run(books.catalog, crew, RULES, tally, **given).drive(feeds)
    return tally


def well(task: Task) -> list[Result]:
    """All goes well."""
    match task:
        case Download():
            return [Downloaded(task.id, "e", "", "", 5, AT)]
        case Upload():
            return [Uploaded(task.id, "e", "", "", "", 7, AT)]
    raise AssertionError(task)


# ---------------------------------------------------------------------------------------------------------- to the end


@pytest.mark.parametrize("workers", [1, 3])
def test_everything_is_done_once(workers: int) -> None:
    """Each row goes both legs, each leg once, and the counts say so."""
    books = Books(*range(1, 1001))
    crew = Crew(well, workers)
    tally = run(books, crew, Feeds(uploads=books.uploads(), downloads=books.downloads()))
    assert set(books.step.values()) == {"done"}
    assert len(books.settled) == 2000
    assert (tally.downloaded, tally.downloaded_bytes, tally.uploaded, tally.uploaded_bytes) == (1000, 5000, 1000, 7000)
    assert (tally.bytes_in, tally.bytes_out, tally.failed) == (20_000, 2000, 0)


def test_nothing_to_do() -> None:
    """Without work a run is over at once."""
    books = Books()
    crew = Crew(well)
    run(books, crew, Feeds(downloads=books.downloads()))
    assert (crew.sent, books.commits) == ([], [])


def test_last_download_is_uploaded_though_nobody_looked_lately() -> None:
    """A feed that found nothing a moment ago is asked again before the run ends: results may have made work for it."""
    clock = Time()
    books = Books(1, 2, 3)

    def slow(feed: Rows) -> Rows:
        take = feed.take

        def taking(room: int) -> list[Task]:
            clock.pass_(0.1)  # so that the next look at an empty feed is due much later
            return take(room)

        feed.take = taking  # type: ignore[method-assign]
        return feed

    class Ticking:
        """Each reading of the clock takes a second, as a look into a large catalog does."""

        def __call__(self) -> float:
            """Read."""
            clock.pass_(1.0)
            return clock.now

    feeds = Feeds(uploads=slow(books.uploads(clock=Ticking())), downloads=slow(books.downloads(clock=Ticking())))
    run(books, Crew(well), feeds, clock=clock)
    assert set(books.step.values()) == {"done"}


def test_rotten_file_is_fetched_again_in_the_same_run() -> None:
    """A file that was found rotten is downloaded and uploaded again, before the run is over (C25)."""
    books = Books(1, 2)
    rotten = [1]

    def answers(task: Task) -> list[Result]:
        if isinstance(task, Upload) and task.id in rotten:
            rotten.remove(task.id)
            return [Rotten(task.id, "NAS-ROT", "rotten", "e")]
        return well(task)

    tally = run(books, Crew(answers), Feeds(uploads=books.uploads(), downloads=books.downloads()))
    assert (set(books.step.values()), tally.downloaded, tally.uploaded) == ({"done"}, 3, 2)


@pytest.mark.parametrize("kind", ["rot", "change"])
def test_row_that_never_settles_is_given_up(kind: str) -> None:
    """A blob that changes, or a file that rots, more than REPLANS times in one run fails; the run ends (B13)."""
    books = Books(1, 2)

    def answers(task: Task) -> list[Result]:
        if isinstance(task, Download) and task.id == 1 and kind == "change":
            return [Seen(1, Blob("b1", 1, "newest", AT))]
        if isinstance(task, Upload) and task.id == 1:
            return [Rotten(1, "NAS-ROT", "rotten", "newest")]
        return well(task)

    tally = run(books, Crew(answers), Feeds(uploads=books.uploads(), downloads=books.downloads()))
    (failed,) = [one for one in books.settled if isinstance(one, Failed)]
    assert (failed.code, failed.etag) == ("NAS-ROT" if kind == "rot" else "AZ-CHANGING", "newest")
    assert sum(isinstance(one, (Seen, Rotten)) for one in books.settled) == REPLANS + 1
    assert books.commits[-1] == [failed] or failed in books.settled
    assert (books.step, tally.failed) == ({1: "failed", 2: "done"}, 1)


def test_large_blobs_are_spread() -> None:
    """32 blobs of a gigabyte and four workers: each of them gets some."""
    books = Books(*range(1, 33), size=1 << 30)
    crew = Crew(well, workers=4)
    run(books, crew, Feeds(downloads=books.downloads()))
    assert all(crew.given(worker) for worker in range(4))
    assert sum(len(crew.given(worker)) for worker in range(4)) == 32


def test_results_are_committed_in_groups() -> None:
    """Many results make few transactions."""
    books = Books(*range(1, 3 * SETTLE_RESULTS))
    run(books, Crew(well, workers=2), Feeds(downloads=books.downloads()), clock=Time())
    assert len(books.settled) == 3 * SETTLE_RESULTS - 1
    assert len(books.commits) < 40


def test_tick_is_heard_by_all_workers() -> None:
    """What the tick says goes to every worker; it is told of tasks in hand and of lanes."""
    books = Books(1)
    crew = Crew(well, workers=2)
    told: list[tuple[int, int]] = []

    def tick(in_hand: int, lanes: int) -> Sequence[Message]:
        told.append((in_hand, lanes))
        return [Rate(7)]

    run(books, crew, Feeds(downloads=books.downloads()), tick=tick)
    assert {worker for worker, message in crew.sent if message == Rate(7)} == {0, 1}
    assert told[0] == (0, 3)


# -------------------------------------------------------------------------------------------------------------- listing


def test_account_and_containers_are_listed() -> None:
    """All pages of the account and of each container are committed, in their order, with what the settings say."""
    books = Books()
    pages = {
        ListContainers(): ContainersPage("", "m", (Container("live", AT, "e"),)),
        ListContainers("m"): ContainersPage("m", "", (Container("skipped", AT, "e"), Container("z", AT, "e"))),
    }
    tally = run(books, Crew(lambda task: [pages[task]]), Feeds(containers=Containers(books.catalog)))  # type: ignore[index]
    assert books.pages == list(pages.values())
    assert books.containers == ["live", "z"]
    place = Place("k", "p", "p")
    blob = (Blob("b", 1, "e", AT), place)

    def answers(task: Task) -> list[Result]:
        assert isinstance(task, ListBlobs)
        if task.container == "z":
            return [ContainerFailed("z", "AZ-403", "refused", not_found=False)]
        if task.marker:
            return [BlobsPage.of("live", task.marker, "", (blob,))]
        return [BlobsPage.of("live", "", "1", (blob,)), BlobsPage.of("live", "1", "2", (blob,))]

    run(books, Crew(answers), Feeds(listings=Listings(books.catalog, lambda _: True)), tally)
    listed = [entry for entry in books.pages[2:] if isinstance(entry, tuple) and isinstance(entry[0], BlobsPage)]
    assert [(page.marker, page.next_marker, is_live) for page, is_live in listed] == [
        ("", "1", True),
        ("1", "2", True),
        ("2", "", True),
    ]
    assert (tally.listed, tally.added, tally.failed) == (3, 3, 1)


def test_small_pages_are_committed_together() -> None:
    """Pages that came together share a transaction, up to a limit of rows; none waits for more to come."""
    books = Books()
    books.containers = [f"c{number}" for number in range(6)]
    rows = [(Blob(f"{number}", 1, "e", AT), None) for number in range(SETTLE_ROWS // 2)]

    def answers(task: Task) -> list[Result]:
        assert isinstance(task, ListBlobs)
        return [BlobsPage.of(task.container, "", "", rows if task.container == "c0" else rows[:1])]

    tally = run(books, Crew(answers), Feeds(listings=Listings(books.catalog, lambda _: True)))
    assert len(books.pages) == 6
    assert max(books.groups) > 1
    assert tally.listed == SETTLE_ROWS // 2 + 5


# ------------------------------------------------------------------------------------------------------------- checking


def test_a_bucket_is_listed_to_its_end() -> None:
    """Pages of the bucket are committed, spans followed to where they end, and one that cannot be listed is known."""
    books = Books()
    ends = {ListObjects("", "m"): ListObjects("k", "m"), ListObjects("k", "m"): None, ListObjects("m", ""): None}

    def answers(task: Task) -> list[Result]:
        assert isinstance(task, ListObjects)
        return [ObjectsPage.of([(f"{task.after}+", 1, "e")]), ObjectsPage.of([], ends[task])]

    bucket = Objects([ListObjects("", "m"), ListObjects("m", "")])
    run(books, Crew(answers), Feeds(objects=bucket))
    assert sorted(key for page in books.pages for key, _, _ in page.listed()) == ["+", "k+", "m+"]
    assert bucket.is_whole
    bucket = Objects([ListObjects()])
    run(books, Crew(lambda _: [ObjectsPage.of([], gave_up=True)]), Feeds(objects=bucket))
    assert not bucket.is_whole


def test_differences_and_troubles_are_counted() -> None:
    """A difference is a mismatch; what could not be asked is trouble, not proof; the first troubles are kept."""
    count = 100
    found = {
        1: Checked(1, "", "", proven=True),
        2: Checked(2, "NAS-ROT: x", "S3-LOST: x", proven=False),
        3: Checked(3, "NAS-ROT: x", "", proven=True),
        4: Checked(4, "", "", proven=False),
    }

    def answers(task: Task) -> list[Result]:
        assert isinstance(task, Check)
        return [found.get(task.id, Checked(task.id, None, None, proven=False, trouble=f"HTTP-500: {task.id}"))]

    books = Books(*range(1, count + 1))
    everything = Rows(
        lambda after, limit: [Check(n, "c", "b", 1, "", "p", "k") for n in range(after + 1, count + 1)][:limit],
        lambda _: True,
        rounds=False,
    )
    tally = run(books, Crew(answers), Feeds(checks=everything))
    assert (tally.checked, tally.mismatches, tally.failed) == (count, 3, count - 4)
    assert tally.troubles == [f"HTTP-500: {number}" for number in range(5, 5 + TROUBLES_KEPT)]


def test_looks_are_counted() -> None:
    """What the source no longer has is gone."""
    books = Books(1)

    def fetch(after: int, limit: int) -> list[Look]:
        return [Look(1, "c", "b")] if after < 1 and books.step[1] != "gone" else []

    looks = Rows(fetch, lambda _: True)
    assert run(books, Crew(lambda _: [Gone(1, AT)]), Feeds(looks=looks)).gone == 1


def test_failed_row_is_counted_once() -> None:
    """A failure is committed and counted, and the row is not tried again in this run."""
    books = Books(1, 2)
    crew = Crew(lambda task: [Failed(1, Leg.AZURE, "e", "AZ-403", "no")] if task.id == 1 else well(task))  # type: ignore[union-attr]
    tally = run(books, crew, Feeds(downloads=books.downloads()))
    assert (tally.failed, books.step, len(crew.given(0))) == (1, {1: "failed", 2: "upload"}, 2)


# ------------------------------------------------------------------------------------------------------------ the end


def test_stop_of_one_worker_stops_all() -> None:
    """A fault of the environment ends the run with its own words; what was done is committed, the rest is pending."""
    books = Books(1, 2, 3)

    def answers(task: Task) -> Sequence[Result] | None:
        assert isinstance(task, Download)
        if task.id == 2:
            return [Stopped("NAS-FULL", "full", "make room")]
        return well(task) if task.id == 1 else None

    crew = Crew(answers, workers=2)
    with pytest.raises(EnvironmentFault) as raised:
        run(books, crew, Feeds(downloads=books.downloads()))
    assert (raised.value.code, raised.value.sentence, raised.value.hint) == ("NAS-FULL", "full", "make room")
    assert books.step == {1: "upload", 2: "download", 3: "download"}
    assert sorted(worker for worker, message in crew.sent if isinstance(message, Drain)) == [0, 1]


def test_first_reason_counts() -> None:
    """When several workers stop, the first reason is the one that is told."""
    books = Books(1, 2)
    crew = Crew(lambda task: [Stopped(f"CODE-{task.id}", "", "")])  # type: ignore[union-attr]
    with pytest.raises(EnvironmentFault) as raised:
        run(books, crew, Feeds(downloads=books.downloads()))
    assert raised.value.code == "CODE-1"


def test_lost_worker_stops_the_run() -> None:
    """A worker that was killed stops the run: its rows stay pending, the others are drained (D19)."""
    books = Books(1)
    crew = Crew(lambda _: [Lost("killed by signal 9")], workers=2)
    with pytest.raises(EnvironmentFault) as raised:
        run(books, crew, Feeds(downloads=books.downloads()))
    assert raised.value.code == "WORKER-LOST"
    assert "signal 9" in raised.value.sentence
    assert books.step == {1: "download"}


def test_person_who_stops_it() -> None:
    """A stop by a person drains the workers and is no error; nothing new is begun."""
    books = Books(*range(1, 11))
    stop: list[bool] = []

    def answers(task: Task) -> Sequence[Result]:
        stop.append(True)
        return well(task)

    crew = Crew(answers)
    run(books, crew, Feeds(uploads=books.uploads(), downloads=books.downloads()), stopping=lambda: bool(stop))
    assert all(isinstance(task, Download) for task in crew.given(0))
    assert set(books.step.values()) == {"upload"}


def test_worker_that_does_not_drain_is_not_waited_for() -> None:
    """A worker that hangs on a dead NAS does not keep the run from ending (C12)."""
    clock = Time()
    books = Books(1)

    class Deaf(Crew):
        def send(self, worker: int, message: Message) -> None:
            """Do not even drain."""
            self.sent.append((worker, message))

    begun = clock.now
    crew = Deaf(well, clock=clock)
    run(books, crew, Feeds(downloads=books.downloads()), stopping=lambda: bool(crew.sent), clock=clock)
    assert DRAIN_LIMIT_S <= clock.now - begun < DRAIN_LIMIT_S + 2


def test_tick_that_ends_the_run_keeps_results() -> None:
    """When the tick raises, all results until then are in the catalog."""
    books = Books(1, 2)

    def tick(in_hand: int, lanes: int) -> Sequence[Message]:
        raise EnvironmentFault("AZ-AUTH-EXPIRED", "over")

    crew = Crew(lambda task: well(task) if task.id == 1 else None)  # type: ignore[union-attr]
    with pytest.raises(EnvironmentFault):
        run(books, crew, Feeds(downloads=books.downloads()), tick=tick, clock=lambda: 5.0)
    assert books.step == {1: "upload", 2: "download"}


def test_results_are_noted_with_their_tasks_before_they_are_committed() -> None:
    """Whoever takes notes gets each result once, with the tasks that are over, while the row is still as it was."""
    books = Books(*range(1, 31))
    noted: list[Any] = []

    def note(results: Sequence[Any], over: Sequence[Any]) -> None:
        assert {one.id for one in results} == {task.id for task, _ in over}
        assert {books.step[one.id] for one in results} == {"download"}
        noted.extend(results)

    run(books, Crew(well), Feeds(downloads=books.downloads()), note=note)
    assert noted == books.settled


def test_note_that_cannot_be_taken_stops_the_run() -> None:
    """What it is about is committed all the same, and the reason is the run's."""
    books = Books(*range(1, 9))
    clock = Time()
    crew = Crew(lambda task: well(task) if task.id < 3 else None, clock=clock)  # type: ignore[union-attr]
    fault = Stopped("NAS-FULL", "It is full.", "Make room.")
    with pytest.raises(EnvironmentFault, match="It is full"):
        run(books, crew, Feeds(downloads=books.downloads()), note=lambda *_: fault, clock=clock)
    assert [books.step[row_id] for row_id in (1, 2, 3)] == ["upload", "upload", "download"]


def test_results_of_a_worker_that_stops_are_kept() -> None:
    """Results that come in the same report as a stop, or while the workers drain, are committed."""
    books = Books(1, 2)

    class Late(Crew):
        def send(self, worker: int, message: Message) -> None:
            """Finish the other one while draining."""
            if isinstance(message, Drain):
                self.sent.append((worker, message))
                late = Report((Downloaded(2, "e", "", "", 5, AT),), (1,), 0, 0, 0, drained=True)
                self._said.append((worker, late))
            else:
                super().send(worker, message)

    stopped = Stopped("NET-OFFLINE", "away", "")
    crew = Late(lambda task: [*well(task), stopped] if task.id == 1 else None)  # type: ignore[union-attr]
    with pytest.raises(EnvironmentFault):
        run(books, crew, Feeds(downloads=books.downloads()))
    assert books.step == {1: "upload", 2: "upload"}
