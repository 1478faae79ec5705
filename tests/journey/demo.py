"""The demo: the journey of `docs/design.md` with the real command, told to a person, judged by rclone.

    scripts/demo

Everything that it makes is in `demo/`. Ends with 0 only when rclone and our own reading found no difference.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.journey import demo_account as account
from tests.servers import azurite, judge, moto, rclone
from tests.servers.clients import boto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.servers.endpoints import AzureAt, S3At

FOLDER = Path(__file__).parents[2] / "demo"
BUCKET = "media-archive"

SETTINGS = r"""# Settings of the demo; `scs init` writes one with all of them.
[containers]
live = ["images", "reports"]

[[rename]]
container = "asset-*"
pattern = '_H264_1800kbps_AAC_und_ch2_128kbps\.mp4$'
replacement = "-sd.mp4"

[[rename]]
container = "asset-*"
pattern = '_H264_4500kbps_AAC_und_ch2_128kbps\.mp4$'
replacement = "-hd.mp4"
"""
RENAMED = {"_H264_1800kbps_AAC_und_ch2_128kbps.mp4": "-sd.mp4", "_H264_4500kbps_AAC_und_ch2_128kbps.mp4": "-hd.mp4"}

# Names that rclone cannot ask for: it reads `a//b` as `a/b`, and `/lead` as `lead`. `judge.py` can.
BEYOND_RCLONE = ("a/b", "a//b", "/lead")


class DemoFailedError(Exception):
    """Something was not as promised; the text says what."""


class Steps:
    """Prints what happens, runs commands in the demo's folder, and keeps the time."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.began_s = time.monotonic()

    def say(self, text: str) -> None:
        """A heading: what comes next, and why."""
        print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)

    def scs(self, *words: str, into: Path | None = None, expect: int = 0) -> None:
        """Run the real command as a person would type it.

        Args:
            words: What follows `scs`.
            into: Gets its stdout.
            expect: The exit code that it should have.

        Raises:
            DemoFailedError: It ended with another one.
        """
        print(f"$ {shlex.join(['scs', *words])}" + (f" > {into.relative_to(FOLDER)}" if into else ""), flush=True)
        with into.open("wb") if into else contextlib.nullcontext() as sink:
            child = subprocess.Popen(["scs", *words], cwd=FOLDER, env=self.env, stdin=subprocess.DEVNULL, stdout=sink)
            try:
                code = child.wait()
            except BaseException:  # Ctrl-C reached it too; give it the time to stop cleanly
                _let_end(child)
                raise
        if code != expect:
            raise DemoFailedError(f"`{shlex.join(['scs', *words])}` ended with {code}, not {expect}.")


def main() -> int:
    """Tell the story; gives the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        with contextlib.ExitStack() as servers:
            servers.enter_context(_alone())
            _prepare_folder()
            steps = Steps({**_clean_environment(), "AZURE_LOG_LEVEL": "error"})
            steps.say("Two clouds on this machine: Azurite is the Azure account, moto is Amazon S3")
            azure = servers.enter_context(azurite.running(FOLDER / "servers"))
            s3 = servers.enter_context(moto.running(FOLDER / "servers"))
            with boto(s3) as client:
                client.create_bucket(Bucket=BUCKET)
            _write_settings(azure, s3)
            proven = _journey(steps, azure, s3)
    except DemoFailedError as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nStopped. Every server that the demo started is gone; what it made so far is in demo/.", file=sys.stderr
        )
        return 130
    steps.say("What was proven")
    print(f"""{proven}
  It took {time.monotonic() - steps.began_s:.0f} s. All servers are gone. This is left to look at:
    {FOLDER}/storage.sqlite   the catalog
    {FOLDER}/report.json      the report of the last xcheck
    {FOLDER}/nas              the NAS""")
    return 0


def _journey(steps: Steps, azure: AzureAt, s3: S3At) -> str:
    """All of it; gives what it proved."""
    steps.say(f"A video platform: {len(account.containers())} containers, one blob of 300 MB, names that break tools")
    count = account.fill(azure)
    print(f"{count:,} blobs written.")

    steps.say("List it, bring it to the NAS, bring it to S3")
    for words in (["init"], ["sync"], ["download"], ["upload"]):
        steps.scs(*words)
    steps.say(
        "Prove it: Azure listed again, every file read again, every object too (moto keeps no checksum of its own)"
    )
    steps.scs("xcheck", "--deep")
    steps.scs("status")

    changes = account.changes()
    steps.say(f"The live containers go on living: {len(changes)} blobs change or are new")
    account.put(azure, changes)
    before = _puts(s3)
    steps.scs("run")
    sent = _puts(s3) - before
    print(f"S3 was sent {sent} objects in this run.")
    if sent != len(changes):
        raise DemoFailedError(f"{len(changes)} blobs had changed, but {sent} objects were sent.")

    steps.say("Prove it again, and keep the report")
    report = FOLDER / "report.json"
    steps.scs("xcheck", "--deep", "--json", into=report)

    steps.say("Ask somebody else: rclone shares no code with us, and reads every byte on both sides")
    judged = _judge_rclone(azure, s3)
    _judge_ourselves(azure, s3)
    return _conclusion(report, judged)


def _conclusion(report: Path, judged: int) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{FOLDER / 'storage.sqlite'}?mode=ro", uri=True)) as catalog:
        rows, done, size = catalog.execute(
            "SELECT count(*), sum(azure_status = 1 AND s3_status = 1), sum(size_bytes) FROM sync"
        ).fetchone()
    json.loads(report.read_text())  # a report that cannot be read proves nothing
    if not rows == done == judged + len(BEYOND_RCLONE):
        raise DemoFailedError(f"The catalog has {rows} blobs, {done} of them done; rclone compared {judged}.")
    return f"""
  {done:,} of {rows:,} blobs, {size / 1e6:,.0f} MB, are in S3, byte for byte as in Azure:
  rclone compared {judged:,}, our own judge the {len(BEYOND_RCLONE)} whose names rclone cannot say.
  The catalog says the same, and in the second run only what had changed was moved.
