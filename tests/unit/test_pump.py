"""What the pump promises: every story is told to its end or ended where it stands, and none of them harms another."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Aside, Each, Line, Pause, Request, Together, for_one
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.http.transfer import HAND_ON_BYTES, HAND_ON_PIECES
from tests.unit.peer import CLOSE, RESET, Peer, reply
from tests.unit.telling import Ended, Sink, get, new_pump, pumped, turn_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sync_cloud_storage.http.messages import Response, Story

DEAF = 30.0  # seconds for which a peer says nothing: longer than any test


def fetch(url: str, **more: Any) -> Story[Response]:
    """A story of one request."""
    answer: Response = yield get(url, **more)
    return answer


def asked(request: Request) -> Story[Response]:
    """A story of that request."""
    answer: Response = yield request
    return answer


def nothing() -> Story[str]:
    """A story that asks for nothing."""
    return "at once"
    yield Pause(0)  # type: ignore[unreachable]


@contextmanager
def collected_by_hand() -> Iterator[None]:
    """Nothing is tidied up by chance in here."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Source:
    """Gives bytes, and counts how often it had to start over."""

    def __init__(self, data: bytes, fail: Exception | None = None) -> None:
        self.size_bytes = len(data)
        self.rewound = 0
        self._data = data
        self._at = 0
        self._fail = fail

    def read(self, count: int) -> bytes:
        """Give the next bytes."""
        if self._fail is not None:
            raise self._fail
        data = self._data[self._at : self._at + count]
        self._at += len(data)
        return data

    def rewind(self) -> None:
        """Start over."""
        self.rewound += 1
        self._at = 0


# ------------------------------------------------------------------------------------------------------ plain stories


def test_story_without_a_command(pump: Pump) -> None:
    """A story that asks for nothing still ends, with its value."""
    assert pumped(pump, nothing()) == ["at once"]
    assert pump.active == 0


def test_error_of_a_story_goes_to_its_owner(pump: Pump) -> None:
    """What a story raises reaches whoever started it, and the others go on."""

    def fails() -> Story[None]:
        yield Pause(0)
        raise KeyError("mine")

    ended = Ended()
    pump.start(fails(), ended)
    pump.start(nothing(), ended)
    turn_until(pump, lambda: ended.count == 2)
    assert [type(error) for error in ended.errors] == [KeyError]
    assert ended.values == ["at once"]


def test_many_thousand_stories(pump: Pump) -> None:
    """Twenty thousand stories at once end, each with its own value, although few threads and timers exist."""

    def story(number: int) -> Story[int]:
        yield Pause(0.001 * (number % 5))
        doubled: int = yield from for_one(double, number)
        return doubled

    def double(group: Sequence[int]) -> list[int]:
        return [2 * number for number in group]

    values = pumped(pump, *(story(number) for number in range(20_000)))
    assert sorted(values) == list(range(0, 40_000, 2))


def test_pauses_end_in_the_order_of_their_length(pump: Pump) -> None:
    """The shortest pause is over first, whatever was started first."""

    def story(seconds: float) -> Story[float]:
        yield Pause(seconds)
        return seconds

    assert pumped(pump, story(0.06), story(0.0), story(0.03)) == [0.0, 0.03, 0.06]


def test_turn_comes_back_when_nothing_happens(pump: Pump) -> None:
    """A turn without work takes no longer than it may."""
    began = time.monotonic()
    pump.turn(0.05)
    assert time.monotonic() - began < 2


def test_start_from_the_end_of_another(pump: Pump) -> None:
    """A story may be started by the end of another."""
    ended = Ended()
    pump.start(nothing(), lambda value, error: pump.start(nothing(), ended))
    turn_until(pump, lambda: ended.count == 1)
    assert ended.values == ["at once"]


def test_watched_descriptor(pump: Pump) -> None:
    """A descriptor that can be read wakes the pump at once."""
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    rung: list[int] = []
    pump.watch(bell, lambda: rung.append(os.eventfd_read(bell)))
    os.eventfd_write(bell, 7)
    turn_until(pump, lambda: bool(rung))
    assert rung == [7]
    os.close(bell)


# ----------------------------------------------------------------------------------------------------------- children


