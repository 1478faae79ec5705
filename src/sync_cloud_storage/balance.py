"""What was listed and what became of it, as values. Floor 0: no I/O.

A `Balance` is that of one container, or of all: every blob is in one state, and the states add up to what was listed.
`Whole` is all that can be said about a catalog without naming blobs; a `BlobRow` is what is said about one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sync_cloud_storage.model import Problem
from sync_cloud_storage.units import print_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WORDS = {  # for people, of the states
    "proven": "proven in S3",
    "uploaded": "in S3, not proven",
    "downloaded": "only on the NAS",
    "pending": "to download",
    "failed": "failed",
    "skipped": "skipped",
}
STATES = tuple(WORDS)
SETTLED = frozenset({"proven", "skipped"})  # nothing is left to do, or to be explained
LEVELS = (
    "listed",
    "its object has the right size",
    "hashed on its way to the NAS",
    "hashed, and the source's own checksum agreed",
    "S3's own checksum of the whole object is that of the download",
)


class Sum(NamedTuple):
    """So many blobs, and their bytes."""

    blobs: int = 0
    bytes: int = 0


class Level(NamedTuple):
    """The blobs of one proof level; *attested* are those of them whose source gave a checksum that agreed."""

    blobs: int = 0
    bytes: int = 0
    attested: int = 0


class Group(NamedTuple):
    """Blobs that are alike in all that is counted.

    `reason`: the error's code, why it is skipped, or the code of what a check found; "" for none. `gone`: the source no
    longer has them. `mismatched`: a check found their file or object wrong.
    """

    state: str
    level: int
    attested: int
    gone: int
    mismatched: int
    reason: str
    blobs: int
    bytes: int


class Balance(NamedTuple):
    """One container, or all of them ("").

    `listed` is the container's own counter, kept while it was listed; None where the catalog has blobs of a container
    that it does not know. The groups are its rows, counted one by one.
    """

    container: str
    listed: Sum | None
    groups: tuple[Group, ...]

    def sum_of(self, wanted: Callable[[Group], object] = lambda _: True) -> Sum:
        """Blobs and bytes of the groups that are *wanted*."""
        found = [group for group in self.groups if wanted(group)]
        return Sum(sum(group.blobs for group in found), sum(group.bytes for group in found))

    def states(self) -> dict[str, Sum]:
        """Each state, also those that nothing is in."""
        return {state: self.sum_of(lambda group, state=state: group.state == state) for state in STATES}  # type: ignore[misc]

    def levels(self) -> tuple[Level, ...]:
        """Each proof level, from 0 to 4."""
        found = [Level() for _ in LEVELS]
        for group in self.groups:
            blobs, size, attested = found[group.level]
            found[group.level] = Level(
                blobs + group.blobs, size + group.bytes, attested + group.blobs * (group.attested > 0)
            )
        return tuple(found)

    def failed(self) -> dict[str, Sum]:
        """Failed blobs by code, the most frequent first."""
        return self._by_reason(lambda group: group.state == "failed")

    def found(self) -> dict[str, Sum]:
        """Blobs that a check found wrong, and that have not failed, by code."""
        return self._by_reason(lambda group: group.mismatched and group.state != "failed")

    def skipped(self) -> dict[str, Sum]:
        """Skipped blobs by reason, the most frequent first."""
        return self._by_reason(lambda group: group.state == "skipped")

    def gone(self) -> Sum:
        """Blobs that the source no longer has, whatever their state."""
        return self.sum_of(lambda group: group.gone)

    def mismatched(self) -> Sum:
        """Blobs whose file or object a check found wrong, whatever their state."""
        return self.sum_of(lambda group: group.mismatched)

    def is_conserved(self) -> bool:
        """Whether its rows are what was listed."""
        return self.listed == self.sum_of()

    def _by_reason(self, wanted: Callable[[Group], object]) -> dict[str, Sum]:
        reasons = {group.reason for group in self.groups if wanted(group)}
        sums = {
            reason: self.sum_of(lambda group, reason=reason: wanted(group) and group.reason == reason)  # type: ignore[misc]
            for reason in reasons
        }
        return dict(sorted(sums.items(), key=lambda item: (-item[1].blobs, item[0])))


class Containers(NamedTuple):
    """How many containers there are; of which: not listed yet, not listed for an error, not to be listed."""

    known: int
    to_list: int
    failed: int
    skipped: int


class UnlistedContainer(NamedTuple):
    """A container whose blobs the catalog does not know, or not all of them, or not as they are now.

    `state`: skipped, failed, pending. `reason`: why it is skipped, or the error's code.
    """

    container: str
    state: str
    reason: str


class Whole(NamedTuple):
    """All that is said of a catalog without naming blobs, at one moment.

    Times are "" for what never happened. `largest` are the containers with the most bytes; `differences` the first few
    sums that do not add up, of `difference_count`.
    """

    catalog: str
    at_utc: str
    account: str
    bucket: str
    nas_id: str
    first_run_at_utc: str
    last_run_at_utc: str
    last_check_at_utc: str
    containers: Containers
    container_codes: tuple[tuple[str, int], ...]
    balance: Balance
    largest: tuple[Balance, ...]
    differences: tuple[Problem, ...]
    difference_count: int

    def unproven(self) -> Sum:
        """Blobs that are neither proven nor skipped."""
        return self.balance.sum_of(lambda group: group.state not in SETTLED)

    @property
    def exit_code(self) -> int:
        """0 all proven but what is skipped; 1 not so, or nothing listed at all; 5 the sums do not add up."""
        mismatched = self.balance.mismatched().blobs
        return _exit_code(self.difference_count, self.containers, self.unproven().blobs, mismatched)


class BlobRow(NamedTuple):
    """What the catalog says of one blob. Texts are "" for what is not known, and times for what did not happen.

    All fields but the last are the leaf of a certificate: what is added here makes certificates of another version.
    `level` and `state` are those of the view `blobs`, but that an uploaded blob at level 4 is `proven`. `reason` is as
    in `Group`, the two checks are codes; `sentence` is what the error or the check said. `size_bytes` is None for a
    row of 2019 that was not listed since.
    """

    container: str
    blob: str
    state: str
    level: int
    attested: int
    reason: str
    size_bytes: int | None
    etag: str
    last_modified: str
    content_md5: str
    crc64nvme: str
    md5: str
    nas_path: str
    s3_key: str
    s3_etag: str
    s3_checksum: str
    s3_version_id: str
    listed_at_utc: str
    downloaded_at_utc: str
    uploaded_at_utc: str
    checked_at_utc: str
    gone_at_utc: str
    nas_check: str
    s3_check: str
    sentence: str


class Finding(NamedTuple):
    """What is known about the blob that was asked for. `stated`: all that is said of it; None where it is not named.

    `is_inside`: None where only the catalog could tell.
    """

    container: str
    blob: str
    is_inside: bool | None
    stated: dict[str, Any] | None


class Verdict(NamedTuple):
    """A certificate that is in order. `key_was_given`: it is signed with the very key that was asked for."""

    statement: dict[str, Any]
    public_key: str
    key_was_given: bool
    catalog: str
    finding: Finding | None

    @property
    def exit_code(self) -> int:
        """0 it states that all is proven but what is skipped, or that this blob is; 1 not so; 5 sums differ."""
        statement = self.statement
        if self.finding is not None and not statement["differences"]:
            stated = self.finding.stated
            if not self.finding.is_inside or stated is None or stated["nas_check"] or stated["s3_check"]:
                return 1
            return int(stated["state"] != "proven")
        unproven = sum(found["blobs"] for state, found in statement["states"].items() if state not in SETTLED)
        mismatched = statement["mismatched"]["blobs"]
        return _exit_code(statement["differences"], Containers(**statement["containers"]), unproven, mismatched)


def added_up(container: str, balances: Iterable[Balance]) -> Balance:
    """One balance of several."""
    blobs, size = 0, 0
    found: dict[tuple[object, ...], Group] = {}
    for balance in balances:
        listed = balance.listed or Sum()
        blobs, size = blobs + listed.blobs, size + listed.bytes
        for group in balance.groups:
            known = found.get(group[:-2], group._replace(blobs=0, bytes=0))
            found[group[:-2]] = known._replace(blobs=known.blobs + group.blobs, bytes=known.bytes + group.bytes)
    return Balance(container, Sum(blobs, size), tuple(sorted(found.values())))


def difference(balance: Balance) -> Problem | None:
    """What does not add up in one container, None when all does."""
    if balance.is_conserved():
        return None
    counted = _amount(balance.sum_of())
    if balance.listed is None:
        sentence = f"The catalog holds {counted} of container '{balance.container}', and no such container."
    else:
        sentence = f"Container '{balance.container}' was listed with {_amount(balance.listed)}, its rows are {counted}."
    return Problem(balance.container, "", "list", "COUNTS-DIFFER", sentence)


def running_differences(running: Mapping[str, Sum], whole: Balance) -> list[Problem]:
    """Where the running sums of the catalog are not those of its rows. None at all were emptied by hand: no matter."""
    if not running:
        return []
    states = whole.states()
    counted = {
        **{state: states[state] for state in ("skipped", "failed", "pending", "downloaded")},
        "uploaded": whole.sum_of(lambda group: group.state in {"proven", "uploaded"}),
        "gone": whole.gone(),
    }
    return [
        Problem(
            "",
            "",
            "list",
            "COUNTS-DIFFER",
            f"The running sums of the catalog say that {_amount(running.get(name, Sum()))} are {name}, "
            f"its rows that it is {_amount(is_so)}.",
        )
        for name, is_so in counted.items()
        if running.get(name, Sum()) != is_so
    ]


def _exit_code(differences: int, containers: Containers, unproven: int, mismatched: int) -> int:
    if differences:
        return 5
    is_open = containers.to_list or containers.failed or not containers.known
    return int(bool(is_open or unproven or mismatched))


def _amount(of: Sum) -> str:
    return f"{print_count(of.blobs, 'blob')} ({of.bytes:,} bytes)"
