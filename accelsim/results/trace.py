"""A run tile by tile, in Chrome's trace format: for ui.perfetto.dev and chrome://tracing.

A track for each resource (the DRAM channel, each array and vector unit), one for the layers, and a
counter for the room that tiles take in each buffer. Written as the engine plays, so memory does
not grow with the run; nothing is leapt over, so time does, and what is long is refused.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from accelsim.engine.core import Loaded
from accelsim.engine.machine import LayerTimes, play
from accelsim.errors import InputError, Problem
from accelsim.files import streamed
from accelsim.lowering.program import Program
from accelsim.lowering.task import GemmTile, Span, Tile
from accelsim.results.under_way import TasksUnderWay

MOST_SLICES = 1_000_000
"""Tiles and transfers that are written at most, unless the caller says otherwise."""

BYTES_PER_SLICE = 300
"""About what a tile or a transfer takes, with its share of the counters."""

_PIXELS = ("batch", "rows", "cols")
_VECTOR = ("channels", "tap_rows", "tap_cols")
_GEMM = ("groups", "filters", *_VECTOR)
_PROCESS = 1
_DRAM, _UNITS, _LAYERS = 1, 10, 100_000
"""Numbers of the tracks: they are shown in this order."""


def slices(programs: Iterable[Program]) -> int:
    """Tiles and transfers of all programs."""
    layers = (layer for program in programs for layer in program.layers)
    steps = (each for layer in layers for steps in layer.steps for each in steps)
    return sum(count * (1 + len(step.transfers)) for step, count in steps)


def write_trace(programs: Sequence[Program], path: str, most: int = MOST_SLICES) -> None:
    """Play `programs`, one after another, and write what happens to `path`.

    Compressed where that ends in .gz. Raises InputError for more than `most` slices, before
    anything is played.
    """
    count = slices(programs)
    if count > most:
        message = (
            f"would have {count:,} tiles and transfers, about {count * BYTES_PER_SLICE / 1e9:,.1f} "
            f"GB, and at most {most:,} are written; trace fewer layers, a smaller batch, or a "
            "machine with larger buffers"
        )
        raise InputError(Problem(message=message, source=path))
    with streamed(path) as file:
        _write(programs, file)


def _write(programs: Sequence[Program], file: TextIO) -> None:
    first = programs[0]
    file.write('{"displayTimeUnit":"ns","otherData":')
    file.write(json.dumps(_metadata(first)))
    file.write(',\n"traceEvents":[\n')
    file.write(_line(_named("process_name", 0, f"{first.network.name} on {first.hardware.name}")))
    clock = first.hardware.clock
    lanes: list[int] = []
    start = 0
    for number, each in enumerate(programs):
        tracer = Tracer(each, file, start, named=number == 0)
        times = play(each, leaps=False, observer=tracer)
        tracer.close()
        for event in _layers(each, times, start, lanes):
            file.write(f",\n{_line(event)}")
        start += max((time.end for time in times), default=0)
    end = {"name": "end", "ph": "i", "s": "g", "pid": _PROCESS, "tid": _DRAM}
    file.write(f",\n{_line(end | {'ts': _micros(start, clock), 'args': {'cycle': start}})}\n]}}\n")


def _metadata(program: Program) -> dict[str, object]:
    """What the file is of, and how its times are meant."""
    from accelsim import __version__

    clock = program.hardware.clock
    return {
        "made_by": f"accelsim {__version__}",
        "network": program.network.name,
        "hardware": program.hardware.name,
        "dataflow": program.hardware.array.dataflow,
        "batch": program.batch,
        "clock_hz": clock,
        "nanoseconds_per_cycle": 1e9 / clock,
        "times": "simulated time: one cycle is one nanosecond at 1 GHz, and as much longer as the "
        "clock is slower, rounded to a nanosecond; args give cycles exactly",
    }


class Tracer:
    """Observes a program that is played from cycle `start` on, and writes what happens."""

    def __init__(self, program: Program, file: TextIO, start: int, named: bool) -> None:
        self.file = file
        self.start = start
        self.clock = program.hardware.clock
        self.tasks = TasksUnderWay()
        self.rooms: dict[tuple[int, str], tuple[int, int]] = {}  # size, since when
        if named:
            self.name_tracks(program)

    def name_tracks(self, program: Program) -> None:
        """Say what the tracks are called."""
        self.write(_named("thread_name", _DRAM, "DRAM port"))
        several = program.target.arrays > 1
        for core in range(program.target.arrays):
            for unit in ("array", "vector"):
                name = {"array": "array", "vector": "vector unit"}[unit]
                suffix = f" {core}" if several else ""
                self.write(_named("thread_name", _track(core, unit), name + suffix))

    # --- As the engine calls it -------------------------------------------------------------------

    def begins(self, task: Loaded) -> None:
        self.tasks.begins(task)

    def computes(self, task: Loaded, at: int) -> None:
        its = self.tasks.computes(task)
        unit = its.layer.unit
        done = {"macs" if unit == "array" else "operations": its.step.work.operations}
        args = {**done, "layer": its.layer.layer.name, **_spans(its.tile)}
        self.slice(its.name, _track(its.core, unit or ""), at, its.step.cycles, args)

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        its, transfer = self.tasks.transfers(task, is_write)
        way = "write" if is_write else "read"
        args = {"bytes": transfer.size, "way": way, "operand": transfer.operand}
        name = f"{its.name}: {way} {transfer.operand}"
        whose = {"layer": its.layer.layer.name, "core": its.core}
        self.slice(name, _DRAM, at, cycles, args | whose)

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        known = self.rooms.get((core, buffer))
        if known is not None and known[1] != at:
            self.count(core, buffer, *known)
        self.rooms[core, buffer] = size, at

    def close(self) -> None:
        """Write what is left."""
        for (core, buffer), known in self.rooms.items():
            self.count(core, buffer, *known)

    # --- Writing ----------------------------------------------------------------------------------

    def slice(self, name: str, track: int, at: int, cycles: int, args: dict[str, Any]) -> None:
        self.write(_slice(name, track, (self.start + at, cycles), self.clock, args))

    def count(self, core: int, buffer: str, size: int, at: int) -> None:
        """Tiles of `size` bytes are in a buffer."""
        name = f"room taken in {buffer}" + (f" of array {core}" if core else "")
        when = _micros(self.start + at, self.clock)
        event = {"name": name, "ph": "C", "pid": _PROCESS, "tid": 0, "ts": when}
        self.write(event | {"args": {"bytes": size}})

    def write(self, event: dict[str, Any]) -> None:
        self.file.write(f",\n{_line(event)}")


def _spans(tile: Tile) -> dict[str, str]:
    """Which coordinates a tile has, as `first:behind the last`."""
    parts: dict[str, Span] = {name: getattr(tile.pixels, name) for name in _PIXELS}
    names = _GEMM if isinstance(tile, GemmTile) else _VECTOR
    parts |= {name: getattr(tile, name) for name in names}
    return {name: f"{span.start}:{span.stop}" for name, span in parts.items()}


def _layers(
    program: Program, times: Sequence[LayerTimes], start: int, lanes: list[int]
) -> Iterator[dict[str, Any]]:
    """A slice for each layer, on the first track free; `lanes` are till when each is taken."""
    clock = program.hardware.clock
    order = sorted(zip(times, program.layers, strict=True), key=lambda one: one[0].start)
    for time, layer in order:
        if not layer.tiles:
            continue
        begin, end = start + time.start, start + time.end
        lane = next((number for number, until in enumerate(lanes) if until <= begin), len(lanes))
        if lane == len(lanes):
            lanes.append(0)
            yield _named("thread_name", _LAYERS + lane, f"layers {lane + 1}")
        lanes[lane] = end
        moved = layer.dram
        args = {
            "macs": layer.operations if layer.unit == "array" else 0,
            "dram_read_bytes": moved.read_bytes,
            "dram_write_bytes": moved.write_bytes,
            "tiles": layer.tiles,
        }
        yield _slice(layer.layer.name, _LAYERS + lane, (begin, end - begin), clock, args)


def _slice(
    name: str, track: int, span: tuple[int, int], clock: int, args: dict[str, Any]
) -> dict[str, Any]:
    """Something that takes a time: `span` is its first cycle, and how many."""
    start, cycles = span
    begin, end = (_nanoseconds(cycle, clock) for cycle in (start, start + cycles))
    return {
        "name": name,
        "ph": "X",
        "pid": _PROCESS,
        "tid": track,
        "ts": begin / 1000,
        "dur": (end - begin) / 1000,
        "args": {"cycle": start, "cycles": cycles, **args},
    }


def _track(core: int, unit: str) -> int:
    return _UNITS + 2 * core + (unit == "vector")


def _named(kind: str, track: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": track, "args": {"name": name}}


def _nanoseconds(cycle: int, clock: int) -> int:
    return (2 * cycle * 10**9 + clock) // (2 * clock)


def _micros(cycle: int, clock: int) -> float:
    return _nanoseconds(cycle, clock) / 1000


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))
