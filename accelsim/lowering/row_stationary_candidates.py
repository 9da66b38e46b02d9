"""Row-stationary mappings that are worth comparing: some at every scale, then those nearby.

Their number grows with the logarithm of an axis. All of them have the largest m that fits.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import (
    Count,
    Mapping,
    RowStationary,
    most_chains,
    row_shape,
    sets_along,
)
from accelsim.lowering.row_stationary_cost import block_words, blocks_of
from accelsim.lowering.target import Target
from accelsim.units import ceil_div

AXES = ("n", "e", "f", "p", "q", "r", "t", "tap_rows", "tap_cols")
"""What is chosen; m follows."""

FEW = 2**12
"""Mappings that are all looked at; where there are more, each axis is thinned."""

QUITE_FEW = 2**18
"""Sizes of a set and its parts that are all looked at, with some m."""

PAIRS = (
    *(("q", "r"), ("p", "t"), ("e", "t"), ("e", "r"), ("r", "t"), ("p", "q")),
    *(("n", "e"), ("n", "f"), ("e", "f"), ("f", "q"), ("e", "q")),
    *(
        ("tap_rows", "e"),
        ("tap_rows", "r"),
        ("tap_rows", "t"),
        ("tap_rows", "p"),
        ("tap_cols", "p"),
        ("tap_cols", "q"),
        ("tap_cols", "f"),
    ),
)
"""Parameters that take each other's place on the array, in a spad or in a buffer."""


def cuts(total: int, most: int, ratio: float = 2.0) -> list[int]:
    """Sizes up to `most` that cut `total` evenly, in about `ratio` times as many parts each."""
    most = min(most, total)
    found, parts = {1, most}, float(ceil_div(total, most))
    while parts < total:
        found.add(ceil_div(total, int(parts)))
        parts = max(parts + 1, parts * ratio)
    return sorted(found)


