"""What a certificate promises: it states what is so, and whoever changes a byte of it, or a row, is found out."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage import signing
from sync_cloud_storage.balance import BlobRow, Containers
from sync_cloud_storage.errors import EnvironmentFault, ScsError
from sync_cloud_storage.ledger import Halted
from sync_cloud_storage.model import Checked
from sync_cloud_storage.report import Files, certificate, checking, write
from sync_cloud_storage.report.as_jsonl import line
from sync_cloud_storage.signing import Signer
from tests.unit.catalogs import blob, listed, made, moved, sql
from tests.unit.ledgers import EVIL, MADE_AT, SECRET, NoStop, Stopped, eventful, finished, ledger_of
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sync_cloud_storage.balance import Verdict
    from sync_cloud_storage.catalog import Catalog

PROOF = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()


class Desk(NamedTuple):
    """A catalog, and what was written of it."""

    folder: Path
    file: Path
    rows: Path
    data: bytes
    signer: Signer

    @property
    def catalog(self) -> Path:
        """Where it lies."""
        return self.folder / "storage.sqlite"

    def lines(self) -> list[dict[str, Any]]:
        """What the certificate says."""
        return [json.loads(each) for each in self.data.splitlines()]

    def check(self, data: bytes | None = None, **more: Any) -> Verdict:
        """Check the certificate, or another in its place."""
        if data is not None:
            self.file.write_bytes(data)
        return checking.check(self.file, lambda: MADE_AT, NoStop(), **more)

    def signed_anew(self, lines: list[dict[str, Any]]) -> bytes:
        """Other lines, under a signature that is right."""
        from hashlib import sha256

        data = "".join(map(line, lines)).encode()
        return data + line(certificate.signature_of(sha256(data).digest(), self.signer)).encode()


def laid(folder: Path, fill: Callable[[Path], Catalog] = eventful) -> Desk:
    """Fill a catalog and certify it."""
    fill(folder).close()
    file, rows = folder / "certificate", folder / "rows.jsonl"
    with ledger_of(folder) as ledger:
        write(ledger, Files(certificate=file, jsonl=rows))
        return Desk(folder, file, rows, file.read_bytes(), Signer(ledger.signing_key))


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    """One for tests that change only the certificate's own file."""
    with in_memory() as folder:
        yield laid(folder)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One to do with as one likes."""
    return laid(tmp_path)


def refused(of: Desk, data: bytes | None = None, **more: Any) -> ScsError:
    """The error that a check ends with."""
    with pytest.raises(ScsError) as caught:
        of.check(data, **more)
    return caught.value


# ------------------------------------------------------------------------------------------------------- what it states


def test_it_states_what_is_so(desk: Desk) -> None:
    """Whose, when, sums by state and level, and how many exceptions follow."""
    statement = desk.lines()[0]
    assert next(iter(statement)) == "scs_certificate"
    assert (statement["scs_certificate"], statement["made_at_utc"]) == (1, "2026-12-01T04:05:06Z")
    assert (statement["account"], statement["bucket"], statement["nas_id"]) == ("films", "archive", "11" * 16)
    assert statement["containers"] == Containers(5, 1, 1, 1)._asdict()
    assert statement["listed"] == {"blobs": 11, "bytes": 107}
    assert statement["states"]["proven"] == {"blobs": 3, "bytes": 30}
    assert statement["levels"][4] == {"level": 4, "blobs": 3, "bytes": 30, "attested": 1}
    assert statement["exceptions"] == {"containers": 3, "blobs": 8}
    assert statement["merkle"]["leaves"] == 11
    assert statement["merkle"]["fields"] == list(BlobRow._fields[:-1])


def test_everything_that_is_not_proven_is_named(desk: Desk) -> None:
    """Containers first, then blobs, in order, with state, level and reason; the proven ones are not."""
    exceptions = desk.lines()[1:-1]
    assert [(each["container"], each["state"], each["reason"]) for each in exceptions[:3]] == [
        ("broken", "failed", "AZ-403"), ("later", "pending", ""), ("left", "skipped", "a person said so"),
    ]  # fmt: skip
    blobs = exceptions[3:]
    assert [(each["container"], each["blob"]) for each in blobs] == [
        ("b", "z"), ("c", "3"), ("c", "4"), ("c", "5"), ("c", "6"), ("c", "8"), ("c", "9"), ("c", "a.xml"),
    ]  # fmt: skip
    assert blobs[4]["state"] == "failed"
    assert [each["reason"] for each in blobs[4:]] == ["AZ-403", "AZ-404-GONE", "S3-SIZE", "extension .xml"]
    assert blobs[5]["gone_at_utc"]
    assert SECRET.encode() not in desk.data


def _rotted(folder: Path) -> Catalog:
    catalog = finished(folder)
    catalog.settle([Checked(2, "NAS-ROT: The bytes are others.", None, asked=False)])
    return catalog


def test_what_was_proven_and_is_no_longer_right_is_named(tmp_path: Path) -> None:
    """A file that rots after its object was proven is in the certificate, and no blob that is in order."""
    desk = laid(tmp_path, _rotted)
    assert desk.lines()[0]["mismatched"]["blobs"] == 1
    (named,) = desk.lines()[1:-1]
    assert (named["blob"], named["state"], named["nas_check"], named["s3_check"]) == ("b/c", "proven", "NAS-ROT", "")
    assert desk.check(blob="c/b/c").exit_code == desk.check().exit_code == 1
    assert desk.check(blob="c/a", catalog=desk.folder / "storage.sqlite").exit_code == 0
    text = "states 1 mismatched blobs, and names 0"
    unnamed = [{**desk.lines()[0], "exceptions": {"containers": 0, "blobs": 0}}]
    assert text in refused(desk, desk.signed_anew(unnamed)).sentence


def test_it_is_in_order(desk: Desk) -> None:
    """The check agrees, also with its key and its catalog; what it states decides the exit code."""
    verdict = desk.check()
    assert (verdict.public_key, verdict.key_was_given, verdict.catalog) == (desk.signer.public_key, False, "")
    assert verdict.exit_code == 1
    verdict = desk.check(key=desk.signer.public_key, catalog=desk.catalog)
    assert (verdict.key_was_given, verdict.catalog) == (True, str(desk.catalog))


def test_it_is_in_order_and_all_is_proven(tmp_path: Path) -> None:
    """Then the exit code is 0, and there is nothing between the first line and the last."""
    desk = laid(tmp_path, finished)
    assert len(desk.lines()) == 2
    assert desk.check(catalog=desk.catalog).exit_code == 0


def test_an_empty_catalog_has_a_certificate_too(tmp_path: Path) -> None:
    """It states nothing at all, and its root is that of no leaf."""
    desk = laid(tmp_path)
    for table in ("sync", "containers", "counts"):
        sql(tmp_path, f"DELETE FROM {table}")  # noqa: S608
    desk.file.unlink()
    with ledger_of(tmp_path) as ledger:
        write(ledger, Files(certificate=desk.file))
    assert desk.check(catalog=desk.catalog).exit_code == 1
    assert json.loads(desk.file.read_bytes().splitlines()[0])["merkle"]["root"].startswith("e3b0c44298fc1c14")


def test_sums_that_differ_are_stated(desk: Desk) -> None:
    """A certificate of a catalog that does not add up is made, and says so: exit code 5."""
    sql(desk.folder, "UPDATE containers SET blobs = 9 WHERE name = 'c'")
    desk.file.unlink()
    with ledger_of(desk.folder) as ledger:
        write(ledger, Files(certificate=desk.file))
    verdict = desk.check()
    assert verdict.statement["differences"] == 1
    assert verdict.exit_code == 5


# --------------------------------------------------------------------------------------------------------- one blob


def test_what_is_stated_of_one_blob(desk: Desk) -> None:
    """Of an exception the certificate tells; of all others the catalog, and without it nothing is made up."""
    named = desk.check(blob="c/6").finding
    assert named is not None
    assert named.is_inside
    assert named.stated is not None
    assert named.stated["reason"] == "AZ-403"
    unknown = desk.check(blob="c/1")
    assert unknown.finding is not None
    assert (unknown.finding.is_inside, unknown.finding.stated, unknown.exit_code) == (None, None, 1)
    proven = desk.check(blob=f"c/{EVIL}", catalog=desk.catalog)
    assert proven.finding is not None
    assert proven.finding.stated is not None
    assert (proven.finding.is_inside, proven.finding.stated["state"], proven.exit_code) == (True, "proven", 0)
    nobody = desk.check(blob="c/nobody/at/all", catalog=desk.catalog)
    assert nobody.finding is not None
    assert (nobody.finding.blob, nobody.finding.is_inside, nobody.exit_code) == ("nobody/at/all", False, 1)


# --------------------------------------------------------------------------------------------------- whoever changes it


@given(st.data())
def test_one_byte_that_is_changed_is_found(shared: Desk, data: st.DataObject) -> None:
    """Anywhere, to anything: exit code 5, and a sentence."""
    at = data.draw(st.integers(0, len(shared.data) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != shared.data[at]))
    fault = refused(shared, shared.data[:at] + bytes([byte]) + shared.data[at + 1 :])
    assert (fault.code, fault.exit_code) == ("CERT-BROKEN", 5)
    assert fault.hint


def test_every_byte_of_the_last_line_counts(shared: Desk) -> None:
    """The one line that the signature does not cover has one way to be written."""
    begins = shared.data.rindex(b"\n", 0, -1) + 1
    for at in range(begins, len(shared.data)):
        for change in (1, 0x20):
            fault = refused(shared, shared.data[:at] + bytes([shared.data[at] ^ change]) + shared.data[at + 1 :])
            assert fault.code == "CERT-BROKEN", at


def test_the_last_line_takes_no_byte_more_and_none_less(shared: Desk) -> None:
    """Not even a blank that means nothing to JSON, or the end of the line."""
    begins = shared.data.rindex(b"\n", 0, -1) + 1
    for at in range(begins, len(shared.data) + 1):
        for more in (b" ", b"\n", b"\t"):
            assert refused(shared, shared.data[:at] + more + shared.data[at:]).code == "CERT-BROKEN", at
        if at < len(shared.data):
            assert refused(shared, shared.data[:at] + shared.data[at + 1 :]).code == "CERT-BROKEN", at


@given(st.data())
def test_bytes_that_come_or_go_are_found(shared: Desk, data: st.DataObject) -> None:
    """Cut off, doubled, or put in between."""
    at = data.draw(st.integers(0, len(shared.data) - 1))
    end = data.draw(st.integers(at + 1, len(shared.data)))
    for changed in (
        shared.data[:at] + shared.data[end:],
        shared.data[:end] + shared.data[at:],
        shared.data[:at],
        shared.data[:at] + b" " + shared.data[at:],
    ):
        assert refused(shared, changed).code == "CERT-BROKEN"


def test_lines_that_are_taken_away_added_or_swapped_are_found(shared: Desk) -> None:
    """Each of them, wherever it is."""
    lines = shared.data.splitlines(keepends=True)
    for at in range(len(lines)):
        assert refused(shared, b"".join(lines[:at] + lines[at + 1 :])).code == "CERT-BROKEN"
        assert refused(shared, b"".join([*lines[: at + 1], *lines[at:]])).code == "CERT-BROKEN"
        if at:
            swapped = [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]]
            assert refused(shared, b"".join(swapped)).code == "CERT-BROKEN"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "less than two lines"),
        (b"\n", "less than two lines"),
        (b"\n\n", "line 1 is not written"),
        (b"[]\n[]\n", "line 1 is not written"),
        (b"[" * 100_000 + b"\n{}\n", "line 1 is not written"),
        (b"\xff\xfe\n\x00\n", "line 1 is not written"),
        (b"x" * (3 << 20), "is not written"),
        (b'{"scs_certificate":2}\n{}\n', "version 2, and this version of scs knows 1; a newer one may know it"),
        (b'{"scs_certificate":1}\n{}\n', "line 1 does not hold"),
    ],
)
def test_what_is_no_certificate_is_said_so(shared: Desk, data: bytes, words: str) -> None:
    """Whatever it is, it ends in a sentence."""
    fault = refused(shared, data)
    assert fault.code == "CERT-BROKEN"
    assert words in fault.sentence


def test_a_sentence_says_what_does_not_agree(shared: Desk) -> None:
    """Changed lines, a signature that is not theirs, a last line that is none."""
    changed = shared.data.replace(b'"blobs":11', b'"blobs":12', 1)
    assert "they were changed" in refused(shared, changed).sentence
    lines = shared.data.splitlines(keepends=True)
    last = json.loads(lines[-1])
    other = line({**last, "signature": shared.signer.sign(b"something else")}).encode()
    assert "signature in its last line" in refused(shared, b"".join([*lines[:-1], other])).sentence
    assert "its last line is no signature" in refused(shared, b"".join(lines[:-1])).sentence


def _edited(lines: list[dict[str, Any]], at: int, **changes: Any) -> list[dict[str, Any]]:
    return [*lines[:at], {**lines[at], **changes}, *lines[at + 1 :]]


def _moved_down(levels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    *lower, third, fourth = levels
    sums = {unit: third[unit] + fourth[unit] for unit in ("blobs", "bytes")}
    return [*lower, {**third, **sums}, {**fourth, "blobs": 0, "bytes": 0}]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: lines[:-1], "states 8 exceptions that are blobs, and names 7"),
        (lambda lines: [lines[0], *lines[2:]], "states 3 exceptions that are containers, and names 2"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 3 is not in its place, after later"),
        (lambda lines: [*lines, lines[-1]], "is not in its place"),
        (lambda lines: _edited(lines, 5, state="skipped"), "and names"),
        (lambda lines: _edited(lines, 5, state="proven"), "no state that an exception can have"),
        (lambda lines: _edited(lines, 5, size_bytes=11), "and names"),
        (lambda lines: _edited(lines, 5, size_bytes="10"), "line 6 does not hold"),
        (lambda lines: _edited(lines, 5, level=None), "line 6 does not hold"),
        (lambda lines: _edited(lines, 5, level=True), "line 6 does not hold"),
        (lambda lines: _edited(lines, 5, more=1), "line 6 does not hold"),
        (lambda lines: _edited(lines, 0, differences=-1), "line 1 does not hold"),
        (lambda lines: _edited(lines, 0, scs_certificate=True), "line 1 does not hold"),
        (lambda lines: _edited(lines, 0, listed={"blobs": 12, "bytes": 107}), "the blobs of its states"),
        (
            lambda lines: _edited(lines, 0, levels=_moved_down(lines[0]["levels"])),
            "more blobs as proven than have the highest level",
        ),
        (lambda lines: _edited(lines, 0, levels=lines[0]["levels"][:4]), "line 1 does not hold"),
        (lambda lines: _edited(lines, 0, levels=[lines[0]["levels"][1], *lines[0]["levels"][1:]]), "line 1"),
        (lambda lines: _edited(lines, 0, merkle={**lines[0]["merkle"], "leaves": 12}), "another number of leaves"),
        (lambda lines: _edited(lines, 0, merkle={**lines[0]["merkle"], "leaf": "x"}), "line 1 does not hold"),
    ],
    ids=itertools.count(),
)
def test_a_signature_does_not_excuse_what_is_not_in_order(shared: Desk, edit: Any, words: str) -> None:
    """Lines that were never right are found under a signature that is."""
    fault = refused(shared, shared.signed_anew(edit(shared.lines()[:-1])))
    assert fault.code == "CERT-BROKEN"
    assert words in fault.sentence


def test_another_key_is_found(desk: Desk) -> None:
    """Whoever signs it anew with a key of their own is found by who names the right one."""
    signing.make(desk.folder / "thief.pem")
    thief = desk._replace(signer=Signer(desk.folder / "thief.pem"))
    forged = thief.signed_anew(desk.lines()[:-1])
    assert desk.check(forged).public_key == thief.signer.public_key != desk.signer.public_key
    fault = refused(desk, key=desk.signer.public_key)
    assert (fault.code, fault.exit_code) == ("CERT-SIGNER", 5)
    assert thief.signer.public_key in fault.sentence


# ------------------------------------------------------------------------------------------------- against its catalog

_TEXT = "UPDATE sync SET {0} = coalesce({0}, '') || 'x' WHERE blob = '1'"


@pytest.mark.parametrize(
    "change",
    [
        *(
            _TEXT.format(column)
            for column in (
                "blob",
                "etag",
                "last_modified",
                "content_md5",
                "crc64nvme",
                "md5",
                "nas_path",
                "s3_key",
                "s3_etag",
                "s3_checksum",
                "s3_version_id",
                "created_at",
                "downloaded_at_utc",
                "uploaded_at_utc",
                "checked_at_utc",
                "gone_at_utc",
                "skip_reason",
            )
        ),
        "UPDATE sync SET size_bytes = size_bytes + 1 WHERE blob = '1'",
        "UPDATE sync SET size_bytes = NULL WHERE blob = '1'",
        "UPDATE sync SET proven = NULL WHERE blob = '1'",
        "UPDATE sync SET attested = NULL, md5 = NULL WHERE blob = '1'",
        "UPDATE sync SET attested = 1 WHERE blob = '2'",
        "UPDATE sync SET nas_check = 'NAS-ROT: x' WHERE blob = '1'",
        "UPDATE sync SET proven = 1 WHERE blob = '3'",
        "UPDATE sync SET azure_error = 'AZ-404: x' WHERE blob = '6'",
        "UPDATE sync SET container = 'later' WHERE blob = '1'",
        "UPDATE sync SET blob = '0' WHERE blob = '1'",
        "DELETE FROM sync WHERE blob = '1'",
        "INSERT INTO sync (container, blob) VALUES ('c', 'added')",
        "UPDATE containers SET skip_reason = NULL WHERE name = 'left'",
        "UPDATE containers SET skip_reason = 'x' WHERE name = 'left'",
        "UPDATE containers SET name = 'right' WHERE name = 'left'",
        "UPDATE state SET value = 'other' WHERE key = 'bucket'",
    ],
)
def test_a_catalog_that_was_changed_is_found(desk: Desk, change: str) -> None:
    """One column of one row, a row that came or went: exit code 5, and what does not agree."""
    sql(desk.folder, change)
    fault = refused(desk, catalog=desk.catalog)
    assert (fault.code, fault.exit_code) == ("CERT-DIFFERS", 5)
    assert fault.sentence.startswith("The catalog is not what the certificate says: ")
    desk.check()


def test_a_sentence_says_where_the_catalog_differs(desk: Desk) -> None:
    """The sums that differ, the exception that differs, or the root where only that shows it."""
    sql(desk.folder, "UPDATE sync SET crc64nvme = 'other' WHERE blob = '1'")
    assert "at least one row is not what it was" in refused(desk, catalog=desk.catalog).sentence
    sql(desk.folder, "UPDATE sync SET azure_error = 'AZ-404: x' WHERE blob = '6'")
    fault = refused(desk, catalog=desk.catalog)
    assert '"reason": "AZ-403"' in fault.sentence
    assert '"reason": "AZ-404"' in fault.sentence
    sql(desk.folder, "UPDATE sync SET proven = NULL WHERE blob = '1'")
    assert "it states states as" in refused(desk, catalog=desk.catalog).sentence


def test_what_says_nothing_about_a_blob_may_change(desk: Desk) -> None:
    """A run that was begun since and changed no row, and sentences, are no difference."""
    sql(desk.folder, "INSERT INTO runs (verb, began_at_utc, ended_at_utc) VALUES ('xcheck', 'x', 'y')")
    sql(desk.folder, "UPDATE sync SET azure_error = 'AZ-403: other words' WHERE blob = '6'")
    desk.check(catalog=desk.catalog)


# ------------------------------------------------------------------------------------------------------------ the rest


def test_a_stranger_can_check_it_without_us(desk: Desk) -> None:
    """The program in docs/proof.md agrees with a certificate and its JSON lines, and with no other ones."""
    (program,) = re.findall(r"```python\n(.*?)```", PROOF, re.DOTALL)
    assert "sync_cloud_storage" not in program

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-Ic", program, str(desk.file), str(desk.rows), desk.signer.public_key]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stdout) == (0, "in order: 3 of 11 proven\n"), done.stderr
    rows = desk.rows.read_text()
    desk.rows.write_text(rows.replace('"level":4', '"level":3', 1))
    assert "other rows" in run().stderr
    desk.rows.write_text(rows)
    desk.file.write_bytes(desk.data.replace(b'"blobs":3', b'"blobs":4', 1))
    assert "InvalidSignature" in run().stderr


def test_every_key_of_the_format_is_explained(desk: Desk) -> None:
    """docs/proof.md has each name that stands in a certificate."""
    statement, *exceptions, last = desk.lines()
    names = {name for document in (statement, exceptions[0], exceptions[-1], last) for name in document}
    for part in ("containers", "merkle", "exceptions", "listed"):
        names |= set(statement[part])
    names |= set(statement["levels"][0])
    assert [name for name in names if f"`{name}`" not in PROOF] == []


def test_a_certificate_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or a folder: exit code 3, and the reason."""
    for file, words in ((tmp_path / "missing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(EnvironmentFault, match=words) as caught:
            checking.check(file, lambda: MADE_AT, NoStop())
        assert (caught.value.code, caught.value.exit_code) == ("CERT-FILE", 3)


def test_a_certificate_and_a_catalog_that_may_only_be_read(desk: Desk) -> None:
    """Checking takes no lock and writes nothing: also beside somebody who writes the catalog."""
    from sync_cloud_storage.catalog import Catalog

    desk.file.chmod(0o444)
    with Catalog.open(desk.catalog, lambda: MADE_AT):
        desk.check(catalog=desk.catalog)


def test_a_check_may_be_stopped(desk: Desk) -> None:
    """While rows are read."""
    with pytest.raises(Halted):
        checking.check(desk.file, lambda: MADE_AT, Stopped(0), catalog=desk.catalog)


def test_memory_does_not_grow_with_the_exceptions(tmp_path: Path) -> None:
    """Ten times as many blobs that are not proven take no more room, to write or to check."""

    def peak_bytes(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        with made(folder) as catalog:
            listed(catalog, *(blob(f"{number:08}{'x' * 200}") for number in range(count)))
            moved(catalog, 1)
        with ledger_of(folder) as ledger:
            tracemalloc.start()
            write(ledger, Files(certificate=folder / "c", csv=folder / "t", jsonl=folder / "j", html=folder / "h"))
        checking.check(folder / "c", lambda: MADE_AT, NoStop(), catalog=folder / "storage.sqlite")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)  # what is imported and kept
    assert peak_bytes(5000) < peak_bytes(500) + 300_000


def test_a_copy_of_the_catalog_does_as_well(desk: Desk) -> None:
    """What is compared are rows, not the file."""
    shutil.copy(desk.catalog, desk.folder / "copy.sqlite")
    desk.check(catalog=desk.folder / "copy.sqlite")
