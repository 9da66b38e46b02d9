"""The row-stationary pass: its words, MACs and cycles against a set walked PE by PE."""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import ceil

import numpy as np
import pytest
from cases import FAST, row_array
from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles.row_pass import Geometry, Matrix, Network, PassClock, Port, Walked, convolved, walk

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.dataflow import Lanes
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import (
    Mapping,
    Pass,
    PassTime,
    PassWords,
    RowShape,
    RowStationary,
    active_pes,
    pass_time,
    pass_words,
    row_shape,
    whole_rows,
)
from accelsim.lowering.target import target_of
from accelsim.lowering.task import spans
from accelsim.network.ops import Window
from accelsim.validation.eyeriss import kernels, published_mappings

STEPS = st.tuples(st.integers(1, 3), st.integers(1, 2))  # stride, dilation


def geometries(most: int = 3) -> st.SearchStrategy[Geometry]:
    """Passes of up to `most` along each axis, with any replication."""
    size = st.integers(1, most)
    return st.builds(
        Geometry,
        *(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), size, size),
        *(size, size, st.integers(1, 3), st.integers(1, 3), STEPS, STEPS),
    )


def window(outputs: int, kernel: int, steps: tuple[int, int]) -> Window:
    """The window that makes `outputs` of an axis without padding."""
    stride, dilation = steps
    return Window((outputs - 1) * stride + (kernel - 1) * dilation + 1, kernel, stride, dilation)


def kernel_of(work: Geometry) -> GemmKernel:
    """The layer of which `work` is the only pass."""
    rows = window(work.rows, work.set_rows, work.row)
    cols = window(work.cols, work.taps, work.col)
    return GemmKernel(work.images, 1, work.filters, work.channels, rows, cols)


def pass_of(work: Geometry) -> Pass:
    sizes = (work.images, work.rows, work.cols, work.channels, work.filters)
    return Pass(*sizes, work.r, work.t)


def shape_of(work: Geometry) -> RowShape:
    """How it looks to PEs whose spads and rows are enough for whole filters."""
    return whole_shape(row_array((8, 8), (8, 64, 8)), kernel_of(work))


def whole_shape(model: RowStationary, kernel: GemmKernel) -> RowShape:
    """How a whole window looks to the PEs."""
    return row_shape(model, kernel.windows, kernel.rows.kernel, kernel.cols.kernel)


def operands(work: Geometry, seed: int = 0) -> tuple[Matrix, Matrix, Matrix]:
    """Ifmap, filters and psums of earlier passes: small random integers."""
    rng = np.random.default_rng(seed)
    filters = (work.filters, work.channels, work.set_rows, work.taps)
    psums = (work.images, work.filters, work.rows, work.cols)
    return tuple(rng.integers(-9, 10, shape) for shape in (work.ifmap_shape, filters, psums))  # type: ignore[return-value]


def walked(work: Geometry) -> Walked:
    return walk(work, *operands(work))


# --- Words and MACs -------------------------------------------------------------------------------


@given(geometries())
@drawn(300)
def test_what_a_pass_moves_and_does_is_what_its_pes_do(work: Geometry) -> None:
    """Ifmap rows come as they lie in the buffer, from the first column needed to the last."""
    seen, shape = walked(work), shape_of(work)
    words = pass_words(shape, pass_of(work))
    assert shape.pieces == 1
    assert words.filter == len(seen.filters)
    assert words.psum == seen.psums_in == seen.psums_out
    assert words.ifmap == seen.ifmap_rectangles
    if all(
        stride <= kernel and dilation == 1
        for kernel, (stride, dilation) in ((work.set_rows, work.row), (work.taps, work.col))
    ):
        assert words.ifmap == len(seen.ifmap)  # windows that leave no gap
    assert pass_time(row_array(), shape, pass_of(work), words).stream == max(seen.macs.values())
    assert sum(seen.macs.values()) == kernel_of(work).macs


@given(geometries())
@drawn(100)
def test_a_pass_computes_the_convolution(work: Geometry) -> None:
    ifmap, weights, psums = operands(work)
    expected = convolved(work, ifmap, weights) + psums
    assert (walk(work, ifmap, weights, psums).psums == expected).all()


