"""Scripted faults: which request is hit, and what happens to it. Data, not code: each is a value, or a JSON object.

    Fault(Reset(after=1000), operation="GetBlob", nth=2)          the second GET of any blob: RST after 1,000 bytes
    Fault(BUSY, service="azure", times=0)                         503 with Retry-After, for ever
    {"do": "Flip", "offset": 7, "operation": "GetBlob", "path": "/films/"}

Several due faults work together, the first one outermost.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.servers.strict.wire import HangUp, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.servers.strict.cloud import StrictCloud

_STRETCH = 1 << 18


class Action:
    """What happens to a request that a fault hits. By itself: nothing."""

    def play(self, cloud: StrictCloud, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """Answer the request; `answer` does what the honest service would do."""
        return self.on_reply(answer(self.on_request(cloud, request)))

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """What the service gets to see."""
        return request

    def on_reply(self, reply: Reply) -> Reply:
        """What the client gets to see."""
        return reply


@dataclass
class Fault:
    """An action and the requests that it hits.

    Args:
        do: What happens.
        service: `azure` or `s3`; "" is both.
        operation: Such as `GetBlob`, `UploadPart`: the names that the log has; "" is any.
        verb: Such as `GET`; "" is any.
        path: Regular expression, searched in path and query as they were sent.
        nth: The first of the matching requests that is hit, from 1 on.
        times: How many are hit from there on; 0 is all.
    """

    do: Action
    service: str = ""
    operation: str = ""
    verb: str = ""
    path: str = ""
    nth: int = 1
    times: int = 1
    seen: int = 0  # matching requests so far

    def is_due(self, service: str, operation: str, request: Request) -> bool:
        """Whether it hits this request; counts it."""
        if (
            self.service not in ("", service)
            or self.operation not in ("", operation)
            or self.verb not in ("", request.verb)
            or not re.search(self.path, request.target)
        ):
            return False
        self.seen += 1
        return self.seen >= self.nth and (not self.times or self.seen < self.nth + self.times)


def from_json(objects: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Faults from JSON: `do` names the action; the other keys are the action's arguments and the fault's."""
    return [_one(dict(each)) for each in objects]


def _one(given: dict[str, Any]) -> Fault:
    kind = {action.__name__: action for action in Action.__subclasses__()}[given.pop("do")]
    of_fault = {field.name for field in dataclasses.fields(Fault)}
    action = kind(**{key: value for key, value in given.items() if key not in of_fault})
    return Fault(action, **{key: value for key, value in given.items() if key in of_fault})


# ----------------------------------------------------------------------------------------- instead of the right answer


