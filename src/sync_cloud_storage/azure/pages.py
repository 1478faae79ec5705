"""What the account answers, from XML and headers to values."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import unquote

from lxml import etree

from sync_cloud_storage.azure import rows
from sync_cloud_storage.azure.rows import iso
from sync_cloud_storage.model import Blob, Container

SYSTEM_CONTAINERS = frozenset({"$logs", "$blobchangefeed"})  # the service's own; `$root` and `$web` are the user's

PROPERTIES = {
    "Content-Type": "content-type",
    "Content-Encoding": "content-encoding",
    "Content-Language": "content-language",
    "Content-Disposition": "content-disposition",
    "Cache-Control": "cache-control",
}


def _parsed(body: bytes) -> Any:
    """The root element of a page.

    Raises:
        ValueError: It is no XML that a listing can be.
    """
    root = _element(body)
    # Entities are not expanded (billion laughs, XXE): an entity needs a DTD, and a DTD has no place in a listing.
    if root.getroottree().docinfo.doctype:
        raise ValueError("it has a DTD")
    # Without its last element a page that was cut off would pass for the last page of a listing.
    if root.tag != "EnumerationResults" or root.find("NextMarker") is None:
        raise ValueError("it is not the whole page of a listing")
    return root


def _element(text: bytes) -> Any:
    try:
        return etree.fromstring(text, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


def containers(body: bytes) -> tuple[tuple[Container, ...], str]:
    """The containers of a page, without the service's own, and where the listing goes on ("" at its end).

    Raises:
        ValueError: It is not the whole page of a listing, or an entry has no name.
    """
    page = _parsed(body)
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
    return found, _next_marker(page)


def blobs(body: bytes) -> tuple[list[Blob], str]:
    """The blobs of a page, and where the listing goes on ("" at its end).

    Raises:
        ValueError: It is not the whole page of a listing, or an entry lacks what every blob has.
    """
    return rows.read(body, _parsed, _entry) or _every(_parsed(body))


def level(body: bytes) -> tuple[tuple[list[Blob], list[str] | None], str]:
    """The blobs of a page of one level (a listing with a delimiter), and the prefixes of those below it.

    The prefixes are None where the service says more of them than their name: they are folders of a file system then
    (hierarchical namespace), which such a listing does not show as it shows blobs.

    Raises:
        ValueError: As `blobs`.
    """
    page = _parsed(body)
    found, next_marker = _every(page)
    below = page.findall("Blobs/BlobPrefix")
    are_names = all(len(node) == 1 and node[0].tag == "Name" and node[0].text for node in below)
    return (found, [_name(node[0]) for node in below] if are_names else None), next_marker


def _every(page: Any) -> tuple[list[Blob], str]:
    listed = page.find("Blobs")
    found = [_blob(node) for node in listed if node.tag == "Blob"] if listed is not None else []
    return found, _next_marker(page)


def _next_marker(page: Any) -> str:
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


def _entry(text: str) -> Blob:
    node = _element(text.encode())
    # What may stand before an element, but not inside of a page, would make the two differ.
    if node.tag != "Blob" or "<!" in text or "<?" in text:
        raise ValueError("an entry is none of a blob")
    return _blob(node)


def _blob(node: Any) -> Blob:
    name = ""
    metadata = ""
    properties: dict[str, str] = {}
    for child in node:
        if child.tag == "Name":
            name = _name(child)
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


def _name(node: Any) -> str:
    text: str = node.text or ""
    return unquote(text, errors="surrogateescape") if node.get("Encoded") == "true" else text


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
