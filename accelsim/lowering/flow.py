"""What moves when the tile loops of a GEMM kernel run, for many tilings at once.

A tiling cuts a GEMM kernel into tiles (batch, groups, ofmap rows and columns, filters,
channels) and orders three loops over them: pixels (batch, rows, columns), filters, channels;
groups lie outermost. An operand's tile stays in its buffer as long as the loops that run do not
change it, so what the innermost loop does not index is fetched once for all its turns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.dataflow import Extents, Pieces, Truth, all_cycles, tails
from accelsim.lowering.demand import demands, occupied_and_waste, sums_whole
from accelsim.lowering.gemm_energy import Done, done_by
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import (
    OPERAND_LOOPS,
    Cut,
    Entry,
    Loop,
    LoopOrder,
    Pick,
    Split,
    Tilings,
    cut,
)


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


def passes(
    order: tuple[Loop, ...], turns: dict[Loop, Sizes], operand: Operand, anew: bool = False
) -> Sizes:
    """How often every tile of `operand` is brought into its buffer.

    Each turn of a loop that does not index the operand brings it again, if a loop further in
    does index it and turns more than once; or in any case, where inputs are brought `anew`.
    """
    (other,) = turns.keys() - set(OPERAND_LOOPS[operand])
    if anew and operand in ("ifmap", "filter"):
        return turns[other]
    inside = [turns[loop] for loop in order[order.index(other) + 1 :]]
    if not inside:
        return np.ones((1,) * turns[other].ndim, dtype=np.int64)
    return np.where(prod(inside[1:], start=inside[0]) > 1, turns[other], 1)


@dataclass(frozen=True, slots=True)
class LastPart:
    """The last part of sums: its share of them, and the array cycles of all tiles that do it."""

    share: NDArray[np.float64]
    cycles: NDArray[np.float64]

    def only(self, pick: Pick) -> "LastPart":
        """That of some tilings, whatever their way."""
        return LastPart(pick(self.share)[0], pick(self.cycles)[0])


@dataclass(frozen=True, slots=True)
class Workload:
    """A kernel on a target with its tilings, and what does not depend on the loop order."""

    kernel: GemmKernel
    target: Target
    tilings: Tilings
    demand: dict[Operand, Sizes]
    turns: dict[Loop, Sizes]
    array_cycles: NDArray[np.float64]
    occupied: dict[Operand, Sizes]
    waste: dict[Operand, NDArray[np.float64]]
    tail: Sizes
    last: LastPart
    done: Done | None

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
    occupied, waste = occupied_and_waste(kernel, target, tilings, demand)
    return Workload(
        kernel=kernel,
        target=target,
        tilings=tilings,
        demand=demand,
        turns=trips(kernel, tilings),
        array_cycles=_array_cycles(kernel, target, tilings),
        occupied=occupied,
        waste=waste,
        tail=np.asarray(tails(target.array, _largest(kernel, tilings))),
        last=_last_part(kernel, target, tilings),
        done=None if target.rates is None else _done(kernel, target, tilings),
    )


def _done(kernel: GemmKernel, target: Target, tilings: Tilings) -> Done:
    """What is counted for the energy of tilings."""
    m, n = _pixel_pieces(kernel, tilings), _filter_pieces(kernel, tilings)
    pieces = m, n, _k_pieces(kernel, tilings, True)
    return done_by(kernel, target, tilings, pieces)


@dataclass(frozen=True, slots=True)
class Flow:
    """Array cycles and, by operand, the bytes that are brought or taken away, one per tiling.

    `demand` and `occupied` are of one tile: its bytes in the buffers and on the DRAM channel;
    `waste` is how much more all tiles occupy there than they move. `tail` is what the array takes
    after a tile, where none follows; `addend` what is added on the way out.
    `visits` counts how often a tile of an operand is brought or taken away. An array has as many
    tiles `between` the psums' leaving and their coming back, with the one that they are of. Ways
    to run the loops may be stacked in axes before the tilings'. Whether an operand comes from DRAM
    or lies on chip is all the same here, and so is the rate of DRAM, unless that is timed. Of the
    `arrays` `at_work` have a share: where it leaves nothing for the last of them, they have nothing
    to do. What is `done` is counted where energy is asked for. The `filter_is_input` of a product
    of two.
    """

    array: NDArray[np.float64]
    traffic: dict[Operand, Sizes]
    visits: dict[Operand, Sizes]
    demand: dict[Operand, Sizes]
    occupied: dict[Operand, Sizes]
    waste: dict[Operand, NDArray[np.float64]]
    tail: Sizes
    tiles: Sizes
    arrays: Sizes | int
    at_work: Sizes
    between: Sizes
    last: LastPart
    addend: int = 0
    filter_is_input: bool = False
    done: Done | None = None

    def only(self, pick: Pick) -> "Flow":
        """That of some tilings; what is done is not picked."""
        return Flow(
            array=pick(self.array),
            traffic=_picked(self.traffic, pick),
            visits=_picked(self.visits, pick),
            demand=_picked(self.demand, pick),
            occupied=_picked(self.occupied, pick),
            waste=_picked(self.waste, pick),
            tail=pick(self.tail),
            tiles=pick(self.tiles),
            arrays=pick(np.asarray(self.arrays)),
            at_work=pick(self.at_work),
            between=pick(self.between),
            last=self.last.only(pick),
            addend=self.addend,
            filter_is_input=self.filter_is_input,
        )


def _picked(sizes: Mapping[Operand, NDArray[Entry]], pick: Pick) -> dict[Operand, NDArray[Entry]]:
    return {item: pick(each) for item, each in sizes.items()}


@dataclass(frozen=True, slots=True)
class Share:
    """How `arrays` share the turns of a loop out, whatever their order: in blocks, from the first.

    `turns` are those of the first array in a tile of groups, which take `array_cycles` of all;
    `at_work` are the arrays that there are blocks for.
    """

    split: Split
    arrays: int
    turns: dict[Loop, Sizes]
    array_cycles: NDArray[np.float64]
    at_work: Sizes


def share_of(work: Workload, split: Split = "pixels", arrays: int = 1) -> Share:
    """What the first of `arrays` takes of the turns of `split`."""
    turns, group_tiles = work.turns, work.group_tiles
    if arrays == 1:
        return Share(
            split=split,
            arrays=arrays,
            turns=turns,
            array_cycles=work.array_cycles,
            at_work=np.ones_like(work.tiles),
        )
    shared = group_tiles if split == "groups" else turns[split]
    block = -(-shared // arrays)
    at_work = np.asarray(-(-shared // block))
    if split == "groups":
        groups = np.minimum(block * work.tilings.groups, work.kernel.groups)
        cycles = work.array_cycles * (groups / work.kernel.groups)
        return Share(split=split, arrays=arrays, turns=turns, array_cycles=cycles, at_work=at_work)
    cycles = _first_cycles(work, split, block)
    return Share(
        split=split,
        arrays=arrays,
        turns={**turns, split: block},
        array_cycles=cycles,
        at_work=at_work,
    )


def gemm_flow(work: Workload, order: LoopOrder, share: Share) -> Flow:
    """What a loop order moves."""
    anew = work.target.loads_anew
    times = {item: passes(order.value, work.turns, item, anew) for item in OPERANDS}
    visits = {item: _visits(work, item, times[item]) for item in OPERANDS}
    if share.arrays > 1:
        times = {item: _shared_passes(work, order, share, item) for item in OPERANDS}
    moved = _moved_bytes(work, times)
    return Flow(
        array=share.array_cycles,
        traffic=moved,
        visits=visits,
        demand=work.demand,
        occupied=work.occupied,
        waste=work.waste,
        tail=work.tail,
        tiles=work.tiles,
        arrays=share.arrays,
        at_work=share.at_work,
        between=share.turns[order.value[-1]],
        last=work.last,
        addend=_addend_bytes(work),
        filter_is_input=work.kernel.filter_is_input,
        done=work.done,
    )


def _first_cycles(work: Workload, split: Split, own: Sizes) -> NDArray[np.float64]:
    """Array cycles of the first `own` turns of a loop; what is left of an axis comes last."""
    kernel, tilings = work.kernel, work.tilings
    if split == "pixels":
        m, n = _first_pixels(kernel, tilings, own), _filter_pieces(kernel, tilings)
    else:
        m, n = _pixel_pieces(kernel, tilings), _first_filters(kernel, tilings, own)
    return _cycles_of(kernel, work.target, tilings, m, n)


def _first_filters(kernel: GemmKernel, tilings: Tilings, own: Sizes) -> Pieces:
    """The first `own` pieces of the filters."""
    (size, full), *rest = cut(kernel.filters, tilings.filters)
    taken = np.minimum(own, full)
    return [
        (Extents(m=1, n=size, k=1), taken),
        *((Extents(m=1, n=one, k=1), own - taken) for one, _ in rest),
    ]


def _first_pixels(kernel: GemmKernel, tilings: Tilings, own: Sizes) -> Pieces:
    """The first `own` pieces of the pixels: whole images, then rows, then columns of the next."""
    down = [*cut(kernel.rows.outputs, tilings.rows)]
    across = [*cut(kernel.cols.outputs, tilings.cols)]
    in_row = sum(count for _, count in across)
    images, left = np.divmod(own, sum(count for _, count in down) * in_row)
    rows, left = np.divmod(left, in_row)
    in_last_row = rows >= down[0][1]
    pieces: Pieces = []
    for is_last, (high, row_count) in enumerate(down):
        for is_rest, (wide, count) in enumerate(across):
            each = images * row_count * count + (0 if is_last else rows * count)
            if not is_rest:
                each = each + left * (in_last_row == bool(is_last))
            lines = kernel.lines(tilings.batch, high)
            pieces.append((Extents(m=tilings.batch * high * wide, n=1, k=1, lines=lines), each))
    return pieces


def _shared_passes(work: Workload, order: LoopOrder, share: Share, operand: Operand) -> Sizes:
    """`passes` when each array runs the loops with its own turns.

    The last array takes what is left. With a single turn it may keep a tile that the others
    bring again; its share of such an operand is counted as theirs.
    """
    anew, split = work.target.loads_anew, share.split
    times = passes(order.value, share.turns, operand, anew)
    if operand in ("psum", "ofmap") or split == "groups" or split in OPERAND_LOOPS[operand]:
        return times
    arrays, left = np.divmod(work.turns[split], share.turns[split])
    last = passes(order.value, {**share.turns, split: left}, operand, anew)
    return np.asarray(times * arrays + last * np.minimum(left, 1))


def _visits(work: Workload, operand: Operand, times: Sizes) -> Sizes:
    """How often tiles of `operand` come or go: an ofmap's once, psums out and in again."""
    first, second = OPERAND_LOOPS[operand]
    tiles = work.turns[first] * work.turns[second] * work.group_tiles
    if operand == "ofmap":
        return tiles
    return tiles * (2 * (times - 1) if operand == "psum" else times)


