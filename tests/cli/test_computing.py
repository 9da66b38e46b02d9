"""Values that a user asks for: the reference's and the tiles', of inputs of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.errors import InputError

CHAIN = """
name: chain
input: {channels: 1, height: 3, width: 3}
layers:
  conv: {op: conv, out_channels: 2, kernel: 2, bias: false}
  fc: {op: dense, out_features: 3, bias: false}
weights: chain.npz
"""


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A network with weights of its own, whose scales are all 1."""
    weights = {
        "conv.weight": np.array([[[[1, 0], [0, 0]]], [[[0, 0], [0, -1]]]], np.int8),
        "fc.weight": np.eye(3, 8, dtype=np.int8),
    }
    ones = {f"{layer}.{key}": np.float32(1) for layer in ("conv", "fc") for key in SCALES}
    np.savez(tmp_path / "chain.npz", **weights, **ones, **{"input.scale": np.float32(1)})
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    return path


SCALES = ("weight_scale", "output_scale")
IMAGE = np.arange(1, 10, dtype=np.int8).reshape(1, 3, 3)


@pytest.mark.parametrize("hardware", [None, "edge_ws"])
def test_values_are_what_the_layers_say(chain: Path, hardware: str | None) -> None:
    """The first filter takes the upper left pixel of each window, the other minus the last."""
    values = accelsim.compute(
        chain, hardware, inputs={"input": IMAGE, "input.scale": np.array(1.0)}
    )
    np.testing.assert_array_equal(values.ofmaps["conv"], [[[[1, 2], [4, 5]], [[-5, -6], [-8, -9]]]])
    np.testing.assert_array_equal(values.ofmaps["fc"], [[1, 2, 4]])
    spread = values.layers[0].spread
    assert (spread.least, spread.most, spread.mean, spread.zeros) == (-9, 5, -2, 0)


def test_as_many_images_as_are_given() -> None:
    images = np.random.default_rng(0).integers(-128, 128, (3, 1, 32, 32), np.int8)
    values = accelsim.compute("lenet5", inputs={"input": images}, layers=["OUTPUT"])
    assert values.batch == 3
    assert [*values.ofmaps] == ["OUTPUT"]
    assert values.ofmaps["OUTPUT"].shape == (3, 10)
    one = accelsim.compute("lenet5", "edge_ws", "os", {"input": images[1]}, layers=["OUTPUT"])
    np.testing.assert_array_equal(one.ofmaps["OUTPUT"][0], values.ofmaps["OUTPUT"][1])


def test_real_numbers_are_what_the_codes_stand_for() -> None:
    values = accelsim.compute("lenet5", layers=["C1"])
    layer = values.layers[0]
    np.testing.assert_array_equal(values.real("C1"), values.ofmaps["C1"] * layer.scale)


def test_every_mistake_is_told_at_once() -> None:
    inputs = {"inputs": np.zeros((1, 32, 32), np.int8), "input": np.zeros((1, 3), np.int8)}
    with pytest.raises(InputError) as caught:
        accelsim.compute("lenet5", inputs=inputs, layers=["OUTPT"])
    told = str(caught.value)
    assert "did you mean 'input'" in told
    assert "has shape (1, 3)" in told
    assert "did you mean 'OUTPUT'" in told


def test_codes_of_integers_only() -> None:
    with pytest.raises(InputError, match="needs integer codes: its values over its scale"):
        accelsim.compute("lenet5", inputs={"input": np.zeros((1, 32, 32), np.float32)})


def test_the_command_saves_what_it_shows(cli, tmp_path: Path) -> None:
    path, report = tmp_path / "o.npz", tmp_path / "o.json"
    outcome = cli("compute", "lenet5", "edge_ws", "--show", "F6", "--save", path, "--json", report)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "F6: 1 x 84, int8" in outcome.stdout
    with np.load(path) as saved:
        assert {*saved} == {"F6", "F6.output_scale", "F6.output_zero_point"}
        expected = accelsim.compute("lenet5").ofmaps["F6"]
        np.testing.assert_array_equal(saved["F6"], expected)
    told = json.loads(report.read_text())
    assert told["layers"][5]["spread"]["least"] == expected.min()


def test_all_is_saved_if_none_is_shown(cli, tmp_path: Path) -> None:
    path = tmp_path / "all.npz"
    assert cli("compute", "lenet5", "--save", path).status == 0
    with np.load(path) as saved:
        assert {"C1", "OUTPUT"} <= {*saved}


def test_what_was_saved_is_written_anew_and_no_other_archive(cli, chain: Path) -> None:
    """An archive is known by its comment; weights and inputs stay, whoever wrote them."""
    path, weights = chain.parent / "o.npz", chain.with_suffix(".npz")
    for _ in range(2):
        assert cli("compute", chain, "--save", path).status == 0
    values = dict(np.load(weights).items())
    for taken, why in ((weights, "looks like an input"), (path, "this command reads")):
        chain.write_text(CHAIN.replace("chain.npz", taken.name))
        outcome = cli("compute", chain, "--save", taken)
        assert (outcome.status, why in " ".join(outcome.stderr.split())) == (2, True)
    assert {*values} == {*np.load(weights)}


def test_settings_of_no_hardware_are_a_mistake(cli) -> None:
    outcome = cli("compute", "lenet5", "--dataflow", "os")
    assert outcome.status == 2
    assert "name one, such as edge_ws" in outcome.stderr


def test_inputs_of_a_file(cli, tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, input=np.zeros((2, 1, 32, 32), np.int8))
    outcome = cli("compute", "lenet5", "--input", path)
    assert outcome.status == 0
    assert "batch 2" in outcome.stdout
    assert cli("compute", "lenet5", "--input", path, "--batch", 3).status == 2
    assert cli("compute", "lenet5", "--input", tmp_path / "no.npz").status == 2


def test_verify_warns_where_all_is_the_same(cli, chain: Path) -> None:
    """Without scales of its own a small network rounds to nothing: equal, and proves little."""
    weights = dict(np.load(chain.with_suffix(".npz")).items())
    weights["conv.output_scale"] = np.float32(1e6)
    np.savez(chain.with_suffix(".npz"), **weights)
    outcome = cli("verify", chain, "edge_ws")
    assert outcome.status == 0
    assert "all values of conv, fc are the same" in " ".join(outcome.stdout.split())


def test_the_limits_of_a_run_are_those_of_values_too(cli) -> None:
    """Without a hardware nothing is lowered, and the reference would take all memory."""
    outcome = cli("compute", "lenet5", "--batch", 65537)
    assert outcome.status == 2
    assert "at most 65,536 images" in outcome.stderr
