"""An auditor: reads the account, the NAS, the bucket and a certificate, and says whether they tell one story.

    AZURE_STORAGE_CONNECTION_STRING=... AWS_ENDPOINT_URL_S3=... \
        python -m tests.journey.auditor BUCKET NAS_FOLDER CERTIFICATE ROWS.jsonl PUBLIC_KEY

It shares no code with the product: Azure is read by raw requests, S3 by boto3, the NAS by plain reading of files, CRCs
are computed from a table made here, signature and root as docs/proof.md describes them. What it finds for each blob
(its bytes in three places) is held against what the rows say, and the rows against what was signed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.servers.clients import boto
from tests.servers.endpoints import REGION, AzureAt, S3At
from tests.servers.fill import Account
from tests.servers.judge import list_blobs, list_containers, list_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLYNOMIAL = 0x9A6C9329AC4BC9B5  # of CRC-64/NVME, reflected
_ALL = (1 << 64) - 1


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        rows.append(crc)
    return rows


_TABLE = _table()


def crc64nvme(data: bytes) -> str:
    """The checksum, as S3 writes it."""
    crc = _ALL
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return base64.b64encode((crc ^ _ALL).to_bytes(8, "big")).decode()


class Audit(NamedTuple):
    """What was found: how many rows there are, with their bytes, and how many of them are proven by what was read."""

    blobs: int
    bytes: int
    proven: int
    differences: list[str]


class Signed(NamedTuple):
    """A certificate whose signature is right."""

    statement: dict[str, Any]
    exceptions: list[dict[str, Any]]


def audit(azure: AzureAt, s3: S3At, bucket: str, nas: Path, certificate: Path, rows: Path, public_key: str) -> Audit:
    """Compare everything with everything; whoever reads the differences knows where to look."""
    wrong: list[str] = []
    signed = read_certificate(certificate, public_key, wrong)
    said = {(row["container"], row["blob"]): row for row in map(json.loads, rows.read_text("ascii").splitlines())}
    if signed is not None and root_of(rows) != signed.statement["merkle"]["root"]:
        wrong.append("the rows are not those whose root was signed")
    size = proven = 0
    with Account(azure) as account, boto(s3, response_checksum_validation="when_required") as client:
        keys = set(list_keys(client, bucket))
        listed = {(name, blob) for name in list_containers(account) for blob in list_blobs(account, name)}
        wrong += [f"{'/'.join(one)}: it is in the account, and in no row" for one in sorted(listed - said.keys())]
        for one, row in said.items():
            source = _of_azure(account, one) if one in listed else None
            found = list(_places(row, source, _of_nas(nas, row), _of_s3(client, bucket, row, keys)))
            wrong += [f"{'/'.join(one)}: {sentence}" for sentence in found]
            size += row["size_bytes"]
            proven += row["state"] == "proven" and not found
        wrong += [f"{key}: this object is no blob's" for key in sorted(keys)]
    if signed is not None:
        wrong += _counts(signed, said.values(), proven)
    return Audit(len(said), size, proven, wrong)


def read_certificate(file: Path, public_key: str, wrong: list[str]) -> Signed | None:
    """What it states; None, and a sentence, where it was not signed so."""
    lines = file.read_bytes().splitlines(keepends=True)
    try:
        last = json.loads(lines[-1])
        digest = hashlib.sha256(b"".join(lines[:-1])).digest()
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
        key.verify(base64.b64decode(last["signature"], validate=True), digest)
        if (last["public_key"], last["sha256"]) != (public_key, digest.hex()):
            raise ValueError("its last line speaks of another key or sum")  # noqa: TRY301
        return Signed(json.loads(lines[0]), [json.loads(line) for line in lines[1:-1]])
    except (InvalidSignature, ValueError, KeyError, IndexError, TypeError) as error:
        wrong.append(f"the certificate is not what was signed ({error!r})")
        return None


def root_of(rows: Path) -> str:
    """The root of the tree (RFC 9162, 2.1.1) over the rows, from its recursive definition."""
    leaves = []
    for line in rows.read_bytes().splitlines():
        values = list(json.loads(line).values())[:-1]
        leaves.append(hashlib.sha256(b"\0" + json.dumps(values, separators=(",", ":")).encode()).digest())
    return _tree(leaves).hex()


def _tree(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _tree(leaves[:middle]) + _tree(leaves[middle:])).digest()


def _of_azure(account: Account, one: tuple[str, str]) -> bytes:
    with account.opened("GET", *one) as answer:
        return bytes(answer.read())


def _of_nas(nas: Path, row: dict[str, Any]) -> bytes | None:
    file = nas / row["nas_path"]
    return file.read_bytes() if file.is_file() and not file.is_symlink() else None


def _of_s3(client: Any, bucket: str, row: dict[str, Any], keys: set[str]) -> bytes | None:
    """The object's bytes; its key is struck off the list."""
    if row["s3_key"] not in keys:
        return None
    keys.discard(row["s3_key"])
    return bytes(client.get_object(Bucket=bucket, Key=row["s3_key"])["Body"].read())


