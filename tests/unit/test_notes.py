"""What is noted when results are held beside their tasks: manifests, what was adopted, what rots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.model import Check, Checked, Download, Downloaded, Entry, Stopped, Upload, Uploaded
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.notes import ENTRIES_AT_ONCE, FLUSH_EVERY_S, FOUND_KEPT, Adopted, Notes
from tests.unit.catalogs import AT, CRC, downloaded, listed, made
from tests.unit.small_nas import ID, in_memory, ready
from tests.unit.telling import Time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sync_cloud_storage.catalog import Catalog

TASK = Download(1, "c", "a/b", 10, "v1", "bWQ1", "c/a%d/b")
DONE = Downloaded(1, "v1", CRC, "bWQ1", 10, AT, attested=True)
ENTRY = Entry("c", "a/b", "v1", 10, CRC, "bWQ1", attested=True, nas_path="c/a%d/b", at_utc=AT)


class Manifest:
    """Stands in for a manifest: keeps what it is given, and fails when a test wants it to."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.is_full = False

    def _say(self, word: Any) -> None:
        if self.is_full:
            raise EnvironmentFault("NAS-FULL", "It is full.", "Make room.")
        self.told.append(word)

    def add(self, entries: list[Entry]) -> None:
        """Take some."""
        self._say(list(entries))

    def flush(self) -> None:
        """Flush now."""
        self._say("flush")

    def flush_soon(self) -> None:
        """Flush some time."""
        self._say("flush soon")

    def close(self) -> None:
        """End."""
        self._say("close")


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    """Make a catalog."""
    with in_memory() as folder, made(folder) as opened:
        yield opened


@pytest.fixture
def manifest() -> Manifest:
    """Make a manifest."""
    return Manifest()


def over(*tasks: Any) -> list[tuple[Any, object]]:
    """Tasks that are over, as the run has them."""
    return [(task, object()) for task in tasks]


def test_what_was_downloaded_is_told(catalog: Catalog, manifest: Manifest) -> None:
    """Each download is an entry: names from the task, evidence from the result."""
    notes = Notes(catalog, manifest)  # type: ignore[arg-type]
    assert notes.take([DONE], over(TASK)) is None
    assert manifest.told == [[ENTRY]]
    assert notes.on_nas == Adopted()


def test_what_was_there_is_counted_and_told(catalog: Catalog, manifest: Manifest) -> None:
    """A blob of which nothing had to be moved was adopted, on either leg; it has its entry all the same."""
    notes = Notes(catalog, manifest)  # type: ignore[arg-type]
    other = TASK._replace(id=2, size_bytes=5)
    notes.take([DONE._replace(bytes_moved=0), DONE._replace(id=2)], over(TASK, other))
    assert notes.on_nas == Adopted(1, 10)
    assert len(manifest.told[0]) == 2
    sent = Upload(3, "c", "b", "v1", 7, CRC, "c/b", "c/b", "", "")
    notes.take([Uploaded(3, "v1", "e", CRC, "", 0, AT)], over(sent))
    notes.take([Uploaded(3, "v1", "e", CRC, "", 7, AT)], over(sent))
    assert notes.in_s3 == Adopted(1, 7)
    assert len(manifest.told) == 1


def test_a_verb_that_has_no_manifest(catalog: Catalog) -> None:
    """Nothing is written down where no manifest is given, and all else is noted."""
    notes = Notes(catalog, None)
    notes.take([DONE._replace(bytes_moved=0)], over(TASK))
    notes.tell_all(lambda: True)
    notes.flush_when_due()
    notes.close()
    assert notes.on_nas == Adopted(1, 10)
    assert not catalog.has_told_all()


def test_a_result_of_another_kind_is_nothing(catalog: Catalog, manifest: Manifest) -> None:
    """A download that failed, and a check that found all well, are not told."""
    notes = Notes(catalog, manifest)  # type: ignore[arg-type]
    check = Check(4, "c", "b", 7, CRC, "c/b", "", deep=True, fetch_again=True)
    notes.take([Checked(4, "", None, fetch_again=True)], over(TASK, check))
    assert (manifest.told, notes.found) == ([[]], [])


