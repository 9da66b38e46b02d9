"""Results that are repeated, files to copy, commands that keep quiet, keys that were meant."""

import json
from pathlib import Path

import pytest
import yaml

from accelsim.frontend.builtin import Kind, builtin_path
from accelsim.frontend.hardware_file import load_hardware


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--dataflow", "os", "--batch", "2", "--set", "array.rows=16"),
        ("run", "--set", "dram.timing=HBM2", "--set", "energy=horowitz_45nm", "--verify"),
        ("train", "--loss", "squared_error", "--optimizer", "adam"),
    ],
)
def test_a_result_repeats_itself_to_the_byte(
    cli, concat: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """From what it says alone: the hardware is in it, the network where it was."""
    path = tmp_path / "r.json"
    name, *options = command
    assert cli(name, concat, "edge_ws", *options, "--json", path).status == 0
    outcome = cli("run", path, "--again")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == f"{path}: run again, the same to the byte\n"


def test_what_is_not_the_same_is_told(cli, concat: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    cli("run", concat, "edge_ws", "--json", path)
    data = json.loads(path.read_text())
    data["layers"][0]["cycles"] += 1
    path.write_text(json.dumps(data))
    outcome = cli("run", path, "--again")
    assert outcome.status == 1
    assert "1 of 6 layers that both have are different." in outcome.stdout
    assert cli("run", path, "--again", "--quiet").stdout == ""


def test_what_cannot_be_repeated_is_refused(cli, concat: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    cli("run", concat, "edge_ws", "--json", path)
    data = json.loads(path.read_text())
    for made in (None, {}, data["made_by"] | {"asked": {}}, data["made_by"] | {"asked": 3}):
        path.write_text(json.dumps(data | {"made_by": made}))
        outcome = cli("run", path, "--again")
        assert (outcome.status, outcome.stdout) == (2, "")
        assert "made_by.asked: does not say how its network was asked for" in outcome.stderr
    hardware = data["made_by"]["hardware"] | {"clock": "never"}
    path.write_text(json.dumps(data | {"made_by": data["made_by"] | {"hardware": hardware}}))
    assert "made_by.hardware.clock" in cli("run", path, "--again").stderr
    assert "give nothing else" in cli("run", path, "edge_ws", "--again").stderr
    assert "not --batch" in cli("run", path, "--again", "--batch", "2").stderr
    assert "not --why" in cli("run", path, "--again", "--why").stderr
    assert "'HARDWARE'" in cli("run", concat).stderr


def test_json_to_a_file_prints_no_tables_unless_they_are_asked_for(
    cli, concat: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    for command in (("run", concat, "edge_ws"), ("compare", concat, "--hardware", "edge_ws")):
        assert cli(*command, "--json", path).stdout == ""
        assert "left" in cli(*command, "--json", path, "--columns", "busy").stdout
        assert "left" in cli(*command).stdout
        assert cli(*command, "-q").stdout == ""
        assert json.loads(cli(*command, "-q", "--json", "-").stdout)["schema"] == 1


def test_files_to_copy(cli, tmp_path: Path) -> None:
    for kind, name in (("configs", "eyeriss"), ("workloads", "lenet5")):
        assert cli("show", name, "--yaml").stdout == builtin_path(kind, name).read_text()
    chip = tmp_path / "chip.yaml"
    sizes = "IfmapSramSzkB: 8\nFilterSramSzkB: 8\nOfmapSramSzkB: 8\n"
    cfg = tmp_path / "chip.cfg"
    array = "[architecture_presets]\nArrayHeight: 4\nArrayWidth: 4\nDataflow: ws\n"
    cfg.write_text(f"[general]\nrun_name = chip\n{array}{sizes}Bandwidth: 10\n")
    chip.write_text(cli("show", cfg, "--yaml").stdout)
    assert yaml.safe_load(chip.read_text())["array"]["rows"] == 4
    assert load_hardware(chip) == load_hardware(cfg)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("rows=64", "unknown key 'rows'; did you mean 'array.rows'?"),
        ("bandwidth=1 GB/s", "unknown key 'bandwidth'; did you mean one of 'buffers.ifmap_sram.ba"),
        ("buffers.ifmap.size=1 KiB", "there is no buffer 'ifmap'; did you mean one of 'buffers.i"),
        ("array.row=64", "unknown key 'row'; did you mean 'rows'?"),
        ("array.fused=[add]", "unknown key 'array.fused'; did you mean 'fused'?"),
        ("array={fused: [add]}", "unknown key 'array.fused'; did you mean 'fused'?"),
        ("array.depthwise=best", "unknown key 'array.depthwise'; did you mean 'depthwise'?"),
        ("mhz=64", "unknown key 'mhz'; use one of array, "),
    ],
)
def test_the_key_that_was_meant(cli, setting: str, said: str) -> None:
    outcome = cli("run", "lenet5", "edge_ws", "--set", setting)
    assert outcome.status == 2
    assert outcome.stderr.startswith(f"error: --set {setting}: ")
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("kind", "folder", "name"),
    [
        ("DRAM data sheet", "configs/dram", "HBM2"),
        ("energy table", "configs/energy", "eyeriss_65nm"),
        ("sweep", "configs/sweeps", "array_shape"),
    ],
)
def test_own_files_of_other_kinds_are_shown(
    cli, tmp_path: Path, kind: str, folder: Kind, name: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(cli("show", name, "--yaml").stdout)
    assert own.read_text() == builtin_path(folder, name).read_text()
    assert cli("show", own, "--yaml").stdout == own.read_text()
    shown = cli("show", own)
    assert shown.status == 0
    assert kind in shown.stdout
    own.write_text(own.read_text() + "\nodd: 1\n")
    assert "unknown key 'odd'" in cli("show", own).stderr


def test_what_can_be_shown_is_listed(cli) -> None:
    said = cli("show", "lpddr4x").stderr
    assert "did you mean 'LPDDR4X-4266'?" in said
    assert "DRAM data sheets: DDR3-1600, " in said


def test_the_layers_that_a_layer_became(cli, tmp_path: Path) -> None:
    network = tmp_path / "net.yaml"
    layer = "{op: conv_transpose, out_channels: 2, kernel: 4, stride: 2, padding: 1}"
    shape = "{channels: 1, height: 4, width: 4}"
    network.write_text(f"name: net\ninput: {shape}\nlayers:\n  ct: {layer}\n")
    for command in (("explain", network, "edge_ws", "ct"), ("compute", network, "--show", "ct")):
        said = cli(*command).stderr
        assert "it became 'ct/0_0', 'ct/0_1', 'ct/1_0', 'ct/1_1', 'ct/whole'" in said
    network.write_text(network.read_text() + "  sum: {op: add, input: [ct, ct]}\n")
    assert "is one name; use inputs: [ct, ct]" in cli("show", network).stderr


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"network": "lenet5", "training": {"x": 1}}, "training.x"),
        ({"network": "lenet5", "training": {"loss": 3}}, "training.loss"),
        ({"network": "lenet5", "dims": 3}, "dims"),
        ({"network": "lenet5", "mapping": ["a"]}, "mapping"),
        ({"network": "lenet5", "past": "x"}, "past"),
        ({"network": 5}, "network"),
    ],
)
def test_what_somebody_wrote_into_a_result_is_checked(
    cli, tmp_path: Path, asked: dict[str, object], key: str
) -> None:
    """Running it again is refused by key; a page is made without what would be played for it."""
    path, out = tmp_path / "a.json", tmp_path / "a.html"
    assert cli("run", "mlp", "edge_ws", "--json", path).status == 0
    data = json.loads(path.read_text())
    data["made_by"]["asked"] = asked
    path.write_text(json.dumps(data))
    told = cli("run", path, "--again")
    assert told.status == 2
    assert f"made_by.asked.{key}" in told.stderr
    assert cli("report", path, "-o", out).status == 0
    assert "<canvas" not in out.read_text()
