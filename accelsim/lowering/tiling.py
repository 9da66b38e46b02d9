"""The search for the best tiling: candidates, legal, cost, min."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DoesNotFitError
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.cost import (
    Cost,
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
    chosen,
    cost_of,
    demands,
    gemm_flow,
    ifmap_reads,
    legal,
    occupied_bytes,
    rounded_to_bursts,
    significant,
    tile_demand,
    workload,
)
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
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


def best_tiling(kernel: GemmKernel, target: Target) -> GemmTiling:
    """The legal tiling of least cost.

    Ties go to less DRAM traffic, then to fewer array cycles (which take energy behind a slow DRAM,
    too), then to fewer tiles. Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = search(_bare(target))(kernel, target.residence).best
    if best is None:
        raise DoesNotFitError(_misfit(kernel, target, candidates(kernel, target)))
    assert isinstance(best.tiling, GemmTiling)
    return best.tiling


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its DRAM bytes and what a tile takes of the buffer that holds ifmaps."""

    tiling: GemmTiling | VectorTiling
    dram_bytes: int
    tile_bytes: int


Tiling = GemmTiling | VectorTiling


SOME = 16
"""Of so many tilings one is looked at for a first bound."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the tilings of a kernel that fit cost at any rate of DRAM, given what is resident.

    Among tilings of equal cycles, those with the least of each of `preferences` win. `tile_bytes`
    is what a tile takes of the buffer in which feature maps stay.
    """

    tiling: Callable[[int], GemmTiling | VectorTiling]
    cost: Cost
    preferences: tuple[NDArray[Any], ...]
    tile_bytes: Sizes

    def best(self, rate: float, latency: int) -> Ranked | None:
        """The best tiling with a DRAM of `rate` bytes per cycle.

        What some of them take bounds what the best one takes, and so which ones are looked at.
        """
        if not len(self.tile_bytes):
            return None
        some = self.cost.each(lambda sizes: sizes[::SOME]).cycles(rate, latency)
        bound = significant(some.min())
        loaded = np.nextafter(bound * rate, np.inf)
        near = (self.cost.busy_cycles <= bound) & (self.cost.moved_bytes <= loaded)
        index = np.flatnonzero(near)
        cycles = self.cost.each(lambda sizes: sizes[index]).cycles(rate, latency)
        tied = index[cycles <= significant(cycles.min())]
        for preference in self.preferences:
            values = preference[tied]
            tied = tied[values == values.min()]
        first = int(tied[0])
        return Ranked(
            self.tiling(first), int(self.cost.dram_bytes[first]), int(self.tile_bytes[first])
        )

    def within(self, space: int) -> "Ranking":
        """Only the tilings of which a tile fits half of `space`."""
        index = np.flatnonzero(self.tile_bytes <= space // 2)
        return Ranking(
            lambda position: self.tiling(int(index[position])),
            self.cost.each(lambda sizes: sizes[index]),
            tuple(preference[index] for preference in self.preferences),
            self.tile_bytes[index],
        )


@dataclass(frozen=True)
class Ranks:
    """The tilings of a kernel at a rate and a latency of DRAM."""

    ranking: Ranking
    rate: float
    latency: int

    @cached_property
    def best(self) -> Ranked | None:
        """The best tiling."""
        return self.ranking.best(self.rate, self.latency)

    def best_within(self, space: int) -> Ranked | None:
        """The best tiling of those of which a tile fits half of `space`."""
        if self.best is None or self.best.tile_bytes <= space // 2:
            return self.best
        return self.ranking.within(space).best(self.rate, self.latency)


Search = Callable[[Kernel, Residence], Ranks]
"""What the tilings of a kernel take on one target, with so much of it resident."""

KERNELS = 128
"""Kernels of a target of which tilings are remembered, each with up to RESIDENCES."""

RESIDENCES = 4
"""Residences that a kernel meets in a plan, on average, or fewer."""


@lru_cache(maxsize=1)
def search(target: Target) -> Search:
    """The search on `target`, with nothing resident, which remembers what it has found."""
    rankings = _rankings(target.at_any_rate)
    rate = float(target.dram_bytes_per_cycle)

    @lru_cache(maxsize=KERNELS * RESIDENCES)
    def ranks(kernel: Kernel, residence: Residence) -> Ranks:
        latency = target.dram_latency if isinstance(kernel, GemmKernel) else 0
        return Ranks(rankings(kernel, residence), rate, latency)

    return ranks


@lru_cache(maxsize=1)
def _rankings(target: Target) -> Callable[[Kernel, Residence], Ranking]:
    """What all rates of DRAM share: a sweep changes the rate more often than anything else."""
    moves = _moves(target.of_any_size)
    flow = lru_cache(maxsize=KERNELS)(lambda kernel: _flow(target, *moves(kernel)))

    @lru_cache(maxsize=KERNELS * RESIDENCES)
    def ranking(kernel: Kernel, residence: Residence) -> Ranking:
        resident = replace(target, residence=residence)
        if isinstance(kernel, VectorKernel):
            return _vector_ranking(kernel, resident)
        assert isinstance(kernel, GemmKernel)
        return _gemm_ranking(resident, *flow(kernel))

    return ranking


def _gemm_ranking(target: Target, flow: Flow, tiling: Callable[[int], GemmTiling]) -> Ranking:
    """What tilings cost, but for loop orders that another one is better than at any rate."""
    cost = cost_of(flow, target)
    demand = tile_demand(target, flow.demand)
    needed = np.array([buffer_demand(space, demand) for space in target.buffers])
    fits = np.all(needed <= np.array([[space.half] for space in target.buffers]), axis=0)
    orders = np.arange(len(LoopOrder)).reshape(-1, 1, 1)
    place = cost.dram_bytes * len(LoopOrder) + orders
    moves_least = cost.moved_bytes == cost.moved_bytes.min(axis=0)
    first = np.where(moves_least, place, place.max(initial=0)).min(axis=0)
    index = np.flatnonzero(fits & (place <= first))
    select = partial(chosen, shape=place.shape, index=index)
    cost = cost.each(select)
    return Ranking(
        lambda position: tiling(int(index[position])),
        cost,
        (cost.dram_bytes, select(significant(flow.array)), select(flow.tiles)),
        select(needed[target.buffer_index("ifmap")]),
    )


def _bare(target: Target) -> Target:
    """`target` with nothing resident."""
    nothing = Residence()
    return target if target.residence == nothing else replace(target, residence=nothing)


@lru_cache(maxsize=1)
def _moves(target: Target) -> Callable[[GemmKernel], tuple[Workload, list[list[Flow]]]]:
    """What all sizes of buffers share: what every tiling moves, in each loop order and split."""

    @lru_cache(maxsize=KERNELS)
    def moves(kernel: GemmKernel) -> tuple[Workload, list[list[Flow]]]:
        work = workload(kernel, target, candidates(kernel, target))
        splits = _splits(target)
        return work, [[gemm_flow(work, order, split) for split in splits] for order in LoopOrder]

    return moves


def _flow(
    target: Target, work: Workload, flows: list[list[Flow]]
) -> tuple[Flow, Callable[[int], GemmTiling]]:
    """What all residences share: tilings that may fit, and what each loop order moves.

    The axes are orders, ways to split, and tilings. Also the tiling of an index to all of these.
    """
    tilings, splits = work.tilings, _splits(target)
    roomiest = replace(target, residence=Residence((True,), kept=True, stored=False))
    fitting = np.flatnonzero(legal(work.kernel, roomiest, tilings))
    select = partial(chosen, shape=tilings.shape, index=fitting)

    def tiling(index: int) -> GemmTiling:
        way, column = divmod(index, len(fitting))
        order, split = divmod(way, len(splits))
        sizes = tilings.sizes(int(fitting[column]))
        return GemmTiling(*sizes, [*LoopOrder][order], splits[split])

    return Flow(
        np.array([select(flow.array) for flow in flows[0]]),  # the same in every order
        {
            item: np.array([[select(flow.traffic[item]) for flow in row] for row in flows])
            for item in OPERANDS
        }
        | {"ofmap": select(flows[0][0].traffic["ofmap"])},
        {item: select(sizes) for item, sizes in work.demand.items()},
        {item: select(sizes) for item, sizes in work.occupied.items()},
        select(work.tiles),
    ), tiling


def _splits(target: Target) -> tuple[Loop, ...]:
    return ("pixels", "filters") if target.arrays > 1 else ("pixels",)


def _misfit(kernel: GemmKernel, target: Target, tilings: Tilings) -> str:
    """Demand, bound and lever of the tile that overflows the fewest buffers by the least."""
    demand = demands(kernel, target, tilings)
    each = [buffer_demand(space, demand) for space in target.buffers]
    needed = np.array([np.broadcast_to(sizes, tilings.shape).ravel() for sizes in each])
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
    """Tile sizes of a vector kernel under comparison, each along an axis of its own, as Tilings.

    `row_span` and `row_reads` (columns likewise) are those of Tilings; `plane_tiles` counts
    the tiles of one channel of an image, `tiles` all. The axes are columns, rows, channels, images.
    """

    cols: Sizes
    rows: Sizes
    channels: Sizes
    batch: Sizes
    col_span: Sizes
    col_reads: Sizes
    row_span: Sizes
    row_reads: Sizes
    plane_tiles: Sizes
    tiles: Sizes

    @property
    def elements(self) -> Sizes:
        """Elements of a tile's ofmap."""
        return self.batch * self.channels * self.rows * self.cols


