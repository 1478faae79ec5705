"""The catalog's verbs about manifests on the NAS, and about its own rebuild. A part of `Catalog`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.catalog import recalling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync_cloud_storage.catalog.database import Database
    from sync_cloud_storage.model import Entry


class ManifestVerbs:
    """See `Catalog`: each is one transaction."""

    _database: Database

    def _at(self) -> str:
        raise NotImplementedError

    def entries(self, after_id: int, limit: int) -> tuple[list[Entry], int]:
        """What a manifest says of the files on the NAS, from *after_id* on; and the last id, 0 at the end."""
        return recalling.entries(self._database, after_id, limit)

    def has_told_all(self) -> bool:
        """Whether all that was downloaded stands in a manifest."""
        return recalling.is_complete(self._database)

    def told_all(self, *, complete: bool) -> None:
        """Write down whether it does."""
        with self._database.atomic():
            recalling.set_complete(self._database, complete=complete)

    def recall(self, entries: Iterable[Entry], elsewhere: dict[int, str]) -> int:
        """Mark rows that are to be fetched with what manifests say of them; how many were known in that version.

        *elsewhere* gathers, by id, where files are that are not where their rows would have them, for `move`.
        """
        with self._database.atomic():
            return recalling.recall(self._database, entries, elsewhere, self._at())

    def move(self, elsewhere: dict[int, str]) -> int:
        """Give rows that are to be fetched the places where their files are; how many got them."""
        with self._database.atomic():
            return recalling.move(self._database, elsewhere)

    def earlier(self, ids: Iterable[int]) -> dict[int, set[str]]:
        """Checksums of earlier versions of these rows that were copied, by id."""
        return recalling.earlier(self._database, ids)

    def phase(self) -> str:
        """How far a rebuild of this catalog is; "": none goes on."""
        return recalling.phase(self._database)

    def set_phase(self, word: str) -> None:
        """Write down how far it is; "" ends it."""
        with self._database.atomic():
            recalling.set_phase(self._database, word)

    def is_untouched(self) -> bool:
        """Whether nothing was copied with it yet."""
        return recalling.is_untouched(self._database)
