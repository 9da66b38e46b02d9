"""The search for the best tiling of a GEMM kernel: candidates, legal, cost, min.

Tilings at every scale are compared first; then those near the best of them, until none is better.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import OPERANDS
from accelsim.lowering.cost import Cost
from accelsim.lowering.demand import (
    buffer_demand,
    demands,
    keeps_groups_whole,
    keeps_windows_whole,
    tile_demand,
)
from accelsim.lowering.flow import Flow, gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_candidates import (
    tilings_to_compare,
    tilings_with_parts_of_windows,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Compared, Part, Ranked, Ranking, Rating, Times
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import (
    Entry,
    GemmTiling,
    Loop,
    LoopOrder,
    Split,
    Tilings,
    TilingSizes,
    chosen,
    picker,
    too_small,
    whole_sizes,
)
from accelsim.units import ceil_div

ORDERS = len(LoopOrder)
"""The neighbours of the best tiling of each loop order are looked at."""

ENOUGH = 0.9999
"""A round that does not take this share of the cost before is the last."""

MIXED = np.uint64(0x9E3779B97F4A7C15)
"""An odd number: products with it, modulo 2**64, tell several numbers of turns apart."""

ROUNDS = 6
"""How often they are looked at, at most."""

DISTANT = 1.1
"""A tiling that takes more than this times a lower bound is left for another that is as good."""


LITTLE = 128
"""So many times little is all; costs that differ by less are equal."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the tile loops run: their order, and what how many arrays share out."""

    order: LoopOrder
    split: Split
    arrays: int

    def of(self, sizes: TilingSizes) -> GemmTiling:
        """The tiling with tiles of such sizes whose loops run so."""
        return GemmTiling(*sizes, order=self.order, split=self.split, arrays=self.arrays)


def ways_of(kernel: GemmKernel, target: Target, wanted: int = 1) -> list[Way]:
    """Every way to run the loops of `kernel` on `target`, by order: of the arrays a power of two
    takes part, or all, or so many as are `wanted`."""
    some = {1 << bit for bit in range(target.arrays.bit_length())} | {target.arrays, wanted}
    splits: tuple[Split, ...] = ("pixels", "filters")
    if kernel.groups > 1:
        splits = ("groups", *splits)
    shares: list[tuple[Split, int]] = [("pixels", 1)]
    for arrays in sorted(each for each in some if 1 < each <= target.arrays):
        shares += [(split, arrays) for split in splits]
    return [Way(order, *share) for order in LoopOrder for share in shares]


class Moving(Protocol):
    """Tilings under comparison, in arrays that broadcast to `shape`, with what they move; `whole`
    says of which tiles groups and windows are."""

    @property
    def compared(self) -> Compared:
        """The tilings."""

    @property
    def flow(self) -> Flow:
        """What they move."""

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Whether a tile has what must not be cut."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all, the first axis is of ways."""


