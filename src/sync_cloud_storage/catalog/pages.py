"""A page of a container's listing becomes rows. The heart of the catalog, and its hottest path.

A page that goes on where the last one ended also says what is *not* there: it covers all names after the greatest one
that the listing has shown so far, up to its own greatest one, or to the end on the last page. Rows in this interval
that the page does not hold are suspects, until a later page holds them: services do not all sort as we do. (Here names
are compared by code points, which is also the order of UTF-8 in SQLite; Azure has an emoji before U+FF5E, and accounts
with folders sort by folder.) At the end of the listing the source is asked about those that are left, before anything
is written about them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.catalog import versions
from sync_cloud_storage.catalog.counting import counted
from sync_cloud_storage.catalog.housing import house
from sync_cloud_storage.catalog.places import displace
from sync_cloud_storage.model import ContainerStatus, Look, PageOutcome, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import Blob, BlobsPage, Place

NEWS_MOST = 20  # what a report shows
SUSPECTS_AT_ONCE = 100_000  # a container that was emptied may have millions; `pending_looks` has them all

_ROW = (
    "SELECT blob, id, etag, coalesce(tier, ''), coalesce(skip_reason, ''), gone_at_utc IS NOT NULL,"
    " refused IS NOT NULL FROM sync WHERE container = ? AND "
)
_AFTER, _BETWEEN, _NAMED = f"{_ROW}blob > ?", f"{_ROW}blob > ? AND blob <= ?", f"{_ROW}blob = ?"


def settle(database: Database, page: BlobsPage, at: str, *, is_live: bool) -> PageOutcome:
    """Write a page: new rows, changed ones, what is missing, and where the listing goes on."""
    database.run("INSERT INTO containers (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (page.container, at))
    listing = _Listing.of(database, page)
    settled = _Page(database, page, listing, at)
    added, added_bytes = settled.settle()
    database.run(
        "UPDATE containers SET blobs = blobs + ?, bytes = bytes + ?, error = NULL WHERE name = ?",
        (added, added_bytes, page.container),
    )
    suspects: list[Look] = []
    if listing.goes_on and page.next_marker:
        _advance(database, page, listing)
    elif listing.goes_on:
        _end(database, page, listing, at, is_live=is_live)
        suspects = _suspects(database, page.container)
    return PageOutcome(added, settled.changed, settled.unchanged, tuple(suspects), settled.news())


class _Listing(NamedTuple):
    """Where the listing of a container stands, and the interval of names that this page covers."""

    goes_on: bool  # False: a page from elsewhere; its rows count, but it says nothing about what is missing
    after: str
    upto: str | None  # None: to the end

    @classmethod
    def of(cls, database: Database, page: BlobsPage) -> _Listing:
        found = database.row(
            "SELECT coalesce(marker, ''), coalesce(listed_upto, '') FROM containers WHERE name = ?", (page.container,)
        )
        marker, shown = found or ("", "")
        if not page.marker:
            marker = shown = ""
        greatest = max((blob.name for blob, _ in page.blobs), default="")
        if page.marker != marker:
            return cls(goes_on=False, after="", upto="")
        return cls(goes_on=True, after=shown, upto=max(shown, greatest) if page.next_marker else None)


class _Page:
    """One page, once."""

    def __init__(self, database: Database, page: BlobsPage, listing: _Listing, at: str) -> None:
        self.changed = 0
        self.unchanged = 0
        self._renewed: list[str] = []
        self._database = database
        self._container = page.container
        self._listing = listing
        self._at = at
        self._given = {pair[0].name: pair for pair in page.blobs}  # the same name twice counts once
        self._retiered: list[tuple[str | None, int]] = []
        self._homeless: list[tuple[int, Blob, Place]] = []  # known rows whose place is to be decided (again)

    def settle(self) -> tuple[int, int]:
        """Write it; how many rows were added, and their bytes."""
        if self._given or self._listing.upto is None:
            listed: list[int] = []
            missing: list[int] = []
            self._compare(self._known(), listed, missing)
            self._suspect(listed, missing)
        self._database.many("UPDATE sync SET tier = ? WHERE id = ?", self._retiered)
        return self._house()

    def news(self) -> tuple[Problem, ...]:
        """The first few blobs that were not known, or not so."""
        new = [
            ("AZ-NEW", name, "It is new at the source since the last listing.")
            for name in islice(self._given, NEWS_MOST)
        ]
        changed = [
            ("AZ-CHANGED", name, "It changed at the source since the last listing.")
            for name in self._renewed[:NEWS_MOST]
        ]
        return tuple(
            Problem(self._container, name, "azure", code, text) for code, name, text in (changed + new)[:NEWS_MOST]
        )

    # ------------------------------------------------------------------------------------------- what is known

    def _known(self) -> Iterator[tuple[Any, ...]]:
        """Rows of the interval, by one scan; then those that the page names although they lie outside of it."""
        after, upto = self._listing.after, self._listing.upto
        if upto is None:
            yield from self._database.each(_AFTER, (self._container, after))
        elif upto > after:
            yield from self._database.each(_BETWEEN, (self._container, after, upto))
        if after or upto == after:
            for name in [name for name in self._given if name <= after or upto == after]:
                yield from self._database.each(_NAMED, (self._container, name))

    def _compare(self, known: Iterable[tuple[Any, ...]], listed: list[int], missing: list[int]) -> None:
        given = self._given
        later = []
        for name, row_id, etag, tier, skip_reason, is_gone, is_refused in known:
            pair = given.pop(name, None)
            if pair is None:
                if not is_gone:
                    missing.append(row_id)
                continue
            listed.append(row_id)
            blob, place = pair
            if etag != blob.etag or skip_reason != place.skip_reason or is_gone or is_refused:
                later.append((row_id, blob, place))
            else:
                self.unchanged += 1
                if tier != blob.tier:
                    self._retiered.append((blob.tier or None, row_id))
        if later:  # not while the scan goes on: it would meet what is written
            with counted(self._database, [row_id for row_id, _, _ in later]):
                for row_id, blob, place in later:
                    self._revisit(row_id, blob, place)

    def _suspect(self, listed: list[int], missing: list[int]) -> None:
        if self._database.row("SELECT 1 FROM suspects LIMIT 1"):
            self._database.many("DELETE FROM suspects WHERE sync_id = ?", ((row_id,) for row_id in listed))
        self._database.many(
            "INSERT OR IGNORE INTO suspects VALUES (?, ?)", ((row_id, self._container) for row_id in missing)
        )

    def _revisit(self, row_id: int, blob: Blob, place: Place) -> None:
        """A row that the listing shows in another way than we know it."""
        found = self._database.row(
            "SELECT etag, skip_reason, refused, s3_key, nas_path,"
            " azure_status = 1 OR s3_status = 1 OR written IS NOT NULL FROM sync WHERE id = ?",
            (row_id,),
        )
        if found is None:
            return
        etag, skip_reason, refused, s3_key, nas_path, has_moved = found
        if etag != blob.etag:
            self.changed += 1
            self._renewed.append(blob.name)
            versions.renew(self._database, row_id, blob, self._at)
        else:
            self.unchanged += 1
            versions.come_back(self._database, row_id, self._at)
        if has_moved:  # its place is decided; and a clash that was found while it moved is the other one's
            self._database.run("UPDATE sync SET refused = NULL WHERE id = ? AND refused IS NOT NULL", (row_id,))
        elif place.skip_reason:
            self._database.run(
                "UPDATE sync SET skip_reason = ?, refused = NULL, azure_status = 0, azure_error = NULL WHERE id = ?",
                (place.skip_reason, row_id),
            )
        elif skip_reason is not None or refused is not None or etag is None:
            default = f"{self._container}/{blob.name}"
            if (s3_key or default) != place.s3_key:
                displace(self._database, row_id, nas_path or s3_key or default)
            # Out of its own way, and out of that of the others that are decided about here.
            self._database.run("UPDATE sync SET refused = NULL WHERE id = ?", (row_id,))
            self._homeless.append((row_id, blob, place))

    def _house(self) -> tuple[int, int]:
        """Give each new row, and each one that needs another place, the one that it gets."""
        found = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'sync'")
        first_id = (found[0] if found else 0) + 1
        new = [(row_id, *pair) for row_id, pair in enumerate(self._given.values(), first_id)]
        return house(self._database, self._container, new, self._homeless, self._at)


def _advance(database: Database, page: BlobsPage, listing: _Listing) -> None:
    database.run(
        "UPDATE containers SET marker = ?, listed_upto = ? WHERE name = ?",
        (page.next_marker, listing.upto, page.container),
    )


def _end(database: Database, page: BlobsPage, listing: _Listing, at: str, *, is_live: bool) -> None:
    if is_live:
        status = ContainerStatus.LIVE
    else:
        status = ContainerStatus.LISTED if page.blobs or listing.after else ContainerStatus.EMPTY
    database.run(
        "UPDATE containers SET status = ?, marker = NULL, listed_upto = NULL, listed_at_utc = ? WHERE name = ?",
        (status, at, page.container),
    )


def _suspects(database: Database, container: str) -> list[Look]:
    found = database.rows(
        "SELECT id, sync.container, blob, coalesce(etag, '') FROM suspects INDEXED BY suspects_of"
        " JOIN sync ON id = sync_id WHERE suspects.container = ? LIMIT ?",
        (container, SUSPECTS_AT_ONCE),
    )
    return [Look(*row) for row in found]
