"""Tells a story by hand: its commands are kept, its answers come from a script. And pumps and workers to tell it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Aside, Each, Line, Pause, Request, Requests, Response, Together
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.worker import Batch, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sync_cloud_storage.http.messages import Command, Story
    from sync_cloud_storage.model import Task
    from sync_cloud_storage.worker import Report, Setup

T = TypeVar("T")

PATIENCE_S = 20.0


class Teller:
    """Drives stories at once and in one thread: threads' work is done on the spot, pauses are noted and not waited for.

    Args:
        answers: What the requests get, in their order: responses, exceptions to throw, or functions of the request.
            A function in place of the sequence answers all of them.
        clock: Moved on by the length of each pause.
    """

    def __init__(
        self,
        answers: Sequence[Any] | Callable[[Request], Response] = (),
        *,
        clock: Callable[[float], None] | None = None,
    ) -> None:
        self.commands: list[Command] = []
        self.pauses: list[float] = []
        self._answer = answers if callable(answers) else None
        self._script = iter(() if callable(answers) else answers)
        self._clock = clock

    @property
    def requests(self) -> list[Request]:
        """What was asked for, in this order."""
        return [
            request
            for command in self.commands
            for request in (command.requests if isinstance(command, Requests) else [command])
            if isinstance(request, Request)
        ]

    def tell(self, story: Story[T]) -> T:
        """Tell *story* to its end: its value is returned, its exception raised."""
        value: Any = None
        error: Exception | None = None
        while True:
            try:
                command = story.send(value) if error is None else story.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.commands.append(command)
            value, error = None, None
            try:
                value = self._obey(command)
            except Exception as failure:  # noqa: BLE001 - it belongs to the story
                error = failure

    def _obey(self, command: Command) -> Any:
        value: Any = None
        match command:
            case Request():
                value = self._found(command)
            case Requests(requests):
                value = [self._found(request) for request in requests]
            case Pause(seconds):
                self.pauses.append(seconds)
                if self._clock is not None:
                    self._clock(seconds)
            case Aside(function, arguments):
                value = function(*arguments)
            case Together(function, items):
                value = list(function(items))
            case Each(stories, _):
                value = [self.tell(story) for story in stories]
        if isinstance(value, Exception):
            raise value
        return value

    def _found(self, request: Request) -> Any:
        answer = self._answer if self._answer is not None else next(self._script, None)
        if answer is None:
            raise AssertionError(f"no answer is left for {request.method} {request.url}")
        return answer(request) if callable(answer) else answer


class Time:
    """A clock that goes on only when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds


def get(url: str, **more: Any) -> Request:
    """A plain request."""
    return Request("GET", url, Line(raw_path=True), **more)


def response(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None, **more: str) -> Response:
    """An answer; `x_ms_request_id="1"` is a header, too."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return Response(status, {**{k.lower(): v for k, v in (headers or {}).items()}, **named}, body)


def to_sink(request: Request, status: int, headers: Mapping[str, str], *pieces: bytes) -> Response:
    """What the pump does with a body for a sink: begin, then piece by piece."""
    sink = request.sink
    assert sink is not None
    sink.received = 0
    collected = b""
    if pieces:
        if sink.begin(status, dict(headers)):
            for piece in pieces:
                sink.write([piece])
        else:
            collected = b"".join(pieces)[: request.max_body_bytes]
    return Response(status, {k.lower(): v for k, v in headers.items()}, collected)


class Sink:
    """Keeps what it is given, and what it was told before."""

    def __init__(self, *, take: bool = True, fail: Exception | None = None) -> None:
        self.received = 0
        self.data = b""
        self.begun: list[int] = []
        self.calls = 0
        self._take = take
        self._fail = fail

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over."""
        self.received = 0
        self.data = b""
        self.begun.append(status)
        self.headers = headers
        return self._take

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take bytes."""
        if self._fail is not None:
            raise self._fail
        self.calls += 1
        self.received += sum(map(len, pieces))
        self.data += b"".join(pieces)


class Ended:
    """Takes the ends of stories: the values, and the errors."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.errors: list[BaseException] = []

    def __call__(self, value: Any, error: BaseException | None) -> None:
        """Take one."""
        if error is None:
            self.values.append(value)
        else:
            self.errors.append(error)

    @property
    def count(self) -> int:
        """Stories that are over."""
        return len(self.values) + len(self.errors)


def pumped(pump: Pump, *stories: Story[Any]) -> list[Any]:
    """Tell *stories* with *pump*; their values in the order in which they ended. The first error is raised."""
    ended = Ended()
    for story in stories:
        pump.start(story, ended)
    turn_until(pump, lambda: ended.count == len(stories))
    if ended.errors:
        raise ended.errors[0]
    return ended.values


def turn_until(pump: Pump | Worker, is_so: Callable[[], bool], longest_s: float = PATIENCE_S) -> None:
    """Let *pump* turn until *is_so*; a test that waits in vain ends."""
    end = time.monotonic() + longest_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to pass"
        pump.turn(0.01)


def new_pump(lanes: int = 8, **more: Any) -> Iterator[Pump]:
    """A pump that is closed at the end: the body of a fixture."""
    pump = Pump(Lanes(lanes), **more)
    yield pump
    pump.close()


class Told:
    """A worker, and all that it said."""

    def __init__(self, given: Setup) -> None:
        self.reports: list[Report] = []
        self.worker = Worker(given, self.reports.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()

    @property
    def results(self) -> list[Any]:
        """All results, in their order."""
        return [result for report in self.reports for result in report.results]

    @property
    def over(self) -> list[int]:
        """All tickets that came back."""
        return [ticket for report in self.reports for ticket in report.over]

    @property
    def is_in_order(self) -> bool:
        """Whether no ticket came back before its result."""
        results = over = 0
        for report in self.reports:
            results += len(report.results)
            over += len(report.over)
            if over > results:
                return False
        return True

    def give(self, *tasks: Task) -> None:
        """Give it tasks, with tickets from 100 on."""
        self.worker.take(Batch(tuple(enumerate(tasks, 100))))

    def turn_until(self, is_so: Callable[[], bool]) -> None:
        """Let it turn until it is so."""
        turn_until(self.worker, is_so)

    def turn_for(self, seconds: float) -> None:
        """Let it turn for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.worker.turn(0.01)
