"""Nodes that compare, choose, raise and divide: functions of several values at one place."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    instead,
    kept_shape,
    known,
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.choices import chosen
from accelsim.frontend.onnx.rules.functions import LARGEST, clipped
from accelsim.frontend.onnx.rules.joins import divide, enlarged, multiply
from accelsim.network.ops import (
    Abs,
    Equal,
    Larger,
    Less,
    LessOrEqual,
    Line,
    NotEqual,
    Or,
    Pointwise,
    Power,
    Quotient,
    Remainder,
    ScaleShift,
    Shape,
    Smaller,
    ToPower,
    Where,
)

Operand = Value | Constant | None


def pointwise(
    node: Node, layers: Layers, kind: type[Pointwise], places: Sequence[int], **keys: bool
) -> str:
    """A function of a node's inputs at `places`, of which one at least is computed."""
    operands = [node.inputs[place] if place < len(node.inputs) else None for place in places]
    if not any(isinstance(each, Value) for each in operands):
        raise Refused("of constants, which are not computed here")
    numbers = tuple(_number(each) for each in operands)
    read = [
        _array(node, layers, place, each)
        if isinstance(each, Constant)
        else tensor(node, place, layers)
        for place, each, number in zip(places, operands, numbers, strict=True)
        if number is None
    ]
    given = {"numbers": numbers} if any(each is not None for each in numbers) else {}
    op = checked(kind, **given, **keys)
    return _as_output(node, layers, layers.add(node.name, op, *layers.aligned(*read)))


def _number(operand: Operand) -> float | None:
    """A constant of one number, of the finite ones that which is nearest."""
    if not isinstance(operand, Constant) or math.prod(operand.shape) != 1:
        return None
    if operand.known is None:
        raise Refused("with a number that is not known")
    number = float(operand.known.reshape(-1)[0])
    if math.isnan(number):
        raise Refused("with a number that is none")
    return min(max(number, -LARGEST), LARGEST)


def _array(node: Node, layers: Layers, place: int, found: Constant) -> tuple[str, Shape]:
    """A constant of several numbers as a layer: 0 x + c of something that is computed."""
    at = next(at for at, each in enumerate(node.inputs) if isinstance(each, Value))
    shape, wide = enlarged(node, layers, *tensor(node, at, layers))
    own = spread(found, len(shape))
    if len(own) > len(shape):
        raise Refused(f"its constant has shape {list(found.shape)} across the batch")
    learned = {"gamma": Learned(0.0), "beta": Learned(found).plus(0.0)}
    name = f"{node.name}/constant{place}"
    return layers.add(name, checked(ScaleShift, shape=own), wide, learned=learned), shape


def _as_output(node: Node, layers: Layers, made: str) -> str:
    return layers.view(made, kept_shape((node.outputs[0].shape or ())[1:]))


def compared(kind: type[Pointwise], *places: int) -> Callable[[Node, Layers], str]:
    """The rule of a comparison of the inputs at `places`."""

    def rule(node: Node, layers: Layers) -> str:
        """1 where two values are so, else 0."""
        return pointwise(node, layers, kind, places)

    return rule


less, less_or_equal = compared(Less, 0, 1), compared(LessOrEqual, 0, 1)
greater, greater_or_equal = compared(Less, 1, 0), compared(LessOrEqual, 1, 0)
equal, either, one_of_two = compared(Equal, 0, 1), compared(Or, 0, 1), compared(NotEqual, 0, 1)
both = multiply
is_nan = compared(NotEqual, 0, 0)


def negation(node: Node, layers: Layers) -> str:
    """1 less a truth."""
    return layers.add(node.name, Line(factor=-1.0, term=1.0), tensor(node, 0, layers)[0])


def is_infinite(node: Node, layers: Layers) -> str:
    """Beyond the largest number of float32, on either side or one."""
    source, _ = tensor(node, 0, layers)
    above, below = (node.attributes.get(f"detect_{each}", 1) for each in ("positive", "negative"))
    if above and below:
        source = layers.add(f"{node.name}/size", Abs(), source)
    elif not (above or below):
        raise Refused("of no side")
    numbers = (LARGEST, None) if above else (None, -LARGEST)
    return layers.add(node.name, Less(numbers=numbers), source)


def where(node: Node, layers: Layers) -> str:
    """The second where the first is true, else the third."""
    if isinstance(node.inputs[0], Constant):
        return chosen(node, layers)
    return pointwise(node, layers, Where, (0, 1, 2))


