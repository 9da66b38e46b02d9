"""Tile sizes: what a search chooses, and what cutting an axis evenly gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.lowering.cost import Loop, LoopOrder
from accelsim.lowering.target import Sizes, Target
from accelsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class GemmTiling:
    """Tile sizes of a GEMM kernel, the loop order, and the loop that `arrays` share out.

    `tap_rows` and `tap_cols` count taps of the kernel's window, down and across.
    """

    batch: int
    groups: int
    rows: int
    cols: int
    filters: int
    channels: int
    tap_rows: int
    tap_cols: int
    order: LoopOrder
    split: Loop
    arrays: int = 1


@dataclass(frozen=True, slots=True)
class VectorTiling:
    """Tile sizes of a vector kernel, and how many arrays' vector units share its blocks.

    `tap_rows` and `tap_cols` count taps of the kernel's window, down and across.
    """

    batch: int
    channels: int
    rows: int
    cols: int
    tap_rows: int
    tap_cols: int
    arrays: int = 1


FINE = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 56, 64, 96, 128, 224)
COARSE = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


def even_sizes(total: int, parts: Sequence[int], align: int = 1) -> set[int]:
    """Sizes that cut `total` into about each of `parts`, in multiples of `align`, and 1."""
    units = ceil_div(total, align)
    cut = {min(ceil_div(units, min(part, units)) * align, total) for part in parts}
    return cut | {1, total}


def too_small(target: Target, needed: Sequence[int] | Sizes) -> str:
    """Every buffer whose half is less than the bytes `needed` of it, and the size that helps."""
    return "; ".join(
        f"the smallest tile needs {size:,} bytes of buffer {space.name}, whose half (the other "
        f"half loads the next tile) is {space.half:,}; make buffers.{space.name}.size at least "
        f"{2 * size} B"
        for space, size in zip(target.buffers, needed, strict=True)
        if size > space.half
    )
