"""Element-wise layers: each is one row, a record with what it computes and what that costs.

A row says its function, its derivative (of the input, and of the output where that is enough), a
bound on its slope, which the tolerance of floats needs, and the operations that a lane takes.
Functions are given arrays of any shape and return the same shape and type. What has no short
form in float32 is computed in float64 and rounded once.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Unary, only
from accelsim.network.ops.fields import Real, Shape

Array: TypeAlias = NDArray[np.number]
Activation = Literal[
    "relu",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "hard_swish",
    "hard_sigmoid",
    "elu",
    "softplus",
    "relu6",
    "scaled_tanh",
]


def _wide(x: Array) -> NDArray[np.float64]:
    return x.astype(np.float64)


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return cast(Array, np.exp(-np.logaddexp(0, -x)))


def _erfc(x: Array) -> NDArray[np.float64]:
    """The complementary error function, float64."""
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(_wide(x)), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise(Unary):
    """A row: a function of one value, applied to every value."""

    operations: ClassVar[int] = 1
    """Lane operations for a value: a comparison or a table look-up is one."""

    @abstractmethod
    def value(self, x: Array) -> Array:
        """The function."""

    @abstractmethod
    def derivative(self, x: Array) -> Array:
        """Its derivative, at inputs `x`; in kinks the smaller one of both sides'."""

    def derivative_at(self, y: Array) -> Array | None:
        """Its derivative where the output is `y`; None where the output does not tell."""
        return None

    @property
    def steepest(self) -> float:
        """No slope is larger, in magnitude."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(Elementwise):
    """max(x, 0)."""

    name: ClassVar[str] = "relu"

    def value(self, x: Array) -> Array:
        return np.maximum(x, x.dtype.type(0))

    def derivative(self, x: Array) -> Array:
        return (x > 0).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return self.derivative(y)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakyRelu(Elementwise):
    """x where x > 0, slope * x elsewhere. As a fused activation the slope is 0.01."""

    name: ClassVar[str] = "leaky_relu"
    slope: Real = 0.01

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, np.multiply(x, self.slope, dtype=x.dtype))

    def derivative(self, x: Array) -> Array:
        return np.where(x > 0, 1, self.slope).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return self.derivative(y) if self.slope > 0 else None

    @property
    def steepest(self) -> float:
        return max(1.0, abs(self.slope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    name: ClassVar[str] = "sigmoid"

    def value(self, x: Array) -> Array:
        return _sigmoid(x)

    def derivative(self, x: Array) -> Array:
        return self.derivative_at(self.value(x))

    def derivative_at(self, y: Array) -> Array:
        return np.asarray(y * (1 - y), y.dtype)

    @property
    def steepest(self) -> float:
        return 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Tanh(Elementwise):
    """Hyperbolic tangent."""

    name: ClassVar[str] = "tanh"

    def value(self, x: Array) -> Array:
        return cast(Array, np.tanh(x))

    def derivative(self, x: Array) -> Array:
        return self.derivative_at(self.value(x))

    def derivative_at(self, y: Array) -> Array:
        return np.asarray(1 - y * y, y.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledTanh(Elementwise):
    """1.7159 tanh(2 x / 3) (LeCun et al., Efficient BackProp, 1998, section 4.4)."""

    name: ClassVar[str] = "scaled_tanh"
    height: ClassVar[float] = 1.7159
    slope: ClassVar[float] = 2 / 3

    def value(self, x: Array) -> Array:
        return (self.height * np.tanh(self.slope * _wide(x))).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return self.derivative_at(self.value(x))

    def derivative_at(self, y: Array) -> Array:
        share = _wide(y) / self.height
        return (self.height * self.slope * (1 - share * share)).astype(y.dtype)

    @property
    def steepest(self) -> float:
        return self.height * self.slope


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gelu(Elementwise):
    """x times the share of a normal distribution below x (Hendrycks and Gimpel 2016), exactly.

    With `approximate: tanh` 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), their section 2.
    """

    name: ClassVar[str] = "gelu"
    operations: ClassVar[int] = 2
    approximate: Literal["none", "tanh"] = "none"

    def value(self, x: Array) -> Array:
        if self.approximate == "tanh":
            wide = _wide(x)
            return np.asarray(0.5 * wide * (1 + np.tanh(_cubic(wide))), x.dtype)
        return (0.5 * _wide(x) * _erfc(-x / math.sqrt(2))).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        wide = _wide(x)
        if self.approximate == "tanh":
            share = np.tanh(_cubic(wide))
            inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * wide * wide)
            slope = 0.5 * (1 + share) + 0.5 * wide * (1 - share * share) * inner
            return np.asarray(slope, x.dtype)
        density = np.exp(-wide * wide / 2) / math.sqrt(2 * math.pi)
        return (0.5 * _erfc(-x / math.sqrt(2)) + wide * density).astype(x.dtype)

    @property
    def steepest(self) -> float:
        return 1.13  # at x = sqrt(2): 1.1289


@dataclass(frozen=True, slots=True, kw_only=True)
class Silu(Elementwise):
    """x * sigmoid(x), also called swish."""

    name: ClassVar[str] = "silu"
    operations: ClassVar[int] = 2

    def value(self, x: Array) -> Array:
        return (_wide(x) * _sigmoid(_wide(x))).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        share = _sigmoid(_wide(x))
        return (share * (1 + _wide(x) * (1 - share))).astype(x.dtype)

    @property
    def steepest(self) -> float:
        return 1.1  # at x = 2.3994: 1.0998


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSigmoid(Elementwise):
    """x / 6 + 1 / 2, no less than 0 and no more than 1 (Howard et al. 2019, MobileNetV3)."""

    name: ClassVar[str] = "hard_sigmoid"

    def value(self, x: Array) -> Array:
        return np.clip(_wide(x) / 6 + 0.5, 0, 1).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return (((x > -3) & (x < 3)) / 6).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return (((y > 0) & (y < 1)) / 6).astype(y.dtype)

    @property
    def steepest(self) -> float:
        return 1 / 6


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSwish(Elementwise):
    """x * hard_sigmoid(x) (Howard et al. 2019, MobileNetV3)."""

    name: ClassVar[str] = "hard_swish"
    operations: ClassVar[int] = 2

    def value(self, x: Array) -> Array:
        return (_wide(x) * np.clip(_wide(x) / 6 + 0.5, 0, 1)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        between = np.where((x > -3) & (x < 3), _wide(x) / 3 + 0.5, x >= 3)
        return between.astype(x.dtype)

    @property
    def steepest(self) -> float:
        return 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Elu(Elementwise):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015)."""

    name: ClassVar[str] = "elu"
    alpha: Real = 1.0

    def value(self, x: Array) -> Array:
        below = self.alpha * np.expm1(np.minimum(_wide(x), 0))
        return np.where(x > 0, x, below).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        below = self.alpha * np.exp(np.minimum(_wide(x), 0))
        return np.where(x > 0, 1, below).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return np.where(y > 0, 1, y + self.alpha).astype(y.dtype) if self.alpha > 0 else None

    @property
    def steepest(self) -> float:
        return max(1.0, abs(self.alpha))


