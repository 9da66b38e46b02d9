"""Buffers with room to reserve, and the DRAM channel that everything shares."""

from collections import deque
from collections.abc import Callable
from typing import Any

import simpy

from accelsim.lowering.target import Target
from accelsim.lowering.task import Transfer


class Clock(simpy.Environment):
    """SimPy's environment with time in whole cycles."""

    @property
    def now(self) -> int:
        """The current cycle."""
        return self._now  # type: ignore[return-value]

    def after(self, cycles: int, then: Callable[[Any], None], what: object) -> None:
        """Call `then(what)` in so many cycles; at once if there are none, or less."""
        if cycles > 0:
            event = self.timeout(cycles, (then, what))
            assert event.callbacks is not None
            event.callbacks.append(_call)
        else:
            then(what)

    @property
    def agenda(self) -> list[tuple[int, int, simpy.Event]]:
        """What is to come and calls somebody, in order: in how many cycles, how urgent, what."""
        return [
            (at - self._now, urgency, event)  # type: ignore[misc]
            for at, urgency, _, event in sorted(self._queue)
            if event.callbacks
        ]

    def leap(self, cycles: int) -> None:
        """Let so much time pass at once: all that is to come comes as much later."""
        self._now += cycles
        self._queue[:] = [
            (at + cycles, urgency, order, event) for at, urgency, order, event in self._queue
        ]


def _call(event: simpy.Event) -> None:
    then, what = event.value  # type: ignore[misc]
    then(what)


class Buffer:
    """Room for tiles, in bytes. Who asks first is served first.

    A layer's tiles lie within the first `space` bytes. So layers with at most some space
    together take at most that, and whatever it is, there is room for two halves.
    """

    def __init__(self, env: Clock, name: str, size: int) -> None:
        self.env = env
        self.name = name
        self.size = size
        self.taken: dict[int, int] = {}
        self.waiting: deque[tuple[int, int, simpy.Event]] = deque()
        self.moves_until = 0

    def move(self, cycles: int) -> int:
        """Bring something in after all that was asked for before; in how many cycles it is in."""
        self.moves_until = max(self.env.now, self.moves_until) + cycles
        return self.moves_until - self.env.now

    @property
    def free(self) -> int:
        """Bytes without tiles; feature maps may lie in them."""
        return self.size - sum(self.taken.values())

    @property
    def state(self) -> tuple[object, ...]:
        """What is taken, who waits for room, and how long moves will go on."""
        moving = max(self.moves_until - self.env.now, 0)
        return tuple(self.taken.items()), tuple(self.waiting), moving

    def reserve(self, size: int, space: int) -> simpy.Event | None:
        """Take `size` of `space` bytes: None if there is room now, else the event of getting it."""
        if not size or (not self.waiting and self.has_room(size, space)):
            self.take(size, space)
            return None
        event = self.env.event()
        self.waiting.append((size, space, event))
        return event

    def release(self, size: int, space: int) -> None:
        """Give `size` of `space` bytes back and serve those who wait."""
        self.take(-size, space)
        while self.waiting and self.has_room(*self.waiting[0][:2]):
            size, space, event = self.waiting.popleft()
            self.take(size, space)
            event.succeed()

    def has_room(self, size: int, space: int) -> bool:
        """Whether `size` more bytes within `space` leave all their place."""
        taken = self.taken
        if not taken or (len(taken) == 1 and space in taken):
            return taken.get(space, 0) + size <= min(space, self.size)
        within = size
        for each in sorted({*taken, space}):
            within += taken.get(each, 0)
            if each >= space and within > min(each, self.size):
                return False
        return True

    def take(self, size: int, space: int) -> None:
        """Count `size` bytes more (or less) as taken."""
        taken = self.taken.get(space, 0) + size
        if taken:
            self.taken[space] = taken
        else:
            self.taken.pop(space, None)  # an empty entry would be looked at ever after


class DramChannel:
    """One channel, first come first served, shared by all arrays.

    A transfer holds the channel for its bursts; its data arrive the latency later, while the
    channel serves others. The order of requests fixes every start, so a transfer is only a time
    and no queue is needed. Turning from reads to writes or back takes the channel, too.
    """

    def __init__(self, env: Clock, target: Target) -> None:
        self.env = env
        self.latency = target.dram_latency
        self.target = target
        self.known: dict[int, tuple[Transfer, int]] = {}  # by identity: equal ones are one object
        self.writing: bool | None = None
        self.free_at = 0

    def cycles(self, transfer: Transfer) -> int:
        """Cycles that `transfer` occupies the channel, looked up once."""
        known = self.known.get(id(transfer))
        if known is None:
            known = self.known[id(transfer)] = transfer, self.target.occupied_cycles(transfer)
        return known[1]

    def transfer(self, transfer: Transfer) -> int:
        """Move a tile after all requested before; the cycle of its arrival."""
        start = max(self.env.now, self.free_at)
        if self.writing not in (None, transfer.is_write):
            start += self.target.turnaround_cycles[transfer.is_write]
        self.writing = transfer.is_write
        self.free_at = start + self.cycles(transfer)
        return self.free_at + self.latency
