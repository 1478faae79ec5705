"""The verbs: each takes its options, calls one method of `Migration`, and prints what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_cloud_storage.cli.options import interval_s, slice_of
from sync_cloud_storage.cli.proofs import PROOFS
from sync_cloud_storage.cli.start import start
from sync_cloud_storage.cli.verb import Verb, Verbs
from sync_cloud_storage.errors import UsageFault

if TYPE_CHECKING:
    from sync_cloud_storage.cli.parts import MigrationFace
    from sync_cloud_storage.console import Console


def _sync(what: str | None, everything: bool, containers: tuple[str, ...], **options: Any) -> int:  # noqa: FBT001
    def act(migration: MigrationFace, console: Console) -> int:
        return console.outcome(migration.sync(what or "both", everything=everything, containers=containers))

    return start(options, act)


def _half(_context: click.Context, _parameter: click.Parameter, what: str | None) -> str | None:
    if what not in {None, "containers", "blobs"}:
        raise UsageFault("USAGE", f"scs sync lists containers or blobs, not {what!r}.", "Without a word: both.")
    return what


def _reset_live(**options: Any) -> int:
    def act(migration: MigrationFace, console: Console) -> int:
        from sync_cloud_storage.units import print_count  # noqa: PLC0415

        count = migration.reset_live()
        said = f"{print_count(count, 'live container')} will be listed again by the next scs sync."
        none = "No container in the catalog is live. Name them in scs.toml: live, under [containers]."
        console.done(said if count else none, {"containers": count})
        return 0

    return start(options, act)


def _download(retry_failed: bool, containers: tuple[str, ...], **options: Any) -> int:  # noqa: FBT001
    def act(migration: MigrationFace, console: Console) -> int:
        return console.outcome(migration.download(retry_failed=retry_failed, containers=containers))

    return start(options, act)


def _upload(retry_failed: bool, containers: tuple[str, ...], **options: Any) -> int:  # noqa: FBT001
    def act(migration: MigrationFace, console: Console) -> int:
        return console.outcome(migration.upload(retry_failed=retry_failed, containers=containers))

    return start(options, act)


def _run(retry_failed: bool, watch: str | None, containers: tuple[str, ...], **options: Any) -> int:  # noqa: FBT001
    def act(migration: MigrationFace, console: Console) -> int:
        watch_s = None if watch is None else interval_s(watch)
        return console.outcome(migration.run(retry_failed=retry_failed, watch_s=watch_s, containers=containers))

    return start(options, act)


def _xcheck(deep: bool, containers: tuple[str, ...], **options: Any) -> int:  # noqa: FBT001
    from pathlib import Path  # noqa: PLC0415

    inventory = Path(options["inventory"]) if options["inventory"] else None
    checksums = tuple(map(Path, options["checksums"]))

    if options["nas"] and options["s3"]:
        raise UsageFault("USAGE", "scs xcheck --nas asks no cloud, --s3 looks at no file.", "Without both: all.")
    if options["nas"] and (inventory or checksums):
        text = "scs xcheck --nas looks at files only, so it takes nothing in from S3."
        raise UsageFault("USAGE", text, "Give one of them at a time.")
    part, parts = slice_of(options["piece"], nas=options["nas"])

    def act(migration: MigrationFace, console: Console) -> int:
        if options["nas"]:
            return console.outcome(migration.scrub(part=part, parts=parts, containers=containers))
        return console.outcome(
            migration.xcheck(
                deep=deep, containers=containers, nas=not options["s3"], inventory=inventory, checksums=checksums
            )
        )

    return start(options, act)


def _rebuild(**options: Any) -> int:
    return start(options, lambda migration, console: console.outcome(migration.rebuild()))


def _status(**options: Any) -> int:
    return start(options, lambda migration, console: console.status(migration.status()))


def _clean(yes: bool, **options: Any) -> int:  # noqa: FBT001
    def act(migration: MigrationFace, console: Console) -> int:
        backup = migration.clean()
        console.done(f"The catalog is forgotten; its backup is {backup}. No data was touched.", {"backup": str(backup)})
        return 0

    question = "Forget the catalog {}? A backup stays beside it, and no data is touched."
    return start(options, act, question="" if yes else question)


def _init(**options: Any) -> int:
    return start(options, lambda migration, console: console.init(migration.init()))


_SPEED = ("workers", "concurrency")
_MOVING = (0, 1, 2, 3, 4, 130, 143)
_AT_ONCE = (0, 2, 3, 4)

_VERBS = (
    Verb(
        "init",
        callback=_init,
        short="Make catalog, NAS marker, .env and scs.toml.",
        more="And the key that certificates are signed with. Each only where it is missing; asks nothing.",
        examples=[("scs init", "In a new folder: writes the two files; fill them in, and run it again.")],
        exit_codes=_AT_ONCE,
        shared=("media-folder",),
    ),
    Verb(
        "sync",
        callback=_sync,
        short="List the account into the catalog.",
        more="First the containers, then the blobs of pending ones; with one of the two words, that half alone.",
        examples=[
            ("scs sync", "What is there? Goes on where a stopped listing was."),
            ("scs sync containers", "The containers only."),
            ("scs sync --all", "Every container again: finds changes in finished ones."),
            ("scs sync blobs --container images", "One container."),
        ],
        exit_codes=_MOVING,
        params=[
            click.Argument(["what"], required=False, metavar="[containers|blobs]", callback=_half),
            click.Option(["--all", "everything"], is_flag=True, help="List finished containers again, too."),
        ],
        shared=("container", *_SPEED),
    ),
    Verb(
        "reset-live",
        callback=_reset_live,
        short="Set live containers back to pending.",
        more="They stand in scs.toml; the next sync lists them again.",
        examples=[("scs reset-live && scs sync", "What is new in containers that still change?")],
        exit_codes=_AT_ONCE,
    ),
    Verb(
        "download",
        callback=_download,
        short="Copy pending blobs from Azure to the NAS.",
        examples=[
            ("scs download", "All that is pending; goes on where it was stopped, also inside a large blob."),
            ("scs download --retry-failed", "Those as well that failed earlier."),
            ("scs download --attest", "Each range is held against Azure's own checksum of it."),
        ],
        exit_codes=_MOVING,
        shared=("retry-failed", "attest", "container", "media-folder", "overwrite", *_SPEED),
    ),
    Verb(
        "upload",
        callback=_upload,
        short="Copy what is on the NAS to S3.",
        examples=[
            ("scs upload", "All that waits on the NAS; large files go on with the next part."),
            ("scs upload --concurrency 16", "Gently."),
        ],
        exit_codes=_MOVING,
        shared=("retry-failed", "container", "media-folder", "overwrite", *_SPEED),
    ),
    Verb(
        "run",
        callback=_run,
        short="Sync, download and upload as one pipeline.",
        more="Lists live containers again by itself.",
        examples=[
            ("scs run", "Everything that is new, changed or pending; a second one right after it moves nothing."),
            ("scs run --watch 15m", "Again every 15 minutes, until it is stopped."),
            ("scs run --json > result.json", "For scripts: the document in a file, progress on the terminal."),
        ],
        exit_codes=_MOVING,
        params=[
            click.Option(["--watch"], metavar="TIME", help="Repeat, with this pause: 90s, 15m, 1h."),
        ],
        shared=("retry-failed", "attest", "container", "media-folder", "overwrite", *_SPEED),
    ),
    Verb(
        "xcheck",
        callback=_xcheck,
        short="Prove every blob: Azure, NAS, S3.",
        more="Three ways: a fresh listing of Azure, the file on the NAS, the object in S3.",
        examples=[
            ("scs xcheck", "Sizes, S3's own checksums, and what Azure has now."),
            ("scs xcheck --deep", "Reads every file on the NAS again."),
            ("scs xcheck --nas --slice 3/10", "Reads the third tenth of the files again, and asks neither cloud."),
            ("scs xcheck --inventory in/manifest.json", "The bucket as an S3 Inventory showed it, without a listing."),
            ("scs xcheck --checksums job/manifest.json", "With the checksums that S3 has computed."),
        ],
        exit_codes=(0, 1, 2, 3, 4, 5, 130, 143),
        params=[
            click.Option(["--deep"], is_flag=True, help="Read the files on the NAS again and compare the hash."),
            click.Option(
                ["--nas"],
                is_flag=True,
                help="Only read the files again, without Azure and S3; the next run fetches what is not as it was.",
            ),
            click.Option(["--s3"], is_flag=True, help="Only what is in S3, without looking at files; needs no NAS."),
            click.Option(
                ["--slice", "piece"], metavar="K/N", help="With --nas: only the K-th of N parts of the files."
            ),
            click.Option(["--inventory"], metavar="MANIFEST", help="manifest.json of an S3 Inventory, copied here."),
            click.Option(
                ["--checksums"],
                metavar="REPORT",
                multiple=True,
                help="Completion report of a job Compute checksum, copied here; may be given more than once.",
            ),
        ],
        shared=("container", "media-folder", *_SPEED),
    ),
    Verb(
        "status",
        callback=_status,
        short="Say where the migration stands.",
        more="Reads only; works while a run goes on.",
        examples=[
            ("scs status", "Sums, the last run, the first problems."),
            ("scs status --json", "The same for a monitoring system."),
        ],
        exit_codes=(0, 1, 2, 3),
    ),
    *PROOFS,
    Verb(
        "rebuild",
        callback=_rebuild,
        short="Make the catalog anew where it was lost.",
        more="Lists the account, reads the manifests on the NAS, and adopts the files and objects that are right; only "
        "what is missing is moved. A damaged catalog is kept aside; one that can be used is left alone.",
        examples=[
            ("scs rebuild", "The catalog is lost or damaged; goes on where it was stopped."),
            ("scs rebuild --overwrite", "Replaces files and objects that are in the way with other bytes."),
        ],
        exit_codes=_MOVING,
        shared=("media-folder", "overwrite", "attest", *_SPEED),
    ),
    Verb(
        "clean",
        callback=_clean,
        short="Forget the catalog, after a backup and a question.",
        more="Never touches data.",
        examples=[("scs clean", "Asks first."), ("scs clean --yes", "For scripts.")],
        exit_codes=_AT_ONCE,
        params=[click.Option(["--yes"], is_flag=True, help="Do not ask.")],
    ),
)


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            click.echo(f"scs {version('sync-cloud-storage')}")
        except PackageNotFoundError:
            click.echo("scs, from a folder of its source: not installed")
        context.exit()


APP = Verbs(
    "scs",
    help="Move an Azure Blob Storage account to Amazon S3, by way of a NAS, and prove that it arrived.",
    epilog="Start in a new folder with scs init. Each verb has --help with examples and exit codes, can be stopped "
    "with Ctrl-C, and goes on when it is run again.",
    commands={verb.name: verb for verb in _VERBS if verb.name},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Say the version.",
        )
    ],
    subcommand_metavar="VERB [OPTIONS]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
