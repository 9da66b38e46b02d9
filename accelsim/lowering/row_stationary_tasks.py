"""From a row-stationary mapping to the list of its tasks, for each array.

A block is the ofmap part whose psums stay in the buffer: n images, e rows, m filters. It takes
its room when it starts and keeps it until its ofmap is stored. Each of its tasks brings the
ifmap and the filters of as many channels as one pass takes, and runs the passes that cover the
m filters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from accelsim.lowering.cost import Target
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, map_runs, packed
from accelsim.lowering.row_stationary import (
    Mapping,
    Pass,
    RowShape,
    pass_inside,
    pass_time,
    pass_words,
    row_shape,
)
from accelsim.lowering.row_stationary_search import block_bytes, block_words
from accelsim.lowering.task import (
    GemmTile,
    Load,
    Pixels,
    Room,
    Span,
    Step,
    Store,
    Task,
    Work,
    spans,
)
from accelsim.lowering.tasks import ifmap_region, share_out
from accelsim.lowering.traffic import Inside, Sram

Block = tuple[Span, Pixels, Span]  # groups (one), pixels, filters


@lru_cache(maxsize=64)
def row_stationary_tasks(
    kernel: GemmKernel, target: Target, mapping: Mapping
) -> tuple[tuple[Task, ...], ...]:
    """The tasks of each array, in order: groups, then images and rows, then filters."""
    pixels = [
        Pixels(images, rows, Span(0, kernel.cols.outputs))
        for images, rows in product(
            spans(kernel.batch, int(mapping.n)), spans(kernel.rows.outputs, int(mapping.e))
        )
    ]
    filters = spans(kernel.filters, int(mapping.m))
    blocks = list(product(spans(kernel.groups, 1), pixels, filters))
    channels = spans(kernel.channels, int(mapping.channels))
    steps = _Steps(kernel, target, mapping)
    return tuple(
        tuple(_tasks(share, channels, steps)) for share in share_out(blocks, target.arrays)
    )


def _tasks(blocks: Sequence[Block], channels: tuple[Span, ...], steps: "_Steps") -> Iterator[Task]:
    for groups, pixels, filters in blocks:
        for span in channels:
            starts, ends = span is channels[0], span is channels[-1]
            tile = GemmTile(groups, pixels, filters, span, starts, ends)
            yield Task(tile, steps.step(tile))


@dataclass
class _Steps:
    """The steps of a kernel's tasks. Equal tasks share one, for a layer has few kinds."""

    kernel: GemmKernel
    target: Target
    mapping: Mapping
    known: dict[tuple[object, ...], Step] = field(default_factory=dict)

    def step(self, tile: GemmTile) -> Step:
        """The step of a tile."""
        pixels = tile.pixels
        down, _ = ifmap_region(self.kernel.rows, self.kernel.cols, pixels)
        size = (pixels.batch.size, pixels.rows.size, down.size)
        key = (*size, tile.filters.size, tile.channels.size, tile.first, tile.last)
        step = self.known.get(key)
        if step is None:
            step = self.known[key] = self._build(tile)
        return step

    def _build(self, tile: GemmTile) -> Step:
        target, kernel = self.target, self.kernel
        shape = row_shape(target.row_stationary, kernel)
        flight = Room(target.in_flight, 1)
        block = block_rooms(kernel, shape, target, self.mapping, tile)
        kept = target.buffer_index("ofmap")
        work = tile_work(target, shape, self.mapping, tile)
        return Step(
            tuple(self._loads(tile, flight)),
            (),
            work,
            work.cycles,
            (flight, *(room for room in block if tile.last and room.buffer != kept)),
            next((self._store(tile, room) for room in block if room.buffer == kept), None)
            if tile.last
            else None,
            reserves=block if tile.first else (),
        )

    def _loads(self, tile: GemmTile, flight: Room) -> Iterator[Load]:
        """The ifmap and the filters of a tile, which stream through the room of their block."""
        kernel, word = self.kernel, self.target.bytes_of("ifmap")
        down, across = ifmap_region(kernel.rows, kernel.cols, tile.pixels)
        read = Planes(tile.pixels.batch.size, tile.channels.size, down.size, across.size)
        channels = kernel.groups * kernel.channels
        source = Planes(kernel.batch, channels, kernel.rows.size, kernel.cols.size)
        yield Load("ifmap", flight, True, read.words * word, map_runs(source, read, word))
        weights = tile.filters.size * tile.channels.size * kernel.taps
        size = weights * self.target.bytes_of("filter")
        none = Room(flight.buffer, 0)
        yield Load("filter", none, kernel.filter_is_input, size, packed(size))

    def _store(self, tile: GemmTile, room: Room) -> Store:
        """The block's ofmap, whose store frees its `room`."""
        kernel, pixels, word = self.kernel, tile.pixels, self.target.bytes_of("ofmap")
        filters = kernel.groups * kernel.filters
        whole = Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)
        block = Planes(pixels.batch.size, tile.filters.size, pixels.rows.size, pixels.cols.size)
        return Store("ofmap", room, block.words * word, map_runs(whole, block, word))


def block_rooms(
    kernel: GemmKernel, shape: RowShape, target: Target, mapping: Mapping, tile: GemmTile
) -> tuple[Room, ...]:
    """What the block of a tile takes of each buffer."""
    pixels = tile.pixels
    block = Mapping(
        *(tile.filters.size, pixels.batch.size, pixels.rows.size),
        *(mapping.p, mapping.q, mapping.r, mapping.t),
    )
    taken = block_bytes(target, block_words(kernel, shape, block))
    return tuple(Room(index, int(size)) for index, size in enumerate(taken) if size)


def tile_work(target: Target, shape: RowShape, mapping: Mapping, tile: GemmTile) -> Work:
    """Cycles and words of the passes of one tile: all its filters, a pass's at a time."""
    model, filters = target.row_stationary, int(mapping.filters)
    stream = fill = waiting = bound = 0
    words, inside = Sram(), Inside()
    macs = tile.pixels.count * tile.channels.size * shape.kernel_taps
    for each, count in ((filters, tile.filters.size // filters), (tile.filters.size % filters, 1)):
        if not each or not count:
            continue
        count *= shape.pieces
        work = Pass(
            *(tile.pixels.batch.size, tile.pixels.rows.size, tile.channels.size, each),
            *(mapping.r, mapping.t),
        )
        time = pass_time(model, shape, work)
        stream += count * int(time.stream)
        fill += count * int(time.fill)
        waiting += count * int(time.words)
        bound += count * int(time.total) if time.words else 0
        words += _pass_sram(shape, work, tile.last).times(count)
        inside += pass_inside(shape, work, each * macs // shape.pieces).times(count)
    return Work(
        stream,
        fill,
        waiting,
        bound,
        0,
        tile.filters.size * macs,
        words,
        inside,
    )


def _pass_sram(shape: RowShape, work: Pass, last: bool) -> Sram:
    """Words of one pass at the array's edge. Every pass takes psums, the first ones the bias."""
    words = pass_words(shape, work)
    psums = int(words.psum)
    return Sram(
        ifmap_reads=int(words.ifmap),
        filter_reads=int(words.filter),
        psum_reads=psums,
        psum_writes=0 if last else psums,
        ofmap_writes=psums if last else 0,
    )
