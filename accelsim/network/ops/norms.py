"""Normalisations: every value by what lies around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, Unary, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import NonNegativeReal, Positive, Real, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Unary):
    """exp(x) / sum of exp(x), over the channels of a feature map, else over the last axis."""

    name: ClassVar[str] = "softmax"

    @staticmethod
    def axis(shape: Shape) -> int:
        """The axis that is normalised, batch left out."""
        return 0 if len(shape) == 3 else len(shape) - 1


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
