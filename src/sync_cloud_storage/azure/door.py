"""The account as stories: one page of a listing, one blob's head, one range of its bytes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote, urlencode

from sync_cloud_storage.azure import pages
from sync_cloud_storage.checksum import crc64nvme, crc_from_azure, crc_to_azure
from sync_cloud_storage.errors import BlobFault, Kind
from sync_cloud_storage.http.messages import Line, Request, Response, Sink
from sync_cloud_storage.http.retry import AZURE, Patience, Rule, Verdict, ask, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.azure.access import AzureAccess
    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.model import Blob, Container

T = TypeVar("T")

API_VERSION = "2023-11-03"  # the first answers that we rely on (names with `Encoded="true"`) came with 2021-02-12
PAGE_MOST = 5000  # the service's own maximum
LIST_BODY_MAX = 64 << 20

# Source: reference of Microsoft's @azure/storage-blob 12.31, `BlobDownloadOptionalParams` and `BlobQueryHeaders`, read
# 2026-11-25: the service gives its CRC64 of a range of up to 4 MB, and not beside its MD5 of the range (400).
ATTEST_MOST_BYTES = 4 << 20
_WANTED = "x-ms-range-get-content-crc64: true"
_GIVEN = "x-ms-content-crc64"

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch  # nothing that would have to be quoted; nearly all names

_STRANGER = Rule(
    Kind.RETRY,
    "CAPTIVE-PORTAL",
    "A proxy or portal seems to answer in place of Azure; check the proxy settings.",
    then=Kind.FATAL,
)
_BAD_PAGE = Rule(
    Kind.RETRY,
    "AZ-LIST-XML",
    "Run again; if it stays so, list the container with another tool to see which name breaks it.",
)
_ANYBODYS_WORD = frozenset({407, 408, 429})  # a gateway on the way may say these, and means what it says
_OTHER_BYTES = Rule(Kind.RETRY, "AZ-RANGE", "")
_OTHER_CRC = Rule(
    Kind.RETRY, "AZ-CRC", "Try again with --retry-failed --attest; memory, network or a proxy may be at fault."
)
_GIVES_NONE = Rule(Kind.RETRY, "HTTP-500", "")


class BlobSink(Sink, Protocol):
    """A sink that knows the CRC64NVME of what it took since `begin`."""

    @property
    def crc(self) -> int:
        """Of all bytes so far."""
        ...


class Azure:
    """The door to one account. Each method is a story that tries again by itself (`http/retry.py`).

    `access` may be replaced at any time; requests made from then on use the new one.
    """

    def __init__(self, access: AzureAccess, line: Line, patience: Patience, wall: Callable[[], float]) -> None:
        self.access = access
        self._line = line._replace(raw_path=True)
        self._always: tuple[AzureAccess, tuple[str, ...]] = (access, _headers_for(access))
        self._patience = patience
        self._wall = wall
        self._gives_crc = True  # until it says that it does not

    def containers(self, marker: str, *, most: int = PAGE_MOST) -> Story[tuple[tuple[Container, ...], str]]:
        """One page of the account's containers from *marker* on, *most* of them, and the next marker ("" at the end).

        System containers (`$root`, `$web`) are listed too; `$logs` and the change feed are the service's own and not.
        """
        asked = {"comp": "list", "maxresults": str(most), "include": "system"} | ({"marker": marker} if marker else {})
        return (yield from self._page("", asked, f"the account at {self.access.endpoint}", pages.containers))

    def blobs(self, container: str, marker: str, prefix: str = "") -> Story[tuple[list[Blob], str]]:
        """One page of a container's blobs from *marker* on, and the next marker ("" at the end).

        Those only whose names begin with *prefix*.
        """
        return (yield from self._list(container, {"prefix": prefix, "marker": marker}, pages.blobs))

    def level(self, container: str, prefix: str) -> Story[tuple[tuple[list[Blob], list[str] | None], str]]:
        """The first page of what is directly below *prefix*: blobs, and prefixes up to the next `/`; the next marker.

        The prefixes are None where they stand for more than names (`pages.level`).
        """
        return (yield from self._list(container, {"prefix": prefix, "delimiter": "/"}, pages.level))

    def look(self, container: str, name: str) -> Story[Blob | None]:
        """The blob as it is now; None when the account has no such blob."""
        what = _name(container, name)
        path = _path(container, name)
        found: list[Blob] = []

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(answer, what, blob=True)
            if verdict is None:
                try:
                    found[:] = [pages.described(name, answer.headers)]
                except ValueError as error:
                    return Verdict(_STRANGER, f"{what}: its properties cannot be read ({error}).")
            return verdict

        try:
            yield from ask(lambda: self._request("HEAD", path), judged, self._patience)
        except BlobFault as fault:
            if fault.code in {"AZ-404-GONE", "AZ-404-CONTAINER", "HTTP-404"}:
                return None
            raise
        return found[0]

    def read(
        self,
        container: str,
        name: str,
        etag: str,
        span: tuple[int, int],
        size_bytes: int,
        sink: BlobSink | None = None,
        *,
        first: Response | None = None,
        attest: bool = False,
    ) -> Story[Response]:
        """Bytes [span[0], span[1]) of version *etag* of a blob of *size_bytes*: all of them, and of nothing else.

        Without a *sink* the bytes are in the answer's body. A *sink* is begun anew for each attempt. *first* is the
        answer to the first attempt, where `reading` made that already.

        *attest*: the service is asked for its own CRC64 of the span, of 1 to `ATTEST_MOST_BYTES` bytes; other bytes
        than those are wrong bytes. Whether it gave one, says `is_attested` of the answer.

        Raises:
            BlobFault: REPLAN when the blob is no longer that version; PERMANENT when it cannot be read.
        """
        what = _name(container, name)

        def judged(answer: Response) -> Verdict | None:
            received = len(answer.body) if sink is None else sink.received
            verdict = self._judge(answer, what, blob=True) or _right_bytes(
                answer, what, etag, span, size_bytes, received
            )
            if not attest:
                return verdict
            if answer.header("x-ms-error-code") == "FeatureNotSupported":  # Azurite, unless it is told to be `--loose`
                self._gives_crc = False
                return Verdict(_GIVES_NONE, f"{what}: the service knows no CRC64 of a range.")
            return verdict or _right_crc(answer, what, span, crc64nvme(answer.body) if sink is None else sink.crc)

        def request() -> Request:
            return self.reading(container, name, etag, span, size_bytes, sink, attest=attest)

        return (yield from ask(request, judged, self._patience, first))

    def reading(
        self,
        container: str,
        name: str,
        etag: str,
        span: tuple[int, int],
        size_bytes: int,
        sink: Sink | None = None,
        *,
        attest: bool = False,
    ) -> Request:
        """The request of `read`, for whoever looks at the answer himself (`is_whole`).

        Raises:
            BlobFault: `AZ-NAME`, no address can hold the blob's name.
        """
        begin, end = span
        headers: tuple[str, ...] = (f'If-Match: "{etag}"',)
        if attest or span != (0, size_bytes):
            headers += (f"x-ms-range: bytes={begin}-{end - 1}",)
        if attest and self._gives_crc:
            headers += (_WANTED,)
        path = _path(container, name)
        return self._request("GET", path, headers, sink=sink, max_body_bytes=max(end - begin, 1 << 16))

    def is_whole(self, answer: Response, etag: str, size_bytes: int) -> bool:
        """Whether an answer to `reading` beyond doubt has all of a blob.

        A second judge beside that of `read`, since it costs a small blob in company less than a story of its own. What
        it refuses goes to `read` as *first* and is judged in full there.
        """
        headers = answer.headers
        return (
            answer.status == 200
            and len(answer.body) == size_bytes
            and headers.get("etag", "").strip('"') == etag
            and "x-ms-request-id" in headers
        )

    def _list(
        self, container: str, asked: dict[str, str], read: Callable[[bytes], tuple[T, str]]
    ) -> Story[tuple[T, str]]:
        asked = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(PAGE_MOST)} | {
            key: value for key, value in asked.items() if value
        }
        what = f"the list of container '{container}'"
        return (yield from self._page(quote(container, safe="$"), asked, what, read))

    def _page(
        self, path: str, asked: dict[str, str], what: str, read: Callable[[bytes], tuple[T, str]]
    ) -> Story[tuple[T, str]]:
        found: list[tuple[T, str]] = []

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(answer, what, blob=False)
            if verdict is not None and verdict.rule.code == "AZ-403" and not path:  # nothing at all can be listed
                return Verdict(verdict.rule._replace(kind=Kind.FATAL), verdict.sentence)
            if verdict is None:
                try:
                    found[:] = [read(answer.body)]
                except ValueError as error:
                    return Verdict(_BAD_PAGE, f"{what}: a page of the listing cannot be read ({error}).")
            return verdict

        yield from ask(
            lambda: self._request("GET", path, query=asked, max_body_bytes=LIST_BODY_MAX), judged, self._patience
        )
        return found[0]

    def _request(
        self,
        method: str,
        path: str,
        headers: tuple[str, ...] = (),
        *,
        query: dict[str, str] | None = None,
        sink: Sink | None = None,
        max_body_bytes: int = 1 << 16,
    ) -> Request:
        access, always = self._always
        if access is not self.access:
            access, always = self._always = (self.access, _headers_for(self.access))
        asked = access.sas
        if query:
            asked = "&".join(filter(None, [urlencode(query, quote_via=quote), asked]))
        url = f"{access.endpoint}/{path}?{asked}" if asked else f"{access.endpoint}/{path}"
        return Request(method, url, self._line, always + headers, sink=sink, max_body_bytes=max_body_bytes)

    def _judge(self, answer: Response, what: str, *, blob: bool) -> Verdict | None:
        verdict = judge(answer, what, AZURE)
        # A proxy's 404 must not pass for Azure's word that a blob is gone, nor its login page for a blob.
        stranger = (
            200 <= answer.status < 500 and answer.status not in _ANYBODYS_WORD and not answer.header("x-ms-request-id")
        )
        if stranger or (verdict is None and blob and not answer.header("etag")):
            return Verdict(
                _STRANGER, f"{what}: the answer ({answer.status}) does not come from Azure (no request id or ETag)."
            )
        if verdict is None:
            return None
        ended = 0 < self.access.expires <= self._wall()
        if verdict.rule.code in {"AZ-AUTH", "AUTH-403"} and self.access.sas and ended:
            when = datetime.fromtimestamp(self.access.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return Verdict(
                Rule(
                    Kind.FATAL,
                    "AZ-AUTH-EXPIRED",
                    "Put a new SAS into AZURE_STORAGE_SAS_TOKEN and run the same command; nothing was marked failed.",
                ),
                f"The access to the account ended at {when}.",
            )
        return verdict


def _right_bytes(
    answer: Response, what: str, etag: str, span: tuple[int, int], size_bytes: int, received: int
) -> Verdict | None:
    """None when the answer is exactly what was asked for; every peer's client takes some of these for good."""
    begin, end = span
    got = answer.header("etag").strip('"')
    if got != etag:
        return Verdict(
            AZURE["ConditionNotMet"], f"{what}: the answer is of another version ({got}) than was asked for ({etag})."
        )
    if answer.status == 206:
        said = answer.header("content-range")
        if said != f"bytes {begin}-{end - 1}/{size_bytes}":
            return Verdict(
                _OTHER_BYTES, f"{what}: asked for bytes {begin}-{end - 1} of {size_bytes}, the answer is '{said}'."
            )
    elif not (begin == 0 and end == size_bytes):
        return Verdict(_OTHER_BYTES, f"{what}: asked for a range, the answer is the whole blob.")
    if received != end - begin:
        return Verdict(_OTHER_BYTES, f"{what}: {received} bytes arrived instead of {end - begin}.")
    return None


