"""The bucket as stories: look at an object, put one, put one in parts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from sync_cloud_storage.errors import BlobFault, Kind
from sync_cloud_storage.http.messages import Line, Request, Response, Source
from sync_cloud_storage.http.retry import S3 as S3_TABLE
from sync_cloud_storage.http.retry import Patience, Rule, Verdict, ask, judge
from sync_cloud_storage.s3 import answers
from sync_cloud_storage.s3.answers import Part, Stored
from sync_cloud_storage.s3.objects import MAX_OBJECT_BYTES, MIB, Profile, about_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Sink, Story
    from sync_cloud_storage.s3.access import S3Access


class S3:
    """The door to one bucket. Each method is a story that tries again by itself.

    `access` may be replaced at any time; requests made from then on use the new one.
    """

    def __init__(self, profile: Profile, access: S3Access, line: Line, patience: Patience) -> None:
        self.access = access
        self._profile = profile
        self._line = line._replace(raw_path=False, sigv4=f"aws:amz:{profile.region}:s3")
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

        yield from ask(lambda: self._request("HEAD", None), judged, self._patience)

    def look(self, key: str) -> Story[Stored | None]:
        """The object as the endpoint describes it; None when there is none."""
        try:
            answer = yield from ask(
                lambda: self._request("HEAD", key, headers=("x-amz-checksum-mode: ENABLED",)),
                self._judge(key),
                self._patience,
            )
        except BlobFault as fault:
            if fault.code == "HTTP-404":
                return None
            raise
        return answers.stored(answer)

    def read(self, key: str, sink: Sink) -> Story[None]:
        """The whole object into *sink*."""
        yield from ask(
            lambda: self._request("GET", key, sink=sink, max_body_bytes=MAX_OBJECT_BYTES),
            self._judge(key),
            self._patience,
        )

    def put(self, key: str, body: bytes | Source, crc: str, about: Sequence[str], *, replace: bool) -> Story[Stored]:
        """Store an object whole; the endpoint checks *crc* on arrival.

        Args:
            key: Its key.
            body: The bytes, or where they stream from.
            crc: CRC64NVME of the body, S3's text form.
            about: Header lines from `about_object`.
            replace: Whether an object that is there already may be written over; if not, BlobFault S3-EXISTS (REPLAN).
        """
        lines = (f"x-amz-checksum-crc64nvme: {crc}", *self._conditions(replace), *about)
        source = body if not isinstance(body, bytes) else None
        size = body.size_bytes if not isinstance(body, bytes) else len(body)
        answer = yield from ask(
            lambda: self._request(
                "PUT", key, headers=lines, body=body if isinstance(body, bytes) else b"", source=source
            ),
            self._judge(key),
            self._patience,
        )
        return Stored(
            size,
            answer.header("etag").strip('"'),
            answer.header("x-amz-checksum-crc64nvme"),
            answer.header("x-amz-version-id"),
        )

    # --------------------------------------------------------------------------------------------- multipart

    def open_upload(self, key: str, about: Sequence[str]) -> Story[str]:
        """Begin a multipart upload whose full-object CRC64NVME S3 will check; its id."""
        lines = ("x-amz-checksum-algorithm: CRC64NVME", "x-amz-checksum-type: FULL_OBJECT", *about)
        answer = yield from ask(
            lambda: self._request("POST", key, {"uploads": ""}, lines), self._judge(key), self._patience
        )
        upload_id = answers.text(answer.body, "UploadId")
        if not upload_id:
            raise BlobFault(
                "S3-ANSWER", f"object '{key}': the endpoint opened a multipart upload without giving its id."
            )
        return upload_id

    def open_uploads(self, key: str) -> Story[list[str]]:
        """Ids of the multipart uploads that are open for exactly this key, oldest first."""
        answer = yield from ask(
            lambda: self._request("GET", None, {"uploads": "", "prefix": key}, max_body_bytes=8 * MIB),
            self._judge(key),
            self._patience,
        )
        return [
            answers.child(node, "UploadId")
            for node in answers.nodes(answer.body, "Upload")
            if answers.child(node, "Key") == key
        ]

    def parts(self, key: str, upload_id: str) -> Story[list[Part]]:
        """What an open upload holds already."""
        found: list[Part] = []
        asked = {"uploadId": upload_id}
        while True:
            request = partial(self._request, "GET", key, dict(asked), max_body_bytes=8 * MIB)
            answer = yield from ask(request, self._judge(key), self._patience)
            found += map(answers.listed_part, answers.nodes(answer.body, "Part"))
            asked["part-number-marker"] = answers.text(answer.body, "NextPartNumberMarker")
            if answers.text(answer.body, "IsTruncated") != "true" or not asked["part-number-marker"]:
                return found

    def put_part(self, key: str, upload_id: str, number: int, source: Source, crc: str) -> Story[Part]:
        """Send one part; the endpoint checks *crc* on arrival."""
        asked = {"partNumber": str(number), "uploadId": upload_id}
        lines = (f"x-amz-checksum-crc64nvme: {crc}",)
        answer = yield from ask(
            lambda: self._request("PUT", key, asked, lines, source=source), self._judge(key), self._patience
        )
        return Part(number, source.size_bytes, answer.header("etag").strip('"'), crc)

    def close_upload(
        self, key: str, upload_id: str, parts: Sequence[Part], crc: str, size_bytes: int, *, replace: bool
    ) -> Story[Stored]:
        """Make the parts one object; the endpoint holds the combined checksum of its parts against *crc*."""
        listed = "".join(
            f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag>{_part_sum(part)}</Part>'
            for part in parts
        )
        body = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}</CompleteMultipartUpload>'.encode()
        lines = (
            f"x-amz-checksum-crc64nvme: {crc}",
            "x-amz-checksum-type: FULL_OBJECT",
            f"x-amz-mp-object-size: {size_bytes}",
            "Content-Type: application/xml",
            *self._conditions(replace),
        )

        def judged(answer: Response) -> Verdict | None:
            if (
                answer.status == 200 and b"<Error>" in answer.body
            ):  # documented: the 200 was sent before the work was done
                return judge(answer._replace(status=500), f"object '{key}'", S3_TABLE)
            return self._judge(key)(answer)

        answer = yield from ask(
            lambda: self._request("POST", key, {"uploadId": upload_id}, lines, body), judged, self._patience
        )
        return Stored(
            size_bytes,
            answers.text(answer.body, "ETag").strip('"'),
            answers.text(answer.body, "ChecksumCRC64NVME"),
            answer.header("x-amz-version-id"),
        )

    def end_upload(self, key: str, upload_id: str) -> Story[None]:
        """Give up a multipart upload and the parts it holds; quiet when it is already gone."""
        try:
            yield from ask(
                lambda: self._request("DELETE", key, {"uploadId": upload_id}), self._judge(key), self._patience
            )
        except BlobFault as fault:
            if fault.code not in {"S3-UPLOAD", "HTTP-404"}:
                raise

    # ------------------------------------------------------------------------------------------------ inside

    def about_object(self, headers: str, metadata: str, original_name: str = "") -> list[str]:
        """See `objects.about_object`."""
        return about_object(self._profile, headers, metadata, original_name)

    def _conditions(self, replace: bool) -> tuple[str, ...]:  # noqa: FBT001 - named at every call of put and close_upload
        return () if replace else ("If-None-Match: *",)

    def _judge(self, key: str) -> Callable[[Response], Verdict | None]:
        return lambda answer: judge(answer, f"object '{key}'", S3_TABLE)

    def _request(
        self,
        method: str,
        key: str | None,
        query: dict[str, str] | None = None,
        headers: Sequence[str] = (),
        body: bytes = b"",
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        max_body_bytes: int = 1 << 16,
    ) -> Request:
        access = self.access
        url = self._base + (
            f"/{quote(key, safe='/~')}" if key is not None else "/" if not self._profile.path_style else ""
        )
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="")
        lines = ["x-amz-content-sha256: UNSIGNED-PAYLOAD", "Expect:", *headers]
        if access.token:
            lines.append(f"x-amz-security-token: {access.token}")
        if method in {"PUT", "POST"} and not any(line.startswith("Content-Type:") for line in lines):
            lines.append("Content-Type: application/octet-stream")  # else libcurl says that it is a form
        line = self._line._replace(userpwd=f"{access.key}:{access.secret}")
        return Request(method, url, line, tuple(lines), body, source, sink, max_body_bytes)


def _part_sum(part: Part) -> str:
    return f"<ChecksumCRC64NVME>{escape(part.checksum)}</ChecksumCRC64NVME>" if part.checksum else ""
