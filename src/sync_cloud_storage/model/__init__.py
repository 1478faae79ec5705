"""The values that everybody here talks about. Floor 0: no I/O, no clock, no knowledge of the services.

All but the codes are `NamedTuple`s: immutable, comparable, and the cheapest thing Python can send to another process (a
million of them cross that border in a run). Times are UTC text (`2026-11-23T03:18:30Z`), sizes are bytes, ETags are
opaque words without their quotes, checksums are what `checksum.py` says. A word on the three families:

*tasks* go down to a worker (everything in `Task`), *results* come back (everything in `Result`), *views* are what the
catalog says in sums (`Totals`, `Problem`); what a run says about itself is in `progress.py`.
"""

from __future__ import annotations

from sync_cloud_storage.model.codes import Attest, BlobStatus, ContainerStatus, Leg
from sync_cloud_storage.model.results import (
    ASKED,
    COMPUTED,
    READ,
    TOLD,
    BlobsPage,
    Checked,
    ContainerFailed,
    ContainersPage,
    Downloaded,
    Evidence,
    Failed,
    FilesSeen,
    Gone,
    ObjectsPage,
    Result,
    Rotten,
    Seen,
    Stopped,
    Uploaded,
    UploadOpened,
)
from sync_cloud_storage.model.source import Blob, Container, Entry, Listed, Place
from sync_cloud_storage.model.tasks import (
    Check,
    Download,
    Files,
    ListBlobs,
    ListContainers,
    ListObjects,
    Look,
    Task,
    Upload,
)
from sync_cloud_storage.model.views import PageOutcome, Problem, Totals

__all__ = [
    "ASKED",
    "COMPUTED",
    "READ",
    "TOLD",
    "Attest",
    "Blob",
    "BlobStatus",
    "BlobsPage",
    "Check",
    "Checked",
    "Container",
    "ContainerFailed",
    "ContainerStatus",
    "ContainersPage",
    "Download",
    "Downloaded",
    "Entry",
    "Evidence",
    "Failed",
    "Files",
    "FilesSeen",
    "Gone",
    "Leg",
    "ListBlobs",
    "ListContainers",
    "ListObjects",
    "Listed",
    "Look",
    "ObjectsPage",
    "PageOutcome",
    "Place",
    "Problem",
    "Result",
    "Rotten",
    "Seen",
    "Stopped",
    "Task",
    "Totals",
    "Upload",
    "UploadOpened",
    "Uploaded",
]
