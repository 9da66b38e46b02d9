"""What constant indices take out of a tensor, or put into one: slices, and sums with constants."""

import math

import numpy as np

from accelsim.frontend.onnx.batch_indexed import EACH
from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    constant,
    kept_shape,
    known,
    number,
    optional,
    tensor,
)
from accelsim.frontend.onnx.rules.joins import line
from accelsim.frontend.onnx.rules.moves import MOST_PARTS, part, runs
from accelsim.network.ops import Pad, Shape

Box = tuple[slice, ...]


def gather_elements(node: Node, layers: Layers) -> str:
    """Along an axis one value for each index."""
    indices = known(constant(node, 1, "indices"), "indices")
    every = _every(node)
    axis = int(node.attributes.get("axis", 0)) % every.ndim
    rest = [slice(0, size) for size in indices.shape]
    rest[axis] = slice(None)
    within = every[tuple(rest)]
    _fit(indices.ndim == every.ndim and within.shape[:axis] == indices.shape[:axis], node)
    _fit(within.shape[axis + 1 :] == indices.shape[axis + 1 :], node)
    places = np.take_along_axis(within, _counted(indices, every.shape[axis]), axis)
    return _taken(node, layers, places)


def gather_nd(node: Node, layers: Layers) -> str:
    """Parts at places that each row of the indices says."""
    indices = known(constant(node, 1, "indices"), "indices")
    every, batch = _every(node), int(node.attributes.get("batch_dims", 0))
    if batch not in (0, 1) or (batch and EACH in node.attributes):
        raise Refused(f"with batch_dims {batch}")
    depth = indices.shape[-1] if indices.ndim else 0
    _fit(0 < depth <= every.ndim - batch and indices.size > 0, node)
    _fit(not batch or len(indices) == len(every), node)
    indices = _counted(indices, every.shape[batch : batch + depth])
    pairs = zip(indices, every, strict=True) if batch else [(indices, every)]
    made = [each[tuple(np.moveaxis(rows, -1, 0))] for rows, each in pairs]
    return _taken(node, layers, np.stack(made) if batch else made[0])


def scatter_nd(node: Node, layers: Layers) -> str:
    """A tensor with parts in the place of those that the indices name."""
    indices, every = known(constant(node, 1, "indices"), "indices"), _every(node)
    depth = indices.shape[-1] if indices.ndim else 0
    _fit(0 < depth <= every.ndim and indices.size > 0, node)
    rows = _counted(indices, every.shape[:depth])
    return _put(node, layers, every[tuple(np.moveaxis(rows, -1, 0))])


def scatter_elements(node: Node, layers: Layers) -> str:
    """A tensor with values in the place of those that the indices name along an axis."""
    indices, every = known(constant(node, 1, "indices"), "indices"), _every(node)
    axis = int(node.attributes.get("axis", 0)) % every.ndim
    _fit(indices.ndim == every.ndim and indices.size > 0, node)
    own = [*np.indices(indices.shape)]
    own[axis] = _counted(indices, every.shape[axis])
    sizes = zip(indices.shape, every.shape, strict=True)
    _fit(all(at == axis or size <= most for at, (size, most) in enumerate(sizes)), node)
    return _put(node, layers, every[tuple(own)])


def triangle(node: Node, layers: Layers) -> str:
    """Matrices with zeros above a diagonal, or below it."""
    source, shape = tensor(node, 0, layers)
    if len(shape) < 2:
        raise Refused("over the batch")
    given = optional(node, 1, "diagonal")
    diagonal = int(number(given, 0.0, "diagonal"))
    upper = bool(node.attributes.get("upper", 1))
    below = np.tri(shape[-2], shape[-1], diagonal - upper)
    kept = 1 - below if upper else below
    mask = _one(node, "kept", kept.astype(np.float32))
    return line(layers, node.name, kept_shape(shape), source, (mask, 0.0))


def _fit(fits: bool, node: Node) -> None:
    if not fits:
        shapes = [list(each.shape or ()) for each in node.inputs if each is not None]
        raise Refused(f"of shapes that do not go together: {shapes}")


def _counted(indices: Array, sizes: int | Shape) -> Array:
    """Indices counted from 0."""
    most = np.asarray(sizes)
    if ((indices < -most) | (indices >= most)).any():
        raise Refused(f"with an index beyond the size {sizes}")
    return np.asarray(indices % most)


def _every(node: Node) -> Array:
    """The places of all values that are read, counted: of an image, or of all of them."""
    first = node.inputs[0]
    shape = first.shape if first is not None else None
    if shape is None:
        raise Refused("of what has no shape")
    if EACH in node.attributes and isinstance(first, Value):
        shape = shape[1:]
    return np.arange(math.prod(shape)).reshape(shape)


