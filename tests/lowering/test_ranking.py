"""The best of ranked tilings: by cost, then by each of the preferences, and those close to it."""

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from cases import KERNELS, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.best_tiling import AXES, cycles_of, every_tiling
from search_cases import mid_case
from test_tiling import tight_targets

from accelsim.hardware import Objective
from accelsim.lowering.cost import significant
from accelsim.lowering.gemm_search import ORDERS, course, flows_of, gemm_ranking, gemm_tiling
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranked, Ranking, Times, cost_together, plain
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.tiling import GemmTiling, LoopOrder, tilings_of


def ranking_of(kernel: GemmKernel, to: Target, parts: int = 1) -> Ranking:
    """Every tiling of a kernel, in so many parts."""
    sizes = {axis: np.concatenate([each[axis] for each in every_tiling(kernel)]) for axis in AXES}
    places = np.array_split(np.arange(len(sizes["batch"])), parts)
    families = [tilings_of(kernel, [sizes[axis][at] for axis in AXES]) for at in places if len(at)]
    return gemm_ranking(to, [flows_of(kernel, to, family) for family in families])


def times_of(kernel: GemmKernel, to: Target, parts: int = 1) -> Times:
    space = to.buffers[to.buffer_index("ifmap")].size
    rate = float(to.dram_bytes_per_cycle)
    return ranking_of(kernel, to, parts).at(rate, to.dram_latency, space)


def listed(times: Times) -> list[Ranked]:
    """Every tiling that fits, one by one."""
    return [
        part.ranked(int(index), float(cycles.flat[index]))
        for part, cycles in zip(times.parts, times.cycles, strict=True)
        for index in np.flatnonzero(np.isfinite(cycles))
    ]


SMALL = KERNELS.filter(lambda kernel: kernel.gemm.macs * kernel.groups <= 600)


