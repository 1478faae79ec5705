"""A lost catalog is made anew out of the account, the manifests on the NAS, the files and the objects."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.servers.strict import Call, Fault, Seeded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journey.conftest import Refuse
    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud

MIB = 1 << 20
STEPS = '[transfer]\nrange_size = "1M"\nmultipart_from = "5M"\npart_size = "5M"\n'
HOSTILE = [
    "a",
    "a/b",
    "A",
    "a//b",
    "lead/",
    " blank",
    "con.txt",
    "x/../y",
    "100%",
    "ü/🎬.mp4",
    "tab\there",
    "n" * 700,
    'quote"',
]
EVIDENCE = (
    "SELECT container, blob, state, size_bytes, etag, s3_key, nas_path, crc64nvme, md5, s3_checksum, level FROM blobs"
    " ORDER BY container, blob"
)


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker, and small steps."""
    desk.env["SCS_WORKERS"] = "1"
    desk.settings(STEPS)


@pytest.fixture
def moved(desk: Desk, strict: StrictCloud) -> list[tuple[object, ...]]:
    """A journey that is over: what the catalog knew at its end."""
    for number, name in enumerate(HOSTILE):
        strict.azure.put("films", name, f"bytes of {name}".encode(), md5="right" if number % 2 else "")
    strict.azure.put("films", "empty", b"")
    for size in (700_000, 3 * MIB, 7 * MIB + 1):
        strict.azure.put("large", f"md5-{size}", Seeded(size, size), md5="right")
        strict.azure.put("large", f"plain-{size}", Seeded(size + 1, size), metadata={"year": "1999"})
    strict.azure.make_container("nothing")
    desk.scs("init")
    desk.scs("run")
    return desk.select(EVIDENCE)


def lose(desk: Desk) -> None:
    """Take the catalog away."""
    for file in desk.folder.glob("storage.sqlite*"):
        file.unlink()


def moves(strict: StrictCloud, since: int = 0) -> list[str]:
    """The requests that carry bytes of blobs, or begin to."""
    carrying = {"GetBlob", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "GetObject"}
    return [each.operation for each in strict.log[since:] if each.operation in carrying]


def counts(desk: Desk) -> dict[str, object]:
    """What `scs status` says of the whole."""
    document = desk.scs("status", "--json").document
    return {"totals": document["totals"], "containers": document["containers"]}


# ------------------------------------------------------------------------------------------------------ nothing moves


def test_scs_rebuild_of_a_lost_catalog(desk: Desk, strict: StrictCloud, moved: list[tuple[object, ...]]) -> None:
    """Not a byte is downloaded or sent, and the new catalog knows what the old one knew."""
    before = counts(desk)
    lose(desk)
    since = len(strict.log)
    done = desk.scs("rebuild")
    assert moves(strict, since) == []
    assert desk.select(EVIDENCE) == moved
    assert counts(desk) == before
    assert "Adopted on the NAS: 20 blobs, 21.3 MiB. Downloaded: nothing." in done.out
    assert "Adopted in S3: 20 blobs, 21.3 MiB. Sent: nothing." in done.out
    since = len(strict.log)
    desk.scs("run")
    assert moves(strict, since) == []
    assert "Proven: 20 blobs." in desk.scs("xcheck", "--deep").out


def test_scs_rebuild_of_what_was_attested(desk: Desk, strict: StrictCloud) -> None:
    """What the source attested counts as attested again, and where that is known from is kept."""
    for number in range(3):
        strict.azure.put("films", f"reel-{number}", bytes([number]) * (number * 3 * MIB + 1), md5="")
    desk.scs("init")
    desk.scs("run", "--attest")
    before = desk.select(EVIDENCE)
    assert {row[-1] for row in before} == {3}
    lose(desk)
    since = len(strict.log)
    desk.scs("rebuild")
    assert moves(strict, since) == []
    assert desk.select(EVIDENCE) == before
    assert desk.select("SELECT DISTINCT how FROM evidence") == [("a manifest on the NAS told that it was attested",)]


