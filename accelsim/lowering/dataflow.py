"""How a GEMM lies on the systolic array, and how many cycles its folds take.

The laws are derived from the array's registers and proved in the tests against arrays that are
stepped register by register, against Verilog (README, accuracy) and against SCALE-Sim.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Hardware, Operand
from accelsim.units import ceil_div

Axis = Literal["m", "n", "k"]
# Most laws take one tile (ints) or many tilings under comparison (arrays, one entry each).
Cycles = int | NDArray[np.int64]
Truth = bool | NDArray[np.bool_]

OPERAND_AXES: dict[Operand, tuple[Axis, Axis]] = {
    "ifmap": ("m", "k"),
    "filter": ("k", "n"),
    "psum": ("m", "n"),
    "ofmap": ("m", "n"),
}


@dataclass(frozen=True, slots=True)
class Gemm:
    """ofmap[m, n] = sum over k of ifmap[m, k] * filter[k, n].

    A convolution has m = N*P*Q ofmap pixels, n = K filters, k = C*R*S window size.
    """

    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k


class Dataflow(Enum):
    """Which GEMM axes lie on the array rows, on the columns, and along time."""

    OUTPUT_STATIONARY = ("m", "n", "k")
    WEIGHT_STATIONARY = ("k", "n", "m")
    INPUT_STATIONARY = ("k", "m", "n")

    def __init__(self, rows: Axis, cols: Axis, time: Axis) -> None:
        self.rows = rows
        self.cols = cols
        self.time = time


DATAFLOW_OF = {
    "os": Dataflow.OUTPUT_STATIONARY,
    "ws": Dataflow.WEIGHT_STATIONARY,
    "is": Dataflow.INPUT_STATIONARY,
}


def fold_cycles(rows: int, cols: int, steps: int) -> int:
    """Cycles of one fold on `rows` x `cols` MACs fed for `steps` cycles, start to drained.

    `steps` cycles feed one PE, rows + cols - 2 skew the far corner, and `rows` move the
    stationary operand in (WS, IS) or the ofmap out (OS).
    """
    return steps + (rows + cols - 2) + rows


@dataclass(frozen=True, slots=True)
class Lanes:
    """A buffer's words per fold: its rate, and the operands it feeds with their word sizes."""

    bytes_per_cycle: Fraction
    word_bytes: tuple[tuple[Operand, int], ...]


@dataclass(frozen=True, slots=True)
class ArrayModel:
    """The array as the fold law sees it. `buffers` lists only those that can limit a fold."""

    rows: int
    cols: int
    dataflow: Dataflow
    pipelined: bool
    used_edges: bool
    buffers: tuple[Lanes, ...] = ()

    @property
    def overhead(self) -> int:
        """Fill and drain of a full fold: its cycles beyond the steps it streams."""
        return fold_cycles(self.rows, self.cols, 0)


def array_model(hardware: Hardware) -> ArrayModel:
    """The fold law's view of `hardware`."""
    array = hardware.array
    model = ArrayModel(
        array.rows,
        array.cols,
        DATAFLOW_OF[array.dataflow],
        array.fold_overlap == "pipelined",
        array.edge_folds == "used",
    )
    limiting = tuple(lanes for lanes in limited_buffers(hardware) if _can_limit(model, lanes))
    return ArrayModel(
        model.rows, model.cols, model.dataflow, model.pipelined, model.used_edges, limiting
    )


def limited_buffers(hardware: Hardware) -> Iterator[Lanes]:
    """The buffers that have a bandwidth."""
    for name, buffer in hardware.buffers.items():
        rate = hardware.buffer_bytes_per_cycle(name)
        if rate is not None:
            words = tuple((item, hardware.precision.bytes_of(item)) for item in buffer.holds)
            yield Lanes(rate, words)


