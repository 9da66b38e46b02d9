"""Programs of odd layers on odd machines: as they should be, and as their tasks add up."""

from collections import Counter
from dataclasses import replace

import numpy as np
from drawing import any_tilings, drawn
from drawn_networks import Draw, drawn_network
from hypothesis import given
from hypothesis import strategies as st
from machines import conv, machine
from odd_machines import odd_machine, odd_network

from accelsim.errors import DoesNotFitError
from accelsim.lowering.kernels import Alias, GemmKernel, VectorKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.spec import program_problems
from accelsim.lowering.task import Task
from accelsim.lowering.traffic import Counts, Dram, Inside, Sram
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Add, Relu

SEEDS = st.integers(0, 2**32 - 1)


@any_tilings
def odd_program(seed: int) -> Program | None:
    """Of layers of windows, or of any; on chip, or not. None where it does not fit."""
    draw = Draw(np.random.default_rng(seed))
    hardware, batch = odd_machine(draw, draw.one("on", "off")), draw.number(1, 3)
    network = odd_network(draw) if draw.often() else drawn_network(seed, 3)
    try:
        return lower(network, hardware, batch)
    except DoesNotFitError:
        return None


@given(SEEDS)
@drawn(200, percent=6)
def test_odd_programs_are_as_they_should_be(seed: int) -> None:
    """Every MAC once, every byte that is read loaded, all room given back: whatever is drawn."""
    program = odd_program(seed)
    if program is not None:
        assert [*map(str, program_problems(program))] == []


def added(kind: type[Counts], parts: list[Counts]) -> dict[str, int]:
    """Counts added up field by field."""
    total = Counter[str](dict.fromkeys(kind.__slots__, 0))
    for part in parts:
        total.update(part.as_dict())
    return dict(total)


def of_each(layer: LayerProgram) -> list[list[Task]]:
    return [[*schedule.tasks] for schedule in layer.schedules]


@given(SEEDS)
@drawn(100, percent=6)
def test_totals_are_those_of_all_tasks(seed: int) -> None:
    """Task by task, as they are listed, and not as they are counted in repeats."""
    program = odd_program(seed)
    if program is None:
        return
    for layer in program.layers:
        tasks = [task for each in of_each(layer) for task in each]
        steps = [task.step for task in tasks]
        assert layer.tiles == len(tasks)
        assert layer.dram.as_dict() == added(Dram, [step.dram for step in steps])
        assert layer.sram.as_dict() == added(Sram, [step.work.sram for step in steps])
        assert layer.inside.as_dict() == added(Inside, [step.work.inside for step in steps])
        moves = [transfer for step in steps for transfer in step.transfers]
        cycles = [(move.operand, program.target.occupied_cycles(move)) for move in moves]
        assert layer.dram_cycles(program.target) == sum(each for _, each in cycles)
        apart = sum(each for operand, each in cycles if operand != "filter")
        assert layer.dram_cycles(program.target, filters=False) == apart
        for array, own in enumerate(of_each(layer)):
            busy = sum(task.step.cycles for task in own)
            assert layer.busy_cycles(array) == busy + (own[-1].step.work.tail if own else 0)


@given(SEEDS)
@drawn(100, percent=6)
def test_work_is_that_of_the_layers(seed: int) -> None:
    """MACs of the whole network, however it is cut; bytes of each ofmap that leaves, once."""
    program = odd_program(seed)
    if program is None:
        return
    word = program.target.bytes_of("ofmap")
    for layer in program.layers:
        kernel, elsewhere = layer.kernel, layer.fused_into is not None
        if isinstance(kernel, Alias):
            assert layer.tiles == 0
            continue
        if isinstance(kernel, GemmKernel):
            assert layer.operations == kernel.macs
            written = kernel.written_words
        else:
            assert isinstance(kernel, VectorKernel)
            written = kernel.outputs
        assert not elsewhere
        stored = layer.placement.residence.stored
        assert layer.dram.ofmap_write_bytes == written * word * stored


# --- Fields by hand -------------------------------------------------------------------------------

SPECS = [
    LayerSpec("a", conv(2), ("x",)),
    LayerSpec("b", Relu(), ("a",)),
    LayerSpec("c", Add(), ("a", "b")),
]
NETWORK = build_network("three", {"x": (2, 4, 4)}, SPECS)


def test_each_layer_needs_those_that_it_reads() -> None:
    program = lower(NETWORK, machine())
    assert [layer.needs for layer in program.layers] == [(), (0,), (0, 1)]
    assert [layer.unit for layer in program.layers] == ["array", "vector", "vector"]
    assert program.flows == ("ws", None, None)


def test_another_network_of_the_same_layers_has_its_own_names() -> None:
    """Nothing else of the program changes."""
    program = lower(NETWORK, machine())
    names = {"x": "x", "a": "d", "b": "e", "c": "f"}
    specs = [
        LayerSpec(names[each.name], each.op, tuple(names[name] for name in each.inputs))
        for each in SPECS
    ]
    other = program.of(build_network("others", {"x": (2, 4, 4)}, specs))
    assert [layer.layer.name for layer in other.layers] == ["d", "e", "f"]
    pairs = zip(other.layers, program.layers, strict=True)
    assert all(replace(new, layer=old.layer) == old for new, old in pairs)


def test_a_layer_with_a_dataflow_of_its_own() -> None:
    program = replace(lower(NETWORK, machine()), dataflows=("is", None, None))
    assert program.flows == ("is", None, None)
    assert program.dataflow_of(0) == "is"
