"""What travelling in company promises: one request for each small blob; the odd one ends as if it had gone alone."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sync_cloud_storage.company import COMPANY, COMPANY_BYTES, Alone
from sync_cloud_storage.download import Downloader
from sync_cloud_storage.errors import EnvironmentFault, ScsError
from sync_cloud_storage.http.messages import Aside, Each, Line, Request, Requests, Together, for_one
from sync_cloud_storage.http.pump import GROUP_MAX
from sync_cloud_storage.model import Download, Downloaded, Failed, Gone, Leg, Rotten, Seen, Stopped, Upload, Uploaded
from sync_cloud_storage.names import Placement
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.upload import Uploader
from sync_cloud_storage.worker import Batch, Drain, Report, Setup, Worker
from tests.servers.strict import (
    LOGIN_PAGE,
    SLOW_DOWN,
    Answer,
    Call,
    Cut,
    Drop,
    Fault,
    Flip,
    Headers,
    Pad,
    Remove,
    Reset,
    Rewrite,
    Shorten,
    Stall,
    StrictCloud,
)
from tests.unit.doors import (
    BUCKET,
    MIB,
    NOW,
    azure_access,
    azure_door,
    crc,
    download_of,
    md5,
    now,
    s3_access,
    s3_door,
    s3_profile,
    upload_of,
)
from tests.unit.peer import RESET, Peer, reply
from tests.unit.small_nas import ID, files, in_memory, leftovers, put, ready
from tests.unit.telling import Ended, new_pump, pumped, turn_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.http.pump import Pump
    from sync_cloud_storage.model import Task
    from tests.servers.strict import Bucket
    from tests.unit.peer import Asked

DATA = random.Random(1).randbytes(1000)  # of the odd one
SIZES = (0, 1, 1000, 4096, COMPANY_BYTES)  # of its neighbours
AZURES = {"x-ms-request-id": "r-1"}  # only the service itself has one
NO_SUM = Headers(drop=("x-amz-checksum-crc64nvme", "x-amz-checksum-type"))
ODD = 50  # the odd one's row


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


@pytest.fixture
def narrow() -> Iterator[Pump]:
    """Make a pump with three lanes."""
    yield from new_pump(3)


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make an empty NAS."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        yield opened


@pytest.fixture
def bucket(strict: StrictCloud) -> Bucket:
    """Make a bucket."""
    return strict.s3.make_bucket(BUCKET)


# -------------------------------------------------------------------------------------------------------- All: requests


def get(url: str, *headers: str, **more: Any) -> Request:
    """A plain request."""
    return Request("GET", url, Line(raw_path=True), headers, **more)


def answers_to(*requests: Request) -> Story[list[Any]]:
    """A story of one `Requests`."""
    answers: list[Any] = yield Requests(requests)
    return answers


def bodies(answers: Sequence[Any]) -> list[bytes]:
    """What answers say."""
    return [answer.body for answer in answers]


def turn_for(pump: Pump, seconds: float) -> None:
    """Let it turn for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pump.turn(0.01)


class Spoilt:
    """Sink: takes nothing."""

    received = 0

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Begin."""
        return bool(status and headers)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Fail."""
        raise OSError(f"no room for {len(pieces)} pieces")


