"""The codes that stand in the catalog, and those that a task carries."""

from __future__ import annotations

from enum import IntEnum


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
