"""The search for the best tiling of any kernel, which remembers what it has found."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from accelsim.errors import DoesNotFitError
from accelsim.lowering.cut import parts_of
from accelsim.lowering.cut_search import or_cut, together
from accelsim.lowering.dataflow import ArrayModel
from accelsim.lowering.gemm_search import (
    DISTANT,
    ORDERS,
    Way,
    course,
    flows_of,
    gemm_ranking,
    gemm_tiling,
    leaders,
    misfit,
    refined,
    sizes_of,
    tile_count,
)
from accelsim.lowering.gemm_small import better_tilings
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel
from accelsim.lowering.plays import MARGIN, Plays, conditions
from accelsim.lowering.queued import queued
from accelsim.lowering.ranking import RIVAL, SURE, Ranked, Ranking, Rating, Tiling, Times
from accelsim.lowering.rankings import Rankings
from accelsim.lowering.recall import NEAR, REFINED, VECTOR_KERNELS, Memory
from accelsim.lowering.row_stationary import RowStationary
from accelsim.lowering.row_stationary_ranks import RowRanks
from accelsim.lowering.row_stationary_search import misfit as row_misfit
from accelsim.lowering.steady import is_steady
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import (
    CutTiling,
    GemmTiling,
    VectorTiling,
    tilings_of,
    too_small,
    whole_sizes,
)
from accelsim.lowering.vector_search import VectorRanks, smallest_needs
from accelsim.units import ceil_div

GOOD_ENOUGH = 1.01
"""A tiling that takes so much of a lower bound is not improved any further."""

LEAN = 1.25
"""A tiling that moves so many times what any as fast must is improved, too: others read DRAM."""

DOUBTFUL = 1.03
"""Where a tiling takes more of that bound, all those of a small kernel are looked at."""

Ranker = Callable[[GemmKernel, Residence], Ranking]
"""What tilings of a kernel cost with so much of it resident."""

Alone = Callable[[GemmKernel, Target, int, Tiling], float]
"""The cost of a kernel by itself on a target, as played, with so many bytes for ifmaps."""

SLOWER = 1.05
"""Where what is found takes more of its cost, as played, fewer arrays may be faster."""

RIVALS, MANY_RIVALS = 5, 16
"""Rivals that are played beside the best of each way to run the loops, each with another course."""

TILES = 1024
"""More rivals than a few are played for so many tiles in all."""

LOOKED_AT = 8
"""Tilings among which each rival is looked for."""

FAR, FAR_OFF = 2.0, 256
"""Contenders take up to so many times the least cost, and are looked for among so many."""

SHORT = 65536
"""Tiles of a kernel that is played; in a longer one what the closed form leaves out is less."""


@dataclass(frozen=True)
class Search(Rankings):
    """The tilings of kernels on a target; `alone` plays one, if that is asked for."""

    alone: Alone | None = None

    def __call__(self, kernel: Kernel, residence: Residence) -> "Ranks | RowRanks | VectorRanks":
        """What the tilings of `kernel` take with so much of it resident."""
        if isinstance(kernel, VectorKernel):
            target, memory = self.target.holding(residence), self.memory
            seen = target if kernel.filtered else target.of_any_filters
            key = (kernel, seen.beside_array)
            alike = target.at_any_rate.of_any_size.beside_array
            kept = partial(memory.recall, "vector searches", (kernel, alike), most=NEAR)
            ranks = partial(VectorRanks, kernel, target, memory.tap_reads, kept)
            return memory.recall("vector kernels", key, ranks, VECTOR_KERNELS)
        assert isinstance(kernel, GemmKernel)
        return SEARCHES[type(self.target.processor)].ranks(self, kernel, residence)

    def check(self, kernel: Kernel) -> None:
        """Raise DoesNotFitError if no tile of `kernel` fits, with nothing resident."""
        if isinstance(kernel, Alias):
            return
        key, ranks = (kernel, self.target), self(kernel, Residence())
        if not self.memory.recall("fits", key, lambda: ranks.best is not None, REFINED):
            raise DoesNotFitError(_misfit(kernel, self.target))


@dataclass(frozen=True)
class Ranks:
    """The tilings of a kernel with so much of it resident."""

    search: Search
    kernel: GemmKernel
    residence: Residence

    @property
    def best(self) -> Ranked | None:
        """The best tiling of those at every scale; None if none fits."""
        return self.best_within(self.whole_space)

    def best_within(self, space: int) -> Ranked | None:
        """As `best`, of those of which a tile fits half of `space`."""
        key = (self.kernel, self.residence, space, self.search.target)

        def best() -> Ranked | None:
            return (self._shortlisted(space) or self._times(space)).best

        return self.search.memory.recall("best at every scale", key, best, REFINED)

    @property
    def refined(self) -> Ranked | None:
        """The best tiling of all, as far as it is found."""
        return self.refined_within(self.whole_space)

    def refined_within(self, space: int) -> Ranked | None:
        """The best tiling of all of which a tile fits half of `space`, as far as it is found."""
        target = self.search.target
        key = (self.kernel, self.residence, space, target, self.search.alone is None)
        return self.search.memory.recall("refined", key, lambda: self._refined(space), REFINED)

    def uncut_within(self, space: int) -> Ranked | None:
        """The best tiling of all of which a tile fits half of `space`, never cut in two."""
        key = (self.kernel, self.residence, space, self.search.target, self.search.alone is None)

        def found() -> Ranked | None:
            times = self._near(space)
            return None if times is None else self._cheapest(space, times)

        return self.search.memory.recall("uncut", key, found, REFINED)

    def framed_within(self, space: int) -> Ranked | None:
        """The best of a few shaped as a bound says of which a tile fits half of `space`."""
        return self._framed(space).best

    def contenders(self, space: int, count: int) -> list[Ranked]:
        """The best tilings, each with another course of its loops, `count` at most."""
        times = self._near(space, every=True)
        if times is None or times.best is None:
            return []
        found: dict[Hashable, Ranked] = {}
        for each in chain([times.best], times.close(FAR, FAR_OFF)):
            found.setdefault(course(self.kernel, gemm_tiling(each)), each)
        return sorted(found.values(), key=lambda one: one.cost)[:count]

    def cost_of(self, tiling: GemmTiling | CutTiling, space: int) -> Ranked:
        """What a tiling costs, of which a tile fits half of `space`."""
        if isinstance(tiling, CutTiling):
            parts = parts_of(self.kernel, tiling.cut, tiling.at)
            each = zip(parts, tiling.tilings, strict=True)
            first, rest = (replace(self, kernel=part).cost_of(its, space) for part, its in each)
            return together(tiling, first, rest)
        found = self.ranked_as(tiling, space)
        assert found is not None
        return found

    def ranked_as(self, tiling: GemmTiling, space: int, at: Rating = Ranking.at) -> Ranked | None:
        """What a tiling costs; None if its tiles do not fit half of `space` and of the buffers."""
        target = self.search.target.holding(self.residence)
        one = tilings_of(self.kernel, [np.array([size]) for size in sizes_of(tiling)])
        way = Way(tiling.order, tiling.split, tiling.arrays)  # maybe of a search for fewer arrays
        ranking = gemm_ranking(target, [flows_of(self.kernel, target, one, [way])])
        times = at(ranking, float(target.dram_bytes_per_cycle), target.dram_latency, space)
        return next(times.of_each(1), None)

    def _refined(self, space: int) -> Ranked | None:
        best = self.uncut_within(space)
        return None if best is None else self._or_cut(space, best)

    def _or_cut(self, space: int, best: Ranked) -> Ranked:
        """The best tiling, or the kernel cut in two if that is clearly better."""
        return or_cut(self, space, best)

    def _near(self, space: int, every: bool = False) -> Times | None:
        """Times of the best tilings and those near them; None if none fits.

        Not of `every` tiling that is compared, where few are sure to hold the best.
        """
        kernel, few = self.kernel, None if every else self._shortlisted(space)
        times = few or self._times(space)
        if not times.any_fits:
            return None
        target = self.search.target
        if times.least <= GOOD_ENOUGH * self.search.least_cost(kernel, self.residence):
            return times
        least = self.search.least_of_tilings(kernel, self.residence, space)
        framed = [] if self._is_good(times, least, space) else [self._framed(space)]
        times = Times.of_all([times, *framed])
        if times.least > GOOD_ENOUGH * least:
            if few is not None:
                times = Times.of_all([self._times(space), *framed])
            start = leaders(times, target, least)
            if self._needs_parts_of_windows(gemm_tiling(start[0]), start[0].cost / max(least, 1.0)):
                start += self._times_with_parts(space).several(ORDERS)
            near = partial(self.search.near, kernel, self.residence)
            times = refined(near, target, space, start, least)
        return self._with_better(space, times) if times.least > DOUBTFUL * least else times

    def _is_good(self, times: Times, least: float, space: int) -> bool:
        """Whether the best is near a bound, and moves little more than any as fast must."""
        best, fast = times.best, GOOD_ENOUGH * least
        if best is None or best.cost > fast:
            return False
        traffic = self.search.least_traffic(self.kernel, self.residence, space, fast)
        return best.dram_bytes <= LEAN * traffic

    def _framed(self, space: int) -> Times:
        """Times of tilings that are shaped as a bound says."""
        target = self.search.target
        ranking = self.search.framed(self.kernel, self.residence, space)
        return ranking.at(float(target.dram_bytes_per_cycle), target.dram_latency, space)

    def _with_better(self, space: int, times: Times) -> Times:
        """With all that are better, where the kernel is small."""
        target = self.search.target.holding(self.residence)
        reads = self.search.memory.tap_reads
        better = better_tilings(self.kernel, target, space, times.least, reads)
        return times if better is None else Times.of_all([times, better])

    def _needs_parts_of_windows(self, tiling: GemmTiling, far: float) -> bool:
        """Whether tiles may be better with fewer taps; with fewer channels they are as good.

        But one channel cannot be cut, few only coarsely, rows of PEs that few channels fill are
        idle with fewer, and whole windows may leave no room for pixels: that is looked at where the
        cost is `far` times a bound.
        """
        return self.kernel.taps > 1 and (far > DISTANT or tiling.channels == 1)

    def _cheapest(self, space: int, times: Times) -> Ranked:
        """The best of `times`; if it does not cost what it says, the cheapest of its rivals too."""
        best, alone = times.best, self.search.alone
        assert best is not None
        if alone is None or tile_count(self.kernel, gemm_tiling(best)) > SHORT:
            return best
        plays, here = self._plays(best), conditions(self.search.target, space)
        if self._is_sure(best, plays.most(here)):
            return best

        def played(one: Ranked) -> float:
            resident = self.search.target.holding(self.residence)
            return alone(self.kernel, resident, space, one.tiling)

        least, cheapest = played(best), best
        plays.known.append((here, least))
        if abs(least - best.cost) <= SURE * best.cost:
            return best
        if least <= GOOD_ENOUGH * self.search.least_of_tilings(self.kernel, self.residence, space):
            return best
        share = max(RIVAL, least / best.cost)
        times = self._near(space, every=True) or times
        for rival in chain(self._rivals(best, times, share), self._larger(best, space)):
            near = rival.cost < max(least, RIVAL * best.cost)
            if near and self._floor(rival) < least:
                cost = played(rival)
                least, cheapest = min((least, cheapest), (cost, rival), key=itemgetter(0))
        for guess in self._queued(best, space) if least > best.cost else ():
            if guess.cost < least:
                rival = self.cost_of(gemm_tiling(guess), space)
                cost = played(rival)
                least, cheapest = min((least, cheapest), (cost, rival), key=itemgetter(0))
        if least > SLOWER * best.cost:
            fewer = self._on_fewer(space, least)
            if fewer is not None:
                least, cheapest = min((least, cheapest), (played(fewer), fewer), key=itemgetter(0))
        return replace(cheapest, played=least)

    def _larger(self, best: Ranked, space: int) -> Iterator[Ranked]:
        """With tiles one larger along an axis, in as many turns: the last ones are smaller."""
        tiling = gemm_tiling(best)
        sizes, way = sizes_of(tiling), Way(tiling.order, tiling.split, tiling.arrays)
        for place, total in enumerate(whole_sizes(self.kernel)):
            size = sizes[place]
            if size < total and ceil_div(total, size + 1) == ceil_div(total, size):
                larger: Any = (*sizes[:place], size + 1, *sizes[place + 1 :])
                found = self.ranked_as(way.of(larger), space)
                if found is not None:
                    yield found

    def _queued(self, best: Ranked, space: int) -> Iterator[Ranked]:
        """Those that may hide a long latency."""
        return queued(self, best, space)

    def _on_fewer(self, space: int, cost: float) -> Ranked | None:
        """The best for half of the arrays; None where that is sure not to cost less than `cost`."""
        target = self.search.target
        if target.sharers == 1 or self.residence.on_chip:
            return None
        half = replace(self.search, target=replace(target, arrays=ceil_div(target.arrays, 2)))
        if half.least_cost(self.kernel, self.residence) >= cost:
            return None
        return replace(self, search=half).uncut_within(space)

    def _plays(self, ranked: Ranked) -> Plays:
        """What it took with other rates of DRAM and sizes of buffers.

        Several arrays, and commands of a timed DRAM, take turns as it comes: that bounds nothing.
        """
        target = self.search.target
        if target.arrays > 1 or target.timing is not None:
            return Plays()
        key = (self.kernel, self.residence, ranked.tiling, self.search.of_any_size)
        return self.search.memory.recall("plays", key, Plays, REFINED)

    def _is_sure(self, ranked: Ranked, most: float) -> bool:
        """Whether its play would take as long as its cost says, as it takes `most` cycles at most,
        or as no tile would wait."""
        if self._floor(ranked) < (1 - SURE) * ranked.cost:
            return False
        if most - ranked.cost <= MARGIN * SURE * ranked.cost:
            return True
        resident = self.search.target.holding(self.residence)
        return is_steady(self.kernel, resident, gemm_tiling(ranked))

    def _floor(self, ranked: Ranked) -> float:
        """What a tiling costs at least, however it is played; of energy there is no such bound.

        Of several arrays, the last of which has one turn, DRAM's bytes may be a little fewer.
        """
        target = self.search.target
        if target.objective != "time":
            return 0.0
        return max(ranked.busy_cycles, ranked.dram_bytes / float(target.dram_bytes_per_cycle))

    def _rivals(self, best: Ranked, times: Times, share: float) -> Iterator[Ranked]:
        """The best of each way to run the loops, then some with other courses of them that cost up
        to a `share` of the least."""
        known = {course(self.kernel, gemm_tiling(best))}
        each = times.of_each(times.parts[0].shape[0])
        ways = sorted(each, key=lambda one: one.cost)
        many = TILES // tile_count(self.kernel, gemm_tiling(best))
        most = len(ways) + min(max(many, RIVALS), MANY_RIVALS)
        for other in chain(ways, times.close(share, LOOKED_AT * most)):
            its = course(self.kernel, gemm_tiling(other))
            if its not in known and len(known) <= most:
                known.add(its)
                yield other

    def _shortlisted(self, space: int) -> Times | None:
        """Times of a few tilings with whole windows that are sure to hold the best one; None if
        others may be."""
        few = self.search.shortlist(self.kernel, self.residence)
        return None if few is None else few.within(space)

    def _times(self, space: int) -> Times:
        """Times of tilings with whole windows; with parts of them only where none else fits."""
        times = self._at_rate("whole windows", self.search.ranking, space)
        return times if times.any_fits else self._times_with_parts(space)

    def _times_with_parts(self, space: int) -> Times:
        """Times of tilings with parts of windows."""
        return self._at_rate("parts of windows", self.search.with_parts_of_windows, space)

    def _at_rate(self, kind: str, ranking: Ranker, space: int) -> Times:
        kernel, residence, target = self.kernel, self.residence, self.search.target
        rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
        key = (kernel, residence, space, target)
        return self.search.memory.recall(
            f"times with {kind}", key, lambda: ranking(kernel, residence).at(rate, latency, space)
        )

    @property
    def whole_space(self) -> int:
        """Bytes of the buffer that holds ifmaps."""
        target = self.search.target
        return target.buffers[target.buffer_index("ifmap")].size


@dataclass(frozen=True)
class ArraySearch:
    """How a kind of array finds its tilings of a kernel, and what it says of one too large."""

    ranks: "Callable[[Search, GemmKernel, Residence], Ranks | RowRanks]"
    misfit: Callable[[GemmKernel, Target], str]


SEARCHES: dict[type, ArraySearch] = {
    ArrayModel: ArraySearch(Ranks, misfit),
    RowStationary: ArraySearch(RowRanks, row_misfit),
}
"""Of every kind of array."""


def search(target: Target, memory: Memory | None = None, alone: Alone | None = None) -> Search:
    """The search on `target`, with nothing resident but what is said."""
    return Search(target.holding(Residence()), memory or Memory(), alone)


def best_tiling(kernel: GemmKernel, target: Target, memory: Memory | None = None) -> GemmTiling:
    """The legal tiling of least cost, by the closed form, of the kernel uncut.

    Ties go to less DRAM traffic, then to fewer arrays and array cycles (which take energy behind a
    slow DRAM, too), then to fewer tiles. Raises DoesNotFitError if not even the smallest tile fits.
    """
    ranks = search(target, memory)(kernel, target.residence)
    assert isinstance(ranks, Ranks)
    best = ranks.uncut_within(ranks.whole_space)
    if best is None:
        raise DoesNotFitError(_misfit(kernel, target))
    return gemm_tiling(best)


def best_vector_tiling(
    kernel: VectorKernel, target: Target, memory: Memory | None = None
) -> VectorTiling:
    """The legal tiling of a vector kernel of least cost; ties go to fewer tiles.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = search(target, memory)(kernel, target.residence).refined
    if best is None:
        raise DoesNotFitError(_misfit(kernel, target))
    assert isinstance(best.tiling, VectorTiling)
    return best.tiling


def _misfit(kernel: GemmKernel | VectorKernel, target: Target) -> str:
    """Demand, bound and lever of the smallest tile."""
    if isinstance(kernel, GemmKernel):
        return SEARCHES[type(target.processor)].misfit(kernel, target)
    return too_small(target, smallest_needs(kernel, target))
