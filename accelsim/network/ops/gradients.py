"""Layers of a training step that no file names: gradients, the loss, updates of parameters.

`backward` makes them. The gradient of a tensor has its shape. P x Q is the ofmap of the layer that
a gradient belongs to, H x W its ifmap. `owner` is the layer whose parameters are read. A layer
that is not `batched` has one result for all images.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from accelsim.network.ops.base import Op
from accelsim.network.ops.contractions import Conv, Dense
from accelsim.network.ops.elementwise import Activation, Elementwise
from accelsim.network.ops.fields import Shape
from accelsim.network.ops.gradient import (
    ForwardPart,
    Gradient,
    ParameterGradient,
    Statistic,
)
from accelsim.network.ops.joins import Add, Concat, Mul, Taking, Transpose
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import (
    LearnedProduct,
    NormInputGradient,
    Standardised,
)
from accelsim.network.ops.norms import Lrn, Softmax
from accelsim.network.ops.pointwise_gradients import PointwiseGradient
from accelsim.network.ops.pooling import AvgPool, MaxPool, SubSampling
from accelsim.network.ops.product_gradients import (
    GradientContext,
    GradientMatMul,
    GradientReduction,
    GradientScores,
)
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    GradientPad,
    GradientSlice,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import (
    EmbeddingGradient,
    ParameterSum,
    RotaryGradient,
)
from accelsim.network.ops.window import (
    PhaseAxis,
    Window,
    meetings,
    most_meetings,
    phase_axes,
    turned,
)

Optimizer = Literal["sgd", "momentum", "adam"]
Loss = Literal["cross_entropy", "squared_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvInputGradient(Gradient):
    """One phase of the gradient of a convolution's ifmap: of every stride-th row and column.

    It is a convolution of the gradient, stride 1, with those taps of the filter that meet the
    phase, turned by 180 degrees: nothing is multiplied by an inserted zero.

    Where values of the gradient lie `apart`, with inserted zeros between, `conv` is the layer's
    with stride 1, and products of these zeros are `zero_macs`.
    """

    name: ClassVar[str] = "conv_input_gradient"
    conv: Conv
    ifmap: Shape
    at: tuple[int, int]
    apart: tuple[int, int] = (1, 1)

    @property
    def axes(self) -> tuple[PhaseAxis, PhaseAxis] | None:
        """Down and across; None where no tap reaches the phase, which is zero then."""
        return phase_axes(self.conv.windows(self.ifmap), self.at)

    @property
    def most_terms(self) -> int:
        """Products of the value that has most, those with inserted zeros left out."""
        return self._products(lambda axis, step: most_meetings(axis.window, step))

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return self.shape[0] * self._products(lambda axis, step: meetings(axis.window, step))

    def zero_macs(self, inputs: tuple[Shape, ...]) -> int:
        done = self._products(lambda axis, _: meetings(axis.window))
        return self.shape[0] * done - self.macs(inputs)

    def _products(self, counted: Callable[[PhaseAxis, int], int]) -> int:
        """Filters of a group times what is `counted` down and across, values so far apart."""
        met = map(counted, self.axes, self.apart) if self.axes else (0,)
        return self.conv.out_channels // self.conv.groups * math.prod(met)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleave(Gradient):
    """The phases of an input gradient, each in its place."""

    name: ClassVar[str] = "interleave"
    stride: tuple[int, int]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvWeightGradient(ParameterGradient):
    """Of a filter, (K, C, R, S): the ifmap correlated with the gradient, summed over images."""

    name: ClassVar[str] = "conv_weight_gradient"
    conv: Conv
    ifmap: Shape

    @property
    def windows(self) -> tuple[Window, Window]:
        """The gradient is the kernel, P x Q, that slides over the ifmap to the R x S taps."""
        rows, cols = (turned(window) for window in self.conv.windows(self.ifmap))
        return rows, cols

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        rows, cols = self.windows
        return math.prod(self.shape) * rows.kernel * cols.kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseInputGradient(Gradient):
    """The gradient times the transposed weight."""

    name: ClassVar[str] = "dense_input_gradient"
    dense: Dense

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.shape) * self.dense.out_features


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseWeightGradient(ParameterGradient):
    """Of a weight, (n, k): the gradient times the ifmap, summed over images and rows."""

    name: ClassVar[str] = "dense_weight_gradient"
    dense: Dense

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        rows = inputs[1][0] if len(inputs[1]) == 2 else 1
        return math.prod(self.shape) * rows


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasGradient(ParameterGradient):
    """The gradient summed over its map and over all images, per channel."""

    name: ClassVar[str] = "bias_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionGradient(Gradient):
    """The gradient times a function's derivative; reads its ofmap, or its ifmap where it must."""

    name: ClassVar[str] = "function_gradient"
    function: Elementwise
    at_output: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPoolGradient(Gradient):
    """Each gradient goes to the first of the largest of its window, found again in the ifmap."""

    name: ClassVar[str] = "max_pool_gradient"
    pool: MaxPool


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgPoolGradient(Gradient):
    """Each gradient is spread evenly over its window, divided as the mean was."""

    name: ClassVar[str] = "avg_pool_gradient"
    pool: AvgPool


@dataclass(frozen=True, slots=True, kw_only=True)
class LrnGradient(Gradient):
    """Of local response normalisation, from the gradient and the ifmap."""

    name: ClassVar[str] = "lrn_gradient"
    lrn: Lrn


