"""The table `objects`: the bucket as a listing, an inventory or a report of S3's showed it. Made anew by each check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.model import ListObjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import ObjectsPage

SPANS = 32  # of keys, listed side by side

_TELL_PLAIN = "UPDATE objects SET checksum = ? WHERE key = ? AND etag = ?"
_TELL = """
UPDATE objects SET checksum = ?5 WHERE key IN (?1, ?2, ?3) AND etag = ?4
    AND (SELECT count(*) FROM objects WHERE key IN (?1, ?2, ?3) AND etag = ?4) = 1
"""

# No container's name has a slash, so the key of a usual place says which row it is of; of other places there are few.
_STRANGERS = """
SELECT key FROM objects WHERE key NOT IN (SELECT s3_key FROM sync WHERE s3_key IS NOT NULL) AND NOT EXISTS (
    SELECT 1 FROM sync WHERE s3_key IS NULL
        AND container = substr(key, 1, instr(key, '/') - 1) AND blob = substr(key, instr(key, '/') + 1)
) ORDER BY key
"""

# The manifest of a job has versions for all of its objects or for none. No WITH: SQLite would keep all rows aside.
_UNPROVEN = """
SELECT coalesce(s3_key, container || '/' || blob), CASE WHEN (
    SELECT count(*) = count(s3_version_id) FROM sync WHERE s3_status = 1 AND (proven IS NOT 1 OR s3_check IS NOT NULL)
) THEN s3_version_id ELSE '' END
FROM sync WHERE s3_status = 1 AND (proven IS NOT 1 OR s3_check IS NOT NULL) ORDER BY id
"""

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


def tell(database: Database, told: Iterable[tuple[str, str, str, str, str]]) -> int:
    """Write (three forms of a key, ETag, checksum) as reports tell them, of objects that are still the same.

    Returns:
        How many are. A line that may mean two objects, both with this ETag, is about neither.
    """
    plain, odd = [], []
    for one, other, written, etag, checksum in told:
        if one == other == written:  # nearly all: a third of the work
            plain.append((checksum, one, etag))
        else:
            odd.append((one, other, written, etag, checksum))
    return database.many(_TELL_PLAIN, plain) + database.many(_TELL, odd)


def count(database: Database) -> int:
    """How many objects the bucket was seen to hold."""
    found = database.row("SELECT count(*) FROM objects")
    return int(found[0]) if found else 0


def strangers(database: Database, shown: int) -> tuple[int, list[str]]:
    """Objects whose key is no blob's: how many, and the first few by name."""
    names: list[str] = []
    number = 0
    for number, (key,) in enumerate(database.each(_STRANGERS), 1):
        if number <= shown:
            names.append(key)
    return number, names


def unproven(database: Database) -> Iterator[tuple[str, str]]:
    """(key, version) of what is in S3 and not proven at level 4, by id; versions only where all of them have one."""
    return ((key, version) for key, version in database.each(_UNPROVEN))


def has_proven(database: Database) -> bool:
    """Whether any object was ever proven, so that a listing of the bucket may spare questions."""
    return database.row("SELECT 1 FROM evidence WHERE place = 's3' LIMIT 1") is not None
