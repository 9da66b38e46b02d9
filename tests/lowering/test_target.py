"""The numbers of a hardware: what they depend on, and what does not depend on them."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from cases import KERNELS, LAYOUTS, MORE_TAPS, TARGETS, row_array, row_target, target, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, separate_psums, split, unified
from test_vector_cost import ANY, cut

from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import OPERANDS
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.lowering.task import Step
from accelsim.lowering.units import lowered

RATES = st.builds(Fraction, st.integers(1, 40), st.integers(1, 7))


def bursts_one_by_one(size: int, burst: int, rate: Fraction) -> int:
    """Whole cycles until the last burst with any of `size` bytes has moved."""
    moved, left = Fraction(0), size
    while left > 0:
        left -= burst
        moved += burst
    cycles = 0
    while cycles * rate < moved:
        cycles += 1
    return cycles


@given(st.integers(0, 300), st.sampled_from([1, 4, 64]), RATES)
@drawn(300)
def test_a_transfer_moves_burst_by_burst(size: int, burst: int, rate: Fraction) -> None:
    to = target(rate=rate, burst=burst)
    assert to.transfer_cycles(size) == bursts_one_by_one(size, burst, rate)


# --- What tasks do not depend on ------------------------------------------------------------------


def told(step: Step) -> tuple[Any, ...]:
    """All that a step is."""
    return tuple(getattr(step, name) for name in Step.__slots__)


def all_steps(schedules: tuple[Schedule, ...]) -> list[list[tuple[Any, ...]]]:
    return [[told(step) for step in schedule.steps] for schedule in schedules]


OTHERS: dict[str, Callable[[Target], Target]] = {
    "without DRAM": lambda to: to.without_dram,
    "at any rate": lambda to: to.at_any_rate,
    "of any size": lambda to: to.of_any_size,
    "without either": lambda to: to.without_dram.of_any_size,
}
"""Targets that stand for many: their tasks are remembered for all of these."""


@given(st.data(), KERNELS | MORE_TAPS | ANY, TARGETS, st.sampled_from([*OTHERS]), st.booleans())
@drawn(300)
def test_tasks_are_the_same_on_targets_that_stand_for_others(
    data: st.DataObject, kernel: GemmKernel | VectorKernel, to: Target, other: str, kept: bool
) -> None:
    to = replace(to, dram_bytes_per_cycle=Fraction(7, 3), dram_latency=90, dram_burst=64)
    to = replace(to, residence=Residence(kept=kept, stored=not kept))
    tiling = data.draw(tilings(kernel) if isinstance(kernel, GemmKernel) else cut(kernel))
    own, alike = (lowered(kernel, each, tiling) for each in (to, OTHERS[other](to)))
    assert all_steps(own.schedules) == all_steps(alike.schedules)
    assert own.untiled_array_cycles == alike.untiled_array_cycles
    assert own.folds == alike.folds


@given(st.data(), ANY, st.sampled_from(LAYOUTS))
@drawn(150)
def test_a_unit_beside_the_array_sees_the_same_beside_any_array(
    data: st.DataObject, kernel: VectorKernel, layout: Any
) -> None:
    """Of the same kind; else it may see another kind of room."""
    one = target(layout, array=(4, 3), dataflow="ws")
    other = replace(one, processor=target(array=(9, 2), dataflow="os", by_tap=True).processor)
    assert one.beside_array == other.beside_array
    assert one.beside_array != row_target(row_array(), layout).beside_array
    assert one.beside_array != replace(one, lanes=one.lanes + 1).beside_array
    tiling = data.draw(cut(kernel))
    first, second = (lowered(kernel, each, tiling).schedules for each in (one, other))
    assert all_steps(first) == all_steps(second)


def test_a_data_sheet_has_but_one_rate() -> None:
    """What its transfers take does not scale with it."""
    timed = target_of(with_settings(machine(), ["dram={timing: {standard: DDR3-1600}}"]))
    assert timed.at_any_rate is timed


# --- What stays on chip ---------------------------------------------------------------------------

KEPT, BOTH = Residence(kept=True, stored=False), Residence(kept=True)
LIMITED = {"ifmap": "8 B/cycle", "ofmap": "3 B/cycle", "psum": "1 B/cycle"}


def with_rates(buffers: dict[str, dict[str, Any]]) -> Target:
    """Each buffer as fast as its first operand is in `LIMITED`."""
    rates = {}
    for name, each in buffers.items():
        first = each["holds"][0]
        rates[name] = each | ({"bandwidth": LIMITED[first]} if first in LIMITED else {})
    return target_of(machine(rates))


@pytest.mark.parametrize(
    ("buffers", "residence", "rate", "in_place"),
    [
        (split(), KEPT, 1, False),  # psums are first in the ofmap's buffer: the slower of the two
        (split(), BOTH, 1, False),
        (split(), Residence(), None, False),  # nothing moves
        (unified("1 KiB"), KEPT, None, True),
        (unified("1 KiB"), BOTH, None, False),  # what is stored needs a tile
        (separate_psums("1 KiB"), KEPT, None, True),
        (separate_psums("1 KiB"), Residence(), None, False),
    ],
)
def test_where_a_kept_ofmap_goes(
    buffers: Any, residence: Residence, rate: int | None, in_place: bool
) -> None:
    to = replace(with_rates(buffers), residence=residence)
    assert to.move_bytes_per_cycle == rate
    assert to.computes_in_place == in_place


def test_a_resident_map_keeps_arrays_from_sharing() -> None:
    """It lies in the buffer of one of them; a kept filter does not."""
    to = target(arrays=3)
    for residence, sharers in (
        (Residence(), 3),
        (Residence((False, False)), 3),
        (Residence(filter="kept"), 3),
        (Residence((False, True)), 1),
        (Residence(kept=True), 1),
    ):
        assert replace(to, residence=residence).sharers == sharers


def test_inputs_of_a_residence() -> None:
    for ifmaps, ifmap, addend in (
        ((), False, False),
        ((True,), True, False),
        ((False, True), False, True),
        ((True, True), True, True),
    ):
        there = Residence(ifmaps)
        assert (there.ifmap, there.addend, there.on_chip) == (ifmap, addend, ifmap or addend)


# --- From a hardware file -------------------------------------------------------------------------


def test_turning_around_by_hand() -> None:
    """DDR3-1600K at 800 MHz beside a 1 GHz array, beyond the 4 clocks of the burst itself.

    A read follows a write after CWL 8 + burst 4 + tWTR 6 = 18 clocks, a write follows a read after
    CL 11 + burst 4 + 2 - CWL 8 = 9: 14 and 5 clocks of 1.25 cycles.
    """
    timed = target_of(with_settings(machine(), ["dram={timing: {standard: DDR3-1600}}"]))
    assert timed.turnaround_cycles == (18, 7)
    assert target_of(machine()).turnaround_cycles == (0, 0)


def test_words_and_buffers_of_a_file() -> None:
    settings = ["precision={ifmap: float16, filter: float16, psum: float32, ofmap: float16}"]
    to = target_of(with_settings(machine(unified("4 KiB")), settings))
    assert [to.bytes_of(item) for item in OPERANDS] == [2, 2, 4, 2]
    assert {to.buffer_index(item) for item in OPERANDS} == {0}
    assert to.buffers[0].half == 2048


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("precision.psum_overflow=saturate", "cuts_windows", False),
        ("tile_loads=all", "loads_anew", True),
        ("array.count=3", "arrays", 3),
        ("vector_unit.lanes=7", "lanes", 7),
        ("dram.burst=64 B", "dram_burst", 64),
    ],
)
def test_a_key_of_a_file(setting: str, name: str, value: Any) -> None:
    assert getattr(target_of(with_settings(machine(), [setting])), name) == value
    assert getattr(target_of(machine()), name) != value
