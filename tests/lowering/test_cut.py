"""Kernels cut in two: parts read what the whole reads, and a cut that helps is found."""

from dataclasses import replace

import numpy as np
import pytest
from cases import KERNELS, LAYOUTS, MORE_TAPS, target
from cut_by_hand import CutCase, cut_case, played
from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import chain, conv, machine, split
from numpy.typing import NDArray
from search_cases import Case, LayerCase

import accelsim
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.cut import AXES, may_be_cut, part_of, total
from accelsim.lowering.cut_bound import _least_of_both
from accelsim.lowering.cut_search import WORTH, CutSearch
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.ranking import Ranked, Tiling, plain, said_of
from accelsim.lowering.recall import Memory
from accelsim.lowering.search import Ranks, search
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.lowering.task import Span
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling, LoopOrder
from accelsim.lowering.work import Lowering
from accelsim.network.ops import Conv, Dense, Window

PIXELS = GemmKernel(3, 1, 3, 22, Window(3, 1), Window(3, 1))
"""27 pixels in tiles of four or six leave some over, whatever their shape."""

SMALL = target(LAYOUTS[1], sizes=(96, 200, 200), dataflow="ws")


def ranks_of(kernel: GemmKernel, to: Target) -> Ranks:
    found = search(to)(kernel, Residence())
    assert isinstance(found, Ranks)
    return found


@given(st.data(), KERNELS | MORE_TAPS)
@drawn(200)
def test_each_part_reads_what_the_whole_reads_there(
    data: st.DataObject, kernel: GemmKernel
) -> None:
    axis: CutAxis = data.draw(st.sampled_from(AXES))
    whole = total(kernel, axis)
    assume(whole > 1)
    at = data.draw(st.integers(1, whole - 1))
    assume(may_be_cut(kernel, axis, at))
    spans = Span(0, at), Span(at, whole)
    parts = [part_of(kernel, axis, span) for span in spans]
    assert sum(part.macs for part in parts) == kernel.macs
    for span, part in zip(spans, parts, strict=True):
        assert total(part, axis) == span.size
        own, window = getattr(part, axis), getattr(kernel, axis)
        if isinstance(window, Window):
            first, _ = window.span(span.start, span.stop)
            read = [own.span(place, place + 1) for place in range(span.size)]
            meant = [window.span(place, place + 1) for place in range(span.start, span.stop)]
            assert [(start + first, stop + first) for start, stop in read if start < stop] == [
                (start, stop) for start, stop in meant if start < stop
            ]


def test_rows_in_the_padding_alone_are_no_part() -> None:
    """Three rows of padding below two of data: the last window of 2 reads nothing."""
    kernel = GemmKernel(1, 1, 1, 1, Window(2, 2, after=3), Window(1, 1))
    assert [may_be_cut(kernel, "rows", at) for at in (1, 2, 3)] == [True, False, False]


def test_a_cut_is_found_where_tiles_leave_a_part_over() -> None:
    """Four per cent less, and that is what its schedule takes."""
    ranks = ranks_of(PIXELS, SMALL)
    whole, cut = ranks.uncut_within(ranks.whole_space), ranks.refined
    assert whole is not None
    assert cut is not None
    assert isinstance(cut.tiling, CutTiling)
    assert cut.cost * WORTH <= whole.cost
    assert ranks.cost_of(cut.tiling, ranks.whole_space) == cut
    (schedule,) = gemm_schedules(PIXELS, SMALL, cut.tiling)
    assert schedule.cycles == cut.busy_cycles
    assert schedule.dram.total_bytes == cut.dram_bytes


ONE = GemmTiling(1, 1, 1, 3, 2, 22, 1, 1, LoopOrder.OFMAP_STAYS, "filters", 2)


