"""Workers as processes of this machine, each with a pipe.

Workers ignore Ctrl-C: the parent tells them what to do. They die with their parent (PR_SET_PDEATHSIG, and the end of
the pipe), so that a second run never meets a worker of the first.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.errors import ScsError
from sync_cloud_storage.executors import Lost
from sync_cloud_storage.model import Stopped
from sync_cloud_storage.worker import Report, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.worker import Message, Setup

_PR_SET_PDEATHSIG = 1  # Source: prctl(2)
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_S = 5.0


class Processes:
    """An executor of *workers* processes. They come to life at once and wait for `begin`.

    Made before anything else is opened, they are forks: nothing is imported again, and what is in memory is shared. In
    a process that has threads already a fork would copy their locks, so there they start from nothing.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        is_fork = threading.active_count() == 1
        context: Any = multiprocessing.get_context("fork" if is_fork else "spawn")
        self._pipes: dict[Connection, int] = {}
        self._children = []
        if not is_fork:
            resource_tracker.ensure_running()  # it would unblock the signals
        # A child takes a while until it ignores Ctrl-C; what is blocked here is blocked there from the start.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
        try:
            for number in range(workers):
                ours, theirs = context.Pipe()
                not_theirs = (*self._pipes, ours) if is_fork else ()  # a copy in a child would hide that we are gone
                child = context.Process(
                    target=work, args=(theirs, os.getpid(), not_theirs), name=f"scs-worker-{number}", daemon=True
                )
                child.start()
                theirs.close()
                self._pipes[ours] = number
                self._children.append(child)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._by_number = {number: pipe for pipe, number in self._pipes.items()}

    def begin(self, setup: Setup) -> None:
        """Tell all workers what to build."""
        for pipe in self._by_number.values():
            with contextlib.suppress(OSError):
                pipe.send(setup)

    def send(self, worker: int, message: Message) -> None:
        """Give *message* to a worker; the pump empties its pipe at every turn, so this hardly ever waits."""
        try:
            self._by_number[worker].send(message)
        except OSError:
            return  # its end is reported by receive()

    def receive(self, longest_s: float) -> Sequence[tuple[int, Report | Lost]]:
        """What the workers had to say."""
        said: list[tuple[int, Report | Lost]] = []
        for pipe in wait(list(self._pipes), longest_s):
            if not isinstance(pipe, Connection):  # wait() gives back what it was given
                continue
            number = self._pipes[pipe]
            try:
                said.append((number, pipe.recv()))
            except (EOFError, OSError):
                child = self._children[number]
                child.join(END_S)
                del self._pipes[pipe]
                said.append((number, Lost(f"worker {number} ended with code {child.exitcode}")))
        return said

    def close(self) -> None:
        """End all workers."""
        for pipe in self._by_number.values():
            pipe.close()
        for child in self._children:
            child.join(END_S)
            if child.is_alive():
                child.kill()
                child.join()


def work(pipe: Connection, parent: int, not_ours: Sequence[Connection]) -> None:
    """The life of a worker process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask to die with it
        return
    for number in _FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    for other in not_ours:
        other.close()
    gc.freeze()  # what is there now stays; looking through it again and again would also unshare its memory
    try:
        setup: Setup = pipe.recv()
    except (EOFError, OSError):
        os._exit(0)  # nothing was to be done
    # A pipe that is full must not stop the network: a thread of its own waits for it.
    outbox: SimpleQueue[Report | None] = SimpleQueue()
    sender = threading.Thread(target=_send_all, args=(pipe, outbox), daemon=True)
    sender.start()
    try:
        worker = Worker(setup, outbox.put)
    except ScsError as error:
        outbox.put(Report((Stopped(error.code, error.sentence, error.hint),), (), 0, 0, 0, drained=True))
        outbox.put(None)
        sender.join()
        _wait_for_end(pipe)
        return
    ended = threading.Event()

    def hear() -> None:
        try:
            while pipe.poll():
                worker.take(pipe.recv())
        except (EOFError, OSError):
            ended.set()

    worker.pump.watch(pipe.fileno(), hear)
    while not ended.is_set():
        worker.turn(0.5)
    os._exit(0)  # the parent wants no more of us; threads may be in the middle of slow disk work


def _send_all(pipe: Connection, outbox: SimpleQueue[Report | None]) -> None:
    while (report := outbox.get()) is not None:
        try:
            pipe.send(report)
        except OSError:
            return  # the parent is gone


def _wait_for_end(pipe: Connection) -> None:
    try:
        while True:
            pipe.recv()
    except (EOFError, OSError):
        return
