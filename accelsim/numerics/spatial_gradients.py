"""Gradients of transposed and unshared convolutions, of what moves values: definitions."""

from functools import reduce

import numpy as np

from accelsim.network.ops import Maps, Pad, Resize
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import EmbeddingGradient, ParameterSum
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array
from accelsim.numerics.spatial import shares_of
from accelsim.numerics.taps import taps_over
from accelsim.numerics.tokens import entries_of

# --- Transposed convolution -----------------------------------------------------------------------


def transposed_input(op: TransposedInputGradient, work: Computation) -> Array:
    """A convolution of the gradient."""
    groups = op.conv.groups
    taps = taps_over(work.inputs[0].values, *op.windows, 0)
    taps = taps.reshape(len(taps), groups, -1, *taps.shape[2:])
    weight = work.parameters.arrays["weight"]
    filters = weight.reshape(groups, -1, *weight.shape[1:])
    return np.asarray(np.einsum("gkcrs,ngkrspq->ngcpq", filters, taps, optimize=True))


def transposed_weight(op: TransposedWeightGradient, work: Computation) -> Array:
    """The gradient's windows times what they were made of."""
    groups = op.conv.groups
    gradient, x = (each.values for each in work.inputs)
    taps = taps_over(gradient, *op.conv.windows(op.whole), 0)
    taps = taps.reshape(len(taps), groups, -1, *taps.shape[2:])
    ifmap = x.reshape(len(x), groups, -1, *x.shape[2:])
    return np.asarray(np.einsum("ngkrspq,ngcpq->gkcrs", taps, ifmap, optimize=True))


# --- Unshared convolution -------------------------------------------------------------------------


def local_weight(op: LocalWeightGradient, work: Computation) -> Array:
    """Place by place, summed over images."""
    x, gradient = (each.values for each in work.inputs)
    taps = taps_over(x, *op.local.windows(x.shape[1:]), 0)
    return np.asarray(np.einsum("ncrspq,nkpq->kpqcrs", taps, gradient, optimize=True))


def local_columns(op: LocalColumns, work: Computation) -> Array:
    """The windows' gradients, apart."""
    weight, gradient = work.parameters.arrays["weight"], work.inputs[0].values
    return np.asarray(np.einsum("kpqcrs,nkpq->ncrspq", weight, gradient, optimize=True))


def columns_fold(op: ColumnsFold, work: Computation) -> Array:
    """Each tap of each window added to its place."""
    rows, cols = op.local.windows(op.shape)
    (columns,) = (each.values for each in work.inputs)
    taps = columns.reshape(len(columns), op.shape[0], rows.kernel, cols.kernel, *columns.shape[2:])
    sides = (rows.before + rows.size + rows.after, cols.before + cols.size + cols.after)
    whole = np.zeros((len(columns), op.shape[0], *sides), columns.dtype)
    for r in range(rows.kernel):
        for s in range(cols.kernel):
            down = slice(r, r + (rows.outputs - 1) * rows.stride + 1, rows.stride)
            across = slice(s, s + (cols.outputs - 1) * cols.stride + 1, cols.stride)
            place = whole[..., down, across]
            place[...] = place + taps[:, :, r, s]
    inside = whole[..., rows.before : rows.before + rows.size, :]
    return inside[..., cols.before : cols.before + cols.size]


# --- Moved values ---------------------------------------------------------------------------------


def axis_gradient(op: AxisGradient, work: Computation) -> Array:
    """Along each axis in turn, by the shares that the places had."""
    values = work.inputs[0].values
    for axis, shares in enumerate(axis_shares(op), start=1):
        if shares is not None:
            moved = np.moveaxis(values, axis, -1) @ shares.astype(values.dtype)
            values = np.moveaxis(moved, -1, axis)
    return values


def axis_shares(op: AxisGradient) -> list[Array | None]:
    """For each axis the shares (outputs, inputs) that outputs have of inputs; None: as it is."""
    match op.forward:
        case Resize() as resize:
            sizes = enumerate(op.shape[1:])
            return [None, *(shares_of(resize, axis, given) for axis, given in sizes)]
        case Maps(maps=maps):
            return [np.asarray(maps)[:, None] == np.arange(op.shape[0]), None, None]
        case Pad() as pad:
            sides = zip(op.shape, pad.before, pad.after, strict=True)
            return [_padding(size, side, pad.mode) for size, *side in sides]


def _padding(size: int, side: list[int], mode: str) -> Array:
    index = np.pad(np.arange(size), side, mode="reflect" if mode == "reflect" else "edge")
    return np.asarray(index[:, None] == np.arange(size), np.float64)


# --- Tables and shared weights --------------------------------------------------------------------


def embedding(op: EmbeddingGradient, work: Computation) -> Array:
    """Token after token."""
    entries = entries_of(work.inputs[0], op.shape[0])
    gradient = work.inputs[1].values
    table = np.zeros(op.shape, gradient.dtype)
    np.add.at(table, entries.reshape(-1), gradient.reshape(-1, op.shape[1]))
    return table


def parameter_sum(op: ParameterSum, work: Computation) -> Array:
    """In the order in which they come."""
    parts = (each.values.reshape(1, *op.shape) for each in work.inputs)
    return reduce(np.add, parts)
