"""What tiles take of buffers and, in bytes, of the DRAM channel, for many tilings at once."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import ManyRuns, occupancy
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.bursts import waste_of_bursts
from accelsim.lowering.dataflow import leaves_unfinished
from accelsim.lowering.footprint import inside
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, many_filter_runs, many_map_runs, many_packed
from accelsim.lowering.pooling import holds_whole, windows_in
from accelsim.lowering.target import BufferSpace, Sizes, Target
from accelsim.lowering.tiling import Tilings, cut

Ratios = NDArray[np.float64]


def demands(kernel: GemmKernel, target: Target, tilings: Tilings) -> dict[Operand, Sizes]:
    """Bytes that one tile of each operand takes in its buffer.

    Psums need room only where a tile's sum leaves the array unfinished: where k takes several
    folds (WS, IS) or several tiles. What is resident has its place outside of the tiles.
    """
    images, groups = tilings.batch, tilings.groups
    ifmap = tilings.row_span * tilings.col_span
    pixels = images * groups * tilings.rows * tilings.cols
    folds_k = leaves_unfinished(target.array, tilings.channels * tilings.taps, tilings.taps)
    unfinished = folds_k | ~sums_whole(kernel, tilings)
    words: dict[Operand, Sizes] = {
        "ifmap": images * groups * tilings.channels * ifmap,
        "filter": groups * tilings.filters * tilings.channels * tilings.taps,
        "psum": pixels * tilings.filters * unfinished,
        "ofmap": pixels * tilings.filters,
    }
    demand = {operand: words[operand] * target.bytes_of(operand) for operand in OPERANDS}
    return tile_demand(target, demand)


def sums_whole(kernel: GemmKernel, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile has all channels and taps of its sums."""
    whole: NDArray[np.bool_] = (tilings.channels == kernel.channels) & (tilings.taps == kernel.taps)
    return whole


def tile_demand(target: Target, demand: dict[Operand, Sizes]) -> dict[Operand, Sizes]:
    """`demand` without the operands that are resident."""
    nothing = np.zeros_like(demand["filter"])
    resident = {"ifmap": target.residence.ifmap, "ofmap": target.computes_in_place}
    return {item: nothing if resident.get(item) else demand[item] for item in OPERANDS}


def buffer_demand(space: BufferSpace, demand: dict[Operand, Sizes]) -> Sizes:
    """Bytes that one tile takes of a buffer; finished psums become the ofmap in place."""
    operands = [demand[operand] for operand in space.holds]
    total = sum(operands, start=np.int64(0))
    if "psum" in space.holds and "ofmap" in space.holds:
        total = total - np.minimum(demand["psum"], demand["ofmap"])
    return np.asarray(total)