@dataclass(frozen=True, slots=True, kw_only=True)
class Softplus(Elementwise):
    """log(1 + exp(x))."""

    name: ClassVar[str] = "softplus"

    def value(self, x: Array) -> Array:
        return np.logaddexp(0, _wide(x)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return _sigmoid(_wide(x)).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return (-np.expm1(-_wide(y))).astype(y.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Elementwise):
    """x, no less than `low` and no more than `high`. `activation: relu6` is 0 to 6."""

    name: ClassVar[str] = "clip"
    low: Real = 0.0
    high: Real = 6.0

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if self.low > self.high:
            raise ShapeError(f"low {self.low} is above high {self.high}")
        return only(inputs)

    def value(self, x: Array) -> Array:
        return np.clip(x, self.low, self.high).astype(x.dtype, copy=False)

    def derivative(self, x: Array) -> Array:
        return ((x > self.low) & (x < self.high)).astype(x.dtype)

    def derivative_at(self, y: Array) -> Array | None:
        return self.derivative(y)


ELEMENTWISE: tuple[type[Elementwise], ...] = (
    *(Relu, LeakyRelu, Sigmoid, Tanh, ScaledTanh, Gelu, Silu),
    *(HardSigmoid, HardSwish, Elu, Softplus, Clip),
)

ACTIVATIONS: Mapping[Activation, Elementwise] = {
    "relu": Relu(),
    "leaky_relu": LeakyRelu(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "gelu": Gelu(),
    "silu": Silu(),
    "hard_swish": HardSwish(),
    "hard_sigmoid": HardSigmoid(),
    "elu": Elu(),
    "softplus": Softplus(),
    "relu6": Clip(low=0.0, high=6.0),
    "scaled_tanh": ScaledTanh(),
}
"""Functions that may be fused into the layer before them, by name."""
