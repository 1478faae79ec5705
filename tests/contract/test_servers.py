"""The servers that other tests stand on: they start, they end, they hold what was put into them, the judge judges."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from tests.servers import clients, fill, install, judge, moto, nginx, rclone
from tests.servers.process import DidNotStartError, serving
from tests.servers.strict import Given

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.endpoints import AzureAt, S3At
    from tests.servers.strict import StrictCloud

AWKWARD = [
    "a",
    "a/b",
    "a//b",
    "/lead",
    "a/../b",
    "../up",
    ".",
    "..",
    "x/..",
    "a%2Fb",
    "tab\tb",
    "nl\nb",
    "cr\rb",
    "ü😀",
]

STARTER = """
import sys, time
from pathlib import Path
from tests.servers import moto, rclone
folder = Path(sys.argv[1])
with moto.running(folder) as one, rclone.serving_s3(folder) as two:
    print(one.url, two.url, flush=True)
    time.sleep(60)
"""


def is_listening(url: str) -> bool:
    """Whether somebody takes connections there."""
    at = urllib.parse.urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((at.hostname, at.port)) == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_no_server_outlives_the_process_that_started_it(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and SIGKILL on us all end the servers that we started."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as starter:
        assert starter.stdout is not None
        urls = starter.stdout.readline().split()
        assert [is_listening(url) for url in urls] == [True, True]
        starter.send_signal(how)
    deadline = time.monotonic() + 10
    while any(is_listening(url) for url in urls) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [is_listening(url) for url in urls] == [False, False]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error has the end of the server's log."""
    command = [sys.executable, "-c", "raise SystemExit('the disk is on holiday')"]
    with (
        pytest.raises(DidNotStartError, match="the disk is on holiday"),
        serving(lambda _: command, tmp_path / "log"),
    ):
        pass


def test_a_server_ends_when_its_block_is_left_by_an_error(tmp_path: Path) -> None:
    """An exception in the block ends the server, and comes out as it was."""
    urls = []

    def fail() -> None:
        with moto.running(tmp_path) as server:
            urls.append(server.url)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [is_listening(url) for url in urls] == [False]


def test_azurite_is_installed_once() -> None:
    """A second call only says where it is."""
    began = time.monotonic()
    node, script = install.azurite()
    assert time.monotonic() - began < 2
    assert subprocess.run([node, script, "--version"], capture_output=True, text=True, check=True).stdout == "3.35.0\n"


@pytest.mark.parametrize("folder", ["tests/servers", "benchmarks"])
def test_the_pins_name_no_address_of_a_download(folder: str) -> None:
    """The lock file holds hashes, so that every registry mirror will do."""
    pins = json.loads((install.HERE.parents[1] / folder / "package-lock.json").read_text())["packages"]
    packages = {name: pin for name, pin in pins.items() if name}
    assert packages
    assert all("integrity" in pin and "resolved" not in pin for pin in packages.values())


def test_azurite_takes_and_lists_names_that_its_own_client_cannot_ask_for(
    azurite: AzureAt, account: fill.Account
) -> None:
    """Every name comes back from the listing as it was put, with its own bytes, properties and metadata."""
    account.make_container("films")
    for number, name in enumerate(AWKWARD):
        headers, metadata = {"Content-Type": f"x/{number}"}, {"n": f"number {number}"}
        account.put("films", name, b"%d" % number, headers=headers, metadata=metadata)
    assert sorted(judge.list_blobs(account, "films")) == sorted(AWKWARD)
    for number, name in enumerate(AWKWARD):
        answer = account.ask("GET", "films", name)
        told = (answer.body, answer.headers["content-type"], answer.headers["x-ms-meta-n"])
        assert told == (b"%d" % number, f"x/{number}", f"number {number}")
    with clients.blob_service(azurite) as service:
        assert [each.name for each in service.list_containers()] == ["films"]


def test_azurite_keeps_no_md5_of_a_blob_made_of_blocks(account: fill.Account) -> None:
    """As Azure: the service computes an MD5 only for a blob that came in one piece."""
    account.make_container("films")
    account.put("films", "whole", bytes(1000))
    account.put("films", "blocks", bytes(1000), block_bytes=300)
    assert "content-md5" in account.ask("HEAD", "films", "whole").headers
    assert "content-md5" not in account.ask("HEAD", "films", "blocks").headers
    assert account.ask("GET", "films", "blocks").body == bytes(1000)


