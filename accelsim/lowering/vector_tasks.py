"""From a tiling of a vector kernel to the schedule of its tasks, for each vector unit.

A block of the ofmap is one task, or several in a row, which keep what they have so far (maxima,
sums) on chip as psums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import cast

from accelsim.dram.transfer import Runs
from accelsim.lowering.footprint import span
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.layout import Planes, map_runs, packed
from accelsim.lowering.schedule import (
    Boxes,
    Level,
    Nest,
    Repeat,
    Run,
    Schedule,
    nested,
    turns_of,
)
from accelsim.lowering.target import Target
from accelsim.lowering.task import (
    Keep,
    Load,
    Pixels,
    Room,
    Span,
    Step,
    Store,
    VectorTile,
    Work,
)
from accelsim.lowering.tiles import finished, pieces, regions, shared_out
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_tiles import block_channels, parts_of_block, tile_of, vector_tiles
from accelsim.lowering.vector_unit import VectorExtents, loaded_inputs, vector_unit


def vector_schedules(
    kernel: VectorKernel, target: Target, tiling: VectorTiling
) -> tuple[Schedule, ...]:
    """The schedule of each array's vector unit."""
    axes = [
        *(
            regions(kernel.depth, block_channels(kernel, tiling)),
            pieces(kernel.batch, tiling.batch),
        ),
        *(regions(kernel.rows, tiling.rows), regions(kernel.cols, tiling.cols)),
    ]
    nobody: list[Boxes] = [()] * (target.arrays - tiling.arrays)
    made = cache(_Blocks(kernel, target, tiling).nest)

    def block(runs: tuple[Run, ...], *_: None) -> Step:
        """Stands for the steps of a block; `_unfolded` opens it."""
        return cast(Step, made(tuple((run.first.start, run.first.stop) for run in runs)))

    return tuple(
        Schedule(
            _unfolded(nested([Level(share, None)], block, None, None)),
            partial(vector_tiles, kernel, tiling, share),
        )
        for share in [*shared_out(axes, tiling.arrays), *nobody]
    )


def _unfolded(nest: Nest) -> Nest:
    """A nest of blocks as the nest of their steps."""
    steps: list[Step | Repeat] = []
    for entry in nest:
        if isinstance(entry, Repeat):
            steps.append(Repeat(_unfolded(entry.body), entry.times))
        else:
            steps.extend(cast(Nest, entry))
    return tuple(steps)


def vector_work(
    kernel: VectorKernel, target: Target, tiling: VectorTiling
) -> Callable[[VectorTile], Work]:
    """What a tile takes, from its coordinates."""
    blocks = _Blocks(kernel, target, tiling)
    work = cache(blocks.work)
    return lambda tile: work(blocks.part(tile))


