"""The facade: results by hand, and the JSON that others read."""

import json
import subprocess
import sys
from typing import Any

import pytest
from machines import chain, conv, machine, max_pool

import accelsim
from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.given import with_dataflow
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Concat, Conv, Relu
from accelsim.results import Buckets, LayerResult

TALL = Conv(out_channels=3, kernel=(4, 2))


def test_every_number_of_a_tiny_run() -> None:
    """4x2 convolution of a 5x3 map to 3 filters; 4x3 MACs, ws, DRAM 1 KiB/cycle and 10 away.

    A transfer takes a cycle, so smaller tiles would gain nothing.

    GEMM: m = 2*2, n = 3, k = 4*2 = 8; 96 MACs; 3*8 + 3 biases = 27 parameters.
    Folds: k = 8 on 4 rows is 2, n = 3 on 3 columns 1; each 4 + 2*4 + 3 - 2 = 13 cycles: 26.
    All PEs hold work in both. DRAM: filter 24 B in cycle 0, ifmap 15 B in cycle 1, arriving at 12;
    computed 12..38; ofmap 12 B in cycle 38, arriving at 49. On the channel 3 cycles; waiting for it
    (12 + 11 = 23) takes less than the 26 of the array.
    At the array's edge: ifmap m*k = 32 words (15 in the map), filter 24; psums of the first
    fold 12 out and 12 in; ofmap 12. Streaming 2 folds * 4 = 8 = 96 / 12 useful; 26 - 8 drain.
    """
    result = simulate(chain((1, 5, 3), TALL), machine(dram={"bandwidth": "1 KiB/cycle"}))
    assert result.cycles == 49
    (layer,) = result.layers
    expected = {
        "name": "a",
        "op": "conv",
        "gemm": {"m": 4, "n": 3, "k": 8},
        "macs": 96,
        "parameters": 27,
        "output_shape": [3, 2, 2],
        "start_cycle": 0,
        "end_cycle": 49,
        "cycles": 49,
        "array_cycles": 26,
        "untiled_array_cycles": 26,
        "vector_cycles": 0,
        "busy_cycles": 26,
        "dram_cycles": 3,
        "utilization": 96 / (12 * 49),
        "mapping_efficiency": 1.0,
        "bound": "array",
        "tiles": 1,
        "sram": {
            "ifmap_reads": 32,
            "filter_reads": 24,
            "psum_reads": 12,
            "psum_writes": 12,
            "ofmap_writes": 12,
        },
        "dram": {
            "ifmap_read_bytes": 15,
            "filter_read_bytes": 24,
            "psum_read_bytes": 0,
            "psum_write_bytes": 0,
            "ofmap_write_bytes": 12,
        },
        "buckets": {
            "useful": 8,
            "idle_pes": 0,
            "fill_drain": 18,
            "buffer": 0,
            "dram_read": 12,
            "dram_write": 11,
            "other_layer": 0,
        },
        "inputs": ["x"],
        "resident": {"ifmap_bytes": 0, "ofmap_bytes": 0},
        "dram_saved_bytes": 0,
        # Each fold: 48 MACs read the filter; ifmap 48 and sums 4 rows * 12 written and read; filter
        # rows of 3 written 1 + 2 + 3 + 4 times, moved 6 times; ifmap moved 4*2*4, sums 3 * 12.
        "inside": {
            "register_accesses": 2 * (48 + 96 + 96 + 30 + 18),
            "network_words": 2 * (18 + 32 + 36),
            "psum_register_accesses": 2 * 96,
            "psum_network_words": 2 * 36,
        },
        "mapping": None,
        "tiling": {
            "batch": 1,
            "groups": 1,
            "rows": 2,
            "cols": 2,
            "filters": 3,
            "channels": 1,
            "tap_rows": 4,
            "tap_cols": 2,
            "order": "ofmap_stays",
            "split": "pixels",
            "arrays": 1,
        },
        "phase": "forward",
    }
    assert layer.as_dict() == expected


def test_compare_from_python_has_the_words_of_the_command_line() -> None:
    """Names or what was loaded, one or several; every network on one hardware, then the next."""
    found = accelsim.compare(["lenet5", "mlp"], ["edge_ws", "eyeriss"], dataflows="os, ws")
    assert [(each.best.network, each.best.hardware, each.dataflows) for each in found] == [
        (network, hardware, ("os", "ws"))
        for hardware in ("edge_ws", "eyeriss")
        for network in ("lenet5", "mlp")
    ]
    (one,) = accelsim.compare("mlp", load_hardware("eyeriss"), batch=2)
    assert one.dataflows == ("os", "ws", "is", "rs")
    assert one.runs == tuple(simulate("mlp", "eyeriss", flow, 2) for flow in one.dataflows)


def test_compare_tells_all_that_does_not_fit_and_what_is_no_dataflow() -> None:
    small = load_hardware("edge_ws", ["buffers.ifmap_sram.size=1 B"])
    heard: list[str] = []
    with pytest.raises(DoesNotFitError) as caught:
        accelsim.compare(["lenet5"], [small], ["os", "ws"], progress=heard.append)
    flows = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert {*flows} == {"os", "ws"} == {line.rpartition(" ")[2] for line in heard}
    with pytest.raises(InputError, match="unknown dataflow 'oss'"):
        accelsim.compare("lenet5", "edge_ws", "oss")


