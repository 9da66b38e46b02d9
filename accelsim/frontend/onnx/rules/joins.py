"""Sums, products and concatenations; a constant in them joins what was learned before."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    kept_shape,
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.functions import apart, scaled
from accelsim.network.graph import LayerSpec
from accelsim.network.ops import (
    Add,
    BatchNorm,
    Conv,
    Dense,
    Expand,
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


def mean(node: Node, layers: Layers) -> str:
    """The mean of all inputs."""
    made = total(node, layers)
    return scaled(layers, f"{node.name}/mean", made, 1 / len(node.inputs), 0.0)


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
    made = _inverted(node, layers, np.reciprocal)
    if made is not None:
        return made
    divisor, shape = tensor(node, 1, layers)
    inverse = layers.add(f"{node.name}/inverse", Reciprocal(), divisor)
    if isinstance(node.inputs[0], Constant):
        wide, inverse = enlarged(node, layers, inverse, shape)
        return line(layers, node.name, wide, inverse, (node.inputs[0], 0.0))
    return layers.add(node.name, Mul(), *layers.aligned(tensor(node, 0, layers), (inverse, shape)))


def _difference(node: Node, layers: Layers) -> str:
    if isinstance(node.inputs[0], Constant):
        source, shape = tensor(node, 1, layers)
        wide, source = enlarged(node, layers, source, shape)
        return line(layers, node.name, wide, source, (-1.0, node.inputs[0]))
    first, second = (tensor(node, place, layers) for place in (0, 1))
    negated = scaled(layers, f"{node.name}/negated", second[0], -1.0, 0.0)
    return layers.add(node.name, Add(), *layers.aligned(first, (negated, second[1])))


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
    return layers.add(node.name, op, *layers.aligned(*sources))


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
    """x + c or x * c; None if neither is constant."""
    constants = [each for each in node.inputs if isinstance(each, Constant)]
    if not constants:
        return None
    if len(constants) == len(node.inputs):
        raise Refused("of constants, which are not computed here")
    (place,) = (at for at, each in enumerate(node.inputs) if isinstance(each, Value))
    found = replace(constants[0], filled=False)
    value = node.inputs[place]
    assert isinstance(value, Value)
    source, shape = tensor(node, place, layers)
    done, wide = enlarged(node, layers, source, shape)
    before = layers.made_beneath(value) if wide == source else None
    if before is not None and merged(layers, before, shape, found, plus):
        return source
    return line(layers, node.name, done, wide, (1.0, found) if plus else (found, 0.0))


def enlarged(node: Node, layers: Layers, source: str, shape: Shape) -> tuple[Shape, str]:
    """What is computed, as often as a constant beside it makes it."""
    done = (node.outputs[0].shape or ())[1:]
    if done == shape or not done:
        return shape, source
    if kept_shape(done) != done:
        raise Refused(f"its constant makes {list(shape)} larger")
    own = (*(1,) * (len(done) - len(shape)), *shape)
    wide = layers.view(source, own)
    if own != done:
        wide = layers.add(f"{node.name}/expanded", checked(Expand, shape=done), wide)
    return done, wide


Coefficient = Constant | float


def line(
    layers: Layers, name: str, shape: Shape, source: str, of: tuple[Coefficient, Coefficient]
) -> str:
    """factor * x + term, each a number or a constant of any shape that makes nothing larger."""
    slope, offset = map(_number, of)
    if slope is not None and offset is not None:
        return scaled(layers, name, source, slope, offset)
    factor, term = map(_said, of)
    (found,) = (each for each in (factor, term) if isinstance(each, Constant))
    plain = factor == 1.0 or term == 0.0
    if factor == 1.0 and len(shape) == 2 and _rows_of(found, shape):
        learned = {"weight": Learned(found).rows()}
        return layers.add(name, checked(Position, length=shape[0]), source, learned=learned)
    learned = {"gamma": Learned(factor), "beta": Learned(term)}
    if plain and len(shape) != 2 and _along(found, shape, 0):
        learned |= {"mean": Learned(0.0), "variance": Learned(1.0)}
        return layers.add(name, BatchNorm(epsilon=0.0), apart(layers, source), learned=learned)
    own = spread(found, len(shape))
    return layers.add(name, checked(ScaleShift, shape=own), source, learned=learned)


def _said(coefficient: Coefficient) -> Coefficient:
    """Beside what is computed one number all over is what is meant: nobody strips that."""
    if isinstance(coefficient, Constant):
        return replace(coefficient, filled=False)
    return coefficient


def _number(coefficient: Coefficient) -> float | None:
    """A constant of one number; None if it has more. Raises Refused for what is no number."""
    if isinstance(coefficient, float):
        return coefficient
    if math.prod(coefficient.shape) != 1:
        return None
    if coefficient.known is None:
        raise Refused("with a number that is not known")
    number = float(coefficient.known.reshape(-1)[0])
    if not math.isfinite(number):
        raise Refused(f"with {number}")
    return number


def _along(found: Constant, shape: Shape, axis: int) -> bool:
    """Whether a constant has one number for each place of an axis, and only along that."""
    if not shape:
        return False
    wanted = [1] * len(shape)
    wanted[axis] = shape[axis]
    return spread(found, len(shape)) == tuple(wanted)


def _rows_of(found: Constant, shape: Shape) -> bool:
    """Whether a constant has all of a matrix, or a row that is the same for all of its rows."""
    axes = found.shape
    while len(axes) > 1 and axes[0] == 1:
        axes = axes[1:]
    return axes in (shape, shape[1:])


def merged(layers: Layers, spec: LayerSpec, shape: Shape, found: Constant, plus: bool) -> bool:
    """Put the constant into what the layer before has learned, if it is linear.

    `shape` is that in which the layer's values are read.
    """
    op, name, learned = spec.op, spec.name, layers.learned[spec.name]
    single, own = math.prod(found.shape) == 1, layers.shapes[spec.name]
    if isinstance(op, MatMul) and not plus and single and found.known is not None:
        scale = op.scale * float(found.known.reshape(-1)[0])
        layers.change(name, replace(op, scale=scale), learned)
        return True
    axis = -1 if isinstance(op, Dense) else 0
    fits = bool(shape) and own[axis] == shape[axis] and _along(found, shape, axis)
    if not isinstance(op, (Conv, Dense, BatchNorm)) or not (single or fits):
        return False
    offset, factor = ("beta", "gamma") if isinstance(op, BatchNorm) else ("bias", "weight")
    if factor not in learned or name in layers.codes or name in layers.meanings:
        return False
    changed = dict(learned)
    if plus:
        changed[offset] = learned[offset].plus(found) if offset in learned else Learned(found)
    else:
        changed |= {each: learned[each].times(found) for each in changed.keys() & {offset, factor}}
    own_op = op if isinstance(op, BatchNorm) else replace(op, bias=offset in changed)
    layers.change(name, own_op, changed)
    return True
