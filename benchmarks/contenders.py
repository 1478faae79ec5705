"""The commands that are measured, word for word, and whether each did its work.

A turn gets a new folder, does the work once, proves it, and says what each stage took. A stage has a name that begins
with its tool: `scs download`, `rclone copy`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from benchmarks.lab import crc64nvme, files_below, make_tree
from benchmarks.measure import FailedError, Took, timed
from benchmarks.tools import environment
from tests.servers import rclone
from tests.servers.clients import account_sas

if TYPE_CHECKING:
    from benchmarks.lab import DataSet, Lab, Recipe
    from benchmarks.tools import Tool
    from tests.servers.nginx import FastCloud

BUCKET = "target"
Turn = dict[str, Took]


class Stage(NamedTuple):
    """What every turn of a row works with.

    Args:
        tool: The contender's own.
        cloud: The two services.
        data: What lies in the first.
        recipe: What that was made from.
        lab: Where there is room, and who keeps what takes long to make.
        sizes: The row's sizes, and how many rounds there are.
        shared: A folder that lives as long as the row.
        number: Of the round, from 0.
    """

    tool: Tool
    cloud: FastCloud
    data: DataSet
    recipe: Recipe
    lab: Lab
    sizes: dict[str, int]
    shared: Path
    number: int = 0


class Home:
    """A folder in which scs works: its settings, its catalog, its NAS.

    Args:
        folder: Made when it is missing.
        tool: scs.
        cloud: The services.
    """

    def __init__(self, folder: Path, tool: Tool, cloud: FastCloud) -> None:
        self.folder = folder
        self.nas = folder / "nas"
        self.catalog = folder / "storage.sqlite"
        self.account = cloud.azure.url
        own = {"AWS_BUCKET": BUCKET, "MEDIA_FOLDER": "nas", "DB_FILE": self.catalog.name}
        authority = {"SSL_CERT_FILE": cloud.azure.ca_file} if cloud.azure.ca_file else {}
        self.env = {**environment(), **cloud.azure.env, **cloud.s3.env, **own, **authority}
        self._tool = tool
        self.nas.mkdir(parents=True, exist_ok=True)

    def command(self, *words: str) -> list[str]:
        """The command line of a verb."""
        return [self._tool.path, *words]

    def scs(self, *words: str) -> Took:
        """Run a verb."""
        return timed(self.command(*words), env=self.env, cwd=self.folder)

    def check(self, **wanted: int) -> None:
        """Hold the catalog's own sums against what must have happened.

        Raises:
            FailedError: They differ.
        """
        said = subprocess.run(
            self.command("status", "--json"), env=self.env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        totals = json.loads(said.stdout)["totals"]
        found = {name: totals[name] for name in wanted}
        if found != wanted:
            raise FailedError(f"scs status says {found}, not {wanted}")


# ---------------------------------------------------------------------------------------------------------- listing


def scs_sync(at: Stage, folder: Path) -> Turn:
    """List everything into a new catalog."""
    home = Home(folder, at.tool, at.cloud)
    home.scs("init")
    took = home.scs("sync")
    home.check(blobs=at.data.blobs, bytes=at.data.size_bytes, containers=at.data.containers)
    return {"scs sync": took}


def scs_resync(at: Stage, _folder: Path) -> Turn:
    """List everything again, into a catalog that knows it."""
    home = Home(at.shared / "known", at.tool, at.cloud)
    if not home.catalog.exists():
        home.scs("init")
        home.scs("sync")
    took = home.scs("sync", "--all")
    home.check(blobs=at.data.blobs, bytes=at.data.size_bytes, gone=0)
    return {"scs sync --all": took}


def rclone_lsjson(at: Stage, folder: Path) -> Turn:
    """List everything as JSON, with MD5."""
    argv: list[str | Path] = [at.tool.path, "lsjson", "--hash", "-R", "--files-only", "azure:"]
    listed = folder / "listed"
    took = timed(argv, env=_rclone_env(at), cwd=folder, out=listed)
    with listed.open("rb") as lines:
        _same("rows of JSON", sum(b'"Path"' in line for line in lines), at.data.blobs)
    return {"rclone lsjson": took}


def rclone_dry_sync(at: Stage, folder: Path) -> Turn:
    """Hold the listing against a tree of the same files."""
    tree = at.shared / "tree"
    if not tree.exists():
        make_tree(tree, at.recipe)
    argv: list[str | Path] = [at.tool.path, "sync", "--dry-run", "--fast-list", "--checkers", "32", "azure:", tree]
    took = timed(argv, env=_rclone_env(at), cwd=folder)
    if b"Skipped" in (folder / "said.txt").read_bytes():
        raise FailedError("rclone would have copied something, so it found a difference where there is none.")
    return {"rclone sync --dry-run": took}


def azcopy_list(at: Stage, folder: Path) -> Turn:
    """List one container, with MD5."""
    argv: list[str | Path] = [
        at.tool.path,
        "list",
        _azcopy_url(at, "asset-0000"),
        "--location",
        "Blob",
        "--properties",
        "ContentMD5",
    ]
    listed = folder / "listed"
    took = timed(argv, env=_azcopy_env(folder), cwd=folder, out=listed)
    with listed.open("rb") as lines:
        _same("rows", sum(b"Content Length:" in line for line in lines), at.data.blobs)
    return {"azcopy list": took}


# --------------------------------------------------------------------------------------------------------- download


def scs_download(at: Stage, folder: Path) -> Turn:
    """List into a new catalog, then copy."""
    home = Home(folder, at.tool, at.cloud)
    home.scs("init")
    listed = home.scs("sync")
    copied = home.scs("download")
    home.check(downloaded=at.data.blobs, downloaded_bytes=at.data.size_bytes, failed=0, pending=0)
    shutil.rmtree(home.nas / ".scs")
    _check_files(home.nas, at.data)
    return {"scs download": copied, "scs sync + download": listed + copied}


def rclone_copy(at: Stage, folder: Path) -> Turn:
    """Copy everything."""
    target = folder / "files"
    target.mkdir()
    argv: list[str | Path] = [at.tool.path, "copy", "azure:", target, "--transfers", "32", "--checkers", "32"]
    took = timed(argv, env=_rclone_env(at), cwd=folder)
    _check_files(target, at.data)
    return {"rclone copy": took}


def azcopy_copy(at: Stage, folder: Path) -> Turn:
    """Copy everything, with a check of MD5."""
    target = folder / "files"
    target.mkdir()
    argv: list[str | Path] = [
        at.tool.path,
        "copy",
        _azcopy_url(at, "*"),
        target,
        "--recursive",
        "--from-to",
        "BlobLocal",
    ]
    took = timed([*argv, "--check-md5", "FailIfDifferent", "--log-level", "ERROR"], env=_azcopy_env(folder), cwd=folder)
    _check_files(target, at.data)
    return {"azcopy copy": took}


def curls(at: Stage, folder: Path) -> Turn:
    """A curl for each blob, four at once: what the wire can do."""
    return {"curl": _for_each_blob(at, folder, [at.tool.path, "-sSf", "--create-dirs", "-o"])}


def curls_and_md5(at: Stage, folder: Path) -> Turn:
    """A curl for each blob, four at once, each with an OpenSSL that makes its MD5 of the file that came."""
    script = f'{at.tool.path} -sSf --create-dirs -o "$0" "$1" && openssl md5 "$0"'
    return {"curl+md5": _for_each_blob(at, folder, ["sh", "-c", script])}


def _for_each_blob(at: Stage, folder: Path, command: list[str]) -> Took:
    """Four of *command* at once, each with a file and the address of the blob that belongs there."""
    target, source = folder / "files", at.data.path / "blobs"
    target.mkdir()
    sas = account_sas(at.cloud.azure)
    words = folder / "words"
    with words.open("w") as lines:
        for file in files_below(source):
            name = file.relative_to(source)
            lines.write(f"{target / name}\n{at.cloud.azure.url}/{quote(str(name))}?{sas}\n")
    took = timed(["xargs", "-a", words, "-P", "4", "-n", "2", *command], env=environment(), cwd=folder)
    _check_files(target, at.data)
    return took


def bare_loop(at: Stage, folder: Path) -> Turn:
    """`bare.py`: what of a small blob's cost is not ours."""
    source = at.data.path / "blobs"
    sas = account_sas(at.cloud.azure)
    words = folder / "words"
    with words.open("w") as lines:
        for number, file in enumerate(files_below(source)):
            lines.write(f"{at.cloud.azure.url}/{quote(str(file.relative_to(source)))}?{sas} {number}\n")
    command = [sys.executable, "-m", "benchmarks.bare", str(folder), str(os.cpu_count() or 1), at.cloud.azure.ca_file]
    path = str(Path(__file__).parent.parent)
    took = timed(["sh", "-c", '"$@" < words', "sh", *command], env={**environment(), "PYTHONPATH": path}, cwd=folder)
    _check_files(folder / "files", at.data)
    return {"bare loop": took}


