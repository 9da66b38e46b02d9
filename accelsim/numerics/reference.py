"""The golden reference: every layer from its definition, on whole arrays.

It knows neither hardware nor tiles. What the tiled executor computes must equal this bit for bit
in integers, and lie within the bound of `tolerance` in floats.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce, singledispatch

import numpy as np

from accelsim.network.graph import Network
from accelsim.network.ops import (
    Add,
    ArgMax,
    AsValues,
    AttentionContext,
    AttentionScores,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    DynamicQuantize,
    Elementwise,
    Expand,
    Flatten,
    Largest,
    Local,
    Lrn,
    Maps,
    MatMul,
    MaxPool,
    Mean,
    Mul,
    Normalised,
    Op,
    Pad,
    Phase,
    Phases,
    Pointwise,
    Product,
    Reduction,
    Reshape,
    Resize,
    ScaleShift,
    Softmax,
    Sort,
    SubSampling,
    Taking,
    TokenLayer,
    Transpose,
)
from accelsim.network.ops.gradient import Gradient
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.gradients import gradient_values
from accelsim.numerics.normal import batch_norm_line, lines_of
from accelsim.numerics.operations import Row
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.spatial import phase_of, placed, unshared
from accelsim.numerics.taps import data_taps, grouped, taps_over, unit_of
from accelsim.numerics.tokens import token_values

Compute = Callable[[Computation], Ofmap]
"""What computes a layer."""


def reference(
    network: Network,
    arithmetic: Arithmetic,
    parameters: Parameters,
    batch: int = 1,
    by: Compute | None = None,
) -> Iterator[tuple[Computation, Ofmap]]:
    """Compute `network` layer by layer on `batch` inputs; `by` takes the place of `compute`.

    A tensor is dropped when its last reader is done, a layer's parameters when the next begins.
    """
    tensors = {name: parameters.input(name, shape, batch) for name, shape in network.inputs.items()}
    for layer in network.layers:
        inputs = tuple(tensors[source] for source in layer.inputs)
        output = parameters.quantization(layer.name)
        learned = parameters.layer(network.by_name[layer.owner])
        if isinstance(layer.op, (Conv, Dense)) and not layer.op.bias:
            learned = learned.without_bias  # another layer's may have one
        work = Computation(
            layer=layer, inputs=inputs, parameters=learned, output=output, arithmetic=arithmetic
        )
        ofmap = (by or compute)(work)
        yield work, ofmap
        tensors[layer.name] = Tensor(ofmap.values, output)
        for source in {*layer.inputs, layer.name}:
            readers = network.consumers[source]
            if not readers or readers[-1] == layer.name:
                del tensors[source]


def compute(work: Computation) -> Ofmap:
    """The ofmap of one layer."""
    return work.stored(_compute(work.layer.op, work))


@singledispatch
def _compute(op: Op, work: Computation) -> Ofmap:
    """The ofmap of a layer of type `op`: one rule per type."""
    raise NotImplementedError(f"no reference for layers of type {op.name!r}")


# --- Matrix products ------------------------------------------------------------------------------


@_compute.register
def _(op: Conv, work: Computation) -> Ofmap:
    """filter (G, K/G, CRS) times im2col (G, CRS, PQ), image by image; G groups."""
    layer, arithmetic, (x,) = work.layer, work.arithmetic, work.inputs
    windows = op.windows(layer.input_shapes[0])
    weight = arithmetic.operand(work.parameters.weight).reshape(
        op.groups, op.out_channels // op.groups, -1
    )
    start = arithmetic.preload(grouped(work.parameters.bias, op.groups))
    unit = np.broadcast_to(unit_of(work), op.out_channels).reshape(*weight.shape[:2], 1)
    ofmap = np.empty((work.batch, *layer.output_shape), x.values.dtype)
    overflowed = 0
    for image, result in zip(arithmetic.operand(x), ofmap, strict=True):
        columns = taps_over(image, *windows, 0).reshape(op.groups, weight.shape[-1], -1)
        psum = arithmetic.accumulate(start, weight, columns)
        codes = arithmetic.finish(psum, unit, work.output, op.activation)
        result[...] = codes.reshape(layer.output_shape)
        overflowed += arithmetic.overflowed(psum)
    return Ofmap(ofmap, overflowed)


@_compute.register
def _(op: Dense, work: Computation) -> Ofmap:
    """weight (n, k) times the inputs as columns (k, N * rows)."""
    arithmetic, (x,) = work.arithmetic, work.inputs
    weight = arithmetic.operand(work.parameters.weight)
    columns = arithmetic.operand(x).reshape(-1, weight.shape[1]).T
    psum = arithmetic.accumulate(arithmetic.preload(work.parameters.bias), weight, columns)
    unit = unit_of(work).reshape(-1, 1)
    codes = arithmetic.finish(psum, unit, work.output, op.activation)
    return Ofmap(codes.T.reshape(work.batch, *work.layer.output_shape), arithmetic.overflowed(psum))


@_compute.register
def _(op: Product, work: Computation) -> Ofmap:
    arithmetic = work.arithmetic
    first, second = _stacks(op, *map(arithmetic.operand, work.inputs))
    factor = op.factor_of(work.layer.input_shapes)
    first = arithmetic.weighted(first, factor)
    psum = arithmetic.accumulate(arithmetic.preload(None), first, second)
    codes = arithmetic.finish(psum, unit_of_product(work), work.output, op.activation)
    if isinstance(op, AttentionContext):
        codes = codes.swapaxes(1, 2)
    ofmap = np.ascontiguousarray(codes).reshape(work.batch, *work.layer.output_shape)
    return Ofmap(ofmap, arithmetic.overflowed(psum))


def unit_of_product(work: Computation) -> Array:
    """What 1 in a psum of two computed operands stands for, float32, ()."""
    op, (x, y) = work.layer.op, work.inputs
    assert isinstance(op, Product)
    unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
    return np.asarray(unit * np.float32(op.factor_of(work.layer.input_shapes)))


@singledispatch
def _stacks(op: Op, x: Array, y: Array) -> tuple[Array, Array]:
    """Operands of a product as stacks of matrices (..., m, k) and (..., k, n)."""
    raise NotImplementedError(f"no reference for layers of type {op.name!r}")


@_stacks.register
def _(op: MatMul, x: Array, y: Array) -> tuple[Array, Array]:
    x, y = (
        values.swapaxes(-1, -2) if swap else values
        for values, swap in ((x, op.transpose_first), (y, op.transpose_second))
    )
    rank = max(x.ndim, y.ndim)
    x, y = (v.reshape(len(v), *(1,) * (rank - v.ndim), *v.shape[1:]) for v in (x, y))
    stack = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return tuple(np.broadcast_to(v, (*stack, *v.shape[-2:])) for v in (x, y))  # type: ignore[return-value]


@_stacks.register
def _(op: AttentionScores, x: Array, y: Array) -> tuple[Array, Array]:
    """Heads one by one, those of keys as often as they are shared."""
    queries, keys = _heads(x, op.heads), _heads(y, op.groups).repeat(op.shared_by, 1)
    return queries, keys.swapaxes(2, 3)


@_stacks.register
def _(op: AttentionContext, x: Array, y: Array) -> tuple[Array, Array]:
    return x, _heads(y, op.groups).repeat(op.shared_by, 1)


def _heads(values: Array, heads: int) -> Array:
    """(N, T, heads * d) as (N, heads, T, d)."""
    return values.reshape(*values.shape[:2], heads, -1).swapaxes(1, 2)


# --- Pooling --------------------------------------------------------------------------------------


@_compute.register
def _(op: MaxPool, work: Computation) -> Ofmap:
    (x,) = work.inputs
    windows = op.windows(work.layer.input_shapes[0])
    taps = taps_over(x.values, *windows, work.arithmetic.activation.lowest)
    height, width = taps.shape[-4:-2]
    views = (taps[..., r, s, :, :] for r in range(height) for s in range(width))
    largest = reduce(np.maximum, views)
    return Ofmap(work.arithmetic.rescale(Tensor(largest, x.quantization), work.output))


@_compute.register
def _(op: AvgPool, work: Computation) -> Ofmap:
    (x,) = work.inputs
    rows, cols = op.windows(work.layer.input_shapes[0])
    taps = taps_over(work.arithmetic.operand(x), rows, cols, 0)
    wide = taps.dtype if taps.dtype.kind == "f" else np.int64
    sums = taps.sum((-4, -3), dtype=wide)
    counts = np.outer(data_taps(rows, op.count_padding), data_taps(cols, op.count_padding))
    return Ofmap(work.arithmetic.mean(sums, counts, x.quantization, work.output))


@_compute.register
def _(op: SubSampling, work: Computation) -> Ofmap:
    (x,) = work.inputs
    taps = taps_over(work.arithmetic.operand(x), *op.windows(work.layer.input_shapes[0]), 0)
    wide = taps.dtype if taps.dtype.kind == "f" else np.int64
    sums = Tensor(taps.sum((-4, -3), dtype=wide), replace(x.quantization, zero_point=0))
    slope, offset = (work.parameters.arrays[name].reshape(-1, 1, 1) for name in ("beta", "offset"))
    return Ofmap(work.arithmetic.affine(sums, slope, offset, work.output, op.activation))


@_compute.register
def _(op: Reduction, work: Computation) -> Ofmap:
    (x,), arithmetic = work.inputs, work.arithmetic
    start, stop = op.reduced(work.layer.input_shapes[0])
    axes = tuple(range(1 + start, 1 + stop))
    shape = (work.batch, *work.layer.output_shape)
    if isinstance(op, Largest):
        largest = Tensor(x.values.max(axes).reshape(shape), x.quantization)
        return Ofmap(arithmetic.rescale(largest, work.output))
    sums = arithmetic.sums(x, axes)
    counts = np.asarray(x.values.size // sums.size if isinstance(op, Mean) else 1)
    values = arithmetic.mean(sums, counts, x.quantization, work.output)
    return Ofmap(values.reshape(shape))


@_compute.register
def _(op: ArgMax, work: Computation) -> Ofmap:
    (x,) = work.inputs
    folded = op.keys(x.values).reshape(work.batch, *op.parts(work.layer.input_shapes[0]))
    places = work.arithmetic.coded(op.place(folded, 2), work.output)
    return Ofmap(places.reshape(work.batch, *work.layer.output_shape))


# --- Element by element ---------------------------------------------------------------------------


@_compute.register
def _(op: Add, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.add(work.inputs, work.output, op.activation))


@_compute.register
def _(op: Mul, work: Computation) -> Ofmap:
    x, y = work.inputs
    return Ofmap(work.arithmetic.multiply(x, y, work.output, op.activation))


@_compute.register
def _(op: Pointwise, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.pointwise(op, work.inputs, work.output))


@_compute.register
def _(op: BatchNorm, work: Computation) -> Ofmap:
    (x,) = work.inputs
    per_channel = (-1, *(1,) * (x.values.ndim - 2))
    slope, offset = batch_norm_line(op, work.parameters)
    values = work.arithmetic.affine(
        x, slope.reshape(per_channel), offset.reshape(per_channel), work.output, op.activation
    )
    return Ofmap(values)


@_compute.register
def _(op: ScaleShift, work: Computation) -> Ofmap:
    gamma, beta = (work.parameters.arrays[name] for name in ("gamma", "beta"))
    return Ofmap(work.arithmetic.affine(work.inputs[0], gamma, beta, work.output, None))


@_compute.register
def _(op: Elementwise, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.apply(op, work.inputs[0], work.output))


# --- Across channels ------------------------------------------------------------------------------


@_compute.register
def _(op: Softmax, work: Computation) -> Ofmap:
    shape = work.layer.output_shape
    hidden = None
    if op.causal:
        queries, keys = shape[-2:]
        hidden = ~np.tri(queries, keys, keys - queries, dtype=bool)
    axis = 1 + op.along(shape)
    return Ofmap(work.arithmetic.softmax(work.inputs[0], axis, work.output, hidden))


@_compute.register
def _(op: DynamicQuantize, work: Computation) -> Ofmap:
    (x,) = work.inputs
    axes = tuple(range(1, x.values.ndim))
    low, high = x.values.min(axes, keepdims=True), x.values.max(axes, keepdims=True)
    return Ofmap(work.arithmetic.stepped(x, low, high, work.output))


@_compute.register
def _(op: Normalised, work: Computation) -> Ofmap:
    """Row by row; gamma and beta stand side by side with the values."""
    (x,), arithmetic, shape = work.inputs, work.arithmetic, work.layer.output_shape
    rows, count = op.rows(shape)
    folded = Tensor(x.values.reshape(work.batch, rows, count), x.quantization)
    gamma, beta = (
        np.broadcast_to(line, (rows, count)) for line in lines_of(op, work.parameters, shape)
    )
    sums = arithmetic.sums(folded, 2) if op.centred else None
    row = Row(sums, arithmetic.squares(folded, 2, sums, count), count, op.epsilon)
    ofmap = arithmetic.standardised(folded, row, gamma, beta, work.output)
    return Ofmap(ofmap.reshape(x.values.shape))


@_compute.register
def _(op: Sort, work: Computation) -> Ofmap:
    (x,) = work.inputs
    axis = 1 + op.along(work.layer.output_shape)
    order = op.order(x.values, axis)
    if op.gives == "places":
        return Ofmap(work.arithmetic.coded(order, work.output))
    ranked = Tensor(np.take_along_axis(x.values, order, axis), x.quantization)
    return Ofmap(work.arithmetic.rescale(ranked, work.output))


@_compute.register
def _(op: Lrn, work: Computation) -> Ofmap:
    (x,) = work.inputs
    operand = work.arithmetic.operand(x)
    wide = operand.dtype if operand.dtype.kind == "f" else np.int64
    side = op.size // 2
    squares = np.pad(np.square(operand, dtype=wide), ((0, 0), (side, side), (0, 0), (0, 0)))
    channels = operand.shape[1]
    sums = reduce(np.add, (squares[:, i : i + channels] for i in range(op.size)))
    return Ofmap(work.arithmetic.normalise(x, sums, op, work.output))


# --- Moving values --------------------------------------------------------------------------------


@_compute.register
def _(op: Concat, work: Computation) -> Ofmap:
    axis = 1 + op.along(work.layer.output_shape)
    parts = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
    return Ofmap(np.concatenate(parts, axis))


@_compute.register(Flatten)
@_compute.register(Reshape)
@_compute.register(Dropout)
def _(op: Flatten | Reshape | Dropout, work: Computation) -> Ofmap:
    return Ofmap(work.inputs[0].values.reshape(work.batch, *work.layer.output_shape))


@_compute.register
def _(op: Transpose, work: Computation) -> Ofmap:
    (x,) = work.inputs
    return Ofmap(work.arithmetic.rescale(_turned(op, x), work.output))


@_compute.register
def _(op: Expand, work: Computation) -> Ofmap:
    (x,) = work.inputs
    whole = np.broadcast_to(x.values, (work.batch, *op.shape))
    expanded = Tensor(np.ascontiguousarray(whole), x.quantization)
    return Ofmap(work.arithmetic.rescale(expanded, work.output))


@_compute.register
def _(op: Maps, work: Computation) -> Ofmap:
    (x,) = work.inputs
    taken = Tensor(x.values[:, list(op.maps)], x.quantization)
    return Ofmap(work.arithmetic.rescale(taken, work.output))


@_compute.register
def _(op: Taking, work: Computation) -> Ofmap:
    (x,) = work.inputs
    taken = Tensor(np.ascontiguousarray(x.values[:, *op.taken(x.values.shape[1:])]), x.quantization)
    return Ofmap(work.arithmetic.rescale(taken, work.output))


def _turned(op: Transpose, x: Tensor) -> Tensor:
    order = (0, *(1 + axis for axis in op.order))
    return Tensor(np.ascontiguousarray(x.values.transpose(order)), x.quantization)


@_compute.register(Pad)
@_compute.register(Resize)
@_compute.register(Phases)
def _(op: Op, work: Computation) -> Ofmap:
    return Ofmap(placed(op, work))


@_compute.register
def _(op: Phase, work: Computation) -> Ofmap:
    return phase_of(op, work)


@_compute.register
def _(op: Local, work: Computation) -> Ofmap:
    return unshared(op, work)


# --- Sequences ------------------------------------------------------------------------------------


@_compute.register
def _(op: AsValues, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.coded(work.inputs[0].reals, work.output))


@_compute.register
def _(op: TokenLayer, work: Computation) -> Ofmap:
    return Ofmap(token_values(work))


# --- A training step ------------------------------------------------------------------------------


@_compute.register
def _(op: Gradient, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.stored(gradient_values(work)))
