"""Products of two computed tensors, of which one takes the filter's place.

`sizes` says what they are on the array: `groups` of (m, k) x (k, n), of one image.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import Positive, Real, Shape


@dataclass(frozen=True, slots=True)
class Groups:
    """`count` products of (m, k) by (k, n)."""

    count: int
    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all of them."""
        return self.count * self.m * self.n * self.k


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(Op):
    """What all of them share."""

    activation: Activation | None = None

    @abstractmethod
    def sizes(self, inputs: tuple[Shape, ...]) -> Groups:
        """What it is on the array."""

    def factor_of(self, inputs: tuple[Shape, ...]) -> float:
        """What the products are multiplied with."""
        return 1.0

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return self.sizes(inputs).macs


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul(Product):
    """(..., m, k) x (..., k, n), image by image; the axes before are broadcast as NumPy's are.

    `transpose_first` and `transpose_second` swap the last two axes of an input before. Where the
    second input is the same for several matrices of the first, these are one on the array.
    """

    name: ClassVar[str] = "matmul"
    transpose_first: bool = False
    transpose_second: bool = False
    scale: Real = 1.0

    def turned(self, inputs: tuple[Shape, ...]) -> tuple[Shape, Shape]:
        """The shapes as they are multiplied."""
        if len(inputs) != 2 or any(len(shape) < 2 for shape in inputs):
            raise ShapeError(f"takes two matrices, found shapes {list(inputs)}")
        swaps = self.transpose_first, self.transpose_second
        first, second = (
            (*shape[:-2], shape[-1], shape[-2]) if swap else shape
            for shape, swap in zip(inputs, swaps, strict=True)
        )
        return first, second

    def leading(self, inputs: tuple[Shape, ...]) -> tuple[Shape, Shape, Shape]:
        """The axes before the matrices: of both inputs, as many, and of the ofmap."""
        first, second = (shape[:-2] for shape in self.turned(inputs))
        rank = max(len(first), len(second))
        first, second = ((*(1,) * (rank - len(each)), *each) for each in (first, second))
        for one, other in zip(first, second, strict=True):
            if one != other and 1 not in (one, other):
                raise ShapeError(f"the axes before the matrices differ: {list(inputs)}")
        return first, second, tuple(map(max, zip(first, second, strict=True)))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        (*_, m, k), (*_, k2, n) = self.turned(inputs)
        if k != k2:
            raise ShapeError(f"inner sizes differ: {m}x{k} times {k2}x{n}")
        return (*self.leading(inputs)[2], m, n)

    def shared(self, inputs: tuple[Shape, ...]) -> int:
        """How many axes right before the matrices have one second matrix for all."""
        _, second, _ = self.leading(inputs)
        return next((at for at, size in enumerate(reversed(second)) if size > 1), len(second))

    def sizes(self, inputs: tuple[Shape, ...]) -> Groups:
        (*_, m, k), (*_, _, n) = self.turned(inputs)
        leading = self.leading(inputs)[2]
        own = len(leading) - self.shared(inputs)
        return Groups(math.prod(leading[:own]), math.prod(leading[own:]) * m, n, k)

    def factor_of(self, inputs: tuple[Shape, ...]) -> float:
        return self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads(Product):
    """What both products of an attention share: queries have `heads`, keys and values `key_heads`.

    Each of these is for as many queries' heads, which follow each other (grouped queries).
    """

    heads: Positive
    key_heads: Positive | None = None

    @property
    def shared_by(self) -> int:
        """Heads of queries for one of keys."""
        return self.heads // (self.key_heads or self.heads)

    @property
    def groups(self) -> int:
        """Heads of keys."""
        return self.key_heads or self.heads

    def size_of(self, features: int, heads: int) -> int:
        """Features of a head."""
        if features % heads:
            raise ShapeError(f"{features} features do not divide into {heads} heads")
        return features // heads

    def refuse_misfits(self, inputs: tuple[Shape, ...], ranks: tuple[int, int]) -> None:
        """ShapeError for other inputs than two of these ranks, or heads that cannot share."""
        if self.heads % self.groups:
            raise ShapeError(f"{self.heads} heads do not share {self.groups} heads of keys")
        if tuple(map(len, inputs)) != ranks:
            raise ShapeError(f"takes inputs of {ranks[0]} and {ranks[1]} axes, found {inputs}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionScores(Heads):
    """Queries (T, heads * d) times keys (S, key_heads * d), head by head: (heads, T, S).

    Times `scale`, which is 1 / sqrt(d) unless given (Vaswani et al. 2017, section 3.2.1).
    """

    name: ClassVar[str] = "attention_scores"
    scale: Real | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        self.refuse_misfits(inputs, (2, 2))
        (queries, wide), (keys, narrow) = inputs
        sizes = self.size_of(wide, self.heads), self.size_of(narrow, self.groups)
        if sizes[0] != sizes[1]:
            raise ShapeError(f"heads of queries have {sizes[0]} features, of keys {sizes[1]}")
        return self.heads, queries, keys

    def sizes(self, inputs: tuple[Shape, ...]) -> Groups:
        (queries, features), (keys, _) = inputs
        return Groups(self.groups, self.shared_by * queries, keys, features // self.heads)

    def factor_of(self, inputs: tuple[Shape, ...]) -> float:
        if self.scale is not None:
            return self.scale
        return 1 / math.sqrt(inputs[0][1] // self.heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionContext(Heads):
    """Shares (heads, T, S) times values (S, key_heads * d), head by head: (T, heads * d)."""

    name: ClassVar[str] = "attention_context"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        self.refuse_misfits(inputs, (3, 2))
        (heads, queries, keys), (rows, features) = inputs
        if (heads, keys) != (self.heads, rows):
            raise ShapeError(f"shares {inputs[0]} are not of {self.heads} heads and {rows} values")
        return queries, self.heads * self.size_of(features, self.groups)

    def sizes(self, inputs: tuple[Shape, ...]) -> Groups:
        (_, queries, keys), (_, features) = inputs
        size = features // self.groups
        return Groups(self.groups, self.shared_by * queries, size, keys)