def _places(row: dict[str, Any], azure: bytes | None, nas: bytes | None, s3: bytes | None) -> Iterator[str]:
    """What a row claims, and is not so."""
    sums = {name: crc64nvme(data) for name, data in (("azure", azure), ("nas", nas), ("s3", s3)) if data is not None}
    if azure is None and not row["gone_at_utc"]:
        yield "it is in a row, and not in the account"
    if azure is not None and len(azure) != row["size_bytes"]:
        yield f"the row says {row['size_bytes']} bytes, the account has {len(azure)}"
    if row["level"] >= 2 and row["state"] != "proven" and sums.get("nas") != row["crc64nvme"]:
        yield "its file is not what the row says"
    if row["state"] == "proven":
        for name in ("azure", "nas", "s3"):
            if (name != "azure" or azure is not None) and sums.get(name) != row["crc64nvme"]:
                yield f"it is called proven, and {name} has {sums.get(name, 'nothing')}, not {row['crc64nvme']}"
    elif s3 is not None and row["state"] in {"pending", "downloaded"} and not row["s3_etag"]:
        yield "an object is there of which no row speaks"


def _counts(signed: Signed, rows: Any, proven: int) -> Iterator[str]:
    """The statement's own figures, against those that were counted here."""
    rows = list(rows)
    statement = signed.statement
    states = Counter(row["state"] for row in rows)
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes[row["state"]] += row["size_bytes"] or 0
    for state, stated in statement["states"].items():
        if (stated["blobs"], stated["bytes"]) != (states[state], sizes[state]):
            yield f"{stated} are stated to be {state}, and {states[state]} ({sizes[state]} bytes) are"
    for stated in statement["levels"]:
        if stated["blobs"] != sum(row["level"] == stated["level"] for row in rows):
            yield f"{stated} is stated, and other rows have that level"
    if statement["listed"]["blobs"] != len(rows) or statement["merkle"]["leaves"] != len(rows):
        yield f"{statement['listed']['blobs']} blobs are stated, and there are {len(rows)} rows"
    if statement["states"]["proven"]["blobs"] != proven:
        yield f"{statement['states']['proven']['blobs']} are stated to be proven, and {proven} are"
    named = [(line["container"], line["blob"]) for line in signed.exceptions if "blob" in line]
    if named != [
        (row["container"], row["blob"])
        for row in rows
        if row["state"] != "proven" or row["nas_check"] or row["s3_check"]
    ]:
        yield "the exceptions are not the rows that are not proven, or not as they were"


def main() -> int:
    """Print what was found; 5 when something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.journey.auditor", description=__doc__)
    parser.add_argument("bucket")
    for name in ("nas", "certificate", "rows"):
        parser.add_argument(name, type=Path)
    parser.add_argument("public_key")
    given = parser.parse_args()
    pairs = (pair.partition("=") for pair in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";") if pair)
    words = {name: value for name, _, value in pairs}
    azure = AzureAt(words["BlobEndpoint"].rstrip("/"), words["AccountName"], words["AccountKey"])
    own = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    s3 = S3At(os.environ["AWS_ENDPOINT_URL_S3"], *own, os.environ.get("AWS_DEFAULT_REGION", REGION))
    found = audit(azure, s3, given.bucket, given.nas, given.certificate, given.rows, given.public_key)
    for sentence in found.differences:
        print(sentence)  # noqa: T201
    wrong = len(found.differences)
    print(f"{found.blobs} blobs, {found.bytes} bytes; {found.proven} proven; {wrong} differences")  # noqa: T201
    return 5 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
