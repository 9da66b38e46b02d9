"""What a tiling costs: cycles and DRAM bytes in closed form, for many tilings at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import OPERANDS, Objective, Operand
from accelsim.lowering.demand import buffer_demand, tile_demand
from accelsim.lowering.flow import Flow
from accelsim.lowering.gemm_energy import energy_of
from accelsim.lowering.target import Sizes, Target

Moved = NDArray[np.float64]

TINY = 1e-6
"""Cycles by which a quotient of bytes and bytes per cycle may be off."""

FEW = 4
"""Tiles that are in buffers beside the one that is computed, about."""

RESULTS: Set[Operand] = {"psum", "ofmap"}
"""What the array makes."""

Pick = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes what an array says of some tilings only."""


@dataclass(frozen=True, slots=True)
class Turnaround:
    """For how long tiles of some operands, which take each other's place, are in their buffer.

    A tile of `tile_bytes` is there while it is loaded and computed, or computed and stored, or all
    three. Of all that is what the array takes, and the channel's cycles and the latencies of the
    `moves` of each operand, but for those that have `come` before. There are so many `tiles`, and
    what else is in that buffer takes so many bytes `beside` them.
    """

    tile_bytes: Sizes
    busy_cycles: NDArray[np.float64]
    moves: dict[Operand, Sizes]
    tiles: Sizes
    beside: Sizes
    come: int = 0

    def cycles(self, taken: Mapping[Operand, Moved], latency: int) -> Moved:
        """Cycles of all tiles with a DRAM on which one of each operand has `taken` some."""
        each = [(moves - self.come) * (taken[item] + latency) for item, moves in self.moves.items()]
        return np.asarray(sum(each, start=self.busy_cycles))

    def places(self, room: Sizes) -> Sizes:
        """How many of them are in `room` at a time: two at least, if there are two."""
        fitting = np.maximum(room // np.maximum(self.tile_bytes, 1), 2)
        return np.asarray(np.clip(fitting, 1, np.maximum(self.tiles, 1)))

    def only(self, pick: Pick) -> "Turnaround":
        """That of some tilings."""
        return replace(
            self,
            tile_bytes=pick(self.tile_bytes),
            busy_cycles=pick(self.busy_cycles),
            moves=_picked(self.moves, pick),
            tiles=pick(self.tiles),
            beside=pick(self.beside),
        )


@dataclass(frozen=True, slots=True)
class Places:
    """A buffer of `size`, which holds two tiles of `tile_bytes` or more, of all its operands.

    The one in which feature maps stay may have less `space` than that for tiles. `turnarounds` are
    of the operands whose tiles come or leave.
    """

    tile_bytes: Sizes
    size: int
    has_maps: bool
    turnarounds: tuple[Turnaround, ...]

    def room(self, space: int | None) -> int:
        """Bytes for tiles."""
        return self.size if space is None or not self.has_maps else min(self.size, space)

    def count(self, space: int | None = None) -> Sizes:
        """How many tiles of all operands it holds."""
        return np.asarray(np.maximum(self.room(space) // np.maximum(self.tile_bytes, 1), 2))

    def cycles(self, taken: Mapping[Operand, Moved], latency: int, space: int | None) -> Moved:
        """What tiles take, one after another in as many places as there are beside others.

        Together they take the bytes of each for as long as it is there, of the bytes that all have.
        """
        room, there = self.room(space), [one.cycles(taken, latency) for one in self.turnarounds]
        most: Moved = np.zeros(1)
        for one, cycles in zip(self.turnarounds, there, strict=True):
            most = np.maximum(most, cycles / one.places(room - one.beside))
        if len(there) == 1:
            return most
        pairs = zip(self.turnarounds, there, strict=True)
        return np.maximum(
            most, sum(one.tile_bytes * cycles for one, cycles in pairs) / max(room, 1)
        )

    def only(self, pick: Pick) -> "Places":
        """Those of some tilings."""
        turnarounds = tuple(each.only(pick) for each in self.turnarounds)
        return replace(self, tile_bytes=pick(self.tile_bytes), turnarounds=turnarounds)


@dataclass(frozen=True, slots=True)
class Channel:
    """What moves on the DRAM channel: of each operand so many `tiles`, in tiles of the largest.

    Each of them has `occupied` so many bytes of it, in whole cycles. Between reads and writes it
    turns `turns` times one way and the other, which takes `turn_cycles`.
    """

    tiles: dict[Operand, Moved]
    occupied: dict[Operand, Sizes]
    turns: Sizes
    turn_cycles: int

    def each(self, rate: float) -> dict[Operand, Moved]:
        """Cycles of a tile of each operand with a DRAM of `rate` bytes per cycle."""
        return {item: np.ceil(size / rate - TINY) for item, size in self.occupied.items()}

    def cycles(self, each: Mapping[Operand, Moved]) -> Moved:
        """Cycles of all, where a tile takes so many."""
        moved = sum(tiles * each[item] for item, tiles in self.tiles.items())
        return np.asarray(moved + self.turns * self.turn_cycles if self.turn_cycles else moved)

    def only(self, pick: Pick) -> "Channel":
        """That of some tilings."""
        tiles, occupied = _picked(self.tiles, pick), _picked(self.occupied, pick)
        return Channel(tiles, occupied, pick(self.turns), self.turn_cycles)


def _picked(sizes: Mapping[Operand, NDArray[Any]], pick: Pick) -> dict[Operand, NDArray[Any]]:
    return {item: pick(each) for item, each in sizes.items()}


@dataclass(frozen=True, slots=True)
class Passes:
    """Psums that leave and come back: all tiles go over one part of the sums, then over the next.

    There are so many `parts`, 1 where psums stay, or where the array hardly goes over them before
    the next part. The last one has a `share` of the sums, and the array does it in `last_cycles`.
    """

    parts: Sizes
    share: NDArray[np.float64]
    last_cycles: NDArray[np.float64]

    def cycles(
        self, busy: NDArray[np.float64], channel: Channel, each: Mapping[Operand, Moved]
    ) -> Moved:
        """Of each part what takes longer, array or DRAM: none hides what another one waits for."""
        inputs: Moved = np.zeros(1)
        for item in ("ifmap", "filter"):
            if item in channel.tiles:
                inputs = inputs + channel.tiles[item] * each[item]
        others = np.maximum(self.parts - 1, 1)
        psums = channel.tiles["psum"] * each["psum"] / (2 * others)
        stored = channel.tiles["ofmap"] * each["ofmap"] if "ofmap" in channel.tiles else 0
        array, moved = (busy - self.last_cycles) / others, inputs * (1 - self.share) / others
        first = np.maximum(array, moved + psums)
        between = (others - 1) * np.maximum(array, moved + 2 * psums)
        last = np.maximum(self.last_cycles, inputs * self.share + psums + stored)
        return np.asarray((self.parts > 1) * (first + between + last))

    def only(self, pick: Pick) -> "Passes":
        """Those of some tilings."""
        return Passes(pick(self.parts), pick(self.share), pick(self.last_cycles))


@dataclass(frozen=True, slots=True)
class Cost:
    """What the closed form adds up, one entry per tiling: cycles, and what the DRAM channel moves.

    The last of the arrays is busy between the first operands' coming, for each in turn, and the
    last ofmap's leaving (if it is stored), in turn where that takes longer: `other_bytes` more.
    Where DRAM takes longer, it moves all of the `channel` without a pause, but for the last
    tile, which has come and computes `alone_cycles`. Meanwhile only ofmaps are stored that have
    waited behind its load: of as many tiles as are loaded ahead, of the
    `own_tiles` of each of the `arrays` that are at work. `dram_bytes` are exact, but for several
    arrays of which the last has one turn: then a bound. Nothing hides DRAM's latency before the
    first tile, if its ifmap `is_loaded`, and after the last, if that `is_stored`.

    Psums that an array goes on with are computed as long as any tile alone, stored and loaded
    again, one after the other; it has so many `links` of such a chain.

    While an ifmap that stays on chip was made, the first tile's filters have come, unless they are
    an input, too; DRAM takes as long for them. The next ones are asked for as the layer begins,
    and the array has `filter_cycles` to do until it needs them: infinitely many, if there are none.
    """

    busy_cycles: NDArray[np.float64]
    other_bytes: NDArray[Any] | int
    channel: Channel
    alone_cycles: NDArray[np.float64]
    dram_bytes: Sizes
    is_loaded: bool
    is_stored: bool
    own_tiles: Sizes
    arrays: Sizes
    links: Sizes
    passes: Passes
    buffers: tuple[Places, ...] = ()
    objective: Objective = "time"
    energy_pj: NDArray[np.float64] | None = None
    filter_cycles: NDArray[np.float64] | None = None

    def cycles(self, rate: float, latency: int, space: int | None = None) -> NDArray[np.float64]:
        """max(array, DRAM) plus what cannot overlap, with a DRAM of `rate` bytes per cycle.

        Tiles have `space` bytes of the buffer that holds ifmaps; all of it if nothing is said.
        """
        each = self.channel.each(rate)
        last = each["ofmap"] * self.is_stored
        first, before, waits = self._first(each, latency)
        around = first + last + self.other_bytes / rate
        most: NDArray[np.float64] = self.busy_cycles + (
            around + latency * (self.is_loaded + self.is_stored)
        )
        again = self.alone_cycles + 2 * (each["psum"] + latency)
        most = np.maximum(most, self.links * again)
        most = np.maximum(most, self.passes.cycles(self.busy_cycles, self.channel, each))
        ahead = self.own_tiles
        for buffer in self.buffers:
            ahead = np.minimum(ahead, buffer.count(space))
            most = np.maximum(most, buffer.cycles(each, latency, space))
        waiting = (self.arrays * ahead - 1) * last
        pause = np.maximum(latency * waits + self.alone_cycles - waiting, 0)
        moving = self.channel.cycles(each) + np.maximum(pause - before, 0)
        return np.maximum(most, moving + latency * self.is_stored)

    def floor(self, rate: float, latency: int) -> NDArray[np.float64]:
        """What `cycles` is never less than, in whatever space; quickly found for many."""
        size = self.channel.occupied
        around = size["ofmap"] * self.is_stored
        if self.filter_cycles is None:
            around = around + size["filter"] + size["ifmap"] * self.is_loaded
        array = self.busy_cycles + (around / rate + latency * (self.is_loaded + self.is_stored))
        moving = self.dram_bytes / rate + latency * self.is_stored
        return np.asarray((1 - TINY) * np.maximum(array, moving))

    def only(self, pick: Pick) -> "Cost":
        """That of some tilings."""
        others, energy, filters = self.other_bytes, self.energy_pj, self.filter_cycles
        return replace(
            self,
            busy_cycles=pick(self.busy_cycles),
            other_bytes=others if isinstance(others, int) else pick(others),
            channel=self.channel.only(pick),
            alone_cycles=pick(self.alone_cycles),
            dram_bytes=pick(self.dram_bytes),
            own_tiles=pick(self.own_tiles),
            arrays=pick(self.arrays),
            links=pick(self.links),
            passes=self.passes.only(pick),
            buffers=tuple(each.only(pick) for each in self.buffers),
            energy_pj=None if energy is None else pick(energy),
            filter_cycles=None if filters is None else pick(filters),
        )

    def _first(self, each: Mapping[Operand, Moved], latency: int) -> tuple[Moved, Moved, Moved]:
        """What the array waits for operands at first, what has come before, and if DRAM waits."""
        come = each["filter"]
        if self.filter_cycles is None:
            return come + each["ifmap"] * self.is_loaded, 0 * come, come * 0 + self.is_loaded
        wait = np.maximum(come + latency - self.filter_cycles, 0)
        return wait, come, np.isfinite(self.filter_cycles) * 1.0


def cost_of(flow: Flow, target: Target) -> Cost:
    """The cost of a flow, of which the operands that are resident on `target` need no DRAM."""
    residence = target.residence
    demand = tile_demand(target, flow.demand)
    busy, end = flow.array, np.asarray(flow.tail, dtype=float)
    if target.move_bytes_per_cycle is not None:
        busy = np.maximum(busy, target.move_cycles(flow.traffic["ofmap"]))
        end = end + target.move_cycles(demand["ofmap"])
    on_chip = {"ifmap": residence.ifmap, "ofmap": not residence.stored}
    traffic = {item: moved for item, moved in flow.traffic.items() if not on_chip.get(item)}
    own = -(-flow.tiles // flow.at_work)
    addend = 0 if residence.addend else flow.addend
    moved = {item: each * flow.waste[item] for item, each in traffic.items()}
    return Cost(
        busy_cycles=busy + end,
        other_bytes=_bytes_of_others(flow, moved, own) if target.arrays > 1 else 0,
        channel=_channel(flow, target, moved, addend),
        alone_cycles=busy * flow.at_work / flow.tiles + flow.tail,
        dram_bytes=np.asarray(sum(traffic.values()) + addend),
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
            if held & RESULTS:
                size = {item: demand[item] for item in held & RESULTS}
                each += _of_results(flow, target, size, every)
            yield Places(
                tile_bytes=every,
                size=space.size,
                has_maps=index == target.buffer_index("ifmap"),
                turnarounds=tuple(each),
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


def _of_one(visits: Sizes, arrays: Sizes, target: Target) -> Sizes:
    """The share of one array."""
    return visits if target.arrays == 1 else -(-visits // arrays)


def significant(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """`cycles` rounded up to 8 significant bits, 0.4 to 0.8 %.

    The closed form is no better than that, so tilings that differ by less are ties, and less
    DRAM traffic decides between them.
    """
    fraction, exponent = np.frexp(cycles)
    rounded: NDArray[np.float64] = np.ldexp(np.ceil(fraction * 256), exponent - 8)
    return rounded
