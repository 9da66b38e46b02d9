"""Floating point: operands in their formats, products and sums in float32."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from accelsim.network.ops import ACTIVATIONS, Activation, Elementwise, Lrn, Pointwise
from accelsim.numerics.formats import Array, FloatFormat, Quantization, Tensor
from accelsim.numerics.gemm import Psum
from accelsim.numerics.operations import Arithmetic, Row
from accelsim.numerics.steps import on_steps


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
        return self._stored(np.divide(sums, counts, dtype=sums.dtype))

    def add(
        self, inputs: Sequence[Tensor], output: Quantization, activation: Activation | None
    ) -> Array:
        return self._stored(reduce(np.add, (x.values for x in inputs)), activation)

    def multiply(
        self, x: Tensor, y: Tensor, output: Quantization, activation: Activation | None
    ) -> Array:
        return self._stored(x.values * y.values, activation)

    def apply(self, function: Elementwise, x: Tensor, output: Quantization) -> Array:
        return self._stored(function.value(x.values))

    def pointwise(
        self, function: Pointwise, inputs: Sequence[Tensor], output: Quantization
    ) -> Array:
        return self._stored(function.of([x.values for x in inputs]))

    def coded(self, reals: Array, output: Quantization) -> Array:
        return self._stored(reals)

    def affine(
        self,
        x: Tensor,
        slope: Array,
        offset: Array,
        output: Quantization,
        activation: Activation | None,
    ) -> Array:
        return self._stored(x.values * slope + offset, activation)

    def combined(self, terms: Sequence[tuple[Tensor, Array]], output: Quantization) -> Array:
        return self._stored(
            reduce(np.add, (x.values * factor.astype(x.values.dtype) for x, factor in terms))
        )

    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        base = np.float32(op.bias) + np.float32(op.alpha / op.size) * squares
        return self._stored(x.values * base ** np.float32(-op.beta))

    def shares(self, x: Tensor, largest: Array) -> Array:
        shares: Array = np.exp(x.values - largest)
        return shares

    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        return self._stored(shares / total)

    def weighted(self, operand: Array, factor: float) -> Array:
        return operand if factor == 1 else np.multiply(operand, factor, dtype=operand.dtype)

    def squares(self, x: Tensor, axis: int, sums: Array | None, count: int) -> Array:
        distance = x.values if sums is None else x.values - np.divide(sums, count, dtype=sums.dtype)
        squares: Array = np.square(distance).sum(axis, keepdims=True)
        return squares

    def standardised(
        self, x: Tensor, row: Row, gamma: Array, beta: Array, output: Quantization
    ) -> Array:
        kind, values = x.values.dtype, x.values
        if row.sums is not None:
            values = values - np.divide(row.sums, row.count, dtype=kind)
        variance = np.divide(row.squares, row.count, dtype=kind)
        deviation = np.sqrt(np.add(variance, row.epsilon, dtype=kind))
        share = np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0)
        return self._stored(share * gamma + beta)

    def stepped(self, x: Tensor, low: Array, high: Array, output: Quantization) -> Array:
        return self._stored(on_steps(x.values, low, high))

    def stored(self, values: Array) -> Array:
        return self.activation.rounded(values)

    def _stored(self, values: Array, activation: Activation | None = None) -> Array:
        if activation is not None:
            values = ACTIVATIONS[activation].value(values)
        return self.activation.rounded(values)
