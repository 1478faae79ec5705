"""What a person and a program read of reports and certificates."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_cloud_storage.balance import Sum
from sync_cloud_storage.console import Console
from sync_cloud_storage.progress import InitReport
from sync_cloud_storage.report import Files, checking, write
from tests.unit.catalogs import account, listed, made, sql
from tests.unit.ledgers import EVIL, MADE_AT, SECRET, NoStop, eventful, finished, ledger_of

if TYPE_CHECKING:
    from sync_cloud_storage.balance import Whole

SHOWN_EVIL = "=cmd|'<script>alert(1)</script>\"&\\u202e,\\x0a\\x1b[31m"


class Screens:
    """A console, and what it has said."""

    def __init__(self, *, as_json: bool = False, verb: str = "report") -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        self.console = Console(
            verb,
            as_json=as_json,
            quiet=False,
            environ={"LANG": "C.UTF-8", "COLUMNS": "200"},
            clock=lambda: 0.0,
            stdout=self._out,
            stderr=self._err,
        )

    @property
    def out(self) -> str:
        """On standard output."""
        return self._out.getvalue()

    @property
    def err(self) -> str:
        """On standard error."""
        return self._err.getvalue()


def told(whole: Whole, **more: Any) -> str:
    """What people read of a report."""
    screens = Screens()
    assert (
        screens.console.report(whole, **{"files": (), "statement": None, "public_key": "", **more}) == whole.exit_code
    )
    return screens.out


def whole_of(folder: Path) -> Whole:
    """The sums of the catalog there."""
    with ledger_of(folder) as ledger:
        return ledger.whole()


def test_a_person_reads_what_became_of_every_blob(tmp_path: Path) -> None:
    """The equation, levels, codes with their ways out, reasons, containers, files and the key; no secret."""
    eventful(tmp_path).close()
    said = told(whole_of(tmp_path), files=(Path("a.html"),), public_key="KEY=")
    for words in (
        "    listed            11       107 B",
        "  = proven in S3       3        30 B",
        "  + in S3, not proven  2        20 B",
        "  + only on the NAS    2        17 B",
        "  + to download        1        10 B",
        "  + failed             2        20 B",
        "  + skipped            1        10 B",
        "1 blob of these no longer at the source",
        "5 containers, 1 to list, 1 that could not be listed, 1 skipped",
        "  4  3        30 B, 1 attested\n     S3's own checksum of the whole object is that of the download",
        "  AZ-403  1 blob failed, 10 B\n    give the role or the SAS what it lacks; then scs run --retry-failed",
        "  S3-SIZE  1 blob, found by a check\n    send it again: scs run --retry-failed; and ask who",
        "  AZ-403  1 container not listed",
        "  extension .xml  1 blob, 10 B",
        "The sums add up: each container's own, and those of the whole catalog. 7 blobs are not proven.",
        "Written: a.html",
        "signed with the key KEY=",
    ):
        assert words in said, said
    assert SECRET not in said


@pytest.mark.parametrize("evil", [EVIL])
def test_names_of_strangers_have_no_power(tmp_path: Path, evil: str) -> None:
    """Reasons, codes, paths and containers are shown harmlessly."""
    with made(tmp_path) as catalog:
        account(catalog, "c", evil)
        listed(catalog, "x", "y")
    sql(tmp_path, "UPDATE sync SET skip_reason = ? WHERE blob = 'x'", evil)
    sql(tmp_path, "UPDATE sync SET azure_status = 2, azure_error = ? WHERE blob = 'y'", f"{evil}: x")
    sql(tmp_path, "UPDATE containers SET blobs = 9 WHERE name = ?", evil)
    said = told(whole_of(tmp_path), files=(Path(f"x/{evil}"),))
    assert said.count(SHOWN_EVIL) >= 4
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_the_last_word_is_honest(tmp_path: Path) -> None:
    """All proven; all but what is skipped; sums that differ; nothing listed."""
    finished(tmp_path).close()
    whole = whole_of(tmp_path)
    assert "Everything that was listed is proven." in told(whole)
    assert "What went wrong" not in told(whole)
    sql(tmp_path, "UPDATE sync SET skip_reason = 'archive tier' WHERE blob = 'a'")
    sql(tmp_path, "DELETE FROM counts")
    assert "Everything that was listed is proven, but for what is skipped." in told(whole_of(tmp_path))
    sql(tmp_path, "DELETE FROM sync WHERE blob = 'a'")
    said = told(whole_of(tmp_path))
    assert "COUNTS-DIFFER  Container 'c' was listed with 2 blobs (20 bytes), its rows are 1 blob (10 bytes)." in said
    assert "did somebody change rows by hand?" in said
    assert "cannot be believed" in said
    sql(tmp_path, "DELETE FROM sync")
    sql(tmp_path, "DELETE FROM containers")
    assert "Nothing was listed yet: scs sync." in told(whole_of(tmp_path))


def test_many_reasons_are_cut_short(tmp_path: Path) -> None:
    """Thirty are shown, and where the others are."""
    finished(tmp_path).close()
    whole = whole_of(tmp_path)
    (group,) = whole.balance.groups
    many = tuple(group._replace(state="failed", reason=f"AZ-{number}") for number in range(40))
    assert "and 10 more" in told(whole._replace(balance=whole.balance._replace(groups=many)))


def test_a_program_reads_the_same(tmp_path: Path) -> None:
    """One document with every sum, and the certificate's statement; people read the other stream."""
    eventful(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        done = write(ledger, Files(certificate=tmp_path / "c"))
    screens = Screens(as_json=True)
    code = screens.console.report(done.whole, done.files, done.statement, done.public_key)
    document = json.loads(screens.out)
    assert (document["verb"], document["exit_code"], code) == ("report", 1, 1)
    assert document["states"]["proven"] == {"blobs": 3, "bytes": 30}
    assert Sum(**document["listed"]) == Sum(11, 107)
    assert document["levels"][4] == {"level": 4, "blobs": 3, "bytes": 30, "attested": 1}
    assert document["failed"][0] == {
        "code": "AZ-403", "blobs": 1, "bytes": 10,
        "way_out": "give the role or the SAS what it lacks; then scs run --retry-failed",
    }  # fmt: skip
    assert document["found_by_a_check"][0]["code"] == "S3-SIZE"
    assert document["skipped"] == [{"reason": "extension .xml", "blobs": 1, "bytes": 10}]
    assert document["containers"]["failed_by_code"][0]["containers"] == 1
    assert (document["account"], document["differences"], document["files"]) == ("films", [], [str(tmp_path / "c")])
    assert document["certificate"] == json.loads((tmp_path / "c").read_text().splitlines()[0])
    assert document["public_key"] == done.public_key
    assert "proven in S3" in screens.err


def test_a_verdict_says_whose_key_it_is_and_what_is_stated(tmp_path: Path) -> None:
    """Without a key to compare with it says so; with a catalog that it agrees; of one blob all that is known."""
    eventful(tmp_path).close()
    with ledger_of(tmp_path) as ledger:
        done = write(ledger, Files(certificate=tmp_path / "c"))

    def verdict(*, as_json: bool = False, **more: Any) -> str:
        screens = Screens(as_json=as_json, verb="verify-certificate")
        found = checking.check(tmp_path / "c", lambda: MADE_AT, NoStop(), **more)
        assert screens.console.verdict(found) == found.exit_code
        return screens.out

    said = verdict()
    for words in (
        f"It is signed with the key {done.public_key}", "the one that scs init printed", "of films to archive",
        "= proven in S3       3", "3 containers not listed to the end, or skipped",
    ):  # fmt: skip
        assert words in said
    assert "The catalog" not in said
    database = tmp_path / "storage.sqlite"
    said = verdict(key=done.public_key, catalog=database, blob=f"c/{EVIL}")
    assert "the key that you named" in said
    assert "says the same: root, sums and exceptions." in said
    assert f"c/{SHOWN_EVIL}" in said
    assert "  state: proven" in said
    assert "  crc64nvme: AAAAAAAAAAA=" in said
    assert "only the catalog can tell" in verdict(blob="c/1")
    assert "  reason: AZ-403" in verdict(blob="c/6")
    assert "knows no such blob" in verdict(blob="c/7", catalog=database)
    document = json.loads(verdict(as_json=True, blob="c/6"))
    assert (document["verb"], document["exit_code"]) == ("verify-certificate", 1)
    assert document["blob"]["stated"]["state"] == "failed"
    assert document["statement"]["listed"] == {"blobs": 11, "bytes": 107}


@pytest.mark.parametrize(("name", "code", "words"), [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "SIGTERM")])
def test_one_that_was_stopped_says_so(name: str, code: int, words: str) -> None:
    """With the code of its signal, and that nothing was written."""
    screens = Screens(as_json=True)
    assert screens.console.halted(name) == code
    assert json.loads(screens.out)["stopped_by"] == name
    assert f"Stopped by {words}; nothing was written." in screens.err


def test_init_prints_the_public_key() -> None:
    """For people, and in the document; where the private one lies, and whether it is new."""
    done = InitReport("storage.sqlite", True, "", (), (), (), "scs-signing.pem", True, "KEY=")  # noqa: FBT003
    screens = Screens(verb="init")
    screens.console.init(done)
    assert "is made: scs-signing.pem" in screens.out
    assert "KEY=" in screens.out
    screens = Screens(as_json=True, verb="init")
    screens.console.init(done._replace(signing_key_is_new=False))
    assert json.loads(screens.out)["public_key"] == "KEY="
    assert "is there: scs-signing.pem" in screens.err
