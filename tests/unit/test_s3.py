"""What the door to the bucket promises: what is stored is what was sent, and the endpoint's own word is asked for."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, ScsError
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.s3 import MAX_OBJECT_BYTES, S3, AwsChain, HashSink, Part, Profile, S3Access, fits, part_size_for
from sync_cloud_storage.s3.objects import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES
from tests.servers.strict import SLOW_DOWN, Answer, Cut, Drop, Fault, Rules
from tests.unit.doors import BUCKET, MIB, Bytes, crc, s3_access, s3_door, s3_profile
from tests.unit.telling import Teller, Time, pumped, response

if TYPE_CHECKING:
    from pathlib import Path

    from sync_cloud_storage.http.messages import Response, Story
    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import Bucket, Object, StrictCloud

CLOCK = Time()
PATIENCE = Patience(attempts=3, clock=CLOCK, dice=lambda: 0.0)
GIB = 1 << 30


def door(**more: Any) -> S3:
    """A door to an endpoint that only a script answers for."""
    return S3(Profile("http://s3", "bucket", "us-east-1", **more), S3Access("key", "secret"), Line(), PATIENCE)


def told(story: Story[Any], *answers: Response) -> Any:
    """Tell a story with these answers, the last of them for ever."""
    script = iter(answers)
    return Teller(lambda _: next(script, answers[-1]), clock=CLOCK.pass_).tell(story)


def fault_of(story: Story[Any], *answers: Response) -> ScsError:
    """What a story ends with."""
    with pytest.raises(ScsError) as raised:
        told(story, *answers)
    return raised.value


def about(metadata: dict[str, str] | None = None, headers: dict[str, str] | None = None, **more: Any) -> list[str]:
    """The lines that describe an object with these pairs."""
    return list(door(**more).about_object(json.dumps(headers or {}), json.dumps(metadata or {})))


def stored(strict: StrictCloud, pump: Pump, lines: list[str], data: bytes = b"x", **more: Any) -> Object:
    """Put an object with these lines; what the endpoint then has."""
    pumped(pump, s3_door(strict, **more).put("k", data, crc(data), lines, replace=True))
    return strict.s3.buckets[BUCKET].objects["k"]


# ----------------------------------------------------------------------------------------------------------- the bucket


def test_bucket_that_is_there(strict: StrictCloud, pump: Pump) -> None:
    """A bucket that is there and ours passes without a word."""
    assert pumped(pump, s3_door(strict).bucket()) == [None]


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        (response(404), "S3-BUCKET", "bucket"),
        (response(403), "S3-AUTH", "403"),
        (response(301, x_amz_bucket_region="eu-west-1"), "S3-REGION", "eu-west-1"),
        (response(400, x_amz_bucket_region="eu-west-1"), "S3-REGION", "eu-west-1"),
        (response(302), "REDIRECT", "302"),
    ],
)
def test_bucket_that_will_not_do(answer: Response, code: str, word: str) -> None:
    """A bucket that is missing, refused or elsewhere stops the run, with the region that is right (E08, E09)."""
    fault = fault_of(door().bucket(), answer)
    assert (type(fault), fault.code) == (EnvironmentFault, code)
    assert word in str(fault)


def test_wrong_secret_stops_the_run(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """A secret that does not fit is no object's fault, and is not shown (E06)."""
    access = s3_access(strict)._replace(secret="WRONG" * 8)
    s3 = S3(s3_profile(strict), access, Line(), PATIENCE)
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, s3.put("k", b"x", crc(b"x"), [], replace=True))
    assert raised.value.code == "S3-AUTH"
    assert "WRONG" not in str(raised.value) + repr(access)


# ---------------------------------------------------------------------------------------------------------------- keys

KEYS = [
    *("c/a b", "c/a+b", "c/a%2Fb", "c/a//b", "c//lead", "c/é", "c/😀", "c/a*b'(c)!", "c/a&b=c;d", "c/a:b@$,", "c/~x"),
    *('c/[x]{y}|^`<>"\\', "c/#?", "c/100%", "c/a/", "c/...", "c/..a", "c/a\nb", "c/a\rb", "c/\x01", "c/\x7f", "soap"),
    *("c/a%2E%2E/x", "c/%2E%2E/x", "c/" + "é" * 511),
]


