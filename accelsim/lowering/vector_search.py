"""The search for the best tiling of a vector kernel, in steps of which none grows with its axes.

First a coarse grid over all axes, then, from the best few, one axis after another at every scale:
all small sizes, even cuts, sizes a quarter apart, and the largest that fits, given the others.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import prod
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.footprint import TapReads, least_read, tap_reads
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.recall import Memory
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_cost import TIE, VectorCosts
from accelsim.lowering.vector_unit import totals

SMALL = 8
"""Sizes up to this one are all tried, and even cuts into up to twice as many pieces."""


FEW = 6
"""Tilings that are improved, axis by axis."""


SOME = 96
"""Tilings of which all kinds of tiles are looked at."""


ROUNDS = 6
"""How often all axes are looked at again."""


ENOUGH = 0.998
"""A round that does not take this share of the cost before is the last."""


EXHAUSTIVE = 1024
"""Tilings of a kernel that are all looked at; of more, sizes a factor of two apart."""

KNOWN = 64
"""Sets of tilings to remember the costs of, for a kernel on targets alike."""

CLOSE = 1.015
"""A tiling that costs so little more than any could is not improved."""


SHARED = ("demands", "busy", "dram_bytes", "blocks", "parts", "turns", "energy_pj")
"""What the costs of tilings have in common on such targets, as far as it takes long to find."""

AT_RATE = ("loading", "storing")
"""What they have in common at one rate of DRAM."""

OF_KINDS = ("tiles", "regions", "filters_read", "written")
"""What takes much room, and is not asked for again at that rate."""

OWN = ("fits", "cycles", "ifmap_places", "ofmap_places")
"""What they have not."""


def coarse_sizes(total: int) -> set[int]:
    """Sizes about a factor of two apart, from 1 to `total`."""
    powers = range(total.bit_length())
    return {1, total} | {1 << power for power in powers} | {-(-total >> power) for power in powers}


def fine_sizes(total: int) -> set[int]:
    """All small sizes, even cuts, and sizes a quarter apart, from 1 to `total`."""
    sizes = {*range(1, min(total, SMALL) + 1), total}
    sizes |= {-(-total // parts) for parts in range(1, 2 * SMALL + 1)}
    size = float(SMALL)
    while size < total:
        sizes.add(int(size))
        sizes.add(-(-total // -(-total // int(size))))  # as even as with so many pieces
        size *= 1.25
    return sizes


@dataclass
class VectorRanks:
    """The best tilings of a kernel on a target, also with less of the ifmap's buffer.

    These take little room, the search for them takes much, so it is `kept` elsewhere, for all
    targets of which only the sizes of buffers and DRAM's rate differ.
    """

    kernel: VectorKernel
    target: Target
    tap_reads: TapReads = tap_reads
    kept: "Callable[[Callable[[], VectorSearch]], VectorSearch]" = lambda make: make()
    known: dict[int, Ranked | None] = field(default_factory=dict)

    @property
    def refined(self) -> Ranked | None:
        """As `best`, which is already found by going from tiling to tiling."""
        return self.best

    def refined_within(self, space: int) -> Ranked | None:
        """As `best_within`."""
        return self.best_within(space)

    @cached_property
    def best(self) -> Ranked | None:
        """The best tiling; None if none fits."""
        return self.search(self.target).best()

    def best_within(self, space: int) -> Ranked | None:
        """The best tiling with a buffer for ifmaps of `space` bytes."""
        target = self.target
        if self.best is None or space >= target.buffers[target.buffer_index("ifmap")].size:
            return self.best
        if space not in self.known:
            self.known[space] = self._within(self.best, space)
        return self.known[space]

    def _within(self, best: Ranked, space: int) -> Ranked | None:
        """The best of all, if it costs no more with fewer places for tiles: no other costs less."""
        search = self.search(with_space(self.target, space))
        if best.tile_bytes <= space // 2:
            assert isinstance(best.tiling, VectorTiling)
            if search.cost_of(best.tiling) == best.cost:
                return best
        return search.best()

    def search(self, target: Target) -> "VectorSearch":
        """The search on a target of which only the sizes of buffers differ."""
        return self.kept(self._search).on(target)

    def _search(self) -> "VectorSearch":
        return VectorSearch(self.kernel, self.target, self.tap_reads)


def sizes_of(tiling: VectorTiling) -> Sizes:
    """A tiling as costs take it in, shape (7, 1)."""
    return np.array([[getattr(tiling, item.name) for item in fields(VectorTiling)]]).T


def with_space(target: Target, space: int) -> Target:
    """`target` with so much of the buffer that holds ifmaps."""
    place = target.buffer_index("ifmap")
    buffers = (
        replace(each, size=space) if index == place else each
        for index, each in enumerate(target.buffers)
    )
    return replace(target, buffers=tuple(buffers))


def costs_on(costs: VectorCosts, target: Target) -> VectorCosts:
    """The same on a target of which only the sizes of buffers and DRAM's rate differ."""
    rate = float(target.dram_bytes_per_cycle)
    alike = rate == costs.rate
    for name in SHARED + AT_RATE * alike:
        getattr(costs, name)  # from now on it is known to all copies
    other = copy(costs)
    other.target, other.rate = target, rate
    for name in OWN + AT_RATE * (not alike):
        other.__dict__.pop(name, None)
    return other


