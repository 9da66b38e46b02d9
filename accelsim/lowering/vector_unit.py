"""The vector unit as a processor: lanes that take an operation per cycle each."""

from dataclasses import dataclass

import numpy as np

from accelsim.lowering.extents import Cycles, Truth
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.laws import Lanes, Words
from accelsim.lowering.ports import bytes_of, cycles_of
from accelsim.lowering.processor import Counts, TileWork
from accelsim.lowering.target import Target


@dataclass(frozen=True, slots=True)
class VectorExtents:
    """A tile of vector work: words read of all inputs and written, and lane operations.

    Of results that are not finished, `psum_reads` come back and `psum_writes` wait for more.
    `filters` are words of filters that are read.
    """

    read: Cycles
    written: Cycles
    operations: Cycles
    psum_reads: Cycles = 0
    psum_writes: Cycles = 0
    filters: Cycles = 0


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """Lanes between the buffers of ifmap and ofmap, those with a bandwidth listed."""

    lanes: int
    buffers: tuple[Lanes, ...] = ()

    def cycles(self, tile: VectorExtents) -> Cycles:
        """Cycles of the lanes, or of the slowest buffer that all words cross once."""
        cycles = -(-tile.operations // self.lanes)
        psums = tile.psum_reads + tile.psum_writes
        read: Words = {"ifmap": tile.read, "filter": tile.filters}
        words: Words = read | {"psum": psums, "ofmap": tile.written}
        for buffer in self.buffers:
            cycles = np.maximum(cycles, cycles_of(buffer, bytes_of(buffer, words)))
        return cycles

    def tail(self, tile: VectorExtents) -> Cycles:
        """None: results are out when the unit is free."""
        return 0 * tile.operations

    def work(self, tile: VectorExtents) -> TileWork:
        """Lanes at work, then waiting for the buffers."""
        cycles, streaming = self.cycles(tile), -(-tile.operations // self.lanes)
        waiting = cycles - streaming
        return TileWork(
            streaming=streaming,
            fill_drain=0 * streaming,
            buffer=waiting,
            buffer_bound=cycles * np.minimum(waiting, 1),
            tail=self.tail(tile),
            operations=tile.operations,
            sram={
                "ifmap_reads": tile.read,
                "filter_reads": tile.filters,
                "psum_reads": tile.psum_reads,
                "psum_writes": tile.psum_writes,
                "ofmap_writes": tile.written,
            },
            inside={},
        )

    def leaves_unfinished(self, tile: VectorExtents) -> Truth:
        """Never."""
        return False

    def room(self, tile: VectorExtents, footprint: Counts) -> Counts:
        """What it reads and what it writes."""
        return footprint

    def likes(self, taps: int) -> dict[str, int]:
        """Lanes take any elements of a tile, so no axis is liked."""
        return {}


def vector_unit(target: Target) -> VectorUnit:
    """The vector unit of an array of `target`."""
    limited = (
        Lanes(space.bytes_per_cycle, tuple((item, target.bytes_of(item)) for item in space.holds))
        for space in target.buffers
        if space.bytes_per_cycle is not None
    )
    return VectorUnit(target.lanes, tuple(limited))


def loaded_inputs(kernel: VectorKernel, target: Target) -> list[bool]:
    """`kernel.inputs` without those that are resident."""
    resident = target.residence.ifmaps or (False,) * len(kernel.inputs)
    return [full for full, here in zip(kernel.inputs, resident, strict=True) if not here]


def totals(kernel: VectorKernel, target: Target) -> tuple[int, ...]:
    """The most along each axis that a VectorTiling cuts, and of arrays."""
    return (
        *(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs),
        *(kernel.rows.kernel, kernel.cols.kernel, target.sharers),
    )
