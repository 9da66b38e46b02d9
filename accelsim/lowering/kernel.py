"""The three forms of what a layer computes, and what many rules for them share.

A GemmKernel runs on the array (convolution, dense, matmul), a VectorKernel on the vector unit,
and an Alias moves nothing: its ofmap is its inputs' bytes under another name.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.dataflow import Gemm
from accelsim.network.graph import Layer
from accelsim.network.ops import (
    Conv,
    Expand,
    Op,
    Pad,
    Read,
    Resize,
    Shape,
    Softmax,
    Stretch,
    Window,
)
from accelsim.network.ops.fields import is_per_channel

Count = TypeVar("Count", int, NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class GemmKernel:
    """`groups` independent GEMMs, each a convolution of one group.

    `channels` (C) and `filters` (K) count one group; `rows` and `cols` are the windows that make
    the P x Q ofmap. A dense layer is a 1x1 convolution of a 1x1 feature map, a matrix a
    feature map one pixel wide; in a matmul each image is a group, for its filter differs. Where a
    DMA leaves rows out, `rows` is over those that it brings, of the ifmap's `whole_rows`. An
    `addend` as large as the ofmap streams in as that goes out, and windows over it are `pooled`.
    """

    batch: int
    groups: int
    filters: int
    channels: int
    rows: Window
    cols: Window
    filter_is_input: bool = False
    whole_rows: Window | None = None
    addend: bool = False
    pooled: tuple[Window, Window] | None = None

    @property
    def written_sides(self) -> tuple[int, int]:
        """Rows and columns of a plane of the ofmap, as it leaves."""
        rows, cols = self.pooled or (None, None)
        return (rows or self.rows).outputs, (cols or self.cols).outputs

    @property
    def written_words(self) -> int:
        """Words of the ofmap, as it leaves."""
        down, across = self.written_sides
        return self.batch * self.groups * self.filters * down * across

    @property
    def ifmap_sides(self) -> tuple[int, int]:
        """Rows and columns of a plane of the ifmap, as tiles take them from DRAM.

        Where a DMA leaves rows out, those it takes lie further apart, on the mean.
        """
        whole = self.whole_rows
        if whole is None:
            return self.rows.size, self.cols.size
        return self.rows.size, self.cols.size * whole.stride // whole.extent

    @property
    def gemm(self) -> Gemm:
        """The GEMM of one group."""
        pixels = self.batch * self.rows.outputs * self.cols.outputs
        lines = self.lines(self.batch, self.rows.outputs)
        return Gemm(
            m=pixels, n=self.filters, k=self.channels * self.taps, taps=self.taps, lines=lines
        )

    def lines(self, batch: Count, rows: Count) -> Count:
        """Rows that the pixels of so many images and ofmap rows lie in.

        A matrix has its rows one after another in one, and images of one pixel follow likewise.
        """
        if self.cols.outputs > 1:
            return batch * rows
        return batch if self.rows.outputs > 1 else batch // batch

    @property
    def windows(self) -> tuple[Window, Window]:
        """Down and across."""
        return self.rows, self.cols

    @property
    def taps(self) -> int:
        """Kernel positions R*S per channel."""
        return self.rows.kernel * self.cols.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return self.groups * self.gemm.macs


@dataclass(frozen=True, slots=True)
class VectorKernel:
    """Window or element-wise work on `channels` planes of a rows x cols ofmap.

    `operations` is the lane-cycles per ofmap element. `inputs` lists the ifmaps: True for a
    full one, False for one value per channel. An output needs `reach` more channels on each side.
    `tap_operations` are those per tap of a window that may be cut by taps; 0: it may not. `passes`
    are the operations per element of each pass over all channels, where a tile does not hold them
    all; empty: channels do not depend on each other. `filtered`: every channel has a filter, of a
    word for each tap, which its tiles load with their ifmaps; its products are MACs. `uncut`: a
    tile has all channels, as what it takes for one depends on how many there are. `lies`: how its
    channels lie in those of the ifmap, where they are not the same.
    """

    batch: int
    channels: int
    rows: Read
    cols: Read
    operations: int
    inputs: tuple[bool, ...] = (True,)
    reach: int = 0
    tap_operations: int = 0
    passes: tuple[int, ...] = ()
    filtered: bool = False
    uncut: bool = False
    lies: Read | None = None
    own_tap: int | None = None

    @property
    def kept_each(self) -> int:
        """Words for each output that parts of its window keep: the sum so far, and its own."""
        return 1 if self.own_tap is None else 2

    @property
    def kept(self) -> int:
        """Values for each pixel that its passes keep: each but the last makes one."""
        return max(len(self.passes) - 1, 0)

    @property
    def around(self) -> Window:
        """The window along the channels of what needs those around."""
        return Window(
            size=self.channels, kernel=2 * self.reach + 1, before=self.reach, after=self.reach
        )

    @property
    def depth(self) -> Read:
        """How its channels read those of the ifmap."""
        return self.around if self.lies is None else self.lies

    @property
    def windows(self) -> tuple[Window, Window]:
        """Down and across, of what has any."""
        assert isinstance(self.rows, Window)
        assert isinstance(self.cols, Window)
        return self.rows, self.cols

    @property
    def taps(self) -> int:
        """Kernel positions R*S per channel."""
        return self.rows.kernel * self.cols.kernel

    @property
    def outputs(self) -> int:
        """Elements of the ofmap."""
        return self.batch * self.channels * self.rows.outputs * self.cols.outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole layer."""
        return self.outputs * self.taps * self.filtered

    @property
    def operations_total(self) -> int:
        """Lane-cycles of the whole layer, in tiles of whole windows and all channels."""
        return self.outputs * self.operations


