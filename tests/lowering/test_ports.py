"""Buffers with a bandwidth: the laws of `ports` against arrays that are played on the clock."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from drawing import drawn
from hypothesis import example, given
from hypothesis import strategies as st
from oracles.systolic import Registers
from oracles.word_ports import Pipeline, Port, Shape, clocked, serial_steps

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.dataflow import (
    DATAFLOW_OF,
    ArrayModel,
    Axis,
    Extents,
    FoldClass,
    Lanes,
    buffer_cycles,
    busy_cycles,
    fold_classes,
    fold_time,
    least_turn,
    tail_cycles,
)
from accelsim.lowering.ports import can_limit

DATAFLOWS = st.sampled_from(["os", "ws", "is"])
LANES = st.integers(1, 4)
REGISTERS = st.builds(
    Registers,
    mac_stages=st.integers(1, 3),
    psum=st.integers(1, 3),
    drain=st.sampled_from(["rows", "cols"]),
    together=st.booleans(),
)
PLAIN = Registers()
RATES = st.fractions(min_value=Fraction(1, 3), max_value=30, max_denominator=4)
WORDS = {"ifmap": 1, "filter": 2, "psum": 4, "ofmap": 1}
GROUPS = st.sampled_from(
    [
        [["ifmap"], ["filter"], ["psum"], ["ofmap"]],
        [["ifmap", "filter"], ["psum", "ofmap"]],
        [["ifmap", "ofmap"], ["filter"], ["psum"]],
        [["ifmap", "filter", "psum", "ofmap"]],
    ]
)
"""Who shares a buffer: split, scratchpad and accumulators, unified, one for all."""


def edges(dataflow: str) -> dict[Operand, str]:
    """The oracle's names: what comes from the left and from the top of the array."""
    turned = dataflow == "is"
    ifmap, filters = ("top", "left") if turned else ("left", "top")
    return {"ifmap": ifmap, "filter": filters, "psum": "psum", "ofmap": "ofmap"}


def buffers(groups: list[list[Operand]], rates: Sequence[Fraction]) -> tuple[Lanes, ...]:
    return tuple(
        Lanes(rate, tuple((item, WORDS[item]) for item in held))
        for held, rate in zip(groups, rates, strict=False)
    )


def ports(dataflow: str, lanes: tuple[Lanes, ...]) -> list[Port]:
    names = edges(dataflow)
    return [
        Port(each.bytes_per_cycle, {names[item]: size for item, size in each.word_bytes})
        for each in lanes
    ]


def array_of(
    dataflow: str, shape: Shape, pipelined: bool, registers: Registers, lanes: tuple[Lanes, ...]
) -> ArrayModel:
    return ArrayModel(
        *(shape.rows, shape.cols, DATAFLOW_OF[dataflow], pipelined, shape.used, lanes),
        drain=registers.drain,
        drain_start="array" if registers.together else "lane",
        mac_stages=registers.mac_stages,
        psum_registers=registers.psum,
    )


def fold_of(dataflow: str, shape: Shape) -> FoldClass:
    flow = DATAFLOW_OF[dataflow]
    extent = {flow.rows: shape.used_rows, flow.cols: shape.used_cols, flow.time: shape.steps}
    return FoldClass(1, extent, shape.starts, shape.ends)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    rows, cols = draw(LANES), draw(LANES)
    return Shape(
        used_rows=draw(st.integers(1, rows)),
        used_cols=draw(st.integers(1, cols)),
        steps=draw(st.integers(1, 14)),
        rows=rows,
        cols=cols,
        used=draw(st.booleans()),
        starts=draw(st.booleans()),
        ends=draw(st.booleans()),
    )


