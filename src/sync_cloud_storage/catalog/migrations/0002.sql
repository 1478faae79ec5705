-- Schema 2: proof. What is known of a blob beyond its row, and what the bucket was seen to hold.

ALTER TABLE sync ADD COLUMN attested INTEGER;   -- 1: the source's own CRC64 of every range agreed with ours
ALTER TABLE superseded ADD COLUMN attested INTEGER;
ALTER TABLE sync ADD COLUMN proven_etag TEXT;   -- of the object that was proven: a listing that shows it shows that object
-- Schema 1 kept no evidence of what it called proven: each of these objects is asked once more.
UPDATE sync SET proven = NULL WHERE proven IS NOT NULL;
CREATE INDEX sync_keys ON sync (s3_key) WHERE s3_key IS NOT NULL;

-- What somebody said about the bytes of one version of a blob, in one place, at one time. Only ever added to: what was
-- learnt on the usual way stands in `sync` (and in `superseded`, once the blob changed), the rest here.
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    sync_id INTEGER NOT NULL REFERENCES sync (id),
    blob_etag TEXT,                          -- the version that it is about
    place TEXT NOT NULL,                     -- azure, nas, s3
    algorithm TEXT NOT NULL,                 -- CRC64NVME, MD5, size
    value TEXT NOT NULL,                     -- as S3 and Azure write it: base64; a size in digits
    size_bytes INTEGER,
    etag TEXT,                               -- of what was looked at, where the place has ETags
    at_utc TEXT NOT NULL,
    how TEXT NOT NULL                        -- in a few words: who was asked, and how
);
CREATE INDEX evidence_of ON evidence (sync_id);
CREATE TRIGGER evidence_stays BEFORE DELETE ON evidence
    BEGIN SELECT raise(ABORT, 'evidence is never taken away'); END;
CREATE TRIGGER evidence_as_it_was BEFORE UPDATE ON evidence
    BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;

-- The bucket as its last listing (or its inventory) showed it. Made anew by each check.
CREATE TABLE objects (
    key TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum TEXT                            -- CRC64NVME of the whole object, where a report of S3's told it
) WITHOUT ROWID;

-- Level: 0 listed; 1 its object has the right size; 2 hashed by us on the way to the NAS; 3 and the source's own checksum
-- agreed; 4 S3's own checksum of the whole object, asked for after it arrived, is that of the download.
DROP VIEW progress;
DROP VIEW blobs;
CREATE VIEW blobs AS
SELECT
    id, container, blob,
    CASE
        WHEN skip_reason IS NOT NULL THEN 'skipped'
        WHEN azure_status = 2 OR s3_status = 2 THEN 'failed'
        WHEN azure_status = 0 THEN 'pending'
        WHEN s3_status = 0 THEN 'downloaded' ELSE 'uploaded'
    END AS state,
    coalesce(skip_reason, azure_error, s3_error) AS reason,
    CASE
        WHEN s3_status = 1 AND proven = 1 AND s3_check IS NULL THEN 4
        WHEN azure_status = 1 AND nas_check IS NULL THEN CASE WHEN md5 IS NOT NULL OR attested = 1 THEN 3 ELSE 2 END
        WHEN s3_status = 1 AND s3_check IS NULL THEN 1 ELSE 0
    END AS level,
    CASE WHEN azure_status = 1 AND (md5 IS NOT NULL OR attested = 1) THEN 1 ELSE 0 END AS attested,
    size_bytes, etag, last_modified, content_md5, headers, metadata, coalesce(kind, 'BlockBlob') AS kind, tier,
    gone_at_utc,
    coalesce(s3_key, container || '/' || blob) AS s3_key,
    coalesce(nas_path, s3_key, container || '/' || blob) AS nas_path,
    crc64nvme, md5, downloaded_at_utc, s3_etag, s3_checksum, s3_version_id, uploaded_at_utc,
    coalesce(attempts, 0) AS attempts, checked_at_utc, coalesce(proven, 0) AS proven, nas_check, s3_check,
    created_at,
    max(coalesce(created_at, ''), coalesce(updated_at, ''), coalesce(downloaded_at_utc, ''),
        coalesce(uploaded_at_utc, ''), coalesce(gone_at_utc, '')) AS updated_at
