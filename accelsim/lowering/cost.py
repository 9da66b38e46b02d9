"""What a tiling costs: cycles and DRAM bytes in closed form, for many tilings at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Objective, Operand
from accelsim.lowering.demand import buffer_demand, tile_demand
from accelsim.lowering.flow import Flow
from accelsim.lowering.gemm_energy import energy_of
from accelsim.lowering.target import Sizes, Target

Moved = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Turnaround:
    """What tiles take, one after another in the `places` that their buffer has.

    A tile's place is free again when it has been loaded and computed, or computed and stored, or
    all three. With d places that is a d-th of all cycles of the array, and of all bytes and
    latencies of its `moves`.
    """

    busy_cycles: NDArray[np.float64]
    moved_bytes: Sizes
    moves: Sizes

    def cycles(self, rate: float, latency: int, places: Sizes) -> NDArray[np.float64]:
        """Cycles with a DRAM of `rate` bytes per cycle, in so many `places`."""
        places = np.maximum(np.minimum(places, self.moves), 1)
        alone = self.moved_bytes / rate + latency * self.moves
        cycles: NDArray[np.float64] = (self.busy_cycles + alone) / places
        return cycles


@dataclass(frozen=True, slots=True)
class Places:
    """A buffer of `size`, which holds as many tiles as it has places for `tile_bytes`: two or more.

    The one in which feature maps stay may have less `space` than that for tiles. `turnarounds` are
    of the operands that have such places, each of its own.
    """

    tile_bytes: Sizes
    size: int
    has_maps: bool
    turnarounds: tuple[Turnaround, ...]

    def count(self, space: int | None = None) -> Sizes:
        """How many there are."""
        size = self.size if space is None or not self.has_maps else min(self.size, space)
        return np.asarray(np.maximum(size // np.maximum(self.tile_bytes, 1), 2))


@dataclass(frozen=True, slots=True)
class Cost:
    """What the closed form adds up, one entry per tiling: cycles, and bytes on the DRAM channel.

    The last of the arrays is busy between the first operands' coming, for each in turn, and the
    last ofmap's leaving (if it is stored), in turn where that takes longer: together `outer_bytes`.
    Where DRAM takes longer, it moves all that is `moved_bytes` without a pause, but for the last
    tile, which has come and computes `alone_cycles`. Meanwhile only ofmaps are stored that have
    waited behind its load, each of `stored_bytes`: of as many tiles as are loaded ahead, of the
    `own_tiles` of each of the `arrays` that are at work. `dram_bytes` are exact, but for several
    arrays of which the last has one turn: then a bound. Nothing hides DRAM's latency before the
    first tile, if its ifmap `is_loaded`, and after the last, if that `is_stored`.
    """

    busy_cycles: NDArray[np.float64]
    outer_bytes: NDArray[Any]
    moved_bytes: NDArray[np.float64]
    alone_cycles: NDArray[np.float64]
    dram_bytes: Sizes
    is_loaded: bool
    is_stored: bool
    stored_bytes: Sizes
    own_tiles: Sizes
    arrays: Sizes
    buffers: tuple[Places, ...] = ()
    objective: Objective = "time"
    energy_pj: NDArray[np.float64] | None = None

    def cycles(self, rate: float, latency: int, space: int | None = None) -> NDArray[np.float64]:
        """max(array, DRAM) plus what cannot overlap, with a DRAM of `rate` bytes per cycle.

        Tiles have `space` bytes of the buffer that holds ifmaps; all of it if nothing is said.
        """
        around = self.outer_bytes / rate + latency * (self.is_loaded + self.is_stored)
        most: NDArray[np.float64] = self.busy_cycles + around
        ahead = self.own_tiles
        for buffer in self.buffers:
            places = buffer.count(space)
            ahead = np.minimum(ahead, places)
            for each in buffer.turnarounds:
                most = np.maximum(most, each.cycles(rate, latency, places))
        waiting = (self.arrays * ahead - 1) * self.stored_bytes / rate
        pause = np.maximum(latency * self.is_loaded + self.alone_cycles - waiting, 0)
        return np.maximum(most, self.moved_bytes / rate + pause + latency * self.is_stored)


def cost_of(flow: Flow, target: Target) -> Cost:
    """The cost of a flow, of which the operands that are resident on `target` need no DRAM."""
    residence = target.residence
    demand = tile_demand(target, flow.demand)
    occupied = tile_demand(target, flow.occupied)
    busy, end = flow.array, np.asarray(flow.tail, dtype=float)
    if target.move_bytes_per_cycle is not None:
        busy = np.maximum(busy, target.move_cycles(flow.traffic["ofmap"]))
        end = end + target.move_cycles(demand["ofmap"])
    on_chip = {"ifmap": residence.ifmap, "ofmap": not residence.stored}
    traffic = {item: moved for item, moved in flow.traffic.items() if not on_chip.get(item)}
    own = -(-flow.tiles // flow.at_work)
    first, last = occupied["ifmap"] + occupied["filter"], occupied["ofmap"] * residence.stored
    moved = {item: each * flow.waste[item] for item, each in traffic.items()}
    addend = 0 if residence.addend else flow.addend
    others = _bytes_of_others(flow, moved, own) if target.arrays > 1 else 0
    return Cost(
        busy_cycles=busy + end,
        outer_bytes=first + last + others,
        moved_bytes=np.asarray(sum(moved.values()) + addend * flow.waste["ofmap"]),
        alone_cycles=busy * flow.at_work / flow.tiles + flow.tail,
        dram_bytes=np.asarray(sum(traffic.values()) + addend),
        is_loaded=not residence.ifmap,
        is_stored=residence.stored,
        stored_bytes=last,
        own_tiles=own,
        arrays=flow.at_work,
        buffers=tuple(_buffers(flow, target, busy, [*traffic])),
        objective=target.objective,
        energy_pj=_energy(flow, target, traffic, addend),
    )


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
    mean = {item: each / np.maximum(flow.visits[item], 1) for item, each in moved.items()}
    at_once = flow.tiles - (own - 1) * flow.at_work  # arrays that have one tile more than others
    loads = sum(each for item, each in mean.items() if item in ("ifmap", "filter"))
    stores = (at_once - 1) * mean.get("ofmap", 0)
    return np.asarray(np.maximum((flow.at_work - 1) * loads, stores), dtype=float)


def _buffers(
    flow: Flow, target: Target, busy: NDArray[np.float64], moved: Sequence[Operand]
) -> Iterator[Places]:
    """Those that hold operands that are `moved`; each array has buffers of its own."""
    demand = tile_demand(target, flow.demand)
    for index, space in enumerate(target.buffers):
        held = [item for item in moved if target.buffer_index(item) == index]
        if held:
            yield Places(
                tile_bytes=buffer_demand(space, demand),
                size=space.size,
                has_maps=index == target.buffer_index("ifmap"),
                turnarounds=tuple(
                    _turnaround(flow, target, busy, items) for items in _in_turn(held)
                ),
            )


def _turnaround(
    flow: Flow, target: Target, busy: NDArray[np.float64], items: Sequence[Operand]
) -> Turnaround:
    """Of operands whose tiles take each other's place."""
    each = [_of_one(flow.visits[item], flow.at_work, target) for item in items]
    of_bytes = [moves * flow.occupied[item] for moves, item in zip(each, items, strict=True)]
    leaving = each[-1] * flow.tail if "ofmap" in items else 0
    return Turnaround(
        busy_cycles=busy + leaving,
        moved_bytes=np.asarray(sum(of_bytes)),
        moves=np.asarray(sum(each)),
    )


def _of_one(visits: Sizes, arrays: Sizes, target: Target) -> Sizes:
    """The share of one array."""
    return visits if target.arrays == 1 else -(-visits // arrays)


def _in_turn(held: Sequence[Operand]) -> Iterator[Sequence[Operand]]:
    """The operands of a buffer by whose tiles take each other's place: psums become the ofmap."""
    yield from ((item,) for item in held if item in ("ifmap", "filter"))
    results = [item for item in held if item in ("psum", "ofmap")]
    if results:
        yield results


def significant(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """`cycles` rounded up to 8 significant bits, 0.4 to 0.8 %.

    The closed form is no better than that, so tilings that differ by less are ties, and less
    DRAM traffic decides between them.
    """
    fraction, exponent = np.frexp(cycles)
    rounded: NDArray[np.float64] = np.ldexp(np.ceil(fraction * 256), exponent - 8)
    return rounded
