"""Concatenations, of what is computed and of constants beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    kept_shape,
    known,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import Append, ClassToken, Pad, ScaleShift, Shape


def concat(node: Node, layers: Layers) -> str:
    """Along any axis but the batch."""
    found = _class_token(node, layers) or _appended(node, layers)
    if found is not None:
        return found
    whole = node.outputs[0].shape
    assert whole is not None
    (axis,) = axes_of([int(node.attributes.get("axis", 1))], len(whole))
    parts = _parts(node, layers, axis - 1)
    if len(node.inputs) == 1:
        return parts[0].source
    if axis == 0:
        raise Refused("over the batch")
    made = [
        layers.view(
            part.added(f"{node.name}/{at}", layers, axis - 1), kept_shape(part.whole(axis - 1))
        )
        for at, part in enumerate(parts)
    ]
    if len(made) > 1:
        made = [layers.joined(node.name, made, axis - 1)]
    return layers.view(made[0], kept_shape(whole[1:]))


def _class_token(node: Node, layers: Layers) -> str | None:
    """A constant row before those of a matrix; None for any other concatenation."""
    if len(node.inputs) != 2 or not isinstance(node.inputs[0], Constant):
        return None
    source, shape = tensor(node, 1, layers)
    token = node.inputs[0]
    along = int(node.attributes.get("axis", 0)) in (1, -2)
    if len(shape) != 2 or not along or token.shape != (1, 1, *shape[1:]):
        return None
    learned = {"weight": Learned(token)}
    return layers.add(node.name, ClassToken(), source, learned=learned)


def _appended(node: Node, layers: Layers) -> str | None:
    """Rows behind those of a cache; None for any other concatenation.

    A cache comes as an input that nothing else reads, and leaves as an output.
    """
    value, shape = node.outputs[0], node.outputs[0].shape or ()
    first = node.inputs[0]
    axis = int(node.attributes.get("axis", 1)) % max(len(shape), 1)
    computed = all(isinstance(each, Value) for each in node.inputs)
    if len(node.inputs) != 2 or not computed or axis != len(shape) - 2 or axis < 1:
        return None
    assert first is not None
    return appended(layers, node.name, (first, value), [tensor(node, at, layers) for at in (0, 1)])


def appended(
    layers: Layers,
    name: str,
    ends: tuple[Value | Constant, Value],
    parts: Sequence[tuple[str, Shape]],
) -> str | None:
    """A cache and rows behind it, (..., T, features); None where it is no cache.

    `ends` are what the model has for the cache before and after.
    """
    (before, after), graph = ends, layers.graph
    given = any(each.name == before.name for each in graph.inputs)
    if (
        not given
        or len(layers.read_by.get(before.name, ())) != 1
        or after.name not in graph.outputs
    ):
        return None
    if any(kept_shape(shape) != shape for _, shape in parts):
        return None
    return layers.add(name, Append(), *(layers.view(*part) for part in parts))


@dataclass(frozen=True, slots=True)
class _Part:
    """A layer of `shape`, and the constants that lie before and after it."""

    source: str
    shape: Shape
    before: list[Array] = field(default_factory=list)
    after: list[Array] = field(default_factory=list)

    def whole(self, axis: int) -> Shape:
        """The shape with the constants."""
        more = sum(each.shape[axis] for each in (*self.before, *self.after))
        return (*self.shape[:axis], self.shape[axis] + more, *self.shape[axis + 1 :])

    def added(self, name: str, layers: Layers, axis: int) -> str:
        """The layer with the constants, which are added to zeros around it."""
        if not self.before and not self.after:
            return self.source
        if kept_shape(self.shape) != self.shape:
            raise Refused(f"with a constant of {len(self.shape) + 1} axes")
        sides = [
            tuple(
                sum(each.shape[axis] for each in side) if at == axis else 0
                for at in range(len(self.shape))
            )
            for side in (self.before, self.after)
        ]
        padded = layers.add(
            f"{name}/padded", checked(Pad, before=sides[0], after=sides[1]), self.source
        )
        values = np.concatenate([*self.before, np.zeros(self.shape, np.float32), *self.after], axis)
        beta = Constant(name=f"{name}/beta", shape=values.shape, element=1, source=Known(values))
        learned = {"gamma": Learned(1.0), "beta": Learned(beta)}
        return layers.add(name, checked(ScaleShift, shape=values.shape), padded, learned=learned)


def _parts(node: Node, layers: Layers, axis: int) -> list[_Part]:
    """The computed inputs, each with the constants beside it."""
    parts: list[_Part] = []
    first: list[Array] = []
    for place, each in enumerate(node.inputs):
        if not isinstance(each, Constant):
            parts.append(_Part(*tensor(node, place, layers), first if not parts else []))
        else:
            (parts[-1].after if parts else first).append(_of_one_image(each, node))
    return parts


def _of_one_image(each: Constant, node: Node) -> Array:
    """The values beside one image; where a file has one only, constants have no axis of images."""
    values = known(each, "constant").astype(np.float32)
    if values.ndim < len(node.outputs[0].shape or ()):
        return values
    if (values != values[:1]).any():
        raise Refused(f"its constant {list(each.shape)} differs from image to image")
    return np.asarray(values[0])
