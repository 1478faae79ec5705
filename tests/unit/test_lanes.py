"""What the lanes promise: they grow with good answers, shrink when the service says so, and keep within limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Response
from tests.unit.telling import Time, response


def test_begin_with_what_was_asked_for() -> None:
    """Without a start, all lanes are open at once; with one, so many."""
    assert (Lanes(8).limit, Lanes(8, start=3).limit) == (8, 3)


def test_grow_by_one_a_round() -> None:
    """As many good answers as there are lanes open about one lane more, never more than the most."""
    lanes = Lanes(6, start=2)
    for _ in range(2):
        lanes.learn(response(200))
    assert lanes.limit == 2
    lanes.learn(response(200))
    assert lanes.limit == 3
    for _ in range(1000):
        lanes.learn(response(404))
    assert lanes.limit == 6


def test_throttled_answers_cut_a_third() -> None:
    """429 and 503 each cut a third of the lanes (B02, B03)."""
    for status in (429, 503):
        lanes = Lanes(9, clock=Time())
        lanes.learn(response(status))
        assert lanes.limit == 6


def test_one_burst_cuts_once() -> None:
    """A hundred throttled answers within a second are one message; a second later they are the next."""
    clock = Time()
    lanes = Lanes(90, clock=clock)
    for _ in range(100):
        lanes.learn(response(503))
    assert lanes.limit == 60
    clock.pass_(1.0)
    lanes.learn(response(503))
    assert lanes.limit == 40


def test_errors_of_the_line_say_nothing() -> None:
    """A broken connection, or one that we broke off ourselves, changes nothing."""
    lanes = Lanes(9, start=4, clock=Time())
    for answer in (None, Response(0, {}, b"", "reset")):
        for _ in range(50):
            lanes.learn(answer)
    assert lanes.limit == 4


@given(st.lists(st.sampled_from([0, 200, 206, 404, 429, 500, 503]), max_size=300), st.integers(1, 50))
def test_limits_hold(statuses: list[int], most: int) -> None:
    """Whatever comes, between one lane and the most are open."""
    clock = Time()
    lanes = Lanes(most, clock=clock)
    for status in statuses:
        lanes.learn(response(status))
        clock.pass_(0.4)
        assert 1 <= lanes.limit <= most


def test_without_a_rate_there_is_no_share() -> None:
    """No limit of the rate is 0 for libcurl; with one, nobody gets less than lets it live."""
    assert Lanes(4).share(3) == 0
    assert Lanes(4, rate=4000).share(4) >= 1000


@pytest.mark.parametrize("transfers", [1, 3, 32])
def test_shares_make_the_rate(transfers: int) -> None:
    """So many transfers that each have their share are together as fast as the rate, and no faster."""
    lanes = Lanes(32, rate=32_000_000)
    assert 0.99 * lanes.rate <= transfers * lanes.share(transfers) <= lanes.rate


def test_begin_with_no_more_than_the_most() -> None:
    """More lanes to begin with than there may be are as many as there may be."""
    assert Lanes(4, start=10).limit == 4