def is_attested(answer: Response) -> bool:
    """Whether the service gave its own checksum with an answer of `read`, which has compared it."""
    return bool(answer.header(_GIVEN))


def _right_crc(answer: Response, what: str, span: tuple[int, int], crc: int) -> Verdict | None:
    """None when the service's own CRC64 is *crc*, that of what arrived; or when it gave none."""
    said = answer.header(_GIVEN)
    if not said:
        return None
    which = f"{what}: of bytes {span[0]}-{span[1] - 1}"
    try:
        theirs = crc_from_azure(said)
    except ValueError as error:
        return Verdict(_OTHER_CRC, f"{which} the service's own CRC64 cannot be read ({error}).")
    if theirs == crc:
        return None
    ours = crc_to_azure(crc)
    return Verdict(_OTHER_CRC, f"{which} the service's own CRC64 is {said}, that of what arrived is {ours}.")


def _headers_for(access: AzureAccess) -> tuple[str, ...]:
    """The headers of every request."""
    # "identity": a proxy on the way must not compress; stored bytes are what we want, whatever they are labelled.
    common = (f"x-ms-version: {API_VERSION}", "Accept-Encoding: identity")
    return (*common, f"Authorization: Bearer {access.bearer}") if access.bearer else common


def _path(container: str, name: str) -> str:
    if _PLAIN(name) and _PLAIN(container):
        return f"{container}/{name}"
    try:
        return f"{quote(container, safe='$')}/{quote(name, safe='/~')}"
    except UnicodeEncodeError as error:
        raise BlobFault("AZ-NAME", "The name has half of a character, which no address can hold.") from error


def _name(container: str, name: str) -> str:
    return f"blob '{name}' in container '{container}'"
