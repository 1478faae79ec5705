"""Damages a million things and looks whether each is found before a row would say that it is proven.

    python -m tests.journey.damage --in-process 1000000 --over-http 10000 --seed 1

In process: bodies, words of answers, files, objects, listings, reports, about which the product's own code decides,
without sockets. Over HTTP: the installed command between the strict cloud and a NAS; sqlite3 looks at its catalog.

A damage is found when the answer is refused and asked for again, or the row fails, is rotten, is a mismatch or is not
proven. It is missed when wrong bytes are taken for the blob, or a wrong word for evidence. A run that did no damage has
tested nothing, and fails. What was missed is named by its case: `--only CASE`, with the same seed, does it again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.journey.damaging import moving, proving, recalled
from tests.journey.damaging.bench import COMPANY, Bench
from tests.journey.damaging.kinds import KINDS, Outcome, Unsound
from tests.journey.damaging.over_http import PREFIX, one_round, rounds
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Place = Callable[[Bench, random.Random], list[Outcome]]

BATCHES_AT_ONCE = 200
MISSED_SHOWN = 10

PLACES: tuple[Place, ...] = (
    *(partial(moving.download, way=way) for way in moving.WAYS),
    moving.leftover,
    moving.in_the_way,
    moving.before_upload,
    moving.while_sent,
    moving.on_its_way,
    moving.answer_to_upload,
    proving.files_read,
    proving.files_measured,
    proving.objects_asked,
    proving.objects_read,
    proving.listing,
    proving.report,
    proving.inventory,
    recalled.manifest,
)


class Case(NamedTuple):
    """One damage, by the name under which it can be done again, and what came of it."""

    name: str
    outcome: Outcome


class Score:
    """How much was damaged and found, by place and kind."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.done: Counter[tuple[str, str]] = Counter()
        self.missed: list[Case] = []

    def add(self, cases: Iterable[Case]) -> None:
        """Count some more."""
        for case in cases:
            self.done[case.outcome.place, case.outcome.kind] += 1
            if case.outcome.missed:
                self.missed.append(case)

    @property
    def why_failed(self) -> str:
        """Why this run proves nothing, or the contrary; "" if it is as it should be."""
        if not self.done:
            return "no damage was done, so nothing was tested"
        if self.done.total() < self.wanted:
            return f"{self.done.total():,} damages were done instead of {self.wanted:,}"
        return f"{len(self.missed):,} of {self.done.total():,} damages were missed" if self.missed else ""

    def table(self) -> str:
        """Place by kind: how many were done, and how many of them were not found."""
        missed = Counter((case.outcome.place, case.outcome.kind) for case in self.missed)
        lines = [f"{'place':<28} {'kind':<16} {'done':>10} {'found':>10}"]
        for (place, kind), done in sorted(self.done.items(), key=lambda one: (one[0][0], KINDS.index(one[0][1]))):
            found = done - missed[place, kind]
            lines.append(f"{place:<28} {kind:<16} {done:>10,} {found:>10,}{'' if found == done else '  MISSED'}")
        lines.append(f"{'all':<45} {self.done.total():>10,} {self.done.total() - len(self.missed):>10,}")
        return "\n".join(lines)


def batch(bench: Bench, seed: int, number: int) -> list[Case]:
    """Damage the things of one batch.

    Raises:
        Unsound: Something came of it that the product never says, such as an exception that is no `ScsError`.
    """
    place = PLACES[number % len(PLACES)]
    try:
        outcomes = place(bench, random.Random(f"{seed}/{number}"))
    except Exception as error:
        raise Unsound(f"--seed {seed} --only {number * COMPANY}, or one of its company: {error!r}") from error
    return [Case(str(number * COMPANY + index), outcome) for index, outcome in enumerate(outcomes)]


def in_process(count: int, seed: int, processes: int = 1) -> Iterator[list[Case]]:
    """Do *count* damages, in their order where it is one process."""
    batches = range(-(-count // COMPANY))
    some = [range(first, min(first + BATCHES_AT_ONCE, len(batches))) for first in batches[::BATCHES_AT_ONCE]]
    with in_memory() as memory:  # ours, since the other processes may be ended in the middle
        do = partial(_some, memory, seed, count)
        if processes == 1:
            yield from map(do, some)
            return
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            yield from pool.imap_unordered(do, some)


def _some(memory: Path, seed: int, count: int, numbers: range) -> list[Case]:
    with Bench(memory) as bench:
        return [case for number in numbers for case in batch(bench, seed, number)[: count - number * COMPANY]]


def damage(in_process_count: int, over_http_count: int, seed: int, folder: Path, processes: int = 1) -> Score:
    """Do all of it; over HTTP in *folder*."""
    score = Score(in_process_count + over_http_count)
    for cases in in_process(in_process_count, seed, processes):
        score.add(cases)
    for name, outcomes in rounds(over_http_count, seed, folder):
        score.add(Case(name, outcome) for outcome in outcomes)
    return score


def again(only: str, seed: int, folder: Path) -> Score:
    """Do one case again, or one round over HTTP."""
    score = Score(1)
    if only.startswith(PREFIX):
        score.add(Case(only, outcome) for outcome in one_round(only, seed, folder))
        return score
    with in_memory() as memory, Bench(memory) as bench:
        score.add(case for case in batch(bench, seed, int(only) // COMPANY) if case.name == only)
    return score


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-process", type=int, default=1_000_000)
    parser.add_argument("--over-http", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="CASE", default="", help="do this case again, and no other")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scs-damage-") as folder:
        try:
            if given.only:
                score = again(given.only, given.seed, Path(folder))
            else:
                score = damage(given.in_process, given.over_http, given.seed, Path(folder), given.processes)
        except Unsound as error:
            print(f"nothing is proven: {error}")  # noqa: T201
            return 1
    print(score.table())  # noqa: T201
    for case in score.missed[:MISSED_SHOWN]:
        kind, place, missed = case.outcome.kind, case.outcome.place, case.outcome.missed
        print(f"MISSED --seed {given.seed} --only {case.name}: {place}, {kind}: {missed}")  # noqa: T201
    print(f"{score.why_failed or 'every damage was found'}; {time.monotonic() - began:.0f} s")  # noqa: T201
    return 1 if score.why_failed else 0


if __name__ == "__main__":
    sys.exit(main())
