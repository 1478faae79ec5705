"""Where the command's words go: narrow terminals, old locales, pipes that close; and what must never be among them."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

import pytest

from tests.journey.desk import SCS
from tests.servers import clients
from tests.servers.strict import Answer, Drip, Fault, Reset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud

COLUMNS = 40
HOSTILE = ("漢字/ファイル", "\u202egpj.exe", "e\u0301", "\x1b[31mred", "\x1b]0;title\x07", "line\nfeed", "long" * 60)
_COLOURS, _MOVES = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"\r|\x1b\[(?:K|J|\d+A)")  # all that we ever send


@pytest.fixture(autouse=True)
def one_worker(desk: Desk) -> None:
    """One worker is enough, and starts sooner."""
    desk.env["SCS_WORKERS"] = "1"


@pytest.fixture
def troubled(desk: Desk, strict: StrictCloud) -> Desk:
    """A catalog in which every blob of a hostile name has failed, so that the names are shown."""
    for name in HOSTILE:
        strict.azure.put("films", name, b"xx", md5="wrong")
    desk.scs("init")
    return desk


def cells(text: str) -> int:
    """How many columns a terminal needs for it."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def test_scs_run_at_a_terminal_of_40_columns(troubled: Desk, strict: StrictCloud) -> None:
    """No line is wider than the terminal: live view, report, status, help; and no name can play with it."""
    strict.azure.put("films", "reel", b"x" * 500_000)
    strict.faults.append(Fault(Drip(300_000), operation="GetBlob", path="/reel"))
    for line, code in (("run", 1), ("status", 1), ("xcheck", 1), ("run --help", 0)):
        with troubled.at_terminal(*line.split(), columns=COLUMNS) as terminal:
            done = terminal.end()
        assert done.code == code
        shown = _MOVES.sub("\n", _COLOURS.sub("", done.out))
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
        limit = 50 if "--help" in line else COLUMNS  # click itself never goes below that
        assert [text for text in shown.split("\n") if cells(text) > limit] == []
        if line == "run":
            assert done.out.count("in flight") >= 2, "there was no live view"


def test_scs_run_with_lang_c(troubled: Desk, strict: StrictCloud) -> None:
    """Without a locale names are moved as they are and shown in ASCII, on a terminal and in a pipe."""
    strict.azure.put("films", "漢字.txt", b"bytes")
    locale = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = troubled.scs("run", code=1, env=locale)
    assert done.said.isascii()
    assert r"films/\u6f22\u5b57/\u30d5\u30a1\u30a4\u30eb" in done.out
    with troubled.at_terminal("status", env=locale) as terminal:
        assert terminal.end().out.isascii()
    assert troubled.scs("status", "--json", code=1, env=locale).out.isascii()
    assert troubled.files() == {"films/漢字.txt": b"bytes"}
    assert strict.s3.buckets["target"].objects["films/漢字.txt"].data == b"bytes"


@pytest.mark.parametrize("line", ["run", "status", "status --json", "xcheck", "--help"])
def test_scs_into_head(line: str, troubled: Desk) -> None:
    """A reader that goes away is no error of ours: the work is done, and the exit code is its own."""
    piped = f"{SCS} {line} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", piped], cwd=troubled.folder, env=troubled.env, capture_output=True, check=False
    )
    assert done.returncode == {"run": 1, "xcheck": 1}.get(line, 0)
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr
    if line == "run":
        assert set(troubled.states().values()) == {"failed"}


# -------------------------------------------------------------------------------------------------------- secrets


def test_no_secret_leaves_scs(desk: Desk, strict: StrictCloud) -> None:
    """Whatever the services say, no key and no signature gets into an output, a file, or the list of processes."""
    at = strict.azure_at
    sas = clients.account_sas(at, "rl")
    signature = parse_qs(sas)["sig"][0]
    canaries = {strict.azure.key, strict.s3_at.secret_access_key, signature, quote(signature, safe="")}
    desk.secrets |= canaries
    account = {"AZURE_STORAGE_ACCOUNT": at.account, "AZURE_STORAGE_SERVICE_ENDPOINT": at.url}
    by_sas = {"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_SAS_TOKEN": sas, **account}
    words = f"asked for {at.url}/films/reel?{sas.replace('&', '&amp;')}"

    def telling(status: int, code: str) -> Answer:
        body = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>"
        return Answer(status, headers={"x-ms-request-id": "1", "x-ms-error-code": code}, body=body)

    for number in range(6):
        strict.azure.put("films", f"reel-{number}", b"x" * 300_000)
    strict.faults += [
        Fault(Reset(1000), operation="GetBlob", path="reel-0", times=2),
        Fault(telling(409, "InvalidBlobType"), operation="GetBlob", path="reel-1", times=0),
        Fault(telling(400, "Strange"), operation="PutObject", path="reel-2", times=0),
        Fault(Drip(200_000), operation="GetBlob", path="reel-3", times=0),
    ]
    desk.scs("init", env=by_sas)
    with desk.start("run", env=by_sas) as going:
        going.until(lambda: strict.asked("GetBlob", "reel-3"))
        assert not _found(canaries, _command_lines(going.child.pid))
        assert not _found(canaries, _contents(desk.folder))  # the catalog's -wal is among them
        assert going.end().code == 1
    strict.faults.append(Fault(telling(403, "AuthenticationFailed"), operation="ListContainers", nth=3))
    for line, code in (("status --json", 1), ("xcheck --json", 1), ("xcheck --deep", 3)):
        desk.scs(*line.split(), code=code, env=by_sas)
    desk.scs("run", "--retry-failed", code=1)  # by the key, in a connection string
    strict.faults = [Fault(Answer(302, headers={"Location": f"{at.url}/?{sas}"}), operation="ListContainers", times=0)]
    desk.scs("sync", code=3, env=by_sas)
    assert not _found(canaries, _contents(desk.folder))


def _command_lines(parent: int) -> Iterator[tuple[str, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if parent in {int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])}:
                    yield entry.name, (entry / "cmdline").read_bytes()
            except OSError:
                continue


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()


def _found(canaries: set[str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    looked = list(places)
    assert looked, "the test proves nothing"
    return [place for place, content in looked for canary in canaries if canary.encode() in content]
