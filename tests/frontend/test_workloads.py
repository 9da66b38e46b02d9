"""The built-in networks against the papers' tables, layer by layer (tests/golden/README.md)."""

import csv
import math
from pathlib import Path

import pytest

from accelsim.frontend import load_network
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.network_file import network_schema
from accelsim.frontend.source import read_yaml
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import AvgPool, Concat, Conv, Dense, Dropout, Lrn, MaxPool, Softmax

GOLDEN = Path(__file__).parents[1] / "golden"
TABLES = {
    "alexnet": "alexnet",
    "googlenet": "googlenet",
    "lenet5": "lenet5",
    "vgg16": "vgg_D",
    "vgg19": "vgg_E",
}
COLUMNS = (
    *("C", "H", "W", "M", "R", "S", "stride", "pad_h", "pad_w", "groups", "E", "F"),
    *("weights", "params", "macs", "out_act"),
)
KINDS = {Conv: "conv", Dense: "fc", MaxPool: "maxpool", AvgPool: "avgpool"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same_spelling(name: str) -> str:
    """The tables write CONV1-1 where the released models write conv1_1."""
    return name.lower().replace("-", "_")


def measured(layer: Layer) -> dict[str, str]:
    """A layer as a row of the golden tables."""
    op = layer.op
    if isinstance(op, Dense):
        ifmap, ofmap = (math.prod(layer.input_shapes[0]), 1, 1), (op.out_features, 1, 1)
        window = (1, 1, 1, 0, 0, 1)
    else:
        assert isinstance(op, (Conv, MaxPool, AvgPool))
        ifmap, ofmap = layer.input_shapes[0], layer.output_shape
        stride, groups = op.stride or op.kernel, op.groups if isinstance(op, Conv) else ifmap[0]
        top, bottom, left, right = op.padding
        assert (top, left, stride[0]) == (bottom, right, stride[1])
        window = (*op.kernel, stride[0], top, left, groups)
    weights = math.prod(layer.parameter_shapes.get("weight", (0,)))
    numbers = (*ifmap, ofmap[0], *window, *ofmap[1:], weights)
    numbers = (*numbers, layer.parameters, layer.macs, layer.output_elements)
    named = {"layer": same_spelling(layer.name), "kind": KINDS[type(op)]}
    return named | {column: str(n) for column, n in zip(COLUMNS, numbers, strict=True)}


def tabled(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if type(layer.op) in KINDS]


@pytest.mark.parametrize("name", TABLES)
def test_every_layer_is_the_papers(name: str) -> None:
    golden = rows(GOLDEN / "layers" / f"{TABLES[name]}.csv")
    for row in golden:
        row["layer"] = same_spelling(row["layer"])
    assert [measured(layer) for layer in tabled(load_network(name))] == golden


@pytest.mark.parametrize("name", TABLES)
def test_totals_are_the_papers(name: str) -> None:
    (golden,) = (row for row in rows(GOLDEN / "network_totals.csv") if row["net"] == TABLES[name])
    network = load_network(name)
    assert network.parameters == int(golden["params"])
    assert network.macs == int(golden["conv_fc_macs"])
    assert sum(layer.output_elements for layer in tabled(network)) == int(
        golden["layer_output_elements"]
    )
    assert "x".join(map(str, network.inputs["input"])) == golden["input_CHW"]


def test_googlenet_names_are_the_released_models() -> None:
    network = load_network("googlenet")
    golden = [row["layer"] for row in rows(GOLDEN / "layers" / "googlenet.csv")]
    assert [layer.name for layer in tabled(network)] == golden


def test_googlenet_inventory() -> None:
    """57 convolutions and 9 joins; 14 pools are 4 between stages, 9 in blocks, 1 average."""
    layers = load_network("googlenet").layers
    kinds = {Conv: 57, MaxPool: 13, AvgPool: 1, Concat: 9, Lrn: 2, Dropout: 1, Dense: 1, Softmax: 1}
    assert {kind: sum(isinstance(x.op, kind) for x in layers) for kind in kinds} == kinds
    assert len(layers) == sum(kinds.values())


def test_alexnet_groups_are_the_two_gpus() -> None:
    by_name = load_network("alexnet").by_name
    groups = [by_name[f"conv{index}"].op.groups for index in range(1, 6)]
    assert groups == [1, 2, 1, 2, 2]


@pytest.mark.parametrize("name", builtin_names("workloads"))
def test_every_workload_loads_and_says_what_it_is(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    assert network.description
    assert len(network.outputs) == 1


@pytest.mark.parametrize("name", builtin_names("workloads"))
def test_every_workload_fits_the_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(read_yaml(builtin_path("workloads", name)).data, network_schema())


@pytest.mark.parametrize(
    "layer",
    [
        {"op": "conv", "out_channels": 1, "kernel": 3, "strid": 1},  # unknown key
        {"op": "conv", "kernel": 3},  # missing key
        {"op": "conv", "out_channels": "$c", "kernel": 3},  # a parameter outside blocks
        {"op": "relu", "inputs": []},
        {"kernel": 3},
    ],
)
def test_schema_refuses_what_the_reader_refuses(layer: dict[str, object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    file = {"name": "n", "input": {"features": 3}, "layers": {"a": layer}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(file, network_schema())
