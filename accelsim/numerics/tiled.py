"""The tiled executor: computes the values of the very tasks that the engine times.

Each task reads only the part of its operands that its tile names, psums stay with the output tile
between the tasks of a sum, and an ofmap element is written by the task that completes it. So an
ofmap that equals the reference proves the schedule right: every MAC once, every halo there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import singledispatchmethod

import numpy as np

from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.task import GemmTile, Pixels, Span, Task, VectorTile
from accelsim.lowering.tiles import ifmap_region
from accelsim.network.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    LeakyRelu,
    Lrn,
    MatMul,
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
from accelsim.numerics.gemm import Psum
from accelsim.numerics.reference import batch_norm_line

Fill = int | float

_BUNDLED_ELEMENTS = 2**20  # psums of sums that are computed side by side
_HELD_ELEMENTS = 2**22
"""Operands of up to this many words are converted to floats at once, in 16 MiB."""


def execute(program: LayerProgram, work: Computation) -> Ofmap:
    """The ofmap of one layer, (N, *output_shape), computed task by task."""
    match program.kernel:
        case GemmKernel() as kernel:
            return _GemmExecutor(kernel, work, _operands(kernel, work)).run(program.all_tasks)
        case VectorKernel() as kernel:
            return _VectorExecutor(kernel, work).run(program.all_tasks)
        case _:
            return Ofmap(_alias(work))


def _alias(work: Computation) -> Array:
    """A view of the inputs, one after another where there are several."""
    shape = (work.batch, *work.layer.output_shape)
    if not isinstance(work.layer.op, Concat):
        return work.inputs[0].values.reshape(shape)
    parts = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
    return np.concatenate(parts, 1 + work.layer.op.axis(work.layer.output_shape))


def _feature_map(values: Array) -> Array:
    """(N, ...) viewed as (N, C, H, W): features of vectors and matrices are channels."""
    if values.ndim == 4:
        return values
    if values.ndim == 3:
        return values.transpose(0, 2, 1)[..., None]
    return values[..., None, None]


def _windows(values: Array, rows: Window, cols: Window, pixels: Pixels, fill: Fill) -> Array:
    """The taps (..., R, S, p, q) of a block of the ofmap over `values` (..., H, W).

    Only the ifmap region of the block is read; what its windows reach beyond is `fill`.
    """
    down, across = ifmap_region(rows, cols, pixels)
    height, width = _reach(rows, pixels.rows), _reach(cols, pixels.cols)
    region = values[..., down.slice, across.slice]
    if region.shape[-2:] != (height, width):
        padded = np.full((*values.shape[:-2], height, width), fill, values.dtype)
        top = down.start - (pixels.rows.start * rows.stride - rows.before)
        left = across.start - (pixels.cols.start * cols.stride - cols.before)
        padded[..., top : top + down.size, left : left + across.size] = region
        region = padded
    *outer, row, col = region.strides
    taps = (rows.kernel, cols.kernel, pixels.rows.size, pixels.cols.size)
    steps = (row * rows.dilation, col * cols.dilation, row * rows.stride, col * cols.stride)
    return np.lib.stride_tricks.as_strided(
        region, (*region.shape[:-2], *taps), (*outer, *steps), writeable=False
    )


def _reach(window: Window, outputs: Span) -> int:
    """Positions, padding included, from the first tap to the last of some outputs."""
    return (outputs.size - 1) * window.stride + window.extent


# --- GEMM kernels ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _GemmOperands:
    """A layer's arrays, viewed as its kernel counts them; G groups, images first.

    `ifmap` (N, G, C, H, W), `weight` (G, K, C, R*S), `bias` (G, K) or None, `unit` (G, K, 1):
    what 1 in a psum stands for. `ofmap` (N, G, K, P, Q) writes through to `result`.
    """

    ifmap: Array
    weight: Array
    bias: Array | None
    unit: Array
    result: Array
    ofmap: Array


def _operands(kernel: GemmKernel, work: Computation) -> _GemmOperands:
    result = np.zeros((work.batch, *work.layer.output_shape), work.inputs[0].values.dtype)
    if isinstance(work.layer.op, MatMul):
        return _matmul_operands(work, result)
    x, parameters = work.inputs[0], work.parameters
    groups, filters = kernel.groups, kernel.filters
    scale = np.float32(x.quantization.scale) * parameters.weight_scale
    bias = parameters.bias
    return _GemmOperands(
        _grouped(work.arithmetic.operand(x), groups, work.layer.op),
        work.arithmetic.operand(parameters.weight).reshape(groups, filters, kernel.channels, -1),
        None if bias is None else bias.reshape(groups, filters),
        np.broadcast_to(scale, groups * filters).reshape(groups, filters, 1),
        result,
        _grouped(result, groups, work.layer.op),
    )


def _grouped(values: Array, groups: int, op: Op) -> Array:
    """(N, ...) viewed as (N, G, C, H, W); a dense layer flattens feature maps."""
    if not isinstance(op, Conv) and values.ndim == 4:
        values = values.reshape(len(values), -1)
    fmap = _feature_map(values)
    return fmap.reshape(len(fmap), groups, -1, *fmap.shape[2:])


def _matmul_operands(work: Computation, result: Array) -> _GemmOperands:
    """Each image is a group, with a filter of its own."""
    x, y = work.inputs
    unit = np.float32(x.quantization.scale) * np.float32(y.quantization.scale)
    weight = work.arithmetic.operand(y).swapaxes(1, 2)
    return _GemmOperands(
        _feature_map(work.arithmetic.operand(x))[None],
        weight[..., None],
        None,
        np.broadcast_to(unit, (*weight.shape[:2], 1)),
        result,
        _feature_map(result)[None],
    )


def side_by_side(tasks: Iterable[Task]) -> Iterator[list[GemmTile]]:
    """The tiles of each sum, in their order; sums that go alike are widened into one.

    A sum is all that the tasks do to an output tile. Where neighbouring filters of the same
    pixels take the same channels in the same order, their rows share a matrix product.
    """
    sums: dict[tuple[int, int, int], list[GemmTile]] = {}
    for task in tasks:
        tile = task.tile
        assert isinstance(tile, GemmTile)
        sums.setdefault((id(tile.groups), id(tile.pixels), id(tile.filters)), []).append(tile)
    alike: dict[tuple[object, ...], list[list[GemmTile]]] = {}
    for tiles in sums.values():
        course = tuple((id(tile.channels), tile.first, tile.last) for tile in tiles)
        key = (id(tiles[0].groups), id(tiles[0].pixels), course)
        alike.setdefault(key, []).append(tiles)
    for bundle in alike.values():
        for filters in _neighbours(bundle):
            yield [replace(tile, filters=filters) for tile in bundle[0]]


def _neighbours(bundle: Sequence[Sequence[GemmTile]]) -> Iterator[Span]:
    """The filters of sums that go alike, joined where one begins at the end of another."""
    most = max(_BUNDLED_ELEMENTS // bundle[0][0].pixels.count, 1)
    joined = bundle[0][0].filters
    for tiles in bundle[1:]:
        filters = tiles[0].filters
        if filters.start == joined.stop and filters.stop - joined.start <= most:
            joined = Span(joined.start, filters.stop)
        else:
            yield joined
            joined = filters
    yield joined


@dataclass
class _GemmExecutor:
    """Runs the tasks of a GEMM kernel. `overflowed` counts psums that did not fit."""

    kernel: GemmKernel
    work: Computation
    operands: _GemmOperands
    overflowed: int = 0

    def __post_init__(self) -> None:
        weight, ifmap = self.operands.weight, self.operands.ifmap
        self.convert, self.bound = self.work.arithmetic.factors(weight, ifmap)
        self.weight = self.convert(weight) if weight.size <= _HELD_ELEMENTS else weight
        self.ifmap = self.convert(ifmap) if ifmap.size <= _HELD_ELEMENTS else ifmap

    def run(self, tasks: Iterable[Task]) -> Ofmap:
        """Compute all tasks."""
        for tiles in side_by_side(tasks):
            self.compute(tiles)
        return Ofmap(self.operands.result, self.overflowed)

    def compute(self, tiles: Sequence[GemmTile]) -> None:
        """Add up the products of one sum's tiles; its last tile writes the ofmap."""
        arithmetic = self.work.arithmetic
        psum = arithmetic.preload(None)
        for tile in tiles:
            groups, filters = tile.groups.slice, tile.filters.slice
            if tile.first:
                psum = self.start(tile)
            weight = self.weight[groups, filters, tile.channels.slice]
            weight = weight.reshape(*weight.shape[:2], -1)
            psum = arithmetic.accumulate(psum, weight, self.im2col(tile), self.bound)
            if tile.last:
                self.overflowed += arithmetic.overflowed(psum)
                unit = self.operands.unit[groups, filters]
                activation = getattr(self.work.layer.op, "activation", None)
                self.write(tile, arithmetic.finish(psum, unit, self.work.output, activation))

    def start(self, tile: GemmTile) -> Psum:
        """The psums of an output tile before its first product: the bias."""
        bias = self.operands.bias
        if bias is not None:
            bias = bias[tile.groups.slice, tile.filters.slice]
        return self.work.arithmetic.preload(bias)

    def im2col(self, tile: GemmTile) -> Array:
        """Windows (n, g, c, R, S, p, q) of the ifmap tile as matrices (g, c*R*S, n*p*q)."""
        values = self.ifmap[tile.pixels.batch.slice, tile.groups.slice, tile.channels.slice]
        taps = _windows(values, self.kernel.rows, self.kernel.cols, tile.pixels, 0)
        taps = taps[0] if len(taps) == 1 else np.moveaxis(taps, 0, 4)
        return self.convert(taps).reshape(tile.groups.size, -1, tile.pixels.count)

    def write(self, tile: GemmTile, codes: Array) -> None:
        """Put finished values (g, k, n*p*q) where they belong in the ofmap."""
        pixels = tile.pixels
        shape = (pixels.batch.size, pixels.rows.size, pixels.cols.size)
        place = self.operands.ofmap[
            pixels.batch.slice,
            tile.groups.slice,
            tile.filters.slice,
            pixels.rows.slice,
            pixels.cols.slice,
        ]
        place[...] = np.moveaxis(codes.reshape(*codes.shape[:2], *shape), 2, 0)


# --- Vector kernels -------------------------------------------------------------------------------


@dataclass
class _VectorExecutor:
    """Runs the tasks of a vector kernel, on inputs viewed as feature maps (N, C, H, W)."""

    kernel: VectorKernel
    work: Computation

    def run(self, tasks: Iterable[Task]) -> Ofmap:
        """Compute all tasks, in their order."""
        shape = (self.work.batch, *self.work.layer.output_shape)
        result = np.zeros(shape, self.work.inputs[0].values.dtype)
        ofmap = _feature_map(result)
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
        fmap = _feature_map(x.values)
        block = fmap[tile.pixels.batch.slice, tile.channels.slice]
        if fmap.shape[2:] == (1, 1):
            return block
        return block[..., tile.pixels.rows.slice, tile.pixels.cols.slice]

    def taps(self, values: Array, tile: VectorTile, fill: Fill) -> Array:
        """The taps (n, c, R*S, p, q) of a pooling tile over `values` (N, C, H, W)."""
        block = values[tile.pixels.batch.slice, tile.channels.slice]
        taps = _windows(block, self.kernel.rows, self.kernel.cols, tile.pixels, fill)
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
            channels = _feature_map(x.values).shape[1]
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
