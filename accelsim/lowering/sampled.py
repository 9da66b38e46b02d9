"""Ifmaps of which a DMA brings only the rows that some tap reads.

Where a stride keeps windows apart, the rows between them are read by none. A DMA with a stride
leaves them out, so that what is on chip has the windows side by side: the kernel is that of a
smaller ifmap, and only where the rows lie in DRAM, and which they are, is asked of the whole one.
"""

from collections.abc import Mapping
from dataclasses import replace

from accelsim.lowering.kernels import GemmKernel, Kernel
from accelsim.lowering.search import Search
from accelsim.lowering.target import Residence
from accelsim.network.ops import Window


def sampled(kernel: Kernel) -> Kernel:
    """The kernel without the rows that no tap reads; itself, where there are none to leave out."""
    if not isinstance(kernel, GemmKernel):
        return kernel
    rows = side_by_side(kernel.rows)
    return kernel if rows is None else replace(kernel, rows=rows, whole_rows=kernel.rows)


def side_by_side(window: Window) -> Window | None:
    """The window over only the elements that lie in its extent at some output.

    None where they are all of them, or where one lies in the padding as a whole.
    """
    extent, outputs = window.extent, window.outputs
    last = (outputs - 1) * window.stride - window.before
    beyond = max(last + extent - window.size, 0)
    if extent >= window.stride or max(window.before, beyond) >= extent:
        return None
    size = outputs * extent - window.before - beyond
    if size == window.size:
        return None
    return Window(
        size=size,
        kernel=window.kernel,
        stride=extent,
        dilation=window.dilation,
        before=window.before,
        after=beyond,
    )


def rows_read(window: Window) -> list[int]:
    """The elements of a whole window that `side_by_side` keeps, in their order."""
    spans = (window.span(at, at + 1) for at in range(window.outputs))
    return [row for start, stop in spans for row in range(start, stop)]


Skips = frozenset[int]
"""Positions of the layers whose unread rows the DMA leaves out."""


def skippable(kernels: Mapping[int, Kernel], finder: Search) -> list[Skips]:
    """Of which layers to leave them out, of kernels by position.

    To choose from: where it costs no more by the closed form, everywhere, and nowhere. Rows that
    lie apart are shorter runs in DRAM, so to read them all may be faster.
    """
    found = {at: sampled(kernel) for at, kernel in kernels.items()}
    everywhere = frozenset(at for at, skipping in found.items() if skipping is not kernels[at])
    cheaper = frozenset(at for at in everywhere if costs_no_more(found[at], kernels[at], finder))
    return list(dict.fromkeys([cheaper, everywhere, frozenset[int]()]))


def costs_no_more(one: Kernel, other: Kernel, finder: Search) -> bool:
    """Whether the best tiling of a kernel costs no more than that of another one, if any fits."""
    here, there = (finder(each, Residence()).best for each in (one, other))
    return here is not None and (there is None or here.cost <= there.cost)
