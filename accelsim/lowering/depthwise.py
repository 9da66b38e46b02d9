"""Depthwise convolutions on the lanes of the vector unit.

On an array each channel is a GEMM of one filter, which fills one column of it, or one row. A lane
takes a channel's window tap by tap, as it does that of a pool, and multiplies: the work has no
filters or channels to share, so lanes waste none of it.
"""

from collections.abc import Iterable, Iterator, Mapping

from accelsim.hardware import Where
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
from accelsim.lowering.search import Search
from accelsim.lowering.target import Residence
from accelsim.lowering.task import GemmTile, Span, Task, VectorTile
from accelsim.network.graph import Layer
from accelsim.network.ops import Conv

ONE = Span(0, 1)


def is_depthwise(layer: Layer, kernel: Kernel) -> bool:
    """Whether a layer is a convolution in which each channel has one filter of its own."""
    return (
        isinstance(layer.op, Conv)
        and isinstance(kernel, GemmKernel)
        and kernel.channels == kernel.filters == 1
    )


def is_on_lanes(layer: Layer, kernel: Kernel) -> bool:
    """Whether lanes compute a convolution."""
    return isinstance(layer.op, Conv) and isinstance(kernel, VectorKernel)


def on_lanes(kernel: Kernel, cuts_windows: bool) -> VectorKernel:
    """A depthwise convolution as work of lanes: a MAC per tap, and one operation to requantize.

    A window is cut by taps, where it has to be, unless sums saturate.
    """
    assert isinstance(kernel, GemmKernel)
    return VectorKernel(
        batch=kernel.batch,
        channels=kernel.groups,
        rows=kernel.whole_rows or kernel.rows,
        cols=kernel.cols,
        operations=kernel.taps + 1,
        tap_operations=int(cuts_windows),
        filtered=True,
    )


def as_gemm(tasks: Iterable[Task]) -> Iterator[Task]:
    """The tasks of lanes as those of groups with a filter and a channel each: what they compute."""
    for task in tasks:
        tile = task.tile
        assert isinstance(tile, VectorTile)
        same = GemmTile(
            groups=tile.channels,
            pixels=tile.pixels,
            filters=ONE,
            channels=ONE,
            tap_rows=tile.tap_rows,
            tap_cols=tile.tap_cols,
            first=tile.first,
            last=tile.last,
        )
        yield Task(same, task.step)


Lanes = frozenset[int]
"""Positions of the layers that lanes compute."""


def ways(depthwise: Mapping[int, Kernel], finder: Search, where: Where) -> list[Lanes]:
    """Which layers lanes may compute, of kernels by position.

    To choose from: those that cost less there by the closed form, all, and none.
    """
    everywhere = frozenset(depthwise)
    if where == "best":
        cheaper = frozenset(at for at in depthwise if is_cheaper_on_lanes(depthwise[at], finder))
        return list(dict.fromkeys([cheaper, everywhere, frozenset[int]()]))
    return [everywhere if where == "vector" else frozenset()]


def is_cheaper_on_lanes(kernel: Kernel, finder: Search) -> bool:
    """Whether its best tiling there is, by the closed form; or no tile of it fits the array."""
    lanes = on_lanes(kernel, finder.target.cuts_windows)
    there, here = (finder(each, Residence()).refined for each in (lanes, kernel))
    return there is not None and (here is None or there.cost < here.cost)
