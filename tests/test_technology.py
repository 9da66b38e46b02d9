"""Energy tables: the power laws, what the built-in ones say, and what is refused."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from accelsim.errors import InputError
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.energy_file import load_energy_table
from accelsim.frontend.hardware_file import load_hardware
from accelsim.technology import EnergyTable, power_law

KIB = 1024


@pytest.mark.parametrize(
    ("points", "at", "exponent", "value"),
    [
        ({16: 3.0}, 16, 2, 3.0),
        ({16: 3.0}, 8, 2, 0.75),  # a quarter of the cells
        ({16: 3.0}, 64, 0.5, 6.0),
        ({8: 10.0, 32: 20.0}, 16, 9, 10 * 2**0.5),  # slope 1/2 between; the exponent is not used
        ({32: 20.0, 8: 10.0}, 2, 9, 5.0),  # and below
        ({8: 10.0, 32: 20.0, 64: 40.0}, 32, 9, 20.0),
        ({8: 10.0, 32: 20.0, 64: 40.0}, 48, 9, 30.0),  # slope 1 between the last two
        ({8: 10.0, 32: 20.0, 64: 40.0}, 128, 9, 80.0),  # and above
    ],
)
def test_power_law(points: dict[int, float], at: float, exponent: float, value: float) -> None:
    assert power_law(points, at, exponent) == pytest.approx(value)


# --- The built-in tables --------------------------------------------------------------------------


def test_eyeriss_ratios() -> None:
    """ISCA 2016, table IV: a 16-bit access relative to a 16-bit MAC."""
    table = load_energy_table("eyeriss_65nm")
    mac = table.mac_pj((16, 16), 32, integer=True)
    assert table.register_pj(16, single=False) / mac == 1
    assert table.network_pj(16, neighbour=False) / mac == 2
    assert table.sram_pj(16, 108 * KIB) / mac == pytest.approx(6)
    assert table.dram_pj(16) / mac == 200
    assert table.register_pj(16, single=True) == table.register_pj(16, single=False)
    assert table.network_pj(16, neighbour=True) == table.network_pj(16, neighbour=False)


def test_eyeriss_scales_as_it_says() -> None:
    """8 bits: a quarter of the multiplier; a fourth of the buffer: half of the energy."""
    table = load_energy_table("eyeriss_65nm")
    assert table.mac_pj((8, 8), 32, True) == pytest.approx(1.58 / 4)
    assert table.mac_pj((8, 16), 32, True) == pytest.approx(1.58 / 2)
    assert table.sram_pj(16, 27 * KIB) == pytest.approx(3 * 1.58)


def test_the_unit_of_the_eyeriss_table_is_derived_as_it_says() -> None:
    """Horowitz's 16-bit MAC at 45 nm and 0.9 V, by capacitance and voltage squared."""
    mac = load_energy_table("horowitz_45nm").mac_pj((16, 16), 32, True)
    scaled = mac * 65 / 45 * (1.0 / 0.9) ** 2
    assert load_energy_table("eyeriss_65nm").unit_pj == pytest.approx(scaled, abs=0.005)


def test_horowitz_points() -> None:
    """ISSCC 2014, figure 1.1.9, pJ."""
    table = load_energy_table("horowitz_45nm")
    assert table.mac_pj((8, 8), 32, integer=True) == pytest.approx(0.2 + 0.1)
    assert table.mac_pj((8, 8), 8, integer=True) == pytest.approx(0.2 + 0.03)
    assert table.mac_pj((32, 32), 32, integer=True) == pytest.approx(3.1 + 0.1)
    assert table.mac_pj((16, 16), 16, integer=False) == pytest.approx(1.1 + 0.4)
    assert table.mac_pj((32, 32), 32, integer=False) == pytest.approx(3.7 + 0.9)
    caches = [table.sram_pj(64, size * KIB) for size in (8, 32, 1024)]
    assert caches == pytest.approx([10, 20, 100])
    assert 1300 < table.dram_pj(64) < 2600


def test_horowitz_between_the_points() -> None:
    """16-bit integers: 0.2 * 15.5^(1/2) to multiply, 0.03 * (10/3)^(1/2) to add (he has 0.05)."""
    table = load_energy_table("horowitz_45nm")
    assert table.add_pj(16, integer=True) == pytest.approx(0.0548, abs=1e-4)
    assert table.mac_pj((16, 16), 16, True) == pytest.approx(0.2 * 15.5**0.5 + 0.0548, abs=1e-4)


@pytest.mark.parametrize("name", builtin_names("configs/energy"))
def test_built_in_tables_say_where_their_numbers_come_from(name: str) -> None:
    text = builtin_path("configs/energy", name).read_text()
    assert text.partition("name:")[0].count("\n") >= 5
    table = load_energy_table(name)
    assert (table.name, bool(table.description)) == (name, True)


