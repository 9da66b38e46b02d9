"""What all tiles of a GEMM kernel occupy of a DRAM that moves whole bursts, each tile its own.

What is left of an axis makes smaller tiles, whose last bursts are as empty as those of others: of
tiles that are not much larger than a burst that may be half of all.
"""

from collections.abc import Iterable, Sequence

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


def waste_of_bursts(
    kernel: GemmKernel, target: Target, tilings: Tilings
) -> dict[Operand, NDArray[np.float64]]:
    """Bytes that all tiles of each operand occupy for each byte that they have.

    Taken as away from padding, where tiles read less; results as they are before they are pooled.
    """
    return {
        item: _waste(target, axes, target.bytes_of(item), len(tilings.shape))
        for item, axes in _axes(kernel, tilings).items()
    }


def _axes(kernel: GemmKernel, tilings: Tilings) -> dict[Operand, list[Axis]]:
    """Along what the tiles of each operand are cut."""
    images, groups, rows, cols, filters, channels, tap_rows, tap_cols = (
        [*cut(total, size)] for total, size in zip(whole_sizes(kernel), tilings.axes, strict=True)
    )
    down = _read(kernel.rows, rows, tilings.tap_rows, tilings.row_span)
    across = _read(kernel.cols, cols, tilings.tap_cols, tilings.col_span)
    results: list[Axis] = [groups, images, rows, cols, filters]
    return {
        "ifmap": [groups, images, channels, down, across],
        "filter": [groups, filters, channels, tap_rows, tap_cols],
        "psum": results,
        "ofmap": results,
    }


def _read(window: Read, outputs: Axis, taps: Sizes, most: Sizes) -> Axis:
    """What pieces of outputs read along an axis, with all the taps of a tile; at `most` so much."""
    return [(np.minimum(inside(window, size, taps), most), count) for size, count in outputs]


def _waste(target: Target, axes: Iterable[Axis], word: int, dimensions: int) -> NDArray[np.float64]:
    """Of tiles with all kinds of pieces, in arrays of so many `dimensions`."""
    sizes, counts = (np.full((1,) * (dimensions + 1), each) for each in (word, 1))
    for axis in axes:
        size, count = (_along_first(each, dimensions) for each in zip(*axis, strict=True))
        sizes, counts = _each_with_each(sizes, size), _each_with_each(counts, count)
    bursts = -(-sizes // target.dram_burst) * target.dram_burst
    moved = np.maximum((counts * sizes).sum(axis=0), 1)
    return np.asarray((counts * bursts).sum(axis=0) / moved)


def _along_first(pieces: Sequence[Sizes], dimensions: int) -> Sizes:
    """Sizes or counts of pieces along a new first axis before so many `dimensions`."""
    shape = pieces[0].shape
    return np.stack(pieces).reshape(-1, *(1,) * (dimensions - len(shape)), *shape)


def _each_with_each(some: Sizes, others: Sizes) -> Sizes:
    """Products of all kinds along the first axis with all others."""
    if len(others) == 1:
        return some * others
    products = some[:, np.newaxis] * others
    return products.reshape(-1, *products.shape[2:])
