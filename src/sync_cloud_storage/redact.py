"""Takes secrets out of text that leaves the program: sentences, logs, crash files. Floor 0: text in, text out.

It is the last net, not the first: errors here are written without secrets. But a message of a library, or a traceback,
may quote a URL, a header or a setting, so everything that is written for people passes through `redact`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "-REDACTED-"

_EQUALS = r"(?:=|%(?:25)*3D)"  # as it stands, or url-encoded once or more often
_REST = r"(?:(?!%(?:25)*26|%(?:25)*3B)[^\s&;,\"'<>])+"  # up to the next parameter, also an encoded one

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Headers go to the end of their line, whatever form they take. `'Authorization': 'Bearer x'` is Python's own way.
    (
        re.compile(
            r"(?i)((?:proxy-|copy-source-)?authorization|(?:set-)?cookie|x-amz-security-token|x-ms-encryption-key"
            r"|x-amz-server-side-encryption-customer-key)(b?[\"']?\s*[:=]\s*b?[\"']?)[^\r\n\"']+"
        ),
        rf"\1\2{MASK}",
    ),
    # Parameters of a signed URL (Azure's SAS, S3's presigned) and of a token request.
    (
        re.compile(
            rf"(?i)(?<![a-z])(sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|awsaccesskeyid"
            rf"|access_token|refresh_token|client_assertion)({_EQUALS}){_REST}"
        ),
        rf"\1\2{MASK}",
    ),
    # NAME=value and "name": "value", of a connection string, a .env file, a dictionary.
    (
        re.compile(
            rf"(?i)((?:secret|password|passwd|access_?key|account_?key|storage_?key|sas_?token|shared_?access_?signature"
            rf"|session_?token|security_?token|connection_?string)[a-z_]*)(\s?{_EQUALS}\s?[\"']?|[\"']\s*:\s*[\"'])"
            rf"{_REST}"
        ),
        rf"\1\2{MASK}",
    ),
    # scheme://user:password@host
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@"), rf"\1{MASK}@"),
    # Things that are secret by their shape: an Azure account key (64 bytes in base64), an AWS key id, a JSON web token.
    (re.compile(r"(?<![\w+/])(?:[A-Za-z0-9+/]|%2[BbFf]){86}(?:==|%3[Dd]%3[Dd])"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Give *text* with `-REDACTED-` in place of what looks like a secret, or is one.

    Safe to call twice. Masks values of `sig=`, `AccountKey=`, `Authorization`, `x-amz-security-token` and their like,
    also url-encoded; the name before them stays, so that a reader sees what was there.

    Args:
        text: Anything, of any length.
        secrets: Values that are known to be secret (the keys in use); masked wherever they stand, also url-encoded.
            Those shorter than 6 characters are left alone: masking them would riddle the text and hide nothing.
    """
    for secret in sorted({form for value in secrets for form in _forms(value)}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _forms(secret: str) -> tuple[str, ...]:
    """The ways in which a secret may stand in a text."""
    if len(secret) < 6:
        return ()
    encoded = quote(secret, safe="")
    return secret, encoded, quote(secret), quote_plus(secret), quote(encoded, safe="")
