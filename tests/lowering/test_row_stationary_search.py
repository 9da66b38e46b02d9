"""The search for mappings: its legality re-derived, its optimum by brute force, the chip's own."""

import re
from dataclasses import astuple, replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from cases import LAYOUTS, row_array, row_target, windows
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import DoesNotFitError
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import Mapping, row_shape
from accelsim.lowering.row_stationary_search import best_mapping, candidates, legal, mapping_cost
from accelsim.lowering.target import BufferSpace, Target, target_of
from accelsim.network.ops import Window
from accelsim.validation.eyeriss import kernels, published_mappings

SMALL = st.builds(
    GemmKernel,
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 4),
    windows(5),
    windows(4),
)


@st.composite
def targets(draw: st.DrawFn, smallest: int = 40, largest: int = 400) -> Target:
    rates = st.sampled_from([Fraction(1), Fraction(5, 2), Fraction(8)])
    model = row_array(
        draw(st.sampled_from([(2, 2), (3, 2), (4, 3), (6, 2)])),
        (draw(st.integers(2, 5)), draw(st.integers(5, 16)), draw(st.integers(1, 4))),
        (draw(rates), draw(rates), draw(rates), draw(rates)),
        draw(st.integers(1, 3)),
    )
    layout = draw(st.sampled_from(LAYOUTS))
    sizes = tuple(draw(st.integers(smallest, largest)) for _ in layout)
    banks = tuple(draw(st.sampled_from([1, 1, 16])) for _ in layout)
    return row_target(model, layout, sizes, banks, rate=draw(rates), arrays=draw(st.integers(1, 2)))


# --- Legality, re-derived -------------------------------------------------------------------------


def sets_can_be_placed(rows: int, cols: int, mapping: tuple[int, ...], set_rows: int) -> bool:
    """Paint t chains of r sets on the array; a wide set is cut into bands that lie stacked."""
    _, _, e, _, _, r, t = mapping
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
    _, _, _, p, q, _, _ = mapping
    model = to.row_stationary
    windows_fit, filters_fit = q * taps <= model.ifmap_spad, p * q * taps <= model.filter_spad
    return windows_fit and filters_fit and p <= model.psum_spad


def fits_buffers(kernel: GemmKernel, mapping: tuple[int, ...], to: Target) -> bool:
    """A block's ifmap, a pass's filters, and the psums of m filters, each in banks of its own."""
    m, n, e, p, q, r, t = mapping
    shape = row_shape(to.row_stationary, kernel)
    rows = (e - 1) * kernel.rows.stride + kernel.rows.extent
    cols = (kernel.cols.outputs - 1) * kernel.cols.stride + kernel.cols.extent
    channels, filters = min(q * r, kernel.channels), min(p * t, kernel.filters)
    psums = n * min(m, kernel.filters) * e * kernel.cols.outputs
    size = {
        "ifmap": n * channels * rows * cols * to.bytes_of("ifmap"),
        "filter": filters * channels * shape.set_rows * shape.taps * to.bytes_of("filter"),
        "psum": psums * to.bytes_of("psum"),
        "ofmap": psums * to.bytes_of("ofmap"),
    }
    return all(banks_fit(space, size) for space in to.buffers if space.holds)


