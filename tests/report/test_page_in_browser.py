"""The page in a real browser: it opens from disk, asks nothing, sorts, fits, and runs no name.

Needs Chromium with its driver (Debian: chromium, chromium-driver) and the extra `browser`.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from results_by_hand import layer, run
from test_page import HOSTILE, page_of
from test_sweep_page import large
from test_sweep_report import summary

from accelsim.facade import simulate
from accelsim.report.page.explored import sweep_page
from accelsim.report.page.recorded import recorded
from accelsim.report.page.whole import page
from accelsim.results import Energy

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs chromium and chromium-driver"),
]
LAYERS = 40


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the extra `browser`")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two runs, whose layers have names of all kinds."""
    names = [*HOSTILE, *(f"block{i}/3x3" for i in range(LAYERS - len(HOSTILE)))]
    energy = Energy(mac=3.0, dram=5.0, buffers={"sram": 4.0})
    os, ws = (
        [
            layer(1000 + 37 * i % 611 + more, name=name, energy=energy)
            for i, name in enumerate(names)
        ]
        for more in (0, 300)
    )
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(page_of(run("os", *os), run("ws", *ws)), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Any, path: Path) -> Any:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    return browser


def column(opened: Any, place: int) -> list[str]:
    """The texts of a column of the table of layers."""
    cells = (
        "[...document.querySelectorAll('table.layers tbody tr')].map(r => r.cells[%d].innerText)"
    )
    found: list[str] = opened.execute_script(f"return {cells % place}")
    return found


def press(opened: Any, place: int) -> str:
    """Press a head of the table of layers; how it then says that it sorts."""
    head = f"document.querySelectorAll('table.layers th')[{place}]"
    opened.execute_script(f"{head}.querySelector('button').click()")
    said: str = opened.execute_script(f"return {head}.ariaSort")
    return said


