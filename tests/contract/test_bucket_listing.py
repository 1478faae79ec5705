"""The door to the bucket lists what every S3 that we can start holds: all of it, from anywhere, under its own names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.listing import list_objects
from sync_cloud_storage.model import ListObjects
from sync_cloud_storage.s3 import S3, Profile, S3Access
from tests.servers import clients
from tests.servers.strict import Answer, Fault, IgnoreQuery
from tests.unit.doors import SHORT
from tests.unit.telling import new_pump, pumped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sync_cloud_storage.http.pump import Pump
    from tests.servers.endpoints import S3At
    from tests.servers.strict import StrictCloud

# In the order of their bytes, which is that of S3. The first ones no server refuses.
NAMES = ["a b", "a%20b", "a%2Fb", "a&b<c>'\"", "a+b", "a/b c/d", "a=b?c#d", "e\u0301", "z~z", "é", "漢字", "😀/😀"]
CONTROLS = ["cr\rx", "esc\x1b[31m", "nl\nx", "tab\tx"]
ODD_PATHS = ["/lead", "c//d", "dir/", "x\ufffex"]


class Server(NamedTuple):
    """One of them, with a bucket, and which names it takes beside the usual ones."""

    at: S3At
    bucket: str
    more: list[str]

    @property
    def door(self) -> S3:
        """Our door to it."""
        access = S3Access(self.at.access_key_id, self.at.secret_access_key)
        return S3(Profile(self.at.url, self.bucket, self.at.region), access, Line(), SHORT)

    def fill(self, *keys: str) -> None:
        """Put an object under each key; its bytes are the key."""
        with clients.boto(self.at) as client:
            for key in keys:
                client.put_object(Bucket=self.bucket, Key=key, Body=key.encode())


@pytest.fixture(params=["moto", "rclone", "strict"])
def server(request: pytest.FixtureRequest, new_bucket: Callable[[S3At], str]) -> Server:
    """Each server in turn, with an empty bucket."""
    if request.param == "strict":
        at = request.getfixturevalue("strict").s3_at
        return Server(at, new_bucket(at), CONTROLS + ODD_PATHS)
    if request.param == "moto":  # no line break in a key; it takes those of XML 1.0 only
        at = request.getfixturevalue("moto")
        return Server(at, new_bucket(at), ["esc\x1b[31m", "tab\tx", "c//d", "dir/"])
    at = request.getfixturevalue("rclone_s3")  # objects are files
    return Server(at, new_bucket(at), CONTROLS)


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Make a pump."""
    yield from new_pump()


def listed(pump: Pump, door: S3, *spans: ListObjects) -> list[tuple[str, int, str]]:
    """What these spans show, as a run follows them to their end."""
    found: list[tuple[str, int, str]] = []
    left = list(spans)
    while left:
        given: list[Any] = []
        (last,) = pumped(pump, list_objects(left.pop(0), door, given.append))
        assert not last.gave_up
        found += [one for page in (*given, last) for one in page.listed()]
        left = [last.goes_on, *left] if last.goes_on else left
    return found


def nobody(result: object) -> None:
    """Take what a story gives on the way, where it should give nothing."""
    raise AssertionError(result)


def in_order(keys: list[str]) -> list[str]:
    """As S3 has them: by their bytes."""
    return sorted(keys, key=str.encode)


def test_every_name_comes_back_as_it_is(server: Server, pump: Pump) -> None:
    """Keys of any kind are listed with size and ETag, which is the one that each object has when it is asked for."""
    keys = NAMES + server.more
    server.fill(*keys)
    found = listed(pump, server.door, ListObjects())
    assert [key for key, _, _ in found] == in_order(keys)
    for key, size_bytes, etag in found:
        (there,) = pumped(pump, server.door.look(key))
        assert (size_bytes, etag) == (there.size_bytes, there.etag)
        assert (size_bytes, etag) == (len(key.encode()), hashlib.md5(key.encode(), usedforsecurity=False).hexdigest())