@dataclass(frozen=True, slots=True, kw_only=True)
class LossGradient(Gradient):
    """Prediction less target: of cross entropy behind a softmax, and of half the squared error.

    It is the gradient of `weight` times the sum over the images.
    """

    name: ClassVar[str] = "loss_gradient"
    phase: ClassVar[str] = "loss"
    loss: Loss
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxGradient(Gradient):
    """y * (g - sum of g * y): reads the gradient g and the ofmap y."""

    name: ClassVar[str] = "softmax_gradient"
    softmax: Softmax

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGradient(Gradient):
    """The gradient where the slice was taken, zero elsewhere."""

    name: ClassVar[str] = "slice_gradient"
    taken: Taking


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Gradient):
    """Of a gradient what lies along `axis` from `start` on: a view."""

    name: ClassVar[str] = "part"
    axis: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Gradient):
    """A gradient in another shape: it moves nothing."""

    name: ClassVar[str] = "view"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSum(Add):
    """The gradients that several readers of a tensor have of it, added."""

    name: ClassVar[str] = "gradient_sum"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientConcat(Concat):
    """The gradients of all parts of a split, side by side."""

    name: ClassVar[str] = "gradient_concat"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientTranspose(Transpose):
    """A gradient with its axes back in the order of the layer's input."""

    name: ClassVar[str] = "gradient_transpose"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropoutMask(Gradient):
    """Values times a random mask: 0, or 1 / (1 - rate). `seed` names the mask, not the layer."""

    name: ClassVar[str] = "dropout_mask"
    rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardMask(DropoutMask):
    """The same on the way forward."""

    name: ClassVar[str] = "dropout_forward"
    phase: ClassVar[str] = "forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMean(Statistic):
    """The mean of each channel over its maps of all images."""

    name: ClassVar[str] = "channel_mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVariance(Statistic):
    """The mean square of each channel's distance from its mean; reads maps and means."""

    name: ClassVar[str] = "channel_variance"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormForward(ForwardPart):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics of the batch."""

    name: ClassVar[str] = "batch_norm_forward"
    epsilon: float
    activation: Activation | None = None

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"gamma": self.shape[:1], "beta": self.shape[:1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGradient(ParameterGradient):
    """Per channel the sum of gradient times normalised ifmap, over its maps of all images."""

    name: ClassVar[str] = "gamma_gradient"
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormInputGradient(Gradient):
    """Reads gradient, ifmap, mean, variance and the gradients of gamma and beta."""

    name: ClassVar[str] = "batch_norm_input_gradient"
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientProduct(Mul):
    """The gradient times the other factor."""

    name: ClassVar[str] = "gradient_product"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSum(Gradient):
    """Of a factor with one value per channel: the gradient times the maps, summed over pixels."""

    name: ClassVar[str] = "product_sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSum(Gradient):
    """Of a term with one value per channel: the gradient summed over pixels."""

    name: ClassVar[str] = "pixel_sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSum(ForwardPart):
    """The sums over the windows of a sub-sampling."""

    name: ClassVar[str] = "window_sum"
    pool: SubSampling


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSumGradient(Gradient):
    """Each gradient spread over its window."""

    name: ClassVar[str] = "window_sum_gradient"
    pool: SubSampling


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledForward(ForwardPart):
    """beta * x + offset per channel, with a sub-sampling's parameters."""

    name: ClassVar[str] = "scaled_forward"
    activation: Activation | None = None

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"beta": self.shape[:1], "offset": self.shape[:1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaGradient(ParameterGradient):
    """Per channel the sum of gradient times what beta scales, over its maps of all images."""

    name: ClassVar[str] = "beta_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledGradient(Gradient):
    """The gradient times the owner's beta."""

    name: ClassVar[str] = "scaled_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Gradient):
    """New values of a parameter, or of what an optimizer has `kept` for it, from its gradient.

    It `reads` so many arrays, the gradient among them. Values are those of plain descent:
    parameter less `rate` times gradient; what is kept begins as the gradient. `shape` may be that
    of some rows of the parameter, from `first` on.
    """

    name: ClassVar[str] = "update"
    phase: ClassVar[str] = "update"
    batched: ClassVar[bool] = False
    parameter: str
    kept: bool
    reads: int
    operations: int
    rate: float = 0.01
    first: int = 0

    @property
    def rows(self) -> slice:
        """Along the parameter's first axis, what is written."""
        return slice(self.first, self.first + self.shape[0])


GRADIENTS: tuple[type[Op], ...] = (
    *(ConvInputGradient, Interleave, ConvWeightGradient, DenseInputGradient, DenseWeightGradient),
    *(BiasGradient, FunctionGradient, PointwiseGradient, MaxPoolGradient, AvgPoolGradient),
    *(LrnGradient, LossGradient),
    *(ChannelMean, ChannelVariance, BatchNormForward, GammaGradient, BatchNormInputGradient),
    *(GradientProduct, ProductSum, PixelSum, SoftmaxGradient, SliceGradient),
    *(GradientMatMul, GradientScores, GradientContext, GradientReduction),
    *(WindowSum, WindowSumGradient, ScaledForward, BetaGradient, ScaledGradient),
    *(Standardised, NormInputGradient, LearnedProduct, AxisGradient, GradientPad, GradientSlice),
    *(LocalWeightGradient, LocalColumns, ColumnsFold),
    *(TransposedInputGradient, TransposedWeightGradient),
    *(EmbeddingGradient, RotaryGradient, ParameterSum, MixtureGradient, MixtureUpdate),
    *(
        Part,
        View,
        GradientSum,
        GradientConcat,
        GradientPad,
        GradientTranspose,
        DropoutMask,
        ForwardMask,
        Update,
    ),
)
"""Every layer type of a training step beside those of network files."""
