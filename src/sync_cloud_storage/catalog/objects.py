"""The table `objects`: the bucket as a listing, an inventory or a report of S3's showed it. Made anew by each check."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

from sync_cloud_storage.model import ListObjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import ObjectsPage

SPANS = 32  # of keys, listed side by side

ROWS_AT_ONCE = 5_000

_JOINED = """
FROM sync JOIN objects ON key = coalesce(s3_key, container || '/' || blob) AND objects.size_bytes = sync.size_bytes
"""
_MAYBE_BY_ETAG = f"""
SELECT id, objects.etag, md5 {_JOINED}
WHERE id > ? AND s3_status = 1 AND proven IS NOT 1 AND s3_check IS NULL AND md5 IS NOT NULL
    AND length(objects.etag) = 32
ORDER BY id LIMIT ?
"""
_PROVEN_BY_ETAG = "UPDATE sync SET checked_at_utc = ?, proven = 1, s3_etag = ? WHERE id = ?"
_SAID_BY_ETAG = """
INSERT INTO evidence (sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how)
SELECT id, etag, 's3', 'MD5', ?, size_bytes, ?, ?, 'its ETag in a listing of the bucket is the MD5 of its bytes'
FROM sync WHERE id = ?
"""

# What a check asks no more about than whether the file is there: see `work.everything`, which has the other rows.
_SEEN = "s3_status = 1 AND objects.etag IS s3_etag AND proven IS 1 AND s3_check IS NULL"
_FILES = f"""
SELECT id, container, coalesce(nas_path, sync.s3_key, container || '/' || blob), sync.size_bytes, s3_status = 1
FROM sync LEFT JOIN objects
    ON key = coalesce(s3_key, container || '/' || blob) AND objects.size_bytes = sync.size_bytes AND s3_status = 1
WHERE id > ? AND azure_status = 1 AND nas_check IS NULL AND (s3_status <> 1 OR ({_SEEN})) ORDER BY id LIMIT ?
"""  # noqa: S608 - of the constants here, as the next
_COUNT_SEEN = f"""
SELECT count(*) {_JOINED} WHERE {_SEEN} AND (container IN (SELECT value FROM json_each(?)) OR ?)
"""  # noqa: S608

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


def add(database: Database, objects: Sequence[tuple[str, int, str]]) -> None:
    """Write (key, size in bytes, ETag)."""
    database.insert("INSERT OR REPLACE INTO objects (key, size_bytes, etag) VALUES (?, ?, ?)", objects)


def tell(database: Database, told: Iterable[tuple[str, str, str]]) -> int:
    """Write (key, ETag, checksum) as reports tell them, of objects that are still the same; how many are."""
    return database.many("UPDATE objects SET checksum = ?3 WHERE key = ?1 AND etag = ?2", told)


def prove_by_etag(database: Database, after_id: int, at: str) -> int:
    """Prove rows behind *after_id* whose object is listed with the blob's MD5 for an ETag; the last id, 0 at the end.

    An ETag is no checksum until it is one: S3 gives the MD5 of the bytes to an object that came in one piece (encrypted
    with keys of its own, if at all; Source: Amazon S3 API, "Object", read 2026-11-25), and some other word to others.
    A word of 128 bits that is just our MD5 is that MD5. One that is not says nothing.
    """
    found = database.rows(_MAYBE_BY_ETAG, (after_id, ROWS_AT_ONCE))
    proven = [(row_id, etag, md5) for row_id, etag, md5 in found if b64decode(md5).hex() == etag]
    database.many(_PROVEN_BY_ETAG, [(at, etag, row_id) for row_id, etag, _ in proven])
    database.many(_SAID_BY_ETAG, [(md5, etag, at, row_id) for row_id, etag, md5 in proven])
    return found[-1][0] if found else 0


def files(database: Database, after_id: int, limit: int) -> list[tuple[int, str, str, int, bool]]:
    """Rows of which no object is to be asked for: (id, container, NAS path, size in bytes, is its object seen)."""
    return database.rows(_FILES, (after_id, limit))


def count_seen(database: Database, containers: Sequence[str]) -> int:
    """Rows whose object is listed as it was when it was proven; of *containers* only, where any is named."""
    found = database.row(_COUNT_SEEN, (json.dumps(list(containers)), not containers))
    return found[0] if found else 0
