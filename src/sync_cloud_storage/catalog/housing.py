"""Rows that get their place: new ones are added, known ones are given another. `places.py` decides, this writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.catalog.counting import add, counted
from sync_cloud_storage.catalog.places import Wish, rule, take_free
from sync_cloud_storage.model import BlobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.catalog.places import Ruling
    from sync_cloud_storage.model import Listed

    Guest = tuple[int, Listed]  # id of the row, what it is and where it would like to go

CLASHES, HAS_NO_NAME = 1, 2  # sync.refused

# Nearly all rows are usual ones: a block blob on its way to container/blob. A third less work than the long statement,
# since SQLite knows beforehand which indexes they are in.
_INSERT_USUAL = """
INSERT INTO sync (id, container, blob, created_at, size_bytes, etag, last_modified, content_md5, headers, metadata,
    tier)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT = """
INSERT INTO sync (id, container, blob, created_at, size_bytes, etag, last_modified, content_md5, headers, metadata,
    tier, kind, azure_status, azure_error, s3_key, nas_path, skip_reason, refused)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_REHOUSE = """
UPDATE sync SET azure_status = ?, azure_error = ?, s3_key = ?, nas_path = ?, skip_reason = ?, refused = ?,
    updated_at = ?
WHERE id = ?
"""

_REFUSE = """
UPDATE sync SET azure_status = 2, azure_error = ?, refused = 1, updated_at = ?,
    s3_key = coalesce(s3_key, container || '/' || blob)
WHERE id = ?
"""


class Home(NamedTuple):
    """Where a row goes, or why not, as its columns say it."""

    azure_status: int
    azure_error: str | None
    s3_key: str | None
    nas_path: str | None
    skip_reason: str | None
    refused: int | None


def house(database: Database, container: str, new: Sequence[Guest], known: Sequence[Guest], at: str) -> tuple[int, int]:
    """Add the *new* rows, and give the *known* ones another place; how many were added, and their bytes."""
    # Known rows may hold a place, or stand in the way of new ones: then all is decided one by one, they first.
    left = {row_id for row_id, _ in [*known, *new]} if known else take_free(database, _folds(container, new))
    rulings, refused = rule(database, _wishes(container, [*known, *new]), left) if left else ({}, {})
    added = _add(database, container, new, rulings, at)
    if known:
        with counted(database, [row_id for row_id, _ in known]):
            database.many(
                _REHOUSE, [(*_home(container, row, rulings.get(row_id)), at, row_id) for row_id, row in known]
            )
    if refused:  # rows of earlier times that have not moved yet, and meet a new one
        with counted(database, list(refused)):
            database.many(_REFUSE, [(error, at, row_id) for row_id, error in refused.items()])
    return added


def _folds(container: str, new: Sequence[Guest]) -> list[tuple[str, int]]:
    """The places that these rows would like, for comparing, and whose they would be."""
    lower = container.lower()
    return [
        (f"{lower}/{row[0].lower()}" if row[9] is None else row[9][2], row_id)
        for row_id, row in new
        if row[9] is None or row[9][2]
    ]


def _wishes(container: str, guests: Sequence[Guest]) -> list[Wish]:
    return [
        Wish(row_id, container, row[0], *_place(container, row)[:2])
        for row_id, row in guests
        if not (row[9] and (row[9][3] or row[9][4]))
    ]


def _place(container: str, row: Listed) -> tuple[str, str, str, str, str]:
    """Where it would like to go."""
    default = f"{container}/{row[0]}"
    return row[9] or (default, default, default.lower(), "", "")


def _add(
    database: Database, container: str, new: Sequence[Guest], rulings: dict[int, Ruling], at: str
) -> tuple[int, int]:
    usual: list[tuple[Any, ...]] = []
    special: list[tuple[Any, ...]] = []
    sizes: dict[str, list[int]] = {"pending": [], "failed": [], "skipped": []}
    pending = sizes["pending"].append
    for row_id, row in new:
        name, size, etag, last_modified, md5, headers, metadata, kind, tier, place = row
        columns = (
            row_id, container, name, at, size, etag, last_modified, md5 or None, headers or None, metadata or None,
            tier or None,
        )  # fmt: skip
        if place is None and kind == "BlockBlob" and row_id not in rulings:
            usual.append(columns)
            pending(size)
            continue
        home = _home(container, row, rulings.get(row_id))
        special.append((*columns, None if kind == "BlockBlob" else kind, *home))
        state = "skipped" if home.skip_reason else "failed" if home.azure_status else "pending"
        sizes[state].append(size)
    database.insert(_INSERT_USUAL, usual)
    database.insert(_INSERT, special)
    add(database, {state: (len(some), sum(some)) for state, some in sizes.items()})
    return len(new), sum(map(sum, sizes.values()))


def _home(container: str, row: Listed, ruling: Ruling | None) -> Home:
    """Its columns; NULL where the text is `container/blob`, or that of the column before."""
    default = f"{container}/{row[0]}"
    key, path, _, skip_reason, error = _place(container, row)
    if skip_reason:
        return Home(BlobStatus.PENDING, None, None, None, skip_reason, None)
    if error:
        return Home(BlobStatus.FAILED, error, None, None, None, HAS_NO_NAME)
    if ruling is not None:
        path = ruling.nas_path
        if ruling.error:  # with its key, which is what others are compared with
            return Home(BlobStatus.FAILED, ruling.error, key, None if path == key else path, None, CLASHES)
    return Home(BlobStatus.PENDING, None, None if key == default else key, None if path == key else path, None, None)
