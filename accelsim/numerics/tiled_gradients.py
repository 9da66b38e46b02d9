"""The values of a training step's tiles: its vector rules."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce

import numpy as np

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
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.network.ops.pointwise_gradients import PointwiseGradient
from accelsim.network.ops.spatial_gradients import AxisGradient, ColumnsFold
from accelsim.network.ops.token_gradients import EmbeddingGradient, ParameterSum
from accelsim.numerics.batch_norm_gradients import batch_norm_slope, batch_norm_values, normalised
from accelsim.numerics.formats import Array
from accelsim.numerics.gradients import (
    around,
    function_slope,
    gradient_values,
    lrn_terms,
    mask,
    scaled_values,
)
from accelsim.numerics.mixtures import terms
from accelsim.numerics.norm_gradients import row_gradient, row_standardised, term
from accelsim.numerics.normal import lines_of
from accelsim.numerics.tiled_vector import VectorExecutor
from accelsim.numerics.tokens import entries_of
from accelsim.numerics.windows import counts_of, feature_map, windows


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


def _slice(run: VectorExecutor, op: SliceGradient | AxisGradient, tile: VectorTile) -> Array:
    """A tile's part, from where it comes from."""
    assert isinstance(run, GradientExecutor)
    return run.part_of(run.whole, tile)


def _function(run: VectorExecutor, op: FunctionGradient, tile: VectorTile) -> Array:
    gradient, seen = (x.values for x in run.inputs(tile))
    return run.work.arithmetic.stored(gradient * function_slope(op, seen))


def _pointwise(run: VectorExecutor, op: PointwiseGradient, tile: VectorTile) -> Array:
    gradient, *seen = (x.values for x in run.inputs(tile))
    slope = op.function.slope(op.place, seen, gradient.dtype)
    return run.work.arithmetic.stored(gradient * slope)


def _loss(run: VectorExecutor, op: LossGradient, tile: VectorTile) -> Array:
    prediction, target = (x.values for x in run.inputs(tile))
    return run.work.arithmetic.stored(op.weight * (prediction - target))


def _dropout(run: VectorExecutor, op: DropoutMask, tile: VectorTile) -> Array:
    whole = mask(op, run.work.inputs[0].values.shape)
    (x,) = run.inputs(tile)
    return run.work.arithmetic.stored(x.values * run.part_of(whole, tile))


def _lrn(run: VectorExecutor, op: LrnGradient, tile: VectorTile) -> Array:
    """Sums over channels of terms that are sums over channels themselves."""
    channels, deep = tile.channels, run.kernel.around
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
    count = taps.shape[2] * taps.shape[3]
    winner = taps.reshape(*taps.shape[:2], count, *taps.shape[4:]).argmax(2)
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


def _standardised(run: VectorExecutor, op: Standardised, tile: VectorTile) -> Array | None:
    """In one tile, or in passes: the mean, if it is wanted, then the variance, the values."""
    kinds = ("values", "squares") if op.norm.centred else ("squares",)
    (x,) = (each.values for each in run.inputs(tile))
    sums = _row_sums(run, kinds, (x, x), tile, op.norm.epsilon)
    if sums is None:
        return None
    values = row_standardised(x, sums, run.kernel.channels, op.norm.epsilon)
    return run.work.arithmetic.stored(values)


def _norm_input(run: VectorExecutor, op: NormInputGradient, tile: VectorTile) -> Array | None:
    """In one tile, or in passes, one for each sum."""
    gradient, x = (each.values for each in run.inputs(tile))
    gamma, _ = lines_of(op.norm, run.work.parameters, op.shape)
    images = np.arange(tile.pixels.batch.start, tile.pixels.batch.stop) % len(gamma)
    maps = (gradient * gamma[images, tile.channels.slice, None, None], x)
    sums = _row_sums(run, op.sums, maps, tile, op.norm.epsilon)
    if sums is None:
        return None
    values = row_gradient(maps, sums, run.kernel.channels, op.norm.epsilon)
    return run.work.arithmetic.stored(values)


def _row_sums(
    run: VectorExecutor,
    kinds: Sequence[str],
    maps: tuple[Array, Array],
    tile: VectorTile,
    epsilon: float,
) -> dict[str, Array] | None:
    """All sums of a block's rows, once its tiles have added them up."""
    alone, count = tile.first and tile.last, run.kernel.channels
    for turn, kind in enumerate(kinds):
        if alone or tile.turn == turn:
            before = dict(zip(kinds[:turn], run.kept, strict=False))
            found = term(kind, maps, before, count, epsilon).sum(1, keepdims=True)
            run.added(turn, found)
    done = alone or tile.turn == len(kinds)
    return dict(zip(kinds, run.kept, strict=True)) if done else None


def _learned_product(run: VectorExecutor, op: LearnedProduct, tile: VectorTile) -> Array:
    gamma = np.broadcast_to(run.work.parameters.arrays["gamma"], (1, *op.shape))
    (x,) = run.inputs(tile)
    return run.work.arithmetic.stored(x.values * run.part_of(gamma, tile))


