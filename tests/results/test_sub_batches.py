"""A batch in parts: sums of its parts, values of the whole, and never slower than whole or one."""

import csv
from dataclasses import astuple
from math import prod
from pathlib import Path

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, unified

from accelsim.computing import compute
from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.facade import compile_program, simulate, train, verify
from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import Hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.ranking import plain
from accelsim.lowering.recall import Memory
from accelsim.network.graph import Network
from accelsim.report.run import run_sheets
from accelsim.results.sub_batches import candidates, parts_of


def split(images: object, hardware: Hardware) -> Hardware:
    return with_settings(hardware, [f"batch_split={images}"])


ON_CHIP = machine(unified("2 KiB"), residency="on", dram={"bandwidth": "1 B/cycle"})
"""Feature maps of one image fit, those of eight do not; and DRAM is slow."""

NETWORK = chain((4, 8, 8), conv(4), conv(4), conv(4), max_pool(2), dense(3))


@pytest.mark.slow
@given(networks(), MACHINES, st.integers(2, 5), st.integers(1, 3))
@drawn(10)
def test_any_network_is_the_sum_of_its_parts(
    network: Network, hardware: Hardware, batch: int, images: int
) -> None:
    it_is_the_sum_of_its_parts(network, hardware, batch, images)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_it_is_the_sum_of_its_parts(images: int) -> None:
    it_is_the_sum_of_its_parts(NETWORK, ON_CHIP, 5, images)


def it_is_the_sum_of_its_parts(
    network: Network, hardware: Hardware, batch: int, images: int
) -> None:
    memory = Memory()
    try:
        sizes = parts_of(batch, images)
        alone = {each: simulate(network, hardware, None, each, memory) for each in {*sizes}}
    except DoesNotFitError:
        return
    parts = [alone[each] for each in sizes]
    whole = simulate(network, split(images, hardware), None, batch, memory)
    assert whole.cycles == sum(part.cycles for part in parts)
    assert whole.batch == batch == sum(part.batch for part in parts)
    assert whole.macs == sum(part.macs for part in parts)
    kernels = kernels_of(network, batch)
    for at, layer in enumerate(whole.layers):
        turns = [part.layers[at] for part in parts]
        for name in ("cycles", "tiles", "macs", "dram_cycles", "array_cycles", "busy_cycles"):
            assert getattr(layer, name) == sum(getattr(turn, name) for turn in turns), name
        assert layer.dram.total_bytes == sum(turn.dram.total_bytes for turn in turns)
        assert layer.buckets.total == layer.cycles
        assert (layer.name, layer.op) == (turns[0].name, turns[0].op)
        assert layer.parameters == turns[0].parameters
        last = whole.cycles - parts[-1].cycles + turns[-1].end_cycle
        assert (layer.start_cycle, layer.end_cycle) == (turns[0].start_cycle, last)
        gemm = isinstance(kernels[at], GemmKernel) and turns[0].gemm is not None
        assert layer.gemm == (astuple(kernels[at].gemm)[:3] if gemm else None)


@given(networks(), MACHINES, st.integers(2, 5), st.integers(1, 3))
@drawn(25, percent=10)
def test_values_are_those_of_the_batch(
    network: Network, hardware: Hardware, batch: int, images: int
) -> None:
    try:
        checked = verify(network, split(images, hardware), batch=batch)
    except DoesNotFitError:
        return
    assert checked.passed
    assert [layer.name for layer in checked.layers] == [layer.name for layer in network.layers]


def test_computed_values_are_those_of_the_batch() -> None:
    apart, whole = (compute(NETWORK, split(each, ON_CHIP), batch=5) for each in (2, "whole"))
    for name, values in whole.ofmaps.items():
        assert (apart.ofmaps[name] == values).all()


@pytest.mark.parametrize("dataflow", ["ws", "rs", pytest.param("best", marks=pytest.mark.slow)])
def test_auto_is_no_slower_than_whole_or_single_images(dataflow: str) -> None:
    array = ON_CHIP.array.model_copy(update={"dataflow": dataflow})
    hardware = ON_CHIP.model_copy(update={"array": array})
    whole, auto = (simulate(NETWORK, split(each, hardware), batch=8) for each in ("whole", "auto"))
    alone = simulate(NETWORK, hardware)
    assert auto.cycles <= min(whole.cycles, 8 * alone.cycles)


