"""Damage to what moves: bytes and words on their way from Azure to the NAS, and from there to S3."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sync_cloud_storage.checksum import crc64nvme, crc_to_azure
from sync_cloud_storage.errors import ScsError
from sync_cloud_storage.model import Download, Downloaded, Failed, Gone, Rotten, Seen, Upload, Uploaded
from tests.journey.damaging import kinds
from tests.journey.damaging.bench import RANGE_BYTES, SIZES, larger_ways
from tests.journey.damaging.ends import FOR_EVER, Kept, Wrong
from tests.journey.damaging.kinds import Outcome, Unsound
from tests.unit.doors import crc, md5

if TYPE_CHECKING:
    import random

    from tests.journey.damaging.bench import Bench, Thing
    from tests.journey.damaging.ends import Answer

FOR_EVER_SHARE = 0.25  # of the damages come again with every answer; the others once
_OF_RANGES = (kinds.CHECKSUM, kinds.RANGE, kinds.ETAG)
STREAMED = (SIZES[0], 2 * RANGE_BYTES)  # bytes of a blob that comes in one answer, and of one that does not
IN_RANGES = (2 * RANGE_BYTES + 1, SIZES[1])
CRC64, SUM = "x-ms-content-crc64", "x-amz-checksum-crc64nvme"
_REFUSED = (Failed, Seen, Gone, Rotten, ScsError)


class Way(NamedTuple):
    """A way from Azure to the NAS, and what can be damaged on it that the product promises to find."""

    place: str
    kinds: tuple[str, ...]
    md5: bool = False
    attest: bool = False
    company: bool = False
    larger: bool = False
    sizes: tuple[int, int] = SIZES  # bytes

    @property
    def ranges(self) -> bool:
        """Whether it is the way of blobs that come in ranges."""
        return self.sizes == IN_RANGES


# Without a checksum of the source nobody can know that one bit is wrong: then only length and version are promised.
WAYS = (
    Way("body, in company", (*kinds.OF_BYTES, kinds.MD5, kinds.ETAG), md5=True, company=True),
    Way("body, no checksum there", (*kinds.OTHER_LENGTH, kinds.OLDER, kinds.ETAG), company=True),
    Way("body, attested", (*kinds.OF_BYTES, *_OF_RANGES), attest=True),
    Way("body, streamed", (*kinds.OF_BYTES, kinds.MD5, kinds.ETAG), md5=True, larger=True, sizes=STREAMED),
    Way(
        "body, in ranges", (*kinds.OF_BYTES, kinds.MD5, kinds.RANGE, kinds.ETAG), md5=True, larger=True, sizes=IN_RANGES
    ),
    Way("body, in attested ranges", (*kinds.OF_BYTES, *_OF_RANGES), attest=True, larger=True, sizes=IN_RANGES),
)


class _Plan(NamedTuple):
    thing: Thing
    kind: str  # "" for the one that is left as it is
    reads: int = 1  # answers that it takes if all goes well


def download(bench: Bench, dice: random.Random, way: Way) -> list[Outcome]:
    """An answer of Azure is damaged, once or each time; or the MD5 in the listing is."""
    plans, tasks = [], []
    for thing in bench.things(dice, way.sizes):
        kind = "" if thing.is_control else dice.choice(way.kinds)
        plan = _Plan(thing, kind, -(-len(thing.data) // RANGE_BYTES) if way.ranges else 1)
        stored = md5(thing.data) if way.md5 else ""
        bench.source.blobs[thing.name] = Kept(thing.data, thing.etag, stored)
        if kind not in {"", kinds.MD5}:
            bench.source.wrong[thing.name] = _wrong_answer(plan, way, dice)
        listed = kinds.wrong_text(stored, dice) if kind == kinds.MD5 else stored
        plans.append(plan)
        tasks.append(_task(thing, listed)._replace(attest=way.attest))
    with larger_ways() if way.larger else nullcontext():
        if way.company:
            results = bench.together(bench.downloader, tasks, bench.source)
        else:
            results = [bench.told(bench.downloader.download(task), bench.source) for task in tasks]
    missed = [_missed(bench, plan, result) for plan, result in zip(plans, results, strict=True)]
    return outcomes(way.place, [plan.kind for plan in plans], missed)


def _task(thing: Thing, listed_md5: str = "") -> Download:
    container, _, blob = thing.name.partition("/")
    return Download(thing.id, container, blob, len(thing.data), thing.etag, listed_md5, thing.name)


def _wrong_answer(plan: _Plan, way: Way, dice: random.Random) -> Wrong:
    """What happens to the answers about a blob. Of one that comes in ranges, it is one range that is damaged."""
    thing, kind, ranges = plan
    has_checksum = way.md5 or way.attest

    def change(headers: dict[str, str], body: bytes) -> Answer:
        if kind == kinds.CHECKSUM:
            return headers | {CRC64: kinds.wrong_text(headers[CRC64], dice)}, body
        if kind == kinds.RANGE:
            span = headers["content-range"].removeprefix("bytes ")
            return headers | {"content-range": f"bytes {kinds.wrong_text(span, dice)}"}, body
        if kind == kinds.ETAG:
            return headers | {"etag": f'"{kinds.wrong_text(thing.etag, dice)}"'}, body
        if kind == kinds.RANGES and ranges > 1:  # the bytes of another range of this blob, under this one's headers
            begin = dice.randrange(len(thing.data) - len(body))
            return headers, kinds.wrong_bytes(kinds.SWAPPED, body, thing.data[begin : begin + len(body)], dice)
        wrong = kinds.wrong_bytes(kind, body, thing.other[: len(body)], dice)
        if kind == kinds.OLDER and (not has_checksum or dice.random() < 0.5):  # else somebody has mixed them up
            headers = headers | {"etag": '"0x8DA0000000000AA"'}
            headers |= {CRC64: crc_to_azure(crc64nvme(wrong))} if CRC64 in headers else {}
        return headers, wrong

    return Wrong(change, dice.randrange(ranges), FOR_EVER if dice.random() < FOR_EVER_SHARE else 1)


def _missed(bench: Bench, plan: _Plan, result: Any) -> str:
    """Why what came of a download is not right; "" if it is."""
    thing, kind, reads = plan
    there = bench.bytes_of(thing)
    if kind not in {"", kinds.MD5} and not bench.source.hit[thing.name]:
        raise Unsound(f"{thing.name}: no answer was damaged")
    if isinstance(result, Downloaded):
        if there != thing.data:
            return f"{result} with other bytes"
        if result.crc64nvme != crc(thing.data) or result.md5 not in {"", md5(thing.data)}:
            return f"{result} with another checksum"
        if kind == kinds.MD5 or (kind and bench.source.reads[thing.name] <= reads):
            return f"{result}, and what was damaged was believed"
        return ""
    if there not in {None, thing.data}:
        return f"{result}, and other bytes are at its place"
    return "" if kind and isinstance(result, _REFUSED) else f"{result!r}, which is not what should come of it"


def leftover(bench: Bench, dice: random.Random) -> list[Outcome]:
    """The ranges that a killed run left, or its journal, are damaged before the next run goes on with them."""
    chosen, missed = [], []
    for thing in bench.things(dice, IN_RANGES):
        kind = "" if thing.is_control else dice.choice((*kinds.OF_BYTES, kinds.CHECKSUM))
        bench.source.blobs[thing.name] = Kept(thing.data, thing.etag)
        left = bench.nas.partial(thing.id, thing.etag, len(thing.data))
        ends = range(RANGE_BYTES, len(thing.data), RANGE_BYTES)
        had = dice.choice(ends)
        for at in range(0, had, RANGE_BYTES):
            left.write_at(at, thing.data[at : at + RANGE_BYTES])
            left.finished(at, RANGE_BYTES, crc64nvme(thing.data[at : at + RANGE_BYTES]))
        left.close()
        file = bench.nas.root / ".scs" / "tmp" / str(thing.id)
        if kind == kinds.CHECKSUM:
            journal = file.with_name(f"{thing.id}.parts")
            journal.write_text(kinds.wrong_text(journal.read_text(), dice))
        elif kind:
            file.write_bytes(kinds.wrong_bytes(kind, thing.data[:had], thing.other[:had], dice))
        with larger_ways():
            result = bench.told(bench.downloader.download(_task(thing)), bench.source)
        chosen.append(kind)
        missed.append(_missed(bench, _Plan(thing, ""), result))
    return outcomes("ranges of a killed run", chosen, missed)


def in_the_way(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A file is at the blob's place that is nearly the blob: it is not adopted, whoever wrote it."""
    chosen, missed = [], []
    for thing in bench.things(dice):
        kind = "" if thing.is_control else dice.choice(kinds.OF_BYTES)
        bench.source.blobs[thing.name] = Kept(thing.data, thing.etag)
        wrong = kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind else thing.data
        bench.file(thing).write_bytes(wrong)
        may_replace = dice.random() < 0.5
        task = _task(thing)._replace(may_replace=may_replace, known_crc64nvme=crc(thing.data))
        result = bench.told(bench.downloader.download(task), bench.source)
        chosen.append(kind)
        if not may_replace and kind:
            left = isinstance(result, Failed) and result.code == "NAS-EXISTS" and bench.bytes_of(thing) == wrong
            missed.append("" if left else f"{result} where a file was in the way")
        else:
            missed.append(_missed(bench, _Plan(thing, ""), result))
    return outcomes("file in the way", chosen, missed)


