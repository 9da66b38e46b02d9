"""The search: the optimum of its own cost, and what it says where nothing fits."""

import re
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from cases import LAYOUTS, target, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import DoesNotFitError
from accelsim.lowering.cost import significant
from accelsim.lowering.demand import legal
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_candidates import (
    sizes_at_every_scale,
    tilings_to_compare,
    tilings_with_parts_of_windows,
)
from accelsim.lowering.gemm_search import sizes_of, ways_of
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.recall import Memory
from accelsim.lowering.search import best_tiling, best_vector_tiling, search
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import GemmTiling, all_tilings, whole_sizes
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.ops import Window

SMALL = st.builds(
    GemmKernel,
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 3),
    windows(3),
    windows(2),
).filter(lambda kernel: np.prod(whole_sizes(kernel)) <= 144)


@st.composite
def tight_targets(draw: st.DrawFn, smallest: int = 8, largest: int = 160) -> Target:
    layout = draw(st.sampled_from(LAYOUTS))
    sizes = tuple(draw(st.integers(smallest, largest)) for _ in layout)
    return target(
        layout,
        sizes,
        dataflow=draw(st.sampled_from(["os", "ws", "is"])),
        arrays=draw(st.integers(1, 3)),
        latency=draw(st.integers(0, 20)),
        burst=draw(st.sampled_from([1, 8])),
        array=draw(st.sampled_from([(1, 1), (2, 3), (4, 2)])),
        pipelined=draw(st.booleans()),
    )


Score = tuple[float, int, int, float, int]


def brute_force(kernel: GemmKernel, to: Target) -> dict[GemmTiling, Score]:
    """(cycles, DRAM bytes, arrays, array cycles, tiles) of everything legal, one at a time."""
    scores = {}
    for sizes in product(*(range(1, total + 1) for total in whole_sizes(kernel))):
        one = all_tilings(kernel, [np.array([size]) for size in sizes])
        if not legal(kernel, to, one).item():
            continue
        work = workload(kernel, to, one)
        for way in ways_of(kernel, to):
            flow = gemm_flow(work, way.order, share_of(work, way.split, way.arrays))
            cost = cost_of(flow, to)
            cycles = cost.cycles(float(to.dram_bytes_per_cycle), to.dram_latency)
            scores[GemmTiling(*sizes, way.order, way.split, way.arrays)] = (
                significant(cycles).item(),
                cost.dram_bytes.item(),
                way.arrays,
                significant(flow.array).item(),
                work.tiles.item(),
            )
    return scores


@given(SMALL, tight_targets())
@drawn(60, percent=5)
def test_the_search_finds_the_optimum(kernel: GemmKernel, to: Target) -> None:
    scores = brute_force(kernel, to)
    if not scores:
        with pytest.raises(DoesNotFitError):
            best_tiling(kernel, to)
        return
    assert scores[best_tiling(kernel, to)] == min(scores.values())


@given(SMALL, tight_targets(smallest=40), st.integers(0, 80), st.booleans())
@drawn(200)
def test_less_room_is_a_smaller_buffer(
    kernel: GemmKernel, to: Target, less: int, vector: bool
) -> None:
    """What is best within less of a buffer is what is best where it has no more."""
    asked = kernel
    if vector:
        asked = VectorKernel(kernel.batch, kernel.channels, kernel.rows, kernel.cols, 2)  # type: ignore[assignment]
    place = to.buffers[to.buffer_index("ifmap")]
    space = place.size - less
    within = search(to)(asked, Residence()).best_within(space)
    alone = search(resized(to, {place.name: space}))(asked, Residence()).best
    assert within == alone


def test_less_room_has_fewer_tiles_in_flight() -> None:
    """13 of 40 bytes have place for fewer tiles: 25 cycles, not 24.75."""
    kernel = GemmKernel(1, 1, 1, 2, Window(1, 1), Window(1, 2, after=2))
    one = (("ifmap", "filter", "psum", "ofmap"),)
    to = target(one, (40,), dataflow="os", latency=4, array=(1, 1))
    within = search(to)(kernel, Residence()).best_within(13)
    assert within == search(resized(to, {to.buffers[0].name: 13}))(kernel, Residence()).best


@given(SMALL, tight_targets(), st.lists(st.tuples(st.integers(1, 9), st.integers(8, 160))))
@drawn(60, percent=5)
def test_what_was_searched_before_changes_nothing(
    kernel: GemmKernel, to: Target, others: list[tuple[int, int]]
) -> None:
    """Points of a sweep in turn, rates and buffers changing: each as in a fresh process."""

    def found(point: Target, memory: Memory) -> list[Ranked | None]:
        residences = (Residence(), Residence((True,)), Residence((True,), True, False))
        return [search(point, memory)(kernel, each).refined for each in residences]

    kept = Memory(most=3)

    points = [to]
    for rate, size in others:
        points.append(replace(points[-1], dram_bytes_per_cycle=Fraction(rate, 3)))
        points.append(resized(points[-1], {to.buffers[0].name: size}))
    warm = [found(point, kept) for point in points + points[::-1]]
    assert found(points[-1], Memory()) == warm[len(points) - 1] == warm[len(points)]
    assert found(to, Memory()) == warm[0] == warm[-1]


