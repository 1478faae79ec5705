"""A process that dies between any two statements of SQL leaves a catalog that is whole, and work that goes on."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import Failed, Gone, Leg
from tests.unit.catalogs import AT, FLAT, Clock, account, blob, downloaded, page, sql, uploaded
from tests.unit.small_nas import in_memory
from tests.unit.test_catalog_file import old

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync_cloud_storage.model import Blob

    Story = Callable[[Path], object]

# What no time and no order of attempts may change.
END = """
SELECT container, blob, state, reason, etag, size_bytes, s3_key, nas_path, crc64nvme, gone_at_utc IS NULL FROM blobs
ORDER BY container, blob
"""


def journey(folder: Path) -> None:
    """List, move, list again with changes, and move what is left; each step is what the next run would do, too."""
    with Catalog.create(folder / "storage.sqlite", Clock()) as catalog:
        account(catalog, "c", "d")
        for changed in (False, True):
            catalog.reset_live(lambda _: True)
            for task in catalog.pending_containers(9):
                _list(catalog, task.container, changed=changed)
            catalog.settle([Gone(look.id, AT) for look in catalog.pending_looks(0, 99)])
            for fetched in catalog.pending_downloads(0, 99):
                failed = Failed(fetched.id, Leg.AZURE, fetched.etag, "AZ-X", "y")
                catalog.settle([failed if fetched.blob == "bad" else downloaded(fetched.id, fetched.etag)])
            for sent in catalog.pending_uploads(0, 99, 1):
                catalog.settle([uploaded(sent.id, sent.etag)])


def _list(catalog: Catalog, container: str, *, changed: bool) -> None:
    etag = "v2" if changed else "v1"
    last = ["A", "bad"] if changed else ["A", "bad", "leaves"]
    pages: list[list[Blob | str]] = [["a", blob("a/b", etag)], [*last]]
    for number, names in enumerate(pages):
        markers = str(number or ""), str(number + 1) if number == 0 else ""
        catalog.settle_blobs_page(page(names, *markers, container=container, placement=FLAT), is_live=False)


def take_over(folder: Path) -> None:
    """Open a catalog of 2019."""
    Catalog.open(folder / "storage.sqlite", Clock()).close()


def killed_at(statement: int, story: Story, folder: Path) -> bool:
    """Tell the story in a process that kills itself when its SQL comes to this statement; whether it did."""
    if (child := os.fork()) == 0:
        counter = count(1)

        def die(_: str) -> None:
            if next(counter) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        connect = sqlite3.connect

        def traced(*values: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*values, **options)
            connection.set_trace_callback(die)
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]
        try:
            story(folder)
            os._exit(0)
        except BaseException:  # noqa: BLE001
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(("before", "story"), [(None, journey), (old, take_over)], ids=["journey", "take over"])
def test_killed_before_each_statement(before: Story | None, story: Story) -> None:
    """After each kill the catalog is whole and its sums are right; told again, the story ends as if undisturbed."""
    prepare = before or (lambda _: None)
    with in_memory() as folder:
        prepare(folder)
        story(folder)
        undisturbed = sql(folder, END)
    for statement in count(1, 3):
        with in_memory() as folder:
            prepare(folder)
            was_killed = killed_at(statement, story, folder)
            if (folder / "storage.sqlite").exists():
                with closing(sqlite3.connect(folder / "storage.sqlite")) as person:
                    assert person.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            story(folder)
            assert sql(folder, END) == undisturbed, statement
            with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
                assert catalog.check() == []
            if not was_killed:
                break
    assert statement > 20, "the story has more statements than that"


def test_killed_twice_and_again() -> None:
    """At random moments, in the middle of flushes too, until it comes to its end."""
    dice = random.Random(3)
    with in_memory() as folder:
        journey(folder)
        undisturbed = sql(folder, END)
    with in_memory() as folder:
        for _ in range(60):
            if (child := os.fork()) == 0:
                journey(folder)
                os._exit(0)
            time.sleep(dice.random() * 0.03)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        journey(folder)
        assert sql(folder, END) == undisturbed


def test_a_page_is_there_as_a_whole_or_not_at_all() -> None:
    """Rows, sums, and the place to go on commit together."""
    seen = set()

    def one_page(folder: Path) -> None:
        with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
            catalog.settle_blobs_page(page(["x", "y"], "", "m1"), is_live=False)

    for statement in count(1):
        with in_memory() as folder:
            with Catalog.create(folder / "storage.sqlite", Clock()) as catalog:
                account(catalog, "c")
            was_killed = killed_at(statement, partial(one_page), folder)
            with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
                marker = catalog.pending_containers(1)[0].marker
                seen.add((catalog.totals().blobs, len(catalog.pending_downloads(0, 9)), marker))
            if not was_killed:
                break
    assert seen == {(0, 0, ""), (2, 2, "m1")}
