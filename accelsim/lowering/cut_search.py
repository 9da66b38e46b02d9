"""Whether a GEMM kernel takes less cut in parts, each with its own best tiling.

That is looked at where the best tiling takes clearly more than a lower bound, and only at places
that suit it: what its tiles, or as many of them as there are arrays, leave over along an axis, and
where others end that would take less if they went into it. A part that is still far from its bound
is cut again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cut import AXES, PARTS, may_be_cut, parts_of, total
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
other shapes than the bound says: no first look tells what parts take."""

PLACES = 3
"""Places at which tiles of shapes that take less leave something over that are looked at."""

WORTH = 1.02
"""A kernel is cut where that costs less than its best tiling by so much."""

MORE = 1.01
"""Where a cut in two saves so little, that may be worth it if a part is cut again; and so much is
what another cut of one that is cut must save."""


Place = tuple[CutAxis, int]
"""An axis, and the index on it at which the second part begins."""

InParts = Mapping[CutAxis, tuple[NDArray[np.float64], NDArray[np.int64]]]
"""By axis cycles of a kernel in full tiles of some sizes, and these."""

Finder = Callable[[GemmKernel], Ranked | None]
"""The best tiling of a kernel; None if none fits."""

Look = Callable[[Place, float], bool]
"""Whether it may cost less than a bound to cut there."""


