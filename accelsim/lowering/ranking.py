"""The tilings of a kernel with their costs, and the best of them at a rate of DRAM."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cost import Cost, significant
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.target import Sizes
from accelsim.lowering.tiling import GemmTiling, VectorTiling, chosen

CLOSE = 8192
"""Tilings of least cycles among which those with other courses of their loops are looked for."""

Tiling = GemmTiling | VectorTiling | Mapping
"""How a layer is cut, on any unit."""


def plain(tiling: Tiling | None) -> dict[str, int | str]:
    """A tiling as a mapping file says it."""
    if tiling is None:
        return {}
    values = ((item.name, getattr(tiling, item.name)) for item in fields(tiling))
    return {
        name: value.name.lower() if isinstance(value, Enum) else value for name, value in values
    }


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its DRAM bytes, what a tile takes of the buffer that holds ifmaps, and time."""

    tiling: Tiling
    dram_bytes: int
    tile_bytes: int
    cycles: float


@dataclass(frozen=True, slots=True)
class Part:
    """Tilings under comparison in arrays that broadcast to `shape`; the first axis is of ways.

    `tiling` makes one of a flat index, `courses` says which of several go through their loops in
    as many turns. `tile_bytes` is what a tile takes of the buffer in which feature maps stay.
    """

    tiling: Callable[[int], GemmTiling | VectorTiling]
    courses: Callable[[NDArray[np.intp]], NDArray[np.uint64]]
    cost: Cost
    preferences: tuple[NDArray[Any], ...]
    tile_bytes: Sizes
    fits: NDArray[np.bool_]
    shape: tuple[int, ...]

    def cycles(self, rate: float, latency: int, space: int) -> NDArray[np.float64]:
        """What the tilings take, by way and flat index to the others; infinite for those that do
        not fit, as none does of which a tile takes more than half of `space`."""
        fits = self.fits & (self.tile_bytes <= space // 2)
        cycles = np.where(fits, self.cost.cycles(rate, latency, space), np.inf)
        return np.broadcast_to(cycles, self.shape).reshape(self.shape[0], -1)

    def take(self, sizes: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
        """What `sizes` says of the tilings at a flat `index`."""
        taken: NDArray[Any] = chosen(sizes, self.shape, index)
        return taken

    def ranked(self, index: int, cycles: float) -> Ranked:
        """The tiling at a flat index."""
        one = np.array([index])
        return Ranked(
            tiling=self.tiling(index),
            dram_bytes=int(self.take(self.cost.dram_bytes, one)[0]),
            tile_bytes=int(self.take(self.tile_bytes, one)[0]),
            cycles=cycles,
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the tilings of a kernel cost at any rate of DRAM, given what is resident.

    Among tilings of equal cycles, those with the least of each of the preferences win; cycles are
    equal if they are to `significant` digits.
    """

    parts: tuple[Part, ...]

    def at(self, rate: float, latency: int, space: int) -> "Times":
        """With a DRAM of `rate` bytes per cycle, and `space` bytes of the buffer for ifmaps."""
        return Times(self.parts, tuple(part.cycles(rate, latency, space) for part in self.parts))


@dataclass(frozen=True, slots=True)
class Times:
    """The tilings of a kernel with their times: `cycles` by part, way and flat index."""

    parts: tuple[Part, ...]
    cycles: tuple[NDArray[np.float64], ...]

    @property
    def any_fits(self) -> bool:
        """Whether there is a tiling."""
        return any(bool(np.isfinite(cycles).any()) for cycles in self.cycles)

    def several(self, orders: int = 0) -> list[Ranked]:
        """The best tiling, then the best of each of the `orders` that the ways come in."""
        least = min((float(cycles.min()) for cycles in self.cycles), default=np.inf)
        if np.isinf(least):
            return []
        best = self._winner(float(significant(np.array(least))))
        return [best, *(self.of_each(orders) if orders else ())]

    def close(self, share: float, most: int) -> Iterator[Ranked]:
        """Tilings that take up to `share` of the least cycles, the least first, `most` in all.

        Of those that go through their loops in as many turns there is only the first.
        """
        bound = share * min(float(cycles.min()) for cycles in self.cycles)
        found = []
        for part, cycles in zip(self.parts, self.cycles, strict=True):
            near = np.flatnonzero(cycles <= bound)
            order = near[np.argsort(cycles.flat[near], kind="stable")[:CLOSE]]
            _, first = np.unique(part.courses(order), return_index=True)
            some = order[np.sort(first)[:most]]
            found += [(float(cycles.flat[index]), part, int(index)) for index in some]
        found.sort(key=lambda one: one[0])
        return (part.ranked(index, cycles) for cycles, part, index in found[:most])

    def _winner(self, bound: float) -> Ranked:
        """The tiling with the least of each of the preferences, of those up to `bound` cycles."""
        tied = [
            (part, np.flatnonzero(cycles <= bound))
            for part, cycles in zip(self.parts, self.cycles, strict=True)
        ]
        for preference in range(len(self.parts[0].preferences)):
            if sum(index.size for _, index in tied) == 1:
                break
            values = [part.take(part.preferences[preference], index) for part, index in tied]
            least = min(each.min() for each in values if each.size)
            tied = [
                (part, index[each == least])
                for (part, index), each in zip(tied, values, strict=True)
            ]
        place, index = next((at, int(each[0])) for at, (_, each) in enumerate(tied) if each.size)
        return self.parts[place].ranked(index, float(self.cycles[place].flat[index]))

    def of_each(self, groups: int) -> Iterator[Ranked]:
        """The best tiling that fits of each of the `groups` that the ways come in, in order."""
        grouped = [cycles.reshape(groups, -1) for cycles in self.cycles]
        for group in range(groups):
            each = [cycles[group] for cycles in grouped]
            place = min(range(len(each)), key=lambda at: float(each[at].min()))
            index = int(each[place].argmin())
            if each[place][index] < np.inf:
                flat = group * each[place].size + index
                yield self.parts[place].ranked(flat, float(each[place][index]))
