"""What the table promises: each answer has its class, and patience is limited by attempts or by time, never by both."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.http.messages import Line, Request, Response
from sync_cloud_storage.http.retry import AZURE, BY_STATUS, RETRY_AFTER_CAP_S, S3, Patience, ask, judge, retry_after_s
from sync_cloud_storage.http.transfer import CertificateRefused
from tests.unit.telling import Teller, Time, response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.http.retry import Rule

RETRY, REPLAN, PERMANENT, FATAL = Kind.RETRY, Kind.REPLAN, Kind.PERMANENT, Kind.FATAL
OFFLINE = Response(0, {}, b"", "Could not connect", offline=True)
BROKEN = Response(0, {}, b"", "Connection reset by peer")


def azure(status: int, code: str = "") -> Response:
    """Say it as Azure does: the code in a header, since HEAD has no body."""
    return response(status, x_ms_error_code=code, x_ms_request_id="r-1")


def s3(status: int, code: str, message: str = "") -> Response:
    """Say it as S3 does: the code in the body."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message or code}</Message></Error>"
    return response(status, body.encode(), x_amz_request_id="R-1")


def rule_of(answer: Response, table: dict[str, Rule]) -> Rule:
    """The rule of an answer that is no success."""
    verdict = judge(answer, "blob 'b'", table)
    assert verdict is not None
    return verdict.rule


# -------------------------------------------------------------------------------------------------------- the table

AZURE_ROWS = [  # of the catalogue of faults, sections A and B: status, code, class, class once attempts are used up
    pytest.param(403, "AuthenticationFailed", FATAL, None, id="A02 SAS ended in the middle"),
    pytest.param(403, "AuthorizationFailure", FATAL, None, id="A05 firewall"),
    pytest.param(401, "InvalidAuthenticationInfo", RETRY, FATAL, id="A03 token ended"),
    pytest.param(401, "NoAuthenticationInformation", RETRY, FATAL, id="A03 no token"),
    pytest.param(403, "AuthorizationPermissionMismatch", PERMANENT, None, id="A04 one container"),
    pytest.param(403, "AuthorizationResourceTypeMismatch", FATAL, None, id="SAS without objects"),
    pytest.param(403, "AuthorizationServiceMismatch", FATAL, None, id="SAS without blobs"),
    pytest.param(403, "AuthorizationProtocolMismatch", FATAL, None, id="SAS for https"),
    pytest.param(403, "AuthorizationSourceIPMismatch", FATAL, None, id="SAS for another address"),
    pytest.param(403, "AccountIsDisabled", FATAL, None, id="account disabled"),
    pytest.param(403, "SomethingNew", FATAL, None, id="unknown 403"),
    pytest.param(404, "ContainerNotFound", PERMANENT, None, id="A08 container deleted"),
    pytest.param(409, "ContainerBeingDeleted", RETRY, PERMANENT, id="A09 container on its way out"),
    pytest.param(404, "BlobNotFound", REPLAN, None, id="A14 blob deleted"),
    pytest.param(500, "InternalError", RETRY, PERMANENT, id="B01 500"),
    pytest.param(502, "", RETRY, PERMANENT, id="B01 502"),
    pytest.param(504, "", RETRY, PERMANENT, id="B01 504"),
    pytest.param(507, "", RETRY, PERMANENT, id="B01 any other 5xx"),
    pytest.param(503, "ServerBusy", RETRY, PERMANENT, id="B02 busy"),
    pytest.param(429, "", RETRY, PERMANENT, id="B03 too many requests"),
    pytest.param(408, "", RETRY, PERMANENT, id="B04 408"),
    pytest.param(500, "OperationTimedOut", RETRY, PERMANENT, id="B04 timed out inside"),
    pytest.param(416, "InvalidRange", REPLAN, None, id="B12 shrunk"),
    pytest.param(412, "ConditionNotMet", REPLAN, None, id="B13 changed"),
    pytest.param(412, "", REPLAN, None, id="B13 changed, said without a code"),
    pytest.param(301, "", FATAL, None, id="B23 redirect for ever"),
    pytest.param(302, "", FATAL, None, id="B23 redirect of a portal"),
    pytest.param(307, "", FATAL, None, id="B23 redirect"),
    pytest.param(409, "BlobArchived", PERMANENT, None, id="B24 archived"),
    pytest.param(409, "BlobBeingRehydrated", PERMANENT, None, id="B24 rehydrating"),
    pytest.param(409, "BlobUsesCustomerSpecifiedEncryption", PERMANENT, None, id="B25 customer's key"),
    pytest.param(400, "InvalidHeaderValue", PERMANENT, None, id="what nobody thought of"),
]