def wholes(total: int, most: int) -> list[int]:
    """Sizes up to `most` that cut `total` without a rest, or evenly where those are small."""
    most = min(most, total)
    low = [size for size in range(1, min(most, math.isqrt(total)) + 1) if total % size == 0]
    high = [total // size for size in reversed(low)]
    whole = sorted({size for size in (*low, *high) if size <= most})
    return whole if 2 * whole[-1] > most else cuts(total, most)


def _distinct(rows: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which columns of `rows` are the first of their kind, and of which kind each is."""
    odd = np.random.default_rng(0).integers(2**62, size=len(rows), dtype=np.int64) * 2 + 1
    _, first, kind = np.unique(odd @ rows, return_index=True, return_inverse=True)
    return first, kind.ravel()


def distinct(mappings: Mapping) -> Mapping:
    """Each of the mappings once."""
    return mappings.select(
        np.sort(_distinct(np.stack([getattr(mappings, item.name) for item in fields(Mapping)]))[0])
    )


def _largest_whole(total: Count, most: Count) -> NDArray[np.int64]:
    """The largest that `wholes` has."""
    pairs = np.stack(np.broadcast_arrays(total, most))
    first, kind = _distinct(pairs)
    largest = [wholes(*pair)[-1] for pair in pairs[:, first].T.tolist()]
    return np.array(largest, dtype=np.int64)[kind]


def _is_whole(total: Count, size: Count, most: Count) -> NDArray[np.bool_]:
    """Which sizes cut `total` without a rest, or evenly where `wholes` has such, too."""
    limit = np.minimum(total, most)
    has_rest = total % _largest_whole(total, limit) > 0
    even = size == -(-total // -(-total // size))
    return np.asarray((total % size == 0) | (has_rest & even))


def most_of(kernel: GemmKernel) -> dict[str, int]:
    """The most that each parameter can usefully be."""
    return {
        "n": kernel.batch,
        "e": kernel.rows.outputs,
        "f": kernel.cols.outputs,
        "p": kernel.filters,
        "q": kernel.channels,
        "r": kernel.channels,
        "t": kernel.filters,
        "tap_rows": kernel.rows.kernel,
        "tap_cols": kernel.cols.kernel,
    }


def filter_sizes(model: RowStationary) -> Callable[[int, int], list[int]]:
    """How filters are cut: for least traffic without a rest, as in Eyeriss' own mappings."""
    return wholes if model.objective == "traffic" else cuts


# --- At every scale -------------------------------------------------------------------------------


def starts(kernel: GemmKernel, target: Target, uncut: bool) -> Iterator[Mapping]:
    """Mappings to compare: with whole windows first, and with whole rows if these are `uncut`.

    Later ones are for layers of which no such mapping fits.
    """
    taps = [(kernel.rows.kernel, kernel.cols.kernel)]
    columns = cuts(kernel.cols.outputs, kernel.cols.outputs)
    if uncut:
        yield _at_every_scale(kernel, target, taps, columns[-1:])
    yield _at_every_scale(kernel, target, taps, columns)
    if target.cuts_windows:
        yield _at_every_scale(kernel, target, _parts_of_windows(kernel), columns)


def every_one(kernel: GemmKernel, target: Target, axes: Iterable[str]) -> Mapping | None:
    """All mappings that differ along `axes`, if they are few."""
    placed = _every_size(kernel, target, axes, FEW // kernel.filters)
    if placed is None:
        return None
    blocks = range(1, kernel.filters + 1)
    every = joined(replace(placed, m=passes * placed.filters) for passes in blocks)
    return every.select(np.asarray(every.m < kernel.filters + every.filters))


def every_size(kernel: GemmKernel, target: Target, axes: Iterable[str]) -> Mapping | None:
    """All that differ along `axes`, if they are quite few, with the m that are likely."""
    placed = _every_size(kernel, target, axes, QUITE_FEW)
    return None if placed is None else _with_blocks(kernel, target, placed)


def _every_size(
    kernel: GemmKernel, target: Target, axes: Iterable[str], most: int
) -> Mapping | None:
    limits = _limits(kernel, target)
    ranges = [np.arange(1 if axis in axes else limits[axis], limits[axis] + 1) for axis in AXES]
    if math.prod(map(len, ranges)) > most:
        return None
    grid = np.meshgrid(*ranges, indexing="ij")
    return _placed(kernel, target, np.stack([sizes.ravel() for sizes in grid]))


def _parts_of_windows(kernel: GemmKernel) -> list[tuple[int, int]]:
    """Taps of a task: rows of them first, then parts of rows."""
    down, across = (window.kernel for window in kernel.windows)
    rows = [(size, across) for size in cuts(down, down)]
    return rows + [(1, size) for size in cuts(across, across)]


def _at_every_scale(
    kernel: GemmKernel, target: Target, taps: list[tuple[int, int]], columns: list[int]
) -> Mapping:
    model = target.row_stationary
    chosen = [(*each, *part) for part in taps for each in _spads(kernel, model, *part)]
    some = np.array(chosen, dtype=np.int64)
    others = np.array(list(product(cuts(kernel.batch, kernel.batch), columns)), dtype=np.int64)
    index, other = (
        axis.ravel()
        for axis in np.meshgrid(*map(np.arange, (len(some), len(others))), indexing="ij")
    )
    e, r, t, p, q, tap_rows, tap_cols = some[index].T
    n, f = others[other].T
    return Mapping(m=n, n=n, e=e, p=p, q=q, r=r, t=t, f=f, tap_rows=tap_rows, tap_cols=tap_cols)


def _spads(
    kernel: GemmKernel, model: RowStationary, tap_rows: int, tap_cols: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """(e, r, t, p, q): PE sets that fit the array, and what fits the spads of their PEs."""
    shape = row_shape(model, kernel.windows, tap_rows, tap_cols)
    taps, sizes = int(shape.taps), filter_sizes(model)
    for e, r, t in _sets(kernel, model, int(shape.set_rows)):
        for q in cuts(ceil_div(kernel.channels, r), model.row_words // taps):
            most = min(model.psum_spad, model.filter_spad // (q * taps))
            for p in sizes(ceil_div(kernel.filters, t), most):
                yield e, r, t, p, q


def _sets(
    kernel: GemmKernel, model: RowStationary, set_rows: int
) -> Iterator[tuple[int, int, int]]:
    """(e, r, t): ofmap rows of a PE set, and how often sets are replicated."""
    for e in _strips(kernel, model, set_rows):
        above, _ = sets_along(model, set_rows, e)
        for r in cuts(kernel.channels, int(above)):
            for t in filter_sizes(model)(kernel.filters, int(most_chains(model, set_rows, e, r))):
                yield e, r, t


def _strips(kernel: GemmKernel, model: RowStationary, set_rows: int) -> list[int]:
    """Even strips of ofmap rows, and those that fill the columns of the array."""
    widest = min(kernel.rows.outputs, model.cols * (model.rows // set_rows))
    filled = {model.cols * times for times in cuts(widest, widest)}
    shared = {model.cols // times for times in cuts(model.cols, model.cols)}
    every = {*cuts(kernel.rows.outputs, widest), *filled, *shared}
    return sorted(each for each in every if each <= widest)


def most_filters(kernel: GemmKernel, target: Target, mapping: Mapping) -> Mapping:
    """The mappings with the largest m of which a block fits, and with that of which two do.

    In even blocks, and in as many as several arrays share out evenly.
    """
    passes = -(-kernel.filters // mapping.filters)
    fits = [_passes_of_block(kernel, target, mapping, blocks, passes) for blocks in (1, 2)]
    if target.arrays > 1:
        fits += [_shared(kernel, target, mapping, each) for each in fits]
    sizes = np.stack([_even(target, passes, each) * mapping.filters for each in fits])
    new = np.array([(sizes[:index] != size).all(axis=0) for index, size in enumerate(sizes)])
    return joined(
        replace(mapping.select(each), m=size[each]) for each, size in zip(new, sizes, strict=True)
    )


def _shared(
    kernel: GemmKernel, target: Target, mapping: Mapping, most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Passes of a block, up to `most`, of which there are as many as arrays, or a multiple."""
    passes = -(-kernel.filters // mapping.filters)
    others = kernel.groups * blocks_of(kernel, mapping).strips
    least = -(-passes // most)
    each = target.arrays // np.gcd(target.arrays, others)
    return np.asarray(np.maximum(passes // (-(-least // each) * each), 1))


def joined(mappings: Iterable[Mapping]) -> Mapping:
    """All mappings as one."""
    several = list(mappings)
    return Mapping(
        *(
            np.concatenate([getattr(each, item.name) for each in several])
            for item in fields(Mapping)
        )
    )


def _passes_of_block(
    kernel: GemmKernel, target: Target, mapping: Mapping, blocks: int, passes: Count
) -> NDArray[np.int64]:
    """Most passes over filters, of `passes`, whose psums fit beside their ifmaps in so many blocks.

    At least one, whether it fits or not.
    """
    words = block_words(kernel, target, replace(mapping, m=mapping.filters))
    most: Count = passes
    for space in target.buffers:
        results = {"psum", "ofmap"} & {*space.holds}
        if results:
            word = max(target.bytes_of(item) for item in space.holds if item in results)
            free = space.size // space.bank // blocks + 0 * mapping.p
            for item in space.holds:
                if item not in results:
                    free = free - -(-words[item] * target.bytes_of(item) // space.bank)
            filters = free * space.bank // (mapping.n * mapping.e * mapping.f * word)
            enough = filters >= kernel.filters
            most = np.minimum(most, np.where(enough, passes, filters // mapping.filters))
    return np.asarray(np.maximum(most, 1))


def _even(target: Target, passes: Count, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Passes of a block, up to `most`, that cut `passes` evenly."""
    if target.row_stationary.objective != "traffic":
        return np.asarray(-(-passes // -(-passes // most)))
    return _largest_whole(passes, most)


# --- Nearby ---------------------------------------------------------------------------------------


def near(kernel: GemmKernel, target: Target, center: Mapping, free: Sequence[str]) -> Mapping:
    """Mappings that differ from `center` in one of the parameters `free`, or in two of a pair."""
    limits, here = _limits(kernel, target), {axis: getattr(center, axis) for axis in AXES}
    around = [np.array([[here[axis]] for axis in AXES])]
    for changed in (*((axis,) for axis in AXES), *PAIRS):
        if all(axis in free for axis in changed):
            some = (_around(limits[axis], here[axis], 24 // len(changed)) for axis in changed)
            sizes = np.array(list(product(*some))).T
            rows = np.repeat(around[0], sizes.shape[1], axis=1)
            rows[[AXES.index(axis) for axis in changed]] = sizes
            around.append(rows)
    placed = _placed(kernel, target, np.hstack(around))
    return joined((_with_blocks(kernel, target, placed), _other_blocks(kernel, target, center)))


def _with_blocks(kernel: GemmKernel, target: Target, mapping: Mapping) -> Mapping:
    """The mappings with the largest m that fit; but for least traffic in more blocks, too."""
    largest = most_filters(kernel, target, mapping)
    if target.row_stationary.objective == "traffic":
        return largest
    return joined((largest, *_in_several_blocks(kernel, mapping)))


def _in_several_blocks(kernel: GemmKernel, mapping: Mapping) -> Iterator[Mapping]:
    """The mappings in two blocks, and in one for each pass, where these are more."""
    passes: Count = -(-kernel.filters // mapping.filters)
    for blocks in (2, passes):
        several = passes >= np.maximum(blocks, 2)
        m: Count = -(-passes // blocks) * mapping.filters
        yield replace(mapping, m=m).select(several)


def _other_blocks(kernel: GemmKernel, target: Target, center: Mapping) -> Mapping:
    """The same with other m."""
    passes = ceil_div(kernel.filters, int(center.filters))
    sizes = filter_sizes(target.row_stationary)(passes, passes)
    if target.row_stationary.objective != "traffic":
        sizes = _around(passes, int(center.m) // int(center.filters), 24)
    blocks = np.array(sizes, dtype=np.int64)
    same: dict[str, Count] = {axis: getattr(center, axis) + 0 * blocks for axis in AXES}
    return Mapping(m=blocks * int(center.filters), **same)


def _limits(kernel: GemmKernel, target: Target) -> dict[str, int]:
    """The most that each parameter can be, whatever the others are."""
    model = target.row_stationary
    room = {
        "e": model.rows * model.cols,
        "p": model.psum_spad,
        "q": model.row_words,
        "r": model.rows,
        "t": model.rows * model.cols,
    }
    return {axis: min(most, room.get(axis, most)) for axis, most in most_of(kernel).items()}


def _around(most: int, here: int, count: int) -> list[int]:
    """About `count` sizes up to `most`: all, or those next to `here` and even cuts."""
    if most <= count:
        return list(range(1, most + 1))
    step = [here + way * each for each in range(1, count // 4 + 1) for way in (-1, 1)]
    scale = cuts(most, most, max(1.3, most ** (2.0 / count)))
    return sorted({size for size in (here, *step, *scale) if 0 < size <= most})


def _placed(kernel: GemmKernel, target: Target, rows: NDArray[np.int64]) -> Mapping:
    """Mappings of the sizes in `rows`, for each of AXES, cut down to what array and spads hold."""
    model, at = target.row_stationary, dict(zip(AXES, rows, strict=True))
    shape = row_shape(model, kernel.windows, at["tap_rows"], at["tap_cols"])
    at["e"] = np.minimum(at["e"], model.cols * (model.rows // shape.set_rows))
    above, _ = sets_along(model, shape.set_rows, at["e"])
    at["r"] = np.minimum(at["r"], above)
    chains = most_chains(model, shape.set_rows, at["e"], at["r"])
    at["t"] = np.minimum(at["t"], chains)
    at["q"] = np.minimum(at["q"], model.row_words // shape.taps)
    most = np.minimum(model.psum_spad, model.filter_spad // (at["q"] * shape.taps))
    at["p"] = np.minimum(at["p"], most)
    if model.objective == "traffic":
        even = _is_whole(kernel.filters, at["t"], chains)
        even &= _is_whole(-(-kernel.filters // at["t"]), at["p"], most)
        at = {axis: sizes[even] for axis, sizes in at.items()}
    placed = np.stack([at[axis] for axis in AXES])
    unique = placed[:, _distinct(placed)[0]]
    return Mapping(m=unique[0], **dict(zip(AXES, unique, strict=True)))
