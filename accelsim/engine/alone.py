"""A layer by itself on one core, played without an event for every turn of the channel.

A search plays many tilings for each that it chooses, and a unit that is alone has nobody to share
with: room is there or is not, and DRAM serves in the order of asking, so when a transfer ends is
known when it is asked for. What is left of the machine are tasks that begin, end and are put away.
The cycles are those of `machine.play`, whatever the layer; only what is reported is played there.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from accelsim.engine.clock import State
from accelsim.engine.cursor import Cursor, Frame
from accelsim.engine.leap import MOST_STATES, Mark, Period, between
from accelsim.errors import SimulationError
from accelsim.lowering.price import PricedStep, Track, price
from accelsim.lowering.program import Program
from accelsim.lowering.target import Target
from accelsim.lowering.task import Room


def can_be_alone(program: Program) -> bool:
    """Whether it is one layer on one unit."""
    return len(program.layers) == 1 and len(program.layers[0].schedules) == 1


def cycles_alone(program: Program) -> int:
    """Cycles of a program that can be alone; 0 for a layer without tasks.

    Raises SimulationError if it cannot finish.
    """
    (layer,) = price(program).layers
    return _Alone(layer.tracks[0], program.target, layer.program.spaces).play()


class _Task:
    """A task with the number it has, and the cycle in which all of its loads have arrived."""

    __slots__ = ("arrival", "index", "step")

    def __init__(self, step: PricedStep, index: int) -> None:
        self.step = step
        self.index = index
        self.arrival = 0


_Then = Callable[[_Task], None]


class _Alone:
    """What the unit of a core, its buffers and DRAM are to one another while it is alone."""

    def __init__(self, track: Track, target: Target, spaces: tuple[int, ...]) -> None:
        self.lag = track.lag
        self.latency = target.dram_latency
        self.turnaround = target.turnaround_cycles
        self.now = self.end = 0
        self.order = 0
        self.queue: list[tuple[int, int, _Then, _Task]] = []
        # Loading.
        self.cursor = Cursor(track.nest, self.turned)
        self.task: _Task | None = None
        self.asked = self.tasks = 0
        sizes = zip(spaces, target.buffers, strict=True)
        self.free = [min(space, buffer.size) for space, buffer in sizes]
        self.spilled: set[int] = set()
        # DRAM, and moves into the buffers.
        self.writing: bool | None = None
        self.free_at = 0
        self.moves_until = [0] * len(spaces)
        # Computing.
        self.loaded: deque[_Task] = deque()
        self.is_idle = True
        # What came before.
        self.glimpses: set[State] = set()
        self.marks: dict[State, Mark] = {}
        self.periods: dict[State, Period] = {}

    def play(self) -> int:
        """Cycles till all is done."""
        queue = self.queue
        while not self.load():
            if not queue:
                raise SimulationError("a layer by itself waits for room that nobody holds")
            self.let_pass()
        while queue:
            self.let_pass()
        return self.end

    def let_pass(self) -> None:
        """Let all happen that is to come in the next cycle in which something is."""
        queue = self.queue
        now = self.now = queue[0][0]
        while queue and queue[0][0] == now:
            _, _, then, task = heappop(queue)
            then(task)

    def after(self, cycles: int, then: _Then, task: _Task) -> None:
        """Call `then(task)` in so many cycles; at once if there are none."""
        if cycles > 0:
            self.order += 1
            heappush(self.queue, (self.now + cycles, self.order, then, task))
        else:
            then(task)

    # --- Loading ----------------------------------------------------------------------------------

    def load(self) -> bool:
        """Load ahead until something is missing; whether nothing is left to load."""
        while True:
            task = self.task
            if task is None:
                step = self.cursor.next()
                if step is None:
                    return True
                self.tasks += 1
                task = self.task = _Task(step, self.tasks)
                self.asked = 0
            if not self.load_task(task):
                return False

    def load_task(self, task: _Task) -> bool:
        """Take room and move what a task needs, then hand it over; whether all of it is there."""
        asks, free = task.step.asks, self.free
        while self.asked < len(asks):
            ask = asks[self.asked]
            room = ask.room
            if ask.resumes and task.index - self.lag in self.spilled:
                return False
            if free[room.buffer] < room.size:
                return False
            free[room.buffer] -= room.size
            self.asked += 1
            if ask.cycles is not None:
                task.arrival = self.transfer(ask.cycles, is_write=False)
        self.task = None
        if task.step.store_cycles is not None and not task.step.finishes:
            self.spilled.add(task.index)
        self.loaded.append(task)
        if self.is_idle:
            self.take_next()
        return True

    def transfer(self, cycles: int, *, is_write: bool) -> int:
        """Move something after all that was asked for before; when it arrives."""
        start = self.free_at if self.free_at > self.now else self.now
        if self.writing is not is_write:
            if self.writing is not None:
                start += self.turnaround[is_write]
            self.writing = is_write
        self.free_at = start + cycles
        return self.free_at + self.latency

    # --- Computing and putting away ---------------------------------------------------------------

    def take_next(self) -> None:
        """Take the next loaded task and start it when its operands have arrived."""
        self.is_idle = not self.loaded
        if self.loaded:
            task = self.loaded.popleft()
            self.after(task.arrival - self.now, self.start, task)

    def start(self, task: _Task) -> None:
        """Compute a tile."""
        self.after(task.step.cycles, self.finish, task)

    def finish(self, task: _Task) -> None:
        """Free what a computed tile no longer needs, put it away, and go on with the next."""
        step = task.step
        for room in step.closes:
            self.release(room)
        if step.puts_away:
            self.after(step.tail, self.move, task)
        self.take_next()

    def move(self, task: _Task) -> None:
        """Bring a tile to its place on chip, if it has one."""
        step, cycles = task.step, 0
        if step.move_cycles and step.moves_into is not None:
            until = max(self.now, self.moves_until[step.moves_into]) + step.move_cycles
            self.moves_until[step.moves_into] = until
            cycles = until - self.now
        self.after(cycles, self.store, task)

    def store(self, task: _Task) -> None:
        """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
        step = task.step
        if step.frees is not None:
            self.release(step.frees)
        if step.store_cycles is None:
            self.put_away(task)
        else:
            arrival = self.transfer(step.store_cycles, is_write=True)
            self.after(arrival - self.now, self.put_away, task)

    def put_away(self, task: _Task) -> None:
        """Free the room of a tile if it had it till now."""
        step = task.step
        if step.stored is not None:
            self.release(step.stored)
        if not step.finishes:
            self.spilled.remove(task.index)
        self.end = self.now

    def release(self, room: Room) -> None:
        """Give room in a buffer back."""
        self.free[room.buffer] += room.size

    # --- Leaping, as `leap.Leaper` ----------------------------------------------------------------

    def turned(self, frame: Frame) -> None:
        """Before a loop's next turn: leap over turns that go as one before."""
        if self.is_new(frame):
            return
        state = self.state()
        period = self.periods.get(state)
        if period is not None and self.leap(period):
            return
        now = Mark(self.now, (self.cursor.turns,), ((),), ((self.cursor.entry,),))
        mark = self.marks.get(state)
        if mark is not None and (found := between(mark, now)) is not None:
            self.periods[state] = found
            self.leap(found)
            return
        if len(self.marks) > MOST_STATES:
            self.marks.clear()
        self.marks[state] = now

    def is_new(self, frame: Frame) -> bool:
        """Whether even a glimpse tells that the state was never met before."""
        now = self.now
        due = tuple(sorted([entry[0] - now for entry in self.queue]))
        glimpse = (id(frame.nest), len(self.loaded), self.free_at - now, due)
        if glimpse in self.glimpses:
            return False
        if len(self.glimpses) > MOST_STATES:
            self.glimpses.clear()
        self.glimpses.add(glimpse)
        return True

    def leap(self, period: Period) -> bool:
        """Let a period pass as often as it comes again now; whether it does."""
        times = period.times((self.cursor.turns,))
        if not times:
            return False
        self.cursor.skip(tuple([times * each for each in period.turns[0]]))
        self.shift(times * period.cycles)
        return True

    def state(self) -> State:
        """All that the future follows from, but for turns, in cycles from now."""
        now, tasks = self.now, self.tasks
        return (
            self.cursor.place,
            tuple(self.free),
            self.writing,
            self.free_at - now if self.free_at > now else 0,
            tuple([until - now if until > now else 0 for until in self.moves_until]),
            tuple(
                [
                    (at - now, then.__name__, task.step, tasks - task.index)
                    for at, _, then, task in sorted(self.queue, key=_when)
                ]
            ),
            tuple([(task.step, max(task.arrival - now, 0)) for task in self.loaded]),
            tuple(sorted([tasks - index for index in self.spilled])),
        )

    def shift(self, cycles: int) -> None:
        """Let so much time pass at once."""
        self.now += cycles
        self.free_at += cycles
        self.moves_until = [until + cycles for until in self.moves_until]
        for task in self.loaded:
            task.arrival += cycles
        self.queue[:] = [(at + cycles, order, then, task) for at, order, then, task in self.queue]
        heapify(self.queue)


def _when(entry: tuple[int, int, _Then, _Task]) -> tuple[int, int]:
    return entry[:2]
