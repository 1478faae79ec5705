"""What listing promises: every blob gets its place, a page at a time, and no listing goes round in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.errors import BlobFault, EnvironmentFault
from sync_cloud_storage.listing import LEVELS_MOST, PAGES_AHEAD, list_blobs, list_containers, look
from sync_cloud_storage.model import Blob, BlobsPage, ContainerFailed, Gone, ListBlobs, ListContainers, Look, Seen
from sync_cloud_storage.names import Placement
from tests.servers.strict import Answer, Edit, Fault
from tests.unit.doors import AZURES, NOW, azure_door, now
from tests.unit.telling import pumped

if TYPE_CHECKING:
    from sync_cloud_storage.azure import Azure
    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.http.pump import Pump
    from sync_cloud_storage.model import Result
    from tests.servers.strict import StrictCloud

T = TypeVar("T")


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


# ------------------------------------------------------------------------------------------------------------- in parts


class Names:
    """Stands in for the account: one container, its names, pages of a few of them."""

    def __init__(self, names: set[str], page: int) -> None:
        self._names = sorted(names)
        self._page = page
        self.asked = 0

    def blobs(self, container: str, marker: str, prefix: str = "") -> Story[tuple[list[Blob], str]]:
        """Give a page of the names with this prefix."""
        del container
        self.asked += 1
        rest = [name for name in self._names if name.startswith(prefix) and name > marker]
        more = rest[self._page - 1] if len(rest) > self._page else ""
        yield from ()
        return [Blob(name, 1, "e", NOW) for name in rest[: self._page]], more

    def level(self, container: str, prefix: str) -> Story[tuple[tuple[list[Blob], list[str] | None], str]]:
        """Give the first page of a level."""
        del container
        self.asked += 1
        found: dict[str, None] = {}
        for name in self._names:
            if name.startswith(prefix):
                below, slash, _ = name[len(prefix) :].partition("/")
                found[prefix + below + slash] = None
        some = list(found)[: self._page]
        here = [Blob(name, 1, "e", NOW) for name in some if not name.endswith("/") or name == prefix]
        below_it = [name for name in some if name.endswith("/") and name != prefix]
        yield from ()
        return (here, below_it), some[-1] if len(found) > self._page else ""

    @property
    def azure(self) -> Azure:
        """As a story takes it."""
        return cast("Azure", self)


def told(story: Story[T]) -> T:
    """The value of a story that asks for nothing."""
    with pytest.raises(StopIteration) as end:
        next(story)
    value: T = end.value.value
    return value


def all_pages(azure: Names) -> tuple[list[BlobsPage], tuple[str, ...]]:
    """List a container that may be split to its end; all pages, and its parts."""
    pages: list[Any] = []
    tasks, parts = [ListBlobs("c", may_split=True)], ()
    while tasks:
        task = tasks.pop()
        pages.append(told(list_blobs(task, azure.azure, Placement(), pages.append)))
        parts += pages[-1].parts
        tasks += [ListBlobs("c", prefix=part) for part in pages[-1].parts]
        if pages[-1].next_marker:
            tasks.append(ListBlobs("c", pages[-1].next_marker, task.prefix))
    return pages, parts


@settings(max_examples=200)
@given(
    st.sets(st.lists(st.text("ab0/\U0001f600é", min_size=1, max_size=3), min_size=1, max_size=5).map("/".join)),
    st.integers(1, 9),
)
def test_every_name_is_in_exactly_one_part(wanted: set[str], page: int) -> None:
    """Whatever the names, a container that may be split shows each of them once, in a part or in none."""
    pages, parts = all_pages(Names(wanted, page))
    assert sorted(names(pages)) == sorted(wanted)
    assert not any(one.startswith(other) for one in parts for other in parts if one != other)
    for found in pages:
        assert all(row[0].startswith(found.prefix) for row in found.listed())
        assert not found.parts or not any(row[0].startswith(found.parts) for row in found.listed())


def test_folders_that_are_many_are_gathered() -> None:
    """A thousand folders become a few parts, since each part costs a request; flat names stay one listing."""
    pages, parts = all_pages(Names({f"films/{k:03}/{n}" for k in range(1000) for n in range(3)}, 2000))
    assert parts == tuple(f"films/{k}" for k in range(10))
    assert len(names(pages)) == 3000
    _, parts = all_pages(Names({f"{k:04}" for k in range(3000)}, 2000))
    assert parts == ()


def test_survey_costs_a_few_requests() -> None:
    """However deep and narrow the names are, few levels are looked at."""
    azure = Names({"/".join("abcdefghijklmnop") + f"/{k}" for k in range(20)}, 15)
    _, parts = all_pages(azure)
    assert parts == ()
    assert azure.asked <= LEVELS_MOST + 2


def test_split_container(strict: StrictCloud, pump: Pump) -> None:
    """A real survey: the levels' blobs come with the page that splits, all others with their part."""
    strict.azure.page = 30
    wanted = {f"{folder}/{number:02}" for folder in "abcdefghijklmnopqrst" for number in range(3)} | {"a", "zz"}
    for name in wanted:
        strict.azure.put("c", name, b"x")
    (page,) = pumped(pump, list_blobs(ListBlobs("c", may_split=True), azure_door(strict), Placement(), lambda _: None))
    assert page.parts == tuple(f"{folder}/" for folder in "abcdefghijklmnopqrst")
    assert names([page]) == ["a", "zz"]
    (part,) = pumped(pump, list_blobs(ListBlobs("c", prefix="b/"), azure_door(strict), Placement(), lambda _: None))
    assert (names([part]), part.prefix, part.next_marker) == (["b/00", "b/01", "b/02"], "b/", "")


def test_folders_of_a_file_system_are_not_parts(strict: StrictCloud, pump: Pump) -> None:
    """An account with a hierarchical namespace shows its folders only to a plain listing, so it gets one."""
    for number in range(40):
        strict.azure.put("c", f"{number}/x", b"x")
        strict.azure.put("c", f"{number % 20}/y", b"x")
    strict.faults.append(Fault(Edit("</Name></BlobPrefix>", "</Name><Properties /></BlobPrefix>"), times=0))
    strict.azure.page = 50
    (page,) = pumped(pump, list_blobs(ListBlobs("c", may_split=True), azure_door(strict), Placement(), lambda _: None))
    assert page.parts == ()


def test_survey_that_fails(strict: StrictCloud, pump: Pump) -> None:
    """A survey that the service refuses costs nothing but its time."""
    strict.azure.page = 2
    for number in range(3):
        strict.azure.put("c", f"{number}/x", b"x")
    strict.faults.append(Fault(Answer(400, "OutOfRangeInput", AZURES), operation="ListBlobs", nth=2))
    given: list[Any] = []
    (page,) = pumped(pump, list_blobs(ListBlobs("c", may_split=True), azure_door(strict), Placement(), given.append))
    assert names([*given, page]) == ["0/x", "1/x", "2/x"]
