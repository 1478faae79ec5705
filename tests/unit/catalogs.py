"""A catalog to play with: pages, a clock that ticks by itself, and SQL from the outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import Blob, BlobsPage, Container, ContainersPage, Downloaded, Uploaded
from sync_cloud_storage.names import Placement

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sync_cloud_storage.model import PageOutcome

PLAIN = Placement()
FLAT = Placement(key_template="{blob}")
CRC = "AAAAAAAAAAA="
AT = "2026-11-23T03:18:30Z"


class Clock:
    """Each reading is a second later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 3, 18, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        self.now += timedelta(seconds=1)
        return self.now


def made(folder: Path) -> Catalog:
    """Make a catalog, with one container `c` that is pending."""
    catalog = Catalog.create(folder / "storage.sqlite", Clock(), host="mover")
    account(catalog, "c")
    return catalog


def account(catalog: Catalog, *names: str, skip: str = "") -> None:
    """List an account that has these containers, in one page."""
    task = catalog.begin_containers_pass()
    page = ContainersPage(task.marker, "", tuple(Container(name, AT, "0x1") for name in names))
    catalog.settle_containers(page, lambda name: "a person said so" if name == skip else "")


def blob(name: str, etag: str = "v1", size: int = 10, **more: str) -> Blob:
    """A blob of the source."""
    return Blob(name, size, etag, AT, **more)


def page(
    blobs: Iterable[Blob | str],
    marker: str = "",
    next_marker: str = "",
    *,
    container: str = "c",
    placement: Placement = PLAIN,
    prefix: str = "",
    parts: tuple[str, ...] = (),
) -> BlobsPage:
    """A page as the lister makes it."""
    full = [one if isinstance(one, Blob) else blob(one) for one in blobs]
    listed = zip(full, placement.places(container, full), strict=True)
    return BlobsPage.of(container, marker, next_marker, listed, prefix=prefix, parts=parts)


def listed(
    catalog: Catalog, *blobs: Blob | str, container: str = "c", placement: Placement = PLAIN, is_live: bool = False
) -> PageOutcome:
    """List a container in one page."""
    return catalog.settle_blobs_page(page(blobs, container=container, placement=placement), is_live=is_live)


def downloaded(row_id: int, etag: str = "v1", crc: str = CRC) -> Downloaded:
    """A worker's word that a blob is on the NAS."""
    return Downloaded(row_id, etag, crc, "", 10, AT)


def uploaded(row_id: int, etag: str = "v1", checksum: str = CRC) -> Uploaded:
    """A worker's word that an object is in S3."""
    return Uploaded(row_id, etag, '"e"', checksum, "", 10, AT)


def moved(catalog: Catalog, *ids: int) -> None:
    """Let these rows arrive in S3."""
    catalog.settle([downloaded(row_id) for row_id in ids])
    catalog.settle([uploaded(row_id) for row_id in ids])


def sql(folder: Path, query: str, *values: object) -> list[Any]:
    """What a person sees with sqlite3: rows, or plain values where there is one column."""
    with closing(sqlite3.connect(folder / "storage.sqlite")) as connection:
        rows = connection.execute(query, values).fetchall()
        connection.commit()
    return [row[0] if len(row) == 1 else row for row in rows]


def paths(folder: Path) -> dict[str, str]:
    """NAS path of each blob that has one."""
    return dict(sql(folder, "SELECT container || '/' || blob, nas_path FROM blobs WHERE state <> 'skipped'"))


def states(folder: Path) -> dict[str, str]:
    """How far each blob is."""
    return dict(sql(folder, "SELECT blob, state FROM blobs"))
