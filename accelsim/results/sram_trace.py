"""What crosses the ports of the buffers: fold by fold at an array's side, transfer by transfer at
DRAM's.

A line is what a port moves of one operand in a fold of a systolic array, in a tile of a vector
unit or of an array with scratch pads, or in a transfer: cycle, buffer, address of its first word,
bytes (im2col repeats counted), read or write, layer, tensor; then operand, array and port. Words
are read from that cycle on; results are written by that cycle. Bytes are those that the run
reports, by layer and operand: words at the edge of the arrays, and bytes to and from DRAM.

The layout: of the room for a layer's tiles a buffer has as many places as its largest tile fits,
and an operand's tiles take them in turn. In a place operands follow one another in the order of
`holds`; psums lie where their ofmap comes. In a tile feature maps lie as [N][C][H][W], filters as
[filter][k]. A feature map that stays lies at its own address, parts that are put side by side in
the order of their layers; filters that stay lie at 0.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import PurePath
from typing import TextIO, cast

from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.errors import InputError, Problem
from accelsim.files import streamed
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.dataflow import ArrayModel, FoldClass, fold_time
from accelsim.lowering.extents import Axis
from accelsim.lowering.feature_maps import written_elements
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.row_stationary import RowStationary
from accelsim.lowering.systolic import words_of
from accelsim.lowering.target import AnyArray, Target, target_of
from accelsim.lowering.task import GemmTile
from accelsim.network.ops import Window
from accelsim.results.dram_trace import (
    Block,
    ifmap_block,
    ofmap_block,
    operand_of,
    shown_name,
    tensor_of,
)
from accelsim.results.under_way import TasksUnderWay, TaskUnderWay
from accelsim.text import cell

MOST_LINES = 100_000_000
"""Lines that are written at most: some gigabytes."""

HEAD = "cycle,buffer,address,bytes,way,layer,tensor,operand,array,port\n"

COUNTS: tuple[tuple[str, Operand, bool], ...] = (
    ("ifmap_reads", "ifmap", False),
    ("filter_reads", "filter", False),
    ("psum_reads", "psum", False),
    ("psum_writes", "psum", True),
    ("ofmap_writes", "ofmap", True),
)
"""The words that are counted: of which operand, and whether they are written."""


def write_sram_trace(programs: Sequence[Program], path: str) -> None:
    """Play `programs`, one after another, and write what crosses the buffers' ports to `path`.

    Raises InputError for a run that is too long.
    """
    lines = sum(_lines(layer, each.target) for each in programs for layer in each.layers)
    if lines > MOST_LINES:
        message = (
            f"would have about {lines:,} lines, and at most {MOST_LINES:,} are written; trace "
            "fewer layers, or a smaller batch"
        )
        raise InputError(Problem(message=message, source=path))
    with streamed(path) as file:
        file.write(HEAD)
        start = 0
        for each in programs:
            times = play(each, leaps=False, observer=SramTracer(each, file, start))
            start += max((time.end for time in times), default=0)


def refuse_other_forms(path: str) -> None:
    """Raises InputError for what is no .csv: before a run that may be long."""
    if PurePath(path.lower().removesuffix(".gz")).suffix != ".csv":
        raise InputError(Problem(message="ends in none of .csv, .csv.gz", source=path))


def _lines(layer: LayerProgram, target: Target) -> int:
    """About how many lines a layer takes."""
    steps = [each for steps in layer.steps for each in steps]
    moved = sum(count * (len(step.transfers) + len(COUNTS)) for step, count in steps)
    pes = target.processor.rows * target.processor.cols
    work = sum(step.work.streaming * count for step, count in steps)
    return moved + 4 * (work // pes if layer.unit == "array" else 0)


# --- The layout -----------------------------------------------------------------------------------


class Places:
    """Where tiles of a layer lie in the buffers of a core, by operand."""

    def __init__(self, layer: LayerProgram, target: Target, core: int) -> None:
        largest = _largest(layer, target, core)
        self.offsets: dict[Operand, int] = {}
        self.strides: dict[Operand, int] = {}
        self.counts: dict[Operand, int] = {}
        self.turns: dict[Operand, int] = dict.fromkeys(OPERANDS, -1)
        for space, room in zip(target.buffers, layer.spaces, strict=True):
            end = 0
            for item in space.holds:
                twin = item == "ofmap" and "psum" in self.offsets and "psum" in space.holds
                self.offsets[item] = self.offsets["psum"] if twin else end
                end = max(end, self.offsets[item] + largest[item])
            self.strides |= dict.fromkeys(space.holds, end)
            self.counts |= dict.fromkeys(space.holds, max(room // max(end, 1), 1))

    def next(self, *operands: Operand) -> None:
        """Another tile of some operands comes."""
        for item in operands:
            self.turns[item] += 1

    @property
    def addresses(self) -> dict[Operand, int]:
        """Where the tile at hand of each operand begins."""
        return {
            item: offset + max(self.turns[item], 0) % self.counts[item] * self.strides[item]
            for item, offset in self.offsets.items()
        }


def _largest(layer: LayerProgram, target: Target, core: int) -> dict[Operand, int]:
    """Bytes of the largest tile of each operand in a place for tiles; of results, the first one."""
    found: dict[Operand, int] = dict.fromkeys(OPERANDS, 0)
    schedule = layer.schedules[core]
    for step, _ in schedule.counts:
        for load in step.loads:
            if load.operand != "psum" and not load.addend:
                found[load.operand] = max(found[load.operand], load.size)
    first = next(iter(schedule.tiles()), None)
    if first is not None:
        words = prod(ofmap_block(layer, first, False).sides)
        sums = schedule.sram.psum_reads + schedule.sram.psum_writes
        found["psum"] = words * target.bytes_of("psum") * bool(sums)
        in_place = layer.placement.residence.kept and not layer.placement.residence.stored
        shared = target.buffer_index("ifmap") == target.buffer_index("ofmap")
        found["ofmap"] = words * target.bytes_of("ofmap") * (not (in_place and shared))
    return found


@dataclass(frozen=True, slots=True)
class Map:
    """A block of feature maps in a buffer, from an address on; `whole`: with all of the maps."""

    base: int
    word: int
    block: Block
    whole: bool

    def address(self, image: int = 0, channel: int = 0, row: int = 0, col: int = 0) -> int:
        """Of the word so far from the block's first; of padding, of the nearest in the block."""
        block = self.block
        first = block.batch.start, block.channels[0].start, block.rows.start, block.cols.start
        wide = block.shape if self.whole else block.sides
        words = 0
        for at, start, side, most in zip(
            (image, channel, row, col), first, wide, block.sides, strict=True
        ):
            words = words * side + min(max(at, 0), max(most - 1, 0)) + start * self.whole
        return self.base + words * self.word


