"""What the door to the account promises: strangers are not believed, and no other bytes pass than those asked for."""

from __future__ import annotations

import base64
import os
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

import sync_cloud_storage.azure.access as access_module
from sync_cloud_storage.azure import Azure, AzureAccess, AzureCredentials
from sync_cloud_storage.azure.access import SAS_LIFE, SKEW
from sync_cloud_storage.azure.rows import iso
from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.model import Blob
from tests.servers.strict import (
    LOGIN_PAGE,
    Answer,
    Cut,
    Fault,
    Headers,
    IgnoreConditions,
    IgnoreRange,
    OtherRange,
    Pad,
    Remove,
    Reset,
    Rewrite,
    Shorten,
)
from tests.unit.doors import azure_door
from tests.unit.telling import Teller, Time, pumped, response, to_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.http.messages import Response, Story
    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import StrictCloud

CLOCK = Time()
PATIENCE = Patience(attempts=3, clock=CLOCK, dice=lambda: 0.0)
SAS = AzureAccess("http://az/acc", sas="sp=rl&sig=x")
TODAY = datetime(2026, 11, 23, tzinfo=UTC)
KEY = base64.b64encode(bytes(range(64))).decode()


def door(access: AzureAccess = SAS, wall: float = 0.0) -> Azure:
    """A door to a service that only a script answers for."""
    return Azure(access, Line(), PATIENCE, lambda: wall)


def said(status: int = 200, body: bytes = b"", **more: str) -> Response:
    """An answer of the service itself, which has a request id."""
    return response(status, body, {"x-ms-request-id": "r-1"}, **more)


def page(inside: str = "<Blobs/>", root: str = "EnumerationResults", marker: str = "<NextMarker/>") -> bytes:
    """A page of a listing."""
    return f'<?xml version="1.0"?><{root}>{inside}{marker}</{root}>'.encode()


def entry(name: str = "<Name>x</Name>", **properties: str) -> str:
    """A blob in a page; properties that are "" are left out."""
    all_of_them = {"Content-Length": "1", "Etag": "1", **{key.replace("_", "-"): v for key, v in properties.items()}}
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in all_of_them.items() if value)
    return f"<Blob>{name}<Properties>{inside}</Properties></Blob>"


def told(story: Story[Any], *answers: Response) -> Any:
    """Tell a story with these answers, the last of them for ever."""
    script = iter(answers)
    return Teller(lambda _: next(script, answers[-1])).tell(story)


def fault_of(story: Story[Any], *answers: Response) -> ScsError:
    """What a story ends with."""
    with pytest.raises(ScsError) as raised:
        told(story, *answers)
    return raised.value


# ------------------------------------------------------------------------------------------------ who is it that speaks


@pytest.mark.parametrize("status", [200, 206, 302, 403, 404, 409, 412])
@pytest.mark.parametrize("verb", ["look", "read", "blobs", "containers"])
def test_stranger_is_not_believed(verb: str, status: int) -> None:
    """An answer without a request id is a portal's or proxy's: no blob is gone, changed or refused for it (B31)."""
    stories = {
        "look": door().look("c", "b"),
        "read": door().read("c", "b", "1", (0, 1), 1),
        "blobs": door().blobs("c", ""),
        "containers": door().containers(""),
    }
    fault = fault_of(stories[verb], response(status, page(), etag='"1"'))
    assert (fault.code, type(fault)) == ("CAPTIVE-PORTAL", EnvironmentFault)


@pytest.mark.parametrize(("status", "code"), [(429, "THROTTLED"), (408, "HTTP-408"), (503, "THROTTLED")])
def test_gateway_may_say_wait(status: int, code: str) -> None:
    """A gateway on the way that throttles is no portal: it is waited for, and never ends the run (B03)."""
    assert told(door().blobs("c", ""), response(status), response(status), said(200, page())) == ([], "")
    clock = Time()
    impatient = Azure(SAS, Line(), Patience(attempts=3, offline_s=5.0, clock=clock), lambda: 0.0)
    with pytest.raises(BlobFault) as raised:
        Teller(lambda _: response(status), clock=clock.pass_).tell(impatient.blobs("c", ""))
    assert raised.value.code == code


