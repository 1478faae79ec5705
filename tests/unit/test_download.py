"""What a download promises: the very bytes of one version, whole and durable at their place, or nothing there."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.arriving import RANGES_AT_ONCE, Breadth
from sync_cloud_storage.download import SMALL_BYTES, Downloader
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Pause
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.model import Download, Downloaded, Failed, Gone, Leg, Seen
from sync_cloud_storage.nas import Nas, Partial, Temp
from tests.servers.strict import (
    BUSY,
    LOGIN_PAGE,
    Answer,
    Call,
    Cut,
    Fault,
    Flip,
    Headers,
    IgnoreConditions,
    IgnoreRange,
    OtherRange,
    Pad,
    Remove,
    Reset,
    Rewrite,
    Shorten,
)
from tests.unit.doors import AZURES, MIB, NOW, azure_door, crc, download_of, md5, now
from tests.unit.small_nas import files, leftovers, put
from tests.unit.telling import Ended, Time, new_pump, pumped, turn_until

if TYPE_CHECKING:
    from sync_cloud_storage.http.messages import Story
    from tests.servers.strict import Blob, StrictCloud

SMALL = random.Random(1).randbytes(1000)
MIDDLE = random.Random(2).randbytes(SMALL_BYTES + 1)
LARGE = random.Random(3).randbytes(2 * MIB + 300_000)  # three ranges
WAYS = pytest.mark.parametrize("data", [SMALL, MIDDLE, LARGE], ids=["small", "streamed", "in ranges"])
ONE_RANGE = Breadth(1, clock=lambda: 0.0, worked=time.monotonic)  # the thread is always busy
MOST_RANGES = Breadth(RANGES_AT_ONCE, clock=time.monotonic, worked=lambda: 0.0)


def downloader(strict: StrictCloud, nas: Nas, breadth: Breadth | None = None) -> Downloader:
    """Bring blobs in ranges of 1 MiB."""
    return Downloader(azure_door(strict), nas, range_bytes=MIB, now=now, breadth=breadth)


def downloaded(strict: StrictCloud, nas: Nas, pump: Pump, task: Download) -> Downloaded | Seen | Gone | Failed:
    """Tell one download."""
    (result,) = pumped(pump, downloader(strict, nas).download(task))
    assert isinstance(result, (Downloaded, Seen, Gone, Failed))
    return result


def stored(strict: StrictCloud, data: bytes, **more: Any) -> Blob:
    """Put the blob that all tests are about."""
    return strict.azure.put("c", "b", data, **more)


def open_below(root: Path) -> list[str]:
    """Files, not folders, below a folder that this process has open."""
    found: list[str] = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = fd.readlink()
            if target.is_relative_to(root / ".scs" / "tmp") and not target.is_dir():
                found.append(str(target))
    return found


# ------------------------------------------------------------------------------------------------------- all goes well


@pytest.mark.parametrize("with_md5", [True, False], ids=["MD5", "no MD5"])
@pytest.mark.parametrize(
    "size", [0, 1, SMALL_BYTES, SMALL_BYTES + 1, MIB, 2 * MIB, 2 * MIB + 1, 3 * MIB - 1, 3 * MIB, 3 * MIB + 1]
)
def test_bytes_arrive(strict: StrictCloud, nas: Nas, pump: Pump, size: int, with_md5: bool) -> None:  # noqa: FBT001 - a parameter
    """A blob of any size, with or without an MD5, is at its place with its bytes; the evidence says so (B29)."""
    data = random.Random(size).randbytes(size)
    blob = stored(strict, data, md5=None if with_md5 else "")
    result = downloaded(strict, nas, pump, download_of(blob))
    assert result == Downloaded(1, blob.etag, crc(data), md5(data) if with_md5 else "", size, NOW)
    assert files(nas.root) == {"c/b": data}
    assert leftovers(nas.root) == []


def test_large_blob_comes_in_ranges(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Each range of a large blob is asked for once, with the version that is wanted; a small one without a range."""
    blob = stored(strict, LARGE)
    downloaded(strict, nas, pump, download_of(blob))
    asked = strict.asked("GetBlob")
    ends = [MIB, 2 * MIB, len(LARGE)]
    wanted = [f"bytes={begin}-{end - 1}" for begin, end in zip([0, *ends], ends, strict=False)]
    assert sorted(one.headers["x-ms-range"] for one in asked) == sorted(wanted)
    assert {one.headers["if-match"] for one in asked} == {f'"{blob.etag}"'}


