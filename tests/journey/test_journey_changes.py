"""The account goes on living: what a second run moves, and what it never touches. Azurite -> NAS -> moto."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import azurite as azurite_server
from tests.servers import judge
from tests.servers import moto as moto_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.journey.desk import Desk
    from tests.servers.endpoints import AzureAt, S3At
    from tests.servers.fill import Account

LIVE = '[containers]\nlive = ["im*"]\n'


class Both:
    """A finished journey between the two servers, and what they are asked from now on."""

    def __init__(self, desk: Desk, azure: AzureAt, s3: S3At) -> None:
        self.desk, self._azure, self._s3 = desk, azure, s3
        self.bucket = desk.env["AWS_BUCKET"]
        self._before = (0, 0)
        self.look_away()

    def look_away(self) -> None:
        """Forget what was asked until now."""
        self._before = (len(azurite_server.asked(self._azure)), len(moto_server.asked(self._s3)))

    def fetched(self) -> list[str]:
        """The blobs that Azure gave out since then: every GET that is no listing."""
        lines = azurite_server.asked(self._azure)[self._before[0] :]
        return sorted(line.path.partition("?")[0] for line in lines if line.verb == "GET" and "comp=" not in line.path)

    def stored(self) -> list[str]:
        """What S3 was sent since then."""
        lines = moto_server.asked(self._s3)[self._before[1] :]
        return sorted(line.path.partition("?")[0] for line in lines if line.verb in {"PUT", "POST"})

    def listed(self) -> list[str]:
        """Containers whose blobs were listed since then."""
        lines = azurite_server.asked(self._azure)[self._before[0] :]
        return sorted(line.path.split("?")[0].strip("/") for line in lines if "restype=container" in line.path)

    def differences(self) -> list[judge.Difference]:
        """What our judge has to say."""
        return judge.compare(self._azure, self._s3, self.bucket).differences


@pytest.fixture
def both(azurite: AzureAt, moto: S3At, account: Account, new_desk: Callable[[AzureAt, S3At], Desk]) -> Both:
    """Two containers, one of them live, and one that is empty, all moved by one `scs run`."""
    for container in ("films", "images", "nothing"):
        account.make_container(container)
    for number in range(20):
        account.put("films", f"reel/{number}", bytes([number]) * 1000)
        account.put("images", f"{number}.png", bytes([number]) * 500)
    desk = new_desk(azurite, moto)
    desk.env["SCS_WORKERS"] = "1"  # enough, and starts sooner
    desk.settings(LIVE)
    desk.scs("init")
    desk.scs("run")
    return Both(desk, azurite, moto)


def test_scs_run_again(both: Both) -> None:
    """A second run asks Azure for no blob and sends S3 nothing; it lists the live container and no other."""
    assert both.fetched() == both.stored() == []
    said = both.desk.scs("run").out
    assert both.fetched() == []
    assert both.stored() == []
    assert both.listed() == ["images"]
    assert "Listed 20 blobs: nothing new." in said
    assert "In S3: 40 of 40 blobs." in said
    assert both.differences() == []


def test_scs_run_after_a_blob_changed(both: Both, account: Account) -> None:
    """One changed blob of a live container moves alone; what was known of its old version is kept."""
    account.put("images", "7.png", b"the new picture")
    said = both.desk.scs("run").out
    assert both.fetched() == ["/images/7.png"]
    assert both.stored() == [f"/{both.bucket}/images/7.png"]
    assert "Listed 20 blobs: 1 changed." in said
    assert both.desk.files()["images/7.png"] == b"the new picture"
    assert both.differences() == []
    old = both.desk.select("SELECT size_bytes, azure_status, s3_status, crc64nvme IS NOT NULL FROM superseded")
    assert old == [(500, 1, 1, 1)]


def test_scs_reset_live_and_scs_run(both: Both, account: Account) -> None:
    """`scs reset-live` makes live containers pending; the next run finds what is new there and moves it alone."""
    account.put("images", "new.png", b"new")
    assert "1 live container will be listed again" in both.desk.scs("reset-live").out
    assert both.desk.select("SELECT name FROM containers WHERE status = 0") == [("images",)]
    both.desk.scs("run")
    assert both.desk.select("SELECT status FROM containers WHERE name = 'images'") == [(100,)]
    assert both.fetched() == ["/images/new.png"]
    assert both.stored() == [f"/{both.bucket}/images/new.png"]
    assert both.differences() == []


def test_scs_sync_all(both: Both, account: Account) -> None:
    """A finished container is left alone by sync and run, and looked at again by `scs sync --all`."""
    account.put("films", "reel/3", b"cut anew")
    assert "nothing new" in both.desk.scs("sync").out
    assert both.desk.states()["films/reel/3"] == "uploaded"
    assert "1 changed" in both.desk.scs("sync", "--all").out
    assert both.desk.states()["films/reel/3"] == "pending"
    both.desk.scs("download")
    both.desk.scs("upload")
    assert both.fetched() == ["/films/reel/3"]
    assert both.stored() == [f"/{both.bucket}/films/reel/3"]
    assert both.differences() == []


def test_scs_run_after_blobs_vanished(both: Both, account: Account) -> None:
    """What the source no longer has is marked and stays where it is: nothing is ever deleted at a destination."""
    for name in ("3.png", "4.png"):
        account.remove("images", name)
    said = both.desk.scs("run").out
    assert "2 gone" in said
    assert both.desk.select("SELECT blob FROM sync WHERE gone_at_utc IS NOT NULL ORDER BY 1") == [
        ("3.png",),
        ("4.png",),
    ]
    assert both.desk.files()["images/3.png"] == b"\x03" * 500
    assert [(each.what, each.s3) for each in both.differences()] == [
        ("extra", "images/3.png"),
        ("extra", "images/4.png"),
    ]
    assert both.desk.scs("status", "--json").document["totals"]["gone"] == 2
    account.put("images", "3.png", b"back again")
    both.desk.scs("run")
    assert [each.s3 for each in both.differences()] == ["images/4.png"]


def test_scs_run_after_a_container_was_deleted(both: Both, account: Account) -> None:
    """An empty container is 503, one that is gone is 404; its blobs stay where they are, marked as gone."""
    both_codes = "SELECT name, status FROM containers ORDER BY name"
    assert both.desk.select(both_codes) == [("films", 200), ("images", 100), ("nothing", 503)]
    account.remove("films")
    account.put("nothing", "something", b"at last")
    both.desk.scs("run")
    assert both.desk.select(both_codes)[0] == ("films", 404)
    assert len(both.desk.files()) == 40
    both.desk.scs("sync", "--all")
    both.desk.scs("run")
    assert both.desk.select(both_codes) == [("films", 404), ("images", 100), ("nothing", 200)]
    assert both.desk.select("SELECT count(*) FROM sync WHERE gone_at_utc IS NOT NULL") == [(20,)]
    assert len(both.desk.files()) == 41
    assert {each.what for each in both.differences()} == {"extra"}
