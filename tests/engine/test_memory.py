"""Buffers and the DRAM channel, cycle by cycle."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.dram.transfer import Runs
from accelsim.engine.memory import Buffer, Clock, DramChannel
from accelsim.lowering.dataflow import DATAFLOW_OF, ArrayModel
from accelsim.lowering.target import Target
from accelsim.lowering.task import Load, Room


def channel(rate: Fraction, latency: int, burst: int) -> tuple[Clock, DramChannel]:
    array = ArrayModel(1, 1, DATAFLOW_OF["ws"], False, False)
    clock = Clock()
    return clock, DramChannel(clock, Target(array, 1, 1, (1,) * 4, (), rate, latency, burst))


def load(size: int) -> Load:
    return Load("ifmap", Room(0, size), False, size, Runs(1, size, size))


@pytest.mark.parametrize(
    ("rate", "latency", "burst", "sizes", "arrivals"),
    [
        # 64 B at 16 B/cycle: 4 cycles on the channel, then 10 on the way
        (Fraction(16), 10, 1, [64], [14]),
        # the second waits for the channel only, the latencies overlap
        (Fraction(16), 10, 1, [64, 32], [14, 16]),
        # 65 B are two bursts: 8 cycles
        (Fraction(16), 10, 64, [65, 1], [18, 22]),
        # 3 B at 2 B/cycle: whole cycles, 2
        (Fraction(2), 0, 1, [3, 3], [2, 4]),
        # 64 B at 16/3 B/cycle: 12 cycles
        (Fraction(16, 3), 5, 64, [1], [17]),
        # nothing to move still takes the way
        (Fraction(1), 5, 64, [0], [5]),
    ],
)
def test_transfers_arrive_in_order(
    rate: Fraction, latency: int, burst: int, sizes: list[int], arrivals: list[int]
) -> None:
    _, dram = channel(rate, latency, burst)
    assert [dram.transfer(load(size)) for size in sizes] == arrivals


def test_the_channel_is_idle_between_requests() -> None:
    clock, dram = channel(Fraction(1), 3, 1)
    dram.transfer(load(5))
    clock.run(until=20)
    assert dram.transfer(load(5)) == 20 + 5 + 3


def test_room_is_given_in_the_order_of_asking() -> None:
    clock = Clock()
    buffer = Buffer(clock, "b", 10)
    assert buffer.reserve(6, 10) is None
    large, small = buffer.reserve(5, 10), buffer.reserve(1, 10)
    assert large is not None
    assert small is not None  # would fit, but is not first
    assert buffer.free == 4
    buffer.release(0, 10)
    assert not large.triggered
    buffer.release(1, 10)
    assert large.triggered
    assert not small.triggered
    assert buffer.free == 0
    buffer.release(3, 10)
    assert small.triggered
    assert buffer.free == 2


def test_one_byte_too_few_waits() -> None:
    buffer = Buffer(Clock(), "b", 10)
    assert buffer.reserve(10, 10) is None
    buffer.release(10, 10)
    assert buffer.reserve(11, 10) is not None


def test_tiles_stay_within_the_space_of_their_layer() -> None:
    """Of 10 bytes, a layer with all takes 7; one with the first 4 takes 3, but not one more."""
    buffer = Buffer(Clock(), "b", 10)
    assert buffer.reserve(7, 10) is None
    assert buffer.reserve(3, 4) is None
    assert buffer.reserve(1, 4) is not None
    narrow = Buffer(Clock(), "b", 10)
    assert narrow.reserve(5, 4) is not None


def test_two_layers_of_one_space_share_it() -> None:
    buffer = Buffer(Clock(), "b", 10)
    assert buffer.reserve(2, 4) is None
    assert buffer.reserve(2, 4) is None
    assert buffer.reserve(2, 10) is None
    assert buffer.reserve(4, 10) is None
    assert buffer.reserve(1, 4) is not None


@given(st.integers(0, 20), st.integers(0, 20))
def test_there_is_room_for_two_halves(one: int, other: int) -> None:
    """Whatever the two layers' spaces, neither can keep the other's tile out."""
    buffer = Buffer(Clock(), "b", 20)
    assert buffer.reserve(one // 2, one) is None
    assert buffer.reserve(other // 2, other) is None
