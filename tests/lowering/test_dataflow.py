"""The fold laws against clocked arrays; tests/validation holds them against Verilog."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from math import ceil

import numpy as np
import pytest
from drawing import drawn
from hypothesis import example, given
from hypothesis import strategies as st
from oracles.systolic import Matrix, Registers, Run, run

from accelsim.hardware import BEST, OPERANDS, SYSTOLIC, Operand
from accelsim.lowering.dataflow import (
    DATAFLOW_OF,
    ArrayModel,
    Axis,
    Cycles,
    Extents,
    FoldClass,
    Gemm,
    Lanes,
    Pieces,
    all_cycles,
    array_model,
    buffer_cycles,
    busy_cycles,
    fold_classes,
    fold_count,
    fold_overhead,
    fold_time,
    least_turn,
    leaves_unfinished,
    mapping_efficiency,
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
TAPS = st.integers(1, 4)


def model(
    dataflow: str,
    rows: int,
    cols: int,
    pipelined: bool = False,
    used: bool = False,
    registers: Registers = PLAIN,
    by_tap: bool = False,
) -> ArrayModel:
    return ArrayModel(
        *(rows, cols, DATAFLOW_OF[dataflow], pipelined, used),
        drain=registers.drain,
        drain_start="array" if registers.together else "lane",
        mac_stages=registers.mac_stages,
        psum_registers=registers.psum,
        by_tap=by_tap,
    )


def operands(gemm: Gemm) -> tuple[Matrix, Matrix]:
    """ifmap and filter of positive words, so that a lost product always shows."""
    rng = np.random.default_rng(gemm.m * 10_000 + gemm.n * 100 + gemm.k)
    return rng.integers(1, 100, (gemm.m, gemm.k)), rng.integers(1, 100, (gemm.k, gemm.n))


def with_taps(gemm: Gemm, taps: int) -> Gemm:
    """The GEMM with its k once for every tap."""
    return Gemm(gemm.m, gemm.n, gemm.k * taps, taps)


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
    assert tuple(flow for flow in DATAFLOW_OF if flow != BEST) == SYSTOLIC
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


@given(DATAFLOWS, LANES, LANES, SIZES, TAPS, st.booleans())
@drawn(100)
def test_sums_leave_unfinished_where_a_fold_says_so(
    dataflow: str, rows: int, cols: int, gemm: Gemm, taps: int, by_tap: bool
) -> None:
    array, gemm = model(dataflow, rows, cols, by_tap=by_tap), with_taps(gemm, taps)
    folds = fold_classes(array, gemm.whole)
    unfinished = any(fold.count and not fold.ends for fold in folds)
    assert leaves_unfinished(array, gemm.k, gemm.taps) == unfinished


# --- Clocked arrays -------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, st.integers(1, 9), REGISTERS)
@drawn(100)
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
@drawn(200)
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
    taps = gemm.taps if array.by_tap else 1

    def pieces(axis: Axis, lanes: int) -> list[int]:
        parts = taps if axis == "k" else 1
        size = getattr(gemm, axis) // parts
        return [min(lanes, size - start) for start in range(0, size, lanes)] * parts

    along_rows, along_cols = pieces(flow.rows, array.rows), pieces(flow.cols, array.cols)
    steps = getattr(gemm, flow.time)
    if array.psums_move:
        order = [(r, c) for c in along_cols for r in along_rows]
    else:
        order = [(r, c) for r in along_rows for c in along_cols]
    return [max(steps, int(least_turn(array, r, c))) for r, c in order]


@given(DATAFLOWS, LANES, LANES, SIZES, st.booleans(), REGISTERS)
@drawn(400)
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
@drawn(300)
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


# --- Taps one after another -----------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, SIZES, TAPS, st.booleans(), st.booleans(), REGISTERS)
@drawn(400)
@example("ws", 4, 3, Gemm(2, 3, 1), 4, True, True, PLAIN)  # one row of each fold, four folds
@example("ws", 2, 3, Gemm(2, 7, 3), 2, True, True, PLAIN)  # two rows, one row; twice
@example("is", 3, 2, Gemm(9, 1, 4), 3, True, True, Registers(psum=2))
def test_taps_one_after_another(
    dataflow: str,
    rows: int,
    cols: int,
    gemm: Gemm,
    taps: int,
    pipelined: bool,
    used: bool,
    registers: Registers,
) -> None:
    array, gemm = (
        model(dataflow, rows, cols, pipelined, used, registers, True),
        with_taps(gemm, taps),
    )
    a, b = operands(gemm)
    turns = turns_of(array, gemm) if pipelined else None
    clocked = run(dataflow, a, b, rows, cols, used, turns, registers, taps)
    assert is_right(clocked, a, b)
    assert clocked.cycles == untiled_cycles(array, gemm)


@given(DATAFLOWS, LANES, st.integers(1, 7), st.integers(1, 3), st.integers(1, 3))
@drawn(60)
def test_a_convolution_by_tap(
    dataflow: str, lanes: int, channels: int, down: int, across: int
) -> None:
    """A window of down x across over a 5 x 4 ifmap: each tap a GEMM of the shifted ifmap."""
    rng = np.random.default_rng(channels)
    ifmap = rng.integers(1, 50, (channels, 5, 4))
    filters = rng.integers(1, 50, (6, channels, down, across))
    height, width = 5 - down + 1, 4 - across + 1
    right = sum(
        np.einsum("cpq,kc->kpq", ifmap[:, r : r + height, s : s + width], filters[:, :, r, s])
        for r, s in product(range(down), range(across))
    )
    taps = [(r, s) for r in range(down) for s in range(across)]
    shifted = [ifmap[:, r : r + height, s : s + width].reshape(channels, -1).T for r, s in taps]
    a, b = np.hstack(shifted), np.vstack([filters[:, :, r, s].T for r, s in taps])
    clocked = run(dataflow, a, b, lanes, 3, True, None, PLAIN, len(taps))
    assert np.array_equal(clocked.product.T.reshape(right.shape), right)
    array = model(dataflow, lanes, 3, used=True, by_tap=True)
    gemm = Gemm(len(a), 6, len(b), len(taps))
    assert clocked.cycles == untiled_cycles(array, gemm)


@pytest.mark.parametrize(
    ("dataflow", "by_tap", "folds", "share"),
    [
        # k = 9 taps of 3 channels on 8 rows: 27 / 8 rounded up, or 9 folds; n = 4 on 4 columns
        ("ws", False, 4, 27 / 32),
        ("ws", True, 9, 3 / 8),
        # m = 10 on 4 columns: three times as many folds, the last half empty
        ("is", True, 27, 3 / 8 * 10 / 12),
        # m = 10 on 8 rows, n = 4 on 4 columns; k is time
        ("os", True, 2, 10 / 16),
    ],
)
def test_pes_at_work_by_hand(dataflow: str, by_tap: bool, folds: int, share: float) -> None:
    array, gemm = model(dataflow, 8, 4, by_tap=by_tap), Gemm(10, 4, 27, 9)
    assert fold_count(array, gemm) == folds
    assert mapping_efficiency(array, gemm) == pytest.approx(share, rel=1e-12)


def test_the_key_of_a_hardware_file() -> None:
    from accelsim.frontend.hardware_file import load_hardware

    by_tap = {
        name: array_model(load_hardware(name)).by_tap
        for name in ("gemmini_16x16", "tpu_v1", "edge_ws", "scalesim_default")
    }
    assert by_tap == {
        "gemmini_16x16": True,
        "tpu_v1": True,
        "edge_ws": False,
        "scalesim_default": False,
    }
    assert array_model(load_hardware("edge_ws", ["array.reduction=tap"])).by_tap


# --- Folds of a tile ------------------------------------------------------------------------------


@given(DATAFLOWS, LANES, LANES, SIZES, TAPS, *[st.booleans()] * 5, REGISTERS)
@drawn(400)
def test_fold_classes_are_the_folds(
    dataflow: str,
    rows: int,
    cols: int,
    gemm: Gemm,
    taps: int,
    by_tap: bool,
    pipelined: bool,
    used: bool,
    starts: bool,
    ends: bool,
    registers: Registers,
) -> None:
    """Fold by fold, by loops: sizes, whether psums start or end, and the cycles of all."""
    array = model(dataflow, rows, cols, pipelined, used, registers, by_tap)
    gemm, flow = with_taps(gemm, taps), DATAFLOW_OF[dataflow]
    leaves = rows if registers.drain == "rows" else cols
    exits = registers.psum * rows if array.psums_move else leaves
    walked: dict[tuple[int, int, bool, bool], int] = {}
    cycles = 0
    height, width = getattr(gemm, flow.rows), getattr(gemm, flow.cols)
    parts = taps if by_tap and array.psums_move else 1
    starting = [(part, at) for part in range(parts) for at in range(0, height // parts, rows)]
    for (part, row), col in product(starting, range(0, width, cols)):
        r, c = min(rows, height // parts - row), min(cols, width - col)
        begins = starts and (not array.psums_move or (part, row) == starting[0])
        finishes = ends and (not array.psums_move or (part, row) == starting[-1])
        walked[r, c, begins, finishes] = walked.get((r, c, begins, finishes), 0) + 1
        steps = getattr(gemm, flow.time)
        skew = r + c - 2 if used else rows + cols - 2  # a full edge fold takes as long as any
        if not pipelined:
            cycles += steps + skew + exits + registers.mac_stages - 1
        elif array.psums_move:
            cycles += max(steps, registers.psum * (rows - 1) + 1)
        else:
            cycles += max(steps, leaves + (skew if registers.together else 0))
    tile = Extents(gemm.m, gemm.n, gemm.k, starts, ends, taps)
    found: dict[tuple[int, int, bool, bool], int] = {}
    for fold in fold_classes(array, tile):
        key = (fold.extent[flow.rows], fold.extent[flow.cols], bool(fold.starts), bool(fold.ends))
        assert fold.extent[flow.time] == steps_of(dataflow, gemm)
        assert fold.count >= 0
        if fold.count:
            found[key] = found.get(key, 0) + int(fold.count)
    assert found == walked
    assert busy_cycles(array, tile) == cycles
    assert sum(f.count * fold_time(array, f).total for f in fold_classes(array, tile)) == cycles


def test_many_tilings_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(1)
    m, n, channels = rng.integers(1, 40, (3, 30))
    taps = rng.integers(1, 5, 30)
    ends = rng.integers(0, 2, 30).astype(bool)
    kinds = PLAIN, Registers(3, 2, "cols", True)
    tilings = list(zip(*(each.tolist() for each in (m, n, channels, ends, taps)), strict=True))
    for flow, *overlap, by_tap, kind in product(DATAFLOW_OF, *[(False, True)] * 3, kinds):
        plain = model(flow, 8, 5, *overlap, kind, by_tap)
        slow = replace(plain, buffers=(narrow("psum", "ofmap", rate=3),))
        for array in (plain, slow):
            together = busy_cycles(array, Extents(m, n, channels * taps, ends, ends, taps))
            alone = [
                busy_cycles(array, Extents(i, j, c * t, end, end, t)) for i, j, c, end, t in tilings
            ]
            assert np.array_equal(together, alone)


@given(st.data(), DATAFLOWS, REGISTERS, st.booleans(), st.booleans(), st.integers(1, 3))
@drawn(60)
def test_pieces_of_all_tilings_are_their_tiles_one_by_one(
    data: st.DataObject,
    dataflow: str,
    registers: Registers,
    pipelined: bool,
    by_tap: bool,
    rate: int,
) -> None:
    """Tilings as an open grid, cut along m, n and k, with ports that are too slow for them."""
    array = model(dataflow, 3, 2, pipelined, data.draw(st.booleans()), registers, by_tap)
    array = replace(array, buffers=(narrow("ifmap", "psum", rate=rate),), piece=2, least_piece=3)
    sizes = st.lists(st.integers(1, 9), min_size=2, max_size=2)

    def axis(*shape: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Two sizes for each tiling, each some times or not at all."""
        drawn_sizes = np.array(data.draw(st.tuples(*[sizes] * 2))).reshape(2, *shape)
        counts = np.array([[2, 1], data.draw(st.sampled_from([[0, 1], [1, 0]]))])
        return list(zip(drawn_sizes, counts.reshape(2, *shape), strict=True))

    taps, lines = data.draw(TAPS), data.draw(st.integers(1, 3))
    m: Pieces = [(Extents(size * lines, 1, 1, lines=lines), count) for size, count in axis(2, 1)]
    n: Pieces = [(Extents(1, size, 1), count) for size, count in axis(1, 2)]
    k: Pieces = [
        (Extents(1, 1, size * taps, ends, not ends, taps), count)
        for ends, (size, count) in zip((True, False), axis(1, 2), strict=True)
    ]
    together = all_cycles(array, m, n, k)
    assert isinstance(together, np.ndarray)
    for at in np.ndindex(2, 2):

        def here(values: Cycles, at: tuple[int, ...] = at) -> int:
            return int(np.broadcast_to(values, (2, 2))[at])

        cycles = 0
        for (pixels, times), (filters, by), (channels, again) in product(m, n, k):
            count = here(times) * here(by) * here(again)
            tile = replace(
                channels, m=here(pixels.m), n=here(filters.n), k=here(channels.k), lines=lines
            )
            cycles += count * int(busy_cycles(array, tile))
        assert together[at] == cycles


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


def test_only_limiting_buffers_stay_in_the_model() -> None:
    from accelsim.frontend.hardware_file import load_hardware

    fast = load_hardware("edge_ws")  # 32 B/cycle for 32 rows of int8
    assert array_model(fast).buffers == ()
    slow = load_hardware("edge_ws", ["buffers.ifmap_sram.bandwidth=31 B/cycle"])
    assert array_model(slow).buffers == (Lanes(Fraction(31), (("ifmap", 1),)),)


def test_a_buffer_may_take_half() -> None:
    assert BufferSpace("b", 7, OPERANDS).half == 3