@given(geometries())
@drawn(100)
def test_a_pe_keeps_one_filter_row_and_one_ifmap_row_of_each_plane(work: Geometry) -> None:
    """What the spads must hold: p*q*S weights, and windows of q ifmap rows of S words."""
    seen = walked(work)
    q, p = -(-work.channels // work.r), -(-work.filters // work.t)
    assert max(map(len, seen.filter_spads.values())) == p * q * work.taps
    assert max(map(len, seen.ifmap_rows.values())) == work.images * q
    sets = min(work.r, work.channels) * min(work.t, work.filters)
    assert len(seen.macs) == sets * work.set_rows * work.rows


def test_active_pes_by_hand() -> None:
    """CONV1 of AlexNet on Eyeriss: 11 filter rows, 7 ofmap rows, one set above, two beside."""
    rows = Window(227, 11, 4)
    model = row_array((12, 14), (12, 224, 24))
    kernel = GemmKernel(4, 1, 96, 3, rows, rows)
    mapping = whole_rows(kernel, 96, 1, 7, 16, 1, 1, 2)
    assert active_pes(whole_shape(model, kernel), mapping) == 154


LAYERS = st.builds(
    lambda filters, channels, rows, cols, kernel, row, col: GemmKernel(
        1, 1, filters, channels, window(rows, kernel[0], row), window(cols, kernel[1], col)
    ),
    *(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    *(st.tuples(st.integers(1, 5), st.integers(1, 5)), STEPS, STEPS),
)


@given(LAYERS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@drawn(100)
def test_pieces_of_filters_and_blocks_of_channels_add_up(
    kernel: GemmKernel, rows: int, spad: int, channels: int
) -> None:
    """Filters taller than the array or longer than the spad: piece after piece, block by block."""
    shape = whole_shape(row_array((rows, 3), (spad, 64, 3)), kernel)
    whole = whole_of(kernel)
    ifmap, weights, _ = operands(whole)
    psums = np.zeros_like(convolved(whole, ifmap, weights))
    pieces = list(
        product(spans(kernel.rows.kernel, shape.set_rows), spans(kernel.cols.kernel, shape.taps))
    )
    assert len(pieces) == shape.pieces
    for (down, across), block in product(pieces, spans(kernel.channels, channels)):
        work = replace(whole, set_rows=down.size, taps=across.size, channels=block.size, r=2)
        top, left = whole.place(down.start, 0, 0, across.start)
        part = ifmap[:, block.slice, top:, left:]
        seen = walk(work, part, weights[:, block.slice, down.slice, across.slice], psums)
        psums = seen.psums
        assert down.size <= rows
        assert across.size <= spad
        full = (down.size, across.size) == (shape.set_rows, shape.taps)
        as_said(seen, pass_words(shape, pass_of(work)), full)
    assert (psums == convolved(whole, ifmap, weights)).all()


def whole_of(kernel: GemmKernel) -> Geometry:
    """The layer as one pass of one set."""
    return Geometry(
        *(kernel.batch, kernel.filters, kernel.channels, kernel.rows.outputs, kernel.cols.outputs),
        *(kernel.rows.kernel, kernel.cols.kernel, 1, 1),
        (kernel.rows.stride, kernel.rows.dilation),
        (kernel.cols.stride, kernel.cols.dilation),
    )


def as_said(seen: Walked, words: PassWords, full: bool) -> None:
    """A `full` piece moves what the law says, and a smaller one at an edge no more."""
    for moved, said in ((len(seen.filters), words.filter), (seen.ifmap_rectangles, words.ifmap)):
        assert moved == said if full else moved <= said
    assert seen.psums_in == words.psum


# --- Cycles ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """Cycles that each resource needs for one column of the ofmap, all images alike."""

    macs: int
    ifmap: Fraction
    psums_in: Fraction
    psums_out: Fraction

    @property
    def leaving(self) -> int:
        """Cycles until the last column's psums are out."""
        return ceil(self.psums_out)


def column_of(model: RowStationary, work: Geometry) -> Column:
    height = work.ifmap_shape[2] * work.channels
    psums = work.filters * work.rows
    return Column(
        -(-work.channels // work.r) * -(-work.filters // work.t) * work.taps,
        height * work.col[0] / model.ifmap_rate,
        psums / model.psum_in_rate,
        psums / model.psum_out_rate,
    )


def clocked(model: RowStationary, work: Geometry) -> int:
    """Cycles of the pass, stepped."""
    ports = [(Port(lanes.bytes_per_cycle, 8), dict(lanes.word_bytes)) for lanes in model.buffers]

    def network(operand: str, rate: Fraction) -> Network:
        held = [(port, words[operand]) for port, words in ports if operand in words]
        return Network(rate, held[0][1] if held else 1, [port for port, _ in held])

    height = work.ifmap_shape[2] * work.channels
    extent = (work.taps - 1) * work.col[1] + 1
    image = [height * extent] + [height * work.col[0]] * (work.cols - 1)
    return PassClock(
        *(work.filters * work.channels * work.set_rows * work.taps, image * work.images),
        *(column_of(model, work).macs, work.filters * work.rows),
        min(work.r, work.channels) * work.set_rows * model.stages,
        network("filter", model.filter_rate),
        network("ifmap", model.ifmap_rate),
        network("psum", model.psum_in_rate),
        network("psum", model.psum_out_rate),
        [port for port, _ in ports],
    ).cycles()


def law(model: RowStationary, work: Geometry) -> PassTime:
    shape, work_of = shape_of(work), pass_of(work)
    return pass_time(model, shape, work_of, pass_words(shape, work_of))


UNDILATED = geometries(4).map(lambda work: replace(work, col=(work.col[0], 1)))
WHOLE_RATES = st.tuples(*[st.sampled_from([FAST, Fraction(1), Fraction(1, 2), Fraction(1, 3)])] * 4)
RATES = st.tuples(*[st.sampled_from([FAST, Fraction(4), Fraction(5, 2), Fraction(2, 3)])] * 4)


@given(UNDILATED, WHOLE_RATES, st.integers(1, 3))
@drawn(300)
def test_the_slowest_resource_sets_the_pace(
    work: Geometry, rates: tuple[Fraction, Fraction, Fraction, Fraction], stages: int
) -> None:
    """One image: columns follow each other at its pace, then the last one's MACs and psums.

    The psums of two columns are there before the first window is.
    """
    work = replace(work, images=1)
    model = row_array(rates=rates, stages=stages)
    column, time = column_of(model, work), law(model, work)
    chain = min(work.r, work.channels) * work.set_rows * stages
    assume(time.fill - chain >= 2 * column.psums_in)
    pace = max(column.macs, column.ifmap, column.psums_out)
    last = max((work.cols - 1) * pace, (work.cols - 2) * column.psums_in)
    stepped = clocked(model, work)
    assert stepped == time.fill + last + column.macs + column.leaving
    if column.macs >= max(pace, column.psums_in):
        assert stepped == time.total + column.leaving


@given(UNDILATED, RATES, st.integers(1, 3))
@drawn(300)
def test_the_law_is_within_one_column_of_the_clock(
    work: Geometry, rates: tuple[Fraction, Fraction, Fraction, Fraction], stages: int
) -> None:
    """The law leaves out that the last column's MACs follow its last word and its psums those.

    It charges the psums of two columns that come during the fill, and knows no FIFO, which the
    first window of each further image empties.
    """
    model = row_array(rates=rates, stages=stages)
    column, time = column_of(model, work), law(model, work)
    first = work.ifmap_shape[2] * work.channels * work.taps / model.ifmap_rate
    late = clocked(model, work) - time.total
    assert -2 * column.psums_in - 3 <= late
    assert late <= column.macs + column.leaving + (work.images - 1) * first + 3


PORTS = st.lists(
    st.builds(
        Lanes,
        st.sampled_from([Fraction(1), Fraction(3), Fraction(7, 2)]),
        st.sampled_from([(("ifmap", 1), ("psum", 4)), (("ifmap", 1), ("filter", 1), ("psum", 4))]),
    ),
    min_size=1,
    max_size=1,
)


@given(UNDILATED, RATES, PORTS)
@drawn(150)
def test_a_buffers_port_is_shared_by_its_operands(
    work: Geometry, rates: tuple[Fraction, Fraction, Fraction, Fraction], lanes: list[Lanes]
) -> None:
    """The law is not below what the port takes, and no more than the fill above the clock."""
    model = row_array(rates=rates, buffers=tuple(lanes))
    words, time = pass_words(shape_of(work), pass_of(work)), law(model, work)
    moved = sum(word * words.of(operand) for operand, word in lanes[0].word_bytes)
    stepped = clocked(model, work)
    assert min(time.total, stepped) >= moved / lanes[0].bytes_per_cycle
    alone = law(row_array(rates=rates), work)
    assert alone.total <= time.total <= alone.total + ceil(moved / lanes[0].bytes_per_cycle)
    assert time.total - stepped <= time.fill + 2 * column_of(model, work).psums_in + 3


def chip_pass(kernel: GemmKernel, mapping: Mapping) -> Geometry:
    """A full pass of a mapping."""
    return Geometry(
        *(int(mapping.n), min(int(mapping.filters), kernel.filters)),
        *(min(int(mapping.channels), kernel.channels), int(mapping.e), kernel.cols.outputs),
        *(kernel.rows.kernel, kernel.cols.kernel, int(mapping.r), int(mapping.t)),
        (kernel.rows.stride, 1),
        (kernel.cols.stride, 1),
    )


@pytest.mark.parametrize("name", kernels())
def test_the_law_is_near_the_clock_for_the_passes_of_the_chip(name: str) -> None:
    """Of 5,000 to 12,000 cycles the law lacks 56 to 192: one column's psums (its MACs in CONV3)."""
    model = target_of(load_hardware("eyeriss")).row_stationary
    kernel, mapping = kernels()[name], published_mappings()[name]
    work = chip_pass(kernel, mapping)
    shape = whole_shape(model, kernel)
    time = int(pass_time(model, shape, pass_of(work), pass_words(shape, pass_of(work))).total)
    late = clocked(model, work) - time
    column = column_of(model, work)
    assert late == min(column.macs, column.leaving)
    assert 40 * late < time
