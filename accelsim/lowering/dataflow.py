"""How a GEMM lies on the systolic array, and how many cycles its folds take.

The laws are derived from the array's registers and proved in the tests against arrays that are
stepped register by register, against Verilog (README, accuracy) and against SCALE-Sim.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from typing import Literal, overload

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
    drain: Literal["rows", "cols"] = "rows"
    drain_start: Literal["lane", "array"] = "lane"
    mac_stages: int = 1
    psum_registers: int = 1

    @property
    def psums_move(self) -> bool:
        """Whether psums pass down the columns (WS, IS); else the ofmap stays (OS)."""
        return self.dataflow.rows == "k"

    @property
    def drain_cycles(self) -> int:
        """Cycles in which an ofmap that stays leaves the array, one word per lane and cycle."""
        return self.rows if self.drain == "rows" else self.cols

    @property
    def exit_cycles(self) -> int:
        """Cycles beyond skew and streaming that the MACs and the way out take.

        A psum that moves passes its registers in every row; an ofmap that stays drains.
        """
        leaving = self.psum_registers * self.rows if self.psums_move else self.drain_cycles
        return leaving + self.mac_stages - 1

    @property
    def overhead(self) -> int:
        """Fill and drain of a full fold: its cycles beyond the steps it streams."""
        return fold_overhead(self, self.rows, self.cols)

    @property
    def turns_vary(self) -> bool:
        """Whether the least turn of a pipelined fold depends on the PEs it uses."""
        return self.used_edges and self.drain_start == "array" and not self.psums_move


@overload
def fold_overhead(model: ArrayModel, rows: int, cols: int) -> int: ...
@overload
def fold_overhead(model: ArrayModel, rows: Cycles, cols: Cycles) -> Cycles: ...
def fold_overhead(model: ArrayModel, rows: Cycles, cols: Cycles) -> Cycles:
    """Cycles of one fold on `rows` x `cols` PEs beyond its steps, from start to drained.

    OS: operands skew rows + cols - 2 cycles to the far corner, and the ofmap drains. WS, IS:
    the stationary operand takes `rows` cycles to load, the skew along the columns cols - 1,
    and a psum passes the registers of all rows, the last of which it leaves from.
    """
    return rows + cols - 2 + model.exit_cycles


def least_turn(model: ArrayModel, rows: Cycles, cols: Cycles) -> Cycles:
    """Cycles from one pipelined fold's start to the next one's, however few its steps.

    `rows`, `cols`: the PEs that the fold uses. The shadow registers take one word at a time:
    the next ofmap follows when its lane has drained, or, where all lanes drain at once, when
    the far corner has finished and all have drained; the next stationary word follows through
    a row when the operands, which keep to the psums' pace, have taken up the one before.
    """
    if model.psums_move:
        return model.psum_registers * (model.rows - 1) + 1
    if model.drain_start == "lane":
        return model.drain_cycles
    if not model.used_edges:
        rows, cols = model.rows, model.cols
    return rows + cols - 2 + model.drain_cycles


def array_model(hardware: Hardware) -> ArrayModel:
    """The fold law's view of `hardware`."""
    array = hardware.array
    model = ArrayModel(
        rows=array.rows,
        cols=array.cols,
        dataflow=DATAFLOW_OF[array.dataflow],
        pipelined=array.fold_overlap == "pipelined",
        used_edges=array.edge_folds == "used",
        drain=array.drain,
        drain_start=array.drain_start,
        mac_stages=array.mac_stages,
        psum_registers=array.psum_registers,
    )
    limiting = (lanes for lanes in limited_buffers(hardware) if _can_limit(model, lanes))
    return replace(model, buffers=tuple(limiting))


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
    T + `slack` cycles, or a least turn, so the buffer keeps up with every T if it does at the
    ends.
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
    smallest = (1, 1) if model.used_edges else (model.rows, model.cols)
    if model.pipelined:
        steps, slack = int(least_turn(model, *smallest)), 0
    else:
        steps, slack = 1, fold_overhead(model, *smallest)
    return streamed > lanes.bytes_per_cycle or (
        streamed * steps + held > lanes.bytes_per_cycle * (steps + slack)
    )


