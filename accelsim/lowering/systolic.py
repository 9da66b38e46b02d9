"""The systolic array as a processor: the laws of its folds, added up over a tile."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import gcd
from typing import Any

import numpy as np

from accelsim.lowering.dataflow import (
    ArrayModel,
    Cycles,
    Extents,
    FoldClass,
    Truth,
    busy_cycles,
    fold_time,
    leaves_unfinished,
    operand_area,
    tails,
)
from accelsim.lowering.folds import Pieces, all_folds, fold_kinds
from accelsim.lowering.inside import fold_moves
from accelsim.lowering.processor import Counts, TileWork

EXTENTS = tuple(field.name for field in fields(Extents))


@dataclass(frozen=True, slots=True)
class Systolic:
    """An array whose PEs pass operands, and under ws and is their sums, to their neighbours."""

    array: ArrayModel

    def cycles(self, tile: Extents) -> Cycles:
        """Cycles of all folds, without the tail of a pipelined array."""
        return busy_cycles(self.array, tile)

    def tail(self, tile: Extents) -> Cycles:
        """Cycles until the last sum of a pipelined array is out."""
        return tails(self.array, tile)

    def work(self, tile: Extents) -> TileWork:
        """The folds of a tile, added up; the laws are asked once for all kinds of them."""
        folds = fold_kinds(self.array, tile)

        def added(counts: Counts) -> Counts:
            return {
                name: np.add.reduce(folds.count * count, axis=(0, 1))
                for name, count in counts.items()
            }

        return TileWork(
            **added(self._cycles(folds)),
            tail=self.tail(tile),
            operations=tile.m * tile.n * tile.k,
            sram=added(words_of(folds)),
            inside=added(fold_moves(self.array, folds)),
        )

    def _cycles(self, fold: FoldClass) -> Counts:
        time = fold_time(self.array, fold)
        return {
            "streaming": time.stream,
            "fill_drain": time.fill_drain,
            "buffer": time.buffer,
            "buffer_bound": time.total * np.minimum(time.buffer, 1),
        }

    def leaves_unfinished(self, tile: Extents) -> Truth:
        """Where sums move and k takes several folds."""
        return leaves_unfinished(self.array, tile.k, tile.taps)

    def room(self, tile: Extents, footprint: Counts) -> Counts:
        """Psums need room only where they leave unfinished, for this tile's or others' folds."""
        whole = np.logical_and(tile.starts, tile.ends)
        unfinished = self.leaves_unfinished(tile) | ~whole
        return {**footprint, "psum": footprint["psum"] * unfinished}

    def likes(self, taps: int) -> dict[str, int]:
        """Whole rows and columns of PEs; of channels as many as fill the rows with their taps."""
        array, flow = self.array, self.array.dataflow
        liked: dict[str, int] = {flow.rows: array.rows, flow.cols: array.cols}
        if array.psums_move and not array.by_tap:
            liked[flow.rows] //= gcd(array.rows, taps)
        return liked


def work_of_each(array: ArrayModel, tiles: Sequence[Extents]) -> dict[Extents, TileWork]:
    """The work of each of many tiles; the laws are asked once for all."""
    columns = {name: np.array([getattr(tile, name) for tile in tiles]) for name in EXTENTS}
    works = Systolic(array).work(Extents(**columns))
    return dict(zip(tiles, works.apart(len(tiles)), strict=True))


def work_of_all(
    array: ArrayModel, m: Pieces, n: Pieces, k: Pieces
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Words at the edge, and what moves inside, of all tiles that pieces make, by name."""
    by, flow = {"m": m, "n": n, "k": k}, array.dataflow
    folds, firsts = all_folds(array, by[flow.rows], by[flow.cols], by[flow.time])

    def added(counts: Counts) -> dict[str, Any]:
        each = {name: folds.count * count for name, count in counts.items()}
        sums = {name: np.add.reduceat(count, firsts.ravel()) for name, count in each.items()}
        return {name: count.reshape(firsts.shape) for name, count in sums.items()}

    return added(words_of(folds)), added(fold_moves(array, folds))


def words_of(fold: FoldClass) -> Counts:
    """Words of one fold at the array's edge."""
    outputs = operand_area("ofmap", fold)
    starts, ends = (np.equal(truth, True).astype(np.int64) for truth in (fold.starts, fold.ends))
    return {
        "ifmap_reads": operand_area("ifmap", fold),
        "filter_reads": operand_area("filter", fold),
        "psum_reads": outputs * (1 - starts),
        "psum_writes": outputs * (1 - ends),
        "ofmap_writes": outputs * ends,
    }