def _stays(program: Program) -> dict[str, int]:
    """The address of each ofmap that stays on chip, by the layer that writes it."""
    found: dict[str, int] = {}
    word = program.target.bytes_of("ofmap")
    for stay in program.stays:
        at = stay.address
        found[stay.feature_map.name] = at
        for writer in stay.feature_map.writers:
            layer = program.layers[writer]
            found[layer.leaves_as or layer.layer.name] = at
            found[layer.layer.name] = at
            at += program.batch * written_elements(layer.layer, layer.kernel) * word
    return found


# --- The folds ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold of a tile: where it begins along m, n and k, and what it is."""

    m: int
    n: int
    k: int
    its: FoldClass


def folds_of(array: ArrayModel, kernel: GemmKernel, tile: GemmTile) -> Iterator[Fold]:
    """The folds of a tile of one group; those whose sums go on follow one another."""
    taps, flow = tile.tap_rows.size * tile.tap_cols.size, array.dataflow
    sizes: dict[Axis, int] = {
        "m": tile.pixels.count,
        "n": tile.filters.size,
        "k": tile.channels.size * taps,
    }
    lanes = {**sizes, flow.rows: array.rows, flow.cols: array.cols}
    cuts = {axis: [*_cuts(0, sizes[axis], lanes[axis])] for axis in sizes}
    if array.psums_move and array.by_tap:
        size = tile.channels.size
        cuts["k"] = [each for tap in range(taps) for each in _cuts(tap * size, size, array.rows)]
    last = cuts["k"][-1][0]
    lines = kernel.lines(tile.pixels.batch.size, tile.pixels.rows.size)
    for n, filters in cuts["n"]:
        for m, pixels in cuts["m"]:
            for k, depth in cuts["k"]:
                extent: dict[Axis, int] = {"m": pixels, "n": filters, "k": depth}
                starts, ends = tile.first and k == 0, tile.last and k == last
                yield Fold(
                    m,
                    n,
                    k,
                    FoldClass(count=1, extent={**extent}, starts=starts, ends=ends, lines=lines),
                )


