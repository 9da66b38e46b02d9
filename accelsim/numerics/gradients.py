"""The golden reference of a training step's layers, from their definitions, on whole arrays.

Floating point only: every rule returns real numbers, which `compute` rounds to the format of
activations.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

from accelsim.network.ops import ACTIVATIONS, Conv, Op, Window
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BatchNormForward,
    BatchNormInputGradient,
    BetaGradient,
    BiasGradient,
    ChannelMean,
    ChannelVariance,
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
    DropoutMask,
    FunctionGradient,
    GammaGradient,
    Interleave,
    LossGradient,
    LrnGradient,
    MaxPoolGradient,
    Part,
    PixelSum,
    ProductSum,
    ScaledForward,
    ScaledGradient,
    SliceGradient,
    SoftmaxGradient,
    Update,
    View,
    WindowSum,
    WindowSumGradient,
)
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.network.ops.pointwise_gradients import PointwiseGradient
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import EmbeddingGradient, ParameterSum
from accelsim.numerics import batch_norm_gradients, mixtures, norm_gradients, spatial_gradients
from accelsim.numerics.batch_norm_gradients import channel_axes
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array


def gradient_values(work: Computation) -> Array:
    """What a layer of a training step computes, of `work.ofmap_shape`."""
    rule = _rule(type(work.layer.op))
    return rule(work.layer.op, work).reshape(work.ofmap_shape)


def _rule(kind: type[Op]) -> Callable[..., Array]:
    return next(_RULES[each] for each in kind.__mro__ if each in _RULES)


def _arrays(work: Computation) -> list[Array]:
    return [x.values for x in work.inputs]


# --- Windows: padded maps, and every tap of them as a strided view --------------------------------


def _room(windows: tuple[Window, Window], shape: tuple[int, ...], like: Array) -> Array:
    """Zeros (..., H', W') for a padded ifmap, as far as the windows reach."""
    sizes = (max(_extent(window), window.before + window.size) for window in windows)
    return np.zeros((*shape[:-2], *sizes), like.dtype)


def _extent(window: Window) -> int:
    return (window.outputs - 1) * window.stride + window.extent


def _inside(padded: Array, windows: tuple[Window, Window]) -> Array:
    """The ifmap itself, as a view of the padded one."""
    rows, cols = windows
    down = slice(rows.before, rows.before + rows.size)
    return padded[..., down, cols.before : cols.before + cols.size]


def _tap(padded: Array, windows: tuple[Window, Window], tap: tuple[int, int]) -> Array:
    """What all outputs see of a padded ifmap through one tap, (..., P, Q), as a view."""
    down, across = (
        slice(
            r * window.dilation,
            r * window.dilation + (window.outputs - 1) * window.stride + 1,
            window.stride,
        )
        for r, window in zip(tap, windows, strict=True)
    )
    return padded[..., down, across]


def _taps(windows: tuple[Window, Window]) -> Iterator[tuple[int, int]]:
    rows, cols = windows
    return product(range(rows.kernel), range(cols.kernel))


# --- Convolution and dense ------------------------------------------------------------------------


def _per_group(values: Array, conv: Conv) -> Array:
    """(N, C, ...) as (N, G, C/G, ...)."""
    return values.reshape(len(values), conv.groups, -1, *values.shape[2:])


def _conv_input(op: ConvInputGradient, work: Computation) -> Array:
    """Every product of the forward pass, backward; then the phase is cut out."""
    gradient, weight = _per_group(work.inputs[0].values, op.conv), work.parameters.arrays["weight"]
    windows = op.conv.windows(op.ifmap)
    filters = weight.reshape(op.conv.groups, -1, *weight.shape[1:])
    padded = _room(windows, (work.batch, *op.ifmap), gradient)
    groups = _per_group(padded, op.conv)
    for r, s in _taps(windows):
        place = _tap(groups, windows, (r, s))
        place += np.einsum("gkc,ngkpq->ngcpq", filters[..., r, s], gradient, optimize=True)
    whole = _inside(padded, windows)
    (down, across), (top, left) = op.conv.stride, op.at
    return whole[..., top::down, left::across]


def _interleave(op: Interleave, work: Computation) -> Array:
    whole = np.zeros((work.batch, *op.shape), work.inputs[0].values.dtype)
    down, across = op.stride
    for (top, left), part in zip(op.places, _arrays(work), strict=True):
        whole[..., top::down, left::across] = part
    return whole


def _conv_weight(op: ConvWeightGradient, work: Computation) -> Array:
    x, gradient = _arrays(work)
    windows = op.conv.windows(op.ifmap)
    padded = _room(windows, x.shape, x)
    inside = _inside(padded, windows)
    inside[...] = x[..., : inside.shape[-2], : inside.shape[-1]]
    ifmap, gradient = _per_group(padded, op.conv), _per_group(gradient, op.conv)
    result = np.empty((op.conv.groups, op.shape[0] // op.conv.groups, *op.shape[1:]), x.dtype)
    for r, s in _taps(windows):
        seen = _tap(ifmap, windows, (r, s))
        result[..., r, s] = np.einsum("ngcpq,ngkpq->gkc", seen, gradient, optimize=True)
    return result


def _dense_input(op: DenseInputGradient, work: Computation) -> Array:
    weight = work.parameters.arrays["weight"].reshape(op.dense.out_features, -1)
    return work.inputs[0].values.reshape(-1, op.dense.out_features) @ weight


def _dense_weight(op: DenseWeightGradient, work: Computation) -> Array:
    x, gradient = _arrays(work)
    columns = gradient.reshape(-1, op.shape[0])
    return columns.T @ x.reshape(len(columns), -1)


def _bias(op: BiasGradient, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    return np.asarray(gradient.sum(channel_axes(gradient)))


# --- Pooling --------------------------------------------------------------------------------------


def _max_pool(op: MaxPoolGradient, work: Computation) -> Array:
    gradient, x = _arrays(work)
    windows = op.pool.windows(op.shape)
    padded = _room(windows, x.shape, x)
    padded[...] = -np.inf
    _inside(padded, windows)[...] = x
    largest = np.maximum.reduce([_tap(padded, windows, tap) for tap in _taps(windows)])
    result, free = _room(windows, x.shape, x), np.ones(largest.shape, np.bool_)
    for tap in _taps(windows):
        here = free & (_tap(padded, windows, tap) == largest)
        free &= ~here
        place = _tap(result, windows, tap)
        place += np.where(here, gradient, 0)
    return _inside(result, windows)


def _avg_pool(op: AvgPoolGradient, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    windows = op.pool.windows(op.shape)
    counts = np.outer(*(_divisors(window, op.pool.count_padding) for window in windows))
    result = _room(windows, (work.batch, *op.shape), gradient)
    for tap in _taps(windows):
        place = _tap(result, windows, tap)
        place += np.divide(gradient, counts, dtype=gradient.dtype)
    return _inside(result, windows)


def _window_sum(op: WindowSum, work: Computation) -> Array:
    (x,) = _arrays(work)
    windows = op.pool.windows(x.shape[1:])
    padded = _room(windows, x.shape, x)
    _inside(padded, windows)[...] = x
    return np.asarray(sum(_tap(padded, windows, tap) for tap in _taps(windows)))


def _window_sum_gradient(op: WindowSumGradient, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    windows = op.pool.windows(op.shape)
    result = _room(windows, (work.batch, *op.shape), gradient)
    for tap in _taps(windows):
        place = _tap(result, windows, tap)
        place[...] = place + gradient
    return _inside(result, windows)


def _divisors(window: Window, count_padding: bool) -> Array:
    """Taps of each output that the mean counts, (outputs,)."""
    taps = np.arange(window.outputs)[:, None] * window.stride + np.arange(window.kernel)
    low, high = (0, window.before + window.size + window.after)
    if not count_padding:
        low, high = window.before, window.before + window.size
    return np.asarray(((taps >= low) & (taps < high)).sum(1))


# --- Element by element ---------------------------------------------------------------------------


def function_slope(op: FunctionGradient, seen: Array) -> Array:
    """The derivative, from the ofmap or the ifmap, whichever `seen` is."""
    slope = op.function.derivative_at(seen) if op.at_output else op.function.derivative(seen)
    assert slope is not None
    return slope


def _function(op: FunctionGradient, work: Computation) -> Array:
    gradient, seen = _arrays(work)
    return gradient * function_slope(op, seen)


def _pointwise(op: PointwiseGradient, work: Computation) -> Array:
    gradient, *seen = _arrays(work)
    return gradient * op.function.slope(op.place, seen, gradient.dtype)


def _loss(op: LossGradient, work: Computation) -> Array:
    prediction, target = _arrays(work)
    return op.weight * (prediction - target)


def _softmax(op: SoftmaxGradient, work: Computation) -> Array:
    gradient, y = _arrays(work)
    axis = 1 + op.softmax.along(op.shape)
    return np.asarray(y * (gradient - (gradient * y).sum(axis, keepdims=True)))


def mask(op: DropoutMask, shape: tuple[int, ...]) -> Array:
    """What values of `shape`, images first, are multiplied by."""
    kept = np.random.default_rng(op.seed).random(shape) >= op.rate
    return (kept / (1 - op.rate)).astype(np.float32)


def _dropout(op: DropoutMask, work: Computation) -> Array:
    (x,) = _arrays(work)
    return x * mask(op, x.shape)


def lrn_terms(gradient: Array, x: Array, op: LrnGradient) -> tuple[Array, Array]:
    """Of dx = direct - x * (sum of terms around): direct, and terms.

    With base = bias + alpha/size * (sum of squares around): direct = g * base^-beta, terms =
    2 alpha beta / size * g * x * base^(-beta - 1). Channels are axis 1, all that are needed.
    """
    lrn = op.lrn
    base = lrn.bias + lrn.alpha / lrn.size * around(np.square(x), lrn.size)
    factor = 2 * lrn.alpha * lrn.beta / lrn.size
    direct = gradient * base**-lrn.beta
    return direct.astype(x.dtype), (factor * direct * x / base).astype(x.dtype)


def around(values: Array, size: int) -> Array:
    """Sums over `size` channels around each, axis 1."""
    side = size // 2
    padded = np.pad(values, ((0, 0), (side, side), (0, 0), (0, 0)))
    return np.asarray(sum(padded[:, i : i + values.shape[1]] for i in range(size)))


def _lrn(op: LrnGradient, work: Computation) -> Array:
    gradient, x = _arrays(work)
    direct, terms = lrn_terms(gradient, x, op)
    return direct - x * around(terms, op.lrn.size)


# --- Products -------------------------------------------------------------------------------------


def _product_sum(op: ProductSum, work: Computation) -> Array:
    gradient, x = _arrays(work)
    return np.asarray((gradient * x).sum((2, 3)))


def _pixel_sum(op: PixelSum, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    return np.asarray(gradient.sum((2, 3)))


def _scaled(op: ScaledForward, work: Computation) -> Array:
    (x,), arrays = _arrays(work), work.parameters.arrays
    per_channel = (-1, *(1,) * (x.ndim - 2))
    line = [arrays[name].reshape(per_channel) for name in ("beta", "offset")]
    return scaled_values(op, x, (line[0], line[1]))


def scaled_values(op: ScaledForward, x: Array, line: tuple[Array, Array]) -> Array:
    """The ofmap, from ifmap, and beta and offset."""
    values = line[0] * x + line[1]
    return ACTIVATIONS[op.activation].value(values) if op.activation else np.asarray(values)


def _beta(op: BetaGradient, work: Computation) -> Array:
    gradient, x = _arrays(work)
    return np.asarray((gradient * x).sum(channel_axes(x)))


def _scaled_gradient(op: ScaledGradient, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    return gradient * work.parameters.arrays["beta"].reshape(-1, *(1,) * (gradient.ndim - 2))


# --- Moving values, and updates -------------------------------------------------------------------


def _part(op: Part, work: Computation) -> Array:
    (whole,) = _arrays(work)
    taken = slice(op.start, op.start + op.shape[op.axis])
    return whole[(slice(None),) * (1 + op.axis) + (taken,)]


def _slice(op: SliceGradient, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    whole = np.zeros((work.batch, *op.shape), gradient.dtype)
    whole[:, *op.taken.taken(op.shape)] = gradient
    return whole


def _view(op: View, work: Computation) -> Array:
    return work.inputs[0].values


def _updated(op: Update, work: Computation) -> Array:
    (gradient,) = _arrays(work)
    if op.kept:
        return gradient
    old = work.parameters.arrays[op.parameter][op.rows].reshape(gradient.shape)
    return np.asarray(old - op.rate * gradient)


_RULES: Mapping[type[Op], Callable[..., Array]] = {
    ConvInputGradient: _conv_input,
    Interleave: _interleave,
    ConvWeightGradient: _conv_weight,
    DenseInputGradient: _dense_input,
    DenseWeightGradient: _dense_weight,
    BiasGradient: _bias,
    FunctionGradient: _function,
    PointwiseGradient: _pointwise,
    MaxPoolGradient: _max_pool,
    AvgPoolGradient: _avg_pool,
    LrnGradient: _lrn,
    LossGradient: _loss,
    SoftmaxGradient: _softmax,
    SliceGradient: _slice,
    PixelSum: _pixel_sum,
    WindowSum: _window_sum,
    WindowSumGradient: _window_sum_gradient,
    ScaledForward: _scaled,
    BetaGradient: _beta,
    ScaledGradient: _scaled_gradient,
    Part: _part,
    View: _view,
    DropoutMask: _dropout,
    ChannelMean: batch_norm_gradients.channel_mean,
    ChannelVariance: batch_norm_gradients.channel_variance,
    BatchNormForward: batch_norm_gradients.batch_norm,
    GammaGradient: batch_norm_gradients.gamma_gradient,
    BatchNormInputGradient: batch_norm_gradients.batch_norm_input,
    ProductSum: _product_sum,
    Update: _updated,
    Standardised: norm_gradients.standardised,
    NormInputGradient: norm_gradients.norm_input,
    LearnedProduct: norm_gradients.learned_product,
    TransposedInputGradient: spatial_gradients.transposed_input,
    TransposedWeightGradient: spatial_gradients.transposed_weight,
    LocalWeightGradient: spatial_gradients.local_weight,
    LocalColumns: spatial_gradients.local_columns,
    ColumnsFold: spatial_gradients.columns_fold,
    AxisGradient: spatial_gradients.axis_gradient,
    EmbeddingGradient: spatial_gradients.embedding,
    ParameterSum: spatial_gradients.parameter_sum,
    MixtureGradient: mixtures.mixture_gradient,
    MixtureUpdate: mixtures.mixture_update,
}
