"""The whole machine: cores, DRAM and the layers of a Program, played to the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from accelsim.engine.clock import Clock
from accelsim.engine.core import Core
from accelsim.engine.leap import Leaper
from accelsim.engine.observed import Observer, Parts
from accelsim.engine.scheduler import LayerRun, Queue, Timeline, layer_runs
from accelsim.errors import SimulationError
from accelsim.lowering.price import Prices, price
from accelsim.lowering.program import Program


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """When a layer ran, and what the core that finished it last waited for, in cycles.

    start + other_layer + waits + work + tail + store wait = end. `core` is that last core.
    """

    start: int
    end: int
    core: int
    other_layer: int
    read_wait: int
    write_wait: int
    tail: int


def play(
    program: Program,
    leaps: bool = True,
    observer: Observer | None = None,
    prices: Prices | None = None,
    turns: float = inf,
) -> list[LayerTimes]:
    """Simulate `program` and return the times of its layers, in its order.

    Without `leaps` every tile is played, also where all goes on as before; the times are the same.
    An `observer` hears of all that is played. `prices` are those that are known.
    Raises SimulationError if a layer cannot finish; the message says what each waits for. And
    ShortLeapsError where more than so many `turns` of loops are looked at for leaps.
    """
    clock, target = Clock(), program.target
    runs = layer_runs(clock, price(program, prices).layers)
    for run, dataflow in zip(runs, program.dataflows, strict=False):  # none where all have one
        run.dataflow = dataflow
    changeover = program.hardware.array.changeover_cycles
    parts = Parts(clock, observer)
    dram = parts.channel(target.dram_latency, target.turnaround_cycles)
    leaper = Leaper(clock) if leaps else None
    if leaper is not None:
        leaper.met.turns, dram.contests = turns, leaper.contests
    cores = [
        Core(
            clock=clock,
            index=index,
            buffers=parts.buffers(target.buffers, index),
            dram=dram,
            leaper=leaper,
            changeover=changeover,
        )
        for index in range(target.arrays)
    ]
    for core in cores:
        for unit in ("array", "vector"):
            waiting = [run for run in runs if _has_part(run, unit, core.index)]
            parts.unit(core, Queue(waiting), total_cycles(program, unit))
    clock.run()
    stuck = [run for run in runs if not run.done.processed]
    if stuck:
        raise SimulationError(_who_waits(stuck, cores))
    return [layer_times(run.ready_at, run.timelines) for run in runs]


def _has_part(run: LayerRun, unit: str, array: int) -> bool:
    """Whether there are tiles of a layer for the unit of an array."""
    return run.program.unit == unit and bool(run.tracks[array].nest)


def total_cycles(program: Program, unit: str) -> int:
    """Cycles of all tasks of all arrays, or vector units: none of them is above the others."""
    schedules = (layer.schedules for layer in program.layers if layer.unit == unit)
    return sum(schedule.cycles for each in schedules for schedule in each)


def layer_times(ready_at: int, lines: Mapping[int, Timeline]) -> LayerTimes:
    """When a layer ran whose inputs were there in cycle `ready_at`, of what each core saw."""
    if not lines:  # an alias is done when its inputs are
        return LayerTimes(
            start=ready_at, end=ready_at, core=0, other_layer=0, read_wait=0, write_wait=0, tail=0
        )
    start = max(ready_at, min(line.begun for line in lines.values()))
    core = max(lines, key=lambda index: (lines[index].stored, -index))
    line = lines[core]
    late = max(ready_at, line.begun) - start
    tail = min(line.tail, line.stored - line.computed)
    storing = line.stored - line.computed - tail
    return LayerTimes(
        start=start,
        end=line.stored,
        core=core,
        other_layer=late + line.other_layer,
        read_wait=line.read_wait,
        write_wait=line.write_wait + storing,
        tail=tail,
    )


def _unfinished(run: LayerRun, cores: list[Core]) -> int:
    """Ofmap tiles of a layer that are still to come."""
    return sum(
        core.unfinished(run) if core.index in run.timelines else run.tracks[core.index].finishing
        for core in cores
    )


def _who_waits(stuck: list[LayerRun], cores: list[Core]) -> str:
    """For each layer that did not finish, what it waits for, and the state of the buffers."""
    lines = []
    for run in stuck:
        missing = f"{_unfinished(run, cores)} ofmap tiles" if run.inputs.processed else "its inputs"
        lines.append(f"layer {run.program.layer.name} waits for {missing}")
    for core in cores:
        for buffer in core.buffers:
            asked = ", ".join(f"{wish.size:,}" for wish in buffer.waiting) or "nobody"
            lines.append(
                f"core {core.index}: {buffer.name} has {buffer.free:,} bytes free; "
                f"waiting for room: {asked}"
            )
    return "the simulation cannot go on:\n" + "\n".join(lines)
