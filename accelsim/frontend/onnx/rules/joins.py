"""Sums, products and concatenations; a constant in them joins what was learned before."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    REALS,
    Layers,
    Refused,
    axes_of,
    checked,
    kept_shape,
    number,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.network.ops import (
    Add,
    BatchNorm,
    ClassToken,
    Concat,
    Conv,
    Dense,
    HardSigmoid,
    HardSwish,
    MatMul,
    Mul,
    Op,
    Position,
    Reciprocal,
    ScaleShift,
    Shape,
    Sigmoid,
    Silu,
)

_TIMES_ITSELF: Mapping[type[Op], Op] = {Sigmoid: Silu(), HardSigmoid: HardSwish()}
"""Functions f for which x * f(x) is a layer of its own."""


def add(node: Node, layers: Layers) -> str:
    """The sum of two."""
    return _with_constant(node, layers, plus=True) or _joined(node, layers, Add())


def total(node: Node, layers: Layers) -> str:
    """The sum of all inputs."""
    if len(node.inputs) == 1:
        return tensor(node, 0, layers)[0]
    if len(node.inputs) == 2:
        return add(node, layers)
    return _joined(node, layers, Add())


def multiply(node: Node, layers: Layers) -> str:
    """The product of two."""
    return (
        _with_constant(node, layers, plus=False)
        or _times_itself(node, layers)
        or _joined(node, layers, Mul())
    )


def subtract(node: Node, layers: Layers) -> str:
    """One less another; what is taken away is negated before it is added."""
    return _inverted(node, layers, np.negative) or _difference(node, layers)


def divide(node: Node, layers: Layers) -> str:
    """By a constant, or times one over what is computed."""
    if node.outputs[0].element not in REALS:
        raise Refused("of whole numbers")
    made = _inverted(node, layers, np.reciprocal)
    if made is not None:
        return made
    divisor, _ = tensor(node, 1, layers)
    if isinstance(node.inputs[0], Constant):
        inverse = layers.add(f"{node.name}/inverse", Reciprocal(), divisor)
        factor = number(node.inputs[0], 1.0, "dividend")
        return inverse if factor == 1 else scaled(layers, node.name, inverse, factor, 0.0)
    dividend, _ = tensor(node, 0, layers)
    inverse = layers.add(f"{node.name}/inverse", Reciprocal(), divisor)
    return layers.add(node.name, Mul(), dividend, inverse)


def _difference(node: Node, layers: Layers) -> str:
    if isinstance(node.inputs[0], Constant):
        term = number(node.inputs[0], 0.0, "first operand")
        source, shape = tensor(node, 1, layers)
        if node.outputs[0].shape is None or node.outputs[0].shape[1:] != shape:
            raise Refused(f"its constant {list(node.inputs[0].shape)} makes {list(shape)} larger")
        return scaled(layers, node.name, source, -1.0, term)
    first, second = (tensor(node, place, layers)[0] for place in (0, 1))
    negated = scaled(layers, f"{node.name}/negated", second, -1.0, 0.0)
    return layers.add(node.name, Add(), first, negated)


def _inverted(node: Node, layers: Layers, inverse: Callable[..., object]) -> str | None:
    """x - c as x + -c, x / c as x * 1/c, for a small constant c; None if c is none."""
    second = node.inputs[1]
    if not isinstance(second, Constant):
        return None
    if second.known is None:
        raise Refused(f"its constant has shape {list(second.shape)}, more than is looked at")
    with np.errstate(divide="ignore"):
        values = np.asarray(inverse(second.known.astype(np.float64)), np.float32)
    other = replace(second, source=Known(values))
    plus = inverse is np.negative
    return _with_constant(replace(node, inputs=(node.inputs[0], other)), layers, plus)


def _joined(node: Node, layers: Layers, op: Op) -> str:
    sources = [tensor(node, place, layers) for place in range(len(node.inputs))]
    ranks = {len(shape) for _, shape in sources}
    if len(ranks) > 1:
        raise Refused(f"of shapes {', '.join(str(list(shape)) for _, shape in sources)}")
    return layers.add(node.name, op, *(name for name, _ in sources))


def _times_itself(node: Node, layers: Layers) -> str | None:
    """x * f(x) as one layer; None if it is none."""
    for place in (0, 1):
        x, y = node.inputs[place], node.inputs[1 - place]
        if not isinstance(x, Value) or not isinstance(y, Value):
            return None
        function = layers.made_alone_by(y)
        if function is None or type(function.op) not in _TIMES_ITSELF:
            continue
        if function.inputs == (layers.names[x.name],):
            return layers.add(node.name, _TIMES_ITSELF[type(function.op)], *function.inputs)
    return None


# --- With a constant ------------------------------------------------------------------------------


def _with_constant(node: Node, layers: Layers, plus: bool) -> str | None:
    """x + c or x * c for one number c, or one for each channel; None if neither is constant."""
    constants = [each for each in node.inputs if isinstance(each, Constant)]
    if not constants:
        return None
    (place,) = (at for at, each in enumerate(node.inputs) if isinstance(each, Value))
    source, shape = tensor(node, place, layers)
    (value,) = (each for each in node.inputs if isinstance(each, Value))
    found = constants[0]
    if node.outputs[0].shape != value.shape:
        raise Refused(f"its constant {list(found.shape)} makes {list(shape)} larger")
    per_channel = _per_channel(found, shape)
    before = layers.made_alone_by(value)
    if before is not None and (per_channel or math.prod(found.shape) == 1):
        merged = _merged(layers, before.name, found, plus)
        if merged is not None:
            return merged
    if math.prod(found.shape) == 1:
        return _scalar(node, layers, source, found, plus)
    if plus and len(shape) == 2 and _rows_of(found, shape):
        learned = {"weight": Learned(found).rows()}
        return layers.add(node.name, checked(Position, length=shape[0]), source, learned=learned)
    if not per_channel or len(shape) == 2:
        return _broadcast(node, layers, source, found, plus)
    learned = {"gamma": Learned(1.0), "beta": Learned(0.0)}
    learned["beta" if plus else "gamma"] = Learned(found)
    learned |= {"mean": Learned(0.0), "variance": Learned(1.0)}
    return layers.add(node.name, BatchNorm(epsilon=0.0), source, learned=learned)


def _broadcast(node: Node, layers: Layers, source: str, found: Constant, plus: bool) -> str:
    """A constant of any shape that makes nothing larger."""
    shape = layers.shapes[source]
    own = found.shape
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    own = (*(1,) * (len(shape) - len(own)), *own)
    learned = {"gamma": Learned(1.0), "beta": Learned(0.0)}
    learned["beta" if plus else "gamma"] = Learned(found)
    return layers.add(node.name, checked(ScaleShift, shape=own), source, learned=learned)


def _scalar(node: Node, layers: Layers, source: str, found: Constant, plus: bool) -> str:
    if found.known is None:
        raise Refused("with a number that is not known")
    number = float(found.known.reshape(-1)[0])
    if not math.isfinite(number):
        raise Refused(f"with {number}")
    factor, term = (1.0, number) if plus else (number, 0.0)
    return scaled(layers, node.name, source, factor, term)


def _per_channel(found: Constant, shape: Shape) -> bool:
    """Whether a constant has one number for each channel (feature) of a tensor."""
    axes = (1, *found.shape)[-len(shape) - 1 :] if len(found.shape) > len(shape) else found.shape
    if len(axes) > len(shape):
        axes = axes[1:] if axes[0] == 1 else axes
    spread = (*(1,) * (len(shape) - len(axes)), *axes)
    channel = len(shape) - 1 if len(shape) == 2 else 0
    wanted = tuple(size if at == channel else 1 for at, size in enumerate(shape))
    return spread == wanted


def _rows_of(found: Constant, shape: Shape) -> bool:
    """Whether a constant has all of a matrix, or a row that is the same for all of its rows."""
    axes = found.shape
    while len(axes) > 1 and axes[0] == 1:
        axes = axes[1:]
    return axes in (shape, shape[1:])


def _merged(layers: Layers, name: str, found: Constant, plus: bool) -> str | None:
    """The constant in what the layer before has learned, if it is linear; None if it is not."""
    op, learned = layers.specs[name].op, layers.learned[name]
    if isinstance(op, (Conv, Dense)) and plus and not op.bias:
        return layers.change(name, replace(op, bias=True), {**learned, "bias": Learned(found)})
    if isinstance(op, MatMul) and not plus and found.known is not None and found.known.size == 1:
        scale = op.scale * float(found.known.reshape(-1)[0])
        return layers.change(name, replace(op, scale=scale), learned)
    if not isinstance(op, BatchNorm):
        return None
    if plus:
        return layers.change(name, op, {**learned, "beta": learned["beta"].plus(found)})
    scaled_ = {each: learned[each].times(found) for each in ("gamma", "beta")}
    return layers.change(name, op, {**learned, **scaled_})


# --- Concatenation --------------------------------------------------------------------------------


def _class_token(node: Node, layers: Layers) -> str | None:
    """A constant row before those of a matrix; None for any other concatenation."""
    if len(node.inputs) != 2 or not isinstance(node.inputs[0], Constant):
        return None
    source, shape = tensor(node, 1, layers)
    token = node.inputs[0]
    fits = token.shape == (1, 1, *shape[1:])
    if len(shape) != 2 or node.attributes.get("axis", 0) not in (1, -2) or not fits:
        raise Refused(f"with a constant {list(token.shape)}")
    learned = {"weight": Learned(token)}
    return layers.add(node.name, ClassToken(), source, learned=learned)


def concat(node: Node, layers: Layers) -> str:
    """Along the channels, the last axis of a matrix or vector, or rows of a matrix."""
    token = _class_token(node, layers)
    if token is not None:
        return token
    sources = [tensor(node, place, layers) for place in range(len(node.inputs))]
    if len(sources) == 1:
        return sources[0][0]
    shape = sources[0][1]
    (axis,) = axes_of([int(node.attributes.get("axis", 1))], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    wide: list[Shape]
    op = Concat()
    if axis == 1 and len(shape) == 2:
        wide = [(part[0], math.prod(part[1:]), 1) for _, part in sources]
    elif (axis, len(shape)) in ((1, 3), (1, 1), (2, 2)):
        wide = [part for _, part in sources]
    else:
        wide = [(*part[:axis], math.prod(part[axis:])) for _, part in sources]
        op = Concat(axis=axis - 1)
    views = [layers.view(name, part) for (name, _), part in zip(sources, wide, strict=True)]
    made = layers.add(node.name, op, *views)
    whole = node.outputs[0].shape
    assert whole is not None
    return layers.view(made, kept_shape(whole[1:]))
