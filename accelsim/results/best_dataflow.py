"""The dataflow `best`: for each layer that of a systolic array which serves an objective best.

The network is timed whole under each dataflow. Each kernel then takes the one with which the whole
costs least, by the layers' own cycles or energy and what changing over takes, and the mixture is
lowered and timed once more. Taking one dataflow for all layers is among the choices, so that `best`
is never worse than that.

What changing over costs is played, not estimated: the array drains, so that the tail of a pipelined
one is not hidden, and then its PEs take their settings (`array.changeover`). Psums are complete
by then; and maps lie as they do under every dataflow, for each brings its own order of addresses.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import fsum

from accelsim.errors import DoesNotFitError, InputError
from accelsim.frontend.mapping_file import Source
from accelsim.hardware import DataflowName, Hardware, Objective
from accelsim.lowering.forced import dataflow_of
from accelsim.lowering.kernels import GemmKernel, Kernel
from accelsim.lowering.lower import lower
from accelsim.lowering.objective import weighed
from accelsim.lowering.program import Played, Program
from accelsim.lowering.recall import Memory
from accelsim.lowering.target import AnyArray, target_of
from accelsim.network.graph import Network
from accelsim.results.comparison import own_cycles
from accelsim.results.records import RunResult

Timed = Callable[[Program], RunResult]
Spent = tuple[int, float]
"""Cycles and pJ."""


def best_program(
    network: Network,
    hardware: Hardware,
    batch: int,
    memory: Memory | None,
    played: Played,
    timed: Timed,
) -> Program:
    """The Program of least cost, every layer under one of the dataflows; it says which.

    Raises DoesNotFitError where the network fits under none, with what does not under each.
    """
    objective = hardware.array.objective
    known = memory or Memory()
    machines = {each.array.dataflow: each for each in hardware.choices}
    programs = dict(_fitting(network, machines, batch, known, played))
    runs = {flow: timed(program) for flow, program in programs.items()}
    flows = _Choice(programs, runs, hardware).flows
    costs = {flow: cost_of_run(run, objective) for flow, run in runs.items()}
    cheapest = min(costs, key=costs.__getitem__)
    alike = _named(programs[cheapest], {}, machines[cheapest], hardware)
    if len({*flows.values()}) < 2:
        return alike
    processors = {
        kernel: target_of(machines[flow], known.replays).processor for kernel, flow in flows.items()
    }
    first = machines[next(iter(programs))]
    mixed = lower(network, first, batch, known, played, processors=processors)
    mixed = _named(mixed, flows, first, hardware)
    return mixed if cost_of_run(timed(mixed), objective) <= costs[cheapest] else alike


def forced_program(
    network: Network,
    hardware: Hardware,
    batch: int,
    memory: Memory | None,
    played: Played,
    mapping: Source,
) -> Program:
    """The Program with the dataflow that a mapping gives each layer on the array.

    Raises InputError naming those that it gives none.
    """
    known = memory or Memory()
    machines = {each.array.dataflow: each for each in hardware.choices}
    models: dict[str, AnyArray] = {
        flow: target_of(each, known.replays).processor for flow, each in machines.items()
    }
    first = next(iter(machines.values()))
    program = lower(network, first, batch, known, played, mapping, models=models)
    flows = tuple(dataflow_of(layer.kernel) for layer in program.layers)
    problems = [
        mapping.problem(
            ("layers", layer.layer.name), f"needs a dataflow, one of {', '.join(models)}"
        )
        for layer, flow in zip(program.layers, flows, strict=True)
        if layer.unit == "array" and flow is None
    ]
    if problems:
        raise InputError(problems)
    return replace(program, hardware=hardware, dataflows=flows)


def _named(
    program: Program, flows: Mapping[Kernel, DataflowName], first: Hardware, hardware: Hardware
) -> Program:
    """The program, saying of each layer on the array which dataflow it has: `first` if no other."""
    names = tuple(
        flows.get(layer.kernel, first.array.dataflow if layer.unit == "array" else None)
        for layer in program.layers
    )
    return replace(program, hardware=hardware, dataflows=names)


def cost_of_run(run: RunResult, objective: Objective) -> float:
    """What is minimised, of a whole run."""
    energy = run.energy.total if run.energy else 0.0
    return float(weighed(objective, run.cycles, energy))


_ROUNDS = 8
"""Of going through all kernels, at most; two or three are enough where none changes any more."""


@dataclass(frozen=True)
class _Choice:
    """The dataflow of each kernel, of those under which the network was timed.

    Of a depthwise layer it is one of those under which it is on the array.
    """

    programs: Mapping[DataflowName, Program]
    runs: Mapping[DataflowName, RunResult]
    hardware: Hardware

    @property
    def flows(self) -> dict[Kernel, DataflowName]:
        """From each kernel's least, and from one dataflow for all, changed as long as it gains."""
        starts = [{kernel: self.least(each) for kernel, each in self.costs.items()}]
        starts += [
            {
                kernel: flow if flow in each else self.least(each)
                for kernel, each in self.costs.items()
            }
            for flow in self.programs
        ]
        return min(map(self.improved, starts), key=self.cost)

    def least(self, costs: Mapping[DataflowName, Spent]) -> DataflowName:
        """The dataflow of least cost, of one kernel by itself."""
        objective = self.hardware.array.objective
        return min(costs, key=lambda flow: float(weighed(objective, *costs[flow])))

    def improved(self, flows: dict[Kernel, DataflowName]) -> dict[Kernel, DataflowName]:
        """One kernel after another takes what makes the whole cost least."""
        for _ in range(_ROUNDS):
            before = dict(flows)
            for kernel, costs in self.costs.items():
                flows[kernel] = min(
                    [flows[kernel], *costs],
                    key=lambda flow: self.cost({**flows, kernel: flow}),
                )
            if flows == before:
                break
        return flows

    def cost(self, flows: Mapping[Kernel, DataflowName]) -> float:
        """What is minimised: of the layers' own cycles and energy, and the changes between them."""
        cycles, energy = self.rest
        for kernel, flow in flows.items():
            own, spent = self.costs[kernel][flow]
            cycles, energy = cycles + own, energy + spent
        changes = sum(flows[one] != flows[then] for one, then in pairwise(self.order))
        array = self.hardware.array
        drains = array.rows + array.cols if array.fold_overlap == "pipelined" else 0
        cycles += changes * (array.changeover_cycles + drains)
        return float(weighed(array.objective, cycles, energy))

    @cached_property
    def costs(self) -> dict[Kernel, dict[DataflowName, Spent]]:
        """Own cycles and energy of all layers of a kernel, under each dataflow."""
        found: dict[Kernel, dict[DataflowName, Spent]] = {}
        for flow, program in self.programs.items():
            for layer, result in zip(program.layers, self.runs[flow].layers, strict=True):
                if isinstance(layer.kernel, GemmKernel):
                    of_kernel = found.setdefault(layer.kernel, {})
                    cycles, energy = of_kernel.get(flow, (0, 0.0))
                    spent = result.energy.total if result.energy else 0.0
                    of_kernel[flow] = cycles + own_cycles(result), energy + spent
        return found

    @cached_property
    def order(self) -> list[Kernel]:
        """Kernels of the array as layers follow each other."""
        layers = zip(*(program.layers for program in self.programs.values()), strict=True)
        kernels = ([one.kernel for one in each if one.kernel in self.costs] for each in layers)
        return [some[0] for some in kernels if some]

    @cached_property
    def rest(self) -> Spent:
        """Cycles and energy of what is not on the array."""
        run = next(iter(self.runs.values()))
        others = [each for each in run.layers if not each.array_cycles]
        energy = fsum(each.energy.total for each in others if each.energy)
        return sum(map(own_cycles, others)), energy


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
