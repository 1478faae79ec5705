"""Kills `scs run` at random moments, again and again, and looks after each kill whether the catalog told the truth.

    python -m tests.journey.torture --kills 200 --seed 1

After each SIGKILL: every row that says "on the NAS" has its file, with the row's size and CRC64NVME; every row that
says "in S3" has its object, with the bytes of the blob's version. When a run comes to its end: nothing is pending,
every object is byte for byte its blob, `.scs/tmp` is empty and no multipart upload is open. Then the account changes,
and it goes on.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.strict import StrictCloud
from tests.servers.strict.content import digest, text

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "torture"
LARGE = (9 << 20, 14 << 20, 23 << 20)  # ranges of 4 MiB, parts of 5 MiB
SMALL = 30  # in each of the containers
CONTAINERS = 5
ENDS_BY_S = 60.0
# Kills are spread over the way, not over the clock: on a busy machine most of a run's time is its start.
KINDS = ("ListContainers", "ListBlobs", "GetBlob", "PutObject", "UploadPart", "CompleteMultipartUpload")
# Most come within a moment of the request: a whole run takes a second or two, and a kill after its end is none.
DELAYS_S = (0.02, 0.1, 0.3, 1.2)


class Score(NamedTuple):
    """What the torture came to."""

    kills: int
    journeys: int  # that came to their end
    rows_checked: int
    kills_after: dict[str, int]  # by the kind of request that the kill came soon after; "" while it started


class Untrue(AssertionError):
    """The catalog said what is not so."""


class Torture:
    """One account, one NAS, one bucket, one catalog, and a command that is killed."""

    def __init__(self, cloud: StrictCloud, folder: Path, seed: int) -> None:
        self.cloud = cloud
        self.folder = folder
        self.dice = random.Random(seed)
        self.rows_checked = 0
        self.versions: dict[tuple[str, str, str], bytes] = {}
        (folder / "nas").mkdir()
        cloud.s3.make_bucket(BUCKET)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_"))},
            **cloud.azure_at.env,
            **cloud.s3_at.env,
            "AWS_BUCKET": BUCKET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "MEDIA_FOLDER": "nas",
        }
        (folder / "scs.toml").write_text(
            '[transfer]\nrange_size = "4M"\nmultipart_from = "6M"\npart_size = "5M"\n[containers]\nlive = ["asset-0"]\n'
        )
        for number in range(CONTAINERS):
            for blob in range(SMALL):
                self._put(f"asset-{number}", f"dir/{blob:03}", self.dice.choice((0, 1, 700, 16_384, 600_000)))
        for number, size in enumerate(LARGE):
            self._put(f"asset-{number}", "video.mp4", size)
        done = self.scs("init").wait()
        if done:
            raise RuntimeError(f"scs init ended with {done}")

    def scs(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the real command."""
        with (self.folder / "scs.log").open("ab") as log:
            return subprocess.Popen(
                [str(Path(sysconfig.get_path("scripts")) / "scs"), *arguments],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def go(self, kills: int) -> Score:
        """Kill until *kills* kills are done, then let the last journey end."""
        done = journeys = 0
        after = Counter[str]()
        while True:
            run = self.scs("run", "--quiet")
            kind, seconds = self._moment(run, after) if done < kills else ("", ENDS_BY_S)
            try:
                code = run.wait(seconds)
            except subprocess.TimeoutExpired:
                os.kill(run.pid, signal.SIGKILL)
                run.wait()
                self._workers_are_gone(run.pid)
                if done == kills:
                    raise Untrue(f"the last run did not end within {ENDS_BY_S} s") from None
                done += 1
                after[kind] += 1
                self.check_rows()
                continue
            if code != 0:
                raise Untrue(f"scs run ended with {code}: {(self.folder / 'scs.log').read_text()[-2000:]}")
            journeys += 1
            self.check_end()
            if done == kills:
                return Score(done, journeys, self.rows_checked, dict(after))
            self._change()

    def _moment(self, run: subprocess.Popen[bytes], after: Counter[str]) -> tuple[str, float]:
        """Wait for the run's first request of the kind with the fewest kills; gives it, and the seconds to the kill."""
        if self.dice.random() < 0.1:
            return "", self.dice.uniform(0.05, 1.0)
        kind = min(KINDS, key=lambda kind: (after[kind], self.dice.random()))
        asked, began = len(self.cloud.log), time.monotonic()
        while run.poll() is None and all(line.operation != kind for line in self.cloud.log[asked:]):
            if time.monotonic() - began > ENDS_BY_S:
                raise Untrue(f"a run came to no {kind} and to no end within {ENDS_BY_S} s")
            time.sleep(0.005)
        return kind, self.dice.random() * self.dice.choice(DELAYS_S)

    # ------------------------------------------------------------------------------------------------- oracle

    def check_rows(self) -> None:
        """No row says more than is so."""
        with closing(sqlite3.connect(f"file:{self.folder / 'storage.sqlite'}?mode=ro", uri=True)) as catalog:
            catalog.row_factory = sqlite3.Row
            rows = list(catalog.execute("SELECT * FROM sync"))
            if catalog.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise Untrue("the catalog is damaged")
        for row in rows:
            self._check_row(row)
        self.rows_checked += len(rows)

    def _check_row(self, row: sqlite3.Row) -> None:
        name = f"{row['container']}/{row['blob']}"
        if 2 in (row["azure_status"], row["s3_status"]):
            raise Untrue(f"{name} failed: {row['azure_error']} {row['s3_error']}")
        if row["azure_status"] == 1:
            content = (self.folder / "nas" / name).read_bytes()
            if len(content) != row["size_bytes"] or _crc(content) != row["crc64nvme"]:
                raise Untrue(f"{name}: the file on the NAS is not what the row says")
            if content != self.versions[row["container"], row["blob"], row["etag"]]:
                raise Untrue(f"{name}: the file on the NAS is not that version of the blob")
        if row["s3_status"] == 1:
            there = self.cloud.s3.buckets[BUCKET].objects[name]
            if there.data != self.versions[row["container"], row["blob"], row["etag"]]:
                raise Untrue(f"{name}: the object is not that version of the blob")

    def check_end(self) -> None:
        """After a run that says that all is done."""
        self.check_rows()
        bucket = self.cloud.s3.buckets[BUCKET]
        wanted = {f"{c}/{b}": blob for c, box in self.cloud.azure.containers.items() for b, blob in box.blobs.items()}
        if set(wanted) != set(bucket.objects):
            raise Untrue(f"objects: {sorted(set(wanted) ^ set(bucket.objects))[:10]}")
        for name, blob in wanted.items():
            if bucket.objects[name].data != blob.data:
                raise Untrue(f"{name}: the object is not the blob")
        if left := list((self.folder / "nas" / ".scs" / "tmp").iterdir()):
            raise Untrue(f"left in .scs/tmp: {left[:10]}")
        if bucket.uploads:
            raise Untrue(f"open uploads: {[upload.key for upload in bucket.uploads.values()]}")

    # ------------------------------------------------------------------------------------------------- account

    def _put(self, container: str, name: str, size: int) -> None:
        content = self.dice.randbytes(size)
        blob = self.cloud.azure.put(container, name, content, md5=self.dice.choice(("right", "")))
        self.versions[container, name, blob.etag] = content

    def _change(self) -> None:
        """New versions in the live container, new containers, so that the next run has work."""
        box = self.cloud.azure.containers["asset-0"]
        for name in self.dice.sample(sorted(box.blobs), len(box.blobs) // 2):
            self._put("asset-0", name, self.dice.choice((3, 16_384, 600_000)))
        self._put("asset-0", "video.mp4", self.dice.choice(LARGE))
        fresh = f"asset-{len(self.cloud.azure.containers)}"
        for number in range(SMALL):
            self._put(fresh, f"dir/{number:03}", 16_384)
        self._put(fresh, "video.mp4", self.dice.choice(LARGE))

    def _workers_are_gone(self, parent: int) -> None:
        """Workers die with their parent; what they still did must not disturb the check."""
        for _ in range(200):
            if not list(_session(parent)):
                return
            time.sleep(0.02)
        raise Untrue("workers outlived their parent")


def _session(leader: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    os.getsid(int(entry.name)) == leader
                    and (entry / "stat").read_text().split(")")[1].split()[0] != "Z"
                ):
                    yield int(entry.name)
            except OSError:
                continue


def _crc(content: bytes) -> str:
    return text(digest("crc64nvme", [content]))


def torture(kills: int, seed: int, folder: Path) -> Score:
    """Run it in *folder*."""
    with StrictCloud() as cloud:
        return Torture(cloud, folder, seed).go(kills)


def main() -> int:
    """Print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scs-torture-") as folder:
        score = torture(given.kills, given.seed, Path(folder))
    print(f"{score.kills} kills, {score.journeys} journeys ended, {score.rows_checked} rows checked, none untrue")  # noqa: T201
    print(f"kills soon after the first: {score.kills_after}; {time.monotonic() - began:.0f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
