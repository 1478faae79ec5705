"""What the catalog's verbs promise about containers, pages of blobs, and results."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.catalog import Catalog, pages
from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.model import (
    Check,
    Checked,
    Container,
    ContainerFailed,
    ContainersPage,
    ContainerStatus,
    Download,
    Failed,
    Gone,
    Leg,
    ListBlobs,
    ListContainers,
    Look,
    Problem,
    Rotten,
    Seen,
    Totals,
    Upload,
    UploadOpened,
)
from sync_cloud_storage.names import Placement
from tests.unit.catalogs import (
    AT,
    CRC,
    Clock,
    account,
    blob,
    downloaded,
    listed,
    made,
    moved,
    page,
    sql,
    states,
    uploaded,
)
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GONE_CONTAINER = ContainerFailed("c", "AZ-404-CONTAINER", "The container does not exist.", not_found=True)
REFUSED_CONTAINER = ContainerFailed("c", "AZ-403", "No permission.", not_found=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the catalog lies."""
    with in_memory() as path:
        yield path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    """A catalog with one container `c`; its running sums are those of its rows whatever a test did."""
    with made(folder) as one:
        yield one
        assert one.check() == []
        assert sql(folder, "SELECT blobs, bytes FROM containers WHERE name = 'c'") == sql(
            folder, "SELECT count(*), coalesce(sum(size_bytes), 0) FROM sync WHERE container = 'c'"
        )


def statuses(folder: Path) -> dict[str, int]:
    """Status of each container."""
    return dict(sql(folder, "SELECT name, status FROM containers"))


# ------------------------------------------------------------------------------------------------------ containers


def test_new_containers_are_to_be_listed_in_the_order_of_their_names(catalog: Catalog) -> None:
    """Containers that the account shows are pending; a skipped one is not."""
    account(catalog, "b", "c", "d", "a", skip="b")
    assert catalog.pending_containers(10) == [ListBlobs("a"), ListBlobs("c"), ListBlobs("d")]
    assert catalog.pending_containers(1, after="a") == [ListBlobs("c")]
    assert catalog.totals().containers == 4
    assert catalog.totals().containers_pending == 3


def test_a_pass_over_the_account_goes_on_where_it_was_killed(folder: Path) -> None:
    """The marker of the last settled page is where the next run goes on, within the hour."""
    clock = Clock()
    with Catalog.create(folder / "storage.sqlite", clock) as catalog:
        assert catalog.begin_containers_pass() == ListContainers("")
        catalog.settle_containers(ContainersPage("", "m1", (Container("a", AT, "1"),)), lambda _: "")
    with Catalog.open(folder / "storage.sqlite", clock) as catalog:
        assert catalog.begin_containers_pass() == ListContainers("m1")


def test_an_old_pass_begins_anew(folder: Path) -> None:
    """What was created in the first part of a pass that was killed long ago must not be missed."""
    clock = Clock()
    with Catalog.create(folder / "storage.sqlite", clock) as catalog:
        catalog.begin_containers_pass()
        catalog.settle_containers(ContainersPage("", "m1", (Container("b", AT, "1"),)), lambda _: "")
        clock.now += timedelta(hours=2)
        assert catalog.begin_containers_pass() == ListContainers("")


def test_a_container_that_the_account_no_longer_shows_is_listed(catalog: Catalog, folder: Path) -> None:
    """The service itself has to say 404: a container that a whole pass did not show goes back to pending."""
    account(catalog, "c", "d")
    listed(catalog, "x", container="c")
    listed(catalog, "x", container="d")
    account(catalog, "d")
    assert catalog.pending_containers(10) == [ListBlobs("c")]
    assert statuses(folder) == {"c": 0, "d": 200}


def test_half_a_pass_says_nothing_about_what_is_missing(catalog: Catalog, folder: Path) -> None:
    """Before the last page, and after a page that does not go on where we are, no container is missing."""
    listed(catalog, "x")
    catalog.begin_containers_pass()
    catalog.settle_containers(ContainersPage("", "m1", (Container("a", AT, "1"),)), lambda _: "")
    catalog.settle_containers(ContainersPage("elsewhere", "", (Container("b", AT, "1"),)), lambda _: "")
    assert statuses(folder) == {"a": 0, "b": 0, "c": 200}


def test_a_container_that_is_gone_fails_what_was_never_copied(catalog: Catalog, folder: Path) -> None:
    """404: the container has that status, its copies stay, the rest has failed with a sentence."""
    listed(catalog, "copied", "not")
    moved(catalog, 1)
    catalog.settle_container_failed(GONE_CONTAINER)
    assert statuses(folder) == {"c": 404}
    assert states(folder) == {"copied": "uploaded", "not": "failed"}
    assert catalog.totals().gone == 2
    assert [(one.blob, one.code) for one in catalog.problems(9)] == [("not", "AZ-404-CONTAINER")]


def test_nobody_asks_again_for_a_container_that_is_gone(catalog: Catalog, folder: Path) -> None:
    """A pass over the account that does not show it leaves it as it is."""
    catalog.settle_container_failed(GONE_CONTAINER)
    account(catalog, "d")
    assert statuses(folder) == {"c": 404, "d": 0}


