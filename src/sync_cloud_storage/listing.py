"""The verb *list*: the account's containers and a container's blobs, page by page, each blob with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.errors import BlobFault
from sync_cloud_storage.model import BlobsPage, ContainerFailed, ContainersPage, Failed, Gone, Leg, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.azure import Azure
    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.model import Blob, ListBlobs, ListContainers, Look, Place, Result
    from sync_cloud_storage.names import Placement

PAGES_AHEAD = 4  # pages of one container read before the catalog has them: bounds what a fast listing may pile up

_NO_CONTAINER = "AZ-404-CONTAINER"


def list_containers(task: ListContainers, azure: Azure) -> Story[ContainersPage]:
    """One page of the account."""
    containers, next_marker = yield from azure.containers(task.marker)
    _check_moves(task.marker, next_marker, "The account's listing")
    return ContainersPage(task.marker, next_marker, containers)


def list_blobs(task: ListBlobs, azure: Azure, placement: Placement, give: Callable[[Result], None]) -> Story[Result]:
    """Up to PAGES_AHEAD pages of one container: all but the last through *give*, the last as the value.

    A page whose `next_marker` is not "" says where to go on.
    """
    marker, pages_left = task.marker, PAGES_AHEAD
    try:
        while True:
            blobs, next_marker = yield from azure.blobs(task.container, marker)
            _check_moves(marker, next_marker, f"The listing of container '{task.container}'")
            page = BlobsPage(
                task.container,
                marker,
                next_marker,
                tuple(_placed(placement, task.container, blob) for blob in blobs),
            )
            pages_left -= 1
            if not (next_marker and pages_left):
                return page
            give(page)
            marker = next_marker
    except BlobFault as fault:
        return ContainerFailed(task.container, fault.code, str(fault), not_found=fault.code == _NO_CONTAINER)


def look(task: Look, azure: Azure, now: Callable[[], str]) -> Story[Seen | Gone | Failed]:
    """What one blob is now: a listing no longer holds it, or it changed while it was read."""
    try:
        blob = yield from azure.look(task.container, task.blob)
    except BlobFault as fault:
        return Failed(task.id, Leg.AZURE, task.etag, fault.code, str(fault))
    return Seen(task.id, blob) if blob is not None else Gone(task.id, now(), task.etag)


def _placed(placement: Placement, container: str, blob: Blob) -> tuple[Blob, Place]:
    place = placement.place(container, blob)
    if place.error and not blob.name.isprintable():  # half of a character cannot be stored either
        blob = blob._replace(name=blob.name.encode("utf-8", "backslashreplace").decode())
    return blob, place


def _check_moves(marker: str, next_marker: str, what: str) -> None:
    if next_marker and next_marker == marker:
        text = f"{what} gave the same page marker twice, so it would never end."
        raise BlobFault("AZ-LIST-LOOP", text, "Run again; if it stays so, ask Azure support.")
