"""Reductions: axes that become one value."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, axis_of, only
from accelsim.network.ops.fields import MOST_AXES, Axis, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class OverAxes(Op):
    """One value for all along `axes`, which lie side by side; `keep`: each stays, of size 1."""

    axes: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=MOST_AXES)] = (-1,)
    keep: bool = False

    def reduced(self, shape: Shape) -> tuple[int, int]:
        """The first of the axes and the one behind the last."""
        axes = sorted(axis_of(axis, shape) for axis in self.axes)
        if axes != list(range(axes[0], axes[0] + len(axes))):
            raise ShapeError(
                f"axes {list(self.axes)} of {shape} do not lie side by side; reduce one, then "
                "the other, or transpose before"
            )
        return axes[0], axes[-1] + 1

    def parts(self, shape: Shape) -> tuple[int, int, int]:
        """Values before the axes, along them, and behind them."""
        start, stop = self.reduced(shape)
        return math.prod(shape[:start]), math.prod(shape[start:stop]), math.prod(shape[stop:])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        start, stop = self.reduced(shape)
        kept = (1,) * (stop - start) if self.keep else ()
        return (*shape[:start], *kept, *shape[stop:]) or (1,)

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction(OverAxes):
    """One value that all have a share in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Reduction):
    """The mean."""

    name: ClassVar[str] = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Reduction):
    """The sum."""

    name: ClassVar[str] = "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest(Reduction):
    """The maximum."""

    name: ClassVar[str] = "max"