@pytest.mark.parametrize("key", KEYS)
def test_keys_survive(strict: StrictCloud, pump: Pump, bucket: Bucket, key: str) -> None:
    """Any key is put, looked at, opened, listed and ended under that very key."""
    s3 = s3_door(strict)
    pumped(pump, s3.put(key, b"x", crc(b"x"), [], replace=True))
    assert list(bucket.objects) == [key]
    (there,) = pumped(pump, s3.look(key))
    assert (there.size_bytes, there.checksum) == (1, crc(b"x"))
    (upload_id,) = pumped(pump, s3.open_upload(key, []))
    assert pumped(pump, s3.open_uploads(key)) == [[upload_id]]
    assert pumped(pump, s3.parts(key, upload_id)) == [[]]
    pumped(pump, s3.end_upload(key, upload_id), s3.end_upload(key, upload_id))
    assert bucket.uploads == {}


def test_key_that_is_no_text() -> None:
    """A key with half of a character is a fault of its own, before anything is sent."""
    fault = fault_of(door().put("c/\udcff", b"", "", [], replace=True), response(200))
    assert (type(fault), fault.code) == (BlobFault, "S3-NAME")


# --------------------------------------------------------------------------------------------- what an object is called


def test_metadata_arrives(strict: StrictCloud, pump: Pump) -> None:
    """Metadata arrives with its values, empty ones too; names in lower case, as S3 keeps them (E23)."""
    found = stored(strict, pump, about({"empty": "", "Year": "1999", "under_score": "two words"}))
    assert found.metadata == {"empty": "", "year": "1999", "under_score": "two words"}


@pytest.mark.parametrize(
    "value", ["two  spaces", "comma, semi; =?utf-8?b?eA==?=", "ü  b", "x" * 1500, "ü" * 500, "日本"]
)
def test_values_are_signed_and_stored(strict: StrictCloud, pump: Pump, value: str) -> None:
    """Values of any kind pass the signature, and nothing of them is lost (E23)."""
    from email.header import decode_header, make_header

    found = stored(strict, pump, about({"v": value})).metadata["v"]
    assert (found if value.isascii() else str(make_header(decode_header(found)))) in {value, " ".join(value.split())}


@pytest.mark.parametrize("name", ["größe", "a b", "a:b", "a\nb", "", "a\r\nx-amz-acl"])
def test_names_that_no_header_has(name: str) -> None:
    """A metadata name that cannot stand in a header is a fault of the blob: nothing is dropped or smuggled (S18)."""
    with pytest.raises(BlobFault) as raised:
        about({name: "1"})
    assert raised.value.code == "S3-METADATA"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx-amz-acl: public-read", "a\0b", "\x7f", "\udcff"])
def test_values_that_no_header_has(value: str) -> None:
    """A value with a line end or half of a character is a fault of the blob, in metadata as in properties (E24)."""
    for pairs in ({"metadata": {"v": value}}, {"headers": {"content-type": value}}):
        with pytest.raises(BlobFault) as raised:
            about(**pairs)
        assert raised.value.code == "S3-METADATA"


def test_tab_is_allowed() -> None:
    """A tab may stand in a header line."""
    assert about({"v": "a\tb"}) == ["x-amz-meta-v: a\tb"]


@pytest.mark.parametrize(("value", "too_much"), [("x" * 2047, False), ("x" * 2048, True), ("ü" * 900, True)])
def test_too_much_metadata(value: str, too_much: bool) -> None:  # noqa: FBT001 - named in the parameters
    """More metadata than the 2 KB that S3 takes, counted as it is sent, is a fault of the blob (E23)."""
    if too_much:
        with pytest.raises(BlobFault):
            about({"v": value})
    else:
        assert about({"v": value})


def test_only_what_may_follow_follows() -> None:
    """No property but the five that go with a blob becomes a header (S18)."""
    lines = about(headers={"content-type": "text/plain", "x-amz-acl": "public-read", "x-amz-website-redirect": "/"})
    assert lines == ["Content-Type: text/plain"]


