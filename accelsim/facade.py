"""The public facade: load, simulate and verify."""

import math
from collections.abc import Callable
from pathlib import Path

from accelsim.energy import Activity, EnergyRates, energy_rates
from accelsim.engine.machine import LayerTimes, play
from accelsim.errors import InputError, Problem
from accelsim.frontend import load_network
from accelsim.frontend.findings import unknown
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import DATAFLOWS, NO_SPADS, DataflowName, Hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram, Program, lower
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.target import Target
from accelsim.network.graph import Network
from accelsim.network.passes import prepare_for_inference
from accelsim.results import (
    Bound,
    Buckets,
    Energy,
    LayerCheck,
    LayerResult,
    Resident,
    RunResult,
    VerifyResult,
)

LARGEST_LAYER = 2**53
LARGEST_BATCH = 2**16

NetworkLike = Network | str | Path
HardwareLike = Hardware | str | Path


def simulate(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
) -> RunResult:
    """Time `network` on `hardware` for `batch` images; names and paths are loaded.

    `dataflow` replaces the hardware's own. Raises InputError for bad input and
    DoesNotFitError where no tile of a layer fits the buffers.
    """
    player = Player()
    program = compile_program(network, hardware, dataflow, batch, player)
    return timed(program, player)


class Player:
    """Plays programs, each once, and remembers their times."""

    def __init__(self) -> None:
        self._played: list[tuple[Program, list[LayerTimes]]] = []

    def times(self, program: Program) -> list[LayerTimes]:
        """When the layers ran."""
        for known, times in self._played:
            if known is program:
                return times
        self._played.append((program, play(program)))
        return self._played[-1][1]

    def cycles(self, program: Program) -> int:
        """When the last layer ended."""
        return max((time.end for time in self.times(program)), default=0)


def compile_program(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    player: Player | None = None,
) -> Program:
    """The Program that `simulate` times: the network prepared for inference and lowered.

    `player` plays those that it is chosen from.
    """
    if not isinstance(network, Network):
        network = load_network(network)
    if not isinstance(hardware, Hardware):
        hardware = load_hardware(hardware)
    if dataflow is not None:
        hardware = with_dataflow(hardware, dataflow)
    prepared = prepare_for_inference(network)
    _refuse_beyond_limits(prepared, batch)
    return lower(prepared, hardware, batch, (player or Player()).cycles)


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


def verify(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: Callable[[LayerCheck], None] | None = None,
) -> VerifyResult:
    """Compute the timed schedule's values and hold every layer against the reference.

    Weights and inputs come from the network's file, else they are random integers (floats)
    from `seed`. Each layer is given the reference's ifmaps, so a wrong one does not hide in the
    next; `progress` is called after each. Raises what `simulate` does.
    """
    from accelsim.numerics.compare import checks, precision_arithmetic  # not needed for timing
    from accelsim.numerics.parameter_file import load_parameters

    if not isinstance(network, Network):
        network = load_network(network)
    program = compile_program(network, hardware, dataflow, batch)
    precision = program.hardware.precision
    parameters = load_parameters(network, precision_arithmetic(precision), seed)
    layers = []
    for check in checks(program, parameters):
        layers.append(check)
        if progress is not None:
            progress(check)
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


def with_dataflow(hardware: Hardware, dataflow: str) -> Hardware:
    """`hardware` with another dataflow; raises InputError for an unknown one."""
    if dataflow not in DATAFLOWS:
        raise InputError(Problem(unknown("dataflow", dataflow, DATAFLOWS)))
    if dataflow == "rs" and hardware.array.row_stationary is None:
        raise InputError(Problem(NO_SPADS, hardware.name, key="array.dataflow"))
    name: DataflowName = next(each for each in DATAFLOWS if each == dataflow)
    array = hardware.array.model_copy(update={"dataflow": name})
    return hardware.model_copy(update={"array": array})


