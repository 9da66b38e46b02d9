"""Time and memory of lowering do not grow with an axis, and grow with layers as their number."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machines import chain, conv

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.program import lower
from accelsim.network.graph import Network

ROOT = Path(__file__).parents[2]

LOWERS = """
import resource, sys, time, tracemalloc
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # what is wrong ends here, soon
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.program import lower
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Conv, Dense
shape, op = {layer}
network = build_network("long", {{"x": shape}}, [LayerSpec("l", op, ("x",))])
hardware = load_hardware("edge_ws", ["array.dataflow={dataflow}", "residency=off"])
warm = [LayerSpec("l", Dense(out_features=1), ("x",))]
lower(build_network("short", {{"x": (1, 1)}}, warm), hardware)
if {traced}:
    tracemalloc.start()
start = time.process_time()
lower(network, hardware)
print(time.process_time() - start, tracemalloc.get_traced_memory()[1] if {traced} else 0)
"""

LONG = {
    "rows": "(2**31, 64), Dense(out_features=64)",
    "one row more": "(2**31 + 1, 64), Dense(out_features=64)",
    "inner": "(2**31,), Dense(out_features=8)",
    "filters": "(64,), Dense(out_features=2**24)",
    "map": "(4, 2**16, 2**15), Conv(out_channels=8, kernel=(3, 3), padding=(1, 1, 1, 1))",
    "window": "(1, 1, 2**24), Conv(out_channels=8, kernel=(1, 2**23))",
}


def lowered(layer: str, dataflow: str, traced: bool) -> tuple[float, float]:
    """CPU seconds and, if traced, bytes at the peak, of lowering a layer in a fresh process."""
    code = LOWERS.format(layer=layer, dataflow=dataflow, traced=traced)
    search_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": search_path, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"({layer}) on edge_ws {dataflow}: {done.stderr[-300:]}"
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX")
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("layer", LONG)
def test_a_long_axis_costs_no_more(layer: str, dataflow: str) -> None:
    """2,147,483,648 rows, as many terms of a sum, ...: under a second, and under 100 MiB."""
    seconds, _ = lowered(LONG[layer], dataflow, traced=False)
    assert seconds < 1, f"{layer}: {LONG[layer]} on edge_ws {dataflow}"
    _, peak = lowered(LONG[layer], dataflow, traced=True)
    assert peak < 100 * 2**20, f"{layer}: {LONG[layer]} on edge_ws {dataflow}"


def long_chain(layers: int) -> Network:
    """Many layers of few kinds."""
    ops = [conv(8 + index % 5) for index in range(layers)]
    network = chain((3, 14, 14), *ops[:1])
    specs = [("x", ops[0])]
    assert network.layers[0].op == specs[0][1]
    return _in_a_row(ops)


def _in_a_row(ops: list[object]) -> Network:
    from accelsim.network.graph import LayerSpec, build_network

    names = ["x", *(f"l{index}" for index in range(len(ops)))]
    specs = [LayerSpec(names[i + 1], op, (names[i],)) for i, op in enumerate(ops)]  # type: ignore[arg-type]
    return build_network("long", {"x": (3, 14, 14)}, specs)


@pytest.mark.slow
def test_lowering_is_linear_in_layers() -> None:
    """Three times the layers take less than four times as long (the least of three tries)."""
    hardware = load_hardware("edge_ws")

    def seconds(layers: int) -> float:
        tries = []
        for _ in range(3):
            network = long_chain(layers)
            start = time.process_time()
            lower(network, hardware)
            tries.append(time.process_time() - start)
        return min(tries)

    assert seconds(3000) / seconds(1000) < 4
