"""Gemmini's RTL: within the aim, or a stated exception that is not judged."""

import re

from accelsim.lowering.dataflow import Gemm
from accelsim.units import ceil_div
from accelsim.validation.data import table
from accelsim.validation.gemmini import _LOADS, AIM, EXCEPTIONS, REFERENCE


def test_every_row_is_within_its_band() -> None:
    comparisons = list(REFERENCE.compare())
    assert len(comparisons) == 13
    assert [each for each in comparisons if not each.passed] == []
    assert sum(each.band == AIM for each in comparisons) == 13 - len(EXCEPTIONS) == 8


def test_an_exception_is_one() -> None:
    """It is beyond the aim, not judged, and says why."""
    for each in REFERENCE.compare():
        assert (abs(each.error) > AIM) == (each.band is None) == bool(each.note)


def test_nothing_is_faster_than_the_law() -> None:
    assert all(-0.06 < each.error < 0 for each in REFERENCE.compare())


def test_who_must_load_over_eight_bytes_per_cycle() -> None:
    """A tile's ifmap and filter bytes for 8 of its k, over the cycles that their folds take."""
    for row in table("gemmini_rtl_gemm"):
        gemm = Gemm(int(row["m"]), int(row["n"]), int(row["k"]))
        inner = re.search(r"\[I\] N(\d+) C\d+ M(\d+)", row["mapping"])
        assert inner
        m, n = min(gemm.m, int(inner[1])), min(gemm.n, int(inner[2]))
        per_cycle = 8 * (m + n) / (8 * ceil_div(m, 8) * ceil_div(n, 8))
        loads = EXCEPTIONS.get(gemm) == _LOADS
        assert per_cycle > 8 if loads else per_cycle == 3.2
