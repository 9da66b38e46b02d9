"""Plays programs in time, and says what they cost by the objective of their hardware."""

from collections.abc import Sequence
from math import fsum, inf
from typing import cast

from accelsim.engine.alone import can_be_alone, cycles_alone
from accelsim.engine.leap import ShortLeapsError
from accelsim.engine.machine import LayerTimes, play
from accelsim.jit import Patience
from accelsim.lowering.objective import weighed
from accelsim.lowering.price import Prices
from accelsim.lowering.program import Program
from accelsim.lowering.target import Target
from accelsim.results.accounting import picojoules, run_result
from accelsim.results.records import RunResult

MOST_TILES = 1_000_000
"""Of a Program that is played tile by tile: half a second. Of more, leaps may be shorter."""

UNHEARD = 30_000_000
"""Tiles that compiled code plays at most: for ten seconds, in which Ctrl-C is not heard."""

QUICKER = 40
"""Tiles that compiled code plays while Python plays one."""


class Player:
    """Plays programs; those of whole networks once, as it remembers their times.

    What differs in names alone has the same layers, under the same dataflows. When its `patience`
    is over, compiled code plays.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._played: list[tuple[Program, list[LayerTimes]]] = []
        self._prices: Prices | None = None

    def times(self, program: Program) -> list[LayerTimes]:
        """When the layers ran."""
        for known, times in self._played:
            if known.layers is program.layers and known.flows == program.flows:
                return times
        times = self._compiled(program) or self._by_simpy(program)
        if len(program.layers) == len(program.network.layers):
            self._played.append((program, times))
        return times

    def cycles(self, program: Program) -> int:
        """When the last layer ended; one by itself begins when its first filters have come.

        DRAM takes as long for these, whatever else is done meanwhile.
        """
        if not can_be_alone(program):
            return _end(self.times(program))
        begun = program.begun
        if begun is program:
            return self._alone(program)
        return max(self._alone(begun), program.layers[0].dram_cycles(program.target))

    def _alone(self, program: Program) -> int:
        """When one layer has ended."""
        times = self._compiled(program)
        if times is not None:
            return _end(times)
        prices, turns = self._prices_on(program.target), self._turns(program)
        try:
            with self._patience.counting():
                return cycles_alone(program, prices, turns)
        except ShortLeapsError:
            times = self._tried(program)
            return cycles_alone(program, prices) if times is None else _end(times)

    def _compiled(self, program: Program) -> list[LayerTimes] | None:
        """The times, if compiled code pays; it plays tile by tile, so very many are for leaps."""
        if program.tiles > MOST_TILES or not self._is_there(program):
            return None
        return self._tried(program)

    def _is_there(self, program: Program) -> bool:
        """Whether compiled code pays, were there no leaps: they are long where one array works."""
        return self._patience.is_over(program.tiles * (program.target.arrays > 1))

    def _turns(self, program: Program) -> float:
        """How many turns leaps have before compiled code takes over: as long as that would take.

        So it takes at most twice as long as it might have. One of the arrays looks for all.
        """
        if not MOST_TILES < program.tiles <= UNHEARD or not self._is_there(program):
            return inf
        return program.tiles // (QUICKER * program.target.arrays)

    def _tried(self, program: Program) -> list[LayerTimes] | None:
        """What compiled code says, if there is any that works."""
        from accelsim.engine.compiled.play import play_compiled

        prices = self._prices_on(program.target)
        return self._patience.tried(lambda: play_compiled(program, prices))

    def _by_simpy(self, program: Program) -> list[LayerTimes]:
        prices, turns = self._prices_on(program.target), self._turns(program)
        try:
            with self._patience.counting():
                return play(program, prices=prices, turns=turns)
        except ShortLeapsError:
            return self._tried(program) or play(program, prices=prices)

    def _prices_on(self, target: Target) -> Prices:
        """What has a price there; of one target at a time."""
        if self._prices is None or self._prices.target != target:
            self._prices = Prices(target)
        return self._prices

    def cost(self, program: Program) -> float:
        """What it costs by the objective of its target."""
        return self.cost_together([program])

    def cost_together(self, programs: Sequence[Program]) -> float:
        """What programs cost one after another; energy needs no playing."""
        objective = programs[0].target.objective
        cycles = 0 if objective == "energy" else sum(map(self.cycles, programs))
        energy = 0.0 if objective == "time" else fsum(map(picojoules, programs))
        return cast(float, weighed(objective, cycles, energy))


def _end(times: Sequence[LayerTimes]) -> int:
    """When the last layer ended."""
    return max((time.end for time in times), default=0)


def timed(program: Program, player: Player | None = None) -> RunResult:
    """Play a Program in time, if `player` has not yet, and report it."""
    return run_result(program, (player or Player()).times(program))
