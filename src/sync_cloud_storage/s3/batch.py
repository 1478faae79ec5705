"""S3 Batch Operations: the manifest for a job *Compute checksum*, and the completion report that it leaves.

S3 reads the objects where they lie, whatever their size and storage class, and says the checksum of each.

Facts: Amazon S3 User Guide, "Creating an S3 Batch Operations job" (lines `bucket,key[,version]` without a heading; keys
URL-encoded; a version for all objects or for none), "Compute checksums" and "Examples: S3 Batch Operations completion
reports" (`manifest.json`, and the lines), read 2026-11-25. Its schema has ErrorCode before HTTPStatusCode, its examples
have them the other way round: neither is needed. ETags are named `etag` there, and `ETag` in AWS's own sample
(sample-s3-batch-checksum-validation). How keys are written in a report is said nowhere; see `forms_of`.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from sync_cloud_storage.checksum import crc_from_s3
from sync_cloud_storage.draft import Draft
from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.s3.delivery import UNREADABLE, beside, md5_of, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LINES_AT_ONCE = 10_000
_COLUMNS = 7  # Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage

OTHER_BUCKET = "of another bucket"
NO_SUCCESS = "of a task that failed"
OTHER_SUM = "with another checksum than the CRC64NVME of a whole object"
NO_LINE = "that cannot be read"


class Told(NamedTuple):
    """What a line of a report says: the forms of a key, one of which is the object's, its ETag, its CRC64NVME."""

    key: str
    key_spaced: str
    key_written: str
    etag: str
    checksum: str


class Reports:
    """Completion reports on this machine.

    Args:
        files: CSV files, or the `manifest.json` of a report, which names them.
        bucket: Lines about another one do not count.

    Raises:
        UsageFault: S3-REPORT, there is not one line that can be read.

    Attributes:
        passed_over: How many lines did not count, by the reason; grows while `told` goes on.
        missing: Files that cannot be read, or are not those that were delivered.
    """

    def __init__(self, files: Sequence[Path], bucket: str) -> None:
        self._bucket = bucket
        self.passed_over: Counter[str] = Counter()
        self.missing: list[Path] = []
        self._files = [one for file in files for one in self._named_by(file) if self._is_report(one)]
        if files and not self._files:
            names = ", ".join(f"'{file}'" for file in files)
            raise UsageFault(
                "S3-REPORT",
                f"Nothing can be read in {names}.",
                "Name the completion report of a job Compute checksum: its CSV files, or manifest.json beside them.",
            )

    def told(self) -> Iterator[list[Told]]:
        """What all lines that count say, some at a time; of two that speak of one object, the later one counts."""
        found: list[Told] = []
        for file in self._files:
            for row in _rows(file):
                said = self._understood(row)
                if isinstance(said, Told):
                    found.append(said)
                else:
                    self.passed_over[said] += 1
                if len(found) >= LINES_AT_ONCE:
                    yield found
                    found = []
        if found:
            yield found

    def _named_by(self, file: Path) -> list[Path]:
        """The CSV files of a report; what lies near and is damaged is missing as well."""
        if file.suffix != ".json":
            return [file]
        try:
            results = [
                (str(one["Key"]), str(one.get("MD5Checksum") or ""), one.get("TaskExecutionStatus") == "failed")
                for one in read_manifest(file)["Results"]
            ]
        except UNREADABLE:
            self.missing.append(file)
            return []
        files = []
        for key, md5, is_of_failures in results:
            found = beside(file, key, "results")
            if found is not None and md5.lower() in {"", _md5_or_none(found)}:
                files.append(found)
            elif not is_of_failures:
                self.missing.append(file.with_name(key.rpartition("/")[2]))
        return files

    def _is_report(self, file: Path) -> bool:
        """Whether it begins with a line of a report."""
        begins_well = len(next(iter(_rows(file)), [])) == _COLUMNS
        if not begins_well:
            self.missing.append(file)
        return begins_well

    def _understood(self, row: list[str]) -> Told | str:
        """What a line says; else why it does not count."""
        if len(row) != _COLUMNS:
            return NO_LINE
        bucket, key, _, status, *_, message = row
        if bucket != self._bucket:
            return OTHER_BUCKET
        if status != "succeeded":
            return NO_SUCCESS
        try:
            return _sum_in(key, message)
        except UNREADABLE:
            return NO_LINE


def _sum_in(key: str, message: str) -> Told | str:
    """What S3 answered for one object, in JSON.

    Raises:
        ValueError, KeyError, AttributeError: It is no such answer.
    """
    said = {str(name).lower(): str(value) for name, value in json.loads(message).items()}
    if (said["checksumalgorithm"], said["checksumtype"]) != ("CRC64NVME", "FULL_OBJECT"):
        return OTHER_SUM
    checksum, etag = said["checksum_base64"], said["etag"].strip('"')
    crc_from_s3(checksum)  # raises where it is none
    return Told(*forms_of(key), etag, checksum) if etag else NO_LINE


def forms_of(key: str) -> tuple[str, str, str]:
    """What a key in a report may mean: it may be encoded as in the manifest, with `+` for a space, or not at all."""
    return unquote(key), unquote_plus(key), key


def write_manifest(file: Path, bucket: str, objects: Iterable[tuple[str, str]]) -> int:
    """Write the manifest of a job for these (key, version; "" for all of them or none), whole or not at all.

    Returns:
        How many lines it has. Without any there is no file.

    Raises:
        UsageFault: BATCH-MANIFEST, something is there already, or it cannot be written.
    """
    count = 0
    try:
        if file.exists():
            raise UsageFault(
                "BATCH-MANIFEST",
                f"'{file}' is there already, and is left as it is.",
                "Name another file, or move it away.",
            )
        with Draft(file) as draft:
            for count, (key, version) in enumerate(objects, 1):  # noqa: B007 - the last one is the sum
                draft.write(f"{bucket},{quote(key)}{f',{version}' if version else ''}\n".encode("ascii"))
            if count:
                draft.publish()
    except OSError as error:
        raise UsageFault(
            "BATCH-MANIFEST", f"'{file}' cannot be written: {error.strerror}.", "Name a file where you may write."
        ) from error
    return count


def _rows(file: Path) -> Iterator[list[str]]:
    """Its lines, as far as they can be read; where it breaks off there is one more, without columns."""
    try:
        with file.open(encoding="utf-8", errors="replace", newline="") as text:
            yield from (row for row in csv.reader(text) if row)
    except (OSError, csv.Error):
        yield []


def _md5_or_none(file: Path) -> str | None:
    with suppress(OSError):
        return md5_of(file)
    return None
