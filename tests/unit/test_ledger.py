"""What `ledger.py` and `catalog/balances.py` promise: every blob is counted once, in its state, at one moment."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.balance import Containers, Level, Sum
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.ledger import Halted, open_ledger
from tests.unit.catalogs import AT, blob, listed, made, moved, sql
from tests.unit.ledgers import EVIL, MADE_AT, NoStop, Stopped, eventful, ledger_of
from tests.unit.small_nas import in_memory
from tests.unit.test_catalog_counts import PASTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Of a catalog in which a bit of everything has happened."""
    eventful(tmp_path).close()
    with ledger_of(tmp_path) as found:
        yield found


def test_every_blob_is_in_one_state(ledger: Ledger) -> None:
    """Blobs and bytes by state, and they add up to what was listed."""
    balance = ledger.whole().balance
    assert balance.states() == {
        "proven": Sum(3, 30),
        "uploaded": Sum(2, 20),
        "downloaded": Sum(2, 17),
        "pending": Sum(1, 10),
        "failed": Sum(2, 20),
        "skipped": Sum(1, 10),
    }
    assert balance.listed == Sum(11, 107)
    assert balance.gone() == Sum(1, 10)
    assert ledger.whole().difference_count == 0


def test_what_went_wrong_is_counted_by_code(ledger: Ledger) -> None:
    """Failures, what a check found, why blobs were skipped, and why containers could not be listed."""
    whole = ledger.whole()
    assert whole.balance.failed() == {"AZ-403": Sum(1, 10), "AZ-404-GONE": Sum(1, 10)}
    assert whole.balance.found() == {"S3-SIZE": Sum(1, 10)}
    assert whole.balance.skipped() == {"extension .xml": Sum(1, 10)}
    assert whole.container_codes == (("AZ-403", 1),)
    assert whole.containers == Containers(5, 1, 1, 1)
    assert [(each.container, each.state, each.reason) for each in ledger.unlisted()] == [
        ("broken", "failed", "AZ-403"),
        ("later", "pending", ""),
        ("left", "skipped", "a person said so"),
    ]


def test_levels_are_those_of_the_view(ledger: Ledger, tmp_path: Path) -> None:
    """Each level has the blobs, bytes and attested ones that the view says."""
    levels = ledger.whole().balance.levels()
    by_view = {row[0]: Level(*row[1:]) for row in sql(
        tmp_path, "SELECT level, count(*), sum(size_bytes), sum(attested) FROM blobs GROUP BY level"
    )}  # fmt: skip
    assert {number: level for number, level in enumerate(levels) if level.blobs} == by_view
    assert levels[4] == Level(3, 30, 1)


def test_whose_it_is_and_when(ledger: Ledger, tmp_path: Path) -> None:
    """Account, bucket, NAS, the moment, and when something ran."""
    whole = ledger.whole()
    assert (whole.account, whole.bucket, whole.nas_id) == ("films", "archive", "11" * 16)
    assert whole.at_utc == "2026-12-01T04:05:06Z"
    began, ended = sql(tmp_path, "SELECT began_at_utc, ended_at_utc FROM runs")[0]
    assert (whole.first_run_at_utc, whole.last_run_at_utc, whole.last_check_at_utc) == (began, ended, "")


