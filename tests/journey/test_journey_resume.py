"""Large blobs: ranges and parts side by side, and a stopped command that goes on where it was, inside of them."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.journey.desk import until
from tests.servers.strict import Call, Drip, Fault, Rewrite, Seeded

if TYPE_CHECKING:
    from tests.journey.desk import Desk
    from tests.servers.strict import Logged, StrictCloud

MIB = 1 << 20
SIZE = 24 * MIB + 12_345
STEPS = '[transfer]\nrange_size = "1M"\nmultipart_from = "5M"\npart_size = "5M"\n'


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """Small steps, and one worker."""
    desk.env["SCS_WORKERS"] = "1"
    desk.settings(STEPS)


def span(asked: Logged) -> tuple[int, int]:
    """The bytes that a GET asked for: first, and one behind the last."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers["x-ms-range"])
    assert found
    return int(found[1]), int(found[2]) + 1


def whole_ranges(lines: list[Logged]) -> set[tuple[int, int]]:
    """The ranges that were sent to their end."""
    return {span(line) for line in lines if line.sent == span(line)[1] - span(line)[0]}


def parts_of(lines: list[Logged]) -> list[int]:
    """The numbers of parts that were taken, in order."""
    return sorted(int(line.query.split("partNumber=")[1].split("&")[0]) for line in lines if line.status == 200)


def test_scs_run_of_a_large_blob(desk: Desk, strict: StrictCloud) -> None:
    """It comes in ranges, each tied to one version, and goes up in parts, several of both at the same time."""
    blob = strict.azure.put("films", "reel", Seeded(1, SIZE))
    together = threading.Barrier(4)
    for operation in ("GetBlob", "UploadPart"):
        strict.faults.append(Fault(Call(lambda _: together.wait(30)), operation=operation, times=4))
    desk.scs("init")
    desk.scs("run")  # each barrier opens only when four are on their way at once
    asked = strict.asked("GetBlob")
    assert {line.headers["if-match"] for line in asked} == {f'"{blob.etag}"'}
    assert sorted(map(span, asked)) == [(at, min(at + MIB, SIZE)) for at in range(0, SIZE, MIB)]
    assert {line.status for line in asked} == {206}
    assert parts_of(strict.asked("UploadPart")) == [1, 2, 3, 4, 5]
    stored = strict.s3.buckets["target"].objects["films/reel"]
    assert stored.data == blob.data == desk.files()["films/reel"]
    assert stored.checksum[0::2] == ("crc64nvme", "FULL_OBJECT")
    assert desk.select("SELECT crc64nvme, s3_checksum FROM sync") == [(stored.crc64nvme, stored.crc64nvme)]


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 137)])
def test_scs_download_stopped_within_a_blob(how: signal.Signals, code: int, desk: Desk, strict: StrictCloud) -> None:
    """The next download fetches the ranges that are missing and no other, however the first one ended."""
    blob = strict.azure.put("films", "reel", Seeded(2, SIZE), md5="right")
    desk.scs("init")
    desk.scs("sync")
    strict.faults.append(Fault(Drip(150_000), operation="GetBlob", nth=9, times=0))  # longer than a stop waits
    with desk.start("download") as going:
        going.until(lambda: len(whole_ranges(strict.asked("GetBlob"))) >= 8)
        going.interrupt(how)
        assert going.end(timeout_s=15).code == code
    assert desk.states() == {"films/reel": "pending"}
    assert desk.files() == {}
    first = strict.asked("GetBlob")
    had = whole_ranges(first)
    strict.faults.clear()
    desk.scs("download")
    again = strict.asked("GetBlob")[len(first) :]
    fetched = {span(line) for line in again}
    # One that came in the very moment of the kill may not have been written down.
    slack = 8 if how is signal.SIGKILL else 0
    assert len(fetched & had) <= slack
    assert sum(line.sent for line in again) <= SIZE - sum(end - begin for begin, end in had) + slack * MIB
    assert len(fetched | had) == len({begin // MIB for begin, _ in fetched | had}) == SIZE // MIB + 1
    assert desk.files() == {"films/reel": blob.data}
    assert desk.leftovers() == []


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 137)])
def test_scs_upload_stopped_within_a_file(how: signal.Signals, code: int, desk: Desk, strict: StrictCloud) -> None:
    """The next upload goes on with the same multipart upload and sends only the parts that S3 does not have."""
    blob = strict.azure.put("films", "reel", Seeded(3, SIZE))
    desk.scs("init")
    desk.scs("sync")
    desk.scs("download")
    gate = threading.Event()
    strict.faults.append(Fault(Call(lambda _: gate.wait(30)), operation="UploadPart", nth=3, times=0))
    with desk.start("upload") as going:
        going.until(lambda: len(parts_of(strict.asked("UploadPart"))) == 2 and len(strict.asked("UploadPart")) >= 4)
        # With the first result the id of the upload is committed; a kill before that is what torture.py is for.
        going.until(lambda: desk.select("SELECT s3_upload_id FROM sync WHERE s3_upload_id LIKE 'upload-%'"))
        going.interrupt(how)
        assert going.end(timeout_s=15).code == code
    gate.set()
    until(lambda: all(line.status or line.received for line in strict.asked("UploadPart")))
    (upload,) = strict.s3.buckets["target"].uploads.values()
    had = sorted(upload.parts)
    first = len(strict.asked("UploadPart"))
    strict.faults.clear()
    desk.scs("upload")
    again = parts_of(strict.asked("UploadPart")[first:])
    assert again == [number for number in range(1, 6) if number not in had]
    assert len(strict.asked("CreateMultipartUpload")) == 1
    assert strict.s3.buckets["target"].objects["films/reel"].data == blob.data
    assert strict.s3.buckets["target"].uploads == {}


