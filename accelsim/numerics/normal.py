"""What definitions of normalisations share."""

import math

import numpy as np

from accelsim.network.ops import BatchNorm, LayerNorm, Normalised, Shape
from accelsim.numerics.formats import Array
from accelsim.numerics.parameters import LayerParameters


def lines_of(op: Normalised, parameters: LayerParameters, shape: Shape) -> list[Array]:
    """gamma and beta, float32, for the rows of an image or one for all: (rows or 1, values)."""
    rows, count = op.rows(shape)
    learned = op.learned(shape)
    gamma = parameters.arrays["gamma"]
    lines = [gamma, parameters.arrays["beta"] if op.has_beta else np.zeros_like(gamma)]
    if isinstance(op, LayerNorm):
        return [line.reshape(1, count) for line in lines]
    each = math.prod(shape) // learned[0]
    return [line.repeat(each).reshape(rows, count) for line in lines]


def batch_norm_line(op: BatchNorm, parameters: LayerParameters) -> tuple[Array, Array]:
    """Slope and offset per channel (C,), float32, of the line that batch_norm is."""
    gamma, beta, mean, variance = (
        parameters.arrays[name].astype(np.float64) for name in ("gamma", "beta", "mean", "variance")
    )
    slope = gamma / np.sqrt(variance + op.epsilon)
    return slope.astype(np.float32), (beta - slope * mean).astype(np.float32)
