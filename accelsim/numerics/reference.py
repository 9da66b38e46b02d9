"""The golden reference: every layer from its definition, on whole arrays.

It knows neither hardware nor tiles. What the tiled executor computes must equal this bit for bit
in integers, and lie within the bound of `tolerance` in floats.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce, singledispatch

import numpy as np

from accelsim.network.graph import Layer, Network
from accelsim.network.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    LeakyRelu,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
    Window,
)
from accelsim.numerics.arithmetic import (
    Arithmetic,
    Function,
    LeakyReluFunction,
    relu,
    sigmoid,
    tanh,
)
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import LayerParameters, Parameters


@dataclass(frozen=True, slots=True)
class Step:
    """One layer, ready to compute: its ifmaps, learned values and the ofmap's quantization."""

    layer: Layer
    inputs: tuple[Tensor, ...]
    parameters: LayerParameters
    output: Quantization
    arithmetic: Arithmetic

    @property
    def batch(self) -> int:
        """Images computed at once, N."""
        return len(self.inputs[0].values)


@dataclass(frozen=True, slots=True)
class Ofmap:
    """What a layer computed, (N, *output_shape), and how many psums overflowed on the way."""

    values: Array
    overflowed: int = 0


def reference(
    network: Network, arithmetic: Arithmetic, parameters: Parameters, batch: int = 1
) -> Iterator[tuple[Step, Ofmap]]:
    """Compute `network` layer by layer on `batch` inputs.

    A tensor is dropped when its last reader is done, a layer's parameters when the next begins.
    """
    tensors = {name: parameters.input(name, shape, batch) for name, shape in network.inputs.items()}
    for layer in network.layers:
        inputs = tuple(tensors[source] for source in layer.inputs)
        output = parameters.quantization(layer.name)
        step = Step(layer, inputs, parameters.layer(layer), output, arithmetic)
        ofmap = compute(step)
        yield step, ofmap
        tensors[layer.name] = Tensor(ofmap.values, output)
        for source in {*layer.inputs, layer.name}:
            readers = network.consumers[source]
            if not readers or readers[-1] == layer.name:
                del tensors[source]


def compute(step: Step) -> Ofmap:
    """The ofmap of one layer."""
    return _compute(step.layer.op, step)


@singledispatch
def _compute(op: Op, step: Step) -> Ofmap:
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


def _unit(step: Step) -> Array:
    """What 1 in a psum stands for: s_in * s_w, float32, () or (n,)."""
    scale = np.float32(step.inputs[0].quantization.scale)
    return np.multiply(scale, step.parameters.weight_scale, dtype=np.float32)


@_compute.register
def _(op: Conv, step: Step) -> Ofmap:
    """filter (G, K/G, CRS) times im2col (G, CRS, PQ), image by image; G groups."""
    layer, arithmetic, (x,) = step.layer, step.arithmetic, step.inputs
    windows = op.windows(layer.input_shapes[0])
    weight = arithmetic.operand(step.parameters.weight).reshape(
        op.groups, op.out_channels // op.groups, -1
    )
    start = arithmetic.preload(_grouped(step.parameters.bias, op.groups))
    unit = np.broadcast_to(_unit(step), op.out_channels).reshape(*weight.shape[:2], 1)
    ofmap = np.empty((step.batch, *layer.output_shape), x.values.dtype)
    overflowed = 0
    for image, result in zip(arithmetic.operand(x), ofmap, strict=True):
        columns = _taps(image, *windows, 0).reshape(op.groups, weight.shape[-1], -1)
        psum = arithmetic.accumulate(start, weight, columns)
        codes = arithmetic.finish(psum, unit, step.output, op.activation)
        result[...] = codes.reshape(layer.output_shape)
        overflowed += arithmetic.overflowed(psum)
    return Ofmap(ofmap, overflowed)


def _grouped(bias: Array | None, groups: int) -> Array | None:
    return None if bias is None else bias.reshape(groups, -1)


@_compute.register
def _(op: Dense, step: Step) -> Ofmap:
    """weight (n, k) times the inputs as columns (k, N * rows)."""
    arithmetic, (x,) = step.arithmetic, step.inputs
    weight = arithmetic.operand(step.parameters.weight)
    columns = arithmetic.operand(x).reshape(-1, weight.shape[1]).T
    psum = arithmetic.accumulate(arithmetic.preload(step.parameters.bias), weight, columns)
    unit = _unit(step).reshape(-1, 1)
    codes = arithmetic.finish(psum, unit, step.output, op.activation)
    return Ofmap(codes.T.reshape(step.batch, *step.layer.output_shape), arithmetic.overflowed(psum))


