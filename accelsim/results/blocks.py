"""The layers of a block as one: `inception_3a/1x1`, `inception_3a/3x3`, ... as `inception_3a`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby
from operator import add

from accelsim.results.comparison import Comparison, own_cycles
from accelsim.results.records import LayerResult, RunResult

SEPARATOR = "/"
"""Between a block's name and that of a layer in it."""


def block_of(name: str) -> str:
    """The outermost block of a layer; its own name where it is in none."""
    return name.partition(SEPARATOR)[0]


def by_block(comparison: Comparison) -> Comparison:
    """The comparison with one layer for each run of layers of one block."""
    return replace(comparison, runs=tuple(map(_blocks, comparison.runs)))


def _blocks(run: RunResult) -> RunResult:
    groups = groupby(run.layers, key=lambda layer: block_of(layer.name))
    return replace(run, layers=tuple(together(name, [*layers], run.pes) for name, layers in groups))


def together(name: str, layers: Sequence[LayerResult], pes: int) -> LayerResult:
    """What the layers take together; bound is that of the longest by own cycles.

    Its cycles are the sum of its layers', so that they fill its buckets. The shape is that of its
    last layer, the GEMM one of its largest, as a sign that it has a dataflow.
    """
    if len(layers) == 1:
        return layers[0]
    cycles = sum(layer.cycles for layer in layers)
    energies = [layer.energy for layer in layers if layer.energy is not None]
    largest = max(layers, key=lambda layer: layer.array_macs)
    macs = sum(layer.macs for layer in layers)
    lane_macs = sum(layer.lane_macs for layer in layers)
    return replace(
        largest,
        name=name,
        op="block",
        macs=macs,
        parameters=sum(layer.parameters for layer in layers),
        output_shape=layers[-1].output_shape,
        start_cycle=0,
        end_cycle=cycles,
        between_cycles=0,
        array_cycles=sum(layer.array_cycles for layer in layers),
        untiled_array_cycles=sum(layer.untiled_array_cycles for layer in layers),
        vector_cycles=sum(layer.vector_cycles for layer in layers),
        busy_cycles=sum(layer.busy_cycles for layer in layers),
        dram_cycles=sum(layer.dram_cycles for layer in layers),
        utilization=(macs - lane_macs) / (pes * cycles) if cycles else 0.0,
        lane_macs=lane_macs,
        zero_macs=sum(layer.zero_macs for layer in layers),
        mapping_efficiency=_mapping(layers),
        bound=max(layers, key=own_cycles).bound,
        tiles=sum(layer.tiles for layer in layers),
        sram=reduce(add, (layer.sram for layer in layers)),
        dram=reduce(add, (layer.dram for layer in layers)),
        buckets=reduce(add, (layer.buckets for layer in layers)),
        inside=reduce(add, (layer.inside for layer in layers)),
        energy=reduce(add, energies) if energies else None,
        resident=reduce(add, (layer.resident for layer in layers)),
        dram_saved_bytes=sum(layer.dram_saved_bytes for layer in layers),
        inputs=(),
        mapping=None,
        tiling=None,
    )


def _mapping(layers: Sequence[LayerResult]) -> float:
    """Mean share of PEs that hold work, over the folds of all layers."""
    folds = sum(layer.untiled_array_cycles for layer in layers)
    held = sum(layer.untiled_array_cycles * layer.mapping_efficiency for layer in layers)
    return held / folds if folds else 0.0
