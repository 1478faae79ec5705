"""What `console/` promises: fits any terminal, is hurt by no name and no stream, and says the same to programs."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import termios
import unicodedata
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sync_cloud_storage.console import Console, record_crash, safe
from sync_cloud_storage.console.view import ASCII, UNICODE, clock, live_lines, plain_line, share, time_left
from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.model import ContainerStatus, Problem, Totals
from sync_cloud_storage.progress import Counts, InitReport, LastRun, Outcome, Progress, Rates, StatusReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GIB = 1 << 30
UTF8 = {"LANG": "en_US.UTF-8", "TERM": "xterm-256color"}
EVIL = "a\x1b]0;owned\x07\x9b31m\x7f\u202egpj.exe\u200b\u2028\nscs: done\r"
NOTHING = Totals(*[0] * len(Totals._fields))
TOTALS = Totals(
    containers=2114,
    containers_pending=0,
    containers_failed=1,
    blobs=1_204_551,
    bytes=3166 * GIB,
    skipped=12,
    failed=3,
    pending=400_000,
    pending_bytes=1000 * GIB,
    downloaded=3110,
    downloaded_bytes=8 * GIB,
    uploaded=801_426,
    uploaded_bytes=2100 * GIB,
    gone=4,
)
PROGRESS = Progress(
    verb="run",
    totals=TOTALS,
    done=Counts(listed=9000, down_blobs=500, up_blobs=400, failed=3),
    rates=Rates(listed=2250.4, down_blobs=93, down_bytes=250 << 20, up_blobs=9.96, up_bytes=240 << 20),
    elapsed_s=761,
    eta_s=4700,
    in_flight=64,
    concurrency=96,
)
PROBLEM = Problem("images", EVIL, "s3", "S3-403", "Refused: sig=s3cr3t-value\x1b[2J")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Read it."""
        return self.now_s


class Terminal:
    """The two ends of a pseudo terminal: what the program writes to, and what a person sees."""

    def __init__(self, columns: int, rows: int) -> None:
        self._seen, self._end = pty.openpty()
        self.resize(columns, rows)
        os.set_blocking(self._seen, False)
        self.stream = os.fdopen(self._end, "w", encoding="utf-8")

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def seen(self) -> str:
        """What arrived since the last time."""
        pieces: list[bytes] = []
        while True:
            try:
                piece = os.read(self._seen, 65536)
            except BlockingIOError:
                return b"".join(pieces).decode()
            pieces.append(piece)

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
        os.close(self._seen)


