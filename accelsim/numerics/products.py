"""Operands of products of two computed tensors, as the array takes them: one group by another.

Where heads of queries share keys, or matrices a second matrix, their rows lie in one group.
"""

from functools import singledispatch

import numpy as np

from accelsim.network.graph import Layer
from accelsim.network.ops import AttentionContext, AttentionScores, MatMul, Op
from accelsim.numerics.formats import Array


@singledispatch
def grouped(op: Op, layer: Layer, x: Array, y: Array) -> tuple[Array, Array]:
    """Both operands (N, ...) as (groups, m, k) and (groups, k, n), those of an image in a row."""
    raise NotImplementedError(f"layers of type {op.name!r} are no product")


@grouped.register
def _(op: MatMul, layer: Layer, x: Array, y: Array) -> tuple[Array, Array]:
    (*_, m, k), (*_, _, n) = op.turned(layer.input_shapes)
    first, second, leading = op.leading(layer.input_shapes)
    own = len(leading) - op.shared(layer.input_shapes)
    if op.transpose_first:
        x = x.swapaxes(-1, -2)
    if op.transpose_second:
        y = y.swapaxes(-1, -2)
    x = np.broadcast_to(x.reshape(len(x), *first, m, k), (len(x), *leading, m, k))
    y = y.reshape(len(y), *second[:own], k, n)
    y = np.broadcast_to(y, (len(y), *leading[:own], k, n))
    groups = len(x) * op.sizes(layer.input_shapes).count
    return x.reshape(groups, -1, k), y.reshape(groups, k, n)


@grouped.register
def _(op: AttentionScores, layer: Layer, x: Array, y: Array) -> tuple[Array, Array]:
    images, queries, _ = x.shape
    x = x.reshape(images, queries, op.groups, op.shared_by, -1).transpose(0, 2, 3, 1, 4)
    y = y.reshape(images, len(y[0]), op.groups, -1).transpose(0, 2, 3, 1)
    groups = images * op.groups
    return x.reshape(groups, op.shared_by * queries, -1), y.reshape(groups, *y.shape[2:])


@grouped.register
def _(op: AttentionContext, layer: Layer, x: Array, y: Array) -> tuple[Array, Array]:
    images, _, queries, keys = x.shape
    groups = images * op.groups
    y = y.reshape(images, keys, op.groups, -1).transpose(0, 2, 1, 3)
    x = x.reshape(groups, op.shared_by * queries, keys)
    return x, y.reshape(groups, *y.shape[2:])


def ungrouped(layer: Layer, result: Array) -> Array:
    """The ofmap (N, ...) of what all groups made, (groups, m, n)."""
    op, shape = layer.op, layer.output_shape
    if not isinstance(op, AttentionContext):
        return result.reshape(-1, *shape)
    heads = result.reshape(-1, op.heads, shape[0], shape[1] // op.heads)
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(-1, *shape)
