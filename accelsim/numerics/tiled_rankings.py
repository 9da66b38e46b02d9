"""The values of tiles that rank: the place of the largest, and the order."""

from typing import TYPE_CHECKING

import numpy as np

from accelsim.lowering.task import VectorTile
from accelsim.network.ops import ArgMax, Sort
from accelsim.numerics.formats import Array, Tensor

if TYPE_CHECKING:
    from accelsim.numerics.tiled_vector import VectorExecutor


def of_arg_max(run: "VectorExecutor", op: ArgMax, tile: VectorTile) -> Array | None:
    """The largest keys of the taps so far, and their places."""
    (x,) = run.work.inputs
    keys = run.taps(run.seen(op.keys(x.values)), tile, 0)
    found, place = keys.max(2), op.place(keys, 2) + tile.tap_rows.start
    if run.kept:
        before, old = run.kept
        newer = found >= before if op.last else found > before
        found, place = np.maximum(found, before), np.where(newer, place, old)
    run.kept[:] = [found, place]
    return run.work.arithmetic.coded(place, run.work.output) if tile.last else None


def of_sort(run: "VectorExecutor", op: Sort, tile: VectorTile) -> Array:
    """All channels of some pixels in order."""
    (x,) = run.inputs(tile)
    order = op.order(x.values, 1)
    if op.gives == "places":
        return run.work.arithmetic.coded(order, run.work.output)
    ranked = Tensor(np.take_along_axis(x.values, order, 1), x.quantization)
    return run.work.arithmetic.rescale(ranked, run.work.output)
