"""Sizes of GEMMs, of their tiles and of the folds that an array cuts tiles into."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand

Axis = Literal["m", "n", "k"]
# Most laws take one tile (ints) or many tilings under comparison (arrays, one entry each).
Cycles = int | NDArray[np.int64]
Truth = bool | NDArray[np.bool_]

OPERAND_AXES: dict[Operand, tuple[Axis, Axis]] = {
    "ifmap": ("m", "k"),
    "filter": ("k", "n"),
    "psum": ("m", "n"),
    "ofmap": ("m", "n"),
}


@dataclass(frozen=True, slots=True)
class Gemm:
    """ofmap[m, n] = sum over k of ifmap[m, k] * filter[k, n].

    A convolution has m = N*P*Q ofmap pixels, n = K filters, k = C*R*S window size, of which `taps`
    are R*S. The pixels lie in `lines` rows.
    """

    m: int
    n: int
    k: int
    taps: int = 1
    lines: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k

    @property
    def whole(self) -> "Extents":
        """The GEMM as one tile."""
        return Extents(m=self.m, n=self.n, k=self.k, taps=self.taps, lines=self.lines)


@dataclass(frozen=True, slots=True)
class Extents:
    """Sizes of a GEMM tile, each a scalar or one entry per tiling under comparison.

    `starts` is false where the tile continues psums of an earlier one, `ends` where a later
    tile continues its own. `k` counts channels times `taps`, `m` the pixels of `lines` rows of
    one length.
    """

    m: Cycles
    n: Cycles
    k: Cycles
    starts: Truth = True
    ends: Truth = True
    taps: Cycles = 1
    lines: Cycles = 1

    def along(self, axis: Axis) -> Cycles:
        """The size along `axis`."""
        return {"m": self.m, "n": self.n, "k": self.k}[axis]


@dataclass(frozen=True, slots=True)
class FoldClass:
    """Folds of one tile that are alike: how many, and their extents along each axis.

    The pixels of the tile lie in `lines` rows.
    """

    count: Cycles
    extent: dict[Axis, Cycles]
    starts: Truth
    ends: Truth
    lines: Cycles = 1


def operand_area(operand: Operand, fold: FoldClass) -> Cycles:
    """Words of `operand` that one fold works on."""
    first, second = OPERAND_AXES[operand]
    return fold.extent[first] * fold.extent[second]


def operand_words(operand: Operand, fold: FoldClass) -> Cycles:
    """Words of `operand` that cross the array's edge in one fold."""
    words = operand_area(operand, fold)
    if operand == "psum":
        return words * (2 - np.add(fold.starts, fold.ends, dtype=np.int64))
    return words * fold.ends if operand == "ofmap" else words
