"""Data sheets: what follows from them, by hand, and what cannot be one."""

from fractions import Fraction

import pytest
from oracles.dram_sheets import SHEETS, STANDARDS, changed
from pydantic import ValidationError

from accelsim.dram.sheet import DramTiming


def test_all_standards_are_there() -> None:
    needed = {"DDR3-1600", "DDR3-2133", "DDR4-2400", "DDR4-3200", "LPDDR5-6400", "HBM2"}
    newer = {"DDR5-3200", "LPDDR4-3200", "LPDDR4X-4266", "GDDR6-14000", "HBM3-6400", "HBM2E-3800"}
    assert needed | newer <= set(STANDARDS)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("DDR3-1600", 12.8),  # 8 B at 1,600 MT/s
        ("DDR3-2133", 17.08),  # the clock of 937 ps is rounded
        ("DDR4-2400", 19.2),
        ("DDR4-3200", 25.6),
        ("LPDDR5-6400", 12.8),  # 2 B
        ("DDR5-3200", 12.8),  # 4 B
        ("HBM2", 32.0),  # 2 x 8 B at 2,000 MT/s
        ("HBM2E-3800", 60.84),  # 2 x 8 B at 3,800 MT/s; the clock of 526 ps is rounded
        ("LPDDR4-3200", 6.4),
        ("LPDDR4X-4266", 8.53),  # 2 B; the clock of 469 ps is rounded
        ("GDDR6-14000", 27.97),  # 2 B at 14,000 MT/s; 572 ps is rounded
        ("HBM3-6400", 51.2),  # 2 x 4 B at 6,400 MT/s
    ],
)
def test_peak(name: str, gigabytes: float) -> None:
    assert float(SHEETS[name].bytes_per_second) / 1e9 == pytest.approx(gigabytes, rel=1e-3)


@pytest.mark.parametrize("name", STANDARDS)
def test_names_and_sources(name: str) -> None:
    assert SHEETS[name].standard == name
    assert SHEETS[name].source


def test_channels_multiply_the_peak() -> None:
    one, four = SHEETS["DDR4-2400"], changed("DDR4-2400", channels=4)
    assert four.bytes_per_second == 4 * one.bytes_per_second
    assert four.closed_clocks == one.closed_clocks


def test_latency_refresh_and_turnaround_by_hand() -> None:
    sheet = SHEETS["DDR4-2400"]
    assert sheet.hit_clocks == 16 + 4 + 1
    assert sheet.closed_clocks == 16 + 16 + 4 + 1
    assert sheet.refresh_factor == 1 - Fraction(433, 9364)
    assert sheet.read_to_write == 16 + 4 + 2 - 12
    assert sheet.write_to_read(within_group=False) == 12 + 4 + 3
    assert sheet.write_to_read(within_group=True) == 12 + 4 + 9
    assert sheet.activate_clocks == 6.5  # four in 26 clocks are slower than one in 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"banks": 3}, "powers of two, found banks 3"),
        ({"row_bursts": 2}, "a row has 4 bursts or more"),
        ({"nRFC": 9364}, "refresh takes all the time"),
        ({"nCL": 0}, "greater than 0"),
        ({"nXYZ": 1}, "nXYZ"),
    ],
)
def test_what_cannot_be_a_sheet(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DramTiming.model_validate({**SHEETS["DDR4-2400"].model_dump(), **values})
