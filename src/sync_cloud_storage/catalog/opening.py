"""Getting hold of a catalog: make it, open it, bring it to today's schema, back it up, take it away.

Whether a file can be believed is looked at before anything is written to it:

* up to `SMALL_BYTES` it is checked in full each time (`integrity_check`, the schema, every text; some tens of
  milliseconds);
* up to `MEDIUM_BYTES` it gets a `quick_check` (a tenth of a second or two) after a run that did not close it;
* beyond, no check that a person would have to wait for: SQLite itself notices most damage where it meets it, and that
  ends the run as `CATALOG-CORRUPT`. `Catalog.check` looks at everything, however long it takes.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import counting
from sync_cloud_storage.catalog.database import CACHE_KIB, CHECKPOINT_PAGES, Database, corrupt, io_fault
from sync_cloud_storage.catalog.local_disk import require_local_disk
from sync_cloud_storage.catalog.lock import Lock
from sync_cloud_storage.catalog.state import utc_text
from sync_cloud_storage.errors import EnvironmentFault, ScsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

APPLICATION_ID = 0x73637331  # "scs1", so that file(1) and we know our own
NEWEST = 2  # the last of migrations/000N.sql
SMALL_BYTES = 16 << 20
MEDIUM_BYTES = 64 << 20  # at 700 MB, 10^6 rows, it took 1.4 s of a restart with all of the file in memory

_COLUMNS_2019 = {"container", "blob", "azure_status", "azure_error", "s3_status", "s3_error"}


def create(path: Path, now: Callable[[], datetime], host: str) -> tuple[Database, Lock]:
    """Make a catalog where there is none, and open it. It appears whole: a kill leaves none, or an empty one.

    Raises:
        As `open_to_write`.
    """
    require_local_disk(path)
    lock = Lock(path, host, utc_text(now()))
    try:
        if not path.exists():
            _publish_empty(path)
        return _open(path, now), lock
    except BaseException:
        lock.release()
        raise


def open_to_write(path: Path, now: Callable[[], datetime], host: str) -> tuple[Database, Lock]:
    """Open a catalog, alone; take over that of 2019 and those of older versions, after a backup.

    Raises:
        CatalogBusy: Another run holds it.
        EnvironmentFault: `CATALOG-MISSING`, `CATALOG-NETWORK`, `CATALOG-CORRUPT`, `CATALOG-FOREIGN`, `CATALOG-NEWER`,
            `CATALOG-IO`. The file is then as it was.
    """
    _require(path)
    require_local_disk(path)
    lock = Lock(path, host, utc_text(now()))
    try:
        return _open(path, now), lock
    except BaseException:
        lock.release()
        raise


def open_to_read(path: Path) -> Database:
    """Open a catalog beside whoever writes it.

    Raises:
        EnvironmentFault: As `open_to_write`, and `CATALOG-OLDER`.
    """
    _require(path)
    database = Database(path, read_only=True)
    try:
        version = _version(database)
        if version == NEWEST:
            _inspect(database, after_crash=False)
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    raise EnvironmentFault(
        "CATALOG-OLDER",
        f"The catalog '{path}' was made by an older version.",
        "A verb that writes, such as `scs sync`, takes it over, after a backup.",
    )


def is_damaged(path: Path) -> bool:
    """Whether SQLite finds the file damaged, of whatever version it is."""
    try:
        with closing(Database(path, read_only=True)) as database:
            return database.row("PRAGMA integrity_check(1)") != ("ok",)
    except EnvironmentFault as fault:
        if fault.code == "CATALOG-CORRUPT":
            return True
        raise


def backup(database: Database, name: str, now: Callable[[], datetime]) -> Path:
    """A copy of the catalog beside it, durable, for the owner's eyes only; where it is."""
    stem = f"{database.path}.{name}-{now():%Y%m%dT%H%M%SZ}"
    target, number = Path(stem), 1
    while target.exists():
        number += 1
        target = Path(f"{stem}-{number}")
    try:
        _make_private(target)  # VACUUM INTO takes an empty file, and keeps its mode
        database.run("VACUUM INTO ?", (str(target),))
        _flush(target)
        _flush_folder(target)
    except OSError as error:
        raise io_fault(target, error.strerror) from error
    except ScsError:
        target.unlink(missing_ok=True)
        raise
    return target


