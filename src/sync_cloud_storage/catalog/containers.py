"""The table `containers`: passes over the account, and which containers are to be listed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import state, versions
from sync_cloud_storage.catalog.counting import change
from sync_cloud_storage.catalog.state import utc_text
from sync_cloud_storage.model import ContainerStatus, ListBlobs, ListContainers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import ContainerFailed, ContainersPage

# A pass that was killed longer ago begins anew: what was created since, in its first part, must not be missed.
RESUME_WITHIN = timedelta(hours=1)

_PASS, _MARKER, _BEGAN = "containers_pass", "containers_marker", "containers_began_at_utc"
_LIST_AGAIN = "UPDATE containers SET status = 0, error = NULL WHERE name = ?"
_FORGET = "DELETE FROM listings WHERE container = ?"
_UNSEEN = "SELECT name FROM containers WHERE seen_pass IS NOT ? AND status <> 404"


def begin_pass(database: Database, now: datetime) -> ListContainers:
    """Begin to list the account, or go on with a pass that was interrupted a short while ago."""
    marker = state.get(database, _MARKER)
    if marker and utc_text(now - RESUME_WITHIN) <= state.get(database, _BEGAN) <= utc_text(now):
        return ListContainers(marker)
    _start_over(database, utc_text(now))
    return ListContainers()


def settle(database: Database, page: ContainersPage, skip: Callable[[str], str], at: str) -> None:
    """Write a page of the account, and where its listing goes on."""
    if not page.marker:
        _start_over(database, at)
    goes_on = page.marker == state.get(database, _MARKER)
    this_pass = state.get_number(database, _PASS)
    names = [container.name for container in page.containers]
    known = {
        name: (status, skip_reason or "")
        for name, status, skip_reason in database.each(
            "SELECT name, status, skip_reason FROM containers WHERE name BETWEEN ? AND ?",
            (min(names, default=""), max(names, default="")),
        )
    }
    for container in page.containers:
        status, skipped = known.get(container.name, (None, ""))
        reason = skip(container.name)
        if status is None:
            database.run(
                "INSERT INTO containers (name, created_at, skip_reason, last_modified, seen_pass)"
                " VALUES (?, ?, nullif(?, ''), ?, ?) ON CONFLICT DO NOTHING",
                (container.name, at, reason, container.last_modified, this_pass),
            )
            continue
        database.run(
            "UPDATE containers SET last_modified = ?, seen_pass = ?, skip_reason = nullif(?, '') WHERE name = ?",
            (container.last_modified, this_pass, reason, container.name),
        )
        # One that is back, or no longer skipped, is listed: that decides about each of its blobs.
        if status == ContainerStatus.NOT_FOUND or (skipped and not reason):
            _list_again(database, [(container.name,)])
        if reason and not skipped:
            _skip_blobs(database, container.name, reason)
    if not goes_on:
        return  # a page from elsewhere says nothing about what is missing
    state.put(database, _MARKER, page.next_marker)
    if not page.next_marker:
        # Not seen: the service shall say itself that it is gone, by answering 404 to the listing of its blobs.
        _list_again(database, database.rows(_UNSEEN, (this_pass,)))


def settle_failed(database: Database, failed: ContainerFailed, at: str) -> None:
    """Write that a container could not be listed. It stays pending, unless the service says that it does not exist."""
    error = state.sentence(failed.code, failed.sentence)
    database.run(
        "INSERT INTO containers (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (failed.container, at)
    )
    if not failed.not_found:
        database.run("UPDATE containers SET error = ? WHERE name = ?", (error, failed.container))
        return
    database.run("UPDATE containers SET status = 404, error = ? WHERE name = ?", (error, failed.container))
    database.run(_FORGET, (failed.container,))
    error = f"AZ-404-CONTAINER: The container '{failed.container}' was deleted at the source before this was copied."
    rows = database.rows("SELECT id FROM sync WHERE container = ? AND gone_at_utc IS NULL", (failed.container,))
    change(database, versions.LEAVE, (at, at, error), [row_id for (row_id,) in rows])


def pending(database: Database, limit: int, after: str) -> list[ListBlobs]:
    """What is to be listed of the next *limit* containers, by name."""
    return [
        ListBlobs(*row)
        for row in database.rows(
            "SELECT name, coalesce(marker, ''), coalesce(prefix, '') FROM"
            " (SELECT name FROM containers INDEXED BY containers_pending"
            " WHERE status = 0 AND skip_reason IS NULL AND name > ? ORDER BY name LIMIT ?)"
            " LEFT JOIN listings ON container = name ORDER BY name, prefix",
            (after, limit),
        )
    ]


def reset(database: Database, wanted: Callable[[str], bool]) -> int:
    """Set containers back to pending, so that they are listed from the start; how many."""
    names = [(name,) for (name,) in database.rows("SELECT name FROM containers") if wanted(name)]
    return _list_again(database, names)


def has(database: Database, name: str) -> bool:
    """Say whether the account's listing has shown this container."""
    return database.row("SELECT 1 FROM containers WHERE name = ?", (name,)) is not None


def _list_again(database: Database, names: Sequence[tuple[str, ...]]) -> int:
    database.many(_FORGET, names)
    return database.many(_LIST_AGAIN, names)


def _start_over(database: Database, at: str) -> None:
    state.put(database, _PASS, str(state.get_number(database, _PASS) + 1))
    state.put(database, _MARKER, "")
    state.put(database, _BEGAN, at)


def _skip_blobs(database: Database, container: str, reason: str) -> None:
    """A container that a person skips now: what has moved has moved, the rest stays where it is."""
    rows = database.rows(
        "SELECT id FROM sync WHERE container = ? AND skip_reason IS NULL AND azure_status <> 1 AND s3_status <> 1"
        " AND written IS NULL",
        (container,),
    )
    change(database, "UPDATE sync SET skip_reason = ? WHERE id = ?", (reason,), [row_id for (row_id,) in rows])