@dataclass(frozen=True, slots=True)
class Flows:
    """What tilings move, in every way; the first axis is of ways, the others are the tilings'."""

    kernel: GemmKernel
    tilings: Tilings
    ways: list[Way]
    flow: Flow
    whole: NDArray[np.bool_]

    @property
    def compared(self) -> "Flows":
        """These."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """How many ways there are, and tilings along each axis of the arrays."""
        return len(self.ways), *self.tilings.shape

    def tiling(self, index: int) -> GemmTiling:
        """The tiling at a flat index to the ways and tilings."""
        way, place = divmod(index, prod(self.tilings.shape))
        return self.ways[way].of(self.tilings.sizes(place))

    def only(self, index: NDArray[np.intp]) -> "Chosen":
        """Those at some flat indices."""
        shape = self.tilings.shape
        way, place = np.divmod(index, prod(shape))
        return Chosen(
            kernel=self.kernel,
            ways=self.ways,
            way=way,
            at_work=chosen(self.flow.at_work, (len(self.ways), *shape), index),
            axes=tuple(chosen(sizes, shape, place) for sizes in self.tilings.axes),
        )

    def pick(self, index: NDArray[np.intp]) -> "Picked":
        """Those at some flat indices, with what they move."""
        pick = picker(self.shape, index)
        return Picked(self.only(index), self.flow.only(pick), pick(self.whole), (1, index.size))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some tilings, each with one of the ways to run its loops, and how many arrays have work."""

    kernel: GemmKernel
    ways: list[Way]
    way: NDArray[np.intp]
    at_work: Sizes
    axes: tuple[Sizes, ...]

    def tiling(self, index: int) -> GemmTiling:
        """The one at an index."""
        sizes: Any = tuple(int(each[index]) for each in self.axes)
        way: Way = self.ways[self.way[index]]
        return way.of(sizes)

    def only(self, index: NDArray[np.intp]) -> "Chosen":
        """Those at some indices."""
        axes = tuple(sizes[index] for sizes in self.axes)
        return replace(self, way=self.way[index], at_work=self.at_work[index], axes=axes)

    @property
    def courses(self) -> NDArray[np.uint64]:
        """A number of the way and the turns of each loop.

        Ways that differ only in arrays without work are the same.
        """
        orders, splits = [*LoopOrder], get_args(Split)
        order = np.array([orders.index(each.order) for each in self.ways])[self.way]
        split = np.array([splits.index(each.split) for each in self.ways])[self.way]
        kind = order * len(splits) + split * (self.at_work > 1)
        number: NDArray[np.uint64] = kind.astype(np.uint64) * MIXED + self.at_work.astype(np.uint64)
        for whole, sizes in zip(whole_sizes(self.kernel), self.axes, strict=True):
            number = number * MIXED + (-(-whole // sizes)).astype(np.uint64)
        return number


@dataclass(frozen=True, slots=True)
class Picked:
    """Some tilings of many, with what they move, in arrays of one axis behind one of a way."""

    compared: Chosen
    flow: Flow
    whole: NDArray[np.bool_]
    shape: tuple[int, ...]


def flows_of(
    kernel: GemmKernel, target: Target, tilings: Tilings, ways: list[Way] | None = None
) -> Flows:
    """What `tilings` move, wherever the operands lie, in some `ways` to run their loops, or all."""
    work = workload(kernel, target, tilings)
    ways = ways_of(kernel, target) if ways is None else ways
    shares = {
        share: share_of(work, *share)
        for share in dict.fromkeys((way.split, way.arrays) for way in ways)
    }
    each = [gemm_flow(work, way.order, shares[way.split, way.arrays]) for way in ways]
    several = (-1, *(1 for _ in tilings.shape))
    together = Flow(
        array=_stacked([flow.array for flow in each]),
        traffic={item: _stacked([flow.traffic[item] for flow in each]) for item in OPERANDS},
        visits={item: _stacked([flow.visits[item] for flow in each]) for item in each[0].visits},
        demand=work.demand,
        occupied=work.occupied,
        waste=work.waste,
        tail=work.tail,
        tiles=work.tiles,
        arrays=np.array([way.arrays for way in ways]).reshape(several),
        at_work=_stacked([flow.at_work for flow in each]),
        between=_stacked([flow.between for flow in each]),
        last=work.last,
        addend=each[0].addend,
        filter_is_input=kernel.filter_is_input,
        done=work.done,
    )
    whole = keeps_groups_whole(kernel, tilings) & keeps_windows_whole(kernel, tilings)
    return Flows(kernel=kernel, tilings=tilings, ways=ways, flow=together, whole=whole)


def _stacked(each: Sequence[NDArray[Entry]]) -> NDArray[Entry]:
    """What every way says, the ways along a new first axis, of one entry where all say the same."""
    first = each[0]
    if all(one is first for one in each):
        return first[np.newaxis]
    shape = np.broadcast_shapes(*(one.shape for one in each))
    together = np.empty((len(each), *shape), dtype=first.dtype)
    for place, one in enumerate(each):
        together[place] = one
    return together


def gemm_ranking(target: Target, families: Sequence[Moving]) -> Ranking:
    """What tilings cost on `target`, given what is resident there."""
    return Ranking(tuple(_part(target, flows) for flows in families))


def fitting(target: Target, flows: Moving) -> tuple[list[Sizes], NDArray[np.bool_]]:
    """What a tile takes of each buffer, and whether it has room, for all arrays there are."""
    demand = tile_demand(target, flows.flow.demand)
    needed = [buffer_demand(space, demand) for space in target.buffers]
    fits = flows.whole & (np.asarray(flows.flow.arrays) <= target.sharers)
    for space, size in zip(target.buffers, needed, strict=True):
        fits = fits & (size <= space.half)
    return needed, fits


def _part(target: Target, flows: Moving) -> Part:
    flow = flows.flow
    cost = cost_of(flow, target)
    needed, fits = fitting(target, flows)
    return Part(
        tilings=flows.compared,
        cost=cost,
        preferences=(
            cost.dram_bytes,
            np.asarray(flow.arrays),
            flow.array,
            _first_filters(flow, cost),
            flow.tiles,
        ),
        tile_bytes=needed[target.buffer_index("ifmap")],
        fits=fits,
        shape=flows.shape,
    )


def _first_filters(flow: Flow, cost: Cost) -> NDArray[np.int64]:
    """What must come before a layer begins, of which the least is hidden surest; 0 where it is
    little of all that moves."""
    if cost.filter_cycles is None:
        return np.zeros(1, dtype=np.int64)
    return np.asarray(np.maximum(LITTLE * flow.occupied["filter"] - cost.dram_bytes, 0))


def refined(
    near: Callable[[tuple[TilingSizes, ...]], Ranking],
    target: Target,
    space: int,
    start: Sequence[Ranked],
    least: float,
    at: Rating = Ranking.at,
) -> Times:
    """The best tilings that are found from those of `start`, going from neighbour to neighbour.

    `near` ranks those near some sizes. A tile takes at most half of `space` of the buffer that
    holds ifmaps. None costs less than `least`: far from it, it goes on as long as the best of any
    way to run the loops gets better, for that may overtake; then to another one as good. `at` says
    what those of a ranking cost.
    """
    rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
    best, centers, known = start[0], start, _by_way(start)
    for _ in range(ROUNDS):
        sizes = dict.fromkeys(sizes_of(gemm_tiling(each)) for each in centers)
        times = at(near(tuple(sizes)), rate, latency, space)
        before, centers = best, leaders(times, target, least)
        best, earlier, known = centers[0], known, _by_way(centers)
        if best.cost >= ENOUGH * before.cost:
            if best.cost <= DISTANT * least:
                break
            if all(cost >= ENOUGH * earlier.get(way, inf) for way, cost in known.items()):
                if best.tiling == before.tiling:
                    break
                centers = [best]
    return times


def _by_way(leaders: Sequence[Ranked]) -> dict[Hashable, float]:
    """What the best of each way to run the loops costs."""
    costs: dict[Hashable, float] = {}
    for each in leaders:
        tiling = gemm_tiling(each)
        way = tiling.order, tiling.split
        costs[way] = min(each.cost, costs.get(way, inf))
    return costs


def leaders(times: Times, target: Target, least: float) -> list[Ranked]:
    """The best tiling, then the best of each order of the loops; far from `least`, of each way to
    share them out, too. None if none fits."""
    found = times.several(ORDERS)
    if target.arrays == 1 or not found or found[0].cost <= DISTANT * least:
        return found
    each = sorted(times.of_each(times.parts[0].shape[0]), key=lambda one: one.cost)
    shared: dict[Hashable, Ranked] = {}
    for one in each:
        tiling = gemm_tiling(one)
        shared.setdefault((tiling.order, tiling.split), one)
    return [found[0], *shared.values()]


def turns(kernel: GemmKernel, tiling: GemmTiling) -> dict[Loop, tuple[int, ...]]:
    """Turns of the tile loops along each of their axes, those of groups left out."""
    whole, sizes = whole_sizes(kernel), sizes_of(tiling)
    images, _, rows, cols, filters, *sums = map(ceil_div, whole, sizes)
    return {"pixels": (images, rows, cols), "filters": (filters,), "channels": (*sums,)}


def tile_count(kernel: GemmKernel, tiling: GemmTiling) -> int:
    """Tiles of all arrays."""
    each = turns(kernel, tiling).values()
    return ceil_div(kernel.groups, tiling.groups) * prod(map(prod, each))


def course(kernel: GemmKernel, tiling: GemmTiling) -> Hashable:
    """What the tile loops of tilings that run much alike have in common: their turns in order."""
    each = turns(kernel, tiling)
    loops = tuple((loop, each[loop]) for loop in tiling.order.value if prod(each[loop]) > 1)
    groups = ceil_div(kernel.groups, tiling.groups)
    shared = groups if tiling.split == "groups" else prod(each[tiling.split])
    at_work = ceil_div(shared, ceil_div(shared, tiling.arrays))
    return loops, tiling.groups, at_work, tiling.split if at_work > 1 else None


def gemm_tiling(ranked: Ranked) -> GemmTiling:
    """The tiling of a GEMM kernel that is ranked."""
    assert isinstance(ranked.tiling, GemmTiling)
    return ranked.tiling


def sizes_of(tiling: GemmTiling) -> TilingSizes:
    """The sizes of a GEMM tiling, without the way its loops run."""
    pixels = (tiling.batch, tiling.groups, tiling.rows, tiling.cols)
    return *pixels, tiling.filters, tiling.channels, tiling.tap_rows, tiling.tap_cols


def misfit(kernel: GemmKernel, target: Target) -> str:
    """Demand, bound and lever of the tile that overflows the fewest buffers by the least."""
    families = tilings_to_compare(kernel, target)
    families += tilings_with_parts_of_windows(kernel, target)
    return too_small(target, min(excess(kernel, target, each) for each in families)[1])


def excess(
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
