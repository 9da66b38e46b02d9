"""Rotary embeddings (opset 23): those that are spelt out, and the law of their angles.

The angles are looked up in constant tables, and found to be powers of a base.
"""

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node, Value

_CLOSE = 1e-3
"""By so much a table of float32 may differ from the cosines and sines that it stands for."""
BASE, OFFSET = "base", "offset"
"""Attributes of a node whose angles are (t + offset) * base^(-2 i / d)."""
FOUND = "angles"
"""Attribute of a node whose angles have been looked up."""


class Seen(Protocol):
    """What a pattern asks of the constants, and of the nodes before."""

    def values(self, operand: Value | Constant | None) -> Array | None:
        """The values of a constant; None of what is none, or too large."""

    def alone(self, operand: Value | Constant | None, op: str) -> Node | None:
        """The node that makes an operand, if it is of a type and nothing else reads that."""


def of_halves(node: Node, seen: Seen) -> Node | None:
    """x cos + (-x2, x1) sin, where x1 and x2 are the halves of x, as a rotary embedding."""
    terms = [seen.alone(each, "Mul") for each in node.inputs[:2]]
    for plain, turned in (terms, terms[::-1]):
        pairs = (turned.inputs, turned.inputs[::-1]) if plain and turned else ()
        for swapped, sin in pairs:
            whole = _swapped(swapped, seen)
            if whole is None or plain is None or whole not in plain.inputs:
                continue
            cos = plain.inputs[plain.inputs[0] == whole]
            cosines, sines = (_half(each, whole.shape or (), seen) for each in (cos, sin))
            if cosines is None or sines is None:
                continue
            tables = _known(f"{node.name}/cos", cosines), _known(f"{node.name}/sin", sines)
            return replace(node, op="RotaryEmbedding", inputs=(whole, *tables), attributes={})
    return None


def _swapped(operand: Value | Constant | None, seen: Seen) -> Value | None:
    """x of its second half negated, and its first behind that."""
    both = seen.alone(operand, "Concat")
    rank = len(operand.shape or ()) if operand else 0
    if both is None or len(both.inputs) != 2 or both.attributes.get("axis", 0) % rank != rank - 1:
        return None
    negated = seen.alone(both.inputs[0], "Neg")
    parts = [negated.inputs[0] if negated else None, both.inputs[1]]
    second, first = (seen.alone(each, "Slice") for each in parts)
    if first is None or second is None or first.inputs[0] != second.inputs[0]:
        return None
    whole = first.inputs[0]
    if not isinstance(whole, Value) or rank != 4 or not whole.shape:
        return None
    half = whole.shape[-1] // 2
    fits = _is_part(first, 0, half, seen) and _is_part(second, half, 2 * half, seen)
    return whole if fits and whole.shape[-1] == 2 * half else None


def _is_part(node: Node, start: int, stop: int, seen: Seen) -> bool:
    """Whether a slice is of so many places of the last axis."""
    shape = (node.inputs[0].shape if node.inputs[0] else None) or ()
    said = [seen.values(each) for each in node.inputs[1:]]
    if len(said) < 3 or any(each is None or each.size != 1 for each in said):
        return False
    first, last, axis, step = ([int(each.flat[0]) for each in said if each is not None] + [1])[:4]
    places = range(shape[-1])[slice(first, last, step)]
    return axis % len(shape) == len(shape) - 1 and places == range(start, stop)


def _half(operand: Value | Constant | None, whole: tuple[int, ...], seen: Seen) -> Array | None:
    """A table (1, times, features / 2) whose two halves are the same, of one image and head."""
    values = seen.values(operand)
    if values is None or values.shape[-2:] != whole[-2:] or values.size != math.prod(whole[-2:]):
        return None
    first, second = np.split(values.reshape(1, *whole[-2:]), 2, -1)
    return first if np.array_equal(first, second) else None


def with_angles(node: Node, seen: Seen) -> Node | None:
    """A RotaryEmbedding whose cosines and sines are those of its own times, or as it is.

    Ensures: inputs X, cosines and sines (images or 1, times, pairs), where the tables and places
    are constant; BASE and OFFSET where the tables are those of the law.
    """
    if FOUND in node.attributes or len(node.inputs) < 3:
        return None
    cos, sin = (seen.values(each) for each in node.inputs[1:3])
    given = node.inputs[3] if len(node.inputs) > 3 else None
    if cos is None or sin is None or isinstance(given, Value):
        return None
    places = seen.values(given)
    if given is None:
        tables = cos[0], sin[0]
        places = np.arange(cos.shape[1])[None]
        cos, sin = _once(cos), _once(sin)
    elif places is None or not places.size or places.max() >= len(cos) or places.min() < 0:
        return None
    else:
        tables = cos, sin
        places = _once(places)
        cos, sin = cos[places], sin[places]
    said = {**node.attributes, FOUND: 1}
    law = _law(*tables) if len(cos) == 1 else None
    if law is not None and (np.diff(places[0]) == 1).all():
        said |= {BASE: law[0], OFFSET: law[1] + int(places[0, 0])}
    angles = (_known(f"{node.name}/{what}", each) for what, each in (("cos", cos), ("sin", sin)))
    return replace(node, inputs=(node.inputs[0], *angles), attributes=said)


def _known(name: str, values: Array) -> Constant:
    return Constant(
        name=name, shape=values.shape, element=1, source=Known(values.astype(np.float32))
    )


def _once(values: Array) -> Array:
    """The first image's, where all have the same."""
    return values[:1] if (values == values[:1]).all() else values


def _law(cos: Array, sin: Array) -> tuple[float, int] | None:
    """The base of tables (places, pairs), and their first place; None where they are no law's."""
    places, pairs = cos.shape
    if places < 2:
        return None
    first, second = (math.atan2(float(sin[at, -1]), float(cos[at, -1])) for at in range(2))
    least = second - first
    if pairs > 1 and not 0 < least < 1:
        return None
    offset = max(round(first / least), 0) if pairs > 1 else 0
    base = least ** (-pairs / (pairs - 1)) if pairs > 1 else 10000.0
    base = float(round(base)) if abs(base - round(base)) < _CLOSE * base else base
    angles = np.arange(offset, offset + places)[:, None] * base ** (-np.arange(pairs) / pairs)
    near = all(
        np.abs(made - found).max() < _CLOSE
        for made, found in ((np.cos(angles), cos), (np.sin(angles), sin))
    )
    return (base, offset) if near else None
