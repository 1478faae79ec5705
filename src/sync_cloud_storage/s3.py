"""Amazon S3 and every S3-like endpoint as requests and parsed answers: look, put, multipart.

What an endpoint can do is data (`Profile`), not a subclass. botocore finds credentials, region and endpoint the way
every AWS tool does; the requests themselves go through the pump, signed by libcurl (SigV4). Bodies are sent as
`UNSIGNED-PAYLOAD`: what protects them is the CRC64NVME in a signed header, which S3 checks on arrival. Facts about the
service: Amazon S3 API Reference and User Guide ("Checking object integrity", "Multipart upload limits"), read
2026-11-23.
"""

from __future__ import annotations

import json
from email.header import Header
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from lxml import etree

from sync_cloud_storage import checksum
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind
from sync_cloud_storage.http.messages import Line, Request, Response, Source
from sync_cloud_storage.http.retry import S3 as S3_TABLE
from sync_cloud_storage.http.retry import Patience, Rule, Verdict, ask, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Sink, Story

MIB = 1 << 20
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * MIB
MAX_PUT_BYTES = 5 << 30
MAX_OBJECT_BYTES = 53_687_091_200_000  # 48.8 TiB, since 2025-12; the service itself has the last word
METADATA_MAX_BYTES = 2048

_FOLLOWS = {  # what goes with the object; nothing else of a blob may become a header (no ACL, no redirect)
    "content-type": "Content-Type",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-disposition": "Content-Disposition",
    "cache-control": "Cache-Control",
}
_STRANGER = Rule(Kind.RETRY, "S3-ANSWER", "")


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


class S3Access(NamedTuple):
    """Credentials for requests from now until the chain gives others."""

    key: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"S3Access({self.key[:4]}...)"


class Part(NamedTuple):
    """One part of a multipart upload as the endpoint has it. `checksum` is S3's text form, "" where it has none."""

    number: int
    size_bytes: int
    etag: str
    checksum: str


class Stored(NamedTuple):
    """An object as the endpoint describes it. `checksum`: full-object CRC64NVME, S3's text form; "" if it has none."""

    size_bytes: int
    etag: str
    checksum: str
    version_id: str


class AwsChain:
    """Credentials, region and endpoint from where every AWS tool takes them: environment, profiles, SSO, instance role.

    Raises:
        EnvironmentFault: AWS-CONFIG when the chain's files cannot be read or name an unknown profile.
    """

    def __init__(self, *, profile: str, region: str, endpoint: str) -> None:
        import botocore.exceptions  # noqa: PLC0415 - 0.2 s to import
        import botocore.session  # noqa: PLC0415

        try:
            self._session: Any = botocore.session.Session(profile=profile or None)
            self._credentials = self._session.get_credentials()
            region = region or self._session.get_config_variable("region") or ""
            client = self._session.create_client("s3", region_name=region or "us-east-1", endpoint_url=endpoint or None)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise EnvironmentFault(
                "AWS-CONFIG",
                f"The AWS settings cannot be used: {error}.",
                "Check ~/.aws/config, AWS_PROFILE and the endpoint.",
            ) from error
        self.region = region or "us-east-1"
        self.endpoint = str(client.meta.endpoint_url).rstrip("/")
        self.is_aws = self.endpoint.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def access(self) -> S3Access:
        """Credentials that are good now; renewed by the chain when they are about to end."""
        import botocore.exceptions  # noqa: PLC0415

        hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role."
        try:
            frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        except botocore.exceptions.BotoCoreError as error:
            raise EnvironmentFault("S3-AUTH", f"The AWS credentials cannot be renewed: {error}.", hint) from error
        if not frozen or not frozen.access_key or not frozen.secret_key:
            raise EnvironmentFault("S3-AUTH", "There are no AWS credentials.", hint)
        return S3Access(frozen.access_key, frozen.secret_key, frozen.token or "")


