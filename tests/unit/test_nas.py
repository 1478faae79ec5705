"""What the door to the NAS promises: whole files at their places, below the root of the right NAS, or a clear fault."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.nas import Nas, Publication, create_marker
from sync_cloud_storage.nas.folders import Folders
from tests.unit.small_nas import (
    ID,
    canary_in,
    code_of,
    failing,
    files,
    in_memory,
    leftovers,
    names,
    path_of,
    put,
    ready,
    tree,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Work in memory."""
    with in_memory() as folder:
        yield folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder that is ready to be a NAS."""
    return ready(tmp_path / "nas")


@pytest.fixture
def nas(root: Path) -> Iterator[Nas]:
    """Open that NAS."""
    with Nas.open(root, ID) as opened:
        yield opened


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Put a folder with a file beside the NAS; nothing in it may ever change."""
    with canary_in(tmp_path / "outside") as folder:
        yield folder


# ---------------------------------------------------------------------------------------------------------- the marker


def test_marker_is_written_once(tmp_path: Path) -> None:
    """The first id stays; later ones are told of it. Nothing but our folder is made, and others may not write there."""
    before = os.umask(0)
    try:
        assert create_marker(tmp_path, ID) == ID
    finally:
        os.umask(before)
    assert create_marker(tmp_path, "another") == ID
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        ".scs",
        ".scs/NAS-ID",
        ".scs/tmp",
    ]
    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in (".scs", ".scs/NAS-ID", ".scs/tmp")]
    assert modes == [0o750, 0o640, 0o750]


