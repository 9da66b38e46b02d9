"""Area and leakage by published points: by hand, and absent where nothing is known."""

from math import log

import pytest
from machines import machine, split

from accelsim.facade import simulate
from accelsim.frontend.energy_file import load_energy_table
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.hardware import Hardware
from accelsim.report.description import silicon
from accelsim.report.run import run_sheets
from accelsim.results.silicon import area_mm2, leakage_watts, register_bits, silicon_dict

TABLE = "energy=horowitz_45nm"
BITS = "precision={ifmap: int8, filter: int8, psum: int32, ofmap: int8}"


def small(*settings: str) -> Hardware:
    """Two rows and three columns of PEs."""
    hardware = machine(split(), array={"rows": 2, "cols": 3, "dataflow": "ws"})
    return with_settings(hardware, [BITS, TABLE, *settings])


def own_areas(parts: str) -> str:
    """A table of one's own with areas of some `parts`."""
    return (
        "energy={name: own, mac: {integer: {8: 1}}, register_file: {bits: 8, energy: 1}, "
        "network: {bits: 8, energy: 1}, sram: {bits: 8, energy: {1 KiB: 1}}, "
        f"dram: {{bits: 8, energy: 1}}, area_um2: {{technology: 7 nm, {parts}}}}}"
    )


def test_a_pe_by_hand() -> None:
    """An 8-bit multiplier is a sixteenth of one of 32 bits; 8 + 8 + 32 bits of registers."""
    each = 6351.338 / 16 + 277.9792 + 48 * 5.981433
    area, leaks = area_mm2(small()), leakage_watts(small())
    assert area is not None
    assert area.pes == pytest.approx(6 * each * 1e-6)
    assert area.technology == "40 nm, SRAM and DRAM interface 45 nm"
    assert leaks is not None
    assert leaks.pes == pytest.approx(6 * (77.86052 / 16 + 2.249908 + 48 * 0.07395312) * 1e-6)


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ([], 8 + 8 + 32),
        (["array.psum_registers=2"], 8 + 8 + 64),
        (["array.mac_stages=3"], 8 + 8 + 96),
        (["array.fold_overlap=pipelined"], 8 + 8 + 32 + 8),
        (["array.fold_overlap=pipelined", "array.dataflow=os"], 8 + 8 + 32 + 32),
        (["array.fold_overlap=pipelined", "array.dataflow=best"], 8 + 8 + 32 + 32),  # os needs most
        (["array.psum_registers=2", "array.dataflow=best"], 8 + 8 + 64),  # ws and is do
    ],
)
def test_registers_of_a_pe(settings: list[str], bits: int) -> None:
    assert register_bits(small(*settings)) == bits


def test_what_is_not_known_is_absent() -> None:
    """A plain rate has no interface; the table has no floats, and that of Eyeriss no areas."""
    known = silicon_dict(small())
    assert {*known} == {"area_mm2", "leakage_watts"}
    assert {*known["area_mm2"]} == {"technology", "pes", "buffers"}
    assert silicon_dict(load_hardware("eyeriss")) == {}
    floats = "precision={ifmap: float16, filter: float16, psum: float32, ofmap: float16}"
    for hardware in (small(floats), with_settings(load_hardware("eyeriss"), [TABLE, floats])):
        assert {*silicon_dict(hardware)["area_mm2"]} == {"technology", "buffers"}


def test_scratch_pads_by_hand() -> None:
    """Eyeriss: 16 bits, registers of 12 + 24 words and an SRAM of 224 = 448 B, 168 of them."""
    area = area_mm2(with_settings(load_hardware("eyeriss"), [TABLE]))
    assert area is not None
    pad = 1240.624 * (448 / 256) ** (log(5065.704 / 1240.624) / log(4))
    each = 6351.338 / 4 + 277.9792 / 2 + 36 * 16 * 5.981433 + pad
    assert area.pes == pytest.approx(168 * each * 1e-6)
    assert area.buffers["global_buffer"] == pytest.approx(25 * 16406.082e-6)


def test_srams_of_the_built_in_table() -> None:
    """Its own points; several of the largest beyond it, so 24 MiB are 2,520.6 of 9,984 B."""
    parts = load_energy_table("horowitz_45nm").area_um2
    assert parts is not None
    assert parts.of_sram(4096) == pytest.approx(16406.082)
    assert parts.of_sram(24 << 20) == pytest.approx((24 << 20) / 9984 * 45478.818)
    assert parts.of_sram(8192, bank=4096) == pytest.approx(2 * 16406.082)
    assert parts.of_interface("DDR3-2133") == parts.of_interface("DDR3") == 11396667.0
    assert parts.of_interface("HBM2") is None


def test_srams_and_interfaces_of_ones_own_table() -> None:
    """In proportion to the one size; an interface for each channel; buffers for each array."""
    own = own_areas("sram: {2 KiB: 500}, dram_interface: {DDR4-2400: 1000}")
    timing = "dram={timing: {standard: DDR4-2400, channels: 2}}"
    area = area_mm2(small(own, timing, "array.count=2"))
    assert area is not None
    assert area.pes is None
    assert area.buffers == pytest.approx(dict.fromkeys(small().buffers, 2 * 250e-6))
    assert area.dram_interface == pytest.approx(2000e-6)


def test_a_run_says_what_is_known() -> None:
    result = simulate("lenet5", "edge_ws", set=[TABLE])
    hardware = load_hardware("edge_ws", [TABLE])
    told = " ".join(note for sheet in run_sheets(result, hardware) for note in sheet.notes)
    assert "Area, 40 nm, SRAM and DRAM interface 45 nm: PEs" in told
    assert "ofmap_sram 0.299 mm2; not known: DRAM interface" in told
    assert "not in the sum" in told
    assert result.as_dict()["made_by"]["derived"]["area_mm2"]["pes"] > 0


def test_where_no_part_is_known_that_is_said() -> None:
    """A table that has a register alone knows no PE."""
    told = dict(silicon(small(own_areas("register_bit: 1"))))
    assert told["area, 7 nm"] == "not known for any part"
