"""What crosses the DRAM port, burst by burst or run by run, for DRAM simulators.

The ending of the file says the form: `.csv` a line for each run of contiguous bytes (cycle,
address, bytes, read or write, layer, tensor); `.trc` DRAMsim3's (`0x40 READ 12`, a line for each
burst); `.trace` Ramulator 2's loads and stores (`LD 0x40`), without cycles. `.gz` compresses.

Every feature map and every layer's filters and psums have a region of their own, the same one for
all parts of a batch that runs in parts, images one after another. Feature maps lie as
`lowering.layout` says, filters in the order in which their tiles are taken. Where a transfer is of
several tensors, or carries biases, its runs begin at the tile's first element and follow at their
pitch. Bytes and cycles are those of the run exactly.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePath
from typing import TextIO

from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.errors import InputError, Problem
from accelsim.files import streamed
from accelsim.hardware import Operand
from accelsim.lowering.feature_maps import written_elements
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.pooling import pooled_tile
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.task import GemmTile, Load, Span, Tile, Transfer
from accelsim.network.ops import Embedding, Op, Read, Shape, Slice, Stretch
from accelsim.results.under_way import TasksUnderWay
from accelsim.text import cell
from accelsim.units import ceil_div

REGION = 4096
"""Regions begin at multiples of this many bytes."""
MOST_LINES = 200_000_000
"""Lines that are written at most: some gigabytes."""

Line = Callable[[int, int, int, bool, str, str], Iterator[str]]
"""The lines of a run: its cycle, address, bytes, whether it is written, layer and tensor."""


def write_dram_trace(runs: Sequence[Sequence[Program]], path: str) -> None:
    """Play `runs`, one after another, and write what crosses the DRAM port to `path`.

    Each is the programs of the parts in which its batch runs, and has tensors of its own. The
    ending is one that `refuse_other_endings` lets pass. Raises InputError for a run that is too
    long.
    """
    burst = runs[0][0].target.dram_burst
    line = _form(path, burst)
    layers = (layer for parts in runs for program in parts for layer in program.layers)
    moved = sum(layer.dram.total_bytes for layer in layers)
    if moved // burst > MOST_LINES:
        message = f"{moved:,} bytes of DRAM traffic are more than {MOST_LINES:,} lines"
        raise InputError(Problem(message=message, source=path))
    with streamed(path) as file:
        if _ending(path) == ".csv":
            file.write("cycle,address,bytes,way,layer,tensor\n")
        start = base = 0
        for parts in runs:
            regions = Regions(base, sum(program.batch for program in parts))
            for program in parts:
                tracer = DramTracer(program, file, line, start, regions)
                times = play(program, leaps=False, observer=tracer)
                start += max((time.end for time in times), default=0)
                regions.done += program.batch
            base = regions.end


def refuse_other_endings(path: str) -> None:
    """Raises InputError for an ending that no form has: before a run that may be long."""
    if _ending(path) not in (".csv", ".trc", ".trace"):
        message = (
            "ends in none of .csv (everything), .trc (DRAMsim3), .trace (Ramulator 2), with or "
            "without .gz"
        )
        raise InputError(Problem(message=message, source=path))


def _ending(path: str) -> str:
    return PurePath(path.lower().removesuffix(".gz")).suffix


def _form(path: str, burst: int) -> Line:
    forms: Mapping[str, Line] = {
        ".csv": _csv,
        ".trc": lambda at, address, size, is_write, *_: (
            f"0x{each:x} {'WRITE' if is_write else 'READ'} {at}\n"
            for each in _bursts(address, size, burst)
        ),
        ".trace": lambda at, address, size, is_write, *_: (
            f"{'ST' if is_write else 'LD'} 0x{each:x}\n" for each in _bursts(address, size, burst)
        ),
    }
    return forms[_ending(path)]


def _csv(
    at: int, address: int, size: int, is_write: bool, layer: str, tensor: str
) -> Iterator[str]:
    names = (str(cell(each)).replace('"', '""') for each in (layer, tensor))
    quoted = (f'"{each}"' for each in names)
    yield f"{at},{address},{size},{'write' if is_write else 'read'},{','.join(quoted)}\n"


def _bursts(address: int, size: int, burst: int) -> range:
    """Addresses of the bursts that a run touches."""
    first = address - address % burst
    return range(first, address + size, burst)


class Regions:
    """Where each tensor lies: as each is first asked for, one after another.

    Of its `images` some are `done`, in the parts of a batch before the one at hand.
    """

    def __init__(self, base: int, images: int) -> None:
        self.end, self.images, self.done = base, images, 0
        self.starts: dict[tuple[str, str], int] = {}

    def start(self, tensor: tuple[str, str], size: int) -> int:
        """The first address of a tensor of `size` bytes, the same for all images."""
        if tensor not in self.starts:
            self.starts[tensor] = self.end
            self.end += ceil_div(size, REGION) * REGION
        return self.starts[tensor]

    def start_of_part(self, tensor: tuple[str, str], size: int, batch: int) -> int:
        """The first address of the images at hand, `batch` of them of `size` bytes in all."""
        image = ceil_div(size, batch)
        return self.start(tensor, self.images * image) + self.done * image


class DramTracer:
    """Observes a program that is played from cycle `start` on, and writes what crosses the port."""

    def __init__(
        self, program: Program, file: TextIO, line: Line, start: int, regions: Regions
    ) -> None:
        self.program, self.file, self.line, self.start = program, file, line, start
        self.regions = regions
        self.tasks = TasksUnderWay()
        self.filters: dict[tuple[int, int], int] = {}

    def begins(self, task: Loaded) -> None:
        self.tasks.begins(task)

    def computes(self, task: Loaded, at: int) -> None:
        self.tasks.computes(task)

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        """Room in buffers is none of DRAM's."""

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        its, transfer = self.tasks.transfers(task, is_write)
        name = its.layer.layer.name
        tensor, runs = self.runs(its.layer, its.tile, transfer)
        count = len(runs)
        for place, (address, size) in enumerate(runs):
            begin = self.start + at + cycles * place // count
            self.file.writelines(self.line(begin, address, size, is_write, name, tensor))

    def runs(
        self, layer: LayerProgram, tile: Tile, transfer: Transfer
    ) -> tuple[str, list[tuple[int, int]]]:
        """The tensor of a transfer, and the address and bytes of each of its runs."""
        tensor, kind = tensor_of(layer, transfer)
        operand = "addend" if isinstance(transfer, Load) and transfer.addend else transfer.operand
        held = self.bytes(layer, operand)
        first = self.place(layer, (kind, tensor), max(held, transfer.size))
        shown = shown_name(tensor, kind)
        exact = self.blocks(layer, tile, operand)
        lies_as_read = not isinstance(layer.layer.op, Embedding) or operand != "ifmap"
        if lies_as_read and sum(size for _, size in exact) == transfer.size:
            return shown, [(first + start, size) for start, size in exact]
        its = transfer.runs
        room = max(held - its.size + 1, 1)
        start = exact[0][0] if exact else 0
        starts = ((start + place * its.pitch) % room for place in range(its.count))
        return shown, [(first + each, its.size) for each in starts]

    def place(self, layer: LayerProgram, tensor: tuple[str, str], size: int) -> int:
        """The first address of a tensor, which every image has anew unless it is parameters."""
        if tensor[0] == "filter" and (layer.layer.parameters or tensor[1] != layer.layer.name):
            return self.regions.start(tensor, size)
        return self.regions.start_of_part(tensor, size, self.program.batch)

    def bytes(self, layer: LayerProgram, operand: str) -> int:
        """Bytes of a whole tensor of a layer, for the images at hand."""
        target, batch = self.program.target, self.program.batch
        if operand == "filter":
            learned = self.program.network.by_name[layer.layer.owner].parameters
            return max(learned, _filter_words(layer)) * target.bytes_of("filter")
        if operand == "ifmap":
            word, op = target.bytes_of("ifmap"), layer.layer.op
            if isinstance(op, Embedding):
                return op.entries * op.features * word
            return batch * math.prod(layer.layer.input_shapes[0]) * word
        word = target.bytes_of("psum" if operand == "psum" else "ofmap")
        if operand == "ofmap":
            return batch * written_elements(layer.layer, layer.kernel) * word
        return batch * layer.layer.output_elements * word

    def blocks(self, layer: LayerProgram, tile: Tile, operand: str) -> list[tuple[int, int]]:
        """The start in its tensor, and the bytes, of each run that a tile takes of an operand."""
        target = self.program.target
        if operand == "filter":
            word = target.bytes_of("filter")
            start, words = filters_in(layer, tile)
            return [(start * word, words * word)]
        if operand == "ifmap":
            word, block = target.bytes_of("ifmap"), ifmap_block(layer, tile)
        else:
            word = target.bytes_of("psum" if operand == "psum" else "ofmap")
            block = ofmap_block(layer, tile, operand == "ofmap")
        return [(start * word, words * word) for start, words in block.runs if words]


