"""The bytes of blobs and objects: given, or made from a seed at any length without memory; and their checksums."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from awscrt import checksums  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BLOCK = 1_048_573  # bytes; a prime: no power of two, so that bytes read at a wrong offset are never the same bytes
_STRETCH = 1 << 18


class Given(NamedTuple):
    """These bytes."""

    data: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """The bytes from *start* on, in stretches."""
        for at in range(start, start + length, _STRETCH):
            yield self.data[at : min(at + _STRETCH, start + length)]


class Seeded(NamedTuple):
    """Random bytes that anybody can make again from the seed, from any offset on; every block of them differs."""

    seed: int
    size: int

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """The bytes from *start* on, in stretches."""
        at, end = start, start + length
        while at < end:
            block, offset = divmod(at, _BLOCK)
            filled = struct.pack(">Q", block) + _filling(self.seed)
            yield filled[offset : min(_BLOCK, offset + end - at)]
            at += _BLOCK - offset


@cache
def _filling(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK - 8)


class Running(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes, /) -> object:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """The value so far, in the order of bytes in which S3 writes it."""


class _Crc:
    def __init__(self, add: Callable[[bytes, int], int], width: int) -> None:
        self._add, self._width, self._value = add, width, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._add(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


SUMS: dict[str, Callable[[], Running]] = {
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}
_COMBINE = {
    "crc64nvme": checksums.combine_crc64nvme,
    "crc32": checksums.combine_crc32,
    "crc32c": checksums.combine_crc32c,
}


def digest(algorithm: str, pieces: Iterable[bytes]) -> bytes:
    """The checksum of all pieces together."""
    running = SUMS[algorithm]()
    for piece in pieces:
        running.update(piece)
    return running.digest()


def combined(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of a whole from the CRC and the length of each of its parts."""
    value, width = 0, 0
    for part, length in parts:
        value, width = _COMBINE[algorithm](value, int.from_bytes(part, "big"), length), len(part)
    return value.to_bytes(width, "big")


def text(digest: bytes) -> str:
    """A digest as it stands in a header: base64."""
    return base64.b64encode(digest).decode()
