"""Damage to what lies there, and to what is said about it: files, objects, listings and reports."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.model import Check, Checked, Files, ObjectsPage
from sync_cloud_storage.s3.batch import Reports
from sync_cloud_storage.s3.inventory import objects_in, open_inventory
from tests.journey.damaging import kinds
from tests.journey.damaging.bench import COMPANY, LISTED
from tests.journey.damaging.ends import BUCKET, FOR_EVER, Wrong
from tests.journey.damaging.moving import SUM, other_body, outcomes
from tests.unit.deliveries import computed, lines
from tests.unit.doors import crc
from tests.unit.telling import Teller, response

if TYPE_CHECKING:
    import random

    from sync_cloud_storage.http.messages import Request, Response
    from tests.journey.damaging.bench import Bench, Thing
    from tests.journey.damaging.ends import Answer
    from tests.journey.damaging.kinds import Outcome

WITH_MD5 = COMPANY + 1  # rows of the catalog that a listing may prove; those behind them were proven before


def files_read(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A file on the NAS is other than it was downloaded; `--deep` reads it."""
    chosen, missed = [], []
    for thing in bench.things(dice):
        kind = "" if thing.is_control else dice.choice(kinds.OF_BYTES)
        bench.file(thing).write_bytes(kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind else thing.data)
        found = bench.told(bench.checker.check(_file(thing, deep=True)), bench.target)
        chosen.append(kind)
        missed.append(_missed_file(found, kind))
    return outcomes("file, read", chosen, missed)


