"""What an upload promises: S3 has the very bytes of the download, once, and whatever is left open is known."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.model import Failed, Leg, Rotten, Upload, Uploaded, UploadOpened
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.s3 import MAX_OBJECT_BYTES, S3, Profile, S3Access
from sync_cloud_storage.upload import SMALL_BYTES, Uploader
from tests.servers.strict import NO_SUM, SLOW_DOWN, Answer, Call, Drop, Fault, Headers, Rules
from tests.unit.doors import BUCKET, MIB, NOW, SHORT, Bytes, crc, descriptors, now, s3_door, upload_of
from tests.unit.small_nas import put
from tests.unit.telling import Teller, pumped, response

if TYPE_CHECKING:
    from sync_cloud_storage.http.messages import Request, Response
    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import Bucket, StrictCloud

SMALL = random.Random(1).randbytes(1000)
MIDDLE = random.Random(2).randbytes(SMALL_BYTES + 1000)
LARGE = random.Random(3).randbytes(6 * MIB)  # two parts: 5 MiB and 1 MiB
WAYS = pytest.mark.parametrize("data", [b"", SMALL, MIDDLE, LARGE], ids=["empty", "small", "streamed", "in parts"])


def uploader(door: S3, nas: Nas, given: list[Any] | None = None, **more: Any) -> Uploader:
    """Bring files in parts of 5 MiB from 6 MiB on."""
    options = {"multipart_from_bytes": 6 * MIB, "part_bytes": 5 * MIB} | more
    return Uploader(nas, door, now=now, give=(given if given is not None else []).append, **options)


def uploaded(strict: StrictCloud, nas: Nas, pump: Pump, task: Upload, **more: Any) -> Uploaded | Rotten | Failed:
    """Tell one upload."""
    (result,) = pumped(pump, uploader(s3_door(strict), nas, **more).upload(task))
    assert isinstance(result, (Uploaded, Rotten, Failed))
    return result


def begun(strict: StrictCloud, pump: Pump, *parts: bytes) -> str:
    """An upload that was begun before, with these parts."""
    door = s3_door(strict)
    (upload_id,) = pumped(pump, door.open_upload("c/b", []))
    for number, part in enumerate(parts, 1):
        pumped(pump, door.put_part("c/b", upload_id, number, Bytes(part), crc(part)))
    return str(upload_id)


# ------------------------------------------------------------------------------------------------------- all goes well


@WAYS
def test_bytes_arrive(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """A file of any size becomes an object with its bytes, headers and metadata, and its evidence says so."""
    put(nas, "c/b", data)
    task = upload_of(data, headers='{"content-type": "text/plain"}', metadata='{"year": "1999"}')
    result = uploaded(strict, nas, pump, task)
    there = bucket.objects["c/b"]
    assert (there.data, there.headers["content-type"], there.metadata) == (data, "text/plain", {"year": "1999"})
    assert there.checksum == ("crc64nvme", crc(data), "FULL_OBJECT")
    assert result == Uploaded(1, "e", there.etag, crc(data), "", len(data), NOW)
    assert bucket.uploads == {}


@WAYS
def test_endpoint_without_checksums(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """An endpoint that gives no checksums back is asked what it holds; the evidence claims no more than it said."""
    put(nas, "c/b", data)
    strict.faults.append(Fault(NO_SUM, service="s3", times=0))
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Uploaded)
    assert strict.asked("HeadObject") or result.s3_checksum == crc(data)
    assert bucket.objects["c/b"].data == data


@WAYS
def test_lost_answer(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """Where the answer to the last request was lost, the object decides: what is there and right is done (E03)."""
    put(nas, "c/b", data)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        strict.faults.append(Fault(Drop(committed=True), operation=operation))
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Uploaded)
    assert (result.s3_checksum, bucket.objects["c/b"].data, bucket.uploads) == (crc(data), data, {})


def test_error_in_a_success(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """A 200 with an error in it, after which the object is there all the same, is a success (E02)."""
    put(nas, "c/b", LARGE)
    strict.faults.append(Fault(Answer(200, "InternalError", committed=True), operation="CompleteMultipartUpload"))
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE)), Uploaded)
    assert bucket.objects["c/b"].data == LARGE


@WAYS
@pytest.mark.parametrize("fault", [SLOW_DOWN, Answer(500, "InternalError"), Drop()], ids=["busy", "500", "reset"])
def test_passing_trouble(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes, fault: Any) -> None:
    """A request of any kind that fails once is made again (E01)."""
    put(nas, "c/b", data)
    operations = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
    strict.faults += [Fault(fault, operation=operation) for operation in operations]
    assert isinstance(uploaded(strict, nas, pump, upload_of(data)), Uploaded)
    assert (bucket.objects["c/b"].data, bucket.uploads) == (data, {})


def test_name_that_could_not_be_a_key(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """Where the key had to be changed the true name goes along as metadata; else it does not."""
    put(nas, "c/b", SMALL)
    uploaded(strict, nas, pump, upload_of(SMALL, blob="a/../b", s3_key="c/a/%2E%2E/b"))
    assert bucket.objects["c/a/%2E%2E/b"].metadata == {"scs-name": "c/a/../b"}
    uploaded(strict, nas, pump, upload_of(SMALL, s3_key="other/place"))
    assert bucket.objects["other/place"].metadata == {}


# ------------------------------------------------------------------------------------------------------- what is there


@WAYS
def test_same_bytes_are_there(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """An object with the very bytes, from a run that was killed, is taken for ours: nothing is moved."""
    put(nas, "c/b", data)
    pumped(pump, s3_door(strict).put("c/b", data, crc(data), [], replace=True))
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Uploaded)
    assert (result.bytes_moved, result.s3_checksum, bucket.uploads) == (0, crc(data), {})


@WAYS
def test_other_bytes_are_there(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """Somebody else's object is never written over without leave; with leave it is (E12)."""
    put(nas, "c/b", data)
    pumped(pump, s3_door(strict).put("c/b", b"theirs", crc(b"theirs"), [], replace=True))
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Failed)
    assert (result.leg, result.code, bucket.objects["c/b"].data) == (Leg.S3, "S3-EXISTS", b"theirs")
    assert bucket.uploads == {}
    assert isinstance(uploaded(strict, nas, pump, upload_of(data, may_replace=True)), Uploaded)
    assert bucket.objects["c/b"].data == data


