"""A trace tells exactly what the run's totals count, and never two things at once on one track."""

import gzip
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from drawing import drawn
from hypothesis import given
from machines import MACHINES, networks

import accelsim
from accelsim import programs
from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import compile_program
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.lowering.target import target_of
from accelsim.network.graph import Network
from accelsim.results import RunResult
from accelsim.results.trace import slices, write_trace

DRAM, UNITS, LAYERS = 1, 10, 100_000


def traced(path: Path, network: Any, hardware: Any) -> tuple[RunResult, dict[str, Any]]:
    result = accelsim.simulate(network, hardware, trace=path)
    return result, json.loads(path.read_text())


def spans(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in events if each["ph"] == "X"]


def summed(events: list[dict[str, Any]], key: str, way: str | None = None) -> Counter[str]:
    """Of each layer that has any."""
    total: Counter[str] = Counter()
    for each in events:
        args = each["args"]
        if way in (None, args.get("way")):
            total[args["layer"]] += args.get(key, 0)
    return +total


def check(result: RunResult, trace: dict[str, Any], hardware: Hardware) -> None:
    tiles = [one for one in spans(trace["traceEvents"]) if UNITS <= one["tid"] < LAYERS]
    moves = [one for one in spans(trace["traceEvents"]) if one["tid"] == DRAM]
    layers = {each.name: each for each in result.layers if not each.is_free}
    assert Counter(one["args"]["layer"] for one in tiles) == {
        name: each.tiles for name, each in layers.items()
    }
    assert summed(moves, "bytes", "read") == +Counter(
        {name: each.dram.read_bytes for name, each in layers.items()}
    )
    assert summed(moves, "bytes", "write") == +Counter(
        {name: each.dram.write_bytes for name, each in layers.items()}
    )
    assert summed(moves, "cycles") == +Counter(
        {name: each.dram_cycles for name, each in layers.items()}
    )
    on_array = {name for name, each in layers.items() if each.gemm is not None}
    macs = summed(tiles, "macs")
    assert set(macs) == on_array
    assert all(macs[name] == layers[name].macs for name in on_array)
    apart(trace["traceEvents"])
    last = max(one["args"]["cycle"] + one["args"]["cycles"] for one in spans(trace["traceEvents"]))
    assert last == result.cycles
    sizes = {space.name: space.size for space in target_of(hardware).buffers}
    for each in trace["traceEvents"]:
        if each["ph"] == "C":
            name = each["name"].removeprefix("room taken in ").partition(" of array ")[0]
            assert 0 <= each["args"]["bytes"] <= sizes[name]


def apart(events: list[dict[str, Any]]) -> None:
    """Nothing begins on a track before what is there has ended, in cycles and as drawn."""
    ends: dict[int, tuple[int, float]] = {}
    for each in sorted(spans(events), key=lambda one: (one["tid"], one["args"]["cycle"])):
        until, drawn = ends.get(each["tid"], (0, 0.0))
        start = each["args"]["cycle"]
        assert start >= until
        assert round(1000 * each["ts"]) >= round(1000 * drawn)
        ends[each["tid"]] = start + each["args"]["cycles"], each["ts"] + each["dur"]


@pytest.mark.parametrize(
    ("hardware", "changes"),
    [
        ("edge_ws", ("clock=700 MHz",)),
        ("edge_ws", ("array.count=3", "dram={timing: DDR4-2400}")),
        ("eyeriss", ()),
        ("tpu_v1", ()),
    ],
)
def test_it_tells_what_the_totals_count(
    tmp_path: Path, hardware: str, changes: tuple[str, ...]
) -> None:
    machine = load_hardware(hardware, changes)
    result, trace = traced(tmp_path / "t.json", "lenet5", machine)
    check(result, trace, machine)
    assert result == accelsim.simulate("lenet5", machine)
    assert trace["otherData"]["nanoseconds_per_cycle"] == pytest.approx(1e9 / machine.clock)


@drawn(15)
@given(networks(), MACHINES)
def test_it_does_so_for_drawn_networks(network: Network, hardware: Hardware) -> None:
    with TemporaryDirectory() as folder:
        try:
            result, trace = traced(Path(folder) / "t.json", network, hardware)
        except DoesNotFitError:
            return
    check(result, trace, hardware)


def test_independent_layers_follow_each_other_under_their_names(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text(
        "Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
        "one,8,8,3,3,4,8,1,\ntwo,8,8,3,3,4,8,1,\n"
    )
    result, trace = traced(tmp_path / "t.json", path, "edge_ws")
    check(result, trace, load_hardware("edge_ws"))
    assert [each.name for each in result.layers] == ["one", "two"]


def test_the_same_run_gives_the_same_bytes_and_gz_holds_the_same(tmp_path: Path) -> None:
    one, packed, again = (tmp_path / name for name in ("a.json", "b.json.gz", "c.json.gz"))
    for path in (one, packed, again):
        accelsim.simulate("lenet5", "edge_ws", trace=path)
    assert packed.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == one.read_bytes()


@pytest.mark.parametrize("argument", ["trace", "trace_dram", "trace_sram"])
@pytest.mark.parametrize("path", ["", ".", "none/x.json", "x\0.json", "n.csv"])
def test_where_nothing_can_be_written_is_told_by_name_before_anything_is_played(
    argument: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = Path("n.csv")
    network.write_text("Layer,M,N,K,\nlayer,8,8,8,\n")
    monkeypatch.setattr(programs, "timed", lambda *_: pytest.fail("it was played"))
    with pytest.raises(InputError, match=f"{argument}: "):
        accelsim.simulate(network, "edge_ws", **{argument: path})
    assert [*tmp_path.iterdir()] == [tmp_path / "n.csv"]


def test_what_is_long_is_refused_with_its_length(tmp_path: Path) -> None:
    program = compile_program("lenet5", "edge_ws")
    count = slices([program])
    path = tmp_path / "t.json"
    with pytest.raises(InputError, match=f"would have {count} tiles and transfers"):
        write_trace([program], str(path), count - 1)
    assert not path.exists()
    write_trace([program], str(path), count)
    events = spans(json.loads(path.read_text())["traceEvents"])
    assert sum(one["tid"] < LAYERS for one in events) == count
