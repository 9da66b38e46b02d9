"""Why a layer runs as it does: its tiles, the loops over them, what moves, and what else it could.

The tilings are compared as the search compares them, by the closed form, and played alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from accelsim.arguments import checked
from accelsim.errors import DoesNotFitError
from accelsim.frontend.mapping_file import load_mapping
from accelsim.given import HardwareLike, MappingLike, NetworkLike, hardware_of, network_of
from accelsim.hardware import Hardware, MappingObjective, Objective
from accelsim.lowering.contenders import KINDS, loop_extents, rivals
from accelsim.lowering.energy import Energy
from accelsim.lowering.forced import forced_on
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.ranking import Ranked, Tiling, plain
from accelsim.lowering.recall import Memory
from accelsim.lowering.search import search
from accelsim.lowering.target import target_of
from accelsim.lowering.task import Load, Transfer
from accelsim.lowering.work import by_itself
from accelsim.network.graph import Network
from accelsim.network.ops import AvgPool, MaxPool
from accelsim.programs import Compiler, program_with
from accelsim.results.accounting import energies
from accelsim.results.player import Player
from accelsim.text import html_table, visible
from accelsim.units import format_bytes

SHOWN = 10
"""Tilings that are compared."""


@dataclass(frozen=True, slots=True)
class TileLoop:
    """A loop over the tiles along an axis: `turns` of `size` each, the last one of `last`.

    `brings` are the operands of which each turn needs another tile, and no loop inside does.
    """

    axis: str
    total: int
    size: int
    turns: int
    last: int
    brings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of an operand that are read from DRAM, written there, or kept on chip."""

    operand: str
    way: str
    transfers: int
    largest_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A tiling, its cycles by the closed form and as played alone, and its DRAM traffic.

    `energy_pj` is of all its tasks, where the hardware has an energy table; `energy` is the same by
    component. `cost` is what the search compares: cycles, pJ or their product, by the closed form.
    """

    tiling: dict[str, Any]
    cost_cycles: float
    played_cycles: int
    dram_bytes: int
    chosen: bool
    energy_pj: float | None
    cost: float
    energy: Energy | None = None
    tiles: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """How one layer runs, and what else it could do.

    `loops` are those that turn, the outermost first. `folds` are of the largest tile. What lies
    on chip, ifmaps or the ofmap, is in `resident`. Of `images`, `batch` are computed at a time. A
    layer that is `fused_into` another is done on that one's way out; `apart` says why a pooling
    layer is not, where the hardware does so. The network is judged by the hardware's `objective`;
    its tilings are those that the search for what is `minimised` has found. A mapping has `forced`
    some of its tiling; then `searched` is what the layer takes without that mapping, played alone.
    What a row-stationary array's search for time minimises is what it is `mapped_by`.
    """

    network: str
    hardware: str
    dataflow: str
    batch: int
    layer: str
    op: str
    tiling: dict[str, Any]
    loops: tuple[TileLoop, ...]
    resident: tuple[str, ...]
    moved: tuple[Moved, ...]
    tiles: int
    folds: int | None
    pes_holding_work: float | None
    contenders: tuple[Contender, ...]
    images: int = 1
    fused_into: str | None = None
    apart: str | None = None
    objective: Objective = "time"
    minimised: Objective = "time"
    forced: dict[str, Any] = field(default_factory=dict)
    searched: Contender | None = None
    mapped_by: MappingObjective = "time"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"schema": 1, **asdict(self)}

    def __repr__(self) -> str:
        """One line: which layer, and how many tilings were compared."""
        what = visible(f"{self.network} on {self.hardware}, {self.dataflow}: {self.layer}")
        return f"<Explanation {what} ({self.op}), {len(self.contenders)} tilings>"

    def _repr_html_(self) -> str:
        """The tilings that were compared, for notebooks."""
        keys = [*self.tiling]
        rows = [
            (
                *(str(each.tiling.get(key, "-")).replace("_", " ") for key in keys),
                *(f"{each.cost_cycles:,.0f}", f"{each.played_cycles:,}"),
                *(format_bytes(each.dram_bytes), "chosen" if each.chosen else ""),
            )
            for each in self.contenders
        ]
        headers = (*(key.replace("_", " ") for key in keys), "cost", "played alone", "DRAM", "")
        return html_table(repr(self).strip("<>"), headers, rows)


@checked
def explain(
    network: NetworkLike,
    hardware: HardwareLike,
    layer: str,
    dataflow: str | None = None,
    batch: int = 1,
    memory: Memory | None = None,
    set: Sequence[str] = (),
    mapping: MappingLike | None = None,
) -> Explanation:
    """How `layer` of a network runs on a hardware, and the best of what else it could do.

    `mapping` forces tiles as in `simulate`. Raises InputError for bad input or a layer that does
    not exist, and DoesNotFitError where no tile of a layer fits the buffers.
    """
    model, machine = network_of(network), hardware_of(hardware, dataflow, set)
    known = memory or Memory()
    source = None if mapping is None else load_mapping(mapping)
    program, its = program_with(layer, model, batch, Compiler.on(machine, known), source)
    flow = program.dataflow_of(program.layers.index(its))
    program = _as_searched(program, its)
    forced, wanted = forced_on(its.kernel), [its.tiling]
    free = _searched(its.layer.name, model, machine, batch, known) if forced else None
    if free and _place(*free) == _place(program, its):
        wanted.append(free[1].tiling)
    return Explanation(
        network=model.name,
        hardware=machine.name,
        dataflow=flow or machine.array.dataflow,
        batch=program.batch,
        layer=its.layer.name,
        op=its.layer.op.name,
        tiling=plain(its.tiling),
        loops=tuple(_loops(its)),
        resident=tuple(_resident(its)),
        moved=tuple(_moved(its)),
        tiles=its.tiles,
        folds=its.folds,
        pes_holding_work=its.mapping_efficiency or None,
        contenders=tuple(_contenders(program, its, wanted, known)),
        images=batch,
        fused_into=its.fused_into,
        apart=_apart(its, machine),
        objective=machine.array.objective,
        minimised=program.minimised,
        forced=forced,
        searched=_chosen(*free, known) if free else None,
        mapped_by=_mapped_by(program, its),
    )


def _searched(
    layer: str, network: Network, hardware: Hardware, batch: int, memory: Memory
) -> tuple[Program, LayerProgram] | None:
    """The layer with nothing forced on any; None where the network does not fit so."""
    try:
        program, its = program_with(layer, network, batch, Compiler.on(hardware, memory))
    except DoesNotFitError:
        return None
    return _as_searched(program, its), its


def _as_searched(program: Program, layer: LayerProgram) -> Program:
    """The program, whose target is that of the search that found a layer's tiling."""
    objective, target = program.minimised, program.target
    flow = program.dataflow_of(program.layers.index(layer))
    if flow is not None:
        target = replace(target, processor=target_of(program.hardware.under(flow)).processor)
    rates = None if objective == "time" else target.rates
    return replace(program, target=replace(target, objective=objective, rates=rates))


