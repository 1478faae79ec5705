"""Every blob as one row of a table, for spreadsheets: RFC 4180, with CRLF at each end of a row, in UTF-8.

A cell that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"). So a name that
begins like one is not exact here; in the JSON lines it is.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from sync_cloud_storage.balance import BlobRow
from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also full-width


class CsvRows:
    """Writes the head, then each row that it is given.

    Args:
        write: Takes text.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._table = csv.writer(_Writable(write))
        self._table.writerow(BlobRow._fields)

    def add(self, row: BlobRow) -> None:
        """Write one row."""
        if row.sentence:
            row = row._replace(sentence=redact(row.sentence))
        self._table.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])


class _Writable:
    """What `csv` writes to."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(' "').startswith(_FORMULA) else cell