def _of_an_image(node: Node, layers: Layers, places: Array) -> Array:
    """Places of one image, where those of all images are the same."""
    if EACH in node.attributes:
        return places
    count = _every(node)[0].size
    if len(places) != layers.graph.batch:
        raise Refused("over the batch")
    each = places - count * np.arange(len(places)).reshape(-1, *(1,) * (places.ndim - 1))
    if (each != each[0]).any() or each.min() < 0 or each.max() >= count:
        raise Refused("with indices that mix images")
    return np.asarray(each[0])


def _taken(node: Node, layers: Layers, places: Array) -> str:
    """The values of a tensor at places."""
    places = _of_an_image(node, layers, places)
    source, shape = tensor(node, 0, layers)
    found = list(runs([int(at) for at in places.flat]))
    if len(found) > MOST_PARTS:
        raise Refused(f"of {len(found):,} places; only {MOST_PARTS} rows with one step are known")
    flat = layers.view(source, (math.prod(shape),))
    parts = [
        part(layers, node.name, flat, 0, slice(first, last + 1, step))
        for first, last, step in found
    ]
    whole = parts[0] if len(parts) == 1 else layers.joined(node.name, parts, 0)
    return layers.view(whole, kept_shape(places.shape))


def _put(node: Node, layers: Layers, places: Array) -> str:
    """Updates at places, all that an image has in one box; constants anywhere."""
    if node.attributes.get("reduction", "none") != "none":
        raise Refused(f"with the reduction {node.attributes['reduction']!r}")
    if np.unique(places).size < places.size:
        raise Refused("with one place twice")
    data, updates = node.inputs[0], node.inputs[2]
    if isinstance(updates, Constant):
        return _numbers(node, layers, places, known(updates, "updates"))
    shape = _every(node).shape if EACH in node.attributes else _every(node).shape[1:]
    box = _box(_of_an_image(node, layers, places), shape)
    source = layers.view(tensor(node, 2, layers)[0], tuple(each.stop - each.start for each in box))
    if isinstance(data, Constant):
        return _around(node, layers, source, (_image(node, known(data, "data")), box))
    return _between(node, layers, source, box)


def _image(node: Node, values: Array) -> Array:
    """One image of constants, where all have the same."""
    if EACH in node.attributes:
        return values
    if (values != values[:1]).any():
        raise Refused("with a constant that differs from image to image")
    return np.asarray(values[0])


def _numbers(node: Node, layers: Layers, places: Array, values: Array) -> str:
    """Constants in the place of what is computed: times zeros there, plus them."""
    shape = _every(node).shape
    kept, added = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    kept.flat[places.reshape(-1)] = 0
    added.flat[places.reshape(-1)] = values.reshape(-1)
    kept, added = _image(node, kept), _image(node, added)
    source, own = tensor(node, 0, layers)
    made = line(layers, f"{node.name}/kept", own, source, (_one(node, "kept", kept), 0.0))
    return line(layers, node.name, own, made, (1.0, _one(node, "updates", added)))


def _one(node: Node, what: str, values: Array) -> Constant:
    return Constant(name=f"{node.name}/{what}", shape=values.shape, element=1, source=Known(values))


def _box(places: Array, shape: Shape) -> Box:
    """The box that places fill, one after another."""
    found = np.unravel_index(places.reshape(-1), shape)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in found)
    filled = np.arange(math.prod(shape)).reshape(shape)[box].reshape(-1)
    if filled.size != places.size or (filled != places.reshape(-1)).any():
        raise Refused("at places that are no box, or in another order")
    return box


def _around(node: Node, layers: Layers, source: str, rest: tuple[Array, Box]) -> str:
    """Updates within constants: zeros are put around them, and the constants added."""
    data, box = rest
    values = data.astype(np.float32)
    values[box] = 0
    before = tuple(each.start for each in box)
    after = tuple(size - each.stop for each, size in zip(box, data.shape, strict=True))
    if any((*before, *after)):
        source = layers.add(f"{node.name}/padded", checked(Pad, before=before, after=after), source)
    if not values.any():
        return source
    return line(layers, node.name, data.shape, source, (1.0, _one(node, "data", values)))


def _between(node: Node, layers: Layers, source: str, box: Box) -> str:
    """Updates between what is computed, from the last axis that they do not fill to the first."""
    data, shape = tensor(node, 0, layers)
    for axis in reversed(range(len(box))):
        outer = data
        for at in range(axis):
            if box[at] != slice(0, shape[at]):
                outer = part(layers, f"{node.name}/data", outer, at, _stepped(box[at]))
        sides = (slice(0, box[axis].start), slice(box[axis].stop, shape[axis]))
        before, after = (
            [part(layers, f"{node.name}/data", outer, axis, _stepped(side))]
            if side.stop > side.start
            else []
            for side in sides
        )
        if before or after:
            source = layers.joined(node.name, [*before, source, *after], axis)
    return source


def _stepped(side: slice) -> slice:
    return slice(side.start, side.stop, 1)
