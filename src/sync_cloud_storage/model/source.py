"""What the source has, and where each blob goes."""

from __future__ import annotations

from typing import NamedTuple


class Container(NamedTuple):
    """A container as the account lists it."""

    name: str
    last_modified: str
    etag: str


class Blob(NamedTuple):
    """A blob as the source describes it, in a listing or in the answer to a HEAD.

    `content_md5` is base64 as the service writes it, "" where it has none. `headers` are the HTTP properties that
    follow the blob (`content-type`, `content-encoding`, `content-language`, `content-disposition`, `cache-control`)
    and `metadata` the user's own pairs; both are JSON objects as text, "" when empty.
    """

    name: str
    size_bytes: int
    etag: str
    last_modified: str
    content_md5: str = ""
    headers: str = ""
    metadata: str = ""
    kind: str = "BlockBlob"  # BlockBlob, PageBlob, AppendBlob
    tier: str = ""  # Hot, Cool, Cold, Archive ...; "" where the account has no tiers


class Place(NamedTuple):
    """Where a blob goes: its object key, its path on the NAS, and why it does not go at all.

    `nas_fold` is `nas_path` under NFC and case folding: two places with equal folds would be one file on some NAS.
    `skip_reason` is "" for a blob that moves. `error` is "" or `CODE: sentence` for a name that cannot be moved.
    """

    s3_key: str
    nas_path: str
    nas_fold: str
    skip_reason: str = ""
    error: str = ""


class Entry(NamedTuple):
    """One entry of a manifest: version *etag* of a blob was downloaded, and its bytes are at *nas_path*.

    `md5` is "" where none was needed; the others are as in `Download` and `Downloaded`.
    """

    container: str
    blob: str
    etag: str
    size_bytes: int
    crc64nvme: str
    md5: str
    attested: bool
    nas_path: str
    at_utc: str


# The fields of a blob, and those of its place or None for the usual one: key and path are `container/blob`, in ASCII.
Listed = tuple[str, int, str, str, str, str, str, str, str, tuple[str, str, str, str, str] | None]
