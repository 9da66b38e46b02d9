"""A network on its way to a Program: its kernels, what is fused and kept, its tasks by a tiling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from accelsim.frontend.mapping_file import Source
from accelsim.hardware import FusedKind, Hardware, Objective
from accelsim.lowering.around import in_parts
from accelsim.lowering.depthwise import Lanes, is_depthwise, on_lanes, ways
from accelsim.lowering.forced import forced_kernels, processors_of
from accelsim.lowering.forced_plan import forced_fusion, forced_lanes, forced_skips
from accelsim.lowering.fusion import NOTHING, Fused, fused
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel
from accelsim.lowering.mixed import MixedSearch, Processors
from accelsim.lowering.objective import TRIED
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.program import LayerProgram, Played, Program
from accelsim.lowering.ranking import Tiling, cost_together
from accelsim.lowering.recall import SCHEDULES, Memory
from accelsim.lowering.residency import Placement, Plan
from accelsim.lowering.sampled import Skips, sampled, skippable
from accelsim.lowering.search import Search, search
from accelsim.lowering.target import AnyArray, Residence, Target
from accelsim.lowering.units import lowered
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import AvgPool, Conv, MaxPool

MORE: dict[Objective, str] = {
    "time": "take longer",
    "energy": "take more energy",
    "edp": "have more energy times delay",
}

BORDERS = "windows that overlap or begin in padding need all rows, or columns, in one tile"


@dataclass(frozen=True)
class Lowering:
    """A network on its way to a Program on `target`, what `hardware` is to lowering."""

    network: Network
    hardware: Hardware
    batch: int
    target: Target
    memory: Memory
    mapping: Source | None = None
    processors: Processors = field(default_factory=dict)
    models: Mapping[str, AnyArray] = field(default_factory=dict)
    lanes: Lanes = frozenset()
    skips: Skips = frozenset()
    fuses: tuple[FusedKind, ...] = ()

    @property
    def tried(self) -> tuple[Objective, ...]:
        """The objectives by which whole programs are searched: the forced one, if it is one."""
        usual = TRIED[self.target.objective]
        forced = self.mapping.plan.searched_for if self.mapping else None
        return (forced,) if forced in usual else usual

    def finder(self, played: Played | None) -> Search:
        """The search of its tilings."""
        alone = partial(self.cost_alone, played) if played else None
        found = search(self.target, self.memory, alone)
        if not self.processors:
            return found
        return MixedSearch(found.target, found.memory, found.alone, self.processors)

    def ways(self, finder: Search) -> list[Lanes]:
        """Which layers the vector unit may compute for the array."""
        layers = enumerate(zip(self.network.layers, self.unforced, strict=True))
        found = {at: kernel for at, (layer, kernel) in layers if is_depthwise(layer, kernel)}
        if self.mapping is not None:
            forced = forced_lanes(self.mapping, self.network, [*found], self.hardware)
            if forced is not None:
                return [forced]
        return ways(found, finder, self.hardware.depthwise)

    @property
    def skippable(self) -> list[Skips]:
        """Of which layers the DMA may leave out rows that no tap reads."""
        skips = self.hardware.dram.unread_rows == "skip"
        may = skips and self.target.processor.skips_rows
        kernels = kernels_of(self.network, self.batch) if may else []
        layers = self.network.layers
        convs = {at: each for at, each in enumerate(kernels) if isinstance(layers[at].op, Conv)}
        if self.mapping is not None:
            forced = forced_skips(self.mapping, self.network, convs)
            if forced is not None:
                return [forced]
        return skippable(convs, self.finder(None))

    @cached_property
    def alike(self) -> Target:
        """It stands for all targets on which the tasks of a tiling are the same."""
        return self.target.without_dram.of_any_size

    @cached_property
    def kernels(self) -> list[Kernel]:
        """The kernel of every layer; it carries what is forced on that."""
        if self.mapping is None:
            return self.unforced
        meant = replace(self, batch=self.mapping.images or self.batch).unforced
        return forced_kernels(self.network, self.unforced, meant, self.target, self.mapping)

    @cached_property
    def seen(self) -> Processors:
        """The array as each kernel sees it that has a dataflow of its own."""
        forced = processors_of(self.kernels, self.models) if self.models else {}
        return {**self.processors, **forced}

    @cached_property
    def fused(self) -> Fused:
        """What is done on the way out of the array, where it can be."""
        if not (self.fuses and self.target.processor.fuses):
            return NOTHING
        return fused(self.network, self.apart_kernels, self.fuses, self.refusal)

    @property
    def fusions(self) -> list[tuple[FusedKind, ...]]:
        """What to do on the way out, to choose from: all that is possible first, nothing last."""
        kinds = self.hardware.fused
        if self.mapping is not None:
            forced = forced_fusion(self.mapping, self.hardware)
            if forced is not None:
                return [forced]
        found: dict[frozenset[str], tuple[FusedKind, ...]] = {}
        for some in (kinds, tuple(kind for kind in kinds if kind != "pool"), ()):
            found.setdefault(frozenset(replace(self, fuses=some).fused.into), some)
        return [*found.values()]

    def refusal(self, kernel: GemmKernel, layer: Layer) -> str | None:
        """Why a pooling is not done on the way out, by the closed form; None if it is."""
        finder = self.finder(None)
        own = self.apart_kernels[self.network.layers.index(layer)]
        together, apart, alone = (
            finder(each, Residence()).best for each in (kernel, replace(kernel, pooled=None), own)
        )
        if together is None:
            return "no tile that fits the buffers has whole windows; " + BORDERS
        if self.mapping is not None and self.mapping.plan.fused is not None:
            return "the mapping gives it tiles" if layer.name in self.mapping.layers else None
        if apart and alone and together.cost > cost_together([apart, alone]):
            more = MORE[self.target.objective]
            return f"tiles of whole windows {more} than a pass of its own; {BORDERS}"
        return None

    @cached_property
    def wired(self) -> Network:
        """The network as tensors are read: what is fused reads them on the way out of another."""
        return self.fused.wired(self.network)

    @property
    def unforced(self) -> list[Kernel]:
        """The kernel of every layer, with what is fused."""
        names = [layer.name for layer in self.network.layers]
        return self.fused.kernels(self.apart_kernels, names)

    @cached_property
    def apart_kernels(self) -> list[Kernel]:
        """The kernel of every layer by itself, for the unit that computes it."""
        kernels = kernels_of(self.network, self.batch)
        for at in self.lanes:
            kernels[at] = on_lanes(kernels[at], self.target.cuts_windows)
        for at in self.skips:
            kernels[at] = sampled(kernels[at])
        finder = self.finder(None)
        return [in_parts(kernel, finder) for kernel in kernels]

    @cached_property
    def samples(self) -> dict[Kernel, Layer]:
        """A layer for every kernel."""
        return dict(zip(self.kernels, self.network.layers, strict=True))

    def sample_of(self, kernel: GemmKernel) -> Layer:
        """A layer with a kernel; with any one for the array, if it is part of one."""
        found = self.samples.get(kernel)
        several = self.samples.items()
        return found or next(layer for its, layer in several if isinstance(its, GemmKernel))

    @cached_property
    def needs(self) -> list[tuple[int, ...]]:
        """The layers that each one reads."""
        index = {layer.name: position for position, layer in enumerate(self.network.layers)}
        return [
            tuple(index[name] for name in (*layer.inputs, *_after(layer)) if name in index)
            for layer in self.wired.layers
        ]

    def program(self, placements: Iterable[Placement]) -> Program:
        """The Program with every layer in its place."""
        made = map(self.layer, self.network.layers, self.kernels, self.needs, placements)
        layers = self.carried([*made])
        program = Program(
            network=self.network,
            hardware=self.hardware,
            batch=self.batch,
            target=self.target,
            layers=layers,
        )
        return replace(program, fuses=self.fuses)

    def planned(self, plan: Plan) -> Program:
        """The Program with every layer where the plan has it."""
        return replace(self.program(plan.layers), stays=plan.stays)

    def carried(self, layers: Sequence[LayerProgram]) -> tuple[LayerProgram, ...]:
        """The layers, where one that pools on the way out knows whose tiles it pools."""
        if not self.fused.pooled:
            return (*layers,)
        by_name = {each.layer.name: each for each in layers}
        return tuple(
            replace(each, carrier=by_name[each.fused_into])
            if each.fused_into and isinstance(each.layer.op, MaxPool | AvgPool)
            else each
            for each in layers
        )

    def apart(self, finder: Search) -> Program:
        """The Program with nothing on chip but the tiles of the layer at hand."""
        size = self.target.buffers[self.target.buffer_index("ifmap")].size
        tilings = (_tiling(kernel, finder) for kernel in self.kernels)
        return self.program(
            Placement(tiling=tiling, residence=Residence(), space=size) for tiling in tilings
        )

    def alone(
        self,
        layer: Layer,
        kernel: Kernel,
        placement: Placement,
        processor: AnyArray | None = None,
    ) -> Program:
        """The Program of one layer."""
        one = self.layer(layer, kernel, (), placement, processor)
        return Program(
            network=self.network,
            hardware=self.hardware,
            batch=self.batch,
            target=self.target,
            layers=(one,),
        )

    def cost_alone(
        self, played: Played, kernel: GemmKernel, target: Target, space: int, tiling: Tiling
    ) -> float:
        """The cost of a kernel by itself, as played on the array of `target`, under its dataflow.

        Part of a layer's kernel is none that has a dataflow of its own here.
        """
        placement = Placement(tiling=tiling, residence=target.residence, space=space)
        one = self.alone(self.sample_of(kernel), kernel, placement, target.processor)
        return played(one)

    def anew(self, program: LayerProgram, placement: Placement) -> LayerProgram:
        """The program of a layer in another place."""
        return self.layer(program.layer, program.kernel, program.needs, placement)

    def layer(
        self,
        layer: Layer,
        kernel: Kernel,
        needs: tuple[int, ...],
        placement: Placement,
        processor: AnyArray | None = None,
    ) -> LayerProgram:
        """The program of a layer: its tasks move what does not lie on chip.

        It is for `processor`, or for the array as the layer sees it.
        """
        spaces = [space.size for space in self.target.buffers]
        spaces[self.target.buffer_index("ifmap")] = placement.space
        own = processor or self.seen.get(kernel)
        alike = replace(
            self.alike, residence=placement.residence, processor=own or self.alike.processor
        )
        key = kernel, alike, placement.tiling
        done = self.memory.recall("schedules", key, lambda: lowered(*key), SCHEDULES)
        return LayerProgram(
            layer=layer,
            kernel=kernel,
            unit=done.unit,
            needs=needs,
            schedules=done.schedules,
            tiling=placement.tiling,
            spaces=tuple(spaces),
            placement=placement,
            untiled_array_cycles=done.untiled_array_cycles,
            mapping_efficiency=done.mapping_efficiency,
            folds=done.folds,
            mapping=done.mapping,
            addend=self.fused.addends.get(layer.name),
            fused_into=self.fused.into.get(layer.name),
            leaves_as=self.fused.last_of(layer.name),
            apart=self.fused.apart.get(layer.name),
            processor=own,
        )


def _after(layer: Layer) -> tuple[str, ...]:
    """The layer that one waits for without reading it."""
    return (layer.again.after,) if layer.again and layer.again.after else ()


def _tiling(kernel: Kernel, finder: Search) -> Tiling | None:
    """The best tiling of a kernel that fits, with nothing resident; None for an alias."""
    if isinstance(kernel, Alias):
        return None
    best = finder(kernel, Residence()).refined
    assert best is not None
    return best.tiling


def by_itself(program: Program, layer: LayerProgram, tiling: Tiling) -> Program:
    """A layer of `program` alone, in the same room, cut by `tiling`."""
    work = Lowering(
        network=program.network,
        hardware=program.hardware,
        batch=program.batch,
        target=program.target,
        memory=Memory(),
    )
    placement = Placement(
        tiling=tiling, residence=layer.placement.residence, space=layer.placement.space
    )
    return work.alone(layer.layer, layer.kernel, placement)
