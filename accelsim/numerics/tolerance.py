"""How far floating-point results may lie apart when sums are taken in another order.

The model is Higham, Accuracy and Stability of Numerical Algorithms (2nd ed.), section 3.1: every
operation is exact but for a factor (1 + d), |d| <= u, the unit roundoff. A sum of products in
which each term meets at most t such factors is off by at most

    ((1 + u)^t - 1) * (sum of the terms' magnitudes),

in whatever order it is taken. Two orders differ by twice that. Storing both in a format with unit
roundoff v adds at most v times each; a function that follows multiplies a difference by its
steepest slope at most, and exp, power and the functions are taken to be within 4 units in the last
place.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from accelsim.network.graph import Layer
from accelsim.network.ops import (
    ACTIVATIONS,
    Activation,
    AvgPool,
    Conv,
    Dense,
    Local,
    Lrn,
    Mean,
    Normalised,
    Op,
    Phase,
    Product,
    Softmax,
    SubSampling,
    Sum,
    Window,
)
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BetaGradient,
    BiasGradient,
    ChannelMean,
    ChannelVariance,
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
    GammaGradient,
    LrnGradient,
    MaxPoolGradient,
    PixelSum,
    ProductSum,
    SoftmaxGradient,
    WindowSum,
    WindowSumGradient,
)
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import NormInputGradient, Standardised
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import EmbeddingGradient
from accelsim.numerics.arithmetic import FloatArithmetic
from accelsim.numerics.batch_norm_gradients import normalised
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import FLOATS, Array, Tensor
from accelsim.numerics.gradients import around, lrn_terms
from accelsim.numerics.mixtures import terms
from accelsim.numerics.normal import lines_of
from accelsim.numerics.reference import compute
from accelsim.numerics.spatial_gradients import axis_shares

_FUNCTION_ROUNDINGS = 8  # of exp, power, tanh: 4 units in the last place, each two roundoffs

_NORM_ROUNDINGS = 16  # of difference, square, quotients, root, product and sum, each a few times


def tolerance(work: Computation, ofmap: Array) -> Array:
    """The largest difference, float64 of the shape of `ofmap`, between two right results.

    Both are computed from the same inputs, those of `work`; `ofmap` is either of them.
    """
    arithmetic = work.arithmetic
    assert isinstance(arithmetic, FloatArithmetic)
    terms = _terms(work)
    growth = math.expm1(terms * math.log1p(arithmetic.psum.unit_roundoff))
    size = np.abs(ofmap.astype(np.float64))
    growth *= 2 * _steepest(work.layer)
    sums = growth * (_magnitude(work, size) + terms * arithmetic.psum.tiny)
    stored = arithmetic.activation.unit_roundoff + _FUNCTION_ROUNDINGS * 2.0**-24
    bound: Array = sums + 3 * stored * (size + sums) + arithmetic.activation.tiny
    return bound


def _steepest(layer: Layer) -> float:
    """The largest slope of the activation that is fused, 1 at least."""
    activation: Activation | None = getattr(layer.op, "activation", None)
    return max(1.0, ACTIVATIONS[activation].steepest) if activation else 1.0


def _terms(work: Computation) -> int:
    """Roundings that one term of an output meets at most, before the result is stored.

    A product of n terms: the product, n additions with the bias, and as many roundings to a
    narrower psum, should it leave the array after each. Element-wise layers have one order.
    """
    op = work.layer.op
    for kind in type(op).__mro__:
        if kind in _PRODUCTS:
            return 2 * _PRODUCTS[kind](op, work) + 2
        if kind in _ROUNDINGS:
            return _ROUNDINGS[kind](op, work)
    return 0


Count = Callable[[Any, Computation], int]
"""Of a layer's type and what it computes with."""


def _of_channel(op: Any, work: Computation, source: int = 0) -> int:
    """Values of an ifmap, of all images that are summed, for each of the ofmap's channels."""
    images = 1 if op.batched else work.batch
    return images * math.prod(work.layer.input_shapes[source]) // int(op.shape[0])


def _of_taps(op: Any, work: Computation) -> int:
    """Pixels of a gradient, of all images, that slides over the ifmap to the taps."""
    return work.batch * _taps(op.windows)


def _taps(windows: Iterable[Window]) -> int:
    return math.prod(window.kernel for window in windows)


def _row(op: Any, work: Computation) -> int:
    return int(op.rows(work.layer.output_shape)[1]) + _NORM_ROUNDINGS


def _row_back(op: Any, work: Computation) -> int:
    return int(op.norm.rows(op.shape)[1]) + _NORM_ROUNDINGS


def _axis_shares(op: AxisGradient, work: Computation) -> int:
    shares = (each for each in axis_shares(op) if each is not None)
    return sum(int(np.count_nonzero(each, 0).max()) + 1 for each in shares)


