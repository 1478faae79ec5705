"""What `report/outfile.py` promises: a file appears whole or not at all, and goes over nothing that it must not."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.errors import EnvironmentFault, UsageFault
from sync_cloud_storage.report.outfile import OutFile

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_there_when_it_is_published(tmp_path: Path) -> None:
    """Not before, with all of its bytes, and nothing beside it; with the rights of any new file."""
    file = tmp_path / "report.txt"
    was = os.umask(0o027)
    try:
        with OutFile(file) as out:
            out.write("é" * 200_000)
            out.write_bytes(b"\n")
            assert not file.exists()
            out.publish()
    finally:
        os.umask(was)
    assert file.read_text("utf-8") == "é" * 200_000 + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    """The old file stays, and no draft of the new one."""
    file = tmp_path / "report.txt"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), OutFile(file) as out:  # noqa: PT012
        out.write("new" * 100_000)
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    with OutFile(file) as out:
        out.write("new")
        out.publish()
    assert file.read_text() == "new"


def test_a_link_stays_and_leads_to_the_new_file(tmp_path: Path) -> None:
    """A report by way of a link is written where it leads."""
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to("there/report.txt")
    with OutFile(link) as out:
        out.write("new")
        out.publish()
    assert link.is_symlink()
    assert (tmp_path / "there" / "report.txt").read_text() == "new"


def test_what_it_must_not_go_over(tmp_path: Path) -> None:
    """A folder, a pipe, a device, and what belongs to the catalog, by whatever name."""
    os.mkfifo(tmp_path / "pipe")
    kept = tmp_path / "storage.sqlite"
    kept.write_text("the catalog")
    (tmp_path / "link").symlink_to(kept)
    os.link(kept, tmp_path / "second name")
    for name in (".", "pipe", "/dev/null", "storage.sqlite", "link", "second name"):
        with pytest.raises(UsageFault) as caught:
            OutFile(tmp_path / name, (kept, tmp_path / "missing"))
        assert caught.value.code == "REPORT-FILE"
        assert name in caught.value.sentence
    assert kept.read_text() == "the catalog"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe", "second name", "storage.sqlite"]


def test_a_folder_that_is_missing_is_said_so(tmp_path: Path) -> None:
    """The system's reason is told, and which file was meant."""
    with pytest.raises(EnvironmentFault, match="No such file") as caught:
        OutFile(tmp_path / "missing" / "report.txt")
    assert (caught.value.code, "report.txt" in caught.value.sentence) == ("REPORT-WRITE", True)
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="Not a directory"):
        OutFile(tmp_path / "file" / "report.txt")


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_full_disk_is_no_half_report(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it shows while writing or at the end: a sentence, the old file as it was, and no draft."""
    file = tmp_path / "report.txt"
    file.write_text("old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left") as caught, OutFile(file) as out:  # noqa: PT012
        out.write("x" * size)
        out.publish()
    assert caught.value.code == "REPORT-WRITE"
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_is_full_while_writing(tmp_path: Path) -> None:
    """A real limit: the file may not grow beyond it."""
    import resource
    import signal

    was, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, was[1]))
    try:
        with (  # noqa: PT012
            pytest.raises(EnvironmentFault, match="too large"),
            OutFile(tmp_path / "report.txt") as out,
        ):
            for _ in range(100):
                out.write("x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, heard)
    assert list(tmp_path.iterdir()) == []
