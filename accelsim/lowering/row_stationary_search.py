"""The search for a row-stationary mapping: candidates, legal, cost, min.

Mappings at every scale are compared first; then those near the best of them, until none is better.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import MappingObjective
from accelsim.lowering.cost import significant
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.objective import weighed
from accelsim.lowering.row_stationary import Count, Mapping, active_pes, row_shape
from accelsim.lowering.row_stationary_candidates import (
    AXES,
    distinct,
    every_one,
    every_size,
    joined,
    most_filters,
    most_of,
    near,
    starts,
)
from accelsim.lowering.row_stationary_cost import (
    MappingCost,
    block_bytes,
    block_words,
    courses,
    legal,
    mapping_cost,
    quick_cycles,
    rough_cycles,
)
from accelsim.lowering.target import Target
from accelsim.units import ceil_div

FILLED = 0.9
"""Least share of the PEs that a layer can fill at best; Eyeriss' own mappings fill over 92 %."""

CENTERS = 8
"""Mappings of which the neighbours are looked at."""

CLOSE, CLOSER = 4096, 128
"""Mappings that are looked at less roughly and closely, where there are many."""

KINDS = ("e", "f", "q", "tap_rows", "tap_cols")
"""Parameters of which each size is a way of its own: it needs others to change with it."""

ROUNDS = 8
"""How often they are looked at, at most."""

DRAM_ENERGY, BUFFER_ENERGY = 200, 6
"""Energy of a word relative to a MAC: Chen et al., ISCA 2016, table IV."""

RIVALS = 16
"""Mappings beside the best ones, each with another course of its blocks."""

Guess = Callable[[GemmKernel, Target, Mapping], NDArray[np.float64]]
"""About what mappings take."""

Key = tuple[Count | NDArray[np.float64], ...]
"""What mappings are compared by, the most important first."""


def _by_time(cost: MappingCost) -> Key:
    """Time, then DRAM traffic: the closed form is no better than to some digits."""
    return significant(cost.cycles), cost.dram_words, cost.buffer_words


def _by_energy(cost: MappingCost) -> Key:
    energy = DRAM_ENERGY * cost.dram_words + BUFFER_ENERGY * cost.buffer_words
    return energy, cost.cycles


def _by_traffic(cost: MappingCost) -> Key:
    return cost.dram_words, cost.buffer_words, cost.cycles


KEYS: dict[MappingObjective, Callable[[MappingCost], Key]] = {
    "time": _by_time,
    "energy": _by_energy,
    "traffic": _by_traffic,
}
"""What is best by each objective of row-stationary mappings."""


def _key(cost: MappingCost, target: Target) -> Key:
    """What mappings are compared by; energy and energy-delay by the hardware's table."""
    if target.objective == "time":
        return KEYS[target.row_stationary.objective](cost)
    return weighed(target.objective, cost.cycles, cost.energy_pj), cost.cycles


def best_mapping(kernel: GemmKernel, target: Target) -> Mapping | None:
    """The legal mapping that is best by the hardware's objective; None if none is legal."""
    return next(iter(best_mappings(kernel, target)), None)


def best_mappings(kernel: GemmKernel, target: Target) -> list[Mapping]:
    """The few legal mappings that are best by the hardware's objective, the best first.

    Traffic is that of DRAM, then that of the buffers, among mappings that fill the array. Ties of
    energy and traffic go to less time. For least time windows and rows are cut also where they fit
    whole.
    """
    in_time = target.row_stationary.objective == "time"
    families = starts(kernel, target, uncut=not in_time)
    for family in [joined(families)] if in_time else families:
        tried = most_filters(kernel, target, family)
        fits = legal(kernel, target, tried)
        if fits.any():
            found = MappingSearch(kernel, target, _free(kernel, target, family))
            return found.each(found.best(tried.select(fits)))
    return []


def _free(kernel: GemmKernel, target: Target, family: Mapping) -> tuple[str, ...]:
    """What may be changed to find a mapping that is better than those of a family.

    Rows and windows only where they are cut already, or for least time.
    """
    whole = most_of(kernel)
    in_time = target.row_stationary.objective == "time"
    may_cut = {"f": in_time, "tap_rows": in_time, "tap_cols": in_time}
    if not target.cuts_windows:
        may_cut |= {"tap_rows": False, "tap_cols": False}
    return tuple(
        axis
        for axis in AXES
        if may_cut.get(axis, True) or np.any(getattr(family, axis) < whole[axis])
    )


