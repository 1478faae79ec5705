"""What settings and flags change: names, what is skipped or refused, how often, and for whom it is told."""

from __future__ import annotations

import base64
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.servers.strict import Answer, Fault

if TYPE_CHECKING:
    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"


def keys(strict: StrictCloud) -> dict[str, bytes]:
    """All objects."""
    return {key: found.data for key, found in strict.s3.buckets["target"].objects.items()}


# ---------------------------------------------------------------------------------------------------------- names


def test_scs_run_with_the_rename_rules_of_2019(desk: Desk, strict: StrictCloud) -> None:
    """Rules are for the containers that they name, and what they make is the name on the NAS and in S3 alike."""
    ends = ("_H264_1800kbps_AAC_und_ch2_128kbps.mp4", "_H264_4500kbps_AAC_und_ch2_128kbps.mp4", ".mp4")
    for container in ("asset-1", "other"):
        for end in ends:
            strict.azure.put(container, f"film{end}", f"{container}{end}".encode())
    desk.settings(r"""
[[rename]]
container = "asset-*"
pattern = '_H264_1800kbps_AAC_und_ch2_128kbps\.mp4$'
replacement = "-sd.mp4"
[[rename]]
container = "asset-*"
pattern = '_H264_4500kbps_AAC_und_ch2_128kbps\.mp4$'
replacement = "-hd.mp4"
""")
    desk.scs("init")
    desk.scs("run")
    right = {
        f"asset-1/film{new}": f"asset-1{end}".encode()
        for end, new in zip(ends, ("-sd.mp4", "-hd.mp4", ".mp4"), strict=True)
    }
    right |= {f"other/film{end}": f"other{end}".encode() for end in ends}
    assert desk.files() == keys(strict) == right
    desk.scs("xcheck")


@pytest.mark.parametrize("verbs", [("sync", "run"), ("run",)])
def test_scs_run_where_two_blobs_would_meet(verbs: tuple[str, ...], desk: Desk, strict: StrictCloud) -> None:
    """With the flat keys of 2019 two blobs of one name are refused, each with the other's name, and neither moves."""
    for container in ("films", "series"):
        strict.azure.put(container, "pilot.mp4", container.encode())
        strict.azure.put(container, f"{container}.mp4", container.encode())
    desk.settings('[target]\nkey = "{blob}"\n')
    desk.scs("init")
    for verb in verbs:
        said = desk.scs(verb, code=1).out
    assert "films/pilot.mp4" in said
    assert "series/pilot.mp4" in said
    assert strict.asked("GetBlob", "pilot") == []
    assert desk.files() == keys(strict) == {"films.mp4": b"films", "series.mp4": b"series"}
    problems = dict(desk.select("SELECT container, sentence FROM problems"))
    assert "'series/pilot.mp4'" in problems["films"].replace('"', "'")
    assert "'films/pilot.mp4'" in problems["series"].replace('"', "'")


# -------------------------------------------------------------------------------------------------------- skipping


def test_scs_run_with_skip_rules(desk: Desk, strict: StrictCloud) -> None:
    """Skipped containers are not even listed, skipped blobs are known and stay; neither is a failure."""
    for container in ("films", "test", "dummy-1"):
        for name in ("reel.mp4", "reel.ism", "Manifest.XML"):
            strict.azure.put(container, name, b"bytes")
    desk.settings('[containers]\nskip = ["test", "dummy-*"]\n[blobs]\nskip_extensions = [".xml", ".ism", ".ismc"]\n')
    desk.scs("init")
    said = desk.scs("run").out
    assert "In S3: 1 of 1 blob; 2 skipped." in said
    assert keys(strict) == desk.files() == {"films/reel.mp4": b"bytes"}
    assert {each.path.rpartition("/")[2] for each in strict.asked("ListBlobs")} == {"films"}
    assert sorted(desk.states().values()) == ["skipped", "skipped", "uploaded"]