def test_each_keeps_the_order(pump: Pump) -> None:
    """The values of children come in the order of the children, whoever was first."""

    def child(number: int) -> Story[int]:
        yield Pause(0.02 / (number + 1))
        return number

    def parent() -> Story[list[int]]:
        values: list[int] = yield Each((child(number) for number in range(10)), 4)
        return values

    assert pumped(pump, parent()) == [list(range(10))]


def test_each_of_nothing(pump: Pump) -> None:
    """No children: no values, at once."""

    def parent() -> Story[list[int]]:
        values: list[int] = yield Each((), 4)
        return values

    assert pumped(pump, parent()) == [[]]


def test_each_holds_to_its_width(pump: Pump) -> None:
    """Never more children at a time than asked for, and they are made only when their turn comes."""
    now, most, made = [0], [0], [0]

    def child() -> Story[None]:
        now[0] += 1
        most[0] = max(most[0], now[0])
        yield Pause(0.001)
        now[0] -= 1

    def children() -> Iterator[Story[None]]:
        for _ in range(20):
            made[0] += 1
            assert made[0] - 3 <= 20
            yield child()

    def parent() -> Story[None]:
        yield Each(children(), 3)

    pumped(pump, parent())
    assert (most[0], made[0]) == (3, 20)


def test_many_children(pump: Pump) -> None:
    """A hundred thousand children that end at once neither overflow the stack nor get lost."""

    def parent() -> Story[int]:
        values: list[str] = yield Each((nothing() for _ in range(100_000)), 8)
        return len(values)

    assert pumped(pump, parent()) == [100_000]


def test_families_in_families(pump: Pump) -> None:
    """Children may have children."""

    def story(depth: int) -> Story[int]:
        if depth == 0:
            yield Pause(0)
            return 1
        values: list[int] = yield Each((story(depth - 1) for _ in range(3)), 2)
        return sum(values)

    assert pumped(pump, story(4)) == [81]


def broken_family(pump: Pump, command: Callable[[], Any], ready: Callable[[], bool]) -> list[str]:
    """Have one of two children fail while the other waits for *command*; what the other one noted."""
    notes: list[str] = []

    def waits() -> Story[None]:
        try:
            yield command()
            notes.append("went on")
        finally:
            notes.append("ended")

    def fails() -> Story[None]:
        while not ready():
            yield Pause(0.001)
        raise LookupError("one of us")

    def parent() -> Story[str]:
        try:
            yield Each(iter([waits(), fails()]), 2)
        except LookupError as error:
            notes.append("told")
            return str(error)
        return "not told"

    assert pumped(pump, parent()) == ["one of us"]
    for _ in range(20):
        pump.turn(0.005)
    assert pump.active == 0
    return notes


def test_failing_child_ends_one_on_the_wire(pump: Pump) -> None:
    """A child in the middle of a request is ended: its request is broken off, its parent told after that."""
    with Peer(lambda _: [reply(200, b"", "X: y", length=False), DEAF]) as peer:
        assert broken_family(pump, lambda: get(peer.url), lambda: bool(peer.asked)) == ["ended", "told"]
        assert pump.in_flight == 0
        assert pumped(pump, nothing()) == ["at once"]


def test_failing_child_ends_one_that_pauses(pump: Pump) -> None:
    """A child that pauses never wakes up again."""
    assert broken_family(pump, lambda: Pause(0.02), lambda: True) == ["ended", "told"]


def test_failing_child_ends_one_aside(pump: Pump) -> None:
    """A child whose work is done in a thread is ended at once; what the thread brings later is dropped."""
    began, go = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go.wait(0.03)

    assert broken_family(pump, lambda: Aside(work), began.is_set) == ["ended", "told"]


def test_failing_child_ends_one_in_a_group(pump: Pump) -> None:
    """A child that waits for a group leaves it: its item is not worked on."""
    items: list[str] = []
    hold = threading.Event()

    def work(group: Sequence[str]) -> list[str]:
        items.extend(group)
        return list(group)

    pump.start(wait_aside(hold), Ended())  # something goes on: the group stays open for others to join

    def parent() -> Story[None]:
        yield Each(iter([join(), fails()]), 2)

    def join() -> Story[None]:
        yield from for_one(work, "mine")

    def fails() -> Story[None]:
        raise LookupError
        yield Pause(0)  # type: ignore[unreachable]

    for _ in range(3):
        pump.turn(0.001)
    with pytest.raises(LookupError):
        pumped(pump, parent())
    time.sleep(0.03)
    for _ in range(3):
        pump.turn(0.01)
    hold.set()
    assert items == []


