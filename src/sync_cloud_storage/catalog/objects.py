"""The table `objects`: the bucket as a listing, an inventory or a report of S3's showed it. Made anew by each check."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

from sync_cloud_storage.model import ListObjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    AND length(objects.etag) = 32 AND objects.checksum IS NULL AND uploaded_at_utc <= ?
ORDER BY id LIMIT ?
"""
_PROVEN_BY_ETAG = "UPDATE sync SET checked_at_utc = ?, proven = 1, proven_etag = ? WHERE id = ?"
_SAID_BY_ETAG = """
INSERT INTO evidence (sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how)
SELECT id, etag, 's3', 'MD5', ?, size_bytes, ?, ?, 'its ETag in ' || ? || ' of the bucket is the MD5 of its bytes'
FROM sync WHERE id = ?
"""

# The bucket shows the very object that was proven before, and no report has told anything about it since.
SEEN = """
coalesce(s3_status = 1 AND proven = 1 AND objects.etag = proven_etag AND s3_check IS NULL
    AND objects.checksum IS NULL, 0)
"""
# What a check asks no more about than whether the file is there; `work.everything` has the other rows.
_FILES = f"""
SELECT id, container, coalesce(nas_path, sync.s3_key, container || '/' || blob), sync.size_bytes
FROM sync LEFT JOIN objects
    ON key = coalesce(s3_key, container || '/' || blob) AND objects.size_bytes = sync.size_bytes AND s3_status = 1
WHERE id > ? AND azure_status = 1 AND nas_check IS NULL AND (s3_status <> 1 OR {SEEN}) ORDER BY id LIMIT ?
"""  # noqa: S608 - of the constants here, as the next
_COUNT_PROVEN = """
SELECT count(*) FROM sync WHERE azure_status = 1 AND s3_status = 1 AND skip_reason IS NULL AND proven = 1
    AND nas_check IS NULL AND s3_check IS NULL AND (?2 OR container IN (SELECT value FROM json_each(?1)))
"""
_TELL_PLAIN = "UPDATE objects SET checksum = ? WHERE key = ? AND etag = ?"
_TELL = """
UPDATE objects SET checksum = ?5 WHERE key IN (?1, ?2, ?3) AND etag = ?4
    AND (SELECT count(*) FROM objects WHERE key IN (?1, ?2, ?3) AND etag = ?4) = 1
"""

# No container's name has a slash, so the key of a usual place says which row it is of; of other places there are few.
_STRANGERS = """
SELECT key FROM objects WHERE NOT EXISTS (SELECT 1 FROM sync WHERE s3_key = key) AND NOT EXISTS (
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


def add(database: Database, objects: Sequence[tuple[str, int, str]]) -> None:
    """Write (key, size in bytes, ETag)."""
    database.insert("INSERT OR REPLACE INTO objects (key, size_bytes, etag) VALUES (?, ?, ?)", objects)


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


def prove_by_etag(database: Database, after_id: int, shown_utc: str, what: str) -> int:
    """Prove rows behind *after_id* whose object is listed with the blob's MD5 for an ETag; the last id, 0 at the end.

    An ETag is no checksum until it is one: S3 gives the MD5 of the bytes to an object that came in one piece (encrypted
    with keys of its own, if at all; Source: Amazon S3 API, "Object", read 2026-11-25), and some other word to others.
    A word of 128 bits that is just our MD5 is that MD5. One that is not says nothing.

    *what* showed the bucket as it was at *shown_utc*: an object that was uploaded since is another one.
    """
    found = database.rows(_MAYBE_BY_ETAG, (after_id, shown_utc, ROWS_AT_ONCE))
    proven = [(row_id, etag, md5) for row_id, etag, md5 in found if b64decode(md5).hex() == etag]
    database.many(_PROVEN_BY_ETAG, [(shown_utc, etag, row_id) for row_id, etag, _ in proven])
    database.many(_SAID_BY_ETAG, [(md5, etag, shown_utc, what, row_id) for row_id, etag, md5 in proven])
    return found[-1][0] if found else 0


def files(database: Database, after_id: int, limit: int) -> list[tuple[int, str, str, int]]:
    """Rows of which no object is to be asked for: (id, container, NAS path, size in bytes)."""
    return database.rows(_FILES, (after_id, limit))


def count_proven(database: Database, containers: Sequence[str]) -> int:
    """Rows that are proven and right in every place; of *containers* only, where any is named."""
    found = database.row(_COUNT_PROVEN, (json.dumps(list(containers)), not containers))
    return found[0] if found else 0
