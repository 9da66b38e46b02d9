"""Quantities with units: exact, and refused where the unit is missing or wrong."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.units import (
    Duration,
    Rate,
    ceil_div,
    format_bytes,
    parse_clock,
    parse_rate,
    parse_size,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64 KiB", 65536),
        ("64KiB", 65536),
        (" 1.5 KiB ", 1536),
        ("24 MiB", 24 * 2**20),
        ("8 GiB", 8 * 2**30),
        ("1 B", 1),
        ("2 kB", 2000),
        ("2 KB", 2000),
        ("0.5 MB", 500_000),
        ("1e3 B", 1000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "hertz"), [("1 GHz", 10**9), ("700 MHz", 7 * 10**8), ("32.768 kHz", 32768)]
)
def test_clocks(text: str, hertz: int) -> None:
    assert parse_clock(text) == hertz


@pytest.mark.parametrize(
    ("text", "clock", "bytes_per_cycle"),
    [
        ("16 GB/s", 10**9, Fraction(16)),
        ("34 GB/s", 700 * 10**6, Fraction(340, 7)),  # never a float
        ("480 MB/s", 200 * 10**6, Fraction(12, 5)),
        ("32 B/cycle", 123, Fraction(32)),
        ("2.5 KiB/cycle", 123, Fraction(2560)),
    ],
)
def test_rates(text: str, clock: int, bytes_per_cycle: Fraction) -> None:
    assert parse_rate(text).bytes_per_cycle(clock) == bytes_per_cycle


@pytest.mark.parametrize(
    ("text", "clock", "cycles"),
    [
        ("100 ns", 10**9, 100),
        ("100 ns", 700 * 10**6, 70),
        ("1 ns", 700 * 10**6, 1),  # rounded up
        ("0 ns", 10**9, 0),
        ("20 cycles", 5, 20),
        ("1 cycle", 5, 1),
        ("1.5 us", 10**9, 1500),
        ("3 ps", 10**9, 1),
        ("0.1 s", 100, 10),  # 0.1 is a tenth, so not 11
    ],
)
def test_times(text: str, clock: int, cycles: int) -> None:
    assert parse_time(text).cycles(clock) == cycles


@pytest.mark.parametrize(
    "text", ["64", 64, None, "KiB", "64 Kib", "64 kb", "64 GHz", "-1 KiB", "0 B", "0.3 B", "1,5 B"]
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"KiB|positive"):
        parse_size(text)


@pytest.mark.parametrize("text", ["1", 1, "1 B", "0 Hz", "1.5 Hz", "1 ghz"])
def test_what_is_no_clock(text: object) -> None:
    with pytest.raises(ValueError, match=r"GHz|positive"):
        parse_clock(text)


@pytest.mark.parametrize(
    "text", ["16", 16, "16 GB", "16 GB/ns", "16 Gb/s", "0 B/cycle", "16 /s", "16 GB/s/s"]
)
def test_what_is_no_rate(text: object) -> None:
    with pytest.raises(ValueError, match=r"GB/s|positive"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["100", 100, "100 hours", "-1 ns", "100 B", True])
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match="100 ns"):
        parse_time(text)


def test_a_rate_and_a_time_keep_how_they_were_written() -> None:
    assert parse_rate("2 KB/s") == Rate(Fraction(2000), per_cycle=False)
    assert parse_time("2 cycles") == Duration(Fraction(2), in_cycles=True)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (5 * 2**30, "5.0 GiB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(0, 10**30), st.integers(1, 10**15))
def test_ceil_div(dividend: int, divisor: int) -> None:
    quotient = ceil_div(dividend, divisor)
    assert (quotient - 1) * divisor < dividend <= quotient * divisor


@pytest.mark.parametrize("text", ["1e300 GB/s", "1e-300 GB/s"])
def test_rates_beyond_any_machine_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="beyond what can be simulated"):
        parse_rate(text)
