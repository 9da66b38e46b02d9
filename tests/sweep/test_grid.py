"""Points are found by arrays and made when it is their turn: against all of them, one by one."""

from itertools import chain, product
from typing import Any

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.frontend.sweep_file import sweep_from
from accelsim.hardware import Hardware
from accelsim.sweep.points import Points
from accelsim.sweep.records import Point
from accelsim.sweep.space import Space, Sweep, resolve
from accelsim.sweep.variants import ALONE

AXES: dict[str, list[Any]] = {
    "array.rows": [4, 8, 16, 8],
    "array.cols": [4, 32],
    "dataflow": ["os", "ws"],
    "buffers.ifmap_sram.size": ["64 KiB", "65536 B", "1 KiB"],
    "hardware": [{}, {"vector_unit.lanes": 4, "clock": "2 GHz"}, {"vector_unit.lanes": 32}],
    "dram.bandwidth": ["16 GB/s", "1 GB/s"],
    "energy": ["horowitz_45nm", None],
    "precision.psum": ["int32", "int16"],
    "batch": [1, 2, 1],
}
VALUES = st.sampled_from([(key, value) for key in AXES for value in AXES[key] if key != "hardware"])
ENTRIES = st.lists(VALUES, min_size=1, max_size=2).map(dict)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    matrix = {
        key: draw(st.lists(st.sampled_from(AXES[key]), min_size=1, max_size=3)) for key in keys
    }
    most = draw(st.sampled_from([64 * 1024, 160 * 1024, 10**9]))
    return {
        "name": "drawn",
        "networks": draw(st.sampled_from([["lenet5"], ["mlp", "lenet5", "mlp"]])),
        "base": "edge_ws",
        "matrix": matrix,
        "include": draw(st.lists(ENTRIES, max_size=2)),
        "exclude": draw(st.lists(ENTRIES.filter(lambda entry: "energy" not in entry), max_size=2)),
        "constraints": {"buffer_bytes": {"max": most}, "pes": {"max": draw(st.integers(16, 2000))}},
    }


def resolved(said: dict[str, Any]) -> Sweep | None:
    """A sweep that has points."""
    try:
        return resolve(sweep_from(said))
    except InputError as error:
        if "no point is left" not in str(error):
            raise
        return None


def one_by_one(space: Space) -> list[Point]:
    """Each combination made and looked at, the first of equal ones kept."""
    choices = product(*(axis.choices for axis in space.axes))
    made = [space.admitted([*chain.from_iterable(choice)]) for choice in choices]
    made += [space.point(settings) for settings in space.included]
    kept: dict[str, Point] = {}
    for point in filter(None, made):
        kept.setdefault(point.key, point)
    return [*kept.values()]


@given(sweeps())
@drawn(150)
def test_they_are_those_that_are_found_one_by_one(said: dict[str, Any]) -> None:
    sweep = resolved(said)
    if sweep is None:
        return
    wanted = one_by_one(sweep.space)
    found = [*sweep.points]
    assert found == wanted
    assert [point.parameters for point in found] == [point.parameters for point in wanted]
    assert [point.place for point in found] == [*range(1, len(wanted) + 1)]
    assert sweep.points[len(wanted) // 2] == wanted[len(wanted) // 2]
    assert sweep.points[1:3] == tuple(wanted[1:3])
    census = sweep.census
    lost = sum(census.excluded) + census.infeasible + census.repeated
    left = census.grid + census.included - lost
    assert left <= len(wanted)  # that an included one is infeasible counts, too
    contents = {point.varied.content for point in wanted}
    parts = [{line.split(" ")[0]: line for line in each.splitlines()} for each in contents]
    for part in ("array", "buffers", "clock", "vector_unit", "dram"):
        assert census.versions.get(part, 1) == len({each[part] for each in parts})


MILLION = {
    "name": "million",
    "networks": ["lenet5"],
    "base": "edge_ws",
    "max_points": 10**6,
    "matrix": {
        "array.rows": {"range": [1, 100, 1]},
        "buffers.ifmap_sram.size": [f"{size} KiB" for size in range(1, 101)],
        "buffers.filter_sram.size": ["64 KiB"],
        "dram.bandwidth": [f"{rate} GB/s" for rate in range(1, 101)],
    },
}


def test_a_million_points_are_not_made_before_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    point = Space.point

    def counted(space: Space, settings: Any) -> Point | None:
        made.append(settings)
        return point(space, settings)

    monkeypatch.setattr(Space, "point", counted)
    sweep = resolve(sweep_from(MILLION))
    assert isinstance(sweep.points, Points)
    assert len(sweep.points) == 10**6
    last = sweep.points[-1]
    assert (last.hardware.array.rows, last.place) == (100, 10**6)
    assert len(made) < 10


def test_a_mistake_that_all_points_with_it_are_excluded_for_is_none() -> None:
    matrix = {"array.rows": [0, 8], "array.cols": [8, 16]}
    said = {"name": "s", "networks": ["lenet5"], "base": "edge_ws", "matrix": matrix}
    assert len(resolve(sweep_from({**said, "exclude": [{"array.rows": 0}]})).points) == 2
    some = [{"array.rows": 0, "array.cols": 8}]
    with pytest.raises(InputError, match=r"in the point array\.rows=0, array\.cols=16"):
        resolve(sweep_from({**said, "exclude": some}))


def test_parts_that_are_checked_alone_are_those_that_no_other_has_a_say_in() -> None:
    """They are required, and a hardware has no check of its own of them."""
    checks = Hardware.__pydantic_decorators__
    checked = {field for each in checks.field_validators.values() for field in each.info.fields}
    assert not checks.model_validators
    for part in ALONE:
        assert Hardware.model_fields[part].is_required()
        assert part not in checked
