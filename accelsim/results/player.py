"""Plays programs in time, and says what they cost by the objective of their hardware."""

from collections.abc import Sequence
from math import fsum
from typing import cast

from accelsim.engine.alone import can_be_alone, cycles_alone
from accelsim.engine.machine import LayerTimes, play
from accelsim.lowering.objective import weighed
from accelsim.lowering.program import Program
from accelsim.results.accounting import picojoules, run_result
from accelsim.results.records import RunResult


class Player:
    """Plays programs; those of whole networks once, as it remembers their times.

    What differs in names alone has the same layers, under the same dataflows.
    """

    def __init__(self) -> None:
        self._played: list[tuple[Program, list[LayerTimes]]] = []

    def times(self, program: Program) -> list[LayerTimes]:
        """When the layers ran."""
        for known, times in self._played:
            if known.layers is program.layers and known.flows == program.flows:
                return times
        times = play(program)
        if len(program.layers) == len(program.network.layers):
            self._played.append((program, times))
        return times

    def cycles(self, program: Program) -> int:
        """When the last layer ended."""
        if can_be_alone(program):
            return cycles_alone(program)
        return max((time.end for time in self.times(program)), default=0)

    def cost(self, program: Program) -> float:
        """What it costs by the objective of its target."""
        return self.cost_together([program])

    def cost_together(self, programs: Sequence[Program]) -> float:
        """What programs cost one after another; energy needs no playing."""
        objective = programs[0].target.objective
        cycles = 0 if objective == "energy" else sum(map(self.cycles, programs))
        energy = 0.0 if objective == "time" else fsum(map(picojoules, programs))
        return cast(float, weighed(objective, cycles, energy))


def timed(program: Program, player: Player | None = None) -> RunResult:
    """Play a Program in time, if `player` has not yet, and report it."""
    return run_result(program, (player or Player()).times(program))
