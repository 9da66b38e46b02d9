"""The steady state: turns of a repeat that go as one before them are leapt over.

Time goes by whole cycles and nothing is drawn by chance, so what is to come follows from the state
of the machine: the tiles on chip, the room taken, how long each transfer and computation will go
on, and the steps still to load. If at two turns of a repeat the state is the same but for
the clock, then all turns between them will be played again, cycle for cycle, for as long as the
repeat goes on. So the clock leaps over as many of these periods as are left, and what is counted in
one of them is counted as often. A period once known serves wherever its state comes again, in
another turn of an outer loop or in a layer of the same shape. Nothing is estimated: played in full,
the result is the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from accelsim.lowering.schedule import Nest

if TYPE_CHECKING:
    from accelsim.engine.compute import Loaded, Part, Unit

State = tuple[Any, ...]

Glimpse = tuple[int, ...]
"""A little of a state."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When a state was met, at how many turns from the end, and what was counted until then."""

    left: int
    now: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """Turns after which a state comes again, the cycles they take, and what is counted in them."""

    turns: int
    cycles: int
    counts: tuple[int, ...]


Periods = dict[tuple[int, State], Period]
"""By the identity of what is repeated and the state at a turn of it."""


class SteadyState:
    """The states that a unit has met at the turns of a repeat of `body`."""

    def __init__(self, unit: "Unit", part: "Part", body: Nest) -> None:
        self.unit = unit
        self.part = part
        self.body = id(body)
        self.met: dict[State, Mark] = {}
        self.is_short = len(body) == 1
        self.glimpse: Glimpse = ()
        self.glimpses: set[Glimpse] = set()
        self.others = [other for other in unit.core.units if other is not unit]

    def skipped(self, left: int) -> int:
        """Turns of the `left` that need not be played, for time has leapt over them."""
        if self.is_short and self.is_new():
            return 0
        state = self.state()
        if state is None:
            return 0
        period = self.unit.periods.get((self.body, state))
        if period is None:
            mark = self.met.get(state)
            if mark is None:
                self.met[state] = Mark(left, self.unit.env.now, self.counts())
                return 0
            period = self.since(mark, left)
            self.unit.periods[self.body, state] = period
            self.unit.glimpses.add(self.glimpse)
        times = left // period.turns
        self.leap(times, period)
        return times * period.turns

    def is_new(self) -> bool:
        """Whether even a glimpse tells that the state was never met before.

        The whole state takes as long to see as a task to play; so after a single task it is only
        looked at when that may be worth it.
        """
        unit = self.unit
        now, dram = unit.env.now, unit.core.dram
        glimpse = (self.body, len(unit.loaded), unit.free_at - now, max(dram.free_at - now, 0))
        self.glimpse = glimpse
        if glimpse in self.glimpses or glimpse in unit.glimpses:
            return False
        self.glimpses.add(glimpse)
        return True

    def since(self, mark: Mark, left: int) -> Period:
        """The period that began with `mark` and ends now."""
        pairs = zip(self.counts(), mark.counts, strict=True)
        counts = tuple(count - before for count, before in pairs)
        return Period(mark.left - left, self.unit.env.now - mark.now, counts)

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
            *(part.spaces, unit.computing, unit.storing, unit.tiles, unit.free_at - now),
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
        own = item.part is self.part
        return cycles, urgency, calls, then, own, item.step, self.unit.tasks - item.index

    def counts(self) -> tuple[int, ...]:
        """What a layer's turns add to."""
        line = self.part.line
        assert line is not None
        return line.other_layer, line.read_wait, line.write_wait, self.part.run.unfinished

    def leap(self, times: int, period: Period) -> None:
        """Let `period` pass so many times."""
        unit, line = self.unit, self.part.line
        assert line is not None
        cycles = times * period.cycles
        other_layer, read_wait, write_wait, unfinished = period.counts
        line.other_layer += times * other_layer
        line.read_wait += times * read_wait
        line.write_wait += times * write_wait
        self.part.run.unfinished += times * unfinished
        unit.env.leap(cycles)
        unit.free_at += cycles
        unit.core.dram.free_at += cycles
        for buffer in unit.core.buffers:
            buffer.moves_until += cycles
        for item in (*unit.loaded, *filter(None, [unit.current])):
            item.room_at += cycles
            item.arrival += cycles