# ----------------------------------------------------------------------------------------------------------- upload


def scs_upload(at: Stage, _folder: Path) -> Turn:
    """Send what lies on the NAS. What brought it there is done once, and the catalog put back before each turn."""
    home, kept = Home(at.shared / "home", at.tool, at.cloud), at.shared / "kept"
    if not kept.exists():
        for verb in ("init", "sync", "download"):
            home.scs(verb)
        shutil.copy(home.catalog, kept)
    for file in home.folder.glob("storage.sqlite*"):
        file.unlink()
    shutil.copy(kept, home.catalog)
    took = home.scs("upload")
    home.check(uploaded=at.data.blobs, uploaded_bytes=at.data.size_bytes, failed=0)
    _check_arrived(at, must_have_sums=True)
    return {"scs upload": took}


def rclone_upload(at: Stage, folder: Path) -> Turn:
    """Send everything."""
    argv: list[str | Path] = [
        at.tool.path,
        "copy",
        at.data.path / "blobs",
        f"s3:{BUCKET}",
        "--transfers",
        "32",
        "--checkers",
        "32",
    ]
    return _sent(at, folder, "rclone copy", argv, _rclone_env(at))


def s5cmd_upload(at: Stage, folder: Path) -> Turn:
    """Send everything; errors only on the screen."""
    argv: list[str | Path] = [at.tool.path, "--log", "error", "--endpoint-url", at.cloud.s3.url, "cp"]
    env = {**environment(), **at.cloud.s3.env, "AWS_REGION": at.cloud.s3.region}
    return _sent(at, folder, "s5cmd cp", [*argv, f"{at.data.path / 'blobs'}/", f"s3://{BUCKET}/"], env)


