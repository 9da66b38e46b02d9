"""Row stationary in the engine: blocks that fill the buffers, beside pools and other arrays."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from drawing import any_tilings, drawn, is_plain
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import (
    MACHINES,
    SPADS,
    chain,
    conv,
    dense,
    machine,
    max_pool,
    networks,
    split,
    unified,
)
from oracles.pipeline import Pipeline

from accelsim.engine.clock import Clock
from accelsim.engine.machine import play
from accelsim.engine.memory import Asker, Buffer
from accelsim.errors import DoesNotFitError
from accelsim.given import with_dataflow
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.row_stationary import Mapping
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.results import RunResult
from accelsim.results.player import timed

SLOW_SPADS = SPADS | {"ifmap_spad": 1, "filter_spad": 6, "psum_spad": 1}
ROWS = MACHINES.map(lambda hardware: with_dataflow(hardware, "rs"))


@any_tilings
def lowered(network: Network, hardware: Hardware, batch: int = 1) -> Program:
    try:
        return lower(network, hardware, batch)
    except DoesNotFitError:
        assume(False)
        raise


@contextmanager
def checked_buffers() -> Iterator[list[Buffer]]:
    """Every buffer of the machines built meanwhile; none is ever overcommitted."""
    made: list[Buffer] = []

    class Checked(Buffer):
        def __init__(self, clock: Clock, name: str, size: int, index: int) -> None:
            super().__init__(clock, name, size, index)
            made.append(self)

        def take(self, asker: Asker, size: int, space: int) -> None:
            super().take(asker, size, space)
            assert 0 <= self.free <= self.size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.engine.observed.Buffer", Checked)
        yield made


@given(networks(), ROWS, st.integers(1, 2))
@drawn(150)
def test_laws_of_a_run(network: Network, hardware: Hardware, batch: int) -> None:
    program = lowered(network, hardware, batch)
    goes_on_and_gives_all_room_back(program, hardware)
    result = timed(program)
    keeps_its_bounds_and_buckets(program, result)
    is_no_later_than_one_after_another(program, result)


def goes_on_and_gives_all_room_back(program: Program, hardware: Hardware) -> None:
    with checked_buffers() as buffers:
        play(program)
    assert len(buffers) == hardware.array.count * (len(hardware.buffers) + 1)
    assert all(buffer.free == buffer.size for buffer in buffers)
    assert not any(buffer.waiting for buffer in buffers)


def keeps_its_bounds_and_buckets(program: Program, result: RunResult) -> None:
    hardware = program.hardware
    assert result.cycles * hardware.pes >= result.macs
    assert result.cycles * hardware.dram_bytes_per_cycle >= result.dram.total_bytes
    for layer, times in zip(program.layers, result.layers, strict=True):
        assert sum(times.buckets.values()) == times.cycles
        assert min(times.buckets.values()) >= 0
        assert (times.mapping is not None) == isinstance(layer.tiling, Mapping)
        assert (layer.unit == "array") == (times.mapping is not None)
        assert 0 <= times.mapping_efficiency <= 1
        assert times.dram.psum_read_bytes == times.dram.psum_write_bytes == 0


def is_no_later_than_one_after_another(program: Program, result: RunResult) -> None:
    target = program.target
    alone = sum(
        task.step.cycles
        + sum(target.transfer_cycles(t.size) + target.dram_latency for t in task.step.transfers)
        for layer in program.layers
        for task in layer.all_tasks
    )
    assert result.cycles <= alone


@pytest.mark.parametrize("dataflow", ["os", "rs"])
def test_a_layer_alone_waits_for_no_other(dataflow: str) -> None:
    buffers = split("40 B", "40 B", "40 B") if dataflow == "os" else unified("40 B")
    array = {"rows": 1, "cols": 1, "dataflow": dataflow, "row_stationary": SLOW_SPADS}
    dram = {"bandwidth": "1 B/cycle", "latency": "0 cycles", "burst": "16 B"}
    shape, op = ((2, 6, 6), conv(2, 3, 2, 1)) if dataflow == "os" else ((1, 1, 1), conv(1, 1, 1, 1))
    (layer,) = timed(lower(chain(shape, op), machine(buffers, array, dram))).layers
    assert layer.buckets.other_layer == 0


TIGHT = build_network(
    "tight",
    {"x": (3, 6, 6)},
    [
        LayerSpec("conv", conv(4, 3, padding=1), ("x",)),
        LayerSpec("pool", max_pool(3, 1, 1), ("x",)),
        LayerSpec("after_pool", conv(4, 3, padding=1), ("pool",)),
        LayerSpec("pool_again", max_pool(3, 1, 1), ("conv",)),
        LayerSpec("last", conv(2, 3), ("pool_again",)),
    ],
)


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("make", [unified, lambda size: split(size, size, size)])
def test_buffers_that_just_fit_do_not_block(count: int, make: object) -> None:
    """The smallest buffers that lowering accepts, and the next ones: never stuck."""
    played, enough = 0, 2 if is_plain() else 6
    for size in range(40, 140, 3):
        if played == enough:
            break
        array = {"dataflow": "rs", "count": count}
        try:
            program = lower(TIGHT, machine(make(f"{size} B"), array))  # type: ignore[operator]
        except DoesNotFitError:
            assert not played, "a larger buffer fits less"
            continue
        with checked_buffers():
            play(program)
        played += 1
    assert played == enough


# --- By hand --------------------------------------------------------------------------------------


def test_one_pass() -> None:
    """1x1 convolution of 4 pixels in 2 rows of 2 columns, 1 channel, 1 filter; 1 x 2 PEs at work.

    Filter: 1 word at 4 a cycle, 1 cycle; the first windows: 2 rows of 1 word at 1 a cycle, 2; a
    chain of 1 PE of 2 stages, 2. Then 2 columns of 1 MAC; the rest of the ifmap, 2 words, takes 2
    and 4 psums of 4 B at 8 B/cycle take 2. 1 + 2 + 2 + 2 = 7.
    DRAM: ifmap 4 B in cycle 0, filter 1 B in cycle 1, there at 12; 12..19; ofmap 19..20, at 30.
    """
    program = lower(chain((1, 2, 2), conv(1)), machine(array={"dataflow": "rs"}))
    assert program.layers[0].tiling == Mapping(
        m=1, n=1, e=2, p=1, q=1, r=1, t=1, f=2, tap_rows=1, tap_cols=1
    )
    (times,) = play(program)
    assert (times.start, times.read_wait, times.write_wait, times.end) == (0, 12, 11, 30)
    (layer,) = timed(program).layers
    buckets = layer.buckets
    assert (layer.array_cycles, buckets.fill_drain, buckets.buffer) == (7, 5, 0)
    assert (buckets.useful, buckets.idle_pes) == (0, 2)  # 4 MACs are less than a cycle of 12 PEs


def test_the_next_layers_filters_wait_for_its_inputs() -> None:
    """A block takes all its room at once, so nothing of it comes before its ifmap exists."""
    network = chain((1,), dense(1), dense(1))
    first, second = play(lower(network, machine(array={"dataflow": "rs"})))
    assert second.start == first.end
    assert second.end - second.start == first.end - first.start


@given(networks(), ROWS)
@drawn(60)
def test_every_array_layer_alone_is_played_as_stepped(network: Network, hardware: Hardware) -> None:
    array = hardware.array.model_copy(update={"count": 1})
    program = lowered(network, hardware.model_copy(update={"array": array}))
    layer = program.layers[0]
    assume(layer.unit == "array")
    alone = Program(program.network, program.hardware, program.batch, program.target, (layer,))
    (times,) = play(alone)
    assert times.end == Pipeline(layer.schedules[0], program.target).play()