def test_a_container_that_was_gone_comes_back_with_its_blobs(catalog: Catalog, folder: Path) -> None:
    """Shown by the account again, it is listed again, and its rows are pending again."""
    listed(catalog, "x")
    catalog.settle_container_failed(GONE_CONTAINER)
    account(catalog, "c")
    assert catalog.pending_containers(9) == [ListBlobs("c")]
    listed(catalog, "x")
    assert states(folder) == {"x": "pending"}
    assert catalog.totals().gone == 0


def test_a_container_that_was_never_listed_and_is_gone_is_a_failure(catalog: Catalog) -> None:
    """Nobody knows what was in it; one that was listed before is accounted for by its rows."""
    catalog.settle_container_failed(GONE_CONTAINER)
    assert catalog.totals().containers_failed == 1
    assert catalog.problems(9) == [
        Problem("c", "", "list", "AZ-404-CONTAINER", "The container does not exist."),
    ]


def test_a_container_that_may_not_be_read_stays_pending(catalog: Catalog, folder: Path) -> None:
    """Any other failure is kept as a sentence until a page arrives."""
    catalog.settle_container_failed(REFUSED_CONTAINER)
    assert statuses(folder) == {"c": 0}
    assert catalog.totals().containers_failed == 1
    assert catalog.problems(9) == [Problem("c", "", "list", "AZ-403", "No permission.")]
    listed(catalog, "x")
    assert catalog.totals().containers_failed == 0
    assert catalog.problems(9) == []


def test_resetting_lists_again_from_the_start(catalog: Catalog, folder: Path) -> None:
    """Live containers, or all, go back to pending, and half a listing is forgotten."""
    account(catalog, "c", "live")
    listed(catalog, "x")
    listed(catalog, "x", container="live", is_live=True)
    assert statuses(folder) == {"c": 200, "live": 100}
    assert catalog.reset_live(lambda name: name == "live") == 1
    assert catalog.pending_containers(9) == [ListBlobs("live")]
    catalog.settle_blobs_page(page(["x"], "", "m1", container="live"), is_live=True)
    assert catalog.reset_live(lambda _: True) == 2
    assert catalog.pending_containers(9) == [ListBlobs("c"), ListBlobs("live")]


def test_containers_are_counted_by_status(catalog: Catalog) -> None:
    """Each status that occurs, with its number."""
    account(catalog, "c", "d", "e")
    listed(catalog, container="d")
    assert catalog.container_counts() == ((ContainerStatus.PENDING, 2), (ContainerStatus.EMPTY, 1))


def test_a_container_that_is_skipped_later_keeps_what_has_moved(catalog: Catalog, folder: Path) -> None:
    """Its other rows are skipped; when it is no longer skipped, a listing makes them pending again."""
    listed(catalog, "moved", "not")
    moved(catalog, 1)
    account(catalog, "c", skip="c")
    assert states(folder) == {"moved": "uploaded", "not": "skipped"}
    account(catalog, "c")
    assert catalog.pending_containers(9) == [ListBlobs("c")]
    listed(catalog, "moved", "not")
    assert states(folder) == {"moved": "uploaded", "not": "pending"}
    assert [task.nas_path for task in catalog.pending_downloads(0, 9)] == ["c/not"]


def test_whether_a_container_is_known(catalog: Catalog) -> None:
    """By its name."""
    assert catalog.has_container("c")
    assert not catalog.has_container("C")


# ----------------------------------------------------------------------------------------------------------- pages


def test_a_new_blob_becomes_a_task(catalog: Catalog) -> None:
    """What the listing said, and where it goes, is what the worker gets."""
    listed(catalog, blob("a/b", "0xE", 5, content_md5="bWQ1", headers='{"content-type":"x"}', metadata='{"k":"v"}'))
    assert catalog.pending_downloads(0, 9) == [Download(1, "c", "a/b", 5, "0xE", "bWQ1", "c/a/b")]
    assert not catalog.pending_downloads(0, 9)[0].known_attested
    catalog.settle([downloaded(1, "0xE")])
    assert catalog.pending_uploads(0, 9, 1 << 30) == [
        Upload(1, "c", "a/b", "0xE", 5, CRC, "c/a/b", "c/a/b", '{"content-type":"x"}', '{"k":"v"}')
    ]
    assert catalog.everything(0, 9, deep=True) == [Check(1, "c", "a/b", 5, CRC, "c/a/b", "", deep=True)]
    catalog.settle([uploaded(1, "0xE")])
    assert catalog.everything(0, 9) == [Check(1, "c", "a/b", 5, CRC, "c/a/b", "c/a/b", '"e"')]


@pytest.mark.parametrize("attested", [True, False])
def test_what_is_known_of_a_version_goes_with_its_task(catalog: Catalog, attested: bool) -> None:  # noqa: FBT001
    """A row that is pending again tells its worker which CRC it had, and whether the source itself had said so."""
    listed(catalog, "a")
    catalog.settle([downloaded(1)._replace(attested=attested)])
    catalog.settle([Rotten(1, "NAS-ROT", "Other bytes.", "v1")])
    (task,) = catalog.pending_downloads(0, 9)
    assert (task.known_crc64nvme, task.known_attested) == (CRC, attested)
    listed(catalog, blob("a", "v2"))
    (task,) = catalog.pending_downloads(0, 9)
    assert (task.known_crc64nvme, task.known_attested) == ("", False)