@contextmanager
def terminal(columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    """A terminal of this size."""
    opened = Terminal(columns, rows)
    try:
        yield opened
    finally:
        opened.close()


def console(
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    *,
    verb: str = "run",
    as_json: bool = False,
    quiet: bool = False,
    environ: Mapping[str, str] = UTF8,
    at: Clock | None = None,
) -> Console:
    """Make a console on these streams."""
    return Console(
        verb, as_json=as_json, quiet=quiet, environ=environ, clock=at or Clock(), stdout=stdout, stderr=stderr
    )


def text_file() -> io.TextIOWrapper:
    """Make a stream that is no terminal and keeps what it gets."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def content(stream: io.TextIOWrapper) -> str:
    """What such a stream got."""
    stream.flush()
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode()


def without_colours(text: str) -> str:
    """Take our own colours and cursor movements away; whatever escape is left was not ours."""
    return re.sub(r"\x1b\[[0-9;]*[mAJK]", "", text)


# ----------------------------------------------------------------------------------------------------------------- safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("ümläut 日本語 😀", "ümläut 日本語 😀"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("\u202egpj", r"\u202egpj"),
        ("\u200b\ufeff\u2028\u2060", r"\u200b\ufeff\u2028\u2060"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("non\u00a0break", r"non\xa0break"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_safe_writes_out_what_is_not_plainly_visible(text: str, shown: str) -> None:
    """Control characters, bidi, zero width, line ends and halves of characters become text; the rest stays."""
    assert safe(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_safe_text_has_no_power(text: str) -> None:
    """Whatever a name holds, what is shown stays on one line and moves nothing."""
    shown = safe(text)
    assert all(unicodedata.category(letter)[0] != "C" for letter in shown)
    assert len(shown.splitlines()) <= 1
    assert safe(shown) == shown


# ------------------------------------------------------------------------------------------------------------ live view


@pytest.mark.parametrize("verb", ["sync", "download", "upload", "run", "rebuild", "xcheck"])
@pytest.mark.parametrize("width", [1, 5, 19, 20, 30, 40, 59, 60, 79, 80, 200])
@pytest.mark.parametrize("height", [1, 3, 5, 24])
def test_the_view_fits_every_window(verb: str, width: int, height: int) -> None:
    """No line is wider than the window, and there are no more lines than rows, whatever is shown."""
    for totals in (TOTALS, NOTHING, TOTALS._replace(containers_pending=12)):
        progress = PROGRESS._replace(verb=verb, totals=totals, note="The network is away; waiting since 12 s.")
        for glyphs in (UNICODE, ASCII):
            lines = live_lines(progress, width, height, glyphs)
            assert 1 <= len(lines) <= height
            assert max(line.cell_len for line in lines) <= width


def test_the_view_says_what_matters() -> None:
    """Totals, rates, share, time left, what is in flight and what failed are there on 80 columns."""
    view = "\n".join(line.plain for line in live_lines(PROGRESS, 79, 23, UNICODE))
    for words in (
        "scs run  12:41",
        "listed      1,204,551",
        "on the NAS    804,536",
        "250.0 MiB/s",
        "in S3         801,426",
        "67 %",
        "about 1 h 20 min left",
        "64 in flight",
        "96 requests at once",
        "3 failed",
        "12 skipped",
    ):
        assert words in view


def test_the_view_is_plain_ascii_where_nothing_else_can_be_shown() -> None:
    """Under LANG=C no letter beyond ASCII is drawn."""
    assert all(line.plain.isascii() for line in live_lines(PROGRESS, 30, 23, ASCII))


def test_a_small_window_loses_what_matters_least() -> None:
    """On 40 columns label, number and rate stay, and the failures."""
    view = "\n".join(line.plain for line in live_lines(PROGRESS, 39, 23, UNICODE))
    assert "on the NAS    804,536   250.0 MiB/s" in view
    assert "3 failed" in view


@pytest.mark.parametrize(
    ("verb", "totals", "percent"),
    [
        ("run", {"pending": 1, "pending_bytes": 75, "uploaded": 1, "uploaded_bytes": 25}, 25),
        ("run", {"downloaded": 1, "downloaded_bytes": 50, "uploaded": 1, "uploaded_bytes": 50}, 50),
        ("download", {"pending": 1, "pending_bytes": 75, "downloaded": 1, "downloaded_bytes": 25}, 25),
        ("upload", {"downloaded": 1, "downloaded_bytes": 1, "uploaded": 1, "uploaded_bytes": 999}, 99),
        ("run", {"pending": 1, "uploaded": 3}, 75),  # what is left has no bytes: by number
        ("run", {"uploaded": 3, "uploaded_bytes": 5}, 100),
        ("rebuild", {"downloaded": 1, "downloaded_bytes": 50, "uploaded": 1, "uploaded_bytes": 50}, 50),
        ("sync", {"containers": 4, "containers_pending": 1}, 75),
        ("xcheck", {"downloaded": 10, "uploaded": 30}, 25),
        ("run", {}, None),
    ],
)
def test_the_share_is_never_rounded_up(verb: str, totals: dict[str, int], percent: int | None) -> None:
    """The share counts bytes where bytes are left, else blobs; 100 stands only where nothing is left."""
    progress = PROGRESS._replace(verb=verb, totals=NOTHING._replace(**totals), done=Counts(checked=10))
    assert share(progress) == percent


@pytest.mark.parametrize(
    ("eta_s", "words"),
    [
        (None, ""),
        (0, ""),
        (20, "less than a minute left"),
        (600, "about 10 min left"),
        (7900, "about 2 h 10 min left"),
        (50_000, "about 14 h left"),
        (600_000, "about 7 days left"),
        (9e9, "more than 200 days left"),
    ],
)
def test_the_time_left_is_rough(eta_s: float | None, words: str) -> None:
    """The further away the end, the rougher it is told."""
    assert time_left(PROGRESS._replace(eta_s=eta_s)) == words


def test_while_listing_the_containers_are_counted_instead() -> None:
    """No time is told while the sum still grows."""
    for verb in ("sync", "run", "rebuild", "xcheck"):
        progress = PROGRESS._replace(verb=verb, totals=TOTALS._replace(containers_pending=1))
        assert time_left(progress) == "1 container to list"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (761, "12:41"), (11_109, "3:05:09"), (180_000, "2 d 2:00:00")]
)
def test_elapsed_time_reads_like_a_clock(seconds: float, shown: str) -> None:
    """Elapsed time has hours and days when it needs them."""
    assert clock(seconds) == shown


def test_a_terminal_is_drawn_in_place_and_left_clean() -> None:
    """Each picture starts where the last one began; at the end the words stand where it was."""
    with terminal() as window:
        at = Clock()
        shown = console(window.stream, at=at)
        shown.listen(PROGRESS)
        first = window.seen()
        at.now_s = 1.0
        shown.listen(PROGRESS)
        second = window.seen()
        shown.outcome(Outcome("run", TOTALS, seconds=5))
        last = window.seen()
    rows = first.count("\n")
    assert rows > 5
    assert second.startswith(f"\r\x1b[{rows}A")
    assert last.startswith(f"\r\x1b[{rows}A\x1b[J")
    assert "\x1b[?" not in first + second + last  # no mode is set that a kill would leave behind


def test_a_window_that_becomes_narrow_is_counted_as_folded() -> None:
    """After a window shrinks to half, the cursor goes up over the folded lines, so that no rubbish stays."""
    with terminal(80) as window:
        at = Clock()
        shown = console(window.stream, at=at)
        shown.listen(PROGRESS)
        first = without_colours(window.seen()).split("\n")
        window.resize(40, 24)
        at.now_s = 1.0
        shown.listen(PROGRESS)
        up = re.match(r"\r\x1b\[(\d+)A", window.seen())
    folded = sum(max(1, -(-cell_len(line.strip("\r")) // 40)) for line in first) - 1
    assert up is not None
    assert int(up[1]) == folded > len(first) - 1


def test_eyes_are_spared() -> None:
    """However often the run reports, a terminal is drawn four times a second."""
    with terminal() as window:
        at = Clock()
        shown = console(window.stream, at=at)
        pictures = 0
        for step in range(100):
            at.now_s = step / 100
            shown.listen(PROGRESS)
            pictures += bool(window.seen())
    assert pictures == 4


def test_only_our_own_colours_reach_a_terminal() -> None:
    """Names and answers with escape sequences in them arrive as text."""
    with terminal() as window:
        shown = console(window.stream, window.stream)
        shown.warn([f"warned of {EVIL}"])
        shown.listen(PROGRESS._replace(note=EVIL))
        shown.outcome(Outcome("run", TOTALS, problems=(PROBLEM,)))
        shown.status(StatusReport(EVIL, TOTALS, (), LastRun("run", "then", "", EVIL), (PROBLEM,)))
        shown.init(InitReport(EVIL, True, EVIL, (EVIL,), (EVIL,), ()))  # noqa: FBT003
        shown.fault(EnvironmentFault("X", EVIL, EVIL))
        seen = window.seen()
    left = without_colours(seen.replace("\r\n", "\n"))
    assert not any(unicodedata.category(letter)[0] == "C" for letter in left if letter not in "\r\n")
    assert r"\x1b]0;owned\x07" in left
    assert not re.search("^scs: done", left, re.MULTILINE)


# ---------------------------------------------------------------------------------------------------------- no terminal


def test_a_log_gets_a_line_now_and_then() -> None:
    """Without a terminal: one line at once, then every ten seconds, after ten minutes every minute."""
    at, out = Clock(), text_file()
    shown = console(out, at=at)
    for second in range(1200):
        at.now_s = second
        shown.listen(PROGRESS._replace(elapsed_s=second))
    lines = content(out).splitlines()
    assert len(lines) == 60 + 10
    assert "\x1b" not in content(out)


def test_a_new_note_is_not_kept_waiting() -> None:
    """Something unusual is told when it happens, and once."""
    at, out = Clock(), text_file()
    shown = console(out, at=at)
    shown.listen(PROGRESS)
    for second in range(1, 5):
        at.now_s = second
        shown.listen(PROGRESS._replace(note="The network is away."))
    lines = content(out).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("The network is away.")


def test_a_stop_is_acknowledged() -> None:
    """After the signal the next report says that the run is being stopped."""
    out = text_file()
    shown = console(out)
    shown.listen(PROGRESS)
    shown.stopping()
    shown.listen(PROGRESS)
    assert "Stopping" in content(out).splitlines()[1]


def test_one_line_says_it_all() -> None:
    """The line of a log has the same figures as the view."""
    line = plain_line(PROGRESS._replace(note=EVIL))
    assert line.startswith(
        "12:41  listed 1,204,551 (3.1 TiB, 2,250 /s); on the NAS 804,536 (2.1 TiB, 250.0 MiB/s, 93 /s)"
    )
    assert "67 %; about 1 h 20 min left; 3 failed; " in line
    assert line.isprintable()


# ------------------------------------------------------------------------------------------------------- broken streams


def test_a_reader_that_goes_away_stops_nothing() -> None:
    """Once the other end of a pipe is closed, nothing is written, and nothing is raised."""
    reading, writing = os.pipe()
    out = os.fdopen(writing, "w", encoding="utf-8")
    shown = console(out)
    shown.listen(PROGRESS)
    os.close(reading)
    shown.outcome(Outcome("run", TOTALS))
    shown.listen(PROGRESS)
    shown.outcome(Outcome("run", TOTALS))
    out.close()  # what Python does at exit: it must not complain either


def test_a_full_disk_under_a_log_stops_nothing() -> None:
    """A log on a full disk loses its words; the run goes on."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        shown = console(full, full)
        shown.listen(PROGRESS)
        shown.fault(EnvironmentFault("X", "Something."))
        shown.outcome(Outcome("run", TOTALS))


def test_streams_that_were_never_open() -> None:
    """A program started with closed streams works without words."""
    shown = console(None, None, as_json=True)
    shown.warn(["x"])
    shown.listen(PROGRESS)
    shown.fault(EnvironmentFault("X", "Something."))
    assert shown.outcome(Outcome("run", NOTHING)) == 0


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({"LANG": "de_DE.UTF-8"}, "日本語"),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, r"\u65e5\u672c\u8a9e"),
        ({"LANG": "C"}, r"\u65e5\u672c\u8a9e"),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, r"\u65e5\u672c\u8a9e"),  # written there by Python itself (PEP 538)
        ({"LC_CTYPE": "de_DE.UTF-8"}, "日本語"),
        ({"LANG": "C", "PYTHONIOENCODING": "utf-8"}, "日本語"),
        ({}, r"\u65e5\u672c\u8a9e"),
    ],
)
def test_what_the_locale_cannot_show_is_written_out(environ: dict[str, str], shown: str) -> None:
    """Where the user's locale has no such letters they are written out, also where Python would try."""
    err = text_file()
    console(None, err, environ=environ).fault(EnvironmentFault("X", "日本語"))
    assert shown in content(err)


