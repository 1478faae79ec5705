"""What a run says about itself: `Progress` while it goes on, `Outcome` and its relatives at the end. Floor 3, pure.

Values only, for faces to print; the clock is an argument. `Meter` turns counts that only grow into rates and a time
left that a person can believe.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sync_cloud_storage.model import ContainerStatus, Problem, Totals

# A rate is measured over the shortest stretch of the past that is long enough in time AND holds enough work. Time alone
# lies about large blobs (one of 10 GiB counts in a single moment, and then nothing for minutes); work alone lies about
# fast links (the last 256 MiB may be one second). So: at least 20 s, then further back until enough moved, at most
# 10 min: what was true longer ago (another hour of the bandwidth timetable, another link) is no guide to the time left.
WINDOW_MIN_S = 20.0
WINDOW_MAX_S = 600.0
WINDOW_BYTES = 256 * 1024 * 1024
WINDOW_BLOBS = 200
WINDOW_LARGE_BLOBS = 10  # fewer than these in 256 MiB, and each one that comes or goes would make the rate jump

WARM_UP_S = 3.0  # before that no rate is told: connections are still being opened
SAMPLE_EVERY_S = 1.0  # 600 samples reach back to WINDOW_MAX_S


class Counts(NamedTuple):
    """What this run did so far. Each number only grows. Bytes are those that crossed the network."""

    listed: int = 0  # rows that pages of the source brought
    down_blobs: int = 0
    down_bytes: int = 0
    up_blobs: int = 0
    up_bytes: int = 0
    checked: int = 0  # rows that xcheck looked at
    failed: int = 0


class Rates(NamedTuple):
    """Per second, over the window of `Meter`."""

    listed: float = 0.0
    down_blobs: float = 0.0
    down_bytes: float = 0.0
    up_blobs: float = 0.0
    up_bytes: float = 0.0
    checked: float = 0.0


class Progress(NamedTuple):
    """One moment of a run.

    `done` is this run's own work, `totals` the whole catalog. `eta_s` is None while nobody can know: at the start,
    while containers are still being listed, and when nothing moves. `concurrency` is how many requests may be out at
    once, now. `note` is one short sentence about something unusual ("the network is away, waiting"), else "".
    """

    verb: str
    totals: Totals
    done: Counts
    rates: Rates
    elapsed_s: float
    eta_s: float | None
    in_flight: int  # blobs (or containers) that workers have in hand
    concurrency: int
    note: str = ""


class Outcome(NamedTuple):
    """How a run ended.

    `failed`: blobs and containers that failed in this run. `left`: blobs that a whole run should have moved and did
    not. `proven`, `unproven`, `mismatches` are xcheck's: rows right in every place; rows that cannot be called right
    yet (not moved, failed, no checksum); rows that differ somewhere. `strangers`: objects of the bucket that no blob
    accounts for, which is no mismatch; None where not all of the bucket was seen. `problems` are the first few, for
    people; the catalog's view has all. `notes` are sentences about how it was done. `unaccounted` says what does not
    add up, "" when all does. `stopped_by` is "", "SIGINT" or "SIGTERM".

    `adopted_...`: those of the downloaded and uploaded ones that were there already, with their own sizes.
    `read_again`, `to_fetch_again`: a scrub's, files that were read, and those that are to be downloaded again.
    """

    verb: str
    totals: Totals
    listed: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    downloaded: int = 0
    downloaded_bytes: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    adopted_on_nas: int = 0
    adopted_on_nas_bytes: int = 0
    adopted_in_s3: int = 0
    adopted_in_s3_bytes: int = 0
    left: int = 0
    failed: int = 0
    proven: int = 0
    unproven: int = 0
    mismatches: int = 0
    read_again: int = 0
    to_fetch_again: int = 0
    strangers: int | None = None
    problems: tuple[Problem, ...] = ()
    unaccounted: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    stopped_by: str = ""

    @property
    def exit_code(self) -> int:
        """0 all done; 1 some blobs failed, now or earlier, or are not proven; 5 a check found a mismatch; 130, 143.

        5 also when what was listed and what became of it do not add up.
        """
        if self.stopped_by:
            return stopped_code(self.stopped_by)
        if self.mismatches or self.unaccounted:
            return 5
        return 1 if self.failed or self.unproven or self.left or has_failures(self.totals) else 0


class LastRun(NamedTuple):
    """The newest run in the catalog. `ended_at_utc` is "" for one that is going on, or was killed."""

    verb: str
    began_at_utc: str
    ended_at_utc: str
    result: str  # one short sentence or word: "done", "stopped by SIGINT", an error's sentence


class StatusReport(NamedTuple):
    """What `scs status` tells. `containers` has one entry for each status that occurs."""

    catalog: str
    totals: Totals
    containers: tuple[tuple[ContainerStatus, int], ...]
    last_run: LastRun | None
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """1 when a blob or a container failed, else 0. What is merely pending is no failure."""
        return int(has_failures(self.totals))


class InitReport(NamedTuple):
    """What `scs init` did. Paths as text. `marker` is "" where no MEDIA_FOLDER is set yet.

    `missing`: names of settings that the journey still needs, in the order in which it needs them. `signing_key`: the
    file with the key that certificates are signed with; `public_key`: its public part, for those who check one.
    """

    catalog: str
    catalog_is_new: bool
    marker: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[str, ...]
    signing_key: str = ""
    signing_key_is_new: bool = False
    public_key: str = ""


def stopped_code(signal_name: str) -> int:
    """The exit code of a verb that a signal stopped, as a shell would have it: 128 and the signal's number."""
    return 143 if signal_name == "SIGTERM" else 130


