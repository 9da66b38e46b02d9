"""Sliding windows over feature maps."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from accelsim.errors import ShapeError
from accelsim.network.ops.fields import Shape, Sides
from accelsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window along one spatial axis of `size` elements, padded at both ends."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False

    @property
    def extent(self) -> int:
        """Elements from the first to the last tap of the kernel."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        """Positions of the window: floor((n + 2p - f)/s) + 1.

        With ceil_mode the division rounds up, but a window that would start in the padding
        after the data is dropped (Caffe's and PyTorch's rule).
        """
        room = self.size + self.before + self.after - self.extent
        if room < 0:
            return 0
        if not self.ceil_mode:
            return room // self.stride + 1
        count = ceil_div(room, self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= self.size + self.before else count

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The input elements [first, last) that outputs [start, stop) touch, padding left out."""
        first = start * self.stride - self.before
        last = (stop - 1) * self.stride - self.before + self.extent
        return min(max(first, 0), self.size), min(max(last, 0), self.size)


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding (before, after) that makes ceil(size / stride) outputs (TensorFlow's `SAME`)."""
    extent = (kernel - 1) * dilation + 1
    total = max((ceil_div(size, stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def windows_over(
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Sides | Literal["same"],
    dilation: tuple[int, int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Window, Window]:
    """The vertical and the horizontal window over a (C, H, W) feature map."""
    vertical, horizontal = (
        (padding[:2], padding[2:])
        if padding != "same"
        else (_same(*axis) for axis in zip(shape[1:], kernel, stride, dilation, strict=True))
    )
    rows, cols = (
        Window(
            size=shape[axis + 1],
            kernel=kernel[axis],
            stride=stride[axis],
            dilation=dilation[axis],
            before=before,
            after=after,
            ceil_mode=ceil_mode,
        )
        for axis, (before, after) in enumerate((vertical, horizontal))
    )
    if rows.outputs < 1 or cols.outputs < 1:
        raise ShapeError(
            f"the {rows.extent}x{cols.extent} kernel does not fit the padded input of "
            f"{rows.size + rows.before + rows.after}x{cols.size + cols.before + cols.after}; "
            "use a smaller kernel or dilation, or more padding"
        )
    return rows, cols


@dataclass(frozen=True, slots=True)
class PhaseAxis:
    """Which taps reach every stride-th position of an ifmap axis, and the window that they make.

    Position stride * i + at is reached by output p through tap r where stride * p + dilation * r -
    before equals it: taps `first`, `first` + `step`, ..., and outputs 1 apart for neighbours.
    """

    window: Window
    taps: tuple[int, ...]


def phase_axis(forward: Window, at: int) -> PhaseAxis | None:
    """The axis of one phase of an input gradient; None where no tap reaches it."""
    stride, dilation = forward.stride, forward.dilation
    taps = [r for r in range(forward.kernel) if (at + forward.before - r * dilation) % stride == 0]
    if not taps:
        return None
    apart = dilation // math.gcd(stride, dilation)
    reach = (len(taps) - 1) * apart
    before = reach - (at + forward.before - taps[0] * dilation) // stride
    outputs = ceil_div(forward.size - at, stride)
    after = outputs + reach - forward.outputs - before
    size = forward.outputs + min(after, 0)
    window = Window(
        size=size, kernel=len(taps), stride=1, dilation=apart, before=before, after=max(after, 0)
    )
    return PhaseAxis(window, tuple(reversed(taps)))


def phase_axes(
    forward: tuple[Window, Window], at: tuple[int, int]
) -> tuple[PhaseAxis, PhaseAxis] | None:
    """Down and across; None where no tap reaches the phase, as where strides exceed the kernel."""
    rows, cols = map(phase_axis, forward, at)
    return (rows, cols) if rows and cols else None


def phase_sides(forward: tuple[Window, Window], at: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a phase: 0 of one that begins behind the end."""
    rows, cols = (
        ceil_div(max(window.size - place, 0), window.stride)
        for window, place in zip(forward, at, strict=True)
    )
    return rows, cols


def meetings(window: Window, apart: int = 1) -> int:
    """Pairs of an output and a tap of a window of stride 1 that meet each `apart`-th position.

    Padding counts, as it does in the MACs of convolutions.
    """
    assert window.stride == 1
    first = (window.before - tap * window.dilation for tap in range(window.kernel))
    return sum(len(range(at % apart, window.outputs, apart)) for at in first)


def first_meetings(window: Window, apart: int = 1) -> int:
    """Taps with which the first output meets each `apart`-th position."""
    taps = (window.before - tap * window.dilation for tap in range(window.kernel))
    return sum(at % apart == 0 for at in taps)


def most_meetings(window: Window, apart: int = 1) -> int:
    """Taps with which an output meets each `apart`-th position, of the output that has most."""
    taps = (tap * window.dilation % apart for tap in range(window.kernel))
    return max(Counter(taps).values())


def turned(forward: Window) -> Window:
    """`forward` with its outputs and its taps in each other's place."""
    reach = (forward.outputs - 1) * forward.stride + (forward.kernel - 1) * forward.dilation + 1
    after = reach - forward.size - forward.before
    return Window(
        size=forward.size + min(after, 0),
        kernel=forward.outputs,
        stride=forward.dilation,
        dilation=forward.stride,
        before=forward.before,
        after=max(after, 0),
    )
