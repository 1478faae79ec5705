"""Blobs of a page the quick way: several times as fast as an element tree of it, and with the same outcome or none.

The service writes all rows alike: what differs between two blobs of a container is mostly name, date, ETag, length and
MD5; the text around them comes again and again. So a row is taken to pieces by patterns that take nothing but that
form, and each text around them is understood once, by the XML parser. What is not of that form, a row or all of the
page, is left to the parser. Nothing is looked for: a row is what stands between two ends of rows, so none can be
overlooked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sync_cloud_storage.model import Blob

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = r"[^<&>\x00-\x1f\ufffe\uffff]"  # what stands in XML for itself
_START = re.compile(rb'(?:\xef\xbb\xbf)?<\?xml version="1\.0" encoding="(?:utf|UTF)-8"\?>\s*<EnumerationResults[ >]')
_HEAD = re.compile(
    rf"<Blob><Name>({_TEXT}+)</Name><Properties>(?:<Creation-Time>[A-Za-z0-9 ,:]*</Creation-Time>)?"
    r"<Last-Modified>([A-Za-z0-9 ,:]+)</Last-Modified><Etag>([A-Za-z0-9-]+)</Etag>"
    r"<Content-Length>([0-9]{1,18})</Content-Length>"
)
_MD5 = re.compile(r"<Content-MD5>([A-Za-z0-9+/=]+)</Content-MD5>")
_OURS = r"(?!(?:Creation-Time|Last-Modified|Etag|Content-Length|Content-MD5)[ />])"
_REST = re.compile(  # entries without entries of their own, and none of those that stand above
    rf"(?:<{_OURS}[A-Za-z][A-Za-z0-9-]*(?: ?/>|>[^<]*</[A-Za-z0-9-]+>))*"
)
_AFTER = re.compile(r"(?:<Metadata ?/>)?(?:<OrMetadata ?/>)?")
_END = "</Blob>"
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * n : 3 * n + 3]: f"{n + 1:02}" for n in range(12)}


class _Rest(NamedTuple):
    """What the text around the values that differ says."""

    headers: str
    kind: str
    tier: str


def read(body: bytes, frame: Callable[[bytes], Any], entry: Callable[[str], Blob]) -> tuple[list[Blob], str] | None:
    """The blobs of a page, and where the listing goes on; None when the page is not of the usual form.

    Args:
        body: The page.
        frame: The root element of a page.
        entry: The blob of one `<Blob>` element.
    """
    begin, end = body.find(b"<Blobs>"), body.rfind(b"</Blobs>")
    if not (_START.match(body) and 0 < begin < end):
        return None
    begin += len(b"<Blobs>")
    around = body[:begin] + body[end:]
    if around.count(b"<Blobs") != 1 or around.count(b"<?") != 1 or b"<!" in around or b"xmlns" in around:
        return None
    try:
        root = frame(around)
        rows = str(memoryview(body)[begin:end], "utf-8").split(_END)
        if root.find("Blobs") is None or rows.pop():
            return None
        return _Rows(entry).read(rows), root.findtext("NextMarker") or ""
    except ValueError:  # what is wrong, if anything, is said of the page as a whole
        return None


class _Rows:
    """The rows of one page. What was understood once is kept for the page, not longer: some texts never come again."""

    def __init__(self, entry: Callable[[str], Blob]) -> None:
        self._entry = entry
        self._rests: dict[tuple[str, str], _Rest | None] = {}
        self._dates: dict[str, str] = {}

    def read(self, rows: list[str]) -> list[Blob]:
        head_of, md5_of, rests, dates = _HEAD.match, _MD5.search, self._rests, self._dates
        blobs: list[Blob] = []
        for row in rows:
            head = head_of(row)
            if head is None:
                blobs.append(self._entry(row + _END))
                continue
            name, date, etag, size = head.groups()
            found = md5_of(row, head.end())
            if found is None:
                md5, around = "", (row[head.end() :], "")
            else:
                md5, around = found[1], (row[head.end() : found.start()], row[found.end() :])
            rest = rests[around] if around in rests else self._understand(around, has_md5=bool(md5))
            if rest is None:
                blobs.append(self._entry(row + _END))
                continue
            modified = dates.get(date) or dates.setdefault(date, iso(date))
            blobs.append(Blob(name, int(size), etag, modified, md5, rest.headers, "", rest.kind, rest.tier))
        return blobs

    def _understand(self, around: tuple[str, str], *, has_md5: bool) -> _Rest | None:
        before, after = around if has_md5 else ("", around[0])
        properties, _, behind = after.partition("</Properties>")
        rest = None
        if _REST.fullmatch(before) and _REST.fullmatch(properties) and _AFTER.fullmatch(behind):
            blob = self._entry(
                f"<Blob><Name>n</Name><Properties><Etag>e</Etag><Content-Length>0</Content-Length>{before}{after}{_END}"
            )
            rest = _Rest(blob.headers, blob.kind, blob.tier)
        self._rests[around] = rest
        return rest


def iso(date: str) -> str:
    """`Mon, 23 Nov 2026 03:18:30 GMT` (RFC 1123, always in this form here) as `2026-11-23T03:18:30Z`."""
    if len(date) != 29:
        return date
    return f"{date[12:16]}-{_MONTHS.get(date[8:11], '00')}-{date[5:7]}T{date[17:25]}Z"
