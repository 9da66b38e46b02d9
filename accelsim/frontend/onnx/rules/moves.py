"""Nodes that move values or give them another shape."""

import math

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    REALS,
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    integers,
    kept_shape,
    known,
    number,
    only_first_output,
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import Embedding, Expand, Shape, Slice, Transpose
from accelsim.network.ops.fields import MOST_AXES

_WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
"""Of the types of whole numbers."""


def same(node: Node, layers: Layers) -> str:
    """The same values, in the shape of the output, which has the batch first as well."""
    only_first_output(node, layers)
    (given, *_), to = node.inputs, node.attributes.get("to")
    numbers = getattr(given, "element", 0) in _WHOLE and to in _WHOLE
    if node.op == "Cast" and to not in REALS and not numbers:
        raise Refused("to a type that is no real number")
    if node.op == "Dropout" and _trains(node):
        raise Refused("in training mode")
    source, _ = tensor(node, 0, layers)
    return layers.view(source, _without_batch(node, layers))


def _trains(node: Node) -> bool:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    return not isinstance(mode, Constant) or mode.known is None or bool(mode.known.any())


def gather(node: Node, layers: Layers) -> str:
    """Rows of a constant table, whose numbers are an input; or one place of an axis."""
    table, places = node.inputs[:2]
    axis = int(node.attributes.get("axis", 0))
    if isinstance(table, Constant) and isinstance(places, Value):
        if len(table.shape) != 2 or axis % 2:
            raise Refused(f"of a constant {list(table.shape)} along axis {axis}; only its rows")
        source, shape = tensor(node, 1, layers)
        op = checked(Embedding, entries=table.shape[0], features=table.shape[1])
        wide = layers.view(source, (math.prod(shape),))
        learned = {"weight": Learned(table)}
        made = layers.add(node.name, op, wide, learned=learned)
        return layers.view(made, kept_shape((*shape, table.shape[1])))
    place = int(number(constant(node, 1, "indices"), 0, "indices, of which one is known here,"))
    source, shape = _within(node, layers)
    (axis,) = axes_of([axis], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    at = place % shape[axis - 1]
    part = _part(layers, node.name, source, axis - 1, slice(at, at + 1, 1))
    return layers.view(part, _without_batch(node, layers))


def expand(node: Node, layers: Layers) -> str:
    """Axes of size 1 as often as the output has them."""
    source, shape = _within(node, layers)
    done = _without_batch(node, layers)
    if len(done) != len(shape):
        raise Refused(f"from {len(shape) + 1} axes to {len(done) + 1}")
    return source if done == shape else layers.add(node.name, checked(Expand, shape=done), source)


def flatten(node: Node, layers: Layers) -> str:
    """As a vector for each image."""
    return same(node, layers)


def _without_batch(node: Node, layers: Layers) -> Shape:
    shape = node.outputs[0].shape
    assert shape is not None
    if not shape or shape[0] != layers.graph.batch:
        raise Refused(f"its output {list(shape)} has the batch not first")
    return kept_shape(shape[1:])


def transpose(node: Node, layers: Layers) -> str:
    """Axes in another order; those that stay side by side move as one."""
    source, shape = tensor(node, 0, layers)
    rank = len(shape) + 1
    order = axes_of(integers(node.attributes.get("perm", range(rank)[::-1])), rank)
    if order[0] != 0:
        raise Refused("moves the batch")
    runs: list[list[int]] = []
    for axis in order[1:]:
        if shape[axis - 1] == 1:
            continue  # it can lie anywhere
        if runs and axis == runs[-1][-1] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    sizes = {run[0]: math.prod(shape[axis - 1] for axis in run) for run in runs}
    firsts = sorted(sizes)
    if len(runs) > MOST_AXES:
        raise Refused(f"of {len(runs)} groups of axes; only {MOST_AXES} are known here")
    done = _without_batch(node, layers)
    if len(runs) <= 1:
        return layers.view(source, done)
    op = Transpose(order=tuple(firsts.index(run[0]) for run in runs))
    wide = layers.view(source, tuple(sizes[first] for first in firsts))
    return layers.view(layers.add(node.name, op, wide), done)


def split(node: Node, layers: Layers) -> str:
    """Parts along an axis, one behind the other, each a layer."""
    source, shape = _within(node, layers)
    (axis,) = axes_of([int(node.attributes.get("axis", 0))], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    parts: list[str] = []
    start = 0
    for value in node.outputs:
        size = (value.shape or ())[axis]
        name = f"{node.name}/{len(parts)}" if parts else node.name
        parts.append(_part(layers, name, source, axis - 1, slice(start, start + size, 1)))
        start += size
    layers.names |= {value.name: part for value, part in zip(node.outputs, parts, strict=True)}
    return parts[0]


def sliced(node: Node, layers: Layers) -> str:
    """A part along some axes, forwards."""
    source, shape = _within(node, layers)
    if len(node.inputs) > 1:
        given = [optional(node, place, "bounds") for place in range(1, 5)]
        said = [None if each is None else integers(known(each, "bounds")) for each in given]
    else:
        names = ("starts", "ends", "axes", "steps")
        said = [node.attributes.get(name) for name in names]
    starts, ends = said[0] or (), said[1] or ()
    axes = axes_of(said[2] or range(len(starts)), len(shape) + 1)
    whole = (layers.graph.batch, *shape)
    taken = [slice(0, size, 1) for size in whole]
    for start, end, axis, step in zip(starts, ends, axes, said[3] or (1,) * len(axes), strict=True):
        if step < 1:
            raise Refused("backwards")
        taken[axis] = slice(*slice(start, end, step).indices(whole[axis]))
    if taken[0] != slice(0, whole[0], 1):
        raise Refused("over the batch")
    op = checked(
        Slice,
        start=tuple(each.start for each in taken[1:]),
        stop=tuple(each.stop for each in taken[1:]),
        step=tuple(each.step for each in taken[1:]),
    )
    return layers.add(node.name, op, source)


def _within(node: Node, layers: Layers) -> tuple[str, Shape]:
    """An input that is kept with all of its axes."""
    source, shape = tensor(node, 0, layers)
    if kept_shape(shape) != shape:
        raise Refused(f"of {len(shape) + 1} axes")
    return source, shape


def _part(layers: Layers, name: str, source: str, axis: int, taken: slice) -> str:
    shape = layers.shapes[source]
    start = tuple(taken.start if at == axis else 0 for at in range(len(shape)))
    stop = tuple(taken.stop if at == axis else size for at, size in enumerate(shape))
    return layers.add(name, checked(Slice, start=start, stop=stop), source)
