"""SCALE-Sim's .cfg files as hardware: versions 1 to 3, and everything that can be wrong."""

from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend.hardware_file import hardware_data, load_hardware
from accelsim.frontend.scalesim_cfg import STALL_FREE, unheeded

DEFAULT = """
[general]
run_name = scale_example_run_32x32_os

[architecture_presets]
ArrayHeight:    32
ArrayWidth:     32
IfmapSramSzkB:   64
FilterSramSzkB:  64
OfmapSramSzkB:   64
IfmapOffset:    0
Bandwidth : 10
Dataflow : ws
MemoryBanks:   1

[sparsity]
SparsitySupport : false

[run_presets]
InterfaceBandwidth: USER
"""
VERSION_1 = """
[general]
run_name = "tpu"
[architecture_presets]
ArrayHeight:    256
ArrayWidth:     128
IfmapSramSz:    6144
FilterSramSz:   6144
OfmapSramSz:    2048
Dataflow:       OS
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "some.cfg"
    path.write_text(text)
    return path


def test_its_default_is_the_built_in_hardware(tmp_path: Path) -> None:
    """But for the name and what is said of it."""
    named = {"name", "description"}
    read = load_hardware(written(tmp_path, DEFAULT))
    assert read.model_dump(exclude=named) == load_hardware("scalesim_default").model_dump(
        exclude=named
    )
    assert read.name == "scale_example_run_32x32_os"


def test_version_1(tmp_path: Path) -> None:
    """It has no bandwidth, and other names for the buffers."""
    path = written(tmp_path, VERSION_1)
    hardware = load_hardware(path)
    assert hardware.name == "tpu"
    assert (hardware.array.rows, hardware.array.cols, hardware.array.dataflow) == (256, 128, "os")
    assert hardware.buffers["ofmap_sram"].size == 2048 * 1024
    assert hardware_data(path)["dram"]["bandwidth"] == STALL_FREE
    assert unheeded(path) == ["no bandwidth is given (CALC), so nothing waits for DRAM"]


def test_settings_and_what_is_not_heeded(tmp_path: Path) -> None:
    path = written(tmp_path, DEFAULT + "UseRamulatorTrace: True\n")
    assert load_hardware(path, ["array.rows=8"]).array.rows == 8
    first, second = unheeded(path)
    assert first.startswith("not heeded: addresses, the banks of the buffers, a trace of Ramulator")
    assert "which all three buffers share" in second
    path = written(tmp_path, DEFAULT.replace("MemoryBanks", "WordSize").replace(" 10", " 10, 20"))
    assert unheeded(path)[1:3] == [
        "not known, so not heeded: 'wordsize'",
        "of the bandwidths the first is taken, as SCALE-Sim does",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ArrayHeight:    32", "ArrayHeight: x", ":6:1: arrayheight: expected a whole number"),
        ("ArrayHeight:    32", "ArrayHeight: 0", "expected a whole number above 0, found '0'"),
        ("ArrayWidth", "ArrayWidht", "arraywidth: is missing; did you mean 'arraywidht'?"),
        ("Dataflow : ws", "Dataflow : rs", "expected one of os, ws, is, found 'rs'"),
        ("SparsitySupport : false", "SparsitySupport : true", "accelsim has no sparsity"),
        ("Bandwidth : 10", "Bandwidth : ten", "bandwidth: expected a whole number"),
        ("[general]", "general", "is no .cfg"),
        ("MemoryBanks", "Dataflow", ":14: dataflow: is there twice"),
        ("[sparsity]", "[general]", ":16: [general]: is there twice"),
        (DEFAULT, "", "some.cfg:1: the file is empty"),
        ("FilterSramSzkB:  64", "FilterSram", ":9: is no .cfg: sections"),
        ("USER", "USR", ":20:1: interfacebandwidth: expected USER or CALC, found 'USR'"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        load_hardware(written(tmp_path, DEFAULT.replace(old, new)))
    assert told in str(caught.value)


def test_an_array_too_large_is_told_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"some\.cfg:6:1: array\.rows"):
        load_hardware(written(tmp_path, DEFAULT.replace("Height:    32", "Height: 99999999")))


def test_a_key_that_is_meant_is_no_guess_for_one_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"arrayheight: is missing$"):
        load_hardware(written(tmp_path, DEFAULT.replace("ArrayHeight:    32", "")))