@given(DATAFLOWS, shapes(), REGISTERS, GROUPS, st.lists(RATES, min_size=4, max_size=4))
@drawn(200)
@example("ws", Shape(4, 4, 3, 4, 4, False), PLAIN, [["filter"]], [Fraction(3)])
def test_serial_folds_on_the_clock(
    dataflow: str,
    shape: Shape,
    registers: Registers,
    groups: list[list[Operand]],
    rates: list[Fraction],
) -> None:
    lanes = buffers(groups, rates)
    array, fold = array_of(dataflow, shape, False, registers, lanes), fold_of(dataflow, shape)
    time = fold_time(array, fold)
    steps = serial_steps(dataflow, shape, registers)
    assert len(steps) == time.stream + time.fill_drain
    assert clocked(steps, ports(dataflow, lanes), ahead=False) == time.total
    parts = 2 if dataflow == "os" else 4
    assert 0 <= time.total - clocked(steps, ports(dataflow, lanes), ahead=True) < parts


@given(DATAFLOWS, shapes(), REGISTERS, GROUPS, st.lists(RATES, min_size=4, max_size=4))
@drawn(100)
def test_pipelined_turns_on_the_clock(
    dataflow: str,
    shape: Shape,
    registers: Registers,
    groups: list[list[Operand]],
    rates: list[Fraction],
) -> None:
    """Full folds one after another: from one to the next the turn, which counts whole cycles.

    Where operands, results and the shadow registers share a buffer, they may come in each other's
    way: by no more than the least turn and two cycles.
    """
    shape = replace(shape, used_rows=shape.rows, used_cols=shape.cols, used=False)
    lanes = buffers(groups, rates)
    array, fold = array_of(dataflow, shape, True, registers, lanes), fold_of(dataflow, shape)
    began = Pipeline(shape, registers, ports(dataflow, lanes), dataflow == "os").play(22)
    turn, law = (began[21] - began[9]) / 12, fold_time(array, fold).total
    shared = 0 if len(groups) == 4 else least_turn(array, shape.rows, shape.cols) + 2
    assert law - 2 < turn <= law + shared


@given(DATAFLOWS, shapes(), REGISTERS, GROUPS, st.lists(RATES, min_size=4, max_size=4))
@drawn(200)
def test_one_pipelined_fold_is_a_serial_one(
    dataflow: str,
    shape: Shape,
    registers: Registers,
    groups: list[list[Operand]],
    rates: list[Fraction],
) -> None:
    """Its turn is never longer, and the tail is the rest."""
    lanes, fold = buffers(groups, rates), fold_of(dataflow, shape)
    serial, pipelined = (
        array_of(dataflow, shape, overlap, registers, lanes) for overlap in (False, True)
    )
    tile = Extents(*(fold.extent[axis] for axis in ("m", "n", "k")), shape.starts, shape.ends)
    tail = tail_cycles(pipelined, tile)
    assert tail >= 0
    assert busy_cycles(pipelined, tile) + tail == busy_cycles(serial, tile)


