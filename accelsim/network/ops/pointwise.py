"""Functions of several values at one place: comparisons, choices, and other steps.

Each is a row: what it computes of arrays that broadcast, and what that costs a lane. Truths are 1
and 0. Where mathematics has no number (a remainder by zero) the result is 0.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.elementwise import Array
from accelsim.network.ops.fields import Shape
from accelsim.network.ops.joins import Broadcast

_LARGEST = float(np.finfo(np.float32).max)
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise(Broadcast):
    """A row. Its operands are its inputs in their order, or as `numbers` says.

    `numbers` has an entry for each operand: a number that stands for it, or null for an input.
    """

    operands: ClassVar[int] = 2
    operations: ClassVar[int] = 1
    """Lane operations for a value."""
    numbers: tuple[Number | None, ...] | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        places = self.numbers or (None,) * self.operands
        if len(places) != self.operands:
            raise ShapeError(f"numbers needs {self.operands} entries, found {len(places)}")
        wanted = places.count(None)
        if not wanted or len(inputs) != wanted:
            raise ShapeError(f"takes {max(wanted, 1)} inputs beside numbers, found {len(inputs)}")
        return Broadcast.output_shape(self, inputs)

    def of(self, inputs: Sequence[Array]) -> Array:
        """The function of inputs of one type, which stays."""
        kind, given = inputs[0].dtype, iter(inputs)
        places = self.numbers or (None,) * self.operands
        operands = [next(given) if each is None else np.asarray(each, kind) for each in places]
        return np.asarray(self.value(*operands), kind)

    @abstractmethod
    def value(self, *operands: Array) -> Array:
        """The function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Less(Pointwise):
    """Whether x < y."""

    name: ClassVar[str] = "less"

    def value(self, *operands: Array) -> Array:
        return np.less(*operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class LessOrEqual(Pointwise):
    """Whether x <= y."""

    name: ClassVar[str] = "less_or_equal"

    def value(self, *operands: Array) -> Array:
        return np.less_equal(*operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal(Pointwise):
    """Whether x = y."""

    name: ClassVar[str] = "equal"

    def value(self, *operands: Array) -> Array:
        return np.equal(*operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEqual(Pointwise):
    """Whether x and y differ."""

    name: ClassVar[str] = "not_equal"

    def value(self, *operands: Array) -> Array:
        return np.not_equal(*operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Or(Pointwise):
    """Whether x or y is not 0."""

    name: ClassVar[str] = "or"

    def value(self, *operands: Array) -> Array:
        return np.logical_or(*operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Pointwise):
    """y where x is not 0, else z."""

    name: ClassVar[str] = "where"
    operands: ClassVar[int] = 3

    def value(self, *operands: Array) -> Array:
        x, y, z = operands
        return np.where(np.not_equal(x, 0), y, z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder(Pointwise):
    """x less a whole multiple of y, with the sign of y; with `truncated` with that of x."""

    name: ClassVar[str] = "remainder"
    truncated: bool = False

    def value(self, *operands: Array) -> Array:
        x, y = operands
        function = np.fmod if self.truncated else np.mod
        return np.where(np.equal(y, 0), 0, function(x, np.where(np.equal(y, 0), 1, y)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient(Pointwise):
    """x / y without its fraction."""

    name: ClassVar[str] = "quotient"

    def value(self, *operands: Array) -> Array:
        x, y = operands
        return np.where(np.equal(y, 0), 0, np.trunc(x / np.where(np.equal(y, 0), 1, y)))


POINTWISE: tuple[type[Pointwise], ...] = (
    *(Less, LessOrEqual, Equal, NotEqual, Or, Where, Remainder, Quotient),
)
