-- Schema 1. `containers` and `sync` begin with the columns of 2019, in their order, with their names and codes; ours
-- follow. NULL stands for the usual case wherever there is one, so that a row stays small: there may be 10^8 of them.

CREATE TABLE containers (
    name TEXT NOT NULL UNIQUE,
    status INTEGER NOT NULL DEFAULT 0,      -- 0 pending, 100 live, 200 listed, 404 not found, 503 no blob in it
    created_at TEXT,                        -- when it came into the catalog
    error TEXT,                             -- CODE: sentence, of the last listing
    skip_reason TEXT,                       -- why it is not listed
    last_modified TEXT,
    seen_pass INTEGER,                      -- the last pass over the account that showed it
    listed_at_utc TEXT,                     -- when a listing last came to its end
    blobs INTEGER NOT NULL DEFAULT 0,       -- its rows in `sync`, and their bytes
    bytes INTEGER NOT NULL DEFAULT 0,
    CHECK (status IN (0, 100, 200, 404, 503))
);

CREATE INDEX containers_pending ON containers (name) WHERE status = 0 AND skip_reason IS NULL;
CREATE INDEX containers_failed ON containers (name) WHERE error IS NOT NULL;

CREATE TABLE sync (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    container TEXT NOT NULL,
    blob TEXT NOT NULL,
    azure_status INTEGER NOT NULL DEFAULT 0, -- 0 pending, 1 success, 2 failure
    azure_error TEXT,                        -- CODE: sentence
    s3_status INTEGER NOT NULL DEFAULT 0,
    s3_error TEXT,
    created_at TEXT,                         -- when it was first listed
    updated_at TEXT,                         -- last change other than a success, which has its own time below
    -- what the source said
    size_bytes INTEGER,
    etag TEXT,                               -- NULL: of 2019, not listed by us yet
    last_modified TEXT,
    content_md5 TEXT,                        -- base64; NULL: the source has none
    headers TEXT,                            -- JSON; NULL: none
    metadata TEXT,                           -- JSON; NULL: none
    kind TEXT,                               -- NULL: BlockBlob
    tier TEXT,
    gone_at_utc TEXT,                        -- since when the source no longer has it
    -- where it goes
    s3_key TEXT,                             -- NULL: container/blob
    nas_path TEXT,                           -- NULL: the same text as the key
    skip_reason TEXT,
    refused INTEGER,                         -- 1 its key is another blob's too, 2 its name cannot be moved
    -- evidence
    crc64nvme TEXT,
    md5 TEXT,
    downloaded_at_utc TEXT,
    s3_etag TEXT,
    s3_checksum TEXT,
    s3_version_id TEXT,
    uploaded_at_utc TEXT,
    -- on the way
    s3_upload_id TEXT,                       -- an open multipart upload; ?: one may be open, its id is not known
    written INTEGER,                         -- 1 we once wrote the file, 2 the object, 3 both
    attempts INTEGER,                        -- failures of this version
    -- xcheck
    checked_at_utc TEXT,
    proven INTEGER,                          -- 1: the object's bytes, not only its size, are the download's
    nas_check TEXT,                          -- CODE: sentence
    s3_check TEXT,
    UNIQUE (container, blob),
    -- No IN (...): it costs a table for every row. The two others: no success without evidence, whoever writes it.
    CHECK (azure_status BETWEEN 0 AND 2 AND s3_status BETWEEN 0 AND 2),
    CHECK (azure_status <> 1 OR (crc64nvme IS NOT NULL AND downloaded_at_utc IS NOT NULL)),
    CHECK (s3_status <> 1 OR uploaded_at_utc IS NOT NULL)
);

-- Each holds only what is left to do, in the order of the ids: finding work costs the same at any size.
CREATE INDEX downloads_pending ON sync (azure_status)
    WHERE azure_status = 0 AND skip_reason IS NULL AND etag IS NOT NULL;
CREATE INDEX uploads_pending ON sync (s3_status) WHERE s3_status = 0 AND azure_status = 1 AND skip_reason IS NULL;
CREATE INDEX failed ON sync (id) WHERE azure_status = 2 OR s3_status = 2;
CREATE INDEX mismatched ON sync (id) WHERE nas_check IS NOT NULL OR s3_check IS NOT NULL;
CREATE INDEX contested ON sync (s3_key) WHERE refused = 1;

-- Every path on the NAS that is taken, under case folding and NFC: one place, one owner, because a key is unique.
CREATE TABLE places (
    fold TEXT PRIMARY KEY,
    sync_id INTEGER                          -- the file's row; NULL: a folder; 0: a file that was given another place
) WITHOUT ROWID;

