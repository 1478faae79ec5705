"""Takes the body of an upload, and believes nothing that its headers say about it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.strict.content import SUMS, Given, text
from tests.servers.strict.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers.strict.wire import Request

ALGORITHMS = ("crc64nvme", "crc32", "crc32c", "sha1", "sha256")
_UNSIGNED, _TRAILER = "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Received(NamedTuple):
    """A body that was what its headers said. `content` is None where it was too long to keep."""

    content: Given | None
    size: int
    sums: dict[str, bytes]  # by algorithm: always md5 and crc64nvme
    claimed: str  # the algorithm whose checksum the client sent, "" for none


def claimed_sums(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums in headers or trailers, by algorithm.

    Raises:
        Refusal: There are two.
    """
    found = {name: headers[f"x-amz-checksum-{name}"] for name in ALGORITHMS if f"x-amz-checksum-{name}" in headers}
    if len(found) > 1:
        raise Refusal(400, "InvalidRequest", "Expecting a single x-amz-checksum- header")
    return found


def receive(request: Request, *, algorithm: str = "", most: int, keep: int) -> Received:
    """Read the body and check it.

    Args:
        request: The upload.
        algorithm: One that is needed besides those that the client names.
        most: Bytes that are allowed.
        keep: Bytes up to which the content is kept.

    Raises:
        Refusal: Something in it is not what its headers say.
    """
    headers, trailers = request.headers, dict[str, str]()
    framing = _framing(headers)
    if framing.length > most:
        raise Refusal(400, "EntityTooLarge")
    needed = {"md5", "crc64nvme", "sha256", algorithm, framing.trailer, *claimed_sums(headers)} - {""}
    running = {name: SUMS[name]() for name in needed}
    kept, size = bytearray(), 0
    for piece in _chunks(request, trailers) if framing.is_chunked else request.body.pieces():
        for sum_ in running.values():
            sum_.update(piece)
        size += len(piece)
        if framing.length <= keep:
            kept += piece
    if size != framing.length:
        raise Refusal(400, "IncompleteBody")
    sums = {name: sum_.digest() for name, sum_ in running.items()}
    claimed = claimed_sums({**headers, **trailers})
    _verify(headers, claimed, sums)
    return Received(Given(bytes(kept)) if size <= keep else None, size, sums, next(iter(claimed), ""))


class _Framing(NamedTuple):
    length: int  # bytes of the content
    is_chunked: bool  # by `aws-chunked`, with trailers
    trailer: str  # the algorithm whose checksum comes behind the content


def _framing(headers: Mapping[str, str]) -> _Framing:
    payload = headers.get("x-amz-content-sha256", "")
    is_chunked = payload == _TRAILER
    if "transfer-encoding" in headers and not is_chunked:
        raise Refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
    if payload.startswith("STREAMING-") and not is_chunked:
        raise Refusal(501, "NotImplemented", payload)
    length = headers.get("x-amz-decoded-content-length" if is_chunked else "content-length", "")
    if not length.isdigit():
        raise Refusal(411, "MissingContentLength")
    trailer = headers.get("x-amz-trailer", "").lower().removeprefix("x-amz-checksum-")
    if trailer not in {"", *ALGORITHMS}:
        raise Refusal(400, "InvalidRequest", f"x-amz-trailer: {trailer}")
    return _Framing(int(length), is_chunked, trailer)


def _verify(headers: Mapping[str, str], claimed: Mapping[str, str], sums: Mapping[str, bytes]) -> None:
    if headers.get("x-amz-content-sha256") not in {_UNSIGNED, _TRAILER, sums["sha256"].hex()}:
        raise Refusal(400, "XAmzContentSHA256Mismatch")
    if "content-md5" in headers:
        _compare("Content-MD5", headers["content-md5"], sums["md5"], "InvalidDigest")
    for name, value in claimed.items():
        _compare(f"x-amz-checksum-{name}", value, sums[name], "InvalidRequest")
    if "x-amz-sdk-checksum-algorithm" in headers and not claimed:
        raise Refusal(
            400, "InvalidRequest", "x-amz-sdk-checksum-algorithm, but no corresponding x-amz-checksum-* header"
        )


def _compare(header: str, value: str, right: bytes, when_malformed: str) -> None:
    try:
        given = base64.b64decode(value, validate=True)
    except binascii.Error:
        given = b""
    if len(given) != len(right):
        raise Refusal(400, when_malformed, f"Value for {header} header is invalid.")
    if given != right:
        raise Refusal(400, "BadDigest", f"The {header} you specified, {value}, did not match {text(right)}")


def _chunks(request: Request, trailers: dict[str, str]) -> Iterator[bytes]:
    """The body inside `aws-chunked`; its trailers go into *trailers*."""
    while True:
        size = int(request.body.readline().split(b";")[0], 16)
        if not size:
            break
        while size:
            piece = request.body.read(min(size, 1 << 18))
            size -= len(piece)
            yield piece
        request.body.readline()
    while (line := request.body.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        trailers[name.lower()] = value.strip()