S3_ROWS = [  # section E
    pytest.param(503, "SlowDown", RETRY, PERMANENT, id="E01 slow down"),
    pytest.param(500, "InternalError", RETRY, PERMANENT, id="E01 internal error"),
    pytest.param(503, "ServiceUnavailable", RETRY, PERMANENT, id="E01 unavailable"),
    pytest.param(400, "RequestTimeout", RETRY, PERMANENT, id="E01 request timeout"),
    pytest.param(400, "BadDigest", RETRY, PERMANENT, id="E05 digest"),
    pytest.param(400, "XAmzContentChecksumMismatch", RETRY, PERMANENT, id="E05 checksum"),
    pytest.param(400, "InvalidPart", REPLAN, None, id="E05 part"),
    pytest.param(404, "NoSuchUpload", REPLAN, None, id="E03 no such upload"),
    pytest.param(400, "ExpiredToken", RETRY, FATAL, id="E06 token ended"),
    pytest.param(400, "InvalidToken", RETRY, FATAL, id="E06 token wrong"),
    pytest.param(403, "InvalidAccessKeyId", FATAL, None, id="E06 key unknown"),
    pytest.param(403, "SignatureDoesNotMatch", FATAL, None, id="E06 secret wrong"),
    pytest.param(403, "RequestTimeTooSkewed", FATAL, None, id="E07 clock"),
    pytest.param(301, "PermanentRedirect", FATAL, None, id="E08 region"),
    pytest.param(307, "TemporaryRedirect", FATAL, None, id="E08 new bucket"),
    pytest.param(400, "AuthorizationHeaderMalformed", FATAL, None, id="E08 region in the signature"),
    pytest.param(404, "NoSuchBucket", FATAL, None, id="E09 no bucket"),
    pytest.param(403, "AccessDenied", PERMANENT, None, id="E10 one object"),
    pytest.param(412, "PreconditionFailed", REPLAN, None, id="E11 object is there"),
    pytest.param(409, "ConditionalRequestConflict", RETRY, PERMANENT, id="E11 two writers"),
    pytest.param(400, "KeyTooLongError", PERMANENT, None, id="name too long"),
    pytest.param(400, "MetadataTooLarge", PERMANENT, None, id="E23 metadata"),
    pytest.param(400, "EntityTooLarge", PERMANENT, None, id="too large"),
    pytest.param(507, "InsufficientCapacity", FATAL, None, id="E17 Snowball full"),
]


@pytest.mark.parametrize(("status", "code", "kind", "then"), AZURE_ROWS)
def test_azure_rows(status: int, code: str, kind: Kind, then: Kind | None) -> None:
    """Each fault of the source has the class that the catalogue of faults wants."""
    rule = rule_of(azure(status, code), AZURE)
    assert (rule.kind, rule.then if kind is RETRY else None) == (kind, then)


@pytest.mark.parametrize(("status", "code", "kind", "then"), S3_ROWS)
def test_s3_rows(status: int, code: str, kind: Kind, then: Kind | None) -> None:
    """Each fault of the target has the class that the catalogue of faults wants."""
    rule = rule_of(s3(status, code), S3)
    assert (rule.kind, rule.then if kind is RETRY else None) == (kind, then)


@pytest.mark.parametrize("table", [AZURE, S3], ids=["azure", "s3"])
def test_no_rule_is_without_a_code(table: dict[str, Rule]) -> None:
    """Every rule has a code for reports, and what stops a run tells the way out."""
    for rule in (*table.values(), *BY_STATUS.values()):
        assert rule.code == rule.code.upper()
        if FATAL in {rule.kind, rule.then if rule.kind is RETRY else None}:
            assert rule.hint


@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_success_has_no_verdict(status: int) -> None:
    """An answer of the 2xx class is judged elsewhere."""
    assert judge(response(status), "x", AZURE) is None


def test_sentence_names_thing_answer_and_request() -> None:
    """The sentence has what was asked for, what the service said, and the id that its support asks for."""
    verdict = judge(s3(400, "OddThing", "It is odd.\nVery."), "object 'a/b'", S3)
    assert verdict is not None
    assert verdict.sentence == "object 'a/b': the service answered 400 OddThing (It is odd) [request R-1]."


