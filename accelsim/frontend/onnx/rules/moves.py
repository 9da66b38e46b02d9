"""Nodes that move values or give them another shape."""

import math
from collections.abc import Iterator, Sequence

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    CODES,
    REALS,
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    integers,
    kept_shape,
    known,
    only_first_output,
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.rankings import at_places
from accelsim.network.ops import (
    Embedding,
    Expand,
    MatMul,
    NotEqual,
    Remainder,
    Shape,
    Slice,
    Transpose,
    Truncate,
)
from accelsim.network.ops.fields import MOST_AXES

_WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
"""Of the types of whole numbers."""
_TRUTH = 9


MOST_PARTS = 64
"""Slices that one node may become."""


def same(node: Node, layers: Layers) -> str:
    """The same values, in the shape of the output, which has the batch first as well."""
    only_first_output(node, layers)
    if node.op == "Dropout" and _trains(node):
        raise Refused("in training mode")
    source, _ = tensor(node, 0, layers)
    return layers.view(source, _without_batch(node, layers))


def cast(node: Node, layers: Layers) -> str:
    """The same, but for what reals lose that become whole numbers or truths."""
    (given, *_), to = node.inputs, node.attributes.get("to")
    had = getattr(given, "element", 0)
    if to in REALS or (had not in REALS and to in _WHOLE) or had == to == _TRUTH:
        return same(node, layers)
    source, _ = tensor(node, 0, layers)
    if to == _TRUTH:
        return layers.add(node.name, NotEqual(numbers=(None, 0.0)), source)
    if had in REALS and to in _WHOLE:
        return layers.add(node.name, Truncate(), source)
    raise Refused("to a type that is no number")


def _trains(node: Node) -> bool:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    return not isinstance(mode, Constant) or mode.known is None or bool(mode.known.any())