def without_kinds(costs: VectorCosts) -> VectorCosts:
    """The same with all that other sizes of buffers leave as it is, without the kinds of tiles."""
    for name in SHARED + AT_RATE:
        getattr(costs, name)
    for name in OF_KINDS:
        costs.__dict__.pop(name, None)
    return costs


def _best(costs: VectorCosts, count: int, among: NDArray[np.intp]) -> NDArray[np.intp]:
    """The best `among` some first, and the one of least cost, too, whatever it moves.

    Ties go to less DRAM traffic, of energy to less time; then to fewer tiles.
    """
    cost = costs.cost[among]
    tied = cost <= TIE * cost.min()
    second = costs.second[among] * tied
    order = np.lexsort((costs.tiles_in_all[among], second, np.where(tied, 0, cost)))
    return among[np.append(order[: count - 1], cost.argmin())]


def ranked_of(costs: VectorCosts, place: int) -> Ranked:
    """The tiling at a place, with what it takes."""
    whole = (costs.dram_bytes, costs.tile_bytes, costs.cycles, costs.energy_pj)
    moved, tile, cycles, energy = (
        np.broadcast_to(each, costs.sizes.shape[1:])[place].item() for each in whole
    )
    return Ranked(
        tiling=VectorTiling(*(int(size) for size in costs.sizes[:, place])),
        dram_bytes=int(moved),
        tile_bytes=int(tile),
        cycles=float(cycles),
        energy_pj=float(energy),
        objective=costs.target.objective,
    )


def _grid(axes: Sequence[Sequence[int]]) -> Sizes:
    """Every combination of sizes, shape (7, tilings)."""
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)


def smallest_needs(kernel: VectorKernel, target: Target) -> list[int]:
    """Bytes that the smallest tile takes of each buffer."""
    costs = VectorCosts(kernel=kernel, target=target, sizes=_grid(list(_smallest(kernel))))
    needs = np.array([costs.demand(space) for space in target.buffers])
    excess = [
        np.maximum(need - space.half, 0) for need, space in zip(needs, target.buffers, strict=True)
    ]
    return [int(need) for need in needs[:, int(np.argmin(sum(excess)))]]


def _smallest(kernel: VectorKernel) -> Iterator[tuple[int, ...]]:
    """Sizes along each axis with which a tile may be the smallest."""
    channels = {1, kernel.channels} if kernel.passes else {1}
    channels = {kernel.channels} if kernel.uncut else channels
    yield from ((1,), tuple(channels), (1,), (1,))
    for window in (kernel.rows, kernel.cols):
        yield (1, window.kernel) if kernel.tap_operations else (window.kernel,)
    yield (1,)


