"""Names that break tools, and where they have to be: written down by hand, so that they judge the product's own map.

What Azurite cannot list is not among them: one name with ESC, NUL, U+FFFE or U+FFFF makes its whole listing a 500.
"""

from __future__ import annotations

import hashlib

_LONG = "n" * 1024
_WIDE = "\U0001f600" * 1024  # 4,096 bytes: too long for a path, too

# Blob -> its path on the NAS below the container's folder. The S3 key is the blob's name, but for those further down.
HOSTILE = {
    "video/2014/x.mp4": "video/2014/x.mp4",
    # slashes, dots, spaces
    "/lead": "%_/lead",
    "//lead2": "%_/%_/lead2",
    "mid//dle": "mid/%_/dle",
    "trail/": "trail/%_",
    "trail.": "trail%2E",
    "trail..": "trail.%2E",
    "dir./x": "dir%2E/x",
    "trail ": "trail%20",
    " lead": "%20lead",
    "a  b": "a  b",
    "up/../b": "up/%2E%2E/b",
    "../esc": "%2E%2E/esc",
    "../../etc/cron.d/x": "%2E%2E/%2E%2E/etc/cron.d/x",
    "in/./b": "in/%2E/b",
    ".": "%2E",
    "...": "%2E%2E%2E",
    "x/..": "x/%2E%2E",
    "WEB-INF/..;/x": "WEB-INF/..;/x",
    # what Windows and SMB refuse, and other tools' escapes
    "C:x": "C%3Ax",
    "file.txt:ads": "file.txt%3Aads",
    "a*b": "a%2Ab",
    "a|b": "a%7Cb",
    "a<b>c": "a%3Cb%3Ec",
    'a"b': "a%22b",
    "a?b": "a%3Fb",
    "CON": "%43ON",
    "con.txt": "%63on.txt",
    "NUL.tar.gz": "%4EUL.tar.gz",
    "aux/x": "%61ux/x",
    "LPT1": "%4CPT1",
    "COM\u00b9": "%43OM\u00b9",
    "a%2Fb": "a%252Fb",
    "%2e%2e/%2e%2e/x": "%252e%252e/%252e%252e/x",
    "100%": "100%25",
    "%zz": "%25zz",
    "a%f": "a%25f",
    "a%_": "a%25_",
    "a%+": "a%25+",
    # addresses, shells, queries, spreadsheets, pages
    "a#b": "a#b",
    "a+b": "a+b",
    "a&b=c;d": "a&b=c;d",
    "it's": "it's",
    "`id` $(id) ;rm": "`id` $(id) ;rm",
    "-rf": "-rf",
    "~root": "%7Eroot",
    "$HOME": "$HOME",
    '=HYPERLINK("http://x")': "=HYPERLINK(%22http%3A/%_/x%22)",
    "+1": "+1",
    "@x": "@x",
    "<script>alert(1)</script>": "%3Cscript%3Ealert(1)%3C/script%3E",
    "{{7*7}}": "{{7%2A7}}",
    "%s%n": "%25s%25n",
    "{0.__class__}": "{0.__class__}",
    "'; DROP TABLE sync;--": "'; DROP TABLE sync;--",
    # letters
    "\U0001f600.txt": "\U0001f600.txt",
    "\u6f22\u5b57/\u30d5\u30a1\u30a4\u30eb": "\u6f22\u5b57/\u30d5\u30a1\u30a4\u30eb",
    "\uff1afullwidth\uff1f": "\uff1afullwidth\uff1f",
    "\u202egpj.exe": "%E2%80%AEgpj.exe",
    "zero\u200bwidth": "zero%E2%80%8Bwidth",
    "\ufeffbom": "%EF%BB%BFbom",
    "tab\tb": "tab%09b",
    "ret\rb": "ret%0Db",
    "line\nb": "line%0Ab",
    "nel\u0085b": "nel%C2%85b",
    "ls\u2028b": "ls%E2%80%A8b",
    "private\ue000": "private\ue000",
    # long ones
    "s" * 255: f"{'s' * 200}%+/{'s' * 55}",
    "\u00e9" * 200: "\u00e9" * 100 + "%+/" + "\u00e9" * 100,
    "d/" * 253 + "d": "d/" * 253 + "d",
    _LONG: f"{'n' * 200}%+/" * 5 + "n" * 24,
    _WIDE: "",
    # files of other people's tools
    ".scs/NAS-ID": ".scs/NAS-ID",
    "x.part": "x.part",
    ".azDownload-1-x": ".azDownload-1-x",
    "Thumbs.db": "Thumbs.db",
    ".DS_Store": ".DS_Store",
    ".nfs0001": ".nfs0001",
    "soap": "soap",
}

FOR_MOTO = [name for name in HOSTILE if "\n" not in name]  # for such a key it answers 404

# Each of these would be one file with another one somewhere, or is a file where another needs a folder. Which of them
# gives way is the catalog's business, but all must be there.
CLASHING = (
    *("a", "a/b", "a/", "a//b", "..", "../esc", "../..", "A.txt", "a.txt", "Dir/x", "dir/x"),
    *("\u00e9", "e\u0301", "Stra\u00dfe", "STRASSE"),
)

# What S3, or a proxy before it, would resolve away.
_ENCODED = {
    "up/../b": "up/%2E%2E/b",
    "../esc": "%2E%2E/esc",
    "../../etc/cron.d/x": "%2E%2E/%2E%2E/etc/cron.d/x",
    "in/./b": "in/%2E/b",
    ".": "%2E",
    "..": "%2E%2E",
    "../..": "%2E%2E/%2E%2E",
    "x/..": "x/%2E%2E",
}


def nas_path(container: str, name: str) -> str:
    """Where a hostile blob has to be on the NAS."""
    return _hashed(container, name) if name == _WIDE else f"{container}/{HOSTILE[name]}"


def s3_key(container: str, name: str) -> str:
    """Where any blob has to be in S3."""
    return _hashed(container, name) if name in {_LONG, _WIDE} else f"{container}/{_ENCODED.get(name, name)}"


def _hashed(container: str, name: str) -> str:
    digest = hashlib.sha256(f"{container}/{name}".encode()).hexdigest()
    return f"{container}/%#/{digest[:2]}/{digest}"
