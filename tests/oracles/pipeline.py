"""A double-buffered load, compute, store pipeline played cycle by cycle, without events.

One array, one layer. In each cycle: transfers that are over, a tile that is computed, stores,
then loads as far as there is room, then the next tile. A task takes room for its whole block, if
it has any, then for each of its loads, then for what it opens.
"""

from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Load, Room


class Pipeline:
    """The state between two cycles."""

    def __init__(self, schedule: Schedule, target: Target) -> None:
        self.tasks = schedule.tasks
        self.target = target
        self.free = [space.size for space in target.buffers]
        self.channel_free = 0
        self.arrivals: list[int] = []  # of tasks whose room and transfers are all asked for
        self.arrival = 0
        self.step_of_load = 0
        self.started = 0
        self.busy_until: int | None = None
        self.to_store: list[tuple[int, int]] = []  # (cycle, task)
        self.stored: dict[int, int] = {}  # task: cycle
        self.starts: list[int] = []

    def transfer(self, cycle: int, size: int) -> int:
        begin = max(cycle, self.channel_free)
        bursts = -(-size // self.target.dram_burst) * self.target.dram_burst
        self.channel_free = begin + int(-(-bursts // self.target.dram_bytes_per_cycle))
        return self.channel_free + self.target.dram_latency

    def give_back(self, room: Room) -> None:
        self.free[room.buffer] += room.size

    def play(self) -> int:
        """Cycle of the last store's end."""
        cycle = 0
        while len(self.stored) < self.stores or any(end > cycle for end in self.stored.values()):
            self.finish(cycle)
            self.load(cycle)
            self.begin(cycle)
            cycle += 1
            assert cycle < 100_000, "stuck"
        return max(self.stored.values())

    @property
    def stores(self) -> int:
        return sum(task.step.store is not None for task in self.tasks)

    def finish(self, cycle: int) -> None:
        for index, end in self.stored.items():
            store = self.tasks[index].step.store
            if end == cycle and store is not None:
                self.give_back(store.room)
        if self.busy_until == cycle:
            task = self.tasks[self.started - 1]
            for room in task.step.closes:
                self.give_back(room)
            if task.step.store is not None:
                self.to_store.append((cycle + task.step.work.tail, self.started - 1))
            self.busy_until = None
        for due in [due for due in self.to_store if due[0] == cycle]:
            self.to_store.remove(due)
            store = self.tasks[due[1]].step.store
            assert store is not None
            self.stored[due[1]] = self.transfer(cycle, store.size)

    def load(self, cycle: int) -> None:
        while len(self.arrivals) < len(self.tasks) and self.load_one(cycle):
            pass

    def load_one(self, cycle: int) -> bool:
        """One more room of the task being loaded; whether that was possible."""
        task = self.tasks[len(self.arrivals)]
        step = task.step
        asked = [*step.reserves, *step.loads, *step.opens]
        if self.step_of_load == len(asked):
            self.arrivals.append(self.arrival)
            self.arrival = self.step_of_load = 0
            return True
        item = asked[self.step_of_load]
        room = item.room if isinstance(item, Load) else item
        resumes = isinstance(item, Load) and item.operand == "psum"
        if resumes and self.stored.get(self.visited_before(), cycle + 1) > cycle:
            return False
        if room.size > self.free[room.buffer]:
            return False
        self.free[room.buffer] -= room.size
        if isinstance(item, Load):
            self.arrival = self.transfer(cycle, item.size)
        self.step_of_load += 1
        return True

    def visited_before(self) -> int:
        """The last task before the one being loaded that worked on the same output tile."""
        outputs = [
            (task.tile.groups, task.tile.pixels, task.tile.filters)
            for task in self.tasks[: len(self.arrivals) + 1]
            if isinstance(task.tile, GemmTile)
        ]
        *before, now = outputs
        return len(before) - 1 - before[::-1].index(now)

    def begin(self, cycle: int) -> None:
        ready = self.started < len(self.arrivals) and self.arrivals[self.started] <= cycle
        if ready and self.busy_until is None:
            self.busy_until = cycle + self.tasks[self.started].step.cycles
            self.starts.append(cycle)
            self.started += 1