def test_azurite_knows_no_crc64_of_a_range(account: fill.Account) -> None:
    """Other than Azure it refuses the wish, with a code that Azure does not have: nothing from it is ever attested."""
    account.make_container("films")
    account.put("films", "whole", bytes(1000))
    wanted = {"x-ms-range": "bytes=0-999", "x-ms-range-get-content-crc64": "true"}
    answer = account.ask("GET", "films", "whole", headers=wanted)
    assert (answer.status, answer.headers["x-ms-error-code"]) == (500, "FeatureNotSupported")


def test_an_expired_sas_is_refused(azurite: AzureAt) -> None:
    """The helper makes SAS tokens that are over, for tests of exactly that."""
    expired = clients.account_sas(azurite, hours=-1)
    with fill.Account(azurite) as account:
        assert account.ask("GET", query={"comp": "list"}).status == 200
        account._sas = expired
        assert account.ask("GET", query={"comp": "list"}).status == 403


def test_moto_tells_what_it_was_asked(moto_bucket: tuple[S3At, str]) -> None:
    """PUTs can be counted."""
    server, bucket = moto_bucket
    with clients.boto(server) as client:
        client.put_object(Bucket=bucket, Key="a/b", Body=b"x")
        client.head_object(Bucket=bucket, Key="a/b")
    assert moto.asked(server, f"/{bucket}/") == [
        moto.Asked("PUT", f"/{bucket}/a/b", 200),
        moto.Asked("HEAD", f"/{bucket}/a/b", 200),
    ]


@pytest.fixture
def moto_bucket(moto: S3At, new_bucket: Callable[[S3At], str]) -> tuple[S3At, str]:
    """Moto and an empty bucket of it."""
    return moto, new_bucket(moto)


def test_rclone_checks_signatures_and_tells_what_it_was_asked(
    rclone_s3: S3At, new_bucket: Callable[[S3At], str]
) -> None:
    """A wrong secret is refused; an upload with the right one is in its log."""
    bucket = new_bucket(rclone_s3)
    with clients.boto(rclone_s3) as client:
        client.put_object(Bucket=bucket, Key="a b", Body=b"x")
    assert rclone.asked(rclone_s3).count(f"CREATE OBJECT: {bucket} a b") == 1
    with (
        clients.boto(rclone_s3._replace(secret_access_key="wrong")) as client,
        pytest.raises(client.exceptions.ClientError, match="SignatureDoesNotMatch"),
    ):
        client.put_object(Bucket=bucket, Key="other", Body=b"x")


def copied(account: fill.Account, strict: StrictCloud) -> None:
    """The same blobs in Azurite and in the strict cloud's bucket `target`: a migration that went well."""
    account.make_container("films")
    strict.s3.make_bucket("target")
    with clients.boto(strict.s3_at) as client:
        for name in AWKWARD:
            data = os.urandom(3000)
            account.put("films", name, data, headers={"Content-Type": "video/mp4"}, metadata={"Year": "1999"})
            client.put_object(
                Bucket="target", Key=f"films/{name}", Body=data, ContentType="video/mp4", Metadata={"year": "1999"}
            )


def test_the_judge_acquits_a_right_copy(azurite: AzureAt, account: fill.Account, strict: StrictCloud) -> None:
    """Equal bytes, properties and metadata under all names are no difference, and all of them were read."""
    copied(account, strict)
    verdict = judge.compare(azurite, strict.s3_at, "target")
    assert verdict == judge.Verdict(blobs=len(AWKWARD), bytes=3000 * len(AWKWARD), differences=[])


@pytest.mark.parametrize("what", ["bytes", "size", "missing", "extra", "content-type", "metadata"])
def test_the_judge_finds_every_kind_of_difference(
    what: str, azurite: AzureAt, account: fill.Account, strict: StrictCloud
) -> None:
    """One bit, one byte, one object too few or too many, one property, one pair of metadata: each is found alone."""
    copied(account, strict)
    objects = strict.s3.buckets["target"].objects
    victim = objects["films/a/../b"]
    if what == "bytes":
        victim.content = Given(victim.data[:1500] + bytes([victim.data[1500] ^ 1]) + victim.data[1501:])
    elif what == "size":
        victim.content, victim.size = Given(victim.data[:-1]), victim.size - 1
    elif what == "missing":
        del objects["films/a/../b"]
    elif what == "extra":
        objects["films/strange"] = victim
    elif what == "content-type":
        victim.headers["content-type"] = "text/plain"
    else:
        victim.metadata["year"] = "2000"
    found = judge.compare(azurite, strict.s3_at, "target").differences
    expected = {what, "bytes"} if what == "size" else {what}
    assert {each.what for each in found} == expected
    assert {each.blob for each in found} == ({""} if what == "extra" else {"a/../b"})


