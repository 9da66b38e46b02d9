"""The vector unit as a processor: by hand, on the clock, and many tiles by the same code as one."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.laws import Lanes
from accelsim.lowering.processor import Processor
from accelsim.lowering.target import target_of
from accelsim.lowering.vector_unit import VectorExtents, VectorUnit, vector_unit

BUFFERS = st.lists(
    st.builds(
        Lanes,
        st.fractions(min_value=Fraction(1, 3), max_value=9, max_denominator=3),
        st.sampled_from([(("ifmap", 1),), (("ofmap", 2),), (("ifmap", 2), ("ofmap", 1))]),
    ),
    max_size=2,
).map(tuple)
TILES = st.builds(VectorExtents, *[st.integers(1, 60)] * 3)


def on_the_clock(unit: VectorUnit, tile: VectorExtents) -> int:
    """Cycle by cycle: the lanes take operations, each buffer moves bytes, all beside each other."""
    left = Fraction(int(tile.operations))
    words = {"ifmap": tile.read, "ofmap": tile.written}
    moving = [
        Fraction(sum(size * words[item] for item, size in buffer.word_bytes))  # type: ignore[misc]
        for buffer in unit.buffers
    ]
    cycle = 0
    while left > 0 or any(size > 0 for size in moving):
        cycle += 1
        left -= unit.lanes
        moving = [
            size - buffer.bytes_per_cycle for size, buffer in zip(moving, unit.buffers, strict=True)
        ]
    return cycle


@given(st.integers(1, 20), BUFFERS, TILES)
def test_cycles_are_those_of_the_slowest(
    lanes: int, buffers: tuple[Lanes, ...], tile: VectorExtents
) -> None:
    unit = VectorUnit(lanes, buffers)
    work = unit.work(tile).of_groups(1)
    assert work.cycles == unit.cycles(tile) == on_the_clock(unit, tile)
    assert work.streaming == on_the_clock(VectorUnit(lanes), tile)
    assert work.buffer_bound == (work.cycles if work.buffer else 0)


@given(st.integers(1, 20), BUFFERS, st.lists(TILES, min_size=1, max_size=6))
def test_many_tiles_are_each_alone(
    lanes: int, buffers: tuple[Lanes, ...], alone: list[VectorExtents]
) -> None:
    unit: Processor[VectorExtents] = VectorUnit(lanes, buffers)
    columns = (
        [getattr(tile, name) for tile in alone] for name in ("read", "written", "operations")
    )
    many = unit.work(VectorExtents(*(np.array(column) for column in columns)))
    for at, tile in enumerate(alone):
        one = unit.work(tile)
        for name in ("streaming", "fill_drain", "buffer", "buffer_bound", "tail", "operations"):
            assert getattr(many, name)[at] == getattr(one, name), name
        assert {
            name: np.broadcast_to(count, len(alone))[at] for name, count in many.sram.items()
        } == one.sram


@pytest.mark.parametrize(
    ("settings", "cycles"),
    [
        ([], 4),  # 100 operations on 32 lanes
        (["buffers.ifmap_sram.bandwidth=15 B/cycle"], 7),  # 100 int8 words
        (["buffers.ofmap_sram.bandwidth=2 B/cycle"], 13),  # 25
        (["buffers.ofmap_sram.bandwidth=2 B/cycle", "buffers.ofmap_sram.holds=[psum]",
          "buffers.ifmap_sram.holds=[ifmap, ofmap]"], 4),
    ],
)  # fmt: skip
def test_buffers_of_a_hardware_file(settings: list[str], cycles: int) -> None:
    unit = vector_unit(target_of(load_hardware("edge_ws", settings)))
    assert unit.cycles(VectorExtents(read=100, written=25, operations=100)) == cycles


def test_it_needs_what_it_reads_and_writes() -> None:
    unit, tile = VectorUnit(4), VectorExtents(8, 8, 8)
    assert unit.room(tile, {"ifmap": 8, "ofmap": 8}) == {"ifmap": 8, "ofmap": 8}
    assert not unit.leaves_unfinished(tile)
    assert unit.likes(taps=9) == {}
