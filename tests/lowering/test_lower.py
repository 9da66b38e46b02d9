"""From a network to its program, on machines as few would build them: what it takes at least."""

import numpy as np
import pytest
from cut_by_hand import played
from drawing import drawn
from drawn_networks import Draw, drawn_network
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, conv, machine, unified
from odd_machines import odd_machine

from accelsim.errors import DoesNotFitError
from accelsim.lowering.lower import _least_cycles, lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.target import Target
from accelsim.lowering.tiling import GemmTiling, VectorTiling
from accelsim.lowering.work import by_itself
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Relu

SEEDS = st.integers(0, 2**32 - 1)


def odd_program(seed: int, residency: str = "off", layers: int = 3) -> Program | None:
    """Of a small network of any layers on any machine; None where it does not fit."""
    draw = Draw(np.random.default_rng(seed))
    hardware, batch = odd_machine(draw, residency), draw.number(1, 3)
    try:
        return lower(drawn_network(seed, layers), hardware, batch)
    except DoesNotFitError:
        return None


def one_after_another(layer: LayerProgram, target: Target) -> int:
    """Cycles of all that a layer does, if nothing ever overlaps."""
    turns = sum(target.turnaround_cycles)
    cycles = 0
    for steps in layer.steps:
        for step, count in steps:
            moves = sum(
                target.occupied_cycles(transfer) + target.dram_latency + turns
                for transfer in step.transfers
            )
            kept = step.keep.cycles if step.keep else 0
            cycles += count * (moves + step.cycles + step.work.tail + kept)
    return cycles


@given(SEEDS)
@drawn(150, percent=6)
def test_a_program_takes_no_less_than_its_bound_and_no_more_than_all_in_turn(seed: int) -> None:
    """By the bound programs on chip are accepted unseen: were it too high, some would be slower."""
    program = odd_program(seed)
    if program is None:
        return
    cycles = played(program)
    assert _least_cycles(program) <= cycles
    assert cycles <= sum(one_after_another(layer, program.target) for layer in program.layers)
    rate = program.target.dram_bytes_per_cycle
    assert cycles * rate >= sum(layer.dram.total_bytes for layer in program.layers)
    macs = sum(layer.operations for layer in program.layers if layer.unit == "array")
    array = program.hardware.array
    assert cycles * array.rows * array.cols * array.count >= macs
    assert program.least_array_cycles <= cycles * array.count


def relu_in(tiles: int, latency: int) -> Program:
    """Two channels of 64 bytes through 4 lanes, in one tile or in two; DRAM moves 1 B/cycle."""
    dram = {"bandwidth": "1 B/cycle", "latency": f"{latency} cycles"}
    program = lower(chain((2, 8, 8), Relu()), machine(dram=dram))
    return by_itself(program, program.layers[0], VectorTiling(1, 2 // tiles, 8, 8, 1, 1))


@pytest.mark.parametrize("latency", [0, 100])
def test_a_single_tile_waits_twice(latency: int) -> None:
    """128 bytes come and go, and nothing fills the time between: the work of 32 cycles, neither."""
    program = relu_in(1, latency)
    assert _least_cycles(program) == 256 + 2 * latency
    assert played(program) == 256 + 2 * latency + 32


def test_loads_fill_the_latency_before_the_first_store_by_hand() -> None:
    """The second of two tiles comes while the first is on its way.

    Loads take 0-64 and 64-128; the first arrives at 164, its 64 elements take 16 cycles, stores
    take 180-244 and 244-308, and the last byte is there at 408. At least that is 256 cycles of
    DRAM, 36 of the first latency that no load fills, and the last latency.
    """
    program = relu_in(2, 100)
    assert played(program) == 408
    assert _least_cycles(program) == 256 + 36 + 100


def test_layers_in_a_row_wait_for_each_other_and_others_do_not() -> None:
    """Three layers in a row take three times as long as one; beside each other DRAM alone binds."""
    dram = {"bandwidth": "64 B/cycle", "latency": "100 cycles"}
    to = machine(dram=dram)
    one, three = (lower(chain((1, 6, 6), *[Relu()] * count), to) for count in (1, 3))
    assert _least_cycles(three) == 3 * _least_cycles(one)
    specs = [LayerSpec(name, Relu(), ("x",)) for name in "abc"]
    beside = lower(build_network("beside", {"x": (1, 6, 6)}, specs), to)
    assert _least_cycles(beside) == _least_cycles(one)


def test_rows_too_long_for_a_table_are_tiled_for_several_arrays() -> None:
    """No bound names shapes of tiles for several arrays: then there are none to look at."""
    layers = chain((16, 4, 4096), conv(24, kernel=3, padding=1))
    program = lower(layers, machine(array={"count": 2}), played=played)
    assert 2 * played(program) < played(lower(layers, machine(), played=played)) * 1.03


def test_a_layer_on_three_of_five_arrays_may_be_cut_in_two() -> None:
    """Three is half of five, and no number of arrays that the search for all of them tries."""
    one_pixel = chain((55, 1, 1), conv(51, kernel=3, padding=1))
    shape = {"count": 5, "rows": 8, "cols": 9, "dataflow": "os"}
    program = lower(
        one_pixel,
        machine(unified("7704 B"), shape, {"bandwidth": "16 B/cycle", "latency": "100 cycles"}),
        played=played,
    )
    assert isinstance(program.layers[0].tiling, GemmTiling)
    assert program.layers[0].tiling.arrays == 3
