"""The values of a training step's tiles: what its GEMM kernels multiply, and its vector rules.

A GEMM kernel of a gradient sees the arrays of the forward pass turned: images as channels, filters
by 180 degrees.
"""

from collections.abc import Callable, Mapping

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.task import Pixels, Span, VectorTile
from accelsim.network.ops import Op, Window
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
    LossGradient,
    LrnGradient,
    MaxPoolGradient,
    PixelSum,
    ProductSum,
    ScaledForward,
    ScaledGradient,
    SliceGradient,
    SoftmaxGradient,
    Update,
    WindowSum,
    WindowSumGradient,
)
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array
from accelsim.numerics.gradients import (
    around,
    batch_norm_slope,
    batch_norm_values,
    function_slope,
    gradient_values,
    lrn_terms,
    mask,
    normalised,
    scaled_values,
)
from accelsim.numerics.tiled_gemm import GemmOperands
from accelsim.numerics.tiled_vector import VectorExecutor, counts_of
from accelsim.numerics.windows import feature_map, windows

# --- GEMM kernels ---------------------------------------------------------------------------------


def gradient_operands(kernel: GemmKernel, work: Computation) -> GemmOperands:
    """The arrays of a gradient's kernel, as views where they can be."""
    result = np.zeros(work.ofmap_shape, work.inputs[0].values.dtype)
    ifmap, weight, ofmap = _OPERANDS[type(work.layer.op)](work.layer.op, work, result)
    unit = np.ones((kernel.groups, kernel.filters, 1), np.float32)
    return GemmOperands(ifmap, weight, None, unit, result, ofmap)


