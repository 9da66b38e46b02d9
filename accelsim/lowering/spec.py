"""The checked spec of a Program: what must be true of every schedule, whatever made it.

Worked out from nothing but a layer's kernel and the tiles and steps of its tasks, one by one:

* every MAC once, every ofmap element finished once, sums in the order of channels and taps;
* a step does the operations of its tile, and moves the bytes of its tile's regions;
* what a tile reads has been loaded, psums that leave come back, and none are left behind;
* the room that tasks take is given back, and there is never more of it than a buffer has.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.task import GemmTile, Load, Room, Span, Step, Store, Task, Tile, VectorTile
from accelsim.network.ops import Read, Stretch, Window

Output = tuple[Span, ...]
"""Which part of the ofmap a GEMM tile adds to: images, groups, filters, rows, columns."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a layer's schedule, and at which tile of which array."""

    layer: str
    array: int
    task: int
    tile: Tile | None
    message: str

    def __str__(self) -> str:
        """The problem in a sentence."""
        at = f"layer {self.layer}, array {self.array}"
        if self.tile is None:
            return f"{at}: {self.message}"
        return f"{at}, task {self.task} ({described(self.tile)}): {self.message}"


def described(tile: Tile) -> str:
    """A tile by its coordinates."""
    pixels = tile.pixels
    axes = {"images": pixels.batch, "rows": pixels.rows, "columns": pixels.cols}
    axes["channels"] = tile.channels
    if isinstance(tile, GemmTile):
        axes |= {"groups": tile.groups, "filters": tile.filters}
        axes |= {"tap rows": tile.tap_rows, "tap columns": tile.tap_cols}
    return ", ".join(f"{name} {span.start}:{span.stop}" for name, span in axes.items())


def program_problems(program: Program) -> Iterator[Problem]:
    """What is wrong with the schedules of `program`."""
    for layer in program.layers:
        yield from layer_problems(layer, program.target)


def layer_problems(layer: LayerProgram, target: Target) -> Iterator[Problem]:
    """What is wrong with the schedules of a layer."""
    match layer.kernel:
        case GemmKernel() as kernel:
            spec: _GemmSpec | _VectorSpec = _GemmSpec(layer, target, kernel)
        case VectorKernel() as vector:
            spec = _VectorSpec(layer, target, vector)
        case _:
            return
    name = layer.layer.name
    for array, schedule in enumerate(layer.schedules):
        tiles, steps = [*schedule.tiles()], [*schedule.steps]
        if len(tiles) != len(steps):
            message = f"{len(tiles)} tiles have {len(steps)} steps"
            yield Problem(name, array, 0, None, message)
            continue
        for found in (spec.tasks(schedule), _room_problems(schedule, layer.spaces)):
            for index, message in found:
                yield Problem(name, array, index, tiles[index] if tiles else None, message)
    for done in (spec.done, spec.pooled):
        for message in done.problems() if done else ():
            yield Problem(name, 0, 0, None, message)


Found = Iterator[tuple[int, str]]
"""Problems, each with the index of its task."""


def _room_problems(schedule: Schedule, spaces: tuple[int, ...]) -> Found:
    """Room that is not there, or not given back."""
    held: Counter[int] = Counter()
    index = 0
    for index, step in enumerate(schedule.steps):
        for room in (*step.reserves, *(load.room for load in step.loads), *step.opens):
            held[room.buffer] += room.size
            if held[room.buffer] > spaces[room.buffer]:
                yield index, f"buffer {room.buffer} holds {held[room.buffer]:,} bytes: too many"
        for room in (*step.closes, *_freed(step)):
            held[room.buffer] -= room.size
            if held[room.buffer] < 0:
                yield index, f"more room is given back to buffer {room.buffer} than was taken"
                held[room.buffer] = 0
    for buffer, size in held.items():
        if size:
            yield index, f"{size:,} bytes of buffer {buffer} are never given back"


def _freed(step: Step) -> Iterator[Room]:
    """Room that a step's way out gives back."""
    if step.store is not None:
        yield step.store.room
    if step.keep is not None and step.keep.room is not None:
        yield step.keep.room


@dataclass
class _Done:
    """How often each element of an ofmap was finished."""

    shape: tuple[int, ...]
    times: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.times = np.zeros(self.shape, np.uint8)

    def finish(self, part: Output) -> bool:
        """Count a part; whether all of it is of the ofmap, and none was finished before."""
        if any(span.stop > size for span, size in zip(part, self.shape, strict=True)):
            return False
        place = self.times[tuple(span.slice for span in part)]
        place += 1
        return bool((place == 1).all())

    def problems(self) -> Iterator[str]:
        missing = np.argwhere(self.times == 0)
        if len(missing):
            at = tuple(map(int, missing[0]))
            yield f"{len(missing):,} ofmap elements are never finished, the first one {at}"


