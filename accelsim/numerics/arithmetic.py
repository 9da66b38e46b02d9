"""The definition of scalar arithmetic: what the hardware computes from stored values.

Both executors, the reference and the tiled one, compute through an `Arithmetic`, so neither asks
whether the numbers are integers or floats. Everything here is element by element, or a sum whose
result does not depend on how it is cut; where elements lie is the executors' business.

Integers follow ONNX QLinearConv: codes meet their zero points, products sum in the accumulator,
and every result leaves through `clip(rint(float32(value) * float32(multiplier)) + zero_point)`,
rint rounding halves to even. Real multipliers are float32, computed from float32 scales from left
to right (s_in * s_w / s_out), as ONNX Runtime does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, Problem
from accelsim.network.ops import Activation, Lrn
from accelsim.numerics.formats import (
    Array,
    FloatFormat,
    Format,
    IntegerFormat,
    Quantization,
    Tensor,
    parse_format,
)
from accelsim.numerics.gemm import Accumulator, Overflow, Psum, exact_type, peak

Function = Callable[[Array], Array]

_LRN_TABLE_BITS = 20
_EXP_FRACTION_BITS = 30


# --- Real functions -------------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """max(x, 0), any shape."""
    return np.maximum(x, x.dtype.type(0))


@dataclass(frozen=True, slots=True)
class LeakyReluFunction:
    """x where x > 0, slope * x elsewhere, any shape."""

    slope: float = 0.01

    def __call__(self, x: Array) -> Array:
        return np.where(x > 0, x, np.multiply(x, self.slope, dtype=x.dtype))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), any shape; does not overflow."""
    return cast(Array, np.exp(-np.logaddexp(0, -x)))


def tanh(x: Array) -> Array:
    """Hyperbolic tangent, any shape."""
    return cast(Array, np.tanh(x))


ACTIVATIONS: Mapping[Activation, Function] = {
    "relu": relu,
    "leaky_relu": LeakyReluFunction(),
    "sigmoid": sigmoid,
    "tanh": tanh,
}


# --- What both kinds of arithmetic offer ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arithmetic(ABC):
    """Operations on stored values. Results are stored values under the quantization `output`.

    `activation` formats ifmaps and ofmaps, `filter` weights, `psum` the accumulator.
    """

    activation: Format
    filter: Format
    psum: Format

    @abstractmethod
    def operand(self, x: Tensor) -> Array:
        """Values of `x` (any shape) as the multipliers see them: zero is 0."""

    @abstractmethod
    def preload(self, bias: Array | None) -> Psum:
        """The accumulators before the first product: `bias` (..., n) in psum units, or zero."""

    @abstractmethod
    def factors(self, a: Array, b: Array) -> tuple[Callable[[Array], Array], int | None]:
        """For two operands that are multiplied piece by piece: how to convert a piece once
        for many products, and a bound on the products (None: none needed)."""

    @abstractmethod
    def accumulate(self, psum: Psum, a: Array, b: Array, bound: int | None = None) -> Psum:
        """`psum` (..., n, m) after a slice of k: operands a (..., n, k) and b (..., k, m).

        Pieces converted by `factors` come with its `bound`.
        """

    @abstractmethod
    def overflowed(self, psum: Psum) -> int:
        """How many outputs the finished accumulators got wrong."""

    @abstractmethod
    def finish(
        self, psum: Psum, unit: Array, output: Quantization, activation: Activation | None
    ) -> Array:
        """Stored values (..., n, m) of finished sums, of which 1 stands for `unit`.

        `unit` is float32 and broadcasts against (..., n, m): s_in * s_w, per channel or not.
        """

    @abstractmethod
    def rescale(self, x: Tensor, output: Quantization) -> Array:
        """`x` (any shape) under another quantization."""

    @abstractmethod
    def mean(self, sums: Array, counts: Array, x: Quantization, output: Quantization) -> Array:
        """sums / counts, of operands under `x`; `counts` broadcasts against `sums`."""

    @abstractmethod
    def add(
        self, inputs: Sequence[Tensor], output: Quantization, activation: Activation | None
    ) -> Array:
        """The sum of inputs that broadcast against each other, in their order."""

    @abstractmethod
    def multiply(
        self, x: Tensor, y: Tensor, output: Quantization, activation: Activation | None
    ) -> Array:
        """The product of two inputs that broadcast against each other."""

    @abstractmethod
    def apply(self, function: Function, x: Tensor, output: Quantization) -> Array:
        """The real `function` of `x` (any shape)."""

    @abstractmethod
    def affine(
        self,
        x: Tensor,
        slope: Array,
        offset: Array,
        output: Quantization,
        activation: Activation | None,
    ) -> Array:
        """slope * x + offset, with real `slope` and `offset` that broadcast against `x`."""

    @abstractmethod
    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        """`x` (any shape) by LRN, given the sums of squared operands around each element."""

    def softmax(self, x: Tensor, axis: int, output: Quantization) -> Array:
        """exp(x) / sum of exp(x) over `axis`."""
        shares = self.exponentials(x, x.values.max(axis, keepdims=True))
        return self.quotients(shares, shares.sum(axis, keepdims=True), output)

    @abstractmethod
    def exponentials(self, x: Tensor, largest: Array) -> Array:
        """exp(x - largest), in a format in which they are summed; `largest` are stored values."""

    @abstractmethod
    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        """shares / total of `exponentials`."""


