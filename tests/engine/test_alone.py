"""A layer by itself takes the cycles that the machine of SimPy says, whatever it is."""

from dataclasses import replace

import pytest
from drawing import any_tilings, drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, machine, networks, split

from accelsim.engine.alone import can_be_alone, cycles_alone
from accelsim.engine.machine import play
from accelsim.errors import DoesNotFitError
from accelsim.facade import compile_program
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.tiling import CutTiling, GemmTiling, LoopOrder
from accelsim.lowering.work import by_itself
from accelsim.network.graph import Network

SMALL = machine(split("512 B", "512 B", "1 KiB"))


def apart(program: Program) -> list[Program]:
    """Each layer that has tasks by itself, as it is cut in the whole, with what is resident."""
    layers = [layer for layer in program.layers if layer.unit is not None]
    return [by_itself(program, layer, layer.tiling) for layer in layers if layer.tiling is not None]


def played(program: Program) -> int:
    return max(times.end for times in play(program, leaps=False))


lowered_somehow = any_tilings(lower)


@given(networks(), MACHINES, st.sampled_from([1, 1, 2, 3, 4]))
@drawn(80, percent=4)
def test_any_layer_takes_what_the_machine_says(
    network: Network, one_array: Hardware, arrays: int
) -> None:
    array = one_array.array.model_copy(update={"count": arrays})
    hardware = one_array.model_copy(update={"array": array})
    try:
        program = lowered_somehow(network, hardware)
    except DoesNotFitError:
        assume(False)
        raise
    for one in apart(program):
        assert can_be_alone(one)
        if one.layers[0].tiles < 4_000:
            assert cycles_alone(one) == played(one)


@pytest.mark.parametrize("arrays", [1, 3])
@pytest.mark.parametrize("order", LoopOrder)
def test_a_layer_cut_in_two_takes_what_the_machine_says(order: LoopOrder, arrays: int) -> None:
    """Psums come back from so many tiles behind, other in each part."""
    (layer,) = (program := lower(chain((12, 7, 5), conv(12, 3, padding=1)), SMALL)).layers
    first = GemmTiling(1, 1, 2, 3, 4, 4, 3, 3, order, "pixels", arrays)
    rest = GemmTiling(1, 1, 1, 5, 5, 5, 3, 3, order, "pixels", arrays)
    to = replace(program.target, arrays=arrays)
    cut = CutTiling(cut="rows", at=5, first=first, rest=rest)
    one = by_itself(replace(program, target=to), layer, cut)
    assert cycles_alone(one) == played(one) == max(times.end for times in play(one))


@pytest.mark.parametrize(
    "name",
    [
        *("edge_ws", "eyeriss"),
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("tpu_v1", "gemmini_16x16")),
    ],
)
def test_layers_of_alexnet_take_what_the_machine_says(name: str) -> None:
    layers = apart(compile_program("alexnet", name))
    assert [*map(cycles_alone, layers)] == [*map(played, layers)]
    assert len(layers) > 10


@given(st.integers(1, 6), st.integers(0, 300), st.integers(2_000, 30_000))
@drawn(20, percent=15)
def test_millions_of_tiles_take_what_leaps_say(rate: int, latency: int, side: int) -> None:
    dram = {"latency": f"{latency} cycles", "bandwidth": f"{rate} B/cycle"}
    hardware = machine(split("200 B", "200 B", "400 B"), dram=dram)
    (one,) = apart(lower(chain((40, side, side), conv(40)), hardware))
    assert one.layers[0].tiles > 1_000_000
    assert cycles_alone(one) == max(times.end for times in play(one))