def _way_out(step: Step, finishes: bool, words: int, target: Target, there: Residence) -> list[str]:
    """What is wrong with where a step's `words` of the ofmap go."""
    size = words * target.bytes_of("ofmap")
    stored = step.store is not None and step.store.operand == "ofmap"
    problems = []
    if stored != (finishes and there.stored):
        problems.append("the ofmap is stored" if stored else "the ofmap is not stored")
    if (step.keep is not None) != (finishes and there.kept):
        problems.append("the ofmap is kept on chip" if step.keep else "the ofmap is not kept")
    if step.keep is not None and step.keep.size != size:
        problems.append(f"{step.keep.size:,} bytes of the ofmap are kept for {size:,}")
    return problems


def _sizes(step: Step, words: dict[Operand, int], target: Target, apart: int = 0) -> Iterator[str]:
    """Transfers whose bytes are not those of the tile's regions.

    The runs of ifmaps leave out words that lie `apart`: inputs of one value per channel.
    """
    for transfer in step.transfers:
        is_addend = isinstance(transfer, Load) and transfer.addend
        size = words["psum" if is_addend else transfer.operand]
        size *= target.bytes_of(transfer.operand)
        verb = "stored" if isinstance(transfer, Store) else "loaded"
        if transfer.size != size:
            yield f"{transfer.size:,} bytes of {transfer.operand} are {verb} for {size:,}"
        left_out = apart * target.bytes_of("ifmap") if transfer.operand == "ifmap" else 0
        if transfer.runs.count * transfer.runs.size != transfer.size - left_out:
            yield f"the runs of {transfer.operand} are not its {transfer.size:,} bytes"


def _work(step: Step, operations: int) -> Iterator[str]:
    if step.work.operations != operations:
        yield f"{step.work.operations:,} operations are timed for {operations:,}"
    if step.cycles != step.work.cycles:
        yield f"{step.cycles:,} cycles are timed for {step.work.cycles:,}"


def read_along(window: Read, outputs: Span, taps: Span) -> int:
    """Positions of data from the first to the last that `outputs` read with `taps`."""
    if isinstance(window, Stretch):
        return int(window.read(outputs.start, outputs.size))
    first = outputs.start * window.stride + taps.start * window.dilation - window.before
    last = (outputs.stop - 1) * window.stride + (taps.stop - 1) * window.dilation - window.before
    return max(min(last + 1, window.size) - max(first, 0), 0)


def windows_of(window: Window, part: Span) -> range:
    """The windows whose data lie in part of an axis, one by one."""
    data = (window.span(at, at + 1) for at in range(window.outputs))
    there = [
        at for at, (first, last) in enumerate(data) if part.start <= first and last <= part.stop
    ]
    return range(there[0], there[-1] + 1) if there else range(0)


def _output(tile: GemmTile) -> Output:
    pixels = tile.pixels
    return (pixels.batch, tile.groups, tile.filters, pixels.rows, pixels.cols)


def _summed(tile: GemmTile) -> tuple[Span, ...]:
    return (tile.channels, tile.tap_rows, tile.tap_cols)


