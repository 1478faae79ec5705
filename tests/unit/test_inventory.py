"""What an inventory promises: all of our bucket's objects, in little memory, or a sentence that says why not."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.s3.inventory import objects_in, open_inventory
from tests.unit.deliveries import VERSIONS, inventory, lines, measured, seen
from tests.unit.small_nas import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ODD = ["a b", "a+b", "a%20b", "ü/😀", 'q"x', "nl\nx", "comma,x", "esc\x1b"]


def shown(manifest: Path, bucket: str = "bucket") -> list[tuple[str, int, str]]:
    """All objects of a delivery."""
    return [one for some in objects_in(open_inventory(manifest, bucket)) for one in some]


def refused(manifest: Path, *words: str) -> None:
    """It is refused, with a code, a way out, and these words."""
    with pytest.raises(UsageFault) as raised:
        shown(manifest)
    assert (raised.value.code, raised.value.exit_code, bool(raised.value.hint)) == ("S3-INVENTORY", 2, True)
    assert [word for word in words if word not in raised.value.sentence] == []


def test_objects_of_all_files(tmp_path: Path) -> None:
    """Every line of every file is an object, its key decoded, its size a number, its ETag without quotes."""
    manifest = inventory(
        tmp_path, "bucket", [seen(key, number, f"e{number}") for number, key in enumerate(ODD)], [seen("z", 7, '"q"')]
    )
    assert shown(manifest) == [*((key, number, f"e{number}") for number, key in enumerate(ODD)), ("z", 7, "q")]
    assert open_inventory(manifest, "bucket").made_at_utc == "2026-11-25T00:00:00Z"


@given(keys=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
@settings(max_examples=50, deadline=None)
def test_any_key(keys: list[str]) -> None:
    """Whatever a key is made of, it comes out as it went in."""
    with in_memory() as folder:
        manifest = inventory(folder / "in", "bucket", [seen(key, 1, "e") for key in keys])
        assert [key for key, _, _ in shown(manifest)] == keys


def test_earlier_versions_and_delete_markers_are_no_objects(tmp_path: Path) -> None:
    """Of an inventory of all versions the newest ones count, and not those that say that something was deleted."""
    rows = [
        ["bucket", "kept", "v2", "true", "false", "5", "new"],
        ["bucket", "kept", "v1", "false", "false", "4", "old"],
        ["bucket", "deleted", "v2", "true", "true", "", ""],
        ["bucket", "deleted", "v1", "false", "false", "4", "old"],
    ]
    assert shown(inventory(tmp_path, "bucket", rows, schema=VERSIONS)) == [("kept", 5, "new")]


def test_files_are_found_beside_the_manifest(tmp_path: Path) -> None:
    """However a person copied it: the data files may lie in `data` beside the manifest, or right beside it."""
    manifest = inventory(tmp_path, "bucket", [seen("a", 1, "e")])
    for place in (manifest.parent / "data", manifest.parent):
        place.mkdir(exist_ok=True)
        file = next(tmp_path.rglob("*.csv.gz"))
        file.rename(place / file.name)
        assert shown(manifest) == [("a", 1, "e")]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"sourceBucket": "theirs"}, ["'theirs'", "'bucket'"]),
        ({"fileFormat": "ORC"}, ["ORC", "CSV"]),
        ({"fileFormat": "Parquet"}, ["Parquet", "CSV"]),
        ({"fileSchema": "Bucket, Key"}, ["Size", "ETag"]),
        ({"files": [{"key": "data/nowhere.csv.gz", "size": 1, "MD5checksum": "x"}]}, ["'nowhere.csv.gz'"]),
        ({"files": [{"key": "../../../etc/passwd", "size": 1, "MD5checksum": "x"}]}, ["'passwd'"]),
        ({"files": [{"key": "data/", "size": 1, "MD5checksum": "x"}]}, ["neither beside"]),
        ({"files": [{"key": "data/part-0.csv.gz", "size": 1}]}, ["MD5checksum"]),
        ({"files": None}, ["manifest cannot be read"]),
        ({"creationTimestamp": "yesterday"}, ["manifest cannot be read"]),
    ],
)
def test_what_is_no_inventory_of_ours(other: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    """Another bucket, another format, missing columns or files: each is refused by name."""
    refused(inventory(tmp_path, "bucket", [seen("a", 1, "e")], **other), *words)


def test_a_bucket_may_be_named_in_full(tmp_path: Path) -> None:
    """A manifest that has the bucket as an ARN is of that bucket, too."""
    assert shown(inventory(tmp_path, "bucket", [seen("a", 1, "e")], sourceBucket="arn:aws:s3:::bucket"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": []}', "\x00\xff"])
def test_a_manifest_that_is_none(text: str, tmp_path: Path) -> None:
    """A file of something else is refused."""
    (tmp_path / "manifest.json").write_text(text)
    refused(tmp_path / "manifest.json", "manifest cannot be read")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    ],
    ids=["short", "long", "one bit"],
)
def test_a_file_that_is_not_what_was_delivered(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A data file with other bytes than the manifest says is refused before anything is taken from it."""
    manifest = inventory(tmp_path, "bucket", [seen("a", 1, "e")])
    file = next(tmp_path.rglob("*.csv.gz"))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UsageFault, match="MD5"):
        open_inventory(manifest, "bucket")


@pytest.mark.parametrize(
    "content",
    [
        lines([seen("a", 1, "e")]).encode(),
        gzip.compress(lines([seen("a", 1, "e")]).encode())[:-9],
        gzip.compress(lines([seen("a", 1, "e")]).encode())[:12] + b"\xff" * 40,
        gzip.compress(lines([seen("a", 1, "e"), ["bucket", "b"]]).encode()),
        gzip.compress(lines([["bucket", "b", "many", "", "e", "STANDARD"]]).encode()),
        gzip.compress(b"\xff\xfe"),
        gzip.compress(lines([["bucket", "%ff", "1", "", "e", "STANDARD"]]).encode()),
    ],
    ids=["not packed", "cut off", "packed badly", "too few columns", "size", "no UTF-8", "no UTF-8 in a key"],
)
def test_a_line_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    """A file that S3 itself wrote so, by its MD5, and that cannot be read, is refused, with its name and the line."""
    manifest = inventory(tmp_path, "bucket", [])
    file = next(tmp_path.rglob("*.csv.gz"))
    file.write_bytes(content)
    said = json.loads(manifest.read_text())
    said["files"][0].update(measured(file))
    manifest.write_text(json.dumps(said))
    refused(manifest, file.name, "behind line")


def test_many_objects_take_little_memory(tmp_path: Path) -> None:
    """A file is read bit by bit: 100,000 objects never are in memory at once."""
    manifest = inventory(tmp_path, "bucket", [seen(f"{number:0100}", 1, "e") for number in range(100_000)])
    delivery = open_inventory(manifest, "bucket")
    tracemalloc.start()
    count = sum(len(some) for some in objects_in(delivery))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 12 << 20
