"""The batch first in every tensor of a graph, wherever the file has it.

A recurrent node takes (times, batch, features) unless its `layout` is 1, and transposes may move
the batch for a while. Each node between is given the axes that it then has; one that is not known
here is refused.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.coverage import WHY
from accelsim.frontend.onnx.graph import RECURRENT, Graph, Node, Value
from accelsim.network.ops import Shape

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


@dataclass(frozen=True, slots=True)
class Place:
    """Which axis of a tensor of the file is the batch, or the batch and `inner` others in one.

    Ours has the batch first, and the others, if there are any, where the axis was.
    """

    axis: int = 0
    inner: int = 1

    def ours(self, shape: Shape) -> Shape:
        """The shape as it is here."""
        others = (self.inner,) * (self.inner > 1)
        whole = shape[self.axis] // self.inner
        return (whole, *shape[: self.axis], *others, *shape[self.axis + 1 :])


FIRST = Place()
Found = Sequence[tuple[Value, Place]]
"""What a node reads, and where it has the batch."""
Moved = tuple[Node, Place]
"""A node as it is with the batch first, and where the file has the batch of what it makes."""


class _Misfit(Exception):
    """Why a node cannot have the batch first."""


def with_batch_first(graph: Graph) -> Graph:
    """The graph with the batch as the first axis of all that is computed.

    Ensures: nodes that neither read nor make a tensor with the batch elsewhere stay as they are.
    """
    places = {name: Place(axis) for name, axis in graph.batch_axes.items()}
    values = {each.name: _moved(each, places.get(each.name, FIRST)) for each in graph.inputs}
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
    ends = (*(each.name for each in graph.inputs), *graph.outputs)
    last = {name: places.get(name, FIRST).axis for name in ends}
    return replace(
        graph,
        inputs=tuple(values[each.name] for each in graph.inputs),
        nodes=tuple(nodes),
        batch_axes={name: axis for name, axis in last.items() if axis},
    )


def _place(node: Node, at: int, place: Place) -> Place:
    """The place of an output; that of all times of a recurrent node is one axis further."""
    every = node.attributes.get(MADE, ("",) * (at + 1))[at] == "Y"
    return Place(place.axis + 1) if every and place.axis else place


def _moved(value: Value, place: Place) -> Value:
    if value.shape is None or place == FIRST:
        return value
    return replace(value, shape=place.ours(value.shape))


def _with_batch_first(node: Node, places: Mapping[str, Place], read: set[str]) -> Moved:
    """A node, or the same refused."""
    read_ = [each for each in node.inputs if isinstance(each, Value)]
    found = [(each, places.get(each.name, FIRST)) for each in read_]
    recurrent = node.op in RECURRENT and not node.domain
    away = any(place != FIRST for _, place in found)
    if not (recurrent or away or (node.op == "Transpose" and found)) or node.domain:
        return (_refused(node, _where(found)) if away else node), FIRST
    try:
        if recurrent:
            return _recurrent(node, found, read)
        rule = _RULES.get(node.op)
        apart = all(place.inner == 1 for _, place in found)
        if (
            rule is None
            or (rule not in _TOGETHER and not apart)
            or any(each.shape is None for each, _ in found)
        ):
            raise _Misfit(_where(found))
        return rule(node, found)
    except _Misfit as misfit:
        return _refused(node, str(misfit)), FIRST


def _where(found: Found) -> str:
    value, place = next((each for each in found if each[1] != FIRST), found[0])
    return f"{value.name!r} has the batch as axis {place.axis}, which only some operators can have"


def _refused(node: Node, reason: str) -> Node:
    return replace(node, attributes={**node.attributes, WHY: reason})


# --- One rule per kind of operator ----------------------------------------------------------------


def _recurrent(node: Node, found: Found, read: set[str]) -> Moved:
    """With layout 1, and only those outputs that are read."""
    place = Place(0 if node.attributes.get("layout") else 1)
    states = [node.inputs[at] for at in _STATES if at < len(node.inputs)]
    wrong = [value.name for value, axis in found if value in states and axis != place]
    if wrong:
        raise _Misfit(f"{wrong[0]!r} has its batch not as axis {place.axis}, as this layout says")
    pairs = zip(_OUTPUTS, node.outputs, strict=False)
    made = [(name, value) for name, value in pairs if value.name in read]
    if not made:
        raise _Misfit("none of its outputs is read")
    attributes = {**node.attributes, MADE: tuple(name for name, _ in made)}
    outputs = tuple(value for _, value in made)
    return replace(node, attributes=attributes, outputs=outputs), place


def _kept(node: Node, found: Found) -> Moved:
    """The same; constants have no axis where the batch goes past."""
    (value, place), *others = found
    rank = len(value.shape or ())
    if any(axis != place or len(each.shape or ()) != rank for each, axis in others):
        raise _Misfit("its operands have the batch in different places")
    for each in node.inputs:
        if isinstance(each, Constant):
            ahead = each.shape[: max(len(each.shape) - (rank - place.axis - 1), 0)]
            if math.prod(ahead) != 1:
                raise _Misfit(f"its constant has shape {list(each.shape)} across the batch")
    return node, place


def _transpose(node: Node, found: Found) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    order = [axis % rank for axis in node.attributes.get("perm", range(rank)[::-1])]
    after = order.index(place.axis)
    if place.inner > 1:
        moved = [0, *(axis + 1 for axis in order)]
    else:
        moved = [_axis_of(axis, place.axis) for axis in (place.axis, *order) if axis != place.axis]
        moved.insert(0, 0)
    attributes = {**node.attributes, "perm": moved}
    return replace(node, attributes=attributes), Place(after, place.inner)


def _same(node: Node, found: Found) -> Moved:
    """Another shape, of which what lies before the batch is no less and no more."""
    value, place = found[0]
    shape, made = value.shape or (), node.outputs[0].shape or ()
    batch, ahead = shape[place.axis] // place.inner, math.prod(shape[: place.axis])
    fits = [
        Place(at, size // batch)
        for at, size in enumerate(made)
        if size % batch == 0 and math.prod(made[:at]) == ahead
    ]
    if not fits:
        raise _Misfit(f"makes {list(made)} of {list(shape)}, whose batch is axis {place.axis}")
    return replace(node, inputs=node.inputs[:1]), min(fits, key=lambda each: each.inner > 1)


def _along(node: Node, found: Found) -> Moved:
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
    if place.inner > 1:
        if node.op not in _DEFAULTS or axis <= place.axis:
            raise _Misfit(_where(found))
        return replace(node, attributes={**node.attributes, "axis": axis + 1}), place
    moved = replace(node, attributes={**node.attributes, "axis": _axis_of(axis, place.axis)})
    if "Normalization" in node.op and axis <= place.axis:
        raise _Misfit("over the batch")
    second = node.inputs[1] if len(node.inputs) > 1 else None
    drops = node.op == "Gather" and second is not None and second.shape == ()
    return moved, Place(place.axis - (drops and axis < place.axis))


def _looked_up(node: Node) -> Node:
    """Rows of a constant table: the axes of their numbers come first."""
    if node.op != "Gather" or node.attributes.get("axis", 0):
        raise _Misfit("its first operand is constant")
    return node


def _sliced(node: Node, found: Found) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    starts = node.inputs[1] if len(node.inputs) > 1 else None
    if not isinstance(starts, Constant):
        raise _Misfit(_where(found))
    axes = _numbers(node, 3, range(math.prod(starts.shape)))
    moved = _constant(node, [_axis_of(axis % rank, place.axis) for axis in axes])
    inputs = (*node.inputs, None)[:3] if len(node.inputs) < 4 else node.inputs[:3]
    return replace(node, inputs=(*inputs, moved, *node.inputs[4:])), place


def _reduced(node: Node, found: Found) -> Moved:
    ((value, place),) = found
    rank = len(value.shape or ())
    said = [axis % rank for axis in _numbers(node, 1, node.attributes.get("axes", range(rank)))]
    moved = [_axis_of(axis, place.axis) for axis in said]
    attributes = {name: each for name, each in node.attributes.items() if name != "axes"}
    inputs = node.inputs[:1]
    if "axes" in node.attributes:
        attributes["axes"] = moved
    else:
        inputs = (*inputs, _constant(node, moved))
    less = 0 if node.attributes.get("keepdims", 1) else sum(axis < place.axis for axis in said)
    return replace(node, inputs=inputs, attributes=attributes), Place(place.axis - less)


def _product(node: Node, found: Found) -> Moved:
    """Rows times a constant matrix, or matrices that both have the batch ahead of theirs.

    Of one image an axis may be the batch and what is summed, in one.
    """
    value, place = found[0]
    shape, made = value.shape or (), node.outputs[0].shape or ()
    behind = len(shape) - 1 - place.axis
    if len(found) == 2 and found[1][1] == place and behind > 1:
        return node, place
    if len(found) == 1 and node.inputs[0] is value and behind > 0:
        return node, place
    if len(found) == 1 and node.inputs[0] is value and shape[place.axis] == place.inner:
        return node, Place(place.axis, made[-1])
    raise _Misfit(_where(found))


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


_RULES: Mapping[str, Callable[[Node, Found], Moved]] = {
    **dict.fromkeys(_KEEPS, _kept),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(_REDUCES, _reduced),
    "Transpose": _transpose,
    "Slice": _sliced,
    **dict.fromkeys(("MatMul", "Gemm"), _product),
}
_TOGETHER = (_kept, _same, _along, _transpose, _product)
"""Rules that know of a batch that is one axis with others."""
