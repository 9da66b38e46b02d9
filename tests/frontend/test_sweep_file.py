"""Sweep files: what axes stand for, and every mistake with its place."""

from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend.sweep_file import load_sweep, sweep_from

TEXT = """\
name: tiny
networks: [lenet5]
base: edge_ws
matrix:
  array.rows: [8, 16]
  buffers.ifmap_sram.size: {pow2: [32 KiB, 128 KiB]}
objectives: {cycles: min}
constraints: {utilization: {min: 0.3}}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ([1, "a", True], (1, "a", True)),
        ({"pow2": [8, 64]}, (8, 16, 32, 64)),
        ({"pow2": [8, 8]}, (8,)),
        ({"pow2": ["32 KiB", "128 KiB"]}, ("32 KiB", "64 KiB", "128 KiB")),
        ({"pow2": ["512 KiB", "2 MiB"]}, ("512 KiB", "1024 KiB", "2048 KiB")),
        ({"pow2": ["1.5 GB/s", "6 GB/s"]}, ("1.5 GB/s", "3 GB/s", "6 GB/s")),
        ({"range": [8, 24, 8]}, (8, 16, 24)),
        ({"range": [5, 5, 1]}, (5,)),
        ({"range": ["8 GB/s", "16 GB/s", "4000 MB/s"]}, ("8 GB/s", "12 GB/s", "16 GB/s")),
        ({"range": ["500 MHz", "1 GHz", "250 MHz"]}, ("500 MHz", "750 MHz", "1000 MHz")),
        ({"range": ["100 ns", "0.2 us", "50 ns"]}, ("100 ns", "150 ns", "200 ns")),
        ({"range": [0.5, 1, 0.25]}, (0.5, 0.75, 1)),
    ],
)
def test_what_an_axis_stands_for(axis: object, values: tuple[object, ...]) -> None:
    sweep = sweep_from({"name": "x", "networks": ["lenet5"], "base": "b", "matrix": {"k": axis}})
    assert sweep.matrix["k"] == values


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[8, 16]", "[]", "5:15: matrix.array.rows: expected at least one value, found an empty"),
        ("[8, 16]", "8", "5:15: matrix.array.rows: expected a list of values, {pow2: "),
        ("[8, 16]", "{pow3: [1, 2]}", "5:15: matrix.array.rows: expected a list of values, {pow"),
        ("128 KiB", "100 KiB", "6:28: matrix.buffers.ifmap_sram.size: pow2: 100 KiB is not 32 KiB"),
        ("128 KiB", "16 KiB", "6:28: matrix.buffers.ifmap_sram.size: pow2: 16 KiB is not 32 KiB"),
        ("128 KiB", "128", "6:28: matrix.buffers.ifmap_sram.size: pow2: give all of them the same"),
        ("128 KiB", "128 K", "6:28: matrix.buffers.ifmap_sram.size: unknown unit 'K'"),
        ("[8, 16]", "{range: [1, 10, 4]}", "5:15: matrix.array.rows: range: stop is included, but"),
        ("[8, 16]", "{range: [9, 1, 4]}", "5:15: matrix.array.rows: range: stop is included, but"),
        ("[8, 16]", "{range: [1, 9]}", "5:15: matrix.array.rows: range: expected [start, stop, st"),
        ("[8, 16]", "{range: [1, 9, 0]}", "5:15: matrix.array.rows: expected a positive number"),
        ("[8, 16]", "{range: [1, 999999, 1]}", "5:15: matrix.array.rows: range: 999,999 values ar"),
        ("[8, 16]", "{pow2: [[1], 2]}", "5:15: matrix.array.rows: expected numbers, with units wh"),
        ("min: 0.3", "least: 3", "8:29: constraints.utilization.least: unknown key 'least'"),
        ("{min: 0.3}", "{}", "8:28: constraints.utilization: give min, max or both"),
        ("min: 0.3", "min: 0.3, max: 0.2", "8:28: constraints.utilization: min 0.3 is above max"),
        ("cycles: min", "cycles: less", "7:22: objectives.cycles: expected 'min' or 'max', found"),
        ("base: edge_ws\n", "", "1:1: base: missing key 'base'"),
        ("networks: [lenet5]\n", "", "1:1: name at least one network"),
        ("array.rows", "network", "1:1: give `networks`, or `network` in the matrix, not both"),
        ("matrix", "matrx", "4:1: matrx: unknown key 'matrx'; did you mean 'matrix'?"),
    ],
)
def test_a_mistake_and_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = written(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_sweep(path)
    (problem,) = caught.value.problems
    assert str(problem).removeprefix(f"{path}:").startswith(expected)


def test_all_mistakes_at_once_in_file_order(tmp_path: Path) -> None:
    text = (
        TEXT.replace("[8, 16]", "[]").replace("min: 0.3", "min: x").replace("name: tiny", "name: 3")
    )
    with pytest.raises(InputError) as caught:
        load_sweep(written(tmp_path, text))
    assert [problem.line for problem in caught.value.problems] == [1, 5, 8]


def test_sizes_bound_in_bytes(tmp_path: Path) -> None:
    text = TEXT.replace("utilization: {min: 0.3}", "buffer_bytes: {max: 512 KiB}")
    assert load_sweep(written(tmp_path, text)).constraints["buffer_bytes"].max == 2**19


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown sweep 'array_shap'; did you mean 'array_shape'"):
        load_sweep("array_shap")
    with pytest.raises(InputError, match="no such file"):
        load_sweep(tmp_path / "none.yaml")
