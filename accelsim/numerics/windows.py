"""Feature maps and the windows over a block of them, as views of arrays."""

import numpy as np

from accelsim.lowering.task import Pixels, Span
from accelsim.lowering.tiles import ifmap_region
from accelsim.network.ops import Shape, Window
from accelsim.network.ops.fields import is_per_channel
from accelsim.numerics.formats import Array

Fill = int | float


def windows(values: Array, rows: Window, cols: Window, pixels: Pixels, fill: Fill) -> Array:
    """The taps (..., R, S, p, q) of a block of the ofmap over `values` (..., H, W).

    Only the ifmap region of the block is read; what its windows reach beyond is `fill`.
    """
    down, across = ifmap_region(rows, cols, pixels)
    height, width = _reach(rows, pixels.rows), _reach(cols, pixels.cols)
    region = values[..., down.slice, across.slice]
    if region.shape[-2:] != (height, width):
        padded = np.full((*values.shape[:-2], height, width), fill, values.dtype)
        top = down.start - (pixels.rows.start * rows.stride - rows.before)
        left = across.start - (pixels.cols.start * cols.stride - cols.before)
        padded[..., top : top + down.size, left : left + across.size] = region
        region = padded
    *outer, row, col = region.strides
    taps = (rows.kernel, cols.kernel, pixels.rows.size, pixels.cols.size)
    steps = (row * rows.dilation, col * cols.dilation, row * rows.stride, col * cols.stride)
    return np.lib.stride_tricks.as_strided(
        region, (*region.shape[:-2], *taps), (*outer, *steps), writeable=False
    )


def _reach(window: Window, outputs: Span) -> int:
    """Positions, padding included, from the first tap to the last of some outputs, if any."""
    return max((outputs.size - 1) * window.stride + window.extent, 0)


def widened(values: Array, shape: Shape) -> Array:
    """(N, ...) with axes of size 1, as often as `shape` asks for; one per channel stays so."""
    if values.shape[1:] == shape or is_per_channel(values.shape[1:], shape):
        return values
    return np.broadcast_to(values, (len(values), *shape))


def feature_map(values: Array) -> Array:
    """(N, ...) viewed as (N, C, H, W): features of vectors and matrices are channels."""
    if values.ndim == 4:
        return values
    if values.ndim > 4:
        return values.reshape(len(values), -1, *values.shape[-2:])
    if values.ndim == 3:
        return values.transpose(0, 2, 1)[..., None]
    return values[..., None, None]


def counts_of(window: Window, outputs: Span, count_padding: bool) -> Array:
    """How many taps of each output's window the mean divides by."""
    first = np.arange(outputs.start, outputs.stop)[:, None] * window.stride - window.before
    taps = first + np.arange(window.kernel) * window.dilation
    low, high = (-window.before, window.size + window.after) if count_padding else (0, window.size)
    counts: Array = ((taps >= low) & (taps < high)).sum(1)
    return counts
