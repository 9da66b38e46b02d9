"""Functions of one value that are layers of their own: their slopes have no bound, or no kink.

Each is defined everywhere, as verified values must be numbers: where mathematics has none (the root
of what is negative, one over zero) it is 0, and what is larger than float32's largest is that.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accelsim.network.ops.elementwise import Array, Elementwise
from accelsim.network.ops.fields import Real

_LARGEST = float(np.finfo(np.float32).max)
_LEAST = float(np.finfo(np.float32).tiny)


def finite(values: Array, like: Array) -> Array:
    """Numbers of the type of `like`: no infinity, and 0 for what is none."""
    numbers = np.clip(np.nan_to_num(values, nan=0.0), -_LARGEST, _LARGEST)
    return np.asarray(numbers, like.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Elementwise):
    """A row that is never fused, so nothing asks how steep it is."""

    @property
    def steepest(self) -> float:
        return math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp(Function):
    """e^x."""

    name: ClassVar[str] = "exp"

    def value(self, x: Array) -> Array:
        return np.exp(np.minimum(x.astype(np.float64), math.log(_LARGEST))).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return self.value(x)

    def derivative_at(self, y: Array) -> Array:
        return y


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Function):
    """The natural logarithm, of at least the smallest normal number of float32."""

    name: ClassVar[str] = "log"

    def value(self, x: Array) -> Array:
        return np.log(np.maximum(x.astype(np.float64), _LEAST)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return np.where(x > _LEAST, 1 / np.maximum(x, _LEAST), 0).astype(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqrt(Function):
    """The square root of what is not negative, else 0."""

    name: ClassVar[str] = "sqrt"

    def value(self, x: Array) -> Array:
        return np.sqrt(np.maximum(x.astype(np.float64), 0)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return np.where(x > 0, 0.5 / np.sqrt(np.maximum(x, _LEAST)), 0).astype(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reciprocal(Function):
    """1 / x; 0 of 0."""

    name: ClassVar[str] = "reciprocal"

    def value(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        return finite(np.where(wide == 0, 0, 1 / np.where(wide == 0, 1, wide)), x)

    def derivative(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        return finite(np.where(wide == 0, 0, -1 / np.square(np.where(wide == 0, 1, wide))), x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erf(Function):
    """The error function."""

    name: ClassVar[str] = "erf"

    def value(self, x: Array) -> Array:
        values = np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64))
        return np.asarray(values, np.float64).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        return (2 / math.sqrt(math.pi) * np.exp(-wide * wide)).astype(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abs(Function):
    """The magnitude."""

    name: ClassVar[str] = "abs"

    def value(self, x: Array) -> Array:
        return np.asarray(np.abs(x), x.dtype)

    def derivative(self, x: Array) -> Array:
        return np.asarray(np.sign(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sin(Function):
    """The sine of an angle in radians."""

    name: ClassVar[str] = "sin"

    def value(self, x: Array) -> Array:
        return np.sin(x.astype(np.float64)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return np.cos(x.astype(np.float64)).astype(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cos(Function):
    """The cosine of an angle in radians."""

    name: ClassVar[str] = "cos"

    def value(self, x: Array) -> Array:
        return np.cos(x.astype(np.float64)).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return (-np.sin(x.astype(np.float64))).astype(x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Function):
    """A row that is level but for where it jumps."""

    def derivative(self, x: Array) -> Array:
        return np.zeros_like(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor(Steps):
    """The largest whole number that is not above x."""

    name: ClassVar[str] = "floor"

    def value(self, x: Array) -> Array:
        return np.asarray(np.floor(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceil(Steps):
    """The smallest whole number that is not below x."""

    name: ClassVar[str] = "ceil"

    def value(self, x: Array) -> Array:
        return np.asarray(np.ceil(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round(Steps):
    """The nearest whole number, of two the even one."""

    name: ClassVar[str] = "round"

    def value(self, x: Array) -> Array:
        return np.asarray(np.rint(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Steps):
    """x without its fraction."""

    name: ClassVar[str] = "truncate"

    def value(self, x: Array) -> Array:
        return np.asarray(np.trunc(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign(Steps):
    """1, 0 or -1: above, at or below zero."""

    name: ClassVar[str] = "sign"

    def value(self, x: Array) -> Array:
        return np.asarray(np.sign(x), x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Function):
    """factor * x + term: 1 - x of a gate, for one."""

    name: ClassVar[str] = "line"
    factor: Real = 1.0
    term: Real = 0.0

    def value(self, x: Array) -> Array:
        return finite(self.factor * x.astype(np.float64) + self.term, x)

    def derivative(self, x: Array) -> Array:
        return np.full_like(x, self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power(Function):
    """x to a power; of what is negative, a power that is no whole number is 0."""

    name: ClassVar[str] = "power"
    exponent: Real

    def value(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        with np.errstate(all="ignore"):
            values = np.where((wide == 0) & (self.exponent < 0), 0, wide**self.exponent)
        return finite(values, x)

    def derivative(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        with np.errstate(all="ignore"):
            return finite(self.exponent * wide ** (self.exponent - 1), x)


FUNCTIONS: tuple[type[Function], ...] = (
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Erf,
    Abs,
    Sin,
    Cos,
    *(Floor, Ceil, Round, Truncate, Sign),
    Line,
    Power,
)
