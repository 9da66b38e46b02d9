"""What a tiling of a vector kernel takes: room, cycles and DRAM bytes, for many tilings at once.

Tiles differ in size where an axis is not cut evenly: a full piece and a rest along each axis make
a few kinds of tiles, and all sums are over these. Each transfer takes whole bursts and cycles, each
tile whole cycles of the lanes.

A layer takes as long as the most of these:

* the lanes at work, from the first tile's coming to the last one's leaving;
* DRAM at work, and what the last tile takes once it has come;
* tiles in the places that a buffer has, one after another: a place of the ifmap is taken while its
  tile comes and is computed, one of the ofmap while it is computed and stored; and as room is
  asked for in turn, the tile that comes into the place behind one waits for its store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import ManyRuns, occupancy
from accelsim.hardware import Operand
from accelsim.lowering.footprint import TapReads, inside, tap_reads
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.layout import Planes, many_map_runs, many_packed
from accelsim.lowering.objective import weighed
from accelsim.lowering.target import BufferSpace, Sizes, Target
from accelsim.lowering.vector_energy import vector_energy
from accelsim.lowering.vector_kinds import Kinds, kinds_of, largest, over_kinds
from accelsim.lowering.vector_unit import VectorExtents, loaded_inputs, totals, vector_unit

Cycles = NDArray[np.float64]

AXES = ("batch", "channels", "rows", "cols", "tap_rows", "tap_cols", "arrays")
"""What a tiling chooses, in the order of VectorTiling."""

TIE = 1 + 1 / 128
"""By so much cycles may differ and be ties: the closed form is no better than that."""


@dataclass
class VectorCosts:
    """Costs of tilings: `sizes`, shape (7, tilings), are those of AXES.

    With `kinds` off, all tiles count as full ones: a first guess. `tap_reads` may be a table.
    """

    kernel: VectorKernel
    target: Target
    sizes: Sizes
    kinds: bool = True
    tap_reads: TapReads = tap_reads

    def __post_init__(self) -> None:
        self.unit = vector_unit(self.target)
        self.rate = float(self.target.dram_bytes_per_cycle)
        self.loaded = loaded_inputs(self.kernel, self.target)
        self.stored = self.target.residence.stored
        self.batch, self.channels, self.rows, self.cols = self.sizes[:4]
        self.tap_rows, self.tap_cols, self.arrays = self.sizes[4:]

    # --- Tiles ------------------------------------------------------------------------------------

    @cached_property
    def in_passes(self) -> NDArray[np.bool_]:
        """Whether a block's channels take several tiles, and so passes."""
        return np.asarray((self.channels < self.kernel.channels) & bool(self.kernel.passes))

    @cached_property
    def by_taps(self) -> NDArray[np.bool_]:
        """Whether windows are cut by taps."""
        rows, cols = self.kernel.rows.kernel, self.kernel.cols.kernel
        return np.asarray((self.tap_rows < rows) | (self.tap_cols < cols))

    @cached_property
    def cuts(self) -> Sizes:
        """Pieces of a window."""
        rows, cols = self.kernel.rows.kernel, self.kernel.cols.kernel
        return np.asarray(-(-rows // self.tap_rows) * -(-cols // self.tap_cols))

    @cached_property
    def parts(self) -> Sizes:
        """Tiles of a block, in one pass."""
        pieces = -(-self.kernel.channels // self.channels)
        return np.where(self.in_passes, pieces, 1) * self.cuts

    @cached_property
    def blocks(self) -> Sizes:
        """Blocks of the ofmap, which arrays share."""
        kernel = self.kernel
        deep = np.where(self.in_passes, 1, -(-kernel.channels // self.channels))
        down, across = -(-kernel.rows.outputs // self.rows), -(-kernel.cols.outputs // self.cols)
        return np.asarray(deep * down * across * -(-kernel.batch // self.batch))

    @cached_property
    def turns(self) -> Sizes:
        """Passes over a block."""
        return np.where(self.in_passes, max(len(self.kernel.passes), 1), 1)

    @property
    def tiles_in_all(self) -> Sizes:
        """Tiles of all blocks, in all passes."""
        return np.asarray(self.blocks * self.parts * self.turns)

    @property
    def loads_any(self) -> bool:
        """Whether its tiles load anything."""
        return bool(self.loaded) or self.kernel.filtered

    # --- What is read -----------------------------------------------------------------------------

    @cached_property
    def deep(self) -> tuple[Sizes, Sizes]:
        """Channels that the largest tile reads, and those that all tiles along them read."""
        depth = self.kernel.depth
        return self.tap_reads(depth, self.channels, depth.kernel)

    @cached_property
    def down(self) -> tuple[Sizes, Sizes]:
        """The same of rows."""
        return self.tap_reads(self.kernel.rows, self.rows, self.tap_rows)

    @cached_property
    def across(self) -> tuple[Sizes, Sizes]:
        """The same of columns."""
        return self.tap_reads(self.kernel.cols, self.cols, self.tap_cols)

    @cached_property
    def fetched_words(self) -> Sizes:
        """Words of all loads."""
        return self.words_of_all(self.loaded)

    def words_of_all(self, inputs: Sequence[bool]) -> Sizes:
        """Words of some inputs that all tiles read."""
        kernel, full = self.kernel, sum(inputs)
        words = full * self.deep[1] * self.down[1] * self.across[1]
        planes = -(-kernel.rows.outputs // self.rows) * -(-kernel.cols.outputs // self.cols)
        given = (len(inputs) - full) * kernel.channels * planes * self.cuts
        return np.asarray(self.turns * kernel.batch * (words + given))

    @cached_property
    def filter_bytes(self) -> Sizes:
        """Bytes of filters of all loads: every tile brings its own."""
        kernel = self.kernel
        whole = kernel.filtered * kernel.channels * kernel.taps * self.target.bytes_of("filter")
        return np.asarray(whole * self.blocks // -(-kernel.channels // self.channels))

    @cached_property
    def dram_bytes(self) -> Sizes:
        """Bytes that cross the DRAM channel."""
        stored = self.kernel.outputs * self.target.bytes_of("ofmap") * self.stored
        read = self.fetched_words * self.target.bytes_of("ifmap") + self.filter_bytes
        return np.asarray(read + stored)

    @property
    def second(self) -> NDArray[Any]:
        """Of tilings that cost the same that with the least wins: DRAM traffic, of energy time."""
        return self.cycles if self.target.objective == "energy" else self.dram_bytes

    # --- Room -------------------------------------------------------------------------------------

    @cached_property
    def ifmap_bytes(self) -> Sizes:
        """What the largest tile loads."""
        full = sum(self.loaded)
        words = full * self.deep[0] * self.down[0] * self.across[0]
        words = words + (len(self.loaded) - full) * self.channels
        return np.asarray(words * self.batch * self.target.bytes_of("ifmap"))

    @cached_property
    def tile_filter_bytes(self) -> Sizes:
        """What the largest tile loads of filters."""
        words = self.kernel.filtered * self.channels * self.tap_rows * self.tap_cols
        return np.asarray(words * self.target.bytes_of("filter"))

    @cached_property
    def ofmap_bytes(self) -> Sizes:
        """What the largest tile makes, if that needs room."""
        words = self.batch * self.channels * self.rows * self.cols
        needed = not self.target.computes_in_place
        return np.asarray(words * self.target.bytes_of("ofmap") * needed)

    @cached_property
    def psum_bytes(self) -> Sizes:
        """What the largest block keeps between its tiles."""
        pixels = self.batch * self.rows * self.cols
        parts = self.kernel.kept_each * self.channels * self.by_taps
        words = pixels * np.where(self.in_passes, self.kernel.kept, parts)
        return np.asarray(words * self.target.bytes_of("psum"))

    def held(self, space: BufferSpace) -> Sizes:
        """Bytes of a buffer that the largest tile takes, without its ifmap."""
        ofmap = self.ofmap_bytes * ("ofmap" in space.holds)
        psum = self.psum_bytes * ("psum" in space.holds)
        if self.target.reserves_blocks:
            return np.where(self.in_passes, 2, 1) * ofmap + psum
        both = ofmap + psum
        return both if self.kernel.passes else np.maximum(ofmap, psum)

    def demand(self, space: BufferSpace) -> Sizes:
        """Bytes of a buffer that the largest tile takes."""
        loaded = self.ifmap_bytes * ("ifmap" in space.holds)
        loaded = loaded + self.tile_filter_bytes * ("filter" in space.holds)
        if self.target.reserves_blocks:
            loaded = loaded * np.where(self.in_passes | self.by_taps, 2, 1)
        return np.asarray(loaded + self.helds[space.name])

    @cached_property
    def helds(self) -> dict[str, Sizes]:
        """`held` of every buffer, by its name."""
        return {space.name: self.held(space) for space in self.target.buffers}

    @cached_property
    def demands(self) -> dict[str, Sizes]:
        """`demand` of every buffer, by its name."""
        return {space.name: self.demand(space) for space in self.target.buffers}

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Whether a tile fits half of every buffer."""
        each = [self.demands[space.name] <= space.half for space in self.target.buffers]
        return np.asarray(np.logical_and.reduce(each))

    @cached_property
    def tile_bytes(self) -> Sizes:
        """What a tile takes of the buffer that holds ifmaps."""
        return self.demands[self.target.buffers[self.target.buffer_index("ifmap")].name]

    # --- Kinds of tiles ---------------------------------------------------------------------------

    @cached_property
    def tiles(self) -> Kinds:
        """The kinds of tiles of one pass."""
        return kinds_of(self.sizes[:6], totals(self.kernel, self.target)[:6], self.kinds)

    @cached_property
    def regions(self) -> tuple[Sizes, ...]:
        """Images, channels, rows and columns that each kind of tile reads, away from all edges."""
        kernel, (batch, channels, rows, cols, down, across) = self.kernel, self.tiles.sizes
        axes = (
            (kernel.depth, channels, kernel.depth.kernel),
            (kernel.rows, rows, down),
            (kernel.cols, cols, across),
        )
        return batch, *(np.minimum(inside(axis, *cut), axis.size) for axis, *cut in axes)

    def words_read(self, inputs: Sequence[bool]) -> Sizes:
        """Words that each kind of tile reads of `inputs`."""
        batch, deep, down, across = self.regions
        full = sum(inputs)
        words = full * deep * down * across + (len(inputs) - full) * self.tiles.sizes[1]
        return np.asarray(batch * words)

    @cached_property
    def filters_read(self) -> Sizes:
        """Words of filters that each kind of tile reads."""
        _, channels, _, _, down, across = self.tiles.sizes
        return np.asarray(self.kernel.filtered * channels * down * across)

    @cached_property
    def written(self) -> Sizes:
        """Elements of the ofmap of each kind of tile."""
        batch, channels, rows, cols = self.tiles.sizes[:4]
        return np.asarray(batch * channels * rows * cols)

    # --- Cycles of tiles --------------------------------------------------------------------------

    def lanes(self, turn: int) -> Sizes:
        """Cycles of each kind of tile in a pass; of the last one where there are fewer."""
        kernel, (batch, _, rows, cols, down, across) = self.kernel, self.tiles.sizes
        share = down * across
        per_element = np.where(self.in_passes, (kernel.passes or (0,))[turn], kernel.operations)
        cut = self.by_taps & (not kernel.passes)
        psums = np.where(
            self.in_passes, batch * rows * cols * (kernel.kept + 1), 2 * self.written * cut
        )
        ends = np.where(self.in_passes, turn == len(kernel.passes) - 1, 1)
        extents = VectorExtents(
            read=self.words_read(kernel.inputs),
            written=self.written * ends,
            operations=-(-self.written * per_element * share // kernel.taps),
            psum_reads=psums,
            filters=self.filters_read,
        )
        return np.asarray(self.unit.cycles(extents))

    @cached_property
    def busy(self) -> tuple[Cycles, Cycles]:
        """Cycles of the lanes: of all tiles, and of the largest in a pass of the most."""
        each = self.tiles.each
        turns = len(self.kernel.passes) or 1
        cycles = [self.lanes(turn) for turn in range(turns)]
        sums = [over_kinds(each * own) for own in cycles]
        most = np.maximum.reduce([largest(own) for own in cycles])
        total = np.where(self.in_passes, sum(sums), sums[-1])
        return total, np.where(self.in_passes, most, largest(cycles[-1]))

    @cached_property
    def loading(self) -> tuple[Cycles, Cycles]:
        """Cycles of the DRAM channel for loads: of all tiles, and of the largest."""
        kernel, each, words = self.kernel, self.tiles.each, self.words_read(self.loaded)
        whole = Planes(kernel.batch, kernel.depth.size, kernel.rows.size, kernel.cols.size)
        maps = max(sum(self.loaded), 1)
        cycles = self.channel_cycles("ifmap", words, whole, self.regions, maps)
        total = over_kinds(each * cycles) / np.maximum(over_kinds(each * words), 1)
        every, one = total * self.fetched_words, largest(cycles)
        if not kernel.filtered:
            return every, one
        filters = self.filter_cycles
        return every + over_kinds(each * filters), one + largest(filters)

    @cached_property
    def storing(self) -> tuple[Cycles, Cycles]:
        """The same for stores."""
        if not self.stored:
            nothing = np.zeros(self.sizes.shape[1])
            return nothing, nothing
        kernel, words = self.kernel, self.written
        whole = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
        cycles = self.channel_cycles("ofmap", words, whole, self.tiles.sizes[:4])
        return over_kinds(self.tiles.each / self.cuts * cycles), largest(cycles)

    def channel_cycles(
        self, operand: Operand, words: Sizes, whole: Planes, block: tuple[Sizes, ...], maps: int = 1
    ) -> Cycles:
        """Whole cycles of a transfer of so many words, as `Target.occupied_cycles`."""
        size = words * self.target.bytes_of(operand)
        if self.target.timing is None:
            return self.occupied(size)
        runs = many_map_runs(whole, block, self.target.bytes_of(operand))
        return self.occupied(size, replace(runs, count=runs.count * maps), operand == "ofmap")

    @property
    def filter_cycles(self) -> Cycles:
        """The same of each kind of tile's filters, which lie as the tiles take them."""
        size = self.filters_read * self.target.bytes_of("filter")
        return self.occupied(size, many_packed(size))

    def occupied(self, size: Sizes, lie: ManyRuns | None = None, is_write: bool = False) -> Cycles:
        """Whole cycles of a transfer of `size` bytes, and of a data sheet's DRAM how they `lie`."""
        target = self.target
        bursts = -(-size // target.dram_burst) * target.dram_burst
        cycles = np.ceil(bursts / self.rate - 1e-9)
        if target.timing is None or lie is None:
            return np.asarray(cycles)
        clocks = occupancy(target.timing, lie, target.replays, is_write)
        return np.asarray(np.maximum(cycles, np.ceil(clocks * float(target.cycles_per_clock))))

    # --- Cycles of the layer ----------------------------------------------------------------------

    @cached_property
    def cycles(self) -> Cycles:
        """Cycles of the whole layer, by itself."""
        return np.asarray(np.maximum.reduce(list(self._bounds())))

    @cached_property
    def energy_pj(self) -> Cycles:
        """pJ of the whole layer; 0 where nobody asks."""
        return vector_energy(self)

    @property
    def cost(self) -> Cycles:
        """What the objective minimises."""
        return np.asarray(weighed(self.target.objective, self.cycles, self.energy_pj))

    def _bounds(self) -> Iterator[Cycles]:
        target = self.target
        (busy, work), (_, load), (_, store) = self.busy, self.loading, self.storing
        blocks = -(-self.blocks // self.arrays)
        share = blocks / self.blocks
        latency_in = target.dram_latency * self.loads_any
        latency_out = target.dram_latency * self.stored
        move = self.move_cycles
        out = store + latency_out + move
        tasks = blocks * self.parts * self.turns
        yield self.arrays * load + latency_in + np.maximum(busy * share, move * blocks) + out
        turning = self.stored * self.loads_any * sum(target.turnaround_cycles)
        yield from self._dram_bound(tasks, latency_in + latency_out, turning)
        chain = load + latency_in + work
        alone = chain + out
        yield _rounds(tasks, self.ifmap_places, chain, np.maximum(load, work)) + alone
        tile = work * self.parts * self.turns
        ofmap = tile + store + latency_out + move
        own = self.ofmap_places
        pace = np.maximum(np.maximum(load * self.parts * self.turns, tile), store)
        yield _rounds(blocks, own, ofmap, pace) + alone
        yield _rounds(blocks, own + 1, ofmap + load + latency_in, pace) + alone

    def _dram_bound(self, tasks: Sizes, latency: int, turning: int) -> Iterator[Cycles]:
        """DRAM at work; stores of the tiles before the last fill the time in which it computes."""
        (_, work), (loads, _), (stores, store) = self.busy, self.loading, self.storing
        waiting = np.minimum(tasks, self.ifmap_places) - 1
        hidden = np.minimum(work + self.target.dram_latency, waiting * store)
        switches = np.minimum(self.blocks, tasks * self.arrays) * turning
        yield loads + stores + switches + latency + work - hidden * (stores > store)

    @property
    def move_cycles(self) -> Cycles:
        """Cycles in which a kept tile gets to its place."""
        return self.target.move_cycles(self.ofmap_bytes)

    @cached_property
    def ifmap_places(self) -> Sizes:
        """How many tiles' ifmaps their buffer has room for."""
        space, whole = self._whole_places("ifmap")
        cut = self.by_taps | self.in_passes
        if not cut.any():
            return whole
        left = (space.size - 2 * self.helds[space.name]) // np.maximum(self.ifmap_bytes, 1)
        return np.where(cut, np.maximum(left, 2), whole)

    @cached_property
    def ofmap_places(self) -> Sizes:
        """How many tiles' ofmaps their buffer has room for."""
        return self._whole_places("ofmap")[1]

    def _whole_places(self, operand: Operand) -> tuple[BufferSpace, Sizes]:
        """The buffer of `operand`, and for how many tiles it has room, with all that they hold."""
        space = self.target.buffers[self.target.buffer_index(operand)]
        return space, np.maximum(space.size // np.maximum(self.demands[space.name], 1), 2)


def _rounds(tiles: Sizes, places: Sizes, chain: Cycles, pace: Cycles) -> Cycles:
    """Until the last of some tiles begins, each in the place of one `places` before it.

    A place is taken for `chain` cycles; tiles in different places come at their `pace` at best.
    """
    places = np.minimum(places, tiles)
    turns = -(-tiles // places) - 1
    return np.asarray(turns * chain + (tiles - 1 - turns * places) * pace)
