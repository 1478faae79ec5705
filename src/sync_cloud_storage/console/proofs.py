"""Reports and certificates, for people. Values in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from sync_cloud_storage.balance import LEVELS, STATES, WORDS, Sum
from sync_cloud_storage.redact import redact
from sync_cloud_storage.safe import safe
from sync_cloud_storage.units import print_bytes, print_count
from sync_cloud_storage.ways import way_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sync_cloud_storage.balance import Finding, Verdict, Whole

_SHOWN = 30


def report_lines(whole: Whole, files: Sequence[Path], public_key: str) -> list[Text]:
    """Say what became of every blob, and what was written."""
    lines = [
        Text(f"{safe(whole.catalog)}, as it is at {whole.at_utc}", style="bold"),
        *_equation(whole),
        *_levels(whole),
        *_failures(whole),
        *_skipped(whole),
        *_differences(whole),
        Text(),
        _verdict(whole),
    ]
    lines += [Text(f"Written: {safe(str(file))}") for file in files]
    if public_key:
        lines.append(Text(f"The certificate is signed with the key {public_key}"))
    return lines


def verdict_lines(verdict: Verdict) -> list[Text]:
    """Say that a certificate is in order, whose it is, and what it states."""
    stated = verdict.statement
    lines = [Text("The certificate is as it was signed.", style="bold green")]
    if verdict.key_was_given:
        lines.append(Text(f"It is signed with the key that you named: {verdict.public_key}"))
    else:
        lines.append(Text(f"It is signed with the key {verdict.public_key}"))
        lines.append(
            Text(
                "Anybody can sign with a key of their own: compare it with the one that scs init printed (--key)",
                style="yellow",
            )
        )
    if verdict.catalog:
        lines.append(Text(f"The catalog {safe(verdict.catalog)} says the same: root, sums and exceptions."))
    way = " to ".join(safe(name) for name in (stated["account"], stated["bucket"]) if name)
    lines.append(Text(f"It states, of {way or 'no account and bucket yet'}, at {safe(stated['made_at_utc'])}:"))
    states = {state: Sum(**found) for state, found in stated["states"].items()}
    lines += _sum_lines(Sum(**stated["listed"]), states)
    if unlisted := stated["exceptions"]["containers"]:
        lines.append(Text(f"  {print_count(unlisted, 'container')} not listed to the end, or skipped", style="yellow"))
    if stated["differences"]:
        lines.append(Text("Its sums did not add up when it was made.", style="bold red"))
    return [*lines, *(_finding_lines(verdict.finding) if verdict.finding else ())]


def _finding_lines(finding: Finding) -> list[Text]:
    name = f"{safe(finding.container)}/{safe(finding.blob)}"
    if finding.is_inside is None:
        said = "is not among what is named. Whether it is proven, or unknown, only the catalog can tell: --catalog"
        return [Text(f"{name} {said}", style="yellow")]
    if finding.stated is None:
        return [Text(f"{name} is not in the certificate: its catalog knows no such blob.", style="bold red")]
    stated = finding.stated
    lines = [Text(f"{name} is in it:")]
    return lines + [Text(f"  {field}: {safe(str(value))}") for field, value in _told(stated)]


def _told(stated: dict[str, Any]) -> list[tuple[str, object]]:
    return [(field, value) for field, value in stated.items() if field not in {"container", "blob"} and value != ""]


def _equation(whole: Whole) -> list[Text]:
    lines = _sum_lines(whole.balance.sum_of(), whole.balance.states())
    gone = whole.balance.gone()
    if gone.blobs:
        lines.append(Text(f"  {_blobs(gone)} of these no longer at the source; what was copied stays", style="dim"))
    containers = whole.containers
    parts = (
        ("to list", containers.to_list),
        ("that could not be listed", containers.failed),
        ("skipped", containers.skipped),
    )
    more = "".join(f", {count:,} {words}" for words, count in parts if count)
    return [*lines, Text(f"  {print_count(containers.known, 'container')}{more}")]


def _sum_lines(listed: Sum, states: dict[str, Sum]) -> list[Text]:
    rows = [("", "listed", listed, "bold"), *((sign, WORDS[name], states[name], "") for sign, name in _signed())]
    width = max(len(f"{found.blobs:,}") for _, _, found, _ in rows)
    return [
        Text(f"  {sign or ' '} {words:<17} {found.blobs:>{width},}  {print_bytes(found.bytes):>10}", style=style)
        for sign, words, found, style in rows
    ]


def _signed() -> list[tuple[str, str]]:
    return [("=" if number == 0 else "+", name) for number, name in enumerate(STATES)]


def _levels(whole: Whole) -> list[Text]:
    lines = [Text(), Text("Proof levels (attested: the source's own checksum agreed)", style="bold")]
    levels = whole.balance.levels()
    width = max(len(f"{level.blobs:,}") for level in levels)
    for number, level in reversed(list(enumerate(levels))):
        attested = f", {level.attested:,} attested" if level.blobs else ""
        amount = f"{level.blobs:>{width},}  {print_bytes(level.bytes):>10}{attested}"
        lines.append(Text(f"  {number}  {amount}"))
        lines.append(Text(f"     {LEVELS[number]}", style="dim"))
    return lines


def _failures(whole: Whole) -> list[Text]:
    found = [
        (code, f"{_blobs(amount)} failed, {print_bytes(amount.bytes)}")
        for code, amount in whole.balance.failed().items()
    ]
    found += [(code, f"{_blobs(amount)}, found by a check") for code, amount in whole.balance.found().items()]
    found += [(code, f"{print_count(count, 'container')} not listed") for code, count in whole.container_codes]
    lines = [Text(), Text("What went wrong, and the way out", style="bold")] if found else []
    for code, amount in found[:_SHOWN]:
        lines.append(Text(f"  {safe(code) or 'no code'}  {amount}"))
        if way := way_out(code):
            lines.append(Text(f"    {way}", style="dim"))
    return [*lines, *_more(len(found))]


def _skipped(whole: Whole) -> list[Text]:
    found = whole.balance.skipped()
    lines = [Text(), Text("Skipped", style="bold")] if found else []
    for reason, amount in list(found.items())[:_SHOWN]:
        lines.append(Text(f"  {safe(reason)}  {_blobs(amount)}, {print_bytes(amount.bytes)}"))
    return [*lines, *_more(len(found))]


def _more(count: int) -> list[Text]:
    return [Text(f"  and {count - _SHOWN:,} more: --html or --json has them", style="dim")] if count > _SHOWN else []


def _differences(whole: Whole) -> list[Text]:
    if not whole.difference_count:
        return []
    lines = [Text(), Text("The sums do not add up", style="bold red")]
    lines += [Text(f"  {problem.code}  {safe(redact(problem.sentence))}") for problem in whole.differences]
    if (left := whole.difference_count - len(whole.differences)) > 0:
        lines.append(Text(f"  and {left:,} more", style="dim"))
    return [*lines, Text(f"    {way_out('COUNTS-DIFFER')}", style="dim")]


def _verdict(whole: Whole) -> Text:
    if whole.difference_count:
        return Text("The catalog cannot be believed before that is mended.", style="bold red")
    if not whole.containers.known:
        return Text("Nothing was listed yet: scs sync.", style="yellow")
    kept = "The sums add up: each container's own, and those of the whole catalog."
    if whole.exit_code == 0:
        skipped = whole.balance.states()["skipped"].blobs
        but = ", but for what is skipped" if skipped or whole.containers.skipped else ""
        return Text(f"{kept} Everything that was listed is proven{but}.", style="bold green")
    unproven = whole.unproven()
    verb = "is" if unproven.blobs == 1 else "are"
    words = f"{_blobs(unproven)} {verb} not proven." if unproven.blobs else "Not everything is as it should be."
    return Text(f"{kept} {words}", style="bold yellow")


def _blobs(of: Sum) -> str:
    return print_count(of.blobs, "blob")
