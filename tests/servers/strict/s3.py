"""The S3 side: uploads, multipart uploads and listings, with S3's own limits and every checksum verified.

From the S3 API reference and user guide (2026). What it does not know it refuses (501).
"""

from __future__ import annotations

import urllib.parse
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from tests.servers.strict import multipart, sigv4
from tests.servers.strict.content import text
from tests.servers.strict.s3_store import (
    Bucket,
    Object,
    Rules,
    check_conditions,
    described,
    document,
    encryption,
    number,
    shown,
    sum_headers,
)
from tests.servers.strict.service import Refusal, is_prefix, iso, page, query_of, wanted_range, xml
from tests.servers.strict.upload import receive
from tests.servers.strict.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

_SUBRESOURCES = {"list-type", "location", "uploads", "versioning", "partNumber", "uploadId"}
_PARAMETERS = {
    *("prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner", "x-id"),
    *("key-marker", "upload-id-marker", "max-uploads", "part-number-marker", "max-parts"),
}
_OPERATIONS = {  # (verb, level of the path, subresources in the query): what it is called
    ("GET", "account", ""): "ListBuckets",
    ("HEAD", "bucket", ""): "HeadBucket",
    ("PUT", "bucket", ""): "CreateBucket",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "versioning"): "GetBucketVersioning",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("GET", "bucket", "uploads"): "ListMultipartUploads",
    ("PUT", "object", ""): "PutObject",
    ("GET", "object", ""): "GetObject",
    ("HEAD", "object", ""): "HeadObject",
    ("DELETE", "object", ""): "DeleteObject",
    ("POST", "object", "uploads"): "CreateMultipartUpload",
    ("PUT", "object", "partNumber uploadId"): "UploadPart",
    ("GET", "object", "uploadId"): "ListParts",
    ("POST", "object", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
}


class Place(NamedTuple):
    """What a path means."""

    level: str  # account, bucket, object
    bucket: str = ""
    key: str = ""