# --- Integers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IntegerArithmetic(Arithmetic):
    """Quantized integers.

    A fused relu clips at the zero point. Other functions are tables of all input codes, built in
    float64; a fused one reads codes of the layer's own output quantization.
    """

    activation: IntegerFormat
    filter: IntegerFormat
    psum: IntegerFormat
    overflow: Overflow = "wrap"

    @property
    def accumulator(self) -> Accumulator:
        """The psum register of a processing element."""
        return Accumulator(self.psum, self.overflow)

    def operand(self, x: Tensor) -> Array:
        zero_point = x.quantization.zero_point
        if zero_point == 0:
            return x.values
        wider = np.int16 if x.values.dtype.itemsize == 1 else np.int32
        return np.subtract(x.values, wider(zero_point), dtype=wider)

    def preload(self, bias: Array | None) -> Psum:
        return self.accumulator.preload(bias)

    def factors(self, a: Array, b: Array) -> tuple[Callable[[Array], Array], int | None]:
        bound = peak(a) * peak(b)
        kind = exact_type(bound)
        return lambda piece: piece.astype(kind, copy=False), bound

    def accumulate(self, psum: Psum, a: Array, b: Array, bound: int | None = None) -> Psum:
        return self.accumulator.accumulate(psum, a, b, bound)

    def overflowed(self, psum: Psum) -> int:
        return self.accumulator.finish(psum)[1]

    def finish(
        self, psum: Psum, unit: Array, output: Quantization, activation: Activation | None
    ) -> Array:
        sums, _ = self.accumulator.finish(psum)
        return self._requantized(sums, unit / np.float32(output.scale), output, activation)

    def rescale(self, x: Tensor, output: Quantization) -> Array:
        if x.quantization == output:
            return x.values
        return self._requantized(self.operand(x), _ratio(x.quantization, output), output)

    def mean(self, sums: Array, counts: Array, x: Quantization, output: Quantization) -> Array:
        return self._requantized(sums, _ratio(x, output) / counts.astype(np.float32), output)

    def add(
        self, inputs: Sequence[Tensor], output: Quantization, activation: Activation | None
    ) -> Array:
        """Each input is brought to the output's scale and rounded, then they are summed."""
        terms = [
            np.rint(np.multiply(self.operand(x), _ratio(x.quantization, output), dtype=np.float32))
            for x in inputs
        ]
        return self._codes(reduce(np.add, terms), output, activation)

    def multiply(
        self, x: Tensor, y: Tensor, output: Quantization, activation: Activation | None
    ) -> Array:
        product = np.multiply(self.operand(x), self.operand(y), dtype=np.int64)
        unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
        return self._requantized(product, unit / np.float32(output.scale), output, activation)

    def apply(self, function: Function, x: Tensor, output: Quantization) -> Array:
        table = _function_table(function, self.activation, x.quantization, output)
        return table[x.values.astype(np.intp) - self.activation.lowest]

    def affine(
        self,
        x: Tensor,
        slope: Array,
        offset: Array,
        output: Quantization,
        activation: Activation | None,
    ) -> Array:
        scale = np.float32(output.scale)
        multiplier = slope.astype(np.float32) * np.float32(x.quantization.scale) / scale
        scaled = np.multiply(self.operand(x), multiplier, dtype=np.float32)
        return self._codes(scaled + offset.astype(np.float32) / scale, output, activation)

    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        table, shift = _lrn_table(op, self.activation, x.quantization)
        factor = table[np.right_shift(squares.astype(np.int64), shift)] * _ratio(
            x.quantization, output
        )
        return self._requantized(self.operand(x), factor, output)

    def exponentials(self, x: Tensor, largest: Array) -> Array:
        """As 30-bit fractions, from a table: their sum is exact."""
        below = largest.astype(np.int64) - x.values
        shares: Array = _exp_table(self.activation, x.quantization.scale)[below]
        return shares

    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        return self._requantized(shares, (1 / (total * output.scale)).astype(np.float32), output)

    def _requantized(
        self,
        values: Array,
        multiplier: Array | np.float32,
        output: Quantization,
        activation: Activation | None = None,
    ) -> Array:
        scaled = np.multiply(values, multiplier, dtype=np.float32)
        return self._codes(scaled, output, activation)

    def _codes(
        self, scaled: Array, output: Quantization, activation: Activation | None = None
    ) -> Array:
        """Codes of float32 numbers in units of the output's scale, which are overwritten."""
        zero_point = output.zero_point
        low, high = self.activation.lowest - zero_point, self.activation.highest - zero_point
        np.rint(scaled, out=scaled)
        np.clip(scaled, 0 if activation == "relu" else low, high, out=scaled)
        if zero_point:
            np.add(scaled, np.float32(zero_point), out=scaled)
        codes = scaled.astype(self.activation.dtype)
        if activation is None or activation == "relu":
            return codes
        return self.apply(ACTIVATIONS[activation], Tensor(codes, output), output)


