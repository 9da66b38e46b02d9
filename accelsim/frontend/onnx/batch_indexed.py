"""Rules of `batch_rules` for nodes that take or put values at places, or keep a triangle."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from accelsim.frontend.onnx.batch_rules import Found, Moved
from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.place import FIRST, NOWHERE, Misfit

EACH = "each"
"""Attribute of a node whose indices are of one image, and do not count images."""


def _indexed(node: Node, found: Found) -> Moved:
    """At places of leading axes, or of all: of one image, unless the batch is the first of them."""
    value, place = found[0]
    indices = node.inputs[1]
    if isinstance(indices, Value) or indices is None or place == FIRST:
        if all(each == FIRST for _, each in found):
            return node, FIRST
        raise Misfit("its indices are computed, or its operands have the batch in several places")
    depth = indices.shape[-1] if node.op.endswith("ND") else len(value.shape or ())
    if place.axis is not None and (place.axis < depth or place.beside > 1):
        raise Misfit("its indices count images")
    made = place
    if place.axis is not None:
        made = replace(place, axis=place.axis - depth + len(indices.shape) - 1)
    scatters = node.op.startswith("Scatter")
    if any(other != made for each, other in found if scatters and each == node.inputs[2]):
        raise Misfit("its operands have the batch in different places")
    if scatters and place.axis is not None and isinstance(node.inputs[0], Constant):
        raise Misfit("its first operand is constant")
    return replace(node, attributes={**node.attributes, EACH: 1}), place if scatters else made


def _triangle(node: Node, found: Found) -> Moved:
    """Of the last two axes, neither of them the batch."""
    value, place = found[0]
    if place.axis is not None and (place != FIRST or len(value.shape or ()) < 3):
        raise Misfit("its matrices have the batch as an axis, or it is not first")
    return node, place


def _one_hot(node: Node, found: Found) -> Moved:
    """Along a new axis, behind the batch."""
    value, place = found[0]
    if len(found) > 1 or value is not node.inputs[0] or place not in (FIRST, NOWHERE):
        raise Misfit("its depth or values are computed, or its operand has not the batch first")
    axis = int(node.attributes.get("axis", -1)) % (len(value.shape or ()) + 1)
    if place == FIRST and axis == 0:
        raise Misfit("over the batch")
    moved = axis if place == FIRST else axis + 1
    return replace(node, attributes={**node.attributes, "axis": moved}), place


RULES: Mapping[str, Callable[[Node, Found], Moved]] = {
    **dict.fromkeys(("GatherND", "ScatterND", "GatherElements", "ScatterElements"), _indexed),
    "Trilu": _triangle,
    "OneHot": _one_hot,
}
