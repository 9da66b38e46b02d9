"""What parts of a kernel take that is cut along an axis, by the shape of tiles that suits them.

Where it is cut, an axis need not be a multiple of a tile: there are as many tiles as go into it,
and what is left over is another part. Along the other axes tiles leave over what they leave.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.bound import bytes_of_results
from accelsim.lowering.dataflow import Extents, Pieces, all_cycles, folds_down
from accelsim.lowering.footprint import TapReads, least_read
from accelsim.lowering.gemm_candidates import sizes_at_every_scale
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import CutAxis, cut
from accelsim.lowering.tiling_bound import Pixels, Tiles
from accelsim.network.ops import Window

MOST = 1 << 13
"""Shapes of tiles that are looked at."""

FINE, COARSER, COARSEST = 1.1, 1.15, 4.0
"""Sizes are so many times the one before; where there are too many shapes, so many times more."""

SMALL = 9
"""Pixels along an axis up to which all sizes are looked at."""


@dataclass(frozen=True, slots=True)
class FullTiles:
    """Array cycles and bytes that a kernel takes about in tiles of some `sizes` along an axis.

    Of each size only shapes of tiles are told than which no other takes less of both.
    """

    busy: NDArray[np.float64]
    moved: NDArray[np.float64]
    sizes: Sizes


def full_tiles(
    kernel: GemmKernel, target: Target, space: int, tap_reads: TapReads
) -> dict[CutAxis, FullTiles]:
    """By axis what a kernel takes if only full tiles lie along it, as many as go into it.

    `space` bytes of the buffer that holds ifmaps are for tiles. Array cycles are those of the folds
    of tiles with all sums, and DRAM moves no more than it must; what comes before and after is left
    out.
    """
    tiles = _Shapes(kernel, target, space, tap_reads)
    return {axis: tiles.along(place) for place, axis in enumerate(tiles.named) if axis}


@dataclass(frozen=True)
class _Shapes(Tiles):
    """Tiles of any size; arrays have axes of images, of both axes of pixels, of filters."""

    @property
    def counts_all(self) -> bool:
        """Always: sizes along each axis are looked at."""
        return True

    @property
    def named(self) -> list[CutAxis | None]:
        """The axes by name; None where there is nothing to cut."""
        rows_first = self.axes[0].window is self.kernel.rows
        pixels: list[CutAxis] = ["rows", "cols"] if rows_first else ["cols", "rows"]
        names: list[CutAxis] = ["batch", *pixels, "filters"]
        return [name if whole > 1 else None for name, whole in zip(names, self.wholes, strict=True)]

    @cached_property
    def sizes(self) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """Some of every scale along each axis."""
        likes = Systolic(self.target.array).likes(self.kernel.taps)
        m, n = likes.get("m", 1), likes.get("n", 1)
        sides = [*zip(self.wholes, (1, m, m, n), strict=True)]
        if prod(self.wholes) <= MOST:
            each = [np.arange(1, whole + 1) for whole in self.wholes]
        else:
            each, ratio = self._some(sides, FINE), FINE
            while prod(some.size for some in each) > MOST and ratio < COARSEST:
                ratio *= COARSER
                each = self._some(sides, ratio)
        images, first, second, filters = each
        return images[:, None, None, None], first[:, None, None], second[:, None], filters

    @staticmethod
    def _some(sides: list[tuple[int, int]], ratio: float) -> list[Sizes]:
        """Sizes of each side, about a `ratio` apart; of pixels and images all that are small."""
        each = [np.array(sorted(sizes_at_every_scale(*side, ratio))) for side in sides]
        small = [np.arange(1, min(SMALL, whole) + 1) for whole, _ in sides[:-1]]
        return [*map(np.union1d, each, small), each[-1]]

    def along(self, place: int) -> FullTiles:
        """With full tiles along the axis at a place."""
        sizes = self.sizes[place].ravel()
        by_size = [self._by_size(place, each, sizes.size) for each in self._costs(place)]
        busy, moved = np.concatenate(by_size, axis=2)
        row, column = np.nonzero(_may_be_least(busy, moved))
        told = busy[row, column], moved[row, column], sizes[row].astype(float)
        busy, moved, least = _least_of_both(np.stack(told, axis=1)).T
        return FullTiles(busy / self.target.sharers, moved, least.astype(np.int64))

    @staticmethod
    def _by_size(place: int, costs: Sequence[NDArray[Any]], count: int) -> NDArray[np.float64]:
        """The costs with the `count` sizes along the axis at a place first, all else second."""
        several = np.broadcast_arrays(*costs)
        return np.stack([np.moveaxis(each, place, 0).reshape(count, -1) for each in several])

    def _costs(self, place: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Array cycles and bytes, infinite without room: of whole sums, then of parts."""
        kernel, groups = self.kernel, self.kernel.groups
        rest = bytes_of_results(kernel, self.target)
        turns: list[Any] = [
            -(-whole // size) for whole, size in zip(self.wholes, self.sizes, strict=True)
        ]
        turns[place] = self.wholes[place] / self.sizes[place]
        for parts, has_room in self._sums:
            busy = np.where(has_room, groups * self._busy(place, parts), np.inf)
            yield busy, groups * self._moved(turns, parts) + rest

    @cached_property
    def _sums(self) -> list[tuple[Sizes, NDArray[np.bool_]]]:
        """Parts of the sums, and where tiles have room for them: of whole ones, then of others."""
        pixels, (whole, some) = prod(self.sizes[:3]), map(self._parts, (True, False))
        return [
            (np.ones_like(whole), (whole == 1) & (pixels <= self._most(whole=True))),
            (np.maximum(some, 2), (some > 0) & (pixels <= self._most(whole=False))),
        ]

    @cached_property
    def _least_reads(self) -> list[int]:
        """Positions that both axes of pixels read uncut."""
        return [least_read(axis.window) for axis in self.axes]

    def _busy(self, place: int, parts: Sizes) -> NDArray[np.float64]:
        """Array cycles of a group, with sums in so many parts, each a fold or more."""
        axes = [[*cut(whole, size)] for whole, size in zip(self.wholes, self.sizes, strict=True)]
        axes[place] = [(self.sizes[place], np.ones_like(self.sizes[place]))]
        rows = slice(1, 2) if self.axes[0].window is self.kernel.rows else slice(2, 3)
        pixels: Pieces = []
        for each in product(*axes[:3]):
            block, count = [size for size, _ in each], prod(some for _, some in each)
            lines = self.kernel.lines(block[0], *block[rows])
            pixels.append((Extents(m=prod(block), n=1, k=1, lines=lines), count))
        filters: Pieces = [(Extents(m=1, n=size, k=1), count) for size, count in axes[3]]
        array, gemm = self.target.array, self.kernel.gemm
        folds = folds_down(array, gemm.whole) if array.psums_move else 1
        is_cut = parts > folds  # else the folds of all sums together are those of the parts
        some = Extents(
            m=1,
            n=1,
            k=np.where(is_cut, np.maximum(gemm.k // parts, 1), gemm.k),
            taps=np.where(is_cut, 1, gemm.taps),
        )
        sums: Pieces = [(some, np.where(is_cut, np.minimum(parts, gemm.k), 1))]
        cycles = all_cycles(array, pixels, filters, sums)
        return np.asarray(cycles * (self.wholes[place] / self.sizes[place]), dtype=float)

    def _moved(self, turns: list[Any], parts: Sizes) -> NDArray[np.float64]:
        """Bytes of a group's ifmap, filters and psums: one of the first two comes once, if sums are
        whole or psums leave."""
        kernel, target, pixels = self.kernel, self.target, prod(turns[:3])
        weights = kernel.filters * kernel.gemm.k * target.bytes_of("filter")
        words = prod(map(_reads, self.axes, self._least_reads, turns[1:3]))
        maps = kernel.batch * kernel.channels * words * target.bytes_of("ifmap")
        maps = maps * (not target.residence.ifmap)
        psums = 2 * kernel.gemm.m * kernel.filters * target.bytes_of("psum") * (parts - 1)
        once = np.minimum(maps * turns[3] + weights, maps + weights * pixels)
        return np.asarray(np.minimum(once + psums, maps * turns[3] + weights * pixels))


def _may_be_least(busy: NDArray[np.float64], moved: NDArray[np.float64]) -> NDArray[np.bool_]:
    """By row those of finite cycles that may take least of one, or between: of the fastest of a row
    what moves more, and of those that move least what is slower, is none."""
    fastest = busy.min(axis=1, keepdims=True)
    its = np.where(busy == fastest, moved, np.inf).min(axis=1, keepdims=True)
    fits = np.isfinite(busy) & (moved <= its)
    fewest = np.where(fits, moved, np.inf).min(axis=1, keepdims=True)
    slowest = np.where(moved == fewest, busy, np.inf).min(axis=1, keepdims=True)
    kept: NDArray[np.bool_] = fits & (busy <= slowest)
    return kept


def _least_of_both(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rows of two costs and a size those than which none of their size has less of both, in
    their order."""
    busy, moved, sizes = rows.T
    order = np.lexsort((moved, busy, sizes))
    group = np.cumsum(np.diff(sizes[order], prepend=0) > 0)
    key = moved[order] - group * (moved.max(initial=0.0) + 1)  # less in every group than before
    least = np.minimum.accumulate(key)
    kept: NDArray[np.float64] = rows[np.sort(order[key < np.append(np.inf, least[:-1])])]
    return kept


def _reads(axis: Pixels, least: int, pieces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions that so many pieces of an axis read, of `least` uncut: what windows share twice."""
    again = 0
    if isinstance(axis.window, Window) and not axis.dilated:
        again = max(axis.window.kernel - axis.window.stride, 0)
    return least + (pieces - 1) * again
