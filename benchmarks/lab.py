"""Where a measurement takes place: data sets that are made once, room for what arrives, catalogs of any size."""

from __future__ import annotations

import base64
import math
import os
import random
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from awscrt import checksums  # type: ignore[import-untyped]

from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.model import Blob, BlobsPage, Downloaded
from sync_cloud_storage.names import Placement
from tests.servers import nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from benchmarks.contenders import Home

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs, in a folder of our own
_PIECE = 4 * MIB  # a virtual machine's host takes back only free memory that is whole over more than this
_PAGE = 5_000
_GROUP = 1_000
_AT = "2026-11-23T03:18:30Z"


class Recipe(NamedTuple):
    """What a data set is made of; two rows with the same recipe share it.

    Args:
        kind: "listing" (no bytes), "equal" (blobs of one size), "mix" (log-normal sizes; `size_bytes` is the sum).
        blobs: How many; 0 in a mix: as many as the sum needs.
        containers: Over how many containers they are spread.
        size_bytes: Of one blob.
    """

    kind: str
    blobs: int
    containers: int
    size_bytes: int


class DataSet(NamedTuple):
    """A data set that `nginx.running` can serve."""

    path: Path
    blobs: int
    size_bytes: int
    containers: int

    def sums(self) -> dict[str, str]:
        """CRC64NVME of each blob by `container/name`."""
        known: dict[int, str] = {}  # by inode: in a mix many names stand for one file
        found = {}
        for file in files_below(self.path / "blobs"):
            inode = file.stat().st_ino
            known[inode] = known.get(inode) or crc64nvme([file])
            found[str(file.relative_to(self.path / "blobs"))] = known[inode]
        return found


class Lab:
    """A folder in memory and one on the disk, and the data sets in them. Use it as a context manager: both vanish.

    Args:
        folder: Everything goes there instead, on whatever disk it is.
    """

    def __init__(self, folder: Path | None = None) -> None:
        in_memory = folder or (_MEMORY if _MEMORY.is_dir() else None)
        self._memory = Path(tempfile.mkdtemp(dir=in_memory, prefix="scs-bench-"))
        self._disk = Path(tempfile.mkdtemp(dir=folder, prefix="scs-bench-"))
        self._sets: dict[Recipe, DataSet] = {}
        self._homes: dict[tuple[int, Recipe], Home] = {}
        self._serial = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in (self._memory, self._disk):
            shutil.rmtree(folder, ignore_errors=True)

    def folder(self, need_bytes: int) -> Path:
        """A new folder with room for so many bytes: in memory if they fit there well, else on the disk."""
        self._serial += 1
        place = self._memory if need_bytes * 1.3 < _free_memory(self._memory) else self._disk
        made = place / str(self._serial)
        made.mkdir()
        return made

    def disk_folder(self) -> Path:
        """A new folder on the disk."""
        self._serial += 1
        made = self._disk / str(self._serial)
        made.mkdir()
        return made

    def is_in_memory(self, folder: Path) -> bool:
        """Whether a folder of this lab lies on tmpfs."""
        return folder.is_relative_to(self._memory) and self._memory.is_relative_to(_MEMORY)

    def keep_warm(self, need_bytes: int) -> bool:
        """Make *need_bytes* of free memory that the host cannot take back; False where there is no room for that.

        The host of a virtual machine takes free memory back within a second, and giving it again costs up to three
        times as much as writing to it: whoever came right after a deletion would be favoured. It takes only large
        pieces. So twice as much as is needed is filled, and every other small piece set free.
        """
        ballast = self._memory / "ballast"
        shutil.rmtree(ballast, ignore_errors=True)
        if not self.is_in_memory(ballast) or need_bytes * 2 * 1.3 > _free_memory(self._memory):
            return False
        ballast.mkdir()
        content = bytes(_PIECE)
        pieces = [ballast / str(number) for number in range(2 * math.ceil(need_bytes * 1.1 / _PIECE))]
        for piece in pieces:
            piece.write_bytes(content)
        for piece in pieces[::2]:
            piece.unlink()
        return True

    def data(self, recipe: Recipe) -> DataSet:
        """The data set of that recipe, made when it is first asked for."""
        if recipe not in self._sets:
            blobs = list(_blobs(recipe))
            kind, size = recipe.kind, sum({size: size for _, _, size in blobs}.values())
            need = {"listing": len(blobs) * KIB, "mix": size, "equal": recipe.blobs * max(recipe.size_bytes, 4 * KIB)}
            path = self.folder(need[kind]) / "data"
            total = nginx.make_blobs(path, blobs, with_files=kind != "listing", alike=kind == "mix")
            self._sets[recipe] = DataSet(path, len(blobs), total, recipe.containers)
        return self._sets[recipe]

    def forget_all_but(self, recipes: Collection[Recipe]) -> None:
        """Remove the data sets that nobody will ask for again."""
        for recipe in self._sets.keys() - recipes:
            shutil.rmtree(self._sets.pop(recipe).path.parent)

    def filled(self, rows: int, recipe: Recipe, account: str, new_home: Callable[[], Home]) -> Home:
        """A home whose catalog has that many rows, all downloaded but those of a data set.

        Args:
            rows: In all.
            recipe: Of what is pending.
            account: Where the account is that the catalog must belong to; empty: no matter.
            new_home: Makes a home when there is none of this kind yet; it is kept for the next row.
        """
        key = (rows, recipe)
        home = self._homes.get(key)
        if home is None or account not in {"", home.account}:
            home = new_home()
            home.scs("init")
            home.scs("sync")
            _fill(home.catalog, rows, self.data(recipe).blobs)
            self._homes[key] = home
        return home


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)


