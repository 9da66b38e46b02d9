"""What a GEMM kernel takes at least on a systolic array, however it is tiled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.dataflow import (
    ArrayModel,
    Axis,
    Cycles,
    FoldClass,
    busy_cycles,
    fold_overhead,
    folds_down,
    least_turn,
    leaves_unfinished,
)
from accelsim.lowering.extents import Gemm
from accelsim.lowering.footprint import touched
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.laws import Part
from accelsim.lowering.ports import fluid_wait, fold_parts
from accelsim.lowering.target import Target


def least_work(kernel: GemmKernel, target: Target) -> tuple[float, float]:
    """Array cycles and DRAM bytes of `kernel` at least, cut in parts or not.

    What its folds take uncut, or with so few sums as its tiles have room for, and each operand
    moved once; what lies on chip is not moved.
    """
    residence = target.residence
    array = replace(target.array, piece=0)  # rows of pixels may be cut into pieces that suit it
    each = least_busy_cycles(array, kernel.gemm, _most_sums(array, kernel.gemm, target))
    busy = kernel.groups * each / target.sharers
    moved = kernel.groups * kernel.filters * kernel.gemm.k * target.bytes_of("filter")
    if not residence.ifmap:
        down, across = map(touched, kernel.windows)
        words = kernel.batch * kernel.groups * kernel.channels * down * across
        moved += words * target.bytes_of("ifmap")
    return busy, moved + bytes_of_results(kernel, target)


def bytes_of_results(kernel: GemmKernel, target: Target) -> int:
    """Bytes of the ofmap and of what is added to it, as far as they are not on chip."""
    stored = kernel.written_words * target.bytes_of("ofmap") * target.residence.stored
    if not kernel.addend or target.residence.addend:
        return stored
    return stored + kernel.groups * kernel.gemm.m * kernel.filters * target.bytes_of("ifmap")


def least_busy_cycles(model: ArrayModel, gemm: Gemm, most_sums: float = inf) -> float:
    """Cycles of the folds of a GEMM of which a tile has room for so many sums."""
    return max(_least_uncut(model, gemm), _least_with_room(model, gemm, most_sums))


def _least_uncut(model: ArrayModel, gemm: Gemm) -> float:
    """Cycles of the folds of a GEMM uncut.

    Where a buffer limits what a fold takes, full folds and a narrow one take longer than folds that
    are alike: then what those would take.
    """
    if not model.buffers:
        return int(busy_cycles(model, gemm.whole))
    uncut: Along = {"m": 1, "n": 1, "k": 1}
    whole: Along = {axis: gemm.whole.along(axis) for axis in uncut}
    return float(least_cycles(model, gemm, uncut, whole))


def _most_sums(model: ArrayModel, gemm: Gemm, target: Target) -> float:
    """Sums that a tile has room for: as psums where k takes several folds, else as the ofmap."""
    in_parts = bool(leaves_unfinished(model, gemm.k, gemm.taps))
    if target.computes_in_place and not in_parts:
        return inf
    operand: Operand = "psum" if in_parts else "ofmap"
    held = target.buffers[target.buffer_index(operand)]
    return max(held.half // target.bytes_of(operand), 1)


def _least_with_room(model: ArrayModel, gemm: Gemm, most_sums: float) -> float:
    """Cycles of folds past which sums move, where a tile has room for no more than `most_sums`.

    Folds of the same k, each of t steps and w columns, w t <= `most_sums`, cover all steps of all
    columns: so there are at least steps * width / `most_sums` of them, and those that have a part
    in a step have all columns together. Each takes t cycles and an overhead; where edges are used
    that grows with w, by at least w (w t) / `most_sums`, in all least where all are as wide.
    """
    if not model.psums_move:
        return 0.0
    _, width, steps = model.sizes(gemm.whole)
    in_depth, beside = int(model.reduced(gemm.whole).folds(model.rows)), -(-width // model.cols)
    count = max(steps * width / most_sums, beside)
    if model.pipelined:
        turn = int(least_turn(model, model.rows, model.cols))
        return float(in_depth * max(steps * beside, turn * count))
    if not model.used_edges:
        return float(in_depth * (steps * beside + model.overhead * count))
    alike = max(beside, width / sqrt(most_sums))
    across = max(steps * (alike + width * width / (alike * most_sums)), steps * beside + width)
    return float(in_depth * (across + (model.exit_cycles - 2) * count) + gemm.k * count)


Along = Mapping[Axis, Cycles]
"""What is said of m, n and k, one entry for each of many ways to cut them."""


def least_cycles(model: ArrayModel, gemm: Gemm, pieces: Along, longest: Along) -> Cycles:
    """What the folds of a GEMM take at least that is cut in so many `pieces`, none over `longest`.

    Folds are no longer than where all have as much on rows and columns. What one takes beyond a
    constant grows ever less with its steps, but where reads and writes meet after a lag; so a step
    takes least in the longest fold, or in one as long as that.
    """
    flow = model.dataflow
    rows, cols, steps = model.sizes(gemm.whole)
    across, down, tiles, most = np.broadcast_arrays(
        np.maximum(-(-cols // model.cols), pieces[flow.cols]),
        np.maximum(folds_down(model, gemm.whole), pieces[flow.rows]),
        pieces[flow.time],
        longest[flow.time],
    )
    depth = down if model.psums_move else tiles
    kinds = _in_depth(depth)
    starts, ends = np.array([(kind.starts, kind.ends) for kind in kinds]).T
    alike: dict[Axis, Any] = {flow.rows: rows / down, flow.cols: cols / across, flow.time: most}
    fold = FoldClass(
        count=1,
        extent=alike,
        starts=starts.reshape(-1, *(1 for _ in most.shape)),
        ends=ends.reshape(-1, *(1 for _ in most.shape)),
    )
    each = _least_of_folds(model, fold, steps, tiles)
    count = np.stack([kind.count for kind in kinds])
    return np.asarray(across * down / depth * (count * each).sum(axis=0))


@dataclass(frozen=True, slots=True)
class _Kind:
    """So many folds along k that start sums, end them, or both."""

    count: Cycles
    starts: bool
    ends: bool


def _in_depth(folds: NDArray[np.int64]) -> list[_Kind]:
    """How many folds along k there are of each kind, where there are so many."""
    one, several = np.equal(folds, 1) * 1, np.greater(folds, 1) * 1
    kinds = (
        _Kind(one, starts=True, ends=True),
        _Kind(several, starts=True, ends=False),
        _Kind(several, starts=False, ends=True),
        _Kind(np.maximum(folds - 2, 0), starts=False, ends=False),
    )
    return [kind for kind in kinds if np.any(kind.count)]


def _least_of_folds(
    model: ArrayModel, fold: FoldClass, steps: Cycles, tiles: Cycles
) -> NDArray[np.float64]:
    """What folds like one of the longest take that have so many steps together, of each kind."""
    longest = fold.extent[model.dataflow.time]
    if model.pipelined:
        each = _fluid_cycles(model, fold, longest) / longest
        return np.asarray(np.maximum(each * steps, least_turn(model, 1, 1) * tiles))
    apart = np.minimum(np.maximum(model.dataflow.law.lag(model, fold), 1), longest)
    times = np.stack([0 * longest, longest, apart])[:, None]
    fixed, long, short = _fluid_cycles(model, fold, times)
    each = np.minimum((long - fixed) / longest, (short - fixed) / apart)
    return np.asarray(each * steps + fixed * tiles)


def least_of_a_fold(model: ArrayModel, steps: Cycles) -> NDArray[np.float64]:
    """Cycles of a fold of so many steps at least, however few rows and columns it has."""
    flow = model.dataflow
    extent: dict[Axis, Any] = {flow.rows: 1, flow.cols: 1, flow.time: steps}
    each = (FoldClass(count=1, extent=extent, starts=True, ends=ends) for ends in (True, False))
    return np.minimum(*(_fluid_cycles(model, fold, steps) for fold in each))


def _fluid_cycles(model: ArrayModel, fold: FoldClass, steps: Cycles) -> NDArray[np.float64]:
    """What `fold_time` says at least of a fold with so many steps, not rounded to whole cycles."""
    fold = replace(fold, extent={**fold.extent, model.dataflow.time: steps})
    rows, cols, _ = model.sides(fold)
    if model.pipelined:
        streamed = Part(steps, model.dataflow.law.reads(model, fold))
        return np.asarray(steps + fluid_wait(model, streamed))
    if model.used_edges:
        return np.asarray(steps + fold_overhead(model, rows, cols))
    waits = sum(fluid_wait(model, part) for part in fold_parts(model, fold))
    return np.asarray(steps + model.overhead + waits)
