"""What `checksum.py` promises: published values, combining, both byte orders."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.checksum import (
    Md5,
    Running,
    combine,
    combine_all,
    crc64nvme,
    crc_from_azure,
    crc_from_s3,
    crc_to_azure,
    crc_to_s3,
    md5_base64,
)

CHECK = 0xAE8B14860A799888  # the published check value of CRC-64/NVME, for "123456789"
crcs = st.integers(min_value=0, max_value=2**64 - 1)


def test_check_value_of_the_catalogue() -> None:
    """CRC-64/NVME of "123456789" is the value that its definition publishes."""
    assert crc64nvme(b"123456789") == CHECK


def test_vector_of_azure() -> None:
    """Azure's own vector for its storage CRC64 holds for CRC64NVME: the two are one function."""
    assert crc64nvme(b"Hello World!") == 208604604655264165


def test_nothing_has_crc_zero() -> None:
    """An empty blob has CRC 0 and size 0, so that it combines as nothing."""
    running = Running()
    assert (running.crc, running.size_bytes, crc64nvme(b"")) == (0, 0, 0)
    assert combine(CHECK, 0, 0) == CHECK == combine(0, CHECK, 9)


def bitwise(data: bytes) -> int:
    """Compute the CRC one bit at a time, straight from the definition; shares nothing with the fast one."""
    register = 2**64 - 1
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x9A6C9329AC4BC9B5 if register & 1 else 0)
    return register ^ (2**64 - 1)


@given(st.binary(max_size=300))
def test_agrees_with_the_definition(data: bytes) -> None:
    """The fast CRC and one written bit by bit from the polynomial agree on any bytes."""
    assert crc64nvme(data) == bitwise(data)


@given(st.lists(st.binary(max_size=2000)))
def test_pieces_and_whole_agree(pieces: list[bytes]) -> None:
    """A stream in pieces, the parts combined, and the whole at once give the same CRC, MD5 and size."""
    whole = b"".join(pieces)
    running = Running(md5=True)
    for piece in pieces:
        running.update(piece)
    assert running.crc == crc64nvme(whole) == combine_all((crc64nvme(piece), len(piece)) for piece in pieces)
    assert running.size_bytes == len(whole)
    assert running.md5_base64 == base64.b64encode(hashlib.md5(whole).digest()).decode()  # noqa: S324


@given(st.binary(max_size=500), st.binary(min_size=1, max_size=500), st.binary(max_size=500))
def test_copy_of_an_md5(before: bytes, own: bytes, others: bytes) -> None:
    """A copy goes on from where it was made; what the other one takes then is none of its business."""
    md5 = Md5()
    md5.update(before)
    copy = md5.copy()
    md5.update(own)
    copy.update(others)
    for one, data in ((md5, before + own), (copy, before + others)):
        assert (one.size_bytes, one.base64, one.base64) == (len(data), md5_base64(data), md5_base64(data))


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100))
def test_order_matters(first: bytes, second: bytes) -> None:
    """Combining is not symmetric: two parts that changed places are noticed."""
    if first + second != second + first:
        forward = combine(crc64nvme(first), crc64nvme(second), len(second))
        assert forward != combine(crc64nvme(second), crc64nvme(first), len(first))


def test_combine_over_a_length_beyond_32_bits() -> None:
    """Combining works for parts that nobody could hold in memory: 6 GiB of zeros, by halves and by thirds."""
    third = 0
    piece = bytes(1 << 20)
    for _ in range(64):
        third = crc64nvme(piece, third)
    one_gib = combine_all([(third, 64 << 20)] * 16)
    half = combine_all([(one_gib, 1 << 30)] * 3)
    by_halves = combine(half, half, 3 << 30)
    assert by_halves == combine_all([(one_gib, 1 << 30)] * 6)
    assert by_halves == combine(one_gib, combine_all([(one_gib, 1 << 30)] * 5), 5 << 30)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like(kind: type[bytes | bytearray | memoryview]) -> None:
    """Bytes, bytearray and memoryview count the same."""
    running = Running(md5=True)
    running.update(kind(b"123456789"))
    assert (running.crc, running.size_bytes) == (CHECK, 9)


def test_md5_only_on_request() -> None:
    """Without being asked there is no MD5, and the text says so by being empty."""
    running = Running()
    running.update(b"x")
    assert running.md5_base64 == ""


def test_text_forms_differ_in_byte_order_only() -> None:
    """S3 writes the bytes big-endian, Azure little-endian."""
    assert base64.b64decode(crc_to_s3(CHECK)) == bytes.fromhex("AE8B14860A799888")
    assert base64.b64decode(crc_to_azure(CHECK)) == bytes.fromhex("8898790A86148BAE")


@given(crcs)
def test_text_forms_round_trip(crc: int) -> None:
    """Every CRC survives both text forms."""
    assert crc_from_s3(crc_to_s3(crc)) == crc == crc_from_azure(crc_to_azure(crc))


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "rosUhgp5mIg", "rosUhgp5mIgA", "rosUhgp5mIg=\n", "é"])
@pytest.mark.parametrize("read", [crc_from_s3, crc_from_azure])
def test_texts_that_are_no_crc(read: type[int], text: str) -> None:
    """What is not base64 of exactly eight bytes is refused, not guessed."""
    with pytest.raises(ValueError, match=r"no base64|bytes"):
        read(text)
