"""What a story may ask the pump for, and what it gets back.

A *story* is a generator that tells the way of one blob, or of a company of small ones, from top to bottom: it yields
one of the commands below and is sent the answer. So the code reads straight on although thousands of stories take turns
in one thread, at about half the cost of coroutines on an event loop (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

Story = Generator["Command", Any, T]


class Sink(Protocol):
    """Takes the body of a response while it streams in.

    `received` is the number of bytes that came since `begin`, also of those that it would not take.
    """

    received: int

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Look at the head; True to be given the body, False to have it collected as a (small) error answer."""
        ...

    def write(self, pieces: Sequence[bytes]) -> object:
        """Take the next bytes, in pieces as they came; the list is emptied afterwards.

        An exception ends the transfer and is raised in the story.
        """
        ...


class Source(Protocol):
    """Gives the body of a request while it streams out."""

    size_bytes: int

    def read(self, count: int) -> bytes:
        """The next bytes, at most *count*; b"" at the end."""
        ...

    def rewind(self) -> None:
        """Start over: a kept connection was dead and the body must be sent again."""
        ...


class Line(NamedTuple):
    """How an endpoint is reached. One pool of libcurl handles is kept for each line.

    `raw_path` sends the path exactly as written (dot segments stay); libcurl cannot sign such requests, so it is off
    where `sigv4` is set. `userpwd` is `key:secret` for libcurl's own SigV4.
    """

    ca_file: str = ""
    proxy: str = ""
    no_proxy: str = ""
    raw_path: bool = False
    sigv4: str = ""
    userpwd: str = ""

    def __repr__(self) -> str:
        """Without what may be secret: the key, and the password in a proxy's address."""
        return f"Line(raw_path={self.raw_path}, sigv4={self.sigv4!r})"


class Request(NamedTuple):
    """One HTTP request. `headers` are whole lines (`Name: value`).

    The answer's body is collected up to `max_body_bytes`, or given to `sink`. A `body` is sent from memory, a `source`
    is streamed.
    """

    method: str
    url: str
    line: Line
    headers: tuple[str, ...] = ()
    body: bytes = b""
    source: Source | None = None
    sink: Sink | None = None
    max_body_bytes: int = 1 << 20

    def __repr__(self) -> str:
        """Without what may be secret: the query and the headers."""
        return f"Request({self.method} {self.url.partition('?')[0]})"


class Response(NamedTuple):
    """An answer, or what kept it from coming: then `status` is 0 and `broken` says why, in libcurl's words."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    broken: str = ""
    offline: bool = False  # could not even connect: no name, no route, refused

    def header(self, name: str) -> str:
        """The value of a header, "" where there is none."""
        return self.headers.get(name, "")


class Pause(NamedTuple):
    """Come back after *seconds*."""

    seconds: float


class Aside(NamedTuple):
    """Call *function* in a thread (hashing, disk) while the network goes on; its value or exception comes back."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Requests(NamedTuple):
    """Make *requests* side by side. A list comes back: each one's answer, or the exception that came in its place."""

    requests: Sequence[Request]


class Together(NamedTuple):
    """Work that is cheaper for many at once: items of all stories that wait for the same *function* are gathered.

    *function* is called, here or in a thread, with a list of items and gives a list of values or exceptions, one for
    each. Those of *items* come back, as a list.
    """

    function: Callable[[Sequence[Any]], Sequence[Any]]
    items: Sequence[Any]


class Each(NamedTuple):
    """Tell *stories* side by side, *at_once* of them; their values come back in order.

    *at_once* may be a function that is asked again whenever one could begin.

    The first exception ends the others where they stand and is raised in the parent.
    """

    stories: Iterable[Story[Any]]
    at_once: int | Callable[[], int]


Command = Request | Requests | Pause | Aside | Together | Each


def for_one(function: Callable[[Sequence[Any]], Sequence[Any]], item: Any) -> Story[Any]:
    """`Together` for a single item: its value comes back, its exception is raised."""
    (value,) = yield Together(function, (item,))
    if isinstance(value, BaseException):
        raise value
    return value
