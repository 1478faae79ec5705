"""From what a person wrote to a typed value, one function for each kind. Each raises `Unreadable` with a half sentence.

The half sentence follows the name of the setting: "AWS_BUCKET in .env" + "must be text in quotes". It never quotes the
value itself where that may be secret; the caller says which those are.

A value comes as text from flags, environment and `.env`, and with TOML's own types from `scs.toml`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sync_cloud_storage import units
from sync_cloud_storage.model import Attest
from sync_cloud_storage.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable


class Unreadable(ValueError):
    """What was written is no such value. The text is the second half of a sentence."""


_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


def text(raw: object) -> str:
    """Any text, without the white space around it."""
    if not isinstance(raw, str):
        raise Unreadable("must be text in quotes")
    return raw.strip()


def switch(raw: object) -> bool:
    """Read yes or no."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _YES | _NO:
        raise Unreadable(f"must be true or false, not {_shown(raw)}")
    return word in _YES


def maybe(raw: object) -> bool | None:
    """Read yes or no, for a setting that decides by itself when it is not set."""
    return switch(raw)


def whole(least: int, most: int) -> Callable[[object], int]:
    """Make a reader of whole numbers from *least* to *most*."""

    def read(raw: object) -> int:
        digits = str(raw).strip()
        if isinstance(raw, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", digits):
            raise Unreadable(f"must be a whole number, not {_shown(raw)}")
        if not least <= int(digits) <= most:
            raise Unreadable(f"must be from {least} to {most}, not {digits}")
        return int(digits)

    return read


def size(least: int, most: int) -> Callable[[object], int]:
    """Make a reader of sizes in bytes, such as 16M or 1GiB; 0 is allowed where *least* is 0."""

    def read(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, (int, str)):
            raise Unreadable(f'must be a size such as "64M", not {_shown(raw)}')
        size_bytes = units.parse_bytes(str(raw))
        if not least <= size_bytes <= most:
            raise Unreadable(f"must be from {units.print_bytes(least)} to {units.print_bytes(most)}, not {_shown(raw)}")
        return size_bytes

    return read


def duration(raw: object) -> float:
    """Read a time span with its unit, such as 30m or 2h. In seconds."""
    return units.parse_duration(text(raw))


def path(raw: object) -> Path | None:
    """Read a path; `~` is the home folder. Empty is none."""
    written = text(raw)
    if "\0" in written:
        raise Unreadable("must not hold a NUL character")
    return Path(written).expanduser() if written else None


def words(raw: object) -> tuple[str, ...]:
    """Read a list of texts."""
    if not isinstance(raw, list) or not all(isinstance(word, str) and word for word in raw):
        raise Unreadable('must be a list of texts, such as ["one", "two-*"]')
    return tuple(raw)


def one_of(*allowed: str) -> Callable[[object], str]:
    """Make a reader that knows all allowed words; "" is always one."""

    def read(raw: object) -> str:
        word = text(raw)
        if word and word not in allowed:
            raise Unreadable(f"must be one of {', '.join(allowed)}, not {_shown(word)}")
        return word

    return read


_ATTEST = {"off": Attest.NONE, "missing": Attest.WITHOUT_MD5, "all": Attest.ALL}


def attest(raw: object) -> Attest:
    """Read of which blobs the source is asked for its checksums; true, as a flag says it, is all."""
    if isinstance(raw, bool):
        return Attest.ALL if raw else Attest.NONE
    return _ATTEST[one_of(*_ATTEST)(raw) or "off"]


def like(pattern: str, meaning: str) -> Callable[[object], str]:
    """Make a reader of texts that match *pattern* as a whole; *meaning* says to a person what that is."""

    def read(raw: object) -> str:
        word = text(raw)
        if word and not re.fullmatch(pattern, word):
            raise Unreadable(f"must be {meaning}, not {_shown(word)}")
        return word

    return read


def endpoint(raw: object) -> str:
    """Read the address of a service, without a slash at the end.

    Refuses what has no business in an endpoint: a query (a SAS would end in a log), a user name, a fragment.
    """
    address = text(raw).rstrip("/")
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise Unreadable("must be an address such as https://host:port") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise Unreadable("must begin with https:// (or http://) and name a host")
    if parts.query or parts.fragment or "@" in parts.netloc or re.search(r"\s", address):
        raise Unreadable("must be a plain address: no user name, no query, no white space")
    return address


def tags(raw: object) -> tuple[tuple[str, str], ...]:
    """Read the tags of objects. S3 takes 10, with keys of up to 128 and values of up to 256 characters.

    Source: Amazon S3 User Guide, "Categorizing your objects using tags".
    """
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise Unreadable('must be a table of texts, such as { project = "migration" }')
    if len(raw) > 10:
        raise Unreadable(f"has {len(raw)} tags; S3 takes 10 for an object")
    for key, value in raw.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise Unreadable(f"has a tag that S3 refuses: {_shown(key)} (keys 1 to 128 characters, values up to 256)")
    return tuple(raw.items())


def tables(*keys: str, optional: tuple[str, ...]) -> Callable[[object], tuple[dict[str, str], ...]]:
    """Make a reader of `[[name]]` sections whose entries are texts with these *keys*, perhaps the *optional* ones."""

    def read(raw: object) -> tuple[dict[str, str], ...]:
        if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
            raise Unreadable("must be written as a section in double brackets, once for each entry")
        for number, entry in enumerate(raw, 1):
            _check_entry(entry, f"(entry {number})", keys, optional)
        return tuple(raw)

    return read


def _check_entry(entry: dict[str, object], which: str, keys: tuple[str, ...], optional: tuple[str, ...]) -> None:
    for key, value in entry.items():
        if key not in keys + optional:
            raise Unreadable(f"{which} has an unknown key {_shown(key)}; there are {', '.join(keys + optional)}")
        if not isinstance(value, str):
            raise Unreadable(f"{which}: {key} must be text in quotes")
    for key in keys:
        if key not in entry:
            raise Unreadable(f"{which} has no {key}")


def _shown(raw: object) -> str:
    """The value as a person wrote it, shortened."""
    shown = redact(repr(raw) if isinstance(raw, str) else str(raw))  # a secret may stand where a name belongs
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