def _mapped_by(program: Program, layer: LayerProgram) -> MappingObjective:
    """What the search of the array's tilings has minimised to save time."""
    on_array = layer.unit == "array" and program.minimised == "time"
    return program.target.processor.objective if on_array else "time"


def _place(program: Program, layer: LayerProgram) -> tuple[object, ...]:
    """What tilings of a layer must have in common to be compared."""
    residence = layer.placement.residence
    there = *(any(residence.ifmaps), residence.addend), residence.kept, residence.stored
    return layer.unit, layer.spaces, there, program.target.processor


def _apart(layer: LayerProgram, hardware: Hardware) -> str | None:
    """Why a pooling layer is not done on the way out, where the hardware does so."""
    pools = isinstance(layer.layer.op, MaxPool | AvgPool) and "pool" in hardware.fused
    if not pools or layer.fused_into:
        return None
    return layer.apart or "as played the network is faster without"


def _loops(layer: LayerProgram) -> Iterator[TileLoop]:
    """The loops over tiles that turn, the outermost first."""
    extents = loop_extents(layer.kernel, layer.tiling)
    turning = [(axis, total, size) for axis, total, size in extents if size < total]
    for place, (axis, total, size) in enumerate(turning):
        count = -(-total // size)
        inside = [name for name, _, _ in turning[place + 1 :]]
        indexed = KINDS[type(layer.tiling)].indexed.items()
        brings = (item for item, on in indexed if axis in on and on.isdisjoint(inside))
        yield TileLoop(
            axis=axis,
            total=total,
            size=size,
            turns=count,
            last=total - (count - 1) * size,
            brings=tuple(brings),
        )


def _resident(layer: LayerProgram) -> Iterator[str]:
    residence = layer.placement.residence
    on_array = isinstance(layer.kernel, GemmKernel)
    if residence.ifmap if on_array else any(residence.ifmaps):
        yield "ifmap"
    if on_array and residence.addend:
        yield "addend"
    if residence.kept:
        yield "ofmap"
    if residence.filter == "there":
        yield "filter"


def _moved(layer: LayerProgram) -> Iterator[Moved]:
    """What the tasks of all arrays move, added up by operand."""
    counts: dict[tuple[str, str], list[int]] = {}
    for steps in layer.steps:
        for step, times in steps:
            for transfer in step.transfers:
                way = "written to DRAM" if transfer.is_write else "read from DRAM"
                _add(counts, (_moves(transfer), way), transfer.size, times)
            if step.keep is not None:
                _add(counts, ("ofmap", "kept on chip"), step.keep.size, times)
    for (operand, way), (transfers, largest, total) in counts.items():
        yield Moved(
            operand=operand, way=way, transfers=transfers, largest_bytes=largest, total_bytes=total
        )


def _moves(transfer: Transfer) -> str:
    """The operand of a transfer; what is added on the way out is one of its own."""
    return "addend" if isinstance(transfer, Load) and transfer.addend else transfer.operand


def _add(counts: dict[tuple[str, str], list[int]], key: tuple[str, str], size: int, n: int) -> None:
    transfers, largest, total = counts.get(key, [0, 0, 0])
    counts[key] = [transfers + n, max(largest, size), total + size * n]


def _contenders(
    program: Program, layer: LayerProgram, wanted: Sequence[Tiling | None], memory: Memory
) -> Iterator[Contender]:
    """The best tilings, those wanted among them, the least first, each played by itself."""
    player = Player(memory.patience)
    for each in _compared(program, layer, wanted, memory):
        yield _contender(program, layer, each, player)


def _chosen(program: Program, layer: LayerProgram, memory: Memory) -> Contender | None:
    """The layer's own tiling; None of one that has nothing to do."""
    compared = _compared(program, layer, [layer.tiling], memory)
    found = next((each for each in compared if each.tiling == layer.tiling), None)
    if found is None:
        return None
    flow = program.dataflow_of(program.layers.index(layer)) if program.dataflows else None
    own = _contender(program, layer, found, Player(memory.patience))
    return replace(own, tiling=own.tiling | {"dataflow": flow}) if flow else own


def _contender(program: Program, layer: LayerProgram, ranked: Ranked, player: Player) -> Contender:
    """A tiling of a layer of `program`, played by itself."""
    one = by_itself(program, layer, ranked.tiling)
    (energy,) = energies(one) if program.hardware.energy is not None else (None,)
    return Contender(
        tiling=plain(ranked.tiling),
        cost_cycles=ranked.cycles,
        played_cycles=max(times.end for times in player.times(one)),
        dram_bytes=ranked.dram_bytes,
        chosen=ranked.tiling == layer.tiling,
        energy_pj=energy.total if energy else None,
        cost=ranked.cost,
        energy=energy,
        tiles=one.layers[0].tiles,
    )


def _compared(
    program: Program, layer: LayerProgram, wanted: Sequence[Tiling | None], memory: Memory
) -> list[Ranked]:
    """Those wanted and the best of others, the least first: SHOWN tilings."""
    finder = search(program.target, memory)
    found = {each.tiling: each for each in rivals(layer, finder, wanted, SHOWN)}
    others = sorted((each for each in found.values() if each.tiling not in wanted), key=_cost)
    own = [each for each in found.values() if each.tiling in wanted]
    return sorted([*own, *others[: SHOWN - len(own)]], key=_cost)


def _cost(ranked: Ranked) -> float:
    return ranked.cost


def lines(loops: Sequence[TileLoop], body: Iterable[str]) -> Iterator[str]:
    """The loop nest as the field prints it."""
    depth = 0
    for depth, loop in enumerate(loops):
        rest = f" (last {loop.last})" if loop.last != loop.size else ""
        brings = f"   # next {' and '.join(loop.brings)}" if loop.brings else ""
        what = loop.axis.replace("_", " ")
        yield f"{'  ' * depth}for {what} in {loop.turns:,} turns of {loop.size:,}{rest}:{brings}"
    indent = "  " * (depth + 1 if loops else 0)
    yield from (f"{indent}{line}" for line in body)