@dataclass(frozen=True, slots=True)
class Extents:
    """Sizes of a GEMM tile, each a scalar or one entry per tiling under comparison.

    `starts` is false where the tile continues psums of an earlier one, `ends` where a later
    tile continues its own. `k` counts channels times `taps`.
    """

    m: Cycles
    n: Cycles
    k: Cycles
    starts: Truth = True
    ends: Truth = True
    taps: Cycles = 1

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

    Serial: until it has drained, through the whole array even where edges are used.
    Pipelined: until the next fold's stationary operand is in place, or the last ofmap out,
    which goes on beside the streaming.
    """
    steps = fold.extent[model.dataflow.time]
    rows, cols = fold.extent[model.dataflow.rows], fold.extent[model.dataflow.cols]
    if model.pipelined:
        overhead = np.maximum(least_turn(model, rows, cols) - steps, 0)
    elif model.used_edges:
        overhead = fold_overhead(model, rows, cols)
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
    rows, cols = _last_skew(model, tile) if model.used_edges else (model.rows, model.cols)
    waited = np.maximum(least_turn(model, *_last_fold(model, tile)) - steps, 0)
    return fold_overhead(model, rows, cols) - int(waited)


def _last_skew(model: ArrayModel, tile: Extents) -> tuple[int, int]:
    """Rows and columns that skew the last results of a pipelined tile with used edges.

    Those of the last fold, but for what earlier, fuller folds leave of theirs. Where psums
    move, its operands follow those of the folds before it, as skewed as they are. And lanes
    that the last fold does not use may finish an earlier one, some turns ago, later still,
    unless all drain at once.
    """
    flow = model.dataflow
    rows, cols, steps = (int(tile.along(axis)) for axis in (flow.rows, flow.cols, flow.time))
    last_rows, last_cols = _last_fold(model, tile)
    if model.turns_vary:
        return last_rows, last_cols
    turn = max(steps, int(least_turn(model, last_rows, last_cols)))
    if model.psums_move:
        before = min(cols, model.cols) - ceil_div(rows, model.rows) * turn
        return min(rows, model.rows), max(last_cols, before)
    if model.drain == "rows":
        return last_rows, max(last_cols, min(cols, model.cols) - turn)
    before = min(rows, model.rows) - ceil_div(cols, model.cols) * turn
    return max(last_rows, before), last_cols


def _last_fold(model: ArrayModel, tile: Extents) -> tuple[int, int]:
    """Rows and columns of PEs that a tile's last fold uses."""
    rows, cols = int(tile.along(model.dataflow.rows)), int(tile.along(model.dataflow.cols))
    return _last_piece(rows, model.rows), _last_piece(cols, model.cols)


def _last_piece(size: int, lanes: int) -> int:
    """Extent of the last piece that `lanes` PEs cut from `size`."""
    return (size - 1) % lanes + 1


def busy_cycles(model: ArrayModel, tile: Extents) -> Cycles:
    """Cycles that a tile's folds keep the array, without the tail of a pipelined array.

    The sum of fold_time over the fold classes, in closed form where no buffer limits a fold.
    """
    if model.buffers or (model.pipelined and model.turns_vary):
        return sum(fold.count * fold_time(model, fold).total for fold in fold_classes(model, tile))
    rows, cols = tile.along(model.dataflow.rows), tile.along(model.dataflow.cols)
    steps = tile.along(model.dataflow.time)
    row_folds, col_folds = -(-rows // model.rows), -(-cols // model.cols)
    if model.pipelined:
        return row_folds * col_folds * np.maximum(steps, least_turn(model, model.rows, model.cols))
    if model.used_edges:
        edges = col_folds * rows + row_folds * cols
        return row_folds * col_folds * (steps + model.exit_cycles - 2) + edges
    return row_folds * col_folds * (steps + model.overhead)


def untiled_cycles(model: ArrayModel, gemm: Gemm) -> int:
    """Array cycles of a whole GEMM with every operand on chip, tail included."""
    whole = Extents(gemm.m, gemm.n, gemm.k)
    return int(busy_cycles(model, whole)) + tail_cycles(model, whole)


def fold_count(model: ArrayModel, gemm: Gemm) -> int:
    """Folds of a whole GEMM."""
    whole = Extents(gemm.m, gemm.n, gemm.k)
    rows, cols = int(whole.along(model.dataflow.rows)), int(whole.along(model.dataflow.cols))
    return ceil_div(rows, model.rows) * ceil_div(cols, model.cols)


def mapping_efficiency(model: ArrayModel, gemm: Gemm) -> float:
    """PEs holding work, averaged over the folds of a whole GEMM."""
    whole = Extents(gemm.m, gemm.n, gemm.k)
    rows = int(whole.along(model.dataflow.rows))
    cols = int(whole.along(model.dataflow.cols))
    return rows * cols / (fold_count(model, gemm) * model.rows * model.cols)