def test_sentence_of_a_broken_connection() -> None:
    """Where no answer came, libcurl's own words say why."""
    verdict = judge(BROKEN, "blob 'b'", AZURE)
    assert verdict is not None
    assert verdict.sentence == "blob 'b': the connection failed (Connection reset by peer)."
    assert verdict.rule.kind is RETRY


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<Code></Code>", b"<Message>\n</Message>", b"<Code>" + b"x" * 200])
def test_strange_bodies(body: bytes) -> None:
    """An error without a readable body is still judged, by its status."""
    assert rule_of(response(502, body), S3).code == "HTTP-502"


# ----------------------------------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", 0.0), ("soon", 0.0), ("-3", 0.0), ("1.5", 0.0), ("²", 0.0), ("9" * 30, 1e30)],
)
def test_retry_after_in_seconds(text: str, seconds: float) -> None:
    """A number is seconds; what is no number asks for nothing."""
    assert retry_after_s(response(503, retry_after=text)) == pytest.approx(seconds)


@pytest.mark.parametrize(("ahead_s", "seconds"), [(90, 90.0), (0, 0.0), (-90, 0.0)])
def test_retry_after_as_a_date(ahead_s: int, seconds: float) -> None:
    """A date is held against the service's own clock, not ours; one in the past asks for nothing."""
    now = 1_795_000_000
    answer = response(503, retry_after=formatdate(now + ahead_s, usegmt=True), date=formatdate(now, usegmt=True))
    assert retry_after_s(answer) == seconds


def test_retry_after_as_a_strange_date() -> None:
    """A date that cannot be compared asks for nothing."""
    date = "Fri, 23 Nov 2026 03:18:30"
    assert retry_after_s(response(503, retry_after=date + " GMT", date=date + " -0000")) == 0.0


# ------------------------------------------------------------------------------------------------------- patience


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.floats(0, 10_000))
def test_full_jitter(attempt: int, dice: float, asked_s: float) -> None:
    """A pause is at least what the service asked for (capped), and otherwise anywhere below a doubling ceiling."""
    patience = Patience(first_s=0.5, longest_s=60.0, dice=lambda: dice)
    pause = patience.pause_s(attempt, asked_s)
    ceiling = min(60.0, 0.5 * 2 ** (attempt - 1)) if attempt < 20 else 60.0
    assert min(asked_s, RETRY_AFTER_CAP_S) <= pause <= max(ceiling, min(asked_s, RETRY_AFTER_CAP_S))
    assert patience.pause_s(attempt, 0.0) == ceiling * dice


class Asking:
    """Asks by `ask`, with answers from a script and a clock that its pauses move."""

    def __init__(self, answers: Sequence[object], **more: float) -> None:
        self.clock = Time()
        self.made = 0
        patience = Patience(clock=self.clock, dice=lambda: 1.0, **more)  # type: ignore[arg-type]
        self.teller = Teller(answers, clock=self.clock.pass_)
        self._story = ask(self._make, lambda answer: judge(answer, "blob 'b'", AZURE), patience)

    def _make(self) -> Request:
        self.made += 1
        return Request("GET", f"http://host/{self.made}", Line())

    def answer(self) -> Response:
        """The one that will do."""
        return self.teller.tell(self._story)


def test_success_at_once() -> None:
    """An answer that will do is taken, without a pause."""
    asking = Asking([response(200, b"x")])
    assert asking.answer().body == b"x"
    assert (asking.made, asking.teller.pauses) == (1, [])


def test_request_is_made_anew_each_time() -> None:
    """Each attempt makes its own request, since credentials may have been renewed."""
    asking = Asking([azure(500), BROKEN, response(200)])
    asking.answer()
    assert [request.url for request in asking.teller.requests] == ["http://host/1", "http://host/2", "http://host/3"]
    assert asking.teller.pauses == [0.5, 1.0]


def test_attempts_are_used_up() -> None:
    """After so many failures the fault is this blob's, for good."""
    asking = Asking([azure(500, "InternalError")] * 9, attempts=4)
    with pytest.raises(BlobFault) as raised:
        asking.answer()
    assert (asking.made, raised.value.kind, raised.value.code) == (4, PERMANENT, "HTTP-500")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [(azure(404, "BlobNotFound"), BlobFault), (azure(403, "AuthenticationFailed"), EnvironmentFault)],
    ids=["replan", "fatal"],
)
def test_what_is_clear_is_not_tried_again(answer: Response, fault: type[ScsError]) -> None:
    """A blob that is gone, or access that is refused, is told at once: no attempt is wasted (A01, A02)."""
    asking = Asking([answer])
    with pytest.raises(fault):
        asking.answer()
    assert asking.made == 1


