"""One table from answer to what is done about it, and the one loop that does it.

The classes are those of `errors.Kind`. A throttled or unreachable service is not a failure of a blob: such waits are
limited by time (`Patience.offline_s`), not by a count. Everything else is tried `Patience.attempts` times with full
jitter (Source: AWS Architecture Blog, "Exponential Backoff And Jitter", read 2026-11-23), waiting at least as long as
the service asks for in `Retry-After`.
"""

from __future__ import annotations

import random
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.http.messages import Pause, Request, Response
from sync_cloud_storage.http.transfer import CertificateRefused
from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.messages import Story

RETRY_AFTER_CAP_S = 300.0


class Rule(NamedTuple):
    """What an answer means. `then` is the class once all attempts are used up."""

    kind: Kind
    code: str
    hint: str = ""
    then: Kind = Kind.PERMANENT


class Verdict(NamedTuple):
    """A rule, and the sentence about this very answer."""

    rule: Rule
    sentence: str

    def fault(self, *, used_up: bool = False) -> ScsError:
        """The error to raise."""
        kind = self.rule.then if used_up else self.rule.kind
        # Services quote the request that they refuse; what is in here gets into the catalog, too.
        sentence = redact(self.sentence[:1].upper() + self.sentence[1:])
        if kind is Kind.FATAL:
            return EnvironmentFault(self.rule.code, sentence, self.rule.hint)
        return BlobFault(self.rule.code, sentence, self.rule.hint, kind=kind)


