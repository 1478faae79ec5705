"""moto's server: S3 (and all the rest of AWS) as an imitation in Python.

Lax where S3 is not: it checks no signature, takes keys longer than 1,024 bytes, ignores a wrong CRC64NVME and keeps
none for a plain PutObject, and answers 404 for a key with a line feed.
"""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.endpoints import S3At, new_s3_keys
from tests.servers.process import HOST, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LINE = re.compile(r'"([A-Z]+) (\S*) HTTP/[0-9.]+" (\d{3})')


class Asked(NamedTuple):
    """One line of a request log; `path` is as sent, with its query."""

    verb: str
    path: str
    status: int


@contextlib.contextmanager
def running(folder: Path) -> Iterator[S3At]:
    """Start moto's server; its request log is in *folder*.

    Raises:
        DidNotStartError: With the end of its log.
    """
    log = folder / "moto.log"
    with serving(
        lambda port: [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        log,
        env={"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
        cwd=folder,
    ) as port:
        key_id, secret = new_s3_keys()
        yield S3At(url=f"http://{HOST}:{port}", access_key_id=key_id, secret_access_key=secret, log=log)


def asked(server: S3At, below: str = "/") -> list[Asked]:
    """All requests so far whose path begins with *below* (such as `/my-bucket/`), oldest first."""
    return [line for line in logged(server.log) if line.path.startswith(below)]


def logged(log: Path) -> list[Asked]:
    """The requests in a log of the form that moto and many others write."""
    found = (_LINE.search(line) for line in log.read_text("utf-8", "replace").splitlines())
    return [Asked(hit[1], hit[2], int(hit[3])) for hit in found if hit]
