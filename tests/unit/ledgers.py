"""Catalogs in which a bit of everything has happened, and ledgers of them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sync_cloud_storage import signing
from sync_cloud_storage.ledger import open_ledger, signing_key_of
from sync_cloud_storage.model import Attest, Checked, ContainerFailed, Failed, Gone, Leg
from sync_cloud_storage.names import Placement
from tests.unit.catalogs import AT, account, blob, downloaded, listed, made, moved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.ledger import Ledger

EVIL = "=cmd|'<script>alert(1)</script>\"&\u202e,\n\x1b[31m\ud7ff漢😀"
SECRET = "sig=s3cr3t"
MADE_AT = datetime(2026, 12, 1, 4, 5, 6, tzinfo=UTC)


class NoStop:
    """Nobody stops it."""

    signal_name = ""

    def is_set(self) -> bool:
        """No."""
        return False


class Stopped:
    """Somebody has pressed Ctrl-C after so many looks."""

    signal_name = "SIGINT"

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._lock = threading.Lock()

    def is_set(self) -> bool:
        """Whether it is so far."""
        self._looks -= 1
        return self._looks < 0


def eventful(folder: Path) -> Catalog:
    """A catalog with a blob in every state, at every level, and a container in every one.

    Rows: 1 proven and attested, 2 proven, 3 uploaded, 4 downloaded, 5 pending, 6 failed (its sentence has a secret),
    7 of an evil name and proven, 8 gone and failed, 9 found wrong, 10 skipped, 11 in another container, downloaded.
    """
    catalog = made(folder)
    account(catalog, "c", "b", "left", "broken", "later", skip="left")
    catalog.claim(account="films", bucket="archive", nas_id="11" * 16)
    catalog.begin_run("run")
    names = ["1", "2", "3", "4", "5", "6", EVIL, "8", "9", "a.xml"]
    placement = Placement(skip_extensions=(".xml",))
    listed(catalog, *sorted((blob(name, size=10) for name in names), key=lambda one: one.name), placement=placement)
    ids = {name: row for row, name in enumerate(sorted(names), 1)}
    moved(catalog, *(ids[name] for name in ("1", "2", "3", "9", EVIL)))
    catalog.settle([downloaded(ids["4"]), downloaded(ids["1"])._replace(md5="m", attested=True)])
    catalog.settle([Failed(ids["6"], Leg.AZURE, "v1", "AZ-403", f"Refused: https://x/?{SECRET}")])
    catalog.settle([Gone(ids["8"], AT)])
    catalog.settle([Checked(ids[name], "", "", True, "", '"e"') for name in ("1", "2", EVIL)])  # noqa: FBT003
    catalog.settle([Checked(ids["9"], "", f"S3-SIZE: It is shorter: {SECRET}")])
    listed(catalog, blob("z", size=7), container="b")
    catalog.settle([downloaded(11)])
    catalog.settle_container_failed(ContainerFailed("broken", "AZ-403", "Refused.", False))  # noqa: FBT003
    catalog.end_run("done")
    assert [task.id for task in catalog.pending_downloads(0, 9, attest=Attest.NONE)] == [ids["5"]]
    return catalog


def finished(folder: Path) -> Catalog:
    """A catalog of which all is proven."""
    catalog = made(folder)
    listed(catalog, "a", "b/c")
    moved(catalog, 1, 2)
    catalog.settle([Checked(row, "", "", True, "", '"e"') for row in (1, 2)])  # noqa: FBT003
    return catalog


@contextmanager
def ledger_of(folder: Path) -> Iterator[Ledger]:
    """The ledger of the catalog there, with a key to sign with."""
    path = folder / "storage.sqlite"
    signing.make(signing_key_of(path))
    with open_ledger(path, lambda: MADE_AT, NoStop()) as ledger:
        yield ledger
