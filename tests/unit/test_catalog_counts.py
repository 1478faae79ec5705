"""The running sums, whatever a group of results is made of: the usual group is counted in a shorter way than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_cloud_storage.model import Checked, Failed, Gone, Leg, Rotten, UploadOpened
from sync_cloud_storage.names import Placement
from tests.unit.catalogs import AT, CRC, blob, downloaded, listed, made, moved, sql, uploaded
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.catalog.results import RowResult

OTHER_CRC = "AAAAAAAAAAE="
ROWS = 6
CLOCKED = {"updated_at", "checked_at_utc"}  # each settling reads the clock


def _lost(catalog: Catalog, row: int) -> None:
    """A file that was uploaded has to be fetched again: pending, and yet in S3."""
    moved(catalog, row)
    catalog.settle([Checked(row, "NAS-SIZE: y", "")])
    catalog.redo_mismatched()


# What may have become of a row before the group comes, by the verbs of the catalog.
PASTS: dict[str, Callable[[Catalog, int], object]] = {
    "pending": lambda _catalog, _row: None,
    "downloaded": lambda catalog, row: catalog.settle([downloaded(row)]),
    "uploaded": moved,
    "failed": lambda catalog, row: catalog.settle([Failed(row, Leg.AZURE, "v1", "AZ-X", "y")]),
    "not uploaded": lambda catalog, row: catalog.settle([downloaded(row), Failed(row, Leg.S3, "v1", "S3-X", "y")]),
    "rotten": lambda catalog, row: catalog.settle([downloaded(row), Rotten(row, "NAS-ROT", "y", "v1")]),
    "gone": lambda catalog, row: catalog.settle([Gone(row, AT)]),
    "gone, on the NAS": lambda catalog, row: catalog.settle([downloaded(row), Gone(row, AT)]),
    "uploaded, and lost on the NAS": _lost,
}
RESULTS: dict[str, Callable[[int], RowResult]] = {
    "downloaded": downloaded,
    "downloaded, other bytes": lambda row: downloaded(row, crc=OTHER_CRC),
    "downloaded, late": lambda row: downloaded(row, "v0"),
    "uploaded": uploaded,
    "uploaded, other bytes": lambda row: uploaded(row, checksum=OTHER_CRC),
    "uploaded, no checksum": lambda row: uploaded(row, checksum=""),
    "uploaded, late": lambda row: uploaded(row, "v0"),
    "opened": lambda row: UploadOpened(row, "u", "v1"),
    "checked": lambda row: Checked(row, "", "S3-SIZE: y"),
    "failed": lambda row: Failed(row, Leg.AZURE, "v1", "AZ-X", "y"),
    "not uploaded": lambda row: Failed(row, Leg.S3, "v1", "S3-X", "y"),
    "rotten": lambda row: Rotten(row, "NAS-ROT", "y", "v1"),
    "gone": lambda row: Gone(row, AT),
}
# A group as a run has it, all of one kind; and any group, with rows that come twice, and one that nobody knows.
ALIKE = st.tuples(
    st.lists(st.sampled_from(sorted(PASTS)), min_size=ROWS, max_size=ROWS),
    st.sampled_from(sorted(RESULTS)).flatmap(lambda kind: st.permutations([(row, kind) for row in range(1, ROWS + 1)])),
)
MIXED = st.tuples(
    st.lists(st.sampled_from(sorted(PASTS)), min_size=ROWS, max_size=ROWS),
    st.lists(st.tuples(st.integers(1, ROWS + 1), st.sampled_from(sorted(RESULTS))), max_size=9),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where catalogs are made, one after the other."""
    with in_memory() as path:
        yield path


def after(folder: Path, pasts: list[str], groups: list[list[RowResult]]) -> tuple[int, list[object]]:
    """How many rows *groups* change, and what is in the catalog then; its sums are right after each of them."""
    (folder / "storage.sqlite").unlink(missing_ok=True)
    with made(folder) as catalog:
        blobs = [blob(f"{row}.xml" if row == ROWS else f"{row}", size=10**row) for row in range(1, ROWS + 1)]
        listed(catalog, *blobs, placement=Placement(skip_extensions=("xml",)))
        for row, past in enumerate(pasts, 1):
            PASTS[past](catalog, row)
        changed = 0
        for group in groups:
            changed += catalog.settle(group)
            assert catalog.totals() == catalog.recount()
        assert catalog.check() == []
        names = set(sql(folder, "SELECT name FROM pragma_table_info('sync')")) - CLOCKED
        return changed, sql(folder, f"SELECT {', '.join(sorted(names))} FROM sync")  # noqa: S608 - columns


@settings(max_examples=150, deadline=None)
@given(case=st.one_of(ALIKE, MIXED))
@example(case=(["downloaded"], [(1, "uploaded, other bytes"), (1, "uploaded")]))  # the first one was not counted
def test_group_is_what_its_results_are_one_by_one(folder: Path, case: tuple[list[str], list[tuple[int, str]]]) -> None:
    """A group changes the rows, and counts them, as its results would one after the other, whatever the rows were."""
    pasts, given_back = case
    group = [RESULTS[kind](row) for row, kind in given_back]
    assert after(folder, pasts, [group]) == after(folder, pasts, [[one] for one in group])


def test_usual_group_moves_the_sums_by_its_sizes(folder: Path) -> None:
    """All of a group go the usual way: the bytes that move from sum to sum are the rows', not those of the results."""
    (folder / "storage.sqlite").unlink(missing_ok=True)
    with made(folder) as catalog:
        listed(catalog, *(blob(str(row), size=10**row) for row in range(1, 4)))
        catalog.settle([downloaded(1), downloaded(3)])
        totals = catalog.totals()
        assert (totals.pending, totals.pending_bytes) == (1, 100)
        assert (totals.downloaded, totals.downloaded_bytes) == (2, 1010)
        catalog.settle([uploaded(3, checksum=CRC)])
        totals = catalog.totals()
        assert (totals.downloaded, totals.downloaded_bytes) == (1, 10)
        assert (totals.uploaded, totals.uploaded_bytes) == (1, 1000)


def test_what_was_listed_and_what_became_of_it_add_up(tmp_path: Path) -> None:
    """A row that nobody counted, or that was counted and is not there, is said, with its container."""
    with made(tmp_path) as catalog:
        listed(catalog, *"abc")
        moved(catalog, 1)
        assert catalog.book.unaccounted() == ""
        sql(tmp_path, "UPDATE containers SET blobs = blobs + 1")
        said = "Container 'c' was listed with 4 blobs (30 bytes), its rows are 3 blobs (30 bytes)."
        assert catalog.book.unaccounted() == f"COUNTS-DIFFER: {said}"
        sql(tmp_path, "UPDATE containers SET blobs = blobs - 1")
        sql(tmp_path, "UPDATE counts SET blobs = blobs + 2 WHERE class = 'pending'")
        assert catalog.book.unaccounted() == "COUNTS-DIFFER: 3 blobs were listed, and 5 are accounted for."
