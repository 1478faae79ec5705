r"""Where a blob goes: blob name -> object key -> path on the NAS. Pure functions, floor 0.

**Object key**: the template (`{container}/{blob}`), after the rename rules were applied to the blob's name. Raw UTF-8,
but for keys that S3 or what stands before it cannot hold: longer than 1,024 bytes, a segment `.` or `..`, a NUL.
Those are percent-encoded (or refused, `strict_names`), and so is the rare raw key that looks like one of ours.

**NAS path**: the key under a map that leaves plain names alone, is reversible without the catalog, and gives the same
path whatever the file system (Linux, SMB, Windows, macOS). A `%` is always followed by two upper-case hex digits of a
UTF-8 byte, or by one of these:

    %_          an empty segment                    a//b -> a/%_/b     lead/ -> lead/%_
    %+          this component goes on in the next  segments over 200 bytes
    %#/xx/hash  SHA-256 of the key                  paths over 3,000 bytes; the key is then in the catalog only
    %f          a file whose name a folder has      `a` beside `a/b`; these three are given out by the catalog,
    %d          a folder whose name a file has      which alone knows what else is there
    %~xxxxxxxx  a file that would meet another      `A` beside `a` where case is ignored

Percent-encoded are: what Windows or SMB forbid (`< > : " \ | ? *`, a dot or space at the end, device names such as
`CON`), `%`, control characters, characters that show nothing or turn the line round, a space or `~` at the start, a
segment of dots only, and `.scs`, our own folder, in first place. The sets are written out here and not taken from
Python's Unicode tables, since a path must not change with the version of Python.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import unicodedata
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.errors import BlobFault, UsageFault
from sync_cloud_storage.model import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.model import Blob

_COMPONENT_BYTES = 200  # leaves room for the variants below the 255 that file systems allow
_PATH_BYTES = 3000
_KEY_BYTES = 1024  # S3 developer guide, "Naming Amazon S3 objects"

# Windows gives these names to devices in every folder, whatever follows the first dot.
_DEVICE = r"(?i:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|/|\Z)"
# Our folder, also by the short name that a Windows server may give it.
_OURS = r"(?i:\.scs|scs~[0-9]+)(?:/|\Z)"
_INVISIBLE = (
    r"\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # soft hyphen, joiners, bidi, line ends, BOM
    r"\ufdd0-\ufdef\ufff9-\uffff"  # non-characters, annotations; U+FFFE and U+FFFF are no XML
)
_HOSTILE = re.compile(rf'[<>:"\\|?*%\x00-\x1f\x7f-\x9f{_INVISIBLE}]|[. ]\Z|\A[ ~]|\A(?={_DEVICE}).', re.DOTALL)
_HOSTILE_START = re.compile(rf"\A[ ~]|\A(?={_DEVICE}).", re.DOTALL)
_HOSTILE_ROOT = re.compile(rf"(?={_OURS}).")
# Nine names of ten are plain: one look, no work. Nothing here may be possessive (`*+`): Python 3.11.2, which Debian 12
# has, then takes "c/" and "c/.." for a match. No name makes it slow all the same, since a segment has no `/`.
_SEGMENT = rf"(?!{_DEVICE})(?![ ~])[ !#$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{{}}~]{{1,{_COMPONENT_BYTES}}}(?<![. ])"
_PLAIN = re.compile(rf"(?!{_OURS}){_SEGMENT}(?:/{_SEGMENT})*")
_PLAIN_SEGMENT = re.compile(_SEGMENT)

_ARCHIVE = "Archive"  # the one access tier that cannot be read
_TEMPLATE_HINT = 'The default is "{container}/{blob}".'

_HEX_RUN = re.compile(r"(?:%[0-9A-F]{2})+")
_VARIANTS = re.compile(r"%d(?=/)|(?:%f|%~[0-9a-f]{8})+\Z")

_DOT_SEGMENT = re.compile(r"(?:^|/)\.\.?(?:/|\Z)")
# What encoding makes of keys that S3 cannot hold, and what it makes of that again, and so on: no raw key may be one.
_LIKE_ENCODED = re.compile(
    r"(?:^|/)(?:%(?:25)*2E){1,2}(?:/|\Z)|%(?:25)*00|%(?:25)*#/[0-9a-f]{2}/[0-9a-f]{64}\Z",
)


# ------------------------------------------------------------------------------------------------------- the NAS path


def encode(name: str) -> str:
    """Path on the NAS for *name* (a key, any text but ""), relative, parts joined by `/`; without clash variants.

    Raises:
        BlobFault: `AZ-NAME`, the name cannot be written in UTF-8.
    """
    if len(name) <= _PATH_BYTES and _PLAIN.fullmatch(name):
        return name
    components = [component for segment in name.split("/") for component in _components(segment)]
    components[0] = _HOSTILE_ROOT.sub(_percent, components[0])
    path = "/".join(components)
    return path if _utf8_length(path) <= _PATH_BYTES else _shortened(name)


def decode(path: str) -> str | None:
    """The name whose path this is, variants or not; None for a path that no name has, and for `%#` paths."""
    core = _VARIANTS.sub("", path)
    segments = ("" if segment == "%_" else segment for segment in core.replace("%+/", "").split("/"))
    try:
        name = _HEX_RUN.sub(_unpercent, "/".join(segments))
        # Foreign files have paths like ours, too: only what leads back to itself counts.
        return name if encode(name) == core else None
    except (UnicodeDecodeError, BlobFault):
        return None


def fold(path: str) -> str:
    """The same text for all paths that may be one file somewhere: case and Unicode normal form taken away.

    Stricter than any one file system (upper-case first, as some servers compare: a dotless i meets an i there).
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).upper().casefold())


