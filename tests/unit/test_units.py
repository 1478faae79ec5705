"""What `units.py` promises: what people write is read, what is printed is short, what is wrong is said."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.units import (
    Timetable,
    parse_bytes,
    parse_duration,
    parse_rate,
    parse_timetable,
    print_bytes,
    print_count,
    print_duration,
    print_rate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("500", 500),
        ("500 B", 500),
        ("64M", 64 * MIB),
        ("64m", 64 * MIB),
        ("64 MB", 64 * MIB),
        ("64MiB", 64 * MIB),
        ("1.5 GiB", 3 << 29),
        ("0.5k", 512),
        ("2T", 2 << 40),
        ("1P", 1 << 50),
        ("1 EiB", 1 << 60),
        (" 50M ", 50 * MIB),
    ],
)
def test_bytes_read(text: str, size_bytes: int) -> None:
    """Numbers of bytes are read with binary multiples, however the unit is written."""
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (MIB - 6, "1.0 MiB"),
        (1288490188, "1.2 GiB"),
        (5 << 40, "5.0 TiB"),
        (1023 << 60, "1023.0 EiB"),
        (5000 << 60, "5000.0 EiB"),
        (-3 * MIB, "-3.0 MiB"),
    ],
)
def test_bytes_printed(size_bytes: int, text: str) -> None:
    """Sizes are printed with one decimal in the unit that keeps the number below 1024."""
    assert print_bytes(size_bytes) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 blobs"), (1, "1 blob"), (2_000, "2,000 blobs")])
def test_counts_are_printed(count: int, text: str) -> None:
    """One is one, and all else are several, with commas between thousands."""
    assert print_count(count, "blob") == text


@given(st.integers(min_value=0, max_value=1 << 63))
def test_printed_bytes_can_be_read(size_bytes: int) -> None:
    """What is printed can be read again and is right to the printed decimal."""
    assert parse_bytes(print_bytes(size_bytes)) == pytest.approx(size_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [("50M", 50 * MIB), ("50 MiB/s", 50 * MIB), ("1G/s", 1 << 30), ("off", None), (" OFF ", None)],
)
def test_rates_read(text: str, bytes_per_s: int | None) -> None:
    """Rates are bytes per second; `off` is no limit."""
    assert parse_rate(text) == bytes_per_s


def test_rates_printed() -> None:
    """A rate is printed as bytes with "/s", no limit as "off", and both can be read again."""
    assert (print_rate(50 * MIB), print_rate(1023.7), print_rate(None)) == ("50.0 MiB/s", "1.0 KiB/s", "off")
    assert parse_rate(print_rate(50 * MIB)) == 50 * MIB


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("90s", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("0.5s", 0.5),
        ("2 min", 120),
    ],
)
def test_durations_read(text: str, seconds: float) -> None:
    """Durations carry their units, one or several."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.84, "0.8 s"),
        (5, "5 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (320, "5 min 20 s"),
        (3 * 3600 + 12 * 60 + 29, "3 h 12 min"),
        (86400 * 2 + 3600 * 3, "2 d 3 h"),
    ],
)
def test_durations_printed(seconds: float, text: str) -> None:
    """Durations are printed by their two largest units."""
    assert print_duration(seconds) == text


@pytest.mark.parametrize(
    ("clock", "bytes_per_s"),
    [
        (time(8), 50 * MIB),
        (time(18, 59, 59), 50 * MIB),
        (time(19), None),
        (time(23, 59), None),
        (time(0), None),
        (time(7, 59, 59, 999999), None),
    ],
)
def test_timetable_round_the_clock(clock: time, bytes_per_s: int | None) -> None:
    """A rate holds from its minute on, and the last one of the day holds over midnight."""
    assert parse_timetable("08:00,50M 19:00,off").at(clock) == bytes_per_s


def test_timetable_in_any_order() -> None:
    """The order in which the times are written does not matter."""
    assert parse_timetable("19:00,off 8:00,50M") == parse_timetable("08:00,50M 19:00,off")


def test_timetable_of_one_rate() -> None:
    """A bare rate, or off, holds all day."""
    assert parse_timetable("50M").at(time(3)) == 50 * MIB
    assert parse_timetable("off").at(time(3)) is None


@given(
    st.dictionaries(
        st.times().map(lambda t: t.replace(second=0, microsecond=0)),
        st.none() | st.integers(min_value=1, max_value=1 << 50),
        min_size=2,
    )
)
def test_timetable_printed_can_be_read(slots: dict[time, int | None]) -> None:
    """The text of a timetable gives the same timetable again, to the byte."""
    table = Timetable(tuple(sorted(slots.items(), key=lambda slot: slot[0])))
    assert parse_timetable(str(table)) == table


def test_timetable_of_one_rate_printed() -> None:
    """One rate is printed as one word."""
    assert (str(parse_timetable("50M")), str(parse_timetable("off"))) == ("50M", "off")


@pytest.mark.parametrize(
    ("parse", "text", "code"),
    [
        (parse_bytes, "", "UNIT-BYTES"),
        (parse_bytes, "M", "UNIT-BYTES"),
        (parse_bytes, "-1", "UNIT-BYTES"),
        (parse_bytes, "1,5G", "UNIT-BYTES"),
        (parse_bytes, "1 X", "UNIT-BYTES"),
        (parse_bytes, "0.4", "UNIT-BYTES"),
        (parse_bytes, "\u0665", "UNIT-BYTES"),
        (parse_rate, "fast", "UNIT-RATE"),
        (parse_rate, "0", "UNIT-RATE"),
        (parse_duration, "", "UNIT-DURATION"),
        (parse_duration, "90", "UNIT-DURATION"),
        (parse_duration, "5m 1h", "UNIT-DURATION"),
        (parse_duration, "-5s", "UNIT-DURATION"),
        (parse_timetable, "", "UNIT-TIMETABLE"),
        (parse_timetable, "25:00,50M", "UNIT-TIMETABLE"),
        (parse_timetable, "08:00,50M 19:00", "UNIT-TIMETABLE"),
        (parse_timetable, "08:00,50M 8:00,off", "UNIT-TIMETABLE"),
        (parse_timetable, "08:00,much", "UNIT-RATE"),
        (parse_timetable, "08:00,0", "UNIT-RATE"),
    ],
)
def test_refusals(parse: Callable[[str], object], text: str, code: str) -> None:
    """What cannot be read is refused with the text in quotes, a code and an example that works."""
    with pytest.raises(UsageFault) as caught:
        parse(text)
    assert caught.value.code == code
    assert caught.value.hint
    if text:
        assert '"' in caught.value.sentence
