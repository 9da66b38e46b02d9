"""What is told of a layer is what the program of the run does."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from machines import chain, machine, unified

import accelsim
from accelsim.errors import InputError
from accelsim.frontend.hardware_file import with_settings
from accelsim.network.ops import Relu
from accelsim.report.explanation import explanation_sheets
from accelsim.report.quantities import percent


@pytest.mark.parametrize(
    "hardware",
    [*("edge_ws", "tpu_v1"), pytest.param("gemmini_16x16", marks=pytest.mark.slow)],
)
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


@pytest.mark.parametrize(
    ("layer", "forced"),
    [
        ("C3", {"order": "ifmap_stays", "filters": 8}),
        ("S2", {"channels": 2}),
        ("F6", {"filters": 7}),
        ("C3", {"cut": "rows", "at": 7}),
    ],
)
def test_what_is_forced_stands_beside_what_the_search_takes(
    layer: str, forced: dict[str, str | int]
) -> None:
    hardware = accelsim.load_hardware("edge_ws", ["energy=horowitz_45nm", "residency=off"])
    free = accelsim.explain("lenet5", hardware, layer)
    told = accelsim.explain("lenet5", hardware, layer, mapping={layer: forced})
    run = accelsim.simulate("lenet5", hardware, mapping={layer: forced}).layer(layer).as_dict()
    assert told.forced == forced
    assert told.tiling == run["tiling"]
    (ours,) = (each for each in told.contenders if each.chosen)
    assert told.searched is not None
    assert told.searched == next(each for each in free.contenders if each.chosen)
    assert replace(told.searched, chosen=False) in told.contenders
    note = explanation_sheets(told)[-1].notes[-1]
    assert f"{percent(ours.played_cycles / told.searched.played_cycles - 1)} % more time" in note
    marks = [row.cells[-1] for row in explanation_sheets(told)[-1].rows]
    assert sorted(filter(None, marks)) == ["forced", "searched"]


def test_what_the_search_would_take_anyway_is_told_as_that() -> None:
    saved = accelsim.simulate("lenet5", "edge_ws").mapping
    told = accelsim.explain("lenet5", "edge_ws", "C3", mapping=saved)
    assert told.tiling == told.forced == accelsim.explain("lenet5", "edge_ws", "C3").tiling
    assert "all of it. Without it the search takes the same" in str(explanation_sheets(told))


def test_a_layer_of_which_nothing_is_forced_says_nothing_of_that() -> None:
    told = accelsim.explain("lenet5", "edge_ws", "F6", mapping={"C3": {"filters": 8}})
    assert (told.forced, told.searched) == ({}, None)


@pytest.mark.parametrize("hardware", ["edge_ws", "eyeriss"])
def test_energy_by_component_is_all_of_the_energy(hardware: str) -> None:
    machine = accelsim.load_hardware(hardware, ["energy=horowitz_45nm"])
    told = accelsim.explain("lenet5", machine, "C1")
    for each in told.contenders:
        assert each.energy is not None
        assert each.energy.total == each.energy_pj
    shown = explanation_sheets(told)[-1]
    headers = [column.header for column in shown.columns]
    assert "energy\nDRAM" in headers
    assert "energy\nMACs" not in headers
    assert any("the same for all of them: MACs" in note for note in shown.notes)


def test_a_layer_of_many_measurements_is_explained_as_it_is_timed(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("Layer,M,N,K,\nfirst,64,32,48,\nlast,8,8,8,\n", encoding="utf-8")
    run = accelsim.simulate(file, "edge_ws", batch=3)
    told = accelsim.explain(file, "edge_ws", "last", batch=3)
    assert told.tiling == run.layer("last").as_dict()["tiling"]
    assert next(each for each in told.contenders if each.chosen).played_cycles == (
        run.layer("last").cycles
    )
    saved = accelsim.explain(file, "edge_ws", "last", batch=3, mapping=run.mapping)
    assert saved.tiling == saved.forced == told.tiling


NORMED = """
name: normed
input: {shape: [2, 6, 6]}
layers:
  up: {op: conv_transpose, out_channels: 2, kernel: 4, stride: 2}
  conv1: {op: conv, out_channels: 2, kernel: 3}
  bn1: {op: batch_norm}
  drop: {op: dropout}
"""


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("bn1", "bn1' is folded into conv1"),
        ("drop", "drop' does nothing in inference"),
        ("up", "it became 'up/0_0', 'up/0_1'"),
    ],
)
def test_what_became_of_a_layer_is_told(layer: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "normed.yaml"
    file.write_text(NORMED, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        accelsim.explain(file, "edge_ws", layer)


def test_the_name_of_a_single_part_is_enough() -> None:
    assert accelsim.explain("resnet18", "edge_ws", "conv1").layer == "conv1/conv"


def test_what_a_row_stationary_search_saves_is_told() -> None:
    told = accelsim.explain("lenet5", "eyeriss", "C3")
    assert told.mapped_by == "traffic"
    assert "array.row_stationary.objective: traffic" in str(explanation_sheets(told))


@pytest.mark.parametrize("objective", ["time", "energy"])
def test_of_tilings_that_cost_the_same_those_of_few_tiles_are_compared(objective: str) -> None:
    """Whatever its tiles, a relu takes the same. Those of one value are 576 here; of a large layer
    they are millions, which took minutes to play."""
    hardware = with_settings(machine(unified("4 KiB"), lanes=16), ["energy=horowitz_45nm"])
    given = [f"array.objective={objective}"]
    told = accelsim.explain(chain((8, 12, 12), Relu()), hardware, "a", set=given)
    (chosen,) = (each for each in told.contenders if each.chosen)
    assert {each.played_cycles for each in told.contenders} == {chosen.played_cycles}
    assert len(told.contenders) > 3
    assert max(each.tiles for each in told.contenders) <= 2 * chosen.tiles