@dataclass(frozen=True)
class Answer(Action):
    """This answer. `committed`: the service did what was asked all the same (200 or 500 after a success)."""

    status: int
    code: str = ""  # the service's error code; makes a body in the service's own form where `body` is empty
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: str = ""
    committed: bool = False

    def play(self, cloud: StrictCloud, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """See the class."""
        if self.committed:
            answer(request)
        if self.code and not self.body:
            reply = cloud.error(request, self.status, self.code)
            return reply._replace(headers={**reply.headers, **self.headers})
        body = self.body.encode()
        return Reply(self.status, dict(self.headers), [body], len(body))


BUSY = Answer(503, "ServerBusy", {"Retry-After": "1"})
SLOW_DOWN = Answer(503, "SlowDown")
LOGIN_PAGE = Answer(
    200, headers={"Content-Type": "text/html"}, body="<html><title>Sign in to the network</title></html>"
)


@dataclass(frozen=True)
class Drop(Action):
    """No answer at all. `committed`: after the service did what was asked, which is the cruel case.

    `after_reading`: take so many bytes of the upload first.
    """

    committed: bool = False
    reset: bool = True
    after_reading: int = 0

    def play(self, cloud: StrictCloud, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """See the class."""
        if self.committed:
            answer(request)
        elif self.after_reading:
            request.body.read(self.after_reading)
        raise HangUp(reset=self.reset)


# --------------------------------------------------------------------------------------------- on the way to the client


@dataclass(frozen=True)
class Reset(Action):
    """RST after so many bytes of the body."""

    after: int

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(cut_after=self.after, reset=True)


@dataclass(frozen=True)
class Cut(Action):
    """FIN after so many bytes of the body, with the right Content-Length, or without one."""

    after: int
    says_length: bool = True

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(cut_after=self.after, says_length=self.says_length)


@dataclass(frozen=True)
class Shorten(Action):
    """Only the first bytes of the body, and a Content-Length that fits them: a truncated page, a short blob."""

    keep: int

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(size=self.keep, body=_first(reply.body, self.keep))


@dataclass(frozen=True)
class Pad(Action):
    """So many bytes too many (any number: they cost no memory), and a Content-Length that fits them, or none."""

    extra: int
    says_length: bool = True

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        zeros = (bytes(min(_STRETCH, self.extra - at)) for at in range(0, self.extra, _STRETCH))
        body = (piece for part in (reply.body, zeros) for piece in part)
        return reply._replace(body=body, size=reply.size + self.extra, says_length=self.says_length)


@dataclass(frozen=True)
class Flip(Action):
    """One wrong bit."""

    offset: int
    bit: int = 0

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(body=self._flipped(reply.body))

    def _flipped(self, body: Iterable[bytes]) -> Iterator[bytes]:
        at = 0
        for piece in body:
            if at <= self.offset < at + len(piece):
                wrong = bytearray(piece)
                wrong[self.offset - at] ^= 1 << self.bit
                yield bytes(wrong)
            else:
                yield piece
            at += len(piece)


@dataclass(frozen=True)
class Stall(Action):
    """After so many bytes of the body, none for so many seconds; then the rest. After -1: before the headers."""

    after: int
    seconds: float

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(stall_after=self.after, stall_s=self.seconds)


@dataclass(frozen=True)
class Drip(Action):
    """The body at this rate."""

    bytes_per_s: int

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        return reply._replace(bytes_per_s=self.bytes_per_s)


@dataclass(frozen=True)
class Headers(Action):
    """Other headers: some set, some left out. Names as the service writes them."""

    put: Mapping[str, str] = dataclasses.field(default_factory=dict)
    drop: tuple[str, ...] = ()

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        gone = {name.lower() for name in (*self.drop, *self.put)}
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in gone}
        return reply._replace(headers={**kept, **self.put})


NO_SUM = Headers(drop=("x-amz-checksum-crc64nvme", "x-amz-checksum-type"))


@dataclass(frozen=True)
class Edit(Action):
    """Another text: every match of a regular expression replaced. For XML, such as the same marker for ever."""

    pattern: str
    replacement: str

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        body = re.sub(self.pattern, self.replacement, b"".join(reply.body).decode(), flags=re.DOTALL).encode()
        return reply._replace(body=[body], size=len(body))


WRONG_CRC64 = Headers(put={"x-ms-content-crc64": "AAAAAAAAAAE="})  # of a range that was asked for with one
NO_CRC64 = Headers(drop=("x-ms-content-crc64",))


# --------------------------------------------------------------------------------------------------- another question


@dataclass(frozen=True)
class IgnoreRange(Action):
    """The whole body with 200, whatever range was asked for, and without a checksum of it."""

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Ask something else."""
        return request.with_headers(range=None, x_ms_range=None, x_ms_range_get_content_crc64=None)


@dataclass(frozen=True)
class OtherRange(Action):
    """Another range than the one asked for, and headers that say so."""

    range: str  # such as `bytes=0-499`

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Ask something else."""
        return request.with_headers(range=self.range, x_ms_range=None)


@dataclass(frozen=True)
class IgnoreQuery(Action):
    """As if this parameter had not been in the query: an endpoint that does not know it."""

    name: str  # such as `start-after`

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Ask something else."""
        kept = [pair for pair in request.query.split("&") if pair.partition("=")[0] != self.name]
        return dataclasses.replace(request, query="&".join(kept))


@dataclass(frozen=True)
class IgnoreConditions(Action):
    """As if there were no If-Match and no If-None-Match: a cache in between."""

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Ask something else."""
        return request.with_headers(if_match=None, if_none_match=None)


# ----------------------------------------------------------------------------------------- the world changes meanwhile


@dataclass(frozen=True)
class Remove(Action):
    """Somebody deletes a blob, or with `blob=""` a container, just before the answer."""

    container: str
    blob: str = ""

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Change the world."""
        cloud.azure.remove(self.container, self.blob)
        return request


@dataclass(frozen=True)
class Rewrite(Action):
    """Somebody writes a blob, new or again, just before the answer."""

    container: str
    blob: str
    data: str

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Change the world."""
        cloud.azure.put(self.container, self.blob, self.data.encode())
        return request


@dataclass(frozen=True)
class Call(Action):
    """Anything else just before the answer. Only this one cannot come from JSON."""

    hook: Callable[[StrictCloud], object]

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Change the world."""
        self.hook(cloud)
        return request


def _first(body: Iterable[bytes], left: int) -> Iterator[bytes]:
    for piece in body:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return
