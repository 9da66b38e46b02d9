"""What row-stationary mappings take: room in the buffers, words moved, cycles.

Everything is for one mapping or for many under comparison, by the same code.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import ManyRuns
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.demand import occupied_bytes, rounded_to_bursts
from accelsim.lowering.energy import Activity
from accelsim.lowering.footprint import tap_reads
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, many_map_runs, many_packed
from accelsim.lowering.processor import Counts
from accelsim.lowering.row_stationary import Count, Mapping, RowShape
from accelsim.lowering.row_stationary_unit import RowTile, RowUnit
from accelsim.lowering.target import Target
from accelsim.lowering.traffic import Dram, Inside, Sram
from accelsim.network.ops import Window

Cycles = NDArray[np.float64]


# --- Room -----------------------------------------------------------------------------------------


def block_tile(kernel: GemmKernel, mapping: Mapping) -> RowTile:
    """The largest tile of a mapping."""
    return RowTile(
        images=mapping.n,
        rows=mapping.e,
        cols=mapping.f,
        filters=np.minimum(mapping.m, kernel.filters),
        channels=np.minimum(mapping.channels, kernel.channels),
        tap_rows=mapping.tap_rows,
        tap_cols=mapping.tap_cols,
        pass_filters=mapping.filters,
        r=mapping.r,
        t=mapping.t,
    )


def block_words(kernel: GemmKernel, target: Target, mapping: Mapping) -> Counts:
    """Words that a block keeps on chip: ifmap and filters of a pass, psums of its m filters."""
    unit, tile = RowUnit(target.row_stationary, kernel.windows), block_tile(kernel, mapping)
    outputs = tile.images * tile.filters * tile.rows * tile.cols
    ifmap = tile.images * tile.channels * plane_words(unit.shape(tile), mapping)
    weights = tile.filters * tile.channels * tile.tap_rows * tile.tap_cols
    footprint = {"ifmap": ifmap, "filter": weights, "psum": outputs, "ofmap": outputs}
    return unit.room(tile, footprint)


def plane_words(shape: RowShape, mapping: Mapping) -> Count:
    """Words of one channel of one image that a pass reads, padding included."""
    rows = (mapping.e - 1) * shape.stride + shape.reach
    return rows * ((mapping.f - 1) * shape.col_stride + shape.col_reach)


def block_bytes(target: Target, words: Counts) -> list[Count]:
    """Bytes that a block takes of each buffer, in whole banks; the ofmap lies where psums were."""
    taken: list[Count] = []
    for space in target.buffers:
        sizes = {item: words[item] * target.bytes_of(item) for item in space.holds}
        if "psum" in sizes and "ofmap" in sizes:
            sizes["psum"] = np.maximum(sizes["psum"], sizes.pop("ofmap"))
        total: Count = 0 * words["ofmap"]
        for size in sizes.values():
            total = total + -(-size // space.bank) * space.bank
        taken.append(total)
    return taken


def lies_in_a_bank(kernel: GemmKernel, target: Target, mapping: Mapping) -> NDArray[np.bool_]:
    """Whether all channels that a pass reads of an image lie in one bank of their buffer.

    The PEs read ifmaps and psums at the same time, each from a bank of its own (JSSC 2017,
    section V-A), so the ifmap of a pass comes from one bank. Only a single channel that is larger
    by itself spreads over several. A buffer whose `bank` is not given has one port for all of it.
    """
    space = target.buffers[target.buffer_index("ifmap")]
    tile = block_tile(kernel, mapping)
    shape = RowUnit(target.row_stationary, kernel.windows).shape(tile)
    size = tile.channels * plane_words(shape, mapping) * target.bytes_of("ifmap")
    return np.asarray((space.bank == 1) | (tile.channels == 1) | (size <= space.bank))


def legal(kernel: GemmKernel, target: Target, mapping: Mapping) -> NDArray[np.bool_]:
    """Whether a block fits every buffer, and its ifmap the banks."""
    taken = block_bytes(target, block_words(kernel, target, mapping))
    fits = lies_in_a_bank(kernel, target, mapping)
    for space, size in zip(target.buffers, taken, strict=True):
        fits = fits & (size <= space.size // space.bank * space.bank)
    return fits


# --- Cost -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MappingCost:
    """What a mapping takes.

    `array_cycles` are those of all passes, on whatever array. `cycles` is the time: array,
    DRAM, and what of one the other waits for. Words are those to and from DRAM and the buffers.
    The energy is 0 where nobody asks.
    """

    array_cycles: Count
    dram_cycles: Cycles
    cycles: Cycles
    dram_words: Count
    buffer_words: Count
    energy_pj: Cycles


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a mapping cuts a layer: blocks that share filters, blocks of filters, tasks of a block"""

    strips: Count
    filters: Count
    tasks: Count

    @property
    def all(self) -> Count:
        """Blocks of a group."""
        return self.strips * self.filters


