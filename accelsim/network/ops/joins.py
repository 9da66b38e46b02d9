"""Layers that join several inputs, and those that only move or rename values."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, Unary, axis_of, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import (
    MOST_AXES,
    Axis,
    NonNegative,
    Positive,
    Real,
    Shape,
    Sizes,
)
from accelsim.network.ops.stretch import Read, Stretch
from accelsim.network.ops.window import Window

_MOST_PARTS = 4096
Parts = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=_MOST_PARTS)]
"""How much of an axis each part has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast(Op):
    """Inputs that are taken as often as an axis of size 1 asks for."""

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Inputs have one shape, or as many axes, of which some are 1."""
        different = ShapeError(f"input shapes differ: {', '.join(map(str, inputs))}")
        if len({len(shape) for shape in inputs}) > 1:
            raise different
        sizes = [{size for size in axis if size > 1} for axis in zip(*inputs, strict=True)]
        if any(len(axis) > 1 for axis in sizes):
            raise different
        return tuple(max(axis, default=1) for axis in sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(Broadcast):
    """What add and mul share."""

    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """As of all that broadcasts, of two inputs at least."""
        if len(inputs) < 2:
            raise ShapeError(f"takes two or more inputs, found {len(inputs)}")
        return Broadcast.output_shape(self, inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Joined):
    """Element-wise sum; an input is taken as often as an axis of size 1 asks for.

    A (C, 1, 1) input is read once for each channel, any other as if it had the ofmap's shape.
    """

    name: ClassVar[str] = "add"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul(Joined):
    """Element-wise product of two inputs, which are broadcast as those of add."""

    name: ClassVar[str] = "mul"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs) != 2:
            raise ShapeError(f"takes two inputs, found {len(inputs)}")
        return Joined.output_shape(self, inputs)


def _features_of(axis: int | None, shape: Shape) -> int:
    """An axis; without one, the channels of feature maps or the last."""
    if axis is not None:
        return axis_of(axis, shape)
    return 0 if len(shape) == 3 else len(shape) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Op):
    """Inputs one after another along `axis`; without, the channels of feature maps or the last."""

    name: ClassVar[str] = "concat"
    axis: Axis | None = None

    def along(self, shape: Shape) -> int:
        """The axis that is joined, batch left out."""
        return _features_of(self.axis, shape)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if not inputs:
            raise ShapeError("takes at least one input, found none")
        axis = self.along(inputs[0])
        rest = {(len(s), *s[:axis], *s[axis + 1 :]) for s in inputs}
        if len(rest) > 1:
            raise ShapeError(f"inputs differ beyond the joined axis: {', '.join(map(str, inputs))}")
        joined = sum(shape[axis] for shape in inputs)
        return (*inputs[0][:axis], joined, *inputs[0][axis + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten(Op):
    """The input as a vector; moves nothing."""

    name: ClassVar[str] = "flatten"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (math.prod(only(inputs)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Op):
    """The input's elements in another shape; moves nothing."""

    name: ClassVar[str] = "reshape"
    shape: Sizes

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        have, want = math.prod(only(inputs)), math.prod(self.shape)
        if have != want:
            raise ShapeError(f"{inputs[0]} holds {have} elements, {self.shape} needs {want}")
        return self.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Op):
    """The input with its axes in another order: axis i of the ofmap is axis order[i] of the input.

    It costs as a copy does: every value passes the vector unit once.
    """

    name: ClassVar[str] = "transpose"
    order: Annotated[tuple[NonNegative, ...], Field(min_length=2, max_length=MOST_AXES)]

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        if sorted(self.order) != list(range(len(shape))):
            raise ShapeError(f"order {list(self.order)} does not name each axis of {shape} once")
        return tuple(shape[axis] for axis in self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking(Op):
    """A part of the input, cut along its axes. It costs as a copy does."""

    @abstractmethod
    def taken(self, shape: Shape) -> tuple[slice, ...]:
        """What is taken of each axis; raises ShapeError."""

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        axes = zip(shape, self.taken(shape), strict=True)
        return tuple(len(range(size)[part]) for size, part in axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Taking):
    """On each axis every `step`-th value from `start` up to `stop`."""

    name: ClassVar[str] = "slice"
    start: Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=MOST_AXES)]
    stop: Sizes
    step: Sizes | None = None

    def taken(self, shape: Shape) -> tuple[slice, ...]:
        step = self.step or (1,) * len(self.start)
        if not len(shape) == len(self.start) == len(self.stop) == len(step):
            raise ShapeError(f"start, stop and step need a number for each axis of {shape}")
        ends = zip(shape, self.start, self.stop, strict=True)
        for axis, (size, start, stop) in enumerate(ends):
            if not start < stop <= size:
                raise ShapeError(
                    f"from {start} to {stop} does not lie within axis {axis} of {shape}: "
                    f"give start < stop <= {size}"
                )
        return tuple(map(slice, self.start, self.stop, step))


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPart(Taking):
    """One of the parts, counted from 0, into which `sizes` divide an axis."""

    name: ClassVar[str] = "split_part"
    sizes: Parts
    axis: Axis | None = None
    part: NonNegative

    def taken(self, shape: Shape) -> tuple[slice, ...]:
        axis = _features_of(self.axis, shape)
        if sum(self.sizes) != shape[axis]:
            found = f"sizes {list(self.sizes)} add up to {sum(self.sizes)}"
            raise ShapeError(f"{found}, and axis {axis} of {shape} has {shape[axis]}")
        if self.part >= len(self.sizes):
            raise ShapeError(f"there is no part {self.part} in {list(self.sizes)}, from 0 on")
        start = sum(self.sizes[: self.part])
        whole = [slice(0, size) for size in shape]
        whole[axis] = slice(start, start + self.sizes[self.part])
        return tuple(whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand(Op):
    """The input, each axis of size 1 as often as `shape` says. It costs as a copy does."""

    name: ClassVar[str] = "expand"
    shape: Sizes

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        fits = len(shape) == len(self.shape) and all(
            size in (1, wanted) for size, wanted in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"{shape} does not expand to {self.shape}")
        return self.shape

    def axes(self, shape: Shape) -> tuple[Read, ...]:
        """How each axis of the ofmap reads that of an ifmap of `shape`."""
        return tuple(
            Window(size=size, kernel=1)
            if size == wanted
            else Stretch(size=size, outputs=wanted, step=0)
            for size, wanted in zip(shape, self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Unary):
    """The identity at inference."""

    name: ClassVar[str] = "dropout"
    rate: Annotated[Real, Field(ge=0, lt=1)] = 0.5