def test_marker_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that has no hard links, the marker is written all the same, once."""
    failing(monkeypatch, "link", errno.EPERM)
    assert create_marker(tmp_path, ID) == ID
    assert create_marker(tmp_path, "another") == ID
    assert names(tmp_path / ".scs") == ["NAS-ID", "tmp"]


@pytest.mark.parametrize("opener", [Nas.open, create_marker])
def test_missing_folder_is_never_made(tmp_path: Path, opener: Callable[[Path, str], object]) -> None:
    """A folder that does not exist, or is a file, is a fault: it may be a NAS that is not mounted."""
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent", "file"):
        with pytest.raises(EnvironmentFault) as caught:
            opener(tmp_path / name, ID)
        assert caught.value.code == "NAS-MISSING"
        assert str(tmp_path / name) in caught.value.sentence
    assert names(tmp_path) == ["file"]


def test_empty_mount_point(tmp_path: Path) -> None:
    """A folder without a marker is not taken for the NAS, and nothing is written to it."""
    with pytest.raises(EnvironmentFault, match="scs init") as caught:
        Nas.open(tmp_path, ID)
    assert caught.value.code == "NAS-MARKER"
    assert names(tmp_path) == []


def test_another_nas(root: Path) -> None:
    """The marker of another NAS is noticed, and both ids are said; without an id any marker will do."""
    with pytest.raises(EnvironmentFault, match="other-id") as caught:
        Nas.open(root, "other-id")
    assert caught.value.code == "NAS-MARKER"
    assert ID in caught.value.sentence
    for any_id in (None, ""):
        with Nas.open(root, any_id) as nas:
            assert nas.id == ID


@pytest.mark.parametrize("content", ["", "\n", "two ids\n", "\x1b[31m", "x" * 2000])
def test_damaged_marker(root: Path, content: str) -> None:
    """A marker that holds no id is a fault for opening and for `scs init`, and stays as it is."""
    (root / ".scs/NAS-ID").write_text(content)
    for opener in (Nas.open, create_marker):
        with pytest.raises(EnvironmentFault) as caught:
            opener(root, ID)
        assert caught.value.code == "NAS-MARKER"
    assert (root / ".scs/NAS-ID").read_text() == content


def test_marker_behind_a_link(root: Path, canary: Path) -> None:
    """A marker, or a `.scs`, that is a link, or a pipe, is not followed and does not hang us."""
    (root / ".scs/NAS-ID").unlink()
    (root / ".scs/NAS-ID").symlink_to(canary / "canary")
    with pytest.raises(EnvironmentFault) as caught:
        Nas.open(root, ID)
    assert caught.value.code == "NAS-MARKER"
    (root / ".scs/NAS-ID").unlink()
    os.mkfifo(root / ".scs/NAS-ID")
    with pytest.raises(EnvironmentFault) as caught:
        Nas.open(root, ID)
    assert caught.value.code == "NAS-MARKER"
    (root / ".scs").rename(root / "moved")
    (root / ".scs").symlink_to(canary)
    for opener in (Nas.open, create_marker):
        with pytest.raises(EnvironmentFault) as caught:
            opener(root, ID)
        assert caught.value.code == "NAS-MARKER"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EACCES, "NAS-PERM"), (errno.EROFS, "NAS-READONLY"), (errno.ENOSPC, "NAS-FULL")]
)
def test_init_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """`scs init` on a folder that cannot be written to says so in the terms of the environment."""
    failing(monkeypatch, "mkdir", number)
    with pytest.raises(EnvironmentFault) as caught:
        create_marker(tmp_path, ID)
    assert caught.value.code == code


def test_free_bytes(nas: Nas, root: Path) -> None:
    """What is free is what the file system says a user may write."""
    found = os.statvfs(root)
    assert nas.free_bytes() == pytest.approx(found.f_bavail * found.f_frsize, rel=0.2)


# ---------------------------------------------------------------------------------------------------------- publishing


def test_files_come_to_their_places(nas: Nas, root: Path) -> None:
    """Every file of a group is at its place with its bytes, for us and our group only; nothing temporary is left."""
    before = os.umask(0)
    try:
        paths = [f"c{n % 3}/deep/er/{n}.mp4" for n in range(20)] + ["at-the-root", "c0/é 漢字/😀"]
        group = [Publication(written(nas, n, path.encode()), path) for n, path in enumerate(paths)]
        assert nas.publish(group) == [None] * len(paths)
    finally:
        os.umask(before)
    assert files(root) == {path: path.encode() for path in paths}
    assert leftovers(root) == []
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*") if ".scs" not in path.parts}
    assert modes == {0o640, 0o750}


def test_an_empty_group(nas: Nas) -> None:
    """Nothing to publish is nothing."""
    assert nas.publish([]) == []


def test_an_empty_file(nas: Nas, root: Path) -> None:
    """A blob of no bytes becomes a file of no bytes."""
    assert nas.publish([Publication(nas.temp(7), "c/empty")]) == [None]
    assert files(root) == {"c/empty": b""}


def test_an_existing_file_is_kept(nas: Nas, root: Path) -> None:
    """A file that is there is not replaced unless it may be; the others of the group are not held up."""
    assert put(nas, "c/a", b"old") is None
    outcomes = nas.publish([Publication(written(nas, 2, b"new"), "c/a"), Publication(written(nas, 3, b"b"), "c/b")])
    assert [code_of(fault) for fault in outcomes] == ["NAS-EXISTS", ""]
    assert isinstance(outcomes[0], BlobFault)
    assert outcomes[0].kind is Kind.PERMANENT
    assert "--overwrite" in outcomes[0].hint
    assert files(root) == {"c/a": b"old", "c/b": b"b"}
    assert put(nas, "c/a", b"new", may_replace=True) is None
    assert files(root)["c/a"] == b"new"
    assert leftovers(root) == []


def test_a_server_that_does_not_rename_over_files(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rename over a file is refused, a file that may be replaced is replaced nevertheless."""
    put(nas, "c/a", b"old")
    failing(monkeypatch, "rename", errno.EEXIST, lambda *_: (root / "c/a").exists())
    assert put(nas, "c/a", b"new", may_replace=True) is None
    assert files(root) == {"c/a": b"new"}


@pytest.mark.parametrize("kind", ["folder", "link to a file", "link to nothing", "pipe"])
def test_something_else_is_in_the_way(nas: Nas, root: Path, canary: Path, kind: str) -> None:
    """What is no plain file is neither replaced nor followed, even where files may be replaced."""
    (root / "c").mkdir()
    place = root / "c/x"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(canary / ("canary" if kind == "link to a file" else "new"))
    for may_replace in (False, True):
        assert code_of(put(nas, "c/x", may_replace=may_replace)) == "NAS-TYPE"
    for use in (nas.size_of, nas.open_read, nas.hash_file, nas.make_durable):
        with pytest.raises(BlobFault) as caught:
            use("c/x")
        assert caught.value.code == "NAS-TYPE"
    assert leftovers(root) == []


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link that climbs"])
def test_no_folder_where_one_has_to_be(nas: Nas, root: Path, canary: Path, kind: str) -> None:
    """A path that leads through a file or a link ends there, for writing and for reading."""
    if kind == "file":
        (root / "c").write_bytes(b"")
    else:
        (root / "c").symlink_to(canary if kind == "link to a folder" else "../outside")
    assert code_of(put(nas, "c/canary", may_replace=True)) == "NAS-TYPE"
    assert code_of(put(nas, "c/new/x")) == "NAS-TYPE"
    with pytest.raises(BlobFault) as caught:
        nas.open_read("c/canary")
    assert caught.value.code == "NAS-TYPE"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "/x",
            "//x",
            "..",
            "../outside/x",
            "c/../../outside/x",
            "c/..",
            "c/.",
            "./x",
            "c//x",
            "c/",
            "c\0/x",
            "c/x\0",
        ),
        *(".scs", ".scs/NAS-ID", ".SCS/tmp/1", ".scs/tmp/x", "c\udcff/x", "c/\ud83d"),
    ],
)
def test_paths_that_nobody_should_ask_for(nas: Nas, root: Path, canary: Path, path: str) -> None:
    """Whatever stands in a row, nothing is written or read outside the root or in our own folder."""
    assert canary.exists()
    before = tree(root)
    assert code_of(put(nas, path, may_replace=True)) == "NAS-NAME"
    for use in (nas.size_of, nas.open_read, nas.hash_file, nas.make_durable):
        with pytest.raises(BlobFault) as caught:
            use(path)
        assert caught.value.code == "NAS-NAME"
    assert tree(root) == before


