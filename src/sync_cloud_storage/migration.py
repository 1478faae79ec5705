"""`Migration`: puts the parts together. The library's face, one method a verb; `cli/` calls nothing else."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sync_cloud_storage import signing
from sync_cloud_storage.bucket import Delivered
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.endpoints import Endpoints
from sync_cloud_storage.errors import EnvironmentFault, UsageFault
from sync_cloud_storage.feeds import Feeds
from sync_cloud_storage.ledger import open_ledger, signing_key_of
from sync_cloud_storage.model import Leg
from sync_cloud_storage.nas import Nas, create_marker
from sync_cloud_storage.progress import InitReport, LastRun, Outcome, StatusReport
from sync_cloud_storage.s3.batch import write_manifest
from sync_cloud_storage.settings import write_templates
from sync_cloud_storage.work import PROBLEMS_SHOWN, Around, Work, workers_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sync_cloud_storage.ledger import Ledger
    from sync_cloud_storage.progress import Progress
    from sync_cloud_storage.settings import Need, Settings
    from sync_cloud_storage.work import Stop

_BEGUN, _RECALLED = "begun", "manifests read"  # phases of a rebuild


class Migration:
    """One account, one NAS, one bucket, one catalog.

    Args:
        settings: All of them.
        listener: Is told how it goes, a few times a second.
        stop: Set by a person who wants the run to end cleanly.
    """

    def __init__(self, settings: Settings, listener: Callable[[Progress], None], stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._around = Around(settings, Endpoints(settings), listener, stop)

    # ------------------------------------------------------------------------------------------------- verbs

    def init(self) -> InitReport:
        """Make catalog, signing key, NAS marker and the two settings files, each only where it is missing."""
        settings = self._settings
        names = (".env", "scs.toml")
        had = [name for name in names if (settings.folder / name).exists()]
        written = write_templates(settings.folder)
        is_new = not settings.db_file.exists()
        marker, key = "", signing_key_of(settings.db_file)
        with Catalog.create(settings.db_file, _now) as catalog:
            key_is_new = signing.make(key)
            if settings.media_folder is not None:
                marker = self._mark(settings.media_folder, catalog.nas_id())
                catalog.claim(nas_id=marker)  # account and bucket when they have answered: a name may be mistyped
        return InitReport(
            str(settings.db_file),
            is_new,
            marker,
            tuple(map(str, written)),
            tuple(had),
            settings.missing("azure", "nas", "target"),
            str(key),
            key_is_new,
            signing.Signer(key).public_key,
        )

    def _mark(self, folder: Path, known: str) -> str:
        if not known:
            return create_marker(folder, uuid.uuid4().hex)
        with Nas.open(folder, known) as nas:  # an empty mount point must not become this catalog's NAS
            return nas.id

    def sync(self, what: str, *, everything: bool, containers: tuple[str, ...]) -> Outcome:
        """List the account into the catalog."""
        with self._working("sync", azure=True) as work:
            if what in {"containers", "both"}:
                work.list_containers()
            work.only(containers)
            if everything:
                work.list_again()
            if what in {"blobs", "both"}:
                work.drive(Feeds(looks=work.looks(), listings=work.listings()))
            return work.outcome()

    def reset_live(self) -> int:
        """Set live containers back to pending; how many."""
        with Catalog.open(self._settings.db_file, _now) as catalog:
            return catalog.reset_live(self._settings.is_live)

    def download(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome:
        """Bring pending blobs to the NAS."""
        with self._working("download", azure=True, nas=True) as work:
            work.only(containers)
            work.prepare(retry_failed=retry_failed, leg=Leg.AZURE)
            work.drive(Feeds(downloads=work.downloads()))
            return work.outcome()

    def upload(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome:
        """Bring downloaded files to S3."""
        with self._working("upload", nas=True, target=True) as work:
            work.only(containers)
            work.prepare(retry_failed=retry_failed, leg=Leg.S3)
            work.drive(Feeds(uploads=work.uploads()))
            return work.outcome()

    def run(self, *, retry_failed: bool, watch_s: float | None, containers: tuple[str, ...]) -> Outcome:
        """List what may be new, download and upload, all at the same time; with *watch_s* again and again."""
        with self._working("run", azure=True, nas=True, target=True) as work:
            work.list_containers()
            work.only(containers)
            work.prepare(retry_failed=retry_failed)
            while True:
                work.catalog.reset_live(self._settings.is_live)
                work.drive(
                    Feeds(
                        looks=work.looks(), listings=work.listings(), uploads=work.uploads(), downloads=work.downloads()
                    )
                )
                if watch_s is None or work.rest(watch_s):
                    return work.outcome()
                work.list_containers()

    def xcheck(
        self,
        *,
        deep: bool,
        containers: tuple[str, ...],
        nas: bool = True,
        inventory: Path | None = None,
        checksums: tuple[Path, ...] = (),
    ) -> Outcome:
        """Hold a fresh listing, the NAS (not without *nas*) and S3 against the catalog.

        *inventory* is the manifest of an S3 Inventory, in place of a listing of the bucket; *checksums* are completion
        reports of S3 Batch Operations. Both were copied to this machine.
        """
        if inventory is not None or checksums:
            self._settings.require("azure", *(("nas",) if nas else ()), "target")
        delivered = Delivered.opened(inventory, checksums, self._settings.target.bucket)
        with self._working("xcheck", azure=True, nas=nas, target=True) as work:
            work.list_containers()
            work.only(containers)
            work.list_again()
            bucket = work.bucket(delivered)
            work.drive(Feeds(looks=work.looks(), listings=work.listings(), objects=bucket.look()))
            bucket.hear()
            work.drive(Feeds(checks=work.checks(deep=deep), files=work.files() if nas and not deep else None))
            return work.outcome(checked=True)._replace(strangers=bucket.strangers(), notes=bucket.notes())

    def batch_manifest(self, file: Path) -> int:
        """Write the manifest of a job *Compute checksum* for all objects that are not proven; how many there are."""
        with Catalog.read(self._settings.db_file) as catalog:
            return write_manifest(file, catalog.bucket(), catalog.unproven_objects())

    def scrub(self, *, part: int, parts: int, containers: tuple[str, ...]) -> Outcome:
        """Read files on the NAS again, of *parts* slices the one numbered *part*; neither cloud is asked."""
        with self._working("xcheck", nas=True) as work:
            work.only(containers)
            work.drive(Feeds(checks=work.scrubs(part, parts)))
            return work.outcome(checked=True)

    def rebuild(self) -> Outcome:
        """Make a catalog where it was lost, out of the account, the manifests on the NAS, the files and the objects."""
        self._settings.require("azure", "nas", "target")
        self._make_room()
        with self._working("rebuild", azure=True, nas=True, target=True) as work:
            catalog = work.catalog
            if catalog.phase() != _RECALLED:
                catalog.set_phase(_BEGUN)
                work.list_containers()
                work.drive(Feeds(looks=work.looks(), listings=work.listings()))
                if work.recall():
                    catalog.set_phase(_RECALLED)
            work.prepare(retry_failed=False)
            work.drive(Feeds(uploads=work.uploads(), downloads=work.downloads()))
            if not self._stop.is_set():
                catalog.set_phase("")
            return work.outcome()

    def _make_room(self) -> None:
        """See that there is a catalog to fill, and that it is no other that would be lost."""
        settings = self._settings
        assert settings.media_folder is not None  # noqa: S101 - for the type checker: it was required
        with Nas.open(settings.media_folder) as nas:  # first: without its NAS nothing can be rebuilt
            nas_id = nas.id
        if not self._can_be_filled():
            Catalog.set_aside(settings.db_file, _now)
            with Catalog.create(settings.db_file, _now) as catalog:
                catalog.claim(nas_id=nas_id)

    def _can_be_filled(self) -> bool:
        """Whether the catalog is a new one, or one that a rebuild was filling; False: lost or damaged.

        Raises:
            UsageFault: `CATALOG-THERE`.
        """
        file = self._settings.db_file
        try:
            with Catalog.read(file) as catalog:
                if catalog.phase() or catalog.is_untouched():
                    return True
                if catalog.damage():
                    return False
        except EnvironmentFault as fault:
            if fault.code in {"CATALOG-MISSING", "CATALOG-CORRUPT"}:
                return False
            if fault.code != "CATALOG-OLDER":
                raise
            if Catalog.is_damaged(file):
                return False
        raise UsageFault(
            "CATALOG-THERE",
            f"The catalog '{file}' is there and is not damaged, so there is nothing to rebuild.",
            "Go on with it: scs run. To have a new one all the same: scs clean, then scs rebuild.",
        )

    def status(self) -> StatusReport:
        """What the catalog says, without touching it."""
        with Catalog.read(self._settings.db_file) as catalog:
            return StatusReport(
                str(self._settings.db_file),
                catalog.totals(),
                catalog.container_counts(),
                LastRun(*last) if (last := catalog.last_run()) else None,
                tuple(catalog.problems(PROBLEMS_SHOWN)),
            )

    def report(self) -> AbstractContextManager[Ledger]:
        """What the catalog says of every blob, at one moment; nothing is touched."""
        return open_ledger(self._settings.db_file, _now, self._stop)

    def clean(self) -> Path:
        """Forget the catalog; where its backup is."""
        return Catalog.forget(self._settings.db_file, _now)

    # ------------------------------------------------------------------------------------------------ inside

    @contextmanager
    def _working(self, verb: str, *, azure: bool = False, nas: bool = False, target: bool = False) -> Iterator[Work]:
        settings = self._settings
        wanted: tuple[tuple[Need, bool], ...] = (("azure", azure), ("nas", nas), ("target", target))
        settings.require(*(name for name, is_needed in wanted if is_needed))
        settings.apply_environment()
        with ExitStack() as stack:
            executor = stack.enter_context(closing(workers_for(settings)))
            catalog = stack.enter_context(Catalog.open(settings.db_file, _now))
            folder = settings.media_folder if nas else None
            nas_door = stack.enter_context(Nas.open(folder, catalog.nas_id())) if folder is not None else None
            if nas_door is not None:
                nas_door.hold()
            self._around.ends.greet(azure=azure, s3=target)
            ends = self._around.ends
            catalog.claim(
                account=ends.account_name if azure else "",
                bucket=ends.bucket_name if target else "",
                nas_id=nas_door.id if nas_door else "",
            )
            work = Work(verb, self._around, executor, catalog, nas_door, azure=azure, target=target)
            catalog.begin_run(verb)
            result = "ended by an error"
            try:
                yield work
                result = f"stopped by {self._stop.signal_name}" if self._stop.is_set() else "done"
            except EnvironmentFault as fault:
                result = fault.sentence
                raise
            finally:
                try:
                    work.close()
                finally:
                    catalog.end_run(result)


def _now() -> datetime:
    return datetime.now(UTC)
