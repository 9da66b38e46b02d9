"""The tasks of a mapping: every MAC once, and what the closed form said they move and take."""

from collections import Counter
from dataclasses import fields, replace
from itertools import chain

import numpy as np
import pytest
from cases import FAST, LAYOUTS, listed, row_array, row_target, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.walked_nest import touched

from accelsim.hardware import Operand
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import Mapping, row_shape, whole_rows
from accelsim.lowering.row_stationary_candidates import joined
from accelsim.lowering.row_stationary_cost import MappingCost, mapping_cost
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Task
from accelsim.lowering.tiles import taps_of
from accelsim.lowering.traffic import Dram, Sram
from accelsim.network.ops import Window
from accelsim.units import ceil_div

KERNELS = st.builds(
    GemmKernel,
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(1, 5),
    windows(6),
    windows(5),
)
RATE = st.sampled_from([FAST, FAST / FAST, 5 * FAST / FAST / 2])
TARGETS = st.builds(
    lambda array, rates, stages, layout, arrays: row_target(
        row_array(array, (8, 64, 8), rates, stages), layout, arrays=arrays
    ),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(RATE, RATE, RATE, RATE),
    st.integers(1, 3),
    st.sampled_from(LAYOUTS),
    st.integers(1, 3),
)


@st.composite
def mappings(draw: st.DrawFn, kernel: GemmKernel) -> Mapping:
    """Any mapping, m in whole passes; nothing here asks whether it fits."""
    p, q, r, t = (draw(st.integers(1, 3)) for _ in range(4))
    most = (kernel.batch, kernel.rows.outputs, kernel.cols.outputs)
    n, e, f, *taps = (
        draw(st.integers(1, each)) for each in (*most, kernel.rows.kernel, kernel.cols.kernel)
    )
    m = p * t * draw(st.integers(1, 3))
    if draw(st.booleans()):
        return whole_rows(kernel, m, n, e, p, q, r, t)
    return Mapping(m, n, e, p, q, r, t, f, *taps)


def tile_of(task: Task) -> GemmTile:
    assert isinstance(task.tile, GemmTile)
    return task.tile


def cost_of(kernel: GemmKernel, to: Target, mapping: Mapping) -> MappingCost:
    """The closed form, of one mapping."""
    many = mapping_cost(kernel, to, many_of(mapping))
    return MappingCost(*(getattr(many, item.name)[0] for item in fields(MappingCost)))


def many_of(mapping: Mapping) -> Mapping:
    """The one mapping in the form in which many are compared."""
    return Mapping(*(np.array([getattr(mapping, item.name)]) for item in fields(Mapping)))


def pieces_of(kernel: GemmKernel, to: Target, mapping: Mapping) -> int:
    """Pieces of the largest task's taps."""
    taps = mapping.tap_rows, mapping.tap_cols
    return int(row_shape(to.row_stationary, kernel.windows, *taps).pieces)


def unpadded(window: Window) -> Window:
    """As many outputs from data alone, which end with the last window."""
    size = (window.outputs - 1) * window.stride + window.extent
    return Window(size, window.kernel, window.stride, window.dilation)


UNPADDED = KERNELS.map(
    lambda kernel: GemmKernel(
        *(kernel.batch, kernel.groups, kernel.filters, kernel.channels),
        *(unpadded(kernel.rows), unpadded(kernel.cols)),
    )
)


