"""The bucket as one check gets to see it: listed, or taken from S3's own reports; and what there is to say about it.

All of it is in the catalog's table `objects`, which the check of each row looks into (docs/adr/0017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.feeds import Objects
from sync_cloud_storage.s3.batch import Reports
from sync_cloud_storage.s3.inventory import Inventory, objects_in, open_inventory
from sync_cloud_storage.units import print_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sync_cloud_storage.catalog import Catalog

STRANGERS_SHOWN = 3


class Delivered(NamedTuple):
    """What a person brought along: an inventory in place of a listing, and completion reports with checksums."""

    inventory: Inventory | None = None
    reports: Reports | None = None

    @classmethod
    def opened(cls, inventory: Path | None, reports: Sequence[Path], bucket: str) -> Delivered:
        """Look at the files before anything is begun.

        Raises:
            UsageFault: S3-INVENTORY or S3-REPORT, what is wrong with them.
        """
        return cls(
            open_inventory(inventory, bucket) if inventory is not None else None,
            Reports(reports, bucket) if reports else None,
        )


class Bucket:
    """What is known of the bucket without asking for each object.

    Args:
        catalog: Keeps it.
        delivered: What a person brought along.
        goes_on: Told what is done just now; False when a person wants the run to stop.
    """

    def __init__(self, catalog: Catalog, delivered: Delivered, goes_on: Callable[[str], bool]) -> None:
        self._catalog = catalog
        self._delivered = delivered
        self._goes_on = goes_on
        self._feed: Objects | None = None
        self._is_whole = False
        self._notes: list[str] = []

    def look(self) -> Objects | None:
        """Take the inventory, or give the work of listing the bucket."""
        spans = self._catalog.begin_objects()
        if self._delivered.inventory is not None:
            self._is_whole = self._take(self._delivered.inventory)
        else:
            self._feed = Objects(spans)
        return self._feed

    def hear(self) -> None:
        """After the listing: what reports tell about the objects that it shows."""
        if self._feed is not None:
            self._is_whole = self._feed.is_whole
            if not self._is_whole and self._goes_on(""):
                self._notes.append("The bucket could not be listed to its end; objects were asked for one by one.")
        if self._delivered.reports is not None:
            self._hear(self._delivered.reports)
        inventory = self._delivered.inventory
        if inventory is None:
            self._prove("", "a listing")
        elif inventory.made_at_utc:  # else nobody knows whether an object was uploaded since
            self._prove(inventory.made_at_utc, "an inventory")

    def _prove(self, shown_utc: str, what: str) -> None:
        after = self._catalog.prove_by_etag(0, shown_utc, what)
        while after and self._goes_on(""):
            after = self._catalog.prove_by_etag(after, shown_utc, what)

    def strangers(self) -> int | None:
        """How many objects no blob accounts for; None where not all of the bucket was seen."""
        if not self._is_whole:
            return None
        count, names = self._catalog.strangers(STRANGERS_SHOWN)
        if count:
            are = "is" if count == 1 else "are"
            more = ", ..." if count > len(names) else ""
            objects = print_count(count, "object")
            self._notes.append(f"{objects} of the bucket {are} no blob's: {', '.join(names)}{more}")
        return count

    def notes(self) -> tuple[str, ...]:
        """Sentences for people, in the order in which it came to that."""
        return tuple(self._notes)

    def _take(self, inventory: Inventory) -> bool:
        """Write what an inventory shows; whether it was read to its end."""
        of = f"the inventory of {inventory.made_at_utc}" if inventory.made_at_utc else "the inventory"
        count = 0
        for objects in objects_in(inventory):
            self._catalog.add_objects(objects)
            count += len(objects)
            if not self._goes_on(f"Reading {of}: {count:,} objects."):
                return False
        shown = print_count(self._catalog.objects_seen(), "object")
        self._notes.append(f"The bucket was not listed: {of} shows {shown}.")
        return True

    def _hear(self, reports: Reports) -> None:
        heard = told = 0
        for lines in reports.told():
            told += self._catalog.tell_objects(lines)
            heard += len(lines)
            if not self._goes_on(f"Reading reports: {heard:,} checksums."):
                return
        over = [f"{print_count(count, 'line')} {why}" for why, count in reports.passed_over.items()]
        over += [f"{print_count(heard - told, 'line')} about objects that are not listed so"] if told < heard else []
        over += [f"'{file}', which cannot be read" for file in reports.missing]
        besides = f"; not counted: {', '.join(over)}" if over else ""
        self._notes.append(f"Reports of S3 told the checksums of {print_count(told, 'object')}{besides}.")
