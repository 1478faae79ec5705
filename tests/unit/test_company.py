"""What travelling in company promises: one request for each small blob; the odd one ends as if it had gone alone."""

from __future__ import annotations

import errno
import gc
import random
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sync_cloud_storage.company import COMPANY, COMPANY_BYTES, Alone
from sync_cloud_storage.download import Downloader
from sync_cloud_storage.errors import EnvironmentFault, ScsError
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Aside, Each, Requests, Response, Together
from sync_cloud_storage.model import Download, Downloaded, Failed, Gone, Leg, Rotten, Seen, Stopped, Upload, Uploaded
from sync_cloud_storage.upload import Uploader
from sync_cloud_storage.worker import Drain
from tests.servers.strict import (
    LOGIN_PAGE,
    NO_SUM,
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
from tests.unit.doors import AZURES, MIB, NOW, azure_door, crc, download_of, now, s3_door, setup, upload_of
from tests.unit.peer import RESET, Peer, reply
from tests.unit.small_nas import failing, files, leftovers, put
from tests.unit.telling import Ended, Sink, Told, get, new_pump, pumped, turn_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sync_cloud_storage.http.messages import Request, Story
    from sync_cloud_storage.http.pump import Pump
    from sync_cloud_storage.nas import Nas
    from tests.servers.strict import Bucket
    from tests.unit.peer import Asked

DATA = random.Random(1).randbytes(1000)  # of the odd one
SIZES = (0, 1, 1000, 4096, COMPANY_BYTES)  # of its neighbours
ODD = 50  # the odd one's row
KINDS = pytest.mark.parametrize("kind", [Download, Upload])
DONE = {Download: Downloaded, Upload: Uploaded}
REFUSALS = pytest.mark.parametrize(
    ("kind", "refusal", "code"),
    [
        (Download, Answer(403, "AuthenticationFailed", AZURES), "AZ-AUTH"),
        (Upload, Answer(403, "InvalidAccessKeyId"), "S3-AUTH"),
    ],
)


# --------------------------------------------------------------------------------------------------- Requests: answers


def answers_to(*requests: Request) -> Story[list[Any]]:
    """A story of one `Requests`."""
    answers: list[Any] = yield Requests(requests)
    return answers


def family(*stories: Story[Any]) -> Story[list[Any]]:
    """A story that has others told side by side; their values, in order."""
    values: list[Any] = yield Each(stories, len(stories))
    return values


def bodies(answers: Sequence[Any]) -> list[bytes]:
    """What answers say."""
    return [answer.body for answer in answers]


def echo(asked: Asked) -> bytes:
    """Answer a request with its target."""
    return reply(200, asked.target.encode())


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
        return echo(asked)

    with Peer(answer) as peer:
        for pump in new_pump(lanes):
            (answers,) = pumped(pump, answers_to(*(get(f"{peer.url}/{number}") for number in range(12))))
            assert pump.in_flight == 0
    assert bodies(answers) == [b"/%d" % number for number in range(12)]
    assert (max(at_once), len(peer.asked)) == (lanes, 12)


def test_one_after_another(pump: Pump) -> None:
    """Each `Requests` of a story gets its own answers, be they fewer or none, and several stories theirs."""
    rounds = (range(5), range(5, 7), range(0), range(7, 8))

    def story(which: str) -> Story[list[list[bytes]]]:
        said: list[list[bytes]] = []
        for numbers in rounds:
            answers: list[Any] = yield Requests([get(f"{peer.url}/{which}/{number}") for number in numbers])
            said.append(bodies(answers))
        return said

    with Peer(echo) as peer:
        said = pumped(pump, *map(story, "abc"))
    assert sorted(said) == [[[f"/{which}/{n}".encode() for n in numbers] for numbers in rounds] for which in "abc"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("wrong", "outcome"),
    [
        ("URL", UnicodeEncodeError),
        ("header", UnicodeEncodeError),
        ("sink", OSError),
        ("reset", Response),
        ("no address", Response),
    ],
)
def test_request_that_goes_wrong(pump: Pump, wrong: str, outcome: type, place: int) -> None:
    """In its place stands its exception, or an answer that says why none came; the others get their answers."""
    with Peer(lambda asked: [RESET] if asked.target == "/reset" else echo(asked)) as peer:
        odd = {
            "URL": get(f"{peer.url}/\udcff"),
            "header": get(peer.url, headers=("X-Name: \udcff",)),
            "sink": get(f"{peer.url}/sink", sink=Sink(fail=OSError("no room"))),
            "reset": get(f"{peer.url}/reset"),
            "no address": get("http://:no:address"),
        }[wrong]
        requests = [get(f"{peer.url}/{number}") for number in range(3)]
        requests[place] = odd
        (answers,) = pumped(pump, answers_to(*requests))
        (twice,) = pumped(pump, answers_to(odd, odd))
    for came in (answers.pop(place), *twice):
        assert type(came) is outcome
        assert not isinstance(came, Response) or (came.status == 0 and came.broken)
    assert bodies(answers) == [b"/%d" % number for number in range(3) if number != place]
    assert (len(twice), pump.in_flight) == (2, 0)


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["sibling fails", "cancel"])
def test_story_that_is_ended_half_answered(pump: Pump, *, is_cancelled: bool) -> None:
    """Its requests are off the wire at once, none of them begins later, no late answer comes; others go on."""
    pump.lanes = Lanes(3)
    ended = Ended()
    seen: list[str] = []
    fail = threading.Event()
    gates = {"/held": threading.Event(), "/deaf": threading.Event()}

    def answer(asked: Asked) -> bytes:
        if asked.target in gates:
            gates[asked.target].wait(10)
        return echo(asked)

    def half() -> Story[None]:
        try:
            yield Requests([get(f"{peer.url}/{what}") for what in ("fast", "deaf", "deaf", "never")])
            seen.append("answered")
        finally:
            seen.append("ended")

    def fails() -> Story[None]:
        yield Aside(fail.wait, (10,))
        raise KeyError("sibling")

    with Peer(answer) as peer:
        pump.start(answers_to(get(f"{peer.url}/held"), get(f"{peer.url}/fast")), ended)  # a bystander
        pump.start(family(half(), fails()), ended)
        turn_until(pump, lambda: len(peer.asked) == 5 and pump.in_flight == 3)
        fail.set()
        if is_cancelled:
            pump.cancel()
            assert (pump.in_flight, pump.active) == (0, 0)
        else:
            turn_until(pump, lambda: ended.count == 1)
            assert ([type(error) for error in ended.errors], pump.in_flight) == ([KeyError], 1)
        assert seen == ["ended"]
        # Two lanes at least are free.
        assert bodies(pumped(pump, answers_to(*[get(f"{peer.url}/next")] * 4))[0]) == [b"/next"] * 4
        for gate in gates.values():
            gate.set()
        turn_until(pump, lambda: pump.active == 0)
        for _ in range(10):
            pump.turn(0.01)
        assert [bodies(value) for value in ended.values] == ([] if is_cancelled else [[b"/held", b"/fast"]])
        assert (pump.in_flight, seen, len(ended.errors)) == (0, ["ended"], 0 if is_cancelled else 1)
    assert "/never" not in {asked.target for asked in peer.asked}


