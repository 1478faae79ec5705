"""What a verb did, for programs: the one JSON document that `--json` gives. Values in, text out.

The keys are part of the interface: they may be added to, not renamed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.redact import redact
from sync_cloud_storage.ways import way_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sync_cloud_storage.balance import Sum, Verdict, Whole
    from sync_cloud_storage.errors import ScsError
    from sync_cloud_storage.model import Problem
    from sync_cloud_storage.progress import InitReport, Outcome, StatusReport


def outcome_document(outcome: Outcome) -> dict[str, object]:
    """Describe a run. `run` is what happened now, `totals` what stands in the catalog."""
    apart = {"verb", "totals", "problems", "notes", "seconds", "stopped_by"}
    return {
        "verb": outcome.verb,
        "exit_code": outcome.exit_code,
        "stopped_by": outcome.stopped_by,
        "seconds": round(outcome.seconds, 3),
        "run": {name: value for name, value in outcome._asdict().items() if name not in apart},
        "totals": outcome.totals._asdict(),
        "problems": [_problem(problem) for problem in outcome.problems],
        "notes": [redact(note) for note in outcome.notes],
    }


def status_document(status: StatusReport) -> dict[str, object]:
    """Describe the catalog."""
    return {
        "verb": "status",
        "exit_code": status.exit_code,
        "catalog": status.catalog,
        "totals": status.totals._asdict(),
        "containers": {state.name.lower(): count for state, count in status.containers},
        "last_run": status.last_run._asdict() if status.last_run else None,
        "problems": [_problem(problem) for problem in status.problems],
    }


def init_document(report: InitReport) -> dict[str, object]:
    """Describe what `scs init` did."""
    return {"verb": "init", "exit_code": 0, **report._asdict()}


def report_document(
    whole: Whole, files: Sequence[Path], statement: Mapping[str, object] | None, public_key: str
) -> dict[str, object]:
    """Describe what became of every blob, in sums. `certificate` is the statement of the one that was written."""
    balance = whole.balance
    return {
        "verb": "report",
        "exit_code": whole.exit_code,
        **{name: value for name, value in whole._asdict().items() if isinstance(value, str)},
        "containers": {
            **whole.containers._asdict(),
            "failed_by_code": [
                {"code": code, "containers": count, "way_out": way_out(code)} for code, count in whole.container_codes
            ],
        },
        "listed": balance.sum_of()._asdict(),
        "states": {state: found._asdict() for state, found in balance.states().items()},
        "levels": [{"level": number, **level._asdict()} for number, level in enumerate(balance.levels())],
        "failed": [_by_code(code, found) for code, found in balance.failed().items()],
        "found_by_a_check": [_by_code(code, found) for code, found in balance.found().items()],
        "skipped": [{"reason": reason, **found._asdict()} for reason, found in balance.skipped().items()],
        "gone": balance.gone()._asdict(),
        "difference_count": whole.difference_count,
        "differences": [_problem(problem) for problem in whole.differences],
        "files": list(map(str, files)),
        "certificate": statement,
        "public_key": public_key,
    }


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """Describe a certificate that is in order. `blob` is what was asked for with `--blob`."""
    return {
        "verb": "verify-certificate",
        "exit_code": verdict.exit_code,
        "public_key": verdict.public_key,
        "key_was_given": verdict.key_was_given,
        "catalog": verdict.catalog,
        "statement": verdict.statement,
        "blob": verdict.finding._asdict() if verdict.finding else None,
    }


def _by_code(code: str, found: Sum) -> dict[str, object]:
    return {"code": code, **found._asdict(), "way_out": way_out(code)}


def fault_document(verb: str, fault: ScsError) -> dict[str, object]:
    """Describe an error."""
    error = {"code": fault.code, "sentence": redact(fault.sentence), "hint": redact(fault.hint)}
    return {"verb": verb, "exit_code": fault.exit_code, "error": error}


def json_text(document: Mapping[str, object]) -> str:
    """Write a document as JSON in plain ASCII, so that no terminal and no locale can be hurt by a name in it."""
    return json.dumps(document, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def _problem(problem: Problem) -> dict[str, str]:
    return {**problem._asdict(), "sentence": redact(problem.sentence)}
