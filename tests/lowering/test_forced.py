"""Mappings that are forced: obeyed to the number and computed right, or refused with a lever."""

from pathlib import Path
from typing import Any

import pytest
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, split, unified
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.errors import DoesNotFitError, InputError
from accelsim.frontend.mapping_file import Source
from accelsim.hardware import Hardware
from accelsim.lowering.forced import choices_of, forced_kernels
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.ranking import plain
from accelsim.lowering.target import target_of
from accelsim.network.graph import Network
from accelsim.network.ops import Flatten
from accelsim.network.passes import prepare_for_inference
from accelsim.results import RunResult

TWO = chain((4, 12, 12), conv(8, 3), max_pool(2))
ROOMY = machine(split("2 KiB", "2 KiB", "4 KiB"))


def mapping_of(result: RunResult) -> dict[str, dict[str, Any]]:
    return {one.name: plain(one.tiling) for one in result.layers if one.tiling is not None}


def refused(network: Network, hardware: Hardware, mapping: Any) -> str:
    with pytest.raises((InputError, DoesNotFitError)) as caught:
        accelsim.simulate(network, hardware, mapping=mapping)
    return str(caught.value)


@pytest.mark.slow
@settings(max_examples=15)
@given(st.data(), networks(), MACHINES)
def test_what_is_forced_is_obeyed_and_computes_right(
    data: st.DataObject, network: Network, hardware: Hardware
) -> None:
    """Any part of any tiling: some sizes of some layers, within what the refusals say can be."""
    prepared, target = prepare_for_inference(network), target_of(hardware)
    asked: dict[str, dict[str, Any]] = {}
    for layer, kernel in zip(prepared.layers, kernels_of(prepared, 1), strict=True):
        choices = choices_of(kernel, target)
        for axis in data.draw(st.sets(st.sampled_from([*choices]), max_size=3)) if choices else ():
            chosen = choices[axis]
            if chosen.names is None:
                entry = data.draw(st.integers(chosen.least, chosen.whole))
            else:
                entry = data.draw(st.sampled_from([*chosen.names]))
            asked.setdefault(layer.name, {})[axis] = entry
    try:
        result = accelsim.simulate(network, hardware, mapping=asked)
    except DoesNotFitError as error:
        said = str(error)
        fits_alone = _runs(network, hardware)
    else:
        said, fits_alone = "", True
    if said:
        assert "the mapping forces" in said or not fits_alone
        return
    found = mapping_of(result)
    assert all(found[name][axis] == one for name, its in asked.items() for axis, one in its.items())
    assert accelsim.verify(network, hardware, mapping=asked).passed


def _runs(network: Network, hardware: Hardware) -> bool:
    try:
        accelsim.simulate(network, hardware)
    except DoesNotFitError:
        return False
    return True


@given(networks(), MACHINES)
@drawn(20, percent=15)
def test_forcing_what_was_found_takes_the_same(network: Network, hardware: Hardware) -> None:
    """With nothing resident to the cycle; what stays on chip is planned anew."""
    apart = hardware.model_copy(update={"residency": "off"})
    try:
        result = accelsim.simulate(network, apart)
    except DoesNotFitError:
        return
    again = accelsim.simulate(network, apart, mapping=mapping_of(result))
    assert again.as_dict() == result.as_dict()


def test_any_number_of_arrays_is_forced_and_explained() -> None:
    """Three of five is half of them: the search finds it only where it looks at fewer arrays."""
    layer = chain((3, 1, 1), conv(44, kernel=3, padding=1))
    shape = {"count": 5, "rows": 2, "cols": 3, "dataflow": "os"}
    five = machine(unified("378 B"), shape, {"bandwidth": "3 B/cycle", "latency": "100 cycles"})
    result = accelsim.simulate(layer, five)
    assert mapping_of(result)["a"]["arrays"] == 3
    assert accelsim.simulate(layer, five, mapping=result.mapping).as_dict() == result.as_dict()
    (chosen,) = (each for each in accelsim.explain(layer, five, "a").contenders if each.chosen)
    assert (chosen.tiling["arrays"], chosen.played_cycles) == (3, result.cycles)
    forced = {"a": {"arrays": 3, "filters": 5}}
    assert mapping_of(accelsim.simulate(layer, five, mapping=forced))["a"]["arrays"] == 3


def test_the_rest_is_searched() -> None:
    free = accelsim.simulate(TWO, ROOMY)
    forced = accelsim.simulate(TWO, ROOMY, mapping={"a": {"filters": 1, "order": "filter_stays"}})
    tiling = mapping_of(forced)["a"]
    assert (tiling["filters"], tiling["order"]) == (1, "filter_stays")
    assert tiling["rows"] * tiling["cols"] > 1
    assert forced.cycles > free.cycles


