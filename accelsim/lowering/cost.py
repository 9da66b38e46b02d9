"""What a tiling costs: cycles and DRAM bytes in closed form, for many tilings at once.

A tiling cuts a GEMM kernel into tiles (batch, groups, ofmap rows and columns, filters,
channels) and orders three loops over them: pixels (batch, rows, columns), filters, channels;
groups lie outermost. An operand's tile stays in its buffer as long as the loops that run do not
change it, so what the innermost loop does not index is fetched once for all its turns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import occupancy
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.dataflow import Extents, Pieces, all_cycles, leaves_unfinished
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import ManyRuns, Planes, many_filter_runs, many_map_runs, many_packed
from accelsim.lowering.target import BufferSpace, Sizes, Target
from accelsim.lowering.tiling import OPERAND_LOOPS, Loop, LoopOrder, Tilings


def demands(kernel: GemmKernel, target: Target, tilings: Tilings) -> dict[Operand, Sizes]:
    """Bytes that one tile of each operand takes in its buffer.

    Psums need room only where a tile's sum leaves the array unfinished: where k takes several
    folds (WS, IS) or several tiles. What is resident has its place outside of the tiles.
    """
    images, groups = tilings.batch, tilings.groups
    ifmap = tilings.row_span * tilings.col_span
    pixels = images * groups * tilings.rows * tilings.cols
    folds_k = leaves_unfinished(target.array, tilings.channels * tilings.taps, tilings.taps)
    unfinished = folds_k | ~_sums_whole(kernel, tilings)
    words: dict[Operand, Sizes] = {
        "ifmap": images * groups * tilings.channels * ifmap,
        "filter": groups * tilings.filters * tilings.channels * tilings.taps,
        "psum": pixels * tilings.filters * unfinished,
        "ofmap": pixels * tilings.filters,
    }
    demand = {operand: words[operand] * target.bytes_of(operand) for operand in OPERANDS}
    return tile_demand(target, demand)


def _sums_whole(kernel: GemmKernel, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile has all channels and taps of its sums."""
    whole: NDArray[np.bool_] = (tilings.channels == kernel.channels) & (tilings.taps == kernel.taps)
    return whole


def tile_demand(target: Target, demand: dict[Operand, Sizes]) -> dict[Operand, Sizes]:
    """`demand` without the operands that are resident."""
    nothing = np.zeros_like(demand["filter"])
    resident = {"ifmap": target.residence.ifmap, "ofmap": target.computes_in_place}
    return {item: nothing if resident.get(item) else demand[item] for item in OPERANDS}


def buffer_demand(space: BufferSpace, demand: dict[Operand, Sizes]) -> Sizes:
    """Bytes that one tile takes of a buffer; finished psums become the ofmap in place."""
    operands = [demand[operand] for operand in space.holds]
    total = sum(operands, start=np.int64(0))
    if "psum" in space.holds and "ofmap" in space.holds:
        total = total - np.minimum(demand["psum"], demand["ofmap"])
    return np.asarray(total)


