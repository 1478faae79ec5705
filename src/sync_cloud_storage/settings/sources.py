"""Where settings come from, and which of them counts: flags, environment, `.env`, `scs.toml`, defaults.

Knows how the sources are read and searched, not what the settings mean.
"""

from __future__ import annotations

import difflib
import io
import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dotenv.parser import parse_stream

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.settings.readers import Unreadable
from sync_cloud_storage.settings.table import TABLE, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

DOTENV = ".env"
TOML = "scs.toml"

_SECRET_WORD = re.compile(
    r"secret|password|passwd|token|(access|account|storage|shared)_?key|\bsas\b|connection|credential", re.IGNORECASE
)


class Found(NamedTuple):
    """What a person wrote, where, and how near that is: 0 flags, 1 environment, 2 `.env`, 3 `scs.toml`."""

    raw: object
    name: str
    where: str
    rank: int


class Sources:
    """The four sources of one start of the program, and what is read from them.

    Args:
        flags: By the option's name; None and missing are the same.
        environ: The real environment.
        dotenv: What `.env` holds.
        toml: What `scs.toml` holds.
    """

    def __init__(
        self,
        flags: Mapping[str, object],
        environ: Mapping[str, str],
        dotenv: Mapping[str, str],
        toml: Mapping[str, Any],
    ) -> None:
        self._flags = flags
        self._environ = environ
        self._dotenv = dotenv
        self._toml = toml

    def find(self, setting: Setting[Any]) -> Found | None:
        """The nearest place where *setting* is set. An empty text is not set: `AWS_BUCKET=` is a form to fill in."""
        return next(self._places(setting), None)

    def find_in(self, rank: int, setting: Setting[Any]) -> Found | None:
        """What the source of that rank says about *setting*."""
        return next((found for found in self._places(setting) if found.rank == rank), None)

    def value(self, setting: Setting[T]) -> T:
        """The value of *setting*, or its default.

        Raises:
            UsageFault: What a person wrote is no such value.
        """
        found = self.find(setting)
        return setting.default if found is None else read(setting, found)

    def _places(self, setting: Setting[Any]) -> Iterator[Found]:
        flag = self._flags.get(setting.flag) if setting.flag else None
        if flag is not None:
            yield Found(flag, setting.flag, "", 0)
        for rank, where, names in ((1, "in the environment", self._environ), (2, f"in {DOTENV}", self._dotenv)):
            for name in setting.env:
                if names.get(name):
                    yield Found(names[name], name, where, rank)
        if setting.toml:
            section, _, key = setting.toml.partition(".")
            entry = self._toml.get(section)
            if key:
                entry = entry.get(key) if isinstance(entry, dict) else None
            if entry is not None and entry != "":
                yield Found(entry, setting.toml, f"in {TOML}", 3)


def read(setting: Setting[T], found: Found) -> T:
    """The typed value of what was found.

    Raises:
        UsageFault: It is no such value; the sentence names the setting, the file, and what was expected.
    """
    label = f"{found.name} {found.where}".rstrip()
    try:
        return setting.read(found.raw)
    except Unreadable as fault:
        raise UsageFault("SET-VALUE", f"{label} {fault}.", f"It is for: {setting.reason}") from None
    except UsageFault as fault:
        raise UsageFault("SET-VALUE", f"{label}: {fault.sentence}", fault.hint) from None


def read_dotenv(file: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read `.env`: its names and values, and warnings. Values stay as they are written: `$` has no meaning.

    A folder of that name is somebody's Python environment and counts as no file.

    Raises:
        UsageFault: It cannot be read, or a line is no NAME=value. The line itself is not quoted: it may hold a secret.
    """
    if file.is_dir():
        return {}, ()
    try:
        # Once opened, the question who may read it is asked of this very file.
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read()
    except FileNotFoundError:
        return {}, ()
    except OSError as fault:
        raise UsageFault(
            "SET-ENV", f"{file} cannot be read: {fault.strerror}.", f"Make it readable for you: chmod 600 {file}"
        ) from None
    names: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_decoded(file, content))):
        if binding.error or (binding.key is not None and binding.value is None):
            raise UsageFault(
                "SET-ENV",
                f"Line {binding.original.line} of {file} is not NAME=value.",
                "Put values with blanks or # in them into single quotes.",
            )
        if binding.key is not None:
            names[binding.key] = binding.value or ""
    warnings: tuple[str, ...] = ()
    if mode & (stat.S_IRGRP | stat.S_IROTH) and any(map(names.get, _secret_names())):
        warnings = (f"{file} holds secrets and others on this machine may read it. Close it: chmod 600 {file}",)
    return names, warnings


def read_toml(file: Path) -> dict[str, Any]:
    """Read `scs.toml`, with every section and key checked against the table.

    Raises:
        UsageFault: It cannot be read, is no TOML, holds something unknown, or a secret.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise UsageFault("SET-TOML", f"{file} cannot be read: {fault.strerror}.", "Make it readable for you.") from None
    try:
        document = tomllib.loads(_decoded(file, content))
    except tomllib.TOMLDecodeError as fault:
        raise UsageFault(
            "SET-TOML",
            f"{file} is not valid TOML: {fault}.",
            "Texts stand in quotes; a regular expression best in single ones: '\\.mp4$'.",
        ) from None
    _check_names(file, document)
    return document


def _check_names(file: Path, document: dict[str, Any]) -> None:
    sections: dict[str, set[str]] = {}
    for setting in TABLE:
        if setting.toml:
            section, _, key = setting.toml.partition(".")
            sections.setdefault(section, set()).update({key} - {""})
    for section, entries in document.items():
        if section not in sections:
            raise _unknown(file, section, [f"[{name}]" for name in sections])
        if not sections[section]:
            continue  # a list of tables: its reader knows the keys
        if not isinstance(entries, dict):
            raise UsageFault(
                "SET-TOML", f"{section} in {file} must be a section: [{section}].", "Its entries follow it."
            )
        for key in entries:
            if key not in sections[section]:
                raise _unknown(file, f"{section}.{key}", [f"{section}.{known}" for known in sections[section]])


def _unknown(file: Path, name: str, known: list[str]) -> UsageFault:
    if _SECRET_WORD.search(name):
        return UsageFault(
            "SET-SECRET",
            f"{name} looks like a secret, and {file} is no place for one: such files are copied and shared.",
            f"Put it into the environment or into {DOTENV}, as {', '.join(_secret_names())}.",
        )
    # The very key may stand in the wrong section; else the nearest name is meant.
    key = name.rpartition(".")[2]
    near = [setting.toml for setting in TABLE if setting.toml.endswith(f".{key}")]
    near = near or difflib.get_close_matches(name if "." in name else f"[{name}]", known, 1, 0.6)
    hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}."
    return UsageFault("SET-UNKNOWN", f"{file} has an unknown entry: {name}.", hint)


def _secret_names() -> list[str]:
    return [name for setting in TABLE if setting.secret for name in setting.env]


def _decoded(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # editors on Windows begin a file with a mark
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise UsageFault("SET-ENCODING", f"Line {line} of {file} is not UTF-8.", "Save it as UTF-8.") from None