def gather(node: Node, layers: Layers) -> str:
    """Rows of a constant table, whose numbers are an input or computed; or places of an axis."""
    table, places = node.inputs[:2]
    axis = int(node.attributes.get("axis", 0))
    if isinstance(table, Constant) and isinstance(places, Value):
        if not table.shape or axis not in (0, -len(table.shape)):
            raise Refused(f"of a constant {list(table.shape)} along axis {axis}; only its rows")
        source, shape = tensor(node, 1, layers)
        features = math.prod(table.shape[1:])
        op = checked(Embedding, entries=table.shape[0], features=features)
        wide = layers.view(source, (math.prod(shape),))
        learned = {"weight": Learned(table)}
        made = layers.add(node.name, op, wide, learned=learned)
        if table.element in CODES:
            layers.raw.add(made)
        return layers.view(made, kept_shape((*shape, *table.shape[1:])))
    if isinstance(places, Value):
        return _at_computed(node, layers, axis)
    said = known(constant(node, 1, "indices"), "indices").reshape(-1)
    source, shape = _within(node, layers)
    (axis,) = axes_of([axis], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    wanted = [int(at) % shape[axis - 1] for at in said]
    parts = [
        part(layers, node.name, source, axis - 1, slice(first, last + 1, step))
        for first, last, step in runs(wanted)
    ]
    whole = parts[0] if len(parts) == 1 else layers.joined(node.name, parts, axis - 1)
    return layers.view(whole, _without_batch(node, layers))


def _at_computed(node: Node, layers: Layers, axis: int) -> str:
    """Rows of what is computed at computed places: a product with ones where they are."""
    source, shape = _within(node, layers)
    numbers, own = tensor(node, 1, layers)
    (axis,) = axes_of([axis], len(shape) + 1)
    if axis != 1:
        raise Refused(f"at computed places of axis {axis}; only of the first of an image")
    name, count, size = node.name, math.prod(own), shape[0]
    inside = checked(Remainder, numbers=(None, float(size)))  # negative ones count from the end
    counted = layers.add(f"{name}/inside", inside, layers.view(numbers, (count, 1)))
    ones = at_places(layers, f"{name}/ones", counted, (1, size))
    rows = layers.view(source, (size, math.prod(shape[1:])))
    return layers.view(layers.add(name, MatMul(), ones, rows), _without_batch(node, layers))


def runs(places: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Places as runs with one step each: first, last, step."""
    at = 0
    while at < len(places):
        step = places[at + 1] - places[at] if at + 1 < len(places) else 1
        stop = at + 1
        while step > 0 and stop < len(places) and places[stop] - places[stop - 1] == step:
            stop += 1
        yield places[at], places[stop - 1], max(step, 1)
        at = stop


def depth_to_space(node: Node, layers: Layers) -> str:
    """Channels as pixels of squares: DCR has those of a square first, CRD last."""
    source, shape = tensor(node, 0, layers)
    by = int(node.attributes["blocksize"])
    first = node.attributes.get("mode", "DCR") == "DCR"
    less = shape[0] // by**2
    ahead, order = ((by, by, less), (2, 3, 0, 4, 1)) if first else ((less, by, by), (0, 3, 1, 4, 2))
    wide = layers.view(source, (*ahead, *shape[1:]))
    made = layers.add(node.name, Transpose(order=order), wide)
    return layers.view(made, _without_batch(node, layers))


def space_to_depth(node: Node, layers: Layers) -> str:
    """Pixels of squares as channels: DCR has those of a square first, CRD last."""
    source, shape = tensor(node, 0, layers)
    by = int(node.attributes["blocksize"])
    first = node.attributes.get("mode", "DCR") == "DCR"
    wide = layers.view(source, (shape[0], shape[1] // by, by, shape[2] // by, by))
    order = (2, 4, 0, 1, 3) if first else (0, 2, 4, 1, 3)
    made = layers.add(node.name, Transpose(order=order), wide)
    return layers.view(made, _without_batch(node, layers))


def tile(node: Node, layers: Layers) -> str:
    """All of a tensor several times along its axes."""
    source, shape = _within(node, layers)
    times = integers(known(constant(node, 1, "repeats"), "repeats"))[-len(shape) :]
    done = _without_batch(node, layers)
    for axis, often in enumerate(times):
        if often > 1:
            source = layers.joined(node.name, [source] * often, axis)
    return layers.view(source, done)


def expand(node: Node, layers: Layers) -> str:
    """Axes of size 1 as often as the output has them."""
    source, shape = _within(node, layers)
    done = _without_batch(node, layers)
    wide = (*(1,) * (len(done) - len(shape)), *shape)
    source = layers.view(source, wide)
    return source if done == wide else layers.add(node.name, checked(Expand, shape=done), source)


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
    if [run[0] for run in runs] == firsts:
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
        if size < 1:
            parts_said = f"{shape[axis - 1]} in {len(node.outputs)} parts of axis {axis}"
            raise Refused(f"its part {value.name!r} holds nothing: {parts_said}")
        name = f"{node.name}/{len(parts)}" if parts else node.name
        parts.append(part(layers, name, source, axis - 1, slice(start, start + size, 1)))
        start += size
    layers.names |= {value.name: part for value, part in zip(node.outputs, parts, strict=True)}
    return parts[0]


def sliced(node: Node, layers: Layers) -> str:
    """A part along some axes, forwards or backwards."""
    source, shape = _within(node, layers)
    if len(node.inputs) > 1:
        given = [optional(node, place, "bounds") for place in range(1, 5)]
        said = [None if each is None else integers(known(each, "bounds")) for each in given]
    else:
        names = ("starts", "ends", "axes", "steps")
        said = [node.attributes.get(name) for name in names]
    starts, ends = said[0] or (), said[1] or ()
    axes = axes_of(said[2] or range(len(starts)), len(shape) + 1)
    whole = (layers.graph.batch or 1, *shape)
    taken = [slice(0, size, 1) for size in whole]
    turned = []
    for start, end, axis, step in zip(starts, ends, axes, said[3] or (1,) * len(axes), strict=True):
        places = range(whole[axis])[slice(start, end, step)]
        if step < 0 and places:
            turned.append(axis - 1)
            places = range(places[-1], places[0] + 1, -step)
        taken[axis] = slice(places.start, places.stop, places.step)
    if taken[0] != slice(0, whole[0], 1):
        raise Refused("over the batch")
    op = checked(
        Slice,
        start=tuple(each.start for each in taken[1:]),
        stop=tuple(each.stop for each in taken[1:]),
        step=tuple(each.step for each in taken[1:]),
    )
    made = layers.add(node.name, op, source)
    for axis in turned:
        made = _backwards(layers, node.name, made, axis)
    return made


def _backwards(layers: Layers, name: str, source: str, axis: int) -> str:
    """The places of an axis in turn, the last first."""
    size = layers.shapes[source][axis]
    if size > MOST_PARTS:
        raise Refused(f"backwards, of {size:,} places; only {MOST_PARTS} are known")
    places = (slice(at, at + 1, 1) for at in reversed(range(size)))
    parts = [part(layers, name, source, axis, each) for each in places]
    return layers.joined(name, parts, axis) if size > 1 else source


def _within(node: Node, layers: Layers) -> tuple[str, Shape]:
    """An input that is kept with all of its axes."""
    source, shape = tensor(node, 0, layers)
    if kept_shape(shape) != shape:
        raise Refused(f"of {len(shape) + 1} axes")
    return source, shape


def part(layers: Layers, name: str, source: str, axis: int, taken: slice) -> str:
    """What lies in a slice of one axis."""
    shape = layers.shapes[source]
    start = tuple(taken.start if at == axis else 0 for at in range(len(shape)))
    stop = tuple(taken.stop if at == axis else size for at, size in enumerate(shape))
    step = tuple(taken.step if at == axis else 1 for at in range(len(shape)))
    return layers.add(name, checked(Slice, start=start, stop=stop, step=step), source)
