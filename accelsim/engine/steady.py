"""The steady state: turns of a repeat that go as one before them are leapt over.

Time goes by whole cycles and nothing is drawn by chance, so what is to come follows from the state
of the machine: the tiles on chip, the room taken, how long each transfer and computation will go
on, and the steps still to load. If at two turns of a repeat the state is the same but for
the clock, then all turns between them will be played again, cycle for cycle, for as long as the
repeat goes on. So the clock leaps over as many of these periods as are left, and what is counted in
one of them is counted as often. Nothing is estimated: played in full, the result is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from accelsim.engine.scheduler import LayerRun

if TYPE_CHECKING:
    from accelsim.engine.compute import Unit

State = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """When a state was met, at which turn from the end, and what was counted until then."""

    left: int
    now: int
    counts: tuple[int, ...]


class SteadyState:
    """The states that a unit has met at the turns of a repeat."""

    def __init__(self, unit: "Unit", run: LayerRun) -> None:
        self.unit = unit
        self.run = run
        self.met: dict[State, Mark] = {}

    def skipped(self, left: int) -> int:
        """Turns of the `left` that need not be played, for time has leapt over them."""
        state = self.state()
        if state is None:
            return 0
        mark = self.met.get(state)
        if mark is None:
            self.met[state] = Mark(left, self.unit.env.now, self.counts())
            return 0
        turns = mark.left - left
        periods = left // turns
        self.leap(periods, mark)
        return periods * turns

    def state(self) -> State | None:
        """All that the future follows from, in cycles from now; None unless the unit is alone.

        Alone: every other unit stands, and whatever it waits for is not on the way.
        """
        unit, core = self.unit, self.unit.core
        line = self.run.timelines.get(core.index)
        if line is None or not line.computed:
            return None
        others = [other for other in core.units if other is not unit]
        if any(other.current is not None or other.storing for other in others):
            return None
        now = unit.env.now
        return (
            *(unit.computing, unit.storing, unit.tiles, unit.free_at - now, unit.idle is None),
            *(core.dram.writing, max(core.dram.free_at - now, 0)),
            *[each.state for each in core.buffers],
            tuple([unit.asked - index for index in unit.spilled]),
            *[other.moves for other in others],
            tuple([self.entry(*each) for each in unit.env.agenda if each[2].callbacks]),
            *self.tiles(),
        )

    def tiles(self) -> Iterator[object]:
        """The tiles that are loaded or under way. Their room counts only if they wait for it."""
        unit = self.unit
        now, free_at = unit.env.now, unit.free_at
        for item in (*unit.loaded, unit.current):
            if item is None:
                continue
            yield from (item.run, item.step, unit.asked - item.index, item.crowded)
            yield item.arrival - now if item.arrival > now else 0
            yield item.room_at - now if item.room_at > free_at else None

    def entry(self, cycles: int, urgency: int, event: simpy.Event) -> State:
        """Something to come: when, what it calls, and for which tile."""
        calls = tuple(event.callbacks or ())
        if not isinstance(event.value, tuple):
            return cycles, urgency, calls
        then, item = event.value
        return cycles, urgency, calls, then, item.run, item.step, self.unit.asked - item.index

    def counts(self) -> tuple[int, ...]:
        """What a layer's turns add to."""
        line = self.run.timelines[self.unit.core.index]
        return line.other_layer, line.read_wait, line.write_wait, self.run.unfinished

    def leap(self, periods: int, mark: Mark) -> None:
        """Let so many periods pass, each as from `mark` to now."""
        unit, run = self.unit, self.run
        line = run.timelines[unit.core.index]
        cycles = periods * (unit.env.now - mark.now)
        other_layer, read_wait, write_wait, unfinished = (
            count + periods * (count - before)
            for count, before in zip(self.counts(), mark.counts, strict=True)
        )
        line.other_layer, line.read_wait, line.write_wait = other_layer, read_wait, write_wait
        run.unfinished = unfinished
        unit.env.leap(cycles)
        unit.free_at += cycles
        unit.core.dram.free_at += cycles
        for buffer in unit.core.buffers:
            buffer.moves_until += cycles
        for item in (*unit.loaded, *filter(None, [unit.current])):
            item.room_at += cycles
            item.arrival += cycles
