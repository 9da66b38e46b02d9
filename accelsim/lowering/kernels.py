"""The kernel of every layer type: one table."""

import math
from collections.abc import Callable

from accelsim.lowering.kernel import Alias, GemmKernel, Kernel, VectorKernel, each, planes
from accelsim.network.graph import Layer
from accelsim.network.ops import (
    ELEMENTWISE,
    Add,
    Append,
    AttentionContext,
    AttentionScores,
    AvgPool,
    BatchNorm,
    ClassToken,
    Concat,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Lrn,
    MatMul,
    MaxPool,
    Mean,
    Mul,
    Normalised,
    Op,
    Position,
    Product,
    Reduction,
    Reshape,
    RmsNorm,
    Rotary,
    Slice,
    Softmax,
    Sum,
    Transpose,
    Window,
)
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BatchNormForward,
    BatchNormInputGradient,
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
    GradientSum,
    GradientTranspose,
    Interleave,
    LossGradient,
    LrnGradient,
    MaxPoolGradient,
    Part,
    ProductSum,
    Update,
    View,
)
from accelsim.units import ceil_div

__all__ = ["Alias", "GemmKernel", "Kernel", "VectorKernel", "copy_of", "kernel_of", "planes"]

_SOFTMAX = (1, 2, 2)
"""Operations of the passes of a softmax; whole it takes its exponentials once."""


