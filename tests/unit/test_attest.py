"""What attestation promises: a blob is attested only if the source itself gave the checksum of all that arrived."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync_cloud_storage.arriving import RangeOfFile, WholeFile
from sync_cloud_storage.azure import ATTEST_MOST_BYTES, Azure, AzureAccess, is_attested
from sync_cloud_storage.checksum import crc64nvme, crc_to_azure
from sync_cloud_storage.download import SMALL_BYTES, Downloader
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.model import Download, Downloaded, Failed
from sync_cloud_storage.nas import Nas
from tests.servers.strict import NO_CRC64, WRONG_CRC64, Answer, Fault, Flip, Headers, IgnoreRange, Seeded
from tests.unit.doors import MIB, NOW, azure_door, crc, download_of, md5, now
from tests.unit.small_nas import ID, files, in_memory, leftovers, put, ready
from tests.unit.telling import Teller, new_pump, pumped, response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.http.messages import Request, Response
    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import Blob, StrictCloud

WANTED = "x-ms-range-get-content-crc64"
GIVEN = "x-ms-content-crc64"
SMALL = random.Random(1).randbytes(1000)
MIDDLE = random.Random(2).randbytes(SMALL_BYTES + 1)
LARGE = random.Random(3).randbytes(9 * MIB)  # three ranges
HUGE = random.Random(4).randbytes(40 * MIB)  # three ranges of 16 MiB, ten of 4 MiB
WAYS = pytest.mark.parametrize("data", [SMALL, MIDDLE, LARGE], ids=["small", "streamed", "in ranges"])
AZURES = {"x-ms-request-id": "r-1"}


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make an empty NAS."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        yield opened


def downloaded(strict: StrictCloud, nas: Nas, pump: Pump, task: Download) -> Any:
    """Tell one download, by a worker that was just started."""
    (result,) = pumped(pump, Downloader(azure_door(strict), nas, range_bytes=16 * MIB, now=now).download(task))
    return result


def stored(strict: StrictCloud, data: bytes | Seeded, md5: str = "") -> Blob:
    """Put the blob that all tests are about; without an MD5, so that nothing but the CRC64 can find a wrong bit."""
    return strict.azure.put("c", "b", data, md5=md5)


def attested(blob: Blob, **more: Any) -> Download:
    """The task to download it, attested."""
    return download_of(blob, attest=True, **more)


# ------------------------------------------------------------------------------------------------------- all goes well


@pytest.mark.parametrize(
    "size",
    [
        1,
        SMALL_BYTES,
        SMALL_BYTES + 1,
        ATTEST_MOST_BYTES - 1,
        ATTEST_MOST_BYTES,
        ATTEST_MOST_BYTES + 1,
        9 * MIB,
    ],
)
def test_every_byte_is_asked_about(strict: StrictCloud, nas: Nas, pump: Pump, size: int) -> None:
    """Of every size, each byte comes in one range of at most 4 MiB for which the source gave its checksum."""
    data = random.Random(size).randbytes(size)
    blob = stored(strict, data)
    result = downloaded(strict, nas, pump, attested(blob))
    assert result == Downloaded(1, blob.etag, crc(data), "", size, NOW, attested=True)
    assert (files(nas.root), leftovers(nas.root)) == ({"c/b": data}, [])
    asked = strict.asked("GetBlob")
    spans = sorted(tuple(map(int, one.headers["x-ms-range"].removeprefix("bytes=").split("-"))) for one in asked)
    assert [first for first, _ in spans] == [0, *[last + 1 for _, last in spans[:-1]]]
    assert spans[-1][1] == size - 1
    assert max(last - first + 1 for first, last in spans) <= ATTEST_MOST_BYTES
    assert {(one.headers.get(WANTED), one.status) for one in asked} == {("true", 206)}


def test_a_blob_of_no_bytes(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """There is no range of an empty blob to ask about, and no byte that could be another: it is attested."""
    blob = stored(strict, b"")
    assert downloaded(strict, nas, pump, attested(blob)) == Downloaded(
        1, blob.etag, crc(b""), "", 0, NOW, attested=True
    )
    (asked,) = strict.asked("GetBlob")
    assert "x-ms-range" not in asked.headers
    assert WANTED not in asked.headers


@WAYS
def test_beside_the_md5(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A blob that has a Content-MD5 may be attested, too: both are compared, both are told."""
    blob = stored(strict, data, md5="right")
    result = downloaded(strict, nas, pump, attested(blob))
    assert (result.md5, result.attested) == (md5(data), True)
    blob = stored(strict, data, md5="wrong")
    assert downloaded(strict, nas, pump, attested(blob, nas_path="c/other")).code == "AZ-MD5-SOURCE"


