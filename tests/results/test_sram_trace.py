"""What crosses the ports of the buffers: against the run's own counts, times and sizes."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, split

from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.given import MappingLike, NetworkLike
from accelsim.hardware import OPERANDS, Hardware
from accelsim.network.graph import Network
from accelsim.results import RunResult

NETWORK = chain((3, 12, 12), conv(8, 3, padding=1), max_pool(2), dense(40))
PORTS = {
    "ifmap": (("ifmap_reads",), ("ifmap_read_bytes",), ()),
    "filter": (("filter_reads",), ("filter_read_bytes",), ()),
    "psum": (("psum_reads", "psum_writes"), ("psum_read_bytes",), ("psum_write_bytes",)),
    "ofmap": (("ofmap_writes",), (), ("ofmap_write_bytes",)),
}
"""Of each operand: words at the array's side, bytes that DRAM fills, bytes that it drains."""


def traced(
    network: NetworkLike,
    hardware: Hardware,
    path: Path,
    batch: int = 1,
    mapping: MappingLike | None = None,
) -> tuple[RunResult, list[dict[str, str]]]:
    result = simulate(network, hardware, batch=batch, mapping=mapping, trace_sram=path)
    with path.open(newline="", encoding="utf-8") as file:
        return result, [*csv.DictReader(file)]


def holds(result: RunResult, rows: list[dict[str, str]], hardware: Hardware) -> None:
    """Bytes of each layer, operand and port; times within the run, addresses in the buffer."""
    moved: dict[tuple[str, ...], int] = defaultdict(int)
    buffer_of = {item: name for name, each in hardware.buffers.items() for item in each.holds}
    for row in rows:
        moved[row["layer"], row["operand"], row["port"], row["way"]] += int(row["bytes"])
        assert row["buffer"] == buffer_of[row["operand"]]  # type: ignore[index]
        assert 0 <= int(row["address"]) < hardware.buffers[row["buffer"]].size
        assert 0 <= int(row["cycle"]) < result.cycles
        assert 0 <= int(row["array"]) < hardware.array.count
        assert int(row["bytes"]) > 0
    for layer in result.layers:
        sram, dram = layer.sram.as_dict(), layer.dram.as_dict()
        for item in OPERANDS:
            words, fills, drains = PORTS[item]
            size = hardware.precision.bytes_of(item)
            for way, end in (("read", "_reads"), ("write", "_writes")):
                own = sum(sram[name] for name in words if name.endswith(end)) * size
                assert moved[layer.name, item, "array", way] == own
            assert moved[layer.name, item, "dram", "write"] == sum(dram[name] for name in fills)
            assert moved[layer.name, item, "dram", "read"] == sum(dram[name] for name in drains)


@drawn(60, percent=6)
@given(
    networks(),
    MACHINES,
    st.sampled_from(["window", "tap"]),
    st.sampled_from([(), ("activation", "add", "pool")]),
    st.integers(1, 3),
)
def test_any_run(
    tmp_path_factory: pytest.TempPathFactory,
    network: Network,
    hardware: Hardware,
    reduction: str,
    fused: tuple[str, ...],
    batch: int,
) -> None:
    path = tmp_path_factory.mktemp("sram") / "s.csv"
    settings = [f"array.reduction={reduction}", f"fused=[{', '.join(fused)}]"]
    chip = with_settings(hardware, settings)
    try:
        result, rows = traced(network, chip, path, batch)
    except DoesNotFitError:
        return
    holds(result, rows, chip)


@pytest.mark.parametrize("flow", ["best", "rs"])
def test_lenet(tmp_path: Path, flow: str) -> None:
    chip = load_hardware("eyeriss", [f"array.dataflow={flow}"])
    result, rows = traced("lenet5", chip, tmp_path / "s.csv")
    holds(result, rows, chip)


def test_a_fold_by_hand(tmp_path: Path) -> None:
    """4 x 3 PEs, ws: 3 filters of 8 words are 2 folds, each of which streams one row of the map.

    Filters [filter][k]: the second fold's weights begin at word 4; the map's at channel 4.
    """
    network, chip = chain((8, 1, 5), conv(3)), machine(split())
    _, rows = traced(network, chip, tmp_path / "s.csv", mapping={"a": {"channels": 8}})
    told = [
        (row["operand"], row["way"], int(row["address"]), int(row["bytes"]))
        for row in rows
        if row["port"] == "array"
    ]
    assert told == [
        *(("ifmap", "read", 0, 20), ("filter", "read", 0, 12), ("psum", "write", 0, 60)),
        *(("ifmap", "read", 20, 20), ("filter", "read", 4, 12), ("psum", "read", 0, 60)),
        ("ofmap", "write", 0, 15),
    ]
    fills = [
        (row["operand"], row["way"], int(row["bytes"])) for row in rows if row["port"] == "dram"
    ]
    assert fills == [("filter", "write", 24), ("ifmap", "write", 40), ("ofmap", "read", 15)]


MOVING = """
name: moving
input: {channels: 8, height: 12, width: 12}
layers:
  c: {op: conv, out_channels: 8, kernel: 3, padding: same}
  sl: {op: slice, input: c, start: [4, 6, 6], stop: [8, 12, 12]}
  rs: {op: resize, input: c, size: [20, 20]}
  p: {op: pad, input: c, before: [0, 4, 4], after: [0, 4, 4]}
  tr: {op: transpose, input: c, order: [1, 2, 0]}
  up: {op: conv_transpose, input: c, out_channels: 4, kernel: 3, stride: 2, form: zero_inserted}
"""
"""Layers that move values: of an ifmap of another shape than what they make."""


@pytest.mark.parametrize("stays", ["on", "off"])
def test_layers_that_move_values_read_within_their_ifmap(tmp_path: Path, stays: str) -> None:
    """From the ifmap's own address on, by its own pitches: a slice begins at its first value."""
    path = tmp_path / "n.yaml"
    path.write_text(MOVING)
    name = "edge_ws"
    hardware = load_hardware(name, [f"residency={stays}", "buffers.ifmap_sram.size=8 KiB"])
    result, rows = traced(path, hardware, tmp_path / "s.csv")
    holds(result, rows, hardware)
    simulate(path, hardware, trace_dram=tmp_path / "d.csv")
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    made = [row for row in lines if row["layer"] == "c" and row["way"] == "write"]
    if stays == "off":
        start = min(int(row["address"]) for row in made)
        read = [row for row in lines if row["tensor"] == "c" and row["way"] == "read"]
        assert all(start <= int(row["address"]) for row in read)
        assert all(int(row["address"]) + int(row["bytes"]) <= start + 8 * 144 for row in read)
        first = min(int(row["address"]) for row in read if row["layer"] == "sl")
        assert first == start + 4 * 144 + 6 * 12 + 6


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends in none of"):
        simulate(NETWORK, "edge_ws", trace_sram=tmp_path / "s.txt")
    with pytest.raises(InputError, match="there is no directory"):
        simulate(NETWORK, "edge_ws", trace_sram=tmp_path / "none" / "s.csv")
