"""The built-in networks against the papers' tables, layer by layer (tests/golden/README.md)."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from accelsim.frontend import load_network
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.network_file import network_schema
from accelsim.frontend.source import read_yaml
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import (
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Lrn,
    MaxPool,
    Softmax,
)

GOLDEN = Path(__file__).parents[1] / "golden"
SAME = ("alexnet", "googlenet", "inception_v3", "inception_v4", "lenet5", "lenet_caffe")
TABLES = {
    **{name: name for name in (*SAME, "nin_cifar10", "nin_imagenet")},
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "inception_v2": "inception_v2_bn",
    "vgg11": "vgg_A",
    "vgg13": "vgg_B",
    "vgg16": "vgg_D",
    "vgg16_c": "vgg_C",
    "vgg19": "vgg_E",
}
PUBLISHED = {
    "densenet121": 7_978_856,  # torchvision
    "efficientnet_b0": 5_288_548,  # torchvision
    "mobilenet_v1": 4_231_976,  # Keras, trainable
    "mobilenet_v2": 3_504_872,  # torchvision
    "mobilenet_v3": 5_483_032,  # torchvision, large
    "squeezenet": 1_248_424,  # torchvision, squeezenet1_0
    "bouvrie_combined": 6 * 10 + 2 * 6 + 6 * 9 + 24 * 7 + 25 * 10,
    "bouvrie": 6 * 10 + 2 * 6 + 24 * 55 + 25 * 10,  # sizes are our own
    "digits": 8 * 10 + 24 * 73 + 48 * 97 + 10 * 49,  # as above
    "gpt2": 124_439_808,  # Hugging Face's gpt2
    "bert_base": 109_482_240,  # Hugging Face's bert-base-uncased, with its pooler
    "vit_b16": 86_567_656,  # torchvision
    "llama_1b": 1_235_814_400,  # Hugging Face's Llama-3.2-1B
    "mlp": 785 * 500 + 501 * 10,  # LeCun et al. 1998: 28x28-500-10
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
    """The tables write CONV1-1 where the released models write conv1_1.

    A convolution with its batch norm is one row of a table and a block here.
    """
    return name.lower().replace("-", "_").removesuffix("/conv")


def normalising(network: Network) -> dict[str, int]:
    """Parameters of the batch norm that follows a layer, by that layer's name."""
    norms = (layer for layer in network.layers if isinstance(layer.op, BatchNorm))
    return {norm.inputs[0]: norm.parameters for norm in norms}


def measured(layer: Layer, normalised: dict[str, int]) -> dict[str, str]:
    """A layer as a row of the golden tables, which count its batch norm's parameters with it."""
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
    learned = layer.parameters + normalised.get(layer.name, 0)
    numbers = (*numbers, learned, layer.macs, layer.output_elements)
    named = {"layer": same_spelling(layer.name), "kind": KINDS[type(op)]}
    return named | {column: str(n) for column, n in zip(COLUMNS, numbers, strict=True)}


def tabled(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if type(layer.op) in KINDS]


@pytest.mark.parametrize("name", TABLES)
def test_every_layer_is_the_papers(name: str) -> None:
    golden = rows(GOLDEN / "layers" / f"{TABLES[name]}.csv")
    for row in golden:
        row["layer"] = same_spelling(row["layer"])
    network = load_network(name)
    after = normalising(network)
    assert [measured(layer, after) for layer in tabled(network)] == golden


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


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert load_network(name).parameters == PUBLISHED[name]


def test_every_workload_is_held_against_something() -> None:
    assert {*TABLES, *PUBLISHED, "inception_v1_naive"} == set(builtin_names("workloads"))


def test_naive_modules_grow_as_the_paper_says() -> None:
    """Figure 2(a): a module passes on all that it reads beside its own widths of table 1."""
    widths = [
        *((64, 128, 32), (128, 192, 96), (192, 208, 48), (160, 224, 64), (128, 256, 64)),
        *((112, 288, 64), (256, 320, 128), (256, 320, 128), (384, 384, 128)),
    ]
    stem = 64 * (3 * 49 + 1) + 64 * (64 + 1) + 192 * (64 * 9 + 1)
    parameters, channels = stem, 192
    for c1, c3, c5 in widths:
        parameters += (c1 + 9 * c3 + 25 * c5) * channels + c1 + c3 + c5
        channels += c1 + c3 + c5
    naive = load_network("inception_v1_naive")
    assert naive.parameters == parameters + 1000 * (channels + 1)
    assert naive.macs > 7 * load_network("googlenet").macs


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


@pytest.fixture(scope="module")
def schema() -> Any:
    """The validator of networks."""
    return pytest.importorskip("jsonschema").Draft202012Validator(network_schema())


@pytest.mark.slow
def test_the_schema_is_a_schema(schema: Any) -> None:
    schema.check_schema(schema.schema)


@pytest.mark.parametrize("name", builtin_names("workloads"))
def test_every_workload_fits_the_schema(name: str, schema: Any) -> None:
    schema.validate(read_yaml(builtin_path("workloads", name)).data)


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
def test_schema_refuses_what_the_reader_refuses(layer: dict[str, object], schema: Any) -> None:
    right = {"op": "conv", "out_channels": 1, "kernel": 3}
    for each, fits in ((right, True), (layer, False)):
        file = {"name": "n", "input": {"features": 3}, "layers": {"a": each}}
        assert schema.is_valid(file) == fits
