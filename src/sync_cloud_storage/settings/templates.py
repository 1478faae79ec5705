"""The two files that `scs init` writes, made from the table. Existing files are never touched."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

from sync_cloud_storage.errors import EnvironmentFault
from sync_cloud_storage.settings.sources import DOTENV, TOML
from sync_cloud_storage.settings.table import TABLE, Setting

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_WIDTH = 100

_DOTENV_HEAD = """\
# Where from, where to, and with which keys. Read by scs in this folder; keep it for yourself (chmod 600).
# A line that begins with # says nothing. The environment counts before this file, scs.toml after it.
"""

_TOML_HEAD = """\
# What is not secret: what moves, where to, how fast. Every line that is commented out shows an example.
# Flags, the environment and .env count before this file. No secrets here: they are in .env.
"""


def write_templates(folder: Path) -> list[Path]:
    """Write `.env` (for the owner alone) and `scs.toml` into *folder* where they are missing, and ask nothing.

    Returns:
        The files that were written.

    Raises:
        EnvironmentFault: A file cannot be written; nothing half is left.
    """
    files = ((folder / DOTENV, dotenv_template(), 0o600), (folder / TOML, toml_template(), 0o644))
    return [file for file, content, mode in files if _write_new(file, content, mode)]


def dotenv_template() -> str:
    """The text of a new `.env`: a form to fill in."""
    blocks = [_DOTENV_HEAD]
    for setting in TABLE:
        if setting.in_dotenv:
            name = setting.env[0]
            line = f"{name}={setting.default}" if setting.default else f"{name}="
            blocks.append("\n".join((*_comment(setting.reason), line)) + "\n")
    return "\n".join(blocks)


def toml_template() -> str:
    """The text of a new `scs.toml`: everything commented out, so that the defaults hold."""
    sections: dict[str, list[Setting[Any]]] = {}
    for setting in TABLE:
        if setting.toml and not setting.in_dotenv:
            sections.setdefault(setting.toml.partition(".")[0], []).append(setting)
    blocks = [_TOML_HEAD]
    for section, settings in sections.items():
        repeated = "." not in settings[0].toml
        # A section stays in force while all in it is commented out; an entry of a list would be a rule of its own.
        head = f"# [[{section}]]" if repeated else f"[{section}]"
        lines = [] if repeated else [head]
        for setting in settings:
            lines += _comment(setting.reason)
            if repeated:
                lines += [head, *(f"# {line}" for line in setting.example.splitlines())]
            else:
                lines.append(f"# {setting.toml.partition('.')[2]} = {setting.example or _toml(setting.default)}")
            lines.append("")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def _comment(reason: str) -> list[str]:
    return textwrap.wrap(reason, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _write_new(file: Path, content: str, mode: int) -> bool:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return False
    except OSError as fault:
        raise _cannot_write(file, fault) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(content)
    except OSError as fault:
        file.unlink(missing_ok=True)  # a half form would never be completed: the next start keeps what is there
        raise _cannot_write(file, fault) from None
    return True


def _cannot_write(file: Path, fault: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "INIT-WRITE", f"{file} cannot be written: {fault.strerror}.", "Run scs in a folder where you may write."
    )
