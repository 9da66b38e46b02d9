"""The folds that an array cuts tiles into: those of a tile, or of all tiles of many tilings."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.extents import Axis, Cycles, Extents, FoldClass, Truth
from accelsim.lowering.laws import ArrayModel, Reduction

Pieces = list[tuple[Extents, Cycles]]
"""Tiles that differ along one axis, and how many there are of each."""


def fold_classes(model: ArrayModel, tile: Extents) -> Iterator[FoldClass]:
    """The folds of a tile, grouped by size and by whether their psums start or end there."""
    flow = model.dataflow
    for rows, row_count, starts, ends in _pieces(model, model.rows, tile, flow.rows):
        for cols, col_count, _, _ in _pieces(model, model.cols, tile, flow.cols):
            extent = {flow.rows: rows, flow.cols: cols, flow.time: tile.along(flow.time)}
            yield FoldClass(
                count=row_count * col_count,
                extent=extent,
                starts=starts,
                ends=ends,
                lines=tile.lines,
            )


def fold_kinds(model: ArrayModel, tile: Extents) -> FoldClass:
    """All `fold_classes` in one, those on the rows along a first axis, on the columns a second."""
    flow = model.dataflow
    shape = np.broadcast(tile.m, tile.n, tile.k, tile.starts, tile.ends).shape
    rows, row_count, starts, ends = _in_rows(_pieces(model, model.rows, tile, flow.rows), shape)
    cols, col_count, _, _ = _in_rows(_pieces(model, model.cols, tile, flow.cols), shape)
    extent = {flow.rows: rows[:, None], flow.cols: cols, flow.time: tile.along(flow.time)}
    return FoldClass(
        count=row_count[:, None] * col_count,
        extent=extent,
        starts=starts[:, None] == 1,
        ends=ends[:, None] == 1,
        lines=tile.lines,
    )


Piece = tuple[Cycles, Cycles, Truth, Truth]
"""Extent, count, and whether psums start and end there."""


def _in_rows(pieces: Iterable[Piece], shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Pieces of tiles of that `shape`, column by column, with a row for each."""
    columns = [*zip(*pieces, strict=True)]
    found = np.empty((len(columns), len(columns[0]), *shape), np.int64)
    for column, of_pieces in zip(found, columns, strict=True):
        for row, of_piece in enumerate(of_pieces):
            column[row] = of_piece
    return [*found]


def _pieces(model: ArrayModel, lanes: int, tile: Extents, axis: Axis) -> Iterator[Piece]:
    """The pieces that `lanes` PEs cut from `axis`; the last one holds the remainder.

    Pieces along k hand their psums on, so the first and the last are kept apart from those
    between.
    """
    if axis == "k":
        yield from _reduced_pieces(lanes, tile, model.reduced(tile))
        return
    size = tile.along(axis)
    full = (size - 1) // lanes
    yield lanes + 0 * size, full, tile.starts, tile.ends
    yield size - full * lanes, full * 0 + 1, tile.starts, tile.ends


def _reduced_pieces(lanes: int, tile: Extents, k: Reduction) -> Iterator[Piece]:
    """The pieces of k: of each part full ones, then the remainder."""
    full = (k.size - 1) // lanes
    whole, last = lanes + 0 * k.size, k.size - full * lanes
    opens_whole = np.minimum(full, 1)  # the very first piece is a full one
    several = np.minimum(full + k.parts - 1, 1)  # and another one the very last
    yield whole, opens_whole, tile.starts, False
    yield whole, full * k.parts - opens_whole, False, False
    yield last, several, False, tile.ends
    yield last, 1 - several, tile.starts, tile.ends
    if not np.array_equal(k.parts, 1):
        yield last, several * (1 - opens_whole), tile.starts, False
        yield last, k.parts - several * (2 - opens_whole) - (1 - several), False, False


# --- Of many tilings ------------------------------------------------------------------------------


def all_folds(
    model: ArrayModel, rows: Pieces, cols: Pieces, time: Pieces
) -> tuple[FoldClass, NDArray[np.intp]]:
    """The folds of all tiles that pieces on the three sides of the array make.

    One entry for each kind of fold that a tiling has, those of a tiling after one another; and
    where each tiling's begin. So the laws are asked once, however many kinds there are.
    """
    flow = model.dataflow
    shape = np.broadcast_shapes(*(np.shape(count) for _, count in (*rows, *cols, *time)))
    in_time = [(it.along(flow.time), count, it.starts, it.ends, it.lines) for it, count in time]
    sides = (
        _stacked(shape, _cut_from(model, model.rows, rows, flow.rows)),
        _stacked(shape, _cut_from(model, model.cols, cols, flow.cols)),
        _stacked(shape, in_time),
    )
    has_row, has_col, has_time = (side[1].T != 0 for side in sides)
    has = has_row[:, :, None, None] & has_col[:, None, :, None] & has_time[:, None, None, :]
    tiling, *kinds = np.nonzero(has)
    entries = [kind * len(has) + tiling for kind in kinds]
    extents, counts = (
        [side[column].take(at) for side, at in zip(sides, entries, strict=True)]
        for column in (0, 1)
    )
    axes = flow.rows, flow.cols, flow.time
    of_sums = axes.index("k")  # what starts and ends sums is on that side
    starts, ends = (sides[of_sums][column].take(entries[of_sums]) for column in (2, 3))
    folds = FoldClass(
        count=np.multiply.reduce(counts),
        extent=dict(zip(axes, extents, strict=True)),
        starts=starts,
        ends=ends,
        lines=sides[2][4].take(entries[2]),
    )
    return folds, np.searchsorted(tiling, np.arange(len(has))).reshape(shape)


def _cut_from(model: ArrayModel, lanes: int, tiles: Pieces, axis: Axis) -> Iterator[Piece]:
    """The pieces that `lanes` PEs cut from `axis` of all these tiles."""
    for tile, count in tiles:
        for extent, each, starts, ends in _pieces(model, lanes, tile, axis):
            yield extent, each * count, starts, ends


def _stacked(
    shape: tuple[int, ...], kinds: Iterable[tuple[Cycles | Truth, ...]]
) -> list[NDArray[Any]]:
    """Kinds that some tiling has, column by column: a row for each, an entry for each tiling.

    A kind's second column is its count. The tilings have that `shape`, before they are in one row.
    """
    some = [
        [np.broadcast_to(column, shape).ravel() for column in kind]
        for kind in kinds
        if np.any(kind[1])
    ]
    return [np.stack(column) for column in zip(*some, strict=True)]
