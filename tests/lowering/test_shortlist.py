"""A few tilings hold the best of very many, with any room; none costs less than its floor."""

from functools import partial

import numpy as np
import pytest
from search_cases import large_case, mid_case

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranking
from accelsim.lowering.search import search
from accelsim.lowering.shortlist import MOST, Shortlist, shortlist
from accelsim.lowering.target import Residence, Target, target_of

STAYS = (Residence(), Residence(ifmaps=(True,)), Residence(kept=True, stored=False))
"""What of a layer may stay on chip."""


def rankings(cases: range) -> list[tuple[Target, Ranking]]:
    """Tilings at every scale of drawn layers, with and without what may stay on chip."""
    found = []
    for number in cases:
        for case in (mid_case(17, number), large_case(17, number)):
            kernel, target = case.layer.kernel, target_of(case.hardware)
            if target.reserves_blocks or not isinstance(kernel, GemmKernel):
                continue
            for stays in STAYS if target.timing is None else STAYS[:1]:
                found.append((target, search(target).ranking(kernel, stays)))
    return found


def compared(cases: range) -> tuple[int, int]:
    """How often a shortlist was sure, and how often it was asked; it must be right each time."""
    sure = asked = 0
    for target, ranking in rankings(cases):
        size = target.buffers[target.buffer_index("ifmap")].size
        for rate in (0.5, float(target.dram_bytes_per_cycle), 512.0):
            few = shortlist(ranking, rate, target.dram_latency)
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
    ranking = search(target).ranking(case.layer.kernel, Residence())
    few = Ranking(tuple(part.only(np.arange(9)) for part in ranking.parts[:1]))
    size = target.buffers[target.buffer_index("ifmap")].size
    least = few.at(1.0, 0, size).least
    assert np.isfinite(least)
    made = partial(Shortlist, few, 1.0, 0, alike=np.inf, moved=np.inf)
    assert made(rest=0.99 * least).within(size) is None
    assert made(rest=least).within(size) is not None


def test_no_tiling_costs_less_than_its_floor() -> None:
    for target, ranking in rankings(range(3)):
        size = target.buffers[target.buffer_index("ifmap")].size
        for rate in (0.5, 7.0, 512.0):
            for part in ranking.parts:
                floor = np.broadcast_to(part.cost.floor(rate, target.dram_latency), part.shape)
                cycles = part.cycles(rate, target.dram_latency, size)
                assert (floor.reshape(cycles.shape) <= cycles).all()


def test_few_tilings_need_no_shortlist() -> None:
    case = mid_case(17, 1)
    target = target_of(case.hardware)
    ranking = search(target).ranking(case.layer.kernel, Residence())
    some = Ranking(tuple(part.only(np.arange(MOST // 2)) for part in ranking.parts[:1]))
    assert shortlist(some, 1.0, 0) is None
