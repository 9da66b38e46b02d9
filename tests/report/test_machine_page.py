"""The machine that a page draws."""

import re

from accelsim.facade import simulate
from accelsim.report.page.machine import machine
from accelsim.report.page.recorded import recorded


def drawn(*settings: str) -> str:
    result = simulate("lenet5", "edge_ws", set=settings)
    return "".join(machine(recorded(result.as_dict(), "a run")))


def boxes(page: str) -> dict[str, tuple[float, float]]:
    """Width and height of each part, by its name."""
    found = re.findall(r"<rect x=\S+ width=(\S+) y=\S+ height=(\S+) class=box><title>(.*?):", page)
    return {name: (float(wide), float(tall)) for wide, tall, name in found}


def test_sides_and_areas_are_to_scale() -> None:
    """16 rows of 64; buffers of 64, 16 and 64 KiB: sides as 2, 1 and 2, but for their gaps."""
    found = boxes(drawn("array.rows=16", "array.cols=64", "buffers.filter_sram.size=16 KiB"))
    assert set(found) == {"DRAM", "ifmap_sram", "filter_sram", "ofmap_sram", "array", "vector unit"}
    wide, tall = found["array"]
    assert abs(wide - 4 * tall) < 1
    sides = [found[f"{name}_sram"] for name in ("ifmap", "filter", "ofmap")]
    assert all(across == up for across, up in sides)
    assert sides[0] == sides[2]
    assert abs(sides[0][0] + 6 - 2 * (sides[1][0] + 6)) < 0.2


def test_busy_shares_are_those_of_the_run() -> None:
    result = simulate("lenet5", "edge_ws")
    share = 100 * sum(layer.array_cycles for layer in result.layers) / result.cycles
    page = drawn()
    assert f"array {share:.1f} %" in page
    assert "<td class=t>16 GB/s" in page


def test_hostile_hardware_is_text() -> None:
    data = simulate("lenet5", "edge_ws").as_dict()
    made = data["made_by"]
    made["hardware"]["buffers"] = {"<b>": {"size": "<i>", "holds": 3}, "x": None}
    made["hardware"]["array"] = {"rows": -1, "cols": "many"}
    page = "".join(machine(recorded(data, "a run"))) if isinstance(made, dict) else ""
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    made["hardware"]["array"] = None
    assert not [*machine(recorded(data, "a run"))]
    assert not [*machine(recorded({**data, "made_by": None}, "a run"))]