def legal(kernel: GemmKernel, target: Target, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile fits half of every buffer. Tiles of several groups hold them whole."""
    demand = demands(kernel, target, tilings)
    fits = keeps_groups_whole(kernel, tilings)
    for space in target.buffers:
        fits = fits & (buffer_demand(space, demand) <= space.half)
    return np.broadcast_to(fits, tilings.shape)


def keeps_groups_whole(kernel: GemmKernel, tilings: Tilings) -> NDArray[np.bool_]:
    """Whether a tile has one group, or all filters and sums of several."""
    whole = (tilings.filters == kernel.filters) & _sums_whole(kernel, tilings)
    fits: NDArray[np.bool_] = (tilings.groups == 1) | whole
    return fits


def rounded_to_bursts(count: Sizes, target: Target) -> Sizes:
    """Bytes that a transfer of `count` bytes occupies on the DRAM channel."""
    return -(-count // target.dram_burst) * target.dram_burst


def occupied_bytes(count: Sizes, runs: ManyRuns, target: Target, write: bool = False) -> Sizes:
    """Bytes that could have moved while a transfer of `count` bytes occupies the DRAM channel."""
    rounded = rounded_to_bursts(count, target)
    if target.timing is None:
        return rounded
    clocks = occupancy(target.timing, runs.count, runs.size, runs.pitch, write)
    moved = clocks * float(target.cycles_per_clock * target.dram_bytes_per_cycle)
    return np.asarray(np.maximum(rounded, moved))


def tile_runs(kernel: GemmKernel, target: Target, tilings: Tilings) -> dict[Operand, ManyRuns]:
    """How the largest tile of each operand lies in DRAM, psums as the ofmap."""
    channels, filters = kernel.groups * kernel.channels, kernel.groups * kernel.filters
    ifmap = Planes(kernel.batch, channels, kernel.rows.size, kernel.cols.size)
    ofmap = Planes(kernel.batch, filters, kernel.rows.outputs, kernel.cols.outputs)
    own = tilings.groups * tilings.filters
    read = (
        *(tilings.batch, tilings.groups * tilings.channels),
        *(tilings.row_span, tilings.col_span),
    )
    written = (tilings.batch, own, tilings.rows, tilings.cols)
    row, part = kernel.channels * kernel.taps, tilings.channels * tilings.taps
    word = target.bytes_of("filter")
    computed = kernel.filter_is_input
    return {
        "ifmap": many_map_runs(ifmap, read, target.bytes_of("ifmap")),
        "filter": many_filter_runs(own, row, part, word)
        if computed
        else many_packed(own * part * word),
        "psum": many_map_runs(ofmap, written, target.bytes_of("psum")),
        "ofmap": many_map_runs(ofmap, written, target.bytes_of("ofmap")),
    }


def occupied_by_tiles(
    kernel: GemmKernel, target: Target, tilings: Tilings, demand: dict[Operand, Sizes]
) -> dict[Operand, Sizes]:
    """`occupied_bytes` of the largest tile of each operand."""
    if target.timing is None:
        return {operand: rounded_to_bursts(demand[operand], target) for operand in OPERANDS}
    runs = tile_runs(kernel, target, tilings)
    return {
        operand: occupied_bytes(demand[operand], runs[operand], target, operand == "ofmap")
        for operand in OPERANDS
    }


def trips(kernel: GemmKernel, tilings: Tilings) -> dict[Loop, Sizes]:
    """Turns of each loop, for one tile of groups."""

    def count(total: int, size: Sizes) -> Sizes:
        return -(-total // size)

    pixels = (
        count(kernel.batch, tilings.batch)
        * count(kernel.rows.outputs, tilings.rows)
        * count(kernel.cols.outputs, tilings.cols)
    )
    return {
        "pixels": pixels,
        "filters": count(kernel.filters, tilings.filters),
        "channels": count(kernel.channels, tilings.channels)
        * count(kernel.rows.kernel, tilings.tap_rows)
        * count(kernel.cols.kernel, tilings.tap_cols),
    }


def passes(order: tuple[Loop, ...], turns: dict[Loop, Sizes], operand: Operand) -> Sizes:
    """How often every tile of `operand` is brought into its buffer.

    Each turn of a loop that does not index the operand brings it again, if a loop further in
    does index it and turns more than once.
    """
    result: Sizes = np.ones_like(turns["pixels"])
    changes_inside: NDArray[np.bool_] = np.zeros_like(result, dtype=bool)
    for loop in reversed(order):
        if loop in OPERAND_LOOPS[operand]:
            changes_inside = changes_inside | (turns[loop] > 1)
        else:
            result = np.where(changes_inside, result * turns[loop], result)
    return result


@dataclass(frozen=True, slots=True)
class Workload:
    """A kernel on a target with its tilings, and what does not depend on the loop order."""

    kernel: GemmKernel
    target: Target
    tilings: Tilings
    demand: dict[Operand, Sizes]
    turns: dict[Loop, Sizes]
    array_cycles: Sizes
    occupied: dict[Operand, Sizes]

    @property
    def group_tiles(self) -> Sizes:
        """Turns of the outermost loop, over groups."""
        return -(-self.kernel.groups // self.tilings.groups)

    @property
    def tiles(self) -> Sizes:
        """Turns of all loops."""
        turns = self.turns["pixels"] * self.turns["filters"] * self.turns["channels"]
        return turns * self.group_tiles


def workload(kernel: GemmKernel, target: Target, tilings: Tilings) -> Workload:
    """Everything the loop orders of `tilings` share."""
    demand = demands(kernel, target, tilings)
    return Workload(
        kernel,
        target,
        tilings,
        demand,
        trips(kernel, tilings),
        _array_cycles(kernel, target, tilings),
        occupied_by_tiles(kernel, target, tilings, demand),
    )


@dataclass(frozen=True, slots=True)
class Flow:
    """Array cycles and, by operand, the bytes that are brought or taken away, one per tiling.

    `demand` and `occupied` are of one tile: its bytes in the buffers and on the DRAM channel.
    `visits` counts how often a tile of an operand is brought or taken away. Ways to run the loops
    may be stacked in axes before the tilings'. Whether an operand comes from DRAM or lies on
    chip is all the same here, and so is the rate of DRAM, unless that is timed.
    """

    array: NDArray[np.float64]
    traffic: dict[Operand, Sizes]
    visits: dict[Operand, Sizes]
    demand: dict[Operand, Sizes]
    occupied: dict[Operand, Sizes]
    tiles: Sizes
    arrays: Sizes | int


@dataclass(frozen=True, slots=True)
class Turnaround:
    """What the tiles of an operand take, one after another in the `places` that their buffer has.

    A tile's place is free again when it has been loaded and computed, or computed and stored: with
    d places, that is a d-th of all cycles of the array, and of all bytes and latencies of its
    `visits`.
    """

    busy_cycles: NDArray[np.float64]
    tile_bytes: Sizes
    visits: Sizes
    places: Sizes

    def cycles(self, rate: float, latency: int) -> NDArray[np.float64]:
        """Cycles with a DRAM of `rate` bytes per cycle."""
        places = np.maximum(np.minimum(self.places, self.visits), 1)
        alone = self.tile_bytes / rate + latency
        cycles: NDArray[np.float64] = (self.busy_cycles + self.visits * alone) / places
        return cycles

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Turnaround":
        """With every array changed in the same way."""
        return Turnaround(
            change(self.busy_cycles),
            change(self.tile_bytes),
            change(self.visits),
            change(self.places),
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What the closed form adds up, one entry per tiling: cycles, and bytes on the DRAM channel.

    The array is busy between the first operands' coming and the last ofmap's leaving (if it is
    `stored`), together `outer_bytes`. Where DRAM takes longer, the last tile computes
    `alone_cycles` when all that is `moved_bytes` has been loaded. `dram_bytes` are exact, but for
    several arrays of which the last has one turn: then a bound. `latencies` are those that nothing
    hides: before the first tile, unless its ifmap lies on chip, and after the last.
    """

    busy_cycles: NDArray[np.float64]
    outer_bytes: Sizes
    moved_bytes: NDArray[np.float64]
    alone_cycles: NDArray[np.float64]
    dram_bytes: Sizes
    latencies: int
    turnarounds: tuple[Turnaround, ...] = ()

    def cycles(self, rate: float, latency: int) -> NDArray[np.float64]:
        """max(array, DRAM) plus what cannot overlap, with a DRAM of `rate` bytes per cycle."""
        around = self.outer_bytes / rate + latency * self.latencies
        loaded = self.moved_bytes / rate + self.alone_cycles + latency * self.latencies
        most = np.maximum(self.busy_cycles + around, loaded)
        for each in self.turnarounds:
            most = np.maximum(most, each.cycles(rate, latency))
        return most

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Cost":
        """With every array changed in the same way."""
        return Cost(
            change(self.busy_cycles),
            change(self.outer_bytes),
            change(self.moved_bytes),
            change(self.alone_cycles),
            change(self.dram_bytes),
            self.latencies,
            tuple(own.each(change) for own in self.turnarounds),
        )


def gemm_cost(work: Workload, order: LoopOrder, split: Loop, arrays: int = 1) -> Cost:
    """What a loop order costs.

    The `arrays` take blocks of the turns of loop `split` (of groups, where these are tiled).
    """
    return cost_of(gemm_flow(work, order, split, arrays), work.target)


def cost_of(flow: Flow, target: Target) -> Cost:
    """The cost of a flow, of which the operands that are resident on `target` need no DRAM."""
    residence = target.residence
    demand = tile_demand(target, flow.demand)
    occupied = tile_demand(target, flow.occupied)
    moves = target.move_bytes_per_cycle is not None
    busy = (
        np.maximum(flow.array, target.move_cycles(flow.traffic["ofmap"])) if moves else flow.array
    )
    on_chip = {"ifmap": residence.ifmap, "ofmap": not residence.stored}
    traffic = {item: moved for item, moved in flow.traffic.items() if not on_chip.get(item)}
    waste = {item: occupied[item] / np.maximum(demand[item], 1) for item in traffic}
    outer = occupied["ifmap"] + occupied["filter"] + occupied["ofmap"] * residence.stored
    return Cost(
        busy + target.move_cycles(demand["ofmap"]) if moves else busy,
        outer,
        np.asarray(sum(moved * waste[item] for item, moved in traffic.items())),
        busy * flow.arrays / flow.tiles,
        np.asarray(sum(traffic.values())),
        (not residence.ifmap) + residence.stored,
        tuple(_turnarounds(flow, target, busy, [item for item in traffic if item != "psum"])),
    )


def _turnarounds(
    flow: Flow, target: Target, busy: NDArray[np.float64], moved: Sequence[Operand]
) -> Iterator[Turnaround]:
    """Of the operands that are `moved`; each array has buffers of its own."""
    demand = tile_demand(target, flow.demand)
    for item in moved:
        space = target.buffers[target.buffer_index(item)]
        places = np.maximum(space.size // np.maximum(buffer_demand(space, demand), 1), 2)
        visits = -(-flow.visits[item] // flow.arrays)
        yield Turnaround(busy, flow.occupied[item], visits, places)


def gemm_flow(work: Workload, order: LoopOrder, split: Loop, arrays: int = 1) -> Flow:
    """What a loop order moves."""
    turns = work.turns
    by_groups = work.group_tiles > 1
    own = dict(turns)
    array = work.array_cycles.astype(float)
    if arrays > 1:
        own[split] = np.where(by_groups, turns[split], -(-turns[split] // arrays))
        share = np.where(by_groups, -(-work.group_tiles // arrays) / work.group_tiles, 1.0)
        array = array * share * (own[split] / turns[split])
    moved = _moved_bytes(work, order, own, split if arrays > 1 else None)
    visits = {item: _visits(work, order, item) for item in ("ifmap", "filter", "ofmap")}
    return Flow(array, moved, visits, work.demand, work.occupied, work.tiles, arrays)  # type: ignore[arg-type]


def _visits(work: Workload, order: LoopOrder, operand: Operand) -> Sizes:
    """How often tiles of `operand` come or go; an ofmap's once."""
    first, second = OPERAND_LOOPS[operand]
    tiles = work.turns[first] * work.turns[second] * work.group_tiles
    return tiles if operand == "ofmap" else tiles * passes(order.value, work.turns, operand)


def _moved_bytes(
    work: Workload, order: LoopOrder, own: dict[Loop, Sizes], split: Loop | None
) -> dict[Operand, Sizes]:
    """Bytes moved by operand, when each array runs the loops with its `own` turns.

    The last array takes what is left. With a single turn it may keep a tile that the others
    bring again; its share of such an operand is counted as theirs.
    """
    kernel, tilings = work.kernel, work.tilings
    pixels = kernel.batch * tilings.row_reads * tilings.col_reads
    ofmap = kernel.groups * kernel.gemm.m * kernel.filters
    once: dict[Operand, Sizes | int] = {
        "ifmap": pixels * kernel.groups * kernel.channels,
        "filter": kernel.groups * kernel.filters * kernel.channels * kernel.taps,
        "psum": 2 * ofmap,
        "ofmap": ofmap,
    }
    traffic: dict[Operand, Sizes] = {}
    for operand in OPERANDS:
        times = passes(order.value, own, operand)
        if operand == "psum":
            times = times - 1
        elif operand == "ofmap":
            times = np.ones_like(times)
        elif split is not None and split not in OPERAND_LOOPS[operand]:
            arrays, left = np.divmod(work.turns[split], own[split])
            last = passes(order.value, {**own, split: left}, operand)
            times = times * arrays + last * np.minimum(left, 1)
        traffic[operand] = once[operand] * times * work.target.bytes_of(operand)
    return traffic


def _array_cycles(kernel: GemmKernel, target: Target, tilings: Tilings) -> Sizes:
    """Array cycles of all tiles, one after another."""
    m, n = _pixel_pieces(kernel, tilings), _filter_pieces(kernel, tilings)
    cycles = all_cycles(target.array, m, n, _k_pieces(kernel, tilings))
    return np.asarray(cycles * kernel.groups)


def _filter_pieces(kernel: GemmKernel, tilings: Tilings) -> Pieces:
    return [(Extents(1, size, 1), count) for size, count in _cut(kernel.filters, tilings.filters)]


def _pixel_pieces(kernel: GemmKernel, tilings: Tilings) -> Pieces:
    return [
        (Extents(images * rows * cols, 1, 1), image_count * row_count * col_count)
        for images, image_count in _cut(kernel.batch, tilings.batch)
        for rows, row_count in _cut(kernel.rows.outputs, tilings.rows)
        for cols, col_count in _cut(kernel.cols.outputs, tilings.cols)
    ]


def _k_pieces(kernel: GemmKernel, tilings: Tilings) -> Pieces:
    """Sums that are not whole start or end in one of their tiles; here none counts as either."""
    whole = _sums_whole(kernel, tilings)
    return [
        (
            Extents(1, 1, channels * rows * cols, whole, whole, rows * cols),
            c_count * r_count * s_count,
        )
        for channels, c_count in _cut(kernel.channels, tilings.channels)
        for rows, r_count in _cut(kernel.rows.kernel, tilings.tap_rows)
        for cols, s_count in _cut(kernel.cols.kernel, tilings.tap_cols)
    ]


def _cut(total: int, size: Sizes) -> Iterator[tuple[Sizes, Sizes]]:
    """(size, count) of the full tiles and, where there is one, of the remainder along an axis."""
    rest = total % size
    yield size, total // size
    if rest.any():
        yield np.maximum(rest, 1), np.minimum(rest, 1)


def significant(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """`cycles` rounded up to 8 significant bits, 0.4 to 0.8 %.

    The closed form is no better than that, so tilings that differ by less are ties, and less
    DRAM traffic decides between them.
    """
    fraction, exponent = np.frexp(cycles)
    rounded: NDArray[np.float64] = np.ldexp(np.ceil(fraction * 256), exponent - 8)
    return rounded
