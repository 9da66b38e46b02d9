"""The page of a run: what it draws is what the result says, and names are only ever text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from drawing import texts
from hypothesis import given
from results_by_hand import LAYER, layer, run
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import InputError
from accelsim.report.page.charts import Stretch, timeline
from accelsim.report.page.recorded import read_runs, recorded
from accelsim.report.page.whole import page
from accelsim.results import Buckets, RunResult

HOSTILE = (
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>',
    "</title></style></script><svg onload=window.hacked=1>",
    "' onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    "{{7*7}} &lt;b&gt; &amp;",
    "\x1b[2J\u202egnp",
    "n" * 300,
)


def page_of(*runs: RunResult) -> str:
    return page([recorded(one.as_dict(), "a run") for one in runs])


class Reader(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        """Attributes of elements, all or those of a class."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and kind in ("", attributes.get("class"))
        ]


def widths(text: str) -> list[tuple[float, list[float]]]:
    """Of each bar its length and the lengths of its parts, in per cent."""
    bars = re.findall(r"<div class=bar style=width:([\d.e+-]+)%[^>]*>(.*?)</div>", text)
    return [
        (float(length), [float(part) for part in re.findall(r"style=width:([\d.e+-]+)%", parts)])
        for length, parts in bars
    ]


def test_bars_are_the_buckets_all_of_them() -> None:
    buckets = Buckets(10, 20, 30, 40, 50, 60, 70)
    one = replace(LAYER, name="a", end_cycle=280, buckets=buckets)
    half = replace(LAYER, name="b", end_cycle=140, buckets=Buckets(useful=140))
    bars = widths(page_of(run("ws", one, half)))[:2]
    assert bars[0] == (100, [pytest.approx(100 * n / 280, abs=0.05) for n in buckets.values()])
    assert bars[1] == (50, [100])


def test_runs_stand_side_by_side_and_the_best_is_named() -> None:
    text = page_of(run("os", layer(100)), run("ws", layer(50)), run("is", layer(200)))
    assert [length for length, _ in widths(text)[:3]] == [50, 25, 100]
    assert "ws is fastest: 50.000 ns per image, the slowest takes 4.00 times as long." in text
    assert "<td class=best>50<" in text
    assert "<td class=t>ws<tr>" in text.replace("</tbody>", "<tr>")


def test_every_layer_that_costs_something_is_in_every_picture() -> None:
    layers = [layer(100 + i, name=f"layer{i}") for i in range(30)]
    read = Reader(page_of(run("ws", *layers)))
    assert len(read.of("circle")) == len(read.of("rect")) == 30
    assert len(read.of("div", "bar")) >= 30
    labels = [each["aria-label"] for each in read.of("table")]
    assert {"Layers", "Layers in numbers", "Roofline in numbers"} <= set(labels)
    assert sum("".join(read.text).count(f"layer{i}:") for i in range(30)) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_text(name: str) -> None:
    plain = Reader(page_of(run("ws", layer(9, name="plain"))))
    bad = replace(run("ws", replace(layer(9, name=name), op=name)), network=name, hardware=name)
    read = Reader(page_of(bad))
    there = {one for one, _ in read.elements} - {"bdi"}  # around names that are long
    assert there == {one for one, _ in plain.elements}
    assert len(read.of("script")) == 1
    assert not any(key.startswith("on") for _, attributes in read.elements for key in attributes)


@given(texts(40))
def test_so_is_any_name(name: str) -> None:
    read = Reader(page_of(run("ws", layer(9, name=name))))
    assert len(read.of("script")) == 1
    assert {one for one, _ in read.elements} <= KNOWN


KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "script", "header", "footer", "section"),
    *("div", "p", "h1", "h2", "h3", "b", "i", "span", "button", "ul", "li", "figure", "details"),
    *("summary", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "bdi"),
    *("svg", "line", "text", "circle", "rect", "polyline", "path", "g", "title"),
}


def test_it_asks_nothing_of_any_network() -> None:
    text = page_of(run("ws", layer(9)))
    assert "://" not in text
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    keys = {key for _, attributes in Reader(text).elements for key in attributes}
    assert not keys & {"src", "href", "srcset", "action", "data", "poster"}