def test_maps_of_a_part_stay_on_chip() -> None:
    whole, auto = (simulate(NETWORK, split(each, ON_CHIP), batch=8) for each in ("whole", "auto"))
    assert auto.cycles < whole.cycles
    assert auto.dram.total_bytes < whole.dram.total_bytes
    assert auto.sub_batches
    assert sum(auto.sub_batches) == 8
    assert auto.as_dict()["sub_batches"] == [*auto.sub_batches]
    assert "sub_batches" not in whole.as_dict()
    first = compile_program(NETWORK, split("auto", ON_CHIP), batch=8)
    assert (
        first.batch
        == auto.sub_batches[0]
        == explain(NETWORK, split("auto", ON_CHIP), "a", batch=8).batch
    )


def test_traces_have_all_parts(tmp_path: Path) -> None:
    path = tmp_path / "port.csv"
    result = simulate(NETWORK, split(2, ON_CHIP), batch=5, trace_dram=path)
    header, *rows = path.read_text().splitlines()
    place = header.split(",").index("bytes")
    assert sum(int(row.split(",")[place]) for row in rows) == result.dram.total_bytes


@pytest.mark.parametrize(("dataflow", "images"), [("ws", 2), ("ws", "auto"), ("rs", 2)])
def test_a_run_takes_its_own_mapping(dataflow: str, images: object) -> None:
    """Of an uneven split, too: the last part has fewer images than the first one's tiles."""
    array = ON_CHIP.array.model_copy(update={"dataflow": dataflow})
    hardware = split(images, ON_CHIP.model_copy(update={"array": array}))
    first = simulate(NETWORK, hardware, batch=3)
    mapping = {each.name: plain(each.tiling) for each in first.layers if each.tiling}
    again = simulate(NETWORK, hardware, batch=3, mapping=mapping)
    if images != "auto":  # which then has the same tiles in parts of other sizes to choose from
        assert [each.tiling for each in again.layers] == [each.tiling for each in first.layers]
    assert verify(NETWORK, hardware, batch=3, mapping=mapping).passed
    axis = "n" if dataflow == "rs" else "batch"
    with pytest.raises(InputError, match="expected a size from 1 to"):
        simulate(NETWORK, hardware, batch=3, mapping={"a": {axis: 4}})


def test_a_tensor_has_one_place_for_all_parts(tmp_path: Path) -> None:
    """Equal parts read their filters at the same addresses, and maps where their images lie."""
    path = tmp_path / "port.csv"
    hardware = with_settings(split(2, ON_CHIP), ["residency=off"])
    result = simulate(NETWORK, hardware, batch=4, trace_dram=path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    places: dict[tuple[str, bool], list[int]] = {}
    for line in lines:
        late = int(line["cycle"]) >= result.cycles // 2
        places.setdefault((line["tensor"], late), []).append(int(line["address"]))
    two = {"x": 4 * 8 * 8 * 2}  # two images
    two |= {layer.name: 2 * prod(layer.output_shape) for layer in result.layers}
    for tensor in {line["tensor"] for line in lines}:
        moved = 0 if tensor.endswith(".filter") else two[tensor.removesuffix(".psum")]
        early, late = places[tensor, False], places[tensor, True]
        if not tensor.endswith(".psum"):
            assert [each + moved for each in early] == late, tensor


def test_more_than_the_batch_is_said() -> None:
    hardware = split(8, ON_CHIP)
    result = simulate(NETWORK, hardware, batch=3)
    told = [str(row) for sheet in run_sheets(result, hardware) for row in sheet.rows]
    assert any("batch_split 8 is more than the batch" in each for each in told)


def test_sizes() -> None:
    assert candidates(NETWORK, 10, "auto") == [10, 5, 3, 2, 1]
    assert candidates(NETWORK, 1, "auto") == candidates(NETWORK, 1, "whole") == [1]
    assert candidates(NETWORK, 10, 16) == [10]
    assert parts_of(10, 3) == [3, 3, 3, 1]
    assert parts_of(10, 10) == [10]


def test_a_step_of_training_stays_whole() -> None:
    floats = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    hardware = with_settings(machine(unified("4 KiB")), [floats])
    auto = train(NETWORK, split("auto", hardware), batch=2)
    assert auto == train(NETWORK, hardware, batch=2)
    with pytest.raises(InputError, match="gradients are of the whole batch"):
        train(NETWORK, split(1, hardware), batch=2)


def test_what_fits_nowhere_is_refused() -> None:
    for each in ("auto", "2"):
        with pytest.raises(DoesNotFitError, match="layer"):
            simulate(NETWORK, split(each, machine(unified("4 B"))), batch=3)


@pytest.mark.parametrize("value", ["0", "-1", "half", "1.5"])
def test_what_is_no_size_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="batch_split"):
        split(value, machine())
