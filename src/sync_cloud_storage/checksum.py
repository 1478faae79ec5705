"""One checksum for four places: CRC64NVME, run over the bytes as they pass. Floor 0.

In the code a CRC is an `int` below 2**64; text forms exist only at the doors. Azure's "storage CRC64" and S3's
CRC64NVME are the same function (reflected polynomial 0x9A6C9329AC4BC9B5, start and final value all ones), only the
byte order of the base64 text differs: Azure writes the eight bytes little-endian, S3 big-endian.

CRCs of neighbouring ranges combine without the bytes, so a blob fetched in parallel ranges, in any order, still gets
the CRC of the whole. MD5 does not combine; it exists here because the source may have a Content-MD5 to hold against.
"""

from __future__ import annotations

import base64
import hashlib
from binascii import b2a_base64
from typing import TYPE_CHECKING

from awscrt import checksums  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable

_CRC_BYTES = 8


def crc64nvme(data: bytes | bytearray | memoryview, previous: int = 0) -> int:
    """CRC64NVME of *data*, going on from *previous*, the CRC of the bytes before it (0 at the start)."""
    crc: int = checksums.crc64nvme(data, previous)
    return crc


def combine(crc_a: int, crc_b: int, length_b: int) -> int:
    """CRC of A followed by B, from the CRC of each and the length of B in bytes."""
    crc: int = checksums.combine_crc64nvme(crc_a, crc_b, length_b)
    return crc


def combine_all(parts: Iterable[tuple[int, int]]) -> int:
    """CRC of the whole from `(crc, length in bytes)` of each part, in the order of the bytes; 0 for no parts."""
    whole = 0
    for crc, length in parts:
        whole = combine(whole, crc, length)
    return whole


class Md5:
    """MD5 of a stream: against accidents, not against forgers.

    That is said to OpenSSL, too, which lets it work on machines in FIPS mode.
    """

    __slots__ = ("_hash", "size_bytes")

    def __init__(self, state: hashlib._Hash | None = None, size_bytes: int = 0) -> None:
        self._hash = state or hashlib.md5(usedforsecurity=False)
        self.size_bytes = size_bytes

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. A memoryview must be one of single bytes."""
        self._hash.update(data)
        self.size_bytes += len(data)

    def copy(self) -> Md5:
        """One that has had the same bytes, and goes its own way."""
        return Md5(self._hash.copy(), self.size_bytes)

    @property
    def base64(self) -> str:
        """MD5 so far as Content-MD5 writes it."""
        return _base64(self._hash.digest())


class Running:
    """CRC64NVME, size and, on request, MD5 of a stream, kept while it flows.

    Args:
        md5: Also keep MD5: costs about twelve times the CRC, so only for blobs that have one to compare with.
    """

    __slots__ = ("_md5", "crc", "size_bytes")

    def __init__(self, *, md5: bool = False) -> None:
        self.crc = 0
        self.size_bytes = 0
        self._md5 = Md5() if md5 else None

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. A memoryview must be one of single bytes."""
        self.crc = crc64nvme(data, self.crc)
        self.size_bytes += len(data)
        if self._md5 is not None:
            self._md5.update(data)

    @property
    def md5_base64(self) -> str:
        """MD5 so far as Content-MD5 writes it; "" when MD5 was not asked for."""
        return self._md5.base64 if self._md5 is not None else ""


def md5_base64(data: bytes) -> str:
    """MD5 of *data* as Content-MD5 writes it."""
    return _base64(hashlib.md5(data, usedforsecurity=False).digest())


def crc_to_s3(crc: int) -> str:
    """Text as in `x-amz-checksum-crc64nvme`: base64 of the eight bytes, big-endian."""
    return _base64(crc.to_bytes(_CRC_BYTES, "big"))


def crc_to_azure(crc: int) -> str:
    """Text as in `x-ms-content-crc64`: base64 of the eight bytes, little-endian."""
    return _base64(crc.to_bytes(_CRC_BYTES, "little"))


def crc_from_s3(text: str) -> int:
    """The CRC in S3's text form.

    Raises:
        ValueError: This is not base64 of eight bytes. The door that read it knows whose answer that was.
    """
    return int.from_bytes(_eight_bytes(text), "big")


def crc_from_azure(text: str) -> int:
    """The CRC in Azure's text form.

    Raises:
        ValueError: This is not base64 of eight bytes. The door that read it knows whose answer that was.
    """
    return int.from_bytes(_eight_bytes(text), "little")


def _eight_bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"no base64: {text[:40]!r}") from error
    if len(raw) != _CRC_BYTES:
        raise ValueError(f"a CRC64 has {_CRC_BYTES} bytes, not {len(raw)}: {text[:40]!r}")
    return raw


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
