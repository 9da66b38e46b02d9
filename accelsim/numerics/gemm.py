"""Matrix products as a MAC array computes them: exact integers, and accumulators of any width.

A product is filter (..., n, k) times ifmap (..., k, m), summed in the order of k; leading axes
are a stack of independent products (the groups of a convolution).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.formats import Array, IntegerFormat

Overflow = Literal["wrap", "saturate"]

_FLOAT32_EXACT = 2**24
_FLOAT64_EXACT = 2**53
_CHUNK_TERMS = 2048  # longest slice of k that is converted at a time, to bound memory
_WORTHWHILE_TERMS = 64  # fewer float32 terms per product than this: float64 is quicker
_BLOCK_ELEMENTS = 2**19  # operands converted at a time: they should stay in the caches
_CLAMPED_ELEMENTS = 2**15  # sums added to at a time, one k after the other


def peak(values: Array) -> int:
    """The largest magnitude among integers (any shape)."""
    return max(int(values.max()), -int(values.min()))


def _blocks(size: int, step: int) -> Iterator[slice]:
    return (slice(first, min(first + step, size)) for first in range(0, size, step))


def _exact_terms(bound: int) -> tuple[type[np.float32] | type[np.float64], int]:
    """The float type to multiply in, and how many products of magnitude `bound` it sums exactly.

    Integers up to 2^24 are exact in float32, up to 2^53 in float64; so is every partial sum,
    in whatever order the BLAS adds. int8 by int8 (2^14) gives 1,024 terms.
    """
    single = _FLOAT32_EXACT // max(bound, 1)
    if single >= _WORTHWHILE_TERMS:
        return np.float32, min(single, _CHUNK_TERMS)
    return np.float64, min(_FLOAT64_EXACT // bound, _CHUNK_TERMS)


def exact_type(bound: int) -> type[np.float32] | type[np.float64]:
    """The float type in which operands whose products reach `bound` are multiplied.

    Integers may be handed over in this type, which saves converting them for every product.
    """
    return _exact_terms(bound)[0]


def exact_matmul(a: Array, b: Array) -> Array:
    """Return the exact product (..., n, m) of integers a (..., n, k) and b (..., k, m).

    The result is int32 where k products cannot exceed it, else int64.
    """
    return _product(a, b, peak(a) * peak(b))


def _product(a: Array, b: Array, bound: int) -> Array:
    """exact_matmul of operands whose products have magnitudes up to `bound`."""
    *stack, n, k = a.shape
    m = b.shape[-1]
    kind, terms = _exact_terms(bound)
    sums = np.empty((*stack, n, m), np.int32 if k * bound < 2**31 else np.int64)
    for ks in _blocks(k, terms):
        left = a[..., ks].astype(kind, copy=False)
        width = max(_BLOCK_ELEMENTS // (left.size // n), 256)
        for ms in _blocks(m, width):
            part = left @ b[..., ks, ms].astype(kind, copy=False)
            if ks.start:
                sums[..., ms] += part.astype(sums.dtype)
            else:
                sums[..., ms] = part
    return sums


@dataclass(frozen=True, slots=True)
class Psum:
    """Sums (..., n, m) on their way through the slices of k; (..., n, 1) while only preloaded.

    A wrapping integer accumulator keeps the exact sums here, of which its register holds the
    lowest bits; a saturating one keeps what its register holds, and which outputs were clamped
    (None while none could be). No sum is larger than `reach` in magnitude.
    """

    sums: Array
    reach: int = 0
    saturated: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Accumulator:
    """An integer psum register per output: the bias first, then one product at a time.

    The order of the products is that of k. `wrap` keeps the lowest bits of every sum, so only the
    last sum matters; `saturate` clamps after every single addition. Either way the result, and
    the number of outputs that overflowed, do not depend on how k is cut into slices.
    """

    format: IntegerFormat
    overflow: Overflow = "wrap"

    def preload(self, bias: Array | None) -> Psum:
        """The register before the first product: integers `bias` (..., n), or zero."""
        if bias is None:
            return Psum(np.zeros((1, 1), np.int32))
        sums = bias[..., None].astype(np.int64)
        if self.overflow == "wrap" or peak(sums) <= self.format.highest:
            return Psum(sums if peak(sums) >= 2**31 else sums.astype(np.int32), peak(sums))
        clamped = np.clip(sums, self.format.lowest, self.format.highest)
        return Psum(clamped, peak(clamped), clamped != sums)

    def accumulate(self, psum: Psum, a: Array, b: Array, bound: int | None = None) -> Psum:
        """`psum` after the products of a slice of k: integers a (..., n, k), b (..., k, m).

        `bound`, on the products' magnitudes, saves looking for the largest operands.
        """
        if bound is None:
            bound = peak(a) * peak(b)
        reach = psum.reach + a.shape[-1] * bound
        if self.overflow == "saturate" and reach > self.format.highest:
            reach = -self.format.lowest
            if self._may_clamp(psum, a, b, bound):
                return Psum(*self._clamped(psum, a, b, bound))
        product = _product(a, b, bound)
        if reach >= 2**31 or psum.sums.dtype == np.int64:
            product = product.astype(np.int64, copy=False)
        np.add(product, psum.sums, out=product)
        return Psum(product, reach, psum.saturated)

    def _may_clamp(self, psum: Psum, a: Array, b: Array, bound: int) -> bool:
        """Whether the magnitudes of the sum and its products together leave the register."""
        magnitudes = _product(_magnitudes(a), _magnitudes(b), bound)
        return int(np.max(magnitudes + _magnitudes(psum.sums))) > self.format.highest

    def _clamped(
        self, psum: Psum, a: Array, b: Array, bound: int
    ) -> tuple[Array, int, NDArray[np.bool_]]:
        """Sums, their reach, and which were ever clamped, after adding one k at a time."""
        low, high = self.format.lowest, self.format.highest
        kind = np.int32 if bound - low < 2**31 else np.int64
        a, b = a.astype(kind), b.astype(kind)
        shape = (*a.shape[:-1], b.shape[-1])
        sums = np.zeros(shape, kind)
        sums += psum.sums.astype(kind)
        saturated = np.zeros(shape, np.bool_)
        if psum.saturated is not None:
            saturated |= psum.saturated
        for ns in _blocks(shape[-2], max(_CLAMPED_ELEMENTS * shape[-2] // sums.size, 1)):
            held, ever = sums[..., ns, :], saturated[..., ns, :]
            for k in range(a.shape[-1]):
                exact = held + a[..., ns, k, None] * b[..., None, k, :]
                np.clip(exact, low, high, out=held)
                np.logical_or(ever, held != exact, out=ever)
        return sums, -low, saturated

    def finish(self, psum: Psum) -> tuple[Array, int]:
        """What the registers hold in the end (..., n, m), and how many outputs overflowed.

        With `wrap` an output overflowed if its exact sum lies outside the register, with
        `saturate` if it was clamped at least once.
        """
        low, high = self.format.lowest, self.format.highest
        if self.overflow == "saturate":
            return psum.sums, 0 if psum.saturated is None else int(psum.saturated.sum())
        if psum.reach <= high:
            return psum.sums, 0
        outside = int(np.count_nonzero((psum.sums < low) | (psum.sums > high)))
        wrapped = ((psum.sums.astype(np.int64) - low) & (self.format.codes - 1)) + low
        return wrapped, outside


def _magnitudes(values: Array) -> Array:
    """Absolute values (any shape), unsigned: that of the lowest integer has no sign to spare."""
    if values.dtype.kind == "f":
        return np.abs(values)
    return np.abs(values).view(f"u{values.dtype.itemsize}")
