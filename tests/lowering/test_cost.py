"""What tilings cost: DRAM bytes against a walked loop nest, and the parts of the closed form."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from random import Random

import numpy as np
import pytest
from cases import KERNELS, TARGETS, as_arrays, sizes_of, target, tilings, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.walked_nest import Nest, touched, walk
from search_cases import mid_case

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.cost import Channel, significant
from accelsim.lowering.dataflow import Extents, busy_cycles
from accelsim.lowering.flow import gemm_flow, passes, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.footprint import reads
from accelsim.lowering.gemm_search import flows_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.task import spans
from accelsim.lowering.tiling import Loop, LoopOrder, Split, tilings_of, whole_sizes
from accelsim.network.ops import Window

LOOPS: tuple[Loop, Loop, Loop] = ("pixels", "filters", "channels")


def walked_bytes(kernel: GemmKernel, sizes: dict[str, int], order: object, to: Target) -> int:
    moved = walk(Nest(kernel, sizes), order)  # type: ignore[arg-type]
    psums = (moved["psum_in"] + moved["psum_out"]) * to.bytes_of("psum")
    return psums + sum(
        moved[operand] * to.bytes_of(operand) for operand in OPERANDS if operand != "psum"
    )


@given(st.data(), KERNELS, TARGETS)
@drawn(300)
def test_dram_bytes_are_those_of_the_walked_nest(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    tiling = data.draw(tilings(kernel))
    work = workload(kernel, to, as_arrays(kernel, tiling))
    for order in LoopOrder:
        walked = walked_bytes(kernel, sizes_of(tiling), order.value, to)
        assert cost_of(gemm_flow(work, order, share_of(work)), to).dram_bytes[0] == walked


@given(st.data(), KERNELS)
@drawn(100)
def test_three_orders_are_enough(data: st.DataObject, kernel: GemmKernel) -> None:
    """Each of the six orders moves exactly what one of the three moves, operand by operand."""
    nest = Nest(kernel, sizes_of(data.draw(tilings(kernel))))
    three = [walk(nest, order.value) for order in LoopOrder]
    for order in permutations(LOOPS):
        assert walk(nest, order) in three


def test_which_orders_are_the_same() -> None:
    """Where every loop turns, those with the same innermost loop; where one turns once, more."""
    for turns in product((1, 2, 3), repeat=3):
        of = {loop: np.array([turn]) for loop, turn in zip(LOOPS, turns, strict=True)}

        def fetched(order: tuple[Loop, ...], of: dict[Loop, object] = of) -> tuple[int, ...]:  # type: ignore[assignment]
            return tuple(int(passes(order, of, each)[0]) for each in OPERANDS)  # type: ignore[arg-type]

        three = {order.value[-1]: fetched(order.value) for order in LoopOrder}
        for order in permutations(LOOPS):
            if min(turns) > 1:
                assert fetched(order) == three[order[-1]]
            assert fetched(order) in three.values()


@pytest.mark.parametrize(
    ("order", "operand", "times"),
    [
        # 3 pixel, 5 filter, 7 channel turns
        (LoopOrder.OFMAP_STAYS, "ifmap", 5),  # once for every filter turn
        (LoopOrder.OFMAP_STAYS, "filter", 3),
        (LoopOrder.OFMAP_STAYS, "psum", 1),
        (LoopOrder.IFMAP_STAYS, "ifmap", 1),
        (LoopOrder.IFMAP_STAYS, "filter", 3),
        (LoopOrder.IFMAP_STAYS, "psum", 7),
        (LoopOrder.FILTER_STAYS, "ifmap", 5),
        (LoopOrder.FILTER_STAYS, "filter", 1),
        (LoopOrder.FILTER_STAYS, "psum", 7),
    ],
)
def test_passes_by_hand(order: LoopOrder, operand: Operand, times: int) -> None:
    turns = {"pixels": np.array([3]), "filters": np.array([5]), "channels": np.array([7])}
    assert passes(order.value, turns, operand)[0] == times  # type: ignore[arg-type]


@given(windows(9))
@drawn(200)
def test_ifmap_reads_are_the_spans_of_the_tiles(window: Window) -> None:
    sizes = np.arange(1, window.outputs + 1)
    largest, together = reads(window, sizes)
    for size, most, total in zip(sizes, largest, together, strict=True):
        tiles = spans(window.outputs, int(size))
        read = [touched(window, range(tile.start, tile.stop)) for tile in tiles]
        assert (most, total) == (max(read), sum(read))
        bounds = [window.span(tile.start, tile.stop) for tile in tiles]
        assert read == [stop - start for start, stop in bounds]


@given(st.data(), KERNELS, TARGETS)
@drawn(100)
def test_array_cycles_are_those_of_every_tile(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    tiling = data.draw(tilings(kernel))
    nest = Nest(kernel, sizes_of(tiling))
    cycles = 0
    for turn in nest.turns(LOOPS):
        size = {axis: len(nest.indices(axis, turn)) for axis in nest.sizes}
        pixels = size["batch"] * size["rows"] * size["cols"]
        taps = size["tap_rows"] * size["tap_cols"]
        extents = Extents(pixels, size["filters"], size["channels"] * taps, taps=taps)
        cycles += size["groups"] * int(busy_cycles(to.array, extents))
    assert workload(kernel, to, as_arrays(kernel, tiling)).array_cycles[0] == cycles


@given(st.data(), KERNELS, TARGETS, st.integers(2, 9))
@drawn(100)
def test_arrays_without_a_share_cost_nothing(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int
) -> None:
    """Nine tiles in blocks of three keep three arrays at work, however many there are."""
    tiling = data.draw(tilings(kernel))
    several = replace(to, arrays=arrays)
    work = workload(kernel, several, as_arrays(kernel, tiling))
    split: Split = data.draw(st.sampled_from(["pixels", "filters", "groups"]))
    shared = int((work.group_tiles if split == "groups" else work.turns[split])[0])
    busy = len(range(0, shared, -(-shared // arrays)))
    every, some = (
        cost_of(gemm_flow(work, LoopOrder.OFMAP_STAYS, share_of(work, split, each)), several)
        for each in (arrays, busy)
    )
    assert every.arrays == busy
    for rate, latency in product((0.5, 64), (0, 90)):
        assert every.cycles(rate, latency) == some.cycles(rate, latency)


@given(st.floats(1, 1e12))
def test_significant_keeps_eight_bits(cycles: float) -> None:
    rounded = float(significant(np.array([cycles]))[0])
    assert cycles <= rounded <= cycles * (1 + 1 / 128)


def test_transfer_cycles_by_hand() -> None:
    to = target(rate=Fraction(16, 3), burst=64)
    assert to.transfer_cycles(1) == 12  # one burst of 64 B at 16/3 B per cycle
    assert to.transfer_cycles(64) == 12
    assert to.transfer_cycles(65) == 24
    assert to.transfer_cycles(0) == 0
    assert target(rate=Fraction(10)).transfer_cycles(11) == 2


@pytest.mark.parametrize("arrays", [2, 3, 4])
@pytest.mark.parametrize(
    "number",
    [*range(6), *(pytest.param(each, marks=pytest.mark.slow) for each in range(6, 12))],
)
def test_the_busiest_array_is_as_busy_as_its_schedule(number: int, arrays: int) -> None:
    """However unevenly a loop is shared out: exactly, for any sizes and every way."""
    case, chance = mid_case(21, number), Random(number)
    array = case.hardware.array.model_copy(update={"count": arrays})
    target = target_of(case.hardware.model_copy(update={"array": array}))
    whole = whole_sizes(case.layer.kernel)
    sizes = [chance.randint(max(1, total // 5), total) for total in whole]
    if sizes[1] > 1:
        sizes[4:] = whole[4:]
    tilings = tilings_of(case.layer.kernel, [np.array([size]) for size in sizes])
    flows = flows_of(case.layer.kernel, target, tilings)
    for place, _ in enumerate(flows.ways):
        schedules = gemm_schedules(case.layer.kernel, target, flows.tiling(place))
        busiest = max(schedule.cycles for schedule in schedules)
        assert np.broadcast_to(flows.flow.array, (len(flows.ways), 1))[place, 0] == busiest


@pytest.mark.parametrize(
    ("rate", "ifmap", "ofmap", "cycles"),
    [
        (4.0, 3, 2, 3 * 3 + 2.5 * 2 + 2 * 6),  # 10 and 8 bytes
        (10 / 3, 3, 3, 3 * 3 + 2.5 * 3 + 2 * 6),  # 3 cycles to the byte
        (64.0, 1, 1, 3 + 2.5 + 2 * 6),  # a cycle at least
    ],
)
def test_a_transfer_takes_whole_cycles(rate: float, ifmap: int, ofmap: int, cycles: float) -> None:
    """Three tiles of an ifmap, two and a half of an ofmap; DRAM turns to writing and back twice."""
    channel = Channel(
        tiles={"ifmap": np.array([3.0]), "ofmap": np.array([2.5])},
        occupied={"ifmap": np.array([10]), "ofmap": np.array([8])},
        turns=np.array([2]),
        turn_cycles=6,
    )
    each = channel.each(rate)
    assert (each["ifmap"], each["ofmap"]) == (ifmap, ofmap)
    assert channel.cycles(each) == cycles