"""


def _judge_rclone(azure: AzureAt, s3: S3At) -> int:
    """Compare all bytes by `rclone check`; gives the number of blobs that it compared.

    The sums of the source are written to a file first, so that the rename rules can be applied to the names in it.
    """
    env = rclone.remotes(azure, s3)
    spared = [f"/{account.AWKWARD}/{{{','.join(BEYOND_RCLONE)},lead}}"]
    exclude = [word for pattern in spared for word in ("--exclude", pattern)]
    sums = FOLDER / "azure.md5"
    print("$ rclone hashsum MD5 --download azure: > azure.md5   # names as the rename rules say")
    listed = rclone.run("hashsum", "MD5", "--download", "azure:", *exclude, env=env)
    if listed.returncode:
        raise DemoFailedError(f"rclone could not read the account:\n{listed.stderr[-2_000:]}")
    text = listed.stdout
    for old, new in RENAMED.items():
        text = text.replace(f"{old}\n", f"{new}\n")
    sums.write_text(text)
    print(f"$ rclone check --checkfile MD5 --download azure.md5 s3:{BUCKET}")
    words = ("check", "--checkfile", "MD5", "--download", "--no-unicode-normalization", str(sums), f"s3:{BUCKET}")
    verdict = rclone.run(*words, *exclude, env=env)
    print("\n".join(line.partition("NOTICE: ")[2] for line in verdict.stderr.splitlines() if "NOTICE: " in line))
    if verdict.returncode:
        raise DemoFailedError(f"rclone found a difference:\n{verdict.stderr[-2_000:]}")
    return len(text.splitlines())


def _judge_ourselves(azure: AzureAt, s3: S3At) -> None:
    """Compare all awkward names by raw requests; the three that rclone cannot say are among them."""
    print(
        f"$ python -m tests.servers.judge   # {account.AWKWARD}, with {len(BEYOND_RCLONE)} names that rclone cannot say"
    )
    verdict = judge.compare(azure, s3, BUCKET, containers=[account.AWKWARD])
    print(f"{len(verdict.differences)} differences found, {verdict.blobs} blobs compared")
    if not verdict.is_clean or verdict.blobs != len(account.AWKWARD_NAMES):
        raise DemoFailedError("\n".join(map(str, [f"{verdict.blobs} blobs compared", *verdict.differences])))


def _puts(s3: S3At) -> int:
    """Objects that S3 was sent so far."""
    return sum(1 for line in moto.asked(s3, f"/{BUCKET}/") if line.verb == "PUT" and line.status == 200)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two demos at once would take each other's folder away."""
    with FOLDER.with_name(".demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailedError(
                "another one is running in this clone. Wait for it, or stop it with Ctrl-C."
            ) from None
        yield


def _prepare_folder() -> None:
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    (FOLDER / "nas").mkdir(parents=True)
    (FOLDER / "servers").mkdir()


def _write_settings(azure: AzureAt, s3: S3At) -> None:
    (FOLDER / "scs.toml").write_text(SETTINGS)
    values = {**azure.env, **s3.env, "AWS_BUCKET": BUCKET, "MEDIA_FOLDER": "nas"}
    secrets = FOLDER / ".env"
    secrets.touch(mode=0o600)
    secrets.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))


def _clean_environment() -> dict[str, str]:
    """Our environment without this person's own clouds and settings: the demo must never reach them."""
    strange = ("AZURE_", "AWS_", "SCS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {name: value for name, value in kept.items() if name not in {"DB_FILE", "MEDIA_FOLDER"}}


def _let_end(child: subprocess.Popen[bytes]) -> None:
    for how in (None, signal.SIGINT, signal.SIGKILL):
        if how is not None:
            child.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10 if how else 2)
            return


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
