"""Who gets which path on the NAS: the clash rules. Called inside the transaction that adds the rows.

A blob comes with its S3 key and the plain path that the name map gives it. Two things can be in the way there:

    a folder has the name already          a/b was there, now comes a       -> a%f
    a file has the name of a folder        a was there, now comes a/b       -> a%d/b
    a file has the same name, folded
      another S3 key (A was there, now a)                                   -> a%~ and 8 hex digits of the key's SHA-256
      the same S3 key                                                       -> KEY-CLASH: both are refused

Places are never given back, not even when their row goes elsewhere (but in a rebuild, `leave`). That is what makes
the S3 keys unique, too, without an index of them: what stood in the way of the first blob with a key still stands in
the way of the second, so it is led to the same path, and finds the first one there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.names import as_file, as_folder, as_twin, fold

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from sync_cloud_storage.catalog.database import Database

# All that is below a folder lies between it with a slash, and it with the character that follows the slash.
_BELOW = "FROM places WHERE fold > ?1 || '/' AND fold < ?1 || '0'"

DISPLACED = 0  # in places.sync_id: a file's place whose row was given another one


class Wish(NamedTuple):
    """A row that wants a place."""

    id: int
    container: str
    blob: str
    s3_key: str
    nas_path: str


class Ruling(NamedTuple):
    """What a wish became: a path, and "" or `KEY-CLASH: sentence`."""

    nas_path: str
    error: str


def take_free(database: Database, wanted: Sequence[tuple[str, int]]) -> set[int]:
    """Take places for new rows (folded path, id) all at once: those that nobody else has or wants.

    Returns:
        The rows that are left, for `rule`. All of them, when something about the folders is to be decided first.
    """
    paths = {path for path, _ in wanted}
    folders = _folders(paths)
    is_plain = len(paths) == len(wanted) and folders.isdisjoint(paths)
    known = _holders(database, folders) if is_plain else {}
    if not is_plain or any(holder is not None for holder in known.values()):
        return {row_id for _, row_id in wanted}
    database.insert("INSERT INTO places (fold) VALUES (?)", [(folder,) for folder in folders - known.keys()])
    if database.insert("INSERT OR IGNORE INTO places VALUES (?, ?)", wanted) == len(wanted):
        return set()
    holders = _holders(database, paths)
    return {row_id for path, row_id in wanted if holders[path] != row_id}


def rule(database: Database, wishes: Sequence[Wish], left: Container[int]) -> tuple[dict[int, Ruling], dict[int, str]]:
    """Take places for those of *wishes* that are *left*, in their order.

    Returns:
        By id, the rulings that differ from the wish; and, by id, why rows that had a place are now refused, too.
    """
    judge = _Judge(database, wishes)
    for wish in wishes:
        if wish.id in left:
            judge.decide(wish)
    return judge.rulings(), judge.refused


def displace(database: Database, row_id: int, nas_path: str) -> None:
    """Take a row from its place, if it has that one. The place stays taken."""
    database.run("UPDATE places SET sync_id = ? WHERE fold = ? AND sync_id = ?", (DISPLACED, fold(nas_path), row_id))


def leave(database: Database, left: Sequence[tuple[str, int]]) -> None:
    """Give places (folded path, id) back to which nothing was moved yet, and folders in which nothing is left."""
    database.many("DELETE FROM places WHERE fold = ? AND sync_id = ?", left)
    deepest_first = sorted(_folders(path for path, _ in left), key=len, reverse=True)
    database.many(
        f"DELETE FROM places WHERE fold = ?1 AND sync_id IS NULL AND NOT EXISTS (SELECT 1 {_BELOW})",  # noqa: S608
        [(folder,) for folder in deepest_first],
    )


def in_the_way(database: Database, path: str) -> set[int]:
    """The rows that keep a file from *path*: one that has it, those below it, and those on the way to it."""
    place = fold(path)
    found = set(_holders(database, {place, *_folders([place])}).values())
    found |= {row_id for (row_id,) in database.rows(f"SELECT sync_id {_BELOW}", (place,))}
    return {row_id for row_id in found if row_id}


def _folders(paths: Iterable[str]) -> set[str]:
    """All folders on the way to *paths*."""
    nearest = {path.rpartition("/")[0] for path in paths}
    found: set[str] = set()
    for path in nearest:
        folder = path
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _holders(database: Database, folds: Iterable[str]) -> dict[str, int | None]:
    # A mapped path holds no control characters, so JSON brings it there unharmed.
    return dict(
        database.rows(
            "SELECT fold, sync_id FROM places WHERE fold IN (SELECT value FROM json_each(?))",
            (json.dumps(list(folds)),),
        )
    )


class _Other(NamedTuple):
    """The row that is in the way."""

    id: int
    label: str
    s3_key: str
    has_moved: bool


class _Judge:
    """Decides wish by wish; slow, for the few that meet something."""

    def __init__(self, database: Database, wishes: Sequence[Wish]) -> None:
        self.refused: dict[int, str] = {}  # rows of earlier times
        self._database = database
        self._wishes = {wish.id: wish for wish in wishes}
        self._paths: dict[int, str] = {}
        self._errors: dict[int, str] = {}

    def decide(self, wish: Wish) -> None:
        base = self._lead_there(wish.nas_path)
        path, other = base, self._other_at(base)
        if other is None and self._is_taken(base):
            path = as_file(base)
            other = self._other_at(path)
        if other is not None and other.s3_key != wish.s3_key and other.id != wish.id:
            path = as_twin(base, wish.s3_key)
            other = self._other_at(path)
        if other is None:
            self._database.run("INSERT INTO places VALUES (?, ?)", (fold(path), wish.id))
        self._paths[wish.id] = path
        if other is None or other.id == wish.id:
            other = self._contender(wish)
        if other is not None:
            self._clash(wish, other)

    def rulings(self) -> dict[int, Ruling]:
        """All that is not as it was wished."""
        return {
            row_id: Ruling(self._paths.get(row_id, self._wishes[row_id].nas_path), self._errors.get(row_id, ""))
            for row_id in self._paths.keys() | self._errors.keys()
        }

    def _lead_there(self, path: str) -> str:
        """Make sure of each folder on the way, under another name where a file has its own."""
        end = path.find("/")
        while end >= 0:
            folder = path[:end]
            holders = _holders(self._database, [fold(folder)])
            if not holders:
                self._database.run("INSERT INTO places (fold) VALUES (?)", (fold(folder),))
            elif holders[fold(folder)] is not None:
                path = as_folder(path, folder)
                end = path.find("/", end)  # this one again, as it is called now
                continue
            end = path.find("/", end + 1)
        return path

    def _is_taken(self, path: str) -> bool:
        return bool(_holders(self._database, [fold(path)]))

    def _other_at(self, path: str) -> _Other | None:
        """The file that has this place; None: it is free, or a folder."""
        holder = _holders(self._database, [fold(path)]).get(fold(path))
        if holder is None:
            return None
        return self._row(holder) or _Other(DISPLACED, "", "", has_moved=True)

    def _row(self, row_id: int) -> _Other | None:
        if wish := self._wishes.get(row_id):
            return _Other(row_id, f"{wish.container}/{wish.blob}", wish.s3_key, has_moved=False)
        found = self._database.row(
            "SELECT container || '/' || blob, coalesce(s3_key, container || '/' || blob),"
            " azure_status = 1 OR s3_status = 1 OR written IS NOT NULL FROM sync WHERE id = ?",
            (row_id,),
        )
        return _Other(row_id, found[0], found[1], bool(found[2])) if found else None

    def _contender(self, wish: Wish) -> _Other | None:
        """Another row that was refused for the same key, and whose own place may be elsewhere by now."""
        found = self._database.row(
            "SELECT id FROM sync WHERE refused = 1 AND s3_key = ? AND azure_status = 2 AND id <> ?",
            (wish.s3_key, wish.id),
        )
        return self._row(found[0]) if found else None

    def _clash(self, wish: Wish, other: _Other) -> None:
        label = f"{wish.container}/{wish.blob}"
        if other.s3_key != wish.s3_key:
            self._errors[wish.id] = f"KEY-CLASH: '{label}' has no place left on the NAS beside '{other.label}'."
            return
        error = (
            f"KEY-CLASH: '{other.label}' and '{label}' would both become the object '{wish.s3_key}'. "
            "Give one of them another key (target.key or a [[rename]] rule), then: scs sync --all"
        )
        self._errors[wish.id] = error
        if other.id in self._wishes:
            self._errors[other.id] = error
        elif not other.has_moved:
            self.refused[other.id] = error
