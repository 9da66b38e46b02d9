"""The tilings of a kernel with their costs, and the best of them at a rate of DRAM."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Objective
from accelsim.lowering.cost import Cost, Rated, significant
from accelsim.lowering.objective import weighed
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.target import Sizes
from accelsim.lowering.tiling import CutTiling, GemmTiling, VectorTiling, chosen

CLOSE = 8192
"""Tilings of least cost among which those with other courses of their loops are looked for."""

SURE = 0.03
"""What takes as long, as played, as its cost says, but for so little, has no rivals."""

RIVAL = 1.1
"""Rivals of a tiling take at most so much of its cost, by the closed form."""

Tiling = GemmTiling | CutTiling | VectorTiling | Mapping
"""How a layer is cut, on any unit."""


REST = "rest_"
"""Before what is said of the tiles of the second part of a kernel that is cut."""


def said_of(tiling: Tiling | None) -> dict[str, Any]:
    """What a tiling says, by name: of one that is cut, first what its first part's says."""
    if tiling is None:
        return {}
    if isinstance(tiling, CutTiling):
        rest = {REST + name: value for name, value in said_of(tiling.rest).items()}
        return said_of(tiling.first) | {"cut": tiling.cut, "at": tiling.at} | rest
    return {item.name: getattr(tiling, item.name) for item in fields(tiling)}


