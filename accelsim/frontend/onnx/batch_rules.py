"""One rule per kind of operator: the node as it is where the batch is first in all that it reads.

A rule is given a node of the file, and where each computed operand has the batch; it returns the
node with the axes of ours, and where the file has the batch of what the node makes. It raises
Misfit where the node would mix images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.place import FIRST, NOWHERE, Misfit, Place
from accelsim.network.ops import Shape

MADE = "made"
"""Attribute of a recurrent node: which of its outputs are there."""
CHANNELS = "channels"
"""Attribute of a batch norm: which axis its channels are, if not the one behind the batch."""
_OUTPUTS = ("Y", "Y_h", "Y_c")
_STATES = (0, 5, 6)
"""Inputs of a recurrent node that have the batch: X, initial_h, initial_c."""
KEEPS = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu"),
    *("Selu", "Softplus", "Gelu", "Swish", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Abs"),
    *("Cast", "Identity", "Dropout", "Add", "Sub", "Mul", "Div", "Sum", "Mean", "Pow", "Max"),
    *("Min", "Where", "Sin", "Cos", "Mish", "Softsign", "Celu", "IsNaN", "Greater"),
    *("Less", "LessOrEqual", "GreaterOrEqual", "Equal", "And", "Or", "Xor", "Not", "IsInf", "Mod"),
    *("Floor", "Ceil", "Round", "Sign", "Shrink", "BitShift", "ThresholdedRelu"),
)
"""Operators whose results lie as what they read does."""
_SAME = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
_SOFTMAX = ("Softmax", "LogSoftmax", "Hardmax")
_ALONG = (*_SOFTMAX, "LpNormalization", "Concat", "Split", "Gather", "TopK")
"""Operators along an attribute `axis`."""
_FROM = ("LayerNormalization", "RMSNormalization")
"""Operators over an attribute `axis` and all behind it."""
_DEFAULTS = dict.fromkeys((*_SOFTMAX, "LpNormalization", "TopK"), -1)
_SINGLE_AXIS = 13
"""The opset from which softmax is over one axis, not over all from that on."""
_REDUCES = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"),
)


Found = Sequence[tuple[Value, Place]]
"""What a node reads, and where it has the batch."""
Moved = tuple[Node, Place]
"""A node as it is with the batch first, and where the file has the batch of what it makes."""


def recurrent(node: Node, found: Found, read: set[str]) -> Moved:
    """With layout 1, and only those outputs that are read."""
    place = Place(0 if node.attributes.get("layout") else 1)
    states = [node.inputs[at] for at in _STATES if at < len(node.inputs)]
    wrong = [value.name for value, axis in found if value in states and axis != place]
    if wrong:
        raise Misfit(f"{wrong[0]!r} has its batch not as axis {place.axis}, as this layout says")
    pairs = zip(_OUTPUTS, node.outputs, strict=False)
    made = [(name, value) for name, value in pairs if value.name in read]
    if not made:
        raise Misfit("none of its outputs is read")
    attributes = {**node.attributes, MADE: tuple(name for name, _ in made)}
    outputs = tuple(value for _, value in made)
    return replace(node, attributes=attributes, outputs=outputs), place


def _together(node: Node, found: Found) -> tuple[Place, int]:
    """The place and rank of all operands."""
    place, rank = found[0][1], len(found[0][0].shape or ())
    if any(other != place for _, other in found):
        raise Misfit("its operands have the batch in different places")
    ranks = {len(each.shape or ()) for each, _ in found}
    if place.axis is not None and place.axis >= rank:
        raise Misfit("its operand has no axis that is the batch")
    if place.axis is not None and len(ranks) > 1:
        raise Misfit("its operands have not as many axes")
    return place, rank


def _kept(node: Node, found: Found) -> Moved:
    """The same; constants lose the axis of one where the batch goes past."""
    place, rank = _together(node, found)
    if place.axis is None:
        return node, place
    wide = max(rank, *(len(each.shape or ()) for each in node.inputs if each))
    place = replace(place, axis=place.axis + wide - rank)
    inputs = tuple(
        _beside(each, wide, place) if isinstance(each, Constant) else each for each in node.inputs
    )
    return replace(node, inputs=inputs), place


def _beside(constant: Constant, rank: int, place: Place) -> Constant:
    """A constant beside what has `rank` axes, without the axis of the batch."""
    assert place.axis is not None
    at = place.axis - (rank - len(constant.shape))
    if at < 0:
        return constant
    if constant.shape[at] not in (1, place.beside):
        raise Misfit(f"its constant has shape {list(constant.shape)} across the batch")
    if place.axis == 0 or place.beside > 1:
        return constant
    shape = (*constant.shape[:at], *constant.shape[at + 1 :])
    known = constant.known
    source = constant.source if known is None else Known(known.reshape(shape))
    return replace(constant, shape=shape, source=source)


def _transpose(node: Node, found: Found) -> Moved:
    value, place = found[0]
    rank = len(value.shape or ())
    order = [axis % rank for axis in node.attributes.get("perm", range(rank)[::-1])]
    if place.axis is None or place.beside > 1:
        moved = [0, *(axis + 1 for axis in order)]
    else:
        moved = [0, *(place.axis_of(axis) for axis in order if axis != place.axis)]
    node = replace(node, attributes={**node.attributes, "perm": moved})
    if place.axis is None:
        return node, FIRST if (node.outputs[0].shape or ())[:1] == (1,) else NOWHERE
    return node, replace(place, axis=order.index(place.axis))


def _same(node: Node, found: Found) -> Moved:
    """Another shape, of which what lies before the batch is no less and no more."""
    value, place = found[0]
    shape, made = value.shape or (), node.outputs[0].shape
    node = replace(node, inputs=node.inputs[:1])
    if made is None:
        raise Misfit("of a shape that is not known")
    if place.axis is None:
        return node, FIRST if made[:1] == (1,) else NOWHERE
    batch = shape[place.axis] // place.beside
    ahead = math.prod(shape[: place.axis]) * place.outer
    fits = [each for at in range(len(made)) if (each := _place_in(made, at, batch, ahead))]
    apart = [each for each in fits if each.beside == 1]
    if batch == 1 and not apart:
        return node, FIRST if made[:1] == (1,) else NOWHERE
    if not fits:
        raise Misfit(f"makes {list(made)} of {list(shape)}, whose batch is axis {place.axis}")
    return node, (apart or fits)[0]


def _place_in(made: Shape, axis: int, batch: int, ahead: int) -> Place | None:
    """The place of the batch if it is in an axis of a shape, `ahead` values before it."""
    outer, rest = divmod(ahead, math.prod(made[:axis]) or 1)
    if rest or not batch or not outer or made[axis] % (batch * outer):
        return None
    inner = made[axis] // (batch * outer)
    return Place(axis, inner, outer) if 1 in (inner, outer) else None


def _along(node: Node, found: Found) -> Moved:
    """Along another axis than the batch; all operands have that in one place."""
    place, rank = _together(node, found)
    as_many = len({len(each.shape or ()) for each, _ in found}) == 1
    if not as_many and (node.op != "Gather" or place != NOWHERE):
        raise Misfit("its operands have not as many axes")
    constant = any(isinstance(each, Constant) for each in node.inputs)
    if node.op == "Concat" and constant and place not in (FIRST, NOWHERE):
        raise Misfit("its operands have the batch in different places")
    if isinstance(node.inputs[0], Constant) and node.op == "Gather":
        return _looked_up(node), place
    old = node.op in _SOFTMAX and node.version < _SINGLE_AXIS
    if old:
        return _from(node, found)
    axis = int(node.attributes.get("axis", _DEFAULTS.get(node.op, 0))) % rank
    moved = replace(node, attributes={**node.attributes, "axis": place.axis_of(axis)})
    second = node.inputs[1] if len(node.inputs) > 1 else None
    if node.op == "Gather" and second is not None and len(second.shape or ()) != 1:
        return moved, _gathered(node, second.shape or (), axis, place)
    return moved, place


def _gathered(node: Node, indices: Shape, axis: int, place: Place) -> Place:
    """The place when the axis that is looked up along has become those of the indices."""
    if place.axis is None or axis > place.axis:
        return place
    return replace(place, axis=place.axis + len(indices) - 1)


def _looked_up(node: Node) -> Node:
    """Rows of a constant table: the axes of their numbers come first."""
    if node.attributes.get("axis", 0):
        raise Misfit("its first operand is constant")
    return node


def _from(node: Node, found: Found) -> Moved:
    """Over an axis and all behind it, the batch being before them."""
    place, rank = _together(node, found)
    default = 1 if node.op not in _FROM else -1
    axis = int(node.attributes.get("axis", default)) % rank
    if place.axis is not None and axis <= place.axis:
        raise Misfit("over the batch")
    if node.op not in _FROM and place.axis:
        raise Misfit("a softmax of all axes behind one, before opset 13")
    return replace(node, attributes={**node.attributes, "axis": place.axis_of(axis)}), place


def _sliced(node: Node, found: Found) -> Moved:
    value, place = found[0]
    shape = value.shape or ()
    if len(node.inputs) == 1:
        said = [node.attributes.get(name, ()) for name in ("starts", "ends")]
        given: Sequence[int] = node.attributes.get("axes", range(len(said[0])))
    else:
        said = [_numbers(node, at, ()) for at in (1, 2)]
        given = _numbers(node, 3, range(len(said[0])))
    axes = [axis % len(shape) for axis in given]
    whole = [
        at == place.axis and range(shape[at])[start:end] == range(shape[at])
        for at, start, end in zip(axes, *said, strict=True)
    ]
    moved = [0 if all_ else place.axis_of(at) for at, all_ in zip(axes, whole, strict=True)]
    if len(node.inputs) == 1:
        return replace(node, attributes={**node.attributes, "axes": moved}), place
    inputs = (*node.inputs, None)[:3] if len(node.inputs) < 4 else node.inputs[:3]
    return replace(node, inputs=(*inputs, _constant(node, moved), *node.inputs[4:])), place


def _reduced(node: Node, found: Found) -> Moved:
    value, place = found[0]
    rank = len(value.shape or ())
    given = _numbers(node, 1, node.attributes.get("axes", ()))
    if not given and node.attributes.get("noop_with_empty_axes"):
        return node, place
    said = [axis % rank for axis in given or range(rank)]
    moved = [place.axis_of(axis) for axis in said]
    attributes = {name: each for name, each in node.attributes.items() if name != "axes"}
    inputs = node.inputs[:1]
    if "axes" in node.attributes:
        attributes["axes"] = moved
    else:
        inputs = (*inputs, _constant(node, moved))
    after = place if node.attributes.get("keepdims", 1) else place.without(said)
    return replace(node, inputs=inputs, attributes=attributes), after


def _chosen(node: Node, found: Found) -> Moved:
    """Along an attribute `axis`, which goes or is kept."""
    place, rank = _together(node, found)
    axis = int(node.attributes.get("axis", 0)) % rank
    moved = replace(node, attributes={**node.attributes, "axis": place.axis_of(axis)})
    return moved, place if node.attributes.get("keepdims", 1) else place.without([axis])


def _summed_up(node: Node, found: Found) -> Moved:
    """Along an axis that is an operand."""
    place, rank = _together(node, found)
    (axis,) = _numbers(node, 1, ())
    moved = replace(_constant(node, [place.axis_of(axis % rank)]), shape=())
    return replace(node, inputs=(node.inputs[0], moved)), place


def _product(node: Node, found: Found) -> Moved:
    """Rows times a constant matrix, or matrices that both have the batch ahead of theirs."""
    if all(place == NOWHERE for _, place in found):
        return node, NOWHERE
    place, rank = _together(node, found)
    if place.axis is None:
        raise Misfit("its operands have the batch in different places")
    behind = rank - 1 - place.axis
    first, second = (isinstance(node.inputs[at], Value) for at in (0, 1))
    turned = bool(node.attributes.get("transA"))
    if behind > (1 if second else 0) and (not turned or (first and second)):
        return node, place
    raise Misfit("transA puts the batch behind" if turned else "over the batch")


def _padded(node: Node, found: Found) -> Moved:
    """With the axes that are padded."""
    place, rank = _together(node, found)
    if place.beside > 1:
        raise Misfit("over the batch")
    if place == FIRST:
        return node, place
    axes = [axis % rank for axis in _numbers(node, 3, range(rank))]
    pads = _numbers(node, 1, node.attributes.get("pads", ()))
    kept = [at for at, axis in enumerate(axes) if axis != place.axis]
    beyond = [each for at in set(range(len(axes))) - set(kept) for each in pads[at :: len(axes)]]
    if any(beyond):
        raise Misfit("over the batch")
    sides = [pads[at + side * len(axes)] for side in (0, 1) for at in kept]
    attributes = {name: each for name, each in node.attributes.items() if name != "pads"}
    value = node.inputs[2] if len(node.inputs) > 2 else None
    moved = _constant(node, [place.axis_of(axes[at]) for at in kept])
    inputs = (node.inputs[0], _constant(node, sides), value, moved)
    return replace(node, inputs=inputs, attributes=attributes), place


def _enlarged(node: Node, found: Found) -> Moved:
    """To the shape of the output, which has as many axes."""
    place, rank = _together(node, found)
    made = node.outputs[0].shape or ()
    if place.axis is None:
        return node, place
    shape = found[0][0].shape or ()
    if len(made) != rank or made[place.axis] != shape[place.axis]:
        raise Misfit("over the batch")
    return node, place


def _alone(node: Node, found: Found) -> Moved:
    """Of one image only: its result depends on all values."""
    value, place = found[0]
    if place.axis is not None and math.prod((value.shape or ())[place.axis : place.axis + 1]) > 1:
        raise Misfit("over the batch")
    return node, place


def _channels(node: Node, found: Found) -> Moved:
    """With the axis that the channels are here."""
    place = found[0][1]
    if place == FIRST:
        return node, place
    return replace(node, attributes={**node.attributes, CHANNELS: place.axis_of(1)}), place


def _coded(node: Node, found: Found) -> Moved:
    """As codes, or what they stand for, by one scale."""
    place, scale = found[0][1], node.inputs[1]
    if place != FIRST and (scale is None or math.prod(scale.shape or ()) != 1):
        raise Misfit("with several scales")
    return node, place


def _attention(node: Node, found: Found) -> Moved:
    """Heads one behind the other may have more axes before them."""
    place = found[0][1]
    ranks = {len(each.shape or ()) for each in node.inputs[:3] if each is not None}
    if any(other != place for _, other in found) or place not in (FIRST, NOWHERE):
        raise Misfit("its operands have the batch in different places")
    if place == NOWHERE and (ranks != {4} or len(found) < min(len(node.inputs), 3)):
        raise Misfit("of operands with too few axes")
    return node, place


def _rotary(node: Node, found: Found) -> Moved:
    """Of three axes, or four; here what is read of one image has one more."""
    place = found[0][1]
    if any(other != place for _, other in found) or place not in (FIRST, NOWHERE):
        raise Misfit("its operands have the batch in different places")
    return replace(
        node, attributes={**node.attributes, "rank": len(found[0][0].shape or ())}
    ), place


def _einsum(node: Node, found: Found) -> Moved:
    """With a name for the batch of one image."""
    place = found[0][1]
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if any(other != place for _, other in found) or place not in (FIRST, NOWHERE):
        raise Misfit("its operands have the batch in different places")
    if place == FIRST:
        pairs = zip(terms, node.inputs, strict=False)
        computed = [term[:1] for term, each in pairs if isinstance(each, Value)]
        if not arrow or any(first != right[:1] or not first for first in computed):
            raise Misfit("whose operands and output have not the batch first")
        return node, place
    if not arrow or "." in equation or "Z" in equation:
        raise Misfit("with an ellipsis, or without its output; name all axes")
    pairs = zip(terms, node.inputs, strict=False)
    ours = ["Z" * isinstance(each, Value) + term for term, each in pairs]
    moved = f"{','.join(ours)}->Z{right}"
    return replace(node, attributes={**node.attributes, "equation": moved}), place


def _numbers(node: Node, at: int, default: Sequence[int]) -> Sequence[int]:
    value = node.inputs[at] if at < len(node.inputs) else None
    if value is None:
        return default
    if not isinstance(value, Constant) or value.known is None:
        raise Misfit("its axes are not known")
    return [int(each) for each in value.known.reshape(-1)]


def _constant(node: Node, values: Sequence[int]) -> Constant:
    return Constant(
        name=f"{node.name}/axes",
        shape=(len(values),),
        element=7,
        source=Known(np.asarray(values, np.int64)),
    )


RULES: Mapping[str, Callable[[Node, Found], Moved]] = {
    **dict.fromkeys(KEEPS, _kept),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(_FROM, _from),
    **dict.fromkeys(_REDUCES, _reduced),
    **dict.fromkeys(("MatMul", "MatMulInteger", "Gemm", "FusedMatMul"), _product),
    "DynamicQuantizeLinear": _alone,
    **dict.fromkeys(("ArgMax", "ArgMin"), _chosen),
    "CumSum": _summed_up,
    "Transpose": _transpose,
    "Slice": _sliced,
    "Pad": _padded,
    **dict.fromkeys(("Expand", "Tile"), _enlarged),
    "BatchNormalization": _channels,
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _coded),
    "Einsum": _einsum,
    "Attention": _attention,
    "RotaryEmbedding": _rotary,
}
