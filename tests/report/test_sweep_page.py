"""The page and the figures of a sweep."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sweep_report import RECORDS, SIZE, record, summary

from accelsim.cli import app
from accelsim.errors import InputError
from accelsim.report.page.explored import MOST_LINES, _Scale, sweep_page
from accelsim.sweep.about import About
from accelsim.sweep.summary import Summary

NAMES = ["network", "array.rows", SIZE]


def large(points: int) -> Summary:
    about = About("s", "", "", {"cycles": "min", "tops_per_watt": "max"}, (), "0", "0")
    some = [record("a", rows, 10**9 - rows * rows, rows % 97 / 7) for rows in range(points)]
    return Summary(Path("s.sqlite"), about, points, NAMES, some)


def data_of(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        re.search(r"<script type=\S+ class=data>(.*?)</script>", page)[1]
    )
    return found


def test_every_point_is_in_every_picture_and_table() -> None:
    page = sweep_page(summary("sum"))
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["a", "b", "sum over all networks"]
    marks = re.findall(r"<circle [^>]*data-k=(\S+?)[ >]", page)
    assert len(marks) == len(set(marks)) == 2 + 2 + 2
    for mark in marks:
        assert page.count(f"data-k={mark}") == 2  # a dot and a line
        assert f">{mark.strip(chr(34))}<" in page  # and a row
    assert len(re.findall(r"class=a0[ >]", page)) >= len(summary().fronts["a"])


def test_the_heat_map_has_all_numbers() -> None:
    data = data_of(sweep_page(summary()))
    assert data["axes"] == [["array.rows", ["8", "16"]], [SIZE, ["56", "112"]]]
    assert data["goals"] == [["cycles", "min"], ["tops_per_watt", "max"]]
    assert data["points"] == [[0, 0, 400, 1.0], [1, 1, 100, 1.0]]


@pytest.mark.slow
def test_five_thousand_points_stay_below_two_megabytes() -> None:
    page = sweep_page(large(5000))
    assert len(page.encode()) < 2_000_000
    assert page.count("<circle ") == 5000
    assert page.count("<polyline ") <= MOST_LINES + page.count("line best")
    assert len(data_of(page)["points"]) == 5000


def test_names_are_text() -> None:
    about = About("<i>s</i>", "", "", {"cycles": "min"}, (), "0", "0")
    some = [
        {**record("a", rows, rows), "network": "</script><b>", "k": f"</script>{rows}"}
        for rows in (1, 2)
    ]
    page = sweep_page(Summary(Path("s"), about, 2, [*NAMES, "k"], some))
    assert "<i>s" not in page
    assert "</script><b>" not in page
    assert page.count("</script>") == 2  # of the data, and of the script itself


def test_nothing_done_and_nothing_feasible() -> None:
    about = About("s", "", "", {"cycles": "min"}, (), "0", "0")
    assert "No point is done yet." in sweep_page(Summary(Path("s"), about, 3, NAMES, []))
    failed = {**RECORDS[0], "status": "failed", "error": "x"}
    assert "1 failed" in sweep_page(Summary(Path("s"), about, 3, NAMES, [failed]))
    lacking = Summary(Path("s"), about, 1, NAMES, [{**RECORDS[0], "cycles": None}])
    assert "No point meets every constraint." in sweep_page(lacking)


@pytest.mark.parametrize("kind", ["pareto", "heatmap"])
def test_figures(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from accelsim.report.sweep_plot import write_sweep_plot

    first, again = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, again):
        write_sweep_plot(kind, summary(), str(path))
    assert first.read_bytes() == again.read_bytes()
    with pytest.raises(InputError, match="did you mean"):
        write_sweep_plot(kind, summary(), str(first), ["array.row", "cycle"])


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    text = "name: s\nnetworks: [lenet5]\nbase: edge_ws\nmatrix: {array.rows: [8, 16]}\n"
    Path("s.yaml").write_text(text + "objectives: {cycles: min, dram_bytes: min}\n")
    for command in (
        "sweep s.yaml --jobs 1 -q --report a.html",
        "results s.sqlite -q --report b.html",
        "report s.sqlite -o c.html",
    ):
        assert CliRunner().invoke(app, command.split()).exit_code == 0, command
    assert Path("a.html").read_text() == Path("b.html").read_text()
    assert "lenet5" in Path("c.html").read_text()
    refused = CliRunner().invoke(app, ["results", "s.sqlite", "--report", "s.sqlite"])
    assert refused.exit_code == 2
    refused = CliRunner().invoke(app, ["report", "s.sqlite", "s.yaml", "-o", "d.html"])
    assert (refused.exit_code, Path("d.html").exists()) == (2, False)
    assert "s.sqlite: is a sweep's results, which have a page of their own" in refused.output
    refused = CliRunner().invoke(app, ["plot", "layers", "s.sqlite", "-o", "d.svg"])
    assert "s.sqlite: is an SQLite file, such as a sweep's results; expected" in refused.output


@given(st.floats(-1000, 1000), st.floats(1e-6, 1e12))
def test_an_axis_has_a_few_round_numbers(place: float, span: float) -> None:
    """Two to seven of them, within the axis, each one, two or five times a power of ten apart."""
    scale = _Scale.of([place * span, place * span + span], 0, 100)
    ticks = scale.ticks
    assert 2 <= len(ticks) <= 7
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert f"{ticks[1] - ticks[0]:.3e}"[0] in "125"