def as_file(path: str) -> str:
    """*path* for a file whose plain name is taken by a folder."""
    return f"{path}%f"


def as_folder(path: str, folder: str) -> str:
    """*path* with its leading part *folder* renamed, for a folder whose plain name is taken by a file."""
    if not path.startswith(f"{folder}/"):
        raise ValueError(f"{folder!r} does not lead to {path!r}")
    return f"{folder}%d{path[len(folder) :]}"


def as_twin(path: str, name: str) -> str:
    """*path* for a file that would meet another one whose path has the same `fold`."""
    return f"{path}%~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _components(segment: str) -> list[str]:
    """One segment of a name as one component, or as several where it is too long."""
    text = _percent_segment(segment)
    if _utf8_length(text) <= _COMPONENT_BYTES:
        return [text]
    pieces, rest = [], text.encode()
    while len(rest) > _COMPONENT_BYTES:
        cut = _COMPONENT_BYTES
        while rest[cut] & 0xC0 == 0x80:  # inside a character
            cut -= 1
        escape = rest.rfind(b"%", cut - 2, cut)  # inside a %XX
        cut = escape if escape >= 0 else cut
        pieces.append(f"{rest[:cut].decode()}%+")
        rest = rest[cut:]
    pieces.append(rest.decode())
    # A cut may leave a device name or a space in front. At the end it leaves nothing: `%+` follows.
    return pieces[:1] + [_HOSTILE_START.sub(_percent, piece) for piece in pieces[1:]]


def _percent_segment(segment: str) -> str:
    if not segment:
        return "%_"
    if not segment.strip("."):
        return "%2E" * len(segment)
    return _HOSTILE.sub(_percent, segment)


