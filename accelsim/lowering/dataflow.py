"""How a GEMM lies on the systolic array, and how many cycles its folds take.

The laws are derived from the array's registers and proved in the tests against arrays that are
stepped register by register, against Verilog (README, accuracy) and against SCALE-Sim.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from accelsim.hardware import Hardware
from accelsim.lowering.extents import (
    Axis,
    Cycles,
    Extents,
    FoldClass,
    Gemm,
    Truth,
    operand_area,
)
from accelsim.lowering.folds import Pieces, all_folds, fold_classes
from accelsim.lowering.laws import DATAFLOW_OF, ArrayModel, Dataflow, Lanes
from accelsim.lowering.ports import (
    buffer_cycles,
    can_limit,
    limited_buffers,
    pipelined_turn,
    serial_wait,
)

__all__ = [
    "DATAFLOW_OF",
    "ArrayModel",
    "Axis",
    "Cycles",
    "Dataflow",
    "Extents",
    "FoldClass",
    "FoldTime",
    "Gemm",
    "Lanes",
    "Pieces",
    "Truth",
    "all_cycles",
    "array_model",
    "buffer_cycles",
    "busy_cycles",
    "fold_classes",
    "fold_count",
    "fold_overhead",
    "fold_time",
    "folds_down",
    "least_turn",
    "leaves_unfinished",
    "limited_buffers",
    "mapping_efficiency",
    "operand_area",
    "tail_cycles",
    "tails",
    "untiled_cycles",
]


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

    `rows`, `cols`: the PEs that the fold uses. The shadow registers take one word at a time.
    """
    return model.dataflow.law.least_turn(model, rows, cols)


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
        by_tap=array.reduction == "tap",
        piece=array.stream.piece if array.stream else 0,
        least_piece=array.stream.least if array.stream else 1,
        in_flight=(array.stream.in_flight or 0) if array.stream else 0,
    )
    shortest = int(least_turn(model, 1, 1))
    limiting = (lanes for lanes in limited_buffers(hardware) if can_limit(model, lanes, shortest))
    return replace(model, buffers=tuple(limiting))


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
    which goes on beside the streaming. What buffers with a bandwidth add is in `ports`.
    """
    rows, cols, steps = model.sides(fold)
    if model.pipelined:
        turn = least_turn(model, rows, cols)
        overhead = model.turn(steps, fold.lines, turn) - steps
        wait = np.maximum(pipelined_turn(model, fold, turn) - steps - overhead, 0)
        return FoldTime(steps, overhead, wait)
    if not model.used_edges:
        rows, cols = model.rows + 0 * rows, model.cols + 0 * cols
    overhead = fold_overhead(model, rows, cols)
    return FoldTime(steps, overhead, serial_wait(model, fold))


def tail_cycles(model: ArrayModel, tile: Extents) -> int:
    """Cycles from the end of a last pipelined fold's turn until the last result is out."""
    return int(tails(model, tile))


def tails(model: ArrayModel, tile: Extents) -> Cycles:
    """`tail_cycles` of one tile or of many.

    With it one fold alone takes as long as a serial one. Zero for a serial array, whose
    folds end drained.
    """
    if not model.pipelined:
        return 0 * tile.m
    last = _last_fold(model, tile)
    rows, cols, steps = model.sides(last)
    skewed: tuple[Cycles, Cycles] = (model.rows, model.cols)
    if model.used_edges:
        skewed = model.dataflow.law.last_skew(model, tile, (rows, cols))
    streamed = model.turn(steps, last.lines, 0)
    alone = streamed + fold_overhead(model, *skewed) + serial_wait(model, last)
    return alone - fold_time(model, last).total


def _last_fold(model: ArrayModel, tile: Extents) -> FoldClass:
    """The last fold of a tile."""
    flow = model.dataflow
    rows, cols, steps = model.sizes(tile)
    starts = tile.starts
    if model.psums_move:
        rows = model.reduced(tile).size
        starts = starts & ~np.asarray(leaves_unfinished(model, tile.k, tile.taps))
    extent: dict[Axis, Cycles] = {
        flow.rows: _last_piece(rows, model.rows),
        flow.cols: _last_piece(cols, model.cols),
        flow.time: steps,
    }
    return FoldClass(count=1, extent=extent, starts=starts, ends=tile.ends, lines=tile.lines)


