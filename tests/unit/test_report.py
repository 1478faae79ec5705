"""What `report/` promises of its files: every blob, exactly or harmlessly, and nothing that could run or leak."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.balance import BlobRow, Containers, Sum
from sync_cloud_storage.errors import EnvironmentFault, UsageFault
from sync_cloud_storage.ledger import Halted, open_ledger
from sync_cloud_storage.redact import MASK
from sync_cloud_storage.report import Files, write
from sync_cloud_storage.report.as_csv import CsvRows
from sync_cloud_storage.report.as_html import page
from sync_cloud_storage.report.as_jsonl import JsonLines, leaf
from tests.unit.catalogs import listed, made, sql
from tests.unit.ledgers import EVIL, MADE_AT, SECRET, Stopped, eventful, finished, ledger_of

if TYPE_CHECKING:
    from pathlib import Path

texts = st.text(st.characters(exclude_categories=["Cs"]))
rows = st.builds(
    BlobRow, texts, texts, st.just("failed"), st.integers(0, 4), st.integers(0, 1), texts,
    st.none() | st.integers(0), *[texts] * 18,
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """All of them, of a catalog in which a bit of everything has happened."""
    eventful(tmp_path).close()
    out = tmp_path / "out"
    out.mkdir()
    named = Files(out / "a.csv", out / "a.jsonl", out / "a.html", out / "certificate")
    with ledger_of(tmp_path) as ledger:
        done = write(ledger, named)
    assert done.files == named.wanted()
    assert sorted(out.iterdir()) == sorted(named.wanted())
    return named


def as_csv(*rows: BlobRow) -> str:
    """What is written of these."""
    out = io.StringIO()
    table = CsvRows(out.write)
    for row in rows:
        table.add(row)
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------------------- csv


@given(st.lists(rows, max_size=3))
def test_a_spreadsheet_gets_every_cell_and_runs_none(some: list[BlobRow]) -> None:
    """Read back, each cell is its text, with an apostrophe in front where it would be a formula; rows end in CRLF."""
    text = as_csv(*some)
    head, *found = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(head) == BlobRow._fields
    assert text.endswith("\r\n")
    for row, cells in zip(some, found, strict=True):
        for name, value, cell in zip(BlobRow._fields, row, cells, strict=True):
            plain = "" if value is None else str(value)
            assert cell in {plain, f"'{plain}"} or name == "sentence"
            assert not cell.lstrip(' "').startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", ' "=', "\uff1d"])
def test_a_name_that_is_a_formula_gets_an_apostrophe(start: str) -> None:
    """Also behind blanks and quotes, which spreadsheets take off, and in full width; others stay as they are."""
    row = BlobRow("c", f"{start}1+1", *[""] * 23)  # type: ignore[arg-type]
    cells = list(csv.reader(io.StringIO(as_csv(row), newline="")))[1]
    assert cells[1] == f"'{start}1+1"
    assert cells[0] == "c"


def test_the_table_has_every_blob_and_no_secret(files: Files) -> None:
    """In order, with states and codes; what a service said is cleaned."""
    assert files.csv
    text = files.csv.read_bytes().decode()
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["container"] for row in table] == ["b"] + ["c"] * 10
    assert f"'{EVIL}" in [row["blob"] for row in table]
    assert {row["blob"]: row["state"] for row in table}["6"] == "failed"
    assert SECRET not in text
    assert MASK in text


# --------------------------------------------------------------------------------------------------------------- jsonl


@given(rows)
def test_json_lines_are_exact(row: BlobRow) -> None:
    """One object on one line of ASCII, with every field as it is; the leaf has the same, but for the sentence."""
    out = io.StringIO()
    JsonLines(out.write).add(row)
    (line,) = out.getvalue().splitlines()
    assert line.isascii()
    found = json.loads(line)
    assert list(found) == list(BlobRow._fields)
    assert list(found.values())[:-1] == list(row)[:-1] == json.loads(leaf(row))
    assert leaf(row).decode() == json.dumps(list(found.values())[:-1], separators=(",", ":"))


def test_the_lines_have_every_blob_and_no_secret(files: Files) -> None:
    """In order, with exact names; what a service said is cleaned."""
    assert files.jsonl
    found = [json.loads(line) for line in files.jsonl.read_text().splitlines()]
    assert len(found) == 11
    assert EVIL in [row["blob"] for row in found]
    assert found == sorted(found, key=lambda row: (row["container"].encode(), row["blob"].encode()))
    assert SECRET not in files.jsonl.read_text()


# ---------------------------------------------------------------------------------------------------------------- html


class Seen(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.text += data


def test_the_page_stands_for_itself_and_runs_nothing(tmp_path: Path) -> None:
    """No script, no handler, no address; it forbids itself all but its style. Names of strangers are text."""
    with made(tmp_path) as catalog:
        from tests.unit.catalogs import account

        account(catalog, "c", EVIL, skip=EVIL)
        listed(catalog, "x")
        catalog.claim(account=EVIL, bucket=EVIL)
    sql(tmp_path, "UPDATE sync SET skip_reason = ?", EVIL)
    sql(tmp_path, "UPDATE sync SET azure_status = 2, azure_error = ?, skip_reason = NULL", f"{EVIL}: x")
    with ledger_of(tmp_path) as ledger:
        text = page(ledger.whole(), "scs 1")
    seen = Seen(text)
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "img", "iframe", "a", "object", "form", "base"}
    names = {name for _, attributes in seen.tags for name in attributes}
    assert [name for name in names if name.startswith("on") or name in {"src", "href", "style"}] == []
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [some["content"] for tag, some in seen.tags if tag == "meta" and "http-equiv" in some]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "=cmd|'<script>alert(1)</script>\"&\\u202e,\\x0a\\x1b[31m" in seen.text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_page_says_what_is_so(files: Files) -> None:
    """The verdict, the equation, codes with their ways out, reasons, containers; and no secret."""
    assert files.html
    text = files.html.read_text("utf-8")
    said = " ".join(Seen(text).text.split())
    for words in (
        "7 blobs not proven.",
        "A check found 1 blob wrong",
        "2 containers not listed to the end.",
        "Skipped: 1 blob and 1 container.",
        "11 listed = 3 proven + 2 uploaded + 2 downloaded + 1 pending + 2 failed + 1 skipped.",
        "give the role or the SAS what it lacks; then scs run --retry-failed",
        "extension .xml",
        "27.3 % proven",
        "films to archive",
    ):
        assert words in said, said
    assert "not shown" not in said
    assert SECRET not in text


def test_the_page_of_a_catalog_that_is_done(tmp_path: Path) -> None:
    """It says so, and shows no empty tables."""
    finished(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        said = Seen(page(ledger.whole(), "scs 1")).text
    assert "Everything that was listed is proven in S3." in said
    assert "100 % proven" in said
    assert "What went wrong" not in said
    assert "Skipped, by reason" not in said


def test_nearly_all_is_not_all(tmp_path: Path) -> None:
    """One blob of many that is not proven is not rounded away, neither in words nor in the bar."""
    finished(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        whole = ledger.whole()
    (group,) = whole.balance.groups
    many = whole.balance._replace(
        groups=(group._replace(blobs=10**9, bytes=10**15), group._replace(state="failed", blobs=1, bytes=1))
    )
    text = page(whole._replace(balance=many), "scs 1")
    assert "99.9 % proven" in text
    assert "100 %" not in text
    widths = re.findall('<rect class="failed" x="[0-9.]+" width="([0-9.]+)"', text)
    assert list(map(float, widths)) == [3, 3]
    ends = [float(x) + float(width) for x, width in re.findall('x="([0-9.]+)" width="([0-9.]+)"', text)]
    assert max(ends) <= 1000


def test_the_page_says_what_it_leaves_out(tmp_path: Path) -> None:
    """Of very many containers the largest are shown, and how many are not."""
    finished(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        whole = ledger.whole()
    assert "The largest 1; 1,233 more are not shown." in page(whole._replace(containers=Containers(1234, 0, 0, 0)), "x")


def test_the_page_of_sums_that_differ_and_of_nothing(tmp_path: Path) -> None:
    """Both are said at the top."""
    eventful(tmp_path).close()
    sql(tmp_path, "UPDATE containers SET blobs = 99 WHERE name = 'c'")
    with ledger_of(tmp_path) as ledger:
        said = Seen(page(ledger.whole(), "x")).text
    assert "The sums do not add up" in said
    assert "Container 'c' was listed with 99 blobs" in said
    sql(tmp_path, "DELETE FROM sync")
    sql(tmp_path, "DELETE FROM containers")
    sql(tmp_path, "DELETE FROM counts")
    with ledger_of(tmp_path) as ledger:
        assert ledger.whole().balance.sum_of() == Sum(0, 0)
        assert "Nothing was listed yet." in Seen(page(ledger.whole(), "x")).text


# ------------------------------------------------------------------------------------------------------------ together


def test_a_report_that_is_stopped_writes_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle: no file, no draft."""
    eventful(tmp_path).close()
    out = tmp_path / "out"
    out.mkdir()
    with (
        open_ledger(tmp_path / "storage.sqlite", lambda: MADE_AT, Stopped(2)) as ledger,
        pytest.raises(Halted),
    ):
        write(ledger, Files(out / "a.csv", out / "a.jsonl", out / "a.html"))
    assert list(out.iterdir()) == []


