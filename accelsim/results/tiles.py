"""A run tile by tile, as it is drawn: who did what from when to when, and the room taken.

What `trace` writes to a file, kept in memory as short text: slices that are alike but for their
place are one word of a list, so that GoogLeNet's 13,000 take some 100 kB.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.lowering.program import Program
from accelsim.results.trace import slices
from accelsim.results.under_way import TasksUnderWay, TaskUnderWay

MOST_SLICES = 100_000
"""Tiles and transfers that are kept at most: some 8 seconds of playing."""

WORK = "work"


@dataclass(frozen=True, slots=True)
class Slice:
    """A tile at work, or a transfer of it: `amount` are MACs, lane operations or bytes.

    `layer` is its place among the run's layers, `tile` its number in the layer on its core, from 1.
    """

    start: int
    cycles: int
    layer: int
    tile: int
    what: str
    amount: int


@dataclass(frozen=True, slots=True)
class Room:
    """A buffer of a core: its bytes, and those that tiles take from a cycle on."""

    size: int
    taken: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Slices by resource (DRAM port, array 0, ...) in order of their starts; rooms by buffer."""

    tracks: Mapping[str, tuple[Slice, ...]]
    rooms: Mapping[str, Room]

    def as_dict(self) -> dict[str, Any]:
        """The short form: `words` once each, and which of them follow each other.

        A word of a track is gap since the slice before, cycles, layers further, tiles further,
        what, amount; one of a room cycles since, bytes more.
        """
        return {
            "tracks": {name: _told(_steps(some)) for name, some in self.tracks.items()},
            "rooms": {
                name: {"size": room.size, **_told(_rises(room))}
                for name, room in self.rooms.items()
            },
        }


def played_tiles(programs: Sequence[Program]) -> Tiles | None:
    """What happens in `programs`, one after another; None of more than `MOST_SLICES`."""
    if slices(programs) > MOST_SLICES:
        return None
    names = dict.fromkeys(layer.layer.name for each in programs for layer in each.layers)
    recorder = Recorder(layers={name: place for place, name in enumerate(names)})
    for program in programs:
        recorder.tasks = TasksUnderWay()
        times = play(program, leaps=False, observer=recorder)
        recorder.start += max((time.end for time in times), default=0)
    return recorder.tiles(programs[0])


@dataclass(slots=True)
class Recorder:
    """Observes programs that are played one after another, and keeps what happens.

    The one that is played begins at cycle `start`; `layers` are the places of the run's layers.
    """

    layers: Mapping[str, int]
    start: int = 0
    tracks: dict[tuple[int, str], list[Slice]] = field(default_factory=dict)
    rooms: dict[tuple[int, str], list[tuple[int, int]]] = field(default_factory=dict)
    tasks: TasksUnderWay = field(default_factory=TasksUnderWay)

    def begins(self, task: Loaded) -> None:
        self.tasks.begins(task)

    def computes(self, task: Loaded, at: int) -> None:
        its = self.tasks.computes(task)
        work = self.slice(its, at, its.step.cycles, WORK, its.step.work.operations)
        self.keep((its.core, its.layer.unit or ""), work)

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        its, transfer = self.tasks.transfers(task, is_write)
        way = f"{'write' if is_write else 'read'} {transfer.operand}"
        self.keep((-1, "dram"), self.slice(its, at, cycles, way, transfer.size))

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        known = self.rooms.setdefault((core, buffer), [])
        if known and known[-1][0] == self.start + at:
            known.pop()
        known.append((self.start + at, size))

    def slice(self, its: TaskUnderWay, at: int, cycles: int, what: str, amount: int) -> Slice:
        """What a task does from a cycle on."""
        return Slice(
            start=self.start + at,
            cycles=cycles,
            layer=self.layers[its.layer.layer.name],
            tile=its.number,
            what=what,
            amount=amount,
        )

    def keep(self, track: tuple[int, str], found: Slice) -> None:
        """One slice more."""
        self.tracks.setdefault(track, []).append(found)

    def tiles(self, program: Program) -> Tiles:
        """All that was kept, with names."""
        several = program.target.arrays > 1
        sizes = {space.name: space.size for space in program.target.buffers}
        tracks = sorted(self.tracks.items())
        return Tiles(
            {_named(core, unit, several): tuple(some) for (core, unit), some in tracks},
            {
                f"{name} {core}" if several else name: Room(sizes[name], tuple(taken))
                for (core, name), taken in sorted(self.rooms.items())
            },
        )


def _named(core: int, unit: str, several: bool) -> str:
    name = {"array": "array", "vector": "vector unit", "dram": "DRAM port"}[unit]
    return f"{name} {core}" if several and core >= 0 else name


Word = tuple[int | str, ...]


def _steps(some: Sequence[Slice]) -> Iterator[Word]:
    """Each slice by what is other than in the one before."""
    end = layer = tile = 0
    for each in some:
        further = each.layer - layer
        number = each.tile - (0 if further else tile)
        yield each.start - end, each.cycles, further, number, each.what, each.amount
        end, layer, tile = each.start + each.cycles, each.layer, each.tile


def _rises(room: Room) -> Iterator[Word]:
    at = size = 0
    for cycle, taken in room.taken:
        yield cycle - at, taken - size
        at, size = cycle, taken


def _told(words: Iterator[Word]) -> dict[str, Any]:
    """The different words, and the places of those that follow each other."""
    known: dict[Word, int] = {}
    order = [known.setdefault(word, len(known)) for word in words]
    return {"words": [list(word) for word in known], "order": order}
