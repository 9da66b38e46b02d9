"""Axes whose values lie closer together, or further apart, than those that they are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops.window import Window

Whole = NDArray[np.int64] | int


@dataclass(frozen=True, slots=True)
class Stretch:
    """An axis of `outputs` values, each made of `near` ones of the `size` of the ifmap's axis.

    Value p is made of those from floor((p * step + offset) / per) on, or of the nearest that there
    are. A piece reads a block that is enough for it, at most one value more than it needs, so that
    pieces of one size read as much.
    """

    size: int
    outputs: int
    step: int = 1
    per: int = 1
    offset: int = 0
    near: int = 1

    @property
    def kernel(self) -> int:
        """It is not cut by taps."""
        return 1

    def read(self, start: Whole, sizes: Whole) -> NDArray[np.int64]:
        """Values that pieces of so many read, from `start` on.

        Those whose ends lie on values of the ifmap's begin alike; others may begin just before one.
        """
        apart = (start * self.step % self.per) | (sizes * self.step % self.per)
        begin = np.where(apart, self.per - 1, self.offset % self.per)
        block = ((sizes - 1) * self.step + begin) // self.per + self.near
        return np.asarray(np.minimum(np.minimum(block, self.near * sizes), self.size))

    def reads(self, sizes: Whole) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For values cut in pieces of each of `sizes`: what the largest reads, and all together."""
        whole, rest = self.outputs // sizes, self.outputs % sizes
        most = self.read(0, np.minimum(sizes, self.outputs))
        last = self.read(whole * sizes, np.maximum(rest, 1)) * (rest > 0)
        return np.maximum(most, last), np.asarray(whole * self.read(0, sizes) + last)

    def block(self, start: int, stop: int) -> tuple[int, int]:
        """The ifmap's values [first, last) that the piece [start, stop) reads."""
        read = int(self.read(start, stop - start))
        first = (start * self.step + self.offset) // self.per
        first = min(max(first, 0), self.size - read)
        return first, first + read


Read = Window | Stretch
"""An axis of an ifmap, as the outputs along it read it."""
