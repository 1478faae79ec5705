"""What goes wrong while a command is at work: the NAS, the access, a second command, a key that is pressed."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers import clients
from tests.servers.strict import Call, Fault
from tests.unit.small_nas import mounts, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.journey.conftest import Refuse
    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"


@pytest.fixture
def some_blobs(strict: StrictCloud) -> None:
    """Three blobs that wait to be moved."""
    for number in range(3):
        strict.azure.put("films", f"reel-{number}", b"x" * number)


@contextmanager
def held(strict: StrictCloud, operation: str) -> Iterator[threading.Event]:
    """Requests of that kind get no answer before the event is set."""
    gate = threading.Event()
    strict.faults.append(Fault(Call(lambda _: gate.wait(60)), operation=operation, times=0))
    try:
        yield gate
    finally:
        gate.set()


# ------------------------------------------------------------------------------------------------------------ NAS


@pytest.mark.usefixtures("some_blobs")
def test_scs_download_to_a_folder_that_is_not_there(desk: Desk, refused: Refuse) -> None:
    """A NAS that is not mounted is named, and never made; likewise for `scs init`."""
    desk.scs("init")
    says = ['The NAS folder "absent" does not exist', "Mount the NAS", "MEDIA_FOLDER"]
    for verb in ("download", "init"):
        refused(verb, code=3, says=says, env={"MEDIA_FOLDER": "absent"})
    assert not (desk.folder / "absent").exists()


@pytest.mark.usefixtures("some_blobs")
def test_scs_run_into_an_empty_mount_point(desk: Desk, refused: Refuse) -> None:
    """A folder without our marker is where the NAS should be mounted, so nothing is written there."""
    desk.scs("init")
    (desk.folder / "mnt").mkdir()
    refused("run", code=3, says=["has no marker", "Is it mounted?", "scs init"], env={"MEDIA_FOLDER": "mnt"})
    assert list((desk.folder / "mnt").iterdir()) == []


@pytest.mark.usefixtures("some_blobs")
def test_scs_run_with_another_nas(desk: Desk, refused: Refuse, tmp_path: Path) -> None:
    """A NAS with the marker of another migration is told from ours, by both ids."""
    desk.scs("init")
    other = desk.folder / "other"
    (other / ".scs").mkdir(parents=True)
    (other / ".scs" / "NAS-ID").write_text("somebody-elses\n")
    says = ["Another NAS is mounted", "somebody-elses", "MEDIA_FOLDER"]
    refused("run", code=3, says=says, env={"MEDIA_FOLDER": "other"})
    assert [file.name for file in other.rglob("*") if file.is_file()] == ["NAS-ID"]


@mounts
@pytest.mark.usefixtures("some_blobs")
def test_scs_run_to_a_nas_that_is_read_only(desk: Desk, refused: Refuse) -> None:
    """A NAS that cannot be written to stops the run; mounted for writing it goes on."""
    with small_disk(desk.nas, "size=2m"):
        desk.scs("init")
        subprocess.run(["mount", "-o", "remount,ro", desk.nas], check=True)
        desk.scs("sync")
        refused("download", "--quiet", code=3, says=["nas/", "read-only", "Mount it for writing"])
        subprocess.run(["mount", "-o", "remount,rw", desk.nas], check=True)
        desk.scs("run")


@mounts
def test_scs_run_to_a_nas_that_is_full(desk: Desk, strict: StrictCloud) -> None:
    """A full NAS stops the run with what is free; no blob failed, no file is half, and with more room it goes on."""
    for number in range(30):
        strict.azure.put("films", f"reel-{number}", bytes([number]) * 200_000)
    with small_disk(desk.nas, "size=2m"):
        desk.scs("init")
        said = desk.scs("run", "--quiet", code=3).err
        for words in ("nas/", "no space is left", "free: ", "Make room, or enlarge the NAS, then run again"):
            assert words in said
        assert set(desk.states().values()) <= {"pending", "downloaded", "uploaded"}
        assert all(len(content) == 200_000 for content in desk.files().values())
        assert desk.leftovers() == []
        subprocess.run(["mount", "-o", "remount,size=20m", desk.nas], check=True)
        desk.scs("run")
        assert set(desk.states().values()) == {"uploaded"}


# --------------------------------------------------------------------------------------------------------- access


def test_scs_run_whose_sas_ends_meanwhile(desk: Desk, strict: StrictCloud) -> None:
    """An access that ends in the middle stops the run, fails nothing, and a new one goes on from there."""
    for number in range(40):
        strict.azure.put("films", f"reel-{number:02}", b"x" * 20_000)
    at = strict.azure_at
    account = {"AZURE_STORAGE_ACCOUNT": at.account, "AZURE_STORAGE_SERVICE_ENDPOINT": at.url}
    desk.env |= {"AZURE_STORAGE_CONNECTION_STRING": "", **account}
    desk.scs("init")
    desk.env["AZURE_STORAGE_SAS_TOKEN"] = clients.account_sas(at, "rl", hours=6 / 3600)
    ends = int(time.time()) + 6
    strict.faults.append(
        Fault(Call(lambda _: time.sleep(max(0.0, ends + 1 - time.time()))), operation="GetBlob", nth=5)
    )
    said = desk.scs("run", "--concurrency", "2", "--quiet", code=3).err
    assert "The access to the account ended at 20" in said
    assert "Put a new SAS into AZURE_STORAGE_SAS_TOKEN and run the same command" in said
    states = list(desk.states().values())
    assert set(states) <= {"pending", "downloaded", "uploaded"}
    assert "pending" in states
    assert len(states) > states.count("pending")

    desk.env["AZURE_STORAGE_SAS_TOKEN"] = clients.account_sas(at, "rl")
    before = len(strict.asked("GetBlob"))
    desk.scs("run")
    assert set(desk.states().values()) == {"uploaded"}
    assert len(strict.asked("GetBlob")) - before == states.count("pending")


# ----------------------------------------------------------------------------------------------- a second command


def test_scs_run_while_another_one_is_at_work(desk: Desk, strict: StrictCloud) -> None:
    """One run at a time writes a catalog: the second is refused with the first one's number; `scs status` looks on."""
    desk.scs("init")
    strict.azure.put("films", "reel", b"x" * 100_000)
    with held(strict, "GetBlob") as gate, desk.start("run") as first:
        first.until(lambda: strict.asked("GetBlob"))
        for line in ("run", "sync", "upload", "xcheck", "reset-live", "clean --yes", "init"):
            done = desk.scs(*line.split(), code=4)
            assert f"Another run holds the catalog '{desk.file}': process {first.child.pid} on " in done.err, line
            assert "Wait until it has ended, or stop it" in done.err
        assert desk.scs("status", "--json").document["totals"]["pending"] == 1
        gate.set()
        assert first.end().code == 0
    assert desk.states() == {"films/reel": "uploaded"}


