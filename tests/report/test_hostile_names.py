"""Names from anybody's files, in every output: nothing that a terminal or a spreadsheet obeys."""

import csv
import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest
from drawing import texts
from hypothesis import given

import accelsim
from accelsim.cli import app
from accelsim.errors import InputError, Problem
from accelsim.files import write_file
from accelsim.report.sheet import Column, Row, Sheet, rendered
from accelsim.report.tell import tell
from accelsim.text import cell, shown, visible

NAMES = ("\x1b]0;owned\x07\x1b[2J", "=HYPERLINK(1)", "\u202egnp", "@SUM(A1)", "+1", "a\nerror: b")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LAYERS = "".join(f"  {json.dumps(name)}: {{op: relu}}\n" for name in NAMES)
NETWORK = (
    f"name: {json.dumps(NAMES[0])}\ninput: {{channels: 3, height: 8, width: 8}}\nlayers:\n{LAYERS}"
)


def obeyed(text: str) -> set[str]:
    """Characters that a terminal does not merely show; line ends are meant."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs")} - {"\n"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, a machine and a sweep with hostile names in a hostile path."""
    from accelsim.frontend.builtin import builtin_path

    monkeypatch.chdir(tmp_path)
    Path("n.yaml").write_text(NETWORK, encoding="utf-8")
    Path("\u202e.yaml").write_text(NETWORK, encoding="utf-8")
    machine = builtin_path("configs", "edge_ws").read_text(encoding="utf-8")
    machine = machine.replace("name: edge_ws", f"name: {json.dumps(NAMES[1])}")
    Path("h.yaml").write_text(machine, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "show n.yaml",
        "show h.yaml",
        "run n.yaml h.yaml",
        "run n.yaml h.yaml --csv -",
        "run n.yaml h.yaml --json -",
        "run \u202e.yaml none\x1b[2J.yaml",
        "compare n.yaml --hardware h.yaml --dataflows ws",
        "compare n.yaml --hardware h.yaml --dataflows ws --csv -",
        "verify n.yaml h.yaml",
        "run n.yaml h.yaml --why",
        "train n.yaml h.yaml --loss squared_error",
        "compute n.yaml h.yaml --show @SUM(A1)",
        "explain n.yaml h.yaml @SUM(A1)",
        "run n.yaml h.yaml --set \x1b=1",
        "diff \x1b \u202e",
    ],
)
def test_commands(folder: Path, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        app(arguments.split(" "), prog_name="accelsim")
    printed = capsys.readouterr()
    assert left.value.code in (0, None, 2)
    assert not obeyed(printed.out + printed.err)
    assert "\nerror: b" not in printed.out + printed.err
    if "--csv" in arguments:
        cells = [each for row in csv.reader(io.StringIO(printed.out)) for each in row]
        assert not [each for each in cells if each.startswith(FORMULA)]


def test_files_of_a_run(folder: Path) -> None:
    files = {
        "--trace-dram": "t.csv",
        "--trace-sram": "s.csv",
        "--trace": "t.json",
        "--report": "r.html",
    }
    files |= {"--save-mapping": "m.yaml", "--csv": "o.csv", "--json": "o.json"}
    options = [part for pair in files.items() for part in pair]
    with pytest.raises(SystemExit) as left:
        app(["run", "n.yaml", "h.yaml", *options, "-q"], prog_name="accelsim")
    assert not left.value.code
    for name in files.values():
        text = Path(name).read_text(encoding="utf-8")
        assert not obeyed(text), name
        if name.endswith(".csv"):
            cells = [each for row in csv.reader(io.StringIO(text)) for each in row]
            assert not [each for each in cells if each.startswith(FORMULA)], name


def test_what_python_and_notebooks_show(folder: Path) -> None:
    network, machine = accelsim.load_network("n.yaml"), accelsim.load_hardware("h.yaml")
    said = {"name": NAMES[0], "networks": ["n.yaml"], "base": "h.yaml", "matrix": {"batch": [1]}}
    told = (
        *(network, machine, accelsim.simulate(network, machine)),
        *(accelsim.compare([network], [machine], "ws,os"), accelsim.compute(network)),
        *(accelsim.verify(network, machine), accelsim.sweep(said, "\u202e.sqlite", jobs=1)),
        *(accelsim.explain(network, machine, NAMES[0]), accelsim.what_would_help(network, machine)),
    )
    for each in told:
        page = each._repr_html_() if hasattr(each, "_repr_html_") else ""
        assert not obeyed(f"{each!r}{each}{page}"), type(each)
        assert "\nerror: b" not in f"{each!r}{each}{page}", type(each)


@given(texts(12))
def test_text(name: str) -> None:
    assert not obeyed(visible(name))
    assert not obeyed(str(Problem("x", name, 1, 1, name)))
    assert not str(cell(name)).startswith(FORMULA)
    sheet = Sheet(name, (Column(name, text=True),), (Row((name,)),), (Row((name,)),), (name,))
    assert not obeyed(rendered([sheet]))
    assert len(shown(name * 100)) < 100
    assert visible("layer 1 é 漢 64 KiB") == "layer 1 é 漢 64 KiB"


def test_messages_are_short() -> None:
    error = InputError(Problem("x" * 9000, "y" * 9000, 1, 1, "z" * 9000) for _ in range(900))
    assert len(str(error)) < 50 * 3000
    assert str(error).endswith("... and 850 more")


class Gone(io.StringIO):
    """A terminal that is not there any more."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_words_that_nobody_hears_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Gone(), closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        tell("progress")


# --- Output over input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "run n.yaml h.yaml --json n.yaml",
        "run n.yaml h.yaml --csv h.yaml",
        "run lenet5 edge_ws --json ./n.yaml",
        "show n.yaml --json link.json",
        "verify n.yaml h.yaml --json h.yaml",
        "compare n.yaml --hardware h.yaml --json h.yaml",
        "diff a.json a.json --json a.json",
        "results r.db --csv r.db",
        "results r.db --export r.db",
    ],
)
def test_no_output_overwrites_an_input(
    folder: Path, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "link.json").symlink_to("n.yaml")
    (folder / "a.json").write_text("{}")
    (folder / "r.db").write_bytes(b"SQLite format 3\0")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SystemExit) as left:
        app(arguments.split(), prog_name="accelsim")
    assert left.value.code == 2
    assert "give another path" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("kept")
    path.chmod(0o640)

    def full(self: Path, *_: object, **__: object) -> int:
        with self.open("w") as file:
            file.write("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(InputError, match="No space left"):
            write_file(str(path), "new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.json", b"kept")]
    (tmp_path / "link").symlink_to("a.json")
    write_file(str(tmp_path / "link"), "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert (tmp_path / "link").is_symlink()
