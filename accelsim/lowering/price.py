"""Prices: the room and the cycles of every task, found before anything is played.

The engine reads these numbers only. Equal steps are one object, so each is priced once, and the
schedules of layers of one shape are one priced nest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from accelsim.dram.transfer import Runs
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.schedule import Nest, Repeat, Schedule
from accelsim.lowering.target import Target
from accelsim.lowering.task import Load, Room, Step, Transfer


class Ask(NamedTuple):
    """What a task asks for before it is computed: room, and a transfer into it.

    `cycles` are those on the DRAM channel; None: there is no transfer. It `needs_inputs` of the
    layer or only its filters. The psums that it brings must have been stored by the task so many
    `behind`; 0: it brings none.
    """

    room: Room
    cycles: int | None
    needs_inputs: bool
    behind: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PricedStep:
    """A task as the engine sees it.

    Room and transfers that it asks for in turn, `cycles` of its unit, room that it `closes` then.
    Its last result leaves the unit `tail` cycles later, is moved for `move_cycles` into the buffer
    `moves_into`, which `frees` room; then it is stored for `store_cycles` of the channel, which
    frees `stored`. What does not happen is None. `loads`: transfers among its `asks`.
    """

    asks: tuple[Ask, ...]
    loads: int
    cycles: int
    closes: tuple[Room, ...]
    tail: int
    move_cycles: int
    moves_into: int | None
    frees: Room | None
    store_cycles: int | None
    stored: Room | None
    finishes: bool

    @property
    def puts_away(self) -> bool:
        """Whether it has a result that leaves the unit."""
        return self.store_cycles is not None or self.moves_into is not None


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """`body`, `times` in a row."""

    body: "PricedNest"
    times: int


_content = attrgetter(*PricedStep.__slots__)

PricedNest = tuple[PricedStep | Loop, ...]


@dataclass(frozen=True, eq=False)
class Track:
    """A unit's tasks of a layer, on a core with so many `buffers`.

    `finishing` of them complete an ofmap tile; all take `cycles` on it.
    """

    schedule: Schedule
    nest: PricedNest
    finishing: int
    cycles: int
    buffers: int

    @cached_property
    def pair(self) -> tuple[int, ...]:
        """Bytes of each buffer for a task that is computed and the next one, where most."""
        return tuple(self.schedule.pair.get(buffer, 0) for buffer in range(self.buffers))


@dataclass(frozen=True, slots=True)
class PricedLayer:
    """A layer with the track of each array (or its vector unit)."""

    program: LayerProgram
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class PricedProgram:
    """A Program with all its prices."""

    program: Program
    layers: tuple[PricedLayer, ...]


def price(program: Program, prices: "Prices | None" = None) -> PricedProgram:
    """`program` with the cycles of every transfer and computation; `prices` if some are known."""
    prices = prices or Prices(program.target)
    layers = [
        PricedLayer(layer, tuple(map(prices.track, layer.schedules))) for layer in program.layers
    ]
    return PricedProgram(program, tuple(layers))


class Prices:
    """What has a price on a target already, for whoever owns this to drop.

    Equal steps, and equal nests of them, become one object.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.tracks: dict[Schedule, Track] = {}
        self.steps: dict[Step, PricedStep] = {}
        self.equal_steps: dict[tuple[object, ...], PricedStep] = {}
        self.nests: dict[PricedNest, PricedNest] = {}
        self.loops: dict[tuple[PricedNest, int], Loop] = {}
        self.transfers: dict[tuple[int, Runs, bool], int] = {}

    def track(self, schedule: Schedule) -> Track:
        track = self.tracks.get(schedule)
        if track is None:
            finishing = sum(count for step, count in schedule.counts if step.finishes)
            nest, buffers = self.nest(schedule.nest), len(self.target.buffers)
            track = self.tracks[schedule] = Track(
                schedule=schedule,
                nest=nest,
                finishing=finishing,
                cycles=schedule.cycles,
                buffers=buffers,
            )
        return track

    def nest(self, nest: Nest) -> PricedNest:
        priced = tuple(
            self.loop(self.nest(entry.body), entry.times)
            if isinstance(entry, Repeat)
            else self.steps.get(entry) or self.step(entry)
            for entry in nest
        )
        return self.nests.setdefault(priced, priced)

    def loop(self, body: PricedNest, times: int) -> Loop:
        loop = self.loops.get((body, times))
        if loop is None:
            loop = self.loops[body, times] = Loop(body, times)
        return loop

    def step(self, step: Step) -> PricedStep:
        keep, store = step.keep, step.store
        priced = PricedStep(
            asks=tuple(self.asks(step)),
            loads=len(step.loads),
            cycles=step.cycles,
            closes=step.closes,
            tail=step.work.tail,
            move_cycles=0 if keep is None else keep.cycles,
            moves_into=None if keep is None else keep.buffer,
            frees=None if keep is None else keep.room,
            store_cycles=None if store is None else self.transfer(store),
            stored=None if store is None else store.room,
            finishes=step.finishes,
        )
        priced = self.steps[step] = self.equal_steps.setdefault(_content(priced), priced)
        return priced

    def asks(self, step: Step) -> Iterator[Ask]:
        for room in step.reserves:
            yield Ask(room, None, needs_inputs=True)
        for load in step.loads:
            yield self.load(load)
        for room in step.opens:
            yield Ask(room, None, needs_inputs=True)

    def load(self, load: Load) -> Ask:
        return Ask(load.room, self.transfer(load), load.needs_inputs, load.behind)

    def transfer(self, transfer: Transfer) -> int:
        key = transfer.size, transfer.runs, transfer.is_write
        cycles = self.transfers.get(key)
        if cycles is None:
            cycles = self.transfers[key] = self.target.occupied_cycles(transfer)
        return cycles
