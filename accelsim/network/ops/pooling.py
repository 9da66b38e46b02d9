"""Pooling: a maximum or a mean over windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, only
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import Kernel, Padding, Pair, Shape
from accelsim.network.ops.window import Window, windows_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Op):
    """What both poolings share; kernel `global` covers the whole feature map."""

    kernel: Kernel
    stride: Pair | None = field(default=None)
    padding: Padding = (0, 0, 0, 0)
    ceil_mode: bool = False

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The vertical and horizontal window over an ifmap of `shape` (C, H, W)."""
        kernel = (shape[1], shape[2]) if self.kernel == "global" else self.kernel
        return windows_over(
            shape, kernel, self.stride or kernel, self.padding, ceil_mode=self.ceil_mode
        )

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (3,))
        rows, cols = self.windows(shape)
        for window in (rows, cols):
            if max(window.before, window.after) >= window.kernel:
                raise ShapeError(
                    f"padding {max(window.before, window.after)} leaves a window of "
                    f"{window.kernel} with no data; pad less than the kernel"
                )
        return shape[0], rows.outputs, cols.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins. The stride defaults to the kernel."""

    name: ClassVar[str] = "max_pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgPool(Pool):
    """Mean over a window; the stride defaults to the kernel.

    With count_padding the divisor counts padded positions too (but not what ceil_mode adds
    beyond them); without, only data.
    """

    name: ClassVar[str] = "avg_pool"
    count_padding: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SubSampling(Pool):
    """f(beta * sum over a window + bias), beta and bias learned per map; f is the activation.

    It is the S layer of LeNet-5 and of Bouvrie, "Notes on Convolutional Neural Networks", 2006,
    section 3.2. The stride defaults to the kernel.
    """

    name: ClassVar[str] = "sub_sampling"
    activation: Activation | None = None

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"beta": inputs[0][:1], "offset": inputs[0][:1]}