def _cuts(start: int, total: int, size: int) -> list[tuple[int, int]]:
    """Starts and sizes of pieces."""
    return [(start + at, min(size, total - at)) for at in range(0, total, size)]


def _made(tile: GemmTile, group: int, fold: Fold) -> tuple[int, int, int, int]:
    """The first result of a fold, from the tile's: image, channel, row and column."""
    image, pixel = divmod(fold.m, tile.pixels.rows.size * tile.pixels.cols.size)
    row, col = divmod(pixel, tile.pixels.cols.size)
    return image, group * tile.filters.size + fold.n, row, col


def _read(
    array: ArrayModel, kernel: GemmKernel, tile: GemmTile, block: Block, group: int, fold: Fold
) -> tuple[int, int, int, int]:
    """The first word of the ifmap that a fold reads, from the tile's first."""
    image, _, row, col = _made(tile, group, fold)
    taps = tile.tap_rows.size * tile.tap_cols.size
    channel, tap = divmod(fold.k, taps)
    if array.by_tap:
        tap, channel = divmod(fold.k, tile.channels.size)
    down, across = divmod(tap, tile.tap_cols.size)
    rows = _position(kernel.rows, tile.pixels.rows.start + row, tile.tap_rows.start + down)
    cols = _position(kernel.cols, tile.pixels.cols.start + col, tile.tap_cols.start + across)
    deep = group * tile.channels.size + channel
    return image, deep, rows - block.rows.start, cols - block.cols.start


def _position(window: Window, output: int, tap: int) -> int:
    return output * window.stride + tap * window.dilation - window.before


# --- The lines ------------------------------------------------------------------------------------


