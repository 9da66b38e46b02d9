"""From a tiling of a GEMM kernel to the schedule of its tasks, for each systolic array."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from math import prod
from typing import NamedTuple

from accelsim.dram.transfer import Runs
from accelsim.hardware import Operand
from accelsim.lowering.cut import Piece, pieces_of
from accelsim.lowering.dataflow import ArrayModel, Extents, leaves_unfinished
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, filter_runs, map_runs, packed
from accelsim.lowering.pooling import pooled_sides
from accelsim.lowering.processor import TileWork
from accelsim.lowering.schedule import (
    Box,
    Boxes,
    Level,
    Run,
    Schedule,
    in_turn,
    nested,
    turns,
    turns_of,
)
from accelsim.lowering.systolic import Systolic, work_of_each
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Keep, Load, Room, Span, Step, Store, Work
from accelsim.lowering.tiles import (
    GemmSize,
    TileSizes,
    finished,
    gemm_tile,
    outer,
    pieces,
    regions,
    shared_out,
    sums,
    tap_sums,
)
from accelsim.lowering.tiling import CutTiling, GemmTiling
from accelsim.lowering.traffic import Sram

AXES: dict[str, tuple[str, ...]] = {
    "groups": ("groups",),
    "pixels": ("batch", "rows", "cols"),
    "filters": ("filters",),
    "channels": ("channels", "tap_rows", "tap_cols"),
}
"""The axes of each tile loop, the last one fastest; taps count as the channels' loop."""


class Changes(NamedTuple):
    """Which operands' tiles a turn does not share with the turn before it."""

    ifmap: bool = True
    filter: bool = True
    ofmap: bool = True


ALL_NEW = Changes()


def gemm_schedules(
    kernel: GemmKernel, target: Target, tiling: GemmTiling | CutTiling
) -> tuple[Schedule, ...]:
    """The schedule of each array; those that the tiling has no use for do nothing."""
    of_pieces = [_schedules(kernel, target, piece) for piece in pieces_of(kernel, tiling)]
    return tuple(map(in_turn, zip(*of_pieces, strict=True)))


def _schedules(kernel: GemmKernel, target: Target, piece: Piece) -> list[Schedule]:
    """What each array does for a piece of a kernel."""
    steps = _Steps(kernel=kernel, target=target, tiling=piece.tiling)
    return [steps.schedule(loops) for loops in _loops(piece, target.arrays)]


Loops = dict[str, Boxes]


def _loops(piece: Piece, arrays: int) -> Iterator[Loops]:
    """The tile loops of each array, outermost first: groups, then the others in their order."""
    kernel, tiling = piece.kernel, piece.tiling
    axes = {
        "groups": pieces(kernel.groups, tiling.groups),
        "batch": pieces(kernel.batch, tiling.batch),
        "rows": regions(kernel.rows, tiling.rows),
        "cols": regions(kernel.cols, tiling.cols),
        "filters": pieces(kernel.filters, tiling.filters),
        "channels": sums(kernel.channels, tiling.channels),
        "tap_rows": tap_sums(kernel.rows, tiling.tap_rows),
        "tap_cols": tap_sums(kernel.cols, tiling.tap_cols),
    }
    for axis, start in piece.starts.items():
        axes[axis] = tuple(run.moved(start) for run in axes[axis])
    cut: dict[str, Box] = {loop: tuple(axes[axis] for axis in AXES[loop]) for loop in AXES}
    order = ("groups", *tiling.order.value)
    split = tiling.split
    shares = shared_out(cut[split], tiling.arrays) + [()] * (arrays - tiling.arrays)
    for share in shares:
        yield {loop: share if loop == split else (cut[loop],) for loop in order}


def _changes(loops: Sequence[str], anew: bool) -> Changes:
    """What changes when the first of `loops` advances and the others start again.

    Inputs that are brought `anew` count as changed in every turn.
    """
    groups = "groups" in loops
    pixels = groups or "pixels" in loops
    filters = groups or "filters" in loops
    channels = "channels" in loops
    ifmap, weights = pixels or channels, filters or channels
    return Changes(ifmap or anew, weights or anew, pixels or filters)