def wait_aside(event: threading.Event) -> Story[None]:
    """A story that waits in a thread."""
    yield Aside(event.wait, (10,))


def test_failing_child_ends_grandchildren(pump: Pump) -> None:
    """Children of a child that is ended are ended, too."""
    with Peer(lambda _: [DEAF]) as peer:
        assert broken_family(
            pump, lambda: Each((fetch(peer.url) for _ in range(3)), 3), lambda: len(peer.asked) == 3
        ) == ["ended", "told"]
        assert pump.in_flight == 0


def test_child_that_waits_for_a_lane_is_ended(pump: Pump) -> None:
    """A request of an ended child that had no lane yet is never sent."""
    pump.lanes = Lanes(1)

    def parent(url: str) -> Story[None]:
        yield Each(iter([fetch(url + "/first"), fetch(url + "/second"), fails(url)]), 3)

    def fails(url: str) -> Story[None]:
        while not peer.asked:
            yield Pause(0.001)
        raise LookupError(url)

    with Peer(lambda _: [DEAF]) as peer:
        with pytest.raises(LookupError):
            pumped(pump, parent(peer.url))
        for _ in range(5):
            pump.turn(0.005)
        assert [one.target for one in peer.asked] == ["/first"]


# --------------------------------------------------------------------------------------------------------- the network


def test_bodies_and_headers(pump: Pump) -> None:
    """Status, headers in lower case and body arrive as they were sent."""
    with Peer(lambda _: reply(207, b"\x00body\xff", "X-Two: words here ", "x-CASE:  1")) as peer:
        (answer,) = pumped(pump, fetch(peer.url))
    assert (answer.status, answer.body) == (207, b"\x00body\xff")
    assert (answer.header("x-two"), answer.header("x-case"), answer.header("none")) == ("words here", "1", "")


def test_interim_answers_are_forgotten(pump: Pump) -> None:
    """Headers of a `100 Continue` are not those of the answer."""
    early = b"HTTP/1.1 100 Continue\r\nx-early: 1\r\n\r\n"
    with Peer(lambda _: early + reply(200, b"ok", "ETag: 1")) as peer:
        (answer,) = pumped(pump, fetch(peer.url))
    assert (answer.status, answer.header("x-early"), answer.header("etag")) == (200, "", "1")


def test_gzip_labelled_body_stays_as_it_is(pump: Pump) -> None:
    """A body with Content-Encoding is never decoded, right label or wrong (B18)."""
    with Peer(lambda _: reply(200, b"\x1f\x8bno gzip at all", "Content-Encoding: gzip")) as peer:
        (answer,) = pumped(pump, fetch(peer.url))
    assert answer.body == b"\x1f\x8bno gzip at all"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(pump: Pump, status: int) -> None:
    """A redirect is given back, not followed: whoever it points to gets neither the SAS nor the token (B23)."""
    with Peer(lambda _: reply(200)) as other, Peer(lambda _: reply(status, b"", f"Location: {other.url}/x")) as peer:
        request = get(peer.url + "/a?sig=secret", headers=("Authorization: Bearer secret",))
        (answer,) = pumped(pump, asked(request))
        assert answer.status == status
        assert other.asked == []


@pytest.mark.parametrize("path", ["/c/a/../b", "/c//b", "/c/a%2Fb", "/c/./b", "/c/b/..", "/c/%2E%2E/x", "/c/a%3Fb?q=1"])
def test_raw_path(pump: Pump, path: str) -> None:
    """A line with `raw_path` sends the path byte for byte: no other blob is asked for."""
    with Peer(lambda _: reply(200)) as peer:
        pumped(pump, fetch(peer.url + path))
        assert peer.asked[0].target == path