def test_a_layer_cut_in_two_is_forced_and_saved() -> None:
    """What is said of each part is obeyed; the rest is searched, and all of it makes it again."""
    forced = {"cut": "rows", "at": 6, "filters": 2, "rest_filters": 8, "rest_rows": 2}
    result = accelsim.simulate(TWO, ROOMY, mapping={"a": forced})
    found = mapping_of(result)["a"]
    assert {key: found[key] for key in forced} == forced
    again = accelsim.simulate(TWO, ROOMY, mapping=result.mapping)
    assert (again.cycles, mapping_of(again)) == (result.cycles, mapping_of(result))
    assert accelsim.verify(TWO, ROOMY, mapping=result.mapping).passed


def test_a_rest_that_is_cut_again_is_forced_and_saved() -> None:
    """Four parts: six rows, one more of the others, three columns of these, and what is left."""
    forced = {"cut": "rows", "at": 6, "filters": 2, "rest_cut": "rows", "rest_at": 1}
    forced |= {"rest_cols": 4, "rest_rest_cut": "cols", "rest_rest_at": 3}
    forced |= {"rest_rest_rows": 2, "rest_rest_rest_filters": 8}
    result = accelsim.simulate(TWO, ROOMY, mapping={"a": forced})
    found = mapping_of(result)["a"]
    assert {key: found[key] for key in forced} == forced
    again = accelsim.simulate(TWO, ROOMY, mapping=result.mapping)
    assert again.as_dict() == result.as_dict()
    assert accelsim.verify(TWO, ROOMY, mapping=result.mapping).passed
    (chosen,) = (
        each
        for each in accelsim.explain(TWO, ROOMY, "a", mapping=result.mapping).contenders
        if each.chosen
    )
    assert (chosen.tiling, chosen.played_cycles) == (found, result.layer("a").cycles)


def test_where_an_axis_ends_before_the_cut_it_is_whole() -> None:
    found = mapping_of(accelsim.simulate(TWO, ROOMY, mapping={"a": {"cut": "rows", "at": 10}}))
    assert "cut" not in found["a"]
    cut = {"cut": "rows", "at": 6, "rest_cut": "rows", "rest_at": 4}
    (found, _) = mapping_of(accelsim.simulate(TWO, ROOMY, mapping={"a": cut})).values()
    assert "rest_rows" in found
    assert "rest_cut" not in found


def test_a_name_is_stronger_than_a_pattern_and_a_later_pattern_than_an_earlier() -> None:
    mapping = {"a": {"batch": 1, "rows": 5}, "*": {"rows": 2, "cols": "all"}, "?": {"rows": 3}}
    found = mapping_of(accelsim.simulate(TWO, ROOMY, mapping=mapping))
    assert [(each["rows"], each["cols"]) for each in found.values()] == [(5, 10), (3, 5)]


def test_what_only_fits_on_chip_needs_its_feature_maps_there() -> None:
    """The whole ifmap, 576 bytes, in a buffer whose half is less, but that holds it as resident."""
    network = chain((4, 12, 12), conv(4), conv(4))
    roomy = machine(split("1200 B", "1 KiB", "2 KiB"), residency="on")
    whole = {"b": {"rows": "all", "cols": "all", "channels": "all"}}
    small = machine(split("700 B", "1 KiB", "2 KiB"))
    assert mapping_of(accelsim.simulate(network, roomy, mapping=whole))["b"]["rows"] == 12
    said = refused(network, small, whole)
    assert "the smallest tile needs 576 bytes of buffer ifmap, whose half" in said
    assert "is 350; make buffers.ifmap.size at least 1152 B, or force less" in said


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"a": {"rows": 11}}, "layers.a.rows: layer a: expected a size from 1 to 10, or all"),
        ({"a": {"rows": "half"}}, "found 'half'"),
        ({"a": {"rwos": 1}}, "layer a: unknown axis 'rwos'; did you mean 'rows'?"),
        ({"a": {"order": "stays"}}, "one of ofmap_stays, ifmap_stays, filter_stays"),
        ({"a": {"arrays": 2}}, "expected one of 1, found 2"),
        ({"b": {"filters": 1}}, "layer b: unknown axis 'filters'"),
        ({"a": {"cut": "channels"}}, "expected one of batch, groups, rows, cols, filters"),
        ({"a": {"cut": "rows"}}, "cut rows as the mapping forces, it cannot be cut: say the axis"),
        ({"a": {"rest_rows": 2}}, "it cannot be cut: say the axis, `cut`, and `at`"),
        ({"a": {"cut": "rows", "at": 4, "rest_rows": 99}}, "a size from 1 to 10, or all"),
        ({"a": {"cut": "rows", "at": 4, "rest_cut": "cols"}}, "it cannot be cut: say the axis"),
        ({"a": {"rest_rest_rest_cut": "rows"}}, "layer a: unknown axis 'rest_rest_rest_cut'"),
        (
            {"conv*": {"rows": 1}},
            "layers.conv*: no layer matches the pattern 'conv*'; there are a, b",
        ),
        ({"conv": {"rows": 1}}, "layers.conv: unknown layer 'conv'"),
        ({"a": {"rows": 0}}, "a.rows"),
        ({"a": {"rows": 1.5}}, "a.rows"),
        ({"a": 3}, "a"),
    ],
)
def test_what_cannot_be_is_refused_by_key(mapping: dict[str, Any], said: str) -> None:
    assert said in refused(TWO, ROOMY, mapping)


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        ({"r": 4, "tap_rows": 2, "tap_cols": 2}, "r PE sets do not fit above each other in 4 rows"),
        ({"p": 5}, "expected a size from 1 to 4"),
        ({"q": 3, "tap_cols": 2}, "more than the 4 words of ifmap_spad"),
        ({"p": 4, "q": 2}, "p filters need more than the 3 words of psum_spad"),
    ],
)
def test_a_row_stationary_mapping_must_fit_array_and_spads(
    forced: dict[str, int], said: str
) -> None:
    hardware = machine(split(), array={"dataflow": "rs"})
    assert said in refused(chain((4, 6, 6), conv(4, 2)), hardware, {"a": forced})


