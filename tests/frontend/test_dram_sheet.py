"""`dram: {timing: ...}` in hardware files: names, overrides and every mistake with its place."""

from pathlib import Path

import pytest
from oracles.dram_sheets import STANDARDS

from accelsim.errors import InputError
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.hardware import Hardware

TEXT = """\
name: tiny
clock: 1 GHz
array: {rows: 4, cols: 4, dataflow: ws}
buffers:
  all: {holds: [ifmap, filter, psum, ofmap], size: 4 KiB}
vector_unit: {lanes: 4}
"""


def load(tmp_path: Path, dram: str, *settings: str) -> Hardware:
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{TEXT}dram: {{{dram}}}\n", encoding="utf-8")
    return load_hardware(path, settings)


@pytest.mark.parametrize("name", STANDARDS)
def test_a_name_is_enough(tmp_path: Path, name: str) -> None:
    timing = load(tmp_path, f"timing: {name}").dram.timing
    assert timing is not None
    assert timing.standard == name


@pytest.mark.parametrize("name", STANDARDS)
def test_hardware_with_a_sheet_is_changed_as_its_file_would_be(name: str) -> None:
    """Further supplies, which LPDDR4-3200 has, are a list of parts with keys of their own."""
    timing = f"dram.timing={name}"
    changed = with_settings(load_hardware("edge_ws", [timing]), ["array.rows=64"])
    assert changed == load_hardware("edge_ws", [timing, "array.rows=64"])


def test_what_follows_in_cycles(tmp_path: Path) -> None:
    hardware = load(tmp_path, "timing: DDR4-3200")
    assert float(hardware.dram_bytes_per_cycle) == 25.6
    assert hardware.dram_burst == 64
    assert hardware.dram_latency_cycles == 29  # (22 + 22 + 1) clocks of 625 ps, rounded up


def test_overrides_replace_the_sheet(tmp_path: Path) -> None:
    hardware = load(tmp_path, "timing: {standard: DDR4-3200, channels: 2, nRCD: 30}")
    timing = hardware.dram.timing
    assert timing is not None
    assert (timing.channels, timing.nRCD, timing.nCL) == (2, 30, 22)
    assert float(hardware.dram_bytes_per_cycle) == 51.2


def test_settings_replace_either_form(tmp_path: Path) -> None:
    plain = load(tmp_path, "timing: DDR4-3200", "dram={bandwidth: 3 GB/s}")
    assert (plain.dram.timing, plain.dram_bytes_per_cycle, plain.dram_burst) == (None, 3, 1)
    timed = load(tmp_path, "bandwidth: 3 GB/s", "dram={timing: HBM2}")
    assert timed.dram_bytes_per_cycle == 32
    more = load(tmp_path, "timing: {standard: HBM2}", "dram.timing.channels=8")
    assert more.dram_bytes_per_cycle == 256


def test_a_setting_takes_the_place_of_the_other_form(tmp_path: Path) -> None:
    plain = "bandwidth: 3 GB/s, latency: 9 ns, burst: 32 B"
    timed = load(tmp_path, "timing: HBM2")
    assert load(tmp_path, plain, "dram.timing=HBM2") == timed
    assert load(tmp_path, "timing: HBM2", "dram.bandwidth=3 GB/s", "dram.latency=9 ns") == (
        load(tmp_path, "bandwidth: 3 GB/s, latency: 9 ns")
    )
    wider = load(tmp_path, plain, "dram.timing=HBM2", "dram.timing.channels=4")
    assert wider == load(tmp_path, "timing: HBM2", "dram.timing.channels=4")
    assert wider.dram_bytes_per_cycle == 4 * timed.dram_bytes_per_cycle
    with pytest.raises(InputError, match="both timing and latency are given"):
        load(tmp_path, plain, "dram.timing=HBM2", "dram.latency=9 ns")


@pytest.mark.parametrize(
    ("dram", "place", "message"),
    [
        ("timing: DDR4-2401", "7:16: dram.timing: ", "did you mean 'DDR4-2400'?"),
        ("timing: {standard: HBM}", "7:27: dram.timing.standard: ", "did you mean 'HBM2'?"),
        ("timing: {channels: 2}", "7:16: dram.timing: ", "expected the name of a DRAM standard"),
        ("timing: [DDR4-2400]", "7:16: dram.timing: ", "expected the name of a DRAM standard"),
        ("timing: {standard: HBM2, nRDC: 3}", "7:33: dram.timing.nRDC: ", "did you mean 'nRC'?"),
        ("timing: {standard: HBM2, nRC: x}", "7:38: dram.timing.nRC: ", "a whole number"),
        ("timing: {standard: HBM2, banks: 3}", "7:16: dram.timing: ", "powers of two"),
        ("timing: HBM2, burst: 64 B", "7:7: dram: ", "both timing and burst are given"),
        ("latency: 100 ns", "7:7: dram: ", "give a bandwidth, such as 16 GB/s, or the timing"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, dram: str, place: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, dram)
    (problem,) = caught.value.problems
    assert f"tiny.yaml:{place}" in str(problem)
    assert message in str(problem)


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--set dram\.timing=DDR5: dram\.timing: unknown"):
        load(tmp_path, "timing: HBM2", "dram.timing=DDR5")
