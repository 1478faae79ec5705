"""Attested by the source: its own CRC64 of every range, compared as the blobs come, and what the catalog says then."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers.strict import NO_CRC64, WRONG_CRC64, Drip, Fault, Flip, Seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.journey.desk import Desk
    from tests.servers.endpoints import AzureAt, S3At
    from tests.servers.fill import Account
    from tests.servers.strict import StrictCloud

MIB = 1 << 20
SIZES = {"nothing": 0, "one": 1, "small": 20_000, "middle": 3 * MIB, "four": 4 * MIB, "large": 9 * MIB + 1}
WANTED = "x-ms-range-get-content-crc64"


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """The usual desk, with one worker: that is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"
    return desk


def fill(strict: StrictCloud) -> None:
    """Blobs of all sizes, each once with a Content-MD5 and once without."""
    for number, (name, size) in enumerate(SIZES.items()):
        strict.azure.put("films", f"{name}-md5", Seeded(number, size), md5="right")
        strict.azure.put("films", name, Seeded(number, size))


def proven(desk: Desk) -> dict[str, tuple[int, int, int | None]]:
    """By blob: its level, whether the source proved it, and whether by its CRC64."""
    rows = desk.select("SELECT blob, level, blobs.attested, sync.attested FROM blobs JOIN sync USING (id, blob)")
    return {name: (level, attested, by_crc) for name, level, attested, by_crc in rows}


def asked(strict: StrictCloud) -> set[str]:
    """The names of the blobs whose checksums were asked for."""
    return {one.path.rpartition("/")[2] for one in strict.asked("GetBlob") if one.headers.get(WANTED) == "true"}


@pytest.mark.parametrize("way", ["flag", "setting"])
def test_scs_download_attest(way: str, desk: Desk, strict: StrictCloud) -> None:
    """With --attest, or the setting, every blob is on level 3 by the source's own CRC64, also without Content-MD5."""
    fill(strict)
    if way == "setting":
        desk.settings('[transfer]\nattest = "all"\n')
    desk.scs("init")
    desk.scs("sync")
    desk.scs("download", *(["--attest"] if way == "flag" else []))
    assert proven(desk) == {name + end: (3, 1, 1) for name in SIZES for end in ("", "-md5")}
    assert asked(strict) == {name + end for name in SIZES for end in ("", "-md5")} - {"nothing", "nothing-md5"}
    blobs = strict.azure.containers["films"].blobs
    assert desk.files() == {f"films/{name}": blob.data for name, blob in blobs.items()}
    told = desk.select("SELECT count(*) FROM proof WHERE place = 'azure' AND how = 'its CRC64 of every range agreed'")
    assert told == [(2 * len(SIZES),)]


def test_scs_run_attest_missing(desk: Desk, strict: StrictCloud) -> None:
    """With "missing" only blobs without Content-MD5 are asked about; those that have one are proven by that."""
    fill(strict)
    desk.settings('[transfer]\nattest = "missing"\n')
    desk.scs("init")
    desk.scs("run")
    assert asked(strict) == {*SIZES} - {"nothing"}
    assert {name: found[1:] for name, found in proven(desk).items()} == {
        **dict.fromkeys(SIZES, (1, 1)),
        **{f"{name}-md5": (1, None) for name in SIZES},
    }
    assert set(desk.states().values()) == {"uploaded"}
    desk.scs("xcheck")
    assert {found[:2] for found in proven(desk).values()} == {(4, 1)}


def test_scs_download_without_attest(desk: Desk, strict: StrictCloud) -> None:
    """Nobody is asked by default: a blob without Content-MD5 is hashed by us alone, and the catalog says so."""
    fill(strict)
    desk.scs("init")
    desk.scs("run")
    assert asked(strict) == set()
    assert {found[1:] for name, found in proven(desk).items() if not name.endswith("-md5")} == {(0, None)}


def test_scs_run_attest_of_wrong_bytes(desk: Desk, strict: StrictCloud) -> None:
    """Wrong bytes are fetched again; where they stay wrong the blob fails alone, and arrives once all is mended."""
    for name in ("once", "for-ever", "silent"):
        strict.azure.put("films", name, Seeded(1, 50_000))
    strict.faults += [
        Fault(Flip(77), operation="GetBlob", path="/films/once"),
        Fault(WRONG_CRC64, operation="GetBlob", path="/films/for-ever", times=0),
        Fault(NO_CRC64, operation="GetBlob", path="/films/silent", times=0),
    ]
    desk.scs("init")
    said = desk.scs("run", "--attest", code=1).out
    assert "AZ-CRC" in said
    assert "the service's own CRC64 is AAAAAAAAAAE=, that of what arrived is " in said
    assert sorted(desk.files()) == ["films/once", "films/silent"]
    assert desk.states() == {"films/for-ever": "failed", "films/once": "uploaded", "films/silent": "uploaded"}
    assert {name: found[1] for name, found in proven(desk).items()} == {"for-ever": 0, "once": 1, "silent": 0}
    strict.faults.clear()
    desk.scs("run", "--attest", "--retry-failed")
    assert {name: found[1] for name, found in proven(desk).items()} == {"for-ever": 1, "once": 1, "silent": 0}


@pytest.mark.parametrize("first", ["--attest", "--quiet"])
def test_scs_download_attest_goes_on(first: str, desk: Desk, strict: StrictCloud) -> None:
    """What a killed download left counts if the source was asked about it; else it comes again, and is attested."""
    size = 24 * MIB + 12_345
    blob = strict.azure.put("films", "reel", Seeded(2, size))
    desk.settings('[transfer]\nrange_size = "1M"\n')
    desk.scs("init")
    desk.scs("sync")
    strict.faults.append(Fault(Drip(150_000), operation="GetBlob", nth=9, times=0))
    with desk.start("download", first) as going:
        going.until(lambda: sum(one.sent == MIB for one in strict.asked("GetBlob")) >= 8)
        going.interrupt(signal.SIGTERM)
        assert going.end(timeout_s=15).code == 143
    before = len(strict.asked("GetBlob"))
    strict.faults.clear()
    desk.scs("download", "--attest")
    again = strict.asked("GetBlob")[before:]
    assert (len(again) <= 17) is (first == "--attest")
    assert {one.headers[WANTED] for one in again} == {"true"}
    assert desk.files() == {"films/reel": blob.data}
    assert proven(desk) == {"reel": (3, 1, 1)}


def test_scs_run_attest_from_a_service_that_gives_none(
    azurite: AzureAt, account: Account, moto: S3At, new_desk: Callable[[AzureAt, S3At], Desk]
) -> None:
    """Azurite refuses the wish: everything arrives all the same, and nothing is called attested that is not."""
    desk = new_desk(azurite, moto)
    account.make_container("films")
    whole, blocks = random.Random(1).randbytes(20_000), random.Random(2).randbytes(9 * MIB)
    account.put("films", "whole", whole)
    account.put("films", "blocks", blocks, block_bytes=4 * MIB)  # such a blob has no Content-MD5
    desk.scs("init")
    desk.scs("run", "--attest")
    assert desk.files() == {"films/whole": whole, "films/blocks": blocks}
    assert {name: found[1:] for name, found in proven(desk).items()} == {"whole": (1, None), "blocks": (0, None)}
