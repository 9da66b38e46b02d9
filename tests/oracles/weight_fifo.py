"""A weight-stationary array fed by a weight FIFO, clocked: what its counters count."""

from collections import Counter
from dataclasses import dataclass


@dataclass(slots=True)
class WeightFed:
    """Memory delivers a tile every `memory` cycles into a FIFO of `depth` tiles.

    The array has two planes of weights: while one computes for `active` cycles, the next tile
    shifts into the other in `shift` cycles. A cycle counts as `active` if the array computes, else
    as `shift` if weights shift in, else as `stall`.
    """

    memory: int
    active: int
    shift: int
    depth: int = 4
    fifo: int = 0
    arriving: int = 0
    shifting: int = 0
    loaded: bool = False
    computing: int = 0

    def step(self) -> str:
        """Advance one cycle; what it counts as."""
        if self.loaded and not self.computing:
            self.loaded, self.computing = False, self.active
        if self.fifo and not self.loaded and not self.shifting:
            self.fifo, self.shifting = self.fifo - 1, self.shift
        counted = "active" if self.computing else "shift" if self.shifting else "stall"
        self.computing = max(self.computing - 1, 0)
        if self.shifting:
            self.shifting -= 1
            self.loaded = not self.shifting
        if self.fifo < self.depth:
            self.arriving += 1
            if self.arriving == self.memory:
                self.fifo, self.arriving = self.fifo + 1, 0
        return counted


def steady_state(memory: int, active: int, shift: int) -> tuple[float, Counter[str]]:
    """Cycles from one tile to the next, and what they count as, when the start is over."""
    machine = WeightFed(memory, active, shift)
    for _ in range(20 * (memory + active + shift)):
        machine.step()
    starts, trace = [], []
    while len(starts) < 7:
        idle = not machine.computing
        trace.append(machine.step())
        if trace[-1] == "active" and idle:
            starts.append(len(trace) - 1)
    tiles = len(starts) - 1
    counted = Counter(trace[starts[0] : starts[-1]])
    return (starts[-1] - starts[0]) / tiles, Counter(
        {name: count / tiles for name, count in counted.items()}
    )
