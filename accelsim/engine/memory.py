"""Buffers with room to reserve, and the DRAM channel that everything shares."""

from collections import deque

import simpy

from accelsim.lowering.cost import Target
from accelsim.lowering.task import Transfer


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
        if not self.waiting and size <= self.free:
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
    event and no queue is needed. Turning from reads to writes or back takes the channel, too.
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

    def transfer(self, transfer: Transfer) -> simpy.Event:
        """Move a tile after all requested before; the event is its arrival."""
        start = max(self.env.now, self.free_at)
        if self.writing not in (None, transfer.is_write):
            start += self.target.turnaround_cycles[transfer.is_write]
        self.writing = transfer.is_write
        self.free_at = start + self.cycles(transfer)
        return self.env.timeout(self.free_at + self.latency - self.env.now)