class Gated:
    """Answers a request with its target, one for `/held` only once the gate is open, and one for `/deaf` not at all."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.end = threading.Event()

    def __call__(self, asked: Asked) -> bytes:
        """Answer."""
        {"/held": self.gate, "/deaf": self.end}.get(asked.target, _OPEN).wait(10)
        return reply(200, asked.target.encode())


_OPEN = threading.Event()
_OPEN.set()


@pytest.mark.parametrize("lanes", [1, 3, 12])
def test_answers_come_in_order_of_the_requests(lanes: int) -> None:
    """Whoever is answered first, answers stand where their requests stood; as many are in flight as there are lanes."""
    lock = threading.Lock()
    here: list[int] = []
    at_once: list[int] = []

    def answer(asked: Asked) -> bytes:
        number = int(asked.target[1:])
        with lock:
            here.append(number)
            at_once.append(len(here))
        time.sleep(0.02 + 0.01 * (11 - number) * (lanes > 1))
        with lock:
            here.remove(number)
        return reply(200, b"%d" % number)

    with Peer(answer) as peer:
        for pump in new_pump(lanes):
            (answers,) = pumped(pump, answers_to(*(get(f"{peer.url}/{number}") for number in range(12))))
            assert pump.in_flight == 0
    assert bodies(answers) == [b"%d" % number for number in range(12)]
    assert (max(at_once), len(peer.asked)) == (lanes, 12)


def test_all_of_nothing(pump: Pump) -> None:
    """No requests: no answers, and no waiting."""
    assert pumped(pump, answers_to()) == [[]]


def test_one_all_after_another(pump: Pump) -> None:
    """Each `Requests` of a story gets its own answers, also where it is shorter, and several stories theirs."""

    def story(url: str) -> Story[list[list[bytes]]]:
        said: list[list[bytes]] = []
        for numbers in (range(5), range(5, 7), range(0), range(7, 8)):
            answers: list[Any] = yield Requests([get(f"{url}/{number}") for number in numbers])
            said.append(bodies(answers))
        return said

    with Peer(lambda asked: reply(200, asked.target.encode())) as peer:
        for said in pumped(pump, *(story(f"{peer.url}/{which}") for which in "abc")):
            which = said[0][0][:2]
            numbers = (range(5), range(5, 7), range(0), range(7, 8))
            assert said == [[which + b"/%d" % number for number in part] for part in numbers]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("wrong", ["URL", "header", "sink"])
def test_request_that_cannot_be_made(pump: Pump, wrong: str, place: int) -> None:
    """It gets its exception in its place; the others get their answers."""
    with Peer(lambda asked: reply(200, asked.target.encode())) as peer:
        odd = {
            "URL": get(f"{peer.url}/\udcff"),
            "header": get(peer.url, "X-Name: \udcff"),
            "sink": get(f"{peer.url}/sink", sink=Spoilt()),
        }[wrong]
        requests = [get(f"{peer.url}/{number}") for number in range(3)]
        requests[place] = odd
        (answers,) = pumped(pump, answers_to(*requests))
        assert isinstance(answers.pop(place), OSError if wrong == "sink" else UnicodeEncodeError)
        assert bodies(answers) == [b"/%d" % number for number in range(3) if number != place]
        (answers,) = pumped(pump, answers_to(odd, odd))
        assert [isinstance(answer, Exception) for answer in answers] == [True, True]
    assert pump.in_flight == 0


def test_connection_that_breaks(pump: Pump) -> None:
    """A broken connection is an answer with status 0 and the reason, in its place; so is an address that is none."""
    with Peer(lambda asked: [RESET] if asked.target == "/broken" else reply(200, asked.target.encode())) as peer:
        urls = [f"{peer.url}/0", f"{peer.url}/broken", "http://:no:address", f"{peer.url}/3"]
        (answers,) = pumped(pump, answers_to(*map(get, urls)))
    assert [(answer.status, bool(answer.broken)) for answer in answers] == [
        (200, False),
        (0, True),
        (0, True),
        (200, False),
    ]
    assert bodies(answers)[::3] == [b"/0", b"/3"]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["sibling fails", "cancel"])
def test_story_that_is_ended_half_answered(narrow: Pump, *, is_cancelled: bool) -> None:
    """Its requests are off the wire at once, none of them begins later, no late answer comes; others go on."""
    ended = Ended()
    seen: list[str] = []
    fail = threading.Event()
    answer = Gated()

    def half(url: str) -> Story[None]:
        try:
            yield Requests([get(f"{url}/{what}") for what in ("fast", "deaf", "deaf", "never")])
            seen.append("answered")
        finally:
            seen.append("ended")

    def failing() -> Story[None]:
        yield Aside(fail.wait, (10,))
        raise KeyError("sibling")

    def parent(url: str) -> Story[None]:
        yield Each([half(url), failing()], 2)

    with Peer(answer) as peer:
        narrow.start(answers_to(get(f"{peer.url}/held"), get(f"{peer.url}/fast")), ended)  # a bystander
        narrow.start(parent(peer.url), ended)
        turn_until(narrow, lambda: len(peer.asked) == 5 and narrow.in_flight == 3)
        fail.set()
        if is_cancelled:
            narrow.cancel()
            assert (narrow.in_flight, narrow.active) == (0, 0)
        else:
            turn_until(narrow, lambda: ended.count == 1)
            assert ([type(error) for error in ended.errors], narrow.in_flight) == ([KeyError], 1)
        assert seen == ["ended"]
        # Two lanes at least are free.
        assert bodies(pumped(narrow, answers_to(*[get(f"{peer.url}/next")] * 4))[0]) == [b"/next"] * 4
        answer.end.set()
        answer.gate.set()
        turn_until(narrow, lambda: narrow.active == 0)
        turn_for(narrow, 0.1)
        assert [bodies(value) for value in ended.values] == ([] if is_cancelled else [[b"/held", b"/fast"]])
        assert (narrow.in_flight, seen, len(ended.errors)) == (0, ["ended"], 0 if is_cancelled else 1)
    assert "/never" not in {asked.target for asked in peer.asked}


# ------------------------------------------------------------------------------------------------ Together: shared work


class Work:
    """Doubles numbers; from 100 on they are refused, and at 1000 everything is."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int | ValueError]:
        """Double them."""
        self.calls.append(list(numbers))
        if 1000 in numbers:
            raise OSError("disk")
        if 999 in numbers:
            return [0]
        return [ValueError(number) if number >= 100 else 2 * number for number in numbers]


def doubled(work: Work, *numbers: int) -> Story[list[Any]]:
    """A story of one `Together`."""
    values: list[Any] = yield Together(work, numbers)
    return values


def test_values_come_in_order_and_stories_share_a_call(pump: Pump) -> None:
    """Each story gets the values of its own items, in their order; one call is made for all of them."""
    work = Work()
    stories = [doubled(work, *range(begin, begin + count)) for begin, count in ((0, 4), (10, 1), (20, 7))]
    assert sorted(pumped(pump, *stories)) == [[0, 2, 4, 6], [20], list(range(40, 54, 2))]
    assert [sorted(call) for call in work.calls] == [[0, 1, 2, 3, 10, *range(20, 27)]]


def test_more_items_than_a_group_takes(pump: Pump) -> None:
    """Stories with many items get all of their values; no item is worked on twice, and calls do not grow for ever."""
    work = Work()
    stories = [doubled(work, *range(begin, begin + 30)) for begin in range(0, 90, 30)]
    assert sorted(pumped(pump, *stories)) == [[2 * n for n in range(begin, begin + 30)] for begin in range(0, 90, 30)]
    assert sorted(number for call in work.calls for number in call) == list(range(90))
    more = [doubled(work, *range(20)) for _ in range(20)]
    assert pumped(pump, *more) == [list(range(0, 40, 2))] * 20
    assert max(map(len, work.calls)) < GROUP_MAX + 30


