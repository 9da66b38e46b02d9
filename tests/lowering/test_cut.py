"""Kernels cut in two: parts read what the whole reads, and a cut that helps is found."""

from dataclasses import replace

import pytest
from cases import KERNELS, LAYOUTS, MORE_TAPS, target
from cut_by_hand import cut_case, played
from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import chain, conv, machine, split

from accelsim.lowering.cut import AXES, may_be_cut, part_of, total
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
from accelsim.network.ops import Window

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


def cuts_of(best: Ranked) -> CutSearch:
    """The cuts of PIXELS that may be better, as no bound says that one is not."""
    return CutSearch(
        kernel=PIXELS,
        best=best,
        rivals=list,
        lanes={},
        bound=0.0,
        least=lambda _: 0.0,
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
    """Parts that take 99 of 100 cycles, and parts that take 97."""
    best = Ranked(tiling=ONE, dram_bytes=0, tile_bytes=0, cycles=100.0)
    search_of = cuts_of(best)
    halves = [Ranked(tiling=ONE, dram_bytes=1, tile_bytes=1, cycles=half) for half in (49.5, 48.5)]
    assert search_of.cut(lambda _: halves[0]) is None
    found = search_of.cut(lambda _: halves[1])
    assert found is not None
    assert (found.cycles, found.dram_bytes, found.tile_bytes) == (97.0, 2, 1)


def test_parts_of_blocks_must_be_worth_it_at_the_first_look() -> None:
    """Rows of pixels cut at a power of two; far from a bound, and where tiles leave nothing."""
    best = Ranked(tiling=replace(ONE, filters=3, arrays=1), dram_bytes=0, tile_bytes=0, cycles=99)
    half = replace(best, cycles=40.0)
    assert not [*cuts_of(best).places()]
    assert cuts_of(best).cut(lambda _: half) is not None
    assert replace(cuts_of(best), first_look=lambda _: 50.0).cut(lambda _: half) is None


def test_blocks_end_at_powers_of_two_and_parts_of_lanes() -> None:
    """Eleven filters and six lanes; only where the best takes far more than it must."""
    best = Ranked(tiling=ONE, dram_bytes=0, tile_bytes=0, cycles=100.0)
    eleven = replace(PIXELS, filters=11)
    far = replace(cuts_of(best), kernel=eleven, lanes={"n": 6}, bound=50.0)
    pixels = [("batch", 2), ("rows", 2), ("cols", 2)]
    assert [*far.blocks()] == [*pixels, *(("filters", at) for at in (6, 8, 9, 10))]
    assert not [*replace(far, bound=90.0).blocks()]
    seven = replace(best, tiling=replace(ONE, filters=7))
    rivals = replace(far, rivals=lambda: [seven])
    assert {*rivals.blocks()} - {*far.blocks()} == {("filters", 7)}


@pytest.mark.slow
def test_a_layer_is_cut_where_the_tiles_of_a_rival_end() -> None:
    """Of 16 images three tiles of six take as long as two of nine, but seven and nine less.

    Of 65 filters one of 64, of 16 on each of four arrays, and one.
    """
    assert cut_case(9812, 50).ratio() <= 1.01
    assert cut_case(9813, 99).ratio() <= 1.01


@pytest.mark.slow
def test_a_layer_that_no_tile_suits_is_cut() -> None:
    """Five columns of which four fill the room of two images' sums: 17 % slower uncut."""
    assert cut_case(9702, 29, one_more=True).ratio() <= 1.09


def test_what_a_cut_tiling_says() -> None:
    said = plain(CutTiling(cut="rows", at=2, first=ONE, rest=ONE))
    assert (said["filters"], said["cut"], said["at"]) == (2, "rows", 2)
    assert (said["rest_filters"], said["rest_order"]) == (2, "ofmap_stays")
    assert len(said) == 2 + 2 * len(said_of(ONE))


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
