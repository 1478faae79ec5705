"""Compares an Azure account with a bucket, byte by byte, and shares no code with the product that moved them.

    AZURE_STORAGE_CONNECTION_STRING=... AWS_ENDPOINT_URL_S3=... python -m tests.servers.judge BUCKET

Both sides are listed and every blob is read in full from both: Azure by raw requests, S3 by boto3.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from tests.servers.clients import boto
from tests.servers.endpoints import REGION, AzureAt, S3At
from tests.servers.fill import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_STRETCH = 1 << 20
_META = "x-ms-meta-"
_PROPERTIES = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control")
_BOTO = ("ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl")


class Difference(NamedTuple):
    """One thing that is not as it must be; `azure` and `s3` are what the two sides have, "" for nothing."""

    container: str
    blob: str
    what: str  # missing, extra, size, bytes, a property's name, metadata
    azure: str = ""
    s3: str = ""


class Verdict(NamedTuple):
    """What was compared, and what is wrong."""

    blobs: int
    bytes: int
    differences: list[Difference]

    @property
    def is_clean(self) -> bool:
        """Everything is there, as it was, and nothing else."""
        return not self.differences


def plain_key(container: str, blob: str) -> str:
    """Where a blob goes by default."""
    return f"{container}/{blob}"


def compare(
    azure: AzureAt,
    s3: S3At,
    bucket: str,
    *,
    containers: Collection[str] | None = None,
    key: Callable[[str, str], str] = plain_key,
    our_metadata: str = "scs-",
) -> Verdict:
    """Compare every blob with its object.

    Args:
        azure: The source.
        s3: The target.
        bucket: All of it belongs to the migration: an object that no blob accounts for is a difference.
        containers: Only these, and then only the objects below their names; None is all.
        key: Where a blob of a container should be.
        our_metadata: Metadata of objects that begins so is not the user's, and is left out.
    """
    blobs = size = 0
    differences: list[Difference] = []
    # botocore would compare the bytes with the checksum that S3 has, and raise: we are to say which byte it is.
    with Account(azure) as account, boto(s3, response_checksum_validation="when_required") as client:
        names = sorted(list_containers(account) if containers is None else containers)
        objects = set(list_keys(client, bucket))
        if containers is not None:
            objects = {each for each in objects if each.partition("/")[0] in names}
        for container in names:
            for blob in list_blobs(account, container):
                blobs += 1
                where = key(container, blob)
                if where not in objects:
                    differences.append(Difference(container, blob, "missing", s3=where))
                    continue
                objects.discard(where)
                read, found = _compare_one(account, client, (container, blob), (bucket, where), our_metadata)
                size += read
                differences += found
    differences += [Difference("", "", "extra", s3=each) for each in sorted(objects)]
    return Verdict(blobs, size, differences)


def list_containers(account: Account) -> Iterator[str]:
    """All containers of an account."""
    for page in _pages(account, "", {"comp": "list"}):
        yield from (_text(each) for each in page.iterfind("Containers/Container/Name"))


def list_blobs(account: Account, container: str) -> Iterator[str]:
    """All blobs of a container."""
    for page in _pages(account, container, {"restype": "container", "comp": "list"}):
        yield from (_text(each) for each in page.iterfind("Blobs/Blob/Name"))


def list_keys(client: Any, bucket: str) -> Iterator[str]:
    """All keys of a bucket."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (each["Key"] for each in page.get("Contents", []))


def _pages(account: Account, container: str, query: dict[str, str]) -> Iterator[ET.Element]:
    marker = ""
    while True:
        answer = account.ask("GET", container, query={**query, **({"marker": marker} if marker else {})})
        if answer.status != 200:
            raise RuntimeError(f"Listing {container or 'the account'} failed: {answer.status} {answer.body[:300]!r}")
        root = ET.fromstring(answer.body)  # noqa: S314 - from a server that we started
        yield root
        marker = root.findtext("NextMarker") or ""
        if not marker:
            return


def _text(name: ET.Element) -> str:
    text = name.text or ""
    return urllib.parse.unquote(text) if name.get("Encoded") == "true" else text


def _compare_one(
    account: Account, client: Any, source: tuple[str, str], target: tuple[str, str], our_metadata: str
) -> tuple[int, list[Difference]]:
    """How many bytes the blob has, and what differs."""
    found = []
    there = client.get_object(Bucket=target[0], Key=target[1])
    with account.opened("GET", *source) as here, contextlib.closing(there["Body"]) as body:
        if here.status != 200:
            return 0, [Difference(*source, "unreadable", azure=str(here.status))]
        size, other = int(here.headers["content-length"]), there["ContentLength"]
        if size != other:
            found.append(Difference(*source, "size", str(size), str(other)))
        at = _first_difference(here, body)
        if at is not None:
            found.append(Difference(*source, "bytes", f"from byte {at} on"))
        for name, theirs in zip(_PROPERTIES, _BOTO, strict=True):
            pair = (here.headers.get(name) or "", there.get(theirs) or "")
            if pair[0] != pair[1]:
                found.append(Difference(*source, name, *pair))
        of_azure = {
            name[10:].lower(): value for name, value in here.getheaders() if name.lower().startswith("x-ms-meta-")
        }
        of_s3 = {name: value for name, value in there["Metadata"].items() if not name.startswith(our_metadata)}
        if of_azure != of_s3:
            found.append(Difference(*source, "metadata", str(sorted(of_azure.items())), str(sorted(of_s3.items()))))
    return size, found


def _first_difference(here: Any, there: Any) -> int | None:
    at = 0
    while True:
        left, right = _exactly(here), _exactly(there)
        if left != right:
            pairs = enumerate(zip(left, right, strict=False))
            return at + next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
        if not left:
            return None
        at += len(left)


def _exactly(source: Any) -> bytes:
    """The next stretch; shorter only at the end, whatever pieces the two clients read in."""
    stretch = bytearray()
    while len(stretch) < _STRETCH and (piece := source.read(_STRETCH - len(stretch))):
        stretch += piece
    return bytes(stretch)


def main() -> int:
    """Print every difference and the counts; 5 when there are differences."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.judge", description=__doc__)
    parser.add_argument("bucket")
    parser.add_argument("containers", nargs="*", help="only these; default: all")
    given = parser.parse_args()
    pairs = (pair.partition("=") for pair in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";") if pair)
    words = {name: value for name, _, value in pairs}
    azure = AzureAt(words["BlobEndpoint"].rstrip("/"), words["AccountName"], words["AccountKey"])
    keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    s3 = S3At(os.environ["AWS_ENDPOINT_URL_S3"], *keys, os.environ.get("AWS_DEFAULT_REGION", REGION))
    verdict = compare(azure, s3, given.bucket, containers=given.containers or None)
    for each in verdict.differences:
        print(f"{each.what}: {each.container}/{each.blob!r}: Azure {each.azure!r}, S3 {each.s3!r}")
    print(f"{verdict.blobs} blobs, {verdict.bytes} bytes compared, {len(verdict.differences)} differences")
    return 0 if verdict.is_clean else 5


if __name__ == "__main__":
    sys.exit(main())
