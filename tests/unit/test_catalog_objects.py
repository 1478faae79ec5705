"""What the catalog promises about the bucket: spans hold every key once, and only the same object counts as seen."""

from __future__ import annotations

import sqlite3
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.model import READ, TOLD, Checked, Evidence, ListObjects, ObjectsPage
from tests.unit.catalogs import CRC, FLAT, PLAIN, account, blob, downloaded, listed, made, moved, sql, uploaded
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog

SAID = Evidence("s3", "CRC64NVME", CRC, 10, "e1", "S3 was asked for it")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """A catalog with one container."""
    with made(folder) as opened:
        yield opened


def proven(catalog: Catalog, *ids: int, etag: str = "e1") -> None:
    """Say that the objects of these rows were proven, and what their ETag was."""
    catalog.settle([Checked(row, "", "", proven=True, s3_etag=etag, evidence=(SAID,)) for row in ids])


def shown(catalog: Catalog, *objects: tuple[str, int, str]) -> None:
    """List the bucket anew: it has these."""
    catalog.begin_objects()
    catalog.settle_objects(ObjectsPage.of(objects))


def judged(catalog: Catalog) -> dict[str, tuple[bool, str]]:
    """By key: whether the object was seen, and what was told of it."""
    return {check.s3_key: (bool(check.seen), check.told) for check in catalog.everything(0, 1000, deep=True)}


# ---------------------------------------------------------------------------------------------------------------- spans


@given(names=st.sets(NAMES, max_size=200), others=st.lists(NAMES, max_size=20), flat=st.booleans())
@settings(max_examples=30, deadline=None)
def test_spans_hold_every_key_once(names: set[str], others: list[str], flat: bool) -> None:  # noqa: FBT001
    """Whatever the catalog knows, the spans share all keys that there can be: each is in one, and in no other."""
    with in_memory() as path, made(path) as catalog:
        listed(catalog, *map(blob, sorted(names)), placement=FLAT if flat else PLAIN)
        spans = catalog.begin_objects()
        keys = [f"c/{name}" for name in names] + others + [span.upto for span in spans if span.upto]
        for key in keys:
            assert sum(span.after < key and (not span.upto or key <= span.upto) for span in spans) == 1
        assert (spans[0].after, spans[-1].upto) == ("", "")
        assert [span.upto for span in spans[:-1]] == [span.after for span in spans[1:]]


def test_spans_are_of_about_the_same_size(catalog: Catalog) -> None:
    """A large catalog makes many spans, and none of them has far more rows than another; an empty one makes one."""
    assert catalog.begin_objects() == [ListObjects()]
    listed(catalog, *(f"{number:05}" for number in range(3200)))
    spans = catalog.begin_objects()
    assert len(spans) == 32
    sizes = [
        sum(
            span.after < f"c/{number:05}" and (not span.upto or f"c/{number:05}" <= span.upto) for number in range(3200)
        )
        for span in spans
    ]
    assert (min(sizes) >= 90, max(sizes) <= 110) == (True, True)


# ----------------------------------------------------------------------------------------------------------------- seen


def test_the_same_object_is_seen(catalog: Catalog) -> None:
    """An object that is listed with the ETag and size under which it was proven need not be asked again."""
    listed(catalog, "same", "other etag", "other size", "gone", "never proven", "wrong")
    moved(catalog, 1, 2, 3, 4, 5, 6)
    proven(catalog, 1, 2, 3, 4, 6)
    catalog.settle([Checked(6, "", "S3-SIZE: x", s3_etag="e1")])
    objects = [(f"c/{name}", 10, "e1") for name in ("same", "wrong", "never proven")]
    shown(catalog, *objects, ("c/other etag", 10, "e2"), ("c/other size", 11, "e1"))
    assert judged(catalog) == {
        "c/same": (True, ""),
        **dict.fromkeys(["c/other etag", "c/other size", "c/gone", "c/never proven", "c/wrong"], (False, "")),
    }


def test_without_a_listing_nothing_is_seen(catalog: Catalog, folder: Path) -> None:
    """A new check begins with an empty table; an ETag that nobody knows, or that is empty, is the same as none."""
    listed(catalog, "a", "no etag", "empty etag")
    moved(catalog, 1, 2, 3)
    proven(catalog, 1, 2, 3)
    shown(catalog, ("c/a", 10, "e1"))
    catalog.begin_objects()
    sql(folder, "UPDATE sync SET s3_etag = NULL WHERE id = 2")
    sql(folder, "UPDATE sync SET s3_etag = '' WHERE id = 3")
    assert set(judged(catalog).values()) == {(False, "")}
    catalog.settle_objects(ObjectsPage.of([("c/no etag", 10, ""), ("c/empty etag", 10, "")]))
    assert set(judged(catalog).values()) == {(False, "")}


