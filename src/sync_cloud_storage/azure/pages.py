"""What the account answers, from XML and headers to values."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import unquote

from lxml import etree

from sync_cloud_storage.model import Blob, Container

SYSTEM_CONTAINERS = frozenset({"$logs", "$blobchangefeed"})  # the service's own; `$root` and `$web` are the user's

PROPERTIES = {
    "Content-Type": "content-type",
    "Content-Encoding": "content-encoding",
    "Content-Language": "content-language",
    "Content-Disposition": "content-disposition",
    "Cache-Control": "cache-control",
}
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * n : 3 * n + 3]: f"{n + 1:02}" for n in range(12)}


def parse(body: bytes) -> Any:
    """The root element of a page.

    Raises:
        ValueError: It is no XML that a listing can be.
    """
    try:
        root: Any = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    # Entities are not expanded (billion laughs, XXE): an entity needs a DTD, and a DTD has no place in a listing.
    if root.getroottree().docinfo.doctype:
        raise ValueError("it has a DTD")
    # Without its last element a page that was cut off would pass for the last page of a listing.
    if root.tag != "EnumerationResults" or root.find("NextMarker") is None:
        raise ValueError("it is not the whole page of a listing")
    return root


def containers(page: Any) -> tuple[Container, ...]:
    """The containers of a page, without the service's own.

    Raises:
        ValueError: An entry has no name.
    """
    found = tuple(
        Container(
            node.findtext("Name") or "",
            iso(node.findtext("Properties/Last-Modified") or ""),
            (node.findtext("Properties/Etag") or "").strip('"'),
        )
        for node in page.iterfind("Containers/Container")
        if node.findtext("Name") not in SYSTEM_CONTAINERS
    )
    if not all(container.name for container in found):
        raise ValueError("the entry of a container lacks its name")
    return found


def blobs(page: Any) -> list[Blob]:
    """The blobs of a page.

    Raises:
        ValueError: An entry lacks what every blob has.
    """
    listed = page.find("Blobs")
    return [_blob(node) for node in listed if node.tag == "Blob"] if listed is not None else []


def next_marker(page: Any) -> str:
    """Where the listing goes on, "" at its end."""
    return page.findtext("NextMarker") or ""


def described(name: str, head: dict[str, str]) -> Blob:
    """The blob that the answer to a HEAD describes.

    Raises:
        ValueError: It has no length.
    """
    return Blob(
        name,
        int(head.get("content-length", "")),
        head.get("etag", "").strip('"'),
        iso(head.get("last-modified", "")),
        head.get("content-md5", ""),
        _json({ours: head[ours] for ours in PROPERTIES.values() if head.get(ours)}),
        _json({key[10:]: value for key, value in head.items() if key.startswith("x-ms-meta-")}),
        head.get("x-ms-blob-type", "BlockBlob"),
        head.get("x-ms-access-tier", ""),
    )


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
    size, etag = properties.get("Content-Length", ""), properties.get("Etag", "").strip('"')
    if not (name and size.isdecimal() and etag):
        raise ValueError(f"the entry of blob '{name[:200]}' lacks its name, length or ETag")
    return Blob(
        name,
        int(size),
        etag,
        iso(properties.get("Last-Modified", "")),
        properties.get("Content-MD5", ""),
        _json({ours: properties[theirs] for theirs, ours in PROPERTIES.items() if theirs in properties}),
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


def iso(date: str) -> str:
    """`Mon, 23 Nov 2026 03:18:30 GMT` (RFC 1123, always in this form here) as `2026-11-23T03:18:30Z`."""
    if len(date) != 29:
        return date
    return f"{date[12:16]}-{_MONTHS.get(date[8:11], '00')}-{date[5:7]}T{date[17:25]}Z"
