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
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Elementwise,
    Flatten,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Reshape,
    Slice,
    Softmax,
    SubSampling,
    Transpose,
    Window,
)
from accelsim.network.ops.gradients import Gradient
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.gradients import gradient_values
from accelsim.numerics.parameters import LayerParameters, Parameters

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
        owner = network.by_name[layer.op.owner_of_parameters or layer.name]
        work = Computation(layer, inputs, parameters.layer(owner), output, arithmetic)
        ofmap = (by or compute)(work)
        yield work, ofmap
        tensors[layer.name] = Tensor(ofmap.values, output)
        for source in {*layer.inputs, layer.name}:
            readers = network.consumers[source]
            if not readers or readers[-1] == layer.name:
                del tensors[source]


def compute(work: Computation) -> Ofmap:
    """The ofmap of one layer."""
    return _compute(work.layer.op, work)


@singledispatch
def _compute(op: Op, work: Computation) -> Ofmap:
    """The ofmap of a layer of type `op`: one rule per type."""
    raise NotImplementedError(f"no reference for layers of type {op.name!r}")


# --- Windows --------------------------------------------------------------------------------------


def _padded(fmap: Array, rows: Window, cols: Window, fill: float) -> Array:
    """`fmap` (..., H, W) with `fill` around it, just as far as the windows reach."""
    height, width = ((w.outputs - 1) * w.stride + w.extent for w in (rows, cols))
    padded = np.full((*fmap.shape[:-2], height, width), fill, fmap.dtype)
    inside = padded[..., rows.before : rows.before + rows.size, :]
    inside = inside[..., cols.before : cols.before + cols.size]
    inside[...] = fmap[..., : inside.shape[-2], : inside.shape[-1]]
    return padded


def _taps(fmap: Array, rows: Window, cols: Window, fill: float) -> Array:
    """A view (..., R, S, P, Q) of padded `fmap` (..., H, W): the tap (r, s) of every window."""
    padded = _padded(fmap, rows, cols, fill)
    *outer, down, right = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (*fmap.shape[:-2], rows.kernel, cols.kernel, rows.outputs, cols.outputs),
        (
            *outer,
            *(rows.dilation * down, cols.dilation * right),
            *(rows.stride * down, cols.stride * right),
        ),
        writeable=False,
    )


def _data_taps(window: Window, count_padding: bool) -> Array:
    """How many taps of each output's window count, (outputs,): those on data or its padding."""
    first = np.arange(window.outputs) * window.stride - window.before
    low, high = (-window.before, window.size + window.after) if count_padding else (0, window.size)
    return np.minimum(first + window.extent, high) - np.maximum(first, low)


# --- Matrix products ------------------------------------------------------------------------------


def _unit(work: Computation) -> Array:
    """What 1 in a psum stands for: s_in * s_w, float32, () or (n,)."""
    scale = np.float32(work.inputs[0].quantization.scale)
    return np.multiply(scale, work.parameters.weight_scale, dtype=np.float32)


@_compute.register
def _(op: Conv, work: Computation) -> Ofmap:
    """filter (G, K/G, CRS) times im2col (G, CRS, PQ), image by image; G groups."""
    layer, arithmetic, (x,) = work.layer, work.arithmetic, work.inputs
    windows = op.windows(layer.input_shapes[0])
    weight = arithmetic.operand(work.parameters.weight).reshape(
        op.groups, op.out_channels // op.groups, -1
    )
    start = arithmetic.preload(_grouped(work.parameters.bias, op.groups))
    unit = np.broadcast_to(_unit(work), op.out_channels).reshape(*weight.shape[:2], 1)
    ofmap = np.empty((work.batch, *layer.output_shape), x.values.dtype)
    overflowed = 0
    for image, result in zip(arithmetic.operand(x), ofmap, strict=True):
        columns = _taps(image, *windows, 0).reshape(op.groups, weight.shape[-1], -1)
        psum = arithmetic.accumulate(start, weight, columns)
        codes = arithmetic.finish(psum, unit, work.output, op.activation)
        result[...] = codes.reshape(layer.output_shape)
        overflowed += arithmetic.overflowed(psum)
    return Ofmap(ofmap, overflowed)


def _grouped(bias: Array | None, groups: int) -> Array | None:
    return None if bias is None else bias.reshape(groups, -1)


@_compute.register
def _(op: Dense, work: Computation) -> Ofmap:
    """weight (n, k) times the inputs as columns (k, N * rows)."""
    arithmetic, (x,) = work.arithmetic, work.inputs
    weight = arithmetic.operand(work.parameters.weight)
    columns = arithmetic.operand(x).reshape(-1, weight.shape[1]).T
    psum = arithmetic.accumulate(arithmetic.preload(work.parameters.bias), weight, columns)
    unit = _unit(work).reshape(-1, 1)
    codes = arithmetic.finish(psum, unit, work.output, op.activation)
    return Ofmap(codes.T.reshape(work.batch, *work.layer.output_shape), arithmetic.overflowed(psum))


