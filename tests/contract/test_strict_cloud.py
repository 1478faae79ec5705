"""Our strict cloud, as clients that share no code with it see it: Microsoft's, Amazon's, rclone, and raw sockets."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from awscrt import checksums  # type: ignore[import-untyped]
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from botocore.exceptions import ClientError

from tests.servers import clients, fill, judge, rclone
from tests.servers.endpoints import AzureAt
from tests.servers.strict import (
    BUSY,
    LOGIN_PAGE,
    NO_CRC64,
    SLOW_DOWN,
    WRONG_CRC64,
    Answer,
    Call,
    Cut,
    Drip,
    Drop,
    Edit,
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
    Rules,
    Seeded,
    Shorten,
    Stall,
    StrictCloud,
    from_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.endpoints import S3At

MIB = 1 << 20
# What an account can hold: dot segments, empty segments, what must be escaped in a path or XML, what XML cannot hold.
NAMES = ["a", "a/b", "a//b", "/lead", "a/../b", "../up", ".", "..", "x/.", "a%2Fb", "%2e%2e/x", "a+b", "a b", "a&b<c>"]
NAMES += [
    "t\tb",
    "n\nb",
    "r\rb",
    "esc\x1b[31m",
    "nul\x00",
    "\ufffe",
    "\uffff",
    "ü",
    "u\u0308",
    "😀/漢",
    "100%",
    "a?b#c",
]


def crc64nvme(data: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(checksums.crc64nvme(data).to_bytes(8, "big")).decode()


def md5(data: bytes) -> bytes:
    """As both services take it from all bytes."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def code_of(error: ClientError) -> str:
    """S3's own word for an error."""
    return str(error.response["Error"]["Code"])


@pytest.fixture
def account(strict: StrictCloud) -> Iterator[fill.Account]:
    """Raw requests with a SAS."""
    with fill.Account(strict.azure_at) as connection:
        yield connection


@pytest.fixture
def s3(strict: StrictCloud) -> Iterator[Any]:
    """Amazon's client, which tries once, and a bucket `target`."""
    strict.s3.make_bucket("target")
    with clients.boto(strict.s3_at) as client:
        yield client


def refused(call: Any, **arguments: Any) -> str:
    """The code with which S3 refuses a call."""
    with pytest.raises(ClientError) as caught:
        call(Bucket="target", **arguments)
    return code_of(caught.value)


# ------------------------------------------------------------------------------------------------ Azure: listings


def test_every_name_is_listed_and_read_as_it_is(strict: StrictCloud, account: fill.Account) -> None:
    """Names of any kind come out of the XML as they went in, page by page, and each leads to its own bytes."""
    for name in NAMES:
        strict.azure.put("films", name, name.encode())
    strict.azure.page = 4
    listed = list(judge.list_blobs(account, "films"))
    assert listed == sorted(NAMES)
    for name in NAMES:
        assert account.ask("GET", "films", name).body == name.encode()
    assert len(strict.asked("ListBlobs")) == -(-len(NAMES) // 4)


def test_microsofts_client_lists_what_raw_requests_list(strict: StrictCloud) -> None:
    """The listing is one that the official client understands: names, sizes, properties, metadata, pages."""
    strict.azure.put("films", "a", b"12345", headers={"Content-Language": "de"}, metadata={"Year": "1999"})
    strict.azure.put("films", "esc\x1b", Seeded(1, 20 << 30))
    strict.azure.make_container("empty")
    strict.azure.page = 1
    with clients.blob_service(strict.azure_at) as service:
        containers = list(service.list_containers())
        blobs = list(service.get_container_client("films").list_blobs(include=["metadata"]))
    assert [each.name for each in containers] == ["empty", "films"]
    assert [(each.name, each.size) for each in blobs] == [("a", 5), ("esc\x1b", 20 << 30)]
    stored = strict.azure.containers["films"].blobs["a"]
    assert blobs[0].metadata == {"Year": "1999"}
    assert blobs[0].content_settings.content_language == "de"
    assert base64.b64encode(blobs[0].content_settings.content_md5 or b"").decode() == stored.md5
    assert (blobs[0].etag, blobs[0].blob_type, blobs[0].blob_tier) == (stored.etag, "BlockBlob", "Hot")
    assert blobs[1].content_settings.content_md5 is None


def test_prefix_and_delimiter_fold_a_listing(strict: StrictCloud) -> None:
    """With a delimiter, names become common prefixes, once each."""
    for name in ("a/1", "a/2", "b", "c/d/e", "c/f"):
        strict.azure.put("films", name)
    with clients.blob_service(strict.azure_at) as service:
        container = service.get_container_client("films")
        assert sorted(each.name for each in container.walk_blobs()) == ["a/", "b", "c/"]
        assert sorted(each.name for each in container.walk_blobs(name_starts_with="c/")) == ["c/d/", "c/f"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"marker": "never given out"}, 400, "OutOfRangeInput"),
        ({"maxresults": "0"}, 400, "OutOfRangeQueryParameterValue"),
        ({"include": "surprises"}, 400, "InvalidQueryParameterValue"),
        ({"sortby": "size"}, 400, "UnsupportedQueryParameter"),
    ],
)
def test_a_listing_refuses_what_azure_does_not_know(
    query: dict[str, str], status: int, code: str, strict: StrictCloud, account: fill.Account
) -> None:
    """Wrong parameters get an error with Azure's own code, in the header and in the body."""
    strict.azure.make_container("films")
    answer = account.ask("GET", "films", query={"restype": "container", "comp": "list", **query})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (status, code)
    assert f"<Code>{code}</Code>".encode() in answer.body


# --------------------------------------------------------------------------------------------------- Azure: blobs


