"""Layers computed value by value: what is multiplied, which words are read, how many operations.

A program is the definition of a layer as plain loops; each call of its lanes is one operation on
one value. As a vector unit has it, a square and its addition to a sum are one operation, a product
of two operands and its addition two. What is done once for a whole row or channel is not counted.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from accelsim.network.ops import Op, Shape
from accelsim.numerics.formats import Array

Index = tuple[int, ...]


@dataclass
class Lanes:
    """Each call is an operation; its argument is what comes out."""

    operations: int = 0

    def __call__(self, value: float) -> float:
        self.operations += 1
        return value


@dataclass
class Operand:
    """Values that remember where they were read."""

    values: Array
    touched: set[Index] = field(default_factory=set)
    asked: set[Index] = field(default_factory=set)

    @property
    def shape(self) -> Shape:
        return self.values.shape

    def __getitem__(self, index: Index | int) -> float:
        place = index if isinstance(index, tuple) else (index,)
        assert len(place) == self.values.ndim
        assert min(place) >= 0
        self.touched.add(place)
        self.asked.add(place)
        return float(self.values[place])

    def near(self, index: Index, outside: float = 0.0) -> float:
        """The value at `index`, or of what lies around the map: that is not read."""
        self.asked.add(index)
        return self[index] if inside(index, self.shape) else outside

    @property
    def box(self) -> int:
        """Words of the block from the first to the last place that was asked for, padding not."""
        axes = zip(zip(*self.asked, strict=True), self.shape, strict=True)
        ends = ((max(min(axis), 0), min(max(axis) + 1, size)) for axis, size in axes)
        return math.prod(max(stop - start, 0) for start, stop in ends)


@dataclass
class Work:
    """What a program computes with: of one image, or of all if the layer is not batched."""

    op: Any
    inputs: tuple[Operand, ...]
    learned: dict[str, Operand]
    shape: Shape
    lane: Lanes

    @property
    def x(self) -> Operand:
        """The first input."""
        return self.inputs[0]

    def each(self) -> Iterator[Index]:
        """Every place of the ofmap."""
        return np.ndindex(*self.shape)

    def mapped(self, value: Callable[[Index], float]) -> Array:
        """The ofmap, place by place."""
        made = np.empty(self.shape)
        for place in self.each():
            made[place] = value(place)
        return made


Program = Callable[[Work], Array]


def inside(index: Index, shape: Shape) -> bool:
    """Whether there is such a place."""
    return all(0 <= at < size for at, size in zip(index, shape, strict=True))


# --- Products -------------------------------------------------------------------------------------

Term = tuple[Index, Index, Index]
"""Places of the ofmap, of the first operand (perhaps in the padding), and of the second."""
Terms = Callable[[Any, tuple[Shape, ...], Shape], Iterator[Term]]
"""The terms of a layer, given its type, the shapes of its operands and that of its ofmap."""


def conv_terms(op: Any, shapes: tuple[Shape, ...], ofmap: Shape) -> Iterator[Term]:
    """Of a convolution of an ifmap (C, H, W)."""
    group, filters = shapes[0][0] // op.groups, ofmap[0] // op.groups
    for k, p, q in np.ndindex(*ofmap):
        for c, r, s in np.ndindex(group, *op.kernel):
            h = p * op.stride[0] + r * op.dilation[0] - op.padding[0]
            w = q * op.stride[1] + s * op.dilation[1] - op.padding[2]
            yield (k, p, q), (k // filters * group + c, h, w), (k, c, r, s)


def weight_gradient_terms(op: Any, shapes: tuple[Shape, ...], ofmap: Shape) -> Iterator[Term]:
    """Of a convolution's weight: its terms for every image, with ofmap and filter exchanged."""
    (images, *x), (_, *gradient) = shapes
    for image in range(images):
        for y, at, weight in conv_terms(op, (tuple(x),), tuple(gradient)):
            yield weight, (image, *at), (image, *y)


def phase_terms(op: Any, shape: Shape, ofmap: Shape, at: tuple[int, int]) -> Iterator[Term]:
    """Of every stride-th row and column of what a convolution read, from those that it made.

    Only taps that some output could reach such a row through; outputs may lie in the padding. The
    filter's place is (made channel, read channel in its group, tap, tap).
    """
    made, read = shape[0] // op.groups, ofmap[0] // op.groups

    def met(axis: int, place: int) -> Iterator[tuple[int, int]]:
        for tap in range(op.kernel[axis]):
            first = place * op.stride[axis] + at[axis] + op.padding[2 * axis]
            output, apart = divmod(first - tap * op.dilation[axis], op.stride[axis])
            if not apart:
                yield output, tap

    for c, h, w in np.ndindex(*ofmap):
        group = c // read
        for k, (p, r), (q, s) in product(range(made), [*met(0, h)], [*met(1, w)]):
            y = group * made + k
            yield (c, h, w), (y, p, q), (y, c % read, r, s)


def matrix_terms(groups: int, rows: int, cols: int, inner: int) -> Iterator[Term]:
    """(groups, rows, inner) times (groups, inner, cols)."""
    for g, m, n, k in np.ndindex(groups, rows, cols, inner):
        yield (g, m, n), (g, m, k), (g, k, n)


def summed(terms: list[Term], first: Operand, second: Operand, ofmap: Shape) -> Array:
    """What the terms add up to."""
    made = np.zeros(ofmap)
    for y, x, w in terms:
        made[y] += first.near(x) * second[w]
    return made


# --- Windows and rows -----------------------------------------------------------------------------


def taps(op: Op, shape: Shape, place: Index) -> list[Index]:
    """Places (h, w) of the window of a pool at `place`, those in the padding too."""
    kernel: Any = op.kernel  # type: ignore[attr-defined]
    down, across = shape[1:] if kernel == "global" else kernel
    stride = getattr(op, "stride", None) or (down, across)
    top, left = op.padding[0], op.padding[2]  # type: ignore[attr-defined]
    corner = place[-2] * stride[0] - top, place[-1] * stride[1] - left
    return [(corner[0] + r, corner[1] + s) for r, s in np.ndindex(down, across)]


def rows_of(operand: Operand, count: int) -> list[list[Index]]:
    """Places of an operand in `count` rows, one behind another as they lie."""
    places = list(np.ndindex(*operand.shape))
    size = len(places) // count
    return [places[start : start + size] for start in range(0, len(places), size)]
