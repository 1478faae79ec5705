"""What a manifest promises: each entry comes back as it was given, and nothing else is ever taken for one."""

from __future__ import annotations

import errno
import json
import os
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.model import Entry
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.nas.manifest import LINE_MOST_BYTES, READ_STEP_BYTES, head, lines, parsed
from tests.unit.small_nas import ID, failing, in_memory, names, ready, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = "2026-11-23T03:18:30Z"
ONE = Entry("films", "a/b.mp4", "0x8D", 10, "AAAAAAAAAAA=", "", attested=False, nas_path="films/a/b.mp4", at_utc=AT)
TWO = ONE._replace(blob="ü\n\u2028🎬%", md5="1B2M2Y8AsgTpgAmY7PhCfg==", attested=True, nas_path="films/%C3%BC")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAME = TEXT.filter(bool)
PATH = st.lists(st.text("ab. %~ü🎬", min_size=1).filter(lambda name: name.strip(".") != ""), min_size=1, max_size=4)
ENTRY = st.builds(
    Entry,
    NAME,
    NAME,
    TEXT,
    st.integers(0, (1 << 63) - 1),
    st.just("AAAAAAAAAAA="),
    TEXT,
    st.booleans(),
    PATH.map("/".join),
    st.just(AT),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make a NAS."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        yield opened


def folder_of(nas: Nas) -> Path:
    """Where manifests lie."""
    return nas.root / ".scs" / "manifest"


def write(nas: Nas, *entries: Entry, at: str = AT) -> Path:
    """Write one manifest; where it is."""
    before = set(names(folder_of(nas))) if folder_of(nas).exists() else set()
    writer = nas.manifest(at)
    writer.add(entries)
    writer.close()
    (name,) = set(names(folder_of(nas))) - before
    return folder_of(nas) / name


# ----------------------------------------------------------------------------------------------------- there and back


@given(st.lists(ENTRY, max_size=20))
@settings(max_examples=100)
def test_entries_come_back(entries: list[Entry]) -> None:
    """Whatever a name holds, a line is one line of ASCII and gives back the very entry."""
    text = lines(entries)
    assert text.isascii()
    assert [parsed(line) for line in text.split(b"\n")[:-1]] == entries


def test_a_line_is_for_people_too() -> None:
    """A line names its values, and the path only where it is not the usual one."""
    usual, other = (json.loads(line) for line in lines([ONE, TWO]).splitlines())
    assert usual == {name: value for name, value in ONE._asdict().items() if name != "nas_path"}
    assert other == TWO._asdict()


def test_files_are_named_by_their_start_and_read_in_this_order(nas: Nas) -> None:
    """Each run has a file of its own, two of one second as well, and the oldest is read first."""
    assert [write(nas, ONE).name for _ in range(2)] == ["20261123T031830Z-0001.jsonl", "20261123T031830Z-0002.jsonl"]
    later = write(nas, TWO, at="2026-11-24T00:00:00Z")
    assert later.name == "20261124T000000Z-0001.jsonl"
    assert later.stat().st_mode & 0o777 == 0o640
    early = ONE._replace(blob="early")
    write(nas, early, at="2019-05-01T00:00:00Z")
    assert list(nas.manifests()) == [early, ONE, ONE, TWO]


def test_another_account_is_not_heard(nas: Nas) -> None:
    """Two catalogs may share a NAS: what one wrote says nothing to the other, nor does a file that names nobody."""
    for account, entry in (("a", ONE), ("b", TWO)):
        writer = nas.manifest(AT, account)
        writer.add([entry])
        writer.close()
    (folder_of(nas) / "20261123T031830Z-0009.jsonl").write_bytes(lines([ONE._replace(blob="nobody's")]))
    assert (list(nas.manifests("a")), list(nas.manifests("b")), list(nas.manifests("c"))) == ([ONE], [TWO], [])


def test_no_file_without_an_entry(nas: Nas) -> None:
    """A run that downloads nothing leaves nothing, and a NAS without manifests has no entries."""
    writer = nas.manifest(AT)
    writer.add([])
    writer.flush_soon()
    writer.close()
    writer.close()
    assert not folder_of(nas).exists()
    assert list(nas.manifests()) == []


def test_what_was_added_survives_a_kill(nas: Nas) -> None:
    """An entry can be read as soon as `add` returns, before any flush."""
    writer = nas.manifest(AT)
    writer.add([ONE])
    assert list(nas.manifests()) == [ONE]
    writer.close()


def test_flushed_now_and_then_and_at_the_end(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added goes to the disk when it is asked for, and at the end; what is there already does not go again."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    writer = nas.manifest(AT)
    writer.add([ONE])
    before = len(flushed)  # the folders
    for _ in range(3):
        writer.flush_soon()
        assert writer._flusher is not None
        writer._flusher.join()
    assert len(flushed) == before + 1
    writer.add([TWO])
    writer.close()
    assert len(flushed) == before + 2


# ---------------------------------------------------------------------------------------------------- what is not whole


@pytest.mark.parametrize("cut", [1, 2, 40, len(lines([TWO])) - 1])
def test_a_torn_end_is_no_trouble(nas: Nas, cut: int) -> None:
    """A file that ends within a line gives the lines before it, wherever the cut is."""
    file = write(nas, ONE, TWO)
    os.truncate(file, file.stat().st_size - cut)
    write(nas, ONE, at="2026-11-24T00:00:00Z")
    assert list(nas.manifests()) == [ONE, ONE]


def test_garbage_between_the_lines(nas: Nas) -> None:
    """Zeros of a power cut, foreign text, lines without an end: passed over, and what follows is read."""
    file = write(nas, ONE)
    whole = lines([ONE])
    garbage = [b"\0" * 4096, b"", b"null", b'"x"', b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, whole[5:-1]]
    long = b"x" * (3 * READ_STEP_BYTES)
    first = head("")[:-1]
    file.write_bytes(b"\n".join([first, *garbage, whole[:-1], long, whole[:-1], b"y" * (LINE_MOST_BYTES + 1), whole]))
    assert list(nas.manifests()) == [ONE, ONE, ONE]


def test_the_end_of_a_line_that_is_too_long(nas: Nas) -> None:
    """What looks like an entry at its end, just where a read begins, is none."""
    file = write(nas, ONE)
    begin = head("")
    file.write_bytes(begin + b"x" * (READ_STEP_BYTES - len(begin)) + lines([TWO, ONE]))
    assert list(nas.manifests()) == [ONE]


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_no_foreign_line_is_an_entry(line: bytes) -> None:
    """Any JSON, and any bytes, are no entry and no error."""
    assert parsed(line) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("container", ""),
        ("container", 5),
        ("blob", ""),
        ("blob", "\ud800"),
        ("etag", None),
        ("size_bytes", -1),
        ("size_bytes", True),
        ("size_bytes", 1.0),
        ("size_bytes", 1 << 63),
        ("crc64nvme", "AAAA"),
        ("crc64nvme", "AAAAAAAAAAA=\n"),
        ("md5", 7),
        ("attested", 1),
        ("at_utc", "yesterday"),
        ("nas_path", "/etc/passwd"),
        ("nas_path", "films/../../etc/passwd"),
        ("nas_path", "films//b"),
        ("nas_path", ".scs/NAS-ID"),
        ("nas_path", ".SCS/tmp/1"),
        ("nas_path", "a\0b"),
        ("nas_path", ""),
    ],
)
def test_an_entry_with_one_impossible_value(field: str, value: object) -> None:
    """Each value has its form; paths lead below the root and never into our own folder."""
    assert parsed(json.dumps({**TWO._asdict()}).encode()) == TWO
    assert parsed(json.dumps({**TWO._asdict(), field: value}).encode()) is None


