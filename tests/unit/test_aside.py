"""What `http/aside.py` promises: work is done beside the network, alone or in groups, and each story gets its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.http.aside import GROUP_MAX, INLINE_S
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Aside, Each, Together, for_one
from sync_cloud_storage.http.pump import Pump
from tests.unit.peer import Peer, reply
from tests.unit.telling import Ended, get, new_pump, pumped, turn_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sync_cloud_storage.http.messages import Response, Story


def family(*stories: Story[Any]) -> Story[list[Any]]:
    """A story that has others told side by side; their values, in order."""
    values: list[Any] = yield Each(stories, len(stories))
    return values


# ------------------------------------------------------------------------------------------------------ Aside: a thread


def test_aside_leaves_the_thread_and_comes_back(pump: Pump) -> None:
    """What is done aside is done in another thread; the story goes on in the pump's own."""
    here = threading.get_ident()

    def story() -> Story[bool]:
        there: int = yield Aside(threading.get_ident)
        return there != here and threading.get_ident() == here

    assert pumped(pump, story()) == [True]


def test_error_aside_is_raised_in_the_story(pump: Pump) -> None:
    """An exception of the work aside is raised where the story waits for it, and can be caught there."""

    def story() -> Story[str]:
        try:
            yield Aside(int, ("no number",))
        except ValueError:
            return "caught"
        return "not raised"

    assert pumped(pump, story()) == ["caught"]


def test_thread_that_exits(pump: Pump) -> None:
    """Work aside that raises SystemExit ends its story with an error: nobody waits for ever."""

    def work() -> None:
        raise SystemExit(3)

    def story() -> Story[None]:
        yield Aside(work)

    with pytest.raises(RuntimeError, match="SystemExit"):
        pumped(pump, story())


def test_work_that_ends_after_the_pump_rings_for_nobody(tmp_path: Path) -> None:
    """A thread that is not done when the pump is closed writes nothing into whatever has the bell's number by then."""
    go = threading.Event()
    pump = Pump(Lanes(1))

    def slow() -> None:
        go.wait(10)

    def story() -> Story[None]:
        yield Aside(slow, ())

    pump.start(story(), Ended())
    pump.turn(0.0)
    pump.close()
    files = [(tmp_path / str(number)).open("wb", buffering=0) for number in range(40)]  # one of them gets the number
    go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("scs-aside"):
            thread.join(10)
    assert [file.tell() for file in files] == [0] * 40
    for file in files:
        file.close()


def test_slow_work_aside_does_not_stop_the_network(pump: Pump) -> None:
    """While a thread is busy, requests go out and come back."""
    go = threading.Event()

    def slow() -> Story[str]:
        yield Aside(go.wait, (10,))
        return "slow"

    def fetch() -> Story[Response]:
        answer: Response = yield get(peer.url)
        return answer

    with Peer(lambda _: reply(200, b"x")) as peer:
        ended = Ended()
        pump.start(slow(), ended)
        assert pumped(pump, fetch())[0].body == b"x"
        assert ended.count == 0
        go.set()
        turn_until(pump, lambda: ended.count == 1)


# ----------------------------------------------------------------------------------------------- Together: single items


def test_together_gathers_stories(pump: Pump) -> None:
    """Stories that wait for the same work share calls, and each gets its own answer or exception."""
    groups: list[int] = []

    def work(group: Sequence[int]) -> list[int | ValueError]:
        groups.append(len(group))
        return [ValueError(number) if number % 10 == 3 else number for number in group]

    def story(number: int) -> Story[int]:
        try:
            got: int = yield from for_one(work, number)
        except ValueError as error:
            return -int(error.args[0])
        return got

    values = pumped(pump, *(story(number) for number in range(100)))
    assert sorted(values, key=abs) == [-number if number % 10 == 3 else number for number in range(100)]
    assert len(groups) < 100


def test_error_of_all_together(pump: Pump) -> None:
    """When the whole group's work raises, every story of the group is told, and later groups work again."""
    calls: list[int] = []

    def work(group: Sequence[int]) -> list[int]:
        calls.append(len(group))
        if len(calls) == 1:
            raise OSError("disk")
        return list(group)

    def story(number: int) -> Story[int]:
        got: int = yield from for_one(work, number)
        return got

    ended = Ended()
    for number in range(5):
        pump.start(story(number), ended)
    turn_until(pump, lambda: ended.count == 5)
    assert len(ended.errors) == calls[0]
    assert all(isinstance(error, OSError) for error in ended.errors)
    assert pumped(pump, story(9)) == [9]


@pytest.mark.parametrize("values", [[], [1, 2]], ids=["too few", "too many"])
def test_together_with_another_number_of_values(pump: Pump, values: list[int]) -> None:
    """Work that gives back another number of values than it got items fails the story: no value is anybody's guess."""

    def work(group: Sequence[int]) -> list[int]:
        return values

    def story() -> Story[Any]:
        return (yield from for_one(work, 1))

    with pytest.raises(ValueError, match="1 items"):
        pumped(pump, story())


def test_groups_are_not_too_large() -> None:
    """However many stories wait for the same work, no call gets more than GROUP_MAX items."""
    sizes: list[int] = []

    def work(group: Sequence[int]) -> list[int]:
        sizes.append(len(group))
        return list(group)

    def story(number: int) -> Story[int]:
        got: int = yield from for_one(work, number)
        return got

    for pump in new_pump():
        assert sorted(pumped(pump, *(story(number) for number in range(1000)))) == list(range(1000))
    assert max(sizes) <= GROUP_MAX


