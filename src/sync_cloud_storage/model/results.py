"""What a worker gives back."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync_cloud_storage.model.codes import Leg
    from sync_cloud_storage.model.source import Blob, Container, Listed, Place
    from sync_cloud_storage.model.tasks import ListObjects


class ContainersPage(NamedTuple):
    """One page of the account. `next_marker` is "" on the last."""

    marker: str
    next_marker: str
    containers: tuple[Container, ...]


class BlobsPage(NamedTuple):
    """One page of a container: blobs and where each goes. `next_marker` is "" on the last.

    `prefix`: it is of a listing of these names only. `parts`: prefixes, none of which begins with another; the page
    holds all names of its listing but those below them, and the listing ends here and goes on as one of each part.

    Rows are packed (`listed`): millions of them cross over from the workers, and wait for the catalog, in a fifth of
    the time and the room that single values take. Both ends are the same Python, as `marshal` asks for.
    """

    container: str
    marker: str
    next_marker: str
    blob_count: int
    packed: bytes
    prefix: str = ""
    parts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        container: str,
        marker: str,
        next_marker: str,
        listed: Iterable[tuple[Blob, Place | None]],
        *,
        prefix: str = "",
        parts: tuple[str, ...] = (),
    ) -> BlobsPage:
        """A page of blobs and their places; None is the usual one (`Placement.places`)."""
        rows = [(*blob, place and (*place,)) for blob, place in listed]
        return cls(container, marker, next_marker, len(rows), marshal.dumps(rows), prefix, parts)

    def listed(self) -> list[Listed]:
        """Its rows."""
        rows: list[Listed] = marshal.loads(self.packed)  # noqa: S302 - from our own worker
        return rows


class ObjectsPage(NamedTuple):
    """Some objects of the bucket: packed rows of (key, size in bytes, ETag).

    `goes_on` is what is left to list; `gave_up`: there may be more behind these, and it cannot be listed.
    """

    packed: bytes
    object_count: int
    goes_on: ListObjects | None = None
    gave_up: bool = False

    @classmethod
    def of(
        cls, objects: Sequence[tuple[str, int, str]], goes_on: ListObjects | None = None, *, gave_up: bool = False
    ) -> ObjectsPage:
        """A page of these."""
        return cls(marshal.dumps(list(objects)), len(objects), goes_on, gave_up)

    def listed(self) -> list[tuple[str, int, str]]:
        """Its rows."""
        rows: list[tuple[str, int, str]] = marshal.loads(self.packed)  # noqa: S302 - from our own worker
        return rows


class ContainerFailed(NamedTuple):
    """A container could not be listed. `not_found`: the service says that it does not exist."""

    container: str
    code: str
    sentence: str
    not_found: bool


class Downloaded(NamedTuple):
    """The bytes of version *etag* are durable at the row's place on the NAS (fsynced, renamed, folder fsynced).

    `crc64nvme` is in S3's text form; `md5` is base64, "" where none was needed. `bytes_moved` is what crossed the
    network this time: 0 for a file that was already there and right. `attested`: the source's own CRC64 of every range
    was that of what arrived, now or when this version last came with the same bytes.
    """

    id: int
    etag: str
    crc64nvme: str
    md5: str
    bytes_moved: int
    at_utc: str
    attested: bool = False


class UploadOpened(NamedTuple):
    """A multipart upload is open for this row; kept so that it can go on, or be ended, after a crash."""

    id: int
    upload_id: str
    etag: str


class Uploaded(NamedTuple):
    """S3 holds the bytes, said so itself, and its checksum was compared with the download's.

    `s3_checksum` is the full-object CRC64NVME that the endpoint gave back, "" where an endpoint has none.
    """

    id: int
    etag: str
    s3_etag: str
    s3_checksum: str
    version_id: str
    bytes_moved: int
    at_utc: str


class Seen(NamedTuple):
    """The answer to `Look`: the blob as it is now."""

    id: int
    blob: Blob


class Gone(NamedTuple):
    """The answer to `Look`: the source has no such blob any more. `etag` is the version that was asked about."""

    id: int
    at_utc: str
    etag: str = ""


ASKED = "the endpoint was asked for it (HeadObject)"
TOLD = "a report of S3 Batch Operations told it"
READ = "all of its bytes were read"
COMPUTED = frozenset({TOLD, READ})  # of the bytes as they lie there; the first is what was said when they arrived


class Evidence(NamedTuple):
    """What one place said about the bytes of a blob: a row of the table of that name, but for its time.

    `place`: azure, nas or s3. `algorithm`: CRC64NVME, MD5 or size. `value`: base64, or digits. `etag`: of what was
    looked at, "" where there is none. `how`: in a few words, who was asked and how.
    """

    place: str
    algorithm: str
    value: str
    size_bytes: int
    etag: str
    how: str


class Checked(NamedTuple):
    """What a `Check` found; "" means as it should be, else `CODE: sentence`. None: not looked at.

    `proven`: the object's own checksum, or its bytes, are those of the download; a size that agrees is no proof.
    `trouble`: why one of the two could not be asked, which says nothing about it. `s3_etag`: of the object that was
    looked at, "" where it was not. `fetch_again` is the task's. `asked`: somebody was asked about the object, or a
    report told of it; it was not merely seen in a listing, or left alone.
    """

    id: int
    nas: str | None
    s3: str | None
    proven: bool = False
    trouble: str = ""
    s3_etag: str = ""
    evidence: tuple[Evidence, ...] = ()
    fetch_again: bool = False
    asked: bool = True


class FilesSeen(NamedTuple):
    """What came of `Files`: how many files were looked at, and those that are not right."""

    files: int
    wrong: tuple[Checked, ...]


class Failed(NamedTuple):
    """One blob could not be moved on one leg. `etag` says which version was meant."""

    id: int
    leg: Leg
    etag: str
    code: str
    sentence: str


class Rotten(NamedTuple):
    """The file on the NAS is not what was downloaded: the row goes back to pending, with the reason."""

    id: int
    code: str
    sentence: str
    etag: str = ""


class Stopped(NamedTuple):
    """A fault of the environment: the run ends, nothing is marked failed. Mirrors an `EnvironmentFault`."""

    code: str
    sentence: str
    hint: str


Result = (
    ContainersPage
    | BlobsPage
    | ObjectsPage
    | ContainerFailed
    | Downloaded
    | UploadOpened
    | Uploaded
    | Seen
    | Gone
    | Checked
    | FilesSeen
    | Failed
    | Rotten
    | Stopped
)