class SramTracer:
    """Observes a program that is played from cycle `start` on, and writes what ports move."""

    def __init__(self, program: Program, file: TextIO, start: int) -> None:
        self.program, self.file, self.start, self.target = program, file, start, program.target
        self.buffer_of = {item: each.name for each in self.target.buffers for item in each.holds}
        self.stays = _stays(program)
        choices = {each.array.dataflow: each for each in program.hardware.choices}
        arrays: dict[str, AnyArray] = {
            flow: target_of(each).processor for flow, each in choices.items()
        }
        flows = zip(program.layers, program.flows, strict=True)
        self.arrays = {id(layer): arrays[flow] for layer, flow in flows if flow is not None}
        self.tasks = TasksUnderWay()
        self.places: dict[tuple[int, int], Places] = {}
        self.results: dict[tuple[int, int], Block] = {}

    def begins(self, task: Loaded) -> None:
        its = self.tasks.begins(task)
        key = its.core, id(its.layer)
        if key not in self.places:
            self.places[key] = Places(its.layer, self.target, its.core)
        places, result = self.places[key], ofmap_block(its.layer, its.tile, False)
        places.next(*(each.operand for each in its.step.loads if not each.addend))
        if self.results.get(key) != result:
            self.results[key] = result
            places.next("psum", "ofmap")
        its.addresses = places.addresses

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        """Room is none of the ports'."""

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        job, moved = self.tasks.transfers(task, is_write)
        tensor, address = shown_name(*tensor_of(job.layer, moved)), job.addresses[moved.operand]
        what = address, moved.size, not is_write
        self.line(at, job, moved.operand, what, tensor, "dram")

    def computes(self, task: Loaded, at: int) -> None:
        job = self.tasks.computes(task)
        TRACED[type(self.arrays.get(id(job.layer)))](self, job, at)

    def folds(self, job: TaskUnderWay, at: int) -> None:
        """The folds of a tile on a systolic array, of its groups one after another."""
        array, kernel = cast(ArrayModel, self.arrays[id(job.layer)]), job.layer.kernel
        assert isinstance(kernel, GemmKernel)
        tile, maps = job.tile, {item: self.map(job, item) for item in ("ifmap", "psum", "ofmap")}
        assert isinstance(tile, GemmTile)
        depth = tile.channels.size * tile.tap_rows.size * tile.tap_cols.size
        left = job.step.work.sram.ifmap_reads
        for group in range(tile.groups.size):
            for fold in folds_of(array, kernel, tile):
                end = at + int(fold_time(array, fold.its).total)
                words, made = words_of(fold.its), _made(tile, group, fold)
                read = _read(array, kernel, tile, maps["ifmap"].block, group, fold)
                weight = (group * tile.filters.size + fold.n) * depth + fold.k
                addresses: dict[Operand, int] = {
                    "ifmap": maps["ifmap"].address(*read),
                    "filter": job.addresses["filter"] + weight * self.target.bytes_of("filter"),
                    "psum": maps["psum"].address(*made),
                    "ofmap": maps["ofmap"].address(*made),
                }
                left -= int(words["ifmap_reads"])
                for name, item, is_write in COUNTS:
                    when = end - 1 if is_write else at
                    self.words(when, job, item, addresses[item], int(words[name]), is_write)
                at = end
        self.words(at - 1, job, "ifmap", self.stays.get(job.layer.addend or "", 0), left, False)

    def whole(self, job: TaskUnderWay, at: int) -> None:
        """A tile in one line for each operand."""
        for name, item, is_write in COUNTS:
            when = at + job.step.work.cycles - 1 if is_write else at
            address = job.addresses["filter"] if item == "filter" else self.map(job, item).address()
            self.words(when, job, item, address, getattr(job.step.work.sram, name), is_write)

    def map(self, job: TaskUnderWay, item: Operand) -> Map:
        """Where a tile's part of a feature map, or its psums, lie."""
        layer, residence = job.layer, job.layer.placement.residence
        word = self.target.bytes_of(item)
        if item != "ifmap":
            whole = item == "ofmap" and residence.kept and not self.has_place(layer)
            base = self.stays.get(layer.layer.name, 0) if whole else job.addresses[item]
            return Map(base, word, ofmap_block(layer, job.tile, False), whole)
        block = ifmap_block(layer, job.tile)
        if residence.ifmap:
            return Map(self.stays.get(layer.layer.inputs[0], 0), word, block, True)
        return Map(job.addresses[item], word, block, False)

    def has_place(self, layer: LayerProgram) -> bool:
        """Whether an ofmap that is kept has a place for tiles first."""
        shared = self.target.buffer_index("ifmap") == self.target.buffer_index("ofmap")
        return layer.placement.residence.stored or not shared

    def words(
        self, at: int, job: TaskUnderWay, item: Operand, first: int, count: int, out: bool
    ) -> None:
        """So many words at the array's side."""
        tensor = shown_name(*operand_of(job.layer, item))
        size = count * self.target.bytes_of(item)
        self.line(at, job, item, (first, size, out), tensor, "array")

    def line(
        self,
        at: int,
        job: TaskUnderWay,
        item: Operand,
        moved: tuple[int, int, bool],
        tensor: str,
        port: str,
    ) -> None:
        """A line, if any byte is moved: their first address, number, and whether they are written.

        Taps that meet nothing but padding load nothing.
        """
        first, size, is_write = moved
        if not size:
            return
        names = (self.buffer_of[item], job.layer.layer.name, tensor)
        buffer, layer, tensor = (str(cell(each)).replace('"', '""') for each in names)
        way = "write" if is_write else "read"
        self.file.write(
            f'{self.start + at},"{buffer}",{first},{size},{way},"{layer}","{tensor}",'
            f"{item},{job.core},{port}\n"
        )


TRACED: dict[type, Callable[[SramTracer, TaskUnderWay, int], None]] = {
    ArrayModel: SramTracer.folds,
    RowStationary: SramTracer.whole,
    type(None): SramTracer.whole,
}
"""The lines of a tile on every kind of array, and on a vector unit."""
