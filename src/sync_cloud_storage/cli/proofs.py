"""The verbs for the end: reports, the certificate, and the check of one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync_cloud_storage.cli.start import start, start_alone
from sync_cloud_storage.cli.verb import Verb
from sync_cloud_storage.errors import UsageFault

if TYPE_CHECKING:
    from sync_cloud_storage.cli.parts import MigrationFace
    from sync_cloud_storage.cli.stop import Stop
    from sync_cloud_storage.console import Console

_FORMS = ("csv", "jsonl", "html", "certificate")

# What makes and reads the files is imported when a verb runs: `scs --help` does without.


def _report(batch_manifest: str | None, **options: Any) -> int:
    named = [Path(file) if (file := options[name]) is not None else None for name in _FORMS]
    if batch_manifest and any(named):
        text = "scs report --batch-manifest writes that file and nothing else."
        raise UsageFault("USAGE", text, "Give the others to a scs report of their own.")

    def act(migration: MigrationFace, console: Console) -> int:
        from sync_cloud_storage import report  # noqa: PLC0415
        from sync_cloud_storage.ledger import Halted  # noqa: PLC0415

        if batch_manifest:
            return _batch_manifest(migration, console, Path(batch_manifest))
        try:
            with migration.report() as ledger:
                done = report.write(ledger, report.Files(*named))
        except Halted as halted:
            return console.halted(halted.signal_name)
        return console.report(done.whole, done.files, done.statement, done.public_key)

    return start(options, act)


def _batch_manifest(migration: MigrationFace, console: Console, file: Path) -> int:
    from sync_cloud_storage.units import print_count  # noqa: PLC0415

    count = migration.batch_manifest(file)
    said = f"{file} names {print_count(count, 'object')}, for a job Compute checksum with CRC64NVME "
    said += "(S3 Batch Operations). What it reports is taken in by scs xcheck --checksums."
    none = "Every object is proven, so there is nothing to compute; no file was written."
    console.done(said if count else none, {"file": str(file) if count else None, "objects": count})
    return 0


def _verify_certificate(file: str, key: str | None, catalog: str | None, blob: str | None, **options: Any) -> int:
    def act(stop: Stop, console: Console) -> int:
        from sync_cloud_storage.ledger import Halted  # noqa: PLC0415
        from sync_cloud_storage.report import checking  # noqa: PLC0415
        from sync_cloud_storage.signing import is_public_key  # noqa: PLC0415

        if key is not None and not is_public_key(key):
            raise UsageFault(
                "USAGE", "--key is no public key.", "Such as scs init prints: 44 characters, the last is =."
            )
        if blob is not None and "/" not in blob:
            raise UsageFault("USAGE", f"--blob {blob!r} names no blob.", "Such as --blob images/a/b.jpg")
        database = Path(catalog) if catalog else None
        try:
            verdict = checking.check(Path(file), _now, stop, key=key or "", catalog=database, blob=blob or "")
        except Halted as halted:
            return console.halted(halted.signal_name)
        return console.verdict(verdict)

    return start_alone(options, act)


def _now() -> datetime:
    return datetime.now(UTC)


PROOFS = (
    Verb(
        "report",
        callback=_report,
        short="Say what became of every blob; write it down.",
        more="Counts row by row, and whether it is what was listed. Reads only; works while a run goes on.",
        examples=[
            ("scs report", "Sums, proof levels, what went wrong and the way out, what was skipped."),
            ("scs report --html report.html --csv blobs.csv", "For people: one page, and a row for every blob."),
            ("scs report --jsonl blobs.jsonl", "For programs: every blob exactly, one JSON object a line."),
            (
                "scs report --certificate certificate.jsonl",
                "To be kept: signed, and what is not proven by name.",
            ),
            ("scs report --batch-manifest job.csv", "What S3 is to compute the checksums of."),
        ],
        exit_codes=(0, 1, 2, 3, 5, 130, 143),
        params=[
            click.Option(["--csv"], metavar="FILE", help="Every blob as one row, for spreadsheets."),
            click.Option(["--jsonl"], metavar="FILE", help="Every blob as one JSON object, exact."),
            click.Option(["--html"], metavar="FILE", help="One page for people; needs no network."),
            click.Option(["--certificate"], metavar="FILE", help="What is so, signed with the key that scs init made."),
            click.Option(
                ["--batch-manifest"],
                metavar="FILE",
                help="Only write the manifest of such a job, for what is not proven.",
            ),
        ],
    ),
    Verb(
        "verify-certificate",
        callback=_verify_certificate,
        short="Check a certificate, and the catalog against it.",
        more="Needs no settings, no network, and no right to write.",
        examples=[
            ("scs verify-certificate certificate.jsonl", "Was it changed? Whose key is it?"),
            ("scs verify-certificate certificate.jsonl --catalog storage.sqlite", "Does every row still say the same?"),
            ("scs verify-certificate certificate.jsonl --blob images/a.jpg", "What is said of one blob."),
        ],
        exit_codes=(0, 1, 2, 3, 5, 130, 143),
        params=[
            click.Argument(["file"], metavar="FILE"),
            click.Option(["--key"], metavar="PUBLICKEY", help="It has to be signed with this key; scs init prints it."),
            click.Option(
                ["--catalog", "--db-file", "catalog"],
                metavar="DB",
                help="Compute root and sums anew from this catalog.",
            ),
            click.Option(["--blob"], metavar="CONTAINER/BLOB", help="Say what is stated of this one."),
        ],
    ),
)