def test_ranges_are_served_exactly(strict: StrictCloud, account: fill.Account) -> None:
    """206 with the right Content-Range, `x-ms-range` before `Range`, the tail of a blob, 416 beyond its end."""
    data = bytes(range(100))
    strict.azure.put("films", "a", data)

    def ask(**headers: str) -> fill.Answer:
        return account.ask(
            "GET", "films", "a", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    answer = ask(x_ms_range="bytes=10-19", Range="bytes=0-1")
    assert (answer.status, answer.headers["content-range"], answer.body) == (206, "bytes 10-19/100", data[10:20])
    assert answer.headers["x-ms-blob-content-md5"] == base64.b64encode(md5(data)).decode()
    assert "content-md5" not in answer.headers
    assert ask(Range="bytes=90-500").headers["content-range"] == "bytes 90-99/100"
    assert ask(Range="bytes=95-").body == data[95:]
    beyond = ask(Range="bytes=100-200")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */100")
    strict.azure.put("films", "a", b"")
    assert ask(Range="bytes=0-9").status == 416


def test_a_range_gets_the_checksum_that_is_asked_for(strict: StrictCloud, account: fill.Account) -> None:
    """MD5 or CRC64 of a range of at most 4 MiB; the CRC64 is S3's CRC64NVME, its bytes the other way round."""
    strict.azure.put("films", "a", Seeded(7, 9 * MIB))
    wanted = {"x-ms-range": f"bytes=5-{4 * MIB + 4}"}
    answer = account.ask("GET", "films", "a", headers={**wanted, "x-ms-range-get-content-crc64": "true"})
    little_endian = base64.b64decode(answer.headers["x-ms-content-crc64"])
    assert base64.b64encode(little_endian[::-1]).decode() == crc64nvme(answer.body)
    answer = account.ask("GET", "films", "a", headers={**wanted, "x-ms-range-get-content-md5": "true"})
    assert base64.b64decode(answer.headers["content-md5"]) == md5(answer.body)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ms-range": f"bytes=0-{4 * MIB}", "x-ms-range-get-content-crc64": "true"},
        {"x-ms-range": "bytes=0-9", "x-ms-range-get-content-crc64": "true", "x-ms-range-get-content-md5": "true"},
        {"x-ms-range-get-content-crc64": "true"},
    ],
    ids=["over 4 MiB", "both", "no range"],
)
def test_a_checksum_of_a_range_has_its_limits(
    strict: StrictCloud, account: fill.Account, headers: dict[str, str]
) -> None:
    """More than 4 MiB, both checksums at once, and no range at all are refused."""
    strict.azure.put("films", "a", Seeded(7, 9 * MIB))
    assert account.ask("GET", "films", "a", headers=headers).status == 400


def test_a_checksum_of_a_range_can_be_wrong_or_missing(strict: StrictCloud, account: fill.Account) -> None:
    """The two faults for it: another checksum, and none."""
    strict.azure.put("films", "a", bytes(100))
    strict.faults += [Fault(WRONG_CRC64, nth=1), Fault(NO_CRC64, nth=2)]
    wanted = {"x-ms-range": "bytes=0-99", "x-ms-range-get-content-crc64": "true"}
    given = [account.ask("GET", "films", "a", headers=wanted).headers.get("x-ms-content-crc64") for _ in range(3)]
    assert (given[0] != given[2], given[1]) == (True, None)


def test_if_match_guards_a_version(strict: StrictCloud, account: fill.Account) -> None:
    """The blob's ETag passes, an older one is 412, and `HEAD` tells the new one."""
    old = strict.azure.put("films", "a", b"one")
    assert account.ask("GET", "films", "a", headers={"If-Match": f'"{old.etag}"'}).body == b"one"
    new = strict.azure.put("films", "a", b"two")
    answer = account.ask("GET", "films", "a", headers={"If-Match": f'"{old.etag}"'})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (412, "ConditionNotMet")
    assert account.ask("HEAD", "films", "a").headers["etag"] == f'"{new.etag}"'


def test_properties_come_as_they_are_stored(strict: StrictCloud, account: fill.Account) -> None:
    """Nothing is decoded or made up: encoding, metadata, type; MD5 right, wrong or missing as the test said."""
    gzip = {"Content-Encoding": "gzip", "Cache-Control": "no-store"}
    strict.azure.put("films", "a", b"not gzip at all", headers=gzip, metadata={"Year": "1999"}, md5="wrong")
    strict.azure.put("films", "b", b"b", md5="")
    got = account.ask("GET", "films", "a")
    assert (got.body, got.headers["content-encoding"], got.headers["x-ms-meta-year"]) == (
        b"not gzip at all",
        "gzip",
        "1999",
    )
    assert base64.b64decode(got.headers["content-md5"]) != md5(got.body)
    assert "content-md5" not in account.ask("GET", "films", "b").headers


def test_an_archived_blob_is_readable_only_after_rehydration(strict: StrictCloud) -> None:
    """409 BlobArchived, then 409 BlobBeingRehydrated, then the bytes; `HEAD` works all the time."""
    blob = strict.azure.put("films", "a", b"cold", tier="Archive")
    with clients.blob_service(strict.azure_at) as service:
        client = service.get_blob_client("films", "a")
        with pytest.raises(ResourceExistsError, match="ErrorCode:BlobArchived"):
            client.download_blob()
        client.set_standard_blob_tier("Hot")
        assert client.get_blob_properties().archive_status == "rehydrate-pending-to-hot"
        with pytest.raises(ResourceExistsError, match="ErrorCode:BlobBeingRehydrated"):
            client.download_blob()
        blob.tier, blob.archive_status = "Hot", ""  # hours later
        assert client.download_blob().readall() == b"cold"


def test_a_blob_of_20_gib_costs_no_memory(strict: StrictCloud, account: fill.Account) -> None:
    """Bytes made from a seed are the same at every reading, from any offset, and differ everywhere."""
    strict.azure.put("films", "a", Seeded(3, 20 << 30))

    def read(first: int, last: int) -> bytes:
        return account.ask("GET", "films", "a", headers={"Range": f"bytes={first}-{last}"}).body

    far = 19 << 30
    whole = read(far, far + 3 * MIB - 1)
    assert read(far + 1_048_000, far + 1_050_000 - 1) == whole[1_048_000:1_050_000]
    assert len({hashlib.sha256(read(at, at + 99)).digest() for at in range(0, 20 << 30, 1 << 30)}) == 20
    assert len(read((20 << 30) - 10, 30 << 30)) == 10


def test_the_blobs_of_root_need_no_container_in_their_address(strict: StrictCloud, account: fill.Account) -> None:
    """`/account/name` is a blob of `$root`."""
    strict.azure.put("$root", "a", b"root")
    assert account.ask("GET", "a").body == b"root"
    assert account.ask("GET", "$root", "a").body == b"root"


