"""The tasks of a tiling: every MAC once, every byte accounted for, room given back."""

from collections import Counter
from itertools import chain

import numpy as np
from cases import KERNELS, TARGETS, as_arrays, listed, sizes_of, target, tilings, windows
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles.walked_nest import Nest, touched, walk

from accelsim.lowering.cost import Loop, LoopOrder, buffer_demand, demands, gemm_cost, workload
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Task, VectorTile
from accelsim.lowering.tiles import ifmap_region, share_out
from accelsim.lowering.tiling import GemmTiling, VectorTiling
from accelsim.lowering.traffic import Dram
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.ops import Window

ARRAYS = st.integers(1, 4)
BY: st.SearchStrategy[Loop] = st.sampled_from(["pixels", "filters"])


def tile_of(task: Task) -> GemmTile:
    assert isinstance(task.tile, GemmTile)
    return task.tile


def output_of(task: Task) -> tuple[slice, ...]:
    """Index of the tile's ofmap in (groups, batch, rows, cols, filters)."""
    tile = tile_of(task)
    axes = (tile.groups, tile.pixels.batch, tile.pixels.rows, tile.pixels.cols, tile.filters)
    return tuple(axis.slice for axis in axes)


def output_shape(kernel: GemmKernel) -> tuple[int, ...]:
    rows, cols = kernel.rows.outputs, kernel.cols.outputs
    return kernel.groups, kernel.batch, rows, cols, kernel.filters


def moved_by(tasks: tuple[tuple[Task, ...], ...]) -> Dram:
    return sum((task.step.dram for task in chain(*tasks)), start=Dram())