def test_rows_say_what_is_known_and_why(ledger: Ledger) -> None:
    """Each blob once, with its state, code and sentence; texts are "" where nothing is known."""
    rows = {row.blob: row for row in ledger.rows()}
    assert [rows[name].state for name in "123456"] == [
        "proven", "proven", "uploaded", "downloaded", "pending", "failed"
    ]  # fmt: skip
    assert (rows["1"].level, rows["1"].attested, rows["1"].md5) == (4, 1, "m")
    assert (rows["6"].reason, rows["6"].sentence[:8]) == ("AZ-403", "Refused:")
    assert (rows["9"].reason, rows["9"].s3_check, rows["9"].nas_check) == ("S3-SIZE", "S3-SIZE", "")
    assert rows["9"].sentence.startswith("It is shorter")
    assert (rows["a.xml"].reason, rows["a.xml"].sentence) == ("extension .xml", "")
    assert rows["8"].gone_at_utc == AT
    assert rows["5"]._replace(listed_at_utc="") == (
        "c", "5", "pending", 0, 0, "", 10, "v1", AT, "", "", "", "c/5", "c/5",
        "", "", "", "", "", "", "", "", "", "", "",
    )  # fmt: skip
    assert ledger.find("c", EVIL) == rows[EVIL]
    assert ledger.find("c", "nobody") is None
    assert [row.blob for row in ledger.exceptions()] == [row.blob for row in ledger.rows() if row.state != "proven"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
@settings(max_examples=25, deadline=None)
def test_rows_come_as_their_utf8_bytes_sort(names: list[str]) -> None:
    """By container and name; so a stranger needs no SQLite to put them in order."""
    with in_memory() as folder, made(folder) as catalog:
        listed(catalog, *(blob(name) for name in sorted(names)))
        with ledger_of(folder) as ledger:
            found = [row.blob.encode() for row in ledger.rows()]
    assert found == sorted(name.encode() for name in names)


@given(st.lists(st.sampled_from(sorted(PASTS)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_whatever_happened_the_sums_add_up(pasts: list[str]) -> None:
    """No history makes a blob count twice or not at all, in its container or in the whole."""
    with in_memory() as folder, made(folder) as catalog:
        listed(catalog, *map(str, range(len(pasts))))
        for row, past in enumerate(pasts, 1):
            PASTS[past](catalog, row)
        with ledger_of(folder) as ledger:
            whole, rows = ledger.whole(), list(ledger.rows())
    assert whole.difference_count == 0
    assert len(rows) == len(pasts)
    for state, found in whole.balance.states().items():
        assert found.blobs == sum(row.state == state for row in rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE containers SET blobs = blobs + 1 WHERE name = 'c'", "Container 'c' was listed with 11 blobs"),
        ("UPDATE containers SET bytes = bytes - 1 WHERE name = 'b'", "Container 'b' was listed with 1 blob (6 bytes)"),
        ("DELETE FROM sync WHERE container = 'c' AND blob = '5'", "its rows are 9 blobs"),
        ("UPDATE sync SET container = 'stray' WHERE container = 'b'", "of container 'stray', and no such container"),
        ("UPDATE counts SET blobs = blobs + 1 WHERE class = 'failed'", "say that 3 blobs (20 bytes) are failed"),
        ("UPDATE counts SET bytes = 0 WHERE class = 'uploaded'", "5 blobs (50 bytes)"),
    ],
)
def test_what_does_not_add_up_is_named(tmp_path: Path, change: str, words: str) -> None:
    """A counter, a row or a running sum that somebody changed: exit code 5, and a sentence that says where."""
    eventful(tmp_path).close()
    sql(tmp_path, change)
    with ledger_of(tmp_path) as ledger:
        whole = ledger.whole()
    assert whole.exit_code == 5
    assert whole.difference_count == len(whole.differences)
    assert {problem.code for problem in whole.differences} == {"COUNTS-DIFFER"}
    assert any(words in problem.sentence for problem in whole.differences), whole.differences


def test_running_sums_that_were_emptied_by_hand_are_no_difference(tmp_path: Path) -> None:
    """`DELETE FROM counts` is how changes by hand end; they are counted anew at the next opening."""
    eventful(tmp_path).close()
    sql(tmp_path, "DELETE FROM counts")
    with ledger_of(tmp_path) as ledger:
        assert ledger.whole().difference_count == 0


def test_all_of_it_is_of_one_moment(tmp_path: Path) -> None:
    """What a run writes meanwhile is not seen, neither by sums nor by rows; the run is not held up."""
    with eventful(tmp_path) as writer, ledger_of(tmp_path) as ledger:
        before = ledger.whole()
        first = next(iter(ledger.rows()))
        listed(writer, "new", container="later")
        moved(writer, sql(tmp_path, "SELECT id FROM sync WHERE blob = '5'")[0])
        assert [row.blob for row in ledger.rows()].count("new") == 0
        assert next(iter(ledger.rows())) == first
        assert ledger.find("later", "new") is None
        states = [row.state for row in ledger.rows()]
        assert {state: states.count(state) for state in states} == {
            state: found.blobs for state, found in before.balance.states().items()
        }
    with ledger_of(tmp_path) as later:
        assert later.whole().balance.sum_of().blobs == before.balance.sum_of().blobs + 1


def test_the_largest_containers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many and no more, the largest first, equals by name; all of them count."""
    monkeypatch.setattr("sync_cloud_storage.ledger.LARGEST", 3)
    with made(tmp_path) as catalog:
        from tests.unit.catalogs import account

        sizes = {"a": 5, "b": 50, "d": 5, "e": 70, "f": 5}
        account(catalog, "c", *sizes)
        for name, size in sizes.items():
            listed(catalog, blob("x", size=size), container=name)
    with ledger_of(tmp_path) as ledger:
        whole = ledger.whole()
    assert [balance.container for balance in whole.largest] == ["e", "b", "a"]
    assert whole.balance.sum_of() == Sum(5, 135)


@pytest.mark.parametrize("looks", [0, 1])
def test_a_person_may_stop_it(tmp_path: Path, looks: int) -> None:
    """Between containers, and between rows."""
    eventful(tmp_path).close()
    with open_ledger(tmp_path / "storage.sqlite", lambda: MADE_AT, Stopped(looks)) as ledger:
        with pytest.raises(Halted) as caught:
            ledger.whole()
        assert caught.value.signal_name == "SIGINT"
        with pytest.raises(Halted):
            list(ledger.rows())


def test_a_copy_that_may_only_be_read() -> None:
    """In a folder where nothing can be made, by a user who may not write: it is read, and nothing is left there."""
    with tempfile.TemporaryDirectory() as made_here:
        folder = Path(made_here)
        shelf = folder / "shelf"
        shelf.mkdir()
        eventful(folder).close()
        shutil.copy(folder / "storage.sqlite", shelf)
        folder.chmod(0o755)
        (shelf / "storage.sqlite").chmod(0o444)
        shelf.chmod(0o555)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            with open_ledger(shelf / "storage.sqlite", lambda: MADE_AT, NoStop()) as ledger:
                assert ledger.whole().balance.sum_of().blobs == len(list(ledger.rows())) == 11
        finally:
            os.seteuid(was)
            shelf.chmod(0o755)
        assert [file.name for file in shelf.iterdir()] == ["storage.sqlite"]


def test_the_key_lies_beside_the_catalog_itself(tmp_path: Path) -> None:
    """Wherever a link to the catalog lies."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.symlink_to(tmp_path / "storage.sqlite")
    eventful(tmp_path).close()
    with open_ledger(link, lambda: MADE_AT, NoStop()) as ledger:
        assert ledger.signing_key == tmp_path / "scs-signing.pem"
        assert tmp_path / "storage.sqlite" in ledger.kept_files()
        assert ledger.signing_key in ledger.kept_files()


def test_a_wal_on_the_shelf_is_not_overlooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a WAL with something in it lies beside a read-only copy, it is read, too, or nothing is."""
    with eventful(tmp_path) as catalog:
        listed(catalog, "fresh", container="later")
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
        with Catalog.read(tmp_path / "storage.sqlite") as reader:
            assert reader.book.row("later", "fresh") is not None