# -------------------------------------------------------------------------------------------------- Azure: access


def test_a_sas_must_be_signed_and_in_time_and_allow_it(strict: StrictCloud, account: fill.Account) -> None:
    """Expired, changed, or without the permission that is needed: 403; none at all: 401."""
    strict.azure.put("films", "a", b"x")

    def status(sas: str) -> int:
        account._sas = sas
        return account.ask("GET", "films", "a").status

    right = clients.account_sas(strict.azure_at, "rl")
    assert status(right) == 200
    assert status(right.replace("sp=rl", "sp=rwl")) == 403
    assert status(clients.account_sas(strict.azure_at, "l")) == 403
    assert status(clients.account_sas(strict.azure_at, "rl", hours=-1)) == 403
    assert status("timeout=1") == 401
    assert {each.query for each in strict.log if "sig=" in each.query} != set()
    assert all("sig=-REDACTED-" in each.query for each in strict.log if "sig=" in each.query)


def test_a_sas_expires_by_the_clouds_clock(strict: StrictCloud, account: fill.Account) -> None:
    """Two hours later the token of one hour is refused; the answer's Date tells the cloud's time."""
    strict.azure.make_container("films")
    assert account.ask("GET", query={"comp": "list"}).status == 200
    strict.clock = lambda: time.time() + 7200
    answer = account.ask("GET", query={"comp": "list"})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_a_wrong_account_key_is_refused(strict: StrictCloud) -> None:
    """Shared Key signatures are verified."""
    strict.azure.put("films", "a", b"x")
    wrong = strict.azure_at._replace(key=base64.b64encode(b"wrong").decode())
    with clients.blob_service(strict.azure_at) as service:
        assert service.get_blob_client("films", "a").download_blob().readall() == b"x"
    with clients.blob_service(wrong, retry_total=0) as service, pytest.raises(HttpResponseError) as caught:
        service.get_blob_client("films", "a").download_blob()
    assert caught.value.status_code == 403


def test_only_the_current_bearer_token_passes(strict: StrictCloud, account: fill.Account) -> None:
    """An old token is 401 with a challenge, the new one passes."""
    strict.azure.put("films", "a", b"x")
    strict.azure.token = "new"
    account._sas = "timeout=1"
    old = account.ask("GET", "films", "a", headers={"Authorization": "Bearer old"})
    assert (old.status, "www-authenticate" in old.headers) == (401, True)
    assert account.ask("GET", "films", "a", headers={"Authorization": "Bearer new"}).status == 200
    assert "new" not in json.dumps([each.headers for each in strict.log])


def test_azure_is_read_only(strict: StrictCloud, account: fill.Account) -> None:
    """Writing and deleting are not possible, so a source is never changed by a test's subject."""
    strict.azure.put("films", "a", b"x")
    put = account.ask("PUT", "films", "a", headers={"x-ms-blob-type": "BlockBlob"}, body=b"y")
    delete = account.ask("DELETE", "films", "a")
    assert (put.status, delete.status) == (501, 501)
    assert strict.azure.containers["films"].blobs["a"].data == b"x"


def test_what_is_not_there_is_404_with_its_code(strict: StrictCloud, account: fill.Account) -> None:
    """Container and blob are told apart, in a HEAD too."""
    strict.azure.make_container("films")
    assert account.ask("HEAD", "films", "gone").headers["x-ms-error-code"] == "BlobNotFound"
    assert account.ask("GET", "gone", "a").headers["x-ms-error-code"] == "ContainerNotFound"


# ------------------------------------------------------------------------------------------------------- S3: put


def test_an_object_is_stored_with_its_checksum(strict: StrictCloud, s3: Any) -> None:
    """The checksum is verified, kept, shown by HEAD when asked for, and equals the published check value."""
    s3.put_object(Bucket="target", Key="a", Body=b"123456789", ChecksumAlgorithm="CRC64NVME")
    head = s3.head_object(Bucket="target", Key="a", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert "ChecksumCRC64NVME" not in s3.head_object(Bucket="target", Key="a")
    assert strict.s3.buckets["target"].objects["a"].data == b"123456789"


def test_an_object_without_a_checksum_gets_one(strict: StrictCloud) -> None:
    """S3 computes CRC64NVME where the client sends nothing."""
    strict.s3.make_bucket("target")
    with clients.boto(strict.s3_at, request_checksum_calculation="when_required") as client:
        client.put_object(Bucket="target", Key="a", Body=b"bytes")
        head = client.head_object(Bucket="target", Key="a", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == crc64nvme(b"bytes")


@pytest.mark.parametrize("key", NAMES)
def test_every_key_is_kept_and_listed_as_it_is(key: str, s3: Any) -> None:
    """Raw UTF-8 keys round-trip through PUT, GET and a listing with `encoding-type=url`."""
    s3.put_object(Bucket="target", Key=f"films/{key}", Body=key.encode())
    assert s3.get_object(Bucket="target", Key=f"films/{key}")["Body"].read() == key.encode()
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="target")["Contents"]] == [f"films/{key}"]


def test_wrong_checksums_are_refused_and_nothing_is_stored(strict: StrictCloud, s3: Any) -> None:
    """Checksum, Content-MD5 and length are each compared with the body."""
    other = base64.b64encode(md5(b"other")).decode()
    assert refused(s3.put_object, Key="a", Body=b"bytes", ChecksumCRC64NVME=crc64nvme(b"other")) == "BadDigest"
    assert refused(s3.put_object, Key="a", Body=b"bytes", ChecksumCRC64NVME="no checksum") == "InvalidRequest"
    assert refused(s3.put_object, Key="a", Body=b"bytes", ContentMD5=other) == "BadDigest"
    assert refused(s3.put_object, Key="a", Body=b"bytes", ContentMD5="no md5") == "InvalidDigest"
    assert strict.s3.buckets["target"].objects == {}


