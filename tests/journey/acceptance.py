"""Issue-sized acceptance: 3,000 blobs in 50 containers, 0 B to 1 GiB, names that break tools; Azurite -> NAS -> S3.

    python -m tests.journey.acceptance [--folder FOLDER]

Run by hand: it takes minutes and some 6 GB of memory and disk. Every figure is printed; it ends with 0 only when each
of them is what it has to be. Two judges look: rclone, byte by byte wherever it can say the names, and our own, which
can say all of them; neither shares code with the product.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.journey import names
from tests.journey.desk import Desk
from tests.servers import azurite, judge, moto, rclone
from tests.servers.clients import boto
from tests.servers.fill import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.servers.endpoints import AzureAt, S3At

BUCKET = "acceptance"
CONTAINERS = 50
BLOBS = 3000
MIB = 1 << 20
# Beside the many small ones. The largest comes in blocks, as every uploader sends it: it has no Content-MD5.
LARGE = (1 << 30, 300 * MIB, 129 * MIB + 1, 64 * MIB, 64 * MIB - 1, 33 * MIB, 16 * MIB + 1, 16 * MIB)
LIVE = ("live-images", "live-reports")


class Wrong(Exception):
    """A figure is not what it has to be."""


class Report:
    """Prints figures, and stops at the first that is wrong."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def figure(self, what: str, found: object, right: object = None) -> None:
        """Print one; with *right* it must be that."""
        is_right = right is None or found == right
        mark = "" if right is None else "  ok" if is_right else f"  WRONG: {right!r} is right"
        print(f"{time.monotonic() - self._began_s:7.1f} s  {what}: {found}{mark}", flush=True)  # noqa: T201
        if not is_right:
            raise Wrong(what)


def plan() -> Iterator[tuple[str, str, int]]:
    """Container, name and size of every blob but the hostile ones, in which the name is the content."""
    dice = random.Random(50)
    assets = [f"asset-{uuid.UUID(int=dice.getrandbits(128), version=4)}" for _ in range(CONTAINERS - len(LIVE) - 2)]
    for number, size in enumerate(LARGE):
        yield assets[number], f"video/{size}.mp4", size
    special = len(names.FOR_MOTO) + len(names.CLASHING)
    for number in range(BLOBS - len(LARGE) - special):
        where = (*assets, *LIVE)[number % (len(assets) + len(LIVE))]
        size = dice.choice((0, 1, 900, 4_096, 30_000, 120_000, 524_288, 524_289))
        yield where, f"{number % 7}/{dice.getrandbits(64):016x}.bin", size


