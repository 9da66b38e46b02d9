"""Buffers and the DRAM channel, cycle by cycle."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.waiter import Waiter

from accelsim.dram.transfer import Runs
from accelsim.engine.clock import Clock
from accelsim.engine.memory import Buffer, DramChannel
from accelsim.lowering.dataflow import DATAFLOW_OF, ArrayModel
from accelsim.lowering.target import Target
from accelsim.lowering.task import Load, Room


def cycles(rate: Fraction, burst: int, size: int) -> int:
    """What a load of so many bytes holds the channel."""
    array = ArrayModel(1, 1, DATAFLOW_OF["ws"], False, False)
    target = Target(array, 1, 1, (1,) * 4, (), rate, 0, burst)
    return target.occupied_cycles(Load("ifmap", Room(0, size), False, size, Runs(1, size, size)))


def load(dram: DramChannel, waiter: Waiter, *holds: int) -> None:
    """Ask for loads that hold the channel for so many cycles."""
    for each in holds:
        dram.transfer(waiter, waiter, each, is_write=False)


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
    dram, unit = DramChannel(Clock(), latency), Waiter()
    load(dram, unit, *[cycles(rate, burst, size) for size in sizes])
    dram.clock.run()
    assert unit.arrivals == arrivals


def test_the_channel_is_idle_between_requests() -> None:
    dram, unit = DramChannel(Clock(), 3), Waiter()
    load(dram, unit, 5)
    dram.clock.run(until=20)
    load(dram, unit, 5)
    assert unit.arrivals == [5 + 3, 20 + 5 + 3]


def test_what_a_unit_waits_for_passes_what_others_load_ahead() -> None:
    """100 cycles under way, then 100 and 100 ahead of need: the short one of 2 comes after one."""
    dram, ahead, waits = DramChannel(Clock(), 0), Waiter(ahead=1), Waiter()
    load(dram, ahead, 100, 100, 100)
    load(dram, waits, 2)
    dram.clock.run()
    assert waits.arrivals == [102]
    assert ahead.arrivals == [100, 202, 302]


def test_the_unit_with_most_work_is_first_among_those_who_wait() -> None:
    dram, small, large, other = DramChannel(Clock(), 0), Waiter(), Waiter(total=1), Waiter()
    load(dram, other, 10)
    load(dram, small, 1)
    load(dram, large, 1, 1)
    dram.clock.run()
    assert (large.arrivals, small.arrivals) == ([11, 12], [13])


def test_arrays_that_share_a_layer_keep_step() -> None:
    """The one with most of it left goes first; who is at another layer keeps its turn."""
    dram, layer = DramChannel(Clock(), 0), object()
    near, elsewhere = Waiter(left=1, layer=layer), Waiter(left=9, layer=object())
    far = Waiter(left=2, layer=layer)
    for waiter in (near, elsewhere, near, far):
        load(dram, waiter, 10)
    dram.clock.run()
    assert (near.arrivals, elsewhere.arrivals, far.arrivals) == ([10, 40], [20], [30])


def test_who_waits_is_served_before_all_that_is_asked_while_others_compute() -> None:
    """A unit that loads ahead for ever, a transfer as soon as one begins, starves nobody."""

    class Greedy(Waiter):
        def served(self, what: object, is_write: bool, arrival: int) -> None:
            super().served(what, is_write, arrival)
            if len(self.arrivals) < 100:
                load(dram, self, 10)

    dram, greedy, waits = DramChannel(Clock(), 0), Greedy(ahead=1, total=9), Waiter()
    load(dram, greedy, 10, 10)
    load(dram, waits, 1, 1)
    dram.clock.run()
    assert waits.arrivals == [11, 12]


def test_room_is_given_in_the_order_of_asking() -> None:
    buffer, first, second, third = Buffer(Clock(), "b", 10), Waiter(), Waiter(), Waiter()
    assert buffer.reserve(first, 6, 10)
    assert not buffer.reserve(second, 5, 10)
    assert not buffer.reserve(third, 1, 10)  # would fit, but is not first
    assert buffer.free == 4
    buffer.release(first, 0, 10)
    assert not second.grants
    buffer.release(first, 1, 10)
    assert (second.grants, third.grants, buffer.free) == (1, 0, 0)
    buffer.release(first, 3, 10)
    assert (second.grants, third.grants, buffer.free) == (1, 1, 2)


def test_who_has_fewer_tiles_ahead_comes_first() -> None:
    buffer, ahead, next_one, waits = Buffer(Clock(), "b", 10), *map(Waiter, (2, 1, 0))
    assert buffer.reserve(ahead, 10, 10)
    for each in (ahead, next_one, waits):
        assert not buffer.reserve(each, 4, 10)
    grants = []
    for _ in range(3):
        buffer.release(ahead, 4, 10) if len(grants) < 2 else buffer.release(ahead, 2, 10)
        grants.append((waits.grants, next_one.grants, ahead.grants))
        if len(grants) == 2:
            buffer.release(waits, 2, 10)
    assert grants == [(1, 0, 0), (1, 1, 0), (1, 1, 1)]


def test_what_is_more_than_the_next_tile_leaves_others_room_for_theirs() -> None:
    """Of 20 bytes another unit has 3 and may need 8: so 12 are there, but not for a third tile."""
    buffer, other = Buffer(Clock(), "b", 20), Waiter(needs=8, space=20)
    assert buffer.reserve(other, 3, 20)
    for ahead, size, is_there in ((2, 12, True), (2, 13, False), (1, 13, True)):
        unit = Waiter(ahead=ahead)
        assert buffer.reserve(unit, size, 20) == is_there
        buffer.waiting.clear()
        buffer.release(unit, size if is_there else 0, 20)


def test_a_refused_third_tile_lets_others_pass() -> None:
    buffer, other, greedy = Buffer(Clock(), "b", 20), Waiter(needs=8, space=20), Waiter(ahead=2)
    assert buffer.reserve(other, 3, 20)
    assert not buffer.reserve(greedy, 13, 20)
    other.ahead = 5
    assert not buffer.reserve(other, 5, 20)
    assert (other.grants, greedy.grants) == (1, 0)  # told at once, though it had to wait its turn
    other.needs = 0
    buffer.serve()
    assert greedy.grants == 0
    buffer.release(other, 1, 20)
    assert greedy.grants == 1


def test_one_byte_too_few_waits() -> None:
    buffer, unit = Buffer(Clock(), "b", 10), Waiter()
    assert buffer.reserve(unit, 10, 10)
    buffer.release(unit, 10, 10)
    assert not buffer.reserve(unit, 11, 10)


def test_tiles_stay_within_the_space_of_their_layer() -> None:
    """Of 10 bytes, a layer with all takes 7; one with the first 4 takes 3, but not one more."""
    buffer = Buffer(Clock(), "b", 10)
    assert buffer.reserve(Waiter(), 7, 10)
    assert buffer.reserve(Waiter(), 3, 4)
    assert not buffer.reserve(Waiter(), 1, 4)
    narrow = Buffer(Clock(), "b", 10)
    assert not narrow.reserve(Waiter(), 5, 4)


def test_two_layers_of_one_space_share_it() -> None:
    buffer, unit, other = Buffer(Clock(), "b", 10), Waiter(), Waiter()
    assert buffer.reserve(unit, 2, 4)
    assert buffer.reserve(other, 2, 4)
    assert buffer.reserve(unit, 2, 10)
    assert buffer.reserve(other, 4, 10)
    assert not buffer.reserve(unit, 1, 4)


@given(st.integers(0, 20), st.integers(0, 20))
def test_there_is_room_for_two_halves(one: int, other: int) -> None:
    """Whatever the two layers' spaces, neither can keep the other's tile out."""
    buffer = Buffer(Clock(), "b", 20)
    assert buffer.reserve(Waiter(), one // 2, one)
    assert buffer.reserve(Waiter(), other // 2, other)
