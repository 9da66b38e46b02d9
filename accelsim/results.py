"""What a run reports: frozen records and their JSON form (schema 1).

Times are cycles of the hardware's clock, DRAM bytes come without the rounding to bursts, and
SRAM words are counted at the edge of the array (or vector unit). All are of the whole batch.
"""

from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Literal, Self

from accelsim.network.ops import Shape

Bound = Literal["array", "dram", "buffer", "vector"]
SCHEMA = 1


class _Counts:
    """Records of counts that add up field by field."""

    __slots__: tuple[str, ...] = ()

    def values(self) -> tuple[int, ...]:
        """The counts in the order of the fields."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, self.values(), other.values()))

    def times(self, count: int) -> Self:
        """`count` of these added up."""
        return type(self)(*(count * value for value in self.values()))


@dataclass(frozen=True, slots=True)
class Dram(_Counts):
    """Bytes between DRAM and the buffers, by operand."""

    ifmap_read_bytes: int = 0
    filter_read_bytes: int = 0
    psum_read_bytes: int = 0
    psum_write_bytes: int = 0
    ofmap_write_bytes: int = 0

    @property
    def read_bytes(self) -> int:
        """All bytes read."""
        return self.ifmap_read_bytes + self.filter_read_bytes + self.psum_read_bytes

    @property
    def write_bytes(self) -> int:
        """All bytes written."""
        return self.psum_write_bytes + self.ofmap_write_bytes

    @property
    def total_bytes(self) -> int:
        """All bytes moved."""
        return self.read_bytes + self.write_bytes


@dataclass(frozen=True, slots=True)
class Sram(_Counts):
    """Words that cross the array's edge, by operand, im2col repeats counted.

    `ofmap_writes` are finished sums. Sums that leave the array unfinished are `psum_writes`;
    they come back as `psum_reads`.
    """

    ifmap_reads: int = 0
    filter_reads: int = 0
    psum_reads: int = 0
    psum_writes: int = 0
    ofmap_writes: int = 0


@dataclass(frozen=True, slots=True)
class Buckets(_Counts):
    """Where cycles went. Each cycle of a layer is in exactly one bucket: they sum to its cycles.

    useful: what the layer's work takes with every PE (or lane) busy.
    idle_pes: the rest of the streaming, lost to PEs (lanes) without work.
    fill_drain: operands skewing in, stationary operands loading, results shifting out.
    buffer: beyond the array's law, because words come at the buffer's bandwidth.
    dram_read: waiting for operands. dram_write: waiting for stores, which hold the buffer or
    end the layer. other_layer: the array (or vector unit) works on another layer.
    """

    useful: int = 0
    idle_pes: int = 0
    fill_drain: int = 0
    buffer: int = 0
    dram_read: int = 0
    dram_write: int = 0
    other_layer: int = 0

    @property
    def total(self) -> int:
        """All cycles."""
        return sum(self.values())


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer of a run.

    start_cycle is when the layer's inputs exist and its first transfer or computation begins,
    end_cycle when its ofmap is complete in DRAM; filters may be loaded before. array_cycles
    are the folds of the tiles as scheduled, of the array that does most; untiled_array_cycles
    and mapping_efficiency are of the whole layer's folds, as if every operand were on chip.
    """

    name: str
    op: str
    gemm: tuple[int, int, int] | None
    macs: int
    parameters: int
    output_shape: Shape
    start_cycle: int
    end_cycle: int
    array_cycles: int
    untiled_array_cycles: int
    vector_cycles: int
    dram_cycles: int
    utilization: float
    mapping_efficiency: float
    bound: Bound
    tiles: int
    tiling: str
    sram: Sram
    dram: Dram
    buckets: Buckets

    @property
    def cycles(self) -> int:
        """Cycles from start to end."""
        return self.end_cycle - self.start_cycle

    def as_dict(self) -> dict[str, Any]:
        """The layer's JSON form."""
        gemm = dict(zip(("m", "n", "k"), self.gemm, strict=True)) if self.gemm else None
        return {
            **asdict(self),
            "gemm": gemm,
            "output_shape": list(self.output_shape),
            "cycles": self.cycles,
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """A network on a hardware: when everything happened and what moved.

    `cycles` is when the last layer ends. Layers overlap (branches, prefetch), so their cycles
    may sum to more; everything else in the totals is the sum over layers.
    """

    network: str
    hardware: str
    dataflow: str
    batch: int
    clock_hz: int
    pes: int
    cycles: int
    layers: tuple[LayerResult, ...]

    @property
    def seconds(self) -> float:
        """Simulated time."""
        return self.cycles / self.clock_hz

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def utilization(self) -> float:
        """MACs done of those that all PEs could have done in the time."""
        return self.macs / (self.pes * self.cycles) if self.cycles else 0.0

    @property
    def dram(self) -> Dram:
        """DRAM bytes of all layers."""
        return reduce(add, (layer.dram for layer in self.layers), Dram())

    @property
    def sram(self) -> Sram:
        """Words at the array's edge of all layers."""
        return reduce(add, (layer.sram for layer in self.layers), Sram())

    @property
    def buckets(self) -> Buckets:
        """Layer cycles of all layers, by bucket."""
        return reduce(add, (layer.buckets for layer in self.layers), Buckets())

    def layer(self, name: str) -> LayerResult:
        """The layer called `name`; raises KeyError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def totals(self) -> dict[str, Any]:
        """The JSON form of the totals."""
        dram = self.dram
        return {
            "cycles": self.cycles,
            "seconds": self.seconds,
            "macs": self.macs,
            "parameters": sum(layer.parameters for layer in self.layers),
            "utilization": self.utilization,
            "layer_cycles": sum(layer.cycles for layer in self.layers),
            "array_cycles": sum(layer.array_cycles for layer in self.layers),
            "untiled_array_cycles": sum(layer.untiled_array_cycles for layer in self.layers),
            "vector_cycles": sum(layer.vector_cycles for layer in self.layers),
            "dram_cycles": sum(layer.dram_cycles for layer in self.layers),
            "dram_read_bytes": dram.read_bytes,
            "dram_write_bytes": dram.write_bytes,
            "dram": asdict(dram),
            "sram": asdict(self.sram),
            "buckets": asdict(self.buckets),
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the run."""
        return {
            "schema": SCHEMA,
            "network": self.network,
            "hardware": self.hardware,
            "dataflow": self.dataflow,
            "batch": self.batch,
            "clock_hz": self.clock_hz,
            "totals": self.totals,
            "layers": [layer.as_dict() for layer in self.layers],
        }
