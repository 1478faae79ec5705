"""The catalog against a model of a dictionary: an account that changes, pages, kills, workers that are late.

The model knows for each blob which version was listed, how far it is, and whether it is gone; the catalog must say the
same after every step, its running sums must be those of its rows, and no two rows may meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import ContainerFailed, Failed, Gone, Leg, Rotten, Seen
from sync_cloud_storage.names import Placement, fold
from tests.unit.catalogs import AT, Clock, account, blob, downloaded, page, sql, uploaded
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sync_cloud_storage.catalog.results import RowResult
    from sync_cloud_storage.model import Blob

CONTAINERS = ("c", "d")
NAMES = ("a", "A", "a/b", "a/B/c", "b", "b.xml", "\u00e9", "e\u0301", "\uff5e", "\U0001f600")
PLACEMENT = Placement(skip_extensions=("xml",))  # keys of their own, so that each row moves


class Row(NamedTuple):
    """What the model knows of a row."""

    etag: str
    azure: int = 0
    s3: int = 0
    is_gone: bool = False
    is_skipped: bool = False

    @property
    def state(self) -> str:
        """The word of the view `blobs`."""
        if self.is_skipped:
            return "skipped"
        if 2 in {self.azure, self.s3}:
            return "failed"
        return "pending" if not self.azure else "uploaded" if self.s3 else "downloaded"


Key = tuple[str, str]
KEYS = st.tuples(st.sampled_from(CONTAINERS), st.sampled_from(NAMES))


class CatalogMachine(RuleBasedStateMachine):
    """Steps that a year of runs may take, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: AbstractContextManager[Path] = in_memory()
        self.folder = self.memory.__enter__()
        self.clock = Clock()
        self.catalog = Catalog.create(self.folder / "storage.sqlite", self.clock)
        self.source: dict[Key, Blob] = {}
        self.rows: dict[Key, Row] = {}
        self.versions = 0

    @initialize()
    def list_account(self) -> None:
        """The account has two containers."""
        account(self.catalog, *CONTAINERS)

    def teardown(self) -> None:
        """Let go of everything."""
        self.catalog.close()
        self.memory.__exit__(None, None, None)

    # ------------------------------------------------------------------------------------------- the source

    @rule(key=KEYS, size=st.integers(0, 1000))
    def put(self, key: Key, size: int) -> None:
        """Somebody writes a blob."""
        self.versions += 1
        self.source[key] = blob(key[1], f"v{self.versions}", size)

    @rule(key=KEYS)
    def delete(self, key: Key) -> None:
        """Somebody deletes a blob."""
        self.source.pop(key, None)

    # ------------------------------------------------------------------------------------------ the listing

    @rule(
        container=st.sampled_from(CONTAINERS), size=st.integers(1, 4), pages=st.integers(1, 9), by_utf16=st.booleans()
    )
    def list_blobs(self, container: str, size: int, pages: int, *, by_utf16: bool) -> None:
        """List some pages, or all, from the start; then ask the source about whatever is suspect."""
        self.catalog.reset_live(lambda name: name == container)
        order = (lambda one: one.name.encode("utf-16-be")) if by_utf16 else (lambda one: one.name)
        blobs = sorted((one for (where, _), one in self.source.items() if where == container), key=order)
        chunks = [blobs[start : start + size] for start in range(0, len(blobs), size)] or [[]]
        for number, chunk in enumerate(chunks[:pages]):
            next_marker = str(number + 1) if number + 1 < len(chunks) else ""
            one = page(chunk, str(number or ""), next_marker, container=container, placement=PLACEMENT)
            outcome = self.catalog.settle_blobs_page(one, is_live=False)
            new = [found for found in chunk if (container, found.name) not in self.rows]
            assert outcome.added == len(new)
            assert outcome.added + outcome.changed + outcome.unchanged == len(chunk)
            for found in chunk:
                self._is(container, found)
        for look in self.catalog.pending_looks(0, 99):
            self._answer(look.id, (look.container, look.blob))
        if pages >= len(chunks):
            mine = {key for key, row in self.rows.items() if key[0] == container and not row.is_gone}
            assert mine == {key for key in self.source if key[0] == container}

    def _is(self, container: str, found: Blob) -> None:
        key = container, found.name
        row = self.rows.get(key)
        if row is None or row.etag != found.etag:
            self.rows[key] = Row(found.etag, is_skipped=found.name.endswith(".xml"))
        elif row.is_gone:
            self.rows[key] = row._replace(is_gone=False, azure=0 if row.azure == 2 else row.azure)

    def _answer(self, row_id: int, key: Key) -> None:
        found = self.source.get(key)
        if found is not None:
            self.catalog.settle([Seen(row_id, found)])
            self._is(key[0], found)
        else:
            self.catalog.settle([Gone(row_id, AT)])
            row = self.rows[key]
            self.rows[key] = row._replace(is_gone=True, azure=row.azure if row.azure == 1 or row.is_skipped else 2)

    @rule(container=st.sampled_from(CONTAINERS))
    def container_is_gone(self, container: str) -> None:
        """Somebody deletes a container; then it is there again, empty."""
        for key in [key for key in self.source if key[0] == container]:
            del self.source[key]
        self.catalog.settle_container_failed(ContainerFailed(container, "AZ-404-CONTAINER", "Gone.", not_found=True))
        account(self.catalog, *CONTAINERS)
        for key, row in self.rows.items():
            if key[0] == container and not row.is_gone:
                azure = row.azure if row.azure == 1 or row.is_skipped else 2
                self.rows[key] = row._replace(is_gone=True, azure=azure)

    # ------------------------------------------------------------------------------------------ the workers

    def _ids(self) -> dict[int, Key]:
        return {
            one: (container, name) for one, container, name in sql(self.folder, "SELECT id, container, blob FROM sync")
        }

    @rule(data=st.data(), is_late=st.booleans())
    def download(self, data: st.DataObject, *, is_late: bool) -> None:
        """Some downloads arrive, some fail; late ones are about a version that is no more."""
        results: list[RowResult] = []
        for task in self.catalog.pending_downloads(0, 99):
            key = task.container, task.blob
            assert self.rows[key].etag == task.etag
            kind = data.draw(st.sampled_from(["done", "failed", "lost"]))
            etag = "v0" if is_late else task.etag
            if kind == "done":
                results.append(downloaded(task.id, etag))
            elif kind == "failed":
                results.append(Failed(task.id, Leg.AZURE, etag, "AZ-X", "y"))
            if kind != "lost" and not is_late:
                self.rows[key] = self.rows[key]._replace(azure=1 if kind == "done" else 2)
        self.catalog.settle(data.draw(st.permutations(results)))

    @rule(data=st.data(), is_late=st.booleans())
    def upload(self, data: st.DataObject, *, is_late: bool) -> None:
        """Some uploads arrive, some fail, some find a rotten file."""
        results: list[RowResult] = []
        for task in self.catalog.pending_uploads(0, 99, 500):
            key = task.container, task.blob
            etag = "v0" if is_late else task.etag
            kind = data.draw(st.sampled_from(["done", "failed", "rotten", "lost"]))
            if kind == "done":
                results.append(uploaded(task.id, etag))
            elif kind == "failed":
                results.append(Failed(task.id, Leg.S3, etag, "S3-X", "y"))
            elif kind == "rotten":
                results.append(Rotten(task.id, "NAS-ROT", "y", etag))
            if not is_late:
                row = self.rows[key]
                self.rows[key] = row._replace(
                    azure=0 if kind == "rotten" else 1, s3={"done": 1, "failed": 2}.get(kind, 0)
                )
        self.catalog.settle(data.draw(st.permutations(results)))

    @rule(key=KEYS)
    def look(self, key: Key) -> None:
        """A worker found another version, or none, and asked what the blob is."""
        for row_id, known in self._ids().items():
            if known == key:
                self._answer(row_id, key)

    @rule(leg=st.sampled_from([Leg.AZURE, Leg.S3, None]))
    def retry(self, leg: Leg | None) -> None:
        """A person wants failed rows to be tried again."""
        count = 0
        for key, row in self.rows.items():
            again = row
            if leg is not Leg.S3 and row.azure == 2 and not row.is_gone:
                again, count = again._replace(azure=0), count + 1
            if leg is not Leg.AZURE and row.s3 == 2:
                again, count = again._replace(s3=0), count + 1
            self.rows[key] = again
        assert self.catalog.retry_failed(leg) == count

    @rule()
    def start_again(self) -> None:
        """The run ends, and another one begins."""
        self.catalog.close()
        self.catalog = Catalog.open(self.folder / "storage.sqlite", self.clock)

    # -------------------------------------------------------------------------------------- always

    @invariant()
    def says_what_is_so(self) -> None:
        """Version, state and whether it is gone, of every blob that was ever listed."""
        rows = sql(self.folder, "SELECT container, blob, etag, state, gone_at_utc IS NOT NULL FROM blobs")
        assert {(container, name): rest for container, name, *rest in rows} == {
            key: [row.etag, row.state, row.is_gone] for key, row in self.rows.items()
        }

    @invariant()
    def sums_are_right(self) -> None:
        """The running ones are those of the rows, and they add up; also those of each container."""
        totals = self.catalog.totals()
        assert totals == self.catalog.recount()
        assert totals.blobs == len(self.rows)
        parts = totals.skipped + totals.failed + totals.pending + totals.downloaded + totals.uploaded
        assert parts == totals.blobs
        for container, blobs, size in sql(self.folder, "SELECT name, blobs, bytes FROM containers"):
            rows = "SELECT count(*), coalesce(sum(size_bytes), 0) FROM sync WHERE container = ?"
            assert [(blobs, size)] == sql(self.folder, rows, container)

    @invariant()
    def nobody_meets(self) -> None:
        """Each row that moves has a path and a key of its own."""
        rows = sql(self.folder, "SELECT s3_key, nas_path FROM blobs WHERE state <> 'skipped'")
        assert len({fold(path) for _, path in rows}) == len(rows)
        assert len({key for key, _ in rows}) == len(rows)

    @invariant()
    def is_whole(self) -> None:
        """SQLite agrees."""
        assert self.catalog.check() == []


TestCatalog = CatalogMachine.TestCase
TestCatalog.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
