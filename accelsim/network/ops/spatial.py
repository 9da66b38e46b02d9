"""Layers that make feature maps larger, or give every place weights of its own."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import (
    MOST_AXES,
    GivenPadding,
    MorePlaces,
    NonNegative,
    Number,
    Padding,
    Pair,
    Positive,
    Real,
    Shape,
)
from accelsim.network.ops.stretch import Read, Stretch
from accelsim.network.ops.tokens import Composite
from accelsim.network.ops.window import (
    PhaseAxis,
    Window,
    first_meetings,
    meetings,
    most_meetings,
    phase_axes,
    phase_sides,
    windows_over,
)

MOST_PHASES = 1024
"""Layers that a transposed convolution may be, with no product by an inserted zero."""
Count = Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=MOST_AXES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Op):
    """Values around a tensor: so many `before` and `after` it along each axis.

    They are `value`, the mirrored inside (`reflect`) or the nearest of it (`edge`). So many of
    `value` lie `between` two neighbours, too: XLA's interior padding. It costs as a copy does that
    reads only what lies inside.
    """

    name: ClassVar[str] = "pad"
    before: Count
    after: Count
    between: Count | None = None
    mode: Literal["constant", "reflect", "edge"] = "constant"
    value: Number = 0.0

    @property
    def step(self) -> Shape:
        """How far apart neighbours of the ifmap lie in the ofmap, along each axis."""
        return tuple(count + 1 for count in self.between or (0,) * len(self.before))

    def ends(self, shape: Shape) -> Shape:
        """Behind the last value of an ifmap of `shape`, along each axis of the ofmap."""
        axes = zip(self.before, shape, self.step, strict=True)
        return tuple(first + (size - 1) * step + 1 for first, size, step in axes)

    def axes(self, shape: Shape) -> tuple[Read, ...]:
        """How each axis of the ofmap reads that of an ifmap of `shape`: what is around, not at all.

        What is mirrored or repeated is read as what lies across from it.
        """
        sides = zip(shape, self.before, self.after, self.step, strict=True)
        return tuple(
            Window(size=size, kernel=1, before=before, after=after)
            if step == 1 and self.mode == "constant"
            else Stretch(
                size=size,
                outputs=before + (size - 1) * step + 1 + after,
                step=1,
                per=step,
                offset=-before,
            )
            for size, before, after, step in sides
        )

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs)
        if not len(shape) == len(self.before) == len(self.after) == len(self.step):
            given = "before and after" if self.between is None else "before, after and between"
            raise ShapeError(f"{given} need a number for each axis of {shape}")
        if self.mode != "constant" and any(self.between or ()):
            raise ShapeError(f"between neighbours lies only a constant, not mode {self.mode!r}")
        if self.mode == "reflect":
            self._refuse_far_mirrors(shape)
        return tuple(map(sum, zip(self.ends(shape), self.after, strict=True)))

    def _refuse_far_mirrors(self, shape: Shape) -> None:
        sides = zip(shape, self.before, self.after, strict=True)
        for axis, (size, before, after) in enumerate(sides):
            most = size - 1
            if max(before, after) > most:
                raise ShapeError(
                    f"{max(before, after)} values are mirrored on axis {axis} of {shape}, which "
                    f"has {most} inside: give {most} or fewer, or mode: edge"
                )


Scale = Annotated[Real, Field(gt=0)]
FINEST = 1 << 20
"""Places are counted in parts of a value that are no smaller than one in so many."""
Coordinates = Literal["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
_ROUNDED: dict[Rounding, tuple[Fraction, bool]] = {
    "floor": (Fraction(0), False),
    "ceil": (Fraction(0), True),
    "round_prefer_floor": (Fraction(-1, 2), True),
    "round_prefer_ceil": (Fraction(1, 2), False),
}
"""What is added to a place, and whether it is then rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(Op):
    """A feature map in another size: of each place the nearest value, or four around it weighted.

    `coordinates` says where a place lies in the ifmap, as ONNX's Resize does. Places are as far
    apart as `scales` says, where what is there times these is not just `size`.
    """

    name: ClassVar[str] = "resize"
    size: Pair
    scales: tuple[Scale, Scale] | None = None
    mode: Literal["nearest", "bilinear"] = "nearest"
    coordinates: Coordinates = "half_pixel"
    rounding: Rounding = "round_prefer_floor"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return only(inputs, (3,))[0], *self.size

    def axes(self, shape: Shape) -> tuple[Read, ...]:
        """How each axis of the ofmap reads that of an ifmap of `shape` (C, H, W)."""
        return (
            Window(size=shape[0], kernel=1),
            *(self._axis(axis, shape[axis + 1]) for axis in (0, 1)),
        )

    def _axis(self, axis: int, size: int) -> Stretch:
        """A place is rounded down, with a half or almost one before for other ways of rounding."""
        apart, first = self._line(axis, size)
        nearest = self.mode == "nearest"
        more, up = _ROUNDED[self.rounding if nearest else "floor"]
        per = math.lcm(apart.denominator, (first + more).denominator)
        offset = int((first + more) * per) + up * (per - 1)
        return Stretch(
            size=size,
            outputs=self.size[axis],
            step=int(apart * per),
            per=per,
            offset=offset,
            near=1 if nearest else 2,
        )

    def _line(self, axis: int, size: int) -> tuple[Fraction, Fraction]:
        """How far apart places down (axis 0) or across lie among `size` values, and the first."""
        wanted = self.size[axis]
        if self.coordinates == "align_corners":
            return Fraction(size - 1, max(wanted - 1, 1)), Fraction(0)
        if self.coordinates == "pytorch_half_pixel" and wanted == 1:
            return Fraction(0), Fraction(0)
        apart = Fraction(size, wanted)
        if self.scales is not None:
            apart = Fraction(1 / self.scales[axis]).limit_denominator(FINEST)
        return apart, Fraction(0) if self.coordinates == "asymmetric" else (apart - 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Op):
    """A convolution whose every place has weights and biases of its own (unshared)."""

    name: ClassVar[str] = "local"
    out_channels: Positive
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    bias: bool = True
    activation: Activation | None = None

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The vertical and horizontal window over an ifmap of `shape` (C, H, W)."""
        return windows_over(shape, self.kernel, self.stride, self.padding)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        rows, cols = self.windows(only(inputs, (3,)))
        return self.out_channels, rows.outputs, cols.outputs

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        """One filter (C, R, S) for each value of the ofmap (K, P, Q)."""
        places = self.output_shape(inputs)
        weight = (*places, inputs[0][0], *self.kernel)
        return {"weight": weight} | ({"bias": places} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.parameter_shapes(inputs)["weight"])


# --- Transposed convolution -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deconvolution(Op):
    """The keys of a transposed convolution: what a convolution with these would have read.

    Its ofmap has (n - 1) * stride + (kernel - 1) * dilation + 1 - padding + output_padding rows,
    columns likewise.
    """

    out_channels: Positive
    kernel: Pair
    stride: Pair = (1, 1)
    padding: GivenPadding = (0, 0, 0, 0)
    output_padding: MorePlaces = (0, 0)
    dilation: Pair = (1, 1)
    groups: Positive = 1
    bias: bool = True
    activation: Activation | None = None

    def whole(self, shape: Shape) -> Shape:
        """The shape of the ofmap of all phases."""
        if shape[0] % self.groups or self.out_channels % self.groups:
            channels = f"{shape[0]} channels to {self.out_channels}"
            raise ShapeError(
                f"{channels} do not divide into {self.groups} groups; "
                f"groups must divide {math.gcd(shape[0], self.out_channels)}"
            )
        rows, cols = self.forward(shape)
        return self.out_channels, rows.size, cols.size

    def forward(self, shape: Shape) -> tuple[Window, Window]:
        """The windows of the convolution that reads the ofmap and makes `shape`."""
        rows, cols = (self._axis(axis, shape[1 + axis]) for axis in (0, 1))
        return rows, cols

    def _axis(self, axis: int, size: int) -> Window:
        """The window down (axis 0) or across that makes `size` values."""
        kernel, stride, dilation = self.kernel[axis], self.stride[axis], self.dilation[axis]
        (before, after), more = self.padding[2 * axis :][:2], self.output_padding[axis]
        outputs = (size - 1) * stride + (kernel - 1) * dilation + 1 - before - after + more
        if more >= stride:
            raise ShapeError(f"output_padding {more} is not less than the stride of {stride}")
        if outputs < 1:
            raise ShapeError(f"the padding of {before + after} leaves nothing of the ofmap")
        return Window(
            size=outputs,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            before=before,
            after=after,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Deconvolution):
    """Every stride-th row and column of a transposed convolution, from `at` on.

    A convolution of stride 1 with those taps that reach them: nothing is multiplied by an inserted
    zero. Where no tap reaches them they are the bias, behind the activation. The weight is
    (out_channels, C, R, S), that of the layer called `owner` if it has one.

    Where values of the ifmap lie `apart`, with inserted zeros between, it is all of a transposed
    convolution of that stride, and products of these zeros are `zero_macs`.
    """

    name: ClassVar[str] = "conv_transpose_phase"
    at: tuple[NonNegative, NonNegative] = (0, 0)
    owner: str | None = None
    apart: Pair = (1, 1)

    @property
    def owner_of_parameters(self) -> str | None:
        return self.owner

    def axes(self, shape: Shape) -> tuple[PhaseAxis, PhaseAxis] | None:
        """Down and across; None where no tap reaches it."""
        return phase_axes(self.forward(shape), self.at)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if self.apart != (1, 1) and self.stride != (1, 1):
            raise ShapeError(f"values that lie {self.apart} apart need a stride of 1")
        if any(place >= step for place, step in zip(self.at, self.stride, strict=True)):
            raise ShapeError(f"a stride of {self.stride} has no phase at {self.at}")
        shape = only(inputs, (3,))
        self.whole(shape)
        return self.out_channels, *phase_sides(self.forward(shape), self.at)

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        if self.owner is not None:
            return {}
        weight = (self.out_channels, inputs[0][0] // self.groups, *self.kernel)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def terms(self, shape: Shape) -> int:
        """Products of the first value of the ofmap, those with inserted zeros left out."""
        return self._products(shape, lambda axis, step: first_meetings(axis.window, step))

    def most_terms(self, shape: Shape) -> int:
        """Products of the value of the ofmap that has most."""
        return self._products(shape, lambda axis, step: most_meetings(axis.window, step))

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        met = self._products(inputs[0], lambda axis, step: meetings(axis.window, step))
        return self.out_channels * met

    def zero_macs(self, inputs: tuple[Shape, ...]) -> int:
        done = self._products(inputs[0], lambda axis, _: meetings(axis.window))
        return self.out_channels * done - self.macs(inputs)

    def _products(self, shape: Shape, counted: Callable[[PhaseAxis, int], int]) -> int:
        """Channels of a group times what is `counted` down and across, values so far apart."""
        axes = self.axes(shape)
        met = map(counted, axes, self.apart) if axes else (0,)
        return shape[0] // self.groups * math.prod(met)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases(Op):
    """Maps of every stride-th row and column as one: each is written in its place."""

    name: ClassVar[str] = "phases"
    stride: Pair

    @property
    def places(self) -> list[tuple[int, int]]:
        """Where each begins, in the order of the inputs."""
        return list(product(range(self.stride[0]), range(self.stride[1])))

    def of(self, inputs: tuple[Shape, ...]) -> "Phases":
        """The same of those inputs that have values: a small ofmap lacks the last phases."""
        across = self.stride[1]
        rows = sum(0 not in shape for shape in inputs[::across])
        cols = sum(0 not in shape for shape in inputs[:across])
        return Phases(stride=(rows, cols))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        down, across = self.stride
        if len(inputs) != down * across:
            raise ShapeError(f"takes {down * across} inputs, found {len(inputs)}")
        rows = sum(shape[1] for shape in inputs[::across])
        cols = sum(shape[2] for shape in inputs[:across])
        whole = (inputs[0][0], rows, cols)
        for (top, left), shape in zip(self.places, inputs, strict=True):
            wanted = (whole[0], -(-(rows - top) // down), -(-(cols - left) // across))
            if shape != wanted:
                raise ShapeError(f"the phase at {top}, {left} has shape {shape}, needs {wanted}")
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvTranspose(Deconvolution, Composite):
    """Transposed convolution: a layer for each phase of the stride, NAME/0_0 and so on.

    NAME/0_0 has the weight (out_channels, C, R, S) and the bias of all of them. `zero_inserted` it
    is one layer NAME/0_0 behind NAME/spread, a copy of the ifmap with zeros between its values.
    """

    name: ClassVar[str] = "conv_transpose"
    form: Literal["phases", "zero_inserted"] = "phases"

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        if len(inputs) != 1:
            raise ShapeError(f"takes one input, found {len(inputs)}")
        keys = {key.name: getattr(self, key.name) for key in fields(Deconvolution)}
        if self.stride == (1, 1):
            return [(f"{name}/0_0", Phase(**keys), inputs)]
        if self.form == "zero_inserted":
            return self._spread(name, keys, inputs)
        if self.stride[0] * self.stride[1] > MOST_PHASES:
            raise ShapeError(
                f"a stride of {self.stride} has more than {MOST_PHASES:,} phases, each a layer; "
                "form: zero_inserted is two layers, whatever the stride"
            )
        join = Phases(stride=self.stride)
        names = [f"{name}/{down}_{across}" for down, across in join.places]
        phases = [
            (part, Phase(**keys, at=at, owner=names[0] if part != names[0] else None), inputs)
            for part, at in zip(names, join.places, strict=True)
        ]
        return [*phases, (f"{name}/whole", join, tuple(names))]

    def _spread(
        self, name: str, keys: dict[str, Any], inputs: tuple[str, ...]
    ) -> list[tuple[str, Op, tuple[str, ...]]]:
        """A convolution of stride 1, and before it its ifmap with zeros between the values."""
        (down, across), more = self.stride, self.output_padding
        spread = Pad(before=(0, 0, 0), after=(0, *more), between=(0, down - 1, across - 1))
        plain = keys | {"stride": (1, 1), "output_padding": (0, 0)}
        return [
            (f"{name}/spread", spread, inputs),
            (f"{name}/0_0", Phase(**plain, apart=self.stride), (f"{name}/spread",)),
        ]
