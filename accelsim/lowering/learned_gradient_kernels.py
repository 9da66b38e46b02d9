"""What the gradients of normalisations, sequences, and odd convolutions compute."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from accelsim.lowering.kernel import (
    GemmKernel,
    Kernel,
    VectorKernel,
    copy_of,
    each,
    planes,
    weight_gradient,
)
from accelsim.network.graph import Layer
from accelsim.network.ops import Op, Resize
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import EmbeddingGradient, ParameterSum
from accelsim.units import ceil_div


def _standardised(op: Standardised, layer: Layer, batch: int) -> Kernel:
    """As the normalisation, with a quotient alone at the end."""
    return _by_rows(op, batch, (1, 2, 1) if op.norm.centred else (1, 1), 1)


def _norm_input(op: NormInputGradient, layer: Layer, batch: int) -> Kernel:
    """The statistics once more, two sums with gamma, then the values; or less without a mean."""
    return _by_rows(op, batch, (1, 2, 2, 4, 5) if op.norm.centred else (1, 4, 4), 2)


def _by_rows(
    op: Standardised | NormInputGradient, batch: int, passes: tuple[int, ...], reads: int
) -> Kernel:
    """Every row is an image, of as many channels as it has values."""
    rows, values = op.norm.rows(op.shape)
    inputs, one = (True,) * reads, each(1)
    return VectorKernel(
        batch=batch * rows,
        channels=values,
        rows=one,
        cols=one,
        operations=sum(passes),
        inputs=inputs,
        passes=passes,
    )


def _learned_product(op: LearnedProduct, layer: Layer, batch: int) -> Kernel:
    """What is as large as the gradient is read like one."""
    large = math.prod(op.scale.shape) == layer.output_elements
    return replace(copy_of(layer, batch), inputs=(True,) * (2 if large else 1))


def _transposed_input(op: TransposedInputGradient, layer: Layer, batch: int) -> Kernel:
    rows, cols = op.windows
    groups = op.conv.groups
    return GemmKernel(
        batch=batch,
        groups=groups,
        filters=op.shape[0] // groups,
        channels=op.whole[0] // groups,
        rows=rows,
        cols=cols,
    )


def _transposed_weight(op: TransposedWeightGradient, layer: Layer, batch: int) -> Kernel:
    return weight_gradient(op.windows, op.conv, op.whole[0], batch)


def _local_weight(op: LocalWeightGradient, layer: Layer, batch: int) -> Kernel:
    """Each place a group: gradients of all images times their windows."""
    filters, rows, cols = op.shape[:3]
    terms = each(math.prod(op.shape[3:]))
    return GemmKernel(
        batch=1,
        groups=rows * cols,
        filters=filters,
        channels=batch,
        rows=terms,
        cols=each(1),
        filter_is_input=True,
    )


def _local_columns(op: LocalColumns, layer: Layer, batch: int) -> Kernel:
    """Each place a group: its gradient times its filters."""
    terms, rows, cols = op.shape
    return GemmKernel(
        batch=batch,
        groups=rows * cols,
        filters=terms,
        channels=op.local.out_channels,
        rows=each(1),
        cols=each(1),
    )


def _columns_fold(op: ColumnsFold, layer: Layer, batch: int) -> Kernel:
    """Pixel by pixel of the ifmap, of each window around it one value."""
    windows = op.local.windows(op.shape)
    covered = math.prod(ceil_div(window.kernel, window.stride) for window in windows)
    channels, rows, cols = op.shape
    inputs = (True,) * covered
    return VectorKernel(
        batch=batch,
        channels=channels,
        rows=each(rows),
        cols=each(cols),
        operations=covered,
        inputs=inputs,
    )


def _axis_gradient(op: AxisGradient, layer: Layer, batch: int) -> Kernel:
    """Place by place of the ifmap; the gradient counts as read once for every one.

    An addition for each value that was read of it, and a product where it was by shares.
    """
    channels, rows, cols = planes(op.shape)
    by_shares = isinstance(op.forward, Resize) and op.forward.mode == "bilinear"
    readers = ceil_div(math.prod(layer.input_shapes[0]), math.prod(op.shape))
    work = readers * (8 if by_shares else 1)
    return VectorKernel(
        batch=batch, channels=channels, rows=each(rows), cols=each(cols), operations=work
    )


def _embedding(op: EmbeddingGradient, layer: Layer, batch: int) -> Kernel:
    """All of the table is written; the gradient counts as read once for every value of it."""
    entries, features = op.shape
    return VectorKernel(batch=1, channels=entries, rows=each(features), cols=each(1), operations=1)


def _parameter_sum(op: ParameterSum, layer: Layer, batch: int) -> Kernel:
    """Value by value of a parameter."""
    count = len(layer.inputs)
    rest = each(math.prod(op.shape[1:]))
    return VectorKernel(
        batch=1,
        channels=op.shape[0],
        rows=rest,
        cols=each(1),
        operations=count - 1,
        inputs=(True,) * count,
    )


def _mixture_gradient(op: MixtureGradient, layer: Layer, batch: int) -> Kernel:
    """As of a softmax, row by row; a penalty is added in each pass. Reads the shares, too."""
    rows, values = op.shape
    passes = (2 + (op.penalty > 0),) * 2
    one = each(1)
    return VectorKernel(
        batch=rows,
        channels=values,
        rows=one,
        cols=one,
        operations=sum(passes),
        inputs=(True, True),
        passes=passes,
    )


def _mixture_update(op: MixtureUpdate, layer: Layer, batch: int) -> Kernel:
    """A softmax of each row; whole, it takes its exponentials once."""
    rows, values = op.shape
    one = each(1)
    return VectorKernel(
        batch=rows, channels=values, rows=one, cols=one, operations=4, passes=(1, 2, 2)
    )


LEARNED_GRADIENT_KERNELS: Mapping[type[Op], Callable[..., Kernel]] = {
    Standardised: _standardised,
    NormInputGradient: _norm_input,
    LearnedProduct: _learned_product,
    TransposedInputGradient: _transposed_input,
    TransposedWeightGradient: _transposed_weight,
    LocalWeightGradient: _local_weight,
    LocalColumns: _local_columns,
    ColumnsFold: _columns_fold,
    AxisGradient: _axis_gradient,
    EmbeddingGradient: _embedding,
    ParameterSum: _parameter_sum,
    MixtureGradient: _mixture_gradient,
    MixtureUpdate: _mixture_update,
}
