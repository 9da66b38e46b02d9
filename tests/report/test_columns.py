"""Which columns a table of layers has, what they hold, and what is refused."""

import re
from dataclasses import replace

import pytest
from results_by_hand import LAYER, VIEW, layer, run

from accelsim.errors import InputError
from accelsim.frontend.hardware_file import load_hardware
from accelsim.report.columns import (
    COMPARE_COLUMNS,
    GROUPS,
    QUANTITIES,
    RUN_COLUMNS,
    refuse_energy_without_table,
    shown_columns,
)
from accelsim.report.comparison import compare_columns, comparison_sheets
from accelsim.report.run import run_sheets
from accelsim.report.sheet import Sheet, rendered
from accelsim.results import Buckets, Energy, RunResult
from accelsim.results.comparison import Comparison

CHIP = load_hardware("edge_ws", ["energy=horowitz_45nm"])
SPENT = replace(LAYER, energy=Energy(3000.0, 0.0, 6000.0, 1000.0, {"a": 1000.0, "b": 1000.0}, 3e6))
POOLED = replace(
    LAYER, name="pool", op="max_pool", gemm=None, macs=0, energy=Energy(vector=500.0, dram=1500.0)
)


def names(text: str | None) -> list[str]:
    return [each.quantity.name for each in shown_columns(text, RUN_COLUMNS)]


def layers(result: RunResult, text: str) -> Sheet:
    return run_sheets(result, CHIP, shown_columns(text, RUN_COLUMNS))[0]


def test_names_are_added_to_the_usual_ones_in_their_order() -> None:
    assert names(None) == list(RUN_COLUMNS)
    assert names("energy, fill_drain,energy") == [*RUN_COLUMNS, "energy", "fill_drain"]
    assert names("cycles,util") == list(RUN_COLUMNS)


def test_only_leaves_the_usual_ones_out() -> None:
    assert names("only,energy,cycles") == ["energy", "cycles"]
    assert names("cycles,only") == ["cycles"]
    assert names("only") == []


def test_groups() -> None:
    assert names("only,buckets") == list(GROUPS["buckets"])
    assert len(GROUPS["buckets"]) == len(Buckets.__slots__)
    assert names("buckets,useful")[len(RUN_COLUMNS) :] == list(GROUPS["buckets"])
    assert set(COMPARE_COLUMNS) < set(QUANTITIES)
    assert not set(GROUPS) & set(QUANTITIES)


def test_all_unknown_names_are_told_with_the_nearest_and_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        shown_columns("enrgy,cycles,zzz,", RUN_COLUMNS)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("--columns: unknown column 'enrgy'; did you mean 'energy'? there")
    assert lines[1].startswith("--columns: unknown column 'zzz'; there are dataflow, op, output, ")
    assert lines[2].startswith("--columns: unknown column ''; there are ")
    for name in (*QUANTITIES, *GROUPS, "only"):
        assert f" {name}" in lines[1]


def test_buckets_are_shares_of_the_layers_cycles() -> None:
    """60, 30 and 10 of 100 cycles; over both layers 60 + 30, 30, 10 and 20 of 150."""
    sheet = layers(run("os", LAYER, layer(50, waits=20)), "only,buckets")
    assert sheet.rows[0].cells == ("conv", "60.0", "30.0", "10.0", *["0.0"] * 4)
    assert sheet.rows[1].cells == ("conv", "60.0", *["0.0"] * 5, "40.0")
    assert sheet.totals[0].cells == ("whole run", "60.0", "20.0", "6.7", *["0.0"] * 3, "13.3")


def test_waits_for_dram_are_not_its_bytes() -> None:
    buckets = Buckets(useful=1, dram_read=3, dram_write=4)
    sheet = layers(run("os", replace(LAYER, buckets=buckets)), "only,read_wait,write_wait,dram")
    assert sheet.rows[0].cells == ("conv", "37.5", "50.0", "600 B")


def test_energy_by_component() -> None:
    """3.012 uJ over 6,000 MACs: 502 pJ each."""
    result = run("os", SPENT, POOLED, VIEW)
    sheet = layers(result, "only,energy,pj_per_mac,components")
    parts = ("3.00 nJ", "-", "6.00 nJ", "1.00 nJ", "2.00 nJ", "3.00 uJ")
    assert sheet.rows[0].cells == ("conv", "3.01 uJ", "502.00", *parts)
    assert sheet.rows[1].cells == ("pool", "2.00 nJ", "-", "-", "500.00 pJ", *"---", "1.50 nJ")
    assert sheet.rows[2].cells == ("flat", *"-" * 8)
    assert sheet.totals[0].cells[:3] == ("whole run", "3.01 uJ", "502.33")