# --------------------------------------------------------------------------------------------------------- Ctrl-C


def _one_blob(strict: StrictCloud) -> None:
    strict.azure.put("films", "reel", b"x" * 100_000)


@pytest.mark.parametrize(
    ("line", "operation", "how", "before"),
    [
        ("sync", "ListBlobs", signal.SIGINT, ()),
        ("download", "GetBlob", signal.SIGINT, ("sync",)),
        ("upload", "PutObject", signal.SIGTERM, ("sync", "download")),
        ("run", "GetBlob", signal.SIGTERM, ()),
        ("xcheck", "ListObjectsV2", signal.SIGINT, ("run",)),
        ("xcheck", "HeadObject", signal.SIGINT, ("run",)),
        ("xcheck --deep", "ListBlobs", signal.SIGINT, ("run",)),
    ],
)
def test_ctrl_c_during(
    line: str, operation: str, how: signal.Signals, before: tuple[str, ...], desk: Desk, strict: StrictCloud
) -> None:
    """A signal ends any verb within seconds, with its own code and a word on how to go on; and then it does go on."""
    _one_blob(strict)
    if operation == "HeadObject":  # what has no MD5 is asked for
        strict.azure.containers["films"].blobs["reel"].md5 = ""
    for verb in ("init", *before):
        desk.scs(verb)
    asked = len(strict.asked(operation))
    with held(strict, operation), desk.start(*line.split()) as going:
        going.until(lambda: len(strict.asked(operation)) > asked)
        going.interrupt(how)
        done = going.end(timeout_s=15)
    assert done.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[how]
    assert f"Stopped by {name} after " in done.out
    assert "the same command goes on from here" in done.out
    assert desk.leftovers() == []
    assert desk.select("SELECT result FROM runs ORDER BY id DESC LIMIT 1") == [(f"stopped by {how.name}",)]
    strict.faults.clear()
    desk.scs(*line.split())


def test_ctrl_c_twice_during_scs_run(desk: Desk, strict: StrictCloud) -> None:
    """Who presses it twice does not want to wait: it ends at once, and the next run finishes all the same."""
    _one_blob(strict)
    desk.scs("init")
    with held(strict, "GetBlob"), desk.start("run") as going:
        going.until(lambda: strict.asked("GetBlob"))
        going.interrupt()
        going.until(lambda: "Once more stops at once" in going.out.read_text())
        going.interrupt()
        assert going.end(timeout_s=3).code == 130
    strict.faults.clear()
    desk.scs("run")
    assert desk.states() == {"films/reel": "uploaded"}


@pytest.mark.parametrize("line", ["init", "status", "reset-live", "clean --yes", "run"])
def test_ctrl_c_while_scs_is_still_starting(line: str, desk: Desk) -> None:
    """In the first moments, too, Ctrl-C ends quietly: no traceback, no worker that complains, nothing half made."""
    desk.scs("init")
    with desk.start(*line.split(), env={"PYTHONPROFILEIMPORTTIME": "1"}) as going:
        going.until(lambda: "| click" in going.err.read_text().replace(" ", "").replace("|", "| "))
        going.interrupt()
        assert going.end().code in {0, 130}
    desk.scs("init")
    desk.scs("status")


@pytest.mark.parametrize("when_s", [0.05, 0.15, 0.25])
def test_ctrl_c_while_workers_are_still_starting(when_s: float, desk: Desk, strict: StrictCloud) -> None:
    """In a terminal Ctrl-C reaches the workers, too, even before they can say that they do not listen to it."""
    _one_blob(strict)
    desk.scs("init")
    with held(strict, "GetBlob"), desk.start("run") as going:
        going.until(lambda: strict.asked("HeadBucket"))  # the last word before they are started
        time.sleep(when_s)
        going.interrupt()
        done = going.end()
    assert done.code == 130
    assert "worker" not in done.said


def test_ctrl_c_at_the_question_of_scs_clean(desk: Desk) -> None:
    """Ctrl-C is no yes: the catalog stays."""
    desk.scs("init")
    with desk.at_terminal("clean") as terminal:
        terminal.until("[y/N]")
        terminal.type("\x03")
        assert terminal.end().code == 130
    assert desk.file.exists()
    with desk.at_terminal("clean") as terminal:
        terminal.until("[y/N]")
        terminal.type("y\n")
        assert terminal.end().code == 0
    assert not desk.file.exists()
    assert list(desk.folder.glob("storage.sqlite.backup-*"))
