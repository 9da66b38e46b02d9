"""Convolutions over a chosen subset of input maps, or over a learned combination of all.

LeCun et al. 1998, table I; Bouvrie, "Notes on Convolutional Neural Networks", 2006, section 3.3.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, only
from accelsim.network.ops.contractions import Conv
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import NonNegative, Padding, Pair, Positive, Real, Shape
from accelsim.network.ops.joins import Concat
from accelsim.network.ops.tokens import Composite

_MOST = 4096
Subset = Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=_MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps(Op):
    """Some maps of a feature map, by their numbers, in that order. It costs as a copy does."""

    name: ClassVar[str] = "maps"
    maps: Subset

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (3,))
        if max(self.maps) >= shape[0]:
            raise ShapeError(f"there is no map {max(self.maps)} in {shape}; they count from 0")
        return len(self.maps), *shape[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedConv(Composite):
    """A convolution each of whose maps reads only the input maps that `connections` lists for it.

    Neighbouring maps that read the same ones are one convolution, NAME/conv0 and so on, behind the
    maps that it reads, NAME/maps0; NAME/whole has all. Nothing is multiplied that is not connected.
    """

    name: ClassVar[str] = "connected_conv"
    connections: Annotated[tuple[Subset, ...], Field(min_length=1, max_length=_MOST)]
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    bias: bool = True
    activation: Activation | None = None

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        if len(inputs) != 1:
            raise ShapeError(f"takes one input, found {len(inputs)}")
        if any(len(set(maps)) < len(maps) for maps in self.connections):
            raise ShapeError("connections name a map twice")
        parts = [part for each in self._groups(name, inputs) for part in each]
        made = tuple(part for part, op, _ in parts if isinstance(op, Conv))
        return [*parts, (f"{name}/whole", Concat(), made)]

    def _groups(
        self, name: str, inputs: tuple[str, ...]
    ) -> Iterator[list[tuple[str, Op, tuple[str, ...]]]]:
        """For each subset of the input maps these, and the convolution that reads them."""
        for number, (maps, group) in enumerate(groupby(self.connections)):
            taken = f"{name}/maps{number}"
            conv = Conv(
                out_channels=len(list(group)),
                kernel=self.kernel,
                stride=self.stride,
                padding=self.padding,
                bias=self.bias,
                activation=self.activation,
            )
            yield [(taken, Maps(maps=maps), inputs), (f"{name}/conv{number}", conv, (taken,))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(Conv):
    """A 1x1 convolution whose weights of each map are shares, alpha = softmax(c); c is learned.

    x_j = f(sum_i alpha_ij x_i + b_j). The machine computes with alpha, which a step of training
    renews after c. `penalty` times the sum of |alpha| is added to the loss. Where weights are
    integers the codes of c are those of alpha.
    """

    name: ClassVar[str] = "mixture"
    kernel: Pair = field(default=(1, 1), init=False)
    stride: Pair = field(default=(1, 1), init=False)
    padding: Padding = field(default=(0, 0, 0, 0), init=False)
    dilation: Pair = field(default=(1, 1), init=False)
    groups: Positive = field(default=1, init=False)
    shares: str | None = field(default=None, init=False)
    input_gradient: Literal["phases", "zero_inserted"] = field(default="phases", init=False)
    in_channels: Positive | None = field(default=None, init=False, repr=False)
    penalty: Annotated[Real, Field(ge=0)] = 0.0

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        shares = {"c": (self.out_channels, inputs[0][0])}
        return shares | ({"bias": (self.out_channels,)} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(inputs[0]) * self.out_channels


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedConv(Composite):
    """x_j = f(sum_i alpha_ij (x_i * k_i) + b_j), alpha_j = softmax(c_j): Bouvrie, section 3.3.

    Each of the `in_channels` input maps has a kernel of its own, NAME/maps; NAME/mixed is their
    mixture.
    """

    name: ClassVar[str] = "combined_conv"
    in_channels: Positive
    out_channels: Positive
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    bias: bool = True
    activation: Activation | None = None
    penalty: Annotated[Real, Field(ge=0)] = 0.0

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        maps = Conv(
            out_channels=self.in_channels,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            groups=self.in_channels,
            in_channels=self.in_channels,
            bias=False,
        )
        mixed = Mixture(
            out_channels=self.out_channels,
            bias=self.bias,
            activation=self.activation,
            penalty=self.penalty,
        )
        return [(f"{name}/maps", maps, inputs), (f"{name}/mixed", mixed, (f"{name}/maps",))]