def test_a_thousand_layers_are_less_than_two_megabytes() -> None:
    layers = [layer(100 + i, name=f"block_{i}/branch_b/3x3_reduce") for i in range(1000)]
    assert len(page_of(run("os", *layers), run("ws", *layers))) < 2 * 2**20


def test_an_empty_run_and_one_without_origin_have_a_page() -> None:
    assert "No layer both multiplies" in page_of(run("ws", replace(LAYER, tiles=0)))
    assert "unknown: the file lacks it" in page_of(run("ws", layer(9)))


def test_lanes_hold_one_layer_at_a_time() -> None:
    spans = [(0, 10), (5, 15), (10, 20), (16, 30)]
    drawn = timeline([Stretch("x", "array", *span, color=0) for span in spans], 30)
    rows = re.findall(r"<rect x=([\d.]+) y=(\d+)", drawn)
    assert [y for _, y in rows] == ["6", "6", "26", "26"]


# --- On the command line --------------------------------------------------------------------------


def test_run_and_report_write_the_same_page(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("a.html", "b.html", "a.json")}
    arguments = ["run", "lenet5", "edge_ws", "--set", "energy=horowitz_45nm"]
    arguments += ["--report", paths["a.html"], "--json", paths["a.json"]]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    told = CliRunner().invoke(app, ["report", paths["a.json"], "-o", paths["b.html"]])
    assert told.exit_code == 0, told.output
    text = Path(paths["a.html"]).read_text()
    assert text == Path(paths["b.html"]).read_text()
    assert len(Reader(text).of("canvas")) == 1
    again = ["report", paths["a.json"], "--no-tiles", "-o", paths["b.html"]]
    assert CliRunner().invoke(app, again).exit_code == 0
    assert "<canvas" not in Path(paths["b.html"]).read_text()
    other = json.loads(Path(paths["a.json"]).read_text())
    other["layers"][0]["end_cycle"] += 1
    Path(paths["a.json"]).write_text(json.dumps(other))
    assert CliRunner().invoke(app, again[:2] + again[3:]).exit_code == 0
    assert "<canvas" not in Path(paths["b.html"]).read_text()
    assert "Energy by component" in text
    assert "energy=horowitz_45nm" in text
    assert len(Reader(text).of("polyline")) == 1


def test_runs_of_several_networks_and_files_come_together(tmp_path: Path) -> None:
    one, both, out = (str(tmp_path / name) for name in ("1.json", "2.json", "o.html"))
    for arguments in (
        ["run", "mlp", "edge_ws", "--json", one],
        ["compare", "lenet5", "--hardware", "edge_ws", "--dataflows", "os,ws", "--json", both],
        ["report", one, both, one, "-o", out],
    ):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    text = Path(out).read_text()
    assert [each.partition("<")[0] for each in text.split("<h2>")[1:]] == ["mlp", "lenet5"]
    assert "1: edge_ws ws" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"totals": None}, "totals"),
        ({"batch": 0}, "batch"),
        ({"schema": 2}, "schema"),
        ({"layers": [{"name": 3}]}, "layers[0]"),
        ({"clock_hz": float("nan")}, "clock_hz"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_key(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(run("ws", layer(9)).as_dict() | change))
    with pytest.raises(InputError) as caught:
        read_runs([str(path)])
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", "{", "[" * 10_000, '{"runs": [1]}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path, out = tmp_path / "r.json", tmp_path / "o.html"
    path.write_text(text)
    told = CliRunner().invoke(app, ["report", str(path), "-o", str(out)])
    assert told.exit_code == 2, told.output
    assert not out.exists()


def test_the_sample_is_what_its_command_writes(tmp_path: Path) -> None:
    reports = Path(__file__).parents[2] / "reports"
    line = next(
        each for each in (reports / "README.md").read_text().splitlines() if ".html" in each
    )
    command = line.rpartition("`accelsim ")[2].partition("`")[0].split()
    sample = command[command.index("--report") + 1]
    command[command.index("--report") + 1] = str(tmp_path / "again.html")
    assert CliRunner().invoke(app, command).exit_code == 0
    text = (tmp_path / "again.html").read_text()
    assert text == (reports.parent / sample).read_text()
    assert len(text) < 200_000
