"""An S3 Inventory as it was delivered: what the bucket held when S3 looked, in files, without a single request.

Facts: Amazon S3 User Guide, "Locating your inventory list" (`manifest.json`, `data/*.csv.gz`, MD5 of each file) and
"Amazon S3 Inventory list" (in CSV keys are URL-encoded; `IsLatest` and `IsDeleteMarker` where it has all versions),
read 2026-11-25. The files have no heading: `fileSchema` names the columns. A space in a key comes as `+` (others have
seen it: cloud-custodian, issue 1997).
"""

from __future__ import annotations

import csv
import gzip
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.s3.delivery import UNREADABLE, beside, md5_of, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

ROWS_AT_ONCE = 10_000
_NEEDED = ("Key", "Size", "ETag")
_HOW = (
    "It has to be an inventory in CSV with Size and ETag; copy its manifest.json and its data files, all of them, here."
)


class Inventory(NamedTuple):
    """A delivery that is whole. `made_at_utc`: when S3 began to look, "" where that is not said."""

    files: tuple[Path, ...]
    columns: tuple[str, ...]
    made_at_utc: str


def open_inventory(manifest: Path, bucket: str) -> Inventory:
    """Look at a delivery: is it of *bucket*, can it be read, and is each of its files as S3 wrote it?

    Raises:
        UsageFault: S3-INVENTORY, what is wrong with it.
    """
    try:
        said = read_manifest(manifest)
        of, form = str(said["sourceBucket"]).removeprefix("arn:aws:s3:::"), str(said["fileFormat"])
        columns = tuple(name.strip() for name in str(said["fileSchema"]).split(","))
        listed = [(str(one["key"]), int(one["size"]), str(one["MD5checksum"])) for one in said["files"]]
        made_at_utc = _made_at(said)
    except UNREADABLE as error:
        raise _fault(manifest, f"its manifest cannot be read ({_reason(error)})") from error
    if of != bucket:
        raise _fault(
            manifest, f"it is of bucket '{of}', not of '{bucket}'", "AWS_BUCKET names the bucket that is checked."
        )
    if form.upper() != "CSV":
        raise _fault(manifest, f"its format is {form}, and only CSV is read here", "Have S3 write it as CSV.")
    if missing := [name for name in _NEEDED if name not in columns]:
        raise _fault(manifest, f"it has no {' and no '.join(missing)}", "Have S3 add Size and ETag to its fields.")
    return Inventory(tuple(_file(manifest, *one) for one in listed), columns, made_at_utc)


def objects_in(inventory: Inventory) -> Iterator[list[tuple[str, int, str]]]:
    """(key, size in bytes, ETag) of the objects that were there, some at a time; no earlier version, no delete marker.

    Raises:
        UsageFault: S3-INVENTORY, a line cannot be read.
    """
    found: list[tuple[str, int, str]] = []
    for file in inventory.files:
        line = 0
        try:
            with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
                for line, row in enumerate(csv.reader(text), 1):  # noqa: B007 - the error names it
                    said = dict(zip(inventory.columns, row, strict=True))
                    if said.get("IsLatest", "true") != "true" or said.get("IsDeleteMarker", "false") != "false":
                        continue
                    key = unquote_plus(said["Key"], errors="strict")
                    found.append((key, int(said["Size"]), said["ETag"].strip('"')))
                    if len(found) >= ROWS_AT_ONCE:
                        yield found
                        found = []
        except (*UNREADABLE, csv.Error, zlib.error) as error:
            raise _fault(file, f"it cannot be read behind line {line} ({_reason(error)})") from error
    if found:
        yield found


def _file(manifest: Path, key: str, size_bytes: int, md5: str) -> Path:
    """One of the files, which is there, and is what was delivered."""
    name = key.rpartition("/")[2]
    file = beside(manifest, key, "data")
    if file is None:
        raise _fault(manifest, f"its file '{name}' is neither beside it nor in its folder 'data'")
    try:
        is_whole = file.stat().st_size == size_bytes and md5_of(file) == md5.lower()
    except OSError as error:
        raise _fault(file, f"it cannot be read ({_reason(error)})") from error
    if not is_whole:
        raise _fault(file, "its bytes are not those that the manifest names (MD5)", "Copy it from S3 again.")
    return file


def _made_at(said: dict[str, Any]) -> str:
    milliseconds = int(said.get("creationTimestamp") or 0)
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" if milliseconds else ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _fault(file: Path, why: str, hint: str = _HOW) -> UsageFault:
    return UsageFault("S3-INVENTORY", f"The inventory '{file}' cannot be taken in: {why}.", hint)