def _moved_bytes(work: Workload, times: dict[Operand, Sizes]) -> dict[Operand, Sizes]:
    """Bytes moved by operand, each tile brought so many `times`."""
    kernel, tilings = work.kernel, work.tilings
    pixels = kernel.batch * tilings.row_reads * tilings.col_reads
    results = kernel.groups * kernel.gemm.m * kernel.filters
    words: dict[Operand, Sizes] = {
        "ifmap": pixels * (kernel.groups * kernel.channels) * times["ifmap"],
        "filter": kernel.groups * kernel.filters * kernel.channels * kernel.taps * times["filter"],
        "psum": 2 * results * (times["psum"] - 1),
        "ofmap": np.full((1,) * times["ofmap"].ndim, kernel.written_words),
    }
    return {item: words[item] * work.target.bytes_of(item) for item in OPERANDS}


def _addend_bytes(work: Workload) -> int:
    """Bytes of what is added to the results."""
    kernel = work.kernel
    results = kernel.groups * kernel.gemm.m * kernel.filters
    return results * work.target.bytes_of("ifmap") * kernel.addend


def _largest(kernel: GemmKernel, tilings: Tilings) -> Extents:
    """The largest tile of each tiling."""
    pixels = tilings.batch * tilings.rows * tilings.cols
    k = tilings.channels * tilings.taps
    lines = kernel.lines(tilings.batch, tilings.rows)
    return Extents(m=pixels, n=tilings.filters, k=k, taps=tilings.taps, lines=lines)


