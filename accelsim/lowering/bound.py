"""What a GEMM kernel takes at least on a systolic array, however it is tiled."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.dataflow import ArrayModel, busy_cycles
from accelsim.lowering.extents import Extents, Gemm
from accelsim.lowering.footprint import touched
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target


def least_cost(kernel: GemmKernel, target: Target) -> float:
    """What no tiling of `kernel` takes less than: its folds uncut, or each operand once.

    What lies on chip is not moved. Of energy there is no such bound.
    """
    residence = target.residence
    if target.objective != "time":
        return 0.0
    array = replace(target.array, piece=0)  # rows of pixels may be cut into pieces that suit it
    busy = kernel.groups * least_busy_cycles(array, kernel.gemm) / target.sharers
    moved = kernel.groups * kernel.filters * kernel.gemm.k * target.bytes_of("filter")
    if not residence.ifmap:
        down, across = map(touched, kernel.windows)
        words = kernel.batch * kernel.groups * kernel.channels * down * across
        moved += words * target.bytes_of("ifmap")
    if kernel.addend and not residence.addend:
        moved += kernel.groups * kernel.gemm.m * kernel.filters * target.bytes_of("ifmap")
    if residence.stored:
        moved += kernel.written_words * target.bytes_of("ofmap")
    last = target.dram_latency * residence.stored
    first = target.dram_latency * (not residence.ifmap)  # stores may go on meanwhile
    return max(busy + first, moved / float(target.dram_bytes_per_cycle)) + last


def least_busy_cycles(model: ArrayModel, gemm: Gemm) -> int:
    """Cycles of the folds of a GEMM uncut, or of as many whose filters are alike in number.

    Where a buffer limits what a fold takes, full folds and a narrow one take longer than those.
    """
    uncut = int(busy_cycles(model, gemm.whole))
    if not model.buffers:
        return uncut
    count = -(-gemm.n // np.arange(1, min(model.cols, gemm.n) + 1))
    width, wider = np.divmod(gemm.n, count)  # so many have one filter more
    narrow, wide = (busy_cycles(model, _of_width(gemm, each)) for each in (width, width + 1))
    return min(uncut, int(np.min((count - wider) * narrow + wider * wide)))


def _of_width(gemm: Gemm, width: NDArray[np.int64]) -> Extents:
    """The GEMM with so many filters."""
    same = 0 * width
    return replace(gemm.whole, m=gemm.m + same, n=width, k=gemm.k + same)