def test_two_reports_into_one_file_are_refused(tmp_path: Path) -> None:
    """By whatever name; and one over the catalog or its key."""
    eventful(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        (tmp_path / "link").symlink_to("one")
        for named in (
            Files(csv=tmp_path / "one", html=tmp_path / "one"),
            Files(csv=tmp_path / "one", jsonl=tmp_path / "link"),
            Files(csv=tmp_path / "storage.sqlite"),
            Files(html=tmp_path / "scs-signing.pem"),
        ):
            with pytest.raises(UsageFault) as caught:
                write(ledger, named)
            assert caught.value.code == "REPORT-FILE"
    assert not (tmp_path / "one").exists()


def test_a_certificate_without_a_key_is_not_begun(tmp_path: Path) -> None:
    """It says how to make one, and writes none of the other files either."""
    eventful(tmp_path).close()
    out = tmp_path / "out"
    out.mkdir()
    with ledger_of(tmp_path) as ledger:
        os.unlink(ledger.signing_key)  # noqa: PTH108
        with pytest.raises(EnvironmentFault, match=r"scs-signing\.pem is missing") as caught:
            write(ledger, Files(csv=out / "a.csv", certificate=out / "c"))
    assert "scs init" in caught.value.hint
    assert list(out.iterdir()) == []


def test_without_a_file_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums alone need no row by name."""
    eventful(tmp_path).close()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    with ledger_of(tmp_path) as ledger:
        monkeypatch.setattr(ledger, "rows", never)
        assert write(ledger, Files()).files == ()