def _array_cycles(kernel: GemmKernel, target: Target, tilings: Tilings) -> NDArray[np.float64]:
    """Array cycles of all tiles, one after another."""
    m, n = _pixel_pieces(kernel, tilings), _filter_pieces(kernel, tilings)
    return _cycles_of(kernel, target, tilings, m, n)


def _cycles_of(
    kernel: GemmKernel, target: Target, tilings: Tilings, m: Pieces, n: Pieces
) -> NDArray[np.float64]:
    """Array cycles of the tiles that pieces of pixels and of filters make, of all groups."""
    cycles = all_cycles(target.array, m, n, _k_pieces(kernel, tilings, bool(target.array.buffers)))
    return np.asarray(cycles * kernel.groups, dtype=float)


def _filter_pieces(kernel: GemmKernel, tilings: Tilings) -> Pieces:
    return [
        (Extents(m=1, n=size, k=1), count) for size, count in cut(kernel.filters, tilings.filters)
    ]


def _pixel_pieces(kernel: GemmKernel, tilings: Tilings) -> Pieces:
    return [
        (
            Extents(m=images * rows * cols, n=1, k=1, lines=kernel.lines(images, rows)),
            image_count * row_count * col_count,
        )
        for images, image_count in cut(kernel.batch, tilings.batch)
        for rows, row_count in cut(kernel.rows.outputs, tilings.rows)
        for cols, col_count in cut(kernel.cols.outputs, tilings.cols)
    ]


