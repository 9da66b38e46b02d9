"""Other formats' files become ours, which say the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles.onnx_models import saved
from test_onnx import STATISTICS, W33, model, node

import accelsim
from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.frontend.conversion import converted, network_text
from accelsim.frontend.hardware_file import load_hardware
from accelsim.text import visible_lines

CFG = """[general]
run_name = small
[architecture_presets]
ArrayHeight: 8
ArrayWidth: 16
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 32
IfmapOffset: 0
Dataflow: ws
Bandwidth: 10
[run_presets]
InterfaceBandwidth: CALC
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "written.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["googlenet", "llama_1b", "vit_b16", "mobilenet_v3", "mlp"])
def test_networks_are_read_again_as_they_were(name: str, tmp_path: Path) -> None:
    network = load_network(name)
    again = load_network(written(tmp_path, network_text(network)))
    assert (again.layers, again.inputs) == (network.layers, network.inputs)
    assert (again.name, again.family) == (network.name, network.family)


@pytest.mark.parametrize(
    "name", ["\u202egnp", "\x1b[2J", "a\nb", "\u5377 \u00e9: {x}", "- #", "\ud7ff"]
)
def test_names_are_read_again_and_no_terminal_obeys_them(name: str, tmp_path: Path) -> None:
    network = load_network("lenet5")
    first = network.layers[0]
    named = replace(network, name=name, layers=(replace(first, name=name),))
    text = network_text(named)
    assert visible_lines(text) == text
    path = tmp_path / "n.yaml"
    path.write_text(text, encoding="utf-8")
    again = load_network(path)
    assert (again.name, again.layers[0].name) == (name, name)


def test_a_model_is_the_same_layers_and_says_that_weights_are_left_out(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c"), node("BatchNormalization", "c g b m v", "n", epsilon=1e-3),
        node("Elu", "n", "e", alpha=0.3), node("Softmax", "e", axis=-1),
    ]  # fmt: skip
    arrays = {"w": W33[:3], **STATISTICS}
    path = saved(model(nodes, arrays), tmp_path)
    found = converted(str(path))
    assert len(found.left_out) == 1
    assert "arrays of weights, which are random then" in found.left_out[0]
    assert f"# Left out or changed: {found.left_out[0]}." in found.text.splitlines()
    again, network = load_network(written(tmp_path, found.text)), load_network(path)
    assert again.layers == network.layers
    assert again.weights is None
    times = [accelsim.simulate(each, "edge_ws").totals for each in (network, again)]
    assert times[0] == times[1]


def test_topologies_say_that_rows_were_measured_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    header = "Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides"
    path.write_text(f"{header},Batch\nfirst,8,8,3,3,2,4,1,1,\nsecond,7,8,1,1,9,2,1,4,\n")
    found = converted(str(path))
    assert found.left_out == (
        "that rows are measurements one by one; as a network they run together",
        "the batches of second (4)",
    )
    again = load_network(written(tmp_path, found.text))
    assert [layer.macs for layer in again.layers] == [6 * 6 * 4 * 2 * 9, 7 * 8 * 2 * 9]


def test_a_batch_of_products_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Layer,M,N,K,Batch\nheads,7,8,9,4,\n")
    again = load_network(written(tmp_path, converted(str(path)).text))
    assert [layer.macs for layer in again.layers] == [4 * 7 * 8 * 9]


def test_hardware_is_the_same_and_says_what_is_not_heeded(tmp_path: Path) -> None:
    path = tmp_path / "small.cfg"
    path.write_text(CFG)
    found = converted(str(path))
    assert any("no bandwidth is given" in each for each in found.left_out)
    again, machine = load_hardware(written(tmp_path, found.text)), load_hardware(path)
    assert again == machine


def test_what_is_ours_already_is_refused() -> None:
    with pytest.raises(InputError, match="is YAML already"):
        converted("x.yaml")


def test_the_command_writes_a_file_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from typer.testing import CliRunner

    from accelsim.cli import app

    path = saved(model([node("Conv", "x w")], {"w": np.asarray(W33)}), tmp_path)
    out = tmp_path / "out.yaml"
    result = CliRunner().invoke(app, ["convert", str(path), "-o", str(out)])
    assert result.exit_code == 0
    assert load_network(out).layers == load_network(path).layers
    over = CliRunner().invoke(app, ["convert", str(path), "-o", str(path)])
    assert over.exit_code == 2
