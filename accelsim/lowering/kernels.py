"""What a layer computes, in the three forms that hardware knows.

A GemmKernel runs on the array (convolution, dense, matmul), a VectorKernel on the vector unit,
and an Alias moves nothing: its ofmap is its inputs' bytes under another name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from accelsim.lowering.dataflow import Gemm
from accelsim.network.graph import Layer
from accelsim.network.ops import (
    ELEMENTWISE,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Reshape,
    Shape,
    Slice,
    Softmax,
    SubSampling,
    Transpose,
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
    GradientMatMul,
    GradientProduct,
    GradientSum,
    GradientTranspose,
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
from accelsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class GemmKernel:
    """`groups` independent GEMMs, each a convolution of one group.

    `channels` (C) and `filters` (K) count one group; `rows` and `cols` are the windows that make
    the P x Q ofmap. A dense layer is a 1x1 convolution of a 1x1 feature map, a matrix a
    feature map one pixel wide; in a matmul each image is a group, for its filter differs.
    """

    batch: int
    groups: int
    filters: int
    channels: int
    rows: Window
    cols: Window
    filter_is_input: bool = False

    @property
    def gemm(self) -> Gemm:
        """The GEMM of one group."""
        pixels = self.batch * self.rows.outputs * self.cols.outputs
        return Gemm(pixels, self.filters, self.channels * self.taps, self.taps)

    @property
    def windows(self) -> tuple[Window, Window]:
        """Down and across."""
        return self.rows, self.cols

    @property
    def taps(self) -> int:
        """Kernel positions R*S per channel."""
        return self.rows.kernel * self.cols.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return self.groups * self.gemm.macs


@dataclass(frozen=True, slots=True)
class VectorKernel:
    """Window or element-wise work on `channels` planes of a rows x cols ofmap.

    `operations` is the lane-cycles per ofmap element. `inputs` lists the ifmaps: True for a
    full one, False for one value per channel. An output needs `reach` more channels on each side.
    `tap_operations` are those per tap of a window that may be cut by taps; 0: it may not. `passes`
    are the operations per element of each pass over all channels, where a tile does not hold them
    all; empty: channels do not depend on each other.
    """

    batch: int
    channels: int
    rows: Window
    cols: Window
    operations: int
    inputs: tuple[bool, ...] = (True,)
    reach: int = 0
    tap_operations: int = 0
    passes: tuple[int, ...] = ()

    @property
    def depth(self) -> Window:
        """The window along the channels."""
        return Window(self.channels, 2 * self.reach + 1, before=self.reach, after=self.reach)

    @property
    def taps(self) -> int:
        """Kernel positions R*S per channel."""
        return self.rows.kernel * self.cols.kernel

    @property
    def outputs(self) -> int:
        """Elements of the ofmap."""
        return self.batch * self.channels * self.rows.outputs * self.cols.outputs

    @property
    def operations_total(self) -> int:
        """Lane-cycles of the whole layer, in tiles of whole windows and all channels."""
        return self.outputs * self.operations


@dataclass(frozen=True, slots=True)
class Alias:
    """No work: views, and a concat whose inputs were written in place."""


Kernel = GemmKernel | VectorKernel | Alias


def _each(size: int) -> Window:
    """A window that takes one element after another."""
    return Window(size, 1)


def planes(shape: Shape) -> tuple[int, int, int]:
    """A shape as (channels, rows, cols): a matrix's features and a vector are channels."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (shape[1], shape[0], 1) if len(shape) == 2 else (shape[0], 1, 1)


