"""The search for the best tiling: candidates, legal, cost, min."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from accelsim.hardware import OPERANDS
from accelsim.lowering.cost import (
    Flow,
    Loop,
    LoopOrder,
    Tilings,
    Workload,
    all_tilings,
    buffer_demand,
    chosen,
    cost_of,
    demands,
    gemm_flow,
    legal,
    significant,
    tile_demand,
    workload,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranking
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import COARSE, FINE, GemmTiling, even_sizes, too_small

EXHAUSTIVE = 4096
"""Tilings that are all looked at; where there are more, each axis is thinned."""


def _axis_candidates(kernel: GemmKernel, target: Target) -> list[set[int]]:
    """Sizes worth trying along each axis, in the order of the fields of Tilings.

    Filters and channels prefer whole folds, rows also those that fill the array with pixels.
    """
    lanes = Systolic(target.array).likes(kernel.taps)
    rows = even_sizes(kernel.rows.outputs, FINE)
    if "m" in lanes:
        step = lanes["m"] // math.gcd(lanes["m"], kernel.cols.outputs)
        rows |= {size // step * step for size in rows if size >= step}
    return [
        even_sizes(kernel.batch, COARSE),
        even_sizes(kernel.groups, COARSE),
        rows,
        even_sizes(kernel.cols.outputs, COARSE),
        even_sizes(kernel.filters, FINE, lanes.get("n", 1)),
        even_sizes(kernel.channels, FINE, lanes.get("k", 1)) | even_sizes(kernel.channels, COARSE),
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


def gemm_ranking(target: Target, flow: Flow, tiling: Callable[[int], GemmTiling]) -> Ranking:
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


def flow_of(
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
        taps = (work.kernel.rows.kernel, work.kernel.cols.kernel)
        return GemmTiling(*sizes, *taps, [*LoopOrder][order], splits[split], target.arrays)

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


def misfit(kernel: GemmKernel, target: Target, tilings: Tilings) -> str:
    """Demand, bound and lever of the tile that overflows the fewest buffers by the least."""
    demand = demands(kernel, target, tilings)
    each = [buffer_demand(space, demand) for space in target.buffers]
    needed = np.array([np.broadcast_to(sizes, tilings.shape).ravel() for sizes in each])
    excess = needed - np.array([[space.half] for space in target.buffers])
    over = np.maximum(excess, 0)
    index = int(np.lexsort((over.sum(axis=0), (excess > 0).sum(axis=0)))[0])
    return too_small(target, needed[:, index])


@lru_cache(maxsize=1)
def moves_of(target: Target) -> Callable[[GemmKernel], tuple[Workload, list[list[Flow]]]]:
    """What all sizes of buffers share: what every tiling moves, in each loop order and split."""

    @lru_cache(maxsize=128)
    def moves(kernel: GemmKernel) -> tuple[Workload, list[list[Flow]]]:
        work = workload(kernel, target, candidates(kernel, target))
        splits = _splits(target)
        return work, [[gemm_flow(work, order, split) for split in splits] for order in LoopOrder]

    return moves


def _splits(target: Target) -> tuple[Loop, ...]:
    return ("pixels", "filters") if target.arrays > 1 else ("pixels",)
