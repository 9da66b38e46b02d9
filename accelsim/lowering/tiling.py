"""Tile sizes: of one tiling, that a search chooses, and of many under comparison."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Operand
from accelsim.lowering.footprint import TapReads, tap_reads
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Sizes, Target

Entry = TypeVar("Entry", bound=np.generic)


Loop = Literal["pixels", "filters", "channels"]

Split = Literal["pixels", "filters", "groups"]
"""What arrays share out: a loop, in each tile of groups, or the tiles of groups."""


OPERAND_LOOPS: dict[Operand, tuple[Loop, Loop]] = {
    "ifmap": ("pixels", "channels"),
    "filter": ("filters", "channels"),
    "psum": ("pixels", "filters"),
    "ofmap": ("pixels", "filters"),
}


class LoopOrder(Enum):
    """Loops from the outermost to the innermost, named by the operand that stays longest.

    The other three orders of three loops cost the same as one of these (the tests show it).
    """

    OFMAP_STAYS = ("pixels", "filters", "channels")
    IFMAP_STAYS = ("pixels", "channels", "filters")
    FILTER_STAYS = ("filters", "channels", "pixels")


@dataclass(frozen=True, slots=True)
class GemmTiling:
    """Tile sizes of a GEMM kernel, the loop order, and what `arrays` share out.

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
    split: Split
    arrays: int = 1


CutAxis = Literal["batch", "groups", "rows", "cols", "filters"]
"""What a GEMM kernel may be cut in two along: no axis that is summed."""


@dataclass(frozen=True, slots=True)
class CutTiling:
    """A GEMM kernel cut in two along an axis, each part with a tiling of its own.

    The first part has the indices below `at`, the rest the others. The rest may be cut again, as
    the kernel that it is: so one part after another is cut off.
    """

    cut: CutAxis
    at: int
    first: GemmTiling
    rest: "GemmTiling | CutTiling"

    @property
    def tilings(self) -> "tuple[GemmTiling, GemmTiling | CutTiling]":
        """Of the first part and of the rest."""
        return self.first, self.rest

    @property
    def arrays(self) -> int:
        """How many share the parts, where most."""
        return max(each.arrays for each in self.tilings)


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


def too_small(target: Target, needed: Sequence[int] | Sizes) -> str:
    """Every buffer whose half is less than the bytes `needed` of it, and the size that helps."""
    return "; ".join(
        f"the smallest tile needs {size:,} bytes of buffer {space.name}, whose half (the other "
        f"half loads the next tile) is {space.half:,}; make buffers.{space.name}.size at least "
        f"{2 * size} B"
        for space, size in zip(target.buffers, needed, strict=True)
        if size > space.half
    )


# --- Many at once --------------------------------------------------------------------------------


TilingSizes = tuple[int, int, int, int, int, int, int, int]
"""Batch, groups, rows, cols, filters, channels, tap rows, tap cols of a tile."""


def chosen(
    sizes: NDArray[Entry], shape: tuple[int, ...], index: NDArray[np.intp]
) -> NDArray[Entry]:
    """What `sizes` says of the tilings at `index`, of tilings in axes of `shape`."""
    if sizes.size == 1:
        return np.broadcast_to(sizes.reshape(()), index.shape)
    if sizes.shape == shape:
        return sizes.reshape(-1)[index]
    if index.size > sizes.size:
        return np.broadcast_to(sizes, shape).reshape(-1)[index]
    taken: NDArray[Entry] = picker(shape, index)(sizes)[0]
    return taken


