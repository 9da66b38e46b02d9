"""Nodes that say which values are the largest, and sums of all values so far."""

from collections.abc import Callable

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    kept_shape,
    number,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import ArgMax, Dense, Shape, Slice, Sort, Transpose


def place_of(smallest: bool) -> Callable[[Node, Layers], str]:
    """The rule of ArgMax, or ArgMin."""

    def rule(node: Node, layers: Layers) -> str:
        """The place of the largest value along an axis, or of the smallest."""
        source, _, axis = _along(node, layers, int(node.attributes.get("axis", 0)))
        keep = bool(node.attributes.get("keepdims", 1))
        last = bool(node.attributes.get("select_last_index", 0))
        op = checked(ArgMax, axes=[axis], keep=keep, smallest=smallest, last=last)
        made = layers.add(node.name, op, source)
        return layers.view(made, kept_shape((node.outputs[0].shape or ())[1:]))

    return rule


arg_max, arg_min = place_of(smallest=False), place_of(smallest=True)


def _along(node: Node, layers: Layers, said: int) -> tuple[str, Shape, int]:
    """A tensor and one of its axes, the batch left out."""
    source, shape = tensor(node, 0, layers)
    (axis,) = axes_of([said], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    if kept_shape(shape) != shape:
        raise Refused(f"of {len(shape) + 1} axes")
    return source, shape, axis - 1


def top_k(node: Node, layers: Layers) -> str:
    """The first of the values in order, and their places: each that is read sorts by itself."""
    source, shape, axis = _along(node, layers, int(node.attributes.get("axis", -1)))
    given = None if "k" in node.attributes else constant(node, 1, "k")  # before opset 10 it is said
    k = int(number(given, node.attributes.get("k", 1), "k"))
    smallest = not node.attributes.get("largest", 1)
    if not 0 < k <= shape[axis]:
        raise Refused(f"the first {k} of {shape[axis]}")
    made = ""
    for value, gives in zip(node.outputs, ("values", "places"), strict=False):
        if not layers.readers.get(value.name) and (made or len(node.outputs) > 1):
            continue
        name = f"{node.name}/{gives}"
        op = checked(Sort, axis=axis, smallest=smallest, gives=gives)
        stop = (*shape[:axis], k, *shape[axis + 1 :])
        taken = layers.add(name, op, source)
        if stop != shape:
            taken = layers.add(f"{name}/first", Slice(start=(0,) * len(shape), stop=stop), taken)
        layers.names[value.name] = made = taken
    return layers.names.get(node.outputs[0].name, made)


def cumulative_sum(node: Node, layers: Layers) -> str:
    """Times a matrix of ones and zeros: each place has the sum of those up to it."""
    said = int(number(constant(node, 1, "axis"), 0, "axis"))
    source, shape, axis = _along(node, layers, said)
    size, back = shape[axis], bool(node.attributes.get("reverse", 0))
    ones = np.tri(size, size, -int(node.attributes.get("exclusive", 0)), dtype=np.float32)
    weight = Constant(f"{node.name}/ones", (size, size), 1, Known(ones.T if back else ones))
    last = (*(at for at in range(len(shape)) if at != axis), axis)
    turned = axis != len(shape) - 1
    if turned:
        source = layers.add(f"{node.name}/turned", Transpose(order=last), source)
    wide = layers.shapes[source]
    rows = layers.view(source, (int(np.prod(wide[:-1])), size))
    op = checked(Dense, out_features=size, bias=False)
    made = layers.add(node.name, op, rows, learned={"weight": Learned(weight)})
    made = layers.view(made, wide)
    if not turned:
        return made
    order = tuple(last.index(at) for at in range(len(shape)))
    return layers.add(f"{node.name}/back", Transpose(order=order), made)