@dataclass
class _Steps:
    """The steps of a kernel's tasks; equal ones are one object."""

    kernel: GemmKernel
    target: Target
    tiling: GemmTiling
    tile_works: dict[Extents, TileWork] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = TileSizes(self.kernel)
        self.step = cache(self._step)
        self.parts = cache(self._parts)
        self.work = cache(self._work)
        self.ifmap_loads = cache(self._ifmap_loads)
        self.filter_load = cache(self._filter_load)
        self.output = cache(self._output)

    def schedule(self, loops: Loops) -> Schedule:
        """What an array does whose tile loops are `loops`, outermost first."""
        names = [name for loop in loops for name in AXES[loop]]
        order = [*loops]

        def at(spans: Iterable[Span]) -> dict[str, Span]:
            return dict(zip(names, spans, strict=True))

        def tiles() -> Iterator[GemmTile]:
            return (gemm_tile(self.kernel, at(spans)) for spans in turns([*loops.values()]))

        several = [loop for loop in order if sum(map(turns_of, loops[loop])) > 1]
        inside = [[each for each in several if order.index(each) > at] for at in range(len(order))]
        anew = self.target.loads_anew
        levels = [
            Level(boxes, _changes([loop, *inner], anew))
            for (loop, boxes), inner in zip(loops.items(), inside, strict=True)
        ]
        between = prod(level.turns for level in levels[order.index("channels") + 1 :])
        self.find_works(loops)

        def step(runs: tuple[Run, ...], before: Changes, after: Changes) -> Step:
            size = self.sizes(at([run.first for run in runs]))
            return self.step(size, before, after, between)

        return Schedule(nested(levels, step, ALL_NEW, ALL_NEW), tiles)

    def find_works(self, loops: Loops) -> None:
        """Find the work of all tiles of loops together."""
        new = [*dict.fromkeys(_extents(self.kernel, loops)) - self.tile_works.keys()]
        if new:
            self.tile_works.update(work_of_each(self.target.array, new))

    def _step(self, size: GemmSize, before: Changes, after: Changes, between: int) -> Step:
        """The step of a tile, given what changes before and after it.

        From one visit of its output to the next there are so many tiles.
        """
        tile = self.parts(size)
        visit = _Visit(size.starts, size.ends, before.ofmap, after.ofmap)
        output = self.output(tile.block, visit, between)
        loads, closes = (*output.loads, *tile.addends), output.closes
        if before.ifmap:
            loads = (*tile.ifmaps, *loads)
        if before.filter:
            loads = (*tile.filters, *loads)
        if after.ifmap:
            closes = (*closes, *_rooms(tile.ifmaps))
        if after.filter:
            closes = (*closes, *_rooms(tile.filters))
        return Step(
            loads=loads,
            opens=output.opens,
            work=tile.work,
            cycles=tile.work.cycles,
            closes=closes,
            store=output.store,
            keep=output.keep,
        )

    def _parts(self, size: GemmSize) -> "_Parts":
        """What all steps of a tile size share."""
        residence, block = self.target.residence, size.ofmap
        filters = self.filter_load(size.groups * size.filters, size.channels, size.taps)
        adds = size.ends and self.kernel.addend and not residence.addend
        work = self.work(size.groups, extents_of(self.kernel, size))
        return _Parts(
            block=block,
            ifmaps=self.ifmap_loads(size.ifmap),
            filters=() if residence.filter == "there" else (filters,),
            addends=(self._addend(block),) if adds else (),
            work=_with_addend(self.kernel, self.target, size, work),
        )

    def _work(self, groups: int, tile: Extents) -> Work:
        """The work of a tile, which is the same whatever lies around it."""
        return self.tile_works[tile].of_groups(groups)

    def _ifmap_loads(self, block: Planes) -> tuple[Load, ...]:
        """What a tile reads of the ifmap, if that does not lie on chip."""
        room = self._room("ifmap", block.words)
        if self.target.residence.ifmap or not room.size:
            return ()
        runs = map_runs(self._ifmap, block, self.target.bytes_of("ifmap"))
        load = Load(operand="ifmap", room=room, needs_inputs=True, size=room.size, runs=runs)
        return (load,)

    def _filter_load(self, filters: int, channels: int, taps: int) -> Load:
        """A tile's filters; they take room where they are fetched for it."""
        words = filters * channels * taps
        return Load(
            operand="filter",
            room=self._room("filter", words * (self.target.residence.filter == "fetched")),
            needs_inputs=self.kernel.filter_is_input,
            size=words * self.target.bytes_of("filter"),
            runs=self._filter_runs(filters, channels * taps),
        )

    def _filter_runs(self, filters: int, part: int) -> Runs:
        word = self.target.bytes_of("filter")
        if not self.kernel.filter_is_input:
            return packed(filters * part * word)
        return filter_runs(filters, self.kernel.channels * self.kernel.taps, part, word)

    def _addend(self, block: Planes) -> Load:
        """What is added to finished results: it streams past them, and takes no room."""
        word = self.target.bytes_of("ifmap")
        return Load(
            operand="ifmap",
            room=self._room("ofmap", 0),
            needs_inputs=True,
            size=block.words * word,
            runs=map_runs(self._ofmap, block, word),
            addend=True,
        )

    @cached_property
    def _ifmap(self) -> Planes:
        kernel = self.kernel
        channels = kernel.groups * kernel.channels
        return Planes(kernel.batch, channels, *kernel.ifmap_sides)

    @cached_property
    def _ofmap(self) -> Planes:
        kernel = self.kernel
        filters = kernel.groups * kernel.filters
        return Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)

    @cached_property
    def _written(self) -> Planes:
        """The ofmap as it is stored."""
        return self._left_of(self._ofmap)

    def _left_of(self, block: Planes) -> Planes:
        """What leaves of a block of the ofmap."""
        sides = pooled_sides(self.kernel, block.rows, block.cols)
        return Planes(block.batch, block.channels, *sides)

    def _room(self, operand: Operand, words: int) -> Room:
        return Room(self.target.buffer_index(operand), words * self.target.bytes_of(operand))

    def _psum_runs(self, block: Planes) -> Runs:
        return map_runs(self._ofmap, block, self.target.bytes_of("psum"))

    def _output(self, block: Planes, visit: "_Visit", between: int) -> "_Output":
        """Room and transfers of psums and ofmap.

        A visit of an output tile opens room for its psums, if any leave the array, and for
        the ofmap, if the visit completes it. A store keeps the room until it is done.
        """
        psum = self._room("psum", block.words * self._stores_psums)
        ofmap = self._room("ofmap", block.words * (not self.target.computes_in_place))
        completes = visit.ends or not (visit.begins and visit.leaves)
        rooms = _together(psum, ofmap) if completes else (psum,)
        continues = visit.begins and not visit.starts
        loads = (self._back(psum, block, between),) if continues else ()
        opens = _without(rooms, psum) if loads else rooms
        if not visit.begins:
            opens = ()
        if not visit.leaves:
            return _Output(loads=loads, opens=opens, closes=(), store=None, keep=None)
        if not visit.ends:
            waits = Store("psum", psum, psum.size, self._psum_runs(block))
            closes = _without(rooms, psum)
            return _Output(loads=loads, opens=opens, closes=closes, store=waits, keep=None)
        store, keep = self._ofmap_out(block, ofmap)
        closes = _without(rooms, ofmap)
        return _Output(loads=loads, opens=opens, closes=closes, store=store, keep=keep)

    def _ofmap_out(self, block: Planes, room: Room) -> tuple[Store | None, Keep | None]:
        """Where a finished block of the ofmap goes that has `room`."""
        left = self._left_of(block)
        runs = map_runs(self._written, left, self.target.bytes_of("ofmap"))
        return finished(self.target, room, left.words, runs)

    def _back(self, psum: Room, block: Planes, between: int) -> Load:
        """The psums of a visit before this one."""
        return Load(
            operand="psum",
            room=psum,
            needs_inputs=False,
            size=psum.size,
            runs=self._psum_runs(block),
            behind=between,
        )

    @cached_property
    def _stores_psums(self) -> bool:
        """Whether sums leave the array unfinished: k takes several folds or tiles."""
        tiling, kernel = self.tiling, self.kernel
        taps = min(tiling.tap_rows, kernel.rows.kernel) * min(tiling.tap_cols, kernel.cols.kernel)
        depth = min(tiling.channels, kernel.channels) * taps
        folds_k = leaves_unfinished(self.target.array, depth, taps)
        return bool(folds_k) or depth < kernel.channels * kernel.taps


