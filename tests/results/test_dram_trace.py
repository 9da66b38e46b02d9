"""What crosses the DRAM port: against the run's own bytes and cycles, and the tensors' places."""

import csv
import gzip
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from drawing import drawn
from hypothesis import given
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, split

from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import simulate
from accelsim.hardware import Hardware
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, AsValues, Embedding
from accelsim.results import RunResult

NETWORK = chain((3, 12, 12), conv(8, 3, padding=1), max_pool(2), dense(40))


def traced(network: object, hardware: object, path: Path) -> tuple[RunResult, list[dict[str, str]]]:
    result = simulate(network, hardware, trace_dram=path)  # type: ignore[arg-type]
    with path.open(newline="", encoding="utf-8") as file:
        return result, [*csv.DictReader(file)]


def holds(result: RunResult, rows: list[dict[str, str]]) -> None:
    """Bytes of each layer and way, times within the run, no two tensors in one place."""
    moved: dict[tuple[str, str], int] = defaultdict(int)
    places: dict[str, tuple[int, int]] = {}
    for row in rows:
        first, size = int(row["address"]), int(row["bytes"])
        moved[row["layer"], row["way"]] += size
        low, high = places.get(row["tensor"], (first, first))
        places[row["tensor"]] = min(low, first), max(high, first + size)
        assert 0 <= int(row["cycle"]) < result.cycles
        assert size > 0
    for layer in result.layers:
        assert moved[layer.name, "read"] == layer.dram.read_bytes
        assert moved[layer.name, "write"] == layer.dram.write_bytes
    regions = sorted(places.values())
    assert all(one[1] <= other[0] for one, other in pairwise(regions))
    cycles = [int(row["cycle"]) for row in rows]
    assert cycles[:1] <= [min(cycles, default=0)]


def test_a_small_run(tmp_path: Path) -> None:
    result, rows = traced(NETWORK, machine(split("256 B", "256 B", "256 B")), tmp_path / "d.csv")
    holds(result, rows)
    assert {row["tensor"] for row in rows} >= {"x", "a", "a.filter", "b"}


def test_what_is_looked_up_lies_in_its_table(tmp_path: Path) -> None:
    """Rows of 6 bytes for 12 numbers, of tables of 40 and of 5 entries; numbers are not fetched."""
    layers = [
        LayerSpec("word", Embedding(entries=40, features=6), ("x",)),
        LayerSpec("values", AsValues(), ("x",)),
        LayerSpec("place", Embedding(entries=5, features=6), ("values",)),
        LayerSpec("sum", Add(), ("word", "place")),
    ]
    network = build_network("n", {"x": (12,)}, layers)
    result, rows = traced(network, machine(split("64 B", "64 B", "64 B")), tmp_path / "d.csv")
    holds(result, rows)
    tensors = {(row["layer"], row["tensor"]) for row in rows if row["way"] == "read"}
    assert {("word", "word.filter"), ("place", "place.filter"), ("values", "x")} <= tensors


@drawn(25)
@given(networks(), MACHINES)
def test_any_run(
    tmp_path_factory: pytest.TempPathFactory, network: Network, hardware: Hardware
) -> None:
    path = tmp_path_factory.mktemp("dram") / "d.csv"
    try:
        result, rows = traced(network, hardware, path)
    except DoesNotFitError:
        return
    holds(result, rows)


def test_feature_maps_written_are_read_at_the_same_addresses(tmp_path: Path) -> None:
    """With residency off an ofmap's bytes are all written once, and its reader reads no others."""
    result, rows = traced(NETWORK, machine(split("256 B", "256 B", "256 B")), tmp_path / "d.csv")

    def touched(way: str, tensor: str) -> set[int]:
        some = (r for r in rows if (r["way"], r["tensor"]) == (way, tensor))
        runs = ((int(row["address"]), int(row["bytes"])) for row in some)
        return {byte for first, size in runs for byte in range(first, first + size)}

    first = result.layers[0]
    written = touched("write", first.name)
    assert len(written) == first.dram.ofmap_write_bytes == 8 * 12 * 12
    assert touched("read", first.name) <= written


def test_forms(tmp_path: Path) -> None:
    """A line for each burst of 64 bytes that a run touches."""
    _, rows = traced("lenet5", "edge_ws", tmp_path / "d.csv")
    lines = {}
    for name in ("d.trc", "d.trace", "e.trc.gz"):
        simulate("lenet5", "edge_ws", trace_dram=tmp_path / name)
        data = (tmp_path / name).read_bytes()
        text = gzip.decompress(data) if name.endswith("gz") else data
        lines[name] = text.decode().splitlines()
    bursts = [
        (burst, row)
        for row in rows
        for burst in range(
            int(row["address"]) // 64, -(-(int(row["address"]) + int(row["bytes"])) // 64)
        )
    ]
    assert lines["d.trc"] == lines["e.trc.gz"]
    assert lines["d.trc"] == [
        f"0x{burst * 64:x} {row['way'].upper()} {row['cycle']}" for burst, row in bursts
    ]
    assert lines["d.trace"] == [
        f"{'LD' if row['way'] == 'read' else 'ST'} 0x{burst * 64:x}" for burst, row in bursts
    ]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends in none of"):
        simulate(NETWORK, "edge_ws", trace=tmp_path / "t.json", trace_dram=tmp_path / "d.txt")
    assert not [*tmp_path.iterdir()]
    with pytest.raises(InputError, match="there is no directory"):
        simulate(NETWORK, "edge_ws", trace_dram=tmp_path / "none" / "d.csv")
