"""The search for the best tiling: candidates, legal, cost, min."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DoesNotFitError
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.cost import (
    Flow,
    Loop,
    LoopOrder,
    Residence,
    Sizes,
    Target,
    Tilings,
    Workload,
    all_tilings,
    buffer_demand,
    cost_of,
    demands,
    gemm_flow,
    ifmap_reads,
    legal,
    occupied_bytes,
    significant,
    tile_demand,
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
    """The legal tiling of least cost.

    Ties go to less DRAM traffic, then to fewer array cycles (which take energy behind a slow DRAM,
    too), then to fewer tiles. Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = ranking(kernel, target).best()
    if best is None:
        raise DoesNotFitError(_misfit(kernel, target, candidates(kernel, target)))
    assert isinstance(best.tiling, GemmTiling)
    return best.tiling


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its closed-form cycles, its DRAM bytes and what a tile takes of each buffer."""

    tiling: GemmTiling | VectorTiling
    cycles: float
    dram_bytes: int
    tile_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What every tiling costs in every loop order; the axes are orders, then tilings."""

    work: Workload
    ways: tuple[tuple[LoopOrder, Loop], ...]
    cycles: NDArray[np.float64]
    dram_bytes: Sizes
    array: NDArray[np.float64]
    tiles: Sizes
    tile_bytes: Sizes
    fits: NDArray[np.bool_]

    def best(self, buffer: int = 0, space: int | None = None) -> Ranked | None:
        """The best tiling; with `space`, of those whose tile fits half of so much of `buffer`."""
        fits = self.fits if space is None else self.fits & (self.tile_bytes[buffer] <= space // 2)
        if not fits.any():
            return None
        cycles = np.where(fits, self.cycles, np.inf).ravel()
        quickest = np.flatnonzero(cycles == cycles.min())
        column = quickest % len(self.tiles)
        dram, array = self.dram_bytes.ravel()[quickest], self.array.ravel()[quickest]
        order = np.lexsort((self.tiles[column], significant(array), dram))
        way, index = divmod(int(quickest[order[0]]), len(self.tiles))
        return Ranked(
            _tiling(self.work.tilings, index, *self.ways[way]),
            float(self.cycles[way, index]),
            int(self.dram_bytes[way, index]),
            tuple(int(each[index]) for each in self.tile_bytes),
        )


@lru_cache(maxsize=64)
def ranking(kernel: GemmKernel, target: Target) -> Ranking:
    """The cost of every tiling; it does not depend on how much room there is."""
    bare = _bare(target)
    ways, common, flow = _flow(kernel, bare.at_any_rate)
    demand = tile_demand(target, common.demand)
    occupied = tile_demand(target, common.occupied)
    work = replace(common, target=target, demand=demand, occupied=occupied)
    cost = cost_of(work, flow)
    needed = np.array([buffer_demand(space, demand) for space in target.buffers])
    return Ranking(
        work,
        ways,
        cost.cycles,
        cost.dram_bytes,
        flow.array,
        work.group_tiles * math.prod(work.turns.values()),
        needed,
        np.all(needed <= np.array([[space.half] for space in target.buffers]), axis=0),
    )


def _bare(target: Target) -> Target:
    """`target` with nothing resident."""
    nothing = Residence()
    return target if target.residence == nothing else replace(target, residence=nothing)


@lru_cache(maxsize=64)
def _flow(
    kernel: GemmKernel, target: Target
) -> tuple[tuple[tuple[LoopOrder, Loop], ...], Workload, Flow]:
    """What all residences and DRAM rates share: tilings that may fit, and what each order moves."""
    tilings = candidates(kernel, target)
    roomiest = replace(target, residence=Residence((True,), kept=True, stored=False))
    fitting = np.flatnonzero(legal(kernel, roomiest, tilings))
    work = workload(kernel, target, tilings.select(fitting))
    ways = tuple((order, split) for order in LoopOrder for split in _splits(target))
    flows = [gemm_flow(work, *way) for way in ways]
    moved = {item: np.array([flow.traffic[item] for flow in flows]) for item in OPERANDS}
    return ways, work, Flow(np.array([flow.array for flow in flows]), moved)


def _splits(target: Target) -> tuple[Loop, ...]:
    return ("pixels", "filters") if target.arrays > 1 else ("pixels",)


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
    """Tile sizes of a vector kernel under comparison, and the bytes one tile takes and moves.

    `ifmap_bytes` are those of the inputs that are loaded, `ofmap_bytes` those that need a tile and
    `dram_bytes` what all tiles move together.
    """

    batch: Sizes
    channels: Sizes
    rows: Sizes
    cols: Sizes
    ifmap_bytes: Sizes
    ofmap_bytes: Sizes
    dram_bytes: Sizes
    tiles: Sizes
    row_span: Sizes
    col_span: Sizes


def loaded_inputs(kernel: VectorKernel, target: Target) -> list[bool]:
    """`kernel.inputs` without those that are resident."""
    resident = target.residence.ifmaps or (False,) * len(kernel.inputs)
    return [full for full, here in zip(kernel.inputs, resident, strict=True) if not here]


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
    totals = (kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    turns = [
        -(-total // size) for total, size in zip(totals, (batch, channels, rows, cols), strict=True)
    ]
    inner = len(sizes[2]) * len(sizes[3])
    (col_span, col_reads), (row_span, row_reads) = (
        ifmap_reads(window, size)
        for window, size in ((kernel.cols, sizes[0]), (kernel.rows, sizes[1]))
    )
    col_spans = np.repeat(col_span, len(row_span) * inner)
    row_spans = np.tile(np.repeat(row_span, inner), len(col_span))
    reads = np.repeat(np.outer(col_reads, row_reads).ravel(), inner)
    inputs = loaded_inputs(kernel, target)
    full, per_image = sum(inputs), len(inputs) - sum(inputs)
    ofmap = target.bytes_of("ofmap") * batch * channels * rows * cols
    fetched = full * reads + per_image * turns[2] * turns[3]
    stored = math.prod(totals) * target.residence.stored
    return VectorTilings(
        *(batch, channels, rows, cols),
        target.bytes_of("ifmap") * batch * channels * (full * row_spans * col_spans + per_image),
        ofmap * (not target.computes_in_place),
        target.bytes_of("ifmap") * kernel.batch * kernel.channels * fetched
        + target.bytes_of("ofmap") * stored,
        math.prod(turns),
        row_spans,
        col_spans,
    )


def vector_cost(
    kernel: VectorKernel, target: Target, tilings: VectorTilings
) -> NDArray[np.float64]:
    """max(lanes, DRAM) plus the first tile's load and the last tile's store or move, in cycles."""
    rate = float(target.dram_bytes_per_cycle)
    whole = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    taken = (tilings.batch, tilings.channels, tilings.row_span, tilings.col_span)
    made = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    reads = many_map_runs(whole, taken, target.bytes_of("ifmap"))
    writes = many_map_runs(result, made, target.bytes_of("ofmap"))
    first = occupied_bytes(tilings.ifmap_bytes, reads, target) / rate
    last = (
        occupied_bytes(tilings.ofmap_bytes, writes, target, write=True)
        / rate
        * target.residence.stored
    )
    share = -(-tilings.tiles // target.arrays) / tilings.tiles
    moving = target.move_cycles(tilings.ofmap_bytes)
    lanes = kernel.operations_total / target.lanes * share
    if target.residence.kept:  # no store makes small tiles dear, but each takes whole cycles
        tile = tilings.batch * tilings.channels * tilings.rows * tilings.cols * kernel.operations
        lanes = lanes * (-(-tile // target.lanes) * target.lanes / tile)
    lanes = np.maximum(lanes, moving * tilings.tiles)
    alone = lanes + first + last + moving
    return significant(np.maximum(alone, (first + last) * tilings.tiles))


@lru_cache(maxsize=4096)
def best_vector_tiling(kernel: VectorKernel, target: Target) -> VectorTiling:
    """The legal tiling of a vector kernel of least cost; ties go to fewer tiles.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = ranked_vector_tiling(kernel, target)
    if best is None:
        tilings = vector_candidates(kernel, target)
        smallest = [int(_vector_demand(space.holds, tilings)[-1]) for space in target.buffers]
        raise DoesNotFitError(_too_small(target, smallest))
    assert isinstance(best.tiling, VectorTiling)
    return best.tiling


@lru_cache(maxsize=4096)
def ranked_vector_tiling(
    kernel: VectorKernel, target: Target, buffer: int = 0, space: int | None = None
) -> Ranked | None:
    """The best tiling; with `space`, of those whose tile fits half of so much of `buffer`."""
    tilings = vector_candidates(kernel, target)
    halves = [each.half for each in target.buffers]
    if space is not None:
        halves[buffer] = space // 2
    needed = [_vector_demand(each.holds, tilings) for each in target.buffers]
    fits = np.ones(len(tilings.tiles), dtype=bool)
    for demand, half in zip(needed, halves, strict=True):
        fits &= demand <= half
    if not fits.any():
        return None
    cost = np.where(fits, vector_cost(kernel, target, tilings), np.inf)
    index = int(np.lexsort((tilings.tiles, cost))[0])
    axes = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    return Ranked(
        VectorTiling(*(int(axis[index]) for axis in axes)),
        float(cost[index]),
        int(tilings.dram_bytes[index]),
        tuple(int(demand[index]) for demand in needed),
    )


def _vector_demand(holds: tuple[Operand, ...], tilings: VectorTilings) -> Sizes:
    ifmap, ofmap = int("ifmap" in holds), int("ofmap" in holds)
    return tilings.ifmap_bytes * ifmap + tilings.ofmap_bytes * ofmap