def test_exceptions_come_back_as_values(pump: Pump) -> None:
    """One item that is refused is an exception in its place in the list; nothing is raised."""
    (values,) = pumped(pump, doubled(Work(), 1, 100, 3))
    assert (values[0], type(values[1]), values[1].args, values[2]) == (2, ValueError, (100,), 6)


@pytest.mark.parametrize(("trigger", "error"), [(1000, OSError), (999, ValueError)], ids=["raises", "wrong number"])
def test_work_that_fails_as_a_whole(pump: Pump, trigger: int, error: type[Exception]) -> None:
    """Work that raises, or gives too few values, is an exception for each item of each story; later work goes well."""
    work = Work()
    values = pumped(pump, doubled(work, 1, trigger), doubled(work, 2))
    assert sorted(len(one) for one in values) == [1, 2]
    assert {type(value) for one in values for value in one} == {error}
    assert pumped(pump, doubled(work, 5, 6)) == [[10, 12]]


def test_mixed_with_together(pump: Pump) -> None:
    """A single item and a list of one function share a call: the one raises, the other gives a list."""
    work = Work()

    def single(number: int) -> Story[int | str]:
        try:
            value: int = yield from for_one(work, number)
        except ValueError as error:
            return f"raised {error}"
        return value

    ended = {name: Ended() for name in "abcde"}
    stories = (single(1), doubled(work, 2, 101), single(102), doubled(work), single(3))
    for name, story in zip("abcde", stories, strict=True):
        pump.start(story, ended[name])
    turn_until(pump, lambda: all(one.count for one in ended.values()))
    a, b, c, d, e = (one.values[0] for one in ended.values())
    assert (a, b[0], repr(b[1]), c, d, e) == (2, 4, "ValueError(101)", "raised 102", [], 6)
    assert work.calls == [[1, 2, 101, 102, 3]]


def test_together_of_nothing(pump: Pump) -> None:
    """No items: no values, alone and beside others, when the work is new and when it is known to be quick."""
    work = Work()
    for _ in range(3):
        assert pumped(pump, doubled(work)) == [[]]
        assert sorted(pumped(pump, doubled(work), doubled(work, 4), doubled(work))) == [[], [], [8]]


def test_story_that_ends_before_the_work_begins(pump: Pump) -> None:
    """Items of a story that was ended are not worked on, and shift nobody else's values."""
    work = Work()
    ended = Ended()

    def failing() -> Story[None]:
        raise KeyError("sibling")
        yield Aside(int)  # type: ignore[unreachable]

    def parent() -> Story[str]:
        try:
            yield Each([doubled(work, 7, 8, 9), failing()], 2)
        except KeyError:
            return "told"
        return "not told"

    pump.start(parent(), ended)
    values = pumped(pump, doubled(work, 1, 2))
    assert (values, ended.values) == ([[2, 4]], ["told"])
    assert work.calls == [[1, 2]]


# ----------------------------------------------------------------------------------------------------------- downloads


def downloader(strict: StrictCloud, nas: Nas) -> Downloader:
    """Bring blobs."""
    return Downloader(azure_door(strict), nas, range_bytes=MIB, now=now)


class Neighbours(NamedTuple):
    """Blobs with which nothing is wrong."""

    tasks: list[Download]
    files: dict[str, bytes]
    results: dict[int, Downloaded]


def neighbours(strict: StrictCloud, sizes: Sequence[int] = SIZES) -> Neighbours:
    """Put some blobs, one of three without an MD5."""
    found = Neighbours([], {}, {})
    for number, size in enumerate(sizes):
        data = random.Random(size).randbytes(size)
        blob = strict.azure.put("c", f"good{number}", data, md5="" if number % 3 == 2 else None)
        found.tasks.append(download_of(blob, number, f"good{number}"))
        found.files[f"c/good{number}"] = data
        found.results[number] = Downloaded(number, blob.etag, crc(data), blob.md5, size, NOW)
    return found


def by_id(results: Sequence[Any]) -> dict[int, Any]:
    """Results by their rows, of which each has one."""
    found = {result.id: result for result in results}
    assert len(found) == len(results)
    return found


def brought(by: Downloader | Uploader, tasks: Sequence[Any]) -> Story[list[Any]]:
    """The way of tasks in company, and then alone of those that it leaves to that: what a worker does."""
    outcomes: list[Any] = yield from by.in_company(tasks)
    assert len(outcomes) == len(tasks)
    alone = by.download if isinstance(by, Downloader) else by.upload
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Alone):
            outcomes[place] = yield from alone(tasks[place], outcome.answer)
    return outcomes


def noted(story: Story[Any], commands: list[type]) -> Story[Any]:
    """Tell *story* and keep the kinds of its commands."""
    value: Any = None
    while True:
        try:
            command = story.send(value)
        except StopIteration as end:
            return end.value
        commands.append(type(command))
        value = yield command


