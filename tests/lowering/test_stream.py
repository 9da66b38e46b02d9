"""Pixels that stream in pieces, and tiles that load everything anew."""

from dataclasses import replace
from typing import Any

import pytest
from cases import KERNELS, MORE_TAPS, as_arrays, listed, sizes_of, target, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine
from oracles.pieces import cut, entries
from oracles.walked_nest import Nest
from pydantic import ValidationError

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.dataflow import DATAFLOW_OF, ArrayModel, Extents, busy_cycles, tails
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target
from accelsim.lowering.traffic import Dram
from accelsim.network.ops import Window
from accelsim.report.description import hardware_sheets
from accelsim.report.sheet import rendered

FOLDS = 60
STREAMS = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 4)).filter(
    lambda each: each[1] <= each[0]
)
SIDES = st.tuples(st.integers(1, 5), st.integers(1, 5))


def array(sides: tuple[int, int], stream: tuple[int, int, int], by_tap: bool = False) -> ArrayModel:
    piece, least, in_flight = stream
    model = ArrayModel(*sides, DATAFLOW_OF["ws"], True, False, by_tap=by_tap)
    return replace(model, piece=piece, least_piece=least, in_flight=in_flight)


def target_of(stream: tuple[int, int, int], by_tap: bool, anew: bool) -> Target:
    model = array((4, 3), stream, by_tap)
    return replace(target(), processor=model, loads_anew=anew)


# --- The law of a fold ----------------------------------------------------------------------------


@given(SIDES, STREAMS, st.integers(1, 5), st.integers(1, 14))
@drawn(300)
def test_a_fold_is_its_pieces_on_the_clock(
    sides: tuple[int, int], stream: tuple[int, int, int], lines: int, line: int
) -> None:
    """Never longer than the clocked pieces; as long where the array has room, or all are alike."""
    piece, least, in_flight = stream
    model, steps = array(sides, stream), cut(line, piece) * lines
    loading = model.rows  # psums of one register: a row of filters each cycle
    turn = int(model.turn(line * lines, lines, loading))
    clock = [*entries(steps, FOLDS, least, loading, (in_flight, sum(sides) + 1))]
    start, end = clock[20 * len(steps)], clock[50 * len(steps)]
    assert 30 * (turn - 1) < end - start
    taken = {max(each, least, 0 if at else loading) for at, each in enumerate(steps)}
    if not in_flight or len(taken) == 1:
        assert end - start <= 30 * turn + max(in_flight, 1) * (sum(sides) + piece)


def test_gemmini_by_hand() -> None:
    """Two lines of 23 are 16 + 7 + 16 + 7; 14 of 2 pixels wait for the mesh: (16 + 13*4 + 14*33)/5.

    A fold of 4 lines of 4 is 4 pieces: 16 + 3*4 cycles in, and (28 + 4*33)/5 = 32 through.
    """
    model = array((16, 16), (16, 4, 5))
    assert model.turn(46, 2, 16) == 46
    assert model.turn(28, 14, 16) == 106
    assert model.turn(16, 4, 16) == 32
    assert model.turn(3, 1, 16) == 16
    assert replace(model, in_flight=0).turn(16, 4, 16) == 28


@given(SIDES, st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
@drawn(100)
def test_a_piece_of_everything_is_no_piece(
    sides: tuple[int, int], m: int, n: int, k: int, lines: int
) -> None:
    m += sides[0]  # else the next filters take longer than the first piece
    plain, whole = array(sides, (0, 1, 0)), array(sides, (m, 1, 0))
    tile = Extents(m * lines, n, k, lines=lines)
    assert busy_cycles(plain, tile) == busy_cycles(whole, tile)
    assert tails(plain, tile) == tails(whole, tile)


@pytest.mark.parametrize("dataflow", ["os", "is"])
def test_only_where_pixels_stream(dataflow: str) -> None:
    model = replace(array((4, 3), (2, 2, 1)), dataflow=DATAFLOW_OF[dataflow])
    assert model.turn(9, 3, 4) == 9


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ({"stream": {"piece": 4}}, "stream needs fold_overlap: pipelined"),
        ({"stream": {"piece": 4, "least": 5}, "fold_overlap": "pipelined"}, "least 5 is more than"),
    ],
)
def test_streams_that_cannot_be(array: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        machine(array=array)


def test_lines_of_kernels() -> None:
    """A map's rows, a matrix as one row of each image, images of one pixel as one row."""
    one, many = Window(1, 1), Window(5, 1)
    assert GemmKernel(2, 1, 1, 1, many, many).lines(2, 3) == 6
    assert GemmKernel(2, 1, 1, 1, many, one).lines(2, 3) == 2
    assert GemmKernel(2, 1, 1, 1, one, one).lines(2, 1) == 1


# --- Tiles ----------------------------------------------------------------------------------------


@given(st.data(), KERNELS | MORE_TAPS, STREAMS, st.booleans(), st.booleans())
@drawn(150)
def test_tasks_take_and_move_what_the_cost_says(
    data: st.DataObject,
    kernel: GemmKernel,
    stream: tuple[int, int, int],
    by_tap: bool,
    anew: bool,
) -> None:
    to, tiling = target_of(stream, by_tap, anew), data.draw(tilings(kernel))
    work = workload(kernel, to, as_arrays(kernel, tiling))
    flow = gemm_flow(work, tiling.order, share_of(work))
    (tasks,) = listed(gemm_schedules(kernel, to, tiling))
    assert flow.array[0] == sum(task.step.work.cycles for task in tasks)
    moved = sum((task.step.dram for task in tasks), start=Dram())
    assert int(cost_of(flow, work.target).dram_bytes[0]) == moved.total_bytes


@given(st.data(), KERNELS | MORE_TAPS)
@drawn(150)
def test_a_tile_that_loads_anew_reads_all_that_it_needs(
    data: st.DataObject, kernel: GemmKernel
) -> None:
    to, tiling = target_of((0, 1, 0), False, True), data.draw(tilings(kernel))
    nest = Nest(kernel, sizes_of(tiling))
    (tasks,) = listed(gemm_schedules(kernel, to, tiling))
    moved = sum((task.step.dram for task in tasks), start=Dram())
    turns = [*nest.turns(tiling.order.value)]
    assert moved.ifmap_read_bytes == sum(nest.words("ifmap", turn) for turn in turns)
    assert moved.filter_read_bytes == sum(nest.words("filter", turn) for turn in turns)


def test_show_tells_the_pieces() -> None:
    shown = rendered(hardware_sheets(load_hardware("gemmini_16x16")))
    assert "in pieces of 16 pixels of a row, 4 cycles or more each, 5 in the array" in " ".join(
        shown.split()
    )
    assert "in pieces" not in rendered(hardware_sheets(load_hardware("tpu_v1")))