def test_connections_are_kept(pump: Pump) -> None:
    """Requests one after the other share a connection."""
    with Peer(lambda _: reply(200, b"x")) as peer:
        for _ in range(10):
            pumped(pump, fetch(peer.url))
        assert peer.connections == 1


def test_kept_connection_that_died(pump: Pump) -> None:
    """A peer that closes silently between two requests costs a new connection, not an error."""
    with Peer(lambda _: [reply(200, b"x"), CLOSE]) as peer:
        bodies = [pumped(pump, fetch(peer.url))[0].body for _ in range(5)]
    assert bodies == [b"x"] * 5


def test_resting_connection_that_ends_is_let_go(pump: Pump) -> None:
    """The end of a connection that nobody uses is noticed once, and the pump sleeps on."""
    with Peer(lambda _: [reply(200, b"x"), CLOSE]) as peer:
        pumped(pump, fetch(peer.url))
        time.sleep(0.1)
        pump.turn(0.05)
        began, spent = time.monotonic(), time.process_time()
        while time.monotonic() - began < 0.3:
            pump.turn(0.1)
        assert time.process_time() - spent < 0.15


def test_upload_on_a_connection_that_died(pump: Pump) -> None:
    """A source whose connection turns out to be dead starts over, and the peer gets each byte once."""
    data = os.urandom(300_000)
    with Peer(lambda _: [reply(200), CLOSE]) as peer:
        for _ in range(4):
            put = Request("PUT", peer.url, Line(), source=Source(data))
            assert pumped(pump, asked(put))[0].status == 200
        assert {one.body for one in peer.asked} == {data}


def test_put_from_memory_and_from_a_source(pump: Pump) -> None:
    """Bodies from memory and from a source arrive whole, with their length, as PUT and as POST; empty ones, too."""
    with Peer(lambda _: reply(200)) as peer:
        for method in ("PUT", "POST"):
            for body in (b"", b"\x00abc"):
                pumped(pump, asked(Request(method, peer.url, Line(), body=body)))
        for body in (b"", b"streamed"):
            pumped(pump, asked(Request("PUT", peer.url, Line(), source=Source(body))))
        got = [(one.method, one.body, one.headers.get("content-length")) for one in peer.asked]
    assert got == [
        ("PUT", b"", "0"),
        ("PUT", b"\x00abc", "4"),
        ("POST", b"", "0"),
        ("POST", b"\x00abc", "4"),
        ("PUT", b"", "0"),
        ("PUT", b"streamed", "8"),
    ]


def test_head_has_a_length_and_no_body(pump: Pump) -> None:
    """The answer to HEAD may speak of terabytes; nothing is waited for."""
    with Peer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\nETag: 1\r\n\r\n") as peer:
        (answer,) = pumped(pump, asked(Request("HEAD", peer.url, Line())))
    assert (answer.status, answer.header("content-length"), answer.body) == (200, "9999999999999", b"")