@pytest.mark.parametrize("count", [0, 1, 2, 16, 70])
def test_downloads_in_company(strict: StrictCloud, nas: Nas, pump: Pump, count: int) -> None:
    """Each blob costs one request, with the version that is wanted; its file and its evidence are right."""
    good = neighbours(strict, [0, *range(1, 7 * count, 7)][:count])
    commands: list[type] = []
    (results,) = pumped(pump, noted(brought(downloader(strict, nas), good.tasks), commands))
    assert by_id(results) == good.results
    assert commands == [Requests, Together]
    assert (files(nas.root), leftovers(nas.root)) == (good.files, [])
    assert {one.md5 for one in good.results.values()} >= {md5(data) for data in list(good.files.values())[:2]}
    asked = {one.path.rpartition("/")[2]: one.headers["if-match"] for one in strict.log}
    assert asked == {task.blob: f'"{task.etag}"' for task in good.tasks}
    assert len(strict.log) == count


class OddDownload(NamedTuple):
    """What is wrong with one blob, how it ends, and what that costs."""

    kind: type
    code: str
    gets: int
    heads: int
    fault: Callable[[str], Any] | None = None
    times: int = 1
    put: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    there: bytes | None = None


ODD_DOWNLOADS = {
    "throttled": OddDownload(Downloaded, "", 2, 0, lambda _: Answer(503, "ServerBusy")),
    "500": OddDownload(Downloaded, "", 2, 0, lambda _: Answer(500, "InternalError")),
    "500 for ever": OddDownload(Failed, "HTTP-500", 3, 0, lambda _: Answer(500, "InternalError"), times=0),
    "deleted": OddDownload(Gone, "", 1, 1, lambda name: Remove("c", name)),
    "changed": OddDownload(Seen, "", 1, 1, lambda name: Rewrite("c", name, "new")),
    "another version": OddDownload(Seen, "", 1, 1, lambda _: Headers({"ETag": '"other"'})),
    "no request id": OddDownload(Downloaded, "", 2, 0, lambda _: Headers(drop=("x-ms-request-id",))),
    "archived": OddDownload(Failed, "AZ-ARCHIVED", 1, 0, put={"tier": "Archive"}),
    "wrong MD5": OddDownload(Failed, "AZ-MD5-SOURCE", 2, 0, put={"md5": "wrong"}),
    "one bit": OddDownload(Downloaded, "", 2, 0, lambda _: Flip(500)),
    "cut": OddDownload(Downloaded, "", 2, 0, lambda _: Cut(100)),
    "shorter": OddDownload(Downloaded, "", 2, 0, lambda _: Shorten(100)),
    "shorter, no MD5": OddDownload(Downloaded, "", 2, 0, lambda _: Shorten(100), put={"md5": ""}),
    "longer": OddDownload(Downloaded, "", 2, 0, lambda _: Pad(10), put={"md5": ""}),
    "much longer": OddDownload(Downloaded, "", 2, 0, lambda _: Pad(100_000)),
    "reset": OddDownload(Downloaded, "", 2, 0, lambda _: Reset(500)),
    "login page": OddDownload(Downloaded, "", 2, 0, lambda _: LOGIN_PAGE),
    "foreign file": OddDownload(Failed, "NAS-EXISTS", 1, 0, there=b"theirs"),
    "our file": OddDownload(Downloaded, "", 1, 0, there=DATA),
}


@pytest.mark.parametrize("odd", ODD_DOWNLOADS.values(), ids=ODD_DOWNLOADS.keys())
def test_odd_download(strict: StrictCloud, nas: Nas, pump: Pump, odd: OddDownload) -> None:
    """One that does not go well ends just as alone, at as many requests; its neighbours arrive at one each."""
    bring = downloader(strict, nas)
    good = neighbours(strict)

    def arranged(name: str, row_id: int) -> Download:
        if odd.there is not None:
            put(nas, f"c/{name}", odd.there)
        if odd.fault is not None:
            strict.faults.append(Fault(odd.fault(name), operation="GetBlob", path=f"/c/{name}", times=odd.times))
        return download_of(strict.azure.put("c", name, DATA, **odd.put), row_id, name)

    def cost(name: str) -> tuple[int, int]:
        return len(strict.asked("GetBlob", name)), len(strict.asked("HeadBlob", name))

    task, twin = arranged("odd", ODD), arranged("twin", 1)
    (alone,) = pumped(pump, bring.download(twin))
    (results,) = pumped(pump, brought(bring, [*good.tasks[:2], task, *good.tasks[2:]]))
    found = by_id(results)
    result = found.pop(ODD)
    assert found == good.results
    assert (type(result), getattr(result, "code", "")) == (odd.kind, odd.code)
    assert (type(alone), getattr(alone, "code", "")) == (odd.kind, odd.code)
    assert cost("odd") == cost("twin") == (odd.gets, odd.heads)
    assert {cost(one.blob) for one in good.tasks} == {(1, 0)}
    expected = dict(good.files)
    if isinstance(result, Downloaded):
        assert (
            result
            == alone._replace(id=ODD, etag=task.etag)
            == Downloaded(ODD, task.etag, crc(DATA), task.content_md5, 1000, NOW)
        )
        expected |= {"c/odd": DATA, "c/twin": DATA}
    elif odd.there is not None:
        expected |= {"c/odd": odd.there, "c/twin": odd.there}
    if isinstance(result, (Failed, Gone)):
        assert result.etag == task.etag
    if isinstance(result, Failed):
        assert result.leg is Leg.AZURE
    assert (files(nas.root), leftovers(nas.root)) == (expected, [])


