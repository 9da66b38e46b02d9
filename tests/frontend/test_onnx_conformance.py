"""The node cases and whole networks that the package onnx ships; docs/onnx.md has all of them."""

from pathlib import Path

import onnx
import pytest
from oracles.onnx_conformance import Outcome, cases, outcomes

from accelsim.facade import simulate
from accelsim.frontend import load_network
from accelsim.frontend.onnx.rules import RULES

QUICK = ("conv", "gemm", "matmul", "lrn", "softmax", "clip", "elu", "transpose", "flatten")
LONG = (
    *QUICK,
    *("batch_normalization", "leakyrelu", "hardsigmoid", "hardswish", "selu", "gelu"),
    *("softplus", "sigmoid", "tanh", "relu", "neg", "add", "mul", "sub", "concat", "reshape"),
    *("abs", "erf", "exp", "log", "sqrt", "reciprocal", "div", "pow", "reducesum", "reducemax"),
    *("rmsnormalization", "instance_normalization", "groupnormalization", "gather"),
    *("pad", "resize", "upsample", "convtranspose", "lstm", "gru", "rnn"),
    *("onehot", "hardmax", "lppool", "reduceprod", "shrink", "bitshift", "thresholdedrelu"),
    *("max", "min", "meanvariancenormalization", "swiglu", "center_crop_pad"),
    *("unsqueeze", "squeeze", "globalaveragepool", "globalmaxpool", "reducemean", "dropout"),
)
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
NETWORKS = {  # parameters and MACs of the same networks in torchvision and Caffe
    "light_vgg19": (143_667_240, 19_632_062_464),
    "light_resnet50": (25_557_032, 4_089_184_256),
    "light_densenet121": (7_978_856, 2_834_161_664),
}


def none_wrong(found: list[Outcome], least: int) -> None:
    assert [outcome for outcome in found if outcome.wrong] == []
    assert sum(outcome.passed for outcome in found) >= least
    assert all(outcome.refused for outcome in found if not outcome.passed)


def test_cases_of_a_few_operators_are_right_or_refused() -> None:
    none_wrong(list(outcomes(cases(QUICK), tiled=False)), 35)


@pytest.mark.slow
def test_cases_of_many_operators_are_right_in_tiles_too() -> None:
    none_wrong(list(outcomes(cases(LONG))), 170)


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_have_the_published_sizes(name: str) -> None:
    network = load_network(LIGHT / f"{name}.onnx")
    assert (network.parameters, network.macs) == NETWORKS[name]


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_whole_networks_run(path: Path) -> None:
    network = load_network(path)
    result = simulate(network, "edge_ws")
    assert result.macs == network.macs
    assert 0 < result.utilization < 1


def test_the_table_says_what_each_rule_is() -> None:
    assert all(rule.__doc__ for rule in RULES.values())
