"""From a tiling to the list of its tasks, for each array."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from math import ceil
from typing import TypeVar

from accelsim.dram.transfer import Runs
from accelsim.hardware import Operand
from accelsim.lowering.cost import Loop, LoopOrder, Target
from accelsim.lowering.dataflow import (
    Extents,
    FoldClass,
    fold_classes,
    fold_time,
    operand_area,
    tail_cycles,
)
from accelsim.lowering.inside import fold_inside
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.layout import Planes, filter_runs, map_runs, packed
from accelsim.lowering.task import (
    GemmTile,
    Keep,
    Load,
    Pixels,
    Room,
    Span,
    Step,
    Store,
    Task,
    VectorTile,
    Work,
    spans,
)
from accelsim.lowering.tiling import GemmTiling, VectorTiling, loaded_inputs
from accelsim.lowering.traffic import Inside, Sram
from accelsim.network.ops import Window
from accelsim.units import ceil_div

Item = TypeVar("Item")


def pixel_blocks(
    batch: int, rows: Window, cols: Window, tiling: GemmTiling | VectorTiling
) -> tuple[Pixels, ...]:
    """The ofmap cut into blocks, columns fastest."""
    axes = (
        spans(batch, tiling.batch),
        spans(rows.outputs, tiling.rows),
        spans(cols.outputs, tiling.cols),
    )
    return tuple(Pixels(*chosen) for chosen in product(*axes))


def ifmap_region(rows: Window, cols: Window, pixels: Pixels) -> tuple[Span, Span]:
    """The ifmap rows and columns that a block of the ofmap reads: halos included, padding not."""
    return (
        Span(*rows.span(pixels.rows.start, pixels.rows.stop)),
        Span(*cols.span(pixels.cols.start, pixels.cols.stop)),
    )


def share_out(items: Sequence[Item], arrays: int) -> list[Sequence[Item]]:
    """Contiguous blocks of `items`, one for each array; the last ones may be empty."""
    block = ceil_div(len(items), arrays)
    return [items[array * block : (array + 1) * block] for array in range(arrays)]


# --- GEMM kernels ---------------------------------------------------------------------------------

Turn = tuple[Span, Pixels, Span, Span]  # groups, pixels, filters, channels


@dataclass(frozen=True, slots=True)
class Changes:
    """Which operands' tiles a turn does not share with the turn before it."""

    ifmap: bool = True
    filter: bool = True
    ofmap: bool = True


_CHANGES = {flags: Changes(*flags) for flags in product((False, True), repeat=3)}
ALL_NEW = Changes()


@lru_cache(maxsize=64)
def gemm_tasks(
    kernel: GemmKernel, target: Target, tiling: GemmTiling
) -> tuple[tuple[Task, ...], ...]:
    """The tasks of each array, in order."""
    groups = spans(kernel.groups, tiling.groups)
    axes: dict[Loop, Sequence[Pixels | Span]] = {
        "pixels": pixel_blocks(kernel.batch, kernel.rows, kernel.cols, tiling),
        "filters": spans(kernel.filters, tiling.filters),
        "channels": spans(kernel.channels, tiling.channels),
    }
    steps = _Steps(kernel, target, tiling)
    if len(groups) > 1:
        shares = [(share, axes) for share in share_out(groups, target.arrays)]
    else:
        parts = share_out(axes[tiling.split], target.arrays)
        shares = [(groups, {**axes, tiling.split: part}) for part in parts]
    return tuple(tuple(_gemm_tasks(*share, tiling, steps)) for share in shares)


def _gemm_tasks(
    groups: Sequence[Span],
    axes: dict[Loop, Sequence[Pixels | Span]],
    tiling: GemmTiling,
    steps: "_Steps",
) -> Iterator[Task]:
    turns = list(_turns(groups, axes, tiling.order.value))
    changes = [ALL_NEW, *map(_changes, turns, turns[1:]), ALL_NEW]
    first, last = axes["channels"][0], axes["channels"][-1]
    spilled: dict[tuple[int, int, int], Task] = {}
    for index, turn in enumerate(turns):
        groups_span, pixels, filters, channels = turn
        starts, ends = channels is first, channels is last
        step = steps.step(turn, starts, ends, changes[index], changes[index + 1])
        tile = GemmTile(groups_span, pixels, filters, channels, starts, ends)
        if not steps.spills:
            yield Task(tile, step)
            continue
        output = (id(groups_span), id(pixels), id(filters))
        task = Task(tile, step, spilled.get(output) if changes[index].ofmap else None)
        spilled[output] = task
        yield task