# ----------------------------------------------------------------------------------------------------- both directions


def data_of(number: int) -> bytes:
    """What a neighbour has."""
    return random.Random(number).randbytes(SIZES[number % len(SIZES)])


def files_of(*numbers: int) -> dict[str, bytes]:
    """What neighbours have, by path or key."""
    return {f"c/good{number}": data_of(number) for number in numbers}


def fine_blob(strict: StrictCloud, number: int) -> Download:
    """A blob with which nothing is wrong, one of three without an MD5, and its task."""
    blob = strict.azure.put("c", f"good{number}", data_of(number), md5="" if number % 3 == 2 else None)
    return download_of(blob, number, f"good{number}")


def fine_file(nas: Nas, number: int) -> Upload:
    """A file with which nothing is wrong, and its task."""
    put(nas, f"c/good{number}", data_of(number))
    return upload_named(f"good{number}", number, data_of(number))


def upload_named(name: str, row_id: int, data: bytes) -> Upload:
    """The task to upload a file that should have these bytes."""
    return upload_of(data, id=row_id, blob=name, nas_path=f"c/{name}", s3_key=f"c/{name}")


def some(strict: StrictCloud, nas: Nas, kind: type, count: int) -> list[Any]:
    """Tasks with which nothing is wrong, rows and names from 0 on."""
    return [fine_file(nas, n) if kind is Upload else fine_blob(strict, n) for n in range(count)]


