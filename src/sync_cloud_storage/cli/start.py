"""How a verb is run: its settings are read, it is stopped by signals, and whatever goes wrong ends in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync_cloud_storage.cli.stop import stop_on_signals
from sync_cloud_storage.cli.verb import flags_of
from sync_cloud_storage.console import Console, record_crash
from sync_cloud_storage.errors import ScsError, UsageFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.cli.parts import MigrationFace, Parts
    from sync_cloud_storage.cli.stop import Stop


def start(options: dict[str, Any], act: Callable[[MigrationFace, Console], int], *, question: str = "") -> int:
    """Read the settings and let *act* call its method of `Migration`.

    Args:
        options: What click found.
        act: Calls and prints; gives the exit code.
        question: Asked first, with the catalog's path put in; "" for none.
    """

    def work(console: Console, parts: Parts, around: _Around) -> int:
        from sync_cloud_storage import settings as scs_settings  # noqa: PLC0415  (`scs --help` does without)

        around.secrets = scs_settings.secrets_in(parts.environ)
        settings = scs_settings.load(flags_of(options), parts.environ)
        around.folder, around.secrets = settings.db_file.parent, (*around.secrets, *settings.secrets())
        console.warn(settings.warnings)
        if question and not _agrees(question.format(settings.db_file), parts):
            console.done("Nothing was changed.", {"backup": None})
            return 0
        with stop_on_signals(console.stopping) as stop:
            return act(parts.migration(settings, console.listen, stop), console)

    return _guarded(options, work)


def start_alone(options: dict[str, Any], act: Callable[[Stop, Console], int]) -> int:
    """Let *act* do what needs no settings."""

    def work(console: Console, _parts: Parts, _around: _Around) -> int:
        with stop_on_signals(console.stopping) as stop:
            return act(stop, console)

    return _guarded(options, work)


def console_for(verb: str, parts: Parts, *, as_json: bool, quiet: bool) -> Console:
    """The console of one verb on the streams of *parts*."""
    return Console(
        verb,
        as_json=as_json,
        quiet=quiet,
        environ=parts.environ,
        clock=parts.clock,
        stdout=parts.stdout,
        stderr=parts.stderr,
    )


class _Around:
    """What is known when a crash has to be written down: where, and which secrets must not be in it."""

    def __init__(self) -> None:
        self.folder = Path()
        self.secrets: tuple[str, ...] = ()


def _guarded(options: dict[str, Any], work: Callable[[Console, Parts, _Around], int]) -> int:
    context = click.get_current_context()
    parts: Parts = context.obj
    console = console_for(context.info_name or "", parts, as_json=options["as_json"], quiet=options["quiet"])
    around = _Around()
    try:
        return work(console, parts, around)
    except ScsError as fault:
        console.fault(fault)
        return fault.exit_code
    except click.Abort:
        raise  # Ctrl-C at a question is no mistake
    except Exception as error:  # noqa: BLE001  (no traceback reaches a person)
        crash = record_crash(error, around.folder, datetime.now(UTC), around.secrets)
        console.fault(crash)
        return crash.exit_code


def _agrees(question: str, parts: Parts) -> bool:
    if parts.stdin is None or not parts.stdin.isatty():
        raise UsageFault("USAGE", "scs clean asks before it forgets, and nobody is there to answer.", "Say --yes.")
    return click.confirm(question, err=True)
