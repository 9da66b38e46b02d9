"""Layers of multiply-accumulates: they run on the array."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import Padding, Pair, Positive, Shape
from accelsim.network.ops.window import Window, windows_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Op):
    """Two-dimensional convolution; depthwise is groups = in_channels.

    It computes with the weight of the layer that it `shares` with, if it names one, and with that
    one's bias if it has a `bias`. Its `input_gradient` may be one convolution over the gradient
    with zeros between its values, where training takes the phases of the stride else. Where it
    says `in_channels`, its ifmap has so many.
    """

    name: ClassVar[str] = "conv"
    out_channels: Positive
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: Positive = 1
    bias: bool = True
    activation: Activation | None = None
    shares: str | None = None
    input_gradient: Literal["phases", "zero_inserted"] = "phases"
    in_channels: Positive | None = field(default=None, repr=False)

    @property
    def owner_of_parameters(self) -> str | None:
        return self.shares

    def weight_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The shape of its weight, (K, C / groups, R, S), its own or another layer's."""
        return (self.out_channels, inputs[0][0] // self.groups, *self.kernel)

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The vertical and horizontal window over an ifmap of `shape` (C, H, W)."""
        return windows_over(shape, self.kernel, self.stride, self.padding, self.dilation)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (3,))
        if self.in_channels not in (None, shape[0]):
            raise ShapeError(
                f"in_channels is {self.in_channels}, but its input has {shape[0]} maps; "
                f"say in_channels: {shape[0]}"
            )
        self._refuse_uneven_groups(shape[0])
        rows, cols = self.windows(shape)
        return self.out_channels, rows.outputs, cols.outputs

    def _refuse_uneven_groups(self, channels: int) -> None:
        """Raise ShapeError unless `groups` divide the channels of the ifmap and of the ofmap."""
        common = math.gcd(channels, self.out_channels)
        may = f"with {channels} in and {self.out_channels} out, groups must divide {common}"
        parts = f"divide into {self.groups} groups; {may}"
        if channels % self.groups:
            raise ShapeError(f"{channels} input channels do not {parts}")
        if self.out_channels % self.groups:
            raise ShapeError(f"out_channels {self.out_channels} does not {parts}")

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        if self.shares is not None:
            return {}
        weight = self.weight_shape(inputs)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.output_shape(inputs)) * math.prod(self.weight_shape(inputs)[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Op):
    """Fully connected: a feature map is flattened first; a matrix is mapped row by row.

    It computes with the weight of the layer that it `shares` with, if it names one, and with that
    one's bias if it has a `bias`.
    """

    name: ClassVar[str] = "dense"
    out_features: Positive
    bias: bool = True
    activation: Activation | None = None
    shares: str | None = None

    @property
    def owner_of_parameters(self) -> str | None:
        return self.shares

    def weight_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The shape of its weight, its own or another layer's."""
        features = inputs[0][1] if len(inputs[0]) == 2 else math.prod(inputs[0])
        return self.out_features, features

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (1, 2, 3))
        return (shape[0], self.out_features) if len(shape) == 2 else (self.out_features,)

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        if self.shares is not None:
            return {}
        weight = self.weight_shape(inputs)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.output_shape(inputs)) * self.weight_shape(inputs)[1]
