"""The values that everybody here talks about. Floor 0: no I/O, no clock, no knowledge of the services.

All but the codes are `NamedTuple`s: immutable, comparable, and the cheapest thing Python can send to another process (a
million of them cross that border in a run). Times are UTC text (`2026-11-23T03:18:30Z`), sizes are bytes, ETags are
opaque words without their quotes, checksums are what `checksum.py` says. A word on the three families:

*tasks* go down to a worker (everything in `Task`), *results* come back (everything in `Result`), *views* are what the
catalog says in sums (`Totals`, `Problem`); what a run says about itself is in `progress.py`.
"""

from __future__ import annotations

import marshal
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class BlobStatus(IntEnum):
    """The codes of `sync.azure_status` and `sync.s3_status` since 2019."""

    PENDING = 0
    DONE = 1
    FAILED = 2


class ContainerStatus(IntEnum):
    """The codes of `containers.status` since 2019."""

    PENDING = 0
    LIVE = 100
    LISTED = 200
    NOT_FOUND = 404
    EMPTY = 503


class Attest(IntEnum):
    """Of which blobs the source is asked for its own checksums while they are downloaded."""

    NONE = 0
    WITHOUT_MD5 = 1
    ALL = 2


class Leg(IntEnum):
    """The two legs of the journey; which pair of columns a failure belongs to."""

    AZURE = 0
    S3 = 1


# --------------------------------------------------------------------------------------------------- from the source


class Container(NamedTuple):
    """A container as the account lists it."""

    name: str
    last_modified: str
    etag: str


class Blob(NamedTuple):
    """A blob as the source describes it, in a listing or in the answer to a HEAD.

    `content_md5` is base64 as the service writes it, "" where it has none. `headers` are the HTTP properties that
    follow the blob (`content-type`, `content-encoding`, `content-language`, `content-disposition`, `cache-control`)
    and `metadata` the user's own pairs; both are JSON objects as text, "" when empty.
    """

    name: str
    size_bytes: int
    etag: str
    last_modified: str
    content_md5: str = ""
    headers: str = ""
    metadata: str = ""
    kind: str = "BlockBlob"  # BlockBlob, PageBlob, AppendBlob
    tier: str = ""  # Hot, Cool, Cold, Archive ...; "" where the account has no tiers


class Place(NamedTuple):
    """Where a blob goes: its object key, its path on the NAS, and why it does not go at all.

    `nas_fold` is `nas_path` under NFC and case folding: two places with equal folds would be one file on some NAS.
    `skip_reason` is "" for a blob that moves. `error` is "" or `CODE: sentence` for a name that cannot be moved.
    """

    s3_key: str
    nas_path: str
    nas_fold: str
    skip_reason: str = ""
    error: str = ""


class Entry(NamedTuple):
    """One entry of a manifest: version *etag* of a blob was downloaded, and its bytes are at *nas_path*.

    `md5` is "" where none was needed; the others are as in `Download` and `Downloaded`.
    """

    container: str
    blob: str
    etag: str
    size_bytes: int
    crc64nvme: str
    md5: str
    attested: bool
    nas_path: str
    at_utc: str


# The fields of a blob, and those of its place or None for the usual one: key and path are `container/blob`, in ASCII.
Listed = tuple[str, int, str, str, str, str, str, str, str, tuple[str, str, str, str, str] | None]

# --------------------------------------------------------------------------------------------------------------- tasks


class ListContainers(NamedTuple):
    """List the account's containers from *marker* on ("" is the start)."""

    marker: str = ""


class ListBlobs(NamedTuple):
    """List one container's blobs from *marker* on ("" is the start), those only whose names begin with *prefix*.

    `may_split`: a container of many pages may be given back in parts, to be listed side by side.
    """

    container: str
    marker: str = ""
    prefix: str = ""
    may_split: bool = False


class ListObjects(NamedTuple):
    """List the bucket's objects whose keys are greater than *after* and not greater than *upto* ("": no such end)."""

    after: str = ""
    upto: str = ""


class Look(NamedTuple):
    """Ask the source what a blob is now (HEAD): it changed under us, or a listing no longer has it."""

    id: int
    container: str
    blob: str
    etag: str = ""  # the version that we know