def test_scs_run_container(desk: Desk, strict: StrictCloud) -> None:
    """With --container a verb keeps to the containers that are named."""
    for container in ("films", "series", "shorts"):
        strict.azure.put(container, "pilot", container.encode())
    desk.scs("init")
    desk.scs("run", "--container", "films", "--container", "shorts")
    assert keys(strict) == {"films/pilot": b"films", "shorts/pilot": b"shorts"}
    assert {each.path.rpartition("/")[2] for each in strict.asked("ListBlobs")} == {"films", "shorts"}
    desk.scs("run")
    assert len(keys(strict)) == 3


# ----------------------------------------------------------------------------------------------- failing, and again


def test_scs_run_retry_failed(desk: Desk, strict: StrictCloud) -> None:
    """A failed blob is left alone by the next run, and tried again on either leg with --retry-failed."""
    for name in ("good", "not-read", "not-written"):
        strict.azure.put("films", name, name.encode())
    strict.faults.append(Fault(Answer(400, "InvalidArgument"), operation="PutObject", path="not-written", times=0))
    desk.scs("init")
    desk.scs("sync")
    strict.azure.containers["films"].blobs["not-read"].tier = "Archive"
    said = desk.scs("run", code=1).out
    assert "2 blobs failed. Try again: scs run --retry-failed" in said
    assert "AZ-ARCHIVED" in said
    strict.faults.clear()
    strict.azure.containers["films"].blobs["not-read"].tier = "Hot"
    desk.scs("run", code=1)
    assert keys(strict) == {"films/good": b"good"}
    desk.scs("run", "--retry-failed")
    assert sorted(keys(strict)) == ["films/good", "films/not-read", "films/not-written"]


def test_scs_run_overwrite(desk: Desk, strict: StrictCloud) -> None:
    """What somebody else put in our way is never replaced without a word: on the NAS and in S3 that is --overwrite."""
    for name in ("on-nas", "in-s3", "the-same"):
        strict.azure.put("films", name, name.encode())
    desk.scs("init")
    (desk.nas / "films").mkdir()
    (desk.nas / "films" / "on-nas").write_bytes(b"somebody else's")
    (desk.nas / "films" / "the-same").write_bytes(b"the-same")
    strict.azure.put("seed", "x", b"")  # its object lends its fields to the ones below
    desk.scs("run", "--container", "seed")
    objects = strict.s3.buckets["target"].objects
    foreign = strict.s3.buckets["target"].objects.pop("seed/x")
    objects["films/in-s3"] = foreign
    said = desk.scs("run", code=1).out
    assert "NAS-EXISTS" in said
    assert "S3-EXISTS" in said
    assert (desk.nas / "films" / "on-nas").read_bytes() == b"somebody else's"
    assert objects["films/in-s3"].data == b""
    assert desk.states()["films/the-same"] == "uploaded"
    desk.scs("run", "--retry-failed", "--overwrite")
    assert desk.files()["films/on-nas"] == b"on-nas"
    assert objects["films/in-s3"].data == b"in-s3"


# ------------------------------------------------------------------------------------------------------ the target


def test_scs_run_with_settings_of_the_target(desk: Desk, strict: StrictCloud) -> None:
    """Storage class, ACL, encryption and tags go with every object, whole or in parts."""
    strict.azure.put("films", "small", b"bytes")
    strict.azure.put("films", "large", b"bytes" * (1 << 20) * 2)
    desk.settings("""
[target]
storage_class = "STANDARD_IA"
acl = "bucket-owner-full-control"
encryption = "aws:kms"
kms_key = "arn:aws:kms:us-east-1:111122223333:key/k"
tags = { project = "moving house", by = "a&b" }
[transfer]
multipart_from = "5M"
part_size = "5M"
""")
    desk.scs("init")
    desk.scs("run")
    assert len(strict.asked("UploadPart")) == 2
    for found in strict.s3.buckets["target"].objects.values():
        assert found.settings == {
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-acl": "bucket-owner-full-control",
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:111122223333:key/k",
            "x-amz-tagging": "project=moving%20house&by=a%26b",
        }
    desk.scs("xcheck")


# ---------------------------------------------------------------------------------------------------------- proof