def test_it_opens_from_disk_without_errors_or_requests(opened: Any, path: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [path.as_uri()]


def test_no_name_runs(opened: Any) -> None:
    opened.execute_script(
        "for (const e of document.querySelectorAll('*')) e.dispatchEvent(new Event('mouseover'))"
    )
    assert opened.execute_script("return window.hacked ?? null") is None
    assert opened.execute_script("return document.scripts.length") == 1
    assert "<script>window.hacked=1</script>" in column(opened, 0)


def test_marks_are_drawn(opened: Any) -> None:
    """Each layer of each run has a bar, a dot and a stretch of time that can be seen."""
    for marks in ("table.layers .bar", "circle", "rect"):
        seen = opened.execute_script(
            f"return [...document.querySelectorAll('{marks}')].filter(e => {{"
            "const box = e.getBoundingClientRect(); return box.width > 0.5 && box.height > 2;"
            "}).length"
        )
        assert seen == 2 * LAYERS, marks


def test_columns_sort_both_ways(opened: Any) -> None:
    as_written = column(opened, 3)
    assert press(opened, 3) == "descending"
    numbers = [int(each.replace(",", "")) for each in column(opened, 3)]
    assert numbers == sorted(numbers, reverse=True)
    assert press(opened, 3) == "ascending"
    assert [int(each.replace(",", "")) for each in column(opened, 3)] == numbers[::-1]
    assert press(opened, 0) == "ascending"
    assert column(opened, 0) == sorted(column(opened, 0), key=str.lower)
    assert sorted(column(opened, 3)) == sorted(as_written)


def test_units_sort_by_what_they_mean(opened: Any) -> None:
    script = (
        "const row = t => ({cells: [{textContent: t}]});"
        "return arguments[0].map(t => value(row(t), 0))"
    )
    texts = ["1.5 KiB", "1,000 B", "2.00 M", "3.0 us", "-", "", "conv", "3x3", "22.40 mJ", "12"]
    found = opened.execute_script(script, texts)
    wanted = [1536, 1000, 2e6, 3e-6, None, None, "conv", "3x3", 22.4e-3, 12]
    assert [pytest.approx(each) if isinstance(each, float) else each for each in wanted] == found


@pytest.mark.parametrize("width", [360, 640, 1280])
def test_it_fits_any_width_and_zoom(opened: Any, width: int) -> None:
    """640 is 1280 at 200 %."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    inside = "return [document.documentElement.scrollWidth, window.innerWidth]"
    wide, window = opened.execute_script(inside)
    assert wide <= window == width


OVERLAPS = """
const texts = [...document.querySelectorAll('svg text')].map((e) => [e, e.getBoundingClientRect()]);
return texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([other, b]) =>
  one.closest('svg') === other.closest('svg') && a.width && b.width &&
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2.5
).map(([other]) => [one.textContent, other.textContent]));
"""


@pytest.mark.parametrize("width", [400, 1280])
def test_names_of_200_characters_fit_and_cover_nothing(
    browser: Any, tmp_path: Path, width: int
) -> None:
    names = ("W" * 200, "\u5377\u7a4d" * 100, "a_layer_" * 25, "<b>&" * 50)
    before = ("data", *names)
    layers = [layer(1000 + 100 * i, name=each, inputs=(before[i],)) for i, each in enumerate(names)]
    file = tmp_path / "long.html"
    told = replace(run("os", *layers), network="network_" * 25)
    file.write_text(page_of(told), encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(file.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OVERLAPS) == []


def test_light_and_dark(opened: Any) -> None:
    color = "return getComputedStyle(document.body).backgroundColor"
    seen = set()
    for theme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        before = opened.execute_script(color)
        opened.execute_script("document.getElementById('theme').click()")
        assert opened.execute_script(color) != before
        opened.execute_script("document.getElementById('theme').click()")
        assert opened.execute_script(color) == before
        seen.add(before)
        opened.refresh()
    assert len(seen) == 2


def test_paper_has_everything_open(opened: Any) -> None:
    count = "return document.querySelectorAll('details:not([open])').length"
    assert opened.execute_script(count) > 0
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert opened.execute_script(count) == 0


def test_a_graph_and_a_timeline_to_a_tile(browser: Any, tmp_path: Path) -> None:
    """A box and its row are pointed at together; the timeline goes to a tile and lists it."""
    file = tmp_path / "run.html"
    result = simulate("lenet5", "edge_ws", tiles=True)
    file.write_text(page([recorded(result.as_dict(), "a run")], [result.tiles]), encoding="utf-8")
    browser.get_log("browser")
    browser.get(file.as_uri())
    box = "document.querySelector('g[data-l=\"2\"]')"
    browser.execute_script(f"{box}.dispatchEvent(new PointerEvent('pointerenter'))")
    near = browser.execute_script("return document.querySelector('tr.near').cells[0].innerText")
    assert near == result.layers[2].name
    line = "document.querySelector('.tiles').timeline"
    slices = browser.execute_script(f"return {line}.works.map(one => [one.start, one.end])")
    assert result.tiles is not None
    units = [*result.tiles.tracks["array"], *result.tiles.tracks["vector unit"]]
    played = {(one.start, one.start + one.cycles) for one in units}
    assert {tuple(each) for each in slices} == played
    assert browser.execute_script(f"return [{line}.from, {line}.to]") == [0, result.cycles]
    browser.execute_script("document.querySelector('.tiles canvas').focus()")
    keys = "new KeyboardEvent('keydown', {key: 'n'})"
    browser.execute_script(f"document.querySelector('.tiles canvas').dispatchEvent({keys})")
    told = browser.execute_script(
        "return document.querySelector('.tiles > p:not(.pick)').innerText"
    )
    assert told.startswith(f"{result.layers[0].name}, tile 1, work, cycles ")
    assert browser.execute_script(f"return {line}.to - {line}.from") < result.cycles / 2
    browser.execute_script("document.querySelector('.tiles details').open = true")
    rows = "return document.querySelectorAll('.tiles table tr').length"
    deadline = time.monotonic() + 5
    while browser.execute_script(rows) < 2:  # a toggle is told later
        assert time.monotonic() < deadline
    ink = (
        "const c = document.querySelector('.tiles canvas');"
        "return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert browser.execute_script(ink) > 10
    assert browser.get_log("browser") == []


def test_a_sweep_tells_selects_and_maps(browser: Any, tmp_path: Path) -> None:
    """No error and no request; pointing tells a point, a click marks it, a choice redraws."""
    file = tmp_path / "sweep.html"
    file.write_text(sweep_page(summary("sum")), encoding="utf-8")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(file.as_uri())
    dot = "document.querySelector('circle.a0')"
    browser.execute_script(f"{dot}.dispatchEvent(new PointerEvent('pointerenter'))")
    told = browser.execute_script("return document.querySelector('.told').textContent")
    assert told.startswith("array.rows 16, ")
    browser.execute_script(f"{dot}.dispatchEvent(new MouseEvent('click'))")
    picked = "return document.querySelectorAll('.picked').length"
    assert browser.execute_script(picked) == 3  # dot, line and row
    cells = "return document.querySelector('.heat').innerText"
    assert "400.0" in browser.execute_script(cells)
    browser.execute_script(
        "const shown = document.getElementById('o0'); shown.value = '1';"
        "shown.dispatchEvent(new Event('change'))"
    )
    assert "1.000" in browser.execute_script(cells)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert len(asked) == 1


def test_a_sweep_of_many_values_opens(browser: Any, tmp_path: Path) -> None:
    """A value of its own for each of 2,000 points: the map has ranges, not millions of cells."""
    file = tmp_path / "sweep.html"
    file.write_text(sweep_page(large(2000)), encoding="utf-8")
    browser.get(file.as_uri())
    rows = "[...document.querySelector('.heat table').rows].map((each) => each.innerText)"
    shown = browser.execute_script(f"return {rows}")
    assert len(shown) <= 33
    assert "0 to 62" in shown[0]
    assert len(shown[0].split("\t")) <= 33
