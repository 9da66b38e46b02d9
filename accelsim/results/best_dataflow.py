"""The dataflow `best`: for each layer that of a systolic array which serves an objective best.

The network is timed whole under each dataflow. Each kernel then takes the one under which its
layers cost least, by their own cycles or energy, and the mixture is lowered and timed once more.
Taking one dataflow for all layers is among the choices, so that `best` is never worse than that.
Changing over between layers is taken as free beyond what folds take to fill and drain.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.hardware import DataflowName, Hardware, Objective
from accelsim.lowering.kernels import GemmKernel, Kernel
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Played, Program
from accelsim.lowering.search import Memory
from accelsim.lowering.target import target_of
from accelsim.network.graph import Network
from accelsim.results.comparison import own_cycles
from accelsim.results.records import LayerResult, RunResult

Timed = Callable[[Program], RunResult]


def best_program(
    network: Network,
    hardware: Hardware,
    batch: int,
    memory: Memory | None,
    played: Played,
    timed: Timed,
) -> Program:
    """The Program of least cost, every layer under one of the dataflows; it says which.

    Raises DoesNotFitError where the network fits under none, with what does not under each, and
    InputError for an objective of energy without a table.
    """
    objective = hardware.array.objective
    if objective != "time" and hardware.energy is None:
        message = f"{objective} needs an energy table; give energy, such as horowitz_45nm"
        raise InputError(Problem(message, hardware.name, key="array.objective"))
    known = memory or Memory()
    machines = {each.array.dataflow: each for each in hardware.choices}
    programs = dict(_fitting(network, machines, batch, known, played))
    runs = {flow: timed(program) for flow, program in programs.items()}
    flows = _choices(programs, runs, objective)
    processors = {
        kernel: target_of(machines[flow], known.replays).processor for kernel, flow in flows.items()
    }
    first = machines[next(iter(programs))]
    mixed = lower(network, first, batch, known, played, processors=processors)
    plain = [(each, dict.fromkeys(flows, flow)) for flow, each in programs.items()]
    candidates = [(mixed, flows), *plain]
    chosen, taken = min(candidates, key=lambda each: cost_of_run(timed(each[0]), objective))
    names = tuple(
        taken.get(layer.kernel, first.array.dataflow if layer.unit == "array" else None)
        for layer in chosen.layers
    )
    return replace(chosen, hardware=hardware, dataflows=names)


def cost_of_run(run: RunResult, objective: Objective) -> float:
    """What is minimised, of a whole run."""
    return _cost(run.cycles, run.energy.total if run.energy else 0.0, objective)


def _cost_of_layer(layer: LayerResult, objective: Objective) -> float:
    """What is minimised, of a layer: without what it waits for others."""
    return _cost(own_cycles(layer), layer.energy.total if layer.energy else 0.0, objective)


def _cost(cycles: int, energy_pj: float, objective: Objective) -> float:
    return {"time": cycles, "energy": energy_pj, "edp": cycles * energy_pj}[objective]


def _choices(
    programs: Mapping[DataflowName, Program],
    runs: Mapping[DataflowName, RunResult],
    objective: Objective,
) -> dict[Kernel, DataflowName]:
    """The dataflow under which all layers of a kernel cost least, ties to the first.

    Of a depthwise layer it is one of those under which it is on the array.
    """
    costs: dict[Kernel, dict[DataflowName, float]] = {}
    for flow, program in programs.items():
        for layer, result in zip(program.layers, runs[flow].layers, strict=True):
            if isinstance(layer.kernel, GemmKernel):
                of_kernel = costs.setdefault(layer.kernel, {})
                of_kernel[flow] = of_kernel.get(flow, 0.0) + _cost_of_layer(result, objective)
    return {kernel: min(each, key=each.__getitem__) for kernel, each in costs.items()}


def _fitting(
    network: Network,
    machines: Mapping[DataflowName, Hardware],
    batch: int,
    memory: Memory,
    played: Played,
) -> Iterator[tuple[DataflowName, Program]]:
    """The network under each dataflow that it fits; raises DoesNotFitError where there is none."""
    misfits, found = [], False
    for flow, machine in machines.items():
        try:
            program = lower(network, machine, batch, memory, played)
        except DoesNotFitError as error:
            misfits += [f"{flow}: {line}" for line in str(error).splitlines()]
        else:
            found = True
            yield flow, program
    if not found:
        raise DoesNotFitError("\n".join(misfits))
