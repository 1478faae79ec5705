"""What the catalog promises as a file: made whole, one writer, taken over after a backup, not believed when damaged."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.catalog import Catalog, database, local_disk, opening
from sync_cloud_storage.catalog.database import Database
from sync_cloud_storage.catalog.local_disk import file_system, is_network
from sync_cloud_storage.errors import CatalogBusy, EnvironmentFault, ScsError
from sync_cloud_storage.model import Failed, Leg, Seen
from tests.unit.catalogs import AT, Clock, account, blob, downloaded, listed, made, moved, sql, states, uploaded
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCHEMA_2019 = """
CREATE TABLE containers(name TEXT UNIQUE, status INTEGER DEFAULT 0, created_at TEXT);
CREATE TABLE sync(id INTEGER PRIMARY KEY AUTOINCREMENT, container TEXT NOT NULL, blob TEXT,
    azure_status INTEGER DEFAULT 0, azure_error TEXT, s3_status INTEGER DEFAULT 0, s3_error TEXT,
    created_at TEXT, updated_at TEXT);
INSERT INTO containers VALUES ('c', 200, '2019-05-01'), ('gone', 404, NULL), (NULL, 0, NULL);
INSERT INTO sync (container, blob, azure_status, azure_error, s3_status, created_at) VALUES
    ('c', 'a', 1, NULL, 1, '2019-05-01'), ('c', 'b', 2, 'timeout', 0, '2019-05-02'), ('c', NULL, 0, NULL, 0, NULL),
    ('c', 'a', 0, NULL, 0, '2019-06-01'), ('unlisted', 'x', 1, NULL, 3, NULL), ('c', 'last', 0, NULL, 0, NULL);
DELETE FROM sync WHERE blob = 'last';
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


def fault_of(action: Callable[[], object]) -> ScsError:
    """The error of ours that it raises."""
    with pytest.raises(ScsError) as caught:
        action()
    return caught.value


def opened(folder: Path) -> Catalog:
    """Open it as the next run does."""
    return Catalog.open(folder / "storage.sqlite", Clock(), host="mover")


def old(folder: Path) -> Path:
    """Make a catalog of the 2019 program."""
    with closing(sqlite3.connect(folder / "storage.sqlite")) as connection:
        connection.executescript(SCHEMA_2019)
    return folder / "storage.sqlite"


# ---------------------------------------------------------------------------------------------------- making one


def test_only_its_owner_can_read_it(folder: Path) -> None:
    """The catalog, its WAL, its lock and its backups: names of blobs are data."""
    with made(folder) as catalog:
        listed(catalog, "a")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(
        ["storage.sqlite", "storage.sqlite-wal", "storage.sqlite-shm", "storage.sqlite.lock"], 0o600
    )
    backup = Catalog.forget(folder / "storage.sqlite", Clock())
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_creating_again_opens_what_is_there(folder: Path) -> None:
    """`scs init` twice loses nothing."""
    with made(folder) as catalog:
        listed(catalog, "a")
    with Catalog.create(folder / "storage.sqlite", Clock()) as catalog:
        assert catalog.totals().blobs == 1


def test_what_a_killed_init_left_is_no_obstacle(folder: Path) -> None:
    """The draft is beside the catalog until it is whole."""
    (folder / "storage.sqlite.new").write_bytes(b"half")
    with made(folder) as catalog:
        assert catalog.totals().blobs == 0
    assert not (folder / "storage.sqlite.new").exists()


def test_an_orphaned_wal_is_not_played_into_a_new_catalog(folder: Path) -> None:
    """Somebody moved the catalog and not its WAL: say so."""
    (folder / "storage.sqlite-wal").write_bytes(b"frames")
    assert fault_of(lambda: made(folder)).code == "CATALOG-CORRUPT"


def test_a_folder_that_is_not_there(folder: Path) -> None:
    """Creating in it is a fault of the disk, and a sentence."""
    assert fault_of(lambda: Catalog.create(folder / "no" / "storage.sqlite", Clock())).code == "CATALOG-IO"


# ---------------------------------------------------------------------------------------------------- opening one


