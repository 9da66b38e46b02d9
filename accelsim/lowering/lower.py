"""From a network to its Program on a hardware: which tilings, what stays on chip, in which way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product

from accelsim.errors import DoesNotFitError, InputError
from accelsim.frontend.mapping_file import Source
from accelsim.hardware import FusedKind, Hardware, Objective
from accelsim.lowering.dataflow import ArrayModel
from accelsim.lowering.depthwise import Lanes, is_depthwise, on_lanes, ways
from accelsim.lowering.forced import ForcedSearch, forced_kernels, processors_of
from accelsim.lowering.forced_plan import (
    ForcedPlan,
    forced_arrays,
    forced_fusion,
    forced_lanes,
    forced_skips,
)
from accelsim.lowering.fusion import NOTHING, Fused, fused
from accelsim.lowering.kept_weights import with_kept_weights
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel
from accelsim.lowering.misfits import refuse_misfits, refuse_others
from accelsim.lowering.mixed import MixedSearch, Processors
from accelsim.lowering.objective import TRIED
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.program import LayerProgram, Played, Program
from accelsim.lowering.ranking import Tiling, cost_together
from accelsim.lowering.residency import Placement, Plan, can_keep, plan_residency
from accelsim.lowering.sampled import Skips, sampled, skippable
from accelsim.lowering.search import Memory, Search, search
from accelsim.lowering.target import Processor, Residence, Target, target_of
from accelsim.lowering.units import lowered
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import AvgPool, Conv, MaxPool

SLOWER = 1.02
"""How much more a network may cost with feature maps on chip than layer by layer."""


SHORT = 65536
"""Tasks of a program that is short: there chance decides how layers get past each other.

