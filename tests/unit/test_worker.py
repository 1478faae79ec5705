"""What a worker promises: each task ends with its results and its ticket, and a stop is told once and soon."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage import worker as module
from sync_cloud_storage.azure import AzureAccess
from sync_cloud_storage.model import (
    BlobsPage,
    Check,
    Checked,
    ContainersPage,
    Download,
    Downloaded,
    Failed,
    ListBlobs,
    ListContainers,
    Look,
    Seen,
    Stopped,
    Uploaded,
    UploadOpened,
)
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.s3 import S3Access
from sync_cloud_storage.worker import Batch, Drain, Rate, Renew, Worker
from tests.servers.strict import Answer, Fault, Stall
from tests.unit.doors import AZURES, BUCKET, MIB, azure_access, crc, download_of, s3_access, setup, upload_of
from tests.unit.small_nas import files, put
from tests.unit.telling import Told

if TYPE_CHECKING:
    from sync_cloud_storage.model import Task
    from tests.servers.strict import StrictCloud


def test_every_kind_of_task(strict: StrictCloud, nas: Nas) -> None:
    """Each task ends with its result and, not before it, its ticket."""
    blob = strict.azure.put("c", "b", b"bytes")
    put(nas, "c/up", b"file")
    with Told(setup(strict, nas)) as told:
        told.give(
            ListContainers(),
            ListBlobs("c"),
            Look(3, "c", "b"),
            download_of(blob, 4),
            upload_of(b"file", id=5, nas_path="c/up", s3_key="c/up"),
            Check(6, "c", "x", 1, "", "c/nowhere", ""),
        )
        told.turn_until(lambda: len(told.over) == 6)
    assert sorted(told.over) == list(range(100, 106))
    kinds = {ContainersPage, BlobsPage, Seen, Downloaded, Uploaded, Checked}
    assert {type(result) for result in told.results} == kinds
    assert files(nas.root)["c/b"] == b"bytes"
    assert strict.s3.buckets[BUCKET].objects["c/up"].data == b"file"
    assert told.is_in_order


def test_the_last_result_is_told_at_once(strict: StrictCloud, nas: Nas) -> None:
    """A worker with nothing else to do does not keep its last result back until its next long turn is over."""
    blob = strict.azure.put("c", "b", b"bytes")
    with Told(setup(strict, nas)) as told:
        for number in range(1, 4):
            began = time.monotonic()
            told.worker.take(Batch(((number, Look(number, "c", "b")),)))
            while told.over[-1:] != [number]:
                told.worker.turn(5.0)
            assert time.monotonic() - began < 4.0
    assert told.results == [Seen(number, told.results[0].blob) for number in range(1, 4)]
    assert told.results[0].blob.etag == blob.etag


def test_bytes_are_reported_once(strict: StrictCloud, nas: Nas) -> None:
    """What crossed the network is reported in pieces that add up to the whole."""
    blobs = [strict.azure.put("c", f"b{n}", os.urandom(10_000)) for n in range(20)]
    with Told(setup(strict, nas)) as told:
        told.give(*(download_of(blob, n, f"b{n}") for n, blob in enumerate(blobs)))
        told.turn_until(lambda: len(told.over) == 20)
        told.turn_for(0.1)
    assert sum(report.bytes_in for report in told.reports) == 200_000
    assert sum(report.bytes_out for report in told.reports) == 0


def test_open_uploads_are_told(strict: StrictCloud, nas: Nas) -> None:
    """A multipart upload is told as open before it is told as done."""
    data = os.urandom(6 * MIB)
    put(nas, "c/b", data)
    with Told(setup(strict, nas, multipart_from_bytes=6 * MIB, part_bytes=5 * MIB)) as told:
        told.give(upload_of(data))
        told.turn_until(lambda: told.over == [100])
    assert [type(result) for result in told.results] == [UploadOpened, Uploaded]


def test_failed_blob_is_a_result(strict: StrictCloud, nas: Nas) -> None:
    """A blob's own trouble is a result as any other: the worker goes on."""
    blob = strict.azure.put("c", "b", b"x", tier="Archive")
    other = strict.azure.put("c", "b2", b"y")
    with Told(setup(strict, nas)) as told:
        told.give(download_of(blob, 1), download_of(other, 2, "b2"))
        told.turn_until(lambda: len(told.over) == 2)
        assert not told.worker.drained
    assert {type(result) for result in told.results} == {Failed, Downloaded}


def test_look_that_fails_is_a_result(strict: StrictCloud, nas: Nas) -> None:
    """A blob that cannot be asked about is that row's failure, with the version that was known."""
    strict.faults.append(Fault(Answer(409, "Odd", AZURES), operation="HeadBlob", times=0))
    strict.azure.put("c", "b", b"x")
    with Told(setup(strict, nas)) as told:
        told.give(Look(7, "c", "b", "known"))
        told.turn_until(lambda: told.over == [100])
    (failed,) = told.results
    assert isinstance(failed, Failed)
    assert (failed.id, failed.etag) == (7, "known")


# ------------------------------------------------------------------------------------------------------------- stopping


def test_environment_fault_stops_the_worker(strict: StrictCloud, nas: Nas) -> None:
    """A fault of the environment is told as `Stopped` with its words; its task is not over, nothing new begins."""
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", times=0))
    blob = strict.azure.put("c", "b", b"x")
    with Told(setup(strict, nas)) as told:
        told.give(download_of(blob))
        told.turn_until(lambda: told.worker.drained)
        told.give(Look(2, "c", "b"))
        told.turn_for(0.1)
    (stopped,) = told.results
    assert isinstance(stopped, Stopped)
    assert (stopped.code, bool(stopped.hint), told.over) == ("AZ-AUTH", True, [])
    assert strict.asked("HeadBlob") == []


