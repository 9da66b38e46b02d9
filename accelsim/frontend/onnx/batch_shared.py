"""Constants that a file of several images at a time has once for each, the same every time."""

from collections.abc import Callable
from dataclasses import replace

from accelsim.frontend.onnx.batch_rules import KEEPS, Found
from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.place import Place

Values = Callable[[Constant], Array]
"""The values of a constant."""
_TAKES = frozenset((*KEEPS, "MatMul", "Concat"))
"""Operators beside whose images a constant may stand, that reads as one of them does."""


def of_one_image(node: Node, found: Found, batch: int, values: Values) -> Node:
    """The node with what its constants say of each of `batch` images said once.

    The axis of the batch is 1 in them then, or what is in one axis with it.
    """
    if batch < 2 or node.op not in _TAKES or node.domain or not found:
        return node
    value, place = found[0]
    if place.axis is None or value.shape is None:
        return node
    behind = len(value.shape) - place.axis
    inputs = (
        _once(each, len(each.shape) - behind, batch, place, values)
        if isinstance(each, Constant)
        else each
        for each in node.inputs
    )
    return replace(node, inputs=tuple(inputs))


def _once(constant: Constant, axis: int, batch: int, place: Place, values: Values) -> Constant:
    """A constant with one image along an axis; itself where images differ, or there are none."""
    shape = constant.shape
    if axis < 0 or shape[axis] != batch * place.beside:
        return constant
    found = values(constant)
    apart = found.reshape((*shape[:axis], place.outer, batch, place.inner, *shape[axis + 1 :]))
    first = apart.take(range(1), axis + 1)
    if (apart != first).any():
        return constant
    made = (*shape[:axis], place.beside, *shape[axis + 1 :])
    return replace(constant, shape=made, source=Known(first.reshape(made)))
