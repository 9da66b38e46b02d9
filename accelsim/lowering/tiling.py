"""The search for the best tiling: candidates, legal, cost, min."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Operand
from accelsim.lowering.cost import (
    Cost,
    Loop,
    LoopOrder,
    Sizes,
    Target,
    Tilings,
    all_tilings,
    buffer_demand,
    demands,
    gemm_cost,
    ifmap_reads,
    legal,
    occupied_bytes,
    significant,
    workload,
)
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.layout import Planes, many_map_runs
from accelsim.units import ceil_div

EXHAUSTIVE = 4096
"""Tilings that are all looked at; where there are more, each axis is thinned."""


@dataclass(frozen=True, slots=True)
class GemmTiling:
    """Tile sizes of a GEMM kernel, the loop order, and the loop that arrays share out."""

    batch: int
    groups: int
    rows: int
    cols: int
    filters: int
    channels: int
    order: LoopOrder
    split: Loop


@dataclass(frozen=True, slots=True)
class VectorTiling:
    """Tile sizes of a vector kernel."""

    batch: int
    channels: int
    rows: int
    cols: int


def even_sizes(total: int, parts: Sequence[int], align: int = 1) -> set[int]:
    """Sizes that cut `total` into about each of `parts`, in multiples of `align`, and 1."""
    units = ceil_div(total, align)
    cut = {min(ceil_div(units, min(part, units)) * align, total) for part in parts}
    return cut | {1, total}


_FINE = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 56, 64, 96, 128, 224)
_COARSE = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


def _axis_candidates(kernel: GemmKernel, target: Target) -> list[set[int]]:
    """Sizes worth trying along each axis, in the order of the fields of Tilings.

    Filters and channels prefer whole folds, rows also those that fill the array with pixels.
    """
    array = target.array
    lanes = {array.dataflow.rows: array.rows, array.dataflow.cols: array.cols}
    rows = even_sizes(kernel.rows.outputs, _FINE)
    if "m" in lanes:
        step = lanes["m"] // math.gcd(lanes["m"], kernel.cols.outputs)
        rows |= {size // step * step for size in rows if size >= step}
    fold = lanes.get("k", 1) // math.gcd(lanes.get("k", 1), kernel.taps)
    return [
        even_sizes(kernel.batch, _COARSE),
        even_sizes(kernel.groups, _COARSE),
        rows,
        even_sizes(kernel.cols.outputs, _COARSE),
        even_sizes(kernel.filters, _FINE, lanes.get("n", 1)),
        even_sizes(kernel.channels, _FINE, fold) | even_sizes(kernel.channels, _COARSE),
    ]


def candidates(kernel: GemmKernel, target: Target) -> Tilings:
    """Tile sizes to compare: all that there are if few, else a selection along each axis."""
    totals = (
        *(kernel.batch, kernel.groups, kernel.rows.outputs, kernel.cols.outputs),
        *(kernel.filters, kernel.channels),
    )
    if math.prod(totals) <= EXHAUSTIVE:
        axes = [np.arange(1, total + 1) for total in totals]
    else:
        axes = [np.array(sorted(sizes)) for sizes in _axis_candidates(kernel, target)]
    return all_tilings(kernel, axes)


@lru_cache(maxsize=4096)
def best_tiling(kernel: GemmKernel, target: Target) -> GemmTiling:
    """The legal tiling of least cost; ties go to less DRAM traffic, then to fewer tiles.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    tilings = candidates(kernel, target)
    fitting = np.flatnonzero(legal(kernel, target, tilings))
    if not len(fitting):
        raise DoesNotFitError(_misfit(kernel, target, tilings))
    work = workload(kernel, target, tilings.select(fitting))
    tiles = work.group_tiles * math.prod(work.turns.values())
    winners = [
        (*_least(gemm_cost(work, order, split), tiles), order, split)
        for order in LoopOrder
        for split in _splits(target)
    ]
    _, _, _, index, order, split = min(winners, key=lambda winner: winner[:3])
    return _tiling(work.tilings, index, order, split)


def _splits(target: Target) -> tuple[Loop, ...]:
    return ("pixels", "filters") if target.arrays > 1 else ("pixels",)


def _least(cost: Cost, tiles: Sizes) -> tuple[float, int, int, int]:
    """(cycles, DRAM bytes, tiles, index) of the cheapest tiling."""
    quickest = np.flatnonzero(cost.cycles == cost.cycles.min())
    index = quickest[np.lexsort((tiles[quickest], cost.dram_bytes[quickest]))[0]]
    return float(cost.cycles[index]), int(cost.dram_bytes[index]), int(tiles[index]), int(index)


def _tiling(tilings: Tilings, index: int, order: LoopOrder, split: Loop) -> GemmTiling:
    return GemmTiling(
        int(tilings.batch[index]),
        int(tilings.groups[index]),
        int(tilings.rows[index]),
        int(tilings.cols[index]),
        int(tilings.filters[index]),
        int(tilings.channels[index]),
        order,
        split,
    )