def test_the_judge_is_a_command_with_exit_code_5(
    azurite: AzureAt, account: fill.Account, strict: StrictCloud, capfd: pytest.CaptureFixture[str]
) -> None:
    """A difference makes the command fail, and it names the blob."""
    copied(account, strict)
    env = {**os.environ, **azurite.env, **strict.s3_at.env}
    command = [sys.executable, "-m", "tests.servers.judge", "target"]
    assert subprocess.run(command, env=env, check=False).returncode == 0
    strict.s3.buckets["target"].objects["films/a/b"].metadata.clear()
    assert subprocess.run(command, env=env, check=False).returncode == 5
    assert "metadata: films/'a/b'" in capfd.readouterr().out


def test_rclone_judges_too(azurite: AzureAt, account: fill.Account, strict: StrictCloud) -> None:
    """`rclone check` finds the one wrong byte, and nothing else."""
    account.make_container("films")
    strict.s3.make_bucket("target")
    with clients.boto(strict.s3_at) as client:
        for name in ("x", "ü/../y", "z\tz"):
            account.put("films", name, b"same bytes")
            client.put_object(Bucket="target", Key=f"films/{name}", Body=b"same bytes")
    assert rclone.check(azurite, strict.s3_at, "target").is_clean
    victim = strict.s3.buckets["target"].objects["films/x"]
    victim.content = Given(b"same Bytes")
    assert rclone.check(azurite, strict.s3_at, "target").differing == ["films/x"]


def has_nginx() -> bool:
    """Whether the machine has nginx with Lua."""
    with contextlib.suppress(FileNotFoundError):
        return bool(nginx.binary())
    return False


def test_the_fast_cloud_serves_what_was_made_for_it(tmp_path: Path) -> None:
    """Listing and bytes agree, page by page; an upload is there with its checksum. Without nginx it says what to do."""
    if not has_nginx():  # it is for benchmarks only
        with pytest.raises(FileNotFoundError, match="apt-get install nginx-extras"):
            nginx.binary()
        return
    wanted = [("box-1" if number < 5200 else "box-2", f"dir/{number:05}", number % 50) for number in range(5300)]
    assert nginx.make_blobs(tmp_path / "data", wanted) == sum(size for _, _, size in wanted)
    with nginx.running(tmp_path / "run", tmp_path / "data") as fast:
        with fill.Account(fast.azure) as account:
            listed = [(box, blob) for box in judge.list_containers(account) for blob in judge.list_blobs(account, box)]
            assert listed == sorted((box, blob) for box, blob, _ in wanted)
            whole = account.ask("GET", "box-1", "dir/00049")
            assert (
                base64.b64decode(whole.headers["content-md5"])
                == hashlib.md5(whole.body, usedforsecurity=False).digest()
            )
            part = account.ask(
                "GET", "box-1", "dir/00049", headers={"x-ms-range": "bytes=40-48", "If-Match": whole.headers["etag"]}
            )
            assert (part.status, part.body) == (206, whole.body[40:])
            assert account.ask("GET", "box-1", "gone").headers["x-ms-error-code"] == "BlobNotFound"
        with clients.boto(fast.s3) as client:
            put = {"Bucket": "target", "Key": "a/b", "Body": b"123456789", "ChecksumAlgorithm": "CRC64NVME"}
            client.put_object(**put, IfNoneMatch="*")
            with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
                client.put_object(**put, IfNoneMatch="*")
            head = client.head_object(Bucket="target", Key="a/b", ChecksumMode="ENABLED")
        assert (head["ContentLength"], head["ChecksumCRC64NVME"]) == (9, "rosUhgp5mIg=")
        assert (fast.objects / "target/a/b").read_bytes() == b"123456789"