def before_upload(bench: Bench, dice: random.Random) -> list[Outcome]:
    """The file is no longer what was downloaded, when its upload begins."""
    chosen, tasks, things = [], [], bench.things(dice)
    for thing in things:
        kind = "" if thing.is_control else dice.choice(kinds.OF_BYTES)
        bench.file(thing).write_bytes(kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind else thing.data)
        chosen.append(kind)
        tasks.append(_sending(thing))
    bench.target.checks = dice.random() < 0.5
    results = _sent(bench, tasks, dice.randrange(3))
    missed = [_missed_in_s3(bench, *each) for each in zip(things, chosen, results, strict=True)]
    return outcomes("file before upload", chosen, missed)


def while_sent(bench: Bench, dice: random.Random) -> list[Outcome]:
    """Somebody writes into the file after it was read for its checksum, and before it is sent."""
    chosen, tasks, things = [], [], bench.things(dice)
    for thing in things:
        kind = "" if thing.is_control else dice.choice((*kinds.SAME_LENGTH, kinds.SHORTER))
        bench.file(thing).write_bytes(thing.data)
        if kind:
            wrong = kinds.wrong_bytes(kind, thing.data, thing.other, dice)
            bench.target.before[thing.name] = partial(bench.file(thing).write_bytes, wrong)
        chosen.append(kind)
        tasks.append(_sending(thing))
    bench.target.checks = dice.random() < 0.5
    results = _sent(bench, tasks, 1 + dice.randrange(2))
    _all_hit(bench, things)
    missed = [_missed_in_s3(bench, *each) for each in zip(things, chosen, results, strict=True)]
    return outcomes("file while it is sent", chosen, missed)