def part_size_for(size_bytes: int, preferred_bytes: int = 0) -> int:
    """Length of the parts of an object of *size_bytes*: a multiple of 1 MiB, never more than MAX_PARTS parts.

    Args:
        size_bytes: Length of the object.
        preferred_bytes: Wanted length; 0 chooses 16 MiB, which keeps 8 parts in flight within 128 MiB of page cache.
    """
    needed = -(-size_bytes // MAX_PARTS)
    chosen = max(preferred_bytes or 16 * MIB, needed, MIN_PART_BYTES)
    return -(-chosen // MIB) * MIB


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
        full = answer.header("x-amz-checksum-type") != "COMPOSITE"
        crc = answer.header("x-amz-checksum-crc64nvme") if full else ""
        return Stored(
            int(answer.header("content-length") or "0"),
            answer.header("etag").strip('"'),
            crc,
            answer.header("x-amz-version-id"),
        )

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
        upload_id = _text(answer.body, "UploadId")
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
        return [_child(node, "UploadId") for node in _nodes(answer.body, "Upload") if _child(node, "Key") == key]

    def parts(self, key: str, upload_id: str) -> Story[list[Part]]:
        """What an open upload holds already."""
        found: list[Part] = []
        asked = {"uploadId": upload_id}
        while True:
            request = partial(self._request, "GET", key, dict(asked), max_body_bytes=8 * MIB)
            answer = yield from ask(request, self._judge(key), self._patience)
            found += map(_listed_part, _nodes(answer.body, "Part"))
            asked["part-number-marker"] = _text(answer.body, "NextPartNumberMarker")
            if _text(answer.body, "IsTruncated") != "true" or not asked["part-number-marker"]:
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
            _text(answer.body, "ETag").strip('"'),
            _text(answer.body, "ChecksumCRC64NVME"),
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
        """The header lines that make an object what its blob was, and what the settings say about all objects.

        Args:
            headers: The blob's HTTP properties, JSON as in `model.Blob`.
            metadata: The user's pairs, JSON as in `model.Blob`.
            original_name: Kept as metadata `scs-name` where the key had to be changed.

        Raises:
            BlobFault: S3-METADATA when there is more metadata than S3 takes; nothing is dropped silently.
        """
        lines = [
            f"{_FOLLOWS[name]}: {_line_safe(value)}"
            for name, value in (json.loads(headers) if headers else {}).items()
            if name in _FOLLOWS
        ]
        pairs = {name.lower(): value for name, value in (json.loads(metadata) if metadata else {}).items()}
        if original_name:
            pairs["scs-name"] = quote(original_name, safe="/")
        if sum(len(name) + len(value.encode()) for name, value in pairs.items()) > METADATA_MAX_BYTES:
            raise BlobFault(
                "S3-METADATA",
                "The blob has more than the 2 KB of user metadata that S3 takes.",
                "Shorten its metadata at the source, then sync again.",
            )
        lines += [f"x-amz-meta-{name}: {_line_safe(value)}" for name, value in pairs.items()]
        profile = self._profile
        chosen = {
            "x-amz-storage-class": profile.storage_class,
            "x-amz-acl": profile.acl,
            "x-amz-server-side-encryption": profile.encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": profile.kms_key,
            "x-amz-tagging": urlencode(profile.tags, quote_via=quote),
        }
        return lines + [f"{name}: {value}" for name, value in chosen.items() if value]

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


class HashSink:
    """Sink: nothing is kept but the checksum."""

    def __init__(self) -> None:
        self.received = 0
        self.crc = 0

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over."""
        del headers
        self.received = 0
        self.crc = 0
        return status == 200

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.received += len(data)
        self.crc = checksum.crc64nvme(data, self.crc)


def _line_safe(value: str) -> str:
    """A value as a header line takes it: RFC 2047 where it is not ASCII (Source: S3 "User-defined metadata")."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise BlobFault(
            "S3-METADATA",
            "A property or metadata value of the blob has control characters, which no header can carry.",
            "Mend it at the source, then sync again.",
        )
    return value if value.isascii() else Header(value, "utf-8", maxlinelen=10**6).encode()


def _listed_part(node: Any) -> Part:
    number, size = int(_child(node, "PartNumber")), int(_child(node, "Size"))
    return Part(number, size, _child(node, "ETag").strip('"'), _child(node, "ChecksumCRC64NVME"))


def _part_sum(part: Part) -> str:
    return f"<ChecksumCRC64NVME>{escape(part.checksum)}</ChecksumCRC64NVME>" if part.checksum else ""


def _nodes(body: bytes, name: str) -> list[Any]:
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise BlobFault("S3-ANSWER", f"The endpoint's answer is not XML ({error}).", _STRANGER.hint) from error
    return [node for node in root.iter() if isinstance(node.tag, str) and etree.QName(node).localname == name]


def _child(node: Any, name: str) -> str:
    return next((child.text or "" for child in node if etree.QName(child).localname == name), "")


def _text(body: bytes, name: str) -> str:
    nodes = _nodes(body, name)
    return (nodes[0].text or "") if nodes else ""