def _shortened(name: str) -> str:
    """The form for what is too long. It stays in its container's folder, where people will look for it."""
    first, slash, _ = name.partition("/")
    first = _HOSTILE_ROOT.sub(_percent, _percent_segment(first))
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = f"{first}/" if slash and _utf8_length(first) <= _COMPONENT_BYTES else ""
    return f"{folder}%#/{digest[:2]}/{digest}"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def _unpercent(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode()


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise BlobFault(
            "AZ-NAME",
            f"The name has half of a character (U+{ord(text[error.start]):04X}), which UTF-8 cannot hold.",
            "Rename the blob at the source, then: scs sync --all",
        ) from None


# ------------------------------------------------------------------------------------------------------- the object key


def object_key(key: str) -> str:
    """*key* as it goes to S3: itself, or a percent-encoded form where S3 cannot hold it. Different stay different.

    Raises:
        BlobFault: `AZ-NAME`, the key cannot be written in UTF-8.
    """
    if not _trouble(key) and not ("%" in key and _LIKE_ENCODED.search(key)):
        return key
    encoded = "/".join(_percent_segment(segment) for segment in key.split("/"))
    return encoded if _utf8_length(encoded) <= _KEY_BYTES else _shortened(key)


def _trouble(key: str) -> str:
    """Why S3, or a proxy before it, cannot hold this key; "" when it can."""
    size = _utf8_length(key)
    if size > _KEY_BYTES:
        return f"the key has {size:,} bytes, S3 takes {_KEY_BYTES:,}"
    if _DOT_SEGMENT.search(key):
        return 'the key has a segment "." or "..", which servers and proxies resolve away'
    return "the key holds a NUL character" if "\0" in key else ""


# ------------------------------------------------------------------------------------------------- where a blob goes


class RenameRule(NamedTuple):
    """`replacement` for every match of `pattern` (`re.sub`) in the names of blobs in matching containers."""

    container: str  # shell pattern: `asset-*`
    pattern: str
    replacement: str


class Placement(NamedTuple):
    """What the settings say about places. Cheap to send to a worker: what is compiled is compiled where it is used.

    `renames` are applied to the blob's name one after the other, each to what the one before left; then the name goes
    into `key_template`. `skip_extensions` are compared without case with the end of the name as the source has it.
    `account` may be used in the template when it is not "".
    """

    key_template: str = "{container}/{blob}"
    renames: tuple[RenameRule, ...] = ()
    skip_extensions: tuple[str, ...] = ()
    strict_names: bool = False
    account: str = ""

    def check(self) -> None:
        """Try everything that a person wrote.

        Raises:
            UsageFault: `KEY-TEMPLATE` or `RENAME-RULE`, with what is wrong in the words of the setting.
        """
        prefix, suffix = _around_blob(self, "container")
        if trouble := _trouble(f"{prefix}blob{suffix}"):
            raise UsageFault("KEY-TEMPLATE", f'With the key template "{self.key_template}" {trouble}.', _TEMPLATE_HINT)
        for rule in self.renames:
            try:
                # The replacement is parsed, and its group references looked up, even where nothing matches.
                re.compile(rule.pattern).sub(rule.replacement, "")
            except (re.error, IndexError) as error:
                raise UsageFault(
                    "RENAME-RULE",
                    f'The rename rule "{rule.pattern}" -> "{rule.replacement}" for "{rule.container}" does not work: '
                    f"{error}.",
                    "Repair it under [[rename]]; patterns are Python regular expressions.",
                ) from None

    def place(self, container: str, blob: Blob) -> Place:
        """Decide where *blob* goes.

        A blob that goes nowhere (`skip_reason` or `error`) has no key and no path, so that it is in nobody's way.
        The placement must have passed `check`.
        """
        route = _route(self, container)
        name = blob.name
        # Most blobs are neither empty nor archived nor of a skipped kind: they pass with a glance.
        if not blob.size_bytes or blob.tier == _ARCHIVE or (route.endings and name.lower().endswith(route.endings)):
            reason = route.skip_reason(blob)
            if reason:
                return Place("", "", "", reason)
        for pattern, replacement in route.renames:
            name = pattern.sub(replacement, name)
        key = f"{route.prefix}{name}{route.suffix}"
        if len(key) <= _KEY_BYTES and name and _PLAIN.fullmatch(key):
            return Place(key, key, key.lower())
        if not name:
            return Place("", "", "", error=f'S3-NAME: The rename rules leave nothing of "{blob.name}".')
        return self._place_awkward(key)

    def places(self, container: str, blobs: Sequence[Blob]) -> list[Place | None]:
        """`place` for each of *blobs*; None for the usual one: `container/blob`, plain ASCII, for both key and path."""
        route = _route(self, container)
        if route.renames or route.endings or (route.prefix, route.suffix) != (f"{container}/", ""):
            return [self.place(container, blob) for blob in blobs]
        found: list[Place | None] = []
        plain_folder = ""  # neighbours in a listing share it
        for blob in blobs:
            key = f"{container}/{blob.name}"
            folder, _, file = key.rpartition("/")
            if folder != plain_folder and _PLAIN.fullmatch(folder):
                plain_folder = folder
            is_usual = (
                folder == plain_folder
                and _PLAIN_SEGMENT.fullmatch(file)
                and blob.size_bytes
                and blob.tier != _ARCHIVE
                and len(key) <= _KEY_BYTES
            )
            found.append(None if is_usual else self.place(container, blob))
        return found

    def _place_awkward(self, key: str) -> Place:
        try:
            path = encode(key)
            if self.strict_names and (trouble := _trouble(key)):
                return Place("", "", "", error=f"S3-NAME: Refused, as names are strict: {trouble}.")
            return Place(key if self.strict_names else object_key(key), path, fold(path))
        except BlobFault as fault:
            return Place("", "", "", error=f"{fault.code}: {fault}")


class _Route:
    """A placement as it stands for one container, compiled."""

    __slots__ = ("endings", "prefix", "renames", "suffix")

    def __init__(self, placement: Placement, container: str) -> None:
        self.prefix, self.suffix = _around_blob(placement, container)
        self.renames = tuple(
            (re.compile(rule.pattern), rule.replacement)
            for rule in placement.renames
            if fnmatchcase(container, rule.container)
        )
        self.endings = tuple(f".{extension.lstrip('.').lower()}" for extension in placement.skip_extensions)

    def skip_reason(self, blob: Blob) -> str:
        name = blob.name.lower()
        for ending in self.endings:
            if name.endswith(ending):
                return f"extension {ending}"
        if blob.tier == _ARCHIVE:
            return "archive tier"
        # An account with a hierarchical namespace lists its directories as empty blobs with this mark.
        if "hdi_isfolder" in blob.metadata.lower() and not blob.size_bytes:
            marks = {key.lower(): str(value).lower() for key, value in json.loads(blob.metadata).items()}
            if marks.get("hdi_isfolder") == "true":
                return "directory marker"
        return ""


@lru_cache(maxsize=4096)
def _route(placement: Placement, container: str) -> _Route:
    return _Route(placement, container)


def _around_blob(placement: Placement, container: str) -> tuple[str, str]:
    """The template filled for one container: what stands before the blob's name, and what after it."""
    template = placement.key_template
    values = {"container": container, "account": placement.account}
    if not placement.account:
        del values["account"]
    known = ", ".join(f"{{{field}}}" for field in ("blob", *values))
    around = [""]
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageFault("KEY-TEMPLATE", f'The key template "{template}" is broken: {error}.', _TEMPLATE_HINT) from None
    for literal, field, form, conversion in pieces:
        around[-1] += literal
        if field == "blob" and not form and not conversion:
            around.append("")
        elif field is not None:
            if field not in values or form or conversion:
                wanted = f"{{{field}{'!' + conversion if conversion else ''}{':' + form if form else ''}}}"
                raise UsageFault(
                    "KEY-TEMPLATE",
                    f'The key template "{template}" has {wanted}, which nothing fills.',
                    f"There are: {known}.",
                )
            around[-1] += values[field]
    if len(around) != 2:
        raise UsageFault(
            "KEY-TEMPLATE",
            f'The key template "{template}" has {{blob}} {len(around) - 1} times; once is what it needs.',
            _TEMPLATE_HINT,
        )
    return around[0], around[1]
