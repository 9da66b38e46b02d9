"""Reading YAML: exact places of keys and values, and everything a file can get wrong."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from accelsim.errors import InputError
from accelsim.frontend.findings import validation_problems
from accelsim.frontend.source import Document, dotted, read_yaml


def document(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def problems(found: Document) -> list[str]:
    return [str(problem).removeprefix(found.source + ":") for problem in found.problems]


def test_positions_count_from_one(tmp_path: Path) -> None:
    found = document(tmp_path, "name: x\narray:\n  rows: 32\n  shape: [1, 22]\n")
    assert found.data == {"name": "x", "array": {"rows": 32, "shape": [1, 22]}}
    assert found.position(("array", "rows")) == (3, 9)
    assert found.key_position(("array", "rows")) == (3, 3)
    assert found.position(("array", "shape", 1)) == (4, 14)
    assert found.position(("array", "missing", "deeper")) == found.position(("array",)) == (3, 3)
    assert found.key_position(("array", "missing")) == (3, 3)


@pytest.mark.parametrize("text", ["a: é\nb: 1\n", "\ufeffa: é\r\nb: 1\r\n"], ids=["lf", "bom-crlf"])
def test_encodings_leave_places_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(text.encode())
    found = read_yaml(path)
    assert found.data == {"a": "é", "b": 1}
    assert found.position(("b",)) == (2, 4)


def test_keys_are_text_as_written(tmp_path: Path) -> None:
    found = document(tmp_path, "1: a\n3.5: b\nyes: c\n0x10: d\n~: e\n2024-01-01: f\n")
    assert list(found.data) == ["1", "3.5", "yes", "0x10", "~", "2024-01-01"]


def test_scalars(tmp_path: Path) -> None:
    found = document(tmp_path, "a: [1, 2.5, true, null, text, 2024-01-01, 64 KiB, '1']\n")
    assert found.data == {"a": [1, 2.5, True, None, "text", "2024-01-01", "64 KiB", "1"]}


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    found = document(tmp_path, "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{y: 9}, *a]}\n")
    assert found.data["b"] == {"x": 1, "y": 3}
    assert found.data["c"] == {"y": 9, "x": 1}
    assert found.position(("b", "x")) == (1, 11)
    assert found.problems == ()


def multiplied(levels: int) -> str:
    """Each level has nine aliases of the one before: nine levels are 387 million values."""
    lines = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels + 1))
    return "a0: &a0 [x]\n" + "".join(lines)


def test_anchors_that_multiply(tmp_path: Path) -> None:
    assert len(document(tmp_path, multiplied(4)).data) == 5
    with pytest.raises(InputError, match=r"yaml:7:5: holds more than 250,000 values, those behind"):
        document(tmp_path, multiplied(9))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb:\n  c: 1\n  c: 2\na: 3\na: 4\n",
            [
                "4:3: b.c: duplicate key 'c', first given in line 3",
                "5:1: a: duplicate key 'a', first given in line 1",
                "6:1: a: duplicate key 'a', first given in line 1",
            ],
        ),
        ("a: &a [1, *a]\n", ["1:4: a[1]: the anchored value contains itself"]),
        ("a: &a\n  <<: *a\n", ["1:4: a: the anchored value contains itself"]),
        ("a: {<<: 3}\n", ["1:9: a: `<<` merges mappings only"]),
        ("a: !!int three\n", ["1:4: a: 'three' is no YAML int"]),
        ("a: !new x\n", ["1:4: a: the tag !new is not supported; write a plain value"]),
        ("a: !!set {x}\n", ["1:4: a: the tag !!set is not supported; write a plain value"]),
        ("? [1]\n: x\n", ["1:3: a key must be text, not a list or a mapping"]),
    ],
)
def test_faults_that_leave_the_rest_readable(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(document(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("number", "value"),
    [
        *[("010", 8), ("064", 52), ("-017", -15), ("0_1_6", 14), ("00", 0), ("1:30", 90)],
        *[("-1:30", -90), ("190:20:30", 685230), ("1:30.5", 90.5), ("1_", 1), ("1__0", 10)],
    ],
)
def test_numbers_that_are_others_than_they_look(tmp_path: Path, number: str, value: float) -> None:
    """YAML 1.1 knows octal and base 60; whoever writes 064 means 64, or a text."""
    told = f"{number} is read as {value} in YAML; write {value} if you mean that, or quote it"
    found = document(tmp_path, f"a: 1\nb: {{c: [2, {number}]}}\n")
    assert found.data["b"] == {"c": [2, value]}  # which is no second problem
    (problem,) = problems(found)
    assert problem.startswith(f"2:12: b.c[1]: {told}")
    quoted = document(tmp_path, f"b: '{number}'\n{number}: 1\n")
    assert (quoted.data, quoted.problems) == ({"b": number, number: 1}, ())


def test_numbers_that_are_what_they_look(tmp_path: Path) -> None:
    text = "[0, -7, +3, 1_000, 0x1F, 0b101, 0.5, -0.5, 1.5e+3, 1_000.5, 010.5, .inf]"
    found = document(tmp_path, f"a: {text}\n")
    values = [0, -7, 3, 1000, 31, 5, 0.5, -0.5, 1500.0, 1000.5, 10.5, float("inf")]
    assert (found.data, found.problems) == ({"a": values}, ())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ":1: the file is empty; see the README for what it should hold"),
        (b"# only this\n", ":1: the file is empty; see the README for what it should hold"),
        (b"- a\n", ":1:1: expected a mapping of keys to values at the top"),
        (b"\n\n  text\n", ":3:3: expected a mapping of keys to values at the top"),
        (b"a: 1\nb: \xff\n", ":2: not UTF-8 text: byte 0xff; save the file as UTF-8"),
        (
            b"a: " + b"[" * 3000 + b"]" * 3000,
            ":1:53: nested too deeply; at most 50 levels can be read",
        ),
        (
            b"a: " + b"[" * 60 + b"\n}",
            ":1:53: nested too deeply; at most 50 levels can be read",
        ),
        (
            b"a:\n" + b"".join(b" " * level + b"-\n" for level in range(60)),
            ":51:50: nested too deeply; at most 50 levels can be read",
        ),
    ],
    ids=["empty", "comment", "list", "text", "latin", "too deep", "deep and wrong", "deep block"],
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_unreadable_files(
    tmp_path: Path, content: bytes, expected: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message each, whichever of PyYAML's parsers reads the file."""
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader, yaml.SafeLoader), raising=False)
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}{expected}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\nb: 2\n", "2:2"),
        ("a: 1\n\tb: 2\n", "2:1"),
        ("a: *nowhere\n", "1:4"),
        ("a: 1\n---\nb: 2\n", "2:1"),
    ],
    ids=["open list", "tab", "alias", "two documents"],
)
def test_syntax_errors_name_their_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="not valid YAML") as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}:{place}: not valid YAML: ")


