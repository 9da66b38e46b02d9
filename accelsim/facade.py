"""The public facade: simulate, compare and verify networks on hardware.

Names, paths, or what was loaded from them: a network walks from its file through the passes and
the lowering to a Program, from there to times or values, and to results.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from accelsim.engine.machine import play
from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.frontend import load_network
from accelsim.frontend.findings import unknown
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import DATAFLOWS, NO_SPADS, DataflowName, Hardware
from accelsim.lowering.program import Program, lower
from accelsim.lowering.search import Memory
from accelsim.network.graph import Network
from accelsim.network.passes import prepare_for_inference
from accelsim.results import LayerCheck, RunResult, VerifyResult
from accelsim.results.accounting import run_result
from accelsim.results.comparison import Comparison

LARGEST_LAYER = 2**53
LARGEST_BATCH = 2**16

NetworkLike = Network | str | Path
HardwareLike = Hardware | str | Path
Like = TypeVar("Like", NetworkLike, HardwareLike)


def simulate(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    memory: Memory | None = None,
) -> RunResult:
    """Time `network` on `hardware` for `batch` images; names and paths are loaded.

    `dataflow` replaces the hardware's own. A `memory` that the caller keeps makes further calls on
    alike machines faster, and changes no result. Raises InputError for bad input and
    DoesNotFitError where no tile of a layer fits the buffers.
    """
    program = compile_program(network, hardware, dataflow, batch, memory)
    return timed(program)


def compile_program(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    memory: Memory | None = None,
) -> Program:
    """The Program that `simulate` times: the network prepared for inference and lowered."""
    machine = hardware_of(hardware, dataflow)
    prepared = prepare_for_inference(network_of(network))
    _refuse_beyond_limits(prepared, batch)
    return lower(prepared, machine, batch, memory)


def _refuse_beyond_limits(network: Network, batch: int) -> None:
    """Raise InputError for a batch, or layers, whose counts with their bytes need over 64 bits."""
    if not 1 <= batch <= LARGEST_BATCH:
        message = f"use at least 1 and at most {LARGEST_BATCH:,} images, found {batch:,}"
        raise InputError(Problem(message, key="batch"))
    problems = []
    for layer in network.layers:
        work = batch * max(layer.macs, layer.output_elements, layer.parameters)
        if work > LARGEST_LAYER:
            message = f"{work:,} operations or values are too many to simulate"
            problems.append(Problem(message, network.name, key=layer.name))
    if problems:
        raise InputError(problems)


def compare(
    networks: NetworkLike | Sequence[NetworkLike],
    hardware: HardwareLike | Sequence[HardwareLike],
    dataflows: str | Sequence[str] | None = None,
    batch: int = 1,
    progress: Callable[[str], None] = lambda run: None,
) -> list[Comparison]:
    """Time every network on every hardware under several dataflows; all networks of one first.

    `dataflows` are names in a list or with commas between; all that the hardware has if None.
    `progress` hears of each run. Raises InputError for bad input, and DoesNotFitError with every
    layer that fits no tile under one of them.
    """
    models = [network_of(each) for each in _several(networks)]
    machines = [variants(hardware_of(each), dataflows) for each in _several(hardware)]
    misfits: list[str] = []
    comparisons = []
    for each in machines:
        for model in models:
            runs = []
            for machine in each:
                try:
                    runs.append(simulate(model, machine, batch=batch))
                except DoesNotFitError as error:
                    flow = machine.array.dataflow
                    misfits += [f"{flow}: {line}" for line in str(error).splitlines()]
                progress(f"{model.name} on {machine.name}, {machine.array.dataflow}")
            comparisons.append(Comparison(tuple(runs)))
    if misfits:
        raise DoesNotFitError("\n".join(misfits))
    return comparisons


def verify(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> VerifyResult:
    """Compute the timed schedule's values and hold every layer against the reference.

    Weights and inputs come from the network's file, else they are random integers (floats)
    from `seed`. Each layer is given the reference's ifmaps, so a wrong one does not hide in the
    next; `progress` is told after each how many are done, of how many. Raises what `simulate` does.
    """
    from accelsim.numerics.compare import checks, precision_arithmetic  # not needed for timing
    from accelsim.numerics.parameter_file import load_parameters

    network = network_of(network)
    program = compile_program(network, hardware, dataflow, batch)
    precision = program.hardware.precision
    parameters = load_parameters(network, precision_arithmetic(precision), seed)
    layers: list[LayerCheck] = []
    for check in checks(program, parameters):
        layers.append(check)
        progress(len(layers), len(program.layers))
    return VerifyResult(
        network=program.network.name,
        hardware=program.hardware.name,
        dataflow=program.hardware.array.dataflow,
        batch=batch,
        seed=seed,
        formats=f"{precision.ifmap} x {precision.filter} -> {precision.psum} -> {precision.ofmap}",
        exact=precision.is_integer,
        layers=tuple(layers),
    )


def network_of(network: NetworkLike) -> Network:
    """A network itself, or the one of a name or path; raises InputError."""
    return network if isinstance(network, Network) else load_network(network)


def hardware_of(hardware: HardwareLike, dataflow: str | None = None) -> Hardware:
    """A hardware itself, or the one of a name or path; with another dataflow if one is given."""
    machine = hardware if isinstance(hardware, Hardware) else load_hardware(hardware)
    return machine if dataflow is None else with_dataflow(machine, dataflow)


def variants(hardware: Hardware, dataflows: str | Sequence[str] | None) -> list[Hardware]:
    """`hardware` under each of the dataflows, all that it has if none; raises InputError."""
    named = dataflows.split(",") if isinstance(dataflows, str) else dataflows or ()
    flows = dict.fromkeys(flow.strip() for flow in named) if dataflows else hardware.dataflows
    return [with_dataflow(hardware, flow) for flow in flows]


def with_dataflow(hardware: Hardware, dataflow: str) -> Hardware:
    """`hardware` with another dataflow; raises InputError for an unknown one."""
    if dataflow not in DATAFLOWS:
        raise InputError(Problem(unknown("dataflow", dataflow, DATAFLOWS)))
    if dataflow == "rs" and hardware.array.row_stationary is None:
        raise InputError(Problem(NO_SPADS, hardware.name, key="array.dataflow"))
    name: DataflowName = next(each for each in DATAFLOWS if each == dataflow)
    array = hardware.array.model_copy(update={"dataflow": name})
    return hardware.model_copy(update={"array": array})


def _several(given: Like | Sequence[Like]) -> Sequence[Like]:
    """Those given, or the one."""
    alone = isinstance(given, (str, Path, Network, Hardware))
    return cast(Sequence[Like], [given] if alone else given)


def timed(program: Program) -> RunResult:
    """Play a Program in time and report it."""
    return run_result(program, play(program))
