"""What a check promises about the bucket: it is listed when that helps, reports are believed as far as they fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.bucket import STRANGERS_SHOWN, Bucket, Delivered
from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.model import Checked, Evidence, ListObjects, ObjectsPage
from tests.unit.catalogs import CRC, listed, made, moved, sql
from tests.unit.deliveries import computed, failed, inventory, lines, report, seen
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.catalog import Catalog

NOTHING = Delivered()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """A catalog with two objects in S3."""
    with made(folder) as opened:
        listed(opened, "a", "b c")
        moved(opened, 1, 2)
        yield opened


def on(_: str) -> bool:
    """Nobody wants it to stop."""
    return True


def bucket_of(catalog: Catalog, delivered: Delivered = NOTHING) -> Bucket:
    """The bucket as a check has it."""
    return Bucket(catalog, delivered, on)


def follow(catalog: Catalog, bucket: Bucket, *objects: tuple[str, int, str], gave_up: bool = False) -> None:
    """List the bucket as a run does; it has these."""
    feed = bucket.look()
    assert feed is not None
    for span in feed.take(9):
        page = ObjectsPage.of(objects, gave_up=gave_up)
        catalog.settle_objects(page)
        feed.page(page)
        feed.back(span)


def judged(catalog: Catalog) -> dict[str, tuple[bool, str]]:
    """By key: whether the object was seen, and what was told of it."""
    return {check.s3_key: (bool(check.seen), check.told) for check in catalog.everything(0, 9, deep=True)}


def proven(catalog: Catalog) -> None:
    """Prove the first object."""
    said = Evidence("s3", "CRC64NVME", CRC, 10, "e1", "S3 was asked for it")
    catalog.settle([Checked(1, "", "", proven=True, s3_etag="e1", evidence=(said,))])


def test_a_check_lists_the_bucket(catalog: Catalog) -> None:
    """What was proven is seen again, and what is no blob's is named, the first few at least."""
    proven(catalog)
    bucket = bucket_of(catalog)
    follow(catalog, bucket, ("c/a", 10, "e1"), *((f"x{number}", 1, "e") for number in range(STRANGERS_SHOWN + 1)))
    bucket.hear()
    assert judged(catalog)["c/a"] == (True, "")
    assert bucket.strangers() == STRANGERS_SHOWN + 1
    assert bucket.notes() == ("4 objects of the bucket are no blob's: x0, x1, x2, ...",)


def test_a_bucket_that_cannot_be_listed(catalog: Catalog) -> None:
    """That is said; strangers are not counted; what was shown still counts."""
    proven(catalog)
    bucket = bucket_of(catalog)
    follow(catalog, bucket, ("x", 1, "e"), gave_up=True)
    bucket.hear()
    assert bucket.strangers() is None
    assert [note for note in bucket.notes() if "could not be listed" in note] == list(bucket.notes())
    assert len(bucket.notes()) == 1


def test_an_inventory_takes_the_place_of_the_listing(catalog: Catalog, tmp_path: Path) -> None:
    """What it shows is seen, what it does not show is not; the bucket is not asked, and people read of when it is."""
    proven(catalog)
    manifest = inventory(tmp_path, "bucket", [seen("c/a", 10, "e1")], [seen("theirs", 1, "e")])
    bucket = bucket_of(catalog, Delivered.opened(manifest, (), "bucket"))
    assert bucket.look() is None
    bucket.hear()
    assert judged(catalog) == {"c/a": (True, ""), "c/b c": (False, "")}
    assert bucket.strangers() == 1
    assert bucket.notes() == (
        "The bucket was not listed: the inventory of 2026-11-25T00:00:00Z shows 2 objects.",
        "1 object of the bucket is no blob's: theirs",
    )


def test_with_reports_the_bucket_is_listed(catalog: Catalog, tmp_path: Path) -> None:
    """Also where nothing was proven yet; then checksums of objects that are listed so count, and the rest is said."""
    rows = [
        computed("c/a", "e1", CRC),
        computed("c/b c", "old", CRC),
        computed("c/x", "e", CRC, "other"),
        computed("c/y", "e", CRC, "other"),
        failed("c/z"),
    ]
    odd = tmp_path / "odd.csv"
    delivered = Delivered.opened(None, [report(tmp_path / "in", *rows), odd], "bucket")
    bucket = bucket_of(catalog, delivered)
    follow(catalog, bucket, ("c/a", 10, "e1"), ("c/b c", 10, "e2"))
    bucket.hear()
    assert judged(catalog) == {"c/a": (False, CRC), "c/b c": (False, "")}
    (note,) = bucket.notes()
    told, over = note.split("; ")
    assert told == "Reports of S3 told the checksums of 1 object"
    assert over.removeprefix("not counted: ").split(", ") == [
        "2 lines of another bucket",
        "1 line of a task that failed",
        "1 line about objects that are not listed so",
        f"'{odd}'",
        "which cannot be read.",
    ]


def test_reports_that_fit_need_no_more_words(catalog: Catalog, tmp_path: Path) -> None:
    """A key comes back as it was sent, encoded, and nothing is left to say."""
    delivered = Delivered.opened(None, [report(tmp_path, computed("c/b c", "e2", CRC))], "bucket")
    bucket = bucket_of(catalog, delivered)
    follow(catalog, bucket, ("c/b c", 10, "e2"))
    bucket.hear()
    assert judged(catalog)["c/b c"] == (False, CRC)
    assert bucket.notes() == ("Reports of S3 told the checksums of 1 object.",)


def test_files_are_looked_at_before_anything_begins(tmp_path: Path) -> None:
    """An inventory of another bucket and a report that is none are refused at once."""
    with pytest.raises(UsageFault, match="theirs"):
        Delivered.opened(inventory(tmp_path, "theirs"), (), "bucket")
    with pytest.raises(UsageFault, match="nowhere"):
        Delivered.opened(None, [Path("nowhere")], "bucket")
    assert Delivered.opened(None, (), "bucket") == NOTHING


def test_a_person_may_stop_it(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends after the piece that it is at, and nothing is said that would not be true."""
    monkeypatch.setattr("sync_cloud_storage.s3.inventory.ROWS_AT_ONCE", 1)
    monkeypatch.setattr("sync_cloud_storage.s3.batch.LINES_AT_ONCE", 1)
    manifest = inventory(tmp_path / "i", "bucket", [seen("c/a", 10, "e1"), seen("x", 1, "e")])
    (tmp_path / "r.csv").write_text(lines([computed("c/a", "e1", CRC), computed("c/b c", "e2", CRC)]))
    said: list[str] = []

    def stop(note: str) -> bool:
        said.append(note)
        return False

    bucket = Bucket(catalog, Delivered.opened(manifest, [tmp_path / "r.csv"], "bucket"), stop)
    assert bucket.look() is None
    bucket.hear()
    assert (catalog.objects_seen(), bucket.strangers(), bucket.notes()) == (1, None, ())
    assert said == [
        "Reading the inventory of 2026-11-25T00:00:00Z: 1 objects.",
        "Reading reports: 1 checksums.",
    ]


def test_nothing_of_an_earlier_check_is_left(catalog: Catalog, folder: Path) -> None:
    """Each check begins with an empty table."""
    catalog.settle_objects(ObjectsPage.of([("c/a", 10, "e1")], ListObjects()))
    bucket_of(catalog).look()
    assert sql(folder, "SELECT count(*) FROM objects") == [0]