def test_an_object_that_changed_during_the_listing(catalog: Catalog) -> None:
    """What was seen last counts."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    shown(catalog, ("c/a", 10, "e1"))
    catalog.settle_objects(ObjectsPage.of([("c/a", 10, "e2")]))
    assert judged(catalog) == {"c/a": (False, "")}
    assert catalog.objects_seen() == 1


# ----------------------------------------------------------------------------------------------------------------- told


def test_a_report_tells_of_the_object_that_it_names(catalog: Catalog) -> None:
    """A checksum counts for the object that is listed with the report's ETag, whichever form of its key that is."""
    listed(catalog, "a b", "a+b", "z")
    moved(catalog, 1, 2, 3)
    shown(catalog, ("c/a b", 10, "e1"), ("c/a+b", 10, "e2"), ("c/z", 10, "new"))
    forms = ("c/a b", "c/a+b", "c/a+b")
    assert catalog.tell_objects([(*forms, "e2", "sum2"), (*("c/z",) * 3, "old", "sumz")]) == 1
    assert judged(catalog) == {"c/a b": (False, ""), "c/a+b": (False, "sum2"), "c/z": (False, "")}
    assert catalog.tell_objects([(*forms, "e1", "first"), (*forms, "e1", "later")]) == 2
    assert judged(catalog)["c/a b"] == (False, "later")


def test_a_line_that_may_mean_two_objects_tells_of_none(catalog: Catalog) -> None:
    """Two objects with one ETag, and a key that can be read as either: nobody knows which one was read."""
    listed(catalog, "a b", "a+b")
    moved(catalog, 1, 2)
    shown(catalog, ("c/a b", 10, "e"), ("c/a+b", 10, "e"))
    assert catalog.tell_objects([("c/a+b", "c/a b", "c/a+b", "e", "sum")]) == 0
    assert set(judged(catalog).values()) == {(False, "")}


def test_what_is_told_needs_an_object_of_the_right_size(catalog: Catalog) -> None:
    """An object of another length is asked for, whatever was told of it."""
    listed(catalog, "a")
    moved(catalog, 1)
    shown(catalog, ("c/a", 11, "e"))
    assert catalog.tell_objects([("c/a", "c/a", "c/a", "e", CRC)]) == 1
    assert judged(catalog) == {"c/a": (False, "")}


# ------------------------------------------------------------------------------------------------------------ strangers


def test_strangers_are_counted(catalog: Catalog) -> None:
    """Objects that no blob accounts for, in the order of their keys, however the blobs' keys were made."""
    account(catalog, "c", "d")
    listed(catalog, "a/b/c", "ü", "a//odd", "not moved")
    listed(catalog, "flat", container="d", placement=FLAT)
    moved(catalog, 1, 2, 3)
    ours = ["c/a/b/c", "c/ü", "c/a//odd", "c/not moved", "flat"]
    theirs = ["", "/", "c", "c/", "c/a", "c/a/b/c/", "d/flat", "no slash", "x/a/b/c"]
    shown(catalog, *((key, 10, "e") for key in [*ours, *theirs]))
    assert catalog.strangers(100) == (len(theirs), sorted(theirs))
    assert catalog.strangers(2) == (len(theirs), sorted(theirs)[:2])
    shown(catalog, *((key, 10, "e") for key in ours))
    assert catalog.strangers(2) == (0, [])


# --------------------------------------------------------------------------------------------------- what S3 is to read


def test_what_is_in_s3_and_not_proven_is_named(catalog: Catalog) -> None:
    """Objects that were never proven, or found wrong since; not those that are proven, or that did not arrive."""
    listed(catalog, "proven", "new", "wrong", "pending", "only on the NAS", "odd//key")
    moved(catalog, 1, 2, 3, 6)
    catalog.settle([downloaded(5)])
    proven(catalog, 1, 3)
    catalog.settle([Checked(3, "", "S3-DIGEST: x")])
    assert list(catalog.unproven_objects()) == [("c/new", ""), ("c/wrong", ""), ("c/odd//key", "")]


def test_versions_are_named_for_all_or_for_none(catalog: Catalog) -> None:
    """As soon as one object has no version, none is named; those of proven objects do not matter."""
    listed(catalog, "a", "b", "proven")
    catalog.settle([downloaded(row) for row in (1, 2, 3)])
    catalog.settle([uploaded(row)._replace(version_id=f"v{row}") for row in (1, 2)] + [uploaded(3)])
    assert {version for _, version in catalog.unproven_objects()} == {""}
    proven(catalog, 3)
    assert list(catalog.unproven_objects()) == [("c/a", "v1"), ("c/b", "v2")]


# ------------------------------------------------------------------------------------------------------------- evidence


def test_what_is_known_is_not_written_twice(catalog: Catalog, folder: Path) -> None:
    """The same proof again adds no row; a mismatch adds one each time; whoever was wrong and is right again, too."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    proven(catalog, 1)
    wrong = SAID._replace(value="BBBBBBBBBBA=", etag="e2")
    catalog.settle([Checked(1, "", "S3-DIGEST: x", s3_etag="e2", evidence=(wrong,))])
    catalog.settle([Checked(1, "", "S3-DIGEST: x", s3_etag="e2", evidence=(wrong,))])
    proven(catalog, 1)
    found = sql(folder, "SELECT value, etag, blob_etag FROM evidence ORDER BY id")
    bad = ("BBBBBBBBBBA=", "e2", "v1")
    assert found == [(CRC, "e1", "v1"), bad, bad, (CRC, "e1", "v1")]


def test_a_mismatch_does_not_move_the_etag(catalog: Catalog, folder: Path) -> None:
    """The ETag of a row stays that of the object that was proven: the wrong one is never taken for it."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    catalog.settle([Checked(1, "", "S3-DIGEST: x", s3_etag="e2")])
    assert sql(folder, "SELECT proven_etag, proven FROM sync") == [("e1", None)]


