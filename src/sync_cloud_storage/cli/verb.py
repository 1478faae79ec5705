"""The form of every verb: what its help shows, and which options it shares with others. Nothing is run here."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from sync_cloud_storage.errors import UsageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_CODES = {
    0: "all done and nothing left to say",
    1: "finished, but some blobs failed or are not proven",
    2: "usage or settings; nothing was started",
    3: "the environment: access, NAS, catalog; nothing is marked failed for it",
    4: "another run holds the catalog, or the NAS",
    5: "a check found a mismatch, or sums do not add up",
    130: "stopped by Ctrl-C; the same command goes on from there",
    143: "stopped by SIGTERM; likewise",
}

_SHARED = {
    "json": click.Option(["--json", "as_json"], is_flag=True, help="One JSON document on stdout; people read stderr."),
    "quiet": click.Option(["-q", "--quiet"], is_flag=True, help="Errors only."),
    "db-file": click.Option(["--db-file"], metavar="FILE", help="The catalog. [DB_FILE; storage.sqlite]"),
    "media-folder": click.Option(["--media-folder"], metavar="FOLDER", help="The folder on the NAS. [MEDIA_FOLDER]"),
    "workers": click.Option(["--workers"], metavar="N", help="Worker processes. [0: as many as help]"),
    "concurrency": click.Option(["--concurrency"], metavar="N", help="Requests at once. [0: tuned while running]"),
    "overwrite": click.Option(
        ["--overwrite"], is_flag=True, default=None, help="Replace what is in the way and was not written by scs."
    ),
    "attest": click.Option(
        ["--attest"],
        is_flag=True,
        default=None,
        help="Ask Azure for its own checksum of every range, and compare. [transfer.attest]",
    ),
    "container": click.Option(
        ["--container", "containers"],
        metavar="NAME",
        multiple=True,
        help="Only this container; may be given more than once.",
    ),
    "retry-failed": click.Option(["--retry-failed"], is_flag=True, help="Try the blobs again that failed earlier."),
}


class Verb(click.Command):
    """One verb, with examples and its own exit codes in the help.

    Args:
        short: What it does, one sentence.
        more: What there is to add.
        examples: Command line and meaning.
        exit_codes: Those of `EXIT_CODES` that this verb can give.
        shared: Names of options that several verbs have.
    """

    def __init__(
        self,
        name: str,
        *,
        callback: Callable[..., int],
        short: str,
        more: str = "",
        examples: Sequence[tuple[str, str]],
        exit_codes: Sequence[int],
        shared: Sequence[str] = (),
        params: Sequence[click.Parameter] = (),
    ) -> None:
        own = {option for parameter in params for option in parameter.opts}
        common = (name for name in (*shared, "db-file", "json", "quiet") if f"--{name}" not in own)
        options = [*params, *(_SHARED[name] for name in common)]
        super().__init__(name, callback=callback, help=f"{short} {more}", short_help=short, params=options)
        self.examples = examples
        self.exit_codes = exit_codes

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Add examples and exit codes."""
        with formatter.section("Examples"):
            for line, meaning in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                with formatter.indentation():
                    formatter.write_text(meaning)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), EXIT_CODES[code]) for code in self.exit_codes])


class Verbs(click.Group):
    """All verbs, in the order in which a person needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """As they were added, not by the alphabet."""
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """The verb of that name.

        Raises:
            UsageFault: There is none; with the one that was probably meant.
        """
        command = self.commands.get(cmd_name)
        if command is not None:
            return command
        near = get_close_matches(cmd_name, self.commands, 1)
        hint = f"Did you mean scs {near[0]}?" if near else f"There are: {', '.join(self.commands)}."
        raise UsageFault("USAGE", f"There is no verb {cmd_name!r}.", hint)


def flags_of(options: dict[str, Any]) -> dict[str, object]:
    """The options that are settings, by the names under which `settings.load` knows them; a flag not given is None."""
    names = ("db-file", "media-folder", "workers", "concurrency", "overwrite", "attest")
    return {f"--{name}": options.get(name.replace("-", "_")) for name in names}
