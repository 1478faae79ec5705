"""The pump: drives many stories in one thread, their requests over libcurl's multi interface.

Sockets are watched with epoll (libcurl's own `select` cannot see descriptors above 1,023). One pump lives in each
worker; it knows nothing of blobs. Not thread-safe: only `Aside` and `Together` leave its thread, and they
come back to it.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pycurl

from sync_cloud_storage.http.messages import Aside, Pause, Request, Requests, Together
from sync_cloud_storage.http.transfer import Transfer, Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.lanes import Lanes
    from sync_cloud_storage.http.messages import Command, Each, Response, Story

GROUP_MAX = 64  # items for one `Together`; enough to spread a flush, few enough to hold little back
GROUP_WAIT_S = 0.02
# A `Together` that takes less than this for an item is done here: the way to a thread and back, and two threads that
# want the interpreter, cost more. A disk or NAS that lets us wait for longer is waited for elsewhere.
INLINE_S = 0.0005
_SINGLE = -1

_READ_OR_WRITE = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class _Telling:
    """One story on its way."""

    __slots__ = ("answers", "done", "over", "siblings", "story", "unanswered")

    def __init__(self, story: Story[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.story = story
        self.done = done
        self.answers: list[Any] = []  # to its `Requests`
        self.unanswered = 0
        self.siblings: _Siblings | None = None  # children it waits for
        self.over = False


class _Group:
    """Stories that wait for one `Together`, each with its items."""

    __slots__ = ("due", "items", "members")

    def __init__(self, due: float) -> None:
        self.due = due
        self.items = 0
        self.members: list[tuple[Sequence[Any], _Telling]] = []


class _Siblings:
    """The children of one `Each`."""

    __slots__ = ("at_once", "left", "open", "parent", "values")

    def __init__(self, parent: _Telling, each: Each) -> None:
        at_once = each.at_once
        self.parent = parent
        self.left = enumerate(each.stories)
        self.at_once = at_once if callable(at_once) else lambda: at_once
        if self.at_once() < 1:
            raise ValueError(f"{at_once} stories at once")
        self.open: dict[int, _Telling] = {}
        self.values: dict[int, Any] = {}


class Pump:
    """Drives stories.

    Args:
        lanes: How many requests may be in flight; learns from the answers.
        stall_s: A transfer slower than 1 KiB/s for this long is broken off.
        threads: For `Aside` and `Together`.
        clock: Monotonic seconds.
    """

    def __init__(
        self, lanes: Lanes, *, stall_s: float = 60.0, threads: int = 4, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lanes = lanes
        self.bytes_in = 0
        self.bytes_out = 0
        self._clock = clock
        self._told: set[_Telling] = set()  # top-level stories that are not over
        self._closed = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, lanes.most * 2 + 8)
        self._transfers = Transfers(stall_s, self._connected)
        self._poll = select.epoll()
        self._polled: dict[int, int] = {}  # what epoll looks for at libcurl's sockets
        self._resting: set[int] = set()  # those of them that no transfer uses now
        self._watched: dict[int, Callable[[], None]] = {}
        self._curl_due: float | None = None
        # With the request's number in its story's `Requests`; _SINGLE: it is the story's only one.
        self._in_flight: dict[pycurl.Curl, tuple[Transfer, _Telling, int]] = {}
        self._waiting: deque[tuple[Request, _Telling, int]] = deque()
        self._ready: deque[tuple[_Telling, Any, BaseException | None]] = deque()
        self._timers: list[tuple[float, int, _Telling]] = []
        self._order = count()
        self._cost_s: dict[Callable[..., Any], float] = {}  # of one item of a `Together`, as it was lately
        self._groups: dict[Callable[..., Any], _Group] = {}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="scs-aside")
        self._aside = 0
        self._came_back: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._bell, self._answer_bell)

    # ------------------------------------------------------------------------------------------------ outside

    @property
    def active(self) -> int:
        """Stories that are not over; children are not counted."""
        return len(self._told)

    @property
    def in_flight(self) -> int:
        """Requests on the wire now."""
        return len(self._in_flight)

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """Call *call* whenever *fd* can be read."""
        self._watched[fd] = call
        self._poll.register(fd, select.EPOLLIN)

    def start(self, story: Story[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Begin a story; *done* gets its value, or the exception that ended it."""
        telling = _Telling(story, done)
        self._told.add(telling)
        self._ready.append((telling, None, None))

    def turn(self, longest_s: float) -> None:
        """Let everything that can go on go on, then wait for the next event, *longest_s* at most."""
        self._go_on()
        if not self._ready:
            self._wait(longest_s)
        self._collect()
        self._go_on()

    def cancel(self) -> None:
        """End all stories where they stand; their `done` is not called. What is aside ends unheard."""
        for telling in list(self._told):
            self._drop(telling)
        self._told.clear()
        for waiting in (self._waiting, self._ready, self._timers, self._groups):
            waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End all stories and let go of all connections; again is nothing."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        self._transfers.close()
        self._multi.close()
        self._poll.close()
        os.close(self._bell)

    # ---------------------------------------------------------------------------------------------- telling

    def _go_on(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            self._ready.append((heapq.heappop(self._timers)[2], None, None))
        ready = self._ready
        while ready:
            telling, value, error = ready.popleft()
            if not telling.over:
                self._tell(telling, value, error)
        self._launch()
        for function, group in list(self._groups.items()):
            # Nothing else can join soon when nothing is on the wire or aside: waiting would only be waiting.
            if group.items >= GROUP_MAX or group.due <= now or not (self._in_flight or self._aside):
                del self._groups[function]
                self._gather(function, group)

    def _tell(self, telling: _Telling, value: Any, error: BaseException | None) -> None:
        try:
            command = telling.story.send(value) if error is None else telling.story.throw(error)
        except StopIteration as end:
            self._end(telling, end.value, None)
        except Exception as failure:  # noqa: BLE001 - whatever ends a story belongs to whoever started it
            self._end(telling, None, failure)
        else:
            try:
                self._obey(command, telling)
            except Exception as failure:  # noqa: BLE001 - a command that cannot be obeyed is the story's own mistake
                self._ready.append((telling, None, failure))

    def _end(self, telling: _Telling, value: Any, error: BaseException | None) -> None:
        telling.over = True
        self._told.discard(telling)
        telling.done(value, error)

    def _obey(self, command: Command, telling: _Telling) -> None:
        if isinstance(command, Request):
            self._waiting.append((command, telling, _SINGLE))
        elif isinstance(command, (Requests, Together)) and not command[-1]:
            self._ready.append((telling, [], None))  # of nothing
        elif isinstance(command, Requests):
            telling.unanswered = len(command.requests)
            telling.answers = [None] * telling.unanswered
            self._waiting.extend((request, telling, number) for number, request in enumerate(command.requests))
        elif isinstance(command, Together):
            self._join(command, telling)
        elif isinstance(command, Aside):
            self._send_aside(lambda: [command.function(*command.arguments)], 1, partial(self._one_back, telling))
        elif isinstance(command, Pause):
            heapq.heappush(self._timers, (self._clock() + command.seconds, next(self._order), telling))
        else:
            telling.siblings = _Siblings(telling, command)
            self._next_siblings(telling.siblings)

    def _join(self, command: Together, telling: _Telling) -> None:
        group = self._groups.get(command.function)
        if group is None:
            # What takes no time gains nothing by being shared: whoever waited for others would only wait.
            wait_s = 0.0 if self._is_quick(command.function) else GROUP_WAIT_S
            group = self._groups[command.function] = _Group(self._clock() + wait_s)
        group.items += len(command.items)
        group.members.append((command.items, telling))

    # --------------------------------------------------------------------------------------------- children

    def _next_siblings(self, family: _Siblings) -> None:
        while len(family.open) < family.at_once():
            try:
                nxt = next(family.left, None)
            except Exception as failure:  # noqa: BLE001 - what gives the stories failed: it is the parent's
                self._end_family(family, failure)
                return
            if nxt is None:
                break
            number, story = nxt
            child = _Telling(story, partial(self._child_over, family, number))
            family.open[number] = child
            self._ready.append((child, None, None))
        if not family.open:
            family.parent.siblings = None
            self._ready.append((family.parent, [family.values[n] for n in sorted(family.values)], None))

    def _child_over(self, family: _Siblings, number: int, value: Any, error: BaseException | None) -> None:
        del family.open[number]
        if error is None:
            family.values[number] = value
            self._next_siblings(family)
        else:
            self._end_family(family, error)

    def _end_family(self, family: _Siblings, error: BaseException) -> None:
        for child in family.open.values():
            self._drop(child)
        family.open.clear()
        family.parent.siblings = None
        self._ready.append((family.parent, None, error))

    def _drop(self, telling: _Telling) -> None:
        """End a story where it stands, with all that it waits for."""
        if telling.over:
            return
        telling.over = True
        for transfer in [transfer for transfer, whose, _ in self._in_flight.values() if whose is telling]:
            self._end_transfer(transfer)
        if telling.siblings is not None:
            for child in telling.siblings.open.values():
                self._drop(child)
        with contextlib.suppress(Exception):  # the others must be ended too
            telling.story.close()

    # ---------------------------------------------------------------------------------------------- threads

    def _gather(self, function: Callable[..., Any], group: _Group) -> None:
        there = deque(member for member in group.members if not member[1].over)
        while there:
            items: list[Any] = []
            shares: list[tuple[_Telling, int]] = []
            while there and len(items) < GROUP_MAX:
                own, telling = there.popleft()
                items += own
                shares.append((telling, len(own)))
            work = partial(self._watched_call, function, items)
            if self._is_quick(function):
                self._group_back(shares, _outcomes(work, len(items)))
            else:
                self._send_aside(work, len(items), partial(self._group_back, shares))

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

    def _send_aside(self, work: Callable[[], Sequence[Any]], count: int, back: Callable[[list[Any]], None]) -> None:
        self._aside += 1

        def run() -> None:
            self._came_back.put(partial(back, _outcomes(work, count)))
            with contextlib.suppress(OSError):  # the pump was closed meanwhile
                os.eventfd_write(self._bell, 1)

        self._threads.submit(run)

    def _one_back(self, telling: _Telling, values: list[Any]) -> None:
        (value,) = values
        failed = isinstance(value, BaseException)
        self._ready.append((telling, None, value) if failed else (telling, value, None))

    def _group_back(self, shares: list[tuple[_Telling, int]], values: list[Any]) -> None:
        """Give each story the values of its own items."""
        begin = 0
        for telling, length in shares:
            self._ready.append((telling, values[begin : begin + length], None))
            begin += length

    def _answer_bell(self) -> None:
        os.eventfd_read(self._bell)
        while not self._came_back.empty():
            self._aside -= 1
            self._came_back.get()()

    # -------------------------------------------------------------------------------------------------- curl

    def _launch(self) -> None:
        while self._waiting and len(self._in_flight) < self.lanes.limit:
            request, telling, number = self._waiting.popleft()
            if telling.over:
                continue
            expected = min(self.lanes.limit, len(self._in_flight) + len(self._waiting) + 1)
            try:
                transfer = self._transfers.begin(request, self.lanes.share(expected))
            except Exception as failure:  # noqa: BLE001 - this request cannot be made; others can
                self._answered(telling, number, None, failure)
                continue
            self._in_flight[transfer.curl] = (transfer, telling, number)
            self._multi.add_handle(transfer.curl)

    def _answered(self, telling: _Telling, number: int, answer: Response | None, failure: BaseException | None) -> None:
        if number == _SINGLE:
            self._ready.append((telling, answer, failure))
            return
        telling.answers[number] = answer if failure is None else failure
        telling.unanswered -= 1
        if not telling.unanswered:
            answers, telling.answers = telling.answers, []
            self._ready.append((telling, answers, None))

    def _end_transfer(self, transfer: Transfer) -> None:
        del self._in_flight[transfer.curl]
        self._multi.remove_handle(transfer.curl)
        self.bytes_in += transfer.bytes_in
        self.bytes_out += transfer.bytes_out
        self._transfers.give_back(transfer)

    def _collect(self) -> None:
        while True:
            left, good, bad = self._multi.info_read()
            for curl, code, text in [(c, 0, "") for c in good] + bad:
                transfer, telling, number = self._in_flight[curl]
                answer = transfer.answer(code, text)
                self._end_transfer(transfer)
                self.lanes.learn(answer if transfer.failure is None else None)
                self._answered(telling, number, answer, transfer.failure)
            if not left:
                return

    def _connected(self, fd: int) -> None:
        """A new connection: what was known of an older one with this number is void, the kernel has forgotten it."""
        self._polled.pop(fd, None)
        self._resting.discard(fd)

    def _socket(self, event: int, fd: int, _multi: object, _data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            self._resting.add(fd)  # stays with epoll: the next request is most often on its way
            return
        self._resting.discard(fd)
        wanted = _READ_OR_WRITE[event]
        known = self._polled.get(fd)
        if known == wanted:
            return
        self._polled[fd] = wanted
        if known is None:
            self._poll.register(fd, wanted)
        else:
            self._poll.modify(fd, wanted)

    def _forget(self, fd: int) -> None:
        """A connection that nobody uses has something to say: most often its end."""
        self._connected(fd)
        with contextlib.suppress(OSError):  # closed already
            self._poll.unregister(fd)

    def _timer(self, milliseconds: int) -> None:
        self._curl_due = None if milliseconds < 0 else self._clock() + milliseconds / 1000

    def _wait(self, longest_s: float) -> None:
        now = self._clock()
        due = [now + longest_s]
        if self._curl_due is not None:
            due.append(self._curl_due)
        if self._timers:
            due.append(self._timers[0][0])
        due.extend(group.due for group in self._groups.values())
        for fd, mask in self._poll.poll(max(0.0, min(due) - now)):
            call = self._watched.get(fd)
            if call is not None:
                call()
                continue
            if fd in self._resting:
                self._forget(fd)
                continue
            bits = pycurl.CSELECT_IN if mask & select.EPOLLIN else 0
            bits |= pycurl.CSELECT_OUT if mask & select.EPOLLOUT else 0
            bits |= pycurl.CSELECT_ERR if mask & (select.EPOLLERR | select.EPOLLHUP) else 0
            self._multi.socket_action(fd, bits)
        if self._curl_due is not None and self._curl_due <= self._clock():
            self._curl_due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)


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