def _ratio(source: Quantization, target: Quantization) -> np.float32:
    return np.float32(source.scale) / np.float32(target.scale)


@lru_cache(maxsize=64)
def _function_table(
    function: Function, format_: IntegerFormat, x: Quantization, output: Quantization
) -> Array:
    """Codes of `function` for every input code, lowest first, shape (codes,)."""
    codes = np.arange(format_.lowest, format_.highest + 1)
    reals = function(x.scale * (codes - x.zero_point))
    results = np.rint(reals / output.scale) + output.zero_point
    table: Array = np.clip(results, format_.lowest, format_.highest).astype(format_.dtype)
    return table


@lru_cache(maxsize=16)
def _lrn_table(op: Lrn, format_: IntegerFormat, x: Quantization) -> tuple[NDArray[np.float32], int]:
    """(bias + alpha/size * sum)^-beta, and by how many bits a sum is shifted to index it.

    The index is the sum of squared codes itself for 8-bit formats; wider ones index by its
    leading bits, as NVDLA's look-up tables do, and the entry is that of the middle.
    """
    largest = op.size * max(format_.highest - x.zero_point, x.zero_point - format_.lowest) ** 2
    shift = max(largest.bit_length() - _LRN_TABLE_BITS, 0)
    sums = (np.arange((largest >> shift) + 1) << shift) + ((1 << shift) >> 1)
    base = op.bias + op.alpha / op.size * (x.scale * x.scale * sums)
    return (base**-op.beta).astype(np.float32), shift


@lru_cache(maxsize=16)
def _exp_table(format_: IntegerFormat, scale: float) -> NDArray[np.int64]:
    """exp(-scale * d) in units of 2^-30, for the differences d of any two codes."""
    differences = np.arange(format_.codes)
    fractions = np.exp(-scale * differences)
    table: NDArray[np.int64] = np.rint(fractions * 2**_EXP_FRACTION_BITS).astype(np.int64)
    return table