def _can_limit(model: ArrayModel, lanes: Lanes) -> bool:
    """Whether some full fold could need more cycles for its words than the array's law.

    A fold of T steps moves at most `streamed * T + held` bytes; the law gives it at least
    T + `slack` cycles, so the buffer keeps up with every T if it does at the ends.
    """
    flow = model.dataflow
    extent = {flow.rows: model.rows, flow.cols: model.cols}
    streamed = held = 0
    for operand, word in lanes.word_bytes:
        times = 2 if operand == "psum" else 1  # read and written
        first, second = OPERAND_AXES[operand]
        area = extent.get(first, 1) * extent.get(second, 1) * word * times
        if flow.time in (first, second):
            streamed += area
        else:
            held += area
    if model.pipelined:
        steps, slack = model.rows, 0
    else:
        steps, slack = 1, model.rows if model.used_edges else model.overhead
    return streamed > lanes.bytes_per_cycle or (
        streamed * steps + held > lanes.bytes_per_cycle * (steps + slack)
    )


@dataclass(frozen=True, slots=True)
class Extents:
    """Sizes of a GEMM tile, each a scalar or one entry per tiling under comparison.

    `starts` is false where the tile continues psums of an earlier one, `ends` where a later
    tile continues its own.
    """

    m: Cycles
    n: Cycles
    k: Cycles
    starts: Truth = True
    ends: Truth = True

    def along(self, axis: Axis) -> Cycles:
        """The size along `axis`."""
        return {"m": self.m, "n": self.n, "k": self.k}[axis]


@dataclass(frozen=True, slots=True)
class FoldClass:
    """Folds of one tile that are alike: how many, and their extents along each axis."""

    count: Cycles
    extent: dict[Axis, Cycles]
    starts: Truth
    ends: Truth


def fold_classes(model: ArrayModel, tile: Extents) -> Iterator[FoldClass]:
    """The folds of a tile, grouped by size and by whether their psums start or end there."""
    flow = model.dataflow
    for rows, row_count, starts, ends in _pieces(model.rows, tile, flow.rows):
        for cols, col_count, _, _ in _pieces(model.cols, tile, flow.cols):
            extent = {flow.rows: rows, flow.cols: cols, flow.time: tile.along(flow.time)}
            yield FoldClass(row_count * col_count, extent, starts, ends)


def _pieces(lanes: int, tile: Extents, axis: Axis) -> Iterator[tuple[Cycles, Cycles, Truth, Truth]]:
    """(extent, count, starts, ends) of the pieces that `lanes` PEs cut from `axis`.

    The last piece holds the remainder. Pieces along k hand their psums on, so the first and
    the last are kept apart from those between.
    """
    size = tile.along(axis)
    full = (size - 1) // lanes
    last = size - full * lanes
    whole = lanes + 0 * size
    if axis != "k":
        yield whole, full, tile.starts, tile.ends
        yield last, full * 0 + 1, tile.starts, tile.ends
        return
    several = np.minimum(full, 1)
    yield whole, several, tile.starts, False
    yield whole, full - several, False, False
    yield last, several, False, tile.ends
    yield last, 1 - several, tile.starts, tile.ends


@dataclass(frozen=True, slots=True)
class FoldTime:
    """Cycles of one fold: streaming, fill and drain, and waiting for buffer words."""

    stream: Cycles
    fill_drain: Cycles
    buffer: Cycles

    @property
    def total(self) -> Cycles:
        """Cycles from this fold's start to the next one's."""
        return self.stream + self.fill_drain + self.buffer


def fold_time(model: ArrayModel, fold: FoldClass) -> FoldTime:
    """How long one fold of the class keeps the array from the next.

    Serial: until it has drained; rows still count in full when edges are used, because
    results leave through all of them. Pipelined: until the next fold's stationary operand is
    in place (or the last ofmap out), which takes `rows` cycles beside the streaming.
    """
    steps = fold.extent[model.dataflow.time]
    if model.pipelined:
        overhead = np.maximum(model.rows - steps, 0)
    elif model.used_edges:
        rows, cols = fold.extent[model.dataflow.rows], fold.extent[model.dataflow.cols]
        overhead = model.rows + rows + cols - 2
    else:
        overhead = model.overhead + 0 * steps
    words = buffer_cycles(model, fold)
    return FoldTime(steps, overhead, np.maximum(words - steps - overhead, 0))