_PRODUCTS: Mapping[type[Op], Count] = {
    Conv: lambda op, work: math.prod(op.weight_shape(work.layer.input_shapes)[1:]),
    Phase: lambda op, work: op.most_terms(work.layer.input_shapes[0]),
    Local: lambda op, work: math.prod(work.layer.parameter_shapes["weight"][3:]),
    Dense: lambda op, work: op.weight_shape(work.layer.input_shapes)[1],
    ConvInputGradient: lambda op, work: op.most_terms,
    DenseInputGradient: lambda op, work: op.dense.out_features,
    TransposedInputGradient: lambda op, work: op.terms,
    LocalColumns: lambda op, work: op.local.out_channels,
    LocalWeightGradient: lambda op, work: work.batch,
    **dict.fromkeys((ConvWeightGradient, TransposedWeightGradient), _of_taps),
    DenseWeightGradient: lambda op, work: _of_channel(op, work, 1),
    **dict.fromkeys((BiasGradient, ProductSum, PixelSum), _of_channel),
}
"""Products that are summed to one value."""

_ROUNDINGS: Mapping[type[Op], Count] = {
    Product: lambda op, work: 2 * op.sizes(work.layer.input_shapes).k + 3,
    **dict.fromkeys(
        (ChannelMean, ChannelVariance, GammaGradient, BetaGradient),
        lambda op, work: 2 * _of_channel(op, work) + 8,
    ),
    EmbeddingGradient: lambda op, work: work.batch * math.prod(work.layer.input_shapes[0]) + 1,
    **dict.fromkeys((Mean, Sum), lambda op, work: op.parts(work.layer.input_shapes[0])[1] + 1),
    Normalised: _row,
    **dict.fromkeys((Standardised, NormInputGradient), _row_back),
    **dict.fromkeys(
        (AvgPool, SubSampling), lambda op, work: _taps(op.windows(work.layer.input_shapes[0])) + 3
    ),
    WindowSum: lambda op, work: _taps(op.pool.windows(work.layer.input_shapes[0])),
    **dict.fromkeys(
        (MaxPoolGradient, AvgPoolGradient, WindowSumGradient),
        lambda op, work: _taps(op.pool.windows(op.shape)) + 1,
    ),
    ColumnsFold: lambda op, work: math.prod(op.local.kernel) + 1,
    AxisGradient: _axis_shares,
    Softmax: lambda op, work: (
        work.layer.output_shape[op.along(work.layer.output_shape)] + 2 * _FUNCTION_ROUNDINGS
    ),
    SoftmaxGradient: lambda op, work: op.shape[op.softmax.along(op.shape)] + 3,
    MixtureGradient: lambda op, work: op.shape[1] + 4,
    MixtureUpdate: lambda op, work: op.shape[1] + 2 * _FUNCTION_ROUNDINGS,
    Lrn: lambda op, work: math.ceil((op.size + 4) * max(op.beta, 1)) + _FUNCTION_ROUNDINGS,
    LrnGradient: lambda op, work: (
        math.ceil((2 * op.lrn.size + 8) * (op.lrn.beta + 1)) + _FUNCTION_ROUNDINGS
    ),
}
"""Roundings of all else: of sums their terms, and some around them."""

_SUMS = (
    *(Conv, Phase, Local, Dense, Product, AvgPool, SubSampling, Mean, Sum),
    *(ConvInputGradient, ConvWeightGradient, DenseInputGradient, DenseWeightGradient),
    *(BiasGradient, AvgPoolGradient, ChannelMean, ProductSum, PixelSum, BetaGradient),
    *(WindowSum, WindowSumGradient, TransposedInputGradient, TransposedWeightGradient),
    *(LocalWeightGradient, LocalColumns, ColumnsFold, AxisGradient, EmbeddingGradient),
)
"""Sums of products: what bounds them is the layer itself, of magnitudes."""


def _magnitude(work: Computation, size: Array) -> Array:
    """The sum of the magnitudes of the terms of each output, or a little more.

    Softmax and LRN divide positive numbers, where nothing cancels: the result's own `size`. The
    1 % covers what this estimate itself loses to rounding.
    """
    match work.layer.op:
        case Normalised() as op:
            return _norm_magnitude(op, work, lines_of(op, work.parameters, work.layer.output_shape))
        case Standardised() as op:
            return _norm_magnitude(op.norm, work, [np.ones((1, 1)), np.zeros((1, 1))])
        case NormInputGradient() as op:
            return _norm_input_magnitude(op, work)
        case SoftmaxGradient() as op:
            return _softmax_magnitude(op, work)
        case MixtureGradient() as op:
            return _mixture_magnitude(op, work)
        case LrnGradient() as op:
            return _lrn_magnitude(op, work)
        case GammaGradient() as op:
            return _gamma_magnitude(op, work)
        case MaxPoolGradient():
            return _of_magnitudes(work, work.inputs[1:])
        case op if isinstance(op, _SUMS):
            return _of_magnitudes(work)
        case _:
            return 1.01 * size


