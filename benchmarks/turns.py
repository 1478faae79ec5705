"""Lets contenders do the same work in turns, and writes down what it took: seconds, processor seconds, memory.

In turns, because a machine is never the same for two minutes: A B A B, not A A B B. Medians, because one bad turn says
nothing. Each turn is checked: a contender that did not do the work did not take part.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Took(NamedTuple):
    """What one command took; its children are counted in, once it has waited for them."""

    seconds: float
    cpu_s: float
    peak_mib: float  # of the largest single process

    def __add__(self, other: object) -> Took:  # a turn of several commands is their sum
        """Both, one after the other."""
        if not isinstance(other, Took):
            return NotImplemented
        return Took(self.seconds + other.seconds, self.cpu_s + other.cpu_s, max(self.peak_mib, other.peak_mib))


class Contender(NamedTuple):
    """Somebody who does the work: `turn` does it once and says what each stage took, by name."""

    name: str
    version: str
    turn: Callable[[], Mapping[str, Took]]


def timed(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> Took:
    """Run one command to its end.

    Raises:
        RuntimeError: It ended with another code than 0; with the end of its log.
    """
    with log.open("wb") as sink:
        began = time.perf_counter()
        child = subprocess.Popen(argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        said = log.read_text("utf-8", "replace")[-2_000:]
        raise RuntimeError(f"{' '.join(argv)} ended with {child.returncode}:\n{said}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(contenders: Sequence[Contender], rounds: int) -> dict[str, dict[str, list[Took]]]:
    """Let them work in turns; gives for each contender and stage what each round took."""
    taken: dict[str, dict[str, list[Took]]] = {each.name: {} for each in contenders}
    for number in range(1, rounds + 1):
        for each in contenders:
            for stage, took in each.turn().items():
                taken[each.name].setdefault(stage, []).append(took)
                figures = f"{took.seconds:8.2f} s  {took.cpu_s:8.2f} s CPU"
                print(f"round {number}  {each.name:<10} {stage:<16} {figures}", flush=True)
    return taken


def medians(stages: Mapping[str, Sequence[Took]]) -> dict[str, Any]:
    """The median of each stage, with all rounds beside it."""
    return {
        stage: {
            "seconds": round(statistics.median(took.seconds for took in rounds), 3),
            "cpu_s": round(statistics.median(took.cpu_s for took in rounds), 3),
            "peak_mib": round(statistics.median(took.peak_mib for took in rounds), 1),
            "rounds_s": [round(took.seconds, 3) for took in rounds],
        }
        for stage, rounds in stages.items()
    }


def write(file: Path, result: Mapping[str, Any]) -> None:
    """Write a result, with the day and the kind of machine that it is from."""
    machine = {"processors": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"at_utc": now, "machine": machine, **result}, indent=2) + "\n")
