"""The Azure side: a read-only blob service, strict about who asks and what is asked.

From Microsoft's REST reference: List Containers, List Blobs, Get Blob, Get Blob Properties, Set Blob Tier. What it does
not know it refuses (501, or 400 for a parameter), so that nobody gets a false comfort.
"""

from __future__ import annotations

import base64
import itertools
import urllib.parse
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from tests.servers.strict import azure_access
from tests.servers.strict.azure_access import OF_SAS, Needs
from tests.servers.strict.content import Given, Seeded, digest, text
from tests.servers.strict.service import NOT_IN_XML, Page, Refusal, is_prefix, iso, page, query_of, wanted_range, xml
from tests.servers.strict.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_VERSION = "2026-02-06"
_SUMMED_RANGE = 4 << 20  # bytes; a longer range gets no checksum of its own
_HEADERS = ("Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control")
_INCLUDES = {"metadata", "deleted", "snapshots", "tags", "copy", "versions", "uncommittedblobs"}
_OPERATIONS = {  # (verb, comp, level of the path): what it is called
    ("GET", "list", "account"): "ListContainers",
    ("GET", "properties", "account"): "GetAccountInformation",
    ("HEAD", "properties", "account"): "GetAccountInformation",
    ("GET", "list", "container"): "ListBlobs",
    ("GET", "", "container"): "GetContainer",
    ("HEAD", "", "container"): "GetContainer",
    ("GET", "", "blob"): "GetBlob",
    ("HEAD", "", "blob"): "HeadBlob",
    ("PUT", "tier", "blob"): "SetBlobTier",
}
_NEEDS = {
    "ListContainers": Needs("s", "l"),
    "ListBlobs": Needs("c", "l"),
    "GetContainer": Needs("c", "r"),
    "GetBlob": Needs("o", "r"),
    "HeadBlob": Needs("o", "r"),
    "SetBlobTier": Needs("o", "w"),
}


@dataclass
class Blob:
    """A blob; tests may change any field while the service runs."""

    content: Given | Seeded
    etag: str  # without quotes
    last_modified: float
    md5: str  # base64, "" where the service has none
    headers: dict[str, str] = field(default_factory=dict)  # Content-Type, Content-Encoding ... as stored
    metadata: dict[str, str] = field(default_factory=dict)
    kind: str = "BlockBlob"
    tier: str = "Hot"
    archive_status: str = ""  # such as `rehydrate-pending-to-hot`

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.content.read(0, self.content.size))


@dataclass
class Container:
    """A container and its blobs by name."""

    etag: str
    last_modified: float
    blobs: dict[str, Blob] = field(default_factory=dict)


class Place(NamedTuple):
    """What a path means."""

    level: str  # account, container, blob; "" for another account
    container: str = ""
    blob: str = ""


