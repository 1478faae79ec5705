"""The bucket as stories: look at an object, read one, put one, put one in parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from sync_cloud_storage.checksum import crc_to_s3
from sync_cloud_storage.errors import BlobFault, Kind
from sync_cloud_storage.http.messages import Line, Request, Response, Source
from sync_cloud_storage.http.retry import S3 as S3_TABLE
from sync_cloud_storage.http.retry import Patience, Rule, Verdict, ask, judge
from sync_cloud_storage.s3 import answers
from sync_cloud_storage.s3.answers import HashSink, Part, Stored
from sync_cloud_storage.s3.objects import MAX_OBJECT_BYTES, MIB, Profile, about_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Sink, Story
    from sync_cloud_storage.s3.access import S3Access


_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch  # nothing that would have to be quoted; nearly all keys
LISTED_MOST = 1000  # S3's own maximum of a page
_WITH_CHECKSUM = ("x-amz-checksum-mode: ENABLED",)
_ODD = Rule(Kind.RETRY, "S3-ANSWER")
_STRANGER = Rule(
    Kind.RETRY, "CAPTIVE-PORTAL", "A proxy or portal seems to answer in place of S3; check the proxy.", then=Kind.FATAL
)


class S3:
    """The door to one bucket. Each method is a story that tries again by itself.

    `access` may be replaced at any time; requests made from then on use the new one.
    """

    def __init__(self, profile: Profile, access: S3Access, line: Line, patience: Patience) -> None:
        self.access = access
        self._profile = profile
        self._line = line._replace(raw_path=False, sigv4=f"aws:amz:{profile.region}:s3")
        self._signed = (access, *self._signed_by(access))
        self._patience = patience
        self._base = f"{profile.endpoint}/{quote(profile.bucket)}" if profile.path_style else profile.endpoint

    def bucket(self) -> Story[None]:
        """Ask whether the bucket is there and ours.

        Raises:
            EnvironmentFault: S3-BUCKET, S3-REGION or S3-AUTH, each saying what to do.
        """
        what = f"bucket '{self._profile.bucket}'"

        def judged(answer: Response) -> Verdict | None:
            verdict = judge(answer, what, S3_TABLE)
            region = answer.header("x-amz-bucket-region")
            if answer.status in {301, 307, 400} and region and region != self._profile.region:
                return Verdict(
                    Rule(Kind.FATAL, "S3-REGION", f"Set AWS_DEFAULT_REGION={region}."),
                    f"The {what} is in region {region}, not in {self._profile.region}.",
                )
            if answer.status == 404:
                return Verdict(S3_TABLE["NoSuchBucket"], f"There is no {what} at {self._profile.endpoint}.")
            if answer.status == 403:
                return Verdict(S3_TABLE["InvalidAccessKeyId"], f"The {what} refuses these credentials (403).")
            return verdict

        yield from self._ask("HEAD", None, judged=judged)

    def objects(self, after: str) -> Story[tuple[list[tuple[str, int, str]], bool]]:
        """A page of the bucket: (key, size in bytes, ETag) of objects behind the key *after*, and if there are more.

        Raises:
            BlobFault: S3-403: this identity may not list (s3:ListBucket).
        """
        found: list[tuple[list[tuple[str, int, str]], bool]] = []
        asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(LISTED_MOST)}
        asked |= {"start-after": after} if after else {}

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(None)(answer)
            if verdict is None:
                try:
                    found[:] = [answers.objects(answer.body)]
                except (ValueError, KeyError) as error:
                    return Verdict(_ODD, f"A page of the bucket's listing cannot be read ({error}).")
            return verdict

        yield from self._ask("GET", None, asked, max_body_bytes=8 * MIB, judged=judged)
        return found[0]

    def looking(self, key: str) -> Request:
        """The request of `look`, for whoever looks at the answer himself (`describes`).

        Raises:
            BlobFault: `S3-NAME`, no address can hold the key.
        """
        return self._request("HEAD", self._url(key), _common("HEAD", _WITH_CHECKSUM), b"")

    def describes(self, answer: Response) -> Stored | None:
        """What an answer to `looking` says of the object; None for one that `look` has to look at."""
        if answer.status != 200 or "etag" not in answer.headers:
            return None
        try:
            return answers.stored(answer)
        except ValueError:
            return None

    def look(self, key: str, first: Response | None = None) -> Story[Stored | None]:
        """The object as the endpoint describes it; None when there is none.

        *first* is the answer to the first attempt, where `looking` made that already.

        Raises:
            BlobFault: S3-403: there is one that we may not see, or none and no right to know that (s3:ListBucket);
                S3-ANSWER: its length is no number.
        """
        found: list[Stored] = []

        def judged(answer: Response) -> Verdict | None:
            if answer.status == 403:  # without a body, so without a code; access as such was tried on the bucket
                return Verdict(S3_TABLE["AccessDenied"], f"object '{key}': the service answered 403 to HEAD.")
            verdict = self._judge(key)(answer)
            if verdict is None:
                try:
                    found[:] = [answers.stored(answer)]
                except ValueError as error:
                    return Verdict(_ODD, f"object '{key}': the answer cannot be read ({error}).")
            return verdict

        try:
            yield from ask(lambda: self.looking(key), judged, self._patience, first)
        except BlobFault as fault:
            if fault.code == "HTTP-404":
                return None
            raise
        return found[0]

    def read(self, key: str, size_bytes: int, sink: Sink) -> Story[None]:
        """The whole object, of *size_bytes*, into *sink*."""

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(key)(answer)
            if verdict is None and sink.received != size_bytes:
                return Verdict(_ODD, f"object '{key}': {sink.received} bytes arrived instead of {size_bytes}.")
            return verdict

        yield from self._ask("GET", key, sink=sink, max_body_bytes=MAX_OBJECT_BYTES, judged=judged)

    def hash_object(self, key: str, size_bytes: int) -> Story[str]:
        """CRC64NVME of the object, S3's text form, by reading all of it: for endpoints that have none to give."""
        into = HashSink()
        yield from self.read(key, size_bytes, into)
        return crc_to_s3(into.crc)

    def put(
        self,
        key: str,
        body: bytes | Source,
        crc: str,
        about: Sequence[str],
        *,
        replace: bool,
        first: Response | None = None,
    ) -> Story[Stored]:
        """Store an object whole; the endpoint checks *crc* on arrival.

        Args:
            key: Its key.
            body: The bytes, or where they stream from.
            crc: CRC64NVME of the body, S3's text form.
            about: Header lines from `about_object`.
            replace: Whether an object that is there already may be written over; if not, BlobFault S3-EXISTS (REPLAN).
            first: The answer to the first attempt, where `putting` made that already.
        """
        answer = yield from ask(
            lambda: self.putting(key, body, crc, about, replace=replace), self._judge_stored(key), self._patience, first
        )
        return _stored(answer, len(body) if isinstance(body, bytes) else body.size_bytes)

    def putting(self, key: str, body: bytes | Source, crc: str, about: Sequence[str], *, replace: bool) -> Request:
        """The request of `put`, for whoever looks at the answer himself (`has_taken`).

        Raises:
            BlobFault: `S3-NAME`, no address can hold the key.
        """
        lines = (f"x-amz-checksum-crc64nvme: {crc}", *self._conditions(replace), *about)
        return self._request("PUT", self._url(key), _common("PUT", lines), body)

    def has_taken(self, answer: Response, size_bytes: int) -> Stored | None:
        """What an answer to `putting` says of the object; None for one that is not beyond doubt a success.

        A second judge beside that of `put`, since it costs a small file in company less than a story of its own. What
        it refuses goes to `put` as *first* and is judged in full there.
        """
        good = answer.status == 200 and "etag" in answer.headers
        return _stored(answer, size_bytes) if good else None

    # --------------------------------------------------------------------------------------------- multipart

    def open_upload(self, key: str, about: Sequence[str]) -> Story[str]:
        """Begin a multipart upload whose full-object CRC64NVME S3 will check; its id."""
        lines = ("x-amz-checksum-algorithm: CRC64NVME", "x-amz-checksum-type: FULL_OBJECT", *about)
        attempts: list[Response] = []

        def judged(answer: Response) -> Verdict | None:
            attempts.append(answer)
            verdict = self._judge(key)(answer)
            if verdict is None and not answers.text(answer.body, "UploadId"):
                return Verdict(_ODD, f"object '{key}': the endpoint opened a multipart upload without giving its id.")
            return verdict

        answer = yield from self._ask("POST", key, {"uploads": ""}, headers=lines, judged=judged)
        upload_id = answers.text(answer.body, "UploadId")
        if len(attempts) > 1:  # an answer that was lost may have opened one that nobody knows
            for other in (yield from self.open_uploads(key)):
                if other != upload_id:
                    yield from self.end_upload(key, other)
        return upload_id

    def open_uploads(self, key: str) -> Story[list[str]]:
        """Ids of the multipart uploads that are open for exactly this key, oldest first."""
        # Of the keys that begin so, this one comes first, so the first page has all of its uploads.
        answer = yield from self._ask("GET", None, {"uploads": "", "prefix": key}, max_body_bytes=8 * MIB)
        found = answers.nodes(answer.body, "Upload")
        return [answers.child(node, "UploadId") for node in found if answers.child(node, "Key") == key]

    def parts(self, key: str, upload_id: str) -> Story[list[Part]]:
        """What an open upload holds already."""
        found: list[Part] = []
        asked = {"uploadId": upload_id}
        while True:
            answer = yield from self._ask("GET", key, dict(asked), max_body_bytes=8 * MIB)
            found += map(answers.listed_part, answers.nodes(answer.body, "Part"))
            marker = answers.text(answer.body, "NextPartNumberMarker")
            if answers.text(answer.body, "IsTruncated") != "true" or marker in {"", asked.get("part-number-marker")}:
                return found
            asked["part-number-marker"] = marker

    def put_part(self, key: str, upload_id: str, number: int, source: Source, crc: str) -> Story[Part]:
        """Send one part; the endpoint checks *crc* on arrival."""
        asked = {"partNumber": str(number), "uploadId": upload_id}
        lines = (f"x-amz-checksum-crc64nvme: {crc}",)
        answer = yield from self._ask("PUT", key, asked, headers=lines, body=source, judged=self._judge_stored(key))
        return Part(number, source.size_bytes, answer.header("etag").strip('"'), crc)

    def close_upload(
        self, key: str, upload_id: str, parts: Sequence[Part], crc: str, size_bytes: int, *, replace: bool
    ) -> Story[Stored]:
        """Make the parts one object; the endpoint holds the combined checksum of its parts against *crc*."""
        lines = (
            f"x-amz-checksum-crc64nvme: {crc}",
            "x-amz-checksum-type: FULL_OBJECT",
            f"x-amz-mp-object-size: {size_bytes}",
            "Content-Type: application/xml",
            *self._conditions(replace),
        )

        def judged(answer: Response) -> Verdict | None:
            # Documented: the 200 may be sent before the work is done, and then be followed by an error.
            late = answer.status == 200 and b"<Error>" in answer.body
            return self._judge(key)(answer._replace(status=500) if late else answer)

        body = _listed(parts)
        answer = yield from self._ask("POST", key, {"uploadId": upload_id}, headers=lines, body=body, judged=judged)
        return Stored(
            size_bytes,
            answers.text(answer.body, "ETag").strip('"'),
            answers.text(answer.body, "ChecksumCRC64NVME"),
            answer.header("x-amz-version-id"),
        )

    def end_upload(self, key: str, upload_id: str) -> Story[None]:
        """Give up a multipart upload and the parts it holds; quiet when it is already gone."""
        try:
            yield from self._ask("DELETE", key, {"uploadId": upload_id})
        except BlobFault as fault:
            if fault.code not in {"S3-UPLOAD", "HTTP-404"}:
                raise

    # ------------------------------------------------------------------------------------------------ inside

    def about_object(self, headers: str, metadata: str, original_name: str = "") -> tuple[str, ...]:
        """See `objects.about_object`."""
        return about_object(self._profile, headers, metadata, original_name)

    def _signed_by(self, access: S3Access) -> tuple[Line, tuple[str, ...]]:
        """The line on which libcurl signs with *access*, and the header that must go with it."""
        token = (f"x-amz-security-token: {access.token}",) if access.token else ()
        return self._line._replace(userpwd=f"{access.key}:{access.secret}"), token

    def _conditions(self, replace: bool) -> tuple[str, ...]:  # noqa: FBT001 - named at every call of put and close_upload
        return () if replace else ("If-None-Match: *",)

    def _judge(self, key: str | None) -> Callable[[Response], Verdict | None]:
        what = f"object '{key}'" if key is not None else f"bucket '{self._profile.bucket}'"
        return lambda answer: judge(answer, what, S3_TABLE)

    def _judge_stored(self, key: str) -> Callable[[Response], Verdict | None]:
        """Whoever stored something says its ETag; a proxy's login page does not."""

        def judged(answer: Response) -> Verdict | None:
            verdict = self._judge(key)(answer)
            if verdict is None and not answer.header("etag"):
                return Verdict(_STRANGER, f"object '{key}': the answer does not come from S3 (no ETag).")
            return verdict

        return judged

    def _ask(
        self,
        method: str,
        key: str | None,
        query: dict[str, str] | None = None,
        *,
        headers: Sequence[str] = (),
        body: bytes | Source = b"",
        sink: Sink | None = None,
        max_body_bytes: int = 1 << 16,
        judged: Callable[[Response], Verdict | None] | None = None,
    ) -> Story[Response]:
        """One request about an object, or about the bucket (*key* None), until it is answered."""
        url = self._url(key)
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="")
        lines = _common(method, headers)

        def request() -> Request:
            return self._request(method, url, lines, body, sink, max_body_bytes)

        return (yield from ask(request, judged or self._judge(key), self._patience))

    def _request(
        self,
        method: str,
        url: str,
        lines: tuple[str, ...],
        body: bytes | Source,
        sink: Sink | None = None,
        max_body_bytes: int = 1 << 16,
    ) -> Request:
        if self._signed[0] is not self.access:  # renewed since the last one
            self._signed = (self.access, *self._signed_by(self.access))
        _, line, token = self._signed
        data, source = (body, None) if isinstance(body, bytes) else (b"", body)
        return Request(method, url, line, lines + token, data, source, sink, max_body_bytes)

    def _url(self, key: str | None) -> str:
        return self._base + ("" if key is None and self._profile.path_style else "/" + _quoted(key or ""))


