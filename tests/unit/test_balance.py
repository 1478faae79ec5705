"""What `balance.py` promises: sums that lose nothing, and an honest exit code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.balance import (
    STATES,
    Balance,
    Containers,
    Group,
    Level,
    Sum,
    Verdict,
    Whole,
    added_up,
    difference,
    running_differences,
)

PROVEN = Group("proven", 4, 1, 0, 0, "", 3, 30)
FAILED = Group("failed", 0, 0, 1, 0, "AZ-403", 1, 5)
SKIPPED = Group("skipped", 0, 0, 0, 0, "archive tier", 2, 7)
FOUND = Group("proven", 4, 1, 0, 1, "NAS-ROT", 1, 9)

groups = st.builds(
    Group,
    st.sampled_from(STATES),
    st.integers(0, 4),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from(["", "AZ-403", "S3-LOST"]),
    st.integers(1, 9),
    st.integers(0, 99),
)


def balance(*groups: Group, name: str = "c", listed: Sum | None = None) -> Balance:
    """A container whose counter is right, if nothing else is said."""
    found = Balance(name, None, groups)
    return found._replace(listed=found.sum_of() if listed is None else listed)


def whole(of: Balance, *, containers: Containers = Containers(1, 0, 0, 0), differences: int = 0) -> Whole:  # noqa: B008
    """A catalog of one container."""
    return Whole("x.sqlite", "t", "", "", "", "", "", "", containers, (), of, (of,), (), differences)


@given(st.lists(st.lists(groups, max_size=5), max_size=4))
def test_adding_up_loses_nothing(containers: list[list[Group]]) -> None:
    """The sum of balances has the blobs and bytes of all of them, in each state, level and reason."""
    parts = [balance(*some, name=str(number)) for number, some in enumerate(containers)]
    total = added_up("", parts)
    assert total.is_conserved()
    for state in STATES:
        assert total.states()[state] == Sum(
            sum(part.states()[state].blobs for part in parts), sum(part.states()[state].bytes for part in parts)
        )
    assert (
        sum(level.blobs for level in total.levels())
        == total.sum_of().blobs
        == sum(found.blobs for found in total.states().values())
    )
    assert total.gone().blobs == sum(part.gone().blobs for part in parts)
    assert sum(found.blobs for found in total.failed().values()) == total.states()["failed"].blobs
    assert sum(found.blobs for found in total.skipped().values()) == total.states()["skipped"].blobs


def test_what_is_counted_where() -> None:
    """States, levels, codes and reasons, the most frequent first, and what is gone."""
    of = balance(PROVEN, FAILED, SKIPPED, FOUND, FAILED._replace(reason="AZ-MD5", blobs=4, gone=0))
    assert of.states()["proven"] == Sum(4, 39)
    assert of.levels()[4] == Level(4, 39, 4)
    assert of.levels()[0] == Level(7, 17, 0)
    assert list(of.failed().items()) == [("AZ-MD5", Sum(4, 5)), ("AZ-403", Sum(1, 5))]
    assert of.skipped() == {"archive tier": Sum(2, 7)}
    assert of.found() == {"NAS-ROT": Sum(1, 9)}
    assert of.gone() == Sum(1, 5)


def test_a_container_that_does_not_add_up_is_named() -> None:
    """With both numbers; one that the catalog does not know, too; one that does add up is not."""
    assert difference(balance(PROVEN)) is None
    problem = difference(balance(PROVEN, listed=Sum(4, 30)))
    assert problem is not None
    assert problem.code == "COUNTS-DIFFER"
    assert problem.sentence == ("Container 'c' was listed with 4 blobs (30 bytes), its rows are 3 blobs (30 bytes).")
    assert difference(balance(PROVEN, listed=Sum(3, 31))) is not None
    stray = difference(Balance("c", None, (PROVEN,)))
    assert stray is not None
    assert "no such container" in stray.sentence


@pytest.mark.parametrize("name", ["skipped", "failed", "pending", "downloaded", "uploaded", "gone"])
@pytest.mark.parametrize("wrong", [Sum(1, 0), Sum(0, 1)])
def test_a_running_sum_that_is_not_that_of_the_rows_is_named(name: str, wrong: Sum) -> None:
    """Each of them, in blobs and in bytes; proven blobs are uploaded ones; none at all were emptied by hand."""
    of = balance(PROVEN, FAILED, SKIPPED)
    right = {
        "skipped": Sum(2, 7), "failed": Sum(1, 5), "pending": Sum(), "downloaded": Sum(), "uploaded": Sum(3, 30),
        "gone": Sum(1, 5),
    }  # fmt: skip
    assert running_differences(right, of) == []
    assert running_differences({}, of) == []
    was = right[name]
    (problem,) = running_differences({**right, name: Sum(was.blobs + wrong.blobs, was.bytes + wrong.bytes)}, of)
    assert (problem.code, f"are {name}" in problem.sentence) == ("COUNTS-DIFFER", True)
    if was != Sum():
        assert running_differences({key: right[key] for key in right if key != name}, of) != []


@pytest.mark.parametrize(
    ("of", "containers", "differences", "code"),
    [
        (balance(PROVEN), Containers(1, 0, 0, 0), 0, 0),
        (balance(PROVEN, SKIPPED), Containers(2, 0, 0, 1), 0, 0),
        (balance(), Containers(1, 0, 0, 0), 0, 0),
        (balance(), Containers(0, 0, 0, 0), 0, 1),
        (balance(PROVEN), Containers(2, 1, 0, 0), 0, 1),
        (balance(PROVEN), Containers(2, 0, 1, 0), 0, 1),
        (balance(PROVEN, FAILED), Containers(1, 0, 0, 0), 0, 1),
        (balance(PROVEN._replace(state="uploaded", level=3)), Containers(1, 0, 0, 0), 0, 1),
        (balance(PROVEN._replace(state="downloaded", level=3)), Containers(1, 0, 0, 0), 0, 1),
        (balance(PROVEN._replace(state="pending", level=0)), Containers(1, 0, 0, 0), 0, 1),
        (balance(PROVEN, FOUND), Containers(1, 0, 0, 0), 0, 1),
        (balance(PROVEN), Containers(1, 0, 0, 0), 1, 5),
    ],
)
def test_the_exit_code_is_honest(of: Balance, containers: Containers, differences: int, code: int) -> None:
    """0 only when all is proven but what is skipped; 5 when sums differ; that of a certificate is the same."""
    found = whole(of, containers=containers, differences=differences)
    assert found.exit_code == code
    statement = {
        "differences": differences,
        "containers": containers._asdict(),
        "states": {state: some._asdict() for state, some in of.states().items()},
        "mismatched": of.sum_of(lambda group: group.mismatched)._asdict(),
    }
    assert Verdict(statement, "", False, "", None).exit_code == code  # noqa: FBT003
