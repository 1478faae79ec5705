-- After 2019_aside.sql and 0001.sql. All is pending again: what the old program called a success counts once the file is
-- there and its hash is right, and sizes, ETags and hashes come with a listing. Ids stay; of two rows for one blob the
-- older one stays; rows without a blob stay in `sync_2019` only.
INSERT INTO containers (name, created_at)
SELECT name, min(created_at) FROM (
    SELECT name, created_at FROM containers_2019
    UNION ALL
    SELECT container, NULL FROM sync_2019
) WHERE name IS NOT NULL GROUP BY name ORDER BY name;

INSERT INTO sync (id, container, blob, created_at, updated_at)
SELECT id, container, blob, created_at, updated_at FROM sync_2019
WHERE id IN (SELECT min(id) FROM sync_2019 WHERE container IS NOT NULL AND blob IS NOT NULL GROUP BY container, blob);

UPDATE containers SET blobs = (SELECT count(*) FROM sync WHERE container = name);
UPDATE counts SET blobs = (SELECT count(*) FROM sync) WHERE class = 'pending';

-- An id that once stood for another row must not come back.
DELETE FROM sqlite_sequence WHERE name = 'sync';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'sync', max(coalesce((SELECT max(id) FROM sync_2019), 0),
                   coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'sync_2019'), 0));