def test_scs_rebuild_where_places_depend_on_the_order_of_time(desk: Desk, strict: StrictCloud) -> None:
    """Files that gave way to others that came earlier are found where they are, whatever is listed first now."""
    for name in ("a/b", "c", "x"):
        strict.azure.put("films", name, f"1 {name}".encode(), md5="")
    desk.settings(f'{STEPS}[containers]\nlive = ["films"]\n')
    desk.scs("init")
    desk.scs("run")
    for name in ("a", "c/d", "X"):
        strict.azure.put("films", name, f"2 {name}".encode(), md5="")
    desk.scs("run")
    before = desk.select(EVIDENCE)
    assert {row[6] for row in before} > {"films/a%f", "films/c%d/d"}
    lose(desk)
    since = len(strict.log)
    desk.scs("rebuild")
    assert moves(strict, since) == []
    assert desk.select(EVIDENCE) == before
    strict.azure.put("films", "a/c", b"new")
    desk.scs("run")
    assert desk.files()["films/a/c"] == b"new"


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_with_rename_rules_that_came_later(desk: Desk, strict: StrictCloud) -> None:
    """Files stay where they are and are adopted, objects get the keys of today; a second blob for a key is refused."""
    lose(desk)
    desk.settings(f"{STEPS}[[rename]]\ncontainer = 'large'\npattern = '^plain-'\nreplacement = 'simple-'\n")
    since = len(strict.log)
    said = desk.scs("rebuild").out
    assert "Adopted on the NAS: 20 blobs, 21.3 MiB. Downloaded: nothing." in said
    assert "Adopted in S3: 17 blobs, 10.7 MiB. Sent: 3 blobs, 10.7 MiB." in said
    assert {each.operation for each in strict.log[since:]} >= {"PutObject", "CreateMultipartUpload"}
    assert strict.s3.buckets["target"].objects["large/simple-700000"].size == 700_000
    strict.azure.put("large", "simple-700000", b"in the way")
    assert "KEY-CLASH" in desk.scs("sync", "--all", code=1).out


# ------------------------------------------------------------------------------------------------------ what is there


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_of_a_damaged_catalog(desk: Desk, strict: StrictCloud) -> None:
    """A damaged catalog is kept aside, as it was."""
    content = desk.file.read_bytes()
    damaged = content[:5000] + b"\xa5" * 3000 + content[8000:]
    desk.file.write_bytes(damaged)
    assert "scs rebuild" in desk.scs("status", code=3).err
    since = len(strict.log)
    desk.scs("rebuild")
    assert moves(strict, since) == []
    kept = desk.folder.glob(
        "storage.sqlite.damaged-*Z"
    )  # beside it its WAL and what belongs to that, if there were any
    assert [file.read_bytes() for file in kept] == [damaged]
    assert set(desk.states().values()) == {"uploaded"}


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_of_a_damaged_catalog_of_an_older_version(desk: Desk, refused: Refuse) -> None:
    """It cannot be taken over, so it is rebuilt; one that is all right is not."""
    with closing(sqlite3.connect(desk.file)) as older:
        older.execute("PRAGMA user_version = 1")
    refused("rebuild", code=2, says=["is there and is not damaged"])
    content = desk.file.read_bytes()
    desk.file.write_bytes(content[:5000] + b"\xa5" * 3000 + content[8000:])
    desk.scs("rebuild")
    assert set(desk.states().values()) == {"uploaded"}


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_where_only_the_wal_is_left(desk: Desk) -> None:
    """What is left of a catalog is kept aside, too: it must not be played into the new one."""
    lose(desk)
    wal = desk.folder / "storage.sqlite-wal"
    wal.write_bytes(b"what was written last")
    desk.scs("rebuild")
    assert [file.read_bytes() for file in desk.folder.glob("storage.sqlite.damaged-*-wal")] == [
        b"what was written last"
    ]
    assert set(desk.states().values()) == {"uploaded"}


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_beside_a_catalog_that_can_be_used(desk: Desk, refused: Refuse) -> None:
    """A catalog that is all right is left alone, with a sentence that says what to do; forgotten first, it works."""
    refused("rebuild", code=2, says=["storage.sqlite' is there and is not damaged", "scs run", "scs clean"])
    desk.scs("clean", "--yes")
    desk.scs("rebuild")
    refused("rebuild", code=2, says=["is there and is not damaged"])