def tensor_of(layer: LayerProgram, transfer: Transfer) -> tuple[str, str]:
    """The tensor of a transfer, and its kind: a feature map, or another operand of the layer."""
    if isinstance(transfer, Load) and transfer.addend and layer.addend:
        return layer.addend, "map"
    return operand_of(layer, transfer.operand)


def operand_of(layer: LayerProgram, operand: Operand) -> tuple[str, str]:
    """The tensor that an operand of a layer is, and its kind: what is looked up is a table's."""
    if operand == "ifmap" and isinstance(layer.layer.op, Embedding):
        return layer.layer.owner, "filter"
    if operand == "ifmap":
        return layer.layer.inputs[0], "map"
    if operand == "ofmap":
        return layer.leaves_as or layer.layer.name, "map"
    return layer.layer.owner if operand == "filter" else layer.layer.name, operand


def shown_name(tensor: str, kind: str) -> str:
    """The name of a tensor in a trace: with its kind, if it is no feature map."""
    return tensor if kind == "map" else f"{tensor}.{kind}"


@dataclass(frozen=True, slots=True)
class Block:
    """Part of a feature map of `shape` (N, C, H, W): a span of each, or several of channels."""

    shape: tuple[int, int, int, int]
    batch: Span
    channels: tuple[Span, ...]
    rows: Span
    cols: Span

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Its own extents."""
        deep = sum(span.size for span in self.channels)
        return self.batch.size, deep, self.rows.size, self.cols.size

    @property
    def runs(self) -> Iterator[tuple[int, int]]:
        """The first word and the words of each run, in the order of the addresses."""
        _, channels, height, width = self.shape
        whole_rows = self.cols.size == width
        whole_planes = whole_rows and self.rows.size == height
        plane, first = height * width, self.rows.start * width + self.cols.start
        for image in range(self.batch.start, self.batch.stop):
            for span in self.channels:
                start = (image * channels + span.start) * plane + first
                if whole_planes:
                    yield start, span.size * plane
                    continue
                for channel in range(span.size):
                    begin = start + channel * plane
                    if whole_rows:
                        yield begin, self.rows.size * width
                    else:
                        rows = range(self.rows.size)
                        yield from ((begin + row * width, self.cols.size) for row in rows)


def _channels(tile: Tile, part: Span, of: int) -> tuple[Span, ...]:
    """Channels `part` of each group of a tile, of `of` in a group, as those of the feature map."""
    if not isinstance(tile, GemmTile):
        return (part,)
    if part.size == of:
        return (Span(tile.groups.start * of, tile.groups.stop * of),)
    groups = range(tile.groups.start, tile.groups.stop)
    return tuple(Span(group * of + part.start, group * of + part.stop) for group in groups)


def _read(axis: Read, at: Span, taps: Span) -> Span:
    """What of an axis some outputs read with some taps, padding left out."""
    if isinstance(axis, Stretch):
        return Span(*axis.block(at.start, at.stop))
    first = at.start * axis.stride + taps.start * axis.dilation - axis.before
    last = (at.stop - 1) * axis.stride + (taps.stop - 1) * axis.dilation - axis.before
    start = min(max(first, 0), axis.size)
    return Span(start, max(min(last + 1, axis.size), start))


def ifmap_block(layer: LayerProgram, tile: Tile) -> Block:
    """What a tile reads of the first ifmap."""
    kernel = layer.kernel
    assert isinstance(kernel, (GemmKernel, VectorKernel))
    if isinstance(kernel, GemmKernel):
        deep = kernel.groups * kernel.channels
        channels = _channels(tile, tile.channels, kernel.channels)
    else:
        deep = kernel.depth.size
        channels = (_read(kernel.depth, tile.channels, Span(0, kernel.depth.kernel)),)
    block = Block(
        shape=(kernel.batch, deep, kernel.rows.size, kernel.cols.size),
        batch=tile.pixels.batch,
        channels=channels,
        rows=_read(kernel.rows, tile.pixels.rows, tile.tap_rows),
        cols=_read(kernel.cols, tile.pixels.cols, tile.tap_cols),
    )
    its = layer.layer.input_shapes[0]
    return block if math.prod(its) == math.prod(block.shape[1:]) else _source(layer, block, its)


def _source(layer: LayerProgram, block: Block, its: Shape) -> Block:
    """A block of what a layer makes that moves values, as the part of its ifmap that it reads."""
    shape, op = block.shape[1:], layer.layer.op
    spans = (*block.channels, block.rows, block.cols)
    if len(its) == len(spans) and layer.layer.output_shape == shape:
        taken = (_taken(op, *each) for each in zip(count(), spans, its, shape, strict=False))
        channels, rows, cols = taken
        deep, height, width = its
        whole = block.shape[0], deep, height, width
        return Block(shape=whole, batch=block.batch, channels=(channels,), rows=rows, cols=cols)
    words, made = math.prod(its), math.prod(shape)
    start = next(block.runs)[0] % made * words // made  # as far along in it
    line = Span(start, min(start + math.prod(block.sides[1:]), words))
    return Block(
        shape=(block.shape[0], 1, 1, words),
        batch=block.batch,
        channels=(Span(0, 1),),
        rows=Span(0, 1),
        cols=line,
    )


def _taken(op: Op, axis: int, part: Span, size: int, of: int) -> Span:
    """What `part` of an axis of `of` values reads of the ifmap's, which has `size`."""

    def place(at: int) -> int:
        if isinstance(op, Slice):
            return op.start[axis] + at * (op.step or (1,) * len(op.start))[axis]
        return at * size // of

    return Span(place(part.start), place(part.stop - 1) + 1)


