"""Amazon S3 and every S3-like endpoint as requests and parsed answers: look, read, put, multipart.

What an endpoint can do is data (`Profile`), not a subclass. botocore finds credentials, region and endpoint the way
every AWS tool does (`access.py`); the requests themselves go through the pump, signed by libcurl (SigV4, `door.py`).
Bodies are sent as `UNSIGNED-PAYLOAD`: what protects them is the CRC64NVME in a signed header, which S3 checks on
arrival. Facts about the service: Amazon S3 API Reference and User Guide ("Checking object integrity", "Multipart upload
limits"), read 2026-11-23.
"""

from __future__ import annotations

from sync_cloud_storage.s3.access import AwsChain, S3Access
from sync_cloud_storage.s3.answers import HashSink, Part, Stored, described_as
from sync_cloud_storage.s3.door import S3
from sync_cloud_storage.s3.objects import MAX_OBJECT_BYTES, Profile, fits, part_size_for

__all__ = [
    "MAX_OBJECT_BYTES",
    "S3",
    "AwsChain",
    "HashSink",
    "Part",
    "Profile",
    "S3Access",
    "Stored",
    "described_as",
    "fits",
    "part_size_for",
]