class S3:
    """One region's endpoint, path style."""

    name = "s3"

    def __init__(self, credentials: sigv4.Credentials, region: str, clock: Callable[[], float]) -> None:
        self.credentials, self.region, self.rules = credentials, region, Rules()
        self.buckets: dict[str, Bucket] = {}
        self._clock = clock

    # ------------------------------------------------------------------------------------------------- for tests

    def make_bucket(self, name: str, region: str = "", *, kms: bool = False) -> Bucket:
        """A bucket, by default in the endpoint's own region."""
        self.buckets[name] = Bucket(region or self.region, kms)
        return self.buckets[name]

    # ------------------------------------------------------------------------------------------------ the service

    def operation(self, request: Request) -> str:
        """The name of what is asked, for faults and the log."""
        query = set(query_of(request))
        if query - _SUBRESOURCES - _PARAMETERS or "x-amz-copy-source" in request.headers:
            return "Unknown"
        key = (request.verb, self._place(request).level, " ".join(sorted(query & _SUBRESOURCES)))
        return _OPERATIONS.get(key, "Unknown")

    def authorize(self, request: Request) -> None:
        """Let a request pass, or raise `Refusal`."""
        sigv4.check(request, self.credentials, self.region, self._clock())

    def answer(self, request: Request) -> Reply:
        """Answer a request that was authorized, or raise `Refusal`."""
        operation, place = self.operation(request), self._place(request)
        if operation == "Unknown":
            raise Refusal(501, "NotImplemented", f"{request.verb} {request.target}")
        self._check_limits(request, place)
        if operation in {"ListBuckets", "CreateBucket"}:
            return self._list_buckets() if place.level == "account" else self._create_bucket(place)
        bucket = self._bucket(place)
        if place.level == "bucket":
            return self._about_bucket(operation, bucket, query_of(request), place)
        if operation in {"GetObject", "HeadObject"}:
            return self._read(request, bucket, place.key)
        if operation == "PutObject":
            return self._put(request, bucket, place.key)
        if operation == "DeleteObject":
            bucket.objects.pop(place.key, None)
            return Reply(204, {})
        return multipart.answer(operation, request, bucket, place.key, rules=self.rules, now=self._clock())

    def error(self, status: int, code: str, message: str = "") -> Reply:
        """An error in the service's own form."""
        words = f"<Code>{code}</Code><Message>{escape(message or code)}</Message><RequestId>made-up</RequestId>"
        words += f"<Region>{self.region}</Region>" if code == "AuthorizationHeaderMalformed" else ""
        return xml(f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{words}</Error>', status)

    def stamp(self, request: Request, number: int) -> dict[str, str]:
        """The headers that every answer has."""
        return {
            "Server": "AmazonS3",
            "Date": formatdate(self._clock(), usegmt=True),
            "x-amz-request-id": f"{number:016X}",
            "x-amz-id-2": "made-up",
        }

    def _place(self, request: Request) -> Place:
        _, bucket, *key = request.path.split("/", 2)
        if not bucket:
            return Place("account")
        if not key or not key[0]:
            return Place("bucket", bucket)
        try:
            return Place("object", bucket, urllib.parse.unquote(key[0], errors="strict"))
        except UnicodeDecodeError:
            raise Refusal(400, "InvalidURI") from None

    def _check_limits(self, request: Request, place: Place) -> None:
        if len(place.key.encode()) > self.rules.key_max:
            raise Refusal(400, "KeyTooLongError")
        depth = 0
        for segment in place.key.split("/"):
            depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
            if depth < 0:
                raise Refusal(400, "InvalidURI", "The key leaves its bucket")
        if request.verb not in {"PUT", "POST"}:
            return
        if request.header_bytes > self.rules.headers_max:
            raise Refusal(400, "RequestHeaderSectionTooLarge")
        pairs = {name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")}
        if sum(len(name) - len("x-amz-meta-") + len(value) for name, value in pairs.items()) > self.rules.metadata_max:
            raise Refusal(400, "MetadataTooLarge")
        if any(not value.isascii() or not value.isprintable() for value in request.headers.values()):
            raise Refusal(400, "InvalidArgument", "Header values are printable ASCII")

    def _bucket(self, place: Place) -> Bucket:
        bucket = self.buckets.get(place.bucket)
        if bucket is None:
            raise Refusal(404, "NoSuchBucket")
        if bucket.region != self.region:
            raise Refusal(301, "PermanentRedirect", headers={"x-amz-bucket-region": bucket.region})
        return bucket

    # --------------------------------------------------------------------------------------------------- buckets

    def _list_buckets(self) -> Reply:
        rows = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in sorted(self.buckets))
        return document("ListAllMyBucketsResult", f"<Buckets>{rows}</Buckets>")

    def _create_bucket(self, place: Place) -> Reply:
        if place.bucket in self.buckets:
            raise Refusal(409, "BucketAlreadyOwnedByYou")
        self.make_bucket(place.bucket)
        return Reply(200, {"Location": f"/{place.bucket}"})

    def _about_bucket(self, operation: str, bucket: Bucket, query: dict[str, str], place: Place) -> Reply:
        if operation == "GetBucketLocation":
            region = "" if bucket.region == "us-east-1" else bucket.region
            return document("LocationConstraint", region)
        if operation == "GetBucketVersioning":
            return document("VersioningConfiguration", "")
        if operation == "ListObjectsV2":
            return self._list(bucket, query, place.bucket)
        if operation == "ListMultipartUploads":
            return multipart.list_uploads(bucket, query, place.bucket, self.rules)
        return Reply(200, {"x-amz-bucket-region": bucket.region})

    def _list(self, bucket: Bucket, query: dict[str, str], name: str) -> Reply:
        prefix, delimiter, show = query.get("prefix", ""), query.get("delimiter", ""), shown(query)
        token, start = query.get("continuation-token", ""), query.get("start-after", "")
        if query["list-type"] != "2":
            raise Refusal(400, "InvalidArgument", "Invalid List Type Specified in Query")
        if token and not token.startswith("next:"):
            raise Refusal(400, "InvalidArgument", "The continuation token provided is incorrect")
        most = number(query, "max-keys", self.rules.page)
        found = page(
            bucket.objects,
            after=token.removeprefix("next:") or start,
            limit=most,
            prefix=prefix,
            delimiter=delimiter,
        )
        rows = "".join(
            f"<CommonPrefixes><Prefix>{show(entry)}</Prefix></CommonPrefixes>"
            if is_prefix(entry, prefix, delimiter)
            else _row(show(entry), bucket.objects[entry])
            for entry in found.entries
        )
        more = f"<NextContinuationToken>next:{escape(found.last)}</NextContinuationToken>" if found.last else ""
        more += f"<EncodingType>{query['encoding-type']}</EncodingType>" if "encoding-type" in query else ""
        more += f"<StartAfter>{show(start)}</StartAfter>" if start else ""
        more += f"<ContinuationToken>{escape(token)}</ContinuationToken>" if token else ""
        return document(
            "ListBucketResult",
            f"<Name>{name}</Name><Prefix>{show(prefix)}</Prefix><KeyCount>{len(found.entries)}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(bool(found.last)).lower()}</IsTruncated>{more}{rows}",
        )

    # --------------------------------------------------------------------------------------------------- objects

    def _put(self, request: Request, bucket: Bucket, key: str) -> Reply:
        check_conditions(request, bucket, key)
        got = receive(request, most=self.rules.put_max, keep=self.rules.keep)
        check_conditions(request, bucket, key)  # somebody else's upload may have finished meanwhile
        algorithm = got.claimed or "crc64nvme"
        stored = bucket.store(
            key,
            Object(
                content=got.content,
                size=got.size,
                etag=got.sums["md5"].hex(),
                last_modified=self._clock(),
                crc64nvme=text(got.sums["crc64nvme"]),
                checksum=(algorithm, text(got.sums[algorithm]), "FULL_OBJECT"),
                **described(request),
            ),
        )
        return Reply(200, {"ETag": f'"{stored.etag}"', **sum_headers(stored), **encryption(stored)})

    def _read(self, request: Request, bucket: Bucket, key: str) -> Reply:
        found = bucket.objects.get(key)
        if found is None:
            raise Refusal(404, "NoSuchKey")
        if request.headers.get("if-match", "*").strip('"') not in {"*", found.etag}:
            raise Refusal(412, "PreconditionFailed")
        storage = found.settings.get("x-amz-storage-class", "STANDARD")
        headers = {
            **found.headers,
            **{f"x-amz-meta-{name}": value for name, value in found.metadata.items()},
            "ETag": f'"{found.etag}"',
            "Last-Modified": formatdate(found.last_modified, usegmt=True),
            "Accept-Ranges": "bytes",
            **({"x-amz-storage-class": storage} if storage != "STANDARD" else {}),
            **encryption(found),
        }
        span = wanted_range(request.headers.get("range"), found.size)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{found.size}"
        elif request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= sum_headers(found)
        start, length = (span.start, len(span)) if span is not None else (0, found.size)
        if request.verb == "GET" and storage in {"GLACIER", "DEEP_ARCHIVE"}:
            raise Refusal(403, "InvalidObjectState")
        if request.verb == "GET" and found.content is None:
            raise Refusal(501, "NotImplemented", "too long: this object was only summed")
        body = found.content.read(start, length) if found.content else ()
        return Reply(206 if span is not None else 200, headers, body, length)


def _row(key: str, found: Object) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{iso(found.last_modified)}</LastModified>"
        f"<ETag>&quot;{found.etag}&quot;</ETag><ChecksumAlgorithm>{found.checksum[0].upper()}</ChecksumAlgorithm>"
        f"<ChecksumType>{found.checksum[2]}</ChecksumType><Size>{found.size}</Size>"
        f"<StorageClass>{found.settings.get('x-amz-storage-class', 'STANDARD')}</StorageClass></Contents>"
    )