def test_work_is_handed_out_by_id(catalog: Catalog) -> None:
    """Greater than the last one, as many as wanted."""
    listed(catalog, *"abcdef")
    assert [task.id for task in catalog.pending_downloads(2, 3)] == [3, 4, 5]
    assert catalog.is_pending_download(2)
    catalog.settle([downloaded(row_id) for row_id in range(1, 7)])
    assert [task.id for task in catalog.pending_uploads(4, 9, 1 << 30)] == [5, 6]
    assert [task.id for task in catalog.everything(4, 1, deep=True)] == [5]
    assert not catalog.is_pending_download(2)
    assert not catalog.is_pending_download(99)


def test_the_last_page_says_what_a_container_is(catalog: Catalog, folder: Path) -> None:
    """200 listed, 100 live, 503 when no page of the listing had a blob; before it, pending."""
    account(catalog, "c", "empty", "live", "late")
    catalog.settle_blobs_page(page(["a"], "", "m1"), is_live=False)
    assert statuses(folder)["c"] == 0
    assert catalog.pending_containers(1) == [ListBlobs("c", "m1")]
    catalog.settle_blobs_page(page([], "m1"), is_live=False)
    listed(catalog, container="empty")
    listed(catalog, container="live", is_live=True)
    catalog.settle_blobs_page(page([], "", "m1", container="late"), is_live=False)
    catalog.settle_blobs_page(page(["a"], "m1", container="late"), is_live=False)
    assert statuses(folder) == {"c": 200, "empty": 503, "live": 100, "late": 200}


def test_a_blob_is_counted_once(catalog: Catalog) -> None:
    """Twice in a page, in two pages, or in a page that arrives twice."""
    assert listed(catalog, "a", "b", "a").added == 2
    assert listed(catalog, "a", "b").unchanged == 2
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(page(["a", "b"], "", "m1"), is_live=False)
    outcome = catalog.settle_blobs_page(page(["b", "c"], "m1"), is_live=False)
    assert (outcome.added, outcome.unchanged, outcome.suspects) == (1, 1, ())
    assert catalog.totals().blobs == 3


def test_a_changed_blob_is_done_again_and_its_old_evidence_kept(catalog: Catalog, folder: Path) -> None:
    """Another ETag: both legs are pending; what was proven about the old version is in `superseded`; same place."""
    listed(catalog, "a")
    moved(catalog, 1)
    outcome = listed(catalog, blob("a", "v2", 99))
    assert (outcome.added, outcome.changed, outcome.unchanged) == (0, 1, 0)
    assert catalog.pending_downloads(0, 9) == [Download(1, "c", "a", 99, "v2", "", "c/a", may_replace=True)]
    assert sql(folder, "SELECT sync_id, etag, size_bytes, crc64nvme, azure_status, s3_status FROM superseded") == [
        (1, "v1", 10, CRC, 1, 1)
    ]
    catalog.settle([downloaded(1, "v2")])
    assert catalog.pending_uploads(0, 9, 1 << 30)[0].may_replace


def test_a_changed_blob_that_was_never_copied_leaves_no_evidence(catalog: Catalog, folder: Path) -> None:
    """There is nothing to keep, and nothing of ours to replace."""
    listed(catalog, "a")
    listed(catalog, blob("a", "v2"))
    assert not catalog.pending_downloads(0, 9)[0].may_replace
    assert sql(folder, "SELECT count(*) FROM superseded") == [0]


def test_another_tier_is_no_other_version(catalog: Catalog, folder: Path) -> None:
    """It is written down, and nothing is copied for it."""
    listed(catalog, blob("a", tier="Hot"))
    moved(catalog, 1)
    assert listed(catalog, blob("a", tier="Cool")).unchanged == 1
    assert sql(folder, "SELECT tier, state FROM blobs") == [("Cool", "uploaded")]


def test_the_place_of_a_blob_is_decided_once(catalog: Catalog) -> None:
    """Another key template later moves nothing, not even what changed."""
    listed(catalog, "a", "b")
    listed(catalog, blob("a", "v2"), "b", placement=Placement(key_template="new/{container}/{blob}"))
    assert [task.nas_path for task in catalog.pending_downloads(0, 9)] == ["c/a", "c/b"]


def test_a_skipped_blob_is_counted_and_not_moved(catalog: Catalog, folder: Path) -> None:
    """With its reason; when the setting goes, it is pending."""
    strict = Placement(skip_extensions=(".xml",))
    listed(catalog, "a.xml", "b", placement=strict)
    assert catalog.totals().skipped == 1
    assert [task.blob for task in catalog.pending_downloads(0, 9)] == ["b"]
    assert sql(folder, "SELECT reason FROM blobs WHERE state = 'skipped'") == ["extension .xml"]
    assert not catalog.is_pending_download(1)
    listed(catalog, "a.xml", "b")
    assert [task.nas_path for task in catalog.pending_downloads(0, 9)] == ["c/a.xml", "c/b"]


def test_a_blob_that_is_skipped_later_keeps_its_place(catalog: Catalog) -> None:
    """Not moved yet, it is skipped; and comes back to where it was."""
    listed(catalog, "a.xml")
    listed(catalog, "a.xml", placement=Placement(skip_extensions=(".xml",)))
    assert catalog.pending_downloads(0, 9) == []
    listed(catalog, "a.xml")
    assert [task.nas_path for task in catalog.pending_downloads(0, 9)] == ["c/a.xml"]


