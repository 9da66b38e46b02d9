"""The search for the best tiling of a vector kernel: candidates, legal, cost, min."""

from dataclasses import dataclass

import numpy as np

from accelsim.hardware import Operand
from accelsim.lowering.cost import Cost, occupied_bytes, rounded_to_bursts
from accelsim.lowering.footprint import reads
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.layout import Planes, many_map_runs
from accelsim.lowering.ranking import Part, Ranking
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import COARSE, FINE, VectorTiling, even_sizes


@dataclass(frozen=True, slots=True)
class VectorTilings:
    """Tile sizes of a vector kernel under comparison, each along an axis of its own, as Tilings.

    `row_span` and `row_reads` (columns likewise) are those of Tilings; `plane_tiles` counts
    the tiles of one channel of an image, `tiles` all. The axes are columns, rows, channels, images.
    """

    cols: Sizes
    rows: Sizes
    channels: Sizes
    batch: Sizes
    col_span: Sizes
    col_reads: Sizes
    row_span: Sizes
    row_reads: Sizes
    plane_tiles: Sizes
    tiles: Sizes

    @property
    def elements(self) -> Sizes:
        """Elements of a tile's ofmap."""
        return self.batch * self.channels * self.rows * self.cols


def loaded_inputs(kernel: VectorKernel, target: Target) -> list[bool]:
    """`kernel.inputs` without those that are resident."""
    resident = target.residence.ifmaps or (False,) * len(kernel.inputs)
    return [full for full, here in zip(kernel.inputs, resident, strict=True) if not here]


def vector_candidates(kernel: VectorKernel) -> VectorTilings:
    """Tilings to compare; first those that keep columns, then rows, whole."""
    axes = [
        even_sizes(kernel.cols.outputs, COARSE),
        even_sizes(kernel.rows.outputs, FINE),
        {kernel.channels} if kernel.all_channels else even_sizes(kernel.channels, FINE),
        even_sizes(kernel.batch, COARSE),
    ]
    sizes = [np.array(sorted(axis, reverse=True)) for axis in axes]
    cols, rows, channels, batch = np.ix_(*sizes)
    planes = -(-kernel.rows.outputs // rows) * -(-kernel.cols.outputs // cols)
    (col_span, col_reads), (row_span, row_reads) = (
        reads(window, size) for window, size in ((kernel.cols, sizes[0]), (kernel.rows, sizes[1]))
    )
    return VectorTilings(
        *(cols, rows, channels, batch),
        *(col_span.reshape(cols.shape), col_reads.reshape(cols.shape)),
        *(row_span.reshape(rows.shape), row_reads.reshape(rows.shape)),
        planes,
        planes * -(-kernel.batch // batch) * -(-kernel.channels // channels),
    )


def vector_demands(
    kernel: VectorKernel, target: Target, tilings: VectorTilings
) -> dict[Operand, Sizes]:
    """Bytes that a tile takes: of the inputs that are loaded, and of an ofmap that needs a tile."""
    loaded = loaded_inputs(kernel, target)
    planes = tilings.batch * tilings.channels
    ifmap = sum(loaded) * (tilings.row_span * tilings.col_span) + loaded.count(False)
    return {
        "ifmap": target.bytes_of("ifmap") * planes * ifmap,
        "ofmap": target.bytes_of("ofmap") * tilings.elements * (not target.computes_in_place),
    }


def vector_cost(kernel: VectorKernel, target: Target, tilings: VectorTilings) -> Cost:
    """Lanes beside DRAM; and the first tile's load, and the last one's store or move."""
    tiles, outputs = tilings.tiles, kernel.rows.outputs * kernel.cols.outputs
    loaded = loaded_inputs(kernel, target)
    fetched = sum(loaded) * (tilings.row_reads * tilings.col_reads)
    fetched = fetched + loaded.count(False) * tilings.plane_tiles
    stored = target.residence.stored
    demand = vector_demands(kernel, target, tilings)
    first, last = _occupied(kernel, target, tilings, demand)
    moving = target.move_cycles(demand["ofmap"])
    lanes = kernel.operations_total / target.lanes * (-(-tiles // target.arrays) / tiles)
    if target.residence.kept:  # no store makes small tiles dear, but each takes whole cycles
        tile = tilings.elements * kernel.operations
        lanes = lanes * (-(-tile // target.lanes) * target.lanes / tile)
    return Cost(
        np.maximum(lanes, moving * tiles) + moving,
        first + last * stored,
        np.asarray((first + last * stored) * tiles, dtype=float),
        np.zeros(()),
        kernel.batch
        * kernel.channels
        * (target.bytes_of("ifmap") * fetched + target.bytes_of("ofmap") * outputs * stored),
        1 + stored,
    )


def _occupied(
    kernel: VectorKernel, target: Target, tilings: VectorTilings, demand: dict[Operand, Sizes]
) -> tuple[Sizes, Sizes]:
    """`occupied_bytes` of the largest tile's ifmap and ofmap."""
    if target.timing is None:
        return rounded_to_bursts(demand["ifmap"], target), rounded_to_bursts(
            demand["ofmap"], target
        )
    whole = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    taken = (tilings.batch, tilings.channels, tilings.row_span, tilings.col_span)
    made = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    reads = many_map_runs(whole, taken, target.bytes_of("ifmap"))
    writes = many_map_runs(result, made, target.bytes_of("ofmap"))
    return (
        occupied_bytes(demand["ifmap"], reads, target),
        occupied_bytes(demand["ofmap"], writes, target, write=True),
    )


def vector_ranking(kernel: VectorKernel, target: Target) -> Ranking:
    """What the tilings of a vector kernel that fit cost; ties go to fewer tiles."""
    tilings = vector_candidates(kernel)
    axes = (tilings.batch, tilings.channels, tilings.rows, tilings.cols)
    shape = tilings.elements.shape
    needed = vector_needs(kernel, target, tilings)
    fits = np.all(
        [size <= space.half for size, space in zip(needed, target.buffers, strict=True)], axis=0
    )

    def tiling(index: int) -> VectorTiling:
        position = np.unravel_index(index, shape)
        return VectorTiling(*(int(np.broadcast_to(axis, shape)[position]) for axis in axes))

    part = Part(
        tiling=tiling,
        cost=vector_cost(kernel, target, tilings),
        preferences=(tilings.tiles,),
        tile_bytes=needed[target.buffer_index("ifmap")],
        index=np.flatnonzero(np.broadcast_to(fits, shape)),
        shape=shape,
    )
    return Ranking((part,))


def vector_needs(kernel: VectorKernel, target: Target, tilings: VectorTilings) -> list[Sizes]:
    """Bytes that a tile takes of each buffer."""
    demand = vector_demands(kernel, target, tilings)
    nothing = np.zeros_like(tilings.elements)
    return [
        sum((demand[item] for item in ("ifmap", "ofmap") if item in space.holds), start=nothing)
        for space in target.buffers
    ]
