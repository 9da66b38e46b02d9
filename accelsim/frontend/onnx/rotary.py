"""The angles of rotary embeddings (opset 23), looked up in their tables and found to be a law."""

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


class Seen(Protocol):
    """What a pattern asks of the constants."""

    def values(self, operand: Value | Constant | None) -> Array | None:
        """The values of a constant; None of what is none, or too large."""


def with_angles(node: Node, seen: Seen) -> Node | None:
    """A RotaryEmbedding whose cosines and sines are those of its own times, or as it is.

    Ensures: inputs X, cosines and sines (images or 1, times, pairs), where the tables and places
    are constant; BASE and OFFSET where the tables are those of the law.
    """
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
    said = dict(node.attributes)
    base = _base(*tables) if len(cos) == 1 else None
    if base is not None and (np.diff(places[0]) == 1).all():
        said |= {BASE: base, OFFSET: int(places[0, 0])}
    angles = (_known(f"{node.name}/{what}", each) for what, each in (("cos", cos), ("sin", sin)))
    return replace(node, inputs=(node.inputs[0], *angles), attributes=said)


def _known(name: str, values: Array) -> Constant:
    return Constant(name, values.shape, 1, Known(values.astype(np.float32)))


def _once(values: Array) -> Array:
    """The first image's, where all have the same."""
    return values[:1] if (values == values[:1]).all() else values


def _base(cos: Array, sin: Array) -> float | None:
    """The base of tables (places, pairs); None where they are no such law's."""
    places, pairs = cos.shape
    if places < 2:
        return None
    least = math.atan2(float(sin[1, -1]), float(cos[1, -1]))
    if pairs > 1 and not 0 < least < 1:
        return None
    base = least ** (-pairs / (pairs - 1)) if pairs > 1 else 10000.0
    base = float(round(base)) if abs(base - round(base)) < _CLOSE * base else base
    angles = np.arange(places)[:, None] * base ** (-np.arange(pairs) / pairs)
    near = all(
        np.abs(made - found).max() < _CLOSE
        for made, found in ((np.cos(angles), cos), (np.sin(angles), sin))
    )
    return base if near else None
