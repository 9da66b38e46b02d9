"""The values of a phase of a transposed convolution that no tap reaches, tile by tile."""

from typing import TYPE_CHECKING

import numpy as np

from accelsim.lowering.task import VectorTile
from accelsim.network.ops import Phase
from accelsim.numerics.formats import Array
from accelsim.numerics.taps import unit_of

if TYPE_CHECKING:
    from accelsim.numerics.tiled_vector import VectorExecutor


def of_phase(run: "VectorExecutor", op: Phase, tile: VectorTile) -> Array:
    """Sums without terms, (1, c, 1, 1): the bias, behind the activation."""
    work, channels = run.work, tile.channels.slice
    bias = work.parameters.bias
    psum = work.arithmetic.preload(None if bias is None else bias[channels])
    unit = np.broadcast_to(unit_of(work), op.out_channels)[channels, None]
    return work.arithmetic.finish(psum, unit, work.output, op.activation)[..., None]
