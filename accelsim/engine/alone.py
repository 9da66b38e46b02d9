"""A layer by itself, played without SimPy: for a search, which plays many for each that it takes.

All is as in `machine` where no two layers meet: who asks for room is alone in its buffers, so room
is there or is not; nobody has others' tiles to wait for; DRAM serves the arrays that share the
layer as it does there. With one array it serves in the order of asking, so when a transfer ends is
known when it is asked for. The cycles are those of `machine.play`, whatever the layer; what is
reported is played there.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from accelsim.engine.clock import State
from accelsim.engine.cursor import Cursor, Frame
from accelsim.engine.leap import MOST_STATES, Mark, Numbers, Period, between
from accelsim.errors import SimulationError
from accelsim.lowering.price import PricedStep, Track, price
from accelsim.lowering.program import Program
from accelsim.lowering.target import Target
from accelsim.lowering.task import Room


def can_be_alone(program: Program) -> bool:
    """Whether it is one layer."""
    return len(program.layers) == 1


def cycles_alone(program: Program) -> int:
    """Cycles of a program that can be alone; 0 for a layer without tasks.

    Raises SimulationError if it cannot finish.
    """
    (layer,) = price(program).layers
    tracks = [track for track in layer.tracks if track.nest]
    return _Alone(tracks, program.target, layer.program.spaces).play()


_Then = Callable[[Any], None]


class _Task:
    """A task with its number, and when all of its loads have arrived but those `pending`."""

    __slots__ = ("arrival", "core", "index", "pending", "step")

    def __init__(self, core: "_Core", step: PricedStep, index: int) -> None:
        self.core = core
        self.step = step
        self.index = index
        self.pending = step.loads
        self.arrival = 0

    @property
    def place(self) -> tuple[int, PricedStep, int]:
        """Which it is, seen from the one that is being loaded."""
        return self.core.number, self.step, self.core.tasks - self.index


class _Alone:
    """The clock, DRAM and the arrays that share the layer."""

    def __init__(self, tracks: list[Track], target: Target, spaces: tuple[int, ...]) -> None:
        self.now = self.end = 0
        self.order = 0
        self.queue: list[tuple[int, int, _Then, Any]] = []
        self.last: deque[_Core] = deque()  # whose loaders go on at the end of this cycle
        sizes = [min(own, each.size) for own, each in zip(spaces, target.buffers, strict=True)]
        channel = _Shared if len(tracks) > 1 else _Fifo
        self.dram: _Fifo = channel(self, target.dram_latency, target.turnaround_cycles)
        self.cores = [_Core(self, index, track, sizes) for index, track in enumerate(tracks)]
        self.leaper = _Leaper(self)

    def play(self) -> int:
        """Cycles till all is done."""
        self.last.extend(self.cores)
        self.load()
        while self.queue:
            self.let_pass()
        if any(core.cursor.frames or core.loaded or core.current for core in self.cores):
            raise SimulationError("a layer by itself waits for room that nobody gives back")
        return self.end

    def let_pass(self) -> None:
        """Let all happen that is to come in the next cycle in which something is."""
        queue = self.queue
        now = self.now = queue[0][0]
        while queue and queue[0][0] == now:
            _, _, then, what = heappop(queue)
            then(what)
        self.load()

    def load(self) -> None:
        """Let the loaders go on that can."""
        while self.last:
            self.last.popleft().load()

    def after(self, cycles: int, then: _Then, what: Any) -> None:
        """Call `then(what)` in so many cycles; at once if there are none."""
        if cycles > 0:
            self.order += 1
            heappush(self.queue, (self.now + cycles, self.order, then, what))
        else:
            then(what)

    def shift(self, cycles: int) -> None:
        """Let so much time pass at once."""
        self.now += cycles
        self.queue[:] = [(at + cycles, order, then, what) for at, order, then, what in self.queue]
        heapify(self.queue)
        self.dram.free_at += cycles
        for core in self.cores:
            core.shift(cycles)


# --- DRAM -----------------------------------------------------------------------------------------


class _Fifo:
    """DRAM with one to serve."""

    def __init__(self, alone: _Alone, latency: int, turnaround: tuple[int, int]) -> None:
        self.alone = alone
        self.latency = latency
        self.turnaround = turnaround
        self.writing: bool | None = None
        self.free_at = 0

    def transfer(self, task: _Task, cycles: int, is_write: bool) -> None:
        """Move a tile after all that was asked for before."""
        self.begin(max(self.free_at, self.alone.now), task, cycles, is_write)

    def begin(self, start: int, task: _Task, cycles: int, is_write: bool) -> None:
        """Hold the channel from cycle `start`, or a little later, and say when it arrives."""
        if self.writing is not is_write:
            if self.writing is not None:
                start += self.turnaround[is_write]
            self.writing = is_write
        self.free_at = start + cycles
        task.core.served(task, is_write, self.free_at + self.latency)

    @property
    def state(self) -> State:
        """Which way it goes, and how long it is held."""
        return self.writing, max(self.free_at - self.alone.now, 0)


class _Shared(_Fifo):
    """DRAM with several to serve, as `memory.DramChannel`: who waits, then who has most left."""

    def __init__(self, alone: _Alone, latency: int, turnaround: tuple[int, int]) -> None:
        super().__init__(alone, latency, turnaround)
        self.asked = 0
        self.queues: dict[_Core, deque[tuple[_Task, int, bool, int, int]]] = {}

    def transfer(self, task: _Task, cycles: int, is_write: bool) -> None:
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

    def first(self) -> "_Core":
        """Whose transfer is needed first."""
        if len(self.queues) == 1:
            return next(iter(self.queues))
        return min(self.queues, key=self.rank)

    def rank(self, core: "_Core") -> tuple[bool, int, int]:
        """The least comes first."""
        _, _, _, work, order = self.queues[core][0]
        return not core.waits_behind(work), -core.left, order

    @property
    def state(self) -> State:
        """And what waits for it, in the order of asking."""
        waiting = sorted(
            (order, core.number, task.place, cycles, is_write)
            for core, queue in self.queues.items()
            for task, cycles, is_write, _, order in queue
        )
        return *super().state, tuple([each[1:] for each in waiting])


# --- Arrays ---------------------------------------------------------------------------------------


class _Core:
    """An array with its buffers, and its part of the layer."""

    def __init__(self, alone: _Alone, number: int, track: Track, sizes: list[int]) -> None:
        self.alone = alone
        self.number = number
        self.lag = track.lag
        # Loading: the task at hand, how much of that has been asked for, what it waits for.
        self.cursor = Cursor(track.nest, self.turned)
        self.task: _Task | None = None
        self.asked = self.tasks = 0
        self.wanted: Room | None = None
        self.has_room = False
        self.awaited = 0
        self.left = track.cycles
        self.work = 0
        self.free = list(sizes)
        self.spilled: set[int] = set()
        self.moves_until = [0] * len(sizes)
        # Computing: what is loaded, the task at hand, cycles of all begun with.
        self.loaded: deque[_Task] = deque()
        self.current: _Task | None = None
        self.begun = self.busy_until = 0

    # --- Loading ----------------------------------------------------------------------------------

    def load(self) -> None:
        """Load ahead until something is missing."""
        while True:
            task = self.task
            if task is None:
                step = self.cursor.next()
                if step is None:
                    return
                self.tasks += 1
                task = self.task = _Task(self, step, self.tasks)
                self.asked = 0
            if not self.load_task(task):
                return

    def load_task(self, task: _Task) -> bool:
        """Take room and move what a task needs, then hand it over; whether all of it is there."""
        asks, free = task.step.asks, self.free
        while self.asked < len(asks):
            ask = asks[self.asked]
            room = ask.room
            if ask.resumes and task.index - self.lag in self.spilled:
                self.awaited = task.index - self.lag
                return False
            if self.has_room:
                self.has_room = False
            elif free[room.buffer] < room.size:
                self.wanted = room
                return False
            else:
                free[room.buffer] -= room.size
            self.asked += 1
            if ask.cycles is not None:
                self.alone.dram.transfer(task, ask.cycles, False)
        self.task = None
        self.hand_over(task)
        return True

    def hand_over(self, task: _Task) -> None:
        """Queue a task for the computation, which begins with it if it has nothing else to do."""
        step = task.step
        self.work += step.cycles
        self.left -= step.cycles
        if step.store_cycles is not None and not step.finishes:
            self.spilled.add(task.index)
        self.loaded.append(task)
        if self.current is None:
            self.take_next()

    def release(self, room: Room) -> None:
        """Give room in a buffer back; the loader goes on if it waited for that."""
        free, wanted = self.free, self.wanted
        free[room.buffer] += room.size
        if wanted is not None and free[wanted.buffer] >= wanted.size:
            free[wanted.buffer] -= wanted.size
            self.wanted, self.has_room = None, True
            self.alone.last.append(self)

    def waits_behind(self, work: int) -> bool:
        """Whether so much work is done, and it cannot go on without more."""
        return work <= self.begun and self.busy_until <= self.alone.now

    def served(self, task: _Task, is_write: bool, arrival: int) -> None:
        """A transfer of a task has begun, or is known to."""
        alone = self.alone
        if is_write:
            alone.after(arrival - alone.now, self.put_away, task)
            return
        task.arrival = arrival
        task.pending -= 1
        if task is self.current and not task.pending:
            alone.after(arrival - alone.now, self.start, task)

    # --- Computing and putting away ---------------------------------------------------------------

    def take_next(self) -> None:
        """Take the next loaded task and start it when its operands have arrived."""
        task = self.current = self.loaded.popleft() if self.loaded else None
        if task is not None and not task.pending:
            self.alone.after(task.arrival - self.alone.now, self.start, task)

    def start(self, task: _Task) -> None:
        """Compute a tile."""
        cycles = task.step.cycles
        self.begun += cycles
        self.busy_until = self.alone.now + cycles
        self.alone.after(cycles, self.finish, task)

    def finish(self, task: _Task) -> None:
        """Free what a computed tile no longer needs, put it away, and go on with the next."""
        step = task.step
        self.current = None
        for room in step.closes:
            self.release(room)
        if step.puts_away:
            self.alone.after(step.tail, self.move, task)
        self.take_next()

    def move(self, task: _Task) -> None:
        """Bring a tile to its place on chip, if it has one."""
        step, now, cycles = task.step, self.alone.now, 0
        if step.move_cycles and step.moves_into is not None:
            until = max(now, self.moves_until[step.moves_into]) + step.move_cycles
            self.moves_until[step.moves_into] = until
            cycles = until - now
        self.alone.after(cycles, self.store, task)

    def store(self, task: _Task) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        step = task.step
        if step.frees is not None:
            self.release(step.frees)
        if step.store_cycles is None:
            self.put_away(task)
        else:
            self.alone.dram.transfer(task, step.store_cycles, True)

    def put_away(self, task: _Task) -> None:
        """Free the room of a tile if it had it till now."""
        step = task.step
        if step.stored is not None:
            self.release(step.stored)
        self.alone.end = self.alone.now
        if step.finishes:
            return
        self.spilled.remove(task.index)
        if self.awaited == task.index:
            self.awaited = 0
            self.alone.last.append(self)

    # --- Leaping ----------------------------------------------------------------------------------

    def turned(self, frame: Frame) -> None:
        """Before a loop's next turn: leap over turns that go as one before."""
        self.alone.leaper.look(self, frame)

    @property
    def state(self) -> State:
        """All that the future follows from, but for turns, in cycles from now."""
        now, task, current = self.alone.now, self.task, self.current
        return (
            *(self.cursor.place, self.asked, self.has_room, self.wanted, tuple(self.free)),
            task and (task.step, task.pending, max(task.arrival - now, 0)),
            tuple([until - now if until > now else 0 for until in self.moves_until]),
            current and (current.step, current.pending, self.busy_until > now),
            tuple([(one.step, one.pending, max(one.arrival - now, 0)) for one in self.loaded]),
            tuple(sorted([self.tasks - index for index in self.spilled])),
            self.awaited and self.tasks - self.awaited,
        )

    def shift(self, cycles: int) -> None:
        """Let so much time pass at once."""
        self.busy_until += cycles
        self.moves_until = [until + cycles for until in self.moves_until]
        for task in (*self.loaded, self.task, self.current):
            if task is not None:
                task.arrival += cycles


