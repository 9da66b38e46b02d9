"""Results with chosen numbers."""

from dataclasses import replace

from accelsim.lowering.traffic import Dram, Sram
from accelsim.results import Buckets, LayerResult, RunResult

LAYER = LayerResult(
    name="conv",
    op="conv",
    gemm=(10, 20, 30),
    macs=6000,
    parameters=620,
    output_shape=(20, 2, 5),
    start_cycle=0,
    end_cycle=100,
    array_cycles=90,
    untiled_array_cycles=80,
    vector_cycles=0,
    busy_cycles=90,
    dram_cycles=40,
    utilization=0.6,
    mapping_efficiency=0.75,
    bound="array",
    tiles=1,
    sram=Sram(1, 2, 3, 4, 5),
    dram=Dram(100, 200, 0, 0, 300),
    buckets=Buckets(useful=60, idle_pes=30, fill_drain=10),
)
VIEW = replace(
    LAYER,
    name="flat",
    op="flatten",
    gemm=None,
    macs=0,
    parameters=0,
    start_cycle=100,
    array_cycles=0,
    busy_cycles=0,
    untiled_array_cycles=0,
    dram_cycles=0,
    utilization=0.0,
    mapping_efficiency=0.0,
    bound="none",
    tiles=0,
    sram=Sram(),
    dram=Dram(),
    buckets=Buckets(),
)


def layer(cycles: int, waits: int = 0, **changes: object) -> LayerResult:
    """A convolution of so many cycles, `waits` of them for another layer."""
    buckets = Buckets(useful=cycles - waits, other_layer=waits)
    return replace(LAYER, end_cycle=cycles, buckets=buckets, **changes)


def run(dataflow: str, *layers: LayerResult, cycles: int = 0) -> RunResult:
    """A run on 100 PEs; by default its layers follow each other."""
    whole = cycles or sum(each.cycles for each in layers)
    return RunResult("net", "chip", dataflow, 1, 10**9, 100, whole, layers)
