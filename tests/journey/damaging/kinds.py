"""How things are damaged: bytes, and words that stand in an answer or a report. What is changed here is never the same.

A change that nobody relies on is no damage. So a word that still means the same (base64 has bits that mean nothing)
does not count, nor does one that would make a whole page unreadable: it would hide what else is wrong on that page.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

FLIP = "one bit"
SHORTER = "shorter"
LONGER = "longer"
SWAPPED = "another blob's"
RANGES = "ranges swapped"
OLDER = "older version"
CHECKSUM = "checksum's text"
MD5 = "MD5's text"
ETAG = "ETag's text"
RANGE = "range's text"
LENGTH = "length's text"
KEY = "key's text"

SAME_LENGTH = (FLIP, SWAPPED, RANGES, OLDER)
OTHER_LENGTH = (SHORTER, LONGER)
OF_BYTES = (*SAME_LENGTH, *OTHER_LENGTH)
KINDS = (*OF_BYTES, CHECKSUM, MD5, ETAG, RANGE, LENGTH, KEY)

LONGER_MOST_BYTES = 64
_BREAKS_A_PAGE = frozenset('"<&\\,')


class Outcome(NamedTuple):
    """What came of one damage. `missed` is "" where it was found, else what the product made of it."""

    place: str
    kind: str
    missed: str


class Unsound(AssertionError):
    """The harness did not do what it says: what it tells about the product is worth nothing."""


def wrong_bytes(kind: str, data: bytes, other: bytes, dice: random.Random) -> bytes:
    """*data* as it must never be taken for itself. *other* is another blob of the same length."""
    if kind == SHORTER:
        return data[: dice.randrange(len(data))]
    if kind == LONGER:
        return data + dice.randbytes(dice.randint(1, LONGER_MOST_BYTES))
    if kind == SWAPPED and other != data:  # a range of a byte or two may be the same by chance: then a bit
        return other
    if kind == RANGES:
        return _ranges_swapped(data, dice)
    if kind == OLDER:
        begin = dice.randrange(len(data))
        stretch = min(len(data) - begin, dice.randint(1, 100))
        return (
            data[:begin]
            + bytes(byte ^ dice.randint(1, 255) for byte in data[begin : begin + stretch])
            + data[begin + stretch :]
        )
    wrong = bytearray(data)
    wrong[dice.randrange(len(wrong))] ^= 1 << dice.randrange(8)
    return bytes(wrong)


def _ranges_swapped(data: bytes, dice: random.Random) -> bytes:
    while True:
        length = dice.randint(1, max(1, len(data) // 4))
        first = dice.randint(0, len(data) - 2 * length)
        second = dice.randint(first + length, len(data) - length)
        wrong = bytearray(data)
        wrong[first : first + length] = data[second : second + length]
        wrong[second : second + length] = data[first : first + length]
        if wrong != data:
            return bytes(wrong)


def wrong_text(text: str, dice: random.Random, *, digits: bool = False) -> str:
    """*text* with one bit of one character changed, so that it means something else; with *digits* still a number."""
    while True:
        at = dice.randrange(len(text))
        letter = chr(ord(text[at]) ^ 1 << dice.randrange(7))
        wrong = text[:at] + letter + text[at + 1 :]
        is_fit = letter.isdigit() if digits else "!" <= letter <= "~" and letter not in _BREAKS_A_PAGE
        if is_fit and _meaning(wrong) != _meaning(text):
            return wrong


def _meaning(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