def _conv_input(
    op: ConvInputGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    groups, (rows, cols) = op.conv.groups, op.axes
    weight = work.parameters.arrays["weight"]
    filters = weight.reshape(groups, -1, *weight.shape[1:])
    turned = filters[:, :, :, rows.taps][..., cols.taps].swapaxes(1, 2)
    gradient = work.inputs[0].values
    return _grouped(gradient, groups), turned, _grouped(result, groups)


def _conv_weight(
    op: ConvWeightGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    x, gradient = (_grouped(each.values, op.conv.groups) for each in work.inputs)
    filters = result.reshape(op.conv.groups, -1, *op.shape[1:])
    return (
        x.transpose(2, 1, 0, 3, 4),
        gradient.transpose(1, 2, 0, 3, 4),
        filters.transpose(2, 0, 1, 3, 4),
    )


def _grouped(values: Array, groups: int) -> Array:
    """(N, C, H, W) as (N, G, C/G, H, W)."""
    return values.reshape(len(values), groups, -1, *values.shape[2:])


def _dense_input(
    op: DenseInputGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    gradient = _columns(work.inputs[0].values, op.dense.out_features)
    weight = work.parameters.arrays["weight"].reshape(1, op.dense.out_features, -1, 1, 1)
    return gradient, weight.swapaxes(1, 2), _columns(result, weight.shape[2])


def _columns(values: Array, features: int) -> Array:
    """(N, rows, features), or anything of `features` for an image, as (N, 1, features, rows, 1)."""
    return values.reshape(len(values), 1, -1, features).swapaxes(2, 3)[..., None]


def _dense_weight(
    op: DenseWeightGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    x, gradient = (each.values for each in work.inputs)
    summed = gradient.reshape(-1, op.shape[0])
    ifmap = x.reshape(1, 1, len(summed), -1, 1)
    weight = summed.T[None, :, :, None, None]
    return ifmap, weight, result.reshape(1, 1, op.shape[0], -1, 1)


_OPERANDS: Mapping[type[Op], Callable[..., tuple[Array, Array, Array]]] = {
    ConvInputGradient: _conv_input,
    ConvWeightGradient: _conv_weight,
    DenseInputGradient: _dense_input,
    DenseWeightGradient: _dense_weight,
}


# --- Vector kernels -------------------------------------------------------------------------------


def _bias(run: VectorExecutor, op: BiasGradient, tile: VectorTile) -> Array | None:
    """The maps of all images lie one below the other."""
    sums = run.gathered(np.add, _tall_taps(run, 0, tile).sum(2))
    return run.work.arithmetic.stored(sums) if tile.last else None


def _tall_taps(run: VectorExecutor, index: int, tile: VectorTile) -> Array:
    """The taps (1, c, R*S, 1, 1) of an input whose images lie one below the other."""
    fmap = feature_map(run.work.inputs[index].values)
    tall = fmap.swapaxes(0, 1).reshape(1, fmap.shape[1], -1, fmap.shape[3])
    return run.taps(tall, tile, 0)


def _statistics(run: VectorExecutor, tile: VectorTile, first: int) -> list[Array]:
    """The inputs from `first` on that have one value per channel, (1, c, 1, 1)."""
    return [feature_map(x.values)[:, tile.channels.slice] for x in run.work.inputs[first:]]


def _learned(run: VectorExecutor, name: str, tile: VectorTile) -> Array:
    """A parameter per channel, (1, c, 1, 1)."""
    return run.work.parameters.arrays[name][None, tile.channels.slice, None, None]


def _count(run: VectorExecutor, index: int = 0) -> int:
    """Values that have one mean."""
    x = run.work.inputs[index].values
    return x[:, 0].size


def _mean(run: VectorExecutor, op: ChannelMean, tile: VectorTile) -> Array | None:
    sums = run.gathered(np.add, _tall_taps(run, 0, tile).sum(2))
    return run.work.arithmetic.stored(sums / _count(run)) if tile.last else None


def _variance(run: VectorExecutor, op: ChannelVariance, tile: VectorTile) -> Array | None:
    (mean,) = _statistics(run, tile, 1)
    squares = np.square(_tall_taps(run, 0, tile) - mean[..., None])
    sums = run.gathered(np.add, squares.sum(2))
    return run.work.arithmetic.stored(sums / _count(run)) if tile.last else None


def _batch_norm(run: VectorExecutor, op: BatchNormForward, tile: VectorTile) -> Array:
    x, (mean, variance) = run.part(run.work.inputs[0], tile), _statistics(run, tile, 1)
    line = (_learned(run, "gamma", tile), _learned(run, "beta", tile))
    return run.work.arithmetic.stored(batch_norm_values(op, (x, mean, variance), line))


def _gamma(run: VectorExecutor, op: GammaGradient, tile: VectorTile) -> Array | None:
    gradient, x = (_tall_taps(run, index, tile) for index in (0, 1))
    mean, variance = (each[..., None] for each in _statistics(run, tile, 2))
    terms = gradient * normalised(x, mean, variance, op.epsilon)
    sums = run.gathered(np.add, terms.sum(2))
    return run.work.arithmetic.stored(sums) if tile.last else None


def _batch_norm_input(run: VectorExecutor, op: BatchNormInputGradient, tile: VectorTile) -> Array:
    gradient, x = (run.part(each, tile) for each in run.work.inputs[:2])
    mean, variance, *sums = _statistics(run, tile, 2)
    channels = (mean, variance, _learned(run, "gamma", tile), sums[0], sums[1])
    return run.work.arithmetic.stored(batch_norm_slope(op, (gradient, x), channels, _count(run, 1)))


def _product_sum(run: VectorExecutor, op: ProductSum, tile: VectorTile) -> Array | None:
    gradient, x = (run.taps(each.values, tile, 0) for each in run.work.inputs)
    sums = run.gathered(np.add, (gradient * x).sum(2))
    return run.work.arithmetic.stored(sums) if tile.last else None


def _pixel_sum(run: VectorExecutor, op: PixelSum, tile: VectorTile) -> Array | None:
    (gradient,) = run.work.inputs
    sums = run.gathered(np.add, run.taps(feature_map(gradient.values), tile, 0).sum(2))
    return run.work.arithmetic.stored(sums) if tile.last else None


_window_sum = _pixel_sum
"""Of the windows that the kernel has."""


def _scaled(run: VectorExecutor, op: ScaledForward, tile: VectorTile) -> Array:
    line = (_learned(run, "beta", tile), _learned(run, "offset", tile))
    return run.work.arithmetic.stored(scaled_values(op, run.part(run.work.inputs[0], tile), line))


def _beta(run: VectorExecutor, op: BetaGradient, tile: VectorTile) -> Array | None:
    gradient, x = (_tall_taps(run, index, tile) for index in (0, 1))
    sums = run.gathered(np.add, (gradient * x).sum(2))
    return run.work.arithmetic.stored(sums) if tile.last else None


def _scaled_gradient(run: VectorExecutor, op: ScaledGradient, tile: VectorTile) -> Array:
    values = run.part(run.work.inputs[0], tile) * _learned(run, "beta", tile)
    return run.work.arithmetic.stored(values)


def _softmax(run: VectorExecutor, op: SoftmaxGradient, tile: VectorTile) -> Array | None:
    """In one tile, or in two passes: the sum of products, then what is left."""
    gradient, y = (x.values for x in run.inputs(tile))
    alone = tile.first and tile.last
    if alone or tile.turn == 0:
        run.gathered(np.add, (gradient * y).sum(1, keepdims=True))
    if tile.turn == 0 and not alone:
        return None
    return run.work.arithmetic.stored(y * (gradient - run.kept[0]))


def _slice(run: VectorExecutor, op: SliceGradient, tile: VectorTile) -> Array:
    return run.part_of(gradient_values(run.work), tile)


def _function(run: VectorExecutor, op: FunctionGradient, tile: VectorTile) -> Array:
    gradient, seen = (x.values for x in run.inputs(tile))
    return run.work.arithmetic.stored(gradient * function_slope(op, seen))


def _loss(run: VectorExecutor, op: LossGradient, tile: VectorTile) -> Array:
    prediction, target = (x.values for x in run.inputs(tile))
    return run.work.arithmetic.stored(op.weight * (prediction - target))


def _dropout(run: VectorExecutor, op: DropoutMask, tile: VectorTile) -> Array:
    whole = mask(op, run.work.inputs[0].values.shape)
    (x,) = run.inputs(tile)
    return run.work.arithmetic.stored(x.values * run.part_of(whole, tile))


def _lrn(run: VectorExecutor, op: LrnGradient, tile: VectorTile) -> Array:
    """Sums over channels of terms that are sums over channels themselves."""
    channels, deep = tile.channels, run.kernel.depth
    read = Span(*deep.span(channels.start, channels.stop))
    gradient, x = (run.part(each, tile, read) for each in run.work.inputs)
    direct, terms = lrn_terms(gradient, x, op)
    inside = slice(channels.start - read.start, channels.stop - read.start)
    values = direct - x * around(terms, op.lrn.size)
    return run.work.arithmetic.stored(values[:, inside])


def _max_pool(run: VectorExecutor, op: MaxPoolGradient, tile: VectorTile) -> Array:
    forward = op.pool.windows(op.shape)
    pixels = _outputs_over(tile, forward)
    gradient, x = (each.values[pixels.batch.slice, tile.channels.slice] for each in run.work.inputs)
    taps = windows(x, *forward, pixels, -np.inf)
    flat = taps.reshape(*taps.shape[:2], -1, *taps.shape[4:])
    winner = flat.argmax(2)
    seen = gradient[..., pixels.rows.slice, pixels.cols.slice]
    return run.work.arithmetic.stored(
        _scattered(tile, forward, pixels, lambda tap: np.where(winner == tap, seen, 0))
    )


def _avg_pool(run: VectorExecutor, op: AvgPoolGradient, tile: VectorTile) -> Array:
    forward = op.pool.windows(op.shape)
    pixels = _outputs_over(tile, forward)
    rows, cols = forward
    counts = np.outer(
        counts_of(rows, pixels.rows, op.pool.count_padding),
        counts_of(cols, pixels.cols, op.pool.count_padding),
    )
    values = run.work.inputs[0].values[pixels.batch.slice, tile.channels.slice]
    seen = values[..., pixels.rows.slice, pixels.cols.slice]
    spread = seen / counts.astype(seen.dtype)
    return run.work.arithmetic.stored(_scattered(tile, forward, pixels, lambda tap: spread))


def _window_sum_gradient(run: VectorExecutor, op: WindowSumGradient, tile: VectorTile) -> Array:
    forward = op.pool.windows(op.shape)
    pixels = _outputs_over(tile, forward)
    values = run.work.inputs[0].values[pixels.batch.slice, tile.channels.slice]
    seen = values[..., pixels.rows.slice, pixels.cols.slice]
    return run.work.arithmetic.stored(_scattered(tile, forward, pixels, lambda tap: seen))


def _outputs_over(tile: VectorTile, forward: tuple[Window, Window]) -> Pixels:
    """The outputs of a pool whose windows reach a tile of its ifmap."""
    spans = []
    for span, window in zip((tile.pixels.rows, tile.pixels.cols), forward, strict=True):
        first = -((window.extent - 1 - span.start - window.before) // window.stride)
        last = (span.stop - 1 + window.before) // window.stride
        start = min(max(first, 0), window.outputs)
        spans.append(Span(start, max(start, min(last + 1, window.outputs))))
    return Pixels(tile.pixels.batch, *spans)


def _scattered(
    tile: VectorTile,
    forward: tuple[Window, Window],
    pixels: Pixels,
    share: Callable[[int], Array],
) -> Array:
    """The sum over taps of `share(tap)` (n, c, p, q) at the pixels of a tile it belongs to."""
    rows, cols = forward
    shape = (tile.pixels.batch.size, tile.channels.size)
    size = (tile.pixels.rows.size, tile.pixels.cols.size)
    result: Array | None = None
    for tap in range(rows.kernel * cols.kernel):
        values = share(tap)
        if result is None:
            result = np.zeros((*shape, *size), values.dtype)
        down, up = _meeting(rows, tap // cols.kernel, pixels.rows, tile.pixels.rows)
        across, left = _meeting(cols, tap % cols.kernel, pixels.cols, tile.pixels.cols)
        place = (..., up[:, None], left)
        result[place] = result[place] + values[..., down[:, None], across]
    assert result is not None
    return result


def _meeting(window: Window, tap: int, outputs: Span, inside: Span) -> tuple[Array, Array]:
    """Which of some outputs meet a piece of the ifmap through a tap, and where in it."""
    index = np.arange(outputs.size)
    place = (index + outputs.start) * window.stride + tap * window.dilation - window.before
    here = (place >= inside.start) & (place < inside.stop)
    return index[here], place[here] - inside.start


def _update(run: VectorExecutor, op: Update, tile: VectorTile) -> Array:
    """A parameter is viewed as (1, first axis, the others, 1)."""
    gradient = run.work.inputs[0].values.reshape(1, op.shape[0], -1, 1)
    piece = (slice(None), tile.channels.slice, tile.pixels.rows.slice)
    if op.kept:
        return run.work.arithmetic.stored(gradient[piece])
    old = run.work.parameters.arrays[op.parameter].reshape(gradient.shape)
    return run.work.arithmetic.stored(old[piece] - op.rate * gradient[piece])


VECTOR_RULES: Mapping[type[Op], Callable[..., Array | None]] = {
    BiasGradient: _bias,
    ChannelMean: _mean,
    ChannelVariance: _variance,
    BatchNormForward: _batch_norm,
    GammaGradient: _gamma,
    BatchNormInputGradient: _batch_norm_input,
    ProductSum: _product_sum,
    PixelSum: _pixel_sum,
    WindowSum: _window_sum,
    WindowSumGradient: _window_sum_gradient,
    ScaledForward: _scaled,
    BetaGradient: _beta,
    ScaledGradient: _scaled_gradient,
    SoftmaxGradient: _softmax,
    SliceGradient: _slice,
    FunctionGradient: _function,
    LossGradient: _loss,
    DropoutMask: _dropout,
    LrnGradient: _lrn,
    MaxPoolGradient: _max_pool,
    AvgPoolGradient: _avg_pool,
    Update: _update,
}


class GradientExecutor(VectorExecutor):
    """Runs the tasks of a vector kernel of a training step."""

    def values(self, tile: VectorTile) -> Array | None:
        op = self.work.layer.op
        rules = (VECTOR_RULES[each] for each in type(op).__mro__ if each in VECTOR_RULES)
        rule = next(rules, None)
        return VectorExecutor.values(self, tile) if rule is None else rule(self, op, tile)