class Front(NamedTuple):
    """Costs of tilings, and the places of the best among them, the best first."""

    costs: VectorCosts
    places: NDArray[np.intp]

    @property
    def sizes(self) -> Sizes:
        """Sizes of the best."""
        return self.costs.sizes[:, self.places]

    @property
    def least(self) -> float:
        """Cost of the best."""
        return float(self.costs.cost[self.places[0]])


@dataclass
class VectorSearch:
    """The search for a kernel on a target; `tap_reads` may be a table."""

    kernel: VectorKernel
    target: Target
    tap_reads: TapReads = tap_reads
    memory: Memory = field(default_factory=lambda: Memory(most=KNOWN), repr=False)

    def __post_init__(self) -> None:
        self.totals = totals(self.kernel, self.target)
        self.cuttable = bool(self.kernel.tap_operations) and self.kernel.taps > 1

    def best(self) -> Ranked | None:
        """The tiling of least cost; ties go to less DRAM traffic, then to fewer tiles."""
        front = self.promising(self.coarse)
        if front is None:
            return None
        costs, at = self.improved(front)
        return ranked_of(costs, int(at[0]))

    def improved(self, front: "Front") -> "Front":
        """The best that changes along one axis at a time lead to, from those of `front`."""
        for _ in range(ROUNDS):
            if front.least <= CLOSE * self.bound:
                break
            before, sizes = front.least, front.sizes
            near = np.concatenate([sizes, self.around(sizes)], axis=1)
            found = self.promising(self.costs(near, kinds=False))
            assert found is not None
            front = found
            if front.least >= ENOUGH * before:
                break
        return front

    def promising(self, guess: VectorCosts) -> "Front | None":
        """The FEW best of some tilings that fit and keep all arrays that they use at work.

        Of all, the costs are a guess; of the best of those, all kinds of tiles are looked at.
        """
        fits = np.flatnonzero(guess.fits & (guess.arrays <= guess.blocks))
        if not fits.size:
            return None
        likely = _best(guess, SOME, fits)
        order = np.argsort(likely)
        costs = self.recalled(guess.sizes[:, likely[order]])
        return Front(costs, _best(costs, FEW, np.argsort(order)))

    def recalled(self, tilings: Sizes) -> VectorCosts:
        """What tilings cost that are looked at again on other such targets."""
        key = self.target.dram_bytes_per_cycle, tilings.tobytes()
        known = self.memory.recall("costs", key, lambda: without_kinds(self.costs(tilings)))
        return costs_on(known, self.target)

    def cost_of(self, tiling: VectorTiling) -> float:
        """What a tiling costs."""
        return float(self.recalled(sizes_of(tiling)).cost[0])

    def on(self, target: Target) -> Self:
        """The same on a target of which only the sizes of buffers and DRAM's rate differ: the
        candidates are those of all such targets, and much of what they take."""
        other = copy(self)
        other.target = target
        for name in ("coarse", "bound"):
            other.__dict__.pop(name, None)
        return other

    def costs(self, tilings: Sizes, kinds: bool = True) -> VectorCosts:
        """What tilings cost."""
        return VectorCosts(
            kernel=self.kernel,
            target=self.target,
            sizes=tilings,
            kinds=kinds,
            tap_reads=self.tap_reads,
        )

    # --- Candidates -------------------------------------------------------------------------------

    @cached_property
    def coarse(self) -> VectorCosts:
        """What the tilings of `grid` cost, as a guess."""
        recall, rate = self.memory.recall, self.target.dram_bytes_per_cycle
        every = recall("grid", "", lambda: self.costs(self.grid(), kinds=False))
        known = recall("grid", rate, lambda: costs_on(every, self.target))
        return costs_on(known, self.target)

    def grid(self) -> Sizes:
        """A grid of sizes a factor of two apart; windows are cut along an axis, or both, along
        which outputs are taken singly. Of a small kernel, every size along every axis."""
        few = prod(self.totals) <= EXHAUSTIVE
        axes = [
            [*range(1, total + 1)] if few else sorted(coarse_sizes(total)) for total in self.totals
        ]
        if self.kernel.uncut:
            axes[1] = [self.kernel.channels]
        outer, (rows, cols, down, across), arrays = axes[:2], axes[2:6], axes[6]
        all_down, all_across = ([total] for total in self.totals[4:6])
        if few and self.cuttable:
            return _grid(axes)
        grids = [[rows, cols, all_down, all_across]]
        if self.cuttable:
            grids.append([[1], [1], down, across])
            grids += [[[1], cols, down, all_across]] * (len(down) > 1)
            grids += [[rows, [1], all_down, across]] * (len(across) > 1)
        if self.kernel.own_tap is not None:
            grids.append([rows, cols, down, all_across])
        return np.concatenate([_grid([*outer, *grid, arrays]) for grid in grids], axis=1)

    def around(self, front: Sizes) -> Sizes:
        """Tilings that differ from one of `front` along one axis; from the first also along
        rows or columns, with the most that then fits of the others."""
        axes = [axis for axis, total in enumerate(self.totals) if total > 1]
        if not self.cuttable:
            axes = [axis for axis in axes if axis not in (4, 5)]
        if self.kernel.uncut:
            axes = [axis for axis in axes if axis != 1]
        if not axes:
            return front
        made = [self.largest(front, [axis for axis in axes if axis < 6])]
        made += [self.along(front, axis) for axis in axes]
        if {2, 3} <= {*axes}:
            for some, others in ((2, 3), (3, 2)):
                made.append(self.largest(self.along(front[:, :1], some), [others]))
        if self.kernel.own_tap is not None:
            made.append(self.along(self.along(front[:, :1], 2), 4))
        return np.concatenate(made, axis=1)

    def along(self, front: Sizes, axis: int) -> Sizes:
        """Tilings of `front` with every size to try along an axis."""
        many = np.repeat(front, len(self.fine[axis]), axis=1)
        many[axis] = np.tile(self.fine[axis], front.shape[1])
        return many

    @cached_property
    def fine(self) -> list[Sizes]:
        """Sizes to try along each axis."""
        return [np.array(sorted(fine_sizes(total))) for total in self.totals]

    def largest(self, front: Sizes, axes: Sequence[int]) -> Sizes:
        """`front` with the largest size along each of `axes` that fits, given the others."""
        made = np.tile(front, max(len(axes), 1))
        line = np.repeat(np.array(axes or [0]), front.shape[1]), np.arange(made.shape[1])
        low, high = np.ones_like(made[0]), np.array(self.totals)[line[0]]
        while (low < high).any():
            made[line] = low + (high - low + 1) // 2
            fits = self.costs(made).fits
            low, high = np.where(fits, made[line], low), np.where(fits, high, made[line] - 1)
        made[line] = low
        return made

    @cached_property
    def bound(self) -> float:
        """Cycles that any tiling takes: all on the lanes, or each word once on the channel.

        What no window reads need not come. Of energy there is no such bound.
        """
        target = self.target
        if target.objective != "time":
            return 0.0
        lanes, size, loads, stores = self.memory.recall("least work", "", self._least_work)
        first, last = target.dram_latency * loads, target.dram_latency * stores
        return max(lanes + first + last, float(size / target.dram_bytes_per_cycle) + first)

    def _least_work(self) -> tuple[float, int, bool, bool]:
        """Cycles on the lanes and bytes on the channel of any tiling; whether it loads, stores."""
        kernel, target = self.kernel, self.target
        whole = self.costs(np.array([[*self.totals[:6], 1]]).T)
        lanes = kernel.operations_total / (target.lanes * target.sharers)
        axes = kernel.depth, kernel.rows, kernel.cols
        full, some = sum(whole.loaded), len(whole.loaded) - sum(whole.loaded)
        words = kernel.batch * (full * prod(map(least_read, axes)) + some * kernel.channels)
        size = words * target.bytes_of("ifmap") + int(whole.filter_bytes[0])
        size += whole.stored * kernel.outputs * target.bytes_of("ofmap")
        return lanes, size, any(whole.loaded), whole.stored
