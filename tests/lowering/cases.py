"""Small kernels, targets and tilings to draw from."""

from dataclasses import fields
from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import strategies as st

from accelsim.hardware import MappingObjective, Operand
from accelsim.lowering import cut
from accelsim.lowering.dataflow import DATAFLOW_OF, ArrayModel, Lanes
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import RowStationary
from accelsim.lowering.row_stationary_ranks import ranked_as
from accelsim.lowering.row_stationary_search import best_mapping
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import BufferSpace, Target
from accelsim.lowering.task import Span, Task
from accelsim.lowering.tiling import CutTiling, GemmTiling, LoopOrder, Split, Tilings, all_tilings
from accelsim.network.ops import Window

AXES = ("batch", "groups", "rows", "cols", "filters", "channels", "tap_rows", "tap_cols")
LAYOUTS: tuple[tuple[tuple[Operand, ...], ...], ...] = (
    (("ifmap", "filter", "psum", "ofmap"),),
    (("ifmap",), ("filter",), ("psum", "ofmap")),
    (("ifmap", "ofmap"), ("filter",), ("psum",)),
    (("ifmap",), ("filter",), ("psum",), ("ofmap",)),
    (("ifmap", "filter"), ("psum", "ofmap")),
)


def windows(size: int, taps: int = 3) -> st.SearchStrategy[Window]:
    """Windows over up to `size` elements, with every feature that a convolution has."""
    return st.builds(
        Window,
        st.integers(1, size),
        st.integers(1, taps),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(0, 2),
    ).filter(lambda window: window.outputs > 0)


KERNELS = st.builds(
    GemmKernel,
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 3),
    windows(5),
    windows(4),
)


MORE_TAPS = st.builds(
    GemmKernel,
    st.integers(1, 2),
    st.just(1),
    st.integers(1, 2),
    st.integers(1, 2),
    windows(7, taps=6),
    windows(3),
)


def target(
    layout: tuple[tuple[Operand, ...], ...] = LAYOUTS[1],
    sizes: tuple[int, ...] = (1 << 20,) * 4,
    dataflow: str = "ws",
    arrays: int = 1,
    words: tuple[int, int, int, int] = (1, 1, 4, 1),
    rate: Fraction = Fraction(4),
    latency: int = 10,
    burst: int = 1,
    array: tuple[int, int] = (4, 3),
    pipelined: bool = False,
    by_tap: bool = False,
) -> Target:
    spaces = tuple(
        BufferSpace("+".join(holds), size, holds)
        for holds, size in zip(layout, sizes, strict=False)
    )
    model = ArrayModel(*array, DATAFLOW_OF[dataflow], pipelined, False, by_tap=by_tap)
    return Target(model, arrays, 4, words, spaces, rate, latency, burst)


FAST = Fraction(1 << 20)


def row_array(
    array: tuple[int, int] = (4, 3),
    spads: tuple[int, int, int] = (4, 16, 3),
    rates: tuple[Fraction, Fraction, Fraction, Fraction] = (FAST,) * 4,
    stages: int = 1,
    objective: MappingObjective = "time",
    buffers: tuple[Lanes, ...] = (),
) -> RowStationary:
    """`spads` hold ifmap, filter, psums; `rates` are of ifmap, filter, psums in, psums out."""
    return RowStationary(*array, *spads, *rates, stages, objective, buffers)


def row_target(
    model: RowStationary,
    layout: tuple[tuple[Operand, ...], ...] = LAYOUTS[1],
    sizes: tuple[int, ...] = (1 << 20,) * 4,
    banks: tuple[int, ...] = (1,) * 4,
    words: tuple[int, int, int, int] = (1, 1, 4, 1),
    rate: Fraction = Fraction(4),
    arrays: int = 1,
) -> Target:
    spaces = tuple(
        BufferSpace("+".join(holds), size, holds, None, bank)
        for holds, size, bank in zip(layout, sizes, banks, strict=False)
    )
    in_flight = BufferSpace("tiles in flight", 2, ())
    return Target(model, arrays, 4, words, (*spaces, in_flight), rate, 10, 1)


