"""The schedule of an array: the steps of its tasks in order, as nested repeats.

A layer has few kinds of tasks, most of them many times in a row, and again for every block of
pixels or filters. So its loops are written down as runs of spans that are alike, and its steps as
the loops are: neither grows with an axis. Only who computes values lists the tiles, by walking
the same loops turn by turn.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, product
from math import prod
from typing import Generic, TypeVar

from accelsim.lowering.task import Room, Span, Step, Task, Tile
from accelsim.lowering.traffic import Dram, Inside, Sram

Around = TypeVar("Around")
Turn = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`body`, `times` in a row."""

    body: "Nest"
    times: int


Nest = tuple[Step | Repeat, ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """What an array does for a layer; `tiles` lists the tiles of its steps."""

    nest: Nest
    tiles: Callable[[], Iterable[Tile]]

    @cached_property
    def counts(self) -> tuple[tuple[Step, int], ...]:
        """The different steps, and how often each occurs; equal steps are one object."""
        found: dict[Step, int] = {}
        _count(self.nest, 1, found)
        return tuple(found.items())

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

    @cached_property
    def pair(self) -> dict[int, int]:
        """Bytes by buffer of a task that is computed and the next one, where most."""
        held: Counter[int] = Counter()
        most: Counter[int] = Counter()
        freed: tuple[Room, ...] = ()
        for step in _turned_twice(self.nest):
            for room in step.takes:
                held[room.buffer] += room.size
                most[room.buffer] = max(most[room.buffer], held[room.buffer])
            for room in freed:
                held[room.buffer] -= room.size
            freed = step.gives_back
        return most

    @cached_property
    def begun(self) -> "Schedule":
        """The schedule from when the filters of its first task have come."""
        if not self.nest:
            return self
        first, *others = _first_apart(self.nest)
        assert isinstance(first, Step)
        came = tuple(load.room for load in first.loads if not load.needs_inputs)
        loads = tuple(load for load in first.loads if load.needs_inputs)
        first = replace(first, loads=loads, opens=(*came, *first.opens))
        return replace(self, nest=(first, *others))

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


def in_turn(several: Sequence[Schedule]) -> Schedule:
    """What an array does one after another."""
    if len(several) == 1:
        return several[0]
    nest = tuple(chain.from_iterable(each.nest for each in several))
    return Schedule(nest, lambda: chain.from_iterable(each.tiles() for each in several))


def _first_apart(nest: Nest) -> Nest:
    """The same steps, of which the first is in no loop."""
    first, *others = nest
    if not isinstance(first, Repeat):
        return nest
    left = (Repeat(first.body, first.times - 1),) if first.times > 1 else ()
    return (*_first_apart(first.body), *left, *others)


def unrolled(nest: Nest) -> Iterator[Step]:
    """The steps of `nest`, one by one."""
    for entry in nest:
        if isinstance(entry, Repeat):
            for _ in range(entry.times):
                yield from unrolled(entry.body)
        else:
            yield entry


def _turned_twice(nest: Nest) -> Iterator[Step]:
    """The steps of `nest`, with two turns of each loop: so each follows all that it can follow."""
    for entry in nest:
        if isinstance(entry, Repeat):
            for _ in range(min(entry.times, 2)):
                yield from _turned_twice(entry.body)
        else:
            yield entry


def _count(nest: Nest, times: int, found: dict[Step, int]) -> None:
    """Add how often each step occurs in `times` turns of `nest`."""
    for entry in nest:
        if isinstance(entry, Repeat):
            _count(entry.body, times * entry.times, found)
        else:
            found[entry] = found.get(entry, 0) + times


@dataclass(frozen=True, slots=True)
class Run:
    """`count` spans of an axis, one after another, that are alike: `first` stands for them all.

    `sizes` is what they are alike in: how many indices, and what else they say of a tile.
    """

    first: Span
    count: int
    sizes: Turn

    def part(self, start: int, stop: int) -> "Run":
        """Spans [start, stop) of the run."""
        begin, size = self.first.start, self.first.size
        at = Span(begin + start * size, begin + (start + 1) * size)
        return Run(at, stop - start, self.sizes)

    def moved(self, by: int) -> "Run":
        """The same, so many indices further on."""
        return Run(Span(self.first.start + by, self.first.stop + by), self.count, self.sizes)

    @property
    def spans(self) -> Iterator[Span]:
        """Its spans, one by one."""
        start, size = self.first.start, self.first.size
        for _ in range(self.count):
            yield Span(start, start + size)
            start += size


Axis = tuple[Run, ...]
Box = tuple[Axis, ...]
Boxes = tuple[Box, ...]
"""An axis cut into spans; the product of several, the last one fastest; such products in a row."""


def turns_of(box: Box) -> int:
    """Turns of all axes of `box`."""
    return prod(sum(run.count for run in axis) for axis in box)


@dataclass(frozen=True, slots=True)
class Level(Generic[Around]):
    """A loop over tiles. `advance` is what changes from one of its turns to the next."""

    boxes: Boxes
    advance: Around

    @property
    def turns(self) -> int:
        """How often it turns."""
        return sum(map(turns_of, self.boxes))


def turns(levels: Sequence[Boxes]) -> Iterator[tuple[Span, ...]]:
    """The spans of every turn of all levels, one by one, the last axis fastest."""
    for chosen in product(*(list(chain(*map(_listed, boxes))) for boxes in levels)):
        yield tuple(chain(*chosen))


def _listed(box: Box) -> Iterator[tuple[Span, ...]]:
    return product(*([span for run in axis for span in run.spans] for axis in box))


def plain(boxes: Boxes, step: Callable[[Turn], Step]) -> Nest:
    """The steps of all turns, where none depends on more than the sizes of its own."""
    made = cache(step)

    def step_of(runs: tuple[Run, ...], *_: None) -> Step:
        return made(tuple(size for run in runs for size in run.sizes))

    return nested([Level(boxes, None)], step_of, None, None)


def nested(
    levels: Sequence[Level[Around]],
    step: Callable[[tuple[Run, ...], Around, Around], Step],
    before: Around,
    after: Around,
) -> Nest:
    """The steps of the turns that `turns` lists, as nested repeats.

    `step` makes one, given a run of each axis, and what changes before and after each of its
    turns; `before` and `after` are what changes at both ends of the nest. It is asked once for
    all the turns of a run, however many these are.
    """
    return _levels(levels, step, before, after, ())


def _levels(
    levels: Sequence[Level[Around]],
    step: Callable[[tuple[Run, ...], Around, Around], Step],
    before: Around,
    after: Around,
    runs: tuple[Run, ...],
) -> Nest:
    if not levels:
        return (step(runs, before, after),)
    level, *inner = levels
    last = len(level.boxes) - 1

    def body(runs: tuple[Run, ...], left: Around, right: Around) -> Nest:
        return _levels(inner, step, left, right, runs)

    nest: list[Step | Repeat] = []
    for index, box in enumerate(level.boxes):
        left = before if index == 0 else level.advance
        right = after if index == last else level.advance
        nest += _box(box, level.advance, body, left, right, runs)
    return tuple(nest)


def _box(
    box: Box,
    advance: Around,
    body: Callable[[tuple[Run, ...], Around, Around], Nest],
    before: Around,
    after: Around,
    runs: tuple[Run, ...],
) -> Nest:
    while box and len(box[0]) == 1 and box[0][0].count == 1:
        runs, box = (*runs, box[0][0]), box[1:]
    if not box:
        return body(runs, before, after)
    axis, inner = box[0], box[1:]
    alike: list[tuple[Nest, int]] = []
    for run, left, right in _ends_apart(axis, advance, before, after):
        nest, times = _box(inner, advance, body, left, right, (*runs, run)), run.count
        if alike and alike[-1][0] == nest:
            times += alike.pop()[1]
        alike.append((nest, times))
    return tuple(chain.from_iterable(_repeated(*each) for each in alike))


def _ends_apart(
    axis: Axis, advance: Around, before: Around, after: Around
) -> Iterator[tuple[Run, Around, Around]]:
    """The runs of an axis, and what changes before and after each of their turns."""
    last = len(axis) - 1
    for index, run in enumerate(axis):
        left = before if index == 0 else advance
        right = after if index == last else advance
        if run.count == 1:
            yield run, left, right
            continue
        head, tail = int(left != advance), run.count - int(right != advance)
        if head:
            yield run.part(0, 1), left, advance
        if head < tail:
            yield run.part(head, tail), advance, advance
        if tail < run.count:
            yield run.part(tail, run.count), advance, right


def _repeated(body: Nest, times: int) -> Nest:
    if times == 1 or not body:
        return body
    if len(body) == 1 and isinstance(body[0], Repeat):
        return (Repeat(body[0].body, body[0].times * times),)
    return (Repeat(body, times),)
