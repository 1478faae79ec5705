"""`Work`: one verb while it works. It has the catalog, the ends and the workers, and keeps what was done so far.

`migration.py` says what a verb does; here is what all verbs need for it: feeds, rules, access that is renewed, the rate
of the hour, and somebody who is told how it goes.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sync_cloud_storage.bucket import Bucket
from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.executors.processes import Processes
from sync_cloud_storage.feeds import Containers, Feeds, FileSizes, Listings, Rows
from sync_cloud_storage.model import Leg, Problem
from sync_cloud_storage.notes import Notes
from sync_cloud_storage.progress import Meter, Outcome
from sync_cloud_storage.run import Rules, Run
from sync_cloud_storage.tally import Tally
from sync_cloud_storage.units import print_duration
from sync_cloud_storage.worker import Rate, Renew, Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.bucket import Delivered
    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.endpoints import Endpoints
    from sync_cloud_storage.model import Totals, Upload
    from sync_cloud_storage.nas import Nas
    from sync_cloud_storage.progress import Progress
    from sync_cloud_storage.settings import Settings
    from sync_cloud_storage.worker import Message

LANES_AUTO = 128  # requests in flight over all workers; they begin with fewer and learn
WORKERS_MOST = 8
TICK_S = 0.25
RENEW_EVERY_S = 30.0
REST_STEP_S = 1.0
RECALL_AT_ONCE = 10_000  # entries of manifests, in one transaction
PROBLEMS_SHOWN = 20


class Stop(Protocol):
    """Says whether, and by which signal, a person wants the run to stop."""

    signal_name: str

    def is_set(self) -> bool:
        """Whether to stop."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait *timeout* seconds at most for that; whether to stop."""
        ...


class Around(NamedTuple):
    """What every verb has around it."""

    settings: Settings
    ends: Endpoints
    listener: Callable[[Progress], None]
    stop: Stop


def workers_for(settings: Settings) -> Processes:
    """As many workers as a person said, or as there are processors. To be called before anything is opened."""
    return Processes(settings.transfer.workers or max(2, min(WORKERS_MOST, os.cpu_count() or 2)))


