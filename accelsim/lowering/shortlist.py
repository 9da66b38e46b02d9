"""A few of many tilings that are sure to hold the best one, for any room that is left for tiles.

While it is planned which feature maps stay on chip, every layer's best tiling is asked for with
many sizes of room for its tiles. With less room no tiling costs less. So a few are picked once by
a bound that is quickly found for all, and what is left out is known not to be better than them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cost import significant
from accelsim.lowering.ranking import Part, Ranking, Times
from accelsim.lowering.target import Sizes

MOST = 256
"""Tilings on a shortlist, and as many more of those that a bound hardly tells apart."""

ALIKE = 1.02
"""Tilings whose bound is so many times the least: of very many those that move least decide."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A few tilings, at a DRAM's `rate` and `latency`; none of the others costs less than `rest`.

    Those of the others that may cost up to `alike` move `moved` bytes or more.
    """

    few: Ranking
    rate: float
    latency: int
    rest: float
    alike: float
    moved: float

    def within(self, space: int) -> Times | None:
        """Those with `space` bytes of the buffer for ifmaps; None if the best may be another."""
        times = self.few.at(self.rate, self.latency, space)
        if times.best is None or times.least > self.rest:
            return None
        bound = float(significant(np.array(times.least)))
        is_least = bound <= self.alike and times.best.dram_bytes < self.moved
        return times if bound < self.rest or is_least else None


def shortlist(ranking: Ranking, rate: float, latency: int) -> Shortlist | None:
    """The shortlist of a ranking by time; None if no tiling fits, or few are compared anyway."""
    floors = np.concatenate([_floor(part, rate, latency) for part in ranking.parts])
    least = floors.min()
    if floors.size <= 2 * MOST or least == np.inf:
        return None
    chosen, alike, moved = _chosen(ranking.parts, floors, ALIKE * least)
    left = floors.copy()
    left[chosen] = np.inf
    few = Ranking(tuple(_only(ranking.parts, np.sort(chosen))))
    return Shortlist(
        few=few,
        rate=rate,
        latency=latency,
        rest=float(left.min()),
        alike=alike,
        moved=moved,
    )


def _floor(part: Part, rate: float, latency: int) -> NDArray[np.float64]:
    """What the tilings cost at least, by flat index; infinite for those that do not fit."""
    floor = np.where(part.fits, part.cost.floor(rate, latency), np.inf)
    return np.broadcast_to(floor, part.shape).reshape(-1)


def _chosen(
    parts: Sequence[Part], floors: NDArray[np.float64], alike: float
) -> tuple[NDArray[np.intp], float, float]:
    """Which to choose; up to what bound the others move how many bytes or more."""
    near = np.flatnonzero(floors <= alike)
    if near.size <= MOST:
        return np.argpartition(floors, MOST)[:MOST], 0.0, 0.0
    fastest = np.argpartition(floors[near], MOST)[:MOST]
    moved = np.concatenate([_moved(part) for part in parts])[near]
    order = np.argpartition(moved, MOST)
    chosen = near[np.union1d(fastest, order[:MOST])]
    return chosen, alike, float(moved[order[MOST]])


def _moved(part: Part) -> Sizes:
    """Bytes that the tilings move, by flat index."""
    return np.broadcast_to(part.cost.dram_bytes, part.shape).reshape(-1)


def _only(parts: Sequence[Part], chosen: NDArray[np.intp]) -> Iterator[Part]:
    """Those tilings of all parts that are chosen, by flat index to one after another."""
    start = 0
    for part in parts:
        stop = start + prod(part.shape)
        first, last = np.searchsorted(chosen, (start, stop))
        if first < last:
            yield part.only(chosen[first:last] - start)
        start = stop
