"""The fold laws against clocked arrays; tests/validation holds them against Verilog."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles.systolic import Matrix, Registers, Run, run

from accelsim.hardware import OPERANDS, SYSTOLIC, Operand
from accelsim.lowering.dataflow import (
    DATAFLOW_OF,
    ArrayModel,
    Axis,
    Extents,
    FoldClass,
    Gemm,
    Lanes,
    _can_limit,
    array_model,
    buffer_cycles,
    busy_cycles,
    fold_classes,
    fold_overhead,
    fold_time,
    least_turn,
    leaves_unfinished,
    untiled_cycles,
)
from accelsim.lowering.laws import Dataflow, Law, SumsMove, SumsStay
from accelsim.lowering.target import BufferSpace

DATAFLOWS = st.sampled_from(["os", "ws", "is"])
LANES = st.integers(1, 5)
REGISTERS = st.builds(
    Registers,
    mac_stages=st.integers(1, 4),
    psum=st.integers(1, 3),
    drain=st.sampled_from(["rows", "cols"]),
    together=st.booleans(),
)
PLAIN = Registers()
SIZES = st.builds(Gemm, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def model(
    dataflow: str,
    rows: int,
    cols: int,
    pipelined: bool = False,
    used: bool = False,
    registers: Registers = PLAIN,
) -> ArrayModel:
    return ArrayModel(
        *(rows, cols, DATAFLOW_OF[dataflow], pipelined, used),
        drain=registers.drain,
        drain_start="array" if registers.together else "lane",
        mac_stages=registers.mac_stages,
        psum_registers=registers.psum,
    )


def operands(gemm: Gemm) -> tuple[Matrix, Matrix]:
    """ifmap and filter of positive words, so that a lost product always shows."""
    rng = np.random.default_rng(gemm.m * 10_000 + gemm.n * 100 + gemm.k)
    return rng.integers(1, 100, (gemm.m, gemm.k)), rng.integers(1, 100, (gemm.k, gemm.n))


def steps_of(dataflow: str, gemm: Gemm) -> int:
    return int(getattr(gemm, DATAFLOW_OF[dataflow].time))


def folds_of(array: ArrayModel, gemm: Gemm) -> int:
    return ceil(getattr(gemm, array.dataflow.rows) / array.rows) * ceil(
        getattr(gemm, array.dataflow.cols) / array.cols
    )


def is_right(result: Run, a: Matrix, b: Matrix) -> bool:
    return result.seen == result.expected and bool(np.array_equal(result.product, a @ b))


# --- The table of dataflows -----------------------------------------------------------------------


def test_every_dataflow_of_a_systolic_array_has_a_law() -> None:
    assert tuple(DATAFLOW_OF) == SYSTOLIC
    for flow in DATAFLOW_OF.values():
        assert Dataflow(flow.rows, flow.cols, flow.time, flow.law) == flow


@pytest.mark.parametrize("law", [SumsMove(), SumsStay()])
@pytest.mark.parametrize("axes", list(permutations(("m", "n", "k"))))
def test_axes_without_a_law_are_refused(law: Law, axes: tuple[Axis, Axis, Axis]) -> None:
    """A sum that moves needs k on the rows, one that stays needs it in time; m, n may change."""
    if axes[0 if law.psums_move else 2] == "k":
        assert Dataflow(*axes, law).law is law
    else:
        with pytest.raises(ValueError, match="no law for"):
            Dataflow(*axes, law)


def test_an_axis_lies_on_one_side() -> None:
    with pytest.raises(ValueError, match="no law for k on the rows, m on the columns and m"):
        Dataflow("k", "m", "m", SumsMove())


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans())
@settings(max_examples=60)
def test_sums_leave_unfinished_where_a_fold_says_so(
    dataflow: str, rows: int, cols: int, gemm: Gemm, pipelined: bool
) -> None:
    array = model(dataflow, rows, cols, pipelined)
    folds = fold_classes(array, Extents(gemm.m, gemm.n, gemm.k))
    unfinished = any(fold.count and not fold.ends for fold in folds)
    assert leaves_unfinished(array, gemm.k) == unfinished


# --- Clocked arrays -------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, st.integers(1, 9), REGISTERS)
@settings(max_examples=100)
def test_fold_law_is_the_clocked_array(
    dataflow: str, rows: int, cols: int, steps: int, registers: Registers
) -> None:
    sizes = {DATAFLOW_OF[dataflow].rows: rows, DATAFLOW_OF[dataflow].cols: cols}
    gemm = Gemm(**(sizes | {DATAFLOW_OF[dataflow].time: steps}))
    a, b = operands(gemm)
    clocked = run(dataflow, a, b, rows, cols, False, None, registers)
    assert is_right(clocked, a, b)
    array = model(dataflow, rows, cols, registers=registers)
    assert clocked.cycles == steps + fold_overhead(array, rows, cols)


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans(), REGISTERS)
@settings(max_examples=200)
def test_serial_folds(
    dataflow: str, rows: int, cols: int, gemm: Gemm, used: bool, registers: Registers
) -> None:
    a, b = operands(gemm)
    clocked = run(dataflow, a, b, rows, cols, used, None, registers)
    assert is_right(clocked, a, b)
    array = model(dataflow, rows, cols, False, used, registers)
    assert clocked.cycles == untiled_cycles(array, gemm)


def turns_of(array: ArrayModel, gemm: Gemm) -> list[int]:
    """Cycles from each pipelined fold's start to the next one's, in the clocked array's order."""
    flow = array.dataflow
    pieces = [
        [min(lanes, size - start) for start in range(0, size, lanes)]
        for size, lanes in (
            (getattr(gemm, flow.rows), array.rows),
            (getattr(gemm, flow.cols), array.cols),
        )
    ]
    steps = getattr(gemm, flow.time)
    if array.psums_move:
        order = [(r, c) for c in pieces[1] for r in pieces[0]]
    else:
        order = [(r, c) for r in pieces[0] for c in pieces[1]]
    return [max(steps, int(least_turn(array, r, c))) for r, c in order]


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans(), REGISTERS)
@settings(max_examples=400)
@example("ws", 4, 2, Gemm(6, 9, 6), True, PLAIN)  # the last fold's two rows follow four skewed ones
@example("os", 1, 4, Gemm(2, 5, 1), True, PLAIN)  # the full fold before ends after the narrow one
@example("os", 4, 1, Gemm(5, 2, 1), True, Registers(drain="cols"))  # and its like, turned
@example("ws", 4, 2, Gemm(6, 9, 6), True, Registers(psum=2))
@example("os", 4, 4, Gemm(5, 5, 3), True, Registers(3, 1, "cols", True))
def test_pipelined_folds(
    dataflow: str, rows: int, cols: int, gemm: Gemm, used: bool, registers: Registers
) -> None:
    a, b = operands(gemm)
    array = model(dataflow, rows, cols, True, used, registers)
    clocked = run(dataflow, a, b, rows, cols, used, turns_of(array, gemm), registers)
    assert is_right(clocked, a, b)
    assert clocked.cycles == untiled_cycles(array, gemm)