def test_scs_run_of_a_blob_that_changes_between_its_ranges(desk: Desk, strict: StrictCloud) -> None:
    """Ranges of two versions never end in one file: the old ones are thrown away, the new version comes whole."""
    strict.azure.put("films", "reel", b"old" * (4 * MIB))
    new = "new" * (3 * MIB)
    strict.faults.append(Fault(Rewrite("films", "reel", new), operation="GetBlob", nth=5))
    desk.scs("init")
    desk.scs("run")
    assert desk.files() == {"films/reel": new.encode()}
    assert strict.s3.buckets["target"].objects["films/reel"].data == new.encode()
    assert desk.leftovers() == []
    assert 412 in {line.status for line in strict.asked("GetBlob")}


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 137)])
def test_scs_sync_stopped_within_a_container_in_parts(
    how: signal.Signals, code: int, desk: Desk, strict: StrictCloud
) -> None:
    """A large container goes on where each of its parts was: no name is lost or told gone, few are asked for twice."""
    strict.azure.page = 40
    names = {f"{folder:02}/{number:03}" for folder in range(20) for number in range(100)} | {"at the top"}
    for name in names:
        strict.azure.put("films", name, b"")
    pages = 20 * 3
    desk.scs("init")
    hold = threading.Event()
    strict.faults.append(Fault(Call(lambda _: hold.wait(30)), operation="ListBlobs", nth=30, times=0))
    listed = "SELECT count(*) FROM sync"
    with desk.start("sync") as going:
        going.until(lambda: desk.select(listed)[0][0] >= 500)
        going.interrupt(how)
        assert going.end(timeout_s=15).code == code
    hold.set()
    strict.faults.clear()
    had, asked = desk.select(listed)[0][0], len(strict.asked("ListBlobs"))
    assert desk.select("SELECT status FROM containers") == [(0,)]
    assert any("prefix=" in line.query for line in strict.asked("ListBlobs")), "it was not listed in parts"
    desk.scs("sync")
    assert desk.states() == {f"films/{name}": "pending" for name in names}
    assert desk.select("SELECT status FROM containers") == [(200,)]
    assert len(strict.asked("ListBlobs")) - asked <= pages - had // 40 + 4  # what was on its way comes again
    desk.scs("sync", "--all")
    assert desk.select("SELECT count(*), count(gone_at_utc) FROM sync") == [(len(names), 0)]
