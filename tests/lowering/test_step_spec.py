"""What the specs of kernels share: parts counted cell by cell, regions walked, single faults."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest
from cases import windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.walked_nest import touched
from test_spec import lowered, with_tasks

from accelsim.dram.transfer import Runs
from accelsim.lowering.program import Program
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.spec import program_problems
from accelsim.lowering.step_spec import Done, Lie, Part, is_whole, read_along
from accelsim.lowering.task import Room, Span, Step, Task
from accelsim.network.ops import Read, Stretch, Window

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def cells(part: Part) -> list[tuple[int, ...]]:
    """Every place of a part, in order."""
    return [*product(*(range(span.start, span.stop) for span in part))]


@st.composite
def courses(draw: st.DrawFn) -> tuple[list[int], list[Part]]:
    """Sizes of axes cut into parts, in order; then perhaps one is lost, doubled, moved or grown."""
    sizes = draw(SIZES)
    cuts = []
    for size in sizes:
        piece = draw(st.integers(1, size))
        starts = range(0, size, piece)
        cuts.append([Span(start, min(start + piece, size)) for start in starts])
    parts: list[Part] = [*product(*cuts)]
    at = draw(st.integers(0, len(parts) - 1))
    change = draw(st.sampled_from(["none", "lost", "doubled", "last first", "grown", "moved"]))
    if change == "lost":
        parts.pop(at)
    elif change == "doubled":
        parts.insert(at, parts[at])
    elif change == "last first":
        parts = parts[-1:] + parts[:-1]
    elif change in ("grown", "moved"):
        first, *rest = parts[at]
        start = first.start + (change == "moved")
        parts[at] = (Span(start, first.stop + 1), *rest)
    return sizes, parts


def in_order(parts: Sequence[Part]) -> bool:
    """Whether no part begins before the one that it follows."""
    begins = [tuple(span.start for span in part) for part in parts]
    return all(begins[at] <= begins[at + 1] for at in range(len(begins) - 1))


@given(courses())
@drawn(400)
def test_a_whole_is_every_cell_once_and_in_order(course: tuple[list[int], list[Part]]) -> None:
    sizes, parts = course
    times = Counter(cell for part in parts for cell in cells(part))
    every = Counter(product(*map(range, sizes)))
    assert is_whole(parts, sizes) == (times == every and in_order(parts))


def test_a_part_before_the_first_index_is_none() -> None:
    """As an index of an array -1 would be the last one."""
    assert not is_whole([(Span(-1, 2),)], [2])
    assert not is_whole([(Span(-1, 0),), (Span(0, 1),)], [2])


@given(courses())
@drawn(200)
def test_done_counts_every_cell(course: tuple[list[int], list[Part]]) -> None:
    """A part is refused if any of it is finished already, or is not there."""
    sizes, parts = course
    done, times = Done(tuple(sizes)), Counter[tuple[int, ...]]()
    for part in parts:
        there = all(cell in set(product(*map(range, sizes))) for cell in cells(part))
        if there:
            times.update(cells(part))
        assert done.finish(part) == (there and all(times[cell] == 1 for cell in cells(part)))
    missing = [cell for cell in product(*map(range, sizes)) if not times[cell]]
    told = [*done.problems()]
    assert bool(told) == bool(missing)
    if missing:
        assert f"{len(missing):,} ofmap" in told[0]
        assert str(missing[0]) in told[0]


@given(st.data(), windows(12, taps=4))
@drawn(300)
def test_a_region_is_from_the_first_to_the_last_that_is_read(
    data: st.DataObject, window: Window
) -> None:
    outputs, taps = (
        sorted(data.draw(st.lists(st.integers(0, total), min_size=2, max_size=2, unique=True)))
        for total in (window.outputs, window.kernel)
    )
    walked = touched(window, range(*outputs), range(*taps))
    assert read_along(window, Span(*outputs), Span(*taps)) == walked


@pytest.mark.parametrize(
    ("axis", "outputs", "read"),
    [
        (Stretch(size=4, outputs=8, per=2), (1, 6), 3),  # 0, 1, 1, 2, 2
        (Stretch(size=1, outputs=6, per=6), (2, 5), 1),
    ],
)
def test_a_stretched_region_by_hand(axis: Read, outputs: tuple[int, int], read: int) -> None:
    assert read_along(axis, Span(*outputs), Span(0, 1)) == read


@given(st.data(), st.lists(st.integers(1, 3), min_size=1, max_size=4))
@drawn(200)
def test_runs_of_a_block_are_where_its_words_are(data: st.DataObject, whole: list[int]) -> None:
    block = [data.draw(st.integers(1, size)) for size in whole]
    places = np.arange(prod(whole)).reshape(whole)[tuple(map(slice, block))].ravel()
    starts = places[np.diff(places, prepend=-2) > 1]
    lie = Lie((*whole,), (*block,))
    assert lie.run == len(places) / len(starts)
    assert lie.pitch == (np.diff(starts).min() if len(starts) > 1 else prod(whole))


# --- Faults that no other test falsifies ----------------------------------------------------------


def problems(program: Program) -> list[str]:
    return [*map(str, program_problems(program))]


def with_step(program: Program, at: int, change: Callable[[Step], Step]) -> Program:
    """The only schedule with one of its steps changed."""
    tasks = [*program.layers[0].all_tasks]
    tasks[at] = replace(tasks[at], step=change(tasks[at].step))
    return with_tasks(program, tasks)


def test_tiles_and_steps_are_as_many() -> None:
    program = lowered("ws")
    (layer,) = program.layers
    tasks = [*layer.all_tasks]
    short = Schedule(tuple(task.step for task in tasks), lambda: [task.tile for task in tasks[1:]])
    false = replace(program, layers=(replace(layer, schedules=(short,)),))
    told = f"layer a, array 0: {len(tasks) - 1} tiles have {len(tasks)} steps"
    assert problems(false)[0] == told


def test_a_buffer_that_is_not_there() -> None:
    program = lowered("ws")
    false = with_step(program, 0, lambda step: replace(step, opens=(*step.opens, Room(9, 4))))
    assert any("there is no buffer 9" in each for each in problems(false))


@pytest.mark.parametrize("case", ["ws", "os", "pool", "passes"])
def test_more_room_than_a_buffer_has(case: str) -> None:
    """It is the room that is taken, not that of a tile, which must not be more."""
    program = lowered(case)
    (layer,) = program.layers
    held, most = Counter[int](), Counter[int]()
    for task in layer.all_tasks:
        step = task.step
        for room in (*(load.room for load in step.loads), *step.opens):
            held[room.buffer] += room.size
            most[room.buffer] = max(most[room.buffer], held[room.buffer])
        for room in (*step.closes, *([step.store.room] if step.store else [])):
            held[room.buffer] -= room.size
    for buffer, size in most.items():
        for less, right in ((0, True), (1, False)):
            spaces = [*layer.spaces]
            spaces[buffer] = size - less
            tight = replace(program, layers=(replace(layer, spaces=tuple(spaces)),))
            assert (problems(tight) == []) == right


@pytest.mark.parametrize("case", ["ws", "pool"])
def test_runs_that_are_not_the_bytes(case: str) -> None:
    """A timed DRAM takes what the runs say, so that they must be no other bytes."""

    def longer(step: Step) -> Step:
        load = step.loads[0]
        runs = Runs(load.runs.count, load.runs.size + 1, load.runs.pitch)
        return replace(step, loads=(replace(load, runs=runs), *step.loads[1:]))

    tasks = lowered(case).layers[0].all_tasks
    at = next(at for at, task in enumerate(tasks) if task.step.loads)
    assert any("the runs of" in each for each in problems(with_step(lowered(case), at, longer)))


def test_a_load_of_nothing() -> None:
    """Tiles in the padding of a pool bring nothing, so that there is no transfer to time."""
    program = lowered("padded pool")
    tasks = program.layers[0].all_tasks
    at, some = (
        next(at for at, task in enumerate(tasks) if bool(task.step.loads) == is_some)
        for is_some in (False, True)
    )
    (load,) = tasks[some].step.loads
    none = replace(load, size=0, room=load.room._replace(size=0), runs=Runs(0, 0, load.runs.pitch))
    false = with_step(program, at, lambda step: replace(step, loads=(none,)))
    assert any("nothing should be loaded" in each for each in problems(false))


def test_a_pass_that_there_is_not() -> None:
    program = lowered("passes")
    tasks: list[Task] = [*program.layers[0].all_tasks]
    tasks[0] = replace(tasks[0], tile=replace(tasks[0].tile, turn=7))  # type: ignore[call-arg]
    assert any("there is no pass 7" in each for each in problems(with_tasks(program, tasks)))


def test_a_layer_that_stops_in_its_block() -> None:
    program = lowered("passes")
    tasks = [*program.layers[0].all_tasks]
    told = problems(with_tasks(program, tasks[:-1]))
    assert any("its block does not end" in each for each in told)
    assert any("are never finished" in each for each in told)