def legal(kernel: GemmKernel, target: Target, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile fits half of every buffer. Tiles of several groups hold them whole."""
    demand = demands(kernel, target, tilings)
    fits = keeps_groups_whole(kernel, tilings) & keeps_windows_whole(kernel, tilings)
    for space in target.buffers:
        fits = fits & (buffer_demand(space, demand) <= space.half)
    return np.broadcast_to(fits, tilings.shape)


def keeps_groups_whole(kernel: GemmKernel, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile has one group, or all filters and sums of several."""
    whole = (tilings.filters == kernel.filters) & sums_whole(kernel, tilings)
    fits: NDArray[np.bool_] = (tilings.groups == 1) | whole
    return fits


def keeps_windows_whole(kernel: GemmKernel, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether what is pooled on the way out has its windows in one tile each."""
    if kernel.pooled is None:
        return np.ones_like(tilings.rows, dtype=bool)
    rows, cols = kernel.pooled
    return holds_whole(rows, tilings.rows) & holds_whole(cols, tilings.cols)


def leaving(
    kernel: GemmKernel, target: Target, tilings: Tilings, demand: dict[Operand, Sizes]
) -> dict[Operand, Sizes]:
    """`demand` as it crosses DRAM: of an ofmap that is pooled what its windows make."""
    if kernel.pooled is None:
        return demand
    images, own, rows, cols = _written(kernel, tilings)
    return {**demand, "ofmap": images * own * rows * cols * target.bytes_of("ofmap")}


def _written(kernel: GemmKernel, tilings: Tilings) -> tuple[Sizes, Sizes, Sizes, Sizes]:
    """Images, channels, rows and columns that leave of the largest tile."""
    images, own = tilings.batch, tilings.groups * tilings.filters
    if kernel.pooled is None:
        return images, own, tilings.rows, tilings.cols
    rows, cols = kernel.pooled
    return images, own, windows_in(rows, tilings.rows), windows_in(cols, tilings.cols)


def rounded_to_bursts(count: Sizes, target: Target) -> Sizes:
    """Bytes that a transfer of `count` bytes occupies on the DRAM channel."""
    return -(-count // target.dram_burst) * target.dram_burst


def occupied_bytes(count: Sizes, runs: ManyRuns, target: Target, write: bool = False) -> Sizes:
    """Bytes that could have moved while a transfer of `count` bytes occupies the DRAM channel."""
    rounded = rounded_to_bursts(count, target)
    if target.timing is None:
        return rounded
    clocks = occupancy(target.timing, runs, target.replays, write)
    moved = clocks * float(target.cycles_per_clock * target.dram_bytes_per_cycle)
    return np.asarray(np.maximum(rounded, moved))


def tile_runs(kernel: GemmKernel, target: Target, tilings: Tilings) -> dict[Operand, ManyRuns]:
    """How the largest tile of each operand lies in DRAM, psums as the ofmap."""
    channels, filters = kernel.groups * kernel.channels, kernel.groups * kernel.filters
    ifmap = Planes(kernel.batch, channels, *kernel.ifmap_sides)
    ofmap = Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)
    own = tilings.groups * tilings.filters
    read = (
        *(tilings.batch, tilings.groups * tilings.channels),
        *(tilings.row_span, tilings.col_span),
    )
    psums = (tilings.batch, own, tilings.rows, tilings.cols)
    left = Planes(kernel.batch, filters, *kernel.written_sides)
    row, part = kernel.channels * kernel.taps, tilings.channels * tilings.taps
    word = target.bytes_of("filter")
    computed = kernel.filter_is_input
    return {
        "ifmap": many_map_runs(ifmap, read, target.bytes_of("ifmap")),
        "filter": many_filter_runs(own, row, part, word)
        if computed
        else many_packed(own * part * word),
        "psum": many_map_runs(ofmap, psums, target.bytes_of("psum")),
        "ofmap": many_map_runs(left, _written(kernel, tilings), target.bytes_of("ofmap")),
    }


def occupied_by_tiles(
    kernel: GemmKernel, target: Target, tilings: Tilings, demand: dict[Operand, Sizes]
) -> dict[Operand, Sizes]:
    """`occupied_bytes` of the largest tile of each operand."""
    if target.timing is None:
        return {operand: rounded_to_bursts(demand[operand], target) for operand in OPERANDS}
    runs = tile_runs(kernel, target, tilings)
    return {
        operand: occupied_bytes(demand[operand], runs[operand], target, operand == "ofmap")
        for operand in OPERANDS
    }


def occupied_and_waste(
    kernel: GemmKernel, target: Target, tilings: Tilings, demand: dict[Operand, Sizes]
) -> tuple[dict[Operand, Sizes], dict[Operand, Ratios]]:
    """Bytes that tiles occupy on the DRAM channel: the largest of each operand, of so much
    `demand`; and all together, for each byte that they have.

    Where DRAM is timed, tiles with fewer columns have shorter runs, and as many of them.
    """
    demand = leaving(kernel, target, tilings, demand)
    if target.timing is None:
        occupied = occupied_by_tiles(kernel, target, tilings, demand)
        if target.dram_burst == 1:
            return occupied, {item: np.minimum(demand[item], 1.0) for item in OPERANDS}
        waste = waste_of_bursts(kernel, target, tilings)
        if kernel.pooled is not None:  # its windows lie in one tile each: as the largest one
            waste["ofmap"] = occupied["ofmap"] / np.maximum(demand["ofmap"], 1)
        return occupied, waste
    tiles, count = kinds(kernel, tilings)
    each = leaving(kernel, target, tiles, demands(kernel, target, tiles))
    on_channel = occupied_by_tiles(kernel, target, tiles, each)
    waste = {
        item: (count * on_channel[item]).sum(axis=0)
        / np.maximum((count * each[item]).sum(axis=0), 1)
        for item in OPERANDS
    }
    largest = {
        item: sizes[0] if sizes.ndim == count.ndim else sizes for item, sizes in on_channel.items()
    }
    return largest, waste


def kinds(kernel: GemmKernel, tilings: Tilings) -> tuple[Tilings, Sizes]:
    """Tiles with all rows and columns of a tiling, or with what is left of them, along a new first
    axis; how many."""
    rows, cols, row_span, col_span, counts = [], [], [], [], []
    for high, down in cut(kernel.rows.outputs, tilings.rows):
        for wide, across in cut(kernel.cols.outputs, tilings.cols):
            rows.append(high)
            cols.append(wide)
            across_rows = inside(kernel.rows, high, tilings.tap_rows)
            across_cols = inside(kernel.cols, wide, tilings.tap_cols)
            row_span.append(np.minimum(across_rows, tilings.row_span))
            col_span.append(np.minimum(across_cols, tilings.col_span))
            counts.append(np.broadcast_to(down * across, tilings.shape))
    each = (rows, cols, row_span, col_span)
    names = ("rows", "cols", "row_span", "col_span")
    stacked = {name: np.stack(sizes) for name, sizes in zip(names, each, strict=True)}
    return replace(tilings, **stacked), np.stack(counts)