def files_measured(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A file on the NAS has another length; it is looked at in company, or with thousands of others."""
    things, chosen = bench.things(dice), []
    for thing in things:
        kind = "" if thing.is_control else dice.choice(kinds.OTHER_LENGTH)
        bench.file(thing).write_bytes(kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind else thing.data)
        chosen.append(kind)
    if dice.random() < 0.5:
        found = bench.together(bench.checker, [_file(thing) for thing in things], bench.target)
    else:
        rows = [(thing.id, thing.name, len(thing.data)) for thing in things]
        seen = bench.told(bench.checker.files(Files.of(rows)), bench.target)
        wrong = {one.id: one for one in seen.wrong}
        found = [wrong.get(thing.id, Checked(thing.id, "", None)) for thing in things]
    return outcomes("file, its length", chosen, [_missed_file(*each) for each in zip(found, chosen, strict=True)])


def _file(thing: Thing, *, deep: bool = False) -> Check:
    return Check(thing.id, "c", thing.name, len(thing.data), crc(thing.data), thing.name, "", deep=deep)


def _missed_file(found: Any, kind: str) -> str:
    if not isinstance(found, Checked) or bool(kind) != bool(found.nas or found.trouble):
        return f"{found}"
    return ""


def objects_asked(bench: Bench, dice: random.Random) -> list[Outcome]:
    """An object is another than was uploaded, or the answer about it is damaged; S3 is asked for its head."""
    things, chosen, tasks = bench.things(dice), [], []
    for thing in things:
        kind = "" if thing.is_control else dice.choice((*kinds.OF_BYTES, kinds.CHECKSUM, kinds.LENGTH))
        is_word = kind in {"", kinds.CHECKSUM, kinds.LENGTH}
        wrong = thing.data if is_word else kinds.wrong_bytes(kind, thing.data, thing.other, dice)
        bench.target.objects[thing.name] = wrong
        if kind and is_word:
            header = SUM if kind == kinds.CHECKSUM else "content-length"
            bench.target.leaving[thing.name] = _wrong_word(header, dice)
        chosen.append(kind)
        tasks.append(_object(thing))
    found = bench.together(bench.checker, tasks, bench.target)
    return outcomes("object, asked for", chosen, [_missed_object(*each) for each in zip(found, chosen, strict=True)])


def _wrong_word(header: str, dice: random.Random) -> Wrong:
    def change(headers: dict[str, str], body: bytes) -> Answer:
        return headers | {header: kinds.wrong_text(headers[header], dice)}, body

    return Wrong(change, 0, FOR_EVER)


def objects_read(bench: Bench, dice: random.Random) -> list[Outcome]:
    """The endpoint names no checksum, so `--deep` reads the object: it is damaged, or its bytes are on their way."""
    chosen, missed, things = [], [], bench.things(dice)
    bench.target.names = False
    for thing in things:
        kind = "" if thing.is_control else dice.choice(kinds.OF_BYTES)
        wrong = kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind else thing.data
        if dice.random() < 0.5:
            bench.target.objects[thing.name] = wrong
        else:
            bench.target.objects[thing.name] = thing.data
            bench.target.leaving[thing.name] = Wrong(partial(other_body, wrong), 0, FOR_EVER)
        found = bench.told(bench.checker.check(_object(thing)._replace(deep=True)), bench.target)
        chosen.append(kind)
        missed.append(_missed_object(found, kind))
    return outcomes("object, read", chosen, missed)


def _object(thing: Thing) -> Check:
    return Check(thing.id, "c", thing.name, len(thing.data), crc(thing.data), "", thing.name)


def _missed_object(found: Any, kind: str) -> str:
    if not isinstance(found, Checked) or found.proven == bool(kind) or bool(found.s3 or found.trouble) != bool(kind):
        return f"{found}"
    return ""


# --------------------------------------------------------------------------------------------- what is said of objects


def listing(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A page of the listing shows other objects than those that are known by their MD5, or were proven before."""
    _as_it_was(bench)
    first = dice.choice((0, WITH_MD5))
    chosen, rows = [], []
    for number in range(first, first + COMPANY + 1):
        key, size, etag = f"c/b{number}", "10", _etag(bench, number)
        kind = "" if number == first + COMPANY else dice.choice((kinds.ETAG, kinds.LENGTH, kinds.KEY))
        if kind == kinds.ETAG:
            etag = kinds.wrong_text(etag, dice)
        elif kind == kinds.LENGTH:
            size = kinds.wrong_text(size, dice, digits=True)
        elif kind == kinds.KEY:
            key = kinds.wrong_text(key, dice)
        chosen.append(kind)
        rows.append(f"<Contents><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>")
    _show(bench, rows)
    bench.catalog.prove_by_etag(0)
    believed = {row_id - 1 for row_id, *_ in bench.catalog.files(0, LISTED)}  # of the others the object is asked for
    missed = [
        f"row {number} is proven: {number in believed}" if (number in believed) == bool(kind) else ""
        for number, kind in enumerate(chosen, first)
    ]
    return outcomes("listing of the bucket", chosen, missed)


def _as_it_was(bench: Bench) -> None:
    """The rows behind those with an MD5 are proven, by objects with these ETags; the others are not."""
    bench.catalog.settle(
        [
            Checked(number + 1, None, "", number >= WITH_MD5, "", _etag(bench, number) if number >= WITH_MD5 else "")
            for number in range(LISTED)
        ]
    )


def _etag(bench: Bench, number: int) -> str:
    """The ETag of an object: the MD5 of the blob, where it has one."""
    return bench.etags[number] if number < WITH_MD5 else f"e{number:030x}-2"


def _show(bench: Bench, rows: list[str]) -> None:
    bench.catalog.begin_objects()
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>".encode()
    shown, _ = Teller([response(body=page)]).tell(bench.s3.objects(""))
    bench.catalog.settle_objects(ObjectsPage.of(shown))


def report(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A line of a report of S3 Batch Operations is damaged: its ETag, its key, its checksum, or that is another's."""
    _as_it_was(bench)
    bench.catalog.begin_objects()
    bench.catalog.add_objects([(f"c/b{number}", 10, f"etag{number:028}") for number in range(WITH_MD5)])
    chosen, rows = [], []
    for number in range(WITH_MD5):
        key, etag, checksum = f"c/b{number}", f"etag{number:028}", bench.checksums[number]
        kind = "" if number == WITH_MD5 - 1 else dice.choice((kinds.CHECKSUM, kinds.ETAG, kinds.KEY, kinds.SWAPPED))
        if kind == kinds.CHECKSUM:
            checksum = kinds.wrong_text(checksum, dice)
        elif kind == kinds.ETAG:
            etag = kinds.wrong_text(etag, dice)
        elif kind == kinds.KEY:
            key = kinds.wrong_text(key, dice)
        elif kind == kinds.SWAPPED:
            checksum = bench.checksums[number ^ 1]
        chosen.append(kind)
        rows.append(computed(key, etag, checksum))
    file = bench.folder / "report.csv"
    file.write_text(lines(rows))
    for told in Reports([file], BUCKET).told():
        bench.catalog.tell_objects(told)
    tasks = [task._replace(nas_path="") for task in bench.catalog.everything(0, WITH_MD5)]

    def asked(_: Request) -> Response:
        return response(headers={"etag": '"x"', "content-length": "10"})  # the head of an object that tells nothing

    found = bench.together(bench.checker, tasks, asked)
    missed = [f"{one}" if one.proven == bool(kind) else "" for one, kind in zip(found, chosen, strict=True)]
    return outcomes("report of S3", chosen, missed)


def inventory(bench: Bench, dice: random.Random) -> list[Outcome]:
    """The data file of an inventory was damaged on its way to this machine."""
    chosen, missed = [], []
    for number in range(COMPANY + 1):
        kind = "" if number == COMPANY else dice.choice((kinds.FLIP, kinds.RANGES, *kinds.OTHER_LENGTH))
        right = bench.delivered
        bench.data_file.write_bytes(kinds.wrong_bytes(kind, right, right, dice) if kind else right)
        try:
            shown = [one for some in objects_in(open_inventory(bench.manifest, BUCKET)) for one in some]
        except UsageFault:
            shown = []
        chosen.append(kind)
        missed.append(f"{len(shown)} objects were read" if bool(shown) == bool(kind) else "")
    return outcomes("inventory", chosen, missed)
