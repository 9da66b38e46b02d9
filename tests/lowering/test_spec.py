"""The checked spec holds for drawn programs, and catches every single thing that is falsified."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cases import KERNELS, MORE_TAPS, TARGETS, cut_tilings
from drawing import any_tilings, drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, machine, max_pool, networks, split

from accelsim.dram.transfer import Runs
from accelsim.errors import DoesNotFitError
from accelsim.hardware import DATAFLOWS, Hardware
from accelsim.lowering import tiles
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel, Kernel, kernel_of
from accelsim.lowering.lower import lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.recall import Memory
from accelsim.lowering.residency import Placement
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.spec import layer_problems, program_problems
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.lowering.task import GemmTile, Room, Span, Step, Task
from accelsim.lowering.tiling import GemmTiling, LoopOrder, Split, whole_sizes
from accelsim.network.graph import Network
from accelsim.network.ops import AvgPool, Lrn, Softmax, Window

lowered_somehow = any_tilings(lower)


@given(networks(), MACHINES, st.sampled_from(DATAFLOWS), st.integers(1, 4), st.integers(1, 2))
@drawn(150, percent=3)
def test_drawn_programs_are_as_they_should_be(
    network: Network, hardware: Hardware, dataflow: str, arrays: int, batch: int
) -> None:
    array = hardware.array.model_copy(update={"dataflow": dataflow, "count": arrays})
    if dataflow == "rs" and array.row_stationary is None:
        return
    try:
        program = lowered_somehow(network, hardware.model_copy(update={"array": array}), batch)
    except DoesNotFitError:
        return
    assert [*map(str, program_problems(program))] == []


RESIDENCES = st.sampled_from(
    [
        Residence(),
        Residence((True,)),
        Residence((False,), kept=True),
        Residence((True,), kept=True, stored=False),
    ]
)
ONE_LAYER = chain((3, 4, 4), conv(2))


def layer_of(
    kernel: Kernel, schedules: tuple[Schedule, ...], there: Residence, tiling: Tiling
) -> LayerProgram:
    spaces = (1 << 20,) * 4
    placement = Placement(tiling, there, spaces[0])
    rest = ((), schedules, tiling, spaces, placement)
    return LayerProgram(ONE_LAYER.layers[0], kernel, "array", *rest)


@given(
    st.data(),
    KERNELS | MORE_TAPS,
    TARGETS,
    st.integers(1, 4),
    st.sampled_from(["pixels", "filters", "groups"]),
    RESIDENCES,
)
@drawn(300)
def test_any_tiling_is_as_it_should_be(
    data: st.DataObject, kernel: GemmKernel, to: Target, arrays: int, split: Split, there: Residence
) -> None:
    """Also those that no search chooses: in two parts, taps cut, arrays over, maps resident."""
    tiling = data.draw(cut_tilings(kernel, split, arrays))
    to = replace(to, arrays=4, residence=there)
    layer = layer_of(kernel, gemm_schedules(kernel, to, tiling), there, tiling)
    assert [*map(str, layer_problems(layer, to))] == []


# --- Everything falsified alone -------------------------------------------------------------------

CUT = machine(split("512 B", "256 B", "512 B"))
"""Buffers that cut channels, filters and pixels, and let psums leave."""

CASES = {
    **{flow: (chain((12, 7, 5), conv(12, 3, padding=1)), flow) for flow in DATAFLOWS},
    "pool": (chain((12, 9, 7), max_pool(3, 2, 1)), "ws"),
    "padded pool": (chain((1, 20, 19), max_pool(21, 1, 10)), "ws"),
    "psums leave": (chain((12, 9, 7), conv(24, 3, padding=1)), "os"),
    "parts of windows": (chain((2, 30, 31), AvgPool(kernel=(30, 31))), "ws"),
    "passes": (chain((803,), Softmax()), "ws"),
    "parts of channels around": (chain((300, 1, 1), Lrn(size=401)), "ws"),
}


@cache
def lowered(case: str) -> Program:
    """A case's program, in which nothing is false."""
    network, dataflow = CASES[case]
    array = CUT.array.model_copy(update={"dataflow": dataflow})
    program = lower(network, CUT.model_copy(update={"array": array}))
    if case == "psums leave":
        program = with_psums_that_leave(program)
    assert [*program_problems(program)] == []
    return program


