"""What listing promises: every blob gets its place, a page at a time, and no listing goes round in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.errors import BlobFault, EnvironmentFault
from sync_cloud_storage.listing import PAGES_AHEAD, list_blobs, list_containers, look
from sync_cloud_storage.model import BlobsPage, ContainerFailed, Gone, ListBlobs, ListContainers, Look, Seen
from sync_cloud_storage.names import Placement
from tests.servers.strict import Answer, Edit, Fault
from tests.unit.doors import NOW, azure_door, now
from tests.unit.telling import new_pump, pumped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.http.pump import Pump
    from sync_cloud_storage.model import Result
    from tests.servers.strict import StrictCloud

AZURES = {"x-ms-request-id": "r-1"}  # only the service itself has one


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


def listed(
    strict: StrictCloud, pump: Pump, marker: str = "", container: str = "c", **more: Any
) -> tuple[list[BlobsPage], Result]:
    """Tell one task; the pages that were given on the way, and the value."""
    given: list[Any] = []
    task = ListBlobs(container, marker)
    (value,) = pumped(pump, list_blobs(task, azure_door(strict), Placement(**more), given.append))
    return given, value


def names(pages: list[Any]) -> list[str]:
    """All blobs of these pages."""
    return [row[0] for page in pages for row in page.listed()]


def test_container_in_one_page(strict: StrictCloud, pump: Pump) -> None:
    """A small container is one page, with each blob's place."""
    strict.azure.put("c", "a/b", b"x")
    strict.azure.put("c", "a//c", b"x")
    given, page = listed(strict, pump)
    assert isinstance(page, BlobsPage)
    assert (given, page.container, page.marker, page.next_marker) == ([], "c", "", "")
    assert {row[0]: row[9] and row[9][:2] for row in page.listed()} == {"a/b": None, "a//c": ("c/a//c", "c/a/%_/c")}


def test_empty_container(strict: StrictCloud, pump: Pump) -> None:
    """A container without blobs is one page without blobs."""
    strict.azure.make_container("c")
    assert listed(strict, pump) == ([], BlobsPage.of("c", "", "", ()))


def test_few_pages_at_a_time(strict: StrictCloud, pump: Pump) -> None:
    """A long listing stops after PAGES_AHEAD pages; from its last marker it goes on without loss or repetition."""
    strict.azure.page = 2
    wanted = [f"{number:02}" for number in range(2 * PAGES_AHEAD + 3)]
    for name in wanted:
        strict.azure.put("c", name, b"x")
    given, last = listed(strict, pump)
    assert isinstance(last, BlobsPage)
    assert (len(given), bool(last.next_marker)) == (PAGES_AHEAD - 1, True)
    pages = [*given, last]
    assert [page.marker for page in pages[1:]] == [page.next_marker for page in pages[:-1]]
    further, end = listed(strict, pump, last.next_marker)
    assert isinstance(end, BlobsPage)
    assert end.next_marker == ""
    assert names([*pages, *further, end]) == wanted


def test_marker_that_stands_still(strict: StrictCloud, pump: Pump) -> None:
    """A service that gives the same marker for ever fails the container (A11); the account stops with a fault."""
    strict.azure.page = 1
    for number in range(3):
        strict.azure.put(f"c{number}", "a", b"x")
        strict.azure.put("c", f"{number}", b"x")
    strict.faults.append(Fault(Edit("<NextMarker>[^<]*", "<NextMarker>MA=="), times=0))
    given, failed = listed(strict, pump, "")
    assert isinstance(failed, ContainerFailed)
    assert (len(given), failed.container, failed.code, failed.not_found) == (1, "c", "AZ-LIST-LOOP", False)
    with pytest.raises(BlobFault) as raised:
        pumped(pump, list_containers(ListContainers("MA=="), azure_door(strict)))
    assert raised.value.code == "AZ-LIST-LOOP"


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [(403, "AuthorizationPermissionMismatch", "AZ-403"), (409, "ContainerBeingDeleted", "AZ-404-CONTAINER")],
)
def test_container_that_cannot_be_listed(strict: StrictCloud, pump: Pump, status: int, said: str, code: str) -> None:
    """A container of its own trouble fails alone; what was listed before stays given (A04, A09)."""
    strict.azure.page = 1
    for number in range(3):
        strict.azure.put("c", f"{number}", b"x")
    strict.faults.append(Fault(Answer(status, said, AZURES), operation="ListBlobs", nth=2, times=0))
    given, failed = listed(strict, pump)
    assert names(given) == ["0"]
    assert isinstance(failed, ContainerFailed)
    assert failed.code == code


def test_container_that_is_gone(strict: StrictCloud, pump: Pump) -> None:
    """A container that was deleted since it was listed is not found (A08)."""
    _, failed = listed(strict, pump, container="never-was")
    assert isinstance(failed, ContainerFailed)
    assert (failed.code, failed.not_found) == ("AZ-404-CONTAINER", True)


def test_refused_access_stops_the_run(strict: StrictCloud, pump: Pump) -> None:
    """Access that is refused as such is no container's trouble (A02)."""
    strict.azure.put("c", "b", b"x")
    strict.faults.append(Fault(Answer(403, "AuthenticationFailed", AZURES), operation="ListBlobs"))
    with pytest.raises(EnvironmentFault):
        listed(strict, pump)


def test_name_with_half_of_a_character(strict: StrictCloud, pump: Pump) -> None:
    """A name that is no text is listed, printable and with the reason why it cannot move; the others move (AZ-NAME)."""
    strict.azure.put("c", "good", b"x")
    strict.azure.put("c", "bad", b"x")
    strict.faults.append(Fault(Edit("<Name>bad", '<Name Encoded="true">b%FFd'), operation="ListBlobs"))
    _, page = listed(strict, pump)
    assert isinstance(page, BlobsPage)
    bad, good = page.listed()
    assert (good[0], good[9]) == ("good", None)
    assert bad[9]
    assert bad[9][4].startswith("AZ-NAME")
    assert bad[0].isprintable()
    assert bad[0].encode()  # so that the catalog can keep it


def test_archived_blob_is_listed_with_its_reason(strict: StrictCloud, pump: Pump) -> None:
    """What cannot be moved is in the listing, with the reason: nothing is silently absent (I4, B24)."""
    strict.azure.put("c", "b", b"x", tier="Archive")
    _, page = listed(strict, pump)
    assert isinstance(page, BlobsPage)
    (row,) = page.listed()
    assert (row[8], row[9] and row[9][3]) == ("Archive", "archive tier")


def test_pages_of_the_account(strict: StrictCloud, pump: Pump) -> None:
    """A page of the account says from where it is and where the next one begins."""
    for name in ("a", "b"):
        strict.azure.make_container(name)
    (page,) = pumped(pump, list_containers(ListContainers(), azure_door(strict)))
    assert ([one.name for one in page.containers], page.marker, page.next_marker) == (["a", "b"], "", "")


def test_looking(strict: StrictCloud, pump: Pump) -> None:
    """A look tells the blob as it is now, or that it is gone and since when one knows."""
    stored = strict.azure.put("c", "b", b"xyz")
    azure = azure_door(strict)
    (seen,) = pumped(pump, look(Look(7, "c", "b", "old"), azure, now))
    assert isinstance(seen, Seen)
    assert (seen.id, seen.blob.etag, seen.blob.size_bytes) == (7, stored.etag, 3)
    strict.azure.remove("c", "b")
    assert pumped(pump, look(Look(7, "c", "b", "old"), azure, now)) == [Gone(7, NOW, "old")]
