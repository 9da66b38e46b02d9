"""The search for a row-stationary mapping: candidates, legal, cost, min."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DoesNotFitError
from accelsim.hardware import MappingObjective, Operand
from accelsim.lowering.cost import significant
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import (
    Count,
    Mapping,
    Pass,
    RowShape,
    RowStationary,
    pass_time,
    replications,
    row_shape,
)
from accelsim.lowering.target import Target
from accelsim.lowering.task import spans
from accelsim.units import ceil_div

FILLED: dict[MappingObjective, float] = {"time": 0.5, "energy": 0.0, "traffic": 0.9}
"""Least share of the PEs that a layer can fill at best; Eyeriss' own mappings fill over 92 %."""

SMALL = 2**16
"""MACs of a layer for which least time is searched among all sets."""

DRAM_ENERGY, BUFFER_ENERGY = 200, 6
"""Energy of a word relative to a MAC: Chen et al., ISCA 2016, table IV."""


def cuts(total: int, most: int) -> set[int]:
    """Sizes up to `most` that cut `total` without a rest, or evenly where those are small."""
    most = min(most, total)
    whole = {size for size in range(1, most + 1) if total % size == 0}
    if 2 * max(whole) > most:
        return whole
    return whole | {ceil_div(total, parts) for parts in range(ceil_div(total, most), total + 1)}


