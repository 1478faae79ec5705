"""What the door to the NAS promises when disks, servers and power fail: order, durability, faults with an address."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.nas import Nas, Publication, create_marker, kernel
from tests.unit.small_nas import (
    ID,
    code_of,
    failing,
    files,
    in_memory,
    is_folder,
    leftovers,
    mounts,
    names,
    path_of,
    put,
    ready,
    small_disk,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


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


# ---------------------------------------------------------------------------------------------------------- durability


class Recorder:
    """Notes what is flushed and renamed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.events: list[str] = []
        fsync, rename, rename_to_free = os.fsync, os.rename, kernel.rename_to_free

        def noted_fsync(fd: int) -> None:
            path = path_of(fd)
            fsync(fd)
            self.events.append(f"flush {Path(path).relative_to(root)}")

        def noted_rename(source: str, target: bytes, **kwargs: Any) -> None:
            rename(source, target, **kwargs)
            self.events.append(f"rename {source} {target.decode()}")

        def noted_rename_to_free(from_fd: int, name: bytes, to_fd: int, leaf: bytes) -> bool:
            self.events.append(f"rename {name.decode()} {leaf.decode()}")
            return rename_to_free(from_fd, name, to_fd, leaf)

        monkeypatch.setattr(kernel, "rename_to_free", noted_rename_to_free)
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
        for deadly, calls in {"fsync": 7, "rename_to_free": 4, "rename": 4, "mkdir": 2, "stat": 5, "close": 4}.items()
        for at in range(1, calls + 1)
    ],
)
def test_killed_in_the_middle(root: Path, deadly: str, at: int) -> None:
    """A run that dies at any system call leaves whole files at their places and all else in `.scs/tmp`."""
    paths = {f"c{n % 2}/{n}": b"%d" % n * 1000 for n in range(4)}
    child = os.fork()
    if not child:  # pragma: no cover - the child's lines are not seen by the measurement
        try:
            where = kernel if deadly == "rename_to_free" else os
            original, calls = getattr(where, deadly), []
            if deadly in {"rename", "stat"}:  # a NAS that cannot rename to a free place only
                kernel.rename_to_free = lambda *_: False

            def die(*args: Any, **kwargs: Any) -> Any:
                calls.append(args)
                if len(calls) == at:
                    os._exit(9)
                return original(*args, **kwargs)

            nas = Nas.open(root, ID)
            group = [Publication(written(nas, n, data), path) for n, (path, data) in enumerate(paths.items())]
            setattr(where, deadly, die)
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


@mounts
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


@mounts
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


@mounts
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


@mounts
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


@mounts
def test_remounted_read_only(tmp_path: Path) -> None:
    """A NAS that turns read-only in the middle of a run stops it."""
    with small_disk(tmp_path, "size=1m"):
        create_marker(tmp_path, ID)
        with Nas.open(tmp_path, ID) as nas:
            assert put(nas, "c/x") is None
            subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path], check=True)
            with pytest.raises(EnvironmentFault) as caught:
                nas.temp(2)
            assert caught.value.code == "NAS-READONLY"
            assert nas.size_of("c/x") == 4


@mounts
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


CALLS = ["open", "mkdir", "pwritev", "fsync", "close", "stat", "fstat", "rename", "unlink", "read", "pread", "readv"]


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