@pytest.mark.parametrize("first", [["init"], ["init", "sync"]])
@pytest.mark.usefixtures("moved")
def test_scs_rebuild_into_a_new_catalog(desk: Desk, strict: StrictCloud, first: list[str]) -> None:
    """Whoever made a new catalog first, or listed into it, has nothing to lose in it: it is filled."""
    lose(desk)
    for verb in first:
        desk.scs(verb)
    since = len(strict.log)
    desk.scs("rebuild")
    assert moves(strict, since) == []
    assert set(desk.states().values()) == {"uploaded"}


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_without_its_nas(desk: Desk, refused: Refuse) -> None:
    """Without the NAS there is nothing to begin with: the damaged catalog is not touched."""
    desk.file.write_bytes(b"damaged")
    (desk.folder / "mnt").mkdir()
    refused("rebuild", code=3, says=["has no marker"], env={"MEDIA_FOLDER": "mnt"})
    refused("rebuild", code=2, says=["MEDIA_FOLDER"], env={"MEDIA_FOLDER": ""})
    assert desk.file.read_bytes() == b"damaged"


# ------------------------------------------------------------------------------------------------ what is not as it was


def test_scs_rebuild_of_what_changed_meanwhile(
    desk: Desk, strict: StrictCloud, moved: list[tuple[object, ...]]
) -> None:
    """Changed blobs and rotten or lost files are fetched anew, lost objects sent anew, and nothing else."""
    lose(desk)
    objects = strict.s3.buckets["target"].objects
    strict.azure.put("films", "a/b", b"changed since", md5="")
    strict.azure.put("films", "new", b"new since", md5="")
    strict.azure.remove("large", "plain-700000")
    rotten = desk.nas / "large" / f"plain-{3 * MIB}"
    rotten.write_bytes(b"rot" + rotten.read_bytes()[3:])
    (desk.nas / "films" / "100%25").unlink()
    del objects["large/md5-700000"]
    objects["films/ü/🎬.mp4"] = objects["films/a"]
    since = len(strict.log)
    done = desk.scs("rebuild", code=1)
    assert "S3-EXISTS" in done.out
    assert desk.select("SELECT blob, code FROM problems") == [("ü/🎬.mp4", "S3-EXISTS")]
    fetched = {each.path.split("/", 2)[2] for each in strict.log[since:] if each.operation == "GetBlob"}
    assert fetched == {"films/a/b", "films/new", "films/100%25", f"large/plain-{3 * MIB}"}
    sent = {each.path for each in strict.log[since:] if each.operation == "PutObject" and each.status == 200}
    assert sent == {"/target/films/a/b", "/target/films/new", "/target/large/md5-700000"}
    assert desk.select("SELECT etag <> '', crc64nvme <> '' FROM superseded") == [(1, 1)]
    desk.scs("run", "--retry-failed", "--overwrite")
    assert {row[2] for row in desk.select(EVIDENCE)} == {"uploaded"}
    assert objects["films/a/b"].data == b"changed since" == desk.files()["films/a%d/b"]
    assert rotten.read_bytes()[:3] != b"rot"
    known = {row[:2]: row[7] for row in moved}
    assert [row for row in desk.select(EVIDENCE) if known.get(row[:2], row[7]) != row[7]] == [
        row for row in desk.select(EVIDENCE) if row[1] == "a/b"
    ]
    assert "Proven: 20 blobs." in desk.scs("xcheck", "--deep").out


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_of_an_object_with_another_description(desk: Desk, strict: StrictCloud) -> None:
    """An object with the right bytes and an outdated description is sent once more; none with the right one is."""
    lose(desk)
    strict.azure.containers["large"].blobs["plain-700000"].metadata["year"] = "2000"
    since = len(strict.log)
    assert "Sent: 1 blob, 683.6 KiB." in desk.scs("rebuild").out
    assert set(moves(strict, since)) == {"PutObject"}
    assert strict.s3.buckets["target"].objects["large/plain-700000"].metadata == {"year": "2000"}


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_without_manifests(desk: Desk, strict: StrictCloud) -> None:
    """Of an older version there are none: blobs with a Content-MD5 are adopted by it, the others are fetched."""
    lose(desk)
    shutil.rmtree(desk.nas / ".scs" / "manifest")
    since = len(strict.log)
    done = desk.scs("rebuild")
    assert not [each.path for each in strict.log[since:] if each.operation == "GetBlob" and "md5-" in each.path]
    assert not {"PutObject", "UploadPart"} & set(moves(strict, since))
    assert set(desk.states().values()) == {"uploaded"}
    assert "Adopted in S3: 20 blobs" in done.out


