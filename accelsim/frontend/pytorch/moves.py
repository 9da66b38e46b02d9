"""What moves values, and what makes constants."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.pytorch.nodes import Nodes, Operand, Rule, Unknown, shape_of
from accelsim.frontend.pytorch.program import Array, Call


def identity(nodes: Nodes, call: Call) -> None:
    """The same values."""
    nodes.same(call, call.args[0])


def reshape(nodes: Nodes, call: Call) -> None:
    """The same values in another shape."""
    x = nodes.operand(call.args[0])
    if not _folded(nodes, call, x, lambda array: array.reshape(call.shape)):
        nodes.add("Reshape", call, [x])


def _folded(nodes: Nodes, call: Call, x: Operand, move: Callable[[Array], Array]) -> bool:
    """Whether what is moved is constant; then it is moved now."""
    if not isinstance(x, Constant) or x.known is None:
        return False
    moved = move(x.known)
    nodes.values[call.name] = Constant(
        name=call.name, shape=moved.shape, element=1, source=Known(moved), filled=x.filled
    )
    return True


def permuted(nodes: Nodes, call: Call) -> None:
    """Axes in another order."""
    x, rank = nodes.operand(call.args[0]), len(shape_of(nodes, call.args[0]))
    order = list(range(rank))
    if call.function == "permute":
        order = [int(axis) % rank for axis in call.args[1]]
    else:
        one, other = (int(axis) % rank for axis in (call.args[1:] or (0, rank - 1)))
        order[one], order[other] = order[other], order[one]
    if not _folded(nodes, call, x, lambda array: array.transpose(order)):
        nodes.add("Transpose", call, [x], perm=order)


def squares(op: str) -> Rule:
    """Channels as pixels of squares, or back: those of a square lie side by side."""

    def rule(nodes: Nodes, call: Call) -> None:
        size = int(call.arg(1, "upscale_factor" if op == "DepthToSpace" else "downscale_factor"))
        nodes.add(op, call, [nodes.operand(call.args[0])], blocksize=size, mode="CRD")

    return rule


def expand(nodes: Nodes, call: Call) -> None:
    """Axes of size 1 as often as the result has them."""
    x = nodes.operand(call.args[0])
    if x is not None and x.shape == call.shape:
        nodes.same(call, call.args[0])
    elif not _folded(nodes, call, x, lambda array: np.broadcast_to(array, call.shape)):
        nodes.add("Expand", call, [x])


def joined(nodes: Nodes, call: Call) -> None:
    """One behind the other, along an axis that is there or new."""
    axis, rank = int(call.arg(1, "dim", 0)), len(call.shape)
    parts = [nodes.operand(each) for each in call.args[0]]
    if call.function == "stack":
        shape = tuple(1 if at == axis % rank else size for at, size in enumerate(call.shape))
        parts = [
            nodes.add("Reshape", call, [part], f"{call.name}/{at}", shape=shape)
            for at, part in enumerate(parts)
        ]
    nodes.add("Concat", call, parts, axis=axis)


def sliced(nodes: Nodes, call: Call) -> None:
    """A part along an axis."""
    axis, start, stop, step = (
        call.arg(at, key, default)
        for at, (key, default) in enumerate(
            (("dim", 0), ("start", None), ("end", None), ("step", 1)), start=1
        )
    )
    _cut(nodes, call, call.args[0], int(axis), slice(start, stop, step))


def _cut(nodes: Nodes, call: Call, given: Any, axis: int, taken: slice) -> None:
    """A part along an axis."""
    x, shape = nodes.operand(given), shape_of(nodes, given)
    axis %= len(shape)
    taken = slice(*taken.indices(shape[axis]))
    where = (slice(None),) * axis + (taken,)
    if taken == slice(0, shape[axis], 1):
        nodes.same(call, given)
    elif not _folded(nodes, call, x, lambda array: array[where]):
        nodes.add("Slice", call, [x, *bounds(nodes, axis, taken)])


def bounds(nodes: Nodes, axis: int, taken: slice) -> list[Constant]:
    """What a Slice reads beside its tensor."""
    said = (taken.start, taken.stop, axis, taken.step)
    return [nodes.constant(np.asarray([each])) for each in said]


def select(nodes: Nodes, call: Call) -> None:
    """One place of an axis."""
    axis, place = int(call.args[1]), int(call.args[2])
    x = nodes.operand(call.args[0])
    if not _folded(nodes, call, x, lambda array: array.take(place, axis)):
        nodes.add("Gather", call, [x, nodes.constant(np.asarray(place))], axis=axis)


def several(nodes: Nodes, call: Call) -> None:
    """Parts, of which each is made when it is asked for."""
    nodes.several[call.name] = partial(_part, nodes, call)


def item(nodes: Nodes, call: Call) -> None:
    """One of several results, or the first of a function of which no other is known here."""
    made, place = call.args[0], int(call.args[1])
    if made.name in nodes.several:
        nodes.several[made.name](call, place)
    elif place:
        raise Unknown("only the first of its results is known here")
    else:
        nodes.same(call, made)


def _part(nodes: Nodes, whole: Call, call: Call, place: int) -> None:
    """One of the parts that a split makes."""
    axis = int(whole.arg(1 if whole.function == "unbind" else 2, "dim", 0))
    size = shape_of(nodes, whole.args[0])[axis]
    if whole.function == "unbind":
        index = nodes.constant(np.asarray(place))
        nodes.add("Gather", call, [nodes.operand(whole.args[0]), index], axis=axis)
        return
    how = whole.args[1]
    if isinstance(how, list):
        start, length = sum(how[:place]), how[place]
    else:
        length = -(-size // how) if whole.function == "chunk" else how
        start = place * length
    _cut(nodes, call, whole.args[0], axis, slice(start, start + length, 1))


def embedding(nodes: Nodes, call: Call) -> None:
    """Rows of a table."""
    table, places = (nodes.operand(each) for each in call.args[:2])
    if isinstance(places, Constant) and places.known is not None:
        rows = places.known.astype(np.int64)
        if _folded(nodes, call, table, lambda array: array[rows]):
            return
    nodes.add("Gather", call, [table, places], axis=0)


def arange(nodes: Nodes, call: Call) -> None:
    """Numbers in a row."""
    nodes.values[call.name] = nodes.constant(np.arange(*call.args), call.name)


def filled(value: float | None) -> Rule:
    """One number all over."""

    def rule(nodes: Nodes, call: Call) -> None:
        number = value if value is not None else call.arg(1, "fill_value")
        nodes.values[call.name] = nodes.constant(np.full(call.shape, number, np.float32), call.name)

    return rule


def resize(mode: str) -> Rule:
    """A feature map in another size."""

    def rule(nodes: Nodes, call: Call) -> None:
        if mode == "nearest":
            said = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        else:
            corners = bool(call.arg(2, "align_corners", False))
            said = {"coordinate_transformation_mode": "align_corners" if corners else "half_pixel"}
        nodes.add("Resize", call, [nodes.operand(call.args[0])], mode=mode, **said)

    return rule


def pad(nodes: Nodes, call: Call) -> None:
    """Torch says the last axis first, before and after."""
    rank, sides = len(call.shape), call.args[1]
    mode = call.arg(2, "mode", "constant") if call.function == "pad" else "constant"
    value = call.arg(3 if call.function == "pad" else 2, "value", 0.0)
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in modes:
        raise Unknown(f"in mode {mode}")
    before, after = [0] * rank, [0] * rank
    for at in range(len(sides) // 2):
        before[rank - 1 - at], after[rank - 1 - at] = sides[2 * at], sides[2 * at + 1]
    pads = [*before, *after]
    said: dict[str, Any] = {"pads": pads, "mode": modes[mode], "value": float(value or 0.0)}
    nodes.add("Pad", call, [nodes.operand(call.args[0])], **said)
