"""draft.py: a file appears whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.draft import Draft, flush_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_nobody_sees_it_before_it_is_whole(tmp_path: Path) -> None:
    """What stood in its place is there until the new one is, with all of its bytes; nothing else is left."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with Draft(file) as draft:
        draft.write(b"n")
        draft.write(b"ew")
        assert file.read_bytes() == b"old"
        draft.publish()
        assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_left_before_its_end_is_no_file(tmp_path: Path) -> None:
    """Whoever does not publish, for whatever reason, leaves nothing behind."""
    with pytest.raises(KeyboardInterrupt), Draft(tmp_path / "file") as draft:  # noqa: PT012
        draft.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_file_and_folder_are_flushed_in_that_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are durable before its name is, and both before `publish` returns; a name of any length has a draft."""
    file = tmp_path / ("n" * 255)
    seen: list[tuple[bool, bool]] = []

    def fsync(handle: int) -> None:
        seen.append((os.path.samestat(os.fstat(handle), tmp_path.stat()), file.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with Draft(file) as draft:
        draft.publish()
    assert seen == [(False, False), (True, True)]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """Foreign errors pass as they are: who writes says what could not be written."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        flush_folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        Draft(tmp_path / "no" / "file")