def test_own_mistake_stops_the_worker(strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours ends the run with a sentence that names it; no row is marked failed (D19)."""

    def broken(self: Nas, row_id: int) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(Nas, "temp", broken)
    blob = strict.azure.put("c", "b", bytes(600_000), md5="")
    with Told(setup(strict, nas)) as told:
        told.give(download_of(blob))
        told.turn_until(lambda: told.worker.drained)
    (stopped,) = told.results
    assert isinstance(stopped, Stopped)
    assert stopped.code == "INTERNAL"
    assert "a mistake" in stopped.sentence
    assert "\n" not in stopped.sentence


@pytest.mark.parametrize(
    "task", [Look(1, "c", "b"), ListBlobs("c"), ListContainers(), Download(1, "c", "b", 1, "e", "", "p")]
)
def test_task_without_a_door(strict: StrictCloud, nas: Nas, task: Task) -> None:
    """A task for which the worker was given no door is a mistake that is told, not a worker that dies."""
    with Told(setup(strict, nas, azure=None)) as told:
        told.give(task)
        told.turn_until(lambda: told.worker.drained)
    assert [result.code for result in told.results] == ["INTERNAL"]


def test_drained_is_said_once(strict: StrictCloud, nas: Nas) -> None:
    """A worker that is drained says so once, however often it is told to or turns."""
    with Told(setup(strict, nas)) as told:
        told.worker.take(Drain())
        told.worker.take(Drain())
        told.turn_for(0.2)
        told.worker.take(Drain())
        told.turn_for(0.1)
    assert [report.drained for report in told.reports] == [True]


def test_draining_lets_small_things_finish(strict: StrictCloud, nas: Nas) -> None:
    """What is on the wire may finish; what is only queued is not begun."""
    strict.faults.append(Fault(Stall(-1, 0.3), operation="GetBlob", times=0))
    blobs = [strict.azure.put("c", f"b{n}", b"x") for n in range(50)]
    with Told(setup(strict, nas, lanes=1)) as told:
        told.give(*(download_of(blob, n, f"b{n}") for n, blob in enumerate(blobs)))
        told.turn_until(lambda: bool(strict.asked("GetBlob")))
        told.worker.take(Drain())
        told.turn_until(lambda: told.worker.drained)
    assert 1 <= len(told.results) <= 2
    assert all(isinstance(result, Downloaded) for result in told.results)
    assert len(told.over) == len(told.results)


def test_draining_does_not_wait_for_ever(strict: StrictCloud, nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not finish soon is let go: a slow disk or a silent service does not hold the worker (C12)."""
    monkeypatch.setattr(module, "DRAIN_S", 0.05)
    real = Nas.temp
    gate = threading.Event()

    def slow(self: Nas, row_id: int) -> Any:
        gate.wait(5)
        return real(self, row_id)

    monkeypatch.setattr(Nas, "temp", slow)
    strict.faults.append(Fault(Stall(-1, 30.0), path="/silent"))
    aside, silent = strict.azure.put("c", "b", bytes(600_000), md5=""), strict.azure.put("c", "silent", b"x")
    with Told(setup(strict, nas)) as told:
        told.give(download_of(aside, 1), download_of(silent, 2, "silent"))
        told.turn_until(lambda: bool(strict.asked("GetBlob", "/silent")))
        begun = time.monotonic()
        told.worker.take(Drain())
        told.turn_until(lambda: told.worker.drained)
        assert time.monotonic() - begun < 5
        gate.set()
        told.turn_for(0.2)
    assert [report.drained for report in told.reports] == [True]
    assert (told.results, told.over) == ([], [])


# ------------------------------------------------------------------------------------------------------------- messages


def test_renewed_access_is_used(strict: StrictCloud, nas: Nas) -> None:
    """Fresh access is used for all requests from then on; what is not renewed stays as it is."""
    blob = strict.azure.put("c", "b", b"x")
    stale = AzureAccess(strict.azure_at.url, sas="sp=rl&sig=stale")
    with Told(setup(strict, nas, azure=stale)) as told:
        told.worker.take(Renew(azure_access(strict), None))
        told.give(download_of(blob), upload_of(b"", nas_path="c/none"))
        told.turn_until(lambda: len(told.over) == 2)
    assert Downloaded in {type(result) for result in told.results}
    with Told(setup(strict, nas, s3=S3Access("AKIAWRONG", "wrong"))) as told:
        told.worker.take(Renew(None, s3_access(strict)))
        told.give(upload_of(b"x"), Look(3, "c", "b"))
        told.turn_until(lambda: len(told.over) == 2)
    assert {type(result) for result in told.results} == {Uploaded, Seen}


def test_rate_is_obeyed(strict: StrictCloud, nas: Nas) -> None:
    """From the message on, downloads are no faster than the rate."""
    data = os.urandom(300_000)
    blob = strict.azure.put("c", "b", data)
    with Told(setup(strict, nas)) as told:
        told.worker.take(Rate(400_000))
        begun = time.monotonic()
        told.give(download_of(blob))
        told.turn_until(lambda: told.over == [100])
        assert time.monotonic() - begun > 0.35
    (result,) = told.results
    assert result.crc64nvme == crc(data)


def test_nas_that_is_another_one(strict: StrictCloud, nas: Nas) -> None:
    """A worker does not begin on a NAS that is not the one of the catalog (C10)."""
    from sync_cloud_storage.errors import EnvironmentFault

    with pytest.raises(EnvironmentFault):
        Worker(setup(strict, nas, nas_id="another"), print)
