"""The fold laws: against clocked arrays, against Verilog and against SCALE-Sim."""

import csv
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles.systolic import Matrix, Run, run

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.cost import BufferSpace, Target
from accelsim.lowering.dataflow import (
    DATAFLOW_OF,
    ArrayModel,
    Extents,
    FoldClass,
    Gemm,
    Lanes,
    _can_limit,
    array_model,
    buffer_cycles,
    busy_cycles,
    fold_classes,
    fold_cycles,
    fold_time,
    mapping_efficiency,
    untiled_cycles,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.tasks import gemm_work
from accelsim.lowering.traffic import Sram
from accelsim.network.ops import Window

GOLDEN = Path(__file__).parents[1] / "golden"
DATAFLOWS = st.sampled_from(["os", "ws", "is"])
LANES = st.integers(1, 5)
SIZES = st.builds(Gemm, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def model(
    dataflow: str, rows: int, cols: int, pipelined: bool = False, used: bool = False
) -> ArrayModel:
    return ArrayModel(rows, cols, DATAFLOW_OF[dataflow], pipelined, used)


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


# --- Clocked arrays -------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, st.integers(1, 9))
@settings(max_examples=60)
def test_fold_law_is_the_clocked_array(dataflow: str, rows: int, cols: int, steps: int) -> None:
    sizes = {DATAFLOW_OF[dataflow].rows: rows, DATAFLOW_OF[dataflow].cols: cols}
    gemm = Gemm(**(sizes | {DATAFLOW_OF[dataflow].time: steps}))
    a, b = operands(gemm)
    clocked = run(dataflow, a, b, rows, cols, used=False, interval=None)
    assert is_right(clocked, a, b)
    assert clocked.cycles == fold_cycles(rows, cols, steps)


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans())
@settings(max_examples=150)
def test_serial_folds(dataflow: str, rows: int, cols: int, gemm: Gemm, used: bool) -> None:
    a, b = operands(gemm)
    clocked = run(dataflow, a, b, rows, cols, used, interval=None)
    assert is_right(clocked, a, b)
    assert clocked.cycles == untiled_cycles(model(dataflow, rows, cols, False, used), gemm)


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans())
@settings(max_examples=200)
@example("ws", 4, 2, Gemm(6, 9, 6), True)  # the last fold's two rows follow four skewed ones
@example("os", 1, 4, Gemm(2, 5, 1), True)  # the full fold before ends after the last, narrow one
def test_pipelined_folds(dataflow: str, rows: int, cols: int, gemm: Gemm, used: bool) -> None:
    a, b = operands(gemm)
    interval = max(steps_of(dataflow, gemm), rows)
    clocked = run(dataflow, a, b, rows, cols, used, interval)
    assert is_right(clocked, a, b)
    assert clocked.cycles == untiled_cycles(model(dataflow, rows, cols, True, used), gemm)


@given(DATAFLOWS, LANES, LANES, SIZES)
@settings(max_examples=150)
def test_pipelined_folds_cannot_start_a_cycle_sooner(
    dataflow: str, rows: int, cols: int, gemm: Gemm
) -> None:
    array, a, b = model(dataflow, rows, cols, True), *operands(gemm)
    interval = max(steps_of(dataflow, gemm), rows)
    clocked = run(dataflow, a, b, rows, cols, False, interval - 1)
    one_fold = folds_of(array, gemm) == 1
    assert is_right(clocked, a, b) == one_fold


# --- Verilog --------------------------------------------------------------------------------------


def table(name: str) -> Iterator[dict[str, str]]:
    with (GOLDEN / name).open(newline="") as file:
        yield from csv.DictReader(file)


def rtl_rows(mode: str) -> list[tuple[int, int, Gemm, int, int]]:
    """(rows, cols, GEMM, folds, cycles) of each row of a mode."""
    columns = ("rows", "cols", "M", "N", "K", "folds", "total_cycles")
    picked = [
        tuple(int(row[column]) for column in columns)
        for row in table("rtl_systolic.csv")
        if row["mode"] == mode
    ]
    return [(r, c, Gemm(m, n, k), folds, cycles) for r, c, m, n, k, folds, cycles in picked]


@pytest.mark.parametrize(("mode", "used"), [("os_fullsweep", False), ("os_partial", True)])
def test_verilog_output_stationary(mode: str, used: bool) -> None:
    rows = rtl_rows(mode)
    assert len(rows) == 30
    for height, width, gemm, folds, cycles in rows:
        array = model("os", height, width, used=used)
        assert folds_of(array, gemm) == folds
        assert untiled_cycles(array, gemm) == cycles


