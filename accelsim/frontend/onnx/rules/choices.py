"""Nodes that take the larger, the smaller, or what a constant says, of two tensors."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    constant,
    known,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.functions import clipped, scaled
from accelsim.frontend.onnx.rules.joins import enlarged, line
from accelsim.network.ops import Add, Relu, ScaleShift, Shape

_LARGEST = float(np.finfo(np.float32).max)


def larger(node: Node, layers: Layers) -> str:
    """The largest: no less than a number, or y and what x has more."""
    return _extreme(node, layers, 1.0)


def smaller(node: Node, layers: Layers) -> str:
    """The smallest."""
    return _extreme(node, layers, -1.0)


def _extreme(node: Node, layers: Layers, sign: float) -> str:
    """One after another: what is computed first, then constants."""
    places = [at for at, each in enumerate(node.inputs) if isinstance(each, Value)]
    if not places:
        raise Refused("of constants, which are not computed here")
    made, shape = tensor(node, places[0], layers)
    for place in places[1:]:
        second, other = tensor(node, place, layers)
        made = _of_two(node, layers, layers.aligned((made, shape), (second, other)), sign)
        shape = np.broadcast_shapes(shape, other)
    for bound in (each for each in node.inputs if isinstance(each, Constant)):
        made, shape = _of_bound(node, layers, made, shape, bound, sign)
    return made


def _of_two(node: Node, layers: Layers, given: Sequence[str], sign: float) -> str:
    """y + relu(x - y), or y - relu(y - x)."""
    x = scaled(layers, f"{node.name}/x", given[0], sign, 0.0)
    y = scaled(layers, f"{node.name}/y", given[1], -sign, 0.0)
    more = layers.add(f"{node.name}/more", Add(), x, y)
    more = layers.add(f"{node.name}/relu", Relu(), more)
    more = scaled(layers, f"{node.name}/by", more, sign, 0.0)
    return layers.add(node.name, Add(), given[1], more)


def _of_bound(
    node: Node, layers: Layers, given: str, shape: Shape, bound: Constant, sign: float
) -> tuple[str, Shape]:
    """The same where y is constant."""
    values = known(bound, "bound").astype(np.float32)
    if values.size == 1:
        number = float(values.reshape(-1)[0])
        low, high = (number, math.inf) if sign > 0 else (-math.inf, number)
        return clipped(layers, node.name, given, low, high), shape
    done, wide = enlarged(node, layers, given, shape)
    less = replace(bound, source=Known(-sign * values))
    more = line(layers, f"{node.name}/more", done, wide, (sign, less))
    more = layers.add(f"{node.name}/relu", Relu(), more)
    return line(layers, node.name, done, more, (sign, bound)), done


def chosen(node: Node, layers: Layers) -> str:
    """Where a constant says so x, elsewhere y, of which one at least is computed."""
    condition = known(constant(node, 0, "condition"), "condition").astype(bool)
    shown = {1: condition, 2: ~condition}
    made = [_masked(node, layers, place, shown) for place in (1, 2) if _computed(node, place)]
    return made[0] if len(made) == 1 else layers.add(node.name, Add(), *made)


def _computed(node: Node, place: int) -> bool:
    return isinstance(node.inputs[place], Value)


def _masked(node: Node, layers: Layers, place: int, shown: dict[int, Array]) -> str:
    """One of the two where it is shown, and elsewhere the other if that is constant, or 0."""
    other = 3 - place
    fill = np.zeros(())
    if not _computed(node, other):
        values = known(constant(node, other, "other"), "other").astype(np.float64)
        fill = np.where(shown[other], np.clip(values, -_LARGEST, _LARGEST), 0.0)
    done, wide = enlarged(node, layers, *tensor(node, place, layers))
    shape = np.broadcast_shapes(shown[place].shape, fill.shape)
    if math.prod(shape[: max(len(shape) - len(done), 0)]) != 1:
        raise Refused(f"its condition has shape {list(shape)} across the batch")
    own = (*(1,) * (len(done) - len(shape)), *shape)[-len(done) :]
    learned = {
        key: Learned(_array(f"{node.name}/{key}", values, own))
        for key, values in (("gamma", shown[place]), ("beta", fill))
    }
    name = node.name if not _computed(node, other) else f"{node.name}/{'xy'[place - 1]}"
    return layers.add(name, checked(ScaleShift, shape=own), wide, learned=learned)


def _array(name: str, values: Array, shape: tuple[int, ...]) -> Constant:
    while values.ndim > len(shape):
        values = values[0]
    whole = np.ascontiguousarray(np.broadcast_to(values, shape), np.float32)
    return Constant(name, shape, 1, Known(whole))
