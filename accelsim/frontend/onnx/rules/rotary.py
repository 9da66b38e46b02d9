"""Rotary embeddings: as one layer where their angles are a law, else as slices and products."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import Layers, Refused, checked, kept_shape, tensor
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rotary import BASE, OFFSET
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.frontend.onnx.rules.joins import line
from accelsim.frontend.onnx.rules.moves import part
from accelsim.frontend.onnx.spelling import HEAD_SIZE
from accelsim.network.ops import Add, Embedding, Mul, Op, Rotary, Shape

Angle = Constant | str
"""Cosines or sines: a constant, or a layer."""
RANK = "rank"
"""Attribute: how many axes the file has, where that is not told by what is read."""


def rotary(node: Node, layers: Layers) -> str:
    """Pairs of features of each head turned, of (times, heads * d) or (heads, times, d)."""
    source, shape = tensor(node, 0, layers)
    if len(node.inputs) < 3 or None in node.inputs[1:3]:
        raise Refused("without cosines or sines")
    said = node.attributes
    flat = said.get(RANK, len(shape) + 1) == 3
    heads = int(said.get("num_heads", 0)) if flat else 1
    if flat and said.get(HEAD_SIZE):
        heads = shape[-1] // int(said[HEAD_SIZE])
    if heads < 1 or shape[-1] % heads:
        raise Refused(f"of {shape[-1]} features in {heads} heads")
    size = shape[-1] // heads
    turned = int(said.get("rotary_embedding_dim", 0)) or size
    if turned % 2 or turned > size:
        raise Refused(f"of {turned} features in a head of {size}")
    if flat and turned == size and len(shape) == 2 and BASE in said:
        return layers.add(node.name, by_law(said, heads), source)
    whole = (*shape[:-1], heads, size) if flat else shape
    one = (*whole[:-2], 1) if flat else (*whole[:-3], 1, whole[-2])  # the same for all heads
    cos, sin = (_angle(node, layers, place, (*one, turned // 2)) for place in (1, 2))
    made = _turned(node, layers, layers.view(source, whole), (cos, sin))
    return layers.view(made, kept_shape(shape))


def by_law(said: Mapping[str, Any], heads: int) -> Op:
    """The layer of a node whose angles are a law."""
    interleaved = bool(said.get("interleaved", 0))
    return checked(
        Rotary, heads=heads, base=said[BASE], offset=said[OFFSET], interleaved=interleaved
    )


def _angle(node: Node, layers: Layers, place: int, shape: Shape) -> Angle:
    """Cosines or sines, of a shape that is broadcast to the halves."""
    given = node.inputs[place]
    places = node.inputs[3] if len(node.inputs) > 3 else None
    if isinstance(given, Value):
        if places is not None:
            raise Refused(f"its tables are computed ({given.name!r})")
        return layers.view(tensor(node, place, layers)[0], shape)
    assert given is not None
    if isinstance(places, Value):
        if len(given.shape) != 2 or given.shape[1] != shape[-1]:
            raise Refused(f"its table has shape {list(given.shape)}")
        rows, axes = tensor(node, 3, layers)
        op = checked(Embedding, entries=given.shape[0], features=given.shape[1])
        read = layers.view(rows, (math.prod(axes),))
        name = f"{node.name}/{('cos', 'sin')[place - 1]}"
        made = layers.add(name, op, read, learned={"weight": Learned(given)})
        return layers.view(made, shape)
    if given.known is None:
        raise Refused("its tables, or its places in them, are more than is looked at")
    if given.known.size not in (math.prod(shape), math.prod(shape[-3:])):
        raise Refused(f"its angles {list(given.shape)} differ from image to image")
    own = (*(1,) * (len(shape) - 3), *shape[-3:]) if given.shape[0] == 1 else shape
    return replace(given, shape=own, source=Known(given.known.reshape(own)))


def _turned(node: Node, layers: Layers, source: str, angles: tuple[Angle, Angle]) -> str:
    """x1 cos - x2 sin and x1 sin + x2 cos in the place of each pair, and what is left behind."""
    (*lead, size), (cos, sin) = layers.shapes[source], angles
    pairs = (cos.shape if isinstance(cos, Constant) else layers.shapes[cos])[-1]
    last, name, apart = len(lead), node.name, bool(node.attributes.get("interleaved", 0))
    taken = source
    if 2 * pairs < size:
        taken = part(layers, f"{name}/turned", source, last, slice(0, 2 * pairs, 1))
    inner = (*lead, pairs, 2) if apart else (*lead, 2, pairs)
    at = len(lead) + apart
    wide = layers.view(taken, inner)
    first, second = (
        layers.view(
            part(layers, f"{name}/{which}", wide, at, slice(start, start + 1, 1)), (*lead, pairs)
        )
        for start, which in enumerate(("first", "second"))
    )
    less = _times(layers, f"{name}/less", second, _negative(layers, f"{name}/negative", sin))
    sums = (
        (_times(layers, f"{name}/first_cos", first, cos), less),
        (
            _times(layers, f"{name}/first_sin", first, sin),
            _times(layers, f"{name}/second_cos", second, cos),
        ),
    )
    ends = [
        layers.view(layers.add(f"{name}/sum", Add(), *pair), (*inner[:at], 1, *inner[at + 1 :]))
        for pair in sums
    ]
    made = layers.view(layers.joined(name, ends, at), (*lead, 2 * pairs))
    if taken == source:
        return made
    rest = part(layers, f"{name}/rest", source, last, slice(2 * pairs, size, 1))
    return layers.joined(f"{name}/whole", [made, rest], last)


def _times(layers: Layers, name: str, source: str, angle: Angle) -> str:
    shape = layers.shapes[source]
    if isinstance(angle, Constant):
        return line(layers, name, shape, source, (angle, 0.0))
    return layers.add(name, Mul(), source, angle)


def _negative(layers: Layers, name: str, angle: Angle) -> Angle:
    if isinstance(angle, str):
        return scaled(layers, name, angle, -1.0, 0.0)
    assert angle.known is not None
    return replace(angle, source=Known(-angle.known))
