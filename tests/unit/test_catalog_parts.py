"""What the catalog promises about a container that is listed in parts: nothing lost, nothing suspected wrongly."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.catalog.pages import after_all
from sync_cloud_storage.model import ContainerFailed, ListBlobs
from tests.unit.catalogs import Clock, account, blob, listed, made, page, sql, states
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sync_cloud_storage.model import Blob, BlobsPage

TOP = chr(sys.maxunicode)
TEXTS = st.text(st.sampled_from(["a", "b", "/", "0", "\ud7ff", "\ue000", TOP]), min_size=1, max_size=4)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """A catalog with the container `c`."""
    with made(folder) as one:
        yield one
        assert one.check() == []


def split(*parts: str, blobs: Sequence[Blob | str] = ()) -> BlobsPage:
    """The page that splits the container."""
    return page(blobs, parts=parts)


def suspects(catalog: Catalog) -> set[str]:
    """The blobs about which the source is to be asked."""
    return {look.blob for look in catalog.pending_looks(0, 999)}


# ------------------------------------------------------------------------------------------------------------- examples


def test_each_part_goes_on_by_itself(catalog: Catalog, folder: Path) -> None:
    """Parts are listed in any order, each from its own marker; the container is listed when all of them are."""
    catalog.settle_blobs_page(split("x/", "y/", blobs=["a"]), is_live=False)
    assert catalog.pending_containers(9) == [ListBlobs("c", "", "x/"), ListBlobs("c", "", "y/")]
    catalog.settle_blobs_page(page(["y/1"], "", "m", prefix="y/"), is_live=False)
    catalog.settle_blobs_page(page(["x/1"], prefix="x/"), is_live=False)
    assert catalog.pending_containers(9) == [ListBlobs("c", "m", "y/")]
    catalog.settle_blobs_page(page([], "m", prefix="y/"), is_live=False)
    assert catalog.pending_containers(9) == []
    assert sql(folder, "SELECT status FROM containers") == [200]
    assert states(folder).keys() == {"a", "x/1", "y/1"}


def test_a_part_says_nothing_about_names_outside(catalog: Catalog) -> None:
    """A row is suspected only where the listing of its own names has passed by, and none before all parts ended."""
    listed(catalog, "a", "x/1", "x/2", "y/1", "z")
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(split("x/", "y/", blobs=["a"]), is_live=False)
    catalog.settle_blobs_page(page(["x/1"], prefix="x/"), is_live=False)
    assert suspects(catalog) == set()
    outcome = catalog.settle_blobs_page(page(["y/1"], prefix="y/"), is_live=False)
    assert suspects(catalog) == {look.blob for look in outcome.suspects} == {"x/2", "z"}


def test_page_of_a_part_that_is_not_open_is_nothing(catalog: Catalog, folder: Path) -> None:
    """A part of a container that was deleted, or begun anew, while its page was on the way brings no rows back."""
    listed(catalog, "x/1")
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(split("x/", "y/"), is_live=False)
    gone = ContainerFailed("c", "AZ-404-CONTAINER", "Gone.", not_found=True)
    catalog.settle_container_failed(gone)
    outcome = catalog.settle_blobs_page(page(["x/1", "x/2"], prefix="x/"), is_live=False)
    assert (outcome.added, outcome.unchanged) == (0, 0)
    assert sql(folder, "SELECT gone_at_utc IS NOT NULL FROM sync") == [1]
    assert sql(folder, "SELECT status FROM containers") == [404]


def test_listing_again_forgets_the_parts(catalog: Catalog) -> None:
    """Whoever has all listed again has it listed from the start."""
    catalog.settle_blobs_page(split("x/", "y/"), is_live=False)
    catalog.reset_live(lambda _: True)
    assert catalog.pending_containers(9) == [ListBlobs("c")]


def test_trouble_of_a_part_stays_until_the_container_is_listed(catalog: Catalog) -> None:
    """A page of one part does not take away what was said about another."""
    catalog.settle_blobs_page(split("x/", "y/"), is_live=False)
    catalog.settle_container_failed(ContainerFailed("c", "AZ-403", "No.", not_found=False))
    catalog.settle_blobs_page(page([], prefix="x/"), is_live=False)
    assert catalog.totals().containers_failed == 1
    catalog.settle_blobs_page(page([], prefix="y/"), is_live=False)
    assert catalog.totals().containers_failed == 0


def test_containers_with_many_parts_are_found_whole(catalog: Catalog) -> None:
    """However few containers are asked for, each comes with all of its parts."""
    account(catalog, "c", "d")
    catalog.settle_blobs_page(split("x", "y", "z"), is_live=False)
    assert [task.prefix for task in catalog.pending_containers(1)] == ["x", "y", "z"]
    assert catalog.pending_containers(1, "c") == [ListBlobs("d")]


# ----------------------------------------------------------------------------------------------------------- properties


@given(TEXTS, TEXTS)
def test_after_all(prefix: str, name: str) -> None:
    """A name lies between a prefix and what follows it exactly when it begins with it."""
    end = after_all(prefix)
    assert name.startswith(prefix) == (prefix <= name and (end is None or name < end))


def free(prefixes: set[str]) -> tuple[str, ...]:
    """Those that begin with no other one."""
    return tuple(sorted(one for one in prefixes if not any(one != p and one.startswith(p) for p in prefixes)))


@settings(max_examples=150, deadline=None)
@given(
    known=st.sets(TEXTS, max_size=12),
    there=st.sets(TEXTS, max_size=12),
    parts=st.sets(TEXTS, min_size=1, max_size=5).map(free),
    data=st.data(),
)
def test_any_split(known: set[str], there: set[str], parts: tuple[str, ...], data: st.DataObject) -> None:
    """Any parts in any order, killed at any page: all that is there is a row, exactly what is missing is suspect."""
    with in_memory() as folder:
        catalog = made(folder)
        listed(catalog, *sorted(known))
        catalog.reset_live(lambda _: True)
        catalog.settle_blobs_page(
            split(*parts, blobs=sorted(n for n in there if not n.startswith(parts))), is_live=False
        )
        while tasks := catalog.pending_containers(1):
            assert {task.prefix for task in tasks} <= set(parts)
            task = data.draw(st.sampled_from(tasks))
            rest = [name for name in sorted(there) if name.startswith(task.prefix) and name > task.marker]
            count = data.draw(st.integers(0, 3))
            more = rest[count - 1] if 0 < count < len(rest) else ""
            some = rest[:count] if more else rest
            catalog.settle_blobs_page(page(some, task.marker, more, prefix=task.prefix), is_live=False)
            if data.draw(st.booleans()):
                catalog.close()
                catalog = Catalog.open(folder / "storage.sqlite", Clock())
        assert suspects(catalog) == known - there
        assert states(folder).keys() == known | there
        assert sql(folder, "SELECT status FROM containers") == [200]
        assert catalog.check() == []
        catalog.close()


def test_blob_of_a_part_that_is_new(catalog: Catalog) -> None:
    """A blob that appears in a part before its page is asked for is found, as in one listing."""
    catalog.settle_blobs_page(split("x/", "y/"), is_live=False)
    outcome = catalog.settle_blobs_page(page([blob("x/new")], prefix="x/"), is_live=False)
    assert outcome.added == 1
