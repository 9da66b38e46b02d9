"""What else a layer could do, against everything that it could do."""

from dataclasses import replace
from itertools import product
from math import ceil, prod

import numpy as np
import pytest
from cases import LAYOUTS, row_array, row_target, target
from oracles.best_mapping import every_mapping

from accelsim.lowering.contenders import loop_extents, mappings_near, vector_tilings
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.row_stationary_cost import mapping_cost
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.tiling import CutTiling, GemmTiling, LoopOrder, VectorTiling
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.ops import Window

GEMM = GemmKernel(2, 1, 4, 3, Window(6, 3), Window(5, 2))
ROWS = row_target(row_array(), sizes=(96, 96, 128, 0))
POOLED = VectorKernel(2, 2, Window(3, 2), Window(3, 2), 4, tap_operations=1)
PASSED = VectorKernel(2, 3, Window(2, 1), Window(1, 1), 5, passes=(1, 2, 2))
TILINGS = [
    VectorTiling(*sizes) for sizes in product((1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))
]


def turns_in(extents: list[tuple[str, int, int]]) -> int:
    return prod(ceil(whole / part) for _, whole, part in extents)


@pytest.mark.parametrize("tiling", TILINGS[::5])
def test_loops_of_a_vector_unit_turn_once_for_each_task(tiling: VectorTiling) -> None:
    (schedule,) = vector_schedules(POOLED, target(), tiling)
    assert turns_in(loop_extents(POOLED, tiling)) == schedule.length


@pytest.mark.parametrize(("channels", "rows", "batch"), [(1, 1, 1), (2, 1, 2), (3, 2, 1)])
def test_loops_of_passes_turn_once_for_each_task(channels: int, rows: int, batch: int) -> None:
    tiling = VectorTiling(batch, channels, rows, 1, 1, 1)
    (schedule,) = vector_schedules(PASSED, target(), tiling)
    extents = loop_extents(PASSED, tiling)
    assert turns_in(extents) == schedule.length
    names = [name for name, _, _ in extents]
    assert names.index("passes") < names.index("channels")  # each pass goes over all of them


def test_loops_of_a_mapping_turn_once_for_each_task() -> None:
    some = next(every_mapping(GEMM, ROWS))
    for index in range(0, np.size(some.m), max(np.size(some.m) // 12, 1)):
        mapping = some.only(index)
        (schedule,) = row_stationary_schedules(GEMM, ROWS, mapping)
        assert turns_in(loop_extents(GEMM, mapping)) == schedule.length


@pytest.mark.parametrize("order", LoopOrder)
@pytest.mark.parametrize("sizes", [(1, 1, 2, 3, 3, 1, 3, 1), (2, 1, 4, 4, 2, 3, 2, 2)])
def test_loops_of_a_systolic_array_turn_once_for_each_task(
    order: LoopOrder, sizes: tuple[int, ...]
) -> None:
    tiling = GemmTiling(*sizes, order=order, split="pixels")
    (schedule,) = gemm_schedules(GEMM, target(), tiling)
    extents = loop_extents(GEMM, tiling)
    assert turns_in(extents) == schedule.length
    innermost = {"pixels": "cols", "filters": "filters", "channels": "tap_cols"}
    assert [extents[0][0], extents[-1][0]] == ["groups", innermost[order.value[-1]]]


def test_loops_of_a_cut_kernel_are_those_of_its_larger_part() -> None:
    """Of four rows of four columns first one, then three columns of the others: 3 x 3 pixels."""
    tiling = GemmTiling(1, 1, 2, 3, 3, 1, 3, 1, LoopOrder.OFMAP_STAYS, "pixels")
    rest = CutTiling(cut="cols", at=3, first=replace(tiling, rows=1), rest=tiling)
    cut, again, *loops = loop_extents(GEMM, CutTiling(cut="rows", at=1, first=tiling, rest=rest))
    assert (cut, again) == (("rows", 4, 3), ("cols", 4, 3))
    assert ("rows", 3, 1) in loops
    assert ("cols", 3, 3) in loops


@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("room", [24, 1 << 20])
def test_tilings_of_a_vector_unit_are_the_cheapest_of_all(room: int, count: int) -> None:
    """No axis is longer than two, so a coarse grid has every tiling that does not cut windows."""
    to = target(LAYOUTS[1], sizes=(room, 1 << 20, 1 << 20))
    chosen = VectorTiling(1, 1, 1, 1, 2, 2)
    costs = {}
    for sizes in product((1, 2), repeat=4):
        one = VectorCosts(POOLED, to, np.array([[*sizes, 2, 2, 1]]).T)
        if one.fits[0]:
            costs[VectorTiling(*sizes, 2, 2)] = float(one.cost[0])
    assert costs
    found = vector_tilings(POOLED, to, chosen, room, count)
    assert found[0].tiling == chosen
    assert len({one.tiling for one in found}) == len(found) <= count
    whole = [one.tiling for one in found if one.tiling in costs and one.tiling != chosen]
    for other in costs.keys() - {*whole, chosen}:
        assert all(costs[other] >= costs[each] for each in whole[: count - 2])  # type: ignore[index]
    assert all(one.tile_bytes <= room // 2 for one in found)


def test_mappings_near_are_cheaper_than_any_that_differs_in_one_number() -> None:
    chosen = next(every_mapping(GEMM, ROWS)).only(5)
    found = mappings_near(GEMM, ROWS, chosen, 8)
    assert found[0].tiling == chosen
    assert len({one.tiling for one in found}) == len(found)
    assert [one.cycles for one in found[1:]] == sorted(one.cycles for one in found[1:])
    least = min(one.cycles for one in found)
    for some in every_mapping(GEMM, ROWS):
        apart = sum(
            np.asarray(getattr(some, axis) != getattr(chosen, axis), dtype=int)
            for axis in ("n", "e", "p", "q", "r", "t", "f", "tap_rows", "tap_cols")
        )
        same = (some.f == chosen.f) & (some.tap_rows == chosen.tap_rows)
        near = some.select((apart <= 1) & same & (some.tap_cols == chosen.tap_cols))
        if np.size(near.m):
            assert mapping_cost(GEMM, ROWS, near).cycles.min() >= least
