"""Between the rows and the manifests on the NAS: what goes into one, and what a new catalog takes out of them.

A manifest says where the file of a blob is, and what it has to hold. The row of a blob that is still to be fetched
takes both over: a file with that checksum is then adopted, and where it is not right it is one that we wrote, and may
write over. Only rows that are still to be fetched are touched.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import state
from sync_cloud_storage.catalog.places import Wish, in_the_way, leave, rule
from sync_cloud_storage.catalog.work import FILE
from sync_cloud_storage.model import Entry
from sync_cloud_storage.names import decode, encode, fold

if TYPE_CHECKING:
    from collections.abc import Iterable

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

# Lines of other versions say what we brought here earlier: whatever has those bytes is ours.
_EARLIER = """
INSERT INTO superseded (sync_id, superseded_at_utc, etag, size_bytes, azure_status, crc64nvme, md5, attested,
    downloaded_at_utc)
SELECT ?1, ?2, ?3, ?4, 1, ?5, nullif(?6, ''), ?7, ?8
WHERE NOT EXISTS (SELECT 1 FROM superseded WHERE sync_id = ?1 AND etag = ?3 AND crc64nvme = ?5)
"""
_EARLIER_OF = "SELECT sync_id, crc64nvme FROM superseded WHERE sync_id IN (SELECT value FROM json_each(?))"

# What was attested is known by a manifest only: that, too, is a thing that is known.
_TOLD = """
INSERT INTO evidence (sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how)
SELECT ?1, etag, 'azure', 'CRC64NVME', ?2, size_bytes, etag, ?3, 'a manifest on the NAS told that it was attested'
FROM sync WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM evidence WHERE sync_id = ?1 AND value = ?2 AND at_utc = ?3)
"""

_PLACE = f"""
SELECT id, container, blob, coalesce(s3_key, container || '/' || blob), {_PATH} FROM sync WHERE id = ?
"""  # noqa: S608 - a constant
_IS_NEWER = "SELECT 1 FROM sync WHERE id = ? AND azure_status = 0 AND written IS NULL"
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


def earlier(database: Database, ids: Iterable[int]) -> dict[int, set[str]]:
    """Checksums of earlier versions that were copied, by id."""
    found: dict[int, set[str]] = {}
    for row_id, crc in database.rows(_EARLIER_OF, (json.dumps(list(ids)),)):
        found.setdefault(row_id, set()).add(crc)
    return found


def recall(database: Database, told: Iterable[Entry], elsewhere: dict[int, str], at: str) -> int:
    """Mark the rows that *told* speaks of, in its order; how many were found in the very version.

    *elsewhere* gathers, by id, the paths of files that are not where their rows would have them, for `move`.
    """
    known: dict[int, tuple[str, int | None, str]] = {}
    ours: set[int] = set()
    others: list[tuple[object, ...]] = []
    for entry in told:
        found = database.row(_WAITING, (entry.container, entry.blob))
        if found is None:
            continue
        row_id, etag, size_bytes, path = found
        if (etag, size_bytes) == (entry.etag, entry.size_bytes):
            known[row_id] = entry.crc64nvme, entry.attested or None, entry.at_utc
        else:
            _, _, *version, crc, md5, attested, _, at_utc = entry
            others.append((row_id, at, *version, crc, md5, attested or None, at_utc))
        if path == entry.nas_path:
            ours.add(row_id)
            elsewhere.pop(row_id, None)
        else:
            elsewhere[row_id] = entry.nas_path
    database.many(_KNOWN, [(*values, row_id) for row_id, values in known.items()])
    database.many(_OURS, [(row_id,) for row_id in ours])
    database.many(_EARLIER, others)
    database.many(_TOLD, [(row_id, crc, at) for row_id, (crc, attested, at) in known.items() if attested])
    return len(known)


def move(database: Database, elsewhere: dict[int, str]) -> int:
    """Give rows the places where their files are; how many got them.

    What was listed in another order once may have to change places, so all leave theirs before any takes another. So
    do those in the way of which no manifest knows: they are newer, and nothing of them is on the NAS. At the end each
    takes its former place as well, where that is free: it keeps off a blob that would have the same key.
    """
    movers = _rows(database, elsewhere)
    newer = _newer(database, elsewhere)
    leave(database, [(fold(row.nas_path), row.id) for row in (*movers, *newer)])
    wishes = [row._replace(nas_path=elsewhere[row.id]) for row in movers]
    wishes += [row._replace(nas_path=_plain(row.nas_path)) for row in newer]
    rulings, _ = rule(database, wishes, {wish.id for wish in wishes})
    settled = [
        (rulings[wish.id].nas_path if wish.id in rulings else wish.nas_path, wish.id)
        for wish in wishes
        if wish.id not in rulings or not rulings[wish.id].error
    ]
    database.many(_MOVE, settled)
    database.many("INSERT OR IGNORE INTO places VALUES (?, ?)", [(fold(row.nas_path), row.id) for row in movers])
    arrived = [(row_id,) for path, row_id in settled if path == elsewhere.get(row_id)]
    database.many(_OURS, arrived)
    return len(arrived)


def _rows(database: Database, ids: Iterable[int]) -> list[Wish]:
    """Rows with the places that they have."""
    return [Wish._make(row) for row_id in ids if (row := database.row(_PLACE, (row_id,))) is not None]


def _newer(database: Database, elsewhere: dict[int, str]) -> list[Wish]:
    """Rows that no manifest knows, and that have a place which one of *elsewhere* needs."""
    there = {row_id for path in elsewhere.values() for row_id in in_the_way(database, path)} - elsewhere.keys()
    return [row for row in _rows(database, sorted(there)) if database.row(_IS_NEWER, (row.id,)) is not None]


def _plain(path: str) -> str:
    """*path* as it was before it gave way to another one."""
    name = decode(path)
    return path if name is None else encode(name)