def loaded_inputs(kernel: VectorKernel, target: Target) -> list[bool]:
    """`kernel.inputs` without those that are resident."""
    resident = target.residence.ifmaps or (False,) * len(kernel.inputs)
    return [full for full, here in zip(kernel.inputs, resident, strict=True) if not here]


def vector_candidates(kernel: VectorKernel) -> VectorTilings:
    """Tilings to compare; first those that keep columns, then rows, whole."""
    axes = [
        even_sizes(kernel.cols.outputs, _COARSE),
        even_sizes(kernel.rows.outputs, _FINE),
        {kernel.channels} if kernel.all_channels else even_sizes(kernel.channels, _FINE),
        even_sizes(kernel.batch, _COARSE),
    ]
    sizes = [np.array(sorted(axis, reverse=True)) for axis in axes]
    cols, rows, channels, batch = np.ix_(*sizes)
    planes = -(-kernel.rows.outputs // rows) * -(-kernel.cols.outputs // cols)
    (col_span, col_reads), (row_span, row_reads) = (
        ifmap_reads(window, size)
        for window, size in ((kernel.cols, sizes[0]), (kernel.rows, sizes[1]))
    )
    return VectorTilings(
        *(cols, rows, channels, batch),
        *(col_span.reshape(cols.shape), col_reads.reshape(cols.shape)),
        *(row_span.reshape(rows.shape), row_reads.reshape(rows.shape)),
        planes,
        planes * -(-kernel.batch // batch) * -(-kernel.channels // channels),
    )


def vector_demands(
    kernel: VectorKernel, target: Target, tilings: VectorTilings
) -> dict[Operand, Sizes]:
    """Bytes that a tile takes: of the inputs that are loaded, and of an ofmap that needs a tile."""
    loaded = loaded_inputs(kernel, target)
    planes = tilings.batch * tilings.channels
    ifmap = sum(loaded) * (tilings.row_span * tilings.col_span) + loaded.count(False)
    return {
        "ifmap": target.bytes_of("ifmap") * planes * ifmap,
        "ofmap": target.bytes_of("ofmap") * tilings.elements * (not target.computes_in_place),
    }


def vector_cost(kernel: VectorKernel, target: Target, tilings: VectorTilings) -> Cost:
    """Lanes beside DRAM; and the first tile's load, and the last one's store or move."""
    tiles, outputs = tilings.tiles, kernel.rows.outputs * kernel.cols.outputs
    loaded = loaded_inputs(kernel, target)
    fetched = sum(loaded) * (tilings.row_reads * tilings.col_reads)
    fetched = fetched + loaded.count(False) * tilings.plane_tiles
    stored = target.residence.stored
    demand = vector_demands(kernel, target, tilings)
    first, last = _occupied(kernel, target, tilings, demand)
    moving = target.move_cycles(demand["ofmap"])
    lanes = kernel.operations_total / target.lanes * (-(-tiles // target.arrays) / tiles)
    if target.residence.kept:  # no store makes small tiles dear, but each takes whole cycles
        tile = tilings.elements * kernel.operations
        lanes = lanes * (-(-tile // target.lanes) * target.lanes / tile)
    return Cost(
        np.maximum(lanes, moving * tiles) + moving,
        first + last * stored,
        np.asarray((first + last * stored) * tiles, dtype=float),
        np.zeros(()),
        kernel.batch
        * kernel.channels
        * (target.bytes_of("ifmap") * fetched + target.bytes_of("ofmap") * outputs * stored),
        stored,
    )


def _occupied(
    kernel: VectorKernel, target: Target, tilings: VectorTilings, demand: dict[Operand, Sizes]
) -> tuple[Sizes, Sizes]:
    """`occupied_bytes` of the largest tile's ifmap and ofmap."""
    if target.timing is None:
        return rounded_to_bursts(demand["ifmap"], target), rounded_to_bursts(
            demand["ofmap"], target
        )
    whole = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    taken = (tilings.batch, tilings.channels, tilings.row_span, tilings.col_span)
    made = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    reads = many_map_runs(whole, taken, target.bytes_of("ifmap"))
    writes = many_map_runs(result, made, target.bytes_of("ofmap"))
    return (
        occupied_bytes(demand["ifmap"], reads, target),
        occupied_bytes(demand["ofmap"], writes, target, write=True),
    )


def _vector_ranking(kernel: VectorKernel, target: Target) -> Ranking:
    """What the tilings of a vector kernel that fit cost; ties go to fewer tiles."""
    tilings = vector_candidates(kernel)
    axes = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    shape = tilings.elements.shape
    needed = _vector_needs(kernel, target, tilings)
    fits = np.all(
        [size <= space.half for size, space in zip(needed, target.buffers, strict=True)], axis=0
    )
    fitting = np.flatnonzero(fits)
    cost = vector_cost(kernel, target, tilings)

    def tiling(index: int) -> VectorTiling:
        position = np.unravel_index(fitting[index], shape)
        return VectorTiling(*(int(np.broadcast_to(axis, shape)[position]) for axis in axes))

    select = partial(chosen, shape=shape, index=fitting)
    room = needed[target.buffer_index("ifmap")]
    return Ranking(tiling, cost.each(select), (select(tilings.tiles),), select(room))


def _vector_needs(kernel: VectorKernel, target: Target, tilings: VectorTilings) -> list[Sizes]:
    """Bytes that a tile takes of each buffer."""
    demand = vector_demands(kernel, target, tilings)
    nothing = np.zeros_like(tilings.elements)
    return [
        sum((demand[item] for item in ("ifmap", "ofmap") if item in space.holds), start=nothing)
        for space in target.buffers
    ]


def best_vector_tiling(kernel: VectorKernel, target: Target) -> VectorTiling:
    """The legal tiling of a vector kernel of least cost; ties go to fewer tiles.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = search(_bare(target))(kernel, target.residence).best
    if best is None:
        needed = _vector_needs(kernel, target, vector_candidates(kernel))
        raise DoesNotFitError(_too_small(target, [int(sizes.flat[-1]) for sizes in needed]))
    assert isinstance(best.tiling, VectorTiling)
    return best.tiling
