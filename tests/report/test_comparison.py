"""Which dataflow is best, and what is said about it."""

from dataclasses import replace

import pytest
from results_by_hand import LAYER, VIEW, layer, run

from accelsim.hardware import Objective
from accelsim.lowering.traffic import Dram
from accelsim.report.comparison import (
    compare_columns,
    comparison_dict,
    comparison_sheets,
    summary_sheet,
    verdict,
)
from accelsim.results import Energy, LayerResult
from accelsim.results.blocks import by_block
from accelsim.results.comparison import Comparison, own_cycles


def test_own_cycles_leave_out_waits_for_other_layers() -> None:
    assert own_cycles(layer(100, waits=30)) == 70


def test_best_layer_is_by_own_cycles() -> None:
    """80 cycles of which none waited cost more than 90 of which 20 did."""
    comparison = Comparison((run("os", layer(80)), run("ws", layer(90, waits=20))))
    (choice,) = comparison.layers
    assert choice.best == 1
    assert verdict(choice) == "ws"
    assert comparison.mixed_own_cycles == 70


def spending(cycles: int, picojoules: float) -> LayerResult:
    return layer(cycles, energy=Energy(mac=picojoules))


FAST = run("os", spending(100, 8), spending(10, 5))
FRUGAL = run("ws", spending(160, 4), spending(30, 4))
"""110 cycles and 13 pJ, 190 and 8: FRUGAL takes less energy, FAST less of their product."""


@pytest.mark.parametrize(
    ("objective", "network", "layers", "said", "sums"),
    [
        ("time", "os", ["os", "os"], "Fastest", "sum to 110 cycles, 0.0 % fewer than all at os"),
        ("energy", "ws", ["ws", "ws"], "Least energy", "sum to 8.00 pJ, 0.0 % less than all at ws"),
        (
            *("edp", "os", ["ws", "os"], "Least energy times delay"),
            "sum to 9.00 pJ and 170 cycles, 7.0 % more energy times delay than all at os",
        ),
    ],
)
def test_what_is_best_is_so_by_the_objective(
    objective: Objective, network: str, layers: list[str], said: str, sums: str
) -> None:
    """1,430 and 1,520 pJ cycles; of layers 800 and 640, 50 and 120; ws, then os take 1,530."""
    comparison = Comparison((FAST, FRUGAL), objective)
    data = comparison.best_as_dict()
    assert (data["objective"], data["dataflow"]) == (objective, network)
    assert [each["dataflow"] for each in data["layers"]] == layers
    (sheet,) = comparison_sheets([comparison])
    headers = [column.header.replace("\n", " ") for column in sheet.columns]
    place = headers.index("best" if objective == "time" else f"best by {objective}")
    assert [row.cells[place] for row in (*sheet.rows, sheet.totals[1])] == [*layers, network]
    assert ("os energy" in headers) == (objective != "time")
    assert sheet.notes[0].startswith(f"{said} for the network: {network}, ")
    assert any(sums in note for note in sheet.notes)
    by = {"time": "hardware.", "energy": "by energy.", "edp": "by energy times delay."}
    assert summary_sheet([comparison]).notes[0].endswith(by[objective])


def test_phases_are_best_by_the_objective() -> None:
    """Forward is faster with os and frugal with ws, the other way round on the way back."""
    back = [replace(one, phase="input_gradient") for one in (spending(9, 2), spending(8, 3))]
    runs = run("os", spending(100, 8), back[0]), run("ws", spending(160, 4), back[1])
    cases: list[tuple[Objective, list[str]]]
    cases = [("time", ["os", "ws"]), ("energy", ["ws", "os"])]
    for objective, best in cases:
        phases = Comparison(runs, objective).best_as_dict()["phases"]
        assert [each["dataflow"] for each in phases.values()] == best


def test_ties_go_to_less_traffic_then_to_the_first() -> None:
    light = layer(100, dram=Dram(ifmap_read_bytes=1))
    heavy = layer(100, dram=Dram(ifmap_read_bytes=2))
    runs = run("os", heavy), run("ws", light), run("is", light)
    assert Comparison(runs).best.dataflow == "ws"
    assert verdict(Comparison(runs).layers[0]) == "ws"


def test_equal_everywhere_is_any_and_vector_work_has_none() -> None:
    pool = replace(LAYER, gemm=None, bound="vector")
    comparison = Comparison((run("os", LAYER, pool, VIEW), run("ws", LAYER, pool, VIEW)))
    assert [verdict(choice) for choice in comparison.layers] == ["any", "-", "-"]
    assert [choice.is_free for choice in comparison.layers] == [False, False, True]


def test_best_run_is_by_the_time_of_the_whole() -> None:
    """Layers may sum to more and still end sooner, because they overlap."""
    overlapped = run("os", layer(100), layer(100), cycles=120)
    chained = run("ws", layer(70), layer(70))
    assert Comparison((overlapped, chained)).best.dataflow == "os"
    assert Comparison((overlapped, chained)).own_cycles == (200, 140)


