"""The tilings of a kernel with their costs, and the best of them at a rate of DRAM."""

from collections.abc import Callable
from dataclasses import dataclass
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
        """The best tiling with a DRAM of `rate` bytes per cycle; None if none fits."""
        found = self.several(rate, latency, 1)
        return found[0] if found else None

    def several(self, rate: float, latency: int, count: int) -> list[Ranked]:
        """The best tiling with a DRAM of `rate` bytes per cycle, then others of the least cycles.

        What some of them take bounds what the best one takes, and so which ones are looked at.
        """
        if not len(self.tile_bytes):
            return []
        some = self.cost.each(lambda sizes: sizes[::SOME]).cycles(rate, latency)
        bound = significant(some.min())
        loaded = np.nextafter(bound * rate, np.inf)
        near = (self.cost.busy_cycles <= bound) & (self.cost.moved_bytes <= loaded)
        index = np.flatnonzero(near)
        cycles = self.cost.each(lambda sizes: sizes[index]).cycles(rate, latency)
        tied = np.flatnonzero(cycles <= significant(cycles.min()))
        for preference in self.preferences:
            values = preference[index[tied]]
            tied = tied[values == values.min()]
        others = np.argsort(cycles, kind="stable")[: count - 1] if count > 1 else ()
        return [self._ranked(int(index[at]), float(cycles[at])) for at in (tied[0], *others)]

    def _ranked(self, index: int, cycles: float) -> Ranked:
        return Ranked(
            tiling=self.tiling(index),
            dram_bytes=int(self.cost.dram_bytes[index]),
            tile_bytes=int(self.tile_bytes[index]),
            cycles=cycles,
        )

    def within(self, space: int) -> "Ranking":
        """Only the tilings of which a tile fits half of `space`."""
        if np.all(self.tile_bytes <= space // 2):
            return self
        index = np.flatnonzero(self.tile_bytes <= space // 2)
        return Ranking(
            lambda position: self.tiling(int(index[position])),
            self.cost.each(lambda sizes: sizes[index]),
            tuple(preference[index] for preference in self.preferences),
            self.tile_bytes[index],
        )
