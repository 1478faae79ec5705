"""What both services do alike: refuse, read queries and ranges, cut a listing into pages, write XML."""

from __future__ import annotations

import calendar
import re
import time
import urllib.parse
from typing import TYPE_CHECKING, NamedTuple

from tests.servers.strict.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Refusal(Exception):
    """The service says no."""

    def __init__(self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message or code, dict(headers or {})


class Page(NamedTuple):
    """Names, and common prefixes of names, in order; `last` is where the next page begins, "" after the last page."""

    entries: list[str]
    last: str


def page(
    names: Iterable[str],
    *,
    after: str,
    limit: int,
    prefix: str = "",
    delimiter: str = "",
) -> Page:
    """The first entries after *after*. A name with *delimiter* behind *prefix* counts as its prefix up to there."""
    entries = {_up_to(name, prefix, delimiter) for name in list(names) if name.startswith(prefix)}
    left = sorted(entry for entry in entries if entry > after)  # by code point, which is the order of UTF-8 too
    return Page(left[:limit], left[limit - 1] if len(left) > limit > 0 else "")


def is_prefix(entry: str, prefix: str, delimiter: str) -> bool:
    """Whether an entry of such a page stands for many names."""
    return bool(delimiter) and len(entry) > len(prefix) and entry.endswith(delimiter)


def _up_to(name: str, prefix: str, delimiter: str) -> str:
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name if end < 0 else name[: end + len(delimiter)]


def query_of(request: Request) -> dict[str, str]:
    """The query, decoded; a name without a value has ""."""
    return dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))


def wanted_range(header: str | None, size: int) -> range | None:
    """The bytes that a Range header asks for; None where it asks for all.

    Raises:
        Refusal: 416, there are none.
    """
    if not header:
        return None
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not found or found.groups() == ("", ""):
        return None  # nonsense is ignored, says RFC 9110
    first, last = found.groups()
    span = range(int(first), min(int(last or size), size - 1) + 1) if first else range(max(0, size - int(last)), size)
    if not span:
        raise Refusal(416, "InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    return span


def xml(document: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in XML."""
    body = document.encode()
    return Reply(status, {"Content-Type": "application/xml", **(headers or {})}, [body], len(body))


def iso(seconds: float) -> str:
    """A time as both services write it in XML."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def seconds(text: str) -> float:
    """A time such as `2026-11-23T03:18:30Z`, `2026-11-23` or `20261123T031830Z`.

    Raises:
        ValueError: It is none.
    """
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d", "%Y%m%dT%H%M%SZ"):
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    raise ValueError(text)