def test_a_stream_that_knows_only_ascii() -> None:
    """A stream with another encoding is never given what it cannot take."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console(out).outcome(Outcome("run", TOTALS, problems=(Problem("c", "日本語", "s3", "X", "ü"),)))
    assert r"\u65e5" in content(out)


# ------------------------------------------------------------------------------------------------------------ summaries


def test_the_end_of_a_run_says_what_was_done_and_what_is_left() -> None:
    """Deeds with sizes and averages, the state of the whole, and each failure with its code."""
    out = text_file()
    done = Outcome(
        "run",
        TOTALS,
        listed=9000,
        added=12,
        changed=3,
        downloaded=15,
        downloaded_bytes=GIB,
        uploaded=1,
        uploaded_bytes=GIB,
        failed=3,
        seconds=64,
        problems=(PROBLEM,),
    )
    assert console(out).outcome(done) == 1
    said = content(out)
    for words in (
        "Listed 9,000 blobs: 12 new, 3 changed.",
        "Downloaded 15 blobs, 1.0 GiB (16.0 MiB/s).",
        "Uploaded 1 blob, 1.0 GiB",
        "In S3: 801,426 of 1,204,539 blobs; 3,110 more on the NAS; 400,000 to download; 12 skipped. Took 1 min 4 s.",
        "3 blobs failed. Try again: scs run --retry-failed",
        "1 container could not be listed.",
        "    S3-403  Refused: sig=-REDACTED-",
        "problems",
    ):
        assert words in said
    assert "s3cr3t" not in said


def test_a_run_with_nothing_to_do_is_short() -> None:
    """A second run right after the first says that nothing moved, in five lines; the last adds up."""
    out = text_file()
    console(out).outcome(Outcome("run", NOTHING._replace(blobs=5, uploaded=5), listed=5, seconds=2.04))
    assert content(out).splitlines() == [
        "Listed 5 blobs: nothing new.",
        "Downloaded 0 blobs.",
        "Uploaded 0 blobs.",
        "In S3: 5 of 5 blobs. Took 2 s.",
        "5 listed = 5 in S3",
    ]


def test_what_does_not_add_up_is_said() -> None:
    """The catalog's word about it stands below the sum, and the exit code is that of a mismatch."""
    out = text_file()
    outcome = Outcome("download", NOTHING._replace(blobs=5, failed=5), unaccounted="COUNTS-DIFFER: 5 and 6.")
    assert console(out).outcome(outcome) == 5
    assert content(out).splitlines()[2] == "5 listed = 5 failed"
    assert content(out).splitlines()[3] == "COUNTS-DIFFER: 5 and 6."
    assert content(out).splitlines()[4].startswith("  did somebody change rows by hand?")