def test_properties_arrive(strict: StrictCloud, pump: Pump) -> None:
    """The five HTTP properties arrive; a Content-Encoding is kept and the bytes are left alone (B18)."""
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-encoding": "gzip",
        "content-language": "de",
        "content-disposition": 'attachment; filename="x"',
        "cache-control": "no-cache",
    }
    found = stored(strict, pump, about(headers=headers), b"no gzip at all")
    assert {name: found.headers[name] for name in headers} == headers
    assert found.data == b"no gzip at all"


def test_original_name_is_kept() -> None:
    """A name that could not be a key goes along as metadata, unless the user has a pair of that name."""
    assert door().about_object("", "", "c/a/../ü") == ("x-amz-meta-scs-name: c/a/../%C3%BC",)
    assert door().about_object("", '{"Scs-Name": "mine"}', "c/a/../b") == ("x-amz-meta-scs-name: mine",)


def test_settings_of_all_objects(strict: StrictCloud, pump: Pump) -> None:
    """Storage class, encryption, key, tags and ACL of the settings arrive with every object."""
    settings = {
        "storage_class": "STANDARD_IA",
        "acl": "bucket-owner-full-control",
        "encryption": "aws:kms",
        "kms_key": "key-1",
        "tags": (("from", "azure & co"), ("year", "2026")),
    }
    lines = about(**settings)  # type: ignore[arg-type]
    assert stored(strict, pump, lines).settings == {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-acl": "bucket-owner-full-control",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
        "x-amz-tagging": "from=azure%20%26%20co&year=2026",
    }


# ------------------------------------------------------------------------------------------------------- whole objects


