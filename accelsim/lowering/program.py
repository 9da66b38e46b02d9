"""The Program: the tile tasks, layer by layer, that the engine times and the executor computes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.dram.transfer import bursts_of
from accelsim.hardware import DataflowName, FusedKind, Hardware, Objective
from accelsim.lowering.kernels import GemmKernel, Kernel
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.residency import Placement
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.stays import Stay
from accelsim.lowering.target import AnyArray, Target
from accelsim.lowering.task import Step, Task
from accelsim.lowering.traffic import Dram, DramCommands, Inside, Sram
from accelsim.lowering.units import Unit
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import Shape


@dataclass(frozen=True)
class LayerProgram:
    """A layer's schedule, for each array. `needs` are the layers whose ofmaps it reads.

    `spaces` is the room of its tiles in each buffer. Its `placement` says which other layers must
    be done before it may use that. `addend` is the tensor that is added to its ofmap on the way
    out; a layer that is `fused_into` another is done there, by that one's tiles if it pools, the
    `carrier`. `leaves_as` is what the layer's ofmap is called then, and `apart` says why a pooling
    layer is not done so. `processor` is the array under the layer's own dataflow, None where all
    have that of the hardware.
    """

    layer: Layer
    kernel: Kernel
    unit: Unit | None
    needs: tuple[int, ...]
    schedules: tuple[Schedule, ...]
    tiling: Tiling | None
    spaces: tuple[int, ...]
    placement: Placement
    untiled_array_cycles: int = 0
    mapping_efficiency: float = 0.0
    folds: int | None = None
    mapping: Mapping | None = None
    addend: str | None = None
    fused_into: str | None = None
    carrier: "LayerProgram | None" = None
    leaves_as: str | None = None
    apart: str | None = None
    processor: AnyArray | None = None

    @property
    def all_tasks(self) -> tuple[Task, ...]:
        """Tasks of all arrays."""
        return tuple(task for schedule in self.schedules for task in schedule.tasks)

    @property
    def steps(self) -> tuple[tuple[tuple[Step, int], ...], ...]:
        """For each array the different steps of its tasks, and how often each occurs."""
        return tuple(schedule.counts for schedule in self.schedules)

    @property
    def tiles(self) -> int:
        """Tasks of all arrays, counted."""
        return sum(schedule.length for schedule in self.schedules)

    def busy_cycles(self, array: int) -> int:
        """Cycles of all tiles of one array (or its vector unit), to the last result."""
        schedule = self.schedules[array]
        tail = schedule.last.work.tail if schedule.nest else 0
        return schedule.cycles + tail

    @property
    def sram(self) -> Sram:
        """Words at the edge of all arrays (or vector units)."""
        return sum((schedule.sram for schedule in self.schedules), start=Sram())

    @property
    def inside(self) -> Inside:
        """What moves inside all arrays."""
        return sum((schedule.inside for schedule in self.schedules), start=Inside())

    @property
    def operations(self) -> int:
        """MACs of all arrays, or lane operations of all vector units."""
        return sum(schedule.operations for schedule in self.schedules)

    @property
    def dram(self) -> Dram:
        """Bytes between DRAM and the buffers."""
        return sum((schedule.dram for schedule in self.schedules), start=Dram())

    @property
    def resident_inputs(self) -> tuple[Shape, ...]:
        """Shapes of the inputs that lie on chip."""
        here, shapes = self.placement.residence.ifmaps, self.layer.input_shapes
        if isinstance(self.kernel, GemmKernel):  # its ifmap, and what is added to its ofmap
            shapes = (shapes[0], self.layer.output_shape)
        return tuple(shape for shape, lies in zip(shapes, here, strict=False) if lies)

    def dram_cycles(self, target: Target, filters: bool = True) -> int:
        """Cycles that the layer's transfers occupy the DRAM channel, those of `filters` or not."""
        return sum(
            target.occupied_cycles(transfer) * count
            for steps in self.steps
            for step, count in steps
            for transfer in step.transfers
            if filters or transfer.operand != "filter"
        )

    def dram_commands(self, target: Target) -> DramCommands | None:
        """What the layer's transfers tell a DRAM that is timed; None of one that is not."""
        sheet = target.timing
        if sheet is None:
            return None
        moves = [
            (transfer, count)
            for schedule in self.schedules
            for step, count in schedule.counts
            for transfer in step.transfers
        ]
        bursts = {False: 0, True: 0}
        rows = Fraction(0)
        for move, count in moves:
            bursts[move.is_write] += count * bursts_of(sheet, move.runs)
            rows += count * target.replays.transfer_activates(sheet, move.runs, move.is_write)
        return DramCommands(float(rows), reads=bursts[False], writes=bursts[True])


@dataclass(frozen=True, slots=True)
class Program:
    """A network lowered onto a hardware.

    `dataflows` are those of the layers, None of one that has none; empty where all have that of
    the hardware. `stays` are the ofmaps that stay on chip, `fuses` what is done on the way out. The
    search that found it minimised what is `minimised`.
    """

    network: Network
    hardware: Hardware
    batch: int
    target: Target
    layers: tuple[LayerProgram, ...]
    dataflows: tuple[DataflowName | None, ...] = ()
    stays: tuple[Stay, ...] = ()
    fuses: tuple[FusedKind, ...] = ()
    minimised: Objective = "time"

    def dataflow_of(self, position: int) -> DataflowName | None:
        """The dataflow of a layer; None of one that has none."""
        if self.dataflows:
            return self.dataflows[position]
        on_array = isinstance(self.layers[position].kernel, GemmKernel)
        return self.hardware.array.dataflow if on_array else None

    @property
    def flows(self) -> tuple[DataflowName | None, ...]:
        """The dataflow of each layer."""
        return tuple(map(self.dataflow_of, range(len(self.layers))))

    @property
    def tiles(self) -> int:
        """Tasks of all layers."""
        return sum(layer.tiles for layer in self.layers)

    @property
    def least_array_cycles(self) -> int:
        """Cycles of all arrays together that no tiling takes less than: those of uncut folds."""
        return sum(
            min(layer.untiled_array_cycles, sum(each.cycles for each in layer.schedules))
            for layer in self.layers
            if layer.unit == "array"
        )

    @property
    def begun(self) -> "Program":
        """This program of one layer, as its time is told apart from that of others.

        Where its inputs lie on chip, another layer has made them; meanwhile the filters of its
        first tile have come.
        """
        (layer,) = self.layers
        if not layer.placement.residence.ifmap:
            return self
        schedules = tuple(schedule.begun for schedule in layer.schedules)
        return replace(self, layers=(replace(layer, schedules=schedules),))

    def of(self, network: Network) -> "Program":
        """This program, of a network whose layers are the same under other names."""
        pairs = zip(self.layers, network.layers, strict=True)
        layers = tuple(replace(program, layer=layer) for program, layer in pairs)
        return replace(self, network=network, layers=layers)


Played = Callable[["Program"], float]
"""What a program costs by the objective of its target, as played: cycles, pJ or their product."""
