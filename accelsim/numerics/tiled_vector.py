"""The values of a vector kernel's tiles: one rule per layer type."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatchmethod

import numpy as np

from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.task import Span, Task, VectorTile
from accelsim.network.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    LeakyRelu,
    Lrn,
    MaxPool,
    Mul,
    Op,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
    Window,
)
from accelsim.numerics.arithmetic import Function, LeakyReluFunction, relu, sigmoid, tanh
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.reference import batch_norm_line
from accelsim.numerics.windows import Fill, feature_map, windows


@dataclass
class VectorExecutor:
    """Runs the tasks of a vector kernel, on inputs viewed as feature maps (N, C, H, W)."""

    kernel: VectorKernel
    work: Computation

    def run(self, tasks: Iterable[Task]) -> Ofmap:
        """Compute all tasks, in their order."""
        shape = (self.work.batch, *self.work.layer.output_shape)
        result = np.zeros(shape, self.work.inputs[0].values.dtype)
        ofmap = feature_map(result)
        for task in tasks:
            assert isinstance(task.tile, VectorTile)
            pixels, channels = task.tile.pixels, task.tile.channels
            ofmap[pixels.batch.slice, channels.slice, pixels.rows.slice, pixels.cols.slice] = (
                self.compute(self.work.layer.op, task.tile)
            )
        return Ofmap(result)

    @singledispatchmethod
    def compute(self, op: Op, tile: VectorTile) -> Array:
        """The values (n, c, p, q) of a tile: one rule per layer type."""
        raise NotImplementedError(f"no tiled rule for layers of type {op.name!r}")

    def inputs(self, tile: VectorTile) -> list[Tensor]:
        """Each input's part of an element-wise tile; one value per channel stays one."""
        return [Tensor(self.part(x, tile), x.quantization) for x in self.work.inputs]

    def part(self, x: Tensor, tile: VectorTile) -> Array:
        """The block (n, c, p, q) of an input under a tile, or (n, c, 1, 1)."""
        fmap = feature_map(x.values)
        block = fmap[tile.pixels.batch.slice, tile.channels.slice]
        if fmap.shape[2:] == (1, 1):
            return block
        return block[..., tile.pixels.rows.slice, tile.pixels.cols.slice]

    def taps(self, values: Array, tile: VectorTile, fill: Fill) -> Array:
        """The taps (n, c, R*S, p, q) of a pooling tile over `values` (N, C, H, W)."""
        block = values[tile.pixels.batch.slice, tile.channels.slice]
        taps = windows(block, self.kernel.rows, self.kernel.cols, tile.pixels, fill)
        return taps.reshape(*taps.shape[:2], -1, *taps.shape[-2:])

    @compute.register
    def _(self, op: MaxPool, tile: VectorTile) -> Array:
        (x,) = self.work.inputs
        taps = self.taps(x.values, tile, self.work.arithmetic.activation.lowest)
        return self.work.arithmetic.rescale(Tensor(taps.max(2), x.quantization), self.work.output)

    @compute.register
    def _(self, op: AvgPool, tile: VectorTile) -> Array:
        (x,) = self.work.inputs
        taps = self.taps(self.work.arithmetic.operand(x), tile, 0)
        wide = np.float32 if taps.dtype.kind == "f" else np.int64
        counts = np.outer(
            _counts(self.kernel.rows, tile.pixels.rows, op.count_padding),
            _counts(self.kernel.cols, tile.pixels.cols, op.count_padding),
        )
        sums = taps.sum(2, dtype=wide)
        return self.work.arithmetic.mean(sums, counts, x.quantization, self.work.output)

    @compute.register
    def _(self, op: Add, tile: VectorTile) -> Array:
        return self.work.arithmetic.add(self.inputs(tile), self.work.output, op.activation)

    @compute.register
    def _(self, op: Mul, tile: VectorTile) -> Array:
        x, y = self.inputs(tile)
        return self.work.arithmetic.multiply(x, y, self.work.output, op.activation)

    @compute.register
    def _(self, op: BatchNorm, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        slope, offset = (
            line[tile.channels.slice, None, None]
            for line in batch_norm_line(op, self.work.parameters)
        )
        return self.work.arithmetic.affine(x, slope, offset, self.work.output, op.activation)

    @compute.register(Relu)
    @compute.register(LeakyRelu)
    @compute.register(Sigmoid)
    @compute.register(Tanh)
    def _(self, op: Op, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        return self.work.arithmetic.apply(_function(op), x, self.work.output)

    @compute.register
    def _(self, op: Softmax, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        return self.work.arithmetic.softmax(x, 1, self.work.output)

    @compute.register
    def _(self, op: Lrn, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        operand = self.work.arithmetic.operand(x)
        wide = np.float32 if operand.dtype.kind == "f" else np.int64
        squares = np.square(operand, dtype=wide)
        sums = np.zeros_like(squares)
        for shift in range(-(op.size // 2), op.size // 2 + 1):
            near = slice(max(shift, 0), squares.shape[1] + min(shift, 0))
            here = slice(max(-shift, 0), squares.shape[1] + min(-shift, 0))
            sums[:, here] += squares[:, near]
        return self.work.arithmetic.normalise(x, sums, op, self.work.output)

    @compute.register
    def _(self, op: Concat, tile: VectorTile) -> Array:
        """The channels of a tile, each from the input that holds it."""
        parts, first = [], 0
        for x in self.work.inputs:
            channels = feature_map(x.values).shape[1]
            start = max(tile.channels.start - first, 0)
            stop = min(tile.channels.stop - first, channels)
            if start < stop:
                inside = VectorTile(tile.pixels, Span(start, stop))
                block = Tensor(self.part(x, inside), x.quantization)
                parts.append(self.work.arithmetic.rescale(block, self.work.output))
            first += channels
        return np.concatenate(parts, 1)


_FUNCTIONS: dict[type[Op], Function] = {Relu: relu, Sigmoid: sigmoid, Tanh: tanh}


def _function(op: Op) -> Function:
    if isinstance(op, LeakyRelu):
        return LeakyReluFunction(op.slope)
    return _FUNCTIONS[type(op)]


def _counts(window: Window, outputs: Span, count_padding: bool) -> Array:
    """How many taps of each output's window the mean divides by."""
    first = np.arange(outputs.start, outputs.stop)[:, None] * window.stride - window.before
    taps = first + np.arange(window.kernel) * window.dilation
    low, high = (-window.before, window.size + window.after) if count_padding else (0, window.size)
    counts: Array = ((taps >= low) & (taps < high)).sum(1)
    return counts
