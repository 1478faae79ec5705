"""A NAS to play with: ready to use, and with system calls that fail as disks and servers fail."""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.nas import Nas, Publication, Temp, create_marker, kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from sync_cloud_storage.errors import ScsError

ID = "5f0c2f2e-7d50-4c7e-9d3c-0d2b8f6f1a11"


def ready(folder: Path) -> Path:
    """Make a folder that is a NAS."""
    folder.mkdir()
    create_marker(folder, ID)
    return folder


@contextmanager
def in_memory() -> Iterator[Path]:
    """Make a folder on a memory disk: thousands of flushes take no time there, whoever else uses the real one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@contextmanager
def canary_in(folder: Path) -> Iterator[Path]:
    """Make a folder with one file, and see that nothing in it has changed at the end."""
    folder.mkdir()
    (folder / "canary").write_bytes(b"alive")
    yield folder
    assert tree(folder) == {"canary": b"alive"}


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a small memory disk over *folder*; unmounting twice does no harm."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def mounts(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test that mounts disks: here if this user may, else the same test in namespaces of its own."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        if os.geteuid() == 0:
            test(*args, **kwargs)
            return
        node = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0]
        with tempfile.TemporaryDirectory() as folder:
            pytest_again = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--basetemp={folder}/t",
                node,
            ]
            subprocess.run(["unshare", "--map-root-user", "--mount", *pytest_again], check=True)

    return wrapper


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below *folder*, without following links."""
    return {
        str(file.relative_to(folder)): str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
        for file in folder.rglob("*")
        if file.is_symlink() or file.is_file()
    }


def files(root: Path) -> dict[str, bytes]:
    """Read all that is not our own."""
    return {path: data for path, data in tree(root).items() if not path.startswith(".scs/")}


def leftovers(root: Path) -> list[str]:
    """Name what lies in `.scs/tmp`."""
    return names(root / ".scs" / "tmp")


def names(folder: Path) -> list[str]:
    """Name what lies in a folder."""
    return sorted(file.name for file in folder.iterdir())


def path_of(fd: int) -> str:
    """Say which file a descriptor is."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def written(nas: Nas, row_id: int, data: bytes) -> Temp:
    """Make a temporary file with *data*."""
    temp = nas.temp(row_id)
    temp.write(data)
    return temp


def put(nas: Nas, path: str, data: bytes = b"data", *, row_id: int = 1, may_replace: bool = False) -> ScsError | None:
    """Write and publish one file; give its outcome."""
    return nas.publish([Publication(written(nas, row_id, data), path, may_replace)])[0]


def code_of(fault: ScsError | None) -> str:
    """Name the fault; "" for none."""
    return fault.code if fault is not None else ""


class Failing:
    """Stands in for a function of `os`: raises *number* at the calls that *when* picks, else lets it through."""

    def __init__(self, name: str, number: int, when: Callable[..., bool] = lambda *_: True) -> None:
        self.original = getattr(os, name)
        self.number = number
        self.when = when
        self.raised: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise, or do what the original does."""
        if self.when(*args):
            self.raised.append(args[0])
            raise OSError(self.number, os.strerror(self.number))
        return self.original(*args, **kwargs)


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, when: Callable[..., bool] = lambda *_: True
) -> Failing:
    """Make a system call fail as a disk or server would."""
    double = Failing(name, number, when)
    monkeypatch.setattr(os, name, double)
    if name == "rename":  # then it is `os.rename` that decides, as on a NAS that has no other
        monkeypatch.setattr(kernel, "rename_to_free", lambda *_: False)
    return double


def is_folder(fd: int, *_: object) -> bool:
    """Tell folders from files by descriptor."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)
