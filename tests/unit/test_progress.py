"""What `progress.py` promises: steady rates, an honest time left, exit codes as the contract has them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from sync_cloud_storage.model import Totals
from sync_cloud_storage.progress import Counts, Meter, Outcome, Rates, StatusReport, time_left_s

MIB = 1 << 20
NOTHING = Totals(*[0] * len(Totals._fields))


def feed_steadily(meter: Meter, seconds: int, *, bytes_per_s: int = 0, blobs_per_s: int = 0, since: int = 0) -> None:
    """Feed a meter four times a second with downloads at a constant rate."""
    for quarter in range(1, seconds * 4 + 1):
        at = since + quarter / 4
        meter.feed(at, Counts(down_blobs=int(at * blobs_per_s), down_bytes=int(at * bytes_per_s)))


def test_a_constant_rate_is_told_as_it_is() -> None:
    """A line that gives 50 MiB/s is said to give 50 MiB/s."""
    meter = Meter("download", 0.0)
    feed_steadily(meter, 60, bytes_per_s=50 * MIB, blobs_per_s=10)
    assert meter.rates().down_bytes == pytest.approx(50 * MIB, rel=0.01)
    assert meter.rates().down_blobs == pytest.approx(10, rel=0.05)


def test_nothing_is_told_in_the_first_seconds() -> None:
    """While connections are being opened no rate is told, and no time left."""
    meter = Meter("download", 0.0)
    feed_steadily(meter, 2, bytes_per_s=50 * MIB, blobs_per_s=10)
    progress = meter.progress(NOTHING._replace(pending=100, pending_bytes=MIB))
    assert progress.rates == Rates()
    assert progress.eta_s is None


def test_a_faster_line_is_noticed_within_half_a_minute() -> None:
    """After a change the rate is the new one as soon as the window has passed, not an average of hours."""
    meter = Meter("download", 0.0)
    at, blobs, size = 0.0, 0, 0
    for rate, until in ((10 * MIB, 3600), (100 * MIB, 3630)):
        while at < until:
            at += 1
            blobs += 20
            size += rate
            meter.feed(at, Counts(down_blobs=blobs, down_bytes=size))
    assert meter.rates().down_bytes == pytest.approx(100 * MIB, rel=0.05)


def test_large_blobs_do_not_make_the_rate_jump() -> None:
    """A 100 MiB blob every 40 s is 2.5 MiB/s at every moment, also half a minute after the last one came."""
    meter = Meter("download", 0.0)
    told = []
    for second in range(1, 1201):
        done = second // 40
        meter.feed(second, Counts(down_blobs=done, down_bytes=done * 100 * MIB))
        if second > 600:
            told.append(meter.rates().down_bytes)
    assert min(told) > 1.8 * MIB
    assert max(told) < 3.2 * MIB


def test_a_standstill_is_admitted() -> None:
    """When nothing moves any more, the rate falls to nothing and no time left is told."""
    meter = Meter("download", 0.0)
    feed_steadily(meter, 60, bytes_per_s=50 * MIB, blobs_per_s=10)
    stuck = Counts(down_blobs=600, down_bytes=3000 * MIB)
    for second in range(61, 1000):
        meter.feed(second, stuck)
    progress = meter.progress(NOTHING._replace(pending=100, pending_bytes=MIB))
    assert progress.rates.down_bytes == 0
    assert progress.eta_s is None


def test_a_clock_that_runs_backwards_does_no_harm() -> None:
    """A reading from the past is ignored."""
    meter = Meter("download", 100.0)
    meter.feed(110.0, Counts(down_blobs=10))
    meter.feed(50.0, Counts(down_blobs=99))
    progress = meter.progress(NOTHING)
    assert (progress.elapsed_s, progress.done.down_blobs) == (10.0, 10)


def test_weeks_take_no_more_memory_than_minutes() -> None:
    """The meter forgets what is older than its window."""
    meter = Meter("download", 0.0)
    for second in range(1, 20_000):
        meter.feed(second, Counts(down_blobs=second))
    assert len(pickle.dumps(meter)) < 100_000


@pytest.mark.parametrize(
    ("verb", "totals", "rates", "seconds"),
    [
        # small blobs: their number counts; large ones: their bytes
        ("download", {"pending": 1000, "pending_bytes": 1000}, Rates(down_blobs=10, down_bytes=1000), 100),
        ("download", {"pending": 10, "pending_bytes": 10_000}, Rates(down_blobs=10, down_bytes=100), 100),
        ("upload", {"downloaded": 50, "downloaded_bytes": 50}, Rates(up_blobs=1, up_bytes=1), 50),
        # run: what is on the NAS has one leg to go, what is pending both; the slower leg counts
        ("run", {"pending": 10, "downloaded": 90}, Rates(down_blobs=1, up_blobs=2), 50),
        ("run", {"pending": 100}, Rates(down_blobs=1, up_blobs=10), 100),
        ("run", {"pending": 100}, Rates(down_blobs=1), None),
        ("rebuild", {"pending": 10, "downloaded": 90}, Rates(down_blobs=1, up_blobs=2), 50),
        ("run", {"pending": 100, "containers_pending": 1}, Rates(down_blobs=1, up_blobs=1), None),
        ("xcheck", {"uploaded": 110, "downloaded": 20}, Rates(checked=2), 60),
        ("sync", {"pending": 10}, Rates(listed=5), None),
        ("download", {}, Rates(), 0),
        ("download", {"pending": 0, "containers_pending": 5}, Rates(), 0),
    ],
)
def test_time_left(verb: str, totals: dict[str, int], rates: Rates, seconds: float | None) -> None:
    """The time left is that of the slower of blobs and bytes, and of the slower leg; None where nobody can know."""
    assert time_left_s(verb, NOTHING._replace(**totals), Counts(checked=10), rates) == seconds


@pytest.mark.parametrize(
    ("changes", "totals", "code"),
    [
        ({}, {}, 0),
        ({}, {"pending": 5}, 0),
        ({"failed": 1}, {}, 1),
        ({}, {"failed": 1}, 1),  # failed in an earlier run, and still so
        ({}, {"containers_failed": 1}, 1),
        ({"unproven": 1}, {}, 1),
        ({"mismatches": 1, "failed": 1}, {"failed": 1}, 5),
        ({"stopped_by": "SIGINT", "mismatches": 1}, {}, 130),
        ({"stopped_by": "SIGTERM"}, {"failed": 1}, 143),
    ],
)
def test_exit_codes_of_a_run(changes: dict[str, Any], totals: dict[str, int], code: int) -> None:
    """0 only when nothing is left to say; a stop goes before a mismatch, a mismatch before a failure."""
    assert Outcome("run", NOTHING._replace(**totals))._replace(**changes).exit_code == code


def test_status_fails_for_failures_only() -> None:
    """What is pending is no failure for `scs status`."""
    status = StatusReport("x", NOTHING._replace(pending=5), (), None, ())
    assert status.exit_code == 0
    assert status._replace(totals=NOTHING._replace(failed=1)).exit_code == 1
