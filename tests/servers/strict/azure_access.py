"""Who may ask the Azure side: account SAS, Shared Key, bearer token; signatures are really checked.

From Microsoft's REST reference: Create an account SAS, Authorize with Shared Key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.strict.content import text
from tests.servers.strict.service import Refusal, query_of, seconds

if TYPE_CHECKING:
    from tests.servers.strict.wire import Request

_SKEW_S = 15 * 60
_SIGNED_BY_SAS = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
_SIGNED_BY_KEY = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
OF_SAS = {*_SIGNED_BY_SAS, "sig"}


class Needs(NamedTuple):
    """What a SAS must allow: a resource type (`s`, `c`, `o`) and a permission (`r`, `l`, `w`)."""

    resource: str
    permission: str


def check(request: Request, needs: Needs, *, account: str, key: str, token: str, now: float) -> None:
    """Let a request pass.

    Raises:
        Refusal: 401 without or with a wrong token, 403 for everything else that is not right.
    """
    query, authorization = query_of(request), request.headers.get("authorization", "")
    if authorization.startswith("SharedKey "):
        _check_shared_key(request, authorization, account, key, now)
    elif authorization.startswith("Bearer "):
        if not token or authorization != f"Bearer {token}":
            challenge = "Bearer authorization_uri=https://login.invalid/ resource_id=storage"
            raise Refusal(401, "InvalidAuthenticationInfo", headers={"WWW-Authenticate": challenge})
    elif "sig" in query:
        _check_sas(query, needs, account, key, now)
    else:
        raise Refusal(401, "NoAuthenticationInformation", headers={"WWW-Authenticate": "Bearer"})


def _check_sas(query: dict[str, str], needs: Needs, account: str, key: str, now: float) -> None:
    if missing := {"sv", "ss", "srt", "sp", "se"} - set(query):
        raise Refusal(403, "AuthenticationFailed", f"The SAS lacks {', '.join(sorted(missing))}")
    try:
        is_time = seconds(query.get("st", "2000-01-01")) <= now < seconds(query["se"])
    except ValueError:
        is_time = False
    if not is_time:
        raise Refusal(403, "AuthenticationFailed", "Signature not valid in the specified time frame")
    signed = "".join(f"{line}\n" for line in (account, *(query.get(name, "") for name in _SIGNED_BY_SAS)))
    if not _is_signature(query["sig"], signed, key):
        raise Refusal(403, "AuthenticationFailed", "Signature did not match")
    if "b" not in query["ss"]:
        raise Refusal(403, "AuthorizationServiceMismatch")
    if needs.resource not in query["srt"]:
        raise Refusal(403, "AuthorizationResourceTypeMismatch")
    if needs.permission not in query["sp"]:
        raise Refusal(403, "AuthorizationPermissionMismatch")


def _check_shared_key(request: Request, authorization: str, account: str, key: str, now: float) -> None:
    headers = request.headers
    named, _, signature = authorization.removeprefix("SharedKey ").partition(":")
    date = headers.get("x-ms-date") or headers.get("date")
    if named != account or not date or abs(parsedate_to_datetime(date).timestamp() - now) > _SKEW_S:
        raise Refusal(403, "AuthenticationFailed", "account or date")
    plain = {**headers, "content-length": headers.get("content-length", "").removeprefix("0")}
    own = sorted(f"{name}:{value}" for name, value in headers.items() if name.startswith("x-ms-"))
    query = sorted(f"{name.lower()}:{value}" for name, value in query_of(request).items())
    values = (plain.get(name, "") for name in _SIGNED_BY_KEY)
    signed = "\n".join([request.verb, *values, *own, f"/{account}{request.path}", *query])
    if not _is_signature(signature, signed, key):
        raise Refusal(403, "AuthenticationFailed", "Signature did not match")


def _is_signature(signature: str, signed: str, key: str) -> bool:
    right = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(text(right), signature)
