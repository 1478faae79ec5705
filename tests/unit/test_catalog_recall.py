"""What the catalog gives to manifests, and what a new one takes out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.model import BlobStatus, Check, Checked, Entry, Evidence, Gone
from tests.unit.catalogs import AT, CRC, FLAT, blob, downloaded, listed, made, moved, paths, sql, states, uploaded
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog

EARLY = "2019-05-01T00:00:00Z"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """Make a catalog with a container `c`."""
    with made(folder) as opened:
        yield opened


def entry(name: str, path: str = "", **more: Any) -> Entry:
    """What a manifest says of a blob of `catalogs.blob`."""
    made_of = Entry("c", name, "v1", 10, CRC, "", attested=False, nas_path=path or f"c/{name}", at_utc=EARLY)
    return made_of._replace(**more)


def recalled(catalog: Catalog, *entries: Entry) -> tuple[int, int]:
    """Take these out of manifests: how many were known, and how many got another place."""
    elsewhere: dict[int, str] = {}
    return catalog.recall(entries, elsewhere), catalog.move(elsewhere)


# ---------------------------------------------------------------------------------------------------- into a manifest


def test_entries_are_of_what_is_on_the_nas(catalog: Catalog) -> None:
    """Each file that is on the NAS has an entry, by id, in as many helpings as wanted; nothing else has."""
    listed(catalog, *"abcd", blob("a/b"))
    moved(catalog, 1)
    catalog.settle([downloaded(3)._replace(md5="bWQ1", attested=True), downloaded(5)])
    first, last = catalog.entries(0, 2)
    assert first == [entry("a", at_utc=AT), entry("c", md5="bWQ1", attested=True, at_utc=AT)]
    assert last == 3
    assert catalog.entries(last, 2) == ([entry("a/b", "c/a%d/b", at_utc=AT)], 5)
    assert catalog.entries(5, 2) == ([], 0)


def test_whether_all_was_told_is_remembered(catalog: Catalog) -> None:
    """At first it was not; then what was said last holds."""
    assert not catalog.has_told_all()
    catalog.told_all(complete=True)
    assert catalog.has_told_all()
    catalog.told_all(complete=False)
    assert not catalog.has_told_all()


# ---------------------------------------------------------------------------------------------------- out of manifests


def test_what_a_manifest_knows_goes_with_the_task(catalog: Catalog, folder: Path) -> None:
    """A pending blob in the very version takes checksum and attestation over; its file is one that we wrote."""
    listed(catalog, "a", "b")
    assert recalled(catalog, entry("a", attested=True)) == (1, 0)
    known, unknown = catalog.pending_downloads(0, 9)
    assert (known.known_crc64nvme, known.may_replace) == (CRC, True)
    assert (unknown.known_crc64nvme, unknown.may_replace) == ("", False)
    assert sql(folder, "SELECT attested, downloaded_at_utc, azure_status FROM sync WHERE id = 1") == [(1, EARLY, 0)]
    assert sql(folder, "SELECT place, value, at_utc FROM evidence") == [("azure", CRC, EARLY)]
    recalled(catalog, entry("a", attested=True))
    assert sql(folder, "SELECT count(*) FROM evidence") == [1]
    assert catalog.check() == []


@pytest.mark.parametrize("other", [{"etag": "v0"}, {"size_bytes": 11}])
def test_another_version_says_only_that_we_wrote(catalog: Catalog, folder: Path, other: dict[str, Any]) -> None:
    """A line of another version gives no checksum, but its file, and an object with its bytes, are ours."""
    listed(catalog, "a")
    for _ in range(2):
        assert recalled(catalog, entry("a", **other)) == (0, 0)
    (task,) = catalog.pending_downloads(0, 9)
    assert (task.known_crc64nvme, task.may_replace) == ("", True)
    assert catalog.earlier([1, 2]) == {1: {CRC}}
    assert sql(folder, "SELECT count(*), min(crc64nvme) FROM superseded") == [(1, CRC)]


def test_the_last_word_counts(catalog: Catalog) -> None:
    """Of two lines about one version the later one holds, in one helping or in two."""
    listed(catalog, "a", "b")
    wrong = "BBBBBBBBBBA="
    recalled(catalog, entry("a", crc64nvme=wrong), entry("a"), entry("b"))
    recalled(catalog, entry("b", crc64nvme=wrong), entry("a", etag="v0", crc64nvme=wrong))
    assert [task.known_crc64nvme for task in catalog.pending_downloads(0, 9)] == [CRC, wrong]


def test_rows_that_do_not_wait_are_left_alone(catalog: Catalog, folder: Path) -> None:
    """What was copied, failed, is skipped or unknown is not touched by a manifest."""
    listed(catalog, "copied", "failed", blob("skipped", tier="Archive"))
    catalog.settle([downloaded(1, crc="BBBBBBBBBBA=")])
    sql(folder, "UPDATE sync SET azure_status = ? WHERE id = 2", BlobStatus.FAILED)
    before = sql(folder, "SELECT * FROM sync")
    names = ("copied", "failed", "skipped", "unknown")
    assert recalled(catalog, *map(entry, names), *(entry(name, "else/where", etag="v0") for name in names)) == (0, 0)
    assert sql(folder, "SELECT * FROM sync") == before
    assert sql(folder, "SELECT count(*) FROM superseded") == [0]


# -------------------------------------------------------------------------------------------------------------- places


def test_files_are_where_they_were(catalog: Catalog, folder: Path) -> None:
    """Two blobs change places, as they were listed in another order once; newcomers find both taken."""
    listed(catalog, "a", "a/b")
    assert paths(folder) == {"c/a": "c/a", "c/a/b": "c/a%d/b"}
    assert recalled(catalog, entry("a", "c/a%f"), entry("a/b", "c/a/b")) == (2, 2)
    assert paths(folder) == {"c/a": "c/a%f", "c/a/b": "c/a/b"}
    assert all(task.may_replace for task in catalog.pending_downloads(0, 9))
    listed(catalog, "a", "a/b", "a/B", "A")
    found = paths(folder)
    assert len({path.lower() for path in found.values()}) == 4
    assert found["c/a"] == "c/a%f"
    assert catalog.check() == []


def test_a_file_that_moved_back(catalog: Catalog, folder: Path) -> None:
    """Where a file was told to be last is where it is, also if that is its usual place."""
    listed(catalog, "a")
    assert recalled(catalog, entry("a", "c/elsewhere"), entry("a")) == (1, 0)
    assert paths(folder) == {"c/a": "c/a"}


def test_a_place_that_another_one_has(catalog: Catalog, folder: Path) -> None:
    """Two files can never be one: who comes second gets a place of its own, and does not count as written by us."""
    listed(catalog, "a", "b", "x")
    recalled(catalog, entry("a", "c/x"), entry("b", "c/Y"), entry("x"))
    found = paths(folder)
    assert (found["c/x"], found["c/b"]) == ("c/x", "c/Y")
    assert found["c/a"].startswith("c/x%~")
    assert [task.may_replace for task in catalog.pending_downloads(0, 9)] == [False, True, True]


def test_a_key_stays_its_own(catalog: Catalog, folder: Path) -> None:
    """A file that lies elsewhere keeps off a blob that would become the same object."""
    listed(catalog, "a", placement=FLAT)
    recalled(catalog, entry("a", "old/place"))
    assert paths(folder) == {"c/a": "old/place"}
    listed(catalog, "a", container="d", placement=FLAT)
    assert sql(folder, "SELECT code FROM problems") == ["KEY-CLASH"]


NAMES = st.sampled_from(["a", "A", "a/b", "a/b/c", "b", "B/x", "b/X"])


@given(st.permutations(["a", "A", "a/b", "a/b/c", "b", "B/x", "b/X"]), st.sets(NAMES))
@settings(max_examples=150, deadline=None)
def test_any_order_of_time(order: list[str], forgotten: set[str]) -> None:
    """In whatever order blobs came once, a new catalog that has their manifest puts each where it was."""
    with in_memory() as first, in_memory() as second:
        with made(first) as old:
            for name in order:
                listed(old, name)
            old.settle([downloaded(row_id) for row_id in range(1, len(order) + 1)])
            entries, _ = old.entries(0, 100)
        with made(second) as new:
            listed(new, *sorted(order))
            recalled(new, *(one for one in entries if one.blob not in forgotten))
            assert new.check() == []
        here, there = paths(first), paths(second)
        assert {name: path for name, path in there.items() if name[2:] not in forgotten} == {
            name: path for name, path in here.items() if name[2:] not in forgotten
        }
        folds = [path.lower() for path in there.values()]
        assert len(set(folds)) == len(folds)
        assert not [one for one in folds for other in folds if other.startswith(f"{one}/")]


# ----------------------------------------------------------------------------------------------------------- a rebuild


def test_what_may_be_filled(catalog: Catalog) -> None:
    """A catalog is untouched until something was copied with it, or it knows of something that is gone."""
    assert catalog.is_untouched()
    listed(catalog, "a", "b")
    assert catalog.is_untouched()
    catalog.settle([downloaded(1)])
    assert not catalog.is_untouched()


def test_a_blob_that_is_gone_is_something_to_lose(catalog: Catalog) -> None:
    """No listing would show it again."""
    listed(catalog, "a")
    catalog.settle([Gone(1, AT)])
    assert not catalog.is_untouched()


def test_how_far_a_rebuild_is(catalog: Catalog) -> None:
    """The word that was put last, "" at first."""
    assert catalog.phase() == ""
    catalog.set_phase("begun")
    assert catalog.phase() == "begun"


# ------------------------------------------------------------------------------------------------------------- a scrub


@given(st.integers(1, 12), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_slices_are_everything_once(parts: int, count: int) -> None:
    """All slices together are every file on the NAS, each once, in any number of parts."""
    with in_memory() as folder, made(folder) as catalog:
        listed(catalog, *(f"b{number}" for number in range(count)))
        catalog.settle([downloaded(row_id) for row_id in range(1, count + 1) if row_id % 3])
        read = [task.id for part in range(1, parts + 1) for task in catalog.to_read(0, 100, part=part, parts=parts)]
        assert sorted(read) == [row_id for row_id in range(1, count + 1) if row_id % 3]


def test_a_file_to_read(catalog: Catalog) -> None:
    """The task has no object, is deep, and wants what is wrong to be fetched again."""
    listed(catalog, "a", "b")
    moved(catalog, 1, 2)
    first, second = catalog.to_read(0, 9)
    assert first == Check(1, "c", "a", 10, CRC, "c/a", "", deep=True, fetch_again=True)
    assert catalog.to_read(1, 9) == [second]
    assert catalog.to_read(0, 1) == [first]


READ = Evidence("nas", "CRC64NVME", "x", 10, "", "read")
ROT = Checked(1, "NAS-ROT: It rots.", None, evidence=(READ,), fetch_again=True, asked=False)


def test_rot_is_pending_at_once(catalog: Catalog, folder: Path) -> None:
    """The row waits for its file with the reason, its object stays what it was, and what was found is kept."""
    listed(catalog, "a")
    moved(catalog, 1)
    catalog.settle([Checked(1, "", "", proven=True, s3_etag='"e"')])
    catalog.settle([ROT])
    assert states(folder) == {"a": "pending"}
    assert sql(folder, "SELECT azure_error, nas_check, s3_status, proven FROM sync") == [
        ("NAS-ROT: It rots.", None, 1, 1)
    ]
    assert sql(folder, "SELECT azure_error, crc64nvme FROM superseded") == [("NAS-ROT: It rots.", CRC)]
    assert sql(folder, "SELECT value FROM evidence WHERE place = 'nas'") == ["x"]
    assert catalog.totals() == catalog.recount()
    catalog.settle([downloaded(1)])
    assert states(folder) == {"a": "uploaded"}
    assert sql(folder, "SELECT level FROM blobs") == [4]


def test_rot_of_what_is_gone_stays(catalog: Catalog, folder: Path) -> None:
    """What the source no longer has stays a mismatch, and says why."""
    listed(catalog, "a")
    moved(catalog, 1)
    catalog.settle([Gone(1, AT)])
    for _ in range(2):
        catalog.settle([ROT])
    assert states(folder) == {"a": "uploaded"}
    assert catalog.totals().mismatched == 1
    assert sql(folder, "SELECT nas_check FROM sync") == [
        "NAS-ROT: It rots. The source no longer has the blob, so it cannot be downloaded again."
    ]
    assert sql(folder, "SELECT count(*) FROM superseded") == [0]


def test_a_check_of_the_file_takes_no_proof_of_the_object(catalog: Catalog, folder: Path) -> None:
    """A scrub that finds all well leaves what is known of the object; trouble with the NAS does, too."""
    listed(catalog, "a")
    catalog.settle([downloaded(1)])
    catalog.settle([uploaded(1)])
    catalog.settle([Checked(1, "", "", proven=True)])
    catalog.settle([Checked(1, "", None, fetch_again=True, asked=False)])
    catalog.settle([Checked(1, None, None, trouble="NAS-IO: It is ill.", fetch_again=True, asked=False)])
    assert sql(folder, "SELECT level FROM blobs") == [4]
