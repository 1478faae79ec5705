"""What is only known when a result is held beside its task: entries of the manifest, what was adopted, which files rot.

Results name rows by number, which is all that the catalog needs. Names, sizes and paths are in the tasks, and those are
at hand once more when their tickets come back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.model import Check, Checked, Download, Downloaded, Entry, Problem, Stopped, Upload, Uploaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.model import Result, Task
    from sync_cloud_storage.nas import ManifestWriter

FLUSH_EVERY_S = 5.0
ENTRIES_AT_ONCE = 1000
FOUND_KEPT = 20


class Adopted(NamedTuple):
    """Blobs, and their bytes, that were there already."""

    blobs: int = 0
    bytes: int = 0

    def and_(self, sizes: Sequence[int]) -> Adopted:
        """With these, too."""
        return Adopted(self.blobs + len(sizes), self.bytes + sum(sizes))


class Notes:
    """Takes results with their tasks, just before they are committed.

    Args:
        catalog: Remembers whether its manifests are complete.
        manifest: Where what was downloaded is written down; None: nowhere.
        clock: Monotonic seconds.

    Attributes:
        on_nas: What was adopted there.
        in_s3: What was adopted there.
        found: The first few files that were not as they should be.
    """

    def __init__(
        self, catalog: Catalog, manifest: ManifestWriter | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_nas = Adopted()
        self.in_s3 = Adopted()
        self.found: list[Problem] = []
        self._catalog = catalog
        self._manifest = manifest
        self._clock = clock
        self._flush_at = clock() + FLUSH_EVERY_S

    def take(self, results: Sequence[Result], over: Iterable[tuple[Task, object]]) -> Stopped | None:
        """Note what *results* say of the tasks that are *over*.

        Gives what has to stop the run: the NAS does not take the manifest. The results are as good as without it.
        """
        downloads: dict[int, Download] = {}
        others: dict[int, Upload | Check] = {}
        for task, _ in over:
            if type(task) is Download:
                downloads[task.id] = task
            elif type(task) is Upload or type(task) is Check:
                others[task.id] = task
        if others:
            self._others(results, others)
        if downloads:
            try:
                self._downloaded([one for one in results if type(one) is Downloaded], downloads)
            except EnvironmentFault as fault:
                return Stopped(fault.code, fault.sentence, fault.hint)
        return None

    def tell_all(self, goes_on: Callable[[], bool]) -> None:
        """Write down all that was downloaded before there were manifests, or while one could not be written.

        Raises:
            EnvironmentFault: The NAS does not take it.
        """
        if self._manifest is None or self._catalog.has_told_all():
            return
        after = 0
        while goes_on():
            entries, after = self._catalog.entries(after, ENTRIES_AT_ONCE)
            if not after:
                self._manifest.flush()
                self._catalog.told_all(complete=True)
                return
            self._manifest.add(entries)

    def flush_when_due(self) -> None:
        """Have the manifest on the disk now and then.

        Raises:
            EnvironmentFault: The NAS does not take it.
        """
        if self._manifest is not None and self._clock() >= self._flush_at:
            self._flush_at = self._clock() + FLUSH_EVERY_S
            self._try(self._manifest.flush_soon)

    def close(self) -> None:
        """Have all of it on the disk.

        Raises:
            EnvironmentFault: The NAS does not take it.
        """
        if self._manifest is not None:
            self._try(self._manifest.close)

    # ----------------------------------------------------------------------------------------------------- inside

    def _downloaded(self, results: Sequence[Downloaded], tasks: dict[int, Download]) -> None:
        adopted = [tasks[one.id].size_bytes for one in results if not one.bytes_moved]
        if adopted:
            self.on_nas = self.on_nas.and_(adopted)
        if self._manifest is None:
            return
        entries = []
        for row_id, etag, crc64nvme, md5, _, at_utc, attested in results:
            _, container, blob, size_bytes, _, _, nas_path, *_ = tasks[row_id]
            entries.append(Entry(container, blob, etag, size_bytes, crc64nvme, md5, attested, nas_path, at_utc))
        manifest = self._manifest
        self._try(lambda: manifest.add(entries))

    def _others(self, results: Sequence[Result], tasks: dict[int, Upload | Check]) -> None:
        sizes: list[int] = []
        for one in results:
            if type(one) is Uploaded:
                if not one.bytes_moved:
                    sizes.append(tasks[one.id].size_bytes)
            elif type(one) is Checked and one.nas and one.fetch_again and len(self.found) < FOUND_KEPT:
                code, _, sentence = one.nas.partition(": ")
                task = tasks[one.id]
                self.found.append(Problem(task.container, task.blob, "azure", code, sentence))
        if sizes:
            self.in_s3 = self.in_s3.and_(sizes)

    def _try(self, act: Callable[[], None]) -> None:
        """What a manifest does not hold has to be written once more, by a later run."""
        try:
            act()
        except EnvironmentFault:
            self._manifest = None
            self._catalog.told_all(complete=False)
            raise
