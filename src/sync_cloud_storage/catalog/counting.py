"""The table `counts`: running sums that every change carries along, in its own transaction.

Not by triggers: they make an update twice as dear (measured), and a run is little else than updates.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sync_cloud_storage.catalog.database import Database

CLASSES = ("skipped", "failed", "pending", "downloaded", "uploaded", "gone")
IDS_AT_ONCE = 10_000

# The same words as `state` in the view `blobs`.
_SUMS = """
SELECT CASE
        WHEN skip_reason IS NOT NULL THEN 'skipped'
        WHEN azure_status = 2 OR s3_status = 2 THEN 'failed'
        WHEN azure_status = 0 THEN 'pending'
        WHEN s3_status = 0 THEN 'downloaded' ELSE 'uploaded'
    END, gone_at_utc IS NOT NULL, count(*), sum(coalesce(size_bytes, 0))
FROM sync WHERE id IN (SELECT value FROM json_each(?)) GROUP BY 1, 2
"""

_ALL = """
SELECT state, count(*), sum(coalesce(size_bytes, 0)) FROM blobs GROUP BY state UNION ALL
SELECT 'gone', count(*), sum(coalesce(size_bytes, 0)) FROM blobs WHERE gone_at_utc IS NOT NULL HAVING count(*) > 0
"""

Sums = dict[str, tuple[int, int]]  # class: (blobs, bytes)


class Step(NamedTuple):
    """The usual way of a row through one statement: from class *start* to class *end*.

    `still` counts, of some ids, the rows that are at the start and not gone, and their bytes.
    """

    start: str
    end: str
    still: str


_STILL = """
SELECT count(*), sum(coalesce(size_bytes, 0)) FROM sync WHERE id IN (SELECT value FROM json_each(?))
    AND azure_status = {} AND s3_status = 0 AND skip_reason IS NULL AND gone_at_utc IS NULL
"""
DOWNLOAD = Step("pending", "downloaded", _STILL.format(0))
UPLOAD = Step("downloaded", "uploaded", _STILL.format(1))


@contextmanager
def counted(database: Database, ids: Sequence[int]) -> Iterator[None]:
    """Carry along what happens to these rows inside."""
    before = _sums(database, ids)
    yield
    after = _sums(database, ids)
    after.subtract(before)
    _add(database, after)


def stepped(
    database: Database,
    step: Step,
    ids: Sequence[int],
    sql: str,
    values: Sequence[Sequence[Any]],
    rest: Callable[[], int],
) -> int:
    """Carry along a statement by which nearly all rows take *step*: one light query then, not two; how many it changed.

    Args:
        database: Where.
        step: What *sql* makes of a row that is at its start, if it changes it at all.
        ids: The row of each of *values*.
        sql: The statement.
        values: For each time that it is run.
        rest: Called when it did not change all of them: deals with those, and gives how many rows it changed.
    """
    blobs, size = database.row(step.still, (_json(ids),)) or (0, 0)
    is_usual = blobs == len(ids)
    before = Counter({(step.start, 0): blobs, (step.start, 1): size}) if is_usual else _sums(database, ids)
    changed = database.many(sql, values)
    if is_usual and changed == blobs:
        add(database, {step.start: (-blobs, -size), step.end: (blobs, size)})
        return changed
    if changed < len(values):
        changed += rest()
    after = _sums(database, ids)
    after.subtract(before)
    _add(database, after)
    return changed


def change(database: Database, sql: str, values: tuple[Any, ...], ids: Sequence[int]) -> int:
    """One statement (`... WHERE id = ?`, the last of its values) for each of *ids*, counted; how many rows changed."""
    done = 0
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = ids[start : start + IDS_AT_ONCE]
        with counted(database, some):
            done += database.many(sql, [(*values, row_id) for row_id in some])
    return done


def add(database: Database, sums: Sums) -> None:
    """Count new rows."""
    database.many(
        "UPDATE counts SET blobs = blobs + ?, bytes = bytes + ? WHERE class = ?",
        [(blobs, size, name) for name, (blobs, size) in sums.items() if blobs or size],
    )


def read(database: Database) -> Sums:
    """The running sums."""
    return {name: (blobs, size) for name, blobs, size in database.rows("SELECT class, blobs, bytes FROM counts")}


def recount(database: Database) -> Sums:
    """The same, from the rows."""
    found = {name: (blobs, size) for name, blobs, size in database.rows(_ALL)}
    return {name: found.get(name, (0, 0)) for name in CLASSES}


def heal(database: Database, *, thorough: bool) -> None:
    """Count anew what somebody emptied; *thorough*: also what somebody made wrong, by changing rows by hand."""
    known = read(database)
    if known.keys() == set(CLASSES) and not (thorough and known != recount(database)):
        return
    with database.atomic():
        database.run("DELETE FROM counts")
        database.many(
            "INSERT INTO counts VALUES (?, ?, ?)", [(name, *sums) for name, sums in recount(database).items()]
        )


def _sums(database: Database, ids: Sequence[int]) -> Counter[tuple[str, int]]:
    """(class, 0) counts blobs, (class, 1) bytes."""
    found: Counter[tuple[str, int]] = Counter()
    for state, is_gone, blobs, size in database.rows(_SUMS, (_json(ids),)):
        for name in (state, "gone") if is_gone else (state,):
            found[name, 0] += blobs
            found[name, 1] += size
    return found


def _json(ids: Sequence[int]) -> str:
    return f"[{','.join(map(str, ids))}]"


def _add(database: Database, changes: Counter[tuple[str, int]]) -> None:
    add(database, {name: (changes[name, 0], changes[name, 1]) for name in CLASSES})
