"""The batch first in every tensor of a graph, wherever the file has it.

A recurrent node takes (times, batch, features) unless its `layout` is 1, and transposes may move
the batch for a while. Each node between is given the axes that it then has; one that is not known
here is refused.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.coverage import WHY
from accelsim.frontend.onnx.graph import RECURRENT, Graph, Node, Value

MADE = "made"
"""Attribute of a recurrent node: which of its outputs are there."""
_OUTPUTS = ("Y", "Y_h", "Y_c")
_STATES = (0, 5, 6)
"""Inputs of a recurrent node that have the batch: X, initial_h, initial_c."""
_KEEPS = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu"),
    *("Selu", "Softplus", "Gelu", "Swish", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Abs"),
    *("Cast", "Identity", "Dropout", "Add", "Sub", "Mul", "Div", "Sum", "Pow"),
)
"""Operators whose results lie as what they read does."""
_SAME = ("Reshape", "Squeeze", "Unsqueeze")
_ALONG = ("Softmax", "Concat", "Split", "Gather", "LayerNormalization", "RMSNormalization")
"""Operators with an attribute `axis`, and what it is where it is missing."""
_DEFAULTS = {"Softmax": -1, "LayerNormalization": -1, "RMSNormalization": -1}
_REDUCES = ("ReduceMean", "ReduceSum", "ReduceMax")

Moved = tuple[Node, int]
"""A node as it is with the batch first, and the axis that was the batch in what it makes."""


class _Misfit(Exception):
    """Why a node cannot have the batch first."""


def with_batch_first(graph: Graph) -> Graph:
    """The graph with the batch as the first axis of all that is computed.

    Ensures: nodes that neither read nor make a tensor with the batch elsewhere stay as they are.
    """
    places = dict(graph.batch_axes)
    values = {each.name: _moved(each, places.get(each.name, 0)) for each in graph.inputs}
    read = {*graph.outputs, *(each.name for node in graph.nodes for each in node.inputs if each)}
    nodes = []
    for node in graph.nodes:
        made, place = _with_batch_first(node, places, read)
        outputs = [_moved(each, _place(made, at, place)) for at, each in enumerate(made.outputs)]
        places |= {each.name: _place(made, at, place) for at, each in enumerate(outputs)}
        made = replace(made, outputs=tuple(outputs))
        inputs = (values.get(each.name, each) if each else None for each in made.inputs)
        nodes.append(replace(made, inputs=tuple(inputs)))
        values |= {each.name: each for each in made.outputs}
    last = {name: places[name] for name in (*values, *graph.outputs) if places.get(name)}
    ends = {*(each.name for each in graph.inputs), *graph.outputs}
    return replace(
        graph,
        inputs=tuple(values[each.name] for each in graph.inputs),
        nodes=tuple(nodes),
        batch_axes={name: place for name, place in last.items() if name in ends},
    )


def _place(node: Node, at: int, place: int) -> int:
    """The axis of an output that is the batch; all times of a recurrent node have one more."""
    return place + (place and node.attributes.get(MADE, ("",) * (at + 1))[at] == "Y")


def _moved(value: Value, place: int) -> Value:
    if value.shape is None or not place:
        return value
    return replace(value, shape=_batch_first(value.shape, place))


def _batch_first(axes: Sequence[Any], place: int) -> tuple[Any, ...]:
    return (axes[place], *axes[:place], *axes[place + 1 :])


def _with_batch_first(node: Node, places: Mapping[str, int], read: set[str]) -> Moved:
    """A node, or the same refused."""
    found = [(each, places.get(each.name, 0)) for each in node.inputs if isinstance(each, Value)]
    recurrent = node.op in RECURRENT and not node.domain
    away = any(place for _, place in found)
    if not (recurrent or away or (node.op == "Transpose" and found)) or node.domain:
        return (_refused(node, _where(found)), 0) if away else (node, 0)
    try:
        if recurrent:
            return _recurrent(node, found, read)
        rule = _RULES.get(node.op)
        if rule is None or any(each.shape is None for each, _ in found):
            raise _Misfit(_where(found))
        return rule(node, found)
    except _Misfit as misfit:
        return _refused(node, str(misfit)), 0


def _where(found: Sequence[tuple[Value, int]]) -> str:
    value, place = next(each for each in found if each[1])
    return f"{value.name!r} has the batch as axis {place}, which only some operators can have"


def _refused(node: Node, reason: str) -> Node:
    return replace(node, attributes={**node.attributes, WHY: reason})


# --- One rule per kind of operator ----------------------------------------------------------------


def _recurrent(node: Node, found: Sequence[tuple[Value, int]], read: set[str]) -> Moved:
    """With layout 1, and only those outputs that are read."""
    place = 0 if node.attributes.get("layout") else 1
    states = [node.inputs[at] for at in _STATES if at < len(node.inputs)]
    wrong = [value.name for value, axis in found if value in states and axis != place]
    if wrong:
        raise _Misfit(f"{wrong[0]!r} has its batch not as axis {place}, where this layout has it")
    pairs = zip(_OUTPUTS, node.outputs, strict=False)
    made = [(name, value) for name, value in pairs if value.name in read]
    if not made:
        raise _Misfit("none of its outputs is read")
    attributes = {**node.attributes, MADE: tuple(name for name, _ in made)}
    outputs = tuple(value for _, value in made)
    return replace(node, attributes=attributes, outputs=outputs), place


def _kept(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    """The same; constants have no axis where the batch goes past."""
    (value, place), *others = found
    rank = len(value.shape or ())
    if any(axis != place or len(each.shape or ()) != rank for each, axis in others):
        raise _Misfit("its operands have the batch in different places")
    for each in node.inputs:
        if isinstance(each, Constant):
            ahead = each.shape[: max(len(each.shape) - (rank - place - 1), 0)]
            if math.prod(ahead) != 1:
                raise _Misfit(f"its constant has shape {list(each.shape)} across the batch")
    return node, place


def _transpose(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    order = [axis % rank for axis in node.attributes.get("perm", range(rank)[::-1])]
    after = order.index(place)
    moved = [_axis_of(axis, place) for axis in _batch_first(order, after)]
    return replace(node, attributes={**node.attributes, "perm": moved}), after


def _same(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    """Another shape, of which what lies before the batch is no less and no more."""
    value, place = found[0]
    shape, made = value.shape or (), node.outputs[0].shape or ()
    ahead = math.prod(shape[:place])
    for after, size in enumerate(made):
        if size == shape[place] and math.prod(made[:after]) == ahead:
            return replace(node, inputs=node.inputs[:1]), after
    raise _Misfit(f"makes {list(made)} of {list(shape)}, whose batch is axis {place}")


def _along(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    """Along another axis; all operands have the batch in one place."""
    (value, place), *others = found
    rank = len(value.shape or ())
    constant = any(isinstance(each, Constant) for each in node.inputs)
    if any(axis != place for _, axis in others) or (node.op == "Concat" and constant):
        raise _Misfit("its operands have the batch in different places")
    if isinstance(node.inputs[0], Constant):
        return _looked_up(node), place
    if node.op == "Softmax" and node.version < 13:
        raise _Misfit("a softmax of all axes behind one, before opset 13")
    axis = int(node.attributes.get("axis", _DEFAULTS.get(node.op, 0))) % rank
    moved = replace(node, attributes={**node.attributes, "axis": _axis_of(axis, place)})
    if "Normalization" in node.op and axis <= place:
        raise _Misfit("over the batch")
    second = node.inputs[1] if len(node.inputs) > 1 else None
    drops = node.op == "Gather" and second is not None and second.shape == ()
    return moved, place - (drops and axis < place)


def _looked_up(node: Node) -> Node:
    """Rows of a constant table: the axes of their numbers come first."""
    if node.op != "Gather" or node.attributes.get("axis", 0):
        raise _Misfit("its first operand is constant")
    return node


def _sliced(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    starts = node.inputs[1] if len(node.inputs) > 1 else None
    if not isinstance(starts, Constant):
        raise _Misfit(_where(found))
    axes = _numbers(node, 3, range(math.prod(starts.shape)))
    moved = _constant(node, [_axis_of(axis % rank, place) for axis in axes])
    inputs = (*node.inputs, None)[:3] if len(node.inputs) < 4 else node.inputs[:3]
    return replace(node, inputs=(*inputs, moved, *node.inputs[4:])), place


def _reduced(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    said = [axis % rank for axis in _numbers(node, 1, node.attributes.get("axes", range(rank)))]
    moved = [_axis_of(axis, place) for axis in said]
    attributes = {name: each for name, each in node.attributes.items() if name != "axes"}
    inputs = node.inputs[:1]
    if "axes" in node.attributes:
        attributes["axes"] = moved
    else:
        inputs = (*inputs, _constant(node, moved))
    less = 0 if node.attributes.get("keepdims", 1) else sum(axis < place for axis in said)
    return replace(node, inputs=inputs, attributes=attributes), place - less


def _product(node: Node, found: Sequence[tuple[Value, int]]) -> Moved:
    """Rows times a constant matrix."""
    value, place = found[0]
    if len(found) > 1 or node.inputs[0] is not value or place == len(value.shape or ()) - 1:
        raise _Misfit(_where(found))
    return node, place


def _axis_of(axis: int, place: int) -> int:
    """An axis as it is when the one at `place` has come first."""
    return 0 if axis == place else axis + (axis < place)


def _numbers(node: Node, at: int, default: Sequence[int]) -> Sequence[int]:
    value = node.inputs[at] if at < len(node.inputs) else None
    if value is None:
        return default
    if not isinstance(value, Constant) or value.known is None:
        raise _Misfit("its axes are not known")
    return [int(each) for each in value.known.reshape(-1)]


def _constant(node: Node, values: Sequence[int]) -> Constant:
    return Constant(f"{node.name}/axes", (len(values),), 7, Known(np.asarray(values, np.int64)))


_RULES: Mapping[str, Callable[[Node, Sequence[tuple[Value, int]]], Moved]] = {
    **dict.fromkeys(_KEEPS, _kept),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(_REDUCES, _reduced),
    "Transpose": _transpose,
    "Slice": _sliced,
    "MatMul": _product,
}
