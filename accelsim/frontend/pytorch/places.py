"""Values at places: shifted round, backwards, and at indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Value
from accelsim.frontend.pytorch.moves import bounds
from accelsim.frontend.pytorch.nodes import Nodes, Operand, Unknown, many, shape_of
from accelsim.frontend.pytorch.program import Array, Call
from accelsim.network.ops import Shape


def roll(nodes: Nodes, call: Call) -> None:
    """Along axes, what leaves on one side comes in on the other."""
    shifts, axes = call.arg(1, "shifts"), call.arg(2, "dims", [])
    if not axes:
        raise Unknown("over all axes as one, the batch too")
    x, shape = nodes.operand(call.args[0]), call.shape
    for at, axis in enumerate(axes):
        size = shape[axis]
        cut = -int(many(shifts, len(axes))[at]) % size
        if cut:
            parts = [
                _part(nodes, call, x, axis, side, f"{call.name}/{at}/{name}")
                for name, side in (("last", slice(cut, size)), ("first", slice(0, cut)))
            ]
            x = nodes.add("Concat", call, parts, f"{call.name}/{at}", axis=axis)
    nodes.add("Identity", call, [x])


def flip(nodes: Nodes, call: Call) -> None:
    """Axes backwards."""
    x, shape = nodes.operand(call.args[0]), call.shape
    for axis in call.arg(1, "dims"):
        back = slice(shape[axis] - 1, -shape[axis] - 1, -1)
        said = bounds(nodes, axis, back)
        x = nodes.add("Slice", call, [x, *said], f"{call.name}/{axis}")
    nodes.add("Identity", call, [x])


def _part(nodes: Nodes, call: Call, x: Operand, axis: int, side: slice, name: str) -> Value:
    """What lies on one side of a cut."""
    axis %= len(call.shape)
    sizes = (*call.shape[:axis], side.stop - side.start, *call.shape[axis + 1 :])
    taken = slice(side.start, side.stop, 1)
    return nodes.add("Slice", call, [x, *bounds(nodes, axis, taken)], name, shape=sizes)


def index_select(nodes: Nodes, call: Call) -> None:
    """Whole places of an axis."""
    axis, places = int(call.arg(1, "dim")), nodes.operand(call.arg(2, "index"))
    nodes.add("Gather", call, [nodes.operand(call.args[0]), places], axis=axis)


def gather(nodes: Nodes, call: Call) -> None:
    """One value for each index, along an axis."""
    axis, places = int(call.arg(1, "dim")), nodes.operand(call.arg(2, "index"))
    nodes.add("GatherElements", call, [nodes.operand(call.args[0]), places], axis=axis)


def index(nodes: Nodes, call: Call) -> None:
    """Places of one axis, or constant ones of axes that lie side by side, which become one."""
    said = call.args[1]
    axes = [axis for axis, each in enumerate(said) if each is not None]
    places = [nodes.operand(said[axis]) for axis in axes]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise Unknown("of axes that do not lie side by side")
    x, shape = nodes.operand(call.args[0]), shape_of(nodes, call.args[0])
    if len(axes) == 1:
        _refuse_truths(places[0])
        nodes.add("Gather", call, [x, places[0]], axis=axes[0])
        return
    flat = _in_first(places) or nodes.constant(_as_one(places, [shape[axis] for axis in axes]))
    wide = (*shape[: axes[0]], int(np.prod([shape[axis] for axis in axes])), *shape[axes[-1] + 1 :])
    joined = nodes.add("Reshape", call, [x], f"{call.name}/joined", shape=wide)
    nodes.add("Gather", call, [joined, flat], axis=axes[0])


def _in_first(places: Sequence[Operand]) -> Value | None:
    """Computed places of the last axis in the first of all others, as of a batch of one."""
    *others, last = places
    known = [each.known for each in others if isinstance(each, Constant)]
    first = len(known) == len(others) and all(each is not None and not each.any() for each in known)
    return last if first and isinstance(last, Value) else None


def _as_one(places: Sequence[Operand], sizes: Shape | list[int]) -> Array:
    """Where constant places of several axes are in these as one."""
    arrays = []
    for each in places:
        if not isinstance(each, Constant) or each.known is None:
            raise Unknown("at computed places of several axes")
        _refuse_truths(each)
        arrays.append(each.known.astype(np.int64))
    whole: Array = np.int64(0)  # type: ignore[assignment]
    for array, size in zip(np.broadcast_arrays(*arrays), sizes, strict=True):
        whole = whole * size + array % size
    return np.asarray(whole)


def _refuse_truths(places: Operand) -> None:
    known: Any = getattr(places, "known", None)
    if known is not None and known.dtype == bool:
        raise Unknown("by truths, so that how much it makes depends on values")
