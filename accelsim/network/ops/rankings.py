"""Which of many values is the largest, and their order."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops.base import Unary, axis_of, only
from accelsim.network.ops.elementwise import Array
from accelsim.network.ops.fields import Axis, Shape
from accelsim.network.ops.reductions import OverAxes


def _keys(values: Array, smallest: bool) -> Array:
    """What is the larger the sooner a value comes."""
    wide = values if values.dtype.kind == "f" else values.astype(np.int64)
    return np.negative(wide) if smallest else wide


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgMax(OverAxes):
    """The place of the largest value along `axes`, or of the `smallest`, counted from 0.

    Of equal ones the first, or the `last`.
    """

    name: ClassVar[str] = "arg_max"
    smallest: bool = False
    last: bool = False

    def keys(self, values: Array) -> Array:
        """What is largest where it is wanted."""
        return _keys(values, self.smallest)

    def place(self, keys: Array, axis: int) -> Array:
        """Where the largest key lies."""
        if not self.last:
            return np.asarray(keys.argmax(axis))
        return np.asarray(keys.shape[axis] - 1 - np.flip(keys, axis).argmax(axis))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort(Unary):
    """Values along `axis`, the largest first, or the `smallest`; or the `places` they had.

    Of equal ones that comes first which did so before.
    """

    name: ClassVar[str] = "sort"
    axis: Axis = -1
    smallest: bool = False
    gives: Literal["values", "places"] = "values"

    def along(self, shape: Shape) -> int:
        """The axis that is sorted, batch left out."""
        return axis_of(self.axis, shape)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        self.along(shape)
        return shape

    def order(self, values: Array, axis: int) -> NDArray[np.intp]:
        """The places of values, in the order wanted."""
        return np.argsort(_keys(values, not self.smallest), axis, kind="stable")

    def comparisons(self, shape: Shape) -> int:
        """Steps of a binary search for the place of a value."""
        return max(math.ceil(math.log2(shape[self.along(shape)])), 1)

    @property
    def in_order(self) -> bool:
        return True