class Download(NamedTuple):
    """Bring one version of one blob to the NAS.

    `may_replace`: the file at `nas_path` is one that we wrote, or the user said so; otherwise a file that is already
    there is adopted when its bytes are right, and never overwritten. `attest`: the source is asked for its own
    checksum of every range. `known_crc64nvme`: what a manifest on the NAS says of this very version; a file that has
    it is this blob. `known_attested`: the source itself said so.
    """

    id: int
    container: str
    blob: str
    size_bytes: int
    etag: str
    content_md5: str
    nas_path: str
    may_replace: bool = False
    attest: bool = False
    known_crc64nvme: str = ""
    known_attested: bool = False


class Upload(NamedTuple):
    """Bring one file from the NAS to S3.

    `upload_id`: "" when no multipart upload was ever begun for this key, "?" when one may be open whose id was never
    written down (killed in between), else the id. `earlier`: checksums of versions
    that we copied before this one, with blanks between them, as a rebuild knows them by manifests; an object that has
    one of them is ours.
    """

    id: int
    container: str
    blob: str
    etag: str
    size_bytes: int
    crc64nvme: str
    nas_path: str
    s3_key: str
    headers: str
    metadata: str
    upload_id: str = ""
    may_replace: bool = False
    earlier: str = ""


class Check(NamedTuple):
    """Prove one row: its NAS file, its object, or both.

    `deep` reads: the file is hashed again, and so is an object about which the endpoint has no checksum to give.
    `seen`: the bucket was listed, and shows the very object that was proven before; it need not be asked again.
    `told`: the checksum that a report of S3's says the listed object has, "" for none. `fetch_again`: a file that is
    not as it should be is to be downloaded again.
    """

    id: int
    container: str
    blob: str
    size_bytes: int
    crc64nvme: str
    nas_path: str  # "" when there is no file to look at
    s3_key: str  # "" when there is no object to look at
    s3_etag: str = ""
    seen: bool = False
    told: str = ""
    deep: bool = False
    fetch_again: bool = False


class Files(NamedTuple):
    """See whether the files of some rows are there, with their sizes: packed rows of (id, path, size, is seen).

    *is seen*: a listing of the bucket shows the object that was proven before.
    """

    packed: bytes
    file_count: int

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, int, bool]]) -> Files:
        """A task for these."""
        return cls(marshal.dumps(list(rows)), len(rows))

    def listed(self) -> list[tuple[int, str, int, bool]]:
        """Its rows."""
        rows: list[tuple[int, str, int, bool]] = marshal.loads(self.packed)  # noqa: S302 - from our own process
        return rows


Task = ListContainers | ListBlobs | ListObjects | Look | Download | Upload | Check | Files


# ------------------------------------------------------------------------------------------------------------- results


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
    looked at, "" where it was not. `fetch_again` is the task's.
    """

    id: int
    nas: str | None
    s3: str | None
    proven: bool = False
    trouble: str = ""
    s3_etag: str = ""
    evidence: tuple[Evidence, ...] = ()
    fetch_again: bool = False


class FilesSeen(NamedTuple):
    """What came of `Files`: how many rows were looked at, how many of them are proven, and those that are not right."""

    rows: int
    proven: int
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


# --------------------------------------------------------------------------------------------------------------- views


class Totals(NamedTuple):
    """The catalog in sums. Every listed blob is in exactly one of skipped, failed, pending, downloaded, uploaded.

    `downloaded` counts rows on the NAS that still wait for S3; `uploaded` those that are done; `gone` (a subset of the
    others) those that the source no longer has; `mismatched` (likewise) those whose file or object a check found wrong
    and that were not mended since. Sizes in bytes.
    """

    containers: int
    containers_pending: int
    containers_failed: int
    blobs: int
    bytes: int
    skipped: int
    failed: int
    pending: int
    pending_bytes: int
    downloaded: int
    downloaded_bytes: int
    uploaded: int
    uploaded_bytes: int
    gone: int
    mismatched: int = 0


class Problem(NamedTuple):
    """One thing that did not go well, for people: a row of the view `problems`."""

    container: str
    blob: str  # "" for a container's own trouble
    leg: str  # list, azure, s3
    code: str
    sentence: str


class PageOutcome(NamedTuple):
    """What a page of blobs changed in the catalog. `suspects`: rows that the page should have held and did not.

    `news` names the first few of those that were added or changed, for a check, to which they are differences.
    """

    added: int
    changed: int
    unchanged: int
    suspects: tuple[Look, ...]
    news: tuple[Problem, ...] = ()