def test_a_blob_that_has_moved_is_not_skipped_any_more(catalog: Catalog, folder: Path) -> None:
    """What is done is done."""
    listed(catalog, "a.xml")
    moved(catalog, 1)
    listed(catalog, "a.xml", placement=Placement(skip_extensions=(".xml",)))
    assert states(folder) == {"a.xml": "uploaded"}


def test_a_rehydrated_blob_is_pending(catalog: Catalog, folder: Path) -> None:
    """Out of the archive its ETag is the same, and the reason to skip it is gone."""
    listed(catalog, blob("a", tier="Archive"))
    assert states(folder) == {"a": "skipped"}
    listed(catalog, blob("a", tier="Hot"))
    assert states(folder) == {"a": "pending"}


def test_a_name_that_cannot_be_moved_is_a_failure_until_it_can(catalog: Catalog, folder: Path) -> None:
    """Another attempt does not help, a changed setting does."""
    listed(catalog, "a/../b", placement=Placement(strict_names=True))
    assert [one.code for one in catalog.problems(9)] == ["S3-NAME"]
    assert catalog.retry_failed(None) == 0
    listed(catalog, "a/../b")
    assert states(folder) == {"a/../b": "pending"}
    assert [task.nas_path for task in catalog.pending_downloads(0, 9)] == ["c/a/%2E%2E/b"]


# --------------------------------------------------------------------------------------------- what is missing


def test_what_a_page_should_have_held_is_suspect(catalog: Catalog) -> None:
    """Between the last name shown and the page's greatest; on the last page, to the end. Its row stays as it was."""
    listed(catalog, *"abcdef")
    catalog.reset_live(lambda _: True)
    first = catalog.settle_blobs_page(page(["a", "c"], "", "m1"), is_live=False)
    assert first.suspects == ()
    assert catalog.pending_looks(0, 9) == [], "a later page may still show it"
    last = catalog.settle_blobs_page(page(["d"], "m1"), is_live=False)
    assert last.suspects == (Look(2, "c", "b", "v1"), Look(5, "c", "e", "v1"), Look(6, "c", "f", "v1"))
    assert tuple(catalog.pending_looks(0, 9)) == last.suspects
    assert catalog.totals().pending == 6
    assert catalog.totals().gone == 0


def test_an_empty_container_makes_all_of_its_rows_suspect(catalog: Catalog, folder: Path) -> None:
    """And has status 503."""
    listed(catalog, "a", "b")
    assert [look.blob for look in listed(catalog).suspects] == ["a", "b"]
    assert statuses(folder) == {"c": 503}


def test_suspects_outlive_a_kill(folder: Path) -> None:
    """Until the source has answered they are handed out again, in each run."""
    with made(folder) as catalog:
        listed(catalog, "a", "b", "c")
        listed(catalog, "b")
    with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
        assert [look.id for look in catalog.pending_looks(0, 9)] == [1, 3]
        assert [look.id for look in catalog.pending_looks(1, 9)] == [3]
        catalog.settle([Gone(1, AT), Seen(3, blob("c"))])
        assert catalog.pending_looks(0, 9) == []
        assert catalog.totals().gone == 1


def test_a_suspect_that_is_listed_after_all_is_none(catalog: Catalog, folder: Path) -> None:
    """A later page may hold it: services sort in their own way."""
    listed(catalog, "a", "b", "c")
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(page(["b"], "", "m1"), is_live=False)
    assert sql(folder, "SELECT sync_id FROM suspects") == [1]
    outcome = catalog.settle_blobs_page(page(["a", "c"], "m1"), is_live=False)
    assert (outcome.unchanged, outcome.suspects) == (2, ())
    assert catalog.pending_looks(0, 9) == []


def test_the_order_of_another_service_loses_nothing(catalog: Catalog) -> None:
    """An emoji sorts before U+FF5E there (UTF-16) and after it here: both pages are unchanged, nothing is doubled."""
    emoji, wide = "\U0001f600", "\uff5e"
    for _ in range(2):
        catalog.settle_blobs_page(page([emoji], "", "m1"), is_live=False)
        catalog.settle_blobs_page(page([wide], "m1"), is_live=False)
        catalog.reset_live(lambda _: True)
    assert catalog.totals().blobs == 2
    catalog.settle([Seen(look.id, blob(look.blob)) for look in catalog.pending_looks(0, 9)])
    assert [task.blob for task in catalog.pending_downloads(0, 9)] == [emoji, wide]
    assert catalog.totals().gone == 0


def test_a_killed_listing_goes_on_with_its_interval(folder: Path) -> None:
    """What lies before the place where it goes on is not suspected again, and what lies after it is."""
    with made(folder) as catalog:
        listed(catalog, *"abcd")
        catalog.reset_live(lambda _: True)
        catalog.settle_blobs_page(page(["a", "b"], "", "m1"), is_live=False)
    with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
        assert catalog.pending_containers(9) == [ListBlobs("c", "m1")]
        assert [look.blob for look in catalog.settle_blobs_page(page(["d"], "m1"), is_live=False).suspects] == ["c"]


