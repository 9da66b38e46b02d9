"""The main job on real sizes: every value of VGG-16 and GoogLeNet, under every dataflow."""

import pytest
from machines import SYSTOLIC

from accelsim.facade import verify
from accelsim.frontend.hardware_file import load_hardware


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "dataflow"),
    [*(("googlenet", flow) for flow in SYSTOLIC), ("vgg16", "ws"), ("vgg16", "is")],  # os: below
)
def test_every_int8_value_agrees(network: str, dataflow: str) -> None:
    result = verify(network, "edge_ws", dataflow)
    assert result.passed
    assert [layer.name for layer in result.layers if layer.largest_difference] == []


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["tpu_v1", "gemmini_16x16", "eyeriss", "scalesim_default"])
def test_other_accelerators_agree_too(hardware: str) -> None:
    assert verify("googlenet", hardware).passed
    assert verify("alexnet", hardware, batch=2).passed


@pytest.mark.slow
def test_vgg16_agrees_row_stationary_in_16_bits() -> None:
    assert load_hardware("eyeriss").array.dataflow == "rs"
    assert verify("vgg16", "eyeriss").passed


@pytest.mark.slow
def test_vgg16_agrees_under_its_best_dataflow() -> None:
    result = verify("vgg16", "edge_ws", "os")
    assert result.passed
    assert result.elements == 15_087_080 + 1000  # the reference table's rows and the softmax
