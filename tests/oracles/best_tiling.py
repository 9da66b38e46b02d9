"""The best legal tiling by the search's own cost, without its search.

`costs` is all that is known of the cost code. `cheapest` looks at every tiling there is;
`challenge` climbs from many places, for kernels of which nobody can look at every tiling.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from accelsim.lowering.demand import legal
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_search import Way, ways_of
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.objective import weighed
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import GemmTiling, tilings_of, whole_sizes

AXES = ("batch", "groups", "rows", "cols", "filters", "channels", "tap_rows", "tap_cols")
"""What can be cut, by the names that a GemmTiling gives the sizes."""

CHUNK = 1 << 17
"""Tilings that are looked at together: some 200 MiB."""

Costs = NDArray[np.float64]


# --- The adapter: what the cost code says ---------------------------------------------------------


def totals(kernel: GemmKernel) -> dict[str, int]:
    """Size of every axis."""
    return dict(zip(AXES, whole_sizes(kernel), strict=True))


def costs(
    kernel: GemmKernel, target: Target, sizes: Mapping[str, Sizes]
) -> tuple[Costs, NDArray[np.bool_]]:
    """Cost of tilings in each of the ways to run their loops, shape (ways, n); which are legal.

    That is cycles, or what else the target's objective minimises. `sizes` has n entries for each
    of AXES. What is not legal costs infinitely much.
    """
    tilings = tilings_of(kernel, [sizes[axis] for axis in AXES])
    fits = np.array(legal(kernel, target, tilings))
    cycles = np.full((len(ways_of(kernel, target)), len(fits)), np.inf)
    if fits.any():
        work = workload(kernel, target, tilings.at(np.flatnonzero(fits)))
        rate = float(target.dram_bytes_per_cycle)
        for place, way in enumerate(ways_of(kernel, target)):
            cost = cost_of(
                gemm_flow(work, way.order, share_of(work, way.split, way.arrays)), work.target
            )
            own, energy = cost.cycles(rate, target.dram_latency), cost.energy_pj
            cycles[place, fits] = own if energy is None else weighed(target.objective, own, energy)
    return cycles, fits


def tiling_of(sizes: Sequence[int], way: Way) -> GemmTiling:
    """The tiling of `sizes`, in the order of AXES."""
    return GemmTiling(*sizes, way.order, way.split, way.arrays)


# --- Every tiling ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A tiling and its cycles."""

    cycles: float
    tiling: GemmTiling


def cycles_of(kernel: GemmKernel, target: Target, tiling: GemmTiling) -> float:
    """What a tiling costs; infinite if it is not legal."""
    one = {axis: np.array([getattr(tiling, axis)]) for axis in AXES}
    way = ways_of(kernel, target).index(Way(tiling.order, tiling.split, tiling.arrays))
    return float(costs(kernel, target, one)[0][way, 0])


def every_tiling(kernel: GemmKernel) -> Iterator[dict[str, Sizes]]:
    """All tile sizes that can be legal, in chunks.

    Tiles of several groups hold filters, channels and taps of each whole, as `legal` says.
    """
    axes = {axis: np.arange(1, total + 1) for axis, total in totals(kernel).items()}
    yield from _grid({**axes, "groups": axes["groups"][:1]})
    if kernel.groups > 1:
        whole = {axis: axes[axis][-1:] for axis in AXES[4:]}
        yield from _grid({**axes, **whole, "groups": axes["groups"][1:]})


def _grid(axes: Mapping[str, Sizes]) -> Iterator[dict[str, Sizes]]:
    """Every combination of the sizes of `axes`, in chunks."""
    shape = tuple(len(sizes) for sizes in axes.values())
    total = int(np.prod(shape))
    for start in range(0, total, CHUNK):
        places = np.unravel_index(np.arange(start, min(start + CHUNK, total)), shape)
        yield {axis: sizes[at] for (axis, sizes), at in zip(axes.items(), places, strict=True)}


def cheapest(kernel: GemmKernel, target: Target, count: int = 1) -> list[Found]:
    """The `count` tilings of least cost, cheapest first, of equal ones those with fewer tiles.

    Fewer, or none, if there are no more that are legal.
    """
    best: list[tuple[float, float, Found]] = []
    for sizes in every_tiling(kernel):
        cycles, _ = costs(kernel, target, sizes)
        tiles = np.broadcast_to(_tiles(kernel, sizes), cycles.shape).ravel()
        order = np.lexsort((tiles, cycles.ravel()))[:count]
        for place in order[np.isfinite(cycles.ravel()[order])]:
            found = _found(kernel, target, sizes, cycles, int(place))
            best.append((found.cycles, float(tiles[place]), found))
        best = sorted(best, key=lambda one: one[:2])[:count]
    return [found for *_, found in best]


