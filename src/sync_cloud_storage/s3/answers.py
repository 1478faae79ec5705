"""What the endpoint answers, from headers and XML to values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

from lxml import etree

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.http.messages import Response


class Part(NamedTuple):
    """One part of a multipart upload as the endpoint has it. `checksum` is S3's text form, "" where it has none."""

    number: int
    size_bytes: int
    etag: str
    checksum: str


class Stored(NamedTuple):
    """An object as the endpoint describes it. `checksum`: full-object CRC64NVME, S3's text form; "" if it has none."""

    size_bytes: int
    etag: str
    checksum: str
    version_id: str
    about: tuple[str, ...] = ()  # its properties and metadata as header lines, where it was looked at


Listed = tuple[str, int, str]  # key, size in bytes, ETag
_ROW_BEGIN, _ROW_END = b"<Contents>", b"</Contents>"
_TEXT = r"[^<&>\x00-\x1f\ufffe\uffff\ufffd]"  # what stands in XML for itself
_ENTRY = r"(?:<(?!Key|ETag|Size|Contents)[A-Za-z]+>[^<]*</[A-Za-z]+>)*"  # what an object has besides, in any order
_ROW = re.compile(
    rf"<Contents>{_ENTRY}<Key>({_TEXT}+)</Key>{_ENTRY}<ETag>(?:&quot;|\")([0-9A-Za-z-]+)(?:&quot;|\")</ETag>{_ENTRY}"
    rf"<Size>([0-9]{{1,18}})</Size>{_ENTRY}(?:<Owner>{_ENTRY}</Owner>)?{_ENTRY}"
).fullmatch
_DESCRIBES = frozenset({"content-type", "content-encoding", "content-language", "content-disposition", "cache-control"})


class HashSink:
    """Sink: nothing is kept but the checksum."""

    def __init__(self) -> None:
        self.received = 0
        self.crc = 0

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over."""
        del headers
        self.received = 0
        self.crc = 0
        return status == 200

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take the next bytes."""
        for piece in pieces:
            self.received += len(piece)
            self.crc = crc64nvme(piece, self.crc)


def stored(answer: Response) -> Stored:
    """The object that the answer to a HEAD describes.

    Raises:
        ValueError: Its length is no number.
    """
    full = answer.header("x-amz-checksum-type") != "COMPOSITE"
    length = answer.header("content-length") or "0"
    if not (length.isascii() and length.isdigit()):
        raise ValueError(f"its length is {length[:40]!r}")
    return Stored(
        int(length),
        answer.header("etag").strip('"'),
        answer.header("x-amz-checksum-crc64nvme") if full else "",
        answer.header("x-amz-version-id"),
        tuple(sorted(f"{name}: {value}" for name, value in answer.headers.items() if is_description(name))),
    )


def is_description(name: str) -> bool:
    """Whether a header, in lower case, says what an object is, and not where or how it is kept."""
    return name in _DESCRIBES or name.startswith("x-amz-meta-")


def listed_part(node: Any) -> Part:
    """A part in the answer to ListParts."""
    try:
        number, size = int(child(node, "PartNumber")), int(child(node, "Size"))
    except ValueError as error:
        raise BlobFault("S3-ANSWER", f"The endpoint lists a part without number or size ({error}).") from error
    return Part(number, size, child(node, "ETag").strip('"'), child(node, "ChecksumCRC64NVME"))


def objects(body: bytes) -> tuple[list[Listed], bool]:
    """(key, size in bytes, ETag) of each object in an answer to ListObjectsV2, and whether there are more.

    Rows of the usual form are taken to pieces without a parser: a bucket has millions of them.

    Raises:
        ValueError: It is no such answer.
    """
    begin, end = body.find(_ROW_BEGIN), body.rfind(_ROW_END) + len(_ROW_END)
    rows, around = (body[begin:end], body[:begin] + body[end:]) if 0 <= begin < end else (b"", body)
    root = _parsed(around)
    if root is None or etree.QName(root).localname != "ListBucketResult":
        raise ValueError("it is no list of objects")
    read = _unquoted if child(root, "EncodingType") == "url" else str
    found = None if b"Contents" in around else _of_usual_form(rows)
    if found is None:
        found = [_listed(node) for node in nodes(body, "Contents")]
    return [(read(key), size, etag) for key, size, etag in found], child(root, "IsTruncated") == "true"


def _of_usual_form(rows: bytes) -> list[Listed] | None:
    """None when a row has another form."""
    found = []
    for row in rows.decode("utf-8", "replace").split("</Contents>")[:-1]:
        match = _ROW(row)
        if match is None:
            return None
        key, etag, size = match.groups()
        found.append((key, int(size), etag))
    return found


def _listed(node: Any) -> Listed:
    key, size = child(node, "Key"), child(node, "Size")
    if not key:
        raise ValueError("an object has no key")
    return key, int(size), child(node, "ETag").strip('"')


def _unquoted(key: str) -> str:
    return unquote_plus(key) if "%" in key or "+" in key else key


def _parsed(body: bytes) -> Any:
    # "recover": S3 writes keys with control characters as they are, which XML forbids.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    return etree.fromstring(body, parser) if body.strip() else None


def nodes(body: bytes, name: str) -> list[Any]:
    """All elements of that name in an answer, whatever its namespace.

    Raises:
        BlobFault: S3-ANSWER, it is no XML.
    """
    root = _parsed(body)
    if root is None:
        raise BlobFault("S3-ANSWER", "The endpoint's answer is not XML.")
    return [node for node in root.iter() if isinstance(node.tag, str) and etree.QName(node).localname == name]


def child(node: Any, name: str) -> str:
    """The text of a child element, "" where there is none."""
    return next((one.text or "" for one in node if etree.QName(one).localname == name), "")


def text(body: bytes, name: str) -> str:
    """The text of the first element of that name in an answer, "" where there is none."""
    found = nodes(body, name)
    return (found[0].text or "") if found else ""


def described_as(stored: Stored, about: Sequence[str]) -> bool:
    """Whether an object that was looked at has just the properties and metadata of these header lines."""
    pairs = [line.split(": ", 1) if ": " in line else [line.rstrip(";"), ""] for line in about]
    wanted = {name.lower(): value for name, value in pairs if is_description(name.lower())}
    had = dict(line.split(": ", 1) for line in stored.about)
    if "content-type" not in wanted:
        had.pop("content-type", None)  # every endpoint has a word of its own for "none"
    return wanted == had
