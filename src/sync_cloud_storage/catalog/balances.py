"""The catalog read as a book of accounts: what was listed, what became of it, and each blob by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.balance import Balance, BlobRow, Containers, Group, Sum, UnlistedContainer, difference
from sync_cloud_storage.catalog import counting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.catalog.database import Database

# The view `blobs`, with the one state that takes a proof level, and an error cut into code and sentence.
_STATE = "CASE WHEN state = 'uploaded' AND level = 4 THEN 'proven' ELSE state END"
_REASON = "CASE WHEN state = 'skipped' THEN said WHEN colon THEN substr(said, 1, colon - 1) ELSE '' END"
_CODE_OF = "coalesce(substr({0}, 1, max(instr({0}, ': ') - 1, 0)), '')"
_FROM = """
FROM (SELECT *, instr(said, ': ') AS colon
    FROM (SELECT *, coalesce(reason, s3_check, nas_check, '') AS said FROM blobs))
"""

# The names of all containers, also of those that only have blobs: from one to the next along the index of `sync`.
_NAMES = """
WITH RECURSIVE seen (name) AS (
    SELECT min(container) FROM sync
    UNION ALL SELECT (SELECT min(container) FROM sync WHERE container > name) FROM seen WHERE name IS NOT NULL
)
SELECT name FROM containers UNION SELECT name FROM seen WHERE name IS NOT NULL ORDER BY name
"""

_GROUPS = f"""
SELECT {_STATE}, level, attested, gone_at_utc IS NOT NULL, nas_check IS NOT NULL OR s3_check IS NOT NULL, {_REASON},
    count(*), sum(coalesce(size_bytes, 0))
{_FROM} WHERE container = ? GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""

_ROWS = f"""
SELECT container, blob, {_STATE}, level, attested, {_REASON}, size_bytes, coalesce(etag, ''),
    coalesce(last_modified, ''), coalesce(content_md5, ''), coalesce(crc64nvme, ''), coalesce(md5, ''), nas_path,
    s3_key, coalesce(s3_etag, ''), coalesce(s3_checksum, ''), coalesce(s3_version_id, ''), coalesce(created_at, ''),
    coalesce(downloaded_at_utc, ''), coalesce(uploaded_at_utc, ''), coalesce(checked_at_utc, ''),
    coalesce(gone_at_utc, ''), {_CODE_OF.format("nas_check")}, {_CODE_OF.format("s3_check")},
    CASE WHEN state = 'skipped' THEN '' WHEN colon THEN substr(said, colon + 2) ELSE said END
{_FROM}
"""
_ORDER = " ORDER BY container, blob"
_EXCEPTION = " WHERE NOT (state = 'uploaded' AND level = 4) OR nas_check IS NOT NULL OR s3_check IS NOT NULL"

# A container that is gone (404) after it was listed has nothing more to list.
_HAS_FAILED = "error IS NOT NULL AND (status <> 404 OR listed_at_utc IS NULL)"
_UNLISTED = f"""
SELECT name, CASE WHEN skip_reason IS NOT NULL THEN 'skipped' WHEN {_HAS_FAILED} THEN 'failed' ELSE 'pending' END
    AS state,
    CASE WHEN skip_reason IS NOT NULL THEN skip_reason
        WHEN {_HAS_FAILED} AND instr(error, ': ') THEN substr(error, 1, instr(error, ': ') - 1) ELSE '' END AS reason
FROM containers WHERE skip_reason IS NOT NULL OR status = 0 OR ({_HAS_FAILED}) ORDER BY name
"""  # noqa: S608 - of the constants above

_CODES = f"""
SELECT reason, count(*) FROM ({_UNLISTED}) WHERE state = 'failed' GROUP BY reason ORDER BY 2 DESC, 1
"""  # noqa: S608 - of the constant above

_LISTED = "SELECT coalesce(sum(blobs), 0), coalesce(sum(bytes), 0) FROM containers"

_TIMES = """
SELECT coalesce(min(began_at_utc), ''), coalesce(max(ended_at_utc), ''),
    coalesce(max(ended_at_utc) FILTER (WHERE verb = 'xcheck' AND result = 'done'), '') FROM runs
"""


class Book:
    """Reads only; where all is to be of one moment, inside `Catalog.snapshot`. Raises as `Catalog` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def balances(self) -> Iterator[Balance]:
        """Each container, by name: what was listed, and what became of it, counted row by row."""
        for (name,) in self._database.each(_NAMES):
            counter = self._database.row("SELECT blobs, bytes FROM containers WHERE name = ?", (name,))
            groups = tuple(map(Group._make, self._database.rows(_GROUPS, (name,))))
            yield Balance(name, None if counter is None else Sum(*counter), groups)

    def unaccounted(self) -> str:
        """Hold what the listings of all containers counted against the running sums of what became of it; "" if equal.

        Each is kept by another part of the program, so that a blob that one of them loses shows in the other. Costs a
        look at every container, and at every row only where something is wrong: then the container is named.
        """
        listed = Sum(*(self._database.row(_LISTED) or (0, 0)))
        kept = [sums for name, sums in self.running().items() if name != "gone"]
        found = Sum(sum(one.blobs for one in kept), sum(one.bytes for one in kept))
        if listed == found:
            return ""
        where = next(filter(None, map(difference, self.balances())), None)
        if where is not None:
            return f"{where.code}: {where.sentence}"
        return f"COUNTS-DIFFER: {listed.blobs:,} blobs were listed, and {found.blobs:,} are accounted for."

    def running(self) -> dict[str, Sum]:
        """The running sums of the whole catalog, by class; {} where somebody emptied them, to be counted anew."""
        return {name: Sum(*sums) for name, sums in counting.read(self._database).items()}

    def rows(self, *, exceptions: bool = False) -> Iterator[BlobRow]:
        """Every blob, by container and name as their UTF-8 bytes sort; *exceptions*: not proven, or not right since."""
        return map(BlobRow._make, self._database.each(f"{_ROWS}{_EXCEPTION if exceptions else ''}{_ORDER}"))

    def row(self, container: str, blob: str) -> BlobRow | None:
        """One blob, None where the catalog has none of that name."""
        found = self._database.row(f"{_ROWS} WHERE container = ? AND blob = ?", (container, blob))
        return BlobRow._make(found) if found else None

    def unlisted(self) -> Iterator[UnlistedContainer]:
        """Containers that are not listed, or not to their end, by name."""
        return map(UnlistedContainer._make, self._database.each(_UNLISTED))

    def containers(self) -> Containers:
        """How many containers there are, and how many of them are not listed."""
        found = dict(self._database.rows(f"SELECT state, count(*) FROM ({_UNLISTED}) GROUP BY state"))  # noqa: S608
        known = (self._database.row("SELECT count(*) FROM containers") or (0,))[0]
        return Containers(known, found.get("pending", 0), found.get("failed", 0), found.get("skipped", 0))

    def container_codes(self) -> tuple[tuple[str, int], ...]:
        """Why containers could not be listed: codes, and how many each."""
        return tuple((code, count) for code, count in self._database.rows(_CODES))

    def times(self) -> tuple[str, str, str]:
        """When the first run began, the last one ended, and the last check ended; "" for never."""
        first, last, check = self._database.row(_TIMES) or ("", "", "")
        return first, last, check
