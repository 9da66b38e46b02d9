"""The search for mappings: its legality re-derived, its optimum by brute force, the chip's own."""

import re
from dataclasses import astuple, replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from cases import LAYOUTS, best_cycles, row_array, row_target, row_targets, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, conv
from oracles.best_mapping import every_mapping

from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.row_stationary import Mapping, RowShape, row_shape
from accelsim.lowering.row_stationary_candidates import AXES, most_filters, near, starts
from accelsim.lowering.row_stationary_cost import legal, lies_in_a_bank, plane_words
from accelsim.lowering.row_stationary_ranks import ranked_as
from accelsim.lowering.row_stationary_search import best_mapping, best_mappings, misfit
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.target import BufferSpace, Target, target_of
from accelsim.lowering.work import by_itself
from accelsim.network.ops import Conv, Window
from accelsim.results.player import Player
from accelsim.validation.eyeriss import NOT_RUN, kernels, published_mappings

SMALL = st.builds(
    GemmKernel,
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 4),
    windows(5),
    windows(4),
)


# --- Legality, re-derived -------------------------------------------------------------------------


def sets_can_be_placed(rows: int, cols: int, mapping: tuple[int, ...], set_rows: int) -> bool:
    """Paint t chains of r sets on the array; a wide set is cut into bands that lie stacked."""
    _, _, e, _, _, r, t, *_ = mapping
    bands = -(-e // cols)
    height, width = r * bands * set_rows, min(e, cols)
    taken = np.zeros((rows, cols), int)
    placed = 0
    for top, left in product(range(rows - height + 1), range(cols - width + 1)):
        if placed < t and not taken[top : top + height, left : left + width].any():
            taken[top : top + height, left : left + width] = 1
            placed += 1
    return placed == t


def fits_spads(mapping: tuple[int, ...], to: Target, taps: int) -> bool:
    _, _, _, p, q, *_ = mapping
    model = to.row_stationary
    windows_fit, filters_fit = q * taps <= model.ifmap_spad, p * q * taps <= model.filter_spad
    return windows_fit and filters_fit and p <= model.psum_spad


def fits_buffers(kernel: GemmKernel, mapping: tuple[int, ...], to: Target) -> bool:
    """A block's ifmap, a pass's filters, and the psums of m filters, each in banks of its own.

    Several channels of a pass lie in one bank, for each image.
    """
    m, n, e, p, q, r, t, f, tap_rows, tap_cols = mapping
    shape = shape_of(kernel, mapping, to)
    rows = (e - 1) * kernel.rows.stride + (tap_rows - 1) * kernel.rows.dilation + 1
    cols = (f - 1) * kernel.cols.stride + (tap_cols - 1) * kernel.cols.dilation + 1
    channels, filters = min(q * r, kernel.channels), min(p * t, kernel.filters)
    psums = n * min(m, kernel.filters) * e * f
    image = channels * rows * cols * to.bytes_of("ifmap")
    size = {
        "ifmap": n * image,
        "filter": filters * channels * shape.set_rows * shape.taps * to.bytes_of("filter"),
        "psum": psums * to.bytes_of("psum"),
        "ofmap": psums * to.bytes_of("ofmap"),
    }
    held = to.buffers[to.buffer_index("ifmap")]
    if held.bank > 1 and channels > 1 and image > held.bank:
        return False
    return all(banks_fit(space, size) for space in to.buffers if space.holds)


def banks_fit(space: BufferSpace, size: dict[str, int]) -> bool:
    """Each operand takes whole banks; the ofmap takes the place of psums beside it."""
    held = [size[item] for item in space.holds]
    if {"psum", "ofmap"} <= {*space.holds}:
        held.remove(size["ofmap"])
        held[held.index(size["psum"])] = max(size["psum"], size["ofmap"])
    return sum(-(-each // space.bank) for each in held) <= space.size // space.bank


def shape_of(kernel: GemmKernel, mapping: tuple[int, ...], to: Target) -> RowShape:
    return row_shape(to.row_stationary, kernel.windows, *mapping[-2:])


def is_legal(kernel: GemmKernel, mapping: tuple[int, ...], to: Target) -> bool:
    shape, model = shape_of(kernel, mapping, to), to.row_stationary
    placed = sets_can_be_placed(model.rows, model.cols, mapping, shape.set_rows)
    return placed and fits_spads(mapping, to, shape.taps) and fits_buffers(kernel, mapping, to)


def as_ints(mapping: Mapping) -> tuple[int, ...]:
    return tuple(int(each) for each in astuple(mapping))


@given(SMALL, row_targets())
@drawn(200)
def test_what_is_found_is_legal_and_covers_the_layer(kernel: GemmKernel, to: Target) -> None:
    mapping = best_mapping(kernel, to)
    if mapping is None:
        return
    found = as_ints(mapping)
    assert is_legal(kernel, found, to)
    m, n, e, p, _, r, t, f, *taps = found
    assert m % (p * t) == 0
    assert n <= kernel.batch
    assert e <= kernel.rows.outputs
    assert f <= kernel.cols.outputs
    assert taps[0] <= kernel.rows.kernel
    assert taps[1] <= kernel.cols.kernel
    assert r <= kernel.channels
    assert t <= kernel.filters


@given(SMALL, row_targets())
@drawn(60)
def test_candidates_are_legal_where_the_buffers_are(kernel: GemmKernel, to: Target) -> None:
    array = to.row_stationary
    for tried in starts(kernel, to, uncut=True):
        tried = most_filters(kernel, to, tried)
        fits = legal(kernel, to, tried)
        for index in range(0, len(fits), max(len(fits) // 20, 1)):
            one = as_ints(tried.only(index))
            assert fits_spads(one, to, int(shape_of(kernel, one, to).taps))
            set_rows = int(shape_of(kernel, one, to).set_rows)
            assert sets_can_be_placed(array.rows, array.cols, one, set_rows)
            assert fits[index] == fits_buffers(kernel, one, to)


@given(SMALL, row_targets(), st.data())
@drawn(60)
def test_neighbours_are_legal_where_the_buffers_are(
    kernel: GemmKernel, to: Target, data: st.DataObject
) -> None:
    (first, *_) = starts(kernel, to, uncut=True)
    center = first.only(data.draw(st.integers(0, len(first.m) - 1)))
    tried = near(kernel, to, replace(center, m=center.filters), AXES)
    fits = legal(kernel, to, tried)
    for index in range(0, len(fits), max(len(fits) // 40, 1)):
        one = as_ints(tried.only(index))
        assert fits[index] == is_legal(kernel, one, to)


# --- The optimum ----------------------------------------------------------------------------------


def test_the_oracle_lists_what_is_legal() -> None:
    """All mappings of a small layer that the definition above allows."""
    window = Window(4, 2)
    kernel = GemmKernel(1, 1, 2, 2, window, window)
    to = row_target(row_array((4, 2), (4, 8, 2)), LAYOUTS[1], (40, 16, 60), (8, 1, 1))
    listed = {
        as_ints(each.only(i)) for each in every_mapping(kernel, to) for i in range(len(each.m))
    }
    legal_ones = {
        mapping
        for mapping in product(
            (1, 2, 3, 4), (1,), (1, 2, 3), *(((1, 2),) * 4), (1, 2, 3), *(((1, 2),) * 2)
        )
        if mapping[0] % (mapping[3] * mapping[6]) == 0
        and mapping[0] < 2 + mapping[3] * mapping[6]
        and mapping[3] <= -(-2 // mapping[6])
        and mapping[4] <= -(-2 // mapping[5])
        and is_legal(kernel, mapping, to)
    }
    assert listed == legal_ones
    assert len(listed) > 100


def test_a_layer_that_fits_only_on_few_pes_is_mapped() -> None:
    """Two ofmap rows and 6 PEs would fill the array; one of 6 x 6 words and its ifmap fit."""
    padded = Window(4, 1, 1, 1, 1, 1)
    kernel = GemmKernel(1, 1, 2, 2, padded, padded)
    model = replace(row_array((6, 2), (2, 16, 2)), objective="traffic")
    to = row_target(model, LAYOUTS[2], (49, 358, 93))
    assert is_legal(kernel, (1, 1, 1, 1, 1, 1, 1, 6, 1, 1), to)
    assert best_mapping(kernel, to) is not None


# --- Windows and rows that do not fit -------------------------------------------------------------


def eyeriss(objective: str) -> Target:
    return target_of(load_hardware("eyeriss", [f"array.row_stationary.objective={objective}"]))


@pytest.mark.parametrize("objective", ["time", "traffic", "energy"])
@pytest.mark.parametrize(
    ("rows", "cols"),
    [
        (Window(1, 1), Window(1600, 1600)),
        (Window(1600, 1600), Window(1, 1)),
        (Window(226, 224), Window(226, 224)),
        (Window(1, 1), Window(2**20, 3)),
        (Window(2**31, 1), Window(1, 1)),
        (Window(4, 3, 1, 1, 1, 1), Window(2**24, 5)),
    ],
    ids=["1x1600", "1600x1", "weight gradient", "a long row", "2^31 rows", "long rows"],
)
def test_large_windows_and_rows_are_cut(objective: str, rows: Window, cols: Window) -> None:
    kernel, to = GemmKernel(1, 1, 8, 3, rows, cols), eyeriss(objective)
    mapping = best_mapping(kernel, to)
    assert mapping is not None
    assert is_legal(kernel, as_ints(mapping), to)
    (schedule,) = row_stationary_schedules(kernel, to, mapping)
    assert schedule.operations == kernel.macs


def test_rows_are_whole_wherever_they_fit_for_least_traffic() -> None:
    """The chip's passes take whole rows; for least time shorter ones may fit a bank together."""
    window = Window(114, 3)
    kernel = GemmKernel(1, 1, 128, 64, window, window)
    whole, short = (best_mapping(kernel, eyeriss(each)) for each in ("traffic", "time"))
    assert whole is not None
    assert short is not None
    assert (int(whole.f), int(whole.channels)) == (112, 1)
    assert short.f < 112
    assert short.channels > 1


def test_short_transfers_cost_whole_bursts() -> None:
    """12 weights of 16 bits take a burst of 64 B, and 24 take no more."""
    window = Window(10, 2)
    kernel = GemmKernel(2, 4, 3, 4, window, window)
    channels = {}
    for burst in (1, 64):
        to = replace(eyeriss("time"), dram_burst=burst, dram_bytes_per_cycle=Fraction(1))
        mapping = best_mapping(kernel, to)
        assert mapping is not None
        channels[burst] = int(mapping.channels)
    assert channels == {1: 1, 64: 2}


def test_mappings_whose_blocks_take_another_course_are_played() -> None:
    """Where blocks of two tasks wait for each other's ofmap: 55 and 9 rows took 10 % less."""
    sizes = {"global_buffer.size": "256 KiB", "global_buffer.bank": "1 B"}
    settings = [f"buffers.{key}={size}" for key, size in sizes.items()]
    settings += ["dram.bandwidth=2 B/cycle", "array.row_stationary.objective=time"]
    hardware, player = load_hardware("eyeriss", settings), Player()

    def cycles(rows: int, *pads: int) -> int:
        layer = Conv(out_channels=32, kernel=(3, 3), padding=(*pads, 1, 1), bias=False)
        return player.cycles(lower(chain((3, rows, 64), layer), hardware, played=player.cycles))

    assert cycles(64, 1, 1) <= 1.03 * (cycles(56, 1, 0) + cycles(10, 0, 1))


TIMED = ["dram.timing=DDR3-1600", "clock=1 GHz", "array.rows=4", "array.cols=4", "array.count=2"]


@pytest.mark.slow
def test_a_timed_dram_opens_rows_for_short_runs() -> None:
    """A mapping of few columns moves as many bytes, and takes twice as long."""
    hardware = load_hardware("eyeriss", [*TIMED, "array.row_stationary.objective=time"])
    network, player = chain((8, 12, 50), conv(6, 1)), Player()
    program = lower(network, hardware, played=player.cycles)
    (layer,), to = program.layers, program.target
    assert isinstance(layer.kernel, GemmKernel)
    by_bytes = best_mapping(layer.kernel, replace(to, timing=None))
    assert by_bytes is not None
    rivals = by_bytes, *best_mappings(layer.kernel, to)
    cycles = [player.cycles(by_itself(program, layer, each)) for each in rivals]
    assert player.cycles(program) == min(cycles) < 0.6 * cycles[0]


@pytest.mark.parametrize("mapping", [(4, 1, 4, 4), (4, 1, 4, 64), (8, 1, 16, 16), (8, 2, 16, 64)])
def test_the_estimate_of_a_timed_dram_is_near_its_replay(mapping: tuple[int, ...]) -> None:
    m, n, e, f = mapping
    to = target_of(load_hardware("eyeriss", TIMED))
    kernel = GemmKernel(2, 1, 8, 8, Window(64, 1), Window(64, 1))
    one = Mapping(m, n, e, 4, 2, 1, 1, f, 1, 1)
    steps = [task.step for each in row_stationary_schedules(kernel, to, one) for task in each.tasks]
    played = sum(to.occupied_cycles(move) for step in steps for move in step.transfers)
    assert ranked_as(kernel, to, one).dram_bytes == pytest.approx(
        played * float(to.dram_bytes_per_cycle), rel=0.2
    )


def test_windows_stay_whole_where_sums_saturate() -> None:
    """Their order matters there, so a layer whose window does not fit is refused."""
    window = Window(226, 224)
    kernel = GemmKernel(1, 1, 8, 3, window, window)
    to = eyeriss("time")
    mapping = best_mapping(kernel, to)
    assert mapping is not None
    assert mapping.tap_rows < 224
    assert best_mapping(kernel, replace(to, cuts_windows=False)) is None


STEM = GemmKernel(2, 1, 64, 3, *(Window(224, 7, 2, 1, 3, 3),) * 2)
WIDE = GemmKernel(1, 1, 1024, 256, *(Window(14, 1),) * 2)


@pytest.mark.parametrize(
    ("kernel", "settings", "more"),
    [
        (WIDE, ("rows=24", "cols=14", 200, 8), "array.rows=48"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                (STEM, ("rows=12", "cols=7", 25, 1), "buffers.global_buffer.size=50 KiB"),
                (WIDE, ("rows=24", "cols=14", 200, 8), "buffers.global_buffer.size=400 KiB"),
                (WIDE, ("rows=16", "cols=28", 100, 4), "array.rows=32"),
            )
        ),
    ],
)
def test_more_of_anything_is_not_slower(
    kernel: GemmKernel, settings: tuple[str, str, int, int], more: str
) -> None:
    """Layers of ResNet-50: every mapping of the smaller machine is one of the larger one."""
    rows, cols, size, bank = settings
    base = [
        *(f"array.{rows}", f"array.{cols}", "array.row_stationary.objective=time"),
        *(f"buffers.global_buffer.size={size} KiB", f"buffers.global_buffer.bank={bank} KiB"),
        "dram.bandwidth=1 GB/s",
    ]
    small, large = (target_of(load_hardware("eyeriss", each)) for each in (base, [*base, more]))
    assert best_cycles(kernel, large) <= 1.01 * best_cycles(kernel, small)


# --- The chip's own mappings ----------------------------------------------------------------------


@pytest.mark.parametrize("name", kernels())
def test_published_mappings_are_legal(name: str) -> None:
    to = target_of(load_hardware("eyeriss"))
    kernel, mapping = kernels()[name], published_mappings()[name]
    one = Mapping(*(np.array([each]) for each in astuple(mapping)))
    assert is_legal(kernel, as_ints(mapping), to)
    assert legal(kernel, to, one).all()


@pytest.mark.parametrize("name", kernels())
def test_least_traffic_is_what_the_chip_ran(name: str) -> None:
    hardware = load_hardware("eyeriss")
    assert hardware.array.row_stationary is not None
    assert hardware.array.row_stationary.objective == "traffic"
    kernel = kernels()[name]
    assert (kernel.batch, kernel.groups) == (4, 2 if name in ("CONV2", "CONV4", "CONV5") else 1)
    published = published_mappings()[name]
    ran = replace(published, q=3, r=2, t=2) if name in NOT_RUN else published
    assert best_mapping(kernel, target_of(hardware)) == ran


def test_what_a_pass_reads_of_an_image_lies_in_a_bank() -> None:
    """AlexNet's passes read 3,844, 1,800 and 2,700 bytes; CONV1's one channel lies in four banks.

    One channel more does not fit a bank in CONV2, and any number does without banks.
    """
    to, every = target_of(load_hardware("eyeriss")), kernels()
    read = {}
    for name, mapping in published_mappings().items():
        shape = shape_of(every[name], as_ints(mapping), to)
        read[name] = int(mapping.channels * plane_words(shape, mapping) * to.bytes_of("ifmap"))
    assert read == {"CONV1": 15890, "CONV2": 3844, "CONV3": 1800, "CONV4": 2700, "CONV5": 2700}
    kernel, mapping = every["CONV2"], published_mappings()["CONV2"]
    for channels, fits in ((1, True), (2, True), (3, False)):
        assert lies_in_a_bank(kernel, to, replace(mapping, q=channels)) == fits
    unbanked = replace(to, buffers=tuple(replace(space, bank=1) for space in to.buffers))
    assert lies_in_a_bank(kernel, unbanked, replace(mapping, q=3))


def test_less_of_anything_makes_a_published_mapping_illegal() -> None:
    """The legality above can say no."""
    kernel, mapping = kernels()["CONV1"], as_ints(published_mappings()["CONV1"])
    for change in ("array.cols=13", "buffers.global_buffer.size=88 KiB"):
        to = target_of(load_hardware("eyeriss", [change]))
        assert not is_legal(kernel, mapping, to)
    for spad in ("ifmap_spad=10", "filter_spad=175", "psum_spad=15"):
        to = target_of(load_hardware("eyeriss", [f"array.row_stationary.{spad}"]))
        assert not fits_spads(mapping, to, 11)


# --- What does not fit ----------------------------------------------------------------------------

LEVER = re.compile(r"make buffers\.(\S+)\.size at least (\d+) B")


@given(SMALL, row_targets(smallest=4, largest=60))
@drawn(100)
def test_the_lever_works(kernel: GemmKernel, to: Target) -> None:
    if best_mapping(kernel, to) is None:
        sizes = {name: int(size) for name, size in LEVER.findall(misfit(kernel, to))}
        assert sizes
        larger = (replace(b, size=sizes.get(b.name, b.size)) for b in to.buffers)
        assert best_mapping(kernel, replace(to, buffers=tuple(larger))) is not None


@pytest.mark.parametrize(("filters", "size"), [(5, 3), (5, 6), (5, 12), (7, 4), (9, 10), (11, 12)])
def test_filters_that_no_even_cut_fills_the_array_with(filters: int, size: int) -> None:
    """Where all mappings are looked at, their even cuts fill the array less than one at hand."""
    conv = Conv(out_channels=filters, kernel=(size, size), bias=False)
    result = simulate(chain((1, 14, 14), conv), "eyeriss")
    assert result.layers[0].macs == filters * size**2 * (15 - size) ** 2
    assert result.layers[0].mapping is not None
