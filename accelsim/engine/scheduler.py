"""The layers in flight: when their inputs exist, when they are done, and which comes next."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from accelsim.engine.clock import Clock
from accelsim.lowering.price import PricedLayer, Track
from accelsim.lowering.program import LayerProgram

if TYPE_CHECKING:
    from accelsim.engine.core import Part


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
    `parts` are at work or to come, those `begun` with are loaded, by core. `timelines` has one for
    each core at work. `dataflow` is the array's, where layers have different ones.
    """

    program: LayerProgram
    tracks: tuple[Track, ...]
    inputs: simpy.Event
    filters: simpy.Event
    done: simpy.Event
    parts: int
    ready_at: int = 0
    timelines: dict[int, Timeline] = field(default_factory=dict)
    begun: "dict[int, Part]" = field(default_factory=dict)
    dataflow: str | None = None

    @property
    def at_work(self) -> tuple[int, ...]:
        """The cores that have tasks left of what they have begun with."""
        return tuple([core for core, part in self.begun.items() if part.left])

    def note_ready(self, inputs: simpy.Event) -> None:
        """Remember when the inputs came to exist."""
        self.ready_at = int(inputs.env.now)

    def part_finished(self) -> None:
        """Count a core's part; the last one completes the layer."""
        self.parts -= 1
        if not self.parts:
            self.done.succeed()


def layer_runs(clock: Clock, layers: tuple[PricedLayer, ...]) -> list[LayerRun]:
    """A run for every layer, each waiting for the layers it needs."""
    runs: list[LayerRun] = []
    for layer in layers:
        program = layer.program
        placement = program.placement
        inputs = clock.all_of([runs[i].done for i in (*program.needs, *placement.follows)])
        filters = clock.all_of([runs[i].done for i in placement.filters_follow])
        run = LayerRun(
            program=program,
            tracks=layer.tracks,
            inputs=inputs,
            filters=filters,
            done=clock.event() if program.unit else inputs,
            parts=sum(bool(track.nest) for track in layer.tracks),
        )
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
