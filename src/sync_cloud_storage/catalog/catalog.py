"""The catalog's verbs.

Each public method is one transaction: when it returns, what it did is durable; when it raises, nothing was done
(`together` makes one of several). All
raise `EnvironmentFault` when the file cannot be used (`CATALOG-CORRUPT`, `CATALOG-IO`) and `CatalogBusy` when another
program holds it for longer than half a minute. One process, one thread.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import containers, objects, opening, pages, results, state, sums, work
from sync_cloud_storage.catalog.balances import Book
from sync_cloud_storage.catalog.manifests import ManifestVerbs
from sync_cloud_storage.catalog.state import utc_text
from sync_cloud_storage.model import Attest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.catalog.lock import Lock
    from sync_cloud_storage.catalog.results import RowResult
    from sync_cloud_storage.model import (
        BlobsPage,
        Check,
        ContainerFailed,
        ContainersPage,
        ContainerStatus,
        Download,
        Leg,
        ListBlobs,
        ListContainers,
        ListObjects,
        Look,
        ObjectsPage,
        PageOutcome,
        Problem,
        Totals,
        Upload,
    )


class Catalog(ManifestVerbs):
    """A catalog that is open. Made by `create`, `open` or `read`; a context manager.

    Attributes:
        book: The same, read as a book of accounts.
    """

    def __init__(self, database: Database, lock: Lock | None, now: Callable[[], datetime]) -> None:
        self._database = database
        self._lock = lock
        self._now = now
        self._run: int | None = None
        self.book = Book(database)

    # ------------------------------------------------------------------------------------------- open and close

    @classmethod
    def create(cls, path: Path, now: Callable[[], datetime], *, host: str = "") -> Self:
        """Make a catalog, or open the one that is there.

        Args:
            path: The file.
            now: The time, aware, in UTC.
            host: Name of this machine, which a second run will read; the kernel's own when "".

        Raises:
            CatalogBusy: Another run holds it.
            EnvironmentFault: `CATALOG-` MISSING, NETWORK, CORRUPT, FOREIGN, NEWER, IO; the file is then as it was.
        """
        return cls(*opening.create(_real(path), now, host or os.uname().nodename), now)

    @classmethod
    def open(cls, path: Path, now: Callable[[], datetime], *, host: str = "") -> Self:
        """Open a catalog, alone. One of 2019 or of an older version is taken over, after a backup beside it.

        Raises:
            As `create`.
        """
        return cls(*opening.open_to_write(_real(path), now, host or os.uname().nodename), now)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a catalog to look at it, while another process may write.

        Raises:
            EnvironmentFault: As `create`, and `CATALOG-OLDER`.
        """
        return cls(opening.open_to_read(_real(path)), None, lambda: datetime.fromtimestamp(0, UTC))

    @staticmethod
    def is_damaged(path: Path) -> bool:
        """Whether SQLite finds a catalog, of whatever version, damaged. Looks at every page, however long it takes."""
        return opening.is_damaged(_real(path))

    @staticmethod
    def forget(path: Path, now: Callable[[], datetime], *, host: str = "") -> Path:
        """Take a catalog away, after a backup; where that is.

        Raises:
            As `create`; a damaged one is renamed instead.
        """
        return opening.forget(_real(path), now, host or os.uname().nodename)

    @staticmethod
    def set_aside(path: Path, now: Callable[[], datetime], *, host: str = "") -> Path | None:
        """Make room for a new catalog where the old one is damaged or lost; where what was left of it is, if anything.

        Raises:
            As `forget`.
        """
        return opening.set_aside(_real(path), now, host or os.uname().nodename)

    def close(self) -> None:
        """Let go of the file. Needed for nothing but to be quick the next time; safe to call twice."""
        if self._lock is None:
            self._database.close()
            return
        opening.close(self._database)
        self._lock.release()
        self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------- whose it is

    def claim(self, *, account: str = "", bucket: str = "", nas_id: str = "") -> None:
        """Tie the catalog to these for good, or compare them with what it is tied to; "" says nothing.

        Raises:
            EnvironmentFault: `CATALOG-ELSEWHERE`, with both names.
        """
        with self._database.atomic():
            state.claim(self._database, account=account, bucket=bucket, nas_id=nas_id)

    def has_changed(self, key: str, value: str) -> bool:
        """Say whether *value* is another one than at the last call, and remember it; the first time it is not."""
        with self._database.atomic():
            known = state.get(self._database, key)
            if value != known:
                state.put(self._database, key, value)
            return bool(known) and value != known

    def identity(self) -> tuple[str, str, str]:
        """Account, bucket and NAS that it is tied to, "" for none yet."""
        account, bucket, nas_id = (state.get(self._database, key) for key in ("account", "bucket", "nas_id"))
        return account, bucket, nas_id

    def nas_id(self) -> str:
        """The NAS that it is tied to, "" for none yet."""
        return state.get(self._database, "nas_id")

    def bucket(self) -> str:
        """Name of the bucket that it is tied to, "" for none yet."""
        return state.get(self._database, "bucket").partition(" at ")[0]  # behind it: where, if that is not AWS

    def begin_run(self, verb: str) -> None:
        """Write down that a verb has begun."""
        with self._database.atomic():
            self._run = state.begin_run(self._database, verb, self._at())

    def end_run(self, result: str) -> None:
        """Write down how it ended, in a word or a sentence."""
        with self._database.atomic():
            state.end_run(self._database, self._run, result, self._at())

    def last_run(self) -> tuple[str, str, str, str] | None:
        """(verb, began, ended, result) of the newest run; the last two are "" while it goes on, or was killed."""
        return state.last_run(self._database)

    # ---------------------------------------------------------------------------------------------- containers

    def begin_containers_pass(self) -> ListContainers:
        """Begin to list the account, or go on with a pass that was interrupted less than an hour ago."""
        with self._database.atomic():
            return containers.begin_pass(self._database, self._now())

    def settle_containers(self, page: ContainersPage, skip: Callable[[str], str]) -> None:
        """Write a page of the account, and where its listing goes on.

        After the last page, containers that the pass did not show are pending: their own listing will say that they are
        gone.

        Args:
            page: As the account gave it.
            skip: Why a container of this name is not listed, "" when it is.
        """
        with self._database.atomic():
            containers.settle(self._database, page, skip, self._at())

    def settle_container_failed(self, failed: ContainerFailed) -> None:
        """Write that a container could not be listed: it stays pending, or is gone with all of its blobs."""
        with self._database.atomic():
            containers.settle_failed(self._database, failed, self._at())

    def pending_containers(self, limit: int, after: str = "") -> list[ListBlobs]:
        """Containers to list, by name, each from where its listing stands."""
        return containers.pending(self._database, limit, after)

    def reset_live(self, is_live: Callable[[str], bool]) -> int:
        """Set live containers back to pending, to be listed from the start; how many."""
        with self._database.atomic():
            return containers.reset(self._database, is_live)

    def has_container(self, name: str) -> bool:
        """Say whether the catalog knows this container."""
        return containers.has(self._database, name)

    # --------------------------------------------------------------------------------------------------- blobs

    def together(self) -> AbstractContextManager[None]:
        """One transaction for all that is called inside: it is durable, or was not done, when this is left."""
        return self._database.atomic()

    def settle_blobs_page(self, page: BlobsPage, *, is_live: bool) -> PageOutcome:
        """Write a page of a container, and where its listing goes on.

        Safe to call again with the same page. The outcome of the last page has the suspects of the whole listing, at
        most 100,000; `pending_looks` has all.

        Args:
            page: Blobs, and where each goes.
            is_live: The container is to be 100 (live) after its last page, not 200.
        """
        with self._database.atomic():
            return pages.settle(self._database, page, self._at(), is_live=is_live)

    def pending_looks(self, after_id: int, limit: int) -> list[Look]:
        """Rows that a listing, which has ended, did not show, and about which the source has not answered, by id."""
        return work.pending_looks(self._database, after_id, limit)

    def pending_downloads(
        self, after_id: int, limit: int, *, may_replace: bool = False, attest: Attest = Attest.NONE
    ) -> list[Download]:
        """Blobs to fetch with a greater id than *after_id*, by id; *may_replace*: also files that we did not write.

        *attest*: of which of them the source is to give its own checksums.
        """
        return work.pending_downloads(self._database, after_id, limit, may_replace=may_replace, attest=attest)

    def pending_uploads(
        self, after_id: int, limit: int, multipart_from_bytes: int, *, may_replace: bool = False
    ) -> list[Upload]:
        """Files to send with a greater id than *after_id*, by id.

        From *multipart_from_bytes* on it is written down that an upload may be open: if nothing is heard of it, the
        next task has the upload id "?". *may_replace*: also objects that we did not write.
        """
        return work.pending_uploads(self._database, after_id, limit, multipart_from_bytes, may_replace=may_replace)

    def everything(self, after_id: int, limit: int, *, deep: bool = False) -> list[Check]:
        """Rows that claim a file or an object with a greater id than *after_id*, by id."""
        return work.everything(self._database, after_id, limit, deep=deep)

    def to_read(self, after_id: int, limit: int, *, part: int = 1, parts: int = 1) -> list[Check]:
        """Files to read again with a greater id than *after_id*, by id; of *parts* slices the one numbered *part*."""
        return work.to_read(self._database, after_id, limit, part=part, parts=parts)

    def begin_objects(self) -> list[ListObjects]:
        """Forget what the bucket was seen to hold; how to list it anew."""
        with self._database.atomic():
            return objects.begin(self._database)

    def settle_objects(self, page: ObjectsPage) -> None:
        """Write objects that the bucket was seen to hold."""
        with self._database.atomic():
            objects.settle(self._database, page)

    def prove_by_etag(self, after_id: int, shown_utc: str = "", what: str = "a listing") -> int:
        """Prove some rows behind *after_id* by what *what* showed then ("": now); the last of them, 0 at the end."""
        with self._database.atomic():
            return objects.prove_by_etag(self._database, after_id, shown_utc or self._at(), what)

    def files(self, after_id: int, limit: int) -> list[tuple[int, str, str, int]]:
        """Rows of which only the file is to be looked at: (id, container, NAS path, size in bytes)."""
        return objects.files(self._database, after_id, limit)

    def count_proven(self, containers: Sequence[str]) -> int:
        """Rows that are proven and right in every place; of *containers* only, where any is named."""
        return objects.count_proven(self._database, containers)

    def add_objects(self, seen: Sequence[tuple[str, int, str]]) -> None:
        """Write objects that an inventory shows: (key, size in bytes, ETag)."""
        with self._database.atomic():
            objects.add(self._database, seen)

    def tell_objects(self, told: Sequence[tuple[str, str, str, str, str]]) -> int:
        """Write checksums that reports tell (three forms of a key, ETag, checksum); how many are of objects as seen."""
        with self._database.atomic():
            return objects.tell(self._database, told)

    def objects_seen(self) -> int:
        """How many objects the bucket was seen to hold."""
        return objects.count(self._database)

    def strangers(self, shown: int) -> tuple[int, list[str]]:
        """Objects that no blob accounts for: how many, and the first *shown* of them."""
        return objects.strangers(self._database, shown)

    def unproven_objects(self) -> Iterator[tuple[str, str]]:
        """(key, version) of each object that is not proven at level 4; versions are "" unless all of them have one."""
        return objects.unproven(self._database)

    def settle(self, outcomes: Sequence[RowResult]) -> int:
        """Write what workers gave back; how many rows it changed.

        A result of a version that the row no longer has changes nothing, nor does one that comes twice.
        """
        with self._database.atomic():
            return results.settle(self._database, outcomes, self._at())

    def retry_failed(self, leg: Leg | None, containers: Sequence[str] = ()) -> int:
        """Set failed rows back to pending, on one leg or on both (None); how many.

        Not those that a further attempt cannot help: clashes of keys, names that cannot be moved, blobs that are gone.
        """
        with self._database.atomic():
            return work.retry_failed(self._database, leg, self._at(), containers)

    def redo_mismatched(self, containers: Sequence[str] = ()) -> int:
        """Set rows back to pending whose file or object a check found wrong, on that leg only; how many."""
        with self._database.atomic():
            return work.redo_mismatched(self._database, self._at(), containers)

    def is_pending_download(self, row_id: int) -> bool:
        """Say whether this row is still to be fetched."""
        return work.is_pending_download(self._database, row_id)

    # ---------------------------------------------------------------------------------------------------- sums

    def totals(self) -> Totals:
        """The catalog in sums; a fraction of a millisecond at any size."""
        return sums.totals(self._database)

    def recount(self) -> Totals:
        """The same, counted row by row."""
        return sums.recount(self._database)

    def container_counts(self) -> tuple[tuple[ContainerStatus, int], ...]:
        """How many containers have each status that occurs."""
        return sums.container_counts(self._database)

    def moving(self, containers: Sequence[str]) -> int:
        """How many blobs of these containers are not skipped."""
        return sums.moving(self._database, containers)

    def problems(self, limit: int) -> list[Problem]:
        """The first *limit* things that did not go well."""
        return sums.problems(self._database, limit)

    def damage(self) -> str:
        """What is damaged in the file, "" for nothing. Looks at every page and index, however long it takes."""
        return sums.damage(self._database)

    def check(self) -> list[str]:
        """Look at every page, index and sum, however long it takes; what is wrong, [] when nothing is."""
        return sums.check(self._database)

    def snapshot(self) -> AbstractContextManager[None]:
        """All that is read inside is of one moment, while a run goes on."""
        return self._database.snapshot()

    def _at(self) -> str:
        return utc_text(self._now())


def _real(path: Path) -> Path:
    """The file itself, whatever link leads there: its WAL and its lock lie beside it."""
    return Path(os.path.realpath(path))