class Azure:
    """One account.

    Attributes:
        containers: All of them, by name.
        page: The most entries that a page of a listing has, whatever the client asks for.
        token: A bearer token that is taken too; "" is none.
    """

    name = "azure"

    def __init__(self, account: str, key: str, clock: Callable[[], float]) -> None:
        self.account, self.key, self.token, self.page = account, key, "", 5000
        self.containers: dict[str, Container] = {}
        self._clock = clock
        self._etags = (f"0x{number:X}" for number in itertools.count(0x8DE2A0000000000))
        self._answers: dict[str, Callable[[Request, Place], Reply]] = {
            "ListContainers": self._list_containers,
            "GetAccountInformation": self._account_information,
            "ListBlobs": self._list_blobs,
            "GetContainer": lambda _, place: Reply(200, _stamps(self._container(place))),
            "GetBlob": self._read,
            "HeadBlob": self._read,
            "SetBlobTier": self._set_tier,
        }

    # ------------------------------------------------------------------------------------------------- for tests

    def make_container(self, name: str) -> Container:
        """The container, new or as it is."""
        return self.containers.setdefault(name, Container(next(self._etags), self._clock()))

    def put(
        self,
        container: str,
        name: str,
        content: bytes | Seeded = b"",
        *,
        md5: str | None = None,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        kind: str = "BlockBlob",
        tier: str = "Hot",
    ) -> Blob:
        """Store a blob, over an older one too; the name is taken as it is.

        Args:
            container: Made where it is missing.
            name: Any text.
            content: Bytes, or `Seeded(seed, size)` for a blob of any size.
            md5: None as the service would: for bytes the right one, for `Seeded` none. Or "", "right", "wrong", base64.
            headers: HTTP properties; `Content-Type` is `application/octet-stream` where it is not given.
            metadata: The user's pairs.
            kind: BlockBlob, PageBlob, AppendBlob.
            tier: Hot, Cool, Cold, Archive; "" for an account without tiers.
        """
        source = content if isinstance(content, Seeded) else Given(bytes(content))
        if md5 is None:
            md5 = "right" if isinstance(source, Given) else ""
        if md5 in {"right", "wrong"}:
            md5 = text(digest("md5", source.read(0, source.size) if md5 == "right" else [b"other bytes"]))
        stored = {"Content-Type": "application/octet-stream", **(headers or {})}
        blob = Blob(source, next(self._etags), self._clock(), md5, stored, dict(metadata or {}), kind, tier)
        self.make_container(container).blobs[name] = blob
        return blob

    def remove(self, container: str, name: str = "") -> None:
        """Take a blob away, or with no name the whole container."""
        if name:
            del self.containers[container].blobs[name]
        else:
            del self.containers[container]

    # ------------------------------------------------------------------------------------------------ the service

    def operation(self, request: Request) -> str:
        """The name of what is asked, for faults and the log."""
        comp = query_of(request).get("comp", "")
        return _OPERATIONS.get((request.verb, comp, self._place(request).level), "Unknown")

    def authorize(self, request: Request) -> None:
        """Let a request pass, or raise `Refusal`."""
        needs = _NEEDS.get(self.operation(request), Needs("", ""))
        now = self._clock()
        azure_access.check(request, needs, account=self.account, key=self.key, token=self.token, now=now)

    def answer(self, request: Request) -> Reply:
        """Answer a request that was authorized, or raise `Refusal`."""
        if "x-ms-version" not in request.headers and "sv" not in query_of(request):
            raise Refusal(400, "MissingRequiredHeader", "x-ms-version")
        do = self._answers.get(self.operation(request))
        if do is None:
            raise Refusal(501, "NotImplemented", f"{request.verb} {request.path}")
        return do(request, self._place(request))

    def error(self, status: int, code: str, message: str = "") -> Reply:
        """An error in the service's own form."""
        note = escape(f"{message or code}\nRequestId:made-up\nTime:{iso(self._clock())}")
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{note}</Message></Error>'
        return xml(body, status, {"x-ms-error-code": code})

    def stamp(self, request: Request, number: int) -> dict[str, str]:
        """The headers that every answer has."""
        return {
            "Server": "strict-cloud",
            "Date": formatdate(self._clock(), usegmt=True),
            "x-ms-request-id": f"00000000-0000-0000-0000-{number:012x}",
            "x-ms-version": request.headers.get("x-ms-version", _VERSION),
        }

    def _place(self, request: Request) -> Place:
        parts = request.path.split("/", 3)[1:]  # account, container, blob: as sent, dot segments too
        if parts[:1] != [self.account]:
            return Place("")
        if len(parts) == 1 or not parts[1]:
            return Place("account")
        container = urllib.parse.unquote(parts[1])
        if len(parts) == 3:
            return Place("blob", container, _blob_name(parts[2]))
        if "restype" in query_of(request):
            return Place("container", container)
        return Place("blob", "$root", _blob_name(parts[1]))  # the blobs of $root have no container in their address

    def _container(self, place: Place) -> Container:
        if place.container not in self.containers:
            raise Refusal(404, "ContainerNotFound")
        return self.containers[place.container]

    def _blob(self, place: Place) -> Blob:
        blobs = self._container(place).blobs
        if place.blob not in blobs:
            raise Refusal(404, "BlobNotFound")
        return blobs[place.blob]

    def _account_information(self, request: Request, _: Place) -> Reply:
        if query_of(request).get("restype") != "account":
            return xml("<StorageServiceProperties />")
        return Reply(
            200, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "false"}
        )

    # -------------------------------------------------------------------------------------------------- listings

    def _list_containers(self, request: Request, _: Place) -> Reply:
        query = _known(request, "comp", "prefix", "marker", "maxresults", "include", "timeout")
        found = self._page(query, self.containers)
        rows = "".join(_container_row(name, self.containers[name]) for name in found.entries)
        return self._listing(request, query, "", f"<Containers>{rows}</Containers>", found.last)

    def _list_blobs(self, request: Request, place: Place) -> Reply:
        known = ("restype", "comp", "prefix", "delimiter", "marker", "maxresults", "include", "timeout")
        query, blobs = _known(request, *known), self._container(place).blobs
        include = set(query.get("include", "").split(",")) - {""}
        if include - _INCLUDES:
            raise Refusal(400, "InvalidQueryParameterValue", "include")
        found = self._page(query, blobs)
        rows = "".join(
            f"<BlobPrefix>{_name(entry)}</BlobPrefix>"
            if is_prefix(entry, query.get("prefix", ""), query.get("delimiter", ""))
            else _blob_row(entry, blobs[entry], with_metadata="metadata" in include)
            for entry in found.entries
        )
        return self._listing(
            request, query, f' ContainerName="{place.container}"', f"<Blobs>{rows}</Blobs>", found.last
        )

    def _page(self, query: dict[str, str], names: Iterable[str]) -> Page:
        asked = query.get("maxresults", "5000")
        if not asked.isdigit() or int(asked) == 0:
            raise Refusal(400, "OutOfRangeQueryParameterValue", "maxresults")
        try:
            after = base64.b64decode(query.get("marker", ""), validate=True).decode("utf-8", "surrogatepass")
        except ValueError:
            raise Refusal(400, "OutOfRangeInput", "marker") from None
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(int(asked), self.page)
        return page(names, after=after, limit=limit, prefix=prefix, delimiter=delimiter)

    def _listing(self, request: Request, query: dict[str, str], where: str, rows: str, last: str) -> Reply:
        tags = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults", "delimiter": "Delimiter"}
        echo = "".join(f"<{tag}>{escape(query[key])}</{tag}>" for key, tag in tags.items() if query.get(key))
        marker = base64.b64encode(last.encode("utf-8", "surrogatepass")).decode()  # opaque to clients, as it should be
        endpoint = f"http://{request.headers.get('host', '')}/{self.account}"
        return xml(  # with a byte order mark, as the service does
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="{endpoint}"{where}>'
            f"{echo}{rows}<NextMarker>{marker}</NextMarker></EnumerationResults>"
        )

    # ---------------------------------------------------------------------------------------------------- blobs

    def _read(self, request: Request, place: Place) -> Reply:
        _known(request, "timeout")
        blob, asked = self._blob(place), request.headers
        if asked.get("if-match", "*").strip('"') not in {"*", blob.etag}:
            raise Refusal(412, "ConditionNotMet")
        headers = {
            **blob.headers,
            **_stamps(blob),
            **{f"x-ms-meta-{key}": value for key, value in blob.metadata.items()},
            "x-ms-blob-type": blob.kind,
            "x-ms-lease-state": "available",
            "Accept-Ranges": "bytes",
            **({"x-ms-access-tier": blob.tier} if blob.tier else {}),
            **({"x-ms-archive-status": blob.archive_status} if blob.archive_status else {}),
        }
        size = blob.content.size
        if request.verb == "GET" and blob.tier == "Archive":
            raise Refusal(409, "BlobBeingRehydrated" if blob.archive_status else "BlobArchived")
        span = wanted_range(asked.get("x-ms-range") or asked.get("range"), size) if request.verb == "GET" else None
        sums = _wanted_sums(request, span)
        if span is None:
            headers |= {"Content-MD5": blob.md5} if blob.md5 else {}
            return Reply(200, headers, blob.content.read(0, size), size)
        headers |= {"x-ms-blob-content-md5": blob.md5} if blob.md5 else {}
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        if "md5" in sums:
            headers["Content-MD5"] = text(digest("md5", blob.content.read(span.start, len(span))))
        if "crc64" in sums:  # little-endian, unlike S3
            crc = digest("crc64nvme", blob.content.read(span.start, len(span)))
            headers["x-ms-content-crc64"] = text(crc[::-1])
        return Reply(206, headers, blob.content.read(span.start, len(span)), len(span))

    def _set_tier(self, request: Request, place: Place) -> Reply:
        blob, tier = self._blob(place), request.headers.get("x-ms-access-tier", "")
        if tier not in {"Hot", "Cool", "Cold", "Archive"}:
            raise Refusal(400, "InvalidHeaderValue", "x-ms-access-tier")
        if blob.tier != "Archive":
            blob.tier = tier
            return Reply(200, {})
        blob.archive_status = f"rehydrate-pending-to-{tier.lower()}"  # it takes hours; a test ends it by hand
        return Reply(202, {})