@given(st.data(), KERNELS, TARGETS)
@drawn(200)
def test_every_mac_once_and_every_output_once(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    mapping = data.draw(mappings(kernel))
    tasks = listed(row_stationary_schedules(kernel, to, mapping))
    assert len(tasks) == to.arrays
    pixels = (kernel.batch, kernel.rows.outputs, kernel.cols.outputs)
    outputs = (kernel.groups, *pixels, kernel.filters)
    macs = np.zeros((*outputs, kernel.channels, kernel.rows.kernel, kernel.cols.kernel), int)
    stored = np.zeros(outputs, int)
    for task in chain(*tasks):
        tile = tile_of(task)
        block = (tile.pixels.batch, tile.pixels.rows, tile.pixels.cols)
        place = tuple(axis.slice for axis in (tile.groups, *block, tile.filters))
        sums = tuple(axis.slice for axis in (tile.channels, tile.tap_rows, tile.tap_cols))
        assert tile.first == (macs[place].sum() == 0)
        macs[(*place, *sums)] += 1
        stored[place] += task.step.store is not None
        assert tile.last == (macs[place] == 1).all() == (task.step.store is not None)
    assert (macs == 1).all()
    assert (stored == 1).all()
    assert sum(task.step.work.operations for task in chain(*tasks)) == kernel.macs


@given(st.data(), KERNELS, TARGETS)
@drawn(200)
def test_loads_and_stores_by_the_block(data: st.DataObject, kernel: GemmKernel, to: Target) -> None:
    """Each task brings the ifmap and filters of its channels; psums never leave the chip."""
    mapping = data.draw(mappings(kernel))
    moved: Counter[Operand] = Counter()
    tasks = list(chain(*listed(row_stationary_schedules(kernel, to, mapping))))
    for task in tasks:
        tile = tile_of(task)
        down, across = taps_of(kernel, tile)
        rows = range(tile.pixels.rows.start, tile.pixels.rows.stop)
        cols = range(tile.pixels.cols.start, tile.pixels.cols.stop)
        area = touched(down, rows) * touched(across, cols)
        moved["ifmap"] += tile.pixels.batch.size * tile.channels.size * area
        taps = tile.tap_rows.size * tile.tap_cols.size
        moved["filter"] += tile.filters.size * tile.channels.size * taps
    moved["ofmap"] = kernel.groups * kernel.gemm.m * kernel.filters
    assert sum((task.step.dram for task in tasks), start=Dram()) == Dram(
        ifmap_read_bytes=moved["ifmap"] * to.bytes_of("ifmap"),
        filter_read_bytes=moved["filter"] * to.bytes_of("filter"),
        ofmap_write_bytes=moved["ofmap"] * to.bytes_of("ofmap"),
    )


@given(st.data(), KERNELS, TARGETS)
@drawn(200)
def test_the_closed_form_is_the_sum_of_the_tasks(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """Cycles of passes, words of the buffers and DRAM's cycles, for any cut of any layer."""
    mapping = data.draw(mappings(kernel))
    cost = cost_of(kernel, to, mapping)
    tasks = list(chain(*listed(row_stationary_schedules(kernel, to, mapping))))
    moved = sum((task.step.dram for task in tasks), start=Dram())
    words = sum((task.step.work.sram for task in tasks), start=Sram())
    assert cost.array_cycles == sum(task.step.cycles for task in tasks)
    psums = words.psum_reads + words.psum_writes + words.ofmap_writes
    assert cost.buffer_words == words.ifmap_reads + psums
    assert cost.dram_cycles == moved.total_bytes / float(to.dram_bytes_per_cycle)


HALVES = st.sampled_from([1, 2, 4])
BURSTS = st.sampled_from([1, 8, 24, 64])


@given(st.tuples(HALVES, HALVES, HALVES, HALVES), st.tuples(HALVES, HALVES), BURSTS, TARGETS)
@drawn(100)
def test_equal_transfers_take_whole_bursts(
    sizes: tuple[int, int, int, int], passes: tuple[int, int], burst: int, to: Target
) -> None:
    """Where all tiles are alike, DRAM's cycles are those of their transfers, each by itself."""
    kernel = GemmKernel(4, 2, 4, 4, Window(4, 1), Window(4, 1))
    (n, e, f, q), (p, blocks) = sizes, passes
    mapping = Mapping(p * blocks, n, e, p, q, 1, 1, f, 1, 1)
    to = replace(to, dram_burst=burst)
    tasks = list(chain(*listed(row_stationary_schedules(kernel, to, mapping))))
    moves = [move for task in tasks for move in (*task.step.loads, task.step.store) if move]
    moved = sum(ceil_div(move.size, burst) * burst for move in moves)
    assert cost_of(kernel, to, mapping).dram_cycles == moved / float(to.dram_bytes_per_cycle)


@given(st.data(), UNPADDED, TARGETS)
@drawn(100)
def test_without_padding_words_of_dram_are_those_of_the_tasks(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    mapping = data.draw(mappings(kernel))
    tasks = list(chain(*listed(row_stationary_schedules(kernel, to, mapping))))
    moved = sum((task.step.dram for task in tasks), start=Dram())
    assert cost_of(kernel, to, mapping).dram_words == sum(
        [
            moved.ifmap_read_bytes // to.bytes_of("ifmap"),
            moved.filter_read_bytes // to.bytes_of("filter"),
            moved.ofmap_write_bytes // to.bytes_of("ofmap"),
        ]
    )


@given(st.data(), KERNELS, TARGETS)
@drawn(100)
def test_one_mapping_costs_what_it_does_among_many(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    several = [data.draw(mappings(kernel)) for _ in range(4)]
    together = mapping_cost(kernel, to, joined(map(many_of, several)))
    for index, mapping in enumerate(several):
        alone = cost_of(kernel, to, mapping)
        for item in fields(MappingCost):
            assert getattr(together, item.name)[index] == getattr(alone, item.name)


@pytest.mark.parametrize(
    "limits", [((3, 4), (8, 64, 8)), ((8, 4), (3, 64, 8))], ids=["tall", "wide"]
)
def test_filters_in_pieces_move_what_the_closed_form_says(
    limits: tuple[tuple[int, int], tuple[int, int, int]],
) -> None:
    """5x5 filters on 3 rows, or with an ifmap spad of 3 words: two pieces, each its own passes."""
    kernel = GemmKernel(1, 1, 4, 2, Window(12, 5), Window(12, 5))
    to, mapping = row_target(row_array(*limits)), whole_rows(kernel, 4, 1, 4, 2, 2, 1, 1)
    cost = cost_of(kernel, to, mapping)
    tasks = list(chain(*listed(row_stationary_schedules(kernel, to, mapping))))
    words = sum((task.step.work.sram for task in tasks), start=Sram())
    psums = words.psum_reads + words.psum_writes + words.ofmap_writes
    moved = sum((task.step.dram.total_bytes for task in tasks), start=0)  # words of one byte
    room = tasks[0].step.reserves[to.buffer_index("ifmap")].size
    assert (cost.dram_words, cost.buffer_words) == (moved, words.ifmap_reads + psums)
    assert room >= tasks[0].step.loads[0].size


@given(st.data(), UNPADDED, TARGETS)
@drawn(100)
def test_buffer_words_are_those_of_the_paper(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """2*N*M*E*F*C/(q*r) psum words (JSSC 2017), and the ifmap once for every pass over filters."""
    p, q, r, t = (data.draw(st.integers(1, 3)) for _ in range(4))
    n, e = data.draw(st.integers(1, kernel.batch)), data.draw(st.integers(1, kernel.rows.outputs))
    mapping = whole_rows(kernel, p * t * data.draw(st.integers(1, 3)), n, e, p, q, r, t)
    tasks = chain(*listed(row_stationary_schedules(kernel, to, mapping)))
    words = sum((task.step.work.sram for task in tasks), start=Sram())
    pieces = pieces_of(kernel, to, mapping)
    steps = -(-kernel.channels // mapping.channels) * pieces
    outputs = kernel.groups * kernel.gemm.m * kernel.filters
    assert words.psum_reads == words.psum_writes + words.ofmap_writes == outputs * steps
    assert words.ofmap_writes == outputs
    strips = [min(e, kernel.rows.outputs - start) for start in range(0, kernel.rows.outputs, e)]
    if pieces == 1:
        rows = sum((each - 1) * kernel.rows.stride + kernel.rows.extent for each in strips)
        passes = sum(
            -(-min(mapping.m, kernel.filters - start) // mapping.filters)
            for start in range(0, kernel.filters, int(mapping.m))
        )
        planes = kernel.groups * kernel.batch * kernel.channels
        assert words.ifmap_reads == planes * rows * kernel.cols.size * passes


@given(st.data(), KERNELS, TARGETS)
@drawn(200)
def test_blocks_take_their_room_once_and_give_it_back(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """Room for a block's psums lasts until its ofmap is stored; for a pass's ifmap, too."""
    mapping = data.draw(mappings(kernel))
    for tasks in listed(row_stationary_schedules(kernel, to, mapping)):
        held: Counter[int] = Counter()
        for task in tasks:
            tile, step = tile_of(task), task.step
            assert bool(step.reserves) == tile.first
            for room in (*step.reserves, *(load.room for load in step.loads), *step.opens):
                held[room.buffer] += room.size
            outputs = tile.filters.size * tile.pixels.count
            assert held[to.buffer_index("psum")] >= outputs * to.bytes_of("psum")
            assert held[to.buffer_index("ofmap")] >= outputs * to.bytes_of("ofmap")
            if pieces_of(kernel, to, mapping) == 1:
                ifmap = sum(load.size for load in step.loads if load.operand == "ifmap")
                assert held[to.buffer_index("ifmap")] >= ifmap
            store = () if step.store is None else (step.store.room,)
            for room in (*step.closes, *store):
                held[room.buffer] -= room.size
        assert not any(held.values())


def test_schedules_do_not_grow_with_an_axis() -> None:
    """Millions of padded rows on three arrays: few repeats, and every MAC."""
    kernel = GemmKernel(1, 1, 6, 5, Window(2**24, 3, 1, 1, 1, 1), Window(8, 3))
    schedules = row_stationary_schedules(
        kernel, row_target(row_array(), arrays=3), whole_rows(kernel, 2, 1, 3, 1, 2, 1, 1)
    )
    assert sum(schedule.operations for schedule in schedules) == kernel.macs
    assert sum(len(schedule.nest) for schedule in schedules) < 50
