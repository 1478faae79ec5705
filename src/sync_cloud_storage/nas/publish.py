"""Publishing: written files get their places, in groups, so that a power cut leaves each whole or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import BlobFault, EnvironmentFault, Kind, ScsError
from sync_cloud_storage.nas.faults import as_fault
from sync_cloud_storage.nas.folders import flush_folder, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sync_cloud_storage.nas.folders import Folder, Folders
    from sync_cloud_storage.nas.temp import Temp


class Publication(NamedTuple):
    """A written temporary file and the place that it is for."""

    temp: Temp
    nas_path: str
    may_replace: bool = False


class Publisher:
    """Gives files their places below one root.

    Args:
        root: For sentences.
        folders: Below it.
        check_mounted: Raises when the root is no longer what it was.
    """

    def __init__(self, root: Path, folders: Folders, check_mounted: Callable[[], None]) -> None:
        self._root = root
        self._folders = folders
        self._check_mounted = check_mounted

    def publish(self, group: Sequence[Publication]) -> list[ScsError | None]:
        """See `Nas.publish`."""
        outcomes: list[ScsError | None] = [None] * len(group)
        # All bytes first. One syncfs for the group could stand here, where the NAS takes many small files.
        for index, item in enumerate(group):
            try:
                item.temp.flush()
            except ScsError as fault:
                item.temp.discard()
                outcomes[index] = fault
        try:
            self._check_mounted()
        except EnvironmentFault as fault:
            for index, item in enumerate(group):
                outcomes[index] = outcomes[index] or _end(item.temp, fault)
            return outcomes
        moved: dict[Folder, list[int]] = {}
        for parent, members in self._by_folder(group, outcomes).items():
            folder = self._move_into(parent, members, group, outcomes)
            if folder is not None:
                moved[folder] = [index for index, _ in members if outcomes[index] is None]
        self._flush(moved, group, outcomes)
        for index, item in enumerate(group):
            if outcomes[index] is None:
                item.temp.forget_journal()
        return outcomes

    def flush_way_to(self, nas_path: str) -> None:
        """Flush the folder of *nas_path* and all above it that are not known to be on the disk."""
        with self._folders.hold(split(nas_path)[0]) as folder:
            for path in (folder.path, *self._way_up(folder)):
                with self._folders.hold(path) as one:
                    flush_folder(one.fd)

    def _by_folder(
        self, group: Sequence[Publication], outcomes: list[ScsError | None]
    ) -> dict[str, list[tuple[int, bytes]]]:
        places: dict[str, list[tuple[int, bytes]]] = {}
        for index, (temp, nas_path, _) in enumerate(group):
            if outcomes[index] is not None:
                continue
            try:
                parent, leaf = split(nas_path)
                places.setdefault(parent, []).append((index, leaf))
            except BlobFault as fault:
                outcomes[index] = _end(temp, fault)
        return places

    def _move_into(
        self,
        parent: str,
        members: list[tuple[int, bytes]],
        group: Sequence[Publication],
        outcomes: list[ScsError | None],
    ) -> Folder | None:
        """Rename files into one folder, which is made where it is missing; None when there is no such folder."""
        try:
            with self._folders.hold(parent, make=True) as folder:
                for index, leaf in members:
                    item = group[index]
                    try:
                        _move(item, folder.fd, leaf)
                    except (OSError, BlobFault) as error:
                        outcomes[index] = _end(item.temp, self._fault(error, item.nas_path))
                return folder
        except (OSError, BlobFault) as error:
            fault = self._fault(error, parent)
            for index, _ in members:
                outcomes[index] = _end(group[index].temp, fault)
            return None

    def _flush(
        self, moved: dict[Folder, list[int]], group: Sequence[Publication], outcomes: list[ScsError | None]
    ) -> None:
        """Flush each folder that got a file, and each whose entry on the way there may be in memory only."""
        waiting: dict[str, list[int]] = {}
        for folder, members in moved.items():
            if members:
                for path in (folder.path, *self._way_up(folder)):
                    waiting.setdefault(path, []).extend(members)
        flushed: list[Folder] = []
        for path, members in waiting.items():
            try:
                with self._folders.hold(path) as folder:
                    flush_folder(folder.fd)
                    flushed.append(folder)
            except (OSError, BlobFault) as error:
                for index in members:
                    outcomes[index] = outcomes[index] or self._take_back(group[index].nas_path, error)
        if len(flushed) == len(waiting):
            for folder in flushed:
                folder.linked = True

    def _way_up(self, folder: Folder) -> Iterator[str]:
        path, linked = folder.path, folder.linked
        while not linked:
            path = path.rpartition("/")[0]
            yield path
            linked = self._folders.is_linked(path)

    def _take_back(self, nas_path: str, error: OSError | BlobFault) -> ScsError:
        """The name may not be on the disk: rather no file than one that is there by luck."""
        parent, leaf = split(nas_path)
        with contextlib.suppress(OSError, BlobFault), self._folders.hold(parent) as folder:
            os.unlink(leaf, dir_fd=folder.fd)
        fault = self._fault(error, nas_path)
        if isinstance(fault, BlobFault):
            return BlobFault("NAS-FSYNC", fault.sentence, fault.hint, kind=Kind.RETRY)
        return fault

    def _fault(self, error: OSError | BlobFault, nas_path: str) -> ScsError:
        if isinstance(error, BlobFault):
            return error
        return as_fault(error, self._root / nas_path, self._folders.root.fd)


def _move(item: Publication, folder_fd: int, leaf: bytes) -> None:
    if not item.may_replace and item.temp.move_to_free(folder_fd, leaf):
        return
    try:
        there = os.stat(leaf, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(there.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not item.may_replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    try:
        item.temp.move(folder_fd, leaf)
    except FileExistsError:
        if not item.may_replace:
            raise
        # Some SMB servers never rename over a file.
        os.unlink(leaf, dir_fd=folder_fd)
        item.temp.move(folder_fd, leaf)


def _end(temp: Temp, fault: ScsError) -> ScsError:
    if isinstance(fault, EnvironmentFault):
        temp.keep_for_later()
    else:
        temp.discard()
    return fault
