"""Hardware files and settings: what they mean, and every mistake with its place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import SYSTOLIC

from accelsim.errors import InputError
from accelsim.facade import simulate
from accelsim.frontend.builtin import builtin_names
from accelsim.frontend.hardware_file import load_hardware

TEXT = """\
name: tiny
clock: 1 GHz
array:
  rows: 4
  cols: 4
  dataflow: ws
buffers:
  all: {holds: [ifmap, filter, psum, ofmap], size: 4 KiB}
vector_unit: {lanes: 4}
dram: {bandwidth: 16 GB/s}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_hardware(path)
    return [str(problem).removeprefix(f"{path}") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("rows: 4", "rows: four", "4:9: array.rows: expected a whole number, found 'four'"),
        ("rows: 4", "rows: 0", "4:9: array.rows: expected a number above 0, found 0"),
        ("rows: 4", "rows: 4\n  rows: 5", "5:3: array.rows: duplicate key 'rows', first given in"),
        ("1 GHz", "1 GB", "2:8: clock: unknown unit 'GB' in '1 GB'; use one of Hz, kHz"),
        ("4 KiB", "4", "8:52: buffers.all.size: expected a number with a unit such as '64 KiB'"),
        ("psum, ", "", "8:3: buffers: no buffer holds psum; add it to a buffer's `holds`"),
        ("16 GB/s", "16 GB", "10:19: dram.bandwidth: unknown unit 'GB' in '16 GB'; use bytes per"),
        ("flow: ws", "flow: xs", "6:13: array.dataflow: expected 'os', 'ws', 'is' or 'rs'"),
        ("flow: ws", "flow: rs", "4:3: array: dataflow rs needs the spads and networks of the PEs"),
        ("vector_unit: {lanes: 4}\n", "", "1:1: vector_unit: missing key"),
        ("name: tiny", "name: 3", "1:7: name: expected quoted text, found 3"),
    ],
)
def test_a_mistake_and_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    (found,) = faults(tmp_path, TEXT.replace(old, new, 1))
    assert found.startswith(":" + expected)


def test_a_misspelt_key_is_missing_too(tmp_path: Path) -> None:
    assert faults(tmp_path, TEXT.replace("rows: 4", "row: 4")) == [
        ":4:3: array.rows: missing key 'rows'",
        ":4:3: array.row: unknown key 'row'; did you mean 'rows'?",
    ]


def test_all_mistakes_at_once_in_file_order(tmp_path: Path) -> None:
    text = TEXT.replace("1 GHz", "1").replace("rows: 4", "rows: x").replace("lanes", "lane")
    text = text.replace("16 GB/s", "fast").replace("cols: 4", "cols: 4\n  cols: 4")
    found = faults(tmp_path, text)
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    keys = [line.split(": ")[1] for line in found]
    assert keys == [
        *("clock", "array.rows", "array.cols"),
        *("vector_unit.lanes", "vector_unit.lane", "dram.bandwidth"),
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), ("- a\n", "mapping"), ("a: [", "not valid")]
)
def test_what_is_no_hardware_file(tmp_path: Path, text: str, message: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert message in fault


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'edge_ws'"):
        load_hardware("edge_wz")
    with pytest.raises(InputError, match="no such file"):
        load_hardware(tmp_path / "none.yaml")


# --- Settings -------------------------------------------------------------------------------------


def test_settings_replace_what_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    hardware = load_hardware(
        path,
        [
            *("array.rows=8", "buffers.all.size=8 KiB", "dram.latency = 5 cycles"),
            *("precision.psum=int24", "array.rows=16"),
        ],
    )
    assert hardware.array.rows == 16  # the last one counts
    assert hardware.buffers["all"].size == 8192
    assert hardware.dram_latency_cycles == 5
    assert hardware.precision.psum == "int24"
    assert load_hardware(path).array.rows == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("array.rows", "expected KEY=VALUE"),
        ("=4", "expected KEY=VALUE"),
        ("array.rows=four", "array.rows: expected a whole number, found 'four'"),
        ("array.row=4", "array.row: unknown key 'row'; did you mean 'rows'?"),
        ("array.rows.x=4", "array.rows is no mapping"),
        ("array.rows=[", "array.rows: not valid YAML"),
        ("array.rows=010", "array.rows: 010 is read as 8 in YAML; write 8 if you mean that, or"),
        ("array.rows=1:30", "array.rows: 1:30 is read as 90 in YAML"),
        ("array={rows: 1_}", "array: 1_ is read as 1 in YAML"),
        ("buffers={all: {size: 1, size: 2}}", "buffers: duplicate key 'size'"),
        ("array.rows=", "array.rows: expected a whole number, found nothing"),
        ("clock=3", "clock: expected a number with a unit"),
        ("buffers.all.holds=[ifmap]", "buffers: no buffer holds filter, psum, ofmap"),
        ("precision.psum=float32", "precision: integer and float formats do not mix"),
    ],
)
def test_bad_settings(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_hardware(written(tmp_path, TEXT), [setting])
    assert str(caught.value).startswith(f"--set {setting}: {message}")


def test_several_bad_settings_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    with pytest.raises(InputError) as caught:
        load_hardware(path, ["array.rows=x", "clock=y", "nonsense=1"])
    assert len(caught.value.problems) == 3


# --- The built-in accelerators --------------------------------------------------------------------


WITH_SPADS = [("eyeriss", "rs")]


def test_which_accelerators_have_spads() -> None:
    have = [name for name in builtin_names("configs") if load_hardware(name).array.row_stationary]
    assert [(name, "rs") for name in have] == WITH_SPADS


def each_under_one() -> Iterator[Any]:
    """Every accelerator under every dataflow; plainly, each under one, and all of these."""
    for index, name in enumerate(builtin_names("configs")):
        for place, flow in enumerate(SYSTOLIC):
            marks = () if place == (index + 1) % len(SYSTOLIC) else pytest.mark.slow
            yield pytest.param(name, flow, marks=marks)
    yield from WITH_SPADS


@pytest.mark.parametrize(("name", "dataflow"), [*each_under_one()])
def test_every_accelerator_runs_lenet5(name: str, dataflow: str) -> None:
    hardware = load_hardware(name)
    assert hardware.name == name
    assert hardware.description
    result = simulate("lenet5", hardware, dataflow)
    assert result.macs == 416_520
    assert result.dataflow == dataflow
    assert 0 < result.utilization < 1
