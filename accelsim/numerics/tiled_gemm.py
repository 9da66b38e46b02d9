"""The values of a GEMM kernel's tiles, sum by sum."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.sampled import rows_read
from accelsim.lowering.task import GemmTile, Pixels, Span, Task
from accelsim.lowering.tiles import taps_of
from accelsim.network.ops import (
    Conv,
    Local,
    Op,
    Phase,
    Product,
)
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array
from accelsim.numerics.gemm import Psum
from accelsim.numerics.products import grouped, ungrouped
from accelsim.numerics.reference import unit_of_product
from accelsim.numerics.windows import feature_map, windows

_BUNDLED_ELEMENTS = 2**20  # psums of sums that are computed side by side


_HELD_ELEMENTS = 2**22
"""Operands of up to this many words are converted to floats at once, in 16 MiB."""


@dataclass(frozen=True, slots=True)
class GemmOperands:
    """A layer's arrays, viewed as its kernel counts them; G groups, images first.

    `ifmap` (N, G, C, H, W), `weight` (G, K, C, R, S), `bias` (G, K) or None, `unit` (G, K, 1):
    what 1 in a psum stands for. `ofmap` (N, G, K, P, Q) writes through to `result`.
    """

    ifmap: Array
    weight: Array
    bias: Array | None
    unit: Array
    result: Array
    ofmap: Array


def operands_of(kernel: GemmKernel, work: Computation) -> GemmOperands:
    result = np.zeros((work.batch, *work.layer.output_shape), work.inputs[0].values.dtype)
    match work.layer.op:
        case Product() as op:
            return _product_operands(work, op)
        case Phase() as op:
            return _phase_operands(work, op, result)
        case Local() as op:
            return _local_operands(work, op)
    x, parameters = work.inputs[0], work.parameters
    groups, filters = kernel.groups, kernel.filters
    scale = np.float32(x.quantization.scale) * parameters.weight_scale
    bias = parameters.bias
    ifmap = _grouped(work.arithmetic.operand(x), groups, work.layer.op)
    if kernel.whole_rows is not None:
        ifmap = ifmap[..., rows_read(kernel.whole_rows), :]
    return GemmOperands(
        ifmap=ifmap,
        weight=work.arithmetic.operand(parameters.weight).reshape(
            *(groups, filters, kernel.channels),
            *(kernel.rows.kernel, kernel.cols.kernel),
        ),
        bias=None if bias is None else bias.reshape(groups, filters),
        unit=np.broadcast_to(scale, groups * filters).reshape(groups, filters, 1),
        result=result,
        ofmap=_grouped(result, groups, work.layer.op),
    )


def _grouped(values: Array, groups: int, op: Op) -> Array:
    """(N, ...) viewed as (N, G, C, H, W); a dense layer flattens feature maps."""
    if not isinstance(op, Conv | Phase) and values.ndim == 4:
        values = values.reshape(len(values), -1)
    fmap = feature_map(values)
    return fmap.reshape(len(fmap), groups, -1, *fmap.shape[2:])


def _phase_operands(work: Computation, op: Phase, result: Array) -> GemmOperands:
    """The taps that reach the phase, in the order of the turned filter."""
    (x,), parameters, groups = work.inputs, work.parameters, op.groups
    axes = op.axes(work.layer.input_shapes[0])
    assert axes is not None, "a phase that no tap reaches is no product"
    rows, cols = axes
    weight = work.arithmetic.operand(parameters.weight)[..., rows.taps, :][..., cols.taps]
    scale = np.float32(x.quantization.scale) * parameters.weight_scale
    bias = parameters.bias
    return GemmOperands(
        ifmap=_grouped(work.arithmetic.operand(x), groups, op),
        weight=weight.reshape(groups, -1, *weight.shape[1:]),
        bias=None if bias is None else bias.reshape(groups, -1),
        unit=np.broadcast_to(scale, op.out_channels).reshape(groups, -1, 1),
        result=result,
        ofmap=_grouped(result, groups, op),
    )


def _local_operands(work: Computation, op: Local) -> GemmOperands:
    """Each place a group: its window as channels, its filters."""
    (x,), parameters = work.inputs, work.parameters
    channels, height, width = work.layer.output_shape
    places = height * width
    pixels = Pixels(Span(0, work.batch), Span(0, height), Span(0, width))
    taps = windows(work.arithmetic.operand(x), *op.windows(work.layer.input_shapes[0]), pixels, 0)
    ifmap = taps.reshape(work.batch, -1, places).swapaxes(1, 2)[..., None, None]
    weight = work.arithmetic.operand(parameters.weight).reshape(channels, places, -1)
    scale = np.float32(x.quantization.scale) * parameters.weight_scale
    bias = parameters.bias
    result = np.zeros((work.batch, channels, height, width), x.values.dtype)
    return GemmOperands(
        ifmap=ifmap,
        weight=weight.swapaxes(0, 1)[..., None, None],
        bias=None if bias is None else bias.reshape(channels, places).T,
        unit=np.broadcast_to(np.broadcast_to(scale, channels)[:, None], (places, channels, 1)),
        result=result,
        ofmap=result.reshape(work.batch, channels, places).swapaxes(1, 2)[..., None, None],
    )


def _product_operands(work: Computation, op: Product) -> GemmOperands:
    """Groups of each image in a row, each with a filter of its own."""
    arithmetic, layer = work.arithmetic, work.layer
    x, y = grouped(op, layer, *map(arithmetic.operand, work.inputs))
    x = arithmetic.weighted(x, op.factor_of(layer.input_shapes))
    weight = y.swapaxes(1, 2)
    result = np.zeros((*x.shape[:2], len(weight[0])), work.inputs[0].values.dtype)
    return GemmOperands(
        ifmap=feature_map(x)[None],
        weight=weight[..., None, None],
        bias=None,
        unit=np.broadcast_to(unit_of_product(work), (*weight.shape[:2], 1)),
        result=result,
        ofmap=feature_map(result)[None],
    )


def side_by_side(tasks: Iterable[Task]) -> Iterator[list[GemmTile]]:
    """The tiles of each sum, in their order; sums that go alike are widened into one.

    A sum is all that the tasks do to an output tile. Where neighbouring filters of the same
    pixels take the same channels and taps in the same order, their rows share a matrix product.
    """
    sums: dict[tuple[Span, Pixels, Span], list[GemmTile]] = {}
    for task in tasks:
        tile = task.tile
        assert isinstance(tile, GemmTile)
        sums.setdefault((tile.groups, tile.pixels, tile.filters), []).append(tile)
    alike: dict[tuple[object, ...], list[list[GemmTile]]] = {}
    for tiles in sums.values():
        course = tuple(
            (tile.channels, tile.tap_rows, tile.tap_cols, tile.first, tile.last) for tile in tiles
        )
        key = (tiles[0].groups, tiles[0].pixels, course)
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
class GemmExecutor:
    """Runs the tasks of a GEMM kernel. `overflowed` counts psums that did not fit."""

    kernel: GemmKernel
    work: Computation
    operands: GemmOperands
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
        result = self.operands.result
        if isinstance(self.work.layer.op, Product):
            result = ungrouped(self.work.layer, result)
        return Ofmap(result, self.overflowed)

    def compute(self, tiles: Sequence[GemmTile]) -> None:
        """Add up the products of one sum's tiles; its last tile writes the ofmap."""
        arithmetic = self.work.arithmetic
        psum = arithmetic.preload(None)
        for tile in tiles:
            groups, filters = tile.groups.slice, tile.filters.slice
            if tile.first:
                psum = self.start(tile)
            taps = (tile.tap_rows.slice, tile.tap_cols.slice)
            weight = self.weight[(groups, filters, tile.channels.slice, *taps)]
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
        taps = windows(values, *taps_of(self.kernel, tile), tile.pixels, 0)
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