def blocks_of(kernel: GemmKernel, mapping: Mapping) -> Blocks:
    """How `mapping` cuts `kernel`."""
    images, rows = -(-kernel.batch // mapping.n), -(-kernel.rows.outputs // mapping.e)
    taps = -(-kernel.rows.kernel // mapping.tap_rows) * -(-kernel.cols.kernel // mapping.tap_cols)
    return Blocks(
        images * rows * -(-kernel.cols.outputs // mapping.f),
        -(-kernel.filters // mapping.m),
        -(-kernel.channels // mapping.channels) * taps,
    )


def courses(kernel: GemmKernel, target: Target, mapping: Mapping) -> NDArray[np.int64]:
    """What mappings whose blocks run much alike have in common, by column: the pieces of each axis,
    and whether a block has room beside another one."""
    cut = (
        (mapping.n, kernel.batch),
        (mapping.e, kernel.rows.outputs),
        (mapping.f, kernel.cols.outputs),
        (mapping.m, kernel.filters),
    )
    pieces = (np.asarray(-(-total // size)) for size, total in cut)
    tasks = np.asarray(blocks_of(kernel, mapping).tasks)
    return np.stack([*pieces, tasks, _fits_twice(kernel, target, mapping) * 1])


Part = tuple[Count, Count]
"""Size of the pieces of an axis that are alike, and how many they are."""


def _parts(total: int, size: Count) -> list[Part]:
    """`total` in pieces of `size`, and the rest."""
    most = np.minimum(size, total)
    parts = [(most, total // most), (total % most, np.minimum(total % most, 1))]
    return [(size, count) for size, count in parts if np.any(count)]


def _axes(kernel: GemmKernel, mapping: Mapping) -> dict[str, list[Part]]:
    """The pieces that each axis of a group is cut into."""
    return {
        "images": _parts(kernel.batch, mapping.n),
        "rows": _parts(kernel.rows.outputs, mapping.e),
        "cols": _parts(kernel.cols.outputs, mapping.f),
        "filters": _parts(kernel.filters, mapping.m),
        "channels": _parts(kernel.channels, mapping.channels),
        "tap_rows": _parts(kernel.rows.kernel, mapping.tap_rows),
        "tap_cols": _parts(kernel.cols.kernel, mapping.tap_cols),
    }


def _tiles(kernel: GemmKernel, mapping: Mapping) -> Iterator[tuple[Count, RowTile]]:
    """The tiles of a group that are alike, and how many."""
    block, axes = block_tile(kernel, mapping), _axes(kernel, mapping)
    for parts in product(*axes.values()):
        sizes, counts = zip(*parts, strict=True)
        count = math.prod(counts)
        if np.any(count):
            some = (np.maximum(size, 1) for size in sizes)
            yield count, replace(block, **dict(zip(axes, some, strict=True)))


def mapping_cost(kernel: GemmKernel, target: Target, mapping: Mapping) -> MappingCost:
    """The closed form of a whole layer, as its tasks add up.

    `dram_words` count the ifmap with its padding, as the chip's authors list it.
    """
    unit = RowUnit(target.row_stationary, kernel.windows)
    array: Count = 0 * mapping.n
    buffered: Count = 0 * mapping.n
    for count, tile in _tiles(kernel, mapping):
        cycles, words = unit.cycles_and_words(tile)
        array = array + kernel.groups * count * cycles
        buffered = buffered + kernel.groups * count * words
    dram = _dram_cycles(kernel, target, mapping)
    down, across = map(_padded, kernel.windows)
    return MappingCost(
        array_cycles=array,
        dram_cycles=dram,
        cycles=_time(kernel, target, mapping, np.asarray(array, float), dram),
        dram_words=sum(_moved(kernel, mapping, (down, across)).values()),
        buffer_words=buffered,
        energy_pj=_energy(kernel, target, mapping),
    )


def _energy(kernel: GemmKernel, target: Target, mapping: Mapping) -> Cycles:
    """pJ of a whole layer, as its tasks add up; of a timed DRAM as a byte of any costs."""
    if target.rates is None:
        return np.zeros(np.shape(mapping.n))
    unit = RowUnit(target.row_stationary, kernel.windows)
    words: dict[str, Any] = {}
    moves: dict[str, Any] = {}
    for count, tile in _tiles(kernel, mapping):
        work = unit.work(replace(tile, ends=False))
        for total, counts in ((words, work.sram), (moves, work.inside)):
            for name, each in counts.items():
                total[name] = total.get(name, 0) + kernel.groups * count * each
    results = kernel.groups * kernel.gemm.m * kernel.filters
    words |= {"psum_writes": words["psum_writes"] - results, "ofmap_writes": results}
    moved: dict[str, Any] = {
        item: each * target.bytes_of(item)
        for item, each in _moved(kernel, mapping, kernel.windows).items()
    }
    done = Activity(
        macs=kernel.macs,
        inside=Inside(**moves),
        sram=Sram(**words),
        dram=Dram(
            ifmap_read_bytes=moved["ifmap"],
            filter_read_bytes=moved["filter"],
            ofmap_write_bytes=moved["ofmap"],
        ),
    )
    return np.asarray(target.rates.energy(done).total)


def quick_cycles(kernel: GemmKernel, target: Target, mapping: Mapping) -> Cycles:
    """A guess at the time of a mapping: as if what is left at an edge took its share of a tile."""
    block = block_tile(kernel, mapping)
    tiles = (
        *(kernel.groups, -(-kernel.rows.outputs // block.rows)),
        *(kernel.batch / block.images, kernel.cols.outputs / block.cols),
        *(kernel.filters / block.filters, kernel.channels / block.channels),
        kernel.taps / (block.tap_rows * block.tap_cols),
    )
    array = RowUnit(target.row_stationary, kernel.windows).cycles(block) * math.prod(tiles)
    return _time(kernel, target, mapping, np.asarray(array), _dram_cycles(kernel, target, mapping))


def rough_cycles(kernel: GemmKernel, target: Target, mapping: Mapping) -> Cycles:
    """About the time of a mapping: as if what is left at the end of an axis took as large a share
    of every tile as of the largest."""
    unit, tile = RowUnit(target.row_stationary, kernel.windows), block_tile(kernel, mapping)
    largest = np.asarray(unit.cycles(tile), float)
    array = kernel.groups * largest
    for axis, parts in _axes(kernel, mapping).items():
        (_, whole), *rests = parts
        tiles = np.asarray(whole, float)
        for size, count in rests:
            rest = replace(tile, **{axis: np.maximum(size, 1)})
            tiles = tiles + count * unit.cycles(rest) / largest
        array = array * tiles
    return _time(kernel, target, mapping, array, _dram_cycles(kernel, target, mapping))


def _dram_cycles(kernel: GemmKernel, target: Target, mapping: Mapping) -> Cycles:
    """Cycles of the DRAM channel.

    Every transfer takes whole bursts, as much as the mean one; where DRAM is timed, as much for
    each of its bytes as the largest one.
    """
    moved = _moved(kernel, mapping, kernel.windows)
    sizes = {item: words * target.bytes_of(item) for item, words in moved.items()}
    if target.timing is not None:
        largest = _largest(kernel, target, mapping)
        occupied = sum(sizes[item] * each.waste(target) for item, each in largest.items())
        return np.asarray(occupied / float(target.dram_bytes_per_cycle))
    blocks = blocks_of(kernel, mapping)
    every = kernel.groups * blocks.all
    times = {"ifmap": every * blocks.tasks, "filter": every * blocks.tasks, "ofmap": every}
    size = sum(_in_bursts(target, each, times[item]) for item, each in sizes.items())
    return np.asarray(size / float(target.dram_bytes_per_cycle))


@dataclass(frozen=True, slots=True)
class _Transfer:
    """A transfer of `size` bytes, and how they lie in DRAM."""

    size: Count
    runs: ManyRuns
    is_write: bool = False

    def occupied(self, target: Target) -> NDArray[np.float64]:
        """Bytes that could have moved while it occupies the channel."""
        found = occupied_bytes(np.asarray(self.size), self.runs, target, self.is_write)
        return np.asarray(found, dtype=float)

    def waste(self, target: Target) -> NDArray[np.float64]:
        """The same, for each of its bytes."""
        return self.occupied(target) / np.maximum(self.size, 1)


def _largest(kernel: GemmKernel, target: Target, mapping: Mapping) -> dict[Operand, _Transfer]:
    """The largest transfer of each operand."""
    block = block_tile(kernel, mapping)
    down, _ = tap_reads(kernel.rows, mapping.e, mapping.tap_rows)
    across, _ = tap_reads(kernel.cols, mapping.f, mapping.tap_cols)
    read = _arrays(block.images, block.channels, down, across)
    made = _arrays(block.images, block.filters, block.rows, block.cols)
    (weights,) = _arrays(block.filters * block.channels * block.tap_rows * block.tap_cols)
    sides = kernel.rows, kernel.cols
    ifmap = Planes(kernel.batch, kernel.groups * kernel.channels, *(side.size for side in sides))
    ofmap = Planes(kernel.batch, kernel.groups * kernel.filters, *(side.outputs for side in sides))
    words = {item: target.bytes_of(item) for item in OPERANDS}
    size = weights * words["filter"]
    in_runs = many_map_runs(ifmap, read, words["ifmap"])
    out_runs = many_map_runs(ofmap, made, words["ofmap"])
    return {
        "ifmap": _Transfer(math.prod(read) * words["ifmap"], in_runs),
        "filter": _Transfer(size, many_packed(size)),
        "ofmap": _Transfer(math.prod(made) * words["ofmap"], out_runs, is_write=True),
    }


def _arrays(*sizes: Count) -> tuple[NDArray[np.int64], ...]:
    """Sizes as arrays of one shape."""
    return tuple(np.broadcast_arrays(*(np.asarray(each, np.int64) for each in sizes)))


def _in_bursts(target: Target, size: Count, times: Count) -> Count:
    """Bytes of the bursts in which `times` transfers move `size` bytes in all."""
    if target.dram_burst == 1:
        return size
    return rounded_to_bursts(np.asarray(-(-size // times)), target) * times


def _padded(window: Window) -> Window:
    """The same with the padding that it reads as data."""
    return replace(
        window,
        size=(window.outputs - 1) * window.stride + window.extent,
        before=0,
        after=0,
        ceil_mode=False,
    )


def _moved(
    kernel: GemmKernel, mapping: Mapping, windows: tuple[Window, Window]
) -> dict[Operand, Count]:
    """Words to and from DRAM: every task brings its ifmap and its filters."""
    blocks = blocks_of(kernel, mapping)
    _, down = tap_reads(windows[0], mapping.e, mapping.tap_rows)
    _, across = tap_reads(windows[1], mapping.f, mapping.tap_cols)
    planes = kernel.groups * kernel.batch * kernel.channels
    weights = kernel.groups * kernel.filters * kernel.channels * kernel.taps
    return {
        "ifmap": planes * down * across * blocks.filters,
        "filter": weights * blocks.strips,
        "ofmap": kernel.groups * kernel.gemm.m * kernel.filters + 0 * mapping.n,
    }


def _time(
    kernel: GemmKernel, target: Target, mapping: Mapping, array: Cycles, dram: Cycles
) -> Cycles:
    """Cycles of a layer whose passes take `array`, and whose transfers take `dram`.

    Two blocks that fit side by side overlap. Where a block fills a buffer, the next one's first
    operands come when the last one's ofmap has left. Two tasks of an array are under way at a
    time; while an ofmap leaves, those of the next block behind them wait for their operands.
    """
    blocks = blocks_of(kernel, mapping)
    every = kernel.groups * blocks.all
    longest = -(-every // target.arrays)  # blocks of the array that has most of them
    tasks = longest * blocks.tasks
    busy = array * longest / every
    task = busy / tasks
    load, store = _ends(kernel, target, mapping)
    waits = 2 * target.dram_latency
    held = np.where(blocks.tasks > 2, np.maximum(store - 2 * task, 0), 0)
    apart = np.maximum(busy + longest * (load + store + waits), dram + longest * (waits + task))
    together = np.maximum(busy + (longest - 1) * held + load + store, dram + task) + waits
    time = np.where(_fits_twice(kernel, target, mapping), together, apart)
    turn = target.dram_latency + dram / (every * blocks.tasks) + task
    return np.asarray(np.maximum(time, tasks * turn / 2))


def _ends(kernel: GemmKernel, target: Target, mapping: Mapping) -> tuple[Cycles, Cycles]:
    """DRAM cycles of the first operands of a block, and of its ofmap."""
    largest = _largest(kernel, target, mapping)
    first, filters, store = (
        largest[item].occupied(target) for item in ("ifmap", "filter", "ofmap")
    )
    rate = float(target.dram_bytes_per_cycle)
    return np.asarray((first + filters) / rate), np.asarray(store / rate)


def _fits_twice(kernel: GemmKernel, target: Target, mapping: Mapping) -> NDArray[np.bool_]:
    """Whether the next block has room beside one."""
    taken = block_bytes(target, block_words(kernel, target, mapping))
    fits = np.ones(np.shape(mapping.m), dtype=bool)
    for space, size in zip(target.buffers, taken, strict=True):
        fits = fits & np.asarray(2 * size <= space.size)
    return fits
