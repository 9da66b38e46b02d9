"""Tile sizes that are looked at: legal, at every scale, filled up as far as they fit."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, pairwise, product
from math import prod

import numpy as np
import pytest
from cases import LAYOUTS, MORE_TAPS, target, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.hardware import Operand
from accelsim.lowering.demand import buffer_demand, demands, legal
from accelsim.lowering.gemm_candidates import (
    ALL_BLOCKS,
    BATCH,
    CHANNELS,
    FILTERS,
    PARTS,
    _filled,
    _sizes_near,
    _sizes_together,
    _thinned,
    coarse_sizes,
    sizes_at_every_scale,
    tilings_near,
    tilings_to_compare,
    tilings_with_parts_of_windows,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target
from accelsim.lowering.tiling import Tilings, TilingSizes, tilings_of, whole_sizes
from accelsim.network.ops import Window

ROOMY = (1 << 30,) * 4

KERNELS = st.builds(
    GemmKernel,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    windows(20),
    windows(9),
)


def rows_of(tilings: Tilings) -> list[tuple[int, ...]]:
    """Every tiling as a tuple of its sizes."""
    return [tilings.sizes(index) for index in range(prod(tilings.shape))]


def reductions_of(tilings: Tilings) -> set[tuple[int, ...]]:
    """Channels and taps of every tiling."""
    some = np.broadcast_arrays(tilings.channels, tilings.tap_rows, tilings.tap_cols)
    return {tuple(each) for each in np.stack(some, axis=-1).reshape(-1, 3).tolist()}


def alone(kernel: GemmKernel, sizes: Sequence[int]) -> Tilings:
    return tilings_of(kernel, [np.array([size]) for size in sizes])


def fits(kernel: GemmKernel, to: Target, sizes: Sequence[int]) -> bool:
    """Whether a tile fits half of every buffer, whatever else makes it legal."""
    demand = demands(kernel, to, alone(kernel, sizes))
    return all(int(buffer_demand(space, demand)[0]) <= space.half for space in to.buffers)


@st.composite
def sizes_in(draw: st.DrawFn, kernel: GemmKernel) -> TilingSizes:
    b, g, r, c, n, k, down, across = (draw(st.integers(1, all_)) for all_ in whole_sizes(kernel))
    return b, g, r, c, n, k, down, across


# --- Sizes ----------------------------------------------------------------------------------------


@given(st.integers(1, 2**20), st.integers(1, 300))
def test_coarse_sizes_are_a_factor_of_two_apart(total: int, lanes: int) -> None:
    sizes = sorted(coarse_sizes(total, lanes))
    assert sizes[0] == 1
    assert sizes[-1] == total
    assert min(lanes, total) in sizes
    assert len(sizes) <= 3 + total.bit_length()
    assert all(big <= 2 * small + 1 for small, big in pairwise(sizes))


@given(st.integers(1, 2**20), st.integers(2, 300))
def test_multiples_of_the_lanes_are_at_every_scale(total: int, lanes: int) -> None:
    """Whatever fills the array is looked at within a factor of two."""
    filled = [size for size in sizes_at_every_scale(total, lanes) if size % lanes == 0]
    for folds in range(1, min(total // lanes, 200) + 1):
        assert any(folds * lanes / 2 < size <= folds * lanes for size in filled)


@given(st.integers(1, 10**6), st.data(), st.integers(1, 64))
def test_sizes_near_are_others_and_legal(total: int, data: st.DataObject, lanes: int) -> None:
    size = data.draw(st.integers(1, total))
    least = data.draw(st.sampled_from([1, total]))
    near = _sizes_near(total, size, lanes, least)
    assert size not in near
    assert near == sorted(set(near))
    assert all(least <= each <= total for each in near)
    if least == 1:
        assert {size - 1, size + 1} & {*range(1, total + 1)} <= {*near}


@given(st.integers(2, 60), st.integers(2, 60))
def test_small_axes_are_cut_together_in_every_way(some: int, others: int) -> None:
    pairs = [tuple(pair) for pair in _sizes_together(some, others).tolist()]
    assert len(pairs) == len({*pairs})
    assert all(1 <= one <= some and 1 <= other <= others for one, other in pairs)
    few = min(ALL_BLOCKS // others, some)
    assert {*product(range(1, few + 1), range(1, others + 1))} <= {*pairs}


@given(
    st.lists(st.sets(st.integers(1, 99), min_size=1), min_size=3, max_size=3), st.integers(8, 60)
)
@drawn(100)
def test_thinned_axes_keep_their_ends(axes: list[set[int]], most: int) -> None:
    one, two, three = axes
    left = [*_thinned((one, two, three), most)]
    assert len(left) <= most
    for axis, kept in zip(axes, zip(*left, strict=True), strict=True):
        assert {min(axis), max(axis)} <= {*kept} <= axis


# --- Filled up ------------------------------------------------------------------------------------


@given(st.data(), KERNELS, st.sampled_from([BATCH, FILTERS, CHANNELS]))
@drawn(150, percent=20)
def test_filled_is_the_largest_that_fits(
    data: st.DataObject, kernel: GemmKernel, axis: int
) -> None:
    """One by one, where psums have a buffer that is large enough."""
    small = data.draw(st.integers(4, 4000)), data.draw(st.integers(4, 4000))
    to = target((("ifmap",), ("filter",), ("psum", "ofmap")), (*small, 1 << 30), dataflow="os")
    sizes = data.draw(sizes_in(kernel))
    filled = _filled(kernel, to, alone(kernel, sizes), axis).sizes(0)
    ways = [
        (*sizes[:axis], size, *sizes[axis + 1 :])
        for size in range(1, whole_sizes(kernel)[axis] + 1)
    ]
    legal_ways = [way for way in ways if fits(kernel, to, way)]
    if legal_ways:
        assert filled == legal_ways[-1]


@given(st.data(), KERNELS)
@drawn(60, percent=20)
def test_each_is_filled_along_its_own_axis(data: st.DataObject, kernel: GemmKernel) -> None:
    """Many at once are as each alone."""
    to = target(sizes=(600, 900, 1500))
    rows = data.draw(st.lists(sizes_in(kernel), min_size=1, max_size=6))
    along = data.draw(
        st.lists(
            st.sampled_from([BATCH, FILTERS, CHANNELS]), min_size=len(rows), max_size=len(rows)
        )
    )
    together = _filled(kernel, to, tilings_of(kernel, [*np.array(rows).T]), np.array(along))
    each = [
        _filled(kernel, to, alone(kernel, sizes), axis).sizes(0)
        for sizes, axis in zip(rows, along, strict=True)
    ]
    assert rows_of(together) == each


# --- Tilings --------------------------------------------------------------------------------------


@given(st.data(), KERNELS, st.sampled_from(["os", "ws", "is"]), st.integers(1, 3), st.booleans())
@drawn(80, percent=15)
def test_neighbours_are_legal_and_different(
    data: st.DataObject, kernel: GemmKernel, dataflow: str, count: int, cuts: bool
) -> None:
    to = replace(target(sizes=(700, 700, 900), dataflow=dataflow), cuts_windows=cuts)
    whole = whole_sizes(kernel)
    centers = [data.draw(sizes_in(kernel)) for _ in range(count)]
    if not cuts:
        centers = [(*center[:6], whole[6], whole[7]) for center in centers]
    near = [*chain(*map(rows_of, tilings_near(kernel, to, centers)))]
    assert len(near) == len({*near})
    assert {*centers} <= {*near}
    least = (1,) * 6 + ((1, 1) if cuts else whole[6:])
    for sizes in near:
        assert all(low <= size <= high for low, size, high in zip(least, sizes, whole, strict=True))


@given(st.data(), KERNELS)
@drawn(40, percent=20)
def test_every_step_along_one_axis_or_two_is_a_neighbour(
    data: st.DataObject, kernel: GemmKernel
) -> None:
    to, whole = target(sizes=ROOMY), whole_sizes(kernel)
    center = data.draw(sizes_in(kernel))
    near = {*chain(*map(rows_of, tilings_near(kernel, to, [center])))}
    for one, other in product(range(8), repeat=2):
        for step, another in product((-1, 1), repeat=2):
            moved = [*center]
            moved[one] = min(max(moved[one] + step, 1), whole[one])
            if other != one:
                moved[other] = min(max(moved[other] + another, 1), whole[other])
            assert tuple(moved) in near


@given(MORE_TAPS, st.sampled_from(["os", "ws", "is"]), st.integers(1, 4))
@drawn(60, percent=15)
def test_of_small_kernels_all_are_compared(kernel: GemmKernel, dataflow: str, arrays: int) -> None:
    to = target(dataflow=dataflow, arrays=arrays)
    found = [sizes for family in tilings_to_compare(kernel, to) for sizes in rows_of(family)]
    if prod(whole_sizes(kernel)) <= 4096:
        every = product(*(range(1, total + 1) for total in whole_sizes(kernel)))
        assert sorted(found) == sorted(every)


LARGE = GemmKernel(3, 1, 250, 96, Window(40, 3, before=1, after=1), Window(33, 3, after=2))
GROUPED = GemmKernel(2, 24, 10, 12, Window(40, 3, before=1, after=1), Window(33, 3, after=2))


@pytest.mark.parametrize("kernel", [LARGE, GROUPED])
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_families_hold_whole_windows_or_parts(
    kernel: GemmKernel, layout: tuple[tuple[Operand, ...], ...]
) -> None:
    to, (down, across) = target(layout), whole_sizes(kernel)[6:]
    for family in tilings_to_compare(kernel, to):
        assert {each[1:] for each in reductions_of(family)} == {(down, across)}
    for family in tilings_with_parts_of_windows(kernel, to):
        found = reductions_of(family)
        parts = {each[1:] for each in found}
        assert (down, across) not in parts
        assert {(1, 1), (down, 1), (1, across)} <= parts
        assert len(found) <= PARTS + 24


def test_windows_that_must_stay_whole_have_no_parts() -> None:
    """Where psums saturate, the order of sums matters."""
    assert tilings_with_parts_of_windows(LARGE, replace(target(), cuts_windows=False)) == []
    pointwise = GemmKernel(1, 1, 99, 99, Window(9, 1), Window(9, 1))
    assert tilings_with_parts_of_windows(pointwise, target()) == []


def test_tiles_of_several_groups_hold_them_whole() -> None:
    to = target(sizes=ROOMY)
    several = [family for family in tilings_to_compare(GROUPED, to) if family.groups.max() > 1]
    assert several
    for family in several:
        assert np.broadcast_to(legal(GROUPED, to, family), family.shape).all()


@pytest.mark.parametrize("arrays", [2, 3, 5, 7])
def test_arrays_get_as_many_tiles_each(arrays: int) -> None:
    """Filters, rows and groups are also cut into as many pieces as there are arrays."""
    for kernel, axis in ((LARGE, 4), (LARGE, 2), (GROUPED, 1)):
        families = tilings_to_compare(kernel, target(arrays=arrays))
        sizes = {int(size) for family in families for size in family.axes[axis].ravel()}
        total = whole_sizes(kernel)[axis]
        for parts in (1, 2, 3):
            assert -(-total // (arrays * parts)) in sizes
