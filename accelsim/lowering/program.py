"""The Program: the tile tasks, layer by layer, that the engine times and the executor computes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Hardware
from accelsim.lowering.cost import Residence, Target, target_of
from accelsim.lowering.dataflow import mapping_efficiency, untiled_cycles
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel, copy_of, kernel_of
from accelsim.lowering.residency import Placement, Tiling, can_keep, plan_residency
from accelsim.lowering.row_stationary import Mapping, RowStationary
from accelsim.lowering.row_stationary_search import best_mapping, pes_holding_work
from accelsim.lowering.row_stationary_tasks import row_stationary_tasks
from accelsim.lowering.task import Step, Task
from accelsim.lowering.tasks import gemm_tasks, vector_tasks
from accelsim.lowering.tiling import GemmTiling, VectorTiling, best_tiling, best_vector_tiling
from accelsim.lowering.traffic import Dram, Inside, Sram
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import Concat, Shape

Unit = Literal["array", "vector"]


@dataclass(frozen=True)
class LayerProgram:
    """A layer's tasks, for each array. `needs` are the layers whose ofmaps it reads.

    `spaces` is the room of its tiles in each buffer. Its `placement` says which other layers must
    be done before it may use that.
    """

    layer: Layer
    kernel: Kernel
    unit: Unit | None
    needs: tuple[int, ...]
    tasks: tuple[tuple[Task, ...], ...]
    tiling: Tiling | None
    spaces: tuple[int, ...]
    placement: Placement
    untiled_array_cycles: int = 0
    mapping_efficiency: float = 0.0

    @cached_property
    def all_tasks(self) -> tuple[Task, ...]:
        """Tasks of all arrays."""
        return tuple(task for tasks in self.tasks for task in tasks)

    @cached_property
    def steps(self) -> tuple[tuple[tuple[Step, int], ...], ...]:
        """For each array the different steps of its tasks, and how often each occurs."""
        return tuple(_counted([task.step for task in tasks]) for tasks in self.tasks)

    def busy_cycles(self, array: int) -> int:
        """Cycles of all tiles of one array (or its vector unit), to the last result."""
        tasks = self.tasks[array] if self.tasks else ()
        tail = tasks[-1].step.work.tail if tasks else 0
        return sum(step.cycles * count for step, count in self.steps[array]) + tail

    @property
    def sram(self) -> Sram:
        """Words at the edge of all arrays (or vector units)."""
        words = (step.work.sram.times(count) for steps in self.steps for step, count in steps)
        return sum(words, start=Sram())

    @property
    def inside(self) -> Inside:
        """What moves inside all arrays."""
        moved = (step.work.inside.times(count) for steps in self.steps for step, count in steps)
        return sum(moved, start=Inside())

    @property
    def operations(self) -> int:
        """MACs of all arrays, or lane operations of all vector units."""
        return sum(step.work.operations * count for steps in self.steps for step, count in steps)

    @property
    def dram(self) -> Dram:
        """Bytes between DRAM and the buffers."""
        moved = (step.dram.times(count) for steps in self.steps for step, count in steps)
        return sum(moved, start=Dram())

    @property
    def resident_inputs(self) -> tuple[Shape, ...]:
        """Shapes of the inputs that lie on chip."""
        here = self.placement.residence.ifmaps
        return tuple(
            shape for shape, lies in zip(self.layer.input_shapes, here, strict=False) if lies
        )

    def dram_cycles(self, target: Target) -> int:
        """Cycles that the layer's transfers occupy the DRAM channel."""
        return sum(
            target.occupied_cycles(transfer) * count
            for steps in self.steps
            for step, count in steps
            for transfer in step.transfers
        )


def _counted(steps: Sequence[Step]) -> tuple[tuple[Step, int], ...]:
    """The different steps and their counts; equal steps are one object."""
    counts = Counter(map(id, steps))
    different = {id(step): step for step in steps}
    return tuple((different[key], count) for key, count in counts.items())


@dataclass(frozen=True, slots=True)
class Program:
    """A network lowered onto a hardware."""

    network: Network
    hardware: Hardware
    batch: int
    target: Target
    layers: tuple[LayerProgram, ...]


