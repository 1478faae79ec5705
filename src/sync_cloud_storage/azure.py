"""Azure Blob Storage as requests and parsed answers: list, look, read. Nothing here can write to the account.

The official SDK does what happens once (a SAS from an account key, a token from Entra ID); everything that happens a
million times is a plain GET or HEAD that the pump sends with its path untouched, since most HTTP clients turn `a/../b`
into another blob's address. Facts about the service: "List Blobs", "Get Blob", "Create an account SAS" in Azure's REST
reference, read 2026-11-23.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode

from lxml import etree

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind
from sync_cloud_storage.http.messages import Line, Request, Response, Sink
from sync_cloud_storage.http.retry import AZURE, Patience, Rule, Verdict, ask, judge
from sync_cloud_storage.model import Blob, Container

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.messages import Story

API_VERSION = "2023-11-03"  # the first answers that we rely on (names with `Encoded="true"`) came with 2021-02-12
PAGE_MOST = 5000  # the service's own maximum
LIST_BODY_MAX = 64 << 20
SAS_LIFE = timedelta(days=7)
SKEW = timedelta(minutes=15)
STORAGE_SCOPE = "https://storage.azure.com/.default"

_PROPERTIES = {
    "Content-Type": "content-type",
    "Content-Encoding": "content-encoding",
    "Content-Language": "content-language",
    "Content-Disposition": "content-disposition",
    "Cache-Control": "cache-control",
}
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
_OTHER_BYTES = Rule(Kind.RETRY, "AZ-RANGE", "")


class AzureAccess(NamedTuple):
    """How requests are let in: a SAS (in the query) or a bearer token. Ends at `expires` (Unix time; 0: unknown)."""

    endpoint: str
    sas: str = ""
    bearer: str = ""
    expires: float = 0.0

    def __repr__(self) -> str:
        """Without the secret."""
        return f"AzureAccess({self.endpoint!r}, expires={self.expires})"


class AzureCredentials:
    """Gives access from what a person has: an account key, a SAS, or nothing but an identity (Entra ID).

    Args:
        account: The account's name.
        endpoint: The blob endpoint, no trailing slash.
        key: Account key, base64, or "".
        sas: SAS token without "?", or "". Comes before the key.
    """

    def __init__(self, account: str, endpoint: str, *, key: str = "", sas: str = "") -> None:
        self._account = account
        self._endpoint = endpoint
        self._key = key
        self._sas = sas.lstrip("?")
        self._identity: Any = None

    @property
    def renewable(self) -> bool:
        """Whether fresh access can be had when it runs out."""
        return not self._sas

    def access(self, now: datetime) -> AzureAccess:
        """Access that is good at *now*.

        Raises:
            EnvironmentFault: AZ-AUTH-EXPIRED, AZ-SAS, AZ-KEY or AZ-ENTRA, each saying what to do.
        """
        if self._sas:
            return self._from_sas(now)
        return self._from_key(now) if self._key else self._from_identity()

    def _from_sas(self, now: datetime) -> AzureAccess:
        fields = {name: values[0] for name, values in parse_qs(self._sas).items()}
        if "sig" not in fields:
            raise EnvironmentFault(
                "AZ-SAS",
                "AZURE_STORAGE_SAS_TOKEN is not a SAS token: it has no signature (sig=).",
                "Copy the whole token again.",
            )
        lacking = [
            name for letter, name in (("r", "read (r)"), ("l", "list (l)")) if letter not in fields.get("sp", "rl")
        ]
        if lacking:
            raise EnvironmentFault(
                "AZ-SAS",
                f"The SAS token has no permission to {' and '.join(lacking)}.",
                "Make one with sp=rl, srt=sco, ss=b.",
            )
        expires = _utc(fields.get("se", ""))
        if expires is not None and expires <= now:
            raise EnvironmentFault(
                "AZ-AUTH-EXPIRED",
                f"The SAS token ended at {fields['se']}.",
                "Put a new one into AZURE_STORAGE_SAS_TOKEN and run the same command again.",
            )
        return AzureAccess(self._endpoint, sas=self._sas, expires=expires.timestamp() if expires else 0.0)

    def _from_key(self, now: datetime) -> AzureAccess:
        from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas  # noqa: PLC0415 - half a second to import

        try:
            sas = generate_account_sas(
                self._account,
                self._key,
                ResourceTypes(service=True, container=True, object=True),
                AccountSasPermissions(read=True, list=True),
                expiry=now + SAS_LIFE,
                start=now - SKEW,
            )
        except ValueError as error:
            raise EnvironmentFault(
                "AZ-KEY",
                f"The key of account '{self._account}' is not base64 ({error}).",
                "Copy the account key again.",
            ) from error
        return AzureAccess(self._endpoint, sas=sas, expires=(now + SAS_LIFE).timestamp())

    def _from_identity(self) -> AzureAccess:
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - as above
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        if self._identity is None:
            self._identity = DefaultAzureCredential(exclude_interactive_browser_credential=True)
        try:
            token = self._identity.get_token(STORAGE_SCOPE)
        except ClientAuthenticationError as error:
            raise EnvironmentFault(
                "AZ-ENTRA",
                f"No way into account '{self._account}': no key and no SAS is set, and Entra ID gave no token.",
                "Set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or sign in with `az login`.",
            ) from error
        return AzureAccess(self._endpoint, bearer=token.token, expires=float(token.expires_on))


class Azure:
    """The door to one account. Each method is a story that tries again by itself (`http/retry.py`).

    `access` may be replaced at any time; requests made from then on use the new one.
    """

    def __init__(self, access: AzureAccess, line: Line, patience: Patience, wall: Callable[[], float]) -> None:
        self.access = access
        self._line = line._replace(raw_path=True)
        self._patience = patience
        self._wall = wall

    def containers(self, marker: str, *, most: int = PAGE_MOST) -> Story[tuple[tuple[Container, ...], str]]:
        """One page of the account's containers from *marker* on, *most* of them, and the next marker ("" at the end).

        System containers (`$root`, `$web`) are listed too; `$logs` and the change feed are the service's own and not.
        """
        asked = {"comp": "list", "maxresults": str(most), "include": "system"} | ({"marker": marker} if marker else {})
        page = yield from self._page("", asked, "the account's list of containers")
        found = []
        for node in page.iterfind("Containers/Container"):
            name = node.findtext("Name") or ""
            if name not in {"$logs", "$blobchangefeed"}:
                found.append(
                    Container(
                        name,
                        _iso(node.findtext("Properties/Last-Modified") or ""),
                        (node.findtext("Properties/Etag") or "").strip('"'),
                    )
                )
        return tuple(found), page.findtext("NextMarker") or ""

    def blobs(self, container: str, marker: str) -> Story[tuple[list[Blob], str]]:
        """One page of a container's blobs from *marker* on, and the next marker ("" at the end)."""
        asked = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(PAGE_MOST)} | (
            {"marker": marker} if marker else {}
        )
        page = yield from self._page(quote(container, safe="$"), asked, f"the list of container '{container}'")
        blobs = page.find("Blobs")
        return [_blob(node) for node in blobs if node.tag == "Blob"] if blobs is not None else [], page.findtext(
            "NextMarker"
        ) or ""

    def look(self, container: str, name: str) -> Story[Blob | None]:
        """The blob as it is now; None when the account has no such blob."""
        what = _name(container, name)
        try:
            answer = yield from ask(
                lambda: self._request("HEAD", _path(container, name)),
                lambda r: self._judge(r, what, blob=True),
                self._patience,
            )
        except BlobFault as fault:
            if fault.code in {"AZ-404-GONE", "AZ-404-CONTAINER", "HTTP-404"}:
                return None
            raise
        head = answer.headers
        return Blob(
            name,
            int(head.get("content-length", "0")),
            head.get("etag", "").strip('"'),
            _iso(head.get("last-modified", "")),
            head.get("content-md5", ""),
            _json({ours: head[ours] for ours in _PROPERTIES.values() if head.get(ours)}),
            _json({key[10:]: value for key, value in head.items() if key.startswith("x-ms-meta-")}),
            head.get("x-ms-blob-type", "BlockBlob"),
            head.get("x-ms-access-tier", ""),
        )

    def read(
        self, container: str, name: str, etag: str, span: tuple[int, int], size_bytes: int, sink: Sink | None = None
    ) -> Story[Response]:
        """Bytes [span[0], span[1]) of version *etag* of a blob of *size_bytes*: all of them, and of nothing else.

        Without a *sink* the bytes are in the answer's body. A *sink* is begun anew for each attempt.

        Raises:
            BlobFault: REPLAN when the blob is no longer that version; PERMANENT when it cannot be read.
        """
        begin, end = span
        what = _name(container, name)
        whole = begin == 0 and end == size_bytes
        headers = (f'If-Match: "{etag}"',) if whole else (f'If-Match: "{etag}"', f"x-ms-range: bytes={begin}-{end - 1}")

        def judged(answer: Response) -> Verdict | None:
            return self._judge(answer, what, blob=True) or _right_bytes(
                answer, what, etag, span, size_bytes, len(answer.body) if sink is None else sink.received
            )

        def request() -> Request:
            return self._request(
                "GET", _path(container, name), headers, sink=sink, max_body_bytes=max(end - begin, 1 << 16)
            )

        return (yield from ask(request, judged, self._patience))

    def _page(self, path: str, asked: dict[str, str], what: str) -> Story[Any]:
        parsed: list[Any] = []

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(answer, what, blob=False)
            if verdict is None:
                try:
                    parsed[:] = [_parse(answer.body)]
                except (etree.XMLSyntaxError, ValueError) as error:
                    return Verdict(_BAD_PAGE, f"{what}: a page of the listing cannot be read ({error}).")
            return verdict

        yield from ask(
            lambda: self._request("GET", path, query=asked, max_body_bytes=LIST_BODY_MAX), judged, self._patience
        )
        return parsed[0]

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
        access = self.access
        asked = "&".join(filter(None, [urlencode(query, quote_via=quote) if query else "", access.sas]))
        allowed = (f"Authorization: Bearer {access.bearer}",) if access.bearer else ()
        url = f"{access.endpoint}/{path}" + (f"?{asked}" if asked else "")
        # "identity": a proxy on the way must not compress; stored bytes are what we want, whatever they are labelled.
        return Request(
            method,
            url,
            self._line,
            (f"x-ms-version: {API_VERSION}", "Accept-Encoding: identity", *allowed, *headers),
            sink=sink,
            max_body_bytes=max_body_bytes,
        )

    def _judge(self, answer: Response, what: str, *, blob: bool) -> Verdict | None:
        verdict = judge(answer, what, AZURE)
        if verdict is None:
            if not answer.header("x-ms-request-id") or (blob and not answer.header("etag")):
                return Verdict(_STRANGER, f"{what}: the answer does not come from Azure (no request id or ETag).")
            return None
        if verdict.rule.code in {"AZ-AUTH", "AUTH-403"} and 0 < self.access.expires <= self._wall():
            ended = datetime.fromtimestamp(self.access.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return Verdict(
                Rule(
                    Kind.FATAL,
                    "AZ-AUTH-EXPIRED",
                    "Put a new SAS into AZURE_STORAGE_SAS_TOKEN and run the same command; nothing was marked failed.",
                ),
                f"The access to the account ended at {ended}.",
            )
        if not blob and verdict.rule.code == "AZ-403" and "account" in what:
            return Verdict(verdict.rule._replace(kind=Kind.FATAL), verdict.sentence)
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


def _parse(body: bytes) -> Any:
    # Entities are not expanded (billion laughs, XXE): an entity needs a DTD, and a DTD has no place in a listing.
    if b"<!DOCTYPE" in body[:1000]:
        raise ValueError("it has a DTD")
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def _blob(node: Any) -> Blob:
    name = ""
    metadata = ""
    properties: dict[str, str] = {}
    for child in node:
        if child.tag == "Name":
            name = (
                unquote(child.text or "", errors="surrogateescape")
                if child.get("Encoded") == "true"
                else child.text or ""
            )
        elif child.tag == "Properties":
            properties = {entry.tag: entry.text for entry in child if entry.text}
        elif child.tag == "Metadata" and len(child):
            metadata = _json({entry.tag: entry.text or "" for entry in child})
    return Blob(
        name,
        int(properties.get("Content-Length", "0")),
        properties.get("Etag", "").strip('"'),
        _iso(properties.get("Last-Modified", "")),
        properties.get("Content-MD5", ""),
        _json({ours: properties[theirs] for theirs, ours in _PROPERTIES.items() if theirs in properties}),
        metadata,
        properties.get("BlobType", "BlockBlob"),
        properties.get("AccessTier", ""),
    )


def _json(pairs: dict[str, str]) -> str:
    if not pairs:
        return ""
    # Almost all blobs have a content type and nothing else, and few accounts have many of them.
    return (
        _type_only(pairs["content-type"])
        if len(pairs) == 1 and "content-type" in pairs
        else json.dumps(pairs, ensure_ascii=False)
    )


@cache
def _type_only(content_type: str) -> str:
    return json.dumps({"content-type": content_type}, ensure_ascii=False)


def _iso(date: str) -> str:
    """`Mon, 23 Nov 2026 03:18:30 GMT` (RFC 1123, always in this form here) as `2026-11-23T03:18:30Z`."""
    if len(date) != 29:
        return date
    return f"{date[12:16]}-{_MONTHS.get(date[8:11], '00')}-{date[5:7]}T{date[17:25]}Z"


_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * n : 3 * n + 3]: f"{n + 1:02}" for n in range(12)}


def _utc(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _path(container: str, name: str) -> str:
    return f"{quote(container, safe='$')}/{quote(name, safe='/~')}"


def _name(container: str, name: str) -> str:
    return f"blob '{name}' in container '{container}'"


def clock_skew_s(answer: Response, wall: float) -> float:
    """Seconds that this machine's clock is ahead of the service's; 0 where the answer has no date."""
    date = answer.header("date")
    return wall - parsedate_to_datetime(date).timestamp() if date else 0.0
