"""What all tiles of a GEMM kernel occupy of a DRAM that moves whole bursts, each tile its own.

What is left of an axis makes smaller tiles, whose last bursts are as empty as those of others: of
tiles that are not much larger than a burst that may be half of all.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.footprint import inside
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import Cut, Tilings, cut, whole_sizes
from accelsim.network.ops import Read

Axis = Sequence[Cut]
"""Pieces along an axis."""

ONE: Axis = [(np.ones(1, np.int64), np.ones(1, np.int64))]
"""The only piece of an axis of one index."""


def waste_of_bursts(
    kernel: GemmKernel, target: Target, tilings: Tilings
) -> dict[Operand, NDArray[np.float64]]:
    """Bytes that all tiles of each operand occupy for each byte that they have.

    Taken as away from padding, where tiles read less; results as they are before they are pooled.
    """
    waste: dict[Operand, NDArray[np.float64]] = {}
    for items, axes in _axes(kernel, tilings):
        words, count = _words(axes, len(tilings.shape))
        waste |= {item: _waste(target, words * target.bytes_of(item), count) for item in items}
    return waste


def _axes(kernel: GemmKernel, tilings: Tilings) -> Iterator[tuple[tuple[Operand, ...], list[Axis]]]:
    """Along what the tiles of operands are cut; not along axes of one index."""
    wholes = whole_sizes(kernel)
    images, groups, rows, cols, filters, channels, tap_rows, tap_cols = (
        [*cut(total, size)] if total > 1 else []
        for total, size in zip(wholes, tilings.axes, strict=True)
    )
    down = _read(kernel.rows, rows or ONE, tilings.tap_rows, tilings.row_span)
    across = _read(kernel.cols, cols or ONE, tilings.tap_cols, tilings.col_span)
    yield ("ifmap",), [groups, images, channels, down, across]
    yield ("filter",), [groups, filters, channels, tap_rows, tap_cols]
    yield ("psum", "ofmap"), [groups, images, rows, cols, filters]


def _read(window: Read, outputs: Axis, taps: Sizes, most: Sizes) -> Axis:
    """What pieces of outputs read along an axis, with all the taps of a tile; at `most` so much."""
    return [(np.minimum(inside(window, size, taps), most), count) for size, count in outputs]


def _words(axes: Iterable[Axis], dimensions: int) -> tuple[Sizes, Sizes]:
    """Words of tiles with all kinds of pieces along a first axis before so many `dimensions`, and
    how many there are."""
    sizes, counts = (np.ones((1,) * (dimensions + 1), np.int64) for _ in range(2))
    for axis in filter(None, axes):
        size, count = (_along_first(each, dimensions) for each in zip(*axis, strict=True))
        sizes, counts = _each_with_each(sizes, size), _each_with_each(counts, count)
    return sizes, counts


def _waste(target: Target, sizes: Sizes, counts: Sizes) -> NDArray[np.float64]:
    """Of so many tiles of so many bytes, by kind along the first axis."""
    bursts = -(-sizes // target.dram_burst) * target.dram_burst
    moved = np.maximum((counts * sizes).sum(axis=0), 1)
    return np.asarray((counts * bursts).sum(axis=0) / moved)


def _along_first(pieces: Sequence[Sizes], dimensions: int) -> Sizes:
    """Sizes or counts of pieces along a new first axis before so many `dimensions`."""
    shape = pieces[0].shape
    together = np.stack(pieces) if len(pieces) > 1 else pieces[0]
    return together.reshape(-1, *(1,) * (dimensions - len(shape)), *shape)


def _each_with_each(some: Sizes, others: Sizes) -> Sizes:
    """Products of all kinds along the first axis with all others."""
    if len(others) == 1:
        return some * others
    products = some[:, np.newaxis] * others
    return products.reshape(-1, *products.shape[2:])