def test_put_says_what_is_stored(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """An object from memory and one from a source arrive whole, with the checksum that was asked to be checked."""
    data = os.urandom(300_000)
    s3 = s3_door(strict)
    (one,) = pumped(pump, s3.put("one", data, crc(data), [], replace=False))
    (two,) = pumped(pump, s3.put("two", Bytes(data), crc(data), [], replace=False))
    for key, said in (("one", one), ("two", two)):
        there = bucket.objects[key]
        assert (there.data, there.crc64nvme) == (data, crc(data))
        assert (said.size_bytes, said.etag, said.checksum) == (len(data), there.etag, crc(data))


def test_wrong_bytes_are_refused_on_arrival(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """Bytes that are not those of the checksum are refused by the endpoint: nothing is stored (E05)."""
    with pytest.raises(BlobFault) as raised:
        pumped(pump, s3_door(strict).put("k", b"rotten", crc(b"fresh"), [], replace=True))
    assert raised.value.code == "S3-DIGEST"
    assert bucket.objects == {}


def test_object_that_is_there_is_not_written_over(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """Without leave to replace, an object that is there stays, by put and by multipart (E11, E12)."""
    s3 = s3_door(strict)
    pumped(pump, s3.put("k", b"theirs", crc(b"theirs"), [], replace=True))
    for data in (b"ours", b""):
        with pytest.raises(BlobFault) as raised:
            pumped(pump, s3.put("k", data, crc(data), [], replace=False))
        assert raised.value.code == "S3-EXISTS"
    (upload_id,) = pumped(pump, s3.open_upload("k", []))
    (part,) = pumped(pump, s3.put_part("k", upload_id, 1, Bytes(b"ours"), crc(b"ours")))
    with pytest.raises(BlobFault) as raised:
        pumped(pump, s3.close_upload("k", upload_id, [part], crc(b"ours"), 4, replace=False))
    assert raised.value.code == "S3-EXISTS"
    assert bucket.objects["k"].data == b"theirs"


@pytest.mark.parametrize("verb", ["put", "put_part"])
def test_login_page_is_no_success(verb: str) -> None:
    """A portal's 200 stores nothing, and stops the run in the end (B31)."""
    page = response(200, b"<html>login</html>", {"content-type": "text/html"})
    story = {
        "put": door().put("k", b"x", "crc", [], replace=True),
        "put_part": door().put_part("k", "u", 1, Bytes(b"x"), "crc"),
    }[verb]
    fault = fault_of(story, page)
    assert (type(fault), fault.code) == (EnvironmentFault, "CAPTIVE-PORTAL")


@pytest.mark.parametrize("length", ["3y86", "-1", "1_0", "\u0663"])
def test_look_whose_length_is_no_number(length: str) -> None:
    """A garbled length is asked for again; in the end it is this object that cannot be read, not the run that ends."""
    garbled = response(etag='"e"', content_length=length)
    assert door().describes(garbled) is None
    assert told(door().look("k"), garbled, response(etag='"e"', content_length="10")).size_bytes == 10
    assert fault_of(door().look("k"), garbled).code == "S3-ANSWER"


def test_refused_look_is_one_objects() -> None:
    """HEAD has no body to say why: a 403 on one object is that object's own, and is not "no such object" (E10)."""
    fault = fault_of(door().look("k"), response(403))
    assert (type(fault), fault.code) == (BlobFault, "S3-403")


def test_object_that_is_not_there() -> None:
    """A 404 is no object; a 500 is not."""
    assert told(door().look("k"), response(404)) is None
    assert fault_of(door().look("k"), response(500)).code == "HTTP-500"


def test_checksum_of_checksums_is_none() -> None:
    """A composite checksum says nothing about the whole, so it does not count as one."""
    head = {"content-length": "9", "etag": '"e"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}
    assert told(door().look("k"), response(200, b"", head)).checksum == "AAAAAAAAAAA="
    assert told(door().look("k"), response(200, b"", {**head, "x-amz-checksum-type": "COMPOSITE"})).checksum == ""


def test_read_takes_the_whole_object_only(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """A body that ends early is read again from its start; one that is never whole is an error, not a checksum."""
    data = os.urandom(200_000)
    s3 = s3_door(strict)
    pumped(pump, s3.put("k", data, crc(data), [], replace=True))
    sink = HashSink()
    for fault in (Cut(1000), Cut(1000, says_length=False)):
        strict.faults[:] = [Fault(fault, operation="GetObject")]
        pumped(pump, s3.read("k", len(data), sink))
        assert (sink.received, sink.crc.to_bytes(8).hex()) == (len(data), hexed(data))
        strict.faults[:] = [Fault(fault, operation="GetObject", times=0)]
        with pytest.raises(BlobFault):
            pumped(pump, s3.read("k", len(data), sink))


def hexed(data: bytes) -> str:
    """CRC64NVME in hex."""
    import base64

    return base64.b64decode(crc(data)).hex()


def test_renewed_credentials_are_used() -> None:
    """After a token ran out the next attempt is made with what the door has by then (E06)."""
    s3 = door()

    def expired(_: object) -> Response:
        s3.access = S3Access("new", "secret", "token")
        return response(400, b"<Error><Code>ExpiredToken</Code></Error>")

    teller = Teller([expired, response(200, b"", etag='"e"')])
    teller.tell(s3.put("k", b"x", "crc", [], replace=True))
    assert [one.line.userpwd.partition(":")[0] for one in teller.requests] == ["key", "new"]
    assert "x-amz-security-token: token" in teller.requests[1].headers


def test_clock_that_is_wrong(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """A clock that is off by an hour is told as such, and stops the run (E07)."""
    real = strict.clock
    strict.clock = lambda: real() + 3600
    with pytest.raises(EnvironmentFault) as raised:
        pumped(pump, s3_door(strict).put("k", b"x", crc(b"x"), [], replace=True))
    assert raised.value.code == "CLOCK-SKEW"


# ----------------------------------------------------------------------------------------------------------- multipart


def test_object_in_parts(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """Parts become one object whose checksum S3 holds against the whole; they are listed page by page until then."""
    strict.s3.rules = Rules(part_min=1, page=2)
    data = random.Random(2).randbytes(1000)
    pieces = [data[at : at + 200] for at in range(0, 1000, 200)]
    s3 = s3_door(strict)
    (upload_id,) = pumped(pump, s3.open_upload("k", about({"year": "1999"})))
    parts = [
        part
        for number, piece in enumerate(pieces, 1)
        for part in pumped(pump, s3.put_part("k", upload_id, number, Bytes(piece), crc(piece)))
    ]
    assert pumped(pump, s3.parts("k", upload_id)) == [parts]
    assert [part.checksum for part in parts] == list(map(crc, pieces))
    (said,) = pumped(pump, s3.close_upload("k", upload_id, parts, crc(data), 1000, replace=False))
    there = bucket.objects["k"]
    assert (there.data, there.checksum, there.metadata) == (
        data,
        ("crc64nvme", crc(data), "FULL_OBJECT"),
        {"year": "1999"},
    )
    assert (said.size_bytes, said.etag, said.checksum) == (1000, there.etag, crc(data))


def test_wrong_whole_is_refused(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """Parts that do not make up the checksum of the whole do not become an object (E05)."""
    s3 = s3_door(strict)
    (upload_id,) = pumped(pump, s3.open_upload("k", []))
    (part,) = pumped(pump, s3.put_part("k", upload_id, 1, Bytes(b"part"), crc(b"part")))
    with pytest.raises(BlobFault):
        pumped(pump, s3.close_upload("k", upload_id, [part], crc(b"other"), 4, replace=True))
    assert bucket.objects == {}


def test_parts_whose_marker_stands_still() -> None:
    """A list of parts that says "more" with the same marker for ever ends."""
    part = b"<Part><PartNumber>1</PartNumber><Size>5</Size><ETag>e</ETag></Part>"
    more = b"<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    teller = Teller([response(200, b"<ListPartsResult>" + more + part + b"</ListPartsResult>")] * 2)
    assert {found.number for found in teller.tell(door().parts("k", "u"))} == {1}


@pytest.mark.parametrize(
    "inside", ["<Size>1</Size>", "<PartNumber>x</PartNumber><Size>1</Size>", "<PartNumber>1</PartNumber>"]
)
def test_parts_that_cannot_be_read(inside: str) -> None:
    """A part without number or size is an answer that cannot be used, told as such."""
    body = f"<ListPartsResult><Part>{inside}</Part></ListPartsResult>".encode()
    assert fault_of(door().parts("k", "u"), response(200, body)).code == "S3-ANSWER"


def test_uploads_of_other_keys_are_not_ours(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """Of the open uploads only those of exactly this key are told, oldest first."""
    s3 = s3_door(strict)
    ours = [upload_id for _ in range(2) for upload_id in pumped(pump, s3.open_upload("c/b", []))]
    pumped(pump, s3.open_upload("c/b2", []), s3.open_upload("c/b/x", []), s3.open_upload("c", []))
    (found,) = pumped(pump, s3.open_uploads("c/b"))
    assert sorted(found) == sorted(ours)


def test_opening_whose_answer_was_lost(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """An upload that was opened and whose answer was lost is not left behind (E04)."""
    strict.faults.append(Fault(Drop(committed=True), operation="CreateMultipartUpload"))
    (upload_id,) = pumped(pump, s3_door(strict).open_upload("k", []))
    assert list(bucket.uploads) == [upload_id]


def test_upload_without_an_id() -> None:
    """An upload that was opened without an id cannot be gone on with."""
    assert fault_of(door().open_upload("k", []), response(200, b"<X/>")).code == "S3-ANSWER"


def test_error_in_a_success() -> None:
    """A 200 that holds an error is that error: throttling takes time and no attempts (E02)."""
    late = response(200, b"<?xml version='1.0'?>\n\n<Error><Code>SlowDown</Code></Error>")
    done = response(200, b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
    assert told(door().close_upload("k", "u", [], "c", 1, replace=True), *[late] * 5, done).etag == "e"
    broken = response(200, b"<Error><Code>InternalError</Code></Error>")
    assert fault_of(door().close_upload("k", "u", [], "c", 1, replace=True), broken).code == "HTTP-500"


@pytest.mark.parametrize("body", [b"", b"<html>login"])
def test_empty_success_is_none(body: bytes) -> None:
    """A closing answer that says nothing of an object gives no checksum to believe in."""
    try:
        said = told(door().close_upload("k", "u", [], "c", 1, replace=True), response(200, body))
    except ScsError:
        return
    assert said.checksum == ""


def test_part_list_is_well_formed() -> None:
    """ETags and checksums of the parts go into the closing document as text, whatever is in them."""
    from lxml import etree

    teller = Teller([response(200, b"<R><ETag>e</ETag></R>")])
    teller.tell(door().close_upload("k", "u", [Part(1, 5, '<&"', ""), Part(2, 5, "e", "s")], "c", 10, replace=True))
    (request,) = teller.requests
    tags = [node.text for node in etree.fromstring(request.body).iter("{*}ETag")]
    assert tags == ['"<&""', '"e"']


def test_throttled_part_is_sent_again(strict: StrictCloud, pump: Pump, bucket: Bucket) -> None:
    """A part that is throttled, dropped half way or whose answer was lost is sent again, whole (E01, E05)."""
    strict.s3.rules = Rules(part_min=1)
    data = os.urandom(MIB)
    for fault in (SLOW_DOWN, Drop(after_reading=1000), Drop(committed=True), Answer(500, "InternalError")):
        strict.faults[:] = [Fault(fault, operation="UploadPart")]
        s3 = s3_door(strict)
        (upload_id,) = pumped(pump, s3.open_upload("k", []))
        (part,) = pumped(pump, s3.put_part("k", upload_id, 1, Bytes(data), crc(data)))
        pumped(pump, s3.close_upload("k", upload_id, [part], crc(data), MIB, replace=True))
        assert bucket.objects.pop("k").data == data


# -------------------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize("size", [1, 64 * MIB, 100 * GIB, 160 * GIB, 5 * 1024 * GIB, MAX_OBJECT_BYTES])
@pytest.mark.parametrize("preferred", [0, 1, 5 * MIB, 100 * MIB + 1, 6 * GIB])
def test_part_sizes_fit(size: int, preferred: int) -> None:
    """Whatever is preferred, parts are of a size that S3 takes, and never too many (E15)."""
    step = part_size_for(size, preferred)
    assert MIN_PART_BYTES <= step <= MAX_PART_BYTES
    assert step % MIB == 0
    assert -(-size // step) <= MAX_PARTS
    assert fits(step, size)


@pytest.mark.parametrize(
    ("part", "size", "does"),
    [
        (MIN_PART_BYTES, MIN_PART_BYTES * MAX_PARTS, True),
        (MIN_PART_BYTES, MIN_PART_BYTES * MAX_PARTS + 1, False),
        (MIN_PART_BYTES - 1, 10, False),
        (MAX_PART_BYTES, 10, True),
        (MAX_PART_BYTES + 1, 10, False),
    ],
)
def test_edges_of_parts(part: int, size: int, does: bool) -> None:  # noqa: FBT001 - named in the parameters
    """The edges: 5 MiB, 5 GiB and 10,000 parts (E15)."""
    assert fits(part, size) is does


# ------------------------------------------------------------------------------------------------------------ the chain


def test_chain_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing gives credentials, that is said, with the ways to have some."""
    _bare(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentFault) as raised:
        AwsChain(profile="", region="", endpoint="").access()
    assert raised.value.code == "S3-AUTH"


def test_chain_with_an_unknown_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile that is not there is a mistake in the settings, told in a sentence."""
    _bare(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentFault) as raised:
        AwsChain(profile="nobody", region="", endpoint="")
    assert raised.value.code == "AWS-CONFIG"
    assert "nobody" in str(raised.value)


def test_chain_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, token and region come from where every AWS tool takes them; an endpoint of the settings comes first."""
    _bare(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    chain = AwsChain(profile="", region="", endpoint="")
    assert (chain.region, chain.is_aws, chain.access().token) == ("eu-west-1", True, "token")
    assert "hidden" not in repr(chain.access())
    own = AwsChain(profile="", region="us-east-2", endpoint="http://nas:8080/")
    assert (own.region, own.is_aws, own.endpoint) == ("us-east-2", False, "http://nas:8080")


def _bare(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nothing of this machine's own AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
