"""What a result says of its making is enough to make it again."""

import json
from pathlib import Path

import pytest
import yaml
from drawing import drawn
from hypothesis import given
from machines import MACHINES
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.frontend.builtin import builtin_names
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.results.origin import Origin

LENET = accelsim.load_network("lenet5")


def made_by(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    found: dict[str, object] = (data["runs"][0] if "runs" in data else data)["made_by"]
    return found


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_the_hardware_is_a_file_that_loads(name: str, tmp_path: Path) -> None:
    hardware = load_hardware(name)
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(Origin(LENET, hardware).as_dict()["hardware"]))
    assert load_hardware(path) == hardware


@drawn(20)
@given(MACHINES)
def test_so_is_any_other(hardware: Hardware) -> None:
    said = json.loads(json.dumps(Origin(LENET, hardware).as_dict()["hardware"]))
    assert Hardware.model_validate(said) == hardware


def test_run_and_compare_say_settings_and_version() -> None:
    changes = ("--set", "array.rows=16", "--set", "dram={timing: DDR4-2400}")
    one = made_by("run", "lenet5", "edge_ws", "--dataflow", "os", *changes)
    assert one["settings"] == ["array.rows=16", "dram={timing: DDR4-2400}"]
    assert one["accelsim"] == accelsim.__version__
    assert one["hardware"]["array"]["dataflow"] == "os"  # type: ignore[index]
    each = made_by("compare", "lenet5", "--hardware", "edge_ws", "--dataflows", "os", *changes)
    assert each == one
    assert made_by("train", "lenet5", "edge_ws")["network_sha256"] != one["network_sha256"]


def test_the_networks_hash_is_of_its_content(tmp_path: Path) -> None:
    start = "name: {}\ninput: {{channels: 1, height: 8, width: 8}}\n"
    text = start + "layers:\n  a: {{op: conv, out_channels: {}, kernel: 3}}\n"
    hashes = []
    for number, (name, filters) in enumerate((("one", 4), ("other", 4), ("one", 5))):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text.format(name, filters))
        hashes.append(made_by("run", str(path), "edge_ws")["network_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]