# --- Floating point -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FloatArithmetic(Arithmetic):
    """Array: operands in their formats, products and sums in float32, results rounded.

    A psum format narrower than float32 rounds the sums whenever they leave the array, that is
    after every slice of k. Quantizations are ignored.
    """

    activation: FloatFormat
    filter: FloatFormat
    psum: FloatFormat

    def operand(self, x: Tensor) -> Array:
        return x.values

    def preload(self, bias: Array | None) -> Psum:
        if bias is None:
            return Psum(np.zeros((1, 1), np.float32))
        return Psum(self.psum.rounded(bias[..., None]))

    def factors(self, a: Array, b: Array) -> tuple[Callable[[Array], Array], int | None]:
        return lambda piece: piece, None

    def accumulate(self, psum: Psum, a: Array, b: Array, bound: int | None = None) -> Psum:
        product = a @ b
        np.add(product, psum.sums, out=product)
        return Psum(self.psum.rounded(product))

    def overflowed(self, psum: Psum) -> int:
        """Sums that became infinite."""
        return int(np.isinf(psum.sums).sum())

    def finish(
        self, psum: Psum, unit: Array, output: Quantization, activation: Activation | None
    ) -> Array:
        return self._stored(psum.sums, activation)

    def rescale(self, x: Tensor, output: Quantization) -> Array:
        return x.values

    def mean(self, sums: Array, counts: Array, x: Quantization, output: Quantization) -> Array:
        return self._stored(np.divide(sums, counts, dtype=np.float32))

    def add(
        self, inputs: Sequence[Tensor], output: Quantization, activation: Activation | None
    ) -> Array:
        return self._stored(reduce(np.add, (x.values for x in inputs)), activation)

    def multiply(
        self, x: Tensor, y: Tensor, output: Quantization, activation: Activation | None
    ) -> Array:
        return self._stored(x.values * y.values, activation)

    def apply(self, function: Function, x: Tensor, output: Quantization) -> Array:
        return self._stored(function(x.values))

    def affine(
        self,
        x: Tensor,
        slope: Array,
        offset: Array,
        output: Quantization,
        activation: Activation | None,
    ) -> Array:
        return self._stored(x.values * slope + offset, activation)

    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        base = np.float32(op.bias) + np.float32(op.alpha / op.size) * squares
        return self._stored(x.values * base ** np.float32(-op.beta))

    def exponentials(self, x: Tensor, largest: Array) -> Array:
        shares: Array = np.exp(x.values - largest)
        return shares

    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        return self._stored(shares / total)

    def _stored(self, values: Array, activation: Activation | None = None) -> Array:
        if activation is not None:
            values = ACTIVATIONS[activation](values)
        return self.activation.rounded(values)


# --- From the hardware file -----------------------------------------------------------------------


def arithmetic_of(
    ifmap: str, filter: str, psum: str, ofmap: str, overflow: Overflow = "wrap"
) -> Arithmetic:
    """The arithmetic of formats named as in the hardware file.

    An ofmap is the next layer's ifmap, so both have one format. All formats are integers or all
    are floats; integer operands have at most 16 bits, psums at most 48. InputError lists what is
    not so.
    """
    formats: dict[str, Format] = {}
    problems = []
    names = {"ifmap": ifmap, "filter": filter, "psum": psum, "ofmap": ofmap}
    for operand, name in names.items():
        try:
            formats[operand] = parse_format(name)
        except ValueError as error:
            problems.append(Problem(str(error), key=f"precision.{operand}"))
    problems += _mismatches(formats)
    if problems:
        raise InputError(problems)
    activation, weight, accumulator = formats["ifmap"], formats["filter"], formats["psum"]
    if isinstance(activation, IntegerFormat):
        assert isinstance(weight, IntegerFormat)
        assert isinstance(accumulator, IntegerFormat)
        return IntegerArithmetic(activation, weight, accumulator, overflow)
    assert isinstance(weight, FloatFormat)
    assert isinstance(accumulator, FloatFormat)
    return FloatArithmetic(activation, weight, accumulator)


def _mismatches(formats: Mapping[str, Format]) -> list[Problem]:
    """What keeps formats, each possible by itself, from working together."""
    problems = []
    ifmap, ofmap, psum = formats.get("ifmap"), formats.get("ofmap"), formats.get("psum")
    if ifmap and ofmap and ifmap != ofmap:
        message = f"{ofmap} differs from the ifmap's {ifmap}; use one for both"
        problems.append(Problem(message, key="precision.ofmap"))
    if len({isinstance(kind, IntegerFormat) for kind in formats.values()}) > 1:
        found = ", ".join(f"{operand} {kind}" for operand, kind in formats.items())
        problems.append(
            Problem(f"use integers only or floats only, found {found}", key="precision")
        )
    for operand in ("ifmap", "filter"):
        kind = formats.get(operand)
        if isinstance(kind, IntegerFormat) and kind.bits > 16:
            message = f"{kind} is too wide for values; use at most 16 bits"
            problems.append(Problem(message, key=f"precision.{operand}"))
    if isinstance(psum, IntegerFormat) and (not psum.signed or psum.bits < 8):
        message = f"{psum} cannot accumulate; use a signed format of 8 to 48 bits, such as int32"
        problems.append(Problem(message, key="precision.psum"))
    return problems