def test_a_stopped_run_says_how_to_go_on() -> None:
    """After a signal people read who stopped it and that the same command goes on."""
    out = text_file()
    assert console(out).outcome(Outcome("download", TOTALS, stopped_by="SIGINT", seconds=7)) == 130
    assert "Stopped by Ctrl-C after 7 s; the same command goes on from here." in content(out)


def test_a_check_says_what_is_proven() -> None:
    """Xcheck counts what is proven, what is not, and what differs."""
    out = text_file()
    code = console(out, verb="xcheck").outcome(Outcome("xcheck", TOTALS, proven=7, unproven=2, mismatches=1))
    assert code == 5
    assert "Proven: 7 blobs; 2 not proven yet." in content(out)
    assert "1 blob differs from what the catalog says." in content(out)


def test_a_rebuild_says_what_was_there() -> None:
    """What was adopted and what had to be moved are told apart, with their bytes, for each leg."""
    out = text_file()
    done = Outcome(
        "rebuild",
        NOTHING._replace(blobs=10, uploaded=10),
        listed=10,
        added=10,
        downloaded=10,
        downloaded_bytes=512,
        uploaded=10,
        adopted_on_nas=9,
        adopted_on_nas_bytes=2048,
        adopted_in_s3=10,
        adopted_in_s3_bytes=2560,
    )
    assert console(out).outcome(done) == 0
    assert "Listed 10 blobs: 10 new." in content(out)
    assert "Adopted on the NAS: 9 blobs, 2.0 KiB. Downloaded: 1 blob, 512 B." in content(out)
    assert "Adopted in S3: 10 blobs, 2.5 KiB. Sent: nothing." in content(out)