@_compute.register
def _(op: MatMul, work: Computation) -> Ofmap:
    arithmetic, (x, y) = work.arithmetic, work.inputs
    psum = arithmetic.accumulate(
        arithmetic.preload(None), arithmetic.operand(x), arithmetic.operand(y)
    )
    unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
    codes = arithmetic.finish(psum, np.asarray(unit), work.output, op.activation)
    return Ofmap(codes, arithmetic.overflowed(psum))


# --- Pooling --------------------------------------------------------------------------------------


@_compute.register
def _(op: MaxPool, work: Computation) -> Ofmap:
    (x,) = work.inputs
    windows = op.windows(work.layer.input_shapes[0])
    taps = _taps(x.values, *windows, work.arithmetic.activation.lowest)
    height, width = taps.shape[-4:-2]
    views = (taps[..., r, s, :, :] for r in range(height) for s in range(width))
    largest = reduce(np.maximum, views)
    return Ofmap(work.arithmetic.rescale(Tensor(largest, x.quantization), work.output))


@_compute.register
def _(op: AvgPool, work: Computation) -> Ofmap:
    (x,) = work.inputs
    rows, cols = op.windows(work.layer.input_shapes[0])
    taps = _taps(work.arithmetic.operand(x), rows, cols, 0)
    wide = taps.dtype if taps.dtype.kind == "f" else np.int64
    sums = taps.sum((-4, -3), dtype=wide)
    counts = np.outer(_data_taps(rows, op.count_padding), _data_taps(cols, op.count_padding))
    return Ofmap(work.arithmetic.mean(sums, counts, x.quantization, work.output))


@_compute.register
def _(op: SubSampling, work: Computation) -> Ofmap:
    (x,) = work.inputs
    taps = _taps(work.arithmetic.operand(x), *op.windows(work.layer.input_shapes[0]), 0)
    wide = taps.dtype if taps.dtype.kind == "f" else np.int64
    sums = Tensor(taps.sum((-4, -3), dtype=wide), replace(x.quantization, zero_point=0))
    slope, offset = (work.parameters.arrays[name].reshape(-1, 1, 1) for name in ("beta", "offset"))
    return Ofmap(work.arithmetic.affine(sums, slope, offset, work.output, op.activation))


# --- Element by element ---------------------------------------------------------------------------


@_compute.register
def _(op: Add, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.add(work.inputs, work.output, op.activation))


@_compute.register
def _(op: Mul, work: Computation) -> Ofmap:
    x, y = work.inputs
    return Ofmap(work.arithmetic.multiply(x, y, work.output, op.activation))


@_compute.register
def _(op: BatchNorm, work: Computation) -> Ofmap:
    (x,) = work.inputs
    per_channel = (-1, *(1,) * (x.values.ndim - 2))
    slope, offset = batch_norm_line(op, work.parameters)
    values = work.arithmetic.affine(
        x, slope.reshape(per_channel), offset.reshape(per_channel), work.output, op.activation
    )
    return Ofmap(values)


def batch_norm_line(op: BatchNorm, parameters: LayerParameters) -> tuple[Array, Array]:
    """Slope and offset per channel (C,), float32, of the line that batch_norm is."""
    gamma, beta, mean, variance = (
        parameters.arrays[name].astype(np.float64) for name in ("gamma", "beta", "mean", "variance")
    )
    slope = gamma / np.sqrt(variance + op.epsilon)
    return slope.astype(np.float32), (beta - slope * mean).astype(np.float32)


@_compute.register
def _(op: Elementwise, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.apply(op, work.inputs[0], work.output))


# --- Across channels ------------------------------------------------------------------------------


@_compute.register
def _(op: Softmax, work: Computation) -> Ofmap:
    axis = 1 + op.axis(work.layer.output_shape)
    return Ofmap(work.arithmetic.softmax(work.inputs[0], axis, work.output))


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
    axis = 1 + op.axis(work.layer.output_shape)
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
def _(op: Slice, work: Computation) -> Ofmap:
    (x,) = work.inputs
    taken = Tensor(np.ascontiguousarray(x.values[:, *op.axes]), x.quantization)
    return Ofmap(work.arithmetic.rescale(taken, work.output))


def _turned(op: Transpose, x: Tensor) -> Tensor:
    order = (0, *(1 + axis for axis in op.order))
    return Tensor(np.ascontiguousarray(x.values.transpose(order)), x.quantization)


# --- A training step ------------------------------------------------------------------------------


@_compute.register
def _(op: Gradient, work: Computation) -> Ofmap:
    return Ofmap(work.arithmetic.stored(gradient_values(work)))
