"""The tasks of a tiling: every MAC once, every byte accounted for, room given back."""

import tracemalloc
from collections import Counter
from itertools import chain, product

import numpy as np
import pytest
from cases import (
    KERNELS,
    MORE_TAPS,
    TARGETS,
    as_arrays,
    cut_tilings,
    listed,
    sizes_of,
    target,
    tilings,
    windows,
)
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain as layers_of
from oracles.walked_nest import Nest, touched, walk

from accelsim.lowering.demand import buffer_demand, demands
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel, VectorKernel, kernel_of
from accelsim.lowering.schedule import Axis, Schedule, turns
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Span, Task, VectorTile, spans
from accelsim.lowering.tiles import part_of, pieces, regions, shared_out, sums, tap_sums
from accelsim.lowering.tiling import GemmTiling, LoopOrder, Split, VectorTiling
from accelsim.lowering.traffic import Dram
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.ops import Softmax, Window

ARRAYS = st.integers(1, 4)
BY: st.SearchStrategy[Split] = st.sampled_from(["pixels", "filters", "groups"])


def tile_of(task: Task) -> GemmTile:
    assert isinstance(task.tile, GemmTile)
    return task.tile


def output_of(task: Task) -> tuple[slice, ...]:
    """Index of the tile's ofmap in (groups, batch, rows, cols, filters)."""
    tile = tile_of(task)
    axes = (tile.groups, tile.pixels.batch, tile.pixels.rows, tile.pixels.cols, tile.filters)
    return tuple(axis.slice for axis in axes)


def sum_of(task: Task) -> tuple[slice, ...]:
    """Index of what the tile adds up in (channels, tap rows, tap columns)."""
    tile = tile_of(task)
    return tile.channels.slice, tile.tap_rows.slice, tile.tap_cols.slice


def output_shape(kernel: GemmKernel) -> tuple[int, ...]:
    rows, cols = kernel.rows.outputs, kernel.cols.outputs
    return kernel.groups, kernel.batch, rows, cols, kernel.filters


def moved_by(tasks: tuple[tuple[Task, ...], ...]) -> Dram:
    return sum((task.step.dram for task in chain(*tasks)), start=Dram())