def test_a_page_from_elsewhere_adds_its_rows_and_says_nothing_else(catalog: Catalog, folder: Path) -> None:
    """Its marker is not where the listing stands: nothing is missing for it, and the listing does not end."""
    listed(catalog, "a", "b")
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(page(["a"], "", "m1"), is_live=False)
    outcome = catalog.settle_blobs_page(page(["b", "z"], "m7"), is_live=False)
    assert (outcome.added, outcome.unchanged, outcome.suspects) == (1, 1, ())
    assert catalog.pending_containers(9) == [ListBlobs("c", "m1")]
    assert statuses(folder) == {"c": 0}


def test_a_listing_may_begin_anew(catalog: Catalog) -> None:
    """A page without a marker is the first one, wherever the last listing stood."""
    listed(catalog, "a", "b", "c")
    catalog.reset_live(lambda _: True)
    catalog.settle_blobs_page(page(["a", "b"], "", "m1"), is_live=False)
    assert [look.blob for look in catalog.settle_blobs_page(page(["b", "c"]), is_live=False).suspects] == ["a"]


def test_what_is_gone_is_no_suspect(catalog: Catalog) -> None:
    """Nobody asks again; but it is listed again when it is back."""
    listed(catalog, "a", "b")
    catalog.settle([Gone(1, AT)])
    assert listed(catalog, "b").suspects == ()
    assert listed(catalog, "a", "b").unchanged == 2
    assert catalog.totals().gone == 0
    assert [task.blob for task in catalog.pending_downloads(0, 9)] == ["a", "b"]