def test_scs_xcheck_of_a_journey_that_was_tampered_with(desk: Desk, strict: StrictCloud) -> None:
    """A check says which blob differs and where, ends with 5, and the catalog keeps what it found."""
    for name in ("changed", "file-gone", "file-other", "good", "object-gone", "object-other"):
        strict.azure.put("films", name, name.encode())
    desk.scs("init")
    desk.scs("run")
    objects = strict.s3.buckets["target"].objects
    strict.azure.put("films", "changed", b"since then")
    (desk.nas / "films" / "file-gone").unlink()
    (desk.nas / "films" / "file-other").write_bytes(b"file-othex")
    del objects["films/object-gone"]
    objects["films/object-other"] = objects["films/changed"]
    said = desk.scs("xcheck", "--deep", code=5).out
    for words in ("films/file-gone", "NAS-LOST", "films/file-other", "NAS-ROT", "films/object-gone", "S3-LOST"):
        assert words in said
    assert "films/object-other" in said
    assert "films/good" not in said
    found = dict(desk.select("SELECT blob, code FROM problems"))
    assert found == {
        "file-gone": "NAS-LOST",
        "file-other": "NAS-ROT",
        "object-gone": "S3-LOST",
        "object-other": "S3-SIZE",
    }
    desk.scs("run", "--retry-failed", "--overwrite")
    assert "Proven: 6 blobs." in desk.scs("xcheck", "--deep").out
    assert keys(strict)["films/changed"] == b"since then"


# ------------------------------------------------------------------------------------------------- again and again


def test_scs_run_watch(desk: Desk, strict: StrictCloud) -> None:
    """With --watch the run looks again by itself, moves what is new, and ends cleanly with Ctrl-C."""
    strict.azure.put("films", "first", b"1")
    desk.settings('[containers]\nlive = ["films"]\n')
    desk.scs("init")
    with desk.start("run", "--watch", "1s") as going:
        going.until(lambda: "films/first" in keys(strict))
        strict.azure.put("films", "second", b"2")
        strict.azure.put("series", "pilot", b"3")
        going.until(lambda: {"films/second", "series/pilot"} <= set(keys(strict)))
        seen = len(strict.asked("ListBlobs"))
        going.until(lambda: len(strict.asked("ListBlobs")) > seen + 1)
        began = time.monotonic()
        going.interrupt()
        done = going.end()
    assert done.code == 130
    assert time.monotonic() - began < 5
    assert "Stopped by Ctrl-C" in done.out
    assert set(desk.states().values()) == {"uploaded"}


# -------------------------------------------------------------------------------------------------------- programs


def test_scs_json_of_every_verb(desk: Desk, strict: StrictCloud) -> None:
    """With --json standard output is one document, whatever the verb, and people's words are on standard error."""
    for number in range(3):
        strict.azure.put("films", f"reel-{number}", b"x" * 1000)
    said: dict[str, dict[str, object]] = {}
    for line in (
        "init",
        "sync",
        "download",
        "upload",
        "run",
        "xcheck",
        "xcheck --deep",
        "status",
        "reset-live",
        "clean --yes",
    ):
        done = desk.scs(*line.split(), "--json")
        document = done.document
        assert document["verb"] == line.split()[0]
        assert document["exit_code"] == 0
        assert document["warnings"] == []
        assert done.err
        said[line] = document
    assert said["init"]["catalog_is_new"] is True
    assert said["sync"]["run"]["added"] == 3  # type: ignore[index]
    assert said["download"]["run"]["downloaded_bytes"] == 3000  # type: ignore[index]
    assert said["upload"]["run"]["uploaded"] == 3  # type: ignore[index]
    assert said["run"]["run"]["uploaded"] == 0  # type: ignore[index]
    assert said["xcheck"]["run"]["proven"] == 3  # type: ignore[index]
    assert said["status"]["totals"]["uploaded_bytes"] == 3000  # type: ignore[index]
    assert said["clean --yes"]["backup"]
    quiet = desk.scs("init", "--json", "--quiet")
    assert quiet.err == ""


# -------------------------------------------------------------------------------------------------- forget, take over