@pytest.mark.parametrize("field", [field for field in Entry._fields if field != "nas_path"])
def test_an_entry_with_a_value_missing(field: str) -> None:
    """All but the path have to be there."""
    assert parsed(json.dumps({name: value for name, value in TWO._asdict().items() if name != field}).encode()) is None


def test_what_is_no_file_of_ours_is_not_read(nas: Nas, tmp_path: Path) -> None:
    """Other names, links, folders and pipes are passed over; a pipe does not hang us."""
    file = write(nas, ONE)
    outside = tmp_path / "outside"
    outside.write_bytes(head("") + lines([TWO]))
    folder = folder_of(nas)
    (folder / "20261123T031830Z-0007.jsonl").symlink_to(outside)
    (folder / "20261123T031830Z-0008.jsonl").mkdir()
    os.mkfifo(folder / "20261123T031830Z-0009.jsonl")
    for name in ("notes.txt", f"{file.name}.bak", f".{file.name}"):
        (folder / name).write_bytes(head("") + lines([TWO]))
    assert list(nas.manifests()) == [ONE]
    assert tree(tmp_path) == {"outside": head("") + lines([TWO])}


def test_a_link_in_place_of_the_folder(nas: Nas, tmp_path: Path) -> None:
    """Nothing is written through a link, nor read: it is a fault of the NAS."""
    (nas.root / ".scs" / "manifest").symlink_to(tmp_path)
    with pytest.raises(EnvironmentFault):
        nas.manifest(AT).add([ONE])
    with pytest.raises(EnvironmentFault):
        list(nas.manifests())
    assert names(tmp_path) == []


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "NAS-FULL"), (errno.EROFS, "NAS-READONLY"), (errno.EIO, "NAS-IO")]
)
def test_a_fault_of_the_nas_stops_the_run(nas: Nas, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    """A manifest that cannot be written, or read, is everybody's trouble and names the folder."""
    file = write(nas, ONE)
    writer = nas.manifest(AT)
    with monkeypatch.context() as patch:
        failing(patch, "write", number)
        with pytest.raises(EnvironmentFault) as fault:
            writer.add([ONE])
    assert (fault.value.code, str(file.parent) in fault.value.sentence) == (code, True)
    with monkeypatch.context() as patch:
        failing(patch, "read", number)
        with pytest.raises(EnvironmentFault) as fault:
            list(nas.manifests())
    assert (fault.value.code, str(file.parent) in fault.value.sentence) == (code, True)


@pytest.mark.parametrize("again", ["flush_soon", "close"])
def test_a_flush_that_failed_is_told(nas: Nas, monkeypatch: pytest.MonkeyPatch, again: str) -> None:
    """A flush that goes on beside the work tells its failure at the next call, once."""
    writer = nas.manifest(AT)
    writer.add([ONE])
    with monkeypatch.context() as patch:
        failing(patch, "fsync", errno.EIO)
        writer.flush_soon()
        assert writer._flusher is not None
        writer._flusher.join()
    with pytest.raises(EnvironmentFault, match="EIO"):
        getattr(writer, again)()
    writer.close()


def test_a_write_that_takes_a_part(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a few bytes at a time gets all of them in the end."""
    original = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: original(fd, bytes(islice(data, 7))))
        write(nas, ONE, TWO)
    assert list(nas.manifests()) == [ONE, TWO]


@given(st.lists(ENTRY, max_size=5), st.integers(0, 2000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_anywhere(entries: list[Entry], cut: int) -> None:
    """Of a file that was cut anywhere, all lines that are whole come back, and no other."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as nas:
        whole = lines(entries)
        write(nas, ONE).write_bytes(head("") + whole[:cut])
        assert list(nas.manifests()) == entries[: whole[:cut].count(b"\n")]
