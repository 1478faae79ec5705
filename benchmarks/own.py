"""What only scs is asked: how soon it works after a restart, how much memory it needs, what a status update costs."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks.contenders import Home, Stage, Turn
from benchmarks.measure import FailedError, Took, start, stop
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import Uploaded

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 120
_GROUP = 1_000
_AT = "2026-11-23T03:18:30Z"


def restart(at: Stage, folder: Path) -> Turn:
    """From the start of `scs download` until nginx has answered the first blob; then it is killed, as by a reboot."""
    home = _home(at, at.sizes["rows"], at.cloud.azure.url)
    before = at.cloud.moments.stat().st_size if at.cloud.moments.exists() else 0
    with (folder / "said.txt").open("wb") as said:
        began = time.time()
        child = start(home.command("download"), env=home.env, cwd=home.folder, out=said, err=said)
        try:
            seconds = _first_blob_s(at.cloud.moments, before, began)
        finally:
            stop(child)
    return {"scs download, first blob": Took(seconds, 0.0, 0.0)}


def _first_blob_s(log: Path, before: int, began: float) -> float:
    while time.time() < began + _PATIENCE_S:
        with log.open() as lines:
            lines.seek(before)
            for line in lines:
                moment, verb, status, address = line.split(" ", 3)
                if verb == "GET" and status in {"200", "206"} and "/films/" in address:
                    return float(moment) - began
        time.sleep(0.02)
    raise FailedError(f"scs asked for no blob within {_PATIENCE_S} s")


def memory(at: Stage, _folder: Path) -> Turn:
    """Download the same number of blobs, out of a small catalog and out of a large one."""
    took, (small, large) = {}, (at.sizes["rows"], at.sizes["more_rows"])
    mine = _share(at)
    for rows in (small, large):
        home = _home(at, rows, at.cloud.azure.url)
        words = [word for number in mine for word in ("--container", f"asset-{number:04}")]
        took[f"scs download at {rows:,} rows"] = home.scs("download", *words)
        home.check(failed=0, blobs=rows)
    return took


def _share(at: Stage) -> range:
    """The containers of this round: each round has its own, so that nothing must be put back."""
    each = at.data.containers // at.sizes["rounds"]
    return range(at.number * each, (at.number + 1) * each)


def update(at: Stage, _folder: Path) -> Turn:
    """Settle the same number of uploads in a small catalog and in a large one, in groups as a run does."""
    took, count = {}, at.sizes["updates"]
    for rows in (at.sizes["rows"], at.sizes["more_rows"]):
        home = _home(at, rows, account="")
        os.sync()
        with Catalog.open(home.catalog, lambda: datetime.now(UTC)) as catalog:
            tasks = catalog.pending_uploads(0, count, 1 << 40)
            if len(tasks) != count:
                raise FailedError(f"only {len(tasks)} rows are left to update")
            done = [Uploaded(task.id, task.etag, '"0"', task.crc64nvme, "", task.size_bytes, _AT) for task in tasks]
            wall, cpu = time.perf_counter(), time.process_time()
            for first in range(0, count, _GROUP):
                catalog.settle(done[first : first + _GROUP])
            took[f"settle at {rows:,} rows"] = Took(time.perf_counter() - wall, time.process_time() - cpu, 0.0)
    return took


def _home(at: Stage, rows: int, account: str) -> Home:
    return at.lab.filled(rows, at.recipe, account, lambda: Home(at.lab.disk_folder(), at.tool, at.cloud))
