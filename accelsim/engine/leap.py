"""Leaps: turns of loops that go as one before them are not played.

Time goes by whole cycles and nothing is drawn by chance, so what is to come follows from the state
of the machine: the clock's agenda and the state of every component, in cycles from now. If a state
comes again but for the turns that the loaders have still to begin, each in one of its loops, all
between will be played again, cycle for cycle, for as long as these loops go on. So the clock
leaps over as many of these periods as are left in all of them, and what is counted in one is
counted as often. A period once known serves wherever its state comes again, in another turn of an
outer loop or in a layer of the same shape. Of arrays that share a layer only who has more of it
left is told, in `contests`, for as long as no leap would turn that round. Nothing is estimated:
played in full, the result is the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from accelsim.engine.clock import Clock, State, Worker
from accelsim.engine.contests import Contender, Contests, Lead, Pair
from accelsim.engine.cursor import Frame

if TYPE_CHECKING:
    from accelsim.engine.unit import Unit

Numbers = tuple[tuple[int, ...], ...]
"""Some of each worker."""

MOST_STATES = 4_096
"""States to remember: where none comes again, memory must not grow with the turns."""

MOST_MARKS = 8
"""Marks to remember of a state that comes again too differently in its turns, and periods."""


class ShortLeapsError(Exception):
    """More turns were looked at than there was patience for: leaps are short, or there are none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When and where a state was met, turns left then, and what was counted until then.

    `left` is what each had of its layer, `contests` how many there had been.
    """

    now: int
    turns: Numbers
    counts: Numbers
    where: Numbers
    left: Mapping[Contender, int]
    contests: int


@dataclass(frozen=True, slots=True)
class Period:
    """From a state to where it comes again: cycles, turns begun, what is counted.

    `after` are the turns left at its start: those of the loops within one that goes on must be
    the same for it to come again. `leads` are of those who met at the DRAM.
    """

    cycles: int
    turns: Numbers
    counts: Numbers
    after: Numbers
    leads: Mapping[Pair, Lead]

    def times(self, turns: Numbers) -> int:
        """How often it comes again with so many turns left."""
        of_turns = min(
            _times(fewer, left, now)
            for fewer, left, now in zip(self.turns, self.after, turns, strict=True)
            if any(fewer)
        )
        leads = self.leads.items()
        return min([of_turns, *(lead.times(one.left - other.left) for (one, other), lead in leads)])


def _times(fewer: tuple[int, ...], before: tuple[int, ...], now: tuple[int, ...]) -> int:
    """How often one worker's loops can go through a period."""
    level = next(level for level, each in enumerate(fewer) if each)
    return now[level] // fewer[level] if now[level + 1 :] == before[level + 1 :] else 0


class Recurrences:
    """The states that were met, and the periods between those that came again.

    With no `turns` left to look at it is given up, with a ShortLeapsError.
    """

    def __init__(self, contests: Contests) -> None:
        self.contests = contests
        self.turns = inf
        self.glimpses: set[State] = set()
        self.marks: dict[State, list[Mark]] = {}
        self.periods: dict[State, list[Period]] = {}

    def is_new(self, glimpse: State) -> bool:
        """Whether even a glimpse tells that the state was never met before.

        The whole state takes as long to see as some tasks to play, so it is only looked at when
        that may be worth it.
        """
        self.turns -= 1
        if self.turns < 0:
            raise ShortLeapsError
        if glimpse in self.glimpses:
            return False
        if len(self.glimpses) > MOST_STATES:
            self.glimpses.clear()
        self.glimpses.add(glimpse)
        return True

    def look(
        self,
        state: State,
        mark: Callable[[], Mark],
        leap: Callable[[Period], bool],
    ) -> None:
        """`leap` by each period that is known to start in a state; if none goes, learn one."""
        leaps = [leap(period) for period in self.periods.get(state, ())]
        if not any(leaps) and (period := self.learn(state, mark())) is not None:
            leap(period)

    def learn(self, state: State, now: Mark) -> Period | None:
        """Remember a state; if it has come again, the period since."""
        if len(self.marks) > MOST_STATES:
            self.marks.clear()
        marks = self.marks.setdefault(state, [])
        for mark in reversed(marks):
            period = _between(mark, now, self.contests)
            if period is not None:
                periods = self.periods.setdefault(state, [])
                periods.append(period)
                del periods[:-MOST_MARKS]
                return period
        marks.append(now)
        del marks[:-MOST_MARKS]
        return None


class Leaper:
    """Looks at the machine whenever a loader is about to begin a turn, and leaps if it can."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.workers: list[Worker] = []
        self.contests = Contests()
        self.met = Recurrences(self.contests)

    def look(self, unit: "Unit", frame: Frame) -> None:
        """Leap over turns that `unit` need not play, if there are such, in the loop of `frame`.

        What comes again does so for all who are at work, so one of them is enough to look at.
        """
        glimpse = (id(unit), id(frame.nest), len(unit.loaded), len(unit.dram.waiting))
        if unit is not self.first_at_work() or self.met.is_new((*glimpse, *self.clock.glimpse)):
            return
        state = self.state(unit)
        if state is not None:
            self.met.look(state, self.mark, self.leap)

    def first_at_work(self) -> Worker:
        """The first of all that do not rest."""
        if not self.workers:
            self.workers = [each for each in self.clock.components if isinstance(each, Worker)]
        return next(each for each in self.workers if not each.rests)

    def state(self, unit: "Unit") -> State | None:
        """All that the future follows from, but for turns; None if that will not come again."""
        agenda = self.clock.state
        if agenda is None:
            return None
        states: list[object] = [unit, agenda]
        now = self.clock.now
        for component in self.clock.components:
            state = component.state(now)
            if state is None:
                return None
            states.append(state)
        return tuple(states)

    def mark(self) -> Mark:
        """How far all workers are."""
        workers = self.workers
        return Mark(
            now=self.clock.now,
            turns=tuple([each.turns for each in workers]),
            counts=tuple([each.counts for each in workers]),
            where=tuple([each.where for each in workers]),
            left={each: each.left for each in workers},
            contests=self.contests.count,
        )

    def leap(self, period: Period) -> bool:
        """Let a period pass as often as it comes again now; whether it does."""
        workers = self.workers
        times = period.times(tuple([each.turns for each in workers]))
        if not times:
            return False
        self.contests.repeat(times, period.leads)
        for worker, turns, counts in zip(workers, period.turns, period.counts, strict=True):
            worker.repeat(times, turns, counts)
        self.clock.shift(times * period.cycles)
        return True


def _between(mark: Mark, now: Mark, contests: Contests) -> Period | None:
    """The period between two marks of a state, if each worker has gone on in one loop or not."""
    if mark.where != now.where:
        return None
    turns = _differences(mark.turns, now.turns)
    if any(sum(map(bool, each)) > 1 or min(each, default=0) < 0 for each in turns):
        return None
    if not any(map(any, turns)):
        return None
    counts = _differences(now.counts, mark.counts)
    leads = contests.between(mark.contests, mark.left, now.left)
    return Period(
        cycles=now.now - mark.now, turns=turns, counts=counts, after=mark.turns, leads=leads
    )


def _differences(one: Iterable[tuple[int, ...]], other: Iterable[tuple[int, ...]]) -> Numbers:
    """One minus the other, number by number."""
    return tuple(
        tuple([a - b for a, b in zip(left, right, strict=True)])
        for left, right in zip(one, other, strict=True)
    )
