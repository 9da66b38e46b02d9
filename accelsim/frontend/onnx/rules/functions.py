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
    known,
    number,
    optional,
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import (
    Abs,
    Add,
    BatchNorm,
    Clip,
    Elementwise,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mul,
    Reciprocal,
    Relu,
    Reshape,
    ScaleShift,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)

LARGEST = float(np.finfo(np.float32).max)
_SIXTH = float(np.float32(1 / 6))


def _function(node: Node, layers: Layers, op: Elementwise) -> str:
    source, _ = tensor(node, 0, layers)
    return layers.add(node.name, op, source)


def apart(layers: Layers, name: str) -> str:
    """A layer as a batch norm reads it: codes are not scaled before their numbers end."""
    if name not in layers.cut:
        return name
    return layers.add(f"{name}/codes", Reshape(shape=layers.shapes[name]), name)


def scaled(layers: Layers, name: str, source: str, factor: float, term: float) -> str:
    """factor * x + term, for all of a tensor: a batch norm, of one channel if it is no map."""
    shape = layers.shapes[source]
    values = {"gamma": factor, "beta": term, "mean": 0.0, "variance": 1.0}
    learned = {each: Learned(value) for each, value in values.items()}
    flat = (1, shape[0], math.prod(shape[1:]))
    wide = apart(layers, source) if len(shape) == 3 else layers.view(source, flat)
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
    """As leaky_relu where all slopes are one number; else relu(x) less the slopes' relu(-x)."""
    found = constant(node, 1, "slope")
    slopes = known(found, "slope")
    if slopes.size and np.unique(slopes).size == 1:
        return _function(node, layers, _leaky(float(slopes.reshape(-1)[0])))
    source, shape = tensor(node, 0, layers)
    above = layers.add(f"{node.name}/above", Relu(), source)
    turned = scaled(layers, f"{node.name}/turned", source, -1.0, 0.0)
    below = layers.add(f"{node.name}/below", Relu(), turned)
    learned = {"gamma": Learned(found).times(-1.0), "beta": Learned(0.0)}
    op = checked(ScaleShift, shape=spread(found, len(shape)))
    below = layers.add(f"{node.name}/slopes", op, below, learned=learned)
    return layers.add(node.name, Add(), above, below)


def clipped(layers: Layers, name: str, source: str, low: float, high: float) -> str:
    """Between two bounds, of which one may be infinite."""
    if math.isnan(low) or math.isnan(high):
        raise Refused(f"between {low} and {high}")
    low, high = max(low, -LARGEST), min(high, LARGEST)
    if low == 0 and high == LARGEST:
        return layers.add(name, Relu(), source)
    return layers.add(name, Clip(low=min(low, high), high=high), source)


def clip(node: Node, layers: Layers) -> str:
    """Between two bounds, each an attribute (before opset 11), a constant, or none."""
    said = node.attributes
    low = number(optional(node, 1, "min"), float(said.get("min", -LARGEST)), "min")
    high = number(optional(node, 2, "max"), float(said.get("max", LARGEST)), "max")
    source, _ = tensor(node, 0, layers)
    return clipped(layers, node.name, source, low, high)


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


def swish(node: Node, layers: Layers) -> str:
    """x * sigmoid(alpha x)."""
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 1:
        return _function(node, layers, Silu())
    source, _ = tensor(node, 0, layers)
    share = scaled(layers, f"{node.name}/alpha", source, alpha, 0.0)
    share = layers.add(f"{node.name}/share", Sigmoid(), share)
    return layers.add(node.name, Mul(), source, share)


def mish(node: Node, layers: Layers) -> str:
    """x * tanh(log(1 + exp(x)))."""
    source, _ = tensor(node, 0, layers)
    share = layers.add(f"{node.name}/softplus", Softplus(), source)
    share = layers.add(f"{node.name}/tanh", Tanh(), share)
    return layers.add(node.name, Mul(), source, share)


def softsign(node: Node, layers: Layers) -> str:
    """x / (1 + |x|)."""
    source, _ = tensor(node, 0, layers)
    size = layers.add(f"{node.name}/size", Abs(), source)
    more = scaled(layers, f"{node.name}/more", size, 1.0, 1.0)
    inverse = layers.add(f"{node.name}/inverse", Reciprocal(), more)
    return layers.add(node.name, Mul(), source, inverse)


def celu(node: Node, layers: Layers) -> str:
    """alpha times the elu of x / alpha."""
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 0:
        raise Refused("alpha 0")
    source, _ = tensor(node, 0, layers)
    share = scaled(layers, f"{node.name}/share", source, 1 / alpha, 0.0)
    made = layers.add(f"{node.name}/elu", checked(Elu, alpha=1.0), share)
    return scaled(layers, node.name, made, alpha, 0.0)


def negated(node: Node, layers: Layers) -> str:
    """-x."""
    source, _ = tensor(node, 0, layers)
    return scaled(layers, node.name, source, -1.0, 0.0)
