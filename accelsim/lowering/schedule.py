"""The schedule of an array: the steps of its tasks in order, as nested repeats.

A layer has few kinds of tasks, most of them many times in a row, and again for every block of
pixels or filters. So its steps are written down as its loops are, not one by one; only who
computes values lists the tiles.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from typing import Generic, TypeVar

from accelsim.lowering.task import Step, Task, Tile
from accelsim.lowering.traffic import Dram, Inside, Sram

Around = TypeVar("Around")
Turn = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """`body`, `times` in a row."""

    body: "Nest"
    times: int


Nest = tuple[Step | Repeat, ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """What an array does for a layer; `tiles` lists the tiles of its steps.

    A task that loads psums loads those that the task `lag` before it has stored.
    """

    nest: Nest
    tiles: Callable[[], Iterable[Tile]]
    lag: int = 0

    @cached_property
    def counts(self) -> tuple[tuple[Step, int], ...]:
        """The different steps, and how often each occurs; equal steps are one object."""
        return tuple(_counted(self.nest).items())

    @cached_property
    def length(self) -> int:
        """Tasks."""
        return sum(count for _, count in self.counts)

    @cached_property
    def cycles(self) -> int:
        """Cycles of all tasks, one after another."""
        return sum(step.cycles * count for step, count in self.counts)

    @cached_property
    def sram(self) -> Sram:
        """Words at the edge of the array (or vector unit)."""
        return Sram.summed((step.work.sram, count) for step, count in self.counts)

    @cached_property
    def inside(self) -> Inside:
        """What moves inside the array."""
        return Inside.summed((step.work.inside, count) for step, count in self.counts)

    @cached_property
    def dram(self) -> Dram:
        """Bytes between DRAM and the buffers."""
        return Dram.summed((step.dram, count) for step, count in self.counts)

    @cached_property
    def operations(self) -> int:
        """MACs, or lane operations."""
        return sum(step.work.operations * count for step, count in self.counts)

    @property
    def last(self) -> Step:
        """The step of the last task."""
        entry = self.nest[-1]
        while isinstance(entry, Repeat):
            entry = entry.body[-1]
        return entry

    @property
    def steps(self) -> Iterator[Step]:
        """The step of every task."""
        return unrolled(self.nest)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Every tile with its step."""
        return tuple(map(Task, self.tiles(), self.steps))


def unrolled(nest: Nest) -> Iterator[Step]:
    """The steps of `nest`, one by one."""
    for entry in nest:
        if isinstance(entry, Repeat):
            for _ in range(entry.times):
                yield from unrolled(entry.body)
        else:
            yield entry


def _counted(nest: Nest) -> "Counter[Step]":
    total: Counter[Step] = Counter()
    for entry in nest:
        if isinstance(entry, Repeat):
            for step, count in _counted(entry.body).items():
                total[step] += count * entry.times
        else:
            total[entry] += 1
    return total


@dataclass(frozen=True, slots=True)
class TileLoop(Generic[Around]):
    """A loop over tiles: what each of its `turns` says of the size of the tile.

    `advance` is what changes from one turn to the next.
    """

    turns: Sequence[Turn]
    advance: Around


def plain(loops: Sequence[Sequence[Turn]], step: Callable[[Turn], Step]) -> Nest:
    """The steps of all turns, the last loop fastest, where no step depends on those around it."""
    return nested(
        [TileLoop(turns, None) for turns in loops], lambda size, *_: step(size), None, None
    )


def nested(
    loops: Sequence[TileLoop[Around]],
    step: Callable[[Turn, Around, Around], Step],
    before: Around,
    after: Around,
) -> Nest:
    """The steps of all turns, the last loop fastest.

    `step` makes one, given what the turns of all loops say, and what changes before and after
    it; `before` and `after` are what changes at both ends of the nest. Equal ones are one object.
    """
    return _nested(loops, cache(step), before, after, ())


def _nested(
    loops: Sequence[TileLoop[Around]],
    step: Callable[[Turn, Around, Around], Step],
    before: Around,
    after: Around,
    size: Turn,
) -> Nest:
    if not loops:
        return (step(size, before, after),)
    loop, *inner = loops
    ends = len(loop.turns) - 1
    kinds = (
        (turn, loop.advance if index else before, loop.advance if index < ends else after)
        for index, turn in enumerate(loop.turns)
    )
    nest: list[Step | Repeat] = []
    for (turn, left, right), alike in groupby(kinds):
        body = _nested(inner, step, left, right, (*size, *turn))
        nest += _repeated(body, sum(1 for _ in alike))
    return tuple(nest)


def _repeated(body: Nest, times: int) -> Nest:
    if times == 1 or not body:
        return body
    if len(body) == 1 and isinstance(body[0], Repeat):
        return (Repeat(body[0].body, body[0].times * times),)
    return (Repeat(body, times),)
