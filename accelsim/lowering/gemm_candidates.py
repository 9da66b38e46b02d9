"""Tile sizes of a GEMM kernel that are worth comparing: some at every scale, then those nearby.

Their number grows with the logarithm of an axis. What an axis is cut into matters more than the
sizes themselves, so most sizes cut it evenly; others fill the array's rows or columns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.demand import buffer_demand, demands
from accelsim.lowering.footprint import TapReads, tap_reads
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import Tilings, TilingSizes, all_tilings, tilings_of, whole_sizes
from accelsim.units import ceil_div

EXHAUSTIVE = 4096
"""Tilings that are all looked at; where there are more, each axis is thinned."""

FEW = 64
"""Pixels of an ofmap that are taken in blocks of every size."""

BLOCKS = 24
"""Blocks of pixels with cut columns that are looked at, at every scale."""

PARTS = 48
"""Parts of a window that are looked at, at every scale."""

ALL_BLOCKS = 512
"""Every size of an axis is looked at beside so many in all of another, near the best."""

IDLE = 1.15
"""Tiles that take so many times the folds that their size is worth are looked at with one less."""

SMALL = 3
"""Sizes up to this are all looked at."""


def _scale(most: int, ratio: float, start: int = 1) -> list[int]:
    """Numbers from `start` to `most`, each by at least one and about `ratio` above the last."""
    numbers, value = [], start
    while value <= most:
        numbers.append(value)
        value = max(value + 1, int(value * ratio))
    return numbers


def sizes_at_every_scale(total: int, lanes: int = 1, ratio: float = 1.9) -> set[int]:
    """Small sizes, even cuts of `total`, and multiples of `lanes`, `ratio` apart; 1 and all."""
    cuts = {ceil_div(total, parts) for parts in _scale(total, ratio)}
    filled = {lanes * folds for folds in _scale(total // lanes, ratio)} if lanes > 1 else set()
    return cuts | filled | set(range(1, min(SMALL, total) + 1)) | {total}


def coarse_sizes(total: int, lanes: int = 1) -> set[int]:
    """A few sizes at every scale."""
    cuts = {ceil_div(total, parts) for parts in _scale(total, 2.0)}
    return cuts | {1, min(lanes, total), total}


def tilings_to_compare(
    kernel: GemmKernel, target: Target, tap_reads: TapReads = tap_reads
) -> list[Tilings]:
    """All tilings if there are few; else families of some at every scale, with whole windows.

    One has tiles of a single group, one whole groups, which must not be cut.
    """
    whole = whole_sizes(kernel)
    if prod(whole) <= EXHAUSTIVE:
        least = (*(1 for _ in whole[:6]), *least_taps(kernel, target))
        axes = [np.arange(low, total + 1) for low, total in zip(least, whole, strict=True)]
        return [all_tilings(kernel, axes, tap_reads)]
    pixels, filters = _pixel_sizes(kernel, target), _filter_sizes(kernel, target)
    lanes = Systolic(target.array).likes(kernel.taps).get("k", 1)
    channels = sorted(sizes_at_every_scale(kernel.channels, lanes))
    family = partial(_family, kernel, tap_reads)
    families = [family(pixels, [1], filters, [(each, *whole[6:]) for each in channels])]
    if kernel.groups > 1:
        several = sorted(
            (sizes_at_every_scale(kernel.groups) | _shares(kernel.groups, target)) - {1}
        )
        families.append(family(pixels, several, filters[-1:], [whole[5:]]))
    return families


def tilings_with_parts_of_windows(
    kernel: GemmKernel, target: Target, tap_reads: TapReads = tap_reads
) -> list[Tilings]:
    """Tilings at every scale whose tiles have parts of the kernel's window."""
    if kernel.taps == 1 or not target.cuts_windows or prod(whole_sizes(kernel)) <= EXHAUSTIVE:
        return []
    lanes = Systolic(target.array).likes(kernel.taps).get("n", 1)
    family = partial(_family, kernel, tap_reads, _coarse_pixels(kernel, target), [1])
    parts = _parts_of_windows(kernel, target)
    most = _filled(kernel, target, family([1], parts), FILTERS)
    return [family(sorted(coarse_sizes(kernel.filters, lanes)), parts), most]


