"""The layers in flight: when their inputs exist, when they are done, and which comes next."""

from dataclasses import dataclass, field

import simpy

from accelsim.engine.memory import Clock
from accelsim.lowering.program import LayerProgram


@dataclass(slots=True)
class Timeline:
    """What one unit saw of a layer, in cycles.

    `begun`: its first transfer or tile. `computed`: the unit is done with its last tile.
    `stored`: the last store is. The waits lie between, `tail` is how long after `computed`
    the last result left a pipelined array.
    """

    begun: int
    computed: int = 0
    stored: int = 0
    tail: int = 0
    read_wait: int = 0
    write_wait: int = 0
    other_layer: int = 0


@dataclass(slots=True, eq=False)
class LayerRun:
    """A layer being played: `inputs` fires when its ifmaps exist, `done` when its ofmap does.

    Both in DRAM or on chip; `inputs` waits for the layer's room too, and `filters` for theirs.
    `unfinished` counts the ofmap tiles to come, `timelines` has one for each core at work.
    """

    program: LayerProgram
    inputs: simpy.Event
    filters: simpy.Event
    done: simpy.Event
    unfinished: int
    ready_at: int = 0
    timelines: dict[int, Timeline] = field(default_factory=dict)

    def note_ready(self, inputs: simpy.Event) -> None:
        """Remember when the inputs came to exist."""
        self.ready_at = int(inputs.env.now)

    def store_finished(self) -> None:
        """Count a finished ofmap tile; the last one completes the layer."""
        self.unfinished -= 1
        if not self.unfinished:
            self.done.succeed()


def layer_runs(env: Clock, programs: tuple[LayerProgram, ...]) -> list[LayerRun]:
    """A run for every layer, each waiting for the layers it needs."""
    runs: list[LayerRun] = []
    for program in programs:
        placement = program.placement
        inputs = env.all_of([runs[i].done for i in (*program.needs, *placement.follows)])
        filters = env.all_of([runs[i].done for i in placement.filters_follow])
        counts = (count for steps in program.steps for step, count in steps if step.finishes)
        done = env.event() if program.unit else inputs
        run = LayerRun(program, inputs, filters, done, sum(counts))
        if inputs.callbacks is not None:
            inputs.callbacks.append(run.note_ready)
        runs.append(run)
    return runs


def next_run(waiting: list[LayerRun]) -> LayerRun:
    """Take the first layer whose inputs exist; if none, the first, whose filters can load.

    The layers wait in an order that can run, so the first one's producers are all under way,
    and a loader that commits to it cannot block them.
    """
    for index, run in enumerate(waiting):
        if run.inputs.triggered:
            return waiting.pop(index)
    return waiting.pop(0)
