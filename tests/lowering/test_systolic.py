"""The systolic array as a processor: one tile and many by the same code, and fold by fold."""

from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.hardware import Operand
from accelsim.lowering.dataflow import (
    DATAFLOW_OF,
    ArrayModel,
    Extents,
    FoldClass,
    Lanes,
    fold_classes,
    fold_time,
)
from accelsim.lowering.inside import fold_inside
from accelsim.lowering.ports import serial_wait
from accelsim.lowering.processor import Processor
from accelsim.lowering.systolic import Systolic, work_of_each
from accelsim.lowering.traffic import Inside, Sram

SLOW = (
    Lanes(Fraction(7, 2), (("ifmap", 1), ("ofmap", 1))),
    Lanes(Fraction(6), (("filter", 1),)),
    Lanes(Fraction(11), (("psum", 4),)),
)
ARRAYS = st.builds(
    ArrayModel,
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    dataflow=st.sampled_from(list(DATAFLOW_OF.values())),
    pipelined=st.booleans(),
    used_edges=st.booleans(),
    buffers=st.sampled_from([(), SLOW[:1], SLOW]),
    drain=st.sampled_from(["rows", "cols"]),
    drain_start=st.sampled_from(["lane", "array"]),
    mac_stages=st.integers(1, 3),
    psum_registers=st.integers(1, 3),
    by_tap=st.booleans(),
)


@st.composite
def tiles(draw: st.DrawFn) -> Extents:
    m, n, channels, taps = (draw(st.integers(1, most)) for most in (12, 12, 12, 4))
    return Extents(m, n, channels * taps, draw(st.booleans()), draw(st.booleans()), taps)


def stacked(alone: list[Extents]) -> Extents:
    """Many tiles as one record of arrays."""
    columns = {
        field.name: np.array([getattr(tile, field.name) for tile in alone])
        for field in fields(Extents)
    }
    return Extents(**columns)


@given(ARRAYS, st.lists(tiles(), min_size=1, max_size=8))
@drawn(200)
def test_many_tiles_are_each_alone(array: ArrayModel, alone: list[Extents]) -> None:
    unit: Processor[Extents] = Systolic(array)
    many = stacked(alone)
    work, cycles, tail = unit.work(many), unit.cycles(many), unit.tail(many)
    unfinished, apart = unit.leaves_unfinished(many), work_of_each(array, alone)
    for at, tile in enumerate(alone):
        one = unit.work(tile).of_groups(1)
        for name in ("streaming", "fill_drain", "buffer", "buffer_bound", "tail", "operations"):
            assert getattr(work, name)[at] == getattr(one, name), name
        assert {name: count[at] for name, count in work.sram.items()} == one.sram.as_dict()
        assert {name: count[at] for name, count in work.inside.items()} == one.inside.as_dict()
        assert apart[tile].of_groups(1) == one
        assert cycles[at] == unit.cycles(tile) == one.cycles == work.cycles[at]  # type: ignore[index]
        assert tail[at] == unit.tail(tile) == one.tail  # type: ignore[index]
        assert np.broadcast_to(unfinished, len(alone))[at] == unit.leaves_unfinished(tile)


@given(ARRAYS, tiles(), st.integers(1, 3))
@drawn(200)
def test_work_is_that_of_the_folds(array: ArrayModel, tile: Extents, groups: int) -> None:
    """Every fold by itself, as it comes; groups one after another have one tail."""
    work = Systolic(array).work(tile).of_groups(groups)
    folds = [
        FoldClass(1, fold.extent, fold.starts, fold.ends)
        for fold in fold_classes(array, tile)
        for _ in range(groups * int(fold.count))
    ]
    times = [fold_time(array, fold) for fold in folds]
    assert work.streaming == sum(time.stream for time in times)
    assert work.fill_drain == sum(time.fill_drain for time in times)
    assert work.buffer == sum(time.buffer for time in times)
    assert work.buffer_bound == sum(time.total for time in times if time.buffer)
    assert work.inside == sum((fold_inside(array, fold) for fold in folds), start=Inside())
    assert work.operations == groups * tile.m * tile.n * tile.k
    assert work.tail == Systolic(array).tail(tile)