def with_psums_that_leave(program: Program) -> Program:
    (layer,) = program.layers
    assert isinstance(layer.kernel, GemmKernel)
    tiling = GemmTiling(1, 1, 3, 3, 8, 4, 1, 3, LoopOrder.FILTER_STAYS, "pixels")
    schedules = gemm_schedules(layer.kernel, program.target, tiling)
    spaces = (1 << 20,) * 3
    layer = replace(layer, schedules=schedules, tiling=tiling, spaces=spaces)
    return replace(program, layers=(layer,))


def with_tasks(program: Program, tasks: list[Task]) -> Program:
    """`program` with its only layer's only schedule replaced."""
    (layer,) = program.layers
    nest = tuple(task.step for task in tasks)
    schedule = Schedule(nest, lambda: [task.tile for task in tasks])
    return replace(program, layers=(replace(layer, schedules=(schedule,)),))


Fault = Callable[[Step], Step | None]


def more_operations(step: Step) -> Step:
    return replace(step, work=replace(step.work, operations=step.work.operations + 1))


def more_cycles(step: Step) -> Step:
    return replace(step, cycles=step.cycles + 1)


def of_work(name: str) -> Fault:
    """One more of something in a step's work; of cycles in the step, too."""

    def fault(step: Step) -> Step:
        more = {name: getattr(step.work, name) + 1}
        work = replace(step.work, **more)
        return replace(step, work=work, cycles=work.cycles)

    return fault


def another_word(step: Step) -> Step:
    """A word more at the edge of the array."""
    sram = replace(step.work.sram, ifmap_reads=step.work.sram.ifmap_reads + 1)
    return replace(step, work=replace(step.work, sram=sram))


def another_access(step: Step) -> Step:
    """A word more in the array's registers."""
    inside = step.work.inside
    inside = replace(inside, register_accesses=inside.register_accesses + 1)
    return replace(step, work=replace(step.work, inside=inside))


def of_load(operand: str, **changes: int) -> Fault:
    """A load of `operand` with what is given added to its sizes."""

    def fault(step: Step) -> Step | None:
        for index, load in enumerate(step.loads):
            if load.operand == operand:
                loads = [*step.loads]
                size, room = load.size + changes.get("size", 0), load.room
                room = room._replace(size=room.size + changes.get("room", 0))
                loads[index] = replace(load, size=size, room=room)
                return replace(step, loads=tuple(loads))
        return None

    return fault


def without_load(operand: str) -> Fault:
    def fault(step: Step) -> Step | None:
        loads = tuple(load for load in step.loads if load.operand != operand)
        return replace(step, loads=loads) if loads != step.loads else None

    return fault


def early_load(step: Step) -> Step | None:
    """A load that does not wait for the layer's inputs."""
    loads = tuple(replace(load, needs_inputs=False) for load in step.loads)
    return replace(step, loads=loads) if loads != step.loads else None


def of_store(**changes: int) -> Fault:
    def fault(step: Step) -> Step | None:
        if step.store is None:
            return None
        size, room = step.store.size + changes.get("size", 0), step.store.room
        room = room._replace(size=room.size + changes.get("room", 0))
        return replace(step, store=replace(step.store, size=size, room=room))

    return fault


def without_store(operand: str) -> Fault:
    def fault(step: Step) -> Step | None:
        left = step.store is not None and step.store.operand == operand
        return replace(step, store=None) if left else None

    return fault


