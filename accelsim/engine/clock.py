"""Time in whole cycles, and what a part of the machine owes to it.

Whatever has state that the course of time depends on is a Component. It is made with a clock and
thereby known to it, so who leaps over time asks all of them and can forget none.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heappop
from typing import Any, Protocol

import simpy

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

    @property
    def turns(self) -> tuple[int, ...]:
        """Turns that each of the loops that it is in has still to begin, the outermost first."""
        return ()

    @property
    def rest(self) -> int | None:
        """How far it has come, if no time passes for it until others bring it something."""
        return None

    @property
    def counts(self) -> tuple[int, ...]:
        """What only grows or shrinks, and which nothing depends on."""
        return ()

    def repeat(self, times: int, turns: tuple[int, ...], counts: tuple[int, ...]) -> None:
        """Take off `turns` so many times, and add `counts`."""
        assert not turns
        assert not counts


class Call(simpy.Event):
    """An event that calls `then` with `what`."""

    _ok = True
    _value = None

    def __init__(self, then: Callable[[Any], None], what: Placed | None) -> None:
        self.then = then
        self.what = what
        self.callbacks = _CALL

    @staticmethod
    def happen(event: simpy.Event) -> None:
        """Call."""
        assert isinstance(event, Call)
        event.then(event.what)


_CALL: list[Callable[[Any], None]] = [Call.happen]


class Clock(simpy.Environment):
    """SimPy's environment with time in whole cycles, and all components."""

    def __init__(self) -> None:
        super().__init__()
        self.components: list[Component] = []

    @property
    def now(self) -> int:
        """The current cycle."""
        return self._now  # type: ignore[return-value]

    def run(self, until: Any = None) -> Any:
        """Let all come that is to come; calls without the detours of other events."""
        if until is not None:
            return super().run(until)
        queue = self._queue
        while queue:
            event = queue[0][3]
            if type(event) is Call:
                self._now = heappop(queue)[0]
                event.then(event.what)
            else:
                self.step()
        return None

    def after(self, cycles: int, then: Callable[[Any], None], what: Placed | None = None) -> None:
        """Call `then(what)` in so many cycles; at once if there are none, or less."""
        if cycles > 0:
            self.schedule(Call(then, what), delay=cycles)
        else:
            then(what)

    def soon(self, then: Callable[[Any], None], what: Placed | None = None) -> None:
        """Call `then(what)` in this cycle, after all that is to come in it already."""
        self.schedule(Call(then, what))

    @property
    def glimpse(self) -> list[int]:
        """A little of its state: in how many cycles something is to come."""
        now = self._now
        return sorted([entry[0] - now for entry in self._queue])  # type: ignore[misc]

    @property
    def state(self) -> State | None:
        """What is to come, in order: in how many cycles, how urgent, what. None: a layer's end."""
        due: list[Any] = []
        for at, urgency, _, event in sorted(self._queue):
            if isinstance(event, Call):
                what = event.what
                due.append((at - self._now, urgency, event.then, what and what.place))
            elif event.callbacks:
                return None
        return tuple(due)

    def shift(self, cycles: int) -> None:
        """Let so much time pass at once, for all components."""
        self._now += cycles
        self._queue[:] = [
            (at + cycles, urgency, order, event) for at, urgency, order, event in self._queue
        ]
        for component in self.components:
            component.shift(cycles)