# ---------------------------------------------------------------------------------------------- Together: several items


class Work:
    """Doubles numbers; from 100 on they are refused, at 1000 everything is, and at 999 values are missing."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int | ValueError]:
        """Double them."""
        self.calls.append(list(numbers))
        if 1000 in numbers:
            raise OSError("disk")
        if 999 in numbers:
            return [0]
        return [ValueError(number) if number >= 100 else 2 * number for number in numbers]


def doubled(work: Work, *numbers: int) -> Story[list[Any]]:
    """A story of one `Together`."""
    values: list[Any] = yield Together(work, numbers)
    return values


def test_stories_share_a_call(pump: Pump) -> None:
    """Each gets the values of its own items: a list in order, exceptions in it; a single one's exception is raised."""
    work = Work()

    def single(number: int) -> Story[int | str]:
        try:
            value: int = yield from for_one(work, number)
        except ValueError as error:
            return f"raised {error}"
        return value

    many = range(10, 17)
    stories = (single(1), doubled(work, 2, 101, 3), single(102), doubled(work), doubled(work, *many), single(4))
    (values,) = pumped(pump, family(*stories))
    assert repr(values) == repr([2, [4, ValueError(101), 6], "raised 102", [], [2 * n for n in many], 8])
    assert work.calls == [[1, 2, 101, 3, 102, *many, 4]]


def test_together_of_nothing(pump: Pump) -> None:
    """No items: no values and no call, alone and beside others, when the work is new and when it is known."""
    work = Work()
    for _ in range(3):
        assert pumped(pump, doubled(work)) == [[]]
        assert pumped(pump, family(doubled(work), doubled(work, 4), doubled(work))) == [[[], [8], []]]
    assert work.calls == [[4]] * 3


def test_more_items_than_a_group_takes(pump: Pump) -> None:
    """Stories with many items get all of their values; no item is worked on twice, and calls do not grow for ever."""
    work = Work()
    spans = [range(begin, begin + 30) for begin in range(0, 90, 30)]
    assert pumped(pump, family(*(doubled(work, *span) for span in spans))) == [[[2 * n for n in s] for s in spans]]
    assert sorted(number for call in work.calls for number in call) == list(range(90))
    assert pumped(pump, *(doubled(work, *range(20)) for _ in range(20))) == [list(range(0, 40, 2))] * 20
    assert max(map(len, work.calls)) < GROUP_MAX + 30


@pytest.mark.parametrize(("trigger", "error"), [(1000, OSError), (999, ValueError)], ids=["raises", "wrong number"])
def test_work_that_fails_as_a_whole(pump: Pump, trigger: int, error: type[Exception]) -> None:
    """Work that raises, or gives too few values, is an exception for each item of each story; later work goes well."""
    work = Work()
    ((one, other),) = pumped(pump, family(doubled(work, 1, trigger), doubled(work, 2)))
    assert ([type(value) for value in one], [type(value) for value in other]) == ([error, error], [error])
    assert pumped(pump, doubled(work, 5, 6)) == [[10, 12]]


def test_story_that_ends_before_the_work_begins(pump: Pump) -> None:
    """Items of a story that was ended are not worked on, and shift nobody else's values."""
    work = Work()
    ended = Ended()

    def fails() -> Story[None]:
        raise KeyError("sibling")
        yield Aside(int)  # type: ignore[unreachable]

    pump.start(family(doubled(work, 7, 8, 9), fails()), ended)
    assert pumped(pump, doubled(work, 1, 2)) == [[2, 4]]
    assert ([type(error) for error in ended.errors], work.calls) == ([KeyError], [[1, 2]])


# ----------------------------------------------------------------------------------------------------------- quick work


def test_together_stays_here_while_it_is_quick() -> None:
    """Work that was quick is done in the pump's own thread; once it was slow, in another, until it is quick again."""
    now = [0.0]
    slow = [False]
    where: list[str] = []
    pump = Pump(Lanes(1), clock=lambda: now[0])

    def work(group: Sequence[int]) -> list[int]:
        where.append(threading.current_thread().name.partition("-aside")[0])
        now[0] += INLINE_S * 2 * len(group) if slow[0] else 0
        return list(group)

    def story() -> Story[int]:
        got: int = yield from for_one(work, 7)
        return got

    for is_slow in (False, False, True, True, False):
        slow[0] = is_slow
        assert pumped(pump, story()) == [7]
    assert where == ["scs", "MainThread", "MainThread", "scs", "scs"]
    for _ in range(100):
        assert pumped(pump, story()) == [7]
    assert where[-1] == "MainThread"
    pump.close()


def test_quick_work_waits_for_nobody() -> None:
    """Work that is known to be quick begins at once, though a thread is busy and others might still join."""
    now = [0.0]
    groups: list[int] = []
    go = threading.Event()
    pump = Pump(Lanes(1), clock=lambda: now[0])

    def work(group: Sequence[int]) -> list[int]:
        groups.append(len(group))
        return list(group)

    def story() -> Story[int]:
        got: int = yield from for_one(work, 7)
        return got

    def busy() -> Story[None]:
        yield Aside(go.wait, (10,))

    assert pumped(pump, story()) == [7]  # it shows itself to be quick
    ended = Ended()
    pump.start(busy(), ended)
    pump.start(story(), ended)
    pump.turn(0.0)
    pump.turn(0.0)
    assert (groups, ended.values) == ([1, 1], [7])  # at a time that stood still
    go.set()
    turn_until(pump, lambda: ended.count == 2)
    pump.close()