def sizes_that_take(costs: dict[int, float]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cycles of PIXELS if only tiles of a size lie along an axis."""
    return np.array([*costs.values()]), np.array([*costs])


def cuts_of(best: Ranked) -> CutSearch:
    """The cuts of PIXELS that may be better, as no bound says that one is not."""
    return CutSearch(
        kernel=PIXELS,
        best=best,
        in_parts=dict,
        least=[lambda _: 0.0],
        first_look=lambda _: 0.0,
        of=lambda *_: 0.0,
    )


@pytest.mark.parametrize(
    ("tiling", "places"),
    [
        # two filters of three; turns of two arrays take four
        (ONE, [("filters", 2)]),
        # turns of two arrays take two images, or two rows, of three
        (replace(ONE, filters=3, split="pixels"), [("batch", 2), ("rows", 2)]),
        (replace(ONE, filters=1, rows=2), [("rows", 2), ("filters", 2)]),
        (replace(ONE, filters=3, arrays=1), []),
    ],
)
def test_places_are_what_tiles_and_turns_of_all_arrays_leave_over(
    tiling: GemmTiling, places: list[tuple[CutAxis, int]]
) -> None:
    best = Ranked(tiling=tiling, dram_bytes=0, tile_bytes=0, cycles=100.0)
    assert [*cuts_of(best).places()] == places


def test_what_takes_hardly_less_is_not_cut() -> None:
    """Parts that take 99.2 of 100 cycles, and parts that take 97."""
    best = Ranked(tiling=ONE, dram_bytes=0, tile_bytes=0, cycles=100.0)
    search_of = cuts_of(best)
    halves = [Ranked(tiling=ONE, dram_bytes=1, tile_bytes=1, cycles=half) for half in (49.6, 48.5)]
    assert search_of.cut(lambda _: halves[0]) is None
    found = search_of.cut(lambda _: halves[1])
    assert found is not None
    assert (found.cycles, found.dram_bytes, found.tile_bytes) == (97.0, 2, 1)


def test_parts_must_be_worth_it_at_the_first_look() -> None:
    """Tiles of two columns take far less, and leave one over."""
    best = Ranked(tiling=replace(ONE, filters=3, arrays=1), dram_bytes=0, tile_bytes=0, cycles=99)
    half = replace(best, cycles=40.0)
    cuts = replace(cuts_of(best), in_parts=lambda: {"cols": sizes_that_take({1: 60.0, 2: 50.0})})
    assert not [*cuts.places()]
    assert cuts.cut(lambda _: half) is not None
    assert replace(cuts, first_look=lambda _: 50.0).cut(lambda _: half) is None
    assert replace(cuts, least=[lambda _: 0.0, lambda _: 50.0]).cut(lambda _: half) is None


def test_places_are_what_tiles_that_may_pay_leave_over() -> None:
    """Two of three rows take 80, one of them 120: 93.3 cycles. One column takes 300: 153."""
    best = Ranked(tiling=ONE, dram_bytes=0, tile_bytes=0, cycles=100.0)
    rows, cols = {1: 120.0, 2: 80.0, 3: 90.0}, {1: 300.0, 2: 80.0, 3: 90.0}
    in_parts = {"rows": sizes_that_take(rows), "cols": sizes_that_take(cols)}
    cuts = replace(cuts_of(best), in_parts=lambda: in_parts)
    assert [*cuts.left_over()] == [("rows", 2)]
    assert not [*replace(cuts, best=replace(best, cycles=95.0)).left_over()]
    longer = replace(cuts, best=replace(best, cycles=95.0, played=160.0))
    assert [*longer.left_over()] == [("rows", 2)]
    oblong = replace(longer, kernel=replace(PIXELS, cols=Window(4, 2)))
    assert [*oblong.left_over()] == [("rows", 2), ("cols", 2)]


def test_of_places_that_promise_as_much_axis_and_place_decide() -> None:
    best = Ranked(tiling=ONE, dram_bytes=0, tile_bytes=0, cycles=100.0)
    in_parts = {axis: sizes_that_take({2: 50.0}) for axis in ("filters", "batch")}
    for each in (in_parts, dict(reversed(in_parts.items()))):
        cuts = replace(cuts_of(best), in_parts=lambda its=each: its)
        assert [*cuts.left_over()] == [("batch", 2), ("filters", 2)]


BY_HAND = {
    "14 x 14 pixels on 16 columns: 8 x 2 fill them, a row does not: 5 % more": (
        *(512, 14, 512, "rows", (8, 6)),
        {"array.rows": "64", "array.cols": "16", "dram.bandwidth": "32 GB/s"},
    ),
    "tiles of 8 x 8 of 28 x 28 pixels leave half ones, which wait for filters: 6 % more": (
        *(256, 28, 256, "rows", (26, 2)),
        {},
    ),
    "of 64 channels in tiles of 56 the psums wait for DRAM where the last 8 are done: 13 % more": (
        *(64, 112, 128, "cols", (28, 28, 28, 28)),
        {"array.rows": "128", "array.cols": "8", "dram.bandwidth": "8 GB/s", "dram.latency": "0 ns"}
        | {f"buffers.{name}_sram.size": "32 KiB" for name in ("ifmap", "ofmap")}
        | {"buffers.filter_sram.size": "128 KiB"},
    ),
}
"""Channels, side, filters, where it is cut, and the machine: what it took more than its parts."""


@pytest.mark.parametrize(
    ("channels", "side", "filters", "axis", "sizes", "sets"), BY_HAND.values(), ids=BY_HAND
)
def test_a_usual_layer_is_not_faster_cut_by_hand(
    channels: int,
    side: int,
    filters: int,
    axis: str,
    sizes: tuple[int, ...],
    sets: dict[str, str],
) -> None:
    op = Conv(out_channels=filters, kernel=(3, 3), padding=(1, 1, 1, 1), bias=False)
    changes = [f"{key}={value}" for key, value in {"array.dataflow": "is", **sets}.items()]
    layer, hardware = LayerCase(op, ((channels, side, side),)), load_hardware("edge_ws", changes)
    assert CutCase(Case(layer, hardware, "by hand"), axis, sizes).ratio() <= 1.03


IN_MORE = {
    "a row of 49 pixels, and of the others five columns and two: 3.9 % more in two": (
        *(2048, 7, 512, 1, "rows", (6, 1)),
        {"array.rows": "32", "array.cols": "16", "dram.bandwidth": "32 GB/s"}
        | {"buffers.ifmap_sram.size": "16 KiB", "buffers.filter_sram.size": "128 KiB"}
        | {"buffers.ofmap_sram.size": "8 KiB", "dram.latency": "20 ns"},
    ),
    "17 x 17 pixels of four images, of which none of even tiles suits 16 rows: 5.0 % more": (
        *(288, 17, 192, 4, "cols", (6, 6, 5)),
        {"array.rows": "16", "array.cols": "128", "dram.bandwidth": "32 GB/s"}
        | {"buffers.ifmap_sram.size": "128 KiB", "buffers.filter_sram.size": "64 KiB"}
        | {"buffers.ofmap_sram.size": "8 KiB", "dram.latency": "20 ns"}
        | {"array.fold_overlap": "pipelined"},
    ),
}
"""Channels, side, filters, images, where it is cut, and the machine."""


@pytest.mark.parametrize(
    ("channels", "side", "filters", "batch", "axis", "sizes", "sets"), IN_MORE.values(), ids=IN_MORE
)
def test_a_usual_layer_is_cut_in_three(
    channels: int,
    side: int,
    filters: int,
    batch: int,
    axis: str,
    sizes: tuple[int, ...],
    sets: dict[str, str],
) -> None:
    """Its mapping makes the same run again."""
    op = Conv(out_channels=filters, kernel=(1, 1), bias=False)
    changes = [f"{key}={value}" for key, value in {"array.dataflow": "is", **sets}.items()]
    hardware = load_hardware("edge_ws", changes)
    layer = LayerCase(op, ((channels, side, side),), batch)
    assert CutCase(Case(layer, hardware, "by hand"), axis, sizes).ratio() <= 1.03
    result = accelsim.simulate(layer.network, hardware, batch=batch)
    (tiling,) = (each.tiling for each in result.layers)
    assert isinstance(tiling, CutTiling)
    assert isinstance(tiling.rest, CutTiling)
    again = accelsim.simulate(layer.network, hardware, batch=batch, mapping=result.mapping)
    assert again.as_dict() == result.as_dict()


def test_of_tiles_along_an_axis_those_are_told_that_none_is_better_than() -> None:
    """Of each size those that take least of the array or of DRAM, or between; of equal ones one."""
    rows = [(3, 9, 1), (4, 8, 1), (4, 9, 1), (5, 8, 1), (9, 1, 1), (2, 2, 2), (2, 2, 2), (1, 7, 2)]
    kept = _least_of_both(np.array(rows, dtype=float))
    assert [tuple(row) for row in kept.astype(int).tolist()] == [
        *((3, 9, 1), (4, 8, 1), (9, 1, 1)),
        *((2, 2, 2), (1, 7, 2)),
    ]


def test_places_to_cut_are_few_on_any_axis() -> None:
    """Two thousand million rows, far from a bound as few filters have room: all sizes were made."""
    sets = ["array.dataflow=os", "buffers.filter_sram.size=1 KiB", "buffers.ofmap_sram.size=1 KiB"]
    target = target_of(load_hardware("edge_ws", sets))
    kernel = LayerCase(Dense(out_features=100, bias=False), ((2**31, 96),)).kernel
    found = search(target)(kernel, Residence())
    assert isinstance(found, Ranks)
    by_axis = found.search.of_parts(kernel, Residence(), found.whole_space)
    assert {*by_axis} == {"rows", "filters"}
    assert max(cycles.size for cycles, _ in by_axis.values()) <= 1 << 14


@pytest.mark.slow
def test_a_layer_is_cut_where_the_tiles_of_a_rival_end() -> None:
    """Of 16 images three tiles of six take as long as two of nine, but seven and nine less.

    Of 65 filters one of 64, of 16 on each of four arrays, and one.
    """
    assert cut_case(9812, 50).ratio() <= 1.01
    assert cut_case(9813, 99).ratio() <= 1.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "number", "one_more"), [(12001, 306, False), (9832, 53, False), (12002, 270, True)]
)
def test_a_layer_is_cut_where_tiles_of_another_shape_end(
    seed: int, number: int, one_more: bool
) -> None:
    """It was up to 10 % slower uncut, though its tiling was the best of all uncut ones."""
    assert cut_case(seed, number, one_more).ratio() <= 1.01


@pytest.mark.slow
def test_a_layer_that_no_tile_suits_is_cut() -> None:
    """Five columns of which four fill the room of two images' sums: 17 % slower uncut."""
    assert cut_case(9702, 29, one_more=True).ratio() <= 1.09


def test_what_a_cut_tiling_says() -> None:
    said = plain(CutTiling(cut="rows", at=2, first=ONE, rest=ONE))
    assert (said["filters"], said["cut"], said["at"]) == (2, "rows", 2)
    assert (said["rest_filters"], said["rest_order"]) == (2, "ofmap_stays")
    assert len(said) == 2 + 2 * len(said_of(ONE))


def test_what_a_tiling_cut_in_three_says() -> None:
    rest = CutTiling(cut="cols", at=1, first=replace(ONE, filters=3), rest=replace(ONE, filters=4))
    said = plain(CutTiling(cut="rows", at=2, first=ONE, rest=rest))
    assert (said["cut"], said["rest_cut"], said["rest_at"]) == ("rows", "cols", 1)
    names = ("filters", "rest_filters", "rest_rest_filters")
    assert [said[name] for name in names] == [2, 3, 4]
    assert len(said) == 4 + 3 * len(said_of(ONE))


def test_what_is_found_for_fewer_arrays_is_uncut_before_a_cut_is_looked_for() -> None:
    """Tiles of one shape take ever so long here as played, on any number of arrays."""

    def alone(kernel: GemmKernel, to: Target, space: int, tiling: Tiling) -> float:
        return 5.0 if isinstance(tiling, CutTiling) else 1e6

    found = search(replace(SMALL, arrays=2), alone=alone)(PIXELS, Residence())
    assert isinstance(found, Ranks)
    uncut = found.uncut_within(found.whole_space)
    assert uncut is not None
    assert isinstance(uncut.tiling, GemmTiling)
    assert found.refined is not None


def test_parts_are_played_under_the_dataflow_of_their_kernel() -> None:
    """Weight stationary on a machine whose other layers are output stationary."""
    hardware = machine(split("96 B", "200 B", "200 B"), {"dataflow": "os"})
    network = chain((22, 3, 3), conv(3, 1))
    own = target_of(hardware.under("ws")).processor
    work = Lowering(
        network=network,
        hardware=hardware,
        batch=3,
        target=target_of(hardware),
        memory=Memory(),
        processors={PIXELS: own},
    )
    seen: list[LayerProgram] = []

    def noted(program: Program) -> float:
        seen.extend(program.layers)
        return played(program)

    found = work.finder(noted)(PIXELS, Residence()).refined
    assert found is not None
    assert isinstance(found.tiling, CutTiling)
    assert {each.kernel for each in seen} > {PIXELS}
    assert {each.processor for each in seen} == {own}
