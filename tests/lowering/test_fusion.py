"""Element-wise work on the way out of the array."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from drawing import any_tilings, drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, networks, split, tangled_networks

from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.facade import compile_program, simulate, train, verify
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.hardware import Hardware
from accelsim.lowering.fusion import fused
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.spec import program_problems
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, Op, Relu, Shape, Sigmoid
from accelsim.report.explanation import explanation_sheets
from accelsim.report.run import run_sheets

BOTH = ("activation", "add")


def with_fused(hardware: Hardware, kinds: str = "activation, add") -> Hardware:
    return with_settings(hardware, [f"fused=[{kinds}]"])


def graph(shape: Shape, **layers: tuple[Op, str]) -> Network:
    """Layers by name with their inputs, separated by spaces."""
    specs = [LayerSpec(name, op, tuple(reads.split())) for name, (op, reads) in layers.items()]
    return build_network("graph", {"x": shape}, specs)


RESIDUAL = graph(
    (4, 8, 8),
    a=(conv(4), "x"),
    b=(conv(4, 3, 1, 1), "a"),
    add=(Add(), "b a"),
    relu=(Relu(), "add"),
    c=(conv(2), "relu"),
)
SLOW = machine(split("64 B", "64 B", "64 B"), dram={"bandwidth": "1 B/cycle"}, lanes=1)


def into(network: Network, *kinds: str) -> tuple[dict[str, str], dict[str, str]]:
    found = fused(network, kernels_of(network, 1), kinds)  # type: ignore[arg-type]
    return dict(found.into), dict(found.addends)


def test_what_rides_on_what() -> None:
    assert into(RESIDUAL, *BOTH) == ({"add": "b", "relu": "b"}, {"b": "a"})
    assert into(RESIDUAL, "add") == ({"add": "b"}, {"b": "a"})
    assert into(RESIDUAL, "activation") == ({}, {})


def test_a_branch_that_comes_later_takes_the_sum() -> None:
    """A shortcut made last adds what the long way has made."""
    network = graph((4, 4, 4), a=(conv(4), "x"), b=(conv(4), "x"), add=(Add(), "a b"))
    assert into(network, *BOTH) == ({"add": "b"}, {"b": "a"})


def test_the_networks_own_input_can_be_added() -> None:
    network = graph((4, 4, 4), a=(conv(4), "x"), add=(Add(), "a x"), s=(Sigmoid(), "add"))
    assert into(network, *BOTH) == ({"add": "a", "s": "a"}, {"a": "x"})


@pytest.mark.parametrize(
    "network",
    [
        # two readers; the same twice; a channel's value each; three at once; nothing on the array
        graph((4, 4, 4), a=(conv(4), "x"), add=(Add(), "a x"), b=(conv(4), "a")),
        graph((4, 4, 4), a=(conv(4), "x"), add=(Add(), "a a")),
        graph((4, 4, 4), a=(conv(4), "x"), p=(conv(4, 4), "x"), add=(Add(), "a p")),
        graph((4, 4, 4), a=(conv(4), "x"), b=(conv(4), "x"), add=(Add(), "a b x")),
        graph((4, 4, 4), r=(Relu(), "x"), add=(Add(), "r x")),
    ],
)
def test_what_does_not_ride(network: Network) -> None:
    assert into(network, *BOTH) == ({}, {})


def test_only_one_tensor_is_added() -> None:
    network = graph((4, 4, 4), a=(conv(4), "x"), one=(Add(), "a x"), two=(Add(), "one x"))
    assert into(network, *BOTH) == ({"one": "a"}, {"a": "x"})


def test_bytes_by_hand() -> None:
    """The sum crosses DRAM once each way: its addend comes, and it goes, as large as one map.

    By itself it also reads the ofmap of the convolution, which that has written.
    """
    network = graph((4, 8, 8), a=(conv(4), "x"), add=(Add(), "a x"))
    apart, together = (simulate(network, each) for each in (SLOW, with_fused(SLOW)))
    one = 4 * 8 * 8
    assert apart.dram.write_bytes - together.dram.write_bytes == one
    assert together.dram.write_bytes == one
    first, added = together.layers
    assert (added.tiles, added.fused_into, first.fused_into) == (0, "a", None)
    assert added.as_dict()["fused_into"] == "a"
    assert "fused_into" not in first.as_dict()
    assert together.cycles < apart.cycles
    program = compile_program(network, with_fused(SLOW))
    loads = [
        (load.size, count)
        for steps in program.layers[0].steps
        for step, count in steps
        for load in step.loads
        if load.addend
    ]
    assert sum(size * count for size, count in loads) == one


@pytest.mark.slow
@given(networks(), MACHINES, st.integers(1, 2))
@drawn(60)
def test_programs_and_values_are_as_they_should_be(
    network: Network, hardware: Hardware, batch: int
) -> None:
    try:
        found = verify(network, with_fused(hardware), batch=batch)
    except DoesNotFitError:
        return
    assert found.passed


lowered_somehow = any_tilings(lower)


@given(tangled_networks(), MACHINES)
@drawn(40, percent=12)
def test_what_is_fused_obeys_the_spec(network: Network, hardware: Hardware) -> None:
    """Also where it would not be taken, for it is not faster: nobody plays here."""
    array = hardware.array.model_copy(update={"dataflow": "ws"})
    try:
        fused = with_fused(hardware.model_copy(update={"array": array}))
        program = lowered_somehow(network, fused)
    except DoesNotFitError:
        return
    assert [*map(str, program_problems(program))] == []
    riding = {layer.layer.name for layer in program.layers if layer.fused_into}
    assert riding == into(network, *BOTH)[0].keys()
    for layer in program.layers:
        if layer.layer.name in riding:
            assert layer.tiles == 0
        elif layer.addend:
            assert layer.dram.ifmap_read_bytes >= layer.layer.output_elements


def test_a_lost_addend_is_found() -> None:
    program = lower(RESIDUAL, with_fused(SLOW))
    layer = program.layers[1]
    assert isinstance(layer.kernel, GemmKernel)
    other = replace(layer, kernel=replace(layer.kernel, addend=False))
    wrong = replace(program, layers=(program.layers[0], other, *program.layers[2:]))
    assert any("added to its results" in str(each) for each in program_problems(wrong))


@pytest.mark.parametrize("dataflow", ["os", "rs", pytest.param("best", marks=pytest.mark.slow)])
def test_no_run_is_slower(dataflow: str) -> None:
    array = SLOW.array.model_copy(update={"dataflow": dataflow})
    hardware = SLOW.model_copy(update={"array": array})
    apart, together = (simulate(RESIDUAL, each) for each in (hardware, with_fused(hardware)))
    assert together.cycles <= apart.cycles
    assert together.macs == apart.macs
    if dataflow == "rs":
        assert together.cycles == apart.cycles
    else:
        assert together.cycles < apart.cycles
    assert verify(RESIDUAL, with_fused(hardware)).passed


def test_the_trace_has_the_addend(tmp_path: Path) -> None:
    path = tmp_path / "port.csv"
    result = simulate(RESIDUAL, with_fused(SLOW), trace_dram=path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert sum(int(line["bytes"]) for line in lines) == result.dram.total_bytes
    read = sum(
        int(line["bytes"]) for line in lines if (line["layer"], line["tensor"]) == ("b", "a")
    )
    assert read == result.layers[1].dram.ifmap_read_bytes > 4 * 8 * 8


def test_a_step_of_training_keeps_what_it_reads() -> None:
    floats = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    network = chain((2, 4, 4), conv(2), Relu(), dense(3))
    step = train(network, with_fused(with_settings(machine(), [floats])), batch=2)
    assert step.cycles <= train(network, with_settings(machine(), [floats]), batch=2).cycles


def test_what_is_no_kind_is_refused() -> None:
    assert load_hardware("edge_ws").fused == ()
    with pytest.raises(InputError, match="fused"):
        with_fused(machine(), "norm")
    with pytest.raises(InputError, match="add is named twice; keep one"):
        with_fused(machine(), "add, add")


def test_what_is_fused_is_told_as_that() -> None:
    hardware = with_fused(SLOW)
    told = "\n".join(
        note for sheet in run_sheets(simulate(RESIDUAL, hardware), hardware) for note in sheet.notes
    )
    assert "Fused on the way out: add into b, relu into b." in told
    assert "same bytes" not in told
    (only,) = explanation_sheets(explain(RESIDUAL, hardware, "relu"))
    assert only.notes == ("It is fused into b, on the way out.",)


def test_explain_tells_the_addend_by_itself() -> None:
    told = {each.operand: each for each in explain(RESIDUAL, with_fused(SLOW), "b").moved}
    assert told["addend"].total_bytes == 4 * 8 * 8
    assert told["addend"].way == "read from DRAM"


def test_explain_says_how_many_images_are_computed_at_a_time() -> None:
    hardware = with_settings(SLOW, ["batch_split=2"])
    first = explanation_sheets(explain(RESIDUAL, hardware, "b", batch=5))[0]
    assert "batch 2 of 5, a part at a time" in str(first.title)
