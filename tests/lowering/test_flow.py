"""What moves when the loops of a kernel run: transfer by transfer, on a plain and a timed DRAM."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from cases import KERNELS, TARGETS, as_arrays, sizes_of, target, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.walked_nest import Nest
from search_cases import drawn_machine

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.flow import Flow, gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.task import Transfer
from accelsim.lowering.tiling import GemmTiling, LoopOrder, whole_sizes
from accelsim.network.ops import Window

BARE = st.builds(
    Window, st.integers(4, 24), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)
).filter(lambda window: window.outputs > 0)
LARGER = st.builds(
    GemmKernel,
    *(st.integers(1, 2), st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
    *(BARE, BARE),
)
ORDERS = st.sampled_from(LoopOrder)


def flow_of(kernel: GemmKernel, to: Target, tiling: GemmTiling) -> Flow:
    work = workload(kernel, to, as_arrays(kernel, tiling))
    return gemm_flow(work, tiling.order, share_of(work, tiling.split, tiling.arrays))


def transfers(schedules: Sequence[Schedule]) -> dict[Operand, list[Transfer]]:
    """All of them, by operand."""
    found: dict[Operand, list[Transfer]] = {item: [] for item in OPERANDS}
    for schedule in schedules:
        for step in schedule.steps:
            for transfer in step.transfers:
                found[transfer.operand].append(transfer)
    return found


@st.composite
def evenly(draw: st.DrawFn, kernel: GemmKernel) -> GemmTiling:
    """Tiles that are all alike."""
    wholes = whole_sizes(kernel)
    sizes = [
        draw(st.sampled_from([size for size in range(1, total + 1) if total % size == 0]))
        for total in wholes
    ]
    if sizes[1] > 1:
        sizes[4:] = wholes[4:]
    return GemmTiling(*sizes, draw(ORDERS), "pixels")


@given(st.data(), KERNELS, TARGETS)
@drawn(200)
def test_visits_are_the_transfers_of_tasks(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """But for tiles of the ifmap that lie in padding, which nobody brings."""
    tiling = data.draw(tilings(kernel))
    flow = flow_of(kernel, to, tiling)
    (schedule,) = gemm_schedules(kernel, to, tiling)
    nest = Nest(kernel, sizes_of(tiling))
    empty = any(not nest.words("ifmap", turn) for turn in nest.turns(tiling.order.value))
    for item, moved in transfers([schedule]).items():
        visits = flow.visits[item].max()
        assert len(moved) == visits or (item == "ifmap" and empty and len(moved) < visits)
    assert flow.tiles.item() == schedule.length


@given(st.data(), KERNELS, st.integers(2, 5), st.sampled_from(["pixels", "filters", "groups"]))
@drawn(200)
def test_arrays_at_work_are_those_with_tasks(
    data: st.DataObject, kernel: GemmKernel, arrays: int, split: str
) -> None:
    """And the first of them takes no less than any other."""
    tiling = data.draw(tilings(kernel, split, arrays))  # type: ignore[arg-type]
    to = target(arrays=arrays)
    flow = flow_of(kernel, to, tiling)
    schedules = gemm_schedules(kernel, to, tiling)
    assert flow.at_work.item() == sum(bool(each.nest) for each in schedules)
    first, *others = (schedule.cycles for schedule in schedules)
    assert first >= max(others)


# --- Bursts -------------------------------------------------------------------------------------


@given(st.data(), KERNELS | LARGER, st.sampled_from([16, 64, 256]))
@drawn(200)
def test_every_tile_occupies_whole_bursts(
    data: st.DataObject, kernel: GemmKernel, burst: int
) -> None:
    """Of those with what is left of an axis, too; exactly, but for an ifmap that padding clips."""
    to, tiling = target(rate=Fraction(1), burst=burst), data.draw(tilings(kernel))
    flow = flow_of(kernel, to, tiling)
    if flow.tiles.item() > 300:
        return
    for item, moved in transfers(gemm_schedules(kernel, to, tiling)).items():
        told = float((flow.traffic[item] * flow.waste[item]).max())
        if item != "ifmap":
            assert told == pytest.approx(sum(map(to.occupied_cycles, moved)))
        elif not any(each.before or each.after for each in kernel.windows):
            assert told == pytest.approx(sum(map(to.occupied_cycles, moved)), rel=0.01)


# --- A timed DRAM ---------------------------------------------------------------------------------


@cache
def timed() -> list[Target]:
    """Of machines that are drawn, the first few whose DRAM has a data sheet."""
    rng, found = np.random.default_rng(1), []
    while len(found) < 6:
        to = target_of(drawn_machine(rng))
        if to.timing is not None and to.arrays == 1:
            found.append(to)
    return found


@given(st.data(), LARGER, st.integers(0, 5))
@drawn(150)
def test_what_tiles_occupy_is_what_their_runs_take(
    data: st.DataObject, kernel: GemmKernel, number: int
) -> None:
    """Within 5 % and the cycle to which each transfer is rounded up, where all tiles are alike."""
    to, tiling = timed()[number], data.draw(evenly(kernel))
    flow = flow_of(kernel, to, tiling)
    if flow.tiles.item() > 300:
        return
    rate = float(to.dram_bytes_per_cycle)
    for item, moved in transfers(gemm_schedules(kernel, to, tiling)).items():
        cycles = sum(map(to.occupied_cycles, moved))
        told = float((flow.traffic[item] * flow.waste[item]).max()) / rate
        assert 0.95 * (cycles - len(moved)) <= told <= 1.05 * cycles
        if moved:
            largest = max(map(to.occupied_cycles, moved))
            one = float(flow.occupied[item].max()) / rate
            assert 0.95 * (largest - 1) <= one <= 1.05 * largest


@given(st.data(), KERNELS, st.integers(0, 5))
@drawn(200)
def test_tiles_that_lie_in_padding_occupy_nothing(
    data: st.DataObject, kernel: GemmKernel, number: int
) -> None:
    """Whatever is left of an axis may be all padding: no cost is less for that, or no number."""
    to, tiling = timed()[number], data.draw(tilings(kernel))
    work = workload(kernel, to, as_arrays(kernel, tiling))
    flow = gemm_flow(work, tiling.order, share_of(work))
    for item in OPERANDS:
        assert np.all(flow.waste[item] * flow.traffic[item] >= 0)
    cycles = cost_of(flow, to).cycles(float(to.dram_bytes_per_cycle), to.dram_latency)
    assert np.all(np.isfinite(cycles))
    assert np.all(cycles >= flow.array)


BEYOND = Window(1, 1, 2, before=4, after=2)
"""Four outputs, of which only the third has data: the last tile of three lies in padding."""


def test_a_rest_in_padding_by_hand() -> None:
    """The tile of three outputs reads the one row, and that of the last one reads nothing."""
    kernel = GemmKernel(1, 1, 1, 1, BEYOND, Window(8, 1))
    to = timed()[0]
    assert kernel.rows.outputs == 4
    tiling = GemmTiling(1, 1, 3, 8, 1, 1, 1, 1, LoopOrder.OFMAP_STAYS, "pixels")
    flow = flow_of(kernel, to, tiling)
    moved = transfers(gemm_schedules(kernel, to, tiling))["ifmap"]
    assert len(moved) == 1
    told = (flow.traffic["ifmap"] * flow.waste["ifmap"]).item() / float(to.dram_bytes_per_cycle)
    (cycles,) = map(to.occupied_cycles, moved)
    assert cycles - 1 <= told <= 1.05 * cycles
