"""What a flow of tiles costs on a target, where some operands may lie on chip."""

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.cost import (
    Channel,
    Cost,
    Floor,
    Moved,
    Passes,
    Places,
    Queue,
    Turnaround,
)
from accelsim.lowering.demand import buffer_demand, tile_demand
from accelsim.lowering.flow import Flow
from accelsim.lowering.gemm_energy import energy_of
from accelsim.lowering.target import Sizes, Target

FEW = 4
"""Tiles that are in buffers beside the one that is computed, about."""

RESULTS: Set[Operand] = {"psum", "ofmap"}
"""What the array makes."""


def floor_of(flow: Flow, target: Target) -> Floor:
    """The floor of `cost_of` a flow."""
    residence, size = target.residence, flow.occupied
    busy, end = _busy_and_end(flow, target)
    around = size["ofmap"] * residence.stored
    if not _come_before(flow, target):
        around = around + size["filter"] + size["ifmap"] * (not residence.ifmap)
    return Floor(
        busy_cycles=busy + end,
        around_bytes=np.asarray(around),
        dram_bytes=_dram_bytes(_traffic(flow, target), _addend(flow, target)),
        is_loaded=not residence.ifmap,
        is_stored=residence.stored,
    )


def cost_of(flow: Flow, target: Target) -> Cost:
    """The cost of a flow, of which the operands that are resident on `target` need no DRAM."""
    residence = target.residence
    busy, end = _busy_and_end(flow, target)
    traffic, addend = _traffic(flow, target), _addend(flow, target)
    own = -(-flow.tiles // flow.at_work)
    moved = {item: each * flow.waste[item] for item, each in traffic.items()}
    return Cost(
        busy_cycles=busy + end,
        other_bytes=_bytes_of_others(flow, moved, own) if target.arrays > 1 else 0,
        channel=_channel(flow, target, moved, addend),
        alone_cycles=busy * flow.at_work / flow.tiles + flow.tail,
        dram_bytes=_dram_bytes(traffic, addend),
        is_loaded=not residence.ifmap,
        is_stored=residence.stored,
        own_tiles=own,
        arrays=flow.at_work,
        links=flow.visits["psum"] // (2 * flow.between * flow.at_work),
        passes=_passes(flow),
        buffers=tuple(_buffers(flow, target, [*traffic])),
        objective=target.objective,
        energy_pj=_energy(flow, target, traffic, addend),
        filter_cycles=_filter_cycles(flow, target, busy),
    )


def _busy_and_end(flow: Flow, target: Target) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cycles of the array, or of what moves its ofmap on chip, and those after its last tile."""
    busy, end = flow.array, np.asarray(flow.tail, dtype=float)
    if target.move_bytes_per_cycle is not None:
        demand = tile_demand(target, flow.demand)
        busy = np.maximum(busy, target.move_cycles(flow.traffic["ofmap"]))
        end = end + target.move_cycles(demand["ofmap"])
    return busy, end


def _traffic(flow: Flow, target: Target) -> dict[Operand, Sizes]:
    """Bytes of each operand that does not lie on chip."""
    on_chip = {"ifmap": target.residence.ifmap, "ofmap": not target.residence.stored}
    return {item: moved for item, moved in flow.traffic.items() if not on_chip.get(item)}


def _addend(flow: Flow, target: Target) -> int:
    """Bytes of what is added on the way out, where it comes from DRAM."""
    return 0 if target.residence.addend else flow.addend


def _dram_bytes(traffic: Mapping[Operand, Sizes], addend: int) -> Sizes:
    """All that DRAM moves."""
    return np.asarray(sum(traffic.values()) + addend)


def _passes(flow: Flow) -> Passes:
    """Of tilings whose psums leave; what is in buffers is of the next part already."""
    tiles = np.maximum(flow.visits["ofmap"], 1)
    parts = np.where(flow.between > FEW, flow.visits["psum"] // (2 * tiles) + 1, 1)
    return Passes(parts, flow.last.share[np.newaxis], flow.last.cycles[np.newaxis] / flow.at_work)


def _come_before(flow: Flow, target: Target) -> bool:
    """Whether the first tile's filters come while another layer makes the ifmap."""
    return not flow.filter_is_input and target.residence.ifmap


def _filter_cycles(
    flow: Flow, target: Target, busy: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """What the array does with a tile's filters, if the first ones come before the layer begins."""
    if not _come_before(flow, target):
        return None
    visits = flow.visits["filter"]
    return np.where(visits > 1, busy / np.maximum(visits, 1), np.inf)


def _channel(flow: Flow, target: Target, moved: Mapping[Operand, Moved], addend: int) -> Channel:
    """What `moved` bytes and those of the `addend` take of it."""
    if addend:
        added = addend * flow.waste["ofmap"]
        moved = {**moved, "ofmap": moved.get("ofmap", 0) + added}
    tiles = {item: each / np.maximum(flow.occupied[item], 1) for item, each in moved.items()}
    psums = flow.visits["psum"] // 2
    stores = psums + flow.visits["ofmap"] * target.residence.stored
    loads = psums + sum(flow.visits[item] for item in ("ifmap", "filter") if item in moved)
    return Channel(tiles, flow.occupied, np.minimum(loads, stores), sum(target.turnaround_cycles))


def _energy(
    flow: Flow, target: Target, traffic: Mapping[Operand, Sizes], addend: int
) -> NDArray[np.float64] | None:
    """pJ, where the objective asks for it."""
    if flow.done is None:
        return None
    added = (flow.addend - addend) // target.bytes_of("ifmap")
    return energy_of(flow.done, target, traffic, addend, added)


def _bytes_of_others(flow: Flow, moved: Mapping[Operand, Moved], own: Sizes) -> Moved:
    """What others load before the last array can start, or store before its last ofmap."""
    mean = {
        item: each / np.maximum(flow.visits[item], 1)
        for item, each in moved.items()
        if item != "psum"
    }
    at_once = flow.tiles - (own - 1) * flow.at_work  # arrays that have one tile more than others
    loads = sum(each for item, each in mean.items() if item != "ofmap")
    stores = (at_once - 1) * mean.get("ofmap", 0)
    return np.asarray(np.maximum((flow.at_work - 1) * loads, stores), dtype=float)


def _buffers(flow: Flow, target: Target, moved: Sequence[Operand]) -> Iterator[Places]:
    """Those that hold operands that come or leave, `moved` by DRAM or from one to another; each
    array has buffers of its own."""
    demand = tile_demand(target, flow.demand)
    own = [*moved, *(("ofmap",) if target.moves_on_chip else ())]
    for index, space in enumerate(target.buffers):
        held = {item for item in own if target.buffer_index(item) == index}
        if held:
            every = buffer_demand(space, demand)
            inputs = [item for item in OPERANDS if item in held - RESULTS]
            each = [_of_input(flow, target, item, demand[item], every) for item in inputs]
            results = {item: demand[item] for item in held & RESULTS}
            if results:
                each += _of_results(flow, target, results, every)
            yield Places(
                tile_bytes=every,
                size=space.size,
                has_maps=index == target.buffer_index("ifmap"),
                turnarounds=tuple(each),
                queues=partial(_queues, flow, target, held, moved, every),
            )


def _of_input(flow: Flow, target: Target, item: Operand, size: Sizes, every: Sizes) -> Turnaround:
    """Of tiles of the ifmap or of filters, of such a size, where a whole tile has `every` byte."""
    visits = _of_one(flow.visits[item], flow.at_work, target)
    return Turnaround(
        tile_bytes=size,
        busy_cycles=flow.array,
        moves={item: visits},
        tiles=visits,
        beside=every - size,
        come=1 if item == "filter" and _come_before(flow, target) else 0,
    )


def _of_results(
    flow: Flow, target: Target, demand: Mapping[Operand, Sizes], every: Sizes
) -> Iterator[Turnaround]:
    """Of psums, of the ofmap, or of psums that become the ofmap, by what a tile has of them.

    Where psums are wider, what is more of them is free when the ofmap leaves.
    """
    nothing = np.zeros_like(flow.tail)
    psum, ofmap = (demand.get(item, nothing) for item in ("psum", "ofmap"))
    visits = {item: _of_one(flow.visits[item], flow.at_work, target) for item in demand}
    psums, leaving = (visits.get(item, nothing) for item in ("psum", "ofmap"))
    stores, apart = leaving * target.residence.stored, psum > ofmap
    way = np.asarray(leaving * flow.tail, dtype=float)
    if "ofmap" in demand:
        way = way + target.move_cycles(flow.traffic["ofmap"])
    yield Turnaround(
        tile_bytes=np.maximum(psum, ofmap),
        busy_cycles=flow.array + psums // 2 * flow.tail + ~apart * way,
        moves={"psum": psums, "ofmap": ~apart * stores},
        tiles=psums // 2 + leaving,
        beside=every - np.maximum(psum, ofmap),
    )
    if "ofmap" in demand and apart.any():
        yield Turnaround(
            tile_bytes=ofmap,
            busy_cycles=apart * way,
            moves={"ofmap": apart * stores},
            tiles=leaving,
            beside=every,
        )


def _queues(
    flow: Flow, target: Target, held: Set[Operand], moved: Sequence[Operand], every: Sizes
) -> Iterator[Queue]:
    """Behind tiles of filters, and behind results, that are `held` in a buffer."""
    demand = tile_demand(target, flow.demand)
    visits: dict[Operand, Sizes]
    visits = {item: _of_one(each, flow.at_work, target) for item, each in flow.visits.items()}
    if "filter" in held:
        yield _behind_filters(flow, visits, moved, every - demand["filter"])
    if held & RESULTS:
        size = {item: demand[item] for item in held & RESULTS}
        yield _behind_results(flow, visits, size, moved, every)


def _behind_filters(
    flow: Flow, visits: Mapping[Operand, Sizes], moved: Sequence[Operand], beside: Sizes
) -> Queue:
    """A task's filters are loaded first, then its ifmap, if it has a new one."""
    filters = visits["filter"]
    also: dict[Operand, Sizes] = {}
    if "ifmap" in moved:
        also["ifmap"] = np.minimum(filters, visits["ifmap"])
    return Queue(
        tile_bytes=flow.traffic["filter"] / np.maximum(flow.visits["filter"], 1),
        beside=beside,
        busy_cycles=flow.array,
        moves={"filter": filters, **also},
        latencies=filters,
        tiles=filters,
    )


def _behind_results(
    flow: Flow,
    visits: Mapping[Operand, Sizes],
    demand: Mapping[Operand, Sizes],
    moved: Sequence[Operand],
    every: Sizes,
) -> Queue:
    """What the next tasks load behind one that waits for a place of results, of such a `demand`.

    Where psums are wider than the ofmap, that is left of another when they leave. Of several tasks
    for an output the first one's operands are there.
    """
    outputs, nothing = visits["ofmap"] + visits["psum"] // 2, np.zeros_like(flow.tail)
    psum, ofmap = (demand.get(item, nothing) for item in ("psum", "ofmap"))
    size, apart = np.maximum(psum, ofmap), psum > ofmap
    loads = {item: np.minimum(visits[item], outputs) for item in moved if item not in RESULTS}
    together = np.maximum(loads.get("ifmap", nothing), loads.get("filter", nothing))
    spilled = visits["psum"] // 2 * ("psum" in demand)
    leaving = visits["ofmap"] * ("ofmap" in demand)
    stored = leaving * ("ofmap" in moved)
    tasks = np.maximum(-(-flow.tiles // flow.at_work), 1)
    first = np.where(tasks > outputs, outputs / tasks, 0)
    largest = np.maximum(flow.visits["ofmap"] * flow.demand["ofmap"], 1)
    share = np.minimum(flow.traffic["ofmap"] / largest, 1)
    return Queue(
        tile_bytes=size * share,
        beside=every - size,
        busy_cycles=flow.array * (1 - first) + (spilled + ~apart * leaving) * flow.tail,
        moves={**loads, "psum": spilled, "ofmap": ~apart * stored},
        latencies=together + spilled + ~apart * stored,
        tiles=outputs,
        also=(tasks <= outputs) * 1,
        left=apart * ofmap * share,
        stores=stored,
    )


def _of_one(visits: Sizes, arrays: Sizes, target: Target) -> Sizes:
    """The share of one array."""
    return visits if target.arrays == 1 else -(-visits // arrays)
