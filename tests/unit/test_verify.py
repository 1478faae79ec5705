"""What a check promises: a difference is told, trouble is no difference, and only bytes or a checksum prove."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.company import Alone
from sync_cloud_storage.errors import BlobFault, EnvironmentFault
from sync_cloud_storage.model import Check, Checked
from sync_cloud_storage.nas import Nas
from sync_cloud_storage.verify import Checker
from tests.servers.strict import NO_SUM, Answer, Cut, Fault
from tests.unit.doors import BUCKET, crc, s3_door
from tests.unit.small_nas import ID, in_memory, put, ready
from tests.unit.telling import pumped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_cloud_storage.http.pump import Pump
    from tests.servers.strict import StrictCloud

DATA = os.urandom(70_000)
TASK = Check(1, "c", "b", len(DATA), crc(DATA), "c/b", "c/b")


@pytest.fixture
def nas() -> Iterator[Nas]:
    """Make a NAS that has the file."""
    with in_memory() as folder, Nas.open(ready(folder / "nas"), ID) as opened:
        put(opened, "c/b", DATA)
        yield opened


@pytest.fixture
def cloud(strict: StrictCloud, pump: Pump) -> StrictCloud:
    """Have the object in the bucket."""
    pumped(pump, s3_door(strict).put("c/b", DATA, crc(DATA), [], replace=True))
    return strict


def checked(pump: Pump, cloud: StrictCloud, nas: Nas | None, task: Check = TASK) -> Checked:
    """Check one row; without the evidence, which has tests of its own."""
    (found,) = pumped(pump, Checker(nas, s3_door(cloud), no_pace).check(task))
    assert isinstance(found, Checked)
    return found._replace(s3_etag="", evidence=(), asked=True)


def no_pace(_: int) -> None:
    """Read as fast as it goes."""


@pytest.mark.parametrize("deep", [False, True])
def test_all_is_well(cloud: StrictCloud, nas: Nas, pump: Pump, deep: bool) -> None:  # noqa: FBT001 - a parameter
    """What is as the catalog says is proven by the endpoint's checksum, without reading the object."""
    assert checked(pump, cloud, nas, TASK._replace(deep=deep)) == Checked(1, "", "", proven=True)
    assert cloud.asked("GetObject") == []