def _turns(
    groups: Sequence[Span], axes: dict[Loop, Sequence[Pixels | Span]], order: tuple[Loop, ...]
) -> Iterator[Turn]:
    """Every combination, groups outermost, then the loops in `order`."""
    pixels, filters, channels = (
        order.index(loop) + 1 for loop in ("pixels", "filters", "channels")
    )
    for turn in product(groups, *(axes[loop] for loop in order)):
        yield turn[0], turn[pixels], turn[filters], turn[channels]  # type: ignore[misc]


def _changes(before: Turn, now: Turn) -> Changes:
    """What differs between two turns; spans are shared, so identity tells."""
    groups = before[0] is not now[0]
    pixels = groups or before[1] is not now[1]
    filters = groups or before[2] is not now[2]
    channels = before[3] is not now[3]
    return _CHANGES[pixels or channels, filters or channels, pixels or filters]


@dataclass
class _Steps:
    """The steps of a kernel's tasks. Equal tasks share one, for a layer has few kinds."""

    kernel: GemmKernel
    target: Target
    tiling: GemmTiling
    known: dict[tuple[object, ...], Step] = field(default_factory=dict)
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def step(self, turn: Turn, starts: bool, ends: bool, before: Changes, after: Changes) -> Step:
        """The step of a turn, given how it differs from the turns before and after it."""
        groups, pixels, filters, channels = turn
        region = self.regions.get(id(pixels))
        if region is None:
            down, across = ifmap_region(self.kernel.rows, self.kernel.cols, pixels)
            shape = (pixels.batch.size, pixels.rows.size, pixels.cols.size)
            self.regions[id(pixels)] = region = (*shape, down.size, across.size)
        size = (groups.size, *region, filters.size, channels.size)
        key = (size, starts, ends, id(before), id(after))
        step = self.known.get(key)
        if step is None:
            step = self._build(_Size(*size), starts, ends, before, after)
            self.known[key] = step
        return step

    @cached_property
    def spills(self) -> bool:
        """Whether psums go to DRAM and back: channels are tiled and not the innermost loop."""
        return self.tiling.channels < self.kernel.channels and (
            self.tiling.order is not LoopOrder.OFMAP_STAYS
        )

    def _build(
        self, size: "_Size", starts: bool, ends: bool, before: Changes, after: Changes
    ) -> Step:
        resident = self.target.residence.ifmap
        ifmap = self._room("ifmap", size.groups * size.channels * size.ifmap_words)
        taps = size.channels * self.kernel.taps
        filters = self._room("filter", size.groups * size.filters * taps)
        output = self._output(size, starts, ends, before, after)
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
        work = gemm_work(self.kernel, self.target, size.groups, self._extents(size, starts, ends))
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

    def _filter_runs(self, size: "_Size") -> Runs:
        filters, word = size.groups * size.filters, self.target.bytes_of("filter")
        if not self.kernel.filter_is_input:
            return packed(filters * size.channels * self.kernel.taps * word)
        row, part = (count * self.kernel.taps for count in (self.kernel.channels, size.channels))
        return filter_runs(filters, row, part, word)

    def _extents(self, size: "_Size", starts: bool, ends: bool) -> Extents:
        return Extents(size.pixels, size.filters, size.channels * self.kernel.taps, starts, ends)

    def _room(self, operand: Operand, words: int) -> Room:
        return Room(self.target.buffer_index(operand), words * self.target.bytes_of(operand))

    def _output(
        self, size: "_Size", starts: bool, ends: bool, before: Changes, after: Changes
    ) -> "_Output":
        """Room and transfers of psums and ofmap.

        A visit of an output tile opens room for its psums, if any leave the array, and for
        the ofmap, if the visit completes it. A store keeps the room until it is done.
        """
        words = size.groups * size.pixels * size.filters
        psum = self._room("psum", words * self._stores_psums)
        ofmap = self._room("ofmap", words * (not self.target.computes_in_place))
        completes = ends if before.ofmap and after.ofmap else True
        rooms = _together(psum, ofmap) if completes else (psum,)
        psums = map_runs(self._ofmap, size.ofmap, self.target.bytes_of("psum"))
        continues = before.ofmap and not starts
        loads = (Load("psum", psum, False, psum.size, psums),) if continues else ()
        opens = _without(rooms, psum) if loads else rooms
        if not before.ofmap:
            opens = ()
        if not after.ofmap:
            return _Output(loads, opens, (), None, None)
        if not ends:
            store = Store("psum", psum, psum.size, psums)
            return _Output(loads, opens, _without(rooms, psum), store, None)
        runs = map_runs(self._ofmap, size.ofmap, self.target.bytes_of("ofmap"))
        way_out = finished(self.target, ofmap, words, runs)
        return _Output(loads, opens, _without(rooms, ofmap), *way_out)

    @property
    def _stores_psums(self) -> bool:
        """Whether sums leave the array unfinished: k takes several folds or tiles."""
        channels, array = self.tiling.channels, self.target.array
        folds_k = array.dataflow.rows == "k" and channels * self.kernel.taps > array.rows
        return folds_k or channels < self.kernel.channels