@pytest.mark.parametrize(
    "answer",
    [
        [RESET],
        [CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", RESET],
        [b"no http at all\r\n\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE],
    ],
    ids=["reset", "closed", "short", "short and reset", "gibberish", "chunks without an end"],
)
def test_broken_answers(pump: Pump, answer: list[bytes | float | str]) -> None:
    """An answer that breaks off has status 0 and says why; it is never taken for a short success (B06, B07)."""
    with Peer(lambda _: answer) as peer:
        (got,) = pumped(pump, fetch(peer.url))
    assert got.status == 0
    assert got.broken
    assert not got.offline


def test_nobody_listens(pump: Pump) -> None:
    """A refused connection and an unknown name are `offline`."""
    with Peer(lambda _: reply()) as peer:
        url = peer.url
    refused, unknown = pumped(pump, fetch(url), fetch("http://nobody.invalid/"))
    assert (refused.status, refused.offline, unknown.status, unknown.offline) == (0, True, 0, True)


def test_stall_is_broken_off() -> None:
    """A peer that stops in the middle of a body is given up after `stall_s` (B20, B21)."""
    for pump in new_pump(stall_s=1.0):
        with Peer(lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", DEAF]) as peer:
            (answer,) = pumped(pump, fetch(peer.url))
        assert (answer.status, answer.offline) == (0, False)


def test_body_that_is_too_long(pump: Pump) -> None:
    """A body beyond `max_body_bytes` is broken off, whether it says its length or not (B22)."""
    endless: list[bytes | float | str] = [b"HTTP/1.1 200 OK\r\n\r\n", *([bytes(1 << 16)] * 64)]
    with Peer(lambda asked: reply(200, bytes(70_000)) if asked.target == "/says" else endless) as peer:
        says, silent = pumped(
            pump, fetch(peer.url + "/says", max_body_bytes=65_536), fetch(peer.url + "/silent", max_body_bytes=65_536)
        )
    assert (says.status, silent.status) == (0, 0)
    assert len(silent.body) <= 65_536 + (512 << 10)


def test_bombs_of_headers(pump: Pump) -> None:
    """An answer of a megabyte of headers is broken off (B22)."""
    bomb = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000)) + b"\r\n"
    with Peer(lambda _: [bomb, CLOSE]) as peer:
        (answer,) = pumped(pump, fetch(peer.url))
    assert answer.status == 0


def test_requests_keep_to_the_lanes() -> None:
    """Never more requests on the wire than lanes, and all come back."""
    most = [0]
    now: set[int] = set()
    lock = threading.Lock()
    pump = Pump(Lanes(3))

    def answer(asked: Any) -> list[bytes | float | str]:
        with lock:
            now.add(asked.number)
            most[0] = max(most[0], len(now))
        time.sleep(0.002)
        with lock:
            now.discard(asked.number)
        return [reply(200, b"x")]

    with Peer(answer) as peer:
        assert len(pumped(pump, *(fetch(peer.url) for _ in range(60)))) == 60
    pump.close()
    assert 2 <= most[0] <= 3


def test_descriptors_above_1024() -> None:
    """Sockets with numbers above 1,023, which `select` cannot see, are served as all others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    held: list[int] = []
    try:
        for pump in new_pump(4, stall_s=2.0):
            while not held or held[-1] < 1100:
                held.append(os.dup(0))
            with Peer(lambda _: reply(200, b"high")) as peer:
                assert {answer.body for answer in pumped(pump, *(fetch(peer.url) for _ in range(8)))} == {b"high"}
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bytes_are_counted(pump: Pump) -> None:
    """`bytes_in` and `bytes_out` are the bodies that crossed the network, broken ones too."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(40)
    with Peer(lambda asked: [half, CLOSE] if asked.target == "/half" else reply(200, bytes(1000))) as peer:

        def story() -> Story[None]:
            yield get(peer.url)
            yield get(peer.url, sink=Sink())
            yield get(peer.url + "/half")
            yield Request("PUT", peer.url, Line(), source=Source(bytes(77)))
            yield Request("PUT", peer.url, Line(), body=bytes(23))

        pumped(pump, story())
    assert (pump.bytes_in, pump.bytes_out) == (4040, 100)


# ---------------------------------------------------------------------------------------------------- sinks and sources


def test_sink_gets_the_body(pump: Pump) -> None:
    """A sink sees the head first, then all bytes; the answer's own body stays empty."""
    data = os.urandom(2_000_000)
    sink = Sink()
    with Peer(lambda _: reply(206, data, "ETag: 7")) as peer:
        (answer,) = pumped(pump, fetch(peer.url, sink=sink, max_body_bytes=len(data)))
    assert (sink.begun, sink.data, sink.headers["etag"]) == ([206], data, "7")
    assert sink.calls <= len(data) // HAND_ON_BYTES + 1
    assert (answer.status, answer.body) == (206, b"")


def test_sink_that_will_not_take_it(pump: Pump) -> None:
    """What a sink refuses is collected, as the text of an error, and no more of it than was asked for."""
    sink = Sink(take=False)
    with Peer(lambda _: reply(404, b"<Code>X</Code>")) as peer:
        (answer,) = pumped(pump, fetch(peer.url, sink=sink))
    assert (sink.begun, sink.data, answer.body) == ([404], b"", b"<Code>X</Code>")


def test_sink_gets_no_more_pieces_than_one_write_takes(pump: Pump) -> None:
    """A body in thousands of crumbs is handed on in helpings: the kernel takes 1,024 pieces at most (IOV_MAX)."""
    sink = Sink()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Peer(lambda _: [head + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"]) as peer:
        pumped(pump, fetch(peer.url, sink=sink))
    assert (sink.data, sink.calls) == (b"x" * 5000, 5000 // HAND_ON_PIECES + 1)


@pytest.mark.parametrize("size", [100, 3 * HAND_ON_BYTES], ids=["at the end", "on the way"])
def test_sink_that_fails(pump: Pump, size: int) -> None:
    """An exception in a sink ends the transfer, is raised in the story, and harms nobody else."""
    with Peer(lambda _: reply(200, bytes(size))) as peer:
        with pytest.raises(OSError, match="disk full"):
            pumped(pump, fetch(peer.url, sink=Sink(fail=OSError("disk full"))))
        assert len(pumped(pump, fetch(peer.url))[0].body) == size


def test_source_that_fails(pump: Pump) -> None:
    """An exception in a source ends the transfer and is raised in the story."""
    with Peer(lambda _: reply(200)) as peer, pytest.raises(OSError, match="rot"):
        pumped(pump, asked(Request("PUT", peer.url, Line(), source=Source(bytes(10), OSError("rot")))))


def test_sink_again_with_an_empty_body(pump: Pump) -> None:
    """A sink that is used again for an answer without a body has received nothing, not what came last time."""
    sink = Sink()

    def story() -> Story[tuple[int, int]]:
        yield get(peer.url, sink=sink)
        first = sink.received
        yield get(peer.url, sink=sink)
        return first, sink.received

    with Peer(lambda asked: reply(200, b"some" if asked.number == 1 else b"")) as peer:
        assert pumped(pump, story()) == [(4, 0)]


def test_source_again(pump: Pump) -> None:
    """A source that is sent again starts over."""
    source = Source(b"all of it")

    def story() -> Story[None]:
        yield Request("PUT", peer.url, Line(), source=source)
        yield Request("PUT", peer.url, Line(), source=source)

    with Peer(lambda _: reply(500)) as peer:
        pumped(pump, story())
        assert [one.body for one in peer.asked] == [b"all of it"] * 2


# -------------------------------------------------------------------------------------------------------------- the end


def test_cancel_ends_leaves_and_drops_what_comes_back() -> None:
    """After `cancel` every story on the wire, waiting, pausing or gathered is ended, and no `done` is called."""
    pump = Pump(Lanes(1))
    closed: list[str] = []

    def story(name: str, command: Any) -> Story[None]:
        try:
            yield command
        finally:
            closed.append(name)

    with Peer(lambda _: [DEAF]) as peer:
        ended = Ended()
        pump.start(story("wire", get(peer.url)), ended)
        pump.start(story("lane", get(peer.url)), ended)
        pump.start(story("pause", Pause(60)), ended)
        turn_until(pump, lambda: bool(peer.asked))
        pump.start(story("group", Together(list, [1])), ended)
        pump.turn(0)
        pump.cancel()
        assert sorted(closed) in (["group", "lane", "pause", "wire"], ["lane", "pause", "wire"])
        assert ended.count == 0
        assert pump.in_flight == 0
    pump.close()


def test_cancel_ends_what_is_aside() -> None:
    """A story whose work is aside is closed by `cancel` at once, and does not go on when the thread comes back."""
    pump = Pump(Lanes(1))
    went: list[str] = []
    hold = threading.Event()

    def story() -> Story[None]:
        try:
            yield Aside(hold.wait, (10,))
            went.append("on")
        finally:
            went.append("closed")

    pump.start(story(), Ended())
    pump.turn(0)
    with collected_by_hand():
        pump.cancel()
        assert went == ["closed"]
    hold.set()
    for _ in range(3):
        pump.turn(0.01)
    assert went == ["closed"]
    pump.close()


def test_cancel_ends_parents_and_children() -> None:
    """`cancel` ends a whole family at once, not when the garbage collector comes by; nothing is active then."""
    pump = Pump(Lanes(4))
    closed: list[str] = []

    def told(name: str, command: Callable[[], Any]) -> Story[None]:
        try:
            yield command()
        finally:
            closed.append(name)

    family = Each((told("child", lambda: Pause(60)) for _ in range(2)), 2)
    pump.start(told("parent", lambda: family), Ended())
    pump.turn(0)
    assert pump.active == 1
    with collected_by_hand():
        pump.cancel()
        assert sorted(closed) == ["child", "child", "parent"]
    assert pump.active == 0
    pump.close()


def test_one_that_will_not_close_does_not_save_the_others() -> None:
    """A story that raises while it is ended does not keep `cancel` from ending the rest."""
    pump = Pump(Lanes(4))
    closed: list[int] = []

    def bad() -> Story[None]:
        try:
            yield Pause(60)
        finally:
            raise OSError("stale")

    def good() -> Story[None]:
        try:
            yield Pause(60)
        finally:
            closed.append(1)

    for story in (bad, good) * 5:
        pump.start(story(), Ended())
    pump.turn(0)
    pump.cancel()
    pump.close()
    assert len(closed) == 5


def test_close_again_is_nothing() -> None:
    """A pump can be closed twice."""
    pump = Pump(Lanes(1))
    pump.close()
    pump.close()
    assert pump.active == 0


# ------------------------------------------------------------------------------------------- what cannot be obeyed


def test_request_that_cannot_be_made(pump: Pump) -> None:
    """A header line that is no ASCII fails its own story, and not the pump or the next one."""
    ended = Ended()
    with Peer(lambda _: reply(200)) as peer:
        pump.start(fetch(peer.url, headers=("x-amz-meta-größe: 1",)), ended)
        pump.start(fetch(peer.url), ended)
        turn_until(pump, lambda: ended.count == 2)
    assert (len(ended.errors), [answer.status for answer in ended.values]) == (1, [200])
    assert (pump.in_flight, pump.active) == (0, 0)


def test_source_that_cannot_start_over(pump: Pump) -> None:
    """A source whose rewind fails fails its story, and leaves nothing in flight."""

    class Stale(Source):
        def rewind(self) -> None:
            raise OSError("stale")

    with pytest.raises(OSError, match="stale"):
        pumped(pump, asked(Request("PUT", "http://127.0.0.1:1/", Line(), source=Stale(b"abc"))))
    assert (pump.in_flight, pump.active) == (0, 0)


@pytest.mark.parametrize("width", [0, -1])
def test_each_without_width(pump: Pump, width: int) -> None:
    """No stories at once is a mistake that is raised in the story, not a wait for ever."""

    def parent() -> Story[Any]:
        return (yield Each(iter([nothing()]), width))

    with pytest.raises(ValueError, match="at once"):
        pumped(pump, parent())


def test_nonsense_is_no_command(pump: Pump) -> None:
    """A story that yields what is no command is told so."""

    def story() -> Story[None]:
        yield None  # type: ignore[misc]

    with pytest.raises(AttributeError):
        pumped(pump, story())


def test_stories_that_cannot_be_made(pump: Pump) -> None:
    """When the iterator behind an `Each` fails, the parent is told, and the children that run are ended."""

    def children() -> Iterator[Story[Any]]:
        yield nothing()
        raise LookupError("making")

    def parent() -> Story[str]:
        try:
            yield Each(children(), 2)
        except LookupError:
            return "told"
        return "not told"

    assert pumped(pump, parent()) == ["told"]


def test_child_that_will_not_close(pump: Pump) -> None:
    """A sibling that raises while it is ended does not hide the failure that ended it."""

    def bad() -> Story[None]:
        try:
            yield Pause(60)
        finally:
            raise OSError("stale")

    def fails() -> Story[None]:
        yield Pause(0)
        raise LookupError

    def parent() -> Story[str]:
        try:
            yield Each(iter([bad(), fails()]), 2)
        except LookupError:
            return "told"
        return "not told"

    assert pumped(pump, parent()) == ["told"]


def test_rate_is_shared_by_those_that_wait() -> None:
    """Transfers that begin in the same moment share the rate: together they are not faster than it."""
    size, rate = 60_000, 400_000
    pump = Pump(Lanes(8, rate=rate))
    with Peer(lambda _: reply(200, bytes(size))) as peer:
        begun = time.monotonic()
        pumped(pump, *(fetch(peer.url) for _ in range(8)))
        took = time.monotonic() - begun
    pump.close()
    assert took > 0.5 * 8 * size / rate
