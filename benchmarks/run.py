"""Runs one row: everybody in turns, round by round; what it took becomes a result."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import Stage
from benchmarks.measure import FailedError, Took, steal_s
from tests.servers import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.lab import Lab
    from benchmarks.rows import Claim, Row, Sizes
    from benchmarks.tools import Tool

_LEAST_WARM = 1 << 30  # catalogs and lists need memory, too

Rounds = dict[str, dict[int, Took]]  # by stage, then by round


def run(row: Row, lab: Lab, sizes: Sizes, tools: Mapping[str, Tool], command: str) -> dict[str, Any]:
    """Measure one row, print each turn, and give what `results/` keeps."""
    recipe = row.recipe(sizes)
    data = lab.data(recipe)
    notes: dict[str, str] = {}
    rounds: Rounds = {}
    load, steal, at = os.getloadavg()[0], steal_s(), datetime.now(UTC)
    need = 0 if recipe.kind == "listing" else max(data.size_bytes, data.blobs * 4096)
    with _folder(lab, row.copies * need) as shared:
        in_memory = is_warm = lab.is_in_memory(shared)
        for name in ("server", "tls"):
            (shared / name).mkdir()
        tls = shared / "tls" if row.tls else None
        with nginx.running(shared / "server", data.path, tls=tls, moments=row.moments) as cloud:
            stages = {
                entry: Stage(tools[entry.tool], cloud, data, recipe, lab, sizes, shared)
                for entry in row.entries
                if _is_there(tools[entry.tool], notes)
            }
            for number in range(sizes["rounds"]):
                is_warm &= in_memory and lab.keep_warm(max(need, _LEAST_WARM))
                for entry, stage in stages.items():
                    if entry.tool in notes or (entry.is_slow and number):
                        continue
                    try:
                        with _folder(lab, need) as folder:
                            turn = entry.turn(stage._replace(number=number), folder)
                    except FailedError as error:
                        notes[entry.tool] = str(error)
                        print(f"  {entry.tool}: {error}", flush=True)
                        continue
                    for name, took in turn.items():
                        rounds.setdefault(name, {})[number] = took
                        _tell(number, name, took)
    minutes = (datetime.now(UTC) - at).total_seconds() / 60
    return {
        "row": row.name,
        "work": row.work.format(**sizes),
        "command": command,
        "at_utc": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "minutes": round(minutes, 1),
        "machine": {
            "processors": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "files": "tmpfs" if in_memory else "disk",
            "memory_is_warm": is_warm,
        },
        "load_before": round(load, 1),
        "steal_s": round(steal_s() - steal, 1),
        "sizes": sizes,
        "blobs": data.blobs,
        "bytes": data.size_bytes,
        "unit": row.unit,
        "versions": {entry.tool: tools[entry.tool].version for entry in row.entries if tools[entry.tool].path},
        "does": {entry.tool: entry.does for entry in row.entries},
        "notes": notes,
        "medians": {name: _median(tuple(each.values())) for name, each in rounds.items()},
        "rounds": {
            name: [{"round": number + 1, **_rounded(took)} for number, took in each.items()]
            for name, each in rounds.items()
        },
        "claims": [_judged(claim, rounds) for claim in row.claims(sizes)],
    }


def _is_there(tool: Tool, notes: dict[str, str]) -> bool:
    if not tool.path:
        notes[tool.name] = tool.missing
        print(f"  {tool.name} is missing, its column stays empty: {tool.missing}", flush=True)
    return bool(tool.path)


@contextlib.contextmanager
def _folder(lab: Lab, need_bytes: int) -> Iterator[Any]:
    folder = lab.folder(need_bytes)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if not lab.is_in_memory(folder):
            os.sync()  # or the next in turn pays for what this one left to be written


def _tell(number: int, name: str, took: Took) -> None:
    memory = f"{took.peak_mib:7.0f} MiB" if took.peak_mib else ""
    print(f"  round {number + 1}  {name:<34} {took.seconds:8.2f} s {took.cpu_s:8.2f} s CPU {memory}", flush=True)


def _rounded(took: Took) -> dict[str, float]:
    return {"seconds": round(took.seconds, 3), "cpu_s": round(took.cpu_s, 3), "peak_mib": round(took.peak_mib, 1)}


def _median(taken: Sequence[Took]) -> dict[str, float]:
    return _rounded(Took(*(statistics.median(figures) for figures in zip(*taken, strict=True))))


def _judged(claim: Claim, rounds: Rounds) -> dict[str, Any]:
    """A claim with what became of it; `value` is None where somebody did not take part."""
    said: dict[str, Any] = {**claim._asdict(), "value": None, "cpu": None, "also_value": None, "is_met": None}
    ours, theirs = rounds.get(claim.ours, {}), rounds.get(claim.theirs, {})
    if not ours or (claim.theirs and not theirs):
        return said
    if claim.theirs:
        said["value"] = _ratio(theirs, ours, claim.figure)
        said["cpu"] = _ratio(theirs, ours, "cpu_s")
        if claim.also:
            said["also_value"] = _ratio(theirs, rounds[claim.also], claim.figure)
    else:
        said["value"] = round(statistics.median(getattr(took, claim.figure) for took in ours.values()), 2)
    said["is_met"] = said["value"] >= claim.at_least if claim.at_least else said["value"] <= claim.at_most
    return said


def _ratio(above: Mapping[int, Took], below: Mapping[int, Took], figure: str) -> float | None:
    both = [
        getattr(above[number], figure) / getattr(below[number], figure)
        for number in above.keys() & below.keys()
        if getattr(below[number], figure)
    ]
    return round(statistics.median(both), 2) if both else None