def test_refused_token_stops_the_run_in_the_end() -> None:
    """A token that stays refused after all attempts is no single blob's fault (A03)."""
    asking = Asking([azure(401, "InvalidAuthenticationInfo")] * 6)
    with pytest.raises(EnvironmentFault):
        asking.answer()
    assert asking.made == 6


@pytest.mark.parametrize("answer", [azure(503, "ServerBusy"), azure(429)], ids=["503", "429"])
def test_throttling_uses_time_not_attempts(answer: Response) -> None:
    """However often the service says that it is busy, an hour of patience is an hour."""
    asking = Asking([*[answer] * 50, response(200)], attempts=3, longest_s=1.0, offline_s=3600.0)
    assert asking.answer().status == 200
    assert asking.made == 51


def test_throttled_for_too_long() -> None:
    """When the time is used up, it is the blob that fails, with the service's own reason."""
    asking = Asking([azure(503, "ServerBusy")] * 10_000, attempts=3, offline_s=600.0)
    with pytest.raises(BlobFault) as raised:
        asking.answer()
    assert raised.value.code == "THROTTLED"
    assert 600 <= asking.clock.now - 1000 < 700


def test_offline_waits_and_goes_on() -> None:
    """A network that is away for half an hour costs time only (B05, G02)."""
    asking = Asking([*[OFFLINE] * 40, response(200)], attempts=3, offline_s=3600.0)
    assert asking.answer().status == 200


def test_offline_for_too_long() -> None:
    """A network that stays away stops the run: nothing is marked failed (A07)."""
    asking = Asking([OFFLINE] * 10_000, offline_s=600.0)
    with pytest.raises(EnvironmentFault) as raised:
        asking.answer()
    assert raised.value.code == "NET-OFFLINE"
    assert 600 <= asking.clock.now - 1000 < 700


def test_offline_without_patience() -> None:
    """With no patience at all, the first refused connection ends it."""
    with pytest.raises(EnvironmentFault):
        Asking([OFFLINE], offline_s=0.0).answer()


def test_retry_after_is_waited_for() -> None:
    """The service's own wish counts, up to five minutes (B02)."""
    asking = Asking([response(503, retry_after="7"), response(503, retry_after="9999"), response(200)])
    asking.answer()
    assert asking.teller.pauses == [7.0, RETRY_AFTER_CAP_S]


def test_failures_count_across_throttling() -> None:
    """Being throttled in between does not give failed attempts back."""
    asking = Asking([azure(500), azure(503), azure(500), azure(503), azure(500)], attempts=3)
    with pytest.raises(BlobFault) as raised:
        asking.answer()
    assert (asking.made, raised.value.code) == (5, "HTTP-500")


def test_refused_certificate_stops_the_run() -> None:
    """A certificate that is not trusted is never tried again, and never done without (B30)."""
    asking = Asking([CertificateRefused("self-signed certificate")])
    with pytest.raises(EnvironmentFault) as raised:
        asking.answer()
    assert raised.value.code == "TLS-CERT"
    assert asking.made == 1


def test_exceptions_of_a_sink_pass_through() -> None:
    """What a sink or source raised is not an answer of the service: it goes up as it is."""
    with pytest.raises(EnvironmentFault) as raised:
        Asking([EnvironmentFault("NAS-FULL", "full")]).answer()
    assert raised.value.code == "NAS-FULL"


def test_proxy_that_wants_a_password_stops_the_run() -> None:
    """A 407 is the proxy's word about all requests, not a blob's fault."""
    verdict = judge(response(407), "blob 'b'", AZURE)
    assert verdict is not None
    assert (verdict.rule.kind, verdict.rule.code) == (FATAL, "PROXY")


def test_last_try_comes_when_patience_ends() -> None:
    """Waiting for an endpoint ends at the end of the patience, not up to a minute and more later."""
    asking = Asking([OFFLINE] * 99, offline_s=100.0)
    begun = asking.clock.now
    with pytest.raises(EnvironmentFault):
        asking.answer()
    assert asking.clock.now - begun == pytest.approx(100.0)
