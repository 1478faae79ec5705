"""From results to the tables of `docs/benchmarks.md`: what stands between the two markers there comes from here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.rows import ROWS

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table: begin (scripts/bench --table) -->", "<!-- table: end -->"
_MARKS = {True: "reached", False: "**missed**", None: "not measured"}


def results() -> list[dict[str, Any]]:
    """What `results/` has, in the order of the rows."""
    files = [RESULTS / f"{row.name}.json" for row in ROWS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def rewrite() -> None:
    """Put the tables of the results there are between the markers of the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(results())}\n{END}{after}")


def tables(found: list[dict[str, Any]]) -> str:
    """The claims in one table, then a table of figures for each row."""
    lines = ["", "| work | what is compared | measured | in CPU seconds | asked for | |", "|---|---|---|---|---|---|"]
    for result in found:
        lines += [_claim(result, claim) for claim in result["claims"]]
    for result in found:
        lines += _figures(result)
    return "\n".join(lines) + "\n"


def _claim(result: dict[str, Any], claim: dict[str, Any]) -> str:
    value, also = claim["value"], claim["also_value"]
    unit = "x" if claim["theirs"] else {"seconds": " s", "peak_mib": " MiB"}[claim["figure"]]
    against = f"{claim['theirs']} : {claim['ours']}" if claim["theirs"] else claim["ours"]
    asked = f"at least {claim['at_least']:g}" if claim["at_least"] else f"at most {claim['at_most']:g}"
    told = "" if value is None else f"{value:g}{unit}" + (f" ({claim['also']}: {also:g}x)" if also else "")
    cpu = f"{claim['cpu']:g}x" if claim["cpu"] and claim["figure"] == "seconds" else ""
    name = f"[{result['row']}](#{result['row']}): {result['work']}"
    return f"| {name} | {against} | {told} | {cpu} | {asked}{unit} | {_MARKS[claim['is_met']]} |"


def _figures(result: dict[str, Any]) -> list[str]:
    machine, count = result["machine"], result["sizes"]["rounds"]
    when = f"`{result['command']}`, {result['at_utc'][:10]}: {count} rounds in {result['minutes']} minutes"
    where = f"{machine['processors']} processors, {machine['memory_gib']} GiB, files on {machine['files']}"
    where += " (warm)" if machine.get("memory_is_warm") else ""
    noise = f"load before {result['load_before']}, {result['steal_s']} s stolen"
    lines = ["", f"### {result['row']}", f"{result['work'][0].upper()}{result['work'][1:]}."]
    lines += [f"{when}; {where}; {noise}.", "", "| | seconds | CPU seconds | peak MiB | a second | does |"]
    lines += ["|---|---|---|---|---|---|"]
    for stage, median in result["medians"].items():
        peak = f"{median['peak_mib']:,.0f}" if median["peak_mib"] else ""
        cpu = f"{median['cpu_s']:,.2f}" if median["cpu_s"] else ""
        does = result["does"].get(stage.split()[0], "")
        lines.append(
            f"| `{stage}` | {median['seconds']:,.2f} | {cpu} | {peak} | {_rate(result, median['seconds'])} | {does} |"
        )
    lines += [
        f"| {tool} | | | | | did not take part: {note.splitlines()[0]} |" for tool, note in result["notes"].items()
    ]
    return lines


def _rate(result: dict[str, Any], seconds: float) -> str:
    if result["unit"] == "blobs":
        return f"{result['blobs'] / seconds:,.0f}"
    if result["unit"] == "bytes":
        return f"{result['bytes'] / seconds / 2**20:,.0f} MiB"
    return ""