class Work:
    """One verb at work: the catalog, the workers, and what was done so far."""

    def __init__(
        self,
        verb: str,
        around: Around,
        executor: Processes,
        catalog: Catalog,
        nas: Nas | None,
        *,
        azure: bool,
        target: bool,
    ) -> None:
        self.catalog = catalog
        self._verb = verb
        self._settings, self._ends, self._listener, self._stop = around
        self._nas = nas
        self._azure = azure
        self._target = target
        self._tally = Tally()
        downloads = nas is not None and azure
        manifest = nas.manifest(_now_utc(), self._ends.account_name) if nas is not None and downloads else None
        self._notes = Notes(catalog, manifest)
        self._slices = 0
        self._pending_before = catalog.totals().pending
        self._only: tuple[str, ...] = ()
        self._wanted: Callable[[str], bool] = lambda _: True
        self._began_s = time.monotonic()
        self._meter = Meter(verb, self._began_s)
        self._told_at = self._renewed_at = self._began_s
        self._rate = self._allowed_rate()
        self._executor = executor
        self._has_begun = False

    def close(self) -> None:
        """End the workers, and clear away what nobody goes on with."""
        self._executor.close()
        self._notes.close()
        if self._nas is not None:
            self._nas.sweep(self.catalog.is_pending_download)

    # ------------------------------------------------------------------------------------------------- feeds

    def only(self, containers: tuple[str, ...]) -> None:
        """Look at these containers and no others; none named: at all.

        Raises:
            UsageFault: One of them is not in the catalog.
        """
        unknown = [name for name in containers if not self.catalog.has_container(name)]
        if unknown:
            raise UsageFault(
                "CONTAINER-UNKNOWN",
                f"There is no container '{unknown[0]}' in the catalog of account '{self._settings.azure.account}'.",
                "Check the name; `scs sync containers` lists the account's containers anew.",
            )
        if containers:
            self._only = containers
            self._wanted = frozenset(containers).__contains__

    def prepare(self, *, retry_failed: bool, leg: Leg | None = None) -> None:
        """Set failed rows back if a person asked for it, and clear away what killed runs left on the NAS.

        What an older version downloaded is written down there first.
        """
        if retry_failed:
            self.catalog.retry_failed(leg, self._only)
            self.catalog.redo_mismatched(self._only)
        if self._nas is not None:
            self._nas.sweep(self.catalog.is_pending_download)
        self._notes.tell_all(lambda: self._goes_on("Writing down on the NAS what was downloaded before."))

    def list_again(self) -> None:
        """Have every container listed anew, not only the live ones."""
        self.catalog.reset_live(self._wanted)

    def list_containers(self) -> None:
        """Bring the account's containers up to date, and have all listed again if other things are skipped now."""
        settings = self._settings
        rules = json.dumps([settings.skip_containers, settings.placement.skip_extensions])
        if self.catalog.has_changed("skip_rules", rules):
            self.list_again()
        self.drive(Feeds(containers=Containers(self.catalog)))

    def listings(self) -> Listings:
        """Pending containers."""
        return Listings(self.catalog, self._wanted)

    def looks(self) -> Rows:
        """Rows that a listing should have shown and did not: the source is asked about each."""
        # Each once: a source that will not answer about one of them is asked again by the next run.
        return Rows(self.catalog.pending_looks, self._wanted, again=False)

    def downloads(self) -> Rows:
        """Pending blobs."""
        settings = self._settings
        fetch = partial(self.catalog.pending_downloads, may_replace=settings.overwrite, attest=settings.transfer.attest)
        return Rows(fetch, self._wanted)

    def uploads(self) -> Rows:
        """Files that wait for S3."""
        fetch = partial(
            self.catalog.pending_uploads,
            multipart_from_bytes=self._settings.transfer.multipart_from_bytes,
            may_replace=self._settings.overwrite,
        )
        return Rows(self._with_earlier(fetch) if self._verb == "rebuild" else fetch, self._wanted)

    def _with_earlier(self, fetch: Callable[[int, int], list[Upload]]) -> Callable[[int, int], list[Upload]]:
        """What is in S3 may be an earlier version, of which this catalog knows by the manifests only."""

        def fetch_more(after_id: int, limit: int) -> list[Upload]:
            tasks = fetch(after_id, limit)
            earlier = self.catalog.earlier(task.id for task in tasks)
            return [task._replace(earlier=" ".join(earlier.get(task.id, ()))) for task in tasks]

        return fetch_more

    def bucket(self, delivered: Delivered) -> Bucket:
        """The bucket as a check gets to see it."""
        return Bucket(self.catalog, delivered, self._goes_on)

    def files(self) -> FileSizes:
        """Rows of which only the file is looked at."""
        return FileSizes(self.catalog.files, self._wanted)

    def checks(self, *, deep: bool) -> Rows:
        """All rows that claim to be somewhere."""
        return Rows(partial(self.catalog.everything, deep=deep), self._wanted, rounds=False)

    def scrubs(self, part: int, parts: int) -> Rows:
        """Files on the NAS to be read again: of *parts* slices the one numbered *part*."""
        self._slices = parts
        return Rows(partial(self.catalog.to_read, part=part, parts=parts), self._wanted, rounds=False)

    # ------------------------------------------------------------------------------------------------- work

    def recall(self) -> bool:
        """Mark rows with what the manifests on the NAS say of them; False when a person stopped it."""
        entries = self._nas.manifests(self._ends.account_name) if self._nas is not None else iter(())
        elsewhere: dict[int, str] = {}
        while self._goes_on("Reading the manifests on the NAS."):
            some = list(islice(entries, RECALL_AT_ONCE))
            if not some:
                self.catalog.move(elsewhere)
                return True
            self.catalog.recall(some, elsewhere)
        return False

    def drive(self, feeds: Feeds) -> None:
        """Work these feeds to their end, unless a person stopped the run already."""
        if self._stop.is_set():
            return
        if self._has_begun:  # it may have rested for long
            self._send_all(self._renewed())
        else:
            self._has_begun = True
            self._executor.begin(self._setup(self._executor.workers))
        rules = Rules(self._settings.skip_reason, self._settings.is_live)
        Run(
            self.catalog,
            self._executor,
            rules,
            self._tally,
            tick=self._tick,
            stopping=self._stop.is_set,
            note=self._notes.take,
        ).drive(feeds)

    def rest(self, seconds: float) -> bool:
        """Wait for the next round of a watch; True when a person wants it to end instead."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._tell(0, 0, f"All is done. Next look at the account in {print_duration(left)}.")
            if self._stop.wait(min(left, REST_STEP_S)):
                return True
        return self._stop.is_set()

    def outcome(self, *, checked: bool = False) -> Outcome:
        """How it ended."""
        tally, totals, notes = self._tally, self.catalog.totals(), self._notes
        is_check = checked and not self._slices
        proven = self.catalog.count_proven(self._only) if is_check else 0
        return Outcome(
            self._verb,
            totals,
            listed=tally.listed,
            added=tally.added,
            changed=tally.changed,
            gone=tally.gone,
            downloaded=tally.downloaded,
            downloaded_bytes=tally.downloaded_bytes,
            uploaded=tally.uploaded,
            uploaded_bytes=tally.uploaded_bytes,
            adopted_on_nas=notes.on_nas.blobs,
            adopted_on_nas_bytes=notes.on_nas.bytes,
            adopted_in_s3=notes.in_s3.blobs,
            adopted_in_s3_bytes=notes.in_s3.bytes,
            left=totals.pending + totals.downloaded if self._verb in {"run", "rebuild"} and not self._only else 0,
            # An upload cannot fetch anew what is rotten; a run does.
            failed=tally.failed + (tally.rotten if self._verb == "upload" else 0),
            proven=proven,
            unproven=self._moving(totals) - proven if is_check else 0,
            # What is new is in one listing only, and may have come a moment ago: it is on its way, and not missing.
            mismatches=tally.mismatches + tally.changed if checked else 0,
            read_again=tally.checked if self._slices else 0,
            to_fetch_again=totals.pending - self._pending_before if self._slices else 0,
            problems=self._problems(checked=checked),
            unaccounted=self.catalog.book.unaccounted(),
            seconds=time.monotonic() - self._began_s,
            stopped_by=self._stop.signal_name if self._stop.is_set() else "",
        )

    def _problems(self, *, checked: bool) -> tuple[Problem, ...]:
        """The first few; to a check also what a fresh listing shows and the catalog did not know."""
        news = (*self._tally.news, *self._notes.found) if checked else ()
        known = self.catalog.problems(PROBLEMS_SHOWN)
        told = {problem[:4] for problem in known}
        news = tuple(problem for problem in news if problem[:4] not in told)
        found = (*news, *known, *map(_trouble, self._tally.troubles))
        return found[:PROBLEMS_SHOWN]

    def _moving(self, totals: Totals) -> int:
        """Blobs that are to move: all that are not skipped."""
        return self.catalog.moving(self._only) if self._only else totals.blobs - totals.skipped

    def _setup(self, workers: int) -> Setup:
        settings = self._settings
        transfer = settings.transfer
        return Setup(
            placement=settings.placement,
            azure=self._ends.azure_access() if self._azure else None,
            azure_line=self._ends.azure_line if self._azure else None,
            profile=self._ends.profile if self._target else None,
            s3=self._ends.s3_access() if self._target else None,
            s3_line=self._ends.s3_line if self._target else None,
            nas_root=settings.media_folder if self._nas is not None else None,
            nas_id=self._nas.id if self._nas is not None else "",
            range_bytes=transfer.range_bytes,
            multipart_from_bytes=transfer.multipart_from_bytes,
            part_bytes=transfer.part_bytes,
            lanes=max(1, (transfer.concurrency or LANES_AUTO) // workers),
            rate=self._rate // workers,
            offline_s=transfer.offline_s,
            ask_first=self._verb == "rebuild",
        )

    def _tick(self, in_hand: int, lanes: int) -> Sequence[Message]:
        now = time.monotonic()
        if now - self._told_at >= TICK_S:
            self._told_at = now
            self._tell(in_hand, lanes)
        self._notes.flush_when_due()
        messages: list[Message] = []
        if now - self._renewed_at >= RENEW_EVERY_S:
            messages.append(self._renewed())
        if (rate := self._allowed_rate()) != self._rate:
            self._rate = rate
            messages.append(Rate(rate // self._executor.workers))
        return messages

    def _renewed(self) -> Renew:
        self._renewed_at = time.monotonic()
        return Renew(
            self._ends.azure_access() if self._azure else None, self._ends.s3_access() if self._target else None
        )

    def _send_all(self, message: Message) -> None:
        for worker in range(self._executor.workers):
            self._executor.send(worker, message)

    def _goes_on(self, note: str) -> bool:
        """Show what is done beside the workers; whether to go on with it."""
        now = time.monotonic()
        if note and now - self._told_at >= TICK_S:
            self._told_at = now
            self._tell(0, 0, note)
        return not self._stop.is_set()

    def _tell(self, in_hand: int, lanes: int, note: str = "") -> None:
        self._meter.feed(time.monotonic(), self._tally.counts())
        totals = self.catalog.totals()
        if self._slices:  # what is to be done is a part of the files, and nothing else
            files = (totals.downloaded + totals.uploaded) // self._slices
            totals = totals._replace(downloaded=files, uploaded=0, containers_pending=0)
        self._listener(self._meter.progress(totals, in_flight=in_hand, concurrency=lanes, note=note))

    def _allowed_rate(self) -> int:
        return self._settings.transfer.bandwidth.at(datetime.now().astimezone().time()) or 0


def _now_utc() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _trouble(text: str) -> Problem:
    code, _, sentence = text.partition(": ")
    return Problem("", "", "s3", code, sentence)