def _common(method: str, headers: Sequence[str]) -> tuple[str, ...]:
    lines = ("x-amz-content-sha256: UNSIGNED-PAYLOAD", "Expect:", *headers)
    if method in {"PUT", "POST"} and not any(line.startswith("Content-Type") for line in headers):
        lines += ("Content-Type: application/octet-stream",)  # else libcurl says that it is a form
    return lines


def _stored(answer: Response, size_bytes: int) -> Stored:
    return Stored(
        size_bytes,
        answer.header("etag").strip('"'),
        answer.header("x-amz-checksum-crc64nvme"),
        answer.header("x-amz-version-id"),
    )


def _quoted(key: str) -> str:
    if _PLAIN(key):
        return key
    try:
        return quote(key, safe="/~")
    except UnicodeEncodeError as error:
        raise BlobFault("S3-NAME", "The key has half of a character, which no address can hold.") from error


def _listed(parts: Sequence[Part]) -> bytes:
    rows = "".join(
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag>{_part_sum(part)}</Part>'
        for part in parts
    )
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{namespace}">{rows}</CompleteMultipartUpload>'.encode()


def _part_sum(part: Part) -> str:
    return f"<ChecksumCRC64NVME>{escape(part.checksum)}</ChecksumCRC64NVME>" if part.checksum else ""
