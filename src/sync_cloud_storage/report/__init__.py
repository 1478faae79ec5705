"""Reports as files: each blob in a table (CSV) or as JSON lines, one page for people (HTML), the certificate. Floor 5.

outfile.py      whole or not at all           as_csv.py, as_jsonl.py, as_html.py   one form each
certificate.py  writes it                     checking.py  reads and checks it     style.py  of the page
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.report import certificate
from sync_cloud_storage.report.as_csv import CsvRows
from sync_cloud_storage.report.as_html import page
from sync_cloud_storage.report.as_jsonl import JsonLines
from sync_cloud_storage.report.outfile import OutFile
from sync_cloud_storage.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync_cloud_storage.balance import BlobRow, Whole
    from sync_cloud_storage.ledger import Ledger


class Files(NamedTuple):
    """Where to write; None: not asked for."""

    csv: Path | None = None
    jsonl: Path | None = None
    html: Path | None = None
    certificate: Path | None = None

    def wanted(self) -> tuple[Path, ...]:
        """Those that are asked for."""
        return tuple(file for file in self if file is not None)


class Written(NamedTuple):
    """What a report came to. `statement` is that of the certificate, None without one."""

    whole: Whole
    files: tuple[Path, ...]
    statement: dict[str, Any] | None
    public_key: str


def write(ledger: Ledger, files: Files) -> Written:
    """Write all that is asked for, of one and the same moment: each file whole, or not at all.

    Raises:
        UsageFault: `REPORT-FILE`, before anything is read.
        EnvironmentFault: `REPORT-WRITE`, `CERT-KEY`, and as `Catalog.read`.
        Halted: A person stopped it.
    """
    signer = Signer(ledger.signing_key) if files.certificate else None  # said before a long way through the rows
    if len(set(map(os.path.realpath, files.wanted()))) < len(files.wanted()):
        raise UsageFault("REPORT-FILE", "Two reports are to go into one file.", "Name a file for each.")
    with ExitStack() as stack:
        if files.certificate and os.path.lexists(files.certificate):
            text = f"{files.certificate} is there already, and may be a certificate that was given to somebody."
            raise UsageFault("REPORT-FILE", text, "Name a new file.")
        opened = {file: stack.enter_context(OutFile(file, ledger.kept_files())) for file in files.wanted()}
        root = certificate.Root()
        sinks = _sinks(files, opened, root)
        for row in ledger.rows() if sinks else ():
            for sink in sinks:
                sink(row)
        whole = ledger.whole()
        if files.html:
            opened[files.html].write(page(whole, certificate.tool()))
        statement = None
        if files.certificate and signer:
            statement = certificate.write(ledger, root, signer, opened[files.certificate].write_bytes)
        for out in opened.values():
            out.publish()
    return Written(whole, files.wanted(), statement, signer.public_key if signer else "")


def _sinks(files: Files, opened: dict[Path, OutFile], root: certificate.Root) -> list[Callable[[BlobRow], None]]:
    """Who takes each row."""
    sinks: list[Callable[[BlobRow], None]] = []
    if files.csv:
        sinks.append(CsvRows(opened[files.csv].write).add)
    if files.jsonl:
        sinks.append(JsonLines(opened[files.jsonl].write).add)
    if files.certificate:
        sinks.append(root.add)
    return sinks
