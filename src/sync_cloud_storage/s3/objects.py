"""What an object is besides its bytes: the endpoint it goes to, its parts, the header lines that describe it."""

from __future__ import annotations

import json
import re
from email.header import Header
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlencode

from sync_cloud_storage.errors import BlobFault

MIB = 1 << 20
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * MIB
MAX_OBJECT_BYTES = 53_687_091_200_000  # 48.8 TiB, since 2025-12; the service itself has the last word
METADATA_MAX_BYTES = 2048
MAX_PART_BYTES = 5 << 30

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, 5.6.2
_MEND = "Change it at the source, then: scs sync --all"

_FOLLOWS = {  # what goes with the object; nothing else of a blob may become a header (no ACL, no redirect)
    "content-type": "Content-Type",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-disposition": "Content-Disposition",
    "cache-control": "Cache-Control",
}


class Profile(NamedTuple):
    """One S3-like endpoint and what it can do.

    `endpoint` has no trailing slash and, with `path_style` off, the bucket in its host name.
    """

    endpoint: str
    bucket: str
    region: str
    path_style: bool = True
    storage_class: str = ""
    acl: str = ""
    encryption: str = ""  # "", AES256 or aws:kms
    kms_key: str = ""
    tags: tuple[tuple[str, str], ...] = ()


def part_size_for(size_bytes: int, preferred_bytes: int = 0) -> int:
    """Length of the parts of an object of *size_bytes*: a multiple of 1 MiB, never more than MAX_PARTS parts.

    Args:
        size_bytes: Length of the object.
        preferred_bytes: Wanted length; 0 chooses 16 MiB, which keeps 8 parts in flight within 128 MiB of page cache.
    """
    needed = -(-size_bytes // MAX_PARTS)
    chosen = max(preferred_bytes or 16 * MIB, needed, MIN_PART_BYTES)
    return min(-(-chosen // MIB) * MIB, MAX_PART_BYTES)


def fits(part_bytes: int, size_bytes: int) -> bool:
    """Whether an object of *size_bytes* can be sent in parts of *part_bytes*."""
    return MIN_PART_BYTES <= part_bytes <= MAX_PART_BYTES and -(-size_bytes // part_bytes) <= MAX_PARTS


@lru_cache(256)  # a million blobs have a handful of descriptions
def about_object(profile: Profile, headers: str, metadata: str, original_name: str = "") -> tuple[str, ...]:
    """The header lines that make an object what its blob was, and what the settings say about all objects.

    Args:
        profile: What the settings say about all objects.
        headers: The blob's HTTP properties, JSON as in `model.Blob`.
        metadata: The user's pairs, JSON as in `model.Blob`.
        original_name: Kept as metadata `scs-name` where the key had to be changed, if there is room beside the user's
            pairs: a name of 1,024 characters can have 12 KB. The catalog has it in any case.

    Raises:
        BlobFault: S3-METADATA when there is more metadata than S3 takes; nothing of the user's is dropped silently.
    """
    lines = [
        _line(_FOLLOWS[name], _line_safe(value))
        for name, value in (json.loads(headers) if headers else {}).items()
        if name in _FOLLOWS
    ]
    pairs = {name.lower(): value for name, value in (json.loads(metadata) if metadata else {}).items()}
    if odd := [name for name in pairs if not _TOKEN.fullmatch(name)]:
        raise BlobFault("S3-METADATA", f"The metadata name '{odd[0]}' cannot stand in a header.", _MEND)
    sent = {name: _line_safe(value) for name, value in pairs.items()}
    room = METADATA_MAX_BYTES - sum(len(name) + len(value) for name, value in sent.items())
    if room < 0:
        raise BlobFault("S3-METADATA", "The blob has more than the 2 KB of user metadata that S3 takes.", _MEND)
    note = quote(original_name, safe="/")
    if note and len("scs-name") + len(note) <= room:
        sent.setdefault("scs-name", note)
    lines += [_line(f"x-amz-meta-{name}", value) for name, value in sent.items()]
    chosen = {
        "x-amz-storage-class": profile.storage_class,
        "x-amz-acl": profile.acl,
        "x-amz-server-side-encryption": profile.encryption,
        "x-amz-server-side-encryption-aws-kms-key-id": profile.kms_key,
        "x-amz-tagging": urlencode(profile.tags, quote_via=quote),
    }
    return (*lines, *(f"{name}: {value}" for name, value in chosen.items() if value))


def _line(name: str, value: str) -> str:
    return f"{name}: {value}" if value else f"{name};"  # libcurl's way to send a header with an empty value


def _line_safe(value: str) -> str:
    """A value as a header line takes it: RFC 2047 where it is not ASCII (Source: S3 "User-defined metadata")."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BlobFault("S3-METADATA", "A metadata value of the blob has half of a character.", _MEND) from error
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
        text = "A property or metadata value of the blob has control characters, which no header can carry."
        raise BlobFault("S3-METADATA", text, _MEND)
    return value if value.isascii() else Header(value, "utf-8", maxlinelen=10**6).encode()