def test_where_the_energy_went() -> None:
    """3.014 uJ in 200 ns are 15.07 W; each buffer has its row."""
    sheets = run_sheets(run("os", SPENT, POOLED), CHIP)
    (where,) = [sheet for sheet in sheets if sheet.title == "Where the energy went"]
    rows = {row.cells[0]: row.cells[1:] for row in (*where.rows, *where.totals)}
    assert rows["buffer a"] == rows["buffer b"] == ("1.00 nJ", "0.0", "0.167")
    assert rows["DRAM"] == ("3.00 uJ", "99.6", "500.250")
    assert rows["sum"] == ("3.01 uJ", "100.0", "502.333")
    assert where.notes[0].startswith("Dynamic energy by table horowitz_45nm, 15.070 W on average")


def test_no_energy_no_sheet() -> None:
    titles = [sheet.title for sheet in run_sheets(run("os", LAYER), load_hardware("edge_ws"))]
    assert "Where the energy went" not in titles


def test_energy_without_a_table_is_refused() -> None:
    shown = shown_columns("energy,cycles,pj_per_mac", RUN_COLUMNS)
    plain = load_hardware("edge_ws")
    with pytest.raises(InputError) as caught:
        refuse_energy_without_table(shown, [CHIP, plain])
    message = "--columns: energy, pj_per_mac: edge_ws names no energy table; give its key `energy`"
    assert str(caught.value).startswith(message)
    assert "eyeriss_65nm, horowitz_45nm" in str(caught.value)
    refuse_energy_without_table(shown, [CHIP])
    refuse_energy_without_table(shown_columns("buckets", RUN_COLUMNS), [plain])


@pytest.mark.parametrize("width", [45, 60, 80])
def test_narrow_terminals_never_drop_what_was_asked_for(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usual columns make way; where even the others are too wide, all are folded."""
    monkeypatch.setenv("TERM", "dumb")
    text = rendered([layers(run("os", SPENT, POOLED), "energy,useful,idle_pes,buffer")], width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for kept in ("cycles", "util %", "bound", "energy", "useful", "idle PEs", "buffer"):
        assert kept in text
    folded = width < 80
    assert ("Left out for want of width: " in text) == (not folded)
    assert ("75.0" in text) == folded  # the usual column `mapping`
    assert (len(re.findall("^conv ", text, re.MULTILINE)) > 1) == folded


# --- compare --------------------------------------------------------------------------------------


def test_compare_has_shared_columns_once_and_others_for_each_dataflow() -> None:
    shown = compare_columns("op,energy,fill_drain")
    comparison = Comparison((run("os", SPENT), run("ws", replace(SPENT, end_cycle=200))))
    (sheet,) = comparison_sheets([comparison], shown)
    headers = [column.header.replace("\n", " ") for column in sheet.columns]
    each = ("cycles", "util %", "DRAM", "energy", "fill drain %")
    assert headers == [
        *("layer", "op"),
        *(f"os {name}" for name in each),
        *(f"ws {name}" for name in each),
        *("best", "bound"),
    ]
    (row,) = sheet.rows
    one = ("60.0", "600 B", "3.01 uJ", "10.0")
    other = ("30.0", "600 B", "3.01 uJ", "10.0")
    assert row.cells == ("conv", "conv", "100", *one, "200", *other, "os", "array")
    assert row.highlight == (2,)
    assert any(
        note.startswith("Energy for the network: os 3.01 uJ (502.00") for note in sheet.notes
    )


def test_compare_only() -> None:
    comparison = Comparison((run("os", LAYER, VIEW), run("ws", LAYER, VIEW)))
    (sheet,) = comparison_sheets([comparison], compare_columns("only,cycles"))
    assert [row.cells for row in sheet.rows] == [
        ("conv", "100", "100", "any"),
        ("flat", "-", "-", "-"),
    ]
    assert [row.cells for row in sheet.totals] == [
        ("sum of layers", "100", "100", ""),
        ("whole run", "100", "100", "os"),
    ]
    (bare,) = comparison_sheets([comparison], compare_columns("only,op"))
    assert [row.cells for row in bare.rows] == [("conv", "conv", "any"), ("flat", "flatten", "-")]


def test_the_summary_has_the_energies_and_buckets_that_were_asked_for() -> None:
    comparison = Comparison((run("os", SPENT), run("ws", SPENT)))
    shown = compare_columns("op,pj_per_mac,useful")
    summary = comparison_sheets([comparison, comparison], shown)[-1]
    headers = [column.header for column in summary.columns]
    assert headers[-3:] == ["pJ/MAC", "useful\n%", "best"]
    assert summary.rows[0].cells[-3:] == ("502.00", "60.0", "best")
    assert summary.rows[1].cells[-3:] == ("502.00", "60.0", "")