@pytest.mark.parametrize(
    ("dataflow", "lanes", "extents", "time"),
    [
        # 4 x 5 PEs. ws: m = 6 steps, 4 + 5 - 2 + 4 = 11 more. 4 ifmap words a step at 3 per cycle:
        # 24 / 3 = 8 cycles for 6 steps
        ("ws", [(3, "ifmap")], (6, 5, 4), (6, 11, 2)),
        # at 4 per cycle they come in time
        ("ws", [(4, "ifmap")], (6, 5, 4), (6, 11, 0)),
        # the filter's load: 4 rows of 5 words at 2 per cycle take 10 cycles instead of 4
        ("ws", [(2, "filter")], (6, 5, 4), (6, 11, 6)),
        # both: each for itself
        ("ws", [(3, "ifmap"), (2, "filter")], (6, 5, 4), (6, 11, 8)),
        # 5 results a step at 4 per cycle: 30 / 4 rounded up, 8 instead of 6; they start to
        # leave 7 steps after their operands, when all 6 steps have been read
        ("ws", [(4, "ofmap")], (6, 5, 4), (6, 11, 2)),
        # with the ifmap in the same buffer neither is in the other's way ...
        ("ws", [(5, "ifmap", "ofmap")], (6, 5, 4), (6, 11, 0)),
        # ... but in steps 8 to 20 of 20: 13 steps of 9 words at 5 per cycle take 24 cycles
        ("ws", [(5, "ifmap", "ofmap")], (20, 5, 4), (20, 11, 11)),
        # is: n = 6 steps of 4 filter words at 3 per cycle, and 4 rows of 5 ifmap words at 4
        ("is", [(3, "filter"), (4, "ifmap")], (5, 6, 4), (6, 11, 3)),
        # os: k = 6 steps of 4 + 5 words at 7 per cycle: 54 / 7, 8 cycles; 11 more
        ("os", [(7, "ifmap", "filter")], (4, 5, 6), (6, 11, 2)),
        # and the drain: 4 rows of 5 ofmap words at 4 per cycle, 5 cycles instead of 4
        ("os", [(7, "ifmap", "filter"), (4, "ofmap")], (4, 5, 6), (6, 11, 3)),
        # of an edge fold 2 rows of 3 words, after 2 cycles in which nothing leaves
        ("os", [(2, "ofmap")], (2, 3, 6), (6, 11, 1)),
        # in the same buffer they take turns
        ("os", [(7, "ifmap", "filter", "ofmap")], (4, 5, 6), (6, 11, 2)),
    ],
)
def test_serial_folds_by_hand(
    dataflow: str,
    lanes: list[tuple[int, *tuple[Operand, ...]]],
    extents: tuple[int, int, int],
    time: tuple[int, int, int],
) -> None:
    slow = tuple(Lanes(Fraction(rate), tuple((item, 1) for item in held)) for rate, *held in lanes)
    array = ArrayModel(4, 5, DATAFLOW_OF[dataflow], False, False, slow)
    fold = FoldClass(1, dict(zip(("m", "n", "k"), extents, strict=True)), True, True)  # type: ignore[arg-type]
    taken = fold_time(array, fold)
    assert (taken.stream, taken.fill_drain, taken.buffer) == time


def test_psums_that_come_back_share_the_way() -> None:
    """ws 4 x 5, 6 steps: 5 psums a step come in and 5 leave, each 4 bytes, at 20 per cycle.

    6 steps read, one is idle, 6 write: nothing is late. With 20 steps 13 do both: 26 cycles.
    """
    accumulators = (Lanes(Fraction(20), (("psum", 4),)),)
    array = ArrayModel(4, 5, DATAFLOW_OF["ws"], False, False, accumulators)
    short, long = (
        fold_time(array, FoldClass(1, {"m": steps, "n": 5, "k": 4}, False, False))
        for steps in (6, 20)
    )
    assert (short.buffer, long.buffer) == (0, 13)


@pytest.mark.parametrize(
    ("dataflow", "lanes", "extents", "turn"),
    [
        # ws 4 x 5, m = 6: 24 ifmap words at 3; the filter's 20 words at 4 within the turn
        ("ws", [(3, "ifmap")], (6, 5, 4), 8),
        ("ws", [(4, "filter")], (6, 5, 4), 6),
        # at 2 they take 10
        ("ws", [(2, "filter")], (6, 5, 4), 10),
        # in one buffer 24 + 20 words at 4
        ("ws", [(4, "ifmap", "filter")], (6, 5, 4), 11),
        # 30 results at 4
        ("ws", [(4, "ofmap")], (6, 5, 4), 8),
        # os: k = 6 steps of 9 words at 7; the ofmap's 20 words at 2
        ("os", [(7, "ifmap", "filter")], (4, 5, 6), 8),
        ("os", [(7, "ifmap", "filter"), (2, "ofmap")], (4, 5, 6), 10),
        ("os", [(7, "ifmap", "filter", "ofmap")], (4, 5, 6), 11),
    ],
)
def test_pipelined_turns_by_hand(
    dataflow: str,
    lanes: list[tuple[int, *tuple[Operand, ...]]],
    extents: tuple[int, int, int],
    turn: int,
) -> None:
    slow = tuple(Lanes(Fraction(rate), tuple((item, 1) for item in held)) for rate, *held in lanes)
    array = ArrayModel(4, 5, DATAFLOW_OF[dataflow], True, False, slow)
    fold = FoldClass(1, dict(zip(("m", "n", "k"), extents, strict=True)), True, True)  # type: ignore[arg-type]
    assert fold_time(array, fold).total == turn


