"""Values on the even steps of their own range, as ONNX's DynamicQuantizeLinear has them."""

import numpy as np

from accelsim.numerics.formats import Array

_STEPS = 255
"""The largest uint8."""


def on_steps(x: Array, low: Array, high: Array) -> Array:
    """scale * (code - zero_point) of `x`, given its least and largest value, which broadcast.

    Every step rounds to the type of `x`, as onnx's reference implementation and onnxruntime do.
    """
    kind = x.dtype.type
    low, high = np.minimum(low, kind(0)), np.maximum(high, kind(0))
    scale = (high - low) / kind(_STEPS)
    scale = np.where(scale == 0, kind(1), scale)
    zero = np.rint(np.clip(-low / scale, kind(0), kind(_STEPS)))
    codes = np.clip(np.rint(x / scale) + zero, kind(0), kind(_STEPS))
    return np.asarray(scale * (codes - zero), x.dtype)
