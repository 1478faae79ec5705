"""A page of a container's listing becomes rows. The heart of the catalog, and its hottest path.

A page that goes on where the last one ended also says what is *not* there: it covers all names after the greatest one
that the listing has shown so far, up to its own greatest one, or to the end on the last page. Rows in this span
that the page does not hold are suspects, until a later page holds them: services do not all sort as we do. (Here names
are compared by code points, which is also the order of UTF-8 in SQLite; Azure has an emoji before U+FF5E, and accounts
with folders sort by folder.) At the end of the listing the source is asked about those that are left, before anything
is written about them.

A large container is listed in parts, each by a listing of the names with one prefix (docs/adr/0010). The page that
splits it covers all names but those of the parts; a page of a part covers names of that part only; and the container
has been listed when no listing of it is open.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.catalog import versions
from sync_cloud_storage.catalog.counting import counted
from sync_cloud_storage.catalog.housing import house
from sync_cloud_storage.catalog.places import displace
from sync_cloud_storage.model import Blob, ContainerStatus, Look, PageOutcome, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import BlobsPage, Listed

    Span = tuple[str, str | None]  # names from the first on, up to but without the second; None: to the end

# All that can make a row of a page worth a look, in the order of the names; see `_is_as_known`.
_AS_KNOWN = """
SELECT blob, etag, coalesce(tier, ''), coalesce(skip_reason, ''), gone_at_utc IS NULL AND refused IS NULL FROM sync
WHERE container = ? AND blob >= ?
"""

NEWS_MOST = 20  # what a report shows
SUSPECTS_AT_ONCE = 100_000  # a container that was emptied may have millions; `pending_looks` has them all

_ROW = "SELECT blob, id, etag, tier, skip_reason, gone_at_utc, refused FROM sync WHERE container = ? AND "
_FROM, _BETWEEN, _NAMED = f"{_ROW}blob >= ?", f"{_ROW}blob >= ? AND blob < ?", f"{_ROW}blob = ?"


def settle(database: Database, page: BlobsPage, at: str, *, is_live: bool) -> PageOutcome:
    """Write a page: new rows, changed ones, what is missing, and where the listing goes on."""
    given = {row[0]: row for row in page.listed()}  # the same name twice counts once
    listing = _Listing.of(database, page, given)
    if listing is None:
        return PageOutcome(0, 0, 0, ())
    database.run("INSERT INTO containers (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (page.container, at))
    settled = _Page(database, page.container, given, at)
    added, added_bytes = settled.settle(listing.spans)
    database.run(
        "UPDATE containers SET blobs = blobs + ?, bytes = bytes + ? WHERE name = ?",
        (added, added_bytes, page.container),
    )
    suspects: list[Look] = []
    if listing.goes_on:
        _advance(database, page, listing)
        if not (page.next_marker or page.parts or _is_open(database, page.container)):
            _end(database, page, listing, at, is_live=is_live)
            suspects = _suspects(database, page.container)
    return PageOutcome(added, settled.changed, settled.unchanged, tuple(suspects), settled.news())


class _Listing(NamedTuple):
    """A listing at one of its pages, and the names that the page covers."""

    goes_on: bool  # False: a page from elsewhere; its rows count, but it says nothing about what is missing
    shown: str  # greatest name so far
    spans: Sequence[Span]

    @classmethod
    def of(cls, database: Database, page: BlobsPage, given: Iterable[str]) -> _Listing | None:
        """None for a part that is not to be listed: its container was split in another way since, or is gone."""
        found = database.row(
            "SELECT marker, upto FROM listings WHERE container = ? AND prefix = ?", (page.container, page.prefix)
        )
        if found is None and page.prefix:
            return None
        marker, shown = found or ("", "")
        if not page.marker:
            marker = shown = ""
        if page.marker != marker or (found is None and _is_open(database, page.container)):
            return cls(goes_on=False, shown="", spans=())
        if page.parts:
            return cls(goes_on=True, shown="", spans=_gaps(page.prefix, page.parts))
        begin, end = _just_after(shown) if shown else page.prefix, after_all(page.prefix)
        if page.next_marker:
            greatest = max(given, default=shown)
            if not greatest.startswith(page.prefix):  # it shows names that were not asked for
                greatest = max((name for name in given if name.startswith(page.prefix)), default=shown)
            shown = max(shown, greatest)
            end = _just_after(shown) if shown else begin
        return cls(goes_on=True, shown=shown, spans=((begin, end),))


def after_all(prefix: str) -> str | None:
    """The least text that is greater than all that begin with *prefix*; None when there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < chr(sys.maxunicode):
            following = ord(prefix[at]) + 1
            return prefix[:at] + chr(0xE000 if following == 0xD800 else following)  # no text holds half a character
    return None