@given(ARRAYS, tiles())
@drawn(200)
def test_words_at_the_edge(array: ArrayModel, tile: Extents) -> None:
    """Operands once for every fold that works on them; every sum ends once, or is handed on."""
    m, n, k, starts, ends = (int(x) for x in (tile.m, tile.n, tile.k, tile.starts, tile.ends))
    taps = int(tile.taps) if array.by_tap else 1
    lanes = {array.dataflow.rows: array.rows, array.dataflow.cols: array.cols}
    folds = {
        axis: -(-size // lanes[axis]) if axis in lanes else 1 for axis, size in (("m", m), ("n", n))
    }
    along_k = taps * -(-(k // taps) // array.rows) if array.psums_move else 1
    handed_on = m * n * (along_k - 1)
    assert Systolic(array).work(tile).of_groups(1).sram == Sram(
        ifmap_reads=m * k * folds["n"],
        filter_reads=k * n * folds["m"],
        psum_reads=handed_on + m * n * (1 - starts),
        psum_writes=handed_on + m * n * (1 - ends),
        ofmap_writes=m * n * ends,
    )


def test_a_word_a_cycle_takes_a_cycle() -> None:
    """All folds of a serial tile wait as the buffer does: 4 ifmap words a step at 1 per cycle."""
    array = ArrayModel(
        4, 4, DATAFLOW_OF["ws"], False, False, (Lanes(Fraction(1), (("ifmap", 1),)),)
    )
    tile = Extents(10, 8, 8)
    work = Systolic(array).work(tile).of_groups(1)
    # 4 folds of 10 steps, each of 4 words: 40 cycles instead of 10
    assert (work.streaming, work.buffer, work.buffer_bound) == (40, 120, work.cycles)
    for fold in fold_classes(array, tile):
        assert serial_wait(array, fold) == 30


@pytest.mark.parametrize(
    ("dataflow", "by_tap", "taps", "liked"),
    [
        # 8 x 4 PEs; under ws rows hold channels, 8 of them or with 9 taps 8, with 4 taps 2
        ("ws", False, 1, {"k": 8, "n": 4}),
        ("ws", False, 9, {"k": 8, "n": 4}),
        ("ws", False, 4, {"k": 2, "n": 4}),
        ("ws", False, 16, {"k": 1, "n": 4}),
        ("ws", True, 4, {"k": 8, "n": 4}),  # of one tap only
        ("is", False, 4, {"k": 2, "m": 4}),
        ("os", False, 4, {"m": 8, "n": 4}),
        ("os", True, 4, {"m": 8, "n": 4}),
    ],
)
def test_likes_what_fills_the_array(
    dataflow: str, by_tap: bool, taps: int, liked: dict[str, int]
) -> None:
    array = ArrayModel(8, 4, DATAFLOW_OF[dataflow], False, False, by_tap=by_tap)
    assert Systolic(array).likes(taps) == liked


@given(ARRAYS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
@drawn(100)
def test_what_it_likes_leaves_no_pe_idle(
    array: ArrayModel, m: int, n: int, k: int, taps: int
) -> None:
    sizes = {"m": m, "n": n, "k": k}
    sizes = {
        axis: count * Systolic(array).likes(taps).get(axis, 1) for axis, count in sizes.items()
    }
    tile = Extents(sizes["m"], sizes["n"], sizes["k"] * taps, taps=taps)
    for fold in fold_classes(array, tile):
        if fold.count:
            assert array.sides(fold)[:2] == (array.rows, array.cols)


@pytest.mark.parametrize(
    ("dataflow", "tile", "needed"),
    [
        ("os", Extents(4, 4, 40), 0),
        ("os", Extents(4, 4, 40, starts=False), 16),
        ("ws", Extents(4, 4, 8), 0),
        ("ws", Extents(4, 4, 9), 16),
        ("ws", Extents(4, 4, 8, ends=False), 16),
        ("is", Extents(4, 4, 9), 16),
    ],
)
def test_room_for_psums_that_leave(dataflow: str, tile: Extents, needed: int) -> None:
    unit = Systolic(ArrayModel(8, 4, DATAFLOW_OF[dataflow], False, False))
    footprint: dict[Operand, int] = {"ifmap": 30, "filter": 20, "psum": 16, "ofmap": 16}
    assert unit.room(tile, footprint) == {**footprint, "psum": needed}  # type: ignore[arg-type]
