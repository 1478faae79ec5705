"""tally.py: what a run did, counted."""

from __future__ import annotations

from sync_cloud_storage.model import Checked, Downloaded, FilesSeen, PageOutcome, Problem, Rotten, Seen
from sync_cloud_storage.tally import TROUBLES_KEPT, Tally
from tests.unit.catalogs import AT, blob


def test_results_of_each_kind() -> None:
    """Blobs and bytes that moved are counted apart, and what was fetched for a new version is no failure."""
    tally = Tally()
    tally.count(Downloaded, [Downloaded(1, "e", "crc", "", 5, AT), Downloaded(2, "e", "crc", "", 0, AT)])
    tally.count(Rotten, [Rotten(3, "NAS-ROT", "It differs.")])
    tally.count(Seen, [Seen(4, blob("b"))])
    assert (tally.downloaded, tally.downloaded_bytes, tally.rotten, tally.failed) == (2, 5, 1, 0)
    tally.bytes_in += 7
    assert tally.counts()[:4] == (0, 2, 7, 0)


def test_checks_and_files() -> None:
    """A wrong file is counted once, although it comes twice; both places of a row may differ; troubles are failures."""
    tally = Tally()
    wrong = Checked(1, "NAS-LOST: It is not there.", None)
    tally.count(FilesSeen, [FilesSeen(10, (wrong,))])
    tally.count(Checked, [wrong, Checked(2, "NAS-ROT: x", "S3-LOST: x")])
    assert (tally.checked, tally.mismatches, tally.failed) == (11, 3, 0)
    tally.count(Checked, [Checked(3, None, None, trouble="HTTP-500: x")] * (TROUBLES_KEPT + 5))
    assert (tally.failed, len(tally.troubles)) == (TROUBLES_KEPT + 5, TROUBLES_KEPT)


def test_pages() -> None:
    """All rows of a page are counted as listed, and only the first few news are kept."""
    tally = Tally()
    news = tuple(Problem("c", f"b{number}", "list", "NEW", "x") for number in range(TROUBLES_KEPT - 1))
    for _ in range(2):
        tally.count_page(100, PageOutcome(3, 2, 95, (), news))
    assert (tally.listed, tally.added, tally.changed) == (200, 6, 4)
    assert tally.news == [*news, news[0]]