def test_a_folder_that_was_moved_away(nas: Nas, root: Path, canary: Path) -> None:
    """A folder that was used before and is elsewhere now, or is a link now, does not get the file."""
    put(nas, "c/sub/a")
    (root / "c/sub").rename(root / "moved")
    assert put(nas, "c/sub/b", row_id=2) is None
    (root / "c/sub").rename(root / "moved-again")
    (root / "c/sub").mkdir()
    assert put(nas, "c/sub/d", row_id=4) is None
    (root / "c").rename(root / "c-moved")
    (root / "c").symlink_to(canary)
    assert code_of(put(nas, "c/sub/c", row_id=3)) == "NAS-TYPE"
    assert sorted(files(root)) == ["c", "c-moved/sub/d", "moved-again/b", "moved/a"]


def test_a_folder_turns_into_a_link_while_we_write(nas: Nas, root: Path, canary: Path) -> None:
    """Somebody who swaps a folder for a link to the outside, over and over, gets no file out there."""
    (root / "c").mkdir()
    stop = threading.Event()

    def swap() -> None:
        for n in itertools.count():
            for step in (
                lambda: (root / "c").rename(root / f"real{n}"),  # noqa: B023 - called at once
                lambda: (root / "c").symlink_to(canary),
                (root / "c").unlink,
                lambda: (root / f"real{n}").rename(root / "c"),  # noqa: B023
            ):
                with suppress(OSError):  # we make the folder again while it is away
                    step()
            if stop.is_set():
                return

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        codes = {code_of(put(nas, f"c/{n}", row_id=n)) for n in range(800)}
    finally:
        stop.set()
        attacker.join()
    assert codes <= {"", "NAS-TYPE", "NAS-VANISHED", "NAS-FSYNC"}
    assert "" in codes


def test_many_folders_few_descriptors(nas: Nas, root: Path) -> None:
    """A thousand containers do not keep a thousand folders open."""
    for start in range(0, 1000, 100):
        group = [Publication(written(nas, n, b"%d" % n), f"c{n}/x") for n in range(start, start + 100)]
        assert nas.publish(group) == [None] * 100
    assert len(list(Path("/proc/self/fd").iterdir())) < 400
    assert files(root) == {f"c{n}/x": b"%d" % n for n in range(1000)}


def test_a_folder_in_use_stays_open(root: Path) -> None:
    """A folder that others push out while it is used keeps its descriptor until its user is done, and no longer."""
    root_fd = os.open(root, os.O_RDONLY)
    folders = Folders(root_fd, limit=2)
    before = len(names(Path("/proc/self/fd")))
    with folders.hold("a", make=True) as used:
        for other in "bcdef":
            with folders.hold(other, make=True) as passing:
                assert path_of(passing.fd) == str(root / other)
        assert path_of(used.fd) == str(root / "a")
        with folders.hold("a") as again:
            assert path_of(again.fd) == str(root / "a")
    assert len(names(Path("/proc/self/fd"))) == before + 2
    with folders.hold("a") as used:
        folders.close()
        assert path_of(used.fd) == str(root / "a")
    assert len(names(Path("/proc/self/fd"))) == before
    os.close(root_fd)