def _known(request: Request, *names: str) -> dict[str, str]:
    query = query_of(request)
    if strange := set(query) - {*names, *OF_SAS}:
        raise Refusal(400, "UnsupportedQueryParameter", ", ".join(sorted(strange)))
    return query


def _wanted_sums(request: Request, span: range | None) -> set[str]:
    """Which checksums of its range a GET wants: md5, crc64; without a range, or of too long a one, there is none."""
    named = {each for each in ("md5", "crc64") if request.headers.get(f"x-ms-range-get-content-{each}") == "true"}
    if not named or request.verb != "GET":
        return set()
    if span is None or len(span) > _SUMMED_RANGE:
        raise Refusal(400, "InvalidHeaderValue", "x-ms-range-get-content-...")
    if len(named) > 1:
        raise Refusal(400, "BothCrc64AndMd5RangeHeaderPresent")
    return named


def _blob_name(path: str) -> str:
    try:
        return urllib.parse.unquote(path, errors="surrogatepass").replace("\\", "/")  # the service does that
    except UnicodeDecodeError:
        raise Refusal(400, "InvalidUri") from None


def _name(name: str) -> str:
    if NOT_IN_XML.search(name):
        return f'<Name Encoded="true">{urllib.parse.quote(name, safe="", errors="surrogatepass")}</Name>'
    return "<Name>" + escape(name, {"\r": "&#xD;"}) + "</Name>"