@given(DATAFLOWS, LANES, LANES, st.tuples(*[st.integers(1, 3)] * 2), st.integers(1, 9), REGISTERS)
@settings(max_examples=300)
def test_pipelined_folds_cannot_start_a_cycle_sooner(
    dataflow: str,
    rows: int,
    cols: int,
    folds: tuple[int, int],
    steps: int,
    registers: Registers,
) -> None:
    """Full folds, so that no lost word is padding."""
    flow = DATAFLOW_OF[dataflow]
    gemm = Gemm(**{flow.rows: rows * folds[0], flow.cols: cols * folds[1], flow.time: steps})
    array, (a, b) = model(dataflow, rows, cols, True, False, registers), operands(gemm)
    sooner = [turn - 1 for turn in turns_of(array, gemm)]
    clocked = run(dataflow, a, b, rows, cols, False, sooner, registers)
    assert is_right(clocked, a, b) == (folds == (1, 1))


# --- Folds of a tile ------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, SIZES, *[st.booleans()] * 4, REGISTERS)
@settings(max_examples=300)
def test_fold_classes_are_the_folds(
    dataflow: str,
    rows: int,
    cols: int,
    gemm: Gemm,
    pipelined: bool,
    used: bool,
    starts: bool,
    ends: bool,
    registers: Registers,
) -> None:
    """Fold by fold, by loops: sizes, whether psums start or end, and the cycles of all."""
    array, flow = model(dataflow, rows, cols, pipelined, used, registers), DATAFLOW_OF[dataflow]
    leaves = rows if registers.drain == "rows" else cols
    exits = registers.psum * rows if array.psums_move else leaves
    walked: dict[tuple[int, int, bool, bool], int] = {}
    cycles = 0
    height, width = getattr(gemm, flow.rows), getattr(gemm, flow.cols)
    for row, col in product(range(0, height, rows), range(0, width, cols)):
        r, c = min(rows, height - row), min(cols, width - col)
        along_k = array.psums_move
        begins = starts and (not along_k or row == 0)
        finishes = ends and (not along_k or row + rows >= height)
        walked[r, c, begins, finishes] = walked.get((r, c, begins, finishes), 0) + 1
        steps = getattr(gemm, flow.time)
        skew = r + c - 2 if used else rows + cols - 2  # a full edge fold takes as long as any
        if not pipelined:
            cycles += steps + skew + exits + registers.mac_stages - 1
        elif array.psums_move:
            cycles += max(steps, registers.psum * (rows - 1) + 1)
        else:
            cycles += max(steps, leaves + (skew if registers.together else 0))
    tile = Extents(gemm.m, gemm.n, gemm.k, starts, ends)
    found: dict[tuple[int, int, bool, bool], int] = {}
    for fold in fold_classes(array, tile):
        key = (fold.extent[flow.rows], fold.extent[flow.cols], bool(fold.starts), bool(fold.ends))
        assert fold.extent[flow.time] == steps_of(dataflow, gemm)
        if fold.count:
            found[key] = found.get(key, 0) + int(fold.count)
    assert found == walked
    assert busy_cycles(array, tile) == cycles
    assert sum(f.count * fold_time(array, f).total for f in fold_classes(array, tile)) == cycles