@dataclass(frozen=True, slots=True)
class CutSearch:
    """Looks for a cut of a kernel that is better than its `best` tiling.

    `in_parts` tells by axis what it takes about if only full tiles lie along it, and their sizes;
    that takes its time, and is asked for last.
    `least` are lower bounds of a kernel's cost uncut, the one that is quickly found first;
    `first_look` is what the best of a few tilings costs, None where that tells little; `of` is what
    a given tiling does.
    """

    kernel: GemmKernel
    best: Ranked
    in_parts: Callable[[], InParts]
    least: Sequence[Callable[[GemmKernel], float]]
    first_look: Callable[[GemmKernel], float] | None
    of: Callable[[GemmKernel, GemmTiling], float]

    def cut(self, found: Finder) -> Ranked | None:
        """A cut than which none that is looked at is clearly better; None if none is promising."""
        likely, cheapest = dict.fromkeys(self.places()), None
        others = (place for place in self.left_over() if place not in likely)
        for places, pays in ((likely, self.pays), (islice(others, PLACES), self.may_pay)):
            if self.least[0](self.kernel) < self._bound(cheapest):
                cheapest = self._cheapest(found, places, pays, cheapest)
        return cheapest

    def _cheapest(
        self, found: Finder, places: Iterable[Place], pays: Look, cheapest: Ranked | None
    ) -> Ranked | None:
        """A cut at one of some places that is clearly better than the `cheapest`, or that."""
        for place in places:
            bound, parts = self._bound(cheapest), parts_of(self.kernel, *place)
            if all(sum(map(least, parts)) < bound for least in self.least) and pays(place, bound):
                cut = self.at(place, found)
                if cut is not None and cut.cost < bound:
                    cheapest = cut
        return cheapest

    def _bound(self, cheapest: Ranked | None) -> float:
        """What a cut must cost less than, where one is known or none."""
        if cheapest is None:
            return self.best.takes / MORE
        return (cheapest.cost if _is_worth_it(cheapest, self.best) else self.best.takes) / WORTH

    def at(self, place: Place, found: Finder) -> Ranked | None:
        """Both parts with the tilings that are found for them; None if one of them fits nowhere."""
        first, rest = map(found, parts_of(self.kernel, *place))
        if first is None or rest is None:
            return None
        return joined(place, first, rest)

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
                if worth and _is_inside(self.kernel, axis, at):
                    yield axis, at

    def left_over(self) -> Iterator[Place]:
        """Where tiles of other shapes leave something over along an axis, if it may pay to cut
        there; the most promising first. Down and across a square is as good: one of both."""
        found: dict[Place, float] = {}
        for axis, (cycles, sizes) in self.in_parts().items():
            whole = total(self.kernel, axis)
            first = whole // sizes * sizes
            rest = _least_up_to(sizes, cycles, whole - first)
            least = (cycles * first + rest * (whole - first)) / whole
            promising = np.flatnonzero((first < whole) & (least * WORTH < self.best.takes))
            for at, cost in zip(first[promising].tolist(), least[promising].tolist(), strict=True):
                found[axis, at] = min(cost, found.get((axis, at), inf))
        is_square, seen = self.kernel.rows == self.kernel.cols, set[Place]()
        for axis, at in sorted(found, key=lambda one: (found[one], AXES.index(one[0]), one[1])):
            alike: Place = ("rows" if is_square and axis == "cols" else axis, at)
            if alike not in seen and _is_inside(self.kernel, axis, at):
                seen.add(alike)
                yield axis, at

    def pays(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it if the rest takes no more for its share than the first part.

        That one takes what it does now; as it is larger, the rest hardly takes less for its share.
        """
        first, rest = parts_of(self.kernel, *place)
        now = self.of(first, gemm_tiling(self.best))
        return now + now * rest.macs / first.macs < bound

    def may_pay(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it at the first look, without what is better nearby."""
        look = self.first_look
        return look is None or sum(map(look, parts_of(self.kernel, *place))) < bound


def _is_inside(kernel: GemmKernel, axis: CutAxis, at: int) -> bool:
    """Whether there are two parts, and no window that is pooled goes through both."""
    return 0 < at < total(kernel, axis) and may_be_cut(kernel, axis, at)


def _least_up_to(
    sizes: NDArray[np.int64], cycles: NDArray[np.float64], most: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The least of the `cycles` of `sizes` that are at most so large; 0 if there are none."""
    order = np.argsort(sizes, kind="stable")
    least = np.append(0.0, np.minimum.accumulate(cycles[order]))
    found: NDArray[np.float64] = least[np.searchsorted(sizes[order], most, side="right")]
    return found


def or_cut(ranks: "Ranks", space: int, best: Ranked) -> Ranked:
    """The best tiling of a kernel, or the kernel cut in parts if that is clearly better, as played.

    Only to save time: of energy there is no bound.
    """
    if ranks.search.target.objective != "time":
        return best
    closed, alone = replace(ranks, search=replace(ranks.search, alone=None)), ranks.search.alone
    cuts = [cut for cut in _cuts(closed, space, best) if _is_worth_it(cut, best)]
    if alone is None or not cuts:
        return next(iter(cuts), best)
    resident = ranks.search.target.holding(ranks.residence)
    whole = alone(ranks.kernel, resident, space, best.tiling)
    for cut in cuts:
        its = _again(ranks, space, cut.tiling) or cut
        if WORTH * alone(ranks.kernel, resident, space, its.tiling) < whole:
            return its
    return best


def _cuts(ranks: "Ranks", space: int, best: Ranked, parts: int = PARTS) -> list[Ranked]:
    """A kernel cut in up to so many parts if that is clearly better, then in two, if promising."""
    least = ranks.search.least_cost(ranks.kernel, ranks.residence)
    if parts < 2 or best.takes <= DOUBTFUL * least:
        return []
    cut = _search_of(ranks, space, best).cut(_finder(ranks, space))
    if cut is None:
        return []
    bound = cut.cost / MORE if _is_worth_it(cut, best) else best.takes / WORTH
    more = [each for each in _in_more(ranks, space, cut, bound, parts) if each.cost < bound]
    return [*sorted(more, key=lambda one: one.cost)[:1], cut]


def _is_worth_it(cut: Ranked, best: Ranked) -> bool:
    """Whether a cut costs clearly less than the best tiling."""
    return WORTH * cut.cost < best.takes


def _in_more(ranks: "Ranks", space: int, cut: Ranked, bound: float, parts: int) -> Iterator[Ranked]:
    """A kernel that is cut in two with either part cut again, where it may cost less than a bound.

    That part comes last: to cut the first one again, the other is cut off at the other end.
    """
    assert isinstance(cut.tiling, CutTiling)
    axis, at = cut.tiling.cut, cut.tiling.at
    found = _finder(ranks, space)
    own, turned = (axis, at), (axis, total(ranks.kernel, axis) - at)
    for part, place in zip(parts_of(ranks.kernel, *own), (turned, own), strict=True):
        now, least = found(part), ranks.search.least_cost(part, ranks.residence)
        if now is None or cut.cost - now.cost + least >= bound:
            continue
        again = _cheapest(replace(ranks, kernel=part), space, parts - 1)
        if cut.cost - now.cost + _cost(again) < bound and _is_inside(ranks.kernel, *place):
            first, rest = parts_of(ranks.kernel, *place)
            one, other = found(first), _cheapest(replace(ranks, kernel=rest), space, parts - 1)
            if one is not None and other is not None:
                yield joined(place, one, other)


def _cheapest(ranks: "Ranks", space: int, parts: int) -> Ranked | None:
    """A kernel cut in up to so many parts; None if that is not promising."""
    best = ranks.uncut_within(space)
    return None if best is None else next(iter(_cuts(ranks, space, best, parts)), None)


def _again(ranks: "Ranks", space: int, tiling: Tiling) -> Ranked | None:
    """The same cuts with other tilings of the parts."""
    if not isinstance(tiling, CutTiling):
        return ranks.uncut_within(space)
    place = tiling.cut, tiling.at
    parts = zip(parts_of(ranks.kernel, *place), tiling.tilings, strict=True)
    first, rest = (_again(replace(ranks, kernel=part), space, its) for part, its in parts)
    return joined(place, first, rest) if first is not None and rest is not None else None


def _finder(ranks: "Ranks", space: int) -> Finder:
    """What finds the best tiling of a part of a kernel."""
    return lambda part: replace(ranks, kernel=part).uncut_within(space)


def _search_of(ranks: "Ranks", space: int, best: Ranked) -> CutSearch:
    """The search for a cut of a kernel that is better than its best tiling."""
    bounds = ranks.search
    uncut = partial(bounds.least_of_tilings, residence=ranks.residence, space=space)

    def first_look(part: GemmKernel) -> float:
        return _cost(replace(ranks, kernel=part).framed_within(space))

    return CutSearch(
        kernel=ranks.kernel,
        best=best,
        in_parts=partial(bounds.of_parts, ranks.kernel, ranks.residence, space),
        least=(partial(bounds.least_cost, residence=ranks.residence), uncut),
        first_look=None if best.takes > FAR * uncut(ranks.kernel) else first_look,
        of=lambda part, tiling: replace(ranks, kernel=part).cost_of(tiling, space).cost,
    )


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
