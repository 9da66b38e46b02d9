"""How fast accelsim is, on one core, against its peers and against its own limit."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy starts its threads

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import scalesim_peer

from accelsim.engine.machine import play
from accelsim.facade import compile_program, verify
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.network.ops import Conv, Dense
from accelsim.numerics.compare import precision_arithmetic
from accelsim.numerics.computation import Computation
from accelsim.numerics.parameter_file import load_parameters
from accelsim.numerics.reference import compute
from accelsim.results.player import timed

HARDWARE = "edge_ws"
ZIGZAG_SECONDS = {"vgg16": 33.0, "googlenet": 226.0}
"""ZigZag's search for one mapping per layer, as the design document quotes it."""


def simulated(network: Path | str) -> None:
    """One cold run, from the files to the result."""
    timed(compile_program(load_network(network), load_hardware(HARDWARE)))


def best(
    run: Callable[[], object], times: int = 5, clock: Callable[[], float] = time.process_time
) -> float:
    """The least of several times, in seconds."""
    seconds = []
    for _ in range(times):
        start = clock()
        run()
        seconds.append(clock() - start)
    return min(seconds)


def show_simulation() -> None:
    """Time of whole runs, and the peer's over it."""
    print("one dataflow, timing only, cold caches (CPU seconds, best of 5)")
    for network, peer in ZIGZAG_SECONDS.items():
        seconds = best(lambda network=network: simulated(network))
        print(f"  {network:10} {seconds:6.3f}   ZigZag's {peer:.0f} s is {peer / seconds:,.0f} x")


def show_shares(network: str) -> None:
    """Where the time of a run goes. Each part is timed with the results of those before kept."""
    files = best(lambda: (load_network(network), load_hardware(HARDWARE)))
    model, machine = load_network(network), load_hardware(HARDWARE)
    program = compile_program(model, machine)
    lowered = best(lambda: compile_program(model, machine))
    played = best(lambda: play(program))
    reported = max(best(lambda: timed(program)) - played, 0)
    print(
        f"  {network:10} files {files:.3f}, search and schedules {lowered:.3f}, "
        f"engine (SimPy) {played:.3f}, report {reported:.3f}"
    )


def untiled(network: str) -> None:
    """The network's convolutions and dense layers as whole GEMMs, exact in float32 chunks.

    Each on random ifmaps of its own, weights drawn, psums requantized: the reference's way.
    """
    program = compile_program(network, HARDWARE)
    arithmetic = precision_arithmetic(program.hardware.precision)
    parameters = load_parameters(program.network, program.network, arithmetic)
    for layer in program.network.layers:
        if isinstance(layer.op, Conv | Dense):
            inputs = (parameters.input(layer.inputs[0], layer.input_shapes[0]),)
            output = parameters.quantization(layer.name)
            learned = parameters.layer(layer)
            compute(Computation(layer, inputs, learned, output, arithmetic))


def show_verify() -> None:
    """`verify`, which runs the reference in a thread, over the same products done untiled."""
    print("verify against the same GEMMs untiled (wall seconds, best of 5, weights drawn in both)")
    for network in ZIGZAG_SECONDS:
        whole = best(lambda network=network: untiled(network), 5, time.perf_counter)
        both = best(lambda network=network: verify(network, HARDWARE), 5, time.perf_counter)
        print(f"  {network:10} untiled {whole:.2f}, verify {both:.2f}: {both / whole:.2f} x")


def show_peer() -> None:
    """AlexNet's convolutions through SCALE-Sim and accelsim, the same file."""
    if not scalesim_peer.installed():
        print("SCALE-Sim is not installed; see README.md here")
        return
    with tempfile.TemporaryDirectory() as name:
        peer = scalesim_peer.seconds(Path(name))
        path = Path(name) / "alexnet.csv"
        seconds = best(lambda: simulated(path))
    print(f"AlexNet's convolutions: SCALE-Sim 3.0.0 {peer:.1f} s, accelsim {seconds:.3f} s: ")
    print(f"  {peer / seconds:,.0f} x")


def main() -> None:
    """Print every figure."""
    show_simulation()
    print("where it goes (CPU seconds, best of 5)")
    for network in ZIGZAG_SECONDS:
        show_shares(network)
    show_verify()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    show_peer()


if __name__ == "__main__":
    main()
