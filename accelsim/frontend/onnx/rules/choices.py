"""Nodes that take what a constant says of two tensors."""

import math

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
from accelsim.frontend.onnx.rules.functions import LARGEST
from accelsim.frontend.onnx.rules.joins import enlarged
from accelsim.network.ops import Add, ScaleShift


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
        fill = np.where(shown[other], np.clip(values, -LARGEST, LARGEST), 0.0)
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
    return Constant(name=name, shape=shape, element=1, source=Known(whole))