def test_proxy_that_wants_a_password() -> None:
    """A 407 is told as the proxy's, not as a portal's."""
    assert fault_of(door().look("c", "b"), response(407)).code == "PROXY"


def test_login_page_for_ever_stops_the_run(strict: StrictCloud, pump: Pump) -> None:
    """A portal that answers everything with its login page ends the run; nothing is called empty, gone or right."""
    strict.azure.put("c", "b", b"x")
    strict.faults.append(Fault(LOGIN_PAGE, times=0))
    azure = azure_door(strict)
    for story in (
        azure.containers(""),
        azure.blobs("c", ""),
        azure.look("c", "b"),
        azure.read("c", "b", "e", (0, 1), 1),
    ):
        with pytest.raises(EnvironmentFault) as raised:
            pumped(pump, story)
        assert raised.value.code == "CAPTIVE-PORTAL"


# --------------------------------------------------------------------------------------------------------------- access


def test_403_on_one_container_is_that_containers() -> None:
    """A container that may not be listed fails alone, also one that is called after the account (A04)."""
    for name in ("logs", "account", "account-logs"):
        refused = said(403, x_ms_error_code="AuthorizationPermissionMismatch")
        fault = fault_of(door().blobs(name, ""), refused)
        assert (type(fault), fault.code) == (BlobFault, "AZ-403")


def test_403_on_the_account_stops_the_run() -> None:
    """An account that may not be listed at all is nobody's own trouble."""
    fault = fault_of(door().containers(""), said(403, x_ms_error_code="AuthorizationPermissionMismatch"))
    assert (type(fault), fault.code) == (EnvironmentFault, "AZ-403")


@pytest.mark.parametrize("code", ["AuthenticationFailed", "AuthorizationFailure", ""])
def test_sas_that_ended_meanwhile(code: str) -> None:
    """A 403 after the end of the SAS says when it ended and what to do, at once and without retries (A02)."""
    ended = AzureAccess("http://az/acc", sas="sp=rl&sig=x", expires=1_795_392_000.0)
    teller = Teller([said(403, x_ms_error_code=code)])
    with pytest.raises(EnvironmentFault) as raised:
        teller.tell(door(ended, wall=1_795_392_001.0).read("c", "b", "1", (0, 1), 1))
    assert raised.value.code == "AZ-AUTH-EXPIRED"
    assert "2026-11-23T00:00:00Z" in str(raised.value)


def test_refused_while_the_sas_is_good() -> None:
    """A 403 before the end of the SAS is told as refused access, not as an end (A05)."""
    good = AzureAccess("http://az/acc", sas="sp=rl&sig=x", expires=100.0)
    assert fault_of(door(good, wall=50.0).look("c", "b"), said(403, x_ms_error_code="AuthorizationFailure")).code == (
        "AZ-AUTH"
    )


def test_token_that_ran_out_is_renewed() -> None:
    """A 401 for a token whose successor is on its way is tried again with what the door has by then (A03)."""
    azure = door(AzureAccess("http://az/acc", bearer="old", expires=10.0), wall=11.0)
    refused = said(401, x_ms_error_code="InvalidAuthenticationInfo")

    def refuse(_: object) -> Response:
        azure.access = AzureAccess("http://az/acc", bearer="new", expires=99.0)
        return refused

    teller = Teller([refuse, said(200, b"x", etag='"1"')])
    assert teller.tell(azure.read("c", "b", "1", (0, 1), 1)).body == b"x"
    assert ["Authorization: Bearer new" in one.headers for one in teller.requests] == [False, True]


@pytest.mark.parametrize("key", ["***", "a", "кл", "not base64 at all!", "  ", "AAAA\x00"])
def test_key_that_is_no_key(key: str) -> None:
    """A key with a slip is told as such, with a way out, and is not repeated in the sentence (S4)."""
    with pytest.raises(EnvironmentFault) as raised:
        AzureCredentials("acc", "http://az", key=key).access(TODAY)
    assert (raised.value.code, bool(raised.value.hint)) == ("AZ-KEY", True)
    assert len(key) < 5 or key not in str(raised.value)


