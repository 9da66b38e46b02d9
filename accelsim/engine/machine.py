"""The whole machine: cores, DRAM and the layers of a Program, played to the end."""

from dataclasses import dataclass

from accelsim.engine.compute import Core, Unit
from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.engine.scheduler import LayerRun, layer_runs
from accelsim.errors import SimulationError
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


def play(program: Program, leaps: bool = True) -> list[LayerTimes]:
    """Simulate `program` and return the times of its layers, in its order.

    Without `leaps` every tile is played, also where all goes on as before; the times are the same.
    Raises SimulationError if a layer cannot finish; the message says what each waits for.
    """
    env = Clock()
    runs = layer_runs(env, program.layers)
    dram = DramChannel(env, program.target)
    units: list[Unit] = []
    cores = [
        Core(env, index, _buffers(env, program), dram, units)
        for index in range(program.target.arrays)
    ]
    for core in cores:
        for unit in ("array", "vector"):
            Unit(core, [run for run in runs if _has_part(run, unit, core.index)], leaps)
    env.run()
    stuck = [run for run in runs if not run.done.processed]
    if stuck:
        raise SimulationError(_who_waits(stuck, cores))
    return [_times(run) for run in runs]


def _buffers(env: Clock, program: Program) -> tuple[Buffer, ...]:
    return tuple(Buffer(env, space.name, space.size) for space in program.target.buffers)


def _has_part(run: LayerRun, unit: str, array: int) -> bool:
    """Whether there are tiles of a layer for the unit of an array."""
    return run.program.unit == unit and bool(run.program.schedules[array].nest)


def _times(run: LayerRun) -> LayerTimes:
    lines = run.timelines
    if not lines:  # an alias is done when its inputs are
        return LayerTimes(run.ready_at, run.ready_at, 0, 0, 0, 0, 0)
    start = max(run.ready_at, min(line.begun for line in lines.values()))
    core = max(lines, key=lambda index: (lines[index].stored, -index))
    line = lines[core]
    late = max(run.ready_at, line.begun) - start
    tail = min(line.tail, line.stored - line.computed)
    storing = line.stored - line.computed - tail
    return LayerTimes(
        start,
        line.stored,
        core,
        late + line.other_layer,
        line.read_wait,
        line.write_wait + storing,
        tail,
    )


def _who_waits(stuck: list[LayerRun], cores: list[Core]) -> str:
    """For each layer that did not finish, what it waits for, and the state of the buffers."""
    lines = []
    for run in stuck:
        missing = "its inputs" if not run.inputs.processed else f"{run.unfinished} ofmap tiles"
        lines.append(f"layer {run.program.layer.name} waits for {missing}")
    for core in cores:
        for buffer in core.buffers:
            asked = ", ".join(f"{size:,}" for size, *_ in buffer.waiting) or "nobody"
            lines.append(
                f"core {core.index}: {buffer.name} has {buffer.free:,} bytes free; "
                f"waiting for room: {asked}"
            )
    return "the simulation cannot go on:\n" + "\n".join(lines)
