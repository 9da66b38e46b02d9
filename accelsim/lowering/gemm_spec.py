"""What must be true of a GEMM kernel's tasks."""

from collections import Counter
from collections.abc import Iterator

from accelsim.hardware import Operand
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.step_spec import (
    Done,
    Found,
    KernelSpec,
    Lie,
    Part,
    is_empty,
    is_whole,
    read_along,
    sizes_problems,
    way_out,
    work_problems,
)
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Span, Task
from accelsim.network.ops import Window


class GemmSpec(KernelSpec):
    """What must be true of a GEMM kernel's tasks."""

    shares_results = True

    def __init__(self, layer: LayerProgram, target: Target, kernel: GemmKernel) -> None:
        rows, cols, maps = kernel.rows, kernel.cols, (kernel.batch, kernel.groups, kernel.filters)
        super().__init__(layer, target, (*maps, rows.outputs, cols.outputs))
        self.kernel = kernel
        self.pooled = Done((*maps, *kernel.written_sides)) if kernel.pooled else None
        self.whole = (kernel.channels, rows.kernel, cols.kernel)
        self.courses: dict[tuple[Part, ...], bool] = {}

    def tasks(self, schedule: Schedule) -> Found:
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
        down, across = self._left(tile)
        return {
            "ifmap": depth * tile.pixels.batch.size * rows * cols,
            "filter": depth * tile.filters.size * taps,
            "psum": outputs,
            "ofmap": tile.groups.size * tile.filters.size * tile.pixels.batch.size * down * across,
        }

    def _left(self, tile: GemmTile) -> tuple[int, int]:
        """Rows and columns that leave of a tile: of what its windows make, where it pools."""
        pixels = tile.pixels.rows, tile.pixels.cols
        if self.kernel.pooled is None:
            return pixels[0].size, pixels[1].size
        down, across = map(len, map(windows_of, self.kernel.pooled, pixels))
        return down, across

    def _lies(self, tile: GemmTile) -> dict[Operand, Lie]:
        """Where its parts of operands lie; weights as the tiles take them, unless computed."""
        kernel, pixels = self.kernel, tile.pixels
        channels, filters = (tile.groups.size * each.size for each in (tile.channels, tile.filters))
        rows = read_along(kernel.rows, pixels.rows, tile.tap_rows)
        cols = read_along(kernel.cols, pixels.cols, tile.tap_cols)
        made, maps = (pixels.batch.size, filters), (kernel.batch, kernel.groups * kernel.filters)
        read = (kernel.batch, kernel.groups * kernel.channels, *kernel.ifmap_sides)
        part = tile.channels.size * tile.tap_rows.size * tile.tap_cols.size
        in_order = kernel.filter_is_input and not self.target.reserves_blocks
        row = kernel.channels * kernel.taps if in_order else part
        psums = (*maps, kernel.rows.outputs, kernel.cols.outputs)
        return {
            "ifmap": Lie(read, (pixels.batch.size, channels, rows, cols)),
            "filter": Lie((filters, row), (filters, part)),
            "psum": Lie(psums, (*made, pixels.rows.size, pixels.cols.size)),
            "ofmap": Lie((*maps, *kernel.written_sides), (*made, *self._left(tile))),
        }

    def needs(self, task: Task) -> dict[Operand, int]:
        tile = _gemm(task)
        words = {**self.words(tile), "ofmap": 0, "psum": 0}
        outputs = tile.groups.size * tile.filters.size * tile.pixels.count
        if self.residence.ifmap:
            words["ifmap"] = 0
        if self.residence.filter != "fetched":
            words["filter"] = 0
        if not (tile.first and tile.last):
            words["psum"] = outputs
        if tile.last and not self.target.computes_in_place:
            words["ofmap"] = outputs
        return words

    def _alone(self, task: Task) -> Iterator[str]:
        """What a task says of itself: its operations, its bytes, and where its ofmap goes."""
        tile, step = _gemm(task), task.step
        words = self.words(tile)
        if is_empty(tile):
            yield "its tile is empty"
            return
        depth = tile.channels.size * tile.tap_rows.size * tile.tap_cols.size
        yield from work_problems(step, self.works(tile), words["psum"] * depth)
        yield from sizes_problems(step, words, self.target, self._lies(tile))
        yield from way_out(step, tile.last, words["ofmap"], self.target, self.residence)
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
        sums: dict[Part, list[tuple[int, GemmTile]]] = {}
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

    def _windows(self, output: Part) -> Part:
        """What leaves of part of the ofmap that is pooled."""
        assert self.kernel.pooled is not None
        images, groups, filters, *sides = output
        found = map(windows_of, self.kernel.pooled, sides)
        return (images, groups, filters, *(Span(each.start, each.stop) for each in found))

    def _is_whole(self, course: tuple[Part, ...]) -> bool:
        """Whether parts of (channels, tap rows, tap columns) are all of them once, and in order."""
        if course not in self.courses:
            self.courses[course] = is_whole(course, self.whole)
        return self.courses[course]

    def _psums(self, schedule: Schedule) -> Found:
        """Psums that do not come back as they left."""
        stored: dict[Part, int] = {}
        before: Task | None = None
        for index, task in enumerate(schedule.tasks):
            tile, output = _gemm(task), _output(_gemm(task))
            left = before is not None and _output(_gemm(before)) != output
            if before is not None and left and not _leaves(before):
                yield index - 1, "its psums are left behind"
            loads = [load for load in task.step.loads if load.operand == "psum"]
            loaded = bool(loads)
            if loaded and stored.pop(output, None) != index - loads[0].behind:
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
        held: dict[Operand, Part] = {}
        for index, task in enumerate(schedule.tasks):
            tile = _gemm(task)
            loaded = Counter(load.operand for load in task.step.loads if not load.addend)
            parts: dict[Operand, Part] = {
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


def windows_of(window: Window, part: Span) -> range:
    """The windows whose data lie in part of an axis, one by one."""
    data = (window.span(at, at + 1) for at in range(window.outputs))
    there = [
        at for at, (first, last) in enumerate(data) if part.start <= first and last <= part.stop
    ]
    return range(there[0], there[-1] + 1) if there else range(0)


def _output(tile: GemmTile) -> Part:
    pixels = tile.pixels
    return (pixels.batch, tile.groups, tile.filters, pixels.rows, pixels.cols)


def _summed(tile: GemmTile) -> tuple[Span, ...]:
    return (tile.channels, tile.tap_rows, tile.tap_cols)


def _pixels(tile: GemmTile) -> Part:
    return (tile.pixels.batch, tile.pixels.rows, tile.pixels.cols)


def _leaves(task: Task) -> bool:
    """Whether nothing of a task's psums is left in their buffer."""
    return _gemm(task).last or task.step.store is not None


def _gemm(task: Task) -> GemmTile:
    assert isinstance(task.tile, GemmTile)
    return task.tile
