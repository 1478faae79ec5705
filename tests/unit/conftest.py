"""What most tests of stories need: a pump, and where the bytes come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.nas import Nas
from tests.unit.doors import BUCKET
from tests.unit.small_nas import ID, in_memory, ready
from tests.unit.telling import new_pump

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import Bucket, StrictCloud


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make an empty NAS."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        yield opened


@pytest.fixture
def bucket(strict: StrictCloud) -> Bucket:
    """Make a bucket."""
    return strict.s3.make_bucket(BUCKET)