def least_taps(kernel: GemmKernel, target: Target) -> tuple[int, int]:
    """The fewest rows and columns of taps that a tile may have."""
    return (1, 1) if target.cuts_windows else (kernel.rows.kernel, kernel.cols.kernel)


def _filter_sizes(kernel: GemmKernel, target: Target) -> list[int]:
    lanes = Systolic(target.array).likes(kernel.taps).get("n", 1)
    return sorted(sizes_at_every_scale(kernel.filters, lanes) | _shares(kernel.filters, target))


def _shares(total: int, target: Target) -> set[int]:
    """Sizes that give every array as many tiles."""
    return {ceil_div(total, target.arrays * parts) for parts in range(1, 9)}


def _family(
    kernel: GemmKernel,
    tap_reads: TapReads,
    pixels: Sequence[tuple[int, int, int]],
    groups: Sequence[int],
    filters: Iterable[int],
    reductions: Sequence[tuple[int, int, int]],
) -> Tilings:
    """Every combination of the pixels, groups, filters and reductions of a tile."""
    batch, rows, cols = np.array(pixels).T.reshape(3, 1, 1, 1, -1)
    channels, tap_rows, tap_cols = np.array(reductions).T.reshape(3, -1, 1, 1, 1)
    some = np.array(groups).reshape(-1, 1, 1)
    each = np.array([*filters]).reshape(-1, 1)
    axes = (batch, some, rows, cols, each, channels, tap_rows, tap_cols)
    return tilings_of(kernel, axes, tap_reads)


