"""The end of the journey: reports, a certificate, and somebody else who checks it."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"


@pytest.fixture
def proven(desk: Desk, strict: StrictCloud) -> Desk:
    """An account that was moved, and of which all is proven."""
    for name in ("a.jpg", "b/c.jpg", "=formula"):
        strict.azure.put("images", name, name.encode())
    desk.scs("init")
    desk.scs("run")
    desk.scs("xcheck")
    return desk


def test_scs_report_and_verify_certificate_when_all_is_proven(proven: Desk) -> None:
    """Exit code 0 from both, every file in place, and the key that init printed is the one that signs."""
    key = proven.scs("init", "--json").document["public_key"]
    names = {form: f"out/{form}" for form in ("csv", "jsonl", "html", "certificate")}
    (proven.folder / "out").mkdir()
    words = [word for form, name in names.items() for word in (f"--{form}", name)]
    done = proven.scs("report", "--json", *words)
    assert done.document["states"]["proven"] == done.document["listed"]
    assert done.document["public_key"] == key
    assert {file.name for file in (proven.folder / "out").iterdir()} == set(names)
    with (proven.folder / "out/csv").open(newline="") as opened:
        assert [row["blob"] for row in csv.DictReader(opened)] == ["'=formula", "a.jpg", "b/c.jpg"]
    rows = [json.loads(line) for line in (proven.folder / "out/jsonl").read_text().splitlines()]
    assert [(row["blob"], row["state"], row["level"]) for row in rows] == [
        ("=formula", "proven", 4), ("a.jpg", "proven", 4), ("b/c.jpg", "proven", 4),
    ]  # fmt: skip
    assert "Everything that was listed is proven in S3." in (proven.folder / "out/html").read_text()
    check = ("verify-certificate", "out/certificate", "--key", key, "--catalog", "storage.sqlite")
    assert "says the same" in proven.scs(*check, "--blob", "images/b/c.jpg").out
    proven.scs("xcheck")
    assert "says the same" in proven.scs(*check).out  # a check that finds nothing new changes nothing
    (proven.nas / "images/a.jpg").unlink()
    proven.scs("xcheck", code=5)
    assert "CERT-DIFFERS" in proven.scs(*check, "--json", code=5).out


def test_scs_report_where_something_is_missing(desk: Desk, strict: StrictCloud) -> None:
    """A failed blob: exit code 1, with its code and the way out, and a certificate that names it."""
    strict.azure.put("images", "good", b"x")
    strict.azure.put("images", "bad", b"x", md5="wrong")
    desk.scs("init")
    assert "Nothing was listed yet" in desk.scs("report", code=1).out
    desk.scs("run", code=1)
    said = desk.scs("report", "--certificate", "c", code=1).out
    assert "AZ-MD5-SOURCE  1 blob failed" in said
    assert "compare it with its origin" in said
    checked = desk.scs("verify-certificate", "c", "--blob", "images/bad", code=1).out
    assert "reason: AZ-MD5-SOURCE" in checked


def test_scs_verify_certificate_needs_nothing_but_the_file(proven: Desk) -> None:
    """Elsewhere, with settings that cannot work, and nothing set at all."""
    proven.scs("report", "--certificate", "c")
    (proven.folder / "scs.toml").write_text("this is no TOML")
    (proven.folder / ".env").write_text("nor this")
    proven.scs("report", code=2)
    proven.scs("verify-certificate", "c")
    proven.scs("verify-certificate", "c", "--catalog", "storage.sqlite")


def test_scs_verify_certificate_finds_a_byte_and_a_row(proven: Desk) -> None:
    """Exit code 5, and a sentence that says what does not agree."""
    proven.scs("report", "--certificate", "c")
    file = proven.folder / "c"
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"bucket":"target', b'"bucket":"turget'))
    assert "they were changed" in proven.scs("verify-certificate", "c", code=5).err
    file.write_bytes(data)
    with closing(sqlite3.connect(proven.file)) as connection:
        connection.execute("UPDATE sync SET crc64nvme = 'AAAAAAAAAAA=' WHERE blob = 'a.jpg'")
        connection.commit()
    proven.scs("verify-certificate", "c")
    said = proven.scs("verify-certificate", "c", "--catalog", "storage.sqlite", code=5).err
    assert "at least one row is not what it was" in said


def test_scs_report_where_the_counts_differ(proven: Desk) -> None:
    """A row that somebody deleted: exit code 5, and the container by name."""
    with closing(sqlite3.connect(proven.file)) as connection:
        connection.execute("DELETE FROM sync WHERE blob = 'a.jpg'")
        connection.commit()
    said = proven.scs("report", code=5).out
    assert "COUNTS-DIFFER  Container 'images' was listed with 3 blobs" in said


def test_scs_init_makes_the_key_once(proven: Desk) -> None:
    """For its owner alone; a second init keeps it; without it a certificate says how to make one."""
    key = proven.folder / "scs-signing.pem"
    was = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    proven.scs("init")
    assert key.read_bytes() == was
    proven.secrets.add(was.decode().splitlines()[1])
    for form in ("csv", "jsonl", "html", "certificate"):
        proven.scs("report", f"--{form}", f"key-{form}")
        assert was.splitlines()[1] not in (proven.folder / f"key-{form}").read_bytes()
    key.unlink()
    said = proven.scs("report", "--certificate", "c", code=3).err
    assert "scs init makes one, once" in said.replace("`", "")
    assert not (proven.folder / "c").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("report", "--csv", "nas"), 2, "nas is a folder"),
        (("report", "--csv", "storage.sqlite"), 2, "must not be lost"),
        (("report", "--certificate", "scs-signing.pem"), 2, "is there already"),
        (("report", "--csv", "x", "--html", "x"), 2, "one file"),
        (("report", "--html", "missing/x"), 3, "No such file or directory"),
        (("verify-certificate", "missing"), 3, "No such file or directory"),
        (("verify-certificate", "scs.toml"), 5, "is not written as"),
        (("verify-certificate", "scs.toml", "--key", "x"), 2, "no public key"),
        (("verify-certificate", "scs.toml", "--blob", "x"), 2, "names no blob"),
        (("verify-certificate",), 2, "Missing argument"),
    ],
)
def test_scs_report_and_verify_certificate_with_bad_input(
    desk: Desk, words: tuple[str, ...], code: int, says: str
) -> None:
    """A sentence, a way out, and no file."""
    desk.scs("init")
    before = {file: file.stat().st_mtime_ns for file in desk.folder.iterdir() if file.name != "storage.sqlite-shm"}
    said = desk.scs(*words, code=code).err
    assert says in said
    after = {file for file in desk.folder.iterdir() if not file.name.endswith((".out", ".err", "-shm", "-wal"))}
    assert after <= set(before)


def test_scs_report_while_a_run_goes_on(desk: Desk, strict: StrictCloud) -> None:
    """A report is of one moment, and neither waits for the run nor disturbs it."""
    from tests.servers.strict import Drip, Fault

    strict.azure.put("images", "slow", b"x" * 400_000)
    strict.azure.put("images", "quick", b"x")
    strict.faults.append(Fault(Drip(200_000), operation="GetBlob", path="/slow"))
    desk.scs("init")
    with desk.start("run") as going:
        going.until(lambda: strict.asked("GetBlob", "slow"))
        document = desk.scs("report", "--json", "--certificate", "c", code=1).document
        desk.scs("verify-certificate", "c", code=1)
        assert going.child.poll() is None
        going.end()
    assert document["listed"]["blobs"] == sum(found["blobs"] for found in document["states"].values())
    assert document["difference_count"] == 0


def test_scs_report_is_stopped(proven: Desk) -> None:
    """Ctrl-C at any moment leaves no file and no draft."""
    with proven.start("report", "--csv", "t.csv") as going:
        going.interrupt(signal.SIGTERM)
        done = going.end()
    left = {file.name for file in proven.folder.iterdir() if "t.csv" in file.name}
    assert done.code in {0, 143}
    assert left == ({"t.csv"} if done.code == 0 else set())
