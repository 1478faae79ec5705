"""Bytes, rates, durations and the bandwidth timetable: read from people, printed for people; and counts. Floor 0.

Multiples are binary everywhere (K = 1024), whether written `64M`, `64 MB` or `64 MiB`; what is printed says `MiB`.
All parsers raise `UsageFault` with a sentence that quotes the text and a hint that shows one that works.
"""

from __future__ import annotations

import re
from datetime import time
from fractions import Fraction
from typing import NamedTuple

from sync_cloud_storage.errors import UsageFault

_STEP = 1024
_PREFIXES = "KMGTPE"
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTPE])(?:i?B)?|B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(
    r"(?:(?P<d>\d+)\s*d)?\s*(?:(?P<h>\d+)\s*h)?\s*(?:(?P<m>\d+)\s*m(?:in)?)?\s*(?:(?P<s>\d+(?:\.\d+)?)\s*s)?",
    re.IGNORECASE | re.ASCII,
)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_UNLIMITED = "off"

_BYTES_HINT = "Write a number and K, M, G or T, such as 64M or 1.5 GiB."
_RATE_HINT = "Write bytes per second, such as 50M (52,428,800 bytes a second, about 419 Mbit/s), or off for no limit."
_DURATION_HINT = "Write a number with its unit: 90s, 15m, 2h, 1d, or several: 1h 30m."
_TIMETABLE_HINT = 'Write one rate ("50M"), "off", or times with rates: "08:00,50M 19:00,off".'


def parse_bytes(text: str) -> int:
    """Bytes in `64M`, `1.5 GiB`, `500`.

    Raises:
        UsageFault: `UNIT-BYTES`.
    """
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise UsageFault("UNIT-BYTES", f'"{text}" is not a number of bytes.', _BYTES_HINT)
    number, prefix = found.groups()
    power = _PREFIXES.index(prefix.upper()) + 1 if prefix else 0
    exact = Fraction(number) * _STEP**power
    # 0 means "off" or "as many as help" in settings: 0.4 must not become 0 behind somebody's back.
    if exact and exact < 1:
        raise UsageFault("UNIT-BYTES", f'"{text}" is less than one byte.', _BYTES_HINT)
    return int(exact)


def print_bytes(size_bytes: int) -> str:
    """`1.2 GiB`, `0 B`, `1023 B`."""
    if abs(size_bytes) < _STEP:
        return f"{size_bytes} B"
    value = size_bytes / _STEP
    power = 0
    # Rounded first: 1,048,570 bytes are 1.0 MiB, not 1024.0 KiB.
    while abs(round(value, 1)) >= _STEP and power < len(_PREFIXES) - 1:
        value /= _STEP
        power += 1
    return f"{value:.1f} {_PREFIXES[power]}iB"


def print_count(count: int, noun: str) -> str:
    """`1 blob`, `2,000 blobs`: nouns that take an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def parse_rate(text: str) -> int | None:
    """Bytes per second in `50M`, `50 MiB/s`; None (no limit) for `off`.

    Raises:
        UsageFault: `UNIT-RATE`; also for 0, which some tools read as "no limit" and others as "stop".
    """
    plain = text.strip()
    if plain.lower() == _UNLIMITED:
        return None
    try:
        rate = parse_bytes(plain.removesuffix("/s"))
    except UsageFault:
        raise UsageFault("UNIT-RATE", f'"{text}" is not a rate.', _RATE_HINT) from None
    if rate == 0:
        raise UsageFault("UNIT-RATE", f'The rate "{text}" would stop everything.', _RATE_HINT)
    return rate


def print_rate(bytes_per_s: float | None) -> str:
    """`50.0 MiB/s`; `off` for None, which is no limit."""
    return _UNLIMITED if bytes_per_s is None else f"{print_bytes(round(bytes_per_s))}/s"


def parse_duration(text: str) -> float:
    """Seconds in `90s`, `15m`, `2h`, `1d`, `1h 30m`, `0.5s`. The unit is not optional.

    Raises:
        UsageFault: `UNIT-DURATION`.
    """
    found = _DURATION.fullmatch(text.strip())
    amounts = {unit: amount for unit, amount in found.groupdict().items() if amount} if found else {}
    if not amounts:
        raise UsageFault("UNIT-DURATION", f'"{text}" is not a duration.', _DURATION_HINT)
    return sum(float(amount) * _SECONDS[unit] for unit, amount in amounts.items())


def print_duration(seconds: float) -> str:
    """The two largest units: `2 d 3 h`, `3 h 12 min`, `5 min 20 s`, `42 s`; below ten seconds `0.8 s`."""
    if round(seconds, 1) < 10:
        return f"{max(seconds, 0):.1f} s".replace(".0", "")
    minutes, secs = divmod(round(seconds), 60)
    hours, mins = divmod(minutes, 60)
    days, hrs = divmod(hours, 24)
    if days:
        return f"{days} d {hrs} h"
    if hours:
        return f"{hrs} h {mins} min"
    return f"{mins} min {secs} s" if mins else f"{secs} s"


class Timetable(NamedTuple):
    """Which rate is allowed from which time of day (local) on, round the clock.

    `slots` are `(from, bytes per second or None)`, in the order of the day and never empty; before the first one the
    last one of the day before still holds. `str()` gives the text that `parse_timetable` reads.
    """

    slots: tuple[tuple[time, int | None], ...]

    def at(self, moment: time) -> int | None:
        """Bytes per second allowed at *moment*; None is no limit."""
        holds = self.slots[-1][1]
        for start, rate in self.slots:
            if start > moment:
                break
            holds = rate
        return holds

    def __str__(self) -> str:
        """One rate, or times with rates; in whole bytes where no shorter form is exact."""
        if len(self.slots) == 1:
            return _short(self.slots[0][1])
        return " ".join(f"{start:%H:%M},{_short(rate)}" for start, rate in self.slots)


def parse_timetable(text: str) -> Timetable:
    """The timetable in `08:00,50M 19:00,off`; a bare `50M` or `off` holds all day.

    Raises:
        UsageFault: `UNIT-TIMETABLE`, or `UNIT-RATE` for a rate in it.
    """
    words = text.split()
    if len(words) == 1 and "," not in words[0]:
        return Timetable(((time(0), parse_rate(words[0])),))
    slots: dict[time, int | None] = {}
    for word in words:
        clock, comma, rate = word.partition(",")
        found = _CLOCK.fullmatch(clock)
        if found is None or not comma:
            raise UsageFault("UNIT-TIMETABLE", f'"{word}" in "{text}" is not a time and a rate.', _TIMETABLE_HINT)
        start = time(int(found[1]), int(found[2]))
        if start in slots:
            raise UsageFault("UNIT-TIMETABLE", f'"{text}" says {start:%H:%M} twice.', _TIMETABLE_HINT)
        slots[start] = parse_rate(rate)
    if not slots:
        raise UsageFault("UNIT-TIMETABLE", "The bandwidth timetable is empty.", _TIMETABLE_HINT)
    return Timetable(tuple(sorted(slots.items())))


def _short(rate: int | None) -> str:
    if rate is None:
        return _UNLIMITED
    power = 0
    while rate % _STEP == 0 and power < len(_PREFIXES):
        rate //= _STEP
        power += 1
    return f"{rate}{_PREFIXES[power - 1] if power else ''}"
