"""A unit (array or vector unit) of a core: its loader, its computation and its stores."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import simpy

from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.engine.scheduler import LayerRun, Timeline, next_run
from accelsim.engine.steady import Glimpse, Periods, SteadyState
from accelsim.lowering.schedule import Nest, Repeat, Schedule
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
class Part:
    """A core's part of a layer: its tasks, and what it sees of them; `line` from their start."""

    run: LayerRun
    schedule: Schedule
    spaces: tuple[int, ...]
    line: Timeline | None = None


@dataclass(slots=True, eq=False)
class Loaded:
    """A task whose room is reserved and whose transfers are under way.

    `index` counts the unit's tasks. `room_at` is when all room was there; `crowded`: until then
    another unit's tiles held some of it, and the unit's own stores none. `arrival` is the cycle of
    the last of the transfers (0: no loads).
    """

    part: Part
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
        self.buffers = core.buffers
        self.waiting = waiting
        self.leaps = leaps
        self.loaded: deque[Loaded] = deque()
        self.current: Loaded | None = None  # waits for its operands, or is computed
        self.computing = False
        self.spilled: dict[int, simpy.Event] = {}
        self.periods: Periods = {}
        self.glimpses: set[Glimpse] = set()  # at states that have a period
        self.tasks = 0  # that the loader has begun with
        self.moves = 0  # of the loader: room asked for, and tasks handed over
        self.storing = 0
        self.tiles = 0  # on chip: with all their room, and not yet put away
        self.free_at = 0
        core.units.append(self)
        self.env.process(self.load())

    # --- Loading ----------------------------------------------------------------------------------

    def load(self) -> Process:
        """Load ahead, layer after layer, task by task."""
        while self.waiting:
            run = next_run(self.waiting)
            schedule = run.program.schedules[self.core.index]
            part = Part(run, schedule, run.program.spaces)
            for step in self.steps(part, schedule.nest):
                yield from self.load_task(part, step)

    def steps(self, part: Part, nest: Nest) -> Iterator[Step]:
        """The steps of `nest`, but for turns of its repeats that are as those before."""
        for entry in nest:
            if not isinstance(entry, Repeat):
                yield entry
                continue
            steady = SteadyState(self, part, entry.body)
            left = entry.times
            while left:
                yield from self.steps(part, entry.body)
                left -= 1
                if left and self.leaps:
                    left -= steady.skipped(left)

    def load_task(self, part: Part, step: Step) -> Process:
        """Reserve room and request transfers, then hand the task over to the computation."""
        run = part.run
        arrival, crowded = 0, False
        self.tasks += 1
        if step.reserves and not run.inputs.processed:
            yield run.inputs
        for each in step.reserves:
            room = self.reserve(part, each)
            if room is not None:
                crowded = self.is_crowded
                yield room
        for load in step.loads:
            gate = run.inputs if load.needs_inputs else run.filters
            if not gate.processed:
                yield gate
            if load.operand == "psum":
                stored = self.spilled.get(self.tasks - part.schedule.lag)
                if stored is not None:
                    yield stored
            room = self.reserve(part, load.room)
            if room is not None:
                crowded = self.is_crowded
                yield room
            if part.line is None:
                self.open(part)
            arrival = self.core.dram.transfer(load)
        if not run.inputs.processed:  # no load has waited for an ifmap that lies on chip
            yield run.inputs
        for each in step.opens:
            room = self.reserve(part, each)
            if room is not None:
                crowded = self.is_crowded
                yield room
        self.hand_over(Loaded(part, step, self.tasks, self.env.now, crowded, arrival))

    def reserve(self, part: Part, room: Room) -> simpy.Event | None:
        """Ask for room in a buffer; an event if it is not there yet."""
        self.moves += 1
        return self.buffers[room.buffer].reserve(room.size, part.spaces[room.buffer])

    def release(self, part: Part, room: Room) -> None:
        """Give room in a buffer back."""
        self.buffers[room.buffer].release(room.size, part.spaces[room.buffer])

    @property
    def is_crowded(self) -> bool:
        """Whether room is missing because of another unit's tiles."""
        others = (unit for unit in self.core.units if unit is not self and unit.core is self.core)
        return not self.storing and any(unit.tiles for unit in others)

    def open(self, part: Part) -> Timeline:
        """Begin this core's record of a layer, with its first activity."""
        part.line = part.run.timelines[self.core.index] = Timeline(begun=self.env.now)
        return part.line

    def hand_over(self, item: Loaded) -> None:
        """Queue a task for the computation, which begins with it if it has nothing else to do."""
        self.moves += 1
        self.tiles += 1
        store = item.step.store
        if store is not None and store.operand == "psum":
            self.spilled[item.index] = self.env.event()
        self.loaded.append(item)
        if self.current is None:
            self.take_next()

    # --- Computing --------------------------------------------------------------------------------

    def take_next(self) -> None:
        """Take the next loaded task and start it when its operands have arrived."""
        self.current = self.loaded.popleft() if self.loaded else None
        if self.current is not None:
            self.env.after(self.current.arrival - self.env.now, self.start, self.current)

    def start(self, item: Loaded) -> None:
        """Compute a tile."""
        self.note_wait(item)
        self.computing = True
        self.env.after(item.step.cycles, self.finish, item)

    def finish(self, item: Loaded) -> None:
        """Free what a computed tile no longer needs, put it away, and go on with the next."""
        step, part = item.step, item.part
        self.computing = False
        self.free_at = self.env.now
        assert part.line is not None
        part.line.computed = self.env.now
        for room in step.closes:
            self.release(part, room)
        if step.store is not None or step.keep is not None:
            self.storing += 1
            self.env.after(step.work.tail, self.move, item)
        else:
            self.tiles -= 1
        self.take_next()

    def note_wait(self, item: Loaded) -> None:
        """Say what the unit waited for before the task that starts now.

        First for another layer's tiles on it, then for room, then for operands.
        """
        line = item.part.line or self.open(item.part)
        start = max(line.begun, item.part.run.ready_at)
        free = max(start, self.free_at)
        if not line.computed:
            line.other_layer += free - start
        roomy = min(max(free, item.room_at), self.env.now)
        if item.crowded:
            line.other_layer += roomy - free
        else:
            line.write_wait += roomy - free
        line.read_wait += self.env.now - roomy

    # --- Putting away -----------------------------------------------------------------------------

    def move(self, item: Loaded) -> None:
        """Bring a tile to its place on chip, if it has one; its last result has left the array."""
        keep = item.step.keep
        cycles = 0
        if keep is not None and keep.cycles:
            cycles = self.buffers[keep.buffer].move(keep.cycles)
        self.env.after(cycles, self.store, item)

    def store(self, item: Loaded) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        keep, store = item.step.keep, item.step.store
        if keep is not None and keep.room is not None:
            self.release(item.part, keep.room)
        if store is None:
            self.end(item)
        else:
            self.env.after(self.core.dram.transfer(store) - self.env.now, self.end, item)

    def end(self, item: Loaded) -> None:
        """Note that a tile has been put away, and free its room if it had it till now."""
        part, step = item.part, item.step
        if step.store is not None:
            self.release(part, step.store.room)
        self.storing -= 1
        self.tiles -= 1
        assert part.line is not None
        part.line.stored, part.line.tail = self.env.now, step.work.tail
        if step.finishes:
            part.run.store_finished()
        else:
            self.spilled.pop(item.index).succeed()