def content(seed: str, size: int) -> bytes:
    """Random bytes; no block of a large blob is like another one."""
    block = random.Random(seed).randbytes(min(size, MIB))
    return (
        b"".join(number.to_bytes(8, "big") + block for number in range(-(-size // (MIB + 8))))[:size]
        if size > MIB
        else block
    )


def fill(azure: AzureAt) -> tuple[int, int]:
    """Make the account; gives blobs and bytes."""
    wanted = list(plan())
    with Account(azure) as account:
        for container in {each[0] for each in wanted} | {"hostile-odd", "hostile-clash"}:
            account.make_container(container)
        special = [("hostile-odd", name) for name in names.FOR_MOTO] + [("hostile-clash", n) for n in names.CLASHING]
        for container, name in special:
            account.put(container, name, f"the blob named {name!r}".encode())

    def put(some: Sequence[tuple[str, str, int]]) -> None:
        with Account(azure) as account:
            for container, name, size in some:
                data = content(f"{container}/{name}", size)
                properties = {"Content-Type": "video/mp4", "Cache-Control": "max-age=60"} if size > MIB else {}
                account.put(
                    container,
                    name,
                    data,
                    headers=properties,
                    metadata={"size": str(size)} if size % 2 else None,
                    block_bytes=8 * MIB if size >= 128 * MIB else 0,
                )

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(put, [wanted[number::3] for number in range(3)]))
    return len(wanted) + len(special), sum(size for *_, size in wanted)


def journey(folder: Path, report: Report, azure: AzureAt, s3: S3At) -> None:
    """All of it."""
    with boto(s3) as client:
        client.create_bucket(Bucket=BUCKET)
    count, size = fill(azure)
    report.figure("blobs in the account", count, BLOBS)
    report.figure("bytes in the account", f"{size:,}")
    desk = Desk(folder / "desk", azure, s3, BUCKET)
    desk.settings('[containers]\nlive = ["live-*"]\n')
    for line in ("init", "sync", "download", "upload", "xcheck --deep"):
        done = desk.scs(*line.split(), timeout_s=1800)
        report.figure(f"scs {line}", " | ".join(done.out.splitlines()[-2:]))
    report.figure(
        "states",
        dict(desk.select("SELECT state, count(*) FROM blobs GROUP BY 1")),
        {"uploaded": BLOBS},
    )
    report.figure("containers", desk.select("SELECT count(*) FROM containers"), [(CONTAINERS,)])
    judged(report, azure, s3)

    def moved() -> tuple[list[str], list[str]]:
        gets = [
            line.path.partition("?")[0]
            for line in azurite.asked(azure)[seen[0] :]
            if line.verb == "GET" and "comp=" not in line.path
        ]
        puts = [line.path.partition("?")[0] for line in moto.asked(s3)[seen[1] :] if line.verb in {"PUT", "POST"}]
        return sorted(set(gets)), sorted(set(puts))

    seen = (len(azurite.asked(azure)), len(moto.asked(s3)))
    report.figure("second scs run", " | ".join(desk.scs("run", timeout_s=600).out.splitlines()[-2:]))
    report.figure("GETs of blobs and PUTs in the servers' logs", moved(), ([], []))

    changed = next(name for container, name, _ in plan() if container == LIVE[0])
    with Account(azure) as account:
        account.put(LIVE[0], changed, b"changed since then")
    desk.scs("run", timeout_s=600)
    report.figure(
        "one changed blob moves alone", moved(), ([f"/{LIVE[0]}/{changed}"], [f"/{BUCKET}/{LIVE[0]}/{changed}"])
    )

    seen = (len(azurite.asked(azure)), len(moto.asked(s3)))
    with Account(azure) as account:
        account.put(LIVE[1], "new", b"new")
    desk.scs("reset-live")
    desk.scs("run", timeout_s=600)
    report.figure(
        "a new blob moves after reset-live and run", moved(), ([f"/{LIVE[1]}/new"], [f"/{BUCKET}/{LIVE[1]}/new"])
    )
    report.figure("left in .scs/tmp", desk.leftovers(), [])
    judged(report, azure, s3)


def judged(report: Report, azure: AzureAt, s3: S3At) -> None:
    """What the two judges say."""
    ours = judge.compare(azure, s3, BUCKET, key=names.s3_key)
    report.figure("our judge: blobs and bytes compared", (ours.blobs, f"{ours.bytes:,}"))
    report.figure("our judge: differences", [*map(str, ours.differences)], [])
    env = rclone.remotes(azure, s3)
    spared = ("--exclude", "/hostile-*/**")
    done = rclone.run(
        "check", "--download", "--combined", "-", "azure:", f"s3:{BUCKET}", *spared, env=env, timeout_s=1800
    )
    lines = done.stdout.splitlines()
    report.figure("rclone check --download: equal", sum(line.startswith("= ") for line in lines))
    report.figure("rclone check --download: differences", [line for line in lines if not line.startswith("= ")], [])
    report.figure("rclone's exit code", done.returncode, 0)


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.journey.acceptance", description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="an empty folder on a disk with 6 GB; default: a temporary one")
    given = parser.parse_args()
    report = Report()
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scs-acceptance-")))
        azure = stack.enter_context(azurite.running(folder, in_memory=False))
        s3 = stack.enter_context(moto.running(folder))
        try:
            journey(folder, report, azure, s3)
        except Wrong as wrong:
            print(f"Not accepted: {wrong}", file=sys.stderr)  # noqa: T201
            return 1
    print("Accepted.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