def _extents(kernel: GemmKernel, loops: Loops) -> Iterator[Extents]:
    """The sizes of all tiles that loops may have, as the array sees them."""
    spans = _spans(loops)
    sizes = {axis: {span.size for span in found} for axis, found in spans.items()}
    pixels = {
        (batch * rows * cols, kernel.lines(batch, rows))
        for batch, rows, cols in product(sizes["batch"], sizes["rows"], sizes["cols"])
    }
    sums_at = {
        (channels.size, down.size * across.size, *outer(kernel, channels, down, across))
        for channels, down, across in product(*(spans[axis] for axis in AXES["channels"]))
    }
    for (m, lines), n, (channels, taps, starts, ends) in product(pixels, sizes["filters"], sums_at):
        yield Extents(m=m, n=n, k=channels * taps, starts=starts, ends=ends, taps=taps, lines=lines)


def _spans(loops: Loops) -> dict[str, set[Span]]:
    """By axis, a span of each run of all loops."""
    found: dict[str, set[Span]] = {axis: set() for loop in loops for axis in AXES[loop]}
    for loop, boxes in loops.items():
        for box in boxes:
            for name, axis in zip(AXES[loop], box, strict=True):
                found[name].update(run.first for run in axis)
    return found


@dataclass(frozen=True, slots=True)
class _Parts:
    """What tiles of one size move and take, whatever changes around them, and their ofmap."""

    block: Planes
    ifmaps: tuple[Load, ...]
    filters: tuple[Load, ...]
    addends: tuple[Load, ...]
    work: Work


