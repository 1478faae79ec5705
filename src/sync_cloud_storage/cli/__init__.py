"""The command `scs`: parse, call one method of `Migration`, print. Floor 5, the top: clock and streams come in here.

`verb.py` is the form of every verb, `verbs.py` has them all (`proofs.py` those for the end), `start.py` runs one with
what `parts.py` names, `stop.py` hears Ctrl-C; here is the way in, and what is said to words that no verb knows. What
costs time to import (the SDKs, rich, the catalog) is imported when a verb runs, so that `scs --help` is quick.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING

import click

from sync_cloud_storage.cli.parts import Parts
from sync_cloud_storage.cli.start import console_for
from sync_cloud_storage.cli.verbs import APP
from sync_cloud_storage.console.outlet import Outlet
from sync_cloud_storage.errors import ScsError, UsageFault
from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.cli.parts import MigrationFace
    from sync_cloud_storage.cli.stop import Stop
    from sync_cloud_storage.progress import Progress
    from sync_cloud_storage.settings import Settings

__all__ = ["Parts", "main"]

# What the command line of 2019 was, and is now.
_OF_2019 = {
    "-sync": "scs sync (containers | blobs)",
    "-download": "scs download",
    "-upload": "scs upload",
    "-xcheck": "scs xcheck",
    "-clean": "scs clean",
    "-reset-live": "scs reset-live",
}
# Where a secret goes that somebody tries to give by flag.
_SECRET_FLAGS = (
    (r"connection", "AZURE_STORAGE_CONNECTION_STRING"),
    (r"sas", "AZURE_STORAGE_SAS_TOKEN"),
    (r"session|security-token", "AWS_SESSION_TOKEN"),
    (r"secret", "AWS_SECRET_ACCESS_KEY"),
    (r"aws.*key|access-key-id", "AWS_ACCESS_KEY_ID"),
    (r"account-key|access-key|storage-key|azure.*key", "AZURE_STORAGE_ACCESS_KEY"),
    (r"key|token|password|credential", "the name that scs init explains there"),
)


def main(argv: Sequence[str] | None = None, parts: Parts | None = None) -> int:  # noqa: PLR0911  (each end one)
    """Run one command line and say with which code the process ends. Never raises but for SystemExit.

    Args:
        argv: Arguments without the program's name; None: those of the process.
        parts: What a verb works with; None: the real ones.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if parts is None:
        _fill_closed_streams()
        parts = _real_parts()
    try:
        if arguments and arguments[0] in _OF_2019:
            hint = f"What was {arguments[0]} is now: {_OF_2019[arguments[0]]}"
            raise UsageFault("USAGE", "The flags of 2019 are verbs now.", hint)
        code = APP.main(arguments or ["--help"], prog_name="scs", standalone_mode=False, obj=parts)
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.UsageError as error:
        return _fail(arguments, parts, _usage_fault(error, _verb_in(arguments)))
    except ScsError as fault:
        return _fail(arguments, parts, fault)
    except BrokenPipeError:
        # `scs --help | head -1`: the help had its reader. What is left in the buffer goes nowhere.
        Outlet(sys.stdout, parts.environ).give_up()
        return 0
    if not arguments:
        return 2  # the help was shown, and nothing was done
    return int(code or 0)


def _fail(arguments: list[str], parts: Parts, fault: ScsError) -> int:
    """An error before any verb had its own console."""
    console_for(_verb_in(arguments), parts, as_json="--json" in arguments, quiet=False).fault(fault)
    return fault.exit_code


def _verb_in(arguments: list[str]) -> str:
    return next((word for word in arguments if word in APP.commands), "")


def _usage_fault(error: click.UsageError, verb: str) -> UsageFault:
    """Say in our words what click found; a secret is never repeated."""
    ask = f"scs {verb} --help shows what there is." if verb else "scs --help shows what there is."
    if not isinstance(error, click.NoSuchOption):
        return UsageFault("USAGE", redact(error.format_message()), ask)
    option = error.option_name
    for pattern, name in _SECRET_FLAGS:
        if re.search(pattern, option):
            return UsageFault(
                "USAGE-SECRET",
                f"There is no {option}: secrets never come by flag, everybody on this machine could read them.",
                f"Put it into the environment or into .env, as {name}.",
            )
    stands_before_verb = error.ctx is not None and error.ctx.parent is None
    if stands_before_verb and any(
        option in known.opts for command in APP.commands.values() for known in command.params
    ):
        return UsageFault("USAGE", f"{option} stands behind the verb.", f"Such as: scs {verb or 'status'} {option}")
    near = f"Did you mean {' or '.join(sorted(error.possibilities))}? " if error.possibilities else ""
    return UsageFault("USAGE", f"There is no option {option}.", f"{near}{ask}")


def _fill_closed_streams() -> None:
    """Give the numbers 0, 1 and 2 to nothing where they are closed (`scs run >&-`).

    Else the next files that are opened get them, and what a library or a worker prints ends in a blob.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one


def _real_parts() -> Parts:
    return Parts(_make_migration, os.environ, time.monotonic, sys.stdin, sys.stdout, sys.stderr)


def _make_migration(settings: Settings, listener: Callable[[Progress], None], stop: Stop) -> MigrationFace:
    from sync_cloud_storage.migration import Migration  # noqa: PLC0415  (brings every SDK)

    return Migration(settings, listener, stop)