def test_lanes_that_drain_together_wait_for_the_far_corner_at_the_pace_of_the_words() -> None:
    """os 2 x 2, k = 3: 4 words a step at 2 per cycle. From the last operand to the next fold's:
    two cycles for each of the two steps to the far corner, then 2 rows of 2 words at 1 per cycle.
    """
    slow = (
        Lanes(Fraction(2), (("ifmap", 1), ("filter", 1))),
        Lanes(Fraction(1), (("ofmap", 1),)),
    )
    array = ArrayModel(2, 2, DATAFLOW_OF["os"], True, False, slow, drain_start="array")
    assert fold_time(array, FoldClass(1, {"m": 2, "n": 2, "k": 3}, True, True)).total == 8


# --- Buffers that need not be looked at -----------------------------------------------------------


@given(
    DATAFLOWS,
    LANES,
    LANES,
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(OPERANDS), min_size=1),
    st.fractions(min_value=Fraction(1, 4), max_value=60, max_denominator=4),
    REGISTERS,
)
@drawn(300)
def test_a_buffer_left_out_never_limits(
    dataflow: str,
    rows: int,
    cols: int,
    pipelined: bool,
    used: bool,
    held: set[Operand],
    rate: Fraction,
    registers: Registers,
) -> None:
    """Where `can_limit` says no, no fold of any size waits; where yes, a serial one does."""
    lanes = Lanes(rate, tuple((operand, WORDS[operand]) for operand in sorted(held)))
    shape = Shape(rows, cols, 1, rows, cols, used)
    array = array_of(dataflow, shape, pipelined, registers, (lanes,))
    limits = can_limit(array, lanes, int(least_turn(array, 1, 1)))
    waits = False
    flow = DATAFLOW_OF[dataflow]
    for r, c, steps in product(range(1, rows + 1), range(1, cols + 1), (1, 2, 3, 5, 9, 40, 1000)):
        for starts, ends in product((False, True), repeat=2):
            extent: dict[Axis, int] = {flow.rows: r, flow.cols: c, flow.time: steps}
            waits = waits or fold_time(array, FoldClass(1, extent, starts, ends)).buffer > 0  # type: ignore[arg-type]
    assert waits <= limits
    if not pipelined:
        assert waits == limits


@given(DATAFLOWS, *[st.integers(1, 12)] * 3, st.integers(1, 3), *[st.booleans()] * 3, GROUPS)
@drawn(100)
def test_a_tile_is_the_sum_of_its_folds(
    dataflow: str,
    m: int,
    n: int,
    channels: int,
    taps: int,
    by_tap: bool,
    pipelined: bool,
    used: bool,
    groups: list[list[Operand]],
) -> None:
    """Every word is waited for at least: a tile takes no less than each buffer needs for all."""
    shape = Shape(1, 1, 1, 3, 4, used)
    lanes = buffers(groups, [Fraction(3), Fraction(5, 2), Fraction(4), Fraction(2)])
    array = replace(array_of(dataflow, shape, pipelined, PLAIN, lanes), by_tap=by_tap)
    tile = Extents(m, n, channels * taps, taps=taps)
    folds = [fold for fold in fold_classes(array, tile) if fold.count]
    cycles = busy_cycles(array, tile)
    assert cycles == sum(fold.count * fold_time(array, fold).total for fold in folds)
    assert cycles >= sum(fold.count * buffer_cycles(array, fold) for fold in folds)
    free = busy_cycles(replace(array, buffers=()), tile)
    assert cycles >= free