@dataclass(frozen=True, slots=True)
class _Size:
    """Extents of a GEMM tile; `down` and `across` count the ifmap's rows and columns."""

    groups: int
    batch: int
    rows: int
    cols: int
    down: int
    across: int
    filters: int
    channels: int

    @property
    def pixels(self) -> int:
        """Ofmap pixels."""
        return self.batch * self.rows * self.cols

    @property
    def ifmap_words(self) -> int:
        """Words of one ifmap channel."""
        return self.batch * self.down * self.across

    @property
    def ifmap(self) -> Planes:
        """What it reads of the ifmap."""
        return Planes(self.batch, self.groups * self.channels, self.down, self.across)

    @property
    def ofmap(self) -> Planes:
        """What it writes of the ofmap."""
        return Planes(self.batch, self.groups * self.filters, self.rows, self.cols)


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


def finished(
    target: Target, room: Room, words: int, runs: Runs
) -> tuple[Store | None, Keep | None]:
    """Where an ofmap tile of `words` goes that has `room` in the ofmap's buffer: DRAM, or stays."""
    residence = target.residence
    store = Store("ofmap", room, room.size, runs) if residence.stored else None
    if not residence.kept:
        return store, None
    size = words * target.bytes_of("ofmap")
    rate = target.move_bytes_per_cycle
    cycles = ceil(size / rate) if rate is not None else 0
    freed = room if room.size and store is None else None
    return store, Keep(target.buffer_index("ifmap"), size, cycles, freed)


def _without(rooms: tuple[Room, ...], taken: Room) -> tuple[Room, ...]:
    """What is left of `rooms` when `taken` is out."""
    left = (
        Room(room.buffer, room.size - taken.size if room.buffer == taken.buffer else room.size)
        for room in rooms
    )
    return tuple(room for room in left if room.size)


def gemm_work(kernel: GemmKernel, target: Target, groups: int, tile: Extents) -> Work:
    """Cycles and words of one tile of `groups` groups, summed over its folds."""
    model = target.array
    streaming = fill_drain = buffer = bound = 0
    words, inside = Sram(), Inside()
    for fold in fold_classes(model, tile):
        count = groups * int(fold.count)
        if not count:
            continue
        time = fold_time(model, fold)
        streaming += count * int(time.stream)
        fill_drain += count * int(time.fill_drain)
        buffer += count * int(time.buffer)
        bound += count * int(time.total) if time.buffer else 0
        words += _fold_words(fold).times(count)
        inside += fold_inside(model, fold).times(count)
    return Work(
        streaming,
        fill_drain,
        buffer,
        bound,
        tail_cycles(model, tile),
        groups * int(tile.m * tile.n * tile.k),
        words,
        inside,
    )


def _fold_words(fold: FoldClass) -> Sram:
    """Words of one fold at the array's edge."""
    outputs = int(operand_area("ofmap", fold))
    return Sram(
        ifmap_reads=int(operand_area("ifmap", fold)),
        filter_reads=int(operand_area("filter", fold)),
        psum_reads=0 if fold.starts else outputs,
        psum_writes=0 if fold.ends else outputs,
        ofmap_writes=outputs if fold.ends else 0,
    )