def forget(path: Path, now: Callable[[], datetime], host: str) -> Path:
    """Take a catalog away, after a backup; where that is. One that is damaged becomes its own backup.

    Raises:
        CatalogBusy, EnvironmentFault: As `open_to_write`; damage is no obstacle.
    """
    _require(path)
    lock = Lock(path, host, utc_text(now()))
    try:
        try:
            database = Database(path, read_only=False)
            try:
                _version(database)  # what is no catalog is not ours to take away
                kept = backup(database, "backup", now)
            finally:
                database.close()
            # The WAL first: beside a new catalog of the same name it would be played into that.
            for name in (f"{path}-wal", f"{path}-shm", f"{path}"):
                Path(name).unlink(missing_ok=True)
        except EnvironmentFault as fault:
            if fault.code != "CATALOG-CORRUPT":
                raise
            kept = _rename_away(path, now)
        _flush_folder(path)
        lock.remove()
    except OSError as error:
        raise io_fault(path, error.strerror) from error
    finally:
        lock.release()
    return kept


def set_aside(path: Path, now: Callable[[], datetime], host: str) -> Path | None:
    """Make room for a new catalog where the old one is damaged, or lost but for its WAL.

    Returns:
        Where what was left of it is; None where there was nothing.

    Raises:
        CatalogBusy, EnvironmentFault: As `forget`.
    """
    if not path.exists() and not Path(f"{path}-wal").exists():
        return None
    lock = Lock(path, host, utc_text(now()))
    try:
        return _rename_away(path, now)
    finally:
        lock.release()


def _rename_away(path: Path, now: Callable[[], datetime]) -> Path:
    kept = Path(f"{path}.damaged-{now():%Y%m%dT%H%M%SZ}")
    try:
        for end in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{kept}{end}")
        _flush_folder(path)
    except OSError as error:
        raise io_fault(path, error.strerror) from error
    return kept


# --------------------------------------------------------------------------------------------------------------- inside


def _publish_empty(path: Path) -> None:
    if Path(f"{path}-wal").exists():  # it would be played into the new file
        raise corrupt(path, "its '-wal' file is there and the catalog itself is not")
    draft = Path(f"{path}.new")
    try:
        for end in ("", "-journal"):  # of one who was killed here
            Path(f"{draft}{end}").unlink(missing_ok=True)
        _make_private(draft)
        database = Database(draft, read_only=False)
        try:
            steps = "\n".join(_step(number) for number in range(1, NEWEST + 1))
            database.script(f"PRAGMA application_id = {APPLICATION_ID};\n{steps}")
        finally:
            database.close()
        draft.rename(path)
        _flush_folder(path)
    except OSError as error:
        raise io_fault(path, error.strerror) from error


def _require(path: Path) -> None:
    if not path.exists():
        raise EnvironmentFault(
            "CATALOG-MISSING",
            f"There is no catalog '{path}'.",
            "`scs init` makes one. If there should be one, look at DB_FILE and at the folder that you are in.",
        )


