"""What a run reports: frozen records and their JSON form (schema 1).

Times are cycles of the hardware's clock, DRAM bytes come without the rounding to bursts, and
SRAM words are counted at the edge of the array (or vector unit). All are of the whole batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from accelsim.arguments import checked
from accelsim.errors import UnknownNameError
from accelsim.hardware import BEST
from accelsim.lowering.energy import Energy as Energy
from accelsim.lowering.ranking import Tiling, plain
from accelsim.lowering.traffic import Counts, Dram, Inside, Sram
from accelsim.network.ops import Shape
from accelsim.results.flat import SAID_WHERE_ANY, layer_record
from accelsim.results.frames import frame
from accelsim.results.rates import Rates
from accelsim.text import html_table, visible
from accelsim.units import format_bytes

if TYPE_CHECKING:
    import pandas

    from accelsim.lowering import row_stationary
    from accelsim.network.graph import Layer
    from accelsim.results.origin import Origin
    from accelsim.results.tiles import Tiles

Bound = Literal["array", "dram", "buffer", "vector", "none"]
SCHEMA = 1
PHASES = ("forward", "loss", "recompute", "input_gradient", "weight_gradient", "update")
AnyCounts = TypeVar("AnyCounts", bound=Counts)


@dataclass(frozen=True, slots=True)
class Buckets(Counts):
    """Where cycles went. Each cycle of a layer is in exactly one bucket: they sum to its cycles.

    useful: what the layer's work takes with every PE (or lane) busy.
    idle_pes: the rest of the streaming, lost to PEs (lanes) without work, or at inserted zeros.
    fill_drain: operands skewing in, stationary operands loading, results shifting out.
    buffer: beyond the array's law, because words come at the buffer's bandwidth.
    dram_read: waiting for operands. dram_write: waiting for stores (and moves of what stays on
    chip), which hold the buffer or end the layer. other_layer: another layer's tiles are on
    the array (or vector unit), or in the buffer room that this one needs.
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
class Resident(Counts):
    """Bytes of feature maps that lie on chip: ifmaps read there, and the ofmap kept there."""

    ifmap_bytes: int = 0
    ofmap_bytes: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class LayerResult:
    """One layer of a run.

    start_cycle is when the layer's inputs exist and its first transfer or computation begins,
    end_cycle when its ofmap is complete, in DRAM or on chip; filters may be loaded before.
    array_cycles are the folds of the tiles as scheduled, of the array that does most; busy_cycles
    the layer's own work on its unit (array or vector unit) of the core that finishes last, which
    does not grow with what it waits for. untiled_array_cycles and mapping_efficiency are of the
    whole layer's folds, as if every operand were on chip. energy is None where the hardware names
    no energy table. mapping is a row-stationary array's, tiling any layer's. dram_saved_bytes is
    how much less the layer moves than with nothing resident; negative where resident feature
    maps of other layers take the room of its tiles. phase is the part of a training step: one
    of PHASES. dataflow is the array's for this layer; None where it is not on the array.
    lane_macs are those of macs that the vector unit does. zero_macs, by inserted zeros, are done
    beside macs: they take time and energy, and are no work.
    A layer that is fused_into another is done on that one's way out. between_cycles are those
    from its start to its end that belong to other parts of a batch in parts: between its own
    turns. inputs are the layers, or the network's inputs, that it reads.
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
    busy_cycles: int
    dram_cycles: int
    utilization: float
    mapping_efficiency: float
    bound: Bound
    tiles: int
    sram: Sram
    dram: Dram
    buckets: Buckets
    inside: Inside = field(default_factory=Inside)
    energy: Energy | None = None
    mapping: "row_stationary.Mapping | None" = None
    tiling: "Tiling | None" = None
    resident: Resident = Resident()
    dram_saved_bytes: int = 0
    phase: str = "forward"
    dataflow: str | None = None
    lane_macs: int = 0
    zero_macs: int = 0
    fused_into: str | None = None
    between_cycles: int = 0
    inputs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line; `as_dict` has it all."""
        share = f"{100 * self.utilization:.1f} % of the PEs"
        named = visible(f"{self.name} ({self.op})")
        return f"<LayerResult {named}: {self.cycles:,} cycles, {share}, bound by {self.bound}>"

    @property
    def array_macs(self) -> int:
        """Those of macs that the array does."""
        return self.macs - self.lane_macs

    @property
    def cycles(self) -> int:
        """Cycles from start to end, without those between the parts of a batch."""
        return self.end_cycle - self.start_cycle - self.between_cycles

    @property
    def is_free(self) -> bool:
        """Whether the layer does nothing: a view, or a concat whose inputs are written in place."""
        return self.tiles == 0

    def as_dict(self) -> dict[str, Any]:
        """The layer's JSON form; energy is left out where there is none, dataflow for the run."""
        not_plain = ("energy", "dataflow", "lane_macs")
        unsaid = (*not_plain, *SAID_WHERE_ANY)
        data = {name: getattr(self, name) for name in self.__slots__ if name not in unsaid}
        return {
            **data,
            "gemm": dict(zip(("m", "n", "k"), self.gemm, strict=True)) if self.gemm else None,
            "output_shape": list(self.output_shape),
            "inputs": list(self.inputs),
            "mapping": asdict(self.mapping) if self.mapping else None,
            "tiling": plain(self.tiling) or None,
            **{name: value.as_dict() for name, value in data.items() if isinstance(value, Counts)},
            "cycles": self.cycles,
            **{name: getattr(self, name) for name in SAID_WHERE_ANY if getattr(self, name)},
            **_energy_dict(self.energy, self.macs),
        }


