"""Whether a GEMM kernel takes less cut in two, each part with its own best tiling.

That is looked at where the best tiling takes clearly more than a lower bound, and only at places
that suit it: what its tiles, or as many of them as there are arrays, leave over along an axis.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from accelsim.lowering.cut import AXES, may_be_cut, parts_of, total
from accelsim.lowering.gemm_search import gemm_tiling
from accelsim.lowering.gemm_tasks import AXES as AXES_OF_LOOP
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranked, Tiling
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling
from accelsim.units import ceil_div

if TYPE_CHECKING:
    from accelsim.lowering.search import Ranks

DOUBTFUL = 1.03
"""Where the best tiling takes no more of a lower bound than this, no cut is looked for."""

FAR = 1.15
"""Where it takes more than so many times what tilings take at least, more cuts are looked at."""

BLOCKS = 2
"""Of these those are searched for whose parts take the least by their bounds."""

RIVALS = 4
"""Tilings beside the best one whose tiles may end where it pays to cut."""

WORTH = 1.02
"""A kernel is cut where that costs less than its best tiling by so much."""


AXIS_OF: dict[CutAxis, str] = {"batch": "m", "rows": "m", "cols": "m", "filters": "n"}
"""Where the parts of a kernel lie in its GEMM."""

Place = tuple[CutAxis, int]
"""An axis, and the index on it at which the second part begins."""

Finder = Callable[[GemmKernel], Ranked | None]
"""The best tiling of a kernel; None if none fits."""


@dataclass(frozen=True, slots=True)
class CutSearch:
    """Looks for a cut of a kernel that is better than its `best` tiling.

    `rivals` are about as good; `lanes` of pixels and filters fill the array; `least` is a lower
    bound of a kernel's cost uncut, `bound` of this one's, `first_look` is what its best tiling at
    every scale costs, `of` a given tiling.
    """

    kernel: GemmKernel
    best: Ranked
    rivals: Callable[[], list[Ranked]]
    lanes: dict[str, int]
    bound: float
    least: Callable[[GemmKernel], float]
    first_look: Callable[[GemmKernel], float]
    of: Callable[[GemmKernel, GemmTiling], float]

    def cut(self, found: Finder) -> Ranked | None:
        """The cheapest cut that is looked at; None if none is worth it."""
        bound, cheapest = self.best.cost / WORTH, None
        likely = [*dict.fromkeys(self.places())]
        more = {*self.blocks()}.difference(likely)
        blocks = sorted(more, key=lambda place: (self.least_of(place), place))[:BLOCKS]
        for place in (*likely, *blocks):
            pays = self.pays if place in likely else self.may_pay
            if self.least_of(place) < bound and pays(place, bound):
                cut = self.at(place, found)
                if cut is not None and cut.cost < bound:
                    bound, cheapest = cut.cost, cut
        return cheapest

    def at(self, place: Place, found: Finder) -> Ranked | None:
        """Both parts with the tilings that are found for them; None if one of them fits nowhere."""
        first, rest = map(found, parts_of(self.kernel, *place))
        if first is None or rest is None:
            return None
        axis, at = place
        tiling = CutTiling(cut=axis, at=at, first=gemm_tiling(first), rest=gemm_tiling(rest))
        return together(tiling, first, rest)

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

    def blocks(self) -> Iterator[Place]:
        """Where blocks of 1, 2, 4, ... along an axis end, or of that many in lanes of the array, or
        the tiles of a rival.

        Only where the best tiling takes far more than it must: all its tiles have one size, and
        another one may use room far better, but does not go into what there is of an axis.
        """
        if self.best.cost <= FAR * self.bound:
            return
        rivals = [gemm_tiling(each) for each in self.rivals()]
        for axis in AXES:
            lanes, whole = self.lanes.get(AXIS_OF.get(axis, ""), 1), total(self.kernel, axis)
            bits = range(max(lanes, whole).bit_length())
            units = {1 << bit for bit in bits} | {ceil_div(lanes, 1 << bit) for bit in bits}
            units |= {getattr(each, axis) for each in rivals}
            ends = {whole - whole % unit for unit in units}
            yield from ((axis, at) for at in sorted(ends) if self.is_inside(axis, at))

    def is_inside(self, axis: CutAxis, at: int) -> bool:
        """Whether there are two parts, and no window that is pooled goes through both."""
        return 0 < at < total(self.kernel, axis) and may_be_cut(self.kernel, axis, at)

    def least_of(self, place: Place) -> float:
        """What the parts of a cut take at least."""
        return sum(map(self.least, parts_of(self.kernel, *place)))

    def pays(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it if the rest takes no more for its share than the first part.

        That one takes what it does now; as it is larger, the rest hardly takes less for its share.
        """
        first, rest = parts_of(self.kernel, *place)
        now = self.of(first, gemm_tiling(self.best))
        return now + now * rest.macs / first.macs < bound

    def may_pay(self, place: Place, bound: float) -> bool:
        """Whether the cut is worth it at the first look, without what is better nearby."""
        return sum(map(self.first_look, parts_of(self.kernel, *place))) < bound


def or_cut(ranks: "Ranks", space: int, best: Ranked) -> Ranked:
    """The best tiling of a kernel, or the kernel cut in two if that is clearly better, as played.

    Only to save time: of energy there is no bound.
    """

    least = ranks.search.least_cost(ranks.kernel, ranks.residence)
    if ranks.search.target.objective != "time" or best.cost <= DOUBTFUL * least:
        return best
    uncut = partial(ranks.search.least_of_tilings, residence=ranks.residence, space=space)
    search = CutSearch(
        kernel=ranks.kernel,
        best=best,
        bound=uncut(ranks.kernel) if ranks.search.target.sharers == 1 else least,
        rivals=lambda: ranks.contenders(space, RIVALS),
        lanes=Systolic(ranks.search.target.array).likes(ranks.kernel.taps),
        least=uncut,
        first_look=lambda part: _cost(replace(ranks, kernel=part).best_within(space)),
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
