"""A DRAM of the user's own: a data sheet in a file, or as a mapping under a name of its own."""

from pathlib import Path

import pytest
import yaml
from machines import chain, conv, dense
from oracles.dram_sheets import SHEETS

from accelsim.errors import InputError
from accelsim.facade import simulate
from accelsim.frontend.builtin import builtin_path
from accelsim.frontend.hardware_file import load_hardware, with_settings

MINE = {**SHEETS["DDR4-2400"].model_dump(exclude_none=True), "standard": "mine", "tCK_ps": 1000}


def written(path: Path, data: object) -> Path:
    path.write_text(yaml.safe_dump(data))
    return path


def hardware_with(folder: Path, timing: object) -> Path:
    data = yaml.safe_load(builtin_path("configs", "edge_ws").read_text())
    return written(folder / "own.yaml", {**data, "dram": {"timing": timing}})


def test_a_file_beside_the_hardware(tmp_path: Path) -> None:
    written(tmp_path / "mine.yaml", MINE)
    hardware = load_hardware(hardware_with(tmp_path, "mine.yaml"))
    assert hardware.dram.timing is not None
    assert (hardware.dram.timing.standard, hardware.dram.timing.tCK_ps) == ("mine", 1000)
    changed = with_settings(hardware, ["dram.timing.tCK_ps=2000"])
    network = chain((2, 8, 8), conv(6, 3), dense(10))
    assert simulate(network, changed).cycles > simulate(network, hardware).cycles


def test_a_mapping(tmp_path: Path) -> None:
    from_file = load_hardware(hardware_with(tmp_path, MINE))
    assert from_file.dram.timing is not None
    assert from_file.dram.timing.standard == "mine"


def test_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "mine.yaml", MINE)
    monkeypatch.chdir(tmp_path)
    hardware = load_hardware("edge_ws", ["dram.timing=mine.yaml"])
    assert hardware.dram.timing is not None
    assert hardware.dram.timing.standard == "mine"


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        ("none.yaml", "none.yaml: no such file"),
        ("wrong.yaml", "wrong.yaml:"),
        ({"standard": "mine", "tCK_ps": 1000}, "unknown DRAM standard 'mine'.*give all of its"),
        ({key: MINE[key] for key in MINE if key != "nRP"}, "sheet of its own lacks nRP"),
    ],
)
def test_what_is_none_is_told(tmp_path: Path, timing: object, said: str) -> None:
    written(tmp_path / "wrong.yaml", {**MINE, "nRC": "many"})
    with pytest.raises(InputError, match=said):
        load_hardware(hardware_with(tmp_path, timing))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nRC": 53}, "nRC 53 is less than nRAS 39 \\+ nRP 16"),
        ({"nRCD": 40}, "nRAS 39 is less than nRCD 40"),
        ({"nCCDS": 3}, "nCCDS 3 is less than nBL 4"),
        ({"nRTW": 7}, "nRTW 7 \\+ nCWL 12 is less than nCL 16 \\+ nBL 4"),
    ],
)
def test_what_no_dram_can_be(tmp_path: Path, values: dict[str, int], said: str) -> None:
    written(tmp_path / "wrong.yaml", {**MINE, **values})
    with pytest.raises(InputError, match=said):
        load_hardware(hardware_with(tmp_path, "wrong.yaml"))


@pytest.mark.parametrize(
    ("name", "meant"), [("HBM3", "HBM3-6400"), ("lpddr4x", "LPDDR4X-4266"), ("hbm2", "HBM2")]
)
def test_the_beginning_of_a_name(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{meant}'"):
        load_hardware("edge_ws", [f"dram.timing={name}"])