# --- Vector kernels -------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def vector_tasks(
    kernel: VectorKernel, target: Target, tiling: VectorTiling
) -> tuple[tuple[Task, ...], ...]:
    """The tasks of each array's vector unit, in order."""
    blocks = pixel_blocks(kernel.batch, kernel.rows, kernel.cols, tiling)
    channels = spans(kernel.channels, tiling.channels)
    tiles = [VectorTile(pixels, span) for span in channels for pixels in blocks]
    regions = {id(pixels): ifmap_region(kernel.rows, kernel.cols, pixels) for pixels in blocks}
    known: dict[tuple[int, ...], Step] = {}
    tasks = []
    for tile in tiles:
        pixels = tile.pixels
        down, across = regions[id(pixels)]
        shape = (pixels.batch.size, pixels.rows.size, pixels.cols.size)
        size = (*shape, down.size, across.size, tile.channels.size)
        if size not in known:
            read = Planes(pixels.batch.size, tile.channels.size, down.size, across.size)
            known[size] = _vector_step(kernel, target, tile, read)
        tasks.append(Task(tile, known[size]))
    return tuple(tuple(share) for share in share_out(tasks, target.arrays))


def _vector_step(kernel: VectorKernel, target: Target, tile: VectorTile, window: Planes) -> Step:
    """The step of a tile that reads `window` of each full ifmap."""
    pixels, channels = tile.pixels, tile.channels.size

    def words_of(inputs: Sequence[bool]) -> int:
        per_image = len(inputs) - sum(inputs)
        return sum(inputs) * window.words + per_image * channels * pixels.batch.size

    read, written = words_of(kernel.inputs), channels * pixels.count
    source = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    block = Planes(pixels.batch.size, channels, pixels.rows.size, pixels.cols.size)
    writes = map_runs(result, block, target.bytes_of("ofmap"))
    ifmap = Room(target.buffer_index("ifmap"), read * target.bytes_of("ifmap"))
    ofmap = Room(target.buffer_index("ofmap"), written * target.bytes_of("ofmap"))
    operations = written * kernel.operations
    lanes = ceil_div(operations, target.lanes)
    stall = max(0, _moving_cycles(target, (ifmap, ofmap)) - lanes)
    moved = Sram(ifmap_reads=read, ofmap_writes=written)
    bound = lanes + stall if stall else 0
    work = Work(lanes, 0, stall, bound, 0, operations, moved)
    fetched = loaded_inputs(kernel, target)
    reads = map_runs(source, window, target.bytes_of("ifmap"), maps=sum(fetched))
    if target.reserves_blocks:
        load = Load("ifmap", Room(ifmap.buffer, 0), True, ifmap.size, reads)
        store = Store("ofmap", ofmap, ofmap.size, writes)
        blocks = _merged(ifmap, ofmap)
        return Step((load,), (), work, work.cycles, (ifmap,), store, reserves=blocks)
    room = Room(ifmap.buffer, words_of(fetched) * target.bytes_of("ifmap"))
    rooms = (room,) if fetched else ()
    loads = (Load("ifmap", room, True, room.size, reads),) if fetched else ()
    way_out = Room(ofmap.buffer, 0) if target.computes_in_place else ofmap
    opens = (way_out,) if way_out.size else ()
    output = finished(target, way_out, written, writes)
    return Step(loads, opens, work, work.cycles, rooms, *output)


def _merged(one: Room, other: Room) -> tuple[Room, ...]:
    """Both, in the order of the buffers that hold them; as one if that is the same."""
    if one.buffer == other.buffer:
        return (Room(one.buffer, one.size + other.size),)
    return (one, other) if one.buffer < other.buffer else (other, one)


def _moving_cycles(target: Target, rooms: Sequence[Room]) -> int:
    """Cycles that the slowest buffer needs to move the words of `rooms` once."""
    cycles = 0
    for index, space in enumerate(target.buffers):
        if space.bytes_per_cycle is not None:
            moved = sum(room.size for room in rooms if room.buffer == index)
            cycles = max(cycles, ceil(moved / space.bytes_per_cycle))
    return cycles