def banks_fit(space: BufferSpace, size: dict[str, int]) -> bool:
    """Each operand takes whole banks; the ofmap takes the place of psums beside it."""
    held = [size[item] for item in space.holds]
    if {"psum", "ofmap"} <= {*space.holds}:
        held.remove(size["ofmap"])
        held[held.index(size["psum"])] = max(size["psum"], size["ofmap"])
    return sum(-(-each // space.bank) for each in held) <= space.size // space.bank


def is_legal(kernel: GemmKernel, mapping: tuple[int, ...], to: Target) -> bool:
    shape, model = row_shape(to.row_stationary, kernel), to.row_stationary
    placed = sets_can_be_placed(model.rows, model.cols, mapping, shape.set_rows)
    return placed and fits_spads(mapping, to, shape.taps) and fits_buffers(kernel, mapping, to)


def as_ints(mapping: Mapping) -> tuple[int, ...]:
    return tuple(int(each) for each in astuple(mapping))


@given(SMALL, targets())
@settings(max_examples=200)
def test_what_is_found_is_legal_and_covers_the_layer(kernel: GemmKernel, to: Target) -> None:
    try:
        found = as_ints(best_mapping(kernel, to))
    except DoesNotFitError:
        return
    assert is_legal(kernel, found, to)
    m, n, e, p, _, r, t = found
    assert m % (p * t) == 0
    assert n <= kernel.batch
    assert e <= kernel.rows.outputs
    assert r <= kernel.channels
    assert t <= kernel.filters


@given(SMALL, targets())
@settings(max_examples=60)
def test_candidates_are_legal_where_the_buffers_are(kernel: GemmKernel, to: Target) -> None:
    shape = row_shape(to.row_stationary, kernel)
    tried = candidates(kernel, to, 0.5)
    fits = legal(kernel, shape, to, tried)
    for index in range(0, len(fits), max(len(fits) // 40, 1)):
        one = as_ints(tried.only(index))
        assert fits_spads(one, to, shape.taps)
        array = to.row_stationary
        assert sets_can_be_placed(array.rows, array.cols, one, shape.set_rows)
        assert fits[index] == fits_buffers(kernel, one, to)


# --- The optimum ----------------------------------------------------------------------------------


def every_mapping(kernel: GemmKernel, to: Target) -> list[tuple[int, ...]]:
    """All (m, n, e, p, q, r, t) that are legal, m in whole passes."""
    model = to.row_stationary
    taps = row_shape(model, kernel).taps
    counts = (kernel.batch, kernel.rows.outputs, min(model.psum_spad, kernel.filters))
    replicas = (min(model.rows, kernel.channels), min(model.rows * model.cols, kernel.filters))
    found = []
    for n, e, p, q, r, t in product(
        *(range(1, count + 1) for count in (*counts, kernel.channels, *replicas))
    ):
        if not fits_spads((0, n, e, p, q, r, t), to, taps):
            continue
        for passes in range(1, -(-kernel.filters // (p * t)) + 1):
            mapping = (passes * p * t, n, e, p, q, r, t)
            if is_legal(kernel, mapping, to):
                found.append(mapping)
    return found


def cycles_of(kernel: GemmKernel, to: Target, mappings: list[tuple[int, ...]]) -> np.ndarray:
    """The closed form's time of each mapping."""
    many = Mapping(*np.array(mappings, dtype=np.int64).T)
    cost = mapping_cost(kernel, row_shape(to.row_stationary, kernel), to, many)
    return np.maximum(cost.array_cycles / to.arrays, cost.dram_cycles)


def over_the_best(kernel: GemmKernel, to: Target) -> float:
    """Time of the mapping found, relative to the best of all."""
    every = every_mapping(kernel, to)
    if not every:
        with pytest.raises(DoesNotFitError):
            best_mapping(kernel, to)
        return 1.0
    found = as_ints(best_mapping(kernel, to))
    return float(cycles_of(kernel, to, [found])[0] / cycles_of(kernel, to, every).min())


@given(SMALL.filter(lambda kernel: kernel.groups == 1), targets())
@settings(max_examples=60)
def test_the_search_is_near_the_best_of_all_mappings(kernel: GemmKernel, to: Target) -> None:
    """Sizes that do not divide are thinned out: of 600 such layers 90 % were within 1/128 of the
    best, the worst at 1.8 (3 filters on 2 x 2 PEs, for which no 2 filters are tried)."""
    assert over_the_best(kernel, to) <= 2


POWERS = st.sampled_from([1, 2, 4])
EVEN = st.builds(
    lambda batch, filters, channels, rows, cols, r, s: GemmKernel(
        batch, 1, filters, channels, Window(rows + r - 1, r), Window(cols + s - 1, s)
    ),
    st.sampled_from([1, 2]),
    *(POWERS, POWERS, POWERS, st.integers(1, 4), st.sampled_from([1, 2]), st.integers(1, 3)),
)


@given(EVEN, targets(100, 600))
@settings(max_examples=100)
def test_the_search_is_nearer_where_sizes_divide(kernel: GemmKernel, to: Target) -> None:
    """Of 800 such layers all were the best of all mappings, within the 1/128 that counts as equal.

    Searching for the worst finds 1.125, in layers of a few MACs: fewer than half of the PEs,
    which are not tried, hand their psums on through a shorter chain.
    """
    even = replace(to.row_stationary, rows=4, cols=2, ifmap_spad=4, psum_spad=4)
    assert over_the_best(kernel, replace(to, processor=even)) <= 1.25


def test_a_layer_that_fits_only_on_few_pes_is_mapped() -> None:
    """Two ofmap rows and 6 PEs would fill the array; one of 6 x 6 words and its ifmap fit."""
    padded = Window(4, 1, 1, 1, 1, 1)
    kernel = GemmKernel(1, 1, 2, 2, padded, padded)
    to = row_target(row_array((6, 2), (2, 16, 2)), LAYOUTS[2], (49, 358, 93))
    assert is_legal(kernel, (1, 1, 1, 1, 1, 1, 1), to)
    best_mapping(kernel, to)


# --- The chip's own mappings ----------------------------------------------------------------------


@pytest.mark.parametrize("name", kernels())
def test_published_mappings_are_legal(name: str) -> None:
    to = target_of(load_hardware("eyeriss"))
    kernel, mapping = kernels()[name], published_mappings()[name]
    one = Mapping(*(np.array([each]) for each in astuple(mapping)))
    assert is_legal(kernel, as_ints(mapping), to)
    assert legal(kernel, row_shape(to.row_stationary, kernel), to, one).all()


@pytest.mark.parametrize("name", kernels())
def test_least_traffic_is_what_the_chip_ran(name: str) -> None:
    hardware = load_hardware("eyeriss")
    assert hardware.array.row_stationary is not None
    assert hardware.array.row_stationary.objective == "traffic"
    kernel = kernels()[name]
    assert (kernel.batch, kernel.groups) == (4, 2 if name in ("CONV2", "CONV4", "CONV5") else 1)
    assert best_mapping(kernel, target_of(hardware)) == published_mappings()[name]


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


@given(SMALL, targets(smallest=4, largest=60))
@settings(max_examples=100)
def test_the_lever_works(kernel: GemmKernel, to: Target) -> None:
    try:
        best_mapping(kernel, to)
    except DoesNotFitError as error:
        sizes = {name: int(size) for name, size in LEVER.findall(str(error))}
        assert sizes
        larger = (replace(b, size=sizes.get(b.name, b.size)) for b in to.buffers)
        best_mapping(kernel, replace(to, buffers=tuple(larger)))
