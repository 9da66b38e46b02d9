"""The machine's parts as an observer sees them: each tells what it does, and does the same.

They are subclasses, so that a play that nobody watches costs nothing more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from accelsim.engine.clock import Clock, Placed
from accelsim.engine.core import Core, Loaded
from accelsim.engine.memory import Asker, Buffer, DramChannel
from accelsim.engine.scheduler import Queue
from accelsim.engine.unit import Unit
from accelsim.lowering.target import BufferSpace


class Observer(Protocol):
    """Whoever hears of all that happens, in the order of time."""

    def begins(self, task: Loaded) -> None:
        """A unit's loader turns to its next task, in the order of the schedule."""

    def computes(self, task: Loaded, at: int) -> None:
        """A unit starts with a task in cycle `at`."""

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        """A task's next load, or its store, holds the DRAM channel from cycle `at`."""

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        """A buffer of a core holds tiles of `size` bytes from cycle `at`."""


class ObservedUnit(Unit):
    """A unit that is watched."""

    def __init__(self, core: Core, waiting: Queue, total: int, observer: Observer) -> None:
        self.observer = observer
        super().__init__(core, waiting, total)

    def next_task(self) -> bool:
        found = super().next_task()
        if self.item is not None:
            self.observer.begins(self.item)
        return found

    def start(self, item: Loaded) -> None:
        self.observer.computes(item, self.clock.now)
        super().start(item)


class ObservedChannel(DramChannel):
    """A DRAM channel that is watched."""

    def __init__(
        self, clock: Clock, latency: int, turnaround: tuple[int, int], observer: Observer
    ) -> None:
        self.observer = observer
        super().__init__(clock, latency, turnaround)

    def begin(self, asker: Asker, what: Placed, cycles: int, is_write: bool) -> None:
        start = self.clock.now
        if self.writing not in (None, is_write):
            start += self.turnaround[is_write]
        task: Any = what  # units ask with their tasks
        self.observer.transfers(task, start, cycles, is_write)
        super().begin(asker, what, cycles, is_write)


class ObservedBuffer(Buffer):
    """A buffer of a core that is watched."""

    def __init__(
        self, clock: Clock, core: int, observer: Observer, name: str, size: int, index: int
    ) -> None:
        self.core = core
        self.observer = observer
        super().__init__(clock, name, size, index)

    def take(self, asker: Asker, size: int, space: int) -> None:
        super().take(asker, size, space)
        self.observer.holds(self.core, self.name, self.size - self.free, self.clock.now)


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the parts of a machine, watched where there is an observer."""

    clock: Clock
    observer: Observer | None

    def channel(self, latency: int, turnaround: tuple[int, int]) -> DramChannel:
        """The DRAM channel."""
        if self.observer is None:
            return DramChannel(self.clock, latency, turnaround)
        return ObservedChannel(self.clock, latency, turnaround, self.observer)

    def buffers(self, spaces: Iterable[BufferSpace], core: int) -> tuple[Buffer, ...]:
        """The buffers of a core."""
        named = [(space.name, space.size, index) for index, space in enumerate(spaces)]
        if self.observer is None:
            return tuple([Buffer(self.clock, *each) for each in named])
        return tuple([ObservedBuffer(self.clock, core, self.observer, *each) for each in named])

    def unit(self, core: Core, waiting: Queue, total: int) -> Unit:
        """A unit of a core."""
        if self.observer is None:
            return Unit(core, waiting, total)
        return ObservedUnit(core, waiting, total, self.observer)
