"""DRAM as a layer by itself sees it: in the order of asking, or shared by its arrays."""

from collections import deque
from typing import TYPE_CHECKING

from accelsim.engine.clock import State
from accelsim.engine.contests import Contests

if TYPE_CHECKING:
    from accelsim.engine.alone import Alone, LoneCore, LoneTask


class Fifo:
    """DRAM with one to serve."""

    def __init__(self, alone: "Alone", latency: int, turnaround: tuple[int, int]) -> None:
        self.alone = alone
        self.latency = latency
        self.turnaround = turnaround
        self.writing: bool | None = None
        self.free_at = 0
        self.contests = Contests()

    def transfer(self, task: "LoneTask", cycles: int, is_write: bool) -> None:
        """Move a tile after all that was asked for before."""
        self.begin(max(self.free_at, self.alone.now), task, cycles, is_write)

    def begin(self, start: int, task: "LoneTask", cycles: int, is_write: bool) -> None:
        """Hold the channel from cycle `start`, or a little later, and say when it arrives."""
        if self.writing is not is_write:
            if self.writing is not None:
                start += self.turnaround[is_write]
            self.writing = is_write
        self.free_at = start + cycles
        task.core.served(task, is_write, self.free_at + self.latency)

    @property
    def waiting(self) -> int:
        """Transfers that have not begun."""
        return 0

    @property
    def state(self) -> State:
        """Which way it goes, and how long it is held."""
        return self.writing, max(self.free_at - self.alone.now, 0)


class Shared(Fifo):
    """DRAM with several to serve, as `memory.DramChannel`: who waits, then who has most left."""

    def __init__(self, alone: "Alone", latency: int, turnaround: tuple[int, int]) -> None:
        super().__init__(alone, latency, turnaround)
        self.asked = 0
        self.queues: dict[LoneCore, deque[tuple[LoneTask, int, bool, int, int]]] = {}

    def transfer(self, task: "LoneTask", cycles: int, is_write: bool) -> None:
        """Move a tile: at once, if the channel is free, or in its turn."""
        alone = self.alone
        if not self.queues:
            if self.free_at <= alone.now:
                self.begin(alone.now, task, cycles, is_write)
                return
            alone.after(self.free_at - alone.now, self.begin_next, None)
        self.asked += 1
        request = task, cycles, is_write, task.core.work, self.asked
        self.queues.setdefault(task.core, deque()).append(request)

    def begin_next(self, _: None) -> None:
        """Begin with the transfer that is needed first."""
        alone = self.alone
        while self.queues and self.free_at <= alone.now:
            core = self.first()
            queue = self.queues[core]
            request = queue.popleft()
            if not queue:
                del self.queues[core]
            self.begin(alone.now, *request[:3])
        if self.queues:
            alone.after(self.free_at - alone.now, self.begin_next, None)

    def first(self) -> "LoneCore":
        """Whose transfer is needed first."""
        if len(self.queues) == 1:
            return next(iter(self.queues))
        waiting = [core for core, queue in self.queues.items() if core.waits_behind(queue[0][3])]
        sharers = waiting or list(self.queues)
        if len(sharers) == 1:
            return sharers[0]
        first = max(sharers, key=lambda core: (core.left, -self.queues[core][0][4]))
        self.contests.note(first, sharers)
        return first

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues.values()))

    @property
    def state(self) -> State:
        """And what waits for it, in the order of asking."""
        waiting = sorted(
            (order, core.number, task.place, cycles, is_write)
            for core, queue in self.queues.items()
            for task, cycles, is_write, _, order in queue
        )
        return *super().state, tuple([each[1:] for each in waiting])
