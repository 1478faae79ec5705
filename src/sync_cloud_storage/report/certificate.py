"""The certificate: what is so at one moment, by name what is not proven or not right, and a signature. docs/proof.md.

A text of JSON lines, each written in the one way of `as_jsonl.line`:

    the statement       who, when, how much, and the Merkle root over every blob
    one line each       for a container that is not listed, then for a blob that is not proven, or mismatched
    the signature       Ed25519 over the SHA-256 of all bytes before it
"""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.balance import BlobRow
from sync_cloud_storage.merkle import Tree
from sync_cloud_storage.report.as_jsonl import leaf, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sync_cloud_storage.balance import UnlistedContainer, Whole
    from sync_cloud_storage.ledger import Ledger
    from sync_cloud_storage.signing import Signer

FORMAT = 1
ALGORITHM = "Ed25519 over the SHA-256 of all bytes before this line"
TREE = "RFC 9162, SHA-256"
LEAF = "JSON array of the fields, ASCII, no spaces"
FIELDS = BlobRow._fields[:-1]


class Root:
    """The Merkle root over the rows that it is given, which are all there are, in their order."""

    def __init__(self) -> None:
        self._tree = Tree()

    def add(self, row: BlobRow) -> None:
        """Take the next row."""
        self._tree.add(leaf(row))

    def document(self) -> dict[str, Any]:
        """What the statement says of it."""
        return {
            "algorithm": TREE,
            "root": self._tree.root(),
            "leaves": self._tree.leaves,
            "leaf": LEAF,
            "fields": list(FIELDS),
        }


def write(ledger: Ledger, root: Root, signer: Signer, put: Callable[[bytes], object]) -> dict[str, Any]:
    """Write the certificate of *ledger*, whose rows *root* has taken; gives its statement.

    Args:
        ledger: What is so.
        root: Over all of its rows.
        signer: Has the key.
        put: Takes bytes.
    """
    statement = statement_of(ledger.whole(), root.document())
    digest = sha256()
    for document in chain([statement], exceptions(ledger.unlisted(), ledger.exceptions())):
        data = line(document).encode("ascii")
        digest.update(data)
        put(data)
    put(line(signature_of(digest.digest(), signer)).encode("ascii"))
    return statement


def statement_of(whole: Whole, root: dict[str, Any]) -> dict[str, Any]:
    """The first line."""
    balance = whole.balance
    containers = whole.containers
    return {
        "scs_certificate": FORMAT,
        "tool": tool(),
        "made_at_utc": whole.at_utc,
        "account": whole.account,
        "bucket": whole.bucket,
        "nas_id": whole.nas_id,
        "first_run_at_utc": whole.first_run_at_utc,
        "last_run_at_utc": whole.last_run_at_utc,
        "last_check_at_utc": whole.last_check_at_utc,
        "containers": containers._asdict(),
        "listed": balance.sum_of()._asdict(),
        "states": {state: found._asdict() for state, found in balance.states().items()},
        "levels": [{"level": number, **level._asdict()} for number, level in enumerate(balance.levels())],
        "gone": balance.gone()._asdict(),
        "mismatched": balance.sum_of(lambda group: group.mismatched)._asdict(),
        "differences": whole.difference_count,
        "exceptions": {
            "containers": containers.to_list + containers.failed + containers.skipped,
            "blobs": balance.sum_of(lambda group: group.state != "proven" or group.mismatched).blobs,
        },
        "merkle": root,
    }


def exceptions(unlisted: Iterable[UnlistedContainer], rows: Iterable[BlobRow]) -> Iterator[dict[str, Any]]:
    """The lines in the middle."""
    for container in unlisted:
        yield container._asdict()
    for row in rows:
        yield exception(row)


def exception(row: BlobRow) -> dict[str, Any]:
    """What is said of a blob that is not proven, or that a check found wrong since."""
    return {
        "container": row.container,
        "blob": row.blob,
        "size_bytes": row.size_bytes,
        "state": row.state,
        "level": row.level,
        "attested": row.attested,
        "reason": row.reason,
        "gone_at_utc": row.gone_at_utc,
        "nas_check": row.nas_check,
        "s3_check": row.s3_check,
    }


def signature_of(digest: bytes, signer: Signer) -> dict[str, Any]:
    """The last line, for all bytes before it, whose SHA-256 is *digest*."""
    return {
        "algorithm": ALGORITHM,
        "public_key": signer.public_key,
        "sha256": digest.hex(),
        "signature": signer.sign(digest),
    }


def tool() -> str:
    """This program and its version."""
    try:
        return f"scs {version('sync-cloud-storage')}"
    except PackageNotFoundError:
        return "scs"