def test_many_small_blobs(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Hundreds of small blobs at once: each has its own bytes and its own result."""
    blobs = {n: strict.azure.put("c", f"b{n}", b"data of %d" % n) for n in range(300)}
    bring = downloader(strict, nas)
    results = pumped(pump, *(bring.download(download_of(blob, n, f"b{n}")) for n, blob in blobs.items()))
    assert {result.id: result.crc64nvme for result in results} == {n: crc(blob.data) for n, blob in blobs.items()}
    assert files(nas.root) == {f"c/b{n}": blob.data for n, blob in blobs.items()}


# -------------------------------------------------------------------------------------------------- one wrong answer

PASSING = {
    "cut": Cut(100),
    "cut without length": Cut(100, says_length=False),
    "shorter": Shorten(100),
    "longer": Pad(10),
    "longer without length": Pad(10, says_length=False),
    "range ignored": IgnoreRange(),
    "another range": OtherRange("bytes=0-499"),
    "no content-range": Headers(drop=("Content-Range",)),
    "one bit": Flip(500),
    "reset at once": Reset(0),
    "reset later": Reset(500),
    "login page": LOGIN_PAGE,
    "500": Answer(500, "InternalError"),
    "429 of a gateway": Answer(429),
}


@WAYS
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_one_wrong_answer(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, fault: Any) -> None:
    """Whatever one answer does wrong, the right bytes are there in the end, and only they (B01-B21, I2)."""
    blob = stored(strict, data)
    strict.faults.append(Fault(fault, operation="GetBlob"))
    result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Downloaded)
    assert (result.crc64nvme, files(nas.root), leftovers(nas.root)) == (crc(data), {"c/b": data}, [])


@pytest.mark.parametrize(
    "fault", [PASSING[name] for name in PASSING if name not in {"range ignored", "another range", "no content-range"}]
)
@WAYS
def test_wrong_for_ever(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, fault: Any) -> None:
    """When every answer is wrong nothing is at the final place: the blob fails, or the run stops (I7)."""
    blob = stored(strict, data)
    strict.faults.append(Fault(fault, operation="GetBlob", times=0))
    if fault == Answer(429):
        return  # waited for by the clock: test_azure.py
    try:
        result = downloaded(strict, nas, pump, download_of(blob))
    except EnvironmentFault as error:
        assert error.code == "CAPTIVE-PORTAL"  # noqa: PT017 - or it fails
    else:
        assert isinstance(result, Failed)
        assert (result.id, result.leg, result.etag) == (1, Leg.AZURE, blob.etag)
    assert files(nas.root) == {}


def test_busy_service_is_waited_for(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A 503 with Retry-After is waited for at least as long as it asks (B02)."""
    blob = stored(strict, SMALL)
    strict.faults.append(Fault(BUSY, operation="GetBlob"))
    begun = time.monotonic()
    assert isinstance(downloaded(strict, nas, pump, download_of(blob)), Downloaded)
    assert time.monotonic() - begun >= 1.0


# ------------------------------------------------------------------------------------------------------ other versions


@WAYS
def test_blob_that_changes_is_planned_anew(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A blob that is overwritten before or between its ranges is told as it is now; no versions are mixed (B13)."""
    for faults in ([], [Fault(IgnoreConditions(), operation="GetBlob", times=0)]):
        for nth in range(1, 2 if len(data) <= 2 * MIB else 4):
            blob = stored(strict, data)
            strict.faults[:] = [*faults, Fault(Rewrite("c", "b", "new"), operation="GetBlob", nth=nth)]
            result = downloaded(strict, nas, pump, download_of(blob))
            assert isinstance(result, Seen)
            assert (result.blob.size_bytes, result.blob.etag != blob.etag) == (3, True)
            assert (files(nas.root), leftovers(nas.root)) == ({}, [])


@WAYS
def test_blob_that_is_deleted_is_gone(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A blob that is deleted meanwhile is gone, and nothing is left of it (A14)."""
    blob = stored(strict, data)
    strict.faults.append(Fault(Remove("c", "b"), operation="GetBlob"))
    assert downloaded(strict, nas, pump, download_of(blob)) == Gone(1, NOW, blob.etag)
    assert (files(nas.root), leftovers(nas.root)) == ({}, [])


def test_blob_that_cannot_be_asked_about(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """When it is not clear what became of the blob, it fails: it is not called gone."""
    blob = stored(strict, SMALL)
    strict.faults += [
        Fault(Rewrite("c", "b", "new"), operation="GetBlob"),
        Fault(Answer(500, "InternalError"), operation="HeadBlob", times=0),
    ]
    result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Failed)
    assert (result.code, result.etag) == ("HTTP-500", blob.etag)


# ----------------------------------------------------------------------------------------------------------- wrong MD5


@WAYS
def test_wrong_md5_at_the_source(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """When two downloads give the same bytes, and not those of the stored MD5, it is the source that is wrong (B16)."""
    blob = stored(strict, data, md5="wrong")
    result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Failed)
    assert (result.code, files(nas.root)) == ("AZ-MD5-SOURCE", {})
    ranges = 3 if len(data) > 2 * MIB else 1
    assert len(strict.asked("GetBlob")) == 2 * ranges


@WAYS
def test_other_wrong_bytes_each_time(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """When the line damages every download in another way, the source is not blamed; nothing stays (B15)."""
    blob = stored(strict, data)
    strict.faults += [
        Fault(Flip(offset), operation="GetBlob", nth=1 + 3 * turn if len(data) > 2 * MIB else 1 + turn)
        for turn, offset in enumerate((1, 22, 333))
    ]
    result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Failed)
    assert (result.code, files(nas.root), leftovers(nas.root)) == ("AZ-MD5", {}, [])


# -------------------------------------------------------------------------------------------------------- what is there


@WAYS
def test_right_file_is_adopted(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A file with the very bytes, from a run that was killed, is ours (I8); a larger one is not even fetched."""
    put(nas, "c/b", data)
    result = downloaded(strict, nas, pump, download_of(stored(strict, data)))
    assert isinstance(result, Downloaded)
    assert result.crc64nvme == crc(data)
    assert (result.bytes_moved == 0) is (len(data) > SMALL_BYTES)


@WAYS
def test_right_file_is_adopted_without_an_md5(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Without an MD5 the bytes are fetched and then found to be there already."""
    put(nas, "c/b", data)
    result = downloaded(strict, nas, pump, download_of(stored(strict, data, md5="")))
    assert isinstance(result, Downloaded)
    assert (result.crc64nvme, leftovers(nas.root)) == (crc(data), [])


@WAYS
@pytest.mark.parametrize("same_size", [True, False])
def test_foreign_file_is_not_written_over(
    strict: StrictCloud,
    nas: Nas,
    pump: Pump,
    data: bytes,
    same_size: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Somebody else's file stays as it is, and the blob fails; with leave it is replaced (C16)."""
    theirs = bytes(len(data)) if same_size else b"theirs"
    put(nas, "c/b", theirs)
    blob = stored(strict, data)
    result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Failed)
    assert (result.code, files(nas.root), leftovers(nas.root)) == ("NAS-EXISTS", {"c/b": theirs}, [])
    assert isinstance(downloaded(strict, nas, pump, download_of(blob, may_replace=True)), Downloaded)
    assert files(nas.root) == {"c/b": data}


def test_bad_neighbour_does_not_spoil_the_group(
    strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the way that cannot be read fails its own blob; the others of the group arrive."""
    blobs = {n: strict.azure.put("c", f"b{n}", b"x%d" % n) for n in range(5)}
    put(nas, "c/b2", b"foreign")

    def refused(_: Nas, path: str) -> tuple[int, int]:
        raise BlobFault("NAS-PERM", path)

    monkeypatch.setattr(Nas, "hash_file", refused)
    bring = downloader(strict, nas)
    results = pumped(pump, *(bring.download(download_of(blob, n, f"b{n}")) for n, blob in blobs.items()))
    assert {result.id for result in results if isinstance(result, Downloaded)} == {0, 1, 3, 4}
    assert [(result.id, result.code) for result in results if isinstance(result, Failed)] == [(2, "NAS-PERM")]


# ------------------------------------------------------------------------------------------------------------- the disk


@WAYS
def test_write_that_fails_leaves_nothing(
    strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that cannot be written fails alone, and leaves neither a file nor an open descriptor (C04)."""

    def failing(self: Temp, offset: int, *pieces: bytes) -> None:
        raise BlobFault("NAS-IO", "input/output error")

    monkeypatch.setattr(Temp, "write_at", failing)
    blob = stored(strict, data)
    bring = downloader(strict, nas)
    for row_id in range(1, 8):
        (result,) = pumped(pump, bring.download(download_of(blob, row_id)))
        assert isinstance(result, Failed)
    assert (files(nas.root), leftovers(nas.root), open_below(nas.root)) == ({}, [], [])


@WAYS
def test_flush_that_fails_once(
    strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that could not be made durable is thrown away and fetched anew, never flushed again (C05)."""
    real = os.fsync
    flushed: list[int] = []

    def fsync(fd: int) -> None:
        flushed.append(fd)
        if len(flushed) == 1:
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    result = downloaded(strict, nas, pump, download_of(stored(strict, data)))
    assert isinstance(result, Downloaded)
    assert (files(nas.root), leftovers(nas.root)) == ({"c/b": data}, [])
    assert len(strict.asked("GetBlob")) == (6 if len(data) > 2 * MIB else 2)


@WAYS
def test_full_nas_stops_the_run(
    strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NAS without room is no blob's fault; nothing partial is at a final place (C01)."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(EnvironmentFault) as raised:
        downloaded(strict, nas, pump, download_of(stored(strict, data)))
    assert (raised.value.code, files(nas.root)) == ("NAS-FULL", {})


@WAYS
def test_environment_ends_the_run(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Access that ends in the middle is raised, not marked on the blob (A02)."""
    blob = stored(strict, data)
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", times=0))
    with pytest.raises(EnvironmentFault):
        downloaded(strict, nas, pump, download_of(blob))
    assert files(nas.root) == {}


def test_temporary_file_that_somebody_cuts(strict: StrictCloud, nas: Nas) -> None:
    """A temporary file that is cut under our hands ends the attempt: the download does not wait for its bytes (C18)."""
    blob = stored(strict, LARGE)
    temp = nas.root / ".scs" / "tmp"

    def cut(_: StrictCloud) -> None:
        for file in temp.iterdir():
            if not file.name.endswith(".parts"):
                os.truncate(file, 0)

    strict.faults.append(Fault(Call(cut), operation="GetBlob", nth=3))
    ended = Ended()
    for pump in new_pump(1):
        pump.start(downloader(strict, nas).download(download_of(blob)), ended)
        turn_until(pump, lambda: ended.count == 1, 10)
    assert ended.errors == []


# ------------------------------------------------------------------------------------------------ going on, being ended


def test_finished_ranges_are_kept(strict: StrictCloud, nas: Nas) -> None:
    """A large blob whose download was stopped goes on with the ranges it had: they are not fetched again (I8)."""
    blob = stored(strict, LARGE)
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", nth=3))
    for pump in new_pump(1):
        with pytest.raises(EnvironmentFault):
            downloaded(strict, nas, pump, download_of(blob))
        assert leftovers(nas.root) == ["1", "1.parts"]
        result = downloaded(strict, nas, pump, download_of(blob))
    assert isinstance(result, Downloaded)
    assert (result.bytes_moved, result.crc64nvme, result.md5) == (len(LARGE) - 2 * MIB, crc(LARGE), md5(LARGE))
    assert (files(nas.root), leftovers(nas.root)) == ({"c/b": LARGE}, [])


def test_kept_ranges_are_not_believed_blindly(strict: StrictCloud, nas: Nas) -> None:
    """A kept range that has other bytes by now, or is of another version, is fetched again (C24)."""
    blob = stored(strict, LARGE, md5="")
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", nth=3))
    for pump in new_pump(1):
        with pytest.raises(EnvironmentFault):
            downloaded(strict, nas, pump, download_of(blob))
        with (nas.root / ".scs/tmp/1").open("r+b") as file:
            file.write(b"damage")
        result = downloaded(strict, nas, pump, download_of(blob))
        assert isinstance(result, Downloaded)
        assert result.bytes_moved == len(LARGE) - MIB
        assert files(nas.root) == {"c/b": LARGE}
        strict.faults[:] = [Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", nth=3)]
        with pytest.raises(EnvironmentFault):
            downloaded(strict, nas, pump, download_of(blob, 2, may_replace=True))
        newer = stored(strict, bytes(len(LARGE)), md5="")
        again = downloaded(strict, nas, pump, download_of(newer, 2, may_replace=True))
    assert isinstance(again, Downloaded)
    assert (again.bytes_moved, files(nas.root)) == (len(LARGE), {"c/b": bytes(len(LARGE))})


@WAYS
def test_cancelled_download_lets_go(strict: StrictCloud, nas: Nas, data: bytes) -> None:
    """A run that is stopped in the middle leaves no descriptor, and nothing at the final place (D02, I7)."""
    blob = stored(strict, data)
    hold = threading.Event()
    strict.faults.append(Fault(Call(lambda _: hold.wait(10)), operation="GetBlob", times=0))
    pump = Pump(Lanes(4))
    ended = Ended()
    pump.start(downloader(strict, nas).download(download_of(blob)), ended)
    turn_until(pump, lambda: bool(strict.asked("GetBlob")))
    pump.cancel()
    pump.close()
    hold.set()
    assert (ended.count, files(nas.root)) == (0, {})
    assert open_below(nas.root) == []
    assert leftovers(nas.root) == (["1", "1.parts"] if len(data) > 2 * MIB else [])


def test_cancelled_while_it_waits_for_its_place(strict: StrictCloud, nas: Nas) -> None:
    """A download that is ended while its file waits to be published removes the file."""
    blob = stored(strict, MIDDLE)
    pump = Pump(Lanes(4))
    story = downloader(strict, nas).download(download_of(blob))
    seen: list[str] = []

    def held() -> Story[None]:
        value: Any = None
        while True:
            command = story.send(value)
            seen.append(type(command).__name__)
            if seen[-1] == "Together":
                yield Pause(60)
            value = yield command

    pump.start(held(), Ended())
    turn_until(pump, lambda: "Together" in seen)
    assert leftovers(nas.root) == ["1"]
    story.close()
    pump.close()
    assert leftovers(nas.root) == []


@pytest.mark.parametrize("breadth", [None, MOST_RANGES], ids=["learnt", "most"])
def test_md5_follows_ranges_in_any_order(strict: StrictCloud, nas: Nas, breadth: Breadth | None) -> None:
    """Ranges that arrive out of order still make the right MD5 and CRC of the whole."""
    data = random.Random(9).randbytes(9 * MIB + 17)
    blob = stored(strict, data)
    strict.faults += [
        Fault(Call(lambda _, s=seconds: time.sleep(s)), operation="GetBlob", nth=nth)  # type: ignore[misc]
        for nth, seconds in ((1, 0.2), (3, 0.1), (5, 0.15))
    ]
    for pump in new_pump(8):
        (result,) = pumped(pump, downloader(strict, nas, breadth).download(download_of(blob)))
    assert isinstance(result, Downloaded)
    assert (result.crc64nvme, result.md5) == (crc(data), md5(data))


def test_range_by_range_nothing_is_read_again(
    strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ranges come one by one their MD5 is made of what passes: the NAS is not asked for it."""
    asked: list[int] = []
    real = Partial.read_into

    def counting(self: Partial, room: memoryview, offset: int) -> int:
        asked.append(offset)
        return real(self, room, offset)

    monkeypatch.setattr(Partial, "read_into", counting)
    (result,) = pumped(pump, downloader(strict, nas, ONE_RANGE).download(download_of(stored(strict, LARGE))))
    assert (result.md5, asked) == (md5(LARGE), [])
    blob = strict.azure.put("c", "other", LARGE[::-1])
    strict.faults.append(Fault(Call(lambda _: time.sleep(0.3)), operation="GetBlob", path="other"))
    (result,) = pumped(pump, downloader(strict, nas, MOST_RANGES).download(download_of(blob, 2, "other")))
    assert (result.md5, bool(asked)) == (md5(LARGE[::-1]), True)


@pytest.mark.parametrize("wrong", ["what came first", "what came then"])
def test_range_that_comes_twice_is_hashed_once(strict: StrictCloud, nas: Nas, pump: Pump, wrong: str) -> None:
    """When a range breaks off and comes again, the MD5 is that of the bytes in the file, not of those before (B12)."""
    flipped = 1 if wrong == "what came first" else 2
    strict.faults += [
        Fault(Cut(after=700_000), operation="GetBlob", nth=1),
        Fault(Flip(offset=1000), operation="GetBlob", nth=flipped),
    ]
    blob = stored(strict, LARGE)
    (result,) = pumped(pump, downloader(strict, nas, ONE_RANGE).download(download_of(blob)))
    assert isinstance(result, Downloaded)
    assert (result.md5, result.crc64nvme, files(nas.root)) == (md5(LARGE), crc(LARGE), {"c/b": LARGE})
    # Wrong bytes that were thrown away cost that range; wrong bytes in the file cost the whole.
    assert len(strict.asked("GetBlob")) == (4 if flipped == 1 else 7)


def test_range_that_is_refused_when_it_was_whole(strict: StrictCloud, nas: Nas) -> None:
    """A range whose answer is refused after its last byte is hashed anew, also when the next one came meanwhile."""
    strict.faults += [
        Fault(Headers(drop=("x-ms-request-id",)), operation="GetBlob", nth=1),
        Fault(Flip(offset=1000), operation="GetBlob", nth=1),
    ]
    blob = stored(strict, LARGE)
    for pump in new_pump(1):
        (result,) = pumped(pump, downloader(strict, nas, MOST_RANGES).download(download_of(blob)))
    assert isinstance(result, Downloaded)
    assert (result.md5, files(nas.root), len(strict.asked("GetBlob"))) == (md5(LARGE), {"c/b": LARGE}, 4)


def test_breadth() -> None:
    """Ranges are halved where the network thread is busy, and double while it waits; 8 to 1 of them."""
    clock, worked = Time(), Time()
    breadth = Breadth(clock=clock, worked=worked)
    seen = [breadth()]
    for share in (0.6,) * 4 + (0.4,) * 4:
        since = breadth.moment()
        clock.pass_(10)
        worked.pass_(10 * share)
        breadth.learn(since)
        seen.append(breadth())
    assert seen == [8, 4, 2, 1, 1, 2, 4, 8, 8]


def test_name_that_no_address_can_hold(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A name with half of a character fails its own row."""
    task = Download(1, "c", "a\udcffb", 1, "e", "", "c/b")
    result = downloaded(strict, nas, pump, task)
    assert isinstance(result, Failed)
    assert (result.code, strict.log) == ("AZ-NAME", [])


def test_retry_is_for_the_nas_only(strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that never makes a file durable fails the blob after some downloads, not after endless ones."""

    def publish(self: Nas, group: list[Any]) -> list[ScsError]:
        for publication in group:
            publication.temp.discard()
        return [BlobFault("NAS-FSYNC", "not durable", kind=Kind.RETRY) for _ in group]

    monkeypatch.setattr(Nas, "publish", publish)
    result = downloaded(strict, nas, pump, download_of(stored(strict, SMALL)))
    assert isinstance(result, Failed)
    assert (result.code, len(strict.asked("GetBlob"))) == ("NAS-FSYNC", 3)


def test_slow_disk_does_not_stop_the_network(
    strict: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one file waits for the disk, other blobs are fetched."""
    gate = threading.Event()
    real = Nas.temp

    def slow(self: Nas, row_id: int) -> Temp:
        if row_id == 1:
            gate.wait(10)
        return real(self, row_id)

    monkeypatch.setattr(Nas, "temp", slow)
    slow_one, other = stored(strict, MIDDLE), strict.azure.put("c", "b2", MIDDLE)
    ended = Ended()
    bring = downloader(strict, nas)
    pump.start(bring.download(download_of(slow_one, 1)), ended)
    pump.start(bring.download(download_of(other, 2, "b2")), ended)
    turn_until(pump, lambda: ended.count == 1)
    assert [result.id for result in ended.values] == [2]
    gate.set()
    turn_until(pump, lambda: ended.count == 2)
    assert ended.errors == []
