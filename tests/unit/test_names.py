"""What `names.py` promises: a path and a key for every name, no two alike, none dangerous, all of them reversible."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync_cloud_storage.errors import BlobFault, UsageFault
from sync_cloud_storage.model import Blob, Place
from sync_cloud_storage.names import (
    Placement,
    RenameRule,
    as_file,
    as_folder,
    as_twin,
    decode,
    encode,
    fold,
    object_key,
)

ASSET = "asset-0019dde0-ded0-47b1-a00d-86038c7be78a"


def blob(name: str, size_bytes: int = 1, *, metadata: str = "", tier: str = "Hot") -> Blob:
    """Make a blob as a listing would give it."""
    return Blob(name, size_bytes, "0x8D", "2026-11-23T03:18:30Z", metadata=metadata, tier=tier)


def sha256(text: str) -> str:
    """Hash as the map does for what is too long."""
    return hashlib.sha256(text.encode()).hexdigest()


def too_long(key: str) -> str:
    """Build the `%#` form of a key, without its container."""
    return f"%#/{sha256(key)[:2]}/{sha256(key)}"


# ------------------------------------------------------------------------------------------- the list of hostile names

LIST = [  # (blob name, NAS path below the container; None: the same, object key below the container; None: the same)
    ("video/2014/x.mp4", None, None),
    ("a", None, None),  # with the next: the catalog gives one of them a variant
    ("a/b", None, None),
    ("a/", "a/%_", None),
    ("a//b", "a/%_/b", None),
    ("/lead", "%_/lead", None),
    ("//lead2", "%_/%_/lead2", None),
    ("trail/", "trail/%_", None),
    ("trail.", "trail%2E", None),
    ("trail..", "trail.%2E", None),
    ("dir./x", "dir%2E/x", None),
    ("trail ", "trail%20", None),
    (" lead", "%20lead", None),
    ("a  b", None, None),
    ("a/../b", "a/%2E%2E/b", "a/%2E%2E/b"),
    ("../esc", "%2E%2E/esc", "%2E%2E/esc"),
    ("../../etc/cron.d/x", "%2E%2E/%2E%2E/etc/cron.d/x", "%2E%2E/%2E%2E/etc/cron.d/x"),
    ("a/./b", "a/%2E/b", "a/%2E/b"),
    (".", "%2E", "%2E"),
    ("..", "%2E%2E", "%2E%2E"),
    ("...", "%2E%2E%2E", None),
    ("x/..", "x/%2E%2E", "x/%2E%2E"),
    ("a\\b", "a%5Cb", None),
    ("..\\..\\esc", "..%5C..%5Cesc", None),
    ("C:\\Windows\\x", "C%3A%5CWindows%5Cx", None),
    ("C:x", "C%3Ax", None),
    ("file.txt:ads", "file.txt%3Aads", None),
    ("a%2Fb", "a%252Fb", None),
    ("%2e%2e/%2e%2e/x", "%252e%252e/%252e%252e/x", None),
    ("%2E%2E/x", "%252E%252E/x", "%252E%252E/x"),  # raw it would be the key of "../x"
    ("100%", "100%25", None),
    ("%zz", "%25zz", None),
    ("a%f", "a%25f", None),
    ("a%_", "a%25_", None),
    ("a%+", "a%25+", None),
    ("a?b", "a%3Fb", None),
    ("a#b", None, None),
    ("a+b", None, None),
    ("a&b=c;d", None, None),
    ("a*b", "a%2Ab", None),
    ("a|b", "a%7Cb", None),
    ("a<b>c", "a%3Cb%3Ec", None),
    ('a"b', "a%22b", None),
    ("it's", None, None),
    ("`id` $(id) ;rm", None, None),
    ("-rf", None, None),
    ("~root", "%7Eroot", None),
    ("$HOME", None, None),
    ("${x}", None, None),
    ("CON", "%43ON", None),
    ("con.txt", "%63on.txt", None),
    ("NUL.tar.gz", "%4EUL.tar.gz", None),
    ("aux/x", "%61ux/x", None),
    ("LPT1", "%4CPT1", None),
    ("COM\u00b9", "%43OM\u00b9", None),
    ("con .txt", "%63on .txt", None),
    ("console", None, None),
    ("A.txt", None, None),
    ("Dir/x", None, None),
    ("\u00e9", None, None),
    ("e\u0301", None, None),
    ("\u0130", None, None),
    ("\u0131", None, None),
    ("\u00df", None, None),
    ("SS", None, None),
    ("\ufb01", None, None),
    ("😀.txt", None, None),
    ("漢字/ファイル", None, None),
    ("\uff1afullwidth\uff1f", None, None),
    ("\u202egpj.exe", "%E2%80%AEgpj.exe", None),
    ("a\u200bb", "a%E2%80%8Bb", None),
    ("\ufeffa", "%EF%BB%BFa", None),
    ("a\tb", "a%09b", None),
    ("a\nb", "a%0Ab", None),
    ("a\rb", "a%0Db", None),
    ("\x1b[31m", "%1B[31m", None),
    ("\x1b]0;x\x07", "%1B]0;x%07", None),
    ("a\0b", "a%00b", "a%00b"),
    ("a\ufffe\uffff", "a%EF%BF%BE%EF%BF%BF", None),
    ("a\u0085b\u2028c", "a%C2%85b%E2%80%A8c", None),
    ("\ue000", None, None),
    ("x" * 255, "x" * 200 + "%+/" + "x" * 55, None),
    ("é" * 200, "é" * 100 + "%+/" + "é" * 100, None),
    ("x" * 1024, "%+/".join(["x" * 200] * 5 + ["x" * 24]), too_long("c/" + "x" * 1024)),
    ("é" * 513, "%+/".join(["é" * 100] * 5 + ["é" * 13]), too_long("c/" + "é" * 513)),
    ("😀" * 1024, too_long("c/" + "😀" * 1024), too_long("c/" + "😀" * 1024)),
    ("/".join(["s"] * 254), None, None),
    ("/".join(["s"] * 300), None, None),
    ('=HYPERLINK("http://x")', "=HYPERLINK(%22http%3A/%_/x%22)", None),
    ("+1", None, None),
    ("@x", None, None),
    ("<script>alert(1)</script>", "%3Cscript%3Ealert(1)%3C/script%3E", None),
    ("<img src=x onerror=y>.png", "%3Cimg src=x onerror=y%3E.png", None),
    ("{{7*7}}%s%n{0.__class__}", "{{7%2A7}}%25s%25n{0.__class__}", None),
    ("'; DROP TABLE sync;--", None, None),
    (".scs/NAS-ID", None, None),
    ("x.part", None, None),
    (".azDownload-x.mp4", None, None),
    ("Thumbs.db", None, None),
    (".nfs0001", None, None),
    ("soap", None, None),
    ("WEB-INF/..;/x", None, None),
]


@pytest.mark.parametrize(("name", "path", "key"), LIST, ids=[f"{n}-{row[0][:40]!a}" for n, row in enumerate(LIST, 1)])
def test_the_list(name: str, path: str | None, key: str | None) -> None:
    """Every name of the list goes where the design says, on the NAS and in S3."""
    place = Placement().place("c", blob(name))
    assert (place.nas_path, place.s3_key) == (
        f"c/{name if path is None else path}",
        f"c/{name if key is None else key}",
    )
    assert (place.error, place.skip_reason, place.nas_fold) == ("", "", fold(place.nas_path))


@pytest.mark.parametrize("container", ["$web", "$root", "$logs", ASSET])
def test_containers_as_they_are(container: str) -> None:
    """The containers that Azure can have keep their names, those with a dollar sign too."""
    assert Placement().place(container, blob("index.html"))[:2] == (f"{container}/index.html",) * 2


@pytest.mark.parametrize(
    ("container", "path"),
    [
        ("..", "%2E%2E/x"),
        (".scs", "%2Escs/x"),
        (".SCS", "%2ESCS/x"),
        (".\u017fcs", "%2E\u017fcs/x"),  # a long s, which folds to s
        ("scs~1", "%73cs~1/x"),
        ("", "%_/x"),
        ("a/../b", "a/%2E%2E/b/x"),
        ("C:", "C%3A/x"),
    ],
)
def test_containers_that_cannot_be(container: str, path: str) -> None:
    """A server that sends container names no account can have gets nowhere, our own folder least of all."""
    assert Placement().place(container, blob("x")).nas_path == path


def test_our_folder_is_out_of_reach_of_a_flat_template() -> None:
    """Where the template has no container, a blob still cannot have a path in `.scs`."""
    flat = Placement(key_template="{blob}")
    assert flat.place("c", blob(".scs/NAS-ID")).nas_path == "%2Escs/NAS-ID"
    assert flat.place("c", blob(".scs")).nas_path == "%2Escs"
    assert flat.place("c", blob(".scsx")).nas_path == ".scsx"
    assert flat.place("c", blob("scs~1/NAS-ID")).nas_path == "%73cs~1/NAS-ID"


def test_half_a_character() -> None:
    """A lone surrogate, which no UTF-8 can hold, is an error of that blob and not a crash."""
    place = Placement().place("c", blob("a\ud83d"))
    assert place == Place("", "", "", error=place.error)
    assert place.error.startswith("AZ-NAME: ")
    assert place.error.encode()
    with pytest.raises(BlobFault, match="U\\+D83D"):
        encode("\ud83d")


# -------------------------------------------------------------------------------------------------------- properties

PIECES = [
    *"/.~ %:ab<\0\n",
    *("..", "/../", "//", "CON", "con.", "nul", "lpt1", "COM\u00b9", ".scs", "scs~1", "c/"),
    *("%2E", "%2E%2E", "%00", "%25", "%2500", "%f", "%d", "%_", "%+", "%+/", "%#/", "%~01234567"),
    *("é", "e\u0301", "ß", "\u0130", "\u0131", "\u017f", "😀", "\u200b", "\u202e", "\ufeff", "\uffff", "\ue000"),
    *("x" * 50, "é" * 99, "." * 66, " " * 130, "%" * 70, "漢" * 400),
    *("%#/ab/" + "0" * 64, "con" + " " * 197),
]
names = st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("".join) | st.text(min_size=1, max_size=1100)
paths = names.map(encode)

DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³")}


def legal_everywhere(path: str) -> bool:
    """Judge a path by the rules of Linux, SMB and Windows; shares nothing with the map."""
    return all(
        component not in ("", ".", "..")
        and len(component.encode()) <= 255
        and not re.search(r'[<>:"\\|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]', component)
        and component[-1] not in ". "
        and component[0] not in " ~"
        and component.split(".")[0].rstrip(" ").upper() not in DEVICES
        for component in path.split("/")
    )


def with_variants(path: str) -> list[str]:
    """Give a path with every variant that the catalog may apply, and several at once."""
    parts = path.split("/")
    variants = [path, as_file(path), as_twin(path, "x"), as_twin(as_file(path), "x")]
    variants += [as_folder(path, "/".join(parts[:depth])) for depth in range(1, len(parts))]
    deep = path
    for depth in range(1, min(len(parts), 4)):
        deep = as_folder(deep, "/".join(deep.split("/")[:depth]))
    return [*variants, deep, as_twin(as_file(deep), "y")]


@given(names)
@example("x" * 198 + "..y")
@example("x" * 199 + "%y")
@example("x" * 200 + " y")
@example("x" * 200 + "con.txt")
@example("." * 1024)
@example("\u200b" * 1024)
def test_round_trip(name: str) -> None:
    """A path leads back to its name, whatever variants it was given; only `%#` paths do not, and say so."""
    path = encode(name)
    for variant in with_variants(path):
        assert decode(variant) == (None if re.search("(^|/)%#", path) else name)


@given(names)
@example("x" * 200 + "con.txt")
@example("con" + " " * 300)
def test_legal_everywhere(name: str) -> None:
    """No path, with or without variants, is illegal, absolute, climbing or in our own folder on any file system."""
    for variant in with_variants(encode(name)):
        assert legal_everywhere(variant)
        assert fold(variant.split("/")[0]) != ".scs"
        assert len(variant.encode()) < 4096


@given(names)
@example("x" * 199 + "%y")
@example("x" * 198 + "\0y")
@example("x" * 199 + "\u200by")
def test_what_follows_a_percent_sign(name: str) -> None:
    """A percent sign is followed by a byte in hex or by a token in every component, and the bytes make characters."""
    for component in encode(name).split("/"):
        parts = re.fullmatch(r"((?:[^%]|%[0-9A-F]{2})*)(?:%_|%\+|%#)?", component)
        assert parts, component
        re.sub(r"(?:%[0-9A-F]{2})+", lambda run: bytes.fromhex(run[0].replace("%", "")).decode(), parts[1])


@given(st.lists(names, unique=True, min_size=2))
def test_different_names_have_different_paths_and_keys(some: list[str]) -> None:
    """No two names share a path or a key."""
    assert len({encode(name) for name in some}) == len(some)
    assert len({object_key(name) for name in some}) == len(some)


@given(names)
@example("c/%2E%2E/x")
@example("x" * 197 + "%00/" + "y" * 900)
def test_no_raw_key_is_an_encoded_one(name: str) -> None:
    """A name that was chosen to look like the encoded key of another one does not get that key."""
    family = {name}
    for _ in range(3):
        family |= {object_key(member) for member in family} | {encode(member) for member in family}
    family |= {back for member in family if (back := decode(member))}
    assert len({object_key(member) for member in family}) == len(family)


@given(names)
def test_keys_that_s3_can_hold(name: str) -> None:
    """Every key has at most 1,024 bytes, no dot segment and no NUL; a key without such trouble stays as it is."""
    key = object_key(name)
    assert len(key.encode()) <= 1024
    assert not {".", ".."} & set(key.split("/"))
    assert "\0" not in key
    if len(name.encode()) <= 1024 and not {".", ".."} & set(name.split("/")) and "\0" not in name and "%" not in name:
        assert key == name


@given(st.text(max_size=50) | paths.map(lambda path: path[1:]) | paths.map(lambda path: f"{path}%"))
def test_foreign_paths(path: str) -> None:
    """A path that the map does not make is nobody's: decoding it gives None or a name that leads exactly there."""
    name = decode(path)
    if name is not None:
        assert re.sub("%d(?=/)|(%f|%~[0-9a-f]{8})+$", "", path) == encode(name)


