"""A unit (array or vector unit) of a core: its loader, its computation and its stores."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field

import simpy

from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.engine.scheduler import LayerRun, Timeline, next_run
from accelsim.lowering.task import Room, Task

Process = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Core:
    """One array with its vector unit: they share the buffers, and the DRAM with other cores."""

    env: Clock
    index: int
    buffers: tuple[Buffer, ...]
    dram: DramChannel
    units: "list[Unit]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task whose room is reserved and whose transfers are under way.

    `room_at` is when all room was there; `crowded`: until then another unit's tiles held some of
    it, and the unit's own stores none. `arrival` is the last of the transfers (None: no loads).
    """

    run: LayerRun
    task: Task
    room_at: int
    crowded: bool
    arrival: simpy.Event | None


class Unit:
    """Plays the tasks of its layers on one core, loading ahead as far as there is room."""

    def __init__(self, core: Core, waiting: list[LayerRun]) -> None:
        self.core = core
        self.env = core.env
        self.waiting = waiting
        self.loaded: deque[Loaded] = deque()
        self.idle: simpy.Event | None = None
        self.spilled: dict[tuple[int, int], simpy.Event] = {}
        self.storing = 0
        self.tiles = 0  # on chip: with all their room, and not yet put away
        self.free_at = 0
        core.units.append(self)
        self.env.process(self.load())
        self.env.process(self.compute())

    def load(self) -> Process:
        """Load ahead, layer after layer, task by task."""
        while self.waiting:
            run = next_run(self.waiting)
            for task in run.program.tasks[self.core.index]:
                yield from self.load_task(run, task)

    def load_task(self, run: LayerRun, task: Task) -> Process:
        """Reserve room and request transfers, then hand the task over to the computation."""
        arrival = None
        if task.step.reserves and not run.inputs.processed:
            yield run.inputs
        crowded = yield from self.reserve_all(run, task.step.reserves, False)
        for load in task.step.loads:
            gate = run.inputs if load.needs_inputs else run.filters
            if not gate.processed:
                yield gate
            if load.operand == "psum":
                yield self.spilled[id(run), id(task.resumes)]
            room = self.reserve(run, load.room)
            if room is not None:
                crowded = self.is_crowded
                yield room
            self.timeline(run)
            arrival = self.core.dram.transfer(load)
        if not run.inputs.processed:  # no load has waited for an ifmap that lies on chip
            yield run.inputs
        crowded = yield from self.reserve_all(run, task.step.opens, crowded)
        self.hand_over(Loaded(run, task, self.env.now, crowded, arrival))

    def reserve_all(
        self, run: LayerRun, rooms: tuple[Room, ...], crowded: bool
    ) -> Generator[simpy.Event, None, bool]:
        """Wait for room after room; whether other units' tiles held the last that was missing."""
        for each in rooms:
            room = self.reserve(run, each)
            if room is not None:
                crowded = self.is_crowded
                yield room
        return crowded

    def reserve(self, run: LayerRun, room: Room) -> simpy.Event | None:
        """Ask for room in a buffer; an event if it is not there yet."""
        space = run.program.spaces[room.buffer]
        return self.core.buffers[room.buffer].reserve(room.size, space)

    def release(self, run: LayerRun, room: Room) -> None:
        """Give room in a buffer back."""
        space = run.program.spaces[room.buffer]
        self.core.buffers[room.buffer].release(room.size, space)

    @property
    def is_crowded(self) -> bool:
        """Whether room is missing because of another unit's tiles."""
        return not self.storing and any(unit.tiles for unit in self.core.units if unit is not self)

    def hand_over(self, item: Loaded) -> None:
        """Queue a task for the computation, and wake it if it is idle."""
        self.tiles += 1
        store = item.task.step.store
        if store is not None and store.operand == "psum":
            self.spilled[id(item.run), id(item.task)] = self.env.event()
        self.loaded.append(item)
        if self.idle is not None:
            self.idle.succeed()
            self.idle = None

    def compute(self) -> Process:
        """Compute loaded tasks in order, free what they no longer need, start their stores."""
        while True:
            if not self.loaded:
                self.idle = self.env.event()
                yield self.idle
            item = self.loaded.popleft()
            if item.arrival is not None and not item.arrival.processed:
                yield item.arrival
            step = item.task.step
            self.note_wait(item)
            yield self.env.timeout(step.cycles)
            self.free_at = self.env.now
            self.timeline(item.run).computed = self.env.now
            for room in step.closes:
                self.release(item.run, room)
            if step.store is not None or step.keep is not None:
                self.storing += 1
                self.env.process(self.put_away(item.run, item.task))
            else:
                self.tiles -= 1

    def put_away(self, run: LayerRun, task: Task) -> Process:
        """Move a tile to its place on chip and to DRAM, once its last result has left the array.

        Then free its room.
        """
        store, keep, tail = task.step.store, task.step.keep, task.step.work.tail
        if tail:
            yield self.env.timeout(tail)
        if keep is not None and keep.cycles:
            yield self.core.buffers[keep.buffer].move(keep.cycles)
        if keep is not None and keep.room is not None:
            self.release(run, keep.room)
        if store is not None:
            yield self.core.dram.transfer(store)
            self.release(run, store.room)
        self.storing -= 1
        self.tiles -= 1
        timeline = self.timeline(run)
        timeline.stored, timeline.tail = self.env.now, tail
        if task.step.finishes:
            run.store_finished()
        else:
            self.spilled[id(run), id(task)].succeed()

    def timeline(self, run: LayerRun) -> Timeline:
        """This core's record of a layer, opened at its first activity."""
        line = run.timelines.get(self.core.index)
        if line is None:
            line = run.timelines[self.core.index] = Timeline(begun=self.env.now)
        return line

    def note_wait(self, item: Loaded) -> None:
        """Say what the unit waited for before the task that starts now.

        First for another layer's tiles on it, then for room, then for operands.
        """
        line = self.timeline(item.run)
        start = max(line.begun, item.run.ready_at)
        free = max(start, self.free_at)
        if not line.computed:
            line.other_layer += free - start
        roomy = min(max(free, item.room_at), self.env.now)
        if item.crowded:
            line.other_layer += roomy - free
        else:
            line.write_wait += roomy - free
        line.read_wait += self.env.now - roomy