@pytest.mark.usefixtures("moved")
def test_scs_rebuild_with_garbage_among_the_manifests(desk: Desk, strict: StrictCloud) -> None:
    """A torn end, foreign lines and lines of other versions do no harm to the others; the last word counts."""
    (manifest,) = (desk.nas / ".scs" / "manifest").iterdir()
    entries = [json.loads(line) for line in manifest.read_text().splitlines()[1:]]
    of_large = next(entry for entry in entries if entry["blob"] == f"plain-{3 * MIB}")
    lies = [
        {**of_large, "crc64nvme": "AAAAAAAAAAA="},
        {**of_large, "etag": "another", "size_bytes": 5, "crc64nvme": "AAAAAAAAAAA="},
        {**of_large, "blob": "never there"},
        {**of_large, "nas_path": "../outside"},
    ]
    early = manifest.with_name("20190501T000000Z-0001.jsonl")
    first = manifest.read_text().splitlines(keepends=True)[0]  # of the same account, or nobody would read on
    early.write_text(first + "".join(f"{json.dumps(lie)}\n" for lie in lies) + "garbage\n")
    with manifest.open("a") as file:
        file.write(json.dumps({**of_large, "etag": "another"}) + '\n{"container":"films","blob":"torn')
    lose(desk)
    since = len(strict.log)
    desk.scs("rebuild")
    assert moves(strict, since) == []


# ------------------------------------------------------------------------------------------------------------- stopped


@pytest.mark.parametrize("operation", ["ListBlobs", "HeadObject"])
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, 137), (signal.SIGTERM, 143)])
def test_scs_rebuild_stopped_in_the_middle(
    desk: Desk,
    strict: StrictCloud,
    moved: list[tuple[object, ...]],
    operation: str,
    how: signal.Signals,
    code: int,
) -> None:
    """A rebuild that was stopped goes on when it is run again, and still moves nothing."""
    lose(desk)
    since = len(strict.log)
    gate = threading.Event()
    strict.faults.append(Fault(Call(lambda _: gate.wait(60)), operation=operation, nth=2, times=0))
    with desk.start("rebuild") as going:
        going.until(lambda: len([each for each in strict.log[since:] if each.operation == operation]) >= 2)
        going.interrupt(how)
        assert going.end(timeout_s=15).code == code
    gate.set()
    strict.faults.clear()
    desk.scs("rebuild")
    assert moves(strict, since) == []
    assert desk.select(EVIDENCE) == moved


# -------------------------------------------------------------------------------------------------------- the manifests


