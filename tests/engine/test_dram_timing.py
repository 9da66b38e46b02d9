"""Runs with a DRAM standard: bounds, turnaround, and that short runs cost what they take."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from drawing import any_tilings, drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, networks
from oracles.dram_sheets import SHEETS, STANDARDS
from oracles.waiter import Waiter

from accelsim.dram.transfer import Runs, transfer_clocks
from accelsim.engine.clock import Clock
from accelsim.engine.memory import DramChannel
from accelsim.hardware import Hardware
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.target import target_of
from accelsim.lowering.task import Load, Room, Store
from accelsim.lowering.tiling import LoopOrder, all_tilings
from accelsim.network.graph import Network
from accelsim.network.ops import Window
from accelsim.results.player import timed

FAST = {"rows": 64, "cols": 64}


def with_standard(name: str, **more: object) -> Hardware:
    base = machine(**more)  # type: ignore[arg-type]
    data = {"timing": SHEETS[name].model_dump()}
    dram = type(base.dram).model_validate(data)
    return base.model_copy(update={"dram": dram})


lowered_somehow = any_tilings(lower)


@given(networks(), st.sampled_from(STANDARDS), st.integers(1, 2))
@drawn(40)
def test_a_run_obeys_its_bounds(network: Network, name: str, arrays: int) -> None:
    hardware = with_standard(name, array={"count": arrays})
    program = lowered_somehow(network, hardware)
    result = timed(program)
    on_channel = sum(layer.dram_cycles for layer in result.layers)
    assert result.cycles >= on_channel + program.target.dram_latency
    assert result.cycles * hardware.dram_bytes_per_cycle >= result.dram.total_bytes
    for layer in result.layers:
        assert sum(layer.buckets.values()) == layer.cycles


def test_turning_takes_the_channel() -> None:
    """DDR4-3200 at 1 GHz, 0.625 cycles a clock. To a write nCL 22 + nBL 4 + 2 - nCWL 16 = 12
    clocks instead of 4: 5 cycles more. To a read 16 + 4 + nWTRS 4 = 24 instead of 4: 13 more."""
    target = target_of(with_standard("DDR4-3200"))
    assert target.turnaround_cycles == (13, 5)
    dram = DramChannel(Clock(), target.dram_latency, target.turnaround_cycles)
    runs = Runs(1, 6400, 6400)
    load = Load("ifmap", Room(0, 6400), False, 6400, runs)
    store = Store("ofmap", Room(0, 6400), 6400, runs)
    read, write = (
        ceil(transfer_clocks(SHEETS["DDR4-3200"], runs, kind) * target.cycles_per_clock)
        for kind in (False, True)
    )
    assert [target.occupied_cycles(each) for each in (load, store)] == [read, write]
    unit = Waiter()
    for cycles, is_write in [
        (read, False),
        (read, False),
        (write, True),
        (write, True),
        (read, False),
    ]:
        dram.transfer(unit, unit, cycles, is_write)
    dram.clock.run()
    ends = [arrival - target.dram_latency for arrival in unit.arrivals]
    took = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert took == [read, read, write + 5, write, read + 13]


def test_a_plain_rate_does_not_turn() -> None:
    assert target_of(machine()).turnaround_cycles == (0, 0)


@pytest.mark.parametrize("name", STANDARDS)
def test_the_search_prefers_whole_rows(name: str) -> None:
    """A block of rows and one of columns, of as many bytes: dear and cheap only with a standard."""
    kernel = GemmKernel(1, 1, 64, 64, Window(64, 1), Window(64, 1))
    blocks = [(8, 64), (64, 8)]

    def cycles(hardware: Hardware) -> list[float]:
        target = replace(target_of(hardware), processor=target_of(machine(array=FAST)).processor)
        costs = []
        for rows, cols in blocks:
            sizes = [np.array([size]) for size in (1, 1, rows, cols, 64, 64)]
            work = workload(kernel, target, all_tilings(kernel, sizes))
            cost = cost_of(gemm_flow(work, LoopOrder.OFMAP_STAYS, share_of(work)), work.target)
            rate = float(target.dram_bytes_per_cycle)
            costs.append(cost.cycles(rate, target.dram_latency).item())
        return costs

    by_rows, by_cols = cycles(machine())
    assert by_rows == by_cols
    by_rows, by_cols = cycles(with_standard(name))
    assert by_rows < by_cols