def downloader(strict: StrictCloud, nas: Nas) -> Downloader:
    """Bring blobs."""
    return Downloader(azure_door(strict), nas, range_bytes=MIB, now=now)


def uploader(strict: StrictCloud, nas: Nas, multipart_from_bytes: int = 6 * MIB) -> Uploader:
    """Bring files."""
    parts: dict[str, Any] = {"multipart_from_bytes": multipart_from_bytes, "part_bytes": 5 * MIB}
    return Uploader(nas, s3_door(strict), now=now, give=print, **parts)


BRINGERS: dict[type, Callable[..., Any]] = {Download: downloader, Upload: uploader}


def downloaded(task: Download, data: bytes) -> Downloaded:
    """What should be said of a download."""
    return Downloaded(task.id, task.etag, crc(data), task.content_md5, len(data), NOW)


def uploaded(bucket: Bucket, task: Upload, moved: int | None = None) -> Uploaded:
    """What should be said of an upload, after a look at what is there."""
    there = bucket.objects[task.s3_key]
    assert crc(there.data) == task.crc64nvme
    moved = task.size_bytes if moved is None else moved
    return Uploaded(task.id, "e", there.etag, task.crc64nvme, "", moved, NOW)


def brought(by: Downloader | Uploader, tasks: Sequence[Any]) -> Story[dict[int, Any]]:
    """The way of tasks in company, and then alone of those that it leaves to that: what a worker does."""
    outcomes: list[Any] = yield from by.in_company(tasks)
    alone = by.download if isinstance(by, Downloader) else by.upload
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Alone):
            outcomes[place] = yield from alone(tasks[place], outcome.answer)
    assert len(outcomes) == len(tasks)
    return by_id(outcomes)


def by_id(results: Sequence[Any]) -> dict[int, Any]:
    """Results by their rows, of which each has one."""
    found = {result.id: result for result in results}
    assert len(found) == len(results)
    return found


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


def end_of(result: Any) -> tuple[type, str]:
    """How it ended: the kind of result, and the code of one that is no success."""
    return type(result), getattr(result, "code", "")


@REFUSALS
def test_refused_access_ends_a_company(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, kind: type, refusal: Answer, code: str
) -> None:
    """Refused access is raised, on the word of the first answer: it is not asked for again; the others arrived."""
    strict.faults.append(Fault(refusal, path="/c/good1"))
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, brought(BRINGERS[kind](strict, nas), some(strict, nas, kind, 5)))
    assert raised.value.code == code
    assert len(strict.asked(path="good1")) == 1
    objects = {key: there.data for key, there in bucket.objects.items()}
    assert (files(nas.root) if kind is Download else objects) == files_of(0, 2, 3, 4)
    assert leftovers(nas.root) == []


@KINDS
def test_refused_certificate_ends_a_company(nas: Nas, pump: Pump, tmp_path: Path, kind: type) -> None:
    """A certificate that nobody vouches for is raised; nothing was asked or sent."""
    with StrictCloud(tls=tmp_path) as strict:
        with pytest.raises(EnvironmentFault) as raised:
            pumped(pump, brought(BRINGERS[kind](strict, nas), some(strict, nas, kind, 3)))
        assert (raised.value.code, strict.log) == ("TLS-CERT", [])


