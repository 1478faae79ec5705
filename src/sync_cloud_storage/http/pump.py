"""The pump: drives many stories in one thread, their requests over libcurl's multi interface.

Sockets are watched with epoll (libcurl's own `select` cannot see descriptors above 1,023). One pump lives in each
worker; it knows nothing of blobs. Not thread-safe: only `Aside` and `Together` leave its thread (`aside.py`), and they
come back to it.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import time
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pycurl

from sync_cloud_storage.http.aside import Workshop
from sync_cloud_storage.http.messages import Aside, Pause, Request, Requests, Together
from sync_cloud_storage.http.transfer import Transfer, Transfers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.lanes import Lanes
    from sync_cloud_storage.http.messages import Command, Each, Response, Story

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
        self._workshop: Workshop[_Telling] = Workshop(threads, clock, self._ready.extend)
        self.watch(self._workshop.bell, self._workshop.answer_bell)

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
        for waiting in (self._waiting, self._ready, self._timers):
            waiting.clear()
        self._workshop.cancel()

    def close(self) -> None:
        """End all stories and let go of all connections; again is nothing."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        self._transfers.close()
        self._multi.close()
        self._poll.close()
        self._workshop.close()

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
        self._workshop.begin(now, more_may_come=bool(self._in_flight))

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
            self._workshop.join(command, telling)
        elif isinstance(command, Aside):
            self._workshop.send(command, telling)
        elif isinstance(command, Pause):
            heapq.heappush(self._timers, (self._clock() + command.seconds, next(self._order), telling))
        else:
            telling.siblings = _Siblings(telling, command)
            self._next_siblings(telling.siblings)

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
        due += self._workshop.due()
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