def aws_upload(at: Stage, folder: Path) -> Turn:
    """Send everything, with the client of Amazon's Common Runtime."""
    s3 = at.cloud.s3_at_80
    if not s3:
        raise FailedError("Its CRT client knows port 80 only, and this process may not listen there (root may).")
    (folder / "config").write_text(f"[default]\nregion = {s3.region}\ns3 =\n  preferred_transfer_client = crt\n")
    env = {**environment(), **s3.env, "AWS_CONFIG_FILE": str(folder / "config")}
    argv: list[str | Path] = [at.tool.path, "s3", "cp", "--recursive", "--only-show-errors", "--endpoint-url", s3.url]
    return _sent(at, folder, "aws s3 cp", [*argv, at.data.path / "blobs", f"s3://{BUCKET}/"], env)


# ------------------------------------------------------------------------------------------------------------ check


def scs_xcheck(at: Stage, _folder: Path) -> Turn:
    """Check three times: with a catalog that has proven nothing yet, with what that brought, and without the files."""
    home, kept = Home(at.shared / "home", at.tool, at.cloud), at.shared / "kept"
    if not kept.exists():
        _tell_bucket(at, "POST")
        for verb in ("init", "sync", "download", "upload"):
            home.scs(verb)
        _tell_bucket(at, "POST")
        shutil.copy(home.catalog, kept)
    for file in home.folder.glob("storage.sqlite*"):
        file.unlink()
    shutil.copy(kept, home.catalog)
    took = {
        "scs xcheck, first": home.scs("xcheck"),
        "scs xcheck": home.scs("xcheck"),
        "scs xcheck --s3": home.scs("xcheck", "--s3"),
    }
    home.check(uploaded=at.data.blobs, failed=0, mismatched=0)
    return took