def test_nothing_appears_where_no_catalog_is(folder: Path) -> None:
    """A missing catalog must not become an empty one: everything would be fetched again."""
    for action in (opened, lambda where: Catalog.read(where / "storage.sqlite")):
        fault = fault_of(lambda action=action: action(folder))  # type: ignore[misc]
        assert (fault.code, fault.exit_code) == ("CATALOG-MISSING", 3)
        assert "scs init" in fault.hint
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "CATALOG-FOREIGN"), (b"just a text\n" * 999, "CATALOG-CORRUPT"), (None, "CATALOG-FOREIGN")],
    ids=["empty", "text", "another program's"],
)
def test_what_is_no_catalog_is_left_as_it_is(folder: Path, content: bytes | None, code: str) -> None:
    """DB_FILE may name anything."""
    path = folder / "storage.sqlite"
    if content is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("CREATE TABLE sync (id INTEGER); PRAGMA user_version = 1")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for action in (opened, lambda where: Catalog.read(where / "storage.sqlite"), made):
        assert fault_of(lambda action=action: action(folder)).code == code  # type: ignore[misc]
    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_catalog(folder: Path) -> None:
    """It cannot be opened, and that is a sentence."""
    (folder / "storage.sqlite").mkdir()
    assert fault_of(lambda: opened(folder)).code == "CATALOG-IO"


def test_a_newer_catalog_is_not_touched(folder: Path) -> None:
    """Its schema is unknown here."""
    made(folder).close()
    sql(folder, "PRAGMA user_version = 999")
    before = (folder / "storage.sqlite").read_bytes()
    fault = fault_of(lambda: opened(folder))
    assert fault.code == "CATALOG-NEWER"
    assert "999" in fault.sentence
    assert fault_of(lambda: Catalog.read(folder / "storage.sqlite")).code == "CATALOG-NEWER"
    assert fault_of(lambda: Catalog.forget(folder / "storage.sqlite", Clock())).code == "CATALOG-NEWER"
    assert (folder / "storage.sqlite").read_bytes() == before


def test_an_old_sqlite_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that Python brings must know the statements that we use."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    fault = fault_of(lambda: made(folder))
    assert fault.code == "CATALOG-SQLITE"
    assert "3.33" in fault.hint


def test_reading_beside_a_writer(folder: Path) -> None:
    """A reader sees what is committed, at once, and can write nothing."""
    with made(folder) as catalog:
        listed(catalog, "a")
        with Catalog.read(folder / "storage.sqlite") as reader:
            assert reader.totals().blobs == 1
            listed(catalog, "a", "b")
            assert reader.totals().blobs == 2
            assert fault_of(lambda: reader.reset_live(lambda _: True)).code == "CATALOG-IO"
        assert catalog.reset_live(lambda _: True) == 1


def test_closing_twice(folder: Path) -> None:
    """Does no harm, and lets the next one in."""
    catalog = made(folder)
    catalog.close()
    catalog.close()
    opened(folder).close()


def test_a_closed_catalog_says_so(folder: Path) -> None:
    """A mistake of ours is an error of ours, too."""
    catalog = made(folder)
    catalog.close()
    assert fault_of(catalog.totals).code == "CATALOG-IO"


