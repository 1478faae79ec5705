"""The verb *list*: the account's containers and a container's blobs, page by page, each blob with its place.

And, for a check, the objects of the bucket.

A container of many pages may be split: its names are surveyed level by level (a listing with the delimiter `/`), and
the parts, each the names with one prefix, are listed side by side (docs/adr/0010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.errors import BlobFault
from sync_cloud_storage.model import BlobsPage, ContainerFailed, ContainersPage, Failed, Gone, Leg, ObjectsPage, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sync_cloud_storage.azure import Azure
    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.model import Blob, ListBlobs, ListContainers, ListObjects, Look, Place, Result
    from sync_cloud_storage.names import Placement
    from sync_cloud_storage.s3 import S3

PAGES_AHEAD = 4  # pages of one container read before the catalog has them: bounds what a fast listing may pile up
OBJECT_PAGES_AHEAD = 16  # likewise of the bucket, whose pages are five times smaller
PARTS_WANTED = 16  # a level deeper is looked at until there are so many
PARTS_MOST = 64  # each part costs a request, however few blobs it has
LEVELS_MOST = 8  # requests for a survey

_NO_CONTAINER = "AZ-404-CONTAINER"


def list_containers(task: ListContainers, azure: Azure) -> Story[ContainersPage]:
    """One page of the account."""
    containers, next_marker = yield from azure.containers(task.marker)
    _check_moves(task.marker, next_marker, "The account's listing")
    return ContainersPage(task.marker, next_marker, containers)


def list_blobs(task: ListBlobs, azure: Azure, placement: Placement, give: Callable[[Result], None]) -> Story[Result]:
    """Up to PAGES_AHEAD pages of one container: all but the last through *give*, the last as the value.

    A page whose `next_marker` is not "" says where to go on, and so do the `parts` of one that splits the container.
    """
    container, prefix, marker = task.container, task.prefix, task.marker
    pages_left, may_split = PAGES_AHEAD, task.may_split
    try:
        while True:
            blobs, next_marker = yield from azure.blobs(container, marker, prefix)
            _check_moves(marker, next_marker, f"The listing of container '{container}'")
            if may_split and next_marker:
                above, parts = yield from _survey(azure, container)
                if parts:
                    return BlobsPage.of(container, marker, "", _placed(placement, container, above), parts=parts)
            may_split = False
            page = BlobsPage.of(container, marker, next_marker, _placed(placement, container, blobs), prefix=prefix)
            pages_left -= 1
            if not (next_marker and pages_left):
                return page
            give(page)
            marker = next_marker
    except BlobFault as fault:
        return ContainerFailed(task.container, fault.code, str(fault), not_found=fault.code == _NO_CONTAINER)


def list_objects(task: ListObjects, s3: S3, give: Callable[[Result], None]) -> Story[ObjectsPage]:
    """Up to OBJECT_PAGES_AHEAD pages of the bucket: all but the last through *give*, the last as the value.

    Where the bucket cannot be listed, or no further, that is said: then each object is asked for by its key.
    """
    after = task.after
    for pages_left in reversed(range(OBJECT_PAGES_AHEAD)):
        try:
            objects, has_more = yield from s3.objects(after)
        except BlobFault:
            break
        if objects and objects[-1][0] <= after:  # an endpoint that always begins at the start
            break
        within = [one for one in objects if not task.upto or one[0] <= task.upto]
        if not has_more or len(within) < len(objects) or not objects:
            return ObjectsPage.of(within)
        after = objects[-1][0]
        if not pages_left:
            return ObjectsPage.of(within, task._replace(after=after))
        give(ObjectsPage.of(within))
    return ObjectsPage.of([], gave_up=True)


def look(task: Look, azure: Azure, now: Callable[[], str]) -> Story[Seen | Gone | Failed]:
    """What one blob is now: a listing no longer holds it, or it changed while it was read."""
    try:
        blob = yield from azure.look(task.container, task.blob)
    except BlobFault as fault:
        return Failed(task.id, Leg.AZURE, task.etag, fault.code, str(fault))
    return Seen(task.id, blob) if blob is not None else Gone(task.id, now(), task.etag)


def _placed(placement: Placement, container: str, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, Place | None]]:
    for blob, place in zip(blobs, placement.places(container, blobs), strict=True):
        if place and place.error and not blob.name.isprintable():  # half of a character cannot be stored either
            yield blob._replace(name=blob.name.encode("utf-8", "backslashreplace").decode()), place
        else:
            yield blob, place


def _survey(azure: Azure, container: str) -> Story[tuple[list[Blob], tuple[str, ...]]]:
    """The parts of a container, and the blobs that lie below none of them; no parts where there is nothing to split by.

    Each level that is opened is seen as a whole, in one page, so that at that moment there was no other name.
    """
    above: list[Blob] = []
    prefixes = [""]
    closed: list[str] = []
    for _ in range(LEVELS_MOST):
        if not prefixes or len(prefixes) + len(closed) >= PARTS_WANTED:
            break
        prefix = prefixes.pop(0)
        try:
            (blobs, below), next_marker = yield from azure.level(container, prefix)
        except BlobFault:
            below, next_marker = None, ""
        if below is None or next_marker or not all(map(_can_be_asked_for, below)):
            closed.append(prefix)
        else:
            above += blobs
            prefixes += below
    parts = _gathered([*closed, *prefixes])
    return [blob for blob in above if not blob.name.startswith(parts)], parts


def _gathered(prefixes: Sequence[str]) -> tuple[str, ...]:
    """Shorter prefixes for all of these, so that there are PARTS_MOST at most; none if that leaves fewer than two."""
    parts = {*prefixes}
    for length in range(max(map(len, prefixes), default=0), 0, -1):
        if len(parts) <= PARTS_MOST:
            break
        parts = {prefix[:length] for prefix in prefixes}
    return tuple(sorted(parts)) if 1 < len(parts) <= PARTS_MOST else ()


def _can_be_asked_for(prefix: str) -> bool:
    return prefix.isprintable()


def _check_moves(marker: str, next_marker: str, what: str) -> None:
    if next_marker and next_marker == marker:
        text = f"{what} gave the same page marker twice, so it would never end."
        raise BlobFault("AZ-LIST-LOOP", text, "Run again; if it stays so, ask Azure support.")
