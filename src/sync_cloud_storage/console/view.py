"""One moment of a run for people: a few lines for a terminal of any width, one line for a log. Values in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from sync_cloud_storage import units
from sync_cloud_storage.safe import safe

if TYPE_CHECKING:
    from sync_cloud_storage.model import Totals
    from sync_cloud_storage.progress import Progress


class Glyphs(NamedTuple):
    """The few signs that are not letters."""

    done: str
    left: str
    dot: str
    cut: str


UNICODE = Glyphs("━", "─", " · ", "…")
ASCII = Glyphs("=", "-", ", ", "~")


class Row(NamedTuple):
    """One line of the table: a stage of the journey, what has passed it, and how fast."""

    label: str
    blobs: int
    size: str = ""
    rate: str = ""
    pace: str = ""


def live_lines(progress: Progress, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Draw *progress* on at most *width* columns and *height* rows; what matters least gives way first."""
    head = Text(f"scs {progress.verb}", style="bold")
    head.append(f"  {clock(progress.elapsed_s)}", style="dim")
    table = _table(rows(progress), width)
    facts = _facts(progress, width, glyphs)
    note = [Text(safe(progress.note), style="yellow")] if progress.note else []
    bar = _bar(progress, width, glyphs)
    blank = [Text()]
    roomy = [head, *blank, *table, *blank, *bar, *blank, *facts, *note]
    tight = [head, *table, *bar, *facts, *note]
    lines = roomy if width >= 60 and height > len(roomy) else tight
    if len(lines) > height:
        lines = [*note, *table, *bar, *facts, head]
    for line in lines:
        if line.cell_len > width:
            line.truncate(width - len(glyphs.cut), overflow="crop")
            line.append(glyphs.cut)
    return lines[: max(1, height)]


def plain_line(progress: Progress) -> str:
    """Say the same in one line of a log."""
    parts = []
    for row in rows(progress):
        more = ", ".join(filter(None, (row.size if row.blobs else "", row.rate, row.pace)))
        parts.append(f"{row.label} {row.blobs:,}{f' ({more})' if more else ''}")
    done = share(progress)
    parts.append("" if done is None else f"{done} %")
    parts.append(time_left(progress))
    parts.append(f"{progress.done.failed:,} failed" if progress.done.failed else "")
    parts.append(safe(progress.note))
    return f"{clock(progress.elapsed_s)}  " + "; ".join(filter(None, parts))


def rows(progress: Progress) -> list[Row]:
    """The stages that a verb is about, in the order of the journey."""
    totals, rates = progress.totals, progress.rates
    listed = Row("listed", totals.blobs, units.print_bytes(totals.bytes), pace=_pace(rates.listed))
    on_nas = Row(
        "on the NAS",
        totals.downloaded + totals.uploaded,
        units.print_bytes(totals.downloaded_bytes + totals.uploaded_bytes),
        _rate(rates.down_bytes),
        _pace(rates.down_blobs),
    )
    in_s3 = Row(
        "in S3",
        totals.uploaded,
        units.print_bytes(totals.uploaded_bytes),
        _rate(rates.up_bytes),
        _pace(rates.up_blobs),
    )
    listed_again = Row("listed", progress.done.listed, pace=_pace(rates.listed))  # a check lists everything anew
    checked = Row("checked", progress.done.checked, pace=_pace(rates.checked))
    by_verb = {
        "sync": [listed],
        "download": [on_nas],
        "upload": [in_s3],
        "run": [listed, on_nas, in_s3],
        "xcheck": [listed_again, checked] if progress.done.listed else [checked],
        "rebuild": [listed, on_nas, in_s3],
    }
    return by_verb.get(progress.verb, [listed])


