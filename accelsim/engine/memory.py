"""Buffers with room to reserve, and the DRAM channel that everything shares."""

from collections import deque
from functools import cache

import simpy

from accelsim.lowering.cost import Target


class Clock(simpy.Environment):
    """SimPy's environment with time in whole cycles."""

    @property
    def now(self) -> int:
        """The current cycle."""
        return self._now  # type: ignore[return-value]


class Buffer:
    """Room for tiles, in bytes. Who asks first is served first."""

    def __init__(self, env: Clock, name: str, size: int) -> None:
        self.env = env
        self.name = name
        self.free = size
        self.waiting: deque[tuple[int, simpy.Event]] = deque()

    def reserve(self, size: int) -> simpy.Event | None:
        """Take `size` bytes: None if there is room now, else the event of getting it."""
        if not size or (not self.waiting and size <= self.free):
            self.free -= size
            return None
        event = self.env.event()
        self.waiting.append((size, event))
        return event

    def release(self, size: int) -> None:
        """Give `size` bytes back and serve those who wait."""
        self.free += size
        while self.waiting and self.waiting[0][0] <= self.free:
            granted, event = self.waiting.popleft()
            self.free -= granted
            event.succeed()


class DramChannel:
    """One channel, first come first served, shared by all arrays.

    A transfer holds the channel for its bursts; its data arrive the latency later, while the
    channel serves others. The order of requests fixes every start, so a transfer is a single
    event and no queue is needed.
    """

    def __init__(self, env: Clock, target: Target) -> None:
        self.env = env
        self.latency = target.dram_latency
        self.transfer_cycles = cache(target.transfer_cycles)
        self.free_at = 0

    def transfer(self, size: int) -> simpy.Event:
        """Move `size` bytes after all requested before; the event is their arrival."""
        start = max(self.env.now, self.free_at)
        self.free_at = start + self.transfer_cycles(size)
        return self.env.timeout(self.free_at + self.latency - self.env.now)
