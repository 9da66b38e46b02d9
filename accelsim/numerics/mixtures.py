"""Mixtures: shares of what is learned, in values, and the gradients of a step of training."""

from typing import TYPE_CHECKING

import numpy as np

from accelsim.network.graph import Layer
from accelsim.network.ops import Mixture, Shape
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.numerics.formats import Array, FloatFormat, Format

if TYPE_CHECKING:
    from accelsim.numerics.computation import Computation


def weight_shape(layer: Layer) -> Shape | None:
    """The shape of what a layer's filter is, if it has any."""
    shapes = layer.parameter_shapes
    return (*shapes["c"], 1, 1) if isinstance(layer.op, Mixture) else shapes.get("weight")


def with_shares(layer: Layer, arrays: dict[str, Array], format_: Format) -> dict[str, Array]:
    """A mixture's arrays with its shares as "weight", (K, C, 1, 1); of other layers as they are."""
    if not isinstance(layer.op, Mixture):
        return arrays
    shares = arrays["c"]
    if isinstance(format_, FloatFormat):
        shares = format_.rounded(softmax(shares))
    return {**arrays, "weight": shares[..., None, None]}


def softmax(rows: Array) -> Array:
    """Of each row (..., C)."""
    powers = np.exp(rows - rows.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def terms(op: MixtureGradient, work: "Computation") -> tuple[Array, Array]:
    """The loss's gradient by the shares with the penalty's, and the shares, (K, C)."""
    shares = work.parameters.arrays["weight"].reshape(op.shape)
    gradient = work.inputs[0].values.reshape(op.shape)
    return gradient + op.penalty * np.sign(shares), shares


def mixture_gradient(op: MixtureGradient, work: "Computation") -> Array:
    """Of c, (1, K, C)."""
    gradient, shares = terms(op, work)
    left = gradient - (gradient * shares).sum(1, keepdims=True)
    return np.asarray(shares * left)[None]


def mixture_update(op: MixtureUpdate, work: "Computation") -> Array:
    """The shares of a new c, (1, K, C)."""
    return softmax(work.inputs[0].values)
