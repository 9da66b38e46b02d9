"""Rows of a topology file are measurements of their own: each takes what it takes alone."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, machine

import accelsim
from accelsim.errors import DoesNotFitError, InputError
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.digest import network_digest
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, Op
from accelsim.network.passes import prepare_for_inference
from accelsim.results import LayerResult, RunResult

CHIP = load_hardware("edge_ws", ["energy=horowitz_45nm"])
ROWS: dict[str, tuple[Op, tuple[int, ...]]] = {
    "gemm": (Dense(out_features=64, bias=False), (64, 64)),
    "wide": (Dense(out_features=300, bias=False), (40, 20)),
    "conv": (Conv(out_channels=16, kernel=(3, 3), bias=False), (8, 9, 11)),
    "depthwise": (Conv(out_channels=8, kernel=(3, 3), groups=8, bias=False), (8, 9, 11)),
}


def rows(*kinds: str, images: tuple[int, ...] = ()) -> Network:
    """A network of independent rows of these kinds, called by their numbers."""
    inputs = {f"{index}/in": ROWS[kind][1] for index, kind in enumerate(kinds)}
    specs = [
        LayerSpec(str(index), ROWS[kind][0], (f"{index}/in",)) for index, kind in enumerate(kinds)
    ]
    batches = images or (1,) * len(kinds)
    named = {str(index): each for index, each in enumerate(batches)}
    return replace(build_network("rows", inputs, specs), images=named)


def own(layer: LayerResult) -> dict[str, object]:
    """What a layer reports, but for names and when it ran."""
    data = layer.as_dict()
    return {key: data[key] for key in data.keys() - {"name", "inputs", "start_cycle", "end_cycle"}}


KINDS = st.lists(st.sampled_from(sorted(ROWS)), min_size=1, max_size=5)


@given(KINDS, MACHINES, st.integers(1, 3))
@drawn(40, percent=8)
def test_a_row_takes_what_it_takes_alone(kinds: list[str], chip: Hardware, batch: int) -> None:
    try:
        together = accelsim.simulate(rows(*kinds), chip, batch=batch)
        alone = {kind: accelsim.simulate(rows(kind), chip, batch=batch) for kind in kinds}
    except DoesNotFitError:
        return
    assert [own(layer) for layer in together.layers] == [
        own(alone[kind].layers[0]) for kind in kinds
    ]
    assert [layer.name for layer in together.layers] == [str(at) for at in range(len(kinds))]
    ends = [0, *(layer.end_cycle for layer in together.layers)]
    assert [layer.start_cycle for layer in together.layers] == ends[:-1]
    assert together.cycles == ends[-1] == sum(alone[kind].cycles for kind in kinds)
    assert together.batch == batch


def test_nothing_stays_on_chip_between_rows_and_the_order_does_not_matter() -> None:
    chip = load_hardware("tpu_v1")
    kinds = ("gemm", "conv", "gemm", "wide")
    forth, back = (accelsim.simulate(rows(*order), chip) for order in (kinds, kinds[::-1]))
    assert [own(layer) for layer in forth.layers] == [own(layer) for layer in back.layers[::-1]]
    assert not any(layer.resident.ifmap_bytes for layer in forth.layers)
    assert forth.totals == back.totals


def test_equal_rows_are_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []

    def play(program: object, *player: object) -> RunResult:
        result = timed(program, *player)
        played.extend(layer.name for layer in result.layers)
        return result

    timed = import_module("accelsim.programs").timed
    monkeypatch.setattr("accelsim.programs.timed", play)
    network = rows("gemm", "conv", "gemm", "gemm", images=(1, 1, 1, 2))
    assert len(accelsim.simulate(network, CHIP).layers) == 4
    assert played == ["0", "1", "3"]


def test_a_row_of_four_images_is_a_batch_of_four() -> None:
    """Its work and its values are those of the same row at batch 4; the run's batch multiplies."""
    for kind in ROWS:
        one, four = rows(kind), rows(kind, images=(4,))
        wanted = accelsim.simulate(one, CHIP, batch=8).layers[0]
        assert accelsim.simulate(four, CHIP, batch=2).layers[0] == wanted
        checked = accelsim.verify(four, CHIP, batch=2)
        assert checked.passed
        assert checked.elements == accelsim.verify(one, CHIP, batch=8).elements


def test_values_of_every_row_are_checked() -> None:
    told: list[tuple[int, int]] = []
    network = rows("gemm", "conv", "gemm")
    checked = accelsim.verify(network, CHIP, progress=lambda *counts: told.append(counts))
    assert [layer.name for layer in checked.layers] == ["0", "1", "2"]
    assert checked.passed
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_all_rows_that_do_not_fit_are_told() -> None:
    small = machine({"all": {"holds": ["ifmap", "filter", "psum", "ofmap"], "size": "4 B"}})
    for call in (accelsim.simulate, accelsim.verify):
        with pytest.raises(DoesNotFitError) as caught:
            call(rows("gemm", "wide"), small)
        lines = str(caught.value).splitlines()
        assert [line.split(":")[1].strip() for line in lines] == ["layer 0", "layer 1"]


def test_the_images_of_a_row_count_towards_the_limits() -> None:
    with pytest.raises(InputError, match="too many to simulate"):
        accelsim.simulate(rows("gemm", images=(2**40,)), CHIP)


def test_passes_keep_rows_apart_and_keys_tell_them_from_a_network() -> None:
    network = rows("gemm", "conv", images=(1, 4))
    assert prepare_for_inference(network).images == {"0": 1, "1": 4}
    others = [rows("gemm", "conv"), replace(network, images=None)]
    assert len({network_digest(each) for each in (network, *others)}) == 3


def test_six_equal_rows_of_a_file(tmp_path: Path) -> None:
    """Each 1,452 cycles on scalesim_default, alone or not, and in compare as well."""
    (tmp_path / "rows.csv").write_text("Layer, M, N, K,\n" + "same, 64, 64, 64,\n" * 6)
    (compared,) = accelsim.compare(tmp_path / "rows.csv", "scalesim_default")
    for run in compared.runs:
        assert {layer.cycles for layer in run.layers} == {run.layers[0].cycles}
        assert run.cycles == 6 * run.layers[0].cycles
        (tmp_path / "one.csv").write_text("Layer, M, N, K,\nsame, 64, 64, 64,\n")
        one = accelsim.simulate(tmp_path / "one.csv", "scalesim_default", run.dataflow)
        assert one.cycles == run.layers[0].cycles
    assert compared.own_cycles == tuple(run.cycles for run in compared.runs)