def _columns_fold(run: VectorExecutor, op: ColumnsFold, tile: VectorTile) -> Array:
    forward = op.local.windows(op.shape)
    pixels, taps = _outputs_over(tile, forward), math.prod(op.local.kernel)
    columns = run.work.inputs[0].values[pixels.batch.slice]
    apart = columns.reshape(len(columns), op.shape[0], taps, *columns.shape[2:])
    seen = apart[:, tile.channels.slice, :, pixels.rows.slice, pixels.cols.slice]
    return run.work.arithmetic.stored(
        _scattered(tile, forward, pixels, lambda tap: seen[:, :, tap])
    )


def _embedding(run: VectorExecutor, op: EmbeddingGradient, tile: VectorTile) -> Array:
    """A tile's channels are entries, its rows features."""
    gradient = run.work.inputs[1].values
    entries, features = tile.channels, tile.pixels.rows
    taken = gradient[..., features.slice].reshape(-1, features.size)
    places = entries_of(run.work.inputs[0], op.shape[0]).reshape(-1) - entries.start
    here = (places >= 0) & (places < entries.size)
    rows = np.zeros((entries.size, features.size), gradient.dtype)
    np.add.at(rows, places[here], taken[here])
    return run.work.arithmetic.stored(rows[None, ..., None])


def _parameter_sum(run: VectorExecutor, op: ParameterSum, tile: VectorTile) -> Array:
    """Viewed as an update views it."""
    piece = (slice(None), tile.channels.slice, tile.pixels.rows.slice)
    parts = (x.values.reshape(1, op.shape[0], -1, 1)[piece] for x in run.work.inputs)
    return run.work.arithmetic.stored(reduce(np.add, parts))


def _unreached(run: VectorExecutor, op: ConvInputGradient, tile: VectorTile) -> Array:
    """A phase that no tap reaches."""
    return run.work.arithmetic.stored(np.zeros((1, 1, 1, 1), np.float32))


def _update(run: VectorExecutor, op: Update, tile: VectorTile) -> Array:
    """A parameter is viewed as (1, first axis, the others, 1)."""
    gradient = run.work.inputs[0].values.reshape(1, op.shape[0], -1, 1)
    piece = (slice(None), tile.channels.slice, tile.pixels.rows.slice)
    if op.kept:
        return run.work.arithmetic.stored(gradient[piece])
    old = run.work.parameters.arrays[op.parameter][op.rows].reshape(gradient.shape)
    return run.work.arithmetic.stored(old[piece] - op.rate * gradient[piece])


def _mixture(run: VectorExecutor, op: MixtureGradient, tile: VectorTile) -> Array | None:
    """As the gradient of a softmax, in one tile or two passes."""
    part = tile.pixels.batch.slice, tile.channels.slice
    gradient, shares = (each[part][..., None, None] for each in terms(op, run.work))
    alone = tile.first and tile.last
    if alone or tile.turn == 0:
        run.gathered(np.add, (gradient * shares).sum(1, keepdims=True))
    if tile.turn == 0 and not alone:
        return None
    return run.work.arithmetic.stored(shares * (gradient - run.kept[0]))


def _mixture_update(run: VectorExecutor, op: MixtureUpdate, tile: VectorTile) -> Array | None:
    """The largest, then the sum of exponentials, then quotients."""
    (x,) = (each.values for each in run.inputs(tile))
    alone = tile.first and tile.last
    if alone or tile.turn == 0:
        run.gathered(np.maximum, x.max(1, keepdims=True))
    powers = np.exp(x - run.kept[0])
    if alone or tile.turn == 1:
        run.kept[1:] = [powers.sum(1, keepdims=True) + sum(run.kept[1:])]
    if alone or tile.turn == 2:
        return run.work.arithmetic.stored(powers / run.kept[1])
    return None


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
    PointwiseGradient: _pointwise,
    LossGradient: _loss,
    DropoutMask: _dropout,
    LrnGradient: _lrn,
    MaxPoolGradient: _max_pool,
    AvgPoolGradient: _avg_pool,
    Update: _update,
    Standardised: _standardised,
    NormInputGradient: _norm_input,
    LearnedProduct: _learned_product,
    ColumnsFold: _columns_fold,
    AxisGradient: _slice,
    EmbeddingGradient: _embedding,
    ParameterSum: _parameter_sum,
    MixtureGradient: _mixture,
    MixtureUpdate: _mixture_update,
    ConvInputGradient: _unreached,
}


class GradientExecutor(VectorExecutor):
    """Runs the tasks of a vector kernel of a training step."""

    @cached_property
    def whole(self) -> Array:
        """The ofmap of a layer that only moves values."""
        return self.work.arithmetic.stored(gradient_values(self.work))

    def values(self, tile: VectorTile) -> Array | None:
        op = self.work.layer.op
        rules = (VECTOR_RULES[each] for each in type(op).__mro__ if each in VECTOR_RULES)
        rule = next(rules, None)
        return VectorExecutor.values(self, tile) if rule is None else rule(self, op, tile)
