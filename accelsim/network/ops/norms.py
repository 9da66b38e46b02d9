"""Normalisations: every value by what lies around it."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, Unary, axis_of, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import Axis, NonNegativeReal, Positive, Real, Shape, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Unary):
    """exp(x) / sum of exp(x), over `axis`; without, the channels of a feature map or the last.

    With `causal` the last two axes are queries and keys, in the order of time and the last of both
    at one time: what lies behind a query's time has no share.
    """

    name: ClassVar[str] = "softmax"
    axis: Axis | None = None
    causal: bool = False

    def along(self, shape: Shape) -> int:
        """The axis that is normalised, batch left out."""
        if self.axis is not None:
            return axis_of(self.axis, shape)
        return 0 if len(shape) == 3 and not self.causal else len(shape) - 1

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        axis = self.along(shape)
        if self.causal and (len(shape) < 2 or axis != len(shape) - 1 or shape[-2] > shape[-1]):
            raise ShapeError(
                f"causal needs queries and at least as many keys as its last axes, found {shape}"
            )
        return shape

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lrn(Op):
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    y = x / (bias + alpha/size * sum of x^2 over `size` channels around)^beta; the division of
    alpha by the size is Caffe's and ONNX's convention.
    """

    name: ClassVar[str] = "lrn"
    size: Positive = 5
    alpha: NonNegativeReal = 1e-4
    beta: Annotated[Real, Field(ge=-8, le=8)] = 0.75
    bias: Annotated[Real, Field(ge=1e-6)] = 1.0

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if self.size % 2 == 0:
            raise ShapeError(f"size {self.size} must be odd, to lie around its channel")
        return only(inputs, (3,))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(Op):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel, with stored statistics.

    Only gamma and beta are learned; mean and variance count as no parameters.
    """

    name: ClassVar[str] = "batch_norm"
    epsilon: NonNegativeReal = 1e-5
    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return only(inputs, (1, 3))

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"gamma": inputs[0][:1], "beta": inputs[0][:1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleShift(Op):
    """gamma * x + beta, both learned, of a `shape` whose axes are those of the input or 1.

    Where they are as large as the input they are fetched for every image; less stays on chip.
    """

    name: ClassVar[str] = "scale_shift"
    shape: Sizes

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        fits = len(shape) == len(self.shape) and all(
            own in (1, size) for own, size in zip(self.shape, shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"a scale of shape {self.shape} does not fit an input of {shape}")
        return shape

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"gamma": self.shape, "beta": self.shape}


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicQuantize(Unary):
    """What the codes of ONNX's DynamicQuantizeLinear stand for: x on 256 even steps of its range.

    The range is that of all values of an image, zero among them: scale = (high - low) / 255.
    """

    name: ClassVar[str] = "dynamic_quantize"

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised(Op):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, the statistics those of the input.

    They are of `rows` of values that lie side by side, each row for itself.
    """

    epsilon: NonNegativeReal = 1e-5
    centred: ClassVar[bool] = True
    """Whether the mean is taken away; else the variance is the mean of the squares."""

    @abstractmethod
    def rows(self, shape: Shape) -> tuple[int, int]:
        """How many rows an input of `shape` has, and values in each."""

    @abstractmethod
    def learned(self, shape: Shape) -> Shape:
        """The shape of gamma and beta."""

    @property
    def has_beta(self) -> bool:
        """Whether beta is learned, too; else it is 0."""
        return self.centred

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        self.rows(shape)
        return shape

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        shape = self.learned(inputs[0])
        return {"gamma": shape} | ({"beta": shape} if self.has_beta else {})

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorm(Normalised):
    """Over the last `axes` axes (Ba et al. 2016); gamma and beta have their shape."""

    name: ClassVar[str] = "layer_norm"
    axes: Positive = 1
    bias: bool = True

    def rows(self, shape: Shape) -> tuple[int, int]:
        if self.axes > len(shape):
            raise ShapeError(f"axes {self.axes} are more than {shape} has")
        return math.prod(shape[: -self.axes]), math.prod(shape[-self.axes :])

    def learned(self, shape: Shape) -> Shape:
        return shape[-self.axes :]

    @property
    def has_beta(self) -> bool:
        return self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class RmsNorm(LayerNorm):
    """gamma * x / sqrt(mean of x^2 + epsilon) over the last `axes` (Zhang and Sennrich 2019)."""

    name: ClassVar[str] = "rms_norm"
    centred: ClassVar[bool] = False
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNorm(Normalised):
    """Over `groups` of channels, the first axis, and all that these hold (Wu and He 2018)."""

    name: ClassVar[str] = "group_norm"
    groups: Positive

    def rows(self, shape: Shape) -> tuple[int, int]:
        if shape[0] % self.groups:
            raise ShapeError(
                f"{shape[0]} channels do not divide into {self.groups} groups; "
                f"groups must divide {shape[0]}"
            )
        return self.groups, math.prod(shape) // self.groups

    def learned(self, shape: Shape) -> Shape:
        return shape[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceNorm(Normalised):
    """Over each channel, the first axis, for itself (Ulyanov et al. 2016)."""

    name: ClassVar[str] = "instance_norm"

    def rows(self, shape: Shape) -> tuple[int, int]:
        return shape[0], math.prod(shape[1:])

    def learned(self, shape: Shape) -> Shape:
        return shape[:1]
