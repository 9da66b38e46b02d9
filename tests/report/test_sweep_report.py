"""The tables of a sweep, on terminals of any width, and points over all networks."""

import math
import re
from pathlib import Path

import pytest

from accelsim.report.sheet import rendered
from accelsim.report.sweep import common_prefix, folded, quantity_text, results_sheets
from accelsim.sweep.about import About
from accelsim.sweep.overall import over_networks
from accelsim.sweep.quantities import Constraint, Record
from accelsim.sweep.summary import Summary

OBJECTIVES = {"cycles": "min", "tops_per_watt": "max"}
ROWS, SIZE = "array.rows", "array.row_stationary.ifmap_spad_words"


def record(network: str, rows: int, cycles: int, tops: float = 1.0) -> Record:
    point = {"key": f"{network}{rows}", "network": network, "batch": 1, "status": "done"}
    return {**point, ROWS: rows, SIZE: 7 * rows, "cycles": cycles, "tops_per_watt": tops}


RECORDS = [record("a", 8, 400), record("a", 16, 100), record("b", 8, 900), record("b", 16, 4900)]


def summary(over: object = None) -> Summary:
    about = About("s", "", "", OBJECTIVES, (), "0", "0", over)
    return Summary(Path("s.sqlite"), about, 4, ["network", ROWS, SIZE], RECORDS)


@pytest.mark.parametrize(
    ("over", "cycles"),
    [
        ("sum", {8: 1300, 16: 5000}),
        ("geometric_mean", {8: 600, 16: 700}),
        ({"a": 0.5, "b": 2.0}, {8: 2000, 16: 9850}),
        ({"a": 3.0}, {8: 1200, 16: 300}),
    ],
)
def test_points_over_all_networks(over: object, cycles: dict[int, float]) -> None:
    found = over_networks(RECORDS, ["network", ROWS, SIZE], over, OBJECTIVES)
    assert {each[ROWS]: pytest.approx(each["cycles"]) for each in found} == cycles
    assert [each["key"] for each in found] == ["a8+b8", "a16+b16"]
    best = min(cycles, key=lambda rows: cycles[rows])
    assert next(each[ROWS] for each in summary(over).overall_front) == best
    assert summary(over).as_dict()["overall"]["best"]["cycles"] == f"a{best}+b{best}"


def test_a_point_counts_where_every_network_has_it_and_is_feasible() -> None:
    names = ["network", ROWS, SIZE]
    assert len(over_networks(RECORDS[:3], names, "sum", OBJECTIVES)) == 1
    most = [Constraint("cycles", most=1000)]
    (only,) = over_networks(RECORDS, names, "sum", OBJECTIVES, most)
    assert only[ROWS] == 8
    assert "overall" not in summary().as_dict()


def test_the_mean_of_rates_is_geometric_too() -> None:
    pair = [record("a", 8, 1, tops=0.5), record("b", 8, 1, tops=8.0)]
    (found,) = over_networks(pair, [ROWS], "geometric_mean", OBJECTIVES)
    assert found["tops_per_watt"] == pytest.approx(math.sqrt(0.5 * 8))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("energy_pj", 127_153_689_507, "127.15 mJ"),
        ("energy_pj_per_mac", 1.25, "1.25 pJ"),
        ("joules_per_image", 0.127, "127.00 mJ"),
        ("seconds_per_image", 0.0224, "22.400 ms"),
        ("chip_watts", 0.5, "500 mW"),
        ("dram_read_bytes", 3 * 2**20, "3.0 MiB"),
        ("dram_bytes_per_second", 16 * 10**9, "16.00 GB/s"),
        ("cycles", 1234567, "1,234,567"),
        ("energy_pj", None, "-"),
    ],
)
def test_quantities_have_units(name: str, value: object, text: str) -> None:
    assert quantity_text(name, value) == text


def test_headers_fold_within_their_name() -> None:
    assert folded("buffers.ifmap_sram.size") == "buffers.\nifmap_sram.\nsize"
    assert folded("array.rows") == "array.rows"
    for name in ("energy_delay_pj_s", "a", "a_very.long_name.of_a_key"):
        assert folded(name).replace("\n", "") == name
    assert common_prefix([ROWS, SIZE]) == "array."
    assert common_prefix([ROWS, "dram.bandwidth"]) == ""
    assert common_prefix(["batch", ROWS]) == common_prefix([ROWS]) == ""


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_tables_are_right_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row wraps under another; what is optimised is always there, the mark comes first."""
    monkeypatch.setenv("TERM", "dumb")
    text = rendered(results_sheets(summary("sum")), width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    for title in ("a: points;", "b: points;", "sum over all networks: points;"):
        table = text.partition(title)[2].partition("best per objective")[0]
        marks = re.findall(r"^\* .*(?:16|8)", table, re.MULTILINE)
        assert len(marks) == 1
        assert "5,000" in table or "sum" not in title
