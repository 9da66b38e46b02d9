"""Windows over whole feature maps, and what else definitions of convolutions share."""

import numpy as np

from accelsim.network.ops import Window
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array


def padded_to(fmap: Array, rows: Window, cols: Window, fill: float) -> Array:
    """`fmap` (..., H, W) with `fill` around it, just as far as the windows reach.

    Windows of less than no padding begin inside it.
    """
    height, width = ((w.outputs - 1) * w.stride + w.extent for w in (rows, cols))
    padded = np.full((*fmap.shape[:-2], height, width), fill, fmap.dtype)
    inside = padded[..., _inside(rows), _inside(cols)]
    seen = fmap[..., max(-rows.before, 0) :, max(-cols.before, 0) :]
    inside[...] = seen[..., : inside.shape[-2], : inside.shape[-1]]
    return padded


def _inside(window: Window) -> slice:
    """Where the values lie among the padding."""
    return slice(max(window.before, 0), max(window.before + window.size, 0))


def taps_over(fmap: Array, rows: Window, cols: Window, fill: float) -> Array:
    """A view (..., R, S, P, Q) of padded `fmap` (..., H, W): the tap (r, s) of every window."""
    padded = padded_to(fmap, rows, cols, fill)
    *outer, down, right = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (*fmap.shape[:-2], rows.kernel, cols.kernel, rows.outputs, cols.outputs),
        (
            *outer,
            *(rows.dilation * down, cols.dilation * right),
            *(rows.stride * down, cols.stride * right),
        ),
        writeable=False,
    )


def data_taps(window: Window, count_padding: bool) -> Array:
    """How many taps of each output's window count, (outputs,): those on data or its padding."""
    first = np.arange(window.outputs) * window.stride - window.before
    low, high = (-window.before, window.size + window.after) if count_padding else (0, window.size)
    return np.minimum(first + window.extent, high) - np.maximum(first, low)


def unit_of(work: Computation) -> Array:
    """What 1 in a psum stands for: s_in * s_w, float32, () or (n,)."""
    scale = np.float32(work.inputs[0].quantization.scale)
    return np.multiply(scale, work.parameters.weight_scale, dtype=np.float32)


def grouped(bias: Array | None, groups: int) -> Array | None:
    """A bias as groups have it, (G, K/G)."""
    return None if bias is None else bias.reshape(groups, -1)
