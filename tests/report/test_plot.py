"""Figures for papers: every layer is drawn, twice the same, and what cannot be drawn is said."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from results_by_hand import LAYER, layer, run
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.report.plot import FORMATS
from accelsim.results import RunResult


def drawn(folder: Path, result: RunResult, kind: str, name: str = "f.svg") -> tuple[int, str]:
    source = folder / "r.json"
    source.write_text(json.dumps(result.as_dict()))
    told = CliRunner().invoke(app, ["plot", kind, str(source), "-o", str(folder / name)])
    return told.exit_code, told.output


def test_a_mark_for_each_layer_and_the_same_bytes_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("ws", *(layer(100 + i, name=f"$x_{i}<&\x1b[2J\u202e\u5377") for i in range(5)))
    for kind, marks in (("roofline", 5), ("layers", 5)):
        assert drawn(tmp_path, result, kind)[0] == 0
        text = (tmp_path / "f.svg").read_text(encoding="utf-8")
        fromstring(text)
        assert not {"\x1b", "\u202e"} & {*text}
        uses = re.findall(r'<use xlink:href="#\w+" x="[\d.]+" y="[\d.]+" style="fill', text)
        patches = re.findall(r'<g id="patch_\d+">', text)
        assert (len(uses) if kind == "roofline" else len(patches)) >= marks
        assert drawn(tmp_path, result, kind)[0] == 0
        assert (tmp_path / "f.svg").read_text(encoding="utf-8") == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_is_told(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    name = f"f.{ending}"
    (tmp_path / name).symlink_to("/dev/full")
    status, said = drawn(tmp_path, run("ws", layer(9)), "layers", name)
    assert (status, "No space left" in said, "Traceback" in said) == (2, True, False)
    assert {path.name for path in tmp_path.iterdir()} == {name, "r.json"}


@pytest.mark.parametrize("kind", ["roofline", "layers", "timeline"])
def test_a_figure_is_as_wide_as_a_column_whatever_the_names(tmp_path: Path, kind: str) -> None:
    """3.5 inches are 252 points; nothing is told of letters that the font lacks."""
    pytest.importorskip("matplotlib")
    names = ("W" * 200, "\u5377\u7a4d" * 100, "block/" * 40 + "conv")
    result = run("ws", *(layer(100 + i, name=name) for i, name in enumerate(names)))
    assert drawn(tmp_path, result, kind) == (0, "")
    text = (tmp_path / "f.svg").read_text()
    assert 'width="252pt"' in text
    assert kind == "roofline" or "block/conv" in text


@pytest.mark.parametrize("name", ["f.pdf", "f.png"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    assert drawn(tmp_path, run("ws", layer(9)), "layers", name)[0] == 0
    assert (tmp_path / name).stat().st_size > 1000


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    status, said = drawn(tmp_path, run("ws", layer(9)), "layers", "f.gif")
    assert (status, "ends in none of .svg, .pdf, .png" in said) == (2, True)
    pytest.importorskip("matplotlib")
    free = run("ws", replace(LAYER, tiles=0))
    status, said = drawn(tmp_path, free, "roofline")
    assert (status, "no layer both multiplies" in said) == (2, True)


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, said = drawn(tmp_path, run("ws", layer(9)), "layers")
    assert (status, "pip install 'accelsim[report]'" in said) == (2, True)


@pytest.mark.parametrize("kind", ["layers", "timeline"])
def test_of_many_layers_the_longest_are_drawn_and_it_is_said(tmp_path: Path, kind: str) -> None:
    """No bar of the others together, which would be longer than all."""
    pytest.importorskip("matplotlib")
    result = run("ws", *(layer(100 + i, name=f"l{i}") for i in range(45)))
    assert drawn(tmp_path, result, kind) == (0, "")
    text = (tmp_path / "f.svg").read_text()
    assert "cycles (5 shorter layers are left out)" in text
    assert "<!-- l5 -->" in text
    assert "<!-- l4 -->" not in text