def test_a_crowd_of_suspects_is_not_held_in_memory(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that was emptied: the outcome has some of them, the catalog has all."""
    monkeypatch.setattr(pages, "SUSPECTS_AT_ONCE", 10)
    listed(catalog, *(f"{number:05}" for number in range(15)))
    assert len(listed(catalog).suspects) == 10
    assert len(catalog.pending_looks(0, 99)) == 15


# --------------------------------------------------------------------------------------------------------- results


def test_a_gone_blob_keeps_its_copy_or_has_failed(catalog: Catalog, folder: Path) -> None:
    """Copied: it stays done. Not copied: it has failed with a sentence. Skipped: it stays skipped."""
    listed(catalog, "a.xml", "b", "c", placement=Placement(skip_extensions=(".xml",)))
    moved(catalog, 2)
    assert catalog.settle([Gone(1, AT), Gone(2, AT), Gone(3, AT)]) == 3
    assert states(folder) == {"a.xml": "skipped", "b": "uploaded", "c": "failed"}
    assert [one.code for one in catalog.problems(9)] == ["AZ-404-GONE"]
    assert catalog.totals().gone == 3
    assert catalog.retry_failed(None) == 0


def test_a_blob_that_is_gone_after_its_file_was_found_wrong(catalog: Catalog, folder: Path) -> None:
    """It has failed, and says both; the object in S3 stays what it is."""
    listed(catalog, "a")
    moved(catalog, 1)
    catalog.settle([Checked(1, "NAS-ROT: Its bytes are others.", None, fetch_again=True, asked=False)])
    assert states(folder) == {"a": "pending"}
    catalog.settle([Gone(1, AT)])
    assert sql(folder, "SELECT azure_status, s3_status FROM sync") == [(2, 1)]
    (problem,) = [one for one in catalog.problems(9) if one.leg == "azure"]
    assert problem.code == "AZ-404-GONE"
    assert problem.sentence.endswith("no good copy of it on the NAS. Before that: NAS-ROT: Its bytes are others.")


def test_what_is_gone_is_gone_since_it_was_first_missed(catalog: Catalog, folder: Path) -> None:
    """The same answer later changes nothing."""
    listed(catalog, "a")
    assert catalog.settle([Gone(1, "2026-11-24T00:00:00Z")]) == 1
    assert catalog.settle([Gone(1, "2026-11-25T00:00:00Z")]) == 0
    assert sql(folder, "SELECT gone_at_utc FROM sync") == ["2026-11-24T00:00:00Z"]


def test_a_download_that_ends_after_the_blob_is_gone_counts(catalog: Catalog, folder: Path) -> None:
    """The bytes are there."""
    listed(catalog, "a")
    catalog.settle([Gone(1, AT)])
    catalog.settle([downloaded(1)])
    assert states(folder) == {"a": "downloaded"}
    assert catalog.problems(9) == []


def test_a_result_of_an_old_version_is_no_success(catalog: Catalog, folder: Path) -> None:
    """It changes no status; but the file that it made is ours, and may be replaced."""
    listed(catalog, "a", "b")
    listed(catalog, blob("a", "v2"), "b")
    catalog.settle([downloaded(1, "v1"), Failed(2, Leg.AZURE, "v0", "AZ-X", "no")])
    assert states(folder) == {"a": "pending", "b": "pending"}
    assert catalog.pending_downloads(0, 9)[0].may_replace
    catalog.settle([downloaded(1, "v2")])
    listed(catalog, blob("a", "v3"), "b")
    catalog.settle([uploaded(1, "v2"), Failed(1, Leg.S3, "v2", "S3-X", "no"), Rotten(1, "NAS-ROT", "old", "v2")])
    assert states(folder) == {"a": "pending", "b": "pending"}


def test_an_object_with_another_checksum_is_not_believed(catalog: Catalog, folder: Path) -> None:
    """Whatever the worker made of it. It has failed: a row that stayed pending would be sent for ever."""
    listed(catalog, "a", "b")
    catalog.settle([downloaded(1), downloaded(2)])
    catalog.settle([uploaded(1, checksum="BBBBBBBBBBB="), uploaded(2, checksum="")])
    assert states(folder) == {"a": "failed", "b": "uploaded"}
    sentence = f"S3 says that the object has checksum BBBBBBBBBBB=, the download has {CRC}."
    assert catalog.problems(9) == [Problem("c", "a", "s3", "S3-DIGEST", sentence)]


def test_an_object_of_a_file_that_is_not_there_is_not_believed(catalog: Catalog, folder: Path) -> None:
    """Nothing is uploaded that was not downloaded."""
    listed(catalog, "a")
    assert catalog.settle([uploaded(1)]) == 0
    assert states(folder) == {"a": "pending"}


def test_a_failure_has_a_code_a_sentence_and_a_count(catalog: Catalog, folder: Path) -> None:
    """On the leg that it is about; tried again when somebody says so."""
    listed(catalog, "a", "b")
    catalog.settle([downloaded(2)])
    catalog.settle([Failed(1, Leg.AZURE, "v1", "AZ-MD5", "Wrong: bytes."), Failed(2, Leg.S3, "v1", "S3-403", "No.")])
    assert catalog.problems(9) == [
        Problem("c", "a", "azure", "AZ-MD5", "Wrong: bytes."),
        Problem("c", "b", "s3", "S3-403", "No."),
    ]
    assert catalog.totals().failed == 2
    assert sql(folder, "SELECT attempts FROM blobs") == [1, 1]
    assert catalog.pending_downloads(0, 9) == []
    assert catalog.retry_failed(Leg.S3) == 1
    assert states(folder) == {"a": "failed", "b": "downloaded"}
    assert catalog.retry_failed(Leg.AZURE) == 1
    assert states(folder) == {"a": "pending", "b": "downloaded"}
    assert catalog.problems(9) == []


def test_retrying_both_legs(catalog: Catalog) -> None:
    """Without a leg, whatever failed is pending again."""
    listed(catalog, "a", "b")
    catalog.settle([downloaded(2)])
    catalog.settle([Failed(1, Leg.AZURE, "v1", "X-Y", "z"), Failed(2, Leg.S3, "v1", "X-Y", "z")])
    assert catalog.retry_failed(None) == 2
    assert catalog.totals().failed == 0


def test_a_failure_takes_back_no_success(catalog: Catalog, folder: Path) -> None:
    """Two workers, one task: the one that succeeded is right."""
    listed(catalog, "a")
    moved(catalog, 1)
    assert catalog.settle([Failed(1, Leg.AZURE, "v1", "AZ-X", "late")]) == 0
    assert catalog.settle([Failed(1, Leg.S3, "v1", "S3-X", "late")]) == 0
    assert states(folder) == {"a": "uploaded"}


def test_a_rotten_file_is_fetched_again(catalog: Catalog, folder: Path) -> None:
    """The row is pending, keeps the reason, and the worker may write over the file."""
    listed(catalog, "a")
    catalog.settle([downloaded(1)])
    catalog.settle([Rotten(1, "NAS-ROT", "Other bytes.", "v1")])
    assert states(folder) == {"a": "pending"}
    assert sql(folder, "SELECT azure_error FROM sync") == ["NAS-ROT: Other bytes."]
    assert catalog.pending_downloads(0, 9)[0].may_replace
    assert catalog.problems(9) == []
    catalog.settle([downloaded(1)])
    assert sql(folder, "SELECT azure_error FROM sync") == [None]


def test_what_is_in_s3_is_not_taken_back_by_a_rotten_file(catalog: Catalog, folder: Path) -> None:
    """The object was proven by itself."""
    listed(catalog, "a")
    moved(catalog, 1)
    assert catalog.settle([Rotten(1, "NAS-ROT", "Other bytes.", "v1")]) == 0
    assert states(folder) == {"a": "uploaded"}


def test_results_about_one_row_keep_their_order(catalog: Catalog, folder: Path) -> None:
    """In one batch: downloaded, then found rotten, is not downloaded; the other way round it is."""
    listed(catalog, "a", "b")
    catalog.settle([downloaded(2)])
    rotten = [Rotten(row_id, "NAS-ROT", "x", "v1") for row_id in (1, 2)]
    catalog.settle([downloaded(1), rotten[0], rotten[1], downloaded(2)])
    assert states(folder) == {"a": "pending", "b": "downloaded"}


def test_a_blob_that_was_looked_at(catalog: Catalog, folder: Path) -> None:
    """The same version changes nothing; another one is done anew; one that was gone is back."""
    listed(catalog, "a", "b", "c", "d")
    moved(catalog, 1, 2)
    catalog.settle([Gone(3, AT), Failed(4, Leg.AZURE, "v1", "AZ-X", "y")])
    seen = [Seen(1, blob("a")), Seen(2, blob("b", "v2", 77)), Seen(3, blob("c")), Seen(4, blob("d"))]
    assert catalog.settle(seen) == 2
    assert states(folder) == {"a": "uploaded", "b": "pending", "c": "pending", "d": "failed"}
    assert catalog.totals().bytes == 10 + 77 + 10 + 10


def test_a_multipart_upload_is_remembered(catalog: Catalog, folder: Path) -> None:
    """Handed out once: none is open. Handed out again: one may be. Told: its id. Done: none."""
    listed(catalog, blob("small", size=4), blob("x", size=5))
    catalog.settle([downloaded(1), downloaded(2)])

    def upload_ids() -> list[str]:
        return [task.upload_id for task in catalog.pending_uploads(0, 9, 5)]

    assert upload_ids() == ["", ""]
    assert upload_ids() == ["", "?"]
    catalog.settle([UploadOpened(2, "id-7", "v1")])
    assert upload_ids() == ["", "id-7"]
    assert upload_ids() == ["", "id-7"]
    assert sql(folder, "SELECT s3_upload_id FROM sync ORDER BY id") == [None, "id-7"]
    catalog.settle([uploaded(2)])
    assert sql(folder, "SELECT s3_upload_id FROM sync ORDER BY id") == [None, None]


def test_an_upload_that_was_begun_for_an_old_version_is_not_gone_on_with(catalog: Catalog) -> None:
    """It would end with the old version's properties; that one is open is all that is known."""
    listed(catalog, "a")
    catalog.settle([downloaded(1), UploadOpened(1, "id-7", "v1")])
    listed(catalog, blob("a", "v2"))
    catalog.settle([downloaded(1, "v2")])
    assert catalog.pending_uploads(0, 9, 1)[0].upload_id == "?"


def test_what_a_check_found_stands_beside_the_row(catalog: Catalog, folder: Path) -> None:
    """A problem, not a failure; one leg does not speak for the other; the next check may take it back."""
    listed(catalog, "a", "b")
    moved(catalog, 1, 2)
    catalog.settle([Checked(1, "NAS-SIZE: Short.", ""), Checked(2, "", None, proven=True)])
    assert catalog.problems(9) == [Problem("c", "a", "azure", "NAS-SIZE", "Short.")]
    assert catalog.totals().uploaded == 2
    assert sql(folder, "SELECT proven FROM blobs") == [0, 1]
    catalog.settle([Checked(1, None, "S3-SIZE: Short.")])
    assert [one.leg for one in catalog.problems(9)] == ["azure", "s3"]
    catalog.settle([Checked(1, "", "")])
    assert catalog.problems(9) == []


def test_what_a_check_found_wrong_can_be_done_again(catalog: Catalog, folder: Path) -> None:
    """On that leg only."""
    listed(catalog, "a", "b", "c")
    moved(catalog, 1, 2, 3)
    catalog.settle([Checked(1, "NAS-LOST: No file.", ""), Checked(2, "", "S3-LOST: No object."), Checked(3, "", "")])
    assert catalog.redo_mismatched() == 2
    assert states(folder) == {"a": "pending", "b": "downloaded", "c": "uploaded"}
    catalog.settle([downloaded(1)])
    assert states(folder)["a"] == "uploaded"
    assert catalog.problems(9) == []


def test_a_sentence_that_is_no_utf8_is_kept_readable(catalog: Catalog) -> None:
    """The name of a foreign file on the NAS may be any bytes."""
    listed(catalog, "a")
    catalog.settle([Failed(1, Leg.AZURE, "v1", "NAS-FOREIGN", "There is '\udcff' already.")])
    assert catalog.problems(1)[0].sentence == "There is '\\udcff' already."


def test_other_bytes_on_the_nas_than_in_s3_are_sent_again(catalog: Catalog, folder: Path) -> None:
    """A file that was lost and fetched again, of the same version: the object is not what is on the NAS."""
    listed(catalog, "a", "b")
    moved(catalog, 1, 2)
    catalog.settle([Checked(1, "NAS-LOST: x", ""), Checked(2, "NAS-LOST: x", "")])
    catalog.redo_mismatched()
    catalog.settle([downloaded(1), downloaded(2, crc="BBBBBBBBBBB=")])
    assert states(folder) == {"a": "uploaded", "b": "downloaded"}


def test_an_upload_of_an_old_version_is_known_to_be_open(catalog: Catalog) -> None:
    """But not by its id: it is to be ended, not gone on with."""
    listed(catalog, "a")
    catalog.settle([downloaded(1)])
    catalog.settle([UploadOpened(1, "id-7", "v0")])
    assert catalog.pending_uploads(0, 9, 1)[0].upload_id == "?"


def test_what_was_made_again_meanwhile_is_not_gone(catalog: Catalog) -> None:
    """The answer is about a version that the row no longer has."""
    listed(catalog, blob("a", "v2"))
    assert catalog.settle([Gone(1, AT, "v1")]) == 0
    assert catalog.settle([Gone(1, AT, "v2")]) == 1


def test_what_is_gone_cannot_be_fetched_again(catalog: Catalog, folder: Path) -> None:
    """Its file is lost and the source has none: the mismatch stays, and only the object is sent anew."""
    listed(catalog, "a")
    moved(catalog, 1)
    catalog.settle([Gone(1, AT)])
    catalog.settle([Checked(1, "NAS-LOST: x", "S3-LOST: y")])
    catalog.redo_mismatched()
    assert states(folder) == {"a": "downloaded"}
    assert [one.code for one in catalog.problems(9)] == ["NAS-LOST"]
    assert catalog.totals().mismatched == 1


def test_a_gone_blob_whose_file_rots_has_failed(catalog: Catalog, folder: Path) -> None:
    """It is pending, asked for, and not there: it does not stay pending."""
    listed(catalog, "a")
    catalog.settle([downloaded(1), Gone(1, AT)])
    catalog.settle([Rotten(1, "NAS-ROT", "x", "v1")])
    assert states(folder) == {"a": "pending"}
    catalog.settle([Gone(1, AT)])
    assert states(folder) == {"a": "failed"}


def test_trying_again_may_be_about_some_containers(catalog: Catalog, folder: Path) -> None:
    """The others stay as they are."""
    account(catalog, "c", "d")
    listed(catalog, "a", "b")
    listed(catalog, "x", "y", container="d")
    moved(catalog, 2, 4)
    catalog.settle([Failed(row_id, Leg.AZURE, "v1", "AZ-X", "y") for row_id in (1, 3)])
    catalog.settle([Checked(row_id, "", "S3-LOST: z") for row_id in (2, 4)])
    assert catalog.moving(["d"]) == 2
    assert catalog.retry_failed(None, ["d"]) == 1
    assert catalog.redo_mismatched(["d"]) == 1
    assert states(folder) == {"a": "failed", "b": "uploaded", "x": "pending", "y": "downloaded"}


# ------------------------------------------------------------------------------------------------------------ sums


def test_the_five_sums(catalog: Catalog) -> None:
    """Skipped, failed, pending, downloaded and uploaded exclude each other and add up."""
    sized = [blob(name, size=10**power) for power, name in enumerate(["a.xml", "b", "c", "d", "e"])]
    listed(catalog, *sized, placement=Placement(skip_extensions=(".xml",)))
    catalog.settle([downloaded(4), downloaded(5), Failed(2, Leg.AZURE, "v1", "X-Y", "z")])
    catalog.settle([uploaded(5), Gone(5, AT)])
    expected = Totals(
        containers=1,
        containers_pending=0,
        containers_failed=0,
        blobs=5,
        bytes=11111,
        skipped=1,
        failed=1,
        pending=1,
        pending_bytes=100,
        downloaded=1,
        downloaded_bytes=1000,
        uploaded=1,
        uploaded_bytes=10000,
        gone=1,
    )
    assert catalog.totals() == expected
    assert catalog.recount() == expected


def test_the_sums_of_each_container(catalog: Catalog, folder: Path) -> None:
    """By name, also of a container without blobs."""
    account(catalog, "b", "c")
    listed(catalog, "x", "y")
    moved(catalog, 1)
    assert sql(folder, "SELECT * FROM progress ORDER BY container") == [
        ("b", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, None),
        ("c", 200, 2, 20, 1, 0, 1, 0, 0, 0, 10, 0, None, None),
    ]


def test_problems_are_shown_up_to_a_limit(catalog: Catalog) -> None:
    """The first few, for people."""
    listed(catalog, *"abcd")
    catalog.settle([Failed(row_id, Leg.AZURE, "v1", "X-Y", "z") for row_id in (1, 2, 3)])
    assert len(catalog.problems(2)) == 2


# -------------------------------------------------------------------------------------------------------- identity


def test_a_catalog_belongs_to_one_migration(catalog: Catalog) -> None:
    """Account, bucket and NAS are kept when first given, and compared from then on; "" says nothing."""
    assert catalog.nas_id() == ""
    catalog.claim(account="videos", nas_id="n1")
    catalog.claim(account="videos", bucket="b")
    assert catalog.nas_id() == "n1"
    for given, words in (
        ({"account": "other"}, "the account 'videos', and the settings say 'other'"),
        ({"bucket": "other"}, "the bucket 'b', and the settings say 'other'"),
        ({"nas_id": "other"}, "the NAS 'n1', and the settings say 'other'"),
    ):
        with pytest.raises(EnvironmentFault, match=words) as caught:
            catalog.claim(**given)
        assert caught.value.code == "CATALOG-ELSEWHERE"
    assert catalog.nas_id() == "n1"


def test_a_claim_that_fails_claims_nothing(catalog: Catalog) -> None:
    """All or nothing."""
    catalog.claim(nas_id="n1")
    with pytest.raises(EnvironmentFault):
        catalog.claim(account="new", nas_id="n2")
    catalog.claim(account="another")


def test_whether_a_setting_has_changed(catalog: Catalog) -> None:
    """Since it was last asked; the first time it has not."""
    said = [catalog.has_changed("key template", value) for value in ("a", "a", "b", "b")]
    assert said == [False, False, True, False]


def test_runs_are_written_down(folder: Path) -> None:
    """The newest one, with its end; one that was killed has none."""
    with made(folder) as catalog:
        assert catalog.last_run() is None
        catalog.begin_run("sync")
        catalog.end_run("done")
        verb, began, ended, result = catalog.last_run() or ("", "", "", "")
        assert (verb, result) == ("sync", "done")
        assert "2026-11-23T03:18:30Z" < began < ended
        catalog.begin_run("download")
    with Catalog.open(folder / "storage.sqlite", Clock()) as catalog:
        catalog.end_run("of none that this process began")
        verb, _, ended, result = catalog.last_run() or ("", "", "", "")
        assert (verb, ended, result) == ("download", "", "")