def test_block_shows_own_cycles_and_bounds_in_order() -> None:
    runs = run("os", layer(100, waits=20)), run("ws", layer(200, bound="dram"))
    (sheet,) = comparison_sheets([Comparison(runs)])
    (row,) = sheet.rows
    # 6,000 MACs on 100 PEs take 60 cycles: 75 % of 80, 30 % of 200
    assert row.cells == ("conv", "80", "75.0", "600 B", "200", "30.0", "600 B", "os", "array/dram")
    assert row.highlight == (1,)
    assert [total.cells[1] for total in sheet.totals] == ["80", "100"]
    assert any("without its waiting for other layers" in note for note in sheet.notes)


def test_mixed_total_is_labelled_as_a_sum() -> None:
    runs = run("os", layer(100), layer(300)), run("ws", layer(200), layer(100))
    (sheet,) = comparison_sheets([Comparison(runs)])
    (note,) = [note for note in sheet.notes if "each layer at its own best" in note]
    assert "sum to 200 cycles, 33.3 % fewer than all at ws. That is a sum, not a run's" in note


def test_the_vector_unit_has_no_dataflow_to_choose() -> None:
    """A pool that happens to be short beside ws saves nothing: all at os sum to 130."""
    pools = [replace(layer(cycles), name="pool", gemm=None) for cycles in (30, 10)]
    runs = run("os", layer(100), pools[0]), run("ws", layer(150), pools[1])
    assert Comparison(runs).best.dataflow == "os"
    assert Comparison(runs).mixed_own_cycles == 130


def test_by_block_sums_the_layers_of_a_block() -> None:
    """Two of 100 and 50 cycles with 6,000 MACs each on 100 PEs: 120 of 150 cycles busy."""
    inside = [layer(100, name="a/x"), layer(50, name="a/y/z", bound="dram")]
    parts = *inside, layer(10, name="b")
    comparison = Comparison((run("os", *parts), run("ws", *parts)))
    (sheet,) = comparison_sheets([comparison], by="block")
    assert [row.cells[:4] for row in sheet.rows] == [
        ("a", "150", "80.0", "1.2 KiB"),
        ("b", "10", "600.0", "600 B"),
    ]
    assert sheet.rows[0].cells[-1] == "array"
    (layers,) = comparison_sheets([comparison])
    assert sheet.totals == layers.totals
    assert sheet.notes == layers.notes
    of_block = by_block(comparison).runs[0]
    assert of_block.buckets == comparison.runs[0].buckets
    assert of_block.layers[0].buckets.total == of_block.layers[0].cycles == 150


def test_one_dataflow_alone() -> None:
    (sheet,) = comparison_sheets([Comparison((run("os", LAYER),))])
    assert not any("own best" in note for note in sheet.notes)


def test_several_blocks_get_a_summary() -> None:
    comparison = Comparison((run("os", layer(100)), run("ws", layer(90))))
    summary = comparison_sheets([comparison, comparison])[-1]
    assert summary.title == "Summary"
    assert [row.cells[-1] for row in summary.rows] == ["", "best"] * 2


def test_json_form() -> None:
    runs = run("os", layer(100, waits=20), VIEW), run("ws", layer(90), VIEW)
    data = comparison_dict([Comparison(runs)])
    assert data["runs"] == [each.as_dict() for each in runs]
    assert data["best"] == [
        {
            "network": "net",
            "hardware": "chip",
            "batch": 1,
            "objective": "time",
            "dataflow": "ws",
            "cycles": 90,
            "dram_bytes": 600,
            "own_cycles": {"os": 80, "ws": 90},
            "own_cycles_each_layer_at_its_best": 80,
            "layers": [
                {"name": "conv", "dataflow": "os", "own_cycles": 80, "bound": "array"},
                {"name": "flat", "dataflow": None, "own_cycles": 0, "bound": "none"},
            ],
        }
    ]


def test_best_beside_others_says_who_won_and_what_that_saves() -> None:
    """os takes 100 + 300, ws 200 + 100: best is os then ws, 200 of the 300 at ws."""
    mine = replace(layer(100), dataflow="os"), replace(layer(100), dataflow="ws")
    runs = run("os", layer(100), layer(300)), run("ws", layer(200), layer(100)), run("best", *mine)
    comparison = Comparison(runs)
    (sheet,) = comparison_sheets([comparison])
    place = next(at for at, each in enumerate(sheet.columns) if each.header == "saved\n%")
    assert [row.cells[place - 1 : place + 1] for row in sheet.rows] == [
        ("os", "50.0"),
        ("ws", "0.0"),
    ]
    assert [row.cells[place] for row in sheet.totals] == ["33.3", "33.3"]
    assert any(
        "best takes os for 1, ws for 1 of the layers; the run takes 33.3 % less time than all at ws"
        in note
        for note in sheet.notes
    )
    assert [each["dataflow"] for each in comparison.best_as_dict()["layers"]] == ["os", "ws"]


def test_bound_is_told_only_where_it_is_shown() -> None:
    runs = [Comparison((run("os", layer(100)), run("ws", layer(50))))]
    notes = [
        comparison_sheets(runs, compare_columns(each))[0].notes for each in (None, "only,util")
    ]
    assert [any(note.startswith("bound:") for note in each) for each in notes] == [True, False]
