"""What working with S3 Batch Operations promises: a manifest that is whole, and no checksum that nobody computed."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.s3.batch import LINES_AT_ONCE, Reports, Told, forms_of, write_manifest
from tests.unit.deliveries import computed, failed, lines, report
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUM = "AAAAAAAAAAA="
# As it stands in the User Guide, but for bucket and algorithm.
FROM_THE_GUIDE = (
    'bucket,s3-standard-1mb-test-object,,succeeded,200,,"{""checksum_base64"":""AAAAAAAAAAA\\u003d"",'
    '""etag"":""3c3c1813042989094598e4b57ecbdc82"",""checksumAlgorithm"":""CRC64NVME"",'
    '""checksumType"":""FULL_OBJECT"",""checksum_hex"":""0000000000000000""}"\n'
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def told(reports: Reports) -> list[tuple[str, str, str]]:
    """(key, ETag, checksum) of all lines that count."""
    return [(one.key, one.etag, one.checksum) for some in reports.told() for one in some]


# --------------------------------------------------------------------------------------------------------- the manifest


@given(keys=st.lists(KEYS, min_size=1), versions=st.booleans())
@settings(max_examples=50, deadline=None)
def test_manifest_of_any_keys(keys: list[str], versions: bool) -> None:  # noqa: FBT001 - a parameter
    """Every object is a line of its own, in plain ASCII, its key encoded as in an address, all with as many columns."""
    with in_memory() as folder:
        file = folder / "job.csv"
        assert write_manifest(file, "bucket", ((key, "v1" if versions else "") for key in keys)) == len(keys)
        rows = list(csv.reader(file.read_text("ascii").splitlines()))
        assert [unquote(row[1], errors="strict") for row in rows] == keys
        assert {(row[0], *row[2:]) for row in rows} == {("bucket", "v1") if versions else ("bucket",)}


def test_manifest_as_the_guide_writes_it(tmp_path: Path) -> None:
    """Slashes stay, a space is %20, and there is no heading."""
    write_manifest(tmp_path / "job.csv", "bucket", [("photos/jpgs/object key+1", ""), ("a", "")])
    assert (tmp_path / "job.csv").read_text() == "bucket,photos/jpgs/object%20key%2B1\nbucket,a\n"


def test_without_objects_there_is_no_manifest(tmp_path: Path) -> None:
    """A job about nothing could not be made."""
    assert write_manifest(tmp_path / "job.csv", "bucket", []) == 0
    assert list(tmp_path.iterdir()) == []


def test_manifest_that_is_there_stays(tmp_path: Path) -> None:
    """Whatever is in the place of the manifest is left as it is."""
    (tmp_path / "job.csv").write_text("mine")
    with pytest.raises(UsageFault, match="there already") as raised:
        write_manifest(tmp_path / "job.csv", "bucket", [("a", "")])
    assert raised.value.code == "BATCH-MANIFEST"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("job.csv", "mine")]


def test_manifest_that_cannot_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is interrupted, or has no room left, leaves nothing that looks like a manifest."""

    def interrupted() -> Iterator[tuple[str, str]]:
        yield "a", ""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(tmp_path / "job.csv", "bucket", interrupted())
    assert list(tmp_path.iterdir()) == []

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageFault, match="No space left"):
        write_manifest(tmp_path / "job.csv", "bucket", [("a", "")])
    assert list(tmp_path.iterdir()) == []


def test_manifest_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A sentence, and no folder."""
    with pytest.raises(UsageFault, match="No such file"):
        write_manifest(tmp_path / "no" / "job.csv", "bucket", [("a", "")])
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------------- the report


def test_report_of_the_guide(tmp_path: Path) -> None:
    """The example in AWS's own documentation is understood."""
    (tmp_path / "report.csv").write_text(FROM_THE_GUIDE)
    reports = Reports([tmp_path / "report.csv"], "bucket")
    assert told(reports) == [("s3-standard-1mb-test-object", "3c3c1813042989094598e4b57ecbdc82", SUM)]
    assert (reports.passed_over, reports.missing) == ({}, [])


def test_what_does_not_count_is_counted(tmp_path: Path) -> None:
    """Lines of another bucket, failures, other checksums and nonsense count by their reason, and tell nothing."""
    rows = [
        computed("good", "e", SUM),
        computed("theirs", "e", SUM, "other"),
        failed("gone"),
        computed("crc32", "e", "AAAAAA==", checksumAlgorithm="CRC32"),
        computed("parts", "e", SUM, checksumType="COMPOSITE"),
        computed("short", "e", "AAAAAA=="),
        computed("no base64", "e", "AAAA*AAAAAA="),
        computed("no etag", "", SUM),
        [*computed("no JSON", "e", SUM)[:6], "{'etag': 'e'}"],
        [*computed("a list", "e", SUM)[:6], "[]"],
        [*computed("no sum", "e", SUM)[:6], '{"etag": "e"}'],
        computed("too short", "e", SUM)[:6],
    ]
    reports = Reports([report(tmp_path, *rows)], "bucket")
    assert told(reports) == [("good", "e", SUM)]
    assert reports.passed_over == {
        "of another bucket": 1,
        "of a task that failed": 1,
        "with another checksum than the CRC64NVME of a whole object": 2,
        "that cannot be read": 7,
    }


