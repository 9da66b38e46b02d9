"""Gradients of transposed and unshared convolutions, and of what pads and resizes."""

import math
from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.connections import Maps
from accelsim.network.ops.contractions import Conv
from accelsim.network.ops.fields import Shape
from accelsim.network.ops.gradient import Gradient, ParameterGradient
from accelsim.network.ops.joins import Slice
from accelsim.network.ops.spatial import Local, Pad, Resize
from accelsim.network.ops.window import Window, turned

# --- Transposed convolution: `conv` is what reads its ofmap, of shape `whole`, and makes its ifmap


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedInputGradient(Gradient):
    """The convolution `conv` of the gradient, with the owner's weight."""

    name: ClassVar[str] = "conv_transpose_input_gradient"
    conv: Conv
    whole: Shape

    @property
    def windows(self) -> tuple[Window, Window]:
        """Over the gradient."""
        return self.conv.windows(self.whole)

    @property
    def terms(self) -> int:
        """Products of a value."""
        rows, cols = self.windows
        return self.whole[0] // self.conv.groups * rows.kernel * cols.kernel

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.shape) * self.terms


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedWeightGradient(ParameterGradient):
    """Of a weight (K, C, R, S): the gradient correlated with the ifmap; reads both."""

    name: ClassVar[str] = "conv_transpose_weight_gradient"
    conv: Conv
    whole: Shape

    @property
    def windows(self) -> tuple[Window, Window]:
        """The ifmap is the kernel that slides over the gradient to the R x S taps."""
        rows, cols = (turned(window) for window in self.conv.windows(self.whole))
        return rows, cols

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        rows, cols = self.windows
        return math.prod(self.shape) * rows.kernel * cols.kernel


# --- Unshared convolution -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWeightGradient(ParameterGradient):
    """Place by place the gradient times the window, summed over images."""

    name: ClassVar[str] = "local_weight_gradient"
    local: Local

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalColumns(Gradient):
    """Place by place the gradient times the transposed weight: (CRS, P, Q), windows apart."""

    name: ClassVar[str] = "local_columns"
    local: Local

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.shape) * self.local.out_channels


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsFold(Gradient):
    """Windows that lie apart, (CRS, P, Q), added up where they overlap."""

    name: ClassVar[str] = "columns_fold"
    local: Local


# --- Moved values ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisGradient(Gradient):
    """Each gradient to the places that `forward` read for it, times their shares."""

    name: ClassVar[str] = "axis_gradient"
    forward: Pad | Resize | Maps


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPad(Pad):
    """A gradient with zeros between its values."""

    name: ClassVar[str] = "gradient_pad"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSlice(Slice):
    """The part of a gradient that belongs to an input."""

    name: ClassVar[str] = "gradient_slice"
    phase: ClassVar[str] = "input_gradient"
