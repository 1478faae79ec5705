"""What workers give back becomes rows: one statement for each kind of result, guarded by the version it is about.

A result of a version that is no longer the row's changes nothing, and neither does one that would take back a success.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.catalog import versions
from sync_cloud_storage.catalog.counting import DOWNLOAD, UPLOAD, counted, stepped
from sync_cloud_storage.catalog.state import sentence
from sync_cloud_storage.catalog.work import FILE, OBJECT
from sync_cloud_storage.model import (
    COMPUTED,
    Checked,
    Downloaded,
    Failed,
    Gone,
    Leg,
    Rotten,
    Seen,
    Uploaded,
    UploadOpened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.catalog.database import Database

    RowResult = Downloaded | UploadOpened | Uploaded | Seen | Gone | Failed | Rotten | Checked

# Fetched again, after its file was lost, and with other bytes: what is in S3 is then not what is on the NAS.
_DOWNLOADED = """
UPDATE sync SET azure_status = 1, azure_error = NULL, refused = NULL,
    s3_status = CASE WHEN crc64nvme <> ?1 THEN 0 ELSE s3_status END,
    proven = CASE WHEN crc64nvme <> ?1 THEN NULL ELSE proven END,
    crc64nvme = ?1, md5 = ?2, attested = ?3, downloaded_at_utc = ?4, written = coalesce(written, 0) | 1
WHERE id = ?5 AND etag = ?6
"""

# A checksum that is not the download's is no evidence for this row, whatever the worker made of it. It is a failure: a
# row that stays pending would be handed out for ever.
_UPLOADED = """
UPDATE sync SET s3_status = 1, s3_error = NULL, s3_etag = ?, s3_checksum = nullif(?2, ''),
    s3_version_id = ?, uploaded_at_utc = ?, s3_upload_id = NULL, written = coalesce(written, 0) | 2,
    proven = NULL, proven_etag = NULL
WHERE id = ? AND etag = ? AND azure_status = 1 AND (?2 = '' OR ?2 = crc64nvme)
"""

# Of a version that the row no longer has: no success, but what lies there now is ours and may be written over.
_OURS = "UPDATE sync SET written = coalesce(written, 0) | ? WHERE id = ? AND etag IS NOT ?"

_DIGEST = """
UPDATE sync SET s3_status = 2, attempts = coalesce(attempts, 0) + 1, updated_at = ?1,
    s3_error = 'S3-DIGEST: S3 says that the object has checksum ' || ?2 || ', the download has ' || crc64nvme || '.'
WHERE id = ?3 AND etag = ?4 AND azure_status = 1 AND s3_status <> 1 AND ?2 <> '' AND crc64nvme <> ?2
"""

# Begun for a version that the row no longer has, it is not to be gone on with, only to be ended.
_UPLOAD_OPENED = """
UPDATE sync SET s3_upload_id = CASE WHEN etag = ? THEN nullif(?, '') ELSE '?' END WHERE id = ? AND s3_status <> 1
"""

_FAILED_AZURE = """
UPDATE sync SET azure_status = 2, azure_error = ?, attempts = coalesce(attempts, 0) + 1, updated_at = ?
WHERE id = ? AND etag = ? AND azure_status <> 1 AND refused IS NULL AND gone_at_utc IS NULL
"""

_FAILED_S3 = """
UPDATE sync SET s3_status = 2, s3_error = ?, attempts = coalesce(attempts, 0) + 1, updated_at = ?
WHERE id = ? AND etag = ? AND azure_status = 1 AND s3_status <> 1
"""

_ROTTEN = """
UPDATE sync SET azure_status = 0, azure_error = ?1, updated_at = ?2
WHERE id = ?3 AND azure_status = 1 AND s3_status <> 1 AND (?4 = '' OR etag = ?4)
"""

# Where the object was not asked about, nothing is taken from what is known of it. And a weaker word does not take back
# a stronger one: that bytes are wrong is found by reading them, or by a checksum that was computed of them; a length
# that is right, or what the endpoint once heard when they arrived, says nothing against that.
_CHECKED = """
UPDATE sync SET
    checked_at_utc = CASE WHEN ?7 AND ?4 IS NOT NULL THEN ?1 ELSE checked_at_utc END,
    proven = CASE WHEN NOT ?7 THEN proven WHEN ?9 THEN NULL ELSE ?2 END,
    proven_etag = CASE WHEN ?7 AND ?2 AND NOT ?9 THEN nullif(?6, '') ELSE proven_etag END,
    nas_check = CASE WHEN ?3 IS NULL OR azure_status <> 1 OR (?3 = '' AND nas_check LIKE 'NAS-ROT:%' AND NOT ?8)
        THEN nas_check ELSE nullif(?3, '') END,
    s3_check = CASE WHEN ?4 IS NULL OR s3_status <> 1 OR ?9 THEN s3_check ELSE nullif(?4, '') END
