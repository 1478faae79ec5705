"""What a worker is told to do."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """See whether the files of some rows are there, with their sizes: packed rows of (id, path, size in bytes)."""

    packed: bytes
    file_count: int

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, int]]) -> Files:
        """A task for these."""
        return cls(marshal.dumps(list(rows)), len(rows))

    def listed(self) -> list[tuple[int, str, int]]:
        """Its rows."""
        rows: list[tuple[int, str, int]] = marshal.loads(self.packed)  # noqa: S302 - from our own process
        return rows


Task = ListContainers | ListBlobs | ListObjects | Look | Download | Upload | Check | Files