def test_what_was_asked_for_last_is_remembered() -> None:
    memory, found = Memory(most=2), []

    def recall(key: str) -> None:
        memory.recall("letters", key, lambda: found.append(key))

    for key in "abacabc":
        recall(key)
    assert found == [*"abcbc"]


LARGE = [
    GemmKernel(1, 1, 64, 64, Window(56, 3, before=1, after=1), Window(56, 3, before=1, after=1)),
    GemmKernel(4, 2, 48, 24, Window(27, 5, before=2, after=2), Window(27, 5, before=2, after=2)),
    GemmKernel(1, 32, 1, 1, Window(28, 3), Window(28, 3)),
    GemmKernel(7, 1, 1000, 4096, Window(1, 1), Window(1, 1)),
]


@pytest.mark.parametrize("kernel", LARGE)
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_thinned_candidates_fit_and_hold_the_extremes(kernel: GemmKernel, dataflow: str) -> None:
    """Where not everything is tried, sizes are legal, and 1 and the whole are among them."""
    to = target(sizes=(32768,) * 3, dataflow=dataflow, array=(16, 8))
    families = tilings_to_compare(kernel, to) + tilings_with_parts_of_windows(kernel, to)
    for axis, total in enumerate(whole_sizes(kernel)):
        sizes = np.concatenate([family.axes[axis].ravel() for family in families])
        assert sizes.min() == 1
        assert sizes.max() == total
    chosen = sizes_of(best_tiling(kernel, to))
    assert legal(kernel, to, all_tilings(kernel, [np.array([size]) for size in chosen])).item()


@given(st.integers(1, 2**31), st.integers(1, 512))
def test_the_number_of_sizes_grows_with_the_logarithm(total: int, lanes: int) -> None:
    sizes = sizes_at_every_scale(total, lanes)
    assert {1, total} <= sizes
    assert len(sizes) <= 8 + 4 * total.bit_length()
    assert all(1 <= size <= total for size in sizes)


# --- What does not fit ----------------------------------------------------------------------------

LEVER = re.compile(
    r"needs ([\d,]+) bytes of buffer (\S+), whose half .*? is ([\d,]+); "
    r"make buffers\.(\S+)\.size at least (\d+) B"
)


def levers(error: DoesNotFitError, to: Target) -> dict[str, int]:
    """Buffer sizes that the message names, after checking its other numbers."""
    named = {}
    for needed, name, half, key, size in LEVER.findall(str(error)):
        space = next(space for space in to.buffers if space.name == name)
        demand = int(needed.replace(",", ""))
        assert int(half.replace(",", "")) == space.half < demand
        assert (key, int(size)) == (name, 2 * demand)
        named[name] = int(size)
    assert named
    return named


def resized(to: Target, sizes: dict[str, int]) -> Target:
    buffers = tuple(replace(each, size=sizes.get(each.name, each.size)) for each in to.buffers)
    return replace(to, buffers=buffers)


@given(SMALL, tight_targets(largest=14))
@drawn(150)
def test_the_lever_works_and_no_less_does(kernel: GemmKernel, to: Target) -> None:
    try:
        best_tiling(kernel, to)
    except DoesNotFitError as error:
        sizes = levers(error, to)
        best_tiling(kernel, resized(to, sizes))
        if len(sizes) == 1:
            (name, size), *_ = sizes.items()
            with pytest.raises(DoesNotFitError):
                best_tiling(kernel, resized(to, {name: size - 1}))


def test_the_lever_of_a_tile_by_hand() -> None:
    """3x3 convolution cut into taps: a word each of ifmap and filter, and a psum of 4 bytes."""
    kernel = GemmKernel(1, 1, 1, 1, Window(3, 3), Window(3, 3))
    to = target(sizes=(17, 18, 6))
    with pytest.raises(DoesNotFitError) as caught:
        best_tiling(kernel, to)
    assert levers(caught.value, to) == {"psum+ofmap": 8}


@given(st.integers(1, 9), st.booleans(), tight_targets(smallest=2, largest=9))
@drawn(80)
def test_the_lever_of_a_vector_layer(kernel: int, in_passes: bool, to: Target) -> None:
    window = Window(kernel, min(kernel, 3))
    pool = VectorKernel(1, 2, window, Window(1, 1), 1, passes=(1, 1) if in_passes else ())
    try:
        best_vector_tiling(pool, to)
    except DoesNotFitError as error:
        sizes = levers(error, to)
        best_vector_tiling(pool, resized(to, sizes))
        for name, size in sizes.items():
            with pytest.raises(DoesNotFitError):
                best_vector_tiling(pool, resized(to, {**sizes, name: size - 1}))


@given(st.integers(1, 3), st.integers(1, 4), windows(5), windows(4), tight_targets())
@drawn(60)
def test_vector_tiles_fit(
    batch: int, channels: int, rows: Window, cols: Window, to: Target
) -> None:
    kernel = VectorKernel(batch, channels, rows, cols, 3)
    try:
        tiling = best_vector_tiling(kernel, to)
    except DoesNotFitError:
        return
    for schedule in vector_schedules(kernel, to, tiling):
        for task in schedule.tasks:
            rooms = (*task.step.opens, *(load.room for load in task.step.loads))
            for index, space in enumerate(to.buffers):
                assert sum(room.size for room in rooms if room.buffer == index) <= space.half