@pytest.mark.parametrize(
    "path", ["a%41", "con", "a//b", "a%FF", "a%c3%a9", "%C3%28", "a%+", "a%", "%#/aa/bb", "a\udcff"]
)
def test_paths_of_nobody(path: str) -> None:
    """Non-canonical, undecodable and hashed paths have no name."""
    assert decode(path) is None


@given(names)
def test_fold_ignores_normal_form_and_case(name: str) -> None:
    """Forms that a normalising or case-folding NAS holds for one file have one fold."""
    assert len({fold(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}) == 1
    assert fold(name.casefold()) == fold(unicodedata.normalize("NFC", name).casefold())


@pytest.mark.parametrize(
    "pair", ["Aa", "Éé", "ßẞ", "\u017fs", "\u0131i", "Σς", "µμ", ("é", "e\u0301"), ("ß", "SS"), ("ﬁ", "fi")]
)
def test_folds_that_meet(pair: tuple[str, str]) -> None:
    """Characters that some server takes for the same have the same fold."""
    assert fold(pair[0]) == fold(pair[1])


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_fold_of_ascii(text: str) -> None:
    """The short way for ASCII gives what the long way gives."""
    assert fold(text) == fold(text + "é")[:-1]


def test_variants() -> None:
    """The three variants look as documented."""
    assert as_file("c/a") == "c/a%f"
    assert as_folder("c/a/b/c", "c/a") == "c/a%d/b/c"
    assert as_twin("c/A", "c/A") == f"c/A%~{sha256('c/A')[:8]}"
    with pytest.raises(ValueError, match="lead"):
        as_folder("c/ab/c", "c/a")


# --------------------------------------------------------------------------------------------------------- placement


def test_the_renaming_of_2019() -> None:
    """The documented example: the 1800 and 4500 kbps files of asset containers become -sd.mp4 and -hd.mp4."""
    placement = Placement(
        renames=(
            RenameRule("asset-*", r"_H264_1800kbps_AAC_und_ch2_128kbps\.mp4$", "-sd.mp4"),
            RenameRule("asset-*", r"_H264_4500kbps_AAC_und_ch2_128kbps\.mp4$", "-hd.mp4"),
        )
    )
    placement.check()
    name = "102336-5333da_H264_4500kbps_AAC_und_ch2_128kbps.mp4"
    assert placement.place(ASSET, blob(name))[:2] == (f"{ASSET}/102336-5333da-hd.mp4",) * 2
    assert placement.place("images", blob(name)).s3_key == f"images/{name}"


def test_rules_one_after_the_other() -> None:
    """Each rule works on what the one before left, with groups, on the whole name and not on the container."""
    placement = Placement(
        key_template="{container}/v1/{blob}",
        renames=(RenameRule("*", r"^(\w+)/", r"\1-"), RenameRule("c*", "a-", "b/"), RenameRule("d", "b", "z")),
    )
    assert placement.place("ca", blob("a/x")).s3_key == "ca/v1/b/x"


def test_a_rename_cannot_lead_out() -> None:
    """What a rule makes goes through the map like any name."""
    placement = Placement(renames=(RenameRule("*", "^up", "../.."),))
    assert placement.place("c", blob("up/x")).nas_path == "c/%2E%2E/%2E%2E/x"


def test_a_rename_that_leaves_nothing() -> None:
    """A name that the rules rub out is an error of that blob."""
    place = Placement(renames=(RenameRule("*", ".*", ""),)).place("c", blob("x"))
    assert place.error.startswith("S3-NAME: ")
    assert place.s3_key == ""


def test_templates() -> None:
    """The template takes container, blob and, when there is one, account; doubled braces are braces."""
    placement = Placement(key_template="{{old}}/{account}/{container}-{blob}.bak", account="media")
    placement.check()
    assert placement.place("c", blob("x")).s3_key == "{old}/media/c-x.bak"


def test_strict_names() -> None:
    """Strict: a key that S3 cannot hold is refused with its reason; all others stay raw, whatever they look like."""
    strict = Placement(strict_names=True)
    assert 'segment "." or ".."' in strict.place("c", blob("a/../b")).error
    assert "1,026 bytes" in strict.place("c", blob("x" * 1024)).error
    assert "NUL" in strict.place("c", blob("a\0")).error
    assert strict.place("c", blob("%2E%2E/x")).s3_key == "c/%2E%2E/x"
    assert all(error.startswith("S3-NAME: ") for error in [strict.place("c", blob("..")).error])


def test_skipped_extensions() -> None:
    """Skipped extensions are compared without case, with or without their dot, by the name at the source."""
    placement = Placement(skip_extensions=(".xml", "ISM"), renames=(RenameRule("*", "xml$", "txt"),))
    assert placement.place("c", blob("a.XML")) == Place("", "", "", "extension .xml")
    assert placement.place("c", blob("a.ism")).skip_reason == "extension .ism"
    assert placement.place("c", blob("a.ismc")).skip_reason == ""
    assert placement.place("c", blob("axml")).skip_reason == ""


def test_archived_blobs_are_skipped() -> None:
    """A blob in the archive tier cannot be read, so it does not move."""
    assert Placement().place("c", blob("x", tier="Archive")).skip_reason == "archive tier"
    assert Placement().place("c", blob("x", tier="Cold")).skip_reason == ""


@pytest.mark.parametrize(
    ("metadata", "size_bytes", "reason"),
    [
        ({"hdi_isfolder": "true"}, 0, "directory marker"),
        ({"Hdi_IsFolder": "True"}, 0, "directory marker"),
        ({"hdi_isfolder": "true"}, 1, ""),
        ({"hdi_isfolder": "false"}, 0, ""),
        ({"note": "hdi_isfolder"}, 0, ""),
    ],
)
def test_directory_markers(metadata: dict[str, str], size_bytes: int, reason: str) -> None:
    """Only an empty blob that is marked as a directory is one."""
    assert Placement().place("c", blob("x", size_bytes, metadata=json.dumps(metadata))).skip_reason == reason


@pytest.mark.parametrize(
    ("placement", "code", "words"),
    [
        (Placement(key_template="{container}/{name}"), "KEY-TEMPLATE", ["{name}", "{blob}, {container}."]),
        (Placement(key_template="{account}/{blob}"), "KEY-TEMPLATE", ["{account}", "{blob}, {container}."]),
        (Placement(key_template="{x}{blob}", account="a"), "KEY-TEMPLATE", ["{x}", "{blob}, {container}, {account}."]),
        (Placement(key_template="{container}"), "KEY-TEMPLATE", ["{blob} 0 times"]),
        (Placement(key_template="{blob}/{blob}"), "KEY-TEMPLATE", ["{blob} 2 times"]),
        (Placement(key_template="{blob.name}"), "KEY-TEMPLATE", ["{blob.name}"]),
        (Placement(key_template="{blob!r}"), "KEY-TEMPLATE", ["{blob!r}"]),
        (Placement(key_template="{blob:>20}"), "KEY-TEMPLATE", ["{blob:>20}"]),
        (Placement(key_template="{}/{blob}"), "KEY-TEMPLATE", ["{}"]),
        (Placement(key_template="{blob"), "KEY-TEMPLATE", ["{blob", "expected '}'"]),
        (Placement(key_template="../{blob}"), "KEY-TEMPLATE", ["../{blob}", "segment"]),
        (Placement(renames=(RenameRule("a*", "(", "x"),)), "RENAME-RULE", ['"("', "a*", "missing )"]),
        (Placement(renames=(RenameRule("*", "(a)", r"\2"),)), "RENAME-RULE", [r"\2", "invalid group reference 2"]),
        (Placement(renames=(RenameRule("*", "a", r"\g<q>"),)), "RENAME-RULE", [r"\g<q>", "unknown group name 'q'"]),
    ],
)
def test_settings_that_cannot_work(placement: Placement, code: str, words: list[str]) -> None:
    """What is wrong is said before the run, in the words of the setting."""
    with pytest.raises(UsageFault) as caught:
        placement.check()
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_placement_travels() -> None:
    """A placement goes to another process and decides the same there."""
    placement = Placement("{blob}", (RenameRule("*", "a", "b"),), (".xml",), strict_names=True, account="x")
    assert pickle.loads(pickle.dumps(placement)).place("c", blob("a")) == placement.place("c", blob("a"))  # noqa: S301


# --------------------------------------------------------------------------------------------------------- many at once

NAMES = st.one_of(
    st.sampled_from([name for name, _, _ in LIST]),
    st.lists(
        st.sampled_from(
            ["a", "B", "con", "CON.txt", "x" * 199, "x" * 201, ".", "..", "é", " ", "~", "%", "", ".scs", "b."]
        ),
        min_size=1,
        max_size=6,
    ).map("/".join),
    st.text(min_size=1, max_size=20),
)


@given(
    st.lists(st.builds(blob, NAMES, st.integers(0, 1), tier=st.sampled_from(["Hot", "Archive", ""])), max_size=8),
    st.sampled_from(["c", "con", "$root", ".scs"]),
    st.sampled_from([
        Placement(),
        Placement(strict_names=True),
        Placement(skip_extensions=("mp4",)),
        Placement(renames=(RenameRule("*", "a", ""),)),
        Placement("{blob}"),
        Placement("{container}/{blob}.x"),
    ]),
)  # fmt: skip
def test_many_at_once(blobs: list[Blob], container: str, placement: Placement) -> None:
    """Places given for a page are those that each blob gets alone; None is the usual one, and nothing else."""
    for one, place in zip(blobs, placement.places(container, blobs), strict=True):
        usual = f"{container}/{one.name}"
        assert (place or Place(usual, usual, usual.lower())) == placement.place(container, one)
        assert place or usual.isascii()


def test_plain_names_are_usual() -> None:
    """Plain names below plain folders need no place of their own to be sent or stored."""
    names = ["a", "a/b.jpg", "A/B", "a/b/c (1).mp4"]
    assert Placement().places("c", [blob(name) for name in names]) == [None] * len(names)