Pick = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes what an array says of some tilings only."""


def picker(shape: tuple[int, ...], index: NDArray[np.intp]) -> Pick:
    """Takes what arrays that broadcast to `shape` say of some tilings, by flat index, in arrays of
    one axis behind one of a single way."""
    places = np.unravel_index(index, shape)
    known: dict[tuple[int, ...], NDArray[np.intp]] = {}

    def pick(sizes: NDArray[Any]) -> NDArray[Any]:
        if sizes.size == 1:
            return sizes.reshape(1, 1)
        if sizes.shape not in known:
            its = zip(places[len(shape) - sizes.ndim :], sizes.shape, strict=True)
            held = tuple(place if size > 1 else 0 * place for place, size in its)
            known[sizes.shape] = np.ravel_multi_index(held, sizes.shape)
        return sizes.reshape(-1)[known[sizes.shape]][np.newaxis]

    return pick


def _one(sizes: Sizes, places: Sequence[np.intp]) -> int:
    """What `sizes` says of the tiling at a place along each axis."""
    its = places[len(places) - sizes.ndim :]
    held = (place if size > 1 else 0 for place, size in zip(its, sizes.shape, strict=True))
    return int(sizes[tuple(held)])


@dataclass(frozen=True, slots=True)
class Tilings:
    """Tile sizes under comparison, and what they read of the ifmap, in arrays that broadcast.

    What depends on few of the sizes is worked out for few, and NumPy combines them where they
    meet. `row_span` counts the ifmap rows that the largest tile reads, `row_reads` those that all
    tiles along the rows, with all taps down the window, read together; columns likewise.
    """

    batch: Sizes
    groups: Sizes
    rows: Sizes
    cols: Sizes
    filters: Sizes
    channels: Sizes
    tap_rows: Sizes
    tap_cols: Sizes
    row_span: Sizes
    row_reads: Sizes
    col_span: Sizes
    col_reads: Sizes

    @property
    def axes(self) -> tuple[Sizes, ...]:
        """The sizes, in the order of TilingSizes."""
        pixels = (self.batch, self.groups, self.rows, self.cols)
        return *pixels, self.filters, self.channels, self.tap_rows, self.tap_cols

    @property
    def shape(self) -> tuple[int, ...]:
        """How many tilings there are along each axis of the arrays."""
        return np.broadcast(*self.axes).shape

    @property
    def taps(self) -> Sizes:
        """Taps of a tile, per channel."""
        return self.tap_rows * self.tap_cols

    def sizes(self, index: int) -> TilingSizes:
        """The tiling at a flat `index`."""
        places = np.unravel_index(index, self.shape)
        return tuple(_one(axis, places) for axis in self.axes)  # type: ignore[return-value]

    def at(self, index: NDArray[np.intp]) -> "Tilings":
        """Only the tilings at a flat `index`, in arrays of one axis."""
        each = (getattr(self, item.name) for item in fields(self))
        return Tilings(*(chosen(sizes, self.shape, index) for sizes in each))


def tilings_of(
    kernel: GemmKernel, axes: Sequence[Sizes], tap_reads: TapReads = tap_reads
) -> Tilings:
    """Tilings of the sizes given in the order of TilingSizes, in arrays that broadcast."""
    batch, groups, rows, cols, filters, channels, tap_rows, tap_cols = axes
    row_span, row_reads = tap_reads(kernel.rows, rows, tap_rows)
    col_span, col_reads = tap_reads(kernel.cols, cols, tap_cols)
    return Tilings(
        batch=batch,
        groups=groups,
        rows=rows,
        cols=cols,
        filters=filters,
        channels=channels,
        tap_rows=tap_rows,
        tap_cols=tap_cols,
        row_span=row_span,
        row_reads=row_reads,
        col_span=col_span,
        col_reads=col_reads,
    )


def all_tilings(
    kernel: GemmKernel, axes: Sequence[Sizes], tap_reads: TapReads = tap_reads
) -> Tilings:
    """Every combination of the sizes given for batch, groups, rows, cols, filters, channels, and
    for the rows and columns of taps (if left out: whole windows)."""
    whole = [np.array([kernel.rows.kernel]), np.array([kernel.cols.kernel])]
    return tilings_of(kernel, np.ix_(*axes, *whole[len(axes) - 6 :]), tap_reads)


def whole_sizes(kernel: GemmKernel) -> TilingSizes:
    """The sizes of one tile that is all of `kernel`."""
    return (
        *(kernel.batch, kernel.groups, kernel.rows.outputs, kernel.cols.outputs),
        *(kernel.filters, kernel.channels, kernel.rows.kernel, kernel.cols.kernel),
    )


Cut = tuple[Sizes, Sizes]
"""Size and count of tiles along an axis."""


def cut(total: int, size: Sizes) -> Iterator[Cut]:
    """(size, count) of the full tiles and, where there is one, of the remainder along an axis."""
    rest = total % size
    yield size, total // size
    if rest.any():
        yield np.maximum(rest, 1), np.minimum(rest, 1)
