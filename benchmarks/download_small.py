"""Many small blobs to files: `scs download` against `rclone copy`, from nginx, in turns.

    scripts/bench download_small [--blobs 20000] [--size 16384] [--rounds 5]

Everything on one machine, over loopback, and on tmpfs where there is one, so that the client is what is measured and
not a disk. Both prove what they have read by MD5. rclone lists while it copies; scs lists before (`scs sync`), into its
catalog: both figures of scs are given, with the listing and without. Writes `benchmarks/results/download_small.json`.

What it does not say: anything about the clouds, whose latency and limits are others, or about a NAS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.turns import Contender, Took, in_turns, medians, timed, write
from tests.servers import nginx, rclone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.nginx import FastCloud

RESULT = Path(__file__).parent / "results" / "download_small.json"
CONTAINERS = 10
SCS = Path(sysconfig.get_path("scripts")) / "scs"


def main() -> None:
    """Measure, print, write."""
    wish = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wish.add_argument("--blobs", type=int, default=20_000)
    wish.add_argument("--size", type=int, default=16 << 10, metavar="BYTES")
    wish.add_argument("--rounds", type=int, default=5)
    wish.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    asked = wish.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave by the same door as Ctrl-C: servers and files go
    memory = Path("/dev/shm")  # noqa: S108 - tmpfs, in a folder of our own
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="scs-bench-") as name:
        folder = Path(name)
        blobs = (
            (f"asset-{n % CONTAINERS:04}", f"films/{n // 1000}/{n:08}.mp4", asked.size) for n in range(asked.blobs)
        )
        size = nginx.make_blobs(folder / "data", blobs)
        (folder / "server").mkdir()
        with nginx.running(folder / "server", folder / "data") as cloud:
            contenders = [_scs(cloud, folder, asked.blobs, size), _rclone(cloud, folder, asked.blobs, size)]
            load = round(os.getloadavg()[0], 1)
            taken = in_turns(contenders, asked.rounds)
    result: dict[str, Any] = {name: medians(stages) for name, stages in taken.items()}
    stages = (("scs", "download"), ("scs", "sync + download"), ("rclone", "copy"))
    ours, both, theirs = (result[name][stage]["seconds"] for name, stage in stages)
    our_cpu, both_cpu, their_cpu = (result[name][stage]["cpu_s"] for name, stage in stages)
    ratios = {
        "rclone copy / scs download": round(theirs / ours, 2),
        "rclone copy / scs sync + download": round(theirs / both, 2),
        "the same in CPU seconds, download": round(their_cpu / our_cpu, 2),
        "the same in CPU seconds, sync + download": round(their_cpu / both_cpu, 2),
    }
    rates = {
        "scs download": round(asked.blobs / ours),
        "scs sync + download": round(asked.blobs / both),
        "rclone copy": round(asked.blobs / theirs),
    }
    write(
        asked.result,
        {
            "command": "scripts/bench download_small",
            "work": {"blobs": asked.blobs, "size_bytes": asked.size, "containers": CONTAINERS, "rounds": asked.rounds},
            "load_before": load,  # of other things: how much the figures are worth
            "versions": {each.name: each.version for each in contenders},
            "times_faster": ratios,
            "blobs_a_second": rates,
            "medians": result,
        },
    )
    for what, rate in rates.items():
        print(f"{what:<42} {rate:8,} blobs a second (median of {asked.rounds})")
    for what, ratio in ratios.items():
        print(f"{what:<42} {ratio:8.2f}")


def _scs(cloud: FastCloud, folder: Path, blobs: int, size: int) -> Contender:
    def turn() -> Mapping[str, Took]:
        home = folder / "scs"
        (home / "nas").mkdir(parents=True)
        env = {
            **_plain_environment(),
            **cloud.azure.env,
            **cloud.s3.env,
            "AWS_BUCKET": "unused",
            "MEDIA_FOLDER": "nas",
            "DB_FILE": "storage.sqlite",
        }
        log = folder / "scs.log"
        timed([str(SCS), "init"], env=env, cwd=home, log=log)
        listed = timed([str(SCS), "sync"], env=env, cwd=home, log=log)
        copied = timed([str(SCS), "download"], env=env, cwd=home, log=log)
        shutil.rmtree(home / "nas" / ".scs")
        _check(home / "nas", blobs, size)
        shutil.rmtree(home)
        return {"sync": listed, "download": copied, "sync + download": listed + copied}

    return Contender("scs", _version([str(SCS), "--version"]), turn)


def _rclone(cloud: FastCloud, folder: Path, blobs: int, size: int) -> Contender:
    def turn() -> Mapping[str, Took]:
        home = folder / "rclone"
        home.mkdir()
        env = {**_plain_environment(), **rclone.remotes(cloud.azure, cloud.s3)}
        argv = [rclone.binary(), "copy", "azure:", str(home), "--transfers", "32", "--checkers", "32"]
        copied = timed(argv, env=env, cwd=folder, log=folder / "rclone.log")
        _check(home, blobs, size)
        shutil.rmtree(home)
        return {"copy": copied}

    return Contender("rclone", _version([rclone.binary(), "version"]), turn)


def _check(folder: Path, blobs: int, size: int) -> None:
    """Whoever brought less did not take part.

    Raises:
        RuntimeError: Files or bytes are missing, or too many.
    """
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    if (len(sizes), sum(sizes)) != (blobs, size):
        raise RuntimeError(f"{folder.name}: {len(sizes)} files with {sum(sizes)} bytes, not {blobs} with {size}.")


def _plain_environment() -> dict[str, str]:
    """Ours, without anybody's clouds and settings."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "AWS_", "SCS_", "RCLONE_"))
    }


def _version(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