def on_its_way(bench: Bench, dice: random.Random) -> list[Outcome]:
    """Bytes change on the way to S3, which checks what it is sent, or to an endpoint that only says what it has."""
    chosen, tasks, things = [], [], bench.things(dice)
    for thing in things:
        kind = "" if thing.is_control else dice.choice(kinds.SAME_LENGTH)
        bench.file(thing).write_bytes(thing.data)
        if kind:
            times = FOR_EVER if dice.random() < FOR_EVER_SHARE else 1
            wrong = kinds.wrong_bytes(kind, thing.data, thing.other, dice)
            bench.target.arriving[thing.name] = Wrong(partial(other_body, wrong), 0, times)
        chosen.append(kind)
        tasks.append(_sending(thing))
    bench.target.checks = dice.random() < 0.5
    results = _sent(bench, tasks, dice.randrange(3))
    _all_hit(bench, things)
    missed = [_missed_in_s3(bench, *each) for each in zip(things, chosen, results, strict=True)]
    return outcomes("object on its way", chosen, missed)


def other_body(wrong: bytes, headers: dict[str, str], _: bytes) -> Answer:
    """An answer, or a request, with these bytes in place of its own."""
    return headers, wrong


def answer_to_upload(bench: Bench, dice: random.Random) -> list[Outcome]:
    """The checksum in S3's answer is another one."""
    chosen, tasks, things = [], [], bench.things(dice)
    for thing in things:
        kind = "" if thing.is_control else kinds.CHECKSUM
        bench.file(thing).write_bytes(thing.data)
        if kind:
            right = crc(thing.data)
            wrong = kinds.wrong_text(right, dice)

            def change(headers: dict[str, str], body: bytes, right: str = right, wrong: str = wrong) -> Answer:
                named = headers | ({SUM: wrong} if SUM in headers else {})
                return named, body.replace(right.encode(), wrong.encode())

            times = FOR_EVER if dice.random() < FOR_EVER_SHARE else 1
            bench.target.leaving[thing.name] = Wrong(change, 0, times)
        chosen.append(kind)
        tasks.append(_sending(thing))
    results = _sent(bench, tasks, dice.randrange(3))
    _all_hit(bench, things)
    missed = [_missed_in_s3(bench, *each) for each in zip(things, chosen, results, strict=True)]
    return outcomes("answer to an upload", chosen, missed)


def _all_hit(bench: Bench, things: list[Thing]) -> None:
    if left := [thing.name for thing in things if not thing.is_control and not bench.target.hit[thing.name]]:
        raise Unsound(f"no damage was done to {left}")


def _sending(thing: Thing) -> Upload:
    container, _, blob = thing.name.partition("/")
    crc64nvme = crc(thing.data)
    return Upload(thing.id, container, blob, thing.etag, len(thing.data), crc64nvme, thing.name, thing.name, "", "")


def _sent(bench: Bench, tasks: list[Upload], way: int) -> list[Any]:
    """Upload in company, streamed, or in parts."""
    if way == 0:
        return bench.together(bench.uploader, tasks, bench.target)
    verb = bench.uploader if way == 1 else bench.uploader_in_parts
    with larger_ways():
        return [bench.told(verb.upload(task), bench.target) for task in tasks]


def _missed_in_s3(bench: Bench, thing: Thing, kind: str, result: Any) -> str:
    if isinstance(result, Uploaded):
        there = bench.target.objects.get(thing.name)
        is_right = there == thing.data and result.s3_checksum == crc(thing.data)
        return "" if is_right else f"{result} of other bytes, or with another checksum"
    return "" if kind and isinstance(result, _REFUSED) else f"{result!r}, which is not what should come of it"


def outcomes(place: str, chosen: list[str], missed: list[str]) -> list[Outcome]:
    """What came of a batch; its last thing was not damaged, so all must have gone well with it."""
    if missed[-1]:
        raise Unsound(f"{place}: nothing was damaged, and yet: {missed[-1]}")
    return [Outcome(place, *each) for each in zip(chosen[:-1], missed[:-1], strict=True)]
