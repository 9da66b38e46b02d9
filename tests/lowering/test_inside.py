"""Moves inside the array: against the watched registers of a clocked array, and by hand."""

import numpy as np
import pytest
from drawing import drawn
from hypothesis import example, given
from hypothesis import strategies as st
from oracles.moves import watched

from accelsim.lowering.dataflow import DATAFLOW_OF, ArrayModel, FoldClass, Gemm
from accelsim.lowering.gemm_tasks import gemm_work
from accelsim.lowering.inside import fold_inside
from accelsim.lowering.traffic import Inside

LANES = st.integers(1, 5)
SIZES = st.builds(Gemm, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
TAPS = st.integers(1, 3)


def of_gemm(model: ArrayModel, gemm: Gemm) -> Inside:
    return gemm_work(model, 1, gemm.whole).inside


@given(st.sampled_from(["os", "ws", "is"]), LANES, LANES, SIZES, st.booleans(), TAPS, st.booleans())
@drawn(200)
@example("ws", 5, 1, Gemm(1, 1, 1), False, 1, False)  # one PE of a column: sums pass five rows
@example("os", 1, 1, Gemm(2, 2, 1), True, 1, False)
@example("ws", 4, 2, Gemm(3, 2, 6), False, 3, True)
def test_counts_are_those_of_the_clocked_array(
    dataflow: str, rows: int, cols: int, gemm: Gemm, pipelined: bool, taps: int, by_tap: bool
) -> None:
    gemm = Gemm(gemm.m, gemm.n, gemm.k * taps, taps)
    rng = np.random.default_rng(7)
    a, b = rng.integers(1, 9, (gemm.m, gemm.k)), rng.integers(1, 9, (gemm.k, gemm.n))
    seen = watched(dataflow, a, b, rows, cols, pipelined, taps if by_tap else 1)
    model = ArrayModel(rows, cols, DATAFLOW_OF[dataflow], pipelined, False, by_tap=by_tap)
    assert of_gemm(model, gemm) == Inside(
        register_accesses=seen["operand accesses"] + seen["sum accesses"],
        network_words=seen["operand moves"] + seen["sum moves"],
        psum_register_accesses=seen["sum accesses"],
        psum_network_words=seen["sum moves"],
    )


@pytest.mark.parametrize(
    ("dataflow", "starts", "expected"),
    [
        # ws, k = 2 of 3 rows, n = 2 columns, m = 4 steps: 16 MACs. Filter: row 0 written once, row
        # 1 twice and moved once, 2 columns: 6 + 2; read by each MAC 16. ifmap: 16 written and
        # read, 2*1*4 = 8 moved on. Sums: 4*2 through 3 rows, written and read: 48; moved 2*8.
        ("ws", True, Inside(6 + 2 + 16 + 32 + 48, 2 + 8 + 16, 48, 16)),
        ("ws", False, Inside(104, 26, 48, 16)),  # an earlier fold's psum enters at the edge
        # os, m = 2 of 3 rows, n = 2 columns, k = 4 steps: 16 MACs. Operands 4*16; moved 2*1*4 and
        # 1*2*4. Sums: 16 writes and 12 reads; out of row 0 through 3, of row 1 through 2: 5 reads
        # and 3 writes a column: 16, of these moves 6.
        ("os", True, Inside(64 + 28 + 16, 16 + 6, 44, 6)),
        # the sums come in: row 0 written once, row 1 twice and moved once, 2 columns: 6 + 2; and
        # the first additions read them: 4
        ("os", False, Inside(64 + 28 + 16 + 8 + 4, 16 + 6 + 2, 56, 8)),
    ],
)
def test_one_fold_by_hand(dataflow: str, starts: bool, expected: Inside) -> None:
    flow = DATAFLOW_OF[dataflow]
    fold = FoldClass(1, {flow.rows: 2, flow.cols: 2, flow.time: 4}, starts, True)
    assert fold_inside(ArrayModel(3, 2, flow, False, False), fold) == expected


@given(LANES, LANES, SIZES, st.booleans())
def test_draining_along_the_columns_is_the_array_turned_over(
    rows: int, cols: int, gemm: Gemm, pipelined: bool
) -> None:
    flow = DATAFLOW_OF["os"]
    down = of_gemm(ArrayModel(rows, cols, flow, pipelined, False), gemm)
    turned = ArrayModel(cols, rows, flow, pipelined, False, drain="cols")
    assert of_gemm(turned, Gemm(gemm.n, gemm.m, gemm.k)) == down


def test_a_sum_is_written_and_read_in_every_psum_register() -> None:
    """The ws tile of above, 4*2 sums through 3 rows of 2 registers: 48 accesses more."""
    extents = {"m": 4, "n": 2, "k": 2}
    once, twice = (
        fold_inside(
            ArrayModel(3, 2, DATAFLOW_OF["ws"], False, False, psum_registers=registers),
            FoldClass(1, extents, True, True),  # type: ignore[arg-type]
        )
        for registers in (1, 2)
    )
    assert twice.psum_register_accesses == once.psum_register_accesses + 48
    assert twice.network_words == once.network_words
