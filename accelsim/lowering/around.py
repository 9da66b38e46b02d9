"""Sums over the channels around each one, of more channels than a buffer holds.

A tile reads the channels around its own, too. Where a buffer holds few more than one window of
them, or not even that, tiles are small and read the same channels again and again, or there is
none that fits. With its channels as rows of a map the same work is a window down these, cut by
taps as that of a pool: a tile has the squares of some channels for the sums of others.
"""

from dataclasses import replace

from accelsim.lowering.kernel import each
from accelsim.lowering.kernels import Kernel, VectorKernel
from accelsim.lowering.search import Search
from accelsim.lowering.target import Residence, Target


def in_parts(kernel: Kernel, finder: Search) -> Kernel:
    """The kernel with its channels as rows, where that costs less or nothing else fits."""
    if not (isinstance(kernel, VectorKernel) and _is_wide(kernel, finder.target)):
        return kernel
    turned = channels_as_rows(kernel)
    whole, parts = (finder(way, Residence()).best for way in (kernel, turned))
    is_cheaper = whole is not None and (parts is None or whole.cost <= parts.cost)
    return kernel if is_cheaper else turned


def channels_as_rows(kernel: VectorKernel) -> VectorKernel:
    """The same work on one map, whose rows are channels and whose columns are pixels."""
    return replace(
        kernel,
        channels=1,
        rows=kernel.around,
        cols=each(kernel.rows.outputs * kernel.cols.outputs),
        reach=0,
        own_tap=kernel.reach,
    )


def _is_wide(kernel: VectorKernel, target: Target) -> bool:
    """Whether half a buffer does not hold two windows of channels that may be cut by taps."""
    space = target.buffers[target.buffer_index("ifmap")]
    may = kernel.reach > 0 and kernel.tap_operations > 0
    return may and 2 * kernel.around.kernel * target.bytes_of("ifmap") > space.half