TARGETS = st.builds(
    target,
    st.sampled_from(LAYOUTS),
    dataflow=st.sampled_from(["os", "ws", "is"]),
    words=st.sampled_from([(1, 1, 4, 1), (2, 1, 3, 2), (4, 4, 4, 4)]),
    by_tap=st.booleans(),
)


def listed(schedules: tuple[Schedule, ...]) -> tuple[tuple[Task, ...], ...]:
    """The tasks of each array."""
    return tuple(schedule.tasks for schedule in schedules)


def totals(kernel: GemmKernel) -> tuple[int, ...]:
    """Sizes of the axes in the order of AXES."""
    return (
        *(kernel.batch, kernel.groups, kernel.rows.outputs, kernel.cols.outputs),
        *(kernel.filters, kernel.channels),
    )


@st.composite
def tilings(
    draw: st.DrawFn, kernel: GemmKernel, split: Split = "pixels", arrays: int = 1
) -> GemmTiling:
    """Any tile sizes of `kernel`; tiles of several groups hold these whole, as `legal` says."""
    sizes = [draw(st.integers(1, total)) for total in totals(kernel)]
    if sizes[1] > 1:
        sizes[4:] = totals(kernel)[4:]
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    if sizes[1] == 1 and draw(st.booleans()):
        taps = (draw(st.integers(1, taps[0])), draw(st.integers(1, taps[1])))
    return GemmTiling(*sizes, *taps, draw(st.sampled_from(LoopOrder)), split, arrays)


@st.composite
def cut_tilings(
    draw: st.DrawFn, kernel: GemmKernel, split: Split = "pixels", arrays: int = 1
) -> GemmTiling | CutTiling:
    """Any tile sizes of `kernel`, whole or cut at any places that can be."""
    places = [
        (axis, at)
        for axis in cut.AXES
        for at in range(1, cut.total(kernel, axis))
        if cut.may_be_cut(kernel, axis, at)
    ]
    place = draw(st.sampled_from([None, *places]))
    if place is None:
        return draw(tilings(kernel, split, arrays))
    axis, at = place
    spans = Span(0, at), Span(at, cut.total(kernel, axis))
    first, rest = (cut.part_of(kernel, axis, span) for span in spans)
    return CutTiling(
        cut=axis,
        at=at,
        first=draw(tilings(first, split, arrays)),
        rest=draw(cut_tilings(rest, split, arrays)),
    )


def sizes_of(tiling: GemmTiling) -> dict[str, int]:
    return {axis: getattr(tiling, axis) for axis in AXES}


def as_arrays(kernel: GemmKernel, tiling: GemmTiling) -> Tilings:
    """The one tiling in the form in which many are compared."""
    one = all_tilings(kernel, [np.array([size]) for size in sizes_of(tiling).values()])
    return Tilings(*(getattr(one, item.name).ravel() for item in fields(one)))


def every_tiling(kernel: GemmKernel) -> list[tuple[int, ...]]:
    return list(product(*(range(1, total + 1) for total in totals(kernel))))


@st.composite
def row_targets(draw: st.DrawFn, smallest: int = 40, largest: int = 400) -> Target:
    """Small row-stationary arrays with small buffers."""
    rates = st.sampled_from([Fraction(1), Fraction(5, 2), Fraction(8)])
    model = row_array(
        draw(st.sampled_from([(2, 2), (3, 2), (4, 3), (6, 2)])),
        (draw(st.integers(2, 5)), draw(st.integers(1, 16)), draw(st.integers(1, 4))),
        (draw(rates), draw(rates), draw(rates), draw(rates)),
        draw(st.integers(1, 3)),
    )
    layout = draw(st.sampled_from(LAYOUTS))
    sizes = tuple(draw(st.integers(smallest, largest)) for _ in layout)
    banks = tuple(draw(st.sampled_from([1, 1, 16])) for _ in layout)
    return row_target(model, layout, sizes, banks, rate=draw(rates), arrays=draw(st.integers(1, 2)))


def best_cycles(kernel: GemmKernel, to: Target) -> float:
    """Time of the row-stationary mapping that is found; infinite if there is none."""
    mapping = best_mapping(kernel, to)
    return np.inf if mapping is None else ranked_as(kernel, to, mapping).cycles
