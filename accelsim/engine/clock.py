"""Time in whole cycles, and what a part of the machine owes to it.

Whatever has state that the course of time depends on is a Component. It is made with a clock and
thereby known to it, so who leaps over time asks all of them and can forget none.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

import simpy
from simpy.events import NORMAL

State = tuple[Any, ...]


class Placed(Protocol):
    """What a call is about."""

    @property
    def place(self) -> State:
        """What it is, as seen from its owner: the same whenever all goes on as before."""


class Component(ABC):
    """A part of the machine, with its state as seen from now, so that it can come again."""

    def __init__(self, clock: "Clock") -> None:
        clock.components.append(self)

    @abstractmethod
    def state(self, now: int) -> State | None:
        """All that the future follows from, in cycles from `now`.

        None if that will not come again soon, so that nobody need look for it.
        """

    @abstractmethod
    def shift(self, cycles: int) -> None:
        """Let so much time pass at once: what is to come, comes as much later."""


class Worker(Component):
    """A component that goes through loops."""

    @property
    @abstractmethod
    def turns(self) -> tuple[int, ...]:
        """Turns that each of the loops that it is in has still to begin, the outermost first."""

    @property
    @abstractmethod
    def counts(self) -> tuple[int, ...]:
        """What only grows or shrinks, and which nothing depends on."""

    @property
    @abstractmethod
    def left(self) -> int:
        """Cycles of its tasks of the layer at hand, from the one that it asks for."""

    @property
    @abstractmethod
    def rests(self) -> bool:
        """Whether no time passes for it until others bring it something.

        Then it has neither turns nor counts.
        """

    @property
    @abstractmethod
    def where(self) -> tuple[int, ...]:
        """Which loops it is in, of all that it ever goes through; how far it is, while it rests."""

    @abstractmethod
    def repeat(self, times: int, turns: tuple[int, ...], counts: tuple[int, ...]) -> None:
        """Take off `turns` so many times, and add `counts`."""


class Call(simpy.Event):
    """An event that calls `then` with `what`, and that nobody else can wait for."""

    _ok = True
    _value = None

    def __init__(self, then: Callable[[Any], None], what: Placed | None) -> None:
        self.then = then
        self.what = what


class Clock(simpy.Environment):
    """SimPy's environment with time in whole cycles, and all components.

    What it calls by itself needs no more of SimPy than a place in its queue.
    """

    now = 0  # the current cycle; SimPy's own is a property of the same value

    def __init__(self) -> None:
        super().__init__()
        self.components: list[Component] = []
        self.last: deque[Callable[[Any], None]] = deque()  # calls at the end of this cycle

    def step(self) -> None:
        """Let the next event happen."""
        queue = self._queue
        if self.last and not (queue and queue[0][0] <= self.now):
            self.last.popleft()(None)
            return
        if queue:
            self.now = self._now = queue[0][0]  # type: ignore[assignment]
            if type(event := queue[0][3]) is Call:
                heappop(queue)
                event.then(event.what)
                return
        super().step()

    def after(self, cycles: int, then: Callable[[Any], None], what: Placed | None = None) -> None:
        """Call `then(what)` in so many cycles; at once if there are none, or less."""
        if cycles > 0:
            heappush(self._queue, (self.now + cycles, NORMAL, next(self._eid), Call(then, what)))
        else:
            then(what)

    def soon(self, then: Callable[[Any], None]) -> None:
        """Call `then(None)` in this cycle, after all else that is to come in it."""
        self.last.append(then)

    @property
    def glimpse(self) -> list[int]:
        """A little of its state: in how many cycles something is to come."""
        now = self.now
        return sorted([entry[0] - now for entry in self._queue])  # type: ignore[misc]

    @property
    def state(self) -> State | None:
        """What is to come, in order: in how many cycles, how urgent, what. None: a layer's end."""
        due: list[Any] = []
        for at, urgency, _, event in sorted(self._queue):
            if isinstance(event, Call):
                what = event.what
                due.append((at - self.now, urgency, event.then, what and what.place))
            elif event.callbacks:
                return None
        return tuple(due), tuple(self.last)

    def shift(self, cycles: int) -> None:
        """Let so much time pass at once, for all components."""
        self.now += cycles
        self._now = self.now
        self._queue[:] = [
            (at + cycles, urgency, order, event) for at, urgency, order, event in self._queue
        ]
        for component in self.components:
            component.shift(cycles)