def of_runs(operand: str, **changes: int) -> Fault:
    """The transfers of `operand` with what is given added to how their runs lie."""

    def moved(runs: Runs) -> Runs:
        return replace(runs, **{key: getattr(runs, key) + more for key, more in changes.items()})

    def fault(step: Step) -> Step | None:
        if operand not in {each.operand for each in step.transfers}:
            return None
        loads = tuple(
            replace(load, runs=moved(load.runs)) if load.operand == operand else load
            for load in step.loads
        )
        store = step.store
        if store is not None and store.operand == operand:
            store = replace(store, runs=moved(store.runs))
        return replace(step, loads=loads, store=store)

    return fault


def without_rooms(name: str) -> Fault:
    def fault(step: Step) -> Step | None:
        return replace(step, **{name: ()}) if getattr(step, name) else None

    return fault


STEP_FAULTS: dict[str, Fault] = {
    "operations": more_operations,
    "cycles": more_cycles,
    **{
        f"work's {name}": of_work(name)
        for name in ("streaming", "fill_drain", "buffer", "buffer_bound", "tail")
    },
    "words at the edge": another_word,
    "words inside": another_access,
    "ifmap bytes": of_load("ifmap", size=1),
    "filter bytes": of_load("filter", size=-1),
    "psum bytes": of_load("psum", size=4),
    "ifmap room": of_load("ifmap", room=1),
    "filter room": of_load("filter", room=1),
    "psum room": of_load("psum", room=-4),
    "no ifmap": without_load("ifmap"),
    "no filter": without_load("filter"),
    "no psum": without_load("psum"),
    "early": early_load,
    "store bytes": of_store(size=-1),
    "store room": of_store(room=1),
    **{f"{name} pitch": of_runs(name, pitch=1) for name in ("ifmap", "filter", "psum", "ofmap")},
    "longer runs": of_runs("ifmap", size=1),
    "no ofmap": without_store("ofmap"),
    "no psum out": without_store("psum"),
    "no room opened": without_rooms("opens"),
    "no room closed": without_rooms("closes"),
    "no room reserved": without_rooms("reserves"),
}


