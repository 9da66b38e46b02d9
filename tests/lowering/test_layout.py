"""Runs of contiguous bytes against the addresses of a block, one by one."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accelsim.lowering.layout import (
    Planes,
    filter_runs,
    many_filter_runs,
    many_map_runs,
    map_runs,
)

EXTENTS = st.tuples(*(st.integers(1, 4) for _ in range(4)))
WORD = st.sampled_from([1, 2, 4])


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Planes, Planes]:
    whole = draw(EXTENTS)
    block = [draw(st.integers(1, size)) for size in whole]
    return Planes(*whole), Planes(*block)


def starts_and_sizes(addresses: list[int]) -> tuple[list[int], set[int]]:
    """Where runs of consecutive words begin, and the sizes that they have."""
    taken = set(addresses)
    starts = sorted(a for a in taken if a - 1 not in taken)
    ends = sorted(a + 1 for a in taken if a + 1 not in taken)
    return starts, {end - start for start, end in zip(starts, ends, strict=True)}


@given(blocks(), WORD)
def test_runs_are_those_of_the_addresses(planes: tuple[Planes, Planes], word: int) -> None:
    whole, block = planes
    addresses = [
        ((n * whole.channels + c) * whole.rows + h) * whole.cols + w
        for n, c, h, w in product(
            *map(range, (block.batch, block.channels, block.rows, block.cols))
        )
    ]
    starts, sizes = starts_and_sizes(addresses)
    runs = map_runs(whole, block, word)
    assert runs.count == len(starts)
    assert {runs.size} == {size * word for size in sizes}
    if len(starts) > 1:
        assert runs.pitch == (starts[1] - starts[0]) * word


@given(st.integers(1, 4), st.integers(1, 5), st.data(), WORD)
def test_filters_in_part_are_runs(filters: int, row: int, data: st.DataObject, word: int) -> None:
    part = data.draw(st.integers(1, row))
    addresses = [k * row + word_ for k in range(filters) for word_ in range(part)]
    starts, sizes = starts_and_sizes(addresses)
    runs = filter_runs(filters, row, part, word)
    assert (runs.count, {runs.size}) == (len(starts), {size * word for size in sizes})


@given(EXTENTS, st.data(), WORD)
def test_many_are_as_one(whole: tuple[int, ...], data: st.DataObject, word: int) -> None:
    shapes = data.draw(
        st.lists(st.tuples(*(st.integers(1, size) for size in whole)), min_size=1, max_size=5)
    )
    planes = Planes(*whole)
    block = tuple(np.array(sizes) for sizes in zip(*shapes, strict=True))
    many = many_map_runs(planes, block, word)
    each = [map_runs(planes, Planes(*shape), word) for shape in shapes]
    assert many.count.tolist() == [runs.count for runs in each]
    assert many.size.tolist() == [runs.size for runs in each]
    apart = [(m, runs.pitch) for m, runs in zip(many.pitch, each, strict=True) if runs.count > 1]
    assert all(m == one for m, one in apart)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1))
def test_many_filters_are_as_one(row: int, tiles: list[tuple[int, int]]) -> None:
    sizes = [(filters, min(part, row)) for filters, part in tiles]
    filters, part = (np.array(column) for column in zip(*sizes, strict=True))
    many = many_filter_runs(filters, row, part, 2)
    each = [filter_runs(*size, 2) for size in ((f, row, p) for f, p in sizes)]
    assert many.count.tolist() == [runs.count for runs in each]
    assert many.size.tolist() == [runs.size for runs in each]
    assert many.pitch.tolist() == [runs.pitch for runs in each]