def ofmap_block(layer: LayerProgram, tile: Tile, leaves: bool) -> Block:
    """A tile's part of the ofmap, as it `leaves` where it may be pooled."""
    kernel, pixels = layer.kernel, tile.pixels
    assert isinstance(kernel, (GemmKernel, VectorKernel))
    if leaves and isinstance(tile, GemmTile) and isinstance(kernel, GemmKernel) and kernel.pooled:
        left = pooled_tile(kernel, tile)
        shape = (kernel.batch, kernel.groups * kernel.filters, *kernel.written_sides)
        its = left.pixels
        return Block(
            shape=shape, batch=its.batch, channels=(left.channels,), rows=its.rows, cols=its.cols
        )
    if isinstance(tile, GemmTile) and isinstance(kernel, GemmKernel):
        whole = kernel.groups * kernel.filters
        channels = _channels(tile, tile.filters, kernel.filters)
    else:
        whole, channels = kernel.channels, (tile.channels,)
    shape = (kernel.batch, whole, kernel.rows.outputs, kernel.cols.outputs)
    return Block(
        shape=shape, batch=pixels.batch, channels=channels, rows=pixels.rows, cols=pixels.cols
    )


def _filter_words(layer: LayerProgram) -> int:
    """Words of all filters of a GEMM; in a product of two feature maps, of one of these."""
    kernel = layer.kernel
    if not isinstance(kernel, GemmKernel):
        return 0
    return kernel.groups * kernel.filters * kernel.channels * kernel.taps


def filters_in(layer: LayerProgram, tile: Tile) -> tuple[int, int]:
    """The first word and the words of a tile's filters, which lie one tile after another."""
    kernel = layer.kernel
    if isinstance(kernel, VectorKernel):
        taken = kernel.filtered * tile.tap_rows.size * tile.tap_cols.size
        inside = tile.tap_rows.start * kernel.cols.kernel + tile.tap_rows.size * tile.tap_cols.start
        start = tile.channels.start * kernel.taps + tile.channels.size * inside
        return kernel.filtered * start, tile.channels.size * taken
    if not isinstance(tile, GemmTile) or not isinstance(kernel, GemmKernel):
        return 0, 0
    taps = tile.tap_rows.start * kernel.cols.kernel + tile.tap_rows.size * tile.tap_cols.start
    depth = tile.channels.start * kernel.taps + tile.channels.size * taps
    whole = kernel.channels * kernel.taps
    filters = tile.filters.start * whole + tile.filters.size * depth
    start = tile.groups.start * kernel.filters * whole + tile.groups.size * filters
    taken = tile.tap_rows.size * tile.tap_cols.size * tile.channels.size
    return start, tile.groups.size * tile.filters.size * taken
