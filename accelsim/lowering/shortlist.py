"""A few of many tilings that are sure to hold the best one, for any room that is left for tiles.

While it is planned which feature maps stay on chip, every layer's best tiling is asked for with
many sizes of room for its tiles. With less room no tiling costs less. So a few are picked once by
a bound that is quickly found for all, and what is left out is known not to be better than them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.cost import Floor, significant
from accelsim.lowering.flow_cost import floor_of
from accelsim.lowering.gemm_search import Flows, Picked, fitting, gemm_ranking
from accelsim.lowering.ranking import RatedRanking, Times
from accelsim.lowering.target import Target
from accelsim.lowering.tiling import chosen

MOST = 256
"""Tilings on a shortlist, and as many more of those that a bound hardly tells apart."""

ALIKE = 1.02
"""Tilings whose bound is so many times the least: of very many those that move least decide."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A few tilings at one rate of DRAM; none of the others costs less than `rest`.

    Those of the others that may cost up to `alike` move `moved` bytes or more.
    """

    few: RatedRanking
    rest: float
    alike: float
    moved: float

    def within(self, space: int) -> Times | None:
        """Those with `space` bytes of the buffer for ifmaps; None if the best may be another."""
        times = self.few.within(space)
        if times.best is None or times.least > self.rest:
            return None
        bound = float(significant(np.array(times.least)))
        is_least = bound <= self.alike and times.best.dram_bytes < self.moved
        return times if bound < self.rest or is_least else None


@dataclass(frozen=True, slots=True)
class Floors:
    """What those of some tilings that fit cost at least, by flat `index`, at any rate of DRAM."""

    flows: Flows
    index: NDArray[np.intp]
    floor: Floor


def floors_of(target: Target, families: Sequence[Flows]) -> tuple[Floors, ...]:
    """The floors of all that are compared, given what is resident on `target`."""
    return tuple(_floors(target, flows) for flows in families)


def _floors(target: Target, flows: Flows) -> Floors:
    _, fits = fitting(target, flows)
    index = np.flatnonzero(np.broadcast_to(fits, flows.shape))
    floor = floor_of(flows.flow, target)
    return Floors(flows, index, floor.only(lambda sizes: chosen(sizes, flows.shape, index)))


def shortlist(
    target: Target, families: Sequence[Floors], rate: float, latency: int
) -> Shortlist | None:
    """The shortlist, by time; None if no tiling fits."""
    floors = np.concatenate([each.floor.cycles(rate, latency) for each in families])
    if not floors.size:
        return None
    places, alike, moved = _likely(families, floors, ALIKE * float(floors.min()))
    left = floors.copy()
    left[places] = np.inf
    few = gemm_ranking(target, [*_only(families, np.sort(places))])
    rated = few.rated(rate, latency).fixed()
    return Shortlist(few=rated, rest=float(left.min()), alike=alike, moved=moved)


def _likely(
    families: Sequence[Floors], floors: NDArray[np.float64], alike: float
) -> tuple[NDArray[np.intp], float, float]:
    """Which to choose; up to what bound the others move how many bytes or more."""
    if floors.size <= 2 * MOST:
        return np.arange(floors.size), 0.0, 0.0
    near = np.flatnonzero(floors <= alike)
    if near.size <= MOST:
        return np.argpartition(floors, MOST)[:MOST], 0.0, 0.0
    fastest = np.argpartition(floors[near], MOST)[:MOST]
    moved = np.concatenate([each.floor.dram_bytes for each in families])[near]
    order = np.argpartition(moved, MOST)
    likely = near[np.union1d(fastest, order[:MOST])]
    return likely, alike, float(moved[order[MOST]])


def _only(families: Sequence[Floors], places: NDArray[np.intp]) -> Iterator[Picked]:
    """Those tilings of all that are at some places, counted from one family to another."""
    start = 0
    for each in families:
        stop = start + each.index.size
        first, last = np.searchsorted(places, (start, stop))
        if first < last:
            yield each.flows.pick(each.index[places[first:last] - start])
        start = stop