def test_verify_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    checked = accelsim.verify("lenet5", "edge_ws", progress=lambda *counts: told.append(counts))
    total = len(checked.layers)
    assert told == [(done + 1, total) for done in range(total)]


def test_row_stationary_needs_spads() -> None:
    with pytest.raises(
        InputError, match=r"array.dataflow: dataflow rs needs the spads .* add array"
    ):
        with_dataflow(load_hardware("edge_ws"), "rs")
    result = simulate("lenet5", "eyeriss", "rs")
    assert [layer.mapping is not None for layer in result.layers] == [
        layer.gemm is not None for layer in result.layers
    ]
    assert simulate("lenet5", "eyeriss", "ws").layers[0].mapping is None


def test_a_slow_buffer_is_the_bound() -> None:
    """As above with the ifmap SRAM at 1 B/cycle: the 4 steps of each fold, of 4 words, take 16
    cycles, and its 9 of fill and drain come on top.
    """
    buffers = {
        "ifmap": {"holds": ["ifmap"], "size": "1 KiB", "bandwidth": "1 B/cycle"},
        "rest": {"holds": ["filter", "psum", "ofmap"], "size": "1 KiB"},
    }
    dram = {"bandwidth": "1 KB/cycle", "latency": "0 cycles"}
    result = simulate(chain((1, 5, 3), TALL), machine(buffers, dram=dram))
    (layer,) = result.layers
    assert (layer.bound, layer.array_cycles) == ("buffer", 50)
    assert layer.buckets == Buckets(useful=8, fill_drain=18, buffer=24, dram_read=2, dram_write=1)


def test_a_pool_by_hand() -> None:
    """2x2 maximum of 2x2: 1 word of 4 operations on 4 lanes, 1 cycle.

    ifmap 4 B on the channel 0..1, there at 11, computed at 12, ofmap 1 B 12..13, there at 23.
    """
    (layer,) = simulate(chain((1, 2, 2), max_pool(2)), machine()).layers
    assert (layer.end_cycle, layer.vector_cycles, layer.bound) == (23, 1, "dram")
    assert layer.busy_cycles == 1
    assert layer.buckets == Buckets(useful=1, dram_read=11, dram_write=11)
    assert (layer.gemm, layer.macs, layer.utilization) == (None, 0, 0.0)


def test_a_concat_in_place_costs_nothing() -> None:
    specs = [
        LayerSpec("left", conv(2), ("x",)),
        LayerSpec("right", conv(3), ("x",)),
        LayerSpec("both", Concat(), ("left", "right")),
    ]
    result = simulate(build_network("n", {"x": (1, 4, 4)}, specs), machine())
    both = result.layer("both")
    assert (both.cycles, both.busy_cycles, both.tiles, both.dram.total_bytes) == (0, 0, 0, 0)
    assert both.bound == "none"
    assert both.start_cycle == max(result.layer(name).end_cycle for name in ("left", "right"))


def test_a_concat_of_the_input_copies() -> None:
    specs = [LayerSpec("a", Relu(), ("x",)), LayerSpec("both", Concat(), ("a", "x"))]
    result = simulate(build_network("n", {"x": (1, 4, 4)}, specs), machine())
    both = result.layer("both")
    assert (both.dram.ifmap_read_bytes, both.dram.ofmap_write_bytes) == (32, 32)
    assert both.vector_cycles == 32 / 4  # once through the four lanes


# --- The JSON form --------------------------------------------------------------------------------

COUNT, SHARE = (int,), (float,)
RUN = {
    "schema": COUNT,
    "network": (str,),
    "hardware": (str,),
    "dataflow": (str,),
    "batch": COUNT,
    "clock_hz": COUNT,
    "totals": (dict,),
    "layers": (list,),
}
TOTALS = {
    **dict.fromkeys(("cycles", "macs", "array_cycles"), COUNT),
    **dict.fromkeys(("dram_read_bytes", "dram_write_bytes"), COUNT),
    **dict.fromkeys(("seconds", "utilization"), SHARE),
}
LAYER = {
    "name": (str,),
    "op": (str,),
    "gemm": (dict, type(None)),
    "output_shape": (list,),
    **dict.fromkeys(("macs", "parameters", "cycles", "start_cycle", "end_cycle"), COUNT),
    **dict.fromkeys(("array_cycles", "untiled_array_cycles", "busy_cycles"), COUNT),
    **dict.fromkeys(("utilization", "mapping_efficiency"), SHARE),
    "sram": (dict,),
    "dram": (dict,),
    "bound": (str,),
}
DRAM = {
    *("ifmap_read_bytes", "filter_read_bytes", "psum_read_bytes"),
    *("psum_write_bytes", "ofmap_write_bytes"),
}