def _conv(op: Conv, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    channels = layer.input_shapes[0][0] // op.groups
    return GemmKernel(batch, op.groups, op.out_channels // op.groups, channels, rows, cols)


def _dense(op: Dense, layer: Layer, batch: int) -> Kernel:
    shape = layer.input_shapes[0]
    rows, features = shape if len(shape) == 2 else (1, math.prod(shape))
    return GemmKernel(batch, 1, op.out_features, features, each(rows), each(1))


def _product(op: Product, layer: Layer, batch: int) -> Kernel:
    of = op.sizes(layer.input_shapes)
    rows, groups = each(of.m), batch * of.count
    return GemmKernel(1, groups, of.n, of.k, rows, each(1), filter_is_input=True)


def _pool(op: MaxPool | AvgPool, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    scale = 1 if isinstance(op, AvgPool) else 0
    operations = rows.kernel * cols.kernel + scale
    channels = layer.input_shapes[0][0]
    return VectorKernel(batch, channels, rows, cols, operations, tap_operations=1)


def _each_element(
    operations: int, reach: int = 0, passes: tuple[int, ...] = ()
) -> Callable[..., Kernel]:
    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.output_shape)
        whole = layer.output_elements
        full = tuple(math.prod(shape) == whole for shape in layer.input_shapes)
        work = operations * max(len(full) - 1, 1)
        axes = (each(rows), each(cols))
        return VectorKernel(batch, channels, *axes, work, full, reach, passes=passes)

    return kernel


def _softmax(op: Softmax, layer: Layer, batch: int) -> Kernel:
    """The axes before the one that is normalised are images, those behind it are pixels."""
    if not op.in_order:
        return _each_element(sum(_SOFTMAX) - 1, passes=_SOFTMAX)(op, layer, batch)
    shape, axis = layer.output_shape, op.along(layer.output_shape)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    axes = (each(inner), each(1))
    return VectorKernel(batch * outer, shape[axis], *axes, sum(_SOFTMAX) - 1, passes=_SOFTMAX)


def _normalised(op: Normalised, layer: Layer, batch: int) -> Kernel:
    """Every row is an image, of as many channels as it has values."""
    rows, values = op.rows(layer.output_shape)
    passes = (1, 2, 2) if op.centred else (1, 2)
    return VectorKernel(batch * rows, values, each(1), each(1), sum(passes), passes=passes)


def _reduction(op: Reduction, layer: Layer, batch: int) -> Kernel:
    """A pooling whose window is all along the axes."""
    outer, along, inner = op.parts(layer.input_shapes[0])
    operations = along + isinstance(op, Mean)
    axes = (Window(along, along), each(inner))
    return VectorKernel(batch, outer, *axes, operations, tap_operations=1)


def _position(op: Position, layer: Layer, batch: int) -> Kernel:
    """Reads the rows as well as the tokens."""
    tokens, features = layer.output_shape
    return VectorKernel(batch, features, each(tokens), each(1), 1, (True, True))


def _rotary(op: Rotary, layer: Layer, batch: int) -> Kernel:
    """The two of a pair lie along rows, or along columns, and each reads both."""
    tokens, _ = layer.output_shape
    both, pairs = Window(2, 3, before=1, after=1), each(op.pairs(layer.output_shape))
    axes = (pairs, both) if op.interleaved else (both, pairs)
    return VectorKernel(batch, tokens * op.heads, *axes, operations=3)


def _lrn(op: Lrn, layer: Layer, batch: int) -> Kernel:
    return _each_element(op.size + 2, reach=op.size // 2)(op, layer, batch)


# --- Gradients ------------------------------------------------------------------------------------


def _conv_input_gradient(op: ConvInputGradient, layer: Layer, batch: int) -> Kernel:
    rows, cols = (axis.window for axis in op.axes)
    groups = op.conv.groups
    filters, channels = op.ifmap[0] // groups, op.conv.out_channels // groups
    return GemmKernel(batch, groups, filters, channels, rows, cols)


def _conv_weight_gradient(op: ConvWeightGradient, layer: Layer, batch: int) -> Kernel:
    """Channels take the place of images, and images that of channels, which are summed."""
    rows, cols = op.windows
    groups = op.conv.groups
    filters, channels = op.conv.out_channels // groups, op.ifmap[0] // groups
    return GemmKernel(channels, groups, filters, batch, rows, cols, filter_is_input=True)


def _dense_input_gradient(op: DenseInputGradient, layer: Layer, batch: int) -> Kernel:
    rows, features = op.shape if len(op.shape) == 2 else (1, math.prod(op.shape))
    return GemmKernel(batch, 1, features, op.dense.out_features, each(rows), each(1))


def _dense_weight_gradient(op: DenseWeightGradient, layer: Layer, batch: int) -> Kernel:
    rows = layer.input_shapes[1][0] if len(layer.input_shapes[1]) == 2 else 1
    features = math.prod(op.shape[1:])
    return GemmKernel(
        1, 1, op.shape[0], batch * rows, each(features), each(1), filter_is_input=True
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
    return VectorKernel(batch, op.shape[0], axes[0], axes[1], operations, full)


def _around(window: Window) -> Window:
    """All that the windows around a pixel reach."""
    side = window.kernel - 1
    return Window(window.size, 2 * side + 1, before=side, after=side)


def _avg_pool_gradient(op: AvgPoolGradient, layer: Layer, batch: int) -> Kernel:
    """Pixel by pixel of the ifmap; the gradient counts as read once for every pixel."""
    windows = op.pool.windows(op.shape)
    operations = 1 + math.prod(ceil_div(window.kernel, window.stride) for window in windows)
    channels, rows, cols = op.shape
    full = (layer.input_shapes[0][1:] != (1, 1),)
    return VectorKernel(batch, channels, each(rows), each(cols), operations, full)


def _lrn_gradient(op: LrnGradient, layer: Layer, batch: int) -> Kernel:
    """Sums over channels of sums over channels: twice as far; twice the work and products."""
    size = op.lrn.size
    channels, rows, cols = op.shape
    axes = (each(rows), each(cols))
    return VectorKernel(batch, channels, *axes, 3 * size + 6, (True, True), reach=size - 1)


def _over_maps(operations: int, once: int, inputs: tuple[bool, ...]) -> Callable[..., Kernel]:
    """One window per channel over its maps of all images: lane operations per value, and once."""

    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.input_shapes[0])
        down, across = Window(batch * rows, batch * rows), Window(cols, cols)
        work = operations * batch * rows * cols + once
        return VectorKernel(1, channels, down, across, work, inputs, tap_operations=operations)

    return kernel


def _with_statistics(operations: int, full: int) -> Callable[..., Kernel]:
    """Element-wise work on `full` maps, and on one value per channel of the other inputs."""

    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.output_shape)
        inputs = tuple(index < full for index in range(len(layer.inputs)))
        return VectorKernel(batch, channels, each(rows), each(cols), operations, inputs)

    return kernel


def _product_sum(op: ProductSum, layer: Layer, batch: int) -> Kernel:
    """One window per channel and image."""
    channels, rows, cols = planes(layer.input_shapes[0])
    axes = (Window(rows, rows), Window(cols, cols))
    return VectorKernel(batch, channels, *axes, 2 * rows * cols, (True, True), tap_operations=2)


def _update(op: Update, layer: Layer, batch: int) -> Kernel:
    """Value by value of a parameter."""
    rest = each(math.prod(op.shape[1:]))
    return VectorKernel(1, op.shape[0], rest, each(1), op.operations, (True,) * op.reads)


def _alias(op: Op, layer: Layer, batch: int) -> Kernel:
    return Alias()


def copy_of(layer: Layer, batch: int) -> VectorKernel:
    """What is copied, as a concat that cannot be in place: each element passes the unit once."""
    channels, rows, cols = planes(layer.output_shape)
    return VectorKernel(batch, channels, each(rows), each(cols), operations=1)


# Operations per ofmap element: a pool one per tap (an average one more to scale), an activation
# or table look-up one, LRN a square and add per channel around, a power and a product, softmax
# maximum, exponential, sum and quotient, batch norm a product and a sum. A softmax in passes takes
# the maximum, then exponentials and their sum, then exponentials again and the quotients. A layer
# norm takes the mean, then differences and their squares, then a product and a sum.
_KERNELS: dict[type[Op], Callable[..., Kernel]] = {
    Conv: _conv,
    Dense: _dense,
    **dict.fromkeys((MatMul, AttentionScores, AttentionContext), _product),
    MaxPool: _pool,
    AvgPool: _pool,
    Add: _each_element(1),
    Mul: _each_element(1),
    **{row: _each_element(row.operations) for row in ELEMENTWISE},
    Softmax: _softmax,
    Embedding: lambda op, layer, batch: copy_of(layer, batch),
    ClassToken: lambda op, layer, batch: copy_of(layer, batch),
    Position: _position,
    Rotary: _rotary,
    Append: _alias,
    **dict.fromkeys((LayerNorm, RmsNorm, GroupNorm, InstanceNorm), _normalised),
    **dict.fromkeys((Mean, Sum, Largest), _reduction),
    Lrn: _lrn,
    BatchNorm: _each_element(2),
    Transpose: _each_element(1),
    Slice: lambda op, layer, batch: copy_of(layer, batch),
    Concat: _alias,
    Flatten: _alias,
    Reshape: _alias,
    Dropout: _alias,
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
    GradientProduct: _each_element(1),
    ProductSum: _product_sum,
    FunctionGradient: _each_element(2),
    MaxPoolGradient: _max_pool_gradient,
    AvgPoolGradient: _avg_pool_gradient,
    LrnGradient: _lrn_gradient,
    LossGradient: _each_element(1),
    GradientSum: _each_element(1),
    GradientTranspose: _each_element(1),
    DropoutMask: _each_element(1),
    ForwardMask: _each_element(1),
    Update: _update,
    Interleave: _alias,
    Part: _alias,
    View: _alias,
}


def kernel_of(layer: Layer, batch: int) -> Kernel:
    """What `layer` computes for `batch` images; a concat is taken as in place."""
    return _KERNELS[type(layer.op)](layer.op, layer, batch)
