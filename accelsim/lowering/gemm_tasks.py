"""From a tiling of a GEMM kernel to the schedule of its tasks, for each systolic array."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from math import prod

from accelsim.dram.transfer import Runs
from accelsim.hardware import Operand
from accelsim.lowering.dataflow import (
    ArrayModel,
    Extents,
    leaves_unfinished,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes, filter_runs, map_runs, packed
from accelsim.lowering.schedule import Schedule, TileLoop, Turn, nested
from accelsim.lowering.systolic import Systolic
from accelsim.lowering.target import Target
from accelsim.lowering.task import (
    GemmTile,
    Keep,
    Load,
    Pixels,
    Room,
    Span,
    Step,
    Store,
    Work,
    spans,
)
from accelsim.lowering.tiles import (
    GemmSize,
    Turns,
    finished,
    pieces,
    pixel_blocks,
    regions,
    share_out,
    shared_out,
    sums,
)
from accelsim.lowering.tiling import GemmTiling

FIELDS: dict[str, tuple[str, ...]] = {
    "groups": ("groups",),
    "batch": ("batch",),
    "rows": ("rows", "down"),
    "cols": ("cols", "across"),
    "filters": ("filters",),
    "channels": ("channels", "starts", "ends"),
}
"""What a turn of each tile loop says of the size of a tile."""

PIXELS = ("batch", "rows", "cols")


@dataclass(frozen=True, slots=True)
class Changes:
    """Which operands' tiles a turn does not share with the turn before it."""

    ifmap: bool = True
    filter: bool = True
    ofmap: bool = True


ALL_NEW = Changes()


@lru_cache(maxsize=256)
def gemm_schedules(kernel: GemmKernel, target: Target, tiling: GemmTiling) -> tuple[Schedule, ...]:
    """The schedule of each array."""
    steps = _Steps(kernel, target, tiling)
    return tuple(steps.schedule(array) for array in range(target.arrays))


def gemm_tiles(
    kernel: GemmKernel, arrays: int, tiling: GemmTiling, array: int
) -> Iterator[GemmTile]:
    """The tiles of an array: groups outermost, then the loops in their order."""
    groups: Sequence[Span] = spans(kernel.groups, tiling.groups)
    axes: dict[str, Sequence[Pixels | Span]] = {
        "pixels": pixel_blocks(kernel.batch, kernel.rows, kernel.cols, tiling),
        "filters": spans(kernel.filters, tiling.filters),
        "channels": spans(kernel.channels, tiling.channels),
    }
    if len(groups) > 1:
        groups = share_out(groups, arrays)[array]
    else:
        axes[tiling.split] = share_out(axes[tiling.split], arrays)[array]
    first, last = axes["channels"][0], axes["channels"][-1]
    taps = (Span(0, kernel.rows.kernel), Span(0, kernel.cols.kernel))
    order = tiling.order.value
    pixels, filters, channels = (order.index(loop) + 1 for loop in axes)
    for turn in product(groups, *(axes[loop] for loop in order)):
        tile = (turn[0], turn[pixels], turn[filters], turn[channels], *taps)
        yield GemmTile(*tile, turn[channels] is first, turn[channels] is last)  # type: ignore[arg-type]


def _changes(loops: Sequence[tuple[tuple[str, ...], Turns]]) -> Changes:
    """What changes when the first of `loops` advances and those inside of it start again."""
    names = {name for at, (each, turns) in enumerate(loops) if not at or turns[1:] for name in each}
    groups = "groups" in names
    pixels = groups or not names.isdisjoint(PIXELS)
    filters = groups or "filters" in names
    channels = "channels" in names
    return Changes(pixels or channels, filters or channels, pixels or filters)