@given(st.data(), KERNELS | MORE_TAPS, TARGETS)
@drawn(200)
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
@drawn(300)
def test_several_arrays_move_what_the_cost_says(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split
) -> None:
    tiling, to = data.draw(tilings(kernel, split, arrays)), with_arrays(to, arrays)
    work = workload(kernel, to, as_arrays(kernel, tiling))
    cost = int(
        cost_of(
            gemm_flow(work, tiling.order, share_of(work, split, arrays)), work.target
        ).dram_bytes[0]
    )
    moved = moved_by(listed(gemm_schedules(kernel, to, tiling))).total_bytes
    turns = 0 if split == "groups" else int(work.turns[split][0])
    alone = (
        turns % max(-(-turns // arrays), 1) == 1
    )  # the last array's may stay where others change
    assert cost >= moved if alone else cost == moved


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@drawn(300)
def test_every_mac_once_and_every_output_once(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split
) -> None:
    tiling = data.draw(cut_tilings(kernel, split, arrays))
    tasks = listed(gemm_schedules(kernel, with_arrays(to, arrays), tiling))
    assert len(tasks) == arrays
    sums = (kernel.channels, kernel.rows.kernel, kernel.cols.kernel)
    macs = np.zeros((*output_shape(kernel), *sums), int)
    stored = np.zeros(output_shape(kernel), int)
    for task in chain(*tasks):
        macs[(*output_of(task), *sum_of(task))] += 1
        if task.step.store is not None and task.step.store.operand == "ofmap":
            stored[output_of(task)] += 1
    assert (macs == 1).all()
    assert (stored == 1).all()
    assert sum(task.step.work.operations for task in chain(*tasks)) == kernel.macs


@given(st.data(), KERNELS | MORE_TAPS, TARGETS, ARRAYS, BY)
@drawn(200)
def test_each_step_is_that_of_its_tile(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split
) -> None:
    """Steps are written down as the loops are, tiles one by one: both in the same order."""
    tiling = data.draw(cut_tilings(kernel, split, arrays))
    for task in chain(*listed(gemm_schedules(kernel, with_arrays(to, arrays), tiling))):
        tile = tile_of(task)
        taps = range(*sum_of(task)[1].indices(99)), range(*sum_of(task)[2].indices(99))
        rows = range(tile.pixels.rows.start, tile.pixels.rows.stop)
        cols = range(tile.pixels.cols.start, tile.pixels.cols.stop)
        area = touched(kernel.rows, rows, taps[0]) * touched(kernel.cols, cols, taps[1])
        depth = tile.groups.size * tile.channels.size
        outputs = tile.groups.size * tile.filters.size * tile.pixels.count
        words = {
            "ifmap": depth * tile.pixels.batch.size * area,
            "filter": depth * tile.filters.size * len(taps[0]) * len(taps[1]),
            "psum": outputs,
            "ofmap": outputs,
        }
        for transfer in task.step.transfers:
            assert transfer.size == words[transfer.operand] * to.bytes_of(transfer.operand)
        macs = depth * tile.filters.size * tile.pixels.count * len(taps[0]) * len(taps[1])
        assert task.step.work.operations == macs


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@drawn(200)
def test_psums_start_continue_and_end(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split
) -> None:
    """Every array on its own: channels, then taps in order; spilled psums come back as left."""
    tiling = data.draw(cut_tilings(kernel, split, arrays))
    for schedule in gemm_schedules(kernel, with_arrays(to, arrays), tiling):
        follow_psums(kernel, schedule)


def follow_psums(kernel: GemmKernel, schedule: Schedule) -> None:
    tasks = schedule.tasks
    summed: dict[str, list[tuple[int, ...]]] = {}  # where the tiles so far began
    whole = (kernel.channels, kernel.rows.kernel, kernel.cols.kernel)
    spilled: dict[str, int] = {}
    for index, (before, task) in enumerate(zip((None, *tasks), tasks, strict=False)):
        tile, key = tile_of(task), str(output_of(task))
        begun = summed.setdefault(key, [])
        begun.append(tuple(axis.start for axis in sum_of(task)))
        assert begun == sorted(begun)
        assert tile.first == (begun == [(0, 0, 0)])
        assert tile.last == (tuple(axis.stop for axis in sum_of(task)) == whole)
        loads = [load.operand for load in task.step.loads]
        kept = before is not None and str(output_of(before)) == key
        assert ("psum" in loads) == (not tile.first and not kept)
        if "psum" in loads:
            (back,) = (load for load in task.step.loads if load.operand == "psum")
            assert spilled.pop(key) == index - back.behind
        if task.step.store is not None and task.step.store.operand == "psum":
            assert not tile.last
            spilled[key] = index
        elif task.step.store is not None:
            assert tile.last
    assert not spilled


@given(st.data(), KERNELS, TARGETS, ARRAYS, BY)
@drawn(300)
def test_rooms_are_opened_and_given_back(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split
) -> None:
    """Task after task: what is held is what the search was told, and in the end nothing."""
    tiling = data.draw(tilings(kernel, split, arrays))
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
    backs = [load for task in tasks for load in task.step.loads if load.operand == "psum"]
    assert [load.behind for load in backs] == [2, 2]
    # serial fold: 2 steps + 2*4 + 3 - 2
    assert {task.step.cycles for task in tasks} == {11}


AXIS = st.builds(pieces, st.integers(1, 9), st.integers(1, 4))


@given(st.lists(AXIS, max_size=4), st.integers(1, 5))
def test_shares_are_contiguous_and_alike_in_number(box: list[Axis], arrays: int) -> None:
    shares = [[*turns([share])] for share in shared_out(box, arrays)]
    whole = [*turns([(tuple(box),)])]
    assert len(shares) == arrays
    assert [turn for share in shares for turn in share] == whole
    assert max(map(len, shares)) == -(-len(whole) // arrays)


@given(windows(20, 8), st.integers(1, 8))
def test_runs_of_a_window_are_its_spans(window: Window, size: int) -> None:
    """Each span reads what the first of its run does, counted from where the span begins."""
    runs = regions(window, size)
    assert [span for run in runs for span in run.spans] == [*spans(window.outputs, size)]
    for run in runs:
        for span in run.spans:
            for tap in range(window.kernel):
                one = part_of(window, Span(tap, tap + 1))
                first, last = one.span(run.first.start, run.first.stop)
                start, stop = one.span(span.start, span.stop)
                assert (stop - start, run.first.size) == (last - first, span.size)
            assert run.sizes == (span.size, touched(window, range(span.start, span.stop)))


@given(windows(20, 8), st.integers(1, 8), st.data())
def test_runs_of_taps_are_their_spans(window: Window, size: int, data: st.DataObject) -> None:
    """Each span of taps reads as much as the first of its run, for every output that is meant."""
    start = data.draw(st.integers(0, window.outputs - 1))
    outputs = Span(start, data.draw(st.integers(start + 1, window.outputs)))
    runs = tap_sums(window, size, outputs)
    assert [span for run in runs for span in run.spans] == [*spans(window.kernel, size)]
    assert runs[0].count == runs[-1].count == 1
    for run in runs:
        for span, output in product(run.spans, range(outputs.start, outputs.stop)):
            first, last = part_of(window, run.first).span(output, output + 1)
            start, stop = part_of(window, span).span(output, output + 1)
            assert (stop - start, run.first.size) == (last - first, span.size)


def test_few_runs_of_a_padded_window_as_long_as_its_axis() -> None:
    """Of 512 pieces those apart are the first, the last, and two or three at each edge."""
    window, size = Window(65535, 65535, 1, 1, 32767, 32767), 128
    for start in range(0, 65536 - size, size):
        assert len(tap_sums(window, size, Span(start, start + size))) <= 10


@given(st.integers(1, 40), st.integers(1, 9))
def test_the_first_and_the_last_sum_stand_apart(total: int, size: int) -> None:
    runs = sums(total, size)
    assert [span for run in runs for span in run.spans] == [*spans(total, size)]
    assert runs[0].count == runs[-1].count == 1


PADDED = Window(2**24, 7, 2, 3, 9, 9)
HUGE = {
    "dense": (GemmKernel(1, 1, 24, 70, Window(2**31, 1), Window(1, 1)), (24, 7, 1, 1)),
    "window": (
        GemmKernel(1, 1, 4, 3, Window(2**24, 7, 2, 3, 9, 9), Window(2**24, 3)),
        (4, 3, 7, 3),
    ),
    "taps": (GemmKernel(1, 1, 4, 3, Window(2**24, 7, 2, 3, 9, 9), Window(9, 3)), (3, 2, 2, 1)),
    "long": (GemmKernel(1, 1, 2**24, 2**24, Window(3, 1), Window(2**24, 2**24)), (7, 5, 1, 3)),
}


@pytest.mark.parametrize(("kernel", "sizes"), HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("arrays", [1, 3])
@pytest.mark.parametrize("split", ["pixels", "filters"])
def test_schedules_do_not_grow_with_an_axis(
    kernel: GemmKernel, sizes: tuple[int, ...], arrays: int, split: Split
) -> None:
    """Hundreds of millions of tiles are few repeats, made in little memory."""
    rows, cols = min(5, kernel.rows.outputs), min(11, kernel.cols.outputs)
    for order in LoopOrder:
        tiling = GemmTiling(1, 1, rows, cols, *sizes, order, split, arrays)
        tracemalloc.start()
        schedules = gemm_schedules(kernel, target(arrays=arrays), tiling)
        macs = sum(schedule.operations for schedule in schedules)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert macs == kernel.macs
        assert peak < 4 * 2**20


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
@drawn(150)
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
        axes_of = (pixels.batch, tile.channels, pixels.rows, pixels.cols)
        done[tuple(span.slice for span in axes_of)] += 1
        rows = touched(kernel.rows, range(pixels.rows.start, pixels.rows.stop))
        cols = touched(kernel.cols, range(pixels.cols.start, pixels.cols.stop))
        per_image = sum(rows * cols if full else 1 for full in kernel.inputs)
        words = pixels.batch.size * tile.channels.size * per_image
        assert [load.size for load in step.loads] == [words * to.bytes_of("ifmap")] * (words > 0)
        outputs = tile.channels.size * pixels.count
        assert step.store is not None
        assert step.store.size == outputs * to.bytes_of("ofmap")
        assert step.cycles == -(-outputs * kernel.operations // to.lanes)
        assert sum(room.size for room in (*step.closes, step.store.room)) == sum(
            room.size for room in (*step.opens, *(load.room for load in step.loads))
        )
    assert (done == 1).all()


def softmax_of(values: int) -> VectorKernel:
    kernel = kernel_of(layers_of((values,), Softmax()).layers[0], 1)
    assert isinstance(kernel, VectorKernel)
    return kernel


LONG: dict[str, tuple[VectorKernel, VectorTiling]] = {
    "a billion elements": (
        VectorKernel(1, 2**30, Window(1, 1), Window(1, 1), 1),
        VectorTiling(1, 7, 1, 1, 1, 1, arrays=3),
    ),
    "millions of padded rows": (
        VectorKernel(1, 64, Window(2**24, 5, 2, 1, 4, 4), Window(9, 3), 15),
        VectorTiling(1, 5, 3, 2, 5, 3, arrays=3),
    ),
    "passes over a billion": (softmax_of(2**30), VectorTiling(1, 7, 1, 1, 1, 1)),
    "millions of taps, some in the padding": (
        VectorKernel(1, 9, Window(2**24, 2**24, 1, 1, 2, 2), Window(2**24, 2**24), 2**48),
        VectorTiling(1, 4, 2, 1, 5, 7, arrays=3),
    ),
}


@pytest.mark.parametrize(("kernel", "tiling"), LONG.values(), ids=LONG)
def test_vector_schedules_do_not_grow_with_an_axis(
    kernel: VectorKernel, tiling: VectorTiling
) -> None:
    tracemalloc.start()
    schedules = vector_schedules(kernel, target(arrays=3), tiling)
    done = sum(schedule.operations for schedule in schedules)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = sum(kernel.passes) or kernel.operations
    assert done == each * kernel.operations_total // kernel.operations
    assert peak < 2**20