def test_etag_of_the_sample(tmp_path: Path) -> None:
    """ETag may be written with capitals, and in quotes."""
    row = computed("a", "", SUM)
    row[6] = row[6].replace('"etag": ""', '"ETag": "\\"e\\""')
    (tmp_path / "r.csv").write_text(lines([row]))
    assert told(Reports([tmp_path / "r.csv"], "bucket")) == [("a", "e", SUM)]


def test_report_with_failures(tmp_path: Path) -> None:
    """The manifest of a report leads to its lines about failures, too; without those, nothing is missing."""
    manifest = report(tmp_path, computed("a", "e", SUM), failures=[failed("b"), failed("c")])
    reports = Reports([manifest], "bucket")
    assert (told(reports), reports.passed_over["of a task that failed"]) == ([("a", "e", SUM)], 2)
    (tmp_path / "results" / "failed.csv").unlink()
    reports = Reports([manifest], "bucket")
    assert (told(reports), reports.missing) == ([("a", "e", SUM)], [])


def test_several_reports(tmp_path: Path) -> None:
    """Each file counts, in the order in which they were named; what cannot be read is named, and stops nothing."""
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text(lines([computed("a", "e", SUM)]))
    second.write_text(lines([computed("b", "e", SUM)]))
    (tmp_path / "odd.csv").write_text("key\n")
    (tmp_path / "odd.json").write_text("[]")
    reports = Reports(
        [second, tmp_path / "odd.csv", tmp_path / "odd.json", tmp_path / "no.csv", tmp_path, first], "bucket"
    )
    assert told(reports) == [("b", "e", SUM), ("a", "e", SUM)]
    names = ["odd.json", "odd.csv", "no.csv", tmp_path.name]
    assert sorted(file.name for file in reports.missing) == sorted(names)


@pytest.mark.parametrize("text", ["", "{}", "hello\n", '"', "\x00", "a,b,c,d,e,f\n"])
def test_nothing_that_can_be_read(text: str, tmp_path: Path) -> None:
    """Where no file is a report at all, the check does not begin."""
    for name in ("report.csv", "manifest.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageFault, match=name) as raised:
            Reports([tmp_path / name], "bucket")
        assert (raised.value.code, raised.value.exit_code) == ("S3-REPORT", 2)


def test_damaged_file_of_a_report(tmp_path: Path) -> None:
    """A file with other bytes than its manifest names does not count, and neither does one that is not there."""
    manifest = report(tmp_path, computed("a", "e", SUM))
    file = tmp_path / "results" / "succeeded.csv"
    file.write_text(file.read_text().replace(SUM, "AAAAAAAAAAE="))
    for _ in ("damaged", "gone"):
        with pytest.raises(UsageFault, match=r"manifest\.json"):
            Reports([manifest], "bucket")
        file.unlink(missing_ok=True)


def test_report_that_breaks_off(tmp_path: Path) -> None:
    """What can be read counts, what follows is one line that cannot."""
    (tmp_path / "r.csv").write_bytes(lines([computed("a", "e", SUM)]).encode() + b"x\x00" + b"y" * (1 << 18))
    reports = Reports([tmp_path / "r.csv"], "bucket")
    assert (told(reports), reports.passed_over) == ([("a", "e", SUM)], {"that cannot be read": 1})


def test_long_report_comes_in_pieces(tmp_path: Path) -> None:
    """Lines are not held all at once."""
    rows = [computed(str(number), "e", SUM) for number in range(LINES_AT_ONCE + 3)]
    (tmp_path / "r.csv").write_text(lines(rows))
    pieces = [len(some) for some in Reports([tmp_path / "r.csv"], "bucket").told()]
    assert pieces == [LINES_AT_ONCE, 3]


@given(key=KEYS)
def test_a_key_is_among_its_forms_however_it_was_written(key: str) -> None:
    """Encoded as in the manifest, with + for a space, or not at all: the key itself is one of three readings."""
    from urllib.parse import quote, quote_plus

    assert all(key in forms_of(written) for written in (quote(key), quote_plus(key, safe="/"), key))
    assert len(Told(*forms_of(key), "e", SUM)) == 5