@dataclass(frozen=True, slots=True)
class Alias:
    """No work: views, and a concat whose inputs were written in place."""


Kernel = GemmKernel | VectorKernel | Alias


def each(size: int) -> Window:
    """A window that takes one element after another."""
    return Window(size=size, kernel=1)


def weight_gradient(
    windows: tuple[Window, Window], conv: Conv, channels: int, batch: int
) -> GemmKernel:
    """The gradient of filters over `channels`: these take the place of images, and images that of
    channels, which are summed."""
    rows, cols = windows
    return GemmKernel(
        batch=channels // conv.groups,
        groups=conv.groups,
        filters=conv.out_channels // conv.groups,
        channels=batch,
        rows=rows,
        cols=cols,
        filter_is_input=True,
    )


def planes(shape: Shape) -> tuple[int, int, int]:
    """A shape as (channels, rows, cols): a matrix's features and a vector are channels.

    Of more than three axes the first ones together are channels.
    """
    if len(shape) >= 3:
        return math.prod(shape[:-2]), shape[-2], shape[-1]
    return (shape[1], shape[0], 1) if len(shape) == 2 else (shape[0], 1, 1)


def each_element(operations: int, passes: tuple[int, ...] = ()) -> Callable[..., Kernel]:
    """Work on every value by itself; operations are those of one, or of two that are joined."""

    def kernel(op: Op, layer: Layer, batch: int) -> Kernel:
        channels, rows, cols = planes(layer.output_shape)
        whole = layer.output_elements
        full = tuple(
            math.prod(shape) == whole or not is_per_channel(shape, layer.output_shape)
            for shape in layer.input_shapes
        )
        work = operations * max(len(full) - 1, 1)
        return VectorKernel(
            batch=batch,
            channels=channels,
            rows=each(rows),
            cols=each(cols),
            operations=work,
            inputs=full,
            passes=passes,
        )

    return kernel


def copy_of(layer: Layer, batch: int) -> VectorKernel:
    """What is copied, as a concat that cannot be in place: each element passes the unit once."""
    channels, rows, cols = planes(layer.output_shape)
    return VectorKernel(
        batch=batch, channels=channels, rows=each(rows), cols=each(cols), operations=1
    )


def copy_along(op: Pad | Resize | Expand, layer: Layer, batch: int) -> VectorKernel:
    """A copy whose axes read those of the ifmap as `op` says.

    Where axes that count together as channels are not read like one, every value counts as one
    that is read.
    """
    axes = op.axes(layer.input_shapes[0])
    if len(axes) > 2:
        deep, rows, cols = _as_one(axes[:-2]), *axes[-2:]
    else:
        deep, rows, cols = axes[-1], *(*axes[:-1], each(1), each(1))[:2]
    if deep is None:
        return copy_of(layer, batch)
    return VectorKernel(
        batch=batch, channels=deep.outputs, rows=rows, cols=cols, operations=1, lies=deep
    )


def _as_one(axes: Sequence[Read]) -> Read | None:
    """Axes of which the last one is fastest as one; None where they are not read so."""
    *outer, last = axes
    count = math.prod(axis.size for axis in outer)
    if not outer:
        return last
    if any(axis != each(axis.size) for axis in outer):
        return None
    if last == each(last.size):
        return each(count * last.size)
    repeats = isinstance(last, Stretch) and last.size == 1
    return Stretch(size=count, outputs=count * last.outputs, per=last.outputs) if repeats else None


def filled(layer: Layer, batch: int) -> VectorKernel:
    """What depends on no input: its values are written, and nothing is read."""
    return replace(copy_of(layer, batch), inputs=())


def over_axis(op: Softmax, layer: Layer, batch: int, passes: tuple[int, ...]) -> VectorKernel:
    """The axes before the one that is normalised are images, those behind it are pixels."""
    shape, axis = layer.output_shape, op.along(layer.output_shape)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    sizes = (batch * outer, shape[axis], each(inner), each(1))
    inputs = (True,) * len(layer.inputs)
    return VectorKernel(*sizes, operations=sum(passes), inputs=inputs, passes=passes)


def alias(op: Op, layer: Layer, batch: int) -> Kernel:
    """Nothing to do."""
    return Alias()