def test_many_tilings_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(1)
    m, n, k = rng.integers(1, 40, (3, 200))
    ends = rng.integers(0, 2, 200).astype(bool)
    kinds = PLAIN, Registers(3, 2, "cols", True)
    for flow, *overlap, kind in product(DATAFLOW_OF, (False, True), (False, True), kinds):
        plain = model(flow, 8, 5, *overlap, kind)
        slow = replace(plain, buffers=(narrow("psum", "ofmap", rate=3),))
        for array in (plain, slow):
            together = busy_cycles(array, Extents(m, n, k, ends, ends))
            alone = [
                busy_cycles(array, Extents(*map(int, sizes), bool(end), bool(end)))
                for *sizes, end in zip(m, n, k, ends, strict=True)
            ]
            assert np.array_equal(together, alone)


# --- Buffer bandwidth -----------------------------------------------------------------------------


def narrow(*operands: Operand, rate: int, word: int = 1) -> Lanes:
    return Lanes(Fraction(rate), tuple((operand, word) for operand in operands))


def one_fold(m: int, n: int, k: int, starts: bool = True, ends: bool = True) -> FoldClass:
    return FoldClass(1, {"m": m, "n": n, "k": k}, starts, ends)


@pytest.mark.parametrize(
    ("lanes", "fold", "cycles"),
    [
        # ifmap 6 x 4 words at 3 per cycle
        (narrow("ifmap", rate=3), one_fold(6, 5, 4), 8),
        # and filter 4 x 5 words more: 44 / 3 rounded up
        (narrow("ifmap", "filter", rate=3), one_fold(6, 5, 4), 15),
        # ofmap 6 x 5 words once, the psum never leaves
        (narrow("psum", "ofmap", rate=10), one_fold(6, 5, 4), 3),
        # psum out only: 30 words of 4 bytes
        (narrow("psum", "ofmap", rate=10, word=4), one_fold(6, 5, 4, ends=False), 12),
        # psum in and out
        (narrow("psum", rate=10), one_fold(6, 5, 4, starts=False, ends=False), 6),
        # psum in, ofmap out
        (narrow("psum", "ofmap", rate=10), one_fold(6, 5, 4, starts=False), 6),
        # psum in, the ofmap goes to another buffer
        (narrow("psum", rate=10), one_fold(6, 5, 4, starts=False), 3),
        # 24 words at 5/3 per cycle: 14.4
        (Lanes(Fraction(5, 3), (("ifmap", 1),)), one_fold(6, 5, 4), 15),
    ],
)
def test_buffer_cycles_by_hand(lanes: Lanes, fold: FoldClass, cycles: int) -> None:
    array = ArrayModel(4, 5, DATAFLOW_OF["ws"], False, False, (lanes,))
    assert buffer_cycles(array, fold) == cycles