def test_several_odd_downloads(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """When all of a company are odd in their own ways, each ends in its own way."""
    tasks = []
    for number, (name, odd) in enumerate(ODD_DOWNLOADS.items()):
        blob = f"odd{number}."
        if odd.fault is not None:
            fault = Fault(odd.fault(blob), operation="GetBlob", path=f"/c/odd{number}[.]", times=odd.times)
            strict.faults.append(fault)
        if odd.there is not None:
            put(nas, f"c/{blob}", odd.there)
        tasks.append(download_of(strict.azure.put("c", blob, DATA, **odd.put), number, blob))
        assert name
    (results,) = pumped(pump, brought(downloader(strict, nas), tasks))
    ends = {number: (type(one), getattr(one, "code", "")) for number, one in by_id(results).items()}
    assert ends == {number: (odd.kind, odd.code) for number, odd in enumerate(ODD_DOWNLOADS.values())}


def test_name_that_no_address_can_hold(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A name with half of a character fails its own row, not the run and not its neighbours."""
    good = neighbours(strict)
    odd = Download(ODD, "c", "a\udcffb", 1, "e", "", "c/b")
    (results,) = pumped(pump, brought(downloader(strict, nas), [*good.tasks, odd]))
    found = by_id(results)
    result = found.pop(ODD)
    assert (type(result), result.code, result.etag) == (Failed, "AZ-NAME", "e")
    assert (found, files(nas.root)) == (good.results, good.files)


def test_refused_access_ends_downloads(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Refused access is raised, on the word of the first answer: it is not asked for again."""
    good = neighbours(strict)
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", path="/c/good3"))
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, brought(downloader(strict, nas), good.tasks))
    assert raised.value.code == "AZ-AUTH"
    assert len(strict.asked("GetBlob", "good3")) == 1
    del good.files["c/good3"]
    assert (files(nas.root), leftovers(nas.root)) == (good.files, [])


def test_full_nas_ends_downloads(strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NAS without room is no blob's fault: it is raised, and nothing is at a final place."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    good = neighbours(strict, [100, 200])
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, brought(downloader(strict, nas), good.tasks))
    assert (raised.value.code, files(nas.root)) == ("NAS-FULL", {})


def test_refused_certificate_ends_a_company(nas: Nas, pump: Pump, tmp_path: Path) -> None:
    """A certificate that nobody vouches for is raised, for downloads and uploads; nothing was asked or sent."""
    with StrictCloud(tls=tmp_path) as strict:
        strict.s3.make_bucket(BUCKET)
        with pytest.raises(EnvironmentFault) as raised:
            pumped(pump, brought(downloader(strict, nas), neighbours(strict).tasks))
        assert raised.value.code == "TLS-CERT"
        with pytest.raises(EnvironmentFault) as raised:
            pumped(pump, brought(uploader(strict, nas), [fine(nas, number) for number in range(3)]))
        assert raised.value.code == "TLS-CERT"
        assert strict.log == []


# ------------------------------------------------------------------------------------------------------------- uploads


def uploader(strict: StrictCloud, nas: Nas, **more: Any) -> Uploader:
    """Bring files, in parts from 6 MiB on."""
    options = {"multipart_from_bytes": 6 * MIB, "part_bytes": 5 * MIB} | more
    given: list[Any] = []
    return Uploader(nas, s3_door(strict), now=now, give=given.append, **options)


def upload_named(name: str, row_id: int, data: bytes, **more: Any) -> Upload:
    """The task to upload a file that should have these bytes."""
    return upload_of(data, id=row_id, blob=name, nas_path=f"c/{name}", s3_key=f"c/{name}")._replace(**more)


def fine(nas: Nas, number: int) -> Upload:
    """A file with which nothing is wrong, and its task."""
    data = random.Random(number).randbytes(SIZES[number % len(SIZES)])
    put(nas, f"c/good{number}", data)
    return upload_named(f"good{number}", number, data)


def evidence(bucket: Bucket, task: Upload, moved: int | None = None) -> Uploaded:
    """What should be said of an upload, after a look at what is there."""
    there = bucket.objects[task.s3_key]
    assert crc(there.data) == task.crc64nvme
    moved = task.size_bytes if moved is None else moved
    return Uploaded(task.id, "e", there.etag, task.crc64nvme, "", moved, NOW)


@pytest.mark.parametrize("count", [0, 1, 2, 16, 70])
def test_uploads_in_company(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, count: int) -> None:
    """Each file costs one request; the object has its bytes, headers and metadata, and the evidence says so."""
    about: dict[str, Any] = {"headers": '{"content-type": "text/plain"}', "metadata": '{"year": "1999"}'}
    tasks = [fine(nas, number)._replace(**about) for number in range(count)]
    commands: list[type] = []
    (results,) = pumped(pump, noted(brought(uploader(strict, nas), tasks), commands))
    assert by_id(results) == {task.id: evidence(bucket, task) for task in tasks}
    assert commands == [Together, Requests]
    assert len(strict.asked("PutObject")) == len(strict.log) == len(bucket.objects) == count
    for there in bucket.objects.values():
        assert (there.headers["content-type"], there.metadata) == ("text/plain", {"year": "1999"})


class OddUpload(NamedTuple):
    """What is wrong with one file, how it ends, and what that costs (None: libcurl may send it again by itself)."""

    kind: type
    code: str
    puts: int | None
    heads: int
    fault: Any = None
    times: int = 1
    on_nas: bytes | None = DATA
    in_s3: bytes | None = None
    task: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    moved: int = 1000


ODD_UPLOADS = {
    "throttled": OddUpload(Uploaded, "", 2, 0, SLOW_DOWN),
    "500": OddUpload(Uploaded, "", 2, 0, Answer(500, "InternalError")),
    "500 for ever": OddUpload(Failed, "HTTP-500", 3, 0, Answer(500, "InternalError"), times=0),
    "damaged once": OddUpload(Uploaded, "", 2, 0, Answer(400, "BadDigest")),
    "damaged for ever": OddUpload(Failed, "S3-DIGEST", 3, 0, Answer(400, "BadDigest"), times=0),
    "refused": OddUpload(Failed, "S3-403", 1, 0, Answer(403, "AccessDenied")),
    "login page": OddUpload(Uploaded, "", 2, 0, LOGIN_PAGE),
    "answer lost": OddUpload(Uploaded, "", None, 1, Drop(committed=True), moved=0),
    "no checksum": OddUpload(Uploaded, "", 1, 1, NO_SUM),
    "another checksum": OddUpload(
        Failed, "S3-DIGEST", 1, 0, Headers({"x-amz-checksum-crc64nvme": crc(b"other")}), times=0
    ),
    "taken and lost": OddUpload(Failed, "S3-LOST", 1, 1, Answer(200, headers={"ETag": '"made-up"'})),
    "file gone": OddUpload(Rotten, "NAS-ROT", 0, 0, on_nas=None),
    "file shorter": OddUpload(Rotten, "NAS-ROT", 0, 0, on_nas=DATA[:-1]),
    "file changed": OddUpload(Rotten, "NAS-ROT", 0, 0, on_nas=bytes(1000)),
    "their object": OddUpload(Failed, "S3-EXISTS", 1, 1, in_s3=b"theirs"),
    "our object": OddUpload(Uploaded, "", 1, 1, in_s3=DATA, moved=0),
    "our object, described otherwise": OddUpload(Uploaded, "", 2, 1, in_s3=DATA, task={"metadata": '{"a": "b"}'}),
    "no ETag": OddUpload(Uploaded, "", 2, 1, Headers(drop=("ETag",)), moved=0),
    "replaced": OddUpload(Uploaded, "", 1, 0, in_s3=b"theirs", task={"may_replace": True}),
    "no key": OddUpload(Failed, "S3-NAME", 0, 0, task={"s3_key": "c/\udcff"}),
    "no metadata": OddUpload(Failed, "S3-METADATA", 0, 0, task={"metadata": '{"v": "a\\nb"}'}),
}


@pytest.mark.parametrize("odd", ODD_UPLOADS.values(), ids=ODD_UPLOADS.keys())
def test_odd_upload(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, odd: OddUpload) -> None:
    """One that does not go well ends just as alone, at as many requests; its neighbours arrive at one each."""
    bring = uploader(strict, nas)
    good = [fine(nas, number) for number in range(5)]

    def arranged(name: str, row_id: int) -> Upload:
        if odd.on_nas is not None:
            put(nas, f"c/{name}", odd.on_nas)
        if odd.in_s3 is not None:
            pumped(pump, s3_door(strict).put(f"c/{name}", odd.in_s3, crc(odd.in_s3), [], replace=True))
        if odd.fault is not None:
            strict.faults.append(Fault(odd.fault, operation="PutObject", path=f"/c/{name}", times=odd.times))
        return upload_named(name, row_id, DATA)._replace(**odd.task)

    task, twin = arranged("odd", ODD), arranged("twin", 1)
    before = len(strict.log)

    def cost(name: str) -> tuple[int, int]:
        asked = Counter(one.operation for one in strict.log[before:] if name in one.path)
        return asked["PutObject"] if odd.puts is not None else -1, asked["HeadObject"]

    (alone,) = pumped(pump, bring.upload(twin))
    (results,) = pumped(pump, brought(bring, [*good[:2], task, *good[2:]]))
    found = by_id(results)
    result = found.pop(ODD)
    assert found == {one.id: evidence(bucket, one) for one in good}
    for one in (result, alone):
        assert (type(one), getattr(one, "code", ""), one.etag) == (odd.kind, odd.code, "e")
    assert cost("odd") == cost("twin") == (-1 if odd.puts is None else odd.puts, odd.heads)
    assert {cost(one.blob)[1] for one in good} == {0}
    assert {len(strict.asked("PutObject", one.s3_key)) for one in good} == {1}
    assert bucket.uploads == {}
    if isinstance(result, Uploaded):
        assert (result, alone) == (evidence(bucket, task, odd.moved), evidence(bucket, twin, odd.moved))
        return
    assert not isinstance(result, Failed) or result.leg is Leg.S3
    objects = {key: there.data for key, there in bucket.objects.items() if "good" not in key}
    left = odd.in_s3 if odd.in_s3 is not None else DATA if isinstance(odd.fault, Headers) else None
    assert objects == ({} if left is None else {"c/odd": left, "c/twin": left})


@pytest.mark.parametrize("fault", [SLOW_DOWN, Answer(400, "BadDigest"), Drop()], ids=["throttled", "damaged", "reset"])
def test_file_that_changes_on_the_way(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, fault: Any) -> None:
    """A file that is no longer what it was when it has to be sent again is told as rotten; no object is made of it."""
    good = [fine(nas, number) for number in range(3)]
    put(nas, "c/odd", DATA)
    changed = Call(lambda _: (nas.root / "c/odd").write_bytes(b"x" * 1000))
    strict.faults += [Fault(one, operation="PutObject", path="/c/odd", times=0) for one in (changed, fault)]
    (results,) = pumped(pump, brought(uploader(strict, nas), [*good, upload_named("odd", ODD, DATA)]))
    found = by_id(results)
    assert isinstance(found.pop(ODD), Rotten)
    assert found == {one.id: evidence(bucket, one) for one in good}
    assert sorted(bucket.objects) == [one.s3_key for one in good]


def test_endpoint_without_checksums(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An endpoint that never names a checksum is asked what it holds; nothing is sent twice, nothing is made up."""
    strict.faults.append(Fault(NO_SUM, service="s3", times=0))
    tasks = [fine(nas, number) for number in range(5)]
    bring = uploader(strict, nas)
    (results,) = pumped(pump, brought(bring, tasks))
    assert not bring.may_join(tasks[0]), "the next ones would be read twice"
    assert by_id(results) == {task.id: evidence(bucket, task)._replace(s3_checksum="") for task in tasks}
    assert (len(strict.asked("PutObject")), len(strict.asked("HeadObject"))) == (5, 5)


def test_refused_access_ends_uploads(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """Refused credentials are raised, on the word of the first answer: it is not asked for again."""
    strict.faults.append(Fault(Answer(403, "InvalidAccessKeyId"), operation="PutObject", path="/c/good1"))
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, brought(uploader(strict, nas), [fine(nas, number) for number in range(3)]))
    assert raised.value.code == "S3-AUTH"
    assert len(strict.asked("PutObject", "good1")) == 1
    assert sorted(bucket.objects) == ["c/good0", "c/good2"]


@pytest.mark.parametrize(
    ("size", "upload_id", "multipart_from", "together"),
    [
        (0, "", 6 * MIB, True),
        (COMPANY_BYTES, "", 6 * MIB, True),
        (COMPANY_BYTES + 1, "", 6 * MIB, False),
        (10, "?", 6 * MIB, False),
        (10, "an-id", 6 * MIB, False),
        (999, "", 1000, True),
        (1000, "", 1000, False),
    ],
)
def test_who_may_go_in_company(
    strict: StrictCloud, nas: Nas, size: int, upload_id: str, multipart_from: int, *, together: bool
) -> None:
    """Small files that go in one piece, with nothing left over from before."""
    bring = uploader(strict, nas, multipart_from_bytes=multipart_from)
    assert bring.may_join(upload_of(bytes(size), upload_id=upload_id)) is together


# ---------------------------------------------------------------------------------------------------------- the worker


def faults_alive() -> dict[int, str]:
    """Every fault that is somewhere in memory."""
    return {id(kept): repr(kept) for kept in gc.get_objects() if isinstance(kept, ScsError)}


def test_faults_free_their_company(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """One wrong blob or lost file does not hold the bytes of its group in memory until Python looks for cycles."""
    good = neighbours(strict)
    wrong = strict.azure.put("c", "wrong", DATA, md5="wrong")
    lost = upload_named("lost", ODD, DATA)
    others = faults_alive()  # of other tests' parameters
    gc.collect()
    gc.disable()
    try:
        pumped(pump, downloader(strict, nas).in_company([*good.tasks, download_of(wrong, ODD, "wrong")]))
        pumped(pump, uploader(strict, nas).in_company([fine(nas, 1), lost]))
        left = faults_alive()
    finally:
        gc.enable()
    assert {*left} - {*others} == set()


class Told:
    """A worker whose companies are written down."""

    def __init__(self, strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
        if BUCKET not in strict.s3.buckets:
            strict.s3.make_bucket(BUCKET)
        self.begun: list[tuple[int, ...]] = []  # rows, in the order in which they began
        self.reports: list[Report] = []
        for owner, name in ((Downloader, "in_company"), (Uploader, "in_company"), (Downloader, "download")):
            monkeypatch.setattr(owner, name, self._noted(getattr(owner, name)))
        doors = (azure_access(strict), Line(), s3_profile(strict), s3_access(strict), Line(), nas.root, ID)
        self.worker = Worker(Setup(Placement(), *doors)._replace(lanes=lanes), self.reports.append)

    def _noted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(owner: Any, tasks: Any, *more: Any) -> Any:
            self.begun.append(tuple(task.id for task in tasks) if isinstance(tasks, list) else (tasks.id,))
            return real(owner, tasks, *more)

        return wrapper

    def tell(self, *tasks: Task) -> None:
        """Give it tasks, with tickets from 100 on, and let it turn until they are over or it is drained, and longer."""
        self.worker.take(Batch(tuple(enumerate(tasks, 100))))
        self.turn_until(lambda: len(self.over) == len(tasks) or self.worker.drained)
        for _ in range(5):
            self.worker.turn(0.01)
        self.worker.close()

    def turn_until(self, is_so: Callable[[], bool]) -> None:
        """Let it turn."""
        end = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < end, "it did not come to pass"
            self.worker.turn(0.01)

    @property
    def results(self) -> list[Any]:
        """All results, in their order."""
        return [result for report in self.reports for result in report.results]

    @property
    def over(self) -> list[int]:
        """All tickets that came back."""
        return [ticket for report in self.reports for ticket in report.over]


def some(strict: StrictCloud, nas: Nas, kind: type, count: int) -> list[Task]:
    """Small tasks of a kind, rows and names from 0 on."""
    if kind is Upload:
        return [fine(nas, number) for number in range(count)]
    return [download_of(strict.azure.put("c", f"b{n:02}", b"%d" % n), n, f"b{n:02}") for n in range(count)]


@pytest.mark.parametrize("kind", [Download, Upload])
def test_slow_one_holds_nobody_back(strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """While one waits for a service that is too busy, its company is reported; at the end of a run it stays pending."""
    told = Told(strict, nas, monkeypatch, 4)
    tasks = some(strict, nas, kind, 4)
    busy = Answer(503, "ServerBusy" if kind is Download else "SlowDown")
    strict.faults += [Fault(busy, path=rf"/c/{tasks[1].blob}\b", times=0)]  # type: ignore[union-attr]
    told.worker.take(Batch(tuple(enumerate(tasks, 100))))
    told.turn_until(lambda: len(told.over) == 3)
    assert (sorted(told.over), set(by_id(told.results))) == ([100, 102, 103], {0, 2, 3})
    told.worker.take(Drain())
    told.turn_until(lambda: told.worker.drained)
    assert len(told.over) == len(told.results) == 3
    told.worker.close()


@pytest.mark.parametrize("more", [{"attest": True}, {"known_crc64nvme": crc(b"2")}], ids=["attested", "known"])
def test_who_has_more_to_ask_goes_alone(
    strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """A small blob that the source is to attest, or that may be on the NAS already, travels in no company."""
    told = Told(strict, nas, monkeypatch, 4)
    tasks: list[Any] = some(strict, nas, Download, 5)
    tasks[2] = tasks[2]._replace(**more)
    told.tell(*tasks)
    assert told.begun == [(0, 1), (2,), (3, 4)]
    assert [one.attested for one in sorted(told.results)] == [False, False, "attest" in more, False, False]


@pytest.mark.parametrize("kind", [Download, Upload])
@pytest.mark.parametrize(("lanes", "most"), [(1, 1), (4, 4), (32, COMPANY)])
def test_companies_fit_the_lanes(
    strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, kind: type, lanes: int, most: int
) -> None:
    """No company is larger than there are lanes, nor larger than companies are; the tasks keep their order."""
    told = Told(strict, nas, monkeypatch, lanes)
    told.tell(*some(strict, nas, kind, 40))
    assert max(map(len, told.begun)) == most
    assert [number for company in told.begun for number in company] == list(range(40))
    assert sorted(told.over) == list(range(100, 140))
    assert set(by_id(told.results)) == set(range(40))
    assert {type(result) for result in told.results} == {Downloaded if kind is Download else Uploaded}


def test_order_is_kept_among_large_and_small(strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one, or one of another kind, ends a company: nothing overtakes it."""
    told = Told(strict, nas, monkeypatch, 16)
    sizes = [10, 10, COMPANY_BYTES + 1, COMPANY_BYTES, 10, 600_000]
    tasks: list[Task] = [download_of(strict.azure.put("c", f"b{n}", bytes(s)), n, f"b{n}") for n, s in enumerate(sizes)]
    tasks[4:4] = [fine(nas, number)._replace(id=number + 10) for number in range(2)]
    told.tell(*tasks)
    assert told.begun == [(0, 1), (2,), (3,), (10, 11), (4,), (5,)]
    assert sorted(told.over) == list(range(100, 108))
    ends = {number: type(result) for number, result in by_id(told.results).items()}
    assert ends == dict.fromkeys(range(6), Downloaded) | dict.fromkeys((10, 11), Uploaded)


@pytest.mark.parametrize("kind", [Download, Upload])
def test_one_that_fails_in_company(strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Each ticket comes back once, with one result for each row, also when one fails; the worker goes on."""
    told = Told(strict, nas, monkeypatch, 4)
    tasks = some(strict, nas, kind, 10)
    if kind is Download:
        strict.azure.put("c", "b02", b"2", tier="Archive")  # another version, and then not even to be had
        strict.faults.append(Fault(Remove("c", "b05"), operation="GetBlob", path="/c/b05"))
        expected = {2: Seen, 5: Gone}
    else:
        (nas.root / "c/good2").unlink()
        strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="PutObject", path="/c/good5"))
        expected = {2: Rotten, 5: Failed}
    told.tell(*tasks)
    assert sorted(told.over) == list(range(100, 110))
    ends = {number: type(result) for number, result in by_id(told.results).items()}
    assert ends == dict.fromkeys(range(10), Downloaded if kind is Download else Uploaded) | expected
    assert not told.reports[-1].drained
    seen = 0
    for report in told.reports:  # no ticket before its result
        seen += len(report.results)
        assert len(report.over) <= seen


@pytest.mark.parametrize(
    ("kind", "fault", "code"),
    [
        (Download, Answer(403, "AuthenticationFailed", AZURES), "AZ-AUTH"),
        (Upload, Answer(403, "InvalidAccessKeyId"), "S3-AUTH"),
    ],
)
def test_fault_of_the_environment_stops_the_worker(
    strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch, kind: type, fault: Answer, code: str
) -> None:
    """It is told as `Stopped`, once; its company is over, who is on the way may finish, few others begin."""
    told = Told(strict, nas, monkeypatch, 4)
    tasks = some(strict, nas, kind, 20)
    names = [task.blob for task in tasks if isinstance(task, (Download, Upload))]
    strict.faults += [Fault(fault, path=rf"/c/{names[1]}\b")]
    strict.faults += [Fault(Stall(-1, 0.3), path=rf"/c/{name}\b") for name in names[4:8]]
    told.tell(*tasks)
    stops = [result for result in told.results if isinstance(result, Stopped)]
    assert [(stop.code, bool(stop.hint)) for stop in stops] == [(code, True)]
    assert {*range(100, 108)} - set(told.over) == {101}
    assert told.begun[:2] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert {one.path.rpartition("/")[2] for one in strict.log} <= set(names[:12])  # one more may have begun meanwhile
    assert told.reports[-1].drained
