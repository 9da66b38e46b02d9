"""The row-stationary array as a processor: the laws of its passes, added up over a tile."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accelsim.lowering.extents import Cycles, Truth
from accelsim.lowering.processor import Counts, TileWork
from accelsim.lowering.row_stationary import (
    Pass,
    PassWords,
    RowShape,
    RowStationary,
    inside_moves,
    pass_time,
    pass_words,
    row_shape,
)
from accelsim.network.ops import Window


@dataclass(frozen=True, slots=True)
class RowTile:
    """Some taps and channels of a block of the ofmap, and the sets that take it.

    `pass_filters` of its filters are in the PEs at a time, in `t` chains of `r` sets. `ends`: its
    psums are complete after it.
    """

    images: Cycles
    rows: Cycles
    cols: Cycles
    filters: Cycles
    channels: Cycles
    tap_rows: Cycles
    tap_cols: Cycles
    pass_filters: Cycles
    r: Cycles
    t: Cycles
    ends: Truth = True


@dataclass(frozen=True, slots=True)
class RowUnit:
    """A row-stationary array at work on windows of these strides and dilations."""

    model: RowStationary
    windows: tuple[Window, Window]

    def shape(self, tile: RowTile) -> RowShape:
        """The PE sets of a tile."""
        return row_shape(self.model, self.windows, tile.tap_rows, tile.tap_cols)

    def passes(self, tile: RowTile) -> Iterator[tuple[Cycles, Pass]]:
        """The passes over a tile's filters that are alike, and how many: full ones, and the rest.

        Each is made once for every piece of the taps.
        """
        full = np.minimum(tile.pass_filters, tile.filters)
        whole, rest = tile.filters // np.maximum(full, 1), tile.filters % np.maximum(full, 1)
        for filters, count in ((full, whole), (rest, np.minimum(rest, 1))):
            if np.any(count):
                yield (
                    count,
                    Pass(
                        images=tile.images,
                        rows=tile.rows,
                        cols=tile.cols,
                        channels=tile.channels,
                        filters=filters,
                        r=tile.r,
                        t=tile.t,
                    ),
                )

    def cycles(self, tile: RowTile) -> Cycles:
        """Cycles of all passes."""
        return self.cycles_and_words(tile)[0]

    def cycles_and_words(self, tile: RowTile) -> tuple[Cycles, Cycles]:
        """Cycles of all passes; ifmap words that they read, and psums that they read and write."""
        shape = self.shape(tile)
        cycles: Cycles = 0
        buffered: Cycles = 0
        for count, work in self.passes(tile):
            words = pass_words(shape, work)
            cycles = cycles + count * pass_time(self.model, shape, work, words).total
            buffered = buffered + count * (words.ifmap + 2 * words.psum)
        return cycles * shape.pieces, buffered * shape.pieces

    def tail(self, tile: RowTile) -> Cycles:
        """None: a pass ends when its last psum is out."""
        return 0 * tile.filters

    def work(self, tile: RowTile) -> TileWork:
        """The passes of a tile, added up. All take psums, the first ones the bias."""
        shape = self.shape(tile)
        cycles: Counts = {}
        sram: Counts = {}
        inside: Counts = {}
        for count, work in self.passes(tile):
            times = count * shape.pieces
            ends = count * np.equal(tile.ends, True)  # passes after which psums are complete
            words = pass_words(shape, work)
            _add(cycles, times, self._cycles(shape, work, words))
            _add(sram, times, {"ifmap_reads": words.ifmap, "filter_reads": words.filter})
            _add(sram, times, {"psum_reads": words.psum})
            _add(sram, times - ends, {"psum_writes": words.psum})
            _add(sram, ends, {"ofmap_writes": words.psum})
            _add(inside, count, inside_moves(shape, work))
        taps = tile.channels * tile.tap_rows * tile.tap_cols
        macs = tile.images * tile.rows * tile.cols * tile.filters * taps
        return TileWork(**cycles, tail=self.tail(tile), operations=macs, sram=sram, inside=inside)

    def _cycles(self, shape: RowShape, work: Pass, words: PassWords) -> Counts:
        time = pass_time(self.model, shape, work, words)
        waits: Cycles = np.minimum(time.words, 1)
        bound: Cycles = time.total * waits
        return {
            "streaming": time.stream,
            "fill_drain": time.fill,
            "buffer": time.words,
            "buffer_bound": bound,
        }

    def leaves_unfinished(self, tile: RowTile) -> Truth:
        """Never: psums of a block stay in their buffer until they are complete."""
        return np.zeros(np.shape(tile.filters), bool)

    def room(self, tile: RowTile, footprint: Counts) -> Counts:
        """The filters of a pass only; those of the others come while it runs."""
        shape = self.shape(tile)
        filters: Cycles = np.minimum(tile.pass_filters, tile.filters)
        weights = filters * tile.channels * shape.set_rows * shape.taps
        return {**footprint, "filter": weights}

    def likes(self, taps: int) -> dict[str, int]:
        """Any size: how many PEs a tile fills is up to its mapping."""
        return {}


def _add(total: Counts, times: Cycles, counts: Counts) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + times * count
