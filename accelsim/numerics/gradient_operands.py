"""What the GEMM kernels of a training step multiply.

They see the arrays of the forward pass turned: images as channels, filters by 180 degrees.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.task import Pixels, Span
from accelsim.network.ops import Op
from accelsim.network.ops.gradients import (
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
)
from accelsim.network.ops.spatial_gradients import (
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array
from accelsim.numerics.tiled_gemm import GemmOperands
from accelsim.numerics.windows import windows


def gradient_operands(kernel: GemmKernel, work: Computation) -> GemmOperands:
    """The arrays of a gradient's kernel, as views where they can be."""
    result = np.zeros(work.ofmap_shape, work.inputs[0].values.dtype)
    ifmap, weight, ofmap = _OPERANDS[type(work.layer.op)](work.layer.op, work, result)
    unit = np.ones((kernel.groups, kernel.filters, 1), np.float32)
    return GemmOperands(
        ifmap=ifmap, weight=weight, bias=None, unit=unit, result=result, ofmap=ofmap
    )


def _conv_input(
    op: ConvInputGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    groups, axes = op.conv.groups, op.axes
    assert axes is not None, "a phase that no tap reaches is no product"
    rows, cols = axes
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
    return *_correlated(x, gradient), filters.transpose(2, 0, 1, 3, 4)


def _correlated(ifmap: Array, kernel: Array) -> tuple[Array, Array]:
    """Maps (N, G, C, H, W) of which one slides over the other, images as channels of their sums."""
    return ifmap.transpose(2, 1, 0, 3, 4), kernel.transpose(1, 2, 0, 3, 4)


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


def _transposed_input(
    op: TransposedInputGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    weight, groups = work.parameters.arrays["weight"], op.conv.groups
    filters = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    return _grouped(work.inputs[0].values, groups), filters, _grouped(result, groups)


def _transposed_weight(
    op: TransposedWeightGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    gradient, x = (_grouped(each.values, op.conv.groups) for each in work.inputs)
    filters = result.reshape(op.conv.groups, -1, *op.shape[1:])
    return *_correlated(gradient, x), filters.transpose(1, 0, 2, 3, 4)


def _local_weight(
    op: LocalWeightGradient, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    """Places as groups, images as channels."""
    x, gradient = (each.values for each in work.inputs)
    filters, height, width = op.shape[:3]
    pixels = Pixels(Span(0, len(x)), Span(0, height), Span(0, width))
    taps = windows(x, *op.local.windows(x.shape[1:]), pixels, 0)
    ifmap = taps.reshape(len(x), -1, height * width).transpose(2, 0, 1)
    weight = gradient.reshape(len(x), filters, -1).transpose(2, 1, 0)
    ofmap = result.reshape(filters, height * width, -1).swapaxes(0, 1)
    return ifmap[None, ..., None], weight[..., None, None], ofmap[None, ..., None]


def _local_columns(
    op: LocalColumns, work: Computation, result: Array
) -> tuple[Array, Array, Array]:
    """Places as groups, windows as filters."""
    filters = op.local.out_channels
    weight = work.parameters.arrays["weight"]
    places = math.prod(weight.shape[1:3])
    turned = weight.reshape(filters, places, -1).transpose(1, 2, 0)
    gradient, columns = (
        each.reshape(work.batch, -1, places).swapaxes(1, 2)[..., None, None]
        for each in (work.inputs[0].values, result)
    )
    return gradient, turned[..., None, None], columns


_OPERANDS: Mapping[type[Op], Callable[..., tuple[Array, Array, Array]]] = {
    TransposedInputGradient: _transposed_input,
    TransposedWeightGradient: _transposed_weight,
    LocalWeightGradient: _local_weight,
    LocalColumns: _local_columns,
    ConvInputGradient: _conv_input,
    ConvWeightGradient: _conv_weight,
    DenseInputGradient: _dense_input,
    DenseWeightGradient: _dense_weight,
}
