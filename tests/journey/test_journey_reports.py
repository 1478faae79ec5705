"""Proof at the lowest price: each object is asked once, then the bucket is listed, or S3's own reports are taken in."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.servers.strict import Answer, Fault, Given
from tests.unit.deliveries import computed, failed, inventory, report, seen
from tests.unit.doors import crc

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journey.desk import Desk
    from tests.servers.strict import Object, StrictCloud

NAMES = ["a b+c", "changed", "deleted", "ü/😀%20", "short"]


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"


def moved(desk: Desk, strict: StrictCloud, md5: str = "") -> dict[str, Object]:
    """Bring some blobs to S3; the objects of the bucket. Without an MD5, no ETag tells that it is the right one."""
    for name in NAMES:
        strict.azure.put("films", name, name.encode() * 10, md5=md5)
    desk.scs("init")
    desk.scs("run")
    strict.log.clear()
    return strict.s3.buckets["target"].objects


def asked(strict: StrictCloud) -> tuple[int, int]:
    """How often an object was asked for, and the bucket listed, since the last time."""
    found = len(strict.asked("HeadObject")), len(strict.asked("ListObjectsV2"))
    strict.log.clear()
    return found


def tampered(objects: dict[str, Object]) -> None:
    """Somebody else replaces one object with other bytes of the same length, cuts one short and deletes one."""
    for name, data in (("changed", b"CHANGED" * 10), ("short", b"short" * 9)):
        there = objects[f"films/{name}"]
        there.content, there.size, there.etag = Given(data), len(data), f"etag of {name}"
        there.checksum = ("crc64nvme", crc(data), "FULL_OBJECT")
    del objects["films/deleted"]


def codes(desk: Desk) -> dict[str, str]:
    """What is wrong, by blob."""
    return dict(desk.select("SELECT blob, code FROM problems"))


WRONG = {"changed": "S3-DIGEST", "deleted": "S3-LOST", "short": "S3-SIZE"}


def test_scs_xcheck_asks_once(desk: Desk, strict: StrictCloud) -> None:
    """The first check asks for each object, the second only lists, and one behind a listing that fails asks again."""
    moved(desk, strict)
    assert "Proven: 5 blobs." in desk.scs("xcheck").out
    assert asked(strict) == (5, 1)
    assert "Proven: 5 blobs." in desk.scs("xcheck").out
    assert asked(strict) == (0, 1)
    strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="ListObjectsV2", times=0))
    said = desk.scs("xcheck").out
    assert "Proven: 5 blobs." in said
    assert "could not be listed" in said
    assert asked(strict) == (5, 1)
    assert desk.select("SELECT count(*) FROM evidence WHERE place = 's3'") == [(5,)]


def test_scs_xcheck_of_s3_alone(desk: Desk, strict: StrictCloud) -> None:
    """With --s3 neither files nor NAS matter: what is in S3 is proven all the same, and what is not is told."""
    objects = moved(desk, strict, "right")
    (desk.nas / "films/short").unlink()
    del desk.env["MEDIA_FOLDER"]
    assert "Proven: 5 blobs." in desk.scs("xcheck", "--s3").out
    assert asked(strict) == (0, 1)
    tampered(objects)
    said = desk.scs("xcheck", "--s3", code=5).out
    assert codes(desk) == WRONG
    assert "Proven: 2 blobs; 3 not proven yet." in said
    desk.scs("xcheck", "--s3", "--nas", code=2)


def test_scs_xcheck_of_objects_whose_etag_is_their_md5(desk: Desk, strict: StrictCloud) -> None:
    """What the listing proves is not asked for, not even once; another ETag says nothing, so that one is asked for."""
    objects = moved(desk, strict, "right")
    objects["films/short"].etag = "0123456789abcdef0123456789abcdef-1"
    assert "Proven: 5 blobs." in desk.scs("xcheck").out
    assert asked(strict) == (1, 1)
    assert desk.select("SELECT algorithm, count(*) FROM evidence GROUP BY 1") == [("CRC64NVME", 1), ("MD5", 4)]
    assert desk.select("SELECT DISTINCT level FROM blobs") == [(4,)]
    tampered(objects)
    desk.scs("xcheck", code=5)
    assert codes(desk) == WRONG
    assert asked(strict) == (3, 1)


def test_scs_xcheck_finds_what_was_done_behind_our_back(desk: Desk, strict: StrictCloud) -> None:
    """A check that only lists asks for what looks other than it did, and says what it is; so does the next one."""
    objects = moved(desk, strict)
    desk.scs("xcheck")
    tampered(objects)
    objects["films/theirs"] = objects["films/a b+c"]
    asked(strict)
    for _ in range(2):
        said = desk.scs("xcheck", code=5).out
        assert codes(desk) == WRONG
        assert "Proven: 2 blobs; 3 not proven yet." in said
        assert "1 object of the bucket is no blob's: films/theirs" in said
        assert asked(strict) == (3, 1)
    desk.scs("run", "--retry-failed", "--overwrite")
    assert "Proven: 5 blobs." in desk.scs("xcheck").out
    assert asked(strict) == (3, 1)


def test_scs_xcheck_with_an_inventory(desk: Desk, strict: StrictCloud, tmp_path: Path) -> None:
    """An inventory spares the listing; what it shows as other than it was, or not at all, is asked for."""
    objects = moved(desk, strict)
    desk.scs("xcheck")
    before = [seen(key, there.size, there.etag, "target") for key, there in objects.items()]
    whole = inventory(tmp_path / "whole", "target", before[:2], before[2:])
    asked(strict)
    said = desk.scs("xcheck", "--inventory", str(whole)).out
    assert "the inventory of 2026-11-25T00:00:00Z shows 5 objects" in said
    assert "Proven: 5 blobs." in said
    assert asked(strict) == (0, 0)
    tampered(objects)
    after = [seen(key, there.size, there.etag, "target") for key, there in objects.items()]
    desk.scs("xcheck", "--inventory", str(inventory(tmp_path / "after", "target", after)), code=5)
    assert codes(desk) == WRONG
    assert asked(strict) == (3, 0)


def test_scs_xcheck_that_is_stopped_while_it_reads(desk: Desk, strict: StrictCloud, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a long inventory ends the check soon, and the next one begins anew."""
    moved(desk, strict)
    manifest = inventory(tmp_path / "long", "target", [seen("x", 1, "e", "target")] * 1_000_000)
    with desk.start("xcheck", "--inventory", str(manifest)) as going:
        going.until(lambda: desk.select("SELECT count(*) FROM objects") == [(1,)])
        began = time.monotonic()
        going.interrupt()
        done = going.end()
    assert done.code == 130
    assert time.monotonic() - began < 5
    assert asked(strict) == (0, 0)
    assert "Proven: 5 blobs." in desk.scs("xcheck").out