def test_a_weaker_check_takes_nothing_back(catalog: Catalog, folder: Path) -> None:
    """What reading found stays until somebody reads again, or until another object is there."""
    listed(catalog, "a", "b")
    moved(catalog, 1, 2)
    read = Evidence("nas", "CRC64NVME", "BBBBBBBBBBA=", 10, "", READ)
    told = Evidence("s3", "CRC64NVME", "BBBBBBBBBBA=", 10, "e1", TOLD)
    catalog.settle([Checked(1, "NAS-ROT: x", None, evidence=(read,)), Checked(2, "", "S3-DIGEST: x", evidence=(told,))])
    catalog.settle([Checked(1, "", None, asked=False), Checked(2, "", "", proven=True, s3_etag="e1", evidence=(SAID,))])
    asked = "SELECT nas_check, s3_check, proven FROM sync ORDER BY id"
    assert sql(folder, asked) == [("NAS-ROT: x", None, None), (None, "S3-DIGEST: x", None)]
    assert catalog.totals().mismatched == 2
    again = read._replace(value=CRC)
    other = SAID._replace(etag="e3")
    catalog.settle(
        [
            Checked(1, "", None, asked=False, evidence=(again,)),
            Checked(2, "", "", proven=True, s3_etag="e3", evidence=(other,)),
        ]
    )
    assert sql(folder, asked) == [(None, None, None), (None, None, 1)]


def test_a_check_of_files_alone_says_nothing_about_objects(catalog: Catalog, folder: Path) -> None:
    """Neither the proof nor its time moves when nobody was asked about the object."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    before = sql(folder, "SELECT proven, proven_etag, checked_at_utc FROM sync")
    catalog.settle([Checked(1, "NAS-LOST: x", None, asked=False)])
    assert sql(folder, "SELECT proven, proven_etag, checked_at_utc FROM sync") == before


def test_other_bytes_under_the_same_etag_are_not_proven(catalog: Catalog, folder: Path) -> None:
    """A row that was fetched anew with another checksum, or sent anew, has to be asked about anew."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    catalog.settle([uploaded(1)])
    assert sql(folder, "SELECT proven, proven_etag FROM sync") == [(None, None)]
    proven(catalog, 1)
    catalog.settle([Checked(1, "NAS-LOST: x", None, asked=False)])
    catalog.redo_mismatched()
    catalog.settle([downloaded(1, crc="BBBBBBBBBBA=")])
    assert sql(folder, "SELECT proven, s3_status FROM sync") == [(None, 0)]


def test_an_old_inventory_proves_nothing_newer(catalog: Catalog, folder: Path) -> None:
    """An object that was uploaded after the bucket was shown is another one, whatever its ETag."""
    md5 = "rL0Y20zC+Fzt72VPzMSk2A=="
    listed(catalog, blob("a", content_md5=md5))
    catalog.settle([downloaded(1)._replace(md5=md5)])
    catalog.settle([uploaded(1)])
    shown(catalog, ("c/a", 10, b64decode(md5).hex()))
    assert catalog.prove_by_etag(0, "2019-01-01T00:00:00Z", "an inventory") == 0
    assert sql(folder, "SELECT proven FROM sync") == [None]
    assert catalog.prove_by_etag(0) == 1
    assert sql(folder, "SELECT proven, (SELECT how FROM evidence) LIKE '%listing%' FROM sync") == [(1, 1)]


def test_what_is_proven_is_counted_in_the_rows(catalog: Catalog) -> None:
    """Right in every place, once each; not what is to be fetched again, nor what a check has found wrong."""
    listed(catalog, *"abcd")
    moved(catalog, 1, 2, 3, 4)
    proven(catalog, 1, 2, 3)
    assert catalog.count_proven(()) == 3
    catalog.settle([Checked(2, "NAS-LOST: x", None, asked=False)])
    assert (catalog.count_proven(()), catalog.count_proven(("c",)), catalog.count_proven(("other",))) == (2, 2, 0)
    catalog.redo_mismatched()
    assert catalog.count_proven(()) == 2


@pytest.mark.parametrize("statement", ["DELETE FROM evidence", "UPDATE evidence SET value = 'x'"])
def test_evidence_stays(statement: str, catalog: Catalog, folder: Path) -> None:
    """SQLite itself refuses to change evidence or to take it away, whoever asks."""
    listed(catalog, "a")
    moved(catalog, 1)
    proven(catalog, 1)
    with pytest.raises(sqlite3.IntegrityError, match="evidence is never"):
        sql(folder, statement)
    assert sql(folder, "SELECT value FROM evidence") == [CRC]
