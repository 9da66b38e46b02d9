"""Lays a priced Program out in the one memory that compiled code plays on (see `records`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from accelsim.engine.compiled import records as r
from accelsim.engine.compiled.records import Memory
from accelsim.engine.machine import total_cycles
from accelsim.lowering.price import (
    Loop,
    PricedLayer,
    PricedNest,
    PricedProgram,
    PricedStep,
    Track,
)
from accelsim.lowering.target import BufferSpace
from accelsim.lowering.task import Room

KINDS = ("array", "vector")


@dataclass(frozen=True, slots=True)
class Laid:
    """A Program in memory, before its first cycle and without what grows: see `with_place_for`.

    `layers` and `gates` are addresses in the order of the layers; `parts` of each layer by core.
    """

    memory: Memory
    layers: list[int]
    gates: Memory
    parts: list[dict[int, int]]


def laid(priced: PricedProgram) -> Laid:
    """A priced Program in memory."""
    return _Layout(priced).laid()


def with_place_for(memory: Memory, most: int) -> Memory:
    """A copy with place for so many tasks under way, transfers that wait and events to come."""
    units = range(memory[r.UNITS], memory[r.UNITS_END], r.UNIT)
    items, end = len(memory), len(memory) + r.LOADED * most
    requests, end = end, end + r.REQUEST * most
    agenda, end = end, end + r.EVENT * most
    calls, end = end, end + r.CALL * most
    soon, end = end, end + most
    grown = np.zeros(end + most * len(units), np.int64)
    grown[: len(memory)] = memory
    for place, unit in enumerate(units):
        grown[unit + r.SPILLED] = end + most * place
    for first, size, link in ((items, r.LOADED, r.NEXT), (requests, r.REQUEST, r.AFTER)):
        records = first + size * np.arange(most)
        grown[records[:-1] + link] = records[1:]
    grown[[r.MOST, r.FREE_ITEM, r.FREE_REQUEST]] = most, items, requests
    grown[[r.AGENDA, r.CALLS, r.SOON]] = agenda, calls, soon
    return grown


class _Layout:
    """Records, each at the end of those before."""

    def __init__(self, priced: PricedProgram) -> None:
        self.priced = priced
        self.target = priced.program.target
        self.memory = [0] * r.MACHINE
        self.steps: dict[PricedStep, int] = {}
        self.nests: dict[PricedNest, int] = {}
        self.depths: dict[int, int] = {}

    def put(self, record: Sequence[int]) -> int:
        """Write a record; its address."""
        address = len(self.memory)
        self.memory += record
        return address

    def leave(self, size: int) -> int:
        """Place for a record that is written later."""
        return self.put([0] * size)

    def write(self, address: int, fields: Mapping[int, int]) -> None:
        """Write some fields of a record."""
        for field, value in fields.items():
            self.memory[address + field] = value

    def laid(self) -> Laid:
        """All of it."""
        layers, gates = self.layers()
        parts = [
            self.parts(layer, at) for layer, at in zip(self.priced.layers, layers, strict=True)
        ]
        self.machine(parts)
        memory = np.array(self.memory, np.int64)
        return Laid(memory, layers, np.array(gates, np.int64), parts)

    # --- What is to be done -----------------------------------------------------------------------

    def nest(self, nest: PricedNest) -> int:
        """A nest, each once, after those within it."""
        address = self.nests.get(nest)
        if address is None:
            entries: list[int] = []
            depth = 1
            for entry in nest:
                if isinstance(entry, Loop):
                    body = self.nest(entry.body)
                    entries += (body, entry.times)
                    depth = max(depth, 1 + self.depths[body])
                else:
                    entries += (self.steps.get(entry) or self.step(entry), 0)
            first = self.put(entries)
            address = self.nests[nest] = self.put((first, first + len(entries)))
            self.depths[address] = depth
        return address

    def step(self, step: PricedStep) -> int:
        """A step with all that it asks for and closes."""
        asks = [
            number
            for ask in step.asks
            for number in (*ask.room, _or_none(ask.cycles), ask.needs_inputs, ask.behind)
        ]
        closes = [number for room in step.closes for number in room]
        first_ask = len(self.memory)
        first_close = first_ask + len(asks)
        record = [step.cycles, step.tail, step.loads, step.puts_away, step.finishes]
        record += [_or_none(step.store_cycles), step.move_cycles, _or_none(step.moves_into)]
        record += [*_room(step.frees), *_room(step.stored)]
        record += [first_ask, first_close, first_close, first_close + len(closes)]
        self.memory += (*asks, *closes)
        address = self.steps[step] = self.put(record)
        return address

    # --- Layers -----------------------------------------------------------------------------------

    def layers(self) -> tuple[list[int], list[int]]:
        """The layers, and the gates that they wait for: of each, for its inputs and filters."""
        layers = self.priced.layers
        gates = [self.leave(self.gate_size) for _ in range(2 * len(layers))]
        done = [
            inputs if layer.program.unit is None else self.leave(self.gate_size)
            for layer, inputs in zip(layers, gates[::2], strict=True)
        ]
        self.note_waiting(gates, done)
        flows, spaces = self.flows(), self.spaces()
        records = [
            (
                *(flows[at], sum(bool(track.nest) for track in layer.tracks)),
                *(gates[2 * at], gates[2 * at + 1], done[at], *spaces[at]),
            )
            for at, layer in enumerate(layers)
        ]
        return list(map(self.put, records)), gates

    def note_waiting(self, gates: list[int], done: list[int]) -> None:
        """Write the gates: which of them wait for which, in the order of asking."""
        waiting: dict[int, list[int]] = {gate: [] for gate in (*gates, *done)}
        needs = dict.fromkeys(waiting, 0)
        for gate, needed in zip(gates, self.needs(), strict=True):
            needs[gate] = len(needed)
            for layer in needed:
                waiting[done[layer]].append(gate)
        for gate, others in waiting.items():
            first = self.put(others)
            end = first + len(others)
            self.write(gate, {r.NEEDS: needs[gate], r.WAITING: first, r.WAITING_END: end})

    def needs(self) -> Iterator[tuple[int, ...]]:
        """The layers that must be done first: for a layer's inputs and room, for its filters."""
        for layer in self.priced.layers:
            placement = layer.program.placement
            yield (*layer.program.needs, *placement.follows)
            yield tuple(placement.filters_follow)

    def flows(self) -> list[int]:
        """The dataflow of each layer, by number; 0: it has none, or all have one."""
        flows = self.priced.program.dataflows or (None,) * len(self.priced.layers)
        numbers = dict(zip(dict.fromkeys(filter(None, flows)), count(1), strict=False))
        return [0 if flow is None else numbers[flow] for flow in flows]

    def spaces(self) -> list[tuple[int, ...]]:
        """For each layer by buffer, which of that one's sizes of spaces its tiles lie in."""
        return [
            tuple(sizes.index(size) for sizes, size in zip(self.space_sizes, of, strict=True))
            for of in (layer.program.spaces for layer in self.priced.layers)
        ]

    @cached_property
    def space_sizes(self) -> list[list[int]]:
        """By buffer, the different spaces of it that layers have, the least first."""
        of_layers = [layer.program.spaces for layer in self.priced.layers]
        return [sorted({*sizes}) for sizes in zip(*of_layers, strict=True)]

    def parts(self, layer: PricedLayer, address: int) -> dict[int, int]:
        """The parts of the cores that have tasks of a layer."""
        return {
            core: self.put(self.part(track, address))
            for core, track in enumerate(layer.tracks)
            if track.nest
        }

    def part(self, track: Track, layer: int) -> list[int]:
        """A core's part of a layer."""
        timeline = [0] * (r.PAIRS - r.OPEN)
        begun = [layer, self.nest(track.nest), track.finishing, track.cycles]
        pair = track.pair if self.units_meet else [0] * len(self.buffers)
        return [*begun, *timeline, *pair]

    @cached_property
    def units_meet(self) -> bool:
        """Whether both kinds of units have tasks: else nobody leaves room for another's pair."""
        return {*KINDS} <= {layer.program.unit for layer in self.priced.layers}

    # --- The machine ------------------------------------------------------------------------------

    @property
    def buffers(self) -> tuple[BufferSpace, ...]:
        """Those of a core."""
        return self.target.buffers

    @property
    def gate_size(self) -> int:
        """A gate, and the loaders that may wait for it."""
        return r.LOADERS + 1 + 2 * 2 * self.target.arrays

    def machine(self, parts: list[dict[int, int]]) -> None:
        """The machine's own record."""
        target, array = self.target, self.priced.program.hardware.array
        rooms, room_size = self.rooms()
        units = self.units(parts, rooms)
        record = {
            r.WRITING: -1,
            r.LATENCY: target.dram_latency,
            r.TO_READ: target.turnaround_cycles[0],
            r.TO_WRITE: target.turnaround_cycles[1],
            r.CHANGEOVER: array.changeover_cycles,
            r.UNITS: units,
            r.UNITS_END: units + r.UNIT * 2 * target.arrays,
            r.BUFFERS: len(self.buffers),
            r.ROOM_SIZE: room_size,
        }
        self.write(0, record)

    def rooms(self) -> tuple[list[int], int]:
        """Where each core's buffers begin, and how far apart they are."""
        ranges = [(address := self.put(each), address + len(each)) for each in self.space_sizes]
        width = r.TAKEN + max(map(len, self.space_sizes))
        firsts = []
        for _ in range(self.target.arrays):
            firsts.append(len(self.memory))
            for index, (buffer, spaces) in enumerate(zip(self.buffers, ranges, strict=True)):
                record = [-1, -1, 0, 0, 0, index, buffer.size, *spaces]
                self.put(record + [0] * (width - len(record)))
        return firsts, width

    def units(self, parts: list[dict[int, int]], rooms: list[int]) -> int:
        """The address of the first unit: each core's array, then its vector unit."""
        depth = 1 + max(self.depths.values(), default=0)
        totals = [total_cycles(self.priced.program, kind) for kind in KINDS]
        places = [(core, kind) for core in range(self.target.arrays) for kind in range(2)]
        to_play = [self.put(self.to_play(parts, *place)) for place in places]
        frames = [self.leave(r.FRAME_SIZE * depth) for _ in places]
        first = self.leave(r.UNIT * len(places))
        for at, (core, kind) in enumerate(places):
            record = {
                r.TOTAL: totals[kind],
                r.FRAME: frames[at] - r.FRAME_SIZE,
                r.FRAMES: frames[at],
                r.TO_PLAY: to_play[at],
                r.KIND: kind,
                r.OTHER: first + r.UNIT * (at ^ 1),
                r.ROOMS: rooms[core],
            }
            self.write(first + r.UNIT * at, record)
        return first

    def to_play(self, parts: list[dict[int, int]], core: int, kind: int) -> list[int]:
        """The parts that a unit plays, in order; none after the last."""
        layers = zip(self.priced.layers, parts, strict=True)
        mine = [of[core] for layer, of in layers if self.kind(layer) == kind and core in of]
        return [*mine, 0]

    @staticmethod
    def kind(layer: PricedLayer) -> int | None:
        """The kind of unit that plays a layer; None: none has to."""
        unit = layer.program.unit
        return None if unit is None else KINDS.index(unit)


def _or_none(number: int | None) -> int:
    return -1 if number is None else number


def _room(room: Room | None) -> tuple[int, int]:
    return (-1, 0) if room is None else room