# ----------------------------------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("count", [1, 2, 16, 70])
def test_downloads_in_company(strict: StrictCloud, nas: Nas, pump: Pump, count: int) -> None:
    """Each blob costs one request, with the version that is wanted; its file and its evidence are right."""
    tasks = some(strict, nas, Download, count)
    commands: list[type] = []
    (results,) = pumped(pump, noted(brought(downloader(strict, nas), tasks), commands))
    assert results == {task.id: downloaded(task, data_of(task.id)) for task in tasks}
    assert commands == [Requests, Together]
    assert (files(nas.root), leftovers(nas.root)) == (files_of(*range(count)), [])
    asked = {one.path.rpartition("/")[2]: one.headers["if-match"] for one in strict.log}
    assert asked == {task.blob: f'"{task.etag}"' for task in tasks}
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
    task: dict[str, Any] = {}  # noqa: RUF012 - as above

    def arranged(self, strict: StrictCloud, nas: Nas, name: str, row_id: int) -> Download:
        """Make it so; the task."""
        if self.there is not None:
            put(nas, f"c/{name}", self.there)
        if self.fault is not None:
            strict.faults.append(Fault(self.fault(name), operation="GetBlob", path=f"/c/{name}", times=self.times))
        return download_of(strict.azure.put("c", name, DATA, **self.put), row_id, name)._replace(**self.task)


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
    "no address": OddDownload(Failed, "AZ-NAME", 0, 0, task={"blob": "odd\udcff"}),
}


@pytest.mark.parametrize("odd", ODD_DOWNLOADS.values(), ids=ODD_DOWNLOADS.keys())
def test_odd_download(strict: StrictCloud, nas: Nas, pump: Pump, odd: OddDownload) -> None:
    """One that does not go well ends just as alone, at as many requests; its neighbours arrive at one each."""
    bring = downloader(strict, nas)
    good = some(strict, nas, Download, 5)
    task, twin = odd.arranged(strict, nas, "odd", ODD), odd.arranged(strict, nas, "twin", 1)
    (alone,) = pumped(pump, bring.download(twin))
    (found,) = pumped(pump, brought(bring, [*good[:2], task, *good[2:]]))
    result = found.pop(ODD)
    assert found == {one.id: downloaded(one, data_of(one.id)) for one in good}
    assert end_of(result) == end_of(alone) == (odd.kind, odd.code)

    def cost(name: str) -> tuple[int, int]:
        return len(strict.asked("GetBlob", name)), len(strict.asked("HeadBlob", name))

    assert cost("odd") == cost("twin") == (odd.gets, odd.heads)
    assert {cost(one.blob) for one in good} == {(1, 0)}
    if isinstance(result, Downloaded):
        assert result == alone._replace(id=ODD, etag=task.etag) == downloaded(task, DATA)
    assert isinstance(result, Seen) or result.etag == task.etag
    assert not isinstance(result, Failed) or result.leg is Leg.AZURE
    left = DATA if odd.kind is Downloaded else odd.there
    expected = files_of(*range(5)) | ({} if left is None else {"c/odd": left, "c/twin": left})
    assert (files(nas.root), leftovers(nas.root)) == (expected, [])


