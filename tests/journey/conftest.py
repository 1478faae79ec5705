"""Desks for the tests of the journey."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.journey.desk import Desk, Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.servers.endpoints import AzureAt, S3At
    from tests.servers.strict import StrictCloud

BUCKET = "target"


@pytest.fixture
def desk(tmp_path: Path, strict: StrictCloud) -> Desk:
    """A desk whose account and bucket are in the strict cloud; both are empty."""
    strict.s3.make_bucket(BUCKET)
    return Desk(tmp_path / "desk", strict.azure_at, strict.s3_at, BUCKET)


@pytest.fixture
def new_desk(tmp_path: Path, new_bucket: Callable[[S3At], str]) -> Callable[[AzureAt, S3At], Desk]:
    """Makes a desk between two servers, with a bucket of its own."""

    def make(azure: AzureAt, s3: S3At) -> Desk:
        return Desk(tmp_path / "desk", azure, s3, new_bucket(s3))

    return make


class Refuse(Protocol):
    """The type of `refused`."""

    def __call__(self, *words: str, code: int, says: Sequence[str], env: Mapping[str, str] | None = None) -> Done:
        """See there."""
        ...


@pytest.fixture
def refused(desk: Desk, strict: StrictCloud) -> Refuse:
    """Runs a command line that cannot work: it says so in a sentence and a way out, and nothing is done by half."""

    def run(*words: str, code: int, says: Sequence[str], env: Mapping[str, str] | None = None) -> Done:
        before = _world(desk, strict)
        done = desk.scs(*words, code=code, env=env)
        assert done.err.startswith("scs: ")
        assert done.err.count("\n") == 2, done.err  # the sentence, the way out
        assert [text for text in says if text not in done.err] == [], done.err
        assert _world(desk, strict) == before
        return done

    return run


def _world(desk: Desk, strict: StrictCloud) -> dict[str, object]:
    """Everything that a command can change, but for the listing."""
    world: dict[str, object] = {
        "objects": {name: sorted(bucket.objects) for name, bucket in strict.s3.buckets.items()},
        "uploads": {name: sorted(bucket.uploads) for name, bucket in strict.s3.buckets.items()},
        "nas": desk.files() if desk.nas.is_dir() else None,
        "ours": sorted(str(each) for each in (desk.nas / ".scs").rglob("*") if each.name != "lock"),
    }
    with contextlib.suppress(sqlite3.Error):
        world["moved or failed"] = {name: state for name, state in desk.states().items() if state != "pending"}
    return world