# --- Steps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The steps of the blocks of a kernel."""

    kernel: VectorKernel
    target: Target
    tiling: VectorTiling

    def nest(self, block: tuple[tuple[int, int], ...]) -> Nest:
        """The steps of a block, given where it begins and ends along each axis."""
        channels, *spans = (Span(*ends) for ends in block)
        pixels = Pixels(*spans)
        box = parts_of_block(self.kernel, self.tiling, pixels, channels)

        def part_of(runs: Sequence[Run]) -> _Part:
            return self.part(tile_of(box, pixels, [run.first for run in runs]))

        parts = list(map(part_of, product(*box)))
        if turns_of(box) == 1:
            return (self.whole(parts[0]),)
        rooms = (map(each, parts) for each in (self.ofmap, self.filters))
        most = max(map(self.words, parts)), *(max(room.size for room in each) for each in rooms)
        make = partial(self.reserved, most) if self.target.reserves_blocks else self.in_parts
        steps = {part: make(part) for part in dict.fromkeys(parts)}

        def step(runs: tuple[Run, ...], *_: None) -> Step:
            return steps[part_of(runs)]

        return nested([Level((box,), None)], step, None, None)

    def part(self, tile: VectorTile) -> "_Part":
        """What a tile reads, does and keeps."""
        kernel, pixels = self.kernel, tile.pixels
        images, channels, piece = pixels.batch.size, tile.channels, tile.channels.size
        down = span(kernel.rows, *_ends(pixels.rows), *_ends(tile.tap_rows))
        across = span(kernel.cols, *_ends(pixels.cols), *_ends(tile.tap_cols))
        deep = span(kernel.depth, *_ends(channels), 0, kernel.depth.kernel)
        window = Planes(images, int(deep), int(down), int(across))
        block = Planes(images, piece, pixels.rows.size, pixels.cols.size)
        alone = tile.alone
        ends = tile.last if not kernel.passes else tile.turn == len(kernel.passes) - 1
        return _Part(
            read=window,
            given=images * piece,
            filters=kernel.filtered * piece * tile.tap_rows.size * tile.tap_cols.size,
            block=block,
            ends=ends or alone,
            operations=block.words * self.operations(tile),
            psum_reads=0 if alone else self.psum_reads(tile),
            psum_writes=0 if alone else self.psum_writes(tile),
            psums=kernel.kept * pixels.count if kernel.passes else kernel.kept_each * block.words,
            first=tile.first,
            last=tile.last,
        )

    def operations(self, tile: VectorTile) -> int:
        """Lane operations per element of a tile's block."""
        kernel = self.kernel
        if tile.alone:
            return kernel.operations
        if kernel.passes:
            return kernel.passes[tile.turn]
        finishing = kernel.operations - kernel.taps * kernel.tap_operations
        taps = tile.tap_rows.size * tile.tap_cols.size
        return taps * kernel.tap_operations + finishing * tile.last

    def psum_reads(self, tile: VectorTile) -> int:
        """Psums that come back: of every element, or what passes made of each pixel."""
        if not self.kernel.passes:
            comes_back = (not tile.first) + (tile.last and self.kernel.own_tap is not None)
            return comes_back * tile.channels.size * tile.pixels.count
        kept = self.kernel.kept
        starts = tile.channels.start == 0 and tile.turn < kept
        return tile.pixels.count * (min(tile.turn + 1, kept) - starts)

    def psum_writes(self, tile: VectorTile) -> int:
        """Psums that wait for the next task: as above."""
        if not self.kernel.passes:
            own = self.kernel.own_tap
            waits = (not tile.last) + (own is not None and own in tile.tap_rows)
            return waits * tile.channels.size * tile.pixels.count
        return tile.pixels.count * (tile.turn < self.kernel.kept)

    # --- A block in one task ----------------------------------------------------------------------

    def whole(self, part: "_Part") -> Step:
        """The step of a block that is one task."""
        target, work = self.target, self.work(part)
        ifmap = Room(target.buffer_index("ifmap"), self.words(part) * target.bytes_of("ifmap"))
        if target.reserves_blocks:
            ofmap, filters = self.ofmap(part), self.filters(part)
            blocks = _merged(ifmap, *_taken([filters]), ofmap)
            loads = self.loads(part, Room(ifmap.buffer, 0), Room(filters.buffer, 0))
            return Step(
                loads=loads,
                opens=(),
                work=work,
                cycles=work.cycles,
                closes=(ifmap, *_taken([filters])),
                store=Store("ofmap", ofmap, ofmap.size, self.writes(part)),
                reserves=blocks,
            )
        loads = self.loads(part, ifmap, self.filters(part))
        way_out = self.ofmap(part)
        opens = (way_out,) if way_out.size else ()
        closes = tuple(load.room for load in loads)
        store, keep = finished(target, way_out, part.block.words, self.writes(part))
        return Step(
            loads=loads,
            opens=opens,
            work=work,
            cycles=work.cycles,
            closes=closes,
            store=store,
            keep=keep,
        )

    # --- A block in several -----------------------------------------------------------------------

    def in_parts(self, part: "_Part") -> Step:
        """The step of one of the tasks of a block; psums of a window become its ofmap."""
        target, work, ofmap = self.target, self.work(part), self.ofmap(part)
        ifmap = Room(target.buffer_index("ifmap"), self.words(part) * target.bytes_of("ifmap"))
        loads = self.loads(part, ifmap, self.filters(part))
        begins, left = self.psum_rooms(part)
        opens, closes = [], [load.room for load in loads]
        if part.first:
            opens.append(begins)
        if part.last:
            closes.append(left)
        if part.ends and not self.becomes_ofmap:
            opens.append(ofmap)
        store, keep = self.output(part, ofmap)
        return Step(
            loads=loads,
            opens=_taken(opens),
            work=work,
            cycles=work.cycles,
            closes=_taken(closes),
            store=store,
            keep=keep,
        )

    def output(self, part: "_Part", ofmap: Room) -> tuple[Store | None, Keep | None]:
        """Where the ofmap of a task goes that has one."""
        if not part.ends:
            return None, None
        return finished(self.target, ofmap, part.block.words, self.writes(part))

    def psum_rooms(self, part: "_Part") -> tuple[Room, Room]:
        """What the psums of a block take at first, and give back at last."""
        size, buffer = part.psums * self.target.bytes_of("psum"), self.target.buffer_index("psum")
        if not self.becomes_ofmap:
            return Room(buffer, size), Room(buffer, size)
        ofmap = self.ofmap(part).size
        return Room(buffer, max(size, ofmap)), Room(buffer, max(size, ofmap) - ofmap)

    @property
    def becomes_ofmap(self) -> bool:
        """Whether finished psums lie where the ofmap has its tile."""
        target = self.target
        shared = target.buffer_index("psum") == target.buffer_index("ofmap")
        return shared and not self.kernel.passes and not target.computes_in_place

    def reserved(self, most: tuple[int, ...], part: "_Part") -> Step:
        """As `in_parts`, but the first task takes room for two of them at once.

        The others follow in that; `most` are the words that one reads, and bytes of its ofmap
        and filters.
        """
        target, work, ofmap = self.target, self.work(part), self.ofmap(part)
        place = Room(target.in_flight, 1)
        operands = Room(target.buffer_index("ifmap"), 2 * most[0] * target.bytes_of("ifmap"))
        psums = Room(target.buffer_index("psum"), part.psums * target.bytes_of("psum"))
        results = Room(ofmap.buffer, most[1] * (2 if self.kernel.passes else 1))
        filters = Room(target.buffer_index("filter"), 2 * most[2])
        closes = [] if part.ends and not part.last else [place]
        if part.last:
            closes += [operands, psums, *_taken([filters])]
        store = None
        if part.ends:
            room = results if part.last else place
            store = Store("ofmap", room, ofmap.size, self.writes(part))
        loads = self.loads(part, place, Room(target.in_flight, 0))
        return Step(
            loads=loads,
            opens=() if place in [load.room for load in loads] else (place,),
            work=work,
            cycles=work.cycles,
            closes=tuple(closes),
            store=store,
            reserves=_merged(operands, *_taken([filters]), psums, results) if part.first else (),
        )

    # --- What a task takes ------------------------------------------------------------------------

    def words(self, part: "_Part") -> int:
        """Words of a part's loaded inputs."""
        return part.words_of(loaded_inputs(self.kernel, self.target))

    def work(self, part: "_Part") -> Work:
        """Its cycles on the lanes."""
        extents = VectorExtents(
            read=part.words_of(self.kernel.inputs),
            written=part.block.words * part.ends,
            operations=part.operations,
            psum_reads=part.psum_reads,
            psum_writes=part.psum_writes,
            filters=part.filters,
        )
        return vector_unit(self.target).work(extents).of_groups(1)

    def ofmap(self, part: "_Part") -> Room:
        """Where its ofmap comes out."""
        target = self.target
        size = 0 if target.computes_in_place else part.block.words * target.bytes_of("ofmap")
        return Room(target.buffer_index("ofmap"), size)

    def filters(self, part: "_Part") -> Room:
        """What its filters take."""
        size = part.filters * self.target.bytes_of("filter")
        return Room(self.target.buffer_index("filter"), size)

    def loads(self, part: "_Part", room: Room, filters: Room) -> tuple[Load, ...]:
        """The transfers of its filters, if it has any, and of its inputs.

        Not of inputs that are resident, or where it reads nothing but padding. They take `room` for
        inputs, and for `filters`.
        """
        kernel, target = self.kernel, self.target
        fetched = loaded_inputs(kernel, target)
        size = self.filters(part).size
        first = (
            (
                Load(
                    operand="filter", room=filters, needs_inputs=False, size=size, runs=packed(size)
                ),
            )
            if size
            else ()
        )
        size = self.words(part) * target.bytes_of("ifmap")
        if not size:
            return first
        source = Planes(kernel.batch, kernel.depth.size, kernel.rows.size, kernel.cols.size)
        runs = map_runs(source, part.read, target.bytes_of("ifmap"), maps=sum(fetched))
        return (*first, Load(operand="ifmap", room=room, needs_inputs=True, size=size, runs=runs))

    def writes(self, part: "_Part") -> Runs:
        """How its ofmap lies in DRAM."""
        kernel = self.kernel
        result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
        return map_runs(result, part.block, self.target.bytes_of("ofmap"))


@dataclass(frozen=True, slots=True)
class _Part:
    """What a task reads of each full ifmap, `given` words of others, and filters; does, and keeps.

    `ends`: its block of the ofmap is finished. `psums`: those that the tasks of its block keep.
    """

    read: Planes
    given: int
    filters: int
    block: Planes
    ends: bool
    operations: int
    psum_reads: int
    psum_writes: int
    psums: int
    first: bool
    last: bool

    def words_of(self, inputs: Sequence[bool]) -> int:
        """Words read of `inputs`."""
        return sum(inputs) * self.read.words + (len(inputs) - sum(inputs)) * self.given


def _ends(span_of: Span) -> tuple[int, int]:
    return span_of.start, span_of.stop


def _taken(rooms: Sequence[Room]) -> tuple[Room, ...]:
    """Those that are any."""
    return tuple(room for room in rooms if room.size)


def _merged(*rooms: Room) -> tuple[Room, ...]:
    """All of them, in the order of the buffers, one for each."""
    sizes: dict[int, int] = {}
    for room in rooms:
        sizes[room.buffer] = sizes.get(room.buffer, 0) + room.size
    return tuple(Room(buffer, sizes[buffer]) for buffer in sorted(sizes))
