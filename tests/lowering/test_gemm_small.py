"""Small kernels: of all tilings the least, and what tells that most of them are worse."""

import numpy as np
import pytest
from oracles.best_tiling import AXES, cheapest, costs, cycles_of, every_tiling
from search_cases import mid_case

from accelsim.lowering.footprint import tap_reads
from accelsim.lowering.gemm_small import _even, _least_cycles, better_tilings
from accelsim.lowering.search import best_tiling
from accelsim.lowering.target import target_of
from accelsim.lowering.tiling import tilings_of

ROOM = 1 << 40

NOT_REACHED = {
    "taps that read only padding": (232, (1, 1, 1, 8, 4, 1, 8, 1)),
    "groups, rows and columns at once": (116, (1, 3, 8, 5, 1, 1, 3, 3)),
    "filters and taps at once": (262, (1, 1, 15, 1, 3, 7, 5, 3)),
    "channels that just fill five folds with their taps": (879, (1, 1, 1, 1, 4, 57, 3, 3)),
    "one more cut of many rows": (998, (1, 1, 21, 1, 5, 9, 1, 1)),
}
"""Drawn kernels whose best tilings no climb from others reached: 4 to 12 % better."""


@pytest.mark.parametrize(("number", "sizes"), NOT_REACHED.values(), ids=NOT_REACHED)
def test_tilings_that_no_climb_reached(number: int, sizes: tuple[int, ...]) -> None:
    case = mid_case(90417, number)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    one = {axis: np.array([size]) for axis, size in zip(AXES, sizes, strict=True)}
    chosen = cycles_of(kernel, target, best_tiling(kernel, target))
    assert chosen <= 1.01 * np.min(costs(kernel, target, one)[0])


@pytest.mark.parametrize("number", range(3))
def test_of_all_tilings_the_least_is_found(number: int) -> None:
    case = mid_case(2, number, least=256, most=4096)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    found = better_tilings(kernel, target, ROOM, np.inf, tap_reads)
    best = cheapest(kernel, target)
    assert (found is None) == (not best)
    if found is not None:
        assert found.least == pytest.approx(best[0].cycles)
        assert better_tilings(kernel, target, ROOM, found.least, tap_reads) is None


@pytest.mark.parametrize("number", range(3))
def test_no_tiling_takes_less_than_its_bound(number: int) -> None:
    case = mid_case(3, number, least=256, most=4096)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    for sizes in every_tiling(kernel):
        cycles, _ = costs(kernel, target, sizes)
        bound = _least_cycles(kernel, target, tilings_of(kernel, [sizes[axis] for axis in AXES]))
        assert (bound <= cycles.min(axis=0) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("total", "lanes", "taps", "sizes"),
    [
        (10, 0, 1, [1, 2, 3, 4, 5, 10]),  # into 10, 5, 4, 3, 2 and 1
        (10, 4, 1, [1, 2, 3, 4, 5, 8, 10]),  # and into folds of 4
        (10, 8, 3, [1, 2, 3, 4, 5, 8, 10]),  # folds of 8 hold 2, 5 and 8 channels of 3 taps
        (2, 1, 4, [1, 2]),  # 4 folds for each channel
    ],
)
def test_even_cuts_and_whole_folds(total: int, lanes: int, taps: int, sizes: list[int]) -> None:
    assert _even(total, lanes, taps).tolist() == sizes