In a longer one it evens out, and it takes long to play.
"""


FEW = 4096
"""Tasks of a program that is also played on some of its arrays: more of them have work for all."""

VERY_FEW = 64
"""Tasks of a program that is also played on any number of them: its shares are uneven."""


MORE: dict[Objective, str] = {
    "time": "take longer",
    "energy": "take more energy",
    "edp": "have more energy times delay",
}

BORDERS = "windows that overlap or begin in padding need all rows, or columns, in one tile"


def lower(
    network: Network,
    hardware: Hardware,
    batch: int = 1,
    memory: Memory | None = None,
    played: Played | None = None,
    mapping: Source | None = None,
    processors: Processors | None = None,
    models: Mapping[str, Processor] | None = None,
) -> Program:
    """Lower every layer of `network` onto `hardware` for `batch` images.

    Feature maps stay on chip unless that makes a short program dearer, as `played` says; and some
    of the arrays have nothing to do where that makes one faster. `memory` is what earlier calls
    have found, where the caller keeps it. `mapping` forces sizes of tiles, how their loops run, and
    what stays on chip; `processors` are of kernels under another dataflow, `models` of those that
    it may force on each. Raises DoesNotFitError naming each layer that no tile fits.
    """
    memory = Memory() if memory is None else memory
    target = target_of(hardware, memory.replays)
    if mapping is not None:
        mapping = replace(mapping, dataflows=(*(models or [hardware.array.dataflow]),))
        target = forced_arrays(mapping, target)
    work = _Lowering(
        network=network,
        hardware=hardware,
        batch=batch,
        target=target,
        memory=memory,
        mapping=mapping,
        processors=processors or {},
        models=models or {},
    )
    if played is None:
        return _cheapest(work, None)
    found = [work.found_by(each, played) for each in TRIED[target.objective]]
    return min(found, key=played)


def _least(work: "_Lowering", played: Played) -> Program:
    """The Program of least cost; to save time, also on some of the arrays."""
    program, target = _cheapest(work, played), work.target
    if work.mapping is not None or target.objective != "time":
        return program
    for arrays in _fewer(target.arrays, program.tiles):
        if program.tiles > FEW or played(program) * arrays <= program.least_array_cycles:
            break
        fewer = _cheapest(replace(work, target=replace(target, arrays=arrays)), played)
        program = min(program, fewer, key=played)
    return program


def _fewer(arrays: int, tiles: int) -> Iterator[int]:
    """How many of the arrays to try: one less each time, or powers of two where tiles are many."""
    if tiles <= VERY_FEW:
        yield from range(arrays - 1, 0, -1)
        return
    while arrays > 1:
        arrays = 1 << (arrays - 1).bit_length() - 1
        yield arrays


def _cheapest(work: "_Lowering", played: Played | None) -> Program:
    """The Program on the arrays that the target has, in the cheapest of the ways that are open."""
    ways = [
        replace(each, fuses=fuses)
        for lanes, skips in product(work.ways(work.finder(played)), work.skippable)
        for each in [replace(work, lanes=lanes, skips=skips)]
        for fuses in each.fusions
    ]
    if len(ways) == 1:
        return _searched(ways[0], played)
    programs = list(_fitting(ways, played))
    return programs[0] if played is None else min(programs, key=played)


def _fitting(ways: Sequence["_Lowering"], played: Played | None) -> Iterator[Program]:
    """The programs of those that fit; raises what the last one does where there are none."""
    found = False
    for way in ways:
        try:
            program = _searched(way, played)
        except DoesNotFitError:
            if way is ways[-1] and not found:
                raise
        else:
            found = True
            yield program


def _searched(work: "_Lowering", played: Played | None) -> Program:
    """The Program of least cost, or the one that is forced."""
    finder = work.finder(played)
    if work.mapping is None:
        return _lowered(work, finder, played)
    forced = ForcedSearch(finder.target, finder.memory, finder.alone, work.seen)
    by_plan = work.mapping.plan.on_chip is not None
    program = (_as_forced if by_plan else _lowered)(work, forced, played)
    refuse_others(program, forced)
    return program


def _lowered(work: "_Lowering", finder: Search, played: Played | None) -> Program:
    network, hardware, batch = work.network, work.hardware, work.batch
    refuse_misfits(network, hardware, work.kernels, finder)
    if hardware.residency == "off" or not can_keep(work.target):
        return work.apart(finder)
    plan = plan_residency(work.wired, work.kernels, work.needs, finder, batch)
    planned = _with_kept_weights(work, work.planned(plan), played)
    if played is None or not plan.stays or planned.tiles > SHORT:
        return planned
    limit = played(planned) / SLOWER
    apart = work.apart(finder)
    in_time = work.target.objective == "time"
    is_cheap = (in_time and limit <= _least_cycles(apart)) or limit <= played(apart)
    return planned if is_cheap else apart


def _as_forced(work: "_Lowering", finder: ForcedSearch, played: Played | None) -> Program:
    """The program with what the mapping forces to stay on chip, and nothing else."""
    assert work.mapping is not None
    refuse_misfits(work.network, work.hardware, work.kernels, finder)
    forced = ForcedPlan(
        work.mapping, work.wired, work.kernels, work.needs, finder, work.batch, work.hardware
    )
    plan = forced.plan()
    program = work.planned(plan) if plan.stays else work.apart(finder)
    weights = work.mapping.plan.shared_weights
    if weights == "fetched":
        return program
    if weights is None:
        return _with_kept_weights(work, program, played)
    kept = with_kept_weights(program, work.anew)
    if kept is program:
        message = "no weight that several layers read has room beside their tiles"
        raise InputError(work.mapping.problem("shared_weights", message))
    return kept


def _with_kept_weights(work: "_Lowering", program: Program, played: Played | None) -> Program:
    """The program with shared weights on chip, unless that makes a short one dearer."""
    kept = with_kept_weights(program, work.anew)
    if kept is program or played is None or kept.tiles > SHORT:
        return kept
    return kept if played(kept) <= SLOWER * played(program) else program


@dataclass(frozen=True)
class _Lowering:
    """A network on its way to a Program on `target`, what `hardware` is to lowering."""

    network: Network
    hardware: Hardware
    batch: int
    target: Target
    memory: Memory
    mapping: Source | None = None
    processors: Processors = field(default_factory=dict)
    models: Mapping[str, Processor] = field(default_factory=dict)
    lanes: Lanes = frozenset()
    skips: Skips = frozenset()
    fuses: tuple[FusedKind, ...] = ()

    def found_by(self, objective: Objective, played: Played) -> Program:
        """The program of least cost by an objective that it need not be judged by."""
        rates = None if objective == "time" else self.target.rates
        target = replace(self.target, objective=objective, rates=rates)
        program = _least(replace(self, target=target), played)
        own = replace(program.target, objective=self.target.objective, rates=self.target.rates)
        return replace(program, target=own, minimised=objective)

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
        may = skips and isinstance(self.target.processor, ArrayModel)
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
        """What is done on the way out of the array, where it is a systolic one."""
        if not (self.fuses and isinstance(self.target.processor, ArrayModel)):
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
        return kernels

    @cached_property
    def samples(self) -> dict[Kernel, Layer]:
        """A layer for every kernel."""
        return dict(zip(self.kernels, self.network.layers, strict=True))

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
        program = Program(self.network, self.hardware, self.batch, self.target, layers)
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
        return self.program(Placement(tiling, Residence(), size) for tiling in tilings)

    def alone(self, layer: Layer, kernel: Kernel, placement: Placement) -> Program:
        """The Program of one layer."""
        one = self.layer(layer, kernel, (), placement)
        return Program(self.network, self.hardware, self.batch, self.target, (one,))

    def cost_alone(
        self, played: Played, kernel: GemmKernel, residence: Residence, space: int, tiling: Tiling
    ) -> float:
        """The cost of a kernel by itself, as played."""
        placement = Placement(tiling, residence, space)
        return played(self.alone(self.samples[kernel], kernel, placement))

    def anew(self, program: LayerProgram, placement: Placement) -> LayerProgram:
        """The program of a layer in another place."""
        return self.layer(program.layer, program.kernel, program.needs, placement)

    def layer(
        self, layer: Layer, kernel: Kernel, needs: tuple[int, ...], placement: Placement
    ) -> LayerProgram:
        """The program of a layer: its tasks move what does not lie on chip."""
        spaces = [space.size for space in self.target.buffers]
        spaces[self.target.buffer_index("ifmap")] = placement.space
        processor = self.seen.get(kernel, self.alike.processor)
        alike = replace(self.alike, residence=placement.residence, processor=processor)
        key = kernel, alike, placement.tiling
        done = self.memory.recall("schedules", key, lambda: lowered(*key))
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
            mapping=done.mapping,
            addend=self.fused.addends.get(layer.name),
            fused_into=self.fused.into.get(layer.name),
            leaves_as=self.fused.last_of(layer.name),
            apart=self.fused.apart.get(layer.name),
        )


def _after(layer: Layer) -> tuple[str, ...]:
    """The layer that one waits for without reading it."""
    return (layer.again.after,) if layer.again and layer.again.after else ()


def _least_cycles(program: Program) -> int:
    """Cycles that a program without residency takes at least.

    That is what each unit and DRAM are busy, and what layers in a row take, each with a load
    before its work and a store after it. Only filters can come while the inputs are computed.
    """
    latency = program.target.dram_latency
    busy = {"array": 0, "vector": 0, "DRAM": 0}
    ends: list[int] = []
    for layer in program.layers:
        start = max((ends[need] for need in layer.needs), default=0)
        ends.append(start)
        busy["DRAM"] += layer.dram_cycles(program.target)
        if layer.unit is not None:
            work = max(schedule.cycles for schedule in layer.schedules)
            busy[layer.unit] += work
            moved = layer.dram_cycles(program.target, filters=False)
            ends[-1] += max(work, moved) + 2 * latency
    return max(*busy.values(), *ends)


def _tiling(kernel: Kernel, finder: Search) -> Tiling | None:
    """The best tiling of a kernel that fits, with nothing resident; None for an alias."""
    if isinstance(kernel, Alias):
        return None
    best = finder(kernel, Residence()).refined
    assert best is not None
    return best.tiling


def by_itself(program: Program, layer: LayerProgram, tiling: Tiling) -> Program:
    """A layer of `program` alone, in the same room, cut by `tiling`."""
    work = _Lowering(program.network, program.hardware, program.batch, program.target, Memory())
    placement = Placement(tiling, layer.placement.residence, layer.placement.space)
    return work.alone(layer.layer, layer.kernel, placement)
