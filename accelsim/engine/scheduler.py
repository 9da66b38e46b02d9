"""The layers in flight: when their inputs exist, when they are done, and which comes next."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
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
    each core at work. `dataflow` is the array's, where layers have different ones. `queues` are of
    the units that it waits for, and its places there.
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
    queues: "list[tuple[Queue, int]]" = field(default_factory=list)

    @property
    def at_work(self) -> tuple[int, ...]:
        """The cores that have tasks left of what they have begun with."""
        return tuple([core for core, part in self.begun.items() if part.left])

    def note_ready(self, inputs: simpy.Event) -> None:
        """Remember when the inputs came to exist."""
        self.ready_at = int(inputs.env.now)

    def look(self, _: simpy.Event) -> None:
        """Tell its units once the inputs exist."""
        if self.inputs.triggered:
            for queue, place in self.queues:
                queue.note(place)

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
        for index in {*program.needs, *placement.follows}:
            made = runs[index].done.callbacks
            assert made is not None, "nothing has happened yet"
            made.append(run.look)  # behind what `inputs` does then
        runs.append(run)
    return runs


class Queue:
    """The layers that a unit has still to turn to.

    They wait in an order that can run, so the first one's producers are all under way, and a
    loader that commits to it cannot block them.
    """

    def __init__(self, runs: Sequence[LayerRun]) -> None:
        self.waiting = dict(enumerate(runs))
        self.first = 0  # nobody waits before
        self.ready: list[int] = []  # places of those whose inputs exist, the first one on top
        for place, run in self.waiting.items():
            run.queues.append((self, place))
            if run.inputs.triggered:
                self.note(place)

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def note(self, place: int) -> None:
        """The inputs of a layer exist now."""
        if place in self.waiting:
            heappush(self.ready, place)

    def take(self) -> LayerRun:
        """The first layer whose inputs exist; if none, the first, whose filters can load."""
        while self.ready:
            place = heappop(self.ready)
            if place in self.waiting:
                return self.waiting.pop(place)
        while self.first not in self.waiting:
            self.first += 1
        return self.waiting.pop(self.first)
