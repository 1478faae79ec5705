"""Where stories have work done while the network goes on: `Aside` in a thread, `Together` in groups.

A group whose work was quick lately never leaves the pump's own thread. Not thread-safe: the pump calls, threads only do
what they are handed, and ring when it is done.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sync_cloud_storage.http.messages import Aside, Together

GROUP_MAX = 64  # items for one `Together`; enough to spread a flush, few enough to hold little back
GROUP_WAIT_S = 0.02
# A `Together` that takes less than this for an item is done here: the way to a thread and back, and two threads that
# want the interpreter, cost more. A disk or NAS that lets us wait for longer is waited for elsewhere.
INLINE_S = 0.0005


class Waiting(Protocol):
    """A story that waits for work, as its pump knows it."""

    @property
    def over(self) -> bool:
        """Whether it was ended meanwhile."""
        ...


W = TypeVar("W", bound=Waiting)


class _Group(Generic[W]):
    """Stories that wait for one `Together`, each with its items."""

    __slots__ = ("due", "items", "members")

    def __init__(self, due: float) -> None:
        self.due = due
        self.items = 0
        self.members: list[tuple[Sequence[Any], W]] = []


class Workshop(Generic[W]):
    """Does the work of one pump's stories.

    Args:
        threads: How many.
        clock: Monotonic seconds.
        back: Takes stories that can go on, each with the value that it gets or the exception that is raised in it.

    Attributes:
        bell: A descriptor that can be read once a thread has something for `answer_bell`.
    """

    def __init__(
        self,
        threads: int,
        clock: Callable[[], float],
        back: Callable[[Iterable[tuple[W, Any, BaseException | None]]], object],
    ) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # A thread that ends after `close` must not ring: the number may be that of a blob's file by then.
        self._bell_lock = Lock()
        self._clock = clock
        self._back = back
        self._cost_s: dict[Callable[..., Any], float] = {}  # of one item of a `Together`, as it was lately
        self._groups: dict[Callable[..., Any], _Group[W]] = {}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="scs-aside")
        self._aside = 0  # calls that threads have not given back
        self._came_back: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def send(self, command: Aside, whose: W) -> None:
        """Have a thread do it."""
        self._hand_over(lambda: [command.function(*command.arguments)], 1, partial(self._one_back, whose))

    def join(self, command: Together, whose: W) -> None:
        """Let a story wait with the others that want the same work."""
        group = self._groups.get(command.function)
        if group is None:
            # What takes no time gains nothing by being shared: whoever waited for others would only wait.
            wait_s = 0.0 if self._is_quick(command.function) else GROUP_WAIT_S
            group = self._groups[command.function] = _Group(self._clock() + wait_s)
        group.items += len(command.items)
        group.members.append((command.items, whose))

    def due(self) -> list[float]:
        """When the groups that wait have waited long enough."""
        return [group.due for group in self._groups.values()]

    def begin(self, now: float, *, more_may_come: bool) -> None:
        """Begin with the groups that are full or due; with all where nobody else can join soon.

        *more_may_come*: requests are on the wire, and their stories may join.
        """
        for function, group in list(self._groups.items()):
            # With nothing on the wire and nothing aside, waiting would only be waiting.
            if group.items >= GROUP_MAX or group.due <= now or not (more_may_come or self._aside):
                del self._groups[function]
                self._gather(function, group)

    def answer_bell(self) -> None:
        """Give back what threads have finished."""
        os.eventfd_read(self.bell)
        while not self._came_back.empty():
            self._aside -= 1
            self._came_back.get()()

    def cancel(self) -> None:
        """Begin nothing more; what threads are at ends unheard."""
        self._groups.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Let go of the bell, after `cancel`."""
        with self._bell_lock:
            os.close(self.bell)
            self.bell = -1

    # ------------------------------------------------------------------------------------------------ inside

    def _gather(self, function: Callable[..., Any], group: _Group[W]) -> None:
        there = deque(member for member in group.members if not member[1].over)
        while there:
            items: list[Any] = []
            shares: list[tuple[W, int]] = []
            while there and len(items) < GROUP_MAX:
                own, whose = there.popleft()
                items += own
                shares.append((whose, len(own)))
            work = partial(self._watched_call, function, items)
            if self._is_quick(function):
                self._group_back(shares, _outcomes(work, len(items)))
            else:
                self._hand_over(work, len(items), partial(self._group_back, shares))

    def _is_quick(self, function: Callable[..., Any]) -> bool:
        """Whether an item of it lately took so little that a thread would cost more."""
        return self._cost_s.get(function, 1.0) < INLINE_S

    def _watched_call(self, function: Callable[..., Any], items: Sequence[Any]) -> Sequence[Any]:
        """Call *function* and learn what an item costs: up at once, down slowly, so that one quick call is no proof."""
        began = self._clock()
        values: Sequence[Any] = function(items)
        cost_s = (self._clock() - began) / len(items)
        known_s = self._cost_s.get(function, cost_s)
        self._cost_s[function] = max(cost_s, known_s + (cost_s - known_s) / 8)
        return values

    def _hand_over(self, work: Callable[[], Sequence[Any]], count: int, back: Callable[[list[Any]], None]) -> None:
        self._aside += 1

        def run() -> None:
            self._came_back.put(partial(back, _outcomes(work, count)))
            with self._bell_lock:
                if self.bell >= 0:
                    os.eventfd_write(self.bell, 1)

        self._threads.submit(run)

    def _one_back(self, whose: W, values: list[Any]) -> None:
        (value,) = values
        failed = isinstance(value, BaseException)
        self._back([(whose, None, value) if failed else (whose, value, None)])

    def _group_back(self, shares: list[tuple[W, int]], values: list[Any]) -> None:
        """Give each story the values of its own items."""
        begin = 0
        given: list[tuple[W, Any, None]] = []
        for whose, length in shares:
            given.append((whose, values[begin : begin + length], None))
            begin += length
        self._back(given)


def _outcomes(work: Callable[[], Sequence[Any]], expected: int) -> list[Any]:
    """What *work* gives, or for each who waits for it the exception that it raised."""
    try:
        values = list(work())
        if len(values) != expected:
            raise ValueError(f"{len(values)} values for {expected} items")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001 - raised again in the stories
        return [error] * expected
    except BaseException as error:  # noqa: BLE001 - else the stories would wait for ever
        return [RuntimeError(f"a thread ended with {error!r}")] * expected
    for value in values:
        if isinstance(value, BaseException):
            # Its traceback leads to the frame that caught it, and that frame holds this list and the bodies of the
            # group: a cycle, which would keep them in memory until Python looks for cycles.
            value.__traceback__ = value.__context__ = value.__cause__ = None
    return values