def _pixel_sizes(kernel: GemmKernel, target: Target) -> list[tuple[int, int, int]]:
    """Images, rows and columns: whole columns first, then coarser blocks that cut them."""
    images, rows, cols = kernel.batch, kernel.rows.outputs, kernel.cols.outputs
    if images * rows * cols <= FEW:
        return _coarse_pixels(kernel, target)
    lanes = Systolic(target.array).likes(kernel.taps).get("m", 1)
    step = max(lanes // np.gcd(lanes, cols), 1)
    cuts = sizes_at_every_scale(rows, int(step)) | _shares(rows, target)
    chosen = {(1, size, cols) for size in cuts}
    chosen |= {(1, 1, size) for size in sizes_at_every_scale(cols, lanes)}
    chosen |= {(size, rows, cols) for size in sizes_at_every_scale(images)}
    return sorted({*chosen, *_coarse_pixels(kernel, target)})


def _coarse_pixels(kernel: GemmKernel, target: Target) -> list[tuple[int, int, int]]:
    """Some images, rows and columns; all where there are few."""
    images, rows, cols = kernel.batch, kernel.rows.outputs, kernel.cols.outputs
    if images * rows * cols <= FEW:
        each = (range(1, images + 1), range(1, rows + 1), range(1, cols + 1))
        return sorted(product(*each))
    lanes = Systolic(target.array).likes(kernel.taps).get("m", 1)
    axes = (coarse_sizes(images), coarse_sizes(rows), coarse_sizes(cols, lanes))
    return sorted(_thinned(axes, BLOCKS))


def _thinned(
    axes: tuple[set[int], set[int], set[int]], most: int
) -> Iterator[tuple[int, int, int]]:
    """Every combination of the sizes, or of some of the sizes, so that there are not too many."""
    lists = [sorted(axis) for axis in axes]
    while prod(map(len, lists)) > most:
        longest = max(lists, key=len)
        lists[lists.index(longest)] = sorted({*longest[::2], longest[-1]})
    one, two, three = lists
    return product(one, two, three)


def _parts_of_windows(kernel: GemmKernel, target: Target) -> list[tuple[int, int, int]]:
    """Channels, and rows and columns of taps, of which there are fewer than in a window."""
    lanes = Systolic(target.array).likes(kernel.taps).get("k", 1)
    down, across = kernel.rows.kernel, kernel.cols.kernel
    axes = (coarse_sizes(kernel.channels, lanes), coarse_sizes(down), coarse_sizes(across))
    each = {*_thinned(axes, PARTS), *product(axes[0], axes[1], [across])}
    return sorted(part for part in each if part[1:] != (down, across))


# --- Nearby ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Tilings near some others, whatever the sizes of the buffers.

    `around` are those that differ in the size along one axis or two. Those to be filled up, until
    no more fits, are `singles`: by row, and each once for every axis of `along` that comes first.
    """

    around: Tilings
    singles: Tilings
    along: tuple[NDArray[np.intp], ...]


def neighbours(
    kernel: GemmKernel,
    target: Target,
    centers: Sequence[TilingSizes],
    tap_reads: TapReads = tap_reads,
) -> Neighbours:
    """The tilings near `centers`, which are sorted, the best first."""
    whole = whole_sizes(kernel)
    likes = Systolic(target.array).likes(kernel.taps)
    m, n, k = (likes.get(axis, 1) for axis in ("m", "n", "k"))
    lanes = (1, 1, m, m, n, k, 1, 1)
    least = (1, 1, 1, 1, 1, 1, *least_taps(kernel, target))
    steps = [[*map(_sizes_near, whole, center, lanes, least)] for center in centers]
    pairs = np.concatenate([*map(_pairs, centers, steps)])
    singles = np.concatenate([*map(_singles, centers, steps)])
    each = np.concatenate([singles, *_blocks(kernel, centers[0], least)])
    inner, outer = [FILTERS, CHANNELS], [CHANNELS, FILTERS]
    if kernel.batch > 1:
        inner, outer = [*inner, FILTERS], [*outer, BATCH]
    return Neighbours(
        around=tilings_of(kernel, [*_different(pairs).T], tap_reads),
        singles=tilings_of(kernel, [*np.tile(each, (len(inner), 1)).T], tap_reads),
        along=(np.repeat(inner, len(each)), np.repeat(outer, len(each))),
    )


def tilings_filled(
    kernel: GemmKernel, target: Target, near: Neighbours, tap_reads: TapReads = tap_reads
) -> list[Tilings]:
    """Neighbours that take as many filters, channels or images as fit, but those `around`.

    They differ from a center along one axis, or in a pair of axes at will. None if there are none.
    """
    filled = near.singles
    for along in near.along:
        filled = _filled(kernel, target, filled, along)
    most = np.stack(filled.axes, axis=1)
    likes = Systolic(target.array).likes(kernel.taps)
    less = _whole_folds(most, np.array((likes.get("n", 1), likes.get("k", 1))))
    around = np.stack(near.around.axes, axis=1)
    rows = _different(np.concatenate([around, most, less]))[len(around) :]
    return [tilings_of(kernel, [*rows.T], tap_reads)] if len(rows) else []


def tilings_near(
    kernel: GemmKernel,
    target: Target,
    centers: Sequence[TilingSizes],
    tap_reads: TapReads = tap_reads,
) -> list[Tilings]:
    """Tilings that differ from one of `centers` in the size along one axis or two.

    And those that differ along one, or in a pair of axes at will, and then take as many filters,
    channels or images as fit. `centers` are sorted, the best first.
    """
    near = neighbours(kernel, target, centers, tap_reads)
    return [near.around, *tilings_filled(kernel, target, near, tap_reads)]


def tilings_framed(
    kernel: GemmKernel, target: Target, shapes: NDArray[np.int64], tap_reads: TapReads = tap_reads
) -> list[Tilings]:
    """Tilings of some images, rows, columns and filters, by row, with as many sums as fit.

    Or with more pixels, so that folds are full, and with fewer sums, so that folds are full or
    parts are even; with whole windows, a row or a tap. None if there are none.
    """
    likes = Systolic(target.array).likes(kernel.taps)
    shapes = _full_blocks(kernel, shapes, likes.get("m", 1))
    down, across = kernel.rows.kernel, kernel.cols.kernel
    taps = np.array(sorted({(down, across), (1, across), (1, 1)}))
    taps = taps[(taps >= least_taps(kernel, target)).all(axis=1)]
    each, part = np.repeat(shapes, len(taps), axis=0), np.tile(taps, (len(shapes), 1))
    images, rows, cols, filters = each.T
    ones = np.ones_like(images)
    axes = (images, ones, rows, cols, filters, ones, *part.T)
    filled = _filled(kernel, target, tilings_of(kernel, axes, tap_reads), CHANNELS)
    most, lanes = np.stack(filled.axes, axis=1), likes.get("k", 1)
    sizes = most[:, CHANNELS]
    fewer = (
        np.maximum(sizes // lanes, 1) * lanes,
        -(-kernel.channels // -(-kernel.channels // sizes)),
        -(-sizes // 2),
        np.full_like(sizes, lanes),
    )
    less = [np.array(most) for _ in fewer]
    for block, size in zip(less, fewer, strict=True):
        block[:, CHANNELS] = np.minimum(size, sizes)
    every = _different(np.concatenate([most, *less]))
    return [tilings_of(kernel, [*every.T], tap_reads)] if len(every) else []


def _full_blocks(kernel: GemmKernel, shapes: NDArray[np.int64], lanes: int) -> NDArray[np.int64]:
    """`shapes`, and with rows and columns rounded up so that their blocks fill `lanes` pixels."""
    blocks = [shapes]
    for down in _scale(lanes, 2.0) if lanes > 1 else []:
        block = np.array(shapes)
        for axis, size, total in (
            (1, down, kernel.rows.outputs),
            (2, ceil_div(lanes, down), kernel.cols.outputs),
        ):
            block[:, axis] = np.minimum(-(-block[:, axis] // size) * size, total)
        blocks.append(block)
    return np.unique(np.concatenate(blocks), axis=0)


def _whole_folds(rows: NDArray[np.int64], lanes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of `rows` that leave much of a last fold of filters or channels idle, without it."""
    sizes = rows[:, FILTERS : CHANNELS + 1]
    folds, rest = np.divmod(sizes, lanes)
    idle = (folds > 0) & (rest > 0) & ((folds + 1) * lanes > IDLE * sizes)
    some = idle.any(axis=1)
    less = rows[some]
    less[:, FILTERS : CHANNELS + 1] -= (rest * idle)[some]
    return less


def _different(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each of `rows` once, where it comes first."""
    digest = rows.astype(np.uint64) @ DIGITS  # sums that wrap: equal ones are of equal rows
    _, first = np.unique(digest, return_index=True)
    different: NDArray[np.int64] = rows[np.sort(first)]
    return different


DIGITS = np.random.default_rng(0).integers(1, 2**64, 8, dtype=np.uint64, endpoint=False)
"""Weights of the sizes in a row's digest; two of a thousand rows meet once in 10^13 searches."""


TOGETHER = ((0, 2), (0, 3), (2, 3), (5, 6), (5, 7), (6, 7))
"""Places in TilingSizes: two of images, rows and columns, and of channels and taps."""


def _blocks(
    kernel: GemmKernel, center: TilingSizes, least: TilingSizes
) -> Iterator[NDArray[np.int64]]:
    """Tilings by row: `center` with two axes cut otherwise, to sizes at every scale."""
    whole = whole_sizes(kernel)
    for pair in TOGETHER:
        some, others = pair
        if min(whole[some], whole[others]) == 1:
            continue  # what is left is near the center along one axis
        sizes = _sizes_together(whole[some], whole[others])
        legal = sizes[(sizes >= (least[some], least[others])).all(axis=1)]
        block = np.tile(np.array(center, dtype=np.int64), (len(legal), 1))
        block[:, pair] = legal
        yield block


def _sizes_together(some: int, others: int) -> NDArray[np.int64]:
    """Sizes of two axes: at every scale, and every size of one beside small ones of the other."""
    grids: list[list[Iterable[int]]] = [
        [sorted(sizes_at_every_scale(total, ratio=1.4)) for total in (some, others)]
    ]
    if few := min(ALL_BLOCKS // others, some):
        grids.append([range(1, few + 1), range(1, others + 1)])
    if few := min(ALL_BLOCKS // some, others):
        grids.append([range(1, some + 1), range(1, few + 1)])
    flat = [np.add.outer(np.array([*one]) * (others + 1), [*other]).ravel() for one, other in grids]
    return np.stack(np.divmod(np.unique(np.concatenate(flat)), others + 1), axis=1)


BATCH, FILTERS, CHANNELS = 0, 4, 5
"""Places in TilingSizes of the sizes that are filled up."""


def _filled(
    kernel: GemmKernel, target: Target, tilings: Tilings, along: NDArray[np.intp] | int
) -> Tilings:
    """`tilings` with the largest size that fits, given the others, if any does.

    It is of the axis whose place in TilingSizes `along` says, of all or for each. What a tile takes
    of a buffer is linear in a size, but for psums where sums get whole.
    """
    names = {"batch": BATCH, "filters": FILTERS, "channels": CHANNELS}

    def sized(sizes: Sizes | int, where: NDArray[np.bool_] | bool = True) -> Tilings:
        axes = {
            name: np.where((along == place) & where, sizes, getattr(tilings, name))
            for name, place in names.items()
        }
        return replace(tilings, **axes)

    one, two = (demands(kernel, target, sized(size)) for size in (1, 2))
    largest = np.array(whole_sizes(kernel))[along]
    for space in target.buffers:
        least = buffer_demand(space, one)
        more = buffer_demand(space, two) - least
        most = 1 + (space.half - least) // np.maximum(more, 1)
        largest = np.where(more > 0, np.minimum(largest, most), largest)
    return sized(largest, largest > 0)


def _sizes_near(total: int, size: int, lanes: int, least: int) -> list[int]:
    """Sizes near `size`: a little more and less, the next even cuts, the next multiples."""
    parts = ceil_div(total, size)
    near = {ceil_div(total, max(parts + change, 1)) for change in (-1, 0, 1)}
    near |= {size - 1, size + 1, size * 5 // 6, size * 6 // 5, size * 33 // 32}
    near |= {size // 3, size // 2, size * 2 // 3, size * 3 // 2, size * 2}
    if lanes > 1:
        near |= {size // lanes * lanes, ceil_div(size, lanes) * lanes}
    return sorted(each for each in near if least <= each <= total and each != size)


def _singles(center: TilingSizes, steps: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Tilings by row: `center`, and with another size along one axis."""
    moves = [(axis, size) for axis, sizes in enumerate(steps) for size in sizes]
    block = np.tile(np.array(center, dtype=np.int64), (len(moves) + 1, 1))
    for row, (axis, size) in enumerate(moves, start=1):
        block[row, axis] = size
    return block


def _pairs(center: TilingSizes, steps: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Tilings by row: `center`, and with other sizes along one axis or two."""
    moves = [(0, center[0])]
    moves += [(axis, size) for axis, sizes in enumerate(steps) for size in sizes]
    axes, sizes = np.array(moves, dtype=np.int64).T
    first, second = np.triu_indices(len(moves))
    block = np.tile(np.array(center, dtype=np.int64), (len(first), 1))
    place = np.arange(len(first))
    block[place, axes[first]] = sizes[first]
    block[place, axes[second]] = sizes[second]
    return block
