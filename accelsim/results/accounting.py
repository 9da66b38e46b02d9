"""From a Program and its times to results: every cycle in a bucket, what bounds, the energy."""

import math
from collections.abc import Sequence
from dataclasses import replace
from math import fsum

from accelsim.engine.machine import LayerTimes
from accelsim.lowering.energy import Activity, EnergyRates, energy_rates
from accelsim.lowering.feature_maps import written_elements
from accelsim.lowering.kernels import Alias, GemmKernel, VectorKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.target import Target
from accelsim.network.graph import Layer
from accelsim.results.records import Bound, Buckets, Energy, LayerResult, Resident, RunResult


def run_result(program: Program, times: Sequence[LayerTimes]) -> RunResult:
    """What a Program that was played in `times`, by layer, has done and taken."""
    rates = energy_rates(program.hardware)
    layers = tuple(
        replace(_layer_result(layer, time, program, rates), dataflow=program.dataflow_of(position))
        for position, (layer, time) in enumerate(zip(program.layers, times, strict=True))
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


def picojoules(program: Program) -> float:
    """The energy of a Program, whose hardware has a table."""
    return fsum(each.total for each in energies(program))


def energies(program: Program) -> list[Energy]:
    """The energy of each layer of a Program, whose hardware has a table."""
    rates = energy_rates(program.hardware)
    assert rates is not None, "an objective of energy asks for it"
    return [_energy(layer, rates, program.target) for layer in program.layers]


def one_after_another(runs: Sequence[RunResult], batch: int) -> RunResult:
    """Runs that do not depend on each other as one: each begins where the one before has ended."""
    layers: list[LayerResult] = []
    end = 0
    for run in runs:
        layers += [_later(layer, end) for layer in run.layers]
        end += run.cycles
    parts = runs[0].sub_batches if len(runs) == 1 else ()
    return replace(runs[0], batch=batch, cycles=end, layers=tuple(layers), sub_batches=parts)


def _later(layer: LayerResult, cycles: int) -> LayerResult:
    if not cycles:
        return layer
    start, end = layer.start_cycle + cycles, layer.end_cycle + cycles
    return replace(layer, start_cycle=start, end_cycle=end)


def _layer_result(
    program: LayerProgram, times: LayerTimes, whole: Program, rates: EnergyRates | None
) -> LayerResult:
    layer, kernel = program.layer, program.kernel
    gemm = kernel.gemm if isinstance(kernel, GemmKernel) else None
    zero_macs = whole.batch * layer.zero_macs
    macs = 0 if isinstance(kernel, Alias) else kernel.macs - zero_macs
    lane_macs = macs if program.unit == "vector" else 0
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
        busy_cycles=program.busy_cycles(times.core) if program.schedules else 0,
        dram_cycles=program.dram_cycles(whole.target),
        utilization=(macs - lane_macs) / (whole.hardware.pes * cycles) if cycles else 0.0,
        mapping_efficiency=program.mapping_efficiency,
        bound=_bound(program, times, whole.target),
        tiles=program.tiles,
        sram=program.sram,
        dram=program.dram,
        buckets=_buckets(program, times, whole.target),
        inside=program.inside,
        energy=_energy(program, rates, whole.target) if rates else None,
        mapping=program.mapping,
        tiling=program.tiling,
        resident=_resident(program, whole),
        dram_saved_bytes=program.placement.saved_bytes,
        phase=layer.phase,
        lane_macs=lane_macs,
        zero_macs=zero_macs,
        fused_into=program.fused_into,
        inputs=layer.inputs,
    )


def _resident(program: LayerProgram, whole: Program) -> Resident:
    """Bytes of the layer's feature maps that lie on chip."""
    read = sum(map(math.prod, program.resident_inputs))
    words = written_elements(program.layer, program.kernel)
    kept = words * program.placement.residence.kept
    return Resident(
        whole.batch * read * whole.target.bytes_of("ifmap"),
        whole.batch * kept * whole.target.bytes_of("ofmap"),
    )


def _energy(program: LayerProgram, rates: EnergyRates, target: Target) -> Energy:
    """What the layer's work and moves take; its MACs are counted by its tasks.

    Those of lanes take as much as those of the array.
    """
    kernel = program.kernel
    on_lanes = kernel.macs if isinstance(kernel, VectorKernel) else program.operations
    done = Activity(
        macs=on_lanes,
        lane_operations=program.operations - on_lanes,
        inside=program.inside,
        sram=program.sram,
        dram=program.dram,
        commands=program.dram_commands(target) if rates.dram else None,
    )
    return rates.energy(done)


def _buckets(program: LayerProgram, times: LayerTimes, target: Target) -> Buckets:
    """Every cycle of the layer, as the array that finished last spent it."""
    steps = program.schedules[times.core].counts if program.schedules else ()
    lanes = (
        target.lanes if program.unit == "vector" else target.processor.rows * target.processor.cols
    )
    streaming = sum(step.work.streaming * count for step, count in steps)
    done = sum(step.work.operations * count for step, count in steps)
    useful = _useful(program.layer, done) // lanes
    return Buckets(
        useful=useful,
        idle_pes=streaming - useful,
        fill_drain=times.tail + sum(step.work.fill_drain * count for step, count in steps),
        buffer=sum(step.work.buffer * count for step, count in steps),
        dram_read=times.read_wait,
        dram_write=times.write_wait,
        other_layer=times.other_layer,
    )


def _useful(layer: Layer, operations: int) -> int:
    """Those of a layer's `operations` that are not by inserted zeros, as of the whole layer."""
    zeros = layer.zero_macs
    return operations * layer.macs // (layer.macs + zeros) if zeros else operations


def _bound(program: LayerProgram, times: LayerTimes, target: Target) -> Bound:
    """What the layer takes longest of: DRAM, a buffer's bandwidth, the array or the lanes.

    None of them where it costs nothing.
    """
    if program.unit is None:
        return "none"
    schedule = program.schedules[times.core]
    work = schedule.cycles
    if max(program.dram_cycles(target), times.read_wait + times.write_wait) > work:
        return "dram"
    limited = sum(step.work.buffer_bound * count for step, count in schedule.counts)
    return "buffer" if 2 * limited > work else program.unit
