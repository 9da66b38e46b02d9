"""Nodes that say which values are the largest, what lies at such places, and sums so far."""

import math
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
    known,
    number,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.norms import SINGLE_AXIS
from accelsim.network.ops import (
    Add,
    ArgMax,
    Dense,
    Equal,
    Expand,
    Less,
    Line,
    ScaleShift,
    Shape,
    Slice,
    Sort,
    Transpose,
)
from accelsim.network.ops.fields import MOST_AXES


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
        if not layers.read_by.get(value.name) and (made or len(node.outputs) > 1):
            continue
        name = f"{node.name}/{gives}"
        op = checked(Sort, axis=axis, smallest=smallest, gives=gives)
        stop = (*shape[:axis], k, *shape[axis + 1 :])
        taken = layers.add(name, op, source)
        if stop != shape:
            taken = layers.add(f"{name}/first", Slice(start=(0,) * len(shape), stop=stop), taken)
        layers.names[value.name] = made = taken
    return layers.names.get(node.outputs[0].name, made)


def one_hot(node: Node, layers: Layers) -> str:
    """One number at the place that each index says along a new axis, and another elsewhere."""
    size = int(number(constant(node, 1, "depth"), 1, "depth"))
    off, on = (float(each) for each in known(constant(node, 2, "values"), "values").reshape(-1))
    source, shape = tensor(node, 0, layers)
    (axis,) = axes_of([int(node.attributes.get("axis", -1))], len(shape) + 2)
    if axis == 0 or len(shape) >= MOST_AXES:
        raise Refused("over the batch" if axis == 0 else f"of {len(shape) + 2} axes")
    places = layers.view(source, (*shape[: axis - 1], 1, *shape[axis - 1 :]))
    made = at_places(layers, node.name, _from_start(node, layers, places, size), (axis - 1, size))
    if (off, on) == (0.0, 1.0):
        return made
    return layers.add(f"{node.name}/values", checked(Line, factor=on - off, term=off), made)


def _from_start(node: Node, layers: Layers, places: str, size: int) -> str:
    """Places counted from 0, where some may be counted from the end."""
    made = layers.specs.get(layers.under(places))
    if made is not None and isinstance(made.op, ArgMax):
        return places
    below = layers.add(f"{node.name}/below", Less(numbers=(None, 0.0)), places)
    more = layers.add(f"{node.name}/more", Line(factor=float(size)), below)
    return layers.add(f"{node.name}/places", Add(), places, more)


def at_places(layers: Layers, name: str, places: str, along: tuple[int, int]) -> str:
    """1 at the places, else 0; their axis has the size 1 before, and another then."""
    axis, size = along
    shape = layers.shapes[places]
    own = tuple(size if at == axis else 1 for at in range(len(shape)))
    wide = (*shape[:axis], size, *shape[axis + 1 :])
    if size > 1:
        places = layers.add(f"{name}/each", checked(Expand, shape=wide), places)
    counted = -np.arange(size, dtype=np.float32).reshape(own)
    learned = {
        "gamma": Learned(1.0),
        "beta": Learned(
            Constant(name=f"{name}/counted", shape=own, element=1, source=Known(counted))
        ),
    }
    apart = layers.add(f"{name}/apart", checked(ScaleShift, shape=own), places, learned=learned)
    return layers.add(name, Equal(numbers=(None, 0.0)), apart)


def hard_max(node: Node, layers: Layers) -> str:
    """1 at the first of the largest values along an axis, else 0; over all before opset 13."""
    source, shape = tensor(node, 0, layers)
    single = node.version >= SINGLE_AXIS
    (axis,) = axes_of([int(node.attributes.get("axis", -1 if single else 1))], len(shape) + 1)
    if axis == 0:
        raise Refused("over the batch")
    ahead, behind = math.prod(shape[: axis - 1]), math.prod(shape[axis:]) if single else 1
    size = shape[axis - 1] if single else math.prod(shape[axis - 1 :])
    wide = layers.view(source, (ahead, size, behind))
    places = layers.add(f"{node.name}/place", checked(ArgMax, axes=[1], keep=True), wide)
    return layers.view(at_places(layers, node.name, places, (1, size)), kept_shape(shape))


def cumulative_sum(node: Node, layers: Layers) -> str:
    """Times a matrix of ones and zeros: each place has the sum of those up to it."""
    said = int(number(constant(node, 1, "axis"), 0, "axis"))
    source, shape, axis = _along(node, layers, said)
    size, back = shape[axis], bool(node.attributes.get("reverse", 0))
    ones = np.tri(size, size, -int(node.attributes.get("exclusive", 0)), dtype=np.float32)
    weight = Constant(
        name=f"{node.name}/ones",
        shape=(size, size),
        element=1,
        source=Known(ones.T if back else ones),
    )
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