@_compute.register
def _(op: MatMul, step: Step) -> Ofmap:
    arithmetic, (x, y) = step.arithmetic, step.inputs
    psum = arithmetic.accumulate(
        arithmetic.preload(None), arithmetic.operand(x), arithmetic.operand(y)
    )
    unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
    codes = arithmetic.finish(psum, np.asarray(unit), step.output, op.activation)
    return Ofmap(codes, arithmetic.overflowed(psum))


# --- Pooling --------------------------------------------------------------------------------------


@_compute.register
def _(op: MaxPool, step: Step) -> Ofmap:
    (x,) = step.inputs
    windows = op.windows(step.layer.input_shapes[0])
    taps = _taps(x.values, *windows, step.arithmetic.activation.lowest)
    height, width = taps.shape[-4:-2]
    views = (taps[..., r, s, :, :] for r in range(height) for s in range(width))
    largest = reduce(np.maximum, views)
    return Ofmap(step.arithmetic.rescale(Tensor(largest, x.quantization), step.output))


@_compute.register
def _(op: AvgPool, step: Step) -> Ofmap:
    (x,) = step.inputs
    rows, cols = op.windows(step.layer.input_shapes[0])
    taps = _taps(step.arithmetic.operand(x), rows, cols, 0)
    wide = np.float32 if taps.dtype.kind == "f" else np.int64
    sums = taps.sum((-4, -3), dtype=wide)
    counts = np.outer(_data_taps(rows, op.count_padding), _data_taps(cols, op.count_padding))
    return Ofmap(step.arithmetic.mean(sums, counts, x.quantization, step.output))


# --- Element by element ---------------------------------------------------------------------------


@_compute.register
def _(op: Add, step: Step) -> Ofmap:
    return Ofmap(step.arithmetic.add(step.inputs, step.output, op.activation))


@_compute.register
def _(op: Mul, step: Step) -> Ofmap:
    x, y = step.inputs
    return Ofmap(step.arithmetic.multiply(x, y, step.output, op.activation))


@_compute.register
def _(op: BatchNorm, step: Step) -> Ofmap:
    (x,) = step.inputs
    per_channel = (-1, *(1,) * (x.values.ndim - 2))
    slope, offset = batch_norm_line(op, step.parameters)
    values = step.arithmetic.affine(
        x, slope.reshape(per_channel), offset.reshape(per_channel), step.output, op.activation
    )
    return Ofmap(values)


def batch_norm_line(op: BatchNorm, parameters: LayerParameters) -> tuple[Array, Array]:
    """Slope and offset per channel (C,), float32, of the line that batch_norm is."""
    gamma, beta, mean, variance = (
        parameters.arrays[name].astype(np.float64) for name in ("gamma", "beta", "mean", "variance")
    )
    slope = gamma / np.sqrt(variance + op.epsilon)
    return slope.astype(np.float32), (beta - slope * mean).astype(np.float32)


def _applied(function: Function, step: Step) -> Ofmap:
    return Ofmap(step.arithmetic.apply(function, step.inputs[0], step.output))


@_compute.register
def _(op: Relu, step: Step) -> Ofmap:
    return _applied(relu, step)


@_compute.register
def _(op: LeakyRelu, step: Step) -> Ofmap:
    return _applied(LeakyReluFunction(op.slope), step)


@_compute.register
def _(op: Sigmoid, step: Step) -> Ofmap:
    return _applied(sigmoid, step)


@_compute.register
def _(op: Tanh, step: Step) -> Ofmap:
    return _applied(tanh, step)


# --- Across channels ------------------------------------------------------------------------------


@_compute.register
def _(op: Softmax, step: Step) -> Ofmap:
    axis = 1 + op.axis(step.layer.output_shape)
    return Ofmap(step.arithmetic.softmax(step.inputs[0], axis, step.output))


@_compute.register
def _(op: Lrn, step: Step) -> Ofmap:
    (x,) = step.inputs
    operand = step.arithmetic.operand(x)
    wide = np.float32 if operand.dtype.kind == "f" else np.int64
    side = op.size // 2
    squares = np.pad(np.square(operand, dtype=wide), ((0, 0), (side, side), (0, 0), (0, 0)))
    channels = operand.shape[1]
    sums = reduce(np.add, (squares[:, i : i + channels] for i in range(op.size)))
    return Ofmap(step.arithmetic.normalise(x, sums, op, step.output))


# --- Moving values --------------------------------------------------------------------------------


@_compute.register
def _(op: Concat, step: Step) -> Ofmap:
    axis = 1 + op.axis(step.layer.output_shape)
    parts = [step.arithmetic.rescale(x, step.output) for x in step.inputs]
    return Ofmap(np.concatenate(parts, axis))


@_compute.register(Flatten)
@_compute.register(Reshape)
@_compute.register(Dropout)
def _(op: Flatten | Reshape | Dropout, step: Step) -> Ofmap:
    return Ofmap(step.inputs[0].values.reshape(step.batch, *step.layer.output_shape))
