"""Numbers as text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import written
from accelsim.report import quantities
from accelsim.units import parse_clock, parse_rate, parse_size, parse_time


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (840, "840"), (10_080, "10.08 k"), (15_470_264_320, "15.47 G"), (92e12, "92.00 T")],
)
def test_si(number: float, text: str) -> None:
    assert quantities.si(number) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [(2.5, "2.500 s"), (0.0337062, "33.706 ms"), (1e-5, "10.000 us"), (5e-9, "5.000 ns")],
)
def test_seconds(time: float, text: str) -> None:
    assert quantities.seconds(time) == text


def test_percentages_by_largest_remainder() -> None:
    """Thirds: 33.3 each leaves 0.1, which the first takes."""
    assert quantities.percentages([1, 1, 1]) == ["33.4", "33.3", "33.3"]
    assert quantities.percentages([0, 0]) == ["0.0", "0.0"]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any))
def test_percentages_sum_to_100(counts: list[int]) -> None:
    shares = [Fraction(share) for share in quantities.percentages(counts)]
    assert sum(shares) == 100
    for share, count in zip(shares, counts, strict=True):
        assert abs(share - Fraction(100 * count, sum(counts))) < Fraction(1, 10)


@pytest.mark.parametrize("text", ["1 GHz", "700 MHz", "1500 kHz", "7 Hz"])
def test_clock_as_written(text: str) -> None:
    assert written.clock(parse_clock(text)) == text


@pytest.mark.parametrize("text", ["64 KiB", "24 MiB", "100 B", "1536 KiB"])
def test_size_as_written(text: str) -> None:
    assert written.size(parse_size(text)) == text


@pytest.mark.parametrize("text", ["16 GB/s", "480 MB/s", "32 B/cycle", "2.5 B/cycle", "0.5 B/s"])
def test_rate_as_written(text: str) -> None:
    assert written.rate(parse_rate(text)) == text


@pytest.mark.parametrize("text", ["100 ns", "20 cycles", "1 us", "0 cycles", "2.5 ps"])
def test_duration_as_written(text: str) -> None:
    assert written.duration(parse_time(text)) == text


@given(st.integers(1, 10**15))
def test_sizes_come_back_exact(count: int) -> None:
    assert parse_size(written.size(count)) == count