def test_scs_xcheck_with_what_s3_has_computed(desk: Desk, strict: StrictCloud, tmp_path: Path) -> None:
    """From manifest to report: S3 is given what is not proven, and its checksums prove it without a question."""
    objects = moved(desk, strict)
    document = desk.scs("report", "--batch-manifest", "job.csv", "--json").document
    assert (document["file"], document["objects"]) == ("job.csv", 5)
    with (desk.folder / "job.csv").open(encoding="ascii", newline="") as file:
        wanted = [(bucket, unquote(key)) for bucket, key in csv.reader(file)]
    assert sorted(wanted) == sorted(("target", key) for key in objects)
    rows = [computed(key, objects[key].etag, objects[key].crc64nvme, "target") for _, key in wanted]
    done = report(tmp_path / "done", *rows, computed("x", "e", "AAAAAAAAAAA=", "theirs"))
    said = desk.scs("xcheck", "--checksums", str(done)).out
    assert "Proven: 5 blobs." in said
    assert "told the checksums of 5 objects; not counted: 1 line of another bucket." in said
    assert asked(strict) == (0, 1)
    assert {how for (how,) in desk.select("SELECT how FROM evidence WHERE place = 's3'")} == {
        "a report of S3 Batch Operations told it"
    }
    assert desk.scs("report", "--batch-manifest", "job-2.csv", "--json").document["objects"] == 0
    assert not (desk.folder / "job-2.csv").exists()


@pytest.mark.parametrize("proven_before", [False, True])
def test_scs_xcheck_with_a_checksum_that_is_not_ours(
    desk: Desk,
    strict: StrictCloud,
    tmp_path: Path,
    proven_before: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Bytes that have changed where they lie are found, although ETag and size are what they were."""
    objects = moved(desk, strict)
    if proven_before:
        desk.scs("xcheck")
    rows = [computed(key, there.etag, there.crc64nvme, "target") for key, there in objects.items() if "ch" not in key]
    bad = computed("films/changed", objects["films/changed"].etag, "AAAAAAAAAAA=", "target")
    said = desk.scs("xcheck", "--checksums", str(report(tmp_path / "done", *rows, bad)), code=5).out
    assert codes(desk) == {"changed": "S3-DIGEST"}
    assert "Proven: 4 blobs; 1 not proven yet." in said
    assert desk.select("SELECT value FROM evidence WHERE value = 'AAAAAAAAAAA='") == [("AAAAAAAAAAA=",)]


def test_scs_xcheck_with_reports_that_tell_little(desk: Desk, strict: StrictCloud, tmp_path: Path) -> None:
    """A report about other objects, or of failures, stops nothing: it is said, and each object is asked for."""
    moved(desk, strict)
    other = computed("films/changed", "another etag", "AAAAAAAAAAA=", "target")
    done = report(tmp_path / "done", other, failures=[failed("films/short", "target")])
    said = desk.scs("xcheck", "--checksums", str(done)).out
    assert "1 line of a task that failed, 1 line about objects that are not listed so" in said
    assert asked(strict) == (5, 1)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("xcheck --inventory", "S3-INVENTORY", ("theirs", "target")),
        ("xcheck --checksums", "S3-REPORT", ("Nothing can be read", "odd.csv")),
        ("report --batch-manifest", "BATCH-MANIFEST", ("odd.csv", "left as it is")),
    ],
)
def test_scs_xcheck_with_files_that_cannot_be_used(
    line: str, code: str, words: tuple[str, ...], desk: Desk, strict: StrictCloud, tmp_path: Path
) -> None:
    """Each is refused before anything is asked, with what is wrong and the way out."""
    moved(desk, strict)
    (desk.folder / "odd.csv").write_text("odd\n")
    file = str(inventory(tmp_path / "in", "theirs", [])) if "inventory" in line else "odd.csv"
    said = desk.scs(*line.split(), file, "--json", code=2)
    assert said.document["error"]["code"] == code
    assert [word for word in words if word not in said.err] == []
    assert strict.log == []
    assert (desk.folder / "odd.csv").read_text() == "odd\n"
