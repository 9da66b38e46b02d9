"""A GEMM kernel cut in two along an axis, or in more parts, each with a tiling of its own.

What is left of an axis that tiles do not divide may take tiles of another shape. No sum is cut, so
the parts have nothing to do with each other: an array does those of one, then of the next.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_args

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.task import Span
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling
from accelsim.network.ops import Window

AnyGemm = TypeVar("AnyGemm", bound=GemmKernel)

AXES: tuple[CutAxis, ...] = get_args(CutAxis)
"""What a kernel may be cut along."""


PARTS = 4
"""Into so many parts a kernel may be cut."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A kernel that is part of another, and how it is tiled; of axes that are cut, its `starts`."""

    kernel: GemmKernel
    tiling: GemmTiling
    starts: Mapping[CutAxis, int] = field(default_factory=dict)


def pieces_of(kernel: GemmKernel, tiling: GemmTiling | CutTiling) -> Iterator[Piece]:
    """The parts of a kernel that have a tiling each, in the order in which an array does them."""
    starts: dict[CutAxis, int] = {}
    while isinstance(tiling, CutTiling):
        first, kernel = parts_of(kernel, tiling.cut, tiling.at)
        yield Piece(first, tiling.first, {**starts})
        starts[tiling.cut] = starts.get(tiling.cut, 0) + tiling.at
        tiling = tiling.rest
    yield Piece(kernel, tiling, starts)


def total(kernel: GemmKernel, axis: CutAxis) -> int:
    """All indices of an axis."""
    size = getattr(kernel, axis)
    return size.outputs if isinstance(size, Window) else int(size)


def parts_of(kernel: AnyGemm, axis: CutAxis, at: int) -> tuple[AnyGemm, AnyGemm]:
    """Both parts of a kernel that is cut, the second one from index `at` on."""
    first, rest = Span(0, at), Span(at, total(kernel, axis))
    return part_of(kernel, axis, first), part_of(kernel, axis, rest)


def part_of(kernel: AnyGemm, axis: CutAxis, span: Span) -> AnyGemm:
    """Some indices of an axis as a kernel."""
    whole = getattr(kernel, axis)
    part = _part(whole, span) if isinstance(whole, Window) else span.size
    changed: dict[str, Any] = {axis: part}
    return replace(kernel, **changed)


def may_be_cut(kernel: GemmKernel, axis: CutAxis, at: int) -> bool:
    """Whether both parts are kernels: each reads data, and no window over the ofmap lies across."""
    window = getattr(kernel, axis)
    if not isinstance(window, Window):
        return True
    whole = kernel.pooled is None and not (axis == "rows" and kernel.whole_rows)
    reads = (window.span(0, at), window.span(at, window.outputs))
    return whole and all(first < last for first, last in reads)


def _part(window: Window, span: Span) -> Window:
    """The window of some outputs, over the data that they read."""
    first, last = window.span(span.start, span.stop)
    begins = span.start * window.stride - window.before
    ends = (span.stop - 1) * window.stride - window.before + window.extent
    return Window(
        size=last - first,
        kernel=window.kernel,
        stride=window.stride,
        dilation=window.dilation,
        before=first - begins,
        after=ends - last,
    )
