"""What asking first promises: an object that is what would be sent is adopted unsent, and any other one is not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.adopting import Adopter
from sync_cloud_storage.company import Alone
from sync_cloud_storage.model import Failed, Upload, Uploaded
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.upload import SMALL_BYTES, Uploader
from tests.servers.strict import Answer, Drop, Fault, Headers
from tests.unit.doors import BUCKET, MIB, NOW, crc, now, s3_door, upload_of
from tests.unit.small_nas import ID, in_memory, put, ready
from tests.unit.telling import new_pump, pumped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import StrictCloud

SMALL = random.Random(1).randbytes(1000)
MIDDLE = random.Random(2).randbytes(SMALL_BYTES + 1000)
LARGE = random.Random(3).randbytes(6 * MIB)
SIZES = pytest.mark.parametrize("data", [b"", SMALL, MIDDLE, LARGE], ids=["empty", "small", "middle", "large"])
NO_SUM = Headers(drop=("x-amz-checksum-crc64nvme", "x-amz-checksum-type"))


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make an empty NAS."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        yield opened


def there(strict: StrictCloud, pump: Pump, data: bytes, *about: str, key: str = "c/b") -> int:
    """Have an object in the bucket; how many requests there were until then."""
    pumped(pump, s3_door(strict).put(key, data, crc(data), about, replace=True))
    return len(strict.log)


def asked(strict: StrictCloud, since: int) -> list[str]:
    """What was asked for since then."""
    return [each.operation for each in strict.log[since:]]


def brought(strict: StrictCloud, nas: Nas, pump: Pump, task: Upload) -> Uploaded | Failed:
    """Tell one upload that asks first."""
    door = s3_door(strict)
    bring = Uploader(
        nas, door, multipart_from_bytes=6 * MIB, part_bytes=5 * MIB, now=now, give=lambda _: None, ask_first=True
    )
    (result,) = pumped(pump, bring.upload(task))
    assert isinstance(result, (Uploaded, Failed))
    return result


@SIZES
def test_right_object_is_adopted(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Size, checksum and description agree: one question, and not a byte is read or sent."""
    since = there(strict, pump, data, "Content-Type: video/mp4", "x-amz-meta-year: 1999")
    task = upload_of(data, headers='{"content-type":"video/mp4"}', metadata='{"year":"1999"}')
    result = brought(strict, nas, pump, task)
    assert isinstance(result, Uploaded)
    assert (result.s3_checksum, result.bytes_moved, result.at_utc) == (crc(data), 0, NOW)
    assert asked(strict, since) == ["HeadObject"]


@SIZES
def test_missing_object_is_sent(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Where there is none, the file goes the usual way."""
    put(nas, "c/b", data)
    result = brought(strict, nas, pump, upload_of(data))
    assert isinstance(result, Uploaded)
    assert result.bytes_moved == len(data)
    assert strict.s3.buckets[BUCKET].objects["c/b"].data == data


def test_other_description_is_sent_again(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """The right bytes under an outdated description are no reason to keep it."""
    there(strict, pump, SMALL, "x-amz-meta-year: 1999")
    put(nas, "c/b", SMALL)
    result = brought(strict, nas, pump, upload_of(SMALL, metadata='{"year":"2000"}'))
    assert isinstance(result, Uploaded)
    assert strict.s3.buckets[BUCKET].objects["c/b"].metadata == {"year": "2000"}


@pytest.mark.parametrize("other", [b"theirs", bytes([SMALL[0] ^ 1]) + SMALL[1:]], ids=["shorter", "as long"])
def test_foreign_object_stays(strict: StrictCloud, nas: Nas, pump: Pump, other: bytes) -> None:
    """Other bytes that we are not known to have written are not written over."""
    there(strict, pump, other)
    put(nas, "c/b", SMALL)
    result = brought(strict, nas, pump, upload_of(SMALL, earlier=crc(b"something else")))
    assert isinstance(result, Failed)
    assert (result.code, strict.s3.buckets[BUCKET].objects["c/b"].data) == ("S3-EXISTS", other)


def test_earlier_version_is_written_over(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Bytes of a version that we copied earlier are ours, and give way to the new ones."""
    there(strict, pump, b"version 1")
    put(nas, "c/b", SMALL)
    result = brought(strict, nas, pump, upload_of(SMALL, earlier=f"{crc(b'version 0')} {crc(b'version 1')}"))
    assert isinstance(result, Uploaded)
    assert strict.s3.buckets[BUCKET].objects["c/b"].data == SMALL


def test_endpoint_without_checksums_is_read(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Where none is told, the object is read: still nothing is sent."""
    since = there(strict, pump, SMALL)
    strict.faults.append(Fault(NO_SUM, times=0))
    result = brought(strict, nas, pump, upload_of(SMALL))
    assert isinstance(result, Uploaded)
    assert asked(strict, since) == ["HeadObject", "GetObject"]


def test_no_right_to_know(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Without s3:ListBucket a missing object is a 403: then it is simply sent."""
    s3_door(strict)
    strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="HeadObject", times=0))
    put(nas, "c/b", SMALL)
    assert isinstance(brought(strict, nas, pump, upload_of(SMALL)), Uploaded)
    assert asked(strict, 0)[-1] == "PutObject"


def test_company_of_questions(strict: StrictCloud, pump: Pump) -> None:
    """Small ones are asked for side by side; what is not right goes on alone, with the answer that it had."""
    since = max(there(strict, pump, name.encode(), key=f"c/{name}") for name in ("right", "other"))
    tasks = [upload_of(b"right", s3_key=f"c/{name}") for name in ("right", "other", "missing")]
    strange = upload_of(b"right", s3_key="c/\ud800")
    (results,) = pumped(pump, Adopter(s3_door(strict), now).in_company([*tasks, strange]))
    assert isinstance(results[0], Uploaded)
    assert [type(one) for one in results[1:]] == [Alone] * 3
    assert [one.answer.status if one.answer else None for one in results[1:]] == [200, 404, None]
    assert asked(strict, since) == ["HeadObject"] * 3


def test_answer_of_the_company_is_not_asked_for_again(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Who goes on alone does not put the same question twice; a lost answer is asked for once more."""
    put(nas, "c/b", SMALL)
    s3_door(strict)
    strict.faults.append(Fault(Drop(), operation="HeadObject"))
    door = s3_door(strict)
    bring = Uploader(
        nas, door, multipart_from_bytes=6 * MIB, part_bytes=5 * MIB, now=now, give=lambda _: None, ask_first=True
    )
    for lost in (True, False):
        since = len(strict.log)
        strict.s3.buckets[BUCKET].objects.clear()
        ((alone,),) = pumped(pump, bring.in_company([upload_of(SMALL)]))
        assert (alone.answer is None or alone.answer.status == 0) == lost
        (result,) = pumped(pump, bring.upload(upload_of(SMALL), alone.answer))
        assert isinstance(result, Uploaded)
        assert asked(strict, since).count("HeadObject") == 1 + lost
