"""Functions of several values at one place: comparisons, choices, powers, and other steps.

Each is a row: what it computes of arrays that broadcast, what that costs a lane, and the derivative
by those operands that have one. Truths are 1 and 0. Where mathematics has no number (a remainder by
zero) the result is 0.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from accelsim.errors import ShapeError
from accelsim.network.ops.elementwise import Array
from accelsim.network.ops.fields import Number, Shape
from accelsim.network.ops.functions import finite
from accelsim.network.ops.joins import Broadcast


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise(Broadcast):
    """A row. Its operands are its inputs in their order, or as `numbers` says.

    `numbers` has an entry for each operand: a number that stands for it, or null for an input.
    """

    operands: ClassVar[int] = 2
    operations: ClassVar[int] = 1
    """Lane operations for a value."""
    numbers: tuple[Number | None, ...] | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """The operands that are inputs."""
        numbers = self.numbers or (None,) * self.operands
        return tuple(place for place, each in enumerate(numbers) if each is None)

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
class Sloped(Pointwise):
    """A row with derivatives; gradients stop at operands that have none."""

    sloped: ClassVar[tuple[int, ...]] = (0, 1)
    """Operands that have a derivative."""
    seen: ClassVar[tuple[int, ...]] = (0, 1)
    """Operands that derivatives depend on."""

    def slope(self, place: int, inputs: Sequence[Array], kind: DTypeLike) -> Array:
        """The derivative by an operand; `inputs` are those of the ones it depends on."""
        given, numbers = iter(inputs), self.numbers or (None,) * self.operands
        seen = [numbers[at] for at in self.seen]
        operands = [next(given) if each is None else np.asarray(each, kind) for each in seen]
        return np.asarray(self.derivative(place, *operands), kind)

    @abstractmethod
    def derivative(self, place: int, *seen: Array) -> Array:
        """By one of its operands, from those that are `seen`."""


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
class Where(Sloped):
    """y where x is not 0, else z."""

    name: ClassVar[str] = "where"
    operands: ClassVar[int] = 3
    sloped: ClassVar[tuple[int, ...]] = (1, 2)
    seen: ClassVar[tuple[int, ...]] = (0,)

    def value(self, *operands: Array) -> Array:
        x, y, z = operands
        return np.where(np.not_equal(x, 0), y, z)

    def derivative(self, place: int, *seen: Array) -> Array:
        chosen = np.not_equal(seen[0], 0)
        return chosen if place == 1 else np.logical_not(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Larger(Sloped):
    """The larger of x and y; the gradient goes to that, and where both are equal to x."""

    name: ClassVar[str] = "larger"

    def value(self, *operands: Array) -> Array:
        return np.maximum(*operands)

    def derivative(self, place: int, *seen: Array) -> Array:
        return np.equal(np.greater_equal(*seen), place == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller(Sloped):
    """The smaller of x and y; the gradient goes to that, and where both are equal to x."""

    name: ClassVar[str] = "smaller"

    def value(self, *operands: Array) -> Array:
        return np.minimum(*operands)

    def derivative(self, place: int, *seen: Array) -> Array:
        return np.equal(np.less_equal(*seen), place == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPower(Sloped):
    """x to the power y; of a negative x, what is no real number is 0, and so is one over zero."""

    name: ClassVar[str] = "to_power"

    def value(self, *operands: Array) -> Array:
        x, y = (each.astype(np.float64) for each in operands)
        with np.errstate(all="ignore"):
            return finite(np.where((x == 0) & (y < 0), 0, x**y), operands[0])

    def derivative(self, place: int, *seen: Array) -> Array:
        x, y = (each.astype(np.float64) for each in seen)
        with np.errstate(all="ignore"):
            slope = x**y * np.log(x) if place else y * x ** (y - 1)
        return finite(np.where((x <= 0) if place else (x == 0) & (y < 1), 0, slope), seen[0])


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
    *(Larger, Smaller, ToPower),
)