def test_foreign_object_without_a_checksum_is_read(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """Where the object has the size but no checksum, its bytes decide whether it is ours."""
    put(nas, "c/b", SMALL)
    strict.faults.append(Fault(NO_SUM, operation="HeadObject", times=0))
    for data, kind in ((SMALL, Uploaded), (bytes(len(SMALL)), Failed)):
        pumped(pump, s3_door(strict).put("c/b", data, crc(data), [], replace=True))
        assert isinstance(uploaded(strict, nas, pump, upload_of(SMALL)), kind)


# ------------------------------------------------------------------------------------------------------------- going on


def test_parts_that_are_there_are_not_sent_again(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An upload goes on with the parts that S3 has and that have the bytes on the NAS (E04, I8)."""
    put(nas, "c/b", LARGE)
    upload_id = begun(strict, pump, LARGE[: 5 * MIB])
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE, upload_id=upload_id)), Uploaded)
    assert [one.received for one in strict.asked("UploadPart")] == [5 * MIB, MIB]
    assert (bucket.objects["c/b"].data, bucket.uploads) == (LARGE, {})


def test_part_with_other_bytes_is_sent_again(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """A part of the right size with the bytes of another version is not believed."""
    put(nas, "c/b", LARGE)
    upload_id = begun(strict, pump, bytes(5 * MIB))
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE, upload_id=upload_id)), Uploaded)
    assert (bucket.objects["c/b"].data, len(strict.asked("UploadPart"))) == (LARGE, 1 + 2)


@pytest.mark.parametrize(
    "parts",
    [[b""], [LARGE[:MIB]], [bytes(5 * MIB)] * 3],
    ids=["an empty part", "parts below S3's minimum", "more parts than there should be"],
)
def test_odd_uploads_are_not_gone_on_with_blindly(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, parts: list[bytes]
) -> None:
    """Whatever an open upload holds, the object has the file's bytes in the end, and nothing stays open."""
    put(nas, "c/b", LARGE)
    upload_id = begun(strict, pump, *parts)
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE, upload_id=upload_id)), Uploaded)
    assert (bucket.objects["c/b"].data, bucket.uploads) == (LARGE, {})


def test_parts_of_another_setting_are_gone_on_with(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """When the wanted size of parts was changed in between, the upload goes on with the size that it has (E22)."""
    data = random.Random(4).randbytes(13 * MIB)
    put(nas, "c/b", data)
    upload_id = begun(strict, pump, data[: 6 * MIB])
    result = uploaded(strict, nas, pump, upload_of(data, upload_id=upload_id), part_bytes=5 * MIB)
    assert isinstance(result, Uploaded)
    assert sorted(one.received for one in strict.asked("UploadPart")) == [MIB, 6 * MIB, 6 * MIB]
    assert bucket.objects["c/b"].data == data


@pytest.mark.parametrize("upload_id", ["?", "never-was"])
def test_upload_that_nobody_knows(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, upload_id: str) -> None:
    """Uploads of our key whose id was never written down, or is gone, are ended: nothing is left to pay for (E04)."""
    put(nas, "c/b", LARGE)
    begun(strict, pump, LARGE[: 5 * MIB])
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE, upload_id=upload_id)), Uploaded)
    assert (bucket.objects["c/b"].data, bucket.uploads) == (LARGE, {})