def _open(path: Path, now: Callable[[], datetime]) -> Database:
    database = Database(path, read_only=False)
    try:
        version = _version(database)
        clean = version > 0 and database.row("SELECT value FROM state WHERE key = 'clean'") == ("1",)
        _inspect(database, after_crash=not clean)
        # No mmap: a read error would come as SIGBUS, which nobody can catch.
        database.run(f"PRAGMA cache_size = -{CACHE_KIB}")
        database.run("PRAGMA temp_store = MEMORY")
        database.run("PRAGMA foreign_keys = ON")
        database.run("PRAGMA trusted_schema = OFF")
        _use_wal(database)
        database.run("PRAGMA synchronous = FULL")
        database.run(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _migrate(database, version, now)
        counting.heal(database, thorough=path.stat().st_size <= SMALL_BYTES)
        database.run("INSERT INTO state VALUES ('clean', '0') ON CONFLICT (key) DO UPDATE SET value = '0'")
    except BaseException:
        database.close()
        raise
    return database


def _use_wal(database: Database) -> None:
    if database.row("PRAGMA journal_mode = WAL") != ("wal",):
        raise io_fault(database.path, "it cannot be put into WAL mode")


def close(database: Database) -> None:
    """Say that it ended well, and fold the WAL into the file."""
    with suppress(ScsError):  # what was committed is durable without this; the next one will look closer
        database.run("UPDATE state SET value = '1' WHERE key = 'clean'")
        database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _version(database: Database) -> int:
    """The schema's number; 0 for the catalog of 2019."""
    path = database.path
    version = _number(database, "PRAGMA user_version")
    if version == 0:
        names = {name for (name,) in database.rows("SELECT name FROM pragma_table_info('sync')")}
        if not names >= _COLUMNS_2019:
            raise _foreign(path)
    elif _number(database, "PRAGMA application_id") != APPLICATION_ID:
        raise _foreign(path)
    elif version > NEWEST:
        raise EnvironmentFault(
            "CATALOG-NEWER",
            f"The catalog '{path}' has schema {version}; this version knows them up to {NEWEST}.",
            "Install the version of scs that made it, or a newer one.",
        )
    return version


def _number(database: Database, sql: str) -> int:
    found = database.row(sql)
    return int(found[0]) if found else 0


def _foreign(path: Path) -> EnvironmentFault:
    return EnvironmentFault(
        "CATALOG-FOREIGN",
        f"The file '{path}' is a SQLite file, or an empty one, but no catalog.",
        "Look at DB_FILE: it names something else. An empty file may be removed; then `scs init`.",
    )


def _inspect(database: Database, *, after_crash: bool) -> None:
    size = database.path.stat().st_size
    if size <= SMALL_BYTES:
        check = "PRAGMA integrity_check(1)"
    elif size <= MEDIUM_BYTES and after_crash:
        check = "PRAGMA quick_check(1)"
    else:
        return
    found = database.row(check)
    if found != ("ok",):
        said = str(found[0]).removeprefix("*** in database main ***") if found else "its check gives no answer"
        raise corrupt(database.path, " ".join(said.split()))
    if size <= SMALL_BYTES:
        _read_through(database)


def _read_through(database: Database) -> None:
    """Find what SQLite's own check does not look for: names in the schema, and bytes that are no text."""
    tables = [name for (name,) in database.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if _number(database, "PRAGMA user_version") == NEWEST:
        lost = _expected_schema() - set(database.rows("SELECT type, name, sql FROM sqlite_schema"))
        if lost:
            raise corrupt(database.path, f"its {' '.join(min(lost)[:2])} is not what this program made")
    for table in tables:
        for _ in database.each(f'SELECT * FROM "{table.replace(chr(34), chr(34) * 2)}"'):  # noqa: S608 - a name, quoted
            pass


@cache
def _expected_schema() -> frozenset[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript("".join(_sql(f"{number:04}.sql") for number in range(1, NEWEST + 1)))
        found = fresh.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return frozenset((kind, name, sql) for kind, name, sql in found)


def _migrate(database: Database, version: int, now: Callable[[], datetime]) -> None:
    if version == NEWEST:
        return
    backup(database, f"backup-v{version}", now)
    if version == 0:
        aside, adopt = _sql("2019_aside.sql"), _sql("2019_adopt.sql")
        database.script(f"PRAGMA application_id = {APPLICATION_ID};\n{aside}\n{_step(1)}\n{adopt}")
        version = 1
    for number in range(version + 1, NEWEST + 1):
        database.script(_step(number))


def _step(number: int) -> str:
    """A step of the schema and its record, for one transaction."""
    return f"{_sql(f'{number:04}.sql')}\nPRAGMA user_version = {number};"


def _sql(name: str) -> str:
    return (files(__package__) / "migrations" / name).read_text(encoding="utf-8")


def _make_private(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives its WAL the same mode."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(path: Path) -> None:
    _flush(path.parent)