def crc64nvme(files: list[Path]) -> str:
    """The checksum of files, one behind the other, as S3 writes it."""
    crc = 0
    for file in files:
        with file.open("rb") as content:
            while piece := content.read(8 * MIB):
                crc = checksums.crc64nvme(piece, crc)
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def make_tree(folder: Path, recipe: Recipe) -> None:
    """The files that a copy of a data set would leave, with their sizes and times, but sparse."""
    made = set()
    for container, name, size in _blobs(recipe):
        path = folder / container / name
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        with path.open("wb") as file:
            file.truncate(size)
        os.utime(path, (nginx.MODIFIED_AT, nginx.MODIFIED_AT))


def _blobs(recipe: Recipe) -> Iterator[tuple[str, str, int]]:
    sizes = _mixed_sizes(recipe.size_bytes) if recipe.kind == "mix" else [recipe.size_bytes] * recipe.blobs
    for number, size in enumerate(sizes):
        # In a listing folders of 1,000 blobs in each container; where blobs are copied, of as few as 100: rclone, which
        # copies folder by folder, is a third slower where 32 transfers at once make files in one folder.
        folder = number // recipe.containers // 1000 if recipe.kind == "listing" else number // 1000
        yield f"asset-{number % recipe.containers:04}", f"films/{folder}/{number:08}.mp4", size


def _mixed_sizes(total: int) -> Iterator[int]:
    """Log-normal around 1 MiB (sigma 2.2: a mean of about 11 MiB), 10 KiB to 2 GiB, in steps of a factor of two."""
    dice = random.Random(2019)
    while total > 0:
        steps = round(math.log2(max(dice.lognormvariate(math.log(MIB), 2.2), 10 * KIB) / (10 * KIB)))
        size = min(10 * KIB << steps, 2 * GIB, max(total, 10 * KIB))
        total -= size
        yield size


def _fill(file: Path, rows: int, real: int) -> None:
    """Put rows behind the real ones, and say of each that it is downloaded."""
    placement = Placement()
    with Catalog.open(file, lambda: datetime.now(UTC)) as catalog:
        for first in range(real, rows, _PAGE):
            container = f"done-{first:09}"
            blobs = [
                Blob(
                    f"5333da2bde123309c900c0784f64b73569bba04-{number:09}_H264_1800kbps.mp4",
                    1_000_000 + number,
                    f"0x8DB{number:012X}",
                    _AT,
                    "rL0Y20zC+Fzt72VPzMSk2A==",
                    '{"content-type":"video/mp4"}',
                    tier="Hot",
                )
                for number in range(first, min(first + _PAGE, rows))
            ]
            placed = zip(blobs, placement.places(container, blobs), strict=True)
            catalog.settle_blobs_page(BlobsPage.of(container, "", "", placed), is_live=False)
        after = real
        while tasks := catalog.pending_downloads(after, _GROUP):
            after = tasks[-1].id
            catalog.settle([Downloaded(t.id, t.etag, "AAAAAAAAAAA=", t.content_md5, t.size_bytes, _AT) for t in tasks])
        totals = catalog.totals()
        if (totals.blobs, totals.pending) != (rows, real):
            raise RuntimeError(f"The catalog has {totals.blobs} rows, {totals.pending} pending; not {rows} and {real}.")


def _free_memory(folder: Path) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(int(line.split()[1]) * KIB, shutil.disk_usage(folder).free)
    return 0