@dataclass
class _Steps:
    """The steps of a kernel's tasks."""

    kernel: GemmKernel
    target: Target
    tiling: GemmTiling

    def schedule(self, array: int) -> Schedule:
        """The steps of an array."""
        loops = self._loops(array)
        names = [field for each, _ in loops for name in each for field in FIELDS[name]]

        def step(values: Turn, before: Changes, after: Changes) -> Step:
            size = GemmSize(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
            return self._build(size, before, after)

        levels = [TileLoop(turns, _changes(loops[at:])) for at, (_, turns) in enumerate(loops)]
        tiles = partial(gemm_tiles, self.kernel, self.target.arrays, self.tiling, array)
        channels = next(at for at, (each, _) in enumerate(loops) if each == ("channels",))
        lag = prod(len(turns) for _, turns in loops[channels + 1 :])
        return Schedule(nested(levels, step, ALL_NEW, ALL_NEW), tiles, lag)

    def _loops(self, array: int) -> list[tuple[tuple[str, ...], Turns]]:
        """The tile loops, outermost first; those that arrays share out are one, of its turns."""
        kernel, tiling = self.kernel, self.tiling
        turns: dict[str, Turns] = {
            "groups": pieces(kernel.groups, tiling.groups),
            "batch": pieces(kernel.batch, tiling.batch),
            "rows": regions(kernel.rows, tiling.rows),
            "cols": regions(kernel.cols, tiling.cols),
            "filters": pieces(kernel.filters, tiling.filters),
            "channels": sums(kernel.channels, tiling.channels),
        }
        order = [("groups",)]
        for loop in tiling.order.value:
            order += [(name,) for name in PIXELS] if loop == "pixels" else [(loop,)]
        if self.target.arrays == 1:
            return [(name, turns[name[0]]) for name in order]
        split = PIXELS if tiling.split == "pixels" else (tiling.split,)
        shared = ("groups",) if len(turns["groups"]) > 1 else split
        (share,) = shared_out([turns[name] for name in shared], self.target.arrays)[array]
        return [
            (shared, share) if name[0] == shared[0] else (name, turns[name[0]])
            for name in order
            if name[0] not in shared[1:]
        ]

    def _build(self, size: GemmSize, before: Changes, after: Changes) -> Step:
        resident = self.target.residence.ifmap
        ifmap = self._room("ifmap", size.groups * size.channels * size.ifmap_words)
        taps = size.channels * self.kernel.taps
        filters = self._room("filter", size.groups * size.filters * taps)
        output = self._output(size, before, after)
        loads = [*output.loads]
        if before.ifmap and not resident:
            runs = map_runs(self._ifmap, size.ifmap, self.target.bytes_of("ifmap"))
            loads.insert(0, Load("ifmap", ifmap, True, ifmap.size, runs))
        if before.filter:
            runs = self._filter_runs(size)
            needs_inputs = self.kernel.filter_is_input
            loads.insert(0, Load("filter", filters, needs_inputs, filters.size, runs))
        closes = [*output.closes]
        if after.ifmap and not resident:
            closes.append(ifmap)
        if after.filter:
            closes.append(filters)
        work = gemm_work(self.target.array, size.groups, self._extents(size))
        rooms = (tuple(loads), output.opens, work, work.cycles, tuple(closes))
        return Step(*rooms, output.store, output.keep)

    @property
    def _ifmap(self) -> Planes:
        kernel = self.kernel
        channels = kernel.groups * kernel.channels
        return Planes(kernel.batch, channels, kernel.rows.size, kernel.cols.size)

    @property
    def _ofmap(self) -> Planes:
        kernel = self.kernel
        filters = kernel.groups * kernel.filters
        return Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)

    def _filter_runs(self, size: GemmSize) -> Runs:
        filters, word = size.groups * size.filters, self.target.bytes_of("filter")
        if not self.kernel.filter_is_input:
            return packed(filters * size.channels * self.kernel.taps * word)
        row, part = (count * self.kernel.taps for count in (self.kernel.channels, size.channels))
        return filter_runs(filters, row, part, word)

    def _extents(self, size: GemmSize) -> Extents:
        depth = size.channels * self.kernel.taps
        taps = self.kernel.taps
        return Extents(size.pixels, size.filters, depth, size.starts, size.ends, taps)

    def _room(self, operand: Operand, words: int) -> Room:
        return Room(self.target.buffer_index(operand), words * self.target.bytes_of(operand))

    def _output(self, size: GemmSize, before: Changes, after: Changes) -> "_Output":
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
        loads = (Load("psum", psum, False, psum.size, psums),) if continues else ()
        opens = _without(rooms, psum) if loads else rooms
        if not before.ofmap:
            opens = ()
        if not after.ofmap:
            return _Output(loads, opens, (), None, None)
        if not size.ends:
            store = Store("psum", psum, psum.size, psums)
            return _Output(loads, opens, _without(rooms, psum), store, None)
        runs = map_runs(self._ofmap, size.ofmap, self.target.bytes_of("ofmap"))
        way_out = finished(self.target, ofmap, words, runs)
        return _Output(loads, opens, _without(rooms, ofmap), *way_out)

    @property
    def _stores_psums(self) -> bool:
        """Whether sums leave the array unfinished: k takes several folds or tiles."""
        channels = self.tiling.channels
        taps = self.kernel.taps
        folds_k = leaves_unfinished(self.target.array, channels * taps, taps)
        return bool(folds_k) or channels < self.kernel.channels


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


@lru_cache(maxsize=4096)
def gemm_work(model: ArrayModel, groups: int, tile: Extents) -> Work:
    """Cycles and words of one tile of `groups` groups, summed over its folds."""
    return Systolic(model).work(tile).of_groups(groups)