def test_a_slow_buffer_stretches_the_fold() -> None:
    """WS 4x5, 6 steps: the law gives 6 + 2*4 + 5 - 2 = 17 cycles; 24 ifmap words at 1 take 24."""
    array = ArrayModel(4, 5, DATAFLOW_OF["ws"], False, False, (narrow("ifmap", rate=1),))
    time = fold_time(array, one_fold(6, 5, 4))
    assert (time.stream, time.fill_drain, time.buffer) == (6, 11, 7)
    fast = ArrayModel(4, 5, DATAFLOW_OF["ws"], False, False, (narrow("ifmap", rate=2),))
    assert fold_time(fast, one_fold(6, 5, 4)).buffer == 0


@given(
    DATAFLOWS,
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(OPERANDS), min_size=1),
    st.integers(1, 4),
    st.fractions(min_value=Fraction(1, 4), max_value=40, max_denominator=4),
    REGISTERS,
)
@settings(max_examples=400)
def test_a_buffer_left_out_never_limits(
    dataflow: str,
    rows: int,
    cols: int,
    pipelined: bool,
    used: bool,
    held: set[Operand],
    word: int,
    rate: Fraction,
    registers: Registers,
) -> None:
    """Where `_can_limit` says no, no fold of any size on this array waits for the buffer."""
    lanes = Lanes(rate, tuple((operand, word) for operand in sorted(held)))
    flow = DATAFLOW_OF[dataflow]
    array = model(dataflow, rows, cols, pipelined, used, registers)
    if _can_limit(array, lanes):
        return
    array = replace(array, buffers=(lanes,))
    for r, c, steps in product(range(1, rows + 1), range(1, cols + 1), (1, 2, 3, 5, 9, 40, 1000)):
        for starts, ends in product((False, True), repeat=2):
            fold = FoldClass(1, {flow.rows: r, flow.cols: c, flow.time: steps}, starts, ends)
            assert fold_time(array, fold).buffer == 0


def test_can_limit_is_tight_for_a_streamed_operand() -> None:
    """WS streams `rows` ifmap words a cycle: 4 B/cycle keep up with four rows, 3 do not."""
    array = model("ws", 4, 4, pipelined=True)
    assert not _can_limit(array, narrow("ifmap", rate=4))
    assert _can_limit(array, narrow("ifmap", rate=3))


def test_only_limiting_buffers_stay_in_the_model() -> None:
    from accelsim.frontend.hardware_file import load_hardware

    fast = load_hardware("edge_ws")  # 32 B/cycle for 32 rows of int8
    assert array_model(fast).buffers == ()
    slow = load_hardware("edge_ws", ["buffers.ifmap_sram.bandwidth=31 B/cycle"])
    assert array_model(slow).buffers == (Lanes(Fraction(31), (("ifmap", 1),)),)


def test_a_buffer_may_take_half() -> None:
    assert BufferSpace("b", 7, OPERANDS).half == 3