def test_several_odd_downloads(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """When all of a company are odd in their own ways, each ends in its own way."""
    odds = dict(enumerate(ODD_DOWNLOADS.values()))
    tasks = [odd.arranged(strict, nas, f"odd{number:02}", number) for number, odd in odds.items()]
    (found,) = pumped(pump, brought(downloader(strict, nas), tasks))
    assert {number: end_of(one) for number, one in found.items()} == {
        n: (odd.kind, odd.code) for n, odd in odds.items()
    }


def test_full_nas_ends_downloads(strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NAS without room is no blob's fault: it is raised, and nothing is at a final place."""
    failing(monkeypatch, "pwritev", errno.ENOSPC)
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, brought(downloader(strict, nas), some(strict, nas, Download, 3)[1:]))
    assert (raised.value.code, files(nas.root)) == ("NAS-FULL", {})


# ------------------------------------------------------------------------------------------------------------- uploads


@pytest.mark.parametrize("count", [1, 2, 16, 70])
def test_uploads_in_company(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, count: int) -> None:
    """Each file costs one request; the object has its bytes, headers and metadata, and the evidence says so."""
    about: dict[str, Any] = {"headers": '{"content-type": "text/plain"}', "metadata": '{"year": "1999"}'}
    tasks = [task._replace(**about) for task in some(strict, nas, Upload, count)]
    commands: list[type] = []
    (results,) = pumped(pump, noted(brought(uploader(strict, nas), tasks), commands))
    assert results == {task.id: uploaded(bucket, task) for task in tasks}
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
    "no success, though it says all else": OddUpload(
        Uploaded, "", 2, 0, Answer(503, "SlowDown", {"ETag": '"e"', "x-amz-checksum-crc64nvme": crc(DATA)})
    ),
    "no ETag": OddUpload(Uploaded, "", 2, 1, Headers(drop=("ETag",)), moved=0),
    "replaced": OddUpload(Uploaded, "", 1, 0, in_s3=b"theirs", task={"may_replace": True}),
    "no key": OddUpload(Failed, "S3-NAME", 0, 0, task={"s3_key": "c/\udcff"}),
    "no metadata": OddUpload(Failed, "S3-METADATA", 0, 0, task={"metadata": '{"v": "a\\nb"}'}),
}


@pytest.mark.parametrize("odd", ODD_UPLOADS.values(), ids=ODD_UPLOADS.keys())
def test_odd_upload(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, odd: OddUpload) -> None:
    """One that does not go well ends just as alone, at as many requests; its neighbours arrive at one each."""
    bring = uploader(strict, nas)
    good = some(strict, nas, Upload, 5)

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
        asked = [one.operation for one in strict.log[before:] if name in one.path]
        return asked.count("PutObject"), asked.count("HeadObject")

    (alone,) = pumped(pump, bring.upload(twin))
    (found,) = pumped(pump, brought(bring, [*good[:2], task, *good[2:]]))
    result = found.pop(ODD)
    assert found == {one.id: uploaded(bucket, one) for one in good}
    assert {cost(one.blob) for one in good} == {(1, 0)}
    for name, one in (("odd", result), ("twin", alone)):
        assert (*end_of(one), one.etag) == (odd.kind, odd.code, "e")
        puts, heads = cost(name)
        assert (odd.puts is None or puts == odd.puts, heads) == (True, odd.heads)
    assert bucket.uploads == {}
    if isinstance(result, Uploaded):
        assert (result, alone) == (uploaded(bucket, task, odd.moved), uploaded(bucket, twin, odd.moved))
        return
    assert not isinstance(result, Failed) or result.leg is Leg.S3
    objects = {key: there.data for key, there in bucket.objects.items() if "good" not in key}
    left = odd.in_s3 if odd.in_s3 is not None else DATA if isinstance(odd.fault, Headers) else None
    assert objects == ({} if left is None else {"c/odd": left, "c/twin": left})


@pytest.mark.parametrize("fault", [SLOW_DOWN, Answer(400, "BadDigest"), Drop()], ids=["throttled", "damaged", "reset"])
def test_file_that_changes_on_the_way(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, fault: Any) -> None:
    """A file that is no longer what it was when it has to be sent again is told as rotten; no object is made of it."""
    good = some(strict, nas, Upload, 3)
    put(nas, "c/odd", DATA)
    changed = Call(lambda _: (nas.root / "c/odd").write_bytes(b"x" * 1000))
    strict.faults += [Fault(one, operation="PutObject", path="/c/odd", times=0) for one in (changed, fault)]
    (found,) = pumped(pump, brought(uploader(strict, nas), [*good, upload_named("odd", ODD, DATA)]))
    assert isinstance(found.pop(ODD), Rotten)
    assert found == {one.id: uploaded(bucket, one) for one in good}
    assert sorted(bucket.objects) == [one.s3_key for one in good]


