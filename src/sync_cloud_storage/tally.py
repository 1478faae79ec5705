"""What a run did, counted: results and pages go in, numbers come out. Floor 3, pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sync_cloud_storage.model import Checked, Downloaded, Failed, FilesSeen, Gone, Rotten, Uploaded
from sync_cloud_storage.progress import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.model import PageOutcome, Problem

TROUBLES_KEPT = 20


class Tally:
    """What this run did; grows only."""

    def __init__(self) -> None:
        self.listed = 0
        self.added = 0
        self.changed = 0
        self.gone = 0
        self.downloaded = 0
        self.downloaded_bytes = 0
        self.uploaded = 0
        self.uploaded_bytes = 0
        self.checked = 0
        self.mismatches = 0
        self.failed = 0
        self.rotten = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.troubles: list[str] = []  # what could not be asked: the first few
        self.news: list[Problem] = []  # the first few blobs that a listing showed as new or changed

    def count_page(self, blobs: int, outcome: PageOutcome) -> None:
        """A page of a container with so many *blobs*, and what it came to in the catalog."""
        self.listed += blobs
        self.added += outcome.added
        self.changed += outcome.changed
        self.news += outcome.news[: TROUBLES_KEPT - len(self.news)]

    def count(self, kind: type, results: Sequence[Any]) -> None:
        """Results, all of one *kind*. What is wrong in `FilesSeen` comes once more, as `Checked`."""
        if kind is Downloaded:
            self.downloaded += len(results)
            self.downloaded_bytes += sum(one.bytes_moved for one in results)
        elif kind is Uploaded:
            self.uploaded += len(results)
            self.uploaded_bytes += sum(one.bytes_moved for one in results)
        elif kind is Failed:
            self.failed += len(results)
        elif kind is Gone:
            self.gone += len(results)
        elif kind is Rotten:
            self.rotten += len(results)
        elif kind is FilesSeen:
            self.checked += sum(one.files - len(one.wrong) for one in results)
        elif kind is Checked:
            for one in results:
                self._count_check(one)

    def counts(self) -> Counts:
        """For the meter."""
        return Counts(
            self.listed, self.downloaded, self.bytes_in, self.uploaded, self.bytes_out, self.checked, self.failed
        )

    def _count_check(self, checked: Checked) -> None:
        self.checked += 1
        self.mismatches += bool(checked.nas) + bool(checked.s3)
        if checked.trouble:
            self.failed += 1
            if len(self.troubles) < TROUBLES_KEPT:
                self.troubles.append(checked.trouble)
