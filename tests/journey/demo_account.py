"""The account of the demo: a small video platform, and how it gets into Azurite.

About 1,900 blobs in 44 containers: 40 `asset-<guid>` with renditions and side files, one blob of 300 MB among them; two
live ones; an empty one; one with names that other tools lose. The same on every machine: the seed is fixed.
"""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.fill import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.servers.endpoints import AzureAt

LIVE = ("images", "reports")
AWKWARD = "awkward-names"
EMPTY = "nothing-here-yet"
LARGE_BYTES = 300 * 1000 * 1000
ASSETS = 40

RENDITIONS = (
    "_H264_1800kbps_AAC_und_ch2_128kbps.mp4",
    "_H264_4500kbps_AAC_und_ch2_128kbps.mp4",
    "_H264_3400kbps_AAC_und_ch2_96kbps.mp4",
)

AWKWARD_NAMES = (
    *(
        "a",
        "a/b",
        "a//b",
        "/lead",
        "trailing./x",
        "trailing ",
        " leading",
    ),  # a file and a folder of one name, and worse
    *(
        "100%",
        "a%2Fb",
        "%zz",
        "a?b=c",
        "a#b",
        "a+b",
        "a&b=c;d",
        "it's",
        '"quoted"',
        "a*b|c<d>e",
        "C:\u2215x",
        "file.txt:ads",
    ),
    *("CON", "nul.tar.gz", "...", "-rf", "~root", "$HOME", "`id` $(id) ;rm", "=HYPERLINK(1)", "{0.__class__}", "%s%n"),
    *(
        "A.txt",
        "a.txt",
        "Dir/x",
        "dir/x",
        "\u00e9.txt",
        "cafe\u0301",
        "Stra\u00dfe",
        "STRASSE",
    ),  # one file on many a NAS
    *("\U0001f600.txt", "\u6f22\u5b57/\u30d5\u30a1\u30a4\u30eb", "\uff1afullwidth\uff1f", "zero\u200bwidth"),
    *("x.part", ".DS_Store", ".scs/NAS-ID", "s" * 255, "\u00e9" * 200),
)


class Put(NamedTuple):
    """One blob to write."""

    container: str
    name: str
    data: bytes
    content_type: str = "application/octet-stream"


def containers() -> list[str]:
    """All containers of the account."""
    chance = random.Random(2019)
    assets = [f"asset-{uuid.UUID(int=chance.getrandbits(128), version=4)}" for _ in range(ASSETS)]
    return [*assets, *LIVE, AWKWARD, EMPTY]


def blobs() -> Iterator[Put]:
    """All blobs but the large one."""
    chance = random.Random(44)
    for container in containers()[:ASSETS]:
        for _ in range(6):
            stem = f"{chance.randrange(10**5)}-{chance.randbytes(20).hex()}-{chance.randrange(10**8):08}"
            for rendition in RENDITIONS:
                yield Put(container, stem + rendition, chance.randbytes(chance.randrange(4_000, 60_000)), "video/mp4")
            yield Put(container, f"{stem}.ism", b"<smil/>", "application/octet-stream")
            yield Put(
                container, f"thumbs/{stem}/0001.jpg", chance.randbytes(chance.randrange(900, 9_000)), "image/jpeg"
            )
            yield Put(container, f"{stem}_manifest.xml", f"<manifest stem='{stem}'/>".encode(), "text/xml")
        yield Put(container, "subtitles/none.vtt", b"", "text/vtt")  # an empty blob is a blob
    for number in range(200):
        yield Put("images", f"{number % 7}/picture-{number:04}.png", chance.randbytes(2_000), "image/png")
    for number in range(120):
        yield Put("reports", f"2026/{1 + number % 11:02}/report-{number:04}.csv", chance.randbytes(700), "text/csv")
    for name in AWKWARD_NAMES:
        yield Put(AWKWARD, name, f"the blob named {name!r}".encode())


def changes() -> list[Put]:
    """What happens between the first run and the second: in live containers, five change and twelve are new."""
    chance = random.Random(7)
    changed = [Put("images", f"{n % 7}/picture-{n:04}.png", chance.randbytes(2_100), "image/png") for n in range(5)]
    new = [Put("images", f"new/picture-{n:04}.png", chance.randbytes(2_000), "image/png") for n in range(9)]
    late = [Put("reports", f"2026/12/report-{n:04}.csv", chance.randbytes(700), "text/csv") for n in range(3)]
    return changed + new + late


def large_name() -> tuple[str, str]:
    """Container and name of the large blob."""
    return containers()[0], "10-7c9e6679f2b44a0c-00000300" + RENDITIONS[1]


def fill(azure: AzureAt) -> int:
    """Make the account; gives the number of blobs."""
    container, name = large_name()
    with Account(azure) as service:
        for each in containers():
            service.make_container(each)
        # In blocks, as every uploader does at this size: such a blob has no Content-MD5 of its own.
        service.put(container, name, _large(), headers={"Content-Type": "video/mp4"}, block_bytes=8 << 20)
    return 1 + put(azure, list(blobs()))


def put(azure: AzureAt, wanted: Sequence[Put]) -> int:
    """Write blobs, four at a time; gives their number."""

    def some(items: Sequence[Put]) -> int:
        with Account(azure) as service:
            for item in items:
                service.put(item.container, item.name, item.data, headers={"Content-Type": item.content_type})
        return len(items)

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(some, [wanted[start::4] for start in range(4)]))


def _large() -> bytes:
    """LARGE_BYTES bytes, of which no two stretches of a million are alike."""
    piece = random.Random(300).randbytes(1_000_000 - 8)
    return b"".join(number.to_bytes(8, "big") + piece for number in range(LARGE_BYTES // 1_000_000))
