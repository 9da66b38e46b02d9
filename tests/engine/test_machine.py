"""Whole networks: bounds that every run obeys, overlap, contention, and what cannot go on."""

import json
from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from drawing import any_tilings, drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, split

from accelsim.engine.clock import Placed
from accelsim.engine.machine import play
from accelsim.engine.memory import Asker, DramChannel
from accelsim.errors import DoesNotFitError, SimulationError
from accelsim.facade import simulate
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.results import RunResult
from accelsim.results.player import timed


@any_tilings
def lowered(network: Network, hardware: Hardware) -> Program:
    try:
        return lower(network, hardware)
    except DoesNotFitError:
        assume(False)
        raise


# --- Laws of every run ----------------------------------------------------------------------------


@given(networks(), MACHINES)
@drawn(200, percent=4)
def test_laws_of_a_run(network: Network, hardware: Hardware) -> None:
    """Nothing drawn here deadlocks."""
    program = lowered(network, hardware)
    result = timed(program)
    keeps_its_bounds(program, result, hardware)
    has_every_cycle_in_one_bucket(program, result)
    has_a_channel_that_serves_one_at_a_time(program, result)
    moves_each_operand_at_least_once(program)


def keeps_its_bounds(program: Program, result: RunResult, hardware: Hardware) -> None:
    """Between what it must and what it could take."""
    assert result.cycles * hardware.pes >= result.macs
    assert result.cycles * hardware.dram_bytes_per_cycle >= result.dram.total_bytes
    assert result.cycles >= critical_chain(program, result)
    assert result.cycles <= one_after_another(program)


def critical_chain(program: Program, result: RunResult) -> int:
    """Cycles of arrays and vector units on the longest path through the graph."""
    ends: list[int] = []
    for layer, times in zip(program.layers, result.layers, strict=True):
        before = max((ends[index] for index in layer.needs), default=0)
        ends.append(before + times.array_cycles + times.vector_cycles)
    return max(ends)


def one_after_another(program: Program) -> int:
    """Every tile, its tail, its move and every transfer with its latency, none beside another."""
    target = program.target
    return sum(
        task.step.cycles
        + task.step.work.tail
        + sum(
            target.occupied_cycles(transfer) + target.dram_latency
            for transfer in task.step.transfers
        )
        + (task.step.keep.cycles if task.step.keep is not None else 0)
        for layer in program.layers
        for task in layer.all_tasks
    )


def has_every_cycle_in_one_bucket(program: Program, result: RunResult) -> None:
    for layer in result.layers:
        assert sum(layer.buckets.values()) == layer.cycles
        assert min(layer.buckets.values()) >= 0
    ends = [layer.end_cycle for layer in result.layers]
    for layer, times in zip(program.layers, result.layers, strict=True):
        ready = max((ends[index] for index in layer.needs), default=0)
        assert ready <= times.start_cycle <= times.end_cycle <= result.cycles
        if layer.unit is None:
            assert (times.start_cycle, times.end_cycle) == (ready, ready)
        else:
            assert times.cycles >= times.array_cycles + times.vector_cycles
    assert result.cycles == max(ends)


def has_a_channel_that_serves_one_at_a_time(program: Program, result: RunResult) -> None:
    """A run is at least as long as all its transfers on the one channel, and the way of two."""
    on_channel = sum(layer.dram_cycles for layer in result.layers)
    assert result.cycles >= on_channel + program.target.dram_latency


def moves_each_operand_at_least_once(program: Program) -> None:
    """What does not lie on chip, that is."""
    for layer in program.layers:
        if layer.unit == "array":
            weights = layer.layer.parameter_shapes["weight"]
            size = 1
            for extent in weights:
                size *= extent
            assert layer.dram.filter_read_bytes >= size
            stored = layer.placement.residence.stored
            assert layer.dram.ofmap_write_bytes == layer.layer.output_elements * stored
            assert layer.dram.psum_read_bytes == layer.dram.psum_write_bytes


@given(networks(), MACHINES, st.integers(1, 2))
@drawn(30, percent=10)
def test_the_same_inputs_give_the_same_bytes(
    network: Network, hardware: Hardware, batch: int
) -> None:
    def run() -> str:
        return json.dumps(simulate(network, hardware, batch=batch).as_dict())

    try:
        first = run()
    except DoesNotFitError:
        assume(False)
        raise
    assert run() == first


# --- Overlap --------------------------------------------------------------------------------------


def cycles(network: Network, hardware: Hardware) -> int:
    return simulate(network, hardware).cycles


def test_the_next_layers_filters_come_meanwhile() -> None:
    """Nine filters of 200 words at 1 B/cycle, while the array computes the layer before."""
    hardware = machine(split(filters="4 KiB"), dram={"bandwidth": "1 B/cycle"})
    first = cycles(chain((4, 12, 12), conv(2, 3)), hardware)
    second = cycles(chain((2, 10, 10), dense(9)), hardware)
    whole = simulate(chain((4, 12, 12), conv(2, 3), dense(9)), hardware)
    assert whole.cycles < first + second
    assert whole.layer("b").cycles < second  # what came early is no part of its window


