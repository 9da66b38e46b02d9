"""Each layer under the dataflow that is best for it: against every dataflow by itself."""

import pytest
from drawing import drawn
from hypothesis import given
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, unified

from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.facade import compare, simulate, verify
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware, Objective
from accelsim.network.graph import Network
from accelsim.results.best_dataflow import cost_of_run

pytestmark = pytest.mark.usefixtures("one_memory")

NETWORK = chain((3, 8, 8), conv(8, 3), max_pool(2), dense(40))
FLOWS = ("os", "ws", "is")


def wanted(objective: Objective) -> Hardware:
    settings = [f"array.objective={objective}", "energy=horowitz_45nm", "array.dataflow=best"]
    return load_hardware("edge_ws", settings)


@pytest.mark.parametrize("objective", ["time", "energy", "edp"])
def test_lenet_is_better_than_under_any_dataflow(objective: Objective) -> None:
    hardware = wanted(objective)
    best = simulate("lenet5", hardware)
    each = [simulate("lenet5", hardware, flow) for flow in FLOWS]
    assert cost_of_run(best, objective) < min(cost_of_run(run, objective) for run in each)
    assert {layer.dataflow for layer in best.layers if layer.gemm} > {"os"}
    assert {layer.dataflow for layer in best.layers if not layer.gemm} == {None}
    assert best.dataflow == "best"
    assert best.as_dict()["layers"][0]["dataflow"] == best.layers[0].dataflow


def test_a_chain_takes_each_layer_at_its_best() -> None:
    """LeNet's layers follow each other and stay on chip, so that they do not disturb each other."""
    (comparison,) = compare("lenet5", "edge_ws", "os,ws,is")
    assert simulate("lenet5", "edge_ws", "best").cycles == comparison.mixed_own_cycles


@drawn(25, percent=10)
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
    with pytest.raises(InputError, match="a mapping is of one dataflow"):
        simulate(NETWORK, "edge_ws", "best", mapping={"*": {"batch": 1}})
    with pytest.raises(DoesNotFitError) as caught:
        simulate(chain((1, 9, 9), conv(1, 5)), machine(unified("10 B")), "best")
    assert [line[:3] for line in str(caught.value).splitlines()] == ["os:", "ws:", "is:"]
