"""Rounds of damage over real HTTP: the installed command between the strict cloud and a NAS; sqlite3 looks at the rows.

In each round everything is damaged on its way to the NAS, then on its way to S3, then where it lies, twice. After each
step no row may say more than is so; at the end of a round all is mended, and proven.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.journey.damaging import kinds
from tests.journey.damaging.kinds import Outcome, Unsound
from tests.journey.damaging.wire import Chosen, Spoiled, SpoiledListing, SpoiledUpload
from tests.journey.desk import Desk
from tests.servers.strict import NO_SUM, Cut, Fault, Given, StrictCloud
from tests.unit.doors import MIB, crc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.journey.damaging.wire import Change
    from tests.servers.strict.faults import Action

BUCKET = "damaged"
PREFIX = "http-"  # of the name of a round
BLOBS_MOST = 400  # in one round
BLOBS_LEAST = 30
DAMAGES_A_BLOB = 3  # at least
SIZES = (60, 5_000)  # bytes
LARGER = (600_000, 2 * MIB + 300_000, 6 * MIB)  # streamed, in ranges of 1 MiB, and in parts of 5 MiB
WITH_RANGES = 2 * MIB
TOML = '[transfer]\nrange_size = "1M"\nmultipart_from = "5M"\npart_size = "5M"\nattest = "missing"\n'
CRC64, SUM = "x-ms-content-crc64", "x-amz-checksum-crc64nvme"


class Row(NamedTuple):
    """What the catalog says of a blob."""

    level: int
    state: str
    nas_check: str
    s3_check: str
    s3_checksum: str


def rounds(count: int, seed: int, folder: Path) -> Iterator[tuple[str, list[Outcome]]]:
    """Do at least *count* damages; the name of each round, and what came of it."""
    number = 0
    while count > 0:
        blobs = min(BLOBS_MOST, max(BLOBS_LEAST, -(-count // DAMAGES_A_BLOB)))
        name = f"{PREFIX}{number}-{blobs}"
        done = one_round(name, seed, folder)
        yield name, done
        count -= len(done)
        number += 1


def one_round(name: str, seed: int, folder: Path) -> list[Outcome]:
    """Do the round of this name, which says how many blobs it has.

    Raises:
        Unsound: Something came of it that the product never says.
    """
    blobs = int(name.rpartition("-")[2])
    try:
        with StrictCloud() as cloud:
            return Round(cloud, folder / name, random.Random(f"{seed}/{name}"), blobs).go()
    except Exception as error:
        raise Unsound(f"--seed {seed} --only {name}: {error}") from error


class Round:
    """One account, one bucket, one NAS, one catalog."""

    def __init__(self, cloud: StrictCloud, folder: Path, dice: random.Random, blobs: int) -> None:
        self.cloud = cloud
        self.dice = dice
        self.desk = Desk(folder, cloud.azure_at, cloud.s3_at, BUCKET)
        self.desk.settings(TOML)
        self.desk.env["SCS_WORKERS"] = "1"  # enough, and starts sooner
        self.objects = cloud.s3.make_bucket(BUCKET).objects
        self.truth: dict[str, bytes] = {}  # by `container/blob`, which is also the path on the NAS, and the key
        self.with_md5: set[str] = set()
        sizes = [*LARGER, *(dice.randint(*SIZES) for _ in range(blobs - len(LARGER)))]
        for number, size in enumerate(sizes):
            name = f"c/{number % 7}/{number:04}"
            self.truth[name] = dice.randbytes(size)
            has_md5 = dice.random() < 0.5
            cloud.azure.put("c", name[2:], self.truth[name], md5="right" if has_md5 else "")
            self.with_md5 |= {name} if has_md5 else set()

    def go(self) -> list[Outcome]:
        """All steps."""
        self.desk.scs("init")
        self.desk.scs("sync")
        found = self.on_the_way_to_the_nas()
        found += self.on_the_way_to_s3()
        found += self.where_it_lies()
        self.mended()
        found += self.behind_a_proof()
        self.mended()
        return found

    # ------------------------------------------------------------------------------------------------ the steps

    def on_the_way_to_the_nas(self) -> list[Outcome]:
        """Every blob's first answer is damaged."""
        plan = {}
        for name in self.truth:
            words = (kinds.ETAG,) if name in self.with_md5 else (kinds.ETAG, kinds.CHECKSUM, kinds.RANGE)
            plan[name] = self.dice.choice((*kinds.OF_BYTES, *words))
        actions: dict[str, Action] = {name: Spoiled(self._answer(kind)) for name, kind in plan.items()}
        for name in self.dice.sample(sorted(plan), len(plan) // 2):
            if plan[name] == kinds.SHORTER:  # the connection ends, and the length was right
                actions[name] = Cut(self.dice.randrange(SIZES[0]))
        chosen = Chosen(actions)
        self.scs("download", faults=[Fault(chosen, operation="GetBlob", times=0)])
        _all_hit(chosen.hit, plan)
        rows, files, reads = self.rows(), self.desk.files(), self._asked("GetBlob")
        found = []
        for name, kind in plan.items():
            missed = self._untrue(rows[name], files.get(name), name)
            least = -(-len(self.truth[name]) // MIB) if len(self.truth[name]) > WITH_RANGES else 1
            if rows[name].level >= 2 and reads[name] <= least:
                missed = missed or "what was damaged was believed"
            found.append(Outcome("http: body", kind, missed))
        return found

    def on_the_way_to_s3(self) -> list[Outcome]:
        """Files are damaged before they are read, bodies while they are sent, and checksums in S3's answers."""
        files, bodies, answers = self._shared_out(self.truth, 3)
        plan = {name: self._spoil_file(name, self.dice.choice(kinds.OF_BYTES)) for name in files}
        sent = {name: self.dice.choice(kinds.SAME_LENGTH) for name in bodies}
        on_way = Chosen({name: SpoiledUpload(self._bytes(kind)) for name, kind in sent.items()})
        small = [name for name in answers if len(self.truth[name]) < 5 * MIB]
        words = Chosen({name: Spoiled(self._answer(kinds.CHECKSUM)) for name in small})
        faults = [Fault(on_way, operation=verb, times=0) for verb in ("PutObject", "UploadPart")]
        self.scs("run", faults=[*faults, Fault(words, operation="PutObject", times=0)], codes=(0, 1))
        _all_hit(on_way.hit | words.hit, [*sent, *small])
        rows, there = self.rows(), self.desk.files()
        found = []
        for name, row in sorted(rows.items()):
            missed = self._untrue(row, there.get(name), name)
            if name in plan:
                found.append(Outcome("http: file before upload", plan[name], missed))
            elif name in on_way.hit:
                found.append(Outcome("http: object on its way", sent[name], missed))
            elif name in words.hit:
                found.append(Outcome("http: answer to an upload", kinds.CHECKSUM, missed))
            elif missed:
                raise Unsound(f"{name}: nothing was damaged, and {missed}")
        self.scs("run", "--retry-failed")
        return found

    def where_it_lies(self) -> list[Outcome]:
        """The first check, and one that reads: nothing was proven before."""
        files, objects, others = self._shared_out(self.truth, 3)
        plan = {name: self._spoil_file(name, self.dice.choice(kinds.OF_BYTES)) for name in files}
        replaced = {name: self._spoil_object(name, self.dice.choice(kinds.OF_BYTES)) for name in objects}
        listed = [name for name in others if name in self.with_md5]
        listing = SpoiledListing({name: kinds.wrong_text(self.objects[name].etag, self.dice) for name in listed})
        heads, bodies = self._shared_out(set(others) - self.with_md5, 2)
        read = {name: self.dice.choice(kinds.OF_BYTES) for name in bodies}
        words = Chosen({name: Spoiled(self._answer(kinds.CHECKSUM)) for name in heads}, always=True)
        silent = Chosen(dict.fromkeys(bodies, NO_SUM), always=True)
        reading = Chosen({name: Spoiled(self._answer(kind)) for name, kind in read.items()}, always=True)
        self.cloud.log.clear()
        by_head = [Fault(words, operation="HeadObject", times=0), Fault(silent, operation="HeadObject", times=0)]
        by_get = [Fault(reading, operation="GetObject", times=0), Fault(listing, operation="ListObjectsV2", times=0)]
        self.scs("xcheck", "--deep", faults=[*by_head, *by_get], codes=(5,))
        _all_hit(words.hit | reading.hit | listing.hit, others)
        rows, asked = self.rows(), self._asked("HeadObject")
        found = self._found_there(rows, plan, replaced)
        for name in heads:
            found.append(Outcome("http: head of an object", kinds.CHECKSUM, _unless(rows[name].level < 4, rows[name])))
        for name in bodies:
            found.append(Outcome("http: object, read", read[name], _unless(rows[name].level < 4, rows[name])))
        return found + [self._listed(name, asked) for name in listed]

    def behind_a_proof(self) -> list[Outcome]:
        """A later check, which asks only for what a listing does not show as it was when it was proven."""
        files, objects, others = self._shared_out(self.truth, 3)
        plan = {name: self._spoil_file(name, self.dice.choice(kinds.OTHER_LENGTH)) for name in files}
        replaced = {name: self._spoil_object(name, self.dice.choice(kinds.OF_BYTES)) for name in objects}
        listing = SpoiledListing({name: kinds.wrong_text(self.objects[name].etag, self.dice) for name in others})
        self.cloud.log.clear()
        self.scs("xcheck", faults=[Fault(listing, operation="ListObjectsV2", times=0)], codes=(5,))
        _all_hit(listing.hit, others)
        rows, asked = self.rows(), self._asked("HeadObject")
        found = self._found_there(rows, plan, replaced)
        return found + [self._listed(name, asked) for name in others]

    def mended(self) -> None:
        """What a check found is brought again, and then all of it is proven."""
        self.scs("run", "--retry-failed", "--overwrite")
        self.scs("xcheck", "--deep")
        files = self.desk.files()
        for name, row in self.rows().items():
            if (row.level, files[name], self.objects[name].data) != (4, self.truth[name], self.truth[name]):
                raise Unsound(f"{name}: it was mended, and is {row}")

    # ------------------------------------------------------------------------------------------------ the oracle

    def rows(self) -> dict[str, Row]:
        """What the catalog says, as a person sees it with sqlite3."""
        asked = "coalesce(nas_check, ''), coalesce(s3_check, ''), coalesce(s3_checksum, '')"
        found = self.desk.select(f"SELECT container || '/' || blob, level, state, {asked} FROM blobs")  # noqa: S608
        return {name: Row(*row) for name, *row in found}

    def _untrue(self, row: Row, file: bytes | None, name: str) -> str:
        """Why a row says more than is so; "" if it does not."""
        if row.level >= 2 and file != self.truth[name]:
            return f"{row}, and the file has other bytes"
        if row.state == "uploaded" and (
            self.objects[name].data != self.truth[name] or row.s3_checksum not in {"", crc(self.truth[name])}
        ):
            return f"{row}, and the object has other bytes, or another checksum"
        return ""

    def _found_there(self, rows: dict[str, Row], files: dict[str, str], objects: dict[str, str]) -> list[Outcome]:
        found = []
        for name, kind in files.items():
            row = rows[name]
            found.append(Outcome("http: file", kind, _unless(row.nas_check != "" and row.level not in {2, 3}, row)))
        for name, kind in objects.items():
            row = rows[name]
            found.append(Outcome("http: object", kind, _unless(row.s3_check != "" and row.level < 4, row)))
        return found

    def _listed(self, name: str, asked: Counter[str]) -> Outcome:
        """An object that is listed under another ETag is one that has to be asked for."""
        missed = "" if asked[name] else "what a listing shows was taken for the object that is known"
        return Outcome("http: listing of the bucket", kinds.ETAG, missed)

    # ------------------------------------------------------------------------------------------------ damage

    def _answer(self, kind: str) -> Change:
        """What happens to an answer about a blob or an object."""
        dice = self._own_dice()

        def change(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
            if kind == kinds.ETAG:
                return headers | {"ETag": f'"{kinds.wrong_text(headers["ETag"][1:-1], dice)}"'}, body
            if kind == kinds.RANGE:
                span = headers["Content-Range"].removeprefix("bytes ")
                return headers | {"Content-Range": f"bytes {kinds.wrong_text(span, dice)}"}, body
            if kind == kinds.CHECKSUM:
                header = CRC64 if CRC64 in headers else SUM
                return headers | {header: kinds.wrong_text(headers[header], dice)}, body
            return headers, kinds.wrong_bytes(kind, body, dice.randbytes(len(body)), dice)

        return change

    def _bytes(self, kind: str) -> Callable[[bytes], bytes]:
        """What happens to bytes that are sent."""
        dice = self._own_dice()
        return lambda data: kinds.wrong_bytes(kind, data, dice.randbytes(len(data)), dice)

    def _own_dice(self) -> random.Random:
        """For what happens in the cloud's threads: in which order they get to it must not matter."""
        return random.Random(self.dice.getrandbits(64))

    def _spoil_file(self, name: str, kind: str) -> str:
        (self.desk.nas / name).write_bytes(self._bytes(kind)(self.truth[name]))
        return kind

    def _spoil_object(self, name: str, kind: str) -> str:
        """Somebody else writes into the bucket."""
        there, wrong = self.objects[name], self._bytes(kind)(self.truth[name])
        there.content, there.size = Given(wrong), len(wrong)
        there.etag = hashlib.md5(wrong, usedforsecurity=False).hexdigest()
        there.crc64nvme = crc(wrong)
        there.checksum = ("crc64nvme", there.crc64nvme, "FULL_OBJECT")
        return kind

    # ------------------------------------------------------------------------------------------------ helpers

    def scs(self, *words: str, faults: Iterable[Fault] = (), codes: tuple[int, ...] = (0,)) -> None:
        """Run the command with these faults."""
        self.cloud.faults[:] = faults
        with self.desk.start(*words) as going:
            done = going.end(300.0)
        self.cloud.faults.clear()
        if done.code not in codes:
            raise Unsound(f"scs {' '.join(words)} ended with {done.code}, not with {codes}:\n{done.said}")

    def _asked(self, operation: str) -> Counter[str]:
        """How often each blob or object was asked for."""
        return Counter(one.path.split("/", 2)[-1] for one in self.cloud.asked(operation))

    def _shared_out(self, names: Iterable[str], shares: int) -> list[list[str]]:
        shuffled = sorted(names)
        self.dice.shuffle(shuffled)
        return [shuffled[share::shares] for share in range(shares)]


def _unless(is_found: bool, row: Row) -> str:  # noqa: FBT001 - a condition
    return "" if is_found else f"the row says {row}"


def _all_hit(hit: set[str], wanted: Iterable[str]) -> None:
    if left := set(wanted) - hit:
        raise Unsound(f"no damage was done to {sorted(left)[:10]}")
