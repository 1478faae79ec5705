"""What the catalog says in numbers, for people and faces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import counting
from sync_cloud_storage.model import ContainerStatus, Problem, Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.catalog.database import Database

_CONTAINERS = """
SELECT (SELECT count(*) FROM containers),
    (SELECT count(*) FROM containers WHERE status = 0 AND skip_reason IS NULL),
    (SELECT count(*) FROM containers WHERE error IS NOT NULL AND (status <> 404 OR listed_at_utc IS NULL))
"""

_MISMATCHED = "SELECT count(*) FROM sync INDEXED BY mismatched WHERE nas_check IS NOT NULL OR s3_check IS NOT NULL"


def totals(database: Database) -> Totals:
    """The running sums: costs the same at any size."""
    return _totals(database, counting.read(database))


def recount(database: Database) -> Totals:
    """The same, counted row by row."""
    return _totals(database, counting.recount(database))


def container_counts(database: Database) -> tuple[tuple[ContainerStatus, int], ...]:
    """How many containers have each status that occurs."""
    found = database.rows("SELECT status, count(*) FROM containers GROUP BY status ORDER BY status")
    return tuple((ContainerStatus(status), count) for status, count in found)


def moving(database: Database, containers: Sequence[str]) -> int:
    """How many blobs of these containers are not skipped. Reads their rows."""
    found = database.row(
        "SELECT count(*) FROM sync WHERE container IN (SELECT value FROM json_each(?)) AND skip_reason IS NULL",
        (json.dumps(list(containers)),),
    )
    return found[0] if found else 0


def problems(database: Database, limit: int) -> list[Problem]:
    """The first *limit* lines of the view `problems`."""
    return [
        Problem(*row)
        for row in database.rows("SELECT container, blob, leg, code, sentence FROM problems LIMIT ?", (limit,))
    ]


def damage(database: Database) -> str:
    """What SQLite finds wrong with the file, "" for nothing."""
    found = database.row("PRAGMA integrity_check(1)")
    return "" if found == ("ok",) else str(found)


def check(database: Database) -> list[str]:
    """Look at everything: each page, index and constraint, and the sums. What is wrong, [] when nothing is."""
    found = [text for (text,) in database.rows("PRAGMA integrity_check(20)") if text != "ok"]
    if not found and totals(database) != recount(database):
        found.append(f"the running sums {totals(database)} are not those of the rows, {recount(database)}")
    return found


def _totals(database: Database, sums: counting.Sums) -> Totals:
    # A catalog that was emptied by hand and is only read has none: zeros, until somebody opens it to write.
    skipped, failed, pending, downloaded, uploaded, gone = (sums.get(name, (0, 0)) for name in counting.CLASSES)
    every = (skipped, failed, pending, downloaded, uploaded)
    containers = database.row(_CONTAINERS) or (0, 0, 0)
    return Totals(
        containers=containers[0],
        containers_pending=containers[1],
        containers_failed=containers[2],
        blobs=sum(blobs for blobs, _ in every),
        bytes=sum(size for _, size in every),
        skipped=skipped[0],
        failed=failed[0],
        pending=pending[0],
        pending_bytes=pending[1],
        downloaded=downloaded[0],
        downloaded_bytes=downloaded[1],
        uploaded=uploaded[0],
        uploaded_bytes=uploaded[1],
        gone=gone[0],
        mismatched=(database.row(_MISMATCHED) or (0,))[0],
    )
