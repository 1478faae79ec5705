"""What the door to the NAS promises: whole files at their places, below the root of the right NAS, or a clear fault."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.nas import Nas, Publication, Temp, create_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = "5f0c2f2e-7d50-4c7e-9d3c-0d2b8f6f1a11"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder that is ready to be a NAS."""
    folder = tmp_path / "nas"
    folder.mkdir()
    create_marker(folder, ID)
    return folder


@pytest.fixture
def nas(root: Path) -> Iterator[Nas]:
    """Open that NAS."""
    with Nas.open(root, ID) as opened:
        yield opened


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Put a folder with a file beside the NAS; nothing in it may ever change."""
    folder = tmp_path / "outside"
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
    return double


def is_folder(fd: int, *_: object) -> bool:
    """Tell folders from files by descriptor."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)


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


def test_writability_is_tried(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe leaves nothing behind, and a read-only NAS is found before a run begins."""
    nas.check_writable()
    assert leftovers(root) == []
    failing(monkeypatch, "open", errno.EROFS, lambda _, flags, *__: flags & os.O_CREAT)
    with pytest.raises(EnvironmentFault) as caught:
        nas.check_writable()
    assert caught.value.code == "NAS-READONLY"


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
    (root / "c").rename(root / "c-moved")
    (root / "c").symlink_to(canary)
    assert code_of(put(nas, "c/sub/c", row_id=3)) == "NAS-TYPE"
    assert sorted(files(root)) == ["c", "c-moved/sub/b", "moved/a"]


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
        codes = {code_of(put(nas, f"c/{n}", row_id=n)) for n in range(3000)}
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


def test_several_threads(nas: Nas, root: Path) -> None:
    """Threads that publish into more folders than are kept open never get each other's folders."""

    def work(thread: int) -> None:
        for n in range(300):
            row = thread * 1000 + n
            faults.append(put(nas, f"c{n}/t{thread}", b"%d" % row, row_id=row))

    faults: list[ScsError | None] = []
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [None] * 1200
    assert files(root) == {f"c{n}/t{thread}": b"%d" % (thread * 1000 + n) for n in range(300) for thread in range(4)}


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


# ---------------------------------------------------------------------------------------------------------- durability


class Recorder:
    """Notes what is flushed and renamed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.events: list[str] = []
        fsync, rename = os.fsync, os.rename

        def noted_fsync(fd: int) -> None:
            path = path_of(fd)
            fsync(fd)
            self.events.append(f"flush {Path(path).relative_to(root)}")

        def noted_rename(source: str, target: bytes, **kwargs: Any) -> None:
            rename(source, target, **kwargs)
            self.events.append(f"rename {source} {target.decode()}")

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "rename", noted_rename)


def test_bytes_then_names_then_folders(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are flushed before they are renamed, folders after it, each once, with those on the way that are new."""
    seen = Recorder(monkeypatch, root)
    group = [Publication(written(nas, n, b"x"), path) for n, path in enumerate(["c/d/a", "c/d/b", "e"])]
    assert nas.publish(group) == [None] * 3
    steps = [event.split()[0] for event in seen.events]
    assert steps == ["flush"] * 3 + ["rename"] * 3 + ["flush"] * 3
    assert sorted(seen.events[6:]) == ["flush .", "flush c", "flush c/d"]


def test_the_way_is_flushed_once(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the way to a folder is on the disk, only the folder itself is flushed; a new run does not rely on that."""
    put(nas, "c/d/a")
    seen = Recorder(monkeypatch, root)
    assert put(nas, "c/d/b") is None
    assert seen.events == ["flush .scs/tmp/1", "rename 1 b", "flush c/d"]
    seen.events.clear()
    with Nas.open(root, ID) as later:
        assert put(later, "c/d/c") is None
    assert sorted(seen.events[2:]) == ["flush .", "flush c", "flush c/d"]


def test_a_found_file_is_made_durable(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a file of a killed run counts, it is flushed with its whole way."""
    (root / "c/d").mkdir(parents=True)
    (root / "c/d/a").write_bytes(b"left by a killed run")
    seen = Recorder(monkeypatch, root)
    nas.make_durable("c/d/a")
    assert seen.events == ["flush c/d/a", "flush c/d", "flush c", "flush ."]
    with pytest.raises(BlobFault) as caught:
        nas.make_durable("c/d/absent")
    assert caught.value.code == "NAS-LOST"


def test_bytes_that_do_not_reach_the_disk(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed flush the file is thrown away and not flushed again; the others of the group are published."""
    first, second = written(nas, 1, b"1"), written(nas, 2, b"2")
    double = failing(monkeypatch, "fsync", errno.EIO, lambda fd: path_of(fd).endswith("tmp/1"))
    outcomes = nas.publish([Publication(first, "c/1"), Publication(second, "c/2")])
    assert [code_of(fault) for fault in outcomes] == ["NAS-FSYNC", ""]
    assert isinstance(outcomes[0], BlobFault)
    assert outcomes[0].kind is Kind.RETRY
    assert len(double.raised) == 1
    assert files(root) == {"c/2": b"2"}
    assert leftovers(root) == []


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, "NAS-FSYNC"), (errno.EDQUOT, "NAS-FULL"), (errno.ENOSPC, "NAS-FULL")]
)
def test_errors_that_come_at_close(
    nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """What a server says only when the file is closed counts as much as what it says before."""
    temp = written(nas, 1, b"1")
    with monkeypatch.context() as patch:
        failing(patch, "close", number, lambda fd: path_of(fd).endswith("tmp/1"))
        outcomes = nas.publish([Publication(temp, "c/1")])
    assert code_of(outcomes[0]) == code
    assert files(root) == {}
    assert leftovers(root) == []


def test_a_name_that_does_not_reach_the_disk(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the folder cannot be flushed, the file is taken back: it would be there by luck only."""
    with monkeypatch.context() as patch:
        failing(patch, "fsync", errno.EIO, is_folder)
        assert code_of(put(nas, "c/1")) == "NAS-FSYNC"
    assert files(root) == {}
    assert put(nas, "c/1") is None


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_without_folder_flush(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A file system that knows no flush of folders is taken as it is."""
    failing(monkeypatch, "fsync", number, is_folder)
    assert put(nas, "c/1") is None
    assert files(root) == {"c/1": b"data"}


@pytest.mark.parametrize(
    ("deadly", "at"),
    [
        (deadly, at)
        for deadly, calls in {"fsync": 7, "rename": 4, "mkdir": 2, "stat": 5, "close": 4}.items()
        for at in range(1, calls + 1)
    ],
)
def test_killed_in_the_middle(root: Path, deadly: str, at: int) -> None:
    """A run that dies at any system call leaves whole files at their places and all else in `.scs/tmp`."""
    paths = {f"c{n % 2}/{n}": b"%d" % n * 1000 for n in range(4)}
    child = os.fork()
    if not child:  # pragma: no cover - the child's lines are not seen by the measurement
        try:
            original, calls = getattr(os, deadly), []

            def die(*args: Any, **kwargs: Any) -> Any:
                calls.append(args)
                if len(calls) == at:
                    os._exit(9)
                return original(*args, **kwargs)

            nas = Nas.open(root, ID)
            group = [Publication(written(nas, n, data), path) for n, (path, data) in enumerate(paths.items())]
            setattr(os, deadly, die)
            nas.publish(group)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    found = files(root)
    assert {path: paths[path] for path in found} == found
    assert os.waitstatus_to_exitcode(status) == 9
    with Nas.open(root, ID) as nas:
        assert len(leftovers(root)) == len(paths) - len(found)
        assert nas.sweep(lambda _: False) == len(paths) - len(found)
        assert leftovers(root) == []
        group = [
            Publication(written(nas, n, data), path, may_replace=True) for n, (path, data) in enumerate(paths.items())
        ]
        assert nas.publish(group) == [None] * 4
    assert files(root) == paths


# ---------------------------------------------------------------------------------------------------------- the weather


def test_full_disk(tmp_path: Path) -> None:
    """A disk that fills up is a fault of the environment, with what is free; nothing is left of the blob."""
    with small_disk(tmp_path, "size=1m"):
        create_marker(tmp_path, ID)
        with Nas.open(tmp_path, ID) as nas:
            temp = nas.temp(1)
            with pytest.raises(EnvironmentFault, match="free: 0 B") as caught:
                temp.write(bytes(2_000_000))
            assert caught.value.code == "NAS-FULL"
            temp.discard()
            assert put(nas, "c/small") is None
            assert files(tmp_path) == {"c/small": b"data"}
            assert leftovers(tmp_path) == []


def test_no_inodes_left(tmp_path: Path) -> None:
    """A disk without inodes is full, too, whether a file or a folder needs one, and the sentence tells which."""
    with small_disk(tmp_path, "size=1m,nr_inodes=10"):
        create_marker(tmp_path, ID)
        with Nas.open(tmp_path, ID) as nas:
            last = [written(nas, n, b"x") for n in range(nas_inodes(tmp_path))][-1]
            with pytest.raises(EnvironmentFault, match=" 0 inodes") as caught:
                nas.temp(100)
            assert caught.value.code == "NAS-FULL"
            assert code_of(nas.publish([Publication(last, "new-folder/x")])[0]) == "NAS-FULL"
            assert files(tmp_path) == {}


def nas_inodes(folder: Path) -> int:
    """Count the inodes that are left."""
    return os.statvfs(folder).f_favail


def test_unmounted_under_us(tmp_path: Path) -> None:
    """After `umount -l` nothing is written below the mount point, nor to the disk that is no longer there."""
    with small_disk(tmp_path, "size=1m"):
        create_marker(tmp_path, ID)
        with Nas.open(tmp_path, ID) as nas:
            group = [Publication(written(nas, n, b"x"), f"c/{n}") for n in range(3)]
            subprocess.run(["umount", "-l", tmp_path], check=True)
            outcomes = nas.publish(group)
            assert [code_of(fault) for fault in outcomes] == ["NAS-GONE"] * 3
            assert all(isinstance(fault, EnvironmentFault) for fault in outcomes)
            with pytest.raises(EnvironmentFault):
                nas.check_mounted()
    assert names(tmp_path) == []


def test_something_mounted_over_us(nas: Nas, root: Path) -> None:
    """Another file system on top of the NAS is noticed, and so is the NAS's folder being replaced or gone."""
    nas.check_mounted()
    with small_disk(root, "size=1m"), pytest.raises(EnvironmentFault, match="NAS is no longer mounted"):
        nas.check_mounted()
    nas.check_mounted()
    root.rename(root.with_name("elsewhere"))
    assert code_of(put(nas, "c/x")) == "NAS-GONE"
    root.mkdir()
    assert code_of(put(nas, "c/x")) == "NAS-GONE"
    assert names(root) == []


def test_remounted_read_only(tmp_path: Path) -> None:
    """A NAS that turns read-only in the middle of a run stops it."""
    with small_disk(tmp_path, "size=1m"):
        create_marker(tmp_path, ID)
        with Nas.open(tmp_path, ID) as nas:
            assert put(nas, "c/x") is None
            subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
            with pytest.raises(EnvironmentFault) as caught:
                nas.temp(2)
            assert caught.value.code == "NAS-READONLY"
            assert nas.size_of("c/x") == 4


def test_another_disk_inside(nas: Nas, root: Path) -> None:
    """A file system mounted inside the NAS cannot get a file by rename; that is that folder's trouble."""
    (root / "c").mkdir()
    with small_disk(root / "c", "size=1m"):
        assert code_of(put(nas, "c/x")) == "NAS-TYPE"
        assert put(nas, "d/x") is None


TABLE = [
    ("ENOSPC", "NAS-FULL", Kind.FATAL),
    ("EDQUOT", "NAS-FULL", Kind.FATAL),
    ("EROFS", "NAS-READONLY", Kind.FATAL),
    ("ENOTCONN", "NAS-GONE", Kind.FATAL),
    ("EHOSTDOWN", "NAS-GONE", Kind.FATAL),
    ("EIO", "NAS-IO", Kind.RETRY),
    ("EBADMSG", "NAS-IO", Kind.RETRY),
    ("ESTALE", "NAS-STALE", Kind.RETRY),
    ("EMFILE", "NAS-OPEN-FILES", Kind.RETRY),
    ("ENFILE", "NAS-OPEN-FILES", Kind.RETRY),
    ("ENOENT", "NAS-VANISHED", Kind.RETRY),
    ("EBUSY", "NAS-BUSY", Kind.RETRY),
    ("ENOMEM", "NAS-BUSY", Kind.RETRY),
    ("EACCES", "NAS-PERM", Kind.PERMANENT),
    ("EPERM", "NAS-PERM", Kind.PERMANENT),
    ("ENAMETOOLONG", "NAS-NAME", Kind.PERMANENT),
    ("EILSEQ", "NAS-NAME", Kind.PERMANENT),
    ("ENOTDIR", "NAS-TYPE", Kind.PERMANENT),
    ("ELOOP", "NAS-TYPE", Kind.PERMANENT),
    ("EXDEV", "NAS-TYPE", Kind.PERMANENT),
    ("EEXIST", "NAS-EXISTS", Kind.PERMANENT),
    ("EFBIG", "NAS-TOO-BIG", Kind.PERMANENT),
]


@pytest.mark.parametrize(("name", "code", "kind"), TABLE)
@pytest.mark.parametrize("call", ["rename", "mkdir"])
def test_what_the_kernel_says(
    nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str, code: str, kind: Kind
) -> None:
    """Each error number becomes one fault with the path, the reason and a way out; the file is nowhere."""
    if (call, name) == ("mkdir", "EEXIST"):  # that is another worker who was quicker
        name, code, kind = "ENOENT", "NAS-VANISHED", Kind.RETRY
    with monkeypatch.context() as patch:
        failing(patch, call, getattr(errno, name))
        fault = put(nas, "c/x")
    assert fault is not None
    assert (fault.code, fault.kind) == (code, kind)
    assert isinstance(fault, EnvironmentFault if kind is Kind.FATAL else BlobFault)
    assert str(root / "c") in fault.sentence
    assert name in fault.sentence
    assert fault.hint
    assert files(root) == {}
    assert leftovers(root) == []


@pytest.mark.parametrize(("name", "code", "kind"), TABLE)
def test_what_the_kernel_says_when_reading(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, name: str, code: str, kind: Kind
) -> None:
    """The same table holds for reading, but for a file that is not there."""
    put(nas, "c/x")
    with nas.open_read("c/x") as file, monkeypatch.context() as patch:
        failing(patch, "pread", getattr(errno, name))
        with pytest.raises(ScsError) as caught:
            file.read_at(0, 4)
    assert (caught.value.code, caught.value.kind) == (code, kind)
    with monkeypatch.context() as patch:
        failing(patch, "readv", getattr(errno, name))
        with pytest.raises(ScsError) as caught:
            nas.hash_file("c/x")
    assert (caught.value.code, caught.value.kind) == (code, kind)


@pytest.mark.parametrize(
    ("name", "code"),
    [("EACCES", "NAS-PERM"), ("ENOENT", "NAS-GONE"), ("ENOTDIR", "NAS-MARKER"), ("EROFS", "NAS-READONLY")],
)
def test_trouble_in_our_own_folder(nas: Nas, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """What goes wrong in `.scs/tmp` would go wrong for every blob: it stops the run and blames none."""
    failing(monkeypatch, "open", getattr(errno, name))
    with pytest.raises(EnvironmentFault) as caught:
        nas.temp(1)
    assert caught.value.code == code


CALLS = ["open", "mkdir", "pwrite", "fsync", "close", "stat", "fstat", "rename", "unlink", "read", "pread", "readv"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "ESTALE", "EACCES", "EMFILE", "ENOENT", "EBADF", "EINVAL"])
def test_the_nth_call_fails(root: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str) -> None:
    """Whichever call fails, in whichever way: a fault of ours, no file that is not whole, and a clean next run."""
    paths = {f"c{n % 2}/sub/{n}": b"%d" % n * 100 for n in range(3)}
    original = getattr(os, call)
    descriptors = len(names(Path("/proc/self/fd")))
    for nth in itertools.count(1):
        for leftover in ("0", "1", "1.parts", "77"):
            (root / ".scs/tmp" / leftover).write_bytes(b"of a killed run")
        calls: list[Any] = []

        def fail(*args: Any, nth: int = nth, calls: list[Any] = calls, **kwargs: Any) -> Any:
            calls.append(args)
            if len(calls) != nth:
                return original(*args, **kwargs)
            if call == "close":  # the descriptor is gone even when closing says no
                original(*args)
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            outcomes = attempt(root, paths)
        assert all(outcome is None or isinstance(outcome, ScsError) for outcome in outcomes.values())
        found = files(root)
        assert {path: paths[path] for path in found} == found
        assert {path for path, outcome in outcomes.items() if outcome is None} <= set(found)
        assert len(names(Path("/proc/self/fd"))) == descriptors
        assert attempt(root, paths) == dict.fromkeys(paths)
        assert files(root) == paths
        assert leftovers(root) == []
        subprocess.run(["rm", "-r", root / "c0", root / "c1"], check=True)
        if len(calls) < nth:
            break
    assert nth > 1, f"{call} is never called: this proves nothing"


def read_again(nas: Nas, path: str, data: bytes) -> None:
    """Ask every reader: the truth, or a fault."""
    with suppress(ScsError):
        nas.make_durable(path)
    with suppress(ScsError):
        assert nas.hash_file(path) == (len(data), crc64nvme(data))
    with suppress(ScsError), nas.open_read(path) as file:
        assert file.read_at(0, file.size) == data


def attempt(root: Path, paths: dict[str, bytes]) -> dict[str, ScsError | None]:
    """Do what a run does: open, write, publish; give the outcome of each path."""
    try:
        with Nas.open(root, ID) as nas:
            nas.sweep(lambda row_id: row_id == 0)
            nas.partial(0, "etag", 10).discard()
            outcomes: dict[str, ScsError | None] = {}
            group = []
            for n, (path, data) in enumerate(paths.items()):
                try:
                    group.append(Publication(written(nas, n, data), path, may_replace=True))
                except ScsError as fault:
                    outcomes[path] = fault
            for item, answer in zip(group, nas.publish(group), strict=True):
                outcomes[item.nas_path] = answer
                if answer is None:
                    read_again(nas, item.nas_path, paths[item.nas_path])
            return outcomes
    except ScsError as fault:
        return dict.fromkeys(paths, fault)


# ------------------------------------------------------------------------------------------------------------- reading


def test_size_of(nas: Nas) -> None:
    """The size of a file; None where there is no file or no folder."""
    put(nas, "c/x", b"12345")
    assert nas.size_of("c/x") == 5
    assert nas.size_of("c/y") is None
    assert nas.size_of("d/x") is None


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
