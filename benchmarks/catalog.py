"""How fast the catalog is: rows a second for each of its hot verbs, on the disk of a folder that you name.

    python benchmarks/catalog.py [--rows 1000000] [--page 5000] [--group 1000] [--folder .]

Names, ETags and hashes are as long as those of a video platform's account. Prints wall time and the CPU time of this
process; everything is in one process, as in a run, and each transaction is flushed to disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import Blob, BlobsPage, Downloaded, Uploaded
from sync_cloud_storage.names import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES_IN_CONTAINER = 4
MD5 = "rL0Y20zC+Fzt72VPzMSk2A=="
CRC = "AAAAAAAAAAA="
AT = "2026-11-23T03:18:30Z"


def page(number: int, size: int, version: str) -> BlobsPage:
    """One page of an account with containers of four pages."""
    container = f"asset-{hashlib.md5(b'%d' % (number // PAGES_IN_CONTAINER), usedforsecurity=False).hexdigest()}"
    placement = Placement()
    blobs = (
        Blob(
            f"{number:06}-5333da2bde123309c900c0784f64b73569bba04-02461720_H264_1800kbps_{row:05}.mp4",
            1_000_000 + row,
            f"0x8DB{number * size + row:011X}{version}",
            AT,
            MD5,
            '{"content-type":"video/mp4"}',
            tier="Hot",
        )
        for row in range(size)
    )
    index = number % PAGES_IN_CONTAINER
    return BlobsPage(
        container,
        str(index) if index else "",
        str(index + 1) if index + 1 < PAGES_IN_CONTAINER else "",
        tuple((blob, placement.place(container, blob)) for blob in blobs),
    )


class Watch:
    """Adds up the time of the parts that are measured."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu

    def tell(self, what: str, rows: int) -> None:
        """Print it."""
        print(f"{what:34} {rows / self.wall_s:>10,.0f} rows/s   {rows / self.cpu_s:>10,.0f} rows per CPU second")


def listing(catalog: Catalog, what: str, pages: int, size: int, version: str) -> None:
    """Settle every page once."""
    watch = Watch()
    for number in range(pages):
        one = page(number, size, version)
        with watch.running():
            catalog.settle_blobs_page(one, is_live=False)
    watch.tell(what, pages * size)


def settling(catalog: Catalog, rows: int, group: int) -> None:
    """Hand out and settle all downloads, then all uploads."""
    fetched, handed, sent = Watch(), Watch(), Watch()
    after = 0
    while True:
        with handed.running():
            downloads = catalog.pending_downloads(after, group)
        if not downloads:
            break
        after = downloads[-1].id
        got = [Downloaded(task.id, task.etag, CRC, MD5, task.size_bytes, AT) for task in downloads]
        with fetched.running():
            catalog.settle(got)
    handed.tell("pending_downloads", rows)
    fetched.tell("settle Downloaded", rows)
    after = 0
    while uploads := catalog.pending_uploads(after, group, 1 << 40):
        after = uploads[-1].id
        put = [Uploaded(task.id, task.etag, f'"{MD5}"', CRC, "", task.size_bytes, AT) for task in uploads]
        with sent.running():
            catalog.settle(put)
    sent.tell("settle Uploaded", rows)


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--page", type=int, default=5000)
    options.add_argument("--group", type=int, default=1000)
    options.add_argument("--folder", default=".")
    given = options.parse_args()
    pages = given.rows // given.page
    rows = pages * given.page
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "storage.sqlite"
        with Catalog.create(path, lambda: datetime.now(UTC)) as catalog:
            listing(catalog, "list: new", pages, given.page, "1")
            catalog.reset_all()
            listing(catalog, "list: unchanged", pages, given.page, "1")
            settling(catalog, rows, given.group)
            catalog.reset_all()
            listing(catalog, "list: changed (a tenth)", pages // 10, given.page, "2")
            began = time.perf_counter()
            for _ in range(1000):
                totals = catalog.totals()
            print(f"totals {(time.perf_counter() - began) * 1000:.0f} microseconds; {totals.blobs:,} blobs")
        print(f"{os.path.getsize(path) / rows:.0f} bytes a row")  # noqa: PTH202
        began = time.perf_counter()
        Catalog.open(path, lambda: datetime.now(UTC)).close()
        print(f"open and close {(time.perf_counter() - began) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
