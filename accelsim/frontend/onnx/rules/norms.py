"""Normalisations that are layers here."""

import math

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    kept_shape,
    only_first_output,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import BatchNorm, Lrn, Softmax

_SINGLE_AXIS = 13
"""The opset from which softmax is over one axis, not over all from that on."""


def batch_norm(node: Node, layers: Layers) -> str:
    """With the statistics that the model stores."""
    if node.attributes.get("training_mode") or node.attributes.get("spatial", 1) == 0:
        raise Refused("with statistics of the batch, or for each pixel")
    only_first_output(node, layers)
    source, shape = tensor(node, 0, layers)
    names = ("gamma", "beta", "mean", "variance")
    learned = {name: Learned(constant(node, 1 + at, name)) for at, name in enumerate(names)}
    op = checked(BatchNorm, epsilon=float(node.attributes.get("epsilon", 1e-5)))
    wide = layers.view(source, kept_shape(shape) if len(shape) != 2 else (*shape, 1))
    made = layers.add(node.name, op, wide, learned=learned)
    return layers.view(made, kept_shape(shape))


def lrn(node: Node, layers: Layers) -> str:
    """Local response normalisation across channels."""
    source, shape = tensor(node, 0, layers)
    if len(shape) != 3:
        raise Refused(f"of shape {list(shape)}; only feature maps are known here")
    said = node.attributes
    op = checked(
        Lrn,
        size=int(said.get("size", 0)),
        alpha=float(said.get("alpha", 1e-4)),
        beta=float(said.get("beta", 0.75)),
        bias=float(said.get("bias", 1.0)),
    )
    return layers.add(node.name, op, source)


def softmax(node: Node, layers: Layers) -> str:
    """Over channels or the last axis; before opset 13 over all axes from one on."""
    source, shape = tensor(node, 0, layers)
    rank = len(shape) + 1
    single = node.version >= _SINGLE_AXIS
    (axis,) = axes_of([int(node.attributes.get("axis", -1 if single else 1))], rank)
    if axis == 0:
        raise Refused("over the batch")
    inner = math.prod(shape[axis - 1 :])
    rows = math.prod(shape[: axis - 1])
    if not single or axis == rank - 1:
        wide = layers.view(source, (rows, inner) if rows > 1 else (inner,))
    elif axis == 1 and len(shape) >= 2:
        wide = layers.view(source, (shape[0], math.prod(shape[1:]), 1))
    else:
        raise Refused(f"over axis {axis} of {rank}; only the channels or the last axis")
    made = layers.add(node.name, Softmax(), wide)
    return layers.view(made, kept_shape(shape))
