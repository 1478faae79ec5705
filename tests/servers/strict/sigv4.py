"""AWS Signature Version 4 as the server of S3 checks it: every header and the payload's hash, path style.

From "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" in the S3 API reference.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import urllib.parse
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.strict.service import Refusal, seconds

if TYPE_CHECKING:
    from tests.servers.strict.wire import Request

_SKEW_S = 15 * 60
_FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request"
    r", ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


class Credentials(NamedTuple):
    """What a client must have; `token` is "" for keys that last."""

    key_id: str
    secret: str
    token: str = ""


def check(request: Request, credentials: Credentials, region: str, now: float) -> None:
    """Let a request pass.

    Raises:
        Refusal: With S3's own code for what is not right.
    """
    headers = request.headers
    if "authorization" not in headers:
        raise Refusal(403, "AccessDenied")
    found = _FORM.fullmatch(headers["authorization"])
    if not found:
        raise Refusal(400, "AuthorizationHeaderMalformed")
    key_id, day, signed_region, names, signature = found.groups()
    if key_id != credentials.key_id:
        raise Refusal(403, "InvalidAccessKeyId")
    if headers.get("x-amz-security-token", "") != credentials.token:
        raise Refusal(400, "InvalidToken")
    if signed_region != region:
        raise Refusal(
            400, "AuthorizationHeaderMalformed", f"the region '{signed_region}' is wrong; expecting '{region}'"
        )
    _check_time(headers.get("x-amz-date", ""), day, now)
    if "x-amz-content-sha256" not in headers:
        raise Refusal(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    signed = names.split(";")
    if unsigned := {name for name in headers if name == "host" or name.startswith("x-amz-")} - set(signed):
        raise Refusal(403, "AccessDenied", f"There were headers present that were not signed: {', '.join(unsigned)}")
    canonical = "\n".join(
        [
            request.verb,
            urllib.parse.quote(urllib.parse.unquote_to_bytes(request.path), safe="/~"),
            _canonical_query(request.query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            names,
            headers["x-amz-content-sha256"],
        ]
    )
    hashed = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    what = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{day}/{region}/s3/aws4_request", hashed])
    right = hmac.new(_signing_key(credentials.secret, day, region), what.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(right, signature):
        raise Refusal(403, "SignatureDoesNotMatch")


def _check_time(date: str, day: str, now: float) -> None:
    try:
        at = seconds(date)
    except ValueError:
        raise Refusal(403, "AccessDenied", "x-amz-date") from None
    if abs(at - now) > _SKEW_S:
        raise Refusal(403, "RequestTimeTooSkewed")
    if date[:8] != day:
        raise Refusal(403, "SignatureDoesNotMatch", "The date in the scope is another one")


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return urllib.parse.quote(urllib.parse.unquote_to_bytes(text), safe="~")


@functools.lru_cache
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), "sha256").digest()
    return key