def lower(network: Network, hardware: Hardware, batch: int = 1) -> Program:
    """Lower every layer of `network` onto `hardware` for `batch` images.

    Raises DoesNotFitError naming each layer that no tile fits.
    """
    target = target_of(hardware)
    index = {layer.name: position for position, layer in enumerate(network.layers)}
    needs = [
        tuple(index[name] for name in layer.inputs if name in index) for layer in network.layers
    ]
    kernels = kernels_of(network, batch)
    tilings = _tilings(network, hardware, kernels, target)
    if hardware.residency == "on" and can_keep(target):
        placements = plan_residency(network, kernels, needs, target, batch).layers
    else:
        size = target.buffers[target.buffer_index("ifmap")].size
        placements = tuple(Placement(tiling, Residence(), size) for tiling in tilings)
    programs = map(partial(_lower_layer, target), network.layers, kernels, needs, placements)
    return Program(network, hardware, batch, target, tuple(programs))


def kernels_of(network: Network, batch: int) -> list[Kernel]:
    """The kernel of every layer; a concat that is not in place copies."""
    copied = out_of_place(network)
    return [
        copy_of(layer, batch) if layer.name in copied else kernel_of(layer, batch)
        for layer in network.layers
    ]


def _tilings(
    network: Network, hardware: Hardware, kernels: Sequence[Kernel], target: Target
) -> list[Tiling | None]:
    """The best tiling of every layer with nothing resident.

    Raises DoesNotFitError with every layer that no tile fits.
    """
    tilings, misfits = [], []
    for layer, kernel in zip(network.layers, kernels, strict=True):
        try:
            tilings.append(_tiling(kernel, target))
        except DoesNotFitError as error:
            misfits.append(f"{network.name} on {hardware.name}: layer {layer.name}: {error}")
    if misfits:
        raise DoesNotFitError("\n".join(misfits))
    return tilings


def out_of_place(network: Network) -> set[str]:
    """Concats that must copy: an input is the network's own, or has a place elsewhere already.

    All others are in place: their inputs are written where the concat wants them.
    """
    placed: set[str] = set()
    copied = set()
    for layer in network.layers:
        if not isinstance(layer.op, Concat):
            continue
        inputs = set(layer.inputs)
        views = {name for name in inputs if name in network.inputs or _is_view(network, name)}
        if views or inputs & placed or len(inputs) < len(layer.inputs):
            copied.add(layer.name)
        else:
            placed |= inputs
    return copied


def _is_view(network: Network, name: str) -> bool:
    layer = network.by_name[name]
    return isinstance(kernel_of(layer, 1), Alias) and not isinstance(layer.op, Concat)


def _tiling(kernel: Kernel, target: Target) -> Tiling | None:
    match kernel:
        case GemmKernel() if isinstance(target.processor, RowStationary):
            return best_mapping(kernel, target)
        case GemmKernel():
            return best_tiling(kernel, target)
        case VectorKernel():
            return best_vector_tiling(kernel, target)
        case Alias():
            return None


def _lower_layer(
    target: Target, layer: Layer, kernel: Kernel, needs: tuple[int, ...], placement: Placement
) -> LayerProgram:
    """The program of a layer: its tasks move what does not lie on chip."""
    spaces = [space.size for space in target.buffers]
    spaces[target.buffer_index("ifmap")] = placement.space
    target = replace(target, residence=placement.residence)
    rooms = (tuple(spaces), placement)
    match kernel, placement.tiling:
        case GemmKernel(), Mapping() as mapping:
            tasks = row_stationary_tasks(kernel, target.without_dram, mapping)
            program = LayerProgram(layer, kernel, "array", needs, tasks, mapping, *rooms)
            busy = sum(step.cycles * count for steps in program.steps for step, count in steps)
            mapped = pes_holding_work(kernel, target, mapping)
            return replace(program, untiled_array_cycles=busy, mapping_efficiency=mapped)
        case GemmKernel(), GemmTiling() as tiling:
            tasks = gemm_tasks(kernel, target.without_dram, tiling)
            untiled = kernel.groups * untiled_cycles(target.array, kernel.gemm)
            mapped = mapping_efficiency(target.array, kernel.gemm)
            counts = (untiled, mapped)
            return LayerProgram(layer, kernel, "array", needs, tasks, tiling, *rooms, *counts)
        case VectorKernel(), VectorTiling() as vector_tiling:
            tasks = vector_tasks(kernel, target.without_dram, vector_tiling)
            return LayerProgram(layer, kernel, "vector", needs, tasks, vector_tiling, *rooms)
    return LayerProgram(layer, kernel, None, needs, (), None, *rooms)