@pytest.mark.parametrize(
    ("wrong", "again", "words"),
    [
        (0, 0, ["Read 40 files on the NAS again: all are as they were downloaded.\n"]),
        (1, 0, ["Read 40 files on the NAS again: 1 is not as downloaded.\n"]),
        (3, 2, ["again: 3 are not as downloaded.\n", "The next scs run downloads 2 files again.\n"]),
    ],
)
def test_a_scrub_says_what_it_read(wrong: int, again: int, words: list[str]) -> None:
    """How many files were read, how many are wrong, and what becomes of them; nothing of proofs."""
    out = text_file()
    done = Outcome("xcheck", TOTALS, read_again=40, mismatches=wrong, to_fetch_again=again)
    assert console(out).outcome(done) == (5 if wrong else done.exit_code)
    assert [word for word in words if word not in content(out)] == []
    assert ("The next scs run" in content(out)) == bool(again)
    assert "Proven" not in content(out)


def test_notes_are_told_and_harmless() -> None:
    """What there is to say about how it was done follows what was done, for people and programs; names do no harm."""
    notes = ("The bucket was not listed.", "1 object of the bucket is no blob's: a\x1b[31m")
    out = text_file()
    console(out, verb="xcheck").outcome(Outcome("xcheck", TOTALS, proven=7, strangers=1, notes=notes))
    assert content(out).splitlines()[1] == notes[0]
    assert "\x1b" not in content(out)
    out = text_file()
    console(out, verb="xcheck", as_json=True).outcome(Outcome("xcheck", TOTALS, strangers=1, notes=notes))
    document = json.loads(content(out))
    assert (document["notes"], document["run"]["strangers"]) == (list(notes), 1)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_the_status_fits_a_narrow_window(columns: int) -> None:
    """No line of the status is folded by the terminal itself."""
    status = StatusReport(
        "storage.sqlite",
        TOTALS,
        ((ContainerStatus.LISTED, 2000), (ContainerStatus.EMPTY, 99)),
        LastRun("run", "2026-11-23T03:18:30Z", "2026-11-23T05:20:01Z", "done"),
        (PROBLEM,),
    )
    with terminal(columns, 60) as window:
        console(window.stream).status(status)
        lines = without_colours(window.seen()).split("\r\n")
    assert max(map(cell_len, lines)) <= columns
    assert "1,204,551" in "".join(lines)


