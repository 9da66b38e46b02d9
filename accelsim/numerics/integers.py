"""Quantized integers, as ONNX QLinearConv rounds them, and the tables of functions of codes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import ACTIVATIONS, Activation, Elementwise, Lrn, Pointwise
from accelsim.numerics.formats import Array, IntegerFormat, Quantization, Tensor
from accelsim.numerics.gemm import Accumulator, Overflow, Psum, exact_type, peak
from accelsim.numerics.operations import Arithmetic, Row
from accelsim.numerics.steps import on_steps

_LRN_TABLE_BITS = 20
_EXP_FRACTION_BITS = 30


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
        """Each input is brought to the output's scale; their sum is rounded, as by ONNX."""
        terms = [
            np.multiply(self.operand(x), _ratio(x.quantization, output), dtype=np.float32)
            for x in inputs
        ]
        return self._codes(reduce(np.add, terms), output, activation)

    def multiply(
        self, x: Tensor, y: Tensor, output: Quantization, activation: Activation | None
    ) -> Array:
        product = np.multiply(self.operand(x), self.operand(y), dtype=np.int64)
        unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
        return self._requantized(product, unit / np.float32(output.scale), output, activation)

    def apply(self, function: Elementwise, x: Tensor, output: Quantization) -> Array:
        table = _function_table(function, self.activation, x.quantization, output)
        return table[x.values.astype(np.intp) - self.activation.lowest]

    def pointwise(
        self, function: Pointwise, inputs: Sequence[Tensor], output: Quantization
    ) -> Array:
        """Of the numbers that the codes stand for, in float64."""
        reals = [self._reals(x.values, x.quantization) for x in inputs]
        return self.coded(function.of(reals), output)

    def coded(self, reals: Array, output: Quantization) -> Array:
        results = np.rint(reals / output.scale) + output.zero_point
        kind = self.activation
        codes: Array = np.clip(results, kind.lowest, kind.highest).astype(kind.dtype)
        return codes

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

    def combined(self, terms: Sequence[tuple[Tensor, Array]], output: Quantization) -> Array:
        scaled = [
            np.multiply(
                self.operand(x),
                factor.astype(np.float32) * _ratio(x.quantization, output),
                dtype=np.float32,
            )
            for x, factor in terms
        ]
        return self._codes(reduce(np.add, scaled), output)

    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        table, shift = _lrn_table(op, self.activation, x.quantization)
        factor = table[np.right_shift(squares.astype(np.int64), shift)] * _ratio(
            x.quantization, output
        )
        return self._requantized(self.operand(x), factor, output)

    def shares(self, x: Tensor, largest: Array) -> Array:
        """As 30-bit fractions, from a table: their sum is exact."""
        below = largest.astype(np.int64) - x.values
        shares: Array = _exp_table(self.activation, x.quantization.scale)[below]
        return shares

    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        return self._requantized(shares, (1 / (total * output.scale)).astype(np.float32), output)

    def stepped(self, x: Tensor, low: Array, high: Array, output: Quantization) -> Array:
        """Of the numbers that the codes stand for, in float64."""
        reals = (self._reals(values, x.quantization) for values in (x.values, low, high))
        return self.coded(on_steps(*reals), output)

    def _reals(self, codes: Array, meaning: Quantization) -> Array:
        return meaning.scale * (codes.astype(np.float64) - meaning.zero_point)

    def weighted(self, operand: Array, factor: float) -> Array:
        return operand

    def squares(self, x: Tensor, axis: int, sums: Array | None, count: int) -> Array:
        """Of the codes themselves: exact, so the mean can be taken from it later."""
        squares: Array = np.square(self.operand(x), dtype=np.int64).sum(axis, keepdims=True)
        return squares

    def standardised(
        self, x: Tensor, row: Row, gamma: Array, beta: Array, output: Quantization
    ) -> Array:
        """A line for each row and channel, worked out in float64 and rounded to float32."""
        mean = 0.0 if row.sums is None else row.sums / row.count
        variance = np.maximum(row.squares / row.count - mean * mean, 0)
        scale = x.quantization.scale
        deviation = np.sqrt(variance * scale * scale + row.epsilon)
        alike = deviation == 0
        slope = np.where(alike, 0.0, gamma / np.where(alike, 1.0, deviation))
        return self.affine(x, slope, beta - slope * (mean * scale), output, None)

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
    function: Elementwise, format_: IntegerFormat, x: Quantization, output: Quantization
) -> Array:
    """Codes of `function` for every input code, lowest first, shape (codes,)."""
    codes = np.arange(format_.lowest, format_.highest + 1)
    reals = function.value(x.scale * (codes - x.zero_point))
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
