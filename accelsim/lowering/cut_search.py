"""Whether a GEMM kernel takes less cut in two, each part with its own best tiling.

That is looked at where the best tiling takes clearly more than a lower bound, and only at places
that suit it: what its tiles, or as many of them as there are arrays, leave over along an axis, and
where others end that would take less if they went into it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cut import AXES, may_be_cut, parts_of, total
from accelsim.lowering.gemm_search import gemm_tiling
from accelsim.lowering.gemm_tasks import AXES as AXES_OF_LOOP
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranked, Tiling
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling
from accelsim.units import ceil_div

if TYPE_CHECKING:
    from accelsim.lowering.search import Ranks

DOUBTFUL = 1.03
"""Where the best tiling takes no more of a lower bound than this, no cut is looked for."""

FAR = 1.15
"""Where it takes more than so many times what tilings take at least, tiles that have room are of
other shapes than the bound says: parts are looked at with tiles at every scale, too."""

PLACES = 3
"""Places at which tiles of shapes that take less leave something over that are looked at."""

WORTH = 1.02
"""A kernel is cut where that costs less than its best tiling by so much."""


Place = tuple[CutAxis, int]
"""An axis, and the index on it at which the second part begins."""

Finder = Callable[[GemmKernel], Ranked | None]
"""The best tiling of a kernel; None if none fits."""


@dataclass(frozen=True, slots=True)
class CutSearch:
    """Looks for a cut of a kernel that is better than its `best` tiling.

    `in_parts` tells by axis what it takes about if only full tiles lie along it, and their sizes.
    `least` are lower bounds of a kernel's cost uncut, the one that is quickly found first;
    `first_looks` are what the best of some tilings costs, `of` a given tiling.
    """

    kernel: GemmKernel
    best: Ranked
    in_parts: Mapping[CutAxis, tuple[NDArray[np.float64], NDArray[np.int64]]]
    least: Sequence[Callable[[GemmKernel], float]]
    first_looks: Sequence[Callable[[GemmKernel], float]]
    of: Callable[[GemmKernel, GemmTiling], float]

    def cut(self, found: Finder) -> Ranked | None:
        """A cut than which none that is looked at is clearly better; None if none is worth it."""
        bound, cheapest = self.best.takes / WORTH, None
        likely = [*dict.fromkeys(self.places())]
        others = (place for place in self.left_over() if place not in likely)
        looks = [(place, self.pays) for place in likely]
        looks += [(place, self.may_pay) for place in islice(others, PLACES)]
        for place, pays in looks:
            parts = parts_of(self.kernel, *place)
            if all(sum(map(least, parts)) < bound for least in self.least) and pays(place, bound):
                cut = self.at(place, found)
                if cut is not None and cut.cost < bound:
                    bound, cheapest = cut.cost / WORTH, cut
        return cheapest

    def at(self, place: Place, found: Finder) -> Ranked | None:
        """Both parts with the tilings that are found for them; None if one of them fits nowhere."""
        first, rest = map(found, parts_of(self.kernel, *place))
        if first is None or rest is None:
            return None
        return joined(place, first, rest)

    def again(self, cut: Ranked, found: Finder) -> Ranked:
        """The same cut with other tilings of its parts."""
        assert isinstance(cut.tiling, CutTiling)
        return self.at((cut.tiling.cut, cut.tiling.at), found) or cut

    def places(self) -> Iterator[Place]:
        """Where tiles leave something over along an axis, or turns of all arrays do.

        Not where that is nearly a whole one: it takes what it is of one at best.
        """
        tiling = gemm_tiling(self.best)
        for axis in AXES:
            whole, size = total(self.kernel, axis), getattr(tiling, axis)
            shared = axis in AXES_OF_LOOP[tiling.split]
            for unit in (size, size * tiling.arrays) if shared else (size,):
                at = whole - whole % unit
                worth = WORTH * whole < unit * ceil_div(whole, unit)
                if worth and self.is_inside(axis, at):
                    yield axis, at

    def left_over(self) -> Iterator[Place]:
        """Where tiles of other shapes leave something over along an axis, if it may pay to cut
        there; the most promising first."""
        found: dict[Place, float] = {}
        for axis, (cycles, sizes) in self.in_parts.items():
            whole = total(self.kernel, axis)
            first = whole // sizes * sizes
            rest = _least_up_to(sizes, cycles, whole - first)
            least = (cycles * first + rest * (whole - first)) / whole
            promising = np.flatnonzero((first < whole) & (least * WORTH < self.best.takes))
            for at, cost in zip(first[promising].tolist(), least[promising].tolist(), strict=True):
                found[axis, at] = min(cost, found.get((axis, at), inf))
        likely = sorted(found, key=lambda place: found[place])
        return (place for place in likely if self.is_inside(*place))

    def is_inside(self, axis: CutAxis, at: int) -> bool:
        """Whether there are two parts, and no window that is pooled goes through both."""
        return 0 < at < total(self.kernel, axis) and may_be_cut(self.kernel, axis, at)

    def pays(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it if the rest takes no more for its share than the first part.

        That one takes what it does now; as it is larger, the rest hardly takes less for its share.
        """
        first, rest = parts_of(self.kernel, *place)
        now = self.of(first, gemm_tiling(self.best))
        return now + now * rest.macs / first.macs < bound

    def may_pay(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it at the first look, without what is better nearby."""
        parts = parts_of(self.kernel, *place)
        return any(sum(map(look, parts)) < bound for look in self.first_looks)


def _least_up_to(
    sizes: NDArray[np.int64], cycles: NDArray[np.float64], most: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The least of the `cycles` of `sizes` that are at most so large; 0 if there are none."""
    order = np.argsort(sizes, kind="stable")
    least = np.append(0.0, np.minimum.accumulate(cycles[order]))
    found: NDArray[np.float64] = least[np.searchsorted(sizes[order], most, side="right")]
    return found


def or_cut(ranks: "Ranks", space: int, best: Ranked) -> Ranked:
    """The best tiling of a kernel, or the kernel cut in two if that is clearly better, as played.

    Only to save time: of energy there is no bound.
    """
    bounds = ranks.search
    least = bounds.least_cost(ranks.kernel, ranks.residence)
    if bounds.target.objective != "time" or best.takes <= DOUBTFUL * least:
        return best
    uncut = partial(bounds.least_of_tilings, residence=ranks.residence, space=space)
    looks = [lambda part: _cost(replace(ranks, kernel=part).framed_within(space))]
    if best.takes > FAR * uncut(ranks.kernel):
        looks.append(lambda part: _cost(replace(ranks, kernel=part).best_within(space)))
    search = CutSearch(
        kernel=ranks.kernel,
        best=best,
        in_parts=bounds.of_parts(ranks.kernel, ranks.residence, space),
        least=(partial(bounds.least_cost, residence=ranks.residence), uncut),
        first_looks=looks,
        of=lambda part, tiling: replace(ranks, kernel=part).cost_of(tiling, space).cost,
    )
    closed, alone = replace(ranks, search=replace(ranks.search, alone=None)), ranks.search.alone
    cut = search.cut(lambda part: replace(closed, kernel=part).uncut_within(space))
    if cut is None or alone is None:
        return cut or best
    cut = search.again(cut, lambda part: replace(ranks, kernel=part).uncut_within(space))
    resident = ranks.search.target.holding(ranks.residence)
    parts, whole = (alone(ranks.kernel, resident, space, one.tiling) for one in (cut, best))
    return cut if WORTH * parts < whole else best


def _cost(best: Ranked | None) -> float:
    """What it costs; infinitely much if no tile fits."""
    return inf if best is None else best.cost


def joined(place: Place, first: Ranked, rest: Ranked) -> Ranked:
    """A kernel that is cut at a place, and what its parts take; the rest may be cut, too."""
    axis, at = place
    assert isinstance(rest.tiling, GemmTiling | CutTiling)
    tiling = CutTiling(cut=axis, at=at, first=gemm_tiling(first), rest=rest.tiling)
    return together(tiling, first, rest)


def together(tiling: Tiling, first: Ranked, rest: Ranked) -> Ranked:
    """What both parts take, one after the other."""
    return Ranked(
        tiling=tiling,
        dram_bytes=first.dram_bytes + rest.dram_bytes,
        tile_bytes=max(first.tile_bytes, rest.tile_bytes),
        cycles=first.cycles + rest.cycles,
        busy_cycles=first.busy_cycles + rest.busy_cycles,
        energy_pj=first.energy_pj + rest.energy_pj,
        objective=first.objective,
    )
