"""Kernels that the user cuts, with what is forced on the tiles of each part."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from accelsim.lowering.cut import may_be_cut, parts_of, total
from accelsim.lowering.cut_search import joined
from accelsim.lowering.forced_ranks import ForcedGemm, ForcedRanks, Values
from accelsim.lowering.ranking import REST, Ranked
from accelsim.lowering.search import Search
from accelsim.lowering.target import Residence
from accelsim.lowering.tiling import CutAxis


def forced_ranks(search: Search, kernel: ForcedGemm, residence: Residence) -> ForcedRanks:
    """The tilings that obey: of both parts, if a cut is forced; of the rest, whole or cut again."""
    first = _of_first(kernel.forced)
    place = _place(kernel)
    if first == kernel.forced or (place and place[1] >= total(kernel, place[0])):
        return ForcedRanks(search, replace(kernel, forced=first), residence)
    return ForcedCutRanks(search, kernel, residence)


def _place(kernel: ForcedGemm) -> tuple[CutAxis, int] | None:
    """The axis that is cut, and where the rest begins; None where that is not said."""
    forced = dict(kernel.forced)
    return (forced["cut"], forced["at"]) if {"cut", "at"} <= forced.keys() else None


def _of_first(values: Values) -> Values:
    """What is forced on the tiles of the first part."""
    return tuple(
        (axis, value)
        for axis, value in values
        if axis not in ("cut", "at") and not axis.startswith(REST)
    )


def _of_rest(values: Values) -> Values:
    """What is forced on the tiles of the rest."""
    return tuple((axis[len(REST) :], value) for axis, value in values if axis.startswith(REST))


@dataclass(frozen=True)
class ForcedCutRanks(ForcedRanks):
    """A kernel cut in two as is forced, with the best tiling of each part that obeys."""

    @cached_property
    def parts(self) -> tuple[ForcedRanks, ...]:
        """The tilings of both parts; none where it cannot be cut."""
        kernel, place = self.kernel, _place(self.kernel)
        if place is None or not may_be_cut(kernel, *place):
            return ()
        forced = _of_first(kernel.forced), _of_rest(kernel.forced)
        made = map(lambda part, its: replace(part, forced=its), parts_of(kernel, *place), forced)
        return tuple(forced_ranks(self.search, part, self.residence) for part in made)

    def best_within(self, space: int) -> Ranked | None:
        return self._of_both(lambda part: part.best_within(space))

    def uncut_within(self, space: int) -> Ranked | None:
        return self._of_both(lambda part: part.uncut_within(space))

    def _of_both(self, found: Callable[[ForcedRanks], Ranked | None]) -> Ranked | None:
        place, both = _place(self.kernel), [*map(found, self.parts)]
        if place is None or not both or None in both:
            return None
        (axis, at), (first, rest) = place, (each for each in both if each is not None)
        return joined((axis, at), first, rest)

    @property
    def misfit(self) -> str:
        """Why nothing that obeys fits."""
        if self.parts:
            return next(part.misfit for part in self.parts if part.best is None)
        return (
            "it cannot be cut: say the axis, `cut`, and `at`, where the second part begins; each "
            "part must read data, and no window over the ofmap may lie across"
        )
