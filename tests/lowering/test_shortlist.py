"""A few tilings hold the best of very many, with any room; none costs less than its floor."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from search_cases import large_case, mid_case

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranking
from accelsim.lowering.search import search
from accelsim.lowering.shortlist import Shortlist, floors_of, shortlist
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.network.ops import Window

STAYS = (Residence(), Residence(ifmaps=(True,)), Residence(kept=True, stored=False))
"""What of a layer may stay on chip."""


Compared = tuple[Target, Ranking, Callable[[float], Shortlist | None]]
"""A target, what tilings cost there, and a shortlist of them by the rate of DRAM."""


def rankings(cases: range) -> list[Compared]:
    """Tilings at every scale of drawn layers, with and without what may stay on chip."""
    found = []
    for number in cases:
        for case in (mid_case(17, number), large_case(17, number)):
            kernel, target = case.layer.kernel, target_of(case.hardware)
            if target.reserves_blocks or not isinstance(kernel, GemmKernel):
                continue
            for stays in STAYS if target.timing is None else STAYS[:1]:
                found.append(compared_on(target, kernel, stays))
    return found


def compared_on(target: Target, kernel: GemmKernel, stays: Residence) -> Compared:
    """All that are compared of a kernel."""
    finder, resident = search(target), target.at_any_rate.holding(stays)
    floors = floors_of(resident, finder.grid(kernel))

    def few(rate: float) -> Shortlist | None:
        return shortlist(resident, floors, rate, target.dram_latency)

    return target, finder.ranking(kernel, stays), few


def compared(cases: range) -> tuple[int, int]:
    """How often a shortlist was sure, and how often it was asked; it must be right each time."""
    sure = asked = 0
    for target, ranking, few_at in rankings(cases):
        size = target.buffers[target.buffer_index("ifmap")].size
        for rate in (0.5, float(target.dram_bytes_per_cycle), 512.0):
            few = few_at(rate)
            if few is None:
                continue
            for space in (size, size - size // 8, size // 2, size // 5, size // 40):
                found = few.within(space)
                asked, sure = asked + 1, sure + (found is not None)
                if found is not None:
                    every = ranking.at(rate, target.dram_latency, space)
                    assert (found.best, found.least) == (every.best, every.least)
    return sure, asked


def test_the_best_is_on_the_shortlist() -> None:
    sure, asked = compared(range(3))
    assert asked > 100
    assert sure > 0.6 * asked


@pytest.mark.parametrize("most", [2, 8, 32])
def test_a_list_that_is_too_short_says_so(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelsim.lowering.shortlist.MOST", most)
    sure, asked = compared(range(4))
    assert sure < asked


@pytest.mark.slow
def test_the_best_of_many_layers_is_on_the_shortlist() -> None:
    sure, asked = compared(range(10, 90))
    assert sure > 0.6 * asked


def test_what_is_left_out_may_be_better() -> None:
    case = mid_case(17, 1)
    target = target_of(case.hardware)
    few = search(target).ranking(case.layer.kernel, Residence()).rated(1.0, 0)
    size = target.buffers[target.buffer_index("ifmap")].size
    least = few.within(size).least
    assert np.isfinite(least)
    made = partial(Shortlist, few, alike=np.inf, moved=np.inf)
    assert made(rest=0.99 * least).within(size) is None
    assert made(rest=least).within(size) is not None


def test_no_tiling_costs_less_than_its_floor() -> None:
    for number in range(3):
        for case in (mid_case(17, number), large_case(17, number)):
            kernel, target = case.layer.kernel, target_of(case.hardware)
            if target.reserves_blocks or not isinstance(kernel, GemmKernel):
                continue
            size = target.buffers[target.buffer_index("ifmap")].size
            for stays in STAYS if target.timing is None else STAYS[:1]:
                finder, resident = search(target), target.at_any_rate.holding(stays)
                floors = floors_of(resident, finder.grid(kernel))
                for rate in (0.5, 7.0, 512.0):
                    every = finder.ranking(kernel, stays).at(rate, target.dram_latency, size)
                    for each, cycles in zip(floors, every.cycles, strict=True):
                        floor = each.floor.cycles(rate, target.dram_latency)
                        assert (floor <= cycles.reshape(-1)[each.index]).all()
                        others = np.delete(cycles.reshape(-1), each.index)
                        assert np.isinf(others).all()


def test_what_no_space_changes_is_worked_out_once() -> None:
    for target, ranking, _ in rankings(range(3)):
        size = target.buffers[target.buffer_index("ifmap")].size
        rated = ranking.rated(3.0, target.dram_latency)
        for space in (size, size // 2, size // 7):
            each = zip(rated.within(space).cycles, rated.fixed().within(space).cycles, strict=True)
            assert all(np.array_equal(one, other) for one, other in each)


def test_of_few_tilings_all_are_on_the_list() -> None:
    case = mid_case(17, 1)
    target = target_of(case.hardware)
    *_, few_at = compared_on(
        target, GemmKernel(1, 1, 2, 3, Window(2, 1), Window(1, 1)), Residence()
    )
    few = few_at(1.0)
    assert few is not None
    assert few.rest == np.inf
