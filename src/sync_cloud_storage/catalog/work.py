"""Rows become tasks, and become pending again when a person wants it.

Each query but that of the check walks an index that holds only what is left, so it costs the same at any size.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import versions
from sync_cloud_storage.catalog.counting import change
from sync_cloud_storage.catalog.objects import SEEN
from sync_cloud_storage.model import Attest, Check, Download, Leg, Look, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.catalog.database import Database

FILE, OBJECT = 1, 2  # bits of sync.written

_DOWNLOADS = """
SELECT id, container, blob, size_bytes, etag, coalesce(content_md5, ''),
    coalesce(nas_path, s3_key, container || '/' || blob), coalesce(written & 1, 0) OR ?,
    ? >= 1 + (content_md5 IS NOT NULL), coalesce(crc64nvme, ''), coalesce(attested, 0)
FROM sync INDEXED BY downloads_pending
WHERE azure_status = 0 AND skip_reason IS NULL AND etag IS NOT NULL AND id > ? ORDER BY id LIMIT ?
"""

_UPLOADS = """
SELECT id, container, blob, etag, size_bytes, crc64nvme, coalesce(nas_path, s3_key, container || '/' || blob),
    coalesce(s3_key, container || '/' || blob), coalesce(headers, ''), coalesce(metadata, ''),
    coalesce(s3_upload_id, ''), coalesce(written & 2, 0) OR ?, ''
FROM sync INDEXED BY uploads_pending
WHERE s3_status = 0 AND azure_status = 1 AND skip_reason IS NULL AND id > ? ORDER BY id LIMIT ?
"""

# `seen` and `told` speak of an object that is listed with the size of the blob. What is seen, or has no object, is not
# here but in `objects.files`, unless all is to be read, or something was wrong with it before.
_CHECKS = f"""
SELECT id, container, blob, sync.size_bytes, crc64nvme,
    CASE azure_status WHEN 1 THEN coalesce(nas_path, s3_key, container || '/' || blob) ELSE '' END,
    CASE s3_status WHEN 1 THEN coalesce(s3_key, container || '/' || blob) ELSE '' END,
    coalesce(objects.etag, s3_etag, ''), {SEEN}, coalesce(objects.checksum, ''), ?1, 0
FROM sync LEFT JOIN objects
    ON key = coalesce(s3_key, container || '/' || blob) AND objects.size_bytes = sync.size_bytes AND s3_status = 1
WHERE id > ?2 AND (azure_status = 1 OR s3_status = 1) AND (
    ?1 OR nas_check IS NOT NULL OR s3_check IS NOT NULL
    OR (s3_status = 1 AND (azure_status <> 1 OR NOT {SEEN}))
) ORDER BY id LIMIT ?3
"""  # noqa: S608 - of a constant

_TO_READ = """
SELECT id, container, blob, size_bytes, crc64nvme, coalesce(nas_path, s3_key, container || '/' || blob), '', '', 0, '',
    1, 1