def test_access_from_a_key() -> None:
    """A key gives a SAS that can read and list, begins a little ago and ends in days; it is not shown."""
    access = AzureCredentials("acc", "http://az", key=KEY).access(TODAY)
    assert "sp=rl" in access.sas
    assert "st=2026-11-22T23%3A45%3A00Z" in access.sas
    assert access.expires == (TODAY + timedelta(days=7)).timestamp()
    assert "sig" not in repr(access)
    assert KEY not in repr(access)


def test_access_from_a_key_is_signed_as_microsoft_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Microsoft's own client makes the same SAS of the same key, times and version."""
    theirs = generate_account_sas(
        "acc",
        KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        start=TODAY - SKEW,
        expiry=TODAY + SAS_LIFE,
    )
    wanted = parse_qs(theirs)
    monkeypatch.setattr(access_module, "SAS_VERSION", wanted["sv"][0])
    assert parse_qs(AzureCredentials("acc", "http://az", key=KEY).access(TODAY).sas) == wanted


@pytest.mark.parametrize(
    ("sas", "code"),
    [
        pytest.param("sp=rl&se=2031-01-01", "AZ-SAS", id="no signature"),
        pytest.param("sp=rl&sig=x&st=2030-01-01&se=2031-01-01", "AZ-SAS", id="begins later"),
        pytest.param("sp=rl&sig=x&ss=f&srt=sco&se=2031-01-01", "AZ-SAS", id="another service"),
        pytest.param("sp=rl&sig=x&ss=b&srt=o&se=2031-01-01", "AZ-SAS", id="blobs only"),
        pytest.param("sp=r&sig=x&ss=b&srt=sco&se=2031-01-01", "AZ-SAS", id="no listing"),
        pytest.param("?sp=l&sig=x&ss=b&srt=sco&se=2031-01-01", "AZ-SAS", id="no reading"),
        pytest.param("sp=rl&sig=x&ss=b&srt=sco&se=2026-11-22", "AZ-AUTH-EXPIRED", id="ended yesterday"),
        pytest.param("sp=rl&sig=x&ss=b&srt=sco&se=2026-11-23T00:00:00Z", "AZ-AUTH-EXPIRED", id="ends now"),
    ],
)
def test_sas_that_will_not_do(sas: str, code: str) -> None:
    """What a SAS lacks is said before anything is asked (A01), and the token is not repeated."""
    with pytest.raises(EnvironmentFault) as raised:
        AzureCredentials("acc", "http://az", sas=sas).access(TODAY)
    assert raised.value.code == code
    assert "sig=x" not in str(raised.value)


@pytest.mark.parametrize("sas", ["?sp=rl&sig=x&ss=b&srt=sco&se=2031-01-01", "sp=rwdl&sig=x&se=2031-01-01T00:00Z"])
def test_sas_that_will_do(sas: str) -> None:
    """A SAS is taken as it is, without its question mark; more permissions or fewer fields do no harm."""
    credentials = AzureCredentials("acc", "http://az", sas=sas)
    access = credentials.access(TODAY)
    assert access.sas == sas.lstrip("?")
    assert access.expires == datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    assert not credentials.renewable


def test_entra_with_strange_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that the identity library refuses are an error of ours with a way out, not its traceback."""
    for name, value in {"AUTHORITY_HOST": "http://no-https", "TENANT_ID": "t", "CLIENT_ID": "c"}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "hidden")
    with pytest.raises(EnvironmentFault) as raised:
        AzureCredentials("acc", "http://az").access(TODAY)
    assert raised.value.code == "AZ-ENTRA"
    assert "hidden" not in str(raised.value)


def test_entra_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity service that cannot be reached is an error of ours."""
    import azure.identity
    from azure.core.exceptions import ServiceRequestError

    class Unreachable:
        def __init__(self, **more: object) -> None:
            """Take whatever is said."""

        def get_token(self, scope: str) -> None:
            """Fail."""
            raise ServiceRequestError("no route")

    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Unreachable)
    with pytest.raises(EnvironmentFault) as raised:
        AzureCredentials("acc", "http://az").access(TODAY)
    assert raised.value.code == "AZ-ENTRA"


