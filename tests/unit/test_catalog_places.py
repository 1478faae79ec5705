"""Who gets which path on the NAS, and who is refused: the clash rules of `catalog/places.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.model import Failed, Leg, Rotten
from sync_cloud_storage.names import Placement, RenameRule, decode, fold
from tests.unit.catalogs import FLAT, PLAIN, account, blob, downloaded, listed, made, moved, page, paths, sql, states
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.model import Upload


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """A catalog with the containers `c` and `d`."""
    with made(folder) as one:
        account(one, "c", "d")
        yield one
        assert one.check() == []


TWIN_A = "%~f9bc7cf1"  # of c/A: the first 8 digits of `printf c/A | sha256sum`
CASES = {
    "nothing in the way": (["a", "b/c"], ["c/a", "c/b/c"]),
    "file, then folder": (["a", "a/b"], ["c/a", "c/a%d/b"]),
    "folder, then file": (["a/b", "a"], ["c/a/b", "c/a%f"]),
    "two in the renamed folder": (["a", "a/b", "a/c"], ["c/a", "c/a%d/b", "c/a%d/c"]),
    "a file among files, deep down": (["a", "a/b", "a/b/c"], ["c/a", "c/a%d/b", "c/a%d/b%d/c"]),
    "deep down first": (["a/b/c", "a/b", "a"], ["c/a/b/c", "c/a/b%f", "c/a%f"]),
    "case": (["a", "A"], ["c/a", f"c/A{TWIN_A}"]),
    "case of a folder that both share": (["x/a", "X/b"], ["c/x/a", "c/X/b"]),
    "folder, then a file of other case": (["a/b", "A"], ["c/a/b", "c/A%f"]),
    "folder, a file, then its twin": (["a/b", "a", "A"], ["c/a/b", "c/a%f", f"c/A{TWIN_A}"]),
    "a file of other case, then folder": (["A", "a/b"], ["c/A", "c/a%d/b"]),
    "composed, decomposed": (["\u00e9", "e\u0301"], ["c/\u00e9", "c/e\u0301%~76242d7d"]),
    "sharp s": (["\u00df", "ss"], ["c/\u00df", "c/ss%~a584c472"]),
}


@pytest.mark.parametrize("names", CASES)
@pytest.mark.parametrize("at_once", [True, False], ids=["in one page", "in several"])
def test_clash_rules(catalog: Catalog, folder: Path, names: str, *, at_once: bool) -> None:
    """A file beside a folder, a folder beside a file, and names that are one where case is ignored."""
    blobs, expected = CASES[names]
    if at_once:
        listed(catalog, *blobs)
    else:
        for number, name in enumerate(blobs):
            catalog.settle_blobs_page(page([name], str(number or ""), str(number + 1)), is_live=False)
    assert [paths(folder)[f"c/{name}"] for name in blobs] == expected
    assert catalog.totals().pending == len(blobs)


def test_two_blobs_for_one_object_are_both_refused(catalog: Catalog, folder: Path) -> None:
    """Before a byte moved; the sentence names both and the key."""
    listed(catalog, "x", placement=FLAT)
    listed(catalog, "x", "y", container="d", placement=FLAT)
    sentences = [(one.code, one.sentence) for one in catalog.problems(9)]
    assert sentences == [("KEY-CLASH", sentences[0][1])] * 2
    assert sentences[0][1].startswith("'c/x' and 'd/x' would both become the object 'x'.")
    assert [task.blob for task in catalog.pending_downloads(0, 9)] == ["y"]
    assert catalog.retry_failed(None) == 0
    assert sql(folder, "SELECT s3_key FROM blobs") == ["x", "x", "y"]


def test_a_third_blob_for_one_object_is_refused_too(catalog: Catalog) -> None:
    """The place stays taken by those who were refused."""
    account(catalog, "c", "d", "e")
    for container in "cde":
        listed(catalog, "x", container=container, placement=FLAT)
    assert catalog.totals().failed == 3


def test_two_blobs_for_one_object_in_one_page(catalog: Catalog) -> None:
    """A rename rule that makes two names one."""
    listed(catalog, "a-1", "a-2", "b", placement=Placement(renames=(RenameRule("*", "-[12]$", ""),)))
    assert {one.blob for one in catalog.problems(9)} == {"a-1", "a-2"}
    assert [task.blob for task in catalog.pending_downloads(0, 9)] == ["b"]


def test_who_has_moved_is_not_refused(catalog: Catalog, folder: Path) -> None:
    """What is done is done: only the newcomer is refused."""
    listed(catalog, "x", placement=FLAT)
    moved(catalog, 1)
    listed(catalog, "x", container="d", placement=FLAT)
    assert sql(folder, "SELECT container, state FROM blobs ORDER BY id") == [("c", "uploaded"), ("d", "failed")]


def test_who_moves_while_it_is_refused_has_moved(catalog: Catalog, folder: Path) -> None:
    """Its bytes arrived, and its place is its own; it is not refused again."""
    listed(catalog, "x", placement=FLAT)
    listed(catalog, "x", container="d", placement=FLAT)
    catalog.settle([downloaded(1)])
    for _ in range(2):
        listed(catalog, "x", placement=FLAT)
        listed(catalog, "x", container="d", placement=FLAT)
    assert sql(folder, "SELECT container, state FROM blobs ORDER BY id") == [("c", "downloaded"), ("d", "failed")]


def test_who_moved_while_it_was_refused_can_fail_as_others_do(catalog: Catalog, folder: Path) -> None:
    """Else it would stay pending whatever happens, and be handed out for ever."""
    listed(catalog, "x", placement=FLAT)
    listed(catalog, "x", container="d", placement=FLAT)
    catalog.settle([downloaded(1)])
    catalog.settle([Rotten(1, "NAS-ROT", "y", "v1")])
    catalog.settle([Failed(1, Leg.AZURE, "v1", "AZ-X", "y")])
    assert sql(folder, "SELECT state FROM blobs") == ["failed", "failed"]
    assert catalog.retry_failed(None) == 1


def test_refused_blobs_stay_refused_while_nothing_changes(catalog: Catalog) -> None:
    """A listing alone does not make one of them the first, neither does another version."""
    for etag in ("v1", "v1", "v2"):
        listed(catalog, blob("x", etag), placement=FLAT)
        listed(catalog, blob("x", etag), container="d", placement=FLAT)
    assert catalog.totals().failed == 2
    assert catalog.pending_downloads(0, 9) == []


def test_a_rule_frees_both(catalog: Catalog, folder: Path) -> None:
    """One gets another key; then, listed again, both are pending."""
    rule = Placement(key_template="{blob}", renames=(RenameRule("d", "^", "from-d-"),))
    listed(catalog, "x", placement=FLAT)
    listed(catalog, "x", container="d", placement=FLAT)
    for _ in range(2):
        listed(catalog, "x", placement=rule)
        listed(catalog, "x", container="d", placement=rule)
    assert paths(folder) == {"c/x": "x", "d/x": "from-d-x"}
    assert catalog.totals().pending == 2


def test_another_template_frees_both(catalog: Catalog, folder: Path) -> None:
    """Each gets the key that the template gives it now."""
    for placement in (FLAT, PLAIN):
        listed(catalog, "x", placement=placement)
        listed(catalog, "x", container="d", placement=placement)
    assert paths(folder) == {"c/x": "c/x", "d/x": "d/x"}
    assert [task.s3_key for task in _uploads(catalog)] == ["c/x", "d/x"]


def test_a_place_that_was_left_is_not_given_away(catalog: Catalog, folder: Path) -> None:
    """Else a later blob with the same key might be led elsewhere, and not meet the one that has it."""
    listed(catalog, "x", placement=FLAT)
    listed(catalog, "x", container="d", placement=FLAT)
    listed(catalog, "x", placement=PLAIN)
    listed(catalog, "X", placement=FLAT)
    assert paths(folder)["c/X"] == "X%~4b68ab38"


def test_a_page_of_refused_blobs_is_decided_as_a_whole(catalog: Catalog, folder: Path) -> None:
    """Two of one container that stay as they were are both refused again; freed, both move."""
    same = Placement(renames=(RenameRule("*", "-[12]$", ""),))
    for _ in range(3):
        listed(catalog, "a-1", "a-2", placement=same)
        assert states(folder) == {"a-1": "failed", "a-2": "failed"}
    listed(catalog, "a-1", "a-2")
    assert paths(folder) == {"c/a-1": "c/a-1", "c/a-2": "c/a-2"}


def _uploads(catalog: Catalog) -> Sequence[Upload]:
    catalog.settle([downloaded(task.id) for task in catalog.pending_downloads(0, 99)])
    return catalog.pending_uploads(0, 99, 1 << 40)


NAMES = st.lists(
    st.sampled_from(["a", "A", "b", "\u00e9", "E\u0301", "\u00df", "SS", "x.", "con"]), min_size=1, max_size=3
).map("/".join)
RULES = st.sampled_from([PLAIN, FLAT, Placement(key_template="{blob}", renames=(RenameRule("d", "b", "a"),))])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("cd"), st.lists(NAMES, max_size=6, unique=True), RULES), max_size=8))
def test_one_place_and_one_key_for_each(pages: list[tuple[str, list[str], Placement]]) -> None:
    """Whatever comes in whatever order, under whatever settings.

    No two rows that move have the same path, case and normal form aside, or the same key; no file has the path of
    another's folder; the plain name can be read out of each path. At last the default template frees all.
    """
    with in_memory() as folder, made(folder) as catalog:
        account(catalog, "c", "d")
        for container, names, placement in pages:
            listed(catalog, *names, container=container, placement=placement)
            catalog.settle([downloaded(task.id) for task in catalog.pending_downloads(0, 1)])
        rows = sql(folder, "SELECT s3_key, nas_path FROM blobs WHERE state <> 'failed'")
        assert len({key for key, _ in rows}) == len(rows)
        folds = {fold(path) for _, path in rows}
        assert len(folds) == len(rows)
        parents = {fold.rpartition("/")[0] for fold in folds}
        assert not parents & folds
        assert [decode(path) for _, path in rows] == [key for key, _ in rows]
        for key, count, failed in sql(
            folder, "SELECT s3_key, count(*), sum(state = 'failed') FROM blobs GROUP BY s3_key"
        ):
            assert failed >= count - 1, key
        assert catalog.retry_failed(Leg.AZURE) == 0
        for container in "cdcd":
            known = sql(folder, "SELECT blob FROM sync WHERE container = ?", container)
            listed(catalog, *known, container=container, placement=PLAIN)
        assert catalog.totals().failed == 0
        assert catalog.check() == []
