"""Whether each tile computes for longer than any takes to come and to go.

Then none waits for another one's transfers, and a layer takes, as played, what its cost says.
"""

import numpy as np

from accelsim.lowering.dataflow import busy_cycles
from accelsim.lowering.demand import demands, occupied_by_tiles
from accelsim.lowering.extents import Extents
from accelsim.lowering.gemm_search import sizes_of
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target
from accelsim.lowering.tiling import GemmTiling, Tilings, tilings_of, whole_sizes


def is_steady(kernel: GemmKernel, target: Target, tiling: GemmTiling) -> bool:
    """Whether the smallest tile computes for longer than the largest one's transfers take.

    Of several arrays, of a timed DRAM and of what moves on chip nothing is said.
    """
    if target.arrays > 1 or target.timing is not None or target.move_bytes_per_cycle is not None:
        return False
    tilings = tilings_of(kernel, [np.array([size]) for size in sizes_of(tiling)])
    return _transfer_cycles(kernel, target, tilings) <= _least_cycles(kernel, target, tiling)


def _transfer_cycles(kernel: GemmKernel, target: Target, tilings: Tilings) -> float:
    """What all transfers of the largest tile take, one after another; psums leave and come back."""
    moved = occupied_by_tiles(kernel, target, tilings, demands(kernel, target, tilings))
    times = {item: 2 if item == "psum" else 1 for item, size in moved.items() if np.any(size)}
    rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
    return sum(
        count * (float(np.ceil(moved[item].max() / rate)) + latency)
        for item, count in times.items()
    )


def _least_cycles(kernel: GemmKernel, target: Target, tiling: GemmTiling) -> int:
    """What the tile computes that has what is left of every axis."""
    pairs = zip(whole_sizes(kernel), sizes_of(tiling), strict=True)
    batch, groups, rows, cols, n, channels, down, across = (
        total % size or size for total, size in pairs
    )
    tile = Extents(
        m=batch * rows * cols,
        n=n,
        k=channels * down * across,
        taps=down * across,
        lines=kernel.lines(batch, rows),
    )
    return groups * int(busy_cycles(target.array, tile))
