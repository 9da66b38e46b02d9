"""The tilings of a kernel with their costs, and the best of them at a rate of DRAM."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cost import Cost, significant
from accelsim.lowering.target import Sizes
from accelsim.lowering.tiling import GemmTiling, VectorTiling


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its DRAM bytes, what a tile takes of the buffer that holds ifmaps, and time."""

    tiling: GemmTiling | VectorTiling
    dram_bytes: int
    tile_bytes: int
    cycles: float


SOME = 16
"""Of so many tilings one is looked at for a first bound."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the tilings of a kernel that fit cost at any rate of DRAM, given what is resident.

    Among tilings of equal cycles, those with the least of each of `preferences` win. `tile_bytes`
    is what a tile takes of the buffer in which feature maps stay.
    """

    tiling: Callable[[int], GemmTiling | VectorTiling]
    cost: Cost
    preferences: tuple[NDArray[Any], ...]
    tile_bytes: Sizes

    def best(self, rate: float, latency: int) -> Ranked | None:
        """The best tiling with a DRAM of `rate` bytes per cycle.

        What some of them take bounds what the best one takes, and so which ones are looked at.
        """
        if not len(self.tile_bytes):
            return None
        some = self.cost.each(lambda sizes: sizes[::SOME]).cycles(rate, latency)
        bound = significant(some.min())
        loaded = np.nextafter(bound * rate, np.inf)
        near = (self.cost.busy_cycles <= bound) & (self.cost.moved_bytes <= loaded)
        index = np.flatnonzero(near)
        cycles = self.cost.each(lambda sizes: sizes[index]).cycles(rate, latency)
        best = cycles <= significant(cycles.min())
        tied, cycles = index[best], cycles[best]
        for preference in self.preferences:
            values = preference[tied]
            least = values == values.min()
            tied, cycles = tied[least], cycles[least]
        first = int(tied[0])
        return Ranked(
            tiling=self.tiling(first),
            dram_bytes=int(self.cost.dram_bytes[first]),
            tile_bytes=int(self.tile_bytes[first]),
            cycles=float(cycles[0]),
        )

    def within(self, space: int) -> "Ranking":
        """Only the tilings of which a tile fits half of `space`."""
        index = np.flatnonzero(self.tile_bytes <= space // 2)
        return Ranking(
            lambda position: self.tiling(int(index[position])),
            self.cost.each(lambda sizes: sizes[index]),
            tuple(preference[index] for preference in self.preferences),
            self.tile_bytes[index],
        )


@dataclass(frozen=True)
class Ranks:
    """The tilings of a kernel at a rate and a latency of DRAM."""

    ranking: Ranking
    rate: float
    latency: int

    @cached_property
    def best(self) -> Ranked | None:
        """The best tiling."""
        return self.ranking.best(self.rate, self.latency)

    def best_within(self, space: int) -> Ranked | None:
        """The best tiling of those of which a tile fits half of `space`."""
        if self.best is None or self.best.tile_bytes <= space // 2:
            return self.best
        return self.ranking.within(space).best(self.rate, self.latency)