def test_the_status_of_an_empty_catalog() -> None:
    """A catalog without rows has a status, too."""
    out = text_file()
    assert console(out).status(StatusReport("x.sqlite", NOTHING, (), None, ())) == 0
    assert "blobs" in content(out)


def test_init_says_what_comes_next() -> None:
    """Init names what it wrote and kept, and what is still to be filled in, or the next command."""
    out = text_file()
    console(out).init(InitReport("storage.sqlite", True, "", (".env",), ("scs.toml",), ("AWS_BUCKET",)))  # noqa: FBT003
    said = content(out)
    for words in ("Written: .env", "Kept as it is: scs.toml", "storage.sqlite was made", "Now fill in AWS_BUCKET"):
        assert words in said
    out = text_file()
    console(out).init(InitReport("storage.sqlite", False, "nas-1", (), (), ()))  # noqa: FBT003
    assert "storage.sqlite is there" in content(out)
    assert "scs sync" in content(out)


# ----------------------------------------------------------------------------------------------------------------- json


def test_programs_get_one_document_and_people_the_other_stream() -> None:
    """With --json standard output holds one JSON document; progress, warnings and words go to standard error."""
    out, err = text_file(), text_file()
    shown = console(out, err, as_json=True)
    shown.warn(["careful"])
    shown.listen(PROGRESS)
    shown.outcome(Outcome("run", TOTALS, listed=5, failed=1, problems=(PROBLEM,), seconds=1.23456))
    document = json.loads(content(out))
    assert document["verb"] == "run"
    assert document["exit_code"] == 1
    assert document["seconds"] == 1.235
    assert document["run"]["listed"] == 5
    assert document["totals"]["uploaded"] == 801_426
    assert document["problems"][0]["blob"] == EVIL
    assert document["problems"][0]["sentence"].startswith("Refused: sig=-REDACTED-")
    assert document["warnings"] == ["careful"]
    assert "careful" in content(err)
    assert "12:41" in content(err)