def test_endpoint_without_checksums(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An endpoint that never names a checksum is asked what it holds; nothing is sent twice, nothing is made up."""
    strict.faults.append(Fault(NO_SUM, service="s3", times=0))
    tasks = some(strict, nas, Upload, 5)
    bring = uploader(strict, nas)
    (results,) = pumped(pump, brought(bring, tasks))
    assert not bring.may_join(tasks[0]), "the next ones would be read twice"
    assert results == {task.id: uploaded(bucket, task)._replace(s3_checksum="") for task in tasks}
    assert (len(strict.asked("PutObject")), len(strict.asked("HeadObject"))) == (5, 5)


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
    task = upload_of(bytes(size), upload_id=upload_id)
    assert uploader(strict, nas, multipart_from).may_join(task) is together


# ---------------------------------------------------------------------------------------------------------- the worker


def faults_alive() -> dict[int, str]:
    """Every fault that is somewhere in memory."""
    return {id(kept): repr(kept) for kept in gc.get_objects() if isinstance(kept, ScsError)}


def test_faults_free_their_company(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """One wrong blob or lost file does not hold the bytes of its group in memory until Python looks for cycles."""
    good = some(strict, nas, Download, 5)
    wrong = strict.azure.put("c", "wrong", DATA, md5="wrong")
    lost = upload_named("lost", ODD, DATA)
    others = faults_alive()  # of other tests' parameters
    gc.collect()
    gc.disable()
    try:
        pumped(pump, downloader(strict, nas).in_company([*good, download_of(wrong, ODD, "wrong")]))
        pumped(pump, uploader(strict, nas).in_company([fine_file(nas, 1), lost]))
        left = faults_alive()
    finally:
        gc.enable()
    assert {*left} - {*others} == set()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Rows of companies, and of downloads that go alone, in the order in which a worker begins them."""
    rows: list[tuple[int, ...]] = []

    def note(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapper(self: Any, tasks: Any, *more: Any) -> Any:
            rows.append(tuple(task.id for task in tasks) if isinstance(tasks, list) else (tasks.id,))
            return real(self, tasks, *more)

        monkeypatch.setattr(owner, name, wrapper)

    note(Downloader, "in_company")
    note(Uploader, "in_company")
    note(Downloader, "download")
    return rows


def worked(strict: StrictCloud, nas: Nas, lanes: int, tasks: Sequence[Any]) -> Told:
    """A worker that was given tasks and turned until they were over or it was drained, and longer."""
    with Told(setup(strict, nas, lanes=lanes)) as told:
        told.give(*tasks)
        told.turn_until(lambda: len(told.over) == len(tasks) or told.worker.drained)
        told.turn_for(0.05)
    return told


@KINDS
def test_slow_one_holds_nobody_back(strict: StrictCloud, nas: Nas, kind: type) -> None:
    """While one waits for a service that is too busy, its company is reported; at the end of a run it stays pending."""
    busy = Answer(503, "ServerBusy") if kind is Download else SLOW_DOWN
    strict.faults.append(Fault(busy, path=r"/c/good1\b", times=0))
    with Told(setup(strict, nas, lanes=4)) as told:
        told.give(*some(strict, nas, kind, 4))
        told.turn_until(lambda: len(told.over) == 3)
        assert (sorted(told.over), set(by_id(told.results))) == ([100, 102, 103], {0, 2, 3})
        told.worker.take(Drain())
        told.turn_until(lambda: told.worker.drained)
    assert len(told.over) == len(told.results) == 3


@pytest.mark.parametrize("more", [{"attest": True}, {"known_crc64nvme": crc(data_of(2))}], ids=["attested", "known"])
def test_who_has_more_to_ask_goes_alone(
    strict: StrictCloud, nas: Nas, begun: list[tuple[int, ...]], more: dict[str, Any]
) -> None:
    """A small blob that the source is to attest, or that may be on the NAS already, travels in no company."""
    tasks = some(strict, nas, Download, 5)
    tasks[2] = tasks[2]._replace(**more)
    told = worked(strict, nas, 4, tasks)
    assert begun == [(0, 1), (2,), (3, 4)]
    assert [one.attested for one in sorted(told.results)] == [False, False, "attest" in more, False, False]


@KINDS
@pytest.mark.parametrize(("lanes", "most"), [(1, 1), (4, 4), (32, COMPANY)])
def test_companies_fit_the_lanes(
    strict: StrictCloud, nas: Nas, begun: list[tuple[int, ...]], kind: type, lanes: int, most: int
) -> None:
    """No company is larger than there are lanes, nor larger than companies are; the tasks keep their order."""
    told = worked(strict, nas, lanes, some(strict, nas, kind, 40))
    assert max(map(len, begun)) == most
    assert [number for company in begun for number in company] == list(range(40))
    assert sorted(told.over) == list(range(100, 140))
    assert {number: type(one) for number, one in by_id(told.results).items()} == dict.fromkeys(range(40), DONE[kind])


def test_order_is_kept_among_large_and_small(strict: StrictCloud, nas: Nas, begun: list[tuple[int, ...]]) -> None:
    """A large one, or one of another kind, ends a company: nothing overtakes it."""
    sizes = [10, 10, COMPANY_BYTES + 1, COMPANY_BYTES, 10, 600_000]
    tasks: list[Any] = [download_of(strict.azure.put("c", f"b{n}", bytes(s)), n, f"b{n}") for n, s in enumerate(sizes)]
    tasks[4:4] = [task._replace(id=task.id + 10) for task in some(strict, nas, Upload, 2)]
    told = worked(strict, nas, 16, tasks)
    assert begun == [(0, 1), (2,), (3,), (10, 11), (4,), (5,)]
    assert sorted(told.over) == list(range(100, 108))
    ends = {number: type(result) for number, result in by_id(told.results).items()}
    assert ends == dict.fromkeys(range(6), Downloaded) | dict.fromkeys((10, 11), Uploaded)


@KINDS
def test_one_that_fails_in_company(strict: StrictCloud, nas: Nas, kind: type) -> None:
    """Each ticket comes back once, with one result for each row, also when one fails; the worker goes on."""
    tasks = some(strict, nas, kind, 10)
    if kind is Download:
        strict.azure.put("c", "good2", b"2", tier="Archive")  # another version, and then not even to be had
        strict.faults.append(Fault(Remove("c", "good5"), operation="GetBlob", path="/c/good5"))
        expected = {2: Seen, 5: Gone}
    else:
        (nas.root / "c/good2").unlink()
        strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="PutObject", path="/c/good5"))
        expected = {2: Rotten, 5: Failed}
    told = worked(strict, nas, 4, tasks)
    assert sorted(told.over) == list(range(100, 110))
    ends = {number: type(result) for number, result in by_id(told.results).items()}
    assert ends == dict.fromkeys(range(10), DONE[kind]) | expected
    assert (told.is_in_order, told.reports[-1].drained) == (True, False)


@REFUSALS
def test_fault_of_the_environment_stops_the_worker(
    strict: StrictCloud, nas: Nas, begun: list[tuple[int, ...]], kind: type, refusal: Answer, code: str
) -> None:
    """It is told as `Stopped`, once; its company is over, who is on the way may finish, few others begin."""
    names = [f"good{number}" for number in range(20)]
    strict.faults += [Fault(refusal, path=r"/c/good1\b")]
    strict.faults += [Fault(Stall(-1, 0.3), path=rf"/c/{name}\b") for name in names[4:8]]
    told = worked(strict, nas, 4, some(strict, nas, kind, 20))
    stops = [result for result in told.results if isinstance(result, Stopped)]
    assert [(stop.code, bool(stop.hint)) for stop in stops] == [(code, True)]
    assert {*range(100, 108)} - set(told.over) == {101}
    assert begun[:2] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert {one.path.rpartition("/")[2] for one in strict.log} <= set(names[:12])  # one more may have begun meanwhile
    assert told.reports[-1].drained