def _container_row(name: str, container: Container) -> str:
    return (
        f"<Container><Name>{escape(name)}</Name><Properties>{_times(container, quote='&quot;')}"
        "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
        "<HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold></Properties></Container>"
    )


def _blob_row(name: str, blob: Blob, *, with_metadata: bool) -> str:
    stored = "".join(f"<{each}>{escape(blob.headers.get(each, ''))}</{each}>" for each in _HEADERS)
    pairs = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in blob.metadata.items())
    return (
        f"<Blob>{_name(name)}<Properties><Creation-Time>{formatdate(blob.last_modified, usegmt=True)}</Creation-Time>"
        f"{_times(blob)}<Content-Length>{blob.content.size}</Content-Length>{stored}<Content-CRC64 />"
        f"<Content-MD5>{blob.md5}</Content-MD5><BlobType>{blob.kind}</BlobType>"
        + (f"<AccessTier>{blob.tier}</AccessTier>" if blob.tier else "")
        + (f"<ArchiveStatus>{blob.archive_status}</ArchiveStatus>" if blob.archive_status else "")
        + "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
        f"</Properties>{f'<Metadata>{pairs}</Metadata>' if with_metadata else ''}<OrMetadata /></Blob>"
    )


def _times(of: Blob | Container, quote: str = "") -> str:
    date = formatdate(of.last_modified, usegmt=True)
    return f"<Last-Modified>{date}</Last-Modified><Etag>{quote}{of.etag}{quote}</Etag>"


def _stamps(of: Blob | Container) -> dict[str, str]:
    return {"Last-Modified": formatdate(of.last_modified, usegmt=True), "ETag": f'"{of.etag}"'}
