"""What `show` counts and derives."""

from pathlib import Path

import pytest

from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.network.graph import Network
from accelsim.report.description import (
    activations,
    hardware_dict,
    hardware_sheets,
    network_dict,
    network_sheets,
)
from accelsim.written import settings

TEXT = """
name: blocks
input: {channels: 2, height: 4, width: 4}
layers:
  conv: {op: conv, out_channels: 2, kernel: 1}
  norm: {op: batch_norm}
  drop: {op: dropout}
  other: {op: conv, out_channels: 2, kernel: 1}
  moved: {op: concat, inputs: [input, other]}
  placed: {op: concat, inputs: [norm, moved]}
"""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "blocks.yaml"
    path.write_text(TEXT)
    return load_network(path)


def test_who_writes_a_tensor(network: Network) -> None:
    """The batch norm is folded; a concat of the network's input must copy, the other need not."""
    assert activations(network).written == {"conv", "other", "moved"}


def test_values_written(network: Network) -> None:
    assert activations(network).values == 32 + 32 + 32 + 64  # input, conv, other, moved


def test_network_as_data(network: Network) -> None:
    data = network_dict(network)
    assert data["totals"]["activation_values"] == 160
    written = [layer["written_elements"] for layer in data["layers"]]
    assert written == [32, 0, 0, 32, 64, 0]
    assert data["layers"][0]["attributes"]["kernel"] == (1, 1)


def test_rows_that_take_several_images_are_named(tmp_path: Path, network: Network) -> None:
    sizes = "IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter"
    (tmp_path / "rows.csv").write_text(
        f"Layer, {sizes}, Strides, Batch\na, 8, 8, 3, 3, 2, 4, 1, 4\nb, 8, 8, 3, 3, 2, 4, 1,\n"
    )
    notes = network_sheets(load_network(tmp_path / "rows.csv"))[0].notes
    assert "Layers that take several images at a time: a 4." in notes
    assert not any("images at a time" in note for note in network_sheets(network)[0].notes)


def test_every_setting_has_a_meaning() -> None:
    for setting in settings(load_hardware("tpu_v1")):
        assert setting.meaning, setting.path


def test_ridge_point() -> None:
    """TPU v1: 65,536 MACs per cycle over two channels of 8 B each 0.4685 ns, at 700 MHz."""
    derived = hardware_dict(load_hardware("tpu_v1"))["derived"]
    assert derived["ridge_macs_per_byte"] == pytest.approx(65536 / (2 * 8 / 0.4685e-9 / 700e6))
    assert derived["macs_per_second"] == 65536 * 700_000_000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        # 32 x 32: R + C - 2 of skew, R to load
        ([], "94 cycles beside its steps"),
        (["array.mac_stages=3"], "96 cycles beside its steps"),
        (["array.psum_registers=2"], "126 cycles beside its steps"),
        (
            ["array.fold_overlap=pipelined"],
            "as many cycles as steps, at least 32; up to 94 more for the last",
        ),
    ],
)
def test_what_a_fold_takes(settings: list[str], said: str) -> None:
    _, derived, _ = hardware_sheets(load_hardware("edge_ws", settings))
    assert ("full fold", said) in [row.cells for row in derived.rows]
