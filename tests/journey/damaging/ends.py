"""Both clouds without sockets: they answer the requests of a story, honestly but for what a damage makes of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from sync_cloud_storage.checksum import crc64nvme, crc_to_azure
from tests.unit.doors import crc
from tests.unit.telling import response, to_sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.messages import Request, Response

AZURE_URL, S3_URL, BUCKET = "https://azure", "https://s3", "bucket"
FOR_EVER = 1_000_000

Answer = tuple[dict[str, str], bytes]  # headers in lower case, body


class Wrong(NamedTuple):
    """What happens to some of the answers, or of the bodies that are sent: `times` from the *first* one (0 ...) on."""

    change: Callable[[dict[str, str], bytes], Answer]
    first: int = 0
    times: int = 1

    def hits(self, number: int) -> bool:
        """Whether it is this one's turn."""
        return self.first <= number < self.first + self.times


class Kept(NamedTuple):
    """A blob."""

    data: bytes
    etag: str
    md5: str = ""


class Source:
    """Azure.

    Attributes:
        blobs: By `container/blob`.
        wrong: What happens to the bytes that are read, likewise.
        reads: How often each was read.
        hit: How many answers were damaged, likewise.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, Kept] = {}
        self.wrong: dict[str, Wrong] = {}
        self.reads: Counter[str] = Counter()
        self.hit: Counter[str] = Counter()

    def __call__(self, request: Request) -> Response:
        """Answer."""
        name = request.url.removeprefix(f"{AZURE_URL}/")
        blob = self.blobs[name]
        headers = {"etag": f'"{blob.etag}"', "x-ms-request-id": "r-1", "last-modified": "Wed, 25 Nov 2026 10:00:00 GMT"}
        headers |= {"content-md5": blob.md5} if blob.md5 else {}
        if request.method == "HEAD":
            return response(headers=headers | {"content-length": str(len(blob.data))})
        asked = dict(line.split(": ", 1) for line in request.headers)
        if asked["If-Match"] != headers["etag"]:
            return response(412, headers=headers | {"x-ms-error-code": "ConditionNotMet"})
        status, body = 200, blob.data
        if "x-ms-range" in asked:
            begin, end = map(int, asked["x-ms-range"].removeprefix("bytes=").split("-"))
            status, body = 206, body[begin : end + 1]
            headers["content-range"] = f"bytes {begin}-{end}/{len(blob.data)}"
        if "x-ms-range-get-content-crc64" in asked:
            headers["x-ms-content-crc64"] = crc_to_azure(crc64nvme(body))
        number = self.reads[name]
        self.reads[name] += 1
        if name in self.wrong and self.wrong[name].hits(number):
            self.hit[name] += 1
            headers, body = self.wrong[name].change(headers, body)
        if request.sink is None:
            return response(status, body, headers)
        return to_sink(request, status, headers, body[:100], body[100:])


class Target:
    """S3, or an endpoint that speaks it.

    Attributes:
        checks: It refuses a body that has not the checksum which is sent along.
        names: It says the checksum of what it holds.
        objects: By key.
        arriving: What happens to bodies on their way there, likewise.
        leaving: What happens to answers, likewise.
        before: Called when a body is about to be sent, likewise.
        hit: How many bodies or answers were damaged, likewise.
    """

    def __init__(self) -> None:
        self.checks = self.names = True
        self.objects: dict[str, bytes] = {}
        self.arriving: dict[str, Wrong] = {}
        self.leaving: dict[str, Wrong] = {}
        self.before: dict[str, Callable[[], object]] = {}
        self.hit: Counter[str] = Counter()
        self._part = b""  # of the upload that is open: one at a time, in one part

    def __call__(self, request: Request) -> Response:
        """Answer."""
        path, _, query = request.url.removeprefix(f"{S3_URL}/{BUCKET}").partition("?")
        key, asked = path[1:], dict(parse_qsl(query, keep_blank_values=True))
        headers = dict(line.split(": ", 1) for line in request.headers if ": " in line)
        answer = self._answer(request, key, asked, headers)
        wrong = self.leaving.get(key)
        if wrong is None or answer.status != 200 or not wrong.hits(self.hit[key]) or not _is_last_word(request, asked):
            return _given(request, answer)
        self.hit[key] += 1
        changed, body = wrong.change(dict(answer.headers), answer.body)
        return _given(request, answer._replace(headers=changed, body=body))

    def _answer(self, request: Request, key: str, asked: dict[str, str], headers: dict[str, str]) -> Response:
        if request.method == "PUT":
            return self._taken(request, key, asked, headers)
        if request.method == "POST" and "uploadId" in asked:
            return self._whole(key, headers)
        if "uploads" in asked or "uploadId" in asked:  # one is opened, or ended, or all are listed
            return response(body=b"<R><UploadId>u</UploadId></R>")
        if key not in self.objects:
            return response(404)
        data = self.objects[key]
        return response(headers=self._said(data) | {"content-length": str(len(data))}, body=data)

    def _taken(self, request: Request, key: str, asked: dict[str, str], headers: dict[str, str]) -> Response:
        body = request.body
        if key in self.before:
            self.before[key]()
            self.hit[key] += 1
        if (source := request.source) is not None:
            source.rewind()
            body = b"".join(iter(partial(source.read, 1000), b""))
        if key in self.arriving and self.arriving[key].hits(self.hit[key]):
            self.hit[key] += 1
            body = self.arriving[key].change({}, body)[1]
        if self.checks and headers.get("x-amz-checksum-crc64nvme") != crc(body):
            return _refused(400, "BadDigest")
        if "uploadId" in asked:
            self._part = body
            return response(headers=self._said(body))
        return self._kept(key, body, headers)

    def _whole(self, key: str, headers: dict[str, str]) -> Response:
        if self.checks and headers.get("x-amz-checksum-crc64nvme") != crc(self._part):
            return _refused(400, "BadDigest")
        answer = self._kept(key, self._part, headers)
        said = f"<ChecksumCRC64NVME>{crc(self._part)}</ChecksumCRC64NVME>" if self.names else ""
        return answer._replace(body=f"<R><ETag>{escape(answer.headers['etag'])}</ETag>{said}</R>".encode())

    def _kept(self, key: str, body: bytes, headers: dict[str, str]) -> Response:
        if "If-None-Match" in headers and key in self.objects:
            return _refused(412, "PreconditionFailed")
        self.objects[key] = body
        return response(headers=self._said(body))

    def _said(self, data: bytes) -> dict[str, str]:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return {"etag": f'"{etag}"'} | ({"x-amz-checksum-crc64nvme": crc(data)} if self.names else {})


def _is_last_word(request: Request, asked: dict[str, str]) -> bool:
    """Whether the answer says what the endpoint holds of an object: not that to a part, nor to an opened upload."""
    return "uploads" not in asked and not (request.method == "PUT" and "uploadId" in asked)


def _given(request: Request, answer: Response) -> Response:
    """The answer as it comes out of the pump."""
    if request.method == "HEAD":
        return answer._replace(body=b"")
    if request.sink is None or answer.status != 200:
        return answer
    return to_sink(request, answer.status, answer.headers, answer.body[:100], answer.body[100:])


def _refused(status: int, code: str) -> Response:
    return response(status, f"<Error><Code>{code}</Code></Error>".encode())