def test_rot_has_a_name(catalog: Catalog) -> None:
    """Files that a scrub found wrong are named, the first few of them; those of other checks are in the catalog."""
    notes = Notes(catalog, None)
    checks = [Check(number, "c", f"b{number}", 7, CRC, "c/b", "") for number in range(FOUND_KEPT + 5)]
    wrong = [Checked(one.id, "NAS-ROT: It rots: badly.", None, fetch_again=one.id != 3) for one in checks]
    notes.take(wrong, over(*checks))
    assert len(notes.found) == FOUND_KEPT
    assert notes.found[0] == ("c", "b0", "azure", "NAS-ROT", "It rots: badly.")
    assert notes.found[3].blob == "b4"


# -------------------------------------------------------------------------------------------------- what came before


def test_what_came_before_manifests_is_told_once(catalog: Catalog, manifest: Manifest) -> None:
    """All that is on the NAS is told in helpings and flushed before the catalog says so; then never again."""
    listed(catalog, *(f"{number:05}" for number in range(ENTRIES_AT_ONCE + 5)))
    catalog.settle([downloaded(row_id) for row_id in range(1, ENTRIES_AT_ONCE + 4)])
    notes = Notes(catalog, manifest)  # type: ignore[arg-type]
    notes.tell_all(lambda: True)
    assert [len(word) for word in manifest.told] == [ENTRIES_AT_ONCE, 3, len("flush")]
    assert catalog.has_told_all()
    notes.tell_all(lambda: True)
    assert len(manifest.told) == 3


def test_telling_that_is_stopped_begins_anew(catalog: Catalog, manifest: Manifest) -> None:
    """Half of it is not all of it."""
    listed(catalog, "a")
    catalog.settle([downloaded(1)])
    Notes(catalog, manifest).tell_all(lambda: False)  # type: ignore[arg-type]
    assert not catalog.has_told_all()


# ------------------------------------------------------------------------------------------------------------ a fault


def test_flushed_now_and_then(catalog: Catalog, manifest: Manifest) -> None:
    """Every few seconds, however often it is asked; and closed at the end."""
    clock = Time()
    notes = Notes(catalog, manifest, clock)  # type: ignore[arg-type]
    for _ in range(25):
        clock.pass_(FLUSH_EVERY_S / 10)
        notes.flush_when_due()
    notes.close()
    assert manifest.told == ["flush soon", "flush soon", "close"]


@pytest.mark.parametrize("act", [Notes.flush_when_due, Notes.close], ids=["now and then", "close"])
def test_a_fault_beside_the_work_is_raised(catalog: Catalog, manifest: Manifest, act: Callable[[Notes], None]) -> None:
    """A manifest that could not be flushed ends the run; all has to be told once more, and nothing is told now."""
    catalog.told_all(complete=True)
    clock = Time()
    notes = Notes(catalog, manifest, clock)  # type: ignore[arg-type]
    clock.pass_(FLUSH_EVERY_S)
    manifest.is_full = True
    with pytest.raises(EnvironmentFault):
        act(notes)
    assert not catalog.has_told_all()
    act(notes)


def test_a_fault_with_results_stops_the_run(catalog: Catalog, manifest: Manifest) -> None:
    """Results are as good as without their entries: the run is told to stop, and a later one tells all."""
    catalog.told_all(complete=True)
    notes = Notes(catalog, manifest)  # type: ignore[arg-type]
    manifest.is_full = True
    assert notes.take([DONE], over(TASK)) == Stopped("NAS-FULL", "It is full.", "Make room.")
    assert not catalog.has_told_all()
    assert notes.take([DONE], over(TASK)) is None


def test_a_manifest_of_the_nas(catalog: Catalog) -> None:
    """With a real NAS what is noted can be read there at once."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as nas:
        notes = Notes(catalog, nas.manifest(AT))
        notes.take([DONE], over(TASK))
        assert list(nas.manifests()) == [ENTRY]
        notes.close()
