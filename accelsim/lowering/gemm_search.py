"""The search for the best tiling of a GEMM kernel: candidates, legal, cost, min.

Tilings at every scale are compared first; then those near the best of them, until none is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import OPERANDS
from accelsim.lowering.cost import (
    Cost,
    Flow,
    Loop,
    LoopOrder,
    Tilings,
    TilingSizes,
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
from accelsim.lowering.gemm_candidates import tilings_near, tilings_to_compare
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranked, Ranking
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import GemmTiling, too_small

CENTERS = 6
"""Tilings of which the neighbours are looked at."""

ROUNDS = 6
"""How often they are looked at, at most."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the tile loops run: their order, and which of them how many arrays share out."""

    order: LoopOrder
    split: Loop
    arrays: int


def ways_of(target: Target) -> list[Way]:
    """Every way to run the loops on `target`, by order."""
    some = {1 << bit for bit in range(target.arrays.bit_length())} | {target.arrays}
    shares: list[tuple[Loop, int]] = [("pixels", 1)]
    for arrays in sorted(each for each in some if 1 < each <= target.arrays):
        shares += [("pixels", arrays), ("filters", arrays)]
    return [Way(order, *share) for order in LoopOrder for share in shares]


@dataclass(frozen=True, slots=True)
class Flows:
    """What tilings that may fit move, in every way; the axes are ways and tilings."""

    kernel: GemmKernel
    tilings: Tilings
    ways: list[Way]
    flow: Flow

    def tiling(self, index: int) -> GemmTiling:
        """The tiling at a flat index to the ways and tilings."""
        way, column = divmod(index, self.tilings.batch.size)
        each = self.ways[way]
        return GemmTiling(
            *self.tilings.sizes(column),
            order=each.order,
            split=each.split,
            arrays=each.arrays,
        )


def flows_of(kernel: GemmKernel, target: Target, families: Sequence[Tilings]) -> Flows:
    """What those tilings move that fit where as much as can be lies on chip."""
    roomiest = replace(target, residence=Residence((True,), kept=True, stored=False))
    fitting = [tilings.at(np.flatnonzero(legal(kernel, roomiest, tilings))) for tilings in families]
    tilings = fitting[0] if len(fitting) == 1 else _joined(fitting)
    work = workload(kernel, target, tilings)
    ways = ways_of(target)
    each = [gemm_flow(work, way.order, way.split, way.arrays) for way in ways]
    traffic = {item: np.stack([flow.traffic[item] for flow in each]) for item in OPERANDS}
    visits = {item: np.stack([flow.visits[item] for flow in each]) for item in each[0].visits}
    together = Flow(
        array=np.stack([flow.array for flow in each]),
        traffic=traffic,
        visits=visits,
        demand=work.demand,
        occupied=work.occupied,
        tiles=work.tiles,
        arrays=np.array([[way.arrays] for way in ways]),
    )
    return Flows(kernel, tilings, ways, together)


def _joined(parts: Sequence[Tilings]) -> Tilings:
    names = Tilings.__slots__
    return Tilings(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def gemm_ranking(target: Target, flows: Flows) -> Ranking:
    """What tilings cost on `target`, given what is resident there."""
    flow = flows.flow
    cost = cost_of(flow, target)
    demand = tile_demand(target, flow.demand)
    needed = np.array([buffer_demand(space, demand) for space in target.buffers])
    fits = np.all(needed <= np.array([[space.half] for space in target.buffers]), axis=0)
    shape = flow.array.shape
    index = np.flatnonzero(np.broadcast_to(fits, shape) & _may_win(flows, cost))
    select = partial(chosen, shape=shape, index=index)
    return Ranking(
        lambda position: flows.tiling(int(index[position])),
        cost.each(select),
        (
            select(cost.dram_bytes),
            select(np.asarray(flow.arrays)),
            select(significant(flow.array)),
            select(flow.tiles),
        ),
        select(needed[target.buffer_index("ifmap")]),
    )


def _may_win(flows: Flows, cost: Cost) -> NDArray[np.bool_]:
    """Whether no other order of the same loops moves less, of those that are shared out alike.

    The first of several that move the least is enough, unless waits for tiles differ.
    """
    shares = len(flows.ways) // len(LoopOrder)
    moved = cost.moved_bytes.reshape(len(LoopOrder), shares, -1)
    return np.asarray(moved <= moved.min(axis=0)).reshape(cost.moved_bytes.shape)


def refined(kernel: GemmKernel, target: Target, space: int, start: Sequence[Ranked]) -> Ranked:
    """The best tiling that is found from those of `start`, going from neighbour to neighbour.

    A tile takes at most half of `space` of the buffer that holds ifmaps.
    """
    rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
    best, seen = start[0], set[TilingSizes]()
    centers = [each.tiling for each in start]
    for _ in range(ROUNDS):
        new = [each for each in map(sizes_of, centers) if each not in seen]
        if not new:
            break
        seen |= set(new)
        near = tilings_near(kernel, target, new[:CENTERS])
        ranking = gemm_ranking(target, flows_of(kernel, target, [near])).within(space)
        found = ranking.several(rate, latency, CENTERS)
        best = found[0]
        centers = [each.tiling for each in found]
    return best


def sizes_of(tiling: object) -> TilingSizes:
    """The sizes of a GEMM tiling, without the way its loops run."""
    assert isinstance(tiling, GemmTiling)
    pixels = (tiling.batch, tiling.groups, tiling.rows, tiling.cols)
    return *pixels, tiling.filters, tiling.channels, tiling.tap_rows, tiling.tap_cols


def misfit(kernel: GemmKernel, target: Target) -> str:
    """Demand, bound and lever of the tile that overflows the fewest buffers by the least."""
    families = tilings_to_compare(kernel, target)
    return too_small(target, min(_excess(kernel, target, each) for each in families)[1])


def _excess(
    kernel: GemmKernel, target: Target, tilings: Tilings
) -> tuple[tuple[int, int], list[int]]:
    """(buffers that overflow, bytes over) and the bytes needed of the tile that is least over."""
    demand = demands(kernel, target, tilings)
    each = [buffer_demand(space, demand) for space in target.buffers]
    needed = np.array([np.broadcast_to(sizes, tilings.shape).ravel() for sizes in each])
    excess = needed - np.array([[space.half] for space in target.buffers])
    over = np.maximum(excess, 0)
    buffers, size = (excess > 0).sum(axis=0), over.sum(axis=0)
    index = int(np.lexsort((size, buffers))[0])
    return (int(buffers[index]), int(size[index])), needed[:, index].tolist()
