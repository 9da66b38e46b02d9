"""A unit (array or vector unit) of a core: its loader, its computation and its stores."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

import simpy

from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.engine.scheduler import LayerRun, Timeline, next_run
from accelsim.lowering.task import Room, Store, Task

Process = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Core:
    """One array with its vector unit: they share the buffers, and the DRAM with other cores."""

    env: Clock
    index: int
    buffers: tuple[Buffer, ...]
    dram: DramChannel


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task whose room is reserved and whose transfers are under way.

    `room_at` is when all room was there; `crowded`: until then the unit's own stores held none
    of it, so another unit's tiles did. `arrival` is the last of the transfers (None: no loads).
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
        self.free_at = 0
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
        arrival, crowded = None, False
        for load in task.step.loads:
            if load.needs_inputs and not run.inputs.processed:
                yield run.inputs
            if load.operand == "psum":
                yield self.spilled[id(run), id(task.resumes)]
            room = self.reserve(load.room)
            if room is not None:
                crowded = not self.storing
                yield room
            self.timeline(run)
            arrival = self.core.dram.transfer(load)
        for opened in task.step.opens:
            room = self.reserve(opened)
            if room is not None:
                crowded = not self.storing
                yield room
        if task.step.store is not None and task.step.store.operand == "psum":
            self.spilled[id(run), id(task)] = self.env.event()
        self.hand_over(Loaded(run, task, self.env.now, crowded, arrival))

    def reserve(self, room: Room) -> simpy.Event | None:
        """Ask for room in a buffer; an event if it is not there yet."""
        return self.core.buffers[room.buffer].reserve(room.size)

    def hand_over(self, item: Loaded) -> None:
        """Queue a task for the computation, and wake it if it is idle."""
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
                self.core.buffers[room.buffer].release(room.size)
            if step.store is not None:
                self.storing += 1
                self.env.process(self.store(item.run, item.task, step.store))

    def store(self, run: LayerRun, task: Task, store: Store) -> Process:
        """Write a tile to DRAM once its last result has left the array, then free its room."""
        tail = task.step.work.tail
        if tail:
            yield self.env.timeout(tail)
        yield self.core.dram.transfer(store)
        self.core.buffers[store.room.buffer].release(store.size)
        self.storing -= 1
        timeline = self.timeline(run)
        timeline.stored, timeline.tail = self.env.now, tail
        if store.operand == "ofmap":
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