def test_scs_clean_and_scs_run(desk: Desk, strict: StrictCloud) -> None:
    """A forgotten catalog costs no copies: what is right on the NAS and in S3 is adopted by the next journey."""
    for number in range(5):
        strict.azure.put("films", f"reel-{number}", b"x" * 700_000)
    desk.scs("init")
    desk.scs("run")
    desk.scs("clean", "--yes")
    assert not desk.file.exists()
    desk.scs("init")
    before = len(strict.asked("GetBlob"))
    stamps = {key: found.last_modified for key, found in strict.s3.buckets["target"].objects.items()}
    said = desk.scs("run").out
    assert len(strict.asked("GetBlob")) == before
    assert "Downloaded 5 blobs, 0 B" in said
    assert {key: found.last_modified for key, found in strict.s3.buckets["target"].objects.items()} == stamps
    assert set(desk.states().values()) == {"uploaded"}


def test_scs_run_with_a_catalog_of_2019(desk: Desk, strict: StrictCloud) -> None:
    """A catalog of the 2019 program is taken over after a backup; its successes count when they are proven anew."""
    for name in ("lost", "right", "wrong", "waiting", "failed"):
        strict.azure.put("films", name, f"{name} bytes".encode())
    strict.azure.make_container("empty")
    with closing(sqlite3.connect(desk.file)) as old:
        old.executescript("""
CREATE TABLE containers (name TEXT UNIQUE, status INTEGER DEFAULT 0, created_at TEXT);
CREATE TABLE sync (id INTEGER PRIMARY KEY AUTOINCREMENT, container TEXT NOT NULL, blob TEXT,
    azure_status INTEGER DEFAULT 0, azure_error TEXT, s3_status INTEGER DEFAULT 0, s3_error TEXT,
    created_at TEXT, updated_at TEXT);
INSERT INTO containers VALUES ('films', 200, '2019-05-01 10:00:00'), ('empty', 503, '2019-05-01 10:00:00');
INSERT INTO sync (id, container, blob, azure_status, azure_error, s3_status, s3_error, created_at) VALUES
    (11, 'films', 'right', 1, NULL, 1, NULL, '2019-05-01 10:00:01'),
    (12, 'films', 'wrong', 1, NULL, 1, NULL, '2019-05-01 10:00:01'),
    (13, 'films', 'lost', 1, NULL, 0, NULL, '2019-05-01 10:00:01'),
    (14, 'films', 'failed', 2, 'connection reset', 0, NULL, '2019-05-01 10:00:01'),
    (15, 'films', 'waiting', 0, NULL, 0, NULL, '2019-05-01 10:00:01'),
    (16, 'films', 'deleted long ago', 1, NULL, 1, NULL, '2019-05-01 10:00:01');
""")
    before = desk.file.read_bytes()
    (desk.nas / "films").mkdir()
    (desk.nas / "films" / "right").write_bytes(b"right bytes")
    (desk.nas / "films" / "wrong").write_bytes(b"wrong bytex")
    desk.scs("init")
    assert [file.read_bytes()[:16] for file in desk.folder.glob("storage.sqlite.backup-*")] == [before[:16]]
    said = desk.scs("run", code=1).out
    assert "films/wrong" in said
    assert "NAS-EXISTS" in said
    desk.scs("run", "--retry-failed", "--overwrite", code=1)
    assert desk.select("SELECT blob, code FROM problems") == [("deleted long ago", "AZ-404-GONE")]
    assert keys(strict) == {
        f"films/{name}": f"{name} bytes".encode() for name in ("lost", "right", "wrong", "waiting", "failed")
    }
    assert desk.select("SELECT id, blob FROM sync WHERE gone_at_utc IS NULL ORDER BY id") == [
        *((11, "right"), (12, "wrong"), (13, "lost"), (14, "failed"), (15, "waiting")),
    ]
    assert desk.select("SELECT count(*) FROM sync_2019") == [(6,)]
    assert desk.select("SELECT name, status FROM containers ORDER BY name") == [("empty", 503), ("films", 200)]
    assert strict.s3.buckets["target"].objects["films/right"].crc64nvme
    assert base64.b64decode(desk.select("SELECT crc64nvme FROM sync WHERE blob = 'right'")[0][0])
