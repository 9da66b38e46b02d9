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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Activation, Elementwise, Lrn, Pointwise
from accelsim.numerics.formats import Array, Format, Quantization, Tensor
from accelsim.numerics.gemm import Psum

Hidden = NDArray[np.bool_] | None
"""Which values have no share in a softmax, if any have none."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a normalisation knows of rows of `count` values: sums (..., 1) that do not depend on
    how they are cut. `sums` of operands, None where no mean is taken; `squares` as of `squares`.
    """

    sums: Array | None
    squares: Array
    count: int
    epsilon: float


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
    def apply(self, function: Elementwise, x: Tensor, output: Quantization) -> Array:
        """The real `function` of `x` (any shape)."""

    @abstractmethod
    def pointwise(
        self, function: Pointwise, inputs: Sequence[Tensor], output: Quantization
    ) -> Array:
        """The real `function` of inputs that broadcast against each other."""

    @abstractmethod
    def coded(self, reals: Array, output: Quantization) -> Array:
        """Real numbers (any shape)."""

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
    def combined(self, terms: Sequence[tuple[Tensor, Array]], output: Quantization) -> Array:
        """The sum, in their order, of tensors times real factors that broadcast against them."""

    @abstractmethod
    def normalise(self, x: Tensor, squares: Array, op: Lrn, output: Quantization) -> Array:
        """`x` (any shape) by LRN, given the sums of squared operands around each element."""

    def stored(self, values: Array) -> Array:
        """Real numbers (any shape) in the format of activations; of floats only."""
        raise NotImplementedError("gradients are floating point")

    @abstractmethod
    def weighted(self, operand: Array, factor: float) -> Array:
        """An operand whose products are to be `factor` times as large; of integers as it is: the
        unit of their psums says it."""

    @abstractmethod
    def squares(self, x: Tensor, axis: int, sums: Array | None, count: int) -> Array:
        """What adds up along `axis` to the variance of rows of `count` values, of these `sums`."""

    @abstractmethod
    def standardised(
        self, x: Tensor, row: Row, gamma: Array, beta: Array, output: Quantization
    ) -> Array:
        """gamma * (x - mean) / sqrt(variance + epsilon) + beta, all broadcast against `x`."""

    @abstractmethod
    def stepped(self, x: Tensor, low: Array, high: Array, output: Quantization) -> Array:
        """`x` on the steps of ONNX's DynamicQuantizeLinear; its least and largest stored values
        broadcast against it."""

    def sums(self, x: Tensor, axis: int | tuple[int, ...]) -> Array:
        """Operands summed over `axis`, which stays as 1; of integers exact."""
        operand = self.operand(x)
        wide = operand.dtype if operand.dtype.kind == "f" else np.int64
        sums: Array = operand.sum(axis, dtype=wide, keepdims=True)
        return sums

    def softmax(self, x: Tensor, axis: int, output: Quantization, hidden: Hidden = None) -> Array:
        """exp(x) / sum of exp(x) over `axis`, without what is `hidden`."""
        seen = self.seen(x, hidden)
        shares = self.exponentials(seen, seen.values.max(axis, keepdims=True), hidden)
        return self.quotients(shares, shares.sum(axis, keepdims=True), output)

    def seen(self, x: Tensor, hidden: Hidden) -> Tensor:
        """`x` with the lowest value in place of what is hidden."""
        if hidden is None:
            return x
        seen = x.values.copy()
        seen[np.broadcast_to(hidden, seen.shape)] = self.activation.lowest
        return Tensor(seen, x.quantization)

    @abstractmethod
    def shares(self, x: Tensor, largest: Array) -> Array:
        """exp(x - largest), in a format in which they are summed; `largest` are stored values."""

    def exponentials(self, x: Tensor, largest: Array, hidden: Hidden = None) -> Array:
        """`shares`, 0 for what is hidden."""
        shares = self.shares(x, largest)
        return shares if hidden is None else shares * ~hidden

    @abstractmethod
    def quotients(self, shares: Array, total: Array, output: Quantization) -> Array:
        """shares / total of `exponentials`."""
