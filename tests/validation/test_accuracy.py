"""The page that `validate --report` makes, and its plot."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from references_by_hand import comparison, outcome, reference
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.validation import catalog
from accelsim.validation.accuracy import JUDGED, SHOWN, SIDE, accuracy_text, scatter
from accelsim.validation.outcome import Validation

SVG = "{http://www.w3.org/2000/svg}"
DOCS = Path(__file__).parents[2] / "docs"


def panels(validation: Validation) -> list[ElementTree.Element]:
    return ElementTree.fromstring(scatter(validation)).findall(f"{SVG}g")


def dots(panel: ElementTree.Element) -> dict[str, list[str]]:
    """Points by colour, as they are drawn."""
    paths = panel.findall(f"{SVG}path")
    return {each.attrib["stroke"]: each.attrib["d"].split("M")[1:] for each in paths}


def test_a_panel_for_each_reference() -> None:
    one = outcome(comparison(100.0), name="one")
    two = outcome(comparison(90.0), comparison(300.0, None, "b", "why"), name="<two>")
    drawn = panels(Validation((one, two)))
    names = [panel.findtext(f"{SVG}text") for panel in drawn]
    assert names == ["one", "<two>"]
    assert [sorted(dots(panel)) for panel in drawn] == [[JUDGED], [JUDGED, SHOWN]]


def test_what_is_right_lies_on_the_diagonal() -> None:
    (panel,) = panels(Validation((outcome(comparison(100.0), comparison(150.0, 1.0)),)))
    right, more = (tuple(map(int, dot[:-2].split())) for dot in dots(panel)[JUDGED])
    if right[0] + right[1] != SIDE:
        right, more = more, right
    assert right[0] + right[1] == SIDE
    assert more[0] == right[0]  # as much measured
    assert more[1] < right[1]  # simulated higher up


def test_points_on_one_pixel_are_one() -> None:
    many = outcome(*(comparison(100.0 + at / 1e6) for at in range(500)))
    (panel,) = panels(Validation((many,)))
    assert len(dots(panel)[JUDGED]) == 1


def test_what_has_no_logarithm_is_not_drawn() -> None:
    assert panels(Validation((outcome(comparison(0.0), comparison(float("nan"))),))) == []


def test_the_page_is_what_validate_prints() -> None:
    text = accuracy_text(Validation((outcome(comparison(105.0, 0.1, "one")),)), "plot.svg")
    assert "(plot.svg)" in text
    assert "x: title of x" in text
    assert "Nothing here judges: energy and area" in text


def test_the_command_writes_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = (reference("x", comparison(100.0)),)
    monkeypatch.setattr(catalog, "references", lambda only=(): by_hand)
    done = CliRunner().invoke(app, ["validate", "--report", str(tmp_path / "a.md")])
    assert done.exit_code == 0, done.output
    assert "(a.svg)" in (tmp_path / "a.md").read_text()
    assert ElementTree.fromstring((tmp_path / "a.svg").read_text()).tag == f"{SVG}svg"


@pytest.mark.parametrize("path", ["-", "", "a.svg", "none/a.md"])
def test_where_it_cannot_go(path: str) -> None:
    done = CliRunner().invoke(app, ["validate", "--report", path])
    assert done.exit_code == 2, done.output


def test_the_shipped_plot_is_small() -> None:
    assert (DOCS / "accuracy.svg").stat().st_size < 200_000
