"""The values of layers of sequences, (N, T, features): whole, or of some tokens and features.

Of the whole it is the definition. A tile asks for its own part, and computes from no more.
"""

from functools import singledispatch
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Append, ClassToken, Embedding, Op, Position, Rotary
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array, Quantization, Tensor

_ALL = slice(None)


class Part(NamedTuple):
    """Images, tokens and features of an ofmap."""

    images: slice = _ALL
    tokens: slice = _ALL
    features: slice = _ALL


WHOLE = Part()


def token_values(work: Computation, part: Part = WHOLE) -> Array:
    """The part (n, t, f) of a layer's ofmap; not of a rotary embedding, which turns pairs."""
    return _values(work.layer.op, work, part)


@singledispatch
def _values(op: Op, work: Computation, part: Part) -> Array:
    """One rule per layer type."""
    raise NotImplementedError(f"no rule for layers of type {op.name!r}")


@_values.register
def _(op: Embedding, work: Computation, part: Part) -> Array:
    numbers = entries_of(work.inputs[0], op.entries)[part.images, part.tokens]
    return _rows(work, numbers, part.features)


@_values.register
def _(op: Position, work: Computation, part: Part) -> Array:
    """The rows as codes of the ofmap, which are added."""
    places = np.arange(op.offset, op.offset + work.layer.output_shape[0])[part.tokens]
    (x,) = work.inputs
    token = Tensor(x.values[part.images, part.tokens, part.features], x.quantization)
    rows = Tensor(_rows(work, places[None], part.features), work.output)
    return work.arithmetic.add([token, rows], work.output, None)


@_values.register
def _(op: ClassToken, work: Computation, part: Part) -> Array:
    (x,) = work.inputs
    places = np.arange(work.layer.output_shape[0])[part.tokens]
    inside = x.values[part.images, places[places > 0] - 1, part.features]
    rest = work.arithmetic.rescale(Tensor(inside, x.quantization), work.output)
    first = _rows(work, np.zeros((1, (places == 0).sum()), np.int32), part.features)
    return np.concatenate([np.broadcast_to(first, (len(rest), *first.shape[1:])), rest], 1)


@_values.register
def _(op: Append, work: Computation, part: Part) -> Array:
    both = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
    return np.concatenate(both, -2)[part.images][..., part.tokens, part.features]


@_values.register
def _(op: Rotary, work: Computation, part: Part) -> Array:
    """Each of a pair times the cosine, less or plus the other times the sine."""
    assert part == WHOLE
    (x,) = work.inputs
    pairs = op.pairs(work.layer.output_shape)
    shape = (*x.values.shape[:2], op.heads, *((pairs, 2) if op.interleaved else (2, pairs)))
    axis = 4 if op.interleaved else 3
    one, two = np.moveaxis(x.values.reshape(shape), axis, 0)
    cosine, sine = (each[:, None] for each in turns(op, work))
    first, second = Tensor(one, x.quantization), Tensor(two, x.quantization)
    arithmetic = work.arithmetic
    turned = [
        arithmetic.combined([(first, cosine), (second, -sine)], work.output),
        arithmetic.combined([(second, cosine), (first, sine)], work.output),
    ]
    return np.stack(turned, axis).reshape(x.values.shape)


def turns(op: Rotary, work: Computation) -> tuple[Array, Array]:
    """Cosine and sine of the angle of each token and pair, float64, (T, pairs)."""
    tokens, features = work.layer.output_shape
    pairs = features // op.heads // 2
    times = np.arange(op.offset, op.offset + tokens)
    angles = op.sense * np.outer(times, op.base ** (-np.arange(pairs) / pairs))
    return np.cos(angles), np.sin(angles)


def entries_of(numbers: Tensor, count: int) -> NDArray[np.int64]:
    """Which of `count` entries numbers (any shape) mean, int64; computed ones are rounded."""
    nearest = np.rint(np.nan_to_num(numbers.reals))
    entries: NDArray[np.int64] = np.clip(nearest, -count, count - 1).astype(np.int64) % count
    return entries


def _rows(work: Computation, places: Array, features: slice) -> Array:
    """Rows of the learned table (n, t, f), as codes of the ofmap."""
    parameters = work.parameters
    table = parameters.weight
    scale = np.broadcast_to(parameters.weight_scale, table.values.shape[:1])[places][..., None]
    rows = Tensor(table.values[places, features], Quantization(1.0, table.quantization.zero_point))
    return work.arithmetic.affine(rows, scale, np.zeros(1, np.float32), work.output, None)