def _sum(none: AnyCounts, parts: Iterable[AnyCounts]) -> AnyCounts:
    """All parts added up, field by field."""
    fields = zip(none.values(), *(part.values() for part in parts), strict=True)
    return type(none)(*map(sum, fields))


def _energy_dict(energy: Energy | None, macs: int) -> dict[str, Any]:
    """What JSON says of energy: nothing where no table is named."""
    if energy is None:
        return {}
    return {
        "energy_pj": energy.total,
        "energy_pj_per_mac": energy.per_mac(macs),
        "energy": energy.as_dict(),
    }


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """A network on a hardware: when everything happened and what moved.

    `cycles` is when the last layer ends. Layers overlap (branches, prefetch), so their cycles
    may sum to more; everything else in the totals is the sum over layers. `origin` is what it was
    made from, `tiles` what they do, where asked for. `sub_batches` are the images of each part,
    where the batch runs in several. `mapping` is what `simulate` takes to make the run again.
    """

    network: str
    hardware: str
    dataflow: str
    batch: int
    clock_hz: int
    pes: int
    cycles: int
    layers: tuple[LayerResult, ...]
    origin: "Origin | None" = field(default=None, compare=False, repr=False)
    tiles: "Tiles | None" = field(default=None, compare=False, repr=False)
    sub_batches: tuple[int, ...] = ()
    mapping: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def of(self, layers: Iterable["Layer"]) -> "RunResult":
        """This run, of layers that take the same under other names."""
        pairs = zip(self.layers, layers, strict=True)
        named = (replace(own, name=each.name, inputs=each.inputs) for own, each in pairs)
        return replace(self, layers=tuple(named))

    @property
    def is_mixed(self) -> bool:
        """Whether each layer has a dataflow of its own."""
        return self.dataflow == BEST

    @property
    def seconds(self) -> float:
        """Simulated time."""
        return self.cycles / self.clock_hz

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def zero_macs(self) -> int:
        """Multiply-accumulates by inserted zeros of all layers, beside those of `macs`."""
        return sum(layer.zero_macs for layer in self.layers)

    @property
    def array_macs(self) -> int:
        """Multiply-accumulates that the array does, not the lanes of its vector unit."""
        return sum(layer.array_macs for layer in self.layers)

    @property
    def utilization(self) -> float:
        """MACs done by the array of those that all PEs could have done in the time."""
        return self.array_macs / (self.pes * self.cycles) if self.cycles else 0.0

    @property
    def dram(self) -> Dram:
        """DRAM bytes of all layers."""
        return _sum(Dram(), (layer.dram for layer in self.layers))

    @property
    def sram(self) -> Sram:
        """Words at the array's edge of all layers."""
        return _sum(Sram(), (layer.sram for layer in self.layers))

    @property
    def dram_saved_bytes(self) -> int:
        """DRAM bytes that residency saves."""
        return sum(layer.dram_saved_bytes for layer in self.layers)

    @property
    def inside(self) -> Inside:
        """What moves inside the arrays in all layers."""
        return _sum(Inside(), (layer.inside for layer in self.layers))

    @property
    def energy(self) -> Energy | None:
        """Energy of all layers; None where the hardware names no energy table."""
        parts = [layer.energy for layer in self.layers if layer.energy is not None]
        return reduce(add, parts) if parts else None

    @property
    def rates(self) -> Rates:
        """What the run comes to per second, per watt, per image and per byte of DRAM."""
        energy = self.energy
        return Rates(
            images=self.batch,
            seconds=self.seconds,
            macs=self.macs,
            dram_bytes=self.dram.total_bytes,
            energy_pj=energy.total if energy else None,
            dram_pj=energy.dram if energy else 0.0,
        )

    @property
    def buckets(self) -> Buckets:
        """Layer cycles of all layers, by bucket."""
        return _sum(Buckets(), (layer.buckets for layer in self.layers))

    @checked
    def layer(self, name: str) -> LayerResult:
        """The layer called `name`; raises UnknownNameError, a KeyError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise UnknownNameError("layer", name, [layer.name for layer in self.layers])

    def to_frame(self) -> "pandas.DataFrame":
        """A row for each layer, as in CSV; needs pandas."""
        return frame(layer_record(self.layer_dict(layer)) for layer in self.layers)

    def __repr__(self) -> str:
        """One line, however many layers there are."""
        named = visible(f"{self.network} on {self.hardware}")
        what = f"{named}, {self.dataflow}, batch {self.batch}"
        return f"<RunResult {what}: {self.cycles:,} cycles, {len(self.layers)} layers>"

    def _repr_html_(self) -> str:
        """The layers as a table, for notebooks."""
        headers = ("layer", "op", "cycles", "utilization %", "DRAM", "bound")
        rows = [
            (
                *(layer.name, layer.op, f"{layer.cycles:,}", f"{100 * layer.utilization:.1f}"),
                *(format_bytes(layer.dram.total_bytes), layer.bound),
            )
            for layer in self.layers
        ]
        share = f"{100 * self.utilization:.1f}"
        moved = format_bytes(self.dram.total_bytes)
        whole = ("whole run", "", f"{self.cycles:,}", share, moved, "")
        return html_table(repr(self).strip("<>"), headers, (*rows, whole))

    @property
    def phases(self) -> "dict[str, RunResult]":
        """The layers of each phase, as runs that take the sum of their layers' cycles."""
        found = {layer.phase for layer in self.layers}
        names = [phase for phase in PHASES if phase in found]
        of = {name: [each for each in self.layers if each.phase == name] for name in names}
        return {
            name: replace(self, layers=tuple(some), cycles=sum(each.cycles for each in some))
            for name, some in of.items()
        }

    @property
    def totals(self) -> dict[str, Any]:
        """The JSON form of the totals."""
        dram = self.dram
        return {
            "cycles": self.cycles,
            "seconds": self.seconds,
            "macs": self.macs,
            **({"zero_macs": self.zero_macs} if self.zero_macs else {}),
            "parameters": sum(layer.parameters for layer in self.layers),
            "utilization": self.utilization,
            "layer_cycles": sum(layer.cycles for layer in self.layers),
            "array_cycles": sum(layer.array_cycles for layer in self.layers),
            "untiled_array_cycles": sum(layer.untiled_array_cycles for layer in self.layers),
            "vector_cycles": sum(layer.vector_cycles for layer in self.layers),
            "busy_cycles": sum(layer.busy_cycles for layer in self.layers),
            "dram_cycles": sum(layer.dram_cycles for layer in self.layers),
            "dram_read_bytes": dram.read_bytes,
            "dram_write_bytes": dram.write_bytes,
            "dram_saved_bytes": self.dram_saved_bytes,
            "dram": dram.as_dict(),
            "sram": self.sram.as_dict(),
            "inside": self.inside.as_dict(),
            "buckets": self.buckets.as_dict(),
            **_energy_dict(self.energy, self.macs),
            **self.rates.as_dict(),
        }

    def layer_dict(self, layer: LayerResult) -> dict[str, Any]:
        """A layer's JSON form, with its dataflow where the layers have different ones."""
        mixed = {"dataflow": layer.dataflow} if self.is_mixed else {}
        return layer.as_dict() | mixed

    def _phases_dict(self) -> dict[str, Any]:
        """The totals of each phase, where there are several."""
        phases = self.phases
        if len(phases) < 2:
            return {}
        return {"phases": {name: part.totals for name, part in phases.items()}}

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the run."""
        return {
            "schema": SCHEMA,
            "network": self.network,
            "hardware": self.hardware,
            "dataflow": self.dataflow,
            "batch": self.batch,
            **({"sub_batches": list(self.sub_batches)} if self.sub_batches else {}),
            "clock_hz": self.clock_hz,
            **({"made_by": self.origin.as_dict()} if self.origin else {}),
            "totals": self.totals,
            **self._phases_dict(),
            "layers": [self.layer_dict(layer) for layer in self.layers],
        }
