"""The tables `state` and `runs`, and the form of texts in the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.catalog.database import corrupt
from sync_cloud_storage.errors import EnvironmentFault

if TYPE_CHECKING:
    from datetime import datetime

    from sync_cloud_storage.catalog.database import Database

_WHAT = {"account": "the account", "bucket": "the bucket", "nas_id": "the NAS"}


def utc_text(moment: datetime) -> str:
    """`2026-11-23T03:18:30Z`; *moment* is aware and in UTC."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def sentence(code: str, text: str) -> str:
    """`CODE: sentence`, as the columns for errors hold it."""
    # The name of a file on the NAS may be no UTF-8; SQLite's text has to be.
    return f"{code}: {text}".encode(errors="backslashreplace").decode()


def get(database: Database, key: str) -> str:
    """A value, "" when it was never put."""
    found = database.row("SELECT value FROM state WHERE key = ?", (key,))
    return str(found[0]) if found else ""


def get_number(database: Database, key: str) -> int:
    """A value that is a number, 0 when it was never put."""
    text = get(database, key)
    try:
        return int(text or 0)
    except ValueError:
        raise corrupt(database.path, f"'{key}' is {text!r} and should be a number") from None


def put(database: Database, key: str, value: str) -> None:
    """Write a value."""
    database.run("INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))


def claim(database: Database, **given: str) -> None:
    """Tie the catalog to an account, a bucket and a NAS, or find that it is tied to others; "" says nothing.

    Raises:
        EnvironmentFault: `CATALOG-ELSEWHERE`.
    """
    for key, value in given.items():
        known = get(database, key)
        if value and known and value != known:
            raise EnvironmentFault(
                "CATALOG-ELSEWHERE",
                f"The catalog '{database.path}' belongs to {_WHAT[key]} '{known}', and the settings say '{value}'.",
                "Set DB_FILE to the catalog of this migration, or put the settings right.",
            )
        if value and not known:
            put(database, key, value)


def begin_run(database: Database, verb: str, at: str) -> int:
    """Write down that a verb has begun; its number."""
    database.run("INSERT INTO runs (verb, began_at_utc) VALUES (?, ?)", (verb, at))
    found = database.row("SELECT max(id) FROM runs")
    return int(found[0]) if found else 0


def end_run(database: Database, run: int | None, result: str, at: str) -> None:
    """Write down how it ended."""
    text = result.encode(errors="backslashreplace").decode()
    database.run("UPDATE runs SET ended_at_utc = ?, result = ? WHERE id = ?", (at, text, run))


def last_run(database: Database) -> tuple[str, str, str, str] | None:
    """(verb, began, ended, result) of the newest one."""
    found = database.row(
        "SELECT verb, began_at_utc, coalesce(ended_at_utc, ''), coalesce(result, '') FROM runs ORDER BY id DESC LIMIT 1"
    )
    return (found[0], found[1], found[2], found[3]) if found else None