FROM sync;

-- How far each container is.
CREATE VIEW progress AS
SELECT
    c.name AS container, c.status, c.blobs, c.bytes,
    coalesce(s.pending, 0) AS pending, coalesce(s.downloaded, 0) AS downloaded, coalesce(s.uploaded, 0) AS uploaded,
    coalesce(s.failed, 0) AS failed, coalesce(s.skipped, 0) AS skipped, coalesce(s.gone, 0) AS gone,
    coalesce(s.uploaded_bytes, 0) AS uploaded_bytes, coalesce(s.proven, 0) AS proven, c.skip_reason, c.error
FROM containers AS c LEFT JOIN (
    SELECT container,
        sum(state = 'pending') AS pending, sum(state = 'downloaded') AS downloaded, sum(state = 'uploaded') AS uploaded,
        sum(state = 'failed') AS failed, sum(state = 'skipped') AS skipped, sum(gone_at_utc IS NOT NULL) AS gone,
        sum(CASE WHEN state = 'uploaded' THEN size_bytes ELSE 0 END) AS uploaded_bytes,
        sum(state = 'uploaded' AND level = 4) AS proven
    FROM blobs GROUP BY container
) AS s ON s.container = c.name;

-- All that is known of every blob, one line for each thing that was said about it.
CREATE VIEW proof AS
SELECT sync_id, blob_etag, place, algorithm, value, size_bytes, etag, at_utc, how FROM evidence
UNION ALL
SELECT id, etag, 'nas', 'CRC64NVME', crc64nvme, size_bytes, NULL, downloaded_at_utc, 'hashed on its way to the NAS'
    FROM sync WHERE crc64nvme IS NOT NULL
UNION ALL
SELECT id, etag, 'azure', 'MD5', md5, size_bytes, etag, downloaded_at_utc, 'its Content-MD5 agreed with the bytes'
    FROM sync WHERE md5 IS NOT NULL
UNION ALL
SELECT id, etag, 'azure', 'CRC64NVME', crc64nvme, size_bytes, etag, downloaded_at_utc, 'its CRC64 of every range agreed'
    FROM sync WHERE attested = 1 AND crc64nvme IS NOT NULL
UNION ALL
SELECT id, etag, 's3', 'CRC64NVME', s3_checksum, size_bytes, s3_etag, uploaded_at_utc,
    'named by the endpoint when the object arrived, or was found there'
    FROM sync WHERE s3_checksum IS NOT NULL AND uploaded_at_utc IS NOT NULL
UNION ALL
SELECT sync_id, etag, 'nas', 'CRC64NVME', crc64nvme, size_bytes, NULL, downloaded_at_utc, 'hashed on its way to the NAS'
    FROM superseded WHERE crc64nvme IS NOT NULL
UNION ALL
SELECT sync_id, etag, 'azure', 'MD5', md5, size_bytes, etag, downloaded_at_utc, 'its Content-MD5 agreed with the bytes'
    FROM superseded WHERE md5 IS NOT NULL
UNION ALL
SELECT sync_id, etag, 'azure', 'CRC64NVME', crc64nvme, size_bytes, etag, downloaded_at_utc,
    'its CRC64 of every range agreed'
    FROM superseded WHERE attested = 1 AND crc64nvme IS NOT NULL
UNION ALL
SELECT sync_id, etag, 's3', 'CRC64NVME', s3_checksum, size_bytes, s3_etag, uploaded_at_utc,
    'named by the endpoint when the object arrived, or was found there'
    FROM superseded WHERE s3_checksum IS NOT NULL AND uploaded_at_utc IS NOT NULL;