def falsified(tasks: list[Task], fault: Fault) -> Iterator[list[Task]]:
    """`tasks` with one of their steps changed: the first, a middle and the last one that can be."""
    changed = [(index, fault(task.step)) for index, task in enumerate(tasks)]
    able = [(index, step) for index, step in changed if step is not None]
    for index, step in {id(each): each for each in able[:1] + able[len(able) // 2 :][:1]}.values():
        yield [*tasks[:index], replace(tasks[index], step=step), *tasks[index + 1 :]]


def first_problem(program: Program) -> str:
    """What is told first; the rest is not looked for."""
    return str(next(program_problems(program), ""))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", STEP_FAULTS)
def test_a_false_step_is_caught(case: str, name: str) -> None:
    program = lowered(case)
    for tasks in falsified([*program.layers[0].all_tasks], STEP_FAULTS[name]):
        assert "layer a, array 0, task" in first_problem(with_tasks(program, tasks))


def test_every_step_fault_is_possible_somewhere() -> None:
    """Otherwise the test above would say little."""
    tasks = [task for case in CASES for task in lowered(case).layers[0].all_tasks]
    for name, fault in STEP_FAULTS.items():
        assert any(fault(task.step) is not None for task in tasks), name


def grown(span: Span, start: int = 0, stop: int = 0) -> Span:
    return Span(span.start + start, span.stop + stop)


def false_tiles(tasks: list[Task], at: int) -> Iterator[list[Task]]:
    """A tile dropped, doubled, exchanged, and with each of its axes falsified alone."""
    yield [*tasks[:at], *tasks[at + 1 :]]
    yield [*tasks[:at], tasks[at], *tasks[at:]]
    tile = tasks[at].tile
    places = {"pixels": replace(tile.pixels, rows=grown(tile.pixels.rows, stop=1))}
    changes: list[dict[str, object]] = [{"channels": grown(tile.channels, start=1)}, {**places}]
    axes = ["tap_rows", "tap_cols"]
    if isinstance(tile, GemmTile):
        axes += ["groups", "filters"]
    else:
        changes += [{"turn": tile.turn + 1}]
    if not (tile.first and tile.last):
        yield [*tasks[: at - 1], tasks[at], tasks[at - 1], *tasks[at + 1 :]]
    changes += [{"first": not tile.first}, {"last": not tile.last}]
    changes += [{axis: grown(getattr(tile, axis), stop=1)} for axis in axes]
    changes += [{axis: grown(getattr(tile, axis), stop=-1)} for axis in axes]
    for change in changes:
        yield [
            *tasks[:at],
            replace(tasks[at], tile=replace(tile, **change)),  # type: ignore[arg-type]
            *tasks[at + 1 :],
        ]


@pytest.mark.parametrize("case", CASES)
def test_a_false_tile_is_caught(case: str) -> None:
    program = lowered(case)
    tasks = [*program.layers[0].all_tasks]
    for false in false_tiles(tasks, len(tasks) // 2):
        assert first_problem(with_tasks(program, false))


def smaller(room: Room, buffer: int) -> Room:
    return room._replace(size=max(room.size - 1, 0)) if room.buffer == buffer else room


def with_less_room(step: Step, buffer: int) -> Step:
    """A step that takes a byte less of a buffer each time, and gives as much less back."""
    store = step.store and replace(step.store, room=smaller(step.store.room, buffer))
    return replace(
        step,
        loads=tuple(replace(load, room=smaller(load.room, buffer)) for load in step.loads),
        opens=tuple(smaller(room, buffer) for room in step.opens),
        closes=tuple(smaller(room, buffer) for room in step.closes),
        store=store,
    )


@pytest.mark.parametrize("case", [each for each in CASES if each != "rs"])
def test_too_little_room_for_a_tile_is_caught(case: str) -> None:
    """Also where as much is given back as was taken."""
    program = lowered(case)
    tasks = program.layers[0].all_tasks
    for buffer in {load.room.buffer for task in tasks for load in task.step.loads}:
        less = [replace(task, step=with_less_room(task.step, buffer)) for task in tasks]
        assert f"bytes of buffer {buffer} for" in first_problem(with_tasks(program, less))


@pytest.mark.parametrize("change", [{"buffer": 1}, {"cycles": 1}, {"size": 1}, {"room": None}])
def test_a_false_keep_is_caught(change: dict[str, Any]) -> None:
    """An ofmap that stays moves into the buffer of ifmaps, whole, and frees its room."""
    there = Residence((False,), kept=True, stored=False)
    kernel, to = kernel_of(ONE_LAYER.layers[0], 1), replace(target_of(CUT), residence=there)
    assert isinstance(kernel, GemmKernel)
    tiling = GemmTiling(*whole_sizes(kernel), LoopOrder.OFMAP_STAYS, "pixels")
    (right,) = gemm_schedules(kernel, to, tiling)
    (task,) = right.tasks
    keep = task.step.keep
    assert keep is not None
    wrong = {key: getattr(keep, key) + each if each else each for key, each in change.items()}
    step = replace(task.step, keep=replace(keep, **wrong))
    false = Schedule((step,), lambda: [task.tile])
    assert [*layer_problems(layer_of(kernel, (right,), there, tiling), to)] == []
    assert [*layer_problems(layer_of(kernel, (false,), there, tiling), to)]


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize(("start", "stop"), [(1, 0), (0, -1)])
def test_a_wrong_halo_is_caught(
    dataflow: str, start: int, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that bring one ifmap row too few: the bytes are not those that the tile reads."""
    right = tiles.ifmap_span

    def short(window: Window, outputs: Span) -> Span:
        read = right(window, outputs)
        return grown(read, start, stop) if window.size == 11 else read

    monkeypatch.setattr(tiles, "ifmap_span", short)
    network = chain((12, 11, 7), conv(23, 3, padding=1))
    array = CUT.array.model_copy(update={"dataflow": dataflow})
    program = lower(network, CUT.model_copy(update={"array": array}), memory=Memory())
    monkeypatch.undo()
    assert any("bytes of ifmap are loaded" in str(each) for each in program_problems(program))
