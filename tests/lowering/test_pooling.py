"""Pooling on the way out of the array, and what is added there where it lies on chip."""

from dataclasses import replace
from typing import Literal

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, split, unified

from accelsim.errors import DoesNotFitError
from accelsim.explanation import explain
from accelsim.facade import compile_program, simulate, verify
from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import Hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.search import search
from accelsim.lowering.spec import program_problems
from accelsim.lowering.target import Residence
from accelsim.lowering.units import lowered
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, AvgPool, MaxPool, Op, Relu
from accelsim.report.explanation import explanation_sheets

SLOW = machine(split("64 B", "64 B", "64 B"), dram={"bandwidth": "1 B/cycle"}, lanes=1)


def with_fused(hardware: Hardware, kinds: str = "activation, add, pool") -> Hardware:
    return with_settings(hardware, [f"fused=[{kinds}]"])


@st.composite
def pooled_networks(draw: st.DrawFn) -> Network:
    """A convolution, perhaps a function, a pool of any form that a small map allows, a reader."""
    sides = st.integers(3, 9)
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    kind = draw(st.sampled_from([MaxPool, AvgPool]))
    before, after = (draw(st.integers(0, (size - 1) // 2)) for size in kernel)
    pool = kind(
        kernel=kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=(before, before, after, after),
        ceil_mode=draw(st.booleans()),
    )
    some: list[Op] = [conv(draw(st.integers(1, 5)), 3, 1, 1), *[Relu()] * draw(st.integers(0, 1))]
    return chain((draw(st.integers(1, 3)), draw(sides), draw(sides)), *some, pool, dense(2))


@given(pooled_networks(), MACHINES, st.integers(1, 2), st.sampled_from(["ws", "os", "is"]))
@drawn(30, percent=10)
def test_windows_lie_in_tiles_and_all_leave_once(
    network: Network, hardware: Hardware, batch: int, dataflow: Literal["ws", "os", "is"]
) -> None:
    """Also where it would not be taken, for it is not faster: nobody plays here."""
    array = hardware.array.model_copy(update={"dataflow": dataflow})
    machine = with_fused(hardware.model_copy(update={"array": array}))
    try:
        program = lower(network, machine, batch)
    except DoesNotFitError:
        return
    assert [*map(str, program_problems(program))] == []
    pool, base = program.layers[-2], program.layers[0]
    if pool.fused_into:
        there, kernel = base.placement.residence, base.kernel
        assert isinstance(kernel, GemmKernel)
        words = batch * pool.layer.output_elements
        size = program.target.bytes_of("ofmap")
        assert base.dram.ofmap_write_bytes == words * there.stored * size
        assert base.leaves_as == pool.layer.name
        ranks = search(program.target)(kernel, there)
        cost = ranks.cost_of(base.tiling, base.placement.space)  # type: ignore[union-attr, arg-type]
        assert cost.dram_bytes == base.dram.total_bytes or program.target.arrays > 1
    else:
        assert pool.apart


@pytest.mark.slow
@given(pooled_networks(), MACHINES, st.integers(1, 2))
@drawn(20)
def test_values_are_those_of_layers_one_after_another(
    network: Network, hardware: Hardware, batch: int
) -> None:
    try:
        found = verify(network, with_fused(hardware), batch=batch)
    except DoesNotFitError:
        return
    assert found.passed


def test_bytes_by_hand() -> None:
    """Four maps of 8 x 8 leave as four of 4 x 4, and are not read again."""
    network = chain((4, 8, 8), conv(4), max_pool(2))
    apart, together = (simulate(network, each) for each in (SLOW, with_fused(SLOW)))
    assert together.dram.ofmap_write_bytes == 4 * 4 * 4
    assert apart.dram.ofmap_write_bytes == 4 * 8 * 8 + 4 * 4 * 4
    conv_layer, pool = together.layers
    assert (pool.tiles, pool.fused_into, pool.dram.total_bytes) == (0, "a", 0)
    assert conv_layer.tiling.rows % 2 == 0  # type: ignore[union-attr]
    assert together.cycles < apart.cycles
    assert verify(network, with_fused(SLOW)).passed


def test_a_window_that_is_lost_is_found() -> None:
    network = chain((4, 8, 8), conv(4), max_pool(2))
    program = lower(network, with_fused(SLOW))
    base, kernel = program.layers[0], program.layers[0].kernel
    assert isinstance(kernel, GemmKernel)
    assert kernel.pooled is not None
    rows, cols = kernel.pooled
    other = replace(kernel, pooled=(replace(rows, kernel=3), cols))
    wrong = replace(program, layers=(replace(base, kernel=other), *program.layers[1:]))
    assert any("pooled" in str(each) or "finished" in str(each) for each in program_problems(wrong))


def test_windows_that_overlap_need_whole_maps() -> None:
    network = chain((4, 9, 9), conv(4), MaxPool(kernel=(3, 3), stride=(2, 2)))
    roomy = with_fused(machine(split("4 KiB", "4 KiB", "4 KiB"), dram={"bandwidth": "1 B/cycle"}))
    base = compile_program(network, roomy).layers[0]
    assert base.tiling.rows == base.tiling.cols == 9  # type: ignore[union-attr]
    told = explain(network, with_fused(SLOW), "b")
    assert told.apart
    assert "overlap" in told.apart
    notes = [note for sheet in explanation_sheets(told) for note in sheet.notes]
    assert any(note.startswith("It is not fused on the way out") for note in notes)
    assert explain(network, SLOW, "b").apart is None


def test_what_no_convolution_makes_alone_is_pooled_by_itself() -> None:
    specs = [
        LayerSpec("a", conv(4), ("x",)),
        LayerSpec("p", MaxPool(kernel=(2, 2)), ("a",)),
        LayerSpec("b", conv(4), ("a",)),
        LayerSpec("q", MaxPool(kernel=(2, 2)), ("x",)),
    ]
    network = build_network("graph", {"x": (4, 8, 8)}, specs)
    for name in "pq":
        assert "alone" in str(explain(network, with_fused(SLOW), name).apart)


RESIDUAL = build_network(
    "residual",
    {"x": (4, 8, 8)},
    [
        LayerSpec("a", conv(4), ("x",)),
        LayerSpec("b", conv(4, 3, 1, 1), ("a",)),
        LayerSpec("add", Add(), ("b", "a")),
        LayerSpec("c", conv(2), ("add",)),
    ],
)
ON_CHIP = machine(unified("4 KiB"), residency="on", dram={"bandwidth": "1 B/cycle"})


def test_an_addend_on_chip_crosses_no_dram() -> None:
    """Only the network's input, its filters, and what leaves it do."""
    hardware = with_fused(ON_CHIP)
    result = simulate(RESIDUAL, hardware)
    summed = result.layers[1]
    assert result.layers[2].fused_into == "b"
    assert summed.dram.ifmap_read_bytes == 0
    assert summed.resident.ifmap_bytes == 2 * 4 * 8 * 8
    assert result.dram.ifmap_read_bytes == 4 * 8 * 8
    assert verify(RESIDUAL, hardware).passed
    told = explain(RESIDUAL, hardware, "b")
    assert told.resident == ("ifmap", "addend", "ofmap")
    assert "addend" not in {each.operand for each in told.moved}


def test_what_is_added_is_read_where_it_lies() -> None:
    """Each word of it once, as the results leave."""
    program = compile_program(RESIDUAL, with_fused(ON_CHIP))
    layer = program.layers[1]
    here, there = (
        lowered(layer.kernel, replace(program.target, residence=each), layer.tiling).schedules[0]
        for each in (Residence((True, True)), Residence((True,)))
    )
    assert here.sram.ifmap_reads - there.sram.ifmap_reads == 4 * 8 * 8
    assert there.dram.ifmap_read_bytes - here.dram.ifmap_read_bytes == 4 * 8 * 8


@pytest.mark.parametrize("residency", ["on", "off"])
def test_the_cost_knows_what_is_added(residency: str) -> None:
    hardware = with_settings(with_fused(ON_CHIP), [f"residency={residency}"])
    program = compile_program(RESIDUAL, hardware)
    layer, target = program.layers[1], program.target
    assert isinstance(layer.kernel, GemmKernel)
    assert layer.kernel.addend
    ranks = search(target)(layer.kernel, layer.placement.residence)
    cost = ranks.cost_of(layer.tiling, layer.placement.space)  # type: ignore[union-attr, arg-type]
    assert cost.dram_bytes == layer.dram.total_bytes