def candidates(kernel: GemmKernel, target: Target, filled: float) -> Mapping:
    """Mappings to compare, legal for the spads and the array; m as large as its buffer allows.

    Their sets fill the share `filled` of the PEs that those which fill most do.
    """
    model = target.row_stationary
    shape = row_shape(model, kernel)
    chosen = []
    for e, r, t in _filled_sets(kernel, model, shape, filled):
        filters = cuts(ceil_div(kernel.filters, t), model.psum_spad)
        for q in cuts(kernel.channels, model.ifmap_spad // shape.taps):
            if q * r < kernel.channels + q:
                most = model.filter_spad // (q * shape.taps)
                chosen += [(e, p, q, r, t) for p in filters if p <= most]
    e, p, q, r, t = np.array(chosen, dtype=np.int64).T
    images = np.array(sorted(cuts(kernel.batch, kernel.batch)), dtype=np.int64)
    index, n = (axis.ravel() for axis in np.meshgrid(np.arange(len(e)), images, indexing="ij"))
    mapping = Mapping(n, n, *(axis[index] for axis in (e, p, q, r, t)))
    return _most_filters(kernel, shape, target, mapping)


def _filled_sets(
    kernel: GemmKernel, model: RowStationary, shape: RowShape, filled: float
) -> list[tuple[int, int, int]]:
    """(e, r, t) that fill enough of the PEs that the layer can fill at best."""
    sets = sorted(_sets(kernel, model, shape))
    most = max(e * r * t for e, r, t in sets)
    return [each for each in sets if each[0] * each[1] * each[2] >= filled * most]


def _sets(
    kernel: GemmKernel, model: RowStationary, shape: RowShape
) -> Iterable[tuple[int, int, int]]:
    """(e, r, t): PE sets that cut the ofmap rows evenly, and how often they are replicated."""
    widest = min(kernel.rows.outputs, model.cols * (model.rows // shape.set_rows))
    parts = range(ceil_div(kernel.rows.outputs, widest), kernel.rows.outputs + 1)
    for e in {ceil_div(kernel.rows.outputs, part) for part in parts}:
        for r, most in replications(model, shape, e):
            if r <= kernel.channels:
                yield from ((e, r, t) for t in cuts(kernel.filters, most))


def _most_filters(kernel: GemmKernel, shape: RowShape, target: Target, mapping: Mapping) -> Mapping:
    """The mappings with the largest m whose psums fit beside the ifmap; in even blocks."""
    words = block_words(kernel, shape, mapping)
    most = np.full_like(mapping.p, kernel.filters)
    for space in target.buffers:
        results = {"psum", "ofmap"} & {*space.holds}
        if results:
            word = max(target.bytes_of(item) for item in space.holds if item in results)
            free = space.size // space.bank + 0 * mapping.p
            for item in space.holds:
                if item not in results:
                    free = free - -(-words[item] * target.bytes_of(item) // space.bank)
            each = mapping.n * mapping.e * shape.ofmap_cols * word
            most = np.minimum(most, free * space.bank // each)
    tiles = -(-kernel.filters // mapping.filters)
    fitting = np.where(most < kernel.filters, most // mapping.filters, tiles)
    pairs, index = np.unique(np.stack([tiles, fitting]), axis=1, return_inverse=True)
    largest = [max(cuts(tiles, max(fitting, 1))) for tiles, fitting in pairs.T.tolist()]
    m = np.array(largest, dtype=np.int64)[index.ravel()] * mapping.filters
    return Mapping(m, mapping.n, mapping.e, mapping.p, mapping.q, mapping.r, mapping.t)


def block_words(kernel: GemmKernel, shape: RowShape, mapping: Mapping) -> dict[Operand, Count]:
    """Words that a block keeps on chip: ifmap and filters of a pass, psums of its m filters."""
    channels: Count = np.minimum(mapping.channels, kernel.channels)
    kept: Count = np.minimum(mapping.m, kernel.filters)
    filters: Count = np.minimum(mapping.filters, kernel.filters)
    outputs = mapping.n * kept * mapping.e * shape.ofmap_cols
    rows = (mapping.e - 1) * shape.stride + shape.reach
    ifmap = mapping.n * channels * rows * shape.width
    weights = filters * channels * shape.set_rows * shape.taps
    return {"ifmap": ifmap, "filter": weights, "psum": outputs, "ofmap": outputs}


def block_bytes(target: Target, words: dict[Operand, Count]) -> list[Count]:
    """Bytes that a block takes of each buffer, in whole banks; the ofmap lies where psums were."""
    taken: list[Count] = []
    for space in target.buffers:
        sizes = {item: words[item] * target.bytes_of(item) for item in space.holds}
        if "psum" in sizes and "ofmap" in sizes:
            sizes["psum"] = np.maximum(sizes["psum"], sizes.pop("ofmap"))
        total: Count = 0 * words["ofmap"]
        for size in sizes.values():
            total = total + -(-size // space.bank) * space.bank
        taken.append(total)
    return taken


def legal(
    kernel: GemmKernel, shape: RowShape, target: Target, mapping: Mapping
) -> NDArray[np.bool_]:
    """Whether a block fits every buffer."""
    taken = block_bytes(target, block_words(kernel, shape, mapping))
    fits = np.ones(np.shape(mapping.p), dtype=bool)
    for space, size in zip(target.buffers, taken, strict=True):
        fits &= size <= space.size // space.bank * space.bank
    return fits


@dataclass(frozen=True, slots=True)
class MappingCost:
    """What a mapping takes: array and DRAM cycles, words to and from DRAM and the buffers."""

    array_cycles: Count | NDArray[np.float64]
    dram_cycles: NDArray[np.float64]
    dram_words: Count
    buffer_words: Count
    passes: Count


def mapping_cost(
    kernel: GemmKernel, shape: RowShape, target: Target, mapping: Mapping
) -> MappingCost:
    """The closed form of one array's whole layer. Passes at an edge are counted as full ones, and
    the ifmap with its padding, as the chip's authors list it."""
    blocks = -(-kernel.batch // mapping.n) * -(-kernel.rows.outputs // mapping.e)
    steps = -(-kernel.channels // mapping.channels) * shape.pieces
    filter_blocks = -(-kernel.filters // mapping.m)
    rest = kernel.filters - (filter_blocks - 1) * mapping.m
    filter_passes = (filter_blocks - 1) * (mapping.m // mapping.filters) + -(
        -rest // mapping.filters
    )
    passes = kernel.groups * blocks * steps * filter_passes
    images = kernel.groups * kernel.batch * kernel.channels
    strips = -(-kernel.rows.outputs // mapping.e)
    brought, read = (
        kernel.rows.outputs * shape.stride + strips * (rows - shape.stride)
        for rows in (shape.reach, shape.span)
    )
    outputs = kernel.groups * kernel.gemm.m * kernel.filters
    weights = kernel.groups * kernel.filters * kernel.channels * kernel.taps * blocks
    ifmap = images * brought * shape.width * filter_blocks
    moved = (
        ifmap * target.bytes_of("ifmap")
        + weights * target.bytes_of("filter")
        + outputs * target.bytes_of("ofmap")
    )
    channels: Count = np.minimum(mapping.channels, kernel.channels)
    filters: Count = np.minimum(mapping.filters, kernel.filters)
    full = Pass(mapping.n, mapping.e, channels, filters, mapping.r, mapping.t)
    return MappingCost(
        passes * pass_time(target.row_stationary, shape, full).total,
        np.asarray(moved / float(target.dram_bytes_per_cycle)),
        ifmap + weights + outputs,
        2 * outputs * steps + images * shape.pieces * read * shape.width * filter_passes,
        passes,
    )


@lru_cache(maxsize=4096)
def best_mapping(kernel: GemmKernel, target: Target) -> Mapping:
    """The legal mapping that is best by the hardware's objective.

    Time is max(array, DRAM), and ties go to less DRAM traffic. Traffic is that of DRAM, then that
    of the buffers, among mappings that fill the array. Ties of both others go to less time.
    Raises DoesNotFitError if none is legal.
    """
    shape = row_shape(target.row_stationary, kernel)
    objective = target.row_stationary.objective
    few = objective == "time" and kernel.macs <= SMALL
    for filled in (0.0 if few else FILLED[objective], 0.0):
        mapping = candidates(kernel, target, filled)
        fitting = np.flatnonzero(legal(kernel, shape, target, mapping))
        if len(fitting):
            break
    else:
        raise DoesNotFitError(_misfit(kernel, shape, target, mapping))
    mapping = mapping.select(fitting)
    cost = mapping_cost(kernel, shape, target, mapping)
    cycles = significant(np.maximum(cost.array_cycles / target.arrays, cost.dram_cycles))
    energy = DRAM_ENERGY * cost.dram_words + BUFFER_ENERGY * cost.buffer_words
    criteria: dict[MappingObjective, list[object]] = {
        "time": [cycles, cost.dram_words, cost.passes],
        "energy": [energy, cycles, cost.passes],
        "traffic": [cost.dram_words, cost.buffer_words, cycles, cost.passes],
    }
    order = np.lexsort(np.array(criteria[objective][::-1]))
    return mapping.only(int(order[0]))


def _misfit(kernel: GemmKernel, shape: RowShape, target: Target, mapping: Mapping) -> str:
    """Demand, bound and lever of the smallest block."""
    taken = np.array(block_bytes(target, block_words(kernel, shape, mapping)))
    index = int(np.argmin(taken.sum(axis=0)))
    return "; ".join(
        f"the smallest block needs {size:,} bytes of buffer {space.name}, which has "
        f"{space.size:,}; make buffers.{space.name}.size at least {size} B"
        for space, size in zip(target.buffers, taken[:, index], strict=True)
        if size > space.size // space.bank * space.bank
    )


def pes_holding_work(kernel: GemmKernel, target: Target, mapping: Mapping) -> float:
    """Share of the PEs that hold work, averaged over the passes of a layer."""
    model = target.row_stationary
    rows = kernel.rows.outputs / ceil_div(kernel.rows.outputs, int(mapping.e))
    chains = _mean_sets(kernel.channels, kernel.channels, int(mapping.channels), int(mapping.r))
    beside = _mean_sets(kernel.filters, int(mapping.m), int(mapping.filters), int(mapping.t))
    pes = model.rows * model.cols
    return row_shape(model, kernel).set_rows * rows * chains * beside / pes


def _mean_sets(total: int, block: int, size: int, sets: int) -> float:
    """PE sets at work, of `sets`, averaged over pieces of `size` that cut blocks of `total`."""
    pieces = [piece.size for part in spans(total, block) for piece in spans(part.size, size)]
    return sum(ceil_div(piece, ceil_div(piece, sets)) for piece in pieces) / len(pieces)
