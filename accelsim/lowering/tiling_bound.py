"""What any tiling of a GEMM kernel takes at least, by the room that its tiles have.

Tiles are counted exactly along images, one axis of pixels and filters; along the other axis and in
depth they are as few as the room of each operand by itself allows. An array takes at least the
cycles of so many tiles, and DRAM moves at least what they bring again and again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isqrt, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.bound import bytes_of_results, least_cycles, least_of_a_fold
from accelsim.lowering.dataflow import folds_down, leaves_unfinished
from accelsim.lowering.demand import buffer_demand
from accelsim.lowering.footprint import TapReads, least_read
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Sizes, Target
from accelsim.network.ops import Read, Window

MOST = 1 << 15
"""Kinds of tiles that are looked at; of more, which is of very long axes, nothing is said."""

FEW = 1 << 12
"""Kinds of tiles so few that all pieces of both axes of pixels are among them."""

LONG = 1024
"""Outputs of an axis whose pieces are looked at one by one; of longer ones each reads its share."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """Kinds of tiles: of any tiling one says array cycles, bytes and bytes around at least.

    Those come before the array has work, or leave when it has none; nothing is said of them where
    there are many kinds. One tile takes `alone` cycles, told where nothing is stored meanwhile. By
    row, `shapes` are the images, rows, columns and filters of such tiles.
    """

    busy: NDArray[np.float64]
    moved: NDArray[np.float64]
    around: NDArray[np.float64]
    alone: NDArray[np.float64]
    shapes: NDArray[np.int64]

    def array_cycles(self, rate: float) -> NDArray[np.float64]:
        """What each takes of the array and around that, at so many bytes per cycle.

        Tiles with less than a fold of the sums come sooner, but leave PEs idle for as long.
        """
        return np.asarray(self.busy + np.minimum(self.around / rate, self.busy))


def frontier(kernel: GemmKernel, target: Target, space: int, tap_reads: TapReads) -> Frontier:
    """What tilings take, with `space` bytes of the buffer that holds ifmaps.

    Empty if there are too many kinds of tiles to say it. Of several arrays one has at least its
    share of the work; they bring no less than one that takes their tiles in turn.
    """
    tiles = Tiles(kernel, target, space, tap_reads)
    every = np.empty((0, 8)) if tiles.count > MOST else np.concatenate([*tiles.courses()])
    busy, moved, around, alone = every[:, :4].T
    shapes = every[:, 4:].astype(np.int64)
    return Frontier(
        busy=busy / target.sharers, moved=moved, around=around, alone=alone, shapes=shapes
    )


@dataclass(frozen=True)
class Pixels:
    """An axis of pixels cut in pieces: what they have and read, by their largest size."""

    window: Read
    tap_reads: TapReads

    @cached_property
    def outputs(self) -> int:
        """All outputs."""
        return self.window.outputs

    @property
    def dilated(self) -> bool:
        """Whether taps lie apart: cut apart, they need not read what is between."""
        return isinstance(self.window, Window) and self.window.dilation > 1

    def _spans(self, taps: int) -> Sizes:
        """The largest span of pieces of each size with so many taps, or of larger ones."""
        spans, _ = self.tap_reads(self.window, np.arange(1, self.outputs + 1), taps)
        return np.minimum.accumulate(spans[::-1])[::-1]

    @cached_property
    def _whole_spans(self) -> Sizes:
        return self._spans(self.window.kernel if isinstance(self.window, Window) else 1)

    @cached_property
    def _part_spans(self) -> Sizes:
        return self._spans(1) if self.dilated else self._whole_spans

    @cached_property
    def _reads(self) -> Sizes:
        """What pieces up to each size read."""
        sizes = np.arange(1, self.outputs + 1)
        if self.dilated:
            return np.full_like(sizes, least_read(self.window))
        taps = self.window.kernel if isinstance(self.window, Window) else 1
        return np.minimum.accumulate(self.tap_reads(self.window, sizes, taps)[1])

    def _beyond(self, taps: int) -> int:
        """Positions of a piece with so many taps beyond a stride for each output, at least."""
        assert isinstance(self.window, Window)
        window = self.window
        last = (window.outputs - 1) * window.stride + window.extent - window.before
        padding = window.before + max(last - window.size, 0)
        return (taps - 1) * window.dilation + 1 - window.stride - padding

    def spans(self, sizes: Sizes, parts: bool = False) -> Sizes:
        """What the largest piece reads at least; of `parts` of its taps, all of them together."""
        if self.outputs <= LONG:
            return (self._part_spans if parts else self._whole_spans)[sizes - 1]
        if not isinstance(self.window, Window):
            return np.ones_like(sizes)
        beyond = self._beyond(1 if parts and self.dilated else self.window.kernel)
        return np.clip(sizes * self.window.stride + beyond, 1, self.window.size)

    def reads(self, sizes: Sizes) -> Sizes:
        """What pieces of these sizes, or smaller ones, read together at least."""
        if self.outputs > LONG:
            return np.full_like(sizes, least_read(self.window))
        return self._reads[sizes - 1]

    def within(self, room: Sizes) -> Sizes:
        """The largest size of pieces whose span is at most so much; 0 where that is none."""
        if self.outputs <= LONG:
            return np.searchsorted(self._whole_spans, room, side="right")
        if not isinstance(self.window, Window):
            return np.full_like(room, self.outputs)
        most = (room - self._beyond(self.window.kernel)) // self.window.stride
        return np.where(room > 0, np.clip(most, 1, self.outputs), 0)


def _kinds(whole: int) -> Sizes:
    """The smallest size of pieces for each number of them."""
    few = np.arange(1, min(isqrt(whole) + 1, whole) + 1)
    sizes = np.concatenate([few, -(-whole // few)])
    return np.unique(-(-whole // -(-whole // sizes)))


@dataclass(frozen=True)
class Tiles:
    """Kinds of tiles of one group; arrays have axes of images, of both axes of pixels, of filters.

    Of the longer axis of pixels all pieces are counted where there are FEW kinds of tiles; else
    only the largest that have room.
    """

    kernel: GemmKernel
    target: Target
    space: int
    tap_reads: TapReads

    @cached_property
    def axes(self) -> tuple[Pixels, Pixels]:
        """The axis of pixels of which all pieces are counted, and the longer one."""
        first, second = (Pixels(window, self.tap_reads) for window in self.kernel.windows)
        return (first, second) if first.outputs <= second.outputs else (second, first)

    @property
    def wholes(self) -> tuple[int, int, int, int]:
        """All images, outputs of both axes of pixels, and filters."""
        first, second = (axis.outputs for axis in self.axes)
        return self.kernel.batch, first, second, self.kernel.filters

    @cached_property
    def sizes(self) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """Images, pieces of both axes and filters, the smallest for each number of tiles."""
        images, pieces, across, filters = map(_kinds, self.wholes)
        if prod(each.size for each in (images, pieces, across, filters)) > FEW:
            across = np.array([self.axes[1].outputs])
        return images[:, None, None, None], pieces[:, None, None], across[:, None], filters

    @property
    def counts_all(self) -> bool:
        """Whether all pieces of the longer axis are counted."""
        return self.sizes[2].size > 1 or self.axes[1].outputs == 1

    @property
    def count(self) -> int:
        """How many there are."""
        return prod(each.size for each in self.sizes)

    def courses(self) -> Iterator[NDArray[np.float64]]:
        """By row what a Frontier says of tiles with whole sums, then of those with parts of them.

        Whole: what filters, or what pixels the outer loop has comes once. Parts: all comes again
        for each tile of the other; or one of both comes once, and psums leave and come back. There
        are as many parts as the tiles of both need to have room.
        """
        kernel, target, filters = self.kernel, self.target, self.sizes[3]
        weights = kernel.filters * kernel.gemm.k * target.bytes_of("filter")
        turns = -(-kernel.filters // filters)
        most, parts = self._most(whole=True), self._parts(whole=True)
        cols = self._cols(np.where(parts == 1, most, 0), self._with_all_sums())
        pixels, maps = self._pixels(cols), self._maps(cols)
        moved = np.minimum(maps + weights * pixels, maps * turns + weights)
        yield self._of(cols, most, 1, moved)
        most, parts = self._most(whole=False), self._parts(whole=False)
        cols = self._cols(np.where(parts > 0, most, 0), self.axes[1].outputs)
        pixels, maps = self._pixels(cols), self._maps(cols)
        parts = np.maximum(parts, 2)
        psums = 2 * kernel.gemm.m * kernel.filters * target.bytes_of("psum") * (parts - 1)
        once = np.minimum(maps * turns + weights, maps + weights * pixels) + psums
        yield self._of(cols, most, parts, np.minimum(maps * turns + weights * pixels, once))

    def _parts(self, whole: bool) -> Sizes:
        """Parts of the sums at least, so that all that a tile has of a buffer has room there; 0
        where its results alone have none. As few columns as tiles may have count.
        """
        kernel, target, (images, pieces, across, filters) = self.kernel, self.target, self.sizes
        cols = across if self.counts_all else np.ones_like(across)
        each = self.axes[0].spans(pieces, parts=True) * self.axes[1].spans(cols, parts=True)
        finished = whole and not leaves_unfinished(target.array, kernel.gemm.k, kernel.gemm.taps)
        results = images * pieces * cols * filters
        words: dict[Operand, Sizes] = {
            "ifmap": images * each * kernel.channels * (not target.residence.ifmap),
            "filter": np.asarray(filters * kernel.gemm.k),
            "psum": results * (not finished),
            "ofmap": results * (not target.computes_in_place),
        }
        demand = {item: words[item] * target.bytes_of(item) for item in words}
        parts = np.ones(np.broadcast_shapes(*(size.shape for size in words.values())), np.int64)
        none = np.zeros_like(parts)
        for index, space in enumerate(target.buffers):
            room = self._room(index) - buffer_demand(
                space, {**demand, "ifmap": none, "filter": none}
            )
            moving = buffer_demand(space, {**demand, "psum": none, "ofmap": none})
            fits = (room >= (moving > 0)) & (parts > 0)
            parts = np.where(fits, np.maximum(parts, -(-moving // np.maximum(room, 1))), 0)
        return parts

    def _cols(self, most: Sizes, room: Sizes | int) -> Sizes:
        """Columns of tiles of so many pixels at most, and as many columns; 0 where none counts."""
        images, pieces, across, _ = self.sizes
        largest = np.minimum(most // (images * pieces), room)
        return np.where(across <= largest, across, 0) if self.counts_all else largest

    def _of(
        self, cols: Sizes, most: Sizes, parts: Sizes | int, moved: Sizes
    ) -> NDArray[np.float64]:
        """By row, of all groups, where tiles have columns."""
        kernel, target = self.kernel, self.target
        (images, pieces, _, filters), gemm = self.sizes, kernel.gemm
        turns = -(-gemm.n // filters)
        busy = least_cycles(
            target.array,
            gemm,
            pieces={"m": self._pixels(cols), "n": turns, "k": parts},
            longest={
                "m": np.maximum(most, 1),
                "n": np.where(turns > 1, (gemm.n - 1) // np.maximum(turns - 1, 1), gemm.n),
                "k": gemm.k,
            },
        )
        rest = bytes_of_results(kernel, target)
        even = -(-self.axes[1].outputs // self._pieces_across(cols))
        rows, across = (pieces, even) if self.axes[0].window is kernel.rows else (even, pieces)
        around = self._around(images * rows * across, parts) * self.counts_all
        totals = kernel.groups * busy, kernel.groups * moved + rest, around, self._alone(cols)
        every = np.broadcast_arrays(*totals, images, rows, across, filters)
        return np.stack([each[cols > 0] for each in every], axis=1)

    def _alone(self, cols: Sizes) -> NDArray[np.float64]:
        """Cycles of a tile on average, at least: one fold of its share of pixels or filters.

        That counts where nothing is stored meanwhile; elsewhere it is 0.
        """
        if self.target.residence.ifmap or self.target.residence.stored:
            return np.zeros(1)
        gemm, time = self.kernel.gemm, self.target.array.dataflow.time
        share: Any = np.ones(1)
        if self.counts_all and time != "k":
            tiles = {"m": self._pixels(cols), "n": -(-gemm.n // self.sizes[3])}
            share = gemm.whole.along(time) / tiles[time]
        return least_of_a_fold(self.target.array, share)

    def _half(self, operand: Operand) -> int:
        """Words of an operand that a tile has room for."""
        return self._room(self.target.buffer_index(operand)) // self.target.bytes_of(operand)

    def _room(self, index: int) -> int:
        """Bytes of a buffer that a tile has."""
        size = self.target.buffers[index].size
        return (min(size, self.space) if index == self.target.buffer_index("ifmap") else size) // 2

    def _most(self, whole: bool) -> Sizes:
        """Pixels whose sums have room: as psums, or where they are whole as the ofmap."""
        gemm, target, filters = self.kernel.gemm, self.target, self.sizes[3]
        leaves = bool(leaves_unfinished(target.array, gemm.k, gemm.taps))
        if whole and not leaves and target.computes_in_place:
            return np.full_like(filters, gemm.m)
        words = self._half("ofmap" if whole and not leaves else "psum")
        return np.asarray(np.minimum(words // filters, gemm.m))

    def _around(self, pixels: Sizes, parts: Sizes | int) -> NDArray[np.float64]:
        """Bytes of the first tile's operands, and of the last one's ofmap, at least.

        Of sums in parts the first has those of a fold; where sums stay in the array, any few.
        """
        kernel, target, filters = self.kernel, self.target, self.sizes[3]
        gemm, residence = kernel.gemm, target.residence
        folds = folds_down(target.array, gemm.whole) if target.array.psums_move else gemm.k
        sums = gemm.k / np.where(np.equal(parts, 1), 1, folds)
        first = filters * sums * target.bytes_of("filter")
        first = first + pixels * self._dense * sums / kernel.taps * target.bytes_of("ifmap")
        last = pixels * filters * target.bytes_of("ofmap") * (kernel.pooled is None)
        return np.asarray(first * (not residence.ifmap) + last * residence.stored)

    @cached_property
    def _dense(self) -> float:
        """Positions of the ifmap that a pixel reads by itself, at least."""
        return prod(min(1.0, least_read(each) / each.outputs) for each in self.kernel.windows)

    def _with_all_sums(self) -> Sizes:
        """Columns of tiles whose ifmap has room, with all channels and taps."""
        images, pieces, _, _ = self.sizes
        if self.target.residence.ifmap:
            return np.full((images * pieces).shape, self.axes[1].outputs)
        each = images * self.axes[0].spans(pieces) * self.kernel.channels
        return self.axes[1].within(self._half("ifmap") // np.maximum(each, 1))

    def _pixels(self, cols: Sizes) -> Sizes:
        """Tiles of pixels."""
        images, pieces, _, _ = self.sizes
        turns = -(-self.kernel.batch // images) * -(-self.axes[0].outputs // pieces)
        return np.asarray(turns * self._pieces_across(cols))

    def _maps(self, cols: Sizes) -> Sizes:
        """Bytes of the ifmap that all tiles of pixels read once."""
        (first, second), pieces = self.axes, self.sizes[1]
        reads = first.reads(pieces) * second.reads(np.maximum(cols, 1))
        words = self.kernel.batch * self.kernel.channels * reads
        loaded = not self.target.residence.ifmap
        return np.asarray(words * self.target.bytes_of("ifmap") * loaded)

    def _pieces_across(self, cols: Sizes) -> Sizes:
        """Pieces of the longer axis; one where tiles have no room."""
        return np.asarray(-(-self.axes[1].outputs // np.maximum(cols, 1)))
