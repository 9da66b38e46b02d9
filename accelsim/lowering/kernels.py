"""What a layer computes, in the three forms that hardware knows.

`kernel` has the three; `gradient_kernels` has the rules of a training step.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from accelsim.lowering.gradient_kernels import GRADIENT_KERNELS
from accelsim.lowering.kernel import (
    Alias,
    GemmKernel,
    Kernel,
    VectorKernel,
    alias,
    copy_along,
    copy_of,
    each,
    each_element,
    filled,
    over_axis,
    planes,
)
from accelsim.lowering.learned_gradient_kernels import LEARNED_GRADIENT_KERNELS
from accelsim.network.graph import Layer
from accelsim.network.ops import (
    ELEMENTWISE,
    FUNCTIONS,
    POINTWISE,
    Add,
    Append,
    ArgMax,
    AsValues,
    AttentionContext,
    AttentionScores,
    AvgPool,
    BatchNorm,
    ClassToken,
    Concat,
    Conv,
    Dense,
    Dropout,
    DynamicQuantize,
    Embedding,
    Expand,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Local,
    Lrn,
    Maps,
    MatMul,
    MaxPool,
    Mean,
    Mixture,
    Mul,
    Normalised,
    Op,
    OverAxes,
    Pad,
    Phase,
    Phases,
    Pointwise,
    Position,
    Product,
    Reshape,
    Resize,
    RmsNorm,
    Rotary,
    ScaleShift,
    Slice,
    Softmax,
    Sort,
    SplitPart,
    SubSampling,
    Sum,
    Transpose,
    Window,
)
from accelsim.network.ops.gradients import (
    GradientConcat,
    GradientSum,
    GradientTranspose,
)
from accelsim.network.ops.product_gradients import (
    GradientContext,
    GradientMatMul,
    GradientReduction,
    GradientScores,
)
from accelsim.network.ops.spatial_gradients import GradientPad, GradientSlice
from accelsim.network.ops.token_gradients import RotaryGradient

__all__ = ["Alias", "GemmKernel", "Kernel", "VectorKernel", "copy_of", "kernel_of", "planes"]

_SOFTMAX = (1, 2, 2)
"""Operations of the passes of a softmax; whole it takes its exponentials once."""
_DYNAMIC = (2, 2)
"""Of a dynamic quantization: the largest and the smallest, which are kept as one psum; then a
product and its rounding.
"""


def _conv(op: Conv, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    channels = layer.input_shapes[0][0] // op.groups
    return GemmKernel(
        batch=batch,
        groups=op.groups,
        filters=op.out_channels // op.groups,
        channels=channels,
        rows=rows,
        cols=cols,
    )


def _dense(op: Dense, layer: Layer, batch: int) -> Kernel:
    shape = layer.input_shapes[0]
    rows, features = shape if len(shape) == 2 else (1, math.prod(shape))
    return GemmKernel(
        batch=batch,
        groups=1,
        filters=op.out_features,
        channels=features,
        rows=each(rows),
        cols=each(1),
    )


def _product(op: Product, layer: Layer, batch: int) -> Kernel:
    of = op.sizes(layer.input_shapes)
    rows, groups = each(of.m), batch * of.count
    return GemmKernel(
        batch=1,
        groups=groups,
        filters=of.n,
        channels=of.k,
        rows=rows,
        cols=each(1),
        filter_is_input=True,
    )


def _pool(op: MaxPool | AvgPool, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows(layer.input_shapes[0])
    scale = 1 if isinstance(op, AvgPool) else 0
    operations = rows.kernel * cols.kernel + scale
    channels = layer.input_shapes[0][0]
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=rows,
        cols=cols,
        operations=operations,
        tap_operations=1,
    )


def _sub_sampling(op: SubSampling, layer: Layer, batch: int) -> Kernel:
    """The sum, and a line: a product and an addition."""
    rows, cols = op.windows(layer.input_shapes[0])
    taps, channels = rows.kernel * cols.kernel, layer.input_shapes[0][0]
    return VectorKernel(
        batch=batch, channels=channels, rows=rows, cols=cols, operations=taps + 2, tap_operations=1
    )


def _softmax(op: Softmax, layer: Layer, batch: int) -> Kernel:
    """Whole, it takes its exponentials once."""
    return replace(over_axis(op, layer, batch, _SOFTMAX), operations=sum(_SOFTMAX) - 1)


def _normalised(op: Normalised, layer: Layer, batch: int) -> Kernel:
    """Every row is an image, of as many channels as it has values."""
    rows, values = op.rows(layer.output_shape)
    passes = (1, 2, 2) if op.centred else (1, 2)
    return VectorKernel(
        batch=batch * rows,
        channels=values,
        rows=each(1),
        cols=each(1),
        operations=sum(passes),
        passes=passes,
    )


def _dynamic(op: DynamicQuantize, layer: Layer, batch: int) -> Kernel:
    """All values of an image depend on each other."""
    values = layer.output_elements
    return VectorKernel(
        batch=batch,
        channels=values,
        rows=each(1),
        cols=each(1),
        operations=sum(_DYNAMIC),
        passes=_DYNAMIC,
    )


def _pointwise(op: Pointwise, layer: Layer, batch: int) -> Kernel:
    kernel = each_element(op.operations)(op, layer, batch)
    assert isinstance(kernel, VectorKernel)
    return replace(kernel, operations=op.operations)


def _sort(op: Sort, layer: Layer, batch: int) -> Kernel:
    """Each value is put in its place among those before it."""
    shape, axis = layer.output_shape, op.along(layer.output_shape)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    sizes = (batch * outer, shape[axis], each(inner), each(1))
    return VectorKernel(*sizes, operations=op.comparisons(shape), uncut=True)


def _reduction(op: OverAxes, layer: Layer, batch: int) -> Kernel:
    """A pooling whose window is all along the axes."""
    outer, along, inner = op.parts(layer.input_shapes[0])
    return VectorKernel(
        batch=batch,
        channels=outer,
        rows=Window(size=along, kernel=along),
        cols=each(inner),
        operations=along + isinstance(op, Mean),
        tap_operations=1,
    )


def _phase(op: Phase, layer: Layer, batch: int) -> Kernel:
    shape, axes = layer.input_shapes[0], op.axes(layer.input_shapes[0])
    if axes is None:
        return filled(layer, batch)
    rows, cols = (axis.window for axis in axes)
    filters, channels = op.out_channels // op.groups, shape[0] // op.groups
    return GemmKernel(
        batch=batch, groups=op.groups, filters=filters, channels=channels, rows=rows, cols=cols
    )


def _local(op: Local, layer: Layer, batch: int) -> Kernel:
    """Every place of the ofmap is a group, whose window is its channels."""
    _, rows, cols = layer.output_shape
    terms = layer.input_shapes[0][0] * op.kernel[0] * op.kernel[1]
    return GemmKernel(
        batch=batch,
        groups=rows * cols,
        filters=op.out_channels,
        channels=terms,
        rows=each(1),
        cols=each(1),
    )


def _resize(op: Resize, layer: Layer, batch: int) -> Kernel:
    """A copy, or four products and their sum."""
    work = 1 if op.mode == "nearest" else 7
    return replace(copy_along(op, layer, batch), operations=work)


def _scale_shift(op: ScaleShift, layer: Layer, batch: int) -> Kernel:
    """A product and a sum; what is as large as the input is read like one."""
    large = math.prod(op.shape) == layer.output_elements
    return replace(copy_of(layer, batch), operations=2, inputs=(True,) * (3 if large else 1))


def _position(op: Position, layer: Layer, batch: int) -> Kernel:
    """Reads the rows as well as the tokens."""
    tokens, features = layer.output_shape
    return VectorKernel(
        batch=batch,
        channels=features,
        rows=each(tokens),
        cols=each(1),
        operations=1,
        inputs=(True, True),
    )


def _rotary(op: Rotary, layer: Layer, batch: int) -> Kernel:
    """The two of a pair lie along rows, or along columns, and each reads both."""
    tokens, _ = layer.output_shape
    both, pairs = Window(size=2, kernel=3, before=1, after=1), each(op.pairs(layer.output_shape))
    rows, cols = (pairs, both) if op.interleaved else (both, pairs)
    return VectorKernel(batch=batch, channels=tokens * op.heads, rows=rows, cols=cols, operations=3)


def _lrn(op: Lrn, layer: Layer, batch: int) -> Kernel:
    channels, rows, cols = planes(layer.output_shape)
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=each(rows),
        cols=each(cols),
        operations=op.size + 2,
        reach=op.size // 2,
        tap_operations=1,
    )


def _copy(op: Op, layer: Layer, batch: int) -> Kernel:
    return copy_of(layer, batch)


# Operations per ofmap element: a pool one per tap (an average one more to scale), an activation
# or table look-up one, LRN a square and add per channel around, a power and a product, softmax
# maximum, exponential, sum and quotient, batch norm a product and a sum. A softmax in passes takes
# the maximum, then exponentials and their sum, then exponentials again and the quotients. A layer
# norm takes the mean, then differences and their squares, then a product and a sum.
_KERNELS: dict[type[Op], Callable[..., Kernel]] = {
    **dict.fromkeys((Conv, Mixture), _conv),
    Dense: _dense,
    **dict.fromkeys((MatMul, AttentionScores, AttentionContext), _product),
    MaxPool: _pool,
    AvgPool: _pool,
    SubSampling: _sub_sampling,
    Add: each_element(1),
    Mul: each_element(1),
    **{row: each_element(row.operations) for row in (*ELEMENTWISE, *FUNCTIONS)},
    Softmax: _softmax,
    **dict.fromkeys((LayerNorm, RmsNorm, GroupNorm, InstanceNorm), _normalised),
    DynamicQuantize: _dynamic,
    **dict.fromkeys(POINTWISE, _pointwise),
    Sort: _sort,
    **dict.fromkeys((Mean, Sum, Largest, ArgMax), _reduction),
    Lrn: _lrn,
    BatchNorm: each_element(2),
    Transpose: each_element(1),
    **dict.fromkeys((Slice, SplitPart, Embedding, AsValues, ClassToken, Maps), _copy),
    **dict.fromkeys((Expand, Pad), copy_along),
    Resize: _resize,
    Local: _local,
    Phase: _phase,
    Phases: alias,
    Position: _position,
    Rotary: _rotary,
    ScaleShift: _scale_shift,
    Append: alias,
    Concat: alias,
    Flatten: alias,
    Reshape: alias,
    Dropout: alias,
    GradientReduction: _reduction,
    **dict.fromkeys((GradientMatMul, GradientScores, GradientContext), _product),
    GradientSum: each_element(1),
    GradientConcat: alias,
    GradientPad: copy_along,
    GradientTranspose: each_element(1),
    GradientSlice: _copy,
    RotaryGradient: _rotary,
    **GRADIENT_KERNELS,
    **LEARNED_GRADIENT_KERNELS,
}


def kernel_of(layer: Layer, batch: int) -> Kernel:
    """What `layer` computes for `batch` images; a concat is taken as in place."""
    return _KERNELS[type(layer.op)](layer.op, layer, batch)
