"""Between the rows and the manifests on the NAS: what goes into one, and what a new catalog takes out of them.

A manifest says where the file of a blob is, and what it has to hold. The row of a blob that is still to be fetched
takes both over: a file with that checksum is then adopted, and where it is not right it is one that we wrote, and may
write over. Only rows that are still to be fetched are touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import state
from sync_cloud_storage.catalog.places import Wish, rule
from sync_cloud_storage.catalog.work import FILE
from sync_cloud_storage.model import Entry
from sync_cloud_storage.names import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync_cloud_storage.catalog.database import Database

_PATH = "coalesce(nas_path, s3_key, container || '/' || blob)"

_DOWNLOADED = f"""
SELECT id, container, blob, etag, size_bytes, crc64nvme, coalesce(md5, ''), coalesce(attested, 0), {_PATH},
    downloaded_at_utc
FROM sync WHERE id > ? AND azure_status = 1 ORDER BY id LIMIT ?
"""  # noqa: S608 - a constant

_WAITING = f"""
SELECT id, etag, size_bytes, {_PATH} FROM sync
WHERE container = ? AND blob = ? AND azure_status = 0 AND skip_reason IS NULL
"""  # noqa: S608 - a constant

_KNOWN = "UPDATE sync SET crc64nvme = ?, attested = ?, downloaded_at_utc = ? WHERE id = ?"
_OURS = f"UPDATE sync SET written = coalesce(written, 0) | {FILE} WHERE id = ?"  # noqa: S608 - a constant

# What was attested is known by a manifest only: that, too, is a thing that is known.
_TOLD = """
INSERT INTO evidence (sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how)
SELECT ?1, etag, 'azure', 'CRC64NVME', ?2, size_bytes, etag, ?3, 'a manifest on the NAS told that it was attested'
FROM sync WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM evidence WHERE sync_id = ?1 AND value = ?2 AND at_utc = ?3)
"""

_MOVING = f"""
SELECT id, container, blob, coalesce(s3_key, container || '/' || blob), {_PATH} FROM sync WHERE id = ?
"""  # noqa: S608 - a constant
_MOVE = "UPDATE sync SET nas_path = nullif(?, coalesce(s3_key, container || '/' || blob)) WHERE id = ?"

# With the NAS that its manifests are on: has this catalog written down there all that it downloaded?
_COMPLETE = "manifest_complete"
_PHASE = "rebuild"


def entries(database: Database, after_id: int, limit: int) -> tuple[list[Entry], int]:
    """Entries of files that are on the NAS with a greater id than *after_id*, by id; and the last id, 0 at the end."""
    rows = database.rows(_DOWNLOADED, (after_id, limit))
    found = [
        Entry(container, blob, etag, size, crc, md5, bool(attested), path, at)
        for _, container, blob, etag, size, crc, md5, attested, path, at in rows
    ]
    return found, rows[-1][0] if rows else 0


def is_complete(database: Database) -> bool:
    """Whether all that this catalog downloaded stands in a manifest."""
    return bool(state.get(database, _COMPLETE))


def set_complete(database: Database, *, complete: bool) -> None:
    """Write down whether it does."""
    state.put(database, _COMPLETE, "1" if complete else "")


def phase(database: Database) -> str:
    """How far a rebuild is: "" there is none, else a word of the caller's."""
    return state.get(database, _PHASE)


def set_phase(database: Database, word: str) -> None:
    """Write down how far it is."""
    state.put(database, _PHASE, word)


def is_untouched(database: Database) -> bool:
    """Whether nothing was copied with this catalog yet, so that there is nothing in it to lose."""
    asked = "SELECT 1 FROM sync WHERE written IS NOT NULL OR crc64nvme IS NOT NULL OR gone_at_utc IS NOT NULL LIMIT 1"
    return database.row(asked) is None


def recall(database: Database, told: Iterable[Entry], elsewhere: dict[int, str]) -> int:
    """Mark the rows that *told* speaks of, in its order; how many were found in the very version.

    *elsewhere* gathers, by id, the paths of files that are not where their rows would have them, for `move`.
    """
    known: dict[int, tuple[str, int | None, str]] = {}
    ours: set[int] = set()
    for entry in told:
        found = database.row(_WAITING, (entry.container, entry.blob))
        if found is None:
            continue
        row_id, etag, size_bytes, path = found
        if (etag, size_bytes) == (entry.etag, entry.size_bytes):
            known[row_id] = entry.crc64nvme, entry.attested or None, entry.at_utc
        if path == entry.nas_path:
            ours.add(row_id)
            elsewhere.pop(row_id, None)
        else:
            elsewhere[row_id] = entry.nas_path
    database.many(_KNOWN, [(*values, row_id) for row_id, values in known.items()])
    database.many(_OURS, [(row_id,) for row_id in ours])
    database.many(_TOLD, [(row_id, crc, at) for row_id, (crc, attested, at) in known.items() if attested])
    return len(known)


def move(database: Database, elsewhere: dict[int, str]) -> int:
    """Give rows the places where their files are; how many got them.

    All leave their places before any takes another: what was listed in another order may have to change places. Then
    each takes its former place as well, where that is free: it keeps off a blob that would have the same key.
    """
    found = [row for row_id in elsewhere if (row := database.row(_MOVING, (row_id,))) is not None]
    database.many(
        "DELETE FROM places WHERE fold = ? AND sync_id = ?", [(fold(path), row_id) for row_id, *_, path in found]
    )
    wishes = [Wish(row_id, container, blob, key, elsewhere[row_id]) for row_id, container, blob, key, _ in found]
    rulings, _ = rule(database, wishes, elsewhere)
    moved: list[tuple[str, int]] = []
    for row_id, *_, path in found:
        ruling = rulings.get(row_id)
        if ruling is None or not ruling.error:
            moved.append((elsewhere[row_id] if ruling is None else ruling.nas_path, row_id))
        database.run("INSERT OR IGNORE INTO places VALUES (?, ?)", (fold(path), row_id))
    database.many(_MOVE, moved)
    arrived: Sequence[tuple[int]] = [(row_id,) for path, row_id in moved if path == elsewhere[row_id]]
    database.many(_OURS, arrived)
    return len(arrived)
