"""The table `objects`: the bucket as a listing, an inventory or a report of S3's showed it. Made anew by each check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.model import ListObjects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import ObjectsPage

SPANS = 32  # of keys, listed side by side

_KEY_FROM = "SELECT coalesce(s3_key, container || '/' || blob) FROM sync WHERE id >= ? ORDER BY id LIMIT 1"


def begin(database: Database) -> list[ListObjects]:
    """Forget what the bucket was seen to hold; how to list it: spans of keys of about the same number of rows."""
    database.run("DELETE FROM objects")
    first, last = database.row("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM sync") or (0, 0)
    marks = {first + (last - first) * number // SPANS for number in range(1, SPANS)} if last - first > SPANS else set()
    keys = sorted({key for mark in marks for (key,) in database.rows(_KEY_FROM, (mark,))})
    return [ListObjects(after, upto) for after, upto in zip(["", *keys], [*keys, ""], strict=True)]


def settle(database: Database, page: ObjectsPage) -> None:
    """Write some objects. One that changed while the bucket was listed counts as it was seen last."""
    add(database, page.listed())


def add(database: Database, objects: Iterable[tuple[str, int, str]]) -> None:
    """Write (key, size in bytes, ETag)."""
    database.many("INSERT OR REPLACE INTO objects (key, size_bytes, etag) VALUES (?, ?, ?)", objects)


def tell(database: Database, told: Iterable[tuple[str, str, str]]) -> int:
    """Write (key, ETag, checksum) as reports tell them, of objects that are still the same; how many are."""
    return database.many("UPDATE objects SET checksum = ?3 WHERE key = ?1 AND etag = ?2", told)


def has_proven(database: Database) -> bool:
    """Whether any object was ever proven, so that a listing of the bucket may spare questions."""
    return database.row("SELECT 1 FROM evidence WHERE place = 's3' LIMIT 1") is not None
