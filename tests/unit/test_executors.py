"""What both executors promise: messages go down, reports come back, and a worker that ends is noticed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.executors import Lost
from sync_cloud_storage.executors.here import Here
from sync_cloud_storage.executors.processes import Processes
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.model import ListContainers, Stopped
from sync_cloud_storage.names import Placement
from sync_cloud_storage.worker import Batch, Drain, Report, Setup
from tests.unit.doors import azure_access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sync_cloud_storage.executors import Executor
    from tests.servers.strict import StrictCloud


def setup(strict: StrictCloud, **more: Any) -> Setup:
    """A worker that can only list."""
    return Setup(Placement(), azure_access(strict), Line())._replace(**more)


def processes(what: Setup, workers: int) -> Processes:
    """Start so many workers and tell them what to build."""
    made = Processes(workers)
    made.begin(what)
    return made


@pytest.fixture(params=["here", "processes"])
def executor(request: pytest.FixtureRequest, strict: StrictCloud) -> Iterator[Executor]:
    """Make each kind, one after the other."""
    strict.azure.make_container("c")
    made: Executor = Here(setup(strict)) if request.param == "here" else processes(setup(strict), 2)
    yield made
    made.close()


def heard(executor: Executor, enough: Callable[[list[tuple[int, Any]]], bool]) -> list[tuple[int, Any]]:
    """Listen until it is enough."""
    said: list[tuple[int, Any]] = []
    end = time.monotonic() + 30
    while not enough(said):
        assert time.monotonic() < end, "it did not come to pass"
        said += executor.receive(0.1)
    return said


def workers() -> list[int]:
    """The processes that executors have started and not ended."""
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def anything(so_far: list[tuple[int, Any]]) -> bool:
    """Whatever it is."""
    return bool(so_far)


def test_work_is_done_and_drained(executor: Executor) -> None:
    """Every worker does what it is given, says under which ticket, and is drained when it is told to."""
    for worker in range(executor.workers):
        executor.send(worker, Batch(((7 + worker, ListContainers()),)))
    said = heard(executor, lambda so_far: sum(len(report.over) for _, report in so_far) == executor.workers)
    assert {(worker, ticket) for worker, report in said for ticket in report.over} == {
        (worker, 7 + worker) for worker in range(executor.workers)
    }
    assert [one.name for _, report in said for result in report.results for one in result.containers] == (
        ["c"] * executor.workers
    )
    for worker in range(executor.workers):
        executor.send(worker, Drain())
    heard(executor, lambda so_far: sum(report.drained for _, report in so_far) == executor.workers)
    assert list(executor.receive(0.05)) == []


def test_killed_worker_is_lost_and_the_others_work(strict: StrictCloud) -> None:
    """A worker that is killed is told as lost, once; messages to it are dropped, the other one goes on (D19)."""
    strict.azure.make_container("c")
    executor = processes(setup(strict), 2)
    try:
        for worker in range(2):
            executor.send(worker, Batch(((worker, ListContainers()),)))
        heard(executor, lambda so_far: sum(len(report.over) for _, report in so_far) == 2)
        own = sorted(workers())
        os.kill(own[0], signal.SIGKILL)
        said = heard(executor, lambda so_far: any(isinstance(one, Lost) for _, one in so_far))
        ((lost, end),) = [(worker, one) for worker, one in said if isinstance(one, Lost)]
        assert "-9" in end.reason
        executor.send(lost, Batch(((9, ListContainers()),)))
        executor.send(1 - lost, Batch(((8, ListContainers()),)))
        said = heard(executor, lambda so_far: any(one.over for _, one in so_far))
        assert [(worker, one.over) for worker, one in said if one.over] == [(1 - lost, (8,))]
        assert workers() == own[1:]
    finally:
        executor.close()
    assert not [pid for pid in own if Path(f"/proc/{pid}").exists()]


def test_interrupt_is_the_parents_business(strict: StrictCloud) -> None:
    """Ctrl-C, which every process of the terminal gets, does not end a worker: the parent tells it what to do (D02)."""
    strict.azure.make_container("c")
    executor = processes(setup(strict), 1)
    try:
        (pid,) = workers()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)  # also in its first moments
        executor.send(0, Batch(((1, ListContainers()),)))
        said = heard(executor, anything)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        executor.send(0, Batch(((2, ListContainers()),)))
        said += heard(executor, anything)
        assert [report.over for _, report in said] == [(1,), (2,)]
    finally:
        executor.close()


def test_worker_that_cannot_begin(strict: StrictCloud, tmp_path: Path) -> None:
    """A worker whose NAS is not there says why, and is drained: no traceback, no waiting (C08)."""
    executor = processes(setup(strict, nas_root=tmp_path, nas_id="id"), 1)
    try:
        ((_, report),) = heard(executor, anything)
    finally:
        executor.close()
    assert isinstance(report, Report)
    (stopped,) = report.results
    assert isinstance(stopped, Stopped)
    assert (stopped.code.startswith("NAS-"), report.drained) == (True, True)


def test_close_ends_everything(strict: StrictCloud) -> None:
    """After `close` no worker is left, also when none was ever heard."""
    executor = processes(setup(strict), 2)
    own = workers()
    assert len(own) == 2
    executor.close()
    assert not [pid for pid in own if Path(f"/proc/{pid}").exists()]
