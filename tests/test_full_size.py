"""The main job on real sizes: every value of VGG-16 and GoogLeNet, under every dataflow."""

import pytest

from accelsim.facade import verify
from accelsim.hardware import DATAFLOWS


@pytest.mark.slow
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("network", ["vgg16", "googlenet"])
def test_every_int8_value_agrees(network: str, dataflow: str) -> None:
    result = verify(network, "edge_ws", dataflow)
    assert result.passed
    assert [layer.name for layer in result.layers if layer.largest_difference] == []


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["tpu_v1", "gemmini_16x16", "eyeriss", "scalesim_default"])
def test_other_accelerators_agree_too(hardware: str) -> None:
    assert verify("googlenet", hardware).passed
    assert verify("alexnet", hardware, batch=2).passed


def test_vgg16_agrees_under_its_best_dataflow() -> None:
    result = verify("vgg16", "edge_ws", "os")
    assert result.passed
    assert result.elements == 15_087_080 + 1000  # the reference table's rows and the softmax