# --- Leaps ----------------------------------------------------------------------------------------


class _Leaper:
    """As `leap.Leaper`, whose periods these are."""

    def __init__(self, alone: _Alone) -> None:
        self.alone = alone
        self.glimpses: set[State] = set()
        self.marks: dict[State, Mark] = {}
        self.periods: dict[State, Period] = {}

    def look(self, core: _Core, frame: Frame) -> None:
        """Leap over turns that need not be played, before one of the first that has any."""
        first = next(each for each in self.alone.cores if each.cursor.frames)
        if core is not first or self.is_new(core, frame):
            return
        state = self.state()
        period = self.periods.get(state)
        if period is not None and self.leap(period):
            return
        cores = self.alone.cores
        now = Mark(
            self.alone.now,
            self.turns,
            tuple([(each.left,) for each in cores]),
            tuple([(each.cursor.entry,) for each in cores]),
        )
        mark = self.marks.get(state)
        if mark is not None and (found := between(mark, now)) is not None:
            self.periods[state] = found
            self.leap(found)
            return
        if len(self.marks) > MOST_STATES:
            self.marks.clear()
        self.marks[state] = now

    def is_new(self, core: _Core, frame: Frame) -> bool:
        """Whether even a glimpse tells that the state was never met before."""
        now = self.alone.now
        due = tuple(sorted([entry[0] - now for entry in self.alone.queue]))
        glimpse = (id(frame.nest), len(core.loaded), self.alone.dram.free_at - now, due)
        if glimpse in self.glimpses:
            return False
        if len(self.glimpses) > MOST_STATES:
            self.glimpses.clear()
        self.glimpses.add(glimpse)
        return True

    def state(self) -> State:
        """All that the future follows from, but for turns."""
        alone, now = self.alone, self.alone.now
        left = [(core.number, core.left) for core in alone.cores if core.left]
        return (
            tuple([core.state for core in alone.cores]),
            tuple([(number, each - left[0][1]) for number, each in left]),
            alone.dram.state,
            tuple(
                [
                    (at - now, then.__name__, what and what.place)
                    for at, _, then, what in sorted(alone.queue, key=_when)
                ]
            ),
            tuple([core.number for core in alone.last]),
        )

    @property
    def turns(self) -> Numbers:
        """Turns that each array has still to begin, of each of its loops."""
        return tuple([core.cursor.turns for core in self.alone.cores])

    def leap(self, period: Period) -> bool:
        """Let a period pass as often as it comes again now; whether it does."""
        times = period.times(self.turns)
        if not times:
            return False
        for core, turns, (left,) in zip(self.alone.cores, period.turns, period.counts, strict=True):
            core.cursor.skip(tuple([times * each for each in turns]))
            core.left += times * left
        self.alone.shift(times * period.cycles)
        return True


def _when(entry: tuple[int, int, _Then, Any]) -> tuple[int, int]:
    return entry[:2]