def test_verilog_weight_stationary_registers_the_psum_twice() -> None:
    """Its PE has two registers per hop, so every fold takes `rows` more than our law."""
    rows = rtl_rows("ws")
    assert len(rows) == 30
    for height, width, gemm, folds, cycles in rows:
        array = model("ws", height, width)
        assert folds_of(array, gemm) == folds
        assert untiled_cycles(array, gemm) + height * folds == cycles


def test_verilog_overlapped_drain_is_the_pipelined_array() -> None:
    """Two more registers at the edges; the drain must fit beside the next fold's streaming."""
    rows = rtl_rows("os_overlapped_drain")
    assert len(rows) == 285
    outside = []
    for height, width, gemm, folds, cycles in rows:
        if folds > 1 and gemm.k < height + 2 * width - 2:
            outside.append((gemm, folds))
            continue
        assert untiled_cycles(model("os", height, width, pipelined=True), gemm) + 2 == cycles
    assert outside == [(Gemm(3, 5, 7), 2)]


# --- SCALE-Sim ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [pytest.param(tuple(table("scalesim_v3_compute.csv")), id="351")])
def test_scalesim(row: tuple[dict[str, str], ...]) -> None:
    assert len(row) == 351
    for case in row:
        _hold_against_scalesim(case)


def _hold_against_scalesim(case: dict[str, str]) -> None:
    gemm = Gemm(int(case["M"]), int(case["N"]), int(case["K"]))
    rows, cols, flow = int(case["rows"]), int(case["cols"]), case["dataflow"]
    array = model(flow, rows, cols)
    folds = folds_of(array, gemm)
    short = rows * folds if flow == "os" else 0  # it writes results before it reads operands
    assert untiled_cycles(array, gemm) - short == int(case["cycles"])
    efficiency = 100 * mapping_efficiency(array, gemm)
    assert efficiency == pytest.approx(float(case["mapping_efficiency_pct"]), rel=1e-12)
    words = untiled_words(array, gemm)
    assert words.ifmap_reads == int(case["sram_ifmap_reads"])
    assert words.filter_reads == int(case["sram_filter_reads"])
    assert words.ofmap_writes == gemm.m * gemm.n
    # WS, IS: each fold along k writes its psums (and never reads them back);
    # OS: the trace counts the skew of every fold too.
    extra = folds * (rows + cols) if flow == "os" else words.psum_writes
    assert words.ofmap_writes + extra == int(case["sram_ofmap_writes"])
    assert words.psum_reads == words.psum_writes


def untiled_words(array: ArrayModel, gemm: Gemm) -> Sram:
    kernel = GemmKernel(1, 1, gemm.n, gemm.k, Window(gemm.m, 1), Window(1, 1))
    target = Target(array, 1, 1, (1, 1, 1, 1), (), Fraction(1), 0, 1)
    return gemm_work(kernel, target, 1, Extents(gemm.m, gemm.n, gemm.k)).sram


# --- Folds of a tile ------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans(), st.booleans(), st.booleans(), st.booleans())
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
) -> None:
    """Fold by fold, by loops: sizes, whether psums start or end, and the cycles of all."""
    array, flow = model(dataflow, rows, cols, pipelined, used), DATAFLOW_OF[dataflow]
    walked: dict[tuple[int, int, bool, bool], int] = {}
    cycles = 0
    height, width = getattr(gemm, flow.rows), getattr(gemm, flow.cols)
    for row, col in product(range(0, height, rows), range(0, width, cols)):
        r, c = min(rows, height - row), min(cols, width - col)
        along_k = flow.rows == "k"
        begins = starts and (not along_k or row == 0)
        finishes = ends and (not along_k or row + rows >= height)
        walked[r, c, begins, finishes] = walked.get((r, c, begins, finishes), 0) + 1
        steps = getattr(gemm, flow.time)
        if pipelined:
            cycles += max(steps, rows)
        else:  # a full edge fold takes as long as one on the whole array
            cycles += steps + rows + ((r + c) if used else (rows + cols)) - 2
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
    for flow, pipelined, used in product(DATAFLOW_OF, (False, True), (False, True)):
        plain = model(flow, 8, 5, pipelined, used)
        slow = ArrayModel(8, 5, plain.dataflow, pipelined, used, (narrow("psum", "ofmap", rate=3),))
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
) -> None:
    """Where `_can_limit` says no, no fold of any size on this array waits for the buffer."""
    lanes = Lanes(rate, tuple((operand, word) for operand in sorted(held)))
    flow = DATAFLOW_OF[dataflow]
    if _can_limit(ArrayModel(rows, cols, flow, pipelined, used), lanes):
        return
    array = ArrayModel(rows, cols, flow, pipelined, used, (lanes,))
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
