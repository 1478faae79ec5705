"""One moment of the catalog, for reports and certificates: sums, and every blob by name. Reads only, beside any run.

Rows come one by one: a catalog of any size takes the same memory, but for the sums of its containers, whose 500 largest
are kept.
"""

from __future__ import annotations

import glob
from contextlib import contextmanager
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sync_cloud_storage.balance import Whole, added_up, difference, running_differences
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.catalog.state import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sync_cloud_storage.balance import Balance, BlobRow, UnlistedContainer
    from sync_cloud_storage.model import Problem

LARGEST = 500
DIFFERENCES_SHOWN = 20
_ROWS_BETWEEN_LOOKS = 1024


class Stop(Protocol):
    """Who is asked whether to go on; `signal_name` is "" or why not."""

    signal_name: str

    def is_set(self) -> bool:
        """Whether to stop."""


class Halted(Exception):
    """A person stopped it; `signal_name` is SIGINT or SIGTERM. Nothing was finished, nothing is left behind."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


class Ledger:
    """What the catalog says at one moment. Made by `open_ledger`.

    All methods raise `Halted` when a person stops them, and `EnvironmentFault` as `Catalog` does.

    Attributes:
        signing_key: Where the key lies that certificates of this catalog are signed with.
    """

    def __init__(self, catalog: Catalog, path: Path, at_utc: str, stop: Stop) -> None:
        self._catalog = catalog
        self._book = catalog.book
        self._path = path
        self._at_utc = at_utc
        self._stop = stop
        self._whole: Whole | None = None
        self.signing_key = signing_key_of(path)

    def whole(self) -> Whole:
        """All sums; counts every row, once."""
        if self._whole is None:
            self._whole = self._count()
        return self._whole

    def rows(self) -> Iterator[BlobRow]:
        """Every blob, by container and name as their UTF-8 bytes sort."""
        return self._watched(self._book.rows())

    def exceptions(self) -> Iterator[BlobRow]:
        """Those that are not proven, or that a check found wrong since, in the same order."""
        return self._watched(self._book.rows(exceptions=True))

    def find(self, container: str, blob: str) -> BlobRow | None:
        """One blob, None where there is none of that name."""
        return self._book.row(container, blob)

    def unlisted(self) -> Iterator[UnlistedContainer]:
        """Containers whose blobs the catalog does not know, or not to the end."""
        return self._book.unlisted()

    def kept_files(self) -> tuple[Path, ...]:
        """Files that no report may be written over: the catalog, what belongs to it, backups, settings and the key."""
        real = self._path.resolve()
        own = (
            *real.parent.glob(f"{glob.escape(real.name)}*"),
            *(real.with_name(name) for name in (".env", "scs.toml")),
        )
        return (*own, self.signing_key)

    def _count(self) -> Whole:
        kept = _Kept()
        whole = added_up("", kept.noting(self._counted()))
        differences = [*kept.differences, *running_differences(self._book.running(), whole)]
        return Whole(
            str(self._path),
            self._at_utc,
            *self._catalog.identity(),
            *self._book.times(),
            self._book.containers(),
            self._book.container_codes(),
            whole,
            kept.largest(),
            tuple(differences[:DIFFERENCES_SHOWN]),
            kept.difference_count + len(differences) - len(kept.differences),
        )

    def _counted(self) -> Iterator[Balance]:
        for balance in self._book.balances():
            self._look()
            yield balance

    def _watched(self, rows: Iterator[BlobRow]) -> Iterator[BlobRow]:
        for number, row in enumerate(rows):
            if not number % _ROWS_BETWEEN_LOOKS:
                self._look()
            yield row

    def _look(self) -> None:
        if self._stop.is_set():
            raise Halted(self._stop.signal_name)


@contextmanager
def open_ledger(path: Path, now: Callable[[], datetime], stop: Stop) -> Iterator[Ledger]:
    """Open the catalog *path* to read what it says at this moment, which *now* tells; whoever writes it goes on.

    Raises:
        EnvironmentFault: As `Catalog.read`.
    """
    with Catalog.read(path) as catalog, catalog.snapshot():
        yield Ledger(catalog, path, utc_text(now()), stop)


def signing_key_of(catalog: Path) -> Path:
    """Where the key lies that certificates of this catalog are signed with."""
    beside = catalog.resolve() if catalog.is_symlink() else catalog  # as all else that lies beside it
    return beside.with_name("scs-signing.pem")


class _Ranked(NamedTuple):
    """A container in the order of its size; names decide between equals, the first ones stay."""

    bytes: int
    place: int
    balance: Balance


class _Kept:
    """What is kept of containers that pass by: the largest, and those that do not add up."""

    def __init__(self) -> None:
        self.differences: list[Problem] = []
        self.difference_count = 0
        self._largest: list[_Ranked] = []

    def noting(self, balances: Iterator[Balance]) -> Iterator[Balance]:
        """Let them pass."""
        for number, balance in enumerate(balances):
            ranked = _Ranked(balance.sum_of().bytes, -number, balance)
            if len(self._largest) < LARGEST:
                heappush(self._largest, ranked)
            else:
                heappushpop(self._largest, ranked)
            if (problem := difference(balance)) is not None:
                self.difference_count += 1
                if len(self.differences) < DIFFERENCES_SHOWN:
                    self.differences.append(problem)
            yield balance

    def largest(self) -> tuple[Balance, ...]:
        """The largest first."""
        return tuple(ranked.balance for ranked in sorted(self._largest, reverse=True))