@given(st.data(), KERNELS, TARGETS)
@settings(max_examples=200)
def test_transfers_are_those_of_the_walked_nest(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    tiling = data.draw(tilings(kernel))
    walked = walk(Nest(kernel, sizes_of(tiling)), tiling.order.value)
    assert moved_by(listed(gemm_schedules(kernel, to, tiling))) == Dram(
        walked["ifmap"] * to.bytes_of("ifmap"),
        walked["filter"] * to.bytes_of("filter"),
        walked["psum_in"] * to.bytes_of("psum"),
        walked["psum_out"] * to.bytes_of("psum"),
        walked["ofmap"] * to.bytes_of("ofmap"),
    )


def with_arrays(to: Target, arrays: int) -> Target:
    return Target(
        *(to.array, arrays, to.lanes, to.word_bytes, to.buffers),
        *(to.dram_bytes_per_cycle, to.dram_latency, to.dram_burst),
    )


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@settings(max_examples=300)
def test_several_arrays_move_what_the_cost_says(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Loop
) -> None:
    tiling, to = data.draw(tilings(kernel, split)), with_arrays(to, arrays)
    work = workload(kernel, to, as_arrays(kernel, tiling))
    cost = int(gemm_cost(work, tiling.order, split).dram_bytes[0])
    moved = moved_by(listed(gemm_schedules(kernel, to, tiling))).total_bytes
    turns, own = int(work.turns[split][0]), -(-int(work.turns[split][0]) // arrays)
    alone = turns % own == 1  # the last array's only tile may stay where the others' change
    assert cost >= moved if alone and work.group_tiles[0] == 1 else cost == moved


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@settings(max_examples=300)
def test_every_mac_once_and_every_output_once(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Loop
) -> None:
    tiling = data.draw(tilings(kernel, split))
    tasks = listed(gemm_schedules(kernel, with_arrays(to, arrays), tiling))
    assert len(tasks) == arrays
    macs = np.zeros((*output_shape(kernel), kernel.channels), int)
    stored = np.zeros(output_shape(kernel), int)
    for task in chain(*tasks):
        macs[(*output_of(task), tile_of(task).channels.slice)] += 1
        if task.step.store is not None and task.step.store.operand == "ofmap":
            stored[output_of(task)] += 1
    assert (macs == 1).all()
    assert (stored == 1).all()
    assert sum(task.step.work.operations for task in chain(*tasks)) == kernel.macs


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@settings(max_examples=200)
def test_each_step_is_that_of_its_tile(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Loop
) -> None:
    """Steps are written down as the loops are, tiles one by one: both in the same order."""
    tiling = data.draw(tilings(kernel, split))
    for task in chain(*listed(gemm_schedules(kernel, with_arrays(to, arrays), tiling))):
        tile = tile_of(task)
        down, across = ifmap_region(kernel.rows, kernel.cols, tile.pixels)
        depth = tile.groups.size * tile.channels.size
        outputs = tile.groups.size * tile.filters.size * tile.pixels.count
        words = {
            "ifmap": depth * tile.pixels.batch.size * down.size * across.size,
            "filter": depth * tile.filters.size * kernel.taps,
            "psum": outputs,
            "ofmap": outputs,
        }
        for transfer in task.step.transfers:
            assert transfer.size == words[transfer.operand] * to.bytes_of(transfer.operand)
        macs = depth * tile.filters.size * tile.pixels.count * kernel.taps
        assert task.step.work.operations == macs


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@settings(max_examples=200)
def test_psums_start_continue_and_end(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Loop
) -> None:
    """Every array on its own: channels in order, spilled psums come back as they were left."""
    tiling = data.draw(tilings(kernel, split))
    for schedule in gemm_schedules(kernel, with_arrays(to, arrays), tiling):
        follow_psums(kernel, schedule)


def follow_psums(kernel: GemmKernel, schedule: Schedule) -> None:
    tasks = schedule.tasks
    summed: NDArray[np.int64] = np.zeros(output_shape(kernel), np.int64)  # channels so far
    spilled: dict[str, int] = {}
    for index, (before, task) in enumerate(zip((None, *tasks), tasks, strict=False)):
        tile, key = tile_of(task), str(output_of(task))
        assert (summed[output_of(task)] == tile.channels.start).all()
        summed[output_of(task)] = tile.channels.stop
        assert tile.first == (tile.channels.start == 0)
        assert tile.last == (tile.channels.stop == kernel.channels)
        loads = [load.operand for load in task.step.loads]
        kept = before is not None and str(output_of(before)) == key
        assert ("psum" in loads) == (not tile.first and not kept)
        if "psum" in loads:
            assert spilled.pop(key) == index - schedule.lag
        if task.step.store is not None and task.step.store.operand == "psum":
            assert not tile.last
            spilled[key] = index
        elif task.step.store is not None:
            assert tile.last
    assert not spilled


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@settings(max_examples=300)
def test_rooms_are_opened_and_given_back(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Loop
) -> None:
    """Task after task: what is held is what the search was told, and in the end nothing."""
    tiling = data.draw(tilings(kernel, split))
    demand = demands(kernel, to, as_arrays(kernel, tiling))
    bound = [int(buffer_demand(space, demand)[0]) for space in to.buffers]
    fullest = [0] * len(bound)
    for tasks in listed(gemm_schedules(kernel, with_arrays(to, arrays), tiling)):
        held: Counter[int] = Counter()
        for task in tasks:
            for room in (*(load.room for load in task.step.loads), *task.step.opens):
                held[room.buffer] += room.size
            fullest = [max(most, held[index]) for index, most in enumerate(fullest)]
            store = () if task.step.store is None else (task.step.store.room,)
            for room in (*task.step.closes, *store):
                held[room.buffer] -= room.size
                assert held[room.buffer] >= 0
        assert not any(held.values())
    assert all(most <= limit for most, limit in zip(fullest, bound, strict=True))


def test_tasks_by_hand() -> None:
    """1x1 convolution of 4 pixels, 2 filters, 2 channels; tiles of 2 pixels and 1 channel.

    ws on 4x3: k = 1 of 4 rows, so no fold hands psums on, but the channel tiles do.
    """
    kernel = GemmKernel(1, 1, 2, 2, Window(4, 1), Window(1, 1))
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    tiling = GemmTiling(1, 1, 2, 1, 2, 1, *taps, LoopOrder.FILTER_STAYS, "pixels")
    (schedule,) = gemm_schedules(kernel, target(), tiling)
    tasks = schedule.tasks

    def seen(task: Task) -> tuple[list[tuple[str, int]], tuple[str, int] | None]:
        store = task.step.store
        loads = [(load.operand, load.size) for load in task.step.loads]
        return loads, (store.operand, store.size) if store else None

    # filters, channels, pixels: two words of each; psums are 2 x 2 words of 4 bytes
    assert [seen(task) for task in tasks] == [
        ([("filter", 2), ("ifmap", 2)], ("psum", 16)),
        ([("ifmap", 2)], ("psum", 16)),
        ([("filter", 2), ("ifmap", 2), ("psum", 16)], ("ofmap", 4)),
        ([("ifmap", 2), ("psum", 16)], ("ofmap", 4)),
    ]
    assert schedule.lag == 2
    # serial fold: 2 steps + 2*4 + 3 - 2
    assert {task.step.cycles for task in tasks} == {11}


@given(st.lists(st.integers(), max_size=12), st.integers(1, 5))
def test_share_out_keeps_all_in_order(items: list[int], arrays: int) -> None:
    shares = share_out(items, arrays)
    assert len(shares) == arrays
    assert [item for share in shares for item in share] == items
    assert max(map(len, shares)) == -(-len(items) // arrays)


VECTOR_KERNELS = st.builds(
    VectorKernel,
    st.integers(1, 2),
    st.integers(1, 4),
    windows(5),
    windows(4),
    st.integers(1, 9),
    st.sampled_from([(True,), (True, True), (True, False)]),
)


@given(st.data(), VECTOR_KERNELS, TARGETS, ARRAYS)
@settings(max_examples=150)
def test_vector_tasks(data: st.DataObject, kernel: VectorKernel, to: Target, arrays: int) -> None:
    """Every output element once; a load for every element its windows reach."""
    axes = (kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    sizes = (data.draw(st.integers(1, axis)) for axis in axes)
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    tiling = VectorTiling(*sizes, *taps, arrays)
    tasks = listed(vector_schedules(kernel, with_arrays(to, arrays), tiling))
    done = np.zeros(axes, int)
    for task in chain(*tasks):
        tile, step = task.tile, task.step
        assert isinstance(tile, VectorTile)
        pixels = tile.pixels
        spans = (pixels.batch, tile.channels, pixels.rows, pixels.cols)
        done[tuple(span.slice for span in spans)] += 1
        rows = touched(kernel.rows, range(pixels.rows.start, pixels.rows.stop))
        cols = touched(kernel.cols, range(pixels.cols.start, pixels.cols.stop))
        per_image = sum(rows * cols if full else 1 for full in kernel.inputs)
        words = pixels.batch.size * tile.channels.size * per_image
        assert [load.size for load in step.loads] == [words * to.bytes_of("ifmap")]
        outputs = tile.channels.size * pixels.count
        assert step.store is not None
        assert step.store.size == outputs * to.bytes_of("ofmap")
        assert step.cycles == -(-outputs * kernel.operations // to.lanes)
        assert sum(room.size for room in (*step.closes, step.store.room)) == sum(
            room.size for room in (*step.opens, step.loads[0].room)
        )
    assert (done == 1).all()
