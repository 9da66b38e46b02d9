"""Functions of one value."""

import math
from collections.abc import Callable

import numpy as np

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    constant,
    kept_shape,
    known,
    number,
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import (
    BatchNorm,
    Clip,
    Elementwise,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Power,
    Relu,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)

_LARGEST = float(np.finfo(np.float32).max)
_SIXTH = float(np.float32(1 / 6))


def _function(node: Node, layers: Layers, op: Elementwise) -> str:
    source, _ = tensor(node, 0, layers)
    return layers.add(node.name, op, source)


def scaled(layers: Layers, name: str, source: str, factor: float, term: float) -> str:
    """factor * x + term, for all of a tensor: a batch norm, of one channel if it is no map."""
    shape = layers.shapes[source]
    values = {"gamma": factor, "beta": term, "mean": 0.0, "variance": 1.0}
    learned = {each: Learned(value) for each, value in values.items()}
    wide = source if len(shape) == 3 else layers.view(source, (1, shape[0], math.prod(shape[1:])))
    return layers.view(layers.add(name, BatchNorm(epsilon=0.0), wide, learned=learned), shape)


def relu(node: Node, layers: Layers) -> str:
    """max(x, 0)."""
    return _function(node, layers, Relu())


def sigmoid(node: Node, layers: Layers) -> str:
    """1 / (1 + exp(-x))."""
    return _function(node, layers, Sigmoid())


def tanh(node: Node, layers: Layers) -> str:
    """Hyperbolic tangent."""
    return _function(node, layers, Tanh())


def softplus(node: Node, layers: Layers) -> str:
    """log(1 + exp(x))."""
    return _function(node, layers, Softplus())


def hard_swish(node: Node, layers: Layers) -> str:
    """x * hard_sigmoid(x)."""
    return _function(node, layers, HardSwish())


def leaky_relu(node: Node, layers: Layers) -> str:
    """x, times alpha where negative."""
    return _function(node, layers, _leaky(float(node.attributes.get("alpha", 0.01))))


def _leaky(slope: float) -> Elementwise:
    op = checked(LeakyRelu, slope=slope)
    assert isinstance(op, Elementwise)
    return op


def prelu(node: Node, layers: Layers) -> str:
    """As leaky_relu, where all slopes are one number."""
    slopes = known(constant(node, 1, "slope"), "slope")
    if slopes.size == 0 or np.unique(slopes).size != 1:
        raise Refused("with a slope for each channel")
    return _function(node, layers, _leaky(float(slopes.reshape(-1)[0])))


def clip(node: Node, layers: Layers) -> str:
    """Between two bounds, each an attribute (before opset 11), a constant, or none."""
    said = node.attributes
    low = number(optional(node, 1, "min"), float(said.get("min", -_LARGEST)), "min")
    high = number(optional(node, 2, "max"), float(said.get("max", _LARGEST)), "max")
    if math.isnan(low) or math.isnan(high):
        raise Refused(f"between {low} and {high}")
    low, high = max(low, -_LARGEST), min(high, _LARGEST)
    if low == 0 and high == _LARGEST:
        return relu(node, layers)
    return _function(node, layers, Clip(low=min(low, high), high=high))


def hard_sigmoid(node: Node, layers: Layers) -> str:
    """alpha * x + beta, between 0 and 1; MobileNetV3's where alpha is a sixth."""
    alpha = float(node.attributes.get("alpha", 0.2))
    beta = float(node.attributes.get("beta", 0.5))
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return _function(node, layers, HardSigmoid())
    source, _ = tensor(node, 0, layers)
    line = scaled(layers, f"{node.name}/line", source, alpha, beta)
    return layers.add(node.name, Clip(low=0.0, high=1.0), line)


def elu(node: Node, layers: Layers) -> str:
    """x, alpha * (exp(x) - 1) where negative."""
    op = checked(Elu, alpha=float(node.attributes.get("alpha", 1.0)))
    assert isinstance(op, Elementwise)
    return _function(node, layers, op)


def selu(node: Node, layers: Layers) -> str:
    """gamma times an elu."""
    alpha = float(node.attributes.get("alpha", 1.67326319217681884765625))
    gamma = float(node.attributes.get("gamma", 1.05070102214813232421875))
    source, _ = tensor(node, 0, layers)
    made = layers.add(f"{node.name}/elu", checked(Elu, alpha=alpha), source)
    return scaled(layers, node.name, made, gamma, 0.0)


def gelu(node: Node, layers: Layers) -> str:
    """By the error function, or its approximation by tanh."""
    op = checked(Gelu, approximate=node.attributes.get("approximate", "none"))
    assert isinstance(op, Elementwise)
    return _function(node, layers, op)


def plain(op: Elementwise) -> Callable[[Node, Layers], str]:
    """The rule of a function without attributes."""

    def rule(node: Node, layers: Layers) -> str:
        """The function of every value."""
        return _function(node, layers, op)

    return rule


def power(node: Node, layers: Layers) -> str:
    """To a constant power."""
    exponent = number(constant(node, 1, "exponent"), 1.0, "exponent")
    source, shape = tensor(node, 0, layers)
    if node.outputs[0].shape is None or kept_shape(node.outputs[0].shape[1:]) != kept_shape(shape):
        raise Refused("its exponent makes it larger")
    op = checked(Power, exponent=exponent)
    return layers.add(node.name, op, source)


def swish(node: Node, layers: Layers) -> str:
    """x * sigmoid(x)."""
    if node.attributes.get("alpha", 1.0) != 1.0:
        raise Refused(f"alpha {node.attributes['alpha']:g}; only 1 is known here")
    return _function(node, layers, Silu())


def negated(node: Node, layers: Layers) -> str:
    """-x."""
    source, _ = tensor(node, 0, layers)
    return scaled(layers, node.name, source, -1.0, 0.0)
