"""`docs/catalog.md` and the catalog say the same."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalogs import listed, made, moved, sql
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text()
QUERIES = [
    query.strip()
    for block in re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    for query in re.sub(r"^\..*$|--.*$", "", block, flags=re.MULTILINE).split(";")
    if query.strip()
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a catalog lies that has moved something."""
    with in_memory() as path:
        with made(path) as catalog:
            listed(catalog, "a", "b")
            moved(catalog, 1)
        yield path


@pytest.mark.parametrize("query", QUERIES)
def test_a_ready_made_query_runs(folder: Path, query: str) -> None:
    """Each one in the document, as it stands there."""
    try:
        sql(folder, query)
    except sqlite3.Error as error:
        pytest.fail(f"{query}: {error}")


def test_every_table_and_view_is_explained(folder: Path) -> None:
    """And every column of the two that people know since 2019."""
    names = sql(folder, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'")
    names += sql(folder, "SELECT name FROM pragma_table_info('sync')")
    names += sql(folder, "SELECT name FROM pragma_table_info('containers')")
    assert len(names) > 40
    assert [name for name in names if f"`{name}`" not in DOCUMENT] == []
