"""The search for tilings of vector kernels: against every tiling there is, and its steps."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from cases import LAYOUTS, target, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from test_tiling import tight_targets

from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.recall import Memory
from accelsim.lowering.search import search
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_cost import TIE, VectorCosts
from accelsim.lowering.vector_search import (
    FEW,
    VectorRanks,
    VectorSearch,
    coarse_sizes,
    fine_sizes,
    smallest_needs,
    with_space,
)
from accelsim.network.ops import Window

POOLS = st.builds(
    VectorKernel,
    st.integers(1, 2),
    st.integers(1, 5),
    windows(6),
    windows(4),
    st.integers(1, 9),
    tap_operations=st.integers(0, 1),
)

IN_PASSES = st.builds(
    VectorKernel,
    st.integers(1, 2),
    st.integers(1, 12),
    windows(4, taps=1),
    windows(3, taps=1),
    st.integers(1, 9),
    passes=st.sampled_from([(4, 5), (3, 4, 4)]),
)


def every_tiling(kernel: VectorKernel, to: Target) -> VectorCosts:
    """Of all sizes along every axis that may be cut."""
    totals = VectorSearch(kernel, to).totals
    axes = [range(1, total + 1) for total in totals]
    if kernel.uncut:
        axes[1] = range(kernel.channels, kernel.channels + 1)
    if not kernel.tap_operations:
        axes[4:6] = [range(total, total + 1) for total in totals[4:6]]
    return VectorCosts(kernel, to, np.array([*product(*axes)]).T)


def drawn_window(rng: np.random.Generator, most: int) -> Window:
    while True:
        taps = int(rng.integers(1, 4))
        before, after = rng.integers(0, min(taps, 3), 2).tolist()
        size, stride, dilation = rng.integers(1, (most + 1, 3, 3)).tolist()
        window = Window(size, taps, stride, dilation, before, after)
        if window.outputs > 0:
            return window


def drawn_kernel(rng: np.random.Generator) -> VectorKernel:
    """A pool, whose windows may be cut or not, or one that goes over its channels in passes."""
    kind, batch = int(rng.integers(3)), int(rng.integers(1, 3))
    if kind == 2:
        rows, cols = (Window(int(rng.integers(1, most)), 1) for most in (15, 12))
        passes = ((4, 5), (3, 4, 4))[int(rng.integers(2))]
        channels = int(rng.integers(1, 36))
        return VectorKernel(batch, channels, rows, cols, int(rng.integers(1, 9)), passes=passes)
    rows, cols = drawn_window(rng, 18), drawn_window(rng, 12)
    operations, channels = int(rng.integers(1, 9)), int(rng.integers(1, 15))
    return VectorKernel(batch, channels, rows, cols, operations, tap_operations=kind)


def drawn_target(rng: np.random.Generator) -> Target:
    layout = LAYOUTS[rng.integers(len(LAYOUTS))]
    return target(
        layout,
        tuple(int(2 ** rng.uniform(4.5, 11)) for _ in layout),
        arrays=int(rng.integers(1, 4)),
        latency=int(rng.integers(0, 20)),
        burst=(1, 8)[rng.integers(2)],
        rate=Fraction(int(rng.integers(1, 9))),
    )


def over_the_best(kernel: VectorKernel, to: Target) -> float:
    """The cost of what is found over that of the cheapest of every tiling; 1 if nothing fits."""
    every, found = every_tiling(kernel, to), VectorSearch(kernel, to).best()
    able = every.fits & (every.arrays <= every.blocks)
    if found is None:
        assert not able.any()
        return 1.0
    return float(found.cost / every.cost[able].min())


def drawn_over_the_best(number: int) -> float:
    """`over_the_best` of a drawn kernel on a drawn machine."""
    rng = np.random.default_rng(number)
    return over_the_best(drawn_kernel(rng), drawn_target(rng))


@pytest.mark.parametrize(
    "numbers", [range(30), pytest.param(range(30, 330), marks=pytest.mark.slow)]
)
def test_near_the_best_of_all(numbers: range) -> None:
    """One in a hundred may be more than 3 % dearer than the cheapest of every tiling."""
    ratios = np.array([drawn_over_the_best(number) for number in numbers])
    assert ratios.max() <= 1.1
    assert (ratios > 1.03).sum() <= len(numbers) // 100


@given(st.one_of(POOLS, IN_PASSES), tight_targets(smallest=16, largest=400))
@drawn(60)
def test_what_is_found_costs_what_it_says(kernel: VectorKernel, to: Target) -> None:
    found = VectorSearch(kernel, to).best()
    if found is None:
        return
    tiling = found.tiling
    assert isinstance(tiling, VectorTiling)
    sizes = [getattr(tiling, axis) for axis in VectorTiling.__slots__]
    alone = VectorCosts(kernel, to, np.array([sizes]).T)
    assert found.cycles == alone.cycles.item()
    assert found.dram_bytes == alone.dram_bytes.item()
    assert found.tile_bytes == alone.tile_bytes.item()
    assert alone.fits.all()


@given(st.integers(1, 2**31))
def test_sizes_are_few_and_legal(total: int) -> None:
    """As many as the logarithm of an axis, with one and all among them."""
    for sizes in (coarse_sizes(total), fine_sizes(total)):
        assert {1, total} <= sizes
        assert all(1 <= size <= total for size in sizes)
        assert len(sizes) <= 40 + 8 * total.bit_length()
    assert {*range(1, min(total, 8) + 1)} <= fine_sizes(total)


@given(POOLS, tight_targets(smallest=16, largest=400), st.data())
@drawn(60)
def test_the_largest_that_fits(kernel: VectorKernel, to: Target, data: st.DataObject) -> None:
    """One size after another along each axis, the others as they are."""
    search = VectorSearch(kernel, to)
    start = [data.draw(st.integers(1, total)) for total in search.totals]
    axes = [axis for axis in range(4) if search.totals[axis] > 1]
    made = search.largest(np.array([start]).T, axes)
    for axis, filled in zip(axes, made.T.tolist(), strict=False):
        ways = [[*start] for _ in range(search.totals[axis])]
        for size, way in enumerate(ways, start=1):
            way[axis] = size
        fits = VectorCosts(kernel, to, np.array(ways).T).fits
        fits = np.broadcast_to(fits, len(ways))
        assert filled[axis] == (np.flatnonzero(fits)[-1] + 1 if fits.any() else 1)


@given(POOLS, tight_targets(), st.data())
@drawn(40)
def test_what_lies_around_differs_along_few_axes(
    kernel: VectorKernel, to: Target, data: st.DataObject
) -> None:
    """Along one, or along rows and columns."""
    search = VectorSearch(kernel, to)
    front = np.array([[data.draw(st.integers(1, total)) for total in search.totals]]).T
    around = search.around(front)
    changed = around != front
    assert (changed.sum(axis=0) <= 1 + changed[2:4].all(axis=0)).all()
    assert (around >= 1).all()
    assert (around <= np.array(search.totals)[:, np.newaxis]).all()


@given(st.one_of(POOLS, IN_PASSES), tight_targets(smallest=16, largest=400))
@drawn(40)
def test_a_front_is_of_the_few_best(kernel: VectorKernel, to: Target) -> None:
    search = VectorSearch(kernel, to)
    front = search.promising(search.coarse)
    if front is None:
        return
    assert len(front.places) <= FEW
    assert front.least == front.costs.cost[front.places].min() or (
        front.least <= TIE * front.costs.cost.min()
    )
    assert front.costs.cost.argmin() in front.places


@given(st.one_of(POOLS, IN_PASSES), tight_targets())
@drawn(60)
def test_no_tiling_takes_less_than_the_bound(kernel: VectorKernel, to: Target) -> None:
    """Improving stops near it, so it must not be too high."""
    every = every_tiling(kernel, to)
    if every.fits.any():
        assert every.cycles[every.fits].min() >= VectorSearch(kernel, to).bound * (1 - 1e-9)


@given(st.one_of(POOLS, IN_PASSES), tight_targets(smallest=2, largest=60))
@drawn(60)
def test_the_smallest_needs_are_those_of_a_tile(kernel: VectorKernel, to: Target) -> None:
    """If nothing fits, no tile is within them by as much as a byte in every buffer."""
    every, needs = every_tiling(kernel, to), smallest_needs(kernel, to)
    each = np.array(
        [np.broadcast_to(every.demand(space), every.fits.shape) for space in to.buffers]
    )
    assert (each == np.array(needs)[:, np.newaxis]).all(axis=0).any()
    if not every.fits.any():
        over = np.maximum(each - np.array([[space.half] for space in to.buffers]), 0).sum(axis=0)
        halves = [space.half for space in to.buffers]
        own = sum(max(need - half, 0) for need, half in zip(needs, halves, strict=True))
        assert own == over.min()


@given(POOLS, tight_targets(smallest=40, largest=400), st.integers(1, 400))
@drawn(40)
def test_less_space_for_ifmaps(kernel: VectorKernel, to: Target, space: int) -> None:
    """With what a tile leaves free nothing changes; with less, it is as with a smaller buffer."""
    ranks = VectorRanks(kernel, to)
    within = ranks.best_within(space)
    if ranks.best is None or ranks.best.tile_bytes <= space // 2:
        assert within == ranks.best
    else:
        assert within == VectorSearch(kernel, with_space(to, space)).best()


@given(POOLS, tight_targets(smallest=40, largest=400), st.integers(40, 400), st.integers(0, 90))
@drawn(40)
def test_what_targets_share(kernel: VectorKernel, to: Target, size: int, latency: int) -> None:
    """On other buffers, and a DRAM of another rate and latency, it is as if searched anew."""
    buffers = tuple(replace(space, size=size) for space in to.buffers)
    rate = to.dram_bytes_per_cycle / 3
    other = replace(to, buffers=buffers, dram_bytes_per_cycle=rate, dram_latency=latency)
    search, anew = VectorSearch(kernel, to), VectorSearch(kernel, other)
    some = search.coarse
    assert [some.fits.size, some.cycles.size, some.energy_pj.size, search.bound > 0]  # now known
    first, known = search.best(), search.on(other)
    for name in ("fits", "cycles", "energy_pj", "dram_bytes"):
        assert np.array_equal(getattr(known.coarse, name), getattr(anew.coarse, name))
    assert known.bound == anew.bound
    assert known.best() == anew.best()
    assert known.on(to).best() == first
    if first is not None:
        assert isinstance(first.tiling, VectorTiling)
        assert known.cost_of(first.tiling) == anew.cost_of(first.tiling)


@pytest.mark.parametrize("filtered", [False, True])
def test_buffers_of_no_account(filtered: bool) -> None:
    """What a kernel without filters finds serves for all sizes of a buffer that holds only them."""
    window = Window(64, 3, before=1, after=1)
    kernel = VectorKernel(1, 16, window, window, 9, tap_operations=1, filtered=filtered)
    small, large = (target(sizes=(4096, size, 4096)) for size in (64, 8192))
    memory = Memory()
    found = [search(to, memory)(kernel, Residence()) for to in (small, large)]
    assert (found[0] is found[1]) != filtered
    assert found[1].best == VectorSearch(kernel, large).best()


@pytest.mark.parametrize("length", [2**24, 2**31 - 1])
def test_an_axis_of_any_length(length: int) -> None:
    """The number of tilings that are looked at does not grow with it."""
    kernel = VectorKernel(1, 1, Window(length, 1), Window(1, 1), 1)
    search = VectorSearch(kernel, target(sizes=(65_536,) * 3))
    found = search.best()
    assert found is not None
    assert search.grid().shape[1] < 10_000
    assert isinstance(found.tiling, VectorTiling)
    assert found.tiling.rows <= 65_536 // 2
