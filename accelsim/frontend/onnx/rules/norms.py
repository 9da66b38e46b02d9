"""Normalisations that are layers here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.batch_rules import CHANNELS
from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    kept_shape,
    known,
    only_first_output,
    optional,
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.functions import apart, scaled
from accelsim.frontend.onnx.rules.joins import merged
from accelsim.network.ops import (
    Abs,
    Add,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Log,
    Lrn,
    Mean,
    Mul,
    Op,
    Power,
    Reciprocal,
    RmsNorm,
    ScaleShift,
    Softmax,
    Sqrt,
    Sum,
)

SINGLE_AXIS = 13
"""The opset from which softmax is over one axis, not over all from that on."""


def batch_norm(node: Node, layers: Layers) -> str:
    """With the statistics that the model stores."""
    if node.attributes.get("training_mode") or node.attributes.get("spatial", 1) == 0:
        raise Refused("with statistics of the batch, or for each pixel")
    only_first_output(node, layers)
    source, shape = tensor(node, 0, layers)
    names = ("gamma", "beta", "mean", "variance")
    constants = {name: constant(node, 1 + at, name) for at, name in enumerate(names)}
    if CHANNELS in node.attributes:
        return _of_features(node, layers, source, constants)
    learned = {name: Learned(each) for name, each in constants.items()}
    op = checked(BatchNorm, epsilon=float(node.attributes.get("epsilon", 1e-5)))
    wide = layers.view(apart(layers, source), kept_shape(shape) if len(shape) != 2 else (*shape, 1))
    made = layers.add(node.name, op, wide, learned=learned)
    return layers.view(made, kept_shape(shape))


def _of_features(node: Node, layers: Layers, source: str, constants: Mapping[str, Constant]) -> str:
    """A line for each place of the last axis, in the layer before where that is linear."""
    shape, channels = layers.shapes[source], int(node.attributes[CHANNELS])
    if channels != len(shape):
        raise Refused("with its channels neither behind the batch nor last")
    of = {name: known(each, name).astype(np.float64) for name, each in constants.items()}
    factor = of["gamma"] / np.sqrt(of["variance"] + float(node.attributes.get("epsilon", 1e-5)))
    term = of["beta"] - of["mean"] * factor
    by, plus = (
        Constant(
            name=f"{node.name}/{name}",
            shape=each.shape,
            element=1,
            source=Known(each.astype(np.float32)),
        )
        for name, each in (("factor", factor), ("term", term))
    )
    value = node.inputs[0]
    assert isinstance(value, Value)
    before = layers.made_beneath(value)
    if before is not None and merged(layers, before, shape, by, plus=False):
        merged(layers, before, shape, plus, plus=True)
        return source
    op = checked(ScaleShift, shape=spread(by, len(shape)))
    return layers.add(node.name, op, source, learned={"gamma": Learned(by), "beta": Learned(plus)})


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
    single = node.version >= SINGLE_AXIS
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


def log_softmax(node: Node, layers: Layers) -> str:
    """The logarithm of a softmax."""
    share = softmax(replace(node, name=f"{node.name}/softmax"), layers)
    return layers.add(node.name, Log(), share)


def lp_norm(node: Node, layers: Layers) -> str:
    """By the root of the sum of squares, or the sum of magnitudes, along an axis."""
    source, shape = tensor(node, 0, layers)
    (axis,) = axes_of([int(node.attributes.get("axis", -1))], len(shape) + 1)
    if axis == 0 or kept_shape(shape) != shape:
        raise Refused("over the batch" if axis == 0 else f"of {len(shape) + 1} axes")
    second = int(node.attributes.get("p", 2)) == 2
    size = layers.add(f"{node.name}/size", Power(exponent=2.0) if second else Abs(), source)
    size = layers.add(f"{node.name}/sum", checked(Sum, axes=(axis - 1,), keep=True), size)
    if second:
        size = layers.add(f"{node.name}/root", Sqrt(), size)
    inverse = layers.add(f"{node.name}/inverse", Reciprocal(), size)
    return layers.add(node.name, Mul(), source, inverse)


def layer_norm(node: Node, layers: Layers) -> str:
    """Over all axes from one on; the mean and one over the deviation, where these are read."""
    made = _over_last(node, layers, LayerNorm)
    asked = [each.name if layers.read_by.get(each.name) else "" for each in node.outputs[1:3]]
    if any(asked):
        _statistics(node, layers, [*asked, ""])
    return made


def _statistics(node: Node, layers: Layers, asked: Sequence[str]) -> None:
    """The mean and one over the deviation of each row, under the names that are asked for."""
    source, shape = tensor(node, 0, layers)
    (axis,) = axes_of([int(node.attributes.get("axis", -1))], len(shape) + 1)
    wide = layers.view(source, (math.prod(shape[: axis - 1]), math.prod(shape[axis - 1 :])))
    kept = kept_shape((*shape[: axis - 1], *(1,) * (len(shape) - axis + 1)))
    mean = layers.add(f"{node.name}/mean", checked(Mean, axes=(1,), keep=True), wide)
    if asked[0]:
        layers.names[asked[0]] = layers.view(mean, kept)
    if asked[1]:
        less = scaled(layers, f"{node.name}/less", mean, -1.0, 0.0)
        centred = layers.add(f"{node.name}/centred", Add(), wide, less)
        square = layers.add(f"{node.name}/square", Power(exponent=2.0), centred)
        variance = layers.add(f"{node.name}/variance", checked(Mean, axes=(1,), keep=True), square)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        safe = scaled(layers, f"{node.name}/safe", variance, 1.0, epsilon)
        made = layers.add(f"{node.name}/inverse", Power(exponent=-0.5), safe)
        layers.names[asked[1]] = layers.view(made, kept)


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