def test_every_key_says_what_it_means() -> None:
    for description in EnergyTable.model_json_schema()["properties"].values():
        assert description["description"].endswith(".")


# --- Naming a table -------------------------------------------------------------------------------

OWN = builtin_path("configs/energy", "horowitz_45nm").read_text()
HARDWARE = builtin_path("configs", "edge_ws").read_text()


def test_no_table_is_named_by_default() -> None:
    assert load_hardware("edge_ws").energy is None


def test_a_hardware_file_names_a_built_in_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace("name: horowitz_45nm", "name: own"))
    (tmp_path / "chip.yaml").write_text(HARDWARE + "energy: own.yaml\n")
    own = load_hardware(tmp_path / "chip.yaml").energy
    assert own is not None
    assert own.name == "own"
    (tmp_path / "chip.yaml").write_text(HARDWARE + "energy: eyeriss_65nm\n")
    assert load_hardware(tmp_path / "chip.yaml").energy == load_energy_table("eyeriss_65nm")


def test_the_table_itself_may_stand_there(tmp_path: Path) -> None:
    inline = "energy:\n" + "".join(f"  {line}\n" for line in OWN.splitlines())
    (tmp_path / "chip.yaml").write_text(HARDWARE + inline)
    named = load_hardware("edge_ws", ["energy=horowitz_45nm"])
    assert load_hardware(tmp_path / "chip.yaml").energy == named.energy


def test_settings_reach_into_a_named_table(tmp_path: Path) -> None:
    (tmp_path / "chip.yaml").write_text(HARDWARE + "energy: eyeriss_65nm\n")
    table = load_hardware(tmp_path / "chip.yaml", ["energy.dram.energy=100"]).energy
    assert table is not None
    assert table.dram_pj(16) == pytest.approx(158)


def test_a_path_in_a_setting_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    table = load_hardware("edge_ws", ["energy=own.yaml"]).energy
    assert table == load_energy_table("horowitz_45nm")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("energy=horowitz", "unknown energy table 'horowitz'; did you mean 'horowitz_45nm'?"),
        ("energy=none.yaml", "none.yaml: no such file"),
        ("energy=3", "energy: expected a mapping, found 3"),
    ],
)
def test_bad_names(setting: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_hardware("edge_ws", [setting])
    assert str(caught.value).startswith(f"--set {setting}: {message}")


def test_a_bad_name_in_a_file_stands_beside_the_other_problems(tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(HARDWARE.replace("rows: 32", "rows: x") + "energy: eyeris_65nm\n")
    with pytest.raises(InputError) as caught:
        load_hardware(path)
    lines = [line.removeprefix(str(path)) for line in str(caught.value).splitlines()]
    assert len(lines) == 2
    assert "array.rows: expected a whole number" in lines[0]
    assert lines[1].startswith(":21:9: energy: unknown energy table 'eyeris_65nm'; did you mean")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("unit_pj: 1\n", "unit_pj: 0\n", "unit_pj: expected a number above 0.0, found 0"),
        ("64, energy: 2.5", "64, energi: 2.5", "register_file.energi: unknown key 'energi'; did"),
        ("8 KiB: 10", "8: 10", "expected a number with a unit such as '64 KiB', found '8'"),
        ("{8: 0.2,", "{eight: 0.2,", "multiply.integer.eight: expected a whole number"),
        ("dram: {bits: 64, energy: 1950}\n", "", "dram: missing key 'dram'"),
    ],
)
def test_a_mistake_in_a_table_and_its_place(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace(old, new, 1))
    (tmp_path / "chip.yaml").write_text(HARDWARE + "energy: own.yaml\n")
    with pytest.raises(InputError) as caught:
        load_hardware(tmp_path / "chip.yaml")
    assert any(expected in line for line in str(caught.value).splitlines())
    assert all(str(tmp_path / "own.yaml:") in line for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"multiply": None}, "give `mac`, or `multiply` and `add`"),
        ({"mac": {"integer": {8: 1}}}, "`mac` already includes multiply and add"),
        ({"sram": {"bits": 64, "energy": {}}}, "at least 1 item"),
    ],
)
def test_tables_that_contradict_themselves(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnergyTable.model_validate(yaml.safe_load(OWN) | changes)


def test_a_table_without_the_formats_is_refused() -> None:
    floats = "precision={ifmap: float16, filter: float16, psum: float32, ofmap: float16}"
    with pytest.raises(InputError, match="eyeriss_65nm has no float arithmetic"):
        load_hardware("edge_ws", ["energy=eyeriss_65nm", floats])
    assert load_hardware("edge_ws", ["energy=horowitz_45nm", floats]).energy