def fork(*specs: LayerSpec) -> Network:
    return build_network("fork", {"x": (4, 12, 12)}, specs)


def test_a_pool_runs_beside_the_array() -> None:
    hardware = machine(dram={"bandwidth": "64 B/cycle", "latency": "0 cycles"})
    pool, array = LayerSpec("pool", max_pool(3, 1), ("x",)), LayerSpec("conv", conv(4, 3), ("x",))
    alone = [cycles(fork(spec), hardware) for spec in (pool, array)]
    together = cycles(fork(pool, array), hardware)
    assert together < sum(alone)
    assert together <= max(alone) + 20  # both load their first tile from the one channel


def test_a_branch_does_not_wait_for_its_sibling() -> None:
    """The short branch's own follower starts before the long branch, listed first, has ended."""
    network = fork(
        LayerSpec("long", conv(8, 3), ("x",)),
        LayerSpec("pool", max_pool(3), ("x",)),
        LayerSpec("pool_again", max_pool(2), ("pool",)),
    )
    result = simulate(network, machine())
    assert result.layer("pool_again").end_cycle < result.layer("long").end_cycle


def test_the_array_takes_the_layer_that_can_run() -> None:
    """While the pool runs, the layer after it waits, and the one listed behind starts at once."""
    network = fork(
        LayerSpec("pool", max_pool(3, 1), ("x",)),
        LayerSpec("after", conv(4, 3), ("pool",)),
        LayerSpec("free", conv(4, 3), ("x",)),
    )
    result = simulate(network, machine())
    assert result.layer("free").start_cycle < result.layer("pool").end_cycle
    assert result.layer("after").start_cycle >= result.layer("pool").end_cycle


def test_a_pool_is_not_starved_by_a_convolution_that_loads_ahead() -> None:
    """The convolution could fill all buffers with tiles that nobody waits for yet.

    The pool, whose tiles are small, takes hardly longer beside it than alone; and the convolution
    hardly longer than without the pool.
    """
    hardware = machine(split("1 KiB", "1 KiB", "2 KiB"), dram={"bandwidth": "16 B/cycle"})
    pool, array = LayerSpec("pool", max_pool(3, 1), ("x",)), LayerSpec("conv", conv(40, 5), ("x",))
    alone = [simulate(fork(spec), hardware).layers[0].cycles for spec in (pool, array)]
    together = simulate(fork(array, pool), hardware)
    assert together.layer("pool").cycles < 1.3 * alone[0]
    assert together.layer("conv").cycles < 1.1 * alone[1]


def test_arrays_share_the_channel() -> None:
    """Twice the arrays halve the time where computing bounds, but not where the DRAM does."""

    def on(count: int, bandwidth: str) -> int:
        hardware = machine(
            array={"count": count}, dram={"bandwidth": bandwidth, "latency": "0 cycles"}
        )
        return cycles(chain((8, 16, 16), conv(8)), hardware)

    assert on(2, "64 B/cycle") < 0.6 * on(1, "64 B/cycle")
    moved = 8 * 16 * 16 * 2 + 64
    assert on(1, "0.25 B/cycle") >= 4 * moved
    assert on(2, "0.25 B/cycle") >= 4 * moved


def test_transfers_of_all_arrays_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every transfer of two arrays: none begins before the last ends."""
    log: list[tuple[int, int]] = []

    class Logged(DramChannel):
        def begin(self, asker: Asker, what: Placed, cycles: int, is_write: bool) -> None:
            assert self.free_at <= self.clock.now
            super().begin(asker, what, cycles, is_write)
            log.append((self.clock.now, self.free_at))

    monkeypatch.setattr("accelsim.engine.observed.DramChannel", Logged)
    program = lower(chain((8, 8, 8), conv(8, 3)), machine(array={"count": 2}))
    play(program)
    assert all(schedule.nest for schedule in program.layers[0].schedules)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(log))
    sizes = [t.size for task in program.layers[0].all_tasks for t in task.step.transfers]
    assert sum(end - begin for begin, end in log) == sum(ceil(size / 4) for size in sizes)


# --- Cannot go on ---------------------------------------------------------------------------------


def test_a_stuck_machine_says_who_waits() -> None:
    """A Program whose tile does not fit its buffer: lowering would not make it."""
    program = lower(chain((1, 2, 2), conv(1)), machine())
    buffers = tuple(replace(space, size=3) for space in program.target.buffers)
    stuck = replace(program, target=replace(program.target, buffers=buffers))
    with pytest.raises(SimulationError, match="cannot go on") as caught:
        play(stuck)
    assert "layer a waits for 1 ofmap tiles" in str(caught.value)
    assert "ifmap has 3 bytes free; waiting for room: 4" in str(caught.value)
