"""The rows: what is done, how much of it in the short form and in the full one, by whom, and what is to be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import contenders as who
from benchmarks import own
from benchmarks.lab import GIB, KIB, MIB, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.contenders import Stage, Turn

Sizes = dict[str, int]


class Entry(NamedTuple):
    """One contender of one row.

    Args:
        tool: Its name in `tools.py`.
        turn: Does the work once.
        does: What it does and does not do, for the page.
        is_slow: It takes part in the first round only.
    """

    tool: str
    turn: Callable[[Stage, Path], Turn]
    does: str
    is_slow: bool = False


class Claim(NamedTuple):
    """What is to be reached. A ratio is theirs / ours, round by round, and its median counts.

    Args:
        ours: A stage.
        theirs: Another stage; empty: the figure of *ours* itself counts.
        at_least: At least so much,
        at_most: or at most.
        figure: "seconds" or "peak_mib".
        also: A stage of ours that takes the work in full: its ratio is told beside this one.
    """

    ours: str
    theirs: str = ""
    at_least: float = 0.0
    at_most: float = 0.0
    figure: str = "seconds"
    also: str = ""


class Row(NamedTuple):
    """One line of the table.

    Args:
        name: For the command line.
        work: What is done; sizes are put in.
        sizes: Name -> (short form, full form).
        recipe: From the sizes to the data.
        entries: Who takes part.
        claims: From the sizes to what is to be reached.
        tls: Whether the clouds speak TLS.
        moments: Whether the server writes down when it was asked.
        copies: How many times the data must fit beside itself.
        unit: What a rate counts: "blobs", "bytes", or "" for none.
    """

    name: str
    work: str
    sizes: Mapping[str, tuple[int, int]]
    recipe: Callable[[Sizes], Recipe]
    entries: tuple[Entry, ...]
    claims: Callable[[Sizes], tuple[Claim, ...]]
    tls: bool = False
    moments: bool = False
    copies: int = 1
    unit: str = "blobs"


SMALL = 16 * KIB
_OURS = "MD5 and CRC64NVME of every blob, fsync of file and folder, a row in the catalog with the evidence"
_DOWN = (
    Entry("scs", who.scs_download, _OURS),
    Entry("rclone", who.rclone_copy, "--transfers 32; checks MD5; no fsync, no durable state"),
    Entry("azcopy", who.azcopy_copy, "--check-md5 FailIfDifferent; a job plan on disk; no fsync of files"),
)
_BARE = Entry(
    "bare", who.bare_loop, "libcurl, MD5, CRC64NVME, file, flush, rename, and nothing else: the limit of Python"
)
_UP = (
    Entry("scs", who.scs_upload, "hashes again and compares; sends CRC64NVME with each object; a row for each object"),
    Entry("s5cmd", who.s5cmd_upload, "sends no checksum of the object; no durable state"),
)
_AWS = Entry("aws", who.aws_upload, "2.9 with its CRT client: sends no CRC64NVME; no durable state")


def _fixed(*claims: Claim) -> Callable[[Sizes], tuple[Claim, ...]]:
    return lambda _: claims


def _equal(sizes: Sizes) -> Recipe:
    return Recipe("equal", sizes["blobs"], sizes.get("containers", 10), sizes["size"])


def _listing(sizes: Sizes) -> Recipe:
    return Recipe("listing", sizes["blobs"], sizes["containers"], SMALL)


def _pending(sizes: Sizes) -> Recipe:
    return Recipe("equal", sizes["pending"], 10, SMALL)


_AT_BOTH = ("scs download at {rows:,} rows", "scs download at {more_rows:,} rows")
_SETTLED = ("settle at {rows:,} rows", "settle at {more_rows:,} rows")

ROWS = (
    Row(
        "list_one",
        "list {blobs:,} blobs of {containers:,} container",
        {"blobs": (50_000, 1_000_000), "containers": (1, 1)},
        _listing,
        (
            Entry("scs", who.scs_sync, "into a new catalog, with every property, key and NAS path; durable"),
            Entry("rclone", who.rclone_lsjson, "JSON to a file in memory; with MD5"),
            Entry("azcopy", who.azcopy_list, "text to a file in memory; with MD5"),
        ),
        _fixed(Claim("scs sync", "rclone lsjson", 3), Claim("scs sync", "azcopy list", 3)),
    ),
    Row(
        "list_many",
        "list {blobs:,} blobs of {containers:,} containers",
        {"blobs": (50_000, 1_000_000), "containers": (100, 2_000)},
        _listing,
        (
            Entry("scs", who.scs_sync, "into a new catalog, with every property, key and NAS path; durable"),
            Entry("rclone", who.rclone_lsjson, "JSON to a file in memory; with MD5"),
        ),  # azcopy lists one container a process: 2,000 starts would be what is measured
        _fixed(Claim("scs sync", "rclone lsjson", 3)),
    ),
    Row(
        "relist",
        "nothing changed: list {blobs:,} blobs of {containers:,} containers again",
        {"blobs": (50_000, 1_000_000), "containers": (100, 2_000)},
        _listing,
        (
            Entry("scs", who.scs_resync, "`--all`; compares every property, marks what is gone; durable"),
            Entry("rclone", who.rclone_dry_sync, "--fast-list; compares size and time with files on tmpfs"),
        ),
        _fixed(Claim("scs sync --all", "rclone sync --dry-run", 3)),
    ),
    Row(
        "download_small",
        "download {blobs:,} blobs of {size:,} bytes",
        {"blobs": (10_000, 100_000), "size": (SMALL, SMALL)},
        _equal,
        (*_DOWN, _BARE),
        _fixed(
            Claim("scs download", "rclone copy", 2.5, also="scs sync + download"),
            Claim("scs download", "azcopy copy", 5, also="scs sync + download"),
        ),
    ),
    Row(
        "download_small_tls",
        "download {blobs:,} blobs of {size:,} bytes over TLS",
        {"blobs": (10_000, 100_000), "size": (SMALL, SMALL)},
        _equal,
        (*_DOWN[:2], _BARE),
        _fixed(Claim("scs download", "rclone copy", 2, also="scs sync + download")),
        tls=True,
    ),
    Row(
        "upload_small",
        "upload {blobs:,} files of {size:,} bytes",
        {"blobs": (5_000, 100_000), "size": (SMALL, SMALL)},
        _equal,
        (
            *_UP,
            _AWS._replace(is_slow=True, does=f"{_AWS.does}; one round only: a new connection for each object"),
            Entry("rclone", who.rclone_upload, "--transfers 32; sends MD5, asks for each object again (HEAD)"),
        ),
        _fixed(
            Claim("scs upload", "s5cmd cp", 2.5),
            Claim("scs upload", "aws s3 cp", 5),
            Claim("scs upload", "rclone copy", 3),
        ),
        copies=2,
    ),
    Row(
        "download_large",
        "download {blobs:,} blobs of {size:,} bytes with Content-MD5",
        {"blobs": (4, 4), "size": (256 * MIB, GIB), "containers": (1, 1)},
        _equal,
        (
            *_DOWN,
            Entry("curl", who.curls, "four at once; checks nothing: the limit of the wire"),
            Entry("curl+md5", who.curls_and_md5, "four at once, then OpenSSL's MD5 of each: the limit with a check"),
        ),
        _fixed(
            Claim("scs download", "rclone copy", 1.3, also="scs sync + download"),
            Claim("scs download", "azcopy copy", 2, also="scs sync + download"),
            Claim("scs download", "curl", 0.8, also="scs sync + download"),
        ),
        unit="bytes",
    ),
    Row(
        "upload_large",
        "upload {blobs:,} files of {size:,} bytes",
        {"blobs": (4, 4), "size": (256 * MIB, GIB), "containers": (1, 1)},
        _equal,
        (*_UP, _AWS),
        _fixed(Claim("scs upload", "s5cmd cp", 1), Claim("scs upload", "aws s3 cp", 1)),
        copies=2,
        unit="bytes",
    ),
    Row(
        "download_mix",
        "download {bytes:,} bytes in log-normal sizes, 10 KiB to 2 GiB",
        {"bytes": (2 * 10**9, 20 * 10**9)},
        lambda sizes: Recipe("mix", 0, 10, sizes["bytes"]),
        _DOWN,
        _fixed(
            Claim("scs download", "rclone copy", 1.5, also="scs sync + download"),
            Claim("scs download", "azcopy copy", 2.5, also="scs sync + download"),
        ),
        unit="bytes",
    ),
    Row(
        "xcheck",
        "check {blobs:,} objects of {size:,} bytes",
        {"blobs": (10_000, 200_000), "size": (KIB, KIB)},
        _equal,
        (
            Entry("scs", who.scs_xcheck, "lists both, asks S3 where it must, and looks at each file (not with --s3)"),
            Entry("rclone", who.rclone_check, "--fast-list; lists both, compares size and MD5; looks at no files"),
        ),
        _fixed(Claim("scs xcheck --s3", "rclone check", 3, also="scs xcheck")),
        copies=2,
    ),
    Row(
        "restart",
        "first byte after a restart with {rows:,} rows, {pending:,} of them pending",
        {"rows": (1_000_000, 1_000_000), "pending": (10_000, 10_000)},
        _pending,
        (Entry("scs", own.restart, "killed after the first blob, so that each start finds what a reboot leaves"),),
        _fixed(Claim("scs download, first blob", at_most=2)),
        moments=True,
        unit="",
    ),
    Row(
        "memory",
        "memory of all processes: download with {rows:,} rows and with {more_rows:,}",
        {"rows": (100_000, 1_000_000), "more_rows": (500_000, 10_000_000), "pending": (20_000, 50_000)},
        _pending,
        (Entry("scs", own.memory, "each round downloads blobs of its own, 1/rounds of what is pending"),),
        lambda sizes: (
            Claim(_AT_BOTH[0].format(**sizes), at_most=300, figure="peak_mib"),
            Claim(_AT_BOTH[1].format(**sizes), at_most=300, figure="peak_mib"),
            Claim(_AT_BOTH[0].format(**sizes), _AT_BOTH[1].format(**sizes), at_most=1.1, figure="peak_mib"),
        ),
        unit="",
    ),
    Row(
        "update",
        "{updates:,} status updates with {rows:,} rows and with {more_rows:,}",
        {
            "rows": (100_000, 100_000),
            "more_rows": (500_000, 10_000_000),
            "updates": (5_000, 5_000),
            "pending": (20_000, 50_000),
        },
        _pending,
        (Entry("scs", own.update, "the catalog's own verb in one process, groups of 1,000, each flushed to disk"),),
        lambda sizes: (
            Claim(_SETTLED[0].format(**sizes), _SETTLED[1].format(**sizes), at_most=1.3),
        ),
        unit="",
    ),
)  # fmt: skip
