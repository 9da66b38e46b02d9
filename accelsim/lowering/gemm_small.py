"""Every tiling of a small GEMM kernel that may be better than one that is found.

A kernel is small if all its tilings can be looked at, of its longest axes those that cut them
evenly or into whole folds of the array. Most are told worse by less than what they cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.demand import legal
from accelsim.lowering.flow import workload
from accelsim.lowering.footprint import TapReads
from accelsim.lowering.gemm_candidates import least_taps
from accelsim.lowering.gemm_search import flows_of, gemm_ranking
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Times
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import Tilings, all_tilings, whole_sizes

SMALL, MOST = 1 << 17, 1 << 15
"""Tilings of a small kernel; those of them that are looked at, if there are no more."""

GROUPS = 1
"""Place in TilingSizes of the groups: tiles of several hold their filters and sums whole."""


def better_tilings(
    kernel: GemmKernel, target: Target, space: int, cost: float, tap_reads: TapReads
) -> Times | None:
    """All tilings of a small kernel that cost less than `cost`; None if there is none.

    A tile takes at most half of `space` of the buffer that holds ifmaps.
    """
    several = [
        times
        for tilings in _grids(kernel, target, tap_reads)
        if (times := _better(kernel, target, space, cost, tilings)) is not None
    ]
    return Times.of_all(several) if several else None


def _better(
    kernel: GemmKernel, target: Target, space: int, cost: float, tilings: Tilings
) -> Times | None:
    """Those of `tilings` that cost less."""
    left = _those(tilings, legal(kernel, target, tilings).ravel())
    in_time = target.objective == "time"
    if left is not None and in_time:
        left = _those(left, _least_cycles(kernel, target, left) < cost)
    if left is not None and in_time and target.timing is not None:
        plain = _times(kernel, replace(target, timing=None), space, left)
        left = _those(left, _cheapest(plain) < cost)
    if left is None:
        return None
    left = _those(left, _cheapest(_times(kernel, target, space, left)) < cost)
    return None if left is None else _times(kernel, target, space, left)


def _those(tilings: Tilings, which: NDArray[np.bool_]) -> Tilings | None:
    """Those of `tilings`, if there are any."""
    return tilings.at(np.flatnonzero(which)) if which.any() else None


def _times(kernel: GemmKernel, target: Target, space: int, tilings: Tilings) -> Times:
    """What they cost."""
    ranking = gemm_ranking(target, [flows_of(kernel, target, tilings)])
    return ranking.at(float(target.dram_bytes_per_cycle), target.dram_latency, space)


def _cheapest(times: Times) -> NDArray[np.float64]:
    """The least cost of each tiling, however its loops run."""
    least: NDArray[np.float64] = times.costs[0].min(axis=0)
    return least


def _least_cycles(kernel: GemmKernel, target: Target, tilings: Tilings) -> NDArray[np.float64]:
    """Cycles that tilings take at least: the array's, shared out, and what nothing hides.

    That is the first tile's coming and the last one's leaving.
    """
    array = replace(target.array, buffers=())  # that only makes it longer
    plain = replace(target, timing=None, rates=None, processor=array)
    work, on_chip = workload(kernel, plain, tilings), target.residence
    sizes, rate = work.occupied, float(target.dram_bytes_per_cycle)
    around = sizes["ofmap"] * on_chip.stored + sizes["filter"] + sizes["ifmap"]
    latency = target.dram_latency * (on_chip.stored + (not on_chip.ifmap))
    least: NDArray[np.float64] = (
        work.array_cycles / target.sharers + work.tail + around / rate + latency
    )
    return least


# --- Sizes ----------------------------------------------------------------------------------------


def _grids(kernel: GemmKernel, target: Target, tap_reads: TapReads) -> Iterator[Tilings]:
    """Every combination of the sizes along each axis, of one group and of several, if few."""
    whole = whole_sizes(kernel)
    if prod(whole) > SMALL:
        return
    least = (*(1 for _ in whole[:6]), *least_taps(kernel, target))
    axes = [np.arange(low, total + 1) for low, total in zip(least, whole, strict=True)]
    even = [
        sizes[sizes >= low] for low, sizes in zip(least, _even_sizes(kernel, target), strict=True)
    ]
    for place in sorted(range(len(axes)), key=lambda at: len(even[at]) / len(axes[at])):
        if _count(axes) <= MOST:
            break
        axes[place] = even[place]
    if _count(axes) <= MOST:
        for grid in _of_groups(axes):
            yield all_tilings(kernel, grid, tap_reads)


def _count(axes: Sequence[Sizes]) -> int:
    return sum(prod(map(len, grid)) for grid in _of_groups(axes))


def _of_groups(axes: Sequence[Sizes]) -> Iterator[list[Sizes]]:
    """Sizes of tiles of one group, and of several."""
    groups = axes[GROUPS]
    yield [*axes[:GROUPS], groups[:1], *axes[GROUPS + 1 :]]
    if len(groups) > 1:
        pixels, sums = axes[GROUPS + 1 : 4], [sizes[-1:] for sizes in axes[4:]]
        yield [*axes[:GROUPS], groups[1:], *pixels, *sums]


def _even_sizes(kernel: GemmKernel, target: Target) -> list[Sizes]:
    """Sizes along each axis that cut it evenly, or that just fill folds."""
    array = target.array
    lanes = {array.dataflow.rows: array.rows, array.dataflow.cols: array.cols}
    m, n, k = (lanes.get(axis, 0) for axis in ("m", "n", "k"))
    packed = 1 if array.by_tap else kernel.taps
    folds = ((0, 1), (0, 1), (m, 1), (m, 1), (n, 1), (k, packed), (0, 1), (0, 1))
    return [_even(total, *each) for total, each in zip(whole_sizes(kernel), folds, strict=True)]


def _even(total: int, lanes: int, taps: int) -> Sizes:
    """Sizes that cut `total` evenly, or of which `taps` each just fill some folds of `lanes`."""
    sizes = -(-total // np.arange(1, total + 1))
    if not lanes:
        return np.unique(sizes)
    folds = np.arange(1, total * taps // lanes + 1) * lanes // taps
    return np.unique(np.concatenate([sizes, folds[folds > 0]]))