def test_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(b"a: \x00\n")
    with pytest.raises(InputError, match="not valid YAML"):
        read_yaml(path)


def test_no_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a directory"):
        read_yaml(tmp_path)


def test_dotted() -> None:
    assert dotted(("layers", "conv1", "kernel", 0)) == "layers.conv1.kernel[0]"
    assert dotted(()) == ""


class Array(BaseModel, extra="forbid"):
    rows: Annotated[int, Field(gt=0, strict=True)]
    cols: int
    dataflow: Literal["os", "ws"] = "os"


class Accelerator(BaseModel, extra="forbid"):
    name: str
    array: Array
    buffers: dict[str, Array] = {}
    choice: Array | Literal["none"] | int = "none"
    flags: list[bool] = []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "nam: x\narray: {rows: 0, cols: x, dataflw: os}\n",
            [
                "1:1: name: missing key 'name'",
                "1:1: nam: unknown key 'nam'; did you mean 'name'?",
                "2:15: array.rows: expected a number above 0, found 0",
                "2:24: array.cols: expected a whole number, found 'x'",
                "2:27: array.dataflw: unknown key 'dataflw'; did you mean 'dataflow'?",
            ],
        ),
        (
            "name: true\narray:\n  rows: 1\nbuffers:\n  a: {rows: 1, cols: 1, dataflow: rs}\n",
            [
                "1:7: name: expected quoted text, found true",
                "3:3: array.cols: missing key 'cols'",
                "5:35: buffers.a.dataflow: expected 'os' or 'ws', found 'rs'",
            ],
        ),
        ("name: x\narray: [1, 2]\n", ["2:8: array: expected a mapping, found a list of 2"]),
        ("name: x\narray:\n", ["2:7: array: expected a mapping, found nothing"]),
        (
            "name: x\narray: {rows: 1, cols: 1}\nchoice: some\nflags: [yes, 7]\n",
            [
                "3:9: choice: expected a mapping or 'none' or a whole number, found 'some'",
                "4:14: flags[1]: expected true or false, found 7",
            ],
        ),
        (
            "name: x\narray: {rows: 1, cols: 1}\nchoice: {rows: 0, cols: 1}\n",
            ["3:16: choice.rows: expected a number above 0, found 0"],
        ),
        (
            "name: x\narray: {rows: 1, cols: 1}\nbuffers: {a: {rows: 1, cols: 1, zzz: 2}}\n",
            ["3:33: buffers.a.zzz: unknown key 'zzz'; use one of cols, dataflow, rows"],
        ),
    ],
)
def test_refused_data_in_the_words_of_the_file(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    found = document(tmp_path, text)
    adapter = TypeAdapter(Accelerator)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(found.data)
    told = validation_problems(caught.value, found, adapter.json_schema())
    assert [str(problem).removeprefix(found.source + ":") for problem in told] == expected