LINES = """\
layers:
  "a": {rows: 2,
    cols: 99}
  "?": {rwos: 1}
  "z*": {rows: 1}
"""


def test_what_is_wrong_in_a_file_has_its_line(tmp_path: Path) -> None:
    """The value's, or the key's where that is unknown; in a file of parts too."""
    path = tmp_path / "m.yaml"
    path.write_text(LINES)
    said = refused(TWO, ROOMY, path)
    assert f"{path}:3:11: layers.a.cols: layer a: expected a size from 1 to 10" in said
    assert f"{path}:4:9: layers.?.rwos: layer b: unknown axis 'rwos'" in said
    assert f"{path}:5:3: layers.z*: no layer matches" in said
    path.write_text("parts:\n- layers: {}\n  arrays: 2\n")
    assert f"{path}:3:11: parts[0].arrays: expected at most the 1 arrays" in refused(
        TWO, ROOMY, path
    )


def test_a_pattern_leaves_out_layers_without_tiles() -> None:
    """Which is no reason to name such a layer, or to mean nothing else."""
    network = chain((2, 6, 6), conv(2), Flatten(), dense(3))
    found = mapping_of(accelsim.simulate(network, ROOMY, mapping={"*": {"rows": 1, "cols": 1}}))
    assert {name: each["rows"] for name, each in found.items()} == {"a": 1, "c": 1}
    said = refused(network, ROOMY, {"b": {"rows": 1}})
    assert "layers.b.rows: layer b: has no tiles; leave it out" in said
    said = refused(network, ROOMY, {"[b]": {"rows": 1}})
    assert "layers.[b]: matches no layer with tiles, only views such as b; leave it out" in said


def test_several_problems_are_told_at_once() -> None:
    source = Source({"a": {"rows": 99, "cols": 99}, "z": {"rows": 1}}, "m.yaml")
    target = target_of(ROOMY)
    kernels = kernels_of(TWO, 1)
    with pytest.raises(InputError) as caught:
        forced_kernels(TWO, kernels, kernels, target, source)
    assert len(caught.value.problems) == 3


def test_the_command_line_saves_and_forces(tmp_path: Path) -> None:
    saved, again = tmp_path / "m.yaml", tmp_path / "n.yaml"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    first = run("run", "lenet5", "edge_ws", "--save-mapping", str(saved))
    second = run(
        *("run", "lenet5", "edge_ws", "--mapping", str(saved), "--save-mapping", str(again))
    )
    assert (first, saved.read_text()) == (second, again.read_text())
    run("verify", "lenet5", "edge_ws", "--mapping", str(saved))
    saved.write_text(saved.read_text().replace("rows: 14", "rows: 99", 1))
    wrong = CliRunner().invoke(app, ["run", "lenet5", "edge_ws", "--mapping", str(saved)])
    assert wrong.exit_code == 2
    assert (
        "layers.C1.rows: layer C1: expected a size from 1 to 28, or all, found 99" in wrong.output
    )
