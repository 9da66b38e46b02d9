"""The values of a vector kernel's tiles: one rule per layer type.

A block of the ofmap that takes several tiles keeps what the first ones made of it (maxima, sums)
until the last one; tiles of such a block follow each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, singledispatchmethod

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.task import Span, Task, VectorTile
from accelsim.network.ops import (
    Add,
    ArgMax,
    AsValues,
    AvgPool,
    BatchNorm,
    Broadcast,
    Concat,
    DynamicQuantize,
    Elementwise,
    Expand,
    Largest,
    Lrn,
    Maps,
    MaxPool,
    Mean,
    Mul,
    Normalised,
    Op,
    Pad,
    Phase,
    Pointwise,
    Reduction,
    Resize,
    Rotary,
    ScaleShift,
    Softmax,
    Sort,
    SubSampling,
    Taking,
    TokenLayer,
    Transpose,
    Window,
)
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.normal import batch_norm_line, lines_of
from accelsim.numerics.operations import Row
from accelsim.numerics.spatial import placed, resized
from accelsim.numerics.tiled_lrn import of_lrn
from accelsim.numerics.tiled_phases import of_phase
from accelsim.numerics.tiled_rankings import of_arg_max, of_sort
from accelsim.numerics.tokens import Part, token_values, turns
from accelsim.numerics.windows import Fill, counts_of, feature_map, widened, windows


@dataclass
class VectorExecutor:
    """Runs the tasks of a vector kernel, on inputs viewed as feature maps (N, C, H, W)."""

    kernel: VectorKernel
    work: Computation
    kept: list[Array] = field(default_factory=list)

    def run(self, tasks: Iterable[Task]) -> Ofmap:
        """Compute all tasks, in their order."""
        result = np.zeros(self.work.ofmap_shape, self.work.arithmetic.activation.dtype)
        ofmap = self.viewed(result)
        for task in tasks:
            assert isinstance(task.tile, VectorTile)
            self.write(task.tile, ofmap)
        return Ofmap(result)

    def write(self, tile: VectorTile, ofmap: Array) -> None:
        """Put the values of a tile where they belong in the ofmap, if it finishes any."""
        if tile.first:
            self.kept.clear()
        values = self.values(tile)
        if values is not None:
            ofmap[_block(tile)] = values

    def values(self, tile: VectorTile) -> Array | None:
        """The values (n, c, p, q) of a tile, if it finishes any."""
        return self.compute(self.work.layer.op, tile)

    @property
    def in_order(self) -> bool:
        """Whether tiles count values in the order in which they lie."""
        return self.work.layer.op.in_order or self.kernel.own_tap is not None

    def viewed(self, ofmap: Array) -> Array:
        """The ofmap as tiles count it, (N, C, P, Q)."""
        kernel, op = self.kernel, self.work.layer.op
        if self.in_order:
            planes = kernel.rows.outputs, kernel.cols.outputs
            return ofmap.reshape(kernel.batch, kernel.channels, *planes)
        if op.batched:
            return feature_map(ofmap)
        return ofmap.reshape(1, ofmap.shape[1], -1, 1)

    @cached_property
    def turned(self) -> Array:
        """The input of a transpose as its ofmap sees it."""
        op, (x,) = self.work.layer.op, self.work.inputs
        assert isinstance(op, Transpose)
        return feature_map(x.values.transpose(0, *(1 + axis for axis in op.order)))

    @cached_property
    def joined(self) -> Array:
        """The inputs of a concat as its ofmap sees them."""
        op, work = self.work.layer.op, self.work
        assert isinstance(op, Concat)
        parts = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
        return np.concatenate(parts, 1 + op.along(work.layer.output_shape))

    @cached_property
    def squares(self) -> Array:
        """Squares of the input's operands, as tiles count them, in what holds their sums."""
        (x,) = self.work.inputs
        operand = self.seen(self.work.arithmetic.operand(x))
        return np.square(operand, dtype=operand.dtype if operand.dtype.kind == "f" else np.int64)

    @singledispatchmethod
    def compute(self, op: Op, tile: VectorTile) -> Array | None:
        """The values (n, c, p, q) of a tile, if it finishes any: one rule per layer type."""
        raise NotImplementedError(f"no tiled rule for layers of type {op.name!r}")

    def inputs(self, tile: VectorTile) -> list[Tensor]:
        """Each input's part of an element-wise tile; one value per channel stays one."""
        inputs = self.work.inputs
        if isinstance(self.work.layer.op, Broadcast):
            shape = self.work.layer.output_shape
            inputs = tuple(Tensor(widened(x.values, shape), x.quantization) for x in inputs)
        return [Tensor(self.part(x, tile), x.quantization) for x in inputs]

    def seen(self, values: Array) -> Array:
        """An input as tiles count it, (N, C, H, W)."""
        kernel = self.kernel
        if not self.in_order:
            return feature_map(values)
        return values.reshape(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)

    def part(self, x: Tensor, tile: VectorTile, channels: Span | None = None) -> Array:
        """The block (n, c, p, q) of an input under a tile, or (n, c, 1, 1)."""
        return self.part_of(x.values, tile, channels)

    def part_of(self, values: Array, tile: VectorTile, channels: Span | None = None) -> Array:
        """The block of an array, of other `channels` than the tile's if some are given."""
        fmap = self.seen(values)
        images = tile.pixels.batch.slice if len(fmap) > 1 else slice(None)
        block = fmap[images, (channels or tile.channels).slice]
        if fmap.shape[2:] == (1, 1):
            return block
        return block[..., tile.pixels.rows.slice, tile.pixels.cols.slice]

    def taps(self, values: Array, tile: VectorTile, fill: Fill) -> Array:
        """The taps (n, c, R*S, p, q) of a pooling tile over `values` (N, C, H, W)."""
        block = values[tile.pixels.batch.slice, tile.channels.slice]
        down, across = self.kernel.windows
        rows, cols = _cut(down, tile.tap_rows), _cut(across, tile.tap_cols)
        taps = windows(block, rows, cols, tile.pixels, fill)
        return taps.reshape(*taps.shape[:2], -1, *taps.shape[-2:])

    def gathered(self, join: np.ufunc, values: Array) -> Array:
        """`values` joined with those that the tiles of the block before have left."""
        self.kept[:] = [join(*self.kept, values) if self.kept else values]
        return self.kept[0]

    @compute.register
    def _(self, op: MaxPool, tile: VectorTile) -> Array | None:
        (x,) = self.work.inputs
        taps = self.taps(x.values, tile, self.work.arithmetic.activation.lowest)
        largest = self.gathered(np.maximum, taps.max(2))
        if not tile.last:
            return None
        return self.work.arithmetic.rescale(Tensor(largest, x.quantization), self.work.output)

    @compute.register
    def _(self, op: AvgPool, tile: VectorTile) -> Array | None:
        (x,) = self.work.inputs
        taps = self.taps(self.work.arithmetic.operand(x), tile, 0)
        wide = taps.dtype if taps.dtype.kind == "f" else np.int64
        sums = self.gathered(np.add, taps.sum(2, dtype=wide))
        if not tile.last:
            return None
        axes = zip(self.kernel.windows, (tile.pixels.rows, tile.pixels.cols), strict=True)
        counts = np.outer(*(counts_of(*axis, op.count_padding) for axis in axes))
        return self.work.arithmetic.mean(sums, counts, x.quantization, self.work.output)

    @compute.register
    def _(self, op: SubSampling, tile: VectorTile) -> Array | None:
        (x,), arrays = self.work.inputs, self.work.parameters.arrays
        taps = self.taps(self.work.arithmetic.operand(x), tile, 0)
        wide = taps.dtype if taps.dtype.kind == "f" else np.int64
        sums = self.gathered(np.add, taps.sum(2, dtype=wide))
        if not tile.last:
            return None
        slope, offset = (
            arrays[name][tile.channels.slice, None, None] for name in ("beta", "offset")
        )
        whole = Tensor(sums, replace(x.quantization, zero_point=0))
        return self.work.arithmetic.affine(whole, slope, offset, self.work.output, op.activation)

    @compute.register
    def _(self, op: Add, tile: VectorTile) -> Array:
        return self.work.arithmetic.add(self.inputs(tile), self.work.output, op.activation)

    @compute.register
    def _(self, op: Mul, tile: VectorTile) -> Array:
        x, y = self.inputs(tile)
        return self.work.arithmetic.multiply(x, y, self.work.output, op.activation)

    @compute.register
    def _(self, op: Pointwise, tile: VectorTile) -> Array:
        return self.work.arithmetic.pointwise(op, self.inputs(tile), self.work.output)

    compute.register(ArgMax, of_arg_max)
    compute.register(Sort, of_sort)
    compute.register(Lrn, of_lrn)
    compute.register(Phase, of_phase)

    @compute.register
    def _(self, op: BatchNorm, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        slope, offset = (
            line[tile.channels.slice, None, None]
            for line in batch_norm_line(op, self.work.parameters)
        )
        return self.work.arithmetic.affine(x, slope, offset, self.work.output, op.activation)

    @compute.register
    def _(self, op: ScaleShift, tile: VectorTile) -> Array:
        (x,), shape = self.inputs(tile), (1, *self.work.layer.output_shape)
        gamma, beta = (
            self.part_of(np.broadcast_to(self.work.parameters.arrays[name], shape), tile)
            for name in ("gamma", "beta")
        )
        return self.work.arithmetic.affine(x, gamma, beta, self.work.output, None)

    @compute.register
    def _(self, op: Elementwise, tile: VectorTile) -> Array:
        (x,) = self.inputs(tile)
        return self.work.arithmetic.apply(op, x, self.work.output)

    @compute.register
    def _(self, op: Softmax, tile: VectorTile) -> Array | None:
        """In one tile, or in passes: the maximum, then the sum of exponentials, the quotients."""
        (x,) = self.inputs(tile)
        arithmetic = self.work.arithmetic
        hidden = self.hidden(tile) if op.causal else None
        if tile.first and tile.last:
            return arithmetic.softmax(x, 1, self.work.output, hidden)
        x = arithmetic.seen(x, hidden)
        if tile.turn == 0:
            self.gathered(np.maximum, x.values.max(1, keepdims=True))
            return None
        shares = arithmetic.exponentials(x, self.kept[0], hidden)
        if tile.turn == 1:
            self.kept[1:] = [shares.sum(1, keepdims=True) + sum(self.kept[1:])]
            return None
        return arithmetic.quotients(shares, self.kept[1], self.work.output)

    @compute.register
    def _(self, op: DynamicQuantize, tile: VectorTile) -> Array | None:
        """In one tile, or in passes: the largest and the smallest, then the values."""
        (x,), alone = self.inputs(tile), tile.first and tile.last
        if alone or tile.turn == 0:
            joins = (np.maximum, np.minimum)
            found = [join.reduce(x.values, axis=1, keepdims=True) for join in joins]
            pairs = zip(joins, found, self.kept or found, strict=True)
            self.kept[:] = [join(new, old) for join, new, old in pairs]
        if not alone and tile.turn == 0:
            return None
        high, low = self.kept
        return self.work.arithmetic.stepped(x, low, high, self.work.output)

    def hidden(self, tile: VectorTile) -> NDArray[np.bool_]:
        """Which keys of a tile lie behind the time of its queries, (n, c, 1, 1)."""
        queries, keys = self.work.layer.output_shape[-2:]
        images, channels = tile.pixels.batch, tile.channels
        times = np.arange(images.start, images.stop) % queries + keys - queries
        hidden = np.arange(channels.start, channels.stop) > times[:, None]
        return hidden[..., None, None]

    @compute.register
    def _(self, op: Normalised, tile: VectorTile) -> Array | None:
        """In one tile, or in passes: the mean, if it is wanted, then the variance, the values."""
        (x,), arithmetic = self.inputs(tile), self.work.arithmetic
        count, turns = self.kernel.channels, self.kernel.kept
        alone = tile.first and tile.last
        if op.centred and (alone or tile.turn == 0):
            self.added(0, arithmetic.sums(x, 1))
        sums = self.kept[0] if op.centred else None
        if alone or tile.turn == turns - 1:
            self.added(turns - 1, arithmetic.squares(x, 1, sums, count))
        if not alone and tile.turn < turns:
            return None
        images = np.arange(tile.pixels.batch.start, tile.pixels.batch.stop)
        gamma, beta = (
            line[images % len(line), tile.channels.slice, None, None]
            for line in lines_of(op, self.work.parameters, self.work.layer.output_shape)
        )
        row = Row(sums, self.kept[turns - 1], count, op.epsilon)
        return arithmetic.standardised(x, row, gamma, beta, self.work.output)

    def added(self, place: int, sums: Array) -> None:
        """Add to what the tiles of the block keep at `place`."""
        self.kept[place:] = [sum(self.kept[place:], start=sums)]

    @compute.register
    def _(self, op: Reduction, tile: VectorTile) -> Array | None:
        """As pooling, along one axis."""
        (x,), arithmetic = self.work.inputs, self.work.arithmetic
        if isinstance(op, Largest):
            taps = self.taps(self.seen(x.values), tile, arithmetic.activation.lowest)
            largest = self.gathered(np.maximum, taps.max(2))
            kept = Tensor(largest, x.quantization)
            return arithmetic.rescale(kept, self.work.output) if tile.last else None
        taps = self.taps(self.seen(arithmetic.operand(x)), tile, 0)
        wide = taps.dtype if taps.dtype.kind == "f" else np.int64
        sums = self.gathered(np.add, taps.sum(2, dtype=wide))
        if not tile.last:
            return None
        counts = np.asarray(self.kernel.taps if isinstance(op, Mean) else 1)
        return arithmetic.mean(sums, counts, x.quantization, self.work.output)

    @compute.register
    def _(self, op: Transpose, tile: VectorTile) -> Array:
        """The values of a tile, from where they lie in the input."""
        (x,) = self.work.inputs
        block = Tensor(self.part_of(self.turned, tile), x.quantization)
        return self.work.arithmetic.rescale(block, self.work.output)

    @compute.register
    def _(self, op: Expand, tile: VectorTile) -> Array:
        """The values of a tile, from where they lie in the input."""
        (x,) = self.work.inputs
        whole = np.broadcast_to(x.values, (len(x.values), *op.shape))
        block = Tensor(self.part_of(whole, tile), x.quantization)
        return self.work.arithmetic.rescale(block, self.work.output)

    @compute.register
    def _(self, op: Taking, tile: VectorTile) -> Array:
        """The values of a tile, from where they lie in the input."""
        (x,) = self.work.inputs
        taken = x.values[:, *op.taken(x.values.shape[1:])]
        block = Tensor(self.part_of(taken, tile), x.quantization)
        return self.work.arithmetic.rescale(block, self.work.output)

    @compute.register
    def _(self, op: AsValues, tile: VectorTile) -> Array:
        (x,) = self.work.inputs
        numbers = Tensor(self.part_of(x.values, tile), x.quantization)
        return self.work.arithmetic.coded(numbers.reals, self.work.output)

    @compute.register
    def _(self, op: Maps, tile: VectorTile) -> Array:
        """The maps of a tile, from where they lie in the input."""
        (x,), pixels = self.work.inputs, tile.pixels
        maps = x.values[pixels.batch.slice, list(op.maps[tile.channels.slice])]
        block = Tensor(maps[..., pixels.rows.slice, pixels.cols.slice], x.quantization)
        return self.work.arithmetic.rescale(block, self.work.output)

    @compute.register
    def _(self, op: Pad, tile: VectorTile) -> Array:
        return self.part_of(self.around, tile)

    @cached_property
    def around(self) -> Array:
        """The ofmap of a pad, of which tiles take their parts."""
        return placed(self.work.layer.op, self.work)

    @compute.register
    def _(self, op: Resize, tile: VectorTile) -> Array:
        """A tile's rows and columns, of its own channels and images."""
        (x,), pixels = self.work.inputs, tile.pixels
        values = x.values[pixels.batch.slice, tile.channels.slice]
        own = replace(self.work, inputs=(Tensor(values, x.quantization),))
        return resized(op, own, pixels.rows.slice, pixels.cols.slice)

    @compute.register
    def _(self, op: TokenLayer, tile: VectorTile) -> Array:
        """A tile's channels are features, its rows tokens."""
        pixels = tile.pixels
        part = Part(pixels.batch.slice, pixels.rows.slice, tile.channels.slice)
        return feature_map(token_values(self.work, part))

    @compute.register
    def _(self, op: Rotary, tile: VectorTile) -> Array:
        """A tile has whole heads of tokens as channels; of each value it reads the other one."""
        (x,), arithmetic, pixels = self.work.inputs, self.work.arithmetic, tile.pixels
        values = self.seen(x.values)[pixels.batch.slice, tile.channels.slice]
        pairs, members = (
            (pixels.rows, pixels.cols) if op.interleaved else (pixels.cols, pixels.rows)
        )
        heads = np.arange(tile.channels.start, tile.channels.stop) // op.heads
        angles = (each[heads, pairs.slice] for each in turns(op, self.work))
        axis = 3 if op.interleaved else 2
        values = values.take(range(pairs.start, pairs.stop), 5 - axis)
        cosine, sine = (np.expand_dims(each, axis - 1) for each in angles)
        parts = []
        for member in range(members.start, members.stop):
            own, other = (
                Tensor(values.take([at], axis), x.quantization) for at in (member, 1 - member)
            )
            sign = 1 if member else -1
            parts.append(
                arithmetic.combined([(own, cosine), (other, sign * sine)], self.work.output)
            )
        return np.concatenate(parts, axis)

    @compute.register
    def _(self, op: Concat, tile: VectorTile) -> Array:
        return self.part_of(self.joined, tile)


def _block(tile: VectorTile) -> tuple[slice, ...]:
    """Where a tile's values lie in the ofmap."""
    pixels = tile.pixels
    return pixels.batch.slice, tile.channels.slice, pixels.rows.slice, pixels.cols.slice


def _cut(window: Window, taps: Span) -> Window:
    """`window` with only some of its taps."""
    before = window.before - taps.start * window.dilation
    return replace(window, kernel=taps.size, before=before)
