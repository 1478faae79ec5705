"""One page for people that stands for itself: no script, nothing from elsewhere, every name made harmless.

Names are data of strangers: they are escaped, stand apart from the text around them (`bdi`), and what is not plainly
visible in them is written out. The page forbids itself everything but its own style.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sync_cloud_storage.balance import LEVELS, STATES, WORDS, Sum
from sync_cloud_storage.redact import redact
from sync_cloud_storage.report.style import STYLE
from sync_cloud_storage.safe import safe
from sync_cloud_storage.units import print_bytes, print_count
from sync_cloud_storage.ways import way_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync_cloud_storage.balance import Balance, Whole

_REASONS_SHOWN = 200
_CHART = 1000  # units of a bar
_SEEN = 3.0  # of these: two or three pixels


def page(whole: Whole, tool: str) -> str:
    """The whole page."""
    parts = [
        _head(whole),
        _verdict(whole),
        _tiles(whole),
        _chart(whole),
        _levels(whole),
        _failures(whole),
        _skipped(whole),
        _containers(whole),
        _differences(whole),
        _foot(whole, tool),
    ]
    body = "\n".join(filter(None, parts))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Migration report, {escape(whole.at_utc)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(whole: Whole) -> str:
    way = " to ".join(_name(name) for name in (whole.account, whole.bucket) if name) or "No account and bucket yet"
    return f'<h1>Migration report</h1>\n<p class="soft">{way}, as it is at {escape(whole.at_utc)}</p>'


def _verdict(whole: Whole) -> str:
    unproven = whole.unproven()
    skipped = whole.balance.states()["skipped"]
    mismatched = whole.balance.mismatched()
    containers = whole.containers
    kind, words, more = "good", "Everything that was listed is proven in S3.", ""
    if whole.difference_count:
        kind, words = "bad", "The sums do not add up: see below."
    elif not containers.known:
        kind, words = "fair", "Nothing was listed yet."
    elif whole.exit_code:
        kind = "bad" if whole.balance.failed() or mismatched.blobs or containers.failed else "fair"
        words = f"{_blobs(unproven)} not proven." if unproven.blobs else "Not everything is as it should be."
    notes = []
    if mismatched.blobs:
        notes.append(f"A check found {_blobs(mismatched)} wrong, on the NAS or in S3.")
    if containers.to_list or containers.failed:
        notes.append(f"{print_count(containers.to_list + containers.failed, 'container')} not listed to the end.")
    both = ((skipped.blobs, "blob"), (containers.skipped, "container"))
    if left_out := " and ".join(print_count(count, noun) for count, noun in both if count):
        notes.append(f"Skipped: {left_out}.")
    more = f"<span>{' '.join(notes)}</span>" if notes else ""
    return f'<div class="verdict {kind}">{words}{more}</div>'


def _tiles(whole: Whole) -> str:
    listed, states = whole.balance.sum_of(), whole.balance.states()
    tiles = [("listed", "listed", listed)] + [(state, WORDS[state], states[state]) for state in STATES]
    gone = whole.balance.gone()
    cells = "\n".join(
        f'<div class="tile t-{kind}"><b>{found.blobs:,}</b><span>{words}<br>{print_bytes(found.bytes)}</span></div>'
        for kind, words, found in tiles
    )
    equation = " + ".join(f"{states[state].blobs:,} {state}" for state in STATES)
    sign = "=" if not whole.difference_count else "≠"
    gone_too = f" Of these, {_blobs(gone)} no longer at the source; what was copied stays." if gone.blobs else ""
    words = f"{listed.blobs:,} listed {sign} {equation}.{gone_too}"
    return f'<div class="tiles">{cells}</div>\n<p class="soft sum below">{words}</p>'


def _chart(whole: Whole) -> str:
    states = whole.balance.states()
    if not whole.balance.sum_of().blobs:
        return ""
    rows = []
    for unit, words in (("blobs", "Blobs"), ("bytes", "Bytes")):
        parts = [(state, getattr(states[state], unit)) for state in STATES]
        total = sum(amount for _, amount in parts)
        if not total:
            continue
        proven = f"{_percent(parts[0][1], total)} proven"
        rows.append(
            f'<div class="label"><span>{words}</span><span class="soft">{proven}</span></div>{_bar(parts, total)}'
        )
    keys = "".join(f'<span><i class="{state}"></i>{WORDS[state]}</span>' for state in STATES if states[state].blobs)
    return f'<section class="card"><h2>How far it is</h2>{"".join(rows)}<div class="key">{keys}</div></section>'


def _levels(whole: Whole) -> str:
    levels = whole.balance.levels()
    most = sum(level.blobs for level in levels)
    rows = [
        f'<tr><td class="n">{number}</td><td class="t">{escape(words)}</td><td class="n">{level.blobs:,}</td>'
        f'<td class="n">{print_bytes(level.bytes)}</td><td class="n">{level.attested:,}</td>'
        f'<td class="b">{_bar([("proven", level.blobs)], most)}</td></tr>'
        for number, (words, level) in reversed(list(enumerate(zip(LEVELS, levels, strict=True))))
    ]
    return _table(
        "How well it is proven",
        ("n:Level", "t:What is known", "n:Blobs", "n:Size", "n:Attested", "b:"),
        rows,
        "Attested: the source's own checksum agreed with the bytes that came.",
    )


def _failures(whole: Whole) -> str:
    balance = whole.balance
    found: list[tuple[str, str, str, int | None]]
    found = [("failed", code, _blobs(amount), amount.bytes) for code, amount in balance.failed().items()]
    found += [("found by a check", code, _blobs(amount), amount.bytes) for code, amount in balance.found().items()]
    found += [("not listed", code, print_count(count, "container"), None) for code, count in whole.container_codes]
    rows = [
        f'<tr><td><code>{_name(code) or "no code"}</code></td><td class="w">{what}</td><td class="n">{amount}</td>'
        f'<td class="n">{"" if size is None else print_bytes(size)}</td><td class="t">{escape(way_out(code))}</td></tr>'
        for what, code, amount, size in found[:_REASONS_SHOWN]
    ]
    return (
        _table("What went wrong, and the way out", ("w:Code", "w:", "n:How many", "n:Size", "t:The way out"), rows)
        if rows
        else ""
    )


def _skipped(whole: Whole) -> str:
    reasons = list(whole.balance.skipped().items())
    rows = [f"<tr><td>{_name(reason)}</td>{_amount(amount)}</tr>" for reason, amount in reasons[:_REASONS_SHOWN]]
    more = f"and {len(reasons) - _REASONS_SHOWN:,} more reasons" if len(reasons) > _REASONS_SHOWN else ""
    return _table("Skipped, by reason", ("t:Reason", "n:Blobs", "n:Size"), rows, more) if rows else ""


def _containers(whole: Whole) -> str:
    if not whole.largest:
        return ""
    most = max(1, whole.largest[0].sum_of().bytes)
    left = whole.containers.known - len(whole.largest)
    note = f"The largest {len(whole.largest):,}; {left:,} more are not shown." if left > 0 else ""
    heads = ("t:Container", "n:Blobs", "n:Size", "n:Proven", "n:Not proven", "n:Failed", "n:Skipped", "b:")
    return _table("Containers", heads, [_container(balance, most) for balance in whole.largest], note)


def _container(balance: Balance, most: int) -> str:
    states, total = balance.states(), balance.sum_of()
    between = sum(states[state].blobs for state in ("uploaded", "downloaded", "pending"))
    numbers = (states["proven"].blobs, between, states["failed"].blobs, states["skipped"].blobs)
    cells = "".join(f'<td class="n">{number:,}</td>' for number in numbers)
    bar = _bar([(state, states[state].bytes) for state in STATES], most)
    return f'<tr><td class="t">{_name(balance.container)}</td>{_amount(total)}{cells}<td class="b">{bar}</td></tr>'


def _differences(whole: Whole) -> str:
    rows = [f"<tr><td>{_name(problem.sentence)}</td></tr>" for problem in whole.differences]
    left = whole.difference_count - len(rows)
    return _table("Sums that do not add up", ("t:",), rows, f"and {left:,} more" if left else "") if rows else ""


def _foot(whole: Whole, tool: str) -> str:
    times = (
        ("first run", whole.first_run_at_utc),
        ("last run ended", whole.last_run_at_utc),
        ("last check ended", whole.last_check_at_utc),
    )
    said = "; ".join(f"{what} {escape(at)}" for what, at in times if at) or "no run yet"
    nas = f"; NAS {_name(whole.nas_id)}" if whole.nas_id else ""
    units = "Sizes: 1 KiB = 1,024 bytes. Times are UTC."
    return f"<footer>{escape(tool)}; catalog {_name(whole.catalog)}{nas}; {said}. {units}</footer>"


# --------------------------------------------------------------------------------------------------------------- parts


def _table(title: str, heads: Sequence[str], rows: Iterable[str], note: str = "") -> str:
    """A table in a card. A head begins with the class of its column: t text, w words, n number, b bar."""
    head = "".join(f'<th class="{name[0]}" scope="col">{name[2:]}</th>' for name in heads)
    below = f'<p class="soft below">{note}</p>' if note else ""
    return (
        f'<section class="card"><h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{below}</section>"
    )


def _bar(parts: Sequence[tuple[str, int]], whole: int) -> str:
    """A bar of which each part has its share of *whole*; what is there at all is seen, at the cost of the largest."""
    shares = {kind: amount / whole * _CHART for kind, amount in parts if amount and whole}
    widths = {kind: max(share, _SEEN) for kind, share in shares.items()}
    if widths:
        largest = max(widths, key=widths.__getitem__)
        widths[largest] = max(_SEEN, widths[largest] - max(0.0, sum(widths.values()) - _CHART))
    pieces, at = [], 0.0
    for kind, width in widths.items():
        pieces.append(f'<rect class="{kind}" x="{at:.1f}" width="{width:.1f}" height="10"/>')
        at += width
    return f'<svg viewBox="0 0 {_CHART} 10" preserveAspectRatio="none" aria-hidden="true">{"".join(pieces)}</svg>'


def _amount(of: Sum) -> str:
    """Two cells."""
    return f'<td class="n">{of.blobs:,}</td><td class="n">{print_bytes(of.bytes)}</td>'


def _percent(part: int, whole: int) -> str:
    if part == whole:
        return "100 %"
    return f"{min(part / whole * 100, 99.9):.1f} %"  # 100 % is said of all, and of nothing less


def _name(text: str) -> str:
    return f"<bdi>{escape(safe(redact(text)))}</bdi>" if text else ""


def _blobs(of: Sum) -> str:
    return print_count(of.blobs, "blob")
