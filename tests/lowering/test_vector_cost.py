"""What a tiling of a vector kernel costs: as its tasks add up, and as it is played."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from cases import LAYOUTS, listed, target, windows
from cut_by_hand import played
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, split
from test_spec import ONE_LAYER, layer_of

from accelsim.lowering.around import channels_as_rows
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.program import Program
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.lowering.task import Room, Task
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.traffic import Dram
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.ops import Read, Stretch, Window

INPUTS = st.sampled_from([(True,), (True, True), (True, False), (False, True, True)])
TWICE = Stretch(size=3, outputs=6, per=2)
OF_ONE = Stretch(size=1, outputs=6, per=6)


def vector_kernels(sides: st.SearchStrategy[Window], channels: int = 7, **more: Any) -> Any:
    """Kernels of any sizes; what else they have is drawn from `more`."""
    sizes = (st.integers(1, 3), st.integers(1, channels), sides, sides)
    return st.builds(VectorKernel, *sizes, operations=st.integers(1, 9), **more)


def with_taps(kernel: VectorKernel) -> VectorKernel:
    """An operation for each tap, and those that follow the last one."""
    return replace(kernel, operations=kernel.operations + kernel.taps, tap_operations=1)


def filtered(kernel: VectorKernel) -> VectorKernel:
    """A MAC for each tap."""
    return replace(kernel, operations=kernel.taps, tap_operations=1, filtered=True)


LONE = windows(6, taps=1)
POOLS = vector_kernels(windows(7, taps=4), inputs=INPUTS)
IN_PASSES = vector_kernels(LONE, 9, inputs=INPUTS, passes=st.sampled_from([(4, 5), (3, 4, 4)]))
STRETCHED = vector_kernels(LONE, lies=st.sampled_from([TWICE, OF_ONE])).map(
    lambda kernel: replace(kernel, channels=6)
)
ANY = st.one_of(
    *(POOLS, POOLS.map(with_taps), POOLS.map(filtered), IN_PASSES, STRETCHED),
    vector_kernels(LONE, reach=st.integers(0, 3)),
    vector_kernels(LONE, reach=st.integers(1, 3)).map(with_taps).map(channels_as_rows),
)
BARE = windows(5, taps=3).map(lambda window: replace(window, size=9, before=0, after=0))
POINTS = st.builds(Window, st.integers(1, 6), st.just(1))
PLAIN = st.one_of(
    vector_kernels(BARE, 4, inputs=INPUTS).map(with_taps),
    vector_kernels(POINTS, inputs=INPUTS),
    vector_kernels(POINTS, 9, inputs=INPUTS, passes=st.sampled_from([(4, 5), (3, 4, 4)])),
)
TARGETS = st.builds(
    target,
    st.sampled_from(LAYOUTS),
    words=st.sampled_from([(1, 1, 4, 1), (2, 1, 3, 2)]),
    rate=st.sampled_from([Fraction(4), Fraction(5, 3), Fraction(64)]),
    burst=st.sampled_from([1, 8]),
)


def totals(kernel: VectorKernel) -> tuple[int, ...]:
    """Sizes of the axes as VectorTiling has them; taps only where they may be cut."""
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    return (kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs, *taps)


@st.composite
def cut(draw: st.DrawFn, kernel: VectorKernel, evenly: bool = False) -> VectorTiling:
    """Any tile sizes; `evenly`: those that leave no rest."""
    sizes = []
    for place, total in enumerate(totals(kernel)):
        some = [size for size in range(1, total + 1) if not (evenly and total % size)]
        may = place < 4 or kernel.tap_operations
        sizes.append(draw(st.sampled_from(some)) if may else total)
    return VectorTiling(*sizes)


@st.composite
def residences(draw: st.DrawFn, kernel: VectorKernel) -> Residence:
    """Some inputs on chip, and the ofmap kept, stored, or both."""
    here = tuple(draw(st.booleans()) for _ in kernel.inputs)
    kept = draw(st.booleans())
    return Residence(here, kept, stored=not kept or draw(st.booleans()))


def costs_of(kernel: VectorKernel, to: Target, tiling: VectorTiling) -> VectorCosts:
    sizes = [getattr(tiling, axis) for axis in VectorTiling.__slots__]
    return VectorCosts(kernel, to, np.array([sizes]).T)


def tasks_of(kernel: VectorKernel, to: Target, tiling: VectorTiling) -> tuple[Task, ...]:
    (tasks,) = listed(vector_schedules(kernel, to, tiling))
    return tasks


def is_bare(axis: Read) -> bool:
    """Whether pieces of it read as much wherever they lie."""
    return isinstance(axis, Window) and axis.before == 0 and axis.after == 0


def is_plain(kernel: VectorKernel) -> bool:
    return all(map(is_bare, (kernel.rows, kernel.cols, kernel.depth)))


# --- As its tasks add up --------------------------------------------------------------------------


@given(st.data(), ANY, TARGETS)
@drawn(300)
def test_bytes_are_those_of_its_tasks(
    data: st.DataObject, kernel: VectorKernel, to: Target
) -> None:
    """Whatever overlaps, lies in padding or on chip; the largest tile is one that there is."""
    to = replace(to, residence=data.draw(residences(kernel)))
    tiling = data.draw(cut(kernel))
    costs, tasks = costs_of(kernel, to, tiling), tasks_of(kernel, to, tiling)
    moved = sum((task.step.dram for task in tasks), start=Dram())
    assert costs.tiles_in_all.item() == len(tasks)
    assert costs.dram_bytes.item() == moved.total_bytes
    assert costs.filter_bytes.item() == moved.filter_read_bytes
    for operand, largest in (("ifmap", costs.ifmap_bytes), ("filter", costs.tile_filter_bytes)):
        loads = [load for task in tasks for load in task.step.loads if load.operand == operand]
        assert np.max(largest) == max((load.size for load in loads), default=0)


@given(st.data(), ANY, TARGETS)
@drawn(300)
def test_cycles_are_those_of_its_tasks(
    data: st.DataObject, kernel: VectorKernel, to: Target
) -> None:
    """Lanes but for what rounds up where the last tap has more to do; DRAM but for edges."""
    tiling = data.draw(cut(kernel))
    costs, tasks = costs_of(kernel, to, tiling), tasks_of(kernel, to, tiling)
    finishing = kernel.operations - kernel.taps * kernel.tap_operations
    uneven = len(tasks) if finishing and costs.by_taps.item() else 0
    assert abs(costs.busy[0].item() - sum(task.step.cycles for task in tasks)) <= uneven
    stores = [task.step.store for task in tasks if task.step.store]
    assert costs.storing[0].item() == sum(map(to.occupied_cycles, stores))
    if is_plain(kernel):
        loads = [load for task in tasks for load in task.step.loads]
        assert costs.loading[0].item() == sum(map(to.occupied_cycles, loads))


def taken(task: Task) -> Iterator[Room]:
    yield from (load.room for load in task.step.loads)
    yield from task.step.opens


def given_back(task: Task) -> Iterator[Room]:
    step = task.step
    yield from step.closes
    for out in (step.store, step.keep):
        if out is not None and out.room is not None:
            yield out.room


@given(st.data(), ANY, TARGETS)
@drawn(300)
def test_room_is_what_one_task_after_another_takes(
    data: st.DataObject, kernel: VectorKernel, to: Target
) -> None:
    """Exactly, where the tile that reads most also writes most."""
    to = replace(to, residence=data.draw(residences(kernel)))
    tiling = data.draw(cut(kernel))
    held, most = Counter[int](), Counter[int]()
    for task in tasks_of(kernel, to, tiling):
        for room in taken(task):
            held[room.buffer] += room.size
            most[room.buffer] = max(most[room.buffer], held[room.buffer])
        for room in given_back(task):
            held[room.buffer] -= room.size
    costs = costs_of(kernel, to, tiling)
    for place, space in enumerate(to.buffers):
        if is_plain(kernel):
            assert costs.demand(space).max() == most[place]
        else:
            assert costs.demand(space).max() >= most[place]


# --- As it is played ------------------------------------------------------------------------------


@given(
    st.data(),
    PLAIN,
    st.sampled_from(["1 B/cycle", "4 B/cycle", "64 B/cycle"]),
    st.sampled_from([0, 10, 100]),
    st.integers(200, 2000),
)
@drawn(100)
def test_tiles_that_are_all_alike_take_what_they_cost(
    data: st.DataObject, kernel: VectorKernel, rate: str, latency: int, size: int
) -> None:
    """At least 90 % and never more where a block is a tile; near it where parts of blocks wait."""
    dram = {"bandwidth": rate, "latency": f"{latency} cycles"}
    hardware = machine(split(*(f"{size} B",) * 3), dram=dram)
    to, tiling = target_of(hardware), data.draw(cut(kernel, evenly=True))
    costs = costs_of(kernel, to, tiling)
    if not costs.fits.all():
        return
    layer = layer_of(kernel, vector_schedules(kernel, to, tiling), Residence(), tiling)
    spaces = tuple(space.size for space in to.buffers)
    layer = replace(layer, unit="vector", spaces=spaces)
    program = Program(network=ONE_LAYER, hardware=hardware, batch=1, target=to, layers=(layer,))
    cycles, time = costs.cycles.item(), played(program)
    in_parts = bool(costs.in_passes.item() or costs.by_taps.item())
    least, most = (0.75, 1.8) if in_parts else (0.9, 1)
    assert time * least - 2 <= cycles <= time * most