def test_places_that_are_not_asked(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A place that the row does not have, or that this run has no door to, is not looked at: None, and no proof."""
    assert checked(pump, cloud, nas, TASK._replace(s3_key="")) == Checked(1, "", None)
    assert checked(pump, cloud, nas, TASK._replace(nas_path="")) == Checked(1, None, "", proven=True)
    assert checked(pump, cloud, None) == Checked(1, None, "", proven=True)
    assert pumped(pump, Checker(nas, None, no_pace).check(TASK)) == [Checked(1, "", None, asked=False)]


@pytest.mark.parametrize("deep", [False, True])
def test_file_that_is_gone(cloud: StrictCloud, nas: Nas, pump: Pump, deep: bool) -> None:  # noqa: FBT001 - a parameter
    """A file that somebody deleted is a difference; the object is looked at all the same (C17)."""
    (nas.root / "c/b").unlink()
    found = checked(pump, cloud, nas, TASK._replace(deep=deep))
    assert (found.nas or "").startswith("NAS-LOST")
    assert (found.s3, found.proven) == ("", True)


def test_file_of_another_size(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A file that was cut is found by its size alone (C17)."""
    os.truncate(nas.root / "c/b", 10)
    assert (checked(pump, cloud, nas).nas or "").startswith("NAS-SIZE")


def test_file_with_other_bytes(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Rot of one bit is found when the bytes are read, and only then (C17, C25)."""
    (nas.root / "c/b").write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    assert checked(pump, cloud, nas).nas == ""
    assert (checked(pump, cloud, nas, TASK._replace(deep=True)).nas or "").startswith("NAS-ROT")


@pytest.mark.parametrize("deep", [False, True])
def test_folder_in_its_place(cloud: StrictCloud, nas: Nas, pump: Pump, deep: bool) -> None:  # noqa: FBT001 - a parameter
    """A folder where the file should be is a difference, not trouble (C16)."""
    (nas.root / "c/b").unlink()
    (nas.root / "c/b").mkdir()
    found = checked(pump, cloud, nas, TASK._replace(deep=deep))
    assert found.nas
    assert found.trouble == ""


def test_object_that_is_gone(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """An object that somebody deleted is a difference (E21)."""
    cloud.s3.buckets[BUCKET].objects.clear()
    found = checked(pump, cloud, nas)
    assert found.s3 is not None
    assert (found.nas, found.s3.partition(":")[0], found.proven) == ("", "S3-LOST", False)


@pytest.mark.parametrize(("data", "code"), [(DATA[:-1], "S3-SIZE"), (bytes([DATA[0] ^ 1]) + DATA[1:], "S3-DIGEST")])
def test_object_with_other_bytes(cloud: StrictCloud, nas: Nas, pump: Pump, data: bytes, code: str) -> None:
    """An object of another length or with other bytes is a difference, by the endpoint's own word (E21)."""
    pumped(pump, s3_door(cloud).put("c/b", data, crc(data), [], replace=True))
    found = checked(pump, cloud, nas)
    assert found.s3 is not None
    assert (found.s3.partition(":")[0], found.proven) == (code, False)


def test_size_alone_proves_nothing(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """An endpoint without checksums: no difference is known, but nothing is proven unless the object is read."""
    cloud.faults.append(Fault(NO_SUM, operation="HeadObject", times=0))
    assert checked(pump, cloud, nas) == Checked(1, "", "", proven=False)
    assert checked(pump, cloud, nas, TASK._replace(deep=True)) == Checked(1, "", "", proven=True)
    other = bytes([DATA[0] ^ 1]) + DATA[1:]
    pumped(pump, s3_door(cloud).put("c/b", other, crc(other), [], replace=True))
    found = checked(pump, cloud, nas, TASK._replace(deep=True))
    assert (found.s3 or "").startswith("S3-DIGEST")


def test_body_that_ends_early_is_no_difference(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A read that broke off says nothing about the object: it is repeated, and is trouble if it never is whole."""
    cloud.faults[:] = [Fault(NO_SUM, operation="HeadObject", times=0), Fault(Cut(9), operation="GetObject")]
    assert checked(pump, cloud, nas, TASK._replace(deep=True)) == Checked(1, "", "", proven=True)
    cloud.faults[-1] = Fault(Cut(9, says_length=False), operation="GetObject", times=0)
    found = checked(pump, cloud, nas, TASK._replace(deep=True))
    assert (found.s3, found.proven, bool(found.trouble)) == (None, False, True)


@pytest.mark.parametrize(("status", "code"), [(500, "HTTP-500"), (403, "S3-403")])
def test_endpoint_that_does_not_say_is_no_difference(
    cloud: StrictCloud, nas: Nas, pump: Pump, status: int, code: str
) -> None:
    """That the endpoint refuses or fails is trouble, and no difference between two places."""
    cloud.faults.append(Fault(Answer(status), operation="HeadObject", times=0))
    found = checked(pump, cloud, nas)
    assert (found.nas, found.s3, found.proven) == ("", None, False)
    assert found.trouble.startswith(code)


def test_file_that_cannot_be_read_is_no_difference(
    cloud: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that this user may not read is trouble, and no difference (C13)."""

    def refused(_: Nas, path: str, _pace: object) -> tuple[int, int]:
        raise BlobFault("NAS-PERM", f"{path} may not be read.")

    monkeypatch.setattr(Nas, "hash_file", refused)
    found = checked(pump, cloud, nas, TASK._replace(deep=True))
    assert (found.nas, found.proven) == (None, False)
    assert found.trouble.startswith("NAS-PERM")


def test_nas_that_is_gone_stops_the_check(
    cloud: StrictCloud, nas: Nas, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NAS that is not there makes no million differences: the run stops (C09)."""

    def gone(_: Nas, path: str) -> int | None:
        raise EnvironmentFault("NAS-GONE", path)

    monkeypatch.setattr(Nas, "size_of", gone)
    with pytest.raises(EnvironmentFault):
        checked(pump, cloud, nas)


def test_empty_blob(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A blob of no bytes is proven as any other, also by reading nothing."""
    assert crc64nvme(b"") == 0
    pumped(pump, s3_door(cloud).put("c/empty", b"", crc(b""), [], replace=True))
    put(nas, "c/empty", b"")
    cloud.faults.append(Fault(NO_SUM, operation="HeadObject", times=0))
    task = Check(2, "c", "empty", 0, crc(b""), "c/empty", "c/empty", deep=True)
    assert checked(pump, cloud, nas, task) == Checked(2, "", "", proven=True)


# ------------------------------------------------------------------------------------------- seen, told, in company


SEEN = TASK._replace(seen=True, s3_etag="e")
TOLD = TASK._replace(told=TASK.crc64nvme, s3_etag="e")


def whole(pump: Pump, cloud: StrictCloud, nas: Nas | None, task: Check) -> Checked:
    """Check one row alone; with its evidence."""
    (found,) = pumped(pump, Checker(nas, s3_door(cloud), no_pace).check(task))
    assert isinstance(found, Checked)
    return found


def together(pump: Pump, cloud: StrictCloud, nas: Nas | None, *tasks: Check) -> list[Checked | Alone]:
    """Check some rows in company."""
    (found,) = pumped(pump, Checker(nas, s3_door(cloud), no_pace).in_company(tasks))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("deep", [False, True])
def test_object_that_was_seen_is_not_asked(cloud: StrictCloud, nas: Nas, pump: Pump, deep: bool) -> None:  # noqa: FBT001
    """The listing showed the very object that was proven: no request, the row is proven; its file is looked at."""
    found = whole(pump, cloud, nas, SEEN._replace(deep=deep))
    assert (found.nas, found.s3, found.proven, found.s3_etag) == ("", "", True, "e")
    assert [one.place for one in found.evidence] == (["nas"] if deep else [])
    assert strict_heads(cloud) == 0


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_checksum_that_was_told_is_judged(
    cloud: StrictCloud,
    nas: Nas,
    pump: Pump,
    seen: bool,  # noqa: FBT001 - a parameter
    deep: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A report's checksum proves or contradicts without a request, also of an object that was proven before."""
    found = whole(pump, cloud, nas, TOLD._replace(seen=seen, deep=deep))
    assert (found.nas, found.s3, found.proven) == ("", "", True)
    said = found.evidence[-1]
    assert (said.place, said.value, said.etag) == ("s3", TASK.crc64nvme, "e")
    assert "S3 Batch Operations" in said.how
    found = whole(pump, cloud, nas, TOLD._replace(seen=seen, deep=deep, told="AAAAAAAAAAA="))
    assert ((found.s3 or "").partition(":")[0], found.proven) == ("S3-DIGEST", False)
    assert found.evidence[-1].value == "AAAAAAAAAAA="
    assert strict_heads(cloud) == 0


def test_company_as_it_should_be(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Rows that are right are proven side by side: one HEAD each, none for what was seen or told, or has no object."""
    tasks = [TASK, SEEN._replace(id=2), TOLD._replace(id=3), TASK._replace(id=4, s3_key="")]
    found = together(pump, cloud, nas, *tasks, TOLD._replace(id=5, told="AAAAAAAAAAA="))
    assert [(one.id, one.s3, one.proven) for one in found[:4] if isinstance(one, Checked)] == [
        *((1, "", True), (2, "", True), (3, "", True), (4, None, False)),
    ]
    assert isinstance(found[4], Checked)
    assert (found[4].s3 or "").startswith("S3-DIGEST")
    assert strict_heads(cloud) == 1


def test_company_says_what_is_wrong(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """A missing file, a wrong length, other bytes: each is said of its own row, and the neighbours are right."""
    pumped(pump, s3_door(cloud).put("c/other", DATA[::-1], crc(DATA[::-1]), [], replace=True))
    pumped(pump, s3_door(cloud).put("c/short", DATA[:-1], crc(DATA[:-1]), [], replace=True))
    put(nas, "c/short", DATA[:-1])
    found = together(
        pump,
        cloud,
        nas,
        TASK,
        TASK._replace(id=2, nas_path="c/nowhere"),
        TASK._replace(id=3, nas_path="c/short"),
        TASK._replace(id=4, s3_key="c/other"),
        TASK._replace(id=5, s3_key="c/short"),
    )
    codes = [
        tuple((text or "").partition(":")[0] for text in (one.nas, one.s3)) for one in found if isinstance(one, Checked)
    ]
    assert codes == [("", ""), ("NAS-LOST", ""), ("NAS-SIZE", ""), ("", "S3-DIGEST"), ("", "S3-SIZE")]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_company_leaves_alone_what_it_cannot_judge(cloud: StrictCloud, nas: Nas, pump: Pump, status: int) -> None:
    """An answer that is none goes on alone, with that answer; it is not asked for twice, and ends as it would alone."""
    cloud.faults.append(Fault(Answer(status), operation="HeadObject", path="odd"))
    pumped(pump, s3_door(cloud).put("c/odd", DATA, crc(DATA), [], replace=True))
    odd = TASK._replace(id=2, s3_key="c/odd")
    right, left = together(pump, cloud, nas, TASK, odd)
    assert isinstance(right, Checked)
    assert isinstance(left, Alone)
    (found,) = pumped(pump, Checker(nas, s3_door(cloud), no_pace).check(odd, left.answer))
    end = {403: (None, "S3-403"), 404: ("S3-LOST", ""), 500: ("", "")}[status]
    assert (found.s3 and found.s3.partition(":")[0], found.trouble.partition(":")[0]) == end
    assert strict_heads(cloud) == (3 if status == 500 else 2)


def test_company_with_a_key_that_no_address_can_hold(cloud: StrictCloud, nas: Nas, pump: Pump) -> None:
    """Such a row goes on alone, and its trouble is its own."""
    odd = TASK._replace(id=2, s3_key="c/\udcff")
    right, left = together(pump, cloud, nas, TASK, odd)
    assert (type(right), left) == (Checked, Alone(None))
    assert whole(pump, cloud, nas, odd).trouble.startswith("S3-NAME")


def test_what_is_to_be_read_keeps_no_company() -> None:
    """Reading a file takes as long as it takes."""
    checker = Checker(None, None, no_pace)
    assert (checker.may_join(TASK), checker.may_join(TASK._replace(deep=True))) == (True, False)


def strict_heads(cloud: StrictCloud) -> int:
    """How often an object was asked for."""
    return len(cloud.asked("HeadObject"))
