"""The steady state: turns of a repeat that go as one before them are leapt over.

Time goes by whole cycles and nothing is drawn by chance, so what is to come follows from the state
of the machine: the tiles on chip, the room taken, how long each transfer and computation will go
on, and the steps still to load. If at two turns of a repeat the state is the same but for
the clock, then all turns between them will be played again, cycle for cycle, for as long as the
repeat goes on. So the clock leaps over as many of these periods as are left, and what is counted in
one of them is counted as often. Nothing is estimated: played in full, the result is the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

if TYPE_CHECKING:
    from accelsim.engine.compute import Loaded, Part, Unit

State = tuple[Any, ...]

SHALLOW = 8
"""A queue of more tasks is looked at only when it has been as long before, for that takes time."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When a state was met, at which turn from the end, and what was counted until then."""

    left: int
    now: int
    counts: tuple[int, ...]


class SteadyState:
    """The states that a unit has met at the turns of a repeat."""

    def __init__(self, unit: "Unit", part: "Part") -> None:
        self.unit = unit
        self.part = part
        self.met: dict[State, Mark] = {}
        self.depths: set[int] = set()
        self.others = [other for other in unit.core.units if other is not unit]

    def skipped(self, left: int) -> int:
        """Turns of the `left` that need not be played, for time has leapt over them."""
        depth = len(self.unit.loaded)
        if depth > SHALLOW and depth not in self.depths:
            self.depths.add(depth)
            return 0
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

        Alone: it has tiles of this layer only. Every other unit stands, and whatever it waits for
        is not on the way.
        """
        unit, part = self.unit, self.part
        core, current = unit.core, unit.current
        if part.line is None or not part.line.computed:
            return None
        if current is not None and current.part is not part:
            return None
        for other in self.others:
            if other.current is not None or other.storing:
                return None
        now = unit.env.now
        return (
            *(unit.computing, unit.storing, unit.tiles, unit.free_at - now),
            *(core.dram.writing, max(core.dram.free_at - now, 0)),
            *[each.state for each in core.buffers],
            tuple([unit.tasks - index for index in unit.spilled]),
            tuple([other.moves for other in self.others]),
            tuple([self.entry(*each) for each in unit.env.agenda]),
            None if current is None else (current.step, *self.waits(current)),
            tuple([item.step for item in unit.loaded]),
            tuple([(at, *self.waits(item)) for at, item in self.expected()]),
        )

    def expected(self) -> list[tuple[int, "Loaded"]]:
        """The loaded tasks, by their place in the queue, that might have to be waited for."""
        now, free_at = self.unit.env.now, self.unit.free_at
        return [
            (place, item)
            for place, item in enumerate(self.unit.loaded)
            if item.arrival > now or item.room_at > free_at
        ]

    def waits(self, item: "Loaded") -> tuple[int, int, bool]:
        """In how many cycles a task's operands are there; since when it has its room."""
        now = self.unit.env.now
        room_at = max(item.room_at, self.unit.free_at)
        return max(item.arrival - now, 0), room_at - now, item.crowded

    def entry(self, cycles: int, urgency: int, event: simpy.Event) -> State:
        """Something to come: when, what it calls, and for which tile."""
        calls = tuple(event.callbacks or ())
        if not isinstance(event.value, tuple):
            return cycles, urgency, calls
        then, item = event.value
        return cycles, urgency, calls, then, item.part, item.step, self.unit.tasks - item.index

    def counts(self) -> tuple[int, ...]:
        """What a layer's turns add to."""
        line = self.part.line
        assert line is not None
        return line.other_layer, line.read_wait, line.write_wait, self.part.run.unfinished

    def leap(self, periods: int, mark: Mark) -> None:
        """Let so many periods pass, each as from `mark` to now."""
        unit, line = self.unit, self.part.line
        assert line is not None
        cycles = periods * (unit.env.now - mark.now)
        other_layer, read_wait, write_wait, unfinished = (
            count + periods * (count - before)
            for count, before in zip(self.counts(), mark.counts, strict=True)
        )
        line.other_layer, line.read_wait, line.write_wait = other_layer, read_wait, write_wait
        self.part.run.unfinished = unfinished
        unit.env.leap(cycles)
        unit.free_at += cycles
        unit.core.dram.free_at += cycles
        for buffer in unit.core.buffers:
            buffer.moves_until += cycles
        for item in (*unit.loaded, *filter(None, [unit.current])):
            item.room_at += cycles
            item.arrival += cycles
