"""Pooling on the way out of the array: which tiles hold whole windows, and what leaves of them.

A tile's results are pooled as they leave, so every window must lie in one tile. Where windows do
not overlap and begin with the map, tiles of a multiple of the stride hold whole ones; where they
overlap, or begin in padding, only a tile with the whole axis does.
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.kernel import GemmKernel
from accelsim.lowering.task import GemmTile, Pixels, Span, VectorTile
from accelsim.network.ops import Window

Sizes = NDArray[np.int64]


def can_cut(window: Window) -> bool:
    """Whether an axis may be cut between windows."""
    ends_in_data = (window.outputs - 1) * window.stride < window.size
    return window.extent <= window.stride and window.before == 0 and ends_in_data


def windows_in(window: Window, taken: Sizes) -> Sizes:
    """Windows in a tile of `taken` elements of an axis: a full tile, or what is left at the end."""
    last = window.outputs - (window.size - taken) // window.stride
    return np.where(
        (taken % window.stride == 0) & (taken < window.size), taken // window.stride, last
    )


def holds_whole(window: Window, taken: Sizes) -> NDArray[np.bool_]:
    """Whether all tiles of `taken` elements of an axis have whole windows, each at least one."""
    rest = window.size % taken
    enough = (rest == 0) | (windows_in(window, np.maximum(rest, 1)) > 0)
    cut: NDArray[np.bool_] = (taken % window.stride == 0) & enough & can_cut(window)
    return np.asarray(cut | (taken == window.size))


def pooled_sides(kernel: GemmKernel, rows: int, cols: int) -> tuple[int, int]:
    """What leaves of a tile of so many rows and columns."""
    if kernel.pooled is None:
        return rows, cols
    down, across = (
        int(windows_in(window, np.int64(taken)))  # type: ignore[arg-type]
        for window, taken in zip(kernel.pooled, (rows, cols), strict=True)
    )
    return down, across


def pooled_tile(kernel: GemmKernel, tile: GemmTile) -> VectorTile:
    """The part of the pooled ofmap that a tile of the array makes."""
    assert kernel.pooled is not None
    rows, cols = kernel.pooled
    pixels = tile.pixels
    first = tile.groups.start * kernel.filters + tile.filters.start
    channels = Span(first, (tile.groups.stop - 1) * kernel.filters + tile.filters.stop)
    return VectorTile(
        pixels=Pixels(pixels.batch, _within(rows, pixels.rows), _within(cols, pixels.cols)),
        channels=channels,
        tap_rows=Span(0, rows.kernel),
        tap_cols=Span(0, cols.kernel),
        turn=0,
        first=True,
        last=True,
    )


def _within(window: Window, part: Span) -> Span:
    """The windows of part of an axis."""
    if part.size == window.size:
        return Span(0, window.outputs)
    stop = -(-part.stop // window.stride)
    return Span(part.start // window.stride, min(stop, window.outputs))
