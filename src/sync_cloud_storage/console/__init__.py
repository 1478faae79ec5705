"""What people and programs get to see of a verb. Floor 5: takes values, asks nothing of the rest.

`Console` has two outlets: people read one (standard output; standard error with `--json`), programs the other. On a
terminal people see live totals in place, elsewhere a line every now and then.

    view.py      one moment of a run, for people         screen.py  draws it in place
    report.py    what a verb did, for people             outlet.py  a stream that never stops the run
    document.py  the same for programs                   proofs.py  reports and certificates, for people
    crash.py     where a mistake of our own goes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.console.crash import record_crash
from sync_cloud_storage.console.document import (
    fault_document,
    init_document,
    json_text,
    outcome_document,
    report_document,
    status_document,
    verdict_document,
)
from sync_cloud_storage.console.outlet import Outlet
from sync_cloud_storage.progress import stopped_code
from sync_cloud_storage.redact import redact
from sync_cloud_storage.safe import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from rich.text import Text

    from sync_cloud_storage.balance import Verdict, Whole
    from sync_cloud_storage.console.screen import Screen
    from sync_cloud_storage.errors import ScsError
    from sync_cloud_storage.progress import InitReport, Outcome, Progress, StatusReport

__all__ = ["Console", "record_crash", "safe"]

_DRAW_EVERY_S = 0.25
_LINE_EVERY_S = 10.0
_LINE_EVERY_LATER_S = 60.0  # after the first ten minutes: a log of a run of weeks should stay readable
_LATER_S = 600.0


class Console:
    """The words of one verb.

    Args:
        verb: Its name.
        as_json: One JSON document on *stdout* at the end; people read *stderr*.
        quiet: People get errors only.
        environ: The environment: colours, locale, size.
        clock: A monotonic clock, in seconds.
        stdout: None where it was closed before the start; likewise *stderr*.
        stderr: See there.
    """

    def __init__(
        self,
        verb: str,
        *,
        as_json: bool,
        quiet: bool,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        stdout: TextIO | None,
        stderr: TextIO | None,
    ) -> None:
        self._verb = verb
        self._as_json = as_json
        self._quiet = quiet
        self._environ = environ
        self._clock = clock
        self._documents = Outlet(stdout, environ)
        self._errors = Outlet(stderr, environ)
        self._people = self._errors if as_json else self._documents
        self._screens: dict[Outlet, Screen] = {}
        self._warnings: tuple[str, ...] = ()
        self._note = ""
        self._next_s = float("-inf")
        self._last_note = ""

    def warn(self, sentences: Sequence[str]) -> None:
        """Say what works and should not stay so; on standard error, and in the document."""
        self._warnings = tuple(map(redact, sentences))
        if not self._quiet:
            from rich.text import Text  # noqa: PLC0415  (rich takes a tenth of a second; --help does without)

            for sentence in self._warnings:
                self._screen(self._errors).print(Text.assemble(("scs: ", "yellow"), safe(sentence)))

    def listen(self, progress: Progress) -> None:
        """Show *progress*, as often as is good for the eyes. Call it as often as you like, at least once a second."""
        if self._quiet or not self._people.is_open:
            return
        if self._note:
            progress = progress._replace(note=self._note)
        now_s = self._clock()
        if now_s < self._next_s and progress.note == self._last_note:
            return
        self._last_note = progress.note
        from sync_cloud_storage.console import view  # noqa: PLC0415

        if self._people.is_terminal:
            self._next_s = now_s + _DRAW_EVERY_S
            columns, rows = self._people.size()
            glyphs = view.UNICODE if self._people.is_unicode else view.ASCII
            # One column stays free: terminals differ in what they do after the last one.
            self._screen(self._people).draw(view.live_lines(progress, columns - 1, rows - 1, glyphs))
        else:
            self._next_s = now_s + (_LINE_EVERY_S if progress.elapsed_s < _LATER_S else _LINE_EVERY_LATER_S)
            self._people.write(f"{view.plain_line(progress)}\n")

    def stopping(self) -> None:
        """Say, with the next progress, that the run is being stopped. Safe to call from a signal handler."""
        self._note = "Stopping: what is in flight is brought to an end. Once more stops at once."

    def outcome(self, outcome: Outcome) -> int:
        """The end of a run; gives its exit code."""
        from sync_cloud_storage.console import report  # noqa: PLC0415

        self._tell(report.outcome_lines(outcome), outcome_document(outcome))
        return outcome.exit_code

    def status(self, status: StatusReport) -> int:
        """Where the migration stands; gives the exit code."""
        from sync_cloud_storage.console import report  # noqa: PLC0415

        self._tell(report.status_lines(status, self._people.size()[0]), status_document(status))
        return status.exit_code

    def init(self, done: InitReport) -> int:
        """What `scs init` did; gives the exit code."""
        from sync_cloud_storage.console import report  # noqa: PLC0415

        self._tell(report.init_lines(done), init_document(done))
        return 0

    def report(
        self, whole: Whole, files: Sequence[Path], statement: Mapping[str, object] | None, public_key: str
    ) -> int:
        """What became of every blob, and what was written; gives the exit code."""
        from sync_cloud_storage.console import proofs  # noqa: PLC0415

        lines = proofs.report_lines(whole, files, public_key)
        self._tell(lines, report_document(whole, files, statement, public_key))
        return whole.exit_code

    def verdict(self, verdict: Verdict) -> int:
        """A certificate that is in order, and what it states; gives the exit code."""
        from sync_cloud_storage.console import proofs  # noqa: PLC0415

        self._tell(proofs.verdict_lines(verdict), verdict_document(verdict))
        return verdict.exit_code

    def halted(self, signal_name: str) -> int:
        """A verb that only reads was stopped; gives the exit code."""
        from sync_cloud_storage.console import report  # noqa: PLC0415

        code = stopped_code(signal_name)
        document = {"verb": self._verb, "exit_code": code, "stopped_by": signal_name}
        self._tell(report.halted_lines(signal_name), document)
        return code

    def done(self, sentence: str, document: Mapping[str, object]) -> None:
        """A verb whose result is one sentence, and for programs a few values."""
        from rich.text import Text  # noqa: PLC0415

        self._tell([Text(safe(sentence))], {"verb": self._verb, "exit_code": 0, **document})

    def fault(self, fault: ScsError) -> None:
        """An error: always for people, on standard error, and as a document where one was asked for."""
        from sync_cloud_storage.console import report  # noqa: PLC0415

        self._clear()
        for line in report.fault_lines(redact(fault.sentence), redact(fault.hint)):
            self._screen(self._errors).print(line)
        self._write_document(fault_document(self._verb, fault))

    def _tell(self, lines: Sequence[Text], document: Mapping[str, object]) -> None:
        self._clear()
        if not self._quiet:
            for line in lines:
                self._screen(self._people).print(line)
        self._write_document(document)

    def _write_document(self, document: Mapping[str, object]) -> None:
        if self._as_json:
            self._documents.write(json_text({**document, "warnings": list(self._warnings)}))

    def _clear(self) -> None:
        for screen in self._screens.values():
            screen.clear()

    def _screen(self, outlet: Outlet) -> Screen:
        from sync_cloud_storage.console.screen import Screen  # noqa: PLC0415

        if outlet not in self._screens:
            self._screens[outlet] = Screen(outlet, self._environ)
        return self._screens[outlet]
