"""The tilings of a kernel with their costs, and the best of them at a rate of DRAM."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cost import Cost, significant
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.target import Sizes
from accelsim.lowering.tiling import GemmTiling, VectorTiling, chosen

Tiling = GemmTiling | VectorTiling | Mapping
"""How a layer is cut, on any unit."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tiling with its DRAM bytes, what a tile takes of the buffer that holds ifmaps, and time."""

    tiling: Tiling
    dram_bytes: int
    tile_bytes: int
    cycles: float


SOME = 16
"""Of so many tilings one is looked at for a first bound."""


@dataclass(frozen=True, slots=True)
class Part:
    """Tilings under comparison in arrays that broadcast, of which those at `index` fit.

    `tiling` makes one of a flat index. `tile_bytes` is what a tile takes of the buffer in which
    feature maps stay.
    """

    tiling: Callable[[int], GemmTiling | VectorTiling]
    cost: Cost
    preferences: tuple[NDArray[Any], ...]
    tile_bytes: Sizes
    index: NDArray[np.intp]
    shape: tuple[int, ...]

    def take(self, sizes: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
        """What `sizes` says of the tilings at a flat `index`."""
        taken: NDArray[Any] = chosen(sizes, self.shape, index)
        return taken

    def cycles(self, index: NDArray[np.intp], rate: float, latency: int) -> NDArray[np.float64]:
        """What the tilings at a flat `index` take."""
        return self.cost.each(lambda sizes: self.take(sizes, index)).cycles(rate, latency)

    def near(self, bound: float, rate: float) -> NDArray[np.intp]:
        """The tilings that fit and may take no more than `bound` cycles, by flat index."""
        loaded = np.nextafter(bound * rate, np.inf)
        busy = self.take(self.cost.busy_cycles, self.index) <= bound
        moved = self.take(self.cost.moved_bytes, self.index) <= loaded
        found: NDArray[np.intp] = self.index[busy & moved]
        return found

    def within(self, space: int) -> "Part":
        """Only the tilings of which a tile fits half of `space`."""
        fits = self.take(self.tile_bytes, self.index) <= space // 2
        return self if fits.all() else replace(self, index=self.index[fits])


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the tilings of a kernel that fit cost at any rate of DRAM, given what is resident.

    Among tilings of equal cycles, those with the least of each of the preferences win; cycles are
    equal if they are to `significant` digits.
    """

    parts: tuple[Part, ...]

    def best(self, rate: float, latency: int) -> Ranked | None:
        """The best tiling with a DRAM of `rate` bytes per cycle; None if none fits."""
        found = self.several(rate, latency, 1)
        return found[0] if found else None

    def several(self, rate: float, latency: int, count: int) -> list[Ranked]:
        """The best tiling with a DRAM of `rate` bytes per cycle, then the best that differ more.

        What some of them take bounds what the best one takes, and so which ones are looked at.
        """
        parts = [part for part in self.parts if len(part.index)]
        if not parts:
            return []
        some = [part.cycles(part.index[::SOME], rate, latency).min() for part in parts]
        bound = significant(np.array(some)).min()
        near = [part.near(bound, rate) for part in parts]
        cycles = [
            part.cycles(index, rate, latency) for part, index in zip(parts, near, strict=True)
        ]
        owner = np.repeat(np.arange(len(parts)), [*map(len, near)])
        return _sorted_out(parts, owner, np.concatenate(near), np.concatenate(cycles), count)

    def within(self, space: int) -> "Ranking":
        """Only the tilings of which a tile fits half of `space`."""
        return Ranking(tuple(part.within(space) for part in self.parts))


def _sorted_out(
    parts: Sequence[Part],
    owner: NDArray[np.intp],
    index: NDArray[np.intp],
    cycles: NDArray[np.float64],
    count: int,
) -> list[Ranked]:
    """The winner of the tilings at `index` of the parts that own them, then the next ones."""
    tied = np.flatnonzero(cycles <= significant(cycles.min()))
    for preference in range(len(parts[0].preferences)):
        values = np.concatenate(
            [
                part.take(part.preferences[preference], index[tied[owner[tied] == at]])
                for at, part in enumerate(parts)
            ]
        )
        tied = tied[values == values.min()]
    chosen_ones = (
        [int(tied[0]), *_different(owner, parts, index, cycles)] if count > 1 else tied[:1]
    )
    return [_ranked(parts[owner[at]], index[at], float(cycles[at])) for at in chosen_ones[:count]]


def _different(
    owner: NDArray[np.intp],
    parts: Sequence[Part],
    index: NDArray[np.intp],
    cycles: NDArray[np.float64],
) -> list[int]:
    """The best of each way to run the loops, the first axis of a part, the least cycles first."""
    sizes = np.array([prod(part.shape[1:]) for part in parts])
    way = index // sizes[owner]
    by_way = np.lexsort((cycles, way))
    first = by_way[np.flatnonzero(np.diff(way[by_way], prepend=-1))]
    return [int(at) for at in first[np.argsort(cycles[first], kind="stable")]]


def _ranked(part: Part, index: np.intp, cycles: float) -> Ranked:
    one = np.array([index])
    return Ranked(
        tiling=part.tiling(int(index)),
        dram_bytes=int(part.take(part.cost.dram_bytes, one)[0]),
        tile_bytes=int(part.take(part.tile_bytes, one)[0]),
        cycles=cycles,
    )