def _conv(op: Conv, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    channels = layer.input_shapes[0][0] // op.groups
    return GemmKernel(batch, op.groups, op.out_channels // op.groups, channels, rows, cols)


def _dense(op: Dense, layer: Layer, batch: int) -> Kernel:
    shape = layer.input_shapes[0]
    rows, features = shape if len(shape) == 2 else (1, math.prod(shape))
    return GemmKernel(batch, 1, op.out_features, features, _each(rows), _each(1))


def _matmul(op: MatMul, layer: Layer, batch: int) -> Kernel:
    (m, k), (_, n) = layer.input_shapes
    return GemmKernel(1, batch, n, k, _each(m), _each(1), filter_is_input=True)


def _pool(op: MaxPool | AvgPool, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    scale = 1 if isinstance(op, AvgPool) else 0
    operations = rows.kernel * cols.kernel + scale
    channels = layer.input_shapes[0][0]
    return VectorKernel(batch, channels, rows, cols, operations, tap_operations=1)


def _sub_sampling(op: SubSampling, layer: Layer, batch: int) -> Kernel:
    """The sum, and a line: a product and an addition."""
    rows, cols = op.windows(layer.input_shapes[0])
    taps, channels = rows.kernel * cols.kernel, layer.input_shapes[0][0]
    return VectorKernel(batch, channels, rows, cols, taps + 2, tap_operations=1)


def _each_element(
    operations: int, reach: int = 0, passes: tuple[int, ...] = ()
) -> Callable[..., Kernel]:
    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.output_shape)
        whole = layer.output_elements
        full = tuple(math.prod(shape) == whole for shape in layer.input_shapes)
        work = operations * max(len(full) - 1, 1)
        axes = (_each(rows), _each(cols))
        return VectorKernel(batch, channels, *axes, work, full, reach, passes=passes)

    return kernel


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
    return GemmKernel(batch, 1, features, op.dense.out_features, _each(rows), _each(1))


def _dense_weight_gradient(op: DenseWeightGradient, layer: Layer, batch: int) -> Kernel:
    rows = layer.input_shapes[1][0] if len(layer.input_shapes[1]) == 2 else 1
    features = math.prod(op.shape[1:])
    return GemmKernel(
        1, 1, op.shape[0], batch * rows, _each(features), _each(1), filter_is_input=True
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


def _avg_pool_gradient(op: AvgPoolGradient | WindowSumGradient, layer: Layer, batch: int) -> Kernel:
    """Pixel by pixel of the ifmap; the gradient counts as read once for every pixel.

    A mean is divided as it is spread.
    """
    windows = op.pool.windows(op.shape)
    covered = math.prod(ceil_div(window.kernel, window.stride) for window in windows)
    operations = isinstance(op, AvgPoolGradient) + covered
    channels, rows, cols = op.shape
    full = (layer.input_shapes[0][1:] != (1, 1),)
    return VectorKernel(batch, channels, _each(rows), _each(cols), operations, full)


def _window_sum(op: WindowSum, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.pool.windows(layer.input_shapes[0])
    channels, taps = layer.input_shapes[0][0], rows.kernel * cols.kernel
    return VectorKernel(batch, channels, rows, cols, taps, tap_operations=1)


def _lrn_gradient(op: LrnGradient, layer: Layer, batch: int) -> Kernel:
    """Sums over channels of sums over channels: twice as far; twice the work and products."""
    size = op.lrn.size
    channels, rows, cols = op.shape
    axes = (_each(rows), _each(cols))
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
        return VectorKernel(batch, channels, _each(rows), _each(cols), operations, inputs)

    return kernel


def _pixel_sum(op: PixelSum, layer: Layer, batch: int) -> Kernel:
    """One window per channel and image."""
    channels, rows, cols = planes(layer.input_shapes[0])
    axes = (Window(rows, rows), Window(cols, cols))
    return VectorKernel(batch, channels, *axes, rows * cols, tap_operations=1)


def _slice_gradient(op: SliceGradient, layer: Layer, batch: int) -> Kernel:
    """All of the ifmap is written; the gradient counts as read once for every value of it."""
    channels, rows, cols = planes(op.shape)
    full = planes(layer.input_shapes[0])[1:] != (1, 1)
    return VectorKernel(batch, channels, _each(rows), _each(cols), 1, (full,))


def _loss_gradient(op: LossGradient, layer: Layer, batch: int) -> Kernel:
    """A difference, and a product where the loss has a weight."""
    return _each_element(1 + (op.weight != 1))(op, layer, batch)


def _product_sum(op: ProductSum, layer: Layer, batch: int) -> Kernel:
    """One window per channel and image."""
    channels, rows, cols = planes(layer.input_shapes[0])
    axes = (Window(rows, rows), Window(cols, cols))
    return VectorKernel(batch, channels, *axes, 2 * rows * cols, (True, True), tap_operations=2)


def _update(op: Update, layer: Layer, batch: int) -> Kernel:
    """Value by value of a parameter."""
    rest = _each(math.prod(op.shape[1:]))
    return VectorKernel(1, op.shape[0], rest, _each(1), op.operations, (True,) * op.reads)


def _alias(op: Op, layer: Layer, batch: int) -> Kernel:
    return Alias()


def copy_of(layer: Layer, batch: int) -> VectorKernel:
    """What is copied, as a concat that cannot be in place: each element passes the unit once."""
    channels, rows, cols = planes(layer.output_shape)
    return VectorKernel(batch, channels, _each(rows), _each(cols), operations=1)


# Operations per ofmap element: a pool one per tap (an average one more to scale), an activation
# or table look-up one, LRN a square and add per channel around, a power and a product, softmax
# maximum, exponential, sum and quotient, batch norm a product and a sum. A softmax in passes takes
# the maximum, then exponentials and their sum, then exponentials again and the quotients.
_KERNELS: dict[type[Op], Callable[..., Kernel]] = {
    Conv: _conv,
    Dense: _dense,
    MatMul: _matmul,
    MaxPool: _pool,
    AvgPool: _pool,
    SubSampling: _sub_sampling,
    Add: _each_element(1),
    Mul: _each_element(1),
    **{row: _each_element(row.operations) for row in ELEMENTWISE},
    Softmax: _each_element(4, passes=(1, 2, 2)),
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
    LossGradient: _loss_gradient,
    SoftmaxGradient: _each_element(4, passes=(2, 2)),
    SliceGradient: _slice_gradient,
    GradientMatMul: _matmul,
    PixelSum: _pixel_sum,
    WindowSum: _window_sum,
    WindowSumGradient: _avg_pool_gradient,
    ScaledForward: _with_statistics(2, 1),
    BetaGradient: _over_maps(2, 0, (True, True)),
    ScaledGradient: _with_statistics(1, 1),
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