def rclone_check(at: Stage, folder: Path) -> Turn:
    """Hold the two listings against each other, with MD5."""
    argv: list[str | Path] = [at.tool.path, "check", "--fast-list", "--checkers", "32", "azure:", f"s3:{BUCKET}"]
    took = timed(argv, env=_rclone_env(at), cwd=folder)
    said = (folder / "said.txt").read_text()
    if f"{at.data.blobs} matching files" not in said or "0 differences" not in said:
        raise FailedError(f"rclone did not find that all are equal: {said[-300:]}")
    return {"rclone check": took}


def _sent(at: Stage, folder: Path, stage: str, argv: list[str | Path], env: dict[str, str]) -> Turn:
    took = timed(argv, env=env, cwd=folder)
    _check_arrived(at, must_have_sums=False)
    return {stage: took}


# ------------------------------------------------------------------------------------------------- checks, addresses


def _check_files(folder: Path, data: DataSet) -> None:
    sizes = [file.stat().st_size for file in files_below(folder)]
    _same("files", len(sizes), data.blobs)
    _same("bytes", sum(sizes), data.size_bytes)


def _check_arrived(at: Stage, *, must_have_sums: bool) -> None:
    """Read again what the receiver got, hold it against the source and against the checksum that was sent along."""
    bucket, wanted = at.cloud.objects / BUCKET, _sums(at)
    found: dict[str, list[Path]] = {}
    for file in files_below(bucket):
        name = str(file.relative_to(bucket))
        whole = name if name in wanted else str(Path(name).parent)  # a part: its folder has the object's name
        found.setdefault(whole, []).append(file)
    arrived = {name: crc64nvme(sorted(files)) for name, files in found.items()}
    shutil.rmtree(bucket, ignore_errors=True)
    shutil.rmtree(at.cloud.objects / ".parts", ignore_errors=True)
    claimed = _claimed(at) if must_have_sums else wanted
    _empty_bucket(at)
    if arrived != wanted:
        wrong = sum(arrived.get(name) != crc for name, crc in wanted.items())
        raise FailedError(f"{wrong} of {len(wanted)} objects are missing or have other bytes.")
    if claimed != wanted:
        wrong = sum(claimed.get(name) != crc for name, crc in wanted.items())
        raise FailedError(f"{wrong} of {len(wanted)} objects came with no CRC64NVME, or with a wrong one.")


_KNOWN_SUMS: dict[Path, dict[str, str]] = {}


def _sums(at: Stage) -> dict[str, str]:
    if at.data.path not in _KNOWN_SUMS:
        _KNOWN_SUMS[at.data.path] = at.data.sums()
    return _KNOWN_SUMS[at.data.path]


def _claimed(at: Stage) -> dict[str, str]:
    """The CRC64NVME that came along with each object."""
    time.sleep(0.4)  # until the log is whole
    claimed = {}
    for line in at.cloud.arrivals.read_text().splitlines():
        verb, status, address, crc = line.rsplit(" ", 3)
        path, _, query = address.partition("?")
        is_last = "partNumber" not in query if verb == "PUT" else verb == "POST" and "uploadId" in query
        if status == "200" and is_last:
            claimed[path.removeprefix(f"/{BUCKET}/")] = crc
    return claimed


def _tell_bucket(at: Stage, method: str) -> None:
    host = at.cloud.s3.url.partition("://")[2]
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request(method, f"/{BUCKET}")
    connection.getresponse().read()
    connection.close()


def _empty_bucket(at: Stage) -> None:
    _tell_bucket(at, "DELETE")
    time.sleep(0.4)
    with at.cloud.arrivals.open("w"):  # nginx appends
        pass


def _same(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise FailedError(f"{found} {what}, not {wanted}")


def _rclone_env(at: Stage) -> dict[str, str]:
    authority = {"RCLONE_CA_CERT": at.cloud.azure.ca_file} if at.cloud.azure.ca_file else {}
    return {**environment(), **rclone.remotes(at.cloud.azure, at.cloud.s3), **authority}


def _azcopy_env(folder: Path) -> dict[str, str]:
    where = {"AZCOPY_LOG_LOCATION": str(folder / "azcopy"), "AZCOPY_JOB_PLAN_LOCATION": str(folder / "azcopy")}
    return {**environment(), **where, "AZCOPY_DISABLE_SYSLOG": "true", "HOME": str(folder)}


def _azcopy_url(at: Stage, path: str) -> str:
    return f"{at.cloud.azure.url}/{path}?{account_sas(at.cloud.azure)}"
