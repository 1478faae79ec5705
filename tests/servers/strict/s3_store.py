"""What the S3 side keeps, and the words in which it speaks of it."""

from __future__ import annotations

import secrets
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from tests.servers.strict.service import NOT_IN_XML, Refusal, xml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.strict.content import Given
    from tests.servers.strict.wire import Reply, Request

_STORED = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires")
_SETTINGS = ("x-amz-acl", "x-amz-storage-class", "x-amz-tagging", "x-amz-website-redirect-location")
_SETTINGS_BEGIN = ("x-amz-server-side-encryption", "x-amz-object-lock", "x-amz-grant")


class Rules(NamedTuple):
    """The limits of a dialect; these are S3's own. Sizes in bytes."""

    part_min: int = 5 << 20
    part_max: int = 5 << 30
    parts: int = 10_000
    put_max: int = 5 << 30
    key_max: int = 1024
    headers_max: int = 8 << 10
    metadata_max: int = 2 << 10
    page: int = 1000
    keep: int = 64 << 20  # of one upload; what is longer is only summed


@dataclass
class Object:
    """An object; tests may change any field while the service runs."""

    content: Given | None  # None: too long to keep, only summed
    size: int
    etag: str  # without quotes
    last_modified: float
    crc64nvme: str  # base64, of all bytes; computed here, whatever the client sent
    checksum: tuple[str, str, str]  # what S3 keeps and shows: algorithm, value, FULL_OBJECT or COMPOSITE
    headers: dict[str, str] = field(default_factory=dict)  # lower case: content-type, cache-control ...
    metadata: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # x-amz-acl, x-amz-storage-class, x-amz-tagging ...

    @property
    def data(self) -> bytes:
        """All bytes.

        Raises:
            ValueError: They were too many to keep.
        """
        if self.content is None:
            raise ValueError("not kept: too long")
        return self.content.data


class Part(NamedTuple):
    """A part that has arrived."""

    content: Given | None
    size: int
    etag: str
    sums: dict[str, bytes]
    last_modified: float


@dataclass
class Upload:
    """A multipart upload that is not finished."""

    key: str
    algorithm: str
    kind: str  # FULL_OBJECT or COMPOSITE
    begun: float
    description: dict[str, dict[str, str]]
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass
class Bucket:
    """A bucket. `kms`: default encryption that makes ETags no MD5."""

    region: str
    kms: bool = False
    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def store(self, key: str, made: Object) -> Object:
        """Put an object in its place; where KMS encrypts, its ETag is no MD5."""
        if self.kms:
            made.settings.setdefault("x-amz-server-side-encryption", "aws:kms")
        if made.settings.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
            _, dash, parts = made.etag.partition("-")
            made.etag = f"{secrets.token_hex(16)}{dash}{parts}"
        self.objects[key] = made
        return made


def check_conditions(request: Request, bucket: Bucket, key: str) -> None:
    """If-None-Match: * and If-Match of a write, or raise `Refusal`."""
    none, match, there = request.headers.get("if-none-match"), request.headers.get("if-match"), bucket.objects.get(key)
    if none not in {None, "*"}:
        raise Refusal(501, "NotImplemented", "If-None-Match takes * only")
    if none and there:
        raise Refusal(412, "PreconditionFailed")
    if match and not there:
        raise Refusal(404, "NoSuchKey")
    if match and there and match.strip('"') != there.etag:
        raise Refusal(412, "PreconditionFailed")


def described(request: Request) -> dict[str, dict[str, str]]:
    """What the headers of an upload say about the object, as `Object` takes it."""
    given = request.headers
    headers = {name: given[name] for name in _STORED if name in given}
    coding = headers.pop("content-encoding", "").replace("aws-chunked", "").strip(", ")
    headers |= {"content-encoding": coding} if coding else {}
    start = "x-amz-meta-"
    return {
        "headers": {"content-type": "binary/octet-stream", **headers},
        "metadata": {name.removeprefix(start): value for name, value in given.items() if name.startswith(start)},
        "settings": {n: v for n, v in given.items() if n in _SETTINGS or n.startswith(_SETTINGS_BEGIN)},
    }


def document(tag: str, inner: str) -> Reply:
    """An answer in S3's XML."""
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return xml(f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag} xmlns="{space}">{inner}</{tag}>')


def shown(query: dict[str, str]) -> Callable[[str], str]:
    """How keys are written in a listing.

    Raises:
        Refusal: An encoding that S3 does not have.
    """
    coding = query.get("encoding-type")
    if coding not in {None, "url"}:
        raise Refusal(400, "InvalidArgument", "encoding-type")
    if coding == "url":
        return lambda key: urllib.parse.quote_plus(key, safe="/*-_.")
    # As S3: characters that XML 1.0 cannot hold become references that no parser of XML 1.0 takes.
    return lambda key: NOT_IN_XML.sub(lambda hit: f"&#x{ord(hit[0]):X};", escape(key, {"\r": "&#13;"}))


def number(query: dict[str, str], name: str, most: int) -> int:
    """A number in the query, at most *most*, which is the default too.

    Raises:
        Refusal: It is none.
    """
    if not query.get(name, "0").isdigit():
        raise Refusal(400, "InvalidArgument", name)
    return min(int(query.get(name, most)), most)


def sum_headers(found: Object) -> dict[str, str]:
    """The checksum that S3 keeps of an object."""
    algorithm, value, kind = found.checksum
    return {f"x-amz-checksum-{algorithm}": value, "x-amz-checksum-type": kind}


def encryption(found: Object) -> dict[str, str]:
    """How it is encrypted."""
    kind = found.settings.get("x-amz-server-side-encryption", "AES256")
    key = found.settings.get("x-amz-server-side-encryption-aws-kms-key-id")
    more = {"x-amz-server-side-encryption-aws-kms-key-id": key} if key else {}
    return {"x-amz-server-side-encryption": kind, **more}