def _of_magnitudes(work: Computation, signed: tuple[Tensor, ...] = ()) -> Array:
    """What the layer computes of magnitudes, without its activation; some inputs stay `signed`."""
    layer, single = work.layer, FLOATS["float32"]
    if getattr(layer.op, "activation", None) is not None:
        layer = replace(layer, op=replace(layer.op, activation=None))  # type: ignore[call-arg]
    arrays = {name: np.abs(array) for name, array in work.parameters.arrays.items()}
    magnitudes = replace(
        work,
        layer=layer,
        inputs=tuple(
            x if any(x is each for each in signed) else Tensor(np.abs(x.values))
            for x in work.inputs
        ),
        parameters=replace(work.parameters, arrays=arrays),
        arithmetic=FloatArithmetic(single, single, single),
    )
    return 1.01 * compute(magnitudes).values.astype(np.float64)


def _softmax_magnitude(op: SoftmaxGradient, work: Computation) -> Array:
    """Both parts of the difference."""
    gradient, y = (np.abs(each.values.astype(np.float64)) for each in work.inputs)
    axis = 1 + op.softmax.along(op.shape)
    return np.asarray(1.01 * y * (gradient + (gradient * y).sum(axis, keepdims=True)))


def _mixture_magnitude(op: MixtureGradient, work: Computation) -> Array:
    """Both parts of the difference."""
    gradient, shares = (np.abs(each.astype(np.float64)) for each in terms(op, work))
    whole = gradient + (gradient * shares).sum(1, keepdims=True)
    return np.asarray(1.01 * shares * whole)[None]


def _gamma_magnitude(op: GammaGradient, work: Computation) -> Array:
    """Gradients times what is standardised."""
    gradient, x, *statistics = (each.values.astype(np.float64) for each in work.inputs)
    terms = np.abs(gradient * normalised(x, statistics[0], statistics[1], op.epsilon))
    return np.asarray(1.01 * terms.sum((0, *range(2, terms.ndim)))[None])


def _lrn_magnitude(op: LrnGradient, work: Computation) -> Array:
    """Both parts of the gradient, each of magnitudes."""
    gradient, x = (np.abs(each.values.astype(np.float64)) for each in work.inputs)
    direct, terms = lrn_terms(gradient, x, op)
    return np.asarray(1.01 * (direct + x * around(terms, op.lrn.size)))


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is known of rows of values (N, rows, values), float64."""

    distance: Array
    """Magnitudes."""
    deviation: Array
    size: Array
    """The mean magnitude, 0 where no mean is taken."""
    growth: float

    @property
    def share(self) -> Array:
        """By what a quotient by the deviation is off, in halves of the growth."""
        return np.asarray(1 + self.growth * np.square(self.size / self.deviation) / 4)

    @property
    def standardised(self) -> Array:
        """What times the growth bounds how far two of them lie apart."""
        near = self.distance + self.growth * self.size
        return np.asarray((self.size + near * self.share) / self.deviation)


def _rows_of(op: Normalised, work: Computation, x: Tensor) -> _Rows:
    """With g = growth, means differ by g * mean |x| at most, and each is off by half of that, whose
    square a variance is too large by; the quotient by the root of a variance that is off by a
    factor 1 + d is off by d / 2 at most.
    """
    shape = work.layer.output_shape
    rows, count = op.rows(shape)
    values = x.values.astype(np.float64).reshape(work.batch, rows, count)
    mean = values.mean(2, keepdims=True) * op.centred
    variance = np.square(values - mean).mean(2, keepdims=True) + op.epsilon
    terms = count + _NORM_ROUNDINGS
    return _Rows(
        np.abs(values - mean),
        np.sqrt(variance),
        np.abs(values).mean(2, keepdims=True) * op.centred,
        2 * math.expm1(terms * math.log1p(2.0**-24)),
    )


def _norm_magnitude(op: Normalised, work: Computation, lines: Sequence[Array]) -> Array:
    """What times the growth of a sum bounds how far two normalisations lie apart.

    Beta meets the roundings of one sum.
    """
    (x,), (gamma, beta) = work.inputs, (np.abs(line) for line in lines)
    bound = gamma * _rows_of(op, work, x).standardised + beta
    return np.asarray(1.01 * bound).reshape(x.values.shape)


def _norm_input_magnitude(op: NormInputGradient, work: Computation) -> Array:
    """Each part of (h - mean of h - y * mean of h * y) / deviation, off by its sums' growth, by
    what y is off, and by the quotient's share.
    """
    gradient, x = work.inputs
    rows = _rows_of(op.norm, work, x)
    gamma, _ = lines_of(op.norm, work.parameters, op.shape)
    h = np.abs(gradient.values.astype(np.float64).reshape(rows.distance.shape) * gamma)
    y, off = rows.distance / rows.deviation, rows.standardised
    mean, products = (each.mean(2, keepdims=True) for each in (h * op.norm.centred, h * y))
    parts = h + mean + y * products
    sums = h + mean + off * products + y * (products + (h * off).mean(2, keepdims=True))
    bound = (rows.share * parts + sums) / rows.deviation
    return np.asarray(1.01 * bound).reshape(x.values.shape)