@WAYS
def test_who_does_not_ask_is_not_told(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Without the wish nobody is asked, and nothing is called attested, not even by a header that came all the same."""
    blob = stored(strict, data)
    strict.faults.append(Fault(WRONG_CRC64, operation="GetBlob", times=0))
    assert not downloaded(strict, nas, pump, download_of(blob)).attested
    assert [one for one in strict.asked("GetBlob") if WANTED in one.headers] == []


# -------------------------------------------------------------------------------------------------- wrong, or missing


@WAYS
@pytest.mark.parametrize("fault", [WRONG_CRC64, Flip(500), Headers({GIVEN: "AAAA"})], ids=["checksum", "bytes", "text"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_wrong_once(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, fault: Any, nth: int) -> None:
    """An answer whose checksum is not that of its bytes is asked for again; then the blob is attested."""
    blob = stored(strict, data)
    strict.faults.append(Fault(fault, operation="GetBlob", nth=nth))
    result = downloaded(strict, nas, pump, attested(blob))
    assert (result.crc64nvme, result.attested) == (crc(data), True)
    assert files(nas.root) == {"c/b": data}
    ranges = 3 if data is LARGE else 1
    assert len(strict.asked("GetBlob")) == ranges + (nth <= ranges)


@WAYS
@pytest.mark.parametrize("fault", [WRONG_CRC64, Flip(500)], ids=["checksum", "bytes"])
def test_wrong_for_ever(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, fault: Any) -> None:
    """When every answer is wrong the blob fails, with both checksums in the sentence, and nothing is at its place."""
    blob = stored(strict, data)
    strict.faults.append(Fault(fault, operation="GetBlob", times=0))
    result = downloaded(strict, nas, pump, attested(blob))
    assert isinstance(result, Failed)
    assert result.code == "AZ-CRC"
    assert "Blob 'b' in container 'c': of bytes 0-" in result.sentence or data is LARGE
    assert "the service's own CRC64 is " in result.sentence
    assert "that of what arrived is " in result.sentence
    assert files(nas.root) == {}


def test_wrong_bytes_never_count_as_finished(strict: StrictCloud, nas: Nas) -> None:
    """A range that is refused for ever is in no journal: when the blob is tried again, that range is fetched anew."""
    blob = stored(strict, LARGE)
    strict.faults.append(Fault(Flip(7), operation="GetBlob", nth=3, times=0))
    for pump in new_pump(1):
        assert downloaded(strict, nas, pump, attested(blob)).code == "AZ-CRC"
        strict.faults.clear()
        result = downloaded(strict, nas, pump, attested(blob))
    assert (result.bytes_moved, result.attested, files(nas.root)) == (MIB, True, {"c/b": LARGE})


@WAYS
@pytest.mark.parametrize("fault", [NO_CRC64, Answer(500, "FeatureNotSupported")], ids=["silent", "refuses"])
def test_service_that_gives_none(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, fault: Any) -> None:
    """A service without such checksums gets its blobs copied, and none of them is called attested."""
    blob = stored(strict, data)
    strict.faults.append(Fault(fault, operation="GetBlob", times=0 if fault is NO_CRC64 else 1))
    result = downloaded(strict, nas, pump, attested(blob))
    assert (result.crc64nvme, result.attested, files(nas.root)) == (crc(data), False, {"c/b": data})


def test_service_that_refuses_is_not_asked_for_ever(strict: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Who once said that it knows no such checksums is asked for blobs only."""
    bring = Downloader(azure_door(strict), nas, range_bytes=MIB, now=now)
    strict.faults.append(Fault(Answer(500, "FeatureNotSupported"), operation="GetBlob"))
    for number in range(3):
        blob = strict.azure.put("c", f"b{number}", SMALL)
        (result,) = pumped(pump, bring.download(download_of(blob, number, f"b{number}", attest=True)))
        assert isinstance(result, Downloaded)
    assert [WANTED in one.headers for one in strict.asked("GetBlob")] == [True, False, False, False]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_one_range_without(strict: StrictCloud, nas: Nas, pump: Pump, nth: int) -> None:
    """One range that the source did not speak about, and the blob is not attested."""
    blob = stored(strict, LARGE)
    strict.faults.append(Fault(NO_CRC64, operation="GetBlob", nth=nth))
    result = downloaded(strict, nas, pump, attested(blob))
    assert (result.attested, files(nas.root)) == (False, {"c/b": LARGE})


@pytest.mark.parametrize("data", [SMALL, MIDDLE], ids=["small", "streamed"])
def test_whole_blob_in_place_of_its_range(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Somebody on the way who takes the range away takes the checksum with it: right bytes, not attested."""
    blob = stored(strict, data)
    strict.faults.append(Fault(IgnoreRange(), operation="GetBlob"))
    result = downloaded(strict, nas, pump, attested(blob))
    assert (result.attested, files(nas.root)) == (False, {"c/b": data})


# ----------------------------------------------------------------------------------------------------------- going on


def stopped(strict: StrictCloud, nas: Nas, pump: Pump, task: Download) -> None:
    """Begin, and be stopped with two of three ranges finished."""
    strict.faults[:] = [*strict.faults, Fault(Answer(403, "AuthenticationFailed", AZURES), operation="GetBlob", nth=3)]
    with pytest.raises(EnvironmentFault):
        downloaded(strict, nas, pump, task)
    assert leftovers(nas.root) == ["1", "1.parts"]
    strict.faults.clear()
    strict.log.clear()


def test_attested_ranges_are_kept(strict: StrictCloud, nas: Nas) -> None:
    """An attested download that was stopped goes on with its attested ranges; the whole of them is attested."""
    blob = stored(strict, LARGE)
    for pump in new_pump(1):
        stopped(strict, nas, pump, attested(blob))
        result = downloaded(strict, nas, pump, attested(blob))
    assert (result.attested, result.bytes_moved, result.crc64nvme) == (True, MIB, crc(LARGE))
    assert (len(strict.asked("GetBlob")), files(nas.root)) == (1, {"c/b": LARGE})


def test_ranges_that_nobody_asked_about_are_fetched_again(strict: StrictCloud, nas: Nas) -> None:
    """What an earlier run kept without asking does not make an attested blob: it comes again, with its checksum."""
    blob = stored(strict, HUGE)
    for pump in new_pump(1):
        stopped(strict, nas, pump, download_of(blob))
        result = downloaded(strict, nas, pump, attested(blob))
    assert (result.attested, result.bytes_moved, files(nas.root)) == (True, len(HUGE), {"c/b": HUGE})
    assert len(strict.asked("GetBlob")) == 10


def test_ranges_that_were_asked_about_in_vain_are_kept(strict: StrictCloud, nas: Nas) -> None:
    """Where the service gives none, a stopped download loses nothing; the blob is not attested."""
    blob = stored(strict, LARGE)
    strict.faults.append(Fault(NO_CRC64, operation="GetBlob", times=0))
    for pump in new_pump(1):
        stopped(strict, nas, pump, attested(blob))
        result = downloaded(strict, nas, pump, attested(blob))
    assert (result.attested, result.bytes_moved) == (False, MIB)


def test_without_the_wish_attested_ranges_do(strict: StrictCloud, nas: Nas) -> None:
    """Who goes on without asking keeps the attested ranges, and the blob is not attested as a whole."""
    blob = stored(strict, HUGE)
    for pump in new_pump(1):
        stopped(strict, nas, pump, attested(blob))
        result = downloaded(strict, nas, pump, download_of(blob))
    assert (result.attested, result.bytes_moved, files(nas.root)) == (False, 32 * MIB, {"c/b": HUGE})


# -------------------------------------------------------------------------------------------------------- what is there


@WAYS
def test_file_that_has_what_is_known_of_this_version(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A file of the right size and with the known CRC is this blob: nothing is fetched, and no more is claimed."""
    put(nas, "c/b", data)
    blob = stored(strict, data)
    for known in (False, True):
        task = download_of(blob, known_crc64nvme=crc(data), known_attested=known)
        assert downloaded(strict, nas, pump, task) == Downloaded(1, blob.etag, crc(data), "", 0, NOW, attested=known)
    # The wish to be attested is none to fetch everything again; but what the source has not said is not claimed.
    assert not downloaded(strict, nas, pump, attested(blob, known_crc64nvme=crc(data))).attested
    assert strict.asked("GetBlob") == []


@WAYS
def test_known_file_with_an_md5(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """Where the source has an MD5 it is computed and compared, and only then told."""
    put(nas, "c/b", data)
    blob = stored(strict, data, md5="right")
    result = downloaded(strict, nas, pump, download_of(blob, known_crc64nvme=crc(data)))
    assert (result.md5, result.bytes_moved) == (md5(data), 0)
    other = stored(strict, data, md5="wrong")
    assert downloaded(strict, nas, pump, download_of(other, known_crc64nvme=crc(data))).code == "AZ-MD5-SOURCE"


@WAYS
@pytest.mark.parametrize("there", ["other bytes", "other size", "nothing"])
def test_file_that_is_another(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, there: str) -> None:
    """A file that has not what is known is fetched anew; and the source's earlier word is for the same bytes only."""
    if there != "nothing":
        put(nas, "c/b", bytes(len(data)) if there == "other bytes" else data + b"x")
    blob = stored(strict, data)
    task = download_of(blob, known_crc64nvme=crc(data), known_attested=True, may_replace=True)
    result = downloaded(strict, nas, pump, task)
    assert (result.bytes_moved, result.attested, files(nas.root)) == (len(data), True, {"c/b": data})
    put(nas, "c/b", bytes(len(data)), may_replace=True)
    strange = task._replace(known_crc64nvme=crc(b"strange"))
    result = downloaded(strict, nas, pump, strange._replace(attest=True))  # the source says which are right
    assert (result.crc64nvme, result.attested) == (crc(data), True)


@WAYS
def test_other_bytes_of_the_same_version(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """One of two downloads was wrong, and nobody says which: what is there is not replaced, nor what is in S3."""
    put(nas, "c/b", bytes(len(data)))
    blob = stored(strict, data)
    task = download_of(blob, known_crc64nvme=crc(b"strange"), may_replace=True)
    result = downloaded(strict, nas, pump, task)
    assert (result.code, files(nas.root)) == ("AZ-OTHER", {"c/b": bytes(len(data))})
    assert "--attest" in result.sentence
    with_md5 = stored(strict, data, md5="right")
    result = downloaded(strict, nas, pump, download_of(with_md5, known_crc64nvme=crc(b"strange"), may_replace=True))
    assert result.crc64nvme == crc(data)


@WAYS
def test_right_file_in_the_way(strict: StrictCloud, nas: Nas, pump: Pump, data: bytes) -> None:
    """A file from a run that was killed is adopted when its bytes are those that the source attested just now."""
    put(nas, "c/b", data)
    result = downloaded(strict, nas, pump, attested(stored(strict, data)))
    assert (result.attested, result.crc64nvme) == (True, crc(data))


@WAYS
def test_first_download_looks_at_nothing(
    strict: StrictCloud, nas: Nas, pump: Pump, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob of which nothing is known costs no look at the NAS before it is fetched."""

    def looked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Nas, "size_of", looked)
    assert isinstance(downloaded(strict, nas, pump, download_of(stored(strict, data))), Downloaded)


@pytest.mark.parametrize(
    ("more", "joins"),
    [({}, True), ({"attest": True}, False), ({"known_crc64nvme": crc(b"")}, False), ({"size_bytes": 1 << 20}, False)],
)
def test_company(strict: StrictCloud, nas: Nas, more: dict[str, Any], joins: bool) -> None:  # noqa: FBT001 - a parameter
    """Small blobs travel in company, but not those that are attested, or of which something is known."""
    task = Download(1, "c", "b", 5, "e", "", "c/b")._replace(**more)
    assert Downloader(azure_door(strict), nas, range_bytes=MIB, now=now).may_join(task) is joins


# ------------------------------------------------------------------------------------------------------------ any bit


def answers_with(data: bytes, wrong: bytes) -> list[Any]:
    """A service that sends *wrong* bytes once, under the checksum of the right ones, and then the right ones."""
    right = {GIVEN: crc_to_azure(crc64nvme(data)), "content-range": f"bytes 0-{len(data) - 1}/{len(data)}"}

    def say(body: bytes) -> Any:
        def answer(request: Request) -> Response:
            headers = {"x-ms-request-id": "1", "etag": '"e"', **right}
            if request.sink is None:
                return response(206, body, headers)
            assert request.sink.begin(206, headers)
            request.sink.write([body[:5], body[5:]])
            return response(206, b"", headers)

        return answer

    return [say(wrong), say(data)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(min_size=1, max_size=300),
    where=st.integers(0, 1 << 20),
    how=st.sampled_from(["memory", "whole", "range"]),
)
@example(data=b"\0", where=0, how="memory")
@example(data=bytes(300), where=8 * 300 - 1, how="range")
def test_a_flipped_bit_anywhere_is_found(nas: Nas, data: bytes, where: int, how: str) -> None:
    """Whichever bit of an answer is another one, the answer is refused, and the next one, which is right, is taken."""
    wrong = bytearray(data)
    wrong[where // 8 % len(data)] ^= 1 << where % 8
    task = Download(1, "c", "b", len(data), "e", "", "c/b", attest=True)
    span = (0, len(data))
    patience = Patience(attempts=3, dice=lambda: 0.0)
    door = Azure(AzureAccess("http://az/acc", sas="sp=rl&sig=x"), Line(), patience, lambda: 0.0)
    partial = nas.partial(1, "e", len(data))
    sinks = {"memory": None, "whole": WholeFile(partial, task), "range": RangeOfFile(partial, span, None)}
    teller = Teller(answers_with(data, bytes(wrong)))
    answer = teller.tell(door.read("c", "b", "e", span, len(data), sinks[how], attest=True))
    assert (len(teller.requests), is_attested(answer)) == (2, True)
    room = memoryview(bytearray(len(data)))
    assert (answer.body if how == "memory" else bytes(room[: partial.read_into(room, 0)])) == data
    with pytest.raises(BlobFault) as raised:
        Teller(answers_with(data, bytes(wrong))[:1] * 3).tell(
            door.read("c", "b", "e", span, len(data), sinks[how], attest=True)
        )
    assert (raised.value.code, raised.value.kind) == ("AZ-CRC", Kind.PERMANENT)
    partial.discard()