def test_what_describes_an_object_is_kept(strict: StrictCloud, s3: Any) -> None:
    """Properties and metadata come back; ACL, storage class, encryption and tags can be read by a test."""
    s3.put_object(
        Bucket="target",
        Key="a",
        Body=b"x",
        ContentType="video/mp4",
        ContentEncoding="gzip",
        CacheControl="no-store",
        Metadata={"year": "1999"},
        ACL="bucket-owner-full-control",
        StorageClass="STANDARD_IA",
        Tagging="a=b&c=d",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="key-1",
    )
    head = s3.head_object(Bucket="target", Key="a")
    assert (head["ContentType"], head["ContentEncoding"], head["CacheControl"]) == ("video/mp4", "gzip", "no-store")
    assert (head["Metadata"], head["StorageClass"]) == ({"year": "1999"}, "STANDARD_IA")
    assert strict.s3.buckets["target"].objects["a"].settings == {
        "x-amz-acl": "bucket-owner-full-control",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-tagging": "a=b&c=d",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    }


def test_with_kms_an_etag_is_no_md5(strict: StrictCloud) -> None:
    """Default encryption of the bucket is enough."""
    strict.s3.make_bucket("target", kms=True)
    with clients.boto(strict.s3_at) as client:
        etag = client.put_object(Bucket="target", Key="a", Body=b"x")["ETag"].strip('"')
    assert etag != md5(b"x").hex()


def test_the_limits_of_names_and_headers_hold(strict: StrictCloud, s3: Any) -> None:
    """Keys of 1,024 bytes (not characters), 2 KB of metadata, 8 KB of headers, keys that leave the bucket, length."""
    s3.put_object(Bucket="target", Key="\u00e9" * 512, Body=b"")
    assert refused(s3.put_object, Key="\u00e9" * 513, Body=b"") == "KeyTooLongError"
    s3.put_object(Bucket="target", Key="a", Body=b"", Metadata={"k" * 48: "v" * 2000})
    assert refused(s3.put_object, Key="a", Body=b"", Metadata={"k" * 49: "v" * 2000}) == "MetadataTooLarge"
    many = {"ContentDisposition": "x" * 8000, "ContentLanguage": "y" * 300}
    assert refused(s3.put_object, Key="a", Body=b"", **many) == "RequestHeaderSectionTooLarge"
    assert refused(s3.put_object, Key="../a", Body=b"") == "InvalidURI"
    strict.s3.rules = Rules(put_max=3)
    assert refused(s3.put_object, Key="a", Body=b"1234") == "EntityTooLarge"


def test_if_none_match_protects_what_is_there(s3: Any) -> None:
    """The first writer wins, the second gets 412 and changes nothing; If-Match replaces only the version it names."""
    etag = s3.put_object(Bucket="target", Key="a", Body=b"first", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Key="a", Body=b"second", IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.put_object, Key="a", Body=b"second", IfMatch='"0"') == "PreconditionFailed"
    assert s3.get_object(Bucket="target", Key="a")["Body"].read() == b"first"
    s3.put_object(Bucket="target", Key="a", Body=b"second", IfMatch=etag)
    assert refused(s3.put_object, Key="b", Body=b"second", IfMatch=etag) == "NoSuchKey"


def test_ranges_and_absence(s3: Any) -> None:
    """206 with Content-Range, 416 beyond the end, NoSuchKey for nothing, and deleting it twice is no error."""
    s3.put_object(Bucket="target", Key="a", Body=b"0123456789")
    part = s3.get_object(Bucket="target", Key="a", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert refused(s3.get_object, Key="a", Range="bytes=10-") == "InvalidRange"
    for _ in range(2):
        s3.delete_object(Bucket="target", Key="a")
    assert refused(s3.get_object, Key="a") == "NoSuchKey"


# ---------------------------------------------------------------------------------------------- S3: access, buckets


def test_every_request_must_be_signed_right(strict: StrictCloud, s3: Any) -> None:
    """Unknown key, wrong secret, a missing session token, and nothing at all are told apart."""

    def code(at: S3At) -> str:
        with clients.boto(at) as client:
            return refused(client.put_object, Key="a", Body=b"x")

    right = strict.s3_at
    assert code(right._replace(access_key_id="AKIAUNKNOWN")) == "InvalidAccessKeyId"
    assert code(right._replace(secret_access_key="wrong")) == "SignatureDoesNotMatch"
    strict.s3.credentials = strict.s3.credentials._replace(token="session")
    assert refused(s3.list_objects_v2) == "InvalidToken"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{strict.s3_at.url}/target/a")  # noqa: S310 - plain http, to ourselves


def test_a_signature_covers_the_body(strict: StrictCloud, s3: Any) -> None:
    """A body other than the one whose hash was signed is refused, and so is a header that was not signed."""
    request = signed(strict.s3_at, "PUT", "/target/a", b"one")
    assert b"XAmzContentSHA256Mismatch" in raw(strict.s3_at.url, request, b"two")
    assert b" 200 " in raw(strict.s3_at.url, request, b"one")
    request = signed(strict.s3_at, "PUT", "/target/a")
    assert b" 200 " in raw(strict.s3_at.url, request, b"two")
    assert b"AccessDenied" in raw(strict.s3_at.url, {**request, "x-amz-acl": "public-read"}, b"two")


def test_an_old_signature_is_refused(strict: StrictCloud, s3: Any) -> None:
    """A quarter of an hour is the most that two clocks may differ."""
    strict.clock = lambda: time.time() + 14 * 60
    s3.list_objects_v2(Bucket="target")
    strict.clock = lambda: time.time() + 16 * 60
    assert refused(s3.list_objects_v2) == "RequestTimeTooSkewed"


def test_buckets_that_are_missing_or_elsewhere(strict: StrictCloud, s3: Any) -> None:
    """404 for none, 301 with the region for one elsewhere, and the region of one that is here."""
    strict.s3.make_bucket("abroad", "eu-central-1")
    assert s3.head_bucket(Bucket="target")["BucketRegion"] == "us-east-1"
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket="nobodys")
    answer = raw(strict.s3_at.url, signed(strict.s3_at, "HEAD", "/abroad"), b"", verb="HEAD", path="/abroad")
    assert answer.startswith(b"HTTP/1.1 301")
    assert b"x-amz-bucket-region: eu-central-1\r\n" in answer


def test_a_wrong_region_in_the_signature_is_named(strict: StrictCloud, s3: Any) -> None:
    """400 with the right region, from which Amazon's client finds its way by itself."""
    elsewhere = strict.s3_at._replace(region="eu-central-1")
    answer = raw(elsewhere.url, signed(elsewhere, "GET", "/target/a"), b"", verb="GET", path="/target/a")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Code>AuthorizationHeaderMalformed</Code>" in answer
    assert b"<Region>us-east-1</Region>" in answer
    with clients.boto(elsewhere) as client:
        client.put_object(Bucket="target", Key="a", Body=b"x")
    assert [each.status for each in strict.asked("PutObject")] == [400, 200]


def test_a_long_listing_comes_in_pages_in_the_order_of_utf8(strict: StrictCloud, s3: Any) -> None:
    """No page has more than 1,000 keys, a token leads to the next, a delimiter folds."""
    keys = [f"{number:04}" for number in range(1100)] + ["\uffff", "\U00010000", "dir/1", "dir/2"]
    s3.put_object(Bucket="target", Key="template", Body=b"x")
    objects = strict.s3.buckets["target"].objects
    template = objects.pop("template")
    objects.update(dict.fromkeys(reversed(keys), template))
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="target"))
    assert [len(page["Contents"]) for page in pages] == [1000, 104]
    assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(keys, key=str.encode)
    folded = s3.list_objects_v2(Bucket="target", Prefix="d", Delimiter="/")
    assert (folded["CommonPrefixes"], folded["KeyCount"]) == ([{"Prefix": "dir/"}], 1)
    one = s3.list_objects_v2(Bucket="target", StartAfter="dir/1", MaxKeys=1)
    assert (one["Contents"][0]["Key"], one["MaxKeys"], one["IsTruncated"], one["StartAfter"]) == (
        *("dir/2", 1, True),
        "dir/1",
    )
    none = s3.list_objects_v2(Bucket="target", MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"]) == (0, False)


def test_what_the_s3_side_does_not_know_it_refuses(s3: Any) -> None:
    """No client gets a false comfort from an answer to a question that was not understood."""
    assert refused(s3.get_bucket_acl) == "NotImplemented"
    assert refused(s3.list_objects) == "NotImplemented"
    assert refused(s3.copy_object, Key="b", CopySource="target/a") == "NotImplemented"


# -------------------------------------------------------------------------------------------------- S3: multipart


def begin(s3: Any, key: str = "big", **more: str) -> str:
    """A multipart upload's id."""
    return str(s3.create_multipart_upload(Bucket="target", Key=key, **more)["UploadId"])


def send(s3: Any, upload_id: str, number: int, data: bytes, **more: str) -> dict[str, Any]:
    """Upload one part; what the list of parts needs of it."""
    got = s3.upload_part(
        Bucket="target",
        Key="big",
        UploadId=upload_id,
        PartNumber=number,
        Body=data,
        ChecksumAlgorithm="CRC64NVME",
        **more,
    )
    return {"PartNumber": number, "ETag": got["ETag"], "ChecksumCRC64NVME": got["ChecksumCRC64NVME"]}


def finish(s3: Any, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    """Complete it."""
    listed = {"Parts": parts}
    return s3.complete_multipart_upload(Bucket="target", Key="big", UploadId=upload_id, MultipartUpload=listed, **more)


def test_amazons_own_uploader_gets_its_multipart_upload_through(strict: StrictCloud, s3: Any) -> None:
    """boto3 splits, uploads in parallel and completes; the object has all bytes and a checksum of all bytes."""
    data = b"".join(Seeded(5, 20 * MIB + 3).read(0, 20 * MIB + 3))
    s3.upload_fileobj(io.BytesIO(data), "target", "big", ExtraArgs={"ContentType": "video/mp4", "Metadata": {"a": "b"}})
    found = strict.s3.buckets["target"].objects["big"]
    assert len(strict.asked("UploadPart")) == 3
    assert (found.data == data, found.crc64nvme) == (True, crc64nvme(data))
    assert (found.headers["content-type"], found.metadata, found.etag[-2:]) == ("video/mp4", {"a": "b"}, "-3")
    assert strict.s3.buckets["target"].uploads == {}


def test_a_full_object_checksum_is_combined_from_the_parts(strict: StrictCloud, s3: Any) -> None:
    """CRC64NVME of the whole: a wrong claim is refused and leaves the upload open, the right one completes it."""
    data = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"end"]
    upload_id = begin(s3, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
    parts = [send(s3, upload_id, number, each) for number, each in enumerate(data, start=1)]

    def claim(value: str) -> Any:
        return finish(s3, upload_id, parts, ChecksumCRC64NVME=value, ChecksumType="FULL_OBJECT")

    with pytest.raises(ClientError, match="BadDigest"):
        claim(crc64nvme(b"other"))
    assert list(strict.s3.buckets["target"].uploads) == [upload_id]
    assert claim(crc64nvme(b"".join(data)))["ChecksumCRC64NVME"] == crc64nvme(b"".join(data))
    head = s3.head_object(Bucket="target", Key="big", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (crc64nvme(b"".join(data)), "FULL_OBJECT")
    with pytest.raises(ClientError, match="NoSuchUpload"):
        claim(crc64nvme(b"".join(data)))


def test_the_list_of_parts_is_checked(s3: Any) -> None:
    """Order, ETags, checksums, the size of every part but the last, and the size of the whole."""
    upload_id = begin(s3, ChecksumAlgorithm="CRC64NVME")
    small, last = send(s3, upload_id, 1, b"small"), send(s3, upload_id, 2, b"last")

    def code(parts: list[dict[str, Any]], **more: Any) -> str:
        with pytest.raises(ClientError) as caught:
            finish(s3, upload_id, parts, **more)
        return code_of(caught.value)

    assert code([last, small]) == "InvalidPartOrder"
    assert code([{**small, "ETag": '"0"'}, last]) == "InvalidPart"
    assert code([{**small, "ChecksumCRC64NVME": crc64nvme(b"other")}, last]) == "InvalidPart"
    assert code([small, {**last, "PartNumber": 3}]) == "InvalidPart"
    assert code([small, last]) == "EntityTooSmall"
    assert code([small], MpuObjectSize=6) == "InvalidRequest"
    finish(s3, upload_id, [small], MpuObjectSize=5)  # the only part is the last one


def test_a_part_is_checked_when_it_arrives(s3: Any) -> None:
    """Its number, its checksum, and that the checksum is of the kind that the upload was begun with."""
    upload_id = begin(s3, ChecksumAlgorithm="CRC64NVME")
    part = {"Key": "big", "UploadId": upload_id, "PartNumber": 1, "Body": b"bytes"}
    assert refused(s3.upload_part, **{**part, "ChecksumCRC64NVME": crc64nvme(b"other")}) == "BadDigest"
    assert refused(s3.upload_part, **{**part, "ChecksumAlgorithm": "CRC32"}) == "InvalidRequest"
    assert refused(s3.upload_part, **{**part, "PartNumber": 10_001}) == "InvalidArgument"
    assert refused(s3.upload_part, **{**part, "UploadId": "other"}) == "NoSuchUpload"


def test_open_uploads_can_be_found_and_aborted(s3: Any) -> None:
    """ListMultipartUploads by prefix and page by page, ListParts page by page, and nothing is left after an abort."""
    ids = {key: begin(s3, key) for key in ("big", "a/1", "a/2", "b")}
    pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket="target", PaginationConfig={"PageSize": 1}))
    found = [(each["Key"], each["UploadId"]) for page in pages for each in page["Uploads"]]
    assert found == sorted(ids.items())
    below = s3.list_multipart_uploads(Bucket="target", Prefix="a/")["Uploads"]
    assert [each["Key"] for each in below] == ["a/1", "a/2"]
    sent = [send(s3, ids["big"], number, b"%d" % number) for number in (3, 1, 2)]
    paged = s3.get_paginator("list_parts").paginate(
        Bucket="target", Key="big", UploadId=ids["big"], PaginationConfig={"PageSize": 2}
    )
    listed = [each for page in paged for each in page["Parts"]]
    assert [each["PartNumber"] for each in listed] == [1, 2, 3]
    assert {each["ETag"] for each in listed} == {each["ETag"] for each in sent}
    assert listed[0]["ChecksumCRC64NVME"] == crc64nvme(b"1")
    for key, upload_id in ids.items():
        s3.abort_multipart_upload(Bucket="target", Key=key, UploadId=upload_id)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="target")


