"""From a row-stationary mapping to the schedule of its tasks, for each array.

A block is the ofmap part whose psums stay in the buffer: n images, e rows, m filters. It takes
its room when it starts and keeps it until its ofmap is stored. Each of its tasks brings the
ifmap and the filters of as many channels as one pass takes, and runs the passes that cover the
m filters.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, map_runs, packed
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_cost import block_bytes, block_words
from accelsim.lowering.row_stationary_unit import RowTile, RowUnit
from accelsim.lowering.schedule import Boxes, Level, Run, Schedule, nested, turns
from accelsim.lowering.target import Target
from accelsim.lowering.task import (
    GemmTile,
    Load,
    Room,
    Span,
    Step,
    Store,
    Work,
)
from accelsim.lowering.tiles import (
    GemmSize,
    TileSizes,
    gemm_tile,
    pieces,
    regions,
    shared_out,
    sums,
    tap_sums,
)

BLOCK = ("groups", "batch", "rows", "cols", "filters")
PASS = ("channels", "tap_rows", "tap_cols")


def row_stationary_schedules(
    kernel: GemmKernel, target: Target, mapping: Mapping
) -> tuple[Schedule, ...]:
    """The schedule of each array: groups, then images and rows, then filters, then channels."""
    steps = _Steps(kernel, target, mapping)
    block = (
        pieces(kernel.groups, 1),
        pieces(kernel.batch, int(mapping.n)),
        regions(kernel.rows, int(mapping.e)),
        regions(kernel.cols, int(mapping.f)),
        pieces(kernel.filters, int(mapping.m)),
    )
    passes = (
        sums(kernel.channels, int(mapping.channels)),
        tap_sums(kernel.rows, int(mapping.tap_rows)),
        tap_sums(kernel.cols, int(mapping.tap_cols)),
    )
    return tuple(
        Schedule(
            nested([Level(share, None), Level((passes,), None)], steps.of_runs, None, None),
            partial(steps.tiles, (share, (passes,))),
        )
        for share in shared_out(block, target.arrays)
    )


@dataclass
class _Steps:
    """The steps of a kernel's tasks; equal ones are one object."""

    kernel: GemmKernel
    target: Target
    mapping: Mapping
    made: dict[GemmSize, Step] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> TileSizes:
        """Those of its tiles."""
        return TileSizes(self.kernel)

    def tile(self, spans: Iterable[Span]) -> GemmTile:
        """The tile of a turn of all loops."""
        return gemm_tile(self.kernel, dict(zip((*BLOCK, *PASS), spans, strict=True)))

    def tiles(self, loops: Sequence[Boxes]) -> Iterator[GemmTile]:
        """The tiles of an array."""
        return map(self.tile, turns(loops))

    def of_runs(self, runs: tuple[Run, ...], before: None, after: None) -> Step:
        """The step of the tiles of a run of each axis."""
        spans = (run.first for run in runs)
        size = self.sizes(dict(zip((*BLOCK, *PASS), spans, strict=True)))
        if size not in self.made:
            self.made[size] = self._build(size)
        return self.made[size]

    def _build(self, tile: GemmSize) -> Step:
        target = self.target
        flight = Room(target.in_flight, 1)
        block = block_rooms(self.kernel, target, self.mapping, tile)
        kept = target.buffer_index("ofmap")
        work = tile_work(self.kernel, target, self.mapping, tile)
        return Step(
            loads=tuple(self._loads(tile, flight)),
            opens=() if tile.ifmap.words else (flight,),
            work=work,
            cycles=work.cycles,
            closes=(flight, *(room for room in block if tile.ends and room.buffer != kept)),
            store=next((self._store(tile, room) for room in block if room.buffer == kept), None)
            if tile.ends
            else None,
            reserves=block if tile.starts else (),
        )

    def _loads(self, tile: GemmSize, flight: Room) -> Iterator[Load]:
        """The ifmap and the filters of a tile, which stream through the room of their block.

        Some taps meet nothing but padding.
        """
        kernel, word = self.kernel, self.target.bytes_of("ifmap")
        read = tile.ifmap
        channels = kernel.groups * kernel.channels
        source = Planes(kernel.batch, channels, kernel.rows.size, kernel.cols.size)
        if read.words:
            yield Load(
                operand="ifmap",
                room=flight,
                needs_inputs=True,
                size=read.words * word,
                runs=map_runs(source, read, word),
            )
        weights = tile.filters * tile.channels * tile.taps
        size = weights * self.target.bytes_of("filter")
        none = Room(flight.buffer, 0)
        yield Load(
            operand="filter",
            room=none,
            needs_inputs=kernel.filter_is_input,
            size=size,
            runs=packed(size),
        )

    def _store(self, tile: GemmSize, room: Room) -> Store:
        """The block's ofmap, whose store frees its `room`."""
        kernel, word = self.kernel, self.target.bytes_of("ofmap")
        filters = kernel.groups * kernel.filters
        whole = Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)
        block = tile.ofmap
        return Store("ofmap", room, block.words * word, map_runs(whole, block, word))


def block_rooms(
    kernel: GemmKernel, target: Target, mapping: Mapping, tile: GemmSize
) -> tuple[Room, ...]:
    """What the block of a tile takes of each buffer."""
    block = replace(mapping, m=tile.filters, n=tile.batch, e=tile.rows, f=tile.cols)
    taken = block_bytes(target, block_words(kernel, target, block))
    return tuple(Room(index, int(size)) for index, size in enumerate(taken) if size)


def tile_work(kernel: GemmKernel, target: Target, mapping: Mapping, tile: GemmSize) -> Work:
    """Cycles and words of the passes of one tile: all its filters, a pass's at a time."""
    unit = RowUnit(target.row_stationary, kernel.windows)
    work = unit.work(
        RowTile(
            images=tile.batch,
            rows=tile.rows,
            cols=tile.cols,
            filters=tile.filters,
            channels=tile.channels,
            tap_rows=tile.tap_rows,
            tap_cols=tile.tap_cols,
            pass_filters=mapping.filters,
            r=mapping.r,
            t=mapping.t,
            ends=tile.ends,
        )
    )
    return work.of_groups(1)
