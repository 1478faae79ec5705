"""A blob that the source describes anew: in a listing, or in the answer to a HEAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import Blob, Gone, Seen

_KEEP = """
INSERT INTO superseded (sync_id, superseded_at_utc, etag, size_bytes, last_modified, content_md5, azure_status,
    azure_error, s3_status, s3_error, crc64nvme, md5, attested, downloaded_at_utc, s3_etag, s3_checksum, s3_version_id,
    uploaded_at_utc)
SELECT id, ?, etag, size_bytes, last_modified, content_md5, azure_status, azure_error, s3_status, s3_error, crc64nvme,
    md5, attested, downloaded_at_utc, s3_etag, s3_checksum, s3_version_id, uploaded_at_utc
FROM sync WHERE id = ? AND (azure_status <> 0 OR s3_status <> 0 OR crc64nvme IS NOT NULL)
"""

_RESIZE = """
UPDATE containers SET bytes = bytes + ?1 - (SELECT coalesce(size_bytes, 0) FROM sync WHERE id = ?2)
WHERE name = (SELECT container FROM sync WHERE id = ?2)
"""

# An upload that is open stays known, but not as one to go on with: it was begun with the old version's properties.
_RENEW = """
UPDATE sync SET size_bytes = ?, etag = ?, last_modified = ?, content_md5 = nullif(?, ''), headers = nullif(?, ''),
    metadata = nullif(?, ''), kind = nullif(?, 'BlockBlob'), tier = nullif(?, ''),
    azure_status = CASE WHEN refused IS NOT NULL AND azure_status = 2 THEN 2 ELSE 0 END,
    azure_error = CASE WHEN refused IS NOT NULL AND azure_status = 2 THEN azure_error END,
    s3_status = 0, s3_error = NULL, crc64nvme = NULL, md5 = NULL, attested = NULL, downloaded_at_utc = NULL,
    s3_etag = NULL, s3_checksum = NULL, s3_version_id = NULL, uploaded_at_utc = NULL, attempts = NULL,
    gone_at_utc = NULL, s3_upload_id = CASE WHEN s3_upload_id IS NOT NULL THEN '?' END,
    checked_at_utc = NULL, proven = NULL, proven_etag = NULL, nas_check = NULL, s3_check = NULL, updated_at = ?
WHERE id = ?
"""

_COME_BACK = """
UPDATE sync SET gone_at_utc = NULL, updated_at = ?,
    azure_status = CASE WHEN azure_error LIKE 'AZ-404-%' AND azure_status = 2 THEN 0 ELSE azure_status END,
    azure_error = CASE WHEN azure_error LIKE 'AZ-404-%' AND azure_status = 2 THEN NULL ELSE azure_error END
WHERE id = ? AND gone_at_utc IS NOT NULL
"""

_LIST_AGAIN = """
UPDATE containers SET status = 0
WHERE name = (SELECT container FROM sync WHERE id = ?) AND status <> 0
"""

_GONE = "AZ-404-GONE: The source no longer has it, and there is no good copy of it on the NAS."

# gone at, updated at, error, id. A row that was gone already and is pending again lost its file since; the reason why
# stays to be read.
LEAVE = """
UPDATE sync SET gone_at_utc = ?, updated_at = ?,
    azure_status = CASE WHEN azure_status = 1 OR skip_reason IS NOT NULL THEN azure_status ELSE 2 END,
    azure_error = CASE WHEN azure_status = 1 OR skip_reason IS NOT NULL OR refused IS NOT NULL
        THEN azure_error ELSE ? || coalesce(' Before that: ' || azure_error, '') END
WHERE id = ? AND (gone_at_utc IS NULL OR (azure_status = 0 AND skip_reason IS NULL))
"""


def renew(database: Database, row_id: int, blob: Blob, at: str) -> None:
    """Put the new version of a blob in the place of the old one, whose evidence is kept: all is to be done again."""
    database.run(_KEEP, (at, row_id))
    database.run(_RESIZE, (blob.size_bytes, row_id))
    _, size, etag, last_modified, md5, headers, metadata, kind, tier = blob
    database.run(_RENEW, (size, etag, last_modified, md5, headers, metadata, kind, tier, at, row_id))


def keep(database: Database, row_ids: Iterable[int], at: str) -> None:
    """Keep what is known of these rows, which are about to be done once more."""
    database.many(_KEEP, [(at, row_id) for row_id in row_ids])


def come_back(database: Database, row_id: int, at: str) -> None:
    """A blob that was gone is there, in the version that we know."""
    database.run(_COME_BACK, (at, row_id))


def settle_seen(database: Database, seen: Seen, at: str) -> int:
    """Write what a blob is now; 1 if that changed its row."""
    forget_suspicion(database, seen.id)
    found = database.row("SELECT etag, gone_at_utc FROM sync WHERE id = ?", (seen.id,))
    if found is None:
        return 0
    if found[0] is None:  # a row of 2019: a listing has to give it its place first
        database.run(_LIST_AGAIN, (seen.id,))
        return 1
    if found[0] != seen.blob.etag:
        renew(database, seen.id, seen.blob, at)
        return 1
    if found[1] is not None:
        come_back(database, seen.id, at)
        return 1
    return 0


def settle_gone(database: Database, gone: Gone, at: str) -> int:
    """Write that the source no longer has a blob. What was copied stays; what was not has failed."""
    forget_suspicion(database, gone.id)
    found = database.row("SELECT etag FROM sync WHERE id = ?", (gone.id,))
    if gone.etag and found and found[0] not in {None, gone.etag}:
        return 0  # it was made again meanwhile, as a listing saw
    return database.run(LEAVE, (gone.at_utc, at, _GONE, gone.id))


def forget_suspicion(database: Database, row_id: int) -> None:
    """The source has answered about this row."""
    database.run("DELETE FROM suspects WHERE sync_id = ?", (row_id,))