@dataclass(frozen=True)
class MappingSearch:
    """The best mappings of a kernel among those at hand and those near them."""

    kernel: GemmKernel
    target: Target
    free: tuple[str, ...]

    def best(self, tried: Mapping) -> Mapping:
        """The best mappings, best first, from the best of those `tried`, which are legal.

        For least time others follow whose blocks take another course, the best of each.
        """
        least = self._least_pes(tried)
        filled = tried.select(np.asarray(self._pes(tried) >= least))
        every = every_one(self.kernel, self.target, self.free)
        if every is not None:
            keep = legal(self.kernel, self.target, every) & (self._pes(every) >= least)
            every = joined((filled, every.select(keep)))
            return self._with_rivals(self.several(every), every)
        found = self.several(joined(map(self._promising, (filled, *self._every_size()))))
        known: set[Mapping] = set()
        likely = self._likely(filled)
        others = self._of_each_kind(likely)
        most = len(others) + ROUNDS * CENTERS
        while new := [each for each in (*self.each(found), *others) if each not in known]:
            known.update(new)
            around = joined(map(self.around, new))
            keep = legal(self.kernel, self.target, around) & (self._pes(around) >= least)
            found = self.several(joined((found, self._promising(around.select(keep)))))
            if len(known) > most:
                break
        return self._with_rivals(found, likely)

    def _likely(self, mapping: Mapping) -> Mapping:
        """For least time those of which guesses say least, the least first."""
        if not self._by_time:
            return mapping
        return self._least_by(rough_cycles, self._least_by(quick_cycles, mapping, CLOSE), CLOSE)

    def _of_each_kind(self, ordered: Mapping) -> list[Mapping]:
        """For least time, the first with each size of every one of KINDS: valleys lie between."""
        if not self._by_time:
            return []
        sizes = (getattr(ordered, kind) for kind in KINDS)
        firsts = {int(place) for each in sizes for place in np.unique(each, return_index=True)[1]}
        return [ordered.only(place) for place in sorted(firsts)]

    def _with_rivals(self, found: Mapping, others: Mapping) -> Mapping:
        """For least time, with the best of `others` of each of some courses: as played, one of
        them may be faster than what is next to the best."""
        if not self._by_time:
            return found
        order = np.argsort(mapping_cost(self.kernel, self.target, others).cycles, kind="stable")
        course = courses(self.kernel, self.target, others.select(order))
        _, first = np.unique(course, axis=1, return_index=True)
        return distinct(joined((found, others.select(order[np.sort(first)[:RIVALS]]))))

    @property
    def _by_time(self) -> bool:
        return self.target.objective == self.target.row_stationary.objective == "time"

    def _every_size(self) -> Iterator[Mapping]:
        """Legal mappings of every size, for least time and where these are quite few."""
        every = every_size(self.kernel, self.target, self.free) if self._by_time else None
        if every is not None:
            yield every.select(legal(self.kernel, self.target, every))

    def each(self, several: Mapping) -> list[Mapping]:
        """The mappings one by one."""
        return [several.only(index) for index in range(len(np.atleast_1d(several.m)))]

    def around(self, mapping: Mapping) -> Mapping:
        """Mappings near one."""
        return near(self.kernel, self.target, mapping, self.free)

    def _least_pes(self, tried: Mapping) -> float:
        """PEs that a mapping fills at least."""
        if self.target.row_stationary.objective != "traffic":
            return 0.0
        return FILLED * float(np.max(self._pes(tried)))

    def _pes(self, mapping: Mapping) -> Count:
        taps = mapping.tap_rows, mapping.tap_cols
        shape = row_shape(self.target.row_stationary, self.kernel.windows, *taps)
        return active_pes(shape, mapping)

    def _promising(self, mapping: Mapping) -> Mapping:
        """For least time only those of which guesses say least, where there are many."""
        mapping = distinct(mapping)
        if not self._by_time:
            return mapping
        for guess, most in ((quick_cycles, CLOSE), (rough_cycles, CLOSER)):
            if np.size(mapping.m) > most:
                mapping = self._least_by(guess, mapping, most)
        return mapping

    def _least_by(self, guess: Guess, mapping: Mapping, most: int) -> Mapping:
        """The `most` that take least by a guess, the least first."""
        order = np.argsort(guess(self.kernel, self.target, mapping), kind="stable")
        return mapping.select(order[:most])

    def several(self, mapping: Mapping) -> Mapping:
        """The best of them, each once."""
        mapping = distinct(mapping)
        cost = mapping_cost(self.kernel, self.target, mapping)
        key = _key(cost, self.target)
        return mapping.select(np.lexsort([np.asarray(each) for each in key[::-1]])[:CENTERS])


def misfit(kernel: GemmKernel, target: Target) -> str:
    """Demand, bound and lever of the smallest block."""
    *_, family = starts(kernel, target, uncut=False)
    taken = np.array(
        block_bytes(target, block_words(kernel, target, most_filters(kernel, target, family)))
    )
    index = int(np.argmin(taken.sum(axis=0)))
    return "; ".join(
        f"the smallest block needs {size:,} bytes of buffer {space.name}, which has "
        f"{space.size:,}; make buffers.{space.name}.size at least {size} B"
        for space, size in zip(target.buffers, taken[:, index], strict=True)
        if size > space.size // space.bank * space.bank
    )


def pes_holding_work(kernel: GemmKernel, target: Target, mapping: Mapping) -> float:
    """Share of the PEs that hold work, averaged over the passes of a layer."""
    model = target.row_stationary
    rows = kernel.rows.outputs / ceil_div(kernel.rows.outputs, int(mapping.e))
    chains = _mean_sets(kernel.channels, kernel.channels, int(mapping.channels), int(mapping.r))
    beside = _mean_sets(kernel.filters, int(mapping.m), int(mapping.filters), int(mapping.t))
    taps = int(mapping.tap_rows), int(mapping.tap_cols)
    set_rows = int(row_shape(model, kernel.windows, *taps).set_rows)
    return set_rows * rows * chains * beside / (model.rows * model.cols)


def _mean_sets(total: int, block: int, size: int, sets: int) -> float:
    """PE sets at work, of `sets`, averaged over pieces of `size` that cut blocks of `total`."""
    parts = [
        (piece, blocks * count)
        for part, blocks in _alike(total, block)
        for piece, count in _alike(part, size)
    ]
    busy = sum(ceil_div(piece, ceil_div(piece, sets)) * count for piece, count in parts)
    return busy / sum(count for _, count in parts)


def _alike(total: int, size: int) -> list[tuple[int, int]]:
    """Sizes of the pieces that `total` is cut into, and how many there are of each."""
    parts = [(size, total // size), (total % size, 1)]
    return [(piece, count) for piece, count in parts if piece and count]
