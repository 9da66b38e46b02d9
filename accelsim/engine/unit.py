"""A unit (array or vector unit) of a core: its loader, its computation and its stores."""

from collections import deque

import simpy

from accelsim.engine.clock import State, Worker
from accelsim.engine.core import Core, Loaded, Part
from accelsim.engine.cursor import Cursor, Frame
from accelsim.engine.memory import Buffer
from accelsim.engine.scheduler import LayerRun, Queue, Timeline
from accelsim.lowering.task import Room


class Unit(Worker):
    """Plays the tasks of its layers on one core, loading ahead as far as there is room."""

    def __init__(self, core: Core, waiting: Queue, total: int) -> None:
        super().__init__(core.clock)
        self.core = core
        self.clock = core.clock
        self.dram = core.dram
        self.buffers = core.buffers
        self.waiting = waiting
        self.total = total
        # Loading: the part and task at hand, how much of that has been asked for.
        self.part: Part | None = None
        self.cursor = Cursor((), self.turned)
        self.item: Loaded | None = None
        self.layers = 0  # that it has turned to
        self.asked = 0
        self.has_room = False  # for what the loader has asked last
        self.wakes = False  # the loader will go on in this cycle
        self.blocked_in: Buffer | None = None
        self.awaited = 0  # the task whose psums the loader waits for
        self.tasks = 0  # that the loader has begun with
        self.under_way = 0  # of those, till they are put away
        self.work = 0  # cycles of all tasks handed over
        # Computing.
        self.loaded: deque[Loaded] = deque()
        self.current: Loaded | None = None  # waits for its operands, or is computed
        self.begun = 0  # cycles of all tasks that the computation has begun with
        self.busy_until = 0
        self.free_at = 0
        self.dataflow: str | None = None
        self.drained_at = 0  # the last result has left the array
        # Putting away.
        self.storing = 0
        self.spilled: set[int] = set()  # tasks whose psums are on the way to DRAM
        self.tiles = 0  # on chip: with all their room, and not yet put away
        core.units.append(self)
        if waiting:
            self.wake()

    # --- Loading ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the loader go on, after all that is to come in this cycle already."""
        self.wakes = True
        self.clock.soon(self.load)

    def load(self, _: object) -> None:
        """Load ahead, layer after layer, task by task, until something is missing."""
        self.wakes = False
        while self.item is not None or self.next_task():
            if not self.load_task():
                return

    def next_task(self) -> bool:
        """Turn to the next task, or the next layer's first; whether there is one."""
        step = self.cursor.next()
        while step is None:
            if not self.waiting:
                self.leave_room()
                return False
            self.next_layer()
            step = self.cursor.next()
        self.tasks += 1
        assert self.part is not None
        self.part.under_way += 1
        self.under_way += 1
        self.item = Loaded(
            unit=self, part=self.part, step=step, index=self.tasks, pending=step.loads
        )
        self.asked = 0
        return True

    def next_layer(self) -> None:
        """Turn to the next layer."""
        run = self.waiting.take()
        track = run.tracks[self.core.index]
        self.part = Part(
            run=run,
            track=track,
            spaces=run.program.spaces,
            unfinished=track.finishing,
            left=track.cycles,
        )
        run.begun[self.core.index] = self.part
        self.cursor = Cursor(track.nest, self.turned)
        self.layers += 1
        self.leave_room()

    def leave_room(self) -> None:
        """Let others have what was kept for this unit's next tile."""
        for buffer in self.buffers:
            if buffer.waiting:
                buffer.serve()

    def load_task(self) -> bool:
        """Ask for room and transfers, then hand the task over; whether all of it is there."""
        item = self.item
        assert item is not None
        run, asks = item.part.run, item.step.asks
        while self.asked < len(asks):
            ask = asks[self.asked]
            gate = run.inputs if ask.needs_inputs else run.filters
            if gate.callbacks is not None and not self.is_open(gate):
                return False
            if ask.behind and self.awaits_psums(item.index - ask.behind):
                return False
            if not self.has_room and not self.reserve(item, ask.room):
                return False
            self.has_room = False
            self.asked += 1
            if ask.cycles is not None:
                if item.part.line is None:
                    self.open(item.part)
                self.dram.transfer(self, item, ask.cycles, is_write=False)
        if not self.is_open(run.inputs):  # no load has waited for an ifmap that lies on chip
            return False
        self.hand_over(item)
        return True

    def is_open(self, gate: simpy.Event) -> bool:
        """Whether something has happened; if not, the loader goes on when it does."""
        if gate.callbacks is None:
            return True
        gate.callbacks.append(self.load)
        return False

    def awaits_psums(self, stored: int) -> bool:
        """Whether the psums of a task are still being stored; if so, the loader goes on then."""
        self.awaited = stored if stored in self.spilled else 0
        return self.awaited > 0

    def reserve(self, item: Loaded, room: Room) -> bool:
        """Take room in a buffer; if that must wait, the loader goes on when it is there."""
        buffer = self.buffers[room.buffer]
        if buffer.reserve(self, room.size, item.part.spaces[room.buffer]):
            return True
        item.crowded = not self.storing and buffer.is_shared(self)
        self.blocked_in = buffer
        return False

    def granted(self) -> None:
        """Go on loading: the room is there."""
        self.has_room = True
        self.blocked_in = None
        self.wake()

    def release(self, part: Part, room: Room) -> None:
        """Give room in a buffer back."""
        self.buffers[room.buffer].release(self, room.size, part.spaces[room.buffer])

    def open(self, part: Part) -> Timeline:
        """Begin this core's record of a layer, with its first activity."""
        part.line = part.run.timelines[self.core.index] = Timeline(begun=self.clock.now)
        return part.line

    def hand_over(self, item: Loaded) -> None:
        """Queue a task for the computation, which begins with it if it has nothing else to do."""
        step = item.step
        item.room_at = self.clock.now
        self.item = None
        self.work += step.cycles
        item.part.left -= step.cycles
        self.tiles += 1
        if step.store_cycles is not None and not step.finishes:
            self.spilled.add(item.index)
        self.loaded.append(item)
        if self.current is None:
            self.take_next()

    def turned(self, frame: Frame) -> None:
        """Before a loop's next turn: leap over turns that go as one before."""
        if self.core.leaper is not None:
            self.core.leaper.look(self, frame)

    # --- As the memories see it -------------------------------------------------------------------

    @property
    def layer(self) -> LayerRun | None:
        """The layer that it loads for."""
        return None if self.part is None else self.part.run

    @property
    def left(self) -> int:
        """Cycles of its tasks of that layer, from the one that it asks for."""
        return 0 if self.part is None else self.part.left

    @property
    def ahead(self) -> int:
        """Tiles that it has and has not computed."""
        return len(self.loaded) + (self.current is not None)

    def waits_behind(self, work: int) -> bool:
        """Whether so much work is done, and it cannot go on without more."""
        return work <= self.begun and self.busy_until <= self.clock.now

    def pair(self, buffer: int) -> tuple[int, int]:
        """Room for the tile that it computes and the next one, and the space that they lie in."""
        part = self.entitled
        return (0, 0) if part is None else (part.track.pair[buffer], part.spaces[buffer])

    @property
    def entitled(self) -> Part | None:
        """The part that it loads for, if that can go on, so that room is kept for the next tile."""
        part = self.part
        can_go_on = self.item is not None and part is not None and part.run.inputs.callbacks is None
        return part if can_go_on else None

    def served(self, item: Loaded, is_write: bool, arrival: int) -> None:
        """A transfer of a task has begun."""
        if is_write:
            self.clock.after(arrival - self.clock.now, self.end, item)
            return
        item.arrival = arrival
        item.pending -= 1
        if item is self.current and not item.pending:
            self.await_arrival(item)

    # --- Computing --------------------------------------------------------------------------------

    def take_next(self) -> None:
        """Take the next loaded task and start it when its operands have arrived."""
        self.current = self.loaded.popleft() if self.loaded else None
        if self.current is None:
            return
        self.change_over(self.current.part.run.dataflow)
        if not self.current.pending:
            self.await_arrival(self.current)

    def change_over(self, dataflow: str | None) -> None:
        """If another dataflow comes, be free only when the array has drained and is set to it."""
        if dataflow == self.dataflow:
            return
        if self.dataflow is not None:
            self.free_at = max(self.free_at, self.drained_at) + self.core.changeover
        self.dataflow = dataflow

    def await_arrival(self, item: Loaded) -> None:
        """Start a task when its operands have arrived, and the array is set to its dataflow."""
        self.clock.after(max(item.arrival, self.free_at) - self.clock.now, self.start, item)

    def start(self, item: Loaded) -> None:
        """Compute a tile."""
        self.note_wait(item)
        cycles = item.step.cycles
        self.begun += cycles
        self.busy_until = self.clock.now + cycles
        self.clock.after(cycles, self.finish, item)

    def finish(self, item: Loaded) -> None:
        """Free what a computed tile no longer needs, put it away, and go on with the next."""
        step, part = item.step, item.part
        self.free_at = self.clock.now
        self.drained_at = self.free_at + step.tail
        self.current = None
        assert part.line is not None
        part.line.computed = self.free_at
        for room in step.closes:
            self.release(part, room)
        if step.puts_away:
            self.storing += 1
            self.clock.after(step.tail, self.move, item)
        else:
            self.leave(item)
        if self.blocked_in is not None and len(self.loaded) == 1:
            self.blocked_in.serve()  # the loader asks for the next tile now
        self.take_next()

    def note_wait(self, item: Loaded) -> None:
        """Say what the unit waited for before the task that starts now.

        First for another layer's tiles on it, then for room, then for operands.
        """
        line = item.part.line or self.open(item.part)
        now = self.clock.now
        start = max(line.begun, item.part.run.ready_at)
        free = max(start, self.free_at)
        if not line.computed:
            line.other_layer += free - start
        roomy = min(max(free, item.room_at), now)
        if item.crowded:
            line.other_layer += roomy - free
        else:
            line.write_wait += roomy - free
        line.read_wait += now - roomy

    # --- Putting away -----------------------------------------------------------------------------

    def move(self, item: Loaded) -> None:
        """Bring a tile to its place on chip, if it has one; its last result has left the array."""
        step, cycles = item.step, 0
        if step.move_cycles and step.moves_into is not None:
            cycles = self.buffers[step.moves_into].move(step.move_cycles)
        self.clock.after(cycles, self.store, item)

    def store(self, item: Loaded) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        step = item.step
        if step.frees is not None:
            self.release(item.part, step.frees)
        if step.store_cycles is None:
            self.end(item)
        else:
            self.dram.transfer(self, item, step.store_cycles, is_write=True)

    def end(self, item: Loaded) -> None:
        """Note that a tile has been put away, and free its room if it had it till now."""
        part, step = item.part, item.step
        if step.stored is not None:
            self.release(part, step.stored)
        self.storing -= 1
        assert part.line is not None
        part.line.stored, part.line.tail = self.clock.now, step.tail
        self.leave(item)
        if not step.finishes:
            self.spilled.remove(item.index)
            if self.awaited == item.index:
                self.awaited = 0
                self.wake()
            return
        part.unfinished -= 1
        if not part.unfinished:
            part.run.part_finished()

    def leave(self, item: Loaded) -> None:
        """Count a task as gone."""
        self.tiles -= 1
        self.under_way -= 1
        item.part.under_way -= 1

    # --- Leaping ----------------------------------------------------------------------------------

    @property
    def rests(self) -> bool:
        busy = self.current is not None or self.storing or self.wakes
        return not busy and self not in self.dram.queues

    def state(self, now: int) -> State | None:
        """The place in the loops, and each task's; None while two layers are on the unit."""
        if self.rests:
            return self.tiles, self.asked, tuple(map(self.pair, range(len(self.buffers))))
        part, item = self.part, self.item
        if part is None or part.line is None or not part.line.computed:
            return None
        if self.under_way != part.under_way:
            return None
        computing = self.busy_until > now
        return (
            *(part.track.pair, part.spaces, part.run.at_work),
            *(self.cursor.place, self.asked, self.has_room),
            item and (item.pending, max(item.arrival - now, 0), item.crowded),
            *(self.storing, self.tiles, self.free_at - now, computing and self.busy_until - now),
            tuple([self.tasks - index for index in sorted(self.spilled)]),
            self.awaited and self.tasks - self.awaited,
            self.current and (self.current.step, computing or self.waits(self.current, now)),
            tuple([item.step for item in self.loaded]),
            self.expected(now),
        )

    def expected(self, now: int) -> State:
        """The loaded tasks that might have to be waited for: the last ones."""
        free_at = self.free_at
        waits = []
        for item in reversed(self.loaded):
            if item.pending or item.arrival > now or item.room_at > free_at:
                waits.append(self.waits(item, now))
            elif item.step.loads:
                break  # all before it has come before it
            else:
                waits.append(())
        return tuple(waits)

    def waits(self, item: Loaded, now: int) -> State:
        """In how many cycles a task's operands are there; since when it has its room."""
        room_at, arrival = item.room_at - now, item.arrival - now
        free_at = self.free_at - now
        return (
            item.pending,
            arrival if arrival > 0 else 0,
            room_at if room_at > free_at else free_at,
            item.crowded,
        )

    def shift(self, cycles: int) -> None:
        if self.rests:
            return
        self.free_at += cycles
        self.drained_at += cycles
        self.busy_until += cycles
        for item in (*self.loaded, self.current, self.item):
            if item is not None:
                item.room_at += cycles
                item.arrival += cycles

    @property
    def where(self) -> tuple[int, ...]:
        return (self.tasks,) if self.rests else (self.layers, self.cursor.entry)

    @property
    def turns(self) -> tuple[int, ...]:
        return () if self.rests else self.cursor.turns

    @property
    def counts(self) -> tuple[int, ...]:
        if self.rests:
            return ()
        part = self.part
        assert part is not None
        line = part.line
        assert line is not None
        return line.other_layer, line.read_wait, line.write_wait, part.unfinished, part.left

    def repeat(self, times: int, turns: tuple[int, ...], counts: tuple[int, ...]) -> None:
        if not counts:
            return
        self.cursor.skip(tuple([times * each for each in turns]))
        assert self.part is not None
        line = self.part.line
        assert line is not None
        other_layer, read_wait, write_wait, unfinished, left = counts
        line.other_layer += times * other_layer
        line.read_wait += times * read_wait
        line.write_wait += times * write_wait
        self.part.unfinished += times * unfinished
        self.part.left += times * left
        assert self.part.unfinished
