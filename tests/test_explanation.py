"""What is told of a layer is what the program of the run does."""

import math

import pytest

import accelsim
from accelsim.errors import InputError

pytestmark = pytest.mark.usefixtures("one_memory")


@pytest.mark.parametrize("hardware", ["edge_ws", "tpu_v1", "gemmini_16x16"])
@pytest.mark.parametrize("layer", ["C3", "F6"])
def test_loops_make_the_tiles_and_transfers_the_traffic(hardware: str, layer: str) -> None:
    told = accelsim.explain("lenet5", hardware, layer)
    result = accelsim.simulate("lenet5", hardware).layer(layer)
    assert math.prod(loop.turns for loop in told.loops) == told.tiles
    for loop in told.loops:
        assert (loop.turns - 1) * loop.size + loop.last == loop.total
    ways = {"read from DRAM": result.dram.read_bytes, "written to DRAM": result.dram.write_bytes}
    for way, total in ways.items():
        assert sum(each.total_bytes for each in told.moved if each.way == way) == total


def test_one_contender_is_chosen_and_no_cost_is_far_from_its_time() -> None:
    told = accelsim.explain("alexnet", "edge_ws", "conv3", dataflow="os")
    assert sum(each.chosen for each in told.contenders) == 1
    costs = [each.cost_cycles for each in told.contenders]
    assert costs == sorted(costs)
    assert len(costs) > 3
    for each in told.contenders:
        assert each.played_cycles == pytest.approx(each.cost_cycles, rel=0.1)


@pytest.mark.parametrize(
    ("network", "hardware", "layer"),
    [
        ("lenet5", "edge_ws", "S2"),
        ("lenet5", "eyeriss", "C3"),
        ("lenet5", "eyeriss", "F6"),
        ("alexnet", "eyeriss", "conv2"),
        ("alexnet", "edge_ws", "pool1"),
    ],
)
def test_pools_and_row_stationary_layers_have_loops_and_contenders(
    network: str, hardware: str, layer: str
) -> None:
    told = accelsim.explain(network, hardware, layer)
    assert math.prod(loop.turns for loop in told.loops) == told.tiles
    assert sum(each.chosen for each in told.contenders) == 1
    costs = [each.cost_cycles for each in told.contenders]
    assert costs == sorted(costs)
    assert len(costs) > 1


def test_an_unknown_layer_is_refused_with_what_was_meant() -> None:
    with pytest.raises(InputError, match="C3"):
        accelsim.explain("lenet5", "edge_ws", "c3")
