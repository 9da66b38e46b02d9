"""The values of a local response normalisation's tiles."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.task import Span, VectorTile
from accelsim.network.ops import Lrn
from accelsim.numerics.formats import Array, Tensor

if TYPE_CHECKING:
    from accelsim.numerics.tiled_vector import VectorExecutor


def of_lrn(run: "VectorExecutor", op: Lrn, tile: VectorTile) -> Array | None:
    """Of whole windows of channels, or of their parts: these are windows down a map."""
    if run.kernel.own_tap is not None:
        return _in_parts(run, op, tile, run.kernel.own_tap)
    (x,), channels = run.inputs(tile), tile.channels
    around = Span(*run.kernel.around.span(channels.start, channels.stop))
    squares = run.part_of(run.squares, tile, around)
    sums: NDArray[Any] = np.zeros_like(squares[:, : channels.size])
    for shift in range(-(op.size // 2), op.size // 2 + 1):
        first = channels.start + shift - around.start
        start = max(first, 0)
        near = slice(start, max(start, min(first + channels.size, around.size)))
        sums[:, near.start - first : near.stop - first] += squares[:, near]
    return run.work.arithmetic.normalise(x, sums, op, run.work.output)


def _in_parts(run: "VectorExecutor", op: Lrn, tile: VectorTile, own: int) -> Array | None:
    """Sums of squares gather part by part, and each element waits for them from its own tap on."""
    (x,) = run.work.inputs
    sums = run.taps(run.squares, tile, 0).sum(2)
    run.kept[:1] = [sum(run.kept[:1], start=sums)]
    if own in tile.tap_rows:
        run.kept.append(run.part(x, tile))
    if not tile.last:
        return None
    sums, kept = run.kept
    return run.work.arithmetic.normalise(Tensor(kept, x.quantization), sums, op, run.work.output)