def extreme(kind: type[Larger | Smaller], low: bool) -> Callable[[Node, Layers], str]:
    """The rule of Max, or Min."""

    def rule(node: Node, layers: Layers) -> str:
        """One after another: what is computed first, then constants; one number is a bound."""
        places = [at for at, each in enumerate(node.inputs) if isinstance(each, Value)]
        if not places:
            raise Refused("of constants, which are not computed here")
        made, shape = tensor(node, places[0], layers)
        others = [tensor(node, place, layers) for place in places[1:]]
        bounds = [_number(each) for each in node.inputs]
        for place, (each, bound) in enumerate(zip(node.inputs, bounds, strict=True)):
            if isinstance(each, Constant) and bound is None:
                others.append(_array(node, layers, place, each))
        for bound in (each for each in bounds if each is not None):
            ends = (bound, math.inf) if low else (-math.inf, bound)
            name = f"{node.name}/bound" if others else node.name
            made = clipped(layers, name, made, *ends)
        for other in others:
            made = layers.add(node.name, kind(), *layers.aligned((made, shape), other))
            shape = np.broadcast_shapes(shape, other[1])
        return _as_output(node, layers, made)

    return rule


larger, smaller = extreme(Larger, low=True), extreme(Smaller, low=False)


def power(node: Node, layers: Layers) -> str:
    """To a power; to a constant one it is a function of one value."""
    base, exponent = node.inputs[:2]
    number = _number(exponent) if isinstance(base, Value) else None
    if number is None:
        return pointwise(node, layers, ToPower, (0, 1))
    source, shape = tensor(node, 0, layers)
    shape, wide = enlarged(node, layers, source, shape)
    return _as_output(node, layers, layers.add(node.name, Power(exponent=number), wide))


def remainder(node: Node, layers: Layers) -> str:
    """What a division leaves, with the sign of the divisor, or of what is divided (fmod)."""
    return pointwise(
        node, layers, Remainder, (0, 1), truncated=bool(node.attributes.get("fmod", 0))
    )


def above_threshold(node: Node, layers: Layers) -> str:
    """x where it is above alpha, else 0."""
    source, _ = tensor(node, 0, layers)
    alpha = float(node.attributes.get("alpha", 1.0))
    above = layers.add(f"{node.name}/above", Less(numbers=(alpha, None)), source)
    return layers.add(node.name, Where(numbers=(None, None, 0.0)), above, source)


def shrink(node: Node, layers: Layers) -> str:
    """Nearer to zero by a bias; zero where it is no further than lambda."""
    limit, bias = float(node.attributes.get("lambd", 0.5)), float(node.attributes.get("bias", 0.0))
    source, _ = tensor(node, 0, layers)
    above = layers.add(f"{node.name}/above", Less(numbers=(limit, None)), source)
    below = layers.add(f"{node.name}/below", Less(numbers=(None, -limit)), source)
    less, more = (
        layers.add(f"{node.name}/moved", checked(Line, term=term), source) for term in (-bias, bias)
    )
    inner = layers.add(f"{node.name}/inner", Where(numbers=(None, None, 0.0)), below, more)
    return layers.add(node.name, Where(), above, less, inner)


def shifted(node: Node, layers: Layers) -> str:
    """Bits to the left, those beyond the type lost, or to the right: by a power of two."""
    bits, shift = _BITS.get(node.outputs[0].element, 0), node.inputs[1]
    if not bits:
        raise Refused("of a type that is no whole number without a sign")
    if isinstance(shift, Constant):
        powers = 2.0 ** known(shift, "shift").astype(np.float32)
        pair = replace(node, inputs=(node.inputs[0], replace(shift, source=Known(powers))))
    else:
        power = ToPower(numbers=(2.0, None))
        made = layers.add(f"{node.name}/power", power, tensor(node, 1, layers)[0])
        pair = instead(node, 1, made, layers)
    if node.attributes.get("direction", "LEFT") != "LEFT":
        return pointwise(pair, layers, Quotient, (0, 1))
    wide = multiply(replace(pair, name=f"{node.name}/wide"), layers)
    return layers.add(node.name, Remainder(numbers=(None, 2.0**bits)), wide)


_BITS = {2: 8, 4: 16, 12: 32, 13: 64}
"""Of onnx's types of whole numbers without a sign."""
_WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
"""onnx's types of whole numbers."""


def quotient(node: Node, layers: Layers) -> str:
    """Of reals as a product; of whole numbers without the fraction."""
    if node.outputs[0].element in _WHOLE:
        return pointwise(node, layers, Quotient, (0, 1))
    return divide(node, layers)