def timed(program: Program, player: Player | None = None) -> RunResult:
    """Play a Program in time, if `player` has not yet, and report it."""
    times = (player or Player()).times(program)
    rates = energy_rates(program.hardware)
    layers = tuple(
        _layer_result(layer, time, program, rates)
        for layer, time in zip(program.layers, times, strict=True)
    )
    hardware = program.hardware
    return RunResult(
        network=program.network.name,
        hardware=hardware.name,
        dataflow=hardware.array.dataflow,
        batch=program.batch,
        clock_hz=hardware.clock,
        pes=hardware.pes,
        cycles=max((time.end for time in times), default=0),
        layers=layers,
    )


def _layer_result(
    program: LayerProgram, times: LayerTimes, whole: Program, rates: EnergyRates | None
) -> LayerResult:
    layer, kernel = program.layer, program.kernel
    gemm = kernel.gemm if isinstance(kernel, GemmKernel) else None
    macs = kernel.macs if isinstance(kernel, GemmKernel) else 0
    cycles = times.end - times.start
    busy = max((program.busy_cycles(array) for array in range(len(program.schedules))), default=0)
    return LayerResult(
        name=layer.name,
        op=layer.op.name,
        gemm=(gemm.m, gemm.n, gemm.k) if gemm else None,
        macs=macs,
        parameters=layer.parameters,
        output_shape=layer.output_shape,
        start_cycle=times.start,
        end_cycle=times.end,
        array_cycles=busy if program.unit == "array" else 0,
        untiled_array_cycles=program.untiled_array_cycles,
        vector_cycles=busy if program.unit == "vector" else 0,
        dram_cycles=program.dram_cycles(whole.target),
        utilization=macs / (whole.hardware.pes * cycles) if cycles else 0.0,
        mapping_efficiency=program.mapping_efficiency,
        bound=_bound(program, times, whole.target),
        tiles=program.tiles,
        sram=program.sram,
        dram=program.dram,
        buckets=_buckets(program, times, whole.target),
        inside=program.inside,
        energy=_energy(program, rates) if rates else None,
        mapping=program.tiling if isinstance(program.tiling, Mapping) else None,
        resident=_resident(program, whole),
        dram_saved_bytes=program.placement.saved_bytes,
    )


def _resident(program: LayerProgram, whole: Program) -> Resident:
    """Bytes of the layer's feature maps that lie on chip."""
    read = sum(map(math.prod, program.resident_inputs))
    kept = program.layer.output_elements * program.placement.residence.kept
    return Resident(
        whole.batch * read * whole.target.bytes_of("ifmap"),
        whole.batch * kept * whole.target.bytes_of("ofmap"),
    )


def _energy(program: LayerProgram, rates: EnergyRates) -> Energy:
    """What the layer's work and moves take; its MACs are counted by its tasks."""
    on_array = program.unit == "array"
    done = Activity(
        macs=program.operations if on_array else 0,
        lane_operations=0 if on_array else program.operations,
        inside=program.inside,
        sram=program.sram,
        dram=program.dram,
    )
    return rates.energy(done)


def _buckets(program: LayerProgram, times: LayerTimes, target: Target) -> Buckets:
    """Every cycle of the layer, as the array that finished last spent it."""
    steps = program.schedules[times.core].counts if program.schedules else ()
    lanes = (
        target.lanes if program.unit == "vector" else target.processor.rows * target.processor.cols
    )
    streaming = sum(step.work.streaming * count for step, count in steps)
    useful = sum(step.work.operations * count for step, count in steps) // lanes
    return Buckets(
        useful=useful,
        idle_pes=streaming - useful,
        fill_drain=times.tail + sum(step.work.fill_drain * count for step, count in steps),
        buffer=sum(step.work.buffer * count for step, count in steps),
        dram_read=times.read_wait,
        dram_write=times.write_wait,
        other_layer=times.other_layer,
    )


def _bound(program: LayerProgram, times: LayerTimes, target: Target) -> Bound:
    """What the layer takes longest of: DRAM, a buffer's bandwidth, the array or the lanes."""
    if program.unit is None:
        return "dram"
    schedule = program.schedules[times.core]
    work = schedule.cycles
    if max(program.dram_cycles(target), times.read_wait + times.write_wait) > work:
        return "dram"
    limited = sum(step.work.buffer_bound * count for step, count in schedule.counts)
    return "buffer" if 2 * limited > work else program.unit