def buffer_cycles(model: ArrayModel, fold: FoldClass) -> Cycles:
    """Cycles that the slowest buffer needs for the words of one fold."""
    slowest = fold.count * 0
    for lanes in model.buffers:
        needed = sum(word * operand_words(operand, fold) for operand, word in lanes.word_bytes)
        rate = lanes.bytes_per_cycle
        slowest = np.maximum(slowest, -(-needed * rate.denominator // rate.numerator))
    return slowest


def operand_area(operand: Operand, fold: FoldClass) -> Cycles:
    """Words of `operand` that one fold works on."""
    first, second = OPERAND_AXES[operand]
    return fold.extent[first] * fold.extent[second]


def operand_words(operand: Operand, fold: FoldClass) -> Cycles:
    """Words of `operand` that cross the array's edge in one fold."""
    words = operand_area(operand, fold)
    if operand == "psum":
        return words * (2 - np.add(fold.starts, fold.ends, dtype=np.int64))
    return words * fold.ends if operand == "ofmap" else words


def tail_cycles(model: ArrayModel, tile: Extents) -> int:
    """Cycles from the end of a last pipelined fold's turn until the last result is out.

    With it one fold alone takes as long as a serial one. Zero for a serial array, whose
    folds end drained.
    """
    if not model.pipelined:
        return 0
    steps = int(tile.along(model.dataflow.time))
    drained = model.overhead
    if model.used_edges:
        drained = model.rows + sum(_last_skew(model, tile)) - 2
    return drained - max(model.rows - steps, 0)


def _last_skew(model: ArrayModel, tile: Extents) -> tuple[int, int]:
    """Rows and columns that skew the last results of a pipelined tile with used edges.

    The last fold's rows, where the ofmap stays; where operands stay, its operands follow those
    of the fuller folds before it, as skewed as they are. The last fold's columns, unless the
    far columns of the last full fold, some turns before, are later still.
    """
    flow = model.dataflow
    rows, cols, steps = (int(tile.along(axis)) for axis in (flow.rows, flow.cols, flow.time))
    turns = ceil_div(rows, model.rows) if flow.rows == "k" else 1
    before = min(cols, model.cols) - turns * max(steps, model.rows)
    last_rows = min(rows, model.rows) if flow.rows == "k" else _last_piece(rows, model.rows)
    return last_rows, max(_last_piece(cols, model.cols), before)


def _last_piece(size: int, lanes: int) -> int:
    """Extent of the last piece that `lanes` PEs cut from `size`."""
    return (size - 1) % lanes + 1


def busy_cycles(model: ArrayModel, tile: Extents) -> Cycles:
    """Cycles that a tile's folds keep the array, without the tail of a pipelined array.

    The sum of fold_time over the fold classes, in closed form where no buffer limits a fold.
    """
    if model.buffers:
        return sum(fold.count * fold_time(model, fold).total for fold in fold_classes(model, tile))
    rows, cols = tile.along(model.dataflow.rows), tile.along(model.dataflow.cols)
    steps = tile.along(model.dataflow.time)
    row_folds, col_folds = -(-rows // model.rows), -(-cols // model.cols)
    if model.pipelined:
        return row_folds * col_folds * np.maximum(steps, model.rows)
    if model.used_edges:
        edges = col_folds * rows + row_folds * cols
        return row_folds * col_folds * (steps + model.rows - 2) + edges
    return row_folds * col_folds * (steps + model.overhead)


def untiled_cycles(model: ArrayModel, gemm: Gemm) -> int:
    """Array cycles of a whole GEMM with every operand on chip, tail included."""
    whole = Extents(gemm.m, gemm.n, gemm.k)
    return int(busy_cycles(model, whole)) + tail_cycles(model, whole)


def mapping_efficiency(model: ArrayModel, gemm: Gemm) -> float:
    """PEs holding work, averaged over the folds of a whole GEMM."""
    whole = Extents(gemm.m, gemm.n, gemm.k)
    rows = int(whole.along(model.dataflow.rows))
    cols = int(whole.along(model.dataflow.cols))
    placed = ceil_div(rows, model.rows) * model.rows * ceil_div(cols, model.cols) * model.cols
    return rows * cols / placed
