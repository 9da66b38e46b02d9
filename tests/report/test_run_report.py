"""The sheets of one run."""

import re
from dataclasses import replace

import pytest
from results_by_hand import LAYER, VIEW, layer, run

from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.report.columns import shown_columns
from accelsim.report.run import run_sheets
from accelsim.report.sheet import rendered
from accelsim.results import Energy, Resident

CHIP = load_hardware("edge_ws")  # 16 GB/s at 1 GHz


def test_layers_and_whole_run() -> None:
    layers = run_sheets(run("os", LAYER, VIEW), CHIP)[0]
    assert layers.rows[0].cells == (
        *("conv", "conv", "20x2x5", "6.00 k", "100", "60.0", "75.0"),
        *("300 B", "300 B", "array"),
    )
    assert layers.rows[1].cells == ("flat", "flatten", "20x2x5", *"-" * 6, "none")
    assert layers.rows[1].style == "dim"
    assert layers.notes == ("flatten: the same bytes, costs nothing.",)
    assert layers.totals[0].cells[4:6] == ("100", "60.0")


def test_bandwidth_against_the_peak() -> None:
    """600 bytes in 100 cycles of 1 ns are 6 GB/s, 37.5 % of 16."""
    totals = run_sheets(run("os", LAYER), CHIP)[1]
    facts = dict(row.cells for row in totals.rows)
    assert facts["DRAM bandwidth"] == "6.00 GB/s on average, 37.5 % of the peak 16.00 GB/s"
    assert facts["time"] == "100.000 ns at 1 GHz"


def test_rates() -> None:
    """One image of 6,000 MACs and 600 bytes in 100 ns, with 3 uJ, 2 of them in DRAM."""
    spent = replace(LAYER, energy=Energy(mac=1e6, dram=2e6))
    result = run("os", spent)
    facts = dict(row.cells for row in run_sheets(result, CHIP)[1].rows)
    assert facts["throughput"] == "10,000,000 images/s, 60.00 GMAC/s"
    assert facts["reuse"] == "10.0 MACs per DRAM byte"
    assert facts["power"] == "30.0 W on average: chip 10.0 W, DRAM 20.0 W"
    assert facts["efficiency"] == "0.00400 TOPS/W, 3.00 uJ per image"
    assert result.rates.as_dict() == {
        "images_per_second": pytest.approx(1e7),
        "macs_per_second": pytest.approx(6e10),
        "macs_per_dram_byte": 10.0,
        "watts": pytest.approx(30),
        "chip_watts": pytest.approx(10),
        "dram_watts": pytest.approx(20),
        "tops_per_watt": pytest.approx(0.004),
        "joules_per_image": pytest.approx(3e-6),
    }
    assert run("os", VIEW).rates.macs_per_dram_byte is None


def test_what_does_no_macs_has_no_rates_of_them() -> None:
    pool = replace(LAYER, gemm=None, macs=0, energy=Energy(dram=2e6))
    result = run("os", pool)
    layers, totals, *_ = run_sheets(result, CHIP, shown_columns("tops_per_watt,macs_per_byte", ()))
    facts = dict(row.cells for row in totals.rows)
    assert (facts["throughput"], facts["reuse"]) == ("10,000,000 images/s", "-")
    assert facts["energy"] == "2.00 uJ per image"
    assert "efficiency" not in facts
    assert layers.rows[0].cells[1:] == layers.totals[0].cells[1:] == ("-", "-")


def test_few_macs_a_second_keep_their_distance() -> None:
    slow = replace(run("os", replace(LAYER, macs=1)), clock_hz=1000)
    facts = dict(row.cells for row in run_sheets(slow, CHIP)[1].rows)
    assert facts["throughput"] == "10.0 images/s, 10 MAC/s"


def test_buckets_sum_and_overlap_is_said() -> None:
    where = run_sheets(run("os", LAYER, layer(50, waits=20), cycles=120), CHIP)[2]
    assert [row.cells[1] for row in where.rows] == ["90", "30", "10", "0", "0", "0", "20"]
    assert [row.cells[2] for row in where.rows] == ["60.0", "20.0", "6.7", *["0.0"] * 3, "13.3"]
    assert where.totals[0].cells[1:] == ("150", "100.0")
    assert where.notes == ("Layers overlap, so they sum to more than the 120 cycles of the run.",)


def test_largest_layers_first() -> None:
    layers = [layer(cycles, name=f"l{cycles}") for cycles in (10, 30, 20, 5, 5, 5)]
    largest = run_sheets(run("os", *layers, VIEW), CHIP)[3]
    assert [row.cells[0] for row in largest.rows] == ["l30", "l20", "l10", "l5", "l5"]


def test_a_network_of_views_alone() -> None:
    sheets = run_sheets(run("os", VIEW), CHIP)
    assert [row.cells[2] for row in sheets[2].rows] == ["0.0"] * 7
    assert sheets[3].rows == ()


def test_what_residency_saved() -> None:
    """1,200 bytes are moved where 1,400 would be, for the first layer's ofmap stays."""
    kept = replace(LAYER, resident=Resident(0, 200), dram_saved_bytes=200)

    def said(*settings: str) -> str:
        hardware = load_hardware("edge_ws", settings)
        return dict(
            row.cells for row in run_sheets(run("os", kept, LAYER, VIEW), hardware)[1].rows
        )["residency"]

    assert said() == "kept 1 of 2 ofmaps on chip, saving 200 B of DRAM traffic (14.3 %)"
    assert said("residency=off") == "off: every layer reads from and writes to DRAM"
    assert said("array.count=2") == said(), "the first of several arrays keeps maps, too"


@pytest.mark.parametrize(
    ("dram", "said"),
    [
        (
            "timing=DDR4-2400",
            "DRAM by its currents, without its lines and I/O, which are not known",
        ),
        ("timing=HBM2", "DRAM by its published energies; what it draws for being there"),
        ("timing=HBM3-6400", "What a HBM3-6400 takes is not known: a byte costs 243.8 pJ by the"),
        ("latency=100 ns", ""),
    ],
)
def test_what_is_not_known_of_the_energy_of_dram_is_told(dram: str, said: str) -> None:
    hardware = load_hardware("edge_ws", ["energy=horowitz_45nm", f"dram.{dram}"])
    sheets = run_sheets(simulate("mlp", hardware), hardware)
    (note,) = (each.notes[0] for each in sheets if each.title == "Where the energy went")
    assert said in note
    assert ("not known" in note) == bool(said)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_row_wraps_under_another(width: int) -> None:
    """What is longer than its cell goes on within it, below its own beginning."""
    hardware = load_hardware("edge_ws", ["energy=horowitz_45nm"])
    text = rendered(run_sheets(simulate("mlp", hardware), hardware), width)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    assert max(map(len, lines)) <= width
    start = lines.index("Totals")
    totals = lines[start + 1 : lines.index("", start)]
    named = [line for line in totals if not line.startswith(" ")]
    assert [line.split("  ")[0] for line in named] == [
        *("cycles", "time", "utilization", "DRAM read", "DRAM write", "DRAM bandwidth"),
        *("throughput", "reuse", "power", "efficiency", "residency"),
    ]
    assert (len(totals) > len(named)) == (width < 120)