def _last_piece(size: Cycles, lanes: int) -> Cycles:
    """Extent of the last piece that `lanes` PEs cut from `size`."""
    return (size - 1) % lanes + 1


def busy_cycles(model: ArrayModel, tile: Extents) -> Cycles:
    """Cycles that a tile's folds keep the array, without the tail of a pipelined array.

    The sum of fold_time over the fold classes, in closed form where no buffer limits a fold.
    """
    if not _is_separable(model):
        folds = (fold for fold in fold_classes(model, tile) if np.any(fold.count))
        return sum(fold.count * fold_time(model, fold).total for fold in folds)
    one: Pieces = [(tile, 1)]
    return _separable_cycles(model, one, one, one)


def all_cycles(model: ArrayModel, m: Pieces, n: Pieces, k: Pieces) -> Cycles:
    """`busy_cycles` of all tiles that pieces along m, n and k make, added up."""
    by, flow = {"m": m, "n": n, "k": k}, model.dataflow
    sides = by[flow.rows], by[flow.cols], by[flow.time]
    if _is_separable(model):
        return _separable_cycles(model, *sides)
    folds, firsts = all_folds(model, *sides)
    cycles = folds.count * fold_time(model, folds).total
    return np.asarray(np.add.reduceat(cycles, firsts.ravel()).reshape(firsts.shape))


def _is_separable(model: ArrayModel) -> bool:
    """Whether a fold's cycles are a sum of products of what it has on rows, columns and in time."""
    return not model.buffers and not (model.pipelined and model.turns_vary)


def _separable_cycles(model: ArrayModel, rows: Pieces, cols: Pieces, time: Pieces) -> Cycles:
    """The closed form: what lies on one side adds up before the sides are multiplied."""
    flow = model.dataflow
    row_folds = _sum(rows, lambda tile: folds_down(model, tile))
    col_folds = _sum(cols, lambda tile: -(-tile.along(flow.cols) // model.cols))
    if model.pipelined:
        least = least_turn(model, model.rows, model.cols)
        turns = _sum(time, lambda tile: model.turn(tile.along(flow.time), tile.lines, least))
        return row_folds * col_folds * turns
    fixed = model.exit_cycles - 2 if model.used_edges else model.overhead
    steps = _sum(time, lambda tile: tile.along(flow.time) + fixed)
    if not model.used_edges:
        return row_folds * col_folds * steps
    used_rows = _sum(rows, lambda tile: tile.along(flow.rows))
    used_cols = _sum(cols, lambda tile: tile.along(flow.cols))
    edges = col_folds * used_rows + row_folds * used_cols
    tiles = sum(count for _, count in time)
    return np.add(row_folds * col_folds * steps, edges * tiles)


def _sum(pieces: Pieces, of: Callable[[Extents], Cycles]) -> Cycles:
    return sum(count * of(tile) for tile, count in pieces)


def folds_down(model: ArrayModel, tile: Extents) -> Cycles:
    """Folds along the array's rows."""
    if model.psums_move:
        return model.reduced(tile).folds(model.rows)
    return -(-tile.along(model.dataflow.rows) // model.rows)


def untiled_cycles(model: ArrayModel, gemm: Gemm) -> int:
    """Array cycles of a whole GEMM with every operand on chip, tail included."""
    return int(busy_cycles(model, gemm.whole)) + tail_cycles(model, gemm.whole)


def leaves_unfinished(model: ArrayModel, k: Cycles, taps: Cycles = 1) -> Truth:
    """Whether sums over `k`, channels times `taps`, leave the array unfinished.

    They do where they move and k takes several folds.
    """
    tile = Extents(m=1, n=1, k=k, taps=taps)
    return model.psums_move & (model.reduced(tile).folds(model.rows) > 1)


def fold_count(model: ArrayModel, gemm: Gemm) -> int:
    """Folds of a whole GEMM."""
    _, cols, _ = model.sizes(gemm.whole)
    return int(folds_down(model, gemm.whole) * -(-cols // model.cols))


def mapping_efficiency(model: ArrayModel, gemm: Gemm) -> float:
    """PEs holding work, averaged over the folds of a whole GEMM."""
    rows, cols, _ = model.sizes(gemm.whole)
    return int(rows * cols) / (fold_count(model, gemm) * model.rows * model.cols)
