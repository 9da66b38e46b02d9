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
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Lrn,
    Op,
    RmsNorm,
    Softmax,
)

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
    if node.attributes.get("causal"):
        return layers.add(node.name, Softmax(axis=-1, causal=True), source)
    inner = math.prod(shape[axis - 1 :])
    rows = math.prod(shape[: axis - 1])
    if not single or axis == rank - 1:
        wide = layers.view(source, (rows, inner) if rows > 1 else (inner,))
        made = layers.add(node.name, Softmax(), wide)
    elif axis == 1:
        wide = layers.view(source, (shape[0], math.prod(shape[1:]), 1))
        made = layers.add(node.name, Softmax(), wide)
    else:
        wide = layers.view(source, (rows, shape[axis - 1], math.prod(shape[axis:])))
        made = layers.add(node.name, Softmax(axis=1), wide)
    return layers.view(made, kept_shape(shape))


def layer_norm(node: Node, layers: Layers) -> str:
    """Over all axes from one on."""
    only_first_output(node, layers)
    return _over_last(node, layers, LayerNorm)


def rms_norm(node: Node, layers: Layers) -> str:
    """The same without a mean."""
    return _over_last(node, layers, RmsNorm)


def _over_last(node: Node, layers: Layers, op: type[LayerNorm]) -> str:
    source, shape = tensor(node, 0, layers)
    rank = len(shape) + 1
    (axis,) = axes_of([int(node.attributes.get("axis", -1))], rank)
    if axis == 0:
        raise Refused("over the batch")
    gamma, beta = optional(node, 1, "scale"), optional(node, 2, "bias")
    learned = {"gamma": Learned(1.0 if gamma is None else gamma)}
    keys: dict[str, object] = {}
    if op is LayerNorm:
        keys["bias"] = beta is not None
    if beta is not None:
        learned["beta"] = Learned(beta)
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    wide = layers.view(source, (math.prod(shape[: axis - 1]), math.prod(shape[axis - 1 :])))
    for name, given in (("scale", gamma), ("bias", beta)):
        if given is not None and math.prod(given.shape) not in (1, layers.shapes[wide][1]):
            raise Refused(f"its {name} has shape {list(given.shape)} for {list(shape)}")
    made = layers.add(node.name, checked(op, epsilon=epsilon, **keys), wide, learned=learned)
    return layers.view(made, kept_shape(shape))


def instance_norm(node: Node, layers: Layers) -> str:
    """Each channel by itself."""
    return _of_channels(node, layers, checked(InstanceNorm, epsilon=_epsilon(node)))


def group_norm(node: Node, layers: Layers) -> str:
    """Groups of channels, with a scale for each channel."""
    groups = int(node.attributes.get("num_groups", 1))
    return _of_channels(node, layers, checked(GroupNorm, groups=groups, epsilon=_epsilon(node)))


def _epsilon(node: Node) -> float:
    return float(node.attributes.get("epsilon", 1e-5))


def _of_channels(node: Node, layers: Layers, op: Op) -> str:
    source, shape = tensor(node, 0, layers)
    gamma, beta = constant(node, 1, "scale"), constant(node, 2, "bias")
    if gamma.shape != shape[:1] or beta.shape != shape[:1]:
        raise Refused(f"its scale has shape {list(gamma.shape)} for {shape[0]} channels")
    learned = {"gamma": Learned(gamma), "beta": Learned(beta)}
    made = layers.add(node.name, op, source, learned=learned)
    return layers.view(made, kept_shape(shape))
