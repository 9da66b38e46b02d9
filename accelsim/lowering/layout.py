"""How operands lie in DRAM, and which runs of contiguous bytes a tile takes of them.

Feature maps and psums are stored [N][C][H][W] (image, channel, row, column). Rows taken whole
are contiguous with the next ones, whole planes with the next channel, whole images with the next
image. Weights do not change, so they are stored in the order in which the tiles take them: a tile
is one run. A matmul's filter is computed, and stored [K][C].
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import ManyRuns
from accelsim.dram.transfer import Runs


class Planes(NamedTuple):
    """Extents of a feature map or of a block of it, in words."""

    batch: int
    channels: int
    rows: int
    cols: int

    @property
    def words(self) -> int:
        """All words."""
        return self.batch * self.channels * self.rows * self.cols


def map_runs(whole: Planes, block: Planes, word_bytes: int, maps: int = 1) -> Runs:
    """The runs of a block of `maps` feature maps of the same shape.

    The pitch is the distance of the runs that are nearest to each other.
    """
    run, apart = 1, 1
    extents = zip(
        (block.cols, block.rows, block.channels, block.batch),
        (whole.cols, whole.rows, whole.channels, whole.batch),
        strict=True,
    )
    broken = False
    for taken, total in extents:
        if not broken:
            run *= taken
            apart *= total
            broken = taken < total
        elif taken > 1:
            break
        else:
            apart *= total
    return Runs(maps * (block.words // run if run else 0), run * word_bytes, apart * word_bytes)


def many_map_runs(whole: Planes, block: tuple[NDArray[np.int64], ...], word_bytes: int) -> ManyRuns:
    """`map_runs` of blocks given as arrays: images, channels, rows, columns."""
    run = np.ones_like(block[0])
    apart, found = run, np.zeros_like(run, dtype=bool)
    broken = found
    totals = (whole.cols, whole.rows, whole.channels, whole.batch)
    for taken, total in zip(reversed(block), totals, strict=True):
        found = found | broken & (taken > 1)
        run = np.where(broken, run, run * taken)
        apart = np.where(found, apart, apart * total)
        broken = broken | (taken < total)
    words = block[0] * block[1] * block[2] * block[3]
    return ManyRuns(words // np.maximum(run, 1), run * word_bytes, apart * word_bytes)


def many_filter_runs(
    filters: NDArray[np.int64], row: int, part: NDArray[np.int64], word_bytes: int
) -> ManyRuns:
    """`filter_runs` of tiles given as arrays."""
    whole = part == row
    size = np.where(whole, filters * row, part) * word_bytes
    pitch = np.where(whole, filters, 1) * row * word_bytes
    return ManyRuns(np.where(whole, 1, filters), size, pitch)


def packed(size: int) -> Runs:
    """`size` bytes in one run."""
    return Runs(1, size, size)


def many_packed(size: NDArray[np.int64]) -> ManyRuns:
    """`packed` of tiles given as an array."""
    return ManyRuns(np.ones_like(size), size, size)


def filter_runs(filters: int, row: int, part: int, word_bytes: int) -> Runs:
    """The runs of `filters` filters of `row` words each, of which `part` are taken."""
    if part == row:
        return Runs(1, filters * row * word_bytes, filters * row * word_bytes)
    return Runs(filters, part * word_bytes, row * word_bytes)