class _GemmSpec:
    """What must be true of a GEMM kernel's tasks."""

    def __init__(self, layer: LayerProgram, target: Target, kernel: GemmKernel) -> None:
        self.layer, self.target, self.kernel = layer, target, kernel
        self.residence = layer.placement.residence
        rows, cols = kernel.rows, kernel.cols
        outputs = (kernel.groups, kernel.filters, rows.outputs, cols.outputs)
        self.done = _Done((kernel.batch, *outputs))
        left = (kernel.batch, *outputs[:2], *kernel.written_sides)
        self.pooled = _Done(left) if kernel.pooled else None
        self.whole = (kernel.channels, rows.kernel, cols.kernel)
        self.courses: dict[tuple[tuple[Span, ...], ...], bool] = {}

    def tasks(self, schedule: Schedule) -> Found:
        """Problems of an array's tasks."""
        for index, task in enumerate(schedule.tasks):
            for message in self._alone(task):
                yield index, message
        yield from self._sums(schedule)
        yield from self._psums(schedule)
        yield from self._operands(schedule)

    def words(self, tile: GemmTile) -> dict[Operand, int]:
        """Words of a tile's regions."""
        depth, taps = tile.groups.size * tile.channels.size, tile.tap_rows.size * tile.tap_cols.size
        rows = read_along(self.kernel.rows, tile.pixels.rows, tile.tap_rows)
        cols = read_along(self.kernel.cols, tile.pixels.cols, tile.tap_cols)
        outputs = tile.groups.size * tile.filters.size * tile.pixels.count
        return {
            "ifmap": depth * tile.pixels.batch.size * rows * cols,
            "filter": depth * tile.filters.size * taps,
            "psum": outputs,
            "ofmap": outputs if self.kernel.pooled is None else self._pooled(tile),
        }

    def _pooled(self, tile: GemmTile) -> int:
        """Words of what the windows in a tile make."""
        assert self.kernel.pooled is not None
        sides = zip(self.kernel.pooled, (tile.pixels.rows, tile.pixels.cols), strict=True)
        down, across = (len(windows_of(window, part)) for window, part in sides)
        return tile.pixels.batch.size * tile.groups.size * tile.filters.size * down * across

    def _alone(self, task: Task) -> Iterator[str]:
        """What a task says of itself: its operations, its bytes, and where its ofmap goes."""
        tile, step = _gemm(task), task.step
        words = self.words(tile)
        depth = tile.channels.size * tile.tap_rows.size * tile.tap_cols.size
        yield from _work(step, words["psum"] * depth)
        yield from _sizes(step, words, self.target)
        yield from _way_out(step, tile.last, words["ofmap"], self.target, self.residence)
        streams_in = self.kernel.addend and not self.residence.addend
        if sum(load.addend for load in step.loads) != (tile.last and streams_in):
            yield "what is added to its results should come once, as they leave"
        for load in step.loads:
            waits = load.operand == "ifmap" or (
                load.operand == "filter" and self.kernel.filter_is_input
            )
            if load.needs_inputs != waits:
                yield f"the load of {load.operand} waits for the wrong layers"

    def _sums(self, schedule: Schedule) -> Found:
        """Sums that do not add up every product once, in order, or that are finished twice."""
        sums: dict[Output, list[tuple[int, GemmTile]]] = {}
        for index, task in enumerate(schedule.tasks):
            sums.setdefault(_output(_gemm(task)), []).append((index, _gemm(task)))
        for output, tiles in sums.items():
            last = tiles[-1][0]
            if not self._is_whole(tuple(_summed(tile) for _, tile in tiles)):
                yield last, "its sums do not add up every product once and in order"
            for position, (index, tile) in enumerate(tiles):
                if tile.first != (position == 0) or tile.last != (index == last):
                    yield index, "its sums start or end elsewhere than it says"
            if not self.done.finish(output):
                yield last, "some of its ofmap is finished twice, or is none"
            if self.pooled and not self.pooled.finish(self._windows(output)):
                yield last, "some of its windows are pooled twice, or are none"

    def _windows(self, output: Output) -> Output:
        """What leaves of part of the ofmap that is pooled."""
        assert self.kernel.pooled is not None
        images, groups, filters, *sides = output
        found = map(windows_of, self.kernel.pooled, sides)
        return (images, groups, filters, *(Span(each.start, each.stop) for each in found))

    def _is_whole(self, course: tuple[tuple[Span, ...], ...]) -> bool:
        """Whether parts of (channels, tap rows, tap columns) are all of them once, and in order."""
        if course not in self.courses:
            times = np.zeros(self.whole, np.uint8)
            for part in course:
                times[tuple(span.slice for span in part)] += 1
            starts = [tuple(span.start for span in part) for part in course]
            inside = all(
                span.stop <= size
                for part in course
                for span, size in zip(part, self.whole, strict=True)
            )
            self.courses[course] = inside and bool((times == 1).all()) and starts == sorted(starts)
        return self.courses[course]

    def _psums(self, schedule: Schedule) -> Found:
        """Psums that do not come back as they left."""
        stored: dict[Output, int] = {}
        before: Task | None = None
        for index, task in enumerate(schedule.tasks):
            tile, output = _gemm(task), _output(_gemm(task))
            left = before is not None and _output(_gemm(before)) != output
            if before is not None and left and not _leaves(before):
                yield index - 1, "its psums are left behind"
            loaded = any(load.operand == "psum" for load in task.step.loads)
            if loaded and stored.pop(output, None) != index - schedule.lag:
                yield index, "psums are loaded that were not stored there"
            if loaded == (tile.first or not (left or before is None)):
                yield index, "psums are loaded" if loaded else "its psums do not come back"
            if task.step.store is not None and task.step.store.operand == "psum":
                stored[output] = index
            before = task
        for index in stored.values():
            yield index, "its psums are stored and do not come back"

    def _operands(self, schedule: Schedule) -> Found:
        """Tiles of the ifmap and of filters that are not there when they are read."""
        held: dict[Operand, Output] = {}
        for index, task in enumerate(schedule.tasks):
            tile = _gemm(task)
            loaded = Counter(load.operand for load in task.step.loads if not load.addend)
            parts: dict[Operand, Output] = {
                "ifmap": (tile.groups, *_pixels(tile), *_summed(tile)),
                "filter": (tile.groups, tile.filters, *_summed(tile)),
            }
            for operand, part in parts.items():
                there = self.residence.filter == "there"
                resident = self.residence.ifmap if operand == "ifmap" else there
                needed = bool(self.words(tile)[operand]) and not resident
                if needed and not loaded[operand] and held.get(operand) != part:
                    yield index, f"its {operand} is not loaded"
                if loaded[operand] > needed:
                    yield index, f"its {operand} is loaded without need"
                held[operand] = part


