"""Number formats as the hardware file names them, and what a stored code stands for.

Integer tensors are kept in the smallest NumPy type that holds the format. Floating-point tensors
of every format are kept as float32 arrays whose values the format can represent.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.number]

_INTEGER = re.compile(r"(u?)int([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class IntegerFormat:
    """A two's complement or unsigned integer of `bits` bits."""

    bits: int
    signed: bool = True

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def lowest(self) -> int:
        """The smallest value."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest value."""
        return (1 << self.bits - self.signed) - 1

    @property
    def codes(self) -> int:
        """How many values there are."""
        return 1 << self.bits

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The smallest NumPy type that holds every value."""
        width = next(width for width in (8, 16, 32, 64) if width >= self.bits)
        return np.dtype(f"{'i' if self.signed else 'u'}{width // 8}")

    @property
    def common(self) -> "Quantization":
        """The quantization that covers about +-8: a power of two, zero in the middle.

        All tensors of a network without quantizations of its own share it, so that pooling,
        concatenation and addition need no rescaling.
        """
        return Quantization(2.0 ** (4 - self.bits), 0 if self.signed else 1 << self.bits - 1)

    @property
    def fraction(self) -> "Quantization":
        """The quantization that covers 0 to 1, as TensorFlow Lite stores 8-bit softmax."""
        return Quantization(2.0**-self.bits, self.lowest)


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary floating-point format with `significand_bits`, the hidden one included.

    `tiny` is the smallest positive value, subnormal.
    """

    name: str
    significand_bits: int
    tiny: float

    def __str__(self) -> str:
        return self.name

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The type of arrays that hold it."""
        return np.dtype(np.float64 if self.name == "float64" else np.float32)

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return -np.inf

    @property
    def common(self) -> "Quantization":
        """Values stand for themselves."""
        return Quantization()

    @property
    def fraction(self) -> "Quantization":
        """Values stand for themselves."""
        return Quantization()

    @property
    def unit_roundoff(self) -> float:
        """The largest relative error of one rounding to nearest."""
        return 2.0**-self.significand_bits

    def rounded(self, values: Array) -> NDArray[np.float32] | NDArray[np.float64]:
        """Return `values` (any shape) rounded to nearest, ties to even; overflow gives infinity."""
        if self.name == "float64":
            return values.astype(np.float64, copy=False)
        single = values.astype(np.float32, copy=False)
        if self.name == "float16":
            with np.errstate(over="ignore"):
                return single.astype(np.float16).astype(np.float32)
        return _bfloat16(single) if self.name == "bfloat16" else single


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to the upper half of the float32 pattern: add just under half, or half if odd."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    raised = bits >> np.uint32(16)
    raised &= np.uint32(1)
    raised += np.uint32(0x7FFF)
    raised += bits
    raised &= np.uint32(0xFFFF0000)
    rounded = raised.view(np.float32).reshape(values.shape)
    rounded[np.isnan(values)] = np.nan
    return rounded


@dataclass(frozen=True, slots=True)
class Quantization:
    """A code stands for the real number scale * (code - zero_point).

    Floating-point tensors have scale 1 and zero point 0: their values stand for themselves. Where
    they stand for codes of a quantized model, they are cut to what these reach.
    """

    scale: float = 1.0
    zero_point: int = 0
    lowest: float = -np.inf
    highest: float = np.inf

    def cut(self, values: Array, format_: "Format") -> Array:
        """Real numbers (any shape) of a format, cut to what codes reach."""
        if not isinstance(format_, FloatFormat) or (self.lowest, self.highest) == (-np.inf, np.inf):
            return values
        low, high = format_.rounded(np.array([self.lowest, self.highest]))
        return np.clip(values, low, high)


Format = IntegerFormat | FloatFormat

FLOATS = {
    "float32": FloatFormat("float32", 24, 2.0**-149),
    "float16": FloatFormat("float16", 11, 2.0**-24),
    "bfloat16": FloatFormat("bfloat16", 8, 2.0**-133),
}

FLOAT64 = FloatFormat("float64", 53, 2.0**-1074)
"""What gradients are held against finite differences in; no hardware has it."""


def parse_format(name: str) -> Format:
    """The format called `name`, such as `int8` or `bfloat16`; ValueError if there is none."""
    if name in FLOATS:
        return FLOATS[name]
    match = _INTEGER.fullmatch(name)
    if match is None or not 2 <= int(match[2]) <= 48:
        raise ValueError(f"unknown format {name!r}; use int8, uint8, int16, {', '.join(FLOATS)}")
    return IntegerFormat(int(match[2]), signed=not match[1])


@dataclass(frozen=True, slots=True)
class Tensor:
    """Stored values, batch first (a feature map is (N, C, H, W)), and what they stand for."""

    values: Array
    quantization: Quantization = Quantization()

    @property
    def reals(self) -> NDArray[np.float64]:
        """The real numbers that the values stand for."""
        meaning = self.quantization
        return meaning.scale * (self.values.astype(np.float64) - meaning.zero_point)
