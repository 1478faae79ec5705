"""The documents and the program say the same: verbs, error codes, settings, links."""

from __future__ import annotations

import ast
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from benchmarks import report
from benchmarks.rows import ROWS
from sync_cloud_storage.cli.verbs import APP
from sync_cloud_storage.settings.table import TABLE
from sync_cloud_storage.ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sync_cloud_storage"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])

CODE = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+")
_README = (ROOT / "README.md").read_text()

_SCS = Path(sysconfig.get_path("scripts")) / "scs"

NO_CODES = {"AWS4-HMAC-SHA256", "ISO-8859-1", "UTF-8", "UNSIGNED-PAYLOAD"}  # words that only look like one


_NO_VERBS = {"did", "in", "itself", "never", "that"}  # words that follow the program's name in a sentence


def _texts(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every text constant, and whether something is put in behind it (an f-string)."""
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(value) for value in node.values}
            first = node.values[0] if node.values else None
            if isinstance(first, ast.Constant):
                yield str(first.value), len(node.values) > 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value, False


def _codes() -> set[str]:
    """Every error code that the source can produce; `AZ-` stands for a code that ends in a number from a service."""
    found = set()
    for file in set(SOURCE.rglob("*.py")) - {SOURCE / "ways.py"}:  # it has all codes of the runbook
        for text, goes_on in _texts(ast.parse(file.read_text())):
            if goes_on and re.fullmatch(r"(?:[A-Z][A-Z0-9]*-)+", text):
                found.add(text)
            code, colon, _ = text.partition(": ")
            if CODE.fullmatch(code) and (colon or code == text):
                found.add(code)
    return found - NO_CODES


def _codes_in_the_runbook() -> set[str]:
    first_cells = re.findall(r"^\|([^|]+)\|", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    return {code for cell in first_cells for code in re.findall(rf"`({CODE.pattern}-?)[`<]", cell)}


def _verbs(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, verb in command.commands.items():
            yield from _verbs(verb, (*words, name))
    if words:
        yield " ".join(words)


@pytest.mark.parametrize("verb", sorted(_verbs(APP)))
def test_every_verb_is_in_the_documents(verb: str) -> None:
    """A verb that `scs --help` shows is explained in the README or in docs/."""
    places = [file for file in DOCUMENTS if re.search(rf"\bscs {re.escape(verb)}\b", file.read_text())]
    assert places, f"`scs {verb}` stands in no document"


def test_no_sentence_names_a_verb_that_is_not_there() -> None:
    """A hint that sends a person to `scs something` names a verb of this version."""
    sources = [file.read_text() for file in SOURCE.rglob("*.py")]
    named = {
        word
        for text in sources
        for constant, _ in _texts(ast.parse(text))
        for word in re.findall(r"\bscs ([a-z][a-z-]+)", constant)
    }
    documented = {word for file in DOCUMENTS for word in re.findall(r"`scs ([a-z][a-z-]+)", file.read_text())}
    assert "sync" in named & documented
    assert (named | documented) - _NO_VERBS - set(APP.commands) == set()


@pytest.mark.parametrize("name", sorted({name for one in TABLE for name in (*one.env, one.toml) if name}))
def test_every_setting_is_in_the_readme(name: str) -> None:
    """A name that the environment or `scs.toml` may hold stands in the README's table."""
    if name.islower() and f"`{name.upper()}`" in _README:  # `https_proxy` is known by its capitals
        return
    assert f"`{name}`" in _README or f"`[[{name}]]`" in _README


@pytest.mark.parametrize("code", sorted(_codes()))
def test_every_code_has_a_way_out(code: str) -> None:
    """An error code that the program can print has its line in the runbook, with what to do."""
    assert code in _codes_in_the_runbook()


def test_the_runbook_knows_no_dead_codes() -> None:
    """A code in the first column of the runbook is one that the program can print."""
    assert _codes_in_the_runbook() - _codes() == set()


def test_the_runbook_is_the_printed_form_of_the_ways_out() -> None:
    """Each code has one way out: the one that the program tells is, word by word, that of the runbook."""
    lines = re.findall(r"^\| (`[A-Z][^|]*) \|[^|]*\|(.*)\|$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    printed = {code: way.strip() for codes, way in lines for code in re.findall(r"`([A-Z][A-Z0-9-]*)`", codes)}
    assert len(printed) > 100
    assert printed == WAYS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A link from one document to a file of this repository finds it."""
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_named_files_exist() -> None:
    """A script, test or document that the README names is there."""
    named = re.findall(r"`((?:scripts|docs|tests|benchmarks|src)/[\w./-]+)`", _README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_figures_on_the_page_are_those_of_the_results() -> None:
    """What docs/benchmarks.md shows between its markers is made from benchmarks/results; `scripts/bench --table`."""
    assert f"{report.BEGIN}\n{report.tables(report.results())}\n{report.END}" in report.PAGE.read_text()


def test_every_row_of_the_benchmarks_is_explained() -> None:
    """A row that `scripts/bench --list` shows has its line on the page."""
    page = report.PAGE.read_text().replace(report.tables(report.results()), "")
    assert [row.name for row in ROWS if f"`{row.name}`" not in page] == []


def test_the_installed_command_is_ours() -> None:
    """`scs --help` runs as installed, and shows every verb."""
    shown = subprocess.run([_SCS, "--help"], capture_output=True, text=True, check=True).stdout
    assert [verb for verb in APP.commands if verb not in shown] == []
