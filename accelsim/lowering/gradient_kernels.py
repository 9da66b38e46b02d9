"""What the layers of a training step compute, in the forms that hardware knows.

Those that are as a layer of the forward pass (products, sums, transposes) stand with these.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from accelsim.lowering.kernel import (
    GemmKernel,
    Kernel,
    VectorKernel,
    alias,
    each,
    each_element,
    filled,
    over_axis,
    planes,
    weight_gradient,
)
from accelsim.network.graph import Layer
from accelsim.network.ops import (
    Op,
    Window,
)
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
    ForwardMask,
    FunctionGradient,
    GammaGradient,
    GradientProduct,
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
from accelsim.network.ops.pointwise_gradients import PointwiseGradient
from accelsim.units import ceil_div


def _conv_input_gradient(op: ConvInputGradient, layer: Layer, batch: int) -> Kernel:
    axes = op.axes
    if axes is None:
        return filled(layer, batch)
    rows, cols = (axis.window for axis in axes)
    groups = op.conv.groups
    filters, channels = op.ifmap[0] // groups, op.conv.out_channels // groups
    return GemmKernel(
        batch=batch, groups=groups, filters=filters, channels=channels, rows=rows, cols=cols
    )


def _conv_weight_gradient(op: ConvWeightGradient, layer: Layer, batch: int) -> Kernel:
    return weight_gradient(op.windows, op.conv, op.ifmap[0], batch)


def _dense_input_gradient(op: DenseInputGradient, layer: Layer, batch: int) -> Kernel:
    rows, features = op.shape if len(op.shape) == 2 else (1, math.prod(op.shape))
    return GemmKernel(
        batch=batch,
        groups=1,
        filters=features,
        channels=op.dense.out_features,
        rows=each(rows),
        cols=each(1),
    )


def _dense_weight_gradient(op: DenseWeightGradient, layer: Layer, batch: int) -> Kernel:
    rows = layer.input_shapes[1][0] if len(layer.input_shapes[1]) == 2 else 1
    features = math.prod(op.shape[1:])
    return GemmKernel(
        batch=1,
        groups=1,
        filters=op.shape[0],
        channels=batch * rows,
        rows=each(features),
        cols=each(1),
        filter_is_input=True,
    )


def _max_pool_gradient(op: MaxPoolGradient, layer: Layer, batch: int) -> Kernel:
    """Pixel by pixel of the ifmap, which is read as far as the windows around a pixel reach.

    The gradient counts as read once for every pixel. Operations: the windows' comparisons, shared
    by the pixels they cover, and an addition for each window that a pixel lies in.
    """
    windows = op.pool.windows(op.shape)
    axes = [_around(window) for window in windows]
    compared = math.prod(window.kernel for window in windows)
    covered = math.prod(ceil_div(window.kernel, window.stride) for window in windows)
    places = math.prod(window.stride for window in windows)
    operations = ceil_div(compared, places) + covered
    full = (layer.input_shapes[0][1:] != (1, 1), True)
    return VectorKernel(
        batch=batch,
        channels=op.shape[0],
        rows=axes[0],
        cols=axes[1],
        operations=operations,
        inputs=full,
    )


def _around(window: Window) -> Window:
    """All that the windows around a pixel reach."""
    side = window.kernel - 1
    return Window(size=window.size, kernel=2 * side + 1, before=side, after=side)


def _avg_pool_gradient(op: AvgPoolGradient | WindowSumGradient, layer: Layer, batch: int) -> Kernel:
    """Pixel by pixel of the ifmap; the gradient counts as read once for every pixel.

    A mean is divided as it is spread.
    """
    windows = op.pool.windows(op.shape)
    covered = math.prod(ceil_div(window.kernel, window.stride) for window in windows)
    operations = isinstance(op, AvgPoolGradient) + covered
    channels, rows, cols = op.shape
    full = (layer.input_shapes[0][1:] != (1, 1),)
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=each(rows),
        cols=each(cols),
        operations=operations,
        inputs=full,
    )


def _window_sum(op: WindowSum, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.pool.windows(layer.input_shapes[0])
    channels, taps = layer.input_shapes[0][0], rows.kernel * cols.kernel
    return VectorKernel(
        batch=batch, channels=channels, rows=rows, cols=cols, operations=taps, tap_operations=1
    )


def _lrn_gradient(op: LrnGradient, layer: Layer, batch: int) -> Kernel:
    """Sums over channels of sums over channels: twice as far; twice the work and products."""
    size = op.lrn.size
    channels, rows, cols = op.shape
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=each(rows),
        cols=each(cols),
        operations=3 * size + 6,
        inputs=(True, True),
        reach=size - 1,
    )


def _over_maps(operations: int, once: int, inputs: tuple[bool, ...]) -> Callable[..., Kernel]:
    """One window per channel over its maps of all images: lane operations per value, and once."""

    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.input_shapes[0])
        values = batch * rows * cols
        return VectorKernel(
            batch=1,
            channels=channels,
            rows=Window(size=batch * rows, kernel=batch * rows),
            cols=Window(size=cols, kernel=cols),
            operations=operations * values + once,
            inputs=inputs,
            tap_operations=operations,
        )

    return kernel


def _with_statistics(operations: int, full: int) -> Callable[..., Kernel]:
    """Element-wise work on `full` maps, and on one value per channel of the other inputs."""

    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.output_shape)
        inputs = tuple(index < full for index in range(len(layer.inputs)))
        return VectorKernel(
            batch=batch,
            channels=channels,
            rows=each(rows),
            cols=each(cols),
            operations=operations,
            inputs=inputs,
        )

    return kernel


def _pixel_sum(op: PixelSum, layer: Layer, batch: int) -> Kernel:
    """One window per channel and image."""
    channels, rows, cols = planes(layer.input_shapes[0])
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=Window(size=rows, kernel=rows),
        cols=Window(size=cols, kernel=cols),
        operations=rows * cols,
        tap_operations=1,
    )


def _softmax_gradient(op: SoftmaxGradient, layer: Layer, batch: int) -> Kernel:
    """The sum of products, then a difference and a product; its axes as the softmax has them."""
    return over_axis(op.softmax, layer, batch, (2, 2))


def _slice_gradient(op: SliceGradient, layer: Layer, batch: int) -> Kernel:
    """All of the ifmap is written; the gradient counts as read once for every value of it."""
    channels, rows, cols = planes(op.shape)
    full = planes(layer.input_shapes[0])[1:] != (1, 1)
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=each(rows),
        cols=each(cols),
        operations=1,
        inputs=(full,),
    )


def _pointwise_gradient(op: PointwiseGradient, layer: Layer, batch: int) -> Kernel:
    """A derivative and a product, however many operands are read."""
    kernel = each_element(1)(op, layer, batch)
    assert isinstance(kernel, VectorKernel)
    return replace(kernel, operations=2)


def _loss_gradient(op: LossGradient, layer: Layer, batch: int) -> Kernel:
    """A difference, and a product where the loss has a weight."""
    return each_element(1 + (op.weight != 1))(op, layer, batch)


def _product_sum(op: ProductSum, layer: Layer, batch: int) -> Kernel:
    """One window per channel and image."""
    channels, rows, cols = planes(layer.input_shapes[0])
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=Window(size=rows, kernel=rows),
        cols=Window(size=cols, kernel=cols),
        operations=2 * rows * cols,
        inputs=(True, True),
        tap_operations=2,
    )


def _update(op: Update, layer: Layer, batch: int) -> Kernel:
    """Value by value of a parameter."""
    rest = each(math.prod(op.shape[1:]))
    return VectorKernel(
        batch=1,
        channels=op.shape[0],
        rows=rest,
        cols=each(1),
        operations=op.operations,
        inputs=(True,) * op.reads,
    )


GRADIENT_KERNELS: Mapping[type[Op], Callable[..., Kernel]] = {
    ConvInputGradient: _conv_input_gradient,
    ConvWeightGradient: _conv_weight_gradient,
    DenseInputGradient: _dense_input_gradient,
    DenseWeightGradient: _dense_weight_gradient,
    BiasGradient: _over_maps(1, 0, (True,)),
    ChannelMean: _over_maps(1, 1, (True,)),
    ChannelVariance: _over_maps(2, 1, (True, False)),
    BatchNormForward: _with_statistics(2, 1),
    GammaGradient: _over_maps(3, 0, (True, True, False, False)),
    BatchNormInputGradient: _with_statistics(5, 2),
    GradientProduct: each_element(1),
    ProductSum: _product_sum,
    FunctionGradient: each_element(2),
    PointwiseGradient: _pointwise_gradient,
    MaxPoolGradient: _max_pool_gradient,
    AvgPoolGradient: _avg_pool_gradient,
    LrnGradient: _lrn_gradient,
    LossGradient: _loss_gradient,
    SoftmaxGradient: _softmax_gradient,
    SliceGradient: _slice_gradient,
    PixelSum: _pixel_sum,
    WindowSum: _window_sum,
    WindowSumGradient: _avg_pool_gradient,
    ScaledForward: _with_statistics(2, 1),
    BetaGradient: _over_maps(2, 0, (True, True)),
    ScaledGradient: _with_statistics(1, 1),
    DropoutMask: each_element(1),
    ForwardMask: each_element(1),
    Update: _update,
    Interleave: alias,
    Part: alias,
    View: alias,
}
