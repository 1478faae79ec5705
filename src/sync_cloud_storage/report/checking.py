"""Is this certificate what somebody signed, and does the catalog still say so? Reads, line by line; needs no settings.

The signature is of all bytes but the last line's, so it alone finds every change before that line; the last line has
one way to be written. What is looked at beyond it finds certificates that never were in order.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sync_cloud_storage.balance import LEVELS, STATES, Containers, Finding, Verdict
from sync_cloud_storage.errors import EnvironmentFault, Mismatch
from sync_cloud_storage.ledger import open_ledger
from sync_cloud_storage.report.as_jsonl import line
from sync_cloud_storage.report.certificate import (
    ALGORITHM,
    FIELDS,
    FORMAT,
    LEAF,
    TREE,
    Root,
    exceptions,
    statement_of,
)
from sync_cloud_storage.signing import is_public_key, is_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from sync_cloud_storage.ledger import Ledger, Stop

_LINE_BYTES = 1 << 20  # a name of 1,024 characters takes 12 KiB at most
_HINT = "Get the certificate once more from where it was made; it proves nothing as it is."
_SUM = {"blobs": int, "bytes": int}
_STATEMENT: dict[str, Any] = {
    "scs_certificate": FORMAT,
    "tool": str,
    **dict.fromkeys(
        ("made_at_utc", "account", "bucket", "nas_id", "first_run_at_utc", "last_run_at_utc", "last_check_at_utc"), str
    ),
    "containers": dict.fromkeys(Containers._fields, int),
    "listed": _SUM,
    "states": dict.fromkeys(STATES, _SUM),
    "levels": [{"level": number, **_SUM, "attested": int} for number in range(len(LEVELS))],
    "gone": _SUM,
    "mismatched": _SUM,
    "differences": int,
    "exceptions": {"containers": int, "blobs": int},
    "merkle": {"algorithm": TREE, "root": str, "leaves": int, "leaf": LEAF, "fields": list(FIELDS)},
}
_CONTAINER: dict[str, Any] = {"container": str, "state": str, "reason": str}
_BLOB: dict[str, Any] = {
    "container": str, "blob": str, "size_bytes": (int, None), "state": str, "level": int, "attested": int,
    "reason": str, "gone_at_utc": str, "nas_check": str, "s3_check": str,
}  # fmt: skip
_SIGNATURE: dict[str, Any] = {"algorithm": ALGORITHM, "public_key": str, "sha256": str, "signature": str}
# What a later run may change without touching a blob; all else has to be as it was.
_OF_THE_MOMENT = {"tool", "made_at_utc", "first_run_at_utc", "last_run_at_utc", "last_check_at_utc"}


def check(
    file: Path, now: Callable[[], datetime], stop: Stop, *, key: str = "", catalog: Path | None = None, blob: str = ""
) -> Verdict:
    """Check the certificate *file*.

    Args:
        file: Where it is.
        now: The time, aware, in UTC.
        stop: Asked now and then whether to go on.
        key: The public key that it has to be signed with; "" for any.
        catalog: Computed anew and compared, where one is given.
        blob: `CONTAINER/BLOB` to be looked for, or "".

    Raises:
        Mismatch: `CERT-BROKEN`, `CERT-SIGNER`, `CERT-DIFFERS`.
        EnvironmentFault: `CERT-FILE`, and as `Catalog.read`.
        Halted: A person stopped it.
    """
    container, _, name = blob.partition("/")
    try:
        with file.open("rb") as opened:
            reading = _Reading(opened, container, name)
            for _ in reading.exceptions():
                pass
            reading.require_signature(key)
            reading.require_sums()
            with open_ledger(catalog, now, stop) if catalog else nullcontext() as ledger:
                if ledger is not None:
                    opened.seek(0)
                    _compare(_Reading(opened, "", ""), ledger)
                finding = _finding(reading, ledger, container, name) if blob else None
    except OSError as error:
        raise EnvironmentFault(
            "CERT-FILE", f"The certificate {file} cannot be read: {error.strerror}.", "Look at its name and its rights."
        ) from None
    return Verdict(reading.statement, reading.public_key, bool(key), str(catalog or ""), finding)


class _Reading:
    """One way through a certificate, from its first byte to its last."""

    def __init__(self, opened: BinaryIO, container: str, blob: str) -> None:
        self._digest = sha256()
        self._lines = self._but_the_last(opened)
        self._wanted = (container, blob)
        self._states = {state: [0, 0] for state in STATES}
        self._containers = self._blobs = self._mismatched = 0
        self._signature: dict[str, Any] = {}
        self.found: dict[str, Any] | None = None
        self.statement = self._first()

    @property
    def public_key(self) -> str:
        """The key that it says it is signed with."""
        return str(self._signature["public_key"])

    def exceptions(self) -> Iterator[dict[str, Any]]:
        """The lines between the first and the last, each in order, and in their order."""
        before: tuple[int, str, str] = (0, "", "")
        for number, data in enumerate(self._lines, 2):
            document = _parsed(data, number)
            is_blob = "blob" in document
            _require_form(document, _BLOB if is_blob else _CONTAINER, number)
            place = (int(is_blob), document["container"], document.get("blob", ""))
            if place <= before:  # Python sorts texts by code points, which is how their UTF-8 bytes sort
                raise _broken(f"line {number} is not in its place, after {'/'.join(filter(None, before[1:]))}")
            before = place
            self._note(document, is_blob=is_blob)
            yield document

    def require_signature(self, key: str) -> None:
        """Raise unless it is signed, and with *key* if that is not ""."""
        signed = self._signature
        digest = self._digest.digest()
        if signed["sha256"] != digest.hex():
            raise _broken(
                f"its lines have SHA-256 {digest.hex()}, and what was signed had {signed['sha256']}: they were changed"
            )
        if not is_public_key(signed["public_key"]) or not is_signed(digest, signed["signature"], signed["public_key"]):
            raise _broken("the signature in its last line is not one of these lines with the key named there")
        if key and key != signed["public_key"]:
            raise Mismatch(
                "CERT-SIGNER",
                f"The certificate is signed with the key {signed['public_key']}, not with {key}.",
                "Ask who made it which key is theirs: scs init prints it.",
            )

    def require_sums(self) -> None:
        """Raise unless the lines are as many as the statement says, and its sums add up."""
        statement = self.statement
        stated = statement["exceptions"]
        for what, so, counted in (
            ("exceptions that are containers", stated["containers"], self._containers),
            ("exceptions that are blobs", stated["blobs"], self._blobs),
            ("mismatched blobs", statement["mismatched"]["blobs"], self._mismatched),
        ):
            if so != counted:
                raise _broken(f"it states {so:,} {what}, and names {counted:,}")
        for state in STATES[1:]:
            so, named = statement["states"][state], dict(zip(_SUM, self._states[state], strict=True))
            if so != named:
                raise _broken(f"it states {so} as {state}, and names {named}")
        for what, parts in (("states", [*statement["states"].values()]), ("levels", statement["levels"])):
            for unit in _SUM:
                if sum(part[unit] for part in parts) != statement["listed"][unit]:
                    raise _broken(f"the {unit} of its {what} are not those that it states as listed")
        if statement["states"]["proven"]["blobs"] > statement["levels"][-1]["blobs"]:
            raise _broken("it states more blobs as proven than have the highest level")
        if statement["merkle"]["leaves"] != statement["listed"]["blobs"]:
            raise _broken("its tree has another number of leaves than it states as listed")

    def _first(self) -> dict[str, Any]:
        try:
            document = _parsed(next(self._lines), 1)
        except StopIteration:
            raise _broken("it has less than two lines") from None
        made_by = document.get("scs_certificate")
        if isinstance(made_by, int) and made_by > FORMAT:
            raise _broken(
                f"its format is version {made_by}, and this version of scs knows {FORMAT}; a newer one may know it"
            )
        _require_form(document, _STATEMENT, 1)
        return document

    def _note(self, document: dict[str, Any], *, is_blob: bool) -> None:
        if not is_blob:
            self._containers += 1
            return
        self._blobs += 1
        is_mismatched = bool(document["nas_check"] or document["s3_check"])
        self._mismatched += is_mismatched
        if document["state"] not in STATES or (document["state"] == "proven" and not is_mismatched):
            raise _broken(f"'{document['container']}/{document['blob']}' has no state that an exception can have")
        of_state = self._states[document["state"]]
        of_state[0] += 1
        of_state[1] += document["size_bytes"] or 0
        if (document["container"], document["blob"]) == self._wanted:
            self.found = document

    def _but_the_last(self, opened: BinaryIO) -> Iterator[bytes]:
        ready, number = opened.readline(_LINE_BYTES), 1
        while following := opened.readline(_LINE_BYTES):
            self._digest.update(ready)
            yield ready
            ready, number = following, number + 1
        if number > 1:
            self._signature = _parsed(ready, number)
            if not _fits(self._signature, _SIGNATURE):
                raise _broken("its last line is no signature")


def _compare(reading: _Reading, ledger: Ledger) -> None:
    """Raise unless the catalog says what the certificate says."""
    root = Root()
    for row in ledger.rows():
        root.add(row)
    now = statement_of(ledger.whole(), root.document())
    stated = reading.statement
    differing = [name for name in now if name not in _OF_THE_MOMENT and now[name] != stated[name]]
    if differing and (name := differing[0]) != "merkle":  # which is the last
        raise _differs(f"it states {name} as {_short(stated[name])}, and the catalog says {_short(now[name])}")
    for certified, so in zip_longest(reading.exceptions(), exceptions(ledger.unlisted(), ledger.exceptions())):
        if certified != so:
            raise _differs(f"it says {_short(certified)}, and the catalog {_short(so)}")
    if differing:
        raise _differs(
            f"the rows have the root {now['merkle']['root']}, and it states {stated['merkle']['root']}: at least one "
            "row is not what it was"
        )


def _finding(reading: _Reading, ledger: Ledger | None, container: str, blob: str) -> Finding:
    if ledger is None:  # named by itself, or unknown
        return Finding(container, blob, True if reading.found else None, reading.found)
    row = ledger.find(container, blob)
    return Finding(container, blob, row is not None, None if row is None else dict(zip(FIELDS, row, strict=False)))


def _parsed(data: bytes, number: int) -> dict[str, Any]:
    """The JSON object of a line that is written in the one way."""
    try:
        document = json.loads(data.decode("ascii"))
        if isinstance(document, dict) and line(document).encode("ascii") == data:
            return document
    except (ValueError, RecursionError):
        pass
    raise _broken(f"line {number} is not written as lines of a certificate are")


def _require_form(document: dict[str, Any], form: dict[str, Any], number: int) -> None:
    if not _fits(document, form):
        raise _broken(f"line {number} does not hold what it has to")


def _fits(value: Any, form: Any) -> bool:
    """Whether *value* has this form: the same keys in order, these very values, these types, one of a tuple."""
    if isinstance(form, dict):
        is_alike = isinstance(value, dict) and list(value) == list(form)
        return is_alike and all(_fits(value[name], form[name]) for name in form)
    if isinstance(form, list):
        return isinstance(value, list) and len(value) == len(form) and all(map(_fits, value, form))
    if isinstance(form, tuple):
        return any(_fits(value, one) for one in form)
    if form is int:
        return type(value) is int and value >= 0
    return isinstance(value, str) if form is str else type(value) is type(form) and value == form


def _short(document: object) -> str:
    text = "nothing more" if document is None else json.dumps(document)
    return text if len(text) <= 600 else f"{text[:600]}..."


def _broken(why: str) -> Mismatch:
    return Mismatch("CERT-BROKEN", f"The certificate is not in order: {why}.", _HINT)


def _differs(why: str) -> Mismatch:
    return Mismatch(
        "CERT-DIFFERS",
        f"The catalog is not what the certificate says: {why}.",
        "Is it the catalog as it was then? A run or a check since changes it: keep a copy with each certificate.",
    )