def test_completing_respects_if_none_match(s3: Any) -> None:
    """What somebody else put there meanwhile is not overwritten."""
    upload_id = begin(s3, ChecksumAlgorithm="CRC64NVME")
    part = send(s3, upload_id, 1, b"ours")
    s3.put_object(Bucket="target", Key="big", Body=b"theirs")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        finish(s3, upload_id, [part], IfNoneMatch="*")
    assert s3.get_object(Bucket="target", Key="big")["Body"].read() == b"theirs"


# ---------------------------------------------------------------------------------------------------- other clients


def test_rclone_lists_and_copies_from_one_side_to_the_other(strict: StrictCloud, tmp_path: Path) -> None:
    """Rclone finds every plain blob, copies it (small and in parts), and its own check is content."""
    strict.azure.put("films", "a/b.mp4", b"small", headers={"Content-Type": "video/mp4"})
    strict.azure.put("films", "\u00fc x", b"")
    strict.azure.put("films", "large", Seeded(9, 12 * MIB))
    strict.s3.make_bucket("target")
    env = rclone.remotes(strict.azure_at, strict.s3_at)
    listed = rclone.run("lsf", "-R", "--files-only", "azure:", env=env)
    assert sorted(listed.stdout.splitlines()) == ["films/a/b.mp4", "films/large", "films/\u00fc x"]
    copied = rclone.run("copy", "azure:", "s3:target", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", env=env)
    assert (copied.returncode, copied.stderr) == (0, "")
    verdict = rclone.check(strict.azure_at, strict.s3_at, "target")
    assert (verdict.is_clean, len(verdict.equal)) == (True, 3)
    assert judge.compare(strict.azure_at, strict.s3_at, "target", our_metadata="mtime").blobs == 3
    assert len(strict.asked("UploadPart")) == 3


def test_requests_arrive_exactly_as_they_were_sent(strict: StrictCloud) -> None:
    """The log has the raw path: dot segments, double slashes and the spelling of escapes."""
    path = "/scstest/films/a/../%2e%2E//b%2fc;d"
    raw(strict.azure_at.url, {}, b"", verb="GET", path=path)
    assert [each.path for each in strict.log] == [path]


def test_an_upload_that_is_refused_early_gets_its_answer(strict: StrictCloud, s3: Any) -> None:
    """With `Expect: 100-continue` the refusal comes before the body is sent."""
    strict.s3.rules = Rules(put_max=10)
    request = {**signed(strict.s3_at, "PUT", "/target/a"), "Expect": "100-continue"}
    answer = raw(strict.s3_at.url, {**request, "Content-Length": "1000"}, b"")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"EntityTooLarge" in answer
    answer = raw(strict.s3_at.url, {**request, "Content-Length": "5"}, b"12345")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_tls_is_trusted_only_with_its_own_authority(tmp_path: Path) -> None:
    """With the CA file both clients work; without it the connection fails, and the cloud goes on."""
    with StrictCloud(tls=tmp_path) as cloud:
        cloud.azure.put("films", "a", b"safe")
        cloud.s3.make_bucket("target")
        with fill.Account(cloud.azure_at) as account, clients.boto(cloud.s3_at) as client:
            assert account.ask("GET", "films", "a").body == b"safe"
            client.put_object(Bucket="target", Key="a", Body=b"safe")
        with fill.Account(cloud.azure_at._replace(ca_file="")) as account, pytest.raises(ssl.SSLCertVerificationError):
            account.ask("GET", "films", "a")
        with fill.Account(cloud.azure_at) as account:
            assert account.ask("GET", "films", "a").body == b"safe"


def test_it_serves_many_connections_at_once(strict: StrictCloud) -> None:
    """Two hundred clients at the same moment each get their blob."""
    strict.azure.put("films", "a", b"x" * 1000)
    together = threading.Barrier(200)
    got = []

    def read() -> None:
        with fill.Account(strict.azure_at) as account:
            together.wait(timeout=30)
            got.append(account.ask("GET", "films", "a").body)

    threads = [threading.Thread(target=read) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [b"x" * 1000] * 200


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """A script fills it and makes faults; it says where it is; SIGTERM ends it and its log is written."""
    script = {
        "blobs": [
            {"container": "films", "name": "a", "text": "hello"},
            {"container": "films", "name": "b", "seed": 1, "size": 9},
        ],
        "buckets": ["target"],
        "faults": [{"do": "Answer", "status": 500, "code": "InternalError", "operation": "GetBlob", "path": r"/a\?"}],
    }
    (tmp_path / "script.json").write_text(json.dumps(script))
    command = [sys.executable, "-m", "tests.servers.strict", "--script", str(tmp_path / "script.json")]
    with subprocess.Popen([*command, "--log", str(tmp_path / "log")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        azure = AzureAt(where["azure"]["url"], where["azure"]["account"], where["azure"]["key"])
        try:
            with fill.Account(azure) as account:
                assert [account.ask("GET", "films", name).status for name in ("a", "a", "b")] == [500, 200, 200]
        finally:
            process.terminate()
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (process.returncode, [each["status"] for each in log], log[0]["faults"]) == (0, [500, 200, 200], ["Answer"])


# ----------------------------------------------------------------------------------------------------------- faults


DATA = bytes(range(256)) * 4


def hit(strict: StrictCloud, fault: Fault, *, patience_s: float = 30, **headers: str) -> bytes:
    """What the wire has in answer to GET of a blob with the bytes DATA, headers included."""
    strict.azure.put("films", "a", DATA)
    strict.faults.append(fault)
    sas = clients.account_sas(strict.azure_at)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw(strict.azure_at.url, named, b"", verb="GET", path=f"/scstest/films/a?{sas}", patience_s=patience_s)


def body_of(answer: bytes) -> bytes:
    """What follows the headers."""
    return answer.partition(b"\r\n\r\n")[2]


def test_a_fault_hits_the_requests_it_names_and_no_others(strict: StrictCloud, account: fill.Account) -> None:
    """By operation, path, first and number of hits; the log says which request was hit by what."""
    strict.azure.put("films", "a", b"x")
    strict.azure.put("films", "b", b"x")
    strict.faults.append(Fault(BUSY, operation="GetBlob", path="/a", nth=2, times=2))
    assert [account.ask("GET", "films", "b").status for _ in range(2)] == [200, 200]
    assert account.ask("HEAD", "films", "a").status == 200
    assert [account.ask("GET", "films", "a").status for _ in range(4)] == [200, 503, 503, 200]
    assert [each.status for each in strict.log if each.faults == ("Answer",)] == [503, 503]
    strict.faults[:] = [Fault(BUSY, times=0)]
    assert {account.ask("GET", "films", "a").status for _ in range(5)} == {503}


def test_answers_instead_of_the_right_one(strict: StrictCloud, s3: Any, account: fill.Account) -> None:
    """Errors in each service's own form with headers, pages of a captive portal, redirects."""
    strict.faults.append(Fault(BUSY))
    busy = account.ask("GET", query={"comp": "list"})
    assert (busy.status, busy.headers["retry-after"], busy.headers["x-ms-error-code"]) == (503, "1", "ServerBusy")
    strict.faults[:] = [Fault(LOGIN_PAGE)]
    page = account.ask("GET", query={"comp": "list"})
    assert (page.status, page.headers["content-type"], "x-ms-request-id" in page.headers) == (200, "text/html", False)
    strict.faults[:] = [Fault(Answer(307, headers={"Location": "http://elsewhere.invalid/"}))]
    assert account.ask("GET", query={"comp": "list"}).headers["location"] == "http://elsewhere.invalid/"
    strict.faults[:] = [Fault(SLOW_DOWN, operation="PutObject")]
    assert refused(s3.put_object, Key="a", Body=b"x") == "SlowDown"


def test_connections_end_as_scripted(strict: StrictCloud) -> None:
    """RST or FIN after so many bytes, with a length or without, or no answer at all."""
    assert len(body_of(hit(strict, Fault(Cut(after=100))))) == 100
    cut = hit(strict, Fault(Cut(after=100, says_length=False)))
    assert (b"content-length" in cut.lower(), body_of(cut)) == (False, DATA[:100])
    for fault in (Reset(after=0), Reset(after=1), Reset(after=1023), Reset(after=1024), Drop()):
        with pytest.raises(ConnectionResetError):
            hit(strict, Fault(fault))
    assert hit(strict, Fault(Drop(reset=False))) == b""


def test_bodies_are_wrong_as_scripted(strict: StrictCloud) -> None:
    """Too short, too long, one bit wrong, another range, no range, and headers that lie."""
    assert body_of(hit(strict, Fault(Shorten(keep=10)))) == DATA[:10]
    long = hit(strict, Fault(Pad(extra=5)))
    assert (b"Content-Length: 1029" in long, body_of(long)) == (True, DATA + bytes(5))
    endless = hit(strict, Fault(Pad(extra=40 << 20, says_length=False)))
    assert (b"Content-Length" in endless, len(body_of(endless))) == (False, 1024 + (40 << 20))
    flipped = body_of(hit(strict, Fault(Flip(offset=700, bit=3))))
    assert [(i, a ^ b) for i, (a, b) in enumerate(zip(flipped, DATA, strict=True)) if a != b] == [(700, 8)]
    whole = hit(strict, Fault(IgnoreRange()), x_ms_range="bytes=10-19")
    assert (whole.startswith(b"HTTP/1.1 200"), body_of(whole)) == (True, DATA)
    other = hit(strict, Fault(OtherRange("bytes=0-9")), x_ms_range="bytes=10-19")
    assert (b"Content-Range: bytes 0-9/1024" in other, body_of(other)) == (True, DATA[:10])
    changed = hit(strict, Fault(Headers({"Content-Range": "bytes 0-9/99"}, drop=("ETag",))), x_ms_range="bytes=10-19")
    assert (b"bytes 0-9/99" in changed, b"\r\nETag" in changed, body_of(changed)) == (True, False, DATA[10:20])
    stale = hit(strict, Fault(IgnoreConditions()), If_Match='"old"')
    assert stale.startswith(b"HTTP/1.1 200")


def test_bytes_are_late_as_scripted(strict: StrictCloud) -> None:
    """A stall holds the rest back for its time, a drip keeps to its rate; stopping the cloud does not wait for them."""
    began = time.monotonic()
    assert body_of(hit(strict, Fault(Stall(after=500, seconds=0.3)))) == DATA
    assert 0.3 <= time.monotonic() - began < 5
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        hit(strict, Fault(Stall(after=-1, seconds=3600)), patience_s=0.3)
    assert time.monotonic() - began < 5
    began = time.monotonic()
    assert body_of(hit(strict, Fault(Drip(bytes_per_s=4096)))) == DATA
    assert 0.2 <= time.monotonic() - began < 5


def test_a_cloud_that_stalls_stops_at_once() -> None:
    """An answer that is stalled for an hour does not keep a test from ending."""
    with StrictCloud() as cloud:
        reader = threading.Thread(target=lambda: hit(cloud, Fault(Stall(after=5, seconds=3600))))
        reader.start()
        deadline = time.monotonic() + 10
        while not (cloud.log and cloud.log[0].sent) and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
    reader.join()
    assert time.monotonic() - began < 2


def test_listings_go_wrong_as_scripted(strict: StrictCloud, account: fill.Account) -> None:
    """A page that breaks off, and a marker that comes again and again."""
    for name in ("a", "b", "c"):
        strict.azure.put("films", name)
    strict.azure.page = 1
    query = {"restype": "container", "comp": "list"}
    strict.faults.append(Fault(Shorten(keep=200), operation="ListBlobs"))
    assert account.ask("GET", "films", query=query).body.endswith(b"</EnumerationResults>") is False
    same = Edit("<NextMarker>.*?</NextMarker>", "<NextMarker>YQ==</NextMarker>")
    strict.faults[:] = [Fault(same, operation="ListBlobs", times=0)]
    names = [account.ask("GET", "films", query={**query, "marker": "YQ=="}).body for _ in range(3)]
    assert all(b"<Name>b</Name>" in each and b"<NextMarker>YQ==</NextMarker>" in each for each in names)


def test_the_world_changes_as_scripted(strict: StrictCloud, account: fill.Account) -> None:
    """A blob is replaced, deleted, or anything else happens, just before the n-th answer."""
    old = strict.azure.put("films", "a", b"old")
    strict.faults += [
        Fault(Rewrite("films", "a", "new"), operation="GetBlob", nth=2),
        Fault(Remove("films", "a"), operation="GetBlob", nth=3),
        Fault(Call(lambda cloud: cloud.azure.remove("films")), operation="GetBlob", nth=4),
    ]
    guard = {"If-Match": f'"{old.etag}"'}
    answers = [account.ask("GET", "films", "a", headers=guard) for _ in range(4)]
    codes = [each.headers.get("x-ms-error-code", "") for each in answers]
    assert codes == ["", "ConditionNotMet", "BlobNotFound", "ContainerNotFound"]


def test_a_success_whose_answer_is_lost(strict: StrictCloud, s3: Any) -> None:
    """The service did it, and the client cannot know: dropped, a 500, or a 200 with an error inside."""
    objects = strict.s3.buckets["target"].objects
    strict.faults += [
        Fault(Drop(committed=True), path="/dropped"),
        Fault(Answer(500, "InternalError", committed=True), path="/failed"),
        Fault(Drop(after_reading=2), path="/half"),
    ]
    for key in ("dropped", "failed", "half"):
        with pytest.raises(Exception, match=r"closed|InternalError|reset"):
            s3.put_object(Bucket="target", Key=key, Body=b"x" * 10)
    assert sorted(objects) == ["dropped", "failed"]
    assert [each.received for each in strict.asked("PutObject")] == [10, 10, 2]
    upload_id = begin(s3, ChecksumAlgorithm="CRC64NVME")
    part = send(s3, upload_id, 1, b"x")
    strict.faults.append(Fault(Answer(200, "InternalError"), operation="CompleteMultipartUpload"))
    with pytest.raises(ClientError, match="InternalError"):
        finish(s3, upload_id, [part])
    assert "big" not in objects
    finish(s3, upload_id, [part])
    assert "big" in objects


def test_the_whole_cloud_can_go_away_and_come_back(strict: StrictCloud, account: fill.Account) -> None:
    """Connections are refused for a while; then the same address answers again, with everything in it."""
    strict.azure.put("films", "a", b"x")
    with strict.offline(), pytest.raises(ConnectionRefusedError):
        account.ask("GET", "films", "a")
    assert account.ask("GET", "films", "a").body == b"x"


def test_faults_can_be_written_as_json() -> None:
    """Each object is an action with its own arguments and those of the fault."""
    written = '[{"do": "Flip", "offset": 3, "bit": 1, "operation": "GetBlob", "nth": 2, "times": 0}, {"do": "Drop"}]'
    assert from_json(json.loads(written)) == [Fault(Flip(3, 1), operation="GetBlob", nth=2, times=0), Fault(Drop())]


# ------------------------------------------------------------------------------------------------------ raw requests


def raw(
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    verb: str = "PUT",
    path: str = "/target/a",
    patience_s: float = 30,
) -> bytes:
    """All bytes of the answer on a connection of its own, headers included."""
    host = url.split("/")[2]
    length = {} if verb == "GET" or "Content-Length" in headers else {"Content-Length": str(len(body))}
    fields = {"Host": host, **length, "x-ms-version": fill.VERSION, "Connection": "close", **headers}
    lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), timeout=patience_s) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def signed(at: S3At, verb: str, path: str, body: bytes | None = None) -> dict[str, str]:
    """The headers with which botocore signs a request; without a body they sign no particular one."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class AnyPayload(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            return "UNSIGNED-PAYLOAD"

    request = AWSRequest(verb, f"{at.url}{path}", data=body)
    signer = AnyPayload if body is None else S3SigV4Auth
    signer(Credentials(at.access_key_id, at.secret_access_key), "s3", at.region).add_auth(request)
    return dict(request.headers.items())
