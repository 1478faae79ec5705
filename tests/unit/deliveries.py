"""What S3 delivers as files, as AWS documents it: inventories, and completion reports of Compute checksum."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MADE_AT_MS = 1_795_564_800_000  # 2026-11-25T00:00:00Z
SCHEMA = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
VERSIONS = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag"


def inventory(folder: Path, bucket: str, *files: Sequence[Sequence[str]], schema: str = SCHEMA, **other: Any) -> Path:
    """Write a delivery: `<time>/manifest.json`, and `data/` beside that folder; where its manifest is."""
    data = folder / "data"
    data.mkdir(parents=True)
    listed = []
    for number, rows in enumerate(files):
        name = f"part-{number}.csv.gz"
        (data / name).write_bytes(gzip.compress(lines(rows).encode()))
        listed.append({"key": f"in/{bucket}/daily/data/{name}", **measured(data / name)})
    manifest = folder / "2026-11-25T00-00Z" / "manifest.json"
    manifest.parent.mkdir()
    said = {
        "sourceBucket": bucket,
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": str(MADE_AT_MS),
        "fileFormat": "CSV",
        "fileSchema": schema,
        "files": listed,
    }
    manifest.write_text(json.dumps(said | other))
    return manifest


def measured(file: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {
        "size": file.stat().st_size,
        "MD5checksum": hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest(),
    }


def seen(key: str, size_bytes: int, etag: str, bucket: str = "bucket") -> list[str]:
    """A line of `SCHEMA`."""
    return [bucket, quote_plus(key, safe="/"), str(size_bytes), "2026-11-24T10:00:00.000Z", etag, "STANDARD"]


def lines(rows: Sequence[Sequence[str]]) -> str:
    """As S3 writes CSV: all in quotes."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue()


def computed(key: str, etag: str, checksum: str, bucket: str = "bucket", **other: str) -> list[str]:
    """A line about a task that succeeded."""
    said = {"checksum_base64": checksum, "etag": etag, "checksumAlgorithm": "CRC64NVME", "checksumType": "FULL_OBJECT"}
    return [bucket, quote(key), "", "succeeded", "200", "", json.dumps(said | {"checksum_hex": "6D2F5339"} | other)]


def failed(key: str, bucket: str = "bucket") -> list[str]:
    """A line about one that did not."""
    return [bucket, quote(key), "", "failed", "200", "PermanentFailure", 'error details: {"errorCode": "404"}']


def report(folder: Path, *rows: Sequence[str], failures: Sequence[Sequence[str]] = ()) -> Path:
    """Write a report: `manifest.json`, and its lines below `results/`; where its manifest is."""
    (folder / "results").mkdir(parents=True)
    results = []
    for status, some in (("succeeded", rows), ("failed", failures)):
        if some:
            file = folder / "results" / f"{status}.csv"
            file.write_text(lines(some))
            md5 = measured(file)["MD5checksum"]
            key = f"job-f8fb9d89/results/{file.name}"
            results.append({"TaskExecutionStatus": status, "Bucket": "reports", "MD5Checksum": md5, "Key": key})
    schema = "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"
    said = {"Format": "Report_CSV_20180820", "Results": results, "ReportSchema": schema}
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder / "manifest.json"