-- What we knew about a version that was copied, before the blob changed at the source. Never deleted.
CREATE TABLE superseded (
    id INTEGER PRIMARY KEY,
    sync_id INTEGER NOT NULL REFERENCES sync (id),
    superseded_at_utc TEXT NOT NULL,
    etag TEXT,
    size_bytes INTEGER,
    last_modified TEXT,
    content_md5 TEXT,
    azure_status INTEGER,
    azure_error TEXT,
    s3_status INTEGER,
    s3_error TEXT,
    crc64nvme TEXT,
    md5 TEXT,
    downloaded_at_utc TEXT,
    s3_etag TEXT,
    s3_checksum TEXT,
    s3_version_id TEXT,
    uploaded_at_utc TEXT
);
CREATE INDEX superseded_of ON superseded (sync_id);

-- Rows that a listing should have shown and did not; the source is asked about those that are left when it has ended.
CREATE TABLE suspects (
    sync_id INTEGER PRIMARY KEY REFERENCES sync (id),
    container TEXT NOT NULL
);
CREATE INDEX suspects_of ON suspects (container);

-- Listings that have begun and not ended. A container that has none here is at its start, or done (its status).
CREATE TABLE listings (
    container TEXT NOT NULL,
    prefix TEXT NOT NULL,                   -- of the names that it lists; '': all
    marker TEXT NOT NULL,                   -- where it goes on; '': at its start
    upto TEXT NOT NULL,                     -- greatest name that it has shown so far
    PRIMARY KEY (container, prefix)
) WITHOUT ROWID;

CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    verb TEXT NOT NULL,
    began_at_utc TEXT NOT NULL,
    ended_at_utc TEXT,                       -- NULL: goes on, or was killed
    result TEXT
);

-- Running sums, so that they cost nothing to read. The first five exclude each other; `gone` is a part of them. Kept by the
-- program and not by triggers, which would halve the speed of a run. Whoever changes rows by hand empties this table:
-- it is counted anew at the next opening.
CREATE TABLE counts (
    class TEXT PRIMARY KEY,
    blobs INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO counts (class) VALUES ('skipped'), ('failed'), ('pending'), ('downloaded'), ('uploaded'), ('gone');

-- For people -------------------------------------------------------------------------------------------------------

-- `sync` with everything filled in, and one word for how far each blob is.
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

-- Everything that did not go well, one line each. `leg`: list, azure (up to the NAS), s3.
CREATE VIEW problems AS
SELECT container, blob, leg,
    CASE WHEN instr(error, ': ') > 0 THEN substr(error, 1, instr(error, ': ') - 1) ELSE '' END AS code,
    CASE WHEN instr(error, ': ') > 0 THEN substr(error, instr(error, ': ') + 2) ELSE coalesce(error, '') END AS sentence
FROM (
    SELECT name AS container, '' AS blob, 'list' AS leg, error FROM containers
        WHERE error IS NOT NULL AND (status <> 404 OR listed_at_utc IS NULL)
    UNION ALL
    SELECT container, blob, 'azure', azure_error FROM sync
        WHERE (azure_status = 2 OR s3_status = 2) AND azure_status = 2 AND skip_reason IS NULL
    UNION ALL
    SELECT container, blob, 's3', s3_error FROM sync
        WHERE (azure_status = 2 OR s3_status = 2) AND s3_status = 2 AND skip_reason IS NULL
    UNION ALL
    SELECT container, blob, 'azure', nas_check FROM sync
        WHERE (nas_check IS NOT NULL OR s3_check IS NOT NULL) AND nas_check IS NOT NULL
    UNION ALL
    SELECT container, blob, 's3', s3_check FROM sync
        WHERE (nas_check IS NOT NULL OR s3_check IS NOT NULL) AND s3_check IS NOT NULL
);

-- How far each container is.
CREATE VIEW progress AS
SELECT
    c.name AS container, c.status, c.blobs, c.bytes,
    coalesce(s.pending, 0) AS pending, coalesce(s.downloaded, 0) AS downloaded, coalesce(s.uploaded, 0) AS uploaded,
    coalesce(s.failed, 0) AS failed, coalesce(s.skipped, 0) AS skipped, coalesce(s.gone, 0) AS gone,
    coalesce(s.uploaded_bytes, 0) AS uploaded_bytes, c.skip_reason, c.error
FROM containers AS c LEFT JOIN (
    SELECT container,
        sum(state = 'pending') AS pending, sum(state = 'downloaded') AS downloaded, sum(state = 'uploaded') AS uploaded,
        sum(state = 'failed') AS failed, sum(state = 'skipped') AS skipped, sum(gone_at_utc IS NOT NULL) AS gone,
        sum(CASE WHEN state = 'uploaded' THEN size_bytes ELSE 0 END) AS uploaded_bytes
    FROM blobs GROUP BY container
) AS s ON s.container = c.name;
