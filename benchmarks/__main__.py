"""Measure scs and its peers, row by row.

Without a row: all of them. The short form takes less than ten minutes on two processors; the full one, with the sizes
that count, some hours. Results go to benchmarks/results, the tables of docs/benchmarks.md are made from them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from pathlib import Path

from benchmarks import report, tools
from benchmarks.lab import Lab
from benchmarks.rows import ROWS, Row, Sizes
from benchmarks.run import run

SHORT_ROUNDS, FULL_ROUNDS = 3, 5


def main() -> int:
    """Do what the command line asks for; 1 when somebody could not take part."""
    known = {row.name: row for row in ROWS}
    options = sorted({name for row in ROWS for name in row.sizes})
    wish = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    wish.add_argument("chosen", nargs="*", metavar="ROW", help=", ".join(known))
    wish.add_argument("--full", action="store_true", help="the sizes that count, at least five rounds")
    wish.add_argument("--rounds", type=int, help=f"{SHORT_ROUNDS}; {FULL_ROUNDS} in the full form")
    for name in options:
        wish.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help="instead of the row's own")
    wish.add_argument(
        "--folder", type=Path, help="work there; default: in memory and in the folder for temporary files"
    )
    wish.add_argument("--results", type=Path, default=report.RESULTS, metavar="FOLDER", help="where results go")
    wish.add_argument("--list", action="store_true", help="say what there is")
    wish.add_argument("--table", action="store_true", help="make the tables of docs/benchmarks.md again, no more")
    asked = wish.parse_args()
    if asked.list or asked.table:
        if asked.table:
            report.rewrite()
        for row in ROWS if asked.list else ():
            print(f"{row.name:<20} {row.work.format(**{name: size[1] for name, size in row.sizes.items()})}")
        return 0
    if unknown := set(asked.chosen) - known.keys():
        wish.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave by the same door as Ctrl-C: servers and files go
    chosen = [row for row in ROWS if not asked.chosen or row.name in asked.chosen]
    own = {name: getattr(asked, name) for name in options if getattr(asked, name)}
    rounds = asked.rounds or (FULL_ROUNDS if asked.full else SHORT_ROUNDS)
    try:
        return _measure([(row, _sizes(row, own, rounds, is_full=asked.full)) for row in chosen], asked)
    except KeyboardInterrupt:
        print("Stopped; what was finished is in the results.", file=sys.stderr)
        return 130


def _sizes(row: Row, own: Sizes, rounds: int, *, is_full: bool) -> Sizes:
    return {**{name: own.get(name, sizes[is_full]) for name, sizes in row.sizes.items()}, "rounds": rounds}


def _measure(work: list[tuple[Row, Sizes]], asked: argparse.Namespace) -> int:
    found, absent = tools.find(), False
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    with Lab(asked.folder) as lab:
        for number, (row, sizes) in enumerate(work):
            lab.forget_all_but({later.recipe(theirs) for later, theirs in work[number:]})
            print(f"{row.name}: {row.work.format(**sizes)}", flush=True)
            result = run(row, lab, sizes, found, command)
            absent |= bool(result["notes"])
            asked.results.mkdir(parents=True, exist_ok=True)
            (asked.results / f"{row.name}.json").write_text(json.dumps(result, indent=2) + "\n")
            for claim in result["claims"]:
                goal = f">= {claim['at_least']:g}" if claim["at_least"] else f"<= {claim['at_most']:g}"
                print(f"  {claim['ours']} / {claim['theirs'] or '-'}: {claim['value']} ({goal})", flush=True)
    if asked.results == report.RESULTS:
        report.rewrite()
    return int(absent)


if __name__ == "__main__":
    sys.exit(main())