def test_a_document_is_plain_ascii() -> None:
    """A name in a document can do nothing to a terminal: even DEL and C1 are escaped."""
    out = text_file()
    console(out, None, as_json=True).outcome(Outcome("run", TOTALS, problems=(PROBLEM,)))
    assert content(out).replace("\n", "").isprintable()
    assert content(out).isascii()


def test_an_error_is_a_document_too() -> None:
    """With --json an error is in the document, with code, sentence and hint, and without secrets."""
    out, err = text_file(), text_file()
    console(out, err, as_json=True).fault(EnvironmentFault("NAS-FULL", "No room; sig=s3cr3t", "Make room."))
    document = json.loads(content(out))
    assert document["exit_code"] == 3
    assert document["error"] == {"code": "NAS-FULL", "sentence": "No room; sig=-REDACTED-", "hint": "Make room."}
    assert content(err) == "scs: No room; sig=-REDACTED-\nMake room.\n"


def test_status_and_init_as_documents() -> None:
    """Status and init have documents with the same content."""
    out = text_file()
    report = StatusReport("x.sqlite", TOTALS, ((ContainerStatus.NOT_FOUND, 1),), LastRun("run", "a", "b", "done"), ())
    console(out, None, as_json=True).status(report)
    document = json.loads(content(out))
    assert document["containers"] == {"not_found": 1}
    assert document["last_run"]["result"] == "done"
    out = text_file()
    console(out, None, as_json=True).init(InitReport("x.sqlite", True, "m", (".env",), (), ()))  # noqa: FBT003
    assert json.loads(content(out))["written"] == [".env"]


def test_quiet_means_errors_only() -> None:
    """With --quiet nothing but an error is said; a document that was asked for still comes."""
    out, err = text_file(), text_file()
    shown = console(out, err, quiet=True)
    shown.warn(["careful"])
    shown.listen(PROGRESS)
    shown.outcome(Outcome("run", TOTALS))
    assert (content(out), content(err)) == ("", "")
    shown.fault(EnvironmentFault("X", "Something."))
    assert content(err) == "scs: Something.\n"
    console(out, err, quiet=True, as_json=True).outcome(Outcome("run", TOTALS))
    assert json.loads(content(out))["verb"] == "run"


# ---------------------------------------------------------------------------------------------------------------- crash


def crash(folder: Path, message: str = "key sig=s3cr3t hush-hush") -> EnvironmentFault:
    """Record an error that nobody foresaw."""
    nothing: dict[str, str] = {}
    try:
        nothing[message] += "!"
    except KeyError as error:
        fault = record_crash(error, folder, datetime(2026, 11, 23, 3, 18, 30, tzinfo=UTC), ["hush-hush"])
    return fault


def test_a_crash_is_a_sentence_and_a_file(tmp_path: Path) -> None:
    """A mistake of our own names type, file and line; the traceback is in a file for its owner alone."""
    fault = crash(tmp_path)
    file = tmp_path / "scs-crash-20261123T031830Z.log"
    assert fault.exit_code == 3
    assert re.match(r"This is a mistake in scs itself: KeyError in test_console\.py, line \d+\.", fault.sentence)
    assert str(file) in fault.hint
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in file.read_text()


def test_a_crash_file_has_no_secret_and_no_escape(tmp_path: Path) -> None:
    """Known and recognisable secrets are masked in it, and what was an escape sequence is text."""
    crash(tmp_path, f"{EVIL} sig=s3cr3t hush-hush")
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    assert "KeyError: " in text
    assert "s3cr3t" not in text
    assert "hush" not in text
    assert all(letter.isprintable() for letter in text if letter != "\n")


def test_a_crash_where_no_file_can_be_written(tmp_path: Path) -> None:
    """Without a place for the file the sentence still comes."""
    assert "could not be written" in crash(tmp_path / "missing").hint


def test_a_crash_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    """Somebody who lays a link where the file will be does not get another file overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "scs-crash-20261123T031830Z.log").symlink_to(victim)
    assert "could not be written" in crash(tmp_path).hint
    assert victim.read_text() == "precious"
