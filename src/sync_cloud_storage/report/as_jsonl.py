"""Every blob as one JSON object a line, exact: for programs, and to compute the root of a certificate from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sync_cloud_storage.balance import BlobRow
from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

# ASCII, no spaces: everything but ` ` to `~` is `\uNNNN` in small letters, or one of \b \t \n \f \r \" \\.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)


class JsonLines:
    """Writes each row that it is given.

    Args:
        write: Takes text.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def add(self, row: BlobRow) -> None:
        """Write one row."""
        document = dict(zip(BlobRow._fields, row, strict=True))
        if row.sentence:
            document["sentence"] = redact(row.sentence)
        self._write(line(document))


def line(document: object) -> str:
    """One line: the only way in which this document can be written."""
    return f"{_ENCODER.encode(document)}\n"


def leaf(row: BlobRow) -> bytes:
    """The leaf of a certificate: the array of all fields but the sentence, written in the same way."""
    return _ENCODER.encode(row[:-1]).encode("ascii")