def test_several_threads(root: Path) -> None:
    """Threads that publish into more folders than are kept open never get each other's folders, and leave none open."""

    def work(nas: Nas, thread: int) -> None:
        for n in range(300):
            row = thread * 1000 + n
            faults.append(put(nas, f"c{n}/t{thread}", b"%d" % row, row_id=row))

    faults: list[ScsError | None] = []
    before = len(names(Path("/proc/self/fd")))
    with Nas.open(root, ID) as nas:
        threads = [threading.Thread(target=work, args=(nas, thread)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert faults == [None] * 1200
    assert files(root) == {f"c{n}/t{thread}": b"%d" % (thread * 1000 + n) for n in range(300) for thread in range(4)}
    assert len(names(Path("/proc/self/fd"))) == before


def test_names_are_utf8_whatever_the_locale(root: Path) -> None:
    """A machine in an old locale writes the same bytes for a name as all others."""
    program = (
        "import sys; from pathlib import Path; from sync_cloud_storage.nas import *\n"
        "with Nas.open(Path(sys.argv[1])) as nas:\n"
        "    assert sys.getfilesystemencoding() == 'ascii', sys.getfilesystemencoding()\n"
        "    assert nas.publish([Publication(nas.temp(1), 'c/\\u6f22\\u5b57')]) == [None]\n"
    )
    env = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", program, root], env=env, check=True)
    assert [os.fsencode(file) for file in (root / "c").iterdir()] == [bytes(root / "c") + "/漢字".encode()]


# ------------------------------------------------------------------------------------------------------------- reading


def test_size_of(nas: Nas) -> None:
    """The size of a file; None where there is no file or no folder."""
    put(nas, "c/x", b"12345")
    assert nas.size_of("c/x") == 5
    assert nas.size_of("c/y") is None
    assert nas.size_of("d/x") is None


def test_sizes_of_many(nas: Nas) -> None:
    """Each gets its own answer, in the order in which they were asked for, whatever is the matter with the others."""
    for path in ("c/x", "c/deep/y", "top"):
        put(nas, path, path.encode())
    (nas.root / "c/folder").mkdir()
    paths = ["c/x", "c/none", "c/deep/y", "no/such", "top", "c/folder", "c/x"]
    sizes = nas.sizes_of(paths)
    assert [size for size in sizes if not isinstance(size, BlobFault)] == [3, None, 8, None, 3, 3]
    assert isinstance(sizes[5], BlobFault)
    assert sizes[5].code == "NAS-TYPE"
    (one, other) = nas.sizes_of(["/etc/passwd", "c/x"])
    assert isinstance(one, BlobFault)
    assert (one.code, other) == ("NAS-NAME", 3)


def test_reading(nas: Nas) -> None:
    """Any span of a file can be read, and past its end there is nothing."""
    put(nas, "c/x", b"0123456789")
    with nas.open_read("c/x") as file:
        assert file.size == 10
        assert (file.read_at(3, 4), file.read_at(8, 10), file.read_at(10, 1)) == (b"3456", b"89", b"")
    file.close()


def test_reading_in_small_helpings(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives less than was asked is asked again."""
    put(nas, "c/x", b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 3), offset))
    with nas.open_read("c/x") as file:
        assert file.read_at(1, 8) == b"12345678"


def test_reading_what_is_not_there(nas: Nas) -> None:
    """A file that is gone is a fault of its own, so that it can be fetched again."""
    for path in ("c/x", "x"):
        for use in (nas.open_read, nas.hash_file):
            with pytest.raises(BlobFault) as caught:
                use(path)
            assert caught.value.code == "NAS-LOST"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_hash_of_a_file(nas: Nas, size: int) -> None:
    """A file's hash is that of its bytes, whatever its size."""
    data = os.urandom(size)
    put(nas, "c/x", data)
    assert nas.hash_file("c/x") == (size, crc64nvme(data))


# ------------------------------------------------------------------------------------------------------------ sweeping


def test_sweep_removes_only_ours(nas: Nas, root: Path) -> None:
    """Temporary files of rows that are over are removed with their journals; what is not named like ours stays."""
    for row_id in (1, 2):
        written(nas, row_id, b"x")
    partial = nas.partial(3, "etag", 10)
    partial.close()
    nas.partial(4, "etag", 10).close()
    for foreign in ("notes.txt", "5.bak", "x6", "7.parts.old"):
        (root / ".scs/tmp" / foreign).write_bytes(b"")
    (root / ".scs/tmp/8.parts").write_bytes(b"")
    assert nas.sweep(lambda row_id: row_id in (2, 4)) == 3
    assert leftovers(root) == sorted(["2", "4", "4.parts", "notes.txt", "5.bak", "x6", "7.parts.old"])
