"""Files on the NAS are read again, without either cloud; what is not as it was is downloaded again by the next run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud

NAMES = [f"reel-{number:02}" for number in range(20)]


@pytest.fixture
def moved(desk: Desk, strict: StrictCloud) -> None:
    """Twenty blobs that are everywhere, and proven."""
    desk.env["SCS_WORKERS"] = "1"
    for number, name in enumerate(NAMES):
        strict.azure.put("films", name, bytes([number]) * 1000)
    desk.scs("init")
    desk.scs("run")
    desk.scs("xcheck")


def flip(file: Path) -> None:
    """Change one bit."""
    data = file.read_bytes()
    file.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])


def offline(desk: Desk) -> dict[str, str]:
    """An environment in which nothing is known of any cloud."""
    desk.env = {name: value for name, value in desk.env.items() if not name.startswith(("AZURE_", "AWS_"))}
    return desk.env


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_of_good_files(desk: Desk, strict: StrictCloud) -> None:
    """All is well: no cloud is asked, none has to be set, and what was proven stays so."""
    asked = len(strict.log)
    offline(desk)
    done = desk.scs("xcheck", "--nas")
    assert "Read 20 files on the NAS again: all are as they were downloaded." in done.out
    assert len(strict.log) == asked
    assert desk.select("SELECT count(*) FROM blobs WHERE level = 4 AND checked_at_utc IS NOT NULL") == [(20,)]
    document = desk.scs("xcheck", "--nas", "--json").document
    assert document["exit_code"] == 0
    assert document["run"]["read_again"] == 20
    assert document["run"]["to_fetch_again"] == 0


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_of_rotten_files(desk: Desk, strict: StrictCloud) -> None:
    """Rot, a cut, a loss are named, set back at once, mended by the next run; the catalog keeps what was found."""
    films = desk.nas / "films"
    flip(films / NAMES[3])
    os.truncate(films / NAMES[4], 999)
    (films / NAMES[5]).unlink()
    asked, env = len(strict.log), dict(desk.env)
    offline(desk)
    done = desk.scs("xcheck", "--nas", code=5)
    assert len(strict.log) == asked
    for words in (
        "Read 20 files on the NAS again: 3 are not as downloaded.",
        "The next scs run downloads 3 files again.",
        f"films/{NAMES[3]}\n    NAS-ROT",
        f"films/{NAMES[4]}\n    NAS-SIZE",
        f"films/{NAMES[5]}\n    NAS-LOST",
    ):
        assert words in done.out
    reasons = dict(desk.select("SELECT blob, reason FROM blobs WHERE state = 'pending'"))
    assert {name: reason.partition(":")[0] for name, reason in reasons.items()} == {
        NAMES[3]: "NAS-ROT",
        NAMES[4]: "NAS-SIZE",
        NAMES[5]: "NAS-LOST",
    }
    assert "all are as they were downloaded" in desk.scs("xcheck", "--nas").out  # of those that are not to be fetched
    desk.env = env
    asked = len(strict.log)
    desk.scs("run")
    later = strict.log[asked:]
    assert sorted(each.path.rpartition("/")[2] for each in later if each.operation == "GetBlob") == NAMES[3:6]
    assert [each.operation for each in later if each.operation == "PutObject"] == []
    assert desk.files()[f"films/{NAMES[3]}"] == bytes([3]) * 1000
    assert set(desk.states().values()) == {"uploaded"}
    assert desk.select(
        "SELECT blob, algorithm FROM evidence JOIN sync ON sync.id = sync_id WHERE place = 'nas' ORDER BY blob"
    ) == [
        (NAMES[3], "CRC64NVME"),
        (NAMES[4], "size"),
    ]
    assert [row[0].partition(":")[0] for row in desk.select("SELECT azure_error FROM superseded ORDER BY sync_id")] == [
        "NAS-ROT",
        "NAS-SIZE",
        "NAS-LOST",
    ]
    assert "Proven: 20 blobs." in desk.scs("xcheck", "--deep").out


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_of_what_the_source_no_longer_has(desk: Desk, strict: StrictCloud) -> None:
    """Such a file cannot be fetched again: the difference stays, and says so."""
    strict.azure.remove("films", NAMES[7])
    desk.scs("sync", "--all")
    flip(desk.nas / "films" / NAMES[7])
    for _ in range(2):
        done = desk.scs("xcheck", "--nas", code=5)
        assert "1 is not as downloaded" in done.out
        assert "The next scs run" not in done.out
        assert done.out.count("NAS-ROT") == 1
    ((sentence,),) = desk.select("SELECT sentence FROM problems")
    assert sentence.count("The source no longer has the blob, so it cannot be downloaded again.") == 1
    assert desk.states()[f"films/{NAMES[7]}"] == "uploaded"
    desk.scs("status", code=1)


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_in_slices(desk: Desk) -> None:
    """Ten slices together read every file once, and each finds what is in it."""
    flip(desk.nas / "films" / NAMES[2])
    flip(desk.nas / "films" / NAMES[12])
    flip(desk.nas / "films" / NAMES[13])
    read = []
    for part in range(1, 11):
        code = 5 if part in {4, 5} else 0
        document = desk.scs("xcheck", "--nas", "--slice", f"{part}/10", "--json", code=code).document
        read.append(document["run"]["read_again"])
        assert document["run"]["to_fetch_again"] == {4: 2, 5: 1}.get(part, 0)
    assert read == [2] * 10
    assert sorted(blob for (blob,) in desk.select("SELECT blob FROM blobs WHERE state = 'pending'")) == [
        NAMES[2],
        NAMES[12],
        NAMES[13],
    ]


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_of_one_container(desk: Desk, strict: StrictCloud) -> None:
    """With --container it keeps to that one."""
    strict.azure.put("more", "blob", b"bytes")
    desk.scs("run")
    (desk.nas / "films" / NAMES[0]).unlink()
    offline(desk)
    assert "Read 1 file on the NAS again" in desk.scs("xcheck", "--nas", "--container", "more").out


def test_scs_xcheck_nas_within_the_bandwidth(desk: Desk, strict: StrictCloud) -> None:
    """Reading obeys the timetable for bandwidth, too: others use the NAS."""
    desk.env["SCS_WORKERS"] = "1"
    strict.azure.put("films", "reel", b"x" * 3_000_000)
    desk.scs("init")
    desk.scs("run")
    desk.settings('[transfer]\nbandwidth = "1M"\n')
    began = time.monotonic()
    desk.scs("xcheck", "--nas")
    assert time.monotonic() - began > 2


@pytest.mark.usefixtures("moved")
def test_scs_xcheck_nas_without_a_nas(desk: Desk) -> None:
    """The one thing that it needs is asked for."""
    offline(desk)
    del desk.env["MEDIA_FOLDER"]
    assert "MEDIA_FOLDER" in desk.scs("xcheck", "--nas", code=2).err
