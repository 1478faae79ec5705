"""Doors to the strict cloud and to a NAS, as a worker builds them, and the tasks that go through them."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.azure import Azure, AzureAccess, AzureCredentials
from sync_cloud_storage.checksum import crc64nvme, crc_to_s3
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.model import Download, Upload
from sync_cloud_storage.names import Placement
from sync_cloud_storage.s3 import S3, Profile, S3Access
from sync_cloud_storage.worker import Setup
from tests.unit.small_nas import ID

if TYPE_CHECKING:
    from sync_cloud_storage.nas import Nas
    from tests.servers.strict import Blob, StrictCloud

NOW = "2026-11-23T03:18:30Z"
BUCKET = "bucket"
MIB = 1 << 20
AZURES = {"x-ms-request-id": "r-1"}  # only the service itself has one
SHORT = Patience(attempts=3, first_s=0.01, longest_s=0.02, offline_s=1.0, dice=lambda: 0.0)


def now() -> str:
    """The time that all results have."""
    return NOW


def crc(data: bytes) -> str:
    """CRC64NVME in S3's text form."""
    return crc_to_s3(crc64nvme(data))


def md5(data: bytes) -> str:
    """MD5 as Azure writes it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def azure_access(cloud: StrictCloud) -> AzureAccess:
    """Access to the strict account, by its key."""
    at = cloud.azure_at
    return AzureCredentials(at.account, at.url, key=at.key).access(datetime.now(UTC))


def azure_door(cloud: StrictCloud, patience: Patience = SHORT) -> Azure:
    """The door to the strict account."""
    return Azure(azure_access(cloud), Line(), patience, time.time)


def s3_profile(cloud: StrictCloud, **more: Any) -> Profile:
    """The strict bucket."""
    return Profile(cloud.s3_at.url, BUCKET, cloud.s3_at.region, **more)


def s3_access(cloud: StrictCloud) -> S3Access:
    """Credentials for the strict bucket."""
    return S3Access(cloud.s3_at.access_key_id, cloud.s3_at.secret_access_key)


def s3_door(cloud: StrictCloud, patience: Patience = SHORT, **more: Any) -> S3:
    """The door to the strict bucket, which is made where it is missing."""
    if BUCKET not in cloud.s3.buckets:
        cloud.s3.make_bucket(BUCKET)
    return S3(s3_profile(cloud, **more), s3_access(cloud), Line(), patience)


def download_of(blob: Blob, row_id: int = 1, name: str = "b", **more: Any) -> Download:
    """The task to download a blob of container `c` of the strict account."""
    task = Download(row_id, "c", name, blob.content.size, blob.etag, blob.md5, f"c/{name}")
    return task._replace(**more)


def upload_of(data: bytes, **more: Any) -> Upload:
    """The task to upload the file `c/b` that should have these bytes."""
    return Upload(1, "c", "b", "e", len(data), crc(data), "c/b", "c/b", "", "")._replace(**more)


def setup(strict: StrictCloud, nas: Nas, **more: Any) -> Setup:
    """All doors to the strict cloud and the NAS."""
    if BUCKET not in strict.s3.buckets:
        strict.s3.make_bucket(BUCKET)
    doors = (azure_access(strict), Line(), s3_profile(strict), s3_access(strict), Line(), nas.root, ID)
    return Setup(Placement(), *doors)._replace(**more)


def one_lane() -> Pump:
    """A pump that asks for one thing at a time, so that requests have an order."""
    return Pump(Lanes(1))


def descriptors() -> int:
    """Count what this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Bytes:
    """Source: these bytes."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self._data = data
        self._at = 0

    def read(self, count: int) -> bytes:
        """Give the next bytes."""
        data = self._data[self._at : self._at + count]
        self._at += len(data)
        return data

    def rewind(self) -> None:
        """Start over."""
        self._at = 0