class _Visit(NamedTuple):
    """Whether sums start and end in a tile, and whether it is the first and last of its visit."""

    starts: bool
    ends: bool
    begins: bool
    leaves: bool


@dataclass(frozen=True, slots=True)
class _Output:
    """What a step does for its psums and ofmap."""

    loads: tuple[Load, ...]
    opens: tuple[Room, ...]
    closes: tuple[Room, ...]
    store: Store | None
    keep: Keep | None


def _rooms(loads: tuple[Load, ...]) -> list[Room]:
    """What loads take in buffers."""
    return [load.room for load in loads if load.room.size]


def _together(psum: Room, ofmap: Room) -> tuple[Room, ...]:
    """Room for psums and ofmap; in one buffer the ofmap takes the place of its psums."""
    if psum.buffer == ofmap.buffer:
        rooms = (Room(psum.buffer, max(psum.size, ofmap.size)),)
        return rooms if rooms[0].size else ()
    return tuple(room for room in (psum, ofmap) if room.size)


def _without(rooms: tuple[Room, ...], taken: Room) -> tuple[Room, ...]:
    """What is left of `rooms` when `taken` is out."""
    left = (
        Room(room.buffer, room.size - taken.size if room.buffer == taken.buffer else room.size)
        for room in rooms
    )
    return tuple(room for room in left if room.size)


def extents_of(kernel: GemmKernel, size: GemmSize) -> Extents:
    """A tile's sizes as the array sees them, those of one group."""
    return Extents(
        m=size.pixels,
        n=size.filters,
        k=size.channels * size.taps,
        starts=size.starts,
        ends=size.ends,
        taps=size.taps,
        lines=kernel.lines(size.batch, size.rows),
    )


def tile_work(kernel: GemmKernel, target: Target, size: GemmSize) -> Work:
    """Cycles and words of a tile."""
    work = gemm_work(target.array, size.groups, extents_of(kernel, size))
    return _with_addend(kernel, target, size, work)


def _with_addend(kernel: GemmKernel, target: Target, size: GemmSize, work: Work) -> Work:
    """The work with the words of what is added on the way out, where that lies on chip."""
    if not (size.ends and kernel.addend and target.residence.addend):
        return work
    return replace(work, sram=work.sram + Sram(ifmap_reads=size.ofmap.words))


def gemm_work(model: ArrayModel, groups: int, tile: Extents) -> Work:
    """Cycles and words of one tile of `groups` groups, summed over its folds."""
    return Systolic(model).work(tile).of_groups(groups)