class Patience(NamedTuple):
    """How long to keep trying. The clock, the dice and the times are arguments so that tests need not wait."""

    attempts: int = 6
    first_s: float = 0.5
    longest_s: float = 60.0
    offline_s: float = 1800.0
    clock: Callable[[], float] = time.monotonic
    dice: Callable[[], float] = random.random

    def pause_s(self, attempt: int, retry_after_s: float) -> float:
        """Seconds to wait after the *attempt*-th failure (1, 2, ...)."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 16))
        return max(ceiling * self.dice(), min(retry_after_s, RETRY_AFTER_CAP_S))


_ACCESS = "Check the account and its key, SAS or role; `scs` goes on where it stopped once the access is right."
_AWS_ACCESS = (
    "Check the AWS credentials and the bucket's policy; `scs` goes on where it stopped once the access is right."
)
_CLOCK = "Set this machine's clock (NTP) and run again."

BY_STATUS = {
    401: Rule(Kind.RETRY, "AUTH-401", _ACCESS, then=Kind.FATAL),
    403: Rule(Kind.FATAL, "AUTH-403", _ACCESS),
    404: Rule(Kind.PERMANENT, "HTTP-404"),
    407: Rule(
        Kind.FATAL, "PROXY", "The proxy wants a name and a password: https_proxy=http://name:password@host:port."
    ),
    408: Rule(Kind.RETRY, "HTTP-408"),
    409: Rule(Kind.PERMANENT, "HTTP-409"),
    412: Rule(Kind.REPLAN, "CHANGED"),
    416: Rule(Kind.REPLAN, "CHANGED"),
    429: Rule(Kind.RETRY, "THROTTLED"),
    500: Rule(Kind.RETRY, "HTTP-500"),
    502: Rule(Kind.RETRY, "HTTP-502"),
    503: Rule(Kind.RETRY, "THROTTLED"),
    504: Rule(Kind.RETRY, "HTTP-504"),
}
REDIRECT = Rule(
    Kind.FATAL,
    "REDIRECT",
    "Redirects are not followed, since credentials would follow them. Set the endpoint's right address.",
)
STRANGE = Rule(Kind.PERMANENT, "HTTP")
BROKEN = Rule(Kind.RETRY, "NET")

# Source: "Blob service error codes", learn.microsoft.com, read 2026-11-23; measured on Azurite where named.
AZURE = {
    "AuthenticationFailed": Rule(Kind.FATAL, "AZ-AUTH", _ACCESS),
    "AuthorizationFailure": Rule(
        Kind.FATAL, "AZ-AUTH", _ACCESS + " A network rule of the account can be the reason, too."
    ),
    "InvalidAuthenticationInfo": Rule(Kind.RETRY, "AZ-AUTH", _ACCESS, then=Kind.FATAL),  # an Entra token that ran out
    "AuthorizationPermissionMismatch": Rule(
        Kind.PERMANENT, "AZ-403", "The SAS or role lacks read or list permission here."
    ),
    "AuthorizationResourceTypeMismatch": Rule(
        Kind.FATAL, "AZ-SAS", "The SAS needs the resource types service, container and object (srt=sco)."
    ),
    "AuthorizationServiceMismatch": Rule(Kind.FATAL, "AZ-SAS", "The SAS needs the blob service (ss=b)."),
    "AuthorizationProtocolMismatch": Rule(
        Kind.FATAL, "AZ-SAS", "The SAS allows another protocol only; make one with spr=https."
    ),
    "AuthorizationSourceIPMismatch": Rule(
        Kind.FATAL, "AZ-SAS", "The SAS allows other addresses only; make one whose sip= has this machine's, or none."
    ),
    "AccountIsDisabled": Rule(
        Kind.FATAL, "AZ-ACCOUNT", "The portal says why the account is disabled; enable it, then run again."
    ),
    "ContainerNotFound": Rule(Kind.PERMANENT, "AZ-404-CONTAINER"),
    "ContainerDisabled": Rule(Kind.PERMANENT, "AZ-404-CONTAINER"),
    "ContainerBeingDeleted": Rule(Kind.RETRY, "AZ-404-CONTAINER"),
    "BlobNotFound": Rule(Kind.REPLAN, "AZ-404-GONE"),
    "ResourceNotFound": Rule(Kind.REPLAN, "AZ-404-GONE"),
    "BlobArchived": Rule(Kind.PERMANENT, "AZ-ARCHIVED", "Rehydrate the blob, then try again with --retry-failed."),
    "BlobBeingRehydrated": Rule(
        Kind.PERMANENT, "AZ-ARCHIVED", "The blob is on its way out of the archive; try again later with --retry-failed."
    ),
    "BlobUsesCustomerSpecifiedEncryption": Rule(
        Kind.PERMANENT, "AZ-CPK", "It is encrypted with a key that only its owner has: let the owner copy it."
    ),
    "ConditionNotMet": Rule(Kind.REPLAN, "AZ-CHANGED"),
    "InvalidRange": Rule(Kind.REPLAN, "AZ-CHANGED"),
}

# Source: Amazon S3 API Reference, "Error responses", read 2026-11-23.
S3 = {
    "AccessDenied": Rule(Kind.PERMANENT, "S3-403", "The bucket's policy or the key's (KMS) refuses this object."),
    "AllAccessDisabled": Rule(Kind.FATAL, "S3-AUTH", _AWS_ACCESS),
    "InvalidAccessKeyId": Rule(Kind.FATAL, "S3-AUTH", _AWS_ACCESS),
    "SignatureDoesNotMatch": Rule(Kind.FATAL, "S3-AUTH", "The secret key does not fit the access key. " + _AWS_ACCESS),
    "InvalidToken": Rule(Kind.RETRY, "S3-AUTH", _AWS_ACCESS, then=Kind.FATAL),
    "ExpiredToken": Rule(
        Kind.RETRY, "S3-AUTH-EXPIRED", _AWS_ACCESS, then=Kind.FATAL
    ),  # renewed ones may be on their way
    "TokenRefreshRequired": Rule(Kind.RETRY, "S3-AUTH-EXPIRED", _AWS_ACCESS, then=Kind.FATAL),
    "RequestTimeTooSkewed": Rule(Kind.FATAL, "CLOCK-SKEW", _CLOCK),
    "NoSuchBucket": Rule(Kind.FATAL, "S3-BUCKET", "Create the bucket, or set AWS_BUCKET to one that exists."),
    "PermanentRedirect": Rule(Kind.FATAL, "S3-REGION", "Set AWS_DEFAULT_REGION to the bucket's region."),
    "TemporaryRedirect": Rule(Kind.FATAL, "S3-REGION", "Set AWS_DEFAULT_REGION to the bucket's region."),
    "AuthorizationHeaderMalformed": Rule(Kind.FATAL, "S3-REGION", "Set AWS_DEFAULT_REGION to the bucket's region."),
    "BadDigest": Rule(Kind.RETRY, "S3-DIGEST"),
    "XAmzContentChecksumMismatch": Rule(Kind.RETRY, "S3-DIGEST"),
    "InvalidDigest": Rule(Kind.RETRY, "S3-DIGEST"),
    "InvalidPart": Rule(Kind.REPLAN, "S3-PART"),
    "InvalidPartOrder": Rule(Kind.REPLAN, "S3-PART"),
    "NoSuchUpload": Rule(Kind.REPLAN, "S3-UPLOAD"),
    "KeyTooLongError": Rule(Kind.PERMANENT, "S3-NAME"),
    "MetadataTooLarge": Rule(
        Kind.PERMANENT, "S3-METADATA", "S3 takes 2 KB of user metadata. Shorten it at the source, then: scs sync --all"
    ),
    "EntityTooLarge": Rule(Kind.PERMANENT, "S3-TOO-BIG"),
    "PreconditionFailed": Rule(Kind.REPLAN, "S3-EXISTS"),
    "ConditionalRequestConflict": Rule(Kind.RETRY, "S3-EXISTS"),
    "OperationAborted": Rule(Kind.RETRY, "S3-EXISTS"),
    "RequestTimeout": Rule(Kind.RETRY, "HTTP-408"),
    "SlowDown": Rule(Kind.RETRY, "THROTTLED"),
    "InternalError": Rule(Kind.RETRY, "HTTP-500"),
    "InsufficientCapacity": Rule(Kind.FATAL, "S3-FULL", "The target is full; make room and run again."),
}

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,500})")


def judge(response: Response, what: str, table: dict[str, Rule]) -> Verdict | None:
    """What *response* means for *what* (a name for the sentence); None for a success (2xx).

    Args:
        response: The answer.
        what: The thing that was asked for, as a person knows it: `blob 'a/b' in container 'c'`.
        table: The service's own error codes, `AZURE` or `S3`; the status decides where the code is not in it.
    """
    if response.status == 0:
        return Verdict(BROKEN, f"{what}: the connection failed ({response.broken}).")
    if 200 <= response.status < 300:
        return None
    found = _CODE.search(response.body)
    error = response.header("x-ms-error-code") or (found.group(1).decode("utf-8", "replace") if found else "")
    if 300 <= response.status < 400 and error not in table:
        rule = REDIRECT
    elif error in table:
        rule = table[error]
    else:
        rule = BY_STATUS.get(response.status) or (BY_STATUS[500] if response.status >= 500 else STRANGE)
    message = _MESSAGE.search(response.body)
    said = message.group(1).decode("utf-8", "replace").splitlines()[0].strip() if message else ""
    request_id = response.header("x-ms-request-id") or response.header("x-amz-request-id")
    words = " ".join(filter(None, [str(response.status), error])) + (f" ({said.rstrip('.')})" if said else "")
    return Verdict(rule, f"{what}: the service answered {words}{f' [request {request_id}]' if request_id else ''}.")


def retry_after_s(response: Response) -> float:
    """Seconds that the service asks us to wait: a number or an HTTP date (RFC 9110, 10.2.3); 0 where it does not."""
    text = response.header("retry-after")
    if not text:
        return 0.0
    try:
        if text.isdigit():
            return float(text)
        here = parsedate_to_datetime(response.header("date")) if response.header("date") else None
        return max(0.0, (parsedate_to_datetime(text) - here).total_seconds()) if here else 0.0
    except (TypeError, ValueError):
        return 0.0


def ask(
    make: Callable[[], Request],
    judged: Callable[[Response], Verdict | None],
    patience: Patience,
    first: Response | None = None,
) -> Story[Response]:
    """Make a request until it succeeds or it is clear that it will not.

    Args:
        make: Makes the request anew each time (credentials may have been renewed meanwhile).
        judged: None for an answer that will do.
        patience: How long to keep trying.
        first: The answer to the first request, where that was made already.

    Raises:
        BlobFault: This thing cannot be had: permanent, or replan.
        EnvironmentFault: Nothing can be had.
    """
    failures = 0
    waiting_since: float | None = None
    while True:
        try:
            response: Response = first or (yield make())
        except CertificateRefused as error:
            raise EnvironmentFault(
                "TLS-CERT",
                f"The server's certificate was refused ({error}).",
                "Set SSL_CERT_FILE or AWS_CA_BUNDLE to the CA that signed it.",
            ) from error
        first = None
        verdict = judged(response)
        if verdict is None:
            return response
        if verdict.rule.kind is not Kind.RETRY:
            raise verdict.fault()
        now = patience.clock()
        if response.offline or verdict.rule.code == "THROTTLED":
            waiting_since = now if waiting_since is None else waiting_since
            if now - waiting_since >= patience.offline_s:
                if response.offline:
                    raise EnvironmentFault(
                        "NET-OFFLINE",
                        verdict.fault().sentence,
                        "Check the network and the endpoint's name; nothing was marked failed.",
                    )
                raise verdict.fault(used_up=True)
        else:
            waiting_since = None
            failures += 1
            if failures >= patience.attempts:
                raise verdict.fault(used_up=True)
        if waiting_since is None:
            yield Pause(patience.pause_s(failures, retry_after_s(response)))
            continue
        waited = now - waiting_since
        waits = 1 + int(waited // max(patience.first_s, 0.01))
        pause = patience.pause_s(min(waits, 12), retry_after_s(response))
        yield Pause(min(pause, patience.offline_s - waited))  # the last try is made when patience ends, not long after
