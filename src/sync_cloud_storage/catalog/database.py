"""One SQLite connection: statements, transactions, and its errors turned into ours. Knows no table."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.errors import CatalogBusy, EnvironmentFault, ScsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

BUSY_TIMEOUT_S = 30.0  # a person's sqlite3 session may hold the catalog for a moment
CHECKPOINT_PAGES = 4000  # 16 MiB of WAL: few enough checkpoints for listings, a small file to read back after a kill
CACHE_KIB = 16 * 1024  # rows come in order: 8 to 64 MiB took the same CPU, listing and moving (benchmarks/catalog.py)

ROWS_AT_ONCE = 50  # 10 take off a third, 50 nearly half; SQLite takes 32,766 values in a statement

_MINIMUM = (3, 33, 0)

# A record with a nonsensical length or text makes Python's module raise what is no error of SQLite's.
_FOREIGN = (sqlite3.Error, MemoryError, UnicodeDecodeError)

_CORRUPT_HINT = (
    "It was left as it is. `scs rebuild` keeps it aside and makes a new one: files and objects that are right are "
    "adopted, not copied again."
)
_IO_HINT = "Look at the disk: free space, permissions, its health. Nothing was marked failed; run again."
_BUSY_HINT = "Close the program that has it open (sqlite3 with a BEGIN?), then run again."

_DAMAGE = frozenset({
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_FORMAT,
})  # fmt: skip


def corrupt(path: Path, reason: str) -> EnvironmentFault:
    """Build the error for a catalog that cannot be believed."""
    return EnvironmentFault("CATALOG-CORRUPT", f"The catalog '{path}' is damaged: {reason}.", _CORRUPT_HINT)


def io_fault(path: Path, reason: object) -> EnvironmentFault:
    """Build the error for a catalog that the disk, or the system, does not give."""
    return EnvironmentFault("CATALOG-IO", f"The catalog '{path}' cannot be read or written: {reason}.", _IO_HINT)


def _is_at_rest(path: Path) -> bool:
    """Whether nobody can be writing it: in a folder, or on a disk, that is read-only, and with nothing left in a WAL.

    There SQLite cannot make the shared memory that reading beside a writer takes (sqlite.org, "Read-Only Databases").
    """
    try:
        return not os.access(path.parent, os.W_OK, effective_ids=True) and not _size(f"{path}-wal")
    except OSError:
        return False  # opening it says it better


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size  # noqa: PTH116 - a name that is no Path
    except FileNotFoundError:
        return 0


class Database:
    """A connection in autocommit mode. Not for two threads, not for a process that was forked from this one.

    All methods raise `EnvironmentFault` (`CATALOG-CORRUPT`, `CATALOG-IO`) or `CatalogBusy`, never SQLite's own errors.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        if sqlite3.sqlite_version_info < _MINIMUM:
            raise EnvironmentFault(
                "CATALOG-SQLITE",
                f"SQLite {sqlite3.sqlite_version} is too old for the catalog.",
                f"Use a Python that comes with {'.'.join(map(str, _MINIMUM))} or newer.",
            )
        self.path = path
        mode = "rw"  # never rwc: a catalog that is missing must not appear, empty
        if read_only:
            mode = "ro&immutable=1" if _is_at_rest(path) else "ro"
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True
            )
        except sqlite3.Error as error:
            raise self._ours(error) from error

    def close(self) -> None:
        """Let go of the file. The last one to do so takes the WAL away."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except _FOREIGN as error:
            raise self._ours(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one, for those that may be millions."""
        try:
            # Not `yield from`: who leaves in the middle would close the cursor, of a file that may be closed.
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row
        except _FOREIGN as error:
            raise self._ours(error) from error

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """One statement; how many rows it changed."""
        try:
            return self._connection.execute(sql, values).rowcount
        except _FOREIGN as error:
            raise self._ours(error) from error

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        """One statement for each of *values*; how many rows they changed in all."""
        try:
            return self._connection.executemany(sql, values).rowcount
        except _FOREIGN as error:
            raise self._ours(error) from error

    def insert(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """*sql*, which ends with the values of one row (`VALUES (?, ?)`), for all *rows*; how many it added.

        Some rows share a statement: what SQLite and Python do for each statement is half of the cost of a row.
        """
        head, values, row = sql.rstrip().rpartition("VALUES")
        for_some = f"{head}{values}{','.join([row] * ROWS_AT_ONCE)}"
        whole = len(rows) - len(rows) % ROWS_AT_ONCE
        some = (list(chain.from_iterable(rows[at : at + ROWS_AT_ONCE])) for at in range(0, whole, ROWS_AT_ONCE))
        return (self.many(for_some, some) if whole else 0) + self.many(sql, rows[whole:])

    def script(self, sql: str) -> None:
        """Several statements in one transaction: all or none."""
        try:
            # `executescript` would commit a transaction that is open, so the script brings its own.
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nCOMMIT;")
        except _FOREIGN as error:
            self._undo()
            raise self._ours(error) from error

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All or nothing, durable when it is left. Inside another one it is a part of that, undone by itself.

        Writing begins at once (IMMEDIATE): a transaction that reads first and writes later could find itself outrun.
        """
        inner = self._connection.in_transaction
        self.run("SAVEPOINT inner_part" if inner else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # A full disk may have ended the transaction already; what counts is the first error.
            if inner and self._connection.in_transaction:
                with suppress(ScsError):
                    self.run("ROLLBACK TO inner_part")
                    self.run("RELEASE inner_part")
            elif not inner:
                self._undo()
            raise
        if inner:
            self.run("RELEASE inner_part")
            return
        try:
            self.run("COMMIT")
        except ScsError:
            self._undo()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one moment, whatever others write meanwhile."""
        self.run("BEGIN")
        try:
            self.run("SELECT count(*) FROM sqlite_schema")  # the first read is the moment
            yield
        finally:
            self._undo()

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.rollback()

    def _ours(self, error: Exception) -> ScsError:
        reason = str(error).rstrip(".")
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else sqlite3.SQLITE_FORMAT  # no code: text that is no UTF-8, and such
        if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return CatalogBusy("CATALOG-BUSY", f"Another program writes to the catalog '{self.path}'.", _BUSY_HINT)
        if primary in _DAMAGE and not isinstance(error, sqlite3.ProgrammingError):
            return corrupt(self.path, reason or "a record has an impossible length")
        return io_fault(self.path, reason)
