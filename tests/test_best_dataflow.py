"""Each layer under the dataflow that is best for it: against every dataflow by itself."""

from dataclasses import replace
from itertools import pairwise

import pytest
from drawing import drawn
from hypothesis import given
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, unified

from accelsim.engine.machine import play
from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.facade import compare, compile_program, simulate, verify
from accelsim.frontend.hardware_file import load_hardware
from accelsim.given import hardware_of
from accelsim.hardware import DataflowName, Hardware, Objective
from accelsim.network.graph import Network
from accelsim.results.best_dataflow import cost_of_run
from accelsim.results.player import timed

NETWORK = chain((3, 8, 8), conv(8, 3), max_pool(2), dense(40))
FLOWS = ("os", "ws", "is")


def wanted(objective: Objective) -> Hardware:
    settings = [f"array.objective={objective}", "energy=horowitz_45nm", "array.dataflow=best"]
    return load_hardware("edge_ws", settings)


@pytest.mark.parametrize(
    ("network", "objective"),
    [
        ("lenet5", "time"),
        (NETWORK, "edp"),
        *(pytest.param("lenet5", other, marks=pytest.mark.slow) for other in ("energy", "edp")),
    ],
    ids=["lenet-time", "small-edp", "lenet-energy", "lenet-edp"],
)
def test_it_is_better_than_any_one_dataflow(network: str | Network, objective: Objective) -> None:
    hardware = wanted(objective)
    best = simulate(network, hardware)
    each = [simulate(network, hardware, flow) for flow in FLOWS]
    assert cost_of_run(best, objective) < min(cost_of_run(run, objective) for run in each)
    assert {layer.dataflow for layer in best.layers if layer.gemm} > {"os"}
    assert {layer.dataflow for layer in best.layers if not layer.gemm} == {None}
    assert best.dataflow == "best"
    assert best.as_dict()["layers"][0]["dataflow"] == best.layers[0].dataflow


def test_a_chain_takes_each_layer_at_its_best() -> None:
    """LeNet's layers follow each other and stay on chip, so that they do not disturb each other."""
    (comparison,) = compare("lenet5", "edge_ws", "os,ws,is")
    best = simulate("lenet5", "edge_ws", "best", set=["array.changeover=0"])
    assert best.cycles == comparison.mixed_own_cycles


@pytest.mark.slow
@drawn(25)
@given(networks(), MACHINES)
def test_never_slower_than_one_dataflow(network: Network, hardware: Hardware) -> None:
    try:
        best = simulate(network, hardware, "best").cycles
    except DoesNotFitError:
        best = 0
    for flow in FLOWS:
        try:
            cycles = simulate(network, hardware, flow).cycles
        except DoesNotFitError:
            continue
        assert 0 < best <= cycles or cycles == 0


def test_its_values_are_right_and_its_layers_explained() -> None:
    assert verify(NETWORK, "edge_ws", "best").passed
    result = simulate(NETWORK, "edge_ws", "best")
    for layer in result.layers:
        if layer.gemm:
            assert explain(NETWORK, "edge_ws", layer.name, "best").dataflow == layer.dataflow


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="needs an energy table"):
        simulate(NETWORK, load_hardware("edge_ws", ["array.objective=edp"]), "best")
    with pytest.raises(InputError, match="needs a dataflow, one of os, ws, is"):
        simulate(NETWORK, "edge_ws", "best", mapping={"*": {"batch": 1}})
    with pytest.raises(DoesNotFitError) as caught:
        simulate(chain((1, 9, 9), conv(1, 5)), machine(unified("10 B")), "best")
    assert [line[:3] for line in str(caught.value).splitlines()] == ["os:", "ws:", "is:"]


DENSE = chain((64,), dense(64), dense(64), dense(64), dense(64))


def taking(flows: tuple[DataflowName, ...], *settings: str) -> list[int]:
    """When dense layers end, each under a dataflow of its own, where DRAM is fast."""
    free = ["dram.bandwidth=1 TB/s", "dram.latency=0 ns", *settings]
    programs = {flow: compile_program(DENSE, hardware_of("edge_ws", flow, free)) for flow in FLOWS}
    layers = tuple(programs[flow].layers[place] for place, flow in enumerate(flows))
    program = replace(programs["ws"], layers=layers, dataflows=flows)
    return [layer.end_cycle for layer in timed(program).layers]


@pytest.mark.parametrize("flows", [("ws", "ws", "os", "os"), ("os", "ws", "is", "ws")])
@pytest.mark.parametrize("overlap", ["serial", "pipelined"])
def test_changing_over_takes_its_cycles(flows: tuple[DataflowName, ...], overlap: str) -> None:
    """Each change before a layer delays its end, and those of all behind it."""
    settings = [f"array.fold_overlap={overlap}"]
    free, dear = (taking(flows, *settings, f"array.changeover={n}") for n in (0, 5000))
    before = [0, *(5000 * (one != then) for one, then in pairwise(flows))]
    delays = [later - end for later, end in zip(dear, free, strict=True)]
    hidden = 200  # at most, of each change: what the layer waits for anyway
    for place, delay in enumerate(delays):
        changes = sum(before[: place + 1])
        assert changes - hidden * (changes // 5000) <= delay <= changes
    assert taking(("ws",) * 4, *settings) == taking(("ws",) * 4, *settings, "array.changeover=5000")


def test_auto_is_a_cycle_for_each_row() -> None:
    flows: tuple[DataflowName, ...] = ("os", "ws", "is", "ws")
    assert taking(flows) == taking(flows, "array.changeover=32")


@pytest.mark.parametrize("objective", ["time", pytest.param("edp", marks=pytest.mark.slow)])
def test_where_changing_is_dear_it_changes_less(objective: Objective) -> None:
    settings = [f"array.objective={objective}", "energy=horowitz_45nm"]
    changes = []
    for cycles in (0, 2**20):
        chip = load_hardware("edge_ws", [*settings, f"array.changeover={cycles}"])
        flows = [each.dataflow for each in simulate("lenet5", chip, "best").layers if each.gemm]
        changes.append(sum(one != then for one, then in pairwise(flows)))
    assert changes[0] > changes[1] == 0


def test_leaping_changes_nothing_where_dataflows_change() -> None:
    program = compile_program("lenet5", load_hardware("edge_npu"), "best", batch=5)
    forced = replace(program, dataflows=tuple("os" if i % 4 else "ws" for i in range(7)))
    assert play(forced) == play(forced, leaps=False)
