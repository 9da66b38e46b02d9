"""A unit (array or vector unit) of a core: its loader, its computation and its stores."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import simpy

from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.engine.scheduler import LayerRun, Timeline, next_run
from accelsim.engine.steady import SteadyState
from accelsim.lowering.schedule import Nest, Repeat
from accelsim.lowering.task import Room, Step

Process = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Core:
    """One array with its vector unit: they share the buffers, and the DRAM with other cores.

    `units` are those of all cores.
    """

    env: Clock
    index: int
    buffers: tuple[Buffer, ...]
    dram: DramChannel
    units: "list[Unit]"


@dataclass(slots=True, eq=False)
class Loaded:
    """A task whose room is reserved and whose transfers are under way.

    `index` counts the unit's tasks. `room_at` is when all room was there; `crowded`: until then
    another unit's tiles held some of it, and the unit's own stores none. `arrival` is the cycle of
    the last of the transfers (0: no loads).
    """

    run: LayerRun
    step: Step
    index: int
    room_at: int
    crowded: bool
    arrival: int


class Unit:
    """Plays the tasks of its layers on one core, loading ahead as far as there is room."""

    def __init__(self, core: Core, waiting: list[LayerRun], leaps: bool) -> None:
        self.core = core
        self.env = core.env
        self.waiting = waiting
        self.leaps = leaps
        self.loaded: deque[Loaded] = deque()
        self.current: Loaded | None = None
        self.computing = False
        self.idle: simpy.Event | None = None
        self.spilled: dict[int, simpy.Event] = {}
        self.asked = 0  # tasks of which the loader has begun, and all that it has asked for
        self.moves = 0
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
            for step in self.steps(run, run.program.schedules[self.core.index].nest):
                yield from self.load_task(run, step)

    def steps(self, run: LayerRun, nest: Nest) -> Iterator[Step]:
        """The steps of `nest`, but for turns of its repeats that are as those before."""
        for entry in nest:
            if not isinstance(entry, Repeat):
                yield entry
                continue
            steady = SteadyState(self, run)
            left = entry.times
            while left:
                yield from self.steps(run, entry.body)
                left -= 1
                if left and self.leaps:
                    left -= steady.skipped(left)

    def load_task(self, run: LayerRun, step: Step) -> Process:
        """Reserve room and request transfers, then hand the task over to the computation."""
        arrival, crowded = 0, False
        self.asked += 1
        if step.reserves and not run.inputs.processed:
            yield run.inputs
        for each in step.reserves:
            room = self.reserve(run, each)
            if room is not None:
                crowded = self.is_crowded
                yield room
        for load in step.loads:
            gate = run.inputs if load.needs_inputs else run.filters
            if not gate.processed:
                yield gate
            if load.operand == "psum":
                stored = self.spilled.get(self.asked - run.program.schedules[self.core.index].lag)
                if stored is not None:
                    yield stored
            room = self.reserve(run, load.room)
            if room is not None:
                crowded = self.is_crowded
                yield room
            self.timeline(run)
            arrival = self.core.dram.transfer(load)
        if not run.inputs.processed:  # no load has waited for an ifmap that lies on chip
            yield run.inputs
        for each in step.opens:
            room = self.reserve(run, each)
            if room is not None:
                crowded = self.is_crowded
                yield room
        self.hand_over(Loaded(run, step, self.asked, self.env.now, crowded, arrival))

    def reserve(self, run: LayerRun, room: Room) -> simpy.Event | None:
        """Ask for room in a buffer; an event if it is not there yet."""
        self.moves += 1
        space = run.program.spaces[room.buffer]
        return self.core.buffers[room.buffer].reserve(room.size, space)

    def release(self, run: LayerRun, room: Room) -> None:
        """Give room in a buffer back."""
        space = run.program.spaces[room.buffer]
        self.core.buffers[room.buffer].release(room.size, space)

    @property
    def is_crowded(self) -> bool:
        """Whether room is missing because of another unit's tiles."""
        others = (unit for unit in self.core.units if unit is not self and unit.core is self.core)
        return not self.storing and any(unit.tiles for unit in others)

    def hand_over(self, item: Loaded) -> None:
        """Queue a task for the computation, and wake it if it is idle."""
        self.moves += 1
        self.tiles += 1
        store = item.step.store
        if store is not None and store.operand == "psum":
            self.spilled[item.index] = self.env.event()
        self.loaded.append(item)
        if self.idle is not None:
            self.idle.succeed()
            self.idle = None

    def compute(self) -> Process:
        """Compute loaded tasks in order, free what they no longer need, put their tiles away."""
        while True:
            if not self.loaded:
                self.current = None
                self.idle = self.env.event()
                yield self.idle
            item = self.current = self.loaded.popleft()
            if item.arrival > self.env.now:
                yield self.env.timeout(item.arrival - self.env.now, (self.compute, item))
            self.note_wait(item)
            self.computing = True
            yield self.env.timeout(item.step.cycles, (self.compute, item))
            self.computing = False
            self.free_at = self.env.now
            self.timeline(item.run).computed = self.env.now
            for room in item.step.closes:
                self.release(item.run, room)
            if item.step.store is not None or item.step.keep is not None:
                self.storing += 1
                self.env.after(item.step.work.tail, self.move, item)
            else:
                self.tiles -= 1

    def move(self, item: Loaded) -> None:
        """Bring a tile to its place on chip, if it has one; its last result has left the array."""
        keep = item.step.keep
        cycles = 0
        if keep is not None and keep.cycles:
            cycles = self.core.buffers[keep.buffer].move(keep.cycles)
        self.env.after(cycles, self.store, item)

    def store(self, item: Loaded) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        keep, store = item.step.keep, item.step.store
        if keep is not None and keep.room is not None:
            self.release(item.run, keep.room)
        arrival = self.env.now if store is None else self.core.dram.transfer(store)
        self.env.after(arrival - self.env.now, self.end, item)

    def end(self, item: Loaded) -> None:
        """Note that a tile has been put away, and free its room if it had it till now."""
        run, step = item.run, item.step
        if step.store is not None:
            self.release(run, step.store.room)
        self.storing -= 1
        self.tiles -= 1
        timeline = self.timeline(run)
        timeline.stored, timeline.tail = self.env.now, step.work.tail
        if step.finishes:
            run.store_finished()
        else:
            self.spilled.pop(item.index).succeed()

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