def test_spans_share_the_keys(server: Server, pump: Pump) -> None:
    """A span begins behind its first key, also one that is not there, and ends with its last; together they are all."""
    server.fill(*NAMES)
    marks = ["a%20b", "a/b", "b", "é", "漢"]
    spans = [ListObjects(*ends) for ends in zip(["", *marks], [*marks, ""], strict=True)]
    shown = [[key for key, _, _ in listed(pump, server.door, span)] for span in spans]
    assert [key for keys in shown for key in keys] == in_order(NAMES)
    assert shown[0] == ["a b", "a%20b"]
    assert shown[-1] == ["漢字", "😀/😀"]


def test_more_objects_than_a_page_has(server: Server, pump: Pump) -> None:
    """More than 1,000 objects come page by page, from the start or from the middle, each once."""
    keys = [f"d {number // 100}/{number:04}+%" for number in range(1203)]
    server.fill(*keys)
    assert [key for key, _, _ in listed(pump, server.door, ListObjects())] == in_order(keys)
    after = in_order(keys)[149]
    assert [key for key, _, _ in listed(pump, server.door, ListObjects(after))] == in_order(keys)[150:]


def test_an_empty_bucket(server: Server, pump: Pump) -> None:
    """It has no objects, which is all of them."""
    assert listed(pump, server.door, ListObjects()) == []


# ----------------------------------------------------------------------------------- what only our strict cloud can do


@pytest.fixture
def ours(strict: StrictCloud) -> Server:
    """The strict cloud, with a few objects."""
    strict.s3.make_bucket("bucket")
    made = Server(strict.s3_at, "bucket", [])
    made.fill("a", "b", "c", "d", "e")
    return made


def test_a_bucket_that_may_not_be_listed(strict: StrictCloud, ours: Server, pump: Pump) -> None:
    """Without the right to list nothing is shown, and that is said; it is asked for once."""
    strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="ListObjectsV2", times=0))
    (page,) = pumped(pump, list_objects(ListObjects(), ours.door, nobody))
    assert (page.listed(), page.gave_up, page.goes_on) == ([], True, None)
    assert len(strict.asked("ListObjectsV2")) == 1


def test_an_endpoint_that_always_begins_at_the_start(strict: StrictCloud, ours: Server, pump: Pump) -> None:
    """A listing that does not move on ends, shows what it has shown, and says that this is not all."""
    strict.s3.rules = strict.s3.rules._replace(page=2)
    strict.faults.append(Fault(IgnoreQuery("start-after"), operation="ListObjectsV2", times=0))
    given: list[Any] = []
    (page,) = pumped(pump, list_objects(ListObjects(), ours.door, given.append))
    assert ([one.listed()[0][0] for one in given], page.listed(), page.gave_up) == (["a"], [], True)
    assert len(strict.asked("ListObjectsV2")) == 2


def test_a_long_listing_goes_on_later(strict: StrictCloud, ours: Server, pump: Pump, monkeypatch: Any) -> None:
    """After so many pages a span is given back, from where it goes on, with the end that it had."""
    monkeypatch.setattr("sync_cloud_storage.listing.OBJECT_PAGES_AHEAD", 2)
    strict.s3.rules = strict.s3.rules._replace(page=1)
    given: list[Any] = []
    (page,) = pumped(pump, list_objects(ListObjects("", "d"), ours.door, given.append))
    assert ([one.listed()[0][0] for one in given], page.listed()[0][0]) == (["a"], "b")
    assert (page.goes_on, page.gave_up) == (ListObjects("b", "d"), False)
    assert [key for key, _, _ in listed(pump, ours.door, ListObjects("", "d"))] == ["a", "b", "c", "d"]
    # XML cannot hold all that a key can.
    assert all("encoding-type=url" in one.query for one in strict.asked("ListObjectsV2"))


@pytest.mark.parametrize("body", ["<html>hello</html>", "no XML", "<ListBucketResult><Contents/></ListBucketResult>"])
def test_an_answer_that_is_no_listing(strict: StrictCloud, ours: Server, pump: Pump, body: str) -> None:
    """It is asked for again, and then the bucket counts as one that cannot be listed."""
    strict.faults.append(Fault(Answer(200, body=body), operation="ListObjectsV2", times=2))
    assert len(listed(pump, ours.door, ListObjects())) == 5
    strict.faults[:] = [Fault(Answer(200, body=body), operation="ListObjectsV2", times=0)]
    (page,) = pumped(pump, list_objects(ListObjects(), ours.door, nobody))
    assert (page.listed(), page.gave_up) == ([], True)
