"""Damage to what a lost catalog is rebuilt from: the manifest on the NAS, and the files that it speaks of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage.model import Downloaded, Entry
from sync_cloud_storage.nas.manifest import lines, parsed
from tests.journey.damaging import kinds
from tests.journey.damaging.ends import Kept
from tests.journey.damaging.kinds import Unsound
from tests.journey.damaging.moving import outcomes
from tests.unit.catalogs import AT, blob, listed, made
from tests.unit.doors import crc

if TYPE_CHECKING:
    import random

    from tests.journey.damaging.bench import Bench, Thing
    from tests.journey.damaging.kinds import Outcome

TRIES = 1_000
_OF_A_LINE = (kinds.FLIP, kinds.SHORTER, kinds.SWAPPED, kinds.CHECKSUM, kinds.ETAG)


def manifest(bench: Bench, dice: random.Random) -> list[Outcome]:
    """A line of a manifest is damaged, or the file that it speaks of, before a new catalog takes it over."""
    things = bench.things(dice)
    chosen, written = [], []
    for thing in things:
        in_file = dice.random() < 0.5
        kind = "" if thing.is_control else dice.choice(kinds.OF_BYTES if in_file else _OF_A_LINE)
        data = kinds.wrong_bytes(kind, thing.data, thing.other, dice) if kind and in_file else thing.data
        bench.source.blobs[thing.name] = Kept(thing.data, thing.etag)
        bench.file(thing).write_bytes(data)
        written.append(_line(thing, "" if in_file else kind, dice))
        chosen.append((kind, in_file))
    results = _rebuilt(bench, things, [one for one in map(parsed, written) if one is not None])
    missed = [_missed(bench, *each) for each in zip(things, chosen, results, strict=True)]
    return outcomes("manifest and its files", [kind for kind, _ in chosen], missed)


def _line(thing: Thing, kind: str, dice: random.Random) -> bytes:
    """The line about a blob. A damage after which it says the same is none, so there is another one then."""
    container, _, name = thing.name.partition("/")
    entry = Entry(
        container,
        name,
        thing.etag,
        len(thing.data),
        crc(thing.data),
        "",
        attested=False,
        nas_path=thing.name,
        at_utc=AT,
    )
    whole = lines([entry])[:-1]
    for _ in range(TRIES if kind else 0):
        wrong = whole
        if kind == kinds.CHECKSUM:
            wrong = lines([entry._replace(crc64nvme=kinds.wrong_text(entry.crc64nvme, dice))])[:-1]
        elif kind == kinds.ETAG:
            wrong = lines([entry._replace(etag=kinds.wrong_text(entry.etag, dice))])[:-1]
        elif kind == kinds.SWAPPED:
            wrong = lines([entry._replace(crc64nvme=crc(thing.other))])[:-1]
        else:
            wrong = kinds.wrong_bytes(kind, whole, whole, dice)
        found = parsed(wrong)
        # The time, and where the file is, are not evidence: the file is looked at in any case.
        if found is None or found[:6] != entry[:6]:
            return wrong
    if kind:
        raise Unsound(f"{thing.name}: its line cannot be damaged")
    return whole


def _rebuilt(bench: Bench, things: list[Thing], entries: list[Entry]) -> list[object]:
    """A new catalog lists the account, reads the manifest, and has fetched what it does not find."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, made(Path(folder)) as catalog:
        names = [thing.name.partition("/")[2] for thing in things]
        etags = {name: (thing.etag, len(thing.data)) for name, thing in zip(names, things, strict=True)}
        listed(catalog, *(blob(name, *etags[name]) for name in sorted(names)))
        catalog.recall(entries, {})
        tasks = {task.blob: task for task in catalog.pending_downloads(0, len(names))}
        return [bench.told(bench.downloader.download(tasks[name]), bench.source) for name in names]


def _missed(bench: Bench, thing: Thing, chosen: tuple[str, bool], result: object) -> str:
    """Why what came of a rebuild is not right; "" if it is."""
    kind, in_file = chosen
    was_read = bench.source.reads[thing.name] > 0
    if bench.bytes_of(thing) != thing.data and not _is_left(result):
        return f"{result} with other bytes"
    if isinstance(result, Downloaded):
        if result.crc64nvme != crc(thing.data) or result.attested:
            return f"{result} with another checksum, or a word that nobody gave"
        if not kind and was_read:
            return f"{result}, and it was fetched for nothing"
        return "" if was_read or not in_file or not kind else f"{result}, and the file was believed"
    return "" if kind and _is_left(result) else f"{result!r}, which is not what should come of it"


def _is_left(result: object) -> bool:
    """Whether it was left as it is and said so: a file that no line knows to be ours, bytes that no line speaks of."""
    return getattr(result, "code", "") in {"NAS-EXISTS", "AZ-OTHER"}
