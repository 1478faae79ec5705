"""What a verb did, for programs: the one JSON document that `--json` gives. Values in, text out.

The keys are part of the interface: they may be added to, not renamed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def fault_document(verb: str, fault: ScsError) -> dict[str, object]:
    """Describe an error."""
    error = {"code": fault.code, "sentence": redact(fault.sentence), "hint": redact(fault.hint)}
    return {"verb": verb, "exit_code": fault.exit_code, "error": error}


def json_text(document: Mapping[str, object]) -> str:
    """Write a document as JSON in plain ASCII, so that no terminal and no locale can be hurt by a name in it."""
    return json.dumps(document, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def _problem(problem: Problem) -> dict[str, str]:
    return {**problem._asdict(), "sentence": redact(problem.sentence)}
