"""Time and memory of lowering do not grow with an axis, and grow with layers as their number."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machines import conv

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.program import lower
from accelsim.network.graph import LayerSpec, Network, build_network

ROOT = Path(__file__).parents[2]

LOWERS = """
import resource, time, tracemalloc
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # what is wrong ends here, soon
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.program import lower
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Conv, Dense

def alone(shape, op):
    return build_network("alone", {{"x": shape}}, [LayerSpec("layer", op, ("x",))])

for dataflow in ("os", "ws", "is"):
    hardware = load_hardware("edge_ws", ["array.dataflow=" + dataflow])
    lower(alone((1, 1), Dense(out_features=1)), hardware)  # imports what is imported when used
    tracemalloc.start()
    start = time.process_time()
    lower(alone({layer}), hardware)
    print(dataflow, time.process_time() - start, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""

LONG = {
    "rows": "(2**31, 64), Dense(out_features=64)",
    "one row more": "(2**31 + 1, 64), Dense(out_features=64)",
    "inner": "(2**31,), Dense(out_features=8)",
    "filters": "(64,), Dense(out_features=2**24)",
    "map": "(4, 2**16, 2**15), Conv(out_channels=8, kernel=(3, 3), padding=(1, 1, 1, 1))",
    "window": "(1, 1, 2**24), Conv(out_channels=8, kernel=(1, 2**23))",
}


def lowered(layer: str) -> list[tuple[str, float, float]]:
    """Dataflow, CPU seconds and bytes at the peak, of lowering a layer in a fresh process."""
    search_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", LOWERS.format(layer=layer)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": search_path, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{layer} on edge_ws: {done.stderr[-300:]}"
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(dataflow, float(seconds), float(peak)) for dataflow, seconds, peak in lines]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX")
@pytest.mark.parametrize("layer", LONG)
def test_a_long_axis_costs_no_more(layer: str) -> None:
    """2,147,483,648 rows, as many terms of a sum, ...: under a second, and under 100 MiB."""
    for dataflow, seconds, peak in lowered(LONG[layer]):
        found = f"{LONG[layer]} on edge_ws {dataflow}: {seconds:.2f} s, {peak / 2**20:.0f} MiB"
        assert seconds < 1, found
        assert peak < 100 * 2**20, found


def long_chain(layers: int) -> Network:
    """Many layers of few kinds, one after another."""
    names = ["x", *(f"l{index}" for index in range(layers))]
    specs = [LayerSpec(names[i + 1], conv(8 + i % 5), (names[i],)) for i in range(layers)]
    return build_network("long", {"x": (3, 14, 14)}, specs)


@pytest.mark.slow
def test_lowering_is_linear_in_layers() -> None:
    """Three times the layers take less than four times as long."""
    hardware = load_hardware("edge_ws")

    def seconds(layers: int) -> float:
        network = long_chain(layers)
        start = time.process_time()
        lower(network, hardware)
        return time.process_time() - start

    assert seconds(3000) / seconds(1000) < 4
