"""From a tiling of a GEMM kernel to the schedule of its tasks, for each systolic array."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from accelsim.dram.transfer import Runs
from accelsim.hardware import Operand
from accelsim.lowering.cut import Piece, pieces_of
from accelsim.lowering.dataflow import (
    ArrayModel,
    Extents,
    leaves_unfinished,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, filter_runs, map_runs, packed
from accelsim.lowering.pooling import pooled_sides
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
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.target import Target
from accelsim.lowering.task import (
    GemmTile,
    Keep,
    Load,
    Room,
    Span,
    Step,
    Store,
    Work,
)
from accelsim.lowering.tiles import (
    GemmSize,
    finished,
    gemm_tile,
    pieces,
    regions,
    shared_out,
    size_of,
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


@dataclass(frozen=True, slots=True)
class Changes:
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
    if piece.start:
        axes[piece.axis] = tuple(run.moved(piece.start) for run in axes[piece.axis])
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
    made: dict[tuple[GemmSize, Changes, Changes, int], Step] = field(default_factory=dict)
    works: dict[tuple[int, Extents], Work] = field(default_factory=dict)

    def schedule(self, loops: Loops) -> Schedule:
        """What an array does whose tile loops are `loops`, outermost first."""
        names = [name for loop in loops for name in AXES[loop]]
        order = [*loops]

        def tile(spans: Iterable[Span]) -> GemmTile:
            return gemm_tile(self.kernel, dict(zip(names, spans, strict=True)))

        def tiles() -> Iterator[GemmTile]:
            return map(tile, turns([*loops.values()]))

        several = [loop for loop in order if sum(map(turns_of, loops[loop])) > 1]
        inside = [[each for each in several if order.index(each) > at] for at in range(len(order))]
        anew = self.target.loads_anew
        levels = [
            Level(boxes, _changes([loop, *inner], anew))
            for (loop, boxes), inner in zip(loops.items(), inside, strict=True)
        ]
        between = prod(level.turns for level in levels[order.index("channels") + 1 :])

        def step(runs: tuple[Run, ...], before: Changes, after: Changes) -> Step:
            return self.step(tile(run.first for run in runs), before, after, between)

        return Schedule(nested(levels, step, ALL_NEW, ALL_NEW), tiles)

    def step(self, tile: GemmTile, before: Changes, after: Changes, between: int) -> Step:
        """The step of a tile, given what changes before and after it.

        From one visit of its output to the next there are so many tiles.
        """
        key = size_of(self.kernel, tile), before, after, between
        if key not in self.made:
            self.made[key] = self._build(*key)
        return self.made[key]

    def _build(self, size: GemmSize, before: Changes, after: Changes, between: int) -> Step:
        ifmap = self._room("ifmap", size.groups * size.channels * size.ifmap_words)
        reads_ifmap = ifmap.size > 0 and not self.target.residence.ifmap
        weights = size.groups * size.filters * size.channels * size.taps
        filters = self._room("filter", weights * (self.target.residence.filter == "fetched"))
        output = self._output(size, before, after, between)
        loads = [*output.loads]
        if before.ifmap and reads_ifmap:
            runs = map_runs(self._ifmap, size.ifmap, self.target.bytes_of("ifmap"))
            load = Load(operand="ifmap", room=ifmap, needs_inputs=True, size=ifmap.size, runs=runs)
            loads.insert(0, load)
        if before.filter and self.target.residence.filter != "there":
            runs, words = self._filter_runs(size), weights * self.target.bytes_of("filter")
            needs_inputs = self.kernel.filter_is_input
            load = Load(
                operand="filter", room=filters, needs_inputs=needs_inputs, size=words, runs=runs
            )
            loads.insert(0, load)
        adds = size.ends and self.kernel.addend
        if adds and not self.target.residence.addend:
            loads.append(self._addend(size))
        closes = [*output.closes]
        if after.ifmap and reads_ifmap:
            closes.append(ifmap)
        if after.filter and filters.size:
            closes.append(filters)
        work = self._work(size.groups, extents_of(self.kernel, size))
        work = _with_addend(self.kernel, self.target, size, work)
        return Step(
            loads=tuple(loads),
            opens=output.opens,
            work=work,
            cycles=work.cycles,
            closes=tuple(closes),
            store=output.store,
            keep=output.keep,
        )

    def _addend(self, size: GemmSize) -> Load:
        """What is added to finished results: it streams past them, and takes no room."""
        nowhere, word = self._room("ofmap", 0), self.target.bytes_of("ifmap")
        words = size.groups * size.pixels * size.filters
        runs = map_runs(self._ofmap, size.ofmap, word)
        return Load(
            operand="ifmap",
            room=nowhere,
            needs_inputs=True,
            size=words * word,
            runs=runs,
            addend=True,
        )

    def _work(self, groups: int, tile: Extents) -> Work:
        """The work of a tile, which is the same whatever lies around it."""
        work = self.works.get((groups, tile))
        if work is None:
            work = self.works[groups, tile] = gemm_work(self.target.array, groups, tile)
        return work

    @property
    def _ifmap(self) -> Planes:
        kernel = self.kernel
        channels = kernel.groups * kernel.channels
        return Planes(kernel.batch, channels, *kernel.ifmap_sides)

    @property
    def _ofmap(self) -> Planes:
        kernel = self.kernel
        filters = kernel.groups * kernel.filters
        return Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)

    def _filter_runs(self, size: GemmSize) -> Runs:
        filters, word = size.groups * size.filters, self.target.bytes_of("filter")
        if not self.kernel.filter_is_input:
            return packed(filters * size.channels * size.taps * word)
        row, part = self.kernel.channels * self.kernel.taps, size.channels * size.taps
        return filter_runs(filters, row, part, word)

    def _room(self, operand: Operand, words: int) -> Room:
        return Room(self.target.buffer_index(operand), words * self.target.bytes_of(operand))

    def _output(self, size: GemmSize, before: Changes, after: Changes, between: int) -> "_Output":
        """Room and transfers of psums and ofmap.

        A visit of an output tile opens room for its psums, if any leave the array, and for
        the ofmap, if the visit completes it. A store keeps the room until it is done.
        """
        words = size.groups * size.pixels * size.filters
        psum = self._room("psum", words * self._stores_psums)
        ofmap = self._room("ofmap", words * (not self.target.computes_in_place))
        completes = size.ends if before.ofmap and after.ofmap else True
        rooms = _together(psum, ofmap) if completes else (psum,)
        psums = map_runs(self._ofmap, size.ofmap, self.target.bytes_of("psum"))
        continues = before.ofmap and not size.starts
        back = Load(
            operand="psum",
            room=psum,
            needs_inputs=False,
            size=psum.size,
            runs=psums,
            behind=between,
        )
        loads = (back,) if continues else ()
        opens = _without(rooms, psum) if loads else rooms
        if not before.ofmap:
            opens = ()
        if not after.ofmap:
            return _Output(loads=loads, opens=opens, closes=(), store=None, keep=None)
        if not size.ends:
            waits, closes = Store("psum", psum, psum.size, psums), _without(rooms, psum)
            return _Output(loads=loads, opens=opens, closes=closes, store=waits, keep=None)
        left = replace(size.ofmap, **self._pooled(size.rows, size.cols))
        whole = replace(self._ofmap, **self._pooled(self._ofmap.rows, self._ofmap.cols))
        runs = map_runs(whole, left, self.target.bytes_of("ofmap"))
        store, keep = finished(self.target, ofmap, left.words, runs)
        closes = _without(rooms, ofmap)
        return _Output(loads=loads, opens=opens, closes=closes, store=store, keep=keep)

    def _pooled(self, rows: int, cols: int) -> dict[str, int]:
        """What leaves of so many rows and columns of the ofmap."""
        return dict(zip(("rows", "cols"), pooled_sides(self.kernel, rows, cols), strict=True))

    @property
    def _stores_psums(self) -> bool:
        """Whether sums leave the array unfinished: k takes several folds or tiles."""
        tiling, kernel = self.tiling, self.kernel
        taps = min(tiling.tap_rows, kernel.rows.kernel) * min(tiling.tap_cols, kernel.cols.kernel)
        depth = min(tiling.channels, kernel.channels) * taps
        folds_k = leaves_unfinished(self.target.array, depth, taps)
        return bool(folds_k) or depth < kernel.channels * kernel.taps


@dataclass(frozen=True, slots=True)
class _Output:
    """What a step does for its psums and ofmap."""

    loads: tuple[Load, ...]
    opens: tuple[Room, ...]
    closes: tuple[Room, ...]
    store: Store | None
    keep: Keep | None


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
