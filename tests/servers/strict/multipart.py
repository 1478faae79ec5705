"""Multipart uploads on the S3 side."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.servers.strict.content import SUMS, Given, combined, text
from tests.servers.strict.s3_store import (
    Bucket,
    Object,
    Part,
    Rules,
    Upload,
    check_conditions,
    described,
    document,
    encryption,
    number,
    shown,
)
from tests.servers.strict.service import Refusal, iso, query_of
from tests.servers.strict.upload import ALGORITHMS, claimed_sums, receive
from tests.servers.strict.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterable

_IDS = (f"upload-{number_:06d}" for number_ in itertools.count(1))


def answer(operation: str, request: Request, bucket: Bucket, key: str, *, rules: Rules, now: float) -> Reply:
    """Answer what is asked about one upload, or raise `Refusal`."""
    if operation == "CreateMultipartUpload":
        return _create(request, bucket, key, now)
    query = query_of(request)
    upload = bucket.uploads.get(query["uploadId"])
    if upload is None or upload.key != key:
        raise Refusal(404, "NoSuchUpload")
    if operation == "UploadPart":
        return _part(request, upload, query["partNumber"], rules, now)
    if operation == "ListParts":
        return _list_parts(upload, query, rules)
    if operation == "CompleteMultipartUpload":
        made = _complete(request, bucket, upload, rules, now)
        del bucket.uploads[query["uploadId"]]
        tag = f"Checksum{made.checksum[0].upper()}"
        reply = document(
            "CompleteMultipartUploadResult",
            f"<Key>{escape(key)}</Key><ETag>&quot;{made.etag}&quot;</ETag><{tag}>{made.checksum[1]}</{tag}>"
            f"<ChecksumType>{made.checksum[2]}</ChecksumType>",
        )
        return reply._replace(headers={**reply.headers, **encryption(made)})
    del bucket.uploads[query["uploadId"]]
    return Reply(204, {})


def list_uploads(bucket: Bucket, query: dict[str, str], name: str, rules: Rules) -> Reply:
    """ListMultipartUploads: by key, then by the time of their beginning."""
    show, limit, prefix = shown(query), number(query, "max-uploads", rules.page), query.get("prefix", "")
    after, after_id = query.get("key-marker", ""), query.get("upload-id-marker", "")
    found = sorted(
        (upload.key, upload.begun, upload_id)
        for upload_id, upload in list(bucket.uploads.items())
        if upload.key.startswith(prefix)
        and (upload.key > after or (after_id and (upload.key, upload_id) > (after, after_id)))
    )
    rows = "".join(
        f"<Upload><Key>{show(key)}</Key><UploadId>{upload_id}</UploadId><Initiated>{iso(begun)}</Initiated>"
        f"<StorageClass>STANDARD</StorageClass></Upload>"
        for key, begun, upload_id in found[:limit]
    )
    more = ""
    if len(found) > limit:
        key, _, upload_id = found[limit - 1]
        more = f"<NextKeyMarker>{show(key)}</NextKeyMarker><NextUploadIdMarker>{upload_id}</NextUploadIdMarker>"
    more += f"<EncodingType>{query['encoding-type']}</EncodingType>" if "encoding-type" in query else ""
    truncated = str(len(found) > limit).lower()
    head = f"<Bucket>{name}</Bucket><Prefix>{show(prefix)}</Prefix><IsTruncated>{truncated}</IsTruncated>"
    return document("ListMultipartUploadsResult", head + more + rows)


def _create(request: Request, bucket: Bucket, key: str, now: float) -> Reply:
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm not in {"", *ALGORITHMS}:
        raise Refusal(400, "InvalidRequest", "x-amz-checksum-algorithm")
    usual = "FULL_OBJECT" if algorithm in {"", "crc64nvme"} else "COMPOSITE"
    kind = request.headers.get("x-amz-checksum-type", usual)
    if kind not in {"FULL_OBJECT", "COMPOSITE"} or (kind != usual and algorithm in {"", "crc64nvme", "sha1", "sha256"}):
        raise Refusal(400, "InvalidRequest", f"x-amz-checksum-type {kind} with {algorithm}")
    upload_id = next(_IDS)
    bucket.uploads[upload_id] = Upload(key, algorithm or "crc64nvme", kind, now, described(request))
    reply = document("InitiateMultipartUploadResult", f"<Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>")
    sums = {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind} if algorithm else {}
    return reply._replace(headers={**reply.headers, **sums})


def _part(request: Request, upload: Upload, number_: str, rules: Rules, now: float) -> Reply:
    if not number_.isdigit() or not 1 <= int(number_) <= rules.parts:
        raise Refusal(400, "InvalidArgument", f"Part number must be an integer between 1 and {rules.parts}, inclusive")
    got = receive(request, algorithm=upload.algorithm, most=rules.part_max, keep=rules.keep)
    if got.claimed not in {"", upload.algorithm}:
        raise Refusal(400, "InvalidRequest", f"Checksum Type mismatch: expected {upload.algorithm}, not {got.claimed}")
    part = Part(got.content, got.size, got.sums["md5"].hex(), got.sums, now)
    upload.parts[int(number_)] = part
    sum_ = {f"x-amz-checksum-{upload.algorithm}": text(got.sums[upload.algorithm])}
    return Reply(200, {"ETag": f'"{part.etag}"', **sum_})


def _list_parts(upload: Upload, query: dict[str, str], rules: Rules) -> Reply:
    after, limit = number(query, "part-number-marker", rules.parts), number(query, "max-parts", rules.page)
    after = after if "part-number-marker" in query else 0
    left = sorted((each, part) for each, part in list(upload.parts.items()) if each > after)
    tag = f"Checksum{upload.algorithm.upper()}"
    rows = "".join(
        f"<Part><PartNumber>{each}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>"
        f"<LastModified>{iso(part.last_modified)}</LastModified><{tag}>{text(part.sums[upload.algorithm])}</{tag}></Part>"
        for each, part in left[:limit]
    )
    last = f"<NextPartNumberMarker>{left[limit - 1][0]}</NextPartNumberMarker>" if len(left) > limit else ""
    truncated = str(len(left) > limit).lower()
    kinds = (
        f"<ChecksumAlgorithm>{upload.algorithm.upper()}</ChecksumAlgorithm><ChecksumType>{upload.kind}</ChecksumType>"
    )
    return document("ListPartsResult", f"<IsTruncated>{truncated}</IsTruncated>{last}{kinds}{rows}")


def _complete(request: Request, bucket: Bucket, upload: Upload, rules: Rules, now: float) -> Object:
    # Checksums in this request's head are of the object that it makes, not of its own body.
    plain = {name: value for name, value in request.headers.items() if not name.startswith("x-amz-checksum-")}
    got = receive(replace(request, headers=plain), most=16 << 20, keep=16 << 20)
    check_conditions(request, bucket, upload.key)
    parts = _listed(got.content.data if got.content else b"", upload, rules)
    size = sum(part.size for part in parts)
    if request.headers.get("x-amz-mp-object-size", str(size)) != str(size):
        raise Refusal(400, "InvalidRequest", "x-amz-mp-object-size is not the size of all parts together")
    if request.headers.get("x-amz-checksum-type", upload.kind) != upload.kind:
        raise Refusal(400, "InvalidRequest", f"The upload was created with checksum type {upload.kind}")
    if upload.kind == "FULL_OBJECT":
        value = text(combined(upload.algorithm, ((part.sums[upload.algorithm], part.size) for part in parts)))
    else:
        running = SUMS[upload.algorithm]()
        running.update(b"".join(part.sums[upload.algorithm] for part in parts))
        value = f"{text(running.digest())}-{len(parts)}"
    for algorithm, claimed in claimed_sums(request.headers).items():
        if algorithm != upload.algorithm:
            raise Refusal(400, "InvalidRequest", f"The upload was created with {upload.algorithm}")
        if claimed != value:
            raise Refusal(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    kept = [part.content.data for part in parts if part.content]
    return bucket.store(
        upload.key,
        Object(
            content=Given(b"".join(kept)) if len(kept) == len(parts) and size <= rules.keep else None,
            size=size,
            etag=f"{hashlib.md5(b''.join(part.sums['md5'] for part in parts)).hexdigest()}-{len(parts)}",  # noqa: S324
            last_modified=now,
            crc64nvme=text(combined("crc64nvme", ((part.sums["crc64nvme"], part.size) for part in parts))),
            checksum=(upload.algorithm, value, upload.kind),
            **upload.description,
        ),
    )


def _listed(body: bytes, upload: Upload, rules: Rules) -> list[Part]:
    """The parts that a client's list names, in its order."""
    try:
        listed = list(_rows(ET.fromstring(body)))  # noqa: S314 - from our own tests' clients
    except (ET.ParseError, ValueError):
        raise Refusal(400, "MalformedXML") from None
    if not listed:
        raise Refusal(400, "MalformedXML", "no part")
    numbers = [int(row["PartNumber"]) for row in listed]
    if numbers != sorted(set(numbers)):
        raise Refusal(400, "InvalidPartOrder")
    tag = f"Checksum{upload.algorithm.upper()}"
    parts = []
    for each, row in zip(numbers, listed, strict=True):
        part = upload.parts.get(each)
        if part is None or row.get("ETag", "").strip('"') != part.etag:
            raise Refusal(400, "InvalidPart", f"part {each}")
        if upload.kind == "COMPOSITE" and tag not in row:
            raise Refusal(400, "InvalidRequest", f"The complete request must include the checksum for part {each}")
        if row.get(tag, text(part.sums[upload.algorithm])) != text(part.sums[upload.algorithm]):
            raise Refusal(400, "InvalidPart", f"checksum of part {each}")
        parts.append(part)
    if small := [each for each, part in zip(numbers[:-1], parts, strict=False) if part.size < rules.part_min]:
        raise Refusal(400, "EntityTooSmall", f"part {small[0]}")
    return parts


def _rows(root: ET.Element) -> Iterable[dict[str, str]]:
    for part in root:
        yield {child.tag.rpartition("}")[2]: child.text or "" for child in part}