WHERE id = ?5
"""
# An object of which it was found, by reading or computing, that its bytes are other ones, and that is still the same.
_WRONG = "SELECT id FROM sync WHERE id IN (SELECT value FROM json_each(?)) AND s3_check LIKE 'S3-DIGEST:%'"
_KNOWN_WRONG = """
SELECT 1 FROM sync JOIN evidence ON sync_id = sync.id AND blob_etag IS sync.etag AND place = 's3'
    AND algorithm = 'CRC64NVME' AND evidence.etag = ? AND value <> crc64nvme
WHERE sync.id = ?
"""

_AGAIN = """
UPDATE sync SET azure_status = 0, azure_error = nas_check, nas_check = NULL, updated_at = ?
WHERE id = ? AND azure_status = 1 AND nas_check IS NOT NULL AND gone_at_utc IS NULL
"""
_NEVER = """
UPDATE sync SET nas_check = nas_check || ' The source no longer has the blob, so it cannot be downloaded again.'
WHERE id = ? AND nas_check IS NOT NULL AND gone_at_utc IS NOT NULL
"""

# Said once and again it is one thing that is known; said of bytes that are not as they should be, each time counts.
_PROVEN = "SELECT id, proven_etag FROM sync WHERE id IN (SELECT value FROM json_each(?)) AND proven = 1"
_EVIDENCE = """
INSERT INTO evidence (sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how)
SELECT id, etag, ?, ?, ?, ?, nullif(?, ''), ?, ? FROM sync WHERE id = ?
"""


def settle(database: Database, results: Sequence[RowResult], at: str) -> int:
    """Write results; how many rows they changed."""
    ids = {result.id for result in results}
    if len(ids) < len(results):  # the same row twice: each in its turn
        return sum(_WRITERS[type(one)](database, [one], at) for one in results)
    by_kind: dict[type, list[Any]] = {}
    for result in results:
        by_kind.setdefault(type(result), []).append(result)
    return sum(_WRITERS[kind](database, group, at) for kind, group in by_kind.items())


def _downloaded(database: Database, group: Sequence[Downloaded], _: str) -> int:
    values = [
        (crc, md5 or None, attested or None, at_utc, row_id, etag)
        for row_id, etag, crc, md5, _, at_utc, attested in group
    ]

    def rest() -> int:
        database.many(_OURS, [(FILE, row_id, etag) for *_, row_id, etag in values])
        return 0

    return stepped(database, DOWNLOAD, _ids(group), _DOWNLOADED, values, rest)


def _uploaded(database: Database, group: Sequence[Uploaded], at: str) -> int:
    values = [
        (s3_etag, checksum, version_id or None, at_utc, row_id, etag)
        for row_id, etag, s3_etag, checksum, version_id, _, at_utc in group
    ]

    def rest() -> int:
        database.many(_OURS, [(OBJECT, row_id, etag) for *_, row_id, etag in values])
        return database.many(_DIGEST, [(at, checksum, row_id, etag) for _, checksum, _, _, row_id, etag in values])

    return stepped(database, UPLOAD, _ids(group), _UPLOADED, values, rest)


def _failed(database: Database, group: Sequence[Failed], at: str) -> int:
    by_leg: dict[Leg, list[tuple[Any, ...]]] = {Leg.AZURE: [], Leg.S3: []}
    for one in group:
        by_leg[one.leg].append((sentence(one.code, one.sentence), at, one.id, one.etag))
    with counted(database, _ids(group)):
        return database.many(_FAILED_AZURE, by_leg[Leg.AZURE]) + database.many(_FAILED_S3, by_leg[Leg.S3])


def _rotten(database: Database, group: Sequence[Rotten], at: str) -> int:
    versions.keep(database, _ids(group), at)
    with counted(database, _ids(group)):
        return database.many(_ROTTEN, [(sentence(one.code, one.sentence), at, one.id, one.etag) for one in group])


def _seen(database: Database, group: Sequence[Seen], at: str) -> int:
    with counted(database, _ids(group)):
        return sum(versions.settle_seen(database, one, at) for one in group)


def _gone(database: Database, group: Sequence[Gone], at: str) -> int:
    with counted(database, _ids(group)):
        return sum(versions.settle_gone(database, one, at) for one in group)


# These two change no sum, but for what a scrub finds.


def _opened(database: Database, group: Sequence[UploadOpened], _: str) -> int:
    return database.many(_UPLOAD_OPENED, [(etag, upload_id, row_id) for row_id, upload_id, etag in group])


def _checked(database: Database, group: Sequence[Checked], at: str) -> int:
    known = dict(database.rows(_PROVEN, (json.dumps(_ids(group)),)))
    said = [
        (place, algorithm, value, size_bytes, etag, at, how, one.id)
        for one in group
        if one.nas or one.s3 or (one.asked and known.get(one.id) != one.s3_etag)
        for place, algorithm, value, size_bytes, etag, how in one.evidence
    ]
    wrong = {row_id for (row_id,) in database.rows(_WRONG, (json.dumps(_ids(group)),))}
    changed = database.many(
        _CHECKED,
        [(*_checked_values(one, at), one.id in wrong and _is_known_wrong(database, one)) for one in group],
    )
    database.many(_EVIDENCE, said)
    _fetch_again(database, [one.id for one in group if one.fetch_again and one.nas], at)
    return changed


def _checked_values(one: Checked, at: str) -> tuple[Any, ...]:
    was_read = any(said.place == "nas" and said.algorithm != "size" for said in one.evidence)
    return at, one.proven or None, one.nas, one.s3, one.id, one.s3_etag, one.asked, was_read


def _is_known_wrong(database: Database, one: Checked) -> bool:
    """Whether what was found wrong before is still that object, and nobody has computed its checksum since."""
    computed = any(said.place == "s3" and said.how in COMPUTED for said in one.evidence)
    return one.s3 == "" and not computed and database.row(_KNOWN_WRONG, (one.s3_etag, one.id)) is not None


def _fetch_again(database: Database, ids: Sequence[int], at: str) -> None:
    """Set files that a scrub found wrong back to pending; what the source no longer has stays a mismatch."""
    if not ids:
        return
    with counted(database, ids):
        database.many(_AGAIN, [(at, row_id) for row_id in ids])
    back = database.rows(
        "SELECT id FROM sync WHERE id IN (SELECT value FROM json_each(?)) AND azure_status = 0", (json.dumps(ids),)
    )
    versions.keep(
        database, [row_id for (row_id,) in back], at
    )  # with the reason, which the row has until it is fetched
    database.many(_NEVER, [(row_id,) for row_id in ids])


def _ids(group: Sequence[RowResult]) -> list[int]:
    return [one.id for one in group]


_WRITERS: dict[type, Callable[..., int]] = {
    Downloaded: _downloaded,
    UploadOpened: _opened,
    Uploaded: _uploaded,
    Failed: _failed,
    Rotten: _rotten,
    Checked: _checked,
    Seen: _seen,
    Gone: _gone,
}