def holds(data: dict[str, Any], contract: dict[str, tuple[type, ...]]) -> None:
    for key, kinds in contract.items():
        assert type(data[key]) in kinds, key


@pytest.fixture(scope="module")
def lenet() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(simulate("lenet5", "edge_ws", batch=2).as_dict()))
    return data


def test_the_json_keeps_its_contract(lenet: dict[str, Any]) -> None:
    holds(lenet, RUN)
    holds(lenet["totals"], TOTALS)
    assert (lenet["schema"], lenet["batch"], lenet["clock_hz"]) == (1, 2, 10**9)
    assert [layer["name"] for layer in lenet["layers"]] == [
        *("C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT")
    ]
    for layer in lenet["layers"]:
        holds(layer, LAYER)
        assert layer["gemm"] is None or set(layer["gemm"]) == {"m", "n", "k"}
        assert set(layer["dram"]) == DRAM
        assert {"ifmap_reads", "filter_reads", "ofmap_writes"} <= set(layer["sram"])
        assert layer["bound"] in ("array", "dram", "buffer", "vector", "none")
        assert layer["cycles"] == layer["end_cycle"] - layer["start_cycle"]
        assert layer["utilization"] == layer["macs"] / (1024 * layer["cycles"])
    assert lenet["layers"][0]["gemm"] == {"m": 2 * 28 * 28, "n": 6, "k": 25}


def test_totals_are_the_sums_over_layers(lenet: dict[str, Any]) -> None:
    totals, layers = lenet["totals"], lenet["layers"]
    array = ("array_cycles", "untiled_array_cycles")
    for key in ("macs", "parameters", *array, "vector_cycles", "busy_cycles"):
        assert totals[key] == sum(layer[key] for layer in layers), key
    for part in ("dram", "sram", "inside", "buckets"):
        for key, value in totals[part].items():
            assert value == sum(layer[part][key] for layer in layers), key
    read = [key for key in DRAM if "read" in key]
    assert totals["dram_read_bytes"] == sum(totals["dram"][key] for key in read)
    assert totals["dram_write_bytes"] == sum(totals["dram"][key] for key in DRAM - set(read))
    assert totals["layer_cycles"] == sum(layer["cycles"] for layer in layers)
    assert totals["cycles"] == max(layer["end_cycle"] for layer in layers)
    assert totals["seconds"] == totals["cycles"] / 1e9
    assert totals["utilization"] == totals["macs"] / (1024 * totals["cycles"])


def test_a_run_answers_by_name() -> None:
    result = simulate("lenet5", "edge_ws", dataflow="os")
    layer = result.layer("C1")
    assert isinstance(layer, LayerResult)
    assert (result.dataflow, layer.gemm) == ("os", (784, 6, 25))
    with pytest.raises(KeyError):
        result.layer("C9")


USE = """
import sys

def use():
    for _ in range(2):
        assert accelsim.simulate.__module__ == accelsim.verify.__module__ == "accelsim.facade"
        accelsim.load_hardware("edge_ws"), accelsim.load_network("lenet5")

import accelsim
use()
for name in [name for name in sys.modules if name.partition(".")[0] == "accelsim"]:
    del sys.modules[name]
import accelsim.facade
use()
"""


def test_the_package_offers_the_function_whatever_is_imported_first() -> None:
    subprocess.run([sys.executable, "-c", USE], check=True)


def test_what_a_caller_gets_wrong() -> None:
    with pytest.raises(InputError, match="did you mean 'os'"):
        simulate("lenet5", "edge_ws", dataflow="oss")
    with pytest.raises(InputError, match="at least 1"):
        simulate("lenet5", "edge_ws", batch=0)
    with pytest.raises(DoesNotFitError, match="layer a: the smallest tile needs"):
        simulate(
            chain((1, 9, 9), conv(1, 5)),
            machine({"all": {"holds": ["ifmap", "filter", "psum", "ofmap"], "size": "10 B"}}),
        )


def test_all_layers_that_do_not_fit_are_named() -> None:
    tight = machine({"all": {"holds": ["ifmap", "filter", "psum", "ofmap"], "size": "10 B"}})
    with pytest.raises(DoesNotFitError) as caught:
        simulate(chain((1, 9, 9), conv(1, 5), conv(2, 3)), tight)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "layer a",
        "layer b",
    ]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (2**16 + 1, "batch: use at least 1 and at most 65,536 images, found 65,537"),
        (10**30, "batch: use at least 1 and at most 65,536 images"),
    ],
)
def test_too_many_images_are_refused(batch: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate("lenet5", "edge_ws", batch=batch)


def test_a_layer_too_large_for_its_counts_is_refused() -> None:
    """2^24 channels into 2^24 filters on 256 pixels are 2^56 MACs, beyond 2^53."""
    conv = LayerSpec("huge", Conv(out_channels=2**24, kernel=(1, 1)), ("x",))
    network = build_network("large", {"x": (2**24, 16, 16)}, [conv])
    with pytest.raises(InputError, match=r"large: huge: .* are too many to simulate"):
        simulate(network, "edge_ws")