def _k_pieces(kernel: GemmKernel, tilings: Tilings, ends_count: bool) -> Pieces:
    """Of sums that are not whole the first tile starts them and the last one ends them.

    Where that makes no difference, as ports have no limits, it is left out.
    """
    whole = sums_whole(kernel, tilings)
    axes = [
        [*cut(kernel.channels, tilings.channels)],
        [*cut(kernel.rows.kernel, tilings.tap_rows)],
        [*cut(kernel.cols.kernel, tilings.tap_cols)],
    ]
    pieces: Pieces = [
        (_of_sums([size for size, _ in each], whole, whole), prod(count for _, count in each))
        for each in product(*axes)
    ]
    return [*pieces, *_ends(axes, whole)] if ends_count else pieces


def _ends(axes: Sequence[Sequence[Cut]], whole: NDArray[np.bool_]) -> Pieces:
    """What makes the first and the last tile of sums differ from those between."""
    first = [each[0][0] for each in axes]
    last = [np.where(each[-1][1] > 0, each[-1][0], each[0][0]) for each in axes]
    parted = ~whole
    return [
        (_of_sums(first, True, False), parted * 1),
        (_of_sums(first, False, False), parted * -1),
        (_of_sums(last, False, True), parted * 1),
        (_of_sums(last, False, False), parted * -1),
    ]


def _last_part(kernel: GemmKernel, target: Target, tilings: Tilings) -> LastPart:
    """What is left of each axis of sums, or a whole tile of it."""
    wholes = (kernel.channels, kernel.rows.kernel, kernel.cols.kernel)
    sizes = (tilings.channels, tilings.tap_rows, tilings.tap_cols)
    last = [
        whole - (-(-whole // size) - 1) * size for whole, size in zip(wholes, sizes, strict=True)
    ]
    m, n = _pixel_pieces(kernel, tilings), _filter_pieces(kernel, tilings)
    k = _of_sums(last, starts=sums_whole(kernel, tilings), ends=True)
    cycles = all_cycles(target.array, m, n, [(k, np.ones_like(prod(last)))])
    return LastPart(
        share=np.asarray(prod(last) / prod(wholes)),
        cycles=np.asarray(cycles * kernel.groups, dtype=float),
    )


def _of_sums(sizes: Sequence[Sizes], starts: Truth, ends: Truth) -> Extents:
    """Extents along k alone, of channels and of rows and columns of taps."""
    channels, rows, cols = sizes
    taps = rows * cols
    return Extents(m=1, n=1, k=channels * taps, starts=starts, ends=ends, taps=taps)
