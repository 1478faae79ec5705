"""The short form of scripts/damage, and that it can fail: with a check of the product switched off it says so."""

from __future__ import annotations

import random
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from sync_cloud_storage import download, upload, verify
from sync_cloud_storage.azure import Azure, door
from sync_cloud_storage.catalog import objects
from sync_cloud_storage.checksum import crc_to_s3
from sync_cloud_storage.download import Downloader
from sync_cloud_storage.nas import Partial
from sync_cloud_storage.s3 import inventory
from sync_cloud_storage.s3.delivery import beside
from sync_cloud_storage.upload import Uploader
from tests.journey import damage
from tests.journey.damaging import kinds, proving
from tests.journey.damaging.bench import COMPANY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync_cloud_storage.model import Check, Download, Upload
    from sync_cloud_storage.s3.answers import Stored

IN_PROCESS, OVER_HTTP, SEED = 20_000, 150, 2019
EACH_PLACE_TWICE = 2 * len(damage.PLACES) * COMPANY


def test_every_damage_is_found(tmp_path: Path) -> None:
    """Whatever is damaged, wherever it is: it is found before a row would say that it is proven."""
    score = damage.damage(IN_PROCESS, OVER_HTTP, SEED, tmp_path)
    assert score.why_failed == "", "\n".join(map(str, score.missed[:3]))
    assert len({place for place, _ in score.done}) == len(damage.PLACES) + 9, score.table()
    assert {kind for _, kind in score.done} == set(kinds.KINDS)


def test_run_without_damage_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Where nothing was damaged nothing was tested, and that is said, with exit code 1."""
    assert damage.damage(0, 0, SEED, tmp_path).why_failed == "no damage was done, so nothing was tested"
    monkeypatch.setattr(sys, "argv", ["damage", "--in-process", "0", "--over-http", "0"])
    assert damage.main() == 1
    assert "no damage was done, so nothing was tested" in capsys.readouterr().out


def test_exception_that_nobody_expects_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A mistake of the product's own that damage brings to light is no finding: it fails the run, with the case."""
    monkeypatch.setattr(door, "_right_bytes", lambda *_: 1 // 0)
    monkeypatch.setattr(sys, "argv", ["damage", "--in-process", "16", "--over-http", "0", "--processes", "1"])
    assert damage.main() == 1
    assert "--seed 1 --only 0, or one of its company: ZeroDivisionError" in capsys.readouterr().out
    with pytest.raises(kinds.Unsound, match="ZeroDivisionError"):
        damage.again("3", 1, tmp_path)


def test_damage_that_changes_nothing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that says "damaged" of what is as it was does not pass."""
    monkeypatch.setattr(kinds, "wrong_bytes", lambda _kind, data, _other, _dice: data)
    monkeypatch.setattr(kinds, "wrong_text", lambda text, _dice, **_: text)
    try:
        why = damage.damage(EACH_PLACE_TWICE, 0, SEED, tmp_path).why_failed
    except kinds.Unsound as error:
        why = str(error)
    assert why


# ------------------------------------------------------------------------------------- with one check switched off


def no_md5(task: Download, *more: Any, **named: Any) -> Any:
    """Take whatever comes for what Content-MD5 speaks of."""
    return EVIDENCE(task._replace(content_md5=""), *more, **named)


def no_checksum(task: Check, stored: Stored, how: str) -> Any:
    """Take the size of an object for proof."""
    return JUDGED(task, stored._replace(checksum=task.crc64nvme), how)


def told_nothing(task: Check) -> Any:
    """Take whatever a report says for our own checksum."""
    return WITHOUT_ASKING(task._replace(told=task.crc64nvme if task.told else ""))


def not_confirmed(_: Uploader, task: Upload, stored: Stored) -> Any:
    """Believe an answer to an upload."""
    yield from ()
    return stored


class Whatever(str):
    """A checksum that is the same as any other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False


def any_file(manifest: Path, key: str, *_: Any) -> Any:
    """Take the data file of an inventory as it is."""
    return beside(manifest, key, "data")


def right_length_only(_: Azure, answer: Any, __: str, size_bytes: int) -> bool:
    """Take another version for this one."""
    return answer.status == 200 and len(answer.body) == size_bytes


EVIDENCE, JUDGED, WITHOUT_ASKING = download._evidence, verify._judged, verify._without_asking
# What else would find it is switched off as well, where there is more than one.
OFF: dict[str, tuple[list[tuple[Any, str, Callable[..., Any]]], set[str]]] = {
    "Content-MD5": ([(download, "_evidence", no_md5)], {"body, in company", "body, streamed", "body, in ranges"}),
    "length and version": ([(door, "_right_bytes", lambda *_: None)], {"body, no checksum there"}),
    "version, in company": ([(Azure, "is_whole", right_length_only)], {"body, in company", "body, no checksum there"}),
    "Azure's CRC64": ([(door, "_right_crc", lambda *_: None)], {"body, attested", "body, in attested ranges"}),
    "ranges of a killed run": ([(Partial, "_has", lambda *_: True)], {"ranges of a killed run"}),
    "file in the way": ([(Downloader, "_holds", lambda *_: True)], {"file in the way", "manifest and its files"}),
    "S3's word": ([(Uploader, "_confirmed", not_confirmed)], {"answer to an upload"}),
    "S3's word, and what is read": (
        [(Uploader, "_confirmed", not_confirmed), (upload, "crc_to_s3", lambda crc: Whatever(crc_to_s3(crc)))],
        {"file before upload", "file while it is sent", "object on its way"},
    ),
    "bytes of a file": ([(verify, "_rot", lambda _: "")], {"file, read"}),
    "length of a file": ([(verify, "_same_size", lambda *_: verify._Found(""))], {"file, its length"}),
    "checksum of an object": ([(verify, "_judged", no_checksum)], {"object, asked for", "object, read"}),
    "checksum in a report": ([(verify, "_without_asking", told_nothing)], {"report of S3"}),
    "MD5 of an inventory, and what gzip says": (
        [(inventory, "_file", any_file), (proving, "objects_in", lambda _: [[("c/b0", 10, "e")]])],
        {"inventory"},
    ),
    "ETag that is an MD5": (
        [(objects, "b64decode", lambda _: SimpleNamespace(hex=lambda: ANY))],
        {"listing of the bucket"},
    ),
}


@pytest.mark.parametrize("name", OFF)
def test_check_that_is_switched_off_is_missed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the product's checks damage goes unnoticed, and the run says where, and how to see it again."""
    checks, places = OFF[name]
    for owner, check, instead in checks:
        monkeypatch.setattr(owner, check, instead)
    score = damage.damage(2 * EACH_PLACE_TWICE, 0, SEED, tmp_path)
    assert {case.outcome.place for case in score.missed} >= places, score.table()
    assert "were missed" in score.why_failed
    assert "MISSED" in score.table()
    again = damage.again(score.missed[0].name, SEED, tmp_path)
    assert again.missed == score.missed[:1]


def test_kinds_change_what_they_are_given() -> None:
    """No kind of damage gives back what it was given, be it ever so short; no word still means the same."""
    dice = random.Random(SEED)
    for _ in range(2_000):
        data = dice.randbytes(dice.randint(60, 200))
        for kind in kinds.OF_BYTES:
            assert kinds.wrong_bytes(kind, data, dice.randbytes(len(data)), dice) != data
        assert kinds.wrong_bytes(kinds.SWAPPED, b"a", b"a", dice) != b"a"
        assert kinds._meaning(kinds.wrong_text("AAAAAAAAAAA=", dice)) != bytes(8)
        assert int(kinds.wrong_text("1234", dice, digits=True)) != 1234