def test_bearer_token_is_let_in(strict: StrictCloud, pump: Pump) -> None:
    """A token goes in a header, and reads what a SAS reads."""
    strict.azure.token = "entra"
    blob = strict.azure.put("c", "b", b"bytes")
    azure = azure_door(strict)
    azure.access = AzureAccess(strict.azure_at.url, bearer="entra")
    (answer,) = pumped(pump, azure.read("c", "b", blob.etag, (0, 5), 5))
    assert answer.body == b"bytes"
    assert {one.query for one in strict.asked("GetBlob")} == {""}


# ------------------------------------------------------------------------------------------------------------- listings


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>login", id="no XML"),
        pytest.param(b"<Error><Code>Odd</Code></Error>", id="another document"),
        pytest.param(page(marker=""), id="no next marker"),
        pytest.param(page()[:-30], id="cut off"),
        pytest.param(page(f"<Blobs>{entry(name='')}</Blobs>"), id="a blob without a name"),
        pytest.param(page(f"<Blobs>{entry(Content_Length='')}</Blobs>"), id="a blob without a length"),
        pytest.param(page(f"<Blobs>{entry(Content_Length='many')}</Blobs>"), id="a length that is none"),
        pytest.param(page(f"<Blobs>{entry(Content_Length='-1')}</Blobs>"), id="a length below zero"),
        pytest.param(page(f"<Blobs>{entry(Etag='')}</Blobs>"), id="a blob without an ETag"),
    ],
)
def test_page_that_cannot_be_read(body: bytes) -> None:
    """What is no whole page is asked for again, then fails the container: it is never an empty one (A12)."""
    fault = fault_of(door().blobs("c", ""), said(200, body))
    assert (type(fault), fault.code) == (BlobFault, "AZ-LIST-XML")
    assert told(door().blobs("c", ""), said(200, body), said(200, page())) == ([], "")


def test_container_without_a_name() -> None:
    """A page of containers in which one has no name is no page of the account."""
    body = page("<Containers><Container><Name/></Container></Containers>")
    assert fault_of(door().containers(""), said(200, body)).code == "AZ-LIST-XML"


@pytest.mark.parametrize(
    "before",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        b"<!--" + b" " * 2000 + b'--><!DOCTYPE x [<!ENTITY a "b">]>',
    ],
    ids=["entity", "file", "far behind"],
)
def test_page_with_a_dtd(before: bytes) -> None:
    """A DTD has no place in a listing, wherever it stands (S15)."""
    body = b'<?xml version="1.0"?>' + before + page(f"<Blobs>{entry()}</Blobs>").removeprefix(b'<?xml version="1.0"?>')
    assert fault_of(door().blobs("c", ""), said(200, body)).code == "AZ-LIST-XML"


def test_name_that_is_no_utf8() -> None:
    """A name whose percent escapes are no UTF-8 is listed; what then cannot be asked for is that blob's own fault."""
    name = '<Name Encoded="true">a%FFb</Name>'
    blobs, _ = told(door().blobs("c", ""), said(200, page(f"<Blobs>{entry(name)}</Blobs>")))
    (blob,) = blobs
    fault = fault_of(door().read("c", blob.name, "1", (0, 1), 1), said(200, b"x", etag='"1"'))
    assert (type(fault), fault.code) == (BlobFault, "AZ-NAME")
    assert fault_of(door().look("c", blob.name), said()).code == "AZ-NAME"