def _tiles(kernel: GemmKernel, sizes: Mapping[str, Sizes]) -> Costs:
    counts = [-(-total // sizes[axis]) for axis, total in totals(kernel).items()]
    return np.asarray(np.prod(np.array(counts, dtype=float), axis=0))


def _found(
    kernel: GemmKernel, target: Target, sizes: Mapping[str, Sizes], cycles: Costs, place: int
) -> Found:
    """The tiling at `place` of the flat `cycles`."""
    way, column = divmod(place, cycles.shape[1])
    chosen = [int(sizes[axis][column]) for axis in AXES]
    tiling = tiling_of(chosen, ways_of(kernel, target)[way])
    return Found(float(cycles.flat[place]), tiling)


# --- Too many to look at --------------------------------------------------------------------------


def challenge(
    kernel: GemmKernel, target: Target, start: GemmTiling | None, rng: Generator, climbs: int = 2
) -> Found | None:
    """A cheap legal tiling, found by changing up to three sizes at once as long as that helps.

    From `start`, and from `climbs` others that are drawn. It need not be the best; one that is
    better than what a search chose proves that search wrong. None if nothing legal was met.
    """
    axes = totals(kernel)
    starts = [start] if start else []
    for _ in range(climbs):
        drawn = [int(np.exp(rng.uniform(0, np.log(total + 1)))) for total in axes.values()]
        drawn[AXES.index("groups")] = 1
        starts.append(tiling_of(drawn, ways_of(kernel, target)[0]))
    starts.append(tiling_of([1] * len(AXES), ways_of(kernel, target)[0]))
    found = [Found(cycles_of(kernel, target, each), each) for each in starts]
    best = min((_climb(kernel, target, each, rng) for each in found), key=lambda one: one.cycles)
    while (further := _climb(kernel, target, best, rng, at_once=3)).cycles < best.cycles:
        best = _climb(kernel, target, further, rng)
    return best if np.isfinite(best.cycles) else None


def _climb(
    kernel: GemmKernel, target: Target, best: Found, rng: Generator, at_once: int = 2
) -> Found:
    """The best that is reached from `best`, changing so many sizes `at_once`."""
    while True:
        before = best.cycles
        for sizes in _neighbours(kernel, target, best.tiling, rng, at_once):
            cycles, _ = costs(kernel, target, sizes)
            place = int(cycles.argmin())
            if cycles.flat[place] < best.cycles:
                best = _found(kernel, target, sizes, cycles, place)
        if at_once > 2 or not best.cycles < before * 0.999:
            return best


def _neighbours(
    kernel: GemmKernel, target: Target, tiling: GemmTiling, rng: Generator, at_once: int
) -> Iterator[dict[str, Sizes]]:
    """All tilings that differ from `tiling` in `at_once` sizes, of a choice along each axis."""
    axes = {axis: total for axis, total in totals(kernel).items() if total > 1}
    lanes = (target.array.rows, target.array.cols)
    here = {axis: np.array([getattr(tiling, axis)]) for axis in AXES}
    tried = {
        axis: np.union1d(
            _sizes_along(total, lanes, kernel.taps, rng),
            np.clip(here[axis] + np.arange(-3, 4), 1, total),
        )
        for axis, total in axes.items()
    }
    if at_once > 2:  # fewer of each, so that it does not take longer
        tried = {axis: rng.permutation(sizes)[:12] for axis, sizes in tried.items()}
        tried = {axis: np.union1d(sizes, here[axis]) for axis, sizes in tried.items()}
    for together in combinations(tried, min(at_once, len(tried))):
        yield from _grid(here | {axis: tried[axis] for axis in together})


def _sizes_along(total: int, lanes: tuple[int, int], taps: int, rng: Generator) -> Sizes:
    """Even cuts into few and into any number, whole folds, and any sizes: some 60."""
    cuts = np.unique(np.geomspace(1, total, 25).astype(int))
    folds = [
        lane // gap * times for lane in lanes for gap in (1, taps) for times in (1, 2, 3, 4, 8)
    ]
    drawn = np.exp(rng.uniform(0, np.log(total + 1), 12)).astype(int)
    sizes = np.concatenate([-(-total // cuts), -(-total // np.arange(1, 13)), folds, drawn])
    return np.asarray(np.unique(sizes[(sizes >= 1) & (sizes <= total)]), dtype=np.int64)