def _misfit(kernel: GemmKernel, target: Target, tilings: Tilings) -> str:
    """Demand, bound and lever of the tile that overflows the fewest buffers by the least."""
    demand = demands(kernel, target, tilings)
    needed = np.array([buffer_demand(space, demand) for space in target.buffers])
    excess = needed - np.array([[space.half] for space in target.buffers])
    over = np.maximum(excess, 0)
    index = int(np.lexsort((over.sum(axis=0), (excess > 0).sum(axis=0)))[0])
    return _too_small(target, needed[:, index])


def _too_small(target: Target, needed: Sequence[int] | Sizes) -> str:
    """Every buffer whose half is less than the bytes `needed` of it, and the size that helps."""
    return "; ".join(
        f"the smallest tile needs {size:,} bytes of buffer {space.name}, whose half (the other "
        f"half loads the next tile) is {space.half:,}; make buffers.{space.name}.size at least "
        f"{2 * size} B"
        for space, size in zip(target.buffers, needed, strict=True)
        if size > space.half
    )


# --- Vector kernels -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VectorTilings:
    """Tile sizes of a vector kernel under comparison, and the bytes one tile takes and moves."""

    batch: Sizes
    channels: Sizes
    rows: Sizes
    cols: Sizes
    ifmap_bytes: Sizes
    ofmap_bytes: Sizes
    tiles: Sizes
    row_span: Sizes
    col_span: Sizes


def vector_candidates(kernel: VectorKernel, target: Target) -> VectorTilings:
    """Tilings to compare; first those that keep columns, then rows, whole."""
    axes = [
        even_sizes(kernel.cols.outputs, _COARSE),
        even_sizes(kernel.rows.outputs, _FINE),
        {kernel.channels} if kernel.all_channels else even_sizes(kernel.channels, _FINE),
        even_sizes(kernel.batch, _COARSE),
    ]
    sizes = [np.array(sorted(axis, reverse=True)) for axis in axes]
    cols, rows, channels, batch = (axis.ravel() for axis in np.meshgrid(*sizes, indexing="ij"))
    col_span, row_span = (
        ifmap_reads(window, size)[0]
        for window, size in ((kernel.cols, sizes[0]), (kernel.rows, sizes[1]))
    )
    inner = len(sizes[2]) * len(sizes[3])
    col_spans = np.repeat(col_span, len(row_span) * inner)
    row_spans = np.tile(np.repeat(row_span, inner), len(col_span))
    spans = row_spans * col_spans
    full = sum(kernel.inputs)
    ifmap = batch * channels * (full * spans + len(kernel.inputs) - full)
    totals = (kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    tiles = np.ones_like(batch)
    for total, size in zip(totals, (batch, channels, rows, cols), strict=True):
        tiles = tiles * -(-total // size)
    return VectorTilings(
        *(batch, channels, rows, cols),
        ifmap * target.bytes_of("ifmap"),
        batch * channels * rows * cols * target.bytes_of("ofmap"),
        tiles,
        row_spans,
        col_spans,
    )


def vector_cost(
    kernel: VectorKernel, target: Target, tilings: VectorTilings
) -> NDArray[np.float64]:
    """max(lanes, DRAM) plus the first tile's load and the last tile's store, in cycles."""
    rate = float(target.dram_bytes_per_cycle)
    whole = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    taken = (tilings.batch, tilings.channels, tilings.row_span, tilings.col_span)
    made = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    reads = many_map_runs(whole, taken, target.bytes_of("ifmap"))
    writes = many_map_runs(result, made, target.bytes_of("ofmap"))
    first = occupied_bytes(tilings.ifmap_bytes, reads, target) / rate
    last = occupied_bytes(tilings.ofmap_bytes, writes, target, write=True) / rate
    share = -(-tilings.tiles // target.arrays) / tilings.tiles
    lanes = kernel.operations_total / target.lanes * share
    return significant(np.maximum(lanes + first + last, (first + last) * tilings.tiles))


@lru_cache(maxsize=4096)
def best_vector_tiling(kernel: VectorKernel, target: Target) -> VectorTiling:
    """The legal tiling of a vector kernel of least cost; ties go to fewer tiles.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    tilings = vector_candidates(kernel, target)
    fits = np.ones(len(tilings.tiles), dtype=bool)
    for space in target.buffers:
        fits &= _vector_demand(space.holds, tilings) <= space.half
    if not fits.any():
        smallest = [int(_vector_demand(space.holds, tilings)[-1]) for space in target.buffers]
        raise DoesNotFitError(_too_small(target, smallest))
    cost = np.where(fits, vector_cost(kernel, target, tilings), np.inf)
    index = int(np.lexsort((tilings.tiles, cost))[0])
    axes = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    return VectorTiling(*(int(axis[index]) for axis in axes))


def _vector_demand(holds: tuple[Operand, ...], tilings: VectorTilings) -> Sizes:
    ifmap, ofmap = int("ifmap" in holds), int("ofmap" in holds)
    return tilings.ifmap_bytes * ifmap + tilings.ofmap_bytes * ofmap