# -------------------------------------------------------------------------------------------------- network disks


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is created there."""
    monkeypatch.setattr(local_disk, "file_system", lambda *_: "nfs4")
    fault = fault_of(lambda: made(folder))
    assert (fault.code, fault.exit_code) == ("CATALOG-NETWORK", 3)
    assert "nfs4" in fault.sentence
    assert "DB_FILE" in fault.hint
    assert list(folder.iterdir()) == []


def test_the_file_system_is_found_by_its_device() -> None:
    """In the lines that the kernel writes: optional fields, escaped blanks."""
    mounts = (
        "36 35 254:0 / / rw,noatime master:1 shared:2 - ext4 /dev/root rw\n"
        "90 36 0:53 / /mnt/my\\040nas rw - nfs4 server:/x rw\n"
        "91 36 0:54 / /mnt/b rw - fuse.sshfs a:/ rw\n"
    )
    assert file_system(os.makedev(254, 0), mounts) == "ext4"
    assert file_system(os.makedev(0, 53), mounts) == "nfs4"
    assert file_system(os.makedev(0, 54), mounts) == "fuse.sshfs"
    assert file_system(os.makedev(0, 99), mounts) == ""
    assert file_system(os.makedev(0, 99), "broken\n\n") == ""


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("nfs", True),
        ("cifs", True),
        ("fuse.sshfs", True),
        ("fuse.rclone", True),
        ("fuse", True),
        ("fuse.mergerfs", False),
        ("fuseblk", False),
        ("9p", False),
        ("overlay", False),
        ("btrfs", False),
        ("", False),
    ],
)
def test_which_file_systems_are_refused(kind: str, *, refused: bool) -> None:
    """Those of the network, and FUSE unless it is known to be local."""
    assert is_network(kind) == refused


# ------------------------------------------------------------------------------------------------------ one writer


def test_a_second_run_is_told_who_holds_it(folder: Path) -> None:
    """Exit code 4, with process, machine and time; and it may come in when the first one has ended."""
    with made(folder):
        fault = fault_of(lambda: opened(folder))
        assert isinstance(fault, CatalogBusy)
        assert fault.exit_code == 4
        assert f"process {os.getpid()} on mover, since 2026-11-23T03:18:31Z" in fault.sentence
        assert isinstance(fault_of(lambda: Catalog.forget(folder / "storage.sqlite", Clock())), CatalogBusy)
    opened(folder).close()


def test_the_lock_of_a_killed_run_is_free(folder: Path) -> None:
    """The kernel takes it back; there is nothing to clean up."""
    made(folder).close()
    code = (
        "import sys, time; from datetime import datetime, UTC; from pathlib import Path;"
        "from sync_cloud_storage.catalog import Catalog;"
        "catalog = Catalog.open(Path(sys.argv[1]), lambda: datetime.now(UTC));"
        "print('open', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(folder / "storage.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert f"process {other.pid} on {os.uname().nodename}" in fault_of(lambda: opened(folder)).sentence
        other.kill()
    opened(folder).close()


def test_a_lock_that_says_nothing_yet(folder: Path) -> None:
    """Between taking it and writing who took it there is a moment."""
    with made(folder):
        (folder / "storage.sqlite.lock").write_bytes(b"")
        assert "another process" in fault_of(lambda: opened(folder)).sentence


def test_children_do_not_keep_the_lock(folder: Path) -> None:
    """A process that we started may outlive us."""
    command = [sys.executable, "-c", "print('up', flush=True); input()"]
    with made(folder):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, close_fds=False)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
    with child:
        opened(folder).close()
        child.communicate("\n")


def test_somebody_is_in_the_middle_of_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person with sqlite3 and an open transaction: exit code 4 after a while; nothing is lost."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with made(folder) as catalog, closing(sqlite3.connect(folder / "storage.sqlite")) as person:
        person.execute("BEGIN IMMEDIATE")
        fault = fault_of(lambda: listed(catalog, "a"))
        assert (fault.code, fault.exit_code) == ("CATALOG-BUSY", 4)
        person.rollback()
        assert listed(catalog, "a").added == 1


# ---------------------------------------------------------------------------------------------------- full disks


def test_a_full_disk_stops_the_run_and_harms_nothing(folder: Path) -> None:
    """No room for the next page: a fault of the disk. What was committed is there; with room it goes on."""
    made(folder).close()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:  # a limit on the size of files cannot be lifted again
        with suppress(BaseException):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            catalog = opened(folder)
            listed(catalog, "kept")
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            try:
                listed(catalog, "kept", *(f"{number:099}" for number in range(9999)))
            except ScsError as fault:
                kept = catalog.totals().blobs, [task.blob for task in catalog.pending_downloads(0, 9)]
                os.write(writing, json.dumps([fault.code, *kept]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    assert json.loads(os.read(reading, 9999)) == ["CATALOG-IO", 1, ["kept"]]
    os.close(reading)
    with opened(folder) as catalog:
        assert states(folder) == {"kept": "pending"}
        assert catalog.check() == []
        assert listed(catalog, "kept", *(f"{number:099}" for number in range(9999))).added == 9999


# ------------------------------------------------------------------------------------------------------- damage


def filled(folder: Path) -> dict[str, str]:
    """Make a catalog that holds something of everything; the states of its rows."""
    with made(folder) as catalog:
        listed(catalog, *(f"dir-{number % 7}/blob-{number:03}" for number in range(150)))
        catalog.settle([downloaded(row_id) for row_id in range(1, 100)])
        catalog.settle([uploaded(row_id) for row_id in range(1, 50)])
        catalog.settle([Failed(row_id, Leg.AZURE, "v1", "AZ-X", "y") for row_id in range(120, 130)])
    return states(folder)


def use(folder: Path) -> dict[str, str]:
    """Do a bit of everything; how far the catalog says that each blob is, before."""
    with Catalog.read(folder / "storage.sqlite") as reader:
        reader.totals()
    with opened(folder) as catalog:
        found = states(folder)
        catalog.totals()
        catalog.problems(10)
        catalog.pending_uploads(0, 1000, 5)
        catalog.settle([downloaded(task.id, task.etag) for task in catalog.pending_downloads(0, 1000)])
        account(catalog, "c")
        listed(catalog, "dir-0/blob-000", "new")
        catalog.retry_failed(None)
        catalog.check()
    return found


def outcome_of(folder: Path) -> tuple[str, dict[str, str]]:
    """Use it: the code of the error ("" for none), and how far it said that each blob is."""
    try:
        return "", use(folder)
    except EnvironmentFault as fault:
        return fault.code, {}


def test_a_damaged_catalog_is_never_believed(folder: Path) -> None:
    """Bits flipped, bytes overwritten, pages zeroed, an end cut off: it works, or it is one of our errors.

    And never does a row say more than it did: what was pending is not done, what was done is the same blob.
    """
    truth = filled(folder)
    original = (folder / "storage.sqlite").read_bytes()
    dice = random.Random(7)
    refused = 0
    for _ in range(400):
        content = bytearray(original)
        where = dice.randrange(len(content))
        match dice.randrange(4):
            case 0:
                content[where] ^= 1 << dice.randrange(8)
            case 1:
                content[where : where + 8] = dice.randbytes(8)
            case 2:
                start = where & ~4095
                content[start : start + 4096] = bytes(4096)
            case _:
                del content[where:]
        for left in folder.iterdir():
            left.unlink()
        (folder / "storage.sqlite").write_bytes(content)
        code, found = outcome_of(folder)
        if code:
            assert code in {"CATALOG-CORRUPT", "CATALOG-FOREIGN", "CATALOG-NEWER", "CATALOG-IO"}
            assert (folder / "storage.sqlite").read_bytes() == content, "a damaged catalog was written to"
            refused += 1
        done = {(name, state) for name, state in found.items() if state in {"downloaded", "uploaded"}}
        assert done <= truth.items()
    assert 200 < refused < 400


def test_damage_that_is_met_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog too large to be checked at each opening: what SQLite meets on its way is our error, too."""
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    filled(folder)
    path = folder / "storage.sqlite"
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 * 3] = b"\xff" * (len(content) // 2)
    path.write_bytes(content)
    fault = fault_of(lambda: use(folder))
    assert fault.code == "CATALOG-CORRUPT"
    assert "scs rebuild" in fault.hint


def test_after_a_run_that_did_not_end_it_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of middle size is checked only then."""
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    filled(folder)
    path = folder / "storage.sqlite"
    page_of_places = sql(folder, "SELECT rootpage FROM sqlite_schema WHERE name = 'superseded'")[0]
    content = bytearray(path.read_bytes())
    content[(page_of_places - 1) * 4096 : page_of_places * 4096] = b"\x55" * 4096
    path.write_bytes(content)
    opened(folder).close()
    with closing(sqlite3.connect(path)) as person:
        person.execute("UPDATE state SET value = '0' WHERE key = 'clean'")
        person.commit()
    assert fault_of(lambda: opened(folder)).code == "CATALOG-CORRUPT"
    monkeypatch.setattr(opening, "MEDIUM_BYTES", 0)
    opened(folder).close()


def test_a_number_that_is_none(folder: Path) -> None:
    """Nonsense in our own notes is damage."""
    made(folder).close()
    sql(folder, "UPDATE state SET value = 'seven' WHERE key = 'containers_pass'")
    with opened(folder) as catalog:
        assert fault_of(catalog.begin_containers_pass).code == "CATALOG-CORRUPT"


def test_no_success_without_evidence(folder: Path) -> None:
    """Not even a person with sqlite3 can write one."""
    with made(folder) as catalog:
        listed(catalog, "a")
    for query in ("UPDATE sync SET azure_status = 1", "UPDATE sync SET s3_status = 1", "UPDATE sync SET s3_status = 3"):
        with pytest.raises(sqlite3.IntegrityError):
            sql(folder, query)


def test_the_wal_is_lost(folder: Path) -> None:
    """Work of the last minutes is done again; nothing is claimed that is not so."""
    with made(folder) as catalog:
        listed(catalog, "a")
    with opened(folder) as catalog:
        moved(catalog, 1)
        without = (folder / "storage.sqlite").read_bytes()
    (folder / "storage.sqlite").write_bytes(without)
    with opened(folder) as catalog:
        assert catalog.totals().pending == 1
        assert catalog.check() == []


# ------------------------------------------------------------------------------------------------- running sums


def test_rows_that_were_changed_by_hand_are_counted_anew(folder: Path) -> None:
    """In a small catalog at each opening; in a large one when somebody empties the table."""
    with made(folder) as catalog:
        listed(catalog, "a", "b")
    sql(folder, "DELETE FROM sync WHERE blob = 'a'")
    with opened(folder) as catalog:
        assert catalog.totals().blobs == 1


def test_sums_that_were_emptied_are_counted_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/catalog.md says."""
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    with made(folder) as catalog:
        listed(catalog, "a", "b")
    sql(folder, "UPDATE sync SET skip_reason = 'by hand' WHERE blob = 'a'")
    with opened(folder) as catalog:
        assert catalog.totals().skipped == 0
        assert "running sums" in catalog.check()[0]
    sql(folder, "DELETE FROM counts")
    with opened(folder) as catalog:
        assert (catalog.totals().skipped, catalog.totals().pending) == (1, 1)


# ---------------------------------------------------------------------------------------------- the one of 2019


def test_the_catalog_of_2019_is_taken_over(folder: Path) -> None:
    """Ids stay, of two rows for one blob the older; all is pending; what it said is kept beside, and in a backup."""
    old(folder)
    opened(folder).close()
    assert sql(folder, "SELECT id, container, blob, azure_status, s3_status, created_at FROM sync") == [
        (1, "c", "a", 0, 0, "2019-05-01"),
        (2, "c", "b", 0, 0, "2019-05-02"),
        (5, "unlisted", "x", 0, 0, None),
    ]
    assert sql(folder, "SELECT name, status FROM containers") == [("c", 0), ("gone", 0), ("unlisted", 0)]
    assert sql(folder, "SELECT count(*), sum(s3_status) FROM sync_2019") == [(5, 4)]
    (backup,) = folder.glob("storage.sqlite.backup-v0-*")
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT count(*), sum(azure_status) FROM sync").fetchall() == [(5, 4)]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_a_row_of_2019_moves_after_it_was_listed(folder: Path) -> None:
    """Size and ETag come with the listing; its id is as it was, and a new row takes no id that once was another's."""
    old(folder)
    with opened(folder) as catalog:
        assert catalog.totals().pending == 3
        assert catalog.pending_downloads(0, 9) == []
        outcome = listed(catalog, "a", "b", "new")
        assert (outcome.added, outcome.changed) == (1, 2)
        assert [(task.id, task.blob, task.nas_path) for task in catalog.pending_downloads(0, 9)] == [
            (1, "a", "c/a"),
            (2, "b", "c/b"),
            (7, "new", "c/new"),
        ]
        moved(catalog, 1)
        assert catalog.check() == []


def test_a_row_of_2019_that_was_looked_at_is_listed(folder: Path) -> None:
    """The source has it; a listing has to give it its place."""
    old(folder)
    with opened(folder) as catalog:
        listed(catalog, "a", container="c")
        assert [look.blob for look in catalog.pending_looks(0, 9)] == ["b"]
        catalog.settle([Seen(2, blob("b"))])
        assert "c" in [task.container for task in catalog.pending_containers(9)]
        assert 2 not in [task.id for task in catalog.pending_downloads(0, 9)]


def test_the_catalog_of_2019_has_to_be_taken_over_before_it_is_read(folder: Path) -> None:
    """Reading alone changes nothing."""
    before = old(folder).read_bytes()
    fault = fault_of(lambda: Catalog.read(folder / "storage.sqlite"))
    assert fault.code == "CATALOG-OLDER"
    assert "scs sync" in fault.hint
    assert (folder / "storage.sqlite").read_bytes() == before


def test_init_takes_over_the_catalog_of_2019(folder: Path) -> None:
    """`scs init` is what people begin with."""
    old(folder)
    with Catalog.create(folder / "storage.sqlite", Clock()) as catalog:
        assert catalog.totals().blobs == 3


def test_two_backups_in_one_second(folder: Path) -> None:
    """Neither overwrites the other."""

    def still() -> object:
        return Clock().now

    for _ in range(2):
        for left in folder.glob("storage.sqlite*"):
            if "backup" not in left.name:
                left.unlink()
        old(folder)
        Catalog.open(folder / "storage.sqlite", still).close()  # type: ignore[arg-type]
    assert len(list(folder.glob("storage.sqlite.backup-v0-*"))) == 2


# ------------------------------------------------------------------------------------------------------ forgetting


def test_forgetting_leaves_a_backup_and_nothing_else(folder: Path) -> None:
    """And the next catalog begins empty."""
    with made(folder) as catalog:
        listed(catalog, "a")
    backup = Catalog.forget(folder / "storage.sqlite", Clock())
    assert list(folder.iterdir()) == [backup]
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT blob FROM sync").fetchall() == [("a",)]
    with made(folder) as catalog:
        assert catalog.totals().blobs == 0


def test_a_link_leads_to_one_catalog(folder: Path) -> None:
    """One lock, one WAL; and forgetting takes the file, not only the link."""
    with made(folder):
        (folder / "link").symlink_to(folder / "storage.sqlite")
        assert isinstance(fault_of(lambda: Catalog.open(folder / "link", Clock())), CatalogBusy)
    backup = Catalog.forget(folder / "link", Clock())
    assert {path.name for path in folder.iterdir()} == {"link", backup.name}
    (folder / "loop").symlink_to(folder / "loop")
    assert fault_of(lambda: Catalog.open(folder / "loop", Clock())).code in {"CATALOG-MISSING", "CATALOG-IO"}


def test_forgetting_after_a_kill_keeps_what_is_in_the_wal(folder: Path) -> None:
    """The backup has the last commits, too."""
    made(folder).close()
    if (child := os.fork()) == 0:
        listed(opened(folder), "a", "b")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (folder / "storage.sqlite-wal").stat().st_size > 0
    backup = Catalog.forget(folder / "storage.sqlite", Clock())
    assert list(folder.iterdir()) == [backup]
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT count(*) FROM sync").fetchall() == [(2,)]


def test_a_damaged_catalog_is_put_aside(folder: Path) -> None:
    """There is nothing else to keep."""
    (folder / "storage.sqlite").write_bytes(b"just a text\n" * 999)
    kept = Catalog.forget(folder / "storage.sqlite", Clock())
    assert list(folder.iterdir()) == [kept]
    assert kept.read_bytes().startswith(b"just a text")


def test_what_is_no_catalog_is_not_forgotten(folder: Path) -> None:
    """Another program's file is not ours to take away."""
    with closing(sqlite3.connect(folder / "storage.sqlite")) as connection:
        connection.executescript("CREATE TABLE photos (id INTEGER)")
    assert fault_of(lambda: Catalog.forget(folder / "storage.sqlite", Clock())).code == "CATALOG-FOREIGN"
    assert (folder / "storage.sqlite").exists()
    assert fault_of(lambda: Catalog.forget(folder / "none.sqlite", Clock())).code == "CATALOG-MISSING"


# --------------------------------------------------------------------------------------------------- transactions


def test_a_part_can_be_undone_by_itself(folder: Path) -> None:
    """`atomic` inside `atomic`: the inner one is undone alone, the outer one takes all with it."""
    made(folder).close()
    with closing(Database(folder / "storage.sqlite", read_only=False)) as db:

        def put(key: str) -> None:
            db.run("INSERT INTO state VALUES (?, '')", (key,))

        def inner(key: str) -> None:
            with db.atomic():
                put(key)
                raise ValueError(key)

        with db.atomic():
            put("outer")
            with pytest.raises(ValueError, match="inner"):
                inner("inner")
            with db.atomic():
                put("second")
        with pytest.raises(ValueError, match="third"):
            inner("third")
    keys = sql(folder, "SELECT key FROM state")
    assert {"outer", "second"} <= set(keys)
    assert not {"inner", "third"} & set(keys)


def test_times_are_those_that_were_given(folder: Path) -> None:
    """No clock is read but the one that came as an argument."""
    with made(folder) as catalog:
        listed(catalog, "a")
        catalog.settle([downloaded(1)])
    created, fetched = sql(folder, "SELECT created_at, downloaded_at_utc FROM sync")[0]
    assert created.startswith("2026-11-23T03:18:")
    assert fetched == AT