def _pixels(tile: GemmTile) -> Output:
    return (tile.pixels.batch, tile.pixels.rows, tile.pixels.cols)


def _leaves(task: Task) -> bool:
    """Whether nothing of a task's psums is left in their buffer."""
    return _gemm(task).last or task.step.store is not None


def _gemm(task: Task) -> GemmTile:
    assert isinstance(task.tile, GemmTile)
    return task.tile


class _VectorSpec:
    """What must be true of a vector kernel's tasks."""

    def __init__(self, layer: LayerProgram, target: Target, kernel: VectorKernel) -> None:
        self.layer, self.target, self.kernel = layer, target, kernel
        self.residence = layer.placement.residence
        outputs = (kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
        self.done = _Done((kernel.batch, *outputs))
        self.pooled = None

    def tasks(self, schedule: Schedule) -> Found:
        """Problems of a vector unit's tasks."""
        for index, task in enumerate(schedule.tasks):
            tile = task.tile
            assert isinstance(tile, VectorTile)
            for message in self._alone(tile, task.step):
                yield index, message
            part = (tile.pixels.batch, tile.channels, tile.pixels.rows, tile.pixels.cols)
            if self._ends(tile) and not self.done.finish(part):
                yield index, "some of its ofmap is finished twice, or is none"

    def _alone(self, tile: VectorTile, step: Step) -> Iterator[str]:
        written = tile.channels.size * tile.pixels.count
        read = self._read(tile)
        yield from _work(step, written * self._operations(tile))
        single = self._fetched.count(False) * tile.pixels.batch.size * tile.channels.size
        taps = tile.tap_rows.size * tile.tap_cols.size
        words: dict[Operand, int] = {"ifmap": read, "ofmap": written}
        words["filter"] = self.kernel.filtered * tile.channels.size * taps
        yield from _sizes(step, words, self.target, single)
        yield from _way_out(step, self._ends(tile), written, self.target, self.residence)
        wanted = ["filter"] * self.kernel.filtered + ["ifmap"] * bool(self._fetched)
        if [load.operand for load in step.loads] != wanted:
            yield f"its {' and '.join(wanted) or 'nothing'} should be loaded, each once"
        if any(load.needs_inputs != (load.operand == "ifmap") for load in step.loads):
            yield "ifmaps, and they alone, wait for the layer's inputs"

    def _ends(self, tile: VectorTile) -> bool:
        """Whether a tile completes its part of the ofmap: in the last pass, or by the last tap."""
        passes = self.kernel.passes
        return tile.turn == len(passes) - 1 if passes and not tile.alone else tile.last

    def _operations(self, tile: VectorTile) -> int:
        """Lane operations for an element; what is done once follows the last tap."""
        kernel = self.kernel
        if tile.alone:
            return kernel.operations
        if kernel.passes:
            return kernel.passes[tile.turn]
        taps = tile.tap_rows.size * tile.tap_cols.size
        once = kernel.operations - kernel.taps * kernel.tap_operations
        return taps * kernel.tap_operations + once * tile.last

    @property
    def _fetched(self) -> list[bool]:
        """For every ifmap that comes from DRAM whether it is a full one."""
        here = (*self.residence.ifmaps, *(False for _ in self.kernel.inputs))
        return [full for full, lies in zip(self.kernel.inputs, here, strict=False) if not lies]

    def _read(self, tile: VectorTile) -> int:
        """Words of all ifmaps that a tile loads."""
        kernel, near = self.kernel, Span(0, self.kernel.depth.kernel)
        rows = read_along(kernel.rows, tile.pixels.rows, tile.tap_rows)
        cols = read_along(kernel.cols, tile.pixels.cols, tile.tap_cols)
        full = read_along(kernel.depth, tile.channels, near) * rows * cols
        each = sum(full if whole else tile.channels.size for whole in self._fetched)
        return tile.pixels.batch.size * each
