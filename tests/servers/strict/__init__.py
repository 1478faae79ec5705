"""Our own strict little cloud: an Azure account and an S3 endpoint that enforce what the emulators let pass.

    with StrictCloud() as cloud:
        cloud.azure.put("films", "a/../b", b"bytes", metadata={"year": "1999"})
        cloud.azure.put("films", "large", Seeded(seed=1, size=20 << 30))
        cloud.s3.make_bucket("target")
        cloud.faults.append(Fault(Reset(after=1000), operation="GetBlob", nth=2))
        ...                                             # use cloud.azure_at and cloud.s3_at
        assert len(cloud.asked("GetBlob")) == 2
        assert cloud.s3.buckets["target"].objects["films/large"].crc64nvme == ...

As a process of its own: `python -m tests.servers.strict --help`.

    cloud.py          the two ports, the log, the faults' turn
    wire.py           HTTP/1.1 on raw sockets
    faults.py         what can go wrong, as values
    azure.py          the account;  azure_access.py: who may ask
    s3.py             the endpoint; multipart.py, upload.py (bodies and checksums), sigv4.py, s3_store.py
    content.py        bytes by seed, checksums
    service.py        what both services do alike
    certificate.py    TLS with an authority of its own
"""

from tests.servers.strict.azure import Azure, Blob, Container
from tests.servers.strict.cloud import Logged, StrictCloud
from tests.servers.strict.content import Given, Seeded
from tests.servers.strict.faults import (
    BUSY,
    LOGIN_PAGE,
    NO_CRC64,
    NO_SUM,
    SLOW_DOWN,
    WRONG_CRC64,
    Answer,
    Call,
    Cut,
    Drip,
    Drop,
    Edit,
    Fault,
    Flip,
    Headers,
    IgnoreConditions,
    IgnoreQuery,
    IgnoreRange,
    OtherRange,
    Pad,
    Remove,
    Reset,
    Rewrite,
    Shorten,
    Stall,
    from_json,
)
from tests.servers.strict.s3 import S3
from tests.servers.strict.s3_store import Bucket, Object, Rules
from tests.servers.strict.sigv4 import Credentials

__all__ = [
    "BUSY",
    "LOGIN_PAGE",
    "NO_CRC64",
    "NO_SUM",
    "S3",
    "SLOW_DOWN",
    "WRONG_CRC64",
    "Answer",
    "Azure",
    "Blob",
    "Bucket",
    "Call",
    "Container",
    "Credentials",
    "Cut",
    "Drip",
    "Drop",
    "Edit",
    "Fault",
    "Flip",
    "Given",
    "Headers",
    "IgnoreConditions",
    "IgnoreQuery",
    "IgnoreRange",
    "Logged",
    "Object",
    "OtherRange",
    "Pad",
    "Remove",
    "Reset",
    "Rewrite",
    "Rules",
    "Seeded",
    "Shorten",
    "Stall",
    "StrictCloud",
    "from_json",
]
