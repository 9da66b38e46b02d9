"""What must be true of a vector kernel's tasks."""

from collections.abc import Iterator, Sequence
from math import prod

from accelsim.hardware import Operand
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.step_spec import (
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
from accelsim.lowering.task import Span, Step, Task, VectorTile


class VectorSpec(KernelSpec):
    """What must be true of a vector kernel's tasks."""

    def __init__(self, layer: LayerProgram, target: Target, kernel: VectorKernel) -> None:
        sides = kernel.rows.outputs, kernel.cols.outputs
        super().__init__(layer, target, (kernel.batch, kernel.channels, *sides))
        self.kernel = kernel

    def tasks(self, schedule: Schedule) -> Found:
        block: list[VectorTile] = []
        for index, task in enumerate(schedule.tasks):
            tile = _vector(task)
            if tile.turn not in range(max(len(self.kernel.passes), 1)):
                yield index, f"there is no pass {tile.turn}"
                return
            for message in self._alone(tile, task.step):
                yield index, message
            part = (tile.pixels.batch, tile.channels, tile.pixels.rows, tile.pixels.cols)
            if self._ends(tile) and not self.done.finish(part):
                yield index, "some of its ofmap is finished twice, or is none"
            if tile.first != (not block):
                yield index, "its block starts elsewhere than it says"
            block.append(tile)
            if tile.last:
                if not self._is_whole(block):
                    yield index, "its parts are not every tap and pass once and in order"
                block = []
        if block:
            yield schedule.length - 1, "its block does not end"

    def _is_whole(self, block: Sequence[VectorTile]) -> bool:
        """Whether tiles in a row are every pass, channel and tap of a block once, and in order."""
        first = block[0]
        taps = (self.kernel.rows.kernel, self.kernel.cols.kernel)
        if any(tile.pixels != first.pixels for tile in block):
            return False
        if self.kernel.passes and not first.alone:
            sizes = (len(self.kernel.passes), self.kernel.channels, *taps)
            return is_whole([_part(tile, tile.channels) for tile in block], sizes)
        if any(tile.channels != first.channels for tile in block):
            return False
        every = Span(0, self.kernel.channels)
        if self.kernel.passes and first.channels != every:
            return False
        return is_whole([_part(tile, Span(0, 1)) for tile in block], (1, 1, *taps))

    @property
    def shares_results(self) -> bool:
        """Those of a window do; passes keep others."""
        return not self.kernel.passes

    def needs(self, task: Task) -> dict[Operand, int]:
        tile, kernel = _vector(task), self.kernel
        written = tile.channels.size * tile.pixels.count
        psums = kernel.kept * tile.pixels.count if kernel.passes else kernel.kept_each * written
        comes_out = self._ends(tile) and not self.target.computes_in_place
        return {
            "ifmap": self._read(tile),
            "filter": kernel.filtered * tile.channels.size * _taps(tile),
            "psum": 0 if tile.alone else psums,
            "ofmap": written * comes_out,
        }

    def _alone(self, tile: VectorTile, step: Step) -> Iterator[str]:
        if is_empty(tile):
            yield "its tile is empty"
            return
        written = tile.channels.size * tile.pixels.count
        read = self._read(tile)
        yield from work_problems(step, self.works(tile), written * self._operations(tile))
        single = self._fetched.count(False) * tile.pixels.batch.size * tile.channels.size
        words: dict[Operand, int] = {"ifmap": read, "ofmap": written}
        words["filter"] = self.kernel.filtered * tile.channels.size * _taps(tile)
        yield from sizes_problems(step, words, self.target, self._lies(tile), single)
        yield from way_out(step, self._ends(tile), written, self.target, self.residence)
        wanted = ["filter"] * self.kernel.filtered + ["ifmap"] * (read > 0)
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
        once = kernel.operations - kernel.taps * kernel.tap_operations
        return _taps(tile) * kernel.tap_operations + once * tile.last

    @property
    def _fetched(self) -> list[bool]:
        """For every ifmap that comes from DRAM whether it is a full one."""
        here = (*self.residence.ifmaps, *(False for _ in self.kernel.inputs))
        return [full for full, lies in zip(self.kernel.inputs, here, strict=False) if not lies]

    def _read(self, tile: VectorTile) -> int:
        """Words of all ifmaps that a tile loads."""
        full, single = prod(self._region(tile)), tile.pixels.batch.size * tile.channels.size
        return sum(full if whole else single for whole in self._fetched)

    def _region(self, tile: VectorTile) -> tuple[int, int, int, int]:
        """Images, channels, rows and columns of each full ifmap that a tile reads."""
        kernel, near = self.kernel, Span(0, self.kernel.depth.kernel)
        rows = read_along(kernel.rows, tile.pixels.rows, tile.tap_rows)
        cols = read_along(kernel.cols, tile.pixels.cols, tile.tap_cols)
        return tile.pixels.batch.size, read_along(kernel.depth, tile.channels, near), rows, cols

    def _lies(self, tile: VectorTile) -> dict[Operand, Lie]:
        """Where its parts of operands lie."""
        kernel, pixels = self.kernel, tile.pixels
        weights = (kernel.filtered * tile.channels.size * _taps(tile),)
        made = (pixels.batch.size, tile.channels.size, pixels.rows.size, pixels.cols.size)
        sides = (kernel.rows.outputs, kernel.cols.outputs)
        ifmap = (kernel.batch, kernel.depth.size, kernel.rows.size, kernel.cols.size)
        return {
            "ifmap": Lie(ifmap, self._region(tile)),
            "filter": Lie(weights, weights),
            "ofmap": Lie((kernel.batch, kernel.channels, *sides), made),
        }


def _part(tile: VectorTile, channels: Span) -> Part:
    return (Span(tile.turn, tile.turn + 1), channels, tile.tap_rows, tile.tap_cols)


def _taps(tile: VectorTile) -> int:
    return tile.tap_rows.size * tile.tap_cols.size


def _vector(task: Task) -> VectorTile:
    assert isinstance(task.tile, VectorTile)
    return task.tile