def _just_after(name: str) -> str:
    """The least text that is greater than *name*."""
    return f"{name}\0"


def _gaps(prefix: str, parts: Iterable[str]) -> list[Span]:
    """All names with *prefix* but those below *parts*."""
    spans: list[Span] = []
    begin: str | None = prefix
    for part in sorted(parts):
        if begin is not None and begin < part:
            spans.append((begin, part))
        begin = after_all(part)
    if begin is not None and begin != (end := after_all(prefix)):
        spans.append((begin, end))
    return spans


class _Page:
    """One page, once."""

    def __init__(self, database: Database, container: str, given: dict[str, Listed], at: str) -> None:
        self.changed = 0
        self.unchanged = 0
        self._renewed: list[str] = []
        self._database = database
        self._container = container
        self._at = at
        self._given = given
        self._retiered: list[tuple[str | None, int]] = []
        self._homeless: list[tuple[int, Listed]] = []  # known rows whose place is to be decided (again)

    def settle(self, spans: Sequence[Span]) -> tuple[int, int]:
        """Write it; how many rows were added, and their bytes."""
        if self._is_as_known(spans):
            self.unchanged = len(self._given)
            return 0, 0
        listed: list[int] = []
        missing: list[int] = []
        self._compare(self._known(spans), listed, missing)
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

    def _is_as_known(self, spans: Sequence[Span]) -> bool:
        """Whether the page shows just the rows that the catalog has, as it has them: nearly all pages do.

        One comparison of two lists then, a quarter of what it takes to look at each row.
        """
        if len(spans) != 1 or self._database.row("SELECT 1 FROM suspects LIMIT 1"):
            return False
        begin, end = spans[0]
        shown = [(name, row[2], row[8], row[9][3] if row[9] else "", 1) for name, row in self._given.items()]
        upto = ("AND blob < ?", (end,)) if end is not None else ("", ())
        sql = f"{_AS_KNOWN} {upto[0]} ORDER BY blob LIMIT ?"
        return self._database.rows(sql, (self._container, begin, *upto[1], len(shown) + 1)) == sorted(shown)

    def _known(self, spans: Sequence[Span]) -> Iterator[tuple[Any, ...]]:
        """Rows of the spans, by one scan each; then those that the page names although they lie outside of them."""
        outside = _outside(self._given, spans)
        for begin, end in spans:
            if end is None:
                yield from self._database.each(_FROM, (self._container, begin))
            elif begin < end:
                yield from self._database.each(_BETWEEN, (self._container, begin, end))
        for name in outside:
            yield from self._database.each(_NAMED, (self._container, name))

    def _compare(self, known: Iterable[tuple[Any, ...]], listed: list[int], missing: list[int]) -> None:
        take = self._given.pop
        later = []
        for name, row_id, etag, tier, skip_reason, gone_at, refused in known:
            row = take(name, None)
            if row is None:
                if gone_at is None:
                    missing.append(row_id)
                continue
            listed.append(row_id)
            _, _, etag_now, _, _, _, _, _, tier_now, place = row
            reason = place[3] if place else ""
            if etag != etag_now or (skip_reason or "") != reason or gone_at is not None or refused is not None:
                later.append((row_id, row))
            else:
                self.unchanged += 1
                if (tier or "") != tier_now:
                    self._retiered.append((tier_now or None, row_id))
        if later:  # not while the scan goes on: it would meet what is written
            with counted(self._database, [row_id for row_id, _ in later]):
                for row_id, row in later:
                    self._revisit(row_id, row)

    def _suspect(self, listed: list[int], missing: list[int]) -> None:
        if self._database.row("SELECT 1 FROM suspects LIMIT 1"):
            self._database.many("DELETE FROM suspects WHERE sync_id = ?", ((row_id,) for row_id in listed))
        self._database.many(
            "INSERT OR IGNORE INTO suspects VALUES (?, ?)", ((row_id, self._container) for row_id in missing)
        )

    def _revisit(self, row_id: int, row: Listed) -> None:
        """A row that the listing shows in another way than we know it."""
        blob, skips = Blob(*row[:9]), row[9][3] if row[9] else ""
        default = f"{self._container}/{blob.name}"
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
        elif skips:
            self._database.run(
                "UPDATE sync SET skip_reason = ?, refused = NULL, azure_status = 0, azure_error = NULL WHERE id = ?",
                (skips, row_id),
            )
        elif skip_reason is not None or refused is not None or etag is None:
            if (s3_key or default) != (row[9][0] if row[9] else default):
                displace(self._database, row_id, nas_path or s3_key or default)
            # Out of its own way, and out of that of the others that are decided about here.
            self._database.run("UPDATE sync SET refused = NULL WHERE id = ?", (row_id,))
            self._homeless.append((row_id, row))

    def _house(self) -> tuple[int, int]:
        """Give each new row, and each one that needs another place, the one that it gets."""
        found = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'sync'")
        first_id = (found[0] if found else 0) + 1
        new = list(enumerate(self._given.values(), first_id))
        return house(self._database, self._container, new, self._homeless, self._at)