NAMES = [
    *("a/../b", "./a", "a//b", "/lead", "tail/", "a b", "a+b", "a%2Fb", "100%", "a?b=c&d#e", "a;b", "é", "e\u0301"),
    *("😀", "a\tb", "\x01\x1b[31m", "\ufffe", "\uffff", "<b>&amp;'\"", " lead", "tail ", "~", "a\nb", "a\rb", "]]>"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive(strict: StrictCloud, pump: Pump, name: str) -> None:
    """Any name that is listed is the very name that is looked at and read: never another blob's bytes."""
    data = name.encode()
    stored = strict.azure.put("films", name, data)
    strict.azure.put("films", "b", b"another")
    azure = azure_door(strict)
    ((blobs, _),) = pumped(pump, azure.blobs("films", ""))
    (blob,) = [one for one in blobs if one.name != "b"]
    assert (blob.name, blob.size_bytes, blob.etag, blob.content_md5) == (name, len(data), stored.etag, stored.md5)
    (answer,) = pumped(pump, azure.read("films", blob.name, blob.etag, (0, len(data)), len(data)))
    assert answer.body == data
    (looked,) = pumped(pump, azure.look("films", blob.name))
    assert looked == blob


def test_looking_tells_what_listing_tells(strict: StrictCloud, pump: Pump) -> None:
    """A blob with everything is the same value from a listing and from a HEAD, so that neither looks like a change."""
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Content-Disposition": 'attachment; filename="x"',
        "Cache-Control": "no-cache",
    }
    strict.azure.put("c", "b", b"x", headers=headers, metadata={"year": "1999"}, kind="AppendBlob", tier="Cool")
    azure = azure_door(strict)
    (((blob,), marker),) = pumped(pump, azure.blobs("c", ""))
    assert pumped(pump, azure.look("c", "b")) == [blob]
    assert (blob.kind, blob.tier, blob.metadata, marker) == ("AppendBlob", "Cool", '{"year": "1999"}', "")
    assert blob.headers.count(":") == 5


def test_all_pages_of_a_container(strict: StrictCloud, pump: Pump) -> None:
    """Page after page, by the marker of the one before, every blob comes once; a 500 in between loses none (A10)."""
    strict.azure.page = 3
    names = [f"{number:02}" for number in range(8)]
    for name in names:
        strict.azure.put("c", name, b"x")
    strict.faults.append(Fault(Answer(500, "InternalError"), operation="ListBlobs", nth=2))
    azure = azure_door(strict)
    found: list[str] = []
    marker = ""
    while not found or marker:
        ((blobs, marker),) = pumped(pump, azure.blobs("c", marker))
        found += [blob.name for blob in blobs]
    assert found == names


def test_containers_of_an_account(strict: StrictCloud, pump: Pump) -> None:
    """The account's containers come page by page, `$root` and `$web` among them, the service's own left out (A18)."""
    for name in ("$root", "$web", "$logs", "$blobchangefeed", "films"):
        strict.azure.make_container(name)
    ((page_of_them, marker),) = pumped(pump, azure_door(strict).containers(""))
    assert [one.name for one in page_of_them] == ["$root", "$web", "films"]
    assert all(one.etag.startswith("0x") and one.last_modified.endswith("Z") for one in page_of_them)
    assert marker == ""
    ((first, marker),) = pumped(pump, azure_door(strict).containers("", most=1))
    assert (first, bool(marker)) == ((), True)  # the change feed's


def test_container_that_is_gone() -> None:
    """A container that was deleted since is that container's own fault (A08)."""
    fault = fault_of(door().blobs("c", ""), said(404, x_ms_error_code="ContainerNotFound"))
    assert (type(fault), fault.code, fault.kind) == (BlobFault, "AZ-404-CONTAINER", Kind.PERMANENT)


def test_dates() -> None:
    """Dates of the service become ISO 8601; what is no such date stays as it is."""
    assert iso("Mon, 23 Nov 2026 03:18:30 GMT") == "2026-11-23T03:18:30Z"
    assert iso("yesterday") == "yesterday"


# -------------------------------------------------------------------------------------------------------------- reading


def test_blob_that_is_not_there() -> None:
    """Only the service's own word makes a blob gone: a 404 with its request id, by code or by HEAD (A14)."""
    for code in ("BlobNotFound", "ContainerNotFound", ""):
        assert told(door().look("c", "b"), said(404, x_ms_error_code=code)) is None


@pytest.mark.parametrize("status", [403, 409, 500])
def test_blob_that_cannot_be_looked_at_is_not_gone(status: int) -> None:
    """Refused or broken is not gone."""
    assert fault_of(door().look("c", "b"), said(status)).code != "AZ-404-GONE"


def test_head_without_a_length() -> None:
    """A HEAD that says no length is not believed; nothing is made up."""
    assert fault_of(door().look("c", "b"), said(200, etag='"1"')).code == "CAPTIVE-PORTAL"


WRONG = [
    pytest.param(Cut(10), id="ends early"),
    pytest.param(Cut(10, says_length=False), id="ends early, no length"),
    pytest.param(Shorten(10), id="shorter, and says so"),
    pytest.param(Pad(10), id="longer"),
    pytest.param(Pad(10, says_length=False), id="longer, no length"),
    pytest.param(Reset(0), id="reset before the body"),
    pytest.param(Reset(99), id="reset before the last byte"),
    pytest.param(Headers({"ETag": '"other"'}), id="another version"),
    pytest.param(Headers(drop=("ETag",)), id="no ETag"),
    pytest.param(Headers(drop=("x-ms-request-id",)), id="no request id"),
    pytest.param(LOGIN_PAGE, id="login page"),
    pytest.param(Answer(302, headers={"Location": "http://127.0.0.1:1/"}), id="redirect"),
]
WRONG_RANGE = [
    *WRONG,
    pytest.param(IgnoreRange(), id="the whole blob"),
    pytest.param(OtherRange("bytes=0-99"), id="another range"),
    pytest.param(Headers(drop=("Content-Range",)), id="no Content-Range"),
    pytest.param(Headers({"Content-Range": "bytes 100-199/999"}), id="another total"),
]


class Kept:
    """Sink: keeps what comes, as a file does."""

    def __init__(self, status: int) -> None:
        self.received = 0
        self.data = b""
        self._status = status

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Start over."""
        self.received, self.data = 0, b""
        return status == self._status

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take bytes."""
        self.received += sum(map(len, pieces))
        self.data += b"".join(pieces)

    @property
    def crc(self) -> int:
        """Its CRC64NVME."""
        return crc64nvme(self.data)


@pytest.mark.parametrize("to", ["memory", "sink"])
@pytest.mark.parametrize("fault", WRONG)
def test_wrong_answers_for_a_whole_blob(strict: StrictCloud, pump: Pump, fault: Any, to: str) -> None:
    """One wrong answer is asked for again; for ever, it is an error. Wrong bytes pass never (B06-B14, B31)."""
    _wrong(strict, pump, fault, (0, 100), 100, to)


@pytest.mark.parametrize("to", ["memory", "sink"])
@pytest.mark.parametrize("fault", WRONG_RANGE)
def test_wrong_answers_for_a_range(strict: StrictCloud, pump: Pump, fault: Any, to: str) -> None:
    """The same for a range, where the answer must be of just that range of a blob of just that size (B10, B11)."""
    _wrong(strict, pump, fault, (100, 200), 1000, to)


def _wrong(strict: StrictCloud, pump: Pump, fault: Any, span: tuple[int, int], size: int, to: str) -> None:
    data = random.Random(1).randbytes(size)
    blob = strict.azure.put("c", "b", data)
    azure = azure_door(strict)
    sink = Kept(200 if span == (0, size) else 206) if to == "sink" else None
    strict.faults[:] = [Fault(fault, operation="GetBlob")]
    try:
        (answer,) = pumped(pump, azure.read("c", "b", blob.etag, span, size, sink))
    except ScsError as error:
        assert error.code in {"AZ-CHANGED", "CAPTIVE-PORTAL", "REDIRECT"}  # noqa: PT017 - or it succeeds
    else:
        assert (sink.data if sink else answer.body) == data[slice(*span)]
    strict.faults[:] = [Fault(fault, operation="GetBlob", times=0)]
    with pytest.raises(ScsError):
        pumped(pump, azure.read("c", "b", blob.etag, span, size, sink))


def test_whole_at_a_glance() -> None:
    """The quick judge of small blobs takes the right answer, as `read` does, and no other one."""
    right = said(200, b"ab", etag='"e"')
    wrong = [
        right._replace(status=206),
        right._replace(status=500),
        right._replace(body=b"a"),
        right._replace(body=b"abc"),
        said(200, b"ab", etag='"f"'),
        said(200, b"ab"),
        response(200, b"ab", etag='"e"'),
    ]
    assert [door().is_whole(answer, "e", 2) for answer in (right, *wrong)] == [True] + [False] * len(wrong)
    assert Teller().tell(door().read("c", "b", "e", (0, 2), 2, first=right)) is right


@pytest.mark.parametrize("size", [0, 1, 5])
def test_small_sizes(strict: StrictCloud, pump: Pump, size: int) -> None:
    """A blob of no bytes is read without a range, which would be refused (B12)."""
    blob = strict.azure.put("c", "b", bytes(size))
    (answer,) = pumped(pump, azure_door(strict).read("c", "b", blob.etag, (0, size), size))
    assert (answer.status, answer.body) == (200, bytes(size))


def test_version_that_is_gone(strict: StrictCloud, pump: Pump) -> None:
    """A blob that was overwritten, even behind a cache that ignores conditions, is to be planned anew (B13, B14)."""
    blob = strict.azure.put("c", "b", b"old")
    azure = azure_door(strict)
    for faults in ([Rewrite("c", "b", "new")], [IgnoreConditions(), Rewrite("c", "b", "new")]):
        strict.faults[:] = [Fault(fault, operation="GetBlob") for fault in faults]
        with pytest.raises(BlobFault) as raised:
            pumped(pump, azure.read("c", "b", blob.etag, (0, 3), 3))
        assert (raised.value.kind, raised.value.code) == (Kind.REPLAN, "AZ-CHANGED")
    strict.faults[:] = [Fault(Remove("c", "b"), operation="GetBlob")]
    with pytest.raises(BlobFault) as raised:
        pumped(pump, azure.read("c", "b", blob.etag, (0, 3), 3))
    assert (raised.value.kind, raised.value.code) == (Kind.REPLAN, "AZ-404-GONE")


def test_labelled_bytes_are_not_decoded(strict: StrictCloud, pump: Pump) -> None:
    """A blob that says it is gzip, rightly or not, comes as it is stored; nobody is asked to compress (B18, B19)."""
    data = os.urandom(300)
    blob = strict.azure.put("c", "b", data, headers={"Content-Encoding": "gzip"})
    (answer,) = pumped(pump, azure_door(strict).read("c", "b", blob.etag, (0, 300), 300))
    assert answer.body == data
    assert strict.asked("GetBlob")[0].headers["accept-encoding"] == "identity"


def test_archived_blob_is_its_own_trouble(strict: StrictCloud, pump: Pump) -> None:
    """A blob in the archive fails alone and at once, with the way out (B24)."""
    blob = strict.azure.put("c", "b", b"x", tier="Archive")
    with pytest.raises(BlobFault) as raised:
        pumped(pump, azure_door(strict).read("c", "b", blob.etag, (0, 1), 1))
    assert (raised.value.code, raised.value.kind) == ("AZ-ARCHIVED", Kind.PERMANENT)
    assert raised.value.hint
    assert len(strict.asked("GetBlob")) == 1


def test_sink_is_begun_anew_for_each_attempt() -> None:
    """What an attempt that broke off left in a sink is not in it when the next one is through."""
    sink = Kept(206)
    right = {"x-ms-request-id": "1", "etag": '"1"', "content-range": "bytes 1-2/9"}
    answers = [
        lambda request: to_sink(request, 206, right, b"\0"),
        lambda request: to_sink(request, 206, right),
        lambda request: to_sink(request, 206, right, b"o", b"k"),
    ]
    Teller(answers).tell(door().read("c", "b", "1", (1, 3), 9, sink))
    assert sink.data == b"ok"


def test_nothing_is_ever_written(strict: StrictCloud, pump: Pump) -> None:
    """Whatever the door does, the account sees GET and HEAD only, and no secret in an error."""
    strict.azure.put("c", "b", b"x")
    azure = azure_door(strict)
    strict.faults.append(Fault(Answer(500, "InternalError"), operation="GetBlob", times=0))
    pumped(pump, azure.containers(""), azure.blobs("c", ""), azure.look("c", "b"))
    with pytest.raises(BlobFault) as raised:
        pumped(pump, azure.read("c", "b", "e", (0, 1), 1))
    assert {one.verb for one in strict.log} == {"GET", "HEAD"}
    assert "sig=" not in str(raised.value)


def test_blob_value() -> None:
    """What an entry says and no more gets into the blob: strange properties are left where they are."""
    inside = entry(Content_MD5="m", Last_Modified="Mon, 23 Nov 2026 03:18:30 GMT", X_Odd="y", AccessTier="Hot")
    blobs, _ = told(door().blobs("c", ""), said(200, page(f"<Blobs>{inside}<BlobPrefix>p</BlobPrefix></Blobs>")))
    assert blobs == [Blob("x", 1, "1", "2026-11-23T03:18:30Z", "m", tier="Hot")]