FROM sync WHERE id > ? AND azure_status = 1 AND id % ? = ? ORDER BY id LIMIT ?
"""

_LOOKS = """
SELECT id, sync.container, blob, coalesce(etag, '') FROM suspects JOIN sync ON id = sync_id
JOIN containers ON name = sync.container
WHERE sync_id > ? AND status <> 0 ORDER BY sync_id LIMIT ?
"""

_FAILED_AZURE = """
SELECT id FROM sync INDEXED BY failed
WHERE (azure_status = 2 OR s3_status = 2) AND azure_status = 2 AND refused IS NULL AND gone_at_utc IS NULL
"""
_FAILED_S3 = "SELECT id FROM sync INDEXED BY failed WHERE (azure_status = 2 OR s3_status = 2) AND s3_status = 2"
_MISMATCHED = "SELECT id FROM sync INDEXED BY mismatched WHERE (nas_check IS NOT NULL OR s3_check IS NOT NULL)"


def pending_looks(database: Database, after_id: int, limit: int) -> list[Look]:
    """Rows that a listing, which has ended, did not show, and about which the source has not answered yet, by id."""
    return [Look(*row) for row in database.rows(_LOOKS, (after_id, limit))]


# SQLite's 0 and 1 stand for False and True: they are equal, and a bool for each row is not free.


def pending_downloads(
    database: Database, after_id: int, limit: int, *, may_replace: bool, attest: Attest
) -> list[Download]:
    """Blobs to fetch, by id."""
    return list(map(Download._make, database.rows(_DOWNLOADS, (may_replace, attest, after_id, limit))))


def pending_uploads(
    database: Database, after_id: int, limit: int, multipart_from_bytes: int, *, may_replace: bool
) -> list[Upload]:
    """Files to send, by id.

    Before a large one is handed out it is written down that a multipart upload may be open from now on.
    """
    tasks = list(map(Upload._make, database.rows(_UPLOADS, (may_replace, after_id, limit))))
    large = [(task.id,) for task in tasks if task.size_bytes >= multipart_from_bytes and not task.upload_id]
    if large:
        with database.atomic():
            database.many("UPDATE sync SET s3_upload_id = '?' WHERE id = ?", large)
    return tasks


def everything(database: Database, after_id: int, limit: int, *, deep: bool) -> list[Check]:
    """Rows that claim to be somewhere, by id."""
    return list(map(Check._make, database.rows(_CHECKS, (deep, after_id, limit))))


def to_read(database: Database, after_id: int, limit: int, *, part: int, parts: int) -> list[Check]:
    """Files to read again, by id: of *parts* slices the one numbered *part*, from 1 on."""
    return list(map(Check._make, database.rows(_TO_READ, (after_id, parts, part - 1, limit))))


def is_pending_download(database: Database, row_id: int) -> bool:
    """Say whether this row is still to be fetched."""
    return (
        database.row("SELECT 1 FROM sync WHERE id = ? AND azure_status = 0 AND skip_reason IS NULL", (row_id,))
        is not None
    )


def retry_failed(database: Database, leg: Leg | None, at: str, containers: Sequence[str] = ()) -> int:
    """Set failed rows back to pending; how many. Not those that another attempt cannot help: clashes, names, gone."""
    azure = [] if leg is Leg.S3 else _ids(database, _FAILED_AZURE, containers)
    s3 = [] if leg is Leg.AZURE else _ids(database, _FAILED_S3, containers)
    return change(
        database,
        "UPDATE sync SET azure_status = 0, azure_error = NULL, attempts = NULL, updated_at = ? WHERE id = ?",
        (at,),
        azure,
    ) + change(
        database,
        "UPDATE sync SET s3_status = 0, s3_error = NULL, attempts = NULL, updated_at = ? WHERE id = ?",
        (at,),
        s3,
    )


def redo_mismatched(database: Database, at: str, containers: Sequence[str] = ()) -> int:
    """Set rows whose file or object a check found wrong back to pending on that leg; how many."""
    ids = _ids(database, _MISMATCHED, containers)
    versions.keep(database, ids, at)
    return change(
        database,
        # What the source no longer has cannot be fetched again: that mismatch stays.
        "UPDATE sync SET azure_status = CASE WHEN nas_check IS NULL OR gone_at_utc IS NOT NULL THEN azure_status"
        " ELSE 0 END, azure_error = CASE WHEN gone_at_utc IS NULL THEN coalesce(nas_check, azure_error)"
        " ELSE azure_error END, s3_status = CASE WHEN s3_check IS NULL THEN s3_status ELSE 0 END,"
        " nas_check = CASE WHEN gone_at_utc IS NOT NULL THEN nas_check END, s3_check = NULL, proven = NULL,"
        " updated_at = ? WHERE id = ?",
        (at,),
        ids,
    )


def _ids(database: Database, sql: str, containers: Sequence[str]) -> list[int]:
    """Ids that *sql* finds; only those of *containers*, where any is named."""
    if not containers:
        return [row_id for (row_id,) in database.rows(sql)]
    return [
        row_id
        for (row_id,) in database.rows(
            f"{sql} AND container IN (SELECT value FROM json_each(?))",  # noqa: S608 - one of the constants above
            (json.dumps(list(containers)),),
        )
    ]