def plain(tiling: Tiling | None) -> dict[str, int | str]:
    """A tiling as a mapping file says it."""
    return {
        name: value.name.lower() if isinstance(value, Enum) else value
        for name, value in said_of(tiling).items()
    }


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its DRAM bytes, what a tile takes of the buffer that holds ifmaps, and time.

    Its energy is known where the `objective` asks for it. `cost` is what that minimises. The array
    is busy for so many cycles, whatever else takes longer; 0 where that is not told apart. Where it
    takes more as `played` than its cost says, that is known, too.
    """

    tiling: Tiling
    dram_bytes: int
    tile_bytes: int
    cycles: float
    busy_cycles: float = 0.0
    energy_pj: float = 0.0
    objective: Objective = "time"
    played: float = 0.0

    @property
    def cost(self) -> float:
        """Cycles, pJ or their product."""
        return float(weighed(self.objective, self.cycles, self.energy_pj))

    @property
    def takes(self) -> float:
        """Its cost, or what it took as played, where that is known to be more."""
        return max(self.cost, self.played)


def cost_together(several: Iterable[Ranked]) -> float:
    """What some tilings cost, one after another."""
    found = [*several]
    cycles, energy = (sum(getattr(one, name) for one in found) for name in ("cycles", "energy_pj"))
    return float(weighed(found[0].objective, cycles, energy)) if found else 0.0


class Compared(Protocol):
    """Tilings under comparison, by a flat index to the ways to run their loops and to them."""

    def tiling(self, index: int) -> GemmTiling:
        """The one at an index."""

    def only(self, index: NDArray[np.intp]) -> "Few":
        """Those at some indices."""


class Few(Compared, Protocol):
    """Some of them, which may go different ways."""

    @property
    def courses(self) -> NDArray[np.uint64]:
        """A number for each: those that go through their loops in as many turns have the same."""


@dataclass(frozen=True, slots=True)
class Part:
    """Tilings under comparison in arrays that broadcast to `shape`; the first axis is of ways.

    `tile_bytes` is what a tile takes of the buffer in which feature maps stay.
    """

    tilings: Compared
    cost: Cost
    preferences: tuple[NDArray[Any], ...]
    tile_bytes: Sizes
    fits: NDArray[np.bool_]
    shape: tuple[int, ...]

    def fitting(self, cycles: NDArray[np.float64], space: int) -> NDArray[np.float64]:
        """What the tilings take at a rate, by way and flat index to the others; infinite for those
        that do not fit, as none does of which a tile takes more than half of `space`."""
        fits = self.fits & (self.tile_bytes <= space // 2)
        cycles = np.where(fits, cycles, np.inf)
        return np.broadcast_to(cycles, self.shape).reshape(self.shape[0], -1)

    def costs(self, cycles: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the objective minimises, of tilings that take so many `cycles`."""
        if self.cost.energy_pj is None:
            return cycles
        energy = np.broadcast_to(self.cost.energy_pj, self.shape).reshape(cycles.shape)
        fits = np.isfinite(cycles)
        weights = weighed(self.cost.objective, np.where(fits, cycles, 0), energy)
        return np.where(fits, weights, np.inf)

    def take(self, sizes: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
        """What `sizes` says of the tilings at a flat `index`."""
        taken: NDArray[Any] = chosen(sizes, self.shape, index)
        return taken

    def ranked(self, index: int, cycles: float) -> Ranked:
        """The tiling at a flat index."""
        one, energy = np.array([index]), self.cost.energy_pj
        return Ranked(
            tiling=self.tilings.tiling(index),
            dram_bytes=int(self.take(self.cost.dram_bytes, one)[0]),
            tile_bytes=int(self.take(self.tile_bytes, one)[0]),
            cycles=cycles,
            busy_cycles=float(self.take(self.cost.busy_cycles, one)[0]),
            energy_pj=0.0 if energy is None else float(self.take(energy, one)[0]),
            objective=self.cost.objective,
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the tilings of a kernel cost at any rate of DRAM, given what is resident.

    Among tilings of equal cost, those with the least of each of the preferences win; costs are
    equal if they are to `significant` digits. Of those of equal energy the fastest win.
    """

    parts: tuple[Part, ...]

    def at(self, rate: float, latency: int, space: int) -> "Times":
        """With a DRAM of `rate` bytes per cycle, and `space` bytes of the buffer for ifmaps."""
        return self.rated(rate, latency).within(space)

    def waiting(self, rate: float, latency: int, space: int) -> "Times":
        """The same, if loads wait in queues behind tiles that have no room."""
        each = [part.cost.waiting(rate, latency, space) for part in self.parts]
        pairs = zip(self.parts, each, strict=True)
        return _times(self.parts, [part.fitting(cycles, space) for part, cycles in pairs])

    def rated(self, rate: float, latency: int) -> "RatedRanking":
        """The same at one rate and latency of DRAM."""
        return RatedRanking(
            self.parts, tuple(part.cost.rated(rate, latency) for part in self.parts)
        )


@dataclass(frozen=True, slots=True)
class RatedRanking:
    """A ranking at one rate of DRAM, with whatever space tiles have."""

    parts: tuple[Part, ...]
    rated: tuple[Rated, ...]

    def within(self, space: int) -> "Times":
        """With `space` bytes of the buffer for ifmaps."""
        pairs = zip(self.parts, self.rated, strict=True)
        return _times(
            self.parts, [part.fitting(rated.cycles(space), space) for part, rated in pairs]
        )

    def fixed(self) -> "RatedRanking":
        """The same, for many spaces: what none changes is worked out."""
        return replace(self, rated=tuple(rated.fixed() for rated in self.rated))


def _times(parts: tuple[Part, ...], cycles: Sequence[NDArray[np.float64]]) -> "Times":
    costs = tuple(part.costs(each) for part, each in zip(parts, cycles, strict=True))
    return Times(parts, tuple(cycles), costs)


Rating = Callable[[Ranking, float, int, int], "Times"]
"""How a ranking's tilings are costed, at a rate and latency of DRAM, in so much space."""


@dataclass(frozen=True)
class Times:
    """The tilings of a kernel with their `cycles` and `costs`: by part, way and flat index.

    The cost is what the objective minimises: cycles, or energy, or their product.
    """

    parts: tuple[Part, ...]
    cycles: tuple[NDArray[np.float64], ...]
    costs: tuple[NDArray[np.float64], ...]

    @staticmethod
    def of_all(several: Sequence["Times"]) -> "Times":
        """Those of all together, which have the same ways."""
        kinds = ("parts", "cycles", "costs")
        return Times(
            *(tuple(each for one in several for each in getattr(one, kind)) for kind in kinds)
        )

    @property
    def any_fits(self) -> bool:
        """Whether there is a tiling."""
        return self.least < np.inf

    @cached_property
    def least(self) -> float:
        """What the cheapest one costs; infinite if none fits."""
        return min((float(costs.min()) for costs in self.costs), default=np.inf)

    @cached_property
    def best(self) -> Ranked | None:
        """The best tiling; None if none fits."""
        return self._winner(float(significant(np.array(self.least)))) if self.any_fits else None

    def several(self, orders: int) -> list[Ranked]:
        """The best tiling, then the best of each of the `orders` that the ways come in."""
        return [] if self.best is None else [self.best, *self.of_each(orders)]

    def close(self, share: float, most: int) -> Iterator[Ranked]:
        """Tilings that cost up to `share` of the least, the least first, `most` in all.

        Of those that go through their loops in as many turns there is only the first.
        """
        bound = share * self.least
        found = []
        for place, (part, costs) in enumerate(zip(self.parts, self.costs, strict=True)):
            near = np.flatnonzero(costs <= bound)
            order = near[np.argsort(costs.flat[near], kind="stable")[:CLOSE]]
            _, first = np.unique(part.tilings.only(order).courses, return_index=True)
            some = order[np.sort(first)[:most]]
            found += [(float(costs.flat[index]), place, int(index)) for index in some]
        found.sort(key=lambda one: one[0])
        return (self._ranked(place, index) for _, place, index in found[:most])

    def _ranked(self, place: int, index: int) -> Ranked:
        """The tiling at a flat index of a part."""
        return self.parts[place].ranked(index, float(self.cycles[place].flat[index]))

    def _winner(self, bound: float) -> Ranked:
        """The tiling with the least of each of the preferences, of those that cost up to `bound`.

        Of least energy first the fastest.
        """
        tied = [np.flatnonzero(costs <= bound) for costs in self.costs]
        if self.parts[0].cost.objective == "energy":
            pairs = zip(self.cycles, tied, strict=True)
            tied = _least(tied, [cycles.flat[index] for cycles, index in pairs])
        for preference in range(len(self.parts[0].preferences)):
            if sum(index.size for index in tied) == 1:
                break
            each = zip(self.parts, tied, strict=True)
            values = [part.take(part.preferences[preference], index) for part, index in each]
            tied = _least(tied, values)
        place, index = next((at, int(each[0])) for at, each in enumerate(tied) if each.size)
        return self._ranked(place, index)

    def of_each(self, groups: int) -> Iterator[Ranked]:
        """The best tiling that fits of each of the `groups` that the ways come in, in order."""
        grouped = [costs.reshape(groups, -1) for costs in self.costs]
        for group in range(groups):
            each = [costs[group] for costs in grouped]
            place = min(range(len(each)), key=lambda at: float(each[at].min()))
            index = int(each[place].argmin())
            if each[place][index] < np.inf:
                flat = group * each[place].size + index
                yield self._ranked(place, flat)


def _least(
    places: Sequence[NDArray[np.intp]], values: Sequence[NDArray[Any]]
) -> list[NDArray[np.intp]]:
    """Those of some `places`, by part, whose values are the least of all."""
    least = min(each.min() for each in values if each.size)
    return [index[each == least] for index, each in zip(places, values, strict=True)]
