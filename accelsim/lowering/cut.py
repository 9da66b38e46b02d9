"""A GEMM kernel cut in two along an axis, each part with a tiling of its own.

What is left of an axis that tiles do not divide may take tiles of another shape. No sum is cut, so
the parts have nothing to do with each other: an array does those of the first, then of the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.task import Span
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling
from accelsim.network.ops import Window

AnyGemm = TypeVar("AnyGemm", bound=GemmKernel)

AXES: tuple[CutAxis, ...] = get_args(CutAxis)
"""What a kernel may be cut along."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A kernel that is part of another, from index `start` of an axis on, and how it is tiled."""

    kernel: GemmKernel
    tiling: GemmTiling
    axis: CutAxis = "batch"
    start: int = 0


def pieces_of(kernel: GemmKernel, tiling: GemmTiling | CutTiling) -> Iterator[Piece]:
    """The parts of a kernel that have a tiling each: one or two."""
    if isinstance(tiling, GemmTiling):
        yield Piece(kernel, tiling)
        return
    axis, starts = tiling.cut, (0, tiling.at)
    parts = parts_of(kernel, axis, tiling.at)
    for part, each, start in zip(parts, tiling.tilings, starts, strict=True):
        yield Piece(kernel=part, tiling=each, axis=axis, start=start)


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