@given(SMALL, tight_targets(), st.integers(1, 3))
@drawn(60)
def test_each_costs_what_it_costs_by_itself(kernel: GemmKernel, to: Target, parts: int) -> None:
    times = times_of(kernel, to, parts)
    every = listed(times)
    assert len({each.tiling for each in every}) == len(every)
    assert times.any_fits == bool(every)
    for each in every[:: max(len(every) // 20, 1)]:
        assert each.cost == cycles_of(kernel, to, gemm_tiling(each))


@given(SMALL, tight_targets(), st.integers(1, 3))
@drawn(60)
def test_the_best_has_least_of_all_that_counts(kernel: GemmKernel, to: Target, parts: int) -> None:
    """Of tilings that are as fast, one with the least traffic, however they are parted."""
    times = times_of(kernel, to, parts)
    every, best = listed(times), times.best
    if best is None:
        assert not every
        return
    least = min(each.cost for each in every)
    assert times.least == least
    tied = [each for each in every if each.cost <= significant(np.array(least))]
    assert best in tied
    assert best.dram_bytes == min(each.dram_bytes for each in tied)
    frugal = [each for each in tied if each.dram_bytes == best.dram_bytes]
    fewest = min(gemm_tiling(each).arrays for each in frugal)
    assert gemm_tiling(best).arrays == fewest
    assert times_of(kernel, to).best == best


@given(SMALL, tight_targets())
@drawn(40)
def test_the_best_of_each_order(kernel: GemmKernel, to: Target) -> None:
    times = times_of(kernel, to)
    every, several = listed(times), times.several(ORDERS)
    if not every:
        assert several == []
        return
    assert several[0] == times.best
    for order in LoopOrder:
        least = min(each.cost for each in every if gemm_tiling(each).order is order)
        (own,) = [each for each in several[1:] if gemm_tiling(each).order is order]
        assert own.cost == least


def test_arrays_without_work_make_no_other_course() -> None:
    """Three tiles of filters keep three arrays at work, and one tile of pixels one."""
    kernel = mid_case(3, 4).layer.kernel
    three = GemmTiling(1, 1, 1, 5, 8, 2, 5, 5, LoopOrder.OFMAP_STAYS, "filters", 3)
    courses = [course(kernel, replace(three, arrays=arrays)) for arrays in (2, 3, 4, 8)]
    assert courses[0] != courses[1] == courses[2] == courses[3]
    alone = replace(three, split="pixels", arrays=8)
    assert course(kernel, alone) == course(kernel, replace(three, split="groups", arrays=1))


@given(SMALL, tight_targets(), st.floats(1, 2), st.integers(1, 12))
@drawn(60)
def test_those_close_run_otherwise(kernel: GemmKernel, to: Target, share: float, most: int) -> None:
    """The least first, none dearer than asked for, and no two that take the same course."""
    times = times_of(kernel, to)
    every = [each for each in listed(times) if each.cost <= share * times.least]
    close = [*times.close(share, most)] if times.any_fits else []
    costs = [each.cost for each in close]
    assert costs == sorted(costs)
    assert {*close} <= {*every}
    courses = {(course(kernel, gemm_tiling(each)), gemm_tiling(each).order) for each in close}
    assert len(courses) == len(close)
    if len(close) < most:  # then there is no other course
        turns = {course(kernel, gemm_tiling(each)) for each in every}
        assert turns == {course(kernel, gemm_tiling(each)) for each in close}


@pytest.mark.parametrize("number", range(3))
def test_a_rate_of_dram_changes_times_alone(number: int) -> None:
    """What was found at any rate says for each what a target of that rate does."""
    case = mid_case(5, number)
    kernel, to = case.layer.kernel, target_of(case.hardware)
    rng = np.random.default_rng(number)
    places = rng.integers(0, 10**6, 40)
    whole = [kernel.batch, kernel.groups, kernel.rows.outputs, kernel.cols.outputs]
    whole += [kernel.filters, kernel.channels, kernel.rows.kernel, kernel.cols.kernel]
    sizes = [1 + (places * (axis + 3)) % total for axis, total in enumerate(whole)]
    flows = flows_of(kernel, to.at_any_rate, tilings_of(kernel, sizes))
    space = to.buffers[to.buffer_index("ifmap")].size
    for rate in (Fraction(1, 3), Fraction(50)):
        slow = replace(to, dram_bytes_per_cycle=rate)
        known = gemm_ranking(to.at_any_rate, [flows]).at(float(rate), to.dram_latency, space)
        anew = gemm_ranking(slow, [flows_of(kernel, slow, tilings_of(kernel, sizes))])
        assert np.array_equal(
            known.cycles[0], anew.at(float(rate), to.dram_latency, space).cycles[0]
        )


def test_less_space_leaves_fewer() -> None:
    case = mid_case(5, 1)
    kernel, to = case.layer.kernel, target_of(case.hardware)
    tiles = tilings_of(
        kernel, [np.array([1, 1, 2])] * 4 + [np.arange(1, 4)] * 2 + [np.ones(3, int)] * 2
    )
    ranking = gemm_ranking(to, [flows_of(kernel, to, tiles)])
    size = to.buffers[to.buffer_index("ifmap")].size
    fitting = [
        int(np.isfinite(ranking.at(8.0, 0, space).cycles[0]).sum()) for space in (0, 2, 8, size)
    ]
    assert fitting == sorted(fitting)
    assert fitting[0] == 0


def some(cycles: float, energy: float, objective: Objective) -> Ranked:
    tiling = GemmTiling(1, 1, 1, 1, 1, 1, 1, 1, LoopOrder.OFMAP_STAYS, "pixels")
    return Ranked(tiling, 1, 1, cycles, energy_pj=energy, objective=objective)


@pytest.mark.parametrize(("objective", "cost"), [("time", 2), ("energy", 3), ("edp", 6)])
def test_cost_is_what_the_objective_minimises(objective: Objective, cost: float) -> None:
    assert some(2, 3, objective).cost == cost


@pytest.mark.parametrize(("objective", "cost"), [("time", 12), ("energy", 8), ("edp", 96)])
def test_layers_one_after_another(objective: Objective, cost: float) -> None:
    """The product is of both sums, and no sum of products."""
    assert cost_together([some(2, 3, objective), some(10, 5, objective)]) == cost
    assert cost_together([]) == 0


@given(st.data(), KERNELS)
@drawn(20)
def test_a_tiling_in_plain_words_says_all_of_it(data: st.DataObject, kernel: GemmKernel) -> None:
    tiling = data.draw(tilings(kernel))
    words = plain(tiling)
    assert prod(words[axis] for axis in AXES) == prod(getattr(tiling, axis) for axis in AXES)  # type: ignore[type-var]
    assert words["order"] == tiling.order.name.lower()
    assert (words["split"], words["arrays"]) == (tiling.split, tiling.arrays)
    assert plain(None) == {}