def test_upload_of_a_blob_that_became_small(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An upload that was begun for a larger version is ended when the new one goes in one piece."""
    put(nas, "c/b", SMALL)
    upload_id = begun(strict, pump, LARGE[: 5 * MIB])
    assert isinstance(uploaded(strict, nas, pump, upload_of(SMALL, upload_id=upload_id)), Uploaded)
    assert bucket.uploads == {}


def test_upload_that_somebody_ended(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An upload that the bucket's lifecycle ended under our hands is begun anew."""
    put(nas, "c/b", LARGE)
    strict.faults.append(Fault(Call(lambda cloud: cloud.s3.buckets[BUCKET].uploads.clear()), operation="UploadPart"))
    assert isinstance(uploaded(strict, nas, pump, upload_of(LARGE)), Uploaded)
    assert (bucket.objects["c/b"].data, bucket.uploads) == (LARGE, {})


def test_open_upload_is_told_before_its_parts(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """That an upload is open is told at once, so that a later run can go on or end it, also when this one fails."""
    put(nas, "c/b", LARGE)
    given: list[Any] = []
    told_when_asked: list[int] = []
    note = Call(lambda _: told_when_asked.append(len(given)))
    strict.faults += [Fault(note, operation="UploadPart", times=0)]
    strict.faults += [Fault(Answer(403, "AccessDenied"), operation="UploadPart", times=0)]
    result = uploaded(strict, nas, pump, upload_of(LARGE), given=given)
    assert isinstance(result, Failed)
    assert result.code == "S3-403"
    assert given == [UploadOpened(1, next(iter(bucket.uploads)), "e")]
    assert 0 not in told_when_asked


# ------------------------------------------------------------------------------------------------------------------ rot


def other(data: bytes) -> bytes:
    """The same length, one bit changed at the end."""
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("data", [SMALL, MIDDLE, LARGE], ids=["small", "streamed", "in parts"])
@pytest.mark.parametrize("damage", ["bit", "shorter", "longer", "gone"])
def test_rot_does_not_get_to_s3(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes, damage: str
) -> None:
    """A file that is not what was downloaded is told as rotten; no object is made of it, nothing stays open (C25)."""
    if damage != "gone":
        put(nas, "c/b", {"bit": other(data), "shorter": data[:-1], "longer": data + b"x"}[damage])
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Rotten)
    assert (result.id, result.code, result.etag) == (1, "NAS-ROT", "e")
    assert (bucket.objects, bucket.uploads) == ({}, {})


@pytest.mark.parametrize("data", [SMALL, MIDDLE, LARGE], ids=["small", "streamed", "in parts"])
def test_rot_is_found_without_the_endpoints_help(nas: Nas, data: bytes) -> None:
    """An endpoint that checks nothing gets no rotten object: no PUT, and no upload that is closed."""
    put(nas, "c/b", other(data))
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(f"{request.method} {request.url.partition('?')[2].partition('=')[0]}")
        while request.source is not None and request.source.read(MIB):
            pass
        return response(200, b"<X><UploadId>u</UploadId></X>", {"etag": '"1"'})

    door = S3(Profile("http://s3", "bucket", "r"), S3Access("k", "s"), Line(), SHORT)
    assert isinstance(Teller(answer).tell(uploader(door, nas).upload(upload_of(data))), Rotten)
    assert not [one for one in asked if one in {"PUT ", "POST uploadId"}]


@pytest.mark.parametrize("data", [MIDDLE, LARGE], ids=["streamed", "in parts"])
def test_file_that_changes_while_it_is_sent(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes
) -> None:
    """A file that is cut or written to while it is on its way does not become an object (C17)."""
    put(nas, "c/b", data)
    file = nas.root / "c/b"
    strict.faults += [
        Fault(Call(lambda _: os.truncate(file, 1000)), operation=operation)
        for operation in ("PutObject", "CreateMultipartUpload")
    ]
    result = uploaded(strict, nas, pump, upload_of(data))
    if isinstance(result, Uploaded):  # libcurl had all of it already
        assert bucket.objects["c/b"].data == data
    else:
        assert isinstance(result, Rotten)
        assert bucket.objects == {}


def test_bad_neighbour_does_not_spoil_the_group(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """Small files are read together; one that is rotten or missing is told alone."""
    for number in range(6):
        put(nas, f"c/b{number}", b"rotten" if number == 2 else b"data-%d" % number)
    tasks = [
        upload_of(b"data-%d" % number, id=number, nas_path=f"c/b{number}", s3_key=f"c/b{number}") for number in range(7)
    ]
    bring = uploader(s3_door(strict), nas)
    results = {result.id: type(result) for result in pumped(pump, *(bring.upload(task) for task in tasks))}
    assert {number for number, kind in results.items() if kind is Rotten} == {2, 6}
    assert sorted(bucket.objects) == [f"c/b{number}" for number in (0, 1, 3, 4, 5)]


# ------------------------------------------------------------------------------------------------------------- failures


@WAYS
def test_nas_that_is_busy_once(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale handle passes: the file is opened again (C11). One that stays stale fails the upload."""
    put(nas, "c/b", data)
    real = Nas.open_read
    stale = [1]

    def open_read(self: Nas, path: str) -> Any:
        if stale:
            stale.pop()
            raise BlobFault("NAS-STALE", "stale", kind=Kind.RETRY)
        return real(self, path)

    monkeypatch.setattr(Nas, "open_read", open_read)
    assert isinstance(uploaded(strict, nas, pump, upload_of(data)), Uploaded)
    bucket.objects.clear()
    stale.extend([1] * 99)
    result = uploaded(strict, nas, pump, upload_of(data))
    assert isinstance(result, Failed)
    assert (result.code, bucket.objects) == ("NAS-STALE", {})


@WAYS
def test_environment_ends_the_run(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, data: bytes) -> None:
    """Refused credentials are raised, not marked on the blob; no descriptor stays open (E06)."""
    put(nas, "c/b", data)
    strict.faults.append(Fault(Answer(403, "InvalidAccessKeyId"), service="s3", times=0))
    bring = uploader(s3_door(strict), nas)
    before = descriptors()
    with pytest.raises(EnvironmentFault):
        Teller([response(403, b"<Code>InvalidAccessKeyId</Code>")]).tell(bring.upload(upload_of(data)))
    assert descriptors() == before
    with pytest.raises(EnvironmentFault):
        pumped(pump, bring.upload(upload_of(data)))
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"s3_key": "c/\udcff"}, "S3-NAME"),
        ({"size_bytes": MAX_OBJECT_BYTES + 1}, "S3-TOO-BIG"),
        ({"metadata": '{"v": "a\\nb"}'}, "S3-METADATA"),
    ],
    ids=["key", "size", "metadata"],
)
def test_what_s3_cannot_have(
    strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump, change: dict[str, Any], code: str
) -> None:
    """A blob that S3 cannot hold fails with its reason, and nothing is sent (B29, E23, E24)."""
    put(nas, "c/b", SMALL)
    result = uploaded(strict, nas, pump, upload_of(SMALL, **change))
    assert isinstance(result, Failed)
    assert (result.code, result.leg, result.etag, strict.log) == (code, Leg.S3, "e", [])


def test_endpoint_that_loses_it(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An endpoint that says yes and has nothing is not believed (I3)."""
    put(nas, "c/b", SMALL)
    said = {"ETag": '"made-up"'}
    strict.faults.append(Fault(Answer(200, headers=said), operation="PutObject"))
    result = uploaded(strict, nas, pump, upload_of(SMALL))
    assert isinstance(result, Failed)
    assert result.code == "S3-LOST"


def test_endpoint_with_another_checksum(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """An endpoint whose own checksum is another one does not have our bytes (I3)."""
    put(nas, "c/b", SMALL)
    strict.faults.append(Fault(Headers({"x-amz-checksum-crc64nvme": crc(b"other")}), operation="PutObject", times=0))
    result = uploaded(strict, nas, pump, upload_of(SMALL))
    assert isinstance(result, Failed)
    assert result.code == "S3-DIGEST"


def test_small_limits_hold(strict: StrictCloud, bucket: Bucket, nas: Nas, pump: Pump) -> None:
    """The edge between ways: one byte less goes whole, from there on in parts."""
    strict.s3.rules = Rules(part_min=1)
    for size, parts in ((2 * MIB - 1, 0), (2 * MIB, 1)):  # parts so far
        data = bytes(size)
        put(nas, "c/b", data, may_replace=True)
        task = upload_of(data, may_replace=True)
        assert isinstance(uploaded(strict, nas, pump, task, multipart_from_bytes=2 * MIB), Uploaded)
        assert len(strict.asked("UploadPart")) == parts
