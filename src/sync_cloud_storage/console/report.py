"""What a verb did, for people: the end of a run, the status, an error. Values in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sync_cloud_storage import units
from sync_cloud_storage.model import ContainerStatus
from sync_cloud_storage.redact import redact
from sync_cloud_storage.safe import safe
from sync_cloud_storage.ways import way_out

if TYPE_CHECKING:
    from sync_cloud_storage.model import Problem, Totals
    from sync_cloud_storage.progress import InitReport, Outcome, StatusReport

_CONTAINERS = {
    ContainerStatus.PENDING: "to list",
    ContainerStatus.LIVE: "live",
    ContainerStatus.LISTED: "listed",
    ContainerStatus.NOT_FOUND: "not found",
    ContainerStatus.EMPTY: "empty",
}


def outcome_lines(outcome: Outcome) -> list[Text]:
    """Say what a run did, what stands in the catalog now, and what did not go well."""
    lines = [Text(sentence) for sentence in _deeds(outcome)]
    lines += [Text(safe(redact(note)), style="dim") for note in outcome.notes]
    took = units.print_duration(outcome.seconds)
    if outcome.stopped_by:
        lines.append(_stopped(outcome.stopped_by, f" after {took}; the same command goes on from here."))
    lines.append(_sum(outcome.totals, took if not outcome.stopped_by else ""))
    lines.append(_equation(outcome.totals))
    if outcome.unaccounted:
        lines.append(Text(safe(outcome.unaccounted), style="bold red"))
        lines.append(Text(f"  {way_out('COUNTS-DIFFER')}", style="dim"))
    if outcome.mismatches:
        differ = "differs" if outcome.mismatches == 1 else "differ"
        said = f"{_blobs(outcome.mismatches)} {differ} from what the catalog says."
        lines.append(Text.assemble((said, "bold red"), " Mend them: scs run --retry-failed"))
    verb = outcome.verb if outcome.verb in {"download", "upload"} else "run"
    return [*lines, *_failures(outcome.totals, verb), *_problems(outcome.problems)]


def status_lines(status: StatusReport, width: int) -> list[Text]:
    """Say where the migration stands, in a table of at most *width* columns."""
    totals = status.totals
    table = [
        ("blobs", totals.blobs, units.print_bytes(totals.bytes)),
        ("in S3", totals.uploaded, units.print_bytes(totals.uploaded_bytes)),
        ("only on the NAS", totals.downloaded, units.print_bytes(totals.downloaded_bytes)),
        ("to download", totals.pending, units.print_bytes(totals.pending_bytes)),
        ("failed", totals.failed, ""),
        ("found wrong by a check", totals.mismatched, ""),
        ("skipped", totals.skipped, ""),
        ("gone at the source", totals.gone, ""),
    ]
    shown = [row for number, row in enumerate(table) if row[1] or number < 4]
    label_width = max(len(label) for label, _, _ in shown)
    count_width = max(len(f"{count:,}") for _, count, _ in shown)
    lines = [Text(safe(status.catalog), style="bold")]
    for label, count, size in shown:
        line = Text(f"  {label:<{label_width}}  ", style="dim")
        line.append(f"{count:>{count_width},}", style="not dim bold red" if label == "failed" else "not dim bold")
        if label_width + count_width + 16 <= width:
            line.append(f"  {size:>10}".rstrip(), style="not dim")
        lines.append(line)
    states = ", ".join(f"{count:,} {_CONTAINERS[state]}" for state, count in status.containers if count)
    lines.append(Text(f"  {units.print_count(totals.containers, 'container')}{f': {states}' if states else ''}"))
    if status.last_run:
        run = status.last_run
        until = f" to {run.ended_at_utc}" if run.ended_at_utc else ""
        lines.append(Text(f"  last run: scs {run.verb}, {run.began_at_utc}{until}: {safe(run.result) or 'not ended'}"))
    return [*lines, *_failures(totals, "run"), *_problems(status.problems)]


def init_lines(report: InitReport) -> list[Text]:
    """Say what is there now, and what comes next."""
    lines = [Text(f"Written: {safe(file)}") for file in report.written]
    lines += [Text(f"Kept as it is: {safe(file)}", style="dim") for file in report.kept]
    lines.append(Text(f"The catalog {safe(report.catalog)} {'was made' if report.catalog_is_new else 'is there'}."))
    if report.marker:
        lines.append(Text(f"The NAS is marked: {safe(report.marker)}"))
    if report.public_key:
        made = "made" if report.signing_key_is_new else "there"
        lines.append(Text(f"The key that certificates are signed with is {made}: {safe(report.signing_key)}"))
        lines.append(Text(f"Its public part, for those who will check them: {report.public_key}"))
    if report.missing:
        lines.append(Text(f"Now fill in {', '.join(report.missing)} in .env, and run scs init again.", style="bold"))
    else:
        lines.append(Text("All set. Next: scs sync, or scs run for everything in one go.", style="bold"))
    return lines


def halted_lines(signal_name: str) -> list[Text]:
    """A verb that only reads was stopped."""
    return [_stopped(signal_name, "; nothing was written.")]


def fault_lines(sentence: str, hint: str) -> list[Text]:
    """An error: what happened and why, then the way out."""
    lines = [Text.assemble(("scs: ", "bold red"), safe(sentence))]
    return [*lines, Text(safe(hint), style="dim")] if hint else lines


def _stopped(signal_name: str, more: str) -> Text:
    return Text(f"Stopped by {'Ctrl-C' if signal_name == 'SIGINT' else signal_name}{more}", style="yellow")


def _deeds(outcome: Outcome) -> list[str]:
    sentences = []
    if outcome.verb in {"sync", "run", "rebuild"}:
        news = [
            f"{count:,} {what}"
            for count, what in ((outcome.added, "new"), (outcome.changed, "changed"), (outcome.gone, "gone"))
            if count
        ]
        sentences.append(f"Listed {_blobs(outcome.listed)}: {', '.join(news) or 'nothing new'}.")
    if outcome.verb == "rebuild":
        sentences += _re_used(outcome)
    for verb, did, count, size_bytes in (
        ("download", "Downloaded", outcome.downloaded, outcome.downloaded_bytes),
        ("upload", "Uploaded", outcome.uploaded, outcome.uploaded_bytes),
    ):
        if outcome.verb in {verb, "run"}:
            size = f", {units.print_bytes(size_bytes)}" if count else ""
            sentences.append(f"{did} {_blobs(count)}{size}{_average(size_bytes, outcome.seconds)}.")
    if outcome.read_again:
        sentences += _scrubbed(outcome)
    elif outcome.verb == "xcheck":
        unproven = f"; {outcome.unproven:,} not proven yet" if outcome.unproven else ""
        sentences.append(f"Proven: {_blobs(outcome.proven)}{unproven}.")
    return sentences


def _re_used(outcome: Outcome) -> list[str]:
    """What a rebuild found in its place, and what it had to move."""
    nas = (outcome.adopted_on_nas, outcome.adopted_on_nas_bytes)
    s3 = (outcome.adopted_in_s3, outcome.adopted_in_s3_bytes)
    down = (outcome.downloaded - outcome.adopted_on_nas, outcome.downloaded_bytes)
    up = (outcome.uploaded - outcome.adopted_in_s3, outcome.uploaded_bytes)
    return [
        f"Adopted on the NAS: {_with_bytes(*nas)}. Downloaded: {_with_bytes(*down)}.",
        f"Adopted in S3: {_with_bytes(*s3)}. Sent: {_with_bytes(*up)}.",
    ]


def _with_bytes(count: int, size_bytes: int) -> str:
    return f"{_blobs(count)}, {units.print_bytes(size_bytes)}" if count else "nothing"


def _scrubbed(outcome: Outcome) -> list[str]:
    """What came of reading files again."""
    wrong, again = outcome.mismatches, outcome.to_fetch_again
    found = "all are as they were downloaded"
    if wrong:
        found = f"{wrong:,} {'is' if wrong == 1 else 'are'} not as downloaded"
    sentences = [f"Read {units.print_count(outcome.read_again, 'file')} on the NAS again: {found}."]
    if again:
        sentences.append(f"The next scs run downloads {units.print_count(again, 'file')} again.")
    return sentences


def _sum(totals: Totals, took: str) -> Text:
    text = f"In S3: {totals.uploaded:,} of {_blobs(totals.blobs - totals.skipped)}"
    if totals.downloaded:
        text += f"; {totals.downloaded:,} more on the NAS"
    if totals.pending:
        text += f"; {totals.pending:,} to download"
    if totals.skipped:
        text += f"; {totals.skipped:,} skipped"
    if totals.containers_pending:
        text += f"; {units.print_count(totals.containers_pending, 'container')} to list"
    return Text(f"{text}.{f' Took {took}.' if took else ''}", style="bold")


def _equation(totals: Totals) -> Text:
    """Every blob that was ever listed is in one of these: nothing is lost on the way."""
    parts = [
        (totals.uploaded, "in S3"),
        (totals.downloaded, "on the NAS"),
        (totals.pending, "pending"),
        (totals.failed, "failed"),
        (totals.skipped, "skipped"),
    ]
    said = " + ".join(f"{count:,} {word}" for count, word in parts if count) or "0"
    return Text(f"{totals.blobs:,} listed = {said}", style="dim")


def _failures(totals: Totals, verb: str) -> list[Text]:
    lines = [Text()] if totals.failed or totals.containers_failed else []
    if totals.failed:
        hint = f" Try again: scs {verb} --retry-failed"
        lines.append(Text.assemble((f"{_blobs(totals.failed)} failed.", "bold red"), hint))
    if totals.containers_failed:
        containers = units.print_count(totals.containers_failed, "container")
        lines.append(Text(f"{containers} could not be listed.", style="bold red"))
    return lines


def _problems(problems: tuple[Problem, ...]) -> list[Text]:
    lines = []
    for problem in problems:
        name = "/".join(filter(None, (problem.container, problem.blob)))
        lines.append(Text(f"  {safe(name)}"))
        lines.append(Text(f"    {safe(problem.code)}  {safe(redact(problem.sentence))}", style="dim"))
    if problems:
        lines.append(Text("All of them: select * from problems; in the catalog (sqlite3).", style="dim"))
    return lines


def _average(size_bytes: int, seconds: float) -> str:
    return f" ({units.print_rate(size_bytes / seconds)})" if size_bytes and seconds >= 1 else ""


def _blobs(count: int) -> str:
    return units.print_count(count, "blob")