def share(progress: Progress) -> int | None:
    """How much is done, in percent; 100 only when nothing is left. None when there is nothing to do at all.

    By bytes where bytes move, else by number.
    """
    totals = progress.totals
    done, whole = _done_of(progress.verb, totals)
    if progress.verb == "xcheck":
        done, whole = progress.done.checked, totals.downloaded + totals.uploaded
    if not whole:
        return None
    return min(100, done * 100 // whole)


def time_left(progress: Progress) -> str:  # noqa: PLR0911  (a table of spans)
    """The time left in words: rough, since a rough figure stays true for longer."""
    if progress.verb in {"sync", "run", "rebuild", "xcheck"} and progress.totals.containers_pending:
        return f"{units.print_count(progress.totals.containers_pending, 'container')} to list"
    eta_s = progress.eta_s
    if not eta_s:
        return ""
    if eta_s < 60:
        return "less than a minute left"
    if eta_s < 3600:
        return f"about {round(eta_s / 60)} min left"
    if eta_s < 36_000:
        tens = round(eta_s / 600)
        return f"about {tens // 6} h {tens % 6 * 10:02} min left"
    if eta_s < 2 * 86_400:
        return f"about {round(eta_s / 3600)} h left"
    if eta_s < 200 * 86_400:
        return f"about {round(eta_s / 86_400)} days left"
    return "more than 200 days left"


def clock(seconds: float) -> str:
    """Elapsed time as on a clock: 0:42, 12:41, 3:05:09, 2 d 3:05:09."""
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02}:{secs:02}"
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def _done_of(verb: str, totals: Totals) -> tuple[int, int]:
    """What is behind and the whole of it, in bytes where the rest has any, else in blobs (for sync: in containers)."""
    if verb == "sync":
        return totals.containers - totals.containers_pending, totals.containers
    waits = (totals.downloaded, totals.downloaded_bytes) if verb in {"run", "rebuild"} else (0, 0)
    done = (totals.uploaded, totals.uploaded_bytes)
    if verb == "download":
        done = (totals.downloaded + totals.uploaded, totals.downloaded_bytes + totals.uploaded_bytes)
    left = (totals.downloaded, totals.downloaded_bytes) if verb == "upload" else (totals.pending, totals.pending_bytes)
    rest = (left[0] + waits[0], left[1] + waits[1])
    unit = 1 if rest[1] else 0
    if unit == 0 and rest[0] == 0:
        return done[0], done[0]
    return done[unit], done[unit] + rest[unit]


def _table(table: list[Row], width: int) -> list[Text]:
    cells = [(row.label, f"{row.blobs:,}", row.size, row.rate, row.pace) for row in table]
    if width < 24:
        return [Text(f"{label.removeprefix('on the ').removeprefix('in ')} {count}") for label, count, *_ in cells]
    # Columns keep a least width, so that they do not jump with every digit.
    widths = [max(least, *(len(row[column]) for row in cells)) for column, least in enumerate((8, 9, 10, 12, 10))]
    shown = [column for column in range(5) if any(row[column] for row in cells) or column < 2]
    for spare in (4, 2, 3):  # pace, size, rate: in this order they give way
        if sum(widths[column] + 2 for column in shown) > width + 2 and spare in shown:
            shown.remove(spare)
    lines = []
    for row in cells:
        line = Text()
        for column in shown:
            cell = f"{row[column]:<{widths[column]}}" if column == 0 else f"{row[column]:>{widths[column] + 2}}"
            line.append(cell, style=("dim", "bold", "", "cyan", "dim")[column])
        lines.append(line)
    return lines


def _bar(progress: Progress, width: int, glyphs: Glyphs) -> list[Text]:
    percent = share(progress)
    if percent is None:
        left = time_left(progress)
        return [Text(left, style="dim")] if left else []
    words = f" {percent:>3} %"
    left = time_left(progress)
    beside = f"  {left}" if left else ""
    on_one_line = width >= 20 + len(words) + len(beside)
    room = max(4, min(48, width - len(words) - (len(beside) if on_one_line else 0)))
    done = room * percent // 100
    bar = Text(glyphs.done * done, style="green").append(glyphs.left * (room - done), style="dim").append(words)
    if not left:
        return [bar]
    return [bar.append(beside, style="dim")] if on_one_line else [bar, Text(left, style="dim")]


def _facts(progress: Progress, width: int, glyphs: Glyphs) -> list[Text]:
    totals = progress.totals
    line = Text(f"{progress.in_flight:,} in flight", style="dim")
    if progress.concurrency and width >= 50:
        line.append(f"{glyphs.dot}{progress.concurrency:,} requests at once")
    if progress.done.failed:
        line.append(glyphs.dot).append(f"{progress.done.failed:,} failed", style="not dim bold red")
    if totals.skipped and width >= 50:
        line.append(f"{glyphs.dot}{totals.skipped:,} skipped")
    return [line]


def _rate(bytes_per_s: float) -> str:
    return units.print_rate(bytes_per_s) if bytes_per_s else ""


def _pace(blobs_per_s: float) -> str:
    if not blobs_per_s:
        return ""
    return f"{blobs_per_s:,.0f} /s" if blobs_per_s >= 10 else f"{blobs_per_s:.1f} /s"