def has_failures(totals: Totals) -> bool:
    """Say whether any blob or container stands as failed in the catalog, or a check found it wrong."""
    return bool(totals.failed or totals.containers_failed or totals.mismatched)


class Meter:
    """Makes steady rates and a time left from counts that grow.

    Feed it as often as you like; a sample is kept each second. It never reads a clock itself.

    Args:
        verb: The command that runs; decides which work is left to do.
        began_s: Reading of a monotonic clock at the start, in seconds.
        counts: What the counters said then; not zero in the later rounds of a watch.
    """

    def __init__(self, verb: str, began_s: float, counts: Counts = Counts()) -> None:  # noqa: B008  (immutable)
        self._verb = verb
        self._began_s = began_s
        self._samples: deque[tuple[float, Counts]] = deque([(began_s, counts)])
        self._latest = (began_s, counts)

    def feed(self, now_s: float, counts: Counts) -> None:
        """Note what was done by *now_s*, a reading of the same clock. Readings that run backwards are ignored."""
        if now_s < self._latest[0]:
            return
        self._latest = (now_s, counts)
        if now_s - self._samples[-1][0] >= SAMPLE_EVERY_S:
            self._samples.append(self._latest)
            # One sample older than the window stays: the window begins there.
            while len(self._samples) > 2 and now_s - self._samples[1][0] >= WINDOW_MAX_S:
                self._samples.popleft()

    def rates(self) -> Rates:
        """Per second, over the window; all zero in the first seconds."""
        now_s, now = self._latest
        if now_s - self._samples[0][0] < WARM_UP_S:
            return Rates()
        since_s, since = self._window()
        span_s = now_s - since_s
        return Rates(
            listed=(now.listed - since.listed) / span_s,
            down_blobs=(now.down_blobs - since.down_blobs) / span_s,
            down_bytes=(now.down_bytes - since.down_bytes) / span_s,
            up_blobs=(now.up_blobs - since.up_blobs) / span_s,
            up_bytes=(now.up_bytes - since.up_bytes) / span_s,
            checked=(now.checked - since.checked) / span_s,
        )

    def progress(self, totals: Totals, *, in_flight: int = 0, concurrency: int = 0, note: str = "") -> Progress:
        """Describe this moment."""
        now_s, counts = self._latest
        rates = self.rates()
        return Progress(
            verb=self._verb,
            totals=totals,
            done=counts,
            rates=rates,
            elapsed_s=now_s - self._began_s,
            eta_s=time_left_s(self._verb, totals, counts, rates),
            in_flight=in_flight,
            concurrency=concurrency,
            note=note,
        )

    def _window(self) -> tuple[float, Counts]:
        now_s, now = self._latest
        for at_s, counts in reversed(self._samples):
            moved_bytes = now.down_bytes - counts.down_bytes + now.up_bytes - counts.up_bytes
            moved_blobs = now.down_blobs - counts.down_blobs + now.up_blobs - counts.up_blobs
            rows = now.listed - counts.listed + now.checked - counts.checked
            large = moved_bytes >= WINDOW_BYTES and moved_blobs >= WINDOW_LARGE_BLOBS
            if (large or moved_blobs >= WINDOW_BLOBS or rows >= WINDOW_BLOBS) and now_s - at_s >= WINDOW_MIN_S:
                return at_s, counts
        return self._samples[0]


def time_left_s(verb: str, totals: Totals, done: Counts, rates: Rates) -> float | None:
    """Estimate the seconds that *verb* still needs; None when nobody can know.

    Each leg takes as long as its blobs or its bytes do, whichever is longer: small blobs cost a request each, large
    ones the line. The two legs of `run` go on at the same time, so the longer one counts.
    """
    if verb in {"sync", "run", "rebuild", "xcheck"} and totals.containers_pending:
        return None  # the sum still grows
    waiting, waiting_bytes = totals.downloaded, totals.downloaded_bytes
    if verb == "download":
        return _leg_s(totals.pending, rates.down_blobs, totals.pending_bytes, rates.down_bytes)
    if verb == "upload":
        return _leg_s(waiting, rates.up_blobs, waiting_bytes, rates.up_bytes)
    if verb in {"run", "rebuild"}:
        down_s = _leg_s(totals.pending, rates.down_blobs, totals.pending_bytes, rates.down_bytes)
        up_s = _leg_s(totals.pending + waiting, rates.up_blobs, totals.pending_bytes + waiting_bytes, rates.up_bytes)
        return None if down_s is None or up_s is None else max(down_s, up_s)
    if verb == "xcheck":
        return _leg_s(max(0, totals.downloaded + totals.uploaded - done.checked), rates.checked, 0, 0.0)
    return None


def _leg_s(blobs: int, blobs_per_s: float, size_bytes: int, bytes_per_s: float) -> float | None:
    if not blobs:
        return 0.0
    if not blobs_per_s or (size_bytes and not bytes_per_s):
        return None
    return max(blobs / blobs_per_s, size_bytes / bytes_per_s if size_bytes else 0.0)
