"""A mapping that a sweep forces on its points."""

from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.errors import InputError
from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.space import resolve, resolve_file
from accelsim.sweep.work import evaluate

STAYS = {"layers": {"C*": {"order": "filter_stays"}}}


def of(**keys: Any) -> dict[str, Any]:
    matrix = {"array.rows": [8, 16]}
    return {"name": "s", "networks": ["lenet5"], "base": "edge_ws", "matrix": matrix, **keys}


def test_it_is_forced_on_every_point() -> None:
    sweep = resolve(sweep_from(of(mapping=STAYS)))
    for point, rows in zip(sweep.points, (8, 16), strict=True):
        outcome = evaluate(point)
        alone = accelsim.simulate("lenet5", "edge_ws", set=[f"array.rows={rows}"], mapping=STAYS)
        assert outcome.totals == alone.totals
        assert {each["tiling"]["order"] for each in outcome.layers if each["name"][0] == "C"} == {
            "filter_stays"
        }


def test_points_of_another_mapping_are_other_points() -> None:
    free, one, same, other = (
        resolve(sweep_from(of(**keys)))
        for keys in (
            {},
            {"mapping": STAYS},
            {"mapping": {"layers": {"C*": {"order": "filter_stays"}}}},
            {"mapping": {"layers": {"C*": {"order": "ofmap_stays"}}}},
        )
    )
    keys = [[point.key for point in each.points] for each in (free, one, same, other)]
    assert keys[1] == keys[2]
    assert len({key for each in keys for key in each}) == 6
    assert one.content == same.content != other.content


def test_what_is_wrong_is_told_by_its_line(tmp_path: Path) -> None:
    text = "name: s\nnetworks: [lenet5]\nbase: edge_ws\nmapping: {layers: {Q1: {rows: 1}}}\n"
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=r"s\.yaml:4:10: mapping: lenet5: unknown layer 'Q1'"):
        resolve_file(tmp_path / "s.yaml")
    (tmp_path / "s.yaml").write_text(text.replace("{layers: {Q1: {rows: 1}}}", "none.yaml"))
    with pytest.raises(InputError, match=r"s\.yaml:4:10: mapping: .*none\.yaml"):
        resolve_file(tmp_path / "s.yaml")
