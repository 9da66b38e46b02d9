"""What must be true of any task's step: what the specs of GEMM and vector kernels share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.task import GemmTile, Load, Span, Step, Store, Task, Tile, Work
from accelsim.lowering.units import work_of
from accelsim.network.ops import Read, Stretch

Part = tuple[Span, ...]
"""Part of a tensor, or of a sum: a span of each of its axes."""

Found = Iterator[tuple[int, str]]
"""Problems, each with the index of its task."""


@dataclass
class Done:
    """How often each element of an ofmap was finished."""

    shape: tuple[int, ...]
    times: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.times = np.zeros(self.shape, np.uint8)

    def finish(self, part: Part) -> bool:
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


class KernelSpec(ABC):
    """What must be true of a kernel's tasks, on any unit.

    `done` counts how often each element of its ofmap is finished; `pooled` those that leave, where
    its tiles pool on the way out.
    """

    def __init__(self, layer: LayerProgram, target: Target, ofmap: tuple[int, ...]) -> None:
        self.residence = layer.placement.residence
        processor = layer.processor or target.processor
        self.target = replace(target, residence=self.residence, processor=processor)
        assert layer.tiling is not None, "what has tasks has a tiling"
        self.works = work_of(layer.kernel, self.target, layer.tiling)
        self.done = Done(ofmap)
        self.pooled: Done | None = None

    @abstractmethod
    def tasks(self, schedule: Schedule) -> Found:
        """Problems of the tasks of an array or vector unit."""

    @abstractmethod
    def needs(self, task: Task) -> dict[Operand, int]:
        """Words of its tile that a task has room for: what is loaded, unfinished sums, results."""

    @property
    @abstractmethod
    def shares_results(self) -> bool:
        """Whether finished psums lie where their ofmap does."""


def is_whole(course: Sequence[Part], sizes: Sequence[int]) -> bool:
    """Whether parts of axes of `sizes` are all of them once, and in order."""
    for part in course:
        if any(a.start < 0 or a.stop > size for a, size in zip(part, sizes, strict=True)):
            return False
    times = np.zeros(tuple(sizes), np.uint8)
    for part in course:
        times[tuple(span.slice for span in part)] += 1
    starts = [tuple(span.start for span in part) for part in course]
    return bool((times == 1).all()) and starts == sorted(starts)


def is_empty(tile: Tile) -> bool:
    """Whether one of a tile's axes has nothing of it."""
    pixels = tile.pixels
    spans = [pixels.batch, pixels.rows, pixels.cols, tile.channels, tile.tap_rows, tile.tap_cols]
    if isinstance(tile, GemmTile):
        spans += [tile.groups, tile.filters]
    return any(span.size <= 0 for span in spans)


def way_out(step: Step, finishes: bool, words: int, target: Target, there: Residence) -> list[str]:
    """What is wrong with where a step's `words` of the ofmap go."""
    size = words * target.bytes_of("ofmap")
    stored = step.store is not None and step.store.operand == "ofmap"
    problems = []
    if stored != (finishes and there.stored):
        problems.append("the ofmap is stored" if stored else "the ofmap is not stored")
    if (step.keep is not None) != (finishes and there.kept):
        problems.append("the ofmap is kept on chip" if step.keep else "the ofmap is not kept")
    if step.keep is not None:
        rate, place = target.move_bytes_per_cycle, target.buffer_index("ifmap")
        if step.keep.size != size:
            problems.append(f"{step.keep.size:,} bytes of the ofmap are kept for {size:,}")
        if (step.keep.buffer, step.keep.cycles) != (place, ceil(size / rate) if rate else 0):
            problems.append("the ofmap is kept in another place, or moves there at another rate")
    return problems


@dataclass(frozen=True, slots=True)
class Lie:
    """A block of a tensor: the extents of both, in words, the axis that is contiguous last."""

    whole: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def run(self) -> int:
        """Words that lie in a row."""
        return prod(self.block[self._cut :])

    @property
    def pitch(self) -> int:
        """Words from a run to the nearest; to the next tensor, if it is the only one."""
        steps = [prod(self.whole[at + 1 :]) for at in range(self._cut) if self.block[at] > 1]
        return min(steps, default=prod(self.whole))

    @property
    def _cut(self) -> int:
        """The last axis of which the block has only some."""
        pairs = enumerate(zip(self.whole, self.block, strict=True))
        return max((at for at, (every, some) in pairs if some < every), default=0)


def sizes_problems(
    step: Step, words: dict[Operand, int], target: Target, lies: dict[Operand, Lie], apart: int = 0
) -> Iterator[str]:
    """Transfers whose bytes are not those of the tile's regions, or lie elsewhere.

    The runs of ifmaps leave out words that lie `apart`: inputs of one value per channel.
    """
    for transfer in step.transfers:
        is_addend = isinstance(transfer, Load) and transfer.addend
        meant: Operand = "psum" if is_addend else transfer.operand
        word = target.bytes_of(transfer.operand)
        size = words.get(meant, 0) * word
        verb = "stored" if isinstance(transfer, Store) else "loaded"
        if transfer.size != size:
            yield f"{transfer.size:,} bytes of {transfer.operand} are {verb} for {size:,}"
        left_out = apart * target.bytes_of("ifmap") if transfer.operand == "ifmap" else 0
        if transfer.runs.count * transfer.runs.size != transfer.size - left_out:
            yield f"the runs of {transfer.operand} are not its {transfer.size:,} bytes"
        has, lie = (transfer.runs.size, transfer.runs.pitch), lies[meant]
        if has != (lie.run * word, lie.pitch * word):
            yield f"the runs of {transfer.operand} lie elsewhere: each has {has[0]:,} of {has[1]:,}"


def work_problems(step: Step, wanted: Work, operations: int) -> Iterator[str]:
    """Cycles and words that are not those `wanted` by the tile, or other than its `operations`."""
    if step.work.operations != operations:
        yield f"{step.work.operations:,} operations are timed for {operations:,}"
    if step.cycles != step.work.cycles:
        yield f"{step.cycles:,} cycles are timed for {step.work.cycles:,}"
    for item in fields(Work):
        has, wants = (getattr(each, item.name) for each in (step.work, wanted))
        if has != wants and item.name != "operations":
            yield f"its work has {item.name} {has}, its tile {wants}"


def read_along(window: Read, outputs: Span, taps: Span) -> int:
    """Positions of data from the first to the last that `outputs` read with `taps`."""
    if isinstance(window, Stretch):
        return int(window.read(outputs.start, outputs.size))
    first = outputs.start * window.stride + taps.start * window.dilation - window.before
    last = (outputs.stop - 1) * window.stride + (taps.stop - 1) * window.dilation - window.before
    return max(min(last + 1, window.size) - max(first, 0), 0)
