"""How fast the catalog is: rows a second for each of its hot verbs, on the disk of a folder that you name.

    python benchmarks/catalog.py [--rows 1000000] [--page 5000] [--group 1000] [--folder .]

Names, ETags and hashes are as long as those of a video platform's account. Prints wall time and the CPU time of this
process; everything is in one process, as in a run, and each transaction is flushed to disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage import signing
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.cli.stop import Stop
from sync_cloud_storage.feeds import Feeds, Rows
from sync_cloud_storage.ledger import open_ledger, signing_key_of
from sync_cloud_storage.model import Blob, BlobsPage, Download, Downloaded, Upload, Uploaded
from sync_cloud_storage.names import Placement
from sync_cloud_storage.report import Files, checking, write
from sync_cloud_storage.run import Rules, Run
from sync_cloud_storage.tally import Tally
from sync_cloud_storage.worker import Batch, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sync_cloud_storage.worker import Message

PAGES_IN_CONTAINER = 4
MD5 = "rL0Y20zC+Fzt72VPzMSk2A=="
CRC = "AAAAAAAAAAA="
AT = "2026-11-23T03:18:30Z"


def page(number: int, size: int, version: str) -> BlobsPage:
    """One page of an account with containers of four pages."""
    container = f"asset-{hashlib.md5(b'%d' % (number // PAGES_IN_CONTAINER), usedforsecurity=False).hexdigest()}"
    placement = Placement()
    blobs = [
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
    ]
    index = number % PAGES_IN_CONTAINER
    return BlobsPage.of(
        container,
        str(index) if index else "",
        str(index + 1) if index + 1 < PAGES_IN_CONTAINER else "",
        zip(blobs, placement.places(container, blobs), strict=True),
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


def fetched_one(task: Download) -> Downloaded:
    """What a worker says of it."""
    return Downloaded(task.id, task.etag, CRC, MD5, task.size_bytes, AT)


def sent_one(task: Upload) -> Uploaded:
    """What a worker says of it."""
    return Uploaded(task.id, task.etag, f'"{MD5}"', CRC, "", task.size_bytes, AT)


class Answers:
    """An executor of two workers that have done everything at once; `away_s` is the CPU time that was theirs."""

    workers = 2

    def __init__(self) -> None:
        self.away_s = 0.0
        self._said: list[tuple[int, bytes]] = []

    def send(self, worker: int, message: Message) -> None:
        """Do all of a batch."""
        sent = pickle.dumps(message)
        began = time.process_time()
        batch = pickle.loads(sent)  # noqa: S301 - our own
        if isinstance(batch, Batch):
            results = tuple(
                fetched_one(task) if isinstance(task, Download) else sent_one(task)
                for _, task in batch.tasks
                if isinstance(task, Download | Upload)
            )
            report = Report(results, tuple(ticket for ticket, _ in batch.tasks), 1, 1, 16)
            self._said.append((worker, pickle.dumps(report)))
        self.away_s += time.process_time() - began

    def receive(self, longest_s: float) -> Sequence[tuple[int, Report]]:
        """A report of each worker."""
        del longest_s
        said, self._said[:2] = self._said[:2], []
        return [(worker, pickle.loads(report)) for worker, report in said]  # noqa: S301 - our own

    def close(self) -> None:
        """Nothing to let go of."""


def driving(catalog: Catalog, what: str, feeds: Feeds, rows: int) -> None:
    """All that the writer's process does for a row of a run, but for the pipes: tasks out, results in, committed."""
    answers, watch = Answers(), Watch()
    rules = Rules(lambda _: "", lambda _: False)
    run = Run(catalog, answers, rules, Tally(), tick=lambda *_: (), stopping=lambda: False)
    with watch.running():
        run.drive(feeds)
    watch.wall_s -= answers.away_s
    watch.cpu_s -= answers.away_s
    watch.tell(what, rows)


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
        got = [fetched_one(task) for task in downloads]
        with fetched.running():
            catalog.settle(got)
    handed.tell("pending_downloads", rows)
    fetched.tell("settle Downloaded", rows)
    after = 0
    while uploads := catalog.pending_uploads(after, group, 1 << 40):
        after = uploads[-1].id
        put = [sent_one(task) for task in uploads]
        with sent.running():
            catalog.settle(put)
    sent.tell("settle Uploaded", rows)


def driving_both(path: Path, pages: int, size: int) -> None:
    """A run of downloads and one of uploads, over a catalog of their own."""
    with Catalog.create(path, lambda: datetime.now(UTC)) as catalog:
        for number in range(pages):
            catalog.settle_blobs_page(page(number, size, "1"), is_live=False)
        uploads = partial(catalog.pending_uploads, multipart_from_bytes=1 << 40)
        for what, feeds in (
            ("the writer in a download run", Feeds(downloads=Rows(catalog.pending_downloads, lambda _: True))),
            ("the writer in an upload run", Feeds(uploads=Rows(uploads, lambda _: True))),
        ):
            driving(catalog, what, feeds, pages * size)


def reporting(path: Path, rows: int) -> None:
    """All sums, then the certificate and a table of every blob, then the check of the certificate."""
    signing.make(signing_key_of(path))
    files = Files(certificate=path.with_name("certificate"), csv=path.with_name("blobs.csv"))
    for what, wanted in (("report: sums", Files()), ("report: certificate and CSV", files)):
        watch = Watch()
        with watch.running(), open_ledger(path, _now, Stop()) as ledger:
            write(ledger, wanted)
        watch.tell(what, rows)
    watch = Watch()
    with watch.running():
        checking.check(path.with_name("certificate"), _now, Stop(), catalog=path)
    watch.tell("verify-certificate --catalog", rows)


def _now() -> datetime:
    return datetime.now(UTC)


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
            catalog.reset_live(lambda _: True)
            listing(catalog, "list: unchanged", pages, given.page, "1")
            settling(catalog, rows, given.group)
            catalog.reset_live(lambda _: True)
            listing(catalog, "list: changed (a tenth)", pages // 10, given.page, "2")
            began = time.perf_counter()
            for _ in range(1000):
                totals = catalog.totals()
            print(f"totals {(time.perf_counter() - began) * 1000:.0f} microseconds; {totals.blobs:,} blobs")
        print(f"{os.path.getsize(path) / rows:.0f} bytes a row")  # noqa: PTH202
        began = time.perf_counter()
        Catalog.open(path, lambda: datetime.now(UTC)).close()
        print(f"open and close {(time.perf_counter() - began) * 1000:.0f} ms")
        reporting(path, rows)
        driving_both(Path(folder) / "run.sqlite", pages, given.page)


if __name__ == "__main__":
    main()