def told(desk: Desk) -> dict[tuple[str, str], tuple[object, ...]]:
    """What the manifests say last of each blob."""
    files = sorted((desk.nas / ".scs" / "manifest").iterdir())
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()[1:]]
    return {
        (one["container"], one["blob"]): (
            one["etag"],
            one["size_bytes"],
            one["crc64nvme"],
            one["md5"],
            one["attested"],
            one.get("nas_path", f"{one['container']}/{one['blob']}"),
            one["at_utc"],
        )
        for one in entries
    }


def known(desk: Desk) -> dict[tuple[str, str], tuple[object, ...]]:
    """The same of the catalog."""
    asked = "SELECT container, blob, etag, size_bytes, crc64nvme, coalesce(md5, ''), 0, nas_path, downloaded_at_utc"
    return {row[:2]: row[2:] for row in desk.select(f"{asked} FROM blobs WHERE crc64nvme IS NOT NULL")}


def manifests(desk: Desk) -> list[Path]:
    """All of them."""
    return sorted((desk.nas / ".scs" / "manifest").iterdir())


@pytest.mark.usefixtures("moved")
def test_scs_run_writes_manifests(desk: Desk, strict: StrictCloud) -> None:
    """Each run that downloads has a manifest with what the catalog knows; older ones are never touched again."""
    assert told(desk) == known(desk)
    before = {file: file.read_bytes() for file in manifests(desk)}
    desk.scs("run")
    desk.scs("xcheck", "--deep")
    assert manifests(desk) == list(before)
    strict.azure.put("more", "blob", b"bytes")
    desk.scs("run")
    assert len(manifests(desk)) == len(before) + 1
    assert {file: file.read_bytes() for file in before} == before
    assert told(desk) == known(desk)


@pytest.mark.usefixtures("moved")
def test_scs_run_with_a_catalog_that_never_wrote_a_manifest(desk: Desk) -> None:
    """What an older version downloaded is written down by the next run that could download, once."""
    shutil.rmtree(desk.nas / ".scs" / "manifest")
    with closing(sqlite3.connect(desk.file)) as catalog, catalog:
        catalog.execute("DELETE FROM state WHERE key = 'manifest_complete'")
    desk.scs("upload")
    assert not (desk.nas / ".scs" / "manifest").exists()
    desk.scs("download")
    assert told(desk) == known(desk)
    desk.scs("run")
    assert len(manifests(desk)) == 1


def test_scs_download_that_cannot_write_its_manifest(desk: Desk, strict: StrictCloud) -> None:
    """A manifest that the NAS does not take stops the run; what was downloaded counts, and is written down later."""
    for number in range(3):
        strict.azure.put("films", f"reel-{number}", b"x" * number)
    desk.scs("init")
    in_the_way = desk.nas / ".scs" / "manifest"
    in_the_way.write_bytes(b"")
    desk.scs("sync")
    said = desk.scs("download", code=3).err
    assert ".scs/manifest" in said
    assert "Move it away" in said
    assert set(desk.states().values()) == {"downloaded"}
    in_the_way.unlink()
    desk.scs("download")
    assert told(desk) == known(desk)


@pytest.mark.usefixtures("moved")
def test_scs_download_killed_leaves_whole_manifests(desk: Desk, strict: StrictCloud) -> None:
    """However a run ends, all that the catalog has as downloaded stands in a manifest."""
    for number in range(300):
        strict.azure.put("more", f"reel-{number:03}", b"x" * number, md5="")
    desk.scs("sync")
    gate = threading.Event()
    strict.faults.append(Fault(Call(lambda _: gate.wait(60)), operation="GetBlob", path="more/reel-2", times=0))
    with desk.start("download") as going:
        going.until(lambda: list(desk.states().values()).count("downloaded") > 100)
        going.interrupt(signal.SIGKILL)
        going.end()
    gate.set()
    entries = told(desk)
    assert {name: entries.get(name) for name in known(desk)} == known(desk)
