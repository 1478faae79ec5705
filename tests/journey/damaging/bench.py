"""The product's own deciding code on a bench: doors, verbs and a NAS in memory, between two clouds without sockets."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from unittest import mock

from sync_cloud_storage import download, upload
from sync_cloud_storage.azure import Azure, AzureAccess
from sync_cloud_storage.company import Alone
from sync_cloud_storage.download import Downloader
from sync_cloud_storage.errors import ScsError
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.model import Downloaded, Uploaded
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.s3 import S3, Profile, S3Access
from sync_cloud_storage.upload import Uploader
from sync_cloud_storage.verify import Checker
from tests.journey.damaging.ends import AZURE_URL, BUCKET, S3_URL, Source, Target
from tests.unit.catalogs import blob, listed, made
from tests.unit.deliveries import inventory, seen
from tests.unit.doors import SHORT, crc, md5, now
from tests.unit.small_nas import ID, ready
from tests.unit.telling import Teller

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from sync_cloud_storage.catalog import Catalog
    from sync_cloud_storage.http.messages import Request, Response, Story

    End = Callable[[Request], Response]

COMPANY = 16  # damages in one batch; one thing more is left as it is, and must go well
SIZES = (60, 5_000)  # bytes: no whole blob is so short that two of its ranges could be equal
RANGE_BYTES = 512
SMALL_BYTES = 40  # where the ways for larger blobs are to be tried with small ones
LISTED = 2 * (COMPANY + 1)


class Thing(NamedTuple):
    """A blob of a batch: its name is its place on the NAS and its key, too. `other` has the same length."""

    id: int
    name: str
    data: bytes
    other: bytes
    etag: str

    @property
    def is_control(self) -> bool:
        """Whether it is left as it is."""
        return self.id == COMPANY + 1


class Bench:
    """All that one process needs for a batch after the other, in *memory*, a folder. A context manager."""

    def __init__(self, memory: Path) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        root = ready(self.folder / "nas")
        (root / "c").mkdir()
        self.nas = self._stack.enter_context(Nas.open(root, ID))
        self.source, self.target = Source(), Target()
        azure = Azure(AzureAccess(AZURE_URL), Line(), SHORT, lambda: 0.0)
        self.s3 = S3(Profile(S3_URL, BUCKET, "eu-central-1"), S3Access("key", "secret"), Line(), SHORT)
        self.downloader = Downloader(azure, self.nas, range_bytes=RANGE_BYTES, now=now)
        self.uploader = self._uploader(1 << 40)
        self.uploader_in_parts = self._uploader(SMALL_BYTES)
        self.checker = Checker(self.nas, self.s3, lambda _: None)
        rows = [b"%10d" % number for number in range(LISTED)]
        self.md5s = [md5(data) for data in rows]
        self.etags = [hashlib.md5(data, usedforsecurity=False).hexdigest() for data in rows]
        self.checksums = [crc(data) for data in rows]
        self.catalog = self._catalog()
        self.manifest = self._inventory()
        self.data_file = next((self.folder / "in" / "data").iterdir())
        self.delivered = self.data_file.read_bytes()

    def _uploader(self, multipart_from_bytes: int) -> Uploader:
        return Uploader(
            self.nas,
            self.s3,
            multipart_from_bytes=multipart_from_bytes,
            part_bytes=0,
            now=now,
            give=lambda _: None,
        )

    def _catalog(self) -> Catalog:
        """`LISTED` rows, all in S3; the first of them have an MD5, the last of them are proven."""
        catalog = self._stack.enter_context(made(self.folder))
        listed(catalog, *(blob(f"b{number}", content_md5=self.md5s[number]) for number in range(LISTED)))
        catalog.settle(
            [
                Downloaded(
                    number + 1, "v1", self.checksums[number], self.md5s[number] if number < COMPANY + 1 else "", 10, ""
                )
                for number in range(LISTED)
            ]
        )
        catalog.settle([Uploaded(number + 1, "v1", f"e{number}", "", "", 10, "") for number in range(LISTED)])
        return catalog

    def _inventory(self) -> Path:
        rows = [seen(f"c/b{number}", 10, etag) for number, etag in enumerate(self.etags)]
        return inventory(self.folder / "in", BUCKET, rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------------------------------------------- a batch

    def things(self, dice: random.Random, sizes: tuple[int, int] = SIZES) -> list[Thing]:
        """Blobs for a batch, two and two of the same length, the last one for control; nothing else stays."""
        self.source, self.target = Source(), Target()
        found = []
        for row_id in range(1, COMPANY + 2, 2):
            size = dice.randint(*sizes)
            pair = dice.randbytes(size), dice.randbytes(size)
            for number, data in enumerate(pair, row_id):
                found.append(Thing(number, f"c/{number}", data, pair[number == row_id], f"0x{dice.getrandbits(60):X}"))
        for thing in found[: COMPANY + 1]:
            self.file(thing).unlink(missing_ok=True)
        return found[: COMPANY + 1]

    def file(self, thing: Thing) -> Path:
        """Where its file is."""
        return self.nas.root / thing.name

    def bytes_of(self, thing: Thing) -> bytes | None:
        """What is at its place on the NAS."""
        try:
            return self.file(thing).read_bytes()
        except FileNotFoundError:
            return None

    def told(self, story: Story[Any], end: End) -> Any:
        """Tell a story; an error that the run would hear of counts as what came of it."""
        try:
            return Teller(end).tell(story)
        except ScsError as error:
            return error

    def together(self, verb: Any, tasks: Sequence[Any], end: End) -> list[Any]:
        """As a worker does it: in company, and what does not go well there goes on alone."""
        alone = {Downloader: "download", Uploader: "upload", Checker: "check"}[type(verb)]
        outcomes = Teller(end).tell(verb.in_company(tasks))
        return [
            self.told(getattr(verb, alone)(task, outcome.answer), end) if isinstance(outcome, Alone) else outcome
            for task, outcome in zip(tasks, outcomes, strict=True)
        ]


@contextmanager
def larger_ways() -> Iterator[None]:
    """Blobs of a few bytes go the ways of those that are too large for one answer, or for one request."""
    with mock.patch.object(download, "SMALL_BYTES", SMALL_BYTES), mock.patch.object(upload, "SMALL_BYTES", SMALL_BYTES):
        yield
