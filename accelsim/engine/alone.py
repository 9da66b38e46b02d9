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
from math import inf
from typing import Any

from accelsim.engine.alone_dram import Fifo, Shared
from accelsim.engine.clock import State
from accelsim.engine.cursor import Cursor, Frame
from accelsim.engine.leap import Mark, Numbers, Period, Recurrences
from accelsim.errors import SimulationError
from accelsim.lowering.price import PricedStep, Prices, Track, price
from accelsim.lowering.program import Program
from accelsim.lowering.target import Target
from accelsim.lowering.task import Room


def can_be_alone(program: Program) -> bool:
    """Whether it is one layer."""
    return len(program.layers) == 1


def cycles_alone(program: Program, prices: Prices | None = None, turns: float = inf) -> int:
    """Cycles of a program that can be alone; 0 for a layer without tasks. `prices` if known.

    Raises SimulationError if it cannot finish, ShortLeapsError after so many `turns`.
    """
    (layer,) = price(program, prices).layers
    tracks = [track for track in layer.tracks if track.nest]
    alone = Alone(tracks, program.target, layer.program.spaces)
    alone.leaper.met.turns = turns
    return alone.play()


Then = Callable[[Any], None]


class LoneTask:
    """A task with its number, and when all of its loads have arrived but those `pending`."""

    __slots__ = ("arrival", "core", "index", "pending", "step")

    def __init__(self, core: "LoneCore", step: PricedStep, index: int) -> None:
        self.core = core
        self.step = step
        self.index = index
        self.pending = step.loads
        self.arrival = 0

    @property
    def place(self) -> tuple[int, PricedStep, int]:
        """Which it is, seen from the one that is being loaded."""
        return self.core.number, self.step, self.core.tasks - self.index


class Alone:
    """The clock, DRAM and the arrays that share the layer."""

    def __init__(self, tracks: list[Track], target: Target, spaces: tuple[int, ...]) -> None:
        self.now = self.end = 0
        self.order = 0
        self.queue: list[tuple[int, int, Then, Any]] = []
        self.last: deque[LoneCore] = deque()  # whose loaders go on at the end of this cycle
        sizes = [min(own, each.size) for own, each in zip(spaces, target.buffers, strict=True)]
        channel = Shared if len(tracks) > 1 else Fifo
        self.dram: Fifo = channel(self, target.dram_latency, target.turnaround_cycles)
        self.cores = [LoneCore(self, index, track, sizes) for index, track in enumerate(tracks)]
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

    def after(self, cycles: int, then: Then, what: Any) -> None:
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


# --- Arrays ---------------------------------------------------------------------------------------


class LoneCore:
    """An array with its buffers, and its part of the layer."""

    def __init__(self, alone: Alone, number: int, track: Track, sizes: list[int]) -> None:
        self.alone = alone
        self.number = number
        # Loading: the task at hand, how much of that has been asked for, what it waits for.
        self.cursor = Cursor(track.nest, self.turned)
        self.task: LoneTask | None = None
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
        self.loaded: deque[LoneTask] = deque()
        self.current: LoneTask | None = None
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
                task = self.task = LoneTask(self, step, self.tasks)
                self.asked = 0
            if not self.load_task(task):
                return

    def load_task(self, task: LoneTask) -> bool:
        """Take room and move what a task needs, then hand it over; whether all of it is there."""
        asks, free = task.step.asks, self.free
        while self.asked < len(asks):
            ask = asks[self.asked]
            room = ask.room
            if ask.behind and task.index - ask.behind in self.spilled:
                self.awaited = task.index - ask.behind
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

    def hand_over(self, task: LoneTask) -> None:
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

    def served(self, task: LoneTask, is_write: bool, arrival: int) -> None:
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

    def start(self, task: LoneTask) -> None:
        """Compute a tile."""
        cycles = task.step.cycles
        self.begun += cycles
        self.busy_until = self.alone.now + cycles
        self.alone.after(cycles, self.finish, task)

    def finish(self, task: LoneTask) -> None:
        """Free what a computed tile no longer needs, put it away, and go on with the next."""
        step = task.step
        self.current = None
        for room in step.closes:
            self.release(room)
        if step.puts_away:
            self.alone.after(step.tail, self.move, task)
        self.take_next()

    def move(self, task: LoneTask) -> None:
        """Bring a tile to its place on chip, if it has one."""
        step, now, cycles = task.step, self.alone.now, 0
        if step.move_cycles and step.moves_into is not None:
            until = max(now, self.moves_until[step.moves_into]) + step.move_cycles
            self.moves_until[step.moves_into] = until
            cycles = until - now
        self.alone.after(cycles, self.store, task)

    def store(self, task: LoneTask) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        step = task.step
        if step.frees is not None:
            self.release(step.frees)
        if step.store_cycles is None:
            self.put_away(task)
        else:
            self.alone.dram.transfer(task, step.store_cycles, True)

    def put_away(self, task: LoneTask) -> None:
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
    """Leaps over turns that need not be played, as `leap.Leaper` does."""

    def __init__(self, alone: "Alone") -> None:
        self.alone = alone
        self.contests = alone.dram.contests
        self.met = Recurrences(self.contests)

    def look(self, core: LoneCore, frame: Frame) -> None:
        """Leap over such turns, if there are any, before one of the first that has some left."""
        alone = self.alone
        if core is not next(each for each in alone.cores if each.cursor.frames):
            return
        due = sorted([entry[0] - alone.now for entry in alone.queue])
        dram = alone.dram
        glimpse = (id(frame.nest), len(core.loaded), dram.waiting, dram.free_at - alone.now, *due)
        if not self.met.is_new(glimpse):
            self.met.look(self.state(), self.mark, self.leap)

    def mark(self) -> Mark:
        """How far all arrays are."""
        cores = self.alone.cores
        return Mark(
            now=self.alone.now,
            turns=self.turns,
            counts=tuple([(each.left,) for each in cores]),
            where=tuple([(each.cursor.entry,) for each in cores]),
            left={each: each.left for each in cores},
            contests=self.contests.count,
        )

    def state(self) -> State:
        """All that the future follows from, but for turns."""
        alone, now = self.alone, self.alone.now
        return (
            tuple([core.state for core in alone.cores]),
            tuple([core.number for core in alone.cores if core.left]),
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
        self.contests.repeat(times, period.leads)
        for core, turns, (left,) in zip(self.alone.cores, period.turns, period.counts, strict=True):
            core.cursor.skip(tuple([times * each for each in turns]))
            core.left += times * left
        self.alone.shift(times * period.cycles)
        return True


def _when(entry: tuple[int, int, Then, Any]) -> tuple[int, int]:
    return entry[:2]