def _outside(names: dict[str, Any], spans: Sequence[Span]) -> list[str]:
    """Those *names* that lie in none of the *spans*."""
    if not names:
        return []
    if len(spans) == 1 and min(names) >= spans[0][0] and (spans[0][1] is None or max(names) < spans[0][1]):
        return []
    return [name for name in names if not any(begin <= name and (end is None or name < end) for begin, end in spans)]


def _advance(database: Database, page: BlobsPage, listing: _Listing) -> None:
    """Write where the listing goes on: after this page, or in parts, or nowhere."""
    if page.next_marker:
        database.run(
            "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?)",
            (page.container, page.prefix, page.next_marker, listing.shown),
        )
        return
    database.run("DELETE FROM listings WHERE container = ? AND prefix = ?", (page.container, page.prefix))
    database.many("INSERT INTO listings VALUES (?, ?, '', '')", [(page.container, part) for part in page.parts])


def _is_open(database: Database, container: str) -> bool:
    return database.row("SELECT 1 FROM listings WHERE container = ? LIMIT 1", (container,)) is not None


def _end(database: Database, page: BlobsPage, listing: _Listing, at: str, *, is_live: bool) -> None:
    if is_live:
        status = ContainerStatus.LIVE
    else:
        # Of the parts, at least one had a blob when the container was split.
        status = ContainerStatus.LISTED if page.blob_count or listing.shown or page.prefix else ContainerStatus.EMPTY
    database.run(
        "UPDATE containers SET status = ?, listed_at_utc = ?, error = NULL WHERE name = ?", (status, at, page.container)
    )


def _suspects(database: Database, container: str) -> list[Look]:
    found = database.rows(
        "SELECT id, sync.container, blob, coalesce(etag, '') FROM suspects INDEXED BY suspects_of"
        " JOIN sync ON id = sync_id WHERE suspects.container = ? LIMIT ?",
        (container, SUSPECTS_AT_ONCE),
    )
    return [Look(*row) for row in found]
